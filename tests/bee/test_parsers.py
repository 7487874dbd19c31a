"""What every parser must do with any bytes at all, and with real output that is cut, shuffled or buried in noise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bee.parsers import (
    dmidecode,
    ethtool,
    ipmitool,
    lsblk,
    lspci,
    mstflint,
    nvidia_smi,
    nvme,
    sas_ircu,
    smartctl,
    storcli,
)
from tests.bee.recorded import RECORDINGS

if TYPE_CHECKING:
    from collections.abc import Callable

# Each parser with a recording of its tool; Any, since their records have `notes` alone in common.
PARSERS: dict[str, tuple[Callable[[bytes], Any], str]] = {
    "dmidecode": (dmidecode.parse, "dmidecode-memory.txt"),
    "ethtool": (ethtool.parse, "ethtool.txt"),
    "ipmitool": (ipmitool.parse, "ipmitool-fru.txt"),
    "ipmitool mc info": (ipmitool.parse_fields, "ipmitool-mc-info.txt"),
    "ipmitool sdr": (ipmitool.parse_sensors, "ipmitool-sdr.txt"),
    "ipmitool sel": (ipmitool.parse_events, "ipmitool-sel.txt"),
    "lsblk": (lsblk.parse, "lsblk.json"),
    "lspci": (lspci.parse, "lspci.txt"),
    "mstflint": (mstflint.parse, "mstflint.txt"),
    "nvidia_smi": (nvidia_smi.parse, "nvidia-smi.xml"),
    "nvme": (nvme.parse, "nvme-id-ctrl.json"),
    "nvme smart-log": (nvme.parse_smart_log, "nvme-smart-log.json"),
    "sas_ircu": (sas_ircu.parse, "sas3ircu-display.txt"),
    "smartctl": (smartctl.parse, "smartctl-sda.json"),
    "smartctl --scan": (smartctl.parse_scan, "smartctl-scan.json"),
    "storcli": (storcli.parse, "storcli-call.json"),
    "storcli drives": (lambda data: storcli.parse(sample("storcli"), data), "storcli-drives.json"),
}
JSON_PARSERS = ["lsblk", "nvme", "nvme smart-log", "smartctl", "smartctl --scan", "storcli", "storcli drives"]
every_parser = pytest.mark.parametrize("name", PARSERS)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def sample(name: str) -> bytes:
    return (RECORDINGS / PARSERS[name][1]).read_bytes()


@every_parser
@given(data=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_without_an_exception(name: str, data: bytes) -> None:
    PARSERS[name][0](data)


@every_parser
def test_nothing_gives_an_empty_record(name: str) -> None:
    parse = PARSERS[name][0]
    assert parse(b"") == parse(b"\n")


@every_parser
def test_output_cut_at_any_point_is_read(name: str) -> None:
    data = sample(name)
    for end in range(0, len(data), 7):
        PARSERS[name][0](data[:end])


@every_parser
@given(data=st.data())
def test_lines_dropped_doubled_or_swapped_are_read(name: str, data: st.DataObject) -> None:
    lines = sample(name).split(b"\n")
    for _ in range(data.draw(st.integers(1, 6))):
        at, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "double", "swap"]))
        if change == "swap":
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at : at + 1] = [] if change == "drop" and len(lines) > 1 else [lines[at], lines[at]]
    PARSERS[name][0](b"\n".join(lines))


@every_parser
@given(data=st.data())
def test_bytes_overwritten_at_random_are_read(name: str, data: st.DataObject) -> None:
    changed = bytearray(sample(name))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    PARSERS[name][0](bytes(changed))


@pytest.mark.parametrize("name", JSON_PARSERS)
@given(data=st.data())
@settings(max_examples=200)
def test_known_keys_with_values_of_any_kind_are_read(name: str, data: st.DataObject) -> None:
    document = json.loads(sample(name))

    def scramble(value: object) -> object:
        if data.draw(st.integers(0, 9)) == 0:
            return data.draw(json_values)
        if isinstance(value, dict):
            return {key: scramble(item) for key, item in value.items()}
        if isinstance(value, list):
            return [scramble(item) for item in value]
        return value

    PARSERS[name][0](json.dumps(scramble(document)).encode())


@pytest.mark.parametrize("name", JSON_PARSERS)
@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, b"{" + b'"size": 1' + b"0" * 5000 + b"}", b"{NaN"]
)
def test_json_that_json_itself_cannot_read_is_noted(name: str, data: bytes) -> None:
    assert len(PARSERS[name][0](data).notes) == 1


# Noise that cannot itself be read as a record's beginning or as one of its fields.
_NOISE = st.characters(codec="ascii", exclude_characters="\n\r:\t {[\x0b\x0c\x1c\x1d\x1e")
noise = st.lists(st.text(_NOISE, max_size=20), max_size=5)


@given(before=noise, after=noise)
def test_dmidecode_finds_planted_structures(before: list[str], after: list[str]) -> None:
    planted = (
        "Handle 0x1100, DMI type 17, 84 bytes\nMemory Device\n\tSize: 32 GB\n\tLocator: DIMM_A1\n\n"
        "Handle 0xFFFF, DMI type 127, 4 bytes\nEnd Of Table\n"
    )
    table = dmidecode.parse("\n".join([*before, planted, *after]).encode())
    (found,) = table.of_type(17)
    assert (found.get("Size"), found.get("Locator"), found.handle) == ("32 GB", "DIMM_A1", "0x1100")


@given(before=noise, after=noise)
def test_lspci_finds_planted_functions(before: list[str], after: list[str]) -> None:
    planted = "Slot:\t0000:01:00.0\nClass:\t3D controller [0302]\nDevice:\tGA100 [A100 PCIe 40GB] [20f1]\n"
    functions = lspci.parse("\n".join([*before, "", planted, *after]).encode()).functions
    assert [(f.address, f.device_id, f.device_name) for f in functions] == [
        ("0000:01:00.0", "20f1", "GA100 [A100 PCIe 40GB]")
    ]


@given(before=noise, after=noise)
def test_ipmitool_finds_planted_records(before: list[str], after: list[str]) -> None:
    planted = "FRU Device Description : PS1 (ID 7)\n Board Serial          : SN-1\n"
    (fru,) = ipmitool.parse("\n".join([*before, planted, *after]).encode()).frus
    assert (fru.description, fru.id, fru.get("Board Serial")) == ("PS1", 7, "SN-1")


@pytest.mark.parametrize("name", JSON_PARSERS)
@given(before=noise, after=noise)
def test_json_is_found_between_lines_of_warnings(name: str, before: list[str], after: list[str]) -> None:
    data = sample(name)
    surrounded = "\n".join([*before, data.decode(), *after]).encode()
    assert PARSERS[name][0](surrounded) == PARSERS[name][0](data)


def test_nvidia_smi_cut_in_its_second_gpu_keeps_the_first() -> None:
    text = sample("nvidia_smi").decode()
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


@given(before=noise, after=noise)
def test_ipmitool_finds_planted_sensors_and_events(before: list[str], after: list[str]) -> None:
    planted = "PS2 Status | 71h | cr | 10.2 | Presence detected, Failure detected"
    (sensor,) = ipmitool.parse_sensors("\n".join([*before, planted, *after]).encode()).sensors
    assert (sensor.name, sensor.status, sensor.entity) == ("PS2 Status", "cr", "10.2")
    planted = " 1f | 06/04/2014 | 09:49:51 | Power Supply PS1 Status | Power Supply AC lost | Deasserted"
    (event,) = ipmitool.parse_events("\n".join([*before, planted, *after]).encode()).events
    assert (event.id, event.when, event.asserted) == (0x1F, "2014-06-04T09:49:51", False)


@given(data=st.binary(max_size=300))
def test_any_list_of_sas_controllers_is_read(data: bytes) -> None:
    sas_ircu.parse_list(data)


@given(before=noise, after=noise)
def test_sas_ircu_finds_planted_controllers_and_drives(before: list[str], after: list[str]) -> None:
    planted = sample("sas_ircu").decode()
    (controller,) = sas_ircu.parse("\n".join([planted, *after]).encode()).controllers
    assert (controller.pci_address, len(controller.drives), len(controller.volumes)) == ("0000:af:00.0", 1, 1)
    listed = "   3     SAS3008       1000h   97h    00h:af:00h:00h      15d9h   0808h"
    assert sas_ircu.parse_list("\n".join([*before, listed, *after]).encode()) == (3,)


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


@given(before=noise, after=noise)
def test_mstflint_and_ethtool_find_planted_fields(before: list[str], after: list[str]) -> None:
    image = mstflint.parse("\n".join([*before, "FW Version:            16.35.3006", *after]).encode())
    assert (image.version, image.psid) == ("16.35.3006", None)
    driver = ethtool.parse("\n".join([*before, "firmware-version: 16.35.2000", *after]).encode())
    assert driver.firmware == "16.35.2000"
