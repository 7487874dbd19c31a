"""Hardening a real node: what it closes, when it refuses, and that it always comes back."""

from __future__ import annotations

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.nodes import process
from tests.nodes.deployment import NODE_ID
from tests.nodes.node import ADDRESS, ADDRESS_6
from tests.nodes.tree import USER

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Answer, Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

# How long a node waits for a confirmation here, and how much later its old state is there for sure.
ROLLBACK_AFTER = 15
ROLLED_BACK_SECONDS = ROLLBACK_AFTER + 20

# Rules of somebody else, such as a container engine writes.
FOREIGN_RULES = """
add table ip docker
add chain ip docker prerouting { type nat hook prerouting priority dstnat; }
add set ip docker published { type ipv4_addr; }
add element ip docker published { 192.0.2.7 }
"""

# A change for the worse that no check of a configuration sees: sshd's reload closes the node to every user, and the
# next reload opens it again. What is between the two is a lockout.
LOCKOUT_HOOK = r"""#!/bin/sh
if [ -e /etc/nologin ]; then rm /etc/nologin; else echo closed >/etc/nologin; fi
: >/run/reloaded
"""


@pytest.fixture
def trixie(prepared: Deploy) -> Deployment:
    """A bootstrapped node of the newer release, not running yet."""
    return prepared("trixie")


def _on_reload(made: Deployment, script: str) -> None:
    """Let a running node run `script` as root whenever its sshd reloads."""
    made.node.run("tee", "/usr/local/sbin/on-reload", stdin=script)
    made.node.shell(
        "chmod 755 /usr/local/sbin/on-reload; mkdir -p /etc/systemd/system/ssh.service.d;"
        "printf '[Service]\\nExecReload=/usr/local/sbin/on-reload\\n' >/etc/systemd/system/ssh.service.d/site.conf;"
        "systemctl daemon-reload"
    )


def _refused(answer: Answer, error_class: str, code: int = 1) -> None:
    assert answer.code == code, answer
    assert answer.document["ok"] is False
    assert answer.document["error_class"] == error_class, answer.document
    assert answer.errors.strip(), "stderr says why"


def _comes_back(made: Deployment, before: dict[str, str]) -> None:
    """Wait until everything that harden manages is byte for byte as before."""
    try:
        process.wait_until("the old state", lambda: not made.node.differences(before), ROLLED_BACK_SECONDS, pause=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {made.node.differences(before)}") from None


# What it closes


def test_an_allowed_port_answers_and_every_other_is_silent(node: Deployment) -> None:
    node.listen(8080)
    node.listen(9090)
    assert node.operate("harden", "--confirm").code == 0
    for address in (ADDRESS, ADDRESS_6):
        ends = [(address, port) for port in (22, 80, 8080, 9090, 23)]
        assert list(node.station.probe(*ends).values()) == ["open", "refused", "open", "silent", "silent"]


def test_a_port_that_listens_is_dropped_only_when_that_is_meant(node: Deployment) -> None:
    node.listen(9090)
    before = node.node.state()
    answer = node.operate("harden")
    assert answer.code == 2, answer
    assert "9090" in answer.errors
    assert "--confirm" in answer.errors
    assert node.node.differences(before) == {}
    assert node.station.probe((ADDRESS, 9090)) == {(ADDRESS, 9090): "open"}


def test_passwords_and_root_are_out_whatever_other_files_say(trixie: Deployment) -> None:
    trixie.node.place("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\nPermitRootLogin yes\n")
    trixie.start()
    key = (trixie.folder / "local/id_ed25519.pub").read_text()
    trixie.node.run("sh", "-euc", "umask 077; mkdir -p /root/.ssh; cat >/root/.ssh/authorized_keys", stdin=key)
    trixie.node.run("chpasswd", stdin=f"{USER}:correct horse\nroot:correct horse\n")
    assert trixie.ssh("true", user="root").returncode == 0
    assert "password" in _ways_in(trixie)
    assert trixie.operate("harden").code == 0
    assert trixie.ssh("true", user="root").returncode == 255
    assert trixie.ssh("sudo", "-n", "true").returncode == 0
    assert _ways_in(trixie) == {"publickey"}


def _ways_in(made: Deployment) -> set[str]:
    """The methods that sshd offers to somebody without a key."""
    said = made.ssh("true", options=("-o", "PreferredAuthentications=none")).stderr
    return set(said.rpartition("(")[2].partition(")")[0].split(","))


def test_other_tables_survive(node: Deployment) -> None:
    node.node.run("nft", "-f", "-", stdin=FOREIGN_RULES)
    foreign = node.node.run("nft", "list", "table", "ip", "docker").stdout
    first = node.operate("harden")
    assert first.code == 0, first
    assert node.node.run("nft", "list", "table", "ip", "docker").stdout == foreign
    node.write_target(allowed_ports=[22, 443])
    second = node.operate("harden")
    assert second.code == 0, second
    assert second.changed
    assert node.node.run("nft", "list", "table", "ip", "docker").stdout == foreign
    assert node.station.probe((ADDRESS, 8080), (ADDRESS, 443)) == {(ADDRESS, 8080): "silent", (ADDRESS, 443): "refused"}


# When it refuses


def test_a_policy_without_the_ssh_port_is_refused(node: Deployment) -> None:
    node.write_target(allowed_ports=[80, 443])
    before = node.node.state()
    _refused(node.operate("harden", "--confirm"), "lockout_risk")
    assert node.node.differences(before) == {}
    assert node.ssh("true").returncode == 0


def test_the_ssh_port_that_counts_is_the_live_one(trixie: Deployment) -> None:
    trixie.node.place("/etc/ssh/sshd_config.d/10-port.conf", "Port 2222\n")
    trixie.start()
    known = trixie.node.known_hosts().replace(f"{ADDRESS},", f"[{ADDRESS}]:2222,")
    (trixie.station.home / ".ssh/known_hosts").write_text(known)
    trixie.write_target(port=2222, allowed_ports=[22])
    before = trixie.node.state()
    _refused(trixie.operate("harden", "--confirm"), "lockout_risk")
    assert trixie.node.differences(before) == {}


def test_root_is_not_locked_out_of_its_own_session(trixie: Deployment) -> None:
    trixie.start()
    key = (trixie.folder / "local/id_ed25519.pub").read_text()
    trixie.node.run("sh", "-euc", "umask 077; mkdir -p /root/.ssh; cat >/root/.ssh/authorized_keys", stdin=key)
    trixie.write_target(user="root")
    before = trixie.node.state()
    _refused(trixie.operate("harden"), "lockout_risk")
    assert trixie.node.differences(before) == {}
    trixie.write_target(ssh_policy={"allow_root_login": True})
    allowed = trixie.operate("harden")
    assert allowed.code == 0, allowed
    assert trixie.ssh("true", user="root").returncode == 0
    assert _ways_in(trixie) == {"publickey"}


def test_a_user_without_sudo_is_told_so(trixie: Deployment) -> None:
    trixie.node.place(f"/etc/sudoers.d/{USER}", "# nothing for anybody\n", mode=0o440)
    trixie.start()
    before = trixie.node.state()
    _refused(trixie.operate("harden"), "sudo_required")
    assert trixie.node.differences(before) == {}


def test_a_sudo_password_comes_from_a_file_and_shows_nowhere(trixie: Deployment) -> None:
    trixie.node.place(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL:ALL) ALL\n", mode=0o440)
    trixie.start()
    password = "correct horse battery"
    trixie.node.run("chpasswd", stdin=f"{USER}:{password}\n")
    secret = trixie.folder / "local/sudo"
    secret.touch(mode=0o600)
    secret.write_text(password + "\n")
    trixie.write_target(become={"password": "../local/sudo"})
    for operation in ("status", "harden", "verify"):
        answer = trixie.operate(operation)
        assert answer.code == 0, answer
        assert password not in f"{answer.documents}{answer.errors}"
    assert password not in trixie.node.shell("journalctl --no-pager; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    secret.write_text("wrong\n")
    _refused(trixie.operate("status"), "sudo_required")


# That it comes back


def test_a_change_that_locks_out_is_rolled_back(node: Deployment) -> None:
    _on_reload(node, LOCKOUT_HOOK)
    before = node.node.state()
    answer = node.operate("harden", "--rollback-after", str(ROLLBACK_AFTER))
    _refused(answer, "rolled_back", code=4)
    _comes_back(node, before)
    assert node.ssh("sudo", "-n", "true").returncode == 0
    assert list(node.station.probe((ADDRESS, 9090), (ADDRESS_6, 9090)).values()) == ["refused", "refused"]
    again = node.operate("status")
    assert again.code == 0, again


def test_a_node_whose_operator_was_killed_comes_back_by_itself(node: Deployment) -> None:
    _on_reload(node, LOCKOUT_HOOK)
    before = node.node.state()
    _kill_between_apply_and_confirm(node)
    assert node.node.state() != before
    _comes_back(node, before)
    assert node.ssh("sudo", "-n", "true").returncode == 0


def _kill_between_apply_and_confirm(made: Deployment) -> None:
    """Harden, with every change made and no fresh log-in possible; then kill -9 the operator's side."""
    command = ("bus", "operator", "node", "harden", "--id", NODE_ID, "--rollback-after", str(ROLLBACK_AFTER))
    cli = process.start(
        made.station.command(*command, cwd=made.folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=made.station.environment(made.environment),
    )
    applied = "test -e /run/reloaded && nft list table inet busnode"
    try:
        process.wait_until("the change", lambda: made.node.run("sh", "-c", applied, check=False).stdout, 60)
        # The firewall comes last; a moment later the first connection has ended.
        time.sleep(1)
        assert cli.poll() is None
    finally:
        process.kill(cli)
    assert cli.returncode == -signal.SIGKILL


def test_a_power_cut_between_change_and_confirmation_undoes_the_change(trixie: Deployment) -> None:
    # The hook's own mark lives in /run: after the power cut the site's reload must not close the node.
    trixie.start()
    _on_reload(trixie, "#!/bin/sh\necho closed >/run/nologin\n: >/run/reloaded\n")
    before = trixie.node.state()
    _kill_between_apply_and_confirm(trixie)
    trixie.node.power_cycle()
    _comes_back(trixie, before)
    assert trixie.ssh("sudo", "-n", "true").returncode == 0


# nft waits once, before anything is changed, so that a connection can be lost right there.
SLOW_NFT = """#!/bin/sh
if [ "$*" = "list tables" ] && [ ! -e /run/waits ]; then : >/run/waits; sleep 8; fi
exec /usr/sbin/nft "$@"
"""


def test_a_connection_lost_before_the_rollback_is_armed_leaves_nothing_changed(node: Deployment) -> None:
    """The node goes on without its operator, who is told the truth of what came of it."""
    before = node.node.state()
    node.node.run("tee", "/usr/local/sbin/nft", stdin=SLOW_NFT)
    node.node.shell("chmod 755 /usr/local/sbin/nft")
    with ThreadPoolExecutor() as pool:
        going = pool.submit(node.operate, "harden", "--rollback-after", "120")
        process.wait_until(
            "the first steps", lambda: node.node.run("test", "-e", "/run/waits", check=False).returncode == 0, 60
        )
        node.node.shell(f"pkill -u {USER} -f sshd")
        answer = going.result()
    _refused(answer, "rolled_back", code=4)
    assert node.node.differences(before) == {}
    assert answer.seconds < 60, "nobody waits for the rollback's time"
    node.node.run("rm", "/usr/local/sbin/nft")
    assert node.operate("harden").code == 0


# Beside others


def test_of_two_operators_one_is_told_to_wait(trixie: Deployment) -> None:
    trixie.start()
    _on_reload(trixie, "#!/bin/sh\n: >/run/reloaded\nsleep 6\n")
    first = process.start(
        trixie.station.command("bus", "operator", "node", "harden", "--id", NODE_ID, cwd=trixie.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=trixie.station.environment(trixie.environment),
    )
    try:
        process.wait_until(
            "the first", lambda: trixie.node.run("test", "-e", "/run/reloaded", check=False).returncode == 0, 60
        )
        begin = time.monotonic()
        second = trixie.operate("harden")
        _refused(second, "conflict")
        assert time.monotonic() - begin < 6, "it does not wait for the first"
        out, err = first.communicate(timeout=120)
        assert first.returncode == 0, (out, err)
    finally:
        process.kill(first)
    assert trixie.operate("verify").code == 0


# The way back


def test_rollback_returns_to_the_state_before_the_last_harden(node: Deployment) -> None:
    before = node.node.state()
    assert node.operate("harden").code == 0
    hardened = node.node.state()
    shown = node.operate("rollback", "--dry-run")
    assert shown.code == 0, shown
    assert node.node.differences(hardened) == {}
    assert "-PasswordAuthentication no" in str(shown.document["steps"])
    back = node.operate("rollback")
    assert back.code == 0, back
    assert node.node.differences(before) == {}
    assert node.ssh("sudo", "-n", "true").returncode == 0
    again = node.operate("rollback")
    assert (again.code, again.changed) == (0, []), again
    assert node.operate("harden").code == 0
    assert node.node.differences(hardened) == {}
    assert node.operate("verify").code == 0


def test_a_rollback_that_locks_out_ends_as_hardened(trixie: Deployment) -> None:
    trixie.start()
    assert trixie.operate("harden").code == 0
    _on_reload(trixie, LOCKOUT_HOOK)
    hardened = trixie.node.state()
    _refused(trixie.operate("rollback", "--rollback-after", str(ROLLBACK_AFTER)), "rolled_back", code=4)
    _comes_back(trixie, hardened)
    assert trixie.ssh("sudo", "-n", "true").returncode == 0


def test_a_power_cut_while_going_back_ends_as_hardened(trixie: Deployment) -> None:
    trixie.start()
    assert trixie.operate("harden").code == 0
    _on_reload(trixie, "#!/bin/sh\necho closed >/run/nologin\n: >/run/reloaded\n")
    hardened = trixie.node.state()
    command = ("bus", "operator", "node", "rollback", "--id", NODE_ID, "--rollback-after", "120")
    cli = process.start(
        trixie.station.command(*command, cwd=trixie.folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=trixie.station.environment(trixie.environment),
    )
    try:
        process.wait_until(
            "the old state", lambda: trixie.node.run("test", "-e", "/run/reloaded", check=False).returncode == 0, 60
        )
    finally:
        process.kill(cli)
    assert trixie.node.state() != hardened
    trixie.node.power_cycle()
    _comes_back(trixie, hardened)
    assert trixie.operate("verify").code == 0


def test_the_rules_outlive_whatever_is_done_to_nftables_service(node: Deployment) -> None:
    assert node.operate("harden").code == 0
    assert node.node.shell("systemctl is-active nftables.service || :").strip() == "inactive"
    for change in ("start", "restart", "reload", "stop"):
        node.node.shell(f"systemctl {change} nftables.service")
        assert node.operate("verify").code == 0, change


def test_without_nft_it_is_refused_before_anything_is_touched(node: Deployment) -> None:
    """Packages are bootstrap's."""
    node.node.shell("mv /usr/sbin/nft /usr/sbin/nft.away")
    before = node.node.state()
    answer = node.operate("harden")
    assert answer.code == 1, answer
    assert "nft is not installed; run bootstrap first" in " ".join(answer.document["diagnostics"])
    assert not answer.changed
    assert node.node.differences(before) == {}
