# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# What lies at the paths of a plan: asked of all of them at once, for as long as no step has changed anything.

paths='' paths_seen='' owners='' digests=''
newline='
'

# look_at PATH...: what the steps after this will ask for; before the first of them nothing is read
look_at() {
    for path do paths=$paths$path$newline; done
}

see_paths() {
    if [ -n "$touched" ]; then
        owners='' digests=''
        return
    fi
    [ -z "$paths_seen" ] || return 0
    paths_seen=1
    # No path holds `//` or a newline, or the two tools' words would not be told apart.
    owners=$newline$(
        IFS=$newline
        set -f
        # shellcheck disable=SC2086
        stat -c '%n//%U:%G %a' -- $paths 2>/dev/null
    )$newline
    digests=$newline$(
        IFS=$newline
        set -f
        set --
        for path in $paths; do
            [ -L "$path" ] || [ ! -f "$path" ] || set -- "$@" "$path"
        done
        [ "$#" -eq 0 ] || sha256sum -- "$@" 2>/dev/null
    )$newline
}

# owner_and_mode PATH: OWNER:GROUP MODE, as stat has them, in $is; nothing where nothing is there
owner_and_mode() {
    see_paths
    case $owners in
        *"$newline$1//"*) is=${owners#*"$newline$1//"} is=${is%%"$newline"*} ;;
        *) is=$(stat -c '%U:%G %a' -- "$1" 2>/dev/null) ;;
    esac
}

# sha256_of FILE: in $digest; nothing where it cannot be read
sha256_of() {
    see_paths
    case $digests in
        *"  $1$newline"*)
            digest=${digests%%"  $1$newline"*}
            digest=${digest##*"$newline"}
            ;;
        *)
            digest=$(sha256sum -- "$1" 2>/dev/null)
            # sha256sum marks a name that it had to escape with a backslash.
            digest=${digest#\\}
            digest=${digest%% *}
            ;;
    esac
}
