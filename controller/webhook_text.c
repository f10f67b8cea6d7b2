#include "controller/webhook_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "proto/json_reader.h"
#include "proto/json_writer.h"

enum { DOCUMENT_BYTES = 64 * 1024, DOCUMENT_VALUES = 256, LINE_SIZE = 1024 };

enum webhook_form webhook_text_form(const char *word)
{
    static const char *const words[] = {[WEBHOOK_JSON] = "json",
                                        [WEBHOOK_SLACK] = "slack",
                                        [WEBHOOK_ALERTMANAGER] = "alertmanager",
                                        [WEBHOOK_APPRISE] = "apprise"};
    for (int form = 0; form < WEBHOOK_TEMPLATE; form++) {
        if (strcmp(word, words[form]) == 0) {
            return (enum webhook_form)form;
        }
    }
    return WEBHOOK_TEMPLATE;
}

/* ---- one alert in words ---- */

/* What a closing closes; any other is its own. */
static enum alert_type opening_of(enum alert_type type)
{
    static const struct {
        enum alert_type closing, opening;
    } pairs[] = {
        {ALERT_SERVICE_RECOVERED, ALERT_SERVICE_RESTART_FAILED},
        {ALERT_SERVICE_RESTARTED, ALERT_SERVICE_RESTART_FAILED},
        {ALERT_AGENT_RECOVERED, ALERT_AGENT_LOST},
        {ALERT_REDIS_RECOVERED, ALERT_REDIS_LOST},
        {ALERT_BREAKER_CLOSED, ALERT_BREAKER_OPEN},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].closing == type) {
            return pairs[i].opening;
        }
    }
    return type;
}

static const char *status_of(enum alert_type type)
{
    if (type == ALERT_SERVICE_RESTARTED) {
        return "info"; /* it runs; whether it is well SERVICE_RECOVERED tells */
    }
    if (type == ALERT_TEST) {
        return "firing"; /* so that it goes every way that a real one goes */
    }
    if (opening_of(type) != type) {
        return "resolved";
    }
    return strcmp(alert_severity(type), "info") == 0 ? "info" : "firing";
}

static const char *what_failed(const struct alert *alert)
{
    static const struct {
        const char *action, *words;
    } rows[] = {
        {"deny_list", "is unhealthy and on the deny list: nothing was done"},
        {"not_in_allowlist", "is unhealthy and not on the allow list: nothing was done"},
        {"disabled", "is unhealthy, and automatic restarts are disabled"},
        {"no_agent", "is unhealthy, and no agent knows it"},
        {"restart_failed", "could not be restarted"},
        {"max_attempts_exhausted", "still fails after all attempts"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(alert->action, rows[i].action) == 0) {
            return rows[i].words;
        }
    }
    return "has failed";
}

static void write_summary(const struct alert *alert, char out[LINE_SIZE])
{
    const char *container = alert->container, *host = alert->host;
    const char *why = alert->detail[0] != '\0' ? alert->detail : alert->reason;
    char in[LIMIT_DETAIL_SIZE + 8] = "";
    if (why[0] != '\0') {
        snprintf(in, sizeof in, " (%.200s)", why);
    }
    switch (alert->type) {
    case ALERT_SERVICE_RESTART_FAILED:
        snprintf(out, LINE_SIZE, "%s on %s %s%s", container, host[0] == '\0' ? "an unknown host" : host,
                 what_failed(alert), in);
        break;
    case ALERT_SERVICE_RESTARTED:
        snprintf(out, LINE_SIZE, "%s on %s was restarted, attempt %lld%s", container, host,
                 (long long)alert->attempts, in);
        break;
    case ALERT_SERVICE_RECOVERED:
        snprintf(out, LINE_SIZE, "%s on %s %s", container, host[0] == '\0' ? "an unknown host" : host,
                 strcmp(alert->reason, "removed") == 0 ? "was removed" : "is healthy again");
        break;
    case ALERT_SERVICE_HELD:
        snprintf(out, LINE_SIZE, "%s on %s stopped unseen and is left alone%s", container, host, in);
        break;
    case ALERT_NEEDS_RECREATE:
        snprintf(out, LINE_SIZE, "%s on %s has to be created anew%s", container, host, in);
        break;
    case ALERT_CRASH_LOOP:
        snprintf(out, LINE_SIZE, "%s on %s is restarted by Docker again and again", container, host);
        break;
    case ALERT_AGENT_LOST:
        snprintf(out, LINE_SIZE,
                 "host %s is lost: its agent is silent on both paths; nothing there is restarted", host);
        break;
    case ALERT_AGENT_RECOVERED:
        snprintf(out, LINE_SIZE, "host %s %s", host,
                 strcmp(alert->reason, "decommissioned") == 0 ? "was decommissioned" : "is back");
        break;
    case ALERT_REDIS_LOST:
        snprintf(out, LINE_SIZE, "Redis is away%s; supervision goes on by the agents", in);
        break;
    case ALERT_REDIS_RECOVERED:
        snprintf(out, LINE_SIZE, "Redis is back");
        break;
    case ALERT_BREAKER_OPEN:
        snprintf(out, LINE_SIZE, "the breaker of %s is open%s: too much fails at once",
                 host[0] == '\0' ? "the fleet" : host, in);
        break;
    case ALERT_BREAKER_CLOSED:
        snprintf(out, LINE_SIZE, "the breaker of %s is closed", host[0] == '\0' ? "the fleet" : host);
        break;
    case ALERT_NAME_COLLISION:
        snprintf(out, LINE_SIZE, "%s is claimed twice%s: neither is touched", container, in);
        break;
    case ALERT_TEST:
        snprintf(out, LINE_SIZE, "this is a test, nothing is wrong%s", in);
        break;
    case ALERT_HEALTH_SUMMARY:
    case ALERT_TYPE_N:
        snprintf(out, LINE_SIZE, "%s", alert_type_name(alert->type));
        break;
    }
}

static const char *next_of(const struct alert *alert)
{
    static const char *const words[ALERT_TYPE_N] = {
        [ALERT_SERVICE_RESTART_FAILED] = "nothing, until somebody does it",
        [ALERT_SERVICE_RESTARTED] = "it is watched until it is healthy",
        [ALERT_SERVICE_HELD] = "nothing, until somebody does it",
        [ALERT_NEEDS_RECREATE] = "nothing, until somebody does it",
        [ALERT_CRASH_LOOP] = "Docker goes on; defib waits",
        [ALERT_AGENT_LOST] = "its containers are judged anew when the agent is heard again",
        [ALERT_REDIS_LOST] = "alerts for Redis are kept and delivered when it returns",
        [ALERT_BREAKER_OPEN] = "restarts go one by one until it closes",
        [ALERT_NAME_COLLISION] = "nothing, until somebody does it",
    };
    if (strcmp(alert->action, "max_attempts_exhausted") == 0) {
        return "it is tried again after the cooldown";
    }
    if (strcmp(alert->action, "restart_failed") == 0) {
        return "it is tried again after the backoff";
    }
    const char *next = (size_t)alert->type < ALERT_TYPE_N ? words[alert->type] : NULL;
    return next == NULL ? "" : next;
}

char *webhook_text_alert(const struct alert *alert)
{
    char summary[LINE_SIZE], explain[LIMIT_NAME_SIZE + 32];
    size_t len;
    cleanup_free char *text = alert_encode(alert, &len);
    cleanup_json struct cJSON *tree = json_reader_parse_own(text, len);
    struct json_writer writer;
    write_summary(alert, summary);
    snprintf(explain, sizeof explain, "defibctl %s%s", alert->container[0] == '\0' ? "status" : "explain ",
             alert->container);
    json_writer_init(&writer, JSON_COMPACT, 1024);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "status", status_of(alert->type));
    json_writer_text(&writer, "opening", alert_type_name(opening_of(alert->type)));
    json_writer_text(&writer, "opening_severity", alert_severity(opening_of(alert->type)));
    json_writer_text(&writer, "summary", summary);
    json_writer_text(&writer, "next", next_of(alert));
    json_writer_text(&writer, "explain", explain);
    json_writer_tree(&writer, "alert", tree);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

/* ---- messages ---- */

struct parsed {
    struct cJSON *tree;
    const struct cJSON *alert;
    char status[16], opening[LIMIT_WORD_SIZE], opening_severity[LIMIT_WORD_SIZE];
    char summary[LINE_SIZE], next[LINE_SIZE], explain[LINE_SIZE];
    char host[LIMIT_NAME_SIZE], container[LIMIT_NAME_SIZE], severity[LIMIT_WORD_SIZE], timestamp[40];
};

static void get(const struct cJSON *object, const char *name, char *out, size_t size)
{
    if (!json_reader_text(json_reader_member(object, name), out, size)) {
        out[0] = '\0';
    }
}

static bool parse(const char *document, struct parsed *out)
{
    static const struct json_bounds bounds = {"alert", DOCUMENT_BYTES, DOCUMENT_VALUES};
    *out = (struct parsed){.tree = NULL};
    if (json_reader_parse(document, strlen(document), &bounds, &out->tree, NULL) != 0) {
        return false;
    }
    const struct cJSON *tree = out->tree;
    out->alert = json_reader_member(tree, "alert");
    get(tree, "status", out->status, sizeof out->status);
    get(tree, "opening", out->opening, sizeof out->opening);
    get(tree, "opening_severity", out->opening_severity, sizeof out->opening_severity);
    get(tree, "summary", out->summary, sizeof out->summary);
    get(tree, "next", out->next, sizeof out->next);
    get(tree, "explain", out->explain, sizeof out->explain);
    get(out->alert, "host", out->host, sizeof out->host);
    get(out->alert, "container", out->container, sizeof out->container);
    get(out->alert, "severity", out->severity, sizeof out->severity);
    get(out->alert, "timestamp", out->timestamp, sizeof out->timestamp);
    return true;
}

/* The worst of several, and what they have in common. */
struct digest {
    size_t count, firing, resolved;
    char host[LIMIT_NAME_SIZE], container[LIMIT_NAME_SIZE]; /* "": several, or none */
    const char *severity, *status;
    char title[LINE_SIZE];
    char *text;
};

static void keep_common(char *common, size_t size, const char *name, bool is_first)
{
    if (is_first) {
        memory_set_text(common, size, name);
    } else if (strcmp(common, name) != 0) {
        common[0] = '\0';
    }
}

static void add_lines(FILE *out, const struct parsed *parsed)
{
    bool is_resolved = strcmp(parsed->status, "resolved") == 0;
    fprintf(out, "%s%s", is_resolved ? "RESOLVED: " : "", parsed->summary);
    if (parsed->next[0] != '\0') {
        fprintf(out, "; next: %s", parsed->next);
    }
    fprintf(out, "  [%s]\n", parsed->explain);
}

static void count_in(struct digest *digest, const struct parsed *parsed)
{
    bool is_firing = strcmp(parsed->status, "firing") == 0;
    keep_common(digest->host, sizeof digest->host, parsed->host, digest->count == 0);
    keep_common(digest->container, sizeof digest->container, parsed->container, digest->count == 0);
    digest->count++;
    digest->firing += is_firing;
    digest->resolved += strcmp(parsed->status, "resolved") == 0;
    if (is_firing && strcmp(parsed->severity, "critical") == 0) {
        digest->severity = "critical";
    } else if (is_firing && strcmp(digest->severity, "info") == 0) {
        digest->severity = "warning";
    }
}

static void make_digest(const char *const *documents, size_t count, struct digest *out)
{
    size_t len;
    *out = (struct digest){.severity = "info"};
    FILE *text = open_memstream(&out->text, &len);
    if (text == NULL) {
        abort();
    }
    char first[LINE_SIZE] = "";
    for (size_t i = 0; i < count; i++) {
        struct parsed parsed;
        if (parse(documents[i], &parsed)) {
            count_in(out, &parsed);
            if (out->count == 1) {
                memory_set_text(first, sizeof first, parsed.summary);
            }
            if (out->count <= WEBHOOK_TEXT_LINES) {
                add_lines(text, &parsed);
            }
        }
        json_reader_cleanup(&parsed.tree);
    }
    if (out->count > WEBHOOK_TEXT_LINES) {
        fprintf(text, "and %zu more\n", out->count - WEBHOOK_TEXT_LINES);
    }
    if (fclose(text) != 0) {
        abort();
    }
    out->status = out->firing > 0 ? "firing" : out->resolved > 0 ? "resolved" : "info";
    if (out->count == 1) {
        snprintf(out->title, sizeof out->title, "defib: %.900s", first);
    } else {
        snprintf(out->title, sizeof out->title, "defib: %zu alerts%s%s", out->count,
                 out->host[0] == '\0' ? "" : " on ", out->host);
    }
}

static char *render_json(const struct digest *digest, const char *const *documents, size_t count)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 4096);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "source", "defib");
    json_writer_text(&writer, "title", digest->title);
    json_writer_text(&writer, "status", digest->status);
    json_writer_text(&writer, "severity", digest->severity);
    json_writer_open(&writer, "alerts", '[');
    for (size_t i = 0; i < count; i++) {
        struct parsed parsed;
        if (parse(documents[i], &parsed)) {
            json_writer_tree(&writer, NULL, parsed.tree);
        }
        json_reader_cleanup(&parsed.tree);
    }
    json_writer_close(&writer, ']');
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

/* Alertmanager knows an alert by its labels: a closing bears those of its opening. */
static void write_labels(struct json_writer *writer, const struct parsed *parsed, const char *opening,
                         const char *severity)
{
    json_writer_open(writer, "labels", '{');
    json_writer_text(writer, "alertname", opening);
    json_writer_text(writer, "severity", severity);
    json_writer_text(writer, "source", "defib");
    if (parsed->host[0] != '\0') {
        json_writer_text(writer, "host", parsed->host);
    }
    if (parsed->container[0] != '\0') {
        json_writer_text(writer, "container", parsed->container);
    }
    json_writer_close(writer, '}');
}

static void write_for_alertmanager(struct json_writer *writer, const struct parsed *parsed,
                                   const char *opening, const char *severity)
{
    bool is_resolved = strcmp(parsed->status, "resolved") == 0;
    json_writer_open(writer, NULL, '{');
    write_labels(writer, parsed, opening, severity);
    json_writer_open(writer, "annotations", '{');
    json_writer_text(writer, "summary", parsed->summary);
    json_writer_text(writer, "next", parsed->next);
    json_writer_text(writer, "explain", parsed->explain);
    json_writer_close(writer, '}');
    json_writer_text(writer, is_resolved ? "endsAt" : "startsAt", parsed->timestamp);
    json_writer_close(writer, '}');
}

/* A container that is well again closes whatever was said of it; what was never opened is closed to nobody.
 */
static void close_others(struct json_writer *writer, const struct parsed *parsed)
{
    static const enum alert_type others[] = {ALERT_NEEDS_RECREATE, ALERT_CRASH_LOOP, ALERT_NAME_COLLISION};
    bool is_closing = strcmp(parsed->status, "resolved") == 0 &&
                      strcmp(parsed->opening, alert_type_name(ALERT_SERVICE_RESTART_FAILED)) == 0;
    for (size_t i = 0; is_closing && i < sizeof others / sizeof others[0]; i++) {
        write_for_alertmanager(writer, parsed, alert_type_name(others[i]), alert_severity(others[i]));
    }
}

static char *render_alertmanager(const char *const *documents, size_t count)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 4096);
    json_writer_open(&writer, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        struct parsed parsed;
        if (parse(documents[i], &parsed) && strcmp(parsed.status, "info") != 0) {
            write_for_alertmanager(&writer, &parsed, parsed.opening, parsed.opening_severity);
            close_others(&writer, &parsed);
        }
        json_reader_cleanup(&parsed.tree);
    }
    json_writer_close(&writer, ']');
    return json_writer_take(&writer, NULL);
}

/* Slack reads <…> as a mention or a link (https://api.slack.com/reference/surfaces/formatting#escaping). */
static void write_plain(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        default:
            fputc(*text, out);
            break;
        }
    }
}

static char *render_slack(const struct digest *digest)
{
    struct json_writer writer;
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) {
        abort();
    }
    fputc('*', out);
    write_plain(out, digest->title);
    fputs("*\n", out);
    write_plain(out, digest->text);
    if (fclose(out) != 0) {
        abort();
    }
    json_writer_init(&writer, JSON_COMPACT, 1024);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "text", text);
    json_writer_close(&writer, '}');
    free(text);
    return json_writer_take(&writer, NULL);
}

static char *render_apprise(const struct digest *digest)
{
    struct json_writer writer;
    bool is_critical = strcmp(digest->severity, "critical") == 0;
    const char *type = digest->firing > 0     ? (is_critical ? "failure" : "warning")
                       : digest->resolved > 0 ? "success"
                                              : "info";
    json_writer_init(&writer, JSON_COMPACT, 1024);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "title", digest->title);
    json_writer_text(&writer, "body", digest->text);
    json_writer_text(&writer, "type", type);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, NULL);
}

/* ---- templates ---- */

static const char *const placeholders[] = {"title", "text",      "status", "severity",
                                           "host",  "container", "count"};

/* The placeholder at "{{name}}", its end behind it; -1 where it is none. */
static int find_placeholder(const char *at, const char **end)
{
    for (size_t i = 0; i < sizeof placeholders / sizeof placeholders[0]; i++) {
        size_t len = strlen(placeholders[i]);
        if (strncmp(at + 2, placeholders[i], len) == 0 && strncmp(at + 2 + len, "}}", 2) == 0) {
            *end = at + len + 4;
            return (int)i;
        }
    }
    return -1;
}

int webhook_text_check(const char *template, struct err *err)
{
    const char *at = template;
    while ((at = strstr(at, "{{")) != NULL) {
        if (find_placeholder(at, &at) < 0) {
            return err_set(
                err, EINVAL,
                "placeholder %.24s: allowed are {{title}} {{text}} {{status}} {{severity}} {{host}} "
                "{{container}} {{count}}",
                at);
        }
    }
    return 0;
}

/* As the inside of a JSON string. */
static void write_escaped(FILE *out, const char *text)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, 256);
    json_writer_text(&writer, NULL, text);
    size_t len;
    cleanup_free char *quoted = json_writer_take(&writer, &len);
    fwrite(quoted + 1, 1, len - 2, out);
}

static char *render_template(const struct digest *digest, const char *template)
{
    char count[24], *text = NULL;
    size_t len;
    snprintf(count, sizeof count, "%zu", digest->count);
    const char *values[] = {digest->title, digest->text,      digest->status, digest->severity,
                            digest->host,  digest->container, count};
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) {
        abort();
    }
    for (const char *at = template; *at != '\0';) {
        const char *end;
        int which = strncmp(at, "{{", 2) == 0 ? find_placeholder(at, &end) : -1;
        if (which < 0) {
            fputc(*at++, out);
        } else {
            write_escaped(out, values[which]);
            at = end;
        }
    }
    if (fclose(out) != 0) {
        abort();
    }
    return text;
}

char *webhook_text_message(enum webhook_form form, const char *template, const char *const *documents,
                           size_t count)
{
    struct digest digest;
    make_digest(documents, count, &digest);
    char *text = form == WEBHOOK_ALERTMANAGER ? render_alertmanager(documents, count)
                 : form == WEBHOOK_SLACK      ? render_slack(&digest)
                 : form == WEBHOOK_APPRISE    ? render_apprise(&digest)
                 : form == WEBHOOK_TEMPLATE   ? render_template(&digest, template)
                                              : render_json(&digest, documents, count);
    free(digest.text);
    return text;
}
