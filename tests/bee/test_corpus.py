"""Tool output of real machines that nobody here wrote: all of it is read, and what is in it is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bee.machine import Recorded
from bee.parsers import (
    dmidecode,
    ipmitool,
    lsblk,
    lspci,
    nvlink,
    nvme,
    sas_ircu,
    smartctl,
    storcli,
)
from tests.bee import corpus_table
from tests.bee.parser_cases import CASES
from tests.bee.recorded import audit, exited
from tests.bee.test_audit import errors, serialise

pytestmark = pytest.mark.skipif("BEE_CORPUS" not in os.environ, reason="BEE_CORPUS is not set: no corpus to read")


def corpus(*folders: str) -> list[Path]:
    root = Path(os.environ["BEE_CORPUS"])
    found = sorted(path for folder in folders for path in (root / folder).iterdir())
    assert found
    return found


@pytest.mark.parametrize("name", CASES)
def test_every_parser_reads_every_file_of_every_tool(name: str) -> None:
    for path in sorted(Path(os.environ["BEE_CORPUS"]).rglob("*")):
        if path.is_file():
            # Whole for its own tool; of the others' the beginning is as good as all of it.
            data = path.read_bytes()
            CASES[name].parse(data if path.parent.name.startswith(name[:4]) else data[:20_000])


def test_dmidecode_gives_every_structure_that_was_printed() -> None:
    total = 0
    for path in corpus("dmidecode"):
        data = path.read_bytes()
        printed = data.count(b"\nHandle 0x") + data.startswith(b"Handle 0x")
        table = dmidecode.parse(data)
        # A handle without a body is what a cut or an inactive structure leaves.
        assert printed - 3 <= len(table.structures) <= printed or printed <= 3, path.name
        total += len(table.structures)
    assert total > 20_000


def test_dmidecode_modules_have_sizes_and_populated_slots_add_up() -> None:
    modules = supplies = 0
    for path in corpus("dmidecode"):
        data = path.read_bytes()
        found = audit(
            Recorded(
                {
                    ("dmidecode", "-t", types): exited(("dmidecode", "-t", types), data)
                    for types in ("0,1,2,3,43", "4", "16,17", "39")
                }
            )
        )
        assert errors(serialise(found)) == [], path.name
        assert not [r for c in found.collectors for r in c.reasons if "bee itself failed" in r], path.name
        if found.psu is not None:
            supplies += len(found.psu.supplies)
        if found.memory is None:
            continue
        for slot in found.memory.slots:
            # A module whose size cannot be read is a module lost from the total.
            assert slot.populated is not True or slot.size_bytes, (path.name, slot)
        modules += found.memory.populated
    assert modules > 1500
    assert supplies > 140


def test_smartctl_gives_identity_and_hours_of_every_drive() -> None:
    drives = 0
    for path in corpus("smartctl"):
        drive = smartctl.parse(path.read_bytes())
        if "scan" in path.name or (drive.exit_status or 0) & smartctl.NO_DATA_BITS:
            continue
        assert drive.model, path.name
        assert drive.serial, path.name
        drives += drive.power_on_hours is not None
    assert drives > 130


def test_smartctl_gives_the_wear_of_solid_state_disks() -> None:
    wear = {path.name: smartctl.parse(path.read_bytes()).wear_percent for path in corpus("smartctl")}
    assert sum(1 for percent in wear.values() if percent is not None) > 70
    # The vendor's attribute has fallen to 55.
    worn = next(name for name in wear if "INTEL_SSDSC2KB240G7" in name)
    assert wear[worn] == 45


def test_lsblk_json_gives_devices_and_other_formats_are_noted() -> None:
    for path in corpus("lsblk"):
        found = lsblk.parse(path.read_bytes())
        assert bool(found.devices) == (path.suffix == ".json"), path.name
        assert bool(found.notes) == (path.suffix != ".json"), path.name


def test_lspci_vmm_gives_every_slot() -> None:
    for path in corpus("lspci_vmm"):
        data = path.read_bytes()
        found = lspci.parse(data)
        assert len(found.functions) == data.count(b"Slot:\t"), path.name
        assert found.notes == (), path.name
        assert all(f.class_name or f.class_id for f in found.functions), path.name


def test_ipmitool_gives_every_record() -> None:
    for path in corpus("ipmitool_fru"):
        data = path.read_bytes()
        found = ipmitool.parse(data)
        assert len(found.frus) == data.count(b"FRU Device Description"), path.name
        assert any(fru.fields for fru in found.frus), path.name


def test_ipmitool_gives_the_bmc_and_its_network() -> None:
    texts = {path.name.rpartition("-")[2]: path.read_bytes() for path in corpus("ipmitool_other")}
    identity, lan = (ipmitool.parse_fields(texts[name]) for name in ("bmcInfo.txt", "lanPrint.txt"))
    assert (identity.get("Firmware Revision"), identity.get("Manufacturer Name")) == ("7.00", "Dell Inc.")
    assert (lan.get("IP Address"), lan.get("MAC Address")) == ("10.248.36.246", "0c:c4:7a:ed:3e:27")


def test_nvme_gives_identity_or_health() -> None:
    for path in corpus("nvme"):
        data = path.read_bytes()
        if "id-ctrl" in path.name or "Identify" in path.name:
            assert nvme.parse(data).serial, path.name
        if "smart-log" in path.name:
            log = nvme.parse_smart_log(data)
            assert log.temperature_celsius, path.name
            assert 20 < log.temperature_celsius < 60, path.name
            assert log.power_on_hours, path.name


def test_nvidia_smi_gives_every_gpu_with_identity_and_memory() -> None:
    for path in corpus("nvidia-smi"):
        if not path.name.endswith(".xml"):
            continue
        data = path.read_bytes()
        args = ("nvidia-smi", "-q", "-x")
        found = audit(Recorded({args: exited(args, data)}, links={"/sys/module/nvidia": "/sys/module/nvidia"}))
        assert found.nvidia is not None, path.name
        assert len(found.nvidia.gpus) == data.count(b"<gpu id="), path.name
        for gpu in found.nvidia.gpus:
            assert gpu.pci_address, path.name
            assert gpu.name, path.name
            assert gpu.memory_bytes or b"<fb_memory_usage>" not in data, path.name
        assert errors(serialise(found)) == [], path.name


def test_storcli_gives_every_controller_with_identity_and_every_drive() -> None:
    for path in corpus("storcli"):
        data = path.read_bytes()
        if "drives-info" in path.name:
            continue
        found = storcli.parse(data)
        assert bool(found.controllers) == (b'"Success"' in data), path.name
        assert found.notes == (), path.name
        for controller in found.controllers:
            assert controller.model, path.name
            assert controller.firmware, path.name
            assert controller.pci_address, path.name
            assert controller.drives, path.name
            assert all(d.model and d.size_bytes and d.slot is not None for d in controller.drives), path.name


def test_storcli_joins_drives_with_their_details() -> None:
    controllers, drives = (
        next(path for path in corpus("storcli") if path.name.endswith(f"megaraid-{name}-info.json")).read_bytes()
        for name in ("controllers", "drives")
    )
    (controller,) = storcli.parse(controllers, drives).controllers
    assert len(controller.drives) == 6
    # 0x746c00000 sectors of 512 bytes: a 16 TB drive to the byte.
    assert {d.size_bytes for d in controller.drives} == {0x746C00000 * 512}
    assert all(d.serial and d.wwn and d.media_errors == 0 for d in controller.drives)


def test_sas_ircu_gives_every_drive_and_volume() -> None:
    for path in corpus("sas_ircu"):
        data = path.read_bytes()
        if "display" not in path.name:
            continue
        (controller,) = sas_ircu.parse(data).controllers
        assert controller.firmware, path.name
        assert controller.pci_address, path.name
        assert len(controller.drives) == data.count(b"Device is a Hard disk"), path.name
        assert len(controller.volumes) == data.count(b"\nIR volume "), path.name
        assert all(d.serial and d.size_bytes and d.slot is not None for d in controller.drives), path.name


def test_sas_ircu_lists_controllers() -> None:
    for path in corpus("sas_ircu"):
        if "list" in path.name.lower():
            assert sas_ircu.parse_list(path.read_bytes())[0] == 0, path.name


def test_smartctl_scan_gives_every_device() -> None:
    for path in corpus("smartctl"):
        if "scan" in path.name:
            data = path.read_bytes()
            assert len(smartctl.parse_scan(data).devices) == data.count(b'"info_name"'), path.name


def test_nvlink_gives_every_link_of_every_gpu() -> None:
    for path in corpus("nvidia-smi"):
        data = path.read_bytes()
        if "nvlink" not in path.name:
            continue
        found = nvlink.parse(data)
        assert len(found.gpus) == data.count(b"(UUID: "), path.name
        assert sum(len(gpu.links) for gpu in found.gpus) == data.count(b"GB/s"), path.name


def test_the_page_says_what_the_parsers_find() -> None:
    assert corpus_table.in_page() == corpus_table.markdown(Path(os.environ["BEE_CORPUS"])), (
        "docs/tools.md: python -m tests.bee.corpus_table writes it anew"
    )
