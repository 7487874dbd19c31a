"""How often a request was begun on this host, for a bus that does not count: one that ends its workers is told so."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

# Longer than anybody repeats a request.
KEPT_SECONDS = 86_400.0


class Attempts:
    """A file for each request that is under way, one byte for each time that it was begun.

    Whoever is at it holds the file's lock (flock(2)), so that another worker's request is no attempt. Where nothing
    can be written every attempt is the first. Not for several threads: whoever has it holds a lock.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[tuple[str, str], int] = {}
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for file in folder.iterdir():
                if file.stat().st_mtime < time.time() - KEPT_SECONDS:
                    file.unlink()

    def begin(self, name: str, correlation_id: str) -> int:
        """Which attempt this is, counted from 1."""
        try:
            file = os.open(self._file(name, correlation_id), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return 1
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(file, b".")
        except OSError:
            os.close(file)
            return 1
        self._held[name, correlation_id] = file
        return os.fstat(file).st_size

    def end(self, name: str, correlation_id: str) -> None:
        """The request was answered."""
        file = self._held.pop((name, correlation_id), None)
        if file is not None:
            with suppress(OSError):
                self._file(name, correlation_id).unlink(missing_ok=True)
            os.close(file)

    def leave(self, name: str, correlation_id: str) -> None:
        """It was not: the next one at it is told how often it was begun."""
        file = self._held.pop((name, correlation_id), None)
        if file is not None:
            os.close(file)

    def take_back(self, name: str, correlation_id: str) -> None:
        """It was not begun after all: this attempt is none."""
        file = self._held.get((name, correlation_id))
        if file is not None:
            with suppress(OSError):
                os.ftruncate(file, os.fstat(file).st_size - 1)
        self.leave(name, correlation_id)

    def _file(self, name: str, correlation_id: str) -> Path:
        words = f"{name}\n{correlation_id}".encode("utf-8", "surrogatepass")
        return self._folder / hashlib.sha256(words).hexdigest()
