#!/bin/sh
# The settings of the programs, from their own --help: as roff for a man page, or as the table in README.md.
#
#   settings.sh roff PROGRAM [PAGE.in VERSION]     settings.sh markdown AGENT CONTROLLER CTL
set -eu

rows() { # name|default|allowed|help
    "$1" --help | awk '
        /^  [A-Z_]+( = | +\(|$)/ {
            name = $1; value = ""; range = ""; line = $0
            if (match(line, /\(.*\)$/)) { range = substr(line, RSTART + 1, RLENGTH - 2); line = substr(line, 1, RSTART - 1) }
            if (match(line, / = /)) { value = substr(line, RSTART + 3); sub(/ +$/, "", value) }
            next
        }
        name != "" && /^      / { sub(/^ +/, ""); print name "\t" value "\t" range "\t" $0; name = "" }'
}

case $1 in
roff)
    settings=$(mktemp)
    trap 'rm -f "$settings"' EXIT
    rows "$2" | awk -F '\t' '{
        gsub(/-/, "\\-"); printf ".TP\n.B %s\n", $1
        text = ($4 ~ /^[^ ]*\//) ? $4 "." : toupper(substr($4, 1, 1)) substr($4, 2) "."
        if ($2 != "") text = text " Default: " $2 "."
        if ($3 != "") text = text " Allowed: " $3 "."
        print text
    }' >"$settings"
    sed -e "s/@VERSION@/$4/" -e "/@SETTINGS@/{
r $settings
d
}" "$3"
    ;;
markdown)
    # What stands between the two marks in README.md; `make docs` writes it there.
    echo '| variable | default | allowed | for |'
    echo '|---|---|---|---|'
    { rows "$2" | sed 's/^/agent	/'; rows "$3" | sed 's/^/controller	/'; rows "$4" | sed 's/^/defibctl	/'; } | awk -F '\t' '
        $2 in who { if ($1 != "defibctl") who[$2] = "both"; next }
        { who[$2] = $1; order[++n] = $2; value[$2] = $3; range[$2] = $4; help[$2] = $5 }
        END {
            for (i = 1; i <= n; i++) {
                name = order[i]; gsub(/\|/, "\\|", range[name])
                printf "| `%s` | %s | %s | %s: %s |\n", name, value[name] == "" ? "" : "`" value[name] "`", range[name], who[name], help[name]
            }
        }'
    ;;
esac
