#!/bin/sh
# Stage 6 alone: NVIDIA's driver for the CD's kernel, into dist/nvidia-<version>-<kver>/.
#   iso/builder/build-nvidia-module.sh [SETTING=VALUE]...
# Settings are those of `doit iso` (docs/iso.md).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
usage() {
    echo "usage: iso/builder/build-nvidia-module.sh [SETTING=VALUE]..." >&2
    exit 2
}

for word in "$@"; do
    shift
    case $word in
    -* | =*) usage ;;
    # Named from where this is called, as files are anywhere; the build runs in the checkout.
    authorized_keys=?* | sign_key=?* | sign_cert=?* | release_key=?*)
        word=${word%%=*}=$(realpath -m -- "${word#*=}")
        ;;
    *=*) ;;
    *) usage ;;
    esac
    set -- "$@" "$word"
done

cd "$root"
test -x /usr/bin/python3 || iso/builder/setup-builder.sh python
/usr/bin/python3 -m iso.preflight iso
iso/builder/setup-builder.sh iso
exec .venv/bin/doit nvidia "$@"
