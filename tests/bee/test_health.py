"""The rules: each finds what it is for in an otherwise sound machine, and nothing in a sound one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bee import defects, health
from bee.health import RULES, Rule, judged
from bee.model import Link, Sensor, to_json
from bee.views import html, text
from bee.views.totals import drives
from tests.bee.recorded import audit, server
from tests.bee.test_audit import errors, serialise

if TYPE_CHECKING:
    from bee.model import Audit, Finding

RAID = "RAID controller 0000:3b:00.0 MegaRAID 9460-8i"
GPU, PORT = "0000:01:00.0", "0000:00:01.0"
DOCUMENT = Path(__file__).parents[2] / "docs" / "audit.md"


def edited(record: Any, path: str, value: object) -> Any:
    """`record` with another value at `storage.disks.2.smart.passed`."""
    name, _, rest = path.partition(".")
    if name.isdigit():
        items = list(record)
        items[int(name)] = edited(items[int(name)], rest, value) if rest else value
        return tuple(items)
    return replace(record, **{name: edited(getattr(record, name), rest, value) if rest else value})


def changed(record: Audit, changes: dict[str, object]) -> Audit:
    for path, value in changes.items():
        record = edited(record, path, value)
    return replace(record, findings=())


def place(seen: Audit, address: str) -> str:
    assert seen.pcie is not None
    return f"pcie.devices.{[d.address for d in seen.pcie.devices].index(address)}"


def link(width: int, max_width: int, speed: float = 16.0, max_speed: float = 16.0) -> Link:
    return Link(width=width, max_width=max_width, speed_gts=speed, max_speed_gts=max_speed)


SEEN = audit(server())
# The recorded machine with all that is wrong with it put right.
SOUND = changed(
    SEEN,
    {
        "storage.disks.2.smart.pending_sectors": 0,
        "storage.disks.2.smart.reallocated_sectors": 0,
        "storage.disks.2.smart.crc_errors": 0,
        "storage.raid_controllers.0.volumes.0.status": "Optl",
        "storage.raid_controllers.0.drives.0.predictive_failures": 0,
        "storage.raid_controllers.0.drives.1.status": "Onln",
        "storage.raid_controllers.0.battery": "Optimal",
        "memory.slots.1": None if SEEN.memory is None else replace(SEEN.memory.slots[0], locator="DIMM_A2"),
        "memory.total_bytes": 64 * 2**30,
        "host.memory_bytes": 63 * 2**30,
        "cpu.sockets.1.enabled": True,
        "psu.supplies": () if SEEN.psu is None else SEEN.psu.supplies[:1],
        "psu.sensors": (),
        "psu.sel_critical": (),
        "nvidia.gpus.0.ecc.volatile_uncorrected": 0,
        "nvidia.gpus.0.ecc.aggregate_uncorrected": 0,
        "nvidia.gpus.0.remapped_rows.pending": False,
        f"{place(SEEN, GPU)}.link": link(16, 16),
        f"{place(SEEN, PORT)}.link": link(16, 16),
    },
)


def found(record: Audit) -> list[Finding]:
    return list(judged(record).findings)


def test_a_sound_machine_has_no_finding() -> None:
    assert found(SOUND) == []


def test_the_recorded_machine_is_judged_as_it_is_audited() -> None:
    assert [(f.severity, f.rule, f.component) for f in SEEN.findings] == [
        ("critical", "raid-volume-degraded", f"volume 0/239 of {RAID}"),
        ("critical", "raid-drive-failed", f"drive 252:4 of {RAID}"),
        ("critical", "raid-drive-failed", f"drive 252:5 of {RAID}"),
        ("critical", "disk-pending", "disk sda"),
        ("critical", "psu-failed", "power supply Pwr Supply 3 FRU"),
        ("critical", "psu-failed", "power supply sensor PS3 Status"),
        ("critical", "sensor-critical", "sensor FAN3"),
        ("critical", "gpu-ecc-uncorrected", f"GPU {GPU}"),
        ("warning", "raid-controller", RAID),
        ("warning", "disk-reallocated", "disk sda"),
        ("warning", "disk-crc-errors", "disk sda"),
        ("warning", "memory-mixed-channel", "memory channel P0_Node0_Channel0"),
        ("warning", "cpu-disabled", "socket CPU2"),
        ("warning", "psu-absent", "power supply PS2"),
        ("warning", "psu-unplugged", "power supply Pwr Supply 3 FRU"),
        ("warning", "redundancy-lost", "sensor Power Redundancy"),
        ("warning", "sel-critical", "BMC event log"),
        ("warning", "gpu-remap-pending", f"GPU {GPU}"),
    ]
    assert errors(serialise(SEEN)) == []


assert SOUND.nvidia is not None
GPU_RECORD = SOUND.nvidia.gpus[0]
SDA, NVME = "storage.disks.2.smart", "storage.disks.0.nvme"
BROKEN: dict[str, tuple[dict[str, object], str, str]] = {
    "disk-failing": ({f"{SDA}.passed": False}, "disk sda", "failing"),
    "disk-self-test-failed": (
        {"storage.raid_members.0.smart.self_tests.0.passed": False},
        "disk megaraid,4 behind /dev/bus/0",
        "its newest self-test ended with: Completed",
    ),
    "disk-no-health": (
        {"storage.disks.2.smart": None, "storage.disks.2.notes": ("smartctl: open failed: device not ready",)},
        "disk sda",
        "smartctl: open failed: device not ready",
    ),
    "raid-volume-degraded": (
        {"storage.raid_controllers.1.volumes.0.status": "Degraded (DGD)"},
        "volume 286 of RAID controller 0000:af:00.0 SAS3008",
        "RAID1, its state is Degraded (DGD)",
    ),
    "raid-drive-failed": ({"storage.raid_controllers.0.drives.0.status": "Offln"}, f"drive 252:4 of {RAID}", "Offln"),
    "raid-controller": ({"storage.raid_controllers.0.battery": "Dgrd"}, RAID, "battery of its cache is Dgrd"),
    "disk-uncorrected-errors": (
        {"storage.raid_members.0.smart.uncorrected_errors": 2},
        "disk megaraid,4 behind /dev/bus/0",
        "uncorrected_errors is 2",
    ),
    "disk-worn-out": ({f"{NVME}.wear_percent": 101}, "disk nvme0n1", "101 %"),
    "disk-spare-low": ({f"{NVME}.available_spare_percent": 4}, "disk nvme0n1", "its own limit is 10 %"),
    "disk-pending": ({f"{SDA}.pending_sectors": 8}, "disk sda", "pending_sectors is 8"),
    "disk-offline-uncorrectable": (
        {f"{SDA}.offline_uncorrectable_sectors": 24},
        "disk sda",
        "offline_uncorrectable_sectors is 24",
    ),
    "disk-media-errors": ({f"{NVME}.media_errors": 2}, "disk nvme0n1", "media_errors is 2"),
    "disk-reallocated": ({f"{SDA}.reallocated_sectors": 5}, "disk sda", "reallocated_sectors is 5"),
    "disk-grown-defects": ({f"{SDA}.grown_defects": 1}, "disk sda", "grown_defects is 1"),
    "disk-wear": ({f"{SDA}.wear_percent": 80}, "disk sda", "80 %"),
    "disk-crc-errors": ({f"{SDA}.crc_errors": 3}, "disk sda", "crc_errors is 3"),
    "memory-missing": (
        {"host.memory_bytes": 31 * 2**30},
        "memory",
        "hold 64 GiB, the kernel can use 31 GiB",
    ),
    "memory-unlisted": ({"host.memory_bytes": 65 * 2**30}, "memory", "65 GiB, 1 GiB more than the modules listed hold"),
    "memory-mixed-channel": ({"memory.slots.1.ranks": 1}, "memory channel P0_Node0_Channel0", "DIMM_A2: 32 GiB"),
    "memory-ecc-off": ({"memory.arrays.0.error_correction": "None"}, "memory", "without"),
    "cpu-disabled": ({"cpu.sockets.1.enabled": False}, "socket CPU2", "Populated, Disabled"),
    "pcie-link-narrow": ({f"{place(SEEN, GPU)}.link": link(8, 16)}, f"PCI {GPU} GA100 [A100 PCIe 40GB]", "8 lanes"),
    "pcie-link-slow": (
        {f"{place(SEEN, GPU)}.link": link(16, 16, 2.5), f"{place(SEEN, GPU)}.class_id": "0200"},
        f"PCI {GPU} GA100 [A100 PCIe 40GB]",
        "2.5 GT/s",
    ),
    "psu-failed": ({"psu.supplies.0.status": "Present, Critical"}, "power supply PS1", "Critical"),
    "psu-absent": (
        {"psu.supplies": () if SEEN.psu is None else SEEN.psu.supplies[:2]},
        "power supply PS2",
        "not present by ipmitool fru; its status at boot was 'Not Present'",
    ),
    "psu-unplugged": ({"psu.supplies.0.plugged": False}, "power supply PS1", "not plugged in"),
    "redundancy-lost": (
        {"psu.sensors": (Sensor(name="PSR", status="ok", entity="21.1", reading="Redundancy Lost"),)},
        "sensor PSR",
        "Redundancy Lost",
    ),
    "sensor-critical": (
        {"psu.sensors": (Sensor(name="FAN3", status="nr", entity="29.3", reading="0 RPM"),)},
        "sensor FAN3",
        "non-recoverable: 0 RPM",
    ),
    "sel-critical": (
        {"psu.sel_critical": SEEN.psu.sel_critical[:1] if SEEN.psu else ()},
        "BMC event log",
        "1 critical of 6 entries, newest last: 2020-04-05T12:34:56 Memory P1-DIMMA2: Uncorrectable ECC",
    ),
    "gpu-in-error": (
        {"nvidia.gpus.0.notes": ("nvidia-smi says 'GPU requires reset' of vbios_version and 9 more",)},
        f"GPU {GPU}",
        "nvidia-smi says 'GPU requires reset' of vbios_version and 9 more",
    ),
    "gpu-ecc-uncorrected": ({"nvidia.gpus.0.ecc.aggregate_uncorrected": 7}, f"GPU {GPU}", "7 aggregate"),
    "gpu-nvlink-down": (
        {"nvidia.gpus": (GPU_RECORD, edited(GPU_RECORD, "nvlinks.0.active", False))},
        f"GPU {GPU}",
        "1 of its NVLinks are up, 2 of another NVIDIA A100-PCIE-40GB",
    ),
    "gpu-nvlink-errors": (
        {"nvidia.gpus.0.nvlinks.2.recovery_errors": 4},
        f"GPU {GPU}",
        "link 2: 0 replays, 4 recoveries",
    ),
    "gpu-remap-failed": ({"nvidia.gpus.0.remapped_rows.failed": True}, f"GPU {GPU}", "could not be remapped"),
    "gpu-remap-pending": ({"nvidia.gpus.0.remapped_rows.pending": True}, f"GPU {GPU}", "waits to be remapped"),
    "gpu-slowed-down": (
        {"nvidia.gpus.0.throttle_reasons": ("gpu_idle", "hw_thermal_slowdown")},
        f"GPU {GPU}",
        "hw_thermal_slowdown at 31 °C",
    ),
    "cpu-microcode-unequal": ({"cpu.microcodes": ("0x1", "0x2")}, "processors", "0x1, 0x2"),
    "clock-unset": ({"started_at": "1970-01-01T00:03:00Z"}, "clock", "1970-01-01T00:03:00Z"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_rule_finds_its_own_defect_and_no_other_does(rule: Rule) -> None:
    changes, component, evidence = BROKEN[rule.id]
    (finding,) = found(changed(SOUND, changes))
    assert (finding.rule, finding.severity, finding.component) == (rule.id, rule.severity, component)
    assert evidence in finding.evidence
    assert finding.action == rule.action


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({f"{place(SEEN, GPU)}.link": link(16, 16, 2.5)}, id="an idle GPU lowers its speed"),
        pytest.param(
            {f"{place(SEEN, GPU)}.link": link(8, 16), f"{place(SEEN, PORT)}.link": link(8, 8)},
            id="the slot has no more",
        ),
        pytest.param({f"{place(SEEN, GPU)}.link": None}, id="no link is known"),
        pytest.param({"host.memory_bytes": 62 * 2**30}, id="what kernel and firmware keep"),
        pytest.param({"psu.supplies.0.plugged": None}, id="not known is no finding"),
        pytest.param({"psu.supplies.0.present": False}, id="firmware that calls every bay empty"),
        pytest.param({"cpu.sockets.0.enabled": False, "cpu.sockets.1.enabled": False}, id="every processor disabled"),
        pytest.param(
            {"cpu.sockets.1.enabled": False, "board.system.manufacturer": "VMware, Inc."}, id="a guest's spare sockets"
        ),
        pytest.param(
            {
                "memory.slots.1.type_detail": "Synchronous Non-Volatile",
                "memory.slots.1.size_bytes": 128 * 2**30,
                "memory.total_bytes": 160 * 2**30,
                "host.memory_bytes": 31 * 2**30,
            },
            id="persistent memory beside DRAM",
        ),
        pytest.param({"memory.slots.1.ranks": None}, id="ranks that the firmware does not say"),
        pytest.param({"memory.slots.1.ranks": None, "memory.slots.1.speed_mts": None}, id="nor the speed"),
        pytest.param(
            {
                "memory.slots.1.type": "HBM2",
                "memory.slots.1.bank": "HBM",
                "memory.slots.1.locator": "CPU0_HBM_0",
                "host.memory_bytes": 31 * 2**30,
            },
            id="high-bandwidth memory as a cache",
        ),
        pytest.param(
            {"storage": None, "memory": None, "psu": None, "nvidia": None, "pcie": None, "cpu": None}, id="nothing"
        ),
    ],
)
def test_what_is_no_defect_is_no_finding(changes: dict[str, object]) -> None:
    assert found(changed(SOUND, changes)) == []


SILENT = {"storage.disks.2.smart": None, "storage.disks.2.notes": ("smartctl: Permission denied",)}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"host.root": False}, id="nobody but root may ask"),
        pytest.param({"storage.disks.2.notes": ()}, id="smartctl is not installed"),
        pytest.param({"storage.disks.2.transport": "usb"}, id="a USB stick"),
        pytest.param({"storage.disks.2.transport": None}, id="a volume, as most drivers show it"),
        pytest.param({"storage.disks.2.transport": "sas", "storage.disks.2.vendor": "VMware"}, id="a virtual disk"),
        pytest.param(
            {
                "storage.disks.2.transport": "sas",
                "storage.disks.2.notes": ("smartctl: please try adding '-d cciss,N'",),
            },
            id="a volume of Smart Array",
        ),
        pytest.param({"storage.disks.2.removable": True}, id="a card reader"),
    ],
)
def test_a_disk_that_never_gives_its_health_is_no_finding(changes: dict[str, object]) -> None:
    assert [finding.rule for finding in found(changed(SOUND, SILENT))] == ["disk-no-health"]
    assert found(changed(SOUND, {**SILENT, **changes})) == []


def switched(vendor: str, *, gpu: bool = True) -> Audit:
    """The sound machine with a card of two bridges and a function, whose link to the slot has slowed down."""
    assert SOUND.pcie is not None
    [port, device] = (next(d for d in SOUND.pcie.devices if d.address == address) for address in (PORT, GPU))
    ways = ((PORT, "0000:41:00.0"), ("0000:41:00.0", "0000:42:00.0"), ("0000:42:00.0", "0000:43:00.0"))
    bridges = [
        replace(port, address=address, vendor_id=vendor, upstream_port=upstream, link=link(16, 16, speed))
        for (upstream, address), speed in zip(ways[:2], (2.5, 16.0), strict=True)
    ]
    end = replace(
        device, address=ways[2][1], upstream_port=ways[2][0], vendor_id="1002", class_id="0380" if gpu else "0200"
    )
    devices = (*(d for d in SOUND.pcie.devices if d.address != GPU), *bridges, end)
    return replace(SOUND, pcie=replace(SOUND.pcie, devices=devices))


def test_the_switch_of_an_idle_gpus_card_is_no_finding_and_any_other_switch_is() -> None:
    assert found(switched("1002")) == []
    assert [f.rule for f in found(switched("1002", gpu=False))] == ["pcie-link-slow"]
    [finding] = found(switched("10b5"))
    assert (finding.rule, finding.component[:16]) == ("pcie-link-slow", "PCI 0000:41:00.0")


@pytest.mark.parametrize(
    ("entity", "reading", "rule"),
    [
        ("3.1", "Presence detected, Thermal Trip", "sensor-critical"),
        ("26.1", "Drive Present, Drive Fault", "sensor-critical"),
        ("34.1", "Uncorrectable ECC", "sensor-critical"),
        ("21.1", "Failure detected", "sensor-critical"),
        ("10.1", "Transition to Critical from less severe", "sensor-critical"),
        ("10.1", "Presence detected, Predictive failure", "psu-failed"),
        ("7.1", "Redundancy Lost", "redundancy-lost"),
        ("7.1", "Non-Redundant: Insufficient Resources", "redundancy-lost"),
        ("10.1", "Presence detected", None),
        ("26.1", "Drive Present, Parity Check In Progress", None),
    ],
)
def test_a_sensor_that_ipmitool_calls_ok_is_judged_once_by_its_state(
    entity: str, reading: str, rule: str | None
) -> None:
    sensor = Sensor(name="S", status="ok", entity=entity, reading=reading)
    findings = found(changed(SOUND, {"psu.sensors": (sensor,)}))
    assert [finding.rule for finding in findings] == ([rule] if rule else [])
    assert all(finding.evidence == f"it says: {reading}" for finding in findings)


ALL_DOWN = "nvlink: NVML: Unable to retrieve NVLink information as all links are inActive"
MIG = "nvlink: Nvlink queries are not supported for Devices in MIG mode"


@pytest.mark.parametrize(
    ("note", "mig", "down"),
    [(ALL_DOWN, False, True), (ALL_DOWN, None, True), (ALL_DOWN, True, False), (MIG, True, False), ("-", False, False)],
)
def test_a_gpu_all_of_whose_nvlinks_are_down_is_found_beside_one_with_links(
    note: str, mig: bool | None, down: bool
) -> None:
    other = replace(GPU_RECORD, nvlinks=(), notes=(note,), mig_enabled=mig)
    findings = found(changed(SOUND, {"nvidia.gpus": (GPU_RECORD, other)}))
    evidence = "0 of its NVLinks are up, 2 of another NVIDIA A100-PCIE-40GB"
    assert [(f.rule, f.evidence) for f in findings] == ([("gpu-nvlink-down", evidence)] if down else [])


def test_gpus_that_nothing_links_have_no_nvlink_down() -> None:
    lone = replace(GPU_RECORD, nvlinks=(), notes=(ALL_DOWN,), mig_enabled=False)
    assert found(changed(SOUND, {"nvidia.gpus": (lone, lone)})) == []


def cascaded(width: int) -> Audit:
    """The sound machine with a card below two switches in a row, whose link to one another has so many lanes."""
    assert SOUND.pcie is not None
    [port, device] = (next(d for d in SOUND.pcie.devices if d.address == address) for address in (PORT, GPU))
    way = (PORT, "0000:41:00.0", "0000:42:00.0", "0000:43:00.0", "0000:44:00.0")
    bridges = [
        replace(port, address=address, vendor_id="10b5", upstream_port=above, link=link(16, 16))
        for above, address in pairwise(way)
    ]
    bridges[2] = replace(bridges[2], link=link(width, 16))
    # Each downstream port shows the link below it, as narrow as that runs; inside a switch there is none.
    bridges[1] = replace(bridges[1], link=link(width, 16))
    end = replace(device, address="0000:45:00.0", upstream_port=way[-1], class_id="0200")
    devices = (*(d for d in SOUND.pcie.devices if d.address != GPU), *bridges, end)
    return replace(SOUND, pcie=replace(SOUND.pcie, devices=devices))


def test_the_link_between_two_switches_is_judged_and_what_is_inside_a_switch_is_not() -> None:
    assert found(cascaded(16)) == []
    [finding] = found(cascaded(4))
    assert (finding.rule, finding.component[:16]) == ("pcie-link-narrow", "PCI 0000:43:00.0")
    assert finding.evidence == "its link has 4 lanes; it can have 16, its port 0000:42:00.0 16"


def test_a_bad_nvme_disk_is_found_once_whatever_its_namespaces() -> None:
    changes: dict[str, object] = {}
    for number in (0, 1):
        nvme = f"storage.disks.{number}.nvme"
        changes |= {f"{nvme}.wear_percent": 104, f"{nvme}.available_spare_percent": 3, f"{nvme}.critical_warning": 5}
        changes |= {f"storage.disks.{number}.smart.passed": False}
    assert [(f.rule, f.component, f.evidence) for f in found(changed(SOUND, changes))] == [
        (
            "disk-failing",
            "disk nvme0n1",
            "its own overall verdict (SMART) is: failing; its NVMe critical warning is 0x05; this disk is also nvme0n2",
        ),
        ("disk-worn-out", "disk nvme0n1", "104 % of its rated endurance is used; this disk is also nvme0n2"),
        (
            "disk-spare-low",
            "disk nvme0n1",
            "3 % of its spare blocks are left, its own limit is 10 %; this disk is also nvme0n2",
        ),
    ]


def two_paths(other: str | None) -> Audit:
    """The sound machine with a SAS disk by two paths, or two disks; the health of the first path was not seen."""
    assert SOUND.storage is not None
    sda = SOUND.storage.disks[2]
    bad = replace(sda, smart=sda.smart and replace(sda.smart, grown_defects=7))
    paths = (replace(sda, name="sdb", wwn="0x5000c500a1", smart=None, notes=()), replace(bad, name="sdc", wwn=other))
    return replace(SOUND, storage=replace(SOUND.storage, disks=paths))


def test_a_sas_disk_is_found_once_whatever_its_paths() -> None:
    (once,) = found(two_paths("0x5000c500a1"))
    assert (once.component, once.evidence) == ("disk sdb", "grown_defects is 7; this disk is also sdc")
    for other in ("0x5000c500b2", None):
        (lone,) = found(two_paths(other))
        assert (lone.component, lone.evidence) == ("disk sdc", "grown_defects is 7")


def test_a_drive_that_stands_among_disks_and_behind_its_controller_is_one() -> None:
    assert SOUND.storage is not None
    wwn = SOUND.storage.raid_members[0].wwn
    assert wwn is not None
    changes = {
        "storage.disks.2.wwn": wwn,
        f"{SDA}.grown_defects": 7,
        "storage.raid_members.0.smart.grown_defects": 7,
    }
    assert [f.evidence for f in found(changed(SOUND, changes))] == [
        "grown_defects is 7; this disk is also megaraid,4 behind /dev/bus/0"
    ]


def test_the_page_marks_every_path_of_a_disk_that_has_a_finding() -> None:
    document: Any = json.loads(json.dumps(to_json(judged(two_paths("0x5000c500a1")))))
    marked = re.findall(r">warning: </span>(sd[bc])</th>", html.page(document, b""))
    assert marked == ["sdb", "sdc"]


def test_disks_are_told_apart_as_the_qr_code_counts_them() -> None:
    assert SOUND.storage is not None
    every = {f"storage.disks.{n}.smart": SOUND.storage.disks[2].smart for n in range(len(SOUND.storage.disks))}
    machine = changed(SOUND, {**every, "storage.raid_members": (), "storage.raid_controllers": ()})
    assert machine.storage is not None
    worn = replace(
        machine,
        storage=replace(
            machine.storage,
            disks=tuple(
                replace(d, smart=d.smart and replace(d.smart, crc_errors=1))
                for d in machine.storage.disks
                if d.transport != "usb"
            ),
        ),
    )
    document: Any = to_json(worn)
    assert len(found(worn)) == drives(document["storage"])[0] > 1


def test_a_raid_drives_media_errors_are_found_where_the_controller_alone_knows_them() -> None:
    [finding] = found(changed(SOUND, {"storage.raid_controllers.0.drives.0.media_errors": 412}))
    assert (finding.rule, finding.component) == ("disk-media-errors", f"drive 252:4 of {RAID}")
    assert finding.evidence == "its controller counts 412 media errors"


@pytest.mark.parametrize(
    ("locators", "channels"),
    [
        (["P1-DIMMA1", "P1-DIMMA2", "P1-DIMMB1"], {"P1-DIMMA": 2, "P1-DIMMB": 1}),
        (["DIMM_A1", "DIMM_A2", "DIMM_A3", "DIMM_A4", "DIMM_B1"], {}),
        (["PROC 1 DIMM 1", "PROC 1 DIMM 2"], {}),
        (["ChannelA-DIMM0", "ChannelA-DIMM1", "ChannelB-DIMM0"], {"ChannelA": 2, "ChannelB": 1}),
    ],
)
def test_channels_are_told_by_names_only_where_names_tell(locators: list[str], channels: dict[str, int]) -> None:
    assert SOUND.memory is not None
    slots = tuple(replace(SOUND.memory.slots[0], locator=locator, bank=None) for locator in locators)
    grouped = defects.channels(replace(SOUND, memory=replace(SOUND.memory, slots=slots)))
    assert {channel: len(members) for channel, members in grouped.items()} == channels


def test_a_rule_that_fails_costs_its_own_findings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Audit) -> Any:
        raise KeyError("x")

    monkeypatch.setattr(health, "RULES", (replace(RULES[0], check=broken), *RULES[1:]))
    record = judged(changed(SOUND, {f"{SDA}.pending_sectors": 1}))
    assert [finding.rule for finding in record.findings] == ["disk-pending"]
    assert record.notes == ("bee itself failed in the rule disk-failing: KeyError: 'x'",)


def test_the_documentation_lists_every_rule_word_for_word() -> None:
    documented = re.findall(
        r"^\| `([a-z-]+)` \| (critical|warning) \| (.+) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE
    )
    assert documented == [(rule.id, rule.severity, rule.finds, rule.action) for rule in RULES]


def test_the_report_begins_with_the_findings() -> None:
    document: Any = json.loads(json.dumps(to_json(SEEN)))
    shown = text.table(document)
    assert shown.index("FINDINGS") < shown.index("CRITICAL disk sda: pending_sectors is 1") < shown.index("BOARD")
    assert "Health  18 findings, 8 critical" in text.summary(document)
    sound: Any = json.loads(json.dumps(to_json(judged(SOUND))))
    assert "FINDINGS\n  none\n" in text.table(sound)
    assert "Health" not in text.summary(sound)
