"""What doit loads the graph with: made before it looks at its command line, as it may print."""

from __future__ import annotations

from doit.cmd_base import DodoTaskLoader

from iso.graph import output


class Loader(DodoTaskLoader):  # type: ignore[misc]  # doit has no types
    """doit's own, for commands whose output is fit to be worked with."""

    def __init__(self) -> None:
        super().__init__()
        output.prepare()
