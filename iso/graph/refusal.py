"""How a command that is not begun at all ends: what is wrong, a line each on standard error, and exit status 2."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Never

from iso.graph.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

STATUS = 2


class Refused(SystemExit):
    """It was said why; what is told of it once more is the text.

    Args:
        complaints: one line each.
    """

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__(STATUS)
        self.complaints = tuple(complaints)

    def __str__(self) -> str:
        return "\n".join(self.complaints)


def refuse(complaints: Sequence[str]) -> Never:
    """Say what is wrong and end.

    Args:
        complaints: one line each.

    Raises:
        Refused: always.
    """
    print(*map(printable, complaints), sep="\n", file=sys.stderr)
    raise Refused(complaints)
