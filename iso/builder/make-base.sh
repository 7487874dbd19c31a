#!/bin/sh
# Stage 14, what all images of the same packages have in common: `lb config && lb build` from its bootstrap on up to, not
# including, the root file system's image and the ISO; as root, in mount and process namespaces of its own (iso/isolation.py).
#   make-base.sh WORKDIR ROOT BOOTSTRAP LOADERS LISTS PACKAGES RESULT OWNER TMPFS
#     WORKDIR    the prepared live-build folder, left as it is
#     ROOT       an empty folder in which the build happens
#     BOOTSTRAP  tar file of a minimal system of the CD's release
#     LOADERS    tree of the signed boot loaders (iso/image/boot_loaders.py)
#     LISTS      apt's lists of the archive, as they were verified when it was asked
#     PACKAGES   folder of .deb files kept from one build to the next
#     RESULT     what is made: live-build's folder as it is then, as a squashfs image, and beside it initrd.img
#     OWNER      uid:gid of all that is left behind
#     TMPFS      size of the memory file system to build in, or 0 to build on ROOT's own
set -eu

workdir=$1 root=$2 bootstrap=$3 loaders=$4 lists=$5 packages=$6 result=$7 owner=$8 tmpfs=$9
initrd=${result%/*}/initrd.img
umask 022
# shellcheck source=iso/builder/work-folder.sh
. "${0%/*}/work-folder.sh"

open_folder "$root" "$tmpfs"
cp -a "$workdir/." "$root/"
chown -R 0:0 "$root"
cd "$root"

# Of the overlay only what goes into the initrd: nothing else of it can then be in there.
rm -rf config/includes.chroot
mv config/includes.initrd config/includes.chroot
# Where live-build looks for them, and rootfs/excludes keeps them out of the image's own file system.
cp -a --no-preserve=ownership "$loaders/." config/includes.chroot/

# As if live-build had asked the archive before (--cache-indices): the minimal system is of the same.
mkdir -p chroot cache/packages.chroot cache/initrd
cp -R "$lists" cache/indices.bootstrap
tar -C chroot --numeric-owner -xpf "$bootstrap"
mount --bind "$packages" cache/packages.chroot

lb config
# Steps that live-build is told are done: the minimal system is there, as mmdebstrap made it of the same archive; boot
# loaders come from this machine (--build-with-chroot false), so that it need not copy the chroot for them; the other two
# are assemble.sh's. `lb build` would ask the archive once more between the first of them and the rest.
mkdir -p .build binary/live
touch .build/bootstrap .build/binary_chroot .build/binary_rootfs .build/binary_iso
lb chroot
# The initrd is not in the folder: on another processor, while the rest is made.
unshare --mount /bin/sh "${0%/*}/make-initrd.sh" chroot cache/initrd >cache/initrd.log 2>&1 &
beside=$!
lb binary
rm .build/binary_rootfs .build/binary_iso

umount cache/packages.chroot
chown -R "$owner" "$packages"

shim=$loaders/usr/lib/shim/shimx64.efi.signed
cmp "$shim" binary/EFI/boot/bootx64.efi || { echo "make-base.sh: bootx64.efi is not the signed shim" >&2; exit 1; }

# With the times that files really have: each image cuts them down to its own date.
env -u SOURCE_DATE_EPOCH mksquashfs . "$result" -comp lz4 -no-progress -quiet -e cache
wait "$beside" || { cat cache/initrd.log >&2; exit 1; }
cat cache/initrd.log
cp cache/initrd/initrd.img "$initrd"
chown "$owner" "$result" "$initrd"
close_folder "$root" "$tmpfs"
