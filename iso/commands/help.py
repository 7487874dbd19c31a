"""doit's own `help`, whose reader may have had enough: it loads no graph, which would see to that."""

from __future__ import annotations

from typing import Any

from doit.cmd_help import Help as DoitHelp

from iso.graph import broken_pipe


class Help(DoitHelp):  # type: ignore[misc]  # doit has no types
    """Show help."""

    name = "help"

    def execute(self, params: Any, args: list[str]) -> int:
        """Print what is asked for.

        Args:
            params: values of the options.
            args: a task, a command, or nothing.
        """
        broken_pipe.ends_questions()
        status: int = super().execute(params, args)
        return status
