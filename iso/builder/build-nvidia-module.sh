#!/bin/sh
# Stage 6 alone: NVIDIA's driver for the CD's kernel, into dist/nvidia-<version>-<kver>/.
#   iso/builder/build-nvidia-module.sh [SETTING=VALUE]...
# Settings are those of `doit iso` (docs/iso.md).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
for word in "$@"; do
    case $word in
    -* | =*) ;;
    *=*) continue ;;
    esac
    echo "usage: iso/builder/build-nvidia-module.sh [SETTING=VALUE]..." >&2
    exit 2
done

cd "$root"
test -x /usr/bin/python3 || iso/builder/setup-builder.sh python
/usr/bin/python3 -m iso.preflight iso
iso/builder/setup-builder.sh iso
exec .venv/bin/doit nvidia "$@"
