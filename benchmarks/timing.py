"""Times of programs that run in turn, so that what else the machine does falls on each of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of every run: by the clock, and of the processor, the program's children included."""

    wall: tuple[float, ...]
    processor: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some numbers, with the smallest and the largest."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `limit` is the most that the median may be; None: for comparison alone."""

    what: str
    seen: Spread
    unit: str
    limit: float | None

    def __str__(self) -> str:
        if self.limit is None:
            verdict = ""
        else:
            verdict = f"at most {self.limit:g}: {'kept' if self.seen.median <= self.limit else 'MISSED'}"
        return f"{self.what:52} {self.seen!s:26} {self.unit:16} {verdict}"


def spread(numbers: Sequence[float]) -> Spread:
    return Spread(statistics.median(numbers), min(numbers), max(numbers))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratio of each run to the run beside it."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def in_turn(commands: Mapping[str, Sequence[str]], runs: int) -> dict[str, Times]:
    """Run each command `runs` times, A B C A B C …, after a round that is not counted.

    Raises:
        subprocess.CalledProcessError: a command failed; a failure's time is no measurement.
    """
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            seen[name].append(_once(command))
    return {name: Times(*zip(*pairs[1:], strict=True)) for name, pairs in seen.items()}


def _once(command: Sequence[str]) -> tuple[float, float]:
    before, begin = os.times(), time.monotonic()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = time.monotonic() - begin, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used
