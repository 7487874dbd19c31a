"""Where a memory slot sits, as far as its names tell: which processor (or board, or node), and which channel."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

# `P1-DIMMA2`, `CPU0_DIMM_A1`, `PROC 2 DIMM 4`, `SOCKET 0 CHANNEL 1 DIMM 0`, `Board 5, DIMM 1A`, `/SYS/MB/P0`.
_SOCKET = re.compile(r"(?<![a-z0-9])(?:P|CPU|PROC|SOCKET|BOARD)[ _]*[0-9]+(?![0-9])", re.IGNORECASE)
# `_Node0_Channel0_Dimm0`, `NODE 1`.
_NODE = re.compile(r"(?<![a-z0-9])NODE[ _]*[0-9]+", re.IGNORECASE)
# `P0_Node0_Channel0_Dimm0`, `P0 CHANNEL A`, `P0-ChD-DIMM0`, `P0_MC0_DIM_CH_A0`.
_CHANNEL = re.compile(r"(?:channel[ _-]?|(?<![a-z])CH_?)([a-z]|[0-9]+)(?![a-z])", re.IGNORECASE)
# `P1-DIMMA2`, `DIMM_P0_A0`, `CPU0_A0`, `A1`, and not the board's `DIMM000 J22`.
_LETTER = re.compile(r"(?:.*DIMM[ _-]?(?:P[0-9]+[ _-])?|(?!.*DIMM).*[ _])?([A-Z])([0-9]{1,2})", re.IGNORECASE)
_SLOTS_A_CHANNEL = 3

Place = tuple[str, str]


def places(names: Sequence[Place]) -> list[Place]:
    """For each slot, by its locator and bank, the group and the channel that it is drawn in; empty: not told."""
    letters = [_LETTER.fullmatch(locator) for locator, _ in names]
    # With Dell the letter is the processor: it then has more slots than any channel.
    counts: defaultdict[Place, int] = defaultdict(int)
    for (locator, bank), letter in zip(names, letters, strict=True):
        if letter:
            counts[_group(locator, bank), letter[1].upper()] += 1
    sorted_by_letter = any(count > _SLOTS_A_CHANNEL for count in counts.values())
    return [_place(*name, letter, sorted_by_letter) for name, letter in zip(names, letters, strict=True)]


def _group(locator: str, bank: str) -> str:
    match = _SOCKET.search(locator) or _SOCKET.search(bank) or _NODE.search(bank) or _NODE.search(locator)
    return match[0] if match else ""


def _place(locator: str, bank: str, letter: re.Match[str] | None, sorted_by_letter: bool) -> Place:
    group = _group(locator, bank)
    if letter and sorted_by_letter:
        return group or letter[1].upper(), ""
    # The board's own letters go first: they are printed beside the slots.
    if letter:
        return group, letter[1].upper()
    match = _CHANNEL.search(locator) or _CHANNEL.search(bank)
    return group, match[1].upper() if match else ""
