"""ethtool(8) `-i`: driver and firmware of a network interface."""

from __future__ import annotations

from bee.records import dataclass


@dataclass(frozen=True, slots=True)
class Driver:
    """What `ethtool -i` says. None: the driver does not say. `notes` hold lines that are no field."""

    name: str | None = None
    firmware: str | None = None
    notes: tuple[str, ...] = ()


def parse(data: bytes) -> Driver:
    """Read `ethtool -i INTERFACE`; an empty value is None."""
    values: dict[str, str] = {}
    notes: list[str] = []
    for line in data.decode("utf-8", "replace").split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), value.strip())
        elif line.strip():
            notes.append(line.strip())
    return Driver(values.get("driver") or None, values.get("firmware-version") or None, tuple(notes))
