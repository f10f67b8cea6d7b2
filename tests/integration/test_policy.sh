#!/bin/bash
# What is decided for many: dependents follow what they live in, a breaker stops a stampede, a stall is watched out.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

net_of() { readlink "/proc/$(d inspect -f '{{.State.Pid}}' "$1")/ns/net"; }
shares_net() { is_running "$1" && is_running "$2" && [ "$(net_of "$1")" = "$(net_of "$2")" ]; }
alerts() { log_after_mark alerts | grep -o '{.*'; }
count_alerts() { alerts | jq -c "select($1)" | wc -l; }
restarts_of() { count_log controller "Attempting restart of $1 \("; }
gate_refusals() { r xrange health:events - + | grep -c "\"gate\":[ ]*\"$1\"" || true; }

# The services' own publishers: one loop that beats for every name in T/beats.
start_beats() {
    mkdir -p "$T/beats"
    touch "${@/#/$T/beats/}"
    # shellcheck disable=SC2016  # for the shell inside
    spawn publishers bash -c 'quote=$2; cd "$1/beats" && while :; do
        for name in *; do
            [ -e "$name" ] || continue
            now=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
            beat="{\"service\":\"$name\",\"instance_id\":\"$name\",\"status\":\"healthy\",\"timestamp\":\"$now\"}"
            printf "SETEX health:hb:%s:%s 2 %s\nPUBLISH health:heartbeats %s\n" "$name" "$name" "$quote$beat$quote" "$quote$beat$quote"
        done | redis-cli -s "$1/redis.sock" > /dev/null
        sleep 0.3
    done' - "$T" "'"
    wait_for 5 "[ \"\$(r get health:hb:$1:$1 | jq -r .service)\" = $1 ]" 'the services beat'
}

run_app() { run_service "$1" --label defib.heartbeat=app; }

test_dependents_follow_their_parent_in_order() {
    local vpn before old
    run_service svc-vpn
    run_service svc-mid --network container:svc-vpn
    run_service svc-leaf --network container:svc-mid
    run_service svc-other
    start_all
    wait_healthy 4
    subscribe alerts system:alerts
    before=$(started_at svc-other)
    old=$(net_of svc-leaf)
    d restart -t 1 svc-vpn
    vpn=$(started_at svc-vpn)
    wait_lines controller 30 'Service svc-mid follows svc-vpn, which was started anew: stale_network' \
        'Attempting restart of svc-mid (attempt 1/3)' 'Successfully restarted svc-mid' \
        'Attempting restart of svc-leaf (attempt 1/3)' 'Successfully restarted svc-leaf'
    wait_for 5 'shares_net svc-vpn svc-mid && shares_net svc-mid svc-leaf' 'the network is one again'
    [ "$(net_of svc-leaf)" != "$old" ] || fail 'the network outlived the restart: nothing was shown'
    expect_never 3 controller 'attempt 2/3'
    expect_eq "$(started_at svc-vpn)" "$vpn" 'the start of svc-vpn'
    expect_eq "$(started_at svc-other)" "$before" 'the start of svc-other'
    expect_eq "$(restarts_of 'svc-.*')" 2 'restarts'
    expect_eq "$(count_alerts '.type == "BREAKER_OPEN"')" 0 'breaker alerts'
    # again, for the next incarnation
    log_mark controller
    d restart -t 1 svc-vpn
    wait_lines controller 30 'Attempting restart of svc-mid (attempt 2/3)' 'Attempting restart of svc-leaf (attempt 2/3)'
    wait_for 5 'shares_net svc-vpn svc-leaf'
}

test_dependents_wait_for_a_dead_parent() {
    run_service svc-vpn
    run_service svc-mid --network container:svc-vpn
    start_all RESTART_DENY_SERVICES=svc-vpn
    wait_healthy 2
    subscribe alerts system:alerts
    d kill svc-vpn
    wait_log controller 'Service svc-vpn is unhealthy but in deny list - alerting only' 10
    d kill svc-mid
    wait_for 10 '[ "$(gate_refusals ancestor)" -ge 1 ]' 'svc-mid is held back by its ancestor'
    expect_while 3 '! is_running svc-mid && ! is_running svc-vpn'
    expect_eq "$(restarts_of 'svc-.*')" 0 'restarts'
    expect_eq "$(count_alerts '.container == "svc-mid"')" 0 'alerts about svc-mid'
    d start svc-vpn
    wait_for 20 'shares_net svc-vpn svc-mid' 'svc-mid follows'
    expect_eq "$(restarts_of svc-vpn)" 0 'restarts of svc-vpn'
    expect_eq "$(restarts_of svc-mid)" 1 'restarts of svc-mid'
}

test_a_parent_that_is_gone_is_told_with_the_command() {
    local before
    run_service svc-vpn
    run_service svc-mid --network container:svc-vpn
    run_service svc-web --network container:svc-vpn --label com.docker.compose.project=shop \
        --label com.docker.compose.service=web --label com.docker.compose.container-number=1
    start_all
    wait_healthy 3
    subscribe alerts system:alerts
    d rm -f svc-vpn
    run_service svc-vpn
    before=$(all_incarnations)
    wait_for 15 '[ "$(count_alerts ".type == \"NEEDS_RECREATE\"")" = 2 ]' 'two alerts'
    expect_eq "$(alerts | jq -r 'select(.type == "NEEDS_RECREATE" and .container == "svc-web") | .detail')" \
        'docker compose -p shop up -d --force-recreate web'
    expect_eq "$(alerts | jq -r 'select(.type == "NEEDS_RECREATE" and .container == "svc-mid") | .detail')" \
        'docker rm -f svc-mid, then docker run as before with --network container:svc-vpn'
    expect_never 3 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'nobody was touched'
    expect_eq "$(count_alerts '.type == "NEEDS_RECREATE"')" 2 'alerts'
    d rm -f svc-mid
    run_service svc-mid --network container:svc-vpn
    wait_healthy 3
    d restart -t 1 svc-vpn
    wait_for 20 'shares_net svc-vpn svc-mid' 'the new one follows the new one'
    expect_eq "$(restarts_of svc-web)" 0 'restarts of svc-web'
}

# Docker's own policy goes first, and its restarts are told from those by hand.
test_dockers_own_crash_loop_is_told() {
    start_all
    subscribe alerts system:alerts
    d run -d --name svc-loop --pull never --network none --restart always defib-test/busybox sh -c 'sleep 0.5; exit 3' > /dev/null
    wait_log alerts '"CRASH_LOOP", "container": "svc-loop".*Docker.s own policy restarted it 3 times' 30
    expect_eq "$(count_log controller 'Attempting restart')" 0 'commands while Docker acts'
    expect_eq "$(count_alerts '.type == "CRASH_LOOP"')" 1 'told once'
    # once it is gone what was told is closed
    d rm -f svc-loop > /dev/null
    wait_log alerts '"SERVICE_RECOVERED", "container": "svc-loop", "reason": "removed"' 10
}

test_a_fleet_wide_silence_opens_the_breaker() {
    local before names=(svc-1 svc-2 svc-3 svc-4) canary second opened began
    for name in "${names[@]}"; do run_app "$name"; done
    start_redis
    start_beats "${names[@]}"
    start_agent
    start_controller
    wait_agent
    wait_controller
    wait_healthy 4
    subscribe alerts system:alerts
    before=$(all_incarnations)
    rm "$T"/beats/*
    wait_log controller 'ERROR - Breaker of the fleet opened: [34] of 4 containers failed within 60 s' 15
    opened=$(now_ms)
    wait_log controller 'Service svc-4 missing heartbeat \(3 consecutive misses\)' 15
    wait_for 5 '[ "$(gate_refusals breaker)" -ge 4 ]' 'all four are held back by the breaker'
    expect_never 45 controller 'Attempting restart'
    expect_eq "$(all_incarnations)" "$before" 'nobody was touched'
    expect_eq "$(count_alerts '.type == "BREAKER_OPEN" and .host == null')" 1 'alerts for the fleet'
    expect_eq "$(count_alerts '.type == "BREAKER_OPEN" and .host == "h1"')" 1 'alerts for the host'
    expect_eq "$(r keys 'health:restart:*')" '' 'attempts'
    # one canary, and it gets well
    wait_log controller 'Attempting restart of svc-. \(attempt 1/3\)' 40
    began=$(now_ms)
    ((began - opened >= 59000)) || fail "the canary went after $((began - opened)) ms"
    canary=$(log_after_mark controller | sed -n 's/.*Attempting restart of \(svc-.\) .*/\1/p' | head -n 1)
    touch "$T/beats/$canary"
    wait_log controller "Successfully restarted $canary" 15
    expect_never_another 45 "$canary"
    # then the next
    wait_for 60 '[ "$(restarts_of "svc-.")" = 2 ]' 'the second canary'
    (($(now_ms) - began >= 60000)) || fail "the second went $(($(now_ms) - began)) ms after the first"
    second=$(log_after_mark controller | sed -n 's/.*Attempting restart of \(svc-.\) .*/\1/p' | sed -n 2p)
    [ "$second" != "$canary" ] || fail "$canary went twice"
}

# expect_never_another SECONDS NAME: nobody but NAME is restarted, and it once.
expect_never_another() {
    local deadline=$(($(now_ms) + $(ms "$1")))
    while is_before "$deadline"; do
        expect_eq "$(restarts_of 'svc-.')" 1 'restarts while the canary is watched'
        sleep 0.2
    done
}

test_the_breaker_closes_when_all_heal() {
    local before names=(svc-1 svc-2 svc-3 svc-4)
    for name in "${names[@]}"; do run_app "$name"; done
    start_redis
    start_beats "${names[@]}"
    start_agent
    start_controller
    wait_agent
    wait_controller
    wait_healthy 4
    subscribe alerts system:alerts
    before=$(all_incarnations)
    rm "$T"/beats/*
    wait_log controller 'Breaker of host h1 opened' 15
    touch "${names[@]/#/$T/beats/}"
    wait_log controller 'INFO - Breaker of host h1 closed: it was open for' 110
    wait_log controller 'INFO - Breaker of the fleet closed: it was open for' 5
    expect_eq "$(count_alerts '.type == "BREAKER_CLOSED"')" 2 'alerts'
    expect_eq "$(all_incarnations)" "$before" 'nobody was touched'
}

test_a_stall_is_watched_out() {
    local before pid began
    run_service svc-1
    run_service svc-2
    start_all
    wait_healthy 2
    before=$(started_at svc-1)
    pid=$(pid_of controller)
    kill -STOP "$pid"
    d kill svc-1
    sleep 5 # the length of the stall is what is tested
    kill -CONT "$pid"
    wait_log controller 'WARNING - The loop stalled by .* s: for 30 s it watches and restarts nothing' 5
    began=$(now_ms)
    wait_log controller 'Service svc-1 missing heartbeat \(3 consecutive misses\)' 10
    expect_never 20 controller 'Attempting restart|is lost'
    wait_log controller 'INFO - Watched for 30 s: restarts go on' 15
    wait_for 10 "was_started_again svc-1 '$before'"
    (($(now_ms) - began >= 29000)) || fail "it was restarted after $(($(now_ms) - began)) ms"
    expect_eq "$(restarts_of svc-2)" 0 'restarts of svc-2'
}

run_tests "$@"
