#!/bin/bash
# One command id, at most one change in Docker: by Docker's own events, with agent and controller killed at every step of
# a command, and with a network between them that doubles, delays, swaps, hangs and then delivers.
# shellcheck disable=SC2317,SC2119  # the tests are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# Programs that can be told where to die (common/fault.h).
MORTAL=$BIN-faults
[ -x "$MORTAL/defib-agent" ] || { echo "test_once.sh: no $MORTAL: make faults" >&2 && exit 2; }

# A container of runtime `slow` takes half a second more to start, so that a command has no outcome yet when it is asked for.
setup_file() {
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nfor word; do [ "$word" != start ] || sleep 0.5; done\nexec runc "$@"\n' > "$DIR/slow-runc"
    chmod +x "$DIR/slow-runc"
    start_engine --add-runtime "slow=$DIR/slow-runc"
}

# shellcheck disable=SC2054
EAGER=(MAX_RESTART_ATTEMPTS=1000 RESTART_BACKOFF_SECS=0.2 RESTART_JITTER_PCT=0 FAST_CHECK_SECS=0 BREAKER_MIN=1000 SETTLE_SECS=0)

send() { in_ns "$BIN/tests/tools/defib_send" "tcp://127.0.0.1:${PORT:-7411}" "$1" host="$HOST" "${@:2}"; }
target() { echo "container=$1 container_id=$(id_of "$1") started_at=$(started_at "$1")"; }
new_id() { head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
outcome() { send outcome id="$1" | jq -r .code; }
ended() { ! [[ $(outcome "$@") =~ ^(|null|accepted)$ ]]; } # an agent that does not answer in time has not said so
wait_listed() { wait_for 10 "r get health:agent:$HOST | grep -qF '$(started_at "$1")'" "the agent lists $1"; }
starts_of() { grep -c "^start $1\$" "$T/events.log" || true; }

agent_points() { strings "$MORTAL/defib-agent" | sed -n 's/^fault:\(agent_[a-z_]*\)$/\1/p' | sort; }
controller_points() { strings "$MORTAL/defib-controller" | sed -n 's/^fault:\(controller_[a-z_]*\)$/\1/p' | sort; }

# The fault build's agent or controller, to die at a point.
start_mortal() { BIN=$MORTAL "start_$1" "${EAGER[@]}" DEFIB_FAULT="$2" "${@:3}"; }

# died NAME: as it was told to, not otherwise.
wait_died() {
    wait_for 15 "! is_up $1" "$1 dies at its point"
    expect_match "$(exit_of "$1")" '^(137|142)$' "how $1 ended"
    rm -f "$RUN/$1.pid"
}

# A restart of a running container; the agent dies at the point; copies of the command come in late.
dies_and_hears_it_again() {
    local point=$1 name=$2 id aim
    id=$(new_id)
    aim=$(target "$name")
    start_mortal agent "$point"
    wait_for 10 'send ping timeout_ms=300'
    wait_listed "$name"
    # shellcheck disable=SC2086
    send restart $aim id="$id" stop_timeout_ms=1000 timeout_ms=1000 > "$T/receipt" || true
    wait_died agent
    start_agent "${EAGER[@]}"
    wait_for 10 'send ping timeout_ms=300'
    # shellcheck disable=SC2086
    for _ in 1 2 3; do send restart $aim id="$id" stop_timeout_ms=1000 > "$T/copy"; done
    wait_for 30 "ended $id" "the command has ended ($point)"
    # shellcheck disable=SC2086
    send restart $aim id="$id" stop_timeout_ms=1000 > "$T/copy"
    expect_match "$(jq -r .code "$T/copy")" '^(ok|docker_error|expired|already_restarted|stale_target|not_found|refused_held|busy)$' "the last word on $point"
    stop agent
    rm -f "$RUN/agent.pid"
}

test_an_agent_killed_at_every_step_restarts_once() {
    local point i=0
    start_redis
    record_events events
    for point in $(agent_points) agent_asking+60 agent_asking+150; do
        i=$((i + 1))
        run_service "svc-$i"
        wait_for 5 "[ \$(starts_of svc-$i) = 1 ]"
        dies_and_hears_it_again "$point" "svc-$i"
        echo "$point: $(($(starts_of "svc-$i") - 1)) restarts, then $(jq -r '.code + " " + .detail' "$T/copy")"
        [ "$(starts_of "svc-$i")" -le 2 ] || fail "svc-$i was restarted $(($(starts_of "svc-$i") - 1)) times by one command ($point)"
    done
    [ "$i" -ge 11 ] || fail "only $i points"
}

# A death, and one of the two dies while it is healed: it is started once, not twice, and does run again.
heals_once() {
    local side=$1 point=$2 name=$3 before
    start_agent "${EAGER[@]}"
    [ "$side" = agent ] || start_controller "${EAGER[@]}"
    if [ "$side" = agent ]; then
        stop agent && rm -f "$RUN/agent.pid"
        start_mortal agent "$point"
        start_controller "${EAGER[@]}"
    else
        stop controller && rm -f "$RUN/controller.pid"
        start_mortal controller "$point"
    fi
    wait_agent
    wait_controller
    wait_listed "$name"
    wait_healthy "$4"
    before=$(started_at "$name")
    d kill "$name" > /dev/null
    wait_died "$side"
    "start_$side" "${EAGER[@]}"
    wait_for 40 "was_started_again $name '$before'" "$name is healed after the $side died at $point"
    expect_while 1 "[ \$(starts_of $name) = 2 ]" "$name was started once ($point)"
    stop agent && stop controller
    rm -f "$RUN"/{agent,controller}.pid
}

heals_at_every_step() { # SIDE POINT...
    local side=$1 point i=0 runtime
    shift
    start_redis
    record_events events
    for point in "$@"; do
        i=$((i + 1))
        runtime=()
        [[ $point != *:2 ]] || runtime=(--runtime slow)
        run_service "svc-$i" "${runtime[@]}"
        heals_once "$side" "$point" "svc-$i" "$i"
        echo "$point: once"
    done
}

test_a_controller_killed_at_every_step_heals_once() {
    local points
    mapfile -t points < <(controller_points)
    [ "${#points[@]}" -ge 6 ] || fail "only ${points[*]}"
    heals_at_every_step controller "${points[@]}" controller_answered:2
}

test_an_agent_killed_while_it_heals_heals_once() { heals_at_every_step agent agent_received agent_intent_written agent_asking+40 agent_acted agent_ended; }

# bad_network [name=value...]: between the controller and the agent, at port 7500.
bad_network() {
    spawn proxy in_ns "$BIN/tests/tools/nng_proxy" 7500 7411 "$@"
    wait_log proxy ready 5
}

start_behind_it() {
    start_redis
    start_agent "${EAGER[@]}"
    wait_agent
    record_events events
    bad_network "$@"
}

has_come() {
    # shellcheck disable=SC2086
    PORT=7500 send restart $aim id="$2" stop_timeout_ms=1000 times=2 >> "$T/receipts.log" 2>&1 || true
    local i
    for ((i = 0; i < 60; i++)); do
        ! grep -q "Command ${2:0:8}: restart of $1: " "$T/agent.log" || return 0
        sleep 0.05
    done
    return 1
}

test_doubled_delayed_and_swapped_commands_restart_once() {
    local i id aim
    for i in 1 2 3 4; do run_service "svc-$i"; done
    start_behind_it copies=3 late_ms=1500 swap=1 delay_ms=80
    for i in 1 2 3 4; do
        id=$(new_id)
        wait_listed "svc-$i"
        aim=$(target "svc-$i")
        # sent until it has come, as a controller does; to ask for an outcome before that would end the command
        wait_for 20 "has_come svc-$i $id"
        expect_eq "$(outcome "$id")" ok
    done
    sleep 2 # the late copies are still to come
    for i in 1 2 3 4; do expect_eq "$(starts_of "svc-$i")" 1 "starts of svc-$i"; done
}

# With a controller: each death leads to one start, however often its commands arrive.
test_each_death_is_healed_once_over_a_bad_network() {
    local before kills=0 hung=0
    run_service svc-a
    start_behind_it copies=2 late_ms=700 swap=1 delay_ms=50 hang_ms=4000
    start_controller "${EAGER[@]}" DEFIB_AGENTS="$HOST=tcp://127.0.0.1:7500"
    wait_controller
    wait_healthy 1
    for _ in 1 2 3 4 5 6 7 8; do
        before=$(started_at svc-a)
        d kill svc-a > /dev/null
        kills=$((kills + 1))
        # twice the link hangs just when the command is on its way
        [[ $kills != [36] ]] || { kill -USR1 "$(pid_of proxy)" && hung=$((hung + 1)); }
        wait_for 30 "was_started_again svc-a '$before'" "death $kills is healed"
    done
    expect_eq "$hung" 2
    expect_while 5 "[ \$(starts_of svc-a) = $kills ]" 'one start for each death'
    stop controller
}

# The sender has long given up and asked what came of it when its commands arrive.
test_what_a_slow_link_delivers_late_is_not_carried_out() {
    local i before
    for i in 1 2 3; do run_service "svc-$i"; done
    start_behind_it hold_ms=3000
    for i in 1 2 3; do wait_listed "svc-$i"; done
    before=$(all_incarnations)
    log_mark agent
    for i in 1 2 3; do
        new_id > "$T/id-$i"
        # shellcheck disable=SC2046
        PORT=7500 send restart $(target "svc-$i") id="$(cat "$T/id-$i")" timeout_ms=500 > "$T/out-$i" && fail 'it was answered'
        # by another way; the answer is a promise
        expect_eq "$(outcome "$(cat "$T/id-$i")")" unknown_id
    done
    expect_while 4 "[ \"\$(all_incarnations)\" = \"$before\" ]" 'nothing was restarted'
    for i in 1 2 3; do expect_eq "$(outcome "$(cat "$T/id-$i")")" expired; done
    expect_eq "$(wc -l < "$T/events.log")" 0 'events of Docker'
    # nobody had asked: then it is a command like any other, and good for what runs still
    # shellcheck disable=SC2046
    PORT=7500 send restart $(target svc-1) timeout_ms=500 stop_timeout_ms=1000 > "$T/out" && fail 'it was answered'
    wait_log agent 'Command .*: restart of svc-1: ok' 10
    expect_eq "$(starts_of svc-1)" 1
}

run_tests "$@"
