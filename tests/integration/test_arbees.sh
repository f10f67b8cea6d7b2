#!/bin/bash
# The Arbees profile as it is shipped: its images, its compose file, and the runbook's own commands on it.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# shellcheck source=packaging/demo/arbees.sh
. "$ROOT/packaging/demo/arbees.sh"
say() { printf '%s\n' "$*"; }

setup_file() {
    ENGINE_IMAGES=()
    start_engine
    arbees_images
}

bring_up() {
    compose up -d
    wait_for 60 "docker logs arbees-orchestrator 2>&1 | grep -q 'Supervisor started (auto-restart enabled)'"
}

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

# What each service says of itself, byte for byte as the runbook's table names it.
expect_said() {
    expect_eq "$(arbees_redis GET "health:hb:$1" | jq -c '[(.checks | keys_unsorted), (.metrics | keys_unsorted)]')" "$2" "what $1 knows"
}

test_the_fleet_of_the_demo() {
    arbees_up
    wait_for 20 '[ "$(arbees_redis KEYS "health:hb:*" | wc -l)" = 14 ]'
    arbees_slow_starter
    arbees_document
    expect_eq "$(arbees_redis GET health:hb:game_shard:shard-1 | jq -c '[.service, .instance_id, .status, .checks, .metrics.games_monitored, .source]')" \
        '["game_shard","shard-1","healthy",{"redis_ok":true,"db_ok":true,"kalshi_ws_ok":true,"polymarket_via_redis":true},5,"app"]'
    expect_said orchestrator:orchestrator-1 '[["redis_ok","db_ok","discovery_rust_ok"],["shards_total","shards_healthy","games_assigned"]]'
    expect_said game_shard:shard-1 '[["redis_ok","db_ok","kalshi_ws_ok","polymarket_via_redis"],["games_monitored","signals_generated","circuit_breaker_ok"]]'
    expect_said polymarket_monitor:polymarket-monitor-1 '[["redis_ok","vpn_ok","ws_ok"],["subscribed_markets","prices_published","last_price_age_s"]]'
    expect_said futures_monitor:futures-monitor-1 '[["redis_ok","db_ok","kalshi_ok","polymarket_ok"],["games_monitored","markets_cached"]]'
    expect_said signal_processor:signal-processor-1 '[["redis_ok","db_ok"],["signals_received","signals_approved","approval_rate_pct"]]'
    expect_said execution_service:execution-service-1 '[["redis_ok","db_ok","paper_trading"],["executions_total","success_rate_pct","bankroll"]]'
    expect_said position_tracker:position-tracker-1 '[["redis_ok","db_ok"],["positions_open","positions_opened_total","bankroll"]]'
    expect_said analytics_service:analytics-1 '[["redis_ok","db_ok","archiver_ok","ml_analyzer_ok"],["archiver_pending","scheduled_jobs"]]'
    expect_said market_discovery_rust:market-discovery-1 '[["redis_ok"],[]]'
    # those that cannot beat are probed
    expect_eq "$(for key in redis:redis-1 timescaledb:timescaledb-1 frontend:frontend-1 api:api-1 vpn:vpn-1; do arbees_redis GET "health:hb:$key"; done |
        jq -s -c '[.[0].checks.ping, .[1].checks.accepts, .[2].checks.page, .[3].checks.http, .[4].checks.tunnel]')" '[true,true,true,true,true]'
    arbees_hung
    arbees_silent
    arbees_database
    expect_match "$(arbees_evidence)" 'arbees-(polymarket|futures)-monitor-[0-9a-f]{8}.json'
    expect_eq "$(orchestrator | grep -c 'Attempting restart')" 2 'restarts in all'
}

teardown_file() { compose down -v > /dev/null 2>&1 || true; }

run_tests "$@"
