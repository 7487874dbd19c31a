"""Said before anything starts: what this machine lacks for a task, all of it at once, each with what mends it.

    /usr/bin/python3 -m iso.preflight iso|acceptance

Needs nothing but the standard library: it runs before anything is installed. Exit 0 when nothing lacks that a build
needs, else 2.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iso import kernel_facilities
from iso.archive.sources import FORMAT, parse_index_targets
from iso.mounts import MOUNTINFO, mount_of
from iso.paths import Paths, strange_characters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

RELEASES = ("12", "13")
# What a build works with in dist/ and keeps in the user's cache folder; in memory it unpacks one system at a time.
DIST_BYTES = 7 << 30
CACHE_BYTES = 2 << 30
MEMORY_BYTES = 4 << 30
# Below this the ISO is put together on disk, in place of memory.
_MEMORY_FOR_ALL = 8 << 30
# A boot test's guest and the nodes beside it.
_ACCEPTANCE_MEMORY_BYTES = 6 << 30
_ACCEPTANCE_DIST_BYTES = 12 << 30
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing.

    Args:
        what: it, and what it is needed for.
        remedy: the command or the deed that mends it.
        needed: whether there is no build without it; else there is a slower one.
    """

    what: str
    remedy: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Machine:
    """What is asked of a machine; tests ask one of their own making.

    Args:
        paths: the checkout's folders.
        os_release: text of /etc/os-release.
        architecture: uname -m.
        memory: bytes available.
        mountinfo: text of /proc/self/mountinfo.
        run: runs a command and gives its exit status and output.
        is_root: whether this user is root.
    """

    paths: Paths
    os_release: str
    architecture: str
    memory: int
    mountinfo: str
    run: Callable[[Sequence[str]], tuple[int, str]]
    is_root: bool

    @classmethod
    def here(cls, root: Path) -> Machine:
        """The machine that this runs on."""
        memory = re.search(r"^MemAvailable:\s+([0-9]+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        return cls(
            paths=Paths.of(root),
            os_release=_text(Path("/etc/os-release")),
            architecture=platform.machine(),
            memory=int(memory[1]) * 1024 if memory else 0,
            mountinfo=_text(MOUNTINFO),
            run=_run,
            is_root=os.geteuid() == 0,
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _run(command: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            # What is read of the answers is English.
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return 127, f"{command[0]}: not found"
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]}: no answer in {_SECONDS} s"
    return done.returncode, done.stdout


def lacks(machine: Machine, tasks: Sequence[str]) -> list[Lack]:
    """What a machine lacks for tasks.

    Args:
        machine: asked about.
        tasks: iso, or acceptance, which includes it.
    """
    acceptance = "acceptance" in tasks
    found = [
        *_system(machine),
        *_place(machine),
        *_packages(machine, ("python", "iso", *(("test", "acceptance") if acceptance else ()))),
    ]
    privilege = _privilege(machine)
    found += privilege
    if not privilege:
        found += _facilities(machine, acceptance=acceptance)
    found += _space(machine, _ACCEPTANCE_DIST_BYTES if acceptance else DIST_BYTES)
    found += _memory(machine, _ACCEPTANCE_MEMORY_BYTES if acceptance else MEMORY_BYTES)
    return [*found, *_mount_options(machine)]


def _system(machine: Machine) -> Iterable[Lack]:
    release = dict(line.partition("=")[::2] for line in machine.os_release.splitlines())
    name, version = release.get("ID", "").strip('"'), release.get("VERSION_ID", "").strip('"')
    if name != "debian" or version not in RELEASES:
        yield Lack(
            f"this is {name or 'an unknown system'} {version}".rstrip() + ", the build needs Debian 12 or 13",
            "iso/builder/build-in-container.sh builds in a container of that release",
        )
    if machine.architecture != "x86_64":
        yield Lack(f"this is a {machine.architecture} machine, the CD is for amd64", "build on an x86-64 machine")


def _place(machine: Machine) -> Iterable[Lack]:
    if odd := strange_characters(machine.paths.root):
        yield Lack(
            f"{machine.paths.root} has {odd} in its name, which live-build cannot bear",
            "clone to a folder whose path has letters, digits and ._+- only",
        )


def _packages(machine: Machine, tasks: Sequence[str]) -> Iterable[Lack]:
    """Packages that are neither installed nor in apt's sources; setup-builder.sh installs the others."""
    code, listing = machine.run(["apt-get", "indextargets", "--format", FORMAT, "Created-By: Packages"])
    if code == 127:
        yield Lack("apt-get is not here", "build on Debian, or with iso/builder/build-in-container.sh")
        return
    if not listing.strip():
        # apt has fetched nothing yet, and so knows nothing: the set-up updates it, and the build asks again.
        return
    archive, security = parse_index_targets(listing)
    if not archive or not security:
        missing = "Debian archive" if not archive else "Debian security archive"
        yield Lack(f"apt has no {missing} among its sources", "add it to /etc/apt/sources.list.d, see sources.list(5)")
    wanted = _wanted(machine.paths, tasks)
    listing = machine.run(["apt-cache", "policy", *wanted])[1]
    unknown = [name for name in wanted if name not in _candidates(listing)]
    if listing and len(unknown) < len(wanted):
        for name in unknown:
            yield Lack(f"package {name} is not in apt's sources", "apt-get update, or add Debian's main to its sources")


def _wanted(paths: Paths, tasks: Sequence[str]) -> list[str]:
    lists = (_text(paths.builder / "host-packages" / task) for task in tasks)
    names = (line.partition("#")[0].strip() for text in lists for line in text.splitlines())
    return sorted({name for name in names if name})


def _candidates(policy: str) -> set[str]:
    """Packages that can be installed or are, from what apt-cache policy prints."""
    return set(re.findall(r"^(\S+):\n  Installed: \S+\n  Candidate: (?!\(none\))", policy, re.MULTILINE))


def _privilege(machine: Machine) -> list[Lack]:
    if machine.is_root or machine.run(["sudo", "-n", "true"])[0] == 0:
        return []
    return [
        Lack(
            "no root rights: packages are installed and the CD is put together as root",
            "run as root; or `sudo -v` first, or let this user use sudo without a password (sudoers(5), NOPASSWD)",
        )
    ]


def _facilities(machine: Machine, *, acceptance: bool) -> Iterable[Lack]:
    wanted = kernel_facilities.BUILD + (kernel_facilities.NODES if acceptance else ())
    as_root = [] if machine.is_root else ["sudo", "-n", "--"]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    code, said = machine.run([*as_root, *namespaces, "/bin/sh", "-c", kernel_facilities.trials(wanted)])
    if code:
        yield Lack(
            f"the kernel refuses namespaces or mounts, which the build needs: {_last(said)}",
            kernel_facilities.PRIVILEGED,
        )
        return
    for facility, reason in kernel_facilities.refused(wanted, said):
        use = "which the build needs" if facility.needed else "without which it is slower"
        yield Lack(f"the kernel refuses {facility.name}, {use}: {reason}", facility.remedy, facility.needed)


def _last(said: str) -> str:
    return next(reversed(said.strip().splitlines()), "it said nothing")


def _space(machine: Machine, needed: int) -> Iterable[Lack]:
    on_disk = needed + (0 if machine.memory >= _MEMORY_FOR_ALL else 4 << 30)
    for folder, size in ((machine.paths.dist, on_disk), (machine.paths.cache, CACHE_BYTES)):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(existing, os.W_OK):
            yield Lack(f"{existing} cannot be written", f"chown -R $(id -u) {existing}")
            continue
        free = shutil.disk_usage(existing).free
        # What is there already is counted only where it may decide: the cache of a year has many files.
        if free < size and free + (held := _held(folder)) < size:
            move = "; or XDG_CACHE_HOME=… make … keeps it elsewhere" if folder == machine.paths.cache else ""
            beside = f" beside the {held / 1e9:.1f} GB that it holds" if held >= 1e8 else ""
            yield Lack(
                f"{folder} has {free / 1e9:.1f} GB free{beside}, {size / 1e9:.1f} GB are needed",
                f"free {(size - held - free) / 1e9:.1f} GB there{move}",
            )


def _held(folder: Path) -> int:
    """Bytes on disk of what earlier builds left in a folder: the next one replaces it or uses it again."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_blocks * 512
    return total


def _memory(machine: Machine, needed: int) -> Iterable[Lack]:
    if machine.memory < needed:
        yield Lack(
            f"{machine.memory / 1e9:.1f} GB of memory are available, {needed / 1e9:.1f} GB are needed",
            "end other programs, or give the machine more memory",
        )


def _mount_options(machine: Machine) -> Iterable[Lack]:
    point, options = mount_of(machine.paths.root, machine.mountinfo)
    unfit = {"noexec"} | (set() if machine.memory >= _MEMORY_FOR_ALL else {"nodev", "nosuid"})
    for option in sorted(unfit & options):
        yield Lack(
            f"{machine.paths.root} is on {point}, which is mounted {option}: the build runs programs there",
            f"mount -o remount,{option.removeprefix('no')} {point}; or clone to another file system",
        )


def main(arguments: Sequence[str]) -> int:
    """Say what lacks for the tasks on the command line.

    Args:
        arguments: iso or acceptance.
    """
    if not arguments or set(arguments) - {"iso", "acceptance"}:
        print("usage: python3 -m iso.preflight iso|acceptance", file=sys.stderr)
        return 2
    found = lacks(Machine.here(Path(__file__).resolve().parents[1]), arguments)
    for lack in found:
        print(f"{'missing' if lack.needed else 'slower'}: {lack.what}\n    mend: {lack.remedy}", file=sys.stderr)
    return 2 if any(lack.needed for lack in found) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
