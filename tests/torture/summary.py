"""The kept results as a document: what was run, with which seed and budget, and what came of it."""

from __future__ import annotations

import platform
import re
from dataclasses import replace
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


def kept(*states: Path, earlier: str = "") -> list[Result]:
    """All results in some state folders, by proof and name.

    Args:
        states: the folders. Of a unit that more than one has, the last one's result counts.
        earlier: a document that `table` wrote where these folders were not: what they lack is taken from it.
    """
    paths = (path for state in states for path in sorted((state / "results").glob("*.json")))
    found = [*results_in(earlier), *(result for path in paths if (result := read_result(path)))]
    by_unit = {(result.proof, result.name): result for result in found}
    return [by_unit[unit] for unit in sorted(by_unit)]


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


def results_in(document: str) -> list[Result]:
    """The results that `table` showed, which rounded the seconds.

    Raises:
        ValueError: it is no such document.
    """
    results: list[Result] = []
    proof, details = "", []
    for line in document.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith("## "):
            proof = line.removeprefix("## ")
        elif cells[:1] == ["unit"]:
            details = [name.replace(" ", "_") for name in cells[len(_COLUMNS) : -len(_LAST_COLUMNS)]]
        elif cells and cells[0].startswith("`"):
            results.append(_result(proof, details, cells))
        elif results and line.startswith("- `"):
            name, _, finding = line.removeprefix("- `").partition("`: ")
            at = [(result.proof, result.name) for result in results].index((proof, name))
            results[at] = replace(results[at], findings=(*results[at].findings, finding))
    return results


def _result(proof: str, details: list[str], cells: list[str]) -> Result:
    name, budget, seed, executions, seconds, cpu_seconds, *counted, code, outcome = cells
    return Result(
        proof=proof,
        name=name.strip("`").replace(r"\|", "|"),
        budget=budget,
        seed=int(seed),
        code=code.strip("`"),
        outcome=outcome,
        seconds=float(seconds),
        cpu_seconds=float(cpu_seconds),
        executions=int(executions.replace(",", "")),
        findings=(),
        details={name: int(count) for name, count in zip(details, counted, strict=True) if count},
    )


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
