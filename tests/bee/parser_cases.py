"""The table of all parsers, each with what its property tests, the fuzzer and the growth proof need.

It says nothing of how many examples are tried: that is the business of the hypothesis profile in force.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from bee.parsers import (
    dmidecode,
    ethtool,
    ipmitool,
    lsblk,
    lspci,
    mstflint,
    nvidia_smi,
    nvlink,
    nvme,
    sas_ircu,
    smartctl,
    storcli,
)
from tests.bee import RECORDINGS, planting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis import strategies as st


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One parser. Results are Any: the parsers' records have nothing in common.

    Attributes:
        parse: the parser.
        recording: what its tool printed, a file in tests/bee/recordings.
        more_recordings: a pattern of files there that its tool printed too.
        corpus: patterns of files of its tool in the folder that BEE_CORPUS names.
        json: whether its tool prints JSON.
        planted: records in noise, which it must find.
        seen: what reduces a result to the form that `planted` expects.
        records: what a result holds many of, in the order in which it is printed; None where a cut may cost everything
            (JSON) or where there is one record.
        resumes: whether a broken line costs no more records than it touches.
    """

    parse: Callable[[bytes], Any]
    recording: str
    more_recordings: str | None = None
    corpus: tuple[str, ...] = ()
    json: bool = False
    planted: st.SearchStrategy[planting.Planted]
    seen: Callable[[Any], object]
    records: Callable[[Any], Sequence[object]] | None = None
    resumes: bool = True

    @property
    def returns(self) -> object:
        """The type that the parser says it returns."""
        return get_type_hints(self.parse)["return"]

    @property
    def module(self) -> str:
        return self.parse.__module__

    def sample(self) -> bytes:
        """What the tool printed."""
        return _recorded(self.recording)

    def seeds(self) -> list[bytes]:
        """All that there is of what the tool printed: the recordings first, then what is in the corpus."""
        paths = [RECORDINGS / self.recording]
        if self.more_recordings:
            paths += sorted(path for path in RECORDINGS.glob(self.more_recordings) if path not in paths)
        if "BEE_CORPUS" in os.environ:
            paths += sorted(path for pattern in self.corpus for path in Path(os.environ["BEE_CORPUS"]).glob(pattern))
        return [path.read_bytes() for path in paths]


@cache
def _recorded(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def _storcli_drives(data: bytes) -> storcli.Report:
    """storcli's second output, which counts only beside the first; it names the controllers itself."""
    return storcli.parse(data, data)


# The proofs ask which file the parser is in.
_storcli_drives.__module__ = storcli.__name__


def _raid(report: storcli.Report) -> object:
    (controller,) = report.controllers
    return controller.model, [(d.enclosure, d.slot, d.model, d.serial, d.media_errors) for d in controller.drives]


def _ir(report: sas_ircu.Report) -> object:
    (found,) = report.controllers
    drives = [(d.enclosure, d.slot, d.model, d.serial, d.size_bytes) for d in found.drives]
    return found.firmware, found.pci_address, drives


def _nvme_health(log: nvme.SmartLog) -> object:
    return log.critical_warning, log.temperature_celsius, log.wear_percent, log.media_errors


CASES: dict[str, Case] = {
    "dmidecode": Case(
        parse=dmidecode.parse,
        recording="dmidecode-memory.txt",
        more_recordings="dmidecode-*.txt",
        corpus=("dmidecode/*",),
        planted=planting.many(planting.dimm),
        seen=lambda table: [
            (s.handle, s.get("Size"), s.get("Locator"), s.get("Part Number"), s.items("Characteristics"))
            for s in table.of_type(17)
        ],
        records=lambda table: table.structures,
    ),
    "ethtool": Case(
        parse=ethtool.parse,
        recording="ethtool.txt",
        planted=planting.one(planting.adapter.map(lambda p: planting.Planted(p.text, (p.expected[2], p.expected[0])))),
        seen=lambda driver: (driver.name, driver.firmware),
    ),
    "ipmitool fru": Case(
        parse=ipmitool.parse,
        recording="ipmitool-fru.txt",
        corpus=("ipmitool_fru/*",),
        planted=planting.many(planting.fru),
        seen=lambda report: [
            (fru.description, fru.id, fru.get("Board Serial"), fru.get("Product Part Number")) for fru in report.frus
        ],
        records=lambda report: report.frus,
    ),
    "ipmitool mc info": Case(
        parse=ipmitool.parse_fields,
        recording="ipmitool-mc-info.txt",
        more_recordings="ipmitool-lan.txt",
        corpus=("ipmitool_other/*",),
        planted=planting.one(planting.bmc_fields),
        seen=lambda fields: (fields.get("Firmware Revision"), fields.get("Product Name")),
        records=lambda fields: fields.fields,
    ),
    "ipmitool sdr": Case(
        parse=ipmitool.parse_sensors,
        recording="ipmitool-sdr.txt",
        corpus=("ipmitool_other/*",),
        planted=planting.many(planting.sensor),
        seen=lambda report: [(s.name, s.status, s.entity, s.reading) for s in report.sensors],
        records=lambda report: report.sensors,
    ),
    "ipmitool sel": Case(
        parse=ipmitool.parse_events,
        recording="ipmitool-sel.txt",
        corpus=("ipmitool_other/*",),
        planted=planting.many(planting.event),
        seen=lambda report: [(e.id, e.when, e.sensor, e.event, e.asserted) for e in report.events],
        records=lambda report: report.events,
    ),
    "lsblk": Case(
        parse=lsblk.parse,
        recording="lsblk.json",
        corpus=("lsblk/*.json",),
        json=True,
        planted=planting.block_devices,
        seen=lambda report: [(d.name, d.size_bytes, d.serial) for d in report.devices],
    ),
    "lspci": Case(
        parse=lspci.parse,
        recording="lspci.txt",
        corpus=("lspci_vmm/*",),
        planted=planting.many(planting.function),
        seen=lambda report: [
            (
                f.address,
                f.class_id,
                f.vendor_name,
                f.vendor_id,
                f.device_name,
                f.device_id,
                f.physical_slot,
                f.driver,
            )
            for f in report.functions
        ],
        records=lambda report: report.functions,
    ),
    "mstflint": Case(
        parse=mstflint.parse,
        recording="mstflint.txt",
        planted=planting.one(planting.adapter.map(lambda p: planting.Planted(p.text, p.expected[:2]))),
        seen=lambda image: (image.version, image.psid),
    ),
    "nvidia-smi": Case(
        parse=nvidia_smi.parse,
        recording="nvidia-smi.xml",
        corpus=("nvidia-smi/*.xml",),
        planted=planting.gpu_log(),
        seen=lambda report: [
            (e.attributes.get("id"), e.value("uuid"), e.value("fb_memory_usage/total")) for e in report.gpus
        ],
        records=lambda report: report.gpus,
        resumes=False,
    ),
    "nvidia-smi nvlink": Case(
        parse=nvlink.parse,
        recording="nvidia-smi-nvlink.txt",
        corpus=("nvidia-smi/*nvlink*",),
        planted=planting.many(planting.nvlink_gpu),
        seen=lambda report: [(gpu.uuid, gpu.links) for gpu in report.gpus],
    ),
    "nvidia-smi nvlink errors": Case(
        parse=nvlink.parse,
        recording="nvidia-smi-nvlink-errors.txt",
        planted=planting.many(planting.nvlink_gpu),
        seen=lambda report: [(gpu.uuid, gpu.links) for gpu in report.gpus],
    ),
    "nvme id-ctrl": Case(
        parse=nvme.parse,
        recording="nvme-id-ctrl.json",
        corpus=("nvme/*id*",),
        json=True,
        planted=planting.nvme_identity,
        seen=lambda found: (found.vendor_id, found.serial, found.model, found.capacity_bytes),
    ),
    "nvme smart-log": Case(
        parse=nvme.parse_smart_log,
        recording="nvme-smart-log.json",
        corpus=("nvme/*.json",),
        json=True,
        planted=planting.nvme_health,
        seen=_nvme_health,
    ),
    "nvme smart-log as text": Case(
        parse=nvme.parse_smart_log,
        recording="nvme-smart-log.txt",
        corpus=("nvme/*",),
        planted=planting.nvme_health_text,
        seen=_nvme_health,
    ),
    "sas_ircu LIST": Case(
        parse=sas_ircu.parse_list,
        recording="sas3ircu-list.txt",
        corpus=("sas_ircu/*list*", "sas_ircu/*LIST*"),
        planted=planting.one(planting.listed_controller).map(lambda p: planting.Planted(p.text, (p.expected,))),
        seen=lambda numbers: numbers,
    ),
    "sas_ircu DISPLAY": Case(
        parse=sas_ircu.parse,
        recording="sas3ircu-display.txt",
        corpus=("sas_ircu/*display*",),
        planted=planting.ir_controller(),
        seen=_ir,
    ),
    "smartctl": Case(
        parse=smartctl.parse,
        recording="smartctl-sda.json",
        more_recordings="smartctl-[!s]*.json",
        corpus=("smartctl/*",),
        json=True,
        planted=planting.drive_health,
        seen=lambda s: (s.model, s.serial, s.size_bytes, s.passed, s.reallocated_sectors),
    ),
    "smartctl --scan": Case(
        parse=smartctl.parse_scan,
        recording="smartctl-scan.json",
        corpus=("smartctl/*scan*",),
        json=True,
        planted=planting.scanned,
        seen=lambda scan: [(d.name, d.type) for d in scan.devices],
    ),
    "storcli": Case(
        parse=storcli.parse,
        recording="storcli-call.json",
        corpus=("storcli/*",),
        json=True,
        planted=planting.raid(detailed=False),
        seen=_raid,
    ),
    "storcli drives": Case(
        parse=_storcli_drives,
        recording="storcli-drives.json",
        corpus=("storcli/*drives*",),
        json=True,
        planted=planting.raid(detailed=True),
        seen=_raid,
    ),
}
