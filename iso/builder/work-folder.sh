#!/bin/sh
# Sourced by make-base.sh and assemble.sh: the folder that live-build works in, which nothing outlives.

# On disk an earlier build that was killed may have left its files; its mounts went with its namespaces.
empty() {
    place=$(realpath -- "$1")
    # As the kernel writes it there: without links, and a blank, for one, as \040 (proc_pid_mountinfo(5)).
    if cut -d ' ' -f 5 /proc/self/mountinfo | sed 's/\\\([0-7]\{3\}\)/\\0\1/g' | {
        while IFS= read -r point; do
            case $(printf '%b.' "$point") in "$place." | "${place%/}/"*) exit 0 ;; esac
        done
        exit 1
    }; then
        echo "$0: something is mounted at or below $place: nothing is deleted" >&2
        exit 1
    fi
    find "$place" -xdev -mindepth 1 -delete
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
