#!/bin/bash
# The Engine over the network: tcp:// with TLS by Docker's own variables, and what is wrong with it said.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# make_certificate NAME ISSUER SUBJECT-ALT-NAME...: NAME.pem and NAME-key.pem in $DIR/tls
make_certificate() {
    local name=$1 issuer=$2 tls=$DIR/tls
    shift 2
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
        -keyout "$tls/$name-key.pem" -out "$tls/$name.csr" 2> /dev/null
    openssl x509 -req -in "$tls/$name.csr" -CA "$tls/$issuer.pem" -CAkey "$tls/$issuer-key.pem" -CAcreateserial -days 2 \
        -extfile <(echo "subjectAltName=$*") -out "$tls/$name.pem" 2> /dev/null || fail "no certificate for $name"
}

make_ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
        -keyout "$DIR/tls/$1-key.pem" -out "$DIR/tls/$1.pem" 2> /dev/null || fail "no CA"
}

# cert_path NAME CA CERTIFICATE: a folder as DOCKER_CERT_PATH wants it
cert_path() {
    mkdir -p "$DIR/tls/$1"
    cp "$DIR/tls/$2.pem" "$DIR/tls/$1/ca.pem"
    cp "$DIR/tls/$3.pem" "$DIR/tls/$1/cert.pem"
    cp "$DIR/tls/$3-key.pem" "$DIR/tls/$1/key.pem"
}

setup_file() {
    mkdir -p "$DIR/tls"
    make_ca ca
    make_ca other-ca
    make_certificate engine ca DNS:localhost,IP:127.0.0.1
    make_certificate misnamed ca DNS:elsewhere.example
    make_certificate agent ca DNS:agent
    make_certificate stranger other-ca DNS:agent
    cert_path good ca agent
    cert_path wrong-ca other-ca agent
    cert_path stranger ca stranger
    start_engine -H tcp://127.0.0.1:2376 --tlsverify --tlscacert "$DIR/tls/ca.pem" \
        --tlscert "$DIR/tls/engine.pem" --tlskey "$DIR/tls/engine-key.pem"
}

# agent_over_tls FOLDER [NAME=value...]
agent_over_tls() {
    local folder=$1
    shift
    start_agent DOCKER_HOST=tcp://127.0.0.1:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$DIR/tls/$folder" "$@"
}

test_a_killed_container_comes_back_over_tls() {
    local before
    run_service svc-web
    run_service svc-calm
    start_redis
    agent_over_tls good
    start_controller
    wait_agent
    wait_controller
    wait_healthy 2
    before=$(started_at svc-web)
    d kill svc-web
    wait_for 15 "was_started_again svc-web '$before'"
    wait_log controller 'Successfully restarted svc-web' 5
    d stop -t 1 svc-calm
    expect_never 5 controller 'Attempting restart of svc-calm'
    not is_running svc-calm || fail 'a stopped container runs again'
}

test_an_engine_of_another_ca_is_not_trusted() {
    start_redis
    agent_over_tls wrong-ca
    wait_log agent 'ERROR - .*tcp://127\.0\.0\.1:2376.*certificate' 10
    expect_eq "$(r exists health:agent:h1)" 0 'registrations'
}

test_an_engine_that_does_not_trust_us_says_so() {
    start_redis
    agent_over_tls stranger
    wait_log agent 'ERROR - .*tcp://127\.0\.0\.1:2376' 10
    expect_eq "$(r exists health:agent:h1)" 0 'registrations'
}

test_a_name_that_the_certificate_lacks_is_refused() {
    start_redis
    spawn impostor in_ns openssl s_server -accept 127.0.0.1:2399 -www \
        -cert "$DIR/tls/misnamed.pem" -key "$DIR/tls/misnamed-key.pem"
    wait_log impostor ACCEPT 5
    sleep 0.2 # it says so before it listens
    agent_over_tls good DOCKER_HOST=tcp://127.0.0.1:2399
    wait_log agent 'ERROR - .*tcp://127\.0\.0\.1:2399.*(name|certificate)' 10
}

test_a_missing_certificate_is_named() {
    local status=0
    mkdir -p "$DIR/tls/empty"
    env DOCKER_HOST=tcp://127.0.0.1:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$DIR/tls/empty" DEFIB_STATE_DIR="$T/state" \
        REDIS_URL=redis://127.0.0.1:6379 timeout 10 "$BIN/defib-agent" > "$T/out" 2>&1 || status=$?
    expect_eq "$status" 2 'exit code'
    expect_match "$(cat "$T/out")" "DOCKER_CERT_PATH=.*cannot read $DIR/tls/empty/ca.pem" 'what it says'
}

run_tests "$@"
