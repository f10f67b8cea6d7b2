#!/bin/bash
# Keys of the fleet: rotated under load, refused where others may read them (proto/envelope.h, common/key_file.h).
# shellcheck disable=SC2317,SC2119  # the tests are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

# A budget that never ends, no breaker, no patience: a death is healed within half a second.
# shellcheck disable=SC2054
EAGER=(MAX_RESTART_ATTEMPTS=1000 RESTART_BACKOFF_SECS=0 RESTART_JITTER_PCT=0 FAST_CHECK_SECS=0 BREAKER_MIN=1000)

new_key() { "$BIN/defib-controller" --gen-key | sed "s/^[^:]*/$1/"; }

# keys SIDE KEY...: this side's file holds these keys, the first signs; replaced as a whole, as an editor does.
keys() {
    local side=$1 key
    shift
    for key in "$@"; do cat "$T/key.$key"; done > "$T/$side.new"
    chmod 600 "$T/$side.new"
    mv "$T/$side.new" "$T/$side.key"
}

hang_up() {
    log_mark "$1"
    kill -HUP "$(pid_of "$1")"
    wait_log "$1" "${2:-keys}" 5
}

start_both() {
    local key
    for key in old new; do new_key "$key" > "$T/key.$key"; done
    keys agent old
    keys controller old
    start_redis
    start_agent "${EAGER[@]}" DEFIB_KEY_FILE="$T/agent.key"
    start_controller "${EAGER[@]}" DEFIB_KEY_FILE="$T/controller.key"
    wait_agent
    wait_controller
}

# Kills one after the other until told to stop; each must run again within 10 s.
keep_killing() {
    local i=0 before name
    while [ ! -e "$T/enough" ]; do
        name=svc-$((i++ % 3))
        before=$(started_at "$name")
        d kill "$name" > /dev/null
        wait_for 10 "was_started_again $name '$before'"
        echo "$name" >> "$T/healed"
    done
}
healed() { wc -l < "$T/healed"; }
# The rotation goes on behind two more restarts, so that every step is in force while commands are sent.
two_more() { wait_for 20 "[ \$(healed) -ge $(($(healed) + 2)) ]" 'two more restarts'; }

test_a_rotation_misses_no_restart() {
    local i killer
    for i in 0 1 2; do run_service "svc-$i"; done
    start_both
    wait_healthy 3
    touch "$T/healed"
    keep_killing &
    killer=$!
    two_more
    # 1. known everywhere, signs nowhere
    keys agent old new && hang_up agent 'read again: 2 keys' && two_more
    keys controller old new && hang_up controller '2 keys read' && two_more
    # 2. signs everywhere, in any order
    keys controller new old && hang_up controller '2 keys read' && two_more
    keys agent new old && hang_up agent 'read again: 2 keys' && two_more
    # 3. the old one is gone
    keys agent new && hang_up agent 'read again: 1 keys' && two_more
    keys controller new && hang_up controller '1 keys read' && two_more
    touch "$T/enough"
    wait "$killer"
    rm "$T"/*.mark
    wait_for 5 "[ \$(count_log controller 'Successfully restarted svc-') = $(healed) ]" 'a success for each death'
    expect_eq "$(count_log controller 'Attempting restart of svc-')" "$(healed)" 'one attempt for each death'
    expect_eq "$(count_log controller 'Failed to restart|does not count|unauthorized')" 0 'complaints of the controller'
    expect_eq "$(count_log agent 'Request refused')" 0 'refused requests'
}

# The steps in the wrong order: nothing is carried out, and once the agent knows the key everything is.
test_a_key_that_the_agent_lacks_restarts_nothing() {
    local before
    run_service svc-0
    start_both
    wait_healthy 1
    keys controller new old && hang_up controller '2 keys read'
    before=$(started_at svc-0)
    d kill svc-0
    wait_log agent 'Request refused: .*key' 10
    expect_while 2 'not is_running svc-0'
    keys agent old new && hang_up agent 'read again: 2 keys'
    wait_for 20 "was_started_again svc-0 '$before'" 'svc-0 is restarted once the agent knows the key'
}

# A file that cannot be used leaves the keys as they are.
test_a_bad_file_changes_nothing() {
    local before side says
    run_service svc-0
    start_both
    wait_healthy 1
    for says in 'open to others' 'line 1' 'No such file'; do
        for side in agent controller; do
            keys "$side" new
            case $says in
                open*) chmod 640 "$T/$side.key" ;;
                line*) echo nonsense > "$T/$side.key" ;;
                No*) rm "$T/$side.key" ;;
            esac
            hang_up "$side" "keys stay as they (are|were): DEFIB_KEY_FILE $T/$side.key: .*$says"
        done
    done
    before=$(started_at svc-0)
    d kill svc-0
    wait_for 10 "was_started_again svc-0 '$before'"
}

# refuses_key PROGRAM MODE: exit 2 and one line that names the setting, the mode and what is allowed.
refuses_key() {
    local status=0
    chmod "$2" "$T/key"
    env -i PATH="$PATH" DEFIB_STATE_DIR="$T/state-x" DEFIB_KEY_FILE="$T/key" "$BIN/$1" > /dev/null 2> "$T/err" || status=$?
    expect_eq "$status" 2 "exit code of $1 with mode $2"
    expect_match "$(cat "$T/err")" "^$1: DEFIB_KEY_FILE $T/key: open to others \(mode 0$2\), allowed is 0600 or 0400: chmod 600\$"
}

test_a_key_that_others_may_read_is_refused() {
    local mode
    new_key k > "$T/key"
    for mode in 640 604 660 602; do
        refuses_key defib-agent "$mode"
        refuses_key defib-controller "$mode"
    done
}

run_tests "$@"
