"""Drives behind controllers that `smartctl --scan` does not list: found by their numbers, or said to be unseen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bee.machine import Recorded
from tests.bee.recorded import audit, exited

if TYPE_CHECKING:
    from bee.machine import Run
    from bee.model import Audit, Storage

AT = "0000:03:00.0"
HOST = f"/sys/devices/pci0000:00/0000:00:02.0/{AT}/host0/target0:0:0"
SCAN = ("smartctl", "-j", "--scan")
LSBLK = ("lsblk", "-J", "-b", "-O")


def printed(serial: str | None, kind: str = "disk") -> bytes:
    """What smartctl 7.4 prints of a SAS drive, or of an enclosure, which has no serial number."""
    named = {"serial_number": serial} if serial else {}
    document = {
        "smartctl": {"version": [7, 4], "exit_status": 0},
        "device": {"name": "/dev/sg4", "type": "cciss", "protocol": "SCSI"},
        "scsi_vendor": "HP",
        "scsi_product": "EG0600FBVFP" if kind == "disk" else "P440ar",
        "device_type": {"scsi_value": 0 if kind == "disk" else 13, "name": kind},
        "user_capacity": {"bytes": 600127266816},
        "smart_status": {"passed": True},
        **named,
    }
    return json.dumps(document).encode()


def closed(node: str, kind: str) -> bytes:
    message = f"Smartctl open device: {node} [{kind}] [SCSI/SAT] failed: No such device or address"
    return json.dumps({"smartctl": {"messages": [{"string": message}], "exit_status": 2}}).encode()


def machine(driver: str, drives: dict[str, bytes], *, nodes: dict[str, str], shown: str | None = None) -> Recorded:
    """A controller with drives by smartctl's type, and sg nodes with their SCSI types; `shown`: a disk's serial."""
    kind = "areca" if driver == "arcmsr" else "cciss"
    disks = [{"name": "sda", "kname": "sda", "type": "disk", "size": 600093712384, "serial": shown}] if shown else []
    runs: dict[tuple[str, ...], Run] = {
        SCAN: exited(SCAN, b'{"devices": [{"name": "/dev/sda", "type": "scsi"}]}'),
        LSBLK: exited(LSBLK, json.dumps({"blockdevices": disks}).encode()),
    }
    for node in nodes:
        for number in range(40):
            args = ("smartctl", "-j", "-x", "-d", f"{kind},{number}", f"/dev/{node}")
            answer = drives.get(f"{kind},{number}")
            runs[args] = exited(args, answer or closed(args[-1], args[-2]), code=0 if answer else 2)
    files = {f"/sys/class/scsi_generic/{node}/device/type": f"{own}\n" for node, own in nodes.items()}
    links: dict[str, str | None] = {f"/sys/bus/pci/drivers/{driver}/{AT}": f"/sys/devices/pci0000:00/0000:00:02.0/{AT}"}
    for node in nodes:
        links[f"/sys/class/scsi_generic/{node}"] = f"{HOST}/scsi_generic/{node}"
    return Recorded(runs=runs, files=files, links=links)


def storage(found: Audit) -> Storage:
    assert found.storage is not None
    return found.storage


def reasons(found: Audit) -> tuple[str, ...]:
    return next(c.reasons for c in found.collectors if c.name == "storage")


def seen(found: Audit) -> list[tuple[str, str, str | None]]:
    return [(member.device, member.type, member.serial) for member in storage(found).raid_members]


@pytest.mark.parametrize("driver", ["hpsa", "smartpqi"])
def test_smart_arrays_drives_are_counted_upwards_on_the_controllers_own_node(driver: str) -> None:
    drives = {f"cciss,{n}": printed(f"S{n:07}") for n in range(11) if n != 3}
    drives["cciss,11"] = printed(None, "enclosure")
    found = audit(machine(driver, drives, nodes={"sg1": "0", "sg4": "12"}))
    # One has died; the enclosure is none.
    assert seen(found) == [("/dev/sg4", f"cciss,{n}", f"S{n:07}") for n in range(11) if n != 3]
    assert storage(found).raid_members[0].smart is not None
    assert (reasons(found), storage(found).notes) == ((), ())
    asked = [t.args[-2] for c in found.collectors for t in c.tools if "-d" in t.args]
    # Until eight in a row do not answer.
    assert asked == [f"cciss,{n}" for n in range(24)]


def test_arecas_numbers_are_slots_and_all_are_tried() -> None:
    found = audit(
        machine("arcmsr", {f"areca,{n}": printed(f"S{n:07}") for n in (2, 24)}, nodes={"sg0": "0", "sg2": "3"})
    )
    assert seen(found) == [("/dev/sg2", "areca,2", "S0000002"), ("/dev/sg2", "areca,24", "S0000024")]
    assert reasons(found) == ()


def test_a_drive_that_the_kernel_shows_too_is_there_once() -> None:
    drives = {"cciss,0": printed("S0000000"), "cciss,1": printed("S0000001")}
    found = audit(machine("smartpqi", drives, nodes={"sg4": "12"}, shown="S0000001"))
    assert seen(found) == [("/dev/sg4", "cciss,0", "S0000000")]


def test_where_nothing_answers_the_audit_says_so() -> None:
    found = audit(machine("hpsa", {}, nodes={"sg4": "12"}))
    assert seen(found) == []
    said = f"no drive behind RAID controller {AT} (hpsa) answers smartctl -d cciss,0 to 7 on /dev/sg4"
    assert storage(found).notes == (said,)


def test_a_controller_that_cannot_be_asked_is_said_to_be_unseen() -> None:
    found = audit(machine("arcmsr", {}, nodes={}))
    reason = (
        f"the drives behind RAID controller {AT} (arcmsr) were not asked: it has no node of the SCSI generic driver"
    )
    assert reasons(found) == (f"{reason} (sg)",)
