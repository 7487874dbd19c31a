"""The kept results as a document: what was run, with which seed and budget, and what came of it."""

from __future__ import annotations

import platform
from itertools import groupby
from pathlib import Path

from tests.torture.proofs import Result, read_result

_HEAD = """\
# What the long proofs have shown

Written by `make torture ARGS=--summary`; [torture.md](torture.md) says how to run them and how to read this.
`code` is a digest of what ran; where `make torture ARGS=--list` shows another, the code has changed since.
"""
_COLUMNS = ("unit", "budget", "seed", "executions", "seconds", "processor seconds")
_LAST_COLUMNS = ("code", "outcome")


def kept(*states: Path) -> list[Result]:
    """All results in some state folders, by proof and name."""
    found = (read_result(path) for state in states for path in sorted((state / "results").glob("*.json")))
    return sorted((result for result in found if result), key=lambda result: (result.proof, result.name))


def table(results: list[Result]) -> str:
    """The results in Markdown, a table a proof."""
    parts = [_HEAD, f"Python {platform.python_version()} on {platform.machine()}.\n"]
    for proof, group in groupby(results, key=lambda result: result.proof):
        rows = list(group)
        total = sum(row.executions for row in rows)
        ended = sum(row.outcome == "passed" for row in rows)
        parts.append(f"## {proof}\n\n{ended} of {len(rows)} units passed, {total:,} executions in all.\n")
        details = sorted({name for row in rows for name in row.details})
        columns = (*_COLUMNS, *(name.replace("_", " ") for name in details), *_LAST_COLUMNS)
        lines = [_row(columns), _row(("---",) * len(columns)), *(_row(_cells(row, details)) for row in rows)]
        parts.append("\n".join(lines) + "\n")
        said = [f"- `{row.name}`: {finding}" for row in rows for finding in row.findings]
        if said:
            parts.append("\n".join(said) + "\n")
    return "\n".join(parts)


def _cells(result: Result, details: list[str]) -> tuple[str, ...]:
    return (
        f"`{result.name}`".replace("|", r"\|"),
        result.budget,
        str(result.seed),
        f"{result.executions:,}",
        f"{result.seconds:.0f}",
        f"{result.cpu_seconds:.0f}",
        *(str(result.details.get(name, "")) for name in details),
        f"`{result.code}`",
        result.outcome,
    )


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
