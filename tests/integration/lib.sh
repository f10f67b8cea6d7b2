# shellcheck shell=bash
# The harness of the integration tests: a real Engine, a real Redis, the real programs.
#
# A test file sources this, defines functions test_*, may define setup_file and teardown_file, and ends with
# `run_tests "$@"` (arguments: only the tests whose names hold one of these words). What is started in
# setup_file lives for the whole file, what a test starts is ended behind it; then the agent and the
# controller must have ended on SIGTERM within 5 s with exit code 0, and left no sanitizer report.
#
# Every host (variable HOST, h1 by default) is a network namespace with a loopback and an Engine of its own,
# so default ports (6379, 7410, 7411) do as they are, and tests run beside each other.
#
#   BIN=build/release    where defib-agent and defib-controller are
#   WAIT_FACTOR=1        stretches the deadlines (not the settings) for slow builds and machines
#   MEMORY_FACTOR=1      stretches the limits of memory, for a build that needs more
#   KEEP=1               leaves the folder with logs and state
#   VERBOSE=1            shows each test's output
#
# In a test, T is its own fresh folder; logs are T/<name>.log. Waiting is by condition with a deadline.

set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=$(cd "${BIN:-$ROOT/build/release}" 2> /dev/null && pwd) || {
    echo "lib.sh: no folder ${BIN:-$ROOT/build/release}: build first, or set BIN" >&2
    exit 2
}
WAIT_FACTOR=${WAIT_FACTOR:-1}
# shellcheck disable=SC2034  # for the tests
MEMORY_FACTOR=${MEMORY_FACTOR:-1}
TEST_TIMEOUT_SECS=${TEST_TIMEOUT_SECS:-240}
HOST=h1
# tests/fleet gives a folder and a name that outlive this shell
DIR=${FLEET_DIR:-$(mktemp -d "${TMPDIR:-/tmp}/defib-it.XXXXXX")}
T=$DIR/file
RUN=$T/run
mkdir -p "$RUN"

# Quick settings for both programs; a test's own NAME=value arguments come behind them and win.
# shellcheck disable=SC2054  # lists of seconds
FAST=(
    HEARTBEAT_INTERVAL_SECS=0.5 HEARTBEAT_TTL_SECS=2 SUPERVISOR_CHECK_INTERVAL_SECS=0.5 FAST_CHECK_SECS=0.2
    START_GRACE_SECS=1 START_DEADLINE_SECS=20 STOP_SETTLE_SECS=1 INTENT_SETTLE_SECS=1 SETTLE_SECS=1
    RESTART_BACKOFF_SECS=0.5,1,1.5 RESTART_COOLDOWN_SECS=60 RESTART_STABLE_SECS=60 RESTART_STOP_TIMEOUT_SECS=2
    DOCKER_POLICY_GRACE_SECS=3 AGENT_LOST_SECS=3 ALERT_REPEAT_SECS=60 RESTART_ALLOW_SERVICES='svc-*'
)

# ---- saying what is wrong ----

fail() {
    echo "FAIL: $* (${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]})" >&2
    exit 1
}

# expect_eq ACTUAL EXPECTED WHAT
expect_eq() {
    [ "$1" = "$2" ] || fail "${3:-value}: is '$1', should be '$2' (from line ${BASH_LINENO[0]})"
}

# expect_match TEXT REGEX WHAT
expect_match() {
    [[ $1 =~ $2 ]] || fail "${3:-text}: '$1' does not match '$2' (from line ${BASH_LINENO[0]})"
}

# `! command` would not end a test; this does.
not() { ! "$@"; }

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
is_before() { ((${EPOCHREALTIME/[.,]/} / 1000 < $1)); }

# nap MILLISECONDS: without a process of its own. The tests ask again and again whether something has happened, a dozen of
# them at a time: where a fork is dear, asking is most of the load.
exec {NAP}<> <(:)
nap() {
    local seconds
    printf -v seconds '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
    read -r -t "$seconds" -u "$NAP" _ || true
}

# wait_for SECONDS CONDITION [WHAT]: evaluates the condition until it succeeds, less often the longer it takes.
wait_for() {
    local started deadline pause
    started=$((${EPOCHREALTIME/[.,]/} / 1000))
    deadline=$((started + $(ms "$1") * WAIT_FACTOR))
    until eval "$2" > /dev/null 2>&1; do
        is_before "$deadline" || fail "not within $1 s: ${3:-$2} (from line ${BASH_LINENO[0]})"
        pause=$(((${EPOCHREALTIME/[.,]/} / 1000 - started) / 10))
        nap $((pause < 50 ? 50 : pause > 250 ? 250 : pause))
    done
}

# Milliseconds of decimal seconds.
ms() {
    local whole=${1%.*} part=000
    [[ $1 != *.* ]] || part=$(printf '%.3s' "${1#*.}000")
    echo $((10#${whole:-0} * 1000 + 10#$part))
}

# expect_never SECONDS NAME REGEX: no such line comes into T/NAME.log for so long, nor stands behind the mark.
expect_never() {
    local deadline=$(($(now_ms) + $(ms "$1")))
    while :; do
        [ "$(count_log "$2" "$3")" = 0 ] ||
            fail "$2 said it: $(log_after_mark "$2" | grep -E -e "$3" | tail -n 1) (from line ${BASH_LINENO[0]})"
        is_before "$deadline" || break
        nap 250 # a log forgets nothing
    done
}

# expect_while SECONDS CONDITION [WHAT]: it holds, at every look.
expect_while() {
    local deadline=$(($(now_ms) + $(ms "$1")))
    while :; do
        eval "$2" > /dev/null 2>&1 || fail "no longer true: ${3:-$2} (from line ${BASH_LINENO[0]})"
        is_before "$deadline" || break
        nap 150
    done
}

# ---- logs ----

# Lines of T/NAME.log behind the mark; all of them where log_mark was never called.
log_after_mark() {
    local from=1
    [ ! -e "$T/$1.mark" ] || read -r from < "$T/$1.mark"
    [ ! -e "$T/$1.log" ] || tail -n "+$from" "$T/$1.log"
}

# read_log NAME: the same into the array LOG_LINES, without a process.
read_log() {
    local from=1
    LOG_LINES=()
    [ ! -e "$T/$1.mark" ] || read -r from < "$T/$1.mark"
    [ ! -e "$T/$1.log" ] || mapfile -t -s $((from - 1)) LOG_LINES < "$T/$1.log"
}

log_mark() {
    local lines=0
    [ ! -e "$T/$1.log" ] || lines=$(wc -l < "$T/$1.log")
    echo $((lines + 1)) > "$T/$1.mark"
}

# wait_log NAME REGEX SECONDS: a line behind the mark matches.
wait_log() {
    wait_for "$3" "log_has '$1' $(printf %q "$2")" "$1 logs /$2/"
}

log_has() {
    local LOG_LINES line
    read_log "$1"
    for line in "${LOG_LINES[@]}"; do
        [[ ! $line =~ $2 ]] || return 0
    done
    return 1
}

# wait_lines NAME SECONDS LINE...: the fixed texts stand at the ends of lines behind the mark, in this order.
wait_lines() {
    local name=$1 seconds=$2
    shift 2
    wait_for "$seconds" "has_lines $name $(printf '%q ' "$@")" "$name logs, in order: $(printf '"%s" ' "$@")"
}

has_lines() {
    local LOG_LINES line
    read_log "$1"
    shift
    for line in "${LOG_LINES[@]}"; do
        [ $# -gt 0 ] || break
        [[ $line != *"$1" ]] || shift
    done
    [ $# = 0 ]
}

# Counts, and so reads to the end: a grep that stops at the first match breaks the pipe, and the test with it.
count_log() { log_after_mark "$1" | grep -cE -e "$2" || true; }

# ---- processes ----

# spawn NAME COMMAND...: in the background, output appended to T/NAME.log.
spawn() {
    local name=$1
    shift
    # the program itself, and not a shell around it, whose end would leave it running
    [ "$1" != in_ns ] || set -- nsenter --net="/run/netns/$(ns)" "${@:2}"
    rm -f "$RUN/$name.pid" "$RUN/$name.exit"
    (
        set +e
        trap - ERR EXIT
        "$@" >> "$T/$name.log" 2>&1 < /dev/null &
        echo $! > "$RUN/$name.pid.new"
        mv "$RUN/$name.pid.new" "$RUN/$name.pid"
        wait $!
        echo $? > "$RUN/$name.exit.new"
        mv "$RUN/$name.exit.new" "$RUN/$name.exit"
    ) > /dev/null 2>&1 < /dev/null &
    until [ -e "$RUN/$name.pid" ]; do nap 10; done
}

pid_of() { cat "$RUN/$1.pid"; }
is_up() { [ -e "$RUN/$1.pid" ] && [ ! -e "$RUN/$1.exit" ]; }
exit_of() { cat "$RUN/$1.exit"; }

# stop NAME [SECONDS]: SIGTERM, and it must have ended within that time (5 s).
stop() {
    is_up "$1" || fail "$1 is not running (exit $(exit_of "$1" 2> /dev/null || echo '?'))"
    kill -TERM "$(pid_of "$1")"
    wait_for "${2:-5}" "! is_up $1" "$1 ends on SIGTERM"
}

# kill_hard NAME: SIGKILL; cleaning up then asks no questions about its end.
kill_hard() {
    kill -KILL "$(pid_of "$1")"
    wait_for 5 "! is_up $1"
    rm -f "$RUN/$1.pid"
}

# ---- hosts ----

ns() { echo "${FLEET_NAME:-defib-it-$$}-$HOST"; }

# in_ns COMMAND...: runs it in the network of HOST; `exec` keeps the pid for spawn.
in_ns() { nsenter --net="/run/netns/$(ns)" "$@"; }

make_host() {
    [ ! -e "/run/netns/$(ns)" ] || return 0
    ip netns add "$(ns)"
    echo "$HOST" >> "$DIR/hosts"
    in_ns ip link set lo up
}

# connect_hosts A B: a cable between two hosts; A is 10.213.0.1, B is 10.213.0.2.
connect_hosts() {
    local a b
    a=$(HOST=$1 ns)
    b=$(HOST=$2 ns)
    ip -n "$a" link add defib0 type veth peer name defib0 netns "$b"
    ip -n "$a" addr add 10.213.0.1/24 dev defib0
    ip -n "$b" addr add 10.213.0.2/24 dev defib0
    ip -n "$a" link set defib0 up
    ip -n "$b" link set defib0 up
}

# ---- the Engine ----

sock() { echo "$DIR/$HOST/docker.sock"; }
d() { docker -H "unix://$DIR/$HOST/docker.sock" "$@"; }

# Which images start_engine brings into the Engine: busybox, redis, controller (tests/images/make_images.sh).
ENGINE_IMAGES=(busybox)

# start_engine [DOCKERD-OPTION...]: of HOST, for the whole file; again after stop_engine or kill_engine.
start_engine() {
    local home=$DIR/$HOST
    mkdir -p "$home"
    echo '{}' > "$home/daemon.json"
    make_host
    RUN=$DIR/file/run T=$DIR/file spawn "dockerd-$HOST" in_ns dockerd -H "unix://$home/docker.sock" \
        --data-root "$home/data" --exec-root "$home/exec" -p "$home/dockerd.pid" --config-file "$home/daemon.json" \
        --log-level warn --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$(ns)" \
        --containerd-namespace "$(ns)" --containerd-plugins-namespace "$(ns)-plugins" "$@"
    wait_for 30 "d version || ! RUN=$DIR/file/run is_up dockerd-$HOST"
    wait_for 1 'd version' "dockerd of $HOST answers"
    if [ ! -e "$home/has-images" ]; then
        "$ROOT/tests/images/make_images.sh" "$(sock)" "$BIN" "${ENGINE_IMAGES[@]}"
        touch "$home/has-images"
    fi
}

stop_engine() { RUN=$DIR/file/run stop "dockerd-$HOST" 30; }

# SIGKILL; its containerd dies of that too, its containers and their shims live on.
kill_engine() {
    local pid
    pid=$(cat "$DIR/$HOST/exec/containerd/containerd.pid" 2> /dev/null || echo none)
    RUN=$DIR/file/run kill_hard "dockerd-$HOST"
    # one that is still dying would be taken for a running one by the next dockerd
    wait_for 10 "[ ! -e /proc/$pid ] || grep -q '^State:.Z' /proc/$pid/status" "containerd of $HOST ends with its dockerd"
    rm -f "$DIR/$HOST/exec/containerd/containerd.pid"
}

# run_service NAME [OPTION-OF-DOCKER-RUN...]: the stand-in service, see tests/images/service.sh. Without a
# network of its own (starts quicker) unless the options say --network.
run_service() {
    local name=$1 network=(--network none) option
    shift
    for option in "$@"; do
        [[ $option != --network* && $option != -p ]] || network=()
    done
    d run -d --name "$name" --pull never "${network[@]}" "$@" defib-test/busybox > /dev/null
}

is_running() { [ "$(d inspect -f '{{.State.Running}}' "$1" 2> /dev/null)" = true ]; }
started_at() { d inspect -f '{{.State.StartedAt}}' "$1"; }
id_of() { d inspect -f '{{.Id}}' "$1"; }
# was_started_again NAME STARTED-AT
was_started_again() { is_running "$1" && [ "$(started_at "$1")" != "$2" ]; }
# name, id and start of every container: equal before and after means that nobody touched any
all_incarnations() { d ps -aq --no-trunc | sort | xargs -r docker -H "unix://$(sock)" inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}} {{.State.Status}}'; }

# record_events NAME: container events of HOST into T/NAME.log, `action name` a line, until the test ends.
record_events() {
    spawn "$1" docker -H "unix://$(sock)" events --filter type=container --format '{{.Action}} {{.Actor.Attributes.name}}'
}

# ---- Redis ----

# start_redis [OPTION...]: on 127.0.0.1:6379 of HOST, and by r().
# shellcheck disable=SC2120  # tests give options
start_redis() {
    make_host
    mkdir -p "$T/redis"
    spawn redis in_ns redis-server --port 6379 --bind 127.0.0.1 --unixsocket "$T/redis.sock" \
        --save '' --dir "$T/redis" "$@"
    wait_for 10 'r ping'
}

stop_redis() { stop redis 10; }
r() { redis-cli -s "$T/redis.sock" "$@"; }

# subscribe NAME CHANNEL: its messages into T/NAME.log, until the test ends.
subscribe() {
    spawn "$1" redis-cli -s "$T/redis.sock" subscribe "$2"
    wait_log "$1" '^subscribe$' 5
}

# ---- the programs ----

# start_agent [NAME=value...], start_controller [NAME=value...]: on HOST with FAST settings; variable AS names the
# process and its log when one is not enough. SETTINGS=own leaves FAST out.
start_agent() { start_program "${AS:-agent}" defib-agent "$@"; }
start_controller() { start_program "${AS:-controller}" defib-controller "$@"; }

start_program() {
    local name=$1 program=$2 settings=("${FAST[@]}")
    shift 2
    [ "${SETTINGS:-}" != own ] || settings=()
    mkdir -p "$T/state-$name"
    spawn "$name" in_ns env "${settings[@]}" DEFIB_HOST="$HOST" DEFIB_STATE_DIR="$T/state-$name" \
        DOCKER_HOST="unix://$(sock)" REDIS_URL="redis://127.0.0.1:6379" "$@" "$BIN/$program"
    touch "$RUN/$name.is-program"
}

wait_agent() { wait_for 10 "[ \"\$(r exists health:agent:$HOST)\" = 1 ]" "the agent of $HOST has registered"; }
wait_controller() { wait_log "${AS:-controller}" 'Supervisor started' 10; }

# start_all [NAME=value...]: Redis, agent and controller on HOST, ready.
start_all() {
    # shellcheck disable=SC2119
    start_redis
    start_agent "$@"
    start_controller "$@"
    wait_agent
    wait_controller
}

# wait_healthy NUMBER: the running controller's last summary counts so many healthy and nothing else. It only logs
# one when the numbers change.
wait_healthy() { wait_for 20 "last_summary_is ${AS:-controller} '$1 healthy, 0 degraded, 0 unhealthy, 0 missing'" "$1 healthy in the last summary"; }
last_summary_is() {
    local name=$1 last
    last=$(sed -n '/Supervisor started/h; /Supervisor started/!H; ${g;p}' "$T/$name.log" | grep 'Health summary: ' | tail -n 1)
    [ "${last#*Health summary: }" = "$2" ]
}

# ---- running the tests ----

programs_end_well() {
    local file name is_well=0
    for file in "$RUN"/*.is-program; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .is-program)
        [ -e "$RUN/$name.pid" ] || continue
        if is_up "$name"; then
            kill -TERM "$(pid_of "$name")" 2> /dev/null
            (wait_for 5 "! is_up $name") 2> /dev/null || echo "$name did not end within 5 s of SIGTERM" >&2
        fi
        [ -e "$RUN/$name.expected-exit" ] || echo 0 > "$RUN/$name.expected-exit"
        if [ "$(cat "$RUN/$name.exit" 2> /dev/null)" != "$(cat "$RUN/$name.expected-exit")" ]; then
            echo "$name ended with $(cat "$RUN/$name.exit" 2> /dev/null || echo 'nothing')" >&2
            is_well=1
        fi
    done
    if grep -lE 'ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$T"/*.log 2> /dev/null; then
        echo 'sanitizer report in the log' >&2
        is_well=1
    fi
    return $is_well
}

# Whatever still runs of this level is ended, quickly.
end_processes() {
    local file name
    for file in "$RUN"/*.pid; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .pid)
        ! is_up "$name" || kill -KILL "$(cat "$file")" 2> /dev/null
    done
    for file in "$RUN"/*.pid; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .pid)
        (wait_for 5 "! is_up $name") 2> /dev/null
    done
}

# Tests run in a subshell: the hosts that they made are known by file.
read_hosts() {
    HOSTS=()
    [ ! -e "$DIR/hosts" ] || mapfile -t HOSTS < "$DIR/hosts"
}

remove_containers() {
    for HOST in "${HOSTS[@]}"; do
        [ -e "$(sock)" ] || continue
        d ps -aq 2> /dev/null | xargs -r docker -H "unix://$(sock)" rm -f > /dev/null 2>&1
    done
    HOST=h1
}

show_logs() {
    local file
    for file in "$T"/*.log "$DIR"/file/*.log; do
        [ -s "$file" ] || continue
        echo "--- last lines of ${file##*/}"
        # an Engine talks a lot about nothing
        grep -vE '^time=[^ ]+ level=(info|warning)' "$file" | tail -n 25
    done
}

run_one() {
    local name=$1 started result=ok
    T=$DIR/$name
    RUN=$T/run
    mkdir -p "$RUN"
    started=$(now_ms)
    (
        set -e -E
        trap 'echo "FAIL: a command failed (${BASH_SOURCE[0]##*/}:$LINENO): $BASH_COMMAND" >&2' ERR
        "$name"
    ) > "$T/output" 2>&1 < /dev/null &
    # in the background: -e holds within, a signal to this process is heard, and a hanging test ends
    TEST_PID=$!
    (
        trap 'kill "$sleeper"; exit' TERM
        sleep $((TEST_TIMEOUT_SECS * WAIT_FACTOR)) &
        sleeper=$!
        wait "$sleeper"
        echo "FAIL: hangs for $((TEST_TIMEOUT_SECS * WAIT_FACTOR)) s" >> "$T/output"
        kill -KILL "$TEST_PID"
    ) > /dev/null 2>&1 &
    WATCHDOG_PID=$!
    wait "$TEST_PID" 2> /dev/null || result='not ok'
    kill "$WATCHDOG_PID" 2> /dev/null
    wait "$WATCHDOG_PID" 2> /dev/null
    TEST_PID=''
    WATCHDOG_PID=''
    programs_end_well >> "$T/output" 2>&1 || result='not ok'
    end_processes
    read_hosts
    remove_containers
    echo "$result ${0##*/} $name ($((($(now_ms) - started) / 1000)) s)"
    [ -z "${VERBOSE:-}" ] || sed 's/^/    /' "$T/output"
    if [ "$result" = ok ]; then
        PASSED=$((PASSED + 1))
        return
    fi
    FAILED=$((FAILED + 1))
    { [ -n "${VERBOSE:-}" ] || cat "$T/output"; show_logs; } | sed 's/^/    /'
}

# cgroups NAME FIND-ARGUMENT...: over the control groups of that host
cgroups() {
    local name=$1
    shift
    find /sys/fs/cgroup -path "*/$name*" "$@" 2> /dev/null
}

# What a killed dockerd leaves behind: its containerd, shims, containers, mounts.
end_remains() {
    local home=$DIR/$HOST pid file
    for file in /proc/[0-9]*/cmdline; do
        pid=${file#/proc/}
        pid=${pid%/cmdline}
        ! tr '\0' ' ' 2> /dev/null < "$file" | grep -qF -e "$home/exec/" -e "-namespace $(ns) " || kill -KILL "$pid" 2> /dev/null
    done
    cgroups "$(ns)" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL 2> /dev/null
    sed -n "s|^[^ ]* \($home/[^ ]*\) .*|\1|p" /proc/mounts | sort -r | xargs -r umount -l 2> /dev/null
}

end_engine() {
    local home=$DIR/$HOST
    if [ ! -e "$home" ]; then # it never had one
        ip netns del "$(ns)" 2> /dev/null
        return
    fi
    if RUN=$DIR/file/run is_up "dockerd-$HOST"; then
        kill -TERM "$(RUN=$DIR/file/run pid_of "dockerd-$HOST")"
        (RUN=$DIR/file/run wait_for 10 "! is_up dockerd-$HOST") 2> /dev/null ||
            kill -KILL "$(RUN=$DIR/file/run pid_of "dockerd-$HOST")"
    fi
    end_remains
    ip netns del "$(ns)" 2> /dev/null
    (wait_for 3 "cgroups $(ns) -depth -type d -exec rmdir {} +") 2> /dev/null
}

# shellcheck disable=SC2317  # called by the trap
clean_up() {
    trap '' INT TERM
    [ -z "${TEST_PID:-}" ] || kill -KILL "$TEST_PID" 2> /dev/null
    [ -z "${WATCHDOG_PID:-}" ] || kill "$WATCHDOG_PID" 2> /dev/null
    end_processes
    [ ! "$(type -t teardown_file)" ] || teardown_file
    read_hosts
    remove_containers > /dev/null 2>&1
    for HOST in "${HOSTS[@]}"; do end_engine; done
    T=$DIR/file
    RUN=$T/run
    end_processes
    if [ -n "${KEEP:-}" ]; then echo "kept: $DIR"; else rm -rf "$DIR"; fi
}

run_tests() {
    local name names word is_wanted
    PASSED=0
    FAILED=0
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ "$(type -t setup_file)" ] && ! (set -e && setup_file) > "$T/output" 2>&1; then
        echo "not ok ${0##*/} setup_file"
        { cat "$T/output"; show_logs; } | sed 's/^/    /'
        echo "0 passed, 1 failed"
        exit 1
    fi
    mapfile -t names < <(grep -oE '^test_[a-z0-9_]+' "$0")
    for name in "${names[@]}"; do
        is_wanted=$#
        for word in "$@"; do
            [[ $name != *"$word"* ]] || is_wanted=0
        done
        [ "$is_wanted" = 0 ] || continue
        run_one "$name"
    done
    echo "$PASSED passed, $FAILED failed"
    [ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
    exit
}
