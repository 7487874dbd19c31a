"""Run the long proofs; what has its result already is left out, so that a stopped run is taken up where it was.

make torture ARGS='--only fuzz --seconds 60 --seed 7'
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.torture import runner, summary, units
from tests.torture.sources import ROOT

if TYPE_CHECKING:
    from tests.torture.proofs import Unit


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make torture ARGS=…", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--seed", type=int, default=1, help="what all choices are drawn from (default: 1)")
    parser.add_argument(
        "--examples",
        type=int,
        default=100_000,
        help="of each of the parsers' property tests; of others a tenth (default: 100000)",
    )
    parser.add_argument("--seconds", type=float, default=600, help="of fuzzing every parser (default: 600)")
    parser.add_argument(
        "--limit", type=float, default=7200, help="seconds after which a property test is killed (default: 7200)"
    )
    parser.add_argument("--runs", type=int, default=32, help="of harden, with each fault on each release (default: 32)")
    parser.add_argument("--requests", type=int, default=1000, help="whose delivery is disturbed (default: 1000)")
    parser.add_argument(
        "--only", metavar="TEXT", action="append", help="the units whose title has TEXT in it, such as 'fuzz: lspci'"
    )
    parser.add_argument(
        "--state",
        type=Path,
        action="append",
        help="where results are kept (default: .torture); --summary reads more than one",
    )
    parser.add_argument("--list", action="store_true", help="name the units and run none")
    parser.add_argument(
        "--summary", action="store_true", help="print the results that are kept, as a table, and run none"
    )
    parser.add_argument(
        "--earlier", type=Path, metavar="FILE", help="an earlier --summary, for the units that the folders do not have"
    )
    return parser.parse_args(words)


def _chosen(budget: units.Budget, only: list[str] | None) -> list[Unit]:
    """The units whose title has one of `only` in it; a proof that none of these can mean is not even asked."""
    elsewhere = {name: tuple(f"{other}: " for other in units.PROOFS if other != name) for name in units.PROOFS}
    return [
        unit
        for name, proof in units.PROOFS.items()
        if not only or not all(text.startswith(elsewhere[name]) for text in only)
        for unit in proof(budget)
        if not only or any(text in unit.title for text in only)
    ]


def _summary(states: list[Path], earlier: Path | None) -> int:
    try:
        results = summary.kept(*states, earlier=earlier.read_text() if earlier else "")
    except OSError as error:
        print(f"--earlier {earlier}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError:
        print(f"--earlier {earlier}: no table that --summary wrote", file=sys.stderr)
        return 2
    print(summary.table(results), end="")
    return 0


def main(words: list[str] | None = None) -> int:
    """Run what must run. Exit code 0: all passed; 1: something was found, or stopped; 130: interrupted."""
    arguments = _arguments(words)
    states = arguments.state or [ROOT / ".torture"]
    if arguments.summary:
        return _summary(states, arguments.earlier)
    budget = units.Budget(
        seed=arguments.seed,
        examples=arguments.examples,
        seconds=arguments.seconds,
        limit=arguments.limit,
        state=states[0].resolve(),
        runs=arguments.runs,
        requests=arguments.requests,
    )
    chosen = _chosen(budget, arguments.only)
    if not chosen:
        print(f"no unit has {' or '.join(map(repr, arguments.only))} in its title; --list names them", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(f"{unit.title}  ({unit.budget}, code {unit.code()})" for unit in chosen))
        return 0
    print(f"seed {budget.seed}, {len(chosen)} units, results in {states[0]}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.nice(max(0, 19 - os.nice(0)))
    try:
        results = runner.run(chosen, budget.state, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    passed = sum(result.outcome == "passed" for result in results)
    print(f"{passed} of {len(results)} units passed")
    return 0 if passed == len(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
