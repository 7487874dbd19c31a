"""Makers of memory by their JEDEC number (JEP106): firmware that has no name for one prints its bytes instead."""

from __future__ import annotations

import re

# By bank (one more than the continuation codes before the number) and number, its parity bit included.
_MAKERS = {
    (1, 0x01): "AMD",
    (1, 0x2C): "Micron",
    (1, 0x89): "Intel",
    (1, 0x98): "Kioxia",
    (1, 0xA4): "IBM",
    (1, 0xAD): "SK Hynix",
    (1, 0xC1): "Infineon",
    (1, 0xCE): "Samsung",
    (2, 0x40): "Viking",
    (2, 0x4F): "Transcend",
    (2, 0x7A): "Apacer",
    (2, 0x94): "Smart Modular",
    (2, 0x98): "Kingston",
    (2, 0xBA): "PNY",
    (3, 0x9E): "Corsair",
    (3, 0xB5): "SpecTek",
    (3, 0xFE): "Elpida",
    (4, 0x0B): "Nanya",
    (4, 0x16): "Netlist",
    (4, 0x25): "Kingmax",
    (4, 0xDA): "Swissbit",
    (5, 0x43): "Ramaxel",
    (5, 0xCB): "A-DATA",
    (5, 0xCD): "G.Skill",
    (5, 0xEF): "Team Group",
    (6, 0x02): "Patriot",
    (6, 0x51): "Qimonda",
    (6, 0x9B): "Crucial",
    (10, 0x83): "HPE",
}
_MAX_BANK = 32
# The module's maker, and in the long form three more fields: `80CE`, `0x80AD`, `00CE00B300CE`.
_BYTES = re.compile(r"(?:0x)?([0-9A-F]{2})([0-9A-F]{2})(?:[0-9A-F]{8})?", re.ASCII | re.IGNORECASE)
# dmidecode 3.2 and later, of SMBIOS 3.2 and later: `Bank 1, Hex 0xCE`.
_BANK_AND_NUMBER = re.compile(r"Bank ([0-9]{1,3}), Hex 0x([0-9A-F]{2})", re.ASCII | re.IGNORECASE)


def number(text: str) -> tuple[int, int] | None:
    """Bank and number in `text`, one of the forms above; None when it holds none.

    The first byte counts continuation codes and has its own parity bit: 0x00 and 0x80 are both none. Some firmware
    swaps the bytes (`0x2C00`, `0xCE00`): no maker has the number 0.
    """
    stated = _BANK_AND_NUMBER.fullmatch(text.strip())
    if stated is not None:
        return int(stated[1]), int(stated[2], 16)
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        return None
    continuation, code = int(match[1], 16), int(match[2], 16)
    if code == 0:
        continuation, code = 0, continuation
    bank = (continuation & 0x7F) + 1
    # The parity is odd: what is not so is no number, but a word such as `ABCD`.
    if code == 0 or code.bit_count() % 2 == 0 or bank > _MAX_BANK:
        return None
    return bank, code


def maker(text: str) -> str | None:
    """The name of the maker whose number `text` is; None when it is no number, or one that is not known here."""
    found = number(text)
    return _MAKERS.get(found) if found else None
