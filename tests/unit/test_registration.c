#include "proto/registration.h"

#include <errno.h>

#include "tests/unit/vectors.h"

static int decode_checked(const uint8_t *bytes, size_t len)
{
    struct registration registration;
    struct err err = {0};
    size_t bad = 0;
    int status = registration_decode((const char *)bytes, len, &registration, &bad, &err);
    if (status != 0) {
        assert_int_equal(err.code, -status);
        assert_null(registration.entries);
        assert_int_equal(registration.count, 0);
        return status;
    }
    assert_int_equal(bad != 0, err.text[0] != '\0');
    size_t first_len = 0;
    cleanup_free char *first = registration_encode(&registration, &first_len);
    assert_non_null(first);
    struct registration again;
    assert_int_equal(registration_decode(first, first_len, &again, &bad, &err), 0);
    assert_int_equal(bad, 0);
    assert_int_equal(again.count, registration.count);
    cleanup_free char *second = registration_encode(&again, NULL);
    assert_string_equal(first, second);
    registration_fini(&again);
    registration_fini(&registration);
    return 0;
}

static void vectors_hold(void **state)
{
    (void)state;
    vectors_check("registration", decode_checked);
    vectors_truncate("registration", decode_checked);
}

static void mutations_do_no_harm(void **state)
{
    (void)state;
    vectors_mutate("registration", decode_checked, 100000);
}

static void decode_vector(const char *name, struct registration *out, size_t *bad, struct err *err)
{
    struct vector vector;
    vector_read("registration", name, &vector);
    assert_int_equal(registration_decode((const char *)vector.bytes, vector.len, out, bad, err), 0);
    free(vector.bytes);
}

/* The vector is written by another program in our spelling: encode(decode(v)) == v, byte for byte. */
static void keeps_the_golden_document(void **state)
{
    (void)state;
    struct vector vector;
    vector_read("registration", "good_two.json", &vector);
    struct registration registration;
    size_t bad = 9;
    assert_int_equal(registration_decode((const char *)vector.bytes, vector.len, &registration, &bad, NULL),
                     0);
    assert_int_equal(bad, 0);
    assert_int_equal(registration.count, 2);
    assert_string_equal(registration.host, "host-1");
    assert_int_equal(registration.change, 12);
    assert_int_equal(registration.counter_count, 2);
    assert_true(registration.is_engine_up);
    assert_string_equal(registration.entries[0].beat.container, "arbees-game-shard-1");
    assert_int_equal(registration.entries[0].beat.stop_class, STOP_OOM);
    assert_int_equal(registration.entries[0].spec.max_attempts, 5);
    assert_true(registration.entries[1].spec.is_own);
    assert_null(registration.entries[0].beat.extra);
    size_t len = 0;
    cleanup_free char *text = registration_encode(&registration, &len);
    assert_int_equal(len, vector.len);
    assert_memory_equal(text, vector.bytes, len);
    free(vector.bytes);
    registration_fini(&registration);
}

static void leaves_bad_entries_out(void **state)
{
    (void)state;
    struct registration registration;
    struct err err = {0};
    size_t bad = 0;
    decode_vector("good_one_bad_entry.json", &registration, &bad, &err);
    assert_int_equal(registration.count, 1);
    assert_int_equal(bad, 5);
    assert_string_equal(registration.entries[0].beat.container, "arbees-api");
    assert_string_equal(err.text, "registration: entry 1: heartbeat: no object");
    registration_fini(&registration);
}

static int peek(const char *text, uint64_t *change)
{
    char host[LIMIT_NAME_SIZE];
    char agent[LIMIT_COMMAND_ID_SIZE];
    return registration_peek(text, strlen(text), host, agent, change);
}

static void peeks_only_what_the_encoder_writes(void **state)
{
    (void)state;
    uint64_t change = 0;
    assert_int_equal(peek("{\"host\":\"h\",\"agent\":\"a\",\"change\":12,", &change), 0);
    assert_int_equal(change, 12);
    assert_int_equal(peek("{\"host\":\"h\",\"agent\":\"a\",\"change\":12}", &change), 0);
    static const char *const refused[] = {
        "",
        "{",
        "{\"host\":\"h\",\"agent\":\"a\",\"change\":12",
        "{\"host\":\"h\",\"agent\":\"a\",\"change\":,",
        "{\"host\":\"h\",\"agent\":\"a\",\"change\":-1,",
        "{\"host\":\"h\",\"agent\":\"a\",\"change\":1.5,",
        "{\"host\":\"h\",\"agent\":\"a\",\"change\":99999999999999999999,",
        "{\"host\":\"\",\"agent\":\"a\",\"change\":1,",
        "{\"host\":\"h\\u0041\",\"agent\":\"a\",\"change\":1,",
        "{\"host\":\"h",
        "{\"host\": \"h\",\"agent\":\"a\",\"change\":1,",
        "{\"agent\":\"a\",\"host\":\"h\",\"change\":1,",
        "{\"host\":\"h\",\"agent\":\"0123456789abcdef0123456789abcdef0\",\"change\":1,",
    };
    for (size_t each = 0; each < sizeof refused / sizeof refused[0]; each++) {
        assert_int_equal(peek(refused[each], &change), -EINVAL);
    }
}

static void peeks_at_counters(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count; /* of a: 1, b: -2, ... */
    } rows[] = {
        {"{\"host\":\"h\",\"counters\":{\"a\":1,\"b\":-2},\"containers\":[]}", 2},
        {"{\"host\":\"h\",\"counters\":{\"a\":1},", 1},
        {"{\"host\":\"h\",\"counters\":{\"a\":1,\"b\":x}", 1},
        {"{\"host\":\"h\",\"counters\":{\"a\":1.5}", 0},
        {"{\"host\":\"h\",\"counters\":{\"a\":1", 0}, /* cut off: it may go on */
        {"{\"host\":\"h\",\"counters\":{", 0},
        {"{\"host\":\"h\",\"counters\":{}", 0},
        {"{\"host\":\"h\",\"counters\":[1]", 0},
        {"{\"host\":\",\\\"counters\\\":{\\\"a\\\":1}\"}", 0}, /* within a text */
        {"", 0},
    };
    struct registration_counter counters[REGISTRATION_COUNTERS];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(registration_peek_counters(rows[i].text, strlen(rows[i].text), counters),
                         rows[i].count);
        if (rows[i].count == 2) {
            assert_string_equal(counters[1].name, "b");
            assert_int_equal(counters[1].value, -2);
        }
    }
    char many[4096] = ",\"counters\":{";
    for (int i = 0; i < 2 * REGISTRATION_COUNTERS; i++) {
        snprintf(many + strlen(many), sizeof many - strlen(many), "\"c%d\":%d,", i, i);
    }
    assert_int_equal(registration_peek_counters(many, strlen(many), counters), REGISTRATION_COUNTERS);
}

/* Where peek answers at all, it answers as the whole decoder does. */
static void peek_agrees_with_decode(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 2000; round++) {
        struct registration registration;
        registration_init(&registration);
        vector_random_text(&seed, registration.host, sizeof registration.host);
        vector_random_text(&seed, registration.agent, sizeof registration.agent);
        registration.change = vector_random(&seed) >> 12;
        size_t len = 0;
        cleanup_free char *text = registration_encode(&registration, &len);
        struct registration again;
        assert_int_equal(registration_decode(text, len, &again, NULL, NULL), 0);
        assert_string_equal(again.host, registration.host);
        char host[LIMIT_NAME_SIZE];
        char agent[LIMIT_COMMAND_ID_SIZE];
        uint64_t change = 0;
        bool has_escape =
            strpbrk(registration.host, "\"\\") != NULL || strpbrk(registration.agent, "\"\\") != NULL;
        int status = registration_peek(text, len, host, agent, &change);
        assert_int_equal(status, has_escape ? -EINVAL : 0);
        if (status == 0) {
            assert_string_equal(host, registration.host);
            assert_string_equal(agent, registration.agent);
            assert_true(change == registration.change);
        }
        registration_fini(&again);
    }
}

static void fill_entry(uint64_t *seed, struct registration_entry *entry)
{
    struct heartbeat *beat = &entry->beat;
    heartbeat_init(beat);
    container_spec_init(&entry->spec);
    vector_random_text(seed, beat->service, sizeof beat->service);
    vector_random_text(seed, beat->instance_id, sizeof beat->instance_id);
    vector_random_text(seed, beat->container, sizeof beat->container);
    vector_random_text(seed, beat->container_id, sizeof beat->container_id);
    vector_random_text(seed, beat->incarnation, sizeof beat->incarnation);
    beat->status = (enum beat_status)(1 + vector_below(seed, BEAT_STATUS_N - 1));
    beat->state = (enum container_state)vector_below(seed, CONTAINER_STATE_N);
    beat->stop_class = (enum stop_class)vector_below(seed, STOP_CLASS_N);
    beat->seq = vector_random(seed) >> 12;
    beat->oom_killed = vector_below(seed, 2) == 0;
    entry->spec.stop_timeout_ms = (int64_t)vector_below(seed, 3600000) - 1;
    entry->spec.is_own = vector_below(seed, 2) == 0;
    entry->spec.is_denied_by_agent = vector_below(seed, 2) == 0;
}

static void fill_randomly(uint64_t *seed, struct registration *registration)
{
    registration_init(registration);
    vector_random_text(seed, registration->host, sizeof registration->host);
    vector_random_text(seed, registration->url, sizeof registration->url);
    vector_random_text(seed, registration->agent, sizeof registration->agent);
    vector_random_text(seed, registration->boot_id, sizeof registration->boot_id);
    registration->change = vector_random(seed) >> 12;
    registration->seq = vector_random(seed) >> 12;
    registration->epoch = vector_random(seed) >> 12;
    registration->is_engine_up = vector_below(seed, 2) == 0;
    registration->timestamp = (struct wall){(int64_t)vector_below(seed, 4102444800) * 1000};
    registration->count = vector_below(seed, 6);
    registration->entries = memory_grow(NULL, registration->count + 1, sizeof *registration->entries);
    for (size_t i = 0; i < registration->count; i++) {
        fill_entry(seed, &registration->entries[i]);
    }
}

static void random_registrations_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 21;
    for (int round = 0; round < 2000; round++) {
        struct registration value, again;
        fill_randomly(&seed, &value);
        size_t len = 0, again_len = 0, bad = 1;
        cleanup_free char *text = registration_encode(&value, &len);
        assert_int_equal(registration_decode(text, len, &again, &bad, NULL), 0);
        assert_int_equal(bad, 0);
        assert_int_equal(again.count, value.count);
        assert_string_equal(again.url, value.url);
        assert_true(again.epoch == value.epoch && again.is_engine_up == value.is_engine_up);
        for (size_t i = 0; i < value.count; i++) {
            assert_string_equal(again.entries[i].beat.container_id, value.entries[i].beat.container_id);
            assert_int_equal(again.entries[i].beat.stop_class, value.entries[i].beat.stop_class);
            assert_int_equal(again.entries[i].spec.is_denied_by_agent,
                             value.entries[i].spec.is_denied_by_agent);
        }
        cleanup_free char *second = registration_encode(&again, &again_len);
        assert_string_equal(second, text);
        registration_fini(&again);
        registration_fini(&value);
    }
}

static void bounds_the_number_of_containers(void **state)
{
    (void)state;
    static const char head[] = "{\"host\":\"h\",\"agent\":\"a\",\"change\":1,\"containers\":[";
    enum { ONE_TOO_MANY = LIMIT_REGISTRATION_CONTAINERS + 1 };
    cleanup_free char *text = memory_alloc(sizeof head + 2 * ONE_TOO_MANY + 8);
    strcpy(text, head);
    size_t len = sizeof head - 1;
    for (int each = 0; each < ONE_TOO_MANY; each++) {
        memcpy(text + len, "0,", 2);
        len += 2;
    }
    memcpy(text + len - 1, "]}", 2);
    struct registration registration;
    assert_int_equal(registration_decode(text, len + 1, &registration, NULL, NULL), -EMSGSIZE);

    registration_init(&registration);
    registration.count = ONE_TOO_MANY;
    assert_null(registration_encode(&registration, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_golden_document),
        cmocka_unit_test(leaves_bad_entries_out),
        cmocka_unit_test(peeks_only_what_the_encoder_writes),
        cmocka_unit_test(peeks_at_counters),
        cmocka_unit_test(peek_agrees_with_decode),
        cmocka_unit_test(random_registrations_round_trip),
        cmocka_unit_test(bounds_the_number_of_containers),
        cmocka_unit_test(vectors_hold),
        cmocka_unit_test(mutations_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
