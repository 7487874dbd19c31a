"""Why a stage would run, or that it need not: the one judgement that a build acts on and its questions print."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iso.errors import BuildError
from iso.graph.stage import ANSWER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from iso.graph.inputs import Inputs
    from iso.graph.stage import Stage, Step
    from iso.graph.stamps import Done

NOT_DONE = "not done yet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a build would do with a stage.

    Args:
        step: the stage.
        runs: whether it would run.
        why: the reasons for either.
        unless: what only the build itself finds out, and would make it otherwise; empty where all is known.
    """

    step: Step
    runs: bool
    why: tuple[str, ...] = ()
    unless: str = ""


def verdicts(steps: Iterable[Step]) -> Iterator[Verdict]:
    """What a build would do now, stage by stage; nothing is done and nobody is asked.

    Args:
        steps: stages in their order, each of which waits for those before it.

    Raises:
        BuildError: what a stage depends on cannot be told.
    """
    cause = ""
    choice: Stage | None = None
    for step in steps:
        verdict = _verdict(step, cause, choice)
        yield verdict
        if verdict.runs:
            cause = cause or step.stage.name
            choice = step.stage if step.stage.chooses else choice


def _verdict(step: Step, cause: str, choice: Stage | None) -> Verdict:
    """What happens with a stage when `cause` is the first before it that runs, and `choice` has yet to choose."""
    done = step.stamp.read()
    answer = done.inputs.settings.get(ANSWER) if done else None
    try:
        if spared := step.stage.spared(step.job):
            return Verdict(step, runs=False, why=(spared,), unless=_changed_by(choice, step))
        why = reasons(step, step.inputs_with(answer), choice.chooses if choice else ())
    except (BuildError, OSError):
        if not cause:
            raise
        # What it depends on is not there before the stages before it have run.
        why = [NOT_DONE]
    if cause and why in ([], [NOT_DONE]):
        why = [f"follows from {cause}"]
    if answer and not why:
        return Verdict(step, runs=False, unless="the mirror, asked in every build, answers otherwise")
    return Verdict(step, runs=bool(why), why=tuple(why), unless=_spared_after(choice, step))


def _changed_by(choice: Stage | None, step: Step) -> str:
    """Why a stage that is spared now may not be; a driver that nobody wants is wanted after no choice either."""
    depends = choice and not step.stage.inputs(step.job).settings.keys().isdisjoint(choice.chooses)
    return f"{choice.name} changes that" if choice and depends else ""


def _spared_after(choice: Stage | None, step: Step) -> str:
    """Why a stage that is not spared now may be: a cache is asked for what was chosen last."""
    return f"a cache has what {choice.name} chooses" if choice and step.stage.can_be_spared else ""


def reasons(step: Step, inputs: Inputs, chosen: Collection[str] = ()) -> list[str]:
    """Why a stage must run; nothing where it need not.

    Args:
        step: the stage.
        inputs: what it depends on now.
        chosen: settings that a stage before it has yet to choose: as they are they tell nothing.
    """
    done = step.stamp.read()
    if done is None:
        return [NOT_DONE]
    changes = inputs.without(chosen).changes_since(done.inputs.without(chosen))
    return [*changes, *_lost(step.stage.outputs(step.job), done, step.job.paths.root)]


def _lost(outputs: Iterable[Path], done: Done, root: Path) -> list[str]:
    lost = []
    for path in outputs:
        name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        if not os.path.lexists(path):
            lost.append(f"{name} is missing")
        elif str(path) in done.outputs and not done.outputs[str(path)].stands(path):
            lost.append(f"{name} is not what the stage left")
    return lost
