"""Stages as doit tasks: what doit must know to run, skip and report them."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit import doit_cmd
from doit.exceptions import TaskFailed

from iso import lock, shell
from iso.errors import BadInputError, BuildError, explained
from iso.graph import broken_pipe, report
from iso.graph.inputs import Inputs
from iso.graph.progress import Lines
from iso.graph.refusal import refuse
from iso.graph.stage import Stage, Step
from iso.graph.stamps import Done, Stamp, outputs_of
from iso.graph.verdict import reasons
from iso.paths import Paths
from iso.urls import without_userinfo
from iso.versions import Config, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

Task = dict[str, Any]  # doit's own shape of a task
# The task that stands for all stages, and reports on them.
REPORT = "iso"


# Tasks are listed as they are defined, with their subtasks; what a stage prints is shown.
# doit keeps nothing: it would write only when it ends, and a killed build must be remembered as it was (stamps.py).
DOIT_CONFIG = {
    "default_tasks": ["iso"],
    "sort": "definition",
    "subtasks": True,
    "verbosity": 2,
    "backend": "sqlite3",
    "dep_file": ":memory:",
    "reporter": Lines,
}


class UpToDate:
    """doit's question whether a stage may be skipped.

    Args:
        step: the stage.
        build: whose checkout must be its own before anything is believed.
    """

    def __init__(self, step: Step, build: Build) -> None:
        self.step, self.build = step, build

    def __call__(self) -> bool:
        self.build.hold()
        stage, job = self.step.stage, self.step.job
        try:
            if stage.spared(job):
                return True
            if reasons(self.step, self.step.inputs()):
                return False
            if remark := stage.remark(job):
                print(remark, flush=True)
            return True
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
        self.steps: list[Step] = []
        self._previous: list[str] = []
        self.settings = settings
        self.ran: set[str] = set()
        self._lock: int | None = None
        broken_pipe.ends_questions()
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
        """The task that stands for all stages, by way of the last: it reports how the image came to be."""
        return self._task(
            Stage(
                name=REPORT,
                run=lambda job: report.write(self.steps[:-1], self.ran, job.config, job.paths),
                inputs=lambda job: Inputs(settings=report.settings(job.config)),
                outputs=lambda job: [job.paths.report],
            )
        )

    def hold(self) -> None:
        """Have the checkout for this build alone until it ends; say who has it and end where that is another."""
        if self._lock is None:
            broken_pipe.ends_no_build()
            # What is made is not by who makes it; secrets have modes of their own.
            os.umask(0o022)
            if sys.prefix != sys.base_prefix:
                # The .venv: setup-builder.sh waits with a change of it, and a prune of the cache spares a container's.
                lock.use(Path(sys.prefix))
            try:
                self._lock = lock.hold(self.paths.lock)
            except (BuildError, OSError) as error:
                raise SystemExit(explained(error)) from None

    def _task(self, stage: Stage) -> Task:
        stamp = Stamp(self.paths.stamps, len(self.steps), stage.name)
        step = Step(stage, stage.job(self.config, self.paths), stamp)
        self.steps.append(step)
        return {
            "actions": [(self._run, [step])],
            "uptodate": [UpToDate(step, self)],
            "task_dep": self._previous,
            "meta": {"step": step},
        }

    def _run(self, step: Step) -> TaskFailed | None:
        self.hold()
        job = step.job
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            job.log.unlink(missing_ok=True)
            # What it depends on, read before it runs: a change while it runs must show the next time.
            inputs = step.inputs()
            step.stamp.void()
            began, clock = time.time(), time.monotonic()
            with shell.recording() as commands:
                step.stage.run(job)
            seconds = round(time.monotonic() - clock, 3)
            outputs = outputs_of(step.stage.outputs(job))
            step.stamp.write(Done(inputs, outputs, commands, began, seconds))
            self.ran.add(step.stage.name)
        except BrokenPipeError:
            raise broken_pipe.as_interrupt() from None
        except (BuildError, OSError) as error:
            return TaskFailed(f"{explained(error)}\n  this stage alone: {self._again(step.stage.name)}")
        return None

    def _again(self, name: str) -> str:
        """The command that repeats one stage, with the settings of this build: a password in a URL is to be added."""
        settings = (f"{key}={without_userinfo(value)}" for key, value in self.settings.items())
        return shlex.join([".venv/bin/doit", "-s", name, *settings])


def _without_traceback(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("\ninterrupted: what was finished is remembered", file=sys.stderr)
    else:
        sys.__excepthook__(kind, value, trace)


def _configured(paths: Paths, settings: dict[str, str]) -> Config:
    try:
        return load(paths, settings)
    except BadInputError as error:
        refuse(error.complaints)
