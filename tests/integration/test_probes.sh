#!/bin/bash
# Checks by label: the agent probes from the host's side; what they say is in the beats, and acted on.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2034  # of lib.sh
ENGINE_IMAGES=(busybox redis)
setup_file() {
    start_engine
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=web -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$T/web.key" -out "$T/web.pem" 2> /dev/null
}

QUICK=(--label defib.check.web.interval=0.3 --label defib.check.web.timeout=1 --label defib.check.web.retries=2)
# for exec, which takes the Engine its time where machines are loaded
PATIENT=("${QUICK[@]}" --label defib.check.web.interval=1 --label defib.check.web.timeout=10)
# run_probed NAME OPTION...: on a bridge, with a web server on 8080 whose files are in /www
run_probed() {
    local name=$1
    shift
    run_service "$name" --network bridge "${QUICK[@]}" "$@"
    d exec "$name" sh -c 'mkdir -p /www && echo "all is well" > /www/healthz && httpd -p 8080 -h /www'
}
check() { r get "health:hb:$1:$1" | jq -r ".checks.$2 | tostring"; }
detail() { r get "health:hb:$1:$1" | jq -r ".check_details.$2 // \"\""; }
# wait_detail NAME REGEX: why its check fails
wait_detail() {
    # shellcheck disable=SC2034  # in the condition
    local name=$1 regex=$2
    wait_for 15 '[[ $(detail "$name" web) =~ $regex ]]' "$1 fails for /$2/"
}
status_of() { r get "health:hb:$1:$1" | jq -r .status; }
attempts_of() { count_log controller "Attempting restart of $1 \("; }

test_a_required_check_restarts_another_degrades() {
    run_probed svc-web --label defib.check.web=http://:8080/healthz --label defib.check.web.required=true --label 'defib.check.web.body=all is well'
    run_probed svc-soft --label defib.check.web=http://:8080/healthz
    run_service svc-db --network bridge --label defib.check.web=tcp://:5432 --label defib.check.web.required=true \
        "${QUICK[@]}" --label defib.restart=deny
    start_all
    wait_for 10 '[ "$(check svc-web web) $(check svc-soft web) $(check svc-db web)" = "true true false" ]'
    expect_eq "$(status_of svc-web) $(status_of svc-soft) $(status_of svc-db)" 'healthy healthy unhealthy'
    expect_match "$(detail svc-db web)" 'cannot connect: Connection refused'
    # a database that refuses connections, on the deny list: alerting only
    wait_log controller 'Service svc-db is unhealthy but in deny list - alerting only' 10
    expect_match "$(in_ns curl -sf 127.0.0.1:7410/api/v1/explain/svc-db | jq -r '.evidence[]')" \
        'Check web fails: cannot connect: Connection refused\.' 'the explanation'
    # wrong words in the body, and no answer at all
    d exec svc-web sh -c 'echo "out of order" > /www/healthz'
    d exec svc-soft killall httpd
    wait_log agent 'Container svc-web: check web \(http, required\) fails: "all is well" does not stand in the body of 13 bytes' 5
    wait_log agent 'Container svc-soft: check web \(http\) fails: cannot connect: Connection refused' 5
    wait_log controller 'Attempting restart of svc-web \(attempt 1/3\)' 10
    expect_eq "$(r get health:restart:svc-web | jq -r .last_failure_reason)" status_unhealthy
    wait_for 5 '[ "$(status_of svc-soft)" = degraded ]'
    expect_eq "$(attempts_of svc-soft) $(attempts_of svc-db)" '0 0' 'attempts on others'
    # the service is well again
    d exec svc-soft httpd -p 8080 -h /www
    wait_log agent 'Container svc-soft: check web is well again' 5
    wait_for 5 '[ "$(status_of svc-soft)" = healthy ]'
    expect_eq "$(detail svc-soft web)" ''
}

test_every_kind_of_target() {
    local address
    run_service svc-exec --label 'defib.check.web=exec:sh -c "echo first >&2; echo disk is $STATE >&2; test $STATE = full"' -e STATE=full "${PATIENT[@]}"
    run_service svc-sick --label 'defib.check.web=exec:sh -c "echo first >&2; echo disk is $STATE >&2; test $STATE = full"' -e STATE=empty "${PATIENT[@]}"
    run_service svc-slow --label 'defib.check.web=exec:sleep 30' "${QUICK[@]}"
    run_service svc-missing --label 'defib.check.web=exec:no-such-program' "${PATIENT[@]}"
    run_service svc-lost --network bridge --label defib.check.web=http://no-such-host.invalid:1/ "${QUICK[@]}"
    run_service svc-alone --label defib.check.web=tcp://:1 "${QUICK[@]}"
    run_probed svc-status --label defib.check.web=http://:8080/nowhere --label defib.check.web.status=404
    run_service svc-borrower --network container:svc-status --label defib.check.web=tcp://:8080 "${QUICK[@]}"
    d run -d --name svc-redis --pull never --label defib.check.web=redis://:secret@ "${QUICK[@]}" defib-test/redis \
        redis-server --save '' --requirepass secret > /dev/null
    d run -d --name svc-locked --pull never --label defib.check.web=redis:// "${QUICK[@]}" defib-test/redis \
        redis-server --save '' --requirepass secret > /dev/null
    # TLS: one that trusts the certificate, one that does not, one that does not look
    spawn tls in_ns openssl s_server -accept 9443 -cert "$DIR/file/web.pem" -key "$DIR/file/web.key" -www -quiet
    run_service svc-tls --label defib.check.web=https://127.0.0.1:9443/ --label "defib.check.web.ca=$DIR/file/web.pem" "${PATIENT[@]}"
    run_service svc-strange --label defib.check.web=https://127.0.0.1:9443/ "${PATIENT[@]}"
    run_service svc-blind --label defib.check.web=https://127.0.0.1:9443/ --label defib.check.web.ca=none "${PATIENT[@]}"
    start_redis
    start_agent
    wait_agent
    local name
    for name in exec status borrower redis tls blind; do
        wait_for 15 "[ \"\$(check svc-$name web)\" = true ]" "svc-$name is well"
    done
    for name in sick slow missing lost alone locked strange; do
        wait_for 15 "[ \"\$(check svc-$name web)\" = false ]" "svc-$name fails"
        expect_eq "$(status_of "svc-$name")" degraded "the status of svc-$name"
    done
    wait_detail svc-sick '^exit code 1: disk is empty$'
    wait_detail svc-slow 'not ended within 1 s|the run before has not ended yet'
    wait_detail svc-missing 'no-such-program'
    wait_detail svc-lost 'no-such-host.invalid is not found'
    wait_detail svc-alone '^the container has no address of its own: name a host$'
    wait_detail svc-locked 'Redis says: NOAUTH'
    wait_detail svc-strange 'certificate'
    # one at a time, whatever it does
    expect_eq "$(d top svc-slow | grep -c 'sleep 30')" 1 'execs that linger'
    # the agent never stalled: its own beats came in time
    address=$(r get health:hb:svc-exec:svc-exec | jq -r .seq)
    wait_for 2 "[ \"\$(r get health:hb:svc-exec:svc-exec | jq -r .seq)\" -gt $address ]" 'beats go on'
}

# PostgreSQL itself, and all that it says to somebody who comes: nothing, "starting up", "too many clients". It refuses root.
postgres() { PG_RUN=(env LD_LIBRARY_PATH="$PG_LIBRARIES" unshare --user --map-user=65534 --map-group=65534 -- "$PG/$1" -D "$T/pg" "${@:2}"); }
start_postgres() {
    postgres postgres -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=4 \
        -c superuser_reserved_connections=0 -c max_wal_senders=0 -c max_logical_replication_workers=0 -c hot_standby=off "${@:2}"
    spawn "$1" in_ns "${PG_RUN[@]}"
}
# It does not ask for a password before it has room.
take_connections() { # NUMBER
    spawn clients in_ns bash -c 'for ((i = 0; i < $1; i++)); do
            exec {fd}<> /dev/tcp/127.0.0.1/5432 && printf "\\0\\0\\0\\x17\\0\\3\\0\\0user\\0postgres\\0\\0" >&$fd
        done
        echo ready
        exec sleep 60' clients "$1"
    wait_log clients ready 5
}

test_a_real_postgres() {
    local root
    PG=$("$ROOT/tests/postgres" "$ROOT/build/postgres")
    root=${PG%/usr/lib/*}
    PG_LIBRARIES=$(printf '%s:' "$root"/{usr/,}lib/*-linux-gnu)
    run_service svc-db --label defib.check.web=postgres://app@127.0.0.1/orders --label defib.check.web.required=true \
        --label defib.restart=deny "${QUICK[@]}"
    start_redis
    start_agent
    wait_agent
    wait_detail svc-db '^cannot connect: Connection refused$'
    echo secret > "$T/password"
    postgres initdb --username=postgres --auth=scram-sha-256 --pwfile="$T/password" --no-locale --no-sync
    "${PG_RUN[@]}" > "$T/initdb.log"
    # it looks for an archive's answer before it takes anybody
    touch "$T/pg/recovery.signal"
    start_postgres starting -c "restore_command=until [ -e $T/archive ]; do sleep 0.1; done; false"
    wait_detail svc-db '^Postgres says: the database system is starting up$'
    expect_eq "$(status_of svc-db)" unhealthy
    touch "$T/archive"
    wait_for 10 '[ "$(check svc-db web) $(status_of svc-db)" = "true healthy" ]' 'it is ready'
    # a role and a database that it does not know are no reason: it serves
    expect_eq "$(detail svc-db web)" ''
    take_connections 4
    wait_detail svc-db '^Postgres says: (sorry, too many clients already|remaining connection slots)'
    kill_hard clients
    wait_for 10 '[ "$(check svc-db web)" = true ]' 'there is room again'
    kill -STOP "$(pid_of starting)"
    wait_detail svc-db '^no answer within 1 s$'
    kill -CONT "$(pid_of starting)"
    wait_for 10 '[ "$(check svc-db web)" = true ]' 'it goes on'
    kill -INT "$(pid_of starting)"
    wait_detail svc-db '^cannot connect: Connection refused$'
    start_postgres again
    wait_for 10 '[ "$(check svc-db web) $(status_of svc-db)" = "true healthy" ]' 'it is back'
    kill -INT "$(pid_of again)"
    wait_for 5 '! is_up again'
}

test_a_slow_starter_has_its_start_period() {
    run_service svc-boot --network bridge --label defib.check.web=tcp://:8080 --label defib.check.web.required=true --label defib.check.web.start_period=8 "${QUICK[@]}"
    start_all
    wait_for 5 '[ "$(status_of svc-boot)" = starting ]'
    expect_while 2 '[ "$(status_of svc-boot)" = starting ]' 'it has time'
    d exec svc-boot httpd -p 8080
    wait_for 5 '[ "$(status_of svc-boot)" = healthy ]'
    expect_eq "$(attempts_of svc-boot)" 0 attempts
}

test_bad_labels_are_told_and_do_no_harm() {
    run_service svc-odd --label 'defib.check.db=postgress://:5432' --label defib.check.web=tcp://127.0.0.1:6379 --label defib.check.web.intervall=1 \
        --label 'defib.check.web.retries="2"' --label defib.check.web.interval=0.3
    start_redis
    start_agent
    wait_agent
    wait_log agent 'Container svc-odd: label defib.check.db=postgress://:5432 is not used: allowed are http://\[host\]' 5
    wait_log agent 'Container svc-odd: label defib.check.web.intervall=1 is not used: allowed are .interval' 5
    wait_log agent 'Container svc-odd: label defib.check.web.retries="2" is not used: allowed are whole numbers from 1 to 100' 5
    wait_for 5 '[ "$(check svc-odd web) $(check svc-odd db) $(status_of svc-odd)" = "true null healthy" ]'
    expect_eq "$(count_log agent 'is not used')" 3 'complaints'
    expect_match "$(in_ns "$BIN/defibctl" doctor | tr -s '\n ' ' ')" \
        'svc-odd on h1: label defib.check.db=postgress://:5432 is not used: allowed are .*2 more are in its agent.s log' 'the doctor'
}

test_labels_of_autoheal_and_deunhealth_do_as_they_did() {
    local health=(--health-cmd 'test ! -e /tmp/sick' --health-interval 0.3s --health-retries 1)
    run_service app-old --label autoheal=true --label autoheal.stop.timeout=1 -e IGNORE_TERM=1 "${health[@]}"
    run_service app-other --label deunhealth.restart.on.unhealthy=true "${health[@]}"
    run_service app-wrong --label autoheal=ture "${health[@]}"
    run_service app-quoted --label 'autoheal="true"' "${health[@]}"
    run_service app-none "${health[@]}"
    start_redis
    start_agent DEFIB_WATCH=label
    start_controller RESTART_ALLOW_SERVICES= RESTART_MAX_PER_HOST=2 RESTART_STOP_TIMEOUT_SECS=20 BREAKER_MIN=10
    wait_agent
    wait_controller
    wait_healthy 2
    wait_log agent 'Container app-wrong: label autoheal=ture is not used: allowed are true and false' 5
    wait_log agent 'Container app-quoted: label autoheal="true" is not used: allowed are true and false; the quotes are part of the value' 5
    local name
    for name in old other wrong quoted none; do d exec "app-$name" touch /tmp/sick; done
    # its own stop timeout, not ours of 20 s
    wait_log controller 'Successfully restarted app-old' 12
    wait_log controller 'Successfully restarted app-other' 5
    expect_eq "$(count_log controller 'app-(wrong|quoted|none)')" 0 'lines about those that are not theirs'
}

run_tests "$@"
