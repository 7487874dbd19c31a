#!/bin/sh
# Stage 6c, in a build root: unpack NVIDIA's installer, as nobody and without a network. It is a shell script with the
# driver behind it, and `--extract-only` is its own way to be unpacked.
#   unpack-run.sh INSTALLER TARGET
set -eu

installer=$1 target=$2
parent=$(dirname "$target")
copy=$parent/.installer.run
rm -rf "$target"
chown 65534:65534 "$parent"
# It may be its owner's alone to read, as what a umask of 077 leaves.
install -m 644 "$installer" "$copy"
cd /tmp
unshare --net -- setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- \
    env HOME=/tmp sh "$copy" --extract-only --target "$target"
rm -f "$copy"
test -d "$target" || {
    echo "$installer: --extract-only left nothing in $target: is it NVIDIA's installer?" >&2
    exit 1
}
