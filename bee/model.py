"""The records of an audit, field for field what schemas/audit.schema.json describes (meanings and units are there).

None means: not known. `notes` say what could not be read, and which placeholders stood in a field's place.
"""

from __future__ import annotations

from bee.records import dataclass, fields, is_dataclass

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bios:
    vendor: str | None
    version: str | None
    release_date: str | None
    revision: str | None
    firmware_revision: str | None
    rom_size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    manufacturer: str | None
    product: str | None
    version: str | None
    serial: str | None
    uuid: str | None
    sku: str | None
    family: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseboard:
    manufacturer: str | None
    product: str | None
    version: str | None
    serial: str | None
    asset_tag: str | None
    type: str | None
    location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chassis:
    manufacturer: str | None
    type: str | None
    version: str | None
    serial: str | None
    asset_tag: str | None
    sku: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bmc:
    manufacturer: str | None
    manufacturer_id: int | None
    product: str | None
    product_id: int | None
    firmware: str | None
    ipmi_version: str | None
    ip_address: str | None
    ip_source: str | None
    subnet_mask: str | None
    gateway: str | None
    mac: str | None
    vlan_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tpm:
    specification: str | None
    vendor: str | None
    firmware: str | None
    driven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    bios: Bios | None
    system: System | None
    baseboards: tuple[Baseboard, ...]
    chassis: tuple[Chassis, ...]
    bmc: Bmc | None
    tpm: Tpm | None
    secure_boot: bool | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    socket: str | None
    populated: bool | None
    enabled: bool | None
    status: str | None
    manufacturer: str | None
    model: str | None
    family: str | None
    signature: str | None
    cpuid: str | None
    family_number: int | None
    model_number: int | None
    stepping: int | None
    cores: int | None
    cores_enabled: int | None
    threads: int | None
    current_speed_mhz: int | None
    max_speed_mhz: int | None
    external_clock_mhz: int | None
    voltage_volts: float | None
    upgrade: str | None
    serial: str | None
    part_number: str | None
    asset_tag: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    sockets: tuple[Socket, ...]
    populated: int
    unpopulated: int
    disabled: int
    cores: int | None
    cores_enabled: int | None
    threads: int | None
    microcodes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryArray:
    location: str | None
    error_correction: str | None
    max_capacity_bytes: int | None
    slots: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    locator: str | None
    bank: str | None
    populated: bool | None
    size_bytes: int | None
    form_factor: str | None
    type: str | None
    type_detail: str | None
    speed_mts: int | None
    configured_speed_mts: int | None
    manufacturer: str | None
    jedec_id: str | None
    serial: str | None
    part_number: str | None
    asset_tag: str | None
    ranks: int | None
    total_width_bits: int | None
    data_width_bits: int | None
    ecc: bool | None
    configured_voltage_volts: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    total_bytes: int
    populated: int
    slots: tuple[Slot, ...]
    arrays: tuple[MemoryArray, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    kind: str | None
    status: str | None
    passed: bool | None
    power_on_hours: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Smart:
    protocol: str | None
    passed: bool | None
    exit_status: int | None
    temperature_celsius: int | None
    power_on_hours: int | None
    power_cycles: int | None
    wear_percent: int | None
    reallocated_sectors: int | None
    pending_sectors: int | None
    offline_uncorrectable_sectors: int | None
    uncorrected_errors: int | None
    media_errors: int | None
    crc_errors: int | None
    grown_defects: int | None
    error_log_entries: int | None
    read_bytes: int | None
    written_bytes: int | None
    rotation_rpm: int | None
    interface_speed_gbps: float | None
    self_tests: tuple[SelfTest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvme:
    controller: str
    model: str | None
    serial: str | None
    firmware: str | None
    vendor_id: str | None
    nvme_version: str | None
    capacity_bytes: int | None
    critical_warning: int | None
    temperature_celsius: int | None
    available_spare_percent: int | None
    spare_threshold_percent: int | None
    wear_percent: int | None
    power_on_hours: int | None
    power_cycles: int | None
    unsafe_shutdowns: int | None
    media_errors: int | None
    error_log_entries: int | None
    read_bytes: int | None
    written_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    name: str
    model: str | None
    vendor: str | None
    serial: str | None
    wwn: str | None
    firmware: str | None
    size_bytes: int | None
    logical_sector_bytes: int | None
    physical_sector_bytes: int | None
    rotational: bool | None
    removable: bool | None
    transport: str | None
    hctl: str | None
    slot: str | None
    pci_address: str | None
    smart: Smart | None
    nvme: Nvme | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaidMember:
    device: str
    type: str
    model: str | None
    vendor: str | None
    serial: str | None
    wwn: str | None
    firmware: str | None
    size_bytes: int | None
    logical_sector_bytes: int | None
    physical_sector_bytes: int | None
    smart: Smart | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaidEnclosure:
    id: int | None
    status: str | None
    slots: int | None
    drives: int | None
    product: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaidVolume:
    id: str | None
    name: str | None
    level: str | None
    status: str | None
    size_bytes: int | None
    wwid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaidDrive:
    enclosure: int | None
    slot: int | None
    status: str | None
    model: str | None
    serial: str | None
    wwn: str | None
    firmware: str | None
    size_bytes: int | None
    sector_bytes: int | None
    protocol: str | None
    medium: str | None
    media_errors: int | None
    predictive_failures: int | None
    smart_alert: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaidController:
    tool: str
    index: int | None
    model: str | None
    serial: str | None
    firmware: str | None
    firmware_package: str | None
    bios: str | None
    driver: str | None
    driver_version: str | None
    pci_address: str | None
    status: str | None
    battery: str | None
    enclosures: tuple[RaidEnclosure, ...]
    volumes: tuple[RaidVolume, ...]
    drives: tuple[RaidDrive, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    disks: tuple[Disk, ...]
    raid_members: tuple[RaidMember, ...]
    raid_controllers: tuple[RaidController, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    width: int | None
    max_width: int | None
    speed_gts: float | None
    max_speed_gts: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    name: str
    mac: str | None
    state: str | None
    carrier: bool | None
    speed_mbps: int | None
    firmware: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFirmware:
    version: str | None
    product_version: str | None
    release_date: str | None
    psid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PciDevice:
    address: str
    class_id: str | None
    class_name: str | None
    vendor_id: str | None
    vendor_name: str | None
    device_id: str | None
    device_name: str | None
    subsystem_vendor_id: str | None
    subsystem_vendor_name: str | None
    subsystem_id: str | None
    subsystem_name: str | None
    revision: str | None
    physical_slot: str | None
    driver: str | None
    numa_node: int | None
    upstream_port: str | None
    link: Link | None
    interfaces: tuple[Interface, ...]
    firmware: AdapterFirmware | None
    gpu_uuid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pcie:
    devices: tuple[PciDevice, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FruChassis:
    type: str | None
    part_number: str | None
    serial: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FruBoard:
    manufactured: str | None
    manufacturer: str | None
    product: str | None
    serial: str | None
    part_number: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FruProduct:
    manufacturer: str | None
    name: str | None
    part_number: str | None
    version: str | None
    serial: str | None
    asset_tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FruField:
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fru:
    id: int | None
    description: str
    present: bool | None
    power_supply: bool
    chassis: FruChassis | None
    board: FruBoard | None
    product: FruProduct | None
    capacity_watts: int | None
    other: tuple[FruField, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    name: str
    present: bool | None
    manufacturer: str | None
    model: str | None
    serial: str | None
    part_number: str | None
    revision: str | None
    capacity_watts: int | None
    location: str | None
    status: str | None
    plugged: bool | None
    hot_replaceable: bool | None
    fru_id: int | None
    sources: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    name: str
    status: str
    entity: str
    reading: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelEvent:
    id: int
    occurred_at: str | None
    sensor: str
    event: str
    asserted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Psu:
    supplies: tuple[Supply, ...]
    frus: tuple[Fru, ...]
    sensors: tuple[Sensor, ...]
    sel_entries: int | None
    sel_critical: tuple[SelEvent, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuEcc:
    enabled: bool | None
    volatile_corrected: int | None
    volatile_uncorrected: int | None
    aggregate_corrected: int | None
    aggregate_uncorrected: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLink:
    width: int | None
    max_width: int | None
    generation: int | None
    max_generation: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRemappedRows:
    corrected: int | None
    uncorrected: int | None
    pending: bool | None
    failed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRetiredPages:
    single_bit: int | None
    double_bit: int | None
    pending: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MigDevice:
    index: int | None
    gpu_instance: int | None
    compute_instance: int | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NvLink:
    number: int
    active: bool | None
    speed_gigabytes_per_second: float | None
    replay_errors: int | None
    recovery_errors: int | None
    crc_errors: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    pci_address: str | None
    on_bus: bool
    name: str | None
    uuid: str | None
    serial: str | None
    part_number: str | None
    vbios: str | None
    architecture: str | None
    memory_bytes: int | None
    memory_used_bytes: int | None
    temperature_celsius: int | None
    memory_temperature_celsius: int | None
    slowdown_temperature_celsius: int | None
    shutdown_temperature_celsius: int | None
    power_draw_watts: float | None
    power_limit_watts: float | None
    power_limit_default_watts: float | None
    power_limit_max_watts: float | None
    throttle_reasons: tuple[str, ...]
    performance_state: str | None
    persistence_mode: bool | None
    mig_enabled: bool | None
    mig_devices: tuple[MigDevice, ...]
    ecc: GpuEcc
    remapped_rows: GpuRemappedRows | None
    retired_pages: GpuRetiredPages | None
    link: GpuLink
    nvlinks: tuple[NvLink, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvidia:
    driver_version: str | None
    cuda_version: str | None
    gpus: tuple[Gpu, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    hostname: str | None
    kernel: str | None
    architecture: str | None
    boot_mode: str | None
    cpu_model: str | None
    logical_cpus: int | None
    microcode: str | None
    memory_bytes: int | None
    root: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    args: tuple[str, ...]
    outcome: str
    exit_code: int | None
    signal: int | None
    seconds: float
    left_behind: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    name: str
    status: str
    reasons: tuple[str, ...]
    seconds: float
    tools: tuple[ToolRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    severity: str
    component: str
    rule: str
    evidence: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    schema_version: int
    bee_version: str
    started_at: str
    seconds: float
    notes: tuple[str, ...]
    host: Host
    board: Board | None
    cpu: Cpu | None
    memory: Memory | None
    storage: Storage | None
    pcie: Pcie | None
    psu: Psu | None
    nvidia: Nvidia | None
    collectors: tuple[Collector, ...]
    findings: tuple[Finding, ...] = ()


_MAX_STRING = 500


def to_json(value: object) -> object:
    """A record as what json.dumps takes.

    Strings come from firmware, where nothing is trusted: what a terminal or a UTF-8 encoder would choke on (control
    characters, lone surrogates) becomes U+FFFD, and they end after 500 characters.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, str):
        return printable(value)
    return value


def printable(text: str) -> str:
    """`text` with every character that is not printable replaced by U+FFFD, at most 500 characters of it."""
    if len(text) > _MAX_STRING:
        text = text[: _MAX_STRING - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
