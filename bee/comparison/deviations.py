"""Where an audit is not what an expectation says: each deviation once, with what was expected and what was found."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, cast, get_args

from bee.comparison.expectation import holds, own, said
from bee.comparison.parts import KINDS, model_words, place_fields, strings
from bee.comparison.roles import hints
from bee.comparison.seeing import list_seen, whole, why
from bee.restoring import inner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bee.comparison.expectation import Constraints, Expectation
    from bee.model import Audit


@dataclass(frozen=True, slots=True)
class Deviation:
    """One deviation: the place in the audit, and in words what was expected there and what was found."""

    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}"


def deviations(expectation: Expectation, audit: Audit) -> tuple[Deviation, ...]:
    """Every deviation, in the order of the expectation; none where the machine is as expected."""
    found: list[Deviation] = []
    for step, constraints in expectation.expect.items():
        unseen = step in expectation.seen and not whole(audit, step)
        if unseen:
            found.append(Deviation(step, "all of it seen", f"not all: {why(audit, step)}"))
        part = getattr(audit, step)
        if part is not None and isinstance(constraints, dict):
            found += _Check(audit, step, unseen=unseen).record(constraints, part, step)
        elif not unseen and constraints is not None:
            found.append(Deviation(step, "to be seen", f"nothing: {why(audit, step)}"))
    for step in expectation.seen:
        if step not in expectation.expect and not whole(audit, step):
            found.append(Deviation(step, "all of it seen", f"not all: {why(audit, step)}"))
    found += [
        Deviation("findings", f"no {finding.rule}", f"{finding.component}: {finding.evidence}")
        for finding in audit.findings
        if finding.rule not in expectation.allowed_findings
    ]
    return tuple(found)


class _Check:
    """The check of one step's part. `unseen`: it has been said that not all of it was seen."""

    def __init__(self, audit: Audit, step: str, *, unseen: bool) -> None:
        self._audit, self._step, self._unseen = audit, step, unseen

    def record(self, constraints: Constraints, record: object, where: str) -> list[Deviation]:
        """Every field of a record that is not as expected."""
        found: list[Deviation] = []
        for name, constraint in constraints.items():
            if name == "count" and type(record) in KINDS:
                continue
            value, here = getattr(record, name), f"{where}.{name}"
            if value is None and constraint is not None and self._unseen:
                continue
            if isinstance(constraint, dict) and is_dataclass(value):
                found += self.record(constraint, value, here)
            elif isinstance(value, tuple) and _item(record, name) in KINDS:
                found += self._parts(cast("list[Constraints]", constraint), record, name, here)
            elif not holds(constraint, value):
                found.append(Deviation(here, said(constraint), self._found(value)))
        return found

    def _found(self, value: object) -> str:
        if value is None and not whole(self._audit, self._step):
            return f"not seen: {why(self._audit, self._step)}"
        if isinstance(value, tuple) and any(map(is_dataclass, value)):
            return f"{len(value)} of them"
        return said("something" if is_dataclass(value) else value)

    def _parts(self, entries: list[Constraints], record: object, name: str, where: str) -> list[Deviation]:
        """Assign each expected part to one that is there, so that as many as can be are as expected."""
        # Who says least of itself is taken first by an entry that asks for little.
        there = sorted(own(getattr(record, name), self._audit), key=_known)
        required, optional = _wanted(entries, len(there))
        fits = {id(entry): [index for index, part in enumerate(there) if self._fits(entry, part)] for entry in entries}
        taken = _assigned([fits[id(entry)] for entry in (*required, *optional)])
        missing = [entry for number, entry in enumerate(required) if number not in taken.values()]
        left = [index for index in range(len(there)) if index not in taken]
        spare = [entry for number, entry in enumerate(optional, len(required)) if number not in taken.values()]
        instead = self._nearest(missing, spare, left, there)
        candidates = [*missing, *spare]
        found = [
            deviation
            for number, index in instead.items()
            for deviation in self._part(candidates[number], there[index], where)
        ]
        absent = [entry for number, entry in enumerate(missing) if number not in instead]
        item = _item(record, name)
        if list_seen(self._audit, self._step, item, KINDS[item].listed_by):
            found += _absent(absent, where, "none")
        elif not self._unseen:
            seen = whole(self._audit, self._step)
            reason = "no tool that lists such parts ran" if seen else why(self._audit, self._step)
            found += _absent(absent, where, f"none: {reason}")
        return found + [
            Deviation(_place(there[index], where), "no such part", _what(there[index]))
            for index in left
            if index not in instead.values() and _is_there(there[index])
        ]

    def _fits(self, entry: Constraints, part: object) -> bool:
        return _in_place(entry, part) is not False and not self._part(entry, part, "")

    def _part(self, entry: Constraints, part: object, where: str) -> list[Deviation]:
        """The deviations of one part; an empty slot deviates once, whatever it should hold."""
        here = _place(part, where)
        present = KINDS[type(part)].present
        if present and getattr(part, present) is False and entry.get(present) is not False:
            beside = set(entry) - {"count", *place_fields(type(part))}
            return [Deviation(f"{here}.{present}", said(entry.get(present, True)), "no")] if beside else []
        return self.record(entry, part, here)

    def _nearest(
        self, missing: list[Constraints], spare: list[Constraints], left: list[int], there: list[object]
    ) -> dict[int, int]:
        """What is missing, or may be there, with what is there instead: in its very place, or almost like it.

        The numbers are those of the entries in `missing` and `spare`, one after the other.
        """
        candidates = [*missing, *spare]
        deviate = {
            (id(entry), index): len(self._part(entry, there[index], ""))
            for entry in {id(entry): entry for entry in candidates}.values()
            for index in left
        }
        ranked = []
        for number, entry in enumerate(candidates):
            optional = number >= len(missing)
            for index in left:
                placed, count = _in_place(entry, there[index]) is True, deviate[id(entry), index]
                alike = 2 * count <= len(set(entry) - {"count"}) if optional else count == 1 or 2 * count <= len(entry)
                if (placed and not optional) or (_is_there(there[index]) and (placed or alike)):
                    ranked.append((not placed, optional, count, number, index))
        instead: dict[int, int] = {}
        for *_, number, index in sorted(ranked):
            if number not in instead and index not in instead.values():
                instead[number] = index
        return instead


def _absent(entries: list[Constraints], where: str, found: str) -> Iterator[Deviation]:
    """A line for each kind of part that is missing."""
    for entry in {id(entry): entry for entry in entries}.values():
        count = sum(1 for other in entries if other is entry)
        fields = {name: value for name, value in entry.items() if name != "count"}
        yield Deviation(where, f"{'a part' if count == 1 else f'{count} more parts'} with {said(fields)}", found)


def _in_place(entry: Constraints, part: object) -> bool | None:
    """Whether the part is where the entry says; None where it does not say."""
    places = [name for name in place_fields(type(part)) if name in entry]
    return all(holds(entry[name], getattr(part, name)) for name in places) if places else None


def _item(record: object, name: str) -> type:
    """What a list holds: a kind of record, or words."""
    item: type = get_args(inner(hints(type(record))[name]))[0]
    return item


def _wanted(entries: list[Constraints], there: int) -> tuple[list[Constraints], list[Constraints]]:
    """Every entry as often as there must be such a part, and as often as there may be one more."""
    required: list[Constraints] = []
    optional: list[Constraints] = []
    for entry in entries:
        count = entry.get("count", 1)
        least, most = (count.get("min", 0), count.get("max", there)) if isinstance(count, dict) else (count, count)
        required += [entry] * cast("int", least)
        optional += [entry] * (min(cast("int", most), there) - cast("int", least))
    # What may be but one part has the first choice.
    return sorted(required, key=_specific, reverse=True), optional


def _known(part: object) -> int:
    """How much is known of a part."""
    return sum(getattr(part, name) is not None for name in hints(type(part)))


def _specific(constraint: object) -> int:
    """How much is said of a part."""
    if isinstance(constraint, dict):
        return sum(map(_specific, constraint.values()))
    return sum(map(_specific, constraint)) if isinstance(constraint, list) else 1


def _assigned(fits: list[list[int]]) -> dict[int, int]:
    """For each part its entry, as many as can be (Kuhn's augmenting paths); an earlier entry never loses out."""
    owner: dict[int, int] = {}
    for entry in range(len(fits)):
        came_from: dict[int, int] = {}
        waiting = deque([entry])
        free = None
        while waiting and free is None:
            current = waiting.popleft()
            for part in fits[current]:
                if part not in came_from:
                    came_from[part] = current
                    if part not in owner:
                        free = part
                        break
                    waiting.append(owner[part])
        mine = {holder: part for part, holder in owner.items()} if free is not None else {}
        while free is not None:
            holder = came_from[free]
            owner[free] = holder
            free = mine.get(holder)
    return owner


def _is_there(part: object) -> bool:
    present = KINDS[type(part)].present
    return present is None or getattr(part, present) is not False


def _place(part: object, where: str) -> str:
    kind = KINDS[type(part)]
    name = getattr(part, kind.name) if kind.name else None
    called = name or " ".join(value for value in strings(part, place_fields(type(part))) if value)
    return f"{where}[{called}]"


def _what(part: object) -> str:
    return " ".join(model_words(part)) or KINDS[type(part)].noun
