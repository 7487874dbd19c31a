"""One step of the audit under way: it runs the tools, and remembers how they ended and what could not be seen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from bee.background import Task
from bee.machine import MAX_OUTPUT_BYTES, Machine, Run
from bee.model import Collector, ToolRun

if TYPE_CHECKING:
    from collections.abc import Callable

Part = TypeVar("Part")

MAX_NOTES = 50
_MAX_OUTPUT = f"{MAX_OUTPUT_BYTES // 2**20} MiB"


class Step:
    """Where one collector gets its data from. `log` takes (level, text); level is one of error, info."""

    def __init__(self, name: str, machine: Machine, log: Callable[[str, str], None]) -> None:
        self.name = name
        self.machine = machine
        self._log = log
        self._begin = time.monotonic()
        self._reasons: list[str] = []
        self._tools: list[ToolRun] = []
        self._begun: dict[tuple[str, ...], Task[Run]] = {}
        self.troubled = False

    def ahead(self, *args: str, limit: float) -> None:
        """Begin a tool now whose output `run` will ask for later, so that slow tools are waited for side by side.

        What the audit says never depends on it, only how long the audit takes.
        """
        if args not in self._begun and self.machine.has_tool(args[0]):
            self._begun[args] = Task(lambda: self.machine.run(*args, limit=limit))

    def run(
        self,
        *args: str,
        limit: float,
        good_exits: tuple[int, ...] | range = (0,),
        refusals: tuple[str, ...] | None = None,
    ) -> bytes | None:
        """Run a tool for at most `limit` seconds; its output, None when it is missing or could not be started.

        `refusals` are for a tool whose bad exit may be an answer: what it prints on stdout then is one, and on stderr
        what holds one of these words. One that ends badly without either has failed.

        Whatever came before a time limit, a kill or a bad exit is given too: half a table is better than none, and the
        trouble is on record.
        """
        begun = self._begun.pop(args, None)
        run = self.machine.run(*args, limit=limit) if begun is None else begun.result()
        self._keep(run)
        if run.outcome == "missing":
            self.absent(f"{args[0]} is not installed")
            return None
        trouble = None if refusals is not None and _is_answer(run, refusals) else _trouble(run, limit, good_exits)
        if trouble is not None:
            self.trouble(trouble)
        return None if run.outcome == "unstartable" else run.stdout

    def _keep(self, run: Run) -> None:
        self._tools.append(
            ToolRun(
                args=run.args,
                outcome=run.outcome,
                exit_code=run.exit_code,
                signal=run.signal,
                seconds=round(run.seconds, 3),
                left_behind=run.left_behind,
            )
        )
        self._log("info", f"{self.name}: {' '.join(run.args)}: {run.outcome}, {run.seconds:.3f} s")

    def settle(self) -> None:
        """Wait for what was begun ahead and never asked for, as when lsblk fails: it ran, and is on record."""
        for args in sorted(self._begun):
            self._keep(self._begun.pop(args).result())

    def absent(self, reason: str, *, silent: bool = False) -> None:
        """There is nothing to see, or nothing to see it with. `silent` keeps it off stderr; the audit has it."""
        if reason not in self._reasons:
            self._reasons.append(reason)
            self._log("info" if silent else "error", f"{self.name}: {reason}")

    def trouble(self, reason: str) -> None:
        """Something went wrong, so that the part is not complete."""
        self.troubled = True
        self.absent(reason)

    def report(self, *, complete: bool) -> Collector:
        """What the audit's `collectors` list says of this step; `complete` when there is a part at all."""
        without_part = "failed" if self.troubled else "skipped"
        with_part = "partial" if self._reasons else "ok"
        return Collector(
            name=self.name,
            status=with_part if complete else without_part,
            reasons=tuple(self._reasons),
            seconds=round(time.monotonic() - self._begin, 3),
            tools=tuple(self._tools),
        )


def _is_answer(run: Run, refusals: tuple[str, ...]) -> bool:
    said = run.stderr.decode("utf-8", "replace").casefold()
    return run.outcome == "exited" and (bool(run.stdout.strip()) or any(word.casefold() in said for word in refusals))


def _trouble(run: Run, limit: float, good_exits: tuple[int, ...] | range) -> str | None:
    if run.outcome == "exited" and run.exit_code in good_exits:
        return None
    left = "; it could not be killed and was left behind" if run.left_behind else ""
    how = {
        "timeout": f"did not end within {limit:g} s{left or ' and was killed'}",
        "flooded": f"printed more than {_MAX_OUTPUT} and was killed; the rest is not read{left}",
        "stopped": f"was stopped: the audit's deadline had come{left}",
        "unasked": f"was not run: {run.args[0]} got no answer before",
        "killed": f"was killed by signal {run.signal}{_said(run)}",
        "unstartable": f"cannot be started{_said(run)}",
        "exited": f"ended with exit code {run.exit_code}{_said(run)}",
    }
    return f"{' '.join(run.args)} {how[run.outcome]}"


def _said(run: Run) -> str:
    """The first line that the tool gave as its reason."""
    lines = [line.strip() for line in run.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {lines[0]}" if lines else ""


def bounded(notes: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """At most MAX_NOTES of `notes`, and how many more there were."""
    if len(notes) <= MAX_NOTES:
        return tuple(notes)
    return (*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES} more")
