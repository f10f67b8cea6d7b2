#!/bin/bash
# Several controllers, one leads: whatever happens to it, to its Redis or to its link, nobody is restarted who is well, and
# what crashes is healed, once.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

LEASE=2

setup_file() { start_engine; }

# Each controller reaches Redis at an address of its own, 127.0.0.2, .3, .4: so one of them can be cut off.
start_fleet() {
    local n
    start_redis --bind 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4
    start_agent
    wait_agent
    for n in $(seq "$1"); do start_one "$n"; done
    wait_for 10 'leader > /dev/null' 'one of them leads'
}

# start_one N [NAME=value...]
start_one() {
    local n=$1
    shift
    AS=c$n start_controller LEADER_LEASE_SECS="$LEASE" DEFIB_ID="c$n" REDIS_URL="redis://127.0.0.$((n + 1)):6379" \
        DEFIB_HTTP_LISTEN="127.0.0.$((n + 1)):7410" "$@"
    AS=c$n wait_controller
}

cut_off() { in_ns iptables -w -A OUTPUT -d "127.0.0.$((${1#c} + 1))" -p tcp --dport 6379 -j DROP; }
join_again() { in_ns iptables -w -D OUTPUT -d "127.0.0.$((${1#c} + 1))" -p tcp --dport 6379 -j DROP; }

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }
run_services() { for n in "$@"; do run_service "svc-$n"; done; }
leader() { r get health:leader | grep -oE '"id": "[^"]+"' | cut -d'"' -f4 | grep .; }
epoch() { r get health:leader:epoch; }
starts_of() { count_log events "^(re)?start $1\$"; }
is_led_by_other() { [ "$(leader)" != "$1" ] && [ -n "$(leader)" ]; }
wait_healthy_by() { AS=$1 wait_healthy "$2"; }
state_of() { r get "health:controller:$1" | grep -oE '"state": "[^"]+"' | cut -d'"' -f4; }
all_but() { for n in c1 c2 c3; do [ "$n" = "$1" ] || echo "$n"; done; }

# The lines of all controllers since the last call.
mark_all() { for n in c1 c2 c3; do log_mark "$n"; done; }
count_all() { local sum=0 n; for n in c1 c2 c3; do sum=$((sum + $(count_log "$n" "$1"))); done; echo "$sum"; }

test_one_leads_the_others_are_silent() {
    local first other
    start_fleet 3
    first=$(leader)
    run_services 1 2
    wait_healthy_by "$first" 2
    expect_eq "$(r zcard health:controllers)" 3 'controllers'
    wait_for 5 "[ \"\$(state_of $first)\" = leader ]"
    for other in $(all_but "$first"); do
        expect_eq "$(state_of "$other")" standby "$other"
        expect_eq "$(count_log "$other" 'Health summary|missing heartbeat')" 0 "lines of $other"
    done
    record_events events
    subscribe alerts system:alerts
    crash svc-1
    wait_log alerts '"SERVICE_RECOVERED"' 20
    expect_eq "$(starts_of svc-1)" 1 'starts'
    expect_eq "$(count_log alerts SERVICE_RECOVERED)" 1 'alerts'
    for other in $(all_but "$first"); do expect_eq "$(count_log "$other" 'svc-1')" 0 "words of $other about it"; done
    kill -USR1 "$(pid_of "$first")"
    wait_log "$first" 'State: leader; leader, epoch 1 .*, lease renewed [0-9.]+ s ago, 2 other controllers; Redis ready; 2 containers' 5
}

test_leader_killed() {
    local first before died
    start_fleet 3
    run_services 1 2 3
    first=$(leader)
    wait_healthy_by "$first" 3
    before=$(all_incarnations)
    mark_all
    died=$(now_ms)
    kill_hard "$first"
    wait_for $((LEASE + 1)) "is_led_by_other $first" 'another one leads within the lease and a second'
    echo "took over after $(($(now_ms) - died)) ms"
    wait_healthy_by "$(leader)" 3
    expect_eq "$(count_all 'Attempting restart')" 0 'attempts'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    before=$(started_at svc-2)
    crash svc-2
    wait_for 20 "was_started_again svc-2 '$before'" 'the new leader heals'
    # the old one comes back and stands by
    start_one "${first#c}"
    wait_log "$first" 'Standing by: c[0-9] holds the lease' 5
    is_led_by_other "$first"
}

test_leader_stopped_in_order_hands_over_at_once() {
    local first
    start_fleet 2
    first=$(leader)
    stop "$first"
    wait_for 1 "is_led_by_other $first" 'another one leads'
}

# It sleeps through its lease; what it believes when it wakes up is old.
test_frozen_leader_wakes_up_stale() {
    local first second before
    start_fleet 3
    run_services 1 2 3
    first=$(leader)
    wait_healthy_by "$first" 3
    record_events events
    mark_all
    kill -STOP "$(pid_of "$first")"
    before=$(started_at svc-1)
    crash svc-1
    wait_for $((LEASE + 1)) "is_led_by_other $first"
    second=$(leader)
    wait_for 20 "was_started_again svc-1 '$before'" "$second heals"
    before=$(started_at svc-2)
    crash svc-2
    kill -CONT "$(pid_of "$first")"
    wait_for 20 "was_started_again svc-2 '$before'"
    wait_log "$first" 'No longer leading' 5
    expect_never 3 "$first" 'Attempting restart'
    expect_eq "$(leader)" "$second" 'the leader'
    expect_eq "$(starts_of svc-1) $(starts_of svc-2) $(starts_of svc-3)" '1 1 0' 'starts'
}

test_leader_cut_from_redis_only() {
    local first second before died
    start_fleet 3
    run_services 1 2 3
    first=$(leader)
    wait_healthy_by "$first" 3
    before=$(all_incarnations)
    record_events events
    mark_all
    cut_off "$first"
    died=$(now_ms)
    wait_for $((LEASE + 1)) "is_led_by_other $first"
    echo "took over after $(($(now_ms) - died)) ms"
    second=$(leader)
    wait_log "$first" 'was not renewed for two thirds of it: no commands' 2
    wait_healthy_by "$second" 3
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    before=$(started_at svc-1)
    crash svc-1
    wait_for 20 "was_started_again svc-1 '$before'"
    wait_log "$first" 'No longer leading' 10
    expect_never 2 "$first" 'Attempting restart'
    join_again "$first"
    wait_for 20 "[ \"\$(state_of $first)\" = standby ]" 'it is back, and stands by'
    expect_eq "$(leader)" "$second" 'the leader'
    expect_eq "$(starts_of svc-1) $(starts_of svc-2) $(starts_of svc-3)" '1 0 0' 'starts'
}

# One crash at each moment round the leader's death: healed once, by whomever.
test_crash_in_the_moment_of_the_failover() {
    local first before delay round=0
    start_fleet 2
    run_services 1 2
    record_events events
    for delay in 0 0.02 0.2 0.6 1.5 2.1 2.4; do
        round=$((round + 1))
        first=$(leader)
        wait_healthy_by "$first" 2
        before=$(started_at svc-1)
        if [ $((round % 2)) = 0 ]; then
            crash svc-1
            sleep "$delay"
            kill_hard "$first"
        else
            kill_hard "$first"
            sleep "$delay"
            crash svc-1
        fi
        # one that has just come back, and hears from agents that the other one led after it, gives that one 8 s
        wait_for 12 "is_led_by_other $first"
        wait_for 25 "was_started_again svc-1 '$before'" "round $round is healed"
        wait_healthy_by "$(leader)" 2
        expect_eq "$(starts_of svc-1)" "$round" 'starts'
        r del health:restart:svc-1
        start_one "${first#c}" # appends to the same log
    done
    expect_eq "$(starts_of svc-2)" 0 'starts of the healthy one'
}

# Nobody can take over then, and nobody needs to.
test_redis_gone_for_all() {
    local first before epoch
    start_fleet 3
    run_services 1 2 3
    first=$(leader)
    epoch=$(epoch)
    wait_healthy_by "$first" 3
    record_events events
    mark_all
    kill_hard redis
    wait_log "$first" "nobody else can get it: leading on under epoch $epoch" 10
    before=$(started_at svc-1)
    crash svc-1
    wait_for 20 "was_started_again svc-1 '$before'" 'healed without Redis'
    expect_never 2 "$first" 'no commands|No longer leading'
    for n in $(all_but "$first"); do expect_eq "$(count_log "$n" 'Attempting restart|Leading')" 0 "$n leads too"; done
    start_redis --bind 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4
    wait_for 15 "[ \"\$(leader)\" = $first ]" 'the same one leads'
    wait_for 10 '[ "$(r get health:restart:svc-1 | grep -c "attempt_count\": 1")" = 1 ]' 'the attempt is stored'
    wait_for 10 '[ "$(r zcard health:controllers)" = 3 ]'
    expect_eq "$(starts_of svc-1) $(starts_of svc-2) $(starts_of svc-3)" '1 0 0' 'starts'
}

# Its own last epoch is the highest that the agents know, and they have no Redis either: it goes on. A standby does not.
test_leader_restarted_while_redis_is_gone() {
    local first before n
    start_fleet 2
    run_services 1 2
    first=$(leader)
    wait_healthy_by "$first" 2
    kill_hard redis
    kill_hard "$first"
    mark_all
    for n in c1 c2; do [ "$n" = "$first" ] || expect_never 4 "$n" 'Leading|leading on'; done
    start_one "${first#c}"
    wait_log "$first" 'nobody else can get it: leading on' 15
    before=$(started_at svc-1)
    crash svc-1
    wait_for 20 "was_started_again svc-1 '$before'" 'healed without Redis'
}

test_state_folder_of_another() {
    start_fleet 1
    if in_ns env DEFIB_STATE_DIR="$T/state-c1" "$BIN/defib-controller" > "$T/second.log" 2>&1; then fail 'it started'; fi
    expect_match "$(cat "$T/second.log")" "^defib-controller: DEFIB_STATE_DIR: $T/state-c1 is in use by another process$" 'the line'
}

run_tests "$@"
