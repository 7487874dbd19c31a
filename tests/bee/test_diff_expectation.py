"""A machine is as its own expectation says, and any one thing that is not is one line that names it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee.audit import serialise
from bee.comparison import expectation
from bee.comparison.deviations import _item, deviations
from bee.comparison.expectation import made_from, own, read
from bee.comparison.parts import KINDS
from bee.comparison.roles import Role, roles
from bee.model import Audit, Disk, Finding, RaidMember, SelEvent
from bee.typed_json import MalformedError
from tests.bee.racks import ANY_MACHINE, SEEN, SERVER, disk, machine, module
from tests.bee.recorded import audit, without
from tests.bee.test_bad_input import FILES, called
from tests.bee.test_cli import run
from tests.bee.test_redaction import left

SCHEMA = json.loads((files("bee") / "schemas" / "expectation.schema.json").read_text("utf-8"))
EXPECTED = {Role.PLACE, Role.FACT, Role.FIRMWARE, Role.LESS_IS_WORSE, Role.ROUGH}
Path_ = tuple[str | int, ...]


def lines(document: dict[str, Any], found: Audit) -> list[str]:
    return [str(deviation) for deviation in deviations(read(document), found)]


def golden(one: Audit = SEEN) -> dict[str, Any]:
    """The expectation as it comes out of its file."""
    document: dict[str, Any] = json.loads(json.dumps(made_from(one)))
    return document


@given(st.one_of(st.just(SERVER), ANY_MACHINE))
def test_a_machine_is_as_its_own_expectation_says(one: Audit) -> None:
    assert lines(golden(one), one) == []


@settings(max_examples=10)
@given(st.one_of(st.just(SERVER), ANY_MACHINE))
def test_an_expectation_fits_its_schema(one: Audit) -> None:
    jsonschema.validate(golden(one), SCHEMA)


# Places that equal machines have by chance.
LEFT_OUT = {(Disk, "hctl"), (RaidMember, "type")}


def facts(record: Any, one: Audit, path: Path_ = ()) -> Iterator[tuple[Path_, object]]:
    """Every field that an expectation made of an audit names, with its value."""
    for field in dataclasses.fields(record):
        value, role, here = getattr(record, field.name), roles(type(record)).get(field.name), (*path, field.name)
        if role is None and isinstance(value, tuple):
            for index, part in enumerate(value):
                if part in own(value, one):
                    yield from facts(part, one, (*here, index))
        elif role is None and value is not None:
            yield from facts(value, one, here)
        elif role in EXPECTED and value is not None and (type(record), field.name) not in LEFT_OUT:
            yield here, value


def altered(record: Any, path: Path_, value: object) -> Any:
    """`record` with another value at `path`."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        return (*record[:head], altered(record[head], rest, value), *record[head + 1 :])
    return replace(record, **{head: altered(getattr(record, head), rest, value)})


def other(value: object) -> object:
    """Something else of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1
    return (*value, "0x1") if isinstance(value, tuple) else f"{value}X"


def speed_of_an_idle_gpus_link(one: Audit, path: Path_) -> bool:
    return path[-1] == "speed_gts" and "pcie" in path and not _named(made_from(one)["expect"], path)


def _named(document: Any, path: Path_) -> bool:
    """Whether any entry of a list names the field: which one is which part's is not said."""
    if not path:
        return True
    if isinstance(document, list):
        return isinstance(path[0], int) and path[0] < len(document) and _named(document[path[0]], path[1:])
    return isinstance(document, dict) and path[0] in document and _named(document[path[0]], path[1:])


@pytest.mark.parametrize("lost", [False, True], ids=["another value", "not known"])
@given(data=st.data())
def test_one_fact_that_is_not_as_expected_is_one_line_that_names_it(lost: bool, data: st.DataObject) -> None:
    one = data.draw(st.one_of(st.just(SEEN), ANY_MACHINE))
    path, value = data.draw(st.sampled_from(list(facts(one, one))))
    if speed_of_an_idle_gpus_link(one, path):
        return
    found = lines(golden(one), altered(one, path, None if lost else other(value)))
    assert len(found) == 1, (path, found)
    assert str(path[-1]) in found[0], (path, found)
    assert found[0].startswith(str(path[0]))
    assert found[0].isprintable()


@given(one=st.one_of(st.just(SEEN), ANY_MACHINE), data=st.data())
def test_one_part_more_or_less_is_one_line(one: Audit, data: st.DataObject) -> None:
    lists = [("memory", "slots"), ("storage", "disks"), ("psu", "supplies"), ("nvidia", "gpus"), ("pcie", "devices")]
    step, name = data.draw(st.sampled_from(lists))
    parts = getattr(getattr(one, step), name)
    document = golden(one)
    if parts:
        index = data.draw(st.integers(0, len(parts) - 1))
        fewer = altered(one, (step, name), (*parts[:index], *parts[index + 1 :]))
        if step != "pcie":
            assert [line.split(":")[0] for line in lines(document, fewer)] == [f"{step}.{name}"]
        more = altered(one, (step, name), (*parts, parts[index]))
        present = KINDS[type(parts[index])].present
        there = present is None or getattr(parts[index], present)
        assert len(lines(document, more)) == (1 if there else 0)


def test_no_identity_and_no_measurement_is_expected() -> None:
    text = json.dumps(golden(SERVER))
    assert left(text.encode()) == []
    for word in ("serial", "uuid", "mac", "hostname", "temperature_celsius", "power_on_hours", "ip_address", "notes"):
        assert f'"{word}"' not in text


def test_another_machine_of_the_rack_is_as_expected() -> None:
    ours = machine((module(1, "A"), module(2, "B")), (disk(0, "A"), disk(1, "B")))
    theirs = machine((module(2, "C"), module(1, "D")), (disk(5, "C", "sdx"), disk(3, "D", "sdy")))
    assert lines(golden(ours), theirs) == []


def test_equal_parts_are_one_entry_with_their_count() -> None:
    document = golden(machine(disks=tuple(disk(place, str(place)) for place in range(12))))
    (entry,) = document["expect"]["storage"]["disks"]
    assert entry["count"] == 12
    found = lines(document, machine(disks=tuple(disk(place, str(place)) for place in range(10))))
    assert len(found) == 1
    assert found[0].startswith("storage.disks: expected 2 more parts with model ")
    broken = [disk(place, str(place)) for place in range(11)] + [replace(disk(11, "11"), firmware="OLD1")]
    assert lines(document, machine(disks=tuple(broken))) == [
        f"storage.disks[sdl].firmware: expected {entry['firmware']}, found OLD1"
    ]


@pytest.mark.parametrize("count", [3, {"min": 2, "max": 24}, {"min": 0}])
def test_a_part_that_may_be_there_and_deviates_is_one_line_that_names_the_field(count: object) -> None:
    three = [disk(place, str(place)) for place in range(3)]
    (entry,) = golden(machine(disks=tuple(three)))["expect"]["storage"]["disks"]
    document = {"expectation_version": 1, "expect": {"storage": {"disks": [{**entry, "count": count}]}}}
    three[1] = replace(three[1], firmware="OLD1")
    assert lines(document, machine(disks=tuple(three))) == [
        f"storage.disks[sdb].firmware: expected {entry['firmware']}, found OLD1"
    ]


def test_an_empty_slot_that_may_be_filled_is_no_deviation() -> None:
    (entry,) = golden(machine((module(1, "A"),)))["expect"]["memory"]["slots"]
    document = {"expectation_version": 1, "expect": {"memory": {"slots": [{**entry, "count": {"max": 1}}]}}}
    empty = replace(module(1, None), populated=False, size_bytes=None, type=None, speed_mts=None, manufacturer=None)
    assert lines(document, machine((empty,))) == []


def test_a_part_that_is_too_many_is_said_with_its_size_as_people_say_it() -> None:
    document = golden(machine((module(1, "A"),)))
    (line,) = lines(document, machine((module(1, "A"), module(2, "B"))))
    assert line == "memory.slots[DIMM_2 BANK 2]: expected no such part, found Samsung M393A4K40DB3-CWE 32 GiB"


def test_a_usb_disk_is_not_the_machines() -> None:
    stick = replace(disk(3, "STICK"), transport="usb")
    assert lines(golden(machine(disks=(stick,))), machine()) == []
    assert lines(golden(machine()), machine(disks=(stick,))) == []


def test_what_is_deleted_may_be_anything() -> None:
    document = golden()
    del document["expect"]["board"]["bios"]
    document["expect"]["memory"] = {"total_bytes": {"min": 2**33}}
    changed = altered(altered(SEEN, ("board", "bios", "version"), "9"), ("memory", "slots"), ())
    assert lines(document, changed) == []
    assert lines({"expectation_version": 1, "expect": {}}, SEEN) == []


@pytest.mark.parametrize(
    ("constraint", "value", "holds"),
    [
        ("3.4", "3.4", True),
        ("3.4", "3.5", False),
        ({"any_of": ["3.4", "3.5"]}, "3.5", True),
        ({"any_of": ["3.4", "3.5"]}, "3.6", False),
        ({"any_of": ["3.4", None]}, None, True),
        (None, None, True),
        (None, "3.4", False),
        ("3.4", None, False),
    ],
)
def test_what_a_value_may_be(constraint: object, value: object, holds: bool) -> None:
    document = {"expectation_version": 1, "expect": {"board": {"bios": {"version": constraint}}}}
    jsonschema.validate(document, SCHEMA)
    assert (lines(document, altered(SEEN, ("board", "bios", "version"), value)) == []) == holds


@pytest.mark.parametrize(("bounds", "holds"), [({"min": 2, "max": 4}, True), ({"min": 4}, False), ({"max": 2}, False)])
def test_bounds_of_a_number_and_of_a_count(bounds: dict[str, int], holds: bool) -> None:
    three = machine(disks=tuple(disk(place, str(place)) for place in range(3)))
    document: dict[str, Any] = {"expectation_version": 1, "expect": {"storage": {"disks": [{"count": bounds}]}}}
    jsonschema.validate(document, SCHEMA)
    assert (lines(document, three) == []) == holds
    number = {"expectation_version": 1, "expect": {"host": {"logical_cpus": bounds}}}
    assert (lines(number, altered(SEEN, ("host", "logical_cpus"), 3)) == []) == holds


def test_parts_are_assigned_so_that_all_fit_where_they_can() -> None:
    """The first disk would take what only the second entry's part can be."""
    entries = [{"model": {"any_of": ["A", "B"]}, "count": 2}, {"model": "A"}, {"count": {"min": 0}, "model": "C"}]
    document = {"expectation_version": 1, "expect": {"storage": {"disks": entries}}}

    def of(*models: str) -> Audit:
        return machine(disks=tuple(replace(disk(n, str(n)), model=name) for n, name in enumerate(models)))

    assert lines(document, of("A", "B", "A")) == []
    assert lines(document, of("A", "A", "B", "C", "C")) == []
    assert len(lines(document, of("B", "B", "B"))) == 1
    assert lines(document, of("A", "B", "A", "D")) == ["storage.disks[sdd]: expected no such part, found ATA D 480 GB"]


def test_who_can_be_but_one_part_has_the_first_choice() -> None:
    entries = [{"vendor": "ATA"}, {"vendor": "ATA", "model": "A"}]
    document = {"expectation_version": 1, "expect": {"storage": {"disks": entries}}}
    disks = (replace(disk(0, "1"), model="A"), replace(disk(1, "2"), model="B", vendor="X"))
    assert lines(document, machine(disks=disks)) == ["storage.disks[sdb].vendor: expected ATA, found X"]


def test_an_empty_slot_is_one_line_whatever_it_should_hold() -> None:
    document = golden(machine((module(1, "A"), module(2, "B"))))
    empty = replace(
        module(2, None), populated=False, size_bytes=None, type=None, speed_mts=None, manufacturer=None, ecc=None
    )
    assert lines(document, machine((module(1, "A"), empty))) == [
        "memory.slots[DIMM_2 BANK 2].populated: expected yes, found no"
    ]


@pytest.mark.parametrize(
    ("tool", "line"),
    [
        ("nvidia-smi", "nvidia: expected all of it seen, found not all: nvidia-smi is not installed"),
        ("lsblk", "storage: expected all of it seen, found not all: lsblk is not installed"),
        ("storcli64", "storage.raid_controllers: expected a part with model MegaRAID 9460-8i, "),
    ],
)
def test_what_could_not_be_seen_is_a_deviation_with_its_reason(tool: str, line: str) -> None:
    found = lines(golden(SERVER), audit(without(tool)))
    assert len([text for text in found if text.startswith(line)]) == 1, found


def test_a_finding_is_a_deviation_unless_it_is_allowed() -> None:
    finding = Finding(severity="critical", component="disk sda", rule="disk-pending", evidence="9 of them", action="-")
    bad = replace(SEEN, findings=(finding,))
    assert lines(golden(SEEN), bad) == ["findings: expected no disk-pending, found disk sda: 9 of them"]
    assert lines(golden(bad), bad) == []


BIOS = '{"expectation_version": 1, "expect": {"board": {"bios": {"version": %s}}}}'
HOST = '{"expectation_version": 1, "expect": {"host": {"logical_cpus": %s}}}'
PSU = '{"expectation_version": 1, "expect": {"psu": {%s}}}'
WRONG = {
    '{"expect": {}}': "has no expectation_version",
    '{"expectation_version": 2, "expect": {}}': "version 2, written by a newer bee; this bee reads version 1",
    '{"expectation_version": 1}': "expect is no object",
    BIOS % '"9.9", "version": "3.4"': "version stands twice in one of its objects; take one of both out",
    '{"expectation_version": 1, "expect": {}, "expect": {}}': "is no expectation: expect stands twice",
    '{"expectation_version": 1, "expect": {}, "sene": []}': "sene: an expectation has no such field",
    '{"expectation_version": 1, "expect": {"memroy": {}}}': "expect.memroy: there is no such part",
    '{"expectation_version": 1, "expect": {"memory": {"banks": []}}}': "expect.memory.banks: an audit has no such",
    '{"expectation_version": 1, "expect": {"memory": null}}': "expect.memory is no object",
    '{"expectation_version": 1, "expect": {"memory": {"slots": {}}}}': "expect.memory.slots is no list",
    '{"expectation_version": 1, "expect": {"memory": {"slots": [{"size": 1}]}}}': "slots[0].size: an audit has no",
    '{"expectation_version": 1, "expect": {"memory": {"slots": [{"count": -1}]}}}': "slots[0].count is no whole number",
    '{"expectation_version": 1, "expect": {"memory": {"slots": [{"count": 1000000000}]}}}': "count is no whole number",
    '{"expectation_version": 1, "expect": {"memory": {"count": 1}}}': "expect.memory.count: an audit has no such field",
    '{"expectation_version": 1, "expect": {}, "seen": ["gpu"]}': "seen: gpu is no part of an audit",
    '{"expectation_version": 1, "expect": {}, "allowed_findings": ["disk"]}': "allowed_findings: disk is no rule",
    BIOS % "3.4": "expect.board.bios.version is no string",
    BIOS % '{"any_of": []}': "version.any_of is no list of values",
    BIOS % '{"any_of": [1]}': "version.any_of is no string",
    BIOS % '{"min": 3}': "version is no number: min and max say nothing of it",
    BIOS % '{"one_of": ["3"]}': "give a value, ",
    HOST % f'{{"min": 1{"0" * 400}}}': "expect.host.logical_cpus.min is no number",
    HOST % f'{{"any_of": [1{"0" * 400}]}}': "expect.host.logical_cpus.any_of is no whole number",
    PSU % '"sensors": [{"name": "FAN1"}]': "psu.sensors can only be expected to be empty: findings tell what counts",
    PSU % '"sel_critical": [{}]': "expect.psu.sel_critical can only be expected to be empty",
    PSU % '"frus": [{"other": [{}]}]': "expect.psu.frus[0].other can only be expected to be empty: it is for people",
    '{"expectation_version": 1, "expect": {"storage": {"disks": [{"smart": {"self_tests": [{}]}}]}}}': (
        "expect.storage.disks[0].smart.self_tests can only be expected to be empty"
    ),
    '{"expectation_version": 1, "expect": {"host": {"logical_cpus": {"min": 3, "max": 2}}}}': "min is greater than max",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_expectation_is_one_line_and_exit_2(tmp_path: Path, text: str) -> None:
    path, good = tmp_path / "golden.json", tmp_path / "good.json"
    path.write_text(text)
    good.write_bytes(serialise(SERVER))
    code, out, err = called(("check", "--against", str(path), str(good)))
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"bee: {path} is ")
    assert WRONG[text] in err


def expectable(record: Any) -> dict[str, object]:
    """All that an audit says of a record, as somebody may write it into an expectation, but what is refused there."""
    said: dict[str, object] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            said[field.name] = expectable(value)
        elif isinstance(value, tuple):
            item = _item(record, field.name)
            # A FRU's other fields are for people, and not looked at.
            if item not in expectation.UNEXPECTED:
                parts = own(value, SERVER)
                said[field.name] = [expectable(part) if item in KINDS else part for part in parts]
        else:
            said[field.name] = value
    return said


def test_a_log_without_critical_entries_can_be_expected() -> None:
    document = json.loads(PSU % '"sel_critical": []')
    event = SelEvent(id=1, occurred_at=None, sensor="PS1", event="Failure detected", asserted=True)
    assert lines(document, altered(SEEN, ("psu", "sel_critical"), ())) == []
    assert lines(document, altered(SEEN, ("psu", "sel_critical"), (event, event))) == [
        "psu.sel_critical: expected none, found 2 of them"
    ]


def test_whatever_an_expectation_may_say_can_hold() -> None:
    parts = {step: expectable(getattr(SERVER, step)) for step in expectation.STEPS}
    allowed = [finding.rule for finding in SERVER.findings]
    document = {"expectation_version": 1, "expect": parts, "allowed_findings": allowed}
    jsonschema.validate(document, SCHEMA)
    assert lines(document, SERVER) == []


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind not in {"newer", "older", "long number"}])
def test_what_is_no_expectation_at_all(tmp_path: Path, kind: str) -> None:
    path, good = tmp_path / "golden.json", tmp_path / "good.json"
    path.write_bytes(FILES[kind][0])
    good.write_bytes(serialise(SERVER))
    for against in (path, tmp_path, tmp_path / "absent"):
        code, out, err = called(("check", "--against", str(against), str(good)))
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert str(against) in err


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["memory", "slots", "any_of", "min", "max", "count", "locator"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_an_expectation_or_says_what_is_wrong(value: object) -> None:
    document: dict[str, Any] = {"expectation_version": expectation.VERSION, "expect": value}
    try:
        expected = read(document)
    except MalformedError:
        return
    jsonschema.validate(document, SCHEMA)
    deviations(expected, SEEN)


def test_commands_and_exit_codes(tmp_path: Path) -> None:
    audited, expected = tmp_path / "audit.json", tmp_path / "golden.json"
    audited.write_bytes(serialise(SERVER))
    made = run("expect", str(audited))
    assert made.returncode == 0
    assert b"bee: this machine has findings: cpu-disabled, " in made.stderr
    expected.write_bytes(made.stdout)
    same = run("check", "--against", str(expected), str(audited))
    assert (same.returncode, same.stdout, same.stderr) == (0, b"", b"")
    audited.write_bytes(serialise(altered(SERVER, ("board", "bios", "version"), "9.9")))
    other_bios = run("check", "--against", str(expected), "-", stdin=audited.read_bytes())
    assert (other_bios.returncode, other_bios.stderr) == (1, b"")
    assert other_bios.stdout == b"board.bios.version: expected 3.4, found 9.9\n"
    assert run("check", "--against", "-", str(audited), stdin=expected.read_bytes()).stdout == other_bios.stdout
    twice = run("check", "--against", "-", "-")
    assert (twice.returncode, twice.stdout, twice.stderr.count(b"\n")) == (2, b"", 1)


def test_this_machine_is_as_expected_of_it(tmp_path: Path) -> None:
    expected = tmp_path / "golden.json"
    audited = run("audit", "--output", "-").stdout
    expected.write_bytes(run("expect", "-", stdin=audited).stdout)
    jsonschema.validate(json.loads(expected.read_text()), SCHEMA)
    again = run("check", "--against", str(expected), "-", stdin=run("audit", "--output", "-").stdout)
    assert (again.returncode, again.stdout) == (0, b"")
