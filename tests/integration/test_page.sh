#!/bin/bash
# The page at /, in headless Chromium on real parts. What is done in the browser stands in tests/browser/scenarios.js, and asks
# for what it wants done to the fleet by the functions here. Screenshots stay in the build's folder browser/shots.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

MODULES=$(dirname "$BIN")/browser
SHOTS=$MODULES/shots
TOKEN=0123456789abcdef

setup_file() {
    "$ROOT/tests/browser/install" "$MODULES" || fail "no playwright-core and axe-core in $MODULES"
    mkdir -p "$SHOTS"
    start_engine
}

# play SCENARIO: until it ends; each line that comes is a command of this shell.
play() {
    local line='' part
    mkfifo "$T/to" "$T/from"
    # opened for both: neither end waits for the other
    exec 3<> "$T/to" 4<> "$T/from"
    spawn browser in_ns env HOME="$T" MODULES="$MODULES" SHOTS="$SHOTS" TO="$T/to" FROM="$T/from" \
        WAIT_FACTOR="$WAIT_FACTOR" node "$ROOT/tests/browser/drive.js" "$1"
    while is_up browser; do
        # what came before the time was over is part of the line
        IFS= read -r -t 0.2 part <&3 || { line+=$part && continue; }
        line+=$part
        # in the background, so that -e holds within
        eval "$line" < /dev/null > "$T/command.out" 2>&1 &
        if wait $!; then echo ok >&4; else cat "$T/command.out" && echo failed >&4; fi
        line=''
    done
    exec 3>&- 4>&-
    grep -v 'unexpected operator' "$T/browser.log" || true
    expect_eq "$(exit_of browser)" 0 "the browser's part of $1"
}

# ---- what the browser asks for ----

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }

# remember NAME: this incarnation, for comes_back.
remember() { started_at "$1" > "$T/started-$1"; }
comes_back() { wait_for 20 "was_started_again $1 '$(cat "$T/started-$1")'" "$1 was started again"; }

# It dies, and again after each start.
end_for_good() {
    d exec "$1" touch /tmp/crash
    crash "$1"
}

# It dies and nobody starts it.
crash_and_stay() {
    remember "$1"
    crash "$1"
    wait_for 10 "not is_running $1"
    expect_while 3 "not is_running $1"
}

no_hold() { expect_eq "$(r exists "health:hold:$1")" 0 "a hold of $1"; }

begin_again() {
    start_controller DEFIB_HTTP_TOKEN_FILE="$T/token"
    wait_controller
}

freeze() { kill -STOP "$(pid_of controller)"; }
thaw() { kill -CONT "$(pid_of controller)"; }

# ---- the fleet ----

start_fleet() {
    echo "$TOKEN" > "$T/token"
    chmod 600 "$T/token"
    start_all DEFIB_HTTP_TOKEN_FILE="$T/token" RESTART_DENY_SERVICES=svc-denied "$@"
}

test_a_kill_appears_and_is_explained() {
    start_fleet RESTART_COOLDOWN_SECS=300 RESTART_STABLE_SECS=300
    run_service svc-a
    run_service svc-b
    run_service svc-denied
    run_service svc-loop -e EXIT_CODE=7
    wait_healthy 4
    play kill
}

test_a_change_needs_the_token() {
    start_fleet
    run_service svc-a
    run_service other
    wait_healthy 2
    remember svc-a
    play change
}

test_cut_off_it_says_so_and_comes_back() {
    start_fleet
    run_service svc-a
    run_service svc-loop
    wait_healthy 2
    play restart
}

# beat CONTAINER STATUS: a service that beats for itself, without an agent.
beat() {
    jq -nc --arg name "$1" --arg status "$2" '{service: "enemy", instance_id: $name, container: $name, status: $status, timestamp: (now | todate),
        started_at: (now - 3600 | todate), checks: {}, metrics: {}}' > "$T/beat"
    r -x publish health:heartbeats < "$T/beat"
}

test_names_are_text() {
    start_fleet
    run_service svc-a
    wait_healthy 1
    beat '<img src=x onerror=alert(1)>' healthy
    beat '"><script>alert(2)</script>' unhealthy
    play enemy
}

make_trouble() {
    end_for_good svc-loop
    d kill svc-denied
    d pause svc-paused
    d stop svc-stopped
    in_ns curl -sS -f -H "Authorization: Bearer $TOKEN" -d '{"kind": "service", "name": "svc-b", "reason": "a migration", "by": "anna", "for_secs": 3600}' \
        http://127.0.0.1:7410/api/v1/hold
}

test_no_violation_of_accessibility() {
    local name
    start_fleet
    for name in a b c d denied paused stopped; do run_service "svc-$name"; done
    run_service svc-loop
    run_service other
    wait_healthy 9
    play looks
}

test_beyond_loopback_all_needs_the_token() {
    start_fleet DEFIB_HTTP_LISTEN=0.0.0.0:7410
    run_service svc-a
    wait_healthy 1
    play guarded
}

# beat_all STATUS [HOSTS]: one round of heartbeats of 50 containers on each of 10 hosts, or of fewer of these hosts.
beat_all() {
    SEQ=$(($(cat "$T/seq" 2> /dev/null || echo 0) + 1))
    echo "$SEQ" > "$T/seq"
    "$BIN/tests/bench/beat_load" "$T/redis.sock" "ipc://$T/nobody.ipc" "${2:-10}" 50 1 200 "$SEQ" "$1"
}

test_five_hundred_containers() {
    start_redis
    start_controller HEARTBEAT_TTL_SECS=300 AGENT_LOST_SECS=300 RESTART_ALLOW_SERVICES='*'
    wait_controller
    beat_all healthy
    wait_healthy 500
    play large
}

run_tests "$@"
