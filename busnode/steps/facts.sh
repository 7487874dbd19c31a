# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# What status reads. Each answers with facts; a step here changes nothing.

read_ssh() {
    # client address, client port, server address, server port
    # shellcheck disable=SC2086
    set -- $ssh_connection
    fact ssh_address "${3:-}"
    fact ssh_port "${4:-}"
    ok "logged in as $login_user${4:+ through port $4}, root through $([ "$login_user" = root ] && echo log-in || echo sudo)"
}

read_release() {
    (
        # shellcheck disable=SC1091
        . /etc/os-release
        printf '%s\n' "${PRETTY_NAME:-unknown}"
    ) >"$log" 2>&1
    fact_file release "$log"
    fact kernel "$(uname -r)"
    fact architecture "$(uname -m)"
    read -r up _ </proc/uptime
    fact uptime_seconds "${up%.*}"
    ok "$(head -n 1 "$log"), up ${up%.*} s"
}

# read_units UNIT...
read_units() {
    states=
    for unit do
        states="$states$unit $(systemctl is-active -- "$unit" 2>/dev/null)
"
    done
    fact units "$states"
    failing=$(systemctl list-units --state=failed --plain --no-legend 2>/dev/null | cut -d' ' -f1 | tr '\n' ' ')
    fact failed_units "$failing"
    system=$(systemctl is-system-running 2>/dev/null)
    fact system "$system"
    ok "$system${failing:+, failed: $failing}"
}

read_firewall() {
    if ! have nft || ! nft -j list table inet busnode >"$box/table" 2>/dev/null; then
        skipped "no table of ours is loaded"
        return
    fi
    # Half of a JSON text says nothing. Escaped it is six times as long, and what the services take of a node is 390 kB.
    if [ "$(wc -c <"$box/table")" -gt 49152 ]; then
        skipped "the counters are larger than 48 KiB"
        return
    fi
    fact_file firewall "$box/table"
    ok
}

# Whether an operation holds the node now
node_is_held() { [ -s "$run_dir/holder" ] && ! (flock -n -s 8) 8>>"$run_dir/lock" 2>/dev/null; }

read_last_operation() {
    if [ -f "$state_dir/last-operation" ]; then fact_file last_operation "$state_dir/last-operation"; fi
    if [ -d "$state_dir/pending" ]; then fact pending "$(cat "$state_dir/pending/holder" 2>/dev/null)"; fi
    if node_is_held; then fact running "$(cat "$run_dir/holder")"; fi
    ok
}
