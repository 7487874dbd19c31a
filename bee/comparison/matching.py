"""Which part of one list is which of another: by what tells it apart where that is known, by its place otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Part]):
    """A part and all by which it can be known again: `keys`, the surest first, and `content`, whatever else it says."""

    part: Part
    keys: tuple[str | None, ...]
    place: tuple[str | None, ...]
    content: str


@dataclass(frozen=True, slots=True)
class Matched(Generic[Part]):
    """The parts in both lists, those in the old one alone, and those in the new one alone."""

    pairs: tuple[tuple[Candidate[Part], Candidate[Part]], ...]
    gone: tuple[Candidate[Part], ...]
    come: tuple[Candidate[Part], ...]


def match(old: Iterable[Candidate[Part]], new: Iterable[Candidate[Part]]) -> Matched[Part]:
    """Find each part again; the order of the lists says nothing, and the other way round gives the same pairs.

    A key goes before a place: a part that is elsewhere is the same part. Where several have one key (the paths to
    one disk, a maker that gives all its modules one number), those that have not moved are paired first. A part with
    no key is known by its place alone; two parts in one place whose keys differ are two parts.
    """
    left = _Left(list(old), list(new))
    for index in range(max((len(c.keys) for c in (*left.old, *left.new)), default=0)):

        def key(candidate: Candidate[Part], index: int = index) -> str | None:
            return candidate.keys[index] if index < len(candidate.keys) else None

        left.pair(lambda c: key(c) and (key(c), c.place, c.content))
        left.pair(lambda c: key(c) and (key(c), c.place))
        left.pair(key)
    left.pair(lambda c: None if any(c.keys) else (c.place, c.content))
    left.pair(lambda c: None if any(c.keys) else c.place)
    # One side did not give a key: it is the part that was there.
    left.pair(lambda c: None if any(c.keys) else c.place, lambda c: c.place if any(c.keys) else None)
    left.pair(lambda c: c.place if any(c.keys) else None, lambda c: None if any(c.keys) else c.place)
    return Matched(tuple(left.pairs), tuple(left.old), tuple(left.new))


class _Left(Generic[Part]):
    """The parts that have not been found again yet."""

    def __init__(self, old: list[Candidate[Part]], new: list[Candidate[Part]]) -> None:
        self.old, self.new = old, new
        self.pairs: list[tuple[Candidate[Part], Candidate[Part]]] = []

    def pair(
        self,
        by: Callable[[Candidate[Part]], Hashable],
        new_by: Callable[[Candidate[Part]], Hashable] | None = None,
    ) -> None:
        """Pair what is equal `by` something (None: not by this), in the order of their content."""
        new = _grouped(self.new, new_by or by)
        paired: set[int] = set()
        for value, group in _grouped(self.old, by).items():
            for pair in zip(group, new.get(value, ()), strict=False):
                self.pairs.append(pair)
                paired.update(map(id, pair))
        self.old = [candidate for candidate in self.old if id(candidate) not in paired]
        self.new = [candidate for candidate in self.new if id(candidate) not in paired]


def _grouped(
    candidates: list[Candidate[Part]], by: Callable[[Candidate[Part]], Hashable]
) -> dict[Hashable, list[Candidate[Part]]]:
    groups = defaultdict(list)
    for candidate in sorted(candidates, key=lambda c: (tuple(map(str, c.place)), c.content)):
        value = by(candidate)
        if value is not None:
            groups[value].append(candidate)
    return groups
