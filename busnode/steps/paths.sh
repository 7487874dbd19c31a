# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# What lies at the paths of a plan: asked of all of them at once, for as long as no step has changed anything.

paths='' paths_seen='' owner_line='' digest_line=''
newline='
'

# look_at PATH...: what the steps after this will ask for, in their order; before the first of them nothing is read
look_at() {
    for path do paths=$paths$path$newline; done
}

# From then on the next line of each answer waits in $owner_line and $digest_line: shells look a word up in a long text
# in a time that grows with its square. A path that is not the next one is asked about alone.
see_paths() {
    if [ -n "$touched" ]; then
        owner_line='' digest_line=''
        return
    fi
    [ -z "$paths_seen" ] || return 0
    paths_seen=1
    : >"$box/owners"
    : >"$box/digests"
    (
        IFS=$newline
        set -f
        # shellcheck disable=SC2086
        set -- $paths
        [ "$#" -eq 0 ] || stat -c '%n//%U:%G %a' -- "$@" >"$box/owners" 2>/dev/null
        for path do
            shift
            [ -L "$path" ] || [ ! -f "$path" ] || set -- "$@" "$path"
        done
        [ "$#" -eq 0 ] || sha256sum -- "$@" >"$box/digests" 2>/dev/null
    )
    exec 6<"$box/owners" 7<"$box/digests"
    IFS= read -r owner_line <&6
    IFS= read -r digest_line <&7
}

# owner_and_mode PATH: OWNER:GROUP MODE, as stat has them, in $is; nothing where nothing is there
owner_and_mode() {
    see_paths
    # No path holds `//` or a newline.
    is=${owner_line##*//}
    if [ -n "$is" ] && [ "$owner_line" = "$1//$is" ]; then
        IFS= read -r owner_line <&6
    else
        is=$(stat -c '%U:%G %a' -- "$1" 2>/dev/null)
    fi
}

# sha256_of FILE: in $digest; nothing where it cannot be read
sha256_of() {
    see_paths
    digest=${digest_line%% *}
    if [ -n "$digest" ] && [ "$digest_line" = "$digest  $1" ]; then
        IFS= read -r digest_line <&7
    else
        digest=$(sha256sum -- "$1" 2>/dev/null)
        # sha256sum marks a name that it had to escape with a backslash.
        digest=${digest#\\}
        digest=${digest%% *}
    fi
}
