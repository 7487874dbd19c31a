"""Laying out plain text for a terminal of 80 columns: tables that fit, and lines that break at spaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

WIDTH = 80
_GAP = 2
_MIN_WIDTH = 8
# Half a serial number is none.
_IDENTITY = ("Address", "Disk", "Serial", "Slot", "Socket")


def columns(head: Sequence[str], body: list[tuple[str, ...]]) -> Iterator[str]:
    """A table that fits the width: the widest columns give way, what identifies a part last; `~` is what was cut."""
    if not body:
        yield "  none"
        return
    # A column that says nothing in any row is left out.
    kept = [i for i in range(len(head)) if any(row[i] != "-" for row in body)]
    names = [head[i] for i in kept]
    lines = [tuple(names), *(tuple(row[i] for i in kept) for row in body)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(kept))]
    _shrink(widths, [i for i, name in enumerate(names) if name not in _IDENTITY], _MIN_WIDTH)
    _shrink(widths, list(range(len(names))), 1)
    for line in lines:
        cells = [_cut(cell, width, name) for cell, width, name in zip(line, widths, names, strict=True)]
        yield "".join(" " * _GAP + cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _shrink(widths: list[int], columns: list[int], least: int) -> None:
    """Take from the widest of `columns` until all fit, or none is wider than `least`."""
    while sum(widths) + _GAP * len(widths) > WIDTH:
        widest = max(columns, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= least:
            return
        widths[widest] -= 1


def _cut(cell: str, width: int, name: str) -> str:
    if len(cell) <= width:
        return cell
    # Banks differ at their end: P0_Node0_Channel0_Dimm1.
    return "~" + cell[len(cell) - width + 1 :] if name == "Bank" else cell[: width - 1] + "~"


def wrap(line: str, width: int = WIDTH) -> Iterator[str]:
    """Break at spaces; the rest of a line stands four columns deeper than its beginning."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    while len(line) > width:
        at = line.rfind(" ", len(indent) + 1, width + 1)
        at = at if at > 0 else width
        yield line[:at].rstrip()
        line = indent + line[at:].lstrip()
    yield line
