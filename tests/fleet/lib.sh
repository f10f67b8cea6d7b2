# shellcheck shell=bash
# A fleet on one machine: hosts, Redis and controllers in network namespaces of their own, joined by a bridge in one more.
# On top of tests/integration/lib.sh, whose HOST, spawn, kill_hard, start_engine … work here as well; FLEET_NAME tells
# fleets apart that live at the same time.
#
#   h1, h2, …  10.214.0.101 …  Engine, agent, containers svc-<host>-1 …
#   r1 (, r2, r3)  10.214.0.11 …  Redis, and a Sentinel where there are three
#   c1, c2, …  10.214.0.21 …  a controller each

# shellcheck source=tests/integration/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"

address_of() {
    local number=${1#?}
    case $1 in
        r*) echo "10.214.0.$((10 + number))" ;;
        c*) echo "10.214.0.$((20 + number))" ;;
        h*) echo "10.214.0.$((100 + number))" ;;
    esac
}

at() {
    local HOST=$1
    shift
    in_ns "$@"
}

# The end of its cable at the bridge.
port_of() { echo "to-$1"; }

make_hub() {
    HOST=hub make_host
    at hub ip link add fleet0 type bridge
    at hub ip link set fleet0 up
}

join() {
    HOST=$1 make_host
    ip link add eth0 netns "$(HOST=$1 ns)" type veth peer name "$(port_of "$1")" netns "$(HOST=hub ns)"
    at "$1" ip addr add "$(address_of "$1")/24" dev eth0
    at "$1" ip link set eth0 up
    at hub ip link set "$(port_of "$1")" master fleet0 up
}

# cut NAME: nothing gets through its cable. cut NAME OTHER: nor between those two; cut_from NAME OTHER: what OTHER sends
# does not arrive. mend undoes all of them.
cut() {
    if [ $# = 1 ]; then
        at hub ip link set "$(port_of "$1")" down
    else
        cut_from "$1" "$2"
        cut_from "$2" "$1"
    fi
}
cut_from() { at "$1" iptables -w -A INPUT -s "$(address_of "$2")" -j DROP; }
mend() {
    at hub ip link set "$(port_of "$1")" up
    at "$1" iptables -w -F INPUT
    at hub tc qdisc del dev "$(port_of "$1")" root 2> /dev/null || true
    at "$1" tc qdisc del dev eth0 root 2> /dev/null || true
}

# delay NAME MS: each packet to and from it takes so much longer.
has_netem() { at hub tc qdisc add dev lo root netem delay 1ms 2> /dev/null && at hub tc qdisc del dev lo root; }
delay() {
    has_netem || fail 'this kernel has no netem (module sch_netem): nothing can be delayed'
    at hub tc qdisc replace dev "$(port_of "$1")" root netem delay "$2ms"
    at "$1" tc qdisc replace dev eth0 root netem delay "$2ms"
}

freeze() { kill -STOP "$(pid_of "$1")"; }
thaw() { kill -CONT "$(pid_of "$1")"; }

# ---- the parts ----

redis_url() {
    if [ "$REDIS_SERVERS" = 1 ]; then
        echo "redis://$(address_of r1):6379"
    else
        echo "redis+sentinel://$(address_of r1):26379,$(address_of r2):26379,$(address_of r3):26379/fleet"
    fi
}

on_redis() {
    local name=$1
    shift
    redis-cli -s "$T/$name.sock" "$@"
}
master_of_redis() {
    local name
    for name in $(seq -f r%g "$REDIS_SERVERS"); do
        [ "$(on_redis "$name" role 2> /dev/null | head -n 1)" != master ] || { echo "$name"; return; }
    done
    return 1
}
r() { if [ "$REDIS_SERVERS" = 1 ]; then on_redis r1 "$@"; else on_redis "$(master_of_redis)" "$@"; fi; }

# start_redis_server NAME: r1 begins as the master.
start_redis_server() {
    local name=$1 replica=()
    mkdir -p "$T/$name"
    [ "$name" = r1 ] || replica=(--replicaof "$(address_of r1)" 6379)
    spawn "$name" nsenter --net="/run/netns/$(HOST=$name ns)" redis-server --port 6379 --bind "$(address_of "$name")" 127.0.0.1 \
        --protected-mode no --unixsocket "$T/$name.sock" --save '' --dir "$T/$name" --repl-diskless-sync-delay 0 "${replica[@]}"
    wait_for 10 "on_redis $name ping"
}

start_sentinel() {
    local name=$1
    [ -e "$T/sentinel-$name.conf" ] ||
        printf '%s\n' 'port 26379' "bind $(address_of "$name") 127.0.0.1" 'protected-mode no' "dir $T" \
            "sentinel monitor fleet $(address_of r1) 6379 2" 'sentinel down-after-milliseconds fleet 1500' \
            'sentinel failover-timeout fleet 6000' > "$T/sentinel-$name.conf"
    spawn "sentinel-$name" nsenter --net="/run/netns/$(HOST=$name ns)" redis-server "$T/sentinel-$name.conf" --sentinel
}

# settings_of NAME: more settings of that program, a line each; those who build on this give some.
settings_of() { :; }

start_agent_of() {
    local more
    mapfile -t more < <(settings_of "agent-$1")
    HOST=$1 AS=agent-$1 start_agent REDIS_URL="$(redis_url)" DEFIB_LISTEN="tcp://$(address_of "$1"):7411" DEFIB_KEY_FILE="$T/fleet.key" \
        "${more[@]}" "${@:2}"
}

start_controller_of() {
    local more
    mapfile -t more < <(settings_of "$1")
    HOST=$1 AS=$1 start_controller REDIS_URL="$(redis_url)" DEFIB_ID="$1" DEFIB_KEY_FILE="$T/fleet.key" \
        DEFIB_HTTP_TOKEN_FILE="$T/fleet.token" LEADER_LEASE_SECS="$LEASE" "${more[@]}" "${@:2}"
}

# ctl COMMAND...: defibctl beside the controller that leads, or the first one where nobody does.
ctl() {
    local name
    name=$(leader)
    at "${name:-c1}" env REDIS_URL="$(redis_url)" DEFIB_KEY_FILE="$T/fleet.key" DEFIB_HTTP_TOKEN_FILE="$T/fleet.token" \
        DEFIB_STATE_DIR="$T/state-${name:-c1}" "$BIN/defibctl" "$@"
}

service_of() { echo "svc-$1-$2"; }

# fleet_up HOSTS CONTROLLERS REDIS_SERVERS CONTAINERS; REDIS_SERVERS is set before
fleet_up() {
    local name number
    "$BIN/defib-controller" --gen-key > "$T/fleet.key"
    head -c 16 /dev/urandom | od -An -tx1 | tr -d ' ' > "$T/fleet.token"
    chmod 600 "$T/fleet.key" "$T/fleet.token"
    make_hub
    for name in $(seq -f r%g "$3"); do
        join "$name"
        start_redis_server "$name"
    done
    [ "$3" = 1 ] || for name in $(seq -f r%g "$3"); do start_sentinel "$name"; done
    for name in $(seq -f h%g "$1"); do
        join "$name"
        HOST=$name start_engine
        start_agent_of "$name"
        for number in $(seq "$4"); do HOST=$name run_service "$(service_of "$name" "$number")" --restart=no; done
    done
    for name in $(seq -f c%g "$2"); do
        join "$name"
        start_controller_of "$name"
    done
    wait_for 30 '[ -n "$(leader)" ]' 'one of the controllers leads'
    wait_for 60 "[ \"\$(healthy)\" = $(($1 * $4)) ]" 'all containers are healthy'
}

leader() { [[ ! $(r get health:leader 2> /dev/null) =~ ^'{"id": "'([^\"]+) ]] || echo "${BASH_REMATCH[1]}"; }
# as the leader counts them
healthy_by() { grep 'Health summary: ' "$T/$1.log" | tail -n 1 | sed 's/.*summary: \([0-9]*\) healthy.*/\1/'; }
healthy() { healthy_by "$(leader)"; }
