#include "controller/replay/replay_deeds.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/timestamp.h"
#include "proto/journal.h"
#include "proto/json_reader.h"
#include "proto/limits.h"

enum { TEXT_SIZE = 512 };

void replay_deeds_fini(struct replay_deeds *deeds)
{
    for (size_t i = 0; i < deeds->count; i++) {
        free(deeds->items[i].subject);
        free(deeds->items[i].what);
        free(deeds->items[i].why);
    }
    free(deeds->items);
    *deeds = (struct replay_deeds){0};
}

/* ---- reading documents ---- */

static const char *text_of(const struct cJSON *document, const char *name)
{
    const char *text = journal_text(document, name);
    return text != NULL ? text : "";
}

static long long number_of(const struct cJSON *document, const char *name)
{
    int64_t value = 0;
    json_reader_signed(json_reader_member(document, name), 0, INT32_MAX, &value);
    return (long long)value;
}

static void put(struct replay_deeds *deeds, const struct replay_deed *deed)
{
    if (deeds->count == deeds->size) {
        deeds->size = deeds->size == 0 ? 64 : 2 * deeds->size;
        deeds->items = memory_grow(deeds->items, deeds->size, sizeof *deeds->items);
    }
    deeds->items[deeds->count++] = *deed;
}

void replay_deeds_move(struct replay_deeds *into, struct replay_deeds *from, size_t at)
{
    put(into, &from->items[at]);
    from->items[at] = (struct replay_deed){.is_paired = true};
}

static void add(struct replay_deeds *deeds, const struct cJSON *document, const char *what, const char *why)
{
    struct wall at = {0};
    char subject[LIMIT_NAME_SIZE + 16];
    const char *container = text_of(document, "container");
    const char *host = text_of(document, "host");
    json_reader_time(json_reader_member(document, "timestamp"), &at);
    snprintf(subject, sizeof subject, "%s%.*s",
             container[0] != '\0' ? ""
             : host[0] != '\0'    ? "host "
                                  : "the fleet",
             LIMIT_NAME_SIZE, container[0] != '\0' ? container : host);
    put(deeds, &(struct replay_deed){.at = at,
                                     .subject = memory_copy_text(subject),
                                     .what = memory_copy_text(what),
                                     .why = memory_copy_text(why)});
}

static void join(char out[TEXT_SIZE], const char *left, const char *right)
{
    snprintf(out, TEXT_SIZE, "%.200s%s%.300s", left, left[0] != '\0' && right[0] != '\0' ? ", " : "", right);
}

static void add_decision(struct replay_deeds *deeds, const struct cJSON *document)
{
    char what[TEXT_SIZE], why[TEXT_SIZE];
    const char *action = text_of(document, "action");
    if (strcmp(action, "none") == 0) {
        snprintf(what, sizeof what, "not restarted, held back by gate %.64s", text_of(document, "gate"));
    } else if (strcmp(action, "given_back") == 0) {
        snprintf(what, sizeof what, "attempt given back");
    } else {
        snprintf(what, sizeof what, "%.64s, attempt %lld", action, number_of(document, "attempt"));
    }
    join(why, text_of(document, "reason"), text_of(document, "detail"));
    add(deeds, document, what, why);
}

static void add_transition(struct replay_deeds *deeds, const struct cJSON *document)
{
    char what[TEXT_SIZE], why[TEXT_SIZE];
    snprintf(what, sizeof what, "%.64s -> %.64s", text_of(document, "from"), text_of(document, "to"));
    join(why, text_of(document, "reason"), text_of(document, "detail"));
    add(deeds, document, what, why);
}

/* Those of the controller's shell are no decisions. */
static bool is_shells(const char *type)
{
    return strncmp(type, "REDIS_", 6) == 0 || strcmp(type, "HEALTH_SUMMARY") == 0;
}

static void add_alert(struct replay_deeds *deeds, const struct cJSON *document, const char *type)
{
    char what[TEXT_SIZE], why[TEXT_SIZE];
    const char *action = text_of(document, "action");
    snprintf(what, sizeof what, "alert %.64s%s%.64s", type, action[0] != '\0' ? " " : "", action);
    join(why, text_of(document, "reason"), text_of(document, "detail"));
    add(deeds, document, what, why);
}

void replay_deeds_add(struct replay_deeds *deeds, const struct cJSON *document)
{
    const char *kind = text_of(document, "kind");
    const char *type = text_of(document, "type");
    if (strcmp(kind, "decision") == 0) {
        add_decision(deeds, document);
    } else if (strcmp(kind, "transition") == 0) {
        add_transition(deeds, document);
    } else if (type[0] != '\0' && !is_shells(type)) {
        add_alert(deeds, document, type);
    }
}

void replay_deeds_add_text(struct replay_deeds *deeds, const char *json, size_t len)
{
    cleanup_json struct cJSON *document = json_reader_parse_own(json, len);
    replay_deeds_add(deeds, document);
}

/* ---- telling ---- */

static void print(const struct replay_deed *deed, char sign, FILE *out)
{
    char at[TIMESTAMP_SIZE];
    timestamp_format(deed->at, at);
    fprintf(out, "%c %s %s: %s%s%s%s\n", sign, at, deed->subject, deed->what,
            deed->why[0] != '\0' ? " (" : "", deed->why, deed->why[0] != '\0' ? ")" : "");
}

void replay_deeds_print(const struct replay_deeds *deeds, FILE *out)
{
    for (size_t i = 0; i < deeds->count; i++) {
        print(&deeds->items[i], ' ', out);
    }
}

enum likeness { LIKE_IN_ALL, LIKE_BUT_WHY };

static bool is_alike(const struct replay_deed *left, const struct replay_deed *right, enum likeness likeness)
{
    return strcmp(left->subject, right->subject) == 0 && strcmp(left->what, right->what) == 0 &&
           (likeness == LIKE_BUT_WHY || strcmp(left->why, right->why) == 0);
}

static int64_t apart_ms(const struct replay_deed *left, const struct replay_deed *right)
{
    return left->at.ms > right->at.ms ? left->at.ms - right->at.ms : right->at.ms - left->at.ms;
}

/* The nearest that has no partner yet; NULL: none within that time. */
static struct replay_deed *find_partner(struct replay_deeds *deeds, const struct replay_deed *deed,
                                        int64_t most_ms, enum likeness likeness)
{
    struct replay_deed *best = NULL;
    for (size_t i = 0; i < deeds->count; i++) {
        struct replay_deed *each = &deeds->items[i];
        bool is_nearer = best == NULL || apart_ms(each, deed) < apart_ms(best, deed);
        if (!each->is_paired && apart_ms(each, deed) <= most_ms && is_alike(each, deed, likeness) &&
            is_nearer) {
            best = each;
        }
    }
    return best;
}

/* Tells of those whose time or reason differs where `out` is not NULL. */
static size_t pair(struct replay_deeds *done, struct replay_deeds *replayed, int64_t most_ms,
                   enum likeness likeness, FILE *out)
{
    size_t lines = 0;
    for (size_t i = 0; i < done->count; i++) {
        struct replay_deed *deed = &done->items[i];
        struct replay_deed *partner =
            deed->is_paired ? NULL : find_partner(replayed, deed, most_ms, likeness);
        if (partner == NULL) {
            continue;
        }
        deed->is_paired = partner->is_paired = true;
        if (out != NULL) {
            char at[TIMESTAMP_SIZE];
            timestamp_format(partner->at, at);
            print(deed, '~', out);
            fprintf(out, "    would have been at %s%s%s%s\n", at, partner->why[0] != '\0' ? " (" : "",
                    partner->why, partner->why[0] != '\0' ? ")" : "");
            lines++;
        }
    }
    return lines;
}

static size_t print_unpaired(const struct replay_deeds *deeds, char sign, FILE *out)
{
    size_t lines = 0;
    for (size_t i = 0; i < deeds->count; i++) {
        if (!deeds->items[i].is_paired) {
            print(&deeds->items[i], sign, out);
            lines++;
        }
    }
    return lines;
}

size_t replay_deeds_compare(struct replay_deeds *done, struct replay_deeds *replayed, int64_t most_ms,
                            FILE *out)
{
    pair(done, replayed, most_ms, LIKE_IN_ALL, NULL);
    size_t lines = pair(done, replayed, INT64_MAX, LIKE_BUT_WHY, out);
    lines += print_unpaired(done, '-', out);
    return lines + print_unpaired(replayed, '+', out);
}
