#!/bin/sh
# Build the live CD; the document's own command.
#   iso/build.sh [--authorized-keys FILE] [SETTING=VALUE]...
# Settings are those of `doit iso` (docs/iso.md).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

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
        word=authorized_keys=$(realpath -- "$1")
        shift
        count=$((count - 1))
        ;;
    --authorized-keys=?*) word=authorized_keys=$(realpath -- "${word#*=}") ;;
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
