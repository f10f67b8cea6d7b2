# shellcheck shell=bash
# What can break, and what is expected of it. A fault has a line in the table, break_NAME and heal_NAME (a - is a _ there).
#
#   fault NAME HOST LASTS HEALED RESTARTS ALERTS WORDS
#     HOST      where it strikes and where the container crashes that crashes meanwhile
#     LASTS     seconds, at least
#     HEALED    a crash while it lasts is healed: `during` it, only `after` it, or `maybe` during it
#     RESTARTS  what the fault itself ends, and what therefore is started again, once each: `none`, or `host`: all of HOST
#     ALERTS    of the fault alone, each exactly once: TYPE:CONTAINER, TYPE:HOST or TYPE; a ? behind it: may be missing,
#               a *: any number. ALERTS[NAME/MOMENT] is instead of them at that moment
# Whatever else is restarted or told falls short.

# Never: nothing crashes. Before: and the fault strikes at once. During: the fault had time to show. After: at its end.
MOMENTS=(never before during after)

FAULTS=()
declare -A HOST_OF LASTS HEALED RESTARTS ALERTS WORDS

fault() {
    FAULTS+=("$1")
    HOST_OF[$1]=$2 LASTS[$1]=$3 HEALED[$1]=$4 RESTARTS[$1]=$5 ALERTS[$1]=$6 WORDS[$1]=$7
}

LOST='AGENT_LOST:h1 AGENT_RECOVERED:h1'
MAYBE_LOST='AGENT_LOST:h1? AGENT_RECOVERED:h1?'
NO_REDIS='REDIS_LOST REDIS_RECOVERED'
MAYBE_NO_REDIS='REDIS_LOST? REDIS_RECOVERED?'

fault nothing h1 2 during none '' 'nothing is broken'

fault agent-killed h1 6 after none "$LOST" 'SIGKILL to the agent, started again after 6 s'
fault agent-stopped h1 1 after none "$MAYBE_LOST" 'SIGTERM to the agent, started again after a second'
fault agent-frozen h1 6 after none "$LOST" 'SIGSTOP to the agent for 6 s'
fault agent-clock-ahead h1 3 during none '' "the agent's wall clock jumps ahead by a day"
fault agent-clock-back h1 3 during none '' "the agent's wall clock jumps back by a day"
fault agent-disk-full h1 3 during none '' "the file system of the agent's state folder is full"

fault leader-killed h1 4 during none '' 'SIGKILL to the leading controller'
fault leader-stopped h1 4 during none '' 'SIGTERM to the leading controller'
fault leader-frozen h1 60 during none '' 'SIGSTOP to the leading controller for a minute, thirty leases'
fault controllers-killed h1 4 after none '' 'SIGKILL to all controllers'
fault controllers-frozen h1 60 after none '' 'SIGSTOP to all controllers for a minute: they wake up in tilt, and do nothing for 30 s'
fault controllers-clock-ahead h1 3 after none '' "all controllers' wall clocks jump ahead by a day: tilt"
fault controllers-clock-back h1 3 after none '' "all controllers' wall clocks jump back by a day: tilt"
fault controller-disk-full h1 3 during none '' 'the file systems of all controllers'"'"' state folders are full'

fault host-cut h1 6 after none "$LOST" "the host's cable is pulled"
fault host-cut-from-redis h1 5 during none '' 'nothing gets through between the host and Redis'
fault host-hears-no-redis h1 5 during none '' 'what Redis sends does not arrive at the host'
fault redis-hears-no-host h1 5 during none '' 'what the host sends does not arrive at Redis'
fault host-cut-from-controllers h1 4 after none '' 'nothing gets through between the host and the controllers'
fault host-hears-no-controller h1 4 after none '' 'what the controllers send does not arrive at the host'
# A command still arrives over a connection that stands, until TCP misses the acknowledgements; its outcome comes by Redis.
fault controllers-hear-no-host h1 4 maybe none '' 'what the host sends does not arrive at the controllers'
# Whether it stands by before its commands time out is a race, and either is right.
fault leader-cut h1 6 during none "$MAYBE_NO_REDIS" "the leader's cable is pulled"
fault leader-cut-from-redis h1 6 during none "$MAYBE_NO_REDIS" 'nothing gets through between the leader and Redis'
fault leader-hears-no-redis h1 6 during none "$MAYBE_NO_REDIS" 'what Redis sends does not arrive at the leader'
fault redis-hears-no-leader h1 6 during none "$MAYBE_NO_REDIS" 'what the leader sends does not arrive at Redis'

fault redis-killed h1 5 during none "$NO_REDIS" 'SIGKILL to Redis, which comes back empty'
fault redis-frozen h1 6 during none "$NO_REDIS" 'SIGSTOP to Redis for 6 s'
fault redis-slow h1 5 during none "$MAYBE_NO_REDIS" 'Redis stands still for 0.4 s of every 0.5 s'
fault redis-flushed h1 1 during none "$NO_REDIS" 'FLUSHALL: Redis has forgotten everything'
fault redis-read-only h1 5 during none "$NO_REDIS" 'Redis takes no writes: a replica of nobody'
fault redis-full h1 5 during none "$NO_REDIS" 'Redis is out of memory, and evicts nothing'
fault redis-evicting h1 5 during none 'REDIS_LOST* REDIS_RECOVERED*' 'Redis evicts keys all the time'
fault redis-stale h1 2 during none "$MAYBE_NO_REDIS" 'Redis is another one with the data of a while ago'

fault engine-stopped h1 4 after host '' 'SIGTERM to dockerd, which ends its containers'
fault engine-killed h1 3 after host '' 'SIGKILL to dockerd; the next one ends what it finds alive'
fault engine-frozen h1 5 after none '' 'SIGSTOP to dockerd for 5 s'
fault live-engine-stopped h2 4 after none '' 'SIGTERM to dockerd with live-restore: the containers live on'
fault live-engine-killed h2 4 after none '' 'SIGKILL to dockerd with live-restore'
fault engine-upgraded h1 4 after host '' 'SIGTERM to dockerd, and one of another version starts: 20.10 and 26.1 by turns'
fault live-engine-upgraded h2 4 after none '' 'the same with live-restore: the containers live on under another version'
# The command may reach a daemon that is ending: a failed attempt, and the next one comes when it is back. And one that died
# with its daemon may not start (help_docker).
for NAME in engine-{stopped,killed,upgraded}/{before,during}; do
    ALERTS[$NAME]='SERVICE_RESTART_FAILED:svc-h1-1*'
    ALERTS[live-$NAME]='SERVICE_RESTART_FAILED:svc-h2-1*'
done

# The kernel of our host lives on: what its agent said last may come through when the cable is back, and is lost once more
# where the Engine takes longer than AGENT_LOST_SECS.
fault host-rebooted h1 6 after host "$LOST $MAYBE_LOST" 'all of a host ends at once, and comes back'
fault same-name h1 4 after none 'NAME_COLLISION:svc-h1-1 SERVICE_RECOVERED:svc-h1-1' 'a container of the same name is started on the other host'
# One that is dead already has no claim to its name.
ALERTS[same-name/before]=''
fault churn h1 6 during none '' 'containers are started and removed as fast as the Engine can, by four clients'
fault churn-unstarted h1 6 during none '' 'containers are created and removed as fast as the Engine can, by sixteen clients'

# ---- how they break and heal ----

stop_all() { for NAME in "$@"; do stop "$NAME" 10; done; }
leader_was() { cat "$T/leader-was"; }
# note_leader: whom the fault strikes
note_leader() { leader > "$T/leader-was"; }

break_nothing() { :; }
heal_nothing() { :; }

break_agent_killed() { kill_hard "agent-$HOST"; }
heal_agent_killed() { start_agent_of "$HOST"; }
break_agent_stopped() { stop "agent-$HOST"; }
heal_agent_stopped() { start_agent_of "$HOST"; }
break_agent_frozen() { freeze "agent-$HOST"; }
heal_agent_frozen() { thaw "agent-$HOST"; }

# step_clock NAME SECONDS
step_clock() {
    [ -e "$OWN_CLOCK" ] || fail "no $OWN_CLOCK: make chaos builds it"
    set_clock "$1" $(($(cat "$T/clock-$1") + $2))
}
DAY=86400
break_agent_clock_ahead() { step_clock "agent-$HOST" $DAY; }
heal_agent_clock_ahead() { :; }
break_agent_clock_back() { step_clock "agent-$HOST" -$DAY; }
heal_agent_clock_back() { :; }
step_controllers() {
    for NAME in "${CONTROLLERS[@]}"; do step_clock "$NAME" "$1"; done
    was_tilted
}
break_controllers_clock_ahead() { step_controllers $DAY; }
heal_controllers_clock_ahead() { :; }
break_controllers_clock_back() { step_controllers -$DAY; }
heal_controllers_clock_back() { :; }

fill() { dd if=/dev/zero of="$T/state-$1/full" bs=4k 2> /dev/null || true; }
break_agent_disk_full() { fill "agent-$HOST"; }
heal_agent_disk_full() { rm "$T/state-agent-$HOST/full"; }
break_controller_disk_full() { for NAME in "${CONTROLLERS[@]}"; do fill "$NAME"; done; }
heal_controller_disk_full() { for NAME in "${CONTROLLERS[@]}"; do rm "$T/state-$NAME/full"; done; }

break_leader_killed() { note_leader && kill_hard "$(leader_was)"; }
heal_leader_killed() { start_controller_of "$(leader_was)"; }
break_leader_stopped() { note_leader && stop "$(leader_was)"; }
heal_leader_stopped() { start_controller_of "$(leader_was)"; }
break_leader_frozen() { note_leader && freeze "$(leader_was)"; }
heal_leader_frozen() {
    thaw "$(leader_was)"
    was_tilted
}
break_controllers_killed() { for NAME in "${CONTROLLERS[@]}"; do kill_hard "$NAME"; done; }
heal_controllers_killed() { for NAME in "${CONTROLLERS[@]}"; do start_controller_of "$NAME"; done; }
break_controllers_frozen() { for NAME in "${CONTROLLERS[@]}"; do freeze "$NAME"; done; }
heal_controllers_frozen() {
    for NAME in "${CONTROLLERS[@]}"; do thaw "$NAME"; done
    was_tilted
}

break_host_cut() { cut "$HOST"; }
heal_host_cut() { mend "$HOST"; }
break_host_cut_from_redis() { cut "$HOST" r1; }
heal_host_cut_from_redis() { mend "$HOST" && mend r1; }
break_host_hears_no_redis() { cut_from "$HOST" r1; }
heal_host_hears_no_redis() { mend "$HOST"; }
break_redis_hears_no_host() { cut_from r1 "$HOST"; }
heal_redis_hears_no_host() { mend r1; }
break_host_cut_from_controllers() { for NAME in "${CONTROLLERS[@]}"; do cut "$HOST" "$NAME"; done; }
heal_host_cut_from_controllers() { for NAME in "$HOST" "${CONTROLLERS[@]}"; do mend "$NAME"; done; }
break_host_hears_no_controller() { for NAME in "${CONTROLLERS[@]}"; do cut_from "$HOST" "$NAME"; done; }
heal_host_hears_no_controller() { mend "$HOST"; }
break_controllers_hear_no_host() { for NAME in "${CONTROLLERS[@]}"; do cut_from "$NAME" "$HOST"; done; }
heal_controllers_hear_no_host() { for NAME in "${CONTROLLERS[@]}"; do mend "$NAME"; done; }
break_leader_cut() { note_leader && cut "$(leader_was)"; }
heal_leader_cut() { mend "$(leader_was)"; }
break_leader_cut_from_redis() { note_leader && cut "$(leader_was)" r1; }
heal_leader_cut_from_redis() { mend "$(leader_was)" && mend r1; }
break_leader_hears_no_redis() { note_leader && cut_from "$(leader_was)" r1; }
heal_leader_hears_no_redis() { mend "$(leader_was)"; }
break_redis_hears_no_leader() { note_leader && cut_from r1 "$(leader_was)"; }
heal_redis_hears_no_leader() { mend r1; }

break_redis_killed() { kill_hard r1; }
heal_redis_killed() { start_redis_server r1; }
break_redis_frozen() { freeze r1; }
heal_redis_frozen() { thaw r1; }
stutter() {
    local pid
    pid=$(pid_of r1)
    trap 'kill -CONT "$pid"; exit' TERM
    while :; do
        kill -STOP "$pid"
        sleep 0.4
        kill -CONT "$pid"
        sleep 0.1
    done
}
break_redis_slow() { spawn stutter stutter; }
heal_redis_slow() {
    kill_hard stutter
    thaw r1
}
break_redis_flushed() { on_redis r1 flushall; }
heal_redis_flushed() { :; }
break_redis_read_only() { on_redis r1 replicaof 10.214.0.250 6379; }
heal_redis_read_only() { on_redis r1 replicaof no one; }
break_redis_full() { on_redis r1 config set maxmemory 1; }
heal_redis_full() { on_redis r1 config set maxmemory 0; }
# a little more than it needs when it holds nothing of ours
break_redis_evicting() {
    local used
    used=$(on_redis r1 info memory | sed -n 's/^used_memory:\([0-9]*\).*/\1/p')
    on_redis r1 config set maxmemory-policy allkeys-random
    on_redis r1 config set maxmemory $((used - 4096))
}
heal_redis_evicting() {
    on_redis r1 config set maxmemory 0
    on_redis r1 config set maxmemory-policy noeviction
}
# the data is from before the cell, see note_before
break_redis_stale() {
    kill_hard r1
    mv "$T/r1/old.rdb" "$T/r1/dump.rdb"
    start_redis_server r1
}
heal_redis_stale() { rm -f "$T/r1/dump.rdb"; }

break_engine_stopped() { stop_engine; }
heal_engine_stopped() { start_engine; }
break_engine_killed() { kill_engine; }
heal_engine_killed() { start_engine; }
engine_signal() { kill "-$1" "$(cat "$DIR/file/run/dockerd-$HOST.pid")"; }
break_engine_frozen() { engine_signal STOP; }
heal_engine_frozen() { engine_signal CONT; }
break_live_engine_stopped() { stop_engine; }
heal_live_engine_stopped() { start_engine --live-restore; }
break_live_engine_killed() { kill_engine; }
heal_live_engine_killed() { start_engine --live-restore; }
# The dockerd, containerd and shims of the next Debian, or those that are installed; the data stays.
start_other_engine() {
    local path=$PATH
    if [ -e "$T/newer-$HOST" ]; then
        rm "$T/newer-$HOST"
    else
        touch "$T/newer-$HOST"
        path=$NEWER_ENGINE/usr/sbin:$NEWER_ENGINE/usr/bin:$PATH
    fi
    [ -x "$NEWER_ENGINE/usr/sbin/dockerd" ] || fail "no $NEWER_ENGINE: tests/chaos/newer_engine makes it"
    PATH=$path start_engine "$@"
    add_note "now $(d version -f '{{.Server.Version}}')"
}
break_engine_upgraded() { stop_engine; }
heal_engine_upgraded() { start_other_engine; }
break_live_engine_upgraded() { stop_engine; }
heal_live_engine_upgraded() { start_other_engine --live-restore; }

break_host_rebooted() {
    cut "$HOST"
    kill_hard "agent-$HOST"
    kill_engine
    end_remains
    rm -rf "${DIR:?}/$HOST/exec"
}
heal_host_rebooted() {
    mend "$HOST"
    start_engine
    start_agent_of "$HOST"
}

break_same_name() { HOST=h2 run_service "$VICTIM"; }
heal_same_name() { HOST=h2 d rm -f "$VICTIM"; }

# requests CLIENT FIRST COUNT yes|no: for so many containers from that number on, over one connection; started, or not
requests() {
    local client=$1 first=$2 count=$3 is_started=$4 n name url=http://engine/v1.41/containers
    for ((n = first; n < first + count; n++)); do
        name=churn-$client-$n
        printf 'url = "%s/create?name=%s"\njson = "%s"\noutput = /dev/null\nnext\n' "$url" "$name" \
            '{\"Image\": \"defib-test/busybox\", \"HostConfig\": {\"NetworkMode\": \"none\"}}'
        [ "$is_started" = no ] || printf 'url = "%s/%s/start"\nrequest = POST\noutput = /dev/null\nnext\n' "$url" "$name"
        printf 'url = "%s/%s?force=1"\nrequest = DELETE\noutput = /dev/null\nwrite-out = "%%{http_code}\\n"\nnext\n' "$url" "$name"
    done | sed 's|^url = |silent\nunix-socket = "'"$(sock)"'"\n&|; $d'
}
come_and_go() {
    local n count=20 is_over=''
    [ "$2" = no ] || count=3
    trap 'is_over=1' TERM
    for ((n = 0; !is_over; n += count)); do
        requests "$1" "$n" "$count" "$2" > "$T/requests-$1"
        curl -K "$T/requests-$1" # heard to its end: its output is written then
    done
}
# churn CLIENTS yes|no
churn() {
    local number
    echo "$1" > "$T/churn-clients"
    now_ms > "$T/churn-began"
    for number in $(seq "$1"); do
        rm -f "$T/churn-$number.log"
        spawn "churn-$number" come_and_go "$number" "$2"
    done
}
break_churn() { churn 4 yes; }
break_churn_unstarted() { churn 16 no; }
heal_churn() {
    local number took_ms
    for number in $(seq "$(cat "$T/churn-clients")"); do kill -TERM "$(pid_of "churn-$number")"; done
    for number in $(seq "$(cat "$T/churn-clients")"); do wait_for 30 "! is_up churn-$number"; done
    took_ms=$(($(now_ms) - $(cat "$T/churn-began")))
    add_note "$(($(cat "$T"/churn-*.log | grep -c '^204') * 1000 / took_ms)) a second"
    d ps -aq --filter name=churn- | xargs -r docker -H "unix://$(sock)" rm -f > /dev/null
}
heal_churn_unstarted() { heal_churn; }
