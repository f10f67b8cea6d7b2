#!/bin/sh
# includes.sh [FOLDER...]: who may include what, in which order. Run in the repository's root.
#
# - A library's header stands only in the .c that wraps the library, never in a header (uthash anywhere).
# - A .c with a header of its own includes that one first, then <...>, then "ours", named from the root
#   (uthash also behind them: it is set up by macros that use ours).
# - A header is guarded by DEFIB_ and its path.
# Prints each offender; exit 1 where there is one.
set -eu

[ $# -gt 0 ] || set -- agent common controller proto

wrapped() { # header file: 0 where it may be included there
    case $1 in
    uv.h | uv/*) [ "$2" = common/loop.c ] ;;
    hiredis/hiredis_ssl.h) [ "$2" = common/redis_tls.c ] ;;
    hiredis/* | hiredis*.h) case $2 in common/redis_link.c | common/redis_reply.c | common/redis_tls.c) ;; *) return 1 ;; esac ;;
    nng/*) case $2 in common/rpc_client.c | common/rpc_server.c | common/rpc_socket.c | common/rpc_tls.c | common/rpc_probe.c) ;; *) return 1 ;; esac ;;
    curl/*) [ "$2" = common/http_client.c ] ;;
    openssl/ssl.h) [ "$2" = common/redis_tls.c ] ;; # what hiredis_ssl asks for
    openssl/evp.h) case $2 in proto/envelope.c | controller/serve/page.c) ;; *) return 1 ;; esac ;;
    openssl/pem.h | openssl/x509.h) [ "$2" = common/certificate.c ] ;;
    openssl/*) [ "$2" = proto/envelope.c ] ;;
    msgpack.h | msgpack/*) [ "$2" = proto/command.c ] || [ "$2" = proto/envelope.c ] ;;
    cJSON.h | cjson/*) case $2 in proto/*.c | agent/core/engine_json.c) ;; *) return 1 ;; esac ;;
    microhttpd.h) case $2 in controller/serve/*.c) ;; *) return 1 ;; esac ;;
    uthash.h) ;; # its handle is part of the struct that is found by it
    arpa/* | linux/* | net/* | netinet/* | sys/*) ;; # libc and kernel
    */*) return 1 ;; # a library that has no wrapper yet: name it here
    esac
}

check_file() {
    file=$1
    own=${file%.c}.h
    [ "$own" != "$file" ] && [ -e "$own" ] || own=
    number=0
    has_ours=no
    sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]+([<"])([^>"]+)[>"].*/\1 \2/p' "$file" |
        while read -r kind header; do
            number=$((number + 1))
            if [ $number = 1 ] && [ -n "$own" ]; then
                [ "$kind $header" = "\" $own" ] || echo "includes: $file does not include \"$own\" first"
            elif [ "$kind" = '<' ]; then
                [ $has_ours = no ] || [ "$header" = uthash.h ] || echo "includes: $file has <$header> after our own headers"
                wrapped "$header" "$file" || echo "includes: $file may not include <$header>"
            else
                has_ours=yes
                [ -e "$header" ] || echo "includes: $file names \"$header\", which is no path from the root"
            fi
        done
    case $file in
    *.h)
        guard=DEFIB_$(echo "$file" | tr 'a-z/.' 'A-Z__')
        grep -qx "#ifndef $guard" "$file" || echo "includes: $file is not guarded by $guard"
        ;;
    esac
}

files=$(find "$@" -name '*.[ch]' | sort)
[ -n "$files" ] || { echo "includes: no files in $*"; exit 1; }
offences=$(for file in $files; do check_file "$file"; done)
[ -z "$offences" ] || { echo "$offences"; exit 1; }
