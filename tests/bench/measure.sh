#!/bin/bash
# Sourced by tests/bench/run: how things are measured, put together and said.

# CPU of live processes in ns: all their threads, to the scheduler's own precision. Threads that ended are not in it.
cpu_ns() {
    local pid files=()
    for pid in "$@"; do files+=("/proc/$pid/task/"*/schedstat); done
    awk '{ sum += $1 } END { printf "%.0f\n", sum }' "${files[@]}"
}

# memory_kib PID FIELD: of smaps_rollup
memory_kib() { awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/smaps_rollup"; }

# calc EXPRESSION [DECIMALS]
calc() { awk "BEGIN { printf \"%.${2:-2}f\\n\", $1 }"; }

# The numbers of standard input, one a line: the value below which PERCENT of them lie (nearest rank).
percentile() {
    sort -g | awk -v percent="$1" '{ value[NR] = $1 } END {
        rank = int(NR * percent / 100); if (rank < NR * percent / 100) rank++
        print value[rank < 1 ? 1 : rank] }'
}

# The middle one, or the mean of the two in the middle.
median() {
    sort -g | awk '{ value[NR] = $1 } END { print (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'
}

median_of() { printf '%s\n' "$@" | median; }

# said LINE...: into the report and onto the screen
said() { printf '%s\n' "$@" | tee -a "$REPORT"; }

# verdict VALUE LIMIT: `met` or `missed`
verdict() { awk -v value="$1" -v limit="$2" 'BEGIN { print (value <= limit) ? "met" : "**missed**" }'; }

# row WHAT OURS PEER RATIO GOAL VERDICT
row() { said "| $1 | $2 | $3 | $4 | $5 | $6 |"; }

progress() { echo "bench: $*" >&2; }

version_of() { dpkg-query -W -f '${Version}' "$1" 2> /dev/null || echo unknown; }

# The first of the packages that is installed, with its version.
library() {
    local package
    for package in "$@"; do
        if dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed'; then
            echo "$package $(version_of "$package")"
            return
        fi
    done
    echo "$1 unknown"
}

machine() {
    said "- $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(awk '/^MemTotal/ { printf "%.1f GB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r)" \
        "- $(. /etc/os-release && echo "$PRETTY_NAME"), Docker Engine $(d version -f '{{.Server.Version}}'), $(redis-server --version | sed 's/.*v=\([^ ]*\).*/Redis \1/'), $(cc --version | head -n 1)" \
        "- $(library libcurl4t64 libcurl4), $(library libnng1), $(library libhiredis1.1.0 libhiredis0.14), $(library libuv1t64 libuv1), $(library libmsgpack-c2 libmsgpackc2), $(library libcjson1), $(library libssl3t64 libssl3)"
}
