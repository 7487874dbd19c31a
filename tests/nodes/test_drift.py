"""Whether what was set still stands, on real nodes: each thing that somebody changed by hand is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.nodes.volatile import changes, snapshot

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Answer, Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

UNIT = "[Service]\nExecStart=sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
SECRET = "s3cret of the site"
DROPIN = "/etc/ssh/sshd_config.d/00-busnode.conf"
# What somebody does to the node, and the step that says so with its words.
BY_HAND = (
    ("bootstrap", "rmdir /srv/spool", "directory /srv/spool", "absent -> bus-service:root 700"),
    ("bootstrap", "chmod 755 /srv/inbox", "directory /srv/inbox", "root:root 755 -> root:root 750"),
    ("bootstrap", "echo another >/etc/token", "credential /etc/token", "content sha256"),
    ("bootstrap", "usermod --shell /bin/sh bus-service", "account bus-service", "shell /bin/sh -> /usr/sbin/nologin"),
    ("bootstrap", "dpkg --purge less", "packages less nftables", "install less"),
    ("bootstrap", "systemctl disable site.service", "service site.service", "enable"),
    ("bootstrap", "systemctl stop site.service", "service site.service", "start"),
    ("harden", f"echo '# mine' >>{DROPIN}", "sshd drop-in", "-# mine"),
    ("harden", f"rm {DROPIN}", "sshd policy", "wanted"),
    ("harden", "nft delete element inet busnode allowed_tcp { 8080 }", "firewall rules", "8080"),
    ("harden", "nft flush ruleset", "firewall rules", "the table inet busnode is not loaded"),
    ("harden", "systemctl stop busnode-firewall.service", "firewall rules", "inactive -> active"),
    ("harden", "systemctl disable busnode-firewall.service", "firewall rules", "disabled -> enabled"),
    ("harden", "rm /etc/busnode/firewall.nft", "firewall rules", "+++ /etc/busnode/firewall.nft (wanted)"),
)


def _applied(answer: Answer) -> dict[str, dict[str, Any]]:
    """What status says of each operation."""
    assert answer.code == 0, answer
    assert answer.document["ok"] is True
    return {each["operation"]: each for each in answer.document["facts"]["applied"]}


def _gone(answer: Answer) -> dict[str, str]:
    steps = (step for each in _applied(answer).values() for step in each["steps"])
    return {step["name"]: step["detail"] for step in steps if not step["stands"]}


def _unseen(made: Deployment) -> Answer:
    """The answer of a status that left every file of the node as it was."""
    before, state = snapshot(made.node), made.node.state()
    answer = made.operate("status")
    assert changes(before, snapshot(made.node)) == {}
    assert made.node.differences(state) == {}
    return answer


def test_what_somebody_changed_by_hand_is_named_step_by_step(bare: Deploy, suite: str) -> None:
    made = bare(suite)
    made.node.place("/etc/systemd/system/site.service", UNIT)
    made.start()
    assert made.ssh("sudo", "-n", "true").returncode == 0
    credential = made.folder / "local/token"
    credential.touch(mode=0o600)
    credential.write_text(SECRET)
    made.write_target(
        packages=["less", "nftables"],
        directories=[
            {"path": "/srv/spool", "owner": "bus-service", "mode": "0700"},
            {"path": "/srv/inbox", "mode": "0750"},
        ],
        credentials=[
            {"source": "../local/token", "destination": "/etc/token"},
            {"authorized_key": "operator"},
        ],
        services=[{"unit": "site.service"}],
    )
    untouched = _unseen(made)
    assert _applied(untouched) == {}
    assert untouched.document["facts"]["last_operation"] is None
    assert "busnode has set nothing here" in str(untouched.document["steps"])

    assert made.operate("bootstrap").code == 0
    assert made.operate("harden").code == 0
    fresh = _unseen(made)
    assert {name: each["stands"] for name, each in _applied(fresh).items()} == {"bootstrap": True, "harden": True}
    assert _gone(fresh) == {}
    assert not [line for line in fresh.document["diagnostics"] if "no longer" in line]
    assert SECRET not in made.node.shell("cat /var/lib/busnode/applied.*")

    # The inventory says something else by now; what was set is what is asked after.
    made.write_target(directories=[], packages=["nftables"], allowed_ports=[22])
    assert _gone(made.operate("status")) == {}
    made.write_target(packages=["less", "nftables"], allowed_ports=[22, 80, 443, 8080])

    for operation, change, step, words in BY_HAND:
        made.node.shell(change)
        answer = made.operate("status")
        found = _gone(answer)
        assert words in found.get(step, ""), (change, found)
        assert _applied(answer)[operation]["stands"] is False
        said = [line for line in answer.document["diagnostics"] if line.startswith(f"no longer as {operation} set it")]
        assert any(f": {step}: " in line for line in said), said
        if operation == "harden":
            assert made.operate("harden").code == 0
            assert _applied(made.operate("status"))["harden"]["stands"] is True, change
    _unseen(made)
    made.write_target(
        directories=[
            {"path": "/srv/spool", "owner": "bus-service", "mode": "0700"},
            {"path": "/srv/inbox", "mode": "0750"},
        ]
    )
    assert made.operate("bootstrap").code == 0
    assert _gone(made.operate("status")) == {}

    # Going back ends what harden wanted.
    assert made.operate("rollback").code == 0
    assert list(_applied(made.operate("status"))) == ["bootstrap", "harden"]
