"""smartctl(8) as JSON (`smartctl -j -x`): identity and health of one drive, ATA, SCSI or NVMe."""

from __future__ import annotations

from bee.parsers.json_text import array, boolean, load, mapping, string
from bee.quantities import count
from bee.records import dataclass

# smartctl(8), EXIT STATUS: bit 0 bad command line, bit 1 the device could not be opened. Bits 3 to 7 describe the disk.
NO_DATA_BITS = 0b11
# smartctl's names of the attributes that say how much of an SSD's life is left, in its database of drives.
_LIFE_LEFT = (
    "Media_Wearout_Indicator",
    "Percent_Lifetime_Remain",
    "Percent_Life_Remaining",
    "SSD_Life_Left",
    "Wear_Leveling_Count",
)
_DATA_UNIT_BYTES = 512_000
# What smartctl's database of drives calls the attributes read here. With some drives the id counts something else, such
# as 199 `Host_Writes_GiB`, or is known to lie, such as 197 `Bogus_Current_Pend_Sect`.
_MEANT = {
    5: ("Reallo", "Retired", "Retried", "Bad_Bl"),
    12: ("Power_Cycle",),
    187: ("Uncorrect", "Reported_U"),
    197: ("Pending",),
    198: ("Uncorrect",),
    199: ("CRC",),
}
# The results of a self-test that found a defect. NVMe Base Specification, Device Self-test log: a fatal error, a failed
# segment; 1 to 4 are what aborted it, such as a format. SPC-5, Self-Test Results log page: from 3, an unknown error.
_FAILED_NVME, _FAILED_SCSI = range(5, 8), range(3, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """One self-test in the drive's log: what kind, how it ended, and at how many hours of the drive's life."""

    kind: str | None
    status: str | None
    passed: bool | None
    power_on_hours: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One line of `smartctl --scan`: a device's name, and the type to ask it by, such as `megaraid,0`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Scan:
    """All devices in smartctl's order, and notes on what could not be read."""

    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Smart:
    """What smartctl says of a drive. None: the drive does not say. Units stand in the names."""

    protocol: str | None = None
    model: str | None = None
    vendor: str | None = None
    serial: str | None = None
    firmware: str | None = None
    wwn: str | None = None
    size_bytes: int | None = None
    logical_sector_bytes: int | None = None
    physical_sector_bytes: int | None = None
    rotation_rpm: int | None = None
    interface_speed_gbps: float | None = None
    passed: bool | None = None
    exit_status: int | None = None
    temperature_celsius: int | None = None
    power_on_hours: int | None = None
    power_cycles: int | None = None
    wear_percent: int | None = None
    reallocated_sectors: int | None = None
    pending_sectors: int | None = None
    offline_uncorrectable_sectors: int | None = None
    uncorrected_errors: int | None = None
    media_errors: int | None = None
    crc_errors: int | None = None
    grown_defects: int | None = None
    error_log_entries: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    self_tests: tuple[SelfTest, ...] = ()
    notes: tuple[str, ...] = ()


def parse_scan(data: bytes) -> Scan:
    """Read `smartctl -j --scan`."""
    value, notes = load(data)
    devices = []
    for entry in array(mapping(value).get("devices")):
        name, kind = string(mapping(entry).get("name")), string(mapping(entry).get("type"))
        if name and kind:
            devices.append(Device(name=name, type=kind))
    return Scan(tuple(devices), notes)


def parse(data: bytes) -> Smart:
    """Read `smartctl -j -x DEVICE`. What smartctl warned of comes back as notes."""
    value, notes = load(data)
    report = mapping(value)
    smartctl = mapping(report.get("smartctl"))
    messages = tuple(
        text for message in array(smartctl.get("messages")) if (text := string(mapping(message).get("string")))
    )
    nvme = mapping(report.get("nvme_smart_health_information_log"))
    attributes = _ata_attributes(report)
    return Smart(
        protocol=string(mapping(report.get("device")).get("protocol")),
        model=_first_string(report, "model_name", "scsi_model_name", "product"),
        vendor=_first_string(report, "vendor", "scsi_vendor"),
        serial=string(report.get("serial_number")),
        firmware=_first_string(report, "firmware_version", "revision", "scsi_revision"),
        wwn=_wwn(mapping(report.get("wwn"))) or string(report.get("logical_unit_id")),
        size_bytes=count(mapping(report.get("user_capacity")).get("bytes")) or count(report.get("nvme_total_capacity")),
        logical_sector_bytes=count(report.get("logical_block_size")),
        physical_sector_bytes=count(report.get("physical_block_size")),
        rotation_rpm=count(report.get("rotation_rate")),
        interface_speed_gbps=_speed(mapping(mapping(report.get("interface_speed")).get("current"))),
        passed=boolean(mapping(report.get("smart_status")).get("passed")),
        exit_status=count(smartctl.get("exit_status")),
        temperature_celsius=_signed(mapping(report.get("temperature")).get("current")),
        power_on_hours=count(mapping(report.get("power_on_time")).get("hours")),
        power_cycles=_first_count(report.get("power_cycle_count"), nvme.get("power_cycles"), attributes.get(12)),
        wear_percent=_wear(report, nvme),
        reallocated_sectors=attributes.get(5),
        pending_sectors=attributes.get(197),
        offline_uncorrectable_sectors=attributes.get(198),
        uncorrected_errors=_uncorrected(report, attributes),
        media_errors=_first_count(nvme.get("media_errors")),
        crc_errors=attributes.get(199),
        grown_defects=count(report.get("scsi_grown_defect_list")),
        error_log_entries=_first_count(nvme.get("num_err_log_entries"), _ata_errors(report)),
        read_bytes=_data_units(nvme.get("data_units_read")),
        written_bytes=_data_units(nvme.get("data_units_written")),
        self_tests=_self_tests(report),
        notes=(*notes, *messages),
    )


def _first_string(report: dict[str, object], *names: str) -> str | None:
    return next((text for name in names if (text := string(report.get(name)))), None)


def _first_count(*values: object) -> int | None:
    return next((number for value in values if (number := count(value)) is not None), None)


def _signed(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and -273 <= value < 2000 else None


def _data_units(value: object) -> int | None:
    units = count(value)
    return None if units is None else units * _DATA_UNIT_BYTES


def _wwn(wwn: dict[str, object]) -> str | None:
    """NAA (4 bits), OUI (24 bits) and id (36 bits) as the one number that lsblk shows."""
    naa, oui, number = count(wwn.get("naa")), count(wwn.get("oui")), count(wwn.get("id"))
    if naa is None or oui is None or number is None or naa > 0xF or oui > 0xFFFFFF or number >= 2**36:
        return None
    return f"0x{naa:x}{oui:06x}{number:09x}"


def _speed(current: dict[str, object]) -> float | None:
    """`interface_speed.current` in Gbit/s: units_per_second times bits_per_unit."""
    units, bits = count(current.get("units_per_second")), count(current.get("bits_per_unit"))
    if units is None or bits is None or units * bits > 10**15:
        return None
    return units * bits / 1e9


def _ata_attributes(report: dict[str, object]) -> dict[int, int]:
    """Raw values of the ATA SMART attributes by id, those of _MEANT alone where their name says that they are meant.

    `raw.string` leaves out what vendors pack into the upper bytes.
    """
    found: dict[int, int] = {}
    for entry in array(mapping(report.get("ata_smart_attributes")).get("table")):
        attribute = mapping(entry)
        number = count(attribute.get("id"))
        raw = mapping(attribute.get("raw"))
        text = string(raw.get("string"))
        value = count(text.split(" ")[0]) if text else None
        if value is None:
            value = count(raw.get("value"))
        name = string(attribute.get("name"))
        meant = not name or any(word in name for word in _MEANT.get(number or 0, ()))
        if number is not None and value is not None and meant:
            found.setdefault(number, value)
    return found


def _wear(report: dict[str, object], nvme: dict[str, object]) -> int | None:
    """Percent of the rated endurance that is used: NVMe's, SCSI's, ATA's device statistics, or a vendor's attribute."""
    for value in (nvme.get("percentage_used"), report.get("scsi_percentage_used_endurance_indicator")):
        if (number := count(value)) is not None:
            return number
    used = mapping(report.get("endurance_used")).get("current_percent")
    if (number := count(used)) is not None:
        return number
    # ACS-4, device statistics: page 7 (solid state), offset 8.
    for page in array(mapping(report.get("ata_device_statistics")).get("pages")):
        if count(mapping(page).get("number")) != 7:
            continue
        for entry in array(mapping(page).get("table")):
            if count(mapping(entry).get("offset")) == 8:
                return count(mapping(entry).get("value"))
    return _wear_of_attributes(report)


def _uncorrected(report: dict[str, object], attributes: dict[int, int]) -> int | None:
    """SCSI's error counters, all directions together, or ATA's attribute 187 (reported uncorrectable errors)."""
    counters = mapping(report.get("scsi_error_counter_log"))
    directions = (mapping(counters.get(name)).get("total_uncorrected_errors") for name in ("read", "write", "verify"))
    counts = [number for value in directions if (number := count(value)) is not None]
    return sum(counts) if counts else attributes.get(187)


def _self_tests(report: dict[str, object]) -> tuple[SelfTest, ...]:
    """The log, the newest first, whatever the protocol calls its fields."""
    ata = mapping(report.get("ata_smart_self_test_log"))
    rows = array(mapping(ata.get("extended")).get("table")) or array(mapping(ata.get("standard")).get("table"))
    tests = [_ata_self_test(mapping(row)) for row in rows]
    nvme = array(mapping(report.get("nvme_self_test_log")).get("table"))
    tests += [_coded_self_test(mapping(row), "self_test_code", "self_test_result", _FAILED_NVME) for row in nvme]
    scsi = (report.get(f"scsi_self_test_{number}") for number in range(20))
    tests += [_coded_self_test(row, "code", "result", _FAILED_SCSI) for row in map(mapping, scsi) if row]
    return tuple(tests)


def _ata_self_test(row: dict[str, object]) -> SelfTest:
    status = mapping(row.get("status"))
    return SelfTest(
        kind=string(mapping(row.get("type")).get("string")),
        status=string(status.get("string")),
        passed=boolean(status.get("passed")),
        power_on_hours=count(row.get("lifetime_hours")),
    )


def _coded_self_test(row: dict[str, object], kind: str, result: str, failed: range) -> SelfTest:
    """NVMe's and SCSI's results are codes: 0 is passed, those in `failed` failed, the others were not finished."""
    code = count(mapping(row.get(result)).get("value"))
    hours = mapping(row.get("power_on_time")).get("hours", row.get("power_on_hours"))
    return SelfTest(
        kind=string(mapping(row.get(kind)).get("string")),
        status=string(mapping(row.get(result)).get("string")),
        passed=True if code == 0 else False if code in failed else None,
        power_on_hours=count(hours),
    )


def _wear_of_attributes(report: dict[str, object]) -> int | None:
    """The normalised value of the attribute that vendors of SSDs let fall from 100 to 0; none has two of them."""
    for entry in array(mapping(report.get("ata_smart_attributes")).get("table")):
        attribute = mapping(entry)
        left = count(attribute.get("value"))
        if attribute.get("name") in _LIFE_LEFT and left is not None and left <= 100:
            return 100 - left
    return None


def _ata_errors(report: dict[str, object]) -> object:
    log = mapping(report.get("ata_smart_error_log"))
    return mapping(log.get("extended")).get("count", mapping(log.get("summary")).get("count"))
