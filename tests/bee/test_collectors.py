"""Every step on a recorded server whose every fact is known."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bee.audit import collect
from bee.collectors import memory
from bee.comparison.differences import differences
from bee.machine import Recorded, Run
from bee.model import AdapterFirmware, GpuRemappedRows, GpuRetiredPages, Interface, MigDevice, NvLink, SelfTest, Tpm
from tests.bee.recorded import LINKS, SYS_FILES, audit, exited, runs, server, without

if TYPE_CHECKING:
    from bee.model import Audit, Collector

SDA = ("smartctl", "-j", "-x", "/dev/sda")


@pytest.fixture(scope="module")
def seen() -> Audit:
    return audit(server())


def collector(found: Audit, name: str) -> Collector:
    return next(entry for entry in found.collectors if entry.name == name)


def with_run(args: tuple[str, ...], stdout: bytes, code: int = 0, stderr: bytes = b"") -> Recorded:
    return Recorded({**runs(), args: exited(args, stdout, code=code, stderr=stderr)}, SYS_FILES, LINKS)


def test_steps_run_in_the_documents_order_and_all_succeed(seen: Audit) -> None:
    assert [c.name for c in seen.collectors] == ["board", "cpu", "memory", "storage", "pcie", "psu", "nvidia"]
    assert {c.name: (c.status, c.reasons) for c in seen.collectors if c.status != "ok"} == {}


def test_board(seen: Audit) -> None:
    board = seen.board
    assert board is not None
    assert board.bios is not None
    assert board.system is not None
    assert (board.bios.vendor, board.bios.version, board.bios.release_date) == (
        "American Megatrends Inc.",
        "3.4",
        "10/30/2020",
    )
    assert (board.bios.revision, board.bios.rom_size_bytes) == ("5.14", 32 * 2**20)
    assert (board.system.manufacturer, board.system.product, board.system.serial) == (
        "Example Systems",
        "ES-2100",
        "SYS-4711",
    )
    assert board.system.uuid == "00112233-4455-6677-8899-aabbccddeeff"
    assert [(b.product, b.serial, b.location, b.asset_tag) for b in board.baseboards] == [
        ("X99-EX", "BRD-0815", "Node 1", None)
    ]
    assert [(c.manufacturer, c.type, c.serial, c.asset_tag, c.sku) for c in board.chassis] == [
        ("Example Metal", "Rack Mount Chassis", "CHS-1234", "RACK-7", "CH-2U")
    ]


def test_the_bmc_the_tpm_and_secure_boot(seen: Audit) -> None:
    assert seen.board is not None
    bmc = seen.board.bmc
    assert bmc is not None
    assert (bmc.manufacturer, bmc.manufacturer_id, bmc.product_id) == ("Example Metal", 674, 256)
    assert (bmc.firmware, bmc.ipmi_version) == ("7.00", "2.0")
    assert (bmc.ip_address, bmc.ip_source, bmc.subnet_mask) == ("10.248.36.246", "Static Address", "255.255.252.0")
    assert (bmc.gateway, bmc.mac, bmc.vlan_id) == ("10.248.36.1", "0c:c4:7a:00:00:01", 42)
    assert seen.board.tpm == Tpm(specification="2.0", vendor="STM", firmware="73.64", driven=True)
    assert seen.board.secure_boot is True


def test_a_bmc_without_a_network_is_no_trouble() -> None:
    args = ("ipmitool", "lan", "print")
    found = audit(with_run(args, b"", code=1, stderr=b"Invalid channel: 1\n"))
    assert found.board is not None
    assert found.board.bmc is not None
    assert (found.board.bmc.firmware, found.board.bmc.ip_address) == ("7.00", None)
    assert collector(found, "board").status == "ok"


@pytest.mark.parametrize(("variable", "on"), [("\6\0\0\0\0", False), ("\6\0\0\0", None), ("", None), (None, None)])
def test_secure_boot_is_what_the_variable_says(variable: str | None, on: bool | None) -> None:
    files = {path: text for path, text in SYS_FILES.items() if "SecureBoot" not in path}
    if variable is not None:
        files |= {next(path for path in SYS_FILES if "SecureBoot" in path): variable}
    found = audit(Recorded(runs(), files, LINKS))
    assert found.board is not None
    assert found.board.secure_boot is on


def test_network_interfaces_stand_at_their_device(seen: Audit) -> None:
    assert seen.pcie is not None
    nic = next(d for d in seen.pcie.devices if d.address == "0000:5e:00.0")
    assert nic.interfaces == (
        Interface(
            name="enp94s0",
            mac="0c:c4:7a:00:00:10",
            state="up",
            carrier=True,
            speed_mbps=25000,
            firmware="16.35.2000 (MT_0000000267)",
        ),
    )
    assert nic.firmware == AdapterFirmware(
        version="16.35.3006", product_version="16.35.3006", release_date="12.7.2023", psid="MT_0000000267"
    )
    assert [d.address for d in seen.pcie.devices if d.interfaces] == ["0000:5e:00.0"]
    bare = audit(without("ethtool", "mstflint"))
    assert collector(bare, "pcie").status == "ok"


def interface(found: Audit) -> Interface:
    assert found.pcie is not None
    (interface,) = next(d.interfaces for d in found.pcie.devices if d.address == "0000:5e:00.0")
    return interface


def test_a_bonds_port_keeps_the_address_that_it_was_made_with() -> None:
    port = "/sys/class/net/enp94s0"
    bonded = {**SYS_FILES, f"{port}/address": "0c:c4:7a:00:00:99\n"}
    own = {f"{port}/bonding_slave/perm_hwaddr": "0c:c4:7a:00:00:10\n"}
    assert interface(audit(Recorded(runs(), bonded, LINKS))).mac == "0c:c4:7a:00:00:99"
    assert interface(audit(Recorded(runs(), {**bonded, **own}, LINKS))).mac == "0c:c4:7a:00:00:10"


def test_an_adapters_virtual_function_is_not_asked_for_the_flash_of_the_adapter() -> None:
    physical = {"/sys/bus/pci/devices/0000:5e:00.0/physfn": "/sys/devices/pci0000:5d/0000:5d:00.0/0000:5d:00.1"}
    found = audit(Recorded(runs(), SYS_FILES, {**LINKS, **physical}))
    assert "mstflint" not in {run.args[0] for run in collector(found, "pcie").tools}
    assert found.pcie is not None
    assert next(d.firmware for d in found.pcie.devices if d.address == "0000:5e:00.0") is None


def test_placeholders_become_null_and_stay_readable_in_the_notes(seen: Audit) -> None:
    assert seen.board is not None
    assert seen.board.system is not None
    assert (seen.board.system.version, seen.board.system.sku) == (None, None)
    assert "system Version is '0123456789'" in seen.board.notes
    assert "system SKU Number is 'To be filled by O.E.M.'" in seen.board.notes
    assert "baseboard Asset Tag is 'Default string'" in seen.board.notes


def test_cpu_sockets_populated_disabled_and_empty(seen: Audit) -> None:
    assert seen.cpu is not None
    first, disabled, empty = seen.cpu.sockets
    assert (first.socket, first.populated, first.enabled, first.cores, first.threads) == ("CPU1", True, True, 18, 36)
    assert first.model == "Intel(R) Xeon(R) Gold 6240 CPU @ 2.60GHz"
    assert (first.max_speed_mhz, first.current_speed_mhz, first.external_clock_mhz) == (4500, 2600, 100)
    assert (first.voltage_volts, first.serial, first.asset_tag) == (1.6, "CPU-SER-1", None)
    assert (disabled.populated, disabled.enabled, disabled.cores_enabled) == (True, False, None)
    assert (empty.socket, empty.populated, empty.enabled, empty.model) == ("CPU3", False, False, None)
    assert empty.notes == ()
    assert (seen.cpu.populated, seen.cpu.cores, seen.cpu.threads) == (2, 36, 72)


def test_memory_slots_sizes_speeds_and_empty_ones(seen: Audit) -> None:
    assert seen.memory is not None
    a1, a2, b1, b1_again = seen.memory.slots
    assert (a1.locator, a1.bank, a1.size_bytes) == ("DIMM_A1", "P0_Node0_Channel0_Dimm0", 32 * 2**30)
    assert (a1.speed_mts, a1.configured_speed_mts, a1.ranks, a1.ecc) == (3200, 2933, 2, True)
    assert (a1.manufacturer, a1.serial, a1.part_number) == ("Samsung", "40A1B2C3", "M393A4K40DB3-CWE")
    assert (a2.size_bytes, a2.speed_mts, a2.configured_speed_mts) == (16 * 2**30, 2666, 2400)
    assert "Asset Tag is 'A1_AssetTagNum1'" in a2.notes
    # A locator may stand on two slots: both are kept.
    assert [b1.locator, b1_again.locator] == ["DIMM_B1", "DIMM_B1"]
    assert (b1.populated, b1.size_bytes, b1.type, b1.manufacturer, b1.notes) == (False, None, None, None, ())
    assert (seen.memory.total_bytes, seen.memory.populated) == (48 * 2**30, 2)


def test_a_flash_chip_is_no_dimm(seen: Audit) -> None:
    assert seen.memory is not None
    assert "SYSTEM ROM" not in [slot.locator for slot in seen.memory.slots]
    assert seen.memory.notes == ("SYSTEM ROM is a flash chip of 16384 kB, not a DIMM",)
    assert [(a.error_correction, a.max_capacity_bytes, a.slots) for a in seen.memory.arrays] == [
        ("Multi-bit ECC", 2 * 2**40, 4)
    ]


def test_disks_are_hardware_only_with_identity_and_health(seen: Audit) -> None:
    assert seen.storage is not None
    assert [disk.name for disk in seen.storage.disks] == ["nvme0n1", "nvme0n2", "sda"]
    sda = seen.storage.disks[2]
    assert (sda.model, sda.serial, sda.firmware) == ("SAMSUNG MZ7LH480HAHQ-00005", "S45PNA0M000001", "HXT7404Q")
    assert (sda.size_bytes, sda.transport, sda.hctl, sda.pci_address) == (
        480103981056,
        "sata",
        "0:0:0:0",
        "0000:00:17.0",
    )
    assert sda.smart is not None
    assert (sda.smart.passed, sda.smart.exit_status, sda.smart.reallocated_sectors, sda.smart.pending_sectors) == (
        True,
        64,
        3,
        1,
    )
    assert (sda.smart.crc_errors, sda.smart.wear_percent, sda.smart.error_log_entries) == (7, 4, 2)
    assert (sda.smart.interface_speed_gbps, sda.smart.rotation_rpm, sda.smart.power_on_hours) == (6.0, 0, 12345)
    assert sda.notes == ("smartctl: Warning: This result is based on an Attribute check.",)


def test_an_nvme_controller_is_asked_once_however_many_namespaces_it_has(seen: Audit) -> None:
    assert seen.storage is not None
    first, second = seen.storage.disks[0].nvme, seen.storage.disks[1].nvme
    assert first is not None
    assert first == second
    assert (first.controller, first.serial, first.nvme_version) == ("nvme0", "S64HNE0R000001", "1.4.0")
    assert (first.temperature_celsius, first.available_spare_percent, first.unsafe_shutdowns) == (35, 100, 3)
    assert first.written_bytes == 2000 * 512_000
    assert sum(tool.args[0] == "nvme" for tool in collector(seen, "storage").tools) == 2


def test_drives_behind_a_raid_controller_are_asked_by_their_type(seen: Audit) -> None:
    assert seen.storage is not None
    (member,) = seen.storage.raid_members
    assert (member.device, member.type, member.serial, member.wwn) == (
        "/dev/bus/0",
        "megaraid,4",
        "WFK00001",
        "0x5000c500a1b2c3d4",
    )
    assert (member.size_bytes, member.logical_sector_bytes, member.physical_sector_bytes) == (1200243695616, 512, 4096)
    assert member.smart is not None
    assert (member.smart.passed, member.smart.uncorrected_errors, member.smart.grown_defects) == (True, 0, 0)
    assert member.smart.self_tests == (
        SelfTest(kind="Background short", status="Completed", passed=True, power_on_hours=20100),
    )


def test_raid_controllers_by_their_vendors_tools(seen: Audit) -> None:
    assert seen.storage is not None
    megaraid, hba = seen.storage.raid_controllers
    assert (megaraid.tool, megaraid.model, megaraid.serial) == ("storcli64", "MegaRAID 9460-8i", "SP00000001")
    assert (megaraid.firmware, megaraid.pci_address, megaraid.battery) == ("5.140.00-3319", "0000:3b:00.0", "Failed")
    assert [(v.id, v.level, v.status, v.size_bytes) for v in megaraid.volumes] == [
        ("0/239", "RAID1", "Dgrd", 1198467674275)
    ]
    first, second = megaraid.drives
    assert (first.enclosure, first.slot, first.serial, first.wwn) == (252, 4, "WFK00001", "5000C500A1B2C3D4")
    # With the details the size is exact; without, as the table rounds it.
    assert (first.size_bytes, first.predictive_failures, first.smart_alert) == (1200243695616, 2, False)
    assert (second.size_bytes, second.serial, second.status) == (1200000000000, None, "UBad")
    assert [(e.id, e.slots, e.drives) for e in megaraid.enclosures] == [(252, 8, 2)]
    assert (hba.tool, hba.model, hba.firmware, hba.pci_address) == (
        "sas3ircu",
        "SAS3008",
        "16.00.11.00",
        "0000:af:00.0",
    )
    assert [(d.serial, d.size_bytes, d.protocol, d.medium) for d in hba.drives] == [
        ("BNA7N5994ICB47T3V", 480103981056, "SATA", "SSD")
    ]
    assert [(v.level, v.status, v.size_bytes) for v in hba.volumes] == [("RAID1", "Okay (OKY)", 139236 * 2**20)]


def test_without_the_vendors_tools_nothing_is_amiss() -> None:
    found = audit(without("storcli64", "sas3ircu"))
    assert found.storage is not None
    assert found.storage.raid_controllers == ()
    assert (collector(found, "storage").status, collector(found, "storage").reasons) == ("ok", ())


def test_a_controller_that_two_tools_show_is_listed_once() -> None:
    args = ("sas3ircu", "0", "DISPLAY")
    found = audit(with_run(args, runs()[args].stdout.replace(b": 175", b": 59")))
    assert found.storage is not None
    assert [c.tool for c in found.storage.raid_controllers] == ["storcli64"]


def test_pcie_names_ids_driver_link_and_place(seen: Audit) -> None:
    assert seen.pcie is not None
    gpu = next(d for d in seen.pcie.devices if d.address == "0000:01:00.0")
    assert (gpu.device_name, gpu.device_id, gpu.vendor_id, gpu.class_id) == (
        "GA100 [A100 PCIe 40GB]",
        "20f1",
        "10de",
        "0302",
    )
    assert (gpu.driver, gpu.numa_node, gpu.physical_slot, gpu.upstream_port) == ("nvidia", 1, "3", "0000:00:01.0")
    assert gpu.link is not None
    assert (gpu.link.width, gpu.link.max_width, gpu.link.speed_gts, gpu.link.max_speed_gts) == (8, 16, 2.5, 16.0)
    sata = next(d for d in seen.pcie.devices if d.address == "0000:00:17.0")
    assert (sata.numa_node, sata.link, sata.driver, sata.subsystem_name) == (None, None, "ahci", None)


@pytest.mark.parametrize(
    ("bay", "slot"), [("000", "000"), ("00", "00"), ("Slot 03", "Slot 03"), ("N/A", None), ("--", None)]
)
def test_a_bay_is_called_as_its_enclosure_calls_it(bay: str, slot: str | None) -> None:
    links = {path: to for path, to in LINKS.items() if "enclosure_device" not in path}
    folders = {"/sys/block/sda/device": (f"enclosure_device:{bay}",)}
    found = audit(Recorded(runs(), SYS_FILES, links, folders=folders))
    assert found.storage is not None
    assert [disk.slot for disk in found.storage.disks if disk.name == "sda"] == [slot]


MULTIPATH = {
    "/sys/block/nvme0n1": "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
    "/sys/block/nvme0n2": "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n2",
    "/sys/class/nvme/nvme0": "/sys/devices/pci0000:00/0000:00:03.0/0000:02:00.0/nvme/nvme0",
}


@pytest.mark.parametrize(
    ("paths", "controller", "address"),
    [
        ({}, "nvme0", "0000:02:00.0"),
        ({"nvme0c0n1": "0000:02:00.0", "nvme0c0n2": "0000:02:00.0"}, "nvme0", "0000:02:00.0"),
        # Of two controllers the first; that of another subsystem is none of them.
        (
            {"nvme0c4n1": "0000:06:00.0", "nvme0c3n1": "0000:05:00.0", "nvme1c0n1": "0000:07:00.0"},
            "nvme3",
            "0000:05:00.0",
        ),
    ],
)
def test_a_namespace_that_controllers_share_is_where_its_paths_lead(
    paths: dict[str, str], controller: str, address: str
) -> None:
    below = {
        f"/sys/block/{name}": f"/sys/devices/pci0000:00/0000:00:03.0/{at}/nvme/nvme{name[5]}/{name}"
        for name, at in paths.items()
    }
    made = {
        tuple(word.replace("/dev/nvme0", f"/dev/{controller}") if args[0] == "nvme" else word for word in args): run
        for args, run in runs().items()
    }
    slots = {"/sys/bus/pci/slots/31/address": "0000:05:00\n"}
    found = audit(Recorded(made, {**SYS_FILES, **slots}, {**LINKS, **MULTIPATH, **below}))
    assert found.storage is not None
    disk = next(d for d in found.storage.disks if d.name == "nvme0n1")
    assert (disk.pci_address, disk.slot) == (address, "24" if address == "0000:02:00.0" else "31")
    assert disk.nvme is not None
    assert (disk.nvme.controller, disk.nvme.serial) == (controller, "S64HNE0R000001")


def test_a_function_that_lspci_did_not_print_is_taken_from_sys(seen: Audit) -> None:
    assert seen.pcie is not None
    hidden = next(d for d in seen.pcie.devices if d.address == "0000:00:1f.5")
    assert (hidden.vendor_id, hidden.device_id, hidden.class_id, hidden.device_name) == ("8086", "a1a4", "0c80", None)


def test_psu_keeps_every_fru_and_lists_the_supplies(seen: Audit) -> None:
    assert seen.psu is not None
    assert [(f.id, f.present, f.power_supply) for f in seen.psu.frus] == [
        (0, True, False),
        (1, True, True),
        (2, False, True),
        (3, True, True),
    ]
    builtin = seen.psu.frus[0]
    assert builtin.product is not None
    assert builtin.chassis is not None
    assert (builtin.product.serial, builtin.product.asset_tag, builtin.chassis.serial) == ("SYS-4711", None, "CH-SN-1")
    assert [(o.name, o.value) for o in builtin.other] == [("Board Extra", "rev B"), ("Board Extra", "site 4")]


def test_supplies_of_bmc_and_firmware_are_merged_and_differences_noted(seen: Audit) -> None:
    assert seen.psu is not None
    first, absent, third = seen.psu.supplies
    assert (first.name, first.location, first.serial, first.capacity_watts) == ("PS1", "PSU1", "PSU-SN-1", 495)
    assert (first.revision, first.status, first.plugged, first.hot_replaceable) == ("A03", "Present, OK", True, True)
    # The serial numbers are equal, so it is one supply; the part numbers are not.
    assert "part_number is '0GRTNKA02' by ipmitool fru, '0GRTNKA03' by dmidecode -t 39" in first.notes
    assert (absent.present, absent.serial, absent.sources) == (False, None, ("ipmitool fru", "dmidecode -t 39"))
    # Neither has all: the BMC knows the serial number, the firmware the part number.
    assert (third.manufacturer, third.model, third.serial, third.part_number) == (
        "OTHER",
        "PSU-TYPE-3",
        "PSU-SN-3",
        "PN-3",
    )
    assert (third.capacity_watts, third.status) == (750, "Present, Critical")
    assert "capacity_watts is 750 by ipmitool fru, 800 by dmidecode -t 39" in third.notes
    assert seen.psu.notes == ("dmidecode -t 39 lists 1 of which it says nothing; left out",)


def test_supplies_are_paired_by_serial_number_wherever_the_firmware_says_they_are() -> None:
    args = ("dmidecode", "-t", "39")
    found = audit(with_run(args, runs()[args].stdout.replace(b"Location: PSU1", b"Location: PSU9")))
    assert found.psu is not None
    assert [(s.name, s.location) for s in found.psu.supplies if s.serial == "PSU-SN-1"] == [("PS1", "PSU9")]


def test_supplies_that_the_bmc_does_not_list_come_from_the_firmware() -> None:
    files = {path: text for path, text in SYS_FILES.items() if not path.startswith("/dev/ipmi")}
    found = audit(Recorded(runs(), files, LINKS))
    assert found.psu is not None
    assert [(s.name, s.present, s.fru_id) for s in found.psu.supplies] == [
        ("PSU1", True, None),
        ("PSU2", False, None),
        ("PSU3", True, None),
    ]
    assert (found.psu.frus, found.psu.sensors, found.psu.sel_entries) == ((), (), None)
    assert collector(found, "psu").status == "partial"


def test_sensors_and_events_that_matter_are_kept(seen: Audit) -> None:
    assert seen.psu is not None
    assert [(s.name, s.status, s.reading) for s in seen.psu.sensors] == [
        ("FAN3", "cr", "0 RPM"),
        ("PS1 Status", "ok", "Presence detected"),
        ("PS3 Status", "ok", "Presence detected, Failure detected"),
        ("Power Redundancy", "ok", "Redundancy Lost"),
    ]
    assert seen.psu.sel_entries == 6
    assert [(e.id, e.occurred_at, e.event) for e in seen.psu.sel_critical] == [
        (2, "2020-04-05T12:34:56", "Uncorrectable ECC (UnCorrectable ECC | DIMMA2)"),
        (3, "2020-04-06T13:02:03", "Failure detected"),
        (11, "2020-04-06T13:02:11", "Lower Critical going low"),
    ]


@pytest.mark.parametrize(
    ("event", "is_defect"),
    [
        ("Upper Critical going high", True),
        ("Lower Non-recoverable going low ", True),
        ("Transition to Critical from less severe", True),
        ("Uncorrectable ECC", True),
        ("Power Supply AC lost", True),
        ("Predictive failure", True),
        ("IERR", True),
        ("FRB2/Hang in POST failure", True),
        ("FRB1/BIST failure", True),
        ("PCI PERR", True),
        ("PCI SERR", True),
        ("Fatal NMI", True),
        ("Memory Device Disabled", True),
        ("Uncorrectable machine check exception", True),
        ("Machine Check Exception", True),
        ("Soft-power control failure", True),
        ("Config Error: Vendor Mismatch", True),
        ("Redundancy Degraded", True),
        ("Non-Redundant: Insufficient Resources", True),
        ("Correctable ECC logging limit reached", True),
        ("Parity", True),
        ("Memory Scrub Failed", True),
        ("AC out-of-range, but present", True),
        ("Fault Status", True),
        ("Rebuild Aborted", True),
        ("Sensor failure", True),
        ("FRU failure", True),
        ("Unrecoverable system-board failure", True),
        ("No usable system memory", True),
        ("Unrecoverable PS/2 or USB keyboard failure", False),
        ("Parity Check In Progress", False),
        ("Rebuild In Progress", False),
        ("Fully Redundant", False),
        ("Non-Redundant: Sufficient from Insufficient", False),
        ("Redundancy Degraded from Non-Redundant", False),
        ("Correctable memory error logging disabled", False),
        ("Identify Status", False),
        ("Correctable machine check error", False),
        ("Bus Correctable error", False),
        ("Disabled", False),
        ("Upper Non-critical going high", False),
        ("Transition to Non-Critical from OK", False),
        ("Correctable ECC", False),
        ("Presence detected", False),
        ("S0/G0: working", False),
        ("Log area reset/cleared", False),
    ],
)
def test_events_that_mean_a_defect_are_told_from_the_others(event: str, is_defect: bool) -> None:
    args = ("ipmitool", "sel", "elist", "last", "500")
    found = audit(with_run(args, f"   1 | 04/05/2020 | 12:34:56 | Any X | {event} | Asserted\n".encode()))
    assert found.psu is not None
    assert [e.event for e in found.psu.sel_critical] == ([event.strip()] if is_defect else [])


@pytest.mark.parametrize(
    ("sensor", "is_defect"),
    [("Processor CPU2 Status", True), ("Processor #0x94", True), ("Watchdog 2", False)],
)
def test_a_processor_that_the_bmc_disabled_is_a_defect_and_a_timer_is_none(sensor: str, is_defect: bool) -> None:
    args = ("ipmitool", "sel", "elist", "last", "500")
    found = audit(with_run(args, f"   1 | 04/05/2020 | 12:34:56 | {sensor} | Disabled | Asserted\n".encode()))
    assert found.psu is not None
    assert len(found.psu.sel_critical) == is_defect


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Fan Redundancy   | 75h | ok  |  7.1 | Redundancy Lost", True),
        ("PS Redundancy    | 77h | ok  |  7.1 | Non-Redundant: Sufficient from Redundant", True),
        ("Drive 3          | 83h | ok  | 26.1 | Drive Present, Drive Fault", True),
        ("CPU1 Status      | 84h | ok  |  3.1 | Presence detected, Thermal Trip", True),
        ("ECC Uncorr Err   | 02h | ok  | 34.1 | Uncorrectable ECC", True),
        ("Fan Redundancy   | 75h | ok  |  7.1 | Fully Redundant", False),
        ("Drive 3          | 83h | ok  | 26.1 | Drive Present, Parity Check In Progress", False),
        ("CPU1 Status      | 84h | ok  |  3.1 | Presence detected", False),
        ("ECC Uncorr Err   | 02h | ok  | 34.1 | ", False),
        ("P1-DIMMA1 Temp   | B8h | ok  | 32.7 | 36 degrees C", False),
    ],
)
def test_a_sensor_that_ipmitool_calls_ok_is_kept_for_the_state_that_it_is_in(line: str, kept: bool) -> None:
    found = audit(with_run(("ipmitool", "sdr", "elist"), f"{line}\n".encode()))
    assert found.psu is not None
    assert [sensor.reading for sensor in found.psu.sensors] == ([line.rpartition("| ")[2]] if kept else [])


def test_a_bmc_without_sensors_and_log_is_no_trouble() -> None:
    refused = {
        args: exited(args, b"", code=1, stderr=b"Invalid command\n")
        for args in runs()
        if args[1:2] in {("sdr",), ("sel",)}
    }
    found = audit(Recorded({**runs(), **refused}, SYS_FILES, LINKS))
    assert collector(found, "psu").status == "ok"


@pytest.mark.parametrize(
    ("step", "args", "code", "stderr"),
    [
        ("psu", ("ipmitool", "sdr", "elist"), 1, "Unable to open SDR for reading"),
        ("psu", ("ipmitool", "sel", "elist", "last", "500"), 1, "Get SEL Info command failed: Node busy"),
        ("board", ("ipmitool", "lan", "print"), 1, "Could not open device at /dev/ipmi0"),
        ("storage", ("storcli64", "/call", "show", "all", "J"), 139, "Segmentation fault"),
        ("storage", ("sas3ircu", "LIST"), 1, ""),
        ("storage", ("smartctl", "-j", "--scan"), 1, "out of memory"),
        ("nvidia", ("nvidia-smi", "nvlink", "-s"), 255, "Failed to initialize NVML: Unknown Error"),
    ],
)
def test_a_tool_that_fails_without_a_word_of_what_it_lists_has_seen_nothing(
    step: str, args: tuple[str, ...], code: int, stderr: str
) -> None:
    found = audit(with_run(args, b"", code=code, stderr=stderr.encode()))
    said = f"{' '.join(args)} ended with exit code {code}{f': {stderr}' if stderr else ''}"
    assert (collector(found, step).status, collector(found, step).reasons) == ("partial", (said,))
    differing = differences(audit(server()), found)
    assert {difference.change for difference in differing} == {"unseen"}, differing


@pytest.mark.parametrize(
    ("args", "stdout", "stderr"),
    [
        (
            ("storcli64", "/call", "show", "all", "J"),
            b'{"Controllers": [{"Command Status": {"Status": "Failure", "Description": "No Controller found"}}]}',
            b"",
        ),
        (("sas3ircu", "LIST"), b"SAS3IRCU: MPTLib2 Error 1\n", b""),
        (("ipmitool", "lan", "print"), b"", b"Channel 1 is not a LAN channel!\n"),
        (("ipmitool", "sdr", "elist"), b"", b"Error obtaining SDR info: Invalid command\nUnable to open SDR\n"),
    ],
)
def test_a_tool_that_refuses_what_the_machine_has_not_is_no_trouble(
    args: tuple[str, ...], stdout: bytes, stderr: bytes
) -> None:
    found = audit(with_run(args, stdout, code=1, stderr=stderr))
    assert [(c.name, c.reasons) for c in found.collectors if c.status != "ok"] == []


def test_nvidia_is_joined_to_the_pci_device(seen: Audit) -> None:
    assert seen.nvidia is not None
    assert seen.pcie is not None
    (gpu,) = seen.nvidia.gpus
    assert (seen.nvidia.driver_version, gpu.pci_address, gpu.on_bus) == ("550.163.01", "0000:01:00.0", True)
    assert (gpu.name, gpu.serial, gpu.vbios) == ("NVIDIA A100-PCIE-40GB", "1562620014321", "92.00.25.00.08")
    assert (gpu.memory_bytes, gpu.power_draw_watts, gpu.power_limit_watts) == (40 * 2**30, 35.12, 250.0)
    assert (gpu.ecc.volatile_corrected, gpu.ecc.volatile_uncorrected) == (3, 4)
    assert (gpu.ecc.aggregate_corrected, gpu.ecc.aggregate_uncorrected) == (11, 7)
    assert (gpu.link.width, gpu.link.max_width, gpu.link.generation, gpu.link.max_generation) == (8, 16, 1, 4)
    joined = {d.address: d.gpu_uuid for d in seen.pcie.devices if d.gpu_uuid}
    assert joined == {"0000:01:00.0": gpu.uuid}


def test_a_disks_bay_is_its_enclosures_or_its_pci_slot(seen: Audit) -> None:
    assert seen.storage is not None
    assert {disk.name: disk.slot for disk in seen.storage.disks} == {"nvme0n1": "24", "nvme0n2": None, "sda": "Slot 03"}


def test_gpu_memory_faults_limits_and_mig_devices(seen: Audit) -> None:
    assert seen.nvidia is not None
    (gpu,) = seen.nvidia.gpus
    assert gpu.remapped_rows == GpuRemappedRows(corrected=1, uncorrected=2, pending=True, failed=False)
    assert gpu.retired_pages is None
    assert (gpu.memory_temperature_celsius, gpu.slowdown_temperature_celsius) == (44, 89)
    assert (gpu.shutdown_temperature_celsius, gpu.power_limit_default_watts, gpu.power_limit_max_watts) == (
        92,
        250,
        300,
    )
    assert gpu.throttle_reasons == ("gpu_idle",)
    assert gpu.mig_devices == (MigDevice(index=0, gpu_instance=1, compute_instance=0, memory_bytes=19968 * 2**20),)


def test_nvlinks_are_joined_to_their_gpu(seen: Audit) -> None:
    assert seen.nvidia is not None
    (gpu,) = seen.nvidia.gpus
    assert gpu.nvlinks == (
        NvLink(
            number=0,
            active=True,
            speed_gigabytes_per_second=25.0,
            replay_errors=0,
            recovery_errors=0,
            crc_errors=3,
        ),
        NvLink(
            number=1,
            active=False,
            speed_gigabytes_per_second=None,
            replay_errors=None,
            recovery_errors=None,
            crc_errors=None,
        ),
        NvLink(
            number=2,
            active=True,
            speed_gigabytes_per_second=26.562,
            replay_errors=0,
            recovery_errors=0,
            crc_errors=0,
        ),
    )


@pytest.mark.parametrize(
    ("said", "notes"),
    [
        ("Device does not have or support Nvlink", ()),
        (
            "Nvlink queries are not supported for Devices in MIG mode",
            ("nvlink: Nvlink queries are not supported for Devices in MIG mode",),
        ),
    ],
)
def test_a_gpu_without_nvlink_is_no_trouble(said: str, notes: tuple[str, ...]) -> None:
    head = runs()["nvidia-smi", "nvlink", "-s"].stdout.partition(b"\n")[0]
    status = ("nvidia-smi", "nvlink", "-s")
    found = audit(Recorded({**runs(), status: exited(status, head + f"\n{said}\n".encode(), code=6)}, SYS_FILES, LINKS))
    assert found.nvidia is not None
    assert found.nvidia.gpus[0].nvlinks == ()
    assert tuple(note for note in found.nvidia.gpus[0].notes if "nvlink" in note) == notes
    assert collector(found, "nvidia").status == "ok"


def test_a_gpu_that_the_loaded_driver_does_not_know_is_said() -> None:
    lspci = runs()["lspci", "-vmm", "-D", "-nn", "-k"]
    newer = lspci.stdout.replace(b"Driver:\tnvidia\n", b"").replace(b"GA100 [A100 PCIe 40GB] [20f1]", b"Device [2bb1]")
    query = ("nvidia-smi", "-q", "-x")
    machine = Recorded(
        {
            **runs(),
            lspci.args: exited(lspci.args, newer),
            query: exited(query, b"No devices were found\n", code=6),
        },
        {**SYS_FILES, "/sys/module/nvidia/version": "550.163.01\n"},
        {path: to for path, to in LINKS.items() if not to.endswith("drivers/nvidia")},
    )
    found = audit(machine)
    assert found.nvidia is None
    assert collector(found, "nvidia").status == "failed"
    assert collector(found, "nvidia").reasons[0] == (
        "0000:01:00.0 (a GPU that pci.ids does not name, 10de:2bb1) has no driver: "
        "the nvidia driver 550.163.01 is loaded and does not know it, or could not start it"
    )


QUERY = ("nvidia-smi", "-q", "-x")
A100 = "0000:01:00.0"


@pytest.mark.parametrize("said", ["GPU requires reset", "[GPU requires reset]", "Unknown Error", "ERR!", "GPU is lost"])
def test_a_gpu_that_answers_with_errors_is_partial_and_a_finding(said: str) -> None:
    xml = runs()[QUERY].stdout.decode()
    broken = re.sub(r">(?:N/A|P0|Not Active|[0-9.]+ (?:MiB|C|W)|92\.00\.25\.00\.08)<", f">{said}<", xml)
    found = audit(with_run(QUERY, broken.encode()))
    assert found.nvidia is not None
    [gpu] = found.nvidia.gpus
    assert (gpu.memory_bytes, gpu.temperature_celsius, gpu.performance_state, gpu.vbios) == (None, None, None, None)
    bare = said.strip("[]")
    assert collector(found, "nvidia").status == "partial"
    assert collector(found, "nvidia").reasons == (f"{A100}: nvidia-smi says {bare!r}",)
    [finding] = [finding for finding in found.findings if finding.rule == "gpu-in-error"]
    assert (finding.severity, finding.component) == ("critical", f"GPU {A100}")
    assert finding.evidence.startswith(f"nvidia-smi says {bare!r} of vbios_version and ")
    healed = [d for d in differences(audit(server()), found) if d.change == "better"]
    assert healed == []


@pytest.mark.parametrize(
    ("element", "note"),
    [
        ("<gpu_recovery_action>Reset</gpu_recovery_action>", "nvidia-smi says 'Reset' of gpu_recovery_action"),
        ("<gpu_recovery_action>None</gpu_recovery_action>", None),
        (
            "<gpu_reset_status><reset_required>Yes</reset_required></gpu_reset_status>",
            "nvidia-smi says 'Yes' of gpu_reset_status/reset_required",
        ),
        (
            "<gpu_reset_status><reset_required>No</reset_required></gpu_reset_status>",
            None,
        ),
        # Driver 535 says it of GPUs that are well, where the platform has no addressing mode.
        ("<addressing_mode>Unknown Error</addressing_mode>", None),
        ("<processes><process_info><process_name>ERR!</process_name></process_info></processes>", None),
    ],
)
def test_a_gpu_that_must_be_reset_is_a_finding_and_an_odd_word_of_a_sound_one_is_none(
    element: str, note: str | None
) -> None:
    xml = runs()[QUERY].stdout.replace(b"<performance_state>", element.encode() + b"<performance_state>")
    found = audit(with_run(QUERY, xml))
    assert [f.evidence for f in found.findings if f.rule == "gpu-in-error"] == ([note] if note else [])
    assert collector(found, "nvidia").status == "ok"


def test_older_drivers_name_throttle_reasons_and_retired_pages_otherwise() -> None:
    xml = runs()["nvidia-smi", "-q", "-x"].stdout
    xml = xml.replace(b"clocks_event_reason", b"clocks_throttle_reason").replace(
        b">N/A</retired_count>", b">3</retired_count>"
    )
    found = audit(with_run(("nvidia-smi", "-q", "-x"), xml))
    assert found.nvidia is not None
    assert found.nvidia.gpus[0].throttle_reasons == ("gpu_idle",)
    assert found.nvidia.gpus[0].retired_pages == GpuRetiredPages(single_bit=3, double_bit=3, pending=None)


def test_family_model_stepping_and_totals(seen: Audit) -> None:
    assert seen.cpu is not None
    first = seen.cpu.sockets[0]
    assert (first.family_number, first.model_number, first.stepping) == (6, 85, 7)
    assert (seen.cpu.unpopulated, seen.cpu.disabled, seen.cpu.cores_enabled) == (1, 1, 18)
    assert seen.cpu.microcodes == ("0x5003302",)


@pytest.mark.parametrize(
    ("cpuid", "version"),
    [
        # The Cascade Lake above, a Milan (family 25, model 1, stepping 1), and one of no known make.
        ("57 06 05 00 FF FB EB BF", (6, 85, 7)),
        ("11 0F A0 00 FF FB 8B 17", (25, 1, 1)),
        ("00 00 00 00 00 00 00 00", (None, None, None)),
        ("not bytes", (None, None, None)),
    ],
)
def test_without_a_signature_the_cpuid_bytes_are_decoded(cpuid: str, version: tuple[int | None, ...]) -> None:
    args = ("dmidecode", "-t", "4")
    text = runs()[args].stdout.replace(b"Signature: Type 0, Family 6, Model 85, Stepping 7", b"Flags: None")
    found = audit(with_run(args, text.replace(b"57 06 05 00 FF FB EB BF", cpuid.encode())))
    assert found.cpu is not None
    first = found.cpu.sockets[0]
    assert (first.family_number, first.model_number, first.stepping) == version


def test_a_makers_number_becomes_its_name() -> None:
    args = ("dmidecode", "-t", "16,17")
    found = audit(with_run(args, runs()[args].stdout.replace(b"Manufacturer: Samsung", b"Manufacturer: 00AD04B300AD")))
    assert found.memory is not None
    first = found.memory.slots[0]
    assert (first.manufacturer, first.jedec_id) == ("SK Hynix", "bank 1, 0xad")
    assert "Manufacturer is '00AD04B300AD'" in first.notes


def test_host_is_read_without_any_tool(seen: Audit) -> None:
    host = audit(Recorded(files=SYS_FILES, links=LINKS)).host
    assert (host.hostname, host.boot_mode, host.logical_cpus, host.memory_bytes) == (
        "rack7",
        "uefi",
        2,
        49152000 * 1024,
    )
    assert host == seen.host


@pytest.mark.parametrize(
    ("tool", "parts"),
    [
        ("dmidecode", ("board", "cpu", "memory")),
        ("lsblk", ("storage",)),
        ("lspci", ("pcie",)),
        ("nvidia-smi", ("nvidia",)),
    ],
)
def test_a_missing_tool_leaves_null_for_its_part_and_the_reason(tool: str, parts: tuple[str, ...]) -> None:
    found = audit(without(tool))
    nulls = {
        name for name in ("board", "cpu", "memory", "storage", "pcie", "psu", "nvidia") if not getattr(found, name)
    }
    assert nulls == set(parts)
    for part in parts:
        assert collector(found, part).status == "skipped"
        assert collector(found, part).reasons == (f"{tool} is not installed",)


def test_without_smartctl_and_nvme_disks_keep_what_lsblk_knows() -> None:
    found = audit(without("smartctl", "nvme"))
    assert found.storage is not None
    assert collector(found, "storage").status == "partial"
    assert collector(found, "storage").reasons == ("smartctl is not installed", "nvme is not installed")
    sda = found.storage.disks[2]
    assert (sda.model, sda.serial, sda.smart, sda.firmware) == ("SAMSUNG MZ7LH480", "S45PNA0M000001", None, "404Q")


def test_psu_is_silent_without_a_bmc_and_a_table() -> None:
    said: list[tuple[str, str]] = []
    files = {path: text for path, text in SYS_FILES.items() if not path.startswith("/dev/ipmi")}
    none = exited(("dmidecode", "-t", "39"), b"# dmidecode 3.4\n")
    found = collect(Recorded({**runs(), none.args: none}, files, LINKS), lambda level, text: said.append((level, text)))
    assert found.psu is None
    assert collector(found, "psu").status == "skipped"
    assert [tool.args[0] for tool in collector(found, "psu").tools] == ["dmidecode"]
    assert not [text for level, text in said if level == "error" and "psu" in text]


def test_nvidia_says_which_was_missing_and_names_a_gpu_without_a_driver() -> None:
    links = {path: to for path, to in LINKS.items() if "nvidia" not in to}
    lspci = runs()["lspci", "-vmm", "-D", "-nn", "-k"]
    bare = exited(lspci.args, lspci.stdout.replace(b"Driver:\tnvidia\n", b""))
    found = audit(Recorded({**runs(), lspci.args: bare}, SYS_FILES, links))
    assert found.nvidia is None
    assert collector(found, "nvidia").reasons == (
        "0000:01:00.0 (GA100 [A100 PCIe 40GB], 10de:20f1) has no driver",
        "the nvidia driver is not loaded",
    )


def test_a_gpu_that_nvidia_smi_does_not_show_is_said() -> None:
    xml = runs()["nvidia-smi", "-q", "-x"].stdout.replace(b"01:00.0", b"05:00.0")
    found = audit(with_run(("nvidia-smi", "-q", "-x"), xml))
    assert found.nvidia is not None
    assert [gpu.on_bus for gpu in found.nvidia.gpus] == [False]
    assert collector(found, "nvidia").status == "partial"
    assert "0000:01:00.0 is on the bus and nvidia-smi does not show it" in collector(found, "nvidia").reasons


def test_a_table_that_is_broken_half_way_keeps_what_came_before() -> None:
    args = ("dmidecode", "-t", "16,17")
    whole = runs()[args].stdout
    cut = whole[: whole.index(b"Handle 0x1102")] + b"Invalid entry length (0). DMI table is broken! Stop.\n"
    found = audit(with_run(args, cut))
    assert found.memory is not None
    assert found.memory.total_bytes == 48 * 2**30
    assert collector(found, "memory").status == "partial"
    assert collector(found, "memory").reasons == ("dmidecode: Invalid entry length (0). DMI table is broken! Stop.",)


def test_smartctl_that_cannot_open_a_disk_gives_no_health_and_says_so() -> None:
    text = b'{"smartctl": {"exit_status": 2, "messages": [{"string": "open failed"}]}}'
    found = audit(with_run(SDA, text, code=2))
    assert found.storage is not None
    assert (found.storage.disks[2].smart, found.storage.disks[2].notes) == (None, ("smartctl: open failed",))


def test_a_disk_that_no_longer_answers_is_no_better_and_has_not_changed() -> None:
    text = b'{"smartctl": {"exit_status": 2, "messages": [{"string": "Read Device Identity failed: not ready"}]}}'
    found = audit(with_run(SDA, text, code=2))
    told = [(d.change, d.part, d.field) for d in differences(audit(server()), found)]
    assert told == [("worse", "disk sda", "disk-no-health"), ("unseen", "disk sda", None)]
    [_, unseen] = differences(audit(server()), found)
    assert unseen.detail == "3 facts and 3 findings not seen in NEW: smartctl: Read Device Identity failed: not ready"
    back = [(d.change, d.part, d.field) for d in differences(found, audit(server()))]
    assert back == [("better", "disk sda", "disk-no-health"), ("unseen", "disk sda", None)]


def test_without_root_the_steps_say_so() -> None:
    args = ("dmidecode", "-t", "4")
    denied = exited(args, b"# dmidecode 3.4\n", code=1, stderr=b"/dev/mem: Permission denied\n")
    found = audit(Recorded({**runs(), args: denied}, SYS_FILES, LINKS, root=False))
    assert found.cpu is None
    assert collector(found, "cpu").status == "failed"
    assert collector(found, "cpu").reasons == (
        "dmidecode -t 4 ended with exit code 1: /dev/mem: Permission denied",
        "reading the SMBIOS table needs root",
    )
    assert "reading the health of disks needs root" in collector(found, "storage").reasons


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (Run(args=(), outcome="timeout", seconds=30.0), "did not end within 30 s and was killed"),
        (Run(args=(), outcome="timeout", left_behind=True), "could not be killed and was left behind"),
        (Run(args=(), outcome="flooded", stdout=b"x"), "printed more than 16 MiB"),
        (Run(args=(), outcome="killed", signal=9), "was killed by signal 9"),
        (Run(args=(), outcome="unstartable", stderr=b"Exec format error"), "cannot be started: Exec format error"),
        (Run(args=(), outcome="exited", exit_code=3, stderr=b"\nno such\n"), "ended with exit code 3: no such"),
    ],
)
def test_every_way_for_a_tool_to_fail_is_said_and_costs_nothing_else(run: Run, said: str) -> None:
    args = ("lspci", "-vmm", "-D", "-nn", "-k")
    found = audit(Recorded({**runs(), args: replace(run, args=args)}, SYS_FILES, LINKS))
    assert re.search(re.escape(said), collector(found, "pcie").reasons[0])
    assert [c.status for c in found.collectors if c.name not in {"pcie", "nvidia"}] == ["ok"] * 5


def test_a_bug_in_one_collector_costs_only_its_own_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(step: object) -> None:
        raise KeyError("Size")

    monkeypatch.setattr(memory, "collect", broken)
    found = audit(server())
    assert found.memory is None
    assert collector(found, "memory").status == "failed"
    assert collector(found, "memory").reasons == ("bee itself failed here: KeyError: 'Size'",)
    assert found.storage is not None
