"""Hardware as arguments of QEMU, with the files that they name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.boot import fru, smbios
from tests.boot.start import CD, CUT_OFF, NO_NIC, SILENT, USB, Start

if TYPE_CHECKING:
    from tests.boot.fru import Fru
    from tests.boot.hardware import Disk, Hardware, Nic

CONSOLES = 2  # serial lines, ttyS0 and ttyS1
WIRE = "wire.pcap"
WEB_SERVER = "10.0.2.100"  # in QEMU's own network


def hardware_arguments(hardware: Hardware, folder: Path) -> list[str]:
    """QEMU's arguments for this hardware. Files that they name are written into `folder`."""
    processor = hardware.processor
    topology = f"sockets={processor.sockets},cores={processor.cores},threads={processor.threads}"
    return [
        *("-m", str(hardware.memory_mib)),
        *("-smp", f"{processor.sockets * processor.cores * processor.threads},{topology}"),
        *_smbios(hardware, folder),
        *_disks(hardware.disks, folder),
        *_bmc(hardware.frus, folder),
    ]


def start_arguments(start: Start, folder: Path) -> list[str]:
    """The q35 machine's firmware, with a copy in `folder` of the variables it writes."""
    firmware = start.firmware
    if not firmware.code:
        return ["-machine", "q35"]
    variables = folder / "variables.fd"
    shutil.copy(firmware.variables, variables)
    # Only code in system management mode may write the variables, or Secure Boot could be switched off from below.
    guarded = [
        *("-global", "driver=cfi.pflash01,property=secure,value=on"),
        *("-global", "ICH9-LPC.disable_s3=1"),
    ]
    return [
        *("-machine", "q35,smm=on" if firmware.secure_boot else "q35"),
        *(guarded if firmware.secure_boot else ()),
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={firmware.code}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={variables}"),
    ]


def medium_arguments(start: Start, iso: Path) -> list[str]:
    """The image as what the machine boots from: the same file as a CD and as a USB stick."""
    drive = f"{_option(file=str(iso))},if=none,id=medium,format=raw,readonly=on"
    if start.medium == CD:
        return ["-drive", f"{drive},media=cdrom", "-device", "ide-cd,bus=ide.0,drive=medium,bootindex=0"]
    if start.medium == USB:
        stick = "usb-storage,id=stick,bus=usb.0,drive=medium,removable=on,bootindex=0"
        return ["-drive", drive, "-device", "qemu-xhci,id=usb,addr=10.0", "-device", stick]
    return []


def nic_arguments(nic: Nic, start: Start, ssh_port: int, folder: Path) -> list[str]:
    """The network card on the network that `start` says; `ssh_port` of loopback leads to the guest's port 22.

    All that passes the card is recorded in `folder`.
    """
    if start.network == NO_NIC:
        return []
    slot = nic.slot.split(":")[-1]
    netdev = {
        # DHCP from QEMU itself, and nobody else: what the guest sends goes nowhere.
        CUT_OFF: f"user,id=lan,restrict=on,hostfwd=tcp:127.0.0.1:{ssh_port}-:22",
        # A link with nobody at its other end.
        SILENT: "hubport,id=lan,hubid=0",
    }[start.network]
    served = ""
    if start.boot_server:
        # QEMU's own TFTP has the boot script, and a web server that lives as long as its connection has the rest.
        web = f"cmd:busybox httpd -i -h {start.boot_server}"
        served = f",{_option(tftp=str(start.boot_server))},bootfile=boot.ipxe,guestfwd=tcp:{WEB_SERVER}:80-{web}"
    boot_index = ",bootindex=0" if start.boot_server else ""
    return [
        *("-netdev", netdev + served),
        *("-device", f"e1000e,netdev=lan,id=nic0,mac={nic.mac},addr={slot}{boot_index}"),
        *("-object", f"filter-dump,id=wire,netdev=lan,file={folder}/{WIRE}"),
    ]


def serial_arguments(folder: Path) -> list[str]:
    """The serial lines: a socket to type on and a log of what was said, each."""
    arguments = []
    for line in range(CONSOLES):
        place = f"{folder}/serial{line}"
        described = f"socket,id=serial{line},path={place}.sock,server=on,wait=off,logfile={place}.log"
        arguments += ["-chardev", described, "-serial", f"chardev:serial{line}"]
    return arguments


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
        _crash(path)
        if disk.bus == "nvme":
            device = f"nvme,drive=disk{index},{_option(serial=disk.serial)}"
        else:
            identity = _option(serial=disk.serial, model=disk.model, ver=disk.firmware, wwn=hex(disk.wwn))
            # ide.0 is the CD drive's
            device = f"ide-hd,bus=ide.{index + 1},drive=disk{index},rotation_rate={disk.rpm},{identity}"
        arguments += ["-drive", f"{_option(file=str(path))},if=none,id=disk{index},format=raw", "-device", device]
    return arguments


def _crash(disk: Path) -> None:
    """A file system with a journal to replay, as on a machine that lost its power."""
    subprocess.run(["mkfs.ext4", "-q", disk], check=True, capture_output=True)
    subprocess.run(["debugfs", "-w", "-R", "feature needs_recovery", disk], check=True, capture_output=True)


def _bmc(frus: tuple[Fru, ...], folder: Path) -> list[str]:
    inventories, locators = folder / "fru.bin", folder / "sdr.bin"
    inventories.write_bytes(fru.inventories(frus))
    locators.write_bytes(fru.locators(frus))
    files = _option(frudatafile=str(inventories), sdrfile=str(locators))
    return ["-device", f"ipmi-bmc-sim,id=bmc0,{files}", "-device", "isa-ipmi-kcs,bmc=bmc0"]
