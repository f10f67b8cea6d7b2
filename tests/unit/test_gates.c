#include "controller/core/gates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct mono NOW = {1000};

static struct gate_inputs all_open(void)
{
    return (struct gate_inputs){
        .is_enabled = true,
        .is_leader = true,
        .is_host_live = true,
        .is_allowed = true,
        .max_per_host = 1,
        .max_fleet = 3,
    };
}

/* Shuts one gate. */
static void shut(struct gate_inputs *inputs, enum gate gate)
{
    switch (gate) {
    case GATE_ENABLED:
        inputs->is_enabled = false;
        break;
    case GATE_LEADER:
        inputs->is_leader = false;
        break;
    case GATE_SETTLED:
        inputs->is_settling = true;
        break;
    case GATE_HOST:
        inputs->is_host_live = false;
        break;
    case GATE_DENY:
        inputs->is_denied = true;
        break;
    case GATE_OWN:
        inputs->is_own = true;
        break;
    case GATE_REDIS:
        inputs->is_redis_in_use = true;
        break;
    case GATE_IDENTITY:
        inputs->has_collision = true;
        break;
    case GATE_ALLOW:
        inputs->is_allowed = false;
        break;
    case GATE_HOLD:
        inputs->is_held = true;
        break;
    case GATE_ANCESTOR:
        inputs->has_failed_ancestor = true;
        break;
    case GATE_BREAKER:
        inputs->is_breaker_open = true;
        break;
    case GATE_HOST_LIMIT:
        inputs->host_in_flight = 1;
        break;
    case GATE_FLEET_LIMIT:
        inputs->fleet_in_flight = 3;
        break;
    case GATE_BACKOFF:
        inputs->backoff_until = (struct mono){1001};
        break;
    case GATE_N:
        break;
    }
}

static void each_refuses_alone(void **state)
{
    (void)state;
    struct gate_inputs inputs = all_open();
    assert_int_equal(GATE_N, gates_check(&inputs, NOW));
    for (int gate = 0; gate < GATE_N; gate++) {
        inputs = all_open();
        shut(&inputs, (enum gate)gate);
        assert_int_equal(gate, gates_check(&inputs, NOW));
    }
    inputs = all_open();
    inputs.is_tilted = true;
    assert_int_equal(GATE_SETTLED, gates_check(&inputs, NOW));
    inputs = all_open();
    inputs.backoff_until = NOW;
    assert_int_equal(GATE_N, gates_check(&inputs, NOW)); /* just over */
}

/* policy.md, section 4: the first refusal is the reported one. */
static void the_first_is_reported(void **state)
{
    (void)state;
    for (int first = 0; first < GATE_N; first++) {
        struct gate_inputs inputs = all_open();
        for (int gate = first; gate < GATE_N; gate++) {
            shut(&inputs, (enum gate)gate);
        }
        assert_int_equal(first, gates_check(&inputs, NOW));
    }
}

static void a_granted_turn_is_not_asked_again(void **state)
{
    (void)state;
    for (int gate = 0; gate < GATE_N; gate++) {
        struct gate_inputs inputs = all_open();
        shut(&inputs, (enum gate)gate);
        bool is_turn = gate == GATE_HOST_LIMIT || gate == GATE_FLEET_LIMIT || gate == GATE_BACKOFF;
        assert_int_equal(is_turn ? GATE_N : gate, gates_check_again(&inputs, NOW));
    }
}

static void names(void **state)
{
    (void)state;
    for (int gate = 0; gate < GATE_N; gate++) {
        assert_true(strlen(gates_name((enum gate)gate)) > 0);
        assert_true(strlen(gates_reason((enum gate)gate)) > 0);
    }
    assert_string_equal("deny", gates_name(GATE_DENY));
    assert_string_equal("not_in_allowlist", gates_reason(GATE_ALLOW));
    assert_string_equal("", gates_name(GATE_N));
    assert_string_equal("", gates_reason(GATE_N));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refuses_alone),
        cmocka_unit_test(the_first_is_reported),
        cmocka_unit_test(a_granted_turn_is_not_asked_again),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
