#include <stddef.h>

#include "tests/sim/peers/peer.h"

const struct peer peer_docker = {.name = "Docker's own restart policy", .has_docker_policy = true};
