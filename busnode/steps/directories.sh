# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Directories with owner, group and mode.

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
    is=$(stat -c '%U:%G %a' -- "$1" 2>/dev/null)
    if [ "$is" = "$2:$3 $4" ]; then
        ok
        return
    fi
    would "${is:-absent} -> $2:$3 $4" && return
    [ -n "$is" ] || run mkdir -p -m 0700 -- "$1" || return
    run chown -- "$2:$3" "$1" && run chmod -- "$4" "$1" && changed "${is:-absent} -> $2:$3 $4"
}
