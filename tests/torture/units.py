"""The units of each proof. A new proof is one more function here, from a budget to its units."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bee.parser_cases import CASES
from tests.house.tree import files
from tests.nodes.tree import SUITES
from tests.torture import runner
from tests.torture.faults import FAULTS
from tests.torture.proofs import Report, Unit
from tests.torture.signals import BASE, SIGNALS, STAGES, WITH_DRIVER
from tests.torture.sources import ROOT, closure, module_file

# The time a program may take beyond its budget, to start and to end.
_GRACE_SECONDS = 120.0
# The first of them makes the image that the others compare with; each makes one more than its seconds allow.
_BUILD_SECONDS = 1800.0
# With the lowest priority a busy machine may leave next to nothing of a budget by the clock: that is no proof.
_FEWEST_A_SECOND = 20
# To make a node and to learn its states; and of one run on a machine that has much else to do.
_NODE_SECONDS = 1200.0
_RUN_SECONDS = 120.0
# Of one request among those that wait with it.
_REQUEST_SECONDS = 4.0
_HERE = Path(__file__).parent
# The parsers' property tests; where one has a parameter, that is a parser's name.
_OF_PARSERS = "tests/bee/test_parser_properties.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much is to be done.

    Attributes:
        seed: what all choices are drawn from.
        examples: of every property test of the parsers; of the whole audit's, each slower by far, a tenth of that.
        seconds: of fuzzing every parser; its growth, and each signal at each stage, take a tenth of that.
        limit: the seconds after which a property test is killed.
        state: the folder of results, logs and what the fuzzer has learnt.
        runs: of harden, with each fault on each release.
        requests: to nodes, while what delivers them is killed.
    """

    seed: int
    examples: int
    seconds: float
    limit: float
    state: Path
    runs: int = 32
    requests: int = 1000


def growth(budget: Budget) -> list[Unit]:
    """How every parser's time grows with its input."""
    return [_of_target(name, "growth", budget, budget.seconds / 10) for name in CASES]


def fuzz(budget: Budget) -> list[Unit]:
    """Every parser, fuzzed with coverage as guide, from the recordings and the corpus on."""
    units = []
    for name in CASES:
        folder = name.replace(" ", "-")
        places = (
            "--corpus",
            str(budget.state / "corpus" / folder),
            "--findings",
            str(budget.state / "findings" / folder),
        )
        fewest = round(_FEWEST_A_SECOND * budget.seconds)
        units.append(_of_target(name, "fuzz", budget, budget.seconds, *places, read=partial(fuzzed, fewest=fewest)))
    return units


def properties(budget: Budget, folder: str = "tests/bee") -> list[Unit]:
    """Every property test below `folder`, each parameter set by itself."""
    return [_of_test(test, budget) for test in _property_tests(folder)]


def _of_test(test: str, budget: Budget) -> Unit:
    examples = budget.examples if test.startswith(_OF_PARSERS) else max(1, budget.examples // 10)
    return Unit(
        proof="property",
        name=test.removeprefix("tests/"),
        budget=f"{examples} examples",
        seed=budget.seed,
        command=(
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=0"),
            *("--hypothesis-profile=torture", f"--hypothesis-seed={budget.seed}", "--hypothesis-show-statistics"),
            test,
        ),
        environment={"TORTURE_EXAMPLES": str(examples)},
        read=tested,
        limit=budget.limit,
        sources=sources_of(test),
    )


def signals(budget: Budget) -> list[Unit]:
    """A build of the image, told to end at each of its stages with each of the signals, for a tenth of the seconds."""
    seconds = budget.seconds / 10
    program = module_file("tests.torture.signals")
    assert program is not None
    built = [path for path in files() if path.is_relative_to(ROOT / "iso") or path.is_relative_to(ROOT / "bee")]
    return [
        Unit(
            proof="signals",
            name=f"{number} at {stage}",
            budget=f"{seconds:g} s",
            seed=budget.seed,
            command=(
                *(sys.executable, "-m", "tests.torture.signals", number, stage, "--seed", str(budget.seed)),
                *("--seconds", f"{seconds:g}", "--place", str(budget.state / "signals")),
            ),
            read=runner.found,
            limit=seconds + _BUILD_SECONDS,
            sources=tuple(sorted({*closure(program), ROOT / "dodo.py", *built})),
        )
        # Those with a driver together: another image is made in between.
        for stages in ((*STAGES, BASE), WITH_DRIVER)
        for number in SIGNALS
        for stage in stages
    ]


def lockout(budget: Budget) -> list[Unit]:
    """harden on a real node of each release, with each kind of fault at a random point of it."""
    names = (f"tests.torture.{name}" for name in ("lockout", "unguarded"))
    programs = [program for name in names if (program := module_file(name))]
    shipped = [path for path in files() if path.is_relative_to(ROOT / "busnode") and path.suffix in {".sh", ".json"}]
    return [
        Unit(
            proof="lockout",
            name=f"{suite}: {fault}",
            budget=f"{budget.runs} runs",
            seed=budget.seed,
            command=(
                *(sys.executable, "-m", "tests.torture.lockout", suite, fault, "--runs", str(budget.runs)),
                *("--seed", str(budget.seed), "--place", str(budget.state / "lockout" / f"{suite}-{fault}")),
            ),
            read=runner.found,
            limit=_NODE_SECONDS + budget.runs * _RUN_SECONDS,
            sources=(*closure(*programs, ROOT / "busnode/cli.py"), _HERE / "clock.c", *shipped),
        )
        for suite in SUITES
        for fault in FAULTS
    ]


def deliveries(budget: Budget) -> list[Unit]:
    """Requests through three workers, two runners and a Redis, one or another of which is killed all along."""
    names = (f"tests.torture.{name}" for name in ("deliveries", "delivery_site"))
    programs = [program for name in names if (program := module_file(name))]
    shipped = [path for path in files() if path.is_relative_to(ROOT / "busnode") and path.suffix in {".sh", ".json"}]
    return [
        Unit(
            proof="deliveries",
            name="redis",
            budget=f"{budget.requests} requests",
            seed=budget.seed,
            command=(
                *(sys.executable, "-m", "tests.torture.deliveries", "--requests", str(budget.requests)),
                *("--seed", str(budget.seed), "--place", str(budget.state / "deliveries")),
            ),
            read=runner.found,
            limit=_NODE_SECONDS + budget.requests * _REQUEST_SECONDS,
            sources=(*closure(*programs), *shipped),
        )
    ]


PROOFS: dict[str, Callable[[Budget], list[Unit]]] = {
    "growth": growth,
    "fuzz": fuzz,
    "property": properties,
    "signals": signals,
    "lockout": lockout,
    "deliveries": deliveries,
}


def fuzzed(said: str, code: int, fewest: int = 0) -> Report:
    """What libFuzzer's last lines and our own say: executions, coverage reached (edges), inputs kept, findings.

    Fewer executions than `fewest` are a finding: the machine had no time for it.
    """
    report = runner.found(said, code)
    executions = re.search(r"^stat::number_of_executed_units: *([0-9]+)", said, re.MULTILINE)
    last = re.findall(r"cov: ([0-9]+) ft: [0-9]+ corp: ([0-9]+)/", said)
    details = {"coverage": int(last[-1][0]), "inputs": int(last[-1][1])} if last else {}
    count = int(executions[1]) if executions else 0
    starved = (f"the machine had time for {count} executions alone",) if count < fewest else ()
    return Report(count, report.findings + starved, details)


def tested(said: str, code: int) -> Report:
    """What pytest and hypothesis say: how many examples were tried, and each failure."""
    counts = re.findall(r"- ([0-9]+) passing,? .*?([0-9]+) failing", said)
    findings = tuple(f"{line.strip()[:300]}" for line in said.splitlines() if line.startswith(("FAILED ", "ERROR ")))
    examples = sum(int(passing) + int(failing) for passing, failing in counts)
    exhausted = {"exhausted": 1} if "nothing left to do" in said else {}
    return Report(examples, findings or runner.exit_findings(said, code), exhausted)


def _of_target(
    name: str, proof: str, budget: Budget, seconds: float, *more: str, read: Callable[[str, int], Report] = runner.found
) -> Unit:
    program = module_file(f"tests.torture.{proof}")
    assert program is not None
    return Unit(
        proof=proof,
        name=name,
        budget=f"{seconds:g} s",
        seed=budget.seed,
        command=(
            *(sys.executable, "-m", f"tests.torture.{proof}", name, "--seed", str(budget.seed)),
            *("--seconds", f"{seconds:g}", *more),
        ),
        read=read,
        limit=seconds * 1.5 + _GRACE_SECONDS,
        # Of all that the program imports, the parsers of other tools have no part in it.
        sources=tuple(sorted({*_parser(name), program, _HERE / "oracle.py", _HERE / "mutations.py"})),
    )


def sources_of(test: str) -> tuple[Path, ...]:
    """What the result of a property test depends on; one of a parser does not depend on other tools' parsers."""
    file, _, name = test.partition("::")
    files = set(closure(ROOT / file, ROOT / "tests/conftest.py"))
    if file == _OF_PARSERS and (parameter := re.search(r"\[(.*)\]", name)):
        files -= {path for tool in CASES for path in _parser(tool)}
        files.update(_parser(parameter[1]))
    return tuple(sorted(files))


def _parser(tool: str) -> tuple[Path, ...]:
    module = module_file(CASES[tool].module)
    assert module is not None
    return closure(module)


def _property_tests(folder: str) -> list[str]:
    command = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "hypothesis", folder)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    return [line for line in done.stdout.splitlines() if "::" in line]
