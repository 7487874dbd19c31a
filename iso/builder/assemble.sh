#!/bin/sh
# Stage 14, one image: the staged overlay on a base, its root file system, the ISO; as root, in mount and process
# namespaces of its own (iso/isolation.py).
#   assemble.sh WORKDIR ROOT BASE DATE STEM OWNER TMPFS
#     WORKDIR    the prepared live-build folder with the staged overlay, left as it is
#     ROOT       an empty folder in which the build happens
#     BASE       what make-base.sh made, with initrd.img beside it, never written
#     DATE       seconds since 1970: no file in the image is younger (SOURCE_DATE_EPOCH is the image's own date)
#     STEM       what the results are named by, each complete or not at all: STEM.iso, and for booting over the network
#                STEM.vmlinuz, STEM.initrd.img and STEM.squashfs
#     OWNER      uid:gid of all that is left behind
#     TMPFS      size of the memory file system to build in, or 0 to build on ROOT's own
set -eu

workdir=$1 root=$2 base=$3 date=$4 stem=$5 owner=$6 tmpfs=$7
umask 022
# shellcheck source=iso/builder/work-folder.sh
. "${0%/*}/work-folder.sh"
later="hooks/after-overlay rootfs"

# The base below, what this build writes above it. Where the kernel cannot do that (no loop device, a disk that is an
# overlay itself), a copy: the same files, later.
open_folder "$root" "$tmpfs"
mkdir "$root/base" "$root/written" "$root/scratch" "$root/work"
layers=lowerdir=$root/base,upperdir=$root/written,workdir=$root/scratch
if mount -t squashfs -o ro,loop "$base" "$root/base" && mount -t overlay -o "$layers" bee-live-build "$root/work"; then
    echo "on $base"
else
    echo "in a copy of $base"
    if mountpoint -q "$root/base"; then umount "$root/base"; fi
    unsquashfs -no-progress -quiet -f -d "$root/work" "$base"
fi
cd "$root/work"

# Of the configuration what no step before this one has used: a change of it makes no other base.
for part in $later; do
    rm -rf "config/${part:?}"
    cp -a "$workdir/config/$part" "config/$part"
done

# As live-build copies includes (Chroot_copy_dir), whatever size and time a file of the system has. A file that the system
# has, too, keeps that one's mode, but for whether it can be run: git knows no more of a file.
rsync -EIKlr --chown=0:0 "$workdir/config/includes.chroot/" chroot/
for hook in config/hooks/after-overlay/*; do "$hook" "$PWD/chroot" "$workdir/config/includes.chroot"; done

SOURCE_DATE_EPOCH=$date lb binary_rootfs

# The image's id, on its medium and in its initrd: a machine with several media runs from the one whose initrd it has, in the
# ordinary boot (scripts/bee-medium) as in live-boot's (matches_uuid). Without a folder, whose number of links is a file
# system's own; in front of the base's initrd, which has two names here, one file.
id=$(sha256sum binary/live/filesystem.squashfs)
mkdir -p binary/.disk
echo "${id%% *}" | tee binary/.disk/live-uuid >bee-image-id
touch --date="@$date" bee-image-id
{
    echo bee-image-id | cpio --quiet --create --format=newc --reproducible --owner=0:0
    cat "${base%/*}/initrd.img"
} >binary/live/made
for name in binary/live/initrd.img*; do ln -f binary/live/made "$name"; done
rm binary/live/made bee-image-id
find binary -newermt "@$date" -exec touch --no-dereference --date="@$date" {} +

# Written beside and synced, the disk busy while the ISO is made; then renamed, the ISO last, so that what lies beside it
# is its own.
write() {
    cp "$1" "$2.partial"
    chown "$owner" "$2.partial"
    sync "$2.partial"
}
{
    write binary/live/vmlinuz "$stem.vmlinuz"
    write binary/live/initrd.img "$stem.initrd.img"
    write binary/live/filesystem.squashfs "$stem.squashfs"
} &
beside=$!
lb binary_iso
write bee-amd64.hybrid.iso "$stem.iso"
wait "$beside"
for result in vmlinuz initrd.img squashfs iso; do mv "$stem.$result.partial" "$stem.$result"; done

cd /
for point in work base; do if mountpoint -q "$root/$point"; then umount "$root/$point"; fi; done
close_folder "$root" "$tmpfs"
