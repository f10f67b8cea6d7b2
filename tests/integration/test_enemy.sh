#!/bin/bash
# Enemies: somebody who writes Redis at will, and somebody who stole the fleet's key (SECURITY.md).
#
# On the host: svc-a (allowed), svc-denied (the agent denies it, the controller would not), other (not allowed),
# unwatched (the agent does not watch it). Only svc-a may ever be started or restarted, whatever is forged.
# shellcheck disable=SC2317,SC2119  # the tests are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

AGENT=(RESTART_DENY_SERVICES=svc-denied DEFIB_WATCH='svc-*,other')

stage() { # [CONTROLLER-SETTING...]
    local name
    for name in svc-a svc-denied other unwatched; do run_service "$name"; done
    "$BIN/defib-controller" --gen-key > "$T/key"
    chmod 600 "$T/key"
    start_redis
    start_agent "${AGENT[@]}" DEFIB_KEY_FILE="$T/key"
    start_controller DEFIB_KEY_FILE="$T/key" BREAKER_MIN=1000 "$@"
    wait_agent
    wait_controller
    wait_healthy 3
    record_events events
    subscribe alerts system:alerts
}

starts_of() { grep -c "^start $1\$" "$T/events.log" || true; }
others_are_left_alone() {
    local name
    for name in svc-denied other unwatched; do expect_eq "$(starts_of "$name")" 0 "starts of $name"; done
    expect_eq "$(grep -cvE '^(kill|die|start|restart|stop) svc-a$' "$T/events.log" || true)" 0 'events of others'
}
heals() {
    local before
    before=$(started_at svc-a)
    d kill svc-a > /dev/null
    wait_for "${1:-20}" "was_started_again svc-a '$before'" 'svc-a is healed'
}

# forge NAME JQ-PROGRAM: from now on, until end_forging, it overwrites the agent's registration ten times a second, with
# something new in it each time.
forge() {
    r get health:agent:h1 | jq -c "$2" > "$T/forged.$1"
    spawn "$1" bash -c 'for ((i = 5000; ; i++)); do
        sed "s/\"change\":[0-9]*/\"change\":$i/" "$1" | redis-cli -s "$0" -x set health:agent:h1 && sleep 0.1
    done' "$T/redis.sock" "$T/forged.$1"
}
end_forging() { kill_hard "$1"; }

# Dialled elsewhere, the controller signs for host h1 still: who listens there can pass its words on, twice if he
# likes, or not at all. He cannot change one.
test_a_registration_that_points_elsewhere() {
    stage
    spawn relay in_ns "$BIN/tests/tools/nng_proxy" 7500 7411 copies=3
    wait_log relay ready 5
    forge elsewhere '.url = "tcp://127.0.0.1:7500"'
    wait_log controller 'Agent h1 is reached at tcp://127.0.0.1:7500 now' 10
    heals
    wait_for 5 "[ \$(starts_of svc-a) = 1 ]"
    end_forging elsewhere
    # nobody there: no command arrives, until the agent's own word is heard again
    forge nowhere '.url = "tcp://127.0.0.1:7999"'
    wait_log controller 'Agent h1 is reached at tcp://127.0.0.1:7999 now' 10
    d kill svc-a > /dev/null
    sleep 2
    end_forging nowhere
    wait_for 30 'is_running svc-a' 'healed once the forger ends'
    expect_while 2 "[ \$(starts_of svc-a) = 2 ]"
    others_are_left_alone
}

# The agent's denial is forged away and everything is said to be dead: the agent looks for itself.
test_a_registration_that_lies_about_containers() {
    stage
    forge liar '.change += 1000000 | .containers |= map(.seq += 1000000 | .state = "exited" | .stop_class = "killed" | .status = "unhealthy" |
        .exit_code = 137 | del(.spec.denied))'
    wait_log controller 'Attempting restart of svc-denied' 20
    wait_log agent 'start of svc-denied: refused_denied' 5
    wait_log agent 'start of svc-a: not_needed' 20
    expect_never 3 controller 'Attempting restart of other'
    end_forging liar
    # the agent sees svc-a run: not needed
    expect_eq "$(starts_of svc-a)" 0 'starts of svc-a, which was never dead'
    others_are_left_alone
}

# A registration of before, once more and out of order: nothing comes of it, and it is not believed for longer than it stands.
test_a_registration_that_comes_late() {
    local before
    stage
    r get health:agent:h1 > "$T/old"
    heals # so that the agent has said more since
    wait_healthy 3
    before=$(all_incarnations)
    for _ in 1 2 3 4; do
        r -x set health:agent:h1 < "$T/old" > /dev/null
        sleep 0.4
    done
    expect_eq "$(all_incarnations)" "$before" 'what runs'
    heals
    expect_eq "$(starts_of svc-a)" 2 'starts of svc-a'
    others_are_left_alone
}

# insist JQ-PROGRAM FILE: forged so from that registration, into FILE; until the controller has most likely looked.
insist() {
    jq -c "$1" > "$2"
    for _ in $(seq 20); do
        r -x set health:agent:h1 < "$2" > /dev/null
        sleep 0.1
    done
}

# One word with numbers that its agent does not reach in years: all true words are older by them. A beat, an inventory,
# another process behind an inventory: what Redis says is then set right by what the agent says over nng.
test_a_word_from_the_future() {
    local forged
    stage RESTART_BACKOFF_SECS=0.1 MAX_RESTART_ATTEMPTS=1000
    for forged in beat inventory process; do
        log_mark controller
        case $forged in
            beat)
                r publish health:heartbeats "$(r get health:hb:svc-a:svc-a | jq -c '.seq += 1000000000')" > /dev/null
                ;;
            *)
                r get health:agent:h1 |
                    insist '.seq += 1000000000 | .change += 1000000000 | .containers |= map(.seq += 1000000000)' "$T/future"
                [ "$forged" = inventory ] ||
                    insist '.agent = "00000000000000000000000000000001"' "$T/process" < "$T/future"
                ;;
        esac
        sleep 0.5
        heals 40
        # the agent's own writes may have been quicker than a forged inventory, whose reader looks now and then
        [ "$forged" != beat ] || wait_log controller 'Agent of host h1 denies what stood in Redis in its name' 30
        wait_healthy 3
        heals 10
        wait_healthy 3
    done
    others_are_left_alone
}

# Another host claims the container: nobody is commanded for it, and that is all.
test_a_host_that_claims_our_container() {
    local beat
    stage
    r get health:agent:h1 | jq -c '.host = "h2" | .url = "tcp://127.0.0.1:7500" | .agent = "00" | .containers |= map(.host = "h2" |
        .container_id = ("f" * 64))' > "$T/claim"
    beat='{"service": "svc-a", "instance_id": "svc-a", "status": "healthy", "host": "h2", "container": "svc-a", "source": "agent"}'
    spawn claimer bash -c 'for ((i = 5000; ; i++)); do
        sed "s/\"change\":[0-9]*/\"change\":$i/" "$1" | redis-cli -s "$0" -x set health:agent:h2
        redis-cli -s "$0" publish health:heartbeats "$2"
        sleep 0.2
    done' "$T/redis.sock" "$T/claim" "$beat"
    wait_log alerts '"NAME_COLLISION"' 20
    d kill svc-a > /dev/null
    expect_never 3 controller 'Successfully restarted'
    kill_hard claimer
    r del health:agent:h2 > /dev/null
    others_are_left_alone
}

unhealthy() { printf '{"service": "%s", "instance_id": "%s", "status": "unhealthy", "timestamp": "2026-01-23T19:05:30Z"}' "$1" "$1"; }

# Forged beats restart what is allowed, within its budget, and nothing else.
test_beats_that_lie() {
    local name
    stage RESTART_COOLDOWN_SECS=900 RESTART_STABLE_SECS=900
    for _ in $(seq 60); do
        for name in svc-a svc-denied other unwatched; do
            r set "health:hb:$name:$name" "$(unhealthy "$name")" ex 2 > /dev/null
            r publish health:heartbeats "$(unhealthy "$name")" > /dev/null
        done
        sleep 0.15
    done
    wait_log controller 'Attempting restart of svc-a' 5
    [ "$(starts_of svc-a)" -le 3 ] || fail "svc-a was restarted $(starts_of svc-a) times, three are its budget"
    others_are_left_alone
}

rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$(pid_of "$1")/status"; }

test_a_huge_inventory() {
    local before_agent before_controller
    stage
    before_agent=$(rss_kb agent)
    before_controller=$(rss_kb controller)
    r get health:agent:h1 | jq -c '.containers[0] as $one | .containers = [range(10001) | $one + {container: "svc-\(.)"}]' > "$T/many"
    { printf '{"host":"h3","agent":"00","change":1,"containers":[' && head -c 40000000 /dev/zero | tr '\0' '[' && printf ']}'; } > "$T/deep"
    for _ in 1 2 3; do
        r -x set health:agent:h3 < "$T/many" > /dev/null
        r -x set health:agent:h4 < "$T/deep" > /dev/null
        r -x publish health:heartbeats < "$T/deep" > /dev/null
        r -x set health:hb:svc-a:svc-a < "$T/deep" > /dev/null
        r -x set health:restart:svc-a < "$T/deep" > /dev/null
        r -x set health:hold:service:svc-b < "$T/deep" > /dev/null
        sleep 0.7
    done
    is_up agent && is_up controller || fail 'one of them ended'
    r del health:agent:h3 health:agent:h4 health:hold:service:svc-b health:restart:svc-a health:hb:svc-a:svc-a > /dev/null
    [ $(($(rss_kb agent) - before_agent)) -lt $((20000 * MEMORY_FACTOR)) ] || fail "the agent grew from $before_agent to $(rss_kb agent) KB"
    [ $(($(rss_kb controller) - before_controller)) -lt $((120000 * MEMORY_FACTOR)) ] ||
        fail "the controller grew from $before_controller to $(rss_kb controller) KB"
    heals 30
    others_are_left_alone
}

# The epoch only ever hinders: nonsense does not make an agent deaf to its controller for good, nor is a stale one heard.
test_nonsense_in_lease_and_epoch() {
    local value
    stage RESTART_BACKOFF_SECS=0.1 MAX_RESTART_ATTEMPTS=1000
    for value in garbage -1 0 4503599627370496 18446744073709551615 99999999999999999999999; do
        r set health:leader:epoch "$value" > /dev/null
        r set health:leader "$value" > /dev/null
        r set health:marker "$value" > /dev/null
        heals
        stop controller
        start_controller DEFIB_KEY_FILE="$T/key" BREAKER_MIN=1000 RESTART_BACKOFF_SECS=0.1 MAX_RESTART_ATTEMPTS=1000
        wait_controller
        wait_healthy 3
        heals
    done
    others_are_left_alone
}

# What somebody with Redis can do for good: keep a service down that died. It is told, and ends with the key.
test_keys_that_forbid() {
    local value
    stage RESTART_BACKOFF_SECS=0.1 MAX_RESTART_ATTEMPTS=1000
    r set health:hold:container:svc-a '{"reason": "enemy", "by": "mallory", "until": null}' > /dev/null
    sleep 1 # the controller looks for holds at every check
    d kill svc-a > /dev/null
    expect_while 4 'not is_running svc-a'
    r del health:hold:container:svc-a > /dev/null
    wait_for 20 'is_running svc-a' 'healed when the hold is gone'
    # keys of the wrong shape end nobody, on either side
    for value in '{}' '{"container_id": null}' '[]' 'null' '{"container_id": 1}'; do
        r set health:intent:svc-a "$value" > /dev/null
        r set health:hold:host:h1 "$value" > /dev/null
        r del health:hold:host:h1 > /dev/null
        heals
    done
    is_up agent && is_up controller || fail 'one of them ended'
    others_are_left_alone
}

# Redis is short of memory and throws attempts away: no fresh budget. What an operator deletes is one.
test_attempts_that_are_evicted() {
    local i
    stage RESTART_COOLDOWN_SECS=900 RESTART_STABLE_SECS=900
    for i in 1 2; do
        heals
        wait_healthy 3
        sleep 1.5 # seen to stand, twice
        printf '%s\n' 'config set maxmemory-policy volatile-ttl' 'config set maxmemory 1' 'config set maxmemory 0' | r > /dev/null
        wait_for 5 "[ \"\$(r get health:restart:svc-a | jq -r .attempt_count)\" = $i ]" 'the attempts are written anew'
    done
    wait_log controller 'Key health:restart:svc-a is gone, and Redis has evicted keys meanwhile: written anew' 5
    expect_eq "$(count_log controller 'a fresh budget$')" 0 'fresh budgets'
    sleep 1.5
    r del health:restart:svc-a > /dev/null
    wait_log controller 'The restart state of svc-a was deleted in Redis: a fresh budget' 5
    others_are_left_alone
}

# Keys run out by Redis' own clock: set forward by a day, all attempts are gone at once. Nobody deleted them.
test_attempts_that_run_out_by_a_clock() {
    local ahead=$T/ahead
    printf '%-32s' 0 > "$ahead"
    run_service svc-a
    mkdir -p "$T/redis"
    spawn redis in_ns env LD_PRELOAD="$BIN/tests/chaos/own_clock.so" OWN_CLOCK_FILE="$ahead" \
        redis-server --port 6379 --bind 127.0.0.1 --unixsocket "$T/redis.sock" --save '' --dir "$T/redis"
    wait_for 10 'r ping'
    start_agent "${AGENT[@]}"
    start_controller RESTART_STABLE_SECS=900 RESTART_COOLDOWN_SECS=900
    wait_agent
    wait_controller
    wait_healthy 1
    heals
    wait_healthy 1
    sleep 1.5 # seen to stand, twice
    printf '%-32s' 86400 > "$ahead"
    wait_log controller 'Key health:restart:svc-a is gone, and Redis had its clock set forward meanwhile: written anew' 10
    wait_for 5 '[ "$(r get health:restart:svc-a | jq -r .attempt_count)" = 1 ]' 'the attempt is written anew'
    expect_eq "$(count_log controller 'a fresh budget$')" 0 'fresh budgets'
    sleep 1.5
    r del health:restart:svc-a > /dev/null
    wait_log controller 'The restart state of svc-a was deleted in Redis: a fresh budget' 5
}

send() { in_ns "$BIN/tests/tools/defib_send" tcp://127.0.0.1:7411 "$1" host="$HOST" key_file="$T/key" "${@:2}"; }
target() { echo "container=$1 container_id=$(id_of "$1") started_at=$(started_at "$1")"; }
# shellcheck disable=SC2046
code_of() { send "$1" $(target "$2") "${@:3}" | jq -r .code; }

# With the key and the highest epoch: still only what the agent allows, and no faster than it allows.
test_a_stolen_key() {
    local verb
    stage SUPERVISOR_ENABLED=false
    expect_eq "$(code_of restart svc-denied epoch=4503599627370496)" refused_denied
    expect_eq "$(code_of start svc-denied)" stale_epoch
    # its own controller has heard of that epoch, and may lead under the next by now
    expect_eq "$(code_of restart unwatched epoch=4503599627370999)" not_found
    # no other verb exists
    for verb in stop kill remove exec pause; do
        send "$verb" > "$T/verb" 2>&1 && fail "$verb was sent: $(cat "$T/verb")"
    done
    others_are_left_alone
}

# A container that ends at once, started again as fast as it goes: 30 times within 10 s or 60 in ten minutes, no more.
test_a_stolen_key_is_held_to_the_rate() {
    local id answer container started deadline
    "$BIN/defib-controller" --gen-key > "$T/key"
    chmod 600 "$T/key"
    start_redis
    start_agent STOP_SETTLE_SECS=0 DEFIB_KEY_FILE="$T/key"
    wait_agent
    record_events events
    run_service svc-a -e CRASH_AFTER=0
    container=$(id_of svc-a)
    started=$(started_at svc-a)
    deadline=$(($(now_ms) + 180000 * WAIT_FACTOR))
    answer=''
    until [[ $answer == 'busy changed '* ]]; do
        is_before "$deadline" || fail "the limit was never met: $(starts_of svc-a) starts, the last answer is $answer"
        id=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
        answer=$(send start container=svc-a container_id="$container" started_at="$started" id="$id" | jq -r '.code + " " + .detail') || {
            started=$(started_at svc-a) # no answer in time
            continue
        }
        [[ $answer == accepted* ]] || continue
        until answer=$(send outcome id="$id") && [[ $answer != *'"accepted"'* ]]; do nap 50; done
        [[ $answer != *'"code": "ok"'* ]] || started=$(jq -r .started_at <<< "$answer")
    done
    expect_match "$answer" '^busy changed (30 times in 10 s|[0-9]+ times in 10 s and 60 times in 600 s)'
    [ "$(starts_of svc-a)" -le 61 ] || fail "$(starts_of svc-a) starts"
    echo "$(starts_of svc-a) starts before the limit was met"
}

run_tests "$@"
