# shellcheck shell=bash
# The tables of tests/chaos/README.md, from the rows that run_cell writes.

# where the row of FAULT and MOMENT is, its FIELD
field_of() { awk -F '\t' -v fault="$2" -v moment="$3" -v field="$4" '$1 == fault && $2 == moment { print $field }' "$1"; }

overview() {
    local rows=$1 fault moment line took verdict
    echo '| fault | never | before | during | after | |'
    echo '|---|---|---|---|---|---|'
    for fault in "${FAULTS[@]}"; do
        [ -n "$(field_of "$rows" "$fault" never 1)" ] || continue
        line="| $fault |"
        for moment in "${MOMENTS[@]}"; do
            took=$(field_of "$rows" "$fault" "$moment" 7)
            verdict=$(field_of "$rows" "$fault" "$moment" 8)
            case $verdict in
                '') line+=' not run |' ;;
                ok) [ -n "$took" ] && line+=" ${took%% *} s |" || line+=' ok |' ;;
                *) line+=' **falls short** |' ;;
            esac
        done
        echo "$line ${WORDS[$fault]} |"
    done
}

details() {
    local fault moment starts by attempts alerts took verdict note
    echo '| fault | crash | started again | by | attempts on the account | alerts | seconds from crash to start | |'
    echo '|---|---|---|---|---|---|---|---|'
    while IFS=$'\x1f' read -r fault moment starts by attempts alerts took verdict note; do
        [ "$verdict" = ok ] || verdict="**falls short: $verdict**"
        echo "| $fault | $moment | $starts | $by | $attempts | ${alerts//SERVICE_/} | $took | $verdict${note:+, $note} |"
    done < <(tr '\t' '\37' < "$1")
}

# write_between MARK FILE: FILE is what README.md holds between <!-- MARK --> and <!-- end of MARK -->.
write_between() {
    local readme padded
    readme=$(dirname "${BASH_SOURCE[0]}")/README.md
    padded=$(mktemp)
    { echo && cat "$2" && echo; } > "$padded"
    sed -i -e "/^<!-- $1 -->/,/^<!-- end of $1 -->/{//!d}" -e "/^<!-- $1 -->/r $padded" "$readme"
    rm "$padded"
}

where_it_ran() { echo "$(date -u +%F), $(nproc) cores, Linux $(uname -r), Docker Engine $(dockerd --version | sed 's/.*version \([^,]*\).*/\1/'), $(redis-server --version | sed 's/.*v=\([^ ]*\).*/Redis \1/')"; }

# write_readme ROWS
write_readme() {
    local tables
    tables=$(mktemp)
    {
        echo "$(where_it_ran). $(awk -F '\t' '$8 == "ok"' "$1" | wc -l) cells as expected, $(awk -F '\t' '$8 != "ok"' "$1" | wc -l) that fall short."
        echo
        overview "$1"
        echo
        details "$1"
    } > "$tables"
    write_between matrix "$tables"
    rm "$tables"
}
