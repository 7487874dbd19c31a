"""`--events-url`: which engine carries the events."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from busnode.contract import BadRequestError
from busnode.events.memory import Memory

if TYPE_CHECKING:
    from busnode.events.bus import Bus

MEMORY = "memory:"
HELP = "the bus: memory:"


def connect(url: str) -> Bus:
    """The bus at `url`.

    Raises BadRequestError where that is no bus, or not a safe one.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return Memory()
    raise BadRequestError(f"--events-url {scheme}: no such engine; give {MEMORY}")
