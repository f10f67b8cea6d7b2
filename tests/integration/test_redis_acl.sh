#!/bin/bash
# Redis users that may do what README.md grants them, and nothing else: all works, and each grant is needed.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

setup_file() { start_engine; }

# rule NAME: its words in README.md, behind ACL SETUSER
rule() {
    sed -n "/^ACL SETUSER $1 /,/^\(ACL\|\`\`\`\)/p" "$ROOT/README.md" | sed '1!{/^ACL\|^```/d}' | tr '\n' ' ' |
        sed 's/^ACL SETUSER [^ ]* //'
}

crash() { kill -KILL "$(d inspect -f '{{.State.Pid}}' "$1")"; }
calls() { r info commandstats | tr -d '\r' | sed -n "s/^cmdstat_$1:calls=\([0-9]*\).*/\1/p"; }
may() { [ "$(r acl dryrun "$@")" = OK ]; }

test_each_user_has_what_it_needs() {
    local user word before
    start_redis
    for user in defib-agent defib-controller; do
        # shellcheck disable=SC2046
        expect_eq "$(set -f; r acl setuser "$user" $(rule "$user"))" OK "$user"
    done
    r acl setuser default +@all ~'*' '&*' > /dev/null
    r config resetstat > /dev/null
    start_agent REDIS_URL=redis://defib-agent:secret@127.0.0.1:6379
    start_controller REDIS_URL=redis://defib-controller:secret@127.0.0.1:6379 LEADER_LEASE_SECS=1
    wait_agent
    wait_controller
    run_service svc-1
    run_service svc-2
    wait_healthy 2
    before=$(started_at svc-1)
    crash svc-1
    wait_for 20 "was_started_again svc-1 '$before'"
    d stop svc-2
    wait_for 10 '[ "$(r exists health:intent:svc-2)" = 1 ]'
    d start svc-2
    wait_for 10 '[ "$(r exists health:intent:svc-2)" = 0 ]'
    wait_for 10 '[ "$(r get health:restart:svc-1 | grep -c "attempt_count\": 1")" = 1 ]'
    r del health:restart:svc-1
    wait_log controller 'state of svc-1 was deleted in Redis: a fresh budget' 10
    stop controller
    expect_eq "$(r acl log)" '' 'what was refused'
    expect_eq "$(count_log agent NOPERM) $(count_log controller NOPERM)" '0 0' 'refusals'
    for word in $(rule defib-agent) $(rule defib-controller); do
        case $word in +*) word=${word#+}; [ "$(calls "$word")" ] || fail "nobody needs +$word" ;; esac
    done
}

test_each_user_has_no_more() {
    local user
    start_redis
    for user in defib-agent defib-controller; do
        # shellcheck disable=SC2046
        (set -f; r acl setuser "$user" $(rule "$user")) > /dev/null
        may "$user" set health:hb:a:b x
        not may "$user" set other x
        not may "$user" flushall
        not may "$user" keys '*'
        not may "$user" config get dir
        not may "$user" publish other x
    done
    not may defib-agent set health:restart:x y
    not may defib-agent set health:leader y
    not may defib-agent set health:hold:all:all y
    not may defib-agent publish system:alerts x
}

run_tests "$@"
