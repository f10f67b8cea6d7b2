#include "controller/core/liveness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct policy_config CONFIG = {.heartbeat_ttl_ms = 35000, .settle_ms = 45000};
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
    struct container *other = liveness_add(&table.liveness, "other");
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_counts_only_on_a_proven_path),
        cmocka_unit_test(an_agent_vouches),
        cmocka_unit_test(the_worse_wins),
        cmocka_unit_test(hosts_and_keys),
        cmocka_unit_test(churn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
