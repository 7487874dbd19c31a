"""What a build shows while it runs: a line for each stage, on a terminal a last line that moves; or JSON lines."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from doit.exceptions import TaskFailed

from iso.graph import broken_pipe, report
from iso.graph.terminal import LiveLine, clock, last_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iso.graph.stage import Step

_NUMBERED = re.compile(r"([0-9]+)([a-z]?)\. (.*)")


@dataclass(frozen=True, slots=True)
class Place:
    """A task's place in the document's sequence.

    Args:
        number: of the stage; a part of a stage, such as 6d, has its number.
        total: how many stages there are.
        title: what it is for.
    """

    number: int
    total: int
    title: str

    def __str__(self) -> str:
        width = len(str(self.total))
        return f"[{self.number:>{width}}/{self.total}] {self.title}"


def places(docs: Mapping[str, str]) -> dict[str, Place]:
    """The places of all numbered tasks.

    Args:
        docs: a task's name, to its text: a number, a letter where it is a part, a point, and what it is for.
    """
    numbered = {name: match for name, doc in docs.items() if (match := _NUMBERED.fullmatch(doc or ""))}
    total = max((int(match[1]) for match in numbered.values()), default=0)
    return {
        name: Place(int(match[1]), total, f"{match[1]}{match[2]} {match[3]}" if match[2] else match[3])
        for name, match in numbered.items()
    }


class Reporter:
    """doit's reporter interface, as events of stages; a subclass says what becomes of an event.

    Args:
        outstream: where it goes.
        _options: doit's, unused.
    """

    desc = "the stages of the build"

    def __init__(self, outstream: IO[str], _options: Mapping[str, object]) -> None:
        self.outstream = outstream
        self.places: dict[str, Place] = {}
        self.began = self.stage_began = time.monotonic()
        self.ran: list[str] = []
        self._selected: set[str] = set()
        self._failed = False
        self._message = ""

    def started(self, task: Any, step: Step) -> None:
        """A stage starts."""

    def finished(self, task: Any, seconds: float) -> None:
        """A stage ended well."""

    def cached(self, task: Any) -> None:
        """A stage need not run."""

    def failed(self, task: Any, said: str) -> None:
        """A stage failed."""

    def ended(self, outcome: str, seconds: float, message: str) -> None:
        """The build ended: succeeded, failed, interrupted or refused; the last with why."""

    def initialize(self, tasks: Mapping[str, Any], selected: list[str]) -> None:
        """The tasks are known."""
        self.places = places({name: task.doc for name, task in tasks.items()})
        self._selected = set(selected)

    def execute_task(self, task: Any) -> None:
        """doit starts a task; one without actions stands for its parts, or for the whole."""
        if task.actions and task.meta:
            self.stage_began = time.monotonic()
            self.started(task, task.meta["step"])

    def add_success(self, task: Any) -> None:
        """A task ended well."""
        if task.actions:
            self.ran.append(task.name)
            self.finished(task, time.monotonic() - self.stage_began)
        elif task.name in self.places and not any(name.startswith(f"{task.name}:") for name in self.ran):
            self.cached(task)

    def skip_uptodate(self, task: Any) -> None:
        """A task need not run; the parts of a stage are only worth a line where they were asked for."""
        if task.actions and (":" not in task.name or task.name in self._selected):
            self.cached(task)

    def add_failure(self, task: Any, fail: Any) -> None:
        """A task failed; what needs it is not worth a line of its own."""
        self._failed = True
        if fail.report:
            self.failed(task, fail.message if isinstance(fail, TaskFailed) else fail.get_msg())

    def complete_run(self) -> None:
        """doit ends, however it came to that."""
        outcome, message = "failed" if self._failed else "succeeded", self._message
        error = sys.exc_info()[1]
        if isinstance(error, KeyboardInterrupt):
            outcome = "interrupted"
        elif isinstance(error, SystemExit):
            outcome, message = "refused", str(error)
        elif error:
            outcome, message = "failed", f"{type(error).__name__}: {error}"
        self.ended(outcome, time.monotonic() - self.began, message)

    def _say(self, line: str) -> None:
        """Print a line at once.

        Raises:
            KeyboardInterrupt: nobody reads it.
        """
        try:
            self.outstream.write(f"{line}\n")
            self.outstream.flush()
        except BrokenPipeError:
            raise broken_pipe.as_interrupt() from None

    def runtime_error(self, message: str) -> None:
        """doit itself cannot go on."""
        self._failed = True
        self._message = message
        sys.stderr.write(f"{message}\n")

    def get_status(self, task: Any) -> None:
        """doit asks whether a task is up to date."""

    def skip_ignore(self, task: Any) -> None:
        """Nobody ignores a stage."""

    def teardown_task(self, task: Any) -> None:
        """No stage has a teardown."""

    def cleanup_error(self, exception: Any) -> None:
        """No stage has a teardown."""


class Lines(Reporter):
    """For people: `[ 6/14] NVIDIA's driver … cached`, and on a terminal a last line that moves."""

    def __init__(self, outstream: IO[str], options: Mapping[str, object]) -> None:
        super().__init__(outstream, options)
        self._live = LiveLine(outstream) if outstream.isatty() and os.environ.get("TERM") != "dumb" else None
        self._stdout = sys.stdout
        self._about = ""
        if self._live:
            # What a stage prints comes above the moving line.
            sys.stdout = self._live

    def started(self, task: Any, step: Step) -> None:
        """A stage starts: say so at once, it may take long."""
        seconds = report.expected(step)
        self._about = f" of about {clock(seconds)}" if seconds and seconds >= 1 else ""
        if task.name not in self.places:
            return
        place, began = self.places[task.name], self.stage_began
        if self._live:
            log = step.job.log
            self._live.show(lambda: f"{place} … {clock(time.monotonic() - began)}{self._about}  {last_line(log)}")
        elif seconds and seconds >= 1:
            self._say(f"{place} … about {clock(seconds)}")
        else:
            self._say(f"{place} …")

    def finished(self, task: Any, seconds: float) -> None:
        """A stage ended well."""
        self._stop()
        if task.name in self.places and (self._live or seconds >= 1):
            self._say(f"{self.places[task.name]} … {clock(seconds)}")

    def cached(self, task: Any) -> None:
        """A stage need not run."""
        if task.name in self.places:
            self._say(f"{self.places[task.name]} … cached")

    def failed(self, task: Any, said: str) -> None:
        """A stage failed."""
        self._stop()
        self.outstream.flush()
        sys.stderr.write(f"{task.name.lstrip('_')}: {said}\n")

    def ended(self, outcome: str, seconds: float, message: str) -> None:  # noqa: ARG002  # who is refused is told by that
        """The build ended; a failure was said when it happened."""
        self._stop()
        sys.stdout = self._stdout
        if self.ran and outcome == "succeeded":
            self._say(f"finished in {clock(seconds)}")

    def _stop(self) -> None:
        if self._live:
            self._live.stop()


class JsonLines(Reporter):
    """For programs: one JSON object a line on standard output; what stages print goes to standard error."""

    # Whether there is one, which says how the build ends.
    made = False

    def __init__(self, outstream: IO[str], options: Mapping[str, object]) -> None:
        super().__init__(outstream, options)
        type(self).made = True
        self._stdout, sys.stdout = sys.stdout, sys.stderr

    @classmethod
    def refused(cls, message: str, outstream: IO[str]) -> None:
        """A command line was refused before doit made a reporter; one that was made has told it.

        Args:
            message: why.
            outstream: where it goes.
        """
        if not cls.made:
            cls(outstream, {}).ended("refused", 0.0, message)

    def started(self, task: Any, step: Step) -> None:
        """A stage starts."""
        self._event("started", task, expected_seconds=report.expected(step), log=str(step.job.log))

    def finished(self, task: Any, seconds: float) -> None:
        """A stage ended well."""
        self._event("finished", task, seconds=round(seconds, 3))

    def cached(self, task: Any) -> None:
        """A stage need not run."""
        self._event("cached", task)

    def failed(self, task: Any, said: str) -> None:
        """A stage failed."""
        self._event("failed", task, message=said)

    def ended(self, outcome: str, seconds: float, message: str) -> None:
        """The build ended."""
        sys.stdout = self._stdout
        why = {"message": message} if message else {}
        self._write({"event": "ended", "time": time.time(), "outcome": outcome, "seconds": round(seconds, 3), **why})

    def _event(self, event: str, task: Any, **more: object) -> None:
        place = self.places.get(task.name)
        where = {"number": place.number, "total": place.total} if place else {}
        self._write({"event": event, "time": time.time(), "stage": task.name, "title": task.doc, **where, **more})

    def _write(self, event: Mapping[str, object]) -> None:
        self._say(json.dumps(event))
