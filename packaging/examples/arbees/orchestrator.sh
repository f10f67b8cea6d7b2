#!/bin/sh
# The orchestrator's container runs both programs: the supervisor, and the agent of this host beside it (the
# one that the runbook's "Docker socket is mounted" is for). The agent is started again for ever; the
# container lives and dies with the supervisor, and Docker's own restart policy brings it back.
while :; do
    defib-agent
    echo "defib-agent ended with $?, starting it again" >&2
    sleep 1
done &
exec defib-controller
