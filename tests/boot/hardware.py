"""The machine the live CD is booted on: one truth, both for QEMU's command line and for what the audit must say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.boot import fru, smbios
from tests.boot.fru import Fru
from tests.boot.smbios import Dimm


@dataclass(frozen=True, slots=True)
class Bios:
    vendor: str
    version: str
    date: str


@dataclass(frozen=True, slots=True)
class System:
    manufacturer: str
    product: str
    version: str
    serial: str
    uuid: str
    sku: str
    family: str


@dataclass(frozen=True, slots=True)
class Baseboard:
    manufacturer: str
    product: str
    version: str
    serial: str
    asset: str
    location: str


@dataclass(frozen=True, slots=True)
class Chassis:
    manufacturer: str
    version: str
    serial: str
    asset: str
    sku: str


@dataclass(frozen=True, slots=True)
class Processor:
    """Every socket holds the same one, as QEMU's `-smbios type=4` has it; speeds are in MHz."""

    socket_prefix: str
    manufacturer: str
    version: str
    serial: str
    asset: str
    part: str
    max_speed: int
    current_speed: int
    sockets: int
    cores: int
    threads: int


@dataclass(frozen=True, slots=True)
class Disk:
    """`bus` is nvme or sata. NVMe's model is QEMU's own; firmware, wwn and rpm can be given to SATA disks only."""

    bus: str
    serial: str
    size_bytes: int
    model: str
    firmware: str = ""
    wwn: int = 0
    rpm: int = 0


@dataclass(frozen=True, slots=True)
class Nic:
    mac: str
    slot: str
    vendor_id: str
    device_id: str


@dataclass(frozen=True, slots=True)
class Hardware:
    memory_mib: int
    bios: Bios
    system: System
    baseboard: Baseboard
    chassis: Chassis
    processor: Processor
    dimms: tuple[Dimm, ...]
    disks: tuple[Disk, ...]
    frus: tuple[Fru, ...]
    nic: Nic


SERVER = Hardware(
    memory_mib=2048,
    bios=Bios(vendor="Acme Firmware", version="3.14", date="02/29/2024"),
    system=System(
        manufacturer="Acme Servers, Inc.",
        product="Hive 2000",
        version="rev B",
        serial="SYS-0123456789",
        uuid="8f6b1c52-94a4-4f3e-9c57-1d2a3b4c5d6e",
        sku="HIVE-2000-SKU",
        family="Hive",
    ),
    baseboard=Baseboard(
        manufacturer="Acme Boards",
        product="X99-Comb",
        version="1.02",
        serial="BRD-55AA55AA",
        asset="ASSET-BOARD-7",
        location="Slot 3",
    ),
    chassis=Chassis(
        manufacturer="Acme Metal", version="2U", serial="CHS-778899", asset="RACK-12-U07", sku="CHS-SKU-2U"
    ),
    processor=Processor(
        socket_prefix="P",
        manufacturer="Acme Silicon",
        version="Acme Bumble 9000 @ 2.40GHz",
        serial="CPU-SERIAL-1",
        asset="CPU-ASSET-1",
        part="BMBL-9000",
        max_speed=3800,
        current_speed=2400,
        sockets=2,
        cores=1,
        threads=1,
    ),
    dimms=(
        Dimm(
            locator="DIMM_A1",
            bank="P0 CHANNEL A",
            size_mib=16 * 1024,
            speed=3200,
            configured_speed=2933,
            rank=2,
            manufacturer="Micron Technology",
            serial="1A2B3C4D",
            asset_tag="DIMM-ASSET-1",
            part_number="18ASF2G72PDZ-3G2E1",
        ),
        Dimm(
            locator="DIMM_B1",
            bank="P1 CHANNEL B",
            size_mib=64 * 1024,  # beyond 32 GiB - 1 MiB: the extended size field
            type_code=smbios.TYPE_DDR5,
            speed=5600,
            configured_speed=4800,
            millivolts=1100,
            rank=1,
            total_width=80,
            manufacturer="Samsung",
            serial="99887766",
            asset_tag="DIMM-ASSET-2",
            part_number="M321R8GA0PB0-CWM",
        ),
        Dimm(locator="DIMM_C1", bank="P1 CHANNEL C", size_mib=0),
    ),
    disks=(
        Disk(bus="nvme", serial="NVME-ACME-42", size_bytes=256 << 20, model="QEMU NVMe Ctrl"),
        Disk(
            bus="sata",
            serial="SATA-ACME-17",
            size_bytes=128 << 20,
            model="Acme Spinner 128",
            firmware="AC1.7",
            wwn=0x5000C500A1B2C3D4,
            rpm=7200,
        ),
    ),
    frus=(
        Fru(
            name="Mainboard",
            chassis=fru.Chassis(part_number="CH-PART-2U", serial="CHS-778899"),
            board=fru.Board(
                manufacturer="Acme Boards",
                product="X99-Comb",
                serial="BRD-55AA55AA",
                part_number="BRD-PART-1",
                minutes_since_1996=14_730_000,
            ),
            product=fru.Product(
                manufacturer="Acme Servers",
                name="Hive 2000",
                part_number="HV-2000",
                version="B1",
                serial="SYS-0123456789",
                asset_tag="RACK-12",
            ),
        ),
        Fru(
            name="PSU1",
            product=fru.Product(
                manufacturer="Acme Power",
                name="Platinum 800W",
                part_number="PWR-800-P",
                version="01",
                serial="PSU-SER-0001",
            ),
        ),
        Fru(
            name="PSU2",
            product=fru.Product(
                manufacturer="Acme Power",
                name="Platinum 800W",
                part_number="PWR-800-P",
                version="02",
                serial="PSU-SER-0002",
            ),
        ),
    ),
    nic=Nic(mac="52:54:00:be:e0:01", slot="0000:00:03.0", vendor_id="8086", device_id="10d3"),
)


def qemu_arguments(hardware: Hardware, folder: Path) -> list[str]:
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
