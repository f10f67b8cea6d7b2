#include "controller/leader_lease.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/memory.h"
#include "controller/disk_file.h"
#include "proto/json_writer.h"
#include "proto/keys.h"

#define EPOCH_FILE "leader.epoch"

enum { TOKEN_BYTES = 16, TOKEN_SIZE = 2 * TOKEN_BYTES + 1, NUMBER_SIZE = 24, FILE_MAX_BYTES = 128 };
enum { STANDBY_ASK_MS = 1000, RETRY_MS = 20, REASON_SIZE = 160 };
enum { ANSWER_COUNT = 5 };

/*
 * KEYS lease, epoch, controllers, marker
 * ARGV token, claimed epoch (0: a new one), epoch to exceed, lease ms, "1" where a free one may be taken,
 *      our id, JSON before and behind the epoch, the marker under which a free one may be taken ("": any)
 * Answers {1, epoch, others, 1 where it was ours} or {0, ms that the other's lease has left, its text, 0}, or
 * {-1, 0, the marker that stands, 0}; the fifth is what Redis' clock reads, in ms.
 * A lease without a time to live is nobody's: ours always have one. A key of another type is rubbish, so
 * is an epoch over LEADERSHIP_EPOCH_STORED_MAX. ZADD comes first: a full Redis refuses a script only at its
 * first write, and only where that one may need memory; it must give the lease to nobody, for it takes no
 * attempts, and those of who led before would be unknown to the next.
 */
static const char SCRIPT[] =
    "for i, wanted in ipairs({'string', 'string', 'zset'}) do "
    "local kind = redis.call('TYPE', KEYS[i]).ok "
    "if kind ~= wanted and kind ~= 'none' then redis.call('DEL', KEYS[i]) end "
    "end "
    "local time = redis.call('TIME') "
    "local now = time[1] * 1000 + math.floor(time[2] / 1000) "
    "redis.call('ZADD', KEYS[3], now + 2 * ARGV[4], ARGV[6]) "
    "redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now) "
    "redis.call('PEXPIRE', KEYS[3], 2 * ARGV[4]) "
    "local held = redis.call('GET', KEYS[1]) "
    "local left = redis.call('PTTL', KEYS[1]) "
    "local is_ours = held and string.find(held, ARGV[1], 1, true) "
    "if held and not is_ours and left > 0 then return {0, left, held, 0, now} end "
    "if not is_ours and ARGV[5] ~= '1' then return {0, 0, '', 0, now} end "
    "local is_marked = redis.call('TYPE', KEYS[4]).ok == 'string' "
    "local marker = is_marked and redis.call('GET', KEYS[4]) "
    "if not is_ours and ARGV[9] ~= '' and marker ~= ARGV[9] then return {-1, 0, marker, 0, now} end "
    "local known = tonumber(redis.call('GET', KEYS[2]) or 0) or 0 "
    "if known < 0 or known > 2^40 or known ~= math.floor(known) then known = 0 end "
    "local epoch = tonumber(ARGV[2]) "
    "local floor = math.max(known, tonumber(ARGV[3])) "
    "if is_ours and epoch > 0 and epoch >= floor then "
    "redis.call('PEXPIRE', KEYS[1], ARGV[4]) "
    "else "
    "epoch = floor + 1 "
    "redis.call('SET', KEYS[2], string.format('%.0f', epoch)) "
    "redis.call('SET', KEYS[1], ARGV[7] .. string.format('%.0f', epoch) .. ARGV[8], 'PX', ARGV[4]) "
    "end "
    "return {1, epoch, redis.call('ZCARD', KEYS[3]) - 1, is_ours and 1 or 0, now}";

/* KEYS lease, controllers, ours; ARGV token, id */
static const char RELEASE_SCRIPT[] =
    "if redis.call('TYPE', KEYS[1]).ok == 'string' and "
    "string.find(redis.call('GET', KEYS[1]), ARGV[1], 1, true) then redis.call('DEL', KEYS[1]) end "
    "redis.call('ZREM', KEYS[2], ARGV[2]) "
    "return redis.call('DEL', KEYS[3])";

struct leader_lease {
    struct leader_lease_options options;
    char *state_dir, *id;
    struct leadership leadership;
    struct loop_timer *look;
    struct mono look_at; /* when that comes */
    char token[TOKEN_SIZE];
    char state_key[KEY_SIZE];
    bool is_asking, is_released;
    bool was_free; /* so said the answer before the request under way */
    bool is_free;  /* an answer just said so: the request that follows at once may take it */
    struct mono asked_at, ask_at, told_until;
    char refusal[REASON_SIZE]; /* told last */
    char leader[REASON_SIZE];  /* whose lease was seen last, in words */
    char holder[REASON_SIZE];  /* its id */
};

static struct mono lease_now(const struct leader_lease *lease)
{
    return loop_now(lease->options.loop);
}

/* ---- the folder ---- */

static void keep(struct leader_lease *lease)
{
    char text[FILE_MAX_BYTES];
    int len = snprintf(text, sizeof text, "%" PRIu64 " %s\n", lease->leadership.granted, lease->token);
    struct err err;
    if (disk_file_replace(lease->state_dir, EPOCH_FILE, text, (size_t)len, &err) != 0) {
        log_warning("Cannot remember the epoch: %s", err.text);
    }
}

static uint64_t recall(struct leader_lease *lease)
{
    cleanup_free char *text = NULL;
    size_t len;
    struct err err;
    int result = disk_file_read(lease->state_dir, EPOCH_FILE, FILE_MAX_BYTES, &text, &len, &err);
    if (result != 0 && result != -ENOENT) {
        log_warning("Cannot read the epoch: %s", err.text);
    }
    char *rest = text;
    uint64_t epoch = result == 0 ? strtoull(text, &rest, 10) : 0;
    bool has_token = result == 0 && *rest == ' ' && strspn(rest + 1, "0123456789abcdef") == TOKEN_SIZE - 1;
    if (has_token) {
        memcpy(lease->token, rest + 1, TOKEN_SIZE - 1);
    } else {
        uint8_t random[TOKEN_BYTES];
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
            abort();
        }
        for (size_t i = 0; i < sizeof random; i++) {
            snprintf(lease->token + 2 * i, 3, "%02x", random[i]);
        }
    }
    return epoch <= LEADERSHIP_EPOCH_MAX ? epoch : 0;
}

/* ---- what we say of ourselves ---- */

static char *state_text(struct leader_lease *lease, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_SPACED, 256);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "id", lease->id);
    json_writer_text(&writer, "state", lease->options.state(lease->options.arg));
    json_writer_unsigned(&writer, "epoch", lease->leadership.granted);
    json_writer_time(&writer, "timestamp", clock_wall_now(), JSON_ROUND_DOWN);
    json_writer_close(&writer, '}');
    return json_writer_take(&writer, len);
}

static void publish_state(struct leader_lease *lease)
{
    char ttl[NUMBER_SIZE];
    size_t len;
    cleanup_free char *text = state_text(lease, &len);
    snprintf(ttl, sizeof ttl, "%" PRId64, 2 * lease->options.lease_ms);
    const char *argv[] = {"SET", lease->state_key, text, "PX", ttl};
    redis_session_command(lease->options.session, NULL, NULL, 5, argv, NULL);
}

void leader_lease_describe(const struct leader_lease *lease, char *out, size_t size)
{
    const struct leadership *leadership = &lease->leadership;
    char renewed[48] = "", others[48] = "";
    if (leadership->renewed_at.ms != 0) {
        snprintf(renewed, sizeof renewed, ", lease renewed %.1f s ago",
                 (double)mono_diff(lease_now(lease), leadership->renewed_at) / 1000.0);
    }
    if (leadership->others >= 0) {
        snprintf(others, sizeof others, ", %" PRId64 " other controllers", leadership->others);
    }
    snprintf(out, size, "%s, epoch %" PRIu64 " (highest known %" PRIu64 ")%s%s%s%s",
             leadership_role_name(leadership->role), leadership->granted, leadership->known, renewed, others,
             lease->leader[0] == '\0' ? "" : ", another one leads: ", lease->leader);
}

/* ---- when to look again ---- */

static bool may_ask(const struct leader_lease *lease)
{
    return !lease->is_asking && !lease->is_released && redis_session_is_writable(lease->options.session);
}

/* A look that comes too early is no harm. */
static void look_by(struct leader_lease *lease, struct mono at)
{
    if (at.ms < lease->look_at.ms && !lease->is_released) {
        int64_t left_ms = mono_diff(at, lease_now(lease));
        lease->look_at = at;
        loop_timer_start(lease->look, left_ms > 0 ? left_ms : 0, 0);
    }
}

static void look_when_due(struct leader_lease *lease)
{
    const struct leadership *leadership = &lease->leadership;
    look_by(lease, leadership_changes_at(leadership, lease_now(lease)));
    if (leadership->role == ROLE_ALONE && leadership_until(leadership).ms != lease->told_until.ms) {
        look_by(lease, mono_add(lease->told_until, -leadership->word_ms / 2)); /* to tell it in time */
    }
    if (may_ask(lease)) {
        look_by(lease, lease->ask_at);
    }
}

/* Something was told. What follows from it is not for the callback that heard it. */
static void look_after(struct leader_lease *lease)
{
    struct leadership next = lease->leadership;
    struct mono now = lease_now(lease);
    if (leadership_look(&next, now) != lease->leadership.role) {
        look_by(lease, now);
    } else {
        look_when_due(lease);
    }
}

/* ---- roles ---- */

static void tell_role(struct leader_lease *lease, enum leader_role before)
{
    const struct leadership *leadership = &lease->leadership;
    double lease_secs = (double)leadership->lease_ms / 1000.0;
    switch (leadership->role) {
    case ROLE_LEADER:
        log_info("Leading under epoch %" PRIu64 "%s", leadership->granted,
                 before == ROLE_STANDBY ? "" : ": the lease is renewed again");
        break;
    case ROLE_ALONE:
        log_warning(
            "The lease cannot be renewed, but nobody else can get it: leading on under epoch %" PRIu64,
            leadership->granted);
        break;
    case ROLE_FROZEN:
        log_warning("The lease of %.1f s was not renewed for two thirds of it: no commands", lease_secs);
        break;
    case ROLE_STANDBY:
        log_warning("No longer leading: %s", lease->leader[0] != '\0' ? lease->leader : "another one may");
        break;
    }
}

static void set_role(struct leader_lease *lease, enum leader_role before, enum lease_grant grant)
{
    const struct leader_lease_options *options = &lease->options;
    enum leader_role role = leadership_look(&lease->leadership, lease_now(lease));
    if (role != ROLE_STANDBY) {
        lease->leader[0] = lease->holder[0] = '\0';
    }
    if (role != before) {
        tell_role(lease, before);
    }
    if (role != ROLE_STANDBY && (before == ROLE_STANDBY || grant == GRANT_TAKEN)) {
        options->on_leading(options->arg, grant == GRANT_TAKEN ? GRANT_TAKEN : GRANT_RESUMED);
    } else if (role == ROLE_STANDBY && before != ROLE_STANDBY) {
        options->on_standby(options->arg);
    }
    struct mono until = leadership_until(&lease->leadership);
    if (until.ms != lease->told_until.ms || grant != GRANT_RENEWED) {
        lease->told_until = until;
        options->on_until(options->arg, until);
    }
    if (role != before) {
        publish_state(lease);
    }
}

static void on_asked(void *arg, const struct redis_reply *reply);

static int64_t ask_interval_ms(const struct leader_lease *lease)
{
    int64_t quarter = lease->options.lease_ms / 4;
    bool is_waiting = lease->leadership.role == ROLE_STANDBY && quarter > STANDBY_ASK_MS;
    return is_waiting ? STANDBY_ASK_MS : quarter < 1 ? 1 : quarter;
}

static void ask(struct leader_lease *lease)
{
    const struct leadership *leadership = &lease->leadership;
    bool is_standby = leadership->role == ROLE_STANDBY;
    struct mono now = lease_now(lease);
    char claim[NUMBER_SIZE], floor[NUMBER_SIZE], ttl[NUMBER_SIZE], behind[96];
    snprintf(claim, sizeof claim, "%" PRIu64, leadership_claim(leadership));
    snprintf(floor, sizeof floor, "%" PRIu64, leadership->known);
    snprintf(ttl, sizeof ttl, "%" PRId64, lease->options.lease_ms);
    struct json_writer writer;
    json_writer_init(&writer, JSON_SPACED, 128);
    json_writer_open(&writer, NULL, '{');
    json_writer_text(&writer, "id", lease->id);
    json_writer_time(&writer, "since", clock_wall_now(), JSON_ROUND_DOWN);
    cleanup_free char *before = json_writer_take(&writer, NULL);
    cleanup_free char *head = NULL;
    if (asprintf(&head, "%s, \"epoch\": ", before) < 0) {
        abort();
    }
    snprintf(behind, sizeof behind, ", \"token\": \"%s\"}", lease->token);
    bool may_take = leadership_may_take(leadership, now) && (!is_standby || lease->is_free);
    const char *argv[] = {"EVAL",
                          SCRIPT,
                          "4",
                          KEY_LEADER,
                          KEY_LEADER_EPOCH,
                          KEY_CONTROLLERS,
                          KEY_MARKER,
                          lease->token,
                          claim,
                          floor,
                          ttl,
                          may_take ? "1" : "0",
                          lease->id,
                          head,
                          behind,
                          is_standby ? redis_session_marker(lease->options.session) : ""};
    lease->was_free = lease->is_free;
    lease->is_free = false;
    lease->ask_at = mono_add(now, ask_interval_ms(lease));
    if (redis_session_command(lease->options.session, on_asked, lease, 16, argv, NULL) == 0) {
        lease->is_asking = true;
        lease->asked_at = now;
        publish_state(lease);
    }
}

static void take_grant(struct leader_lease *lease, const struct redis_reply *reply)
{
    enum leader_role before = lease->leadership.role;
    struct lease_terms terms = {.epoch = (uint64_t)redis_reply_number(redis_reply_at(reply, 1)),
                                .others = redis_reply_number(redis_reply_at(reply, 2)),
                                .was_ours = redis_reply_number(redis_reply_at(reply, 3)) == 1,
                                .asked_at = lease->asked_at};
    bool is_other_epoch = terms.epoch != lease->leadership.granted;
    enum lease_grant grant = leadership_granted(&lease->leadership, &terms);
    if (is_other_epoch) {
        keep(lease);
    }
    if (grant == GRANT_CONTINUED) {
        log_info("Leading on under epoch %" PRIu64, terms.epoch);
    }
    set_role(lease, before, grant);
}

/* The other's JSON: its id is what people want to know. */
static void note_leader(struct leader_lease *lease, const char *text)
{
    char id[REASON_SIZE - 32] = "";
    bool is_named = text != NULL && sscanf(text, "{\"id\": \"%127[^\"]\"", id) == 1;
    memory_set_text(lease->holder, sizeof lease->holder, is_named ? id : "");
    if (!is_named) {
        memory_set_text(id, sizeof id, text == NULL || *text == '\0' ? "nobody yet" : "somebody else");
    }
    char leader[REASON_SIZE];
    snprintf(leader, sizeof leader, "%s holds the lease", id);
    if (strcmp(leader, lease->leader) != 0) {
        memory_set_text(lease->leader, sizeof lease->leader, leader);
        log_info("Standing by: %s", leader);
    }
}

static void take_refusal(struct leader_lease *lease, const struct redis_reply *reply)
{
    enum leader_role before = lease->leadership.role;
    int64_t left_ms = redis_reply_number(redis_reply_at(reply, 1));
    note_leader(lease, redis_reply_text(redis_reply_at(reply, 2), NULL));
    if (left_ms > 0) {
        leadership_refused(&lease->leadership);
        lease->ask_at = mono_min(lease->ask_at, mono_add(lease_now(lease), left_ms + RETRY_MS));
    }
    set_role(lease, before, GRANT_RENEWED);
}

static void tell_failure(struct leader_lease *lease, const struct redis_reply *reply)
{
    const char *text = redis_reply_text(reply, NULL);
    const char *reason = text == NULL ? "an answer of another kind" : text;
    if (strncmp(lease->refusal, reason, sizeof lease->refusal - 1) != 0) {
        memory_set_text(lease->refusal, sizeof lease->refusal, reason);
        log_error("Cannot ask for the lease: %s", lease->refusal);
    }
}

/* A standby's first request takes nothing: it may lie about in front of a Redis that hangs, until all is
 * different. */
static bool is_to_be_taken(const struct leader_lease *lease, const struct redis_reply *reply)
{
    bool is_free = redis_reply_number(redis_reply_at(reply, 0)) == 0 &&
                   redis_reply_number(redis_reply_at(reply, 1)) <= 0;
    return is_free && !lease->was_free && lease->leadership.role == ROLE_STANDBY &&
           leadership_may_take(&lease->leadership, lease_now(lease));
}

static void take_answer(struct leader_lease *lease, const struct redis_reply *reply)
{
    if (!redis_session_took_write(lease->options.session, reply) || lease->is_released) {
        if (!lease->is_released && reply != NULL && redis_session_is_writable(lease->options.session)) {
            tell_failure(lease, reply);
        }
        return;
    }
    if (redis_reply_type(reply) != REDIS_REPLY_LIST || redis_reply_count(reply) != ANSWER_COUNT) {
        tell_failure(lease, reply);
        return;
    }
    lease->refusal[0] = '\0';
    redis_session_set_wall(lease->options.session,
                           (struct wall){redis_reply_number(redis_reply_at(reply, 4))}, lease_now(lease));
    int64_t answer = redis_reply_number(redis_reply_at(reply, 0));
    if (answer == 1) {
        take_grant(lease, reply);
    } else if (is_to_be_taken(lease, reply)) {
        lease->is_free = true;
        ask(lease);
    } else if (answer == -1) {
        redis_session_has_marker(lease->options.session, redis_reply_at(reply, 2)); /* on_away comes */
    } else {
        take_refusal(lease, reply);
    }
}

static void on_asked(void *arg, const struct redis_reply *reply)
{
    struct leader_lease *lease = arg;
    lease->is_asking = false;
    take_answer(lease, reply);
    look_when_due(lease);
}

void leader_lease_look(struct leader_lease *lease)
{
    set_role(lease, lease->leadership.role, GRANT_RENEWED);
    look_when_due(lease);
}

static void on_look(void *arg)
{
    struct leader_lease *lease = arg;
    lease->look_at = MONO_NEVER;
    set_role(lease, lease->leadership.role, GRANT_RENEWED);
    if (may_ask(lease) && mono_reached(lease_now(lease), lease->ask_at)) {
        ask(lease);
    }
    look_when_due(lease);
}

/* ---- from outside ---- */

void leader_lease_redis_there(struct leader_lease *lease)
{
    leadership_redis(&lease->leadership, true, lease_now(lease));
    if (may_ask(lease)) {
        ask(lease);
    }
    look_after(lease);
}

void leader_lease_redis_away(struct leader_lease *lease)
{
    leadership_redis(&lease->leadership, false, lease_now(lease));
    look_after(lease);
}

void leader_lease_heard(struct leader_lease *lease, uint64_t epoch, enum redis_word redis)
{
    uint64_t known = lease->leadership.known;
    leadership_heard(&lease->leadership, epoch, redis, lease_now(lease));
    if (lease->leadership.role == ROLE_LEADER && lease->leadership.known > known) {
        lease->ask_at = lease_now(lease); /* for one that exceeds it */
    }
    look_after(lease);
}

void leader_lease_release(struct leader_lease *lease)
{
    loop_timer_stop(lease->look);
    lease->is_released = true;
    const char *argv[] = {"EVAL",          RELEASE_SCRIPT,   "3",          KEY_LEADER,
                          KEY_CONTROLLERS, lease->state_key, lease->token, lease->id};
    redis_session_command(lease->options.session, NULL, NULL, 8, argv, NULL);
}

bool leader_lease_leads(const struct leader_lease *lease)
{
    return lease->leadership.role != ROLE_STANDBY;
}

const char *leader_lease_holder(const struct leader_lease *lease)
{
    return leader_lease_leads(lease) ? lease->id : lease->holder;
}

bool leader_lease_has_seen_other(const struct leader_lease *lease)
{
    return lease->leadership.has_seen_other;
}

uint64_t leader_lease_epoch(const struct leader_lease *lease)
{
    return lease->leadership.granted;
}

struct leader_lease *leader_lease_open(const struct leader_lease_options *options)
{
    struct leader_lease *lease = memory_alloc(sizeof *lease);
    lease->options = *options;
    lease->state_dir = memory_copy_text(options->state_dir);
    lease->id = memory_copy_text(options->id);
    key_controller(lease->state_key, options->id);
    leadership_init(&lease->leadership, options->lease_ms, options->word_ms, recall(lease));
    lease->look = loop_timer_new(options->loop, on_look, lease);
    lease->look_at = MONO_NEVER;
    return lease;
}

void leader_lease_close(struct leader_lease *lease)
{
    if (lease == NULL) {
        return;
    }
    loop_timer_free(lease->look);
    free(lease->state_dir);
    free(lease->id);
    free(lease);
}
