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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pasts_are_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
