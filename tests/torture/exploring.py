"""The fuzzer's small brother: the same inputs and the same judge, without coverage, for as many rounds as one wants."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from tests.torture.mutations import mutate
from tests.torture.oracle import trouble

if TYPE_CHECKING:
    from tests.bee.parser_cases import Case

_SECONDS = 2.0


def explore(target: Case, seed: int, rounds: int) -> Iterator[str]:
    """What is wrong with `target` on `rounds` inputs: its tool's output, changed a few times over."""
    random, seeds = Random(seed), [data for data in target.seeds() if len(data) < 1 << 15]
    data = seeds[0]
    for _ in range(rounds):
        # Mostly a change of what was changed before; from real output again before nothing of it is left.
        base = random.choice(seeds) if random.random() < 0.3 else data
        data = mutate(base, random.getrandbits(32), as_json=target.json, other=random.choice(seeds))
        wrong = trouble(target.parse, target.returns, data, _SECONDS)
        if wrong is not None:
            yield wrong
