"""What a long proof is made of: units, each a program with a budget and a seed, and the result that is kept of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

OUTCOMES = ("passed", "failed", "stopped")


@dataclass(frozen=True, slots=True)
class Report:
    """What a unit's program said of itself.

    Attributes:
        executions: how often what is under test ran.
        findings: what is wrong, a line each.
        details: what else is worth keeping, such as the coverage reached.
    """

    executions: int = 0
    findings: tuple[str, ...] = ()
    details: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One part of a proof, which runs as a program of its own and can be stopped and run again.

    Attributes:
        proof: the proof it belongs to, one word.
        name: which part of it.
        budget: how much it is to do, as text; another budget is another result.
        seed: what its choices are drawn from.
        command: the program, started in the root of the checkout.
        read: its output (stdout and stderr as one) and its exit code as a report.
        limit: the seconds after which it is killed.
        sources: the files that its result depends on.
        environment: what the program's environment has beside ours.
    """

    proof: str
    name: str
    budget: str
    seed: int
    command: tuple[str, ...]
    read: Callable[[str, int], Report]
    limit: float
    sources: tuple[Path, ...]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.proof}: {self.name}"

    @property
    def file_name(self) -> str:
        """The result's file: a name that may be read, and a digest, since unlike names may become alike."""
        readable = "".join(c if c.isalnum() else "-" for c in self.title)[-80:]
        return f"{readable}.{hashlib.sha256(self.title.encode()).hexdigest()[:8]}.json"

    def code(self) -> str:
        """A digest of the sources: results of other code are no results of this."""
        digest = hashlib.sha256()
        for path in self.sources:
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)}\n".encode() + content)
        return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a unit. `outcome` is one of OUTCOMES; stopped: it was killed, and is run again next time."""

    proof: str
    name: str
    budget: str
    seed: int
    code: str
    outcome: str
    seconds: float
    cpu_seconds: float
    executions: int
    findings: tuple[str, ...]
    details: dict[str, int]

    def is_of(self, unit: Unit) -> bool:
        """Whether `unit` need not run again: it came to an end with this budget, this seed and this code."""
        same = (self.proof, self.name, self.budget, self.seed) == (unit.proof, unit.name, unit.budget, unit.seed)
        return same and self.outcome == "passed" and self.code == unit.code()


def read_result(path: Path) -> Result | None:
    """The result in a file; None where there is none, or none that this version wrote."""
    try:
        values = json.loads(path.read_bytes())
        return Result(**{**values, "findings": tuple(values["findings"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_result(path: Path, result: Result) -> None:
    """Put a result into its file in one step, so that a kill leaves the old one or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(dataclasses.asdict(result), indent=1) + "\n")
    temporary.replace(path)
