"""Which files the kernel runs as x86-64 programs: those that begin somewhere and call themselves no library."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.image import elf

PROGRAM = Path("/bin/true").read_bytes()
EXECUTABLE, SHARED = 2, 3
NEEDED, SONAME, FLAGS_1, END = 1, 14, 0x6FFFFFFB, 0


def judged(data: bytes) -> bool:
    return elf.is_program(io.BytesIO(data))


def image(kind: int, dynamic: list[tuple[int, int]] | None, entry: int = 0x1000) -> bytes:
    """A file with one program header at most."""
    count = 0 if dynamic is None else 1
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, entry, 64, 0, 0, 64, 56, count, 0, 0, 0)
    if dynamic is None:
        return head
    content = b"".join(struct.pack("<qQ", *pair) for pair in dynamic)
    return head + struct.pack("<IIQQQQQQ", 2, 4, 120, 0, 0, len(content), len(content), 8) + content


def test_this_machine_s_programs_are_programs_and_its_libraries_none() -> None:
    folder = Path("/usr/lib/x86_64-linux-gnu")
    for program in ("/bin/true", "/bin/sh", "/usr/bin/env"):
        assert judged(Path(program).read_bytes())
    for library in ("libm.so.6", "libc.so.6", "libcrypt.so.1"):
        assert not judged((folder / library).read_bytes())


@pytest.mark.parametrize(
    ("data", "fit"),
    [
        (image(EXECUTABLE, None), True),
        (image(SHARED, [(FLAGS_1, 0x08000000), (END, 0)]), True),
        (image(SHARED, [(NEEDED, 1), (END, 0), (SONAME, 1)]), True),
        (image(SHARED, [(NEEDED, 1), (SONAME, 1), (END, 0)]), False),
        (image(SHARED, [(END, 0)], entry=0), False),
        (image(1, None), False),
    ],
    ids=["static", "static, anywhere", "name behind the end", "library", "nowhere to begin", "object"],
)
def test_a_program_begins_somewhere_and_has_no_library_s_name(data: bytes, fit: bool) -> None:
    assert judged(data) == fit


@pytest.mark.parametrize(
    ("offset", "byte"), [(0, 0), (4, 1), (5, 2), (16, 1), (18, 40)], ids=["magic", "32bit", "big", "object", "arm"]
)
def test_programs_of_other_machines_are_told_apart(offset: int, byte: int) -> None:
    data = bytearray(PROGRAM)
    assert judged(bytes(data))
    data[offset] = byte
    assert not judged(bytes(data))


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert judged(data) in {True, False}


@given(st.integers(0, len(PROGRAM)))
def test_any_beginning_of_a_program_is_judged(length: int) -> None:
    assert judged(PROGRAM[:length]) in {True, False}


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=20))
def test_any_damage_of_what_a_file_says_of_itself_is_judged(damage: list[tuple[int, int]]) -> None:
    data = bytearray(image(SHARED, [(NEEDED, 1), (SONAME, 1), (END, 0)]))
    for offset, byte in damage:
        data[offset % len(data)] = byte
    assert judged(bytes(data)) in {True, False}
