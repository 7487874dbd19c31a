"""The standard streams of a command that may be started by a service or read by a program that goes away."""

# ruff: noqa: PTH123 - no pathlib: start-up counts

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def open_closed() -> None:
    """A service may start with stdout or stderr closed; then they are None, and what goes there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115 - open as long as the process


def silence(stream: TextIO) -> None:
    """Send the rest to nowhere: its reader has gone, and the interpreter's own flush at exit would complain."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def can_show(text: str, stream: TextIO) -> bool:
    """Whether the stream's encoding has every character of a text."""
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def show(text: str, stream: TextIO) -> None:
    """Print whatever the stream's encoding is: a serial console may know ASCII alone."""
    encoding = stream.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding), file=stream)
