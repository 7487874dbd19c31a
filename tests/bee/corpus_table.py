"""What the parsers find in a corpus of real output, tool by tool: the table in docs/tools.md.

`BEE_CORPUS=FOLDER python -m tests.bee.corpus_table` writes it anew; tests/bee/test_corpus.py holds the page to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from bee.parsers import dmidecode, ipmitool, lsblk, lspci, nvidia_smi, nvlink, nvme, sas_ircu, smartctl, storcli
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "tools.md"
BEGIN, END = "<!-- corpus table -->\n", "<!-- end of the corpus table -->\n"


@dataclass(frozen=True, slots=True)
class Source:
    """The output of one command: its folders in the corpus, which files there are it, and what its parser finds."""

    command: str
    record: str
    folders: tuple[str, ...]
    is_it: Callable[[Path, bytes], bool]
    records: Callable[[bytes], Iterable[Any]]


def _named(*words: str) -> Callable[[Path, bytes], bool]:
    return lambda path, _: any(word in path.name for word in words)


def _any(_path: Path, _data: bytes) -> bool:
    return True


SOURCES = (
    Source("dmidecode", "structure", ("dmidecode",), _any, lambda d: dmidecode.parse(d).structures),
    Source("lsblk -J", "device", ("lsblk",), _named(".json"), lambda d: lsblk.parse(d).devices),
    Source(
        "lspci -vmm",
        "function",
        ("lspci", "lspci_vmm"),
        lambda _, data: data.startswith(b"Slot:"),
        lambda d: lspci.parse(d).functions,
    ),
    Source("smartctl --scan", "device", ("smartctl",), _named("scan"), lambda d: smartctl.parse_scan(d).devices),
    Source(
        "smartctl -j -x",
        "drive",
        ("smartctl",),
        lambda path, data: "scan" not in path.name and b'"smartctl"' in data,
        lambda d: [smartctl.parse(d)],
    ),
    Source("nvme id-ctrl", "controller", ("nvme",), _named("id-ctrl", "Identify"), lambda d: [nvme.parse(d)]),
    Source("nvme smart-log", "controller", ("nvme",), _named("smart-log"), lambda d: [nvme.parse_smart_log(d)]),
    Source("ipmitool fru", "unit", ("ipmitool_fru",), _any, lambda d: ipmitool.parse(d).frus),
    Source(
        "ipmitool mc info, lan print",
        "field",
        ("ipmitool_other",),
        _named("bmcInfo", "lanPrint"),
        lambda d: ipmitool.parse_fields(d).fields,
    ),
    Source("nvidia-smi -q -x", "GPU", ("nvidia-smi",), _named(".xml"), lambda d: nvidia_smi.parse(d).gpus),
    Source("nvidia-smi nvlink -s", "GPU", ("nvidia-smi",), _named("nvlink"), lambda d: nvlink.parse(d).gpus),
    Source(
        "storcli64 /call show all J",
        "controller",
        ("storcli",),
        lambda path, _: "drives-info" not in path.name,
        lambda d: storcli.parse(d).controllers,
    ),
    Source(
        "storcli64 /call/eall/sall show all J",
        "drive",
        ("storcli",),
        _named("drives-info"),
        lambda d: [drive for controller in storcli.parse(d, d).controllers for drive in controller.drives],
    ),
    Source(
        "sas2ircu and sas3ircu N DISPLAY",
        "controller",
        ("sas_ircu",),
        _named("display"),
        lambda d: sas_ircu.parse(d).controllers,
    ),
    Source("sas2ircu and sas3ircu LIST", "controller", ("sas_ircu",), _named("list", "LIST"), sas_ircu.parse_list),
)


def found(value: object) -> int:
    """How many single facts a parser's record holds; a name with its value is one."""
    if isinstance(value, nvidia_smi.Element):
        says = value.text.strip() not in {"", "N/A", "[N/A]"}
        return sum(map(found, value.children)) if value.children else int(says)
    if is_dataclass(value) and not isinstance(value, type):
        return sum(
            found(getattr(value, field.name)) for field in fields(value) if field.name not in {"notes", "remarks"}
        )
    if isinstance(value, tuple):
        pair = len(value) in {2, 3} and all(isinstance(item, str | int) for item in value)
        return int(bool(value[-1])) if pair else sum(map(found, value))
    return int(value is not None and value != "")


def rows(corpus: Path) -> list[tuple[str, int, int, str, int]]:
    """Command, files of it, records found in them, what a record is, facts in all of them."""
    table = []
    for source in SOURCES:
        paths = [path for folder in source.folders for path in sorted((corpus / folder).iterdir())]
        outputs = [data for path in paths if source.is_it(path, data := path.read_bytes())]
        records = [record for output in outputs for record in source.records(output)]
        table.append((source.command, len(outputs), len(records), source.record, sum(map(found, records))))
    return table


def markdown(corpus: Path) -> str:
    """The table as it stands in the page."""
    head = "| Output of | Files | Records found | Facts in them |\n|---|--:|--:|--:|\n"
    return head + "".join(
        f"| `{command}` | {files} | {count:,} {record}{'' if count == 1 else 's'} | {facts:,} |\n"
        for command, files, count, record, facts in rows(corpus)
    )


def in_page() -> str:
    """The table that the page has now."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    table = markdown(Path(os.environ["BEE_CORPUS"]))
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}")
