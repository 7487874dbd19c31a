#!/bin/sh
# Stage 6d, in a build root of the CD's release: compile NVIDIA's modules against the headers of one kernel.
#   build-modules.sh ABI SOURCE RESULT
set -eu

abi=$1 source=$2 result=$3
# The same modules whenever and wherever they are built.
export SOURCE_DATE_EPOCH=0 KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=bee KBUILD_BUILD_HOST=bee

cp -a "$source" /tmp/nvidia
cd /tmp/nvidia

# Linux 6.12.97 gave pci_resize_resource() a fourth argument, the BARs that stay as they are. Where the kernel has it and
# the driver does not know it, it is given none, as NVIDIA's later releases do.
if tr -d '\n' <"/lib/modules/$abi/source/include/linux/pci.h" | grep -q 'pci_resize_resource([^)]*exclude_bars)' &&
    ! grep -q 'PCI_RESIZE_RESOURCE_HAS_EXCLUDE_BARS' conftest.sh; then
    sed -i 's/\(pci_resize_resource([^(),]*,[^(),]*,[^(),]*\))/\1, 0)/' nvidia/nv-pci.c
fi

# nvidia-peermem wants a vendor's InfiniBand stack that Debian's kernel does not have.
make -j "$(nproc)" modules NV_EXCLUDE_KERNEL_MODULES=nvidia-peermem \
    SYSSRC="/lib/modules/$abi/source" SYSOUT="/lib/modules/$abi/build" KERNEL_UNAME="$abi"
strip --strip-debug ./*.ko
cp ./*.ko "$result/"
