#!/bin/bash
# What an operator does by hand is not undone, and what dies beside it still comes back.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

# crash NAME: the main process dies of a signal that did not come through the Engine.
crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }

restart_state() { r exists "health:restart:$1"; }

# untouched_by_us NAME...: no command was tried for any of them, nothing is on their account.
untouched_by_us() {
    local name
    for name in "$@"; do
        expect_eq "$(count_log controller "Attempting restart of $name ")" 0 "attempts for $name"
        expect_eq "$(restart_state "$name")" 0 "restart state of $name"
    done
}

test_ten_stopped_stay_and_the_crashed_one_returns() {
    local names=() n before stopping
    for n in 1 2 3 4 5 6 7 8 9 10; do names+=("svc-$n"); done
    # ten at once keep an Engine busy: die and stop of one come far apart
    start_all STOP_SETTLE_SECS=2
    for n in "${names[@]}" svc-crashing; do run_service "$n"; done
    wait_healthy 11
    before=$(started_at svc-crashing)
    d stop "${names[@]}" > /dev/null &
    stopping=$!
    crash svc-crashing
    wait_for 20 "was_started_again svc-crashing '$before'" 'the crashed one is running again'
    wait_lines controller 5 'Attempting restart of svc-crashing (attempt 1/3)' 'Successfully restarted svc-crashing'
    wait "$stopping"
    for n in "${names[@]}"; do
        wait_for 20 "[ \"\$(r exists health:intent:$n)\" = 1 ]" "the intent of $n is stored"
    done
    expect_never 6 controller 'Attempting restart of svc-[0-9]'
    for n in "${names[@]}"; do not is_running "$n"; done
    untouched_by_us "${names[@]}"
}

test_stop_with_term_ignored() {
    start_all
    run_service svc-stubborn -e IGNORE_TERM=1
    wait_healthy 1
    d stop -t 2 svc-stubborn
    expect_eq "$(d inspect -f '{{.State.ExitCode}}' svc-stubborn)" 137 'exit code'
    expect_never 6 controller 'Attempting restart'
    not is_running svc-stubborn
    untouched_by_us svc-stubborn
}

test_start_by_hand_ends_the_hold() {
    local before
    start_all
    run_service svc-a
    wait_healthy 1
    d stop svc-a
    wait_for 10 '[ "$(r exists health:intent:svc-a)" = 1 ]'
    d start svc-a
    wait_for 10 '[ "$(r exists health:intent:svc-a)" = 0 ]' 'the intent is gone'
    log_mark controller
    wait_healthy 1
    before=$(started_at svc-a)
    crash svc-a
    wait_for 20 "was_started_again svc-a '$before'"
    wait_log controller 'Attempting restart of svc-a \(attempt 1/3\)' 5
}

test_kill_is_not_stop() {
    local before signal
    start_all
    run_service svc-a
    wait_healthy 1
    for signal in KILL TERM; do
        before=$(started_at svc-a)
        d kill -s "$signal" svc-a
        wait_for 20 "was_started_again svc-a '$before'" "back after a kill by $signal"
        log_mark controller
        wait_healthy 1
        r del health:restart:svc-a
    done
    # one that the service survives is nobody's business
    before=$(started_at svc-a)
    d kill -s HUP svc-a || true
    is_running svc-a || wait_for 20 "was_started_again svc-a '$before'"
}

test_remove_and_recreate_charges_nothing() {
    local id started
    start_all
    run_service svc-a
    wait_healthy 1
    d rm -f svc-a
    run_service svc-a
    id=$(id_of svc-a)
    started=$(started_at svc-a)
    log_mark controller
    wait_healthy 1
    expect_never 4 controller 'Attempting restart'
    expect_eq "$(id_of svc-a) $(started_at svc-a)" "$id $started" 'the new container'
    untouched_by_us svc-a
}

test_removed_for_good() {
    start_all
    subscribe alerts system:alerts
    run_service svc-a
    run_service svc-b
    wait_healthy 2
    d rm -f svc-a
    log_mark controller
    wait_healthy 1
    expect_never 4 controller 'svc-a'
    expect_never 0 alerts '"SERVICE_RESTART_FAILED"'
    untouched_by_us svc-a
}

# Nobody's failure, however impatient the settings: the kill of `rm -f` is none, nor what --rm takes away.
test_removed_with_no_patience() {
    local i
    start_all FAST_CHECK_SECS=0 STOP_SETTLE_SECS=0.1
    subscribe alerts system:alerts
    run_service svc-keep
    for i in 1 2 3 4; do run_service "svc-$i" --network bridge; done
    run_service svc-5 --rm --network bridge
    wait_healthy 6
    log_mark controller
    for i in 1 2 3 4; do d rm -f "svc-$i"; done
    kill -KILL "$(d inspect -f '{{.State.Pid}}' svc-5)"
    wait_healthy 1
    expect_never 2 controller 'Attempting restart|exhausted'
    expect_never 0 alerts '"SERVICE_RESTART_FAILED"'
    # while a kill is one, at once
    d kill svc-keep
    wait_log controller 'Attempting restart of svc-keep \(attempt 1/' 5
}

# As `docker compose up` does it: the old one renamed away, stopped and removed behind a new one.
test_recreate_as_compose_does() {
    local started
    start_all
    run_service svc-a --label com.docker.compose.project=p --label com.docker.compose.service=a --label com.docker.compose.container-number=1
    wait_healthy 1
    d stop svc-a
    d rename svc-a old_svc-a
    run_service svc-a --label com.docker.compose.project=p --label com.docker.compose.service=a --label com.docker.compose.container-number=1
    d rm old_svc-a
    started=$(started_at svc-a)
    log_mark controller
    wait_healthy 1
    expect_never 4 controller 'Attempting restart'
    expect_eq "$(started_at svc-a)" "$started" 'start of the new one'
    untouched_by_us svc-a
    # and the new one is looked after
    crash svc-a
    wait_for 20 "was_started_again svc-a '$started'"
}

test_pause_and_unpause() {
    local started
    start_all
    run_service svc-a
    wait_healthy 1
    started=$(started_at svc-a)
    d pause svc-a
    # more than a TTL and the threshold's checks
    expect_never 6 controller 'Attempting restart'
    d unpause svc-a
    log_mark controller
    wait_healthy 1
    expect_never 3 controller 'Attempting restart'
    expect_eq "$(started_at svc-a)" "$started" 'start'
    untouched_by_us svc-a
}

test_restart_by_hand() {
    local started
    start_all
    run_service svc-a
    wait_healthy 1
    d restart -t 1 svc-a
    started=$(started_at svc-a)
    log_mark controller
    wait_healthy 1
    expect_never 4 controller 'Attempting restart'
    expect_eq "$(started_at svc-a)" "$started" 'start'
    untouched_by_us svc-a
}

test_unhealthy_by_healthcheck_is_restarted() {
    local before
    start_all
    run_service svc-a --health-cmd 'test ! -e /tmp/sick' --health-interval 0.5s --health-retries 2
    wait_healthy 1
    before=$(started_at svc-a)
    d exec svc-a touch /tmp/sick
    wait_for 20 "was_started_again svc-a '$before'" 'restarted'
    wait_log controller 'Attempting restart of svc-a \(attempt 1/3\)' 5
}

test_one_that_docker_restarts_is_left_to_docker() {
    start_all
    run_service svc-a --restart on-failure -e CRASH_AFTER=2
    wait_for 20 '[ "$(d inspect -f "{{.RestartCount}}" svc-a)" -ge 2 ]'
    untouched_by_us svc-a
}

run_tests "$@"
