"""harden beside others that filter on the node: named beforehand, left byte for byte, and their rules still act."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nodes import process
from tests.nodes.node import ADDRESS, ADDRESS_6

if TYPE_CHECKING:
    from tests.nodes.deployment import Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

# What dockerd makes for one published container: by iptables (until 28, and where it is asked for), and by nftables.
DOCKER_IPTABLES = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
COMMIT
"""
DOCKER_NFTABLES = """
table ip docker-bridges {
    map filter-forward-in-jumps { type ifname : verdict; elements = { "docker0" : jump filter-forward-in__docker0 } }
    chain filter-FORWARD {
        type filter hook forward priority filter; policy accept;
        oifname vmap @filter-forward-in-jumps
    }
    chain filter-forward-in__docker0 {
        ct state established,related counter accept
        iifname != "docker0" ip daddr 172.17.0.2 tcp dport 80 counter accept
        counter drop comment "UNPUBLISHED PORT DROP"
    }
    chain nat-prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local counter tcp dport 8081 dnat to 172.17.0.2:80
    }
}
"""
# The names that firewalld's own services use.
PROTOCOLS = "icmp 1 ICMP\nigmp 2 IGMP\ngre 47 GRE\nesp 50 IPSEC-ESP\nah 51 IPSEC-AH\nipv6-icmp 58 IPv6-ICMP\n"
PROTOCOLS += "ospf 89 OSPFIGP\nvrrp 112 VRRP\nsctp 132 SCTP\n"


def _install(made: Deployment, *packages: str) -> None:
    words = " ".join(packages)
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends"
    made.node.shell(f"apt-get -q update; {apt} {words} </dev/null", timeout=170)


def _tables_of_others(made: Deployment) -> str:
    """Every table but ours, as the kernel has it."""
    listed = made.node.shell("nft list tables").splitlines()
    others = [line for line in listed if line != "table inet busnode"]
    assert others
    return made.node.shell("".join(f"nft --stateless list {table}\n" for table in others))


def _is_said(lines: list[str], *words: str) -> None:
    for word in words:
        assert any(word in line for line in lines), (word, lines)


def test_ufw_is_named_and_kept(node: Deployment) -> None:
    _install(node, "ufw")
    node.node.shell("ufw allow 22/tcp; ufw --force enable")
    before = _tables_of_others(node)
    assert "Status: active" in node.node.shell("ufw status")
    answer = node.operate("harden")
    assert answer.code == 0, answer
    _is_said(answer.document["diagnostics"], "ufw is active", "tables of others are left as they are: ip filter")
    assert _tables_of_others(node) == before
    assert node.ssh("true").returncode == 0


def test_firewalld_and_ours_work_side_by_side_and_its_tables_stay_byte_for_byte(node: Deployment) -> None:
    _install(node, "firewalld")
    if node.node.run("test", "-e", "/etc/protocols", check=False).returncode:
        # Of netbase, on which Debian 12's does not depend: it ends without.
        node.node.run("tee", "/etc/protocols", stdin=PROTOCOLS)
        node.node.shell("systemctl restart firewalld")
    process.wait_until(
        "firewalld", lambda: node.node.run("firewall-cmd", "--state", check=False).returncode == 0, 30, pause=0.5
    )
    node.node.shell("firewall-cmd -q --permanent --add-port=8080/tcp; firewall-cmd -q --reload")
    for port in (8080, 443, 9090):
        node.listen(port)
    state, before = node.node.state(), _tables_of_others(node)
    assert "table inet firewalld" in before
    named = node.operate("harden", "--dry-run")
    _is_said(
        named.document["diagnostics"], "firewalld is active: a packet must pass its rules and ours", "inet firewalld"
    )
    assert node.node.differences(state) == {}

    answer = node.operate("harden", "--confirm")
    assert answer.code == 0, answer
    assert _tables_of_others(node) == before
    for address in (ADDRESS, ADDRESS_6):
        ends = [(address, port) for port in (8080, 443, 9090)]
        # Both let 8080 in; firewalld keeps 443 closed, and both 9090.
        assert list(node.station.probe(*ends).values()) == ["open", "silent", "silent"]
    for change in ("firewall-cmd -q --reload", "systemctl restart firewalld"):
        node.node.shell(change)
        assert node.node.shell("nft list table inet busnode"), change
        # Debian 12's is there for D-Bus before it has loaded its rules.
        process.wait_until(change, lambda: "firewalld" in node.node.shell("nft list tables"), 20, pause=0.2)
        process.wait_until(change, lambda: _tables_of_others(node) == before, 20, pause=0.5)
        verified = node.operate("verify")
        wrong = [check["diagnostic"] for check in verified.document["checks"] if not check["ok"]]
        assert [line.partition(" (")[0] for line in wrong] == ["listener *:443"], wrong

    back = node.operate("rollback")
    assert back.code == 0, back
    assert _tables_of_others(node) == before
    assert node.node.differences(state) == {}


def test_whom_fail2ban_bans_stays_out_before_and_after(node: Deployment) -> None:
    node.node.run("mkdir", "-p", "/etc/fail2ban/jail.d")
    # Debian 12's own jail reads a log that a system with the journal alone does not have.
    node.node.run("tee", "/etc/fail2ban/jail.d/00-site.local", stdin="[sshd]\nenabled = true\nbackend = systemd\n")
    _install(node, "fail2ban", "python3-systemd", "iptables", "nftables")
    process.wait_until(
        "fail2ban",
        lambda: node.node.run("fail2ban-client", "status", "sshd", check=False).returncode == 0,
        30,
        pause=0.5,
    )
    # Somebody else's address, on the operator's machine.
    banned = "10.0.0.66"
    node.station.run("ip", "address", "add", f"{banned}/24", "dev", "bridge")
    node.node.run("fail2ban-client", "set", "sshd", "banip", banned)
    process.wait_until("the ban", lambda: banned in node.node.shell("nft list ruleset"), 20, pause=0.5)
    before = _tables_of_others(node)
    assert not _gets_in(node, banned)

    answer = node.operate("harden")
    assert answer.code == 0, answer
    _is_said(answer.document["diagnostics"], "fail2ban is active: whom it bans stays out")
    assert _tables_of_others(node) == before
    assert not _gets_in(node, banned), "an allowed port stays closed to it"
    node.node.run("fail2ban-client", "set", "sshd", "unbanip", banned)
    assert _gets_in(node, banned)
    node.node.run("fail2ban-client", "set", "sshd", "banip", banned)
    process.wait_until("the ban", lambda: not _gets_in(node, banned), 20, pause=0.5)
    assert node.operate("rollback").code == 0
    assert _tables_of_others(node) == before
    assert not _gets_in(node, banned)


def _gets_in(made: Deployment, source: str) -> bool:
    """Whether sshd greets a connection from an address of the operator's machine."""
    code = (
        "import socket, sys\n"
        f"with socket.create_connection(('{ADDRESS}', 22), timeout=2, source_address=('{source}', 0)) as wire:\n"
        "    sys.exit(not wire.recv(4) == b'SSH-')"
    )
    return made.station.run("/usr/bin/python3", "-I", "-c", code, check=False).returncode == 0


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_the_tables_of_docker_are_named_without_dockerd_and_stay_byte_for_byte(node: Deployment, backend: str) -> None:
    if backend == "iptables":
        _install(node, "iptables")
        node.node.run("iptables-restore", stdin=DOCKER_IPTABLES)
    else:
        node.node.run("nft", "-f", "-", stdin=DOCKER_NFTABLES)
    state, before = node.node.state(), _tables_of_others(node)
    answer = node.operate("harden")
    assert answer.code == 0, answer
    name = "ip nat" if backend == "iptables" else "ip docker-bridges"
    _is_said(answer.document["diagnostics"], "published container ports bypass the input chain", name)
    assert _tables_of_others(node) == before
    back = node.operate("rollback")
    assert back.code == 0, back
    assert _tables_of_others(node) == before
    assert node.node.differences(state) == {}
