# shellcheck shell=bash
# The runner of the chaos matrix: one cell is one fault (faults.sh) and one moment at which a container crashes, on a
# fleet that all cells share: two hosts, two controllers, one Redis.
#
#   h1, h2: svc-HOST-1 crashes where one does, svc-HOST-2 is well, svc-HOST-3 was stopped by its operator
#
# A cell ends when all is normal again and every alert has arrived. Then what was done is held against what was expected.

# shellcheck source=tests/fleet/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../fleet/lib.sh"
# shellcheck source=tests/chaos/faults.sh
. "$(dirname "${BASH_SOURCE[0]}")/faults.sh"

LEASE=2
REDIS_SERVERS=1
MAX_ATTEMPTS=3
FLEET_HOSTS=(h1 h2)
CONTROLLERS=(c1 c2)
HEALTHY=4
# As in production: a leader that lost everybody has given up its lease before it calls them lost.
FAST+=(AGENT_LOST_SECS=4)

INTO_FAULT_SECS=1.5

# `make chaos` makes both.
OWN_CLOCK=$BIN/tests/chaos/own_clock.so
# in front of it the runtime of a sanitizer, which wants to be the first
RUNTIME=$(ldd "$BIN/defib-agent" | sed -n 's/.* => \(.*lib[at]san\.so[^ ]*\) .*/\1/p')
NEWER_ENGINE=$ROOT/build/newer-engine

# ---- the fleet ----

# A file system of its own for each state folder: small enough to be filled.
mount_state_folder() {
    mkdir -p "$T/state-$1"
    mount -t tmpfs -o size=8m chaos "$T/state-$1"
}
unmount_state_folders() { sed -n "s|^chaos \($DIR/[^ ]*\) .*|\1|p" /proc/mounts | xargs -r umount -l; }

# Each program on a wall clock of its own, where that is built.
settings_of() { [ ! -e "$OWN_CLOCK" ] || printf '%s\n' LD_PRELOAD="${RUNTIME:+$RUNTIME:}$OWN_CLOCK" OWN_CLOCK_FILE="$T/clock-$1"; }
# set_clock NAME SECONDS: ahead of the machine's; in place, it is mapped
set_clock() { printf '%15d\n' "$2" 1<> "$T/clock-$1"; }

hear_alerts() {
    while :; do
        redis-cli -s "$T/r1.sock" subscribe system:alerts
        sleep 0.02
    done
}

chaos_up() {
    local name HOST
    for name in "${CONTROLLERS[@]}" "${FLEET_HOSTS[@]/#/agent-}"; do
        mount_state_folder "$name"
        set_clock "$name" 0
    done
    fleet_up 2 2 1 2
    spawn alerts hear_alerts
    # a running dockerd takes to live-restore by itself
    echo '{"live-restore": true}' > "$DIR/h2/daemon.json"
    HOST=h2 engine_signal HUP
    for HOST in "${FLEET_HOSTS[@]}"; do
        run_service "svc-$HOST-3"
        wait_for 20 "r exists health:hb:svc-$HOST-3:svc-$HOST-3 | grep -q 1"
        d stop "svc-$HOST-3"
        wait_for 20 "[ \"\$(r exists health:intent:svc-$HOST-3)\" = 1 ]" 'the stop is known'
    done
    wait_normal 30
}

# ---- what is normal ----

running_names() { printf 'svc-%s-1 svc-%s-2\n' h1 h1 h2 h2; }

# A controller that was frozen, or whose clock was set, does nothing for 30 s, as a standby silently.
TILT_MS=31000
was_tilted() { echo $(($(now_ms) + TILT_MS)) > "$T/tilted-until"; }

# What is not as it should be, if anything; what costs little first.
abnormal() {
    local name HOST values keys=(health:leader "${CONTROLLERS[@]/#/health:controller:}" "${FLEET_HOSTS[@]/#/health:agent:}")
    ! is_before "$(cat "$T/tilted-until" 2> /dev/null || echo 0)" || { echo 'a controller in tilt still watches' && return; }
    for name in $(running_names); do keys+=("health:hb:$name:$name"); done
    mapfile -t values < <(r mget "${keys[@]}" 2> /dev/null)
    [ "${#values[@]}" = "${#keys[@]}" ] || { echo 'Redis does not answer' && return; }
    [[ ${values[0]} =~ ^'{"id": "'([^\"]+) ]] || { echo 'nobody leads' && return; }
    local leader=${BASH_REMATCH[1]} number=0
    for name in "${keys[@]}"; do
        is_right_for "$name" "${values[number]}" || { echo "$name is ${values[number]:0:200}" && return; }
        number=$((number + 1))
    done
    [ "$(healthy_by "$leader")" = "$HEALTHY" ] || { echo "$leader counts $(healthy_by "$leader") healthy ones" && return; }
    for HOST in "${FLEET_HOSTS[@]}"; do
        [ "$(d ps --format '{{.Names}}' | sort | xargs)" = "svc-$HOST-1 svc-$HOST-2" ] || echo "other containers run on $HOST"
    done
}

# is_right_for KEY VALUE
is_right_for() {
    case $1 in
        health:controller:*) [[ $2 =~ '"state": "'(leader|standby)\" ]] ;;
        health:hb:*) [[ $2 =~ '"status": '?'"healthy"' ]] ;;
        *) [ -n "$2" ] ;;
    esac
}

wait_normal() {
    local deadline=$(($(now_ms) + $1 * 1000 * WAIT_FACTOR)) what
    until what=$(abnormal) && [ -z "$what" ]; do
        is_before "$deadline" || fail "not normal after $1 s: $what"
        sleep 0.2
    done
}

# ---- what was done ----

# A container tells of each of its starts, whoever made it; read where its Engine keeps that, which costs nothing.
starts_by_id() { grep -c '"log":"service: up' "$DIR/$HOST/data/containers/$1/$1-json.log"; }
starts_of() { starts_by_id "$(awk -v name="$1" '$2 == name { print $4 }' "$T/starts-before")"; }
# host, name, starts, id
all_starts() {
    local name id HOST
    for HOST in "${FLEET_HOSTS[@]}"; do
        d ps -a --no-trunc --filter "name=^svc-$HOST-" --format '{{.Names}} {{.ID}}' | sort |
            while read -r name id; do echo "$HOST $name $(starts_by_id "$id") $id"; done
    done
}

alert_keys() { jq -c 'select(.type != "HEALTH_SUMMARY") | [.type + (.container // .host // "" | if . == "" then . else ":" + . end), .seq, .timestamp]' 2> /dev/null | sort -u; }
# by the logs of the controllers
raised_alerts() {
    local name
    for name in "${CONTROLLERS[@]}"; do
        log_after_mark "$name" | sed -n 's/.*\(Published alert\|Alert kept for Redis\): //p'
    done | alert_keys
}
# by the channel and the stream: either may have missed what Redis lost
arrived_alerts() { { log_after_mark alerts | grep '^{'; r xrange health:events "$(cat "$T/cell-began")" + | grep '^{"type"'; } | alert_keys; }
types_of() { jq -r '.[0]' | sort; }
lost_alerts() { comm -23 <(raised_alerts) <(arrived_alerts); }

# expected_alerts FAULT MOMENT RESTARTED...: of the fault, and two for each start
expected_alerts() {
    local fault=$1 moment=$2 name alert
    shift 2
    for alert in ${ALERTS[$fault/$moment]-${ALERTS[$fault]}}; do echo "$alert"; done
    for name in "$@"; do printf '%s\n' "SERVICE_RESTARTED:$name" "SERVICE_RECOVERED:$name"; done
}

# Reads expected ones; what is missing, and what nobody expected.
judge_alerts() {
    local alert rest found
    rest=$(arrived_alerts | types_of)
    while read -r alert; do
        found=$(grep -nxF -m 1 -e "${alert%\?}" <<< "$rest" | sed 's/:.*//')
        if [[ $alert = *\* ]]; then
            rest=$(grep -vxF -e "${alert%\*}" <<< "$rest")
        elif [ -n "$found" ]; then
            rest=$(sed "${found}d" <<< "$rest")
        elif [[ $alert != *\? ]]; then
            echo "no alert $alert"
        fi
    done
    [ -z "$rest" ] || sed 's/^/unexpected alert /' <<< "$rest"
}

attempts_of() { r get "health:restart:$1" 2> /dev/null | jq -Rr 'fromjson? // {} | .attempt_count // 0'; }
# who tried how often: c1 2
tried_by() {
    local name count
    for name in "${CONTROLLERS[@]}"; do
        count=$(count_log "$name" "Attempting restart of $1 ")
        [ "$count" = 0 ] || printf '%s×%s ' "$name" "$count"
    done
}

descriptors() {
    local name pid
    for name in "${CONTROLLERS[@]}" "${FLEET_HOSTS[@]/#/agent-}"; do
        pid=$(pid_of "$name")
        echo "$name $pid $(find "/proc/$pid/fd" -mindepth 1 2> /dev/null | wc -l)"
    done
}

wall_ms() { date -d "$1" +%s%3N; }
# tenths of a second since then
secs() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }

# ---- a cell ----

is_said_by_one() {
    local name
    for name in "${CONTROLLERS[@]}"; do ! log_has "$name" "$1" || return 0; done
    return 1
}

# What an operator does, and it is heard: else a fault of Redis that comes at once brings the attempts back.
fresh_budgets() {
    local name had=()
    for name in $(running_names); do [ "$(attempts_of "$name")" = 0 ] || had+=("$name"); done
    # shellcheck disable=SC2046  # words
    r del $(running_names | sed 's/[^ ]*/health:restart:&/g') > /dev/null
    for name in "${had[@]}"; do
        wait_for 5 "is_said_by_one 'restart state of $name was deleted'"
    done
}

note_before() {
    local name
    for name in "${CONTROLLERS[@]}" "${FLEET_HOSTS[@]/#/agent-}" alerts; do log_mark "$name"; done
    fresh_budgets
    rm -f "$T/r1/dump.rdb"
    on_redis r1 save > /dev/null
    mv "$T/r1/dump.rdb" "$T/r1/old.rdb"
    now_ms > "$T/cell-began"
    rm -f "$T/crashed" "$T/healed" "$T/note"
    all_starts > "$T/starts-before"
    descriptors > "$T/descriptors-before"
    d inspect -f '{{.State.Pid}}' "$VICTIM" > "$T/victim-pid"
}

# One that the fault has ended already cannot crash.
crash_victim() {
    now_ms > "$T/crashed"
    kill -KILL "$(cat "$T/victim-pid")" 2> /dev/null || true
}
crash_victim_again() {
    wait_for 40 "is_running $VICTIM" "$VICTIM runs when the fault is over"
    d inspect -f '{{.State.Pid}}' "$VICTIM" > "$T/victim-pid"
    # its start is told of before it ends
    wait_for 10 "[ \$(starts_of $VICTIM) -ge $1 ]"
    crash_victim
}
is_healed() { [ "$(starts_of "$VICTIM")" -gt "$(cat "$T/victim-starts")" ]; }

# into the row
add_note() { printf '%s%s' "$([ ! -e "$T/note" ] || printf ', ')" "$1" >> "$T/note"; }

# A container that dies in the instant in which its dockerd does is sometimes lost by Docker (20.10, containerd 1.6): a shim
# is left that belongs to nobody, or the folder of one, and every start fails. defib tells so; then an operator ends the
# shim or removes the folder, and resets.
is_shim_left() { log_has "agent-$HOST" "start of $VICTIM: docker_error.*already exists"; }
bundle_left() {
    local LOG_LINES line
    read_log "agent-$HOST"
    for line in "${LOG_LINES[@]}"; do
        [[ ! $line =~ start\ of\ $VICTIM:\ docker_error.*mkdir\ (/[^:]*/[0-9a-f]{64}):\ file\ exists ]] || echo "${BASH_REMATCH[1]}"
    done | tail -n 1
}
is_lost_by_docker() { is_shim_left || [ -n "$(bundle_left)" ]; }
help_docker() {
    local bundle
    wait_for 20 "is_running $VICTIM || is_lost_by_docker" "$VICTIM runs, or Docker cannot start it"
    is_lost_by_docker || return 0
    bundle=$(bundle_left)
    pgrep -f "containerd-shim.* -id $(id_of "$VICTIM")" | xargs -r kill -KILL
    [ -z "$bundle" ] || rm -rf --one-file-system "$bundle"
    wait_for 10 "is_said_by_one 'Service $VICTIM exhausted'"
    on_redis r1 del "health:restart:$VICTIM"
    add_note "$([ -n "$bundle" ] && echo 'the folder of a shim that Docker had left was removed by hand' || echo 'a shim that Docker had left was ended by hand')"
}

strike() {
    local fault=$1 moment=$2 function=${1//-/_} began starts
    starts=$(awk -v name="$VICTIM" '$2 == name { print $3 }' "$T/starts-before")
    echo "$starts" > "$T/victim-starts"
    [ "$moment" != before ] || crash_victim
    began=$(now_ms)
    "break_$function"
    if [ "$moment" = during ]; then
        sleep "$INTO_FAULT_SECS"
        crash_victim
    fi
    # it lasts until the container runs again, where that is possible
    if [[ $moment = before || $moment = during ]] && [ "${HEALED[$fault]}" = during ]; then
        wait_for 25 is_healed "$VICTIM is healed while it lasts"
    fi
    while is_before $((began + $(ms "${LASTS[$fault]}"))); do sleep 0.1; done
    [ "$moment" != during ] || [ "${HEALED[$fault]}" != after ] || [ "$HOST_IS_BLIND" = 1 ] || ! is_healed || fail "$VICTIM was healed while it lasted: that was thought impossible"
    "heal_$function"
    now_ms > "$T/healed"
    [[ $fault != *engine* ]] || help_docker
    [ "$moment" != after ] || crash_victim_again $((starts + $([ "${RESTARTS[$fault]}" = host ] && echo 1 || echo 0)))
}

# how often NAME of HOST should have been started
expected_starts() {
    local fault=$1 moment=$2 name=$3 count=0
    [[ $name != *-3 ]] || { echo 0 && return; }
    [ "${RESTARTS[$fault]}" != host ] || [[ $name != svc-${HOST_OF[$fault]}-* ]] || count=1
    if [ "$name" = "$VICTIM" ]; then
        case $moment in
            before | during) count=1 ;;
            after) count=$((count + 1)) ;;
        esac
    fi
    echo "$count"
}

judge() {
    local fault=$1 moment=$2 host name was id now count wanted restarted=() attempts pid
    all_starts > "$T/starts-after"
    while read -r host name was id; do
        now=$(HOST=$host starts_by_id "$id")
        count=$((now - was))
        wanted=$(expected_starts "$fault" "$moment" "$name")
        [ "$count" = "$wanted" ] || echo "$name was started $count times, not $wanted"
        grep -q "^$host $name [0-9]* $id\$" "$T/starts-after" || echo "$name is another container"
        [[ $name != *-3 ]] || ! HOST=$host is_running "$name" || echo "$name runs, though it was stopped"
        while [ "$count" -gt 0 ]; do restarted+=("$name") && count=$((count - 1)); done
        [[ $name = *-3 ]] || attempts=$(attempts_of "$name")
        [ "${attempts:-0}" -le "$MAX_ATTEMPTS" ] || echo "$attempts attempts for $name, over its budget"
    done < "$T/starts-before"
    lost_alerts | types_of | sed 's/^/lost: /'
    expected_alerts "$fault" "$moment" "${restarted[@]}" | judge_alerts
    while read -r name pid was; do
        [ "$(pid_of "$name")" = "$pid" ] || continue
        now=$(find "/proc/$pid/fd" -mindepth 1 | wc -l)
        [ "$now" -le $((was + 4)) ] || echo "$name has $now descriptors, and had $was"
    done < "$T/descriptors-before"
}

alerts_are_here() {
    local fault=$1 moment=$2 host name was id count wanted=()
    while read -r host name was id; do
        count=$(expected_starts "$fault" "$moment" "$name")
        while [ "$count" -gt 0 ]; do wanted+=("$name") && count=$((count - 1)); done
    done < "$T/starts-before"
    [ -z "$(lost_alerts)" ] && not grep -q '^no alert' <(expected_alerts "$fault" "$moment" "${wanted[@]}" | judge_alerts)
}

# Row of the table: fault, moment, starts of the victim, by whom, attempts stored, alerts, seconds, verdict, the fault's note.
write_row() {
    local fault=$1 moment=$2 verdict=$3 name host was id starts=() took='' count
    while read -r host name was id; do
        count=$(($(HOST=$host starts_by_id "$id") - was))
        [ "$count" = 0 ] || starts+=("$name×$count")
    done < "$T/starts-before"
    if [ -e "$T/crashed" ]; then
        local started
        started=$(wall_ms "$(started_at "$VICTIM")")
        took="$(secs $((started - $(cat "$T/crashed"))))"
        [ "$started" -le "$(cat "$T/healed")" ] || [ "$moment" = after ] || took+=" ($(secs $((started - $(cat "$T/healed")))) after the end)"
    fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$fault" "$moment" "${starts[*]:-none}" "$(tried_by "$VICTIM" | xargs)" \
        "$(attempts_of "$VICTIM")" "$(arrived_alerts | types_of | uniq -c | awk '{ print $2 ($1 > 1 ? "×" $1 : "") }' | xargs)" \
        "$took" "${verdict:-ok}" "$(cat "$T/note" 2> /dev/null)" > "$T/row"
}

cell() {
    local fault=$1 moment=$2 verdict
    note_before
    strike "$fault" "$moment"
    wait_normal 60
    (wait_for 15 "alerts_are_here $fault $moment") 2> /dev/null || true
    # a late miss, a late alert
    sleep 2
    wait_normal 5
    verdict=$(judge "$fault" "$moment" | paste -sd ';' | sed 's/;/; /g')
    write_row "$fault" "$moment" "$verdict"
    [ -z "$verdict" ]
}

# run_cell FAULT MOMENT: one line on stdout; its row is appended to $DIR/rows. 2: the fleet is not itself again.
run_cell() {
    local fault=$1 moment=$2 result=ok began
    began=$(now_ms)
    HOST=${HOST_OF[$fault]}
    VICTIM=svc-$HOST-1
    HOST_IS_BLIND=0
    [ "${RESTARTS[$fault]}" = none ] && [[ $fault != *engine* ]] || HOST_IS_BLIND=1
    rm -f "$T/row"
    (set -e && cell "$fault" "$moment") > "$T/cell.out" 2>&1 || result='not ok'
    [ -e "$T/row" ] || printf '%s\t%s\t\t\t\t\t\t%s\n' "$fault" "$moment" "$(grep '^FAIL' "$T/cell.out" | tail -n 1 | sed 's/^FAIL: //; s/ ([^()]*)$//')" > "$T/row"
    cat "$T/row" >> "$DIR/rows"
    echo "$result $fault, crash $moment ($((($(now_ms) - began) / 1000)) s)$(awk -F '\t' '$8 != "ok" { print ": " $8 } $8 == "ok" && $7 { sub(/ /, " s ", $7); print ": healed after " $7 ($7 ~ /s/ ? "" : " s") }' "$T/row")"
    [ "$result" != ok ] || return 0
    cat "$T/cell.out" >> "$DIR/shortfalls"
    [ -z "$(abnormal)" ] || { { [ -e "$T/healed" ] || "heal_${fault//-/_}"; } && (wait_normal 90); } >> "$T/cell.out" 2>&1 || return 2
    return 1
}
