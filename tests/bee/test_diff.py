"""What has changed between two audits: what is said, what is never said, and that no firmware can confuse it."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee import model
from bee.audit import serialise
from bee.comparison import expectation
from bee.comparison.deviations import deviations
from bee.comparison.differences import CHANGES, Difference, differences
from bee.comparison.parts import KINDS, place_fields
from bee.comparison.roles import Role, hints, roles
from bee.comparison.seeing import step_of_rule
from bee.health import RULES
from bee.model import Audit, Finding
from bee.redaction import is_identity
from bee.restoring import audit as restored
from bee.views import diff as view
from tests.bee.racks import (
    ANY_MACHINE,
    DISK,
    MEMORY,
    NVIDIA,
    PCIE,
    PSU,
    SEEN,
    SERVER,
    STORAGE,
    disk,
    function,
    gpu,
    machine,
    module,
    supply,
)
from tests.bee.recorded import audit, server, without
from tests.bee.test_cli import run

SCHEMA = json.loads((files("bee") / "schemas" / "diff.schema.json").read_text("utf-8"))
MIRROR = {"removed": "added", "added": "removed", "worse": "better", "better": "worse"}


def said(old: Audit, new: Audit) -> list[str]:
    found = differences(old, new)
    return [" ".join(line.split()) for line in view.lines(found).splitlines()]


def records() -> list[type]:
    return [cls for cls in vars(model).values() if isinstance(cls, type) and dataclasses.is_dataclass(cls)]


@pytest.mark.parametrize("record", records(), ids=lambda record: record.__name__)
def test_every_field_has_one_role_or_holds_records_that_are_compared(record: type) -> None:
    known = {cls.__name__ for cls in records()}
    for name, hint in hints(record).items():
        inside = [
            word for word in known if word in str(hint).replace("bee.model.", "").replace(",", " ").split("[")[-1]
        ]
        role = roles(record).get(name)
        if role is None:
            assert inside, f"{record.__name__}.{name} has no role in bee/comparison/roles.py"
        if is_identity(name):
            assert role in {Role.IDENTITY, Role.REPEATED}, f"{record.__name__}.{name}"
    assert set(roles(record)) <= set(hints(record))


def test_every_list_of_parts_is_of_a_known_kind_whose_fields_exist() -> None:
    for record in records():
        for name, hint in hints(record).items():
            if name not in roles(record) and str(hint).startswith("tuple["):
                assert get_args(hint)[0] in KINDS, f"{record.__name__}.{name}"
    for part, kind in KINDS.items():
        assert {*kind.keys, *kind.model, *place_fields(part)} <= set(hints(part))
        assert {kind.name, kind.present} - {None} <= set(hints(part))


def test_every_rule_belongs_to_a_step() -> None:
    assert [rule.id for rule in RULES if step_of_rule(rule.id) is None] == ["clock-unset"]


def test_records_come_back_from_json_as_they_were() -> None:
    assert restored(json.loads(serialise(SERVER))) == (SERVER, ())


@given(ANY_MACHINE)
def test_a_machine_is_the_same_as_itself(one: Audit) -> None:
    assert differences(one, one) == ()


def shuffled(value: Any, order: random.Random) -> Any:
    """A record with every list of parts in another order; a log's order and a list of words mean something."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inside = getattr(value, field.name)
        if isinstance(inside, tuple) and field.name not in {"notes", "collectors", "self_tests", "microcodes"}:
            changed[field.name] = tuple(shuffled(item, order) for item in order.sample(inside, len(inside)))
        else:
            changed[field.name] = shuffled(inside, order)
    return replace(value, **changed)


@given(st.one_of(st.just(SERVER), ANY_MACHINE), st.randoms(use_true_random=False))
def test_the_order_of_the_lists_says_nothing(one: Audit, order: random.Random) -> None:
    assert differences(one, shuffled(one, order)) == ()


def mirrored(difference: Difference) -> tuple[object, ...]:
    return MIRROR.get(difference.change, difference.change), difference.field, difference.new, difference.old


def as_is(difference: Difference) -> tuple[object, ...]:
    return difference.change, difference.field, difference.old, difference.new


@given(ANY_MACHINE, ANY_MACHINE)
def test_the_other_way_round_is_the_mirror_image(one: Audit, other: Audit) -> None:
    assert Counter(map(as_is, differences(one, other))) == Counter(map(mirrored, differences(other, one)))


@given(ANY_MACHINE, ANY_MACHINE)
def test_every_difference_is_one_printable_line_and_fits_the_schema(one: Audit, other: Audit) -> None:
    found = differences(one, other)
    jsonschema.validate(json.loads(view.as_json(one, other, found)), SCHEMA)
    assert [CHANGES.index(d.change) for d in found] == sorted(CHANGES.index(d.change) for d in found)
    if found:
        lines = view.lines(found).split("\n")
        assert len(lines) <= len(found)
        assert all(line.isprintable() for line in lines)


MAKERS: dict[str, Callable[[int, str], Any]] = {
    "memory module": module,
    "disk": disk,
    "power supply": supply,
    "GPU": gpu,
}


@given(st.data())
def test_parts_that_go_come_and_move_are_told_exactly(data: st.DataObject) -> None:
    """Any parts with serial numbers, taken out, put in and moved at random, are told one by one and nothing else."""
    before: dict[str, dict[int, int]] = {}
    after: dict[str, dict[int, int]] = {}
    expected: Counter[tuple[str, str]] = Counter()
    for noun in MAKERS:
        slots = data.draw(st.permutations(range(8)))
        # Serial number by slot, then the same machine with some out, some new, and the rest anywhere.
        before[noun] = dict(zip(slots[: data.draw(st.integers(0, 6))], range(8), strict=False))
        kept = data.draw(st.sets(st.sampled_from(sorted(before[noun].values()))) if before[noun] else st.just(set()))
        fresh = range(100, 100 + data.draw(st.integers(0, 2)))
        places = data.draw(st.permutations(range(8)))
        after[noun] = dict(zip(places, [*sorted(kept), *fresh], strict=False))
        was = {serial: place for place, serial in before[noun].items()}
        now = {serial: place for place, serial in after[noun].items()}
        expected["removed", noun] += len(was.keys() - now.keys())
        expected["added", noun] += len(now.keys() - was.keys())
        moved = {serial for serial in was.keys() & now.keys() if was[serial] != now[serial]}
        distances = {now[serial] - was[serial] for serial in was.keys() & now.keys()}
        # Several disks that all moved alike: the kernel has numbered its hosts anew.
        together = noun == "disk" and len(moved) > 1 and len(distances) == 1
        expected["moved", noun] += 0 if together else len(moved)

    def built(parts: dict[str, dict[int, int]]) -> Audit:
        lists = [
            tuple(make(place, f"N-{serial}") for place, serial in parts[noun].items()) for noun, make in MAKERS.items()
        ]
        return machine(*lists)

    found = differences(built(before), built(after))
    told = Counter((d.change, next(noun for noun in MAKERS if d.part.startswith(noun))) for d in found)
    assert told == +expected


def test_two_swapped_modules_are_two_moves() -> None:
    old = machine((module(1, "A"), module(2, "B")))
    new = machine((module(1, "B"), module(2, "A")))
    assert said(old, new) == [
        "moved memory module DIMM_1 BANK 1: DIMM_2 BANK 2 -> DIMM_1 BANK 1",
        "moved memory module DIMM_2 BANK 2: DIMM_1 BANK 1 -> DIMM_2 BANK 2",
    ]


def test_a_disk_with_another_kernel_name_alone_is_no_change() -> None:
    finding = Finding(severity="critical", component="disk sda", rule="disk-pending", evidence="1", action="-")
    old = machine(disks=(disk(0, "A", "sda"), disk(1, "B", "sdb")))
    new = machine(disks=(disk(0, "A", "sdb"), disk(1, "B", "sda")))
    assert (
        said(replace(old, findings=(finding,)), replace(new, findings=(replace(finding, component="disk sdb"),))) == []
    )
    assert len(said(replace(old, findings=(finding,)), replace(new, findings=(finding,)))) == 2


def test_hosts_that_the_kernel_numbers_anew_are_no_moves() -> None:
    old = machine(disks=(disk(0, "A"), disk(1, "B"), disk(2, "C")))
    assert said(old, machine(disks=(disk(4, "A"), disk(5, "B"), disk(6, "C")))) == []
    assert len(said(old, machine(disks=(disk(4, "A"), disk(5, "B"), disk(7, "C"))))) == 3
    # One that has stayed: the hosts have their numbers, and the others have moved.
    assert len(said(old, machine(disks=(disk(0, "A"), disk(5, "B"), disk(6, "C"))))) == 2


def test_a_bay_says_where_a_disk_is_whatever_the_kernel_calls_its_port() -> None:
    old = machine(disks=(replace(disk(0, "A"), slot="Slot 01"), replace(disk(1, "B"), slot="Slot 02")))
    again = machine(disks=(replace(disk(6, "A"), slot="Slot 01"), replace(disk(4, "B"), slot="Slot 02")))
    assert said(old, again) == []
    swapped = machine(disks=(replace(disk(0, "A"), slot="Slot 02"), replace(disk(1, "B"), slot="Slot 01")))
    assert [line.split()[0] for line in said(old, swapped)] == ["moved", "moved"]


def test_as_many_as_are_gone_are_told_though_one_serial_is_on_all() -> None:
    modules = tuple(module(place, "00000001") for place in range(4))
    assert [line.split()[0] for line in said(machine(modules), machine(modules[:2]))] == ["removed", "removed"]
    assert said(machine(modules), machine(modules[:3])) == [
        "removed memory module DIMM_3 BANK 3: Samsung M393A4K40DB3-CWE 32 GiB, serial 00000001"
    ]


def test_of_several_with_one_serial_those_that_stayed_have_not_moved() -> None:
    modules = tuple(module(place, "00000001") for place in range(4))
    assert [line.split(":")[0] for line in said(machine(modules), machine(modules[1:]))] == [
        "removed memory module DIMM_0 BANK 0"
    ]


def test_a_replaced_part_is_removed_and_added() -> None:
    old, new = machine(supplies=(supply(1, "A"),)), machine(supplies=(supply(1, "B"),))
    assert said(old, new) == [
        f"removed power supply PSU1: {PSU.supplies[0].manufacturer} {PSU.supplies[0].model}, serial A",
        f"added power supply PSU1: {PSU.supplies[0].manufacturer} {PSU.supplies[0].model}, serial B",
    ]


def test_another_card_in_a_pci_slot_is_another_part() -> None:
    lines = said(machine(functions=(function(1, "1017"),)), machine(functions=(function(1, "1019"),)))
    assert [line.split()[0] for line in lines] == ["removed", "added"]


def test_a_card_that_moves_the_numbers_of_all_buses_is_one_line() -> None:
    def tree(shift: int) -> tuple[model.PciDevice, ...]:
        ports = [replace(function(0), address=f"0000:00:0{n}.0", device_id=f"203{n}") for n in (1, 2, 3)]
        first = replace(function(0, "1017"), address="0000:01:00.0", upstream_port="0000:00:01.0")
        new = replace(function(0, "a000"), address="0000:02:00.0", upstream_port="0000:00:02.0")
        last = replace(function(0, "1018"), address=f"0000:0{2 + shift}:00.0", upstream_port="0000:00:03.0")
        return (*ports, first, *([new] if shift else []), last)

    assert [line.split()[:2] for line in said(machine(functions=tree(0)), machine(functions=tree(1)))] == [
        ["added", "PCI"]
    ]


def changed(**parts: Any) -> Audit:
    return replace(SEEN, **parts)


SMART = DISK.smart
assert SMART is not None
assert SEEN.board is not None
assert SEEN.board.bios is not None
BOARD, BIOS = SEEN.board, SEEN.board.bios
NIC = next(device for device in PCIE.devices if device.interfaces)
CARD = NVIDIA.gpus[0]


def with_smart(**fields: Any) -> Audit:
    assert SMART is not None
    return machine(disks=(replace(disk(0, "A"), smart=replace(SMART, **fields)),))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (with_smart(pending_sectors=0), with_smart(pending_sectors=3), "worse disk sda: smart.pending_sectors 0 -> 3"),
        (with_smart(wear_percent=9), with_smart(wear_percent=12), "worse disk sda: smart.wear_percent 9 -> 12"),
        (with_smart(passed=True), with_smart(passed=False), "worse disk sda: smart.passed yes -> no"),
        (with_smart(crc_errors=4), with_smart(crc_errors=0), "better disk sda: smart.crc_errors 4 -> 0"),
        (
            machine(
                functions=(
                    replace(function(1), link=model.Link(width=16, max_width=16, speed_gts=8.0, max_speed_gts=8.0)),
                )
            ),
            machine(
                functions=(
                    replace(function(1), link=model.Link(width=8, max_width=16, speed_gts=8.0, max_speed_gts=8.0)),
                )
            ),
            "worse PCI function 0000:00:09.0: link.width 16 -> 8",
        ),
        (
            SEEN,
            changed(board=replace(BOARD, bios=replace(BIOS, version="9.9", revision="9.9"))),
            f"firmware board: bios.revision {BIOS.revision} -> 9.9, bios.version {BIOS.version} -> 9.9",
        ),
        (
            SEEN,
            changed(memory=replace(MEMORY, total_bytes=2**34)),
            "worse memory: total_bytes 48 GiB -> 16 GiB",
        ),
        (
            SEEN,
            changed(nvidia=replace(NVIDIA, gpus=(replace(CARD, ecc=replace(CARD.ecc, aggregate_uncorrected=99)),))),
            f"worse GPU {CARD.pci_address}: ecc.aggregate_uncorrected {CARD.ecc.aggregate_uncorrected} -> 99",
        ),
        (
            machine(disks=(disk(0, "A"),)),
            machine(disks=(replace(disk(0, "A"), firmware="NEW1"),)),
            f"firmware disk sda: firmware {DISK.firmware} -> NEW1",
        ),
        (
            machine(modules=(module(1, "A"),)),
            machine(modules=(replace(module(1, "A"), configured_speed_mts=1600),)),
            "worse memory module DIMM_1 BANK 1: configured_speed_mts 2933 -> 1600",
        ),
    ],
)
def test_what_is_said_of_a_change(old: Audit, new: Audit, line: str) -> None:
    assert said(old, new) == [line]


def test_a_version_that_holds_the_older_one_is_an_update_though_its_step_is_partial() -> None:
    """Only lsblk cuts what it says, and only of disks."""
    partial = tuple(
        replace(collector, status="partial", reasons=("another tool failed",)) for collector in SEEN.collectors
    )
    one, bare = disk(0, "A"), replace(disk(0, "A"), smart=None)

    def seen(bios: str, there: model.Disk, firmware: str) -> Audit:
        storage = machine(disks=(replace(there, firmware=firmware),)).storage
        return changed(board=replace(BOARD, bios=replace(BIOS, version=bios)), storage=storage, collectors=partial)

    assert said(seen("3.3", one, "2.1"), seen("3.3a", one, "12.1")) == [
        "firmware board: bios.version 3.3 -> 3.3a",
        "firmware disk sda: firmware 2.1 -> 12.1",
    ]
    assert "firmware disk sda: firmware 404Q -> 04Q" in said(seen("3", bare, "404Q"), seen("3", bare, "04Q"))
    cut = said(seen("3.3", one, "HXT7404Q"), seen("3.3", bare, "404Q"))
    assert [line for line in cut if "firmware" in line] == []
    assert [line.split(" not seen")[0] for line in cut] == ["not comparable storage: 2 facts"], cut


def measured(value: Any, role: Role | None = None) -> Any:
    """A record in which every measurement has gone on."""
    if isinstance(value, tuple) and role is None:
        return tuple(measured(item) for item in value)
    if role is Role.MEASURED and isinstance(value, int | float) and not isinstance(value, bool):
        return value + 7
    if role is Role.MEASURED and isinstance(value, str):
        return f"{value}?"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        of = roles(type(value))
        inside = {f.name: measured(getattr(value, f.name), of.get(f.name)) for f in dataclasses.fields(value)}
        return replace(value, **inside)
    return value


def test_measurements_never_show() -> None:
    later = measured(SERVER)
    assert later != SERVER
    assert differences(SERVER, replace(later, started_at="2031-01-01T00:00:00Z", seconds=99.0)) == ()


def test_the_speed_of_an_idle_gpus_link_is_a_measurement() -> None:
    devices = tuple(
        replace(device, link=replace(device.link, speed_gts=16.0)) if device.link else device for device in PCIE.devices
    )
    gpus = [device for device in PCIE.devices if device.gpu_uuid and device.link and device.link.speed_gts != 16.0]
    assert gpus
    lines = said(SEEN, changed(pcie=replace(PCIE, devices=devices)))
    assert [line for line in lines if gpus[0].address in line] == []


@pytest.mark.parametrize(
    "tool", ["dmidecode", "lsblk", "smartctl", "nvme", "lspci", "ipmitool", "nvidia-smi", "storcli64"]
)
def test_what_could_not_be_seen_is_never_gone_or_new(tool: str) -> None:
    found = differences(SERVER, audit(without(tool)))
    assert found
    assert {d.change for d in found} == {"unseen"}, found
    back = differences(audit(without(tool)), SERVER)
    assert {d.change for d in back} == {"unseen"}


def test_what_is_unseen_says_why() -> None:
    assert said(SERVER, audit(without("nvidia-smi")))[-1] == (
        "not comparable nvidia: all of it and 2 findings not seen in NEW: nvidia-smi is not installed"
    )


def test_findings_that_come_and_go() -> None:
    finding = Finding(severity="warning", component="BMC event log", rule="sel-critical", evidence="1", action="-")
    old, new = replace(SEEN, findings=()), replace(SEEN, findings=(finding, finding))
    assert said(old, new) == ["worse BMC event log: sel-critical: 1"] * 2
    assert said(new, replace(SEEN, findings=(replace(finding, evidence="2"),))) == [
        "better BMC event log: sel-critical: no longer: 1"
    ]


def test_new_entries_of_the_event_log_are_one_line() -> None:
    event = PSU.sel_critical[0]
    more = replace(
        PSU,
        sel_critical=(
            *PSU.sel_critical,
            *[replace(event, id=900 + n, occurred_at=f"2031-01-0{n}T00:00:00") for n in (1, 2)],
        ),
    )
    newest = f"2031-01-02T00:00:00 {event.sensor}: {event.event}"
    assert said(SEEN, changed(psu=more)) == [
        f"worse BMC event log: sel_critical: 2 critical entries more, the newest of them: {newest}"
    ]


def test_a_disk_behind_two_tools_is_told_once() -> None:
    controller = STORAGE.raid_controllers[0]
    drive = next(drive for drive in controller.drives if drive.serial)
    member = replace(STORAGE.raid_members[0], serial=drive.serial, wwn=None)

    def seen(*, there: bool) -> Audit:
        drives = tuple(d for d in controller.drives if there or d is not drive)
        storage = replace(
            STORAGE,
            raid_members=(member,) if there else (),
            raid_controllers=(replace(controller, drives=drives), *STORAGE.raid_controllers[1:]),
        )
        return changed(storage=storage)

    lines = said(seen(there=True), seen(there=False))
    assert len(lines) == 1
    assert lines[0].startswith("removed RAID controller")
    assert ", drive 252 4: " in lines[0]
    assert drive.serial in lines[0]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("megaraid,4", "megaraid,9", 0),
        ("sat+megaraid,4", "sat+megaraid,9", 0),
        ("cciss,0", "cciss,1", 0),
        ("areca,3/2", "areca,4/2", 1),
    ],
)
def test_a_drive_that_its_controller_numbered_anew_has_not_moved_unless_the_number_is_a_slot(
    old: str, new: str, lines: int
) -> None:
    before, after = (
        changed(storage=replace(STORAGE, raid_members=(replace(STORAGE.raid_members[0], type=kind),)))
        for kind in (old, new)
    )
    assert len(said(before, after)) == lines
    assert deviations(expectation.read(expectation.made_from(before)), after) == ()


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_bytes(serialise(SERVER))
    new.write_bytes(serialise(replace(SERVER, board=replace(BOARD, bios=replace(BIOS, version="9.9")))))
    return str(old), str(new)


def test_exit_codes_and_streams(two: tuple[str, str]) -> None:
    old, new = two
    same = run("diff", old, old)
    assert (same.returncode, same.stdout, same.stderr) == (0, b"", b"")
    other = run("diff", old, new)
    assert (other.returncode, other.stderr) == (1, b"")
    assert other.stdout == f"firmware        board: bios.version {BIOS.version} -> 9.9\n".encode()
    piped = run("diff", "-", new, stdin=Path(old).read_bytes())
    assert piped.stdout == other.stdout
    twice = run("diff", "-", "-")
    assert (twice.returncode, twice.stdout, twice.stderr.count(b"\n")) == (2, b"", 1)


def test_json_is_valid_also_when_nothing_has_changed(two: tuple[str, str]) -> None:
    for pair, code in ((two, 1), ((two[0], two[0]), 0)):
        done = run("diff", "--json", *pair)
        document = json.loads(done.stdout)
        jsonschema.validate(document, SCHEMA)
        assert (done.returncode, len(document["differences"])) == (code, code)


def test_redaction_gives_one_part_one_pseudonym_in_both(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_bytes(serialise(machine((module(1, "SERIAL-ONE"), module(2, "SERIAL-TWO")))))
    new.write_bytes(serialise(machine((module(3, "SERIAL-ONE"),))))
    done = run("diff", "--redact", str(old), str(new))
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["removed", "moved"]
    assert "SERIAL" not in done.stdout.decode()
    assert "serial redacted-" in lines[0]


def test_this_machine_twice_is_the_same_machine(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("first.json", "second.json")]
    for path in paths:
        assert run("audit", "--output", path).returncode == 0
    done = run("diff", *paths)
    assert (done.returncode, done.stdout) == (0, b"")


def test_the_recorded_server_is_the_same_when_it_is_seen_again() -> None:
    assert differences(SERVER, audit(server())) == ()
