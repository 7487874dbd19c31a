"""`doit plan`: what a build would do, with its command lines and the time that each stage took the last time."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from iso.commands.question import Question
from iso.errors import BuildError, explained
from iso.graph import report
from iso.graph.printable import printable
from iso.graph.progress import places
from iso.graph.tasks import REPORT
from iso.graph.terminal import clock
from iso.graph.verdict import verdicts

if TYPE_CHECKING:
    from iso.graph.stage import Step
    from iso.graph.verdict import Verdict


class Plan(Question):
    """What would be done."""

    name = "plan"
    doc_purpose = "print what would run, with its commands and expected times, without doing it"

    def answer(self) -> int:
        """A line for each stage that would run, and below it its commands."""
        docs = {task.name: task.doc for task in self.task_list}
        shown = places(docs)
        # The report of the others takes no time.
        running = [each for each in verdicts(self.steps()) if each.runs and each.step.stage.name != REPORT]
        for verdict in running:
            name, seconds = verdict.step.stage.name, report.expected(verdict.step)
            time = f" … about {clock(seconds)}" if seconds is not None else ""
            unless = f", unless {verdict.unless}" if verdict.unless else ""
            print(f"{shown.get(name, docs[name])}{time}{unless}")
            for command in commands(verdict.step):
                print(f"    {printable(command)}")
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


def _total(running: list[Verdict]) -> str:
    if not running:
        return "nothing to do"
    # What a cache may spare is not counted: it is most of a build's time, and seldom spent.
    certain = [verdict.step for verdict in running if not verdict.unless]
    known = [seconds for step in certain if (seconds := report.expected(step)) is not None]
    unknown, spared = len(certain) - len(known), len(running) - len(certain)
    if not known:
        return f"{len(running)} to run; no earlier build says how long that takes"
    more = f" and {unknown} of unknown length" if unknown else ""
    less = f", without {spared} that a cache may spare" if spared else ""
    return f"{len(running)} to run, about {clock(sum(known))}{more}{less}"
