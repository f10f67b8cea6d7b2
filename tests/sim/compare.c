/* defib and other policies on the same faults. */
#include <stdio.h>

#include "tests/sim/sim.h"

enum { NO_INVARIANT = 99 }; /* whatever is found wrong: each run goes to its end */

void compare_peers(uint64_t first, uint64_t seeds, int64_t hours, bool is_verbose)
{
    const struct peer *const peers[] = {NULL, &peer_runbook, &peer_polling, &peer_polling_and_docker,
                                        &peer_docker};
    printf("| policy | restarts | wrong restarts | minutes of downtime | a container-day "
           "|\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
        uint64_t acts = 0, wrong = 0;
        double downtime_ms = 0, box_hours = 0;
        for (uint64_t seed = first; seed < first + seeds; seed++) {
            struct plan plan;
            struct sim result;
            plan_compared(&plan, seed, hours, peers[i]);
            sim_run(&plan, is_verbose, NO_INVARIANT, &result);
            plan_fini(&plan);
            acts += result.peer_acts;
            wrong += result.peer_wrong;
            downtime_ms += (double)result.downtime_ms;
            box_hours += result.box_hours;
        }
        printf("| %s | %llu | %llu | %.0f | %.1f |\n", peers[i] ? peers[i]->name : "**defib**",
               (unsigned long long)acts, (unsigned long long)wrong, downtime_ms / 60000.0,
               downtime_ms / 60000.0 / (box_hours / 24.0));
    }
}
