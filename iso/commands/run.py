"""doit's own `run`, with `--log-json`, on request in a container, and at its end at once where nothing was touched."""

from __future__ import annotations

import functools
import sys
from typing import Any

from doit import reporter
from doit.cmd_run import Run as DoitRun
from doit.dependency import DbmDB, JsonDB, SqliteDB
from doit.exceptions import InvalidCommand, InvalidDodoFile, InvalidTask

from iso.graph import unchanged


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

    # For other packages' backends and reporters doit reads the metadata of all that is installed, each time anew: a
    # tenth of a build with nothing to do, and there are none here.
    def get_backends(self) -> dict[str, Any]:
        """doit's own databases, by name."""
        return self._chosen("backend", {"dbm": DbmDB, "json": JsonDB, "sqlite3": SqliteDB})

    def get_reporters(self) -> dict[str, Any]:
        """doit's own reporters, by name."""
        kinds = {
            "console": reporter.ConsoleReporter,
            "executed-only": reporter.ExecutedOnlyReporter,
            "json": reporter.JsonReporter,
            "zero": reporter.ZeroReporter,
            "error-only": reporter.ErrorOnlyReporter,
        }
        return self._chosen("reporter", kinds)

    def _chosen(self, option: str, kinds: dict[str, Any]) -> dict[str, Any]:
        """What an option's value may be, told to its parser."""
        if option in self.cmdparser:
            self.cmdparser[option].choices = {name: getattr(kind, "desc", "") for name, kind in kinds.items()}
        return kinds

    def execute(self, params: Any, args: list[str]) -> int:
        """Run the tasks that are named.

        Args:
            params: values of the options.
            args: names of tasks.
        """
        self._options = sorted(params._non_default_keys)
        params["outfile"] = _outfile(params["outfile"])
        words = unchanged.asked(sys.argv[1:])
        before = unchanged.state(words) if words is not None else ""
        if lines := unchanged.said(before):
            from iso.graph import broken_pipe  # noqa: PLC0415  # here and below: loaded where it is needed, and not before

            broken_pipe.ends_questions()
            print("\n".join(lines), flush=True)
            return 0
        if params["log_json"]:
            from iso.graph.progress import JsonLines  # noqa: PLC0415

            params["reporter"] = JsonLines
        result = self._told(params, args)
        build = self.loader.namespace.get("build")
        if before and words is not None and result == 0 and build and not build.ran:
            unchanged.remember(before, unchanged.state(words), _cached_lines(self.task_list))
        return result

    def _told(self, params: Any, args: list[str]) -> int:
        """Run them; programs are also told of what is refused before there is a reporter."""
        try:
            result: int = super().execute(params, args)
        except (SystemExit, InvalidCommand, InvalidDodoFile, InvalidTask) as refusal:
            if params["log_json"]:
                from iso.graph.progress import JsonLines  # noqa: PLC0415

                JsonLines.refused(str(refusal), params["outfile"])
            raise
        return result

    # doit looks at the names of the arguments for what to hand in.
    @functools.wraps(DoitRun._execute)
    def _execute(self, **params: Any) -> int:
        from iso import container  # noqa: PLC0415
        from iso.errors import BadInputError, explained  # noqa: PLC0415
        from iso.graph.refusal import refuse  # noqa: PLC0415

        build = self.loader.namespace["build"]
        if params["num_process"]:
            refuse([f"-n {params['num_process']}: each stage waits for the one before it: leave it out"])
        if container.SETTING in build.settings:
            try:
                container.hand_over(build.paths, build.settings, self.sel_tasks, self._options)
            except (BadInputError, OSError) as error:
                refuse([explained(error)])
        result: int = super()._execute(**params)
        return result


def _outfile(outfile: Any) -> Any:
    """Where the build is told, of what doit has for its option -o: a name, or what standard output was at its start."""
    if not isinstance(outfile, str):
        return sys.stdout
    from iso.errors import explained  # noqa: PLC0415
    from iso.graph import output  # noqa: PLC0415
    from iso.graph.refusal import refuse  # noqa: PLC0415

    try:
        return output.to_file(outfile)
    except OSError as error:
        refuse([explained(error)])


def _cached_lines(tasks: list[Any]) -> list[str]:
    """What a build says of its stages when none of them runs."""
    from iso.graph.progress import places  # noqa: PLC0415

    numbered = places({task.name: task.doc for task in tasks})
    return [f"{place} … cached" for name, place in numbered.items() if ":" not in name]
