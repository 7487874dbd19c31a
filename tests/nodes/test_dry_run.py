"""A dry run of a real node: the exact difference is shown, and nothing at all is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nodes.volatile import changes, snapshot

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Answer, Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

# Their sha256 begin with d79c41fa and fccfc0ba.
SECRET = "s3cret of the site"
OLD_SECRET = "the one before"


def _running(made: Deployment) -> Deployment:
    """Running, and somebody has logged in before, as on any node."""
    made.start()
    assert made.ssh("sudo", "-n", "true").returncode == 0
    return made


def _dry(made: Deployment, operation: str) -> Answer:
    """The answer of a dry run that left every file of the node as it was."""
    before, state = snapshot(made.node), made.node.state()
    answer = made.operate(operation, "--dry-run")
    assert changes(before, snapshot(made.node)) == {}
    assert made.node.differences(state) == {}
    assert answer.code == 0, answer
    assert answer.document["dry_run"] is True
    assert answer.changed == []
    return answer


def _details(answer: Answer) -> dict[str, str]:
    return {step["name"]: step["detail"] for step in answer.document["steps"] if step["status"] == "would-change"}


def test_a_dry_bootstrap_writes_nothing_and_shows_what_the_real_one_does(bare: Deploy, suite: str) -> None:
    made = bare(suite)
    made.node.place("/etc/token", OLD_SECRET, mode=0o600)
    _running(made)
    made.node.shell(": >/home/bus/.ssh/authorized_keys2; apt-get -q update")
    credential = made.folder / "local/token"
    credential.touch(mode=0o600)
    credential.write_text(SECRET)
    made.write_target(
        packages=["less", "nftables"],
        directories=[{"path": "/srv/gateway/spool", "owner": "bus-service", "mode": "0700"}],
        credentials=[{"source": "../local/token", "destination": "/etc/token", "mode": "0400"}],
        services=[{"unit": "nftables.service", "enabled": True}],
    )
    shown = _details(_dry(made, "bootstrap"))
    packages = shown.pop("packages less nftables").splitlines()
    assert packages[0] == "install less nftables"
    assert shown == {
        "account bus-service": "create",
        "directory /srv/gateway/spool": ("absent -> bus-service:root 700\n/srv/gateway: absent -> root:root 755"),
        "credential /etc/token": "other content -> root:root 400; content sha256 fccfc0ba -> d79c41fa",
        "service nftables.service": "no unit nftables.service yet, before the installation of less nftables",
    }
    before = _versions(made)
    real = made.operate("bootstrap")
    assert real.code == 0, real
    assert set(real.changed) == {"packages less nftables", *shown}
    new = {f"{name}: absent -> {version}" for name, version in _versions(made).items() if name not in before}
    assert set(packages[1:]) == new
    assert made.node.shell("stat -c '%U:%G %a' /srv/gateway") == "root:root 755\n"
    again = _dry(made, "bootstrap")
    assert {step["status"] for step in again.document["steps"]} <= {"ok", "skipped"}


def _versions(made: Deployment) -> dict[str, str]:
    said = made.node.run("dpkg-query", "-W", "-f", "${Package} ${Version}\n").stdout
    return dict(line.split(" ", 1) for line in said.splitlines())


def test_a_dry_harden_writes_nothing_and_shows_the_files_of_the_real_one(prepared: Deploy, suite: str) -> None:
    made = _running(prepared(suite))
    shown = _added("\n".join(_details(_dry(made, "harden")).values()))
    assert made.operate("harden").code == 0
    assert set(shown) == {
        "/etc/ssh/sshd_config.d/00-busnode.conf",
        "/etc/busnode/firewall.nft",
        "/etc/systemd/system/busnode-firewall.service",
        "/etc/systemd/system/nftables.service.d/busnode.conf",
    }
    for path, text in shown.items():
        assert made.node.run("cat", path).stdout == text
    made.write_target(allowed_ports=[22, 443])
    answer = _details(_dry(made, "harden"))["firewall rules"]
    assert "\n-        elements = { 22, 80, 443, 8080 }\n+        elements = { 22, 443 }\n" in answer
    assert "-PasswordAuthentication no" in str(_details(_dry(made, "rollback")))


def _added(differences: str) -> dict[str, str]:
    """The files that unified differences make: path -> content."""
    found: dict[str, str] = {}
    path = ""
    for line in differences.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ ").removesuffix(" (wanted)")
            found[path] = ""
        elif line.startswith("+"):
            found[path] += line[1:] + "\n"
    return found
