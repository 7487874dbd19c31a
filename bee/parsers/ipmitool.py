"""ipmitool(1): what the BMC knows (`fru`, `mc info`, `lan print`, `sdr elist`, `sel elist`).

IPMI Platform Management FRU Information Storage Definition; IPMI 2.0, 20.1 (Get Device ID), 23.2, 31 to 33, 42.2.
"""

from __future__ import annotations

import re

from bee.records import dataclass

_FRU_HEADING = "FRU Device Description"
_FRU_ID = re.compile(r"(.*)\(ID ([0-9]{1,5})\)", re.ASCII)
_DATE = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4}|[0-9]{2})", re.ASCII)
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?: ([AP])M)?(?: .*)?", re.ASCII)
_HEXADECIMAL = re.compile(r"[0-9a-f]{1,8}", re.ASCII)
_ENTITY = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fru:
    """One FRU record: its fields in order, and the lines that are no field, such as `Device not present`."""

    description: str
    id: int | None
    fields: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]

    def get(self, name: str) -> str:
        """The raw value of the first field of that name; an empty string when there is none."""
        return next((value for key, value in self.fields if key == name), "")


@dataclass(frozen=True, slots=True)
class Frus:
    """All records in ipmitool's order, and notes on what stands outside of any."""

    frus: tuple[Fru, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fields:
    """`name : value` lines in order (`mc info`, `lan print`), and notes on what is no such line."""

    fields: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        """The raw value of the first field of that name; an empty string when there is none."""
        return next((value for key, value in self.fields if key == name), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One sensor; `status` is ipmitool's word (ok, ns, nc, cr, nr), `entity` the id and instance of what it watches."""

    name: str
    status: str
    entity: str
    reading: str


@dataclass(frozen=True, slots=True)
class Sensors:
    """All sensors in ipmitool's order, and notes on lines that are none."""

    sensors: tuple[Sensor, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the system event log. `when` is the BMC's own clock, None for an entry from before it was set."""

    id: int
    when: str | None
    sensor: str
    event: str
    asserted: bool


@dataclass(frozen=True, slots=True)
class Events:
    """All entries in the log's order, and notes on lines that are none."""

    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()


def parse(data: bytes) -> Frus:
    """Read `ipmitool fru`. Padding and NUL bytes around a value are taken off."""
    frus: list[tuple[str, int | None, list[tuple[str, str]], list[str]]] = []
    notes: list[str] = []
    for text in _lines(data):
        key, colon, value = (part.strip() for part in text.partition(":"))
        if colon and key == _FRU_HEADING:
            numbered = _FRU_ID.fullmatch(value)
            description, number = (numbered[1].strip(), int(numbered[2])) if numbered else (value, None)
            frus.append((description, number, [], []))
        elif not frus:
            notes.append(text)
        elif colon and key:
            frus[-1][2].append((key, value))
        else:
            frus[-1][3].append(text)
    return Frus(tuple(Fru(d, i, tuple(f), tuple(r)) for d, i, f, r in frus), tuple(notes))


def parse_fields(data: bytes) -> Fields:
    """Read `ipmitool mc info` or `ipmitool lan print`; lines that go on the field above them are left out."""
    fields: list[tuple[str, str]] = []
    notes: list[str] = []
    for text in _lines(data):
        key, colon, value = text.partition(" : ")
        if colon and not key.startswith(":"):
            fields.append((key.strip(), value.strip()))
        elif not fields and not text.endswith(":"):
            notes.append(text)
    return Fields(tuple(fields), tuple(notes))


def parse_sensors(data: bytes) -> Sensors:
    """Read `ipmitool sdr elist`: `PS1 Status | C8h | ok | 10.1 | Presence detected`."""
    sensors: list[Sensor] = []
    notes: list[str] = []
    for text in _lines(data):
        cells = [cell.strip() for cell in text.split("|", 4)]
        if len(cells) == 5 and cells[0] and _ENTITY.fullmatch(cells[3]):
            sensors.append(Sensor(name=cells[0], status=cells[2], entity=cells[3], reading=cells[4]))
        else:
            notes.append(f"not a sensor: {text}")
    return Sensors(tuple(sensors), tuple(notes))


def parse_events(data: bytes) -> Events:
    """Read `ipmitool sel elist`: `1f | 06/04/2014 | 09:49:51 | Power Supply PS1 | Power Supply AC lost | Asserted`."""
    events: list[Event] = []
    notes: list[str] = []
    for text in _lines(data):
        cells = [cell.strip() for cell in text.split("|")]
        if len(cells) < 5 or not _HEXADECIMAL.fullmatch(cells[0]):
            notes.append(f"not an event: {text}")
            continue
        # An event's own words may hold a bar: `Uncorrectable ECC (UnCorrectable ECC | DIMMD7)`.
        rest = cells[4:]
        direction = next((i for i, cell in enumerate(rest) if cell in {"Asserted", "Deasserted"}), len(rest))
        events.append(
            Event(
                id=int(cells[0], 16),
                when=_when(cells[1], cells[2]),
                sensor=cells[3],
                event=" | ".join(rest[:direction]),
                asserted=rest[direction : direction + 1] != ["Deasserted"],
            )
        )
    return Events(tuple(events), tuple(notes))


def _lines(data: bytes) -> list[str]:
    texts = (line.replace("\0", "").strip() for line in data.decode("utf-8", "replace").split("\n"))
    return [text for text in texts if text]


def _when(date: str, time: str) -> str | None:
    """`06/04/2014`, `06/04/14` and `09:49:51`, `09:49:51 UTC`, `09:49:51 PM EST` as `2014-06-04T09:49:51`."""
    day, clock = _DATE.fullmatch(date), _TIME.fullmatch(time)
    if day is None or clock is None:
        return None
    year = day[3] if len(day[3]) == 4 else f"20{day[3]}"
    hour = int(clock[1])
    if clock[4]:
        hour = hour % 12 + (12 if clock[4] == "P" else 0)
    return f"{year}-{day[1]}-{day[2]}T{hour:02d}:{clock[2]}:{clock[3]}"
