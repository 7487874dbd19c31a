"""What can go wrong in a build, as messages that a user can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class BuildError(Exception):
    """The build cannot go on: what happened, where, and what to do, without a traceback."""


class BadInputError(BuildError):
    """Settings or files that are wrong from the start: all complaints at once, before any work.

    Args:
        complaints: one line each.
    """

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)
