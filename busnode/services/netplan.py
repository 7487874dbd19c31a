"""`network_bootstrap`: a node's network by netplan, set up before the script that a request brings."""

from __future__ import annotations

import ipaddress
import json
import shlex
from typing import Any

from busnode.contract import BadRequestError

FILE = "/etc/netplan/60-bus-runner.yaml"
MODE = "mac-match"


def script(settings: dict[str, Any]) -> str:
    """Shell text that writes the configuration and, where `apply_netplan` asks for it, puts it into force.

    It is of the one run: not where the node runs the script again to see whether what it set still stands.

    Raises BadRequestError for another mode than mac-match, and for that without an interface's address.
    """
    mode = settings.get("netplan_mode", MODE)
    if mode != MODE:
        raise BadRequestError(f"unsupported runner netplan mode {mode!r}; give {MODE}")
    if "interface_mac" not in settings:
        raise BadRequestError("runner netplan mode mac-match requires interface MAC; give interface_mac")
    text = shlex.quote(json.dumps(_configuration(settings)) + "\n")
    apply = " && netplan apply </dev/null >/dev/null 2>&1" if settings.get("apply_netplan", False) else ""
    return f"""\
if [ "${{4-}}" != again ] && ! {{ (umask 077; printf '%s' {text} >{FILE}.new) && mv -f {FILE}.new {FILE} &&
    netplan generate </dev/null >/dev/null 2>&1{apply}; }}; then
    printf '{{"error":"apply_failed","detail":"the network could not be set up: is netplan installed?"}}\\n'
    exit 1
fi
"""


def _configuration(settings: dict[str, Any]) -> dict[str, Any]:
    """Netplan's own format; JSON is YAML, and leaves nothing to quoting."""
    interface: dict[str, Any] = {"match": {"macaddress": settings["interface_mac"].lower()}, "dhcp4": True}
    servers = [_address(server) for server in settings.get("dns_servers", ())]
    if servers:
        interface["nameservers"] = {"addresses": servers}
    return {"network": {"version": 2, "ethernets": {"bus-runner": interface}}}


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadRequestError(f"network_bootstrap.dns_servers: {text!r} is no IP address; give one") from None
