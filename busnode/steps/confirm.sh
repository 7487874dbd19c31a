# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Commit-confirm: what harden manages is saved and a rollback armed before anything changes.

# wanted DROPIN RULES UNIT NFTABLES ROLLBACK KEY ACCOUNTS SETTING...: what the following steps compare with and write
wanted() {
    dropin_text=$1 rules_text=$2 unit_text=$3 nftables_text=$4 rollback_text=$5 key_blob=$6 accounts=$7
    shift 7
    printf '%s\n' "$@" >"$box/settings"
    armed=''
}

# rollback_only ROLLBACK: the same for going back
rollback_only() {
    rollback_text=$1 key_needed='' armed=''
}

# lockout_guarded ROOT_ALLOWED(0|1) PASSWORDS_OFF(0|1) OPERATOR_KEY PORT...
lockout_guarded() {
    root_allowed=$1 passwords_off=$2 operator_key=$3
    shift 3
    if ! sshd_says "$login_user" >"$box/sshd"; then
        failed "sshd's present configuration is not valid: $(tail -n 1 "$log"); correct it first"
        return
    fi
    risks=
    # client address, client port, server address, server port
    port=${ssh_connection##* }
    case " $* " in
        *" any "* | *" ${port:-none} "*) ;;
        *) risks="$risks; this log-in came through port ${port:-unknown}, which is not in allowed_ports: add it" ;;
    esac
    if [ "$login_user" = root ] && [ "$root_allowed" = 0 ]; then
        risks="$risks; root is the account that logs in, and the policy ends its log-in: use another user, or set ssh_policy.allow_root_login"
    fi
    if [ "$passwords_off" = 1 ] && [ -n "$operator_key" ] && ! key_known "$login_user" "$operator_key" && ! keys_elsewhere; then
        risks="$risks; sshd finds no key of the operator for $login_user: run bootstrap first"
    fi
    if [ "$passwords_off" = 1 ]; then
        ended=$(methods_ended)
        risks="$risks${ended:+; $ended: let them in with publickey alone too, or set ssh_policy.disable_password_auth to false}"
    fi
    if [ -n "$risks" ]; then
        failed_as lockout_risk "refused, nothing was changed: ${risks#; }"
        return
    fi
    if [ ! -d /run/systemd/system ]; then
        failed "systemd does not run here, and nothing else could take the change back"
    elif ! have nft; then
        failed "nft is not installed; run bootstrap first"
    else
        ok "port ${port:-any} stays open, $login_user keeps a key and root"
    fi
}

# methods_ended: the first AuthenticationMethods, whoever it is for, that leaves no way in once passwords are off
methods_ended() {
    for file in "${sshd_dropin%/*/*}/sshd_config" "${sshd_dropin%/*}"/*.conf; do
        [ -f "$file" ] || continue
        # hostbased and none end with the same policy; PAM's questions may be named keyboard-interactive:pam.
        # shellcheck disable=SC2016
        tr -d '"' <"$file" | awk -v file="$file" '
            { sub(/#.*/, ""); sub(/=/, " ") }
            tolower($1) != "authenticationmethods" { next }
            {
                ways = 0
                for (n = 2; n <= NF; n++)
                    if (("," $n) !~ /,(password|keyboard-interactive|hostbased|none)/) ways++
                if (ways) next
                $1 = $1
                printf "line %d of %s (%s) asks for what the policy ends, and leaves no way in", NR, file, $0
                exit
            }'
    done | head -n 1
}

# Whether sshd takes keys from more than files: a command, or certificates; by what it said in $box/sshd.
keys_elsewhere() {
    grep -Eq '^(authorizedkeyscommand|trustedusercakeys) ' "$box/sshd" &&
        grep -E '^(authorizedkeyscommand|trustedusercakeys) ' "$box/sshd" | grep -qv ' none$'
}

compared() {
    ssh_needed='' firewall_needed='' key_needed=''
    dropin_fitted && settings_fitted || return
    if differs_from "$sshd_dropin" "$dropin_text" || sshd_differs; then ssh_needed=1; fi
    if firewall_differs; then firewall_needed=1; fi
    if [ -n "$key_blob" ]; then
        key_known "$login_user" "$key_blob"
        case $? in
            1) key_needed=1 ;;
            2)
                failed "sshd does not say where it looks for keys: $(tail -n 1 "$log")"
                return
                ;;
        esac
    fi
    needed=$ssh_needed$firewall_needed$key_needed
    managed >"$box/managed"
    ok "${ssh_needed:+sshd differs }${firewall_needed:+firewall differs }${key_needed:+key is missing}"
}

# undo_compared: whether there is a confirmed change to go back from, and what differs from the state before it
undo_compared() {
    kept=$state_dir/confirmed
    needed=
    if [ ! -s "$kept/paths" ]; then
        ok "no confirmed change is kept: there is nothing to go back to"
        return
    fi
    needed=1
    cp -- "$kept/paths" "$box/managed"
    cp -- "$kept/id" "$box/back-to"
    key_left_alone
    ok "the state before $(cat "$kept/holder" 2>/dev/null)"
}

# Keys that somebody has added since are not taken away: a file of keys that is not as harden left it stays.
key_left_alone() {
    left_alone=$(cat "$kept/key-path" 2>/dev/null)
    [ -n "$left_alone" ] || return 0
    if [ -f "$left_alone" ] && sha256sum <"$left_alone" | cmp -s - "$kept/key-after"; then
        left_alone=
    else
        fact notice.keys "$left_alone has been changed since, and is left as it is"
    fi
}

# The files that harden manages, a line each.
managed() {
    printf '%s\n' "$sshd_dropin" "$firewall_rules" "$unit_dir/busnode-firewall.service" "$state_dir/firewall.live" \
        "$unit_dir/sysinit.target.wants/busnode-firewall.service" "$unit_dir/nftables.service.wants/busnode-firewall.service" \
        "$nftables_dropin" "$state_dir/applied.harden"
    [ -z "$key_needed" ] || head -n 1 "$box/key-files"
}

# The old state, complete and on the disk before it is relied on.
state_saved() {
    if [ -z "$needed" ]; then
        ok "nothing to change"
        return
    fi
    would "save the old state, arm the rollback" && return
    saved=$state_dir/preparing
    rm -rf -- "$saved"
    run mkdir -m 0700 -- "$saved" "$saved/files" || return
    : >"$saved/paths"
    : >"$saved/new-folders"
    number=0
    while IFS= read -r path; do
        number=$((number + 1))
        printf '%s\n' "$path" >>"$saved/paths"
        if [ -e "$path" ] || [ -L "$path" ]; then
            run cp -a -- "$path" "$saved/files/$number" || return
        fi
        folder=${path%/*}
        while [ ! -d "$folder" ]; do
            printf '%s\n' "$folder" >>"$saved/new-folders"
            folder=${folder%/*}
        done
    done <"$box/managed"
    # An nft that fails is not the absence of a table: going back would leave the node without its old one.
    run nft list tables || return
    if grep -qx 'table inet busnode' "$log"; then
        if ! nft -n list table inet busnode >"$box/table" 2>"$log"; then
            failed "the rules in force cannot be saved: $(tail -n 1 "$log")"
            return
        fi
        run cp "$box/table" "$saved/table" || return
    fi
    systemctl is-active busnode-firewall.service >"$box/firewall-active" 2>/dev/null
    printf '%s\n' "$operation_id" >"$box/id"
    printf '%s\n' "$operation" >"$box/operation"
    if [ -n "$key_needed" ]; then head -n 1 "$box/key-files" >"$saved/key-path"; fi
    if [ "$operation" = rollback ]; then run cp "$box/back-to" "$saved" || return; fi
    json_text "$by" >"$box/by"
    run cp "$box/firewall-active" "$box/id" "$box/operation" "$box/by" "$run_dir/holder" "$saved" || return
    # A full disk says so where cp writes, and must not shorten the list in silence.
    if [ "$(wc -l <"$saved/paths")" -ne "$(wc -l <"$box/managed")" ]; then
        failed "the list of saved files is not whole: is the disk full?"
        return
    fi
    printf '%s' "$rollback_text" | write_beside "$state_dir/rollback.sh" root root 0700 || {
        failed "$state_dir/rollback.sh cannot be written"
        return
    }
    run sync -f "$state_dir" && ok "saved in $state_dir"
}

# rollback_armed SECONDS
rollback_armed() {
    if [ -z "$needed" ]; then
        ok "nothing to take back"
        return
    fi
    would "after $1 s" && return
    # Whoever sent this lost the connection, and was told under the node's lock that nothing was changed.
    if [ "$(cat "$run_dir/given-up" 2>/dev/null)" = "$operation_id" ]; then
        failed "its operator gave it up before it changed anything"
        return
    fi
    # Two units, for what stands before ssh at boot could never reload it later: that job would wait for its own end.
    # First what takes the others away where the node goes down before a change is pending.
    write_beside "$unit_dir/busnode-rollback-boot.service" root root 0644 <<END || return
[Unit]
Description=Take back the unconfirmed change of this Bus host before it starts its services
DefaultDependencies=no
RequiresMountsFor=$state_dir
ConditionPathExists=|$state_dir/preparing
ConditionPathExists=|$state_dir/pending
ConditionPathExists=|$state_dir/rolling-back
After=local-fs.target
Before=busnode-firewall.service nftables.service network-pre.target ssh.service ssh.socket

[Service]
Type=oneshot
ExecStart=/bin/sh $state_dir/rollback.sh boot
END
    mkdir -p -- "$unit_dir/sysinit.target.wants"
    run ln -sf ../busnode-rollback-boot.service "$unit_dir/sysinit.target.wants/busnode-rollback-boot.service" || return
    write_beside "$unit_dir/busnode-rollback.service" root root 0644 <<END || return
[Unit]
Description=Take back the unconfirmed change of this Bus host
DefaultDependencies=no
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh $state_dir/rollback.sh
Restart=on-failure
RestartSec=10
END
    write_beside "$unit_dir/busnode-rollback.timer" root root 0644 <<END || return
[Unit]
Description=Take back the change of this Bus host unless it is confirmed
DefaultDependencies=no

[Timer]
OnActiveSec=$1
AccuracySec=50ms
RemainAfterElapse=no
END
    # The timer first: whatever stops this in between, no change is pending that nothing takes back.
    if ! {
        run systemctl daemon-reload && run sync -f "$unit_dir" && run systemctl restart busnode-rollback.timer &&
            run mv -T -- "$state_dir/preparing" "$state_dir/pending"
    }; then
        disarmed
        return
    fi
    armed=1
    run sync -f "$state_dir" || return
    if ! systemctl is-active -q busnode-rollback.timer; then
        failed "the timer does not run"
        return
    fi
    fact armed "$operation_id"
    ok "after $1 s, or at the next start of the node"
}

# The state before the last confirmed change, as a step of its own; shown by the difference of its files.
state_restored() {
    if [ -z "$needed" ]; then
        ok
        return
    fi
    would "$([ "$dry_run" = 0 ] || state_difference | bounded)" && return
    wrong_before=$wrong wrong=
    firewall_stopped "$kept" >"$log" 2>&1
    files_put_back "$kept" >"$log" 2>&1
    [ -n "$wrong" ] || firewall_put_back "$kept" >"$log" 2>&1
    [ -n "$wrong" ] || sshd_put_back >"$log" 2>&1
    if [ -n "$wrong" ]; then failed "$wrong: $(tail -n 1 "$log")"; else changed "as it was before"; fi
    wrong=$wrong_before
}

state_difference() {
    number=0
    while IFS= read -r path; do
        number=$((number + 1))
        [ "$path" != "$left_alone" ] || continue
        # What busnode keeps for itself is nobody's difference, and would push the others out.
        case $path in "$state_dir"/*) continue ;; esac
        now=$path then=$kept/files/$number
        [ -f "$now" ] || now=/dev/null
        [ -f "$then" ] || then=/dev/null
        # The other lines of a file of keys are the user's, and so is a link that stands for it.
        context=-u
        if [ "$path" = "$(cat "$kept/key-path" 2>/dev/null)" ]; then
            context=-U0
            [ ! -L "$now" ] || now=/dev/null
            [ ! -L "$then" ] || then=/dev/null
        fi
        diff "$context" --label "$path (now)" --label "$path (before)" -- "$now" "$then"
    done <"$kept/paths"
}

# Where a step failed with the rollback armed, there is nothing to wait for.
rolled_back_if_broken() {
    [ -n "$armed" ] && [ -n "$broken" ] || return 0
    failing="$broken: $broken_detail"
    broken=
    step "roll back" taken_back
    if [ -z "$broken" ]; then
        ended_as=rolled-back
        tell '{"error":"rolled_back","detail":"%s"}\n' "$(json_text "$failing; the node is back in its old state")"
    fi
    broken=$failing
}

taken_back() {
    run sh "$state_dir/rollback.sh" held || return
    if [ -d "$state_dir/rolled-back" ]; then changed "back in the old state"; else failed "not taken back"; fi
}

# Nothing of the rollback stays in systemd.
disarmed() {
    systemctl stop busnode-rollback.timer >/dev/null 2>&1
    rollback_units_removed
    systemctl daemon-reload >"$log" 2>&1
}

# was_confirmed ID
was_confirmed() {
    [ "$(cat "$state_dir/confirmed/id" 2>/dev/null)" = "$1" ] || [ "$(cat "$state_dir/undone/id" 2>/dev/null)" = "$1" ]
}

# change_confirmed ID: one rename, under the node's lock, decides against the rollback.
change_confirmed() {
    if was_confirmed "$1"; then
        # What the first time may have been cut off from.
        if disarmed && kept_state_settled; then ok "confirmed before"; else failed "confirmed before; $(tail -n 1 "$log")"; fi
        return
    fi
    if [ "$(cat "$state_dir/pending/id" 2>/dev/null)" != "$1" ]; then
        ended_as=rolled-back
        failed_as rolled_back "the node had taken the change back before it was confirmed"
        return
    fi
    if [ "$(cat "$state_dir/pending/operation")" = rollback ]; then kept=undone; else kept=confirmed; fi
    key_file=$(cat "$state_dir/pending/key-path" 2>/dev/null)
    if [ -f "$key_file" ]; then sha256sum <"$key_file" >"$state_dir/pending/key-after"; fi
    # Never half of a state under a name by which it is used; rollback.sh puts the older one back under its own.
    rm -rf -- "${state_dir:?}/$kept.old"
    [ ! -d "$state_dir/$kept" ] || run mv -T -- "$state_dir/$kept" "$state_dir/$kept.old" || return
    run mv -T -- "$state_dir/pending" "$state_dir/$kept" || return
    run sync -f "$state_dir"
    if disarmed && kept_state_settled; then
        changed "confirmed by a fresh log-in"
    else
        failed "confirmed; systemd: $(tail -n 1 "$log")"
    fi
}

# After a change was confirmed nothing older is kept; after going back, not what was gone back to either.
kept_state_settled() {
    rm -rf -- "$state_dir/confirmed.old" "$state_dir/undone.old"
    gone=$(cat "$state_dir/undone/back-to" 2>/dev/null)
    if [ -n "$gone" ] && [ "$(cat "$state_dir/confirmed/id" 2>/dev/null)" = "$gone" ]; then
        run mv -T -- "$state_dir/confirmed" "$state_dir/undone.old" || return
        folders_put_back "$state_dir/undone.old"
        rm -rf -- "$state_dir/undone.old"
    fi
    run sync -f "$state_dir"
}

# change_given_up ID: take it back now, or say how it went.
change_given_up() {
    if was_confirmed "$1"; then
        fact outcome confirmed
        ok "it was confirmed"
        return
    fi
    # One that could not be completed is tried again.
    for waiting in pending rolling-back; do
        [ "$(cat "$state_dir/$waiting/id" 2>/dev/null)" = "$1" ] || continue
        run sh "$state_dir/rollback.sh" held || return
    done
    if [ "$(cat "$state_dir/rolled-back/id" 2>/dev/null)" = "$1" ]; then
        ended_as=rolled-back
        fact outcome rolled_back
        changed "back in the old state"
    else
        # It may be just about to begin.
        echo "$1" >"$run_dir/given-up"
        ended_as=given-up
        fact outcome absent
        ok "the change is neither pending, confirmed nor rolled back; it does not begin any more"
    fi
}
