#!/bin/sh
# Stage 6a: the system that NVIDIA's modules are compiled in, a minimal one with more packages; in memory, as root, in
# mount and process namespaces of its own (iso/isolation.py).
#   make-build-root.sh MINIMAL PACKAGES MOUNTPOINT RESULT OWNER
#     MINIMAL     tar file of a minimal system of the CD's release
#     PACKAGES    folder of the .deb files to install, and of `status`, what dpkg there is to believe it has already
#     MOUNTPOINT  folder where it is unpacked
#     RESULT      tar file that is made
#     OWNER       uid:gid of RESULT
set -eu

minimal=$1 packages=$2 root=$3 result=$4 owner=$5
umask 022

mount -t tmpfs -o mode=0755,size=90% bee-build-root "$root"
tar -C "$root" --numeric-owner -xpf "$minimal"
cp "$packages/status" "$root/var/lib/dpkg/status"
mkdir "$root/tmp/packages"
mount --bind "$packages" "$root/tmp/packages"
DEBIAN_FRONTEND=noninteractive chroot "$root" dpkg --force-unsafe-io --recursive --install /tmp/packages
umount "$root/tmp/packages"
rmdir "$root/tmp/packages"
tar -C "$root" --numeric-owner -cf "$result" .
chown "$owner" "$result"
