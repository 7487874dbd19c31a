#!/bin/sh
# Build the live CD; the document's own command.
#   iso/build.sh [--authorized-keys FILE] [SETTING=VALUE]...
# Settings are those of `doit iso` (docs/iso.md).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# In a container this is the first process, whose signals do nothing that it has not asked for (pid_namespaces(7)).
trap 'exit 130' INT
trap 'exit 143' TERM

usage() {
    echo "usage: iso/build.sh [--authorized-keys FILE] [SETTING=VALUE]..." >&2
    exit 2
}

count=$#
while [ "$count" -gt 0 ]; do
    word=$1
    shift
    count=$((count - 1))
    case $word in
    --authorized-keys)
        [ "$count" -gt 0 ] || usage
        [ -n "$1" ] || usage
        word=authorized_keys=$(realpath -m -- "$1")
        shift
        count=$((count - 1))
        ;;
    --authorized-keys=?*) word=authorized_keys=$(realpath -m -- "${word#*=}") ;;
    # Named from where this is called, as files are anywhere; the build runs in the checkout.
    authorized_keys=?* | sign_key=?* | sign_cert=?* | release_key=?*)
        word=${word%%=*}=$(realpath -m -- "${word#*=}")
        ;;
    -* | =*) usage ;;
    *=*) ;;
    *) usage ;;
    esac
    set -- "$@" "$word"
done

cd "$root"
test -x /usr/bin/python3 || iso/builder/setup-builder.sh python
/usr/bin/python3 -m iso.preflight iso
iso/builder/setup-builder.sh iso
exec .venv/bin/doit iso "$@"
