"""How each step of the audit went, and what every tool it ran did."""

from __future__ import annotations

from bee.views.document import integer, rows, strings, text
from bee.views.html.drawing import icon
from bee.views.html.markup import Markup, element
from bee.views.html.parts import NOT_KNOWN, NOTHING, Row, folded, table

_SIGNS = {"ok": "ok", "partial": "warning", "failed": "critical"}


def collectors(document: dict[str, object]) -> Markup:
    """A row a step with its state and reasons; below, every tool's run."""
    steps = rows(document, "collectors")
    runs = [(step, run) for step in steps for run in rows(step, "tools")]
    return element(
        "section",
        element(
            "h2", "How it was seen", element("small", f"in {text(document, 'seconds', '?')} s"), id="collectors-title"
        ),
        table(
            "Steps of the audit", ("Step", "State", "Why", "Took"), [_step(step) for step in steps], numeric=("Took",)
        )
        or element("p", "The audit lists no step.", class_="unknown"),
        folded(
            "Tools that were run",
            table("Tools", _HEAD, [_run(*pair) for pair in runs], numeric=("Took",)),
            count=len(runs),
        )
        if runs
        else None,
        id="collectors",
        aria_labelledby="collectors-title",
    )


def _step(step: dict[str, object]) -> Row:
    status = text(step, "status", "")
    reasons = strings(step, "reasons")
    return Row(
        (
            text(step, "name", ""),
            element("span", icon(_SIGNS.get(status, "unknown")), status or NOT_KNOWN, class_="verdict"),
            element("ul", [element("li", reason) for reason in reasons], class_="plain") if reasons else NOTHING,
            f"{text(step, 'seconds', '?')} s",
        )
    )


_HEAD = ("Command", "Step", "Outcome", "Took")


def _run(step: dict[str, object], run: dict[str, object]) -> Row:
    outcome = text(run, "outcome", "")
    code, number = integer(run, "exit_code"), integer(run, "signal")
    how = outcome if code is None else f"{outcome}, code {code}"
    how += f", signal {number}" if number is not None else ""
    how += ", left behind" if run.get("left_behind") is True else ""
    command = element("code", " ".join(strings(run, "args")) or "?")
    return Row((command, text(step, "name", ""), how, f"{text(run, 'seconds', '?')} s"))
