#include "controller/alert_outbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "controller/disk_file.h"
#include "proto/keys.h"

/* A window keeps the pipeline short enough for one answer's deadline. */
enum { WINDOW = 256 };

static const size_t FILE_MAX_BYTES = 4 * (size_t)ALERT_OUTBOX_BYTES + ALERT_OUTBOX_INPUT_FLOW;

struct entry {
    struct entry *next;
    bool is_alert, is_input;
    bool is_spooled; /* stands in the file */
    bool is_told;    /* "kept" was logged */
    bool was_kept;   /* goes out marked as delayed */
    bool is_refused; /* one of its two commands failed */
    int level;       /* enum log_level, of an alert */
    int answers_due; /* 0: not under way */
    uint64_t seq;
    char *text;
    char *delayed_text; /* alerts; NULL for records */
};

struct alert_outbox {
    struct redis_session *session;
    char *dir;
    struct entry *first, *last;
    struct entry *unsent; /* the first that is not under way */
    size_t count, bytes, under_way;
    size_t input_count, input_bytes; /* not in the two before */
    size_t file_bytes;
    uint64_t seq;
    uint64_t dropped, dropped_untold, added;
    bool is_away, has_lost_inputs;
};

struct delivery {
    struct alert_outbox *outbox;
    struct entry *entry;
};

static size_t entry_bytes(const struct entry *entry)
{
    return sizeof *entry + strlen(entry->text) +
           (entry->delayed_text == NULL ? 0 : strlen(entry->delayed_text));
}

static void free_entry(struct entry *entry)
{
    free(entry->text);
    free(entry->delayed_text);
    free(entry);
}

static void append(struct alert_outbox *outbox, struct entry *entry)
{
    if (outbox->last == NULL) {
        outbox->first = entry;
    } else {
        outbox->last->next = entry;
    }
    outbox->last = entry;
    outbox->unsent = outbox->unsent == NULL ? entry : outbox->unsent;
    *(entry->is_input ? &outbox->input_count : &outbox->count) += 1;
    *(entry->is_input ? &outbox->input_bytes : &outbox->bytes) += entry_bytes(entry);
    outbox->added++;
}

static void remove_first(struct alert_outbox *outbox)
{
    struct entry *entry = outbox->first;
    outbox->first = entry->next;
    outbox->last = entry->next == NULL ? NULL : outbox->last;
    outbox->unsent = outbox->unsent == entry ? entry->next : outbox->unsent;
    *(entry->is_input ? &outbox->input_count : &outbox->count) -= 1;
    *(entry->is_input ? &outbox->input_bytes : &outbox->bytes) -= entry_bytes(entry);
    free_entry(entry);
}

static void make_room(struct alert_outbox *outbox)
{
    while ((outbox->count > ALERT_OUTBOX_ENTRIES || outbox->bytes > ALERT_OUTBOX_BYTES) &&
           outbox->first != outbox->last && outbox->first->answers_due == 0) {
        bool is_input = outbox->first->is_input;
        remove_first(outbox);
        outbox->has_lost_inputs = outbox->has_lost_inputs || is_input;
        outbox->dropped += !is_input;
        if (!is_input && outbox->dropped_untold++ == 0) {
            log_error("The queue for Redis is full: the oldest alerts and records are dropped");
        }
    }
}

/* ---- the file: `A|R|I <level> <seq> <JSON>`, one entry a line ---- */

static const char *outgoing_text(const struct entry *entry)
{
    return entry->was_kept && entry->delayed_text != NULL ? entry->delayed_text : entry->text;
}

static char *format_line(const struct entry *entry, size_t *len)
{
    char *line = NULL;
    const char *text = entry->delayed_text != NULL ? entry->delayed_text : entry->text;
    int written = asprintf(&line, "%c %d %" PRIu64 " %s\n",
                           entry->is_alert   ? 'A'
                           : entry->is_input ? 'I'
                                             : 'R',
                           entry->level, entry->seq, text);
    if (written < 0) {
        abort();
    }
    *len = (size_t)written;
    return line;
}

static void told_disk_trouble(const struct err *err)
{
    log_warning("Cannot keep alerts on disk: %s", err->text);
}

/* Everything that waits, anew; an empty queue leaves no file. */
static void rewrite_file(struct alert_outbox *outbox)
{
    struct err err;
    if (outbox->first == NULL) {
        if (disk_file_remove(outbox->dir, ALERT_OUTBOX_FILE, &err) != 0) {
            told_disk_trouble(&err);
        }
        outbox->file_bytes = 0;
        return;
    }
    cleanup_free char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    if (out == NULL) {
        abort();
    }
    for (struct entry *entry = outbox->first; entry != NULL; entry = entry->next) {
        size_t len;
        cleanup_free char *line = format_line(entry, &len);
        fwrite(line, 1, len, out);
        entry->is_spooled = true;
    }
    if (fclose(out) != 0) {
        abort();
    }
    if (disk_file_replace(outbox->dir, ALERT_OUTBOX_FILE, bytes, size, &err) != 0) {
        told_disk_trouble(&err);
    }
    outbox->file_bytes = size;
}

static void spool(struct alert_outbox *outbox, struct entry *entry)
{
    if (entry->is_spooled) {
        return;
    }
    if (outbox->file_bytes > FILE_MAX_BYTES) {
        rewrite_file(outbox);
        return;
    }
    size_t len;
    struct err err;
    cleanup_free char *line = format_line(entry, &len);
    /* A record that a power cut takes is a pity, an alert is more: only that one waits for the disk. */
    enum disk_file_sync sync = entry->is_alert ? DISK_FILE_NOW : DISK_FILE_LATER;
    if (disk_file_append(outbox->dir, ALERT_OUTBOX_FILE, line, len, sync, &err) != 0) {
        told_disk_trouble(&err);
    }
    entry->is_spooled = true;
    outbox->file_bytes += len;
}

static bool take_line(struct alert_outbox *outbox, char *line)
{
    char kind;
    int level, start = 0;
    uint64_t seq;
    /* NOLINTNEXTLINE(cert-err34-c): our own file; the level is checked behind it */
    if (sscanf(line, "%c %d %" SCNu64 " %n", &kind, &level, &seq, &start) != 3 || start == 0 ||
        (kind != 'A' && kind != 'R' && kind != 'I') || level < LOG_LEVEL_DEBUG || level > LOG_LEVEL_ERROR) {
        return false;
    }
    size_t len = strlen(line + start);
    if (line[start] != '{' || line[start + (int)len - 1] != '}') {
        return false;
    }
    struct entry *entry = memory_alloc(sizeof *entry);
    *entry = (struct entry){.is_alert = kind == 'A',
                            .is_input = kind == 'I',
                            .is_spooled = true,
                            .is_told = true,
                            .was_kept = true,
                            .level = level,
                            .seq = seq,
                            .text = memory_copy_text(line + start)};
    append(outbox, entry);
    make_room(outbox);
    outbox->seq = seq > outbox->seq ? seq : outbox->seq;
    return true;
}

static void read_file(struct alert_outbox *outbox)
{
    cleanup_free char *bytes = NULL;
    size_t len;
    struct err err;
    int result = disk_file_read(outbox->dir, ALERT_OUTBOX_FILE, 2 * FILE_MAX_BYTES, &bytes, &len, &err);
    if (result != 0) {
        if (result != -ENOENT) {
            log_warning("Cannot read the alerts kept for Redis: %s", err.text);
        }
        return;
    }
    size_t damaged = 0;
    char *save;
    for (char *nul; (nul = memchr(bytes, '\0', len)) != NULL;) {
        *nul = '?'; /* a damaged line costs only itself */
    }
    for (char *line = strtok_r(bytes, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        damaged += !take_line(outbox, line);
    }
    if (damaged > 0) {
        log_warning("Of the alerts kept for Redis %zu lines were damaged and are lost", damaged);
    }
    rewrite_file(outbox); /* no torn tail in front of what comes next */
}

/* ---- the way out ---- */

static void keep(struct alert_outbox *outbox, struct entry *entry)
{
    entry->was_kept = true;
    spool(outbox, entry);
    if (entry->is_alert && !entry->is_told) {
        entry->is_told = true;
        log_line((enum log_level)entry->level, "Alert kept for Redis: %s", outgoing_text(entry));
    }
}

static void keep_all(struct alert_outbox *outbox)
{
    for (struct entry *entry = outbox->first; entry != NULL; entry = entry->next) {
        keep(outbox, entry);
    }
}

static void send_next(struct alert_outbox *outbox);

/* Answers come in order, so what is done stands at the head. */
static void remove_done(struct alert_outbox *outbox)
{
    bool had_file = outbox->file_bytes > 0;
    while (outbox->first != NULL && outbox->first != outbox->unsent && outbox->first->answers_due == 0) {
        remove_first(outbox);
    }
    if (had_file && outbox->first == NULL) {
        rewrite_file(outbox);
    }
}

static void on_answer(void *arg, const struct redis_reply *reply)
{
    struct delivery *delivery = arg;
    struct alert_outbox *outbox = delivery->outbox;
    struct entry *entry = delivery->entry;
    free(delivery);
    if (!redis_session_took_write(outbox->session, reply)) {
        /* A refusal that outlives this moment (a stream key of another type, no permission) must not hold up
         * what stands behind. */
        bool is_lasting = reply != NULL && redis_session_is_writable(outbox->session);
        if (is_lasting) {
            log_warning("Redis refuses an alert or record: %s", redis_reply_text(reply, NULL));
        }
        entry->is_refused = entry->is_refused || !is_lasting;
    }
    entry->answers_due--;
    if (entry->answers_due > 0) {
        return;
    }
    outbox->under_way--;
    if (entry->is_refused) {
        /* This one and all behind it wait, in order. */
        outbox->unsent = NULL;
        for (struct entry *each = outbox->first; each != NULL && outbox->unsent == NULL; each = each->next) {
            outbox->unsent = each->answers_due == 0 && each->is_refused ? each : NULL;
        }
        keep(outbox, entry);
        return;
    }
    if (entry->is_alert) {
        log_line((enum log_level)entry->level, "Published alert: %s", outgoing_text(entry));
    }
    remove_done(outbox);
    send_next(outbox);
}

static bool send_part(struct alert_outbox *outbox, struct entry *entry, int argc, const char *const *argv)
{
    struct delivery *delivery = memory_alloc(sizeof *delivery);
    *delivery = (struct delivery){outbox, entry};
    if (redis_session_command(outbox->session, on_answer, delivery, argc, argv, NULL) != 0) {
        free(delivery);
        return false;
    }
    entry->answers_due++;
    return true;
}

static bool send_entry(struct alert_outbox *outbox, struct entry *entry)
{
    const char *text = outgoing_text(entry);
    const char *publish[] = {"PUBLISH", KEY_CHANNEL_ALERTS, text};
    const char *add[] = {"XADD", KEY_STREAM_EVENTS, "MAXLEN", "~", KEY_STREAM_EVENTS_KEPT, "*", "data", text};
    entry->is_refused = false;
    if (entry->is_alert && !send_part(outbox, entry, 3, publish)) {
        return false;
    }
    if (!send_part(outbox, entry, 8, add)) {
        if (entry->answers_due == 0) {
            return false;
        }
        entry->is_refused = true; /* the first half is under way: again as a whole when it has answered */
    }
    return true;
}

static void send_next(struct alert_outbox *outbox)
{
    while (outbox->unsent != NULL && !outbox->is_away && outbox->under_way < WINDOW) {
        struct entry *entry = outbox->unsent;
        if (entry->answers_due > 0 || !send_entry(outbox, entry)) {
            return;
        }
        outbox->under_way++;
        outbox->unsent = entry->next;
    }
}

static void accept(struct alert_outbox *outbox, struct entry *entry)
{
    append(outbox, entry);
    make_room(outbox);
    if (outbox->is_away) {
        keep(outbox, entry);
    } else {
        send_next(outbox);
    }
}

static int level_of(enum alert_type type)
{
    const char *severity = alert_severity(type);
    return strcmp(severity, "critical") == 0  ? LOG_LEVEL_ERROR
           : strcmp(severity, "warning") == 0 ? LOG_LEVEL_WARNING
                                              : LOG_LEVEL_INFO;
}

void alert_outbox_alert(struct alert_outbox *outbox, const struct alert *alert)
{
    struct alert numbered = *alert;
    numbered.seq = ++outbox->seq;
    size_t len;
    cleanup_free char *text = alert_encode(&numbered, &len);
    if (alert->type == ALERT_HEALTH_SUMMARY) {
        const char *publish[] = {"PUBLISH", KEY_CHANNEL_ALERTS, text};
        redis_session_command(outbox->session, NULL, NULL, 3, publish, NULL);
        return;
    }
    numbered.is_delayed = true;
    struct entry *entry = memory_alloc(sizeof *entry);
    *entry = (struct entry){.is_alert = true,
                            .level = level_of(alert->type),
                            .seq = numbered.seq,
                            .text = memory_steal(text),
                            .delayed_text = alert_encode(&numbered, &len)};
    accept(outbox, entry);
}

void alert_outbox_record(struct alert_outbox *outbox, const struct event_record *record)
{
    struct event_record numbered = *record;
    numbered.seq = ++outbox->seq;
    size_t len;
    struct entry *entry = memory_alloc(sizeof *entry);
    *entry = (struct entry){
        .level = LOG_LEVEL_INFO, .seq = numbered.seq, .text = event_record_encode(&numbered, &len)};
    accept(outbox, entry);
}

bool alert_outbox_inputs(struct alert_outbox *outbox, const char *run, uint64_t part, const char *inputs)
{
    size_t most = outbox->is_away ? ALERT_OUTBOX_INPUT_BYTES : ALERT_OUTBOX_INPUT_FLOW;
    if (outbox->input_bytes + strlen(inputs) > most) {
        return false;
    }
    char *text = NULL;
    uint64_t seq = ++outbox->seq;
    if (asprintf(&text,
                 "{\"kind\":\"inputs\",\"run\":\"%s\",\"part\":%" PRIu64 ",\"seq\":%" PRIu64
                 ",\"inputs\":[%s]}",
                 run, part, seq, inputs) < 0) {
        abort();
    }
    struct entry *entry = memory_alloc(sizeof *entry);
    *entry = (struct entry){.is_input = true, .level = LOG_LEVEL_INFO, .seq = seq, .text = text};
    accept(outbox, entry);
    return true;
}

bool alert_outbox_has_lost_inputs(const struct alert_outbox *outbox)
{
    return outbox->has_lost_inputs;
}

void alert_outbox_forget_lost_inputs(struct alert_outbox *outbox)
{
    outbox->has_lost_inputs = false;
}

static void tell_dropped(struct alert_outbox *outbox)
{
    if (outbox->dropped_untold == 0) {
        return;
    }
    struct event_record record;
    event_record_init(&record);
    memory_set_text(record.kind, sizeof record.kind, "controller");
    memory_set_text(record.event, sizeof record.event, "outbox_overflow");
    snprintf(record.detail, sizeof record.detail,
             "%" PRIu64 " alerts and records were dropped while Redis was away", outbox->dropped_untold);
    record.timestamp = clock_wall_now();
    log_error("%s", record.detail);
    outbox->dropped_untold = 0;
    alert_outbox_record(outbox, &record);
}

void alert_outbox_redis_back(struct alert_outbox *outbox)
{
    outbox->is_away = false;
    send_next(outbox);
    tell_dropped(outbox);
}

void alert_outbox_redis_away(struct alert_outbox *outbox)
{
    outbox->is_away = true;
    for (struct entry *entry = outbox->unsent; entry != NULL; entry = entry->next) {
        keep(outbox, entry);
    }
}

struct alert_outbox *alert_outbox_open(const char *state_dir, struct redis_session *session)
{
    struct alert_outbox *outbox = memory_alloc(sizeof *outbox);
    outbox->session = session;
    outbox->dir = memory_copy_text(state_dir);
    outbox->is_away = true;
    outbox->seq = (uint64_t)clock_wall_now().ms;
    read_file(outbox);
    return outbox;
}

void alert_outbox_close(struct alert_outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    keep_all(outbox);
    while (outbox->first != NULL) {
        remove_first(outbox);
    }
    free(outbox->dir);
    free(outbox);
}

size_t alert_outbox_count(const struct alert_outbox *outbox)
{
    return outbox->count + outbox->input_count;
}

uint64_t alert_outbox_dropped(const struct alert_outbox *outbox)
{
    return outbox->dropped;
}

uint64_t alert_outbox_added(const struct alert_outbox *outbox)
{
    return outbox->added;
}
