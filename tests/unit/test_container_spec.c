#include "proto/container_spec.h"

#include <errno.h>

#include <cjson/cJSON.h>

#include "tests/unit/vectors.h"

static void assert_same(const struct container_spec *left, const struct container_spec *right)
{
    assert_int_equal(left->restart, right->restart);
    assert_int_equal(left->beat_mode, right->beat_mode);
    assert_int_equal(left->is_app_beating, right->is_app_beating);
    assert_int_equal(left->is_own, right->is_own);
    assert_int_equal(left->is_redis_in_use, right->is_redis_in_use);
    assert_int_equal(left->is_denied_by_agent, right->is_denied_by_agent);
    assert_int_equal(left->is_oneshot, right->is_oneshot);
    assert_int_equal(left->has_healthcheck, right->has_healthcheck);
    assert_int_equal(left->has_checks, right->has_checks);
    assert_int_equal(left->stop_timeout_ms, right->stop_timeout_ms);
    assert_int_equal(left->start_grace_ms, right->start_grace_ms);
    assert_int_equal(left->healthcheck_grace_ms, right->healthcheck_grace_ms);
    assert_int_equal(left->unhealthy_grace_ms, right->unhealthy_grace_ms);
    assert_int_equal(left->max_attempts, right->max_attempts);
    assert_int_equal(left->backoff_count, right->backoff_count);
    for (size_t each = 0; each < left->backoff_count; each++) {
        assert_int_equal(left->backoff_ms[each], right->backoff_ms[each]);
    }
    assert_int_equal(left->docker_policy, right->docker_policy);
    assert_int_equal(left->docker_policy_max, right->docker_policy_max);
    assert_string_equal(left->network_parent, right->network_parent);
    assert_string_equal(left->compose_project, right->compose_project);
    assert_string_equal(left->compose_service, right->compose_service);
    assert_string_equal(left->depends_on, right->depends_on);
    assert_string_equal(left->complaint, right->complaint);
    assert_int_equal(left->complaint_count, right->complaint_count);
}

/* -1 is "no label", 0 is a label that says 0. */
static int64_t random_ms(uint64_t *seed)
{
    return vector_below(seed, 3) == 0   ? -1
           : vector_below(seed, 4) == 0 ? 0
                                        : (int64_t)vector_below(seed, 1u << 31);
}

static void fill_randomly(uint64_t *seed, struct container_spec *spec)
{
    container_spec_init(spec);
    uint64_t bits = vector_random(seed) >> 40;
    spec->restart = (enum restart_label)vector_below(seed, RESTART_LABEL_N);
    spec->beat_mode = (enum beat_mode)vector_below(seed, BEAT_MODE_N);
    spec->is_app_beating = (bits & 1) != 0;
    spec->is_own = (bits & 2) != 0;
    spec->is_redis_in_use = (bits & 4) != 0;
    spec->is_denied_by_agent = (bits & 8) != 0;
    spec->is_oneshot = (bits & 16) != 0;
    spec->has_healthcheck = (bits & 32) != 0;
    spec->has_checks = (bits & 64) != 0;
    spec->stop_timeout_ms = random_ms(seed);
    spec->start_grace_ms = random_ms(seed);
    spec->unhealthy_grace_ms = random_ms(seed);
    spec->healthcheck_grace_ms = (int64_t)vector_below(seed, 100000);
    spec->max_attempts = (int64_t)vector_below(seed, 5) - 1;
    spec->backoff_count = vector_below(seed, LIMIT_BACKOFF_STEPS + 1);
    for (size_t each = 0; each < spec->backoff_count; each++) {
        spec->backoff_ms[each] = (int64_t)vector_below(seed, 1000000);
    }
    spec->docker_policy = (enum docker_policy)vector_below(seed, DOCKER_POLICY_N);
    spec->docker_policy_max = (int64_t)vector_below(seed, 10);
    if (vector_below(seed, 2) == 0) {
        vector_random_text(seed, spec->network_parent, sizeof spec->network_parent);
        vector_random_text(seed, spec->compose_project, sizeof spec->compose_project);
        vector_random_text(seed, spec->compose_service, sizeof spec->compose_service);
        vector_random_text(seed, spec->depends_on, sizeof spec->depends_on);
        vector_random_text(seed, spec->complaint, sizeof spec->complaint);
        spec->complaint_count = (int64_t)vector_below(seed, 20);
    }
}

static void random_specs_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < 5000; round++) {
        struct container_spec spec;
        fill_randomly(&seed, &spec);
        cJSON *tree = container_spec_to_json(&spec);
        struct container_spec again;
        assert_int_equal(container_spec_from_json(tree, &again, NULL), 0);
        cJSON_Delete(tree);
        assert_same(&spec, &again);
    }
}

static void nothing_said_is_nothing_written(void **state)
{
    (void)state;
    struct container_spec spec;
    memset(&spec, 0x5a, sizeof spec);
    container_spec_init(&spec);
    cJSON *tree = container_spec_to_json(&spec);
    assert_int_equal(cJSON_GetArraySize(tree), 0);
    cJSON_Delete(tree);
    assert_int_equal(spec.stop_timeout_ms, -1);
    assert_int_equal(spec.max_attempts, -1);
    assert_int_equal(spec.beat_mode, BEAT_MODE_AUTO);
}

static int read_text(const char *text, struct container_spec *out, struct err *err)
{
    cJSON *tree = cJSON_Parse(text);
    assert_non_null(tree);
    int status = container_spec_from_json(tree, out, err);
    cJSON_Delete(tree);
    return status;
}

/* A spec that is half understood could lose a "deny": it is refused whole, and the field named. */
static void refuses_what_it_does_not_understand(void **state)
{
    (void)state;
    static const struct {
        const char *text, *field;
    } cases[] = {
        {"{\"restart\":\"maybe\"}", "restart"},
        {"{\"restart\":true}", "restart"},
        {"{\"heartbeat\":\"often\"}", "heartbeat"},
        {"{\"own\":1}", "own"},
        {"{\"redis_in_use\":null}", "redis_in_use"},
        {"{\"denied\":\"true\"}", "denied"},
        {"{\"stop_timeout_ms\":-1}", "stop_timeout_ms"},
        {"{\"stop_timeout_ms\":1.5}", "stop_timeout_ms"},
        {"{\"start_grace_ms\":1e18}", "start_grace_ms"},
        {"{\"max_attempts\":1000001}", "max_attempts"},
        {"{\"backoff_ms\":5}", "backoff_ms"},
        {"{\"backoff_ms\":[1,-2]}", "backoff_ms"},
        {"{\"backoff_ms\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}", "backoff_ms"},
        {"{\"docker_policy\":5}", "docker_policy"},
        {"{\"network_parent\":\"a\\nb\"}", "network_parent"},
        {"{\"network_parent\":\"\"}", "network_parent"},
        {"[]", "spec"},
    };
    for (size_t each = 0; each < sizeof cases / sizeof cases[0]; each++) {
        struct container_spec spec;
        struct err err = {0};
        assert_int_equal(read_text(cases[each].text, &spec, &err), -EINVAL);
        assert_non_null(strstr(err.text, cases[each].field));
    }
}

static void ignores_the_unknown(void **state)
{
    (void)state;
    struct container_spec spec;
    assert_int_equal(
        read_text("{\"later\":{\"x\":1},\"restart\":\"deny\",\"docker_policy\":\"new\"}", &spec, NULL), 0);
    assert_int_equal(spec.restart, RESTART_LABEL_DENY);
    assert_int_equal(spec.docker_policy, DOCKER_POLICY_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_specs_round_trip),
        cmocka_unit_test(nothing_said_is_nothing_written),
        cmocka_unit_test(refuses_what_it_does_not_understand),
        cmocka_unit_test(ignores_the_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
