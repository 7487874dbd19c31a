"""The page as text: everything is on it, nothing in an audit can add to it, and its file is whole or not there."""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bee import cli
from bee.audit import serialise
from bee.machine import Recorded
from bee.views import html
from bee.views.html.marks import Marks
from bee.views.html.markup import Markup, element
from bee.views.html.places import places
from tests.bee.planting import json_values
from tests.bee.recorded import audit, server
from tests.bee.rich import rich
from tests.bee.test_audit import errors
from tests.bee.test_cli import ROOT, audit_file, run
from tests.bee.test_redaction import left

CONTENT = serialise(audit(server()))
DOCUMENT: dict[str, Any] = json.loads(CONTENT)
RICH = serialise(rich())
_VOID = {"meta"}
PARTS = ("board", "cpu", "memory", "storage", "pcie", "psu", "nvidia")


class Page(HTMLParser):
    """What stands in a page: its elements with their attributes in order, and its text. It must be well nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.structure: list[tuple[str, ...]] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.structure.append((tag, *(name for name, _ in attrs)))
        self.attributes.append({"": tag, **dict(attrs)})
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"


def read(document: dict[str, Any]) -> Page:
    return Page(html.page(document, b""))


def shown(document: dict[str, Any]) -> str:
    return " ".join(read(document).text)


def strings_of(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings_of(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings_of(item)]
    return [value] if isinstance(value, str) else []


def mapped(value: object, change: Callable[[str], object]) -> Any:
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def test_the_rich_machine_is_a_valid_audit_with_both_severities() -> None:
    assert errors(RICH) == []
    assert {finding["severity"] for finding in json.loads(RICH)["findings"]} == {"critical", "warning"}


@pytest.mark.parametrize("document", [DOCUMENT, json.loads(RICH)], ids=["recorded", "rich"])
def test_every_serial_number_address_and_finding_is_on_the_page(document: dict[str, Any]) -> None:
    text = shown(document)
    wanted = [
        document["board"]["system"]["serial"],
        document["started_at"][:10],
        document["board"]["bmc"]["ip_address"],
    ]
    for part, listed in (("memory", "slots"), ("storage", "disks"), ("storage", "raid_members"), ("psu", "supplies")):
        wanted += [record["serial"] for record in document[part][listed]]
    wanted += [value for gpu in document["nvidia"]["gpus"] for value in (gpu["serial"], gpu["uuid"], gpu["vbios"])]
    wanted += [device["address"] for device in document["pcie"]["devices"]]
    wanted += [nic["mac"] for device in document["pcie"]["devices"] for nic in device["interfaces"]]
    wanted += [
        c[name] for c in document["storage"]["raid_controllers"] for name in ("model", "firmware", "pci_address")
    ]
    wanted += [f[name] for f in document["findings"] for name in ("component", "evidence", "action", "rule")]
    assert [value for value in wanted if value is not None and value not in text] == []


def test_findings_come_first_and_the_critical_ones_before_the_warnings() -> None:
    page = read(DOCUMENT)
    sections = [attributes["id"] for attributes in page.attributes if attributes[""] == "section"]
    assert sections[0] == "findings"
    classes = [attributes.get("class") or "" for attributes in page.attributes]
    severities = [name.split()[1] for name in classes if name.startswith("finding ")]
    assert severities == sorted(severities)
    assert set(severities) == {"critical", "warning"}


HOSTILE = (
    '"><script>alert(1)</script>',
    "' onload='x",
    "</style></title></svg><b>",
    "<!-- ]]> -->",
    "&lt;&#60;&",
    "`${x}` javascript:x",
    "</p><form action=x>",
)
# What means something in HTML, and signs that mean nothing in it: the page of either must be built alike.
INERT = str.maketrans(
    dict(zip("<>&\"'", "\N{NOT SIGN}\N{BROKEN BAR}\N{SECTION SIGN}\N{DEGREE SIGN}\N{PILCROW SIGN}", strict=True))
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_value_adds_nothing_to_the_page_wherever_it_stands(hostile: str) -> None:
    changed = mapped(DOCUMENT, lambda text: hostile + text)
    inert = mapped(DOCUMENT, lambda text: hostile.translate(INERT) + text)
    page = read(changed)
    assert page.structure == read(inert).structure
    assert hostile in " ".join(page.text)


_PIECES = st.sampled_from([*HOSTILE, "<", ">", "&", '"', "'", "=", " ", "\0", "\u202e", "x"]) | st.text(max_size=6)
_TEXTS = st.lists(_PIECES, max_size=5).map("".join)
_FIELDS = len(strings_of(DOCUMENT))


@settings(max_examples=60)
@given(st.dictionaries(st.integers(0, _FIELDS - 1), _TEXTS, min_size=1, max_size=20))
def test_no_text_in_any_field_adds_an_element_or_an_attribute(texts: dict[int, str]) -> None:
    places_of = itertools.count()
    changed = mapped(DOCUMENT, lambda text: texts.get(next(places_of), text))
    page, inert = read(changed), read(mapped(changed, lambda text: text.translate(INERT)))
    assert page.structure == inert.structure


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_json_gives_a_page(data: st.DataObject) -> None:
    document = {key: data.draw(json_values) if data.draw(st.booleans()) else value for key, value in DOCUMENT.items()}
    for part in PARTS:
        if isinstance(document[part], dict) and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(document[part]) or [""]))
            document[part] = {**document[part], name: data.draw(json_values)}
    page = html.page(document, b"")
    assert Page(page).structure.count(("main",)) == 1
    page.encode()


def test_markup_is_made_by_the_code_alone() -> None:
    assert element("p", "a<b", Markup("<i></i>"), ["&", None], class_='"', data_x=None, open=True, hidden=False) == (
        '<p class="&quot;" open>a&lt;b<i></i>&amp;</p>'
    )
    assert element("p", "\x1b[2J\ud800") == "<p>\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}</p>"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_null_says_why(part: str) -> None:
    document = {**DOCUMENT, part: None}
    document["collectors"] = [
        {**c, "status": "failed", "reasons": ["the tool burnt down"]} if c["name"] == part else c
        for c in DOCUMENT["collectors"]
    ]
    text = shown(document)
    assert "Not seen.  failed: the tool burnt down" in text
    assert "1 of 7 steps incomplete" in text
    assert text.count("the tool burnt down") == 3  # in its section, among the gaps, among the steps


def test_what_is_null_is_not_known_and_never_none() -> None:
    def emptied(value: object) -> object:
        if isinstance(value, dict):
            return {key: emptied(item) for key, item in value.items()}
        return [emptied(item) for item in value] if isinstance(value, list) else None

    document = {**DOCUMENT, **{part: emptied(DOCUMENT[part]) for part in PARTS}}
    text = shown(document)
    assert text.count("not known") > 50
    assert not re.search(r"\bNone\b|\bnull\b", text)


def test_an_empty_machine_has_a_page() -> None:
    document = json.loads(serialise(audit(Recorded())))
    text = shown(document)
    assert text.count("Not seen.") == 7
    assert "skipped: dmidecode is not installed" in text
    assert "No rule found anything wrong with what was seen; not all was seen." in text
    assert "7 of 7 steps skipped" in text


@pytest.mark.parametrize(
    ("name", "status", "good"),
    [("nvidia", "ok", True), ("nvidia", "skipped", True), ("psu", "failed", False), ("memory", "skipped", False)],
)
def test_no_findings_are_good_news_only_where_all_was_looked_at(name: str, status: str, good: bool) -> None:
    steps = [{**c, "status": status if c["name"] == name else "ok"} for c in DOCUMENT["collectors"]]
    page = read({**DOCUMENT, "findings": [], "collectors": steps})
    assert ("No rule found anything wrong." in page.text) is good
    assert any("a" in a[""] and a.get("class") == "ok" for a in page.attributes if a[""] == "a") is good


def test_a_chain_or_circle_of_ports_of_any_length_is_drawn() -> None:
    devices = [{"address": f"{i}", "upstream_port": f"{i + 1}"} for i in range(3000)]
    for extra in ([], [{"address": "3000", "upstream_port": "0"}]):
        page = read({**DOCUMENT, "pcie": {"devices": devices + extra}})
        assert sum(a.get("class") == "device" for a in page.attributes) == 3000 + len(extra)


def test_every_pci_function_is_drawn_once_even_where_addresses_stand_twice() -> None:
    levels = [{"address": str(level), "upstream_port": str(level - 1)} for level in range(12) for _ in range(8)]
    page = read({**DOCUMENT, "pcie": {"devices": levels}})
    assert sum(a.get("class") == "device" for a in page.attributes) == len(levels)
    # Each address twice, once below the one before and once at the top: no chain is too long.
    pairs = [{"address": f"{i}", "upstream_port": port} for i in range(2000) for port in (f"{i - 1}", None)]
    page = read({**DOCUMENT, "pcie": {"devices": pairs}})
    assert sum(a.get("class") == "device" for a in page.attributes) == len(pairs)


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        ([("P1-DIMMA1", "P0_Node0_Channel0_Dimm0"), ("P2-DIMMF2", "NO DIMM")], [("P1", "A"), ("P2", "F")]),
        ([("PROC 1 DIMM 1", ""), ("PROC  2 DIMM 12", "")], [("PROC 1", ""), ("PROC  2", "")]),
        ([("DIMM 3", "CPU 1"), ("DIMM 19", "CPU 2")], [("CPU 1", ""), ("CPU 2", "")]),
        ([(f"A{i}", "") for i in range(1, 5)] + [("B1", "")], [("A", "")] * 4 + [("B", "")]),
        (
            [("DIMM_A1", "NODE 1"), ("DIMM_B1", "NODE 1"), ("DIMM_E1", "NODE 2")],
            [("NODE 1", "A"), ("NODE 1", "B"), ("NODE 2", "E")],
        ),
        ([("DIMM 0", "P0 CHANNEL A"), ("DIMM 0", "P1 CHANNEL L")], [("P0", "A"), ("P1", "L")]),
        (
            [(f"DIMM{i}00 J22", f"_Node{i // 2}_Channel{i}_Dimm0") for i in range(4)],
            [("Node0", "0"), ("Node0", "1"), ("Node1", "2"), ("Node1", "3")],
        ),
        ([("DIMM_A1", "NODE 0 CHANNEL 0 DIMM 0"), ("DIMM_A2", "NO DIMM")], [("", "A"), ("", "A")]),
        ([("DIMM_N1", "NODE 1"), ("DIMM_P1", "NODE 1")], [("NODE 1", "N"), ("NODE 1", "P")]),
        ([("DIMM 1", "NODE 1"), ("DIMM 2", "NODE 2")], [("", ""), ("", "")]),
        ([("P0_MC0_DIM_CH_A0", "NODE 1")], [("P0", "A")]),
        ([("P0-ChD-DIMM0", "BANK10")], [("P0", "D")]),
        ([("D7", "/SYS/MB/P0"), ("D7", "/SYS/MB/P1")], [("P0", "D"), ("P1", "D")]),
        ([("Board 1, DIMM 1A", ""), ("Board 8, DIMM 8A", "")], [("Board 1", ""), ("Board 8", "")]),
        ([("RAM slot #0", "RAM slot #0"), ("", "")], [("", ""), ("", "")]),
    ],
)
def test_slots_are_drawn_where_their_names_say(names: list[tuple[str, str]], drawn: list[tuple[str, str]]) -> None:
    assert places(names) == drawn


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30))))
def test_any_names_of_slots_have_a_place_each(names: list[tuple[str, str]]) -> None:
    assert len(places(names)) == len(names)


def test_a_finding_marks_its_part_and_no_other() -> None:
    def found(component: str, severity: str = "warning") -> dict[str, str]:
        return {"severity": severity, "component": component}

    marks = Marks(
        {
            "findings": [
                found("disk sda"),
                found("disk sda", "critical"),
                found("PCI 0000:01:00.0 GH100 [H100]"),
                found("memory channel P0_Node0_Channel1"),
                found("memory channel P2-DIMMA", "critical"),
            ]
        }
    )
    assert (marks.of("disk sda"), marks.of("disk sdaa"), marks.of("PCI 0000:01:00.0")) == ("critical", "", "warning")
    assert marks.of("disk sdb", "PCI 0000:01:00.0") == "warning"
    assert marks.of_slot("DIMM1", "P0_Node0_Channel1_Dimm0") == "warning"
    assert marks.of_slot("DIMM1", "P0_Node0_Channel10_Dimm0") == ""
    assert (marks.of_slot("P2-DIMMA2", ""), marks.of_slot("P2-DIMMAB2", "")) == ("critical", "")


def test_every_marked_part_of_the_rich_machine_has_a_finding() -> None:
    page = read(json.loads(RICH))
    marked = Counter(
        attributes["class"]
        for attributes in page.attributes
        if re.search(r"^(dimm|card|device|tr)?.*\b(critical|warning)$", attributes.get("class") or "")
        and attributes[""] in {"li", "article", "div", "tr"}
    )
    assert marked["dimm filled warning"] == 2
    assert marked["device warning"] == 1
    assert marked["card critical"] == 1  # the GPU with uncorrected errors
    assert marked["card empty warning"] == 1


def test_the_page_is_a_file_of_its_own_mode_and_holds_no_identity_when_redacted(tmp_path: Path) -> None:
    path, page = audit_file(tmp_path), tmp_path / "page.html"
    page.write_text("the page before")
    page.chmod(0o644)
    done = run("report", str(path), "--html", str(page))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert page.read_bytes() == run("report", str(path), "--html", "-").stdout
    assert len(left(page.read_bytes())) > 10
    assert run("report", "--redact", str(path), "--html", str(page)).returncode == 0
    assert left(page.read_bytes()) == []
    assert b"redacted-" in page.read_bytes()


def test_a_page_that_cannot_be_written_costs_neither_the_one_before_nor_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = audit_file(tmp_path), tmp_path / "page.html"
    page.write_text("the page before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["report", str(path), "--html", str(page)]) == 2
    assert capsys.readouterr().err == f"bee: cannot write {page}: No space left on device\n"
    assert page.read_text() == "the page before"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["audit.json", "page.html"]


@pytest.mark.parametrize(("target", "said"), [("/nonexistent/x", "no such folder"), ("/dev/full", "not a plain file")])
def test_a_place_that_takes_no_page_is_one_line_and_exit_2(tmp_path: Path, target: str, said: str) -> None:
    done = run("report", str(audit_file(tmp_path)), "--html", target)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_only_who_asks_for_the_page_pays_for_it() -> None:
    code = "import sys, bee.arguments; bee.arguments.parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=True)
    assert not {"bee.views.html", "html", "hashlib", "importlib.resources"} & set(done.stdout.decode().split())
