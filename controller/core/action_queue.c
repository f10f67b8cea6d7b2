#include "controller/core/action_queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

struct action_entry {
    struct action action;
    struct action_entry *next;
};

static char *keep_text(const char *text)
{
    return memory_copy_text(text ? text : "");
}

static void *keep(const void *thing, size_t size)
{
    return thing ? memcpy(memory_alloc(size), thing, size) : NULL;
}

static struct restart_state *keep_state(const struct restart_state *state)
{
    if (!state) {
        return NULL;
    }
    struct restart_state *copy = memory_alloc(sizeof *copy);
    restart_state_copy(state, copy);
    return copy;
}

static void free_entry(struct action_entry *entry)
{
    if (!entry) {
        return;
    }
    struct action *action = &entry->action;
    if (action->state) {
        restart_state_fini((struct restart_state *)(uintptr_t)action->state);
    }
    const void *owned[] = {action->container, action->host,  action->service, action->instance, action->text,
                           action->state,     action->alert, action->record,  action->command};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        free((void *)(uintptr_t)owned[i]);
    }
    free(entry);
}

void action_queue_fini(struct action_queue *queue)
{
    free_entry(queue->given);
    while (queue->first) {
        struct action_entry *next = queue->first->next;
        free_entry(queue->first);
        queue->first = next;
    }
    *queue = (struct action_queue){0};
}

void action_queue_add(struct action_queue *queue, const struct action *action)
{
    struct action_entry *entry = memory_alloc(sizeof *entry);
    entry->action = *action;
    entry->action.container = keep_text(action->container);
    entry->action.host = keep_text(action->host);
    entry->action.service = keep_text(action->service);
    entry->action.instance = keep_text(action->instance);
    entry->action.text = keep_text(action->text);
    entry->action.state = keep_state(action->state);
    entry->action.command = keep(action->command, sizeof *action->command);
    entry->action.alert = keep(action->alert, sizeof *action->alert);
    entry->action.record = keep(action->record, sizeof *action->record);
    if (queue->last) {
        queue->last->next = entry;
    } else {
        queue->first = entry;
    }
    queue->last = entry;
    queue->added++;
}

const struct action *action_queue_next(struct action_queue *queue)
{
    free_entry(queue->given);
    queue->given = queue->first;
    if (!queue->first) {
        return NULL;
    }
    queue->first = queue->first->next;
    if (!queue->first) {
        queue->last = NULL;
    }
    return &queue->given->action;
}
