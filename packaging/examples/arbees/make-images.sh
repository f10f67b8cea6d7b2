#!/bin/sh
# Makes arbees/service, arbees/redis and arbees/orchestrator from this machine's busybox, Redis and defib.
# DOCKER names the client, BUILD the folder with defib's programs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../../../build}
make_image=$here/../../docker/make-image.sh

# Python with the redis module, out of Debian's packages: the runbook's "Verify Redis connectivity" runs it
# inside a service.
python=$(mktemp -d)
trap 'rm -rf "$python"' EXIT INT TERM
[ -n "$(apt-cache madison python3-redis 2> /dev/null)" ] || apt-get update -q >/dev/null
packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances python3-redis python3-minimal | grep '^[a-z]' | sort -u |
    grep -E '^(lib)?python3|^lib(expat1|ssl3|ffi8|bz2-1|lzma5|uuid1|crypt1)|^zlib1g|^libc6$')
(
    cd "$python"
    # shellcheck disable=SC2086 # a list of package names
    apt-get download -q -o APT::Sandbox::User=root $packages >/dev/null
    mkdir root
    for package in *.deb; do dpkg-deb -x "$package" root; done
    ln -sf python3 root/usr/bin/python
    rm -rf root/usr/share/doc root/usr/share/man
)

sh "$make_image" arbees/service --tree "$python/root" --file "$here/service.sh:/service.sh" \
    --file "$here/database.sh:/database.sh" \
    --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' --change 'ENV PYTHONDONTWRITEBYTECODE=1' \
    --change 'CMD ["/bin/sh", "/service.sh"]' "$build/defib-beat"
sh "$make_image" arbees/redis --change 'CMD ["redis-server"]' --change 'EXPOSE 6379' redis-server redis-cli
sh "$make_image" arbees/orchestrator --file "$here/orchestrator.sh:/orchestrator.sh" \
    --change 'CMD ["/bin/sh", "/orchestrator.sh"]' "$build/defib-agent" "$build/defib-controller" "$build/defib-beat"
