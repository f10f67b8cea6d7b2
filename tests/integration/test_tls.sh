#!/bin/bash
# Commands over mutual TLS: who is refused and what is said of it, fresh certificates under load, and strangers who
# open connections and say nothing.
# shellcheck disable=SC2317,SC2119  # the tests are called by name
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() {
    start_engine
    "$ROOT/tests/tools/make_certs" "$DIR/ours" localhost elsewhere
    "$ROOT/tests/tools/make_certs" "$DIR/theirs" localhost
}

# shellcheck disable=SC2054
EAGER=(MAX_RESTART_ATTEMPTS=1000 RESTART_BACKOFF_SECS=0 RESTART_JITTER_PCT=0 FAST_CHECK_SECS=0 BREAKER_MIN=1000)

# tls FOLDER NAME: the settings for this certificate and the CA of that folder, in TLS.
tls() { TLS=(DEFIB_TLS_CA_FILE="$1/ca.crt" DEFIB_TLS_CERT_FILE="$1/$2.crt" DEFIB_TLS_KEY_FILE="$1/$2.key"); }

start_tls_agent() {
    start_agent "${EAGER[@]}" DEFIB_LISTEN=tls+tcp://127.0.0.1:7411 DEFIB_ADVERTISE=tls+tcp://localhost:7411 "${TLS[@]}" "$@"
    wait_agent
}
start_tls_controller() {
    start_controller "${EAGER[@]}" "${TLS[@]}" "$@"
    wait_controller
}

heals() {
    local before
    before=$(started_at "$1")
    d kill "$1" > /dev/null
    wait_for 10 "was_started_again $1 '$before'" "$1 is healed"
}

test_commands_go_over_tls() {
    run_service svc-a
    start_redis
    tls "$DIR/ours" localhost && start_tls_agent
    tls "$DIR/ours" controller && start_tls_controller
    wait_healthy 1
    heals svc-a
    expect_eq "$(count_log controller 'cannot be reached')" 0 'complaints'
}

# refused AGENT-FOLDER AGENT-NAME CONTROLLER-FOLDER SAYS: nothing is commanded, and the controller's log says why. Each
# side trusts our CA.
refused() {
    run_service svc-a
    start_redis
    tls "$1" "$2" && start_tls_agent DEFIB_TLS_CA_FILE="$DIR/ours/ca.crt"
    tls "$3" controller && start_tls_controller DEFIB_TLS_CA_FILE="$DIR/ours/ca.crt"
    wait_log controller "WARNING - Agent h1 cannot be reached at tls\+tcp://localhost:7411: .*$4" 15
    d kill svc-a
    expect_while 3 'not is_running svc-a'
    expect_eq "$(count_log controller 'Successfully')" 0
}

test_an_agent_of_another_ca_is_refused() { refused "$DIR/theirs" localhost "$DIR/ours" 'its certificate is refused: not signed by the CA in .*/ours/ca.crt'; }
test_an_agent_of_another_name_is_refused() { refused "$DIR/ours" elsewhere "$DIR/ours" 'its certificate is refused: .* not made out to localhost'; }
test_a_controller_of_another_ca_is_refused() { refused "$DIR/ours" localhost "$DIR/theirs" 'it refuses the certificate in .*/theirs/controller.crt'; }

test_an_open_private_key_is_refused() {
    local status=0
    cp "$DIR/ours/localhost.key" "$T/open.key"
    chmod 644 "$T/open.key"
    tls "$DIR/ours" localhost
    env -i PATH="$PATH" DEFIB_STATE_DIR="$T/state-x" DEFIB_LISTEN=tls+tcp://127.0.0.1:7411 "${TLS[@]}" \
        DEFIB_TLS_KEY_FILE="$T/open.key" "$BIN/defib-agent" > "$T/out" 2>&1 || status=$?
    expect_eq "$status" 2
    expect_match "$(cat "$T/out")" "$T/open.key: open to others \(mode 0644\), allowed is 0600 or 0400"
}

# put SIDE NAME CA-FOLDER... CERT-FOLDER: the side's files, as its settings name them.
put() {
    local side=$1 name=$2 folder
    shift 2
    mkdir -p "$T/$side"
    : > "$T/$side/ca.new"
    for folder in "${@:1:$#-1}"; do cat "$folder/ca.crt" >> "$T/$side/ca.new"; done
    cp "${!#}/$name.crt" "$T/$side/$name.new" && cp "${!#}/$name.key" "$T/$side/key.new"
    mv "$T/$side/ca.new" "$T/$side/ca.crt"
    mv "$T/$side/$name.new" "$T/$side/$name.crt"
    mv "$T/$side/key.new" "$T/$side/$name.key"
    ! is_up "$side" || { log_mark "$side" && kill -HUP "$(pid_of "$side")" && wait_log "$side" 'read' 5; }
}

test_certificates_are_rotated_without_a_restart() {
    run_service svc-a
    start_redis
    put agent localhost "$DIR/ours" "$DIR/ours"
    put controller controller "$DIR/ours" "$DIR/ours"
    tls "$T/agent" localhost && start_tls_agent
    tls "$T/controller" controller && start_tls_controller
    wait_healthy 1
    heals svc-a
    # both CAs are trusted everywhere, then each side shows its new certificate, then the old CA goes
    put agent localhost "$DIR/ours" "$DIR/theirs" "$DIR/ours" && heals svc-a
    put controller controller "$DIR/ours" "$DIR/theirs" "$DIR/ours" && heals svc-a
    put agent localhost "$DIR/ours" "$DIR/theirs" "$DIR/theirs" && heals svc-a
    put controller controller "$DIR/ours" "$DIR/theirs" "$DIR/theirs" && heals svc-a
    put agent localhost "$DIR/theirs" "$DIR/theirs" && heals svc-a
    put controller controller "$DIR/theirs" "$DIR/theirs" && heals svc-a
    # what cannot be used changes nothing
    echo nonsense > "$T/agent/localhost.crt"
    log_mark agent
    kill -HUP "$(pid_of agent)"
    wait_log agent 'ERROR - The certificate stays as it is: .*localhost.crt' 5
    heals svc-a
    rm -f "$T/controller.mark"
    expect_eq "$(count_log controller 'Failed to restart')" 0
}

descriptors() { find "/proc/$(pid_of agent)/fd" -mindepth 1 | wc -l; }

# strangers NAME NUMBER [BYTE]: opens so many connections and keeps them; with BYTE each says that byte every second.
strangers() {
    spawn "$1" in_ns bash -c '
        ulimit -n 4096
        for ((i = 0; i < $1; i++)); do exec {fd}<> /dev/tcp/127.0.0.1/7411 && fds+=($fd); done
        echo ready
        while sleep 1; do
            [ -z "${2:-}" ] || for fd in "${fds[@]}"; do printf "$2" >&"$fd"; done
        done 2> /dev/null' strangers "$2" "${3:-}"
    wait_log "$1" ready 10
}

test_a_crowd_of_strangers_shuts_nobody_out() {
    local before
    run_service svc-a
    start_redis
    tls "$DIR/ours" localhost && start_tls_agent
    tls "$DIR/ours" controller && start_tls_controller
    wait_healthy 1
    heals svc-a
    before=$(descriptors)
    strangers silent 500
    [ "$(descriptors)" -ge $((before + 450)) ] || fail "only $(descriptors) descriptors, $before before"
    heals svc-a
    wait_for 15 "[ \$(descriptors) -le $((before + 10)) ]" 'the strangers are cut'
    strangers slow 100 '\x16'
    heals svc-a
    wait_for 15 "[ \$(descriptors) -le $((before + 10)) ]" 'the slow ones are cut'
    heals svc-a
    wait_log agent 'WARNING - [0-9]+ connections to the command port never finished their handshake and were closed, the last from 127\.0\.0\.1:' 5
    expect_eq "$(count_log controller 'Failed to restart')" 0
}

run_tests "$@"
