"""nvme(1) of nvme-cli: `id-ctrl` and `smart-log`, as JSON or as text.

NVM Express Base Specification, Identify Controller data structure and SMART / Health Information log.
"""

from __future__ import annotations

import re

from bee.parsers.json_text import load, mapping
from bee.quantities import count
from bee.records import dataclass

_NAME = re.compile(r"[A-Za-z][\w .]*", re.ASCII)
# The names that smart-log prints as text, where they differ from its JSON.
_TEXT_NAMES = {
    "available_spare": "avail_spare",
    "available_spare_threshold": "spare_thresh",
    "percentage_used": "percent_used",
    "Data Units Read": "data_units_read",
    "Data Units Written": "data_units_written",
}
_KELVIN = 273
# One NVMe data unit is 1,000 units of 512 bytes (Base Specification, SMART / Health Information, Data Units Read).
_DATA_UNIT_BYTES = 512_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """What `nvme id-ctrl` says. Raw strings, padding taken off; capacity in bytes."""

    model: str | None
    serial: str | None
    firmware: str | None
    vendor_id: str | None
    capacity_bytes: int | None
    nvme_version: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartLog:
    """What `nvme smart-log` says. Temperature in degrees Celsius, spare and wear in percent, data in bytes."""

    critical_warning: int | None
    temperature_celsius: int | None
    available_spare_percent: int | None
    spare_threshold_percent: int | None
    wear_percent: int | None
    read_bytes: int | None
    written_bytes: int | None
    power_cycles: int | None
    power_on_hours: int | None
    unsafe_shutdowns: int | None
    media_errors: int | None
    error_log_entries: int | None
    notes: tuple[str, ...]


def parse(data: bytes) -> Controller:
    """Read `nvme id-ctrl`, with `-o json` or without."""
    values, notes = _values(data)
    vendor = _number(values.get("vid"))
    return Controller(
        model=_text(values.get("mn")),
        serial=_text(values.get("sn")),
        firmware=_text(values.get("fr")),
        vendor_id=f"{vendor:04x}" if vendor is not None and vendor <= 0xFFFF else None,
        # Zero: the controller does not say (it is optional).
        capacity_bytes=_number(values.get("tnvmcap")) or None,
        nvme_version=_version(_number(values.get("ver"))),
        notes=notes,
    )


def parse_smart_log(data: bytes) -> SmartLog:
    """Read `nvme smart-log`, with `-o json` (temperature in kelvins) or without (degrees Celsius)."""
    values, notes = _values(data)
    warning = values.get("critical_warning")
    read, written = _number(values.get("data_units_read")), _number(values.get("data_units_written"))
    return SmartLog(
        # nvme-cli 2.x: an object that holds the number and its bits.
        critical_warning=_number(mapping(warning).get("value", warning)),
        temperature_celsius=_celsius(values.get("temperature")),
        available_spare_percent=_number(values.get("avail_spare")),
        spare_threshold_percent=_number(values.get("spare_thresh")),
        wear_percent=_number(values.get("percent_used")),
        read_bytes=None if read is None else read * _DATA_UNIT_BYTES,
        written_bytes=None if written is None else written * _DATA_UNIT_BYTES,
        power_cycles=_number(values.get("power_cycles")),
        power_on_hours=_number(values.get("power_on_hours")),
        unsafe_shutdowns=_number(values.get("unsafe_shutdowns")),
        media_errors=_number(values.get("media_errors")),
        error_log_entries=_number(values.get("num_err_log_entries")),
        notes=notes,
    )


def _values(data: bytes) -> tuple[dict[str, object], tuple[str, ...]]:
    if b"{" in data:
        value, notes = load(data)
        return mapping(value), notes
    values: dict[str, object] = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        key, colon, text = line.partition(":")
        name = key.strip()
        if colon and _NAME.fullmatch(name):
            values.setdefault(_TEXT_NAMES.get(name, name), text.strip())
    return values, () if values or not data.strip() else ("no field was found in the output",)


def _text(value: object) -> str | None:
    return value.strip(" \0") or None if isinstance(value, str) else None


def _number(value: object) -> int | None:
    """A number of zero or more: 7, "7", "4,002,753", "100%", "0x10200", and nvme-cli 1.x's "7 (note)"."""
    if not isinstance(value, str):
        return count(value)
    word = value.strip().split(" ")[0].removesuffix("%")
    if re.fullmatch(r"0x[0-9a-fA-F]{1,32}", word):
        return int(word, 16)
    return count(word)


def _celsius(value: object) -> int | None:
    if isinstance(value, str) and "C" in value:
        match = re.match(r"\s*(-?[0-9]{1,4})\s*[^0-9]?C", value, re.ASCII)
        return int(match[1]) if match else None
    kelvin = _number(value)
    # Zero kelvins: the controller does not say.
    return None if not kelvin or kelvin > 2000 else kelvin - _KELVIN


def _version(register: int | None) -> str | None:
    """The VS register: major in bits 31:16, minor 15:8, tertiary 7:0."""
    if not register or register >= 2**32:
        return None
    return f"{register >> 16}.{register >> 8 & 0xFF}.{register & 0xFF}"
