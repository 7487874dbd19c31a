# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# The firewall: a table of our own, loaded in one transaction, kept by a unit of our own.

table='inet busnode'
nftables_dropin=$unit_dir/nftables.service.d/busnode.conf
# Without counters, in numbers: the same rules are the same text.
# shellcheck disable=SC2086
live_rules() { nft -s -n list table $table; }

firewall_differs() {
    differs_from "$firewall_rules" "$rules_text" && return 0
    differs_from "$unit_dir/busnode-firewall.service" "$unit_text" && return 0
    differs_from "$nftables_dropin" "$nftables_text" && return 0
    [ "$(systemctl is-enabled busnode-firewall.service 2>/dev/null)" = enabled ] || return 0
    systemctl is-active -q busnode-firewall.service || return 0
    live_rules 2>/dev/null | cmp -s - "$state_dir/firewall.live" && return 1
    return 0
}

# A check. rules_in_force [RULES]: what is loaded is what harden loaded, and that is what RULES would load.
rules_in_force() {
    if [ ! -e "$state_dir/firewall.live" ]; then
        failed "no firewall policy of ours is loaded; run harden"
    elif ! live_rules >"$box/live" 2>/dev/null; then
        failed "the firewall's table $table is not loaded; run harden"
    elif ! cmp -s "$box/live" "$state_dir/firewall.live"; then
        failed "the firewall's table $table is not as harden loaded it; run harden"
    elif [ $# -gt 0 ] && differs_from "$firewall_rules" "$1"; then
        failed "the firewall's rules are not those of the inventory's policy; run harden"
    else
        ok "as loaded"
    fi
}

# What loading would change: our three files, the unit's state, and where they are as wanted, what is in force.
firewall_difference() {
    for state in enabled active; do
        is=$(systemctl "is-$state" busnode-firewall.service 2>/dev/null)
        [ "$is" = "$state" ] || echo "busnode-firewall.service: ${is:-absent} -> $state"
    done
    difference "$firewall_rules" "$rules_text"
    difference "$unit_dir/busnode-firewall.service" "$unit_text"
    difference "$nftables_dropin" "$nftables_text"
    if ! live_rules 2>/dev/null >"$box/live"; then
        echo "the table $table is not loaded"
    elif [ -f "$state_dir/firewall.live" ]; then
        diff -u --label "$table (now)" --label "$table (as harden loaded it)" -- "$box/live" "$state_dir/firewall.live" | bounded
    fi
}

firewall_loaded() {
    if [ -z "$firewall_needed" ]; then
        ok
        return
    fi
    would "$([ "$dry_run" = 0 ] || firewall_difference)" && return
    printf '%s' "$rules_text" >"$box/rules"
    run nft -c -f "$box/rules" || return
    mkdir -p "${firewall_rules%/*}" "${nftables_dropin%/*}"
    if ! write_beside "$firewall_rules" root root 0644 <"$box/rules" 2>"$log" ||
        ! printf '%s' "$unit_text" | write_beside "$unit_dir/busnode-firewall.service" root root 0644 2>"$log" ||
        ! printf '%s' "$nftables_text" | write_beside "$nftables_dropin" root root 0644 2>"$log"; then
        failed "not written: $(tail -n 1 "$log")"
        return
    fi
    run systemctl daemon-reload && run systemctl -q enable busnode-firewall.service || return
    # Start and reload both are that one nft -f.
    run systemctl reload-or-restart busnode-firewall.service || return
    if ! live_rules >"$box/live" 2>"$log"; then
        failed "the table is not there after loading: $(tail -n 1 "$log")"
        return
    fi
    write_beside "$state_dir/firewall.live" root root 0600 <"$box/live" && changed "loaded"
}

# Others that filter on this node, by name; what they drop stays dropped, whatever we let in.
other_firewalls() {
    others='' tables=$(foreign_tables)
    if grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf; then others=' ufw'; fi
    for unit in ufw firewalld fail2ban netfilter-persistent docker; do
        systemctl is-active -q "$unit.service" 2>/dev/null || continue
        case " $others " in *" $unit "*) ;; *) others="$others $unit" ;; esac
    done
    # Its rules stay in force without it, and are made by others too (podman's docker, dockerd started by hand).
    case $others in *docker*) ;; *) ! nft list chains 2>/dev/null | grep -q 'chain DOCKER\|table .* docker-' || others="$others docker" ;; esac
    if [ "$(systemctl is-enabled nftables.service 2>/dev/null)" = enabled ]; then others="$others nftables.service"; fi
    others=${others# }
    for other in $others; do
        case $other in
            docker) fact notice.docker "docker filters here too: published container ports bypass the input chain, and so allowed_ports" ;;
            ufw | firewalld) fact "notice.$other" "$other is active: a packet must pass its rules and ours" ;;
            fail2ban) fact notice.fail2ban "fail2ban is active: whom it bans stays out, also of allowed ports" ;;
        esac
    done
    [ -z "$tables" ] || fact notice.tables "tables of others are left as they are: $tables"
    ok "${others:-none}${tables:+; tables: $tables}"
}

# Every table that is not ours, one line; those of iptables-legacy, which nft does not show, among them
foreign_tables() {
    {
        nft list tables 2>/dev/null | sed -n 's/^table //p' | grep -vxF -- "$table"
        sed 's/^/legacy ip /' /proc/net/ip_tables_names 2>/dev/null
        sed 's/^/legacy ip6 /' /proc/net/ip6_tables_names 2>/dev/null
    } | tr '\n' ',' | sed 's/,$//; s/,/, /g'
}

# listening_kept CONFIRMED(0|1) PORT...: refuse to drop what listens now, unless that is meant
listening_kept() {
    confirmed=$1
    shift
    dropped=
    # The ports of DHCP's own answers stay open.
    if ! ss -H -tulnp </dev/null 2>"$log" >"$box/listening"; then
        failed "ss does not answer, so what the policy would drop is not known: $(tail -n 1 "$log")"
        return
    fi
    while read -r protocol _ _ _ local _ users; do
        port=${local##*:}
        address=${local%:*}
        case $address in 127.* | '[::1]' | '[::ffff:127.'*) continue ;; esac
        case $protocol:$port in udp:68 | udp:546) continue ;; esac
        case " $* " in *" $port "*) [ "$protocol" = udp ] || continue ;; esac
        users=${users#*\"}
        case " $dropped " in *" $protocol/$port "*) ;; *) dropped="$dropped $protocol/$port (${users%%\"*})," ;; esac
    done <"$box/listening"
    dropped=${dropped# }
    dropped=${dropped%,}
    if [ -z "$dropped" ]; then
        ok "nothing that listens now is dropped"
    elif [ -z "$firewall_needed" ]; then
        ok "dropped already: $dropped"
    elif [ "$confirmed" = 1 ] || [ "$dry_run" = 1 ]; then
        fact notice.dropped "the policy drops what listens now: $dropped"
        ok "drops $dropped"
    else
        failed_as confirmation_required "the firewall would drop what listens now: $dropped; add the ports to allowed_ports, or repeat with --confirm"
    fi
}
