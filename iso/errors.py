"""What can go wrong in a build, as messages that a user can act on."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class BuildError(Exception):
    """The build cannot go on: what happened, where, and what to do, without a traceback."""


class MissingProgramError(BuildError):
    """A program that this machine does not have.

    Args:
        program: its name.
    """

    def __init__(self, program: str) -> None:
        super().__init__(f"{program}: this program is not installed on this machine")


class BadInputError(BuildError):
    """Settings or files that are wrong from the start: all complaints at once, before any work.

    Args:
        complaints: one line each.
    """

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


def explained(error: BuildError | OSError) -> str:
    """What went wrong, and with which file, as one line without a traceback.

    Args:
        error: what was raised.
    """
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # shutil.copytree gathers what went wrong with each file: source, target, reason.
        _source, target, reason = error.args[0][0]
        return f"{target}: {reason}"
    if not isinstance(error, OSError):
        return str(error)
    said = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        said += ": what is done is kept, free some and build again"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS} and error.filename:
        said += f": it belongs to another user, or its file system is read-only (this is user {os.geteuid()})"
    return f"{error.filename}: {said}" if error.filename else said
