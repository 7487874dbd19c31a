"""Where a memory slot sits, as far as its names tell: which processor (or board, or node), and which channel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

# `P1-DIMMA2`, `CPU0_DIMM_A1`, `PROC 2 DIMM 4`, `SOCKET 0 CHANNEL 1 DIMM 0`, `Board 5, DIMM 1A`, `/SYS/MB/P0`.
_SOCKET = re.compile(r"(?<![a-z0-9])(?:P|CPU|PROC|SOCKET|BOARD)[ _]*[0-9]+(?![0-9])", re.IGNORECASE)
# In a locator something stands behind it: `DIMM_P1` is the first slot of channel P.
_IN_LOCATOR = re.compile(_SOCKET.pattern + "(?=.)", re.IGNORECASE)
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
    groups = _groups(names)
    letters = [_LETTER.fullmatch(locator) for locator, _ in names]
    # With Dell the letter is the processor: it then has more slots than any channel.
    counts = Counter((group, letter[1].upper()) for group, letter in zip(groups, letters, strict=True) if letter)
    sorted_by_letter = any(count > _SLOTS_A_CHANNEL for count in counts.values())
    found: list[Place] = []
    for (locator, bank), group, letter in zip(names, groups, letters, strict=True):
        if letter and sorted_by_letter:
            found.append((group or letter[1].upper(), ""))
        elif letter:
            # The board's own letters go first: they are printed beside the slots.
            found.append((group, letter[1].upper()))
        else:
            match = _CHANNEL.search(locator) or _CHANNEL.search(bank)
            found.append((group, match[1].upper() if match else ""))
    return found


def _groups(names: Sequence[Place]) -> list[str]:
    """By processor or board where any slot names one, else by node where all do, and a node has more than one slot."""
    sockets = [_IN_LOCATOR.search(locator) or _SOCKET.search(bank) for locator, bank in names]
    if any(sockets):
        return [match[0] if match else "" for match in sockets]
    nodes = [_NODE.search(bank) or _NODE.search(locator) for locator, bank in names]
    named = [match[0] for match in nodes if match]
    # A bank that says `NO DIMM` for an empty slot would tear its channel apart.
    return named if len(named) == len(names) > len(set(named)) else [""] * len(names)
