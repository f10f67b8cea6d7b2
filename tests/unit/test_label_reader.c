#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/core/label_reader.h"
#include "common/memory.h"

enum { TOLD_SIZE = 1024 };

static void note(void *arg, const char *text)
{
    char *told = arg;
    size_t used = strlen(told);
    snprintf(told + used, TOLD_SIZE - used, "%s\n", text);
}

struct pair {
    const char *name, *value;
};

static struct label_list make(const struct pair *pairs, size_t count)
{
    struct label_list list = {0};
    for (size_t i = 0; i < count && pairs[i].name != NULL; i++) {
        label_list_add(&list, pairs[i].name, pairs[i].value);
    }
    return list;
}

static void read(const struct pair *pairs, size_t count, struct container_spec *spec, char told[TOLD_SIZE])
{
    struct label_list list = make(pairs, count);
    container_spec_init(spec);
    told[0] = '\0';
    label_reader_spec(&list, spec, note, told);
    label_list_fini(&list);
}

static void identity_by_label_compose_and_name(void **state)
{
    (void)state;
    static const struct {
        struct pair labels[4];
        const char *service, *instance;
    } CASES[] = {
        {{{0}}, "web", "web"},
        {{{"com.docker.compose.service", "api"}, {"com.docker.compose.container-number", "2"}}, "api", "2"},
        {{{"com.docker.compose.service", "api"}}, "web", "web"},
        {{{"defib.service", "s"}, {"defib.instance", "i"}, {"com.docker.compose.service", "api"}}, "s", "i"},
        {{{"defib.service", "s"}}, "s", "web"},
        {{{"defib.instance", "i"},
          {"com.docker.compose.service", "api"},
          {"com.docker.compose.container-number", "2"}},
         "api",
         "i"},
        {{{"defib.service", "has blank"}, {"defib.instance", ""}}, "web", "web"},
        {{{"defib.service", "line\nbreak"}}, "web", "web"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct label_list list = make(CASES[i].labels, 4);
        struct label_identity identity;
        label_reader_identity(&list, "web", "", &identity);
        assert_string_equal(CASES[i].service, identity.service);
        assert_string_equal(CASES[i].instance, identity.instance);
        label_list_fini(&list);
    }
}

/* One compose project on two hosts must not write one key. */
static void prefix_stands_before_a_compose_number(void **state)
{
    (void)state;
    static const struct pair COMPOSE[4] = {{"com.docker.compose.service", "api"},
                                           {"com.docker.compose.container-number", "2"}};
    struct label_list list = make(COMPOSE, 4);
    struct label_identity identity;
    label_reader_identity(&list, "h1/p_api_2", "h1/", &identity);
    assert_string_equal("api", identity.service);
    assert_string_equal("h1/2", identity.instance);
    label_list_fini(&list);
}

static void watching(void **state)
{
    (void)state;
    static const struct {
        struct pair labels[2];
        enum label_watch wanted;
    } CASES[] = {
        {{{0}}, LABEL_WATCH_UNSAID},
        {{{"defib.enable", "true"}}, LABEL_WATCH_YES},
        {{{"defib.enable", "false"}}, LABEL_WATCH_NO},
        {{{"defib.enable", "maybe"}}, LABEL_WATCH_UNSAID},
        {{{"autoheal", "true"}}, LABEL_WATCH_YES},
        {{{"autoheal", "false"}}, LABEL_WATCH_UNSAID},
        {{{"deunhealth.restart.on.unhealthy", "true"}}, LABEL_WATCH_YES},
        {{{"autoheal", "true"}, {"defib.enable", "false"}}, LABEL_WATCH_NO},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct label_list list = make(CASES[i].labels, 2);
        assert_int_equal(CASES[i].wanted, label_reader_watch(&list));
        label_list_fini(&list);
    }
}

/* Compose's own name of the service is told where the identity is another. */
static void compose_service_where_it_is_hidden(void **state)
{
    (void)state;
    static const struct {
        struct pair labels[3];
        const char *wanted;
    } CASES[] = {
        {{{"com.docker.compose.service", "api"}, {"com.docker.compose.container-number", "2"}}, ""},
        {{{"com.docker.compose.service", "api"}}, "api"},
        {{{"com.docker.compose.service", "api"},
          {"com.docker.compose.container-number", "2"},
          {"defib.service", "shop-api"}},
         "api"},
        {{{"defib.service", "shop-api"}}, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct label_list list = make(CASES[i].labels, 3);
        struct container_spec spec;
        container_spec_init(&spec);
        label_reader_spec(&list, &spec, NULL, NULL);
        assert_string_equal(CASES[i].wanted, spec.compose_service);
        label_list_fini(&list);
    }
}

static void every_label_is_read(void **state)
{
    (void)state;
    static const struct pair LABELS[] = {
        {"defib.restart", "deny"},
        {"defib.heartbeat", "app"},
        {"defib.stop_timeout", "2.5"},
        {"defib.start_grace", "90"},
        {"defib.unhealthy_grace", "0"},
        {"defib.restart.max_attempts", "7"},
        {"defib.restart.backoff", "1,2.5,30"},
        {"defib.oneshot", "true"},
        {"com.docker.compose.project", "shop"},
        {"com.docker.compose.service", "web"},
        {"com.docker.compose.depends_on", "db:service_healthy:false,cache:service_started:true"},
        {"defib.depends_on", " queue , mail:restart "},
        {"defib.check.http", "http://:80/"},
        {"defib.progress", "ticks:60"},
        {"org.other", "kept out"},
    };
    struct container_spec spec;
    char told[TOLD_SIZE];
    read(LABELS, sizeof LABELS / sizeof LABELS[0], &spec, told);
    assert_string_equal("", told);
    assert_int_equal(RESTART_LABEL_DENY, spec.restart);
    assert_int_equal(BEAT_MODE_APP, spec.beat_mode);
    assert_int_equal(2500, spec.stop_timeout_ms);
    assert_int_equal(90000, spec.start_grace_ms);
    assert_int_equal(0, spec.unhealthy_grace_ms);
    assert_int_equal(7, spec.max_attempts);
    assert_int_equal(3, spec.backoff_count);
    assert_int_equal(2500, spec.backoff_ms[1]);
    assert_true(spec.is_oneshot);
    assert_string_equal("shop", spec.compose_project);
    assert_string_equal("web", spec.compose_service);
    assert_string_equal("db,cache:restart,queue,mail:restart", spec.depends_on);
}

static void no_label_says_nothing(void **state)
{
    (void)state;
    struct container_spec spec, empty;
    char told[TOLD_SIZE];
    read(NULL, 0, &spec, told);
    container_spec_init(&empty);
    assert_string_equal("", told);
    assert_int_equal(empty.stop_timeout_ms, spec.stop_timeout_ms);
    assert_int_equal(-1, spec.stop_timeout_ms);
    assert_int_equal(RESTART_LABEL_NONE, spec.restart);
}

static void what_others_use_is_read_too(void **state)
{
    (void)state;
    static const struct pair AUTOHEAL[] = {{"autoheal", "true"}, {"autoheal.stop.timeout", "20"}};
    static const struct pair BOTH[] = {{"autoheal.stop.timeout", "20"},
                                       {"defib.stop_timeout", "5"},
                                       {"autoheal", "true"},
                                       {"defib.restart", "deny"}};
    static const struct pair ONEOFF[] = {{"com.docker.compose.oneoff", "True"}};
    static const struct pair SERVICE[] = {{"com.docker.compose.oneoff", "False"},
                                          {"com.docker.compose.depends_on", "db,:true,cache:x:true"}};
    static const struct pair DEUNHEALTH[] = {{"deunhealth.restart.on.unhealthy", "true"}};
    struct container_spec spec;
    char told[TOLD_SIZE];
    read(AUTOHEAL, 2, &spec, told);
    assert_int_equal(RESTART_LABEL_ALLOW, spec.restart);
    assert_int_equal(20000, spec.stop_timeout_ms);
    read(BOTH, 4, &spec, told);
    assert_int_equal(RESTART_LABEL_DENY, spec.restart);
    assert_int_equal(5000, spec.stop_timeout_ms);
    read(ONEOFF, 1, &spec, told);
    assert_true(spec.is_oneshot);
    assert_string_equal("", told);
    read(DEUNHEALTH, 1, &spec, told);
    assert_int_equal(RESTART_LABEL_ALLOW, spec.restart);
    assert_string_equal("", told);
    read(SERVICE, 2, &spec, told); /* an edge without a name ends it; what stood before is good */
    assert_false(spec.is_oneshot);
    assert_string_equal("db", spec.depends_on);
    assert_non_null(strstr(told, "com.docker.compose.depends_on=db,:true"));
}

static void a_name_has_up_to_255_bytes(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        char value[LIMIT_NAME_SIZE + 1] = "";
        memset(value, 'n', LIMIT_NAME_SIZE - 1 + more);
        struct pair label = {"defib.service", value};
        struct label_list list = make(&label, 1);
        struct label_identity identity;
        label_reader_identity(&list, "web", "", &identity);
        assert_string_equal(more == 0 ? value : "web", identity.service);
        label_list_fini(&list);
    }
}

/* Each is reported by name, value and what is allowed, and treated as absent. */
static void malformed_values(void **state)
{
    (void)state;
    static const struct {
        struct pair label;
        const char *allowed;
    } CASES[] = {
        {{"defib.restart", "Allow"}, "allow and deny"},
        {{"defib.restart", "none"}, "allow and deny"},
        {{"defib.heartbeat", "service"}, "auto, agent and app"},
        {{"defib.stop_timeout", "10s"}, "seconds from 0 to 86400"},
        {{"defib.stop_timeout", "-1"}, "seconds from 0 to 86400"},
        {{"defib.stop_timeout", ""}, "seconds from 0 to 86400"},
        {{"defib.stop_timeout", "."}, "seconds from 0 to 86400"},
        {{"defib.stop_timeout", "1e5"}, "seconds from 0 to 86400"},
        {{"defib.stop_timeout", "00000000000000000000000000000001"}, "seconds from 0 to 86400"},
        {{"defib.stop_timeout", "1.2.3"}, "seconds from 0 to 86400"},
        {{"defib.restart.max_attempts", ""}, "whole numbers from 0 to 1000"},
        {{"defib.restart.max_attempts", "0000000001"}, "whole numbers from 0 to 1000"},
        {{"defib.service", ""}, "1 to 255 bytes"},
        {{"defib.instance", "a\x7f"}, "1 to 255 bytes"},
        {{"defib.depends_on", "db:rastart"}, "comma-separated names"},
        {{"com.docker.compose.depends_on", ":service_started:true"}, "comma-separated names"},
        {{"defib.start_grace", "86401"}, "seconds from 0 to 86400"},
        {{"defib.start_grace", "inf"}, "seconds from 0 to 86400"},
        {{"defib.unhealthy_grace", "nan"}, "seconds from 0 to 86400"},
        {{"autoheal.stop.timeout", "x"}, "seconds from 0 to 86400"},
        {{"defib.restart.max_attempts", "1.5"}, "whole numbers from 0 to 1000"},
        {{"defib.restart.max_attempts", "1001"}, "whole numbers from 0 to 1000"},
        {{"defib.restart.backoff", "5,"}, "comma-separated seconds"},
        {{"defib.restart.backoff", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}, "comma-separated seconds"},
        {{"defib.oneshot", "perhaps"}, "true and false"},
        {{"defib.enable", "2"}, "true and false"},
        {{"autoheal", "maybe"}, "true and false"},
        {{"autoheal", "ture"}, "true and false"},
        {{"autoheal", "\"true\""}, "true and false; the quotes are part of the value"},
        {{"deunhealth.restart.on.unhealthy", "'true'"}, "true and false; the quotes are part of the value"},
        {{"defib.service", "a b"}, "1 to 255 bytes"},
        {{"defib.depends_on", "a b"}, "comma-separated names"},
    };
    struct container_spec empty;
    container_spec_init(&empty);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct container_spec spec;
        char told[TOLD_SIZE], begin[256];
        read(&CASES[i].label, 1, &spec, told);
        snprintf(begin, sizeof begin, "label %s=%.64s is not used: allowed are ", CASES[i].label.name,
                 CASES[i].label.value);
        if (strncmp(told, begin, strlen(begin)) != 0 || strstr(told, CASES[i].allowed) == NULL) {
            fail_msg("%s=%s: told \"%s\"", CASES[i].label.name, CASES[i].label.value, told);
        }
        assert_int_equal(empty.restart, spec.restart);
        assert_int_equal(empty.stop_timeout_ms, spec.stop_timeout_ms);
        assert_int_equal(empty.start_grace_ms, spec.start_grace_ms);
        assert_int_equal(empty.unhealthy_grace_ms, spec.unhealthy_grace_ms);
        assert_int_equal(empty.max_attempts, spec.max_attempts);
        assert_int_equal(0, spec.backoff_count);
        assert_false(spec.is_oneshot);
        assert_string_equal("", spec.depends_on);
    }
}

static void unknown_labels_name_the_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *name, *nearest;
    } CASES[] = {
        {"defib.stop_timeot", "did you mean defib.stop_timeout?"},
        {"defib.stoptimeout", "did you mean defib.stop_timeout?"},
        {"defib.enabled", "did you mean defib.enable?"},
        {"defib.restart.max_attempt", "did you mean defib.restart.max_attempts?"},
        {"defib.heartbeats", "did you mean defib.heartbeat?"},
        {"defib.check.", "did you mean defib.check.<name>?"},
        {"defib.limits.age", "did you mean defib.limit.<name>?"},
        {"autoheall", "did you mean autoheal?"},
        {"autoheal.stop.timeuot", "did you mean autoheal.stop.timeout?"},
        {"deunhealth.restart.on.unhealty", "did you mean deunhealth.restart.on.unhealthy?"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct pair label = {CASES[i].name, "1"};
        struct container_spec spec;
        char told[TOLD_SIZE];
        read(&label, 1, &spec, told);
        assert_non_null(strstr(told, CASES[i].name));
        if (strstr(told, CASES[i].nearest) == NULL) {
            fail_msg("%s: %s", CASES[i].name, told);
        }
    }
}

/* The first complaint stays in the spec, where everybody can read it; nothing stays of what is of use. */
static void the_first_complaint_is_kept(void **state)
{
    (void)state;
    struct container_spec spec;
    char told[TOLD_SIZE];
    const struct pair bad[] = {{"defib.stop_timeout", "z\xc3\xb6lf\n"}, {"defib.restrat", "deny"}};
    read(bad, 2, &spec, told);
    assert_string_equal(spec.complaint,
                        "label defib.stop_timeout=z??lf? is not used: allowed are seconds from 0 "
                        "to 86400");
    const struct pair good[] = {{"defib.stop_timeout", "5"}};
    read(good, 1, &spec, told);
    assert_string_equal(spec.complaint, "");
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    char name[4096] = "defib.", value[4096];
    memset(name + 6, 'x', sizeof name - 7);
    name[sizeof name - 1] = '\0';
    memset(value, 'y', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    struct label_list list = {0};
    for (int i = 0; i < LABEL_LIST_MAX + 10; i++) {
        label_list_add(&list, name, value);
    }
    assert_int_equal(LABEL_LIST_MAX, list.count);
    assert_int_equal(LABEL_NAME_SIZE - 1, strlen(list.items[0].name));
    assert_int_equal(LABEL_VALUE_SIZE - 1, strlen(list.items[0].value));
    struct container_spec spec;
    char told[TOLD_SIZE] = "";
    container_spec_init(&spec);
    label_reader_spec(&list, &spec, note, told);
    label_list_fini(&list);

    /* Edges that do not fit are left out whole. */
    char edges[LABEL_VALUE_SIZE];
    memset(edges, 'a', sizeof edges);
    edges[600] = ',';
    edges[sizeof edges - 1] = '\0';
    struct pair pairs[] = {{"com.docker.compose.depends_on", edges}, {"defib.depends_on", edges}};
    read(pairs, 2, &spec, told);
    assert_true(strlen(spec.depends_on) < sizeof spec.depends_on);
    assert_non_null(strstr(told, "defib.depends_on"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_by_label_compose_and_name),
        cmocka_unit_test(prefix_stands_before_a_compose_number),
        cmocka_unit_test(compose_service_where_it_is_hidden),
        cmocka_unit_test(watching),
        cmocka_unit_test(every_label_is_read),
        cmocka_unit_test(no_label_says_nothing),
        cmocka_unit_test(what_others_use_is_read_too),
        cmocka_unit_test(a_name_has_up_to_255_bytes),
        cmocka_unit_test(malformed_values),
        cmocka_unit_test(unknown_labels_name_the_nearest),
        cmocka_unit_test(the_first_complaint_is_kept),
        cmocka_unit_test(sizes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
