#!/bin/sh
# Build the live CD in a privileged container of Debian: for build machines that are something else.
#   iso/builder/build-in-container.sh [--authorized-keys FILE] [SETTING=VALUE]...
# live-build mounts, makes device nodes and uses chroot, so the container is privileged, and the engine must run as root.
#   BEE_CONTAINER_ENGINE   the engine and its global options (podman, else docker)
#   BEE_CONTAINER_OPTIONS  more options for its `run`
#   BEE_BUILDER_SUITE      Debian release of the container (the live CD's)
# `doit iso container=podman` is the same.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
# A relative path is none (XDG base directory specification).
case ${XDG_CACHE_HOME-} in /*) cache=$XDG_CACHE_HOME ;; *) cache=$HOME/.cache ;; esac
case ${XDG_CONFIG_HOME-} in /*) private=$XDG_CONFIG_HOME ;; *) private=$HOME/.config ;; esac
cache=$cache/bee-busnode/iso private=$private/bee-busnode/iso

die() {
    echo "build-in-container.sh: $*" >&2
    exit 2
}

engine=${BEE_CONTAINER_ENGINE:-$(command -v podman || command -v docker)} ||
    die "neither podman nor docker is here: apt install podman"

# All that is wrong with settings, files and VERSIONS, before hours of work: where this machine has a Python that can tell.
python=/usr/bin/python3
unfit=''
if [ -x "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    PYTHONPATH=$root "$python" -B -P -m iso.fit "$@" || unfit=yes
fi

# The place on this machine of the file that a setting names, in `placed`; what is wrong with it is gathered.
wrong='' odd=''
place() {
    placed=''
    if [ -f "${1#*=}" ]; then placed=$(realpath -- "${1#*=}"); else wrong="$wrong$1: no such file
"; fi
    bear "$1" "$placed"
}

# An engine takes a colon for the end of a path.
bear() {
    case $2 in *:*) odd="$odd$1: a container engine cannot bear the colon in $2: give it another name
" ;; esac
}
bear "this checkout" "$root"
bear "the cache" "$cache"
bear "the password's folder" "$private"

suite=$(sed -n 's/^[[:space:]]*SUITE=\([^[:space:]]*\)[[:space:]]*$/\1/p' "$root/iso/builder/VERSIONS")
keys='' sign_key='' sign_cert='' release_key=''
count=$#
while [ "$count" -gt 0 ]; do
    word=$1
    shift
    count=$((count - 1))
    case $word in
    --authorized-keys)
        [ "$count" -gt 0 ] || die "--authorized-keys wants a file"
        place "authorized_keys=$1"
        keys=$placed
        shift
        count=$((count - 1))
        continue
        ;;
    --authorized-keys=* | authorized_keys=*)
        place "authorized_keys=${word#*=}"
        keys=$placed
        continue
        ;;
    sign_key=*)
        place "$word"
        sign_key=$placed
        word=sign_key=/run/sign_key
        ;;
    sign_cert=*)
        place "$word"
        sign_cert=$placed
        word=sign_cert=/run/sign_cert
        ;;
    release_key=*)
        place "$word"
        release_key=$placed
        word=release_key=/run/release_key
        ;;
    suite=*) suite=${word#*=} ;;
    -* | =*) die "no such option: $word" ;;
    *=*) ;;
    *) die "not a setting: $word" ;;
    esac
    set -- "$@" "$word"
done
# What is missing was said already, if anything was.
[ -z "$unfit" ] || wrong=''
if [ -n "$unfit$wrong$odd" ]; then
    printf '%s' "$wrong$odd" | sed 's/^/build-in-container.sh: /' >&2
    exit 2
fi
if [ -n "$keys" ]; then set -- --authorized-keys=/run/authorized_keys "$@"; fi

command -v "${engine%% *}" >/dev/null || die "$engine is not here: install it, or name another engine"
suite=${BEE_BUILDER_SUITE:-$suite}
case $suite in bookworm | trixie) ;; *) die "suite=$suite: must be one of trixie, bookworm" ;; esac

mkdir -p "$cache/venv-$suite" "$private"
chmod 700 "$private"
# Held by the engine in the end: `doit cache --prune` leaves the container's .venv alone until then.
exec 9>"$cache/venv-$suite.lock"
flock -s 9

# A container of its own kind for every list of packages.
packages=$(cat "$root/iso/builder/host-packages/python" "$root/iso/builder/host-packages/iso")
image=localhost/bee-builder:$suite-$(printf %s "$packages" | sha256sum | cut -c 1-12)

# This machine's certificate authorities: a site may have one of its own before its package index.
authorities=/etc/ssl/certs/ca-certificates.crt
trust=
if [ -f "$authorities" ]; then trust="-v $authorities:/run/authorities.crt:ro -e PIP_CERT=/run/authorities.crt"; fi

# This machine's apt may reach the archive by a proxy only. Its URL may have a password: it goes by the environment, of
# which a command line names the variables (iso/archive/mirror.py).
proxies() {
    command -v apt-config >/dev/null || return 0
    eval "$(apt-config shell by_http Acquire::http::Proxy by_https Acquire::https::Proxy)"
    case ${by_http-} in '' | [Dd][Ii][Rr][Ee][Cc][Tt]) ;; *) export http_proxy="$by_http" ;; esac
    case ${by_https-} in '' | [Dd][Ii][Rr][Ee][Cc][Tt]) ;; *) export https_proxy="$by_https" ;; esac
    direct=$(apt-config dump | sed -n 's/^Acquire::https\{0,1\}::Proxy::\([^ ";]*\) "DIRECT";$/\1/Ip' | sort -u | paste -s -d ,)
    [ -z "$direct" ] || export no_proxy="${no_proxy:+$no_proxy,}$direct"
}
proxies
carried=
for name in http_proxy https_proxy no_proxy; do
    if printenv "$name" >/dev/null; then carried="$carried -e $name"; fi
done

# Becomes the engine, which so hears the signals that this script is sent, and ends what runs in the container.
# shellcheck disable=SC2086 # the engine may come with options
become_run() {
    exec $engine run --privileged --network=host --tmpfs /tmp:exec ${BEE_CONTAINER_OPTIONS:-} $trust $carried \
        -v "$root:$root" -w "$root" "$@"
}

# The first of apt's sources whose release is named like this and that is Debian's by its label (iso/archive/sources.py).
archive() {
    apt-get indextargets --format "\$(RELEASE)|\$(COMPONENT)|\$(REPO_URI)|\$(ORIGIN)|\$(LABEL)" 'Created-By: Packages' |
        awk -F '|' -v named="$1" -v label="$2" '$1 ~ named && $2 == "main" && $3 ~ /^https?:/ &&
            ($4 == "Debian" && $5 == label || $4 $5 == "") { print $3; exit }'
}

# What the image is made with, ended when this script is: a shell hears of no signal while it waits for a command in the
# foreground, and of its own end by one only what is said here.
working='' name='' folder=''
step() {
    "$@" &
    working=$!
    wait "$working"
    working=''
}
stop() {
    [ -z "$working" ] || kill "$working" 2>/dev/null || true
    [ -z "$name" ] || $engine rm -f "$name" >/dev/null 2>&1 || true
    [ -z "$folder" ] || rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! $engine image inspect "$image" >/dev/null 2>&1; then
    base=localhost/bee-builder-base:$suite
    if ! $engine image inspect "$base" >/dev/null 2>&1; then
        if command -v mmdebstrap >/dev/null; then
            main=$(archive '^[a-z]+$' Debian)
            security=$(archive '^[a-z]+-security$' Debian-Security)
            [ -n "$main" ] || die "apt has no Debian archive among its sources"
            [ -n "$security" ] || die "apt has no Debian security archive among its sources"
            folder=$(mktemp -d -p /var/tmp bee-builder.XXXXXX)
            step mmdebstrap --variant=minbase --include=ca-certificates "$suite" "$folder/system.tar" \
                "deb $main $suite main" "deb $security $suite-security main"
            # shellcheck disable=SC2086 # the engine may come with options
            step $engine import "$folder/system.tar" "$base"
            rm -rf "$folder"
        else
            # shellcheck disable=SC2086 # the engine may come with options
            step $engine pull "debian:$suite"
            $engine tag "debian:$suite" "$base"
        fi
    fi
    name=bee-builder-$$
    step become_run --name "$name" -v "$cache/venv-$suite:$root/.venv" "$base" iso/builder/setup-builder.sh iso
    $engine commit -q "$name" "$image"
fi
stop
trap - EXIT INT TERM

# What build.json compares the container with: the same versions give the same bytes.
# shellcheck source=/dev/null
host=$(. /etc/os-release && printf %s "$PRETTY_NAME")
# shellcheck disable=SC2046 # a list of words on purpose
installed=$(dpkg-query -W -f '${Package}=${Version} ' $(printf '%s\n' "$packages" | sed 's/#.*//') 2>/dev/null || true)

# A generated password is shown on the terminal alone.
terminal=
if [ -t 0 ] && [ -t 1 ]; then terminal=-t; fi

# The container's own .venv: another release has another Python.
become_run --rm ${terminal:+"$terminal"} -e "BEE_HOST_SYSTEM=$host" -e "BEE_HOST_PRIVATE=$private" \
    -e "BEE_HOST_PACKAGES=$installed" \
    ${SOURCE_DATE_EPOCH:+-e "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH"} ${keys:+-v "$keys:/run/authorized_keys:ro"} \
    ${sign_key:+-v "$sign_key:/run/sign_key:ro"} ${sign_cert:+-v "$sign_cert:/run/sign_cert:ro"} \
    ${release_key:+-v "$release_key:/run/release_key:ro"} \
    -v "$cache/venv-$suite:$root/.venv" -v "$cache:/root/.cache/bee-busnode/iso" -v "$private:/root/.config/bee-busnode/iso" \
    "$image" iso/build.sh "$@"
