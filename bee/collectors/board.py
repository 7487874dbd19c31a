"""Step 1: BIOS, system, baseboards, chassis, TPM (dmidecode -t 0,1,2,3,43), BMC (ipmitool), Secure Boot (/sys)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.collectors import bmc
from bee.collectors.smbios import Fields, read_table
from bee.collectors.step import Step, bounded
from bee.model import Baseboard, Bios, Bmc, Board, Chassis, System, Tpm
from bee.parsers import ipmitool
from bee.placeholders import known
from bee.quantities import size_bytes, whole

if TYPE_CHECKING:
    from bee.machine import Machine
    from bee.parsers.dmidecode import Structure, Table

# UEFI Specification, 3.3: the variable SecureBoot; the kernel puts four bytes of attributes before its one byte.
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_BMC_COMMANDS = (("mc", "info"), ("lan", "print"))
_TPM = "/sys/class/tpm/tpm0"
_TPM_SPECIFICATIONS = {"1": "1.2", "2": "2.0"}
# What a BMC shows for an address that it does not have.
_NO_ADDRESS = re.compile(r"[0.:]+", re.ASCII)


def collect(step: Step) -> Board | None:
    """All three serials are given (system, baseboard, chassis): vendors differ in which is the machine's."""
    if bmc.is_there(step):
        for words in _BMC_COMMANDS:
            bmc.ask_ahead(step, *words)
    table = read_table(step, "0,1,2,3,43")
    if table is None:
        return None
    notes: list[str] = []
    bios, system = table.of_type(0), table.of_type(1)
    return Board(
        bios=_bios(bios[0], notes) if bios else None,
        system=_system(system[0], notes) if system else None,
        baseboards=tuple(_baseboard(structure, notes) for structure in table.of_type(2)),
        chassis=tuple(_chassis(structure, notes) for structure in table.of_type(3)),
        bmc=_bmc(step, notes),
        tpm=_tpm(step.machine, table, notes),
        secure_boot=_secure_boot(step.machine),
        notes=bounded(notes),
    )


def _bios(structure: Structure, notes: list[str]) -> Bios:
    fields = Fields(structure, notes, "BIOS")
    return Bios(
        vendor=fields.text("Vendor"),
        version=fields.text("Version"),
        release_date=fields.text("Release Date"),
        revision=fields.text("BIOS Revision"),
        firmware_revision=fields.text("Firmware Revision"),
        rom_size_bytes=size_bytes(fields.raw("ROM Size")),
    )


def _system(structure: Structure, notes: list[str]) -> System:
    fields = Fields(structure, notes, "system")
    uuid = fields.text("UUID")
    return System(
        manufacturer=fields.text("Manufacturer"),
        product=fields.text("Product Name"),
        version=fields.text("Version"),
        serial=fields.text("Serial Number"),
        uuid=uuid.lower() if uuid else None,
        sku=fields.text("SKU Number"),
        family=fields.text("Family"),
    )


def _baseboard(structure: Structure, notes: list[str]) -> Baseboard:
    fields = Fields(structure, notes, "baseboard")
    return Baseboard(
        manufacturer=fields.text("Manufacturer"),
        product=fields.text("Product Name"),
        version=fields.text("Version"),
        serial=fields.text("Serial Number"),
        asset_tag=fields.text("Asset Tag"),
        type=fields.text("Type"),
        location=fields.text("Location In Chassis"),
    )


def _chassis(structure: Structure, notes: list[str]) -> Chassis:
    fields = Fields(structure, notes, "chassis")
    return Chassis(
        manufacturer=fields.text("Manufacturer"),
        type=fields.text("Type"),
        version=fields.text("Version"),
        serial=fields.text("Serial Number"),
        asset_tag=fields.text("Asset Tag"),
        sku=fields.text("SKU Number"),
    )


def _tpm(machine: Machine, table: Table, notes: list[str]) -> Tpm | None:
    """The firmware's TPM Device structure (DSP0134, 7.44) and the kernel's device: either may be missing."""
    structures = table.of_type(43)
    major = (machine.read(f"{_TPM}/tpm_version_major") or "").strip()
    driven = bool(machine.names(_TPM))
    if not structures and not driven:
        return None
    fields = Fields(structures[0], notes, "TPM") if structures else None
    stated = fields.text("Specification Version") if fields else None
    seen = _TPM_SPECIFICATIONS.get(major)
    if stated and seen and stated != seen:
        notes.append(f"TPM Specification Version is {stated!r} by dmidecode, {seen!r} by the kernel")
    return Tpm(
        specification=seen or stated,
        vendor=fields.text("Vendor ID") if fields else None,
        firmware=fields.text("Firmware Revision") if fields else None,
        driven=driven,
    )


def _secure_boot(machine: Machine) -> bool | None:
    variable = machine.read(_SECURE_BOOT)
    return {"\0": False, "\1": True}.get(variable[4]) if variable is not None and len(variable) == 5 else None


def _bmc(step: Step, notes: list[str]) -> Bmc | None:
    """The BMC by itself; without ipmitool the psu step says so, and without a BMC there is nothing to say."""
    if not bmc.is_there(step) or not step.machine.has_tool("ipmitool"):
        return None
    identity, lan = (ipmitool.parse_fields(bmc.ask(step, *words)) for words in _BMC_COMMANDS)
    if not identity.fields and not lan.fields:
        return None

    def text(source: ipmitool.Fields, name: str) -> str | None:
        value = source.get(name)
        return None if _NO_ADDRESS.fullmatch(value) else known(f"BMC {name}", value, notes)

    return Bmc(
        manufacturer=text(identity, "Manufacturer Name"),
        manufacturer_id=whole(identity.get("Manufacturer ID"), ""),
        product=text(identity, "Product Name"),
        product_id=whole(identity.get("Product ID").partition(" ")[0], ""),
        firmware=text(identity, "Firmware Revision"),
        ipmi_version=text(identity, "IPMI Version"),
        ip_address=text(lan, "IP Address"),
        ip_source=text(lan, "IP Address Source"),
        subnet_mask=text(lan, "Subnet Mask"),
        gateway=text(lan, "Default Gateway IP"),
        mac=text(lan, "MAC Address"),
        vlan_id=whole(lan.get("802.1q VLAN ID"), ""),
    )
