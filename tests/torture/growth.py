"""How a parser's time grows: real output with one piece of it repeated, up to a megabyte, in at most a second.

python -m tests.torture.growth PARSER --seed N --seconds S
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tests.bee.parser_cases import CASES, Case
from tests.torture.oracle import MEGABYTE, allowed_seconds, trouble

# Small first: where time grows with the cube, a megabyte would never end.
_SIZES = (4096, 16_384)
_LARGEST = MEGABYTE
# The largest is slow to make and to read: it is tried where 4 times the size took far more than 4 times as long,
# and now and then.
_SUSPICIOUS_SECONDS, _SUSPICIOUS_FACTOR = 0.005, 8
_ONE_IN = 100
_SPACE = (b" ", b"\t", b" \t", b"\0", b"\r", b"\n")
_MARKS = (b":", b" : ", b"|", b" | ", b",", b"(", b"[", b"{", b"<a>", b'"', b"\\", b"-", b".", b"---\n")
_WORDS = (
    b"0",
    b"a",
    b"0 ",
    b"a ",
    b"a:",
    b"(ID ",
    b"[0",
    b"[[",
    b'{"a":',
    b"[1,",
    b"a\n",
    b"\t\ta\n",
    b"a: b\n",
    b"\xff",
)


def stretched(seeds: list[bytes], random: Random) -> Callable[[int], bytes]:
    """A way to make an input of any size: something short, repeated within a line of real output or after it."""
    seed = random.choice(seeds)
    if not seed.lstrip().startswith((b"{", b"<")):
        # A few lines of text are output too, and leave the time to the piece.
        lines = seed.splitlines(keepends=True)
        first = random.randrange(len(lines))
        seed = b"".join(lines[first : first + random.randint(1, 8)])
    lines = seed.splitlines(keepends=True)
    chosen = random.randrange(len(lines))
    at = sum(map(len, lines[:chosen])) + random.randint(0, len(lines[chosen]))
    match random.randrange(6):
        case 0:
            at, piece = len(seed), seed
        case 1:
            piece = lines[chosen]
        case 2:
            piece = seed[at : at + random.randint(1, 12)]
        case _:
            piece = random.choice(random.choice((_SPACE, _MARKS, _WORDS)))
    before, after = seed[:at], seed[at:]
    return lambda size: before + (piece or b" ") * (size // max(1, len(piece))) + after


def search(target: Case, seed: int, rounds: Iterator[object]) -> Iterator[tuple[int, str | None]]:
    """For each round, how many inputs were read and what was wrong with the last, if anything was."""
    random, seeds = Random(seed), target.seeds()
    for _ in rounds:
        make = stretched(seeds, random)
        small, large = (_timed(target, make(size)) for size in _SIZES)
        grows = large.seconds > max(_SUSPICIOUS_SECONDS, _SUSPICIOUS_FACTOR * small.seconds)
        wrong, count = small.wrong or large.wrong, len(_SIZES)
        if not wrong and (grows or random.randrange(_ONE_IN) == 0):
            wrong, count = _timed(target, make(_LARGEST)).wrong, count + 1
        yield count, wrong


@dataclass(frozen=True, slots=True)
class _Timed:
    wrong: str | None
    seconds: float


def _timed(target: Case, data: bytes) -> _Timed:
    """What is wrong in each of three tries: a busy machine is slow by chance, a slow parser every time."""
    wrong, begin = None, time.process_time()
    for _ in range(3):
        begin = time.process_time()
        wrong = trouble(target.parse, target.returns, data, allowed_seconds(len(data)))
        if wrong is None:
            break
    return _Timed(wrong, time.process_time() - begin)


def main() -> int:
    """Stretch inputs for a while, and say what was slow or wrong, each place in the code once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CASES)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    executions = 0
    said: set[str] = set()
    for count, wrong in search(CASES[arguments.name], arguments.seed, iter(lambda: time.monotonic() < end, False)):
        executions += count
        if wrong is not None and (where := wrong.rpartition(" in ")[2]) not in said:
            said.add(where)
            print(f"FINDING {wrong}", flush=True)
    print(f"executions: {executions}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
