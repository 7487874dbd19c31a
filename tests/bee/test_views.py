"""What people see: 80 columns, plain text, whatever the file holds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee.machine import Recorded
from bee.views import qr, text
from bee.views.columns import WIDTH
from bee.views.document import size
from tests.bee.planting import json_values
from tests.bee.recorded import audit, server
from tests.bee.test_audit import serialise

CONTENT = serialise(audit(server()))
DOCUMENT: dict[str, Any] = json.loads(CONTENT)


def test_the_table_shows_what_is_in_the_machine() -> None:
    shown = text.table(DOCUMENT)
    headings = [line for line in shown.split("\n") if line.isupper() and not line.startswith(" ")]
    assert headings == ["FINDINGS", "BOARD", "CPU", "MEMORY", "STORAGE", "PCIE", "PSU", "NVIDIA", "COLLECTORS"]
    for fact in (
        "SYS-4711",
        "BRD-0815",
        "CHS-1234",
        "DIMM_A1",
        "32 GiB",
        "empty",
        "480 GB",
        "passed",
        "PSU-SN-1",
        "x8 2.5",
        "10.248.36.246",
        "0c:c4:7a:00:00:10",
        "WFK00001",
        "volume 0/239: RAID1, 1.2 TB, Dgrd",
    ):
        assert fact in shown, fact


def test_a_serial_number_is_shown_whole() -> None:
    shown = text.table(DOCUMENT)
    for serial in ("S64HNE0R000001", "S45PNA0M000001", "40A1B2C3", "1562620014321", "PSU-SN-1"):
        assert serial in shown, serial


def test_the_table_says_why_a_part_is_missing() -> None:
    shown = text.table(json.loads(serialise(audit(Recorded()))))
    assert "MEMORY\n  skipped: dmidecode is not installed" in shown
    assert "NVIDIA\n  skipped: nvidia-smi is not installed" in shown


@pytest.mark.parametrize("view", [text.table, text.summary])
def test_no_line_is_wider_than_80_columns(view: Any) -> None:
    wide = json.loads(CONTENT)
    wide["board"]["system"]["product"] = "W" * 400
    wide["memory"]["slots"][0]["part_number"] = "P" * 200
    wide["collectors"][0]["reasons"] = ["r" * 300]
    for document in (DOCUMENT, wide):
        assert [line for line in view(document).split("\n") if len(line) > WIDTH] == []


@given(data=st.data())
def test_every_view_takes_any_json_without_an_exception(data: st.DataObject) -> None:
    document = {key: data.draw(json_values) if data.draw(st.booleans()) else value for key, value in DOCUMENT.items()}
    for shown in (text.table(document), text.summary(document), qr.payload(document, b"")):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
        shown.encode()


@pytest.mark.parametrize(
    ("number", "decimal", "shown"),
    [
        (0, False, "0 B"),
        (64 * 2**30, False, "64 GiB"),
        (16384 * 2**10, False, "16 MiB"),
        (480103981056, True, "480 GB"),
        (3840755982336, True, "3.84 TB"),
        (1000204886016, True, "1 TB"),
        (999_999_999_999, True, "1 TB"),
        (None, True, "-"),
    ],
)
def test_sizes_as_people_say_them(number: int | None, decimal: bool, shown: str) -> None:
    assert size(number, decimal=decimal) == shown
