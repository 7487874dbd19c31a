"""That the harness leaves nothing: no process, namespace, mount, loop device or control group of its own."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from tests.nodes import process
from tests.nodes.network import namespace
from tests.nodes.node import CGROUP_PREFIX, cgroup_roots, remove_cgroup

KINDS = ("net", "mnt", "pid")


def processes() -> set[int]:
    """Every process of this machine."""
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*")}


def namespaces(pids: set[int]) -> set[str]:
    """The namespaces that these processes live in."""
    return {namespace(kind, pid) for pid in pids for kind in KINDS} - {""}


def descendants(ancestor: int) -> set[int]:
    """The processes that stem from `ancestor` and still run."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            parents[int(status.parent.name)] = int(fields["PPid"])
    found: set[int] = set()
    level = {ancestor}
    while level := {pid for pid, parent in parents.items() if parent in level}:
        found |= level
    return found


def mounts() -> set[str]:
    """The mount points of this process' namespace."""
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def loops() -> set[str]:
    """The files behind loop devices."""
    listing = process.run(["losetup", "--json", "--list", "--output", "BACK-FILE"]).stdout
    return {device["back-file"] for device in json.loads(listing or '{"loopdevices": []}')["loopdevices"]}


def cgroups(prefix: str) -> set[Path]:
    """The harness' control groups whose name begins so."""
    return {group for root in cgroup_roots() for group in root.glob(f"{prefix}*")}


def _sweep() -> None:
    """Remove what an earlier run left that was killed: empty control groups are all that can outlive it."""
    for group in cgroups(CGROUP_PREFIX):
        owner = group.name.removeprefix(CGROUP_PREFIX).split("-")[0]
        if not Path(f"/proc/{owner}").exists():
            remove_cgroup(group)


@contextlib.contextmanager
def nothing_left(*folders: Path) -> Iterator[None]:
    """Assert at the end that everything which was begun inside is gone; `folders` are those that it worked in."""
    _sweep()
    own = os.getpid()
    before = descendants(own)
    yield
    assert descendants(own) <= before, "processes are left"
    assert not cgroups(f"{CGROUP_PREFIX}{own}-"), "control groups are left"
    assert not {place for place in mounts() if _is_below(place, folders)}, "mounts are left"
    assert not {file for file in loops() if _is_below(file, folders)}, "loop devices are left"


def _is_below(path: str, folders: tuple[Path, ...]) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)
