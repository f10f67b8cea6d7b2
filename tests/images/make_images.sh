#!/bin/sh
# make_images.sh SOCKET BIN [NAME]...: stand-in images in the Engine behind SOCKET, without a registry (all, or the named ones):
#   defib-test/busybox      the stand-in service, see service.sh
#   defib-test/redis        this machine's redis-server and redis-cli
#   defib-test/controller   BIN/defib-controller
set -eu

here=$(cd "$(dirname "$0")" && pwd)
make_image=$here/../../packaging/docker/make-image.sh
socket=$1
bin=$2
shift 2
[ $# -gt 0 ] || set -- busybox redis controller
export DOCKER="docker -H unix://$socket"

for name in "$@"; do
    case $name in
    busybox)
        sh "$make_image" defib-test/busybox --file "$here/service.sh:/service.sh" --change 'CMD ["/bin/sh", "/service.sh"]'
        ;;
    redis)
        sh "$make_image" defib-test/redis --change 'CMD ["redis-server", "--save", "", "--protected-mode", "no"]' \
            --change 'EXPOSE 6379' redis-server redis-cli
        ;;
    controller)
        sh "$make_image" defib-test/controller --change 'CMD ["defib-controller"]' "$bin/defib-controller"
        ;;
    *)
        echo "make_images.sh: no image is named $name" >&2
        exit 2
        ;;
    esac
done
