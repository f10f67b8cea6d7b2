#include "controller/core/decider_hold.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_judge.h"
#include "controller/core/decider_step.h"

struct holds {
    char *kind, *name;
    struct mono until;
    struct holds *next;
};

static struct holds **find(struct decider *decider, const char *kind, const char *name)
{
    struct holds **place = &decider->holds;
    while (*place && (strcmp((*place)->kind, kind) != 0 || strcmp((*place)->name, name) != 0)) {
        place = &(*place)->next;
    }
    return place;
}

static bool matches(const struct holds *hold, const struct container *container)
{
    if (strcmp(hold->kind, "all") == 0) {
        return true;
    }
    if (strcmp(hold->kind, "container") == 0) {
        return strcmp(hold->name, container->name) == 0;
    }
    if (strcmp(hold->kind, "service") == 0) {
        return container->service && strcmp(hold->name, container->service) == 0;
    }
    return strcmp(hold->kind, "host") == 0 && container->host &&
           strcmp(hold->name, container->host->name) == 0;
}

bool decider_hold_covers(const struct decider *decider, const struct container *container)
{
    for (const struct holds *each = decider->holds; each; each = each->next) {
        if (matches(each, container)) {
            return true;
        }
    }
    return false;
}

struct mono decider_hold_end(const struct decider *decider, const struct container *container)
{
    struct mono end = {0};
    for (const struct holds *each = decider->holds; each; each = each->next) {
        if (matches(each, container) && each->until.ms > end.ms) {
            end = each->until;
        }
    }
    return end;
}

void decider_hold_apply(struct decider *decider, struct container *container)
{
    bool is_held = decider_hold_covers(decider, container);
    if (is_held == container->is_held) {
        return;
    }
    container->is_held = is_held;
    if (is_held) {
        decider_step_event(decider, container, &(struct policy_event){.kind = EVENT_HOLD, .reason = "hold"});
        return;
    }
    decider_step_kind(decider, container, EVENT_RELEASE);
    decider_judge_again(decider, container);
}

static void apply_all(struct decider *decider)
{
    decider->holds_at = MONO_NEVER;
    for (const struct holds *each = decider->holds; each; each = each->next) {
        decider->holds_at = mono_min(decider->holds_at, each->until);
    }
    struct container *next = NULL;
    for (struct container *each = liveness_first(&decider->liveness); each; each = next) {
        next = liveness_next(each);
        decider_hold_apply(decider, each);
    }
}

void decider_hold_set(struct decider *decider, const char *kind, const char *name, struct wall until)
{
    struct holds **place = find(decider, kind, name);
    if (!*place) {
        *place = memory_alloc(sizeof **place);
        (*place)->kind = memory_copy_text(kind);
        (*place)->name = memory_copy_text(name);
    }
    (*place)->until = until.ms == 0 ? MONO_NEVER : mono_add(decider->now, until.ms - decider->wall.ms);
    apply_all(decider);
}

static void drop(struct holds **place)
{
    struct holds *hold = *place;
    *place = hold->next;
    free(hold->kind);
    free(hold->name);
    free(hold);
}

void decider_hold_clear(struct decider *decider, const char *kind, const char *name)
{
    struct holds **place = find(decider, kind, name);
    if (!*place) {
        return;
    }
    drop(place);
    apply_all(decider);
}

void decider_hold_due(struct decider *decider)
{
    if (!mono_reached(decider->now, decider->holds_at)) {
        return;
    }
    struct holds **place = &decider->holds;
    while (*place) {
        if (mono_reached(decider->now, (*place)->until)) {
            drop(place);
        } else {
            place = &(*place)->next;
        }
    }
    apply_all(decider);
}

void decider_hold_each(const struct decider *decider,
                       void (*visit)(void *arg, const char *kind, const char *name, struct wall until),
                       void *arg)
{
    for (const struct holds *each = decider->holds; each; each = each->next) {
        bool is_lasting = each->until.ms == MONO_NEVER.ms;
        visit(arg, each->kind, each->name,
              (struct wall){is_lasting ? 0 : decider->wall.ms + mono_diff(each->until, decider->now)});
    }
}

void decider_hold_fini(struct decider *decider)
{
    while (decider->holds) {
        drop(&decider->holds);
    }
}
