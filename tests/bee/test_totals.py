"""The disks that the QR code, the summary and the page count: the machine's own drives, each once."""

from __future__ import annotations

import pytest

from bee.views.totals import drives

SAS = {"name": "sda", "wwn": "0x5000c5008d3e1ae7", "serial": "Z1", "size_bytes": 4000, "transport": "sas"}
NVME = {"name": "nvme0n1", "wwn": "eui.01", "size_bytes": 1000, "transport": "nvme", "nvme": {"serial": "S1"}}


@pytest.mark.parametrize(
    ("disks", "count", "space"),
    [
        ([], 0, 0),
        ([SAS, SAS | {"name": "sdb"}], 1, 4000),
        ([SAS, SAS | {"name": "sdb", "wwn": "0x5000c5008d3e1aff"}], 2, 8000),
        # Two drives of which nobody knows who they are.
        ([SAS | {"wwn": None}, SAS | {"name": "sdb", "wwn": None, "size_bytes": None}], 2, 4000),
        ([NVME, NVME | {"name": "nvme0n2", "wwn": "eui.02"}], 1, 2000),
        # One namespace by two controllers of one drive.
        ([NVME, NVME | {"name": "nvme1n1"}], 1, 1000),
        ([NVME, NVME | {"name": "nvme1n1", "wwn": "eui.02", "nvme": {"serial": "S2"}}], 2, 2000),
        ([NVME | {"nvme": None}, NVME | {"name": "nvme1n1", "wwn": "eui.02", "nvme": None}], 2, 2000),
        ([SAS, {"name": "sdb", "transport": "usb", "size_bytes": 32000}], 1, 4000),
    ],
)
def test_each_drive_counts_once(disks: list[dict[str, object]], count: int, space: int) -> None:
    assert drives({"disks": disks}) == (count, space)
