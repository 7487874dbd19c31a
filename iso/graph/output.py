"""Where a command prints: a full disk, a closed descriptor or another encoding ends nothing in a traceback."""

from __future__ import annotations

import atexit
import codecs
import contextlib
import io
import os
import sys
from typing import Any

from iso.graph.printable import printable

# What an encoding lacks is written so that it is still read; anything else as Python would write it in a literal.
_PLAIN = {"…": "...", "→": "->"}
_ERRORS = "iso.plain"
_STREAMS = ("stdin", "stdout", "stderr")


class Output(io.TextIOWrapper):
    """What is printed, which ends the command in one line where it cannot be written; a broken pipe stays one."""

    shown = "standard output"

    def write(self, text: str) -> int:
        """Write a text.

        Raises:
            SystemExit: it cannot be written.
        """
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._lost(error) from None

    def flush(self) -> None:
        """Write what was kept back.

        Raises:
            SystemExit: it cannot be written.
        """
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> SystemExit:
        print(f"{self.shown}: {error.strerror}", file=sys.stderr)
        # What could not be written would be tried, and complained of, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        return SystemExit(1)


class Errors(io.TextIOWrapper):
    """Standard error, by which no name of a file and no tool has a terminal do anything."""

    def write(self, text: str) -> int:
        """Write a text, of one line or several; where it cannot be written, there is nobody to tell."""
        with contextlib.suppress(OSError):
            super().write(printable(text, kept="\n\t"))
        return len(text)


def prepare() -> None:
    """Have all three streams, and two of them take any text; asked before anything is printed."""
    for number, name in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            _occupy(number)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115  # for good
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    codecs.register_error(_ERRORS, _plainly)
    sys.stderr = _in_place_of(sys.__stderr__, Errors)
    sys.stdout = _in_place_of(sys.__stdout__, Output)
    atexit.register(_finish, sys.stdout)


def to_file(name: str) -> Output:
    """The same into a file, which is written anew.

    Args:
        name: its path.

    Raises:
        OSError: it cannot be opened.
    """
    out = Output(open(name, "wb"), "utf-8", "backslashreplace")  # noqa: PTH123, SIM115  # open until the command ends
    out.shown = name
    atexit.register(_finish, out)
    return out


def _in_place_of(stream: Any, kind: type[io.TextIOWrapper]) -> io.TextIOWrapper:
    buffering = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    return kind(stream.buffer, stream.encoding, _ERRORS, **buffering)


def _occupy(number: int) -> None:
    """Put the null device in the place of a closed descriptor, which the next file to be opened would take."""
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:
        os.set_inheritable(null, True)
    else:
        os.dup2(null, number)
        os.close(null)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    written = (_PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters)
    return "".join(written), error.end


def _finish(out: io.TextIOWrapper) -> None:
    """The last of what was printed, while an exit status can still say that it is lost."""
    try:
        out.flush()
    except SystemExit:
        os._exit(1)
    except (OSError, ValueError):
        # A broken pipe, whose reader had enough; or it was closed by whoever had it.
        return
