"""What the benchmark programs have in common: how they are asked, and how they print what was seen."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from benchmarks.timing import Row


def parser(target: str, doc: str | None, names: Iterable[str], runs: int, of_what: str) -> argparse.ArgumentParser:
    """For `make TARGET ARGS=…`: names of benchmarks, and `--runs`; `of_what` says what is run so often."""
    made = argparse.ArgumentParser(prog=f"make {target} ARGS=…", description=(doc or "").split("\n", maxsplit=1)[0])
    made.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)} (default: all)")
    made.add_argument("--runs", type=int, default=runs, help=f"of {of_what}")
    return made


def parsed(parser: argparse.ArgumentParser, names: Collection[str]) -> argparse.Namespace:
    """The command line; ends the program where it names none of `names`. Without a name `names` are all."""
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown or arguments.runs < 1:
        parser.error(f"there is no benchmark {min(unknown)!r}" if unknown else "--runs is 1 or more")
    arguments.names = arguments.names or list(names)
    return arguments


def heading(runs: int) -> str:
    """The line above a table of rows."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} processors, load {load:.1f}; median (least to most), {runs} runs"


def shown(rows: Iterable[Row]) -> int:
    """Print each row as it comes; how many limits were missed."""
    missed = 0
    for row in rows:
        print(row, flush=True)
        missed += row.limit is not None and row.seen.median > row.limit
    return missed
