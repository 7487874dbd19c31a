"""The firewall's part of the policy: one nftables table of our own, and the unit that keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode import policy as bus_host
from busnode.script import DEBIAN, Layout, Step

if TYPE_CHECKING:
    from busnode.inventory import FirewallPolicy
    from busnode.policy import Rule

TABLE = "inet busnode"
ALLOWED = "allowed_tcp"
RULES = "firewall rules"


def rules(policy: FirewallPolicy) -> str:
    """The policy as one nft transaction that replaces our table and touches no other."""
    chosen = bus_host.load()
    verdict = "drop" if policy.default_deny_inbound else "accept"
    body = "".join(f"        {_rule(rule)}\n" for rule in chosen.rules(policy))
    return f"""\
# Policy {chosen.name}, version {chosen.version}. Written by busnode harden, which overwrites changes made here.
table {TABLE}
delete table {TABLE}
table {TABLE} {{
{_ports(policy)}    chain input {{
        type filter hook input priority filter; policy {verdict};
{body}    }}
}}
"""


def _ports(policy: FirewallPolicy) -> str:
    """The allowed ports as a set that counts what comes in by each; nft takes no empty list."""
    if not policy.allowed_ports:
        return ""
    ports = ", ".join(map(str, policy.allowed_ports))
    return f"""\
    set {ALLOWED} {{
        type inet_service
        counter
        elements = {{ {ports} }}
    }}
"""


def _rule(rule: Rule) -> str:
    # Each port of the set has a counter of its own.
    counter = "" if ALLOWED in rule.match else "counter"
    words = (rule.match, counter, rule.verdict, f'comment "{rule.name}"')
    return " ".join(word for word in words if word)


def unit(layout: Layout = DEBIAN) -> str:
    """The unit that loads the rules before the network is up, and again after a reload of nftables.service.

    A stop of nftables.service is none of ours: its drop-in loads the rules again after that flush.
    """
    return f"""\
[Unit]
Description=Firewall policy of this Bus host
ConditionPathExists={layout.firewall_rules}
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target
Wants=network-pre.target
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {layout.firewall_rules}
ExecReload=/usr/sbin/nft -f {layout.firewall_rules}
ExecStop=-/usr/sbin/nft delete table {TABLE}

[Install]
WantedBy=sysinit.target nftables.service
"""


def dropin(layout: Layout = DEBIAN) -> str:
    """The drop-in of nftables.service, whose start and stop flush every table: ours is loaded again right after."""
    return f"""\
# Written by busnode harden, which overwrites changes made here.
[Service]
ExecStartPost=-/usr/sbin/nft -f {layout.firewall_rules}
ExecStopPost=-/usr/sbin/nft -f {layout.firewall_rules}
"""


def guards(policy: FirewallPolicy, *, confirm: bool) -> list[Step]:
    """What else filters on the node, and that nothing that listens is dropped unless that is meant."""
    found = [Step("check-firewall", "other firewalls", "firewall", ("other_firewalls",), once=True)]
    if policy.default_deny_inbound:
        call = ("listening_kept", "1" if confirm else "0", *map(str, policy.allowed_ports))
        found.append(Step("check-firewall", "listening ports", "firewall", call, once=True))
    return found


def steps() -> list[Step]:
    """Check, write and load the rules in one transaction."""
    return [Step("configure-firewall", RULES, "firewall", ("firewall_loaded",))]


def check(policy: FirewallPolicy | None) -> Step:
    """That the table which harden loaded is the one in force, whoever changed it or the inventory's policy since."""
    wanted = () if policy is None else (rules(policy),)
    return Step("check-services", RULES, "firewall", ("rules_in_force", *wanted), check=True)
