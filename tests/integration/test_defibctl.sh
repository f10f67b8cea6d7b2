#!/bin/bash
# defibctl beyond one answer of the API: export, watch, drill, decommission, and the words for people.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

api() { in_ns curl -sS -f --max-time 10 "http://127.0.0.1:7410$1"; }
field() { api "/api/v1/containers/$1" | jq -r ".container$2"; }

# ctl WORD...: defibctl on HOST, with CTL_ENV beside it.
CTL_ENV=(NO_COLOR=)
ctl() { in_ns env REDIS_URL=redis://127.0.0.1:6379 "${CTL_ENV[@]}" "$BIN/defibctl" "$@"; }

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }

# Over several pages, byte for byte what redis-cli prints: what --replay reads.
test_export() {
    local middle
    start_redis
    r eval 'for i = 1, 1234 do redis.call("xadd", "health:events", 1795521600000 + 1000 * i .. "-0", "data", "{\"kind\":\"decision\",\"n\":" .. i .. "}") end' 0
    ctl export > "$T/exported" 2> "$T/told"
    r --raw xrange health:events - + | cmp - "$T/exported"
    expect_eq "$(cat "$T/told")" 'defibctl: 1234 entries, from 2026-11-24T12:00:01Z to 2026-11-24T12:20:34Z' 'what it says'
    ctl export --since 2026-11-24T12:10:00Z --until 2026-11-24T12:10:02Z > "$T/part" 2> /dev/null
    expect_eq "$(grep -o '"n":[0-9]*' "$T/part" | tr '\n' ' ')" '"n":600 "n":601 "n":602 ' 'a part'
    expect_match "$(ctl export --since 2030-01-01T00:00:00Z 2>&1)" 'nothing stands on the stream' 'an empty part'
    expect_match "$(ctl export --until tomorrow 2>&1 || true)" '--until "tomorrow": allowed are 15m' 'a bad time'
    # white space within a document breaks no line; where nobody reads it says so
    r xadd health:events '*' data $'{"kind":\n"decision"}' > /dev/null
    middle=$(ctl export 2> /dev/null | tail -n 1)
    expect_eq "$middle" '{"kind": "decision"}' 'a document over two lines'
    expect_match "$(ctl export 2>&1 > /dev/full || true)" 'export, after [0-9]+ entries: stdout: No space left' 'nowhere to write'
    stop_redis
    expect_match "$(ctl export 2>&1 || true)" 'Redis is not reached' 'no Redis'
}

# open_terminal: `defibctl watch` on a terminal of its own; its screen goes to T/screen.log, press() is its keyboard.
open_terminal() {
    mkfifo "$T/keys"
    exec 9<> "$T/keys"
    cat > "$T/on_terminal" << END
tty > $T/tty
stty cols 80 rows 24
stty -g > $T/before
exec 3>&1
TERM=xterm nsenter --net=/run/netns/$(ns) env REDIS_URL=redis://127.0.0.1:6379 \
    sh -c 'echo \$\$ > $T/watch.pid; exec $BIN/defibctl watch --every 1s'
echo \$? > $T/ended
stty -g > $T/after
END
    spawn terminal sh -c "exec script -qfc 'bash $T/on_terminal' $T/screen.log < $T/keys"
}
press() { printf '%b' "$1" >&9; }

# screen: the last whole frame, without colors and the like.
screen() { sed 's/\x1b\[H/\n@@\n/g' "$T/screen.log" | tr -d '\r' | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' | awk '/^@@/ { last = text; text = ""; next } { text = text $0 "\n" } END { printf "%s", text == "" ? last : text }'; }
shows() { screen | grep -qE -e "$1"; }

test_watch_on_a_terminal() {
    start_all RESTART_DENY_SERVICES=svc-denied
    run_service svc-a
    run_service svc-denied
    wait_healthy 2
    open_terminal
    wait_for 5 "shows '^svc-denied +h1 +UP'" 'the fleet is shown'
    shows '^defib  20.*by worst'
    shows 'leads, epoch'
    d kill svc-denied
    wait_for 10 "shows '^svc-denied +h1 +FAILED .*deny_list'" 'it follows'
    expect_eq "$(screen | awk '/^svc-/ { print $1 }' | tr '\n' ' ')" 'svc-denied svc-a ' 'worst first'
    press s
    wait_for 3 "shows 'by name'"
    wait_for 3 '[ "$(screen | awk "/^svc-/ { print \$1 }" | head -n 1)" = svc-a ]' 'sorted by name'
    press t
    wait_for 3 "shows 'troubled' && ! shows '^svc-a '" 'only what is in trouble'
    press 't/-a\n'
    wait_for 3 "shows '/-a' && shows '^svc-a ' && ! shows '^svc-denied'" 'by a part of the name'
    press '/\033'
    press '?'
    wait_for 3 "shows 'Any key goes back'" help
    press x

    # a smaller window is drawn at once, within its bounds
    stty -F "$(cat "$T/tty")" cols 60 rows 8
    wait_for 3 "shows '^svc-denied' && [ \"\$(screen | awk 'length > 60' | wc -l)\" = 0 ] && [ \"\$(screen | wc -l)\" -le 8 ]" 'the smaller window'

    # the controller is gone: it goes on with what Redis holds
    stop controller
    wait_for 5 "shows 'does not answer'" 'says that it is from Redis'
    press q
    wait_for 3 '[ -e "$T/after" ]' 'q ends it'
    expect_eq "$(cat "$T/ended")" 0 'exit code'
    expect_eq "$(cat "$T/after")" "$(cat "$T/before")" 'the terminal'
    expect_match "$(tail -c 100 "$T/screen.log" | cat -v)" '\^\[\[\?25h\^\[\[\?1049l' 'cursor and screen are back'
}

test_watch_is_killed() {
    local signal
    start_all
    run_service svc-a
    wait_healthy 1
    for signal in INT TERM HUP QUIT; do
        rm -f "$T/keys" "$T/ended" "$T/after" "$T/screen.log"
        open_terminal
        wait_for 5 "shows '^svc-a'"
        kill -s "$signal" "$(cat "$T/watch.pid")"
        wait_for 3 '[ -e "$T/after" ]' "ends on SIG$signal"
        expect_eq "$(cat "$T/ended")" $((128 + $(kill -l "$signal"))) "exit by SIG$signal"
        expect_eq "$(cat "$T/after")" "$(cat "$T/before")" "the terminal after SIG$signal"
        expect_match "$(tail -c 1000 "$T/screen.log" | cat -v)" '\^\[\[\?25h\^\[\[\?1049l' 'cursor and screen are back'
        done
}

# In a pipe, or with TERM=dumb: plain, again and again.
test_watch_without_a_screen() {
    start_all
    run_service svc-a
    wait_healthy 1
    CTL_ENV=(TERM=xterm)
    ctl watch --every 1s | head -n 12 > "$T/plain"
    expect_eq "$(grep -c '^-- 20' "$T/plain")" 2 'two looks'
    expect_match "$(cat "$T/plain")" 'svc-a +h1 +UP' 'the fleet'
    expect_eq "$(grep -c $'\033' "$T/plain" || true)" 0 'colors and the like'
    TERM=dumb in_ns script -qfc "timeout 3 env REDIS_URL=redis://127.0.0.1:6379 $BIN/defibctl watch --every 1s" "$T/dumb" < /dev/null > /dev/null || true
    expect_match "$(grep -c '^-- 20' "$T/dumb")" '^[23]$' 'looks on a dumb terminal'
    expect_eq "$(grep -c $'\033' "$T/dumb" || true)" 0 'colors on a dumb terminal'
    expect_match "$(ctl watch --every 5w 2>&1 || true)" '--every "5w": allowed are' 'a bad time'
    expect_match "$(ctl watch --sort size 2>&1 || true)" '--sort "size": allowed are worst, name' 'a bad order'
    expect_match "$(ctl watch --host h2 2>&1 || true)" 'host "h2" is not known; the nearest name is h1' 'an unknown host'
}

# nothing_left: no container, no restart state, no intent of a drill.
nothing_left() {
    [ -z "$(d ps -aq --filter label=io.defib.drill)" ] && [ -z "$(r --raw keys 'health:restart:*drill*')$(r --raw keys 'health:intent:*drill*')" ]
}

# words FILE: on one line, one blank between them.
words() { tr -s '\n ' ' ' < "$1"; }

wait_settled() { wait_for 5 '[ "$(api /api/v1/status | jq .controller.settled)" = true ]'; }

# drill WORD...: on the Engine of HOST.
drill() { ctl drill "$@" --docker "unix://$(sock)" --image defib-test/busybox; }

test_drills() {
    start_all RESTART_ALLOW_SERVICES= DEFIB_NAME_PREFIX=auto
    run_service svc-a
    wait_healthy 1
    wait_settled
    drill test1 --host h1 > "$T/test1" || fail "test1: $(cat "$T/test1")"
    expect_match "$(sed -E 's/^ +ok +[0-9.]+ s +//' "$T/test1" | tr -s '\n ' ' ')" \
        'h1/(defib-drill-[0-9a-f]+) is up on h1 docker kill .* missing heartbeat \(1 consecutive misses\) .*\(2 consecutive misses\) .*\(3 consecutive misses\) Attempting restart of .* \(attempt 1/3\) Successfully restarted .* Docker says that it runs again .*removed\. test1 passed' 'test1'
    expect_eq "$(awk 'length > 80' "$T/test1")" '' 'lines over 80 columns'
    wait_for 5 nothing_left
    drill test2 > "$T/test2" || fail "test2: $(cat "$T/test2")"
    expect_match "$(words "$T/test2")" 'exhausted restart attempts \(3/3\) .*alert: SERVICE_RESTART_FAILED max_attempts_exhausted .*left down now.*test2 passed' 'test2'
    wait_for 5 nothing_left
    drill test3 > "$T/test3" || fail "test3: $(cat "$T/test3")"
    expect_match "$(words "$T/test3")" 'in deny list - alerting only .*deny_list.*was left as it is.*test3 passed' 'test3'
    wait_for 5 nothing_left
    is_running svc-a
    expect_eq "$(r --raw xrange health:events - + | grep '"kind":"operator"' | grep -oE 'by [^ ]+: test[123], passed' | sed 's/.*: //' | tr '\n' ' ')" 'test1, passed test2, passed test3, passed ' 'who and what on the stream'
}

test_drills_that_fail() {
    start_all RESTART_DENY_SERVICES='defib-drill-*'
    run_service svc-a
    wait_healthy 1
    # what is denied is not restarted: test1 tells which lines did not come
    wait_settled
    not drill test1 --timeout 6s > "$T/denied"
    expect_match "$(words "$T/denied")" 'ok .*\(3 consecutive misses\).*FAIL .*attempt 1/3.*did not come.*FAIL .*Docker says that it does not run.*test1 FAILED' 'what is missing'
    nothing_left
    expect_match "$(drill test4 2>&1 || true)" 'drill "test4": allowed are test1' 'a bad name'
    expect_match "$(drill test1 --host h9 2>&1 || true)" 'host "h9" is not known; the nearest name is h1' 'an unknown host'
    expect_match "$(ctl drill test1 --docker "unix://$(sock)" --image no-such-image || true)" 'cannot be created: .*no-such-image.*FAILED' 'no image'
    ctl drill test1 --docker unix:///nothing > "$T/nothing" && fail 'a drill without an Engine passes'
    expect_match "$(cat "$T/nothing")" 'cannot be created: .*test1 FAILED' 'no Engine'
    not grep -q 'left behind' "$T/nothing"
    ctl hold all --for 5m > /dev/null 2>&1
    wait_for 5 '[ "$(api /api/v1/status | jq ".holds | length")" = 1 ]' # what a drill asks; it may be a moment old
    expect_match "$(drill test1 2>&1 || true)" 'no drill now: everything is held' 'held'
    ctl release all > /dev/null 2>&1
    wait_for 5 '[ "$(api /api/v1/status | jq ".holds | length")" = 0 ]'

    # interrupted it cleans up
    spawn drill in_ns env REDIS_URL=redis://127.0.0.1:6379 "$BIN/defibctl" drill test3 \
        --docker "unix://$(sock)" --image defib-test/busybox
    wait_log drill 'docker kill' 10
    kill -INT "$(pid_of drill)"
    wait_for 10 '! is_up drill' 'it ends on Ctrl-C'
    expect_eq "$(exit_of drill)" 1 'its exit code'
    expect_match "$(words "$T/drill.log")" 'Its container is removed\. test3 interrupted' 'what it says'
    nothing_left
    stop controller
    expect_match "$(drill test1 2>&1 || true)" 'a drill needs the controller' 'no controller'
}

test_decommission() {
    echo 0123456789abcdef > "$T/token"
    chmod 600 "$T/token"
    start_all DEFIB_HTTP_TOKEN_FILE="$T/token"
    run_service svc-a
    run_service svc-b
    wait_healthy 2
    CTL_ENV=(DEFIB_HTTP_TOKEN_FILE="$T/token")
    ctl hold host h1 --for 1h > /dev/null
    r set health:intent:svc-b '{}' > /dev/null
    expect_match "$(ctl decommission h1 2>&1 || true)" 'host h1 still speaks: end its agent' 'one that lives'
    expect_match "$(ctl decommission h2 2>&1 || true)" 'host "h2" is not known; the nearest name is "h1"' 'an unknown one'
    stop agent
    wait_log controller 'Agent of host h1 is lost' 10
    log_mark controller
    CTL_ENV=(NO_COLOR=)
    expect_match "$(ctl decommission h1 2>&1 || true)" 'no token .* needs it while the controller runs' 'without the token'
    CTL_ENV=(DEFIB_HTTP_TOKEN_FILE="$T/token")
    grep -q '^h1=' "$T/state-controller/agents.known"
    expect_match "$(ctl decommission h1 --reason 'sold')" '^decommission host h1: done, by .*: sold$' 'done'
    expect_eq "$(api /api/v1/status | jq -c '[.totals.total, (.hosts | length), (.holds | length)]')" '[0,0,0]' 'nothing is left of it'
    expect_eq "$(r --raw keys 'health:agent:*')$(r --raw keys 'health:hold:*')$(r --raw keys 'health:intent:*')$(r --raw keys 'health:restart:*')" '' 'keys'
    expect_eq "$(grep -c '^h1=' "$T/state-controller/agents.known" || true)" 0 'in the book of agents'
    wait_log controller '"AGENT_RECOVERED".*"decommissioned"' 5
    wait_for 5 'r --raw xrange health:events - + | grep "\"kind\":\"operator\"" | grep -q "\"action\":\"decommission\".*: sold"' 'who and why on the stream'
    expect_never 2 controller 'Attempting restart'

    # where it comes back it is simply there again
    start_agent
    wait_for 10 '[ "$(api /api/v1/status | jq .totals.healthy)" = 2 ]' 'it is back'

    # without the controller: straight to Redis, once its key is gone
    stop controller
    expect_match "$(ctl decommission h1 2>&1 || true)" 'host h1 still speaks' 'one that lives'
    stop agent
    wait_for 10 '[ "$(r exists health:agent:h1)" = 0 ]'
    expect_match "$(ctl decommission h1 2>&1)" 'written straight to Redis' 'by Redis'
}

test_alerts_are_tried() {
    echo 0123456789abcdef > "$T/token"
    chmod 600 "$T/token"
    CTL_ENV=(DEFIB_HTTP_TOKEN_FILE="$T/token")
    # a webhook that keeps what it is sent
    mkdir -p "$T/web/cgi-bin"
    printf '#!/bin/sh\ncat >> %s\nprintf "Content-Type: text/plain\\r\\n\\r\\nok"\n' "$T/posted" > "$T/web/cgi-bin/hook"
    chmod +x "$T/web/cgi-bin/hook"
    make_host
    spawn hook in_ns busybox httpd -f -p 127.0.0.1:9009 -h "$T/web"
    wait_for 5 'in_ns curl -s -o /dev/null http://127.0.0.1:9009/'
    start_all DEFIB_HTTP_TOKEN_FILE="$T/token" DEFIB_WEBHOOK_URL=http://127.0.0.1:9009/cgi-bin/hook DEFIB_WEBHOOK_TEMPLATE=slack
    subscribe alerts system:alerts
    ctl alerts --test --reason 'new pager' > "$T/tried"
    expect_match "$(words "$T/tried")" '^ok Redis: published on system:alerts, and kept on health:events ok webhook: taken $' 'what it says'
    wait_log alerts '"type": "TEST".*test [0-9a-f]{8}, new pager' 5
    expect_match "$(cat "$T/posted")" 'this is a test, nothing is wrong .*new pager' 'what was posted'
    stop controller

    start_controller DEFIB_HTTP_TOKEN_FILE="$T/token" DEFIB_WEBHOOK_URL=http://127.0.0.1:9009/broken
    wait_for 5 'api /healthz'
    wait_log controller 'Redis is there' 5
    not ctl alerts --test > "$T/tried"
    expect_match "$(words "$T/tried")" 'FAIL webhook: not taken, 1 alerts wait' 'a broken webhook'
    stop controller
    expect_match "$(ctl alerts --test 2>&1 || true)" 'a test alert needs the controller' 'no controller'
    start_controller DEFIB_HTTP_TOKEN_FILE="$T/token"
    wait_for 5 'api /healthz'
    CTL_ENV=(NO_COLOR=)
    expect_match "$(ctl alerts --test 2>&1 || true)" 'this needs the token' 'no token'
    expect_eq "$(in_ns curl -sS -X POST -H 'Authorization: Bearer 0123456789abcdef' -d '{}' http://127.0.0.1:7410/api/v1/alerts/test | jq -r .error.message)" \
        '"by" is missing: who does this' 'nobody'
}

test_what_was_is_told() {
    local moment
    start_all RESTART_DENY_SERVICES=svc-denied
    run_service svc-a
    run_service svc-denied
    wait_healthy 2
    crash svc-a
    crash svc-denied
    wait_for 15 '[ "$(field svc-a .state) $(field svc-denied .gate)" = "UP deny" ]'
    sleep 1 # whole seconds
    moment=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    sleep 1
    d start svc-denied > /dev/null
    wait_for 10 '[ "$(field svc-denied .state)" = UP ]'
    expect_match "$(ctl explain svc-denied --at "$moment" | tr -s '\n ' ' ')" \
        "^At $moment svc-denied was FAILED since 20[^ ]* \\(missing_heartbeat\\)\\. It was not restarted: deny_list \\(gate deny, since 20[^ ]*\\)\\. The answer as it was written down at 20[^ ]*: It is not restarted because it is in the deny list .* Next: nothing, until somebody restarts it or changes what forbids it\\. What was known then: .*Docker on h1 says exited, exit code 137, judged (crash|killed)\\. .*Checks without a live heartbeat: 3, it takes 3\\. .*Attempts used: 0 of 3\\. .*The gates then, in order: open enabled .*CLOSED deny it is in the deny list .*open allow .*open backoff The last [0-9]+ events before: " 'the past in words'
    expect_match "$(ctl explain svc-a --at 1s | tr -s '\n ' ' ')" 'svc-a was (STARTING or )?UP since .* Its last attempt, number 1, was at 20' 'an attempt of the past'
    ctl explain svc-denied --at "$moment" --json > "$T/past"
    expect_eq "$(jq -r '[.container, .at, (.events | length > 0), ([.events[].gate // empty] | last)] | join(" ")' "$T/past")" "svc-denied $moment true deny" 'the past as JSON'
    expect_eq "$(jq -r '[([.gates[] | select(.open | not) | .gate][0]), (.gates | length), .next.what, (.evidence | length > 4), (.known_at <= .at)] | join(" ")' "$T/past")" 'deny 15 nothing, until somebody restarts it or changes what forbids it true true' 'its gates, as JSON'
    # what an older controller wrote has no facts: its words are told all the same
    r xadd health:events '*' data "{\"kind\":\"transition\",\"timestamp\":\"$moment\",\"container\":\"svc-old\",\"from\":\"SUSPECT\",\"to\":\"FAILED\",\"reason\":\"missing_heartbeat\",\"attempt\":1,\"max_attempts\":0,\"seq\":1}" > /dev/null
    expect_match "$(ctl explain svc-old --at "$(date -u -d "+10 seconds" +%Y-%m-%dT%H:%M:%SZ)" 2>&1 | tr -s '\n ' ' ')" 'svc-old was FAILED since .* \(missing_heartbeat\)\. Evidence and gates were not written down .* The last 1 events before:' 'one without facts'
    expect_eq "$(ctl explain svc-denied --at "$moment" --last 1 --json | jq -r '[(.events | length), (.gates | length)] | join(" ")')" '1 15' 'few events, all gates'
    ctl explain svc-a --last 3 --json > "$T/now"
    expect_eq "$(jq -r '[.container.state, (.events | length), (.gates | length > 5)] | join(" ")' "$T/now")" 'UP 3 true' 'explain --last as JSON'
    # the journal for replays is no event
    expect_eq "$(ctl events --json | jq -r .kind | grep -c inputs || true)" 0 'inputs among the events'
    [ "$(r --raw xrange health:events - + | grep -c '"kind":"inputs"')" != 0 ]

    # names nobody knows, everywhere
    expect_match "$(ctl explain svc-deneid --at 1m 2>&1 || true)" 'container "svc-deneid" is not known, and nothing is recorded of it; the nearest name is svc-denied' explain
    expect_match "$(ctl events --container svc-aa 2>&1 || true)" 'the nearest name is svc-a' events
    expect_match "$(ctl alerts --host h11 2>&1 || true)" 'host "h11" is not known.*; the nearest name is h1' alerts
    not ctl events --container svc-aa 2> /dev/null
    expect_eq "$(ctl status --state up --json | jq -r '[.containers[].container] | sort | join(" ")')" 'svc-a svc-denied' 'JSON by state'
    expect_eq "$(ctl status --service svc-a --json | jq -r '[.containers[].container, (.hosts | length)] | join(" ")')" 'svc-a 1' 'JSON by service'
}

test_without_the_controller() {
    local before
    start_all
    run_service svc-a
    wait_healthy 1
    before=$(started_at svc-a)
    crash svc-a
    wait_for 15 "was_started_again svc-a '$before'"
    wait_for 5 '[ "$(field svc-a .state)" = UP ]'
    stop controller
    expect_match "$(ctl explain svc-a | tr -s '\n ' ' ')" 'does not answer .* is what Redis holds.* svc-a is running on h1; 1 attempts are on its account\. Nobody restarts anything: no controller leads\. .* was (STARTING or )?UP since.*The answer as it was written down at 20.*Attempts used: 1 of 3\..*The gates then, in order:' explain
    expect_eq "$(ctl explain svc-a --json | jq -r '[.source, .container, .host, .docker_state, .attempts, (.gates | length), (.events | length > 0)] | join(" ")')" 'redis svc-a h1 running 1 15 true' 'explain as JSON'
    expect_match "$(ctl show svc-a | tr -s '\n ' ' ')" 'docker_state running' show
    expect_eq "$(ctl status --json | jq -r '[.source, .hosts[0].host, .containers[0].container, .containers[0].attempts] | join(" ")')" 'redis h1 svc-a 1' 'status as JSON'
    expect_eq "$(ctl show svc-a --json | jq -r '[.source, .container.docker_state] | join(" ")')" 'redis running' 'show as JSON'
    expect_match "$(ctl show svc-b 2>&1 || true)" 'container "svc-b" is not known; the nearest name is svc-a' 'nearest name'

    # another one leads: said as it is, also by this one as its standby
    r set health:leader '{"id": "c9", "since": "2026-01-23T19:00:00Z", "epoch": 99, "token": "0123"}' px 60000
    expect_match "$(ctl status)" 'Redis up; controller c9 leads' 'status'
    expect_match "$(ctl status --state exited)" 'No container is like that' 'none of that state'
    expect_match "$(ctl explain svc-a | tr -s '\n ' ' ')" 'Controller c9 leads, and decides' 'explain'
    expect_match "$(ctl doctor | tr -s '\n ' ' ' || true)" 'does not answer: c9 leads and decides meanwhile' 'doctor'
    start_controller
    wait_for 10 '[[ $(ctl status) == *"stands by, c9 leads"* ]]'
    expect_match "$(ctl explain svc-a | tr -s '\n ' ' ')" 'CLOSED leader this controller is not the leader: c9 leads, ask it' 'its gate'
}

# With neither controller nor Redis the agents are asked themselves.
test_without_controller_and_redis() {
    start_all
    run_service svc-a
    wait_healthy 1
    stop controller
    stop_redis
    expect_match "$(ctl status 2>&1 || true)" 'does not answer .*Redis is not reached' 'nobody is known'
    CTL_ENV=(DEFIB_AGENTS="h1=tcp://127.0.0.1:7411,h2=tcp://127.0.0.1:7499")
    expect_match "$(ctl status | tr -s '\n ' ' ')" 'Neither the controller nor Redis answers .* what the agents say themselves\. Silent is h2 at .* 1 container on 2 hosts; as 1 of 2 agents tell it .* svc-a h1 running' 'by DEFIB_AGENTS'
    CTL_ENV=(DEFIB_STATE_DIR="$T/state-controller")
    expect_eq "$(ctl status --json | jq -r '[.source, .hosts[0].host, .containers[0].container, .containers[0].docker_state] | join(" ")')" 'agents h1 svc-a running' 'by what the controller knew'
    expect_match "$(ctl explain svc-a | tr -s '\n ' ' ')" 'what the agents say themselves.* svc-a is running on h1\. Nobody restarts anything, unless another controller leads\. What was recorded of it stands in Redis, and Redis is not reached' explain
    expect_eq "$(ctl explain svc-a --json | jq -r '[.source, .docker_state, .attempts, .known_at] | tostring')" '["agents","running",null,null]' 'explain as JSON'
    expect_match "$(ctl show svc-a | tr -s '\n ' ' ')" 'docker_state running' show
}

# found LEVEL CHECK [REGEX]: the doctor found that, and says so.
found() {
    jq -r --arg level "$1" --arg check "$2" '.findings[] | select(.level == $level and .check == $check) | .finding + " -> " + .remedy' "$T/findings" |
        grep -qE -e "${3:-.}"
}
examine() { ctl doctor --json > "$T/findings"; }

test_doctor_on_settings() {
    start_all RESTART_ALLOW_SERVICES='svc-*,svc-lost,api' HEARTBEAT_TTL_SECS=0.9
    run_service svc-last
    run_service svc-odd --label defib.restrat=deny --label "defib.stop_timeout=10 s"
    wait_healthy 2
    not examine
    found WARNING allowed_unknown '^svc-lost is on the allow list, and no agent knows .*: is svc-last meant'
    found WARNING allowed_unknown '^api is on the allow list'
    found WARNING label '^svc-odd on h1: label defib\.stop_timeout=10 s is not used: allowed are seconds'
    found WARNING ttl 'agent of h1 beats every 0.5 s for keys that live 0.9 s'
    # what agents left: a clock that is off, requests that were refused
    r set health:agent:h9 '{"host":"h9","agent":"a","timestamp":"2020-01-01T00:00:00Z","counters":{"requests_unauthorized":5},"containers":[]}' > /dev/null
    not examine
    found WARNING clock 'host h9 is about [0-9]+ s behind ours'
    found WARNING keys 'agent of h9 refused 5 requests'
    r del health:agent:h9 > /dev/null

    # keys and certificates
    "$BIN/defib-controller" --gen-key > "$T/key"
    chmod 644 "$T/key"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=h1 -days 10 -keyout "$T/h1.key" -out "$T/h1.pem" 2> /dev/null
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 100 -keyout "$T/ca.key" -out "$T/ca.pem" 2> /dev/null
    CTL_ENV=(DEFIB_KEY_FILE="$T/key" DEFIB_TLS_CA_FILE="$T/ca.pem" DEFIB_TLS_CERT_FILE="$T/h1.pem" DEFIB_TLS_KEY_FILE="$T/h1.key")
    not examine
    found BAD keys 'DEFIB_KEY_FILE .*key: open to others'
    found WARNING certificate 'DEFIB_TLS_CERT_FILE=.*h1.pem ends in 9d|DEFIB_TLS_CERT_FILE=.*h1.pem ends in 10d'
    found ok certificate 'DEFIB_TLS_CA_FILE=.*ca.pem is good until'
    chmod 600 "$T/key"
    CTL_ENV=(DEFIB_KEY_FILE="$T/key" DEFIB_TLS_CERT_FILE="$T/nothing.pem")
    not examine
    found ok keys '1 key in'
    found BAD certificate 'nothing.pem: No such file'
    openssl req -new -key "$T/h1.key" -subj /CN=h1 -out "$T/old.csr"
    openssl x509 -req -in "$T/old.csr" -signkey "$T/h1.key" -days -1 -out "$T/old.pem" 2> /dev/null
    cat "$T/ca.pem" "$T/old.pem" > "$T/chain.pem" # the one that ends first counts
    CTL_ENV=(DEFIB_TLS_CERT_FILE="$T/chain.pem")
    not examine
    found BAD certificate 'chain.pem ended at'
}

test_https() {
    local before
    echo 0123456789abcdef > "$T/token"
    chmod 600 "$T/token"
    "$ROOT/tests/tools/make_certs" "$T/certs" localhost > /dev/null
    start_all DEFIB_HTTP_TOKEN_FILE="$T/token" DEFIB_HTTP_CERT_FILE="$T/certs/localhost.crt" DEFIB_HTTP_KEY_FILE="$T/certs/localhost.key"
    wait_log controller 'HTTPS on 127.0.0.1:7410' 5
    run_service svc-a
    wait_healthy 1
    expect_eq "$(in_ns curl -sS --cacert "$T/certs/ca.crt" https://localhost:7410/healthz)" ok 'by HTTPS'
    not in_ns curl -sS --max-time 3 http://localhost:7410/healthz 2> /dev/null
    not in_ns curl -sS --cacert "$T/certs/ca.crt" --tls-max 1.1 https://localhost:7410/healthz 2> /dev/null
    spawn stream in_ns curl -sS -N --cacert "$T/certs/ca.crt" https://localhost:7410/api/v1/stream
    wait_log stream '^event: tick' 5
    CTL_ENV=(DEFIB_URL=https://localhost:7410 DEFIB_HTTP_CA_FILE="$T/certs/ca.crt" DEFIB_HTTP_TOKEN_FILE="$T/token")
    expect_match "$(ctl status)" 'svc-a +h1 +UP' 'defibctl by HTTPS'
    expect_match "$(ctl hold svc-a --for 5m 2>&1)" '^hold container svc-a: done' 'a change by HTTPS'
    CTL_ENV=(DEFIB_URL=https://localhost:7410)
    expect_match "$(ctl explain svc-a 2>&1 | tr -s '\n ' ' ')" 'does not answer .*certificate' 'without its CA'

    # other certificates, read again by SIGHUP; what is no pair leaves those in force
    "$ROOT/tests/tools/make_certs" "$T/next" localhost > /dev/null
    cp "$T/next/localhost.key" "$T/certs/localhost.key"
    kill -HUP "$(pid_of controller)"
    wait_log controller 'SIGHUP: the certificate of HTTPS stays as it was: .* a pair' 5
    expect_eq "$(in_ns curl -sS --cacert "$T/certs/ca.crt" https://localhost:7410/healthz)" ok 'the old pair'
    cp "$T/next/localhost.crt" "$T/certs/localhost.crt"
    kill -HUP "$(pid_of controller)"
    wait_log controller 'SIGHUP: a new certificate for HTTPS' 5
    expect_eq "$(in_ns curl -sS --cacert "$T/next/ca.crt" https://localhost:7410/healthz)" ok 'the new pair'
    not in_ns curl -sS --cacert "$T/certs/ca.crt" https://localhost:7410/healthz 2> /dev/null
    wait_for 5 '! is_up stream' 'who listened is told by the end of the stream'
    stop controller

    # without a good pair there is no HTTP, and supervision all the same
    chmod 644 "$T/certs/localhost.key"
    start_controller DEFIB_HTTP_CERT_FILE="$T/certs/localhost.crt" DEFIB_HTTP_KEY_FILE="$T/certs/localhost.key"
    wait_log controller 'No HTTP: DEFIB_HTTP_KEY_FILE: .* is open to others: chmod 600; it is tried again' 5
    chmod 600 "$T/certs/localhost.key"
    wait_log controller 'HTTPS on' 10
    stop controller
    expect_match "$(in_ns env DEFIB_HTTP_KEY_FILE=/x "$BIN/defib-controller" 2>&1 || true)" 'DEFIB_HTTP_KEY_FILE.*allowed only together with DEFIB_HTTP_CERT_FILE' 'half a pair'
}

# completes SHELL WORD...: what the shell offers for the last word.
completes() {
    local shell=$1
    shift
    if [ "$shell" = bash ]; then
        # shellcheck disable=SC2016  # bash's own
        ctl_path bash -c '. "$0"; COMP_WORDS=(defibctl "$@"); COMP_CWORD=$#; _defibctl; printf "%s\n" "${COMPREPLY[@]}"' "$ROOT/packaging/completion/defibctl.bash" "$@"
    else
        # the function itself, with what it offers written down
        # shellcheck disable=SC2016  # zsh's own
        ctl_path zsh -fc 'compadd() { [[ $1 != -- ]] || shift; if [[ $1 == -a ]]; then print -l -- ${(P)2}; else print -l -- $@; fi }
            _describe() { print -l -- ${(P)2} }
            file=$1; shift; words=(defibctl "$@"); CURRENT=$#words; . $file' zsh "$ROOT/packaging/completion/_defibctl" "$@"
    fi
}
ctl_path() { in_ns env PATH="$BIN:$PATH" REDIS_URL=redis://127.0.0.1:6379 "$@"; }

test_completion() {
    local shell
    start_all
    run_service svc-a
    wait_healthy 1
    for shell in bash zsh; do
        completes "$shell" e > "$T/$shell.commands"
        grep -qE '^explain(:|$)' "$T/$shell.commands" && grep -qE '^export(:|$)' "$T/$shell.commands" || fail "$shell: commands"
        expect_match "$(completes "$shell" explain svc | tr '\n' ' ')" 'svc-a' "$shell: a container"
        expect_match "$(completes "$shell" status --host '' | tr '\n' ' ')" '^h1 $' "$shell: a host"
        expect_match "$(completes "$shell" decommission '' | tr '\n' ' ')" 'h1' "$shell: a host to decommission"
        expect_match "$(completes "$shell" drill test | tr '\n' ' ')" 'test1 test2 test3' "$shell: drills"
        expect_match "$(completes "$shell" watch -- | tr '\n' ' ')" '--every.*--sort|--sort.*--every' "$shell: options"
        expect_match "$(completes "$shell" hold '' | tr '\n' ' ')" 'all host service container' "$shell: kinds"
    done
}

run_tests "$@"
