/* How a container stood in the past, from its records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controller/ctl/past.h"

static const struct wall NOON = {1795521600000};

#define DOWN \
    "{\"kind\":\"transition\",\"timestamp\":\"T1\",\"to\":\"FAILED\",\"reason\":\"missing_heartbeat\"}"
#define DENIED  "{\"kind\":\"decision\",\"timestamp\":\"T2\",\"gate\":\"deny\",\"reason\":\"deny_list\"}"
#define TRIED   "{\"kind\":\"decision\",\"timestamp\":\"T3\",\"action\":\"start\",\"attempt\":2}"
#define UP      "{\"kind\":\"transition\",\"timestamp\":\"T4\",\"to\":\"UP\",\"reason\":\"healthy\"}"
#define STARTED "{\"kind\":\"transition\",\"timestamp\":\"T6\",\"to\":\"STARTING\",\"reason\":\"started\"}"
#define HELD    "{\"kind\":\"operator\",\"timestamp\":\"T5\",\"action\":\"hold\",\"detail\":\"by anna: lunch\"}"

static void pasts_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *documents[5];
        size_t count;
        const char *text;
    } rows[] = {
        {{NULL},
         0,
         "Nothing is recorded of c before 2026-11-24T12:00:00Z: nothing changed that anybody kept."},
        {{DOWN, DENIED},
         2,
         "At 2026-11-24T12:00:00Z c was FAILED since T1 (missing_heartbeat). It was not restarted: deny_list "
         "(gate deny, since T2)."},
        {{DOWN, DENIED, TRIED, UP},
         4,
         "At 2026-11-24T12:00:00Z c was UP since T4 (healthy). Its last attempt, number 2, was at T3."},
        {{DOWN, DENIED, UP}, 3, "At 2026-11-24T12:00:00Z c was UP since T4 (healthy)."},
        {{UP, "nonsense", HELD},
         3,
         "At 2026-11-24T12:00:00Z c was UP since T4 (healthy). An operator's last word was hold at T5, by "
         "anna: "
         "lunch."},
        {{STARTED}, 1, "At 2026-11-24T12:00:00Z c was STARTING or UP since T6 (started)."},
        {{TRIED},
         1,
         "At 2026-11-24T12:00:00Z c was in a state that is not recorded. Its last attempt, number 2, was at "
         "T3."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[PAST_TEXT_SIZE];
        past_describe(rows[i].documents, rows[i].count, "c", NOON, text);
        assert_string_equal(text, rows[i].text);
    }
}

#define FACTS                                                                                            \
    "{\"kind\":\"decision\",\"timestamp\":\"2026-11-24T11:59:00Z\",\"host\":\"h1\",\"action\":\"none\"," \
    "\"reason\":\"not_in_allowlist\",\"gate\":\"allow\",\"attempt\":1,\"max_attempts\":3,\"facts\":{"    \
    "\"state\":\"FAILED\",\"cause\":\"status_unhealthy\",\"closed\":\"allow hold of_later\","            \
    "\"docker\":\"running\",\"health\":\"unhealthy\",\"status\":\"unhealthy\",\"unhealthy_beats\":3,"    \
    "\"unhealthy_threshold\":3,\"agent_heard_secs\":1.25,\"broken_secs\":30,\"next_secs\":10}}"

/* The last entry with facts counts; those of older controllers have none. */
static void facts_are_told(void **state)
{
    (void)state;
    static const char *const old[] = {DOWN, DENIED, TRIED};
    static const char *const documents[] = {FACTS, "nonsense", HELD, DENIED};
    struct explanation told;
    struct wall known_at = {0};
    assert_false(past_explain(old, 3, "c", &told, &known_at));
    assert_false(past_explain(NULL, 0, "c", &told, &known_at));
    assert_int_equal(known_at.ms, 0);
    assert_true(past_explain(documents, 4, "c", &told, &known_at));
    assert_int_equal(known_at.ms, NOON.ms - 60000);
    for (int gate = 0; gate < GATE_N; gate++) {
        assert_int_equal(told.is_open[gate], gate != GATE_ALLOW && gate != GATE_HOLD);
    }
    assert_string_equal(
        told.verdict,
        "It is not restarted because it is not in the allow list (RESTART_ALLOW_SERVICES, or label "
        "defib.restart=allow); besides, an operator's hold covers it.");
    assert_string_equal(told.next, "nothing, until somebody restarts it or changes what forbids it");
    assert_int_equal(told.next_at.ms, 0);
    static const char *const lines[] = {"Docker on h1 says running, its HEALTHCHECK says unhealthy.",
                                        "The last heartbeat by its agent came 1.2 s ago.",
                                        "Unhealthy heartbeats: 3, it takes 3.", "Attempts used: 1 of 3.",
                                        "The trouble began 30 s ago."};
    assert_int_equal(told.evidence.count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(told.evidence.text[i], lines[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pasts_are_told), cmocka_unit_test(facts_are_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
