#!/bin/sh
# analyzer.sh CC FLAGS...: gcc's static analyzer over every module; exit 1 for a finding that is not known to be false.
#
# It takes some ten minutes of CPU, most of them for decider_attempt.c. Known to be false: the buckets of a hash that uthash makes
# larger are nobody's variable, and leak to the analyzer's mind; and, by file and kind, what a function wrote through a
# pointer on success it does not believe to be there.
set -eu
KNOWN_FALSE='
controller/restart_store.c use-of-uninitialized-value
controller/serve/http_server.c use-after-free
controller/serve/listen_socket.c use-of-uninitialized-value
common/beat/beat_document.c null-dereference
common/rpc_tls.c null-argument
'
findings=$(find agent common controller proto -name '*.c' -print0 |
    xargs -0 -n 1 -P "$(nproc)" "$@" -O1 -fanalyzer -fdiagnostics-plain-output -S -o /dev/null 2>&1 |
    sed -n 's/^\([^:]*\):\([0-9]*\):[0-9]*: warning: \(.*\) \[-Wanalyzer-\([a-z-]*\)\]$/\1 \4 \2 \3/p' | sort -u |
    while read -r file kind line text; do
        case "$kind $text" in 'malloc-leak leak of '*'<unknown>'*) ! grep -q HASH_ADD "$file" || continue ;; esac
        case "$KNOWN_FALSE" in *"
$file $kind
"*) ;;
        *) echo "$file:$line: $text [$kind]" ;;
        esac
    done)
[ -z "$findings" ] || { echo "$findings"; exit 1; }
