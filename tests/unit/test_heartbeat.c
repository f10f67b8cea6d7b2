#include "proto/heartbeat.h"

#include <errno.h>

#include <cjson/cJSON.h>

#include "proto/heartbeat_facts.h"
#include "tests/unit/vectors.h"

/* What is written reads as the same document again, and writes the same bytes. */
static int decode_checked(const uint8_t *bytes, size_t len)
{
    struct heartbeat beat;
    struct err err = {0};
    int status = heartbeat_decode((const char *)bytes, len, &beat, &err);
    if (status != 0) {
        assert_int_equal(err.code, -status);
        assert_true(err.text[0] != '\0');
        assert_null(beat.checks);
        assert_null(beat.extra);
        assert_string_equal(beat.service, "");
        return status;
    }
    size_t first_len = 0;
    cleanup_free char *first = heartbeat_encode(&beat, &first_len);
    struct heartbeat again;
    assert_int_equal(heartbeat_decode(first, first_len, &again, &err), 0);
    size_t second_len = 0;
    cleanup_free char *second = heartbeat_encode(&again, &second_len);
    assert_string_equal(first, second);
    assert_int_equal(first_len, second_len);
    assert_string_equal(beat.service, again.service);
    assert_string_equal(beat.instance_id, again.instance_id);
    assert_int_equal(beat.status, again.status);
    heartbeat_fini(&again);
    heartbeat_fini(&beat);
    return 0;
}

static void vectors_hold(void **state)
{
    (void)state;
    vectors_check("heartbeat", decode_checked);
    vectors_truncate("heartbeat", decode_checked);
}

static void mutations_do_no_harm(void **state)
{
    (void)state;
    vectors_mutate("heartbeat", decode_checked, 100000);
}

/* The facts are those that the whole reader finds, and so are the refusals. */
static int facts_checked(const uint8_t *bytes, size_t len)
{
    struct heartbeat whole, facts;
    struct err whole_err = {0}, facts_err = {0};
    int status = heartbeat_decode((const char *)bytes, len, &whole, &whole_err);
    assert_int_equal(heartbeat_facts_decode((const char *)bytes, len, &facts, &facts_err), status);
    assert_string_equal(facts_err.text, whole_err.text);
    heartbeat_fini(&whole); /* the trees need not be the same */
    heartbeat_fini(&facts);
    cleanup_free char *whole_text = heartbeat_encode(&whole, NULL);
    cleanup_free char *facts_text = heartbeat_encode(&facts, NULL);
    assert_string_equal(facts_text, whole_text);
    assert_string_equal(facts.status_word, whole.status_word);
    assert_int_equal(facts.oom_killed, whole.oom_killed);
    assert_int_equal(facts.has_exit_code, whole.has_exit_code);
    assert_int_equal(facts.restart_count, whole.restart_count);
    return status;
}

static void facts_are_the_same(void **state)
{
    (void)state;
    vectors_check("heartbeat", facts_checked);
    vectors_truncate("heartbeat", facts_checked);
    vectors_mutate("heartbeat", facts_checked, 100000);
}

/* One byte more, less or other, at every place of a document that has the shape. */
static void facts_near_the_shape_are_the_same(void **state)
{
    (void)state;
    static const char odd[] = " \r\n\t\"\\{}[]:,.-+0129aeE\x7f\x80\xc3";
    struct vector vector;
    vector_read("heartbeat", "good_agent.json", &vector);
    cleanup_free uint8_t *text = memory_grow(NULL, vector.len + 1, 1);
    for (size_t at = 0; at <= vector.len; at++) {
        for (size_t each = 0; each < sizeof odd; each++) { /* also NUL */
            memcpy(text, vector.bytes, at);
            text[at] = (uint8_t)odd[each];
            memcpy(text + at + 1, vector.bytes + at, vector.len - at);
            vector_try(facts_checked, text, vector.len + 1);
            if (at < vector.len) {
                memcpy(text + at + 1, vector.bytes + at + 1, vector.len - at - 1);
                vector_try(facts_checked, text, vector.len);
                memmove(text + at, text + at + 1, vector.len - at - 1);
                vector_try(facts_checked, text, vector.len - 1);
            }
        }
    }
    free(vector.bytes);
}

/* Each field of such a document with every odd value. */
static void facts_of_odd_values_are_the_same(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "",
        "null",
        "true",
        "false",
        "truey",
        "\"\"",
        "\"x\"",
        "\"unknown\"",
        "\"healthy\"",
        "\"running\"",
        "\"a\\u0041\"",
        "\"\x7f\"",
        "\"\xc3\xa9\"",
        "\"2026-01-23 19:05:30+01:00\"",
        "\"1970-01-01T00:00:00Z\"",
        "\"a word that is far too long for a word\"",
        "0",
        "-0",
        "00",
        "01",
        "7",
        "-7",
        "5.0",
        "5.",
        ".5",
        "1e3",
        "-",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "999999999999999",
        "1000000000000000",
        "9007199254740993",
        "99999999999999999999",
        "NaN",
        "-Infinity",
        "[]",
        "[1]",
        "{}",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{\"a\":{\"b\":1}}",
        "{\"a\":\"b\"}",
        "{\"a\":-1.25,\"b\":true}",
        "{\"a\":1.}",
        "{\"a\":01}",
        "{\"a\":0.1234567890123456789}",
        "{\"\":1}",
        "{\"a\":1,\"a\":2}",
        "{\"a\" :1}",
        "{\"a\":1000000000000000}",
        "{a:1}",
    };
    struct vector vector;
    vector_read("heartbeat", "good_agent.json", &vector);
    cleanup_free char *text = memory_grow(NULL, vector.len + 64, 1);
    for (size_t at = 0; at + 2 < vector.len; at++) {
        if (memcmp(vector.bytes + at, "\":", 2) != 0) {
            continue;
        }
        size_t value = at + 2;
        size_t end = value;
        while (end < vector.len - 1 && memcmp(vector.bytes + end, ",\"", 2) != 0) {
            end++;
        }
        for (size_t each = 0; each < sizeof odd / sizeof odd[0]; each++) {
            int len = snprintf(text, vector.len + 64, "%.*s%s%.*s", (int)value, (const char *)vector.bytes,
                               odd[each], (int)(vector.len - end), (const char *)vector.bytes + end);
            vector_try(facts_checked, (const uint8_t *)text, (size_t)len);
        }
    }
    free(vector.bytes);
}

/* What an agent says has the shape; a tree would show that it was read the long way. */
static void facts_of_an_agent_need_no_tree(void **state)
{
    (void)state;
    struct heartbeat facts;
    struct vector vector;
    vector_read("heartbeat", "good_agent.json", &vector);
    assert_int_equal(heartbeat_facts_decode((const char *)vector.bytes, vector.len, &facts, NULL), 0);
    assert_null(facts.checks);
    assert_null(facts.metrics);
    assert_string_equal(facts.error, "no such file");
    assert_int_equal(facts.seq, 4711);
    heartbeat_fini(&facts);
    free(vector.bytes);
}

/* The shape is known up to 4096 bytes: behind that the bounds of the whole reader count. */
static void facts_of_many_metrics_are_the_same(void **state)
{
    (void)state;
    enum { METRICS = 5000 };
    cleanup_free char *text = memory_alloc(64 + 6 * METRICS);
    for (size_t metrics = 1; metrics <= METRICS; metrics += metrics < 700 ? 1 : 100) {
        size_t len = (size_t)sprintf(text, "{\"service\":\"a\",\"instance_id\":\"1\",\"metrics\":{");
        for (size_t each = 0; each < metrics; each++) {
            len += (size_t)sprintf(text + len, "\"a\":1,");
        }
        len += (size_t)sprintf(text + len - 1, "}}") - 1;
        facts_checked((const uint8_t *)text, len);
    }
}

static void decode_text(const char *text, struct heartbeat *out)
{
    struct err err = {0};
    if (heartbeat_decode(text, strlen(text), out, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
}

static void assert_encodes(const struct heartbeat *beat, const char *wanted)
{
    size_t len = 0;
    cleanup_free char *text = heartbeat_encode(beat, &len);
    assert_string_equal(text, wanted);
    assert_int_equal(len, strlen(wanted));
}

static void takes_the_runbook_s_document(void **state)
{
    (void)state;
    struct vector vector;
    vector_read("heartbeat", "good_runbook.json", &vector);
    struct heartbeat beat;
    assert_int_equal(heartbeat_decode((const char *)vector.bytes, vector.len, &beat, NULL), 0);
    free(vector.bytes);
    assert_string_equal(beat.service, "game_shard");
    assert_string_equal(beat.instance_id, "shard-1");
    assert_int_equal(beat.status, BEAT_HEALTHY);
    assert_int_equal(beat.started_at.ms, 1769194800000);
    assert_int_equal(beat.timestamp.ms, 1769195130000);
    assert_null(beat.extra);
    assert_encodes(&beat, "{\"service\":\"game_shard\",\"instance_id\":\"shard-1\",\"status\":\"healthy\","
                          "\"started_at\":\"2026-01-23T19:00:00Z\",\"timestamp\":\"2026-01-23T19:05:30Z\","
                          "\"checks\":{\"redis_ok\":true,\"db_ok\":true},"
                          "\"metrics\":{\"games_monitored\":5,\"signals_generated\":12}}");
    heartbeat_fini(&beat);
}

/* Our own spelling, byte for byte: encode(decode(text)) == text. */
static void keeps_documents_to_the_letter(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"service\":\"s\",\"instance_id\":\"i\"}",
        "{\"service\":\"s\",\"instance_id\":\"i\",\"status\":\"warming up\"}",
        "{\"service\":\"s\",\"instance_id\":\"i\",\"x\":{\"id\":9007199254740993,\"n\":-9007199254740995}}",
        "{\"service\":\"s\",\"instance_id\":\"i\",\"x\":[0.1,0.5,98.125,66.66666666666667,0."
        "30000000000000004]}",
        "{\"service\":\"s\",\"instance_id\":\"i\",\"x\":[1e+100,-2.5e-07,1e999,"
        "123456789012345678901234567890]}",
        "{\"service\":\"s\",\"instance_id\":\"i\",\"x\":[{\"\":null,\"a\":[[],{}]},true,"
        "\"\\\"\\\\\\n\\u001f\xc3\xa9/\"]}",
        "{\"service\":\"s\",\"instance_id\":\"i\",\"version\":3,\"seq\":0,\"state\":\"floating\",\"oom_"
        "killed\":false,"
        "\"started_at\":\"soon\",\"checks\":[1],\"metrics\":null,\"container\":null,\"hostname\":\"\"}",
        "{\"service\":\"s\",\"instance_id\":\"i\",\"state\":\"exited\",\"exit_code\":-1,\"oom_killed\":true}",
    };
    for (size_t each = 0; each < sizeof texts / sizeof texts[0]; each++) {
        struct heartbeat beat;
        decode_text(texts[each], &beat);
        assert_encodes(&beat, texts[each]);
        heartbeat_fini(&beat);
    }
}

static void takes_what_services_write(void **state)
{
    (void)state;
    struct heartbeat beat;
    decode_text("{\"service\":\"s\",\"instance_id\":17,\"status\":\"odd\",\"started_at\":\"2026-01-23T20:00:"
                "00+01:00\","
                "\"timestamp\":\"2026-01-23 19:00:00.25\"}",
                &beat);
    assert_string_equal(beat.instance_id, "17");
    assert_int_equal(beat.status, BEAT_UNKNOWN);
    assert_string_equal(beat.status_word, "odd");
    assert_int_equal(beat.started_at.ms, 1769194800000);
    assert_int_equal(beat.timestamp.ms, 1769194800250);
    heartbeat_fini(&beat);

    decode_text("{\"service\":\"old\",\"service\":\"new\",\"instance_id\":12.50,\"metrics\":{\"a\":NaN,\"b\":"
                "-Infinity,"
                "\"c\":1}}",
                &beat);
    assert_string_equal(beat.service, "new");
    assert_encodes(
        &beat, "{\"service\":\"new\",\"instance_id\":\"12.5\",\"metrics\":{\"a\":null,\"b\":null,\"c\":1}}");
    heartbeat_fini(&beat);

    decode_text("{\"service\":\"s\",\"instance_id\":123456789012345678901234567890}", &beat);
    assert_string_equal(beat.instance_id, "123456789012345678901234567890");
    heartbeat_fini(&beat);
}

/* A field that came odd stays in extra, but what we say of it ourselves goes first. */
static void says_nothing_twice(void **state)
{
    (void)state;
    struct heartbeat beat;
    decode_text("{\"service\":\"s\",\"instance_id\":\"i\",\"version\":3,\"seq\":\"x\",\"n\":1}", &beat);
    beat.seq = 7;
    assert_encodes(&beat, "{\"service\":\"s\",\"instance_id\":\"i\",\"seq\":7,\"version\":3,\"n\":1}");
    heartbeat_fini(&beat);
}

static void errors_name_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *told;
    } cases[] = {
        {"{\"instance_id\":\"i\"}", "heartbeat: service is missing"},
        {"{\"service\":\"s\"}", "heartbeat: instance_id is missing"},
        {"{\"service\":\"s\",\"instance_id\":\"i\",\"status\":5}",
         "heartbeat: status is a number, wanted text"},
        {"[]", "heartbeat: no object at byte 0: []"},
        {"{\"a\":\x01}", "heartbeat: no JSON at byte 5: \\x01}"},
        {"", "heartbeat: empty"},
    };
    for (size_t each = 0; each < sizeof cases / sizeof cases[0]; each++) {
        struct heartbeat beat;
        struct err err = {0};
        assert_int_equal(heartbeat_decode(cases[each].text, strlen(cases[each].text), &beat, &err), -EINVAL);
        assert_string_equal(err.text, cases[each].told);
    }
}

static void shows_at_most_64_bytes(void **state)
{
    (void)state;
    char text[600] = "{\"service\":\"";
    memset(text + strlen(text), 7, 500);
    struct heartbeat beat;
    struct err err = {0};
    assert_int_equal(heartbeat_decode(text, strlen(text), &beat, &err), -EINVAL);
    const char *excerpt = strstr(err.text, "\"");
    assert_non_null(excerpt);
    assert_in_range(strlen(excerpt), 60, 64);
    assert_string_equal(excerpt + strlen(excerpt) - 3, "...");
}

static void bounds_size_and_values(void **state)
{
    (void)state;
    static const char head[] = "{\"service\":\"s\",\"instance_id\":\"i\",\"x\":[";
    cleanup_free char *text = memory_alloc(LIMIT_HEARTBEAT_BYTES + 2);
    struct heartbeat beat;
    /* padded with blanks: exactly the limit is taken, one byte more is not */
    memset(text, ' ', LIMIT_HEARTBEAT_BYTES + 1);
    memcpy(text, head, sizeof head - 1);
    memcpy(text + sizeof head - 1, "]}", 2);
    assert_int_equal(heartbeat_decode(text, LIMIT_HEARTBEAT_BYTES, &beat, NULL), 0);
    heartbeat_fini(&beat);
    assert_int_equal(heartbeat_decode(text, LIMIT_HEARTBEAT_BYTES + 1, &beat, NULL), -EMSGSIZE);
    /* many small values cost far more memory than bytes */
    size_t at = sizeof head - 1;
    for (int each = 0; each < 10000; each++) {
        memcpy(text + at, "1,", 2);
        at += 2;
    }
    memcpy(text + at - 1, "]}", 2);
    assert_int_equal(heartbeat_decode(text, at + 1, &beat, NULL), -EMSGSIZE);
}

/* ---- decode(encode(x)) == x ---- */

static void fill_randomly(uint64_t *seed, struct heartbeat *beat)
{
    heartbeat_init(beat);
    vector_random_text(seed, beat->service, sizeof beat->service);
    vector_random_text(seed, beat->instance_id, sizeof beat->instance_id);
    beat->status = (enum beat_status)vector_below(seed, BEAT_STATUS_N);
    if (vector_below(seed, 2) == 0) {
        beat->started_at.ms = 1000 * (int64_t)(1 + vector_below(seed, 4000000000));
        beat->timestamp.ms = 1000 * (int64_t)(1 + vector_below(seed, 4000000000));
        beat->finished_at.ms = 1000 * (int64_t)(1 + vector_below(seed, 4000000000));
        vector_random_text(seed, beat->version, sizeof beat->version);
        vector_random_text(seed, beat->hostname, sizeof beat->hostname);
        vector_random_text(seed, beat->error, sizeof beat->error);
    }
    if (vector_below(seed, 2) == 0) {
        vector_random_text(seed, beat->source, sizeof beat->source);
        vector_random_text(seed, beat->host, sizeof beat->host);
        vector_random_text(seed, beat->container, sizeof beat->container);
        vector_random_text(seed, beat->container_id, sizeof beat->container_id);
        vector_random_text(seed, beat->incarnation, sizeof beat->incarnation);
        vector_random_text(seed, beat->agent, sizeof beat->agent);
        beat->seq = vector_random(seed) >> 12;
        beat->state = (enum container_state)vector_below(seed, CONTAINER_STATE_N);
        beat->health = (enum container_health)vector_below(seed, CONTAINER_HEALTH_N);
        beat->stop_class = (enum stop_class)vector_below(seed, STOP_CLASS_N);
        beat->is_docker_restarting = vector_below(seed, 2) == 0;
        beat->oom_killed = vector_below(seed, 2) == 0;
        beat->has_exit_code = vector_below(seed, 2) == 0;
        beat->exit_code = beat->has_exit_code ? (int)vector_random(seed) : 0;
        beat->restart_count = (int64_t)(vector_random(seed) >> 12);
        vector_random_text(seed, beat->last_command, sizeof beat->last_command);
        beat->last_command_code = (enum answer_code)vector_below(seed, ANSWER_CODE_N);
        beat->last_command_unstored = (int64_t)vector_below(seed, LIMIT_ATTEMPTS + 1);
        beat->last_command_at.ms = 1000 * (int64_t)vector_below(seed, 4000000000);
    }
    for (size_t count = vector_below(seed, 4); count > 0; count--) {
        char name[16];
        vector_random_text(seed, name, sizeof name);
        heartbeat_set_check(beat, name, vector_below(seed, 2) == 0);
        double value = (double)(int64_t)vector_random(seed) / (double)(1 + vector_below(seed, 100000));
        heartbeat_set_metric(beat, name, value);
    }
}

/* Text by text and number by number: the bytes behind a NUL are nobody's. */
static void assert_same(const struct heartbeat *left, const struct heartbeat *right)
{
    assert_string_equal(left->service, right->service);
    assert_string_equal(left->instance_id, right->instance_id);
    assert_int_equal(left->status, right->status);
    assert_int_equal(left->started_at.ms, right->started_at.ms);
    assert_int_equal(left->timestamp.ms, right->timestamp.ms);
    assert_int_equal(left->finished_at.ms, right->finished_at.ms);
    assert_string_equal(left->version, right->version);
    assert_string_equal(left->hostname, right->hostname);
    assert_string_equal(left->source, right->source);
    assert_string_equal(left->host, right->host);
    assert_string_equal(left->container, right->container);
    assert_string_equal(left->container_id, right->container_id);
    assert_string_equal(left->incarnation, right->incarnation);
    assert_string_equal(left->agent, right->agent);
    assert_true(left->seq == right->seq);
    assert_int_equal(left->state, right->state);
    assert_int_equal(left->health, right->health);
    assert_int_equal(left->stop_class, right->stop_class);
    assert_int_equal(left->is_docker_restarting, right->is_docker_restarting);
    assert_int_equal(left->has_exit_code, right->has_exit_code);
    assert_int_equal(left->exit_code, right->exit_code);
    assert_int_equal(left->oom_killed, right->oom_killed);
    assert_true(left->restart_count == right->restart_count);
    assert_string_equal(left->error, right->error);
    assert_string_equal(left->last_command, right->last_command);
    assert_int_equal(left->last_command_code, right->last_command_code);
    assert_int_equal(left->last_command_unstored, right->last_command_unstored);
    assert_int_equal(left->last_command_at.ms, right->last_command_at.ms);
    assert_null(right->extra);
    assert_true((left->checks == NULL) == (right->checks == NULL));
    for (const cJSON *one = left->metrics == NULL ? NULL : left->metrics->child; one != NULL;
         one = one->next) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(right->metrics, one->string);
        assert_non_null(other);
        assert_true(one->valuedouble == other->valuedouble);
        const cJSON *check = cJSON_GetObjectItemCaseSensitive(right->checks, one->string);
        const cJSON *was = cJSON_GetObjectItemCaseSensitive(left->checks, one->string);
        assert_int_equal(cJSON_IsTrue(check), cJSON_IsTrue(was));
    }
}

static void random_beats_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int round = 0; round < 5000; round++) {
        struct heartbeat beat;
        fill_randomly(&seed, &beat);
        size_t len = 0;
        cleanup_free char *text = heartbeat_encode(&beat, &len);
        struct heartbeat again;
        decode_text(text, &again);
        assert_same(&beat, &again);
        heartbeat_fini(&again);

        cJSON *tree = heartbeat_to_json(&beat, true);
        assert_int_equal(heartbeat_from_json(tree, &again, NULL), 0);
        cJSON_Delete(tree);
        assert_same(&beat, &again);
        heartbeat_fini(&again);

        tree = heartbeat_to_json(&beat, false);
        assert_null(cJSON_GetObjectItemCaseSensitive(tree, "checks"));
        assert_null(cJSON_GetObjectItemCaseSensitive(tree, "metrics"));
        cJSON_Delete(tree);
        heartbeat_fini(&beat);
    }
}

/* Details are cut by others without a thought of UTF-8; the document must stay readable. */
static void mends_broken_text(void **state)
{
    (void)state;
    struct heartbeat beat;
    heartbeat_init(&beat);
    strcpy(beat.service, "s");
    strcpy(beat.instance_id, "i");
    strcpy(beat.error, "caf\xc3");
    assert_encodes(&beat, "{\"service\":\"s\",\"instance_id\":\"i\",\"error\":\"caf\xef\xbf\xbd\"}");
}

static void cuts_between_characters(void **state)
{
    (void)state;
    struct vector vector;
    vector_read("heartbeat", "good_long_names.json", &vector);
    struct heartbeat beat;
    assert_int_equal(heartbeat_decode((const char *)vector.bytes, vector.len, &beat, NULL), 0);
    free(vector.bytes);
    assert_int_equal(strlen(beat.service), LIMIT_NAME_SIZE - 1);
    assert_int_equal(strlen(beat.status_word), LIMIT_WORD_SIZE - 1);
    assert_int_equal(strlen(beat.version), LIMIT_VERSION_SIZE - 1);
    heartbeat_fini(&beat);
}

static void sets_replace(void **state)
{
    (void)state;
    struct heartbeat beat;
    heartbeat_init(&beat);
    strcpy(beat.service, "s");
    strcpy(beat.instance_id, "i");
    heartbeat_set_check(&beat, "running", true);
    heartbeat_set_check(&beat, "running", false);
    heartbeat_set_metric(&beat, "cpu_pct", 1);
    heartbeat_set_metric(&beat, "cpu_pct", 2.5);
    assert_encodes(&beat, "{\"service\":\"s\",\"instance_id\":\"i\",\"checks\":{\"running\":false},"
                          "\"metrics\":{\"cpu_pct\":2.5}}");
    heartbeat_fini(&beat);
}

static void knows_the_worse(void **state)
{
    (void)state;
    static const enum beat_status order[] = {BEAT_HEALTHY, BEAT_DEGRADED, BEAT_STARTING, BEAT_STOPPING,
                                             BEAT_UNHEALTHY};
    for (size_t left = 0; left < 5; left++) {
        for (size_t right = 0; right < 5; right++) {
            assert_int_equal(heartbeat_worse(order[left], order[right]), order[left > right ? left : right]);
        }
    }
    assert_int_equal(heartbeat_worse(BEAT_UNKNOWN, BEAT_HEALTHY), BEAT_UNKNOWN);
    assert_int_equal(heartbeat_worse(BEAT_HEALTHY, BEAT_UNKNOWN), BEAT_UNKNOWN);
    assert_int_equal(heartbeat_worse(BEAT_UNKNOWN, BEAT_STARTING), BEAT_STARTING);
}

/* Why a check is not well stands beside it, and another reason in its place; a metric is a number or none. */
static void details_and_metrics_are_read_back(void **state)
{
    (void)state;
    struct heartbeat beat, again;
    struct err err;
    double value = -1;
    heartbeat_init(&beat);
    memory_set_text(beat.service, sizeof beat.service, "web");
    memory_set_text(beat.instance_id, sizeof beat.instance_id, "1");
    beat.status = BEAT_HEALTHY;
    beat.timestamp.ms = 1790000000000;
    assert_false(heartbeat_metric(&beat, "load", &value));
    heartbeat_set_check(&beat, "http", false);
    heartbeat_set_check_detail(&beat, "http", "refused");
    heartbeat_set_check_detail(&beat, "http", "timed out");
    heartbeat_set_check_detail(&beat, "tcp", "reset");
    heartbeat_set_metric(&beat, "load", 0.5);
    heartbeat_set_metric(&beat, "load", 1.5);
    size_t len;
    cleanup_free char *text = heartbeat_encode(&beat, &len);
    assert_non_null(strstr(text, "timed out"));
    assert_null(strstr(text, "refused"));
    assert_non_null(strstr(text, "reset"));
    assert_int_equal(0, heartbeat_decode(text, len, &again, &err));
    assert_true(heartbeat_metric(&again, "load", &value));
    assert_true(value == 1.5);
    assert_false(heartbeat_metric(&again, "loads", &value));
    assert_true(value == 1.5); /* untouched */
    heartbeat_fini(&again);
    heartbeat_fini(&beat);
    static const char ODD[] = "{\"service\":\"web\",\"instance_id\":\"1\",\"status\":\"healthy\","
                              "\"timestamp\":\"2026-01-23T19:05:30Z\",\"metrics\":{\"load\":\"much\"}}";
    assert_int_equal(0, heartbeat_decode(ODD, strlen(ODD), &again, &err));
    assert_false(heartbeat_metric(&again, "load", &value));
    heartbeat_fini(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_runbook_s_document),
        cmocka_unit_test(keeps_documents_to_the_letter),
        cmocka_unit_test(takes_what_services_write),
        cmocka_unit_test(says_nothing_twice),
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(shows_at_most_64_bytes),
        cmocka_unit_test(bounds_size_and_values),
        cmocka_unit_test(random_beats_round_trip),
        cmocka_unit_test(mends_broken_text),
        cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(sets_replace),
        cmocka_unit_test(details_and_metrics_are_read_back),
        cmocka_unit_test(knows_the_worse),
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(mutations_do_no_harm),
        cmocka_unit_test(facts_are_the_same),
        cmocka_unit_test(facts_near_the_shape_are_the_same),
        cmocka_unit_test(facts_of_odd_values_are_the_same),
        cmocka_unit_test(facts_of_an_agent_need_no_tree),
        cmocka_unit_test(facts_of_many_metrics_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
