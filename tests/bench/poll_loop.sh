#!/bin/sh
# The peer: a shell that asks the Engine every 5 seconds which containers are unhealthy, as docker-autoheal does.
# Less than it does, so that the comparison is in its favour: no jq, no look at the answer but whether it is empty.
#
#   poll_loop.sh ENGINE_SOCKET TIMES SECONDS     run it with busybox's sh
url='http://localhost/containers/json?filters=%7B%22health%22%3A%5B%22unhealthy%22%5D%7D'
count=0
while [ "$count" -lt "$2" ]; do
    answer=$(curl --silent --show-error --fail --max-time 30 --unix-socket "$1" "$url") || exit 1
    [ "$answer" = '[]' ] || echo "unhealthy: $answer"
    count=$((count + 1))
    sleep "$3"
done
