/* What leads from controllers to agents and back. */
#include <stdlib.h>

#include "common/memory.h"
#include "tests/sim/sim.h"

enum { FROZEN_MAX = 256 };

struct message {
    int controller, host;
    struct process *to;
    uint64_t life;
    event_fn fn, drop;
    void *arg;
};

static struct message *frozen[NODES_MAX][HOSTS_MAX][FROZEN_MAX];
static int frozen_count[NODES_MAX][HOSTS_MAX];

static void message_drop(void *arg)
{
    struct message *message = arg;
    message->drop(message->arg);
    free(message);
}

static void on_message(void *arg)
{
    struct message message = *(struct message *)arg;
    free(arg);
    message.fn(message.arg);
}

static void deliver(struct message *message, int64_t ms)
{
    sim_at(sim->now + ms, message->to, on_message, message_drop, message);
}

static void send_one(struct message *message)
{
    const struct link_state *link = &sim->links[message->controller][message->host];
    int *count = &frozen_count[message->controller][message->host];
    if (link->is_frozen && *count < FROZEN_MAX) {
        frozen[message->controller][message->host][(*count)++] = message;
        return;
    }
    if (link->is_cut || link->is_frozen || dice_hits(&sim->dice, link->loss)) {
        message_drop(message);
        return;
    }
    deliver(message, link->delay_ms + dice_below(&sim->dice, link->spread_ms + 1));
}

static struct message *message_new(int controller, int host, struct process *to, event_fn fn, event_fn drop,
                                   void *arg)
{
    struct message *message = memory_alloc(sizeof *message);
    *message = (struct message){controller, host, to, to->life, fn, drop, arg};
    return message;
}

void net_send(int controller, int host, struct process *to, event_fn fn, event_fn drop,
              void *(*copy)(const void *arg), void *arg)
{
    bool is_twice = dice_hits(&sim->dice, sim->links[controller][host].twice);
    void *again = is_twice ? copy(arg) : NULL;
    send_one(message_new(controller, host, to, fn, drop, arg));
    if (is_twice) {
        send_one(message_new(controller, host, to, fn, drop, again));
    }
}

void net_thaw(int controller, int host)
{
    int count = frozen_count[controller][host];
    frozen_count[controller][host] = 0;
    for (int i = 0; i < count; i++) {
        struct message *message = frozen[controller][host][i];
        if (message->life != message->to->life) {
            message_drop(message);
        } else {
            deliver(message, 1 + dice_below(&sim->dice, 5));
        }
    }
}

void net_clear(void)
{
    for (int controller = 0; controller < NODES_MAX; controller++) {
        for (int host = 0; host < HOSTS_MAX; host++) {
            for (int i = 0; i < frozen_count[controller][host]; i++) {
                message_drop(frozen[controller][host][i]);
            }
            frozen_count[controller][host] = 0;
        }
    }
}
