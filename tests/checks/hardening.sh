#!/bin/sh
# hardening.sh FILE...: programs and shared libraries are built the way a release promises (SECURITY.md).
#
# Position-independent, all relocations read-only before main (full RELRO), no executable stack, stack protector, fortified
# libc calls, CET landing pads where the compiler makes them, no library path of ours, no point at which tests let it die.
# Prints each offence; exit 1 where there is one.
set -eu
[ $# -gt 0 ] || { echo 'hardening.sh: no files' >&2; exit 2; }

has_cet() { # the compiler makes landing pads on this machine
    echo 'int main(void) { return 0; }' | ${CC:-cc} -fcf-protection -x c -c -o /dev/null - 2> /dev/null
}

check() {
    file=$1
    headers=$(readelf --wide --file-header --program-headers "$file")
    dynamic=$(readelf --wide --dynamic "$file")
    symbols=$(readelf --wide --dyn-syms "$file")
    offence() { echo "hardening: $file: $*"; }

    echo "$headers" | grep -q 'Type: *DYN' || offence 'is not position-independent'
    echo "$headers" | grep -q 'GNU_RELRO' || offence 'has no read-only relocations'
    echo "$dynamic" | grep -Eq 'BIND_NOW|FLAGS_1.*NOW' || offence 'binds symbols late: relocations stay writable'
    echo "$headers" | grep -Eq 'GNU_STACK .* RW ' || offence 'has an executable stack'
    echo "$symbols" | grep -q '__stack_chk_fail' || offence 'has no stack protector'
    echo "$symbols" | grep -Eq '__[a-z]+_chk' || offence 'has no fortified libc calls'
    ! echo "$dynamic" | grep -Eq 'RPATH|RUNPATH' || offence 'brings a library path of its own'
    ! echo "$dynamic" | grep -q 'TEXTREL' || offence 'relocates its text'
    if has_cet && [ "$(uname -m)" = x86_64 ]; then
        # what an indirect call may land on; crt1.o alone brings one or two
        pads=$(objdump -d --no-show-raw-insn "$file" | grep -c 'endbr64' || true)
        [ "$pads" -ge 5 ] || offence "has only $pads landing pads (CET)"
    fi
    ! strings "$file" | grep -q '^fault:' || offence 'has points at which tests let it die'
}

offences=$(for file in "$@"; do check "$file"; done)
[ -z "$offences" ] || { echo "$offences"; exit 1; }
