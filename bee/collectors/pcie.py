"""Step 5: every PCI function (lspci -vmm -D), with driver, NUMA node and link from /sys, and its network interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.agreement import differing
from bee.collectors import network
from bee.collectors.step import Step, bounded
from bee.model import Link, PciDevice, Pcie
from bee.parsers import lspci
from bee.quantities import number, whole
from bee.records import replace

if TYPE_CHECKING:
    from bee.machine import Machine

LSPCI_SECONDS = 30.0
DEVICES = network.PCI_DEVICES
# A function of an older kernel, or with no link, reads 0 or 255.
_NO_WIDTH = (0, 255)
_MAX_WIDTH = 32


def collect(step: Step) -> Pcie | None:
    """The union of what lspci prints and what /sys holds, by address."""
    network.ask_ahead(step)
    output = step.run("lspci", "-vmm", "-D", "-nn", "-k", limit=LSPCI_SECONDS)
    if output is None:
        return None
    printed = lspci.parse(output)
    for note in printed.notes:
        step.trouble(f"lspci: {note}")
    functions = {function.address: function for function in printed.functions}
    for name in step.machine.names(DEVICES):
        address = lspci.normalise(name)
        if address is not None and address not in functions:
            functions[address] = _from_sys(step.machine, address)
    network.ask_adapters_ahead(step, functions.values())
    interfaces = network.interfaces(step)
    devices = []
    notes = list(printed.notes)
    for address in sorted(functions):
        device = _device(step.machine, functions[address])
        firmware = network.adapter_firmware(step, functions[address])
        devices.append(replace(device, interfaces=tuple(interfaces.get(address, ())), firmware=firmware))
        running = next((i.firmware for i in interfaces.get(address, ()) if i.firmware), None)
        if firmware:
            # What was burnt runs from the next reset on.
            said = {"ethtool": running and running.split(" ", 1)[0], "mstflint": firmware.version}
            notes += differing(f"{address} firmware", {**said})
    return Pcie(
        devices=tuple(devices),
        notes=bounded(notes),
    )


def _from_sys(machine: Machine, address: str) -> lspci.Function:
    """A function that lspci did not print: its ids, without names."""

    def hexadecimal(name: str) -> str | None:
        text = (machine.read(f"{DEVICES}/{address}/{name}") or "").strip().removeprefix("0x").lower()
        return text if text and len(text) <= 8 and all(digit in "0123456789abcdef" for digit in text) else None

    class_id = hexadecimal("class")
    return lspci.Function(
        address=address,
        class_id=class_id[:4] if class_id and len(class_id) == 6 else None,
        vendor_id=_four(hexadecimal("vendor")),
        device_id=_four(hexadecimal("device")),
        subsystem_vendor_id=_four(hexadecimal("subsystem_vendor")),
        subsystem_id=_four(hexadecimal("subsystem_device")),
    )


def _four(digits: str | None) -> str | None:
    return digits if digits is not None and len(digits) == 4 else None


def _device(machine: Machine, function: lspci.Function) -> PciDevice:
    folder = f"{DEVICES}/{function.address}"
    driver = machine.resolve(f"{folder}/driver")
    return PciDevice(
        address=function.address,
        class_id=function.class_id,
        class_name=function.class_name,
        vendor_id=function.vendor_id,
        vendor_name=function.vendor_name,
        device_id=function.device_id,
        device_name=function.device_name,
        subsystem_vendor_id=function.subsystem_vendor_id,
        subsystem_vendor_name=function.subsystem_vendor_name,
        subsystem_id=function.subsystem_id,
        subsystem_name=function.subsystem_name,
        revision=function.revision,
        physical_slot=function.physical_slot,
        driver=driver.rsplit("/", 1)[-1] if driver else function.driver,
        # -1, which is no whole number of zero or more: the firmware does not say.
        numa_node=whole((machine.read(f"{folder}/numa_node") or "").strip(), ""),
        upstream_port=_upstream(machine, folder),
        link=_link(machine, folder),
        interfaces=(),
        firmware=None,
        gpu_uuid=None,
    )


def _upstream(machine: Machine, folder: str) -> str | None:
    parts = (machine.resolve(folder) or "").split("/")
    return lspci.normalise(parts[-2]) if len(parts) >= 2 else None


def _link(machine: Machine, folder: str) -> Link | None:
    def width(name: str) -> int | None:
        value = whole((machine.read(f"{folder}/{name}") or "").strip(), "")
        return None if value is None or value in _NO_WIDTH or value > _MAX_WIDTH else value

    def speed(name: str) -> float | None:
        # `8.0 GT/s PCIe`; `8 GT/s` before Linux 5.8; `Unknown`.
        value = number((machine.read(f"{folder}/{name}") or "").strip(), "GT/s PCIe", "GT/s")
        return value if value is not None and value > 0 else None

    link = Link(
        width=width("current_link_width"),
        max_width=width("max_link_width"),
        speed_gts=speed("current_link_speed"),
        max_speed_gts=speed("max_link_speed"),
    )
    return None if link == Link(width=None, max_width=None, speed_gts=None, max_speed_gts=None) else link
