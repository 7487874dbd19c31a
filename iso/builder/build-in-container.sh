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

# The place on this machine of the file that a setting names.
place() {
    [ -f "${1#*=}" ] || die "$1: no such file"
    realpath -- "${1#*=}"
}

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
        keys=$(place "authorized_keys=$1")
        shift
        count=$((count - 1))
        continue
        ;;
    --authorized-keys=* | authorized_keys=*)
        keys=$(place "authorized_keys=${word#*=}")
        continue
        ;;
    sign_key=*)
        sign_key=$(place "$word")
        word=sign_key=/run/sign_key
        ;;
    sign_cert=*)
        sign_cert=$(place "$word")
        word=sign_cert=/run/sign_cert
        ;;
    release_key=*)
        release_key=$(place "$word")
        word=release_key=/run/release_key
        ;;
    suite=*) suite=${word#*=} ;;
    -* | =*) die "no such option: $word" ;;
    *=*) ;;
    *) die "not a setting: $word" ;;
    esac
    set -- "$@" "$word"
done
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

# Becomes the engine, which so hears the signals that this script is sent, and ends what runs in the container.
# shellcheck disable=SC2086 # the engine may come with options
become_run() {
    exec $engine run --privileged --network=host --tmpfs /tmp:exec ${BEE_CONTAINER_OPTIONS:-} $trust \
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

# The container's own .venv: another release has another Python.
become_run --rm -e "BEE_HOST_SYSTEM=$host" -e "BEE_HOST_PACKAGES=$installed" \
    ${SOURCE_DATE_EPOCH:+-e "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH"} ${keys:+-v "$keys:/run/authorized_keys:ro"} \
    ${sign_key:+-v "$sign_key:/run/sign_key:ro"} ${sign_cert:+-v "$sign_cert:/run/sign_cert:ro"} \
    ${release_key:+-v "$release_key:/run/release_key:ro"} \
    -v "$cache/venv-$suite:$root/.venv" -v "$cache:/root/.cache/bee-busnode/iso" -v "$private:/root/.config/bee-busnode/iso" \
    "$image" iso/build.sh "$@"
