"""What a BMC stores: FRU inventories (IPMI Platform Management FRU Information Storage Definition 1.0) and the sensor
data repository's FRU Device Locator records (IPMI 2.0, 43.8), for QEMU's ipmi-bmc-sim.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

FORMAT_VERSION = 0x01
ENGLISH = 0
TEXT = 0xC0  # type/length byte: 8-bit text of the length in its lower six bits
END_OF_FIELDS = b"\xc1"
RACK_MOUNT_CHASSIS = 0x17
AREA_SIZE = 1024  # what ipmi-bmc-sim gives one FRU unless it is told otherwise

BMC_ADDRESS = 0x20
LOCATOR_RECORD = 0x11
LOGICAL_DEVICE = 0x80
FRU_DEVICE = 0x10
SYSTEM_BOARD_ENTITY = 0x07
POWER_SUPPLY_ENTITY = 0x0A


@dataclass(frozen=True, slots=True)
class Chassis:
    part_number: str
    serial: str
    type_code: int = RACK_MOUNT_CHASSIS


@dataclass(frozen=True, slots=True)
class Board:
    manufacturer: str
    product: str
    serial: str
    part_number: str
    minutes_since_1996: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    manufacturer: str
    name: str
    part_number: str
    version: str
    serial: str
    asset_tag: str = ""


@dataclass(frozen=True, slots=True)
class Fru:
    """One field-replaceable unit; `name` is what its locator calls it."""

    name: str
    chassis: Chassis | None = None
    board: Board | None = None
    product: Product | None = None


def inventory(fru: Fru) -> bytes:
    """The FRU's inventory: common header, then its areas, each with its checksum."""
    areas = [b"", b"", b""]
    if fru.chassis:
        areas[0] = _area(bytes([fru.chassis.type_code]), fru.chassis.part_number, fru.chassis.serial)
    if fru.board:
        board = fru.board
        made = board.minutes_since_1996.to_bytes(3, "little")
        areas[1] = _area(
            bytes([ENGLISH]) + made, board.manufacturer, board.product, board.serial, board.part_number, ""
        )
    if fru.product:
        product = fru.product
        areas[2] = _area(
            bytes([ENGLISH]),
            product.manufacturer,
            product.name,
            product.part_number,
            product.version,
            product.serial,
            product.asset_tag,
            "",  # no FRU file
        )
    offsets, at = [], 8
    for area in areas:
        offsets.append(at // 8 if area else 0)
        at += len(area)
    header = bytes([FORMAT_VERSION, 0, *offsets, 0, 0])  # no internal use area, no multirecord area
    return header + _checksum(header) + b"".join(areas)


def inventories(frus: tuple[Fru, ...]) -> bytes:
    """ipmi-bmc-sim's `frudatafile`: units 1, 2, … in steps of the area's size.

    Unit 0 would be the BMC's own. The simulated one does not claim to have any, so ipmitool never reads it.
    """
    return b"".join(data.ljust(AREA_SIZE, b"\0") for data in (b"", *map(inventory, frus)))


def locators(frus: tuple[Fru, ...]) -> bytes:
    """ipmi-bmc-sim's `sdrfile`: one locator for each unit, without which `ipmitool fru` does not know of it."""
    records = b""
    for device, fru in enumerate(frus, start=1):
        body = bytes(
            [
                BMC_ADDRESS,
                device,
                LOGICAL_DEVICE,
                0,  # channel
                0,
                FRU_DEVICE,
                0,  # an IPMI FRU inventory
                SYSTEM_BOARD_ENTITY if fru.board else POWER_SUPPLY_ENTITY,
                device,  # the entity's instance
                0,
                TEXT | len(fru.name),
            ]
        )
        body += fru.name.encode("ascii")
        records += struct.pack("<HBBB", device, 0x51, LOCATOR_RECORD, len(body)) + body
    return records


def _area(head: bytes, *texts: str) -> bytes:
    body = head + b"".join(_field(text) for text in texts) + END_OF_FIELDS
    length = -(-(2 + len(body) + 1) // 8)  # in units of 8 bytes, version, length and checksum included
    area = (bytes([FORMAT_VERSION, length]) + body).ljust(length * 8 - 1, b"\0")
    return area + _checksum(area)


def _field(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) == 1 or len(data) > 63:  # a length of 1 reads as the end of the fields
        raise ValueError(f"a FRU field has 0 or 2 to 63 characters: {text!r}")
    return bytes([TEXT | len(data)]) + data


def _checksum(data: bytes) -> bytes:
    return bytes([-sum(data) % 256])
