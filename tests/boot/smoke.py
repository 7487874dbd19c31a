"""The smoke test as a program: the names of its checks, and what it printed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.house.tree import ROOT

SMOKETEST = ROOT / "iso/builder/smoketest.sh"
SMOKE_LIMIT = 600  # seconds; it takes 20 on an emulated machine that has the host to itself


@dataclass(frozen=True, slots=True)
class Verdict:
    """`word` is PASS, FAIL or SKIP."""

    word: str
    reason: str


def _checks() -> tuple[str, ...]:
    listed = re.search(r"^checks='([^']*)'", SMOKETEST.read_text(), re.MULTILINE)
    assert listed
    return tuple(listed[1].split())


CHECKS = _checks()


def verdicts(printed: str) -> dict[str, Verdict]:
    """What the smoke test printed, by the checks' names.

    Raises:
        ValueError: a line that is no verdict.
    """
    found = {}
    for line in printed.splitlines():
        match = re.fullmatch(r"(PASS|FAIL|SKIP) ([a-z-]+): (.+)", line)
        if not match:
            raise ValueError(f"no verdict of the smoke test: {line!r}")
        found[match[2]] = Verdict(match[1], match[3])
    return found
