#include "tests/sim/peers.h"
int peers_run(uint64_t seed, uint64_t seeds, int64_t hours)
{
    (void)seed;
    (void)seeds;
    (void)hours;
    return 1;
}
