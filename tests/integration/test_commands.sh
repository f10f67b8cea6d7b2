#!/bin/bash
# Commands as a controller sends them, one by one, to a real agent on a real Engine (policy.md, section 6).
# shellcheck disable=SC2317,SC2119  # the tests are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

URL=tcp://127.0.0.1:7411

# send OP [name=value...]: prints the answers, one JSON object a line.
send() { in_ns "$BIN/tests/tools/defib_send" "$URL" "$1" host="$HOST" "${@:2}"; }

# target NAME: the settings that aim a command at the container as it is now.
target() { echo "container=$1 container_id=$(id_of "$1") started_at=$(started_at "$1")"; }
code() { jq -r .code; }
new_id() { head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
outcome() { send outcome id="$1" "${@:2}" | code; }
ended() { ! [[ $(outcome "$@") =~ ^(|null|accepted)$ ]]; } # an agent that does not answer in time has not said so

# expect_code CODE OP NAME [name=value...]: a command aimed at the container is answered like this.
expect_code() {
    # shellcheck disable=SC2046  # words
    expect_eq "$(send "$2" $(target "$3") "${@:4}" | code)" "$1" "answer to $2 of $3"
}

# ready NAME...: Redis, the agent and these services are up, and the agent's inventory lists them as inspected.
ready() {
    # shellcheck disable=SC2119
    start_redis
    start_agent "${AGENT_SETTINGS[@]}"
    wait_agent
    wait_listed "$@"
}
AGENT_SETTINGS=()

wait_listed() {
    local name
    for name in "$@"; do
        wait_for 10 "r get health:agent:$HOST | grep -qF '$(started_at "$name")'" "the agent lists $name"
    done
}

wait_stop_class() {
    wait_for 10 "r get health:agent:$HOST | jq -e '.containers[] | select(.container == \"$1\") | .stop_class == \"$2\"'" \
        "$1 is $2"
}

starts_of() { grep -c "^start $1\$" "$T/events.log" || true; }

test_a_restart_sent_thrice_runs_once() {
    local id before
    run_service svc-a
    ready svc-a
    record_events events
    before=$(started_at svc-a)
    id=$(new_id)
    # shellcheck disable=SC2046
    send restart $(target svc-a) id="$id" times=3 > "$T/receipts"
    expect_eq "$(jq -r .code "$T/receipts" | sort | uniq -c | tr -s ' ')" " 3 accepted"
    wait_for 20 "ended $id"
    expect_eq "$(outcome "$id")" ok
    was_started_again svc-a "$before" || fail "svc-a was not restarted"
    expect_eq "$(send outcome id="$id" | jq -r .started_at)" "$(started_at svc-a)" "incarnation in the outcome"
    # late copies: with the same words, and aimed at what runs now
    # shellcheck disable=SC2046
    expect_eq "$(send restart $(target svc-a) id="$id" | code)" ok
    wait_for 5 "r get health:agent:$HOST | jq -e '.containers[] | select(.container == \"svc-a\") |
        .last_command == \"$id\" and .last_command_code == \"ok\" and
        .timestamp >= .last_command_at and .last_command_unstored == null'" "the outcome rides in the registration"
    wait_for 5 "[ \$(starts_of svc-a) -ge 1 ]"
    expect_while 1 "[ \$(starts_of svc-a) = 1 ]" "one start"
}

test_a_dead_one_is_started() {
    local id before
    run_service svc-b
    ready svc-b
    before=$(started_at svc-b)
    d kill svc-b
    wait_stop_class svc-b killed
    id=$(new_id)
    expect_code accepted start svc-b id="$id"
    wait_for 10 "ended $id"
    expect_eq "$(outcome "$id")" ok
    was_started_again svc-b "$before" || fail "svc-b was not started"
    expect_code not_needed start svc-b
}

test_another_target_is_left_alone() {
    local before
    run_service svc-c
    ready svc-c
    before=$(all_incarnations)
    expect_code stale_target restart svc-c container_id="$(printf 'f%.0s' {1..64})"
    expect_code already_restarted restart svc-c started_at=2026-01-01T00:00:00.000000001Z
    expect_code not_found restart svc-c container=svc-nobody
    expect_code expired restart svc-c ttl_ms=0
    expect_eq "$(in_ns "$BIN/tests/tools/defib_send" "$URL" restart host=other container=svc-c | code)" bad_request
    expect_eq "$(outcome "$(new_id)")" unknown_id
    expect_eq "$(send ping epoch=9 | jq .epoch)" 9
    expect_code stale_epoch restart svc-c epoch=8
    kill_hard agent
    start_agent
    wait_for 10 "send ping timeout_ms=500"
    wait_listed svc-c
    expect_code stale_epoch restart svc-c epoch=8
    expect_eq "$(all_incarnations)" "$before" 'nobody was touched'
}

test_what_is_denied_is_never_touched() {
    local before
    run_service svc-denied
    run_service svc-labelled --label defib.restart=deny
    d run -d --name svc-own --pull never --network none --entrypoint /bin/sh defib-test/busybox -c 'while :; do sleep 60; done' \
        defib-controller > /dev/null
    AGENT_SETTINGS=('RESTART_DENY_SERVICES=svc-den*')
    ready svc-denied svc-labelled svc-own
    before=$(all_incarnations)
    expect_code refused_denied restart svc-denied
    expect_code refused_denied start svc-denied
    expect_code refused_denied restart svc-labelled
    expect_code refused_denied restart svc-own
    expect_eq "$(all_incarnations)" "$before" 'nobody was touched'
    d kill svc-denied
    wait_stop_class svc-denied killed
    expect_code refused_denied start svc-denied
}

test_an_operators_stop_stands() {
    local name stopping
    for name in svc-d svc-e svc-f; do run_service "$name"; done
    ready svc-d svc-e svc-f
    d stop -t 1 svc-d
    expect_code refused_stopped start svc-d # at once, while the cause may still be settling
    wait_stop_class svc-d operator_stop
    expect_code refused_stopped start svc-d
    expect_code refused_stopped restart svc-d
    d pause svc-e
    wait_for 5 "r get health:agent:$HOST | jq -e '.containers[] | select(.container == \"svc-e\") | .state == \"paused\"'"
    expect_code refused_held restart svc-e
    d unpause svc-e
    # no word of a stop has to have reached the table: the last look finds it
    d stop -t 1 svc-f &
    stopping=$!
    wait_for 5 '! is_running svc-f'
    expect_code refused_stopped start svc-f
    wait "$stopping"
    expect_while 1 '! is_running svc-d && ! is_running svc-f'
}

# The agent is killed at moments around the command; whatever Docker did, it was asked once.
test_an_agent_that_dies_restarts_nothing_twice() {
    local i ids=() names=() delays=(- 0 0.01 0.03 0.06 0.1 0.15 0.3 1)
    for i in 1 2 3 4 5 6 7 8; do
        names+=("svc-k$i")
        run_service "svc-k$i"
    done
    ready "${names[@]}"
    record_events events
    for i in 1 2 3 4 5 6 7 8; do
        ids[i]=$(new_id)
        target "svc-k$i" > "$T/target-$i"
        # shellcheck disable=SC2046
        send restart $(cat "$T/target-$i") id="${ids[i]}" stop_timeout_ms=1000 timeout_ms=10000 > "$T/receipt-$i"
        nap $(($(ms "${delays[i]}") * WAIT_FACTOR))
        kill_hard agent
        start_agent
        wait_for 10 "send ping timeout_ms=500"
        # what the controller does when it hears nothing: it asks, and its copies may still come in
        # shellcheck disable=SC2046
        send restart $(cat "$T/target-$i") id="${ids[i]}" stop_timeout_ms=1000 timeout_ms=10000 > "$T/copy-$i"
    done
    for i in 1 2 3 4 5 6 7 8; do
        wait_for 30 "ended ${ids[i]}" "command $i has ended"
        # busy: an agent that has no list of its containers yet
        expect_match "$(outcome "${ids[i]}")" '^(ok|docker_error|expired|already_restarted|not_found|refused_held|busy)$'
        [ "$(starts_of "svc-k$i")" -le 1 ] || fail "svc-k$i was started $(starts_of "svc-k$i") times"
    done
    [ "$(grep -c '^start' "$T/events.log")" -ge 4 ] || fail "hardly any restart was carried out"
}

make_key() { # NAME FILE
    echo "$1:$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" > "$2"
    chmod 600 "$2"
}

test_only_the_key_opens_the_door() {
    local before
    run_service svc-g
    make_key fleet "$T/key"
    make_key fleet "$T/wrong"
    make_key second "$T/second"
    AGENT_SETTINGS=(DEFIB_KEY_FILE="$T/key")
    ready svc-g
    before=$(all_incarnations)
    expect_code unauthorized restart svc-g
    expect_code unauthorized restart svc-g key_file="$T/wrong"
    expect_eq "$(send inventory | jq -r '.code, .payload_len, .signed' | xargs)" 'unauthorized 0 false'
    expect_eq "$(all_incarnations)" "$before" 'nobody was touched'
    expect_eq "$(send ping key_file="$T/key" | jq -r '.code, .signed' | xargs)" 'ok true'
    # rotation: the new one is known everywhere before it signs anywhere
    cp "$T/key" "$T/old"
    cat "$T/second" "$T/old" > "$T/both"
    chmod 600 "$T/both"
    cat "$T/old" "$T/second" > "$T/key"
    kill -HUP "$(pid_of agent)"
    wait_for 5 "[ \$(send ping key_file=$T/both | code) = ok ]" 'the second key is known after SIGHUP'
    expect_eq "$(send ping key_file="$T/old" | code)" ok
    cat "$T/second" > "$T/key"
    kill -HUP "$(pid_of agent)"
    wait_for 5 "[ \$(send ping key_file=$T/old | code) = unauthorized ]" 'the first key is out after SIGHUP'
    expect_code accepted restart svc-g key_file="$T/second"
}

# expect_refused_start SAYS NAME=value...: the agent ends with exit code 2 and one line that says it.
expect_refused_start() {
    local out status=0
    out=$(in_ns env DEFIB_HOST="$HOST" DEFIB_STATE_DIR="$T/state-other" DOCKER_HOST="unix://$(sock)" "${@:2}" \
        timeout 10 "$BIN/defib-agent" 2>&1 < /dev/null) || status=$?
    expect_eq "$status" 2 "exit code with ${*:2}"
    expect_match "$out" "$1"
    expect_eq "$(wc -l <<< "$out")" 1 'lines on stderr'
}

test_without_a_proper_key_it_does_not_listen() {
    expect_refused_start DEFIB_LISTEN DEFIB_LISTEN=tcp://0.0.0.0:7411
    make_key fleet "$T/key"
    chmod 644 "$T/key"
    expect_refused_start DEFIB_KEY_FILE DEFIB_KEY_FILE="$T/key"
    chmod 600 "$T/key"
    echo nonsense >> "$T/key"
    expect_refused_start DEFIB_KEY_FILE DEFIB_KEY_FILE="$T/key"
    expect_refused_start DEFIB_KEY_FILE DEFIB_KEY_FILE="$T/nowhere"
}

test_garbage_is_passed_over() {
    local i lines
    run_service svc-h
    ready svc-h
    log_mark agent
    head -c 300 /dev/urandom > "$T/noise"
    head -c 1000000 /dev/urandom > "$T/much"
    for i in 1 2 3 4 5; do
        send raw raw="$T/noise" timeout_ms=200 > "$T/out" && fail "noise was answered: $(cat "$T/out")"
        send raw raw="$T/much" timeout_ms=200 > "$T/out" && fail "a megabyte was answered: $(cat "$T/out")"
        in_ns bash -c "cat $T/noise > /dev/tcp/127.0.0.1/7411" || true
    done
    expect_eq "$(send ping | code)" ok
    expect_code accepted restart svc-h
    lines=$(count_log agent 'Request refused')
    expect_match "$lines" "^[12]$" "lines about garbage"
}

# What the agent's answers say of its Redis; nothing while there is none.
word() { send ping timeout_ms=2000 | jq -r '.redis // empty'; }

test_an_answer_tells_whether_the_agent_has_redis() {
    local began first=
    start_redis
    kill -STOP "$(pid_of redis)" # takes connections, and is silent
    began=$(now_ms)
    start_agent
    wait_for 10 'first=$(word); [ -n "$first" ]' 'an answer'
    # One that has only just started does not know: whoever might lead would take its "down" for an outage.
    if [ "$first" != unknown ] && is_before $((began + 2500)); then
        fail "an agent that has only just started says $first"
    fi
    wait_for 20 '[ "$(word)" = down ]'
    kill -CONT "$(pid_of redis)"
    wait_for 20 '[ "$(word)" = up ]'
    stop_redis
    wait_for 20 '[ "$(word)" = down ]'
}

test_a_long_stop_holds_up_nothing() {
    local id before quick worst deadline took began
    run_service svc-slow -e IGNORE_TERM=1
    run_service svc-quick
    ready svc-slow svc-quick
    subscribe beats health:heartbeats
    before=$(started_at svc-slow)
    id=$(new_id)
    expect_code accepted restart svc-slow id="$id" stop_timeout_ms=20000
    quick=$(started_at svc-quick)
    expect_code accepted restart svc-quick
    began=$(now_ms)
    wait_for 5 "was_started_again svc-quick '$quick'"
    deadline=$((began + 17000))
    worst=0
    while is_before "$deadline"; do
        took=$(now_ms)
        expect_eq "$(send ping | code)" ok
        took=$(($(now_ms) - took))
        worst=$((took > worst ? took : worst))
        expect_eq "$(outcome "$id")" accepted
        sleep 0.2
    done
    [ "$worst" -lt $((700 * WAIT_FACTOR)) ] || fail "a ping took $worst ms"
    # 17 s at a beat each 0.5 s
    [ "$(grep -c '"container":"svc-quick"' "$T/beats.log")" -ge 20 ] ||
        fail "only $(grep -c '"container":"svc-quick"' "$T/beats.log") beats of svc-quick"
    wait_for 15 "ended $id"
    expect_eq "$(outcome "$id")" ok
    was_started_again svc-slow "$before" || fail 'svc-slow was not restarted'
}

# fill FOLDER
fill() {
    dd if=/dev/zero of="$1/fill" bs=4k 2> /dev/null || true
    while echo fill >> "$1/fill"; do :; done 2> /dev/null
}

test_a_full_disk_hinders_no_restart() {
    local id n before state=$DIR/$HOST/full
    run_service svc-i
    mkdir -p "$state"
    mount -t tmpfs -o size=256k none "$state"
    AGENT_SETTINGS=(DEFIB_STATE_DIR="$state")
    ready svc-i
    fill "$state"
    # over a page of the disk
    for _ in $(seq 100); do send outcome id="$(new_id)" > /dev/null; done
    for n in 1 2; do
        before=$(started_at svc-i)
        id=$(new_id)
        expect_code accepted restart svc-i id="$id"
        wait_for 10 "ended $id"
        expect_eq "$(outcome "$id")" ok "restart $n"
        was_started_again svc-i "$before" || fail 'svc-i was not restarted'
        wait_for 10 "[ \"\$(r get health:hb:svc-i:svc-i | jq -r .incarnation)\" = \"$(started_at svc-i)\" ]" 'the agent has looked'
    done
    stop agent
    expect_eq "$(find "$state" -name "*.new")" "" "what could not be written left no file"
    umount "$state"
}

test_a_full_disk_refuses() {
    local id before state=$DIR/$HOST/full
    run_service svc-i
    mkdir -p "$state"
    # too small for what the agent reserves on it
    mount -t tmpfs -o size=32k none "$state"
    AGENT_SETTINGS=(DEFIB_STATE_DIR="$state")
    ready svc-i
    before=$(all_incarnations)
    fill "$state"
    # what the last page of the file still takes
    for _ in $(seq 40); do send outcome id="$(new_id)" > /dev/null; done
    id=$(new_id)
    expect_code accepted restart svc-i id="$id"
    wait_for 5 "ended $id"
    expect_match "$(send outcome id="$id" | jq -r '.code + " " + .detail')" '^docker_error cannot write .*No space left'
    expect_eq "$(all_incarnations)" "$before" 'nobody was touched'
    rm "$state/fill"
    id=$(new_id)
    expect_code accepted restart svc-i id="$id"
    wait_for 10 "ended $id"
    expect_eq "$(outcome "$id")" ok
    stop agent
    umount "$state"
}

test_the_inventory_is_the_registration() {
    local change
    run_service svc-j
    ready svc-j
    expect_eq "$(send inventory payload="$T/inventory" | code)" ok
    expect_eq "$(jq -r '.containers[] | select(.container == "svc-j") | .incarnation' "$T/inventory")" "$(started_at svc-j)"
    expect_eq "$(jq -S 'keys' "$T/inventory")" "$(r get "health:agent:$HOST" | jq -S 'keys')" 'the same document'
    change=$(send ping | jq .change)
    wait_for 10 "change=\$(send ping | jq .change) && [ \$(send inventory if_change=\$change | jq .payload_len) = 0 ]"
    d kill svc-j
    wait_for 5 "[ \$(send inventory if_change=$change | jq .payload_len) -gt 0 ]" 'a death changes the inventory'
}

run_tests "$@"
