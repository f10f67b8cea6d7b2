#!/bin/bash
# Two hosts, two controllers and Redis in namespaces of their own: cables are pulled, one way and both ways.
# shellcheck source=tests/fleet/lib.sh
. "$(dirname "$0")/../fleet/lib.sh"

LEASE=2
REDIS_SERVERS=1

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }
alerts_of() { r xrange health:events - + | grep -c "\"type\": \"$1\""; }
everything() { for HOST in h1 h2; do all_incarnations; done; }
is_led_by_other() { [ "$(leader)" != "$1" ] && [ -n "$(leader)" ]; }

test_cables_are_pulled() {
    local before first started
    fleet_up 2 2 1 2
    first=$(leader)
    before=$(everything)

    # a host: one alert, nothing restarted, closed when it is back
    cut h2
    wait_for 20 '[ "$(alerts_of AGENT_LOST)" = 1 ]' 'the host is told as lost'
    mend h2
    wait_for 20 '[ "$(alerts_of AGENT_RECOVERED)" = 1 ]' 'and as back'
    wait_for 20 '[ "$(healthy)" = 4 ]'

    # what the leader hears of Redis, one way: another one leads
    cut_from "$first" r1
    wait_for 15 "is_led_by_other $first" 'another one leads'
    mend "$first"
    wait_for 20 '[ "$(healthy)" = 4 ]'

    # the agent from Redis: its containers are asked for over nng, a crash is healed
    cut h1 r1
    started=$(HOST=h1 started_at svc-h1-2)
    HOST=h1 crash svc-h1-2
    HOST=h1 wait_for 20 "was_started_again svc-h1-2 '$started'" 'healed without its Redis'
    mend h1
    wait_for 20 '[ "$(healthy)" = 4 ]'
    expect_eq "$(alerts_of AGENT_LOST)" 1 'hosts lost'
    expect_eq "$(everything | grep -v svc-h1-2)" "$(echo "$before" | grep -v svc-h1-2)" 'all others'
}

run_tests "$@"
