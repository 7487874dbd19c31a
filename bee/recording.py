"""A machine as it was seen, in one archive: what every tool printed and every file held, to be audited anywhere.

The archive is a gzipped tar with the folder `bee-recording`: `recording.json` says what was asked and how it went,
`runs/` holds what the tools printed, `files/` what was read. It is read without ever being unpacked to a disk, and
whatever bee would not have written itself (a link, a path that leads out, more than MAX_BYTES) is refused by name.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, TypeVar, cast

from bee import __version__
from bee.machine import MAX_OUTPUT_BYTES, OUTCOMES, Machine, Recorded, Run
from bee.model import printable
from bee.records import dataclass, field, replace
from bee.typed_json import MalformedError, Record, flag, mapping, number, optional, several, string, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bee.model import Audit
    from bee.settings import Settings

Key = TypeVar("Key")
Value = TypeVar("Value")

VERSION = 1
# Unpacked. What a server's tools print is a few MiB; each run alone may have printed twice machine.MAX_OUTPUT_BYTES.
MAX_BYTES = 256 * 2**20
MAX_MEMBERS = 100_000
_FOLDER = "bee-recording/"
_MANIFEST = "recording.json"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._+-]", re.ASCII)
# The paths of /proc and /sys that can stand in the archive under their own names.
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_:@=,+-][A-Za-z0-9_:@=,+.-]*)+", re.ASCII)


class RecordingError(Exception):
    """A file is no recording, or something cannot become one; the text is one line that says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The machine, and what its audit says that no tool printed: how long it took, what was left out and why."""

    machine: Recorded
    bee_version: str = __version__
    seconds: float = 0.0
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    skip: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Recorder:
    """A machine whose every answer is kept. Several threads may ask it at once."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._clock = machine.clock()
        self._runs: dict[tuple[str, ...], Run] = {}
        self._files: dict[str, str | None] = {}
        self._links: dict[str, str | None] = {}
        self._folders: dict[str, tuple[str, ...]] = {}
        self._tools: dict[str, bool] = {}

    def run(self, *args: str, limit: float) -> Run:
        return _keep(self._runs, args, self._machine.run(*args, limit=limit))

    def has_tool(self, name: str) -> bool:
        return _keep(self._tools, name, self._machine.has_tool(name))

    def read(self, path: str) -> str | None:
        return _keep(self._files, path, self._machine.read(path))

    def resolve(self, path: str) -> str | None:
        return _keep(self._links, path, self._machine.resolve(path))

    def names(self, path: str) -> tuple[str, ...]:
        return _keep(self._folders, path, self._machine.names(path))

    def is_root(self) -> bool:
        return self._machine.is_root()

    def clock(self) -> float:
        return self._clock

    def recording(self, audit: Audit, settings: Settings) -> Recording:
        """What was seen, once `audit` has been made of it with `settings`."""
        return Recording(
            machine=Recorded(
                runs=dict(self._runs),
                files={path: text for path, text in self._files.items() if text is not None},
                links=dict(self._links),
                root=self.is_root(),
                folders=dict(self._folders),
                tools=dict(self._tools),
                recorded_at=self._clock,
            ),
            seconds=audit.seconds,
            step_seconds={collector.name: collector.seconds for collector in audit.collectors},
            skip=dict(settings.skip),
            notes=settings.notes,
        )


def _keep(known: dict[Key, Value], key: Key, value: Value) -> Value:
    known[key] = value
    return value


def retimed(audit: Audit, recording: Recording) -> Audit:
    """The audit of a recording, with the times that the machine itself had."""
    steps = recording.step_seconds
    collectors = tuple(replace(entry, seconds=steps.get(entry.name, entry.seconds)) for entry in audit.collectors)
    return replace(audit, seconds=recording.seconds, collectors=collectors)


def pack(recording: Recording) -> bytes:
    """The recording as the bytes of its archive: the same recording always gives the same bytes.

    Raises:
        RecordingError: it is larger than `unpack` takes.
    """
    machine = recording.machine
    members: dict[str, bytes] = {}
    runs = [_describe(index, run, members) for index, (_, run) in enumerate(sorted(machine.runs.items()), 1)]
    files = {}
    for index, (path, text) in enumerate(sorted(machine.files.items()), 1):
        files[path] = f"files{path}" if _PLAIN_PATH.fullmatch(path) else f"other/{index}"
        members[files[path]] = text.encode("utf-8", "surrogateescape")
    manifest = {
        "recording_version": VERSION,
        "bee_version": recording.bee_version,
        "recorded_at": machine.recorded_at,
        "root": machine.root,
        "seconds": recording.seconds,
        "step_seconds": dict(recording.step_seconds),
        "skip": dict(recording.skip),
        "notes": list(recording.notes),
        "runs": runs,
        "files": files,
        "links": dict(sorted(machine.links.items())),
        "folders": {path: list(names) for path, names in sorted(machine.folders.items())},
        "tools": dict(sorted(machine.tools.items())),
    }
    members = {_MANIFEST: (json.dumps(manifest, indent=1) + "\n").encode(), **members}
    if sum(len(content) + 1024 for content in members.values()) > MAX_BYTES:
        raise RecordingError(f"the tools printed more than the {MAX_BYTES // 2**20} MiB of a recording; use --skip")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(_FOLDER + name)
            member.size, member.mode, member.mtime = len(content), 0o600, int(machine.recorded_at)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def _describe(index: int, run: Run, members: dict[str, bytes]) -> dict[str, object]:
    """The manifest's entry of a run, whose output becomes two of the archive's `members`."""
    folder = f"runs/{index:04}-{_NOT_IN_A_NAME.sub('_', run.args[0])}"
    members[f"{folder}/stdout"], members[f"{folder}/stderr"] = run.stdout, run.stderr
    return {
        "args": list(run.args),
        "outcome": run.outcome,
        "exit_code": run.exit_code,
        "signal": run.signal,
        "seconds": run.seconds,
        "left_behind": run.left_behind,
        "stdout": f"{folder}/stdout",
        "stderr": f"{folder}/stderr",
    }


def unpack(stream: IO[bytes]) -> Recording:
    """Read an archive that may be truncated or hostile; nothing is written anywhere.

    Raises:
        RecordingError: it is not what `pack` gives; the text names what is wrong.
    """
    try:
        with gzip.GzipFile(fileobj=stream) as unzipped:
            members = dict(_members(_Bounded(unzipped)))
        return _recording(members)
    except RecordingError:
        raise
    # Whatever else tarfile makes of hostile bytes: it has raised all of these.
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, RecursionError) as error:
        raise RecordingError(f"it is truncated or no gzipped tar archive ({printable(str(error))})") from None


class _Bounded:
    """The unpacked bytes, of which no more than MAX_BYTES are ever given: a bomb ends here."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_BYTES

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise RecordingError(f"it unpacks to more than {MAX_BYTES // 2**20} MiB")
        return piece


def _members(stream: _Bounded) -> Iterator[tuple[str, bytes]]:
    """Each member's name below the folder, with its content."""
    seen: set[str] = set()
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
        for count, member in enumerate(archive):
            name = member.name.removeprefix("./")
            reason = "is one too many" if count >= MAX_MEMBERS else None
            if reason is None and member.isdir() and not _leads_out(name):
                continue
            reason = reason or _refusal(member, name, seen)
            if reason is not None:
                raise RecordingError(f"its member {printable(member.name)!r} {reason}")
            seen.add(name)
            content = archive.extractfile(member)
            yield name.removeprefix(_FOLDER), content.read() if content is not None else b""
    # The rest holds the checksum, without which a cut may go unseen.
    while stream.read(65536):
        pass


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _refusal(member: tarfile.TarInfo, name: str, seen: set[str]) -> str | None:
    """Why the archive cannot be one of bee's, as far as this member shows; None where it can."""
    if _leads_out(name):
        return "leads out of its folder"
    if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.issparse():
        return "is a link" if member.islnk() or member.issym() else "is no plain file"
    if not name.startswith(_FOLDER):
        return f"is not in {_FOLDER}"
    if name in seen:
        return "is there twice"
    if not 0 <= member.size <= MAX_OUTPUT_BYTES:
        return f"says that it has {member.size} bytes"
    return None


def _recording(members: dict[str, bytes]) -> Recording:
    """The recording that the manifest describes."""
    if _MANIFEST not in members:
        raise RecordingError(f"it has no {_FOLDER}{_MANIFEST}")
    try:
        manifest = Record(json.loads(members[_MANIFEST]), _MANIFEST)
        version = manifest.get("recording_version", whole)
        if version != VERSION:
            raise RecordingError(f"it is a recording of version {version}, this bee reads version {VERSION}")
        return _described(manifest, members)
    except MalformedError as error:
        raise RecordingError(f"it is damaged: {printable(str(error))}") from None
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"its {_MANIFEST} is not JSON ({printable(str(error))})") from None


def _described(manifest: Record, members: dict[str, bytes]) -> Recording:
    def content(value: object, where: str) -> bytes:
        name = string(value, where)
        if name not in members:
            raise RecordingError(f"its member {printable(_FOLDER + name)!r} is missing, or named twice")
        # Named once: a member that stood for many files would unfold in memory.
        return members.pop(name)

    def text(value: object, where: str) -> str:
        return content(value, where).decode("utf-8", "replace")

    def run(value: object, where: str) -> Run:
        entry = Record(value, where)
        return Run(
            args=entry.get("args", several(string)),
            outcome=entry.get("outcome", _outcome),
            exit_code=entry.get("exit_code", optional(whole)),
            signal=entry.get("signal", optional(whole)),
            seconds=entry.get("seconds", number),
            left_behind=entry.get("left_behind", flag),
            stdout=entry.get("stdout", content),
            stderr=entry.get("stderr", content),
        )

    return Recording(
        machine=Recorded(
            runs={run.args: run for run in manifest.get("runs", several(run)) if run.args},
            files=manifest.get("files", mapping(text)),
            links=manifest.get("links", mapping(optional(string))),
            root=manifest.get("root", flag),
            folders=manifest.get("folders", mapping(several(string))),
            tools=manifest.get("tools", mapping(flag)),
            recorded_at=manifest.get("recorded_at", number),
        ),
        bee_version=manifest.get("bee_version", string),
        seconds=manifest.get("seconds", number),
        step_seconds=manifest.get("step_seconds", mapping(number)),
        skip=manifest.get("skip", mapping(string)),
        notes=manifest.get("notes", several(string)),
    )


def _outcome(value: object, where: str) -> str:
    if value not in OUTCOMES:
        raise MalformedError(f"{where} is none of {', '.join(OUTCOMES)}")
    return string(value, where)
