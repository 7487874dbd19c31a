"""`doit plan`: what a build would do, with its command lines and the time that each stage took the last time."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from iso.commands.question import Question
from iso.errors import BuildError, explained
from iso.graph import report
from iso.graph.progress import places
from iso.graph.tasks import REPORT
from iso.graph.terminal import clock
from iso.graph.verdict import verdicts

if TYPE_CHECKING:
    from iso.graph.stage import Step


class Plan(Question):
    """What would be done."""

    name = "plan"
    doc_purpose = "print what would run, with its commands and expected times, without doing it"

    def answer(self) -> int:
        """A line for each stage that would run, and below it its commands."""
        docs = {task.name: task.doc for task in self.task_list}
        shown = places(docs)
        # The report of the others takes no time.
        stages = [verdict.step for verdict in verdicts(self.steps()) if verdict.runs]
        running = [step for step in stages if step.stage.name != REPORT]
        for step in running:
            seconds = report.expected(step)
            time = f" … about {clock(seconds)}" if seconds is not None else ""
            print(f"{shown.get(step.stage.name, docs[step.stage.name])}{time}")
            for command in commands(step):
                print(f"    {command}")
        print(_total(running))
        return 0


def commands(step: Step) -> list[str]:
    """A stage's command lines, as a shell would take them.

    Args:
        step: the stage.
    """
    try:
        return [shlex.join(command) for command in step.stage.cmdline(step.job)]
    except (BuildError, OSError) as error:
        return [f"# known when the stages before it have run: {explained(error)}"]


def _total(running: list[Step]) -> str:
    if not running:
        return "nothing to do"
    known = [seconds for step in running if (seconds := report.expected(step)) is not None]
    unknown = len(running) - len(known)
    if not known:
        return f"{len(running)} to run; no earlier build says how long that takes"
    more = f" and {unknown} of unknown length" if unknown else ""
    return f"{len(running)} to run, about {clock(sum(known))}{more}"
