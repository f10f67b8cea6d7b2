#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/metric_rules.h"

struct told {
    int count;
    char last[512];
};

static void on_complaint(void *arg, const char *text)
{
    struct told *told = arg;
    told->count++;
    snprintf(told->last, sizeof told->last, "%s", text);
}

static void read(const char *name, const char *value, struct metric_rules *out, struct told *told)
{
    struct label_list labels = {0};
    *told = (struct told){0};
    label_list_add(&labels, name, value);
    metric_rules_read(&labels, out, on_complaint, told);
    label_list_fini(&labels);
}

static void reads_limits(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        double low, high;
    } cases[] = {{"30", -INFINITY, 30},  {"-1.5e3", -INFINITY, -1500}, {"10..50", 10, 50},
                 {"10..", 10, INFINITY}, {"..50", -INFINITY, 50},      {"-5..-1", -5, -1},
                 {"0.5..0.5", 0.5, 0.5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct metric_rules rules;
        struct told told;
        read("defib.limit.last_price_age_s", cases[i].value, &rules, &told);
        assert_int_equal(0, told.count);
        assert_int_equal(1, rules.count);
        assert_string_equal("limit_last_price_age_s", rules.items[0].check);
        assert_true(rules.items[0].low == cases[i].low && rules.items[0].high == cases[i].high);
        assert_false(rules.items[0].is_required);
        metric_rules_free(&rules);
    }
}

static void what_is_none_is_reported_and_not_there(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"defib.limit.a", "", "<max>"},
        {"defib.limit.a", "..", "<max>"},
        {"defib.limit.a", "5..1", "<max>"},
        {"defib.limit.a", "1...2", "<max>"},
        {"defib.limit.a", "nan", "<max>"},
        {"defib.limit.a", "inf", "<max>"},
        {"defib.limit.a", "0x10", "<max>"},
        {"defib.limit.a", "1e999", "<max>"},
        {"defib.limit.", "1", "<max>"},
        {"defib.limit.a b", "1", "<max>"},
        {"defib.limit.a", "+", "<max>"},
        {"defib.limit.a", "1e", "<max>"},
        {"defib.limit.a", "x..2", "<max>"},
        {"defib.limit.a", "1..x", "<max>"},
        {"defib.limit.a", "0000000000000000000000000000000000000001", "<max>"}, /* 40 digits */
        {"defib.limit.x234567890123456789012345678901234567890123456789012345678901234", "1", "<max>"},
        {"defib.limit.a.required", "true", "options of a limit that is there"},
        {"defib.limit.a.need", "true", ".required alone"},
        {"defib.progress", "", "<metric>:<seconds>"},
        {"defib.progress", "prices", "<metric>:<seconds>"},
        {"defib.progress", "prices:0", "<metric>:<seconds>"},
        {"defib.progress", "prices:1m", "<metric>:<seconds>"},
        {"defib.progress", "prices:86401", "<metric>:<seconds>"},
        {"defib.progress", "\"prices:120\"", "<metric>:<seconds>"},
        {"defib.progress", "a:1,b", "<metric>:<seconds>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct metric_rules rules;
        struct told told;
        read(cases[i][0], cases[i][1], &rules, &told);
        if (told.count != 1 || rules.count != 0 || strstr(told.last, cases[i][2]) == NULL) {
            fail_msg("%s=%s: %zu rules, %s", cases[i][0], cases[i][1], rules.count, told.last);
        }
        metric_rules_free(&rules);
    }
}

/* Also behind them: a 17th, of either kind, is told of. */
static void sixteen_rules_are_enough(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        char value[1024] = "";
        for (size_t i = 0; i < METRIC_RULES_MAX + more; i++) {
            size_t used = strlen(value);
            snprintf(value + used, sizeof value - used, "%sm%zu:5", i == 0 ? "" : ",", i);
        }
        struct metric_rules rules;
        struct told told;
        read("defib.progress", value, &rules, &told);
        assert_int_equal(more == 0 ? METRIC_RULES_MAX : 0, rules.count);
        assert_int_equal(more, told.count);
        metric_rules_free(&rules);
    }
    struct label_list labels = {0};
    struct told told = {0};
    for (int i = 0; i < METRIC_RULES_MAX + 1; i++) {
        char name[64];
        snprintf(name, sizeof name, "defib.limit.m%d", i);
        label_list_add(&labels, name, "5");
    }
    struct metric_rules rules;
    metric_rules_read(&labels, &rules, on_complaint, &told);
    assert_int_equal(METRIC_RULES_MAX, rules.count);
    assert_int_equal(1, told.count);
    assert_non_null(strstr(told.last, "defib.limit.m16=5"));
    metric_rules_free(&rules);
    label_list_fini(&labels);
}

/* An option is of the limit of that very name, and of no progress. */
static void an_option_finds_its_limit(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value;
        bool is_required[3];
        int complaints;
    } cases[] = {
        {"defib.limit.age.required", "true", {false, true, false}, 0},
        {"defib.limit.agi.required", "true", {false, false, true}, 0},
        {"defib.limit.age.required", "false", {false, false, false}, 0},
        {"defib.limit.age.required", "perhaps", {false, false, false}, 1},
        {"defib.limit.ages.required", "true", {false, false, false}, 1},
        {"defib.limit.ticks.required", "true", {false, false, false}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct label_list labels = {0};
        struct metric_rules rules;
        struct told told = {0};
        label_list_add(&labels, "defib.progress", "ticks:60");
        label_list_add(&labels, "defib.limit.age", "30");
        label_list_add(&labels, "defib.limit.agi", "30");
        label_list_add(&labels, cases[i].option, cases[i].value);
        metric_rules_read(&labels, &rules, on_complaint, &told);
        assert_int_equal(3, rules.count);
        assert_int_equal(cases[i].complaints, told.count);
        assert_true(rules.items[0].is_required); /* progress always is */
        assert_int_equal(cases[i].is_required[1], rules.items[1].is_required);
        assert_int_equal(cases[i].is_required[2], rules.items[2].is_required);
        metric_rules_free(&rules);
        label_list_fini(&labels);
    }
}

static void nobody_need_listen(void **state)
{
    (void)state;
    struct label_list labels = {0};
    struct metric_rules rules;
    label_list_add(&labels, "defib.limit.bad", "much");
    label_list_add(&labels, "defib.limit.good", "1");
    metric_rules_read(&labels, &rules, NULL, NULL);
    assert_int_equal(1, rules.count);
    assert_string_equal("good", rules.items[0].metric);
    metric_rules_free(&rules);
    label_list_fini(&labels);
}

static void a_limit_is_kept_or_not(void **state)
{
    (void)state;
    struct label_list labels = {0};
    struct metric_rules rules;
    label_list_add(&labels, "defib.limit.age.required", "true");
    label_list_add(&labels, "defib.limit.age", "5..30");
    label_list_add(&labels, "defib.limit.load", "1");
    metric_rules_read(&labels, &rules, NULL, NULL);
    struct metric_rule *age = &rules.items[0], *load = &rules.items[1];
    const double over = 30.5, well = 30, under = 4;
    assert_int_equal(BEAT_UNKNOWN, metric_rules_status(age));
    assert_true(metric_rules_take(age, &well, true, 1, (struct mono){1}));
    assert_int_equal(BEAT_HEALTHY, metric_rules_status(age));
    assert_true(metric_rules_take(age, &over, true, 1, (struct mono){2}));
    assert_int_equal(BEAT_UNHEALTHY, metric_rules_status(age));
    assert_string_equal("age is 30.5, allowed is at most 30", age->detail);
    assert_false(metric_rules_take(age, &under, true, 1, (struct mono){3}));
    assert_string_equal("age is 4, allowed is at least 5", age->detail);
    assert_true(metric_rules_take(age, NULL, true, 1, (struct mono){4}));
    assert_int_equal(BEAT_UNKNOWN, metric_rules_status(age));
    assert_true(metric_rules_take(load, &over, true, 1, (struct mono){5}));
    assert_int_equal(BEAT_DEGRADED, metric_rules_status(load));
    metric_rules_free(&rules);
    label_list_fini(&labels);
}

/* One that was said to stand still for 120 s, looked at every 10 s. */
static void look(struct metric_rule *rule, double value, bool is_claimed, int64_t at_s,
                 enum metric_verdict wanted)
{
    metric_rules_take(rule, &value, is_claimed, 30000, (struct mono){at_s * 1000});
    if (rule->verdict != wanted) {
        fail_msg("at %d s: verdict %d, should be %d", (int)at_s, rule->verdict, wanted);
    }
}

static void what_stands_still_is_stalled(void **state)
{
    (void)state;
    struct metric_rules rules;
    struct told told;
    read("defib.progress", "prices_published:120,other:5", &rules, &told);
    assert_int_equal(2, rules.count);
    struct metric_rule *rule = &rules.items[0];
    assert_string_equal("progress_prices_published", rule->check);
    for (int64_t at = 1000; at < 1120; at += 10) {
        look(rule, 7, true, at, METRIC_WELL);
    }
    look(rule, 7, true, 1120, METRIC_BAD);
    assert_int_equal(BEAT_UNHEALTHY, metric_rules_status(rule));
    assert_string_equal("stalled: prices_published has stood at 7 for 120 s", rule->detail);
    look(rule, 8, true, 1130, METRIC_WELL);
    look(rule, 7, true, 1140, METRIC_WELL); /* also back is a change */
    /* one that says it is starting or not well is not stalled … */
    for (int64_t at = 1150; at < 1400; at += 10) {
        look(rule, 7, false, at, METRIC_WELL);
    }
    look(rule, 7, true, 1400, METRIC_WELL);
    /* … and what nobody looked at counts for nothing: Redis was away */
    look(rule, 7, true, 1410, METRIC_WELL);
    look(rule, 7, true, 5000, METRIC_WELL);
    for (int64_t at = 5010; at < 5100; at += 10) {
        look(rule, 7, true, at, METRIC_WELL);
    }
    look(rule, 7, true, 5100, METRIC_BAD);
    metric_rules_reset(&rules);
    assert_int_equal(METRIC_UNSAID, rule->verdict);
    look(rule, 7, true, 5110, METRIC_WELL);
    metric_rules_free(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_limits),
        cmocka_unit_test(what_is_none_is_reported_and_not_there),
        cmocka_unit_test(sixteen_rules_are_enough),
        cmocka_unit_test(an_option_finds_its_limit),
        cmocka_unit_test(nobody_need_listen),
        cmocka_unit_test(a_limit_is_kept_or_not),
        cmocka_unit_test(what_stands_still_is_stalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
