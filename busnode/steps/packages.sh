# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Packages: asked of dpkg, installed by apt only where something is missing.

# Wait for cloud-init, which runs apt and writes sshd's configuration itself: cloud_init_done SECONDS
cloud_init_done() {
    if ! have cloud-init; then
        ok "no cloud-init here"
        return
    fi
    if [ "$dry_run" = 1 ]; then
        ok "$(cloud-init status 2>/dev/null | head -n 1)"
        return
    fi
    # 2 means done, with recoverable errors; what cloud-init could not do is no business of ours.
    timeout "$1" cloud-init status --wait </dev/null >"$log" 2>&1
    case $? in
        0 | 2) ok "$(tail -n 1 "$log")" ;;
        124) failed "cloud-init still runs after $1 s; wait for it, or see: cloud-init status --long" ;;
        *) ok "cloud-init ended with an error: $(tail -n 1 "$log")" ;;
    esac
}

missing_packages() {
    installed=$(dpkg-query -W -f='|${db:Status-Status} ${Package}|' -- "$@" 2>/dev/null)
    missing=
    for package do
        case $installed in
            *"|installed $package|"*) ;;
            *) missing="$missing $package" ;;
        esac
    done
    missing=${missing# }
}

apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none \
        run apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# The lock of the package lists knows no time-out of apt's own.
apt_update() {
    tries=0
    until apt update; do
        grep -q 'Could not get lock' "$log" || return
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || return
        sleep 5
    done
    step_status='' step_detail=
}

# apt_would PACKAGE...: what apt would do, a line a package; by the lists that are there now, for none is fetched
apt_would() {
    if apt-get -s -q -o Debug::NoLocking=1 -o Dir::Log::Planner=/dev/null -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        install --no-install-recommends -- "$@" </dev/null >"$box/apt" 2>"$log"; then
        echo
        sed -n 's/^Inst \([^ ]*\) (\([^ ]*\).*/\1: absent -> \2/p
            s/^Inst \([^ ]*\) \[\(.*\)\] (\([^ ]*\).*/\1: \2 -> \3/p
            s/^Remv \([^ ]*\) \[\([^]]*\).*/\1: \2 -> absent/p' "$box/apt"
    else
        printf '; by the package lists that are there now: %s' "$(grep '^E: ' "$log" | tr '\n' ' ')"
    fi
}

packages_installed() {
    missing_packages "$@"
    if [ -z "$missing" ]; then
        ok "all of $# there"
        return
    fi
    packages_wanted=$missing
    # shellcheck disable=SC2086
    would "install $packages_wanted$([ "$dry_run" = 0 ] || apt_would $packages_wanted)" && return
    apt_update || update_said=$step_detail
    step_status='' step_detail=
    # shellcheck disable=SC2086
    if ! apt install --no-install-recommends -- $packages_wanted; then
        failed "$step_detail${update_said:+; before that: $update_said}"
        return
    fi
    missing_packages "$@"
    if [ -n "$missing" ]; then
        failed "apt ended well, and $missing is still not installed: is it a virtual package? Name the real one"
        return
    fi
    changed "installed $packages_wanted"
}
