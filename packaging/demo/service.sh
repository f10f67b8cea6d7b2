#!/bin/sh
# A service that runs until it is told to end.
trap 'exit 0' TERM INT
while :; do
    sleep 3600 &
    wait $!
done
