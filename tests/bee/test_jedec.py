"""JEDEC numbers in every form that firmware prints, as found on real servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee import jedec


@pytest.mark.parametrize(
    ("text", "number", "maker"),
    [
        ("80CE", (1, 0xCE), "Samsung"),
        ("0x80AD", (1, 0xAD), "SK Hynix"),
        ("0xAD00", (1, 0xAD), "SK Hynix"),
        ("0x2C00", (1, 0x2C), "Micron"),
        ("002C00B3002C", (1, 0x2C), "Micron"),
        ("80CE80B380CE", (1, 0xCE), "Samsung"),
        ("0198", (2, 0x98), "Kingston"),
        ("0x02FE", (3, 0xFE), "Elpida"),
        ("0443", (5, 0x43), "Ramaxel"),
        ("8551", (6, 0x51), "Qimonda"),
        ("Bank 4, Hex 0x0B", (4, 0x0B), "Nanya"),
        ("Bank 12, Hex 0x45", (12, 0x45), None),
        # dmidecode shows this one's bank and number beside it.
        ("0x0B45", (12, 0x45), None),
        # Even parity, zeros, names, a bank that does not exist: no numbers.
        ("1235", None, None),
        ("0000", None, None),
        ("Samsung", None, None),
        ("FACE", None, None),
        ("", None, None),
    ],
)
def test_numbers_and_makers(text: str, number: tuple[int, int] | None, maker: str | None) -> None:
    assert (jedec.number(text), jedec.maker(text)) == (number, maker)


@given(text=st.text(max_size=30))
def test_any_text_is_read(text: str) -> None:
    jedec.maker(text)
