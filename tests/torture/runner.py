"""Run units one after another, each in a session of its own; those that have their result already are left out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.torture.proofs import Report, Result, Unit, read_result, write_result

ROOT = Path(__file__).resolve().parents[2]


def run(units: Iterable[Unit], state: Path, say: Callable[[str], None] = print) -> list[Result]:
    """The results of all units: those kept in `state` that still hold, and those of the units run now.

    Args:
        units: in the order in which they are to run.
        state: a folder; it gets `results/` and `logs/`.
        say: is told of every unit, a line each.
    """
    results = []
    for unit in units:
        kept = read_result(state / "results" / unit.file_name)
        if kept is not None and kept.is_of(unit):
            say(f"kept     {unit.title}")
            results.append(kept)
            continue
        result = run_one(unit, state)
        write_result(state / "results" / unit.file_name, result)
        say(f"{result.outcome:8} {unit.title}: {result.executions} executions in {result.seconds:.0f} s")
        for finding in result.findings:
            say(f"    {finding}")
        results.append(result)
    return results


def run_one(unit: Unit, state: Path) -> Result:
    """Run one unit to its end or its limit. Interrupted, it takes the unit's whole group down and keeps no result."""
    log = (state / "logs" / unit.file_name).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    code, begin, cpu_begin = unit.code(), time.monotonic(), _cpu_of_children()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            unit.command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **unit.environment},
        )
        _give_way(process.pid)
        stopped = False
        try:
            process.wait(unit.limit)
        except subprocess.TimeoutExpired:
            stopped = True
        finally:
            _kill_group(process)
    said = log.read_text(errors="replace")
    report = unit.read(said, process.returncode)
    return Result(
        proof=unit.proof,
        name=unit.name,
        budget=unit.budget,
        seed=unit.seed,
        code=code,
        outcome="stopped" if stopped else "failed" if report.findings else "passed",
        seconds=round(time.monotonic() - begin, 1),
        cpu_seconds=round(_cpu_of_children() - cpu_begin, 1),
        executions=report.executions,
        findings=(f"killed after {unit.limit:g} s",) if stopped else report.findings,
        details=report.details,
    )


def _give_way(session: int) -> None:
    """Give a session this process's priority: nice(1) counts only within one (sched(7), autogroup)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{session}/autogroup").write_text(str(os.nice(0)))


def exit_findings(said: str, code: int) -> tuple[str, ...]:
    """A finding for a program that did not end as it should, with the last line that it said."""
    if code == 0:
        return ()
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
    return (f"it ended with {code}, saying: {last[:200]}",)


def found(said: str, code: int) -> Report:
    """Read what our own programs say: `FINDING …` lines, `NAME: NUMBER` lines, one of these `executions`."""
    lines = said.splitlines()
    findings = tuple(line.removeprefix("FINDING ")[:500] for line in lines if line.startswith("FINDING "))
    pairs = (line.partition(": ") for line in lines)
    numbers = {name: int(value) for name, _, value in pairs if name.isidentifier() and value.isdecimal()}
    executions = numbers.pop("executions", 0)
    return Report(executions, findings or exit_findings(said, code), numbers)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system
