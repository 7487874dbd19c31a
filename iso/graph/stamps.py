"""Which stages are done: a small file for each, beside the products, true even of a build that was killed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iso.graph.inputs import Inputs
from iso.replacement import replace_file
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a stage left behind, as it was then.

    Args:
        sha256: of its content.
        size: in bytes.
        modified: its time, in nanoseconds since 1970.
    """

    sha256: str
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> Output:
        """A file as it is."""
        status = path.stat()
        return cls(file_digest(path), status.st_size, status.st_mtime_ns)

    def stands(self, path: Path) -> bool:
        """Whether a file is still what it was; its content is read only where its time is another."""
        status = path.stat()
        return status.st_size == self.size and (status.st_mtime_ns == self.modified or file_digest(path) == self.sha256)


@dataclass(frozen=True, slots=True)
class Done:
    """A stage's success.

    Args:
        inputs: all it depended on.
        outputs: the files among what it left behind.
        commands: the commands that it ran.
        began: when, in seconds since 1970.
        seconds: how long it took.
    """

    inputs: Inputs
    outputs: dict[str, Output]
    commands: list[list[str]]
    began: float
    seconds: float

    @classmethod
    def of_dict(cls, value: dict[str, Any]) -> Done:
        """What `as_dict` gave.

        Raises:
            KeyError: a part is missing.
            TypeError: a part is something else.
        """
        return cls(
            Inputs.of_dict(value["inputs"]),
            {path: Output(**output) for path, output in value["outputs"].items()},
            value["commands"],
            value["began"],
            value["seconds"],
        )

    def as_dict(self) -> dict[str, object]:
        """It, as JSON has it."""
        return {
            "inputs": self.inputs.as_dict(),
            "outputs": {
                path: {"sha256": output.sha256, "size": output.size, "modified": output.modified}
                for path, output in self.outputs.items()
            },
            "commands": self.commands,
            "began": self.began,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Stamp:
    """What says that a stage succeeded, and of what.

    Args:
        folder: where the stamps of a checkout's stages are.
        number: the stage's place in the sequence.
        name: the stage's name.
    """

    folder: Path
    number: int
    name: str

    @property
    def file(self) -> Path:
        """Where it stands."""
        return self.folder / f"{self.number:02}-{self.name}"

    def read(self) -> Done | None:
        """The stage's success, if it had one and nothing before it ran since; a damaged stamp says none."""
        try:
            return Done.of_dict(json.loads(self.file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def void(self) -> None:
        """Forget this stage and all after it: what they made is about to be changed or to be out of date."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # The last first: however this ends, no stage counts as done after one that does not.
        for file in sorted(self.folder.iterdir(), reverse=True):
            if file.name[:2] >= f"{self.number:02}":
                file.unlink()

    def write(self, done: Done) -> None:
        """Remember the stage's success, whole or not at all.

        Args:
            done: what to remember.
        """
        replace_file(self.file, json.dumps(done.as_dict()).encode())


def outputs_of(paths: Iterable[Path]) -> dict[str, Output]:
    """The files among what a stage left behind; folders are only asked whether they are there.

    Args:
        paths: files and folders.
    """
    return {str(path): Output.of(path) for path in paths if path.is_file() and not path.is_symlink()}
