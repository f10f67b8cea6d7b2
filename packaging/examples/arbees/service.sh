#!/bin/sh
# Stands in for one of Arbees' services: beats for itself through defib-beat, with the checks and metrics that its kind has
# in the runbook (BEAT_CHECKS, BEAT_METRICS), until it is told to end. It fails in whatever way somebody asks for:
#   /tmp/crash     ends at start-up (the runbook's Test 2)
#   /tmp/hang      goes on beating, but its metrics stand still
#   /tmp/silent    beats no more, and does not end either
#   BOOT_SECS=n    takes so long to come up, and says `starting` meanwhile
if [ -e /tmp/crash ]; then
    echo "invalid configuration in /tmp/crash: $(cat /tmp/crash)" >&2
    exit 1
fi
rm -f /tmp/hang /tmp/silent /tmp/beat
beat=
# The end of its input makes the publisher say `stopping`.
end() {
    echo "${SERVICE_NAME:-service} ends"
    if [ -n "$beat" ]; then
        exec 3>&-
        kill -CONT "$beat" 2> /dev/null
        wait "$beat"
    fi
    exit 0
}
trap end TERM INT

# One that has nothing to say (api, frontend, vpn, database) is a service for the agent's probes.
if [ -z "${BEAT_CHECKS:-}" ]; then
    echo "${SERVICE_NAME:-service} is up"
    [ -z "${SERVE:-}" ] || sh -c "$SERVE" &
    while :; do
        sleep 3600 &
        wait $!
    done
fi

mkfifo /tmp/beat
defib-beat --service "$SERVICE_NAME" --instance "$INSTANCE" --program-version 1.0 --status starting --stdin < /tmp/beat &
beat=$!
exec 3> /tmp/beat
rest() {
    sleep "$1" &
    wait $!
}
rest "${BOOT_SECS:-0}"
for check in $BEAT_CHECKS; do echo "check $check=true" >&3; done
echo "status healthy" >&3
echo "$SERVICE_NAME is up"
count=0
while :; do
    if [ -e /tmp/silent ]; then kill -STOP "$beat"; fi
    if [ ! -e /tmp/hang ]; then
        count=$((count + 1))
        for metric in ${BEAT_METRICS:-}; do
            case $metric in
            *=*) echo "metric $metric" ;;
            *) echo "metric $metric=$count" ;;
            esac
        done >&3
    fi
    rest 1
done
