#!/bin/bash
# Some cells of the chaos matrix (tests/chaos; all of them: make chaos).
# shellcheck source=tests/chaos/lib.sh
. "$(dirname "$0")/../chaos/lib.sh"

# one of each kind: agent, controller, link, Redis
CELLS=(agent-killed/during leader-killed/before host-cut/never redis-killed/during)

teardown_file() { unmount_state_folders; }

test_cells_of_the_matrix() {
    local cell bad=0
    chaos_up
    for cell in "${CELLS[@]}"; do run_cell "${cell%/*}" "${cell#*/}" || bad=$((bad + 1)); done
    expect_eq "$bad" 0 'cells that fall short'
}

run_tests "$@"
