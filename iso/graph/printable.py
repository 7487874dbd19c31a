"""Any text as one that can be printed: names of files hold what they like, and tools print what they like."""

from __future__ import annotations

# What a byte of a file's name is added to where the name is no text (PEP 383).
_BYTES = 0xDC00


def printable(text: str, kept: str = "") -> str:
    """A text in which all that is no letter, sign or blank is written as in a literal of Python.

    Args:
        text: any.
        kept: what else stays, such as line ends of a text of several.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in kept else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    byte = ord(letter) - _BYTES
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else letter.encode("unicode_escape").decode()
