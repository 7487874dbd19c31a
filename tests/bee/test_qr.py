"""The QR code: its text, its room on a console, and that a camera's program reads what the console shows."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bee.machine import Live, Recorded
from bee.views import qr
from tests.bee import console
from tests.bee.recorded import audit, server
from tests.bee.test_audit import serialise

CONTENT = serialise(audit(server()))
DOCUMENT: dict[str, Any] = json.loads(CONTENT)
drawing = pytest.mark.skipif(
    not (shutil.which("qrencode") and shutil.which("zbarimg") and console.ROM.exists()),
    reason="not installed here: qrencode, zbar-tools or seabios",
)
serials = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/. ", max_size=60)


def document(**board: dict[str, object] | list[dict[str, object]]) -> dict[str, object]:
    return DOCUMENT | {"board": DOCUMENT["board"] | board}


def shown(screen: console.Screen) -> str:
    return console.read_code(screen.picture(console.rom_font(console.ROM.read_bytes())))


def on_the_console(of: dict[str, object], *, colour: bool) -> console.Screen:
    """The console after the live CD's script has written what bee printed, on a screen that was full before."""
    printed = qr.screen(of, CONTENT, Live(), colour=colour)
    assert printed is not None
    screen = console.Screen()
    screen.write("".join(f"[  {second}.0] a line of the boot\r\n" for second in range(30)))
    screen.write("\r\n" + printed.replace("\n", "\r\n") + "\r\n")
    return screen


def test_the_text_is_what_the_documentation_says() -> None:
    lines = qr.payload(DOCUMENT, b"the file").split("\n")
    assert lines == [
        "BEE1",
        "S SYS-4711",
        "A 994659de87f727dd",
        "F 18/8",
        "N 2c 48GiB/2m 4.32TB/2d 1g 2p",
        "M ES-2100",
        "B BRD-0815",
        "C CHS-1234",
    ]


def test_a_serial_number_that_was_said_is_not_said_again() -> None:
    same = document(baseboards=[{"serial": "SYS-4711"}], chassis=[{"serial": "SYS-4711"}])
    assert not re.search(r"^[BC] ", qr.payload(same, CONTENT), re.MULTILINE)


@drawing
@pytest.mark.parametrize("colour", [False, True])
def test_what_the_console_shows_is_read_back(colour: bool) -> None:
    assert shown(on_the_console(DOCUMENT, colour=colour)) == qr.payload(DOCUMENT, CONTENT)


@drawing
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(serial=serials, product=serials, board=serials, chassis=serials, colour=st.booleans())
def test_any_text_is_read_back_whole_or_without_its_last_lines(
    serial: str, product: str, board: str, chassis: str, colour: bool
) -> None:
    of = document(
        system={"serial": serial, "product": product}, baseboards=[{"serial": board}], chassis=[{"serial": chassis}]
    )
    screen, text = on_the_console(of, colour=colour), qr.payload(of, CONTENT)
    read = shown(screen).split("\n")
    assert read == text.split("\n")[: len(read)]
    # 106 bytes are what a code of 21 rows holds; what identifies the audit is never dropped.
    assert len(read) == text.count("\n") + 1 or len(text.encode()) > 106
    assert f"A {qr.payload({}, CONTENT)[7:]}" in read


@drawing
def test_a_text_of_just_the_largest_size_is_read_back_whole() -> None:
    room = 106 - len(qr.payload(document(system={"serial": "S", "product": "P"}), CONTENT).encode())
    of = document(system={"serial": f"S{'9' * (room // 2)}", "product": f"P{'x' * (room - room // 2)}"})
    assert len(qr.payload(of, CONTENT).encode()) == 106
    screen = on_the_console(of, colour=False)
    assert shown(screen) == qr.payload(of, CONTENT)
    # What the boot said last, the blank line that the console begins with, 21 rows, and the cursor's.
    assert [bool(row) for row in screen.text] == [True, True, False, *[True] * 21, False]


@drawing
def test_what_does_not_fit_loses_its_last_lines_alone() -> None:
    long = {"serial": "s" * 40, "product": "p" * 40}
    of = document(system=long, baseboards=[{"serial": "b" * 40}], chassis=[{"serial": "c" * 40}])
    read = shown(on_the_console(of, colour=False)).split("\n")
    assert [line.split()[0] for line in read] == ["BEE1", "S", "A", "F", "N"]


@drawing
@pytest.mark.parametrize("colour", [False, True])
def test_code_and_summary_share_one_screen(colour: bool) -> None:
    screen = on_the_console(DOCUMENT, colour=colour)
    said = " ".join(re.sub(r"[█▀▄]", " ", row).strip() for row in screen.text)
    for fact in ("SYS-4711", "48 GiB in 2 of 4 slots", "18 findings, 8 critical", "bee report has the rest"):
        assert fact in re.sub(" +", " ", said), fact


@drawing
def test_a_summary_longer_than_the_code_ends_with_where_the_rest_is() -> None:
    printed = qr.screen(document(system={"product": "many words " * 40}), CONTENT, Live(), colour=False)
    assert printed is not None
    lines = printed.split("\n")
    assert len(lines) <= qr.ROWS
    assert lines[-1].endswith("... (bee report has the rest)")
    assert max(map(len, lines)) <= 80


def test_without_qrencode_there_is_no_code() -> None:
    assert qr.screen(DOCUMENT, CONTENT, Recorded(), colour=False) is None
