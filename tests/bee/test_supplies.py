"""Which of the BMC's and the firmware's power supplies are one, and what is none: a defect must name the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bee.machine import Recorded
from tests.bee.recorded import audit, exited

if TYPE_CHECKING:
    from bee.model import Audit, Psu

FRU, TABLE = ("ipmitool", "fru"), ("dmidecode", "-t", "39")
HERE = " Product Manufacturer  : DELTA\n Product Name          : DPS-800AB\n Product Serial        : {}\n"
GONE = " Device not present (Requested sensor, data, or record not found)\n"
UNREAD = " Unknown FRU header version 0x00\n"


def machine(bmc: list[tuple[str, str]], firmware: list[tuple[str, str, str]]) -> Audit:
    """The audit of a machine whose BMC lists (name, record), and its firmware (location, serial number, status)."""
    unit = "FRU Device Description : Builtin FRU Device (ID 0)\n Board Mfg             : Quanta\n\n"
    frus = [f"FRU Device Description : {name} (ID {i})\n{record}\n" for i, (name, record) in enumerate(bmc, start=1)]
    table = [
        f"Handle 0x{0x2700 + i:04X}, DMI type 39, 22 bytes\nSystem Power Supply\n\tLocation: {location}\n"
        f"\tName: DPS-800AB\n\tSerial Number: {serial}\n\tMax Power Capacity: 800 W\n\tStatus: {status}\n\n"
        for i, (location, serial, status) in enumerate(firmware)
    ]
    runs = {FRU: exited(FRU, (unit + "".join(frus)).encode()), TABLE: exited(TABLE, "".join(table).encode())}
    return audit(Recorded(runs=runs, files={"/dev/ipmi0": ""}))


def psu(found: Audit) -> Psu:
    assert found.psu is not None
    return found.psu


def here(*names: str) -> list[tuple[str, str]]:
    return [(name, HERE.format(f"SN-000{name[-1]}")) for name in names]


def at(*locations: str, status: str = "Present, OK") -> list[tuple[str, str, str]]:
    return [(location, "Not Specified", status) for location in locations]


@pytest.mark.parametrize(
    ("bmc", "firmware", "listed"),
    [
        (
            [*here("PS1", "PS2"), ("PS3", GONE), ("PS4", GONE)],
            at("PSU1", "PSU2"),
            [("PS1", "PSU1"), ("PS2", "PSU2"), ("PS3", None), ("PS4", None)],
        ),
        (
            here("PS2", "PS3"),
            at("PSU1", "PSU2", "PSU3"),
            [("PS2", "PSU2"), ("PS3", "PSU3"), ("PSU1", "PSU1")],
        ),
        (here("PS1"), at("PSU2"), [("PS1", None), ("PSU2", "PSU2")]),
        (here("PS1", "PS2"), at("PSU0", "PSU1"), [("PS1", "PSU0"), ("PS2", "PSU1")]),
        (here("PS1", "PS3"), at("PSU0", "PSU1"), [("PS1", None), ("PS3", None), ("PSU0", "PSU0"), ("PSU1", "PSU1")]),
        # Which of 0 to 3 are 1 and 2, nothing says.
        (
            here("PS1", "PS2"),
            at("PSU0", "PSU1", "PSU2"),
            [("PS1", None), ("PS2", None), ("PSU0", "PSU0"), ("PSU1", "PSU1"), ("PSU2", "PSU2")],
        ),
        (here("PS1", "PS2"), at("left", "right"), [("PS1", "left"), ("PS2", "right")]),
        (
            [("PS1", HERE.format("SN-A")), ("PS2", HERE.format("SN-B"))],
            [("PSU0", "SN-B", "Present, OK"), ("PSU1", "SN-A", "Present, OK")],
            [("PS1", "PSU1"), ("PS2", "PSU0")],
        ),
    ],
    ids=["empty-bays", "fewer", "other-bay", "from-zero", "no-row", "which-zero", "no-number", "serials-first"],
)
def test_supplies_are_one_where_their_bays_say_so(
    bmc: list[tuple[str, str]], firmware: list[tuple[str, str, str]], listed: list[tuple[str, str | None]]
) -> None:
    found = psu(machine(bmc, firmware))
    assert [(s.name, s.location) for s in found.supplies] == listed
    apart = [note for note in found.notes if note.startswith("listed apart")]
    if any(len(s.sources) == 2 for s in found.supplies):
        assert apart == []
    else:
        names = [", ".join(name for name, *_ in side) for side in (bmc, firmware)]
        said = f"{names[0]} by ipmitool fru and {names[1]} by dmidecode -t 39"
        assert apart == [f"listed apart, since nothing says which are the same: {said}"]


def test_a_supply_that_failed_is_never_told_by_the_name_of_another() -> None:
    found = machine(here("PS1"), at("PSU2", status="Present, Critical"))
    assert [(f.rule, f.component) for f in found.findings] == [("psu-failed", "power supply PSU2")]


def test_a_bay_that_the_bmc_calls_empty_and_the_firmware_called_filled_says_both() -> None:
    found = machine([*here("PS1"), ("PS2", GONE)], at("PSU1", "PSU2"))
    assert [(f.component, f.evidence) for f in found.findings if f.rule == "psu-absent"] == [
        ("power supply PS2", "it is not present by ipmitool fru; its status at boot was 'Present, OK'")
    ]


def test_what_could_not_be_read_is_not_known_to_be_there_or_absent() -> None:
    found = machine([*here("PS1"), ("PS2", UNREAD)], [])
    assert [s.present for s in psu(found).supplies] == [True, None]
    assert found.findings == ()
    # The firmware knows.
    assert [s.present for s in psu(machine([*here("PS1"), ("PS2", UNREAD)], at("PSU1", "PSU2"))).supplies] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    "name",
    ["PSU Backplane", "PSU BP", "PSU_BP1", "PDB", "PS Interposer", "Power Supply Midplane", "PSU Distribution Board"],
)
def test_what_supplies_are_plugged_into_is_none(name: str) -> None:
    found = psu(machine([*here("PS1"), (name, " Board Mfg             : Quanta\n Board Serial          : Q1\n")], []))
    assert [s.name for s in found.supplies] == ["PS1"]
    assert [f.description for f in found.frus][2:] == [name]


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        # Dell's way of naming them.
        ("PWR SPLY,750WP,RDNT,DELTA", 750),
        ("PWR SPLY,1100W,RDNT,LTON", 1100),
        ("Power Supply 800 W Platinum", 800),
        ("DPS-1600AB-13 R", None),
        ("X750WPT", None),
    ],
)
def test_the_watts_that_stand_in_a_name_alone_are_its_capacity(name: str, watts: int | None) -> None:
    [supply] = psu(machine([("PS1 Status", HERE.replace("DPS-800AB", name).format("SN-1"))], [])).supplies
    assert supply.capacity_watts == watts
