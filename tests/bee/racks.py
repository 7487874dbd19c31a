"""Machines that nobody recorded: the recorded server with other parts in its slots, for properties of comparisons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.bee.recorded import audit, server

if TYPE_CHECKING:
    from bee.model import Audit, Disk, Gpu, PciDevice, Slot, Supply

SERVER = audit(server())
assert SERVER.memory is not None
assert SERVER.storage is not None
assert SERVER.psu is not None
assert SERVER.nvidia is not None
assert SERVER.pcie is not None
MEMORY, STORAGE, PSU, NVIDIA, PCIE = SERVER.memory, SERVER.storage, SERVER.psu, SERVER.nvidia, SERVER.pcie
MODULE = next(slot for slot in MEMORY.slots if slot.populated)
DISK = next(disk for disk in STORAGE.disks if disk.name == "sda")
SUPPLY = next(supply for supply in PSU.supplies if supply.present)
GPU = NVIDIA.gpus[0]
# All seen: what is not there is gone.
SEEN = replace(
    SERVER, collectors=tuple(replace(entry, status="ok", reasons=()) for entry in SERVER.collectors), findings=()
)

# Few, so that parts share them; None: the firmware gives none.
SERIALS = st.one_of(st.none(), st.sampled_from(["S-1", "S-2", "S-3", "S-4"]))
PLACES = st.integers(0, 5)


def module(place: int | None, serial: str | None, size: int = 2**35) -> Slot:
    """A memory module; a place of None is a slot that the firmware does not name."""
    locator, bank = (None, None) if place is None else (f"DIMM_{place}", f"BANK {place}")
    return replace(MODULE, locator=locator, bank=bank, serial=serial, size_bytes=size)


def disk(place: int, serial: str | None, name: str | None = None) -> Disk:
    """A SATA disk at a port of one controller, in no bay that is known, with no identity but its serial number."""
    name = name or f"sd{'abcdefghijklmnop'[place]}"
    return replace(DISK, name=name, hctl=f"{place}:0:0:0", slot=None, serial=serial, wwn=None)


def supply(place: int, serial: str | None) -> Supply:
    return replace(SUPPLY, name=f"PSU{place}", location=f"PSU{place}", serial=serial)


def gpu(place: int, serial: str | None) -> Gpu:
    return replace(GPU, pci_address=f"0000:{place + 64:02x}:00.0", uuid=serial and f"GPU-{serial}", serial=serial)


def function(place: int, device: str = "1017") -> PciDevice:
    """A PCI function at the root, which nothing tells from another but its address."""
    return replace(
        PCIE.devices[0],
        address=f"0000:00:{place + 8:02x}.0",
        device_id=device,
        upstream_port=None,
        class_id="0880",
        interfaces=(),
        gpu_uuid=None,
    )


def machine(
    modules: tuple[Slot, ...] = (),
    disks: tuple[Disk, ...] = (),
    supplies: tuple[Supply, ...] = (),
    gpus: tuple[Gpu, ...] = (),
    functions: tuple[PciDevice, ...] = (),
) -> Audit:
    """The server with these parts and no others of their kinds."""
    return replace(
        SEEN,
        memory=replace(MEMORY, slots=modules),
        storage=replace(STORAGE, disks=disks, raid_members=(), raid_controllers=()),
        psu=replace(PSU, supplies=supplies, frus=()),
        nvidia=replace(NVIDIA, gpus=gpus),
        pcie=replace(PCIE, devices=functions),
    )


def _parts(make: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(make, max_size=5).map(tuple)


# Whatever firmware may say: several parts in one place, several with one serial number, none of either.
ANY_MACHINE: st.SearchStrategy[Audit] = st.builds(
    machine,
    _parts(st.builds(module, st.one_of(st.none(), PLACES), SERIALS, st.sampled_from([2**34, 2**35]))),
    _parts(st.builds(disk, PLACES, SERIALS)),
    _parts(st.builds(supply, PLACES, SERIALS)),
    _parts(st.builds(gpu, PLACES, SERIALS)),
    _parts(st.builds(function, PLACES, st.sampled_from(["1017", "1018"]))),
)
