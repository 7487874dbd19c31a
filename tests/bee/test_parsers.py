"""Forms in which the tools have printed their facts; what holds for all parsers is in test_parser_properties.py."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bee.parsers import ipmitool, lsblk, lspci, nvidia_smi, nvme, smartctl
from tests.bee.parser_cases import CASES


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.json])
@pytest.mark.parametrize(
    "data", [b"{" * 100_000, b'{"a":' * 100_000, b"{" + b'"size": 1' + b"0" * 5000 + b"}", b"{NaN"]
)
def test_json_that_json_itself_cannot_read_is_noted(name: str, data: bytes) -> None:
    assert CASES[name].parse(data).notes


def test_nvidia_smi_cut_in_its_second_gpu_keeps_the_first() -> None:
    text = CASES["nvidia-smi"].sample().decode()
    gpu = text[text.index("\t<gpu ") : text.index("</nvidia_smi_log>")]
    doubled = text.replace(gpu, gpu + gpu.replace("01:00.0", "02:00.0"))
    report = nvidia_smi.parse(doubled[: doubled.rindex("<vbios_version>")].encode())
    assert [element.value("pci/pci_bus_id") for element in report.gpus] == ["00000000:01:00.0", ""]
    assert report.gpus[1].attributes["id"] == "00000000:02:00.0"
    assert len(report.notes) == 1
    assert report.notes[0].startswith("the XML is broken at line")


def test_nvidia_smi_refuses_to_expand_entities() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><nvidia_smi_log><gpu>&b;</gpu></nvidia_smi_log>'
    assert nvidia_smi.parse(bomb).notes == ("the XML cannot be read: it declares the entity 'a'",)


def test_nvidia_smi_refuses_to_nest_without_end() -> None:
    assert nvidia_smi.parse(b"<a>" * 10_000).notes == ("the XML cannot be read: elements nest deeper than 64",)


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("65:00.0", "0000:65:00.0"),
        ("0000:65:00.1", "0000:65:00.1"),
        ("00000000:C1:00.0", "0000:c1:00.0"),
        ("10000:01:00.0", "10000:01:00.0"),
        ("65:00.8", None),
        ("", None),
    ],
)
def test_pci_addresses_have_one_form(address: str, normal: str | None) -> None:
    assert lspci.normalise(address) == normal


def test_lspci_reads_every_form_of_names_and_ids() -> None:
    text = "Slot:\t01:00.0\nClass:\t0302\nVendor:\tNVIDIA Corporation\nDevice:\tDevice [2330]\nSDevice:\tDevice 16c1\n"
    (function,) = lspci.parse(text.encode()).functions
    assert (function.class_id, function.class_name) == ("0302", None)
    assert (function.vendor_name, function.vendor_id) == ("NVIDIA Corporation", None)
    assert (function.device_name, function.device_id) == (None, "2330")
    assert function.subsystem_name is None


def test_lsblk_before_its_numbers_were_numbers() -> None:
    text = b'{"blockdevices": [{"name": "sda", "size": "480103981056", "rota": "1", "rm": "0", "type": "disk"}]}'
    (disk,) = lsblk.parse(text).devices
    assert (disk.size_bytes, disk.rotational, disk.removable) == (480103981056, True, False)


def test_nvme_text_and_json_say_the_same() -> None:
    text = (
        b"Smart Log for NVME device:nvme0 namespace-id:ffffffff\ncritical_warning                    : 0x4\n"
        b"temperature                         : 35 \xc2\xb0C (308 K)\navailable_spare : 100%\n"
        b"available_spare_threshold : 10%\npercentage_used : 2%\ndata_units_read : 4,002,753 (2.05 TB)\n"
    )
    log = nvme.parse_smart_log(text)
    assert (log.critical_warning, log.temperature_celsius, log.available_spare_percent) == (4, 35, 100)
    assert (log.spare_threshold_percent, log.wear_percent, log.read_bytes) == (10, 2, 4002753 * 512_000)


@pytest.mark.parametrize("warning", ["4", '"4"', "4.0", '{"value": 4, "ro": 0}'])
def test_nvme_critical_warning_in_each_of_its_forms(warning: str) -> None:
    assert nvme.parse_smart_log(f'{{"critical_warning": {warning}}}'.encode()).critical_warning == 4


@example(naa=5, oui=9528, number=60129542145)
@given(naa=st.integers(0, 15), oui=st.integers(0, 2**24 - 1), number=st.integers(0, 2**36 - 1))
def test_smartctl_wwn_is_the_number_that_lsblk_shows(naa: int, oui: int, number: int) -> None:
    wwn = smartctl.parse(json.dumps({"wwn": {"naa": naa, "oui": oui, "id": number}}).encode()).wwn
    assert wwn is not None
    assert int(wwn, 16) == (naa << 60) | (oui << 36) | number


@pytest.mark.parametrize(
    ("printed", "when"),
    [
        ("06/04/2014 | 09:49:51", "2014-06-04T09:49:51"),
        ("06/04/14 | 09:49:51 UTC", "2014-06-04T09:49:51"),
        ("02/04/2026 | 12:28:24 PM -03", "2026-02-04T12:28:24"),
        ("02/04/2026 | 12:28:24 AM EST", "2026-02-04T00:28:24"),
        ("02/04/2026 | 11:28:24 PM EST", "2026-02-04T23:28:24"),
        ("Pre-Init |0000000093", None),
    ],
)
def test_ipmitool_dates_of_every_version(printed: str, when: str | None) -> None:
    (event,) = ipmitool.parse_events(f" 1 | {printed} | Fan FAN3 | Lower Critical going low | Asserted".encode()).events
    assert event.when == when


@pytest.mark.parametrize(
    ("log", "result", "passed"),
    [
        ("nvme", 0, True),
        ("nvme", 3, None),
        ("nvme", 4, None),
        ("nvme", 5, False),
        ("nvme", 7, False),
        ("nvme", 9, None),
        ("scsi", 0, True),
        ("scsi", 1, None),
        ("scsi", 3, False),
        ("scsi", 4, False),
        ("scsi", 15, None),
    ],
)
def test_a_self_test_that_was_aborted_has_not_failed(log: str, result: int, passed: bool | None) -> None:
    rows = {
        "nvme": {"nvme_self_test_log": {"table": [{"self_test_result": {"value": result}}]}},
        "scsi": {"scsi_self_test_0": {"result": {"value": result}}},
    }
    [test] = smartctl.parse(json.dumps(rows[log]).encode()).self_tests
    assert test.passed is passed


@pytest.mark.parametrize(
    ("number", "name", "read"),
    [
        (5, "Reallocated_Sector_Ct", True),
        (5, "Retired_Block_Count", True),
        (5, "Reallocate_NAND_Blk_Cnt", True),
        (5, "Later_Bad_Block", True),
        (187, "Reported_UE_Counts", True),
        (187, "Uncorrectable_Error_Cnt", True),
        (187, "Total_Unc_NAND_Reads", False),
        (197, "Current_Pending_ECC_Cnt", True),
        (197, "Bogus_Current_Pend_Sect", False),
        (197, "Total_Unc_Read_Failures", False),
        (198, "Offline_Uncorrectable", True),
        (198, "Host_Reads_GiB", False),
        (199, "UDMA_CRC_Error_Count", True),
        (199, "SATA_CRC_Error", True),
        (199, "Host_Writes_GiB", False),
        (199, "Write_Sectors_Tot_Ct", False),
        (199, None, True),
    ],
)
def test_smartctl_attributes_are_what_its_database_calls_them(number: int, name: str | None, read: bool) -> None:
    attribute = {"id": number, "raw": {"value": 10240, "string": "10240"}} | ({"name": name} if name else {})
    smart = smartctl.parse(json.dumps({"ata_smart_attributes": {"table": [attribute]}}).encode())
    fields = {
        5: smart.reallocated_sectors,
        187: smart.uncorrected_errors,
        197: smart.pending_sectors,
        198: smart.offline_uncorrectable_sectors,
        199: smart.crc_errors,
    }
    assert fields[number] == (10240 if read else None)
