# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# sshd: one drop-in that is read first, for in sshd the first value wins.

# What sshd would do for a user: sshd_says USER
sshd_says() {
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    sshd -T -C "user=$1,host=localhost,addr=${ssh_connection%% *}" 2>"$log"
}

# sshd_differs: the first of the wanted settings that is not in force, in $differs
sshd_differs() {
    for user in "$login_user" root; do
        if ! sshd_says "$user" >"$box/sshd"; then
            differs="sshd -T: $(tail -n 1 "$log")"
            return 0
        fi
        while IFS= read -r setting; do
            grep -qixF -- "$setting" "$box/sshd" && continue
            is=$(grep -i -m 1 -- "^${setting%% *} " "$box/sshd")
            differs="${is:-${setting%% *} is not set} for $user, wanted $setting"
            return 0
        done <"$box/settings"
    done
    return 1
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
    failed "not in force: $differs; another file sets it before ${sshd_dropin##*/}"
}
