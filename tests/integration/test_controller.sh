#!/bin/bash
# The controller's own memory: restart states, alerts, agents and holds, through deaths of itself and of Redis.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

attempts_of() { r get "health:restart:$1" | grep -oE '"attempt_count": ?[0-9]+' | grep -oE '[0-9]+$'; }
crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }
events() { r xrange health:events - +; }
# not a pipe: grep -q leaves early, and redis-cli would fail of that
has_event() { grep -q -e "$1" <<< "$(events)"; }

# heal_once NAME: it dies, and runs again by our hand.
heal_once() {
    local before
    before=$(started_at "$1")
    crash "$1"
    wait_for 20 "was_started_again $1 '$before'" "$1 is running again"
}

# exhaust NAME: it ends at every start until its budget is spent.
exhaust() {
    d exec "$1" touch /tmp/crash
    d kill "$1" > /dev/null
    wait_log controller "Service $1 exhausted restart attempts \(3/3\)" 40
}

# mend NAME: from now on it starts well.
mend() {
    sed 's|/tmp/crash|/tmp/never|' "$ROOT/tests/images/service.sh" > "$T/service.sh"
    d cp -q "$T/service.sh" "$1":/service.sh
}

test_bad_bytes_are_told_once_and_harm_nothing_else() {
    local key kinds=(health:hb:svc-a:svc-a health:restart:svc-a health:agent:nobody health:hold:container:svc-a)
    start_redis
    for key in "${kinds[@]}"; do r set "$key" '{"rubbish' > /dev/null; done
    r set health:marker 'a b c' > /dev/null
    r set health:leader:epoch 'not a number' > /dev/null
    r lpush health:restart:svc-c x > /dev/null
    start_agent DEFIB_HOST=h1
    start_controller
    wait_agent
    run_service svc-b
    run_service svc-c
    wait_healthy 2
    for key in "${kinds[@]}"; do
        wait_log controller "WARNING - Key $key " 10
        r publish health:heartbeats "$key" > /dev/null
    done
    heal_once svc-b
    heal_once svc-c
    expect_eq "$(attempts_of svc-b)" 1 'attempts of svc-b'
    wait_for 5 '[ "$(attempts_of svc-c)" = 1 ]' 'a key of another type was written over'
    expect_match "$(r get health:leader:epoch)" '^[0-9]+$' 'the epoch'
    for key in "${kinds[@]}"; do
        expect_eq "$(count_log controller "WARNING - Key $key ")" 1 "warnings about $key"
    done
    expect_eq "$(count_log controller 'WARNING - A message on health:heartbeats')" 1 'warnings about the channel'
}

test_restart_keeps_the_account() {
    start_all
    run_service svc-a
    wait_healthy 1
    heal_once svc-a
    wait_for 5 '[ "$(attempts_of svc-a)" = 1 ]'
    kill_hard controller
    log_mark controller
    start_controller
    wait_healthy 1
    heal_once svc-a
    wait_log controller 'Attempting restart of svc-a \(attempt 2/3\)' 5
    stop controller
    log_mark controller
    start_controller
    wait_healthy 1
    exhaust svc-a
    # the cooldown too
    kill_hard controller
    log_mark controller
    start_controller
    expect_never 5 controller 'Attempting restart'
    expect_eq "$(attempts_of svc-a)" 3 attempts
}

test_outage_heals_and_delivers_later() {
    start_all
    run_service svc-a
    run_service svc-failing
    wait_healthy 2
    kill_hard redis
    wait_log controller 'WARNING - Redis is away' 10
    wait_log controller 'ERROR - Alert kept for Redis: \{"type": "REDIS_LOST"' 5
    heal_once svc-a
    wait_log controller 'Successfully restarted svc-a' 5
    exhaust svc-failing
    wait_log controller 'ERROR - Alert kept for Redis: \{"type": "SERVICE_RESTART_FAILED", "container": "svc-failing"' 5
    # the controller dies as well, and goes on where it was
    kill_hard controller
    log_mark controller
    start_controller
    expect_never 4 controller 'Attempting restart'
    heal_once svc-a
    wait_log controller 'Attempting restart of svc-a \(attempt 2/3\)' 5
    start_redis
    wait_for 10 '[ "$(attempts_of svc-a)" = 2 ] && [ "$(attempts_of svc-failing)" = 3 ]' 'the account is in Redis'
    wait_for 10 'has_event REDIS_RECOVERED'
    has_event '"SERVICE_RESTART_FAILED", "container": "svc-failing".*"delayed": true'
    # one loss, one recovery, though two processes saw it
    expect_eq "$(events | grep -oE '"type": "REDIS_[A-Z]+"' | tr '\n' ' ')" '"type": "REDIS_LOST" "type": "REDIS_RECOVERED" ' 'alerts'
    # in order: each seq above the one before
    events | grep -oE '"seq": [0-9]+' | grep -oE '[0-9]+' > "$T/seqs"
    sort -c -n -u "$T/seqs" || fail 'alerts and records came out of order, or twice'
    [ ! -e "$T/state-controller/alerts.spool" ] || fail 'the spool is still there'
    log_mark controller
    expect_never 4 controller 'Attempting restart'
}

test_deleted_key_is_a_fresh_budget() {
    start_all
    run_service svc-a
    wait_healthy 1
    exhaust svc-a
    mend svc-a
    log_mark controller
    r del health:restart:svc-a > /dev/null
    wait_lines controller 10 'Attempting restart of svc-a (attempt 1/3)' 'Successfully restarted svc-a'
}

test_deleted_while_the_controller_was_down() {
    start_all
    run_service svc-a
    wait_healthy 1
    exhaust svc-a
    mend svc-a
    kill_hard controller
    r del health:restart:svc-a > /dev/null
    log_mark controller
    start_controller
    wait_lines controller 15 'Attempting restart of svc-a (attempt 1/3)' 'Successfully restarted svc-a'
}

test_flush_loses_no_attempt() {
    start_all
    run_service svc-a
    wait_healthy 1
    exhaust svc-a
    r flushall > /dev/null
    wait_for 10 '[ "$(attempts_of svc-a)" = 3 ]' 'the account is back'
    kill_hard controller
    r flushall > /dev/null
    log_mark controller
    start_controller
    wait_for 10 '[ "$(attempts_of svc-a)" = 3 ]' 'and after a flush that it did not see'
    expect_never 4 controller 'Attempting restart'
}

test_edited_account_is_taken() {
    start_all
    run_service svc-a
    wait_healthy 1
    heal_once svc-a
    wait_log controller 'Service svc-a recovered' 10 # it has written all that it had to
    wait_for 5 '[ "$(attempts_of svc-a)" = 1 ]'
    r set health:restart:svc-a '{"attempt_count": 2}' > /dev/null
    wait_log controller 'INFO - The restart state of svc-a was changed in Redis' 5
    log_mark controller
    heal_once svc-a
    wait_log controller 'Attempting restart of svc-a \(attempt 3/3\)' 5
}

test_holds() {
    local before
    start_all
    run_service svc-a
    run_service svc-b
    wait_healthy 2
    r set health:hold:container:svc-a '{"reason": "migration", "by": "anna", "until": null}' > /dev/null
    before=$(started_at svc-b)
    crash svc-a
    crash svc-b
    wait_for 20 "was_started_again svc-b '$before'"
    expect_never 4 controller 'Attempting restart of svc-a'
    before=$(started_at svc-a)
    r del health:hold:container:svc-a > /dev/null
    wait_for 20 "was_started_again svc-a '$before'" 'released and running again'
}

test_read_only_redis_is_an_outage() {
    start_all
    run_service svc-a
    wait_healthy 1
    r replicaof 127.0.0.1 1 > /dev/null
    heal_once svc-a
    wait_log controller 'WARNING - Redis is away: READONLY' 10
    r replicaof no one > /dev/null
    wait_for 10 '[ "$(attempts_of svc-a)" = 1 ]' 'the attempt is stored'
    wait_for 5 'has_event REDIS_RECOVERED'
}

test_key_is_changed_in_steps() {
    "$BIN/defib-controller" --gen-key > "$T/one"
    "$BIN/defib-controller" --gen-key > "$T/two"
    grep -qE '^k[0-9]{8}[0-9a-f]{4}:[0-9a-f]{64}$' "$T/one"
    not cmp -s "$T/one" "$T/two"
    cp "$T/one" "$T/agent.key"
    cp "$T/one" "$T/controller.key"
    chmod 600 "$T/agent.key" "$T/controller.key"
    start_redis
    start_agent DEFIB_KEY_FILE="$T/agent.key"
    start_controller DEFIB_KEY_FILE="$T/controller.key"
    wait_agent
    run_service svc-a
    wait_healthy 1
    heal_once svc-a
    # first all learn the new one, then it signs, then the old one goes
    cat "$T/two" >> "$T/agent.key"
    kill -HUP "$(pid_of agent)"
    cat "$T/two" "$T/one" > "$T/controller.key"
    kill -HUP "$(pid_of controller)"
    wait_log controller 'SIGHUP: 2 keys read' 5
    heal_once svc-a
    # a bad file leaves the old keys in force
    echo rubbish > "$T/controller.key"
    kill -HUP "$(pid_of controller)"
    wait_log controller 'ERROR - SIGHUP: the keys stay as they were' 5
    heal_once svc-a
    not grep -rqF "$(cut -d: -f2 "$T/two")" "$T"/*.log
}

test_state_folder_that_cannot_be() {
    local status=0
    touch "$T/file"
    DEFIB_STATE_DIR="$T/file/state" "$BIN/defib-controller" 2> "$T/err" || status=$?
    expect_eq "$status" 2 'exit code'
    expect_eq "$(wc -l < "$T/err")" 1 'lines'
    grep -qF "DEFIB_STATE_DIR: $T/file" "$T/err"
}

test_ends_in_order_while_redis_hangs() {
    start_all
    run_service svc-a
    wait_healthy 1
    kill -STOP "$(pid_of redis)"
    crash svc-a
    sleep 0.7
    stop controller 5
    kill -CONT "$(pid_of redis)"
    start_controller
    wait_for 20 'is_running svc-a'
}

run_tests "$@"
