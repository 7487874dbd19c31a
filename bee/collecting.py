"""The commands that look at a machine, this one or a recorded one: `bee audit` and `bee record`."""

# ruff: noqa: PLC0415, PTH123 - each command imports what it alone needs, and no pathlib: start-up counts

from __future__ import annotations

import contextlib
import json
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from bee import audit as flow
from bee import interruption, settings
from bee.commands import show_summary
from bee.errors import BadInputError
from bee.machine import Live
from bee.model import printable, to_json
from bee.output import written
from bee.streams import show, silence

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from bee.model import Audit
    from bee.recording import Recording
    from bee.settings import Settings

# The exit code of an audit that is written, but not on every stick.
NOT_SAVED = 3


def audit(arguments: argparse.Namespace) -> int:
    """`bee audit`: JSON to the file (or stdout), the summary to stdout (or stderr, when stdout carries the JSON)."""
    interruption.end_in_order()
    if arguments.save_to_usb and arguments.source is not None:
        raise BadInputError("--save-to-usb has no meaning with --from: it saves what this machine is")
    # The audit of another machine must not by itself replace the one of this.
    by_itself = flow.DEFAULT_PATH if arguments.source is None else "-"
    output = by_itself if arguments.output is None else arguments.output
    seen: list[Recording] = []

    def see() -> bytes:
        log = _Log(arguments)
        found = (_look if arguments.source is None else _look_again)(arguments, log, seen.append)
        content = flow.serialise(found)
        if arguments.redact:
            from bee import redaction

            redactor = redaction.Redactor()
            # The recording first: what identifies the machine there is replaced in the audit too.
            seen[:] = [redactor.recording(recording, to_json(found)) for recording in seen]
            content = redaction.audit(content, redactor)
            log.release(redactor.text)
        return content

    in_history = arguments.output is None and arguments.source is None
    content = written(output, see, partial(_keep, output) if in_history else lambda _: None)
    document = json.loads(content)
    stream = sys.stderr if output == "-" else sys.stdout
    try:
        code, copies = _save_to_usb(document, content, seen[0]) if arguments.save_to_usb else (0, [])
    except KeyboardInterrupt:
        return _interrupted(output, "no stick is known to have it", NOT_SAVED)
    try:
        # The code goes last: on a console of 25 lines whatever follows it pushes it off.
        for line in copies:
            show(line, stream)
        show_summary(document, content, stream)
        stream.flush()
    except OSError:
        # The audit is written, and that is what counts: whoever was to read the summary has gone.
        silence(stream)
    except KeyboardInterrupt:
        return _interrupted(output, "its summary was not shown", code)
    return code


def _interrupted(output: str, not_done: str, code: int) -> int:
    """An interruption after the audit was written costs what was to come: the code says what there is."""
    interruption.over()
    place = "stdout" if output == "-" else printable(output)
    print(f"bee: interrupted; the audit is written to {place}, {not_done}", file=sys.stderr)
    return code


def _keep(output: str, content: bytes) -> str | None:
    """Put the audit into the history, and say where; one that cannot be kept there still goes to its own place."""
    from bee import history

    try:
        return history.keep(history.folder_of(output), content, json.loads(content)["started_at"])
    except flow.OutputError as error:
        print(f"bee: not in the history: {error}", file=sys.stderr)
        return None


def _save_to_usb(document: dict[str, object], content: bytes, seen: Recording) -> tuple[int, list[str]]:
    """The exit code, and a line for each stick: an audit is written by now, whatever becomes of its copies."""
    from bee import recording, usb
    from bee.views import html, text

    files = {
        "audit.json": content,
        "report.txt": (text.table(document) + "\n").encode(),
        "report.html": html.page(document, content).encode(),
    }
    missing = []
    try:
        files["recording.tar.gz"] = recording.pack(seen)
    except recording.RecordingError as error:
        missing.append(f"no recording saved: {error}")
    with Live() as machine:
        saved, not_saved = usb.save(files, usb.folder_name(document), machine)
    return NOT_SAVED if not_saved or missing else 0, [*saved, *not_saved, *missing]


def record(arguments: argparse.Namespace) -> int:
    """`bee record`: everything that an audit of this machine would look at, in one archive."""
    from bee import recording

    interruption.end_in_order()

    def see() -> bytes:
        log = _Log(arguments)
        found, seen = _recorded(arguments, log)
        if arguments.redact:
            from bee import redaction

            redactor = redaction.Redactor()
            seen = redactor.recording(seen, to_json(found))
            log.release(redactor.text)
        try:
            return recording.pack(seen)
        except recording.RecordingError as error:
            raise BadInputError(str(error)) from None

    content = written(arguments.output, see)
    if arguments.output != "-":
        said = f"{arguments.output}: {len(content)} bytes; bee audit --from {arguments.output} makes an audit of it"
        show(said, sys.stdout)
    return 0


def _look(arguments: argparse.Namespace, log: flow.Log, keep: Callable[[Recording], None]) -> Audit:
    """The audit of this machine; where a stick is to get a recording of it, `keep` takes that."""
    if arguments.save_to_usb:
        found, seen = _recorded(arguments, log)
        keep(seen)
        return found
    chosen = _settings(arguments)
    with _this_machine(chosen, log) as machine:
        return flow.collect(machine, log, skip=chosen.skip, deadline=machine.deadline, notes=chosen.notes)


def _recorded(arguments: argparse.Namespace, log: flow.Log) -> tuple[Audit, Recording]:
    """The audit of this machine, and all that it looked at."""
    from bee import recording

    chosen = _settings(arguments)
    with _this_machine(chosen, log) as machine:
        recorder = recording.Recorder(machine)
        found = flow.collect(recorder, log, skip=chosen.skip, deadline=machine.deadline, notes=chosen.notes)
    return found, recorder.recording(found, chosen)


def _look_again(arguments: argparse.Namespace, log: flow.Log, _keep: Callable[[Recording], None]) -> Audit:
    """The audit of a recorded machine, as that machine itself would have given it."""
    from bee import recording

    if arguments.tool or arguments.deadline is not None:
        raise BadInputError("--tool and --deadline have no meaning with --from: the tools have run")
    name = "stdin" if arguments.source == "-" else arguments.source
    try:
        if arguments.source == "-":
            seen = recording.unpack(sys.stdin.buffer)
        else:
            with open(arguments.source, "rb") as file:
                seen = recording.unpack(file)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    except recording.RecordingError as error:
        raise BadInputError(f"{name} is no recording: {error}") from None
    skip = {**seen.skip, **settings.combine(None, _steps(arguments)).skip}
    found = flow.collect(seen.machine, log, skip=skip, notes=seen.notes)
    return recording.retimed(found, seen)


@contextlib.contextmanager
def _this_machine(chosen: Settings, log: flow.Log) -> Iterator[Live]:
    deadline = None if chosen.deadline_seconds is None else time.monotonic() + chosen.deadline_seconds
    with Live(tools=chosen.tools, deadline=deadline) as machine:
        yield machine
        for name in sorted(set(chosen.tools) - machine.asked_for):
            log("error", f"no step asked for the tool {name}, which was pointed to {chosen.tools[name]}")


def _settings(arguments: argparse.Namespace) -> Settings:
    """What the flags and the kernel's command line say.

    Raises:
        BadInputError: a flag says something that cannot be.
    """
    with _flag("--tool"):
        tools = [settings.tool(text) for text in arguments.tool]
    with _flag("--deadline"):
        deadline = None if arguments.deadline is None else settings.seconds(arguments.deadline)
    with Live() as machine:
        chosen = settings.combine(machine.read("/proc/cmdline"), _steps(arguments), tools, deadline)
    for note in chosen.notes:
        if note.startswith("ignored"):
            print(f"bee: {printable(note)}", file=sys.stderr)
    return chosen


def _steps(arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    with _flag("--skip"):
        return [settings.steps(text) for text in arguments.skip]


@contextlib.contextmanager
def _flag(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise BadInputError(f"{name}: {error}") from None


class _Log:
    """What goes to stderr; with --redact it waits until it is known what is to be redacted."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._verbose: bool = arguments.verbose
        self._held: list[str] | None = [] if arguments.redact else None

    def __call__(self, level: str, text: str) -> None:
        if level != "error" and not self._verbose:
            return
        if self._held is None:
            print(f"bee: {printable(text)}", file=sys.stderr)
        else:
            self._held.append(text)

    def release(self, redact: Callable[[str], str]) -> None:
        for text in self._held or ():
            print(f"bee: {printable(redact(text))}", file=sys.stderr)
