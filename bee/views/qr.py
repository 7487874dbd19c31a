"""An audit's summary as a QR code for a console of 80 x 25 characters, drawn by qrencode(1)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from bee.views.columns import WIDTH
from bee.views.document import integer, part, rows, size, text
from bee.views.text import summary
from bee.views.totals import drives

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bee.machine import Machine

# Of the 25 rows four are for the live CD's log-in prompt, which may come after it: a blank line, the issue, an address
# to log in at, the prompt. A row more, and the first scrolls away, since the kernel's console keeps no history. 21 rows
# are 42 modules: version 5 (37) with its border.
ROWS = 21
_GAP = 2
QRENCODE_SECONDS = 10.0
# Modules of light border. The standard wants four; on a dark console the drawn two are what a camera needs.
_MARGIN = 2
_MAX_VALUE = 40
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def payload(document: dict[str, object], content: bytes) -> str:
    """The text in the code, version 1: `BEE1`, then a `KEY value` a line, most telling first (see docs/audit.md)."""
    return "\n".join(["BEE1", *_lines(document, content)])


def _lines(document: dict[str, object], content: bytes) -> Iterator[str]:
    board = part(document, "board")
    values = {
        "S": _short(part(board, "system"), "serial"),
        "A": hashlib.sha256(content).hexdigest()[:16],
        "F": _findings(document),
        "N": _counts(document),
        "M": _short(part(board, "system"), "product"),
        "B": _short(next(iter(rows(board, "baseboards")), {}), "serial"),
        "C": _short(next(iter(rows(board, "chassis")), {}), "serial"),
    }
    # The same serial twice tells nothing: many vendors copy the system's.
    if values["C"] == values["S"]:
        values["C"] = ""
    if values["B"] == values["S"]:
        values["B"] = ""
    yield from (f"{key} {value}" for key, value in values.items() if value)


def _findings(document: dict[str, object]) -> str:
    """`5/2`: findings, and how many of them are critical; an audit without the list says nothing."""
    if not isinstance(document.get("findings"), list):
        return ""
    findings = rows(document, "findings")
    return f"{len(findings)}/{sum(1 for f in findings if f.get('severity') == 'critical')}"


def _short(record: dict[str, object], name: str) -> str:
    return text(record, name, "")[:_MAX_VALUE]


def _counts(document: dict[str, object]) -> str:
    """`2c 512GiB/16m 7.68TB/4d 8g 2p`: processors, memory/modules, size/disks, GPUs, supplies; null parts left out."""
    words = []
    if cpu := part(document, "cpu"):
        words.append(f"{text(cpu, 'populated')}c")
    if memory := part(document, "memory"):
        words.append(f"{size(integer(memory, 'total_bytes'))}/{text(memory, 'populated')}m".replace(" ", ""))
    if storage := part(document, "storage"):
        count, space = drives(storage)
        words.append(f"{size(space, decimal=True)}/{count}d".replace(" ", ""))
    if nvidia := part(document, "nvidia"):
        words.append(f"{len(rows(nvidia, 'gpus'))}g")
    if psu := part(document, "psu"):
        words.append(f"{sum(1 for s in rows(psu, 'supplies') if s.get('present'))}p")
    return " ".join(words)


def screen(document: dict[str, object], content: bytes, machine: Machine, *, colour: bool) -> str | None:
    """The code with the audit's summary at its side, all of it on one screen; None where the code cannot be drawn."""
    drawn = draw(document, content, machine, colour=colour)
    if drawn is None:
        return None
    code = drawn.split("\n")
    said = summary(document, WIDTH - _GAP - len(_ANSI.sub("", code[0]))).split("\n")
    if len(said) > len(code):
        said[len(code) - 1 :] = ["... (bee report has the rest)"]
    beside = [*said, *[""] * (len(code) - len(said))]
    return "\n".join(f"{left}{' ' * _GAP}{right}" if right else left for left, right in zip(code, beside, strict=True))


def draw(document: dict[str, object], content: bytes, machine: Machine, *, colour: bool) -> str | None:
    """The code in half-block characters; None where qrencode is absent or even the shortest text does not fit.

    With `colour` black and white are set by ANSI sequences; without, light characters on a dark ground are assumed.
    Lines are dropped from the payload's end until the code fits: the code is square, so ROWS bounds its width too.
    """
    lines = payload(document, content).split("\n")
    while len(lines) > 1:
        run = machine.run(
            "qrencode",
            "-t",
            "ANSIUTF8" if colour else "UTF8",
            "-l",
            "L",
            "-m",
            str(_MARGIN),
            "-o",
            "-",
            "--",
            "\n".join(lines),
            limit=QRENCODE_SECONDS,
        )
        if run.outcome != "exited" or run.exit_code != 0:
            return None
        drawn = run.stdout.decode("utf-8", "replace").rstrip("\n")
        bare = _ANSI.sub("", drawn).split("\n")
        if len(bare) <= ROWS:
            return drawn
        lines.pop()
    return None
