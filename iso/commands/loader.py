"""What doit loads the graph with: made before it looks at its command line, so that what ails that is one line."""

from __future__ import annotations

import sys

from doit.cmd_base import DodoTaskLoader

from iso.graph import output


class Loader(DodoTaskLoader):  # type: ignore[misc]  # doit has no types
    """doit's own, for commands whose output and words are fit to be worked with."""

    def __init__(self) -> None:
        super().__init__()
        output.prepare()
        if "" in sys.argv[1:]:
            from iso.graph.refusal import refuse  # noqa: PLC0415  # seldom needed, and each import counts

            # doit looks at the first letter of each word.
            refuse(["an empty word on the command line: leave it out"])
