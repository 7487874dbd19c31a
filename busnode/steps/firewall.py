"""The firewall's part of the policy: one nftables table of our own, and the unit that keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import DEBIAN, Layout, Step

if TYPE_CHECKING:
    from busnode.inventory import FirewallPolicy

TABLE = "inet busnode"


def rules(policy: FirewallPolicy) -> str:
    """The policy as one nft transaction that replaces our table and touches no other."""
    accepted = ['iif "lo" accept']
    if policy.allow_established:
        accepted.append("ct state established,related accept")
    accepted += [
        "ct state invalid drop",
        # ICMP and ICMPv6, by number, for a small system has no /etc/protocols. Without them IPv6 has no neighbours, and
        # paths with a small MTU hang.
        "meta l4proto { 1, 58 } accept",
        # A host that gets its address by DHCP keeps it.
        "udp sport 67 udp dport 68 accept",
        "ip6 saddr fe80::/10 udp dport 546 accept",
    ]
    if policy.allowed_ports:
        accepted.append(f"tcp dport {{ {', '.join(map(str, policy.allowed_ports))} }} accept")
    verdict = "drop" if policy.default_deny_inbound else "accept"
    body = "".join(f"        {line}\n" for line in accepted)
    return f"""\
# Written by busnode harden, which overwrites changes made here.
table {TABLE}
delete table {TABLE}
table {TABLE} {{
    chain input {{
        type filter hook input priority filter; policy {verdict};
{body}    }}
}}
"""


def unit(layout: Layout = DEBIAN) -> str:
    """The unit that loads the rules before the network is up, and again after nftables.service has flushed."""
    return f"""\
[Unit]
Description=Firewall policy of this Bus host
ConditionPathExists={layout.firewall_rules}
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target
Wants=network-pre.target
PartOf=nftables.service
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
    """The drop-in of nftables.service, whose start flushes every table: ours is loaded again right after it."""
    return f"""\
# Written by busnode harden, which overwrites changes made here.
[Service]
ExecStartPost=-/usr/sbin/nft -f {layout.firewall_rules}
"""


def guards(policy: FirewallPolicy, *, confirm: bool) -> list[Step]:
    """What else filters on the node, and that nothing that listens is dropped unless that is meant."""
    found = [Step("check-firewall", "other firewalls", "firewall", ("other_firewalls",))]
    if policy.default_deny_inbound:
        call = ("listening_kept", "1" if confirm else "0", *map(str, policy.allowed_ports))
        found.append(Step("check-firewall", "listening ports", "firewall", call))
    return found


def steps() -> list[Step]:
    """Check, write and load the rules in one transaction."""
    return [Step("configure-firewall", "firewall rules", "firewall", ("firewall_loaded",))]


def check(policy: FirewallPolicy | None) -> Step:
    """That the table which harden loaded is the one in force, whoever changed it or the inventory's policy since."""
    wanted = () if policy is None else (rules(policy),)
    return Step("check-services", "firewall rules", "firewall", ("rules_in_force", *wanted), check=True)
