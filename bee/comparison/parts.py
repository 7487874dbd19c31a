"""The parts of a machine as they stand in an audit's lists: what each is called, where it sits, what tells it apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bee import gpus, model
from bee.comparison.roles import Role, roles
from bee.model import PciDevice
from bee.quantities import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bee.model import Audit

_NVME_CLASS = "0108"
_HOST = re.compile(r"\d+:(?=\d+:\d+:\d+)")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of part.

    Attributes:
        noun: what people call it.
        keys: the fields that tell it from any other in the world, the surest first.
        name: the field by which a line calls it, where one is better than its place.
        model: the fields that say what it is.
        present: the field that says whether there is anything at all in this slot or bay.
        listed_by: the tools without which the list is not complete.
    """

    noun: str
    keys: tuple[str, ...] = ()
    name: str | None = None
    model: tuple[str, ...] = ()
    present: str | None = None
    listed_by: tuple[tuple[str, ...], ...] = ()


KINDS: dict[type, Kind] = {
    model.Gpu: Kind("GPU", ("uuid", "serial"), None, ("name",), None, (("nvidia-smi",),)),
    model.MigDevice: Kind("MIG device"),
    model.NvLink: Kind("NVLink"),
    model.RaidController: Kind(
        "RAID controller",
        ("serial",),
        None,
        ("model",),
        None,
        (("storcli64",), ("sas2ircu",), ("sas3ircu",)),
    ),
    model.RaidDrive: Kind("drive", ("wwn", "serial"), None, ("model", "size_bytes")),
    model.RaidVolume: Kind("volume", ("wwid",), None, ("level", "name", "size_bytes")),
    model.RaidEnclosure: Kind("enclosure", (), None, ("product",)),
    model.Disk: Kind("disk", ("wwn", "serial"), "name", ("vendor", "model", "size_bytes"), None, (("lsblk",),)),
    model.RaidMember: Kind(
        "RAID member", ("wwn", "serial"), None, ("vendor", "model", "size_bytes"), None, (("smartctl", "-j", "--scan"),)
    ),
    model.Slot: Kind(
        "memory module",
        ("serial",),
        None,
        ("manufacturer", "part_number", "size_bytes"),
        "populated",
        (("dmidecode", "-t", "16,17"),),
    ),
    model.MemoryArray: Kind("memory array", (), None, (), None, (("dmidecode", "-t", "16,17"),)),
    model.Socket: Kind("processor", ("serial",), None, ("model",), "populated", (("dmidecode", "-t", "4"),)),
    model.Baseboard: Kind("baseboard", ("serial",), None, ("manufacturer", "product"), None, (("dmidecode",),)),
    model.Chassis: Kind("chassis", ("serial",), None, ("manufacturer", "type"), None, (("dmidecode",),)),
    model.Supply: Kind(
        "power supply",
        ("serial",),
        "name",
        ("manufacturer", "model"),
        "present",
        (("dmidecode", "-t", "39"), ("ipmitool", "fru")),
    ),
    model.Fru: Kind("FRU", (), "description", (), "present", (("ipmitool", "fru"),)),
    model.FruField: Kind("field"),
    model.Interface: Kind("interface", ("mac",), "name"),
    model.PciDevice: Kind("PCI function", (), "address", ("vendor_name", "device_name"), None, (("lspci",),)),
}


_DRIVES = (model.Disk, model.RaidDrive, model.RaidMember)


def listed_as(kind: type | None, other: type | None) -> bool:
    """Whether a part in a list of one kind may be the very part in a list of the other, if their identities agree."""
    return kind is not other and (kind in {model.PciDevice, model.Fru} or (kind in _DRIVES and other in _DRIVES))


def strings(part: object, names: Iterable[str]) -> tuple[str | None, ...]:
    """The values of these fields as text, None where one is not known."""
    return tuple(None if (value := getattr(part, name)) is None else str(value) for name in names)


def model_words(part: object) -> list[str]:
    """What a part is, as far as it is known, sizes as people say them."""
    said = []
    for name in KINDS[type(part)].model:
        value = getattr(part, name)
        if name == "size_bytes":
            value = size(value, decimal=not isinstance(part, model.Slot), missing="")
        said += [str(value)] if value else []
    return said


def place_fields(record: type) -> tuple[str, ...]:
    """The fields that say where a part of this kind is."""
    return tuple(name for name, role in roles(record).items() if role is Role.PLACE)


class Surroundings:
    """What one must know of the whole audit to say where a part is and who it is."""

    def __init__(self, audit: Audit, *, with_paths: bool) -> None:
        devices = audit.pcie.devices if audit.pcie else ()
        self._paths = pci_paths(devices) if with_paths else {}
        self._by_address: dict[str, set[str]] = {}
        for address, keys in _on_the_bus(audit):
            self._by_address.setdefault(address, set()).update(keys)
        self.with_gpu = gpus.with_ports(devices)

    def place(self, part: object) -> tuple[str | None, ...]:
        """Where a part is, by what stays when a card elsewhere moves the numbers of all buses.

        Another card in the same PCI slot is another part: its ids follow the place.
        """
        place = strings(part, place_fields(type(part)))
        place = tuple(value if value is None else self._paths.get(value, value) for value in place)
        if isinstance(part, PciDevice):
            return (*place, part.vendor_id, part.device_id)
        # A USB disk is another SCSI host each time that it is plugged in.
        return place[:1] if isinstance(part, model.Disk) and part.transport == "usb" else place

    def keys(self, part: object) -> tuple[str | None, ...]:
        """What tells the part from all others, the surest first; a PCI function is known by what is on it."""
        if isinstance(part, PciDevice):
            on_it = sorted(self._by_address.get(part.address, ()))
            macs = sorted(interface.mac for interface in part.interfaces if interface.mac)
            return (part.gpu_uuid, *_only(on_it), *_only(macs))
        return strings(part, KINDS[type(part)].keys)

    def known_as(self, part: object) -> set[str]:
        """Every identity of the part, under any of which it may be listed elsewhere."""
        also = self._by_address.get(part.address, set()) if isinstance(part, PciDevice) else set()
        fru = (part.product, part.board) if isinstance(part, model.Fru) else ()
        return {key for key in (*self.keys(part), *(record.serial for record in fru if record)) if key} | also


def _only(values: list[str]) -> tuple[str | None]:
    return (values[0] if values else None,)


def _on_the_bus(audit: Audit) -> Iterable[tuple[str, list[str]]]:
    """The PCI addresses with the identities of the one part that each function is."""
    nvme = {device.address for device in audit.pcie.devices if device.class_id == _NVME_CLASS} if audit.pcie else set()
    for disk in audit.storage.disks if audit.storage else ():
        if disk.pci_address in nvme:
            yield disk.pci_address or "", [key for key in (disk.serial, disk.wwn) if key]
    for controller in audit.storage.raid_controllers if audit.storage else ():
        if controller.pci_address and controller.serial:
            yield controller.pci_address, [controller.serial]
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        if gpu.pci_address:
            yield gpu.pci_address, [key for key in (gpu.uuid, gpu.serial) if key]


def pci_paths(devices: Iterable[PciDevice]) -> Mapping[str, str]:
    """By address, the way to each function from its root: the numbers below a port stay when buses are renumbered."""
    ports = {device.address: device.upstream_port for device in devices}
    paths = {}
    for address in ports:
        way = [address]
        while (port := ports.get(way[-1])) in ports and port not in way:
            way.append(str(port))
        paths[address] = "/".join([way[-1], *(step.rpartition(":")[2] for step in reversed(way[:-1]))])
    return paths


def renumbered(pairs: Iterable[tuple[model.Disk, model.Disk]]) -> bool:
    """Whether the old and new SCSI addresses of one controller's disks differ by the host's number alone, all alike.

    The kernel numbers hosts as their drivers load: several disks that all moved by one distance have not moved.
    """
    distances = set()
    count = 0
    for before, after in pairs:
        old, new = before.hctl, after.hctl
        if old is None or new is None or before.pci_address != after.pci_address or before.slot != after.slot:
            return False
        if _HOST.sub("", old) != _HOST.sub("", new):
            return False
        distances.add(int(new.partition(":")[0]) - int(old.partition(":")[0]))
        count += 1
    return count > 1 and len(distances) == 1
