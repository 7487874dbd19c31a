"""What the audit must say of the hardware that a guest was given, field by field, and how a difference is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.boot import smbios
from tests.boot.start import BIOS

if TYPE_CHECKING:
    from tests.boot.fru import Fru
    from tests.boot.hardware import Disk, Hardware, Nic, Processor
    from tests.boot.smbios import Dimm
    from tests.boot.start import Firmware

MEMORY_TYPES = {smbios.TYPE_DDR4: "DDR4", smbios.TYPE_DDR5: "DDR5"}
MIB = 1 << 20


def expected(hardware: Hardware, firmware: Firmware = BIOS) -> dict[str, object]:
    """The part of the audit that follows from the hardware and its firmware: each key must be there with this value.

    Lists are complete: a disk, DIMM or supply more than given is a difference. What does not follow from it (times,
    counters, what QEMU calls its own devices) is left out.
    """
    bios, system, board, chassis = hardware.bios, hardware.system, hardware.baseboard, hardware.chassis
    present = [dimm for dimm in hardware.dimms if dimm.size_mib]
    processor = hardware.processor
    boot_mode = "bios" if firmware is BIOS else "uefi"
    return {
        "host": {"boot_mode": boot_mode, "logical_cpus": processor.sockets * processor.cores * processor.threads},
        "board": {
            "bios": {"vendor": bios.vendor, "version": bios.version, "release_date": bios.date},
            "system": {
                "manufacturer": system.manufacturer,
                "product": system.product,
                "version": system.version,
                "serial": system.serial,
                "uuid": system.uuid,
                "sku": system.sku,
                "family": system.family,
            },
            "baseboards": [
                {
                    "manufacturer": board.manufacturer,
                    "product": board.product,
                    "version": board.version,
                    "serial": board.serial,
                    "asset_tag": board.asset,
                    "location": board.location,
                }
            ],
            "chassis": [
                {
                    "manufacturer": chassis.manufacturer,
                    "version": chassis.version,
                    "serial": chassis.serial,
                    "asset_tag": chassis.asset,
                    "sku": chassis.sku,
                }
            ],
        },
        "cpu": {
            "populated": processor.sockets,
            "cores": processor.sockets * processor.cores,
            "threads": processor.sockets * processor.cores * processor.threads,
            "sockets": [_socket(processor, index) for index in range(processor.sockets)],
        },
        "memory": {
            "populated": len(present),
            "total_bytes": sum(dimm.size_mib for dimm in present) * MIB,
            "slots": [_slot(dimm) for dimm in hardware.dimms],
        },
        "storage": {"disks": [_disk(disk) for disk in hardware.disks]},
        "pcie": {"notes": []},
        "psu": {
            "supplies": [_supply(fru, fru_id) for fru_id, fru in enumerate(hardware.frus, start=1) if not fru.board],
        },
        "nvidia": None,
        "collectors": [
            *({"name": name, "status": "ok"} for name in ("board", "cpu", "memory", "storage", "pcie", "psu")),
            {"name": "nvidia", "status": "skipped"},
        ],
    }


def expected_device(nic: Nic) -> dict[str, object]:
    """The network card among the audit's PCI devices."""
    return {
        "address": nic.slot,
        "vendor_id": nic.vendor_id,
        "device_id": nic.device_id,
        "class_id": "0200",
        "interfaces": [{"mac": nic.mac}],
    }


def expected_fru(fru: Fru, fru_id: int) -> dict[str, object]:
    """A unit among the audit's FRU records."""
    chassis, board, product = fru.chassis, fru.board, fru.product
    return {
        "id": fru_id,
        "description": fru.name,
        "present": True,
        "chassis": chassis and {"part_number": chassis.part_number, "serial": chassis.serial},
        "board": board
        and {
            "manufacturer": board.manufacturer,
            "product": board.product,
            "serial": board.serial,
            "part_number": board.part_number,
        },
        "product": product
        and {
            "manufacturer": product.manufacturer,
            "name": product.name,
            "part_number": product.part_number,
            "version": product.version,
            "serial": product.serial,
            "asset_tag": product.asset_tag or None,
        },
    }


def _socket(processor: Processor, index: int) -> dict[str, object]:
    return {
        "socket": f"{processor.socket_prefix} {index}",  # as QEMU names them
        "populated": True,
        "enabled": True,
        "manufacturer": processor.manufacturer,
        "model": processor.version,
        "cores": processor.cores,
        "threads": processor.threads,
        "current_speed_mhz": processor.current_speed,
        "max_speed_mhz": processor.max_speed,
        "serial": processor.serial,
        "part_number": processor.part,
        "asset_tag": processor.asset,
    }


def _slot(dimm: Dimm) -> dict[str, object]:
    place: dict[str, object] = {"locator": dimm.locator, "bank": dimm.bank}
    if not dimm.size_mib:
        return place | {"populated": False, "size_bytes": None, "serial": None, "part_number": None}
    return place | {
        "populated": True,
        "size_bytes": dimm.size_mib * MIB,
        "form_factor": "DIMM",
        "type": MEMORY_TYPES[dimm.type_code],
        "speed_mts": dimm.speed,
        "configured_speed_mts": dimm.configured_speed,
        "configured_voltage_volts": dimm.millivolts / 1000,
        "ranks": dimm.rank,
        "total_width_bits": dimm.total_width,
        "data_width_bits": dimm.data_width,
        "ecc": dimm.total_width > dimm.data_width,
        "manufacturer": dimm.manufacturer,
        "serial": dimm.serial,
        "asset_tag": dimm.asset_tag,
        "part_number": dimm.part_number,
    }


def _disk(disk: Disk) -> dict[str, object]:
    common: dict[str, object] = {
        "transport": disk.bus,
        "model": disk.model,
        "serial": disk.serial,
        "size_bytes": disk.size_bytes,
        "removable": False,
    }
    if disk.bus == "nvme":
        return common | {"rotational": False, "nvme": {"model": disk.model, "serial": disk.serial}}
    return common | {
        "rotational": disk.rpm > 1,
        "firmware": disk.firmware,
        "wwn": f"{disk.wwn:#x}",
        "smart": {"protocol": "ATA", "passed": True, "rotation_rpm": disk.rpm},
        "nvme": None,
    }


def _supply(fru: Fru, fru_id: int) -> dict[str, object]:
    assert fru.product
    return {
        "name": fru.name,
        "present": True,
        "manufacturer": fru.product.manufacturer,
        "model": fru.product.name,
        "serial": fru.product.serial,
        "part_number": fru.product.part_number,
        "fru_id": fru_id,
    }


def facts(wanted: object, where: str = "$") -> dict[str, object]:
    """Each single value that is wanted, by its place; that one is not known (None) is no fact."""
    if isinstance(wanted, dict):
        parts = [(f"{where}.{key}", value) for key, value in wanted.items()]
    elif isinstance(wanted, list):
        parts = [(f"{where}[{index}]", value) for index, value in enumerate(wanted)]
    else:
        return {} if wanted is None else {where: wanted}
    return {place: fact for at, part in parts for place, fact in facts(part, at).items()}


def differences(wanted: object, found: object, where: str = "$") -> list[str]:
    """Each place where `found` is not what is wanted. A dict names the keys it wants; a list is complete, in order."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        told = [f"{where}.{key} is missing" for key in wanted if key not in found]
        pairs = [(f"{where}.{key}", value, found[key]) for key, value in wanted.items() if key in found]
    elif isinstance(wanted, list) and isinstance(found, list):
        told = [] if len(wanted) == len(found) else [f"{where} has {len(found)} entries, not {len(wanted)}"]
        pairs = [(f"{where}[{index}]", *pair) for index, pair in enumerate(zip(wanted, found, strict=False))]
    else:
        return [] if wanted == found else [f"{where} is {found!r}, not {wanted!r}"]
    return told + [line for place, left, right in pairs for line in differences(left, right, place)]
