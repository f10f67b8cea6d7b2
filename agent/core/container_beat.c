#include "agent/core/container_beat.h"

#include "common/memory.h"
#include "common/version.h"

static enum beat_status status_of_probes(const struct container *container, enum beat_status other)
{
    return container->probe_status == BEAT_UNKNOWN ? other : heartbeat_worse(container->probe_status, other);
}

static enum beat_status status_of_health(enum container_health health)
{
    switch (health) {
    case HEALTH_STARTING:
        return BEAT_STARTING;
    case HEALTH_UNHEALTHY:
        return BEAT_UNHEALTHY;
    case HEALTH_UNKNOWN:
    case HEALTH_NONE:
    case HEALTH_HEALTHY:
    case CONTAINER_HEALTH_N:
        break;
    }
    return BEAT_HEALTHY;
}

/* Where somebody wanted it to stop, or may have, it is `stopping`; a failure is `unhealthy`. */
static enum beat_status status_of_stop(enum stop_class class)
{
    switch (class) {
    case STOP_SETTLING:
    case STOP_OWN:
    case STOP_OPERATOR:
    case STOP_SHUTDOWN:
    case STOP_COMPLETED:
        return BEAT_STOPPING;
    case STOP_UNKNOWN:
    case STOP_NONE:
    case STOP_OOM:
    case STOP_KILLED:
    case STOP_START_ERROR:
    case STOP_UNSEEN:
    case STOP_CRASH:
    case STOP_CLASS_N:
        break;
    }
    return BEAT_UNHEALTHY;
}

enum beat_status container_beat_status(const struct container *container)
{
    switch (container->state) {
    case CONTAINER_RUNNING:
        if (container->is_stopping) {
            return BEAT_STOPPING;
        }
        return status_of_probes(container, status_of_health(container->health));
    case CONTAINER_CREATED:
        return BEAT_STARTING;
    case CONTAINER_PAUSED:
        return BEAT_DEGRADED;
    case CONTAINER_RESTARTING:
        return BEAT_UNHEALTHY;
    case CONTAINER_REMOVING:
        return BEAT_STOPPING;
    case CONTAINER_EXITED:
    case CONTAINER_DEAD:
        return status_of_stop(container->stop_class);
    case CONTAINER_UNKNOWN:
    case CONTAINER_STATE_N:
        break;
    }
    return BEAT_UNKNOWN;
}

bool container_beat_is_up(const struct container *container)
{
    return container->state == CONTAINER_RUNNING || container->state == CONTAINER_PAUSED;
}

bool container_beat_is_by_agent(const struct container *container)
{
    switch (container->spec.beat_mode) {
    case BEAT_MODE_AGENT:
        return true;
    case BEAT_MODE_APP:
        return false;
    case BEAT_MODE_AUTO:
    case BEAT_MODE_N:
        break;
    }
    return !container->spec.is_app_beating;
}

static struct wall wall_of_ns(int64_t ns)
{
    return (struct wall){ns / 1000000};
}

void container_beat_fill(const struct container *container, const char *host, const char *agent, uint64_t seq,
                         struct wall now, struct heartbeat *beat)
{
    memory_set_text(beat->service, sizeof beat->service, container->service);
    memory_set_text(beat->instance_id, sizeof beat->instance_id, container->instance);
    beat->status = container_beat_status(container);
    beat->started_at = wall_of_ns(container->started_ns);
    beat->timestamp = now;
    memory_set_text(beat->version, sizeof beat->version, DEFIB_VERSION);
    memory_set_text(beat->hostname, sizeof beat->hostname, host);
    memory_set_text(beat->source, sizeof beat->source, "agent");
    memory_set_text(beat->host, sizeof beat->host, host);
    memory_set_text(beat->container, sizeof beat->container, container->name);
    memory_set_text(beat->container_id, sizeof beat->container_id, container->id);
    memory_set_text(beat->incarnation, sizeof beat->incarnation, container->incarnation);
    memory_set_text(beat->agent, sizeof beat->agent, agent);
    beat->seq = seq;
    beat->state = container->state;
    beat->health = container->health;
    beat->stop_class = container->stop_class;
    beat->is_docker_restarting = container->is_docker_restarting;
    beat->has_exit_code = container->has_exit_code;
    beat->exit_code = container->exit_code;
    beat->oom_killed = container->oom_killed;
    beat->restart_count = container->restart_count;
    beat->finished_at = wall_of_ns(container->finished_ns);
    memory_set_text(beat->error, sizeof beat->error, container->error);
    memory_set_text(beat->last_command, sizeof beat->last_command, container->last_command);
    beat->last_command_code = container->last_command_code;
    beat->last_command_unstored = container->last_command_unstored;
    beat->last_command_at = container->last_command_at;
}
