#!/bin/bash
# What was recorded of a real run decides the same again, and something else with other settings.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

# The documented way.
export_journal() { r --raw xrange health:events - + > "$T/journal"; }

# A Redis that keeps its data over a stop, and both programs.
start_lasting() {
    start_redis --appendonly yes
    start_agent "$@"
    start_controller "$@"
    wait_agent
    wait_controller
}

# replay [NAME=value...]: what T/journal says with these settings beside its own, into T/replay.
replay() {
    env -i "$@" "$BIN/defib-controller" --replay "$T/journal" > "$T/replay" 2> "$T/replay.err" ||
        fail "replay: $(cat "$T/replay.err")"
}
difference() { sed -n '/^Difference/,$p' "$T/replay" | tail -n +2; }
would_have() { sed -n '/^What would/,/^Difference/p' "$T/replay"; }
count_would() { would_have | grep -cE -e "$1" || true; }
expect_no_difference() { expect_eq "$(difference)" '  none' 'difference'; }

# All that is decided, journal included, lies in Redis.
wait_settled() {
    sleep 1.5
    stop controller
}

test_a_run_decides_the_same_again() {
    run_service svc-a
    run_service svc-b
    run_service svc-c
    start_lasting
    wait_healthy 3
    d kill svc-a
    wait_log controller 'Service svc-a recovered' 15
    d stop -t 1 svc-b
    wait_for 10 'r xrange health:events - + | grep -q "\"to\":\"HELD\""' 'svc-b is held'
    stop_redis
    wait_log controller 'Redis is away' 5
    d kill svc-c
    wait_log controller 'Successfully restarted svc-c' 15
    start_redis --appendonly yes
    wait_log controller 'Redis is back' 10
    wait_log controller 'Published alert: .*SERVICE_RECOVERED.*svc-c' 15
    d start svc-b
    wait_healthy 3
    d kill svc-a
    wait_log controller 'Attempting restart of svc-a \(attempt 2/3\)' 15
    wait_healthy 3
    wait_settled
    export_journal
    replay
    expect_no_difference
    expect_eq "$(count_would 'svc-a: start, attempt 1')" 1 'first attempts'
    expect_eq "$(count_would 'svc-a: start, attempt 2')" 1 'second attempts'
    expect_eq "$(count_would 'svc-c: start, attempt 1')" 1 'attempts without Redis'
    expect_eq "$(count_would 'svc-b: .* -> HELD')" 1 'holds'
}

test_other_settings_decide_otherwise() {
    run_service svc-a
    run_service svc-b
    # the agent would refuse by a list of its own
    start_redis --appendonly yes
    start_agent
    start_controller RESTART_DENY_SERVICES=svc-b
    wait_agent
    wait_controller
    wait_healthy 2
    d kill svc-b
    wait_log controller 'Service svc-b is unhealthy but in deny list - alerting only' 10
    # a crash loop: three attempts, then the cooldown
    for attempt in 1 2 3; do
        d kill svc-a
        wait_log controller "Attempting restart of svc-a \(attempt $attempt/3\)" 15
        wait_for 10 'is_running svc-a'
        wait_log controller 'Successfully restarted svc-a' 10
        log_mark controller
        sleep 0.7
    done
    d kill svc-a
    wait_log controller 'Service svc-a exhausted restart attempts \(3/3\)' 15
    wait_settled
    export_journal
    replay
    expect_no_difference
    expect_eq "$(count_would 'svc-a: start, attempt')" 3 'attempts'

    replay MAX_RESTART_ATTEMPTS=1
    expect_match "$(cat "$T/replay")" 'MAX_RESTART_ATTEMPTS=1, was 3' 'settings that differ'
    expect_eq "$(count_would 'svc-a: start, attempt')" 1 'attempts of one'
    expect_eq "$(count_would 'svc-a: alert SERVICE_RESTART_FAILED max_attempts_exhausted')" 1 'alerts'
    expect_eq "$(difference | grep -c -- '^- .* svc-a: start, attempt')" 2 'attempts that are not made'

    replay RESTART_DENY_SERVICES='svc-*'
    expect_eq "$(count_would 'start, attempt')" 0 'attempts where all is denied'
    expect_eq "$(count_would 'svc-a: alert SERVICE_RESTART_FAILED deny_list')" 1 'alerts'

    # denied then, allowed now: nobody knows how that would have ended
    replay RESTART_DENY_SERVICES=
    expect_eq "$(count_would 'svc-b: start, attempt 1')" 1 'attempts of svc-b'
    expect_match "$(cat "$T/replay")" '1 restarts were never tried' 'what is assumed'

    replay RESTART_BACKOFF_SECS=4
    expect_match "$(difference)" '~ [^ ]* svc-a: start, attempt 2' 'attempts that come later'

    ! env -i MAX_RESTART_ATTEMPTS=many "$BIN/defib-controller" --replay "$T/journal" > "$T/out" 2> "$T/err" || fail 'a bad setting'
    expect_match "$(cat "$T/err")" 'MAX_RESTART_ATTEMPTS="many"' 'complaint'
}

test_a_stampede_with_another_breaker() {
    local name
    for name in a b c d; do run_service "svc-$name"; done
    start_lasting BREAKER_MIN=100 RESTART_MAX_PER_HOST=4 RESTART_MAX_FLEET=4
    wait_healthy 4
    d kill svc-a svc-b svc-c svc-d > /dev/null
    for name in a b c d; do wait_log controller "Service svc-$name recovered" 20; done
    wait_settled
    export_journal
    replay
    expect_no_difference
    expect_eq "$(count_would 'start, attempt 1')" 4 'attempts'
    replay BREAKER_MIN=2
    expect_eq "$(count_would 'alert BREAKER_OPEN')" 2 'breakers that open, of the host and the fleet'
    [ "$(count_would 'start, attempt 1')" -lt 4 ] || fail 'an open breaker let all through'
}

test_a_quiet_fleet_writes_nothing() {
    run_service svc-a
    run_service svc-b
    start_all
    wait_healthy 2
    sleep 2
    local before
    before=$(r xlen health:events)
    sleep 5
    expect_eq "$(r xlen health:events)" "$before" 'entries of health:events after five quiet seconds'
}

run_tests "$@"
