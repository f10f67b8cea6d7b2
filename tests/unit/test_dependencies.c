#include "controller/core/dependencies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct policy_config config = {.heartbeat_ttl_ms = 35000};
static struct liveness liveness;
static struct host *host;

static int begin(void **state)
{
    (void)state;
    liveness_init(&liveness, &config, (struct mono){1000});
    host = liveness_add_host(&liveness, "h1", (struct mono){1000});
    return 0;
}

static int end(void **state)
{
    (void)state;
    liveness_fini(&liveness);
    return 0;
}

/* An UP container that started at second `start`, with the given edges. */
static struct container *make(const char *name, int start, const char *parent_id, const char *depends_on)
{
    struct container *container = liveness_add(&liveness, name);
    struct container_spec spec;
    container_spec_init(&spec);
    snprintf(spec.network_parent, sizeof spec.network_parent, "%s", parent_id);
    snprintf(spec.depends_on, sizeof spec.depends_on, "%s", depends_on);
    snprintf(container->container_id, sizeof container->container_id, "id-%.40s", name);
    snprintf(container->incarnation, sizeof container->incarnation, "2026-01-23T19:05:%02d.5Z", start % 60);
    liveness_set_key(&liveness, container, name, "1");
    liveness_set_host(container, host);
    liveness_set_edges(container, &spec);
    container->state = CONTAINER_RUNNING;
    container->policy.state = STATE_UP;
    return container;
}

static enum failure_cause cause_of(const struct container *child)
{
    const struct container *parent = NULL;
    return dependencies_stale(child, &parent);
}

static void starts_are_compared(void **state)
{
    (void)state;
    static const struct {
        const char *left, *right;
        int order;
    } CASES[] = {
        {"2026-01-23T19:05:30.5Z", "2026-01-23T19:05:30.5Z", 0},
        {"2026-01-23T19:05:30.12Z", "2026-01-23T19:05:30.123Z", -1}, /* Docker cuts trailing zeros off */
        {"2026-01-23T19:05:30.123Z", "2026-01-23T19:05:30.12Z", 1},
        {"2026-01-23T19:05:30Z", "2026-01-23T19:05:30.000000001Z", -1},
        {"2026-01-23T19:05:30Z", "2026-01-23T19:05:30.0Z", 0},
        {"2026-01-23T19:05:30.9Z", "2026-01-23T19:05:31Z", -1},
        {"2026-01-23T19:05:30.1Z", "2026-01-23T19:05:30.09Z", 1},
        {"2027-01-01T00:00:00Z", "2026-12-31T23:59:59.999999999Z", 1},
        {"0001-01-01T00:00:00Z", "2026-01-23T19:05:30Z", -1}, /* never started */
        {"", "2026-01-23T19:05:30Z", 0},
        {"2026-01-23T19:05:30", "2026-01-23T19:05:31Z", 0},
        {"2026-01-23T19:05:30.Z", "2026-01-23T19:05:31Z", 0},
        {"2026-01-23T19:05:30+01:00", "2026-01-23T19:05:31Z", 0}, /* not Docker's */
        {"2026-01-23T19:05:30Zx", "2026-01-23T19:05:31Z", 0},
        {"rubbish", "x", 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int order = dependencies_compare_starts(CASES[i].left, CASES[i].right);
        int back = dependencies_compare_starts(CASES[i].right, CASES[i].left);
        assert_int_equal(CASES[i].order, (order > 0) - (order < 0));
        assert_int_equal(-CASES[i].order, (back > 0) - (back < 0));
    }
}

static void a_parent_is_found_on_its_own_host(void **state)
{
    (void)state;
    struct container *vpn = make("vpn", 10, "", "");
    struct container *web = make("web", 20, "id-vpn", "");
    assert_ptr_equal(vpn, dependencies_parent(web));
    assert_null(dependencies_parent(vpn));
    liveness_set_host(vpn, liveness_add_host(&liveness, "h2", (struct mono){1000}));
    assert_null(dependencies_parent(web));
    assert_ptr_equal(web, LIST_FIRST(&host->dependents)->container);
    assert_null(LIST_NEXT(web->edges, of_host));
    liveness_set_host(web, NULL);
    assert_true(LIST_EMPTY(&host->dependents));
}

static void ancestors(void **state)
{
    (void)state;
    struct container *vpn = make("vpn", 10, "", "");
    struct container *mid = make("mid", 20, "id-vpn", "");
    struct container *web = make("web", 30, "id-mid", "");
    assert_false(dependencies_has_failed_ancestor(web));
    for (int each = STATE_NONE; each < STATE_N; each++) {
        vpn->policy.state = (enum policy_state)each;
        assert_int_equal(each != STATE_UP, dependencies_has_failed_ancestor(web));
        assert_int_equal(each != STATE_UP, dependencies_has_failed_ancestor(mid));
        assert_false(dependencies_has_failed_ancestor(vpn)); /* its own state is no ancestor's */
    }
    vpn->policy.state = STATE_UP;
    struct container *lone = make("lone", 5, "id-nobody", ""); /* never seen: not known to be gone */
    assert_false(dependencies_has_failed_ancestor(lone));
    lone->edges->is_parent_missed = true;
    assert_true(dependencies_is_parent_gone(lone));
    assert_true(dependencies_has_failed_ancestor(lone));
}

static void a_later_start_makes_stale(void **state)
{
    (void)state;
    struct container *vpn = make("vpn", 10, "", "");
    struct container *web = make("web", 20, "id-vpn", "");
    assert_int_equal(CAUSE_NONE, cause_of(web));
    snprintf(vpn->incarnation, sizeof vpn->incarnation, "2026-01-23T19:05:20.50001Z");
    assert_int_equal(CAUSE_STALE_NETWORK, cause_of(web));
    assert_int_equal(CAUSE_NONE, cause_of(vpn));
    web->state = CONTAINER_EXITED; /* it is to be started anyway */
    assert_int_equal(CAUSE_NONE, cause_of(web));
    web->state = CONTAINER_RUNNING;
    vpn->state = CONTAINER_EXITED;
    assert_int_equal(CAUSE_NONE, cause_of(web));
    vpn->state = CONTAINER_RUNNING;
    snprintf(web->edges->repaired_for, sizeof web->edges->repaired_for, "%s", vpn->incarnation);
    assert_int_equal(CAUSE_NONE, cause_of(web)); /* once per incarnation of the parent */
}

/* The host's clock was set a day back, or forth, between two starts. */
static void what_was_seen_comes_before_the_clock(void **state)
{
    (void)state;
    struct container *vpn = make("vpn", 30, "", "");
    struct container *web = make("web", 20, "id-vpn", "");
    vpn->incarnation_at = (struct mono){1000};
    web->incarnation_at = (struct mono){100000};
    assert_int_equal(CAUSE_STALE_NETWORK, cause_of(web)); /* it was made anew: nobody saw in which order */
    liveness_set_restarted(web, true);
    assert_int_equal(CAUSE_NONE, cause_of(web));
    snprintf(vpn->incarnation, sizeof vpn->incarnation, "2026-01-23T19:05:10Z");
    vpn->incarnation_at = (struct mono){130000};
    liveness_set_restarted(vpn, true);
    assert_int_equal(CAUSE_NONE, cause_of(web)); /* too near: as the clock says */
    vpn->incarnation_at = (struct mono){170000};
    assert_int_equal(CAUSE_STALE_NETWORK, cause_of(web));
}

static void soft_edges_follow_only_where_they_say_so(void **state)
{
    (void)state;
    static const struct {
        const char *depends_on;
        bool has_restarted;
        enum failure_cause cause;
    } CASES[] = {
        {"db", true, CAUSE_NONE},
        {"db:restart", true, CAUSE_DEPENDENCY},
        {"db:restart", false, CAUSE_NONE}, /* scaled up, or started later: no restart */
        {"cache,db:restart", true, CAUSE_DEPENDENCY},
        {"db:restart,cache", true, CAUSE_DEPENDENCY},
        {"cache:restart", true, CAUSE_NONE},
        {",,:restart,d:restart,", true, CAUSE_NONE},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct container *db = make("db", 40, "", "");
        struct container *web = make("web", 20, "", CASES[i].depends_on);
        liveness_set_restarted(db, CASES[i].has_restarted);
        assert_int_equal(CASES[i].cause, cause_of(web));
        db->policy.state = STATE_FAILED;
        assert_false(dependencies_has_failed_ancestor(web)); /* only hard ones hold back */
        liveness_remove(&liveness, db);
        liveness_remove(&liveness, web);
    }
}

static void compose(struct container *container, const char *project, const char *depends_on)
{
    struct container_spec spec;
    container_spec_init(&spec);
    snprintf(spec.compose_project, sizeof spec.compose_project, "%s", project);
    snprintf(spec.depends_on, sizeof spec.depends_on, "%s", depends_on);
    liveness_set_edges(container, &spec);
}

static void compose_services_are_of_one_project(void **state)
{
    (void)state;
    struct container *db = make("shop-db-1", 40, "", "");
    struct container *web = make("shop-web-1", 20, "", "");
    liveness_set_key(&liveness, db, "db", "1");
    liveness_set_key(&liveness, web, "web", "1");
    liveness_set_restarted(db, true);
    compose(db, "shop", "");
    compose(web, "shop", "db:restart");
    assert_int_equal(CAUSE_DEPENDENCY, cause_of(web));
    compose(db, "other", "");
    assert_int_equal(CAUSE_NONE, cause_of(web));
    compose(db, "shop", "");
    db->edges->compose_service = strdup("database"); /* compose's own name, where a label hides it */
    assert_int_equal(CAUSE_NONE, cause_of(web));
    compose(web, "shop", "database:restart");
    assert_int_equal(CAUSE_DEPENDENCY, cause_of(web));
}

static void cycles_end(void **state)
{
    (void)state;
    struct container *a = make("a", 40, "", "b:restart");
    struct container *b = make("b", 20, "", "c:restart");
    struct container *c = make("c", 10, "", "a:restart");
    liveness_set_restarted(a, true);
    liveness_set_restarted(b, true);
    liveness_set_restarted(c, true);
    assert_int_equal(CAUSE_NONE, cause_of(b)); /* b follows c follows a follows b */
    assert_int_equal(CAUSE_NONE, cause_of(c));
    struct container *tail = make("tail", 5, "", "c:restart");
    assert_int_equal(CAUSE_DEPENDENCY, cause_of(tail)); /* not part of it */
    struct container *x = make("x", 1, "id-y", "");
    struct container *y = make("y", 9, "id-x", "");
    assert_int_equal(CAUSE_NONE, cause_of(x));
    assert_false(dependencies_has_failed_ancestor(x));
    y->policy.state = STATE_FAILED;
    assert_true(dependencies_has_failed_ancestor(x));
    struct container *self = make("self", 1, "id-self", "self:restart");
    liveness_set_restarted(self, true);
    assert_int_equal(CAUSE_NONE, cause_of(self));
    struct container *z = make("z", 1, "id-x", ""); /* below a cycle */
    assert_true(dependencies_has_failed_ancestor(z));
}

/* Deeper than anything real: as if an ancestor had failed, and no cascade. */
static void what_is_too_deep_is_not_walked(void **state)
{
    (void)state;
    enum { DEPTH = 70 };
    struct container *chain[DEPTH];
    for (int i = 0; i < DEPTH; i++) {
        char name[32], parent[LIMIT_ID_SIZE] = "", edges[32] = "";
        snprintf(name, sizeof name, "c%d", i);
        if (i > 0) {
            snprintf(parent, sizeof parent, "id-c%d", i - 1);
            snprintf(edges, sizeof edges, "c%d:restart", i - 1);
        }
        chain[i] = make(name, i == DEPTH - 2 ? 50 : 1, parent, edges);
    }
    assert_false(dependencies_has_failed_ancestor(chain[60]));
    assert_true(dependencies_has_failed_ancestor(chain[DEPTH - 1]));
    assert_int_equal(CAUSE_NONE, cause_of(chain[DEPTH - 1])); /* its parent was started later, all the same */
    snprintf(chain[9]->incarnation, sizeof chain[9]->incarnation, "2026-01-23T19:05:50.5Z");
    assert_int_equal(CAUSE_STALE_NETWORK, cause_of(chain[10]));
}

/* Soft edges fan out: what a restart would follow is looked at until it comes back, or is too much. */
static void a_wide_family_without_a_cycle_is_followed_as_far_as_there_is_room(void **state)
{
    (void)state;
    static const int COUNTS[] = {40, 80};
    for (size_t i = 0; i < 2; i++) {
        struct container *db = make("db", 40, "", "pool:restart,shared");
        struct container *web = make("web", 20, "", "db:restart");
        struct container *pool[80];
        for (int k = 0; k < COUNTS[i]; k++) {
            char name[32];
            snprintf(name, sizeof name, "pool-%d", k);
            pool[k] = make(name, 1, "", "");
            liveness_set_key(&liveness, pool[k], "pool", name);
            struct container_spec spec;
            container_spec_init(&spec);
            snprintf(spec.compose_project, sizeof spec.compose_project, "shop");
            liveness_set_edges(pool[k], &spec);
        }
        struct container_spec spec;
        container_spec_init(&spec);
        snprintf(spec.compose_project, sizeof spec.compose_project, "shop");
        snprintf(spec.depends_on, sizeof spec.depends_on, "pool:restart,shared");
        liveness_set_edges(db, &spec);
        liveness_set_restarted(db, true);
        assert_int_equal(COUNTS[i] == 40 ? CAUSE_DEPENDENCY : CAUSE_NONE, cause_of(web));
        for (int k = 0; k < COUNTS[i]; k++) {
            liveness_remove(&liveness, pool[k]);
        }
        liveness_remove(&liveness, db);
        liveness_remove(&liveness, web);
    }
}

/* One without a host has neither parent nor dependents; one of no project is no compose service. */
static void who_is_nowhere_depends_on_nobody(void **state)
{
    (void)state;
    struct container *vpn = make("vpn", 40, "", "");
    struct container *web = make("web", 20, "id-vpn", "");
    assert_int_equal(CAUSE_STALE_NETWORK, cause_of(web));
    liveness_set_host(web, NULL);
    assert_int_equal(CAUSE_NONE, cause_of(web));
    assert_false(dependencies_is_parent_gone(web));
    assert_false(dependencies_has_failed_ancestor(web));
    struct container *db = make("shop-db-1", 40, "", "");
    struct container *app = make("app", 20, "", "db:restart");
    liveness_set_key(&liveness, db, "db", "1");
    liveness_set_restarted(db, true);
    compose(db, "shop", "");
    assert_int_equal(CAUSE_NONE, cause_of(app)); /* "db" is a service of a project that app is not in */
    char long_edge[LIMIT_NAME_SIZE + 32];
    memset(long_edge, 'x', LIMIT_NAME_SIZE);
    snprintf(long_edge + LIMIT_NAME_SIZE, 32, ":restart,shop-db-1:restart");
    struct container *other = make("other", 20, "", long_edge); /* a name that nobody can have */
    assert_int_equal(CAUSE_DEPENDENCY, cause_of(other));
    assert_int_equal(CAUSE_NONE, cause_of(vpn));
}

/* What was found once is found anew after every change that could lead elsewhere. */
static void what_was_found_is_not_kept_too_long(void **state)
{
    (void)state;
    enum { NAMES = 6, STEPS = 20000 };
    struct container *known[NAMES] = {NULL};
    uint64_t dice = 7;
    size_t hits[2] = {0};
    struct host *other = liveness_add_host(&liveness, "h2", (struct mono){1000});
    for (int step = 0; step < STEPS; step++) {
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        uint32_t throw = (uint32_t)(dice >> 33);
        char name[32], parent[LIMIT_ID_SIZE], follows[64];
        struct container **at = &known[throw % NAMES];
        snprintf(name, sizeof name, "c%u", throw % NAMES);
        snprintf(parent, sizeof parent, "id-c%u", throw / 7 % NAMES);
        snprintf(follows, sizeof follows, "c%u:restart", throw / 11 % NAMES);
        uint32_t deed = throw / 64 % 6;
        if (!*at) {
            *at = make(name, (int)(throw % 50), throw &256 ? parent : "", throw &512 ? follows : "");
        } else if (deed == 0) {
            liveness_remove(&liveness, *at);
            *at = NULL;
        } else if (deed == 1) {
            liveness_set_id(*at, parent); /* two may have the same for a while */
        } else if (deed == 2) {
            liveness_set_restarted(*at, throw &256);
        } else if (deed == 3) {
            liveness_set_host(*at, throw &256 ? host : other);
        } else if (deed == 4) {
            snprintf((*at)->incarnation, sizeof(*at)->incarnation, "2026-01-23T19:05:%02uZ", throw % 50);
        }
        for (int i = 0; i < NAMES; i++) {
            struct container *each = known[i];
            if (!each || !each->edges) {
                continue;
            }
            const struct container *kept[2] = {dependencies_parent(each), NULL};
            enum failure_cause cause = dependencies_stale(each, &kept[1]);
            each->edges->parent_found_at = each->edges->none_restarted_at = 0;
            const struct container *anew[2] = {dependencies_parent(each), NULL};
            assert_int_equal(dependencies_stale(each, &anew[1]), cause);
            for (int k = 0; k < 2; k++) {
                assert_ptr_equal(anew[k], kept[k]);
                hits[k] += anew[k] != NULL;
            }
        }
    }
    assert_true(hits[0] > 1000 && hits[1] > 1000);
}

static void what_people_type(void **state)
{
    (void)state;
    char text[LIMIT_DETAIL_SIZE];
    struct container *lone = make("h1x/lone", 20, "id-vpn", "");
    dependencies_recreate_command(lone, text);
    assert_string_equal("docker rm -f h1x/lone, then docker run as before with --network container:PARENT",
                        text);
    liveness_set_host(lone, NULL);
    dependencies_recreate_command(lone, text);
    assert_non_null(strstr(text, "docker rm -f h1x/lone,"));
    struct container *bare = make("h1/bare", 20, "", "");
    liveness_set_edges(bare, &(struct container_spec){.network_parent = ""});
    dependencies_recreate_command(bare, text);
    assert_string_equal("docker rm -f bare, then docker run as before with --network container:PARENT", text);
    struct container *web = make("h1/web", 20, "id-vpn", "");
    web->edges->parent_name = strdup("h1/vpn");
    dependencies_recreate_command(web, text);
    assert_string_equal("docker rm -f web, then docker run as before with --network container:vpn", text);
    struct container *shop = make("shop-web-1", 20, "", "");
    liveness_set_key(&liveness, shop, "web", "1");
    compose(shop, "shop", "");
    dependencies_recreate_command(shop, text);
    assert_string_equal("docker compose -p shop up -d --force-recreate web", text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_are_compared, begin, end),
        cmocka_unit_test_setup_teardown(a_parent_is_found_on_its_own_host, begin, end),
        cmocka_unit_test_setup_teardown(ancestors, begin, end),
        cmocka_unit_test_setup_teardown(a_later_start_makes_stale, begin, end),
        cmocka_unit_test_setup_teardown(what_was_seen_comes_before_the_clock, begin, end),
        cmocka_unit_test_setup_teardown(soft_edges_follow_only_where_they_say_so, begin, end),
        cmocka_unit_test_setup_teardown(compose_services_are_of_one_project, begin, end),
        cmocka_unit_test_setup_teardown(cycles_end, begin, end),
        cmocka_unit_test_setup_teardown(what_is_too_deep_is_not_walked, begin, end),
        cmocka_unit_test_setup_teardown(a_wide_family_without_a_cycle_is_followed_as_far_as_there_is_room,
                                        begin, end),
        cmocka_unit_test_setup_teardown(who_is_nowhere_depends_on_nobody, begin, end),
        cmocka_unit_test_setup_teardown(what_was_found_is_not_kept_too_long, begin, end),
        cmocka_unit_test_setup_teardown(what_people_type, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
