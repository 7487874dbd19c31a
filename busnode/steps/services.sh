# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# systemd units: enabled, running, and whether they are.

# Debian's sshd may be started by its socket instead: either way ssh is served.
served_by_socket() { [ "$1" = ssh.service ] && systemctl is-active -q ssh.socket 2>/dev/null; }

# unit_state UNIT ENABLED(true|false) RUNNING(true|false)
unit_state() {
    if served_by_socket "$1"; then
        ok "ssh.socket serves it"
        return
    fi
    enabled=$(systemctl is-enabled -- "$1" 2>/dev/null)
    active=$(systemctl is-active -- "$1" 2>/dev/null)
    todo=
    case $2:$enabled in
        *:not-found | *:)
            # A dry run installed nothing.
            [ -n "${packages_wanted-}" ] && would "no unit $1 yet, before the installation of $packages_wanted" && return
            failed "there is no unit $1; install its package first"
            return
            ;;
        true:disabled) todo="enable" ;;
        true:masked*)
            failed "masked; run: systemctl unmask $1"
            return
            ;;
        false:enabled) todo="disable" ;;
    esac
    case $3:$active in
        true:active | true:reloading) ;;
        true:*) todo="$todo start" ;;
        false:active | false:activating | false:reloading) todo="$todo stop" ;;
    esac
    todo=${todo# }
    if [ -z "$todo" ]; then
        ok "$enabled, $active"
        return
    fi
    would "$todo" && return
    for verb in $todo; do
        if ! run systemctl "$verb" -- "$1"; then
            failed "$step_detail; see: journalctl -u $1"
            return
        fi
    done
    changed "$todo"
}

# unit_active UNIT: a check
unit_active() {
    if served_by_socket "$1"; then
        ok "ssh.socket serves it"
        return
    fi
    active=$(systemctl is-active -- "$1" 2>/dev/null)
    if [ "$active" = active ]; then ok active; else failed "unit $1 is ${active:-not there}, not active"; fi
}
