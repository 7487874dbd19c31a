"""The policy as text, and the guards that stand before it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode.inventory import FirewallPolicy, ServiceAccount, SshPolicy, Target
from busnode.script import Layout, Step
from busnode.steps import confirm, firewall, sshd

if TYPE_CHECKING:
    from tests.busnode.conftest import Run

Program = Callable[[str, str], Path]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOk operator"
POLICY = FirewallPolicy((22, 80))


def test_the_rules_of_a_policy() -> None:
    assert (
        firewall.rules(POLICY)
        == """\
# Written by busnode harden, which overwrites changes made here.
table inet busnode
delete table inet busnode
table inet busnode {
    chain input {
        type filter hook input priority filter; policy drop;
        iif "lo" accept
        ct state established,related accept
        ct state invalid drop
        meta l4proto { 1, 58 } accept
        udp sport 67 udp dport 68 accept
        ip6 saddr fe80::/10 udp dport 546 accept
        tcp dport { 22, 80 } accept
    }
}
"""
    )


policies = st.builds(
    FirewallPolicy,
    st.lists(st.integers(1, 65535), unique=True, max_size=20).map(sorted).map(tuple),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed: apt install nftables")
@given(policies)
def test_nft_itself_takes_the_rules_of_any_policy(policy: FirewallPolicy) -> None:
    done = subprocess.run(
        ["unshare", "--net", "nft", "-c", "-f", "-"],
        input=firewall.rules(policy),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    file = tmp_path / "busnode-firewall.service"
    file.write_text(firewall.unit())
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt install systemd")
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert file.name not in done.stderr.replace("Command /usr/sbin/nft is not executable", "")


def test_the_drop_in_says_why_and_what(target: Target) -> None:
    text = sshd.dropin(target)
    settings = [line for line in text.splitlines() if not line.startswith("#")]
    assert settings == [
        "PubkeyAuthentication yes",
        "PermitEmptyPasswords no",
        "MaxAuthTries 4",
        "X11Forwarding no",
        "PermitRootLogin no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "DenyUsers bus-service",
    ]
    assert text.count("\n# ") == len(settings)


@pytest.mark.parametrize(
    ("policy", "has", "has_not"),
    [
        (SshPolicy(allow_root_login=True), "permitrootlogin without-password", "permitrootlogin no"),
        (SshPolicy(disable_password_auth=False), "permitrootlogin no", "passwordauthentication no"),
    ],
)
def test_what_must_be_in_force_follows_the_policy(target: Target, policy: SshPolicy, has: str, has_not: str) -> None:
    effective = sshd.effective(replace(target, ssh_policy=policy))
    assert has in effective
    assert has_not not in effective


@pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="sshd is not installed: apt install openssh-server")
def test_sshd_itself_says_what_must_be_in_force(target: Target, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(sshd.dropin(replace(target, service_accounts=(ServiceAccount("bus-service"),))))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "host")], check=True)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = ["/usr/sbin/sshd", "-T", "-f", str(tmp_path / "config"), "-h", str(tmp_path / "host")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert set(sshd.effective(target)) <= set(said.lower().splitlines())


# Guards


def _guard(
    run: Run, program: Program, layout: Layout, target: Target, policy: FirewallPolicy, **changes: str
) -> object:
    keys = Path(layout.state_dir) / "authorized_keys"
    keys.write_text(changes.get("keys", KEY))
    program("sshd", f"echo 'authorizedkeysfile {keys}'\necho 'authorizedkeyscommand {changes.get('command', 'none')}'")
    program("nft", "")
    step = confirm.guard(target, policy, knows_operator=True)
    return run(step, parts=("credentials", "sshd"), user=changes.get("user", "bus"), operator_key=KEY).error


@pytest.mark.parametrize(
    ("policy", "changes", "risk"),
    [
        (POLICY, {}, None),
        (FirewallPolicy((2222,)), {}, "port 22, which is not in allowed_ports"),
        (FirewallPolicy((220, 2)), {}, "port 22, which is not in allowed_ports"),
        (FirewallPolicy((), default_deny_inbound=False), {}, None),
        (POLICY, {"user": "root"}, "root is the account that logs in"),
        (POLICY, {"keys": "# nothing\n"}, "no key of the operator for bus"),
        (POLICY, {"keys": f"#{KEY}\n"}, "no key of the operator for bus"),
        (POLICY, {"keys": "", "command": "/usr/bin/keys"}, None),
    ],
)
def test_what_could_lock_the_operator_out_is_refused(
    run: Run,
    program: Program,
    layout: Layout,
    target: Target,
    policy: FirewallPolicy,
    changes: dict[str, str],
    risk: str | None,
) -> None:
    error = _guard(run, program, layout, target, policy, **changes)
    if risk is None:
        assert error is None or "lockout_risk" not in str(error)
    else:
        assert isinstance(error, tuple)
        assert error[0] == "lockout_risk"
        assert risk in error[1]


def test_every_risk_is_named_at_once(run: Run, program: Program, layout: Layout, target: Target) -> None:
    error = _guard(run, program, layout, target, FirewallPolicy((80,)), keys="", user="root")
    assert isinstance(error, tuple)
    assert error[1].count(";") == 2


SOCKETS = """\
tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))
tcp LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=1,fd=4))
tcp LISTEN 0 5 127.0.0.1:6379 0.0.0.0:* users:(("redis",pid=2,fd=4))
tcp LISTEN 0 5 [::1]:631 [::]:* users:(("cupsd",pid=2,fd=4))
udp UNCONN 0 0 0.0.0.0:68 0.0.0.0:* users:(("dhclient",pid=3,fd=6))
udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("resolved",pid=3,fd=6))
"""


@pytest.mark.parametrize(
    ("line", "dropped"),
    [
        ("", None),
        ('tcp LISTEN 0 5 *:80 *:* users:(("nginx",pid=2,fd=4))', None),
        ('tcp LISTEN 0 5 *:9090 *:* users:(("prom",pid=2,fd=4))', "tcp/9090 (prom)"),
        ('tcp LISTEN 0 5 [fd00::1]:9090 [::]:* users:(("prom",pid=2,fd=4))', "tcp/9090 (prom)"),
        ('udp UNCONN 0 0 0.0.0.0:80 0.0.0.0:* users:(("quic",pid=2,fd=4))', "udp/80 (quic)"),
    ],
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_what_listens_is_dropped_only_when_that_is_meant(
    run: Run, program: Program, line: str, dropped: str | None, confirmed: bool
) -> None:
    program("ss", f"cat <<'END'\n{SOCKETS}{line}\nEND" if line else f"cat <<'END'\n{SOCKETS}END")
    needed = Step("x", "needed", "firewall", ("eval", "firewall_needed=1; ok"))
    report = run(needed, *firewall.guards(POLICY, confirm=confirmed)[1:])
    if dropped is None:
        assert (report.error, report.facts) == (None, {})
    elif confirmed:
        assert report.facts == {"notice.dropped": f"the policy drops what listens now: {dropped}"}
    else:
        assert report.error is not None
        assert report.error[0] == "confirmation_required"
        assert f": {dropped}; add the ports to allowed_ports, or repeat with --confirm" in report.error[1]
