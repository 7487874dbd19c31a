"""The parsers under torture, each with real output of its tool to begin from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

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
from tests.bee.recorded import RECORDINGS


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    Attributes:
        parse: the parser.
        recordings: a pattern of files in tests/bee/recordings.
        corpus: patterns of files in the folder that BEE_CORPUS names.
        is_json: whether its tool prints JSON, so that inputs are changed as JSON too.
    """

    parse: Callable[[bytes], object]
    recordings: str
    corpus: tuple[str, ...]
    is_json: bool = False

    @property
    def returns(self) -> object:
        """The type that it says it returns."""
        return get_type_hints(self.parse)["return"]

    @property
    def module(self) -> str:
        return self.parse.__module__

    def seeds(self) -> list[bytes]:
        """Output of its tool: the recordings first, then what there is in the corpus."""
        paths = sorted(RECORDINGS.glob(self.recordings))
        if "BEE_CORPUS" in os.environ:
            paths += sorted(p for pattern in self.corpus for p in Path(os.environ["BEE_CORPUS"]).glob(pattern))
        return [path.read_bytes() for path in paths]


def _storcli_drives(data: bytes) -> storcli.Report:
    """storcli's second output, which counts only beside the first."""
    return storcli.parse((RECORDINGS / "storcli-call.json").read_bytes(), data)


_storcli_drives.__module__ = storcli.__name__

TARGETS = {
    "dmidecode": Target(dmidecode.parse, "dmidecode-*.txt", ("dmidecode/*",)),
    "ethtool": Target(ethtool.parse, "ethtool.txt", ()),
    "ipmitool fru": Target(ipmitool.parse, "ipmitool-fru.txt", ("ipmitool_fru/*",)),
    "ipmitool mc info": Target(ipmitool.parse_fields, "ipmitool-[ml]*.txt", ("ipmitool_other/*",)),
    "ipmitool sdr": Target(ipmitool.parse_sensors, "ipmitool-sdr.txt", ("ipmitool_other/*",)),
    "ipmitool sel": Target(ipmitool.parse_events, "ipmitool-sel.txt", ("ipmitool_other/*",)),
    "lsblk": Target(lsblk.parse, "lsblk.json", ("lsblk/*.json",), is_json=True),
    "lspci": Target(lspci.parse, "lspci.txt", ("lspci_vmm/*",)),
    "mstflint": Target(mstflint.parse, "mstflint.txt", ()),
    "nvidia-smi": Target(nvidia_smi.parse, "nvidia-smi.xml", ("nvidia-smi/*.xml",)),
    "nvidia-smi nvlink": Target(nvlink.parse, "nvidia-smi-nvlink*.txt", ("nvidia-smi/*nvlink*",)),
    "nvme id-ctrl": Target(nvme.parse, "nvme-id-ctrl.json", ("nvme/*id*",), is_json=True),
    "nvme smart-log": Target(nvme.parse_smart_log, "nvme-smart-log.json", ("nvme/*.json",), is_json=True),
    "nvme smart-log as text": Target(nvme.parse_smart_log, "nvme-smart-log.txt", ("nvme/*",)),
    "sas_ircu LIST": Target(sas_ircu.parse_list, "sas3ircu-list.txt", ("sas_ircu/*list*", "sas_ircu/*LIST*")),
    "sas_ircu DISPLAY": Target(sas_ircu.parse, "sas3ircu-display.txt", ("sas_ircu/*display*",)),
    "smartctl": Target(smartctl.parse, "smartctl-[!s]*.json", ("smartctl/*",), is_json=True),
    "smartctl --scan": Target(smartctl.parse_scan, "smartctl-scan.json", ("smartctl/*scan*",), is_json=True),
    "storcli": Target(storcli.parse, "storcli-call.json", ("storcli/*",), is_json=True),
    "storcli drives": Target(_storcli_drives, "storcli-drives.json", ("storcli/*drives*",), is_json=True),
}
