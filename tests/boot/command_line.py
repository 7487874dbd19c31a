"""Hardware as arguments of QEMU, with the files that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.boot import fru, smbios

if TYPE_CHECKING:
    from tests.boot.fru import Fru
    from tests.boot.hardware import Disk, Hardware, Nic


def hardware_arguments(hardware: Hardware, folder: Path) -> list[str]:
    """QEMU's arguments for this hardware on a q35 machine. Files that they name are written into `folder`."""
    processor = hardware.processor
    topology = f"sockets={processor.sockets},cores={processor.cores},threads={processor.threads}"
    return [
        *("-machine", "q35", "-m", str(hardware.memory_mib)),
        *("-smp", f"{processor.sockets * processor.cores * processor.threads},{topology}"),
        *_smbios(hardware, folder),
        *_disks(hardware.disks, folder),
        *_bmc(hardware.frus, folder),
    ]


def nic_arguments(nic: Nic, ssh_port: int) -> list[str]:
    """The network card, on a network of QEMU's own; `ssh_port` of loopback leads to the guest's port 22."""
    slot = nic.slot.split(":")[-1]
    return [
        *("-netdev", f"user,id=lan,restrict=on,hostfwd=tcp:127.0.0.1:{ssh_port}-:22"),
        *("-device", f"e1000e,netdev=lan,id=nic0,mac={nic.mac},addr={slot}"),
    ]


def _option(**fields: str | int) -> str:
    """A QEMU option list; a comma inside a value is doubled."""
    return ",".join(f"{name.replace('_', '-')}={str(value).replace(',', ',,')}" for name, value in fields.items())


def _smbios(hardware: Hardware, folder: Path) -> list[str]:
    system, board, chassis, cpu = hardware.system, hardware.baseboard, hardware.chassis, hardware.processor
    described = [
        _option(type=0, vendor=hardware.bios.vendor, version=hardware.bios.version, date=hardware.bios.date),
        _option(
            type=1,
            manufacturer=system.manufacturer,
            product=system.product,
            version=system.version,
            serial=system.serial,
            uuid=system.uuid,
            sku=system.sku,
            family=system.family,
        ),
        _option(
            type=2,
            manufacturer=board.manufacturer,
            product=board.product,
            version=board.version,
            serial=board.serial,
            asset=board.asset,
            location=board.location,
        ),
        _option(
            type=3,
            manufacturer=chassis.manufacturer,
            version=chassis.version,
            serial=chassis.serial,
            asset=chassis.asset,
            sku=chassis.sku,
        ),
        "type=4,sock_pfx="
        + cpu.socket_prefix
        + ","
        + _option(
            manufacturer=cpu.manufacturer,
            version=cpu.version,
            serial=cpu.serial,
            asset=cpu.asset,
            part=cpu.part,
            max_speed=cpu.max_speed,
            current_speed=cpu.current_speed,
        ),
    ]
    for index, dimm in enumerate(hardware.dimms):
        path = folder / f"dimm{index}.bin"
        path.write_bytes(smbios.memory_device(dimm, index))
        described.append(_option(file=str(path)))
    return [argument for option in described for argument in ("-smbios", option)]


def _disks(disks: tuple[Disk, ...], folder: Path) -> list[str]:
    arguments = []
    for index, disk in enumerate(disks):
        path = folder / f"disk{index}.img"
        with path.open("wb") as image:
            image.truncate(disk.size_bytes)
        if disk.bus == "nvme":
            device = f"nvme,drive=disk{index},{_option(serial=disk.serial)}"
        else:
            identity = _option(serial=disk.serial, model=disk.model, ver=disk.firmware, wwn=hex(disk.wwn))
            # ide.0 is the CD drive's
            device = f"ide-hd,bus=ide.{index + 1},drive=disk{index},rotation_rate={disk.rpm},{identity}"
        arguments += ["-drive", f"{_option(file=str(path))},if=none,id=disk{index},format=raw", "-device", device]
    return arguments


def _bmc(frus: tuple[Fru, ...], folder: Path) -> list[str]:
    inventories, locators = folder / "fru.bin", folder / "sdr.bin"
    inventories.write_bytes(fru.inventories(frus))
    locators.write_bytes(fru.locators(frus))
    files = _option(frudatafile=str(inventories), sdrfile=str(locators))
    return ["-device", f"ipmi-bmc-sim,id=bmc0,{files}", "-device", "isa-ipmi-kcs,bmc=bmc0"]
