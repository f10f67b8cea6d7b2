/* For the run alone: steps of the world, and its end. */
#ifndef DEFIB_TESTS_SIM_WORLD_H
#define DEFIB_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

/* The next event that is due by then. False: there is none. */
bool world_step(int64_t until);
void world_clear(void);

#endif
