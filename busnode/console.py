"""Where the command line says what: results whole or not at all, everything else on standard error."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from busnode import view
from busnode.contract import BadRequestError, BusnodeError
from busnode.records import dataclass

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

PROGRAM = "bus operator node"


@dataclass(frozen=True, slots=True)
class Console:
    """What is said where: results to `results` or `output`, all else to standard error.

    `beside` is where a result grows before it takes the place of the file `output`.
    """

    results: TextIO | None
    output: Path | None
    beside: Path | None
    json: bool
    quiet: bool
    verbose: bool
    color: bool

    def say(self, text: str) -> None:
        """A diagnostic, unless quiet."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """An error, also when quiet: one line each."""
        with told():
            for line in text.splitlines():
                print(f"{PROGRAM}: {view.printable(line)}", file=sys.stderr, flush=True)

    def show(self, document: object, text: str) -> None:
        """The result, once, as the format wants it. Raises ResultLostError where it cannot be written."""
        out = json.dumps(document, indent=2) if self.json else text
        if self.output is None:
            _print(out, self.results)
            return
        try:
            (self.beside or self.output).write_text(out + "\n", encoding="utf-8")
            if self.beside is not None:
                self.beside.replace(self.output)
        except OSError as error:
            _print(out, self.results)
            raise ResultLostError(f"{self.output}: {error.strerror}; the result is on standard output") from error

    def prepare(self) -> None:
        """See that there is a place for the result while nothing has been sent yet.

        Raises BadRequestError where there is none.
        """
        if self.output is None:
            if self.results is None:
                raise BadRequestError("standard output is closed; give --output FILE")
            return
        try:
            if self.output.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if self.beside is not None:
                self.beside.touch(exist_ok=False)
        except OSError as error:
            raise BadRequestError(f"{self.output}: {error.strerror}; give another --output") from error

    def discard(self) -> None:
        """Leave nothing half-written."""
        if self.beside is not None:
            with contextlib.suppress(OSError):
                self.beside.unlink(missing_ok=True)


class ResultLostError(BusnodeError):
    """The operation ended, and what it says could not be written where it should be."""


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What is said on standard error inside: whoever read it may have gone, and the work and its result go on."""
    try:
        yield
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """What could not be written would be tried, and complained of, once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:
        return
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # Whoever read has had enough; the exit code still says how it went.
        _silence(stream)
    except OSError as error:
        _silence(stream)
        raise ResultLostError(f"the result cannot be written: {error.strerror}") from error


def console_of(options: argparse.Namespace) -> Console:
    """What the global flags ask for."""
    # Without standard output there is None.
    terminal = options.output is None and sys.stdout is not None and sys.stdout.isatty()
    color = options.color == "always" or (options.color == "auto" and terminal and "NO_COLOR" not in os.environ)
    output = None if options.output is None else options.output.absolute()
    return Console(
        results=sys.stdout,
        output=output,
        beside=None if output is None else _beside(output),
        json=options.format == "json" or (options.format is None and not terminal),
        quiet=options.quiet,
        verbose=options.verbose,
        # Never a code on what is no terminal, whatever was asked for.
        color=color and terminal,
    )


def _beside(output: Path) -> Path | None:
    """None for a folder, and for a device or a FIFO, which is written to itself."""
    with contextlib.suppress(OSError):
        if output.exists() and not output.is_file():
            return None
    return output.with_name(f".{output.name}.{os.getpid()}")
