#!/bin/bash
# Redis by Sentinel: a failover is followed by agents and controllers without a miss, and without a restart.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

SENTINELS=127.0.0.1:26379,127.0.0.1:26380,127.0.0.1:26381

setup_file() { start_engine; }

# start_server PORT [OPTION...]
start_server() {
    local port=$1
    shift
    mkdir -p "$T/redis-$port"
    spawn "redis-$port" in_ns redis-server --port "$port" --bind 127.0.0.1 \
        --unixsocket "$T/redis-$port.sock" --save '' --dir "$T/redis-$port" --repl-diskless-sync-delay 0 "$@"
    wait_for 10 "redis-cli -s $T/redis-$port.sock ping"
}

start_sentinel() {
    printf '%s\n' "port $1" 'bind 127.0.0.1' "dir $T" 'sentinel monitor main 127.0.0.1 6379 2' \
        'sentinel down-after-milliseconds main 1000' 'sentinel failover-timeout main 5000' > "$T/sentinel-$1.conf"
    spawn "sentinel-$1" in_ns redis-server "$T/sentinel-$1.conf" --sentinel
}

on() {
    local port=$1
    shift
    redis-cli -s "$T/redis-$port.sock" "$@"
}
master() { in_ns redis-cli -p "${1:-26379}" sentinel get-master-addr-by-name main | tail -n 1; }
# whichever is the master now
r() { on "$(master 26380)" "$@"; }

start_redis_trio() {
    local port
    make_host
    start_server 6379
    start_server 6380 --replicaof 127.0.0.1 6379
    start_server 6381 --replicaof 127.0.0.1 6379
    for port in 26379 26380 26381; do start_sentinel "$port"; done
    for port in 26379 26380 26381; do
        wait_for 20 "[ \$(in_ns redis-cli -p $port sentinel master main | grep -A1 -xE 'num-slaves|num-other-sentinels' | grep -c '^2$') = 2 ]" "Sentinel $port knows all"
    done
}

start_by_sentinel() {
    start_redis_trio
    start_agent REDIS_URL="redis+sentinel://$SENTINELS/main"
    start_controller REDIS_URL="redis+sentinel://$SENTINELS/main" LEADER_LEASE_SECS=4
    wait_agent
    wait_controller
}

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }

# fail_over HOW: ends 6379 that way, and waits until all have found the new master.
fail_over() {
    "$@"
    wait_for 20 '[ "$(master 26380)" != 6379 ] && [ "$(master 26381)" != 6379 ]' 'Sentinel has chosen another'
    wait_log agent "Redis .* is up" 15
    wait_log controller 'Redis is back' 20
    expect_match "$(on "$(master 26380)" role | head -n 1)" master 'the role'
}

test_killed_master() {
    local before
    start_by_sentinel
    for n in 1 2 3; do run_service "svc-$n"; done
    wait_healthy 3
    before=$(all_incarnations)
    log_mark agent
    log_mark controller
    fail_over kill_hard redis-6379
    expect_never 4 controller 'missing heartbeat|Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    wait_for 10 '[ "$(r exists health:agent:h1)" = 1 ]' 'the agent is registered there'
    before=$(started_at svc-1)
    crash svc-1
    wait_for 20 "was_started_again svc-1 '$before'" 'it still heals'
    wait_for 10 '[ "$(r get health:restart:svc-1 | grep -c "attempt_count\": 1")" = 1 ]' 'the attempt is stored there'
}

# It hangs, wakes up as a master that nobody wants any more, and is made a replica.
test_frozen_master_comes_back() {
    local before
    start_by_sentinel
    for n in 1 2 3; do run_service "svc-$n"; done
    wait_healthy 3
    before=$(all_incarnations)
    log_mark agent
    log_mark controller
    fail_over kill -STOP "$(pid_of redis-6379)"
    kill -CONT "$(pid_of redis-6379)"
    wait_for 15 '[ "$(on 6379 role | head -n 1)" = slave ]' 'the old master is a replica'
    expect_never 4 controller 'missing heartbeat|Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
}

# One Sentinel is enough to find the master; none is an outage like any other.
test_sentinels_die() {
    start_redis_trio
    kill_hard sentinel-26379
    start_agent REDIS_URL="redis+sentinel://$SENTINELS/main"
    start_controller REDIS_URL="redis+sentinel://$SENTINELS/main"
    wait_agent
    run_service svc-1
    wait_healthy 1
    AS=lost start_controller REDIS_URL="redis+sentinel://127.0.0.1:1,127.0.0.1:2/main" DEFIB_HTTP_LISTEN=127.0.0.1:7499
    wait_log lost 'Sentinel main: no Sentinel tells where main is: 127.0.0.1:[12]/0: connection refused' 10
    AS=stranger start_controller REDIS_URL="redis+sentinel://$SENTINELS/other" DEFIB_HTTP_LISTEN=127.0.0.1:7498
    wait_log stranger 'no Sentinel tells where other is: it knows no master other|no Sentinel tells where other is: 127.0.0.1:26379/0: connection refused' 10
    is_up lost
    is_up stranger
}

run_tests "$@"
