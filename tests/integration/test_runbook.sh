#!/bin/bash
# The runbook, as it is written: its containers, its commands, its lines to the letter and in its order. Redis and
# the controller run as the containers arbees-redis and arbees-orchestrator, so that `docker exec` and
# `docker logs` are the runbook's own.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

ENGINE_IMAGES=(busybox redis controller)
setup_file() { start_engine; }

ALLOWED=arbees-game-shard-1,arbees-polymarket-monitor,arbees-futures-monitor,arbees-api,arbees-frontend,arbees-signal-processor,arbees-execution-service,arbees-position-tracker,arbees-analytics,arbees-market-discovery
DENIED=arbees-timescaledb,arbees-redis,arbees-vpn,arbees-orchestrator

# The runbook's commands find this test's Engine.
use_engine() {
    DOCKER_HOST=unix://$(sock)
    export DOCKER_HOST
}

# `docker exec -it` needs a terminal.
on_terminal() { script -qec "$*" /dev/null < /dev/null | tr -d '\r'; }

start_redis_container() {
    docker run -d --name arbees-redis --pull never -p 6379:6379 defib-test/redis > /dev/null
    wait_for 10 'docker exec arbees-redis redis-cli ping'
}

# start_orchestrator [NAME=value...]: the controller, on the host's network as the agent is.
start_orchestrator() {
    local setting options=()
    for setting in "$@"; do options+=(-e "$setting"); done
    docker run -d --name arbees-orchestrator --pull never --network host -e RESTART_ALLOW_SERVICES="$ALLOWED" \
        -e RESTART_DENY_SERVICES="$DENIED" -e ASAN_OPTIONS=detect_leaks=0 "${options[@]}" defib-test/controller > /dev/null
    spawn orchestrator docker logs -f arbees-orchestrator
    wait_log orchestrator 'Supervisor started' 10
}

# arbees [NAME=value...]: the fleet; the settings are for both programs and come behind FAST.
arbees() {
    use_engine
    start_redis_container
    run_service arbees-game-shard-1 --label defib.service=game_shard --label defib.instance=shard-1
    SETTINGS=own start_agent "${FAST[@]}" RESTART_DENY_SERVICES="$DENIED" "$@"
    start_orchestrator "${FAST[@]}" RESTART_ALLOW_SERVICES="$ALLOWED" "$@"
    AS=orchestrator wait_healthy 3
}

redis() { docker exec arbees-redis redis-cli "$@"; }

# field TEXT NAME: a field of a flat JSON object, as it is written
field() { grep -oE "\"$2\": ?(\"[^\"]*\"|[^,}]+)" <<< "$1" | sed -E 's/^"[^"]*": ?//'; }

# in_order TEXT NAME...: these fields stand there in this order
in_order() {
    local text=$1 name
    shift
    for name in "$@"; do
        [[ $text == *"\"$name\""* ]] || fail "no \"$name\" (in that order) in $text"
        text=${text#*"\"$name\""}
    done
}

TIME='^"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"$'

test_verification_steps() {
    local text ttl
    arbees HEARTBEAT_INTERVAL_SECS=10 HEARTBEAT_TTL_SECS=35

    # 1. Check heartbeat keys in Redis
    on_terminal docker exec -it arbees-redis redis-cli KEYS 'health:hb:*' | grep -F 'health:hb:game_shard:shard-1'
    # redis-cli quotes on a terminal
    text=$(on_terminal docker exec -it arbees-redis redis-cli GET health:hb:game_shard:shard-1 | sed 's/\\"/"/g')
    in_order "$text" service instance_id status started_at timestamp checks metrics
    expect_eq "$(field "$text" service)" '"game_shard"' service
    expect_eq "$(field "$text" instance_id)" '"shard-1"' instance_id
    expect_eq "$(field "$text" status)" '"healthy"' status
    expect_match "$(field "$text" started_at)" "$TIME" started_at
    expect_match "$(field "$text" timestamp)" "$TIME" timestamp
    ttl=$(on_terminal docker exec -it arbees-redis redis-cli TTL health:hb:game_shard:shard-1 | grep -oE '[0-9]+$')
    [ "$ttl" -ge 24 ] && [ "$ttl" -le 35 ] || fail "TTL is $ttl"

    # 2. Subscribe to heartbeat channel: one from every service every 10 seconds
    spawn beats docker exec arbees-redis redis-cli SUBSCRIBE health:heartbeats
    wait_for 25 "[ \"\$(grep -c '\"game_shard\"' $T/beats.log)\" -ge 2 ]"
    [ "$(grep -c '"container": *"arbees-redis"' "$T/beats.log")" -ge 1 ] || fail 'no beat of arbees-redis'

    # 3. Check orchestrator logs for Supervisor
    docker logs arbees-orchestrator 2>&1 | grep -i "supervisor\|health summary" > "$T/supervisor.log"
    grep -qE '^[^ ]+ INFO - Supervisor started \(auto-restart enabled\)$' "$T/supervisor.log"
    grep -qE '^[^ ]+ INFO - Health summary: 3 healthy, 0 degraded, 0 unhealthy, 0 missing$' "$T/supervisor.log"
}

test_1_kill_a_stateless_container() {
    local text before
    arbees
    before=$(started_at arbees-game-shard-1)
    docker kill arbees-game-shard-1
    wait_lines orchestrator 20 \
        'WARNING - Service arbees-game-shard-1 missing heartbeat (1 consecutive misses)' \
        'WARNING - Service arbees-game-shard-1 missing heartbeat (2 consecutive misses)' \
        'WARNING - Service arbees-game-shard-1 missing heartbeat (3 consecutive misses)' \
        'WARNING - Attempting restart of arbees-game-shard-1 (attempt 1/3)' \
        'INFO - Successfully restarted arbees-game-shard-1'
    was_started_again arbees-game-shard-1 "$before" || fail 'is not running again'
    expect_eq "$(count_log orchestrator 'game-shard-1 missing heartbeat')" 3 'lines of misses'
    expect_eq "$(count_log orchestrator 'Attempting restart')" 1 'attempts'

    # Checking restart attempt state
    text=$(docker exec arbees-redis redis-cli GET health:restart:arbees-game-shard-1)
    in_order "$text" attempt_count last_attempt_at last_failure_reason cooldown_until
    expect_eq "$(field "$text" attempt_count)" 1 attempt_count
    expect_match "$(field "$text" last_attempt_at)" "$TIME" last_attempt_at
    expect_eq "$(field "$text" cooldown_until)" null cooldown_until
    wait_for 10 "redis GET health:hb:game_shard:shard-1 | grep -q '\"healthy\"'" 'beats again'
}

# With the settings as they are by default; only the lists are given.
test_1_with_the_defaults() {
    local before killed_at
    use_engine
    start_redis_container
    run_service arbees-game-shard-1 --label defib.service=game_shard --label defib.instance=shard-1
    SETTINGS=own start_agent
    start_orchestrator
    # SETTLE_SECS after its start it watches only
    AS=orchestrator wait_healthy 3
    sleep 46
    before=$(started_at arbees-game-shard-1)
    log_mark orchestrator
    killed_at=$(now_ms)
    docker kill arbees-game-shard-1
    wait_lines orchestrator 30 \
        'WARNING - Service arbees-game-shard-1 missing heartbeat (1 consecutive misses)' \
        'WARNING - Service arbees-game-shard-1 missing heartbeat (2 consecutive misses)' \
        'WARNING - Service arbees-game-shard-1 missing heartbeat (3 consecutive misses)' \
        'WARNING - Attempting restart of arbees-game-shard-1 (attempt 1/3)' \
        'INFO - Successfully restarted arbees-game-shard-1'
    echo "kill to running again: $(($(now_ms) - killed_at)) ms"
    # policy.md, invariant 11: STOP_SETTLE + THRESHOLD x FAST_CHECK + 5
    [ $(($(now_ms) - killed_at)) -le $((13000 * WAIT_FACTOR)) ] || fail 'took more than 13 s'
    was_started_again arbees-game-shard-1 "$before" || fail 'is not running again'
}

# Test 2, checking and resetting the restart state, and its troubleshooting ("stuck in a restart loop").
test_2_force_repeated_failures() {
    local text
    arbees
    spawn alerts docker exec arbees-redis redis-cli SUBSCRIBE system:alerts
    wait_log alerts '^subscribe$' 5
    docker exec arbees-game-shard-1 sh -c "echo 'invalid' > /tmp/crash"
    docker kill arbees-game-shard-1
    wait_lines orchestrator 40 \
        'WARNING - Attempting restart of arbees-game-shard-1 (attempt 1/3)' \
        'WARNING - Attempting restart of arbees-game-shard-1 (attempt 2/3)' \
        'WARNING - Attempting restart of arbees-game-shard-1 (attempt 3/3)' \
        'ERROR - Service arbees-game-shard-1 exhausted restart attempts (3/3)'
    wait_log orchestrator '^[^ ]+ ERROR - Published alert: \{"type": "SERVICE_RESTART_FAILED", "container": "arbees-game-shard-1", .*"action": "max_attempts_exhausted"' 5
    wait_log alerts '"type": "SERVICE_RESTART_FAILED", .*"action": "max_attempts_exhausted"' 5
    text=$(grep -m 1 max_attempts_exhausted "$T/alerts.log")
    in_order "$text" type container reason action attempts last_attempt cooldown_until timestamp
    expect_eq "$(field "$text" attempts)" 3 attempts
    expect_match "$(field "$text" cooldown_until)" "$TIME" cooldown_until

    text=$(docker exec arbees-redis redis-cli GET health:restart:arbees-game-shard-1)
    expect_eq "$(field "$text" attempt_count)" 3 attempt_count
    expect_match "$(field "$text" cooldown_until)" "$TIME" cooldown_until
    log_mark orchestrator
    expect_never 4 orchestrator 'Attempting restart'
    expect_eq "$(count_log alerts max_attempts_exhausted)" 1 'alerts of exhaustion'

    # mended, and the state cleared: a fresh budget
    sed 's|/tmp/crash|/tmp/never|' "$ROOT/tests/images/service.sh" > "$T/service.sh"
    docker cp -q "$T/service.sh" arbees-game-shard-1:/service.sh
    docker exec arbees-redis redis-cli DEL health:restart:arbees-game-shard-1
    wait_lines orchestrator 20 \
        'WARNING - Attempting restart of arbees-game-shard-1 (attempt 1/3)' \
        'INFO - Successfully restarted arbees-game-shard-1'
    wait_log alerts '"type": "SERVICE_RECOVERED"' 10
    is_running arbees-game-shard-1
}

test_2_manual_start_after_the_cooldown_began() {
    arbees
    docker exec arbees-game-shard-1 sh -c "echo 'invalid' > /tmp/crash"
    docker kill arbees-game-shard-1
    wait_log orchestrator 'exhausted restart attempts \(3/3\)' 40
    sed 's|/tmp/crash|/tmp/never|' "$ROOT/tests/images/service.sh" > "$T/service.sh"
    docker cp -q "$T/service.sh" arbees-game-shard-1:/service.sh
    log_mark orchestrator
    docker start arbees-game-shard-1
    AS=orchestrator wait_healthy 3
    # an operator's start is a fresh budget
    docker kill arbees-game-shard-1
    wait_lines orchestrator 20 'Attempting restart of arbees-game-shard-1 (attempt 1/3)' \
        'Successfully restarted arbees-game-shard-1'
}

test_3_verify_deny_list() {
    local before
    arbees
    before=$(started_at arbees-game-shard-1)
    docker kill arbees-redis
    wait_log orchestrator '^[^ ]+ WARNING - Service arbees-redis is unhealthy but in deny list - alerting only$' 20
    expect_never 4 orchestrator 'Attempting restart'
    not is_running arbees-redis || fail 'somebody started arbees-redis'
    # services that live are alive although no beat can be written
    expect_eq "$(started_at arbees-game-shard-1)" "$before" 'start of the game shard'
    # the alert is delivered after Redis returns
    docker start arbees-redis
    wait_for 20 "redis XRANGE health:events - + | grep -E '\"SERVICE_RESTART_FAILED\".*\"arbees-redis\".*\"deny_list\"'" 'the alert is in the stream'
    log_mark orchestrator
    AS=orchestrator wait_healthy 3
    expect_never 3 orchestrator 'Attempting restart'
    expect_eq "$(started_at arbees-game-shard-1)" "$before" 'start of the game shard'
}

test_deny_and_allow_lists() {
    arbees
    run_service arbees-timescaledb
    run_service other
    AS=orchestrator wait_healthy 5
    spawn alerts docker exec arbees-redis redis-cli SUBSCRIBE system:alerts
    wait_log alerts '^subscribe$' 5
    docker kill arbees-timescaledb other
    wait_log orchestrator '^[^ ]+ WARNING - Service arbees-timescaledb is unhealthy but in deny list - alerting only$' 20
    wait_log orchestrator '^[^ ]+ WARNING - Service other is unhealthy but not in allow list - alerting only$' 20
    wait_log alerts '"type": "SERVICE_RESTART_FAILED", "container": "arbees-timescaledb", .*"action": "deny_list"' 5
    wait_log alerts '"type": "SERVICE_RESTART_FAILED", "container": "other", .*"action": "not_in_allowlist"' 5
    expect_never 3 orchestrator 'Attempting restart'
    expect_eq "$(count_log orchestrator 'alerting only')" 2 'lines that say so'
    not is_running arbees-timescaledb
    not is_running other
}

test_monitoring_alerts() {
    local text
    arbees
    spawn alerts docker exec arbees-redis redis-cli SUBSCRIBE system:alerts
    wait_log alerts '"HEALTH_SUMMARY"' 60
    text=$(grep -m 1 HEALTH_SUMMARY "$T/alerts.log")
    in_order "$text" type timestamp total healthy degraded unhealthy missing all_healthy
    expect_eq "$(field "$text" total)" 3 total
    expect_eq "$(field "$text" healthy)" 3 healthy
    expect_eq "$(field "$text" all_healthy)" true all_healthy
}

# Disabling auto-restart, the first way: it watches, and does nothing.
test_supervisor_disabled() {
    arbees SUPERVISOR_ENABLED=false
    grep -qE '^[^ ]+ INFO - Supervisor started \(auto-restart disabled\)$' "$T/orchestrator.log"
    docker kill arbees-game-shard-1
    expect_never 6 orchestrator 'Attempting restart'
    not is_running arbees-game-shard-1
    expect_eq "$(redis EXISTS health:restart:arbees-game-shard-1)" 0 'restart state'
}

# The second way: alerts only.
test_no_attempts_alerts_only() {
    arbees MAX_RESTART_ATTEMPTS=0
    spawn alerts docker exec arbees-redis redis-cli SUBSCRIBE system:alerts
    wait_log alerts '^subscribe$' 5
    docker kill arbees-game-shard-1
    wait_log alerts '"type": "SERVICE_RESTART_FAILED", "container": "arbees-game-shard-1"' 20
    expect_never 4 orchestrator 'Attempting restart'
    not is_running arbees-game-shard-1
}

run_tests "$@"
