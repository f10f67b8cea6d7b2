#!/bin/bash
# tests/checks/grafana.sh METRICS: the alert rules and the dashboard are well-formed, and each metric and each
# label value that they name is one that a controller shows. METRICS is what its /metrics said.
set -euo pipefail
folder=$(dirname "$0")/../../packaging/grafana
metrics=$1

promtool check rules "$folder/defib.rules.yml" > /dev/null

# Every expression, one a line.
expressions() {
    sed -n 's/^ *expr: //p' "$folder/defib.rules.yml"
    jq -r '.panels[].targets[].expr' "$folder/dashboard.json"
}

status=0
known=$(sed -nE 's/^([a-z_]+).*/\1/p' "$metrics" | sort -u)
named=$(expressions | grep -oE '\b(defib|process)_[a-z_]+' | sort -u)
[ -n "$named" ] || { echo 'grafana: no metric is named'; exit 1; }
for name in $named; do
    grep -qx "$name" <<< "$known" || { echo "grafana: no controller shows $name"; status=1; }
done

# state="COOLDOWN", outcome="failed", health=~"unhealthy|missing"
while IFS= read -r pair; do
    label=${pair%%=*}
    for value in $(cut -d'"' -f2 <<< "$pair" | tr '|' ' '); do
        [ "$label" = job ] || grep -q "$label=\"$value\"" "$metrics" || { echo "grafana: no metric has $label=\"$value\""; status=1; }
    done
done < <(expressions | grep -oE '[a-z]+=~?"[^"]*"' | sort -u)
exit $status
