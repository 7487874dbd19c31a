"""What every machine of a rack must be: made from the audit of one, edited by hand, read back (docs/comparing.md).

An expectation has the audit's own field names. A value stands for itself; `{"any_of": […]}` and `{"min": …, "max": …}`
allow several; what is not named may be anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, cast, get_args, get_origin

from bee import model
from bee.comparison.parts import KINDS, Surroundings
from bee.comparison.roles import ROUGH_SHARE, Role, hints, roles
from bee.comparison.seeing import whole
from bee.health import RULES
from bee.model import Audit, printable
from bee.restoring import inner, nullable, scalar
from bee.typed_json import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
# More than any machine has of one part.
MAX_COUNT = 4096
STEPS = ("host", "board", "cpu", "memory", "storage", "pcie", "psu", "nvidia")
Constraints = dict[str, object]

_EXPECTED = (Role.PLACE, Role.FACT, Role.FIRMWARE, Role.LESS_IS_WORSE, Role.ROUGH)
# The kernel numbers SCSI hosts as drivers load, SAS targets as they answer, a RAID controller its drives likewise:
# equal machines differ. The other fields of a FRU are for people.
_LEFT_OUT = {(model.Disk, "hctl"), (model.RaidMember, "type"), (model.Fru, "other")}
# Records that are no parts: all that can be expected of them is that there are none, and why.
_FOUND = "findings tell what counts in it; allowed_findings says which may be"
UNEXPECTED = {
    model.Sensor: _FOUND,
    model.SelEvent: _FOUND,
    model.SelfTest: _FOUND,
    model.FruField: "it is for people, and not looked at",
}
_FORMS = ({"any_of"}, {"min"}, {"max"}, {"min", "max"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What is expected.

    Attributes:
        seen: the steps that must have been seen whole.
        allowed_findings: the rules that a machine may break.
        expect: by step, the constraints on its part.
    """

    seen: tuple[str, ...]
    allowed_findings: tuple[str, ...]
    expect: Constraints


def made_from(audit: Audit) -> dict[str, object]:
    """The document of the expectation that every machine is as this one, but for what is each machine's own."""
    system = audit.board.system if audit.board else None
    product = " ".join(word for word in (system and (system.manufacturer, system.product)) or () if word)
    idle = Surroundings(audit, with_paths=False).with_gpu
    parts = {step: getattr(audit, step) for step in STEPS}
    expect = {step: _constraints(part, audit, idle) for step, part in parts.items() if part is not None}
    return {
        "expectation_version": VERSION,
        "description": product or "a machine whose firmware does not name it",
        "seen": [step for step in STEPS[1:] if whole(audit, step)],
        "allowed_findings": sorted({finding.rule for finding in audit.findings}),
        "expect": {step: constraints for step, constraints in expect.items() if constraints},
    }


def _constraints(record: object, audit: Audit, idle: frozenset[str]) -> Constraints:
    made: Constraints = {}
    role_of = roles(type(record))
    for name in hints(type(record)):
        value, role = getattr(record, name), role_of.get(name)
        if (type(record), name) in _LEFT_OUT:
            continue
        if role is None and isinstance(value, tuple):
            value = _merged([_constraints(part, audit, idle) for part in own(value, audit)])
        elif role is None and value is not None:
            value = _constraints(value, audit, idle)
            if name == "link" and isinstance(record, model.PciDevice) and record.address in idle:
                value.pop("speed_gts", None)
        elif role not in _EXPECTED:
            continue
        elif role is Role.ROUGH and isinstance(value, int):
            value = {"min": math.floor(value * (1 - ROUGH_SHARE)), "max": math.ceil(value * (1 + ROUGH_SHARE))}
        elif isinstance(value, tuple):
            value = list(value)
        if value is not None and value != {}:
            made[name] = value
    return made


def own(parts: tuple[object, ...], audit: Audit) -> list[object]:
    """The parts of a list that are the machine's own: no USB disk, such as the one that it was booted from.

    A power supply's FRU record is among the supplies, and the other fields of a FRU are for people.
    """
    supplies = audit.psu is not None and audit.psu.supplies
    return [
        part
        for part in parts
        if not (isinstance(part, model.Disk) and part.transport == "usb")
        and not (isinstance(part, model.Fru) and part.power_supply and supplies)
        and not isinstance(part, model.FruField)
    ]


def _merged(entries: list[Constraints]) -> list[Constraints]:
    """Equal entries as one with their count."""
    merged: list[Constraints] = []
    counts: list[int] = []
    for entry in entries:
        if entry in merged:
            counts[merged.index(entry)] += 1
        else:
            merged.append(entry)
            counts.append(1)
    return [{"count": count, **entry} if count > 1 else entry for entry, count in zip(merged, counts, strict=True)]


def read(document: dict[str, object]) -> Expectation:
    """The expectation that `document` is; its version has been looked at.

    Raises:
        MalformedError: something in it cannot be meant; the text names the place.
    """
    known = {"expectation_version", "description", "seen", "allowed_findings", "expect"}
    for key in document:
        if key not in known:
            raise MalformedError(f"{printable(key)}: an expectation has no such field")
    expect = document.get("expect")
    if not isinstance(expect, dict):
        raise MalformedError("expect is no object")
    for step, constraints in expect.items():
        if step not in STEPS:
            raise MalformedError(f"expect.{printable(step)}: there is no such part of an audit; {', '.join(STEPS)}")
        if not isinstance(constraints, dict):
            raise MalformedError(f"expect.{step} is no object")
    _check_record(Audit, expect, "expect")
    rules = {rule.id for rule in RULES}
    return Expectation(
        seen=_words(document, "seen", set(STEPS), "part of an audit"),
        allowed_findings=_words(document, "allowed_findings", rules, "rule; docs/audit.md lists them"),
        expect=expect,
    )


def _words(document: dict[str, object], name: str, known: set[str], what: str) -> tuple[str, ...]:
    words = document.get(name, [])
    if not isinstance(words, list):
        raise MalformedError(f"{name} is no list")
    for word in words:
        if not isinstance(word, str) or word not in known:
            raise MalformedError(f"{name}: {printable(str(word))} is no {what}")
    return tuple(words)


def _check_record(record: type, value: object, where: str) -> None:
    if not isinstance(value, dict):
        raise MalformedError(f"{where} is no object")
    for name, constraint in value.items():
        here = f"{where}.{printable(name)}"
        if name == "count" and record in KINDS:
            _check_leaf(int, constraint, here)
            bounds = constraint.values() if isinstance(constraint, dict) else [constraint]
            if not all(isinstance(bound, int) and 0 <= bound <= MAX_COUNT for bound in bounds):
                raise MalformedError(f"{here} is no whole number from 0 to {MAX_COUNT}, and no min and max of such")
        elif name not in hints(record):
            raise MalformedError(f"{here}: an audit has no such field")
        else:
            _check(hints(record)[name], constraint, here)


def _check(hint: object, constraint: object, where: str) -> None:
    if nullable(hint) and constraint is None:
        return
    hint = inner(hint)
    item = get_args(hint)[0] if get_origin(hint) is tuple else None
    if item is not None:
        if not isinstance(constraint, list):
            raise MalformedError(f"{where} is no list")
        if constraint and item in UNEXPECTED:
            raise MalformedError(f"{where} can only be expected to be empty: {UNEXPECTED[item]}")
        for index, entry in enumerate(constraint):
            if is_dataclass(item):
                _check_record(cast("type", item), entry, f"{where}[{index}]")
            else:
                scalar(item, entry, f"{where}[{index}]")
    elif is_dataclass(hint):
        _check_record(cast("type", hint), constraint, where)
    else:
        _check_leaf(hint, constraint, where)


def _check_leaf(hint: object, constraint: object, where: str) -> None:
    if not isinstance(constraint, dict):
        scalar(hint, constraint, where)
        return
    if set(constraint) not in _FORMS:
        raise MalformedError(f'{where}: give a value, {{"any_of": […]}} or {{"min": …, "max": …}}')
    allowed = constraint.get("any_of", [0])
    if not isinstance(allowed, list) or not allowed:
        raise MalformedError(f"{where}.any_of is no list of values")
    for value in allowed if "any_of" in constraint else ():
        if value is not None:
            scalar(hint, value, f"{where}.any_of")
    bounds = [scalar(float, constraint[name], f"{where}.{name}") for name in ("min", "max") if name in constraint]
    if bounds and hint not in {int, float}:
        raise MalformedError(f"{where} is no number: min and max say nothing of it")
    if sorted(bounds, key=_number) != bounds:
        raise MalformedError(f"{where}: min is greater than max")


def _number(value: object) -> float:
    """A number that has been checked to be one."""
    return cast("float", value)


def holds(constraint: object, value: object) -> bool:
    """Whether a field's value is as expected. What is not known is so only where null is allowed."""
    if isinstance(constraint, dict):
        if "any_of" in constraint:
            return value in constraint["any_of"]
        if not isinstance(value, int | float):
            return False
        return _number(constraint.get("min", value)) <= value <= _number(constraint.get("max", value))
    if isinstance(value, tuple):
        return isinstance(constraint, list) and sorted(map(str, constraint)) == sorted(map(str, value))
    return constraint == value


def said(constraint: object) -> str:
    """A constraint as a line says it."""
    if isinstance(constraint, dict) and "any_of" in constraint:
        return "one of " + ", ".join(map(said, constraint["any_of"]))
    if isinstance(constraint, dict) and set(constraint) in _FORMS:
        bounds = [
            f"{word} {constraint[name]}"
            for name, word in (("min", "at least"), ("max", "at most"))
            if name in constraint
        ]
        return " and ".join(bounds)
    if isinstance(constraint, dict | list | tuple):
        return ", ".join(_several(constraint)) or "none"
    if constraint is None:
        return "not known"
    return {True: "yes", False: "no"}[constraint] if isinstance(constraint, bool) else str(constraint)


def _several(constraint: dict[str, object] | list[object] | tuple[object, ...]) -> Iterator[str]:
    if not isinstance(constraint, dict):
        yield from map(said, constraint)
        return
    for name, inside in constraint.items():
        if not isinstance(inside, list) and not (isinstance(inside, dict) and set(inside) not in _FORMS):
            yield f"{name} {said(inside)}"
