"""Stages as doit tasks: what doit must know to run, skip and report them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit import doit_cmd
from doit.exceptions import TaskFailed
from doit.reporter import ConsoleReporter

from iso import shell
from iso.errors import BadInputError, BuildError
from iso.paths import Paths
from iso.versions import Config, configure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from iso.stage import Job, Stage

Task = dict[str, Any]  # doit's own shape of a task


class Reporter(ConsoleReporter):  # type: ignore[misc]  # doit has no types
    """One line when a stage starts, one with its time when it took some; a failure is said once, in its own words."""

    def execute_task(self, task: Any) -> None:
        """A stage starts."""
        self._begin = time.monotonic()
        if task.actions and not task.name.startswith("_"):
            self.write(f".  {task.name}: {task.doc}\n")
            self.outstream.flush()

    def add_success(self, task: Any) -> None:
        """A stage ended well."""
        seconds = time.monotonic() - self._begin
        if task.actions and seconds >= 1:
            self.write(f"   {task.name}: {seconds:.0f} s\n")

    def skip_uptodate(self, task: Any) -> None:
        """A stage need not run."""
        if task.actions and not task.name.startswith("_"):
            self.write(f"-- {task.name}: up to date\n")

    def add_failure(self, task: Any, fail: Any) -> None:
        """A stage failed; what needs it is not worth a line of its own."""
        if fail.report:
            said = fail.message if isinstance(fail, TaskFailed) else fail.get_msg()
            sys.stderr.write(f"{task.name.lstrip('_')}: {said}\n")

    def complete_run(self) -> None:
        """Everything was said when it happened."""


# Tasks are listed as they are defined, with their subtasks; what a stage prints is shown.
DOIT_CONFIG = {
    "default_tasks": ["iso"],
    "sort": "definition",
    "subtasks": True,
    "verbosity": 2,
    "backend": "json",
    "reporter": Reporter,
}


class UpToDate:
    """doit's question whether a stage may be skipped: its key is that of its last success, and its outputs are there.

    Args:
        stage: the stage.
        job: what it works on.
    """

    def __init__(self, stage: Stage, job: Job) -> None:
        self.stage, self.job = stage, job

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        try:
            key = self.stage.key(self.job)
            task.value_savers.append(lambda: {"key": key})
            if self.stage.spared(self.job):
                return True
            outputs = self.stage.outputs(self.job)
            return values.get("key") == key and all(os.path.lexists(output) for output in outputs)
        except (BuildError, OSError):
            # The stage meets the same trouble, and says it.
            return False


class Build:
    """One build of one checkout: makes doit's tasks of stages, each waiting for the one before it.

    Args:
        root: the checkout.
        settings: key=value pairs of the command line.
    """

    def __init__(self, root: Path, settings: dict[str, str]) -> None:
        self.paths = Paths.of(root)
        self.config = _configured(self.paths, settings)
        self._previous: list[str] = []
        shell.terminate_as_interrupt()
        sys.excepthook = _without_traceback

    @classmethod
    def of_command_line(cls, dodo: str) -> Build:
        """The build of the checkout that a dodo.py lies in, with the settings given to doit.

        Args:
            dodo: path of the dodo.py.
        """
        # doit's public get_var gives settings by name only, which would let unknown ones pass.
        return cls(Path(dodo).resolve().parent, dict(doit_cmd._CMDLINE_VARS or {}))

    def stage(self, stage: Stage) -> Task:
        """The task of a stage, after those made before it."""
        task = self._task(stage)
        self._previous = [stage.name]
        return task

    def stages(self, name: str, stages: tuple[Stage, ...]) -> Iterator[Task]:
        """A task of several stages, one after the other."""
        for stage in stages:
            yield self._task(stage) | {"name": stage.name.partition(":")[2], "doc": stage.summary}
            self._previous = [stage.name]
        self._previous = [name]

    def result(self) -> Task:
        """The task that stands for all stages, by way of the last."""
        return {"actions": None, "task_dep": self._previous}

    def _task(self, stage: Stage) -> Task:
        return {
            "actions": [(self._run, [stage])],
            "uptodate": [UpToDate(stage, stage.job(self.config, self.paths))],
            "task_dep": self._previous,
        }

    def _run(self, stage: Stage) -> TaskFailed | None:
        job = stage.job(self.config, self.paths)
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            job.log.unlink(missing_ok=True)
            stage.run(job)
        except BuildError as error:
            return TaskFailed(str(error))
        except OSError as error:
            return TaskFailed(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return None


def _without_traceback(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("\ninterrupted: what was finished is remembered", file=sys.stderr)
    else:
        sys.__excepthook__(kind, value, trace)


def _configured(paths: Paths, settings: dict[str, str]) -> Config:
    try:
        return configure(paths.versions.read_text(), settings)
    except OSError as error:
        sys.exit(_refused([f"{paths.versions}: {error.strerror}"]))
    except BadInputError as error:
        sys.exit(_refused(error.complaints))


def _refused(complaints: tuple[str, ...] | list[str]) -> int:
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 2
