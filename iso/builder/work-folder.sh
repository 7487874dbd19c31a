#!/bin/sh
# Sourced by make-base.sh and assemble.sh: the folder that live-build works in, which nothing outlives.

# On disk an earlier build that was killed may have left its files; its mounts went with its namespaces.
empty() {
    if grep -qF " $1/" /proc/self/mountinfo; then
        echo "$0: something is mounted below $1: nothing is deleted" >&2
        exit 1
    fi
    find "$1" -mindepth 1 -delete
}

# open_folder ROOT TMPFS: as a memory file system of TMPFS bytes, or on the disk where that is 0
open_folder() {
    if [ "$2" = 0 ]; then empty "$1"; else mount -t tmpfs -o "mode=0755,size=$2" bee-live-build "$1"; fi
}

# close_folder ROOT TMPFS: a memory file system goes with the namespace
close_folder() {
    cd /
    if [ "$2" = 0 ]; then empty "$1"; fi
}
