#!/bin/sh
# Stands in for one of Arbees' services: runs until it is told to end. With /tmp/crash in place it fails at
# start-up, as the runbook's Test 2 wants it.
if [ -e /tmp/crash ]; then
    echo "invalid configuration in /tmp/crash: $(cat /tmp/crash)" >&2
    exit 1
fi
echo "${SERVICE_NAME:-service} is up"
trap 'echo "${SERVICE_NAME:-service} ends"; exit 0' TERM INT
while :; do
    sleep 3600 &
    wait $!
done
