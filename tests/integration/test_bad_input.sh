#!/bin/bash
# Bad settings, bad surroundings, and bytes that nobody should write.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

# refuses PROGRAM NAME=value...: exit 2 and one line on stderr that names the last setting and its value.
refuses() {
    local program=$1 last=${*: -1} status=0
    shift
    env -i PATH="$PATH" DEFIB_STATE_DIR="$T/state" "$@" "$BIN/$program" > "$T/out" 2> "$T/err" < /dev/null || status=$?
    expect_eq "$status" 2 "exit code with $last"
    expect_eq "$(wc -l < "$T/err")" 1 "lines on stderr with $last: $(cat "$T/err")"
    grep -qF -e "${last%%=*}" "$T/err" || fail "does not name ${last%%=*}: $(cat "$T/err")"
    grep -qF -e "${last#*=}" "$T/err" || fail "does not show the value ${last#*=}: $(cat "$T/err")"
    [ ! -s "$T/out" ] || fail "wrote to stdout: $(cat "$T/out")"
}

test_bad_settings() {
    local setting
    for setting in HEARTBEAT_INTERVAL_SECS=abc HEARTBEAT_INTERVAL_SECS=0 HEARTBEAT_TTL_SECS=-1 HEARTBEAT_TTL_SECS=10 \
        HEARTBEAT_MISS_THRESHOLD=1.5 MAX_RESTART_ATTEMPTS=three MAX_RESTART_ATTEMPTS=-1 RESTART_BACKOFF_SECS=5,,45 \
        RESTART_COOLDOWN_SECS=10m SUPERVISOR_ENABLED=maybe SUPERVISOR_CHECK_INTERVAL_SECS=15s LOG_LEVEL=loud \
        LOG_FORMAT=xml REDIS_URL=http://example.org; do
        refuses defib-agent "$setting"
        refuses defib-controller "$setting"
    done
    for setting in DEFIB_LISTEN=nonsense DEFIB_LISTEN=tcp://0.0.0.0:7411 DOCKER_HOST=ftp://x; do
        refuses defib-agent "$setting"
    done
    for setting in START_GRACE_SECS=x RESTART_MAX_FLEET=0 RESTART_STABLE_SECS=1; do
        refuses defib-controller "$setting"
    done
}

test_bad_arguments() {
    local program status
    for program in defib-agent defib-controller; do
        for argument in --no-such-option positional; do
            status=0
            "$BIN/$program" "$argument" > "$T/out" 2> "$T/err" || status=$?
            expect_eq "$status" 2 "exit code of $program $argument"
            grep -qF -e "$argument" "$T/err"
        done
    done
}

test_check_config_masks_secrets() {
    local program
    for program in defib-agent defib-controller; do
        REDIS_URL=redis://user:sesame@127.0.0.1:6379/0 "$BIN/$program" --check-config > "$T/out"
        grep -q '^REDIS_URL=' "$T/out"
        not grep -q sesame "$T/out"
    done
}

test_redis_is_not_there() {
    start_agent REDIS_URL=redis://127.0.0.1:1
    start_controller REDIS_URL=redis://127.0.0.1:1
    wait_log agent '(WARNING|ERROR) - .*Redis' 10
    wait_log controller '(WARNING|ERROR) - .*Redis' 10
    expect_while 2 'is_up agent && is_up controller'
    # it says so, and does not keep on saying so
    [ "$(wc -l < "$T/agent.log")" -lt 20 ] || fail 'the agent floods its log'
    [ "$(wc -l < "$T/controller.log")" -lt 20 ] || fail 'the controller floods its log'
}

test_redis_speaks_something_else() {
    make_host
    spawn liar in_ns busybox nc -lk -p 6379 -e /bin/echo 'HTTP/1.1 400 Bad Request'
    start_agent
    start_controller
    expect_while 3 'is_up agent && is_up controller'
}

test_docker_socket_missing_then_there() {
    local before
    start_redis
    start_agent DOCKER_HOST="unix://$T/later.sock"
    start_controller
    wait_log agent '(WARNING|ERROR) - .*'"$T/later.sock" 10
    expect_while 1 'is_up agent'
    ln -s "$(sock)" "$T/later.sock"
    run_service svc-a
    wait_healthy 1
    before=$(started_at svc-a)
    d kill svc-a
    wait_for 20 "was_started_again svc-a '$before'"
}

test_docker_socket_without_permission() {
    start_redis
    mkdir -p "$T/state-agent"
    chmod 755 "$DIR" "$T" "$DIR/$HOST"
    chown 65534:65534 "$T/state-agent"
    # a program in a folder that only root may enter would tell nothing
    cp "$BIN/defib-agent" "$T/defib-agent"
    spawn agent in_ns env "${FAST[@]}" DEFIB_STATE_DIR="$T/state-agent" DOCKER_HOST="unix://$(sock)" \
        setpriv --reuid=65534 --regid=65534 --clear-groups "$T/defib-agent"
    touch "$RUN/agent.is-program"
    wait_log agent "(WARNING|ERROR) - .*[Pp]ermission denied" 10
    log_after_mark agent | grep -i 'permission denied' | grep -F "$(sock)" || fail 'does not say of which socket'
    expect_while 1 'is_up agent'
}

garbage() { printf '\x00\xff\x1b[31m{"a":\r\nERROR - forged line\x07 %s' "$1"; }

test_garbage_in_redis() {
    local before key
    r_x() { r -x "$@" > /dev/null; }
    start_all
    run_service svc-a --label defib.service=a --label defib.instance=1
    run_service svc-b
    wait_healthy 2
    before=$(all_incarnations)
    for key in health:hb:a:1 health:hb:svc-b:svc-b health:restart:svc-a health:agent:h1 health:agent:nobody health:hb:x:y \
        health:hold:all:all health:intent:svc-a; do
        garbage "$key" | r_x set "$key"
    done
    r set health:restart:svc-b '{"attempt_count": "many"}'
    r del health:events
    r set health:events 'not a stream'
    garbage channel | r_x publish health:heartbeats
    r publish health:heartbeats "{\"service\": \"$(head -c 70000 /dev/zero | tr '\0' x)\"}"
    r publish health:heartbeats "$(printf '[%.0s' {1..5000})"
    r publish health:heartbeats '{"service": 1, "instance_id": null}'
    r publish health:heartbeats '{"service": "a\u0000b\n", "instance_id": "\u001b[2J", "status": "purple\n"}'
    # a beat that nobody's container owns is never commanded
    r publish health:heartbeats '{"service": "ghost", "instance_id": "1", "status": "unhealthy"}'
    expect_never 5 controller 'Attempting restart'
    is_up agent || fail 'the agent ended'
    is_up controller || fail 'the controller ended'
    expect_eq "$(all_incarnations)" "$before" 'the containers'
    # the rest goes on
    before=$(started_at svc-b)
    r del health:restart:svc-b health:hold:all:all health:events
    d kill svc-b
    wait_for 20 "was_started_again svc-b '$before'"
    not grep -lP '[\x00-\x08\x0b-\x1f\x7f]' "$T/agent.log" "$T/controller.log" || fail 'raw control characters in a log'
    not grep -E '^ERROR - forged' "$T/agent.log" "$T/controller.log"
    not grep -vE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z (DEBUG|INFO|WARNING|ERROR) - ' "$T/agent.log" "$T/controller.log" || fail 'lines of another form'
}

test_garbage_state_folder() {
    local file before
    start_all
    run_service svc-a
    wait_healthy 1
    d kill svc-a
    wait_log controller 'Successfully restarted svc-a' 20
    stop agent
    stop controller
    for file in "$T"/state-agent/* "$T"/state-controller/*; do
        [ ! -f "$file" ] || garbage state > "$file"
    done
    start_agent
    start_controller
    log_mark controller
    wait_healthy 1
    before=$(started_at svc-a)
    d kill svc-a
    wait_for 20 "was_started_again svc-a '$before'"
}

test_garbage_on_the_command_port() {
    local before
    start_all
    run_service svc-a
    wait_healthy 1
    for _ in 1 2 3 4 5; do
        head -c 4096 /dev/urandom | in_ns busybox nc -w 1 127.0.0.1 7411 > /dev/null || true
        printf '\x00SP\x00\x00\x30\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff' | in_ns busybox nc -w 1 127.0.0.1 7411 > /dev/null || true
    done
    is_up agent || fail 'the agent ended'
    before=$(started_at svc-a)
    d kill svc-a
    wait_for 20 "was_started_again svc-a '$before'"
    [ "$(awk '/^VmRSS/ { print $2 }' "/proc/$(pid_of agent)/status")" -lt $((60000 * MEMORY_FACTOR)) ] || fail 'the agent grew'
}

run_tests "$@"
