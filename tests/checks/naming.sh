#!/bin/sh
# naming.sh OBJECT_DIR MODULE...: each global symbol of folder/name.c begins with `name_`.
#
# Exceptions are the modules that define a second type, whose functions begin with the type's name.
# Prints each offender; exit 1 where there is one.
set -eu

objects=$1
shift

prefixes() { # module
    case $1 in
    agent/core/engine_json) echo 'engine_json_|engine_container_|engine_event_|engine_summaries_' ;;
    agent/core/label_reader) echo 'label_reader_|label_list_' ;;
    agent/cgroup_reader) echo 'cgroup_reader_|cgroup_files_' ;;
    agent/engine_client) echo 'engine_client_|engine_call_' ;;
    common/http_client) echo 'http_client_|http_call_' ;;
    common/rpc_server) echo 'rpc_server_|rpc_request_' ;;
    proto/alert) echo 'alert_|event_record_' ;;
    proto/command) echo 'command_|answer_' ;;
    proto/envelope) echo 'envelope_|key_ring_' ;;
    proto/keys) echo 'key_' ;;
    proto/vocabulary)
        echo 'answer_code_|beat_mode_|beat_status_|command_op_|container_health_|container_state_|docker_policy_|restart_label_|stop_class_'
        ;;
    *) echo "${1##*/}_" ;;
    esac
}

status=0
checked=0
for module in "$@"; do
    [ -e "$objects/$module.o" ] || continue
    checked=$((checked + 1))
    # Capital letters mark what other files can see.
    for symbol in $(nm -g --defined-only "$objects/$module.o" | sed -nE 's/.* [A-Z] //p' |
        grep -Ev "^($(prefixes "$module"))|^__(asan|odr_asan|ubsan|tsan|gcov|llvm)"); do
        echo "naming: $module.c defines $symbol"
        status=1
    done
done
[ "$checked" -gt 0 ] || { echo "naming: no object files in $objects"; exit 1; }
exit $status
