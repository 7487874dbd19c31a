"""What a `bus.node.*.request` asks for: checked against its schema, then as a record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from busnode import schema
from busnode.contract import BadRequestError, Operation
from busnode.events.envelope import NODE_REQUESTS, REQUEST, Envelope
from busnode.inventory import Directory, FirewallPolicy, Service, ServiceAccount

if TYPE_CHECKING:
    from busnode.inventory import Target


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """One request; `settings` are what it gives in place of the inventory's own."""

    operation: Operation
    node_id: str
    correlation_id: str
    apply: bool = False
    checks: frozenset[str] = frozenset()
    credentials: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, envelope: Envelope) -> NodeRequest:
        """Raises BadRequestError, one line a mistake, each with its path."""
        if envelope.name not in NODE_REQUESTS:
            raise BadRequestError(f"name: {envelope.name[:60]!r} is no request; give one of {', '.join(NODE_REQUESTS)}")
        operation = Operation(envelope.name.split(".")[2])
        try:
            found = list(schema.violations(envelope.to_document(), _schema(operation)))
        except RecursionError:
            found = ["payload: nested too deeply; give it as schemas/node-request.schema.json describes it"]
        payload = envelope.payload
        if not found and payload.get("target_ref", f"nodes.{payload['node_id']}") != f"nodes.{payload['node_id']}":
            found = [f"payload.target_ref: not of the node; give nodes.{payload['node_id']}"]
        if found:
            raise BadRequestError("\n".join(found))
        return cls(
            operation,
            payload["node_id"],
            envelope.correlation_id,
            # A change needs both words; confirm beside dry_run is a valid dry run.
            apply=payload.get("confirm") is True and payload.get("dry_run", True) is False,
            checks=frozenset(payload.get("checks", ())),
            credentials=payload.get("credentials", {}),
            settings={key: value for key, value in payload.items() if key in _SETTINGS},
        )

    def target(self, known: Target) -> Target:
        """The inventory's target with what the request gives in its place."""
        given, changes = self.settings, dict[str, Any]()
        if "packages" in given:
            changes["packages"] = tuple(given["packages"])
        if "directories" in given:
            described = {directory.path: directory for directory in known.directories}
            changes["directories"] = tuple(described.get(path, Directory(path)) for path in given["directories"])
        if "services" in given:
            units = {service.unit: service for service in known.services}
            changes["services"] = tuple(units.get(unit, Service(unit)) for unit in given["services"])
        if "service_accounts" in given:
            accounts = {account.name: account for account in known.service_accounts}
            names = given["service_accounts"]
            changes["service_accounts"] = tuple(accounts.get(name, ServiceAccount(name)) for name in names)
        if "ssh_policy" in given:
            changes["ssh_policy"] = replace(known.ssh_policy, **given["ssh_policy"])
        if "firewall_policy" in given:
            changes["firewall_policy"] = _firewall_policy(known.firewall_policy, given["firewall_policy"])
        if "sudo_password_secret" in self.credentials:
            changes["become_password"] = self.credentials["sudo_password_secret"]
        return replace(known, **changes)


_SETTINGS = frozenset({"packages", "directories", "services", "service_accounts", "ssh_policy", "firewall_policy"})


def _firewall_policy(known: FirewallPolicy | None, given: dict[str, Any]) -> FirewallPolicy:
    if "allowed_ports" not in given and known is None:
        raise BadRequestError("payload.firewall_policy.allowed_ports: missing, and the inventory names none; give them")
    changes = dict(given)
    if "allowed_ports" in given:
        changes["allowed_ports"] = tuple(sorted(int(port) for port in given["allowed_ports"]))
    return replace(known or FirewallPolicy(()), **changes)


@cache
def _schema(operation: Operation) -> dict[str, Any]:
    """The envelope's schema with one payload's in it: a mistake is told with its path, not as `none of the forms`."""
    whole = {key: value for key, value in schema.load("node-request").items() if key != "oneOf"}
    properties = {**whole["properties"], "payload": {"$ref": f"#/$defs/{operation}"}}
    assert f"bus.node.{operation}{REQUEST}" in properties["name"]["enum"]
    return {**whole, "properties": properties}
