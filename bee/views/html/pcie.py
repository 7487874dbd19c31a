"""The tree of PCI functions with the lanes of their links, and the network interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bee.views.document import integer, part, real, rows, text
from bee.views.html.drawing import lanes
from bee.views.html.markup import Markup, element
from bee.views.html.parts import Row, folded, mark, mono, section, table

if TYPE_CHECKING:
    from bee.views.html.marks import Marks

# A file may hold a chain as long as it likes; browsers and people give up before that.
_MOST_LEVELS = 12

Device = dict[str, object]
Children = dict[str, list[Device]]


def pcie(document: dict[str, object], marks: Marks) -> Markup:
    """All functions below the ports that they hang on; those of the chipset that lead nowhere, apart."""
    devices = rows(part(document, "pcie"), "devices")
    roots, children = _tree(devices)
    quiet: list[Device] = []
    loud: list[Device] = []
    for device in roots:
        (quiet if _is_quiet(device, children, marks) else loud).append(device)
    return section(
        document,
        "pcie",
        "PCI Express",
        element("p", "A box is a lane: filled, it is in use; empty, the device could use it.", class_="legend")
        if any(part(device, "link") for device in devices)
        else None,
        element("ul", [_branch(device, children, marks, 1) for device in loud], class_="tree") if loud else None,
        folded(
            "Functions without a link or anything below them",
            element("ul", [_branch(device, {}, marks, 1) for device in quiet], class_="tree"),
            count=len(quiet),
        )
        if quiet
        else None,
        summary=f"{len(devices):,} functions",
    )


def _tree(devices: list[Device]) -> tuple[list[Device], Children]:
    """The devices at the top, and those below each address. In a circle, which no machine has, all are at the top."""
    ports = {text(device, "address", ""): text(device, "upstream_port", "") for device in devices}
    roots: list[Device] = []
    children: Children = {}
    for device in devices:
        port = text(device, "upstream_port", "")
        if port in ports and _reaches_top(text(device, "address", ""), ports):
            children.setdefault(port, []).append(device)
        else:
            roots.append(device)
    return roots, children


def _reaches_top(address: str, ports: dict[str, str]) -> bool:
    for _ in range(_MOST_LEVELS):
        address = ports[address]
        if address not in ports:
            return True
    return False


def _is_quiet(device: Device, children: Children, marks: Marks) -> bool:
    address = text(device, "address", "")
    spoken_of = bool(marks.of(f"PCI {address}") or rows(device, "interfaces") or text(device, "gpu_uuid", ""))
    return address not in children and not spoken_of and integer(part(device, "link"), "width") in {None, 0}


def _branch(device: Device, children: Children, marks: Marks, level: int) -> Markup:
    address = text(device, "address", "")
    # Taken, not looked up: an address that stands twice must not double what hangs below it, level by level.
    below = children.pop(address, []) if level <= _MOST_LEVELS else []
    state = marks.of(f"PCI {address}")
    return element(
        "li",
        element(
            "div",
            element("span", mark(state), mono(address), class_="address"),
            element(
                "span", element("strong", _name(device)), element("small", " · ".join(_about(device))), class_="name"
            ),
            _link(part(device, "link"), state),
            class_=f"device {state}".rstrip(),
        ),
        element("ul", [_branch(child, children, marks, level + 1) for child in below]) if below else None,
    )


def _name(device: Device) -> str:
    vendor = text(device, "vendor_name", "") or text(device, "vendor_id", "")
    model = text(device, "device_name", "") or text(device, "device_id", "")
    return f"{vendor} {model}".strip() or "device not known"


def _about(device: Device) -> Iterator[str]:
    if kind := text(device, "class_name", "") or text(device, "class_id", ""):
        yield kind
    if slot := text(device, "physical_slot", ""):
        yield f"slot {slot}"
    yield f"driver {driver}" if (driver := text(device, "driver", "")) else "no driver"
    if (node := integer(device, "numa_node")) is not None:
        yield f"NUMA node {node}"
    yield from (text(nic, "name") for nic in rows(device, "interfaces"))


def _link(link: Device, state: str) -> Markup | None:
    width, most = integer(link, "width"), integer(link, "max_width")
    if width is None and most is None:
        return None
    now = f"x{width} {_speed(link, 'speed_gts')}" if width else "no link" if width == 0 else "link not known"
    can = f"of x{most} {_speed(link, 'max_speed_gts')}" if most is not None else ""
    return element(
        "span",
        lanes(
            width or 0, most if most is not None else width or 0, f"{width or 0} of {most or '?'} lanes in use", state
        ),
        element("span", f"{now.strip()} ", element("small", can.strip())),
        class_="link",
    )


def _speed(link: Device, name: str) -> str:
    value = real(link, name)
    return "" if value is None else f"at {value:g} GT/s"


def network(document: dict[str, object]) -> Markup | None:
    """Every network interface on a PCI device; None where there is none."""
    found = [(device, nic) for device in rows(part(document, "pcie"), "devices") for nic in rows(device, "interfaces")]
    if not found:
        return None
    head = ("Interface", "Device", "MAC", "Link", "Speed", "Firmware", "PSID", "Address")
    body = [
        Row(
            (
                text(nic, "name", ""),
                _name(device),
                mono(text(nic, "mac", "")),
                _carrier(nic),
                _rate(integer(nic, "speed_mbps")),
                text(nic, "firmware", "") or text(part(device, "firmware"), "version", ""),
                mono(text(part(device, "firmware"), "psid", "")),
                mono(text(device, "address", "")),
            )
        )
        for device, nic in found
    ]
    return element(
        "section",
        element(
            "h2",
            "Network",
            element("small", f"{len(found)} interfaces" if len(found) > 1 else "1 interface"),
            id="network-title",
        ),
        table("Network interfaces", head, body, numeric=("Speed",)),
        id="network",
        aria_labelledby="network-title",
    )


def _carrier(nic: dict[str, object]) -> str:
    carrier = {"yes": "cable", "no": "no cable"}.get(text(nic, "carrier", ""), "")
    return ", ".join(word for word in (text(nic, "state", ""), carrier) if word)


def _rate(mbps: int | None) -> str:
    if mbps is None or mbps <= 0:
        return ""
    return f"{mbps / 1000:g} Gbit/s" if mbps >= 1000 else f"{mbps} Mbit/s"
