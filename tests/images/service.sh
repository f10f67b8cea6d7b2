#!/bin/sh
# Main process of the stand-in service: does nothing, and fails in whatever way a test asks for.
#   /tmp/crash exists   ends at once (the runbook's Test 2)
#   BOOT_SECS=n         sleeps before anything else
#   CRASH_AFTER=n       ends by itself after n seconds
#   EXIT_CODE=n         how it ends then (default 1)
#   IGNORE_TERM=1       SIGTERM does nothing, so that a stop takes its whole timeout
if [ -e /tmp/crash ]; then
    echo "service: crashing, /tmp/crash exists" >&2
    exit "${EXIT_CODE:-1}"
fi
if [ "${IGNORE_TERM:-0}" = 1 ]; then
    trap '' TERM
else
    trap 'echo "service: ends in order"; exit 0' TERM INT
fi
# A sleep in the foreground would keep the trap waiting; wait does not.
rest() {
    sleep "$1" &
    wait $!
}
[ -z "${BOOT_SECS:-}" ] || rest "$BOOT_SECS"
echo "service: up"
if [ -n "${CRASH_AFTER:-}" ]; then
    rest "$CRASH_AFTER"
    exit "${EXIT_CODE:-1}"
fi
while :; do rest 3600; done
