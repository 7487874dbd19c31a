# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Service accounts: system accounts without password or log-in shell.

# service_account NAME HOME
service_account() {
    if entry=$(getent passwd "$1"); then
        IFS=: read -r _ _ _ _ _ home shell <<END
$entry
END
        if [ "$home:$shell" = "$2:/usr/sbin/nologin" ]; then
            ok
            return
        fi
        would "home $home -> $2, shell $shell -> /usr/sbin/nologin" && return
        if [ "$1" = "$login_user" ]; then
            failed "this is the account that logs in; a service account needs another name"
            return
        fi
        run usermod --home "$2" --shell /usr/sbin/nologin -- "$1" && changed "home $2, shell /usr/sbin/nologin"
        return
    fi
    would "create" && return
    run useradd --system --user-group --no-create-home --home-dir "$2" --shell /usr/sbin/nologin -- "$1" && changed "created"
}
