"""systemd units: brought into the state that is wanted, or checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target

FIREWALL_UNIT = "busnode-firewall.service"
SSH_UNIT = "ssh.service"


def steps(target: Target) -> list[Step]:
    """One step a unit: enabled and running as the inventory wants."""
    return [
        Step(
            "enable-services",
            f"service {service.unit}",
            "services",
            ("unit_state", service.unit, _word(service.enabled), _word(service.running)),
        )
        for service in target.services
    ]


def checks(target: Target) -> list[Step]:
    """One check a unit that should run; ssh and our firewall are always among them."""
    return [
        Step("check-services", f"service {unit}", "services", ("unit_active", unit), check=True)
        for unit in watched(target)
    ]


def watched(target: Target) -> tuple[str, ...]:
    """The units that matter on a target, each once."""
    wanted = (service.unit for service in target.services if service.running)
    return tuple(dict.fromkeys((SSH_UNIT, *wanted, FIREWALL_UNIT)))


def _word(value: bool) -> str:
    return "true" if value else "false"
