#!/bin/bash
# Services that beat for themselves: found out without configuration, believed, and left alone.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

# beat NAME [OPTION...]: the shipped publisher speaks for the container of that name.
beat() {
    local name=$1
    shift
    spawn "beat-$name" "$BIN/defib-beat" --service "$name" --instance "$name" --redis "unix://$T/redis.sock" --every 0.3 --ttl 2 "$@"
}
field() { r get "health:hb:$1:$1" | jq -r "$2"; }
attempts_of() { count_log controller "Attempting restart of $1 \("; }
reason_of() { r get "health:restart:$1" | jq -r .last_failure_reason; }

test_the_command_never_fails_the_script_it_serves() {
    local out status
    for usage in '' '--service' '--service s --check a' '--service s --check a=yes' '--service s --metric a=1x' '--service s --metric a=nan' \
        '--service s --status fine' '--service s --every 0' '--service s --every 1e3' '--service s --every 2 --ttl 1' '--service s --pid 0' \
        '--service s --redis rediss://x' '--service s extra' '--service s --unknown'; do
        status=0
        # shellcheck disable=SC2086  # options
        out=$("$BIN/defib-beat" $usage 2>&1 > /dev/null) || status=$?
        expect_eq "$status" 2 "exit of defib-beat $usage"
        expect_match "$out" 'defib-beat: ' "what defib-beat $usage says"
    done
    out=$("$BIN/defib-beat" --service s --metric 'a=1x' 2>&1) || true
    expect_eq "$out" 'defib-beat: metric a=1x: allowed are NAME=NUMBER, up to 128 names of 1 to 63 printable characters'
    # no Redis: told, in bounded time, and no failure
    local before
    before=$(now_ms)
    out=$("$BIN/defib-beat" --service s --once --redis "unix://$T/nobody.sock" 2>&1)
    expect_match "$out" 'defib-beat: not delivered: unix:.*nobody.sock.*No such file'
    is_before $((before + 4500)) || fail 'it waited for longer than 3 s'
    not "$BIN/defib-beat" --service s --once --strict --redis "unix://$T/nobody.sock" 2> /dev/null
    start_redis
    "$BIN/defib-beat" --service s --instance i --once --strict --redis "unix://$T/redis.sock" --check db_ok=true --metric queue=5
    expect_eq "$(r get health:hb:s:i | jq -c '[.status, .checks, .metrics]')" '["healthy",{"db_ok":true},{"queue":5}]'
    # a script talks to it by a pipe, and its end is the service's
    mkfifo "$T/pipe"
    # shellcheck disable=SC2016  # for the shell inside
    spawn beat-pipe sh -c 'exec "$1" --service p --instance p --redis "$2" --every 0.3 --ttl 5 --stdin < "$3"' - "$BIN/defib-beat" "unix://$T/redis.sock" "$T/pipe"
    exec 7> "$T/pipe"
    printf 'metric left=12\nrubbish\nstatus degraded\ncheck disk_ok=false\n' >&7
    wait_for 5 "[ \"\$(field p '.status + \" \" + (.metrics.left | tostring) + \" \" + (.checks.disk_ok | tostring)')\" = 'degraded 12 false' ]"
    expect_eq "$(count_log beat-pipe 'line rubbish: allowed are status WORD, check NAME=BOOL and metric NAME=NUMBER')" 1
    exec 7>&-
    wait_for 5 "! is_up beat-pipe"
    expect_eq "$(exit_of beat-pipe)" 0 'exit'
    expect_eq "$(field p .status)" stopping
    # gone with the program it speaks for, without a word
    spawn program sleep 60
    spawn beat-pid "$BIN/defib-beat" --service q --instance q --redis "unix://$T/redis.sock" --every 0.3 --ttl 5 --pid "$(pid_of program)"
    wait_for 5 '[ "$(field q .status)" = healthy ]'
    kill_hard program
    wait_for 5 '! is_up beat-pid'
    expect_eq "$(field q .status)" healthy
}

test_one_that_beats_is_found_out_and_missed_when_silent() {
    run_service svc-app
    start_all
    wait_healthy 1
    beat svc-app --check redis_ok=true --metric queue=5 --metric rate=0.25 --metric big=9007199254740993
    wait_log agent 'Container svc-app beats for itself on health:hb:svc-app:svc-app; the agent keeps off that key' 5
    wait_for 2 '[ "$(field svc-app .source)" = app ]' # what the agent wrote last is gone with the next beat
    expect_while 1.5 '[ "$(field svc-app .source)" = app ]' 'the key is the service'\''s'
    expect_eq "$(field svc-app '[.checks.redis_ok, .metrics.queue, .metrics.rate] | tostring')" '[true,5,0.25]'
    expect_match "$(r get health:hb:svc-app:svc-app)" '"big":9007199254740993[,}]' 'a large whole number'
    expect_eq "$(attempts_of svc-app)" 0 attempts
    wait_healthy 1
    # Docker's container runs on, the service hangs: silent
    kill -STOP "$(pid_of beat-svc-app)"
    wait_lines controller 15 'Service svc-app missing heartbeat (3 consecutive misses)' 'Attempting restart of svc-app (attempt 1/3)'
    expect_eq "$(reason_of svc-app)" missing_heartbeat
    kill -CONT "$(pid_of beat-svc-app)"
    wait_healthy 1
}

# The agent has been beating there for a while: what a service says first, and says but once, is not lost.
test_a_first_beat_is_not_lost() {
    local beat
    run_service svc-late
    start_all HEARTBEAT_TTL_SECS=20
    wait_for 5 '[ "$(field svc-late .source)" = agent ]'
    beat='{"instance_id":"svc-late","service":"svc-late","status":"degraded","timestamp":"2026-01-23T19:05:30Z"}'
    r set health:hb:svc-late:svc-late "$beat" EX 60 > /dev/null
    wait_log agent 'Container svc-late beats for itself' 5
    wait_for 1 '[ "$(r get health:hb:svc-late:svc-late)" = "$beat" ]' 'what it said'
    expect_while 2 '[ "$(r get health:hb:svc-late:svc-late)" = "$beat" ]' 'and it stands'
}

test_what_it_says_is_honoured() {
    local names=(svc-stopping svc-degraded svc-unhealthy svc-slow) name
    for name in "${names[@]}"; do run_service "$name"; done
    run_service svc-docker --health-cmd 'test ! -e /tmp/sick || { echo looked; echo the disk is sick; exit 1; }' --health-interval 0.3s --health-retries 2
    start_redis
    subscribe beats health:heartbeats
    for name in stopping unhealthy docker; do beat "svc-$name"; done
    beat svc-degraded --status degraded
    beat svc-slow --status starting
    start_agent START_DEADLINE_SECS=8 RESTART_MAX_PER_HOST=4 BREAKER_MIN=10
    start_controller START_DEADLINE_SECS=8 RESTART_MAX_PER_HOST=4 BREAKER_MIN=10
    wait_agent
    wait_controller
    wait_for 10 'last_summary_is controller "3 healthy, 1 degraded, 0 unhealthy, 0 missing"' 'three healthy, one degraded, one starting'
    # ended, not killed: it says stopping, and silence is no miss then
    stop beat-svc-stopping
    expect_eq "$(field svc-stopping .status)" stopping
    kill_hard beat-svc-unhealthy
    beat svc-unhealthy --status unhealthy
    # Docker's word is worse than the service's
    d exec svc-docker touch /tmp/sick
    wait_log controller 'Attempting restart of svc-unhealthy \(attempt 1/3\)' 10
    expect_eq "$(reason_of svc-unhealthy)" status_unhealthy
    wait_log controller 'Attempting restart of svc-docker \(attempt 1/3\)' 10
    expect_eq "$(reason_of svc-docker)" status_unhealthy
    expect_eq "$(field svc-docker .status)" healthy 'what svc-docker itself says'
    wait_log beats '"docker_health": ?"the disk is sick"' 5
    # it had a deadline to come up
    wait_log controller 'Attempting restart of svc-slow \(attempt 1/3\)' 15
    expect_eq "$(reason_of svc-slow)" start_timeout
    expect_eq "$(attempts_of svc-degraded)" 0 'attempts on a degraded one'
    expect_eq "$(attempts_of svc-stopping)" 0 'attempts on a stopping one'
}

test_how_it_was_before_the_restart_is_kept() {
    local file id
    run_service svc-sick --health-cmd 'test ! -e /tmp/sick || { echo the disk is sick; exit 3; }' --health-interval 0.3s --health-retries 2 \
        --label 'defib.check.look=exec:sh -c "seq 1 2000; echo looks well"' --label defib.check.look.interval=0.5 --label defib.check.look.timeout=10
    start_all BREAKER_MIN=10
    subscribe alerts system:alerts
    wait_for 10 '[ "$(field svc-sick .checks.look)" = true ]'
    # its agent sees it live before it dies
    run_service svc-dead -e CRASH_AFTER=4 -e EXIT_CODE=7 --memory 64m
    d exec svc-sick touch /tmp/sick
    wait_log agent 'Container svc-dead: how it was before its (start|restart) is kept in .*/evidence/[0-9TZ]+-svc-dead-[0-9a-f]{8}.json' 15
    wait_log agent 'Container svc-sick: how it was before its restart is kept in' 15
    wait_for 5 'file=$(ls "$T"/state-agent/evidence/*-svc-dead-*.json) && [ -n "$file" ]'
    # shellcheck disable=SC2012  # our own names
    file=$(ls "$T"/state-agent/evidence/*-svc-dead-*.json | head -n 1)
    expect_eq "$(jq -r '[.kind, .container, .host, .state, .exit_code, .oom_killed, .memory_limit_bytes, .attempt] | tostring' "$file")" \
        '["evidence","svc-dead","h1","exited",7,false,67108864,1]'
    expect_match "$(jq -r .log "$file")" '^20[0-9-]+T[^ ]+ service: up'
    [ "$(jq -r .memory_bytes "$file")" -gt 1000 ] || fail 'no memory at its death'
    expect_eq "$(stat -c %a "$file")" 600 'mode'
    # the same id: file, stream, decision, alert
    id=$(jq -r .command_id "$file")
    expect_match "$file" "${id:0:8}.json$"
    expect_eq "$(r xrange health:events - + | grep "$id" | jq -r 'select(.file != null) | [.container, .exit_code, .file] | tostring')" "[\"svc-dead\",7,\"$file\"]"
    [ "$(r xrange health:events - + | grep '"decision"' | grep -c "$id")" -ge 1 ] || fail 'no decision with that id'
    wait_for 5 '[ "$(log_after_mark alerts | grep -o "{.*SERVICE_RESTARTED.*svc-dead.*" | head -n 1 | jq -r .evidence)" = "$id" ]'
    # shellcheck disable=SC2012
    file=$(ls "$T"/state-agent/evidence/*-svc-sick-*.json | head -n 1)
    expect_eq "$(jq -r '[.state, .health, .health_exit_code, .health_output, .probes.look.verdict] | tostring' "$file")" \
        '["running","unhealthy",3,"the disk is sick\n","passing"]'
    # of 8.9 KB the last 4
    expect_eq "$(jq -r '.probes.look.output | length' "$file")" 4096 'bytes of its output'
    expect_match "$(jq -r .probes.look.output "$file")" $'\n1999\n2000\nlooks well$'
}

# The Engine does not come up with the log: what can be had is kept, and the restart waits no longer than it may.
test_evidence_that_does_not_come_delays_no_restart() {
    local id sent killed
    sed -e "s|__SOCKET__|$T/slow.sock|; s|__ENGINE__|$(sock)|" > "$T/slow.cfg" <<'CONFIG'
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tarpit 20s
frontend slow
    bind unix@__SOCKET__
    http-request tarpit if { path_end /logs }
    default_backend engine
backend engine
    server engine unix@__ENGINE__
CONFIG
    mkdir -p "$T/state-agent/evidence"
    for id in {1000..1119}; do echo '{}' > "$T/state-agent/evidence/20260101T00${id}Z-svc-mute-0000$id.json"; done
    spawn slow haproxy -db -f "$T/slow.cfg"
    wait_for 5 '[ -S "$T/slow.sock" ]'
    run_service svc-mute
    start_redis
    start_agent DOCKER_HOST="unix://$T/slow.sock"
    wait_agent
    spawn events docker -H "unix://$(sock)" events --filter type=container --format '{{.TimeNano}} {{.Action}}'
    wait_for 10 "r get health:agent:h1 | grep -qF '$(started_at svc-mute)'"
    id=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
    sent=$(now_ms)
    in_ns "$BIN/tests/tools/defib_send" tcp://127.0.0.1:7411 restart host=h1 container=svc-mute container_id="$(id_of svc-mute)" \
        started_at="$(started_at svc-mute)" id="$id" > "$T/receipt"
    expect_eq "$(jq -r .code "$T/receipt")" accepted
    wait_log events ' (kill|die)$' 15
    killed=$(($(grep -m 1 -E ' (kill|die)$' "$T/events.log" | cut -d ' ' -f 1) / 1000000))
    echo "from the command to Docker's signal: $((killed - sent)) ms"
    # the last look and the command's own way are in it
    [ $((killed - sent)) -lt $((700 * WAIT_FACTOR)) ] || fail "it took $((killed - sent)) ms"
    [ $((killed - sent)) -ge 200 ] || fail 'nobody waited for the log: the test is of no use'
    wait_log agent 'Container svc-mute: how it was before its restart is kept in' 15
    expect_eq "$(jq -r '[.container, .log // ""] | tostring' "$T"/state-agent/evidence/*-svc-mute-"${id:0:8}".json)" '["svc-mute",""]'
    # the newest hundred are kept
    wait_for 5 '[ "$(ls "$T/state-agent/evidence" | wc -l)" = 100 ]' 'a hundred files'
    # shellcheck disable=SC2012  # our own names
    expect_match "$(ls "$T/state-agent/evidence" | head -n 1)" '0000102[0-9][.]json$' 'the oldest that is kept'
}

test_fields_that_nobody_knows_survive() {
    local beat
    run_service svc-free
    local stamp
    stamp=$(TZ=UTC-2 date -d '1 second' +%FT%T.250+02:00) # of this life, whichever is heard of first
    beat='{"instance_id":"svc-free","service":"svc-free","status":"healthy","timestamp":"'$stamp'","metrics":{"n":1,"f":1.50,"deep":{"a":[1,{"b":null}]}},"checks":{"ok":true,"odd":"yes"},"team":{"on_call":["ann","bob"]},"ratio":1e-3}'
    start_redis
    r set health:hb:svc-free:svc-free "$beat" EX 60 > /dev/null
    start_agent
    start_controller
    wait_agent
    wait_log agent 'Container svc-free beats for itself' 5
    wait_healthy 1
    expect_while 2 '[ "$(r get health:hb:svc-free:svc-free)" = "$beat" ]' 'byte for byte'
}

test_a_metric_that_stands_still_or_goes_too_far() {
    run_service svc-hung --label defib.progress=prices_published:2
    run_service svc-busy --label defib.progress=prices_published:2 --label defib.limit.last_price_age_s=30
    run_service svc-fat --label defib.limit.memory_pct=0.001 --label defib.limit.restart_count=..5 --memory 64m
    mkfifo "$T/busy"
    exec 7<> "$T/busy"
    start_redis
    beat svc-hung --metric prices_published=120
    # shellcheck disable=SC2016  # for the shell inside
    spawn beat-busy sh -c 'exec "$1" --service svc-busy --instance svc-busy --redis "$2" --every 0.3 --ttl 2 --metric last_price_age_s=1 --stdin < "$3"' - \
        "$BIN/defib-beat" "unix://$T/redis.sock" "$T/busy"
    # shellcheck disable=SC2016  # for the shell inside
    spawn counting bash -c 'for ((n = 0; ; n++)); do echo "metric prices_published=$n" > "$1"; sleep 0.2; done' - "$T/busy"
    start_agent
    start_controller
    wait_agent
    wait_controller
    # it beats, says that it is well, and does nothing
    wait_log agent 'Container svc-hung: check progress_prices_published \(required\) fails: stalled: prices_published has stood at 120 for [23] s' 10
    wait_log controller 'Attempting restart of svc-hung \(attempt 1/3\)' 10
    expect_eq "$(reason_of svc-hung)" status_unhealthy
    expect_eq "$(field svc-hung .status)" healthy 'what it says itself'
    # one that works is left alone; one that is late, or fat, is degraded
    echo 'metric last_price_age_s=31.5' >&7
    wait_log agent 'Container svc-busy: check limit_last_price_age_s fails: last_price_age_s is 31.5, allowed is at most 30' 5
    wait_for 5 '[ "$(r get health:agent:h1 | jq -r ".containers[] | select(.container == \"svc-busy\").status")" = degraded ]'
    wait_for 5 '[ "$(field svc-fat ".status + \" \" + (.checks.limit_memory_pct | tostring) + \" \" + (.checks.limit_restart_count | tostring)")" = "degraded false true" ]'
    # it beats for itself: what its agent knows stands in the explanation all the same
    wait_for 5 '[[ $(in_ns curl -s 127.0.0.1:7410/api/v1/explain/svc-busy | jq -r ".evidence[]") == *"Check limit_last_price_age_s fails: last_price_age_s is 31.5"* ]]'
    expect_match "$(field svc-fat .check_details.limit_memory_pct)" '^memory_pct is [0-9.]+, allowed is at most 0.001$'
    expect_eq "$(attempts_of svc-busy) $(attempts_of svc-fat)" '0 0' 'attempts on the others'
    exec 7>&-
}

run_tests "$@"
