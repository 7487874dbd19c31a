"""Two tools that print the same fact: where they differ a note says so, and how each prints it is no difference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee import redaction
from bee.agreement import differing
from bee.machine import Recorded
from bee.model import printable
from bee.redaction import Redactor
from tests.bee.recorded import LINKS, SYS_FILES, audit, exited, runs, server
from tests.bee.test_audit import serialise
from tests.bee.test_recording import again, seen

if TYPE_CHECKING:
    from bee.model import Audit

SMARTCTL = ("smartctl", "-j", "-x", "/dev/sda")
NVME = ("nvme", "id-ctrl", "-o", "json", "/dev/nvme0")
FRU = ("ipmitool", "fru")
MEMBER = ("smartctl", "-j", "-x", "-d", "megaraid,4", "/dev/bus/0")
CONTROLLERS = ("storcli64", "/call", "show", "all", "J")
DRIVES = ("storcli64", "/call/eall/sall", "show", "all", "J")
NVIDIA_SMI = ("nvidia-smi", "-q", "-x")


def with_change(args: tuple[str, ...], old: bytes, new: bytes, files: dict[str, str] | None = None) -> Audit:
    """The audit of the recorded machine, had one of its tools printed `new` for `old`."""
    printed = runs()[args]
    assert old in printed.stdout
    changed = exited(args, printed.stdout.replace(old, new), code=printed.exit_code or 0)
    return audit(Recorded({**runs(), args: changed}, {**SYS_FILES, **(files or {})}, LINKS))


def disk(found: Audit, name: str) -> tuple[str, ...]:
    assert found.storage is not None
    return next(disk.notes for disk in found.storage.disks if disk.name == name)


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (b"S45PNA0M000001", b"S45PNA0M999999", "serial is 'S45PNA0M999999' by smartctl, 'S45PNA0M000001' by lsblk"),
        (b"MZ7LH480HAHQ-00005", b"MZ7LH960", "model is 'SAMSUNG MZ7LH960' by smartctl, 'SAMSUNG MZ7LH480' by lsblk"),
        (b"HXT7404Q", b"HXT7504Q", "firmware is 'HXT7504Q' by smartctl, '404Q' by lsblk"),
        (b"480103981056", b"480103981000", "size_bytes is 480103981000 by smartctl, 480103981056 by lsblk"),
        (b"60129542145", b"60129542146", "wwn is '0x5002538e00000002' by smartctl, '0x5002538e00000001' by lsblk"),
    ],
)
def test_a_disk_of_which_smartctl_and_lsblk_differ(old: bytes, new: bytes, note: str) -> None:
    assert note in disk(with_change(SMARTCTL, old, new), "sda")


def test_an_nvme_disk_of_which_three_tools_differ() -> None:
    found = with_change(NVME, b"GDC5602Q", b"GDC5702Q")
    assert "firmware is 'GDC5602Q' by smartctl, 'GDC5702Q' by nvme id-ctrl" in disk(found, "nvme0n1")


def test_tools_that_agree_need_no_note() -> None:
    assert not [note for note in disk(audit(server()), "sda") if " by " in note]
    assert disk(audit(server()), "nvme0n1") == ()


def test_the_wwn_that_udev_gives_for_a_serial_number_is_none() -> None:
    listed = ("lsblk", "-J", "-b", "-O")
    found = with_change(listed, b'"serial": "S45PNA0M000001"', b'"serial": "5002538e00000001"')
    assert not [note for note in disk(found, "sda") if note.startswith("serial")]


def member_notes(found: Audit) -> tuple[str, ...]:
    assert found.storage is not None
    (member,) = found.storage.raid_members
    return member.notes


@pytest.mark.parametrize(
    ("args", "old", "new", "note"),
    [
        (DRIVES, b"WFK00001", b"WFK99999", "serial is 'WFK00001' by smartctl, 'WFK99999' by storcli64"),
        (
            DRIVES,
            b"5000C500A1B2C3D4",
            b"5000C500A1B2C3E4",
            "wwn is '0x5000c500a1b2c3d4' by smartctl, '5000C500A1B2C3E4' by storcli64",
        ),
        (DRIVES, b'"ST31    "', b'"ST32    "', "firmware is 'ST31' by smartctl, 'ST32' by storcli64"),
        (
            CONTROLLERS,
            b"ST1200MM0099",
            b"ST1200MM0088",
            "model is 'SEAGATE ST1200MM0099' by smartctl, 'ST1200MM0088' by storcli64",
        ),
        (DRIVES, b"0x8bba0cb0", b"0x6bba0cb0", "size_bytes is 1200243695616 by smartctl, 925365788672 by storcli64"),
        (CONTROLLERS, b"512B", b"4096B", "logical_sector_bytes is 512 by smartctl, 4096 by storcli64"),
    ],
)
def test_a_drive_of_which_smartctl_and_its_controller_differ(
    args: tuple[str, ...], old: bytes, new: bytes, note: str
) -> None:
    assert note in member_notes(with_change(args, old, new))


def test_a_drive_that_its_controller_shows_alike_needs_no_note() -> None:
    assert member_notes(audit(server())) == ()
    rounded = with_change(DRIVES, b"0x8bba0cb0", b"0x8bba0000")
    assert member_notes(rounded) == ()


def test_another_drive_of_the_controller_is_not_compared() -> None:
    other = with_change(MEMBER, b"WFK00001", b"WFK00002")
    assert [note for note in member_notes(other) if note.startswith("serial")]
    printed = runs()[MEMBER].stdout.replace(b"WFK00001", b"WFK00002").replace(b"0x5000c500a1b2c3d4", b"0x5000c500a1b2")
    machine = Recorded({**runs(), MEMBER: exited(MEMBER, printed)}, SYS_FILES, LINKS)
    assert member_notes(audit(machine)) == ()


def test_a_disk_that_its_controller_passes_through() -> None:
    display = ("sas3ircu", "0", "DISPLAY")
    printed = runs()[display].stdout
    serial = next(line for line in printed.splitlines() if line.strip().startswith(b"Unit Serial No(VPD)"))
    changed = printed.replace(serial, serial.partition(b":")[0] + b": S45PNA0M000001")
    found = audit(Recorded({**runs(), display: exited(display, changed)}, SYS_FILES, LINKS))
    assert next(n for n in disk(found, "sda") if n.startswith("model is 'SAMSUNG")).endswith(" by sas3ircu")


def test_the_bmcs_unit_with_another_serial_number_than_the_firmware_has() -> None:
    found = with_change(FRU, b"SYS-4711", b"SYS-4712")
    assert found.board is not None
    assert "system serial is 'SYS-4711' by dmidecode, 'SYS-4712' by ipmitool fru" in found.board.notes
    assert not [note for note in found.board.notes if note.startswith("baseboard serial")]


def test_processors_that_the_kernel_calls_otherwise() -> None:
    found = audit(server())
    assert found.cpu is not None
    assert found.cpu.notes == (
        "model is 'Intel(R) Xeon(R) Gold 6240 CPU @ 2.60GHz' by dmidecode, 'Xeon Gold 6240' by /proc/cpuinfo",
        "number of threads is 36 by dmidecode, 2 by /proc/cpuinfo",
    )
    cpuinfo = "".join(f"processor : {n}\nmodel name : Intel(R) Xeon(R) Gold 6240 CPU @ 2.60GHz\n\n" for n in range(36))
    same = audit(Recorded(runs(), {**SYS_FILES, "/proc/cpuinfo": cpuinfo}, LINKS))
    assert same.cpu is not None
    assert same.cpu.notes == ()


def test_a_gpus_link_as_the_driver_and_the_bus_have_it() -> None:
    found = with_change(NVIDIA_SMI, b"<current_link_width>8x<", b"<current_link_width>16x<")
    assert found.nvidia is not None
    assert "link width is 16 by nvidia-smi, 8 by /sys" in found.nvidia.gpus[0].notes


def test_an_adapter_whose_new_firmware_waits_for_a_reset() -> None:
    found = audit(server())
    assert found.pcie is not None
    assert "0000:5e:00.0 firmware is '16.35.2000' by ethtool, '16.35.3006' by mstflint" in found.pcie.notes


def test_a_serial_number_that_stands_in_a_note_alone_is_redacted() -> None:
    found: Any = json.loads(serialise(with_change(FRU, b"SYS-4711", b"SYS-OTHER-1")))
    assert "SYS-OTHER-1" in json.dumps(found["board"]["notes"])
    assert "SYS-OTHER-1" not in json.dumps(Redactor().document(found))


# What a serial number may hold that a quote, a backslash or a word of prose would hide.
ODD = st.text("AB'\\\" 019", min_size=1, max_size=12) | st.sampled_from(["A' by B", "supports-1", "is 'X", "\\'"])


@given(first=ODD.map("FIRST-{}-X7".format), second=ODD.map("SECOND-{}-Y8".format))
def test_what_a_note_quotes_is_redacted_whatever_it_holds(first: str, second: str) -> None:
    [note] = differing("system serial", {"dmidecode": first, "ipmitool fru": second})
    redactor = Redactor()
    redacted = redactor.document({"notes": [note, f"the fan supports {second}"]})
    pseudonyms = {"dmidecode": redactor.pseudonym(first), "ipmitool fru": redactor.pseudonym(second)}
    [expected] = differing("system serial", pseudonyms)
    # What no field holds is learnt from the note, and replaced in all others.
    assert redacted == {"notes": [expected, f"the fan supports {redactor.pseudonym(second)}"]}


@pytest.mark.parametrize("serial", ["SYS'0002", "supports", "SYS\\'' by x"])
def test_a_recording_is_redacted_as_its_audit_is_however_odd_a_serial_number(serial: str) -> None:
    printed = runs()[FRU]
    machine = Recorded(
        {**runs(), FRU: exited(FRU, printed.stdout.replace(b"SYS-4711", serial.encode()))}, SYS_FILES, LINKS
    )
    found, known = seen(machine)
    assert found.board is not None
    assert [note for note in found.board.notes if note.startswith("system serial")]
    redactor = Redactor()
    redacted = redactor.recording(known, json.loads(serialise(found)))
    content = redaction.audit(serialise(found), redactor)
    assert serialise(again(redacted)) == content
    assert serial not in json.loads(content)["board"]["notes"][-1]


def test_a_note_that_was_cut_within_a_quote_keeps_nothing_of_it() -> None:
    [note] = differing("serial", {"a": "A" * 400, "b": "B" * 400})
    redacted = str(Redactor().document({"notes": [printable(note)]}))
    assert "AAAA" not in redacted
    assert "BBBB" not in redacted


@given(value=st.text("ABCXYZ0189", min_size=1), padding=st.sampled_from(["", " ", "_", "-"]))
def test_case_and_padding_are_no_difference(value: str, padding: str) -> None:
    assert differing("serial", {"a": value, "b": f"{padding}{value.lower()}{padding}", "c": None, "d": ""}) == []


@given(value=st.text("ABCXYZ0189", min_size=2), end=st.integers(1, 50))
def test_a_value_that_was_cut_differs_only_where_none_may_be(value: str, end: int) -> None:
    said: dict[str, str | int | None] = {"a": value, "b": value[:end]}
    assert differing("model", said, cut=True) == []
    assert bool(differing("model", said)) is (len(value[:end]) < len(value))
