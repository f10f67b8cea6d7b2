#!/bin/bash
# The Arbees profile as it is shipped: its images, its compose file, and the runbook's own commands on it.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

PROFILE=$ROOT/packaging/examples/arbees

# The runbook's commands say just `docker`; the harness names its Engine by -H.
# shellcheck disable=SC2032  # xargs calls the real one
docker() {
    if [ "$1" = -H ]; then command docker "$@"; else command docker -H "unix://$(sock)" "$@"; fi
}
compose() { DOCKER_SOCKET=$(sock) docker-compose -H "unix://$(sock)" -f "$PROFILE/docker-compose.yml" -p arbees "$@"; }

setup_file() {
    ENGINE_IMAGES=()
    start_engine
    DOCKER="docker -H unix://$(sock)" BUILD=$BIN "$PROFILE/make-images.sh"
}

bring_up() {
    compose up -d
    wait_for 60 "docker logs arbees-orchestrator 2>&1 | grep -q 'Supervisor started (auto-restart enabled)'"
}

orchestrator() { docker logs arbees-orchestrator 2>&1; }

test_the_runbook_on_arbees() {
    bring_up

    # Verification 1: keys, a heartbeat, its TTL
    wait_for 30 "[ \$(docker exec arbees-redis redis-cli --raw KEYS 'health:hb:*' | wc -l) = 14 ]"
    expect_match "$(docker exec arbees-redis redis-cli --raw KEYS 'health:hb:*' | sort | tr '\n' ' ')" \
        'health:hb:game_shard:shard-1 .*health:hb:market_discovery_rust:market-discovery-1' 'keys'
    expect_match "$(docker exec arbees-redis redis-cli GET health:hb:game_shard:shard-1)" \
        'service.*game_shard.*instance_id.*shard-1.*status.*healthy' 'heartbeat'
    local ttl
    ttl=$(docker exec arbees-redis redis-cli --raw TTL health:hb:game_shard:shard-1)
    [ "$ttl" -ge 24 ] && [ "$ttl" -le 35 ] || fail "TTL is $ttl"

    # Verification 3: the orchestrator's log
    wait_for 40 "orchestrator | grep -qE 'INFO - Health summary: 14 healthy, 0 degraded, 0 unhealthy, 0 missing'"

    # Troubleshooting
    expect_match "$(docker exec arbees-orchestrator ls -la /var/run/docker.sock)" 'docker.sock' 'the socket'
    expect_eq "$(docker exec arbees-game-shard-1 python -c "import redis; r = redis.from_url('redis://redis:6379'); print(r.ping())")" True ping

    # Test 1
    docker kill arbees-game-shard-1
    wait_for 60 "orchestrator | grep -q 'Successfully restarted arbees-game-shard-1'"
    local line n=0
    while IFS= read -r line; do
        case $n in
            0 | 1 | 2) expect_match "$line" "WARNING - Service arbees-game-shard-1 missing heartbeat \($((n + 1)) consecutive misses\)" ;;
            3) expect_match "$line" 'WARNING - Attempting restart of arbees-game-shard-1 \(attempt 1/3\)' ;;
            4) expect_match "$line" 'INFO - Successfully restarted arbees-game-shard-1' ;;
        esac
        n=$((n + 1))
    done < <(orchestrator | grep -iE 'missing heartbeat|Attempting|Successfully' | grep game-shard)
    expect_eq "$n" 5 'lines of Test 1'
    wait_for 10 'is_running arbees-game-shard-1'
    expect_match "$(docker exec arbees-redis redis-cli GET health:restart:arbees-game-shard-1)" 'attempt_count.*1.*missing_heartbeat.*cooldown_until.*null'
    docker exec arbees-redis redis-cli DEL health:restart:arbees-game-shard-1

    # Test 3: Redis itself, on the deny list
    docker kill arbees-redis
    wait_for 90 "orchestrator | grep -q 'WARNING - Service arbees-redis is unhealthy but in deny list - alerting only'"
    is_running arbees-redis && fail 'arbees-redis was restarted'
    docker start arbees-redis
    wait_for 30 "docker exec arbees-redis redis-cli XREVRANGE health:events + - | grep -q deny_list"
}

test_disabled_by_the_environment() {
    SUPERVISOR_ENABLED=false compose up -d
    wait_for 60 "orchestrator | grep -q 'Supervisor started (auto-restart disabled)'"
    wait_for 30 "docker exec arbees-redis redis-cli EXISTS health:hb:api:api-1 | grep -q 1"
    docker kill arbees-api
    expect_while 15 '! is_running arbees-api' 'nothing is restarted while disabled'
}

teardown_file() { compose down -v > /dev/null 2>&1 || true; }

run_tests "$@"
