"""What a build asks of the kernel, each tried in namespaces of its own: a container may be refused any of it.

Needs nothing but the standard library: iso.preflight asks before anything is installed.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PRIVILEGED = "in a container: start it with --privileged; else ask who runs this machine"
_LOOP = "in a container: start it with --privileged and, where that is not enough, -v /dev:/dev; else modprobe loop"
# How a line begins that says the number of a facility and why it failed.
_FAILED = "bee-preflight failed "


@dataclass(frozen=True, slots=True)
class Facility:
    """Something that a build asks of the kernel.

    Args:
        name: what it is, as it is said of one that is missing.
        trial: a shell's commands that try it, in namespaces of their own with a file system in memory on /mnt.
        remedy: what mends it.
        needed: whether there is no build without it.
    """

    name: str
    trial: str
    remedy: str = PRIVILEGED
    needed: bool = True


BUILD = (
    Facility("/proc in a process namespace of its own", "mkdir /mnt/proc; mount -t proc proc /mnt/proc"),
    Facility("bind mounts", "mkdir /mnt/bound; mount --bind /usr /mnt/bound"),
    Facility("device nodes (mknod)", "mknod /mnt/null c 1 3; : >/mnt/null"),
    Facility("programs in a file system in memory (exec)", "cp /bin/true /mnt/true; /mnt/true"),
    Facility("chroot", "chroot / /bin/true"),
    Facility(
        "loop devices",
        "truncate -s 1M /mnt/disk; device=$(losetup --find --show --read-only /mnt/disk); losetup --detach $device",
        _LOOP,
        needed=False,
    ),
)
NODES = (
    Facility(
        "overlay mounts",
        "mkdir /mnt/lower /mnt/upper /mnt/work /mnt/merged\n"
        "mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/merged",
    ),
    Facility("network namespaces", "unshare --net true"),
)


def trials(facilities: Sequence[Facility]) -> str:
    """A shell script that tries all, each in a shell of its own; exit status 1 where not even a mount is allowed.

    Args:
        facilities: to be tried; what fails is a line that `refused` reads.
    """
    lines = ["mount -t tmpfs -o mode=0755 bee-preflight /mnt || exit 1"]
    for number, facility in enumerate(facilities):
        trial = f"/bin/sh -ec {shlex.quote(facility.trial)} 2>&1"
        lines.append(f'said=$({trial}) || echo "{_FAILED}{number}: ${{said##*$newline}}"')
    return "newline='\n'\n" + "\n".join([*lines, "exit 0"])


def refused(facilities: Sequence[Facility], said: str) -> Iterator[tuple[Facility, str]]:
    """Those that the kernel refused, each with the reason.

    Args:
        facilities: that were tried.
        said: what the script of `trials` printed.
    """
    failures = dict(line.removeprefix(_FAILED).split(": ", 1) for line in said.splitlines() if line.startswith(_FAILED))
    for number, facility in enumerate(facilities):
        if reason := failures.get(str(number)):
            yield facility, reason
