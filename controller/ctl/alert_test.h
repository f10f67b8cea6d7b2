/*
 * defibctl alerts --test: a test alert by every way that a real one goes, and whether it arrived.
 */
#ifndef DEFIB_CONTROLLER_CTL_ALERT_TEST_H
#define DEFIB_CONTROLLER_CTL_ALERT_TEST_H

#include "controller/ctl/ctl.h"

#define ALERT_TEST_USAGE "alerts --test [--reason TEXT]"

int alert_test_run(struct ctl *ctl, int argc, char **argv);

#endif
