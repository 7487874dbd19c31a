"""Inputs changed the way tools' output goes wrong: bytes, lines, and values within JSON. All choices are the seed's."""

from __future__ import annotations

import json
from random import Random

_TOKENS = (
    *(
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b"\0",
        b"\xff",
        b"\xe2\x80\xa8",
        b":",
        b" : ",
        b"|",
        b" | ",
        b",",
        b"---",
        b"[",
        b"]",
    ),
    *(b"{", b"}", b"(", b")", b"<a>", b"</a>", b'"', b"\\", b"0x", b"-1", b"0", b"9" * 40, b"1e400", b"NaN", b"null"),
)
_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**40,
    0.5,
    -0.0,
    1e300,
    "",
    " ",
    "0",
    "-1",
    "1.5",
    "\0",
    "\ud800",
)
_LONGEST = 64 * 1024


def mutate(data: bytes, seed: int, *, as_json: bool, other: bytes = b"", longest: int = _LONGEST) -> bytes:
    """`data` with one to four changes.

    Args:
        data: what a tool printed, or an earlier outcome of this.
        seed: what all choices are drawn from.
        as_json: change values within it where it is JSON.
        other: more output of the same tool, to take pieces from.
        longest: the size in bytes that the outcome is cut to.
    """
    random = Random(seed)
    for _ in range(random.randint(1, 4)):
        if as_json and random.random() < 0.9:
            data = _change_json(data, random)
        else:
            data = random.choice((_change_bytes, _change_lines))(data, random, other)
    return data[:longest]


def _change_bytes(data: bytes, random: Random, other: bytes) -> bytes:
    at = random.randint(0, len(data))
    end = min(len(data), at + random.randint(0, 8))
    from_other = random.randint(0, len(other))
    piece = random.choice((b"", random.choice(_TOKENS), random.randbytes(2), other[from_other : from_other + 40]))
    return data[:at] + piece + data[end:]


def _change_lines(data: bytes, random: Random, other: bytes) -> bytes:
    lines = data.split(b"\n")
    at, to = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [lines[at]]
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case 3:
            del lines[min(at, to) : max(at, to)]
        case _:
            lines[at:at] = [random.choice(other.split(b"\n"))]
    return b"\n".join(lines)


def _change_json(data: bytes, random: Random) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _change_bytes(data, random, b"")
    places: list[tuple[dict[str, object] | list[object], str | int]] = []
    waiting = [document]
    while waiting:
        container = waiting.pop()
        keys = (
            list(container)
            if isinstance(container, dict)
            else range(len(container))
            if isinstance(container, list)
            else ()
        )
        for key in keys:
            places.append((container, key))
            waiting.append(container[key])
    if not places:
        return json.dumps(random.choice(_VALUES)).encode()
    (container, key), (source, name) = random.choice(places), random.choice(places)
    copied = json.loads(json.dumps(source[name]))  # type: ignore[index]
    choices = (random.choice(_VALUES), copied, [container[key]], {"value": container[key]}, str(container[key])[:200])  # type: ignore[index]
    if random.random() < 0.2:
        del container[key]  # type: ignore[arg-type]
    else:
        container[key] = random.choice(choices)  # type: ignore[index,call-overload]
    return json.dumps(document).encode()
