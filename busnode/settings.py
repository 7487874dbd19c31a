"""Settings: BUS_* names from the environment, and from ./.env where nobody else can write it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from busnode.contract import BadRequestError
from busnode.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LINE = re.compile(r"""(?:export\s+)?(BUS_[A-Z0-9_]*)=(?:'([^']*)'|"([^"]*)"|([^'"\s#]*))\s*(?:\#.*)?""")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the operator's files are."""

    targets_file: Path | None = None
    private_key: Path | None = None
    known_hosts: Path | None = None
    secrets_dir: Path | None = None

    @classmethod
    def read(
        cls, environment: Mapping[str, str], say: Callable[[str], None], env_file: Path = Path(".env")
    ) -> Settings:
        """The process environment wins over `env_file`; `say` is told where that file is not taken."""
        values = {**_env_file(env_file, say), **environment}

        def path(name: str) -> Path | None:
            return Path(values[name]) if values.get(name) else None

        return cls(
            targets_file=path("BUS_NODE_TARGETS_FILE"),
            private_key=path("BUS_SSH_PRIVATE_KEY_FILE"),
            known_hosts=path("BUS_NODE_KNOWN_HOSTS_FILE"),
            secrets_dir=path("BUS_NODE_SECRETS_DIR"),
        )

    def require_targets_file(self) -> Path:
        """Raises BadRequestError where it is not set."""
        if self.targets_file is None:
            raise BadRequestError("BUS_NODE_TARGETS_FILE is not set; export it with the path of the targets file")
        return self.targets_file

    def require_private_key(self) -> Path:
        """Raises BadRequestError where it is not set."""
        if self.private_key is None:
            raise BadRequestError("BUS_SSH_PRIVATE_KEY_FILE is not set; export it with the path of the private key")
        return self.private_key


def parse_env(text: str) -> dict[str, str]:
    """`NAME=value` lines, quoted or not, `export` or not; only names that begin with BUS_, nothing is expanded.

    >>> parse_env("export BUS_A='x y'\\nPATH=/evil\\nBUS_B=z # note")
    {'BUS_A': 'x y', 'BUS_B': 'z'}
    """
    matches = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: match[2] or match[3] or match[4] or "" for match in matches if match}


def _env_file(path: Path, say: Callable[[str], None]) -> dict[str, str]:
    try:
        # Not to wait for the other end of a FIFO.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - by descriptor
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return {}
            if status.st_mode & 0o022 or status.st_uid not in {os.geteuid(), 0}:
                say(f"{path}: ignored, for others can write it; run: chmod go-w {path}, or chown it")
                return {}
            found = parse_env(file.read(1_000_000).decode("utf-8", "replace"))
            for name in [name for name, value in found.items() if "\0" in value]:
                say(f"{path}: {name} ignored: its value holds a NUL byte; write it anew")
                del found[name]
            return found
    except FileNotFoundError:
        return {}
    except OSError as error:
        say(f"{path}: ignored: {error.strerror}")
        return {}
