"""Why a stage would run, or that it need not: the one judgement that a build acts on and its questions print."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iso.errors import BuildError
from iso.graph.stage import ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from iso.graph.inputs import Inputs
    from iso.graph.stage import Step
    from iso.graph.stamps import Done

NOT_DONE = "not done yet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a build would do with a stage.

    Args:
        step: the stage.
        runs: whether it would run.
        why: the reasons for either.
    """

    step: Step
    runs: bool
    why: tuple[str, ...] = ()


def verdicts(steps: Iterable[Step]) -> Iterator[Verdict]:
    """What a build would do now, stage by stage; nothing is done and nobody is asked.

    Args:
        steps: stages in their order, each of which waits for those before it.

    Raises:
        BuildError: what a stage depends on cannot be told.
    """
    cause = ""
    for step in steps:
        verdict = _verdict(step, cause)
        yield verdict
        if verdict.runs and not cause:
            cause = step.stage.name


def _verdict(step: Step, cause: str) -> Verdict:
    """What happens with a stage when `cause` is the first before it that runs."""
    done = step.stamp.read()
    answer = done.inputs.settings.get(ANSWER) if done else None
    try:
        if spared := step.stage.spared(step.job):
            # A hidden stage settles the kernel, which decides what a cache is asked for.
            undecided = cause.startswith("_") and "kernel" in step.stage.inputs(step.job).settings
            return Verdict(step, runs=False, why=(f"{spared}, unless {cause} changes that" if undecided else spared,))
        why = reasons(step, step.inputs_with(answer))
    except (BuildError, OSError):
        if not cause:
            raise
        # What it depends on is not there before the stages before it have run.
        why = [NOT_DONE]
    if cause and why in ([], [NOT_DONE]):
        why = [f"follows from {cause}"]
    if answer and not why:
        return Verdict(step, runs=False, why=("unless the mirror, asked in every build, answers otherwise",))
    return Verdict(step, runs=bool(why), why=tuple(why))


def reasons(step: Step, inputs: Inputs) -> list[str]:
    """Why a stage must run; nothing where it need not.

    Args:
        step: the stage.
        inputs: what it depends on now.
    """
    done = step.stamp.read()
    if done is None:
        return [NOT_DONE]
    return [*inputs.changes_since(done.inputs), *_lost(step.stage.outputs(step.job), done, step.job.paths.root)]


def _lost(outputs: Iterable[Path], done: Done, root: Path) -> list[str]:
    lost = []
    for path in outputs:
        name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        if not os.path.lexists(path):
            lost.append(f"{name} is missing")
        elif str(path) in done.outputs and not done.outputs[str(path)].stands(path):
            lost.append(f"{name} is not what the stage left")
    return lost
