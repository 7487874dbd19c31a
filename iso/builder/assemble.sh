#!/bin/sh
# Stage 14: `lb config && lb build`, as root, in mount and process namespaces of its own (iso/isolation.py).
#   assemble.sh WORKDIR ROOT BOOTSTRAP LOADERS PACKAGES STEM OWNER TMPFS
#     WORKDIR    the prepared live-build folder, left as it is
#     ROOT       an empty folder in which the build happens
#     BOOTSTRAP  tar file of a minimal system of the CD's release
#     LOADERS    tree of the signed boot loaders (iso/image/boot_loaders.py)
#     PACKAGES   folder of .deb files kept from one build to the next
#     STEM       what the results are named by, each complete or not at all: STEM.iso, and for booting over the network
#                STEM.vmlinuz, STEM.initrd.img and STEM.squashfs
#     OWNER      uid:gid of all that is left behind
#     TMPFS      size of the memory file system to build in, or 0 to build on ROOT's own
set -eu

workdir=$1 root=$2 bootstrap=$3 loaders=$4 packages=$5 stem=$6 owner=$7 tmpfs=$8
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
# Where live-build looks for them, and rootfs/excludes keeps them out of the image's own file system.
mkdir -p config/includes.chroot
cp -a --no-preserve=ownership "$loaders/." config/includes.chroot/
# Boot loaders come from this machine (--build-with-chroot false): the stage that would copy the chroot for them is done.
mkdir -p .build
touch .build/binary_chroot
lb build

umount cache/packages.chroot
chown -R "$owner" "$packages"

shim=$loaders/usr/lib/shim/shimx64.efi.signed
cmp "$shim" binary/EFI/boot/bootx64.efi || { echo "assemble.sh: bootx64.efi is not the signed shim" >&2; exit 1; }

# Written beside, synced, renamed: the ISO last, so that what lies beside it is its own.
keep() {
    cp "$1" "$2.partial"
    chown "$owner" "$2.partial"
    sync "$2.partial"
    mv "$2.partial" "$2"
}
keep binary/live/vmlinuz "$stem.vmlinuz"
keep binary/live/initrd.img "$stem.initrd.img"
keep binary/live/filesystem.squashfs "$stem.squashfs"
keep bee-amd64.hybrid.iso "$stem.iso"

cd /
if [ "$tmpfs" = 0 ]; then empty; fi
