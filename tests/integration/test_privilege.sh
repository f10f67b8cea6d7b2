#!/bin/bash
# Least privilege: an agent without root, behind a socket that lets through nothing but its own calls; and units whose
# hardening is as good as SECURITY.md says.
# shellcheck disable=SC2317,SC2119  # the tests are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

NOBODY=65534

start_proxy() {
    chmod 755 "$DIR" "$T" "$DIR/$HOST"
    spawn proxy env DEFIB_PROXY_SOCKET="$T/docker.sock" DEFIB_PROXY_GROUP=nogroup DEFIB_DOCKER_SOCKET="$(sock)" \
        haproxy -db -f "$ROOT/packaging/socket-proxy/haproxy.cfg"
    wait_for 5 "[ -S '$T/docker.sock' ]"
}

# ask METHOD PATH [CURL-OPTION...]: the status, by the proxy.
ask() {
    local method=(-X "$1")
    [ "$1" != HEAD ] || method=(--head)
    curl -s -o /dev/null -w '%{http_code}' --max-time 3 --path-as-is --unix-socket "$T/docker.sock" "${method[@]}" "${@:3}" "http://localhost$2" || true
}

test_an_agent_without_root_heals_behind_the_proxy() {
    local before
    run_service svc-a
    run_service svc-sick --health-cmd 'test ! -e /tmp/sick' --health-interval 0.3s --health-retries 1
    start_proxy
    start_redis
    mkdir -p "$T/state-agent"
    chown "$NOBODY:$NOBODY" "$T/state-agent"
    cp "$BIN/defib-agent" "$T/defib-agent"
    spawn agent in_ns env "${FAST[@]}" DEFIB_HOST=h1 DEFIB_STATE_DIR="$T/state-agent" \
        DOCKER_HOST="unix://$T/docker.sock" setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups --bounding-set=-all --no-new-privs \
        "$T/defib-agent"
    touch "$RUN/agent.is-program"
    start_controller
    wait_agent
    wait_controller
    wait_healthy 2
    before=$(started_at svc-a)
    d kill svc-a > /dev/null
    wait_for 20 "was_started_again svc-a '$before'" 'a start by the proxy'
    before=$(started_at svc-sick)
    d exec svc-sick touch /tmp/sick
    wait_for 30 "was_started_again svc-sick '$before'" 'a restart by the proxy'
    expect_eq "$(grep '^CapEff' "/proc/$(pid_of agent)/status" | tr -d '\t')" 'CapEff:0000000000000000' 'capabilities'
    expect_eq "$(count_log agent '403|[Ff]orbidden')" 0 'refused calls'
    expect_match "$(cat "$T"/state-agent/evidence/*-svc-sick-*.json | jq -r .log)" 'service: up' 'its last lines, by the proxy'
}

# The image: no root in it, no capability, nothing to write but its state.
run_confined() {
    local name=$1
    shift
    d run -d --name "$name" --network host --cap-drop ALL --security-opt no-new-privileges --read-only "$@" > /dev/null
}

test_an_image_without_root_heals() {
    local before settings=() setting name
    DOCKER="docker -H unix://$(sock)" "$ROOT/packaging/docker/make-image.sh" defib --user defib "$BIN/defib-agent" "$BIN/defib-controller"
    for setting in "${FAST[@]}" DEFIB_HOST=h1; do settings+=(-e "$setting"); done
    run_service svc-a
    start_redis
    run_confined agent --pid host --group-add "$(stat -c %g "$(sock)")" -v "$(sock):/var/run/docker.sock" \
        -v state-agent:/var/lib/defib "${settings[@]}" defib defib-agent
    run_confined controller -v state-controller:/var/lib/defib "${settings[@]}" defib defib-controller
    wait_for 20 'd logs controller 2>&1 | grep -q "Health summary: [1-9][0-9]* healthy, 0 degraded, 0 unhealthy, 0 missing"' 'they watch'
    before=$(started_at svc-a)
    d kill svc-a > /dev/null
    wait_for 30 "was_started_again svc-a '$before'" 'a start'
    for name in agent controller; do
        expect_eq "$(awk '/^(Uid|CapEff|CapBnd):/ { print $2 }' "/proc/$(d inspect -f '{{.State.Pid}}' "$name")/status" | tr '\n' ' ')" \
            '65532 0000000000000000 0000000000000000 ' "$name"
    done
    d exec agent ls /var/lib/defib | grep -q . || fail 'the agent keeps nothing'
    expect_eq "$(d logs agent 2>&1 | grep -E 'ERROR|WARNING.*(denied|permission)' || true)" '' "the agent's complaints"
    d rm -f agent controller > /dev/null
    d volume rm state-agent state-controller > /dev/null
}

test_the_proxy_lets_nothing_else_through() {
    local id path
    run_service svc-a
    start_proxy
    id=$(id_of svc-a)
    for path in /v1.41/info /v1.41/containers/json?all=1 "/v1.41/containers/$id/json"; do expect_eq "$(ask GET "$path")" 200 "$path"; done
    expect_eq "$(ask HEAD /v1.41/_ping)" 200
    expect_eq "$(ask GET "/v1.41/containers/$id/logs?stdout=1&stderr=1&timestamps=1&tail=100")" 200 'the last lines'
    # a way out of the container, or into another, for each that a real socket has
    while read -r method path; do
        expect_eq "$(ask "$method" "${path//ID/$id}")" 403 "$method $path"
    done <<'CALLS'
POST /v1.41/containers/create
POST /v1.41/containers/ID/exec
POST /v1.41/containers/ID/stop
POST /v1.41/containers/ID/kill
POST /v1.41/containers/ID/pause
POST /v1.41/containers/ID/update
POST /v1.41/containers/ID/rename?name=x
POST /v1.41/containers/ID/attach
POST /v1.41/exec/ID/start
DELETE /v1.41/containers/ID
PUT /v1.41/containers/ID/archive?path=/
GET /v1.41/containers/ID/archive?path=/etc
GET /v1.41/containers/ID/logs?stdout=1
GET /v1.41/containers/ID/logs?stdout=1&stderr=1&timestamps=1&tail=100&follow=1
POST /v1.41/containers/ID/logs?stdout=1&stderr=1&timestamps=1&tail=100
GET /v1.41/containers/ID/export
GET /v1.41/containers/svc-a/json
POST /v1.41/containers/svc-a/start
POST /v1.41/containers/ID/start?detachKeys=x
POST /v1.41/containers/ID/restart
POST /v1.41/containers/ID/restart?t=5&signal=SIGKILL
POST /v1.41/containers/ID/restart?signal=KILL
POST /containers/ID/start
GET /info
GET /v1.41/images/json
POST /v1.41/images/create?fromImage=x
GET /v1.41/secrets
POST /v1.41/swarm/init
POST /v1.41/build
POST /v1.41/volumes/create
GET /v1.41/containers/json/../../images/json
GET /v1.41/containers/%2e%2e/images/json
GET /v1.41//containers/json
GET /v1.41/containers/json/
GET //v1.41/containers/json
POST /v1.41/info
DELETE /v1.41/containers/json
GET /v1.41/_ping
CALLS
    expect_eq "$(ask POST "/v1.41/containers/$id/start" -d '{"Binds": ["/:/host"], "Privileged": true}')" 403 'a start with a body'
    expect_eq "$(ask POST "/v1.41/containers/$id/start" -H 'Transfer-Encoding: chunked' -d x)" 403 'a start with a chunked body'
    is_running svc-a || fail 'svc-a no longer runs'
    expect_eq "$(d ps -aq | wc -l)" 1 'containers'
}

# exposure UNIT LIMIT: systemd's own score, 10 is worst.
exposure() {
    local unit=$1 score
    sed -e "s|/usr/local/bin/|$BIN/|" "$ROOT/packaging/systemd/$unit" > "$T/$unit"
    score=$(systemd-analyze security --offline=yes --no-pager "$T/$unit" 2> /dev/null | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')
    [ -n "$score" ] || fail "systemd-analyze says nothing of $unit"
    awk "BEGIN { exit !($score <= $2) }" || fail "$unit has an exposure of $score, promised is $2"
    echo "$unit: $score"
}

test_the_units_are_as_tight_as_promised() {
    exposure defib-agent.service 2.0
    exposure defib-controller.service 1.5
}

run_tests "$@"
