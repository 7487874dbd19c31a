"""`doit explain`: for each stage, whether it would run and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso.commands.question import Question
from iso.graph.printable import printable
from iso.graph.verdict import verdicts

if TYPE_CHECKING:
    from iso.graph.verdict import Verdict

# So many reasons stand on a stage's line; the others are counted.
_SHOWN = 3


class Explain(Question):
    """What would run, and why."""

    name = "explain"
    doc_purpose = "say for each stage whether it would run, and why"

    def answer(self) -> int:
        """One line a stage."""
        for verdict in verdicts(self.steps()):
            print(line(verdict), flush=True)
        return 0


def line(verdict: Verdict) -> str:
    """A stage, what would happen with it, and the reasons.

    Args:
        verdict: the judgement.
    """
    shown = [printable(why) for why in verdict.why[:_SHOWN]]
    if len(verdict.why) > _SHOWN:
        shown.append(f"and {len(verdict.why) - _SHOWN} more")
    outcome = "run" if verdict.runs else "cached"
    unless = f"unless {verdict.unless}" if verdict.unless else ""
    said = ", ".join(filter(None, ["; ".join(shown), unless]))
    return f"{verdict.step.stage.name:<18} {outcome:<7} {said}".rstrip()
