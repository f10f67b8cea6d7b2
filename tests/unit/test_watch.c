/* defibctl watch: what keys are, and what they set; the order of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/fleet_view.h"
#include "controller/ctl/terminal.h"
#include "controller/ctl/watch_command.h"

void ctl_complain(const char *format, ...)
{
    (void)format;
}

static void keys_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int key;
        size_t used;
    } rows[] = {
        {"q", 'q', 1},
        {"qs", 'q', 1},
        {"\r", '\r', 1}, /* ICRNL makes it '\n' */
        {"\n", TERMINAL_ENTER, 1},
        {"\x7f", TERMINAL_ERASE, 1},
        {"\b", TERMINAL_ERASE, 1},
        {"\033", TERMINAL_ESCAPE, 1},
        {"\033q", TERMINAL_ESCAPE, 1},
        {"\033[A", TERMINAL_UP, 3},
        {"\033OB", TERMINAL_DOWN, 3},
        {"\033[5~x", TERMINAL_PAGE_UP, 4},
        {"\033[6~", TERMINAL_PAGE_DOWN, 4},
        {"\033[H", TERMINAL_HOME, 3},
        {"\033[4~", TERMINAL_END, 4},
        {"\033[1;5A", TERMINAL_UP, 6},
        {"\033[200~", TERMINAL_UNKNOWN, 6},
        {"\033[Z", TERMINAL_UNKNOWN, 3},
        {"\033[12", TERMINAL_UNKNOWN, 4},
        {"\xc3\xa4", 0xc3, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t used = 0;
        assert_int_equal(terminal_decode(rows[i].bytes, strlen(rows[i].bytes), &used), rows[i].key);
        assert_int_equal(used, rows[i].used);
    }
}

static struct fleet_row rows[4];
static struct fleet_host hosts[2];

static struct fleet make_fleet(void)
{
    static const struct {
        const char *name, *host, *state;
        int64_t attempts, since_ms;
    } made[] = {{"b", "h1", "UP", 0, 100},
                {"a", "h2", "UP", 1, 300},
                {"d", "h1", "FAILED", 3, 200},
                {"c", "h2", "HELD", 0, 50}};
    for (size_t i = 0; i < 4; i++) {
        rows[i] = (struct fleet_row){.attempts = made[i].attempts, .since = {made[i].since_ms}};
        snprintf(rows[i].name, sizeof rows[i].name, "%s", made[i].name);
        snprintf(rows[i].host, sizeof rows[i].host, "%s", made[i].host);
        snprintf(rows[i].state, sizeof rows[i].state, "%s", made[i].state);
    }
    for (size_t i = 0; i < 2; i++) {
        hosts[i] = (struct fleet_host){.containers = 2};
        snprintf(hosts[i].name, sizeof hosts[i].name, "h%zu", i + 1);
    }
    return (struct fleet){.rows = rows, .row_count = 4, .hosts = hosts, .host_count = 2};
}

/* The names of those that are wanted, in their order. */
static const char *shown(struct fleet *fleet, const struct watch_view *view)
{
    static char text[8];
    size_t len = 0;
    fleet_view_sort(fleet, view->order, view->is_reversed);
    for (size_t i = 0; i < fleet->row_count; i++) {
        if (fleet_view_is_wanted(&view->filter, &fleet->rows[i])) {
            text[len++] = fleet->rows[i].name[0];
        }
    }
    text[len] = '\0';
    return text;
}

static void press(struct watch_view *view, const struct fleet *fleet, const char *keys)
{
    for (; *keys != '\0'; keys++) {
        assert_true(watch_command_take_key(view, fleet, (unsigned char)*keys, 2));
    }
}

static void keys_sort(void **state)
{
    (void)state;
    static const char *const orders[] = {"dcab", "abcd", "bdac", "dabc", "adbc", "dcab"};
    struct fleet fleet = make_fleet();
    struct watch_view view = {.order = FLEET_VIEW_WORST};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        assert_string_equal(shown(&fleet, &view), orders[i]);
        press(&view, &fleet, "s");
    }
    view.order = FLEET_VIEW_NAME;
    press(&view, &fleet, "r");
    assert_string_equal(shown(&fleet, &view), "dcba");
    assert_int_equal(fleet_view_order_of("tries"), FLEET_VIEW_TRIES);
    assert_int_equal(fleet_view_order_of("colour"), FLEET_VIEW_ORDERS);
}

static void keys_choose(void **state)
{
    (void)state;
    struct fleet fleet = make_fleet();
    struct watch_view view = {.order = FLEET_VIEW_NAME};
    press(&view, &fleet, "t");
    assert_string_equal(shown(&fleet, &view), "cd");
    press(&view, &fleet, "th");
    assert_string_equal(shown(&fleet, &view), "bd");
    press(&view, &fleet, "h");
    assert_string_equal(shown(&fleet, &view), "ac");
    press(&view, &fleet, "h");
    assert_string_equal(shown(&fleet, &view), "abcd");
    press(&view, &fleet,
          "/q\x7f"
          "C"); /* letters are letters while a name is typed */
    assert_true(view.is_typing);
    assert_string_equal(shown(&fleet, &view), "c");
    press(&view, &fleet, "\n");
    assert_false(view.is_typing);
    assert_string_equal(shown(&fleet, &view), "c");
    press(&view, &fleet, "/x\033");
    assert_string_equal(shown(&fleet, &view), "abcd");
    assert_false(watch_command_take_key(&view, &fleet, 'q', 2));
}

static void keys_move(void **state)
{
    (void)state;
    struct fleet fleet = make_fleet();
    struct watch_view view = {.order = FLEET_VIEW_NAME};
    static const struct {
        int key;
        size_t top;
    } steps[] = {{TERMINAL_UP, 0},
                 {TERMINAL_DOWN, 1},
                 {'j', 2},
                 {'j', 2},
                 {'k', 1},
                 {TERMINAL_HOME, 0},
                 {TERMINAL_PAGE_DOWN, 2},
                 {TERMINAL_UP, 1},
                 {TERMINAL_PAGE_UP, 0},
                 {TERMINAL_END, 2},
                 {TERMINAL_UNKNOWN, 2}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_true(watch_command_take_key(&view, &fleet, steps[i].key, 2));
        assert_int_equal(view.top, steps[i].top);
    }
    press(&view, &fleet, "?q"); /* any key leaves the help */
    assert_false(view.is_help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_told_apart),
        cmocka_unit_test(keys_sort),
        cmocka_unit_test(keys_choose),
        cmocka_unit_test(keys_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
