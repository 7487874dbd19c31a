"""Secrets: references in, bytes out to one place only, and never into a text.

A reference is a file, or `secret://deployment/<name>`, a file of that name in the folder BUS_NODE_SECRETS_DIR.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from busnode.contract import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEME = "secret://deployment/"
MAX_BYTES = 1_000_000


class Secret:
    """Bytes that no repr, str, format or exception shows; `reveal` is the only way in."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves, for the one pipe that they are meant for."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> tuple[type[Secret], tuple[bytes]]:
        raise TypeError("a Secret is not pickled")


def locate(reference: str, base: Path, secrets_dir: Path | None) -> Path:
    """The file that `reference` names; relative files begin at `base`.

    Raises BadRequestError where it leads out of the folder of secrets, or there is no such folder.
    """
    if reference.startswith(SCHEME):
        if secrets_dir is None:
            raise BadRequestError(f"{reference}: BUS_NODE_SECRETS_DIR is not set; point it at the folder of secrets")
        try:
            folder = secrets_dir.resolve()
            path = (folder / reference.removeprefix(SCHEME)).resolve()
        except (OSError, RuntimeError) as error:
            # Until Python 3.13 a loop of symbolic links is a RuntimeError.
            raise BadRequestError(f"{reference}: {error}; correct what lies in {secrets_dir}") from error
        if path.parent != folder:
            raise BadRequestError(f"{reference}: leads out of {secrets_dir}; put the file itself into that folder")
        return path
    return base / reference


def read_private(path: Path) -> bytes:
    """The content of a regular file that group and others may not read.

    Raises BadRequestError naming the file and the remedy.
    """
    require_private(path)
    try:
        with path.open("rb") as file:
            require_private(path, file.fileno())
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadRequestError(f"{path}: {error.strerror}; create it, or correct the reference to it") from error
    if len(data) > MAX_BYTES:
        raise BadRequestError(f"{path}: larger than {MAX_BYTES} bytes; is this the right file?")
    return data


def require_private(path: Path, descriptor: int | None = None) -> None:
    """Refuse a file that group or others can read or write, as ssh does with keys."""
    try:
        status = path.stat() if descriptor is None else os.fstat(descriptor)
    except OSError as error:
        raise BadRequestError(f"{path}: {error.strerror}; create it, or correct the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise BadRequestError(f"{path}: not a regular file; give the path of a file")
    mode = stat.S_IMODE(status.st_mode)
    # The group's bit is the mask of an ACL for the service's user alone (systemd.exec(5), LoadCredential; acl(5)).
    if mode & 0o077 and not (mode & 0o037 == 0 and status.st_uid == 0 and is_credential(path, os.environ)):
        raise BadRequestError(f"{path}: mode {mode:04o} lets others read it; run: chmod 600 {path}")


def credentials_directory(environment: Mapping[str, str]) -> Path | None:
    """Where systemd puts what a service's LoadCredential names (systemd.exec(5))."""
    given = environment.get("CREDENTIALS_DIRECTORY")
    return Path(given) if given else None


def is_credential(path: Path, environment: Mapping[str, str]) -> bool:
    """Whether systemd gave it to this service, and so keeps it as it was when the service started."""
    folder = credentials_directory(environment)
    try:
        return folder is not None and path.parent.samefile(folder)
    except OSError:
        return False
