"""doit's own `run`, with `--log-json` beside its options, and on request in a container."""

from __future__ import annotations

import functools
import sys
from typing import Any

from doit.cmd_run import Run as DoitRun

from iso import container
from iso.errors import BadInputError, explained
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
        self._options = sorted(params._non_default_keys)
        if params["log_json"]:
            params["reporter"] = JsonLines
        result: int = super().execute(params, args)
        return result

    # doit looks at the names of the arguments for what to hand in.
    @functools.wraps(DoitRun._execute)
    def _execute(self, **params: Any) -> int:
        build = self.loader.namespace["build"]
        if container.SETTING in build.settings:
            try:
                container.hand_over(build.paths, build.settings, self.sel_tasks, self._options)
            except (BadInputError, OSError) as error:
                print(explained(error), file=sys.stderr)
                return 2
        result: int = super()._execute(**params)
        return result
