#include "controller/core/dependencies.h"

#include <stdio.h>
#include <string.h>

#include "common/memory.h"

enum { WALK_MAX = 64, SECONDS_LEN = 19 }; /* of "2026-01-23T19:05:30" */

static const int64_t SEEN_APART_MS = 60000; /* words of one host may be that much out of order */

/* ---- times ---- */

static bool is_start(const char *text)
{
    static const char form[] = "0000-00-00T00:00:00";
    for (size_t i = 0; i < SECONDS_LEN; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (form[i] == '0' ? !is_digit : text[i] != form[i]) {
            return false;
        }
    }
    size_t digits = text[SECONDS_LEN] == '.' ? strspn(text + SECONDS_LEN + 1, "0123456789") + 1 : 0;
    return digits != 1 && strcmp(text + SECONDS_LEN + digits, "Z") == 0;
}

/* '0' behind its end. */
static int digit_at(const char *fraction, size_t i)
{
    return i < strspn(fraction, "0123456789") ? fraction[i] : '0';
}

int dependencies_compare_starts(const char *left, const char *right)
{
    if (!is_start(left) || !is_start(right)) {
        return 0;
    }
    int order = memcmp(left, right, SECONDS_LEN);
    const char *fractions[] = {left + SECONDS_LEN, right + SECONDS_LEN};
    for (int side = 0; side < 2; side++) {
        fractions[side] += *fractions[side] == '.';
    }
    size_t left_len = strlen(fractions[0]);
    size_t right_len = strlen(fractions[1]);
    for (size_t i = 0; order == 0 && i < left_len + right_len; i++) {
        order = digit_at(fractions[0], i) - digit_at(fractions[1], i);
    }
    return order;
}

/* ---- hard edges ---- */

static bool has_parent(const struct container *child)
{
    return child->edges && child->edges->parent_id[0] && child->host;
}

static struct container *find_parent(const struct container *child)
{
    const char *id = child->edges->parent_id;
    for (struct container *each = child->host->containers; each; each = each->host_next) {
        bool is_likely = each->container_id[0] == id[0] && each->container_id[1] == id[1]; /* most are not */
        if (is_likely && each != child && strcmp(each->container_id, id) == 0) {
            return each;
        }
    }
    return NULL;
}

struct container *dependencies_parent(const struct container *child)
{
    if (!has_parent(child)) {
        return NULL;
    }
    struct edges *edges = child->edges;
    if (edges->parent_found_at != child->host->members) {
        edges->parent = find_parent(child);
        edges->parent_found_at = child->host->members;
    }
    return edges->parent;
}

bool dependencies_is_parent_gone(const struct container *child)
{
    bool was_known = has_parent(child) && (child->edges->parent_name || child->edges->is_parent_missed);
    return was_known && !dependencies_parent(child);
}

bool dependencies_has_failed_ancestor(const struct container *container)
{
    const struct container *each = container;
    for (int steps = 0; steps < WALK_MAX; steps++) {
        if (dependencies_is_parent_gone(each)) {
            return true;
        }
        each = dependencies_parent(each);
        if (!each || each == container) {
            return false;
        }
        if (each->policy.state != STATE_UP) {
            return true;
        }
    }
    return true; /* deeper than any real one, or a cycle that we are not part of */
}

/* ---- soft edges ---- */

struct soft_edge {
    char name[LIMIT_NAME_SIZE];
    bool is_restart;
};

/* Takes the next of "db,cache:restart"; false at the end. */
static bool next_edge(const char **rest, struct soft_edge *out)
{
    static const char suffix[] = ":restart";
    size_t suffix_len = sizeof suffix - 1;
    while (**rest != '\0') {
        const char *part = *rest;
        size_t len = strcspn(part, ",");
        *rest += len + (part[len] == ',');
        out->is_restart = len > suffix_len && memcmp(part + len - suffix_len, suffix, suffix_len) == 0;
        len -= out->is_restart ? suffix_len : 0;
        if (len > 0 && len < sizeof out->name) {
            memcpy(out->name, part, len);
            out->name[len] = '\0';
            return true;
        }
    }
    return false;
}

static const char *compose_service(const struct container *container)
{
    const struct edges *edges = container->edges;
    if (!edges || !edges->project) {
        return NULL;
    }
    return edges->compose_service ? edges->compose_service : container->service;
}

static bool is_called(const struct container *child, const struct container *other, const char *name)
{
    if (strcmp(other->name, name) == 0) {
        return true;
    }
    const char *service = compose_service(other);
    return service && compose_service(child) && strcmp(child->edges->project, other->edges->project) == 0 &&
           strcmp(service, name) == 0;
}

/* ---- cascades ---- */

struct walk {
    const struct container *seen[WALK_MAX];
    size_t count, next;
};

static bool visit(struct walk *walk, const struct container *container)
{
    for (size_t i = 0; i < walk->count; i++) {
        if (walk->seen[i] == container) {
            return true;
        }
    }
    if (walk->count == WALK_MAX) {
        return false;
    }
    walk->seen[walk->count++] = container;
    return true;
}

/* Everything that a restart of it would follow, one step up; false where there is no room. */
static bool visit_parents(struct walk *walk, const struct container *child)
{
    const struct container *parent = dependencies_parent(child);
    bool has_room = !parent || visit(walk, parent);
    if (!has_room || !child->host || !child->edges || !child->edges->depends_on) {
        return has_room;
    }
    const char *rest = child->edges->depends_on;
    struct soft_edge edge;
    while (has_room && next_edge(&rest, &edge)) {
        const struct container *each = edge.is_restart ? child->host->containers : NULL;
        for (; has_room && each; each = each->host_next) {
            has_room = each == child || !is_called(child, each, edge.name) || visit(walk, each);
        }
    }
    return has_room;
}

/* Would a restart of the child come back to the parent that caused it? More than can be looked at counts as
 * a cycle: no cascade is better than one without an end. */
static bool is_cycle(const struct container *child, const struct container *parent)
{
    struct walk walk = {.count = 0};
    visit(&walk, parent);
    while (walk.next < walk.count) {
        if (walk.seen[walk.next] == child || !visit_parents(&walk, walk.seen[walk.next])) {
            return true;
        }
        walk.next++;
    }
    return false;
}

/* Was it seen to start anew well after the other was there already? */
static bool is_seen_later(const struct container *container, const struct container *other)
{
    return container->has_restarted &&
           mono_diff(container->incarnation_at, other->incarnation_at) > SEEN_APART_MS;
}

/* Their starts bear the time of a clock that may have been set between them: what was seen comes first, and a
 * start that is still to come shows that it was set back. */
static bool has_started_later(const struct container *parent, const struct container *child)
{
    if (is_seen_later(parent, child)) {
        return true;
    }
    return !is_seen_later(child, parent) && !parent->is_start_ahead &&
           dependencies_compare_starts(parent->incarnation, child->incarnation) > 0;
}

static bool is_later(const struct container *parent, const struct container *child)
{
    return parent->state == CONTAINER_RUNNING &&
           strcmp(parent->incarnation, child->edges->repaired_for) != 0 && has_started_later(parent, child) &&
           !is_cycle(child, parent);
}

static const struct container *restarted_dependency(const struct container *child)
{
    struct edges *edges = child->edges;
    const char *rest = edges->depends_on ? edges->depends_on : "";
    struct soft_edge edge;
    bool has_any = false;
    if (edges->none_restarted_at == child->host->members) {
        return NULL;
    }
    while (next_edge(&rest, &edge)) {
        const struct container *each = edge.is_restart ? child->host->containers : NULL;
        for (; each; each = each->host_next) {
            bool is_parent = each != child && each->has_restarted && is_called(child, each, edge.name);
            has_any = has_any || is_parent;
            if (is_parent && is_later(each, child)) {
                return each;
            }
        }
    }
    edges->none_restarted_at = has_any ? 0 : child->host->members;
    return NULL;
}

enum failure_cause dependencies_stale(const struct container *child, const struct container **parent)
{
    if (!child->edges || !child->edges->is_dependent || child->state != CONTAINER_RUNNING) {
        return CAUSE_NONE;
    }
    const struct container *hard = dependencies_parent(child);
    if (hard && is_later(hard, child)) {
        *parent = hard;
        return CAUSE_STALE_NETWORK;
    }
    const struct container *soft = restarted_dependency(child);
    if (!soft) {
        return CAUSE_NONE;
    }
    *parent = soft;
    return CAUSE_DEPENDENCY;
}

/* ---- people ---- */

/* As Docker knows it: DEFIB_NAME_PREFIX=auto put "<host>/" in front. */
static const char *docker_name(const struct container *container, const char *name)
{
    size_t len = container->host ? strlen(container->host->name) : 0;
    bool is_prefixed = len > 0 && strncmp(name, container->host->name, len) == 0 && name[len] == '/';
    return is_prefixed ? name + len + 1 : name;
}

void dependencies_recreate_command(const struct container *child, char out[LIMIT_DETAIL_SIZE])
{
    const char *service = compose_service(child);
    if (service) {
        snprintf(out, LIMIT_DETAIL_SIZE, "docker compose -p %.100s up -d --force-recreate %.100s",
                 child->edges->project, service);
        return;
    }
    const char *parent = child->edges && child->edges->parent_name ? child->edges->parent_name : "PARENT";
    snprintf(out, LIMIT_DETAIL_SIZE,
             "docker rm -f %.80s, then docker run as before with --network container:%.80s",
             docker_name(child, child->name), docker_name(child, parent));
}
