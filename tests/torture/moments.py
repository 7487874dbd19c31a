"""The moments of a harden, as they show in the node's files: looked at from outside, without a process on the node."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.nodes.node import Node

# In their order: each is the first sign of another part of the work.
MARKS = ("begun", "locked", "saving", "armed", "sshd written", "rules written", "rules loaded", "decided")
_CHANGES = {
    "locked": "run/busnode/pid",
    "sshd written": "etc/ssh/sshd_config.d/00-busnode.conf",
    "rules written": "etc/busnode/firewall.nft",
    "rules loaded": "var/lib/busnode/firewall.live",
}
_WAITING = (
    "var/lib/busnode/pending",
    "var/lib/busnode/rolling-back",
    "etc/systemd/system/busnode-rollback.timer",
    "etc/systemd/system/busnode-rollback.service",
    "etc/systemd/system/busnode-rollback-boot.service",
)
_PAUSE_SECONDS = 0.005


class Moments:
    """What a node's files have shown since this was made, which is before the work begins."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._before = {mark: self._stamp(file) for mark, file in _CHANGES.items()}
        self._armed: float | None = None
        self._decided: float | None = None

    @property
    def armed_seconds(self) -> float | None:
        """How long a change waited until it was confirmed or its rollback done; None where none was seen waiting."""
        if self._armed is None:
            return None
        return (self._decided or time.monotonic()) - self._armed

    def watch(self, seconds: float) -> None:
        """Look on for a while, at least once."""
        until = time.monotonic() + seconds
        self._look()
        while time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)
            self._look()

    def reached(self, mark: str) -> bool:
        """Whether the moment has come."""
        self._look()
        if mark in _CHANGES:
            return self._stamp(_CHANGES[mark]) != self._before[mark]
        seen = {
            "begun": True,
            "saving": self._armed is not None or self._path("var/lib/busnode/preparing").exists(),
            "armed": self._armed is not None,
            "decided": self._decided is not None,
        }
        return seen[mark]

    def unsettled(self) -> list[str]:
        """What says that a change still waits, or is worked at."""
        found = [file for file in _WAITING if self._path(file).exists()]
        if not self._path("run/busnode/lock").exists():
            return found
        lock = self._node.run("flock", "-n", "/run/busnode/lock", "true", check=False)
        return found if lock.returncode == 0 else [*found, "the node's lock"]

    def settled(self) -> bool:
        """Whether nothing waits any more; the cheap signs first."""
        return not any(self._path(file).exists() for file in _WAITING) and not self.unsettled()

    def _look(self) -> None:
        waiting = any(self._path(file).exists() for file in _WAITING[:2])
        if waiting:
            self._armed, self._decided = self._armed or time.monotonic(), None
        elif self._armed is not None and self._decided is None and self._path("var/lib").exists():
            self._decided = time.monotonic()

    def _path(self, file: str) -> Path:
        return self._node.root / file

    def _stamp(self, file: str) -> tuple[int, int] | None:
        try:
            status = self._path(file).lstat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns
