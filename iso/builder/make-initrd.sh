#!/bin/sh
# The initrd of a finished system, made beside other steps that read that system: as root, in a mount namespace of its own.
#   make-initrd.sh ROOT PLACE
#     ROOT   the system, with one kernel; nothing can be written there meanwhile
#     PLACE  an empty folder: what is needed on the way, and initrd.img
set -eu

root=$1 place=$2
version=$(basename "$root"/boot/vmlinuz-*)

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
for folder in tmp var/tmp; do mount --bind "$place" "$root/$folder"; done

chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/var/tmp \
    SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" mkinitramfs -o /var/tmp/initrd.img "${version#vmlinuz-}"
