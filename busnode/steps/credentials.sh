# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Credentials: content that came on standard input, and the operator's key for the account that logs in.

# short DIGEST: its first 8 digits
short() { printf '%.8s' "$1"; }

# credential_placed BLOB SHA256 DESTINATION OWNER GROUP MODE
credential_placed() {
    if [ -L "$3" ] || [ -d "$3" ]; then
        failed "a folder or a symbolic link is there; move it away"
        return
    fi
    if [ -e "$3" ] && [ ! -f "$3" ]; then
        failed "something else than a file is there; move it away"
        return
    fi
    owner_and_mode "$3"
    sha256_of "$3"
    if [ "$digest" = "$2" ] && [ "$is" = "$4:$5 $6" ]; then
        ok
        return
    fi
    if [ "$digest" = "$2" ]; then was=$is; else was=${is:+other content}; fi
    was=${was:-absent}
    # The beginning of a digest tells contents apart, and is of no use to whoever guesses one.
    if [ "$digest" != "$2" ]; then
        would "$was -> $4:$5 $6; content sha256 ${digest:+$(short "$digest") -> }$(short "$2")" && return
    fi
    would "$was -> $4:$5 $6" && return
    if [ ! -d "${3%/*}/" ]; then
        failed "the folder ${3%/*} does not exist; list it in directories"
        return
    fi
    # The folder may belong to a service account, which could exchange any name in it for a symbolic link. So the file
    # is made in a folder of root's inside of it: nobody else can enter that, or move it to another place.
    # shellcheck disable=SC2016
    run sh -c '
        umask 077
        cd -P -- "${1:-/}" || exit
        if [ "$(pwd -P)" != "${1:-/}" ]; then echo "a symbolic link leads to $(pwd -P); name that folder"; exit 1; fi
        own=$(mktemp -d .busnode.XXXXXXXX) || exit
        cd -P -- "$own" && [ "$(pwd -P)" = "$1/$own" ] || exit
        cat -- "$2" >file && chown -- "$3" file && chmod -- "$4" file && sync file && mv -T -f -- file "../$5"
        code=$?
        rm -f -- file
        cd .. && rmdir -- "$own"
        sync .
        exit $code
    ' sh "${3%/*}" "$box/blob.$1" "$4:$5" "$6" "${3##*/}" || return
    case $3 in
        # A unit that is loaded is started as it was, until systemd reads it again.
        "$unit_dir"/*) ! have systemctl || run systemctl daemon-reload || return ;;
    esac
    changed "$was -> $4:$5 $6"
}

# Where sshd looks for the keys of a user: key_files USER; fails where sshd does not say, for the reason in $log
key_files() {
    home=$(getent passwd "$1" | cut -d: -f6)
    sshd_says "$1" >"$box/sshd-keys" || return
    names=$(sed -n 's/^authorizedkeysfile //p' "$box/sshd-keys")
    for name in ${names:-.ssh/authorized_keys}; do
        name=$(printf '%s' "$name" | sed "s|%h|$home|g; s|%u|$1|g; s|%%|%|g")
        case $name in
            none) ;;
            /*) printf '%s\n' "$name" ;;
            *) printf '%s/%s\n' "$home" "$name" ;;
        esac
    done
}

# key_known USER BLOB: whether sshd would find the key of base64 BLOB for USER; 2 where sshd does not say where it looks
key_known() {
    key_files "$1" >"$box/key-files" || return 2
    while IFS= read -r file; do
        if [ -f "$file" ] && grep -v '^[[:space:]]*#' -- "$file" | grep -qF -- " $2"; then return 0; fi
        # A line may begin with the type of the key, or with options before it.
    done <"$box/key-files"
    return 1
}

# key_difference FILE LINE: as diff -U0 would show it, without a look at the other lines, which are the user's
key_difference() {
    lines=$(grep -c '' -- "$1" 2>/dev/null)
    printf -- '--- %s (now)\n+++ %s (wanted)\n@@ -%d,0 +%d @@\n+%s' "$1" "$1" "${lines:-0}" "$((${lines:-0} + 1))" "${2% }"
}

# authorized_key USER TYPE BLOB COMMENT: only ever added, never in place of another
authorized_key() {
    key_known "$1" "$3"
    case $? in
        0)
            ok "known to sshd for $1"
            return
            ;;
        2)
            failed "sshd does not say where it looks for keys: $(tail -n 1 "$log")"
            return
            ;;
    esac
    file=$(head -n 1 "$box/key-files")
    if [ -z "$file" ]; then
        failed "sshd takes the keys of $1 from no file (AuthorizedKeysFile none)"
        return
    fi
    would "$(key_difference "$file" "$2 $3 $4")" && return
    # As the user, so that nothing the user planted there is followed with root's rights.
    # shellcheck disable=SC2016
    run runuser -u "$1" -- sh -c '
        umask 077
        mkdir -p -- "${1%/*}" || exit
        [ ! -s "$1" ] || [ -z "$(tail -c 1 -- "$1")" ] || printf "\n" >>"$1" || exit
        printf "%s\n" "$2" >>"$1"
    ' sh "$file" "$2 $3 $4" && changed "added to $file"
}
