/* Three other policies on the same histories of faults, beside ours: what each costs. */
#ifndef DEFIB_TESTS_SIM_PEERS_H
#define DEFIB_TESTS_SIM_PEERS_H

#include <stdint.h>

int peers_run(uint64_t seed, uint64_t seeds, int64_t hours);

#endif
