"""What has changed between two audits: parts gone, new and moved, other firmware, wear and defects; never measurements.

What one of both audits could not see is said to be unseen: it is neither removed nor added.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bee import drives, model
from bee.comparison.matching import Candidate, match
from bee.comparison.parts import KINDS, Surroundings, listed_as, model_words, place_fields, renumbered, strings
from bee.comparison.roles import ROUGH_SHARE, Role, hints, roles
from bee.comparison.seeing import (
    doubtful,
    listed,
    no_health,
    optional_tool,
    saw_bmc,
    saw_finding,
    step_of_rule,
    whole,
    why,
    why_no_health,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee.comparison.matching import Matched
    from bee.model import Audit, Finding

# In the order in which they are shown.
CHANGES = ("worse", "removed", "added", "moved", "firmware", "changed", "better", "unseen")
OLD, NEW = 0, 1
_SIDES = ("OLD", "NEW")
# PCI functions last: what is on one is told by its own list, with a serial number.
_STEPS = ("host", "board", "nvidia", "storage", "memory", "cpu", "psu", "pcie")
# The lists that say more of a part go before those that have it too.
_FIRST = ("supplies", "raid_controllers", "raid_members")
_WHOLE = "all of it"
_CUT_BY_LSBLK = ("model", "serial", "firmware")
_NEVER = (Role.PLACE, Role.LABEL, Role.MEASURED, Role.REPEATED, Role.REMARK)
# Only Areca's drives are asked by their slot; others by a number that their controller once gave them.
_SLOT_TYPE = re.compile(r"(?:sat\+)?areca,")
# What RAID controllers, firmware and their parts call well, without case, as the beginning of what they say.
_WELL = ("ok", "opt", "onln", "ugood", "jbod", "ready", "hot spare", "ghs", "dhs", "cac", "present, ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference.

    Attributes:
        change: one of CHANGES.
        part: what it is about, such as 'disk sda'.
        field: the field or the rule, by its name in the audit; None where it is about the part as a whole.
        old, new: its value in either audit; where the part is, when it has moved.
        detail: what the part is, what a finding saw, or why nothing can be said.
    """

    change: str
    part: str
    field: str | None = None
    old: object = None
    new: object = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the comparison is: the step, the part, the path of fields below it, and the part's identities."""

    step: str
    part: str
    path: str = ""
    known_as: frozenset[str] = frozenset()
    kind: type | None = None
    idle: bool = False
    doubtful: int | None = None

    def field(self, name: str) -> str:
        return f"{self.path}{name}"


def differences(old: Audit, new: Audit) -> tuple[Difference, ...]:
    """Every difference that counts, sorted: what is worse first, by part within a kind of change."""
    return _Comparison(old, new).result()


class _Comparison:
    def __init__(self, old: Audit, new: Audit) -> None:
        self._audits = (old, new)
        # Where only one audit has the PCI tree, addresses are all there is on both sides.
        both = old.pcie is not None and new.pcie is not None
        self._around = (Surroundings(old, with_paths=both), Surroundings(new, with_paths=both))
        self._doubtful = doubtful(self._audits)
        self._found: list[Difference] = []
        self._told: defaultdict[tuple[object, ...], set[type | None]] = defaultdict(set)
        # By step, or by a drive silent in a step that is whole, and the audit that did not see: what and how often.
        self._unseen: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        # By what the other audit's findings call it, and the audit in which it is silent: the disk, and why it is.
        self._silent: dict[tuple[str, int], tuple[str, str]] = {}
        self._old_names: dict[str, str] = {}

    def result(self) -> tuple[Difference, ...]:
        for step in _STEPS:
            old, new = (getattr(audit, step) for audit in self._audits)
            if old is not None and new is not None:
                self._record(old, new, _Spot(step, step))
            elif old is not None or new is not None:
                self._unseen[step, OLD if old is None else NEW][_WHOLE] += 1
        self._findings()
        reasons = {(part, side): reason for (_, side), (part, reason) in self._silent.items()}
        for (step, side), counts in self._unseen.items():
            many = " and ".join(what if what == _WHOLE else _counted(count, what) for what, count in counts.items())
            reason = reasons.get((step, side)) or why(self._audits[side], step)
            self._say("unseen", step, detail=f"{many} not seen in {_SIDES[side]}: {reason}")
        return tuple(
            sorted(
                self._found,
                key=lambda d: (CHANGES.index(d.change), d.part, d.field or "", str(d.old), str(d.new), d.detail or ""),
            )
        )

    def _say(
        self,
        change: str,
        part: str,
        field: str | None = None,
        old: object = None,
        new: object = None,
        detail: str | None = None,
    ) -> None:
        self._found.append(Difference(change=change, part=part, field=field, old=old, new=new, detail=detail))

    def _record(self, old: object, new: object, spot: _Spot) -> None:
        """Compare two records of the same part field by field."""
        role_of = roles(type(old))
        for name in sorted(hints(type(old)), key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)):
            before, after = getattr(old, name), getattr(new, name)
            role = role_of.get(name)
            if role is None and isinstance(before, tuple):
                self._parts(before, after, spot)
            elif role is None and before is not None and after is not None:
                self._record(before, after, replace(spot, path=f"{spot.field(name)}."))
            elif role not in _NEVER and before != after and not (spot.idle and name == "speed_gts"):
                self._field(role or Role.FACT, name, (old, new), spot)

    def _field(self, role: Role, name: str, records: tuple[object, object], spot: _Spot) -> None:
        """Say what a field has become that differs in two records of the same part."""
        old, new = (getattr(record, name) for record in records)
        side = _says_less(name, records)
        seen = side is None or (saw_bmc(self._audits[side]) if name == "bmc" else whole(self._audits[side], spot.step))
        if spot.doubtful is not None:
            side, seen = spot.doubtful, False
        if side is not None and seen and no_health(records[side]) and not no_health(records[1 - side]):
            self._unseen[spot.part, side]["fact"] += 1
            return
        if side is not None and not seen:
            self._unseen[spot.step, side]["fact"] += 1
            return
        change = _change(role, old, new)
        before, after = _shown(old), _shown(new)
        if change is not None and not self._is_told(spot, name, before, after):
            self._say(change, spot.part, spot.field(name), before, after)

    def _is_told(self, spot: _Spot, *said: object) -> bool:
        """Whether the same was said of the same part where it stands in another list; from now on it is."""
        known = False
        for identity in spot.known_as:
            tellers = self._told[identity, *said]
            known = known or any(listed_as(spot.kind, teller) for teller in tellers)
            tellers.add(spot.kind)
        return known

    def _parts(self, old: tuple[object, ...], new: tuple[object, ...], above: _Spot) -> None:
        """Compare two lists of parts."""
        if not old and not new:
            return
        kind = KINDS[type((old or new)[0])]
        matched = match(self._candidates(old, OLD), self._candidates(new, NEW))
        for before, after in matched.pairs:
            spot = self._spot(after.part, above, NEW)
            spot = replace(spot, known_as=spot.known_as | self._around[OLD].known_as(before.part))
            self._learn_name(before.part, after.part)
            self._learn_silence((before.part, after.part), spot)
            self._record(before.part, after.part, spot)
        for before, after in _moved(matched):
            spot = self._spot(after.part, above, NEW)
            if spot.doubtful is None and not self._is_told(spot, "moved"):
                self._say("moved", spot.part, None, _place(before.part), _place(after.part))
        for side, candidates in ((OLD, matched.gone), (NEW, matched.come)):
            for candidate in candidates:
                if side == NEW:
                    self._learn_name(None, candidate.part)
                self._alone(candidate.part, above, side, kind.listed_by, (old, new)[1 - side])

    def _candidates(self, parts: tuple[object, ...], side: int) -> list[Candidate[object]]:
        """What is in the slots and bays; power supplies have a list of their own, so their FRU records are left out."""
        around = self._around[side]
        psu = self._audits[side].psu
        return [
            Candidate(part, around.keys(part), around.place(part), _content(part))
            for part in parts
            if _present(part) and not (isinstance(part, model.Fru) and part.power_supply and psu and psu.supplies)
        ]

    def _alone(
        self,
        part: object,
        above: _Spot,
        side: int,
        listed_by: tuple[tuple[str, ...], ...],
        others: tuple[object, ...],
    ) -> None:
        """A part that one audit alone has: it is gone or new, if the other audit can say so."""
        other = self._audits[1 - side]
        spot = self._spot(part, above, side)
        unknown = any(_present(there) is None and strings_of_place(there) == strings_of_place(part) for there in others)
        if spot.doubtful is not None:
            self._unseen[spot.step, spot.doubtful]["part"] += 1
        elif unknown or not listed(other, spot.step, part, listed_by):
            tool = optional_tool(part)
            reason = f"{tool} did not run" if tool else why(other, spot.step)
            reason = "the firmware does not say whether its slot is empty" if unknown else reason
            self._say("unseen", spot.part, None, detail=f"not seen in {_SIDES[1 - side]}: {reason}")
        elif not self._is_told(spot, "alone", side):
            self._say("removed" if side == OLD else "added", spot.part, detail=_description(part))

    def _spot(self, part: object, above: _Spot, side: int) -> _Spot:
        around = self._around[side]
        kind = KINDS[type(part)]
        name = getattr(part, kind.name) if kind.name else _place(part)
        label = f"{kind.noun} {name}" if name else kind.noun
        idle = isinstance(part, model.PciDevice) and part.address in around.with_gpu
        own = above.part if above.part != above.step else ""
        return _Spot(
            above.step,
            f"{own}, {label}" if own else label,
            "",
            frozenset(around.known_as(part)),
            type(part),
            idle,
            self._doubtful if isinstance(part, model.Supply) else None,
        )

    def _learn_name(self, old: object, new: object) -> None:
        """A finding calls a part by a name or an address: remember what the part was called in the old audit."""
        for name in ("name",) if isinstance(new, model.Disk) else ("address",):
            called = getattr(new, name, None)
            if called is not None and not isinstance(new, model.Interface):
                self._old_names[called] = getattr(old, name) if old is not None else f"+{called}"

    def _learn_silence(self, parts: tuple[object, object], spot: _Spot) -> None:
        """A disk whose health one audit alone could read: what the other lacks of it has not gone away."""
        for side, (part, other) in enumerate((parts, parts[::-1])):
            if not isinstance(part, drives.Drive) or not isinstance(other, drives.Drive):
                continue
            if no_health(part) and not no_health(other) and whole(self._audits[side], spot.step):
                self._silent[drives.component(drives.name(other)), side] = (spot.part, why_no_health(part))

    def _findings(self) -> None:
        old, new = (audit.findings for audit in self._audits)
        before = _by_rule((_key(finding, {}), finding) for finding in old)
        after = _by_rule((_key(finding, self._old_names), finding) for finding in new)
        for key in before.keys() | after.keys():
            ours, theirs = before.get(key, []), after.get(key, [])
            for finding in ours[len(theirs) :]:
                self._finding(finding, NEW)
            for finding in theirs[len(ours) :]:
                self._finding(finding, OLD)
        if ("BMC event log" in {key[1] for key in before}) == ("BMC event log" in {key[1] for key in after}):
            self._events()

    def _finding(self, finding: Finding, missing_in: int) -> None:
        silent = self._silent.get((finding.component, missing_in)) if finding.rule.startswith("disk-") else None
        if silent is not None:
            self._unseen[silent[0], missing_in]["finding"] += 1
        elif not saw_finding(self._audits, finding.rule, missing_in):
            self._unseen[step_of_rule(finding.rule) or "", missing_in]["finding"] += 1
        elif missing_in == NEW:
            self._say("better", finding.component, finding.rule, detail=f"no longer: {finding.evidence}")
        else:
            self._say("worse", finding.component, finding.rule, detail=finding.evidence)

    def _events(self) -> None:
        """The log's critical entries beyond those of the other audit, in one line: the rest is the log's to tell."""
        old, new = (
            Counter((e.occurred_at, e.sensor, e.event, e.asserted) for e in audit.psu.sel_critical)
            if audit.psu
            else Counter()
            for audit in self._audits
        )
        if any(not whole(audit, "psu") for audit in self._audits):
            return
        for change, more in (("worse", new - old), ("better", old - new)):
            if more:
                occurred, sensor, event, _ = max(more, key=lambda entry: (entry[0] or "", *map(str, entry[1:])))
                newest = f"{occurred or 'no date'} {sensor}: {event}"
                count = f"{more.total()} critical entries {'more' if change == 'worse' else 'fewer'}"
                self._say(change, "BMC event log", "sel_critical", detail=f"{count}, the newest of them: {newest}")


def _change(role: Role, old: object, new: object) -> str | None:  # noqa: PLR0911 - one line a role
    """What it means that a field has become `new`; None: nothing."""
    if role is Role.FIRMWARE:
        return "firmware"
    if old is None or new is None:
        return "changed"
    if isinstance(old, int | float) and isinstance(new, int | float):
        if role is Role.MORE_IS_WORSE:
            return "worse" if new > old else "better"
        if role is Role.ROUGH and abs(new - old) <= ROUGH_SHARE * max(old, new):
            return None
        if role in {Role.LESS_IS_WORSE, Role.REMAINING, Role.ROUGH}:
            return "worse" if new < old else "better"
    if role is Role.STATE and _well(old) != _well(new):
        return "worse" if _well(old) else "better"
    return "changed"


def _says_less(name: str, records: tuple[object, object]) -> int | None:
    """Which of the audits knows less of a field: None where both know it, and differently."""
    values = [getattr(record, name) for record in records]
    if None in values:
        return values.index(None)
    cut = [_is_cut(name, record) for record in records]
    side = OLD if cut[OLD] else NEW
    return side if cut[OLD] != cut[NEW] and values[side] in values[1 - side] else None


def _is_cut(name: str, record: object) -> bool:
    """Whether lsblk alone said it: it has the end of a firmware's version, the beginning of a model."""
    alone = isinstance(record, model.Disk) and record.smart is None and record.nvme is None
    return alone and name in _CUT_BY_LSBLK


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _well(state: object) -> bool:
    return str(state).lower().startswith(_WELL)


def _shown(value: object) -> object:
    """A field's value as something that JSON and a line of text can have."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return value if value is None or isinstance(value, str | int | float | bool) else "known"


def _present(part: object) -> bool | None:
    field = KINDS[type(part)].present
    value = True if field is None else getattr(part, field)
    return None if value is None else bool(value)


def strings_of_place(part: object) -> tuple[str | None, ...]:
    """Where a part is, by the fields of its record."""
    return strings(part, place_fields(type(part)))


def _place(part: object) -> str:
    return " ".join(value for value in strings_of_place(part) if value)


def _description(part: object) -> str | None:
    """What a part is, and its serial number."""
    said = model_words(part)
    serial = getattr(part, "serial", None)
    return ", ".join([*([" ".join(said)] if said else []), *([f"serial {serial}"] if serial else [])]) or None


def _content(part: object) -> str:
    """All that a part says of itself without what changes by itself, to tell it from others in the same place."""
    role_of = roles(type(part))
    never = (Role.LABEL, Role.MEASURED, Role.REMARK)
    return repr([(name, getattr(part, name)) for name in hints(type(part)) if role_of.get(name) not in never])


def _moved(matched: Matched[object]) -> Iterable[tuple[Candidate[object], Candidate[object]]]:
    """The pairs whose places differ in something that both audits know."""
    behind: dict[str, list[tuple[model.Disk, model.Disk]]] = defaultdict(list)
    for before, after in matched.pairs:
        if isinstance(before.part, model.Disk) and isinstance(after.part, model.Disk) and before.part.pci_address:
            behind[before.part.pci_address].append((before.part, after.part))
    same = {controller for controller, pairs in behind.items() if renumbered(pairs)}
    for before, after in matched.pairs:
        alike = isinstance(before.part, model.Disk) and before.part.pci_address in same
        alike = alike or (isinstance(before.part, model.RaidMember) and not _SLOT_TYPE.match(before.part.type))
        if not alike and _elsewhere(before, after):
            yield before, after


def _elsewhere(before: Candidate[object], after: Candidate[object]) -> bool:
    fields = place_fields(type(before.part))
    places = list(zip(before.place[: len(fields)], after.place, strict=False))
    # A bay is where a disk sits; the kernel's addresses tell only where no bay is known.
    if isinstance(before.part, model.Disk) and fields[0] == "slot" and places and None not in places[0]:
        places = places[:1]
    return any(a != b and None not in (a, b) for a, b in places)


def _key(finding: Finding, old_names: dict[str, str]) -> tuple[str, str]:
    return finding.rule, " ".join(old_names.get(word, word) for word in finding.component.split(" "))


def _by_rule(findings: Iterable[tuple[tuple[str, str], Finding]]) -> dict[tuple[str, str], list[Finding]]:
    found = defaultdict(list)
    for key, finding in findings:
        found[key].append(finding)
    return found
