#!/bin/sh
# Run a command in a fresh copy of a system, in memory; as root, in mount and process namespaces of its own (iso/isolation.py).
#   in-build-root.sh OWNER TAR MOUNTPOINT [ro|rw:SOURCE:TARGET]... -- COMMAND...
#     OWNER       uid:gid of what the command leaves in the rw folders
#     TAR         the system
#     MOUNTPOINT  folder where it is unpacked
set -eu

owner=$1 tar=$2 root=$3
shift 3
umask 022

mount -t tmpfs -o mode=0755,size=90% bee-build-root "$root"
tar -C "$root" --numeric-owner -xpf "$tar"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

written=
while [ "$1" != -- ]; do
    access=${1%%:*} rest=${1#*:}
    source=${rest%:*} target=$root${rest##*:} # a folder or a file
    if [ -d "$source" ]; then
        mkdir -p "$target"
    else
        mkdir -p "${target%/*}"
        : >"$target"
    fi
    mount --bind "$source" "$target"
    if [ "$access" = ro ]; then mount -o remount,bind,ro "$target"; else written="$written $target"; fi
    shift
done
shift

code=0
chroot "$root" "$@" || code=$?
# shellcheck disable=SC2086 # a list of folders whose names this build chose
[ -z "$written" ] || chown -R "$owner" $written
exit "$code"
