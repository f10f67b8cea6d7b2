#!/bin/bash
# Every part dies and comes back; what is healthy is left alone, what is known stays known.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }
attempts_of() { r get "health:restart:$1" | grep -oE '"attempt_count": ?[0-9]+' | grep -oE '[0-9]+$'; }
run_services() { for n in "$@"; do run_service "svc-$n"; done; }

# One list of moments for every run: the seed is fixed, a failure repeats.
moments() {
    local n
    RANDOM=$1
    for n in $(seq "$2"); do printf '%d.%02d\n' $((RANDOM % 2)) $((RANDOM % 100)); done
}

cpu_ms() { awk '{print ($14 + $15) * 10}' "/proc/$(pid_of "$1")/stat"; }

# NAME...: each of them uses less than a tenth of a CPU for the next three seconds
expect_idle() {
    local name before=() i=0
    for name in "$@"; do before+=("$(cpu_ms "$name")"); done
    nap 3000
    for name in "$@"; do
        before[i]=$(($(cpu_ms "$name") - before[i]))
        echo "the idle $name used ${before[i]} ms of CPU in 3 s"
        [ "${before[i]}" -lt 300 ] || fail "the idle $name used ${before[i]} ms of CPU in 3 s"
        i=$((i + 1))
    done
}

test_nothing_to_do_costs_next_to_nothing() {
    start_redis
    start_controller
    wait_controller
    expect_idle controller
    start_agent
    wait_agent
    expect_idle controller agent
    stop_redis
    wait_log controller 'Redis is away' 10
    expect_idle controller agent
    stop_engine
    expect_idle controller agent
    stop agent
    expect_idle controller
    start_engine
}

test_agent_killed_at_any_moment() {
    local before delay
    start_all
    run_services 1 2 3
    wait_healthy 3
    before=$(all_incarnations)
    for delay in $(moments 20260123 8); do
        sleep "$delay"
        kill_hard agent
        start_agent
    done
    log_mark controller
    wait_healthy 3
    expect_never 3 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    before=$(started_at svc-2)
    crash svc-2
    wait_for 20 "was_started_again svc-2 '$before'" 'it still heals'
}

test_controller_killed_at_any_moment() {
    local before delay
    start_all
    run_services 1 2 3
    wait_healthy 3
    before=$(all_incarnations)
    for delay in $(moments 19051 8); do
        sleep "$delay"
        kill_hard controller
        start_controller
    done
    log_mark controller
    wait_healthy 3
    expect_never 3 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    before=$(started_at svc-2)
    crash svc-2
    wait_for 20 "was_started_again svc-2 '$before'" 'it still heals'
}

# Killing the controller while it works through attempts buys no extra attempt.
test_controller_killed_amid_attempts() {
    local delay starts
    start_all
    run_service svc-1
    wait_healthy 1
    record_events events
    d exec svc-1 touch /tmp/crash
    d kill svc-1
    for delay in $(moments 7 6); do
        sleep "$delay"
        kill_hard controller
        start_controller
    done
    wait_log controller 'exhausted restart attempts \(3/3\)' 40
    expect_while 4 '[ "$(attempts_of svc-1)" = 3 ]'
    starts=$(count_log events '^start svc-1$')
    [ "$starts" -le 3 ] || fail "$starts starts for 3 attempts"
    [ "$starts" -ge 1 ] || fail 'no start at all'
}

# The stop came before the agent's death, or while it was away: it stays a stop; a crash stays a crash.
test_stops_across_the_agents_death() {
    local before
    start_all
    run_services before during crashed
    wait_healthy 3
    d stop svc-before
    wait_for 10 '[ "$(r exists health:intent:svc-before)" = 1 ]'
    before=$(started_at svc-crashed)
    kill_hard agent
    d stop svc-during
    crash svc-crashed
    start_agent
    wait_for 20 "was_started_again svc-crashed '$before'" 'the crashed one is running again'
    expect_never 5 controller 'Attempting restart of svc-(before|during)'
    not is_running svc-before
    not is_running svc-during
}

test_both_killed_then_a_crash_meanwhile() {
    local before
    start_all
    run_services 1 2
    wait_healthy 2
    before=$(started_at svc-1)
    kill_hard agent
    kill_hard controller
    crash svc-1
    start_agent
    start_controller
    wait_for 20 "was_started_again svc-1 '$before'"
    log_mark controller
    wait_healthy 2
}

test_redis_killed_and_back() {
    local before started
    start_all
    run_services 1 2 3
    wait_healthy 3
    before=$(all_incarnations)
    log_mark controller
    kill_hard redis
    # much more than a TTL
    expect_never 6 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    # restarts go on over the second path
    started=$(started_at svc-1)
    crash svc-1
    wait_for 20 "was_started_again svc-1 '$started'" 'healed while Redis is away'
    before=$(all_incarnations)
    start_redis
    wait_agent
    log_mark controller
    wait_healthy 3
    expect_never 4 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    # the attempt made without Redis is on the account
    wait_for 10 '[ "$(attempts_of svc-1)" = 1 ]' 'the attempt is stored'
}

test_redis_flushed() {
    local before
    start_all
    run_services 1 2 3
    wait_healthy 3
    before=$(all_incarnations)
    r flushall
    expect_never 6 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    log_mark controller
    wait_healthy 3
}

test_redis_hangs() {
    local before
    start_all
    run_services 1 2
    wait_healthy 2
    before=$(all_incarnations)
    kill -STOP "$(pid_of redis)"
    expect_never 6 controller 'Attempting restart'
    kill -CONT "$(pid_of redis)"
    log_mark controller
    wait_healthy 2
    expect_never 2 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
}

test_agent_hangs_is_no_death_of_its_containers() {
    local before
    start_all
    subscribe alerts system:alerts
    run_services 1 2
    wait_healthy 2
    before=$(all_incarnations)
    kill -STOP "$(pid_of agent)"
    wait_log alerts '"AGENT_LOST"' 20
    expect_never 3 controller 'Attempting restart'
    kill -CONT "$(pid_of agent)"
    wait_log alerts '"AGENT_RECOVERED"' 20
    log_mark controller
    wait_healthy 2
    expect_eq "$(count_log alerts AGENT_LOST)" 1 'alerts'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
}

# A dockerd that shuts down stops everything, which looks like an operator who does.
test_engine_restarted() {
    start_all
    run_services 1 2 held
    wait_healthy 3
    d stop svc-held
    wait_for 10 '[ "$(r exists health:intent:svc-held)" = 1 ]'
    stop_engine
    sleep 1
    start_engine
    wait_for 30 'is_running svc-1 && is_running svc-2' 'what ran is running again'
    expect_never 4 controller 'Attempting restart of svc-held'
    not is_running svc-held
    expect_eq "$(r exists health:intent:svc-1)" 0 'intent of svc-1'
}

# The new dockerd stops what it finds alive, and then forgets that, as more happens than it remembers: with the
# agent away no event is left that would tell a shutdown from an operator.
test_engine_and_agent_killed() {
    local events folder=$T
    for events in 0 300; do
        T=$folder/$events RUN=$folder/$events/run
        mkdir -p "$RUN"
        start_all
        run_services 1 held
        wait_healthy 2
        d stop svc-held
        wait_for 10 '[ "$(r exists health:intent:svc-held)" = 1 ]'
        kill_hard agent
        kill_engine
        start_engine
        wait_for 20 'not is_running svc-1' 'the new dockerd stops what it found'
        [ "$events" = 0 ] || curl -sf -o /dev/null --unix-socket "$(sock)" -H 'Content-Type: application/json' \
            -d '{}' "http://docker/v1.41/volumes/create?n=[1-$events]"
        start_agent
        wait_for 30 'is_running svc-1' 'what ran is running again'
        expect_never 4 controller 'Attempting restart of svc-held'
        not is_running svc-held
        stop agent
        stop controller
        stop redis 10
        d rm -f svc-1 svc-held
    done
}

test_engine_killed_and_back_with_live_restore() {
    local before pid
    stop_engine
    start_engine --live-restore
    start_all
    run_services 1 2
    wait_healthy 2
    before=$(all_incarnations)
    kill_engine
    sleep 2
    start_engine --live-restore
    log_mark controller
    wait_healthy 2
    expect_never 4 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    # one that dies while nobody watches leaves no event
    pid=$(d inspect -f '{{.State.Pid}}' svc-1)
    before=$(started_at svc-1)
    kill_engine
    kill -KILL "$pid"
    start_engine --live-restore
    wait_for 30 "was_started_again svc-1 '$before'" 'the dead one is running again'
    is_running svc-2
    remove_containers
    stop_engine
    start_engine
}

# Neither Docker nor Redis need be there at the start.
test_started_before_engine_and_redis() {
    local before
    stop_engine
    start_agent
    start_controller
    sleep 2
    is_up agent || fail 'the agent gave up'
    is_up controller || fail 'the controller gave up'
    start_redis
    start_engine
    wait_agent
    run_services 1
    wait_healthy 1
    before=$(started_at svc-1)
    crash svc-1
    wait_for 20 "was_started_again svc-1 '$before'"
}

run_tests "$@"
