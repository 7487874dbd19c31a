# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Directories with owner, group and mode.

# missing_above PATH: the folders above it that would be made too, as mkdir -p makes them
missing_above() {
    above=${1%/*}
    while [ -n "$above" ] && [ ! -e "$above" ]; do
        printf '\n%s: absent -> root:root 755' "$above"
        above=${above%/*}
    done
}

# directory_present PATH OWNER GROUP MODE
directory_present() {
    if [ -L "$1" ]; then
        failed "a symbolic link; name the folder it leads to"
        return
    fi
    if [ -e "$1" ] && [ ! -d "$1" ]; then
        failed "there is something else of that name; move it away"
        return
    fi
    owner_and_mode "$1"
    if [ "$is" = "$2:$3 $4" ]; then
        ok
        return
    fi
    would "${is:-absent} -> $2:$3 $4$(missing_above "$1")" && return
    [ -n "$is" ] || run mkdir -p -m 0700 -- "$1" || return
    # By its own ., for a name in a folder of another could be exchanged for a symbolic link in between. With five
    # digits chmod also takes away a setgid bit that the folder inherited.
    # shellcheck disable=SC2016
    run sh -c '
        cd -P -- "$1" || exit
        if [ "$(pwd -P)" != "$1" ]; then echo "a symbolic link leads to $(pwd -P); name that folder"; exit 1; fi
        chown -- "$2" . && chmod -- "$3" .
    ' sh "$1" "$2:$3" "00$4" || return
    now_is=$(stat -c '%U:%G %a' -- "$1")
    if [ "$now_is" = "$2:$3 $4" ]; then changed "${is:-absent} -> $2:$3 $4"; else failed "$now_is stays, not $2:$3 $4"; fi
}
