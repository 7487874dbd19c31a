"""A line at the end of a terminal that moves while a tool works, and what is fit to stand in it."""

from __future__ import annotations

import re
import shutil
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A tool's own colours, cursor movements and titles have no place in our line (ECMA-48, chapter 5).
_CONTROLS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)|[\x00-\x1f\x7f-\x9f]")
# Back to the beginning of the line, clear to its end.
_CLEAR = "\r\x1b[K"
_SECONDS_BETWEEN = 0.2
# So much of a log's end is read for its last line.
_TAIL = 4096


def last_line(log: Path) -> str:
    """What a tool said last, without what only a terminal understands; empty where there is no log.

    Args:
        log: its log file.
    """
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    lines = (_CONTROLS.sub("", line).strip() for line in reversed(re.split(r"[\r\n]+", text)))
    return next(filter(None, lines), "")


def clock(seconds: float) -> str:
    """A duration as people read it: 7 s, 1:05, 1:00:05.

    Args:
        seconds: how long.
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class LiveLine:
    """The last line of a terminal, drawn again several times a second, and out of the way of all that is printed.

    Args:
        terminal: where.
    """

    def __init__(self, terminal: IO[str]) -> None:
        self._terminal = terminal
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._drawer: threading.Thread | None = None
        self._drawn = self._unfinished = False

    def show(self, text: Callable[[], str]) -> None:
        """Draw a line until `stop`.

        Args:
            text: what it says now; as much of it is shown as the terminal has room for.
        """
        self._ended.clear()
        self._drawer = threading.Thread(target=self._draw, args=(text,), daemon=True)
        self._drawer.start()

    def stop(self) -> None:
        """Draw no more, and leave an empty line."""
        if self._drawer:
            self._ended.set()
            self._drawer.join()
            self._drawer = None
            self._put("")

    def _draw(self, text: Callable[[], str]) -> None:
        while not self._ended.is_set():
            self._put(text()[: shutil.get_terminal_size().columns - 1])
            self._ended.wait(_SECONDS_BETWEEN)

    def _put(self, line: str) -> None:
        with self._turn:
            if not self._unfinished:
                self._terminal.write(f"{_CLEAR if self._drawn else ''}{line}")
                self._terminal.flush()
                self._drawn = bool(line)

    def write(self, text: str) -> int:
        """Print something above the line; it comes back by itself."""
        with self._turn:
            self._terminal.write(f"{_CLEAR if self._drawn else ''}{text}")
            self._terminal.flush()
            self._drawn, self._unfinished = False, not text.endswith("\n")
        return len(text)

    def flush(self) -> None:
        """Everything was written at once."""

    def isatty(self) -> bool:
        """It is one."""
        return True
