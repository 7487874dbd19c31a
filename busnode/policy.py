"""The policy that harden asserts, as data: `policies/bus-host.toml` in, settings and rules for one target out."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from busnode import shipped
from busnode.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from busnode.inventory import FirewallPolicy, Target

BUS_HOST = "bus-host"


@dataclass(frozen=True, slots=True)
class Setting:
    """One keyword of sshd's configuration: its value in the drop-in, and as `sshd -T` spells it once in force.

    `algorithms` says that the value is a list of which a node takes what its own openssh has; `everyone`, that it must
    hold whatever a Match block of another file says.
    """

    keyword: str
    value: str
    effective: str
    reason: str
    everyone: bool = False
    algorithms: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the firewall's input chain; `match` is nftables' own words, empty for whatever is left."""

    name: str
    match: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A named and versioned policy; `document` is all of its file: reasons, sources and changelog among it."""

    name: str
    version: int
    document: dict[str, Any]

    def settings(self, target: Target) -> tuple[Setting, ...]:
        """What the policy says of sshd on one target."""
        return tuple(found for item in self.document["ssh"] for found in _settings(item, target))

    def rules(self, policy: FirewallPolicy) -> tuple[Rule, ...]:
        """What it says of the firewall, in the order of the chain."""
        return tuple(
            Rule(item["name"], item["match"], item["verdict"])
            for item in self.document["firewall"]
            if _applies(item, policy)
        )


@cache
def load(name: str = BUS_HOST) -> Policy:
    """A policy of this package by its name."""
    import tomllib  # noqa: PLC0415 - status and bootstrap ask for no policy

    text = shipped.text(f"policies/{name}.toml")
    document = tomllib.loads(text)
    return Policy(document["name"], document["version"], document)


def _applies(item: dict[str, Any], switches: object) -> bool:
    """Whether an entry's `when`, a key of the target's own policy, is as the entry wants it."""
    when = item.get("when")
    if when is None:
        return True
    negated = when.startswith("not ")
    return bool(getattr(switches, when.removeprefix("not "))) is not negated


def _settings(item: dict[str, Any], target: Target) -> Iterator[Setting]:
    if not _applies(item, target.ssh_policy):
        return
    if "for_each" in item:
        values = [entry.name for entry in getattr(target, item["for_each"])]
    else:
        values = [item["value"] if "value" in item else ",".join(item["algorithms"])]
    for value in values:
        yield Setting(
            keyword=item["keyword"],
            value=value,
            effective=item.get("effective", value),
            reason=item["reason"],
            everyone=item.get("everyone", False),
            algorithms="algorithms" in item,
        )
