"""Which stages are done: a small file for each, beside the products, true even of a build that was killed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """What says that a stage succeeded, and with which key.

    Args:
        folder: where the stamps of a checkout's stages are.
        number: the stage's place in the sequence.
        name: the stage's name.
    """

    folder: Path
    number: int
    name: str

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.number:02}-{self.name}"

    def holds(self, key: str) -> bool:
        """Whether the stage succeeded with a key, and nothing before it ran since.

        Args:
            key: the digest of all it depends on.
        """
        try:
            return self._file.read_bytes() == f"{key}\n".encode()
        except OSError:
            return False

    def void(self) -> None:
        """Forget this stage and all after it: what they made is about to be changed or to be out of date."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # The last first: however this ends, no stage counts as done after one that does not.
        for file in sorted(self.folder.iterdir(), reverse=True):
            if file.name[:2] >= f"{self.number:02}":
                file.unlink()

    def write(self, key: str) -> None:
        """Remember the stage's success, whole or not at all.

        Args:
            key: the digest of all it depended on.
        """
        beside = self.folder / f"{self.number:02}-{self.name}.partial"
        with beside.open("w") as stream:
            stream.write(f"{key}\n")
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(self._file)
