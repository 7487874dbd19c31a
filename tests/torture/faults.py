"""What can befall a node, its operator and the way between them during a harden: begun, and taken away again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.nodes import process
from tests.nodes.leftovers import descendants

if TYPE_CHECKING:
    from tests.nodes.node import Node

# Where a node's programs find by how many seconds its clock has jumped (a 64 bit number).
MOVED_FILE = "/var/lib/moved-clock"
_CLOCK = Path(__file__).with_name("clock.c")
_CLOCK_LIBRARY = "/usr/local/lib/moved-clock.so"
_HOUR, _YEAR = 3600, 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault happens.

    Attributes:
        node: the node that is being hardened.
        operator: the program that hardens it.
        choices: what is left to chance is drawn from here.
    """

    node: Node
    operator: subprocess.Popen[bytes]
    choices: Random


Fault = Callable[[Scene], AbstractContextManager[str]]


@contextmanager
def connection_cut(scene: Scene) -> Iterator[str]:
    """The cable is out for a while, or the operator's ssh is gone for good."""
    if scene.choices.random() < 0.7:
        station, cable = scene.node.station, scene.node.cable
        station.pull(cable)
        yield "cable out"
        station.plug(cable)
    else:
        _kill(pid for pid in _programs(scene) if _name(pid) == "ssh")
        yield "ssh killed"


@contextmanager
def operator_killed(scene: Scene) -> Iterator[str]:
    """kill -9, of the program alone or of the ssh that it started too."""
    pids = _programs(scene)
    if scene.choices.random() < 0.5:
        pids = [pid for pid in pids if _name(pid) != "ssh"]
        said = "without its ssh"
    else:
        said = "with its ssh"
    process.kill(scene.operator)
    _kill(pids)
    yield said


@contextmanager
def node_rebooted(scene: Scene) -> Iterator[str]:
    """Its plug is pulled, or it is told to shut down; then it is switched on again."""
    if scene.choices.random() < 0.6:
        scene.node.stop()
        said = "plug pulled"
    else:
        scene.node.shut_down()
        said = "shut down"
    scene.node.start()
    scene.node.wait()
    yield said


@contextmanager
def sshd_conflict(scene: Scene) -> Iterator[str]:
    """A file as cloud-init writes it: one that loses, one that wins, or one that sshd does not take at all."""
    name, text = scene.choices.choice(
        [
            ("50-cloud-init.conf", "PasswordAuthentication yes\n"),
            ("00-a-cloud-init.conf", "PasswordAuthentication yes\nPermitRootLogin yes\n"),
            ("50-cloud-init.conf", "NoSuchKeyword yes\n"),
        ]
    )
    path = f"/etc/ssh/sshd_config.d/{name}"
    scene.node.run("tee", path, stdin=text)
    yield f"{name}: {' '.join(text.split())}"
    scene.node.run("rm", "-f", path)


@contextmanager
def no_way_in(scene: Scene) -> Iterator[str]:
    """Nothing more than the policy, which leaves ssh's port out; one operator in three is killed besides."""
    if scene.choices.random() < 0.33:
        process.kill(scene.operator)
        yield "operator killed"
    else:
        yield "operator stays"


@contextmanager
def nft_missing(scene: Scene) -> Iterator[str]:
    """The program is not where it was."""
    scene.node.run("mv", "/usr/sbin/nft", "/usr/sbin/nft.away")
    yield "nft moved away"
    scene.node.run("mv", "/usr/sbin/nft.away", "/usr/sbin/nft")


@contextmanager
def disk_full(scene: Scene) -> Iterator[str]:
    """Not a block is free."""
    filler = scene.node.storage / "filler"
    with filler.open("wb") as stream, contextlib.suppress(OSError):
        while True:
            # In pieces, down to one page: whoever frees something meanwhile must not leave us with nothing to fill.
            free = os.statvfs(scene.node.storage).f_bavail
            os.posix_fallocate(stream.fileno(), stream.seek(0, os.SEEK_END), max(1, free // 2) * 4096)
    yield "disk full"
    filler.unlink()


@contextmanager
def clock_jump(scene: Scene) -> Iterator[str]:
    """The wall clock goes forwards or backwards, by a minute or by years."""
    seconds = scene.choices.choice([60, -60, _HOUR, -_HOUR, 30 * 24 * _HOUR, -30 * 24 * _HOUR, 10 * _YEAR, -10 * _YEAR])
    _move_clock(scene.node, seconds)
    yield f"{seconds:+} s"
    _move_clock(scene.node, 0)


FAULTS: dict[str, Fault] = {
    "connection cut": connection_cut,
    "operator killed": operator_killed,
    "node rebooted": node_rebooted,
    "sshd conflict": sshd_conflict,
    "policy without ssh": no_way_in,
    "nft missing": nft_missing,
    "disk full": disk_full,
    "clock jump": clock_jump,
}


def give_movable_clock(node: Node, folder: Path) -> None:
    """Give a node that is off a clock that can jump without the machine's own: what its programs read of the time."""
    library = folder / "moved-clock.so"
    defined = f'-DMOVED_FILE="{MOVED_FILE}"'
    process.run(["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", defined, "-o", str(library), str(_CLOCK)])
    node.place(_CLOCK_LIBRARY, library.read_bytes(), mode=0o755)
    node.place(MOVED_FILE, bytes(8))
    node.place("/etc/ld.so.preload", f"{_CLOCK_LIBRARY}\n")


def _move_clock(node: Node, seconds: int) -> None:
    # In place, for every program has this very file mapped.
    with (node.disk / MOVED_FILE.lstrip("/")).open("r+b") as stream:
        stream.write(seconds.to_bytes(8, "little", signed=True))


def _programs(scene: Scene) -> list[int]:
    return [pid for pid in descendants(scene.operator.pid) if _name(pid) not in {"nsenter", "setpriv"}]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pids: Iterator[int] | list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
