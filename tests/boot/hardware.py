"""The machine the live CD is booted on: one truth, both for QEMU's command line and for what the audit must say."""

from __future__ import annotations

from dataclasses import dataclass

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
