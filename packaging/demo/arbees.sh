# shellcheck shell=bash
# The Arbees fleet and what is done to it: sourced by packaging/demo/demo-arbees, which shows it, and by
# tests/integration/test_arbees.sh, which proves it. Uses tests/integration/lib.sh.

PROFILE=$ROOT/packaging/examples/arbees

# Quicker than the runbook's defaults, so that nobody has to wait.
ARBEES_QUICK=(
    HEARTBEAT_INTERVAL_SECS=1 HEARTBEAT_TTL_SECS=4 SUPERVISOR_CHECK_INTERVAL_SECS=1 START_GRACE_SECS=3
    RESTART_STOP_TIMEOUT_SECS=2 PROGRESS_SECS=5 PROBE_SECS=1 SLOW_SECS=12
)

# The runbook's commands say just `docker`; the harness names its Engine by -H.
# shellcheck disable=SC2032  # xargs calls the real one
docker() {
    if [ "$1" = -H ]; then command docker "$@"; else command docker -H "unix://$(sock)" "$@"; fi
}
compose() { DOCKER_SOCKET=$(sock) docker-compose -H "unix://$(sock)" -f "$PROFILE/docker-compose.yml" -p arbees "$@"; }
orchestrator() { docker logs arbees-orchestrator 2>&1; }
arbees_redis() { docker exec arbees-redis redis-cli --raw "$@"; }

arbees_images() { DOCKER="docker -H unix://$(sock)" BUILD=$BIN "$PROFILE/make-images.sh"; }

# arbees_said REGEX: the orchestrator's container has logged it, agent and controller alike
arbees_said() { [ "$(orchestrator | grep -cE -e "$1")" != 0 ]; }
arbees_attempts() { orchestrator | grep -cE "Attempting restart of $1 \\(" || true; }
arbees_started() { docker inspect -f '{{.State.StartedAt}}' "$1"; }

# say is the caller's: it shows a line, or nothing
arbees_up() {
    say '$ docker-compose up -d'
    env "${ARBEES_QUICK[@]}" bash -c "$(declare -f sock compose); DIR='$DIR' HOST='$HOST' PROFILE='$PROFILE'; compose up -d" > "$T/compose.log" 2>&1
    wait_for 60 'arbees_said "Supervisor started \(auto-restart enabled\)"'
}

# A slow starter: it says so itself, and has its time.
arbees_slow_starter() {
    say '$ docker restart arbees-signal-processor                     # an operator does'
    docker restart -t 2 arbees-signal-processor > /dev/null
    wait_for 20 'arbees_redis GET health:hb:signal_processor:signal-processor-1 | grep -q "\"status\":\"starting\""'
    say 'it takes 12 s to come up, and says "starting"'
    wait_for 40 'arbees_redis GET health:hb:signal_processor:signal-processor-1 | grep -q "\"status\":\"healthy\""'
    [ "$(arbees_attempts arbees-signal-processor)" = 0 ] || fail 'the slow starter was restarted'
    wait_for 30 'arbees_said "Health summary: 14 healthy, 0 degraded, 0 unhealthy, 0 missing"'
    say '... and was left alone: 14 healthy'
}

# What each service knows, as the runbook's table has it.
arbees_document() {
    say '$ redis-cli GET health:hb:game_shard:shard-1'
    say "$(arbees_redis GET health:hb:game_shard:shard-1 | jq -c '{service, instance_id, status, started_at, timestamp, checks, metrics}')"
}

# It beats, says that it is well, and does nothing any more.
arbees_hung() {
    say '$ docker exec arbees-polymarket-monitor touch /tmp/hang      # it beats on, its metrics stand still'
    docker exec arbees-polymarket-monitor touch /tmp/hang
    wait_for 30 'arbees_said "arbees-polymarket-monitor: check progress_prices_published \(required\) fails: stalled"'
    wait_for 30 'arbees_said "Successfully restarted arbees-polymarket-monitor"'
    say "$(orchestrator | grep -E 'polymarket-monitor.*(stalled|Attempting|Successfully)|(Attempting|Successfully).*polymarket-monitor' | grep -v Published)"
}

# It does not beat any more; its container runs.
arbees_silent() {
    say '$ docker exec arbees-futures-monitor touch /tmp/silent       # it hangs, and beats no more'
    docker exec arbees-futures-monitor touch /tmp/silent
    wait_for 40 'arbees_said "Successfully restarted arbees-futures-monitor"'
    say "$(orchestrator | grep -E '(missing heartbeat|Attempting|Successfully).*' | grep 'futures-monitor' | grep -v Published)"
}

# On the deny list: alerting only.
arbees_database() {
    local before
    before=$(arbees_started arbees-timescaledb)
    say '$ docker exec arbees-timescaledb ...                         # the database refuses connections'
    docker exec arbees-timescaledb sh -c 'touch /tmp/refuse; killall nc'
    wait_for 30 'arbees_said "WARNING - Service arbees-timescaledb is unhealthy but in deny list - alerting only"'
    say "$(orchestrator | grep -E 'timescaledb.*(fails|deny list)' | grep -v Published)"
    [ "$(arbees_started arbees-timescaledb)" = "$before" ] || fail 'the database was restarted'
    docker exec arbees-timescaledb rm /tmp/refuse
    wait_for 30 'arbees_redis GET health:hb:timescaledb:timescaledb-1 | jq -e ".checks.accepts and .status == \"healthy\""'
    say '... it takes connections again; nobody touched it'
}

# How they were before they were restarted.
arbees_evidence() {
    say '$ docker exec arbees-orchestrator ls /var/lib/defib/evidence'
    say "$(docker exec arbees-orchestrator ls /var/lib/defib/evidence)"
}
