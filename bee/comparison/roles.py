"""What each field of an audit is for whoever compares audits: an identity, a place, a fact, wear, a measurement.

The one place for it: `bee diff` and `bee expect` read it, a test holds it to the records of bee/model.py, and which
fields are identities by their name is bee/redaction.py's knowledge.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import get_type_hints

from bee import model
from bee.records import fields
from bee.redaction import is_identity


class Role(Enum):
    """What a difference in a field means."""

    IDENTITY = auto()  # tells this part, or this machine's set-up, from others of its kind
    PLACE = auto()  # where the part is: a slot, a bay, an address
    LABEL = auto()  # a name or number given at boot, which says nothing
    FACT = auto()  # what the part is, and how it is set up
    FIRMWARE = auto()  # what flashing changes
    SOFTWARE = auto()  # what comes with the system that was booted, not with the machine
    STATE = auto()  # a word of a tool or the firmware for how the part does
    MORE_IS_WORSE = auto()  # a count of damage, or a flag that is bad to have
    LESS_IS_WORSE = auto()  # what the part offers: lanes, speed, spare, a flag that is good to have
    REMAINING = auto()  # what wear takes away: less is worse, and how much is left is each part's own
    ROUGH = auto()  # as LESS_IS_WORSE, and a few percent say nothing
    MEASURED = auto()  # changes by itself: temperatures, clocks, hours, data written
    REPEATED = auto()  # says again what another field says, or what the list of parts does
    REMARK = auto()  # how the audit itself went


# Identities that no name gives away.
_IDENTITIES: dict[type, str] = {
    model.Bmc: "ip_address ip_source subnet_mask gateway vlan_id",
    model.FruBoard: "manufactured",
    model.RaidVolume: "name",
    # The owner's and the maker's own fields: any may be a number of this one part.
    model.FruField: "value",
}

_TABLE: dict[type, dict[Role, str]] = {
    model.Bios: {
        Role.FACT: "vendor rom_size_bytes",
        Role.FIRMWARE: "version release_date revision firmware_revision",
    },
    model.System: {Role.FACT: "manufacturer product version sku family"},
    model.Baseboard: {Role.FACT: "manufacturer product version type", Role.PLACE: "location"},
    model.Chassis: {Role.FACT: "manufacturer type version sku"},
    model.Bmc: {
        Role.FACT: "manufacturer manufacturer_id product product_id",
        Role.FIRMWARE: "firmware ipmi_version",
    },
    model.Tpm: {Role.FACT: "specification vendor", Role.FIRMWARE: "firmware", Role.LESS_IS_WORSE: "driven"},
    model.Board: {Role.FACT: "secure_boot", Role.REMARK: "notes"},
    model.Socket: {
        Role.PLACE: "socket",
        Role.FACT: "populated manufacturer model family family_number model_number stepping max_speed_mhz"
        " external_clock_mhz upgrade part_number",
        Role.LESS_IS_WORSE: "enabled cores cores_enabled threads",
        Role.MEASURED: "current_speed_mhz voltage_volts",
        Role.REPEATED: "status signature cpuid",
        Role.REMARK: "notes",
    },
    model.Cpu: {
        Role.FIRMWARE: "microcodes",
        Role.REPEATED: "populated unpopulated disabled cores cores_enabled threads",
        Role.REMARK: "notes",
    },
    model.MemoryArray: {Role.PLACE: "location", Role.FACT: "error_correction max_capacity_bytes slots"},
    model.Slot: {
        Role.PLACE: "locator bank",
        Role.FACT: "populated size_bytes form_factor type type_detail speed_mts manufacturer part_number ranks"
        " total_width_bits data_width_bits",
        Role.LESS_IS_WORSE: "configured_speed_mts ecc",
        Role.MEASURED: "configured_voltage_volts",
        Role.REPEATED: "jedec_id",
        Role.REMARK: "notes",
    },
    model.Memory: {Role.LESS_IS_WORSE: "total_bytes", Role.REPEATED: "populated", Role.REMARK: "notes"},
    model.Smart: {
        Role.FACT: "protocol rotation_rpm",
        Role.LESS_IS_WORSE: "interface_speed_gbps",
        Role.REMAINING: "passed",
        Role.MORE_IS_WORSE: "wear_percent reallocated_sectors pending_sectors offline_uncorrectable_sectors"
        " uncorrected_errors media_errors crc_errors grown_defects",
        Role.MEASURED: "exit_status temperature_celsius power_on_hours power_cycles error_log_entries read_bytes"
        " written_bytes self_tests",
    },
    model.SelfTest: {Role.MEASURED: "kind status passed power_on_hours"},
    model.Nvme: {
        Role.LABEL: "controller",
        Role.FACT: "vendor_id nvme_version spare_threshold_percent",
        Role.MORE_IS_WORSE: "critical_warning wear_percent media_errors",
        Role.REMAINING: "available_spare_percent",
        Role.REPEATED: "model firmware capacity_bytes",
        Role.MEASURED: "temperature_celsius power_on_hours power_cycles unsafe_shutdowns error_log_entries read_bytes"
        " written_bytes",
    },
    model.Disk: {
        Role.LABEL: "name",
        Role.PLACE: "slot pci_address hctl",
        Role.FACT: "model vendor size_bytes logical_sector_bytes physical_sector_bytes rotational removable transport",
        Role.FIRMWARE: "firmware",
        Role.REMARK: "notes",
    },
    model.RaidMember: {
        Role.LABEL: "device",
        Role.PLACE: "type",
        Role.FACT: "model vendor size_bytes logical_sector_bytes physical_sector_bytes",
        Role.FIRMWARE: "firmware",
        Role.REMARK: "notes",
    },
    model.RaidEnclosure: {Role.PLACE: "id", Role.STATE: "status", Role.FACT: "slots product", Role.REPEATED: "drives"},
    model.RaidVolume: {Role.PLACE: "id", Role.FACT: "level size_bytes", Role.STATE: "status"},
    model.RaidDrive: {
        Role.PLACE: "enclosure slot",
        Role.STATE: "status",
        Role.FACT: "model size_bytes sector_bytes protocol medium",
        Role.FIRMWARE: "firmware",
        Role.MORE_IS_WORSE: "media_errors predictive_failures smart_alert",
    },
    model.RaidController: {
        Role.LABEL: "index",
        Role.PLACE: "pci_address",
        Role.FACT: "model",
        Role.FIRMWARE: "firmware firmware_package bios",
        Role.SOFTWARE: "tool driver driver_version",
        Role.STATE: "status battery",
        Role.REMARK: "notes",
    },
    model.Storage: {Role.REMARK: "notes"},
    model.Link: {Role.LESS_IS_WORSE: "width speed_gts", Role.FACT: "max_width max_speed_gts"},
    model.Interface: {
        Role.LABEL: "name",
        Role.LESS_IS_WORSE: "carrier speed_mbps",
        Role.FIRMWARE: "firmware",
        Role.REPEATED: "state",
    },
    model.AdapterFirmware: {Role.FIRMWARE: "version product_version release_date", Role.FACT: "psid"},
    model.PciDevice: {
        Role.PLACE: "address",
        Role.FACT: "class_id vendor_id device_id subsystem_vendor_id subsystem_id revision numa_node",
        Role.SOFTWARE: "driver",
        Role.REPEATED: "class_name vendor_name device_name subsystem_vendor_name subsystem_name physical_slot"
        " upstream_port gpu_uuid",
    },
    model.Pcie: {Role.REMARK: "notes"},
    model.FruChassis: {Role.FACT: "type part_number"},
    model.FruBoard: {Role.FACT: "manufacturer product part_number"},
    model.FruProduct: {Role.FACT: "manufacturer name part_number version"},
    model.FruField: {Role.PLACE: "name"},
    model.Fru: {
        Role.PLACE: "id description",
        Role.FACT: "present power_supply capacity_watts",
        Role.REMARK: "notes",
    },
    model.Supply: {
        Role.PLACE: "name location",
        Role.FACT: "present manufacturer model part_number revision capacity_watts hot_replaceable",
        Role.STATE: "status",
        Role.LESS_IS_WORSE: "plugged",
        Role.LABEL: "fru_id",
        Role.REMARK: "sources notes",
    },
    # What they say that matters is a finding.
    model.Sensor: {Role.MEASURED: "name status entity reading"},
    model.SelEvent: {Role.MEASURED: "id occurred_at sensor event asserted"},
    model.Psu: {Role.MEASURED: "sensors sel_entries sel_critical", Role.REMARK: "notes"},
    model.GpuEcc: {
        Role.LESS_IS_WORSE: "enabled",
        Role.MORE_IS_WORSE: "aggregate_corrected aggregate_uncorrected",
        # Since the driver was loaded: a restart is no repair. The aggregate counts have them too.
        Role.MEASURED: "volatile_corrected volatile_uncorrected",
    },
    # An idle GPU lowers the generation by itself.
    model.GpuLink: {
        Role.LESS_IS_WORSE: "width",
        Role.FACT: "max_width max_generation",
        Role.MEASURED: "generation",
    },
    model.GpuRemappedRows: {Role.MORE_IS_WORSE: "corrected uncorrected pending failed"},
    model.GpuRetiredPages: {Role.MORE_IS_WORSE: "single_bit double_bit pending"},
    model.MigDevice: {Role.PLACE: "index", Role.FACT: "gpu_instance compute_instance memory_bytes"},
    # Its counters are since the driver was loaded.
    model.NvLink: {
        Role.PLACE: "number",
        Role.LESS_IS_WORSE: "active speed_gigabytes_per_second",
        Role.MEASURED: "replay_errors recovery_errors crc_errors",
    },
    model.Gpu: {
        Role.PLACE: "pci_address",
        Role.FACT: "name part_number architecture slowdown_temperature_celsius shutdown_temperature_celsius"
        " power_limit_watts power_limit_default_watts power_limit_max_watts persistence_mode mig_enabled",
        Role.LESS_IS_WORSE: "memory_bytes",
        Role.REPEATED: "on_bus",
        Role.FIRMWARE: "vbios",
        Role.MEASURED: "memory_used_bytes temperature_celsius memory_temperature_celsius power_draw_watts"
        " throttle_reasons performance_state",
        Role.REMARK: "notes",
    },
    model.Nvidia: {Role.SOFTWARE: "driver_version cuda_version", Role.REMARK: "notes"},
    model.Host: {
        Role.FACT: "architecture boot_mode cpu_model",
        Role.SOFTWARE: "kernel",
        Role.LESS_IS_WORSE: "logical_cpus",
        Role.ROUGH: "memory_bytes",
        Role.REPEATED: "microcode",
        Role.REMARK: "root",
    },
    model.ToolRun: {Role.REMARK: "args outcome exit_code signal seconds left_behind"},
    model.Collector: {Role.REMARK: "name status reasons seconds tools"},
    # Findings are compared as a whole, by rule and component.
    model.Finding: {Role.REMARK: "severity component rule evidence action"},
    model.Audit: {Role.REMARK: "schema_version bee_version started_at seconds notes collectors findings"},
}

# How much of ROUGH may come and go: kernels keep more or less of memory for themselves.
ROUGH_SHARE = 0.02


def _of(record: type) -> dict[str, Role]:
    listed = {name: role for role, names in _TABLE[record].items() for name in names.split()}
    identities = _IDENTITIES.get(record, "").split()
    named = [field.name for field in fields(record) if is_identity(field.name) and field.name not in listed]
    return {**listed, **dict.fromkeys([*identities, *named], Role.IDENTITY)}


_ROLES = {record: _of(record) for record in _TABLE}
_HINTS: dict[type, dict[str, object]] = {}


def roles(record: type) -> dict[str, Role]:
    """The role of each field of `record`; a field that holds other records to be compared has none."""
    return _ROLES[record]


def hints(record: type) -> dict[str, object]:
    """The types of the fields of `record`, by name, in their order."""
    if record not in _HINTS:
        _HINTS[record] = get_type_hints(record)
    return _HINTS[record]
