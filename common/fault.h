/*
 * Named points at which a build for tests dies, as if by SIGKILL. In every other build they are nothing.
 *
 * `make FAULTS=1` compiles them in; DEFIB_FAULT=NAME in the environment picks one, NAME:3 its third passing,
 * NAME+150 lets the process live for another 150 ms. tests/integration/test_once.sh kills agent and
 * controller at each of them; tests/checks/hardening.sh proves that a release has none.
 */
#ifndef DEFIB_COMMON_FAULT_H
#define DEFIB_COMMON_FAULT_H

#ifdef DEFIB_FAULTS
void fault_point(const char *name);
#define FAULT_POINT(name) fault_point("fault:" name)
#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
