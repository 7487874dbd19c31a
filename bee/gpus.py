"""Which PCI functions are GPUs, and which ports' links follow them: an idle GPU lowers the speed of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bee.model import PciDevice

# Display controllers and processing accelerators; the sound function of a graphics card is none.
_CLASSES = ("03", "12")

# How a GPU's note begins that has nvidia-smi's word for an error in it.
ERROR_NOTE = "nvidia-smi says "


def is_gpu(device: PciDevice) -> bool:
    """Whether the function is one by its class."""
    return (device.class_id or "").startswith(_CLASSES)


def with_ports(devices: Iterable[PciDevice]) -> frozenset[str]:
    """The addresses of all GPUs and of every port above them."""
    return frozenset(device.address for way in _ways(devices) for device in way)


def with_cards(devices: Iterable[PciDevice]) -> frozenset[str]:
    """The addresses of all GPUs and of the bridges on their own cards.

    AMD's and Intel's have a switch of the maker's own between slot and GPU, whose link slows down in the GPU's place.
    """
    found: set[str] = set()
    for way in _ways(devices):
        for device in way:
            if device.vendor_id != way[0].vendor_id:
                break
            found.add(device.address)
    return frozenset(found)


def _ways(devices: Iterable[PciDevice]) -> Iterator[list[PciDevice]]:
    """From each GPU up to its root port."""
    by_address = {device.address: device for device in devices}
    for device in filter(is_gpu, by_address.values()):
        way = [device]
        while (port := by_address.get(way[-1].upstream_port or "")) is not None and port not in way:
            way.append(port)
        yield way
