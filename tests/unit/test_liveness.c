#include "controller/core/liveness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct policy_config CONFIG = {
    .heartbeat_ttl_ms = 35000, .check_interval_ms = 15000, .settle_ms = 45000};
static const struct mono NOW = {1000000};

struct table {
    struct liveness liveness;
    struct host *host;
    struct container *container;
};

static struct mono ago(int64_t ms)
{
    return (struct mono){NOW.ms - ms};
}

/* Everything is proven live; the container runs and was heard of 50 s ago. */
static void make(struct table *table)
{
    liveness_init(&table->liveness, &CONFIG, (struct mono){1000});
    table->liveness.is_redis_up = true;
    table->liveness.redis_since = (struct mono){1000};
    table->host = liveness_add_host(&table->liveness, "h1", (struct mono){1000});
    table->host->proven_since = (struct mono){1000};
    table->host->heard[PATH_REDIS] = ago(1000);
    table->host->vouched_at = ago(1000);
    table->container = liveness_add(&table->liveness, "web");
    liveness_set_host(table->container, table->host);
    table->container->state = CONTAINER_RUNNING;
    table->container->app_at = ago(50000);
    table->container->terms.is_app_beating = true;
}

static enum observation observe(const struct table *table)
{
    return liveness_observe(&table->liveness, table->container, NOW);
}

static void silence_counts_only_on_a_proven_path(void **state)
{
    (void)state;
    struct table table;
    make(&table);
    assert_int_equal(OBSERVED_SILENT, observe(&table));

    table.container->app_at = ago(35000);
    assert_int_equal(OBSERVED_ALIVE, observe(&table));
    table.container->app_at = ago(50000);

    table.liveness.is_redis_up = false;
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    table.liveness.is_redis_up = true;
    table.liveness.redis_since = ago(35000); /* one TTL of patience */
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    table.liveness.redis_since = (struct mono){1000};

    table.liveness.settled_at = (struct mono){NOW.ms + 1};
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    table.liveness.settled_at = NOW;

    table.host->is_frozen = true;
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    table.host->is_frozen = false;

    table.host->heard[PATH_REDIS] = ago(49000); /* agent and service fell silent together */
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    table.host->heard[PATH_RPC] = ago(1000); /* not the path by which the service would have spoken */
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    table.host->heard[PATH_REDIS] =
        ago(24000); /* its document may have been read a check after it was written */
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    table.host->heard[PATH_REDIS] = ago(23000);
    assert_int_equal(OBSERVED_SILENT, observe(&table));
    table.host->heard[PATH_REDIS] = ago(1000);
    assert_int_equal(OBSERVED_SILENT, observe(&table));

    table.container->state = CONTAINER_EXITED;
    assert_int_equal(OBSERVED_DEAD, observe(&table));
    liveness_fini(&table.liveness);
}

static void an_agent_vouches(void **state)
{
    (void)state;
    struct table table;
    make(&table);
    table.container->terms.is_app_beating = false;
    table.container->agent_at = ago(500000); /* its key was evicted long ago */
    assert_int_equal(OBSERVED_ALIVE, observe(&table));
    table.host->vouched_at = ago(36000);
    assert_int_equal(OBSERVED_SILENT, observe(&table));
    table.host->is_engine_up = false;
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    liveness_fini(&table.liveness);
}

/* Its last inventory left it out: nobody vouches for it. A service that speaks of nothing but itself is
 * missed without any agent; what only an agent tells is not. */
static void who_is_not_vouched_for(void **state)
{
    (void)state;
    struct table table;
    make(&table);
    struct container *container = table.container;
    container->terms.is_app_beating = false;
    container->agent_at = ago(500000);
    assert_int_equal(OBSERVED_ALIVE, observe(&table));
    container->state = CONTAINER_PAUSED;
    assert_int_equal(OBSERVED_SILENT, observe(&table));
    container->state = CONTAINER_RUNNING;
    table.host->round++;
    assert_false(liveness_is_listed(container));
    assert_true(liveness_is_suspended(container));
    assert_int_equal(OBSERVED_SILENT, observe(&table));
    liveness_set_host(container, NULL);
    assert_true(liveness_is_listed(container));
    assert_false(liveness_is_suspended(container));
    assert_int_equal(OBSERVED_UNKNOWN, observe(&table));
    container->is_last_beat_apps = true;
    assert_int_equal(OBSERVED_SILENT, observe(&table));
    container->state = CONTAINER_DEAD;
    assert_int_equal(OBSERVED_DEAD, observe(&table));
    container->state = CONTAINER_RESTARTING;
    assert_int_equal(OBSERVED_DEAD, observe(&table));
    liveness_fini(&table.liveness);
}

static void nobody_said_anything_yet(void **state)
{
    (void)state;
    static const struct {
        bool is_app, has_host, has_agent, has_app;
        enum beat_status app, agent, wanted;
    } CASES[] = {
        {false, false, false, false, BEAT_HEALTHY, BEAT_HEALTHY, BEAT_STATUS_N},
        {false, false, true, false, BEAT_HEALTHY, BEAT_DEGRADED, BEAT_DEGRADED},
        {true, true, true, false, BEAT_HEALTHY, BEAT_HEALTHY, BEAT_STATUS_N}, /* it is to beat, and did not */
        {true, true, true, false, BEAT_HEALTHY, BEAT_UNHEALTHY, BEAT_UNHEALTHY},
        {true, false, false, true, BEAT_DEGRADED, BEAT_UNHEALTHY, BEAT_DEGRADED},
        {true, true, true, true, BEAT_DEGRADED, BEAT_UNKNOWN, BEAT_DEGRADED},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct table table;
        make(&table);
        table.container->terms.is_app_beating = CASES[i].is_app;
        liveness_set_host(table.container, CASES[i].has_host ? table.host : NULL);
        table.container->agent_at = (struct mono){CASES[i].has_agent ? 5 : 0};
        table.container->app_at = (struct mono){CASES[i].has_app ? 5 : 0};
        table.container->app_status = CASES[i].app;
        table.container->agent_status = CASES[i].agent;
        assert_int_equal(CASES[i].wanted, liveness_status(table.container));
        liveness_fini(&table.liveness);
    }
}

/* A service that beats under a name of its own is heard as long as its word lives. */
static void a_word_under_another_name_lives_as_long(void **state)
{
    (void)state;
    struct table table;
    make(&table);
    assert_false(liveness_has_named_word(&table.liveness, table.container, NOW));
    table.container->is_app_elsewhere = true;
    assert_false(liveness_has_named_word(&table.liveness, table.container, NOW));
    table.container->app_at = ago(35000);
    assert_true(liveness_has_named_word(&table.liveness, table.container, NOW));
    table.container->app_at = (struct mono){0};
    assert_false(liveness_has_named_word(&table.liveness, table.container, (struct mono){10}));
    liveness_fini(&table.liveness);
}

static void labels_are_terms(void **state)
{
    (void)state;
    struct table table;
    make(&table);
    struct container_spec spec;
    container_spec_init(&spec);
    static const size_t COUNTS[] = {3, 1, 1, 0, 2};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        spec.backoff_count = COUNTS[i];
        for (size_t k = 0; k < COUNTS[i]; k++) {
            spec.backoff_ms[k] = (int64_t)(1000 * i + k);
        }
        spec.max_attempts = i == 0 ? INT64_MAX : (int64_t)i;
        liveness_set_terms(table.container, &spec);
        const struct container_terms *terms = &table.container->terms;
        assert_int_equal(COUNTS[i], terms->backoff_count);
        assert_int_equal(COUNTS[i] == 0, terms->backoff_ms == NULL);
        for (size_t k = 0; k < COUNTS[i]; k++) {
            assert_int_equal(1000 * i + k, terms->backoff_ms[k]);
        }
        assert_int_equal(i == 0 ? INT32_MAX : (int32_t)i, terms->max_attempts);
    }
    liveness_fini(&table.liveness);
}

static void the_worse_wins(void **state)
{
    (void)state;
    static const struct {
        bool is_app;
        enum beat_status app, agent, wanted;
    } CASES[] = {
        {false, BEAT_UNHEALTHY, BEAT_HEALTHY, BEAT_HEALTHY},
        {true, BEAT_UNHEALTHY, BEAT_HEALTHY, BEAT_UNHEALTHY},
        {true, BEAT_HEALTHY, BEAT_UNHEALTHY, BEAT_UNHEALTHY},
        {true, BEAT_DEGRADED, BEAT_HEALTHY, BEAT_DEGRADED},
        {true, BEAT_HEALTHY, BEAT_HEALTHY, BEAT_HEALTHY},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct table table;
        make(&table);
        table.container->terms.is_app_beating = CASES[i].is_app;
        table.container->app_status = CASES[i].app;
        table.container->agent_status = CASES[i].agent;
        assert_int_equal(CASES[i].wanted, liveness_status(table.container));
        liveness_fini(&table.liveness);
    }
}

static void hosts_and_keys(void **state)
{
    (void)state;
    struct table table;
    make(&table);
    assert_true(liveness_is_host_live(&table.liveness, table.host, NOW));
    table.host->heard[PATH_REDIS] = ago(36000);
    assert_false(liveness_is_host_live(&table.liveness, table.host, NOW));
    table.host->heard[PATH_RPC] = ago(35000);
    assert_true(liveness_is_host_live(&table.liveness, table.host, NOW));
    table.host->is_engine_up = false;
    assert_false(liveness_is_host_live(&table.liveness, table.host, NOW));
    assert_false(liveness_is_host_live(&table.liveness, NULL, NOW));

    liveness_set_key(&table.liveness, table.container, "a", "b:c");
    assert_ptr_equal(table.container, liveness_find_by_key(&table.liveness, "a", "b:c"));
    assert_null(liveness_find_by_key(&table.liveness, "a:b", "c"));
    liveness_set_key(&table.liveness, table.container, "a", "b:c"); /* it has it already */
    assert_ptr_equal(table.container, liveness_find_by_key(&table.liveness, "a", "b:c"));
    assert_true(liveness_has_key(table.container, "a", "b:c"));
    assert_false(liveness_has_key(table.container, "a", "b:d"));
    assert_false(liveness_has_key(table.container, "b", "b:c"));
    struct container *other = liveness_add(&table.liveness, "other");
    assert_false(liveness_has_key(other, "", ""));
    liveness_set_key(&table.liveness, other, "a", "b:c");
    assert_ptr_equal(other, liveness_find_by_key(&table.liveness, "a", "b:c"));
    liveness_remove(&table.liveness, other);
    assert_null(liveness_find_by_key(&table.liveness, "a", "b:c"));
    liveness_fini(&table.liveness);
}

/* Against a naive model: who is there, and on which host. */
static void churn(void **state)
{
    (void)state;
    enum { NAMES = 40, HOSTS = 4 };
    int model[NAMES]; /* host, -1: none, -2: not there */
    struct liveness liveness;
    struct host *hosts[HOSTS];
    uint64_t seed = 3;
    liveness_init(&liveness, &CONFIG, NOW);
    for (int i = 0; i < HOSTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "h%d", i & 7);
        hosts[i] = liveness_add_host(&liveness, name, NOW);
    }
    for (int i = 0; i < NAMES; i++) {
        model[i] = -2;
    }
    for (int step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        int which = (int)((seed >> 33) % NAMES);
        int host = (int)((seed >> 45) % HOSTS);
        char name[16];
        snprintf(name, sizeof name, "c%d", which & 63);
        struct container *container = liveness_find(&liveness, name);
        assert_int_equal(model[which] != -2, container != NULL);
        if (container == NULL) {
            liveness_add(&liveness, name);
            model[which] = -1;
        } else if ((seed >> 55) % 3 == 0) {
            liveness_remove(&liveness, container);
            model[which] = -2;
        } else {
            liveness_set_host(container, hosts[host]);
            model[which] = host;
        }
        for (int i = 0; i < HOSTS; i++) {
            int wanted = 0, found = 0;
            for (int k = 0; k < NAMES; k++) {
                wanted += model[k] == i;
            }
            for (struct container *each = hosts[i]->containers; each != NULL; each = each->host_next) {
                found++;
            }
            assert_int_equal(wanted, found);
        }
    }
    liveness_fini(&liveness);
}

/* Containers come, go and move; whoever is asked for, in whatever order, from whichever host: the same as by
 * name. */
static void a_likely_container_is_no_other(void **state)
{
    (void)state;
    enum { NAMES = 12, HOSTS = 2, ROUNDS = 20000 };
    struct liveness liveness;
    liveness_init(&liveness, &CONFIG, NOW);
    struct host *hosts[HOSTS] = {liveness_add_host(&liveness, "a", NOW),
                                 liveness_add_host(&liveness, "b", NOW)};
    unsigned seed = 3;
    int likely = 0;
    for (int round = 0; round < ROUNDS; round++) {
        char name[8];
        struct host *host = hosts[rand_r(&seed) % HOSTS];
        snprintf(name, sizeof name, "c%d", rand_r(&seed) % NAMES);
        struct container *container = liveness_find(&liveness, name);
        unsigned what = (unsigned)rand_r(&seed) % 16;
        if (what == 0 && container != NULL) {
            liveness_remove(&liveness, container);
        } else if (what == 1) {
            liveness_set_host(container == NULL ? liveness_add(&liveness, name) : container, host);
        }
        /* As beats come: mostly the next one of a host. */
        const char *asked = what > 8 && host->likely != NULL ? host->likely->name : name;
        likely += asked != name;
        assert_ptr_equal(liveness_find(&liveness, asked), liveness_find_on(&liveness, host, asked));
    }
    assert_true(likely > ROUNDS / 10);
    liveness_fini(&liveness);
}

/* Beats in the order of the inventory, which is that in which containers were added. */
static void the_next_container_is_likely(void **state)
{
    (void)state;
    struct liveness liveness;
    liveness_init(&liveness, &CONFIG, NOW);
    struct host *host = liveness_add_host(&liveness, "a", NOW);
    struct container *first = liveness_add(&liveness, "1"), *second = liveness_add(&liveness, "2");
    liveness_set_host(first, host);
    liveness_set_host(second, host);
    assert_ptr_equal(first, liveness_find_on(&liveness, host, "1"));
    assert_ptr_equal(second, host->likely);
    liveness_fini(&liveness);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_counts_only_on_a_proven_path),
        cmocka_unit_test(an_agent_vouches),
        cmocka_unit_test(who_is_not_vouched_for),
        cmocka_unit_test(nobody_said_anything_yet),
        cmocka_unit_test(a_word_under_another_name_lives_as_long),
        cmocka_unit_test(labels_are_terms),
        cmocka_unit_test(the_worse_wins),
        cmocka_unit_test(hosts_and_keys),
        cmocka_unit_test(churn),
        cmocka_unit_test(a_likely_container_is_no_other),
        cmocka_unit_test(the_next_container_is_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
