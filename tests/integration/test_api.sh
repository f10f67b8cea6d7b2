#!/bin/bash
# The controller's HTTP side and defibctl, on real containers.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

# api PATH [CURL-OPTION...]: the body; fails on an HTTP error.
api() {
    local path=$1
    shift
    in_ns curl -sS -f --max-time 10 "$@" "http://127.0.0.1:7410$path"
}

# status_of PATH [CURL-OPTION...]: the HTTP status alone.
status_of() {
    local path=$1
    shift
    in_ns curl -sS -o /dev/null -w '%{http_code}' --max-time 10 "$@" "http://127.0.0.1:7410$path"
}

# field CONTAINER JQ-PATH
field() { api "/api/v1/containers/$1" | jq -r ".container$2"; }

# metric NAME-AND-LABELS: its value.
metric() { api /metrics | awk -v name="$1" '$1 == name { print $2 }'; }

# conforms STATUS OPENAPI-PATH PATH [CURL-OPTION...]: the answer is what openapi.json says.
conforms() {
    local status=$1 template=$2 path=$3 method=get found
    shift 3
    [[ " $* " != *' -X POST '* ]] || method=post
    [[ " $* " != *' -X DELETE '* ]] || method=delete
    expect_eq "$(in_ns curl -sS -o "$T/answer" -w '%{http_code}' --max-time 10 "$@" "http://127.0.0.1:7410$path")" "$status" "$path"
    found=$(jq -rn --slurpfile api "$ROOT/controller/serve/openapi.json" --slurpfile body "$T/answer" --arg path "$template" \
        --arg method "$method" --arg status "$status" -f "$ROOT/tests/checks/openapi.jq")
    expect_eq "$found" '' "$path against openapi.json"
}

# ctl WORD...: defibctl on HOST, with CTL_ENV beside it.
CTL_ENV=(NO_COLOR=)
ctl() { in_ns env REDIS_URL=redis://127.0.0.1:6379 "${CTL_ENV[@]}" "$BIN/defibctl" "$@"; }

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }

test_what_happens_is_told() {
    local before
    start_all RESTART_ALLOW_SERVICES='svc-*' RESTART_DENY_SERVICES=svc-denied \
        DEFIB_WEBHOOK_URL=http://127.0.0.1:9/hush DEFIB_HEARTBEAT_URL=http://127.0.0.1:7410/healthz
    run_service svc-a
    run_service svc-denied
    run_service other
    wait_healthy 3
    expect_eq "$(api /healthz)" ok
    expect_eq "$(api /readyz)" ready
    expect_eq "$(api /api/v1/status | jq -c '[.totals.healthy, .redis.up, .controller.enabled, (.hosts | length)]')" '[3,true,true,1]' status
    expect_eq "$(api /api/v1/hosts | jq -r '.hosts[] | .host + " " + .state')" 'h1 LIVE' hosts
    expect_eq "$(api '/api/v1/containers?name=svc-*' | jq -r '[.containers[].container] | sort | join(" ")')" 'svc-a svc-denied' 'filter by name'
    expect_eq "$(field svc-a .docker.started_at)" "$(started_at svc-a)" 'start as Docker says it'
    spawn stream in_ns curl -sS -N http://127.0.0.1:7410/api/v1/stream
    wait_log stream '^event: tick' 5

    before=$(started_at svc-a)
    crash svc-a
    crash svc-denied
    crash other
    wait_for 20 "was_started_again svc-a '$before'" 'svc-a is running again'
    wait_log stream '"kind":"decision".*"container":"svc-a".*"action":"start"' 5
    wait_log stream '"type": "SERVICE_RESTARTED"' 5
    wait_for 10 '[ "$(field svc-a .state) $(field svc-denied .gate) $(field other .gate)" = "UP deny allow" ]'

    # why, in words
    expect_match "$(api /api/v1/explain/svc-denied | jq -r .verdict)" 'It is not restarted because it is in the deny list' 'verdict'
    expect_match "$(api /api/v1/explain/other | jq -r .verdict)" 'not in the allow list' 'verdict'
    expect_match "$(api /api/v1/explain/other | jq -r '.evidence[0]')" '^Docker on h1 says exited, exit code 137' 'evidence'

    # the same by hand
    ctl status > "$T/status"
    expect_match "$(cat "$T/status")" '3 containers on 1 host; controller [^ ]+ leads, epoch [0-9]+, Redis up' 'head of status'
    expect_eq "$(awk '/^(svc-|other)/ { print $1 }' "$T/status" | tr '\n' ' ')" 'other svc-denied svc-a ' 'worst first'
    expect_match "$(grep '^svc-denied' "$T/status")" '^svc-denied +h1 +FAILED +0/3 .* deny_list$' 'a row'
    expect_eq "$(awk 'length > 80' "$T/status")" '' 'lines over 80 columns'
    expect_eq "$(grep -c $'\033' "$T/status" || true)" 0 'colors in a file'
    expect_eq "$(ctl status --state up | awk '/^(svc-|other)/ { print $1 }')" svc-a 'filter by state'
    expect_eq "$(ctl status --json | jq -r '[.redis.up, (.containers | length), (.hosts | length)] | join(" ")')" 'true 3 1' 'status as JSON'
    expect_match "$(ctl show svc-denied)" 'docker exit_code +137' show
    ctl explain svc-denied > "$T/explain"
    expect_match "$(head -n 1 "$T/explain")" '^svc-denied has failed \(it died\) and was not restarted\.$' headline
    expect_match "$(tr '\n' ' ' < "$T/explain")" 'It is not restarted because it is in the deny list' verdict
    expect_match "$(grep 'CLOSED deny' "$T/explain")" 'RESTART_DENY_SERVICES' 'the gate'
    expect_eq "$(awk 'length > 80' "$T/explain")" '' 'lines over 80 columns'
    expect_eq "$(ctl explain svc-denied --json | jq -r .container.gate)" deny 'explain as JSON'
    expect_match "$(ctl explain svc-deneid 2>&1 || true)" 'the nearest name is "svc-denied"' 'nearest name'
    expect_match "$(ctl stauts 2>&1 || true)" 'did you mean status' 'nearest command'
    expect_match "$(ctl status --hots h1 2>&1 || true)" 'did you mean --host' 'nearest option'

    # all as it is documented
    local path
    for path in status hosts holds containers; do conforms 200 "/api/v1/$path" "/api/v1/$path"; done
    for path in svc-a svc-denied other; do
        conforms 200 '/api/v1/containers/{container}' "/api/v1/containers/$path"
        conforms 200 '/api/v1/explain/{container}' "/api/v1/explain/$path"
    done
    # the check itself sees what is missing, and what was never promised
    api /api/v1/holds | jq 'del(.holds) + {more: 1}' > "$T/answer"
    expect_eq "$(jq -rn --slurpfile api "$ROOT/controller/serve/openapi.json" --slurpfile body "$T/answer" --arg path /api/v1/holds \
        --arg method get --arg status 200 -f "$ROOT/tests/checks/openapi.jq" | tr '\n' ';')" \
        'answer.holds is missing;answer.more is not in openapi.json;' 'the check of answers'
    conforms 404 '/api/v1/explain/{container}' /api/v1/explain/nobody
    conforms 200 /api/v1/openapi.json /api/v1/openapi.json
    api /api/v1/openapi.json | cmp - "$ROOT/controller/serve/openapi.json"

    # a webhook that is away keeps its alerts, and its address a secret; the dead man's beat goes on
    wait_log controller 'DEFIB_WEBHOOK_URL does not answer; [0-9]+ alerts wait' 5
    expect_eq "$(grep -c hush "$T/controller.log" || true)" 0 'the address in the log'
    expect_match "$(cat "$T/state-controller/webhook.spool")" 'svc-denied on h1 is unhealthy and on the deny list' 'the spool'
    [ "$(metric defib_webhook_waiting)" -ge 3 ]
    expect_eq "$(count_log controller 'DEFIB_HEARTBEAT_URL')" 0 'trouble with the beat'
    [ "$(metric defib_http_requests_total)" -gt 3 ]

    # the counts
    api /metrics > "$T/metrics"
    promtool check metrics < "$T/metrics"
    "$ROOT/tests/checks/grafana.sh" "$T/metrics"
    grep -v '^defib_redis_up' "$T/metrics" | sed 's/state="COOLDOWN"/state="X"/' > "$T/fewer"
    expect_eq "$("$ROOT/tests/checks/grafana.sh" "$T/fewer" | tr '\n' ';')" \
        'grafana: no controller shows defib_redis_up;grafana: no metric has state="COOLDOWN";' 'the check of the rules'
    expect_eq "$(metric 'defib_restart_attempts_total{reason="died"}')" 1 attempts
    expect_eq "$(metric 'defib_restarts_total{outcome="restarted",reason="died"}')" 1 restarts
    expect_eq "$(metric 'defib_gate_refusals_total{gate="deny"}')" 1 'refusals by the deny list'
    expect_eq "$(metric 'defib_gate_refusals_total{gate="allow"}')" 1 'refusals by the allow list'
    expect_eq "$(metric defib_recovery_seconds_count)" 1 recoveries
    expect_eq "$(metric 'defib_host_up{host="h1"}')" 1 'host up'
    [ "$(metric defib_redis_answer_seconds_count)" -gt 10 ]
    [ "$(metric defib_agent_answer_seconds_count)" -ge 2 ]
    [ "$(metric 'defib_agent_beats_published_total{host="h1"}')" -ge 3 ]
    expect_eq "$(metric 'defib_agent_commands_accepted_total{host="h1"}')" 1 "the agent's own counters"
    expect_eq "$(grep -c svc- "$T/metrics" || true)" 0 'container names among the labels'

    # what happened, from the stream
    ctl events > "$T/events"
    expect_match "$(cat "$T/events")" 'svc-a  UP -> DOWN: .*svc-a  start: attempt 1, missing_heartbeat \(exit_137\).*svc-a  RESTARTING -> STARTING: restarted' 'in order'
    expect_match "$(ctl events --container svc-denied)" 'svc-denied  not restarted: deny_list, gate deny' 'a refusal'
    expect_eq "$(ctl events --container svc-denied | grep -c 'svc-a ' || true)" 0 'others among those of one'
    expect_eq "$(ctl events --last 1 | wc -l)" 1 'the last one'
    expect_eq "$(ctl alerts --json | jq -r 'select(.type == "SERVICE_RESTARTED") | .container')" svc-a 'an alert'
    expect_match "$(ctl alerts)" 'svc-denied  ALERT SERVICE_RESTART_FAILED deny_list' 'an alert in words'
    expect_match "$(ctl explain svc-a --last 5)" 'The last 5 events of svc-a:.*STARTING -> UP' 'explain with its history'
    expect_match "$(ctl explain svc-a --at 1h)" '^Nothing is recorded of svc-a before 20' 'an hour ago there was nothing'
    expect_match "$(ctl events --since yesterday 2>&1 || true)" '--since "yesterday": allowed are' 'a bad time'
    spawn follow in_ns env REDIS_URL=redis://127.0.0.1:6379 "$BIN/defibctl" events --follow --container svc-a
    wait_log follow 'svc-a  start: attempt 1' 5
    log_mark follow
    d kill svc-a
    wait_log follow 'svc-a  start: attempt [12]' 15
}

test_who_may_ask() {
    echo 0123456789abcdef > "$T/token"
    chmod 600 "$T/token"
    start_all DEFIB_HTTP_TOKEN_FILE="$T/token"
    run_service svc-a
    wait_healthy 1
    expect_eq "$(status_of /api/v1/status)" 200 'reading on loopback'
    expect_eq "$(status_of /api/v1/status -H 'Host: evil.example')" 421 'a name that is not ours'
    expect_eq "$(status_of /api/v1/containers/svc-b)" 404 'an unknown container'
    expect_match "$(in_ns curl -sS http://127.0.0.1:7410/api/v1/containers/scv-a)" 'the nearest name is ."svc-a' 'nearest name'
    expect_eq "$(status_of /nothing)" 404 'no such page'
    expect_eq "$(status_of /api/v1/status -X POST)" 401 'changing without the token'
    expect_eq "$(status_of /api/v1/status -X POST -H 'Authorization: Bearer 0123456789abcdeF')" 401 'a wrong token'
    expect_eq "$(status_of /api/v1/status -X POST -H 'Authorization: Bearer 0123456789abcdef')" 405 'the right token, nothing to change'

    # a new token without a restart; a bad file leaves it
    echo fedcba9876543210 > "$T/token"
    kill -HUP "$(pid_of controller)"
    wait_for 5 '[ "$(status_of /api/v1/status -X POST -H "Authorization: Bearer fedcba9876543210")" = 405 ]' 'the new token counts'
    chmod 644 "$T/token"
    kill -HUP "$(pid_of controller)"
    wait_log controller 'the token stays as it was: DEFIB_HTTP_TOKEN_FILE=.*chmod 600' 5
    expect_eq "$(status_of /api/v1/status -X POST -H 'Authorization: Bearer fedcba9876543210')" 405 'the token stays'
}

# is_held KIND:NAME: such a key is there.
is_held() { [ "$(r exists "health:hold:$1")" = 1 ]; }
# recorded REGEX: an operator's record on the stream matches.
recorded() { [ "$(r --raw xrevrange health:events + - COUNT 50 | grep '"kind":"operator"' | grep -cE -e "$1")" != 0 ]; }

test_what_an_operator_changes() {
    local before
    echo 0123456789abcdef > "$T/token"
    chmod 600 "$T/token"
    start_all DEFIB_HTTP_TOKEN_FILE="$T/token" RESTART_DENY_SERVICES=svc-denied
    run_service svc-a
    run_service svc-denied
    run_service other
    wait_healthy 3
    CTL_ENV=(DEFIB_HTTP_TOKEN_FILE="$T/token")

    # a hold holds, at once, and shows
    expect_match "$(ctl hold svc-a --for 30m --reason 'a migration')" '^hold container svc-a: done, by .*: a migration, until 20' hold
    wait_for 2 '[ "$(field svc-a .state) $(field svc-a .held_by_operator)" = "HELD true" ]' 'held at once'
    expect_eq "$(api /api/v1/holds | jq -r '.holds[] | .kind + " " + .name + " " + .reason')" 'container svc-a a migration' holds
    [ "$(r ttl health:hold:container:svc-a)" -gt 1800 ]
    expect_match "$(ctl status)" 'HELD: container svc-a, by .*, for [0-9]+s, ends in (30|29|28|27)m: a migration' 'the hold in status'
    expect_match "$(ctl status | grep '^svc-a')" 'HELD +0/3 +[0-9]+s +(30|29|28|27)m +hold' 'since when, and how long'
    expect_match "$(ctl explain svc-a | tr -s '\n ' ' ')" 'Next: its hold ends, and it is judged anew, in (30|29|28|27)m\.' 'what comes next'
    expect_match "$(ctl explain svc-a | tr -s '\n ' ' ')" 'It was put on hold [0-9.]+ s ago by [^ ]+, for (30|29|28|27) min more: a migration\.' 'whose hold, and why'
    before=$(started_at svc-a)
    crash svc-a
    expect_never 3 controller 'Attempting restart of svc-a'
    expect_match "$(ctl explain svc-a)" 'defibctl release container svc-a' 'how to release'
    wait_for 2 "recorded '\"container\":\"svc-a\".*\"action\":\"hold\".*a migration'" 'who and why on the stream'

    # released it comes back
    expect_match "$(ctl release container svc-a)" '^release container svc-a: done, by ' release
    wait_for 15 "was_started_again svc-a '$before'" 'restarted once released'
    not is_held container:svc-a
    wait_for 5 '[ "$(field svc-a .state) $(field svc-a .attempts)" = "UP 1" ]'

    # a reset gives the budget back
    expect_match "$(ctl reset svc-a)" '^reset container svc-a: done' reset
    wait_for 5 '[ "$(field svc-a .attempts)" = 0 ]' 'a fresh budget'

    # a restart by hand is no attempt
    before=$(started_at svc-a)
    expect_match "$(ctl restart svc-a --reason test)" '^restart container svc-a: done, [0-9a-f]{32}$' restart
    wait_for 10 "was_started_again svc-a '$before'" 'restarted by hand'
    wait_for 5 '[ "$(field svc-a .state) $(field svc-a .attempts)" = "UP 0" ]' 'no attempt was used'
    wait_for 2 "recorded '\"action\":\"restart\".*by .*: test'" 'the restart on the stream'

    # what must not be
    before=$(all_incarnations)
    expect_match "$(ctl restart svc-denied 2>&1 || true)" 'svc-denied is not restarted: it is in the deny list' 'denied'
    expect_match "$(ctl restart other 2>&1 || true)" 'it is not in the allow list' 'not allowed'
    expect_match "$(ctl hold svc-a 2>&1 || true)" 'a hold ends: --for 30m' 'no end'
    expect_match "$(ctl hold svc-a --for 5w 2>&1 || true)" '--for "5w": allowed are' 'a bad duration'
    expect_match "$(ctl hold service svc-aa --for 5m 2>&1 || true)" 'the nearest name is "svc-a"' 'an unknown service'
    expect_match "$(ctl hold pod svc-a --for 5m 2>&1 || true)" '"pod": allowed are host, service and container' 'an unknown kind'
    expect_eq "$(all_incarnations)" "$before" containers

    # as it is documented
    local auth=(-X POST -H 'Authorization: Bearer 0123456789abcdef')
    conforms 200 /api/v1/hold /api/v1/hold "${auth[@]}" -d '{"by": "t", "kind": "all", "for_secs": 60}'
    conforms 200 /api/v1/release /api/v1/release "${auth[@]}" -d '{"by": "t", "kind": "all"}'
    conforms 400 /api/v1/hold /api/v1/hold "${auth[@]}" -d '{"by": "t", "kind": "all"}'
    conforms 400 /api/v1/reset /api/v1/reset "${auth[@]}" -d '{"container": "svc-a"}'
    conforms 400 /api/v1/reset /api/v1/reset "${auth[@]}" -d '{"by": "t", "container": 5}'
    conforms 404 /api/v1/reset /api/v1/reset "${auth[@]}" -d '{"by": "t", "container": "nobody"}'
    conforms 409 /api/v1/restart /api/v1/restart "${auth[@]}" -d '{"by": "t", "container": "svc-denied"}'
    conforms 202 /api/v1/alerts/test /api/v1/alerts/test "${auth[@]}" -d '{"by": "t"}'
    conforms 409 /api/v1/decommission /api/v1/decommission "${auth[@]}" -d '{"by": "t", "host": "h1"}'
    conforms 404 /api/v1/decommission /api/v1/decommission "${auth[@]}" -d '{"by": "t", "host": "h2"}'
    conforms 401 /api/v1/reset /api/v1/reset -X POST -d '{"by": "t", "container": "svc-a"}'

    # without the token straight to Redis, which says so; the controller sees it when it matters
    CTL_ENV=(NO_COLOR=)
    expect_match "$(ctl hold all --forever 2>&1)" 'no token of the controller here .*: written straight to Redis' 'by Redis'
    is_held all:all
    log_mark controller
    before=$(started_at svc-a)
    crash svc-a
    expect_never 3 controller 'Attempting restart of svc-a'
    expect_eq "$(field svc-a .held_by_operator)" true 'the controller sees it'
    ctl release all 2> /dev/null
    not is_held all:all
    wait_for 15 "was_started_again svc-a '$before'" 'restarted once released'
    expect_match "$(ctl restart svc-a 2>&1 || true)" 'a restart needs it; on its host: docker restart svc-a' 'restart without the token'

    # with Redis away nothing is pretended
    stop_redis
    CTL_ENV=(DEFIB_HTTP_TOKEN_FILE="$T/token")
    wait_for 5 '[ "$(api /api/v1/status | jq .redis.up)" = false ]'
    expect_match "$(ctl hold all --for 5m 2>&1 || true)" 'Redis is away, and this is kept there; nothing was changed' 'Redis away'
    conforms 503 /api/v1/hold /api/v1/hold "${auth[@]}" -d '{"by": "t", "kind": "all", "for_secs": 60}'
}

# found LEVEL CHECK: the doctor found that.
found() { [ "$(jq -r --arg level "$1" --arg check "$2" '[.findings[] | select(.level == $level and .check == $check)] | length' "$T/findings")" != 0 ]; }
examine() { ctl doctor --json > "$T/findings"; }

test_doctor() {
    start_all RESTART_DENY_SERVICES=svc-denied
    run_service svc-a
    run_service svc-denied
    wait_healthy 2
    examine
    found ok controller && found ok agents && found ok containers && found ok redis
    found note unchecked
    expect_match "$(ctl doctor)" 'ok +1 agent, all of them answering' 'in words'

    # each finding, and its end
    r config set maxmemory-policy allkeys-lru
    ctl hold all --forever 2> /dev/null
    d kill svc-denied
    wait_for 10 '[ "$(field svc-denied .state)" = FAILED ] || [ "$(field svc-denied .state)" = HELD ]'
    not examine
    found WARNING redis_eviction && found WARNING hold
    ctl release all 2> /dev/null
    r config set maxmemory-policy noeviction
    wait_for 10 '[ "$(field svc-denied .gate)" = deny ]'
    not examine
    not found WARNING redis_eviction
    not found WARNING hold
    found BAD nobody_restarts
    expect_match "$(ctl doctor || true)" '-> on h1: docker start svc-denied' 'what to do'
    d start svc-denied
    wait_for 10 '[ "$(field svc-denied .state)" = UP ]'
    examine
    r config set min-replicas-to-write 1
    not examine
    found BAD redis_write
    r config set min-replicas-to-write 0
    wait_for 10 '[ "$(api /api/v1/hosts | jq -r .hosts[0].state)" = LIVE ]'
    stop_engine
    wait_for 10 '[ "$(api /api/v1/hosts | jq -c ".hosts[0] | [.state, .engine_up]")" = "[\"LIVE\",false]" ]' 'no Engine'
    not examine
    found BAD engine
    not found BAD agent
    expect_match "$(ctl explain svc-a)" "The Docker Engine on $HOST does not answer, says its agent" 'whose fault it is'
    expect_match "$(ctl explain svc-a)" 'systemctl status docker ' 'where to look'
    start_engine
    wait_for 20 '[ "$(api /api/v1/hosts | jq -r .hosts[0].engine_up)" = true ]'
    kill_hard agent
    wait_for 10 '[ "$(api /api/v1/hosts | jq -r .hosts[0].state)" = LOST ]'
    not examine
    found BAD agent
    expect_match "$(ctl explain svc-a)" 'systemctl status defib-agent ' 'where to look'
    stop controller
    not examine
    found BAD controller
    stop_redis
    not examine
    found BAD redis
}

# Without the controller defibctl tells what Redis holds, and says so; without Redis it says that too.
test_controller_is_down() {
    start_all
    run_service svc-a
    run_service svc-b
    wait_healthy 2
    stop controller
    r set health:hold:container:svc-a '{"reason": "migration", "by": "anna", "until": null}'
    r set health:restart:svc-b '{"attempt_count": 2, "last_attempt_at": null, "last_failure_reason": null, "cooldown_until": null}'
    ctl status > "$T/status"
    expect_match "$(tr '\n' ' ' < "$T/status")" '^The controller at http://127.0.0.1:7410 does not answer .*: this is what Redis holds' note
    expect_match "$(cat "$T/status")" 'HELD: container svc-a, by anna, until it is released: migration' hold
    expect_match "$(grep '^svc-b' "$T/status")" '^svc-b +h1 +running +2 ' attempts
    expect_match "$(ctl explain svc-a 2>&1 || true)" 'does not answer' explain
    stop_redis
    expect_match "$(ctl status 2>&1 || true)" '^defibctl: the controller at http://127.0.0.1:7410 does not answer .*Redis is not reached' 'both down'
    not ctl status 2> /dev/null
}

# The supervisor needs no HTTP.
test_an_address_in_use() {
    local before
    make_host
    spawn squatter in_ns redis-server --port 7410 --bind 127.0.0.1 --save ''
    wait_for 5 'in_ns redis-cli -p 7410 ping' 'the address is taken'
    start_all
    wait_log controller 'ERROR - No HTTP: DEFIB_HTTP_LISTEN=127.0.0.1:7410: Address already in use' 5
    run_service svc-a
    wait_healthy 1
    before=$(started_at svc-a)
    crash svc-a
    wait_for 20 "was_started_again svc-a '$before'" 'it restarts without HTTP'
    kill_hard squatter
    wait_log controller 'HTTP on 127.0.0.1:7410' 10
    expect_eq "$(api /healthz)" ok
}

# The page, and what it asks for that nothing else does.
test_the_page_and_the_last_hour() {
    start_all
    run_service svc-a
    wait_healthy 1
    in_ns curl -sS -D "$T/headers" -o "$T/page" http://127.0.0.1:7410/
    expect_match "$(head -n 1 "$T/page")" '^<!doctype html>' 'the page'
    expect_match "$(cat "$T/headers")" "Content-Security-Policy: default-src 'none'; script-src 'sha256-[A-Za-z0-9+/]{43}='; style-src 'sha256-[A-Za-z0-9+/]{43}='; connect-src 'self'" 'its policy'
    expect_eq "$(grep -oE 'https?://[^ /]*' "$T/page" | sort -u)" 'http://www.w3.org' 'addresses elsewhere (that one names SVG)'
    expect_eq "$(status_of / -H 'Host: evil.example')" 421 'a name that is not ours'

    # of Redis, where another one may have written, and rubbish too
    crash svc-a
    wait_log controller 'Service svc-a recovered' 15
    r xadd health:events '*' data '{"kind":"operator","timestamp":"2026-01-23T19:05:30Z","action":"hold","detail":"by anna"}'
    r xadd health:events '*' data 'not json]'
    r xadd health:events '*' data '[1]'
    r xadd health:events '*' odd fields more fields
    # what the controller itself has still to tell may come behind it
    wait_for 5 'api /api/v1/events | jq -e "[.events[] | .action, .type | select(. == \"hold\" or . == \"SERVICE_RECOVERED\")]
        == [\"hold\", \"SERVICE_RECOVERED\"]"' 'the newest first'
    conforms 200 /api/v1/events /api/v1/events
    expect_eq "$(jq -r '.source, .cut, ([.events[] | select(.type == "SERVICE_RECOVERED")] | length)' "$T/answer" | tr '\n' ' ')" 'redis false 1 ' 'from Redis'

    # without Redis what it told itself
    stop_redis
    wait_for 5 '[ "$(api /api/v1/events | jq -r .source)" = controller ]' 'from the controller'
    conforms 200 /api/v1/events /api/v1/events
    expect_eq "$(jq -r '[.events[] | select(.type == "SERVICE_RECOVERED" and .container == "svc-a")] | length' "$T/answer")" 1 'what it told'
    expect_eq "$(jq '[.events[].timestamp] | . == (sort | reverse)' "$T/answer")" true 'the newest first'
}

run_tests "$@"
