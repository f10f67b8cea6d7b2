#include "proto/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ROUND_TRIP(set, MEMBERS)                                                     \
    static void set##_round_trips(void **state)                                      \
    {                                                                                \
        (void)state;                                                                 \
        for (unsigned member = 0; member < MEMBERS; member++) {                      \
            const char *name = set##_name((enum set)member);                         \
            assert_int_equal(set##_parse(name), member);                             \
            char other[64];                                                          \
            snprintf(other, sizeof other, "%sx", name);                              \
            assert_int_equal(set##_parse(other), 0);                                 \
            snprintf(other, sizeof other, "%.*s", 1, name);                          \
            assert_int_equal(set##_parse(other), 0);                                 \
        }                                                                            \
        assert_int_equal(set##_parse(NULL), 0);                                      \
        assert_int_equal(set##_parse(""), 0);                                        \
        assert_string_equal(set##_name((enum set)MEMBERS), set##_name((enum set)0)); \
    }

ROUND_TRIP(beat_status, BEAT_STATUS_N)
ROUND_TRIP(container_state, CONTAINER_STATE_N)
ROUND_TRIP(container_health, CONTAINER_HEALTH_N)
ROUND_TRIP(stop_class, STOP_CLASS_N)
ROUND_TRIP(docker_policy, DOCKER_POLICY_N)
ROUND_TRIP(command_op, COMMAND_OP_N)
ROUND_TRIP(answer_code, ANSWER_CODE_N)
ROUND_TRIP(restart_label, RESTART_LABEL_N)
ROUND_TRIP(beat_mode, BEAT_MODE_N)

/* The words of contract.md and policy.md, section 6, to the letter. */
static void spells_as_the_contract(void **state)
{
    (void)state;
    assert_string_equal(beat_status_name(BEAT_UNHEALTHY), "unhealthy");
    assert_string_equal(beat_status_name(BEAT_STOPPING), "stopping");
    assert_string_equal(command_op_name(OP_OUTCOME), "outcome");
    assert_string_equal(answer_code_name(ANSWER_REFUSED_STOPPED), "refused_stopped");
    assert_string_equal(docker_policy_name(DOCKER_POLICY_UNLESS_STOPPED), "unless-stopped");
    assert_int_equal(beat_status_parse("Healthy"), BEAT_UNKNOWN);
}

/* An attempt is given back only where Docker is known to be untouched. */
static void knows_what_changed_nothing(void **state)
{
    (void)state;
    static const enum answer_code changed[] = {ANSWER_UNKNOWN, ANSWER_OK, ANSWER_ACCEPTED,
                                               ANSWER_DOCKER_ERROR, ANSWER_UNKNOWN_ID};
    bool may_have_changed[ANSWER_CODE_N] = {false};
    for (size_t each = 0; each < sizeof changed / sizeof changed[0]; each++) {
        may_have_changed[changed[each]] = true;
    }
    for (unsigned code = 0; code < ANSWER_CODE_N; code++) {
        assert_int_equal(answer_code_changed_nothing((enum answer_code)code), !may_have_changed[code]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beat_status_round_trips),      cmocka_unit_test(container_state_round_trips),
        cmocka_unit_test(container_health_round_trips), cmocka_unit_test(stop_class_round_trips),
        cmocka_unit_test(docker_policy_round_trips),    cmocka_unit_test(command_op_round_trips),
        cmocka_unit_test(answer_code_round_trips),      cmocka_unit_test(restart_label_round_trips),
        cmocka_unit_test(beat_mode_round_trips),        cmocka_unit_test(spells_as_the_contract),
        cmocka_unit_test(knows_what_changed_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
