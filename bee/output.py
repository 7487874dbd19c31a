"""Where a command's result goes: a file that is whole or not there, or stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bee import audit as flow
from bee.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable


def written(output: str, make: Callable[[], bytes], before: Callable[[bytes], str | None] = lambda _: None) -> bytes:
    """What `make` makes, once it stands at `output` (`-`: stdout); `before` that a file's content goes to `before`.

    Raises:
        BadInputError: it cannot be written there, which is found out before anything is made as far as that can be.
    """
    try:
        if output != "-":
            flow.check_writable(output)
        content = make()
        if output != "-":
            flow.write(output, content, lambda: before(content))
    except flow.OutputError as error:
        raise BadInputError(str(error)) from None
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    return content
