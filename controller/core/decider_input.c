#include "controller/core/decider_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "controller/core/decider_hold.h"
#include "controller/core/decider_hosts.h"
#include "controller/core/decider_lead.h"
#include "proto/json_writer.h"

enum { SPEC_SIZE = 256, QUIET_TICKS = 4096 };

_Static_assert(PATH_N + 1 == JOURNAL_PATHS, "the host's own vouching comes behind the paths");

/* ---- what moved ---- */

void decider_input_note(struct decider *decider)
{
    decider->moves++;
}

uint64_t decider_input_mark(const struct decider *decider)
{
    return decider->moves + decider->actions.added;
}

bool decider_input_has_moved(const struct decider *decider, uint64_t mark)
{
    return decider_input_mark(decider) != mark;
}

static struct journal_input new_input(const struct decider *decider, enum journal_kind kind)
{
    struct journal_input input;
    journal_input_init(&input, kind, decider->now, decider->wall);
    return input;
}

static void put(struct decider *decider, const struct journal_input *input)
{
    cleanup_free char *text = journal_input_encode(input, NULL);
    struct action action = {
        .kind = ACTION_INPUT, .container = input->container, .host = input->host, .text = text};
    action_queue_add(&decider->actions, &action);
}

/* When a container waits, the moments at which it looks again hang on those before. They are only worth
 * writing where something comes of them, and then the last ones are enough. */
static void keep_quiet_tick(struct decider *decider, struct journal_tick tick)
{
    if (!decider->quiet_ticks) {
        decider->quiet_ticks = memory_alloc(QUIET_TICKS * sizeof *decider->quiet_ticks);
    }
    if (decider->quiet_count == QUIET_TICKS) {
        decider->quiet_count /= 2;
        memmove(decider->quiet_ticks, decider->quiet_ticks + QUIET_TICKS - decider->quiet_count,
                decider->quiet_count * sizeof *decider->quiet_ticks);
    }
    decider->quiet_ticks[decider->quiet_count++] = tick;
}

static void write_down(struct decider *decider, const struct journal_input *input)
{
    if (decider->quiet_count > 0) {
        struct journal_input ticks = new_input(decider, JOURNAL_TICKS);
        ticks.ticks = decider->quiet_ticks;
        ticks.tick_count = decider->quiet_count;
        put(decider, &ticks);
        decider->quiet_count = 0;
    }
    put(decider, input);
}

/* ---- silences ---- */

/* So long a silence is written down: shorter than any that the policy moves for. */
static int64_t silence_ms(const struct decider *decider)
{
    const struct policy_config *config = decider->config;
    int64_t ms =
        config->heartbeat_ttl_ms < config->agent_lost_ms ? config->heartbeat_ttl_ms : config->agent_lost_ms;
    return ms / 4 * 3;
}

static void write_silence(struct decider *decider, const struct container *container, const struct host *host,
                          int path, struct mono since)
{
    char key[2 * LIMIT_NAME_SIZE] = "";
    struct journal_input input = new_input(decider, JOURNAL_HEARD);
    if (container && container->service) {
        snprintf(key, sizeof key, "%s:%s", container->service, container->instance);
        key[LIMIT_NAME_SIZE - 1] = '\0';
    }
    input.container = container ? container->name : "";
    input.host = host ? host->name : "";
    input.name = key;
    input.path = path;
    input.since = since;
    write_down(decider, &input);
}

void decider_input_heard(struct decider *decider, struct host *host, int path)
{
    bool is_first = path < PATH_N && host->heard[path].ms == 0;
    if (host->is_silence_written[path] || is_first) {
        host->is_silence_written[path] = false;
        decider_input_note(decider);
    }
}

void decider_input_host(struct decider *decider, struct host *host)
{
    struct mono heard[JOURNAL_PATHS] = {host->heard[PATH_REDIS], host->heard[PATH_RPC], host->vouched_at};
    for (int path = 0; decider->is_recording && path < JOURNAL_PATHS; path++) {
        bool is_silent = heard[path].ms != 0 && mono_diff(decider->now, heard[path]) > silence_ms(decider);
        if (is_silent && !host->is_silence_written[path]) {
            host->is_silence_written[path] = true;
            write_silence(decider, NULL, host, path, heard[path]);
        }
    }
}

void decider_input_heard_agent(struct decider *decider, struct container *container)
{
    if (decider->is_recording && (container->is_agent_silent || !container->is_agent_written)) {
        container->is_agent_silent = false;
        container->is_agent_written = true;
        decider_input_note(decider);
    }
}

/* Its agent's beats, while those of other containers come. */
static bool is_agent_silent(const struct decider *decider, const struct container *container)
{
    const struct host *host = container->host;
    return host && decider->liveness.is_redis_up && container->agent_at.ms != 0 &&
           container->state == CONTAINER_RUNNING && !host->is_silence_written[PATH_REDIS] &&
           mono_diff(host->heard[PATH_REDIS], container->agent_at) > silence_ms(decider);
}

void decider_input_container(struct decider *decider, struct container *container)
{
    if (!decider->is_recording) {
        return;
    }
    bool is_app_silent =
        container->app_at.ms != 0 && mono_diff(decider->now, container->app_at) > silence_ms(decider);
    if (is_app_silent && !container->is_app_silent) {
        container->is_app_silent = true;
        write_silence(decider, container, NULL, JOURNAL_SERVICE, container->app_at);
    }
    if (!container->is_agent_silent && is_agent_silent(decider, container)) {
        container->is_agent_silent = true;
        write_silence(decider, container, NULL, JOURNAL_AGENT, container->agent_at);
    }
}

/* ---- words ---- */

bool decider_input_is_same_word(const struct container *container, const struct heartbeat *beat)
{
    bool is_same_death = container->has_exit_code == beat->has_exit_code &&
                         container->exit_code == beat->exit_code &&
                         container->stop_class == beat->stop_class &&
                         container->is_docker_restarting == beat->is_docker_restarting;
    bool is_same_count = beat->restart_count < 0 || container->restart_count == beat->restart_count;
    bool is_same_outcome = beat->last_command[0] == '\0' || beat->last_command_code == ANSWER_ACCEPTED ||
                           strcmp(beat->last_command, container->last_command) == 0;
    return container->agent_status == beat->status && container->state == beat->state &&
           container->health == beat->health && is_same_death && is_same_count && is_same_outcome &&
           strcmp(container->incarnation, beat->incarnation) == 0 &&
           strcmp(container->container_id, beat->container_id) == 0 &&
           liveness_has_key(container, beat->service, beat->instance_id);
}

void decider_input_word(struct decider *decider, const struct container *container,
                        const struct heartbeat *beat)
{
    if (decider->is_recording) {
        decider->is_word_same = decider_input_is_same_word(container, beat);
        decider->moves += !decider->is_word_same;
    }
}

/* It stands in the journal since the last START, or does so from now on. */
static bool is_written(const struct decider *decider, const struct container *container)
{
    return container && container->written == decider->start_count;
}

static bool is_agents(const struct heartbeat *beat)
{
    return strcmp(beat->source, "agent") == 0 && beat->host[0] && beat->container[0];
}

static struct container *find_speaker(const struct decider *decider, const struct heartbeat *beat)
{
    struct container *container = liveness_find_by_key(&decider->liveness, beat->service, beat->instance_id);
    return container || !beat->container[0] ? container : liveness_find(&decider->liveness, beat->container);
}

void decider_input_beat(struct decider *decider, const struct heartbeat *beat, uint64_t mark)
{
    if (!decider->is_recording) {
        return;
    }
    bool is_by_agent = is_agents(beat), has_moved = decider_input_has_moved(decider, mark);
    if (is_by_agent && !has_moved) {
        return; /* as nearly all: nothing is looked up for it */
    }
    struct container *container =
        is_by_agent ? liveness_find(&decider->liveness, beat->container) : find_speaker(decider, beat);
    bool is_new = container && !is_by_agent && !container->is_app_written;
    if (!has_moved && !is_new) {
        return;
    }
    bool is_again = is_by_agent && decider->is_word_same && is_written(decider, container);
    struct journal_input input = new_input(decider, is_again ? JOURNAL_AGAIN : JOURNAL_BEAT);
    input.container = container ? container->name : beat->container;
    input.agent = beat->agent;
    input.seq = beat->seq;
    input.stamp = beat->timestamp;
    input.beat = (struct heartbeat *)(uintptr_t)beat;
    write_down(decider, &input);
    if (container && is_by_agent) {
        container->written = decider->start_count;
    } else if (container) {
        container->is_app_written = true;
    }
}

/* ---- inventories ---- */

static uint64_t print_of(const struct container_spec *spec)
{
    struct json_writer writer;
    json_writer_init(&writer, JSON_COMPACT, SPEC_SIZE);
    json_writer_open(&writer, NULL, '{');
    container_spec_write(&writer, "spec", spec);
    json_writer_close(&writer, '}');
    uint64_t print = 14695981039346656037ULL;
    for (size_t i = 0; i < writer.len; i++) {
        print = (print ^ (unsigned char)writer.text[i]) * 1099511628211ULL;
    }
    json_writer_fini(&writer);
    return print;
}

static bool is_of(const struct host *host, const struct registration *registration)
{
    return strcmp(host->agent, registration->agent) == 0 && host->change == registration->change &&
           host->seq == registration->seq;
}

bool *decider_input_compare(const struct decider *decider, const struct registration *registration)
{
    const struct host *host = liveness_find_host(&decider->liveness, registration->host);
    bool is_copy = host && host->written == decider->start_count && is_of(host, registration);
    if (!decider->is_recording || is_copy) {
        return NULL;
    }
    bool is_of_agent = host && strcmp(host->agent, registration->agent) == 0;
    bool *is_changed = memory_alloc(registration->count + 1);
    /* Without its engine it tells what it last knew, and nobody listens. */
    for (size_t i = 0; registration->is_engine_up && i < registration->count; i++) {
        const struct registration_entry *entry = &registration->entries[i];
        const struct container *container = liveness_find(&decider->liveness, entry->beat.container);
        bool is_known = host && is_written(decider, container) && container->host == host &&
                        container->spec_print == print_of(&entry->spec);
        /* Where a beat was quicker nobody listens to this. */
        bool is_old = is_known && is_of_agent && container->generation == host->generation &&
                      entry->beat.seq < container->seq;
        is_changed[i] = !is_known || (!is_old && !decider_input_is_same_word(container, &entry->beat));
    }
    return is_changed;
}

/* A copy of what is known may be behind a beat: that one is then written when it comes again. */
static void note_written(struct decider *decider, const struct registration *registration)
{
    for (size_t i = 0; i < registration->count; i++) {
        const struct registration_entry *entry = &registration->entries[i];
        struct container *container = liveness_find(&decider->liveness, entry->beat.container);
        bool is_of_host =
            container && container->host && strcmp(container->host->name, registration->host) == 0;
        if (is_of_host && decider_input_is_same_word(container, &entry->beat)) {
            container->written = decider->start_count;
            container->spec_print = print_of(&entry->spec);
        }
    }
}

void decider_input_registration(struct decider *decider, const struct registration *registration,
                                enum path path, bool *is_changed, uint64_t mark)
{
    struct host *host = liveness_find_host(&decider->liveness, registration->host);
    bool is_taken = is_changed && host && is_of(host, registration); /* no late word of an older process */
    if (!is_taken) {
        free(is_changed);
        decider_input_unchanged(decider, registration->host, registration->agent, registration->change, path,
                                mark);
        return;
    }
    struct journal_input input = new_input(decider, JOURNAL_INVENTORY);
    input.host = registration->host;
    input.agent = registration->agent;
    input.change = registration->change;
    input.seq = registration->seq;
    input.path = path;
    input.registration = (struct registration *)(uintptr_t)registration;
    input.is_changed = is_changed;
    for (size_t i = 0; i < registration->count; i++) {
        uint64_t seq = registration->entries[i].beat.seq;
        input.word_seq = seq > input.word_seq ? seq : input.word_seq;
    }
    size_t left_out = 0;
    struct container *first = registration->is_engine_up ? host->containers : NULL;
    for (struct container *each = first; each; each = each->host_next) {
        left_out += each->round != host->round;
    }
    cleanup_free const char **gone = memory_grow(NULL, left_out + 1, sizeof *gone);
    for (struct container *each = first; each; each = each->host_next) {
        if (each->round != host->round) {
            gone[input.gone_count++] = each->name;
        }
    }
    input.gone = gone;
    write_down(decider, &input);
    if (registration->is_engine_up) {
        note_written(decider, registration);
    }
    host->written = decider->start_count;
    free(is_changed);
}

bool decider_input_wants_whole(const struct decider *decider, const char *name)
{
    const struct host *host = liveness_find_host(&decider->liveness, name);
    return decider->is_recording && host && host->written != decider->start_count;
}

void decider_input_unchanged(struct decider *decider, const char *host, const char *agent, uint64_t change,
                             enum path path, uint64_t mark)
{
    if (!decider->is_recording || !decider_input_has_moved(decider, mark)) {
        return;
    }
    struct journal_input input = new_input(decider, JOURNAL_UNCHANGED);
    input.host = host;
    input.agent = agent;
    input.change = change;
    input.path = path;
    write_down(decider, &input);
}

/* ---- the rest ---- */

void decider_input_tilt(struct decider *decider, struct mono since)
{
    if (decider->is_recording) {
        struct journal_input input = new_input(decider, JOURNAL_TILT);
        input.since = since;
        write_down(decider, &input);
    }
}

void decider_input_tick(struct decider *decider, uint64_t mark, struct mono due, bool has_looked)
{
    if (!decider->is_recording) {
        return;
    }
    due = mono_min(due, decider->now);
    if (!decider->is_tick_written || decider_input_has_moved(decider, mark)) {
        struct journal_input input = new_input(decider, JOURNAL_TICK);
        input.since = due;
        decider->is_tick_written = true;
        write_down(decider, &input);
    } else if (has_looked) {
        keep_quiet_tick(decider, (struct journal_tick){decider->now, due});
    }
}

void decider_input_end(struct decider *decider)
{
    decider->is_recording = false;
    decider->quiet_count = 0;
}

void decider_input_fini(struct decider *decider)
{
    free(decider->quiet_ticks);
}

void decider_input_redis(struct decider *decider, enum redis_state state)
{
    if (decider->is_recording) {
        struct journal_input input = new_input(decider, JOURNAL_REDIS);
        input.value = state;
        write_down(decider, &input);
    }
}

void decider_input_key(struct decider *decider, const char *container, enum key_finding finding)
{
    if (decider->is_recording) {
        struct journal_input input = new_input(decider, JOURNAL_KEY);
        input.container = container;
        input.value = finding;
        write_down(decider, &input);
    }
}

void decider_input_state(struct decider *decider, const char *container, const struct restart_state *state)
{
    if (decider->is_recording) {
        struct journal_input input = new_input(decider, JOURNAL_STATE);
        input.container = container;
        input.state = (struct restart_state *)(uintptr_t)state;
        write_down(decider, &input);
    }
}

void decider_input_reset(struct decider *decider, const char *container)
{
    if (decider->is_recording) {
        struct journal_input input = new_input(decider, JOURNAL_RESET);
        input.container = container;
        write_down(decider, &input);
    }
}

void decider_input_forget(struct decider *decider, const char *host)
{
    if (decider->is_recording) {
        struct journal_input input = new_input(decider, JOURNAL_FORGET);
        input.host = host;
        write_down(decider, &input);
    }
}

void decider_input_stored(struct decider *decider, const char *container, uint64_t token,
                          enum stored_in where)
{
    if (decider->is_recording && token != 0) {
        struct journal_input input = new_input(decider, JOURNAL_STORED);
        input.container = container;
        input.token = token;
        input.value = (int64_t)where;
        write_down(decider, &input);
    }
}

void decider_input_sent(struct decider *decider, const char *container, const struct command_id *id)
{
    if (decider->is_recording) {
        char hex[LIMIT_COMMAND_ID_SIZE];
        command_id_format(id, hex);
        struct journal_input input = new_input(decider, JOURNAL_SENT);
        input.container = container;
        input.id = hex;
        write_down(decider, &input);
    }
}

void decider_input_answer(struct decider *decider, const char *container, const struct command_id *id,
                          int status, const struct answer *answer)
{
    if (!decider->is_recording) {
        return;
    }
    char hex[LIMIT_COMMAND_ID_SIZE];
    command_id_format(id, hex);
    struct journal_input input = new_input(decider, JOURNAL_ANSWER);
    input.container = container;
    input.id = hex;
    input.status = status;
    input.code = answer ? (int64_t)answer->code : -1;
    input.detail = answer ? answer->detail : "";
    write_down(decider, &input);
}

void decider_input_hold(struct decider *decider, const char *kind, const char *name, bool is_held,
                        struct wall until)
{
    if (decider->is_recording) {
        struct journal_input input = new_input(decider, JOURNAL_HOLD);
        input.hold = kind;
        input.name = name;
        input.value = is_held;
        input.until = until;
        write_down(decider, &input);
    }
}

void decider_input_leader(struct decider *decider)
{
    bool is_leader = decider_lead_may_send(decider, decider->now);
    bool is_news = is_leader != decider->is_lead_written || decider->epoch != decider->epoch_written;
    if (decider->is_recording && is_news) {
        struct journal_input input = new_input(decider, JOURNAL_LEADER);
        input.is_leader = decider->is_lead_written = is_leader;
        input.epoch = decider->epoch_written = decider->epoch;
        write_down(decider, &input);
    }
}

/* ---- the beginning ---- */

static void write_hold(void *arg, const char *kind, const char *name, struct wall until)
{
    decider_input_hold(arg, kind, name, true, until);
}

/* Its budget, and whether something was announced that is to be closed, stored or not. */
static void write_state(struct decider *decider, const struct container *container)
{
    struct restart_state state;
    restart_state_init(&state);
    if (container->stored) {
        state = *container->stored; /* borrowed for the call */
    } else if (container->policy.is_closing_due) {
        memory_set_text(state.container_id, sizeof state.container_id, container->container_id);
    } else {
        return;
    }
    state.is_recovery_due = container->policy.is_closing_due;
    decider_input_state(decider, container->name, &state);
}

void decider_input_begin(struct decider *decider, const char *settings)
{
    decider->is_recording = true;
    decider->start_count++;
    decider->is_tick_written = false;
    struct journal_input input = new_input(decider, JOURNAL_START);
    memcpy(input.seed, decider->random_state, sizeof input.seed);
    input.token = decider->next_token;
    input.check_at = decider->check_at;
    input.hosts_at = decider->hosts_at;
    input.settled_at = decider->liveness.settled_at;
    input.is_redis_up = decider->liveness.is_redis_up;
    input.redis_since = decider->liveness.redis_since;
    input.have_others_led = decider->have_others_led;
    input.is_leader = decider->is_lead_written = decider_lead_may_send(decider, decider->now);
    input.epoch = decider->epoch_written = decider->epoch;
    input.settings = settings;
    write_down(decider, &input);
    for (struct container *each = liveness_first(&decider->liveness); each; each = liveness_next(each)) {
        each->spec_print = 0; /* no beat tells it: the next inventory does */
        each->is_app_written = each->is_agent_written = false;
        each->is_app_silent = each->is_agent_silent = false;
        write_state(decider, each);
    }
    struct host *host = liveness_first_host(&decider->liveness);
    for (; host; host = liveness_next_host(host)) {
        memset(host->is_silence_written, true, sizeof host->is_silence_written);
    }
    decider_hold_each(decider, write_hold, decider);
}

void decider_input_resume(struct decider *decider, const struct journal_input *start)
{
    memcpy(decider->random_state, start->seed, sizeof start->seed);
    decider->next_token = start->token;
    decider->check_at = start->check_at;
    decider->hosts_at = start->hosts_at;
    decider->liveness.settled_at = start->settled_at;
    decider->liveness.is_redis_up = start->is_redis_up;
    decider->liveness.redis_since = start->redis_since;
    decider->have_others_led = start->have_others_led;
    decider->leads_until = start->is_leader ? MONO_NEVER : (struct mono){0};
    decider->epoch = start->epoch;
}

void decider_input_heard_beat(struct decider *decider, const struct heartbeat *beat)
{
    bool is_by_agent = is_agents(beat);
    struct container *container =
        is_by_agent ? liveness_find(&decider->liveness, beat->container) : find_speaker(decider, beat);
    if (!container) {
        return;
    }
    container->seen_at = decider->now;
    if (!is_by_agent) {
        container->app_at = decider->now;
        container->app_stamp = beat->timestamp;
        return;
    }
    container->agent_at = decider->now;
    if (container->host) {
        decider_hosts_hear(decider, container->host, PATH_REDIS);
    }
}
