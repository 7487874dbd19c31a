"""Sizes, numbers with units, and strings that say nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee.placeholders import is_placeholder, known
from bee.quantities import count, number, size_bytes, whole


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16384 kB", 16 * 2**20),
        ("8192 MB", 8 * 2**30),
        ("32 GB", 32 * 2**30),
        ("64 GiB", 64 * 2**30),
        ("1.5 GB", 3 * 2**29),
        ("2 TB", 2 * 2**40),
        ("512 bytes", 512),
        ("40960 MiB", 40 * 2**30),
        ("No Module Installed", None),
        ("Unknown", None),
        ("", None),
        ("-1 GB", None),
        ("GB", None),
        ("8 GBit", None),
    ],
)
def test_sizes_are_bytes(text: str, size: int | None) -> None:
    assert size_bytes(text) == size


@given(amount=st.integers(0, 10**9), unit=st.sampled_from(["kB", "MB", "GB", "TB"]))
def test_sizes_come_back_exactly(amount: int, unit: str) -> None:
    assert size_bytes(f"{amount} {unit}") == amount * 1024 ** (["kB", "MB", "GB", "TB"].index(unit) + 1)


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("2400 MT/s", ("MT/s", "MHz"), 2400),
        ("2400 MHz", ("MT/s", "MHz"), 2400),
        ("2400", ("MT/s",), None),
        ("72 bits", ("bits",), 72),
        ("2", ("",), 2),
        ("1.5", ("",), None),
        ("-1", ("",), None),
        ("Unknown", ("MT/s",), None),
    ],
)
def test_whole_numbers_need_their_unit(text: str, units: tuple[str, ...], value: int | None) -> None:
    assert whole(text, *units) == value


@given(st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    size_bytes(text)
    number(text, "V")
    whole(text, "")
    count(text)
    is_placeholder(text)


@pytest.mark.parametrize(
    ("value", "counted"),
    [(3, 3), (3.0, 3), ("3", 3), ("4,002,753", 4002753), (-1, None), (True, None), (1.5, None), (float("inf"), None)],
)
def test_counts_in_every_form_a_tool_has_used(value: object, counted: int | None) -> None:
    assert count(value) == counted


@pytest.mark.parametrize(
    "text",
    [
        "To Be Filled By O.E.M.",
        "to be filled by o.e.m",
        "Default string",
        "Not Specified",
        "0123456789",
        "01234567890123456789AB",
        "1234567890\n    ",
        "System Serial Number",
        "Chassis Manufacture",
        "NO DIMM",
        "<BAD INDEX>",
        "<OUT OF SPEC>",
        "ModulePartNumber07",
        "A1_AssetTagNum0",
        "SerNum12\n    ",
        "Manufacturer01",
        "00000000",
        "FFFFFFFF",
        "........",
        "--",
        "N/A",
        "[N/A]",
        "Unknown Error",
        "None",
        "03000200-0400-0500-0006-000700080009\n    ",
        "00000000-0000-0000-0000-000000000000",
        "Array1_PartNumber0",
        "xxxxxxxx",
        "",
        "   ",
    ],
)
def test_placeholders(text: str) -> None:
    assert is_placeholder(text.strip("\n"))


@pytest.mark.parametrize(
    "text",
    [
        "SYS-4711",
        "4242",
        "M393A4K40DB3-CWE",
        "Rev 1.xx",
        "1.0",
        "QEMU",
        "Samsung",
        "80CE",
        "00CE00B300CE",
        "Default Systems Inc.",
        "1",
        "00",
        "BANK 0",
        "Unknown Horizons",
        "ABCD1234",
    ],
)
def test_real_values_are_no_placeholders(text: str) -> None:
    assert not is_placeholder(text)


def test_a_placeholder_goes_to_the_notes_with_its_raw_string() -> None:
    notes: list[str] = []
    assert known("serial", " Default string ", notes) is None
    assert known("part", "  M393  \0", notes) == "M393"
    assert known("empty", "   ", notes) is None
    assert notes == ["serial is 'Default string'"]
