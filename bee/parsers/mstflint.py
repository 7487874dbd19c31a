"""mstflint(1) `-d ADDRESS query`: firmware of an NVIDIA (Mellanox) network adapter."""

from __future__ import annotations

from bee.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The firmware in an adapter's flash. Raw strings; None where mstflint prints none or N/A."""

    version: str | None
    product_version: str | None
    release_date: str | None
    psid: str | None
    notes: tuple[str, ...]


def parse(data: bytes) -> Image:
    """Read `mstflint -d ADDRESS query`; what it printed instead of a field, such as an error, comes back as notes."""
    values: dict[str, str] = {}
    notes: list[str] = []
    for line in data.decode("utf-8", "replace").split("\n"):
        key, colon, value = (part.strip() for part in line.partition(":"))
        # An indented line goes on the field above it: one ROM image after another.
        if key.startswith("-E-") or (line[:1].strip() and not colon):
            notes.append(line.strip())
        elif colon and value not in {"", "N/A"}:
            values.setdefault(key, value)
    return Image(
        version=values.get("FW Version"),
        product_version=values.get("Product Version"),
        release_date=values.get("FW Release Date"),
        psid=values.get("PSID"),
        notes=tuple(notes),
    )
