# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# sshd: one drop-in that is read first, for in sshd the first value wins.

# What sshd would do for a user: sshd_says USER
sshd_says() {
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    sshd -T -C "user=$1,host=localhost,addr=${ssh_connection%% *}" 2>"$log"
}

# Of each list of algorithms what this release's openssh has, in the same order: algorithms_fitted <lines >lines
algorithms_fitted() {
    while IFS= read -r line; do
        setting=${line#"${line%%[! ]*}"}
        keyword=${setting%% *}
        case $keyword in
            [Kk]ex[Aa]lgorithms | [Cc]iphers | MACs | macs | [Hh]ost[Kk]ey[Aa]lgorithms | [Pp]ubkey[Aa]ccepted[Aa]lgorithms)
                ssh -Q "$keyword" </dev/null >"$box/algorithms" 2>"$log"
                printf '%s\n' "${setting#* }" | tr ',' '\n' >"$box/wanted"
                known=$(grep -xF -f "$box/algorithms" "$box/wanted" | tr '\n' ',')
                if [ -z "$known" ]; then
                    echo "this node's openssh has none of the policy's $keyword" >>"$log"
                    return 1
                fi
                line="${line%"${setting}"}$keyword ${known%,}"
                ;;
        esac
        printf '%s\n' "$line"
    done
}

dropin_fitted() {
    if ! printf '%s' "$dropin_text" | algorithms_fitted >"$box/dropin"; then
        failed "$(tail -n 1 "$log")"
        return 1
    fi
    dropin_text="$(cat "$box/dropin")
"
}

settings_fitted() {
    if ! algorithms_fitted <"$box/settings" >"$box/settings.fitted"; then
        failed "$(tail -n 1 "$log")"
        return 1
    fi
    mv "$box/settings.fitted" "$box/settings"
}

# sshd_differs: the first of the wanted settings that is not in force for one of the accounts, in $differs
sshd_differs() {
    # Names of accounts are words.
    # shellcheck disable=SC2086
    for user in "$login_user" $accounts; do
        if ! sshd_says "$user" >"$box/sshd"; then
            differs="sshd -T: $(tail -n 1 "$log")"
            return 0
        fi
        differs=$(grep -vixF -f "$box/sshd" -- "$box/settings" | head -n 1)
        [ -n "$differs" ] || continue
        is=$(grep -i -m 1 -- "^${differs%% *} " "$box/sshd")
        differs="${is:-${differs%% *} is not set} for $user, wanted $differs"
        return 0
    done
    return 1
}

# A check: policy_in_force ACCOUNTS SETTING...
policy_in_force() {
    accounts=$1
    shift
    printf '%s\n' "$@" >"$box/settings"
    settings_fitted || return
    if sshd_differs; then failed "sshd: $differs; run harden"; else ok "in force for $login_user $accounts"; fi
}

sshd_dropin_written() {
    if ! differs_from "$sshd_dropin" "$dropin_text"; then
        ok
        return
    fi
    would "$(difference "$sshd_dropin" "$dropin_text")" && return
    if ! printf '%s' "$dropin_text" | write_beside "$sshd_dropin" root root 0644 2>"$log"; then
        failed "not written: $(tail -n 1 "$log")"
        return
    fi
    # A bad configuration would end sshd at the reload.
    run sshd -t && changed "written"
}

sshd_reloaded() {
    if [ -z "$ssh_needed" ]; then
        ok
        return
    fi
    would "reload" && return
    if systemctl is-active -q ssh.socket; then
        ok "ssh.socket starts an sshd for each log-in, which reads it anew"
        return
    fi
    run systemctl reload ssh.service && changed "reloaded"
}

sshd_effective() {
    if ! sshd_differs; then
        ok "in force"
        return
    fi
    would "$differs" && return
    if grep -qsiE '^[[:space:]]*include[[:space:]].*sshd_config\.d/\*\.conf' /etc/ssh/sshd_config; then
        failed "not in force: $differs; another file sets it before ${sshd_dropin##*/}"
    else
        failed "not in force: $differs; /etc/ssh/sshd_config does not begin with: Include /etc/ssh/sshd_config.d/*.conf"
    fi
}
