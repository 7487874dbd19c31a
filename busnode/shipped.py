"""Files that travel with this package, in a folder as in the zip archive that a host of services runs.

`busnode://NAME` refers to one, where an inventory names a file to place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from busnode.contract import BadRequestError

if TYPE_CHECKING:
    from importlib.abc import ResourceLoader

SCHEME = "busnode://"
PROGRAMS = "busnode.pyz"
"""The one-file program of the services, made of this very package."""


def data(name: str) -> bytes:
    """The file `name` of the package's folder. Raises OSError where there is none."""
    # The loader reads from both; importlib.resources takes longer to import than all of an operation's own code.
    assert __spec__ is not None
    return cast("ResourceLoader", __spec__.loader).get_data(str(Path(__file__).parent / name))


def text(name: str) -> str:
    """The same as text."""
    return data(name).decode("utf-8")


def referred(reference: str) -> bytes:
    """What `busnode://NAME` leads to: a unit, or the programs. Raises BadRequestError for what is none of these."""
    name = reference.removeprefix(SCHEME)
    if name == PROGRAMS:
        from busnode.services import archive  # noqa: PLC0415 - only who installs the services makes it

        return archive.programs()
    try:
        if "/" in name or not name.endswith(".service"):
            raise FileNotFoundError
        return data(f"units/{name}")
    except OSError:
        message = f"busnode has no such file of its own; give {SCHEME}{PROGRAMS} or one of its units"
        raise BadRequestError(f"{reference}: {message}") from None
