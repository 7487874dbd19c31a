"""`bee audit --save-to-usb`: which sticks take a copy, and a copy for each, side by side and within a time limit.

A stick is a file system labelled BEE on a USB or removable disk; nothing else is ever mounted. What writes is
`bee.usb_writer`, a process of its own for each stick, because one that is damaged can hang whoever touches it.
"""

# ruff: noqa: PTH100, PTH118, PTH120, PTH123 - no pathlib: start-up counts

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bee.background import Task
from bee.history import stamp
from bee.model import printable
from bee.views.document import part, rows, strings, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bee.machine import Live, Run

LABEL = "BEE"
# On the stick; FAT's root folder has a fixed number of entries.
FOLDER = "bee-audits"
# What lsblk calls a file system → what mount does.
FILE_SYSTEMS = {"vfat": "vfat", "exfat": "exfat", "ext2": "ext2", "ext3": "ext3", "ext4": "ext4"}
LIMIT_SECONDS = 30.0
_LSBLK_SECONDS = 10.0
_LSBLK = ("lsblk", "--json", "--output", "PATH,TYPE,LABEL,FSTYPE,RM,TRAN,MOUNTPOINTS")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9]+", re.ASCII)
_MAX_SERIAL = 40
# A stick is a disk or a partition; what lies deeper than this no stick has.
_MAX_DEPTH = 8
_START = """\
import sys
sys.path.insert(0, sys.argv[1])
from bee import usb_writer
sys.exit(usb_writer.main(sys.argv[2:]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stick:
    """A file system labelled BEE; `refusal` says why it is left alone, None where it is to be written."""

    device: str
    file_system: str
    refusal: str | None = None


def sticks(lsblk: bytes) -> tuple[Stick, ...]:
    """Every file system labelled BEE in lsblk's JSON, by its device's name; none where it is no such thing."""
    try:
        document = json.loads(lsblk)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(document, dict):
        return ()
    found = {stick.device: stick for disk in rows(document, "blockdevices") for stick in _below(disk, [])}
    return tuple(found[device] for device in sorted(found))


def _below(device: dict[str, object], above: list[dict[str, object]]) -> Iterator[Stick]:
    """The sticks among `device` and what lies on it; `above` are the devices on which it lies."""
    line = [*above, device]
    if device.get("label") == LABEL and text(device, "path", ""):
        yield Stick(
            device=text(device, "path"), file_system=text(device, "fstype", "none"), refusal=_refusal(device, line)
        )
    if len(line) < _MAX_DEPTH:
        for child in rows(device, "children"):
            yield from _below(child, line)


def _refusal(device: dict[str, object], line: list[dict[str, object]]) -> str | None:
    if not any(each.get("tran") == "usb" or each.get("rm") is True for each in line):
        return "it is on no USB and no removable disk"
    mounted = next((place for each in line for place in strings(each, "mountpoints")), None)
    if mounted is not None:
        return f"it is in use at {mounted}"
    if device.get("fstype") not in FILE_SYSTEMS:
        return f"its file system, {text(device, 'fstype', 'none')}, is none of {', '.join(FILE_SYSTEMS)}"
    return None


def folder_name(document: dict[str, object]) -> str:
    """An audit's folder on a stick, by serial and time, of characters that every file system takes.

    `SYS-0123456789_2026-11-22T031746Z`; `no-serial_…` where the machine has none.
    """
    serial = _NOT_IN_A_NAME.sub("-", text(part(document, "board", "system"), "serial", ""))[:_MAX_SERIAL].strip("-")
    return f"{serial or 'no-serial'}_{stamp(text(document, 'started_at'))}"


def save(files: Mapping[str, bytes], name: str, machine: Live) -> tuple[list[str], list[str]]:
    """Give every stick the files, in a new folder called `name`.

    Args:
        files: by their names.
        name: the folder's; where the stick has it already, `name-2` and so on.
        machine: the one that runs the tools. Its deadline is for what the audit ran: it must have none any more.

    Returns:
        One line for each stick that has it all, and one for each that has not, or why nothing can be saved at all.
    """
    run = machine.run(*_LSBLK, limit=_LSBLK_SECONDS)
    found = sticks(run.stdout)
    if run.exit_code != 0 and not found:
        return [], ["nothing saved: lsblk (util-linux), which finds the sticks, is missing or failed"]
    if not found:
        return [], [f"nothing saved: no USB stick labelled {LABEL}"]
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bee-", ignore_cleanup_errors=True))
            _prepare(files, folder)
        except OSError as error:
            return [], [f"nothing saved: cannot prepare the copies in a temporary folder: {error.strerror or error}"]
        writing = [(stick, Task(partial(_give, stick, folder, name, machine))) for stick in found]
        results = [(stick, *task.result()) for stick, task in writing]
    return (
        [f"saved on {stick.device}: {said}" for stick, good, said in results if good],
        [f"not saved on {stick.device}: {said}" for stick, good, said in results if not good],
    )


def _prepare(files: Mapping[str, bytes], folder: str) -> None:
    """Put the files where each stick's writer takes them from."""
    for file, content in files.items():
        with open(os.path.join(folder, file), "xb") as written:
            written.write(content)


def _give(stick: Stick, folder: str, name: str, machine: Live) -> tuple[bool, str]:
    """Whether the stick has it all, and where, or why not."""
    if stick.refusal is not None:
        return False, f"{stick.refusal}; left alone"
    bee = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    run = machine.run(
        *("unshare", "--mount", "--propagation", "private"),
        *(sys.executable, "-I", "-c", _START, bee),
        *(stick.device, stick.file_system, folder, name),
        limit=LIMIT_SECONDS,
    )
    return run.exit_code == 0, printable(_outcome(run))


def _outcome(run: Run) -> str:
    if run.outcome == "timeout":
        return f"it did not take it within {LIMIT_SECONDS:.0f} s"
    if run.outcome == "missing":
        return "unshare (util-linux) is missing"
    said = (run.stdout if run.exit_code == 0 else run.stderr).decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else f"its writer was {run.outcome}"
