# The compiler puts the parts of a script together, so variables come from and go to other files.
# shellcheck shell=sh disable=SC2034,SC2154
# Who listens where. ss is asked once; addresses as ss writes them: 0.0.0.0:22, [::]:22, 127.0.0.53%lo:53, *:80

sockets() {
    [ -e "$box/sockets" ] || ss -H -tlnp </dev/null >"$box/sockets" 2>"$log"
}

read_listeners() {
    if ! have ss || ! sockets; then
        skipped "ss is not there; bootstrap installs it (iproute2)"
        return
    fi
    fact_file listeners "$box/sockets"
    if ! ss -H -ulnp </dev/null >"$box/datagrams" 2>"$log"; then
        failed "ss does not answer: $(tail -n 1 "$log")"
        return
    fi
    fact_file udp_listeners "$box/datagrams"
    ok "$(wc -l <"$box/sockets") TCP sockets, $(wc -l <"$box/datagrams") of UDP"
}

# listener ADDRESS PORT PROCESS: a check; an empty address or process means any
listener() {
    if ! sockets; then
        failed "ss does not answer: $(tail -n 1 "$log")"
        return
    fi
    case $1 in
        '') shown="port $2" ;;
        *:*) shown="[$1]:$2" ;;
        *) shown=$1:$2 ;;
    esac
    found=
    while read -r _ _ _ local _ users; do
        [ "${local##*:}" = "$2" ] || continue
        address=${local%:*}
        address=${address#\[}
        address=${address%\]}
        address=${address%%\%*}
        covers "$1" "$address" || continue
        case $users in
            *"((\"$3\","* | *",(\"$3\","*) found=$users ;;
            *) [ -n "$3" ] || found=${users:-users} ;;
        esac
        [ -z "$found" ] || break
        other=$users
    done <"$box/sockets"
    if [ -n "$found" ]; then
        ok "$local"
    elif [ -n "${other-}" ]; then
        failed "listener $shown is not reachable as $3: it belongs to $other"
    else
        failed "listener $shown is not reachable"
    fi
    other=
}

# covers WANTED IS: whether a socket bound to IS takes connections to WANTED
covers() {
    case $2 in
        "$1" | '*') return 0 ;;
        0.0.0.0) case $1 in *:*) return 1 ;; *) return 0 ;; esac ;;
        ::) case $1 in '' | *:*) return 0 ;; *) return 1 ;; esac ;;
    esac
    [ -z "$1" ]
}

# The socket through which this very log-in came.
ssh_listener() {
    # client address, client port, server address, server port
    # shellcheck disable=SC2086
    set -- $ssh_connection
    if [ -z "${4:-}" ]; then
        skipped "this is no log-in through ssh"
        return
    fi
    listener '' "$4" ''
}
