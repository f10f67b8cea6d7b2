#include "proto/journal.h"

#include <errno.h>

#include <cjson/cJSON.h>

#include "proto/json_reader.h"
#include "tests/unit/vectors.h"

static struct journal_input read_back(const struct journal_input *input)
{
    size_t len;
    cleanup_free char *text = journal_input_encode(input, &len);
    struct journal_input out;
    struct err err = {0};
    if (journal_input_from_json(json_reader_parse_own(text, len), &out, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    cleanup_free char *again = NULL;
    if (out.set != NULL) {
        cleanup_free char *settings = cJSON_PrintUnformatted(out.set);
        out.settings = settings;
        again = journal_input_encode(&out, NULL);
    } else {
        again = journal_input_encode(&out, NULL);
    }
    assert_string_equal(again, text);
    return out;
}

static struct journal_input new_input(enum journal_kind kind)
{
    struct journal_input input;
    journal_input_init(&input, kind, (struct mono){12345}, (struct wall){1790000012345});
    return input;
}

static void every_kind_comes_back_as_it_was(void **state)
{
    (void)state;
    for (enum journal_kind kind = JOURNAL_BEAT; kind < JOURNAL_KIND_N; kind++) {
        struct heartbeat beat;
        heartbeat_init(&beat);
        strcpy(beat.service, "web");
        strcpy(beat.instance_id, "1");
        beat.status = BEAT_DEGRADED;
        beat.timestamp.ms = 1790000012000;
        struct registration_entry entries[2];
        for (size_t i = 0; i < 2; i++) {
            entries[i].beat = beat;
            snprintf(entries[i].beat.container, sizeof entries[i].beat.container, "web-%zu", i);
            container_spec_init(&entries[i].spec);
        }
        entries[1].spec.max_attempts = 7;
        struct registration registration;
        registration_init(&registration);
        registration.is_engine_up = true;
        registration.entries = entries;
        registration.count = 2;
        struct restart_state restart;
        restart_state_init(&restart);
        restart.attempt_count = 2;
        const bool is_changed[] = {false, true};
        const char *gone[] = {"old-1", "old-2"};
        struct journal_tick ticks[] = {{{100}, {98}}, {{150}, {150}}};
        struct journal_input input = new_input(kind);
        input.container = "web-1";
        input.host = "h1";
        input.agent = "abc";
        input.hold = "service";
        input.name = "web";
        input.id = "00112233445566778899aabbccddeeff";
        input.detail = "say \"why\"";
        input.change = 3;
        input.seq = 4;
        input.word_seq = 5;
        input.token = 6;
        input.epoch = 7;
        input.path = 1;
        input.value = 2;
        input.status = -110;
        input.code = -1;
        input.since.ms = 99;
        input.until.ms = 1790000099000;
        input.stamp.ms = 1790000012345;
        input.is_leader = true;
        input.beat = &beat;
        input.registration = &registration;
        input.is_changed = is_changed;
        input.gone = gone;
        input.gone_count = 2;
        input.ticks = ticks;
        input.tick_count = 2;
        input.state = &restart;
        struct journal_input out = read_back(&input);
        assert_int_equal(out.kind, kind);
        assert_int_equal(out.at.ms, 12345);
        assert_int_equal(out.wall.ms, 1790000012345);
        if (kind == JOURNAL_BEAT) {
            assert_string_equal(out.beat->service, "web");
            assert_int_equal(out.beat->timestamp.ms, 1790000012345); /* with its milliseconds */
        } else if (kind == JOURNAL_INVENTORY) {
            assert_int_equal(out.registration->count, 1);
            assert_string_equal(out.registration->entries[0].beat.container, "web-1");
            assert_int_equal(out.registration->entries[0].spec.max_attempts, 7);
            assert_int_equal(out.gone_count, 2);
            assert_string_equal(out.gone[1], "old-2");
        } else if (kind == JOURNAL_TICKS) {
            assert_int_equal(out.tick_count, 2);
            assert_int_equal(out.ticks[0].due.ms, 98);
            assert_int_equal(out.ticks[1].at.ms, 150);
        } else if (kind == JOURNAL_ANSWER) {
            assert_int_equal(out.status, -110);
            assert_string_equal(out.detail, "say \"why\"");
        } else if (kind == JOURNAL_STATE) {
            assert_int_equal(out.state->attempt_count, 2);
        }
        journal_input_fini(&out);
    }
}

static void a_start_carries_the_seed_and_the_settings(void **state)
{
    (void)state;
    struct journal_input input = new_input(JOURNAL_START);
    input.seed[0] = 0xfedcba9876543210u;
    input.seed[1] = 1;
    input.settings = "{\"A\":\"1\"}";
    input.is_redis_up = true;
    input.check_at.ms = 77;
    struct journal_input out = read_back(&input);
    assert_true(out.seed[0] == 0xfedcba9876543210u && out.seed[1] == 1);
    assert_string_equal(journal_text(out.set, "A"), "1");
    assert_null(journal_text(out.set, "B"));
    assert_true(out.is_redis_up && !out.is_leader);
    journal_input_fini(&out);
}

static void names_what_is_wrong(void **state)
{
    (void)state;
#define HEAD(kind) "{\"input\":\"" kind "\",\"at\":1,\"wall\":1"
#define START                                                                                          \
    HEAD("start")                                                                                      \
    ",\"token\":0,\"leader\":true,\"epoch\":0,\"check_at\":1,\"hosts_at\":1,\"settled_at\":1,\"redis_" \
    "up\":true,\"redis_since\":1"
#define INVENTORY \
    HEAD("inventory") ",\"host\":\"h\",\"agent\":\"a\",\"change\":1,\"seq\":1,\"word_seq\":1,\"path\":0"
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "input is missing, wanted a kind that is known"},
        {"{\"input\":7}", "input is a number"},
        {"{\"input\":\"redis\",\"wall\":1}", "at is missing, wanted milliseconds"},
        {"{\"input\":\"redis\",\"at\":1,\"wall\":1.5}", "wall is "},
        {HEAD("redis") "}", "redis: value is missing"},
        {HEAD("redis") ",\"value\":3000000000}", "redis: value is "},
        {HEAD("key") ",\"container\":7,\"value\":1}", "key: container is a number, wanted a text"},
        {HEAD("leader") ",\"leader\":1,\"epoch\":1}", "leader: leader is a number, wanted true or false"},
        {HEAD("leader") ",\"leader\":true,\"epoch\":-1}", "leader: epoch is "},
        {START "}", "start: settings is missing, wanted an object"},
        {START ",\"settings\":{\"A\":1}}", "start: A is a number, wanted a text"},
        {START ",\"settings\":{}}", "start: seed is missing, wanted 16 hex digits"},
        {START ",\"settings\":{},\"seed\":\"0123456789abcdeg\",\"seed2\":\"0123456789abcdef\"}",
         "start: seed is \"0123"},
        {START ",\"settings\":{},\"seed\":\"0123456789abcdef\",\"seed2\":\"1\"}", "start: seed is \"1\""},
        {HEAD("beat") ",\"container\":\"c\",\"stamp\":1}", "beat: beat is missing, wanted an object"},
        {HEAD("beat") ",\"container\":\"c\",\"stamp\":1,\"beat\":{}}", "beat: "},
        {INVENTORY "}", "inventory: entries is missing, wanted a list of containers"},
        {INVENTORY ",\"entries\":[]}", "inventory: gone is missing, wanted a list of names"},
        {INVENTORY ",\"entries\":[],\"gone\":[]}", "inventory: engine_up is missing, wanted true or false"},
        {INVENTORY ",\"entries\":[],\"gone\":[1],\"engine_up\":true}",
         "inventory: gone is a number, wanted names"},
        {INVENTORY ",\"entries\":[{}],\"gone\":[],\"engine_up\":true}", "inventory: entry 1: "},
        {INVENTORY ",\"entries\":[{\"service\":\"s\",\"instance_id\":\"1\"}],\"gone\":[],\"engine_up\":true}",
         "inventory: entry 1: container is missing"},
        {INVENTORY ",\"entries\":[{\"spec\":{\"own\":7}}],\"gone\":[],\"engine_up\":true}",
         "inventory: entry 1: "},
        {HEAD("state") ",\"container\":\"c\"}", "state: state is missing, wanted a text"},
        {HEAD("state") ",\"container\":\"c\",\"state\":\"no\"}", "state: "},
        {HEAD("ticks") "}", "ticks: ticks is missing, wanted a list of pairs"},
        {HEAD("ticks") ",\"ticks\":[1]}", "ticks: ticks is "},
        {HEAD("ticks") ",\"ticks\":[1,0,-1,0]}", "ticks: ticks: pair 2: wanted two times in milliseconds"},
        {HEAD("ticks") ",\"ticks\":[1,\"a\"]}", "ticks: ticks: pair 1: wanted two times in milliseconds"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct journal_input out;
        struct err err = {0};
        cJSON *tree = json_reader_parse_own(cases[i].text, strlen(cases[i].text));
        assert_int_equal(journal_input_from_json(tree, &out, &err), -EINVAL);
        if (strncmp(err.text, cases[i].says, strlen(cases[i].says)) != 0) {
            fail_msg("%s: %s", cases[i].text, err.text);
        }
        assert_null(out.tree);
    }
}

static void hands_out_what_a_document_holds(void **state)
{
    (void)state;
    static const char text[] =
        "{\"data\":{\"kind\":\"inputs\",\"run\":\"r1\",\"part\":4,\"inputs\":[{\"a\":1},{\"a\":2}]}}";
    cleanup_json cJSON *whole = json_reader_parse_own(text, sizeof text - 1);
    cJSON *document = journal_document_within(whole);
    assert_ptr_equal(journal_document_within(document), document);
    char run[JOURNAL_RUN_SIZE];
    uint64_t part;
    struct err err = {0};
    assert_int_equal(journal_document_head(document, run, &part, &err), 0);
    assert_string_equal(run, "r1");
    assert_int_equal(part, 4);
    for (int wanted = 1; wanted <= 2; wanted++) {
        cleanup_json cJSON *each = journal_document_next(document);
        int64_t value = 0;
        assert_true(json_reader_signed(json_reader_member(each, "a"), 0, 9, &value));
        assert_int_equal(value, wanted);
    }
    assert_null(journal_document_next(document));
    assert_string_equal(journal_kind_name(JOURNAL_KIND_N), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_as_it_was),
        cmocka_unit_test(a_start_carries_the_seed_and_the_settings),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(hands_out_what_a_document_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
