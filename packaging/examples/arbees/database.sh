#!/bin/sh
# Stands in for Postgres: answers a start-up message as one does that asks for no password. With /tmp/refuse in place it is not
# there. Runs under nc, once for each connection; as `database.sh serve` it starts that.
if [ "${1:-}" = serve ]; then
    while :; do
        if [ -e /tmp/refuse ]; then
            sleep 0.2
        else
            nc -l -p 5432 -e /database.sh
        fi
    done
fi
dd bs=8 count=1 2> /dev/null > /dev/null
printf 'R\000\000\000\010\000\000\000\000'
