#!/bin/sh
# purity.sh OBJECT_DIR MODULE...: pure modules ask nothing of the world.
#
# Looks at what each module's object file leaves undefined. Allowed are the pure part of libc below, the codec
# that a module exists for, the other pure modules, and err and memory (which only format and allocate).
# Prints each offender; exit 1 where there is one.
set -eu

# Neither clock, environment, files, randomness nor locale. exit is uthash's answer to "out of memory".
LIBC='abort abs bsearch calloc exit explicit_bzero fnmatch free malloc memchr memcmp memcpy memmem memmove mempcpy
memrchr memset qsort realloc snprintf sprintf stpcpy stpncpy strcasecmp strchr strchrnul strcmp strcpy strcspn strdup
sscanf strlen strncasecmp strncmp strncpy strndup strnlen strpbrk strrchr strspn strstr strtod strtol strtoll strtoul strtoull
vsnprintf ceil floor fmod llround lround rint round trunc __assert_fail __errno_location __ctype_b_loc
htonl htons ntohl ntohs __ctype_tolower_loc __ctype_toupper_loc __stack_chk_fail _GLOBAL_OFFSET_TABLE_'

objects=$1
shift

undefined() { # object: names, without what fortify and newer C standards make of them, and the sanitizers'
    nm -u "$1" | sed -E 's/^ *[Uwv] //; s/@.*//; s/^__(.*)_chk$/\1/; s/^__isoc[0-9]+_//; s/^stack_chk_fail$/__&/' |
        grep -Ev '^__(asan|ubsan|tsan|sanitizer|gcov|llvm_gcov)|^stack$|^_ITM_' | sort -u
}

codec() { # module: a pattern of what its library may be asked
    case $1 in
    proto/envelope) echo '^(cJSON_|msgpack_|HMAC$|EVP_|OSSL_PARAM_|CRYPTO_memcmp$|OPENSSL_cleanse$)' ;;
    proto/command) echo '^(cJSON_|msgpack_)' ;;
    proto/* | agent/core/engine_json) echo '^cJSON_' ;;
    *) echo '^$' ;;
    esac
}

allowed=$(mktemp)
trap 'rm -f "$allowed"' EXIT
{
    # shellcheck disable=SC2086  # one word a line is the point
    printf '%s\n' $LIBC
    for module in "$@" common/err common/memory; do
        if [ -e "$objects/$module.o" ]; then
            nm -g --defined-only "$objects/$module.o" | sed 's/.* //'
        fi
    done
} | sort -u >"$allowed"

status=0
checked=0
for module in "$@"; do
    [ -e "$objects/$module.o" ] || continue
    checked=$((checked + 1))
    for symbol in $(undefined "$objects/$module.o" | grep -vxFf "$allowed" | grep -Ev "$(codec "$module")"); do
        echo "purity: $module.c calls $symbol"
        status=1
    done
done
[ "$checked" -gt 0 ] || { echo "purity: no object files in $objects"; exit 1; }
exit $status
