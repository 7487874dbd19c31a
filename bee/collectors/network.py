"""Network interfaces by the PCI device they belong to, and the firmware of their adapters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.model import AdapterFirmware, Interface
from bee.parsers import ethtool, mstflint
from bee.parsers.lspci import normalise
from bee.placeholders import known
from bee.quantities import whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee.collectors.step import Step
    from bee.parsers.lspci import Function

INTERFACES = "/sys/class/net"
PCI_DEVICES = "/sys/bus/pci/devices"
ETHTOOL_SECONDS = 10.0
MSTFLINT_SECONDS = 30.0
_MELLANOX, _NETWORK_CLASS = "15b3", "02"
_PCI_IN_PATH = re.compile(r"/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/|$)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5,19}", re.ASCII)
_FLAGS = {"0": False, "1": True}


def ask_ahead(step: Step) -> None:
    """Begin what is asked of every interface, before the PCI devices are known."""
    for name in filter(_NAME.fullmatch, step.machine.names(INTERFACES)):
        if _PCI_IN_PATH.search(step.machine.resolve(f"{INTERFACES}/{name}/device") or ""):
            step.ahead(*_ethtool(name), limit=ETHTOOL_SECONDS)


def _ethtool(name: str) -> tuple[str, ...]:
    return ("ethtool", "-i", name)


def interfaces(step: Step) -> dict[str, list[Interface]]:
    """The interfaces by the address of their PCI device; those of no PCI device (lo, bridges, USB) are left out."""
    found: dict[str, list[Interface]] = {}
    for name in step.machine.names(INTERFACES):
        addresses = _PCI_IN_PATH.findall(step.machine.resolve(f"{INTERFACES}/{name}/device") or "")
        address = normalise(addresses[-1]) if addresses else None
        if address is not None and _NAME.fullmatch(name):
            found.setdefault(address, []).append(_interface(step, name))
    return found


def _interface(step: Step, name: str) -> Interface:
    def read(file: str) -> str:
        return (step.machine.read(f"{INTERFACES}/{name}/{file}") or "").strip()

    # What a bond shows of its port's address is its own.
    mac = (read("bonding_slave/perm_hwaddr") or read("address")).lower()
    return Interface(
        name=name,
        mac=mac if _MAC.fullmatch(mac) else None,
        state=read("operstate") or None,
        # It can be read while the interface is up only.
        carrier=_FLAGS.get(read("carrier")),
        # -1, or not readable at all: no link.
        speed_mbps=whole(read("speed"), ""),
        firmware=_interface_firmware(step, name),
    )


def _interface_firmware(step: Step, name: str) -> str | None:
    if not step.machine.has_tool("ethtool"):
        return None
    # A bad exit code: the driver has nothing to say.
    output = step.run(*_ethtool(name), limit=ETHTOOL_SECONDS, good_exits=range(256))
    return known("firmware", ethtool.parse(output or b"").firmware, [])


def _is_adapter(step: Step, function: Function) -> bool:
    network = function.vendor_id == _MELLANOX and (function.class_id or "").startswith(_NETWORK_CLASS)
    # A virtual function (SR-IOV) may be called .0 too: it has no flash to be asked for.
    return network and function.address.endswith(".0") and not _is_virtual(step, function.address)


def _is_virtual(step: Step, address: str) -> bool:
    return step.machine.resolve(f"{PCI_DEVICES}/{address}/physfn") is not None


def _mstflint(function: Function) -> tuple[str, ...]:
    return ("mstflint", "-d", function.address, "query")


def ask_adapters_ahead(step: Step, functions: Iterable[Function]) -> None:
    """Begin all that `adapter_firmware` will ask, side by side."""
    for function in functions:
        if _is_adapter(step, function):
            step.ahead(*_mstflint(function), limit=MSTFLINT_SECONDS)


def adapter_firmware(step: Step, function: Function) -> AdapterFirmware | None:
    """The firmware in the flash of an NVIDIA (Mellanox) adapter, where mstflint is; asked of its first function."""
    if not _is_adapter(step, function) or not step.machine.has_tool("mstflint"):
        return None
    output = step.run(*_mstflint(function), limit=MSTFLINT_SECONDS)
    image = mstflint.parse(output or b"")
    for note in image.notes:
        step.trouble(f"mstflint on {function.address}: {note}")
    if image.version is None and image.psid is None:
        return None
    return AdapterFirmware(
        version=image.version,
        product_version=image.product_version,
        release_date=image.release_date,
        psid=image.psid,
    )
