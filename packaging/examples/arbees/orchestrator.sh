#!/bin/sh
# The orchestrator's container runs both programs: the supervisor, and the agent of this host beside it (the
# one that the runbook's "Docker socket is mounted" is for). The agent is started again for ever; the
# container lives and dies with the supervisor, and Docker's own restart policy brings it back.
while :; do
    defib-agent
    echo "defib-agent ended with $?, starting it again" >&2
    sleep 1
done &
# What the orchestrator knows by itself, as every service.
defib-beat --service orchestrator --instance orchestrator-1 --check redis_ok=true --check db_ok=true \
    --check discovery_rust_ok=true --metric shards_total=1 --metric shards_healthy=1 --metric games_assigned=5 &
exec defib-controller
