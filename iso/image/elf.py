"""Which files the kernel runs as programs, by what they say of themselves (elf(5))."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# 64 bit, little endian; an executable, or what can lie anywhere: a program or a library; for x86-64.
_IDENT = b"\x7fELF\x02\x01"
_EXECUTABLE, _ANYWHERE = 2, 3
_X86_64 = 62
_HEAD = struct.Struct("<16xHHIQQ14xHH")
# Of a part of the file: what it is, where it begins, how long it is.
_PART = struct.Struct("<I4xQ16xQ16x")
_DYNAMIC = 2
_ENTRY = struct.Struct("<qQ")
_LAST, _SONAME = 0, 14
# What the kernel takes of part headers (load_elf_phdrs); a program's own table is far shorter.
_LONGEST = 1 << 16


def is_program(stream: IO[bytes]) -> bool:
    """Whether a file is an x86-64 program: it begins somewhere, and has no name that programs ask a library by.

    Args:
        stream: the file, from its beginning.
    """
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(_IDENT):
        return False
    kind, machine, _version, begins, table, size, count = _HEAD.unpack(head)
    if machine != _X86_64 or kind not in {_EXECUTABLE, _ANYWHERE}:
        return False
    if kind == _EXECUTABLE:
        return True
    if not begins or size != _PART.size:
        return False
    parts = _PART.iter_unpack(_whole(_read(stream, table, size * count), _PART.size))
    return not any(_is_library(stream, offset, length) for what, offset, length in parts if what == _DYNAMIC)


def _is_library(stream: IO[bytes], offset: int, length: int) -> bool:
    return _SONAME in _tags(_read(stream, offset, length))


def _tags(table: bytes) -> Iterator[int]:
    for tag, _value in _ENTRY.iter_unpack(_whole(table, _ENTRY.size)):
        if tag == _LAST:
            return
        yield tag


def _whole(table: bytes, size: int) -> bytes:
    return table[: len(table) // size * size]


def _read(stream: IO[bytes], offset: int, length: int) -> bytes:
    # An offset may be any number, of which seek(2) takes but half.
    if offset >= stream.seek(0, 2):
        return b""
    stream.seek(offset)
    return stream.read(min(length, _LONGEST))
