"""The commands that look at a machine, this one or a recorded one: `bee audit` and `bee record`."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

from bee import audit as flow
from bee import settings
from bee.cli import silence
from bee.commands import BadInput, show_summary
from bee.machine import Live
from bee.model import printable

if TYPE_CHECKING:
    import argparse

    from bee.model import Audit
    from bee.settings import Settings


def audit(arguments: argparse.Namespace) -> int:
    """`bee audit`: JSON to the file (or stdout), the summary to stdout (or stderr, when stdout carries the JSON)."""
    _end_in_order()
    chosen = _settings(arguments)
    output = arguments.output
    try:
        if output != "-":
            flow.check_writable(output)
        content = flow.serialise(_look(arguments, chosen))
        if output != "-":
            flow.write(output, content)
    except flow.OutputError as error:
        raise BadInput(str(error)) from None
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    stream = sys.stderr if output == "-" else sys.stdout
    try:
        show_summary(content, stream)
        stream.flush()
    except OSError:
        # The audit is written, and that is what counts: whoever was to read the summary has gone.
        silence(stream)
    return 0


def _look(arguments: argparse.Namespace, chosen: Settings) -> Audit:
    deadline = None if chosen.deadline_seconds is None else time.monotonic() + chosen.deadline_seconds
    log = _log(verbose=arguments.verbose)
    with Live(tools=chosen.tools, deadline=deadline) as machine:
        found = flow.collect(machine, log, skip=chosen.skip, deadline=deadline, notes=chosen.notes)
        for name in sorted(set(chosen.tools) - machine.asked_for):
            log("error", f"no step asked for the tool {name}, which was pointed to {chosen.tools[name]}")
    return found


def _settings(arguments: argparse.Namespace) -> Settings:
    """What the flags and the kernel's command line say.

    Raises:
        BadInput: a flag says something that cannot be.
    """
    flag = ""
    try:
        flag = "--skip"
        skip = [settings.steps(text) for text in arguments.skip]
        flag = "--tool"
        tools = [settings.tool(text) for text in arguments.tool]
        flag = "--deadline"
        deadline = None if arguments.deadline is None else settings.seconds(arguments.deadline)
    except ValueError as error:
        raise BadInput(f"{flag}: {error}") from None
    with Live() as machine:
        chosen = settings.combine(machine.read("/proc/cmdline"), skip, tools, deadline)
    for note in chosen.notes:
        if note.startswith("ignored"):
            print(f"bee: {printable(note)}", file=sys.stderr)
    return chosen


def _log(*, verbose: bool) -> flow.Log:
    def log(level: str, text: str) -> None:
        if level == "error" or verbose:
            print(f"bee: {printable(text)}", file=sys.stderr)

    return log


def _end_in_order() -> None:
    """A terminated or hung-up audit ends as an interrupted one does: the tools under way are taken down with it."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def interrupt(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
