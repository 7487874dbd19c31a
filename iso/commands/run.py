"""doit's own `run`, with `--log-json` beside its options."""

from __future__ import annotations

from typing import Any

from doit.cmd_run import Run as DoitRun

from iso.graph.progress import JsonLines


class Run(DoitRun):  # type: ignore[misc]  # doit has no types
    """Run tasks."""

    name = "run"
    cmd_options = (
        *DoitRun.cmd_options,
        {
            "name": "log_json",
            "long": "log-json",
            "type": bool,
            "default": False,
            "help": "print the events of the build as JSON lines, for programs",
        },
    )

    def execute(self, params: Any, args: list[str]) -> int:
        """Run the tasks that are named.

        Args:
            params: values of the options.
            args: names of tasks.
        """
        if params["log_json"]:
            params["reporter"] = JsonLines
        result: int = super().execute(params, args)
        return result
