# shellcheck shell=sh
# The constant remote command. Standard input carries one header line, then, end to end, what it gives lengths of, and a last line:
#   busnode1 SECONDS SCRIPT PASSWORD [BLOB...]
#   busnode1 end
# A greeting may stand before it, `busnode1 hello`; it is returned, so that whoever sends can see that somebody hears.
# Nothing of that ever stands in an argument list or in the environment.
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
refuse() {
    printf '{"error":"%s","detail":"%s"}\n' "$1" "$2"
    exit 1
}
box=
trap 'rm -rf -- "$box"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM
for base in /run "${XDG_RUNTIME_DIR:-}" /dev/shm /tmp; do
    if [ -n "$base" ] && [ -d "$base" ] && [ -w "$base" ]; then
        box=$(mktemp -d "$base/busnode.XXXXXXXX" 2>/dev/null) && break
    fi
done
[ -n "$box" ] || refuse apply_failed "no folder for temporary files can be made: /run, /dev/shm and /tmp are full or read-only"
IFS= read -r header
if [ "$header" = "busnode1 hello" ]; then
    echo "busnode1 ready"
    IFS= read -r header
fi
# The header holds digits and one word.
# shellcheck disable=SC2086
set -- $header
if [ "${1:-}" != busnode1 ] || [ "$#" -lt 4 ]; then refuse apply_failed "what was sent is no bundle"; fi
limit=$2
shift 2
number=-2
for length do
    case $number in
        -2) part=script ;;
        -1) part=password ;;
        *) part=blob.$number ;;
    esac
    # head reads not one byte more than it gives out.
    if [ "$length" -eq 0 ]; then : >"$box/$part"; else head -c "$length" >"$box/$part"; fi ||
        refuse apply_failed "what was sent does not fit into $base"
    number=$((number + 1))
done
# What was cut anywhere has another last line, or none.
if ! IFS= read -r last || [ "$last" != "busnode1 end" ]; then refuse apply_failed "what was sent arrived incomplete"; fi
# Where sudo keeps SSH_CONNECTION from the script, the script still has to know which port this log-in came through.
who=$(id)
uid=${who#uid=}
name=${uid#*\(}
name=${name%%\)*}
uid=${uid%%[!0-9]*}
set -- timeout -k 10 "$limit" sh "$box/script" "$box" "${SSH_CONNECTION:-}" "$name"
why="sudo asks for a password; set become.password, or allow the user sudo without one"
if [ "$uid" -eq 0 ]; then
    "$@" </dev/null
elif ! command -v sudo >/dev/null 2>&1; then
    refuse sudo_required "there is no sudo; install it, or log in as root"
elif [ -s "$box/password" ] && ! sudo -n true </dev/null >/dev/null 2>&1; then
    why="sudo does not let the user run a shell as root; correct become.password or sudoers"
    # sudo reads the password alone, once, from a pipe of its own; the script gets nothing of it.
    # shellcheck disable=SC2002,SC2016
    cat "$box/password" | sudo -k -S -p '' -- sh -c 'exec "$@" </dev/null' sh "$@"
else
    sudo -n -- "$@" </dev/null
fi
code=$?
case $code in 124 | 137) refuse timeout "the node stopped the operation after $limit s" ;; esac
[ -e "$box/begun" ] || refuse sudo_required "$why"
exit "$code"
