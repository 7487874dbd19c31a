"""Numbers with units as the tools print them, turned into one unit each (None: there is no such number), and back."""

from __future__ import annotations

import re

# typing's import would cost as much as several records; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

# No counter has more: NVMe's have 128 bits, in units of 512 000 bytes.
MAX_DIGITS = 45
_BOUND = 10**MAX_DIGITS
_SIZE = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(bytes?|B|[kKMGTPE]i?B)\s*", re.ASCII)
_NUMBER = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([^0-9\s].*)?", re.ASCII | re.DOTALL)
_FACTORS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50, "e": 1 << 60}


def size_bytes(text: str) -> int | None:
    """`8192 MB`, `16 GB`, `64 GiB`, `1024 kB` in bytes; k, M, G and T are powers of 1024, as in all these tools."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    factor = _FACTORS.get(match[2][0].lower(), 1)
    whole, _, decimals = match[1].partition(".")
    if not decimals:
        return int(whole) * factor
    return int(whole + decimals) * factor // int(f"1{'0' * len(decimals)}")


def number(text: str, *units: str) -> float | None:
    """The number of zero or more that `text` begins with, when one of `units` follows it (empty: nothing follows)."""
    match = _NUMBER.fullmatch(text)
    if match is None or (match[2] or "").strip() not in units:
        return None
    return float(match[1])


def whole(text: str, *units: str) -> int | None:
    """As `number`, for what can only be a whole number."""
    value = number(text, *units)
    if value is None or not value.is_integer():
        return None
    return int(value)


def count(value: object) -> int | None:
    """A JSON value as a whole number of zero or more: tools have printed such numbers as 3, 3.0, "3" and "3,000"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip().replace(",", "")
        return int(digits) if len(digits) < 40 and digits.isascii() and digits.isdigit() else None
    if isinstance(value, int):
        return value if 0 <= value < 10**39 else None
    if isinstance(value, float):
        return int(value) if 0 <= value < 1e39 and value.is_integer() else None
    return None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number that can be reckoned with; of more digits, NaN and the infinities are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_BOUND < value < _BOUND


def size(number: int | None, *, decimal: bool = False, missing: str = "-") -> str:
    """Bytes as people say them: memory in powers of 1024 (`64 GiB`), disks in powers of 1000 (`3.84 TB`)."""
    if number is None:
        return missing
    base, names = (
        (1000, ("B", "kB", "MB", "GB", "TB", "PB", "EB"))
        if decimal
        else (1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))
    )
    for power, name in enumerate(names):
        # The rounding must not give 1000 GB where 1 TB is meant.
        if number < base ** (power + 1) * 0.9995 or power == len(names) - 1:
            value = min(number, base**10) / base**power
            shown = f"{value:.0f}" if power == 0 or value >= 100 else f"{value:.3g}"
            return f"{shown} {name}"
    return missing
