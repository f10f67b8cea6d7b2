/* Which process of an agent speaks, when the words of a dead one are still about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "common/memory.h"
#include "controller/core/decider.h"
#include "controller/core/decider_view.h"

#define OLD      "00000000000000000000000000000001"
#define NEW      "00000000000000000000000000000002"
#define ID       "1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_ID "2222222222222222222222222222222222222222222222222222222222222222"
#define STARTED  "2026-01-23T19:00:00.123456789Z"

struct world {
    struct name_patterns none;
    struct policy_config config;
    struct decider *decider;
    struct mono now;
};

static int set_up(void **state)
{
    static const uint64_t seed[2] = {1, 2};
    struct world *world = memory_alloc(sizeof *world);
    world->now = (struct mono){1000000};
    world->config = (struct policy_config){.is_enabled = true,
                                           .max_attempts = 3,
                                           .backoff_ms = {1000},
                                           .backoff_count = 1,
                                           .cooldown_ms = 60000,
                                           .heartbeat_ttl_ms = 35000,
                                           .miss_threshold = 3,
                                           .unhealthy_threshold = 3,
                                           .check_interval_ms = 15000,
                                           .fast_check_ms = 2000,
                                           .start_grace_ms = 60000,
                                           .start_deadline_ms = 300000,
                                           .stable_ms = 60000,
                                           .max_per_host = 1,
                                           .max_fleet = 3,
                                           .agent_lost_ms = 35000,
                                           .alert_repeat_ms = 600000,
                                           .allow = &world->none,
                                           .deny = &world->none};
    world->decider = decider_new(&world->config, seed, world->now);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    decider_free(world->decider);
    free(world);
    return 0;
}

static void fill_beat(struct heartbeat *beat, const char *agent, uint64_t seq)
{
    heartbeat_init(beat);
    beat->status = BEAT_HEALTHY;
    beat->state = CONTAINER_RUNNING;
    beat->seq = seq;
    memory_set_text(beat->service, sizeof beat->service, "web");
    memory_set_text(beat->instance_id, sizeof beat->instance_id, "1");
    memory_set_text(beat->source, sizeof beat->source, "agent");
    memory_set_text(beat->host, sizeof beat->host, "h1");
    memory_set_text(beat->container, sizeof beat->container, "web-1");
    memory_set_text(beat->container_id, sizeof beat->container_id, ID);
    memory_set_text(beat->incarnation, sizeof beat->incarnation, STARTED);
    memory_set_text(beat->agent, sizeof beat->agent, agent);
}

static void say_beat(struct world *world, const char *agent, uint64_t seq)
{
    struct heartbeat beat;
    fill_beat(&beat, agent, seq);
    decider_observe_beat(world->decider, &beat, world->now, (struct wall){1769195000000});
}

/* By this path, with web-1 in this state. */
static void say_by(struct world *world, enum path path, const char *agent, uint64_t seq, uint64_t change,
                   enum container_state container_state)
{
    struct registration registration;
    registration_init(&registration);
    memory_set_text(registration.host, sizeof registration.host, "h1");
    memory_set_text(registration.agent, sizeof registration.agent, agent);
    registration.seq = seq;
    registration.change = change;
    registration.is_engine_up = true;
    registration.count = 1;
    registration.entries = memory_alloc(sizeof *registration.entries);
    fill_beat(&registration.entries[0].beat, agent, seq);
    registration.entries[0].beat.state = container_state;
    container_spec_init(&registration.entries[0].spec);
    decider_observe_registration(world->decider, &registration, path, world->now,
                                 (struct wall){1769195000000});
    registration_fini(&registration);
}

static void say_registration(struct world *world, const char *agent, uint64_t seq, uint64_t change)
{
    say_by(world, PATH_REDIS, agent, seq, change, CONTAINER_RUNNING);
}

static bool is_running(struct world *world)
{
    struct decider_view_container view;
    assert_true(decider_view_container(world->decider, "web-1", &view));
    return strcmp(view.docker_state, "running") == 0;
}

static bool is_known(struct world *world, const char *agent, uint64_t change)
{
    return decider_observe_unchanged(world->decider, "h1", agent, change, PATH_RPC, world->now);
}

static int count_lost(struct world *world)
{
    int count = 0;
    decider_tick(world->decider, world->now, (struct wall){1769195000000});
    const struct action *action;
    while ((action = decider_next_action(world->decider)) != NULL) {
        count += action->kind == ACTION_ALERT && action->alert->type == ALERT_AGENT_LOST;
    }
    return count;
}

/* A load finds the new agent's registration and, in keys that have not run out yet, beats of the one that was
 * killed. */
static void a_dead_agents_beat_does_not_silence_the_living(void **state)
{
    struct world *world = *state;
    say_registration(world, NEW, 1, 1);
    say_beat(world, OLD, 500);
    assert_true(is_known(world, NEW, 1));
    for (int i = 0; i < 10; i++) {
        world->now = mono_add(world->now, 10000);
        say_registration(world, NEW, 2 + (uint64_t)i, 1);
        assert_int_equal(0, count_lost(world));
    }
}

static void a_dead_agents_registration_that_comes_last_is_overcome(void **state)
{
    struct world *world = *state;
    say_registration(world, NEW, 5, 3);
    say_registration(world, OLD, 500, 40); /* never heard of before: it may be a newer one */
    assert_false(is_known(world, NEW, 3));
    say_registration(world, NEW, 6, 3);
    assert_true(is_known(world, NEW, 3));
    say_registration(world, OLD, 500, 40); /* now it is known to be late */
    assert_true(is_known(world, NEW, 3));
}

static void a_restarted_agent_is_taken_with_its_first_document(void **state)
{
    struct world *world = *state;
    say_registration(world, OLD, 500, 40);
    say_beat(world, NEW, 1); /* its registration tells first */
    assert_true(is_known(world, OLD, 40));
    say_registration(world, NEW, 1, 1);
    assert_true(is_known(world, NEW, 1));
    say_beat(world, OLD, 501);
    say_registration(world, OLD, 500, 40);
    assert_true(is_known(world, NEW, 1));
}

/* The shell reads the registration for a beat of a container that the decider has not heard of by this id. */
static void a_beat_of_a_stranger_is_told_apart(void **state)
{
    struct world *world = *state;
    struct heartbeat beat;
    struct wall wall = {1769195000000};
    fill_beat(&beat, NEW, 1);
    assert_true(decider_observe_beat(world->decider, &beat, world->now, wall));
    beat.seq++;
    assert_false(decider_observe_beat(world->decider, &beat, world->now, wall));
    beat.seq++;
    beat.container_id[0] = beat.container_id[0] == 'f' ? 'e' : 'f';
    assert_true(decider_observe_beat(world->decider, &beat, world->now, wall));
    /* A service's own, of the same key. */
    beat.source[0] = '\0';
    assert_false(decider_observe_beat(world->decider, &beat, world->now, wall));
    memory_set_text(beat.container_id, sizeof beat.container_id, ID);
    assert_true(decider_observe_beat(world->decider, &beat, world->now, wall));
    memory_set_text(beat.container, sizeof beat.container, "known-by-another-name");
    memory_set_text(beat.container_id, sizeof beat.container_id, "");
    assert_true(decider_observe_beat(world->decider, &beat, world->now, wall));
    beat.container[0] = '\0';
    assert_false(decider_observe_beat(world->decider, &beat, world->now, wall));
    say_registration(world, NEW, 1, 1);
    fill_beat(&beat, OLD, 500); /* or of a newer process, that only a registration can tell */
    assert_true(decider_observe_beat(world->decider, &beat, world->now, wall));
}

/* How many alerts of this type, about h1 or its container, wait to be told. */
static int count_alerts(struct world *world, enum alert_type type, const char *reason)
{
    int count = 0;
    const struct action *action;
    while ((action = decider_next_action(world->decider)) != NULL) {
        count += action->kind == ACTION_ALERT && action->alert->type == type &&
                 strcmp(action->alert->reason, reason) == 0;
    }
    return count;
}

static int count_lost_in_40_secs(struct world *world)
{
    int count = 0;
    for (int i = 0; i < 40; i++) {
        world->now = mono_add(world->now, 1000);
        count += count_lost(world);
    }
    return count;
}

/* A host that is gone for good is forgotten once, its opening closed; what speaks is not. */
static void a_decommissioned_host_is_forgotten(void **state)
{
    struct world *world = *state;
    struct wall wall = {1769195000000};
    say_registration(world, NEW, 1, 1);
    assert_false(decider_forget_host(world->decider, "h1", world->now, wall));
    assert_false(decider_forget_host(world->decider, "h2", world->now, wall));
    assert_int_equal(1, count_lost_in_40_secs(world));
    assert_int_equal(1, decider_count(world->decider));
    assert_true(decider_forget_host(world->decider, "h1", world->now, wall));
    assert_int_equal(1, count_alerts(world, ALERT_AGENT_RECOVERED, "decommissioned"));
    assert_int_equal(0, decider_count(world->decider));
    assert_false(decider_forget_host(world->decider, "h1", world->now, wall));
    assert_int_equal(0, count_lost_in_40_secs(world)); /* nobody misses it */
    say_registration(world, NEW, 2, 1);
    assert_int_equal(1, decider_count(world->decider));
}

/* What the agent of a host says of web-1, in its inventory. */
static void say_inventory(struct world *world, const char *host, uint64_t seq, uint64_t change,
                          enum container_state state, const char *id)
{
    struct registration registration;
    registration_init(&registration);
    memory_set_text(registration.host, sizeof registration.host, host);
    memory_set_text(registration.agent, sizeof registration.agent, strcmp(host, "h1") == 0 ? NEW : OLD);
    registration.seq = seq;
    registration.change = change;
    registration.is_engine_up = true;
    registration.count = state != CONTAINER_REMOVING;
    registration.entries = memory_alloc(sizeof *registration.entries);
    struct heartbeat *beat = &registration.entries[0].beat;
    fill_beat(beat, registration.agent, seq);
    memory_set_text(beat->host, sizeof beat->host, host);
    memory_set_text(beat->container_id, sizeof beat->container_id, id);
    beat->state = state;
    if (state == CONTAINER_EXITED) {
        beat->status = BEAT_UNHEALTHY;
        beat->stop_class = STOP_CRASH;
    }
    container_spec_init(&registration.entries[0].spec);
    decider_observe_registration(world->decider, &registration, PATH_REDIS, world->now,
                                 (struct wall){1769195000000});
    registration.count = 1;
    registration_fini(&registration);
}

/* A dead one, whose name another host takes over for a while: it is remembered when the name is free again.
 */
static void a_name_that_moved_away_comes_back(void **state)
{
    struct world *world = *state;
    say_inventory(world, "h1", 1, 1, CONTAINER_RUNNING, ID);
    say_inventory(world, "h1", 2, 2, CONTAINER_EXITED, ID);
    say_inventory(world, "h2", 1, 1, CONTAINER_RUNNING, OTHER_ID);
    assert_true(is_known(world, NEW, 2));
    say_inventory(world, "h2", 2, 2, CONTAINER_REMOVING, OTHER_ID);
    say_inventory(world, "h2", 3, 2, CONTAINER_REMOVING, OTHER_ID);
    assert_int_equal(0, decider_count(world->decider));
    assert_false(is_known(world, NEW, 2)); /* so its inventory is read once more */
    say_inventory(world, "h1", 3, 2, CONTAINER_EXITED, ID);
    assert_int_equal(1, decider_count(world->decider));
    assert_true(is_known(world, NEW, 2));
    /* The same where it was never the holder of the name. */
    say_inventory(world, "h2", 4, 3, CONTAINER_RUNNING, OTHER_ID);
    say_inventory(world, "h1", 4, 3, CONTAINER_EXITED, ID);
    assert_true(is_known(world, NEW, 3));
    say_inventory(world, "h2", 5, 4, CONTAINER_REMOVING, OTHER_ID);
    say_inventory(world, "h2", 6, 4, CONTAINER_REMOVING, OTHER_ID);
    assert_int_equal(0, decider_count(world->decider));
    assert_false(is_known(world, NEW, 3));
}

/* ---- somebody writes Redis ---- */

enum { HUGE = 1 << 30, ANSWER_AGE_MS = 15000 };

static void pass(struct world *world, int64_t ms)
{
    world->now = mono_add(world->now, ms);
    decider_tick(world->decider, world->now, (struct wall){1769195000000});
}

static void an_inventory_that_comes_late_is_no_news(void **state)
{
    struct world *world = *state;
    say_by(world, PATH_REDIS, NEW, 5, 3, CONTAINER_RUNNING);
    say_by(world, PATH_REDIS, NEW, 4, 2, CONTAINER_EXITED);
    assert_true(is_running(world));
    assert_true(is_known(world, NEW, 3));
    say_by(world, PATH_RPC, NEW, 4, 2, CONTAINER_EXITED); /* an answer that was under way */
    assert_true(is_running(world));
    pass(world, 2 * ANSWER_AGE_MS);
    say_by(world, PATH_REDIS, NEW, 4, 2, CONTAINER_EXITED); /* however late: Redis proves nothing */
    assert_true(is_running(world));
}

/* With a change that its agent does not reach in years: true ones are older by it, until it is asked. */
static void a_forged_change_does_not_blind_for_good(void **state)
{
    struct world *world = *state;
    say_by(world, PATH_REDIS, NEW, 5, 3, CONTAINER_RUNNING);
    say_by(world, PATH_REDIS, NEW, HUGE, HUGE, CONTAINER_RUNNING);
    pass(world, ANSWER_AGE_MS + 1);
    say_by(world, PATH_REDIS, NEW, 6, 4, CONTAINER_EXITED);
    assert_true(is_running(world));
    assert_false(is_known(world, NEW, 4)); /* so the shell asks for the whole */
    say_by(world, PATH_RPC, NEW, 6, 4, CONTAINER_EXITED);
    assert_false(is_running(world));
    assert_true(is_known(world, NEW, 4));
    say_by(world, PATH_REDIS, NEW, 7, 5, CONTAINER_RUNNING); /* and Redis is believed again */
    assert_true(is_running(world));
}

static void a_forged_beat_does_not_blind_for_good(void **state)
{
    struct world *world = *state;
    say_by(world, PATH_REDIS, NEW, 5, 3, CONTAINER_RUNNING);
    say_beat(world, NEW, HUGE);
    say_beat(world, NEW, 6);
    assert_true(is_known(world, NEW, 3)); /* it says the same */
    say_by(world, PATH_REDIS, NEW, 6, 4, CONTAINER_EXITED);
    assert_true(is_running(world));
    assert_true(decider_observe_unchanged(world->decider, "h1", NEW, 4, PATH_REDIS, world->now));
    assert_false(is_known(world, NEW, 4)); /* its agent is asked */
    say_by(world, PATH_RPC, NEW, 7, 4, CONTAINER_EXITED);
    assert_true(is_running(world)); /* the beat may have been quicker … */
    assert_false(is_known(world, NEW, 4));
    pass(world, ANSWER_AGE_MS + 1);
    say_by(world, PATH_RPC, NEW, 8, 4, CONTAINER_EXITED);
    assert_false(is_running(world)); /* … but not by so much */
    assert_true(is_known(world, NEW, 4));
}

/* Another process is made up, behind words of the true one that nobody else can reach. */
static void a_forged_process_does_not_shut_the_true_one_out(void **state)
{
    struct world *world = *state;
    say_by(world, PATH_REDIS, NEW, 5, 3, CONTAINER_RUNNING);
    say_by(world, PATH_REDIS, NEW, HUGE, HUGE, CONTAINER_RUNNING);
    say_by(world, PATH_REDIS, OLD, 1, 1, CONTAINER_RUNNING);
    say_by(world, PATH_RPC, NEW, 6, 4, CONTAINER_EXITED);
    assert_true(is_running(world)); /* it may be the late one */
    pass(world, ANSWER_AGE_MS + 1);
    say_by(world, PATH_REDIS, NEW, 7, 5, CONTAINER_EXITED);
    assert_true(is_running(world));
    say_by(world, PATH_RPC, NEW, 7, 5, CONTAINER_EXITED);
    assert_false(is_running(world));
    assert_true(is_known(world, NEW, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_dead_agents_beat_does_not_silence_the_living, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_agents_registration_that_comes_last_is_overcome, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_restarted_agent_is_taken_with_its_first_document, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_beat_of_a_stranger_is_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_decommissioned_host_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_moved_away_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_inventory_that_comes_late_is_no_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_forged_change_does_not_blind_for_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_forged_beat_does_not_blind_for_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_forged_process_does_not_shut_the_true_one_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
