#!/bin/sh
# Makes a small image from programs that are on this machine: busybox, the programs, and the libraries they
# load. No registry, no base image, no build step.
#
#   make-image.sh IMAGE[:TAG] [--file HOST_PATH:IMAGE_PATH]... [--tree FOLDER]... [--change 'DOCKERFILE LINE']...
#                 [--user NAME] [PROGRAM]...
#
# --user: it runs as NAME (65532), which owns /var/lib/defib and nothing else. --tree lays a whole folder over the image's root. Each PROGRAM (a path or a name on PATH) lands in /usr/local/bin. DOCKER names the client (default: docker).
set -eu

fail() { echo "make-image.sh: $*" >&2; exit 1; }

[ $# -ge 1 ] || fail "usage: make-image.sh IMAGE [--file FROM:TO]... [--tree FOLDER]... [--change LINE]... PROGRAM..."
image=$1
shift
busybox=$(command -v busybox) || fail "busybox is not installed (Debian: busybox-static)"
if ldd "$busybox" >/dev/null 2>&1; then fail "$busybox is not static (Debian: busybox-static)"; fi

umask 022
root=$(mktemp -d)
archive=$root.tar
trap 'rm -rf "$root" "$archive"' EXIT INT TERM
chmod 755 "$root"
mkdir -p "$root/bin" "$root/usr/local/bin" "$root/etc" "$root/tmp" "$root/var/lib/defib" "$root/run" "$root/proc" \
    "$root/sys" "$root/dev" "$root/root"
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
ln -s bin "$root/sbin"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

copy_libraries() { # of one program, to the same places
    ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\).*/\1/p' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        [ -e "$root$library" ] || cp -L "$library" "$root$library"
    done
}

changes=
user=
while [ $# -gt 0 ]; do
    case $1 in
    --file)
        from=${2%%:*}
        to=${2#*:}
        mkdir -p "$root$(dirname "$to")"
        cp "$from" "$root$to"
        shift 2
        ;;
    --user)
        user=$2
        echo "$2:x:65532:65532:$2:/var/lib/defib:/bin/false" >>"$root/etc/passwd"
        echo "$2:x:65532:" >>"$root/etc/group"
        changes="$changes
USER $2"
        shift 2
        ;;
    --tree)
        # Debian's packages say /lib and /bin where the image may have links; tar follows them.
        tar -C "$2" -c . | tar -C "$root" --keep-directory-symlink -x
        shift 2
        ;;
    --change)
        changes="$changes
$2"
        shift 2
        ;;
    *)
        program=$(command -v "$1") || fail "no program $1"
        cp -L "$program" "$root/usr/local/bin/"
        copy_libraries "$program"
        shift
        ;;
    esac
done

# The resolver's plug-ins are loaded at run time, so ldd does not tell of them.
for plugin in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2; do
    for folder in /lib/*-linux-gnu /usr/lib/*-linux-gnu; do
        if [ -e "$folder/$plugin" ] && [ -d "$root$folder" ]; then
            cp -L "$folder/$plugin" "$root$folder/"
        fi
    done
done

set -- --change 'ENV PATH=/usr/local/bin:/bin'
while read -r change; do
    [ -z "$change" ] || set -- "$@" --change "$change"
done <<EOF
$changes
EOF
owner=0
[ -z "$user" ] || owner=65532
tar -C "$root" --numeric-owner --owner=0 --group=0 --exclude=./var/lib/defib -cf "$archive" .
tar -C "$root" --numeric-owner --owner=$owner --group=$owner -rf "$archive" ./var/lib/defib
${DOCKER:-docker} import "$@" "$archive" "$image" >/dev/null
echo "$image"
