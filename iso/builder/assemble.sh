#!/bin/sh
# Stage 14: `lb config && lb build`, as root, in mount and process namespaces of its own (iso/isolation.py).
#   assemble.sh WORKDIR ROOT BOOTSTRAP PACKAGES ISO OWNER TMPFS
#     WORKDIR    the prepared live-build folder, left as it is
#     ROOT       an empty folder in which the build happens
#     BOOTSTRAP  tar file of a minimal system of the CD's release
#     PACKAGES   folder of .deb files kept from one build to the next
#     ISO        where the result goes, complete or not at all
#     OWNER      uid:gid of all that is left behind
#     TMPFS      size of the memory file system to build in, or 0 to build on ROOT's own
set -eu

workdir=$1 root=$2 bootstrap=$3 packages=$4 iso=$5 owner=$6 tmpfs=$7
umask 022

# On disk an earlier build that was killed may have left its files; its mounts went with its namespaces.
empty() {
    if grep -qF " $root/" /proc/self/mountinfo; then
        echo "assemble.sh: something is mounted below $root: nothing is deleted" >&2
        exit 1
    fi
    find "$root" -mindepth 1 -delete
}

if [ "$tmpfs" = 0 ]; then empty; else mount -t tmpfs -o "mode=0755,size=$tmpfs" bee-live-build "$root"; fi
cp -a "$workdir/." "$root/"
chown -R 0:0 "$root"
cd "$root"

mkdir -p cache/bootstrap cache/packages.chroot
tar -C cache/bootstrap --numeric-owner -xpf "$bootstrap"
mount --bind "$packages" cache/packages.chroot

lb config
# Boot loaders come from this machine (--build-with-chroot false): the stage that would copy the chroot for them is done.
mkdir -p .build
touch .build/binary_chroot
lb build

umount cache/packages.chroot
chown -R "$owner" "$packages"
cp bee-amd64.hybrid.iso "$iso.partial"
chown "$owner" "$iso.partial"
sync "$iso.partial"
mv "$iso.partial" "$iso"

cd /
if [ "$tmpfs" = 0 ]; then empty; fi
