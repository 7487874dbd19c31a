# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# sshd: one drop-in that is read first, for in sshd the first value wins.

# What sshd would do for a user who came as this log-in did: sshd_says USER
sshd_says() {
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    # client address, client port, server address, server port
    # shellcheck disable=SC2086
    set -- "$1" $ssh_connection
    # Whatever a Match block asks for must be given, or sshd -T ends there. Without UseDNS a host is its address.
    sshd -T -C "user=$1,host=${2:-localhost},addr=${2:-127.0.0.1},laddr=${4:-127.0.0.1},lport=${5:-22},rdomain=" 2>"$log"
}

# known_algorithms KEYWORD: what this openssh has of them, asked once, in the file $algorithms
known_algorithms() {
    case $1 in
        [Kk]*) list=kex ;;
        [Cc]*) list=cipher ;;
        [Mm]*) list=mac ;;
        [Hh]*) list=HostKeyAlgorithms ;;
        *) list=PubkeyAcceptedAlgorithms ;;
    esac
    algorithms=$box/known.$list
    [ -s "$algorithms" ] || ssh -Q "$list" </dev/null >"$algorithms" 2>"$log"
}

# Of each list of algorithms what this release's openssh has, in the same order: algorithms_fitted <lines >lines
algorithms_fitted() {
    while IFS= read -r line; do
        setting=${line#"${line%%[! ]*}"}
        keyword=${setting%% *}
        case $keyword in
            [Kk]ex[Aa]lgorithms | [Cc]iphers | MACs | macs | [Hh]ost[Kk]ey[Aa]lgorithms | [Pp]ubkey[Aa]ccepted[Aa]lgorithms)
                known_algorithms "$keyword"
                printf '%s\n' "${setting#* }" | tr ',' '\n' >"$box/wanted"
                known=$(grep -xF -f "$algorithms" "$box/wanted" | tr '\n' ',')
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
        grep -vixF -f "$box/sshd" -- "$box/settings" >"$box/differing"
        while IFS= read -r differs; do
            is=$(grep -i -m 1 -- "^${differs%% *} " "$box/sshd")
            stricter "$user" "${differs%% *}" "${differs#* }" "${is#* }" && continue
            differs="${is:-${differs%% *} is not set} for $user, wanted $differs"
            return 0
        done <"$box/differing"
    done
    return 1
}

# stricter USER KEYWORD WANTED IS: whether a Match block of the node's own asks for more than the policy
stricter() {
    case $2:$4 in
        # Zero is for ever.
        maxauthtries:[1-9]* | clientaliveinterval:[1-9]* | clientalivecountmax:[1-9]*) [ "$4" -le "$3" ] ;;
        permitrootlogin:no | permitrootlogin:forced-commands-only) [ "$3" = without-password ] ;;
        # A key is how the operator comes in.
        pubkeyauthentication:no) [ "$1" != "$login_user" ] ;;
        pubkeyacceptedalgorithms:?*)
            printf '%s\n' "$3" | tr ',' '\n' >"$box/wanted"
            ! printf '%s\n' "$4" | tr ',' '\n' | grep -qvxF -f "$box/wanted"
            ;;
        *) return 1 ;;
    esac
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
    if ! systemctl is-active -q ssh.socket; then
        run systemctl reload ssh.service && changed "reloaded"
    elif systemctl is-active -q ssh.service; then
        # The socket started it and it runs on. A reload would bind the port anew, which the socket holds, and end it.
        run systemctl restart ssh.service && changed "restarted: ssh.socket listens"
    else
        ok "ssh.socket starts sshd at a log-in, which reads it then"
    fi
}

sshd_effective() {
    # Asked a moment ago, and left as it was.
    if [ -z "$ssh_needed" ] || ! sshd_differs; then
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
