#!/bin/bash
# Two hosts, each with its Engine and agent, one controller and one Redis on the first. The second agent is reached
# over the cable between them, so every command is signed.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() {
    start_engine
    HOST=h2 start_engine
    connect_hosts h1 h2
}

# two_hosts [NAME=value...]: everything up; the settings are the agents'.
two_hosts() {
    printf 'fleet-1:%s\n' "$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" > "$T/key"
    chmod 600 "$T/key"
    start_redis --bind 127.0.0.1 10.213.0.1 --protected-mode no
    start_agent DEFIB_KEY_FILE="$T/key" "$@"
    HOST=h2 AS=agent2 start_agent DEFIB_KEY_FILE="$T/key" DEFIB_LISTEN=tcp://10.213.0.2:7411 \
        REDIS_URL=redis://10.213.0.1:6379 "$@"
    start_controller DEFIB_KEY_FILE="$T/key"
    wait_agent
    HOST=h2 wait_agent
    wait_controller
}

test_each_host_heals_its_own() {
    local first second
    two_hosts
    run_service svc-one
    HOST=h2 run_service svc-two
    wait_healthy 2
    first=$(started_at svc-one)
    second=$(HOST=h2 started_at svc-two)
    HOST=h2 d kill svc-two
    wait_lines controller 20 'Attempting restart of svc-two (attempt 1/3)' 'Successfully restarted svc-two'
    HOST=h2 was_started_again svc-two "$second" || fail 'svc-two is not running again'
    expect_eq "$(started_at svc-one)" "$first" 'svc-one'
    log_mark controller
    wait_healthy 2
    d kill svc-one
    wait_lines controller 20 'Attempting restart of svc-one (attempt 1/3)' 'Successfully restarted svc-one'
    was_started_again svc-one "$first" || fail 'svc-one is not running again'
}

ctl() { in_ns env REDIS_URL=redis://127.0.0.1:6379 "$BIN/defibctl" "$@"; }

test_same_name_on_two_hosts() {
    two_hosts
    subscribe alerts system:alerts
    run_service svc-same
    HOST=h2 run_service svc-same
    wait_log alerts '"NAME_COLLISION"' 20
    ctl doctor > "$T/doctor" && fail 'doctor finds nothing'
    expect_match "$(cat "$T/doctor")" 'BAD +svc-same: two containers claim the same name'
    expect_match "$(ctl status)" 'svc-same .* name_collision'
    HOST=h2 d kill svc-same
    expect_never 6 controller 'Attempting restart'
    HOST=h2 not is_running svc-same
    expect_eq "$(count_log alerts NAME_COLLISION)" 1 'alerts'
}

test_same_name_with_a_prefix() {
    local first second
    two_hosts DEFIB_NAME_PREFIX=auto
    stop controller
    start_controller DEFIB_KEY_FILE="$T/key" RESTART_ALLOW_SERVICES='*/svc-*'
    subscribe alerts system:alerts
    run_service svc-same
    HOST=h2 run_service svc-same
    log_mark controller
    wait_healthy 2
    first=$(started_at svc-same)
    second=$(HOST=h2 started_at svc-same)
    HOST=h2 d kill svc-same
    wait_lines controller 20 'Attempting restart of h2/svc-same (attempt 1/3)' 'Successfully restarted h2/svc-same'
    HOST=h2 was_started_again svc-same "$second" || fail 'not running again'
    expect_eq "$(started_at svc-same)" "$first" 'the one on h1'
    expect_eq "$(count_log alerts NAME_COLLISION)" 0 'alerts'
}

# The cable is pulled: one alert for the host, none for its containers, no command; then it heals.
test_host_cut_off() {
    local before
    two_hosts
    subscribe alerts system:alerts
    run_service svc-one
    HOST=h2 run_service svc-two
    wait_healthy 2
    before=$(HOST=h2 started_at svc-two)
    ip -n "$(ns)" link set defib0 down
    wait_log alerts '"AGENT_LOST".*"h2"' 20
    expect_never 4 controller 'Attempting restart'
    expect_eq "$(count_log alerts SERVICE_RESTART_FAILED)" 0 'alerts of containers'
    ip -n "$(ns)" link set defib0 up
    wait_log alerts '"AGENT_RECOVERED".*"h2"' 30
    log_mark controller
    wait_healthy 2
    expect_eq "$(HOST=h2 started_at svc-two)" "$before" 'start of svc-two'
    HOST=h2 d kill svc-two
    wait_for 20 "HOST=h2 was_started_again svc-two '$before'" 'healed after the cut'
}

# A controller with another key gets nothing done.
test_wrong_key() {
    two_hosts
    HOST=h2 run_service svc-two
    wait_healthy 1
    stop controller
    printf 'fleet-1:%064d\n' 7 > "$T/other"
    chmod 600 "$T/other"
    log_mark controller
    start_controller DEFIB_KEY_FILE="$T/other"
    wait_controller
    HOST=h2 d kill svc-two
    expect_never 8 controller 'Successfully restarted'
    HOST=h2 not is_running svc-two
}

test_no_key_no_listening_beyond_loopback() {
    HOST=h2 AS=agent2 start_agent DEFIB_LISTEN=tcp://10.213.0.2:7411 REDIS_URL=redis://10.213.0.1:6379
    echo 2 > "$RUN/agent2.expected-exit"
    wait_for 5 'not is_up agent2'
    expect_eq "$(exit_of agent2)" 2 'exit code'
    expect_eq "$(wc -l < "$T/agent2.log")" 1 'lines'
    grep -q 'DEFIB_LISTEN' "$T/agent2.log"
}

run_tests "$@"
