"""Bootstrap of a real node beyond the built-in profile: what the inventory names is there, and only that is touched."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.busnode.examples import blocks
from tests.nodes import process

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(200, func_only=True)]

# dpkg's own lock, held as another package manager holds it; says so once it has it.
_HOLD_DPKG = """perl -MFcntl=:DEFAULT,F_SETLK -e '
    open(my $lock, ">", "/var/lib/dpkg/lock-frontend") or die;
    my $whole = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
    fcntl($lock, F_SETLK, $whole) or die;
    $| = 1; print "held\\n"; sleep 5'"""


@pytest.fixture
def trixie(prepared: Deploy) -> Deployment:
    made = prepared("trixie")
    made.start()
    return made


def test_what_the_inventory_names_is_there_once(node: Deployment) -> None:
    secret = "s3cret of the site"
    credential = node.folder / "local/token"
    credential.touch(mode=0o600)
    credential.write_text(secret)
    node.write_target(
        packages=["less"],
        service_accounts=[{"name": "gateway", "home": "/srv/gateway"}],
        directories=[{"path": "/srv/gateway/spool", "owner": "gateway", "group": "gateway", "mode": "0700"}],
        credentials=[
            {"source": "../local/token", "destination": "/srv/gateway/token", "owner": "gateway", "mode": "0400"}
        ],
    )
    first = node.operate("bootstrap")
    assert first.code == 0, first
    machine = node.node
    assert machine.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "less").stdout == "installed"
    assert machine.shell("stat -c '%F %U %G %a' /srv/gateway/spool") == "directory gateway gateway 700\n"
    assert machine.shell("stat -c '%U %a' /srv/gateway/token; cat /srv/gateway/token") == f"gateway 400\n{secret}"
    assert machine.shell("getent passwd gateway").strip().endswith(("/usr/sbin/nologin", "/bin/false"))
    assert secret not in f"{first.documents}{first.errors}"
    assert secret not in machine.shell("journalctl --no-pager; grep -rs s3cret /run /tmp /var/tmp /etc || true")
    again = node.operate("bootstrap")
    assert again.code == 0, again
    assert again.changed == []


def test_a_step_of_the_operators_own_from_the_docs(node: Deployment) -> None:
    (node.folder / "site_steps.py").write_text(blocks("docs/steps.md", "python")[0])
    steps = json.loads(blocks("docs/steps.md", "json")[0])["proxy"]["steps"]
    node.write_target(steps=steps)
    before = node.node.run("cat", "/etc/motd").stdout
    shown = node.operate("bootstrap", "--steps", "site_steps.py", "--dry-run")
    assert shown.code == 0, shown
    assert f"+{steps[0]['text']}" in str(shown.document["steps"])
    assert node.node.run("cat", "/etc/motd").stdout == before
    assert node.operate("bootstrap", "--steps", "site_steps.py").changed == ["message in /etc/motd"]
    assert node.node.run("cat", "/etc/motd").stdout == steps[0]["text"] + "\n"
    assert node.operate("bootstrap", "--steps", "site_steps.py").changed == []
    missing = node.operate("status")
    assert missing.code == 0, missing


# As cloud-init's own program: its first boot takes a while, and apt is its own until then.
_CLOUD_INIT = """#!/bin/sh
echo "$@" >>/run/cloud-init.asked
if [ "$2" = --wait ]; then sleep 4; : >/run/cloud-init.done; fi
echo "status: done"
"""


def test_cloud_init_is_awaited(bare: Deploy, suite: str) -> None:
    made = bare(suite)
    made.node.place("/usr/bin/cloud-init", _CLOUD_INIT, mode=0o755)
    made.start()
    made.write_target(packages=["less"])
    answer = made.operate("bootstrap")
    assert answer.code == 0, answer
    seconds = {step["name"]: step["seconds"] for step in answer.document["steps"]}
    assert seconds["wait for cloud-init"] >= 4
    asked, installed = made.node.shell("stat -c %Y /run/cloud-init.done /var/lib/dpkg/info/less.list").split()
    assert int(asked) <= int(installed)
    assert made.node.shell("cat /run/cloud-init.asked") == "status --wait\n"


def test_what_drifted_is_put_right_and_nothing_else_is_touched(node: Deployment) -> None:
    node.node.shell("chmod 777 /var/lib/bus; chown bus-service /etc/bus")
    answer = node.operate("bootstrap")
    assert answer.code == 0, answer
    assert sorted(name.split()[-1] for name in answer.changed) == ["/etc/bus", "/var/lib/bus"]
    assert node.node.shell("stat -c '%U %a' /var/lib/bus /etc/bus") == "bus-service 750\nroot 750\n"


def test_a_package_that_is_not_to_be_had_is_named(trixie: Deployment) -> None:
    trixie.write_target(packages=["nftables", "no-such-package"], directories=[{"path": "/srv/after"}])
    answer = trixie.operate("bootstrap")
    assert answer.code == 1, answer
    assert answer.document["error_class"] == "apply_failed"
    assert "no-such-package" in answer.document["diagnostics"][0]
    statuses = {step["name"]: step["status"] for step in answer.document["steps"]}
    assert statuses.pop("directory /srv/after") == "skipped"
    assert "failed" in statuses.values()
    assert trixie.node.run("test", "-e", "/srv/after", check=False).returncode == 1


def test_another_package_manager_is_waited_for(trixie: Deployment) -> None:
    trixie.write_target(packages=["less"])
    other = process.start(trixie.node.command("sh", "-c", _HOLD_DPKG), stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        answer = trixie.operate("bootstrap")
    finally:
        process.kill(other)
    assert answer.code == 0, answer
    assert answer.seconds > 3


def test_a_node_that_dies_midway_is_noticed(trixie: Deployment) -> None:
    trixie.write_target(packages=["less"])
    other = process.start(trixie.node.command("sh", "-c", _HOLD_DPKG), stdout=subprocess.PIPE)
    cli = process.start(
        trixie.station.command("bus", "operator", "node", "bootstrap", "--id", "proxy", cwd=trixie.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=trixie.station.environment(trixie.environment),
    )
    try:
        process.wait_until("apt", lambda: trixie.node.run("pgrep", "-x", "apt-get", check=False).stdout, 20)
        trixie.node.stop()
        out, err = cli.communicate(timeout=60)
    finally:
        process.kill(cli)
        process.kill(other)
    assert cli.returncode == 3, (out, err)
    assert b'"unreachable"' in out
