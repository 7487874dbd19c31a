"""Commands of doit about its own database, which here is empty: each says where what it is about is kept."""

from __future__ import annotations

import sys
from typing import Any

from doit.cmd_base import Command


class _Elsewhere(Command):  # type: ignore[misc]  # doit has no types
    """A command that would do nothing, and says what does it."""

    doc_usage = ""
    doc_description = None
    instead: str

    def __init_subclass__(cls) -> None:
        # doit's help asks the class, not an instance.
        cls.doc_purpose = f"not here: {cls.instead}"

    def execute(self, _params: Any, _args: list[str]) -> int:
        """Say it.

        Returns:
            2, as for all that is asked for wrongly.
        """
        print(f"doit {self.name}: {self.instead}", file=sys.stderr)
        return 2


class Clean(_Elsewhere):
    """Remove results."""

    name = "clean"
    instead = "rm -rf dist removes all results"


class Forget(_Elsewhere):
    """Have stages run again."""

    name = "forget"
    instead = "rm -r dist/stamps has all stages run again, doit -s STAGE one of them"


class Ignore(_Elsewhere):
    """Leave stages out."""

    name = "ignore"
    instead = "no stage can be left out; doit explain says which would run, and why"


class ResetDep(_Elsewhere):
    """Take stages as done."""

    name = "reset-dep"
    instead = "a stage is done when it has run; doit explain says which would run, and why"


class DumpDb(_Elsewhere):
    """Show what is known of earlier runs."""

    name = "dumpdb"
    instead = "what is done stands in dist/stamps, a file for each stage"


class Info(_Elsewhere):
    """Show a task."""

    name = "info"
    instead = "doit explain says why a stage would run, doit plan what it would do"
