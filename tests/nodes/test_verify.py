"""Status and verify on a real node: what is there is said, what is missing is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.nodes.node import ADDRESS_6

if TYPE_CHECKING:
    from tests.nodes.deployment import Deployment

# A table of somebody else's, which busnode leaves alone.
FOREIGN_DROP = """
table ip6 site {
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport 8080 drop
    }
}
"""

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(200, func_only=True)]


def test_status_reads_and_changes_nothing(node: Deployment) -> None:
    before = node.node.state()
    answer = node.operate("status")
    assert answer.code == 0, answer
    assert answer.document["ok"] is True
    assert "check-ssh" in answer.document["actions"]
    assert node.node.differences(before) == {}


def test_a_missing_listener_is_named_and_a_present_one_is_not(node: Deployment) -> None:
    assert node.operate("harden").code == 0
    node.write_target(listeners=[{"address": "127.0.0.1", "port": 8080}])
    missing = node.operate("verify")
    assert missing.code == 1, missing
    assert missing.document["error_class"] == "verify_failed"
    assert "listener 127.0.0.1:8080 is not reachable" in missing.document["diagnostics"]
    assert "listener 127.0.0.1:8080 is not reachable" in missing.errors
    node.node.run("systemd-run", "--quiet", "systemd-socket-activate", "--inetd", "-a", "-l", "127.0.0.1:8080", "cat")
    present = node.operate("verify")
    assert present.code == 0, present
    assert any("8080" in check["name"] and check["ok"] for check in present.document["checks"])


def test_a_service_that_is_down_is_named(node: Deployment) -> None:
    assert node.operate("harden").code == 0
    node.node.run("tee", "/etc/systemd/system/site.service", stdin="[Service]\nExecStart=sleep infinity\n")
    node.write_target(services=[{"unit": "site.service", "enabled": False, "running": True}])
    down = node.operate("verify")
    assert down.code == 1, down
    assert "site.service" in " ".join(down.document["diagnostics"])
    node.node.run("systemctl", "start", "site.service")
    up = node.operate("verify")
    assert up.code == 0, up


def test_a_firewall_that_somebody_emptied_is_seen(node: Deployment) -> None:
    assert node.operate("harden").code == 0
    node.node.run("nft", "flush", "ruleset")
    answer = node.operate("verify")
    assert answer.code == 1, answer
    assert answer.document["error_class"] == "verify_failed"
    assert node.operate("harden").changed
    assert node.operate("verify").code == 0


def test_a_policy_that_was_edited_and_not_applied_is_seen(node: Deployment) -> None:
    assert node.operate("harden").code == 0
    node.write_target(allowed_ports=[22, 443])
    edited = node.operate("verify")
    assert edited.code == 1, edited
    assert "the firewall's rules are not those of the inventory's policy; run harden" in edited.document["diagnostics"]
    assert node.operate("harden").changed
    assert node.operate("verify").code == 0


def test_every_listener_is_looked_at_from_outside_over_both_families(node: Deployment) -> None:
    for port in (8080, 9090):
        node.listen(port)
    # What nobody else may reach, there is no word of.
    node.node.run("systemd-run", "--quiet", "systemd-socket-activate", "--inetd", "-a", "-l", "127.0.0.1:5432", "cat")
    assert node.operate("harden", "--confirm").code == 0
    one = node.operate("verify")
    assert one.code == 0, one
    assert any("not looked at from outside over IPv6" in line for line in one.document["diagnostics"])

    node.write_target(host_candidates=[ADDRESS_6])
    both = node.operate("verify")
    assert both.code == 0, both
    seen = [check["name"] for check in both.document["checks"] if "from outside" in check["name"]]
    assert len(seen) == 4, seen
    for port in (8080, 9090):
        for family in ("IPv4", "IPv6"):
            assert any(f"*:{port} (" in name and name.endswith(f"from outside over {family}") for name in seen), seen
    assert both.seconds < 15, "the looks are side by side"
    listed = {socket["port"]: socket for socket in both.document["facts"]["listeners"]}
    assert listed[8080]["outside"] == {"IPv4": "open", "IPv6": "open"}
    assert listed[9090]["outside"] == {"IPv4": "silent", "IPv6": "silent"}
    assert "outside" not in listed[5432]

    # Somebody else's rules: what is allowed is dropped, over one family alone.
    node.node.run("nft", "-f", "-", stdin=FOREIGN_DROP)
    dropped = node.operate("verify")
    assert dropped.code == 1, dropped
    assert "is not reachable from outside over IPv6: silent" in dropped.document["diagnostics"][0]
    assert "*:8080 (" in dropped.document["diagnostics"][0]
    node.node.run("nft", "delete", "table", "ip6", "site")

    # Our rules, changed by hand: the node says so first, and then what can be reached that should not be.
    node.node.run("nft", "insert", "rule", "inet", "busnode", "input", "tcp", "dport", "9090", "accept")
    opened = node.operate("verify")
    assert opened.code == 1, opened
    wrong = [check["diagnostic"] for check in opened.document["checks"] if not check["ok"]]
    assert "is not as harden loaded it" in wrong[0]
    assert [line.rpartition(" over ")[2] for line in wrong[1:]] == [
        f"{family}, and the policy does not allow port 9090" for family in ("IPv4", "IPv6")
    ]


def test_behind_a_jump_host_it_is_said_that_nothing_is_seen_from_outside(node: Deployment) -> None:
    node.listen(8080)
    assert node.operate("harden").code == 0
    inventory = {"direct": node.target, "behind": {**node.target, "via": "direct"}}
    (node.folder / "deploy/nodes.json").write_text(json.dumps(inventory))
    answer = node.run("bus", "operator", "node", "verify", "--id", "behind")
    assert answer.code == 0, answer
    assert not [check for check in answer.document["checks"] if "from outside" in check["name"]]
    said = [line for line in answer.document["diagnostics"] if "not looked at from outside" in line]
    assert len(said) == 2, answer.document["diagnostics"]


def test_several_nodes_and_a_jump_host(node: Deployment) -> None:
    """One real node under several names: by itself, and through itself as jump host."""
    names = ("direct", "behind", "far")
    ways = {"direct": {}, "behind": {"via": "direct"}, "far": {"via": "behind"}}
    inventory = {name: {**node.target, **ways[name], "tags": ["rack7"]} for name in names}
    (node.folder / "deploy/nodes.json").write_text(json.dumps(inventory))
    answer = node.run("bus", "operator", "node", "status", "--tag", "rack7")
    assert answer.code == 0, answer
    assert [(found["node_id"], found["ok"]) for found in answer.document["nodes"]] == [(name, True) for name in names]
    assert "through direct (10.0.0.10)" in answer.document["nodes"][2]["diagnostics"]
    done = node.run("bus", "operator", "node", "bootstrap", "--id", "far")
    assert done.code == 0, done
    entries = node.run("bus", "operator", "node", "history").document["entries"]
    assert [entry["operation"] for entry in entries] == ["status"] * 3 + ["bootstrap"]
    said = node.node.shell("journalctl -t busnode -o cat")
    assert "bootstrap " in said
    assert ": ok" in said


def test_more_log_ins_at_once_than_sshd_takes(node: Deployment) -> None:
    """MaxStartups drops log-ins at random: they are bounded, and what is dropped all the same is tried again."""
    node.node.run("tee", "/etc/ssh/sshd_config.d/00-few.conf", stdin="MaxStartups 2:80:4\n")
    node.node.shell("systemctl reload ssh.service")
    inventory = {f"n{number}": node.target for number in range(16)}
    (node.folder / "deploy/nodes.json").write_text(json.dumps(inventory))
    answer = node.run("bus", "operator", "node", "status", "--all")
    assert answer.code == 0, [found["diagnostics"] for found in answer.document["nodes"] if not found["ok"]]


def test_a_udp_listener_is_shown_and_closed_by_the_rules_in_force(node: Deployment) -> None:
    """Nobody can tell an open UDP port from a closed one from here: the rules on the node can."""
    node.node.run("systemd-run", "--quiet", "systemd-socket-activate", "--datagram", "-l", "0.0.0.0:1161", "cat")
    name = "UDP listener 0.0.0.0:1161 (systemd-socket-) let in by no rule of the policy"
    assert node.operate("harden", "--confirm").code == 0
    closed = node.operate("verify")
    assert closed.code == 0, closed
    assert {"name": name, "ok": True, "diagnostic": ""} in closed.document["checks"]
    assert "not probed from outside, for they are UDP: 0.0.0.0:1161 (systemd-socket-)" in closed.document["diagnostics"]
    assert ("udp", 1161) in [(found["protocol"], found["port"]) for found in closed.document["facts"]["listeners"]]
    node.node.run("nft", "insert", "rule", "inet", "busnode", "input", "udp", "dport", "1161", "accept")
    opened = node.operate("verify")
    assert opened.code == 1, opened
    assert [check["ok"] for check in opened.document["checks"] if check["name"] == name] == [False]
