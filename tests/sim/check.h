/*
 * What the checks of the 30 invariants share. Each check stands where the thing that it judges happens, names
 * its invariant as INV(number, …), and is counted each time that it could have failed.
 */
#ifndef DEFIB_TESTS_SIM_CHECK_H
#define DEFIB_TESTS_SIM_CHECK_H

#include "tests/sim/sim.h"

enum { CHECK_KNOWN_MS = 5000 }; /* so long after a change the controller may not know it */

/* Nothing was disturbed since `at` for long enough that everybody knows what there is to know. */
bool check_is_calm(int64_t at);
int64_t check_calm_ms(void);
/* By then the controller knows of any silence that began now. */
int64_t check_silence_ms(void);

/* What a scenario expects of this word: send, act or alert. */
void check_expect(const char *what, const char *name, const char *word);
void check_expect_begin(void);
void check_expect_end(void);

void check_target(struct box *box, const char *when);
bool check_is_in_flight(const struct box *box);
bool check_may_restart(const struct box *box); /* by lists, labels, holds and settings */
bool check_is_quiet(const struct box *but);    /* all others are well, and nothing is in flight */
void check_deadline(struct box *box, int number, int64_t ms);
void check_after_cooldown(void *arg);

/* Many at once: breaker and tilt (18, 19), dependencies (20). */
void check_many_send(int controller, struct box *box, const struct command *command);
void check_many_given_back(const struct box *box);
void check_many_alert(const struct alert *alert);
void check_many_periodic(void);
void check_many_begin(void);

void check_act_begin(void);
void check_alert_begin(void);
void check_alert_end(void);

#endif
