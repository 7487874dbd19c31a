"""What a stage of the build is: what it depends on, what it runs, what it leaves behind."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iso.graph import imports
from iso.graph.inputs import Inputs
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from iso.graph.stamps import Stamp
    from iso.paths import Paths
    from iso.versions import Config


def _never(_job: Job) -> str | None:
    """Of a stage that nothing spares."""
    return None


# What the mirror's answer is called among the inputs of a stage that asks.
ANSWER = "the mirror's answer"


@dataclass(frozen=True, slots=True)
class Job:
    """What a stage works on.

    Args:
        config: the build as asked for.
        paths: the checkout's folders.
        log: where the stage's tools write.
    """

    config: Config
    paths: Paths
    log: Path


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the document's build sequence.

    Args:
        name: its task's name; also its log's.
        run: does it.
        inputs: all it depends on, told without doing anything: while that stays the same and the outputs are there,
            it need not run.
        asks: what only the mirror can tell, an input like the others: asked in a build, never by a question.
        cmdline: the commands that it would run, told without doing anything; none where it only copies files.
        summary: what it is for, where its task has no text of its own.
        outputs: what it leaves behind.
        remark: what to say of it in a run that skips it.
        spared: why there is nothing to do, whatever happened before, as when a cache has the result; else None.
        chooses: settings of later stages that are as this one leaves them: before it has run nobody can tell them.
    """

    name: str
    run: Callable[[Job], None]
    inputs: Callable[[Job], Inputs]
    asks: Callable[[Job], str | None] = lambda _job: None
    cmdline: Callable[[Job], list[list[str]]] = lambda _job: []
    summary: str = ""
    outputs: Callable[[Job], list[Path]] = lambda _job: []
    remark: Callable[[Job], str | None] = lambda _job: None
    spared: Callable[[Job], str | None] = _never
    chooses: tuple[str, ...] = ()

    @property
    def can_be_spared(self) -> bool:
        """Whether a cache may have its result."""
        return self.spared is not _never

    def job(self, config: Config, paths: Paths) -> Job:
        """What it works on in one build; each stage has a log of its own."""
        return Job(config, paths, paths.logs / f"{self.name}.log")


@dataclass(frozen=True, slots=True)
class Step:
    """A stage in its place in one build.

    Args:
        stage: the stage.
        job: what it works on.
        stamp: what says that it is done.
    """

    stage: Stage
    job: Job
    stamp: Stamp

    def inputs(self) -> Inputs:
        """What it depends on now; the mirror is asked where only that can tell."""
        return self.inputs_with(self.stage.asks(self.job))

    def inputs_with(self, answer: str | None) -> Inputs:
        """What it depends on now, the code that does it included.

        Args:
            answer: what the mirror said, where it was asked.
        """
        root = self.job.paths.root
        code = imports.closure(Path(inspect.getfile(self.stage.run)), root)
        files = {str(file.relative_to(root)): file_digest(file) for file in code}
        asked = {} if answer is None else {ANSWER: answer}
        return self.stage.inputs(self.job) | Inputs(files, asked)
