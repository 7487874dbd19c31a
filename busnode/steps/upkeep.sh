# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# What a node waits for; nothing is changed, no package list is fetched.

# read_reboot BOOT RUN: the folders of kernels, and of the mark that packages leave
read_reboot() {
    why=
    if [ -e "$2/reboot-required" ]; then
        asked=$(sort -u "$2/reboot-required.pkgs" 2>/dev/null | tr '\n' ' ')
        why="asked for by ${asked:-a package}
"
    fi
    running=$(uname -r)
    newest=$(newest_kernel "$1" "$running")
    if [ -n "$newest" ] && [ "$newest" != "$running" ]; then
        why="${why}kernel $newest is installed, $running runs
"
    elif [ -n "$newest" ]; then
        read -r up _ </proc/uptime
        # Installed since the start: the same name, another kernel.
        if [ "$(stat -c %Z "$1/vmlinuz-$running")" -gt $(($(date +%s) - ${up%.*})) ]; then
            why="${why}kernel $running was replaced since the node started
"
        fi
    fi
    fact reboot "$why"
    fact installed_kernel "$newest"
    if [ -n "$why" ]; then ok "$(printf '%s' "$why" | tr '\n' ';')"; else ok "none"; fi
}

# newest_kernel BOOT RUNNING: the newest that could run in its stead, itself among them: those of its flavour (amd64,
# cloud-amd64), by the order of versions; nothing where the running one is not from there, as in a container
newest_kernel() {
    [ -e "$1/vmlinuz-$2" ] || return 0
    flavour=${2##*[0-9]-}
    for file in "$1"/vmlinuz-*; do
        case $file in
            *.old | *.bak | *.dpkg-*) continue ;;
        esac
        release=${file##*/vmlinuz-}
        [ "${release##*[0-9]-}" != "$flavour" ] || printf '%s\n' "$release"
    done | sort -V | tail -n 1
}

# read_updates LISTS: by the package lists of that folder
read_updates() {
    if ! have apt-get; then
        skipped "there is no apt-get"
        return
    fi
    # Without its caches on the disk: reading writes nothing.
    if ! apt-get -s -qq -o Debug::NoLocking=1 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= dist-upgrade \
        </dev/null >"$box/upgrade" 2>"$log"; then
        skipped "apt-get ended with an error: $(tail -n 1 "$log")"
        return
    fi
    grep '^Inst ' "$box/upgrade" >"$box/updates"
    fact_file updates "$box/updates"
    # apt moves what it fetched out of this folder, whether anything was new or not.
    fetched=$(stat -c %Y "$1/partial" 2>/dev/null || stat -c %Y "$1" 2>/dev/null)
    if [ -z "$fetched" ]; then
        ok "$(wc -l <"$box/updates") packages; there are no package lists: run apt-get update"
        return
    fi
    age=$(($(date +%s) - fetched))
    fact lists_age_seconds "$age"
    ok "$(wc -l <"$box/updates") packages, by package lists that are $((age / 3600)) h old"
}
