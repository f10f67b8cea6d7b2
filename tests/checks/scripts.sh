#!/bin/sh
# No script of ours gives shellcheck anything to say.
set -eu
cd "$(dirname "$0")/../.."
find .ci agent common controller packaging proto tests -type f -exec grep -lE '^#!/bin/(ba)?sh' {} + | sort |
    xargs shellcheck -x tests/integration/lib.sh
