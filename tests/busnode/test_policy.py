"""The policy as text, and the guards that stand before it."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode import policy
from busnode.inventory import FirewallPolicy, SshPolicy, Target
from busnode.script import Layout, Step
from busnode.steps import confirm, firewall, sshd

if TYPE_CHECKING:
    from tests.busnode.conftest import Run

Program = Callable[[str, str], Path]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOk operator"
ROOT = Path(__file__).resolve().parents[2]
POLICY = FirewallPolicy((22, 80))


def test_the_rules_of_a_policy() -> None:
    assert (
        firewall.rules(POLICY)
        == """\
# Policy bus-host, version 2. Written by busnode harden, which overwrites changes made here.
table inet busnode
delete table inet busnode
table inet busnode {
    set allowed_tcp {
        type inet_service
        counter
        elements = { 22, 80 }
    }
    chain input {
        type filter hook input priority filter; policy drop;
        iif "lo" counter accept comment "loopback"
        ct state established,related counter accept comment "established"
        ct state invalid counter drop comment "invalid"
        meta l4proto { 1, 58 } counter accept comment "icmp"
        udp sport 67 udp dport 68 counter accept comment "dhcp"
        ip6 saddr fe80::/10 udp dport 546 counter accept comment "dhcpv6"
        tcp dport @allowed_tcp accept comment "allowed"
        counter drop comment "denied"
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
def test_nft_itself_takes_the_rules_of_any_policy(chosen: FirewallPolicy) -> None:
    done = subprocess.run(
        ["unshare", "--net", "nft", "-c", "-f", "-"],
        input=firewall.rules(chosen),
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
    once, _, for_everyone = sshd.dropin(target).partition("\nMatch all\n")
    lines = once.splitlines()
    wanted = policy.load().settings(target)
    pairs = list(zip(lines[2:-2:2], lines[3:-2:2], strict=True))
    assert pairs == [(f"# {setting.reason}", f"{setting.keyword} {setting.value}") for setting in wanted]
    assert {"PasswordAuthentication no", "PermitRootLogin no", "DenyUsers bus-service"} <= set(lines)
    repeated = {line.strip() for line in for_everyone.splitlines()}
    assert repeated < set(lines)
    assert {"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin no"} <= repeated


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


@dataclass(frozen=True, slots=True)
class Sshd:
    """This machine's own sshd as the one that the scripts ask, with a configuration and drop-ins of the test's."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        (self.folder / "d" / name).write_text(text)


@pytest.fixture
def real_sshd(tmp_path: Path, program: Program, layout: Layout) -> Sshd:
    folder = Path(layout.sshd_dropin).parent
    (folder / "d").mkdir()
    (folder / "config").write_text(f"Include {folder}/d/*.conf\n")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host")], check=True)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    program("sshd", f'exec /usr/sbin/sshd -f {folder}/config -h {folder}/host "$@"')
    return Sshd(folder)


def _in_force(run: Run, target: Target) -> tuple[str, str]:
    result = run(sshd.check(target)).steps[0]
    return result.status.value, result.detail


needs_sshd = pytest.mark.skipif(
    not Path("/usr/sbin/sshd").exists(), reason="sshd is not installed: apt install openssh-server"
)
# What a cloud's own configuration, an old habit or an exception for one account may say.
LOOSENED = """\
PasswordAuthentication yes
PermitRootLogin yes
HostKeyAlgorithms +ssh-rsa
KexAlgorithms +diffie-hellman-group14-sha1
Match User bus,root,bus-service
    PasswordAuthentication yes
    KbdInteractiveAuthentication yes
    PermitRootLogin yes
    PermitEmptyPasswords yes
    X11Forwarding yes
"""


@needs_sshd
def test_sshd_itself_says_that_the_drop_in_wins(run: Run, target: Target, real_sshd: Sshd) -> None:
    _write_fitted(run, target, real_sshd)
    real_sshd.write("50-cloud-init.conf", LOOSENED)
    real_sshd.write("00-a.conf", "PasswordAuthentication yes\nMatch User bus-service\nPermitTTY yes\n")
    assert _in_force(run, target) == ("ok", "in force for bus root bus-service")


def _write_fitted(run: Run, target: Target, real_sshd: Sshd) -> None:
    """The drop-in as the node's script makes it of the policy's text: with the algorithms that this openssh has."""
    place = real_sshd.folder / "d/00-busnode.conf"
    write = Step("x", "write", "sshd", ("eval", f'dropin_fitted && cp "$box/dropin" {place} && ok'))
    report = run(write, before=(("eval", f"dropin_text={shlex.quote(sshd.dropin(target))}"),))
    assert report.first_failure is None, report


@needs_sshd
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("LoginGraceTime 0", "logingracetime 0 for bus, wanted logingracetime 60"),
        ("Match User root\nPermitRootLogin yes", "permitrootlogin yes for root, wanted permitrootlogin no"),
        ("Match User bus-service\nX11Forwarding yes", "x11forwarding yes for bus-service, wanted x11forwarding no"),
        ("Match User root\nMaxAuthTries 9", "maxauthtries 9 for root, wanted maxauthtries 4"),
        ("Match User root\nClientAliveInterval 0", "clientaliveinterval 0 for root, wanted clientaliveinterval 120"),
        ("Match User bus-service\nDenyUsers x", "denyusers x for bus-service, wanted denyusers bus-service"),
        ("Match User bus\nPubkeyAuthentication no", "pubkeyauthentication no for bus, wanted pubkeyauthentication yes"),
        ("Match User root\nPubkeyAcceptedAlgorithms +ssh-rsa", "for root, wanted pubkeyacceptedalgorithms ssh-ed25519"),
        ("Ciphers +aes128-cbc", "wanted ciphers chacha20-poly1305@openssh.com,"),
    ],
)
def test_what_is_loosened_before_ours_is_named(run: Run, target: Target, real_sshd: Sshd, line: str, said: str) -> None:
    _write_fitted(run, target, real_sshd)
    real_sshd.write("00-a.conf", line + "\n")
    status, detail = _in_force(run, target)
    assert status == "failed"
    assert said in detail


STRICTER = """\
DenyUsers root
Match User root
    MaxAuthTries 2
    PubkeyAuthentication no
    PubkeyAcceptedAlgorithms ssh-ed25519
    ClientAliveInterval 30
    ClientAliveCountMax 1
"""


@needs_sshd
def test_what_the_node_forbids_beyond_the_policy_stays_forbidden(run: Run, target: Target, real_sshd: Sshd) -> None:
    """An account that the node's admin shut out stays out, and a block that asks for more still asks for it."""
    _write_fitted(run, target, real_sshd)
    real_sshd.write("50-site.conf", STRICTER)
    said = run(Step("x", "asked", "sshd", ("eval", 'sshd_says root >"$box/sshd"; ok "$(cat "$box/sshd")"'))).steps[0]
    assert set(said.detail.splitlines()) >= {
        "denyusers root",
        "denyusers bus-service",
        "maxauthtries 2",
        "pubkeyauthentication no",
        "pubkeyacceptedalgorithms ssh-ed25519",
        "clientaliveinterval 30",
        "clientalivecountmax 1",
        "passwordauthentication no",
    }
    assert _in_force(run, target) == ("ok", "in force for bus root bus-service")


@needs_sshd
def test_root_by_key_alone_does_not_let_in_a_root_that_the_node_shuts_out(
    run: Run, target: Target, real_sshd: Sshd
) -> None:
    target = replace(target, ssh_policy=SshPolicy(allow_root_login=True))
    _write_fitted(run, target, real_sshd)
    real_sshd.write("50-site.conf", "Match User root\n    PermitRootLogin no\n")
    said = run(Step("x", "asked", "sshd", ("eval", 'sshd_says root >"$box/sshd"; ok "$(cat "$box/sshd")"'))).steps[0]
    assert "permitrootlogin no" in said.detail.splitlines()
    assert _in_force(run, target)[0] == "ok"


@needs_sshd
@pytest.mark.parametrize(
    "condition",
    ["LocalPort 22", "LocalAddress 10.0.0.10", "Address 10.0.0.1", "Host 10.0.0.1", "RDomain x", "LocalPort 2222"],
)
def test_whatever_a_block_asks_of_the_log_in_is_told(run: Run, target: Target, real_sshd: Sshd, condition: str) -> None:
    """The log-in of the test comes from 10.0.0.1, to port 22 of 10.0.0.10."""
    _write_fitted(run, target, real_sshd)
    real_sshd.write("50-site.conf", f"Match {condition}\n    AuthorizedKeysFile /keys/%u\n")
    call = ("eval", 'key_files root >"$box/keys" && ok "$(cat "$box/keys")" || failed "$(cat "$log")"')
    said = run(Step("x", "asked", "credentials", call), parts=("sshd",)).steps[0]
    met = condition not in {"RDomain x", "LocalPort 2222"}
    assert (said.status.value, "/keys/root" in said.detail) == ("ok", met), said


@needs_sshd
def test_of_the_algorithms_a_node_takes_those_it_has(run: Run, program: Program, real_sshd: Sshd) -> None:
    program("ssh", 'case $2 in kex) printf "b\\nc@x\\na\\n" ;; esac')
    text = "# x, KexAlgorithms a,b\nKexAlgorithms d,c@x,a,aa\n    KexAlgorithms b,z\nLogLevel VERBOSE\n"
    call = ("eval", 'dropin_fitted && ok "$dropin_text"')
    fitted = run(Step("x", "fit", "sshd", call), before=(("eval", f"dropin_text={shlex.quote(text)}"),))
    assert fitted.steps[0].detail.splitlines() == [
        "# x, KexAlgorithms a,b",
        "KexAlgorithms c@x,a",
        "    KexAlgorithms b",
        "LogLevel VERBOSE",
    ]
    none = run(Step("x", "fit", "sshd", call), before=(("eval", "dropin_text='Ciphers a,b\n'"),))
    assert none.steps[0].detail == "this node's openssh has none of the policy's Ciphers"


# The policy's own file


DOCUMENT = policy.load().document


def test_the_policy_is_as_its_schema_says() -> None:
    schema = json.loads((ROOT / "schemas/policy.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    as_json = json.loads(json.dumps(DOCUMENT, default=str))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(as_json)] == []


def test_the_newest_change_is_that_of_this_version() -> None:
    versions = [entry["version"] for entry in DOCUMENT["changelog"]]
    assert versions == list(range(DOCUMENT["version"], 0, -1))
    dates = [entry["date"] for entry in DOCUMENT["changelog"]]
    assert dates == sorted(dates, reverse=True)


def test_a_policy_that_is_changed_gets_a_new_version() -> None:
    """Red here: raise `version`, say in the changelog what changed, and put the new digest here."""
    said = [{**item, "sources": None} for item in (*DOCUMENT["ssh"], *DOCUMENT["firewall"])]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
    assert (DOCUMENT["version"], digest) == (2, "909bf96b1e3f47e3")


@pytest.mark.parametrize(
    "item", [*DOCUMENT["ssh"], *DOCUMENT["firewall"]], ids=lambda item: item.get("keyword", item.get("name"))
)
def test_every_setting_has_a_known_source(item: dict[str, Any]) -> None:
    assert [source for source in item["sources"] if source.split()[0] not in DOCUMENT["sources"]] == []


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


@pytest.mark.parametrize(
    ("text", "risk"),
    [
        ("Match Group admins\n AuthenticationMethods publickey,keyboard-interactive\n", "line 2 of {file} ("),
        ("authenticationmethods=publickey,keyboard-interactive:pam # two\n", "line 1 of {file} ("),
        ('\tAuthenticationMethods "password" hostbased\n', "(AuthenticationMethods password hostbased) asks for what"),
        ("AuthenticationMethods publickey,password publickey\n", None),
        ("AuthenticationMethods any\n", None),
        ("AuthenticationMethods publickey,publickey\n#AuthenticationMethods password\n", None),
    ],
)
@pytest.mark.parametrize("place", ["../sshd_config", "50-site.conf"])
def test_who_is_asked_for_more_than_a_key_is_not_locked_out(
    run: Run, program: Program, layout: Layout, target: Target, text: str, risk: str | None, place: str
) -> None:
    """The automation's own log-in would confirm what shuts the admins of the node out."""
    file = (Path(layout.sshd_dropin).parent / place).resolve()
    file.write_text(text)
    error = _guard(run, program, layout, target, POLICY)
    if risk is None:
        assert "lockout_risk" not in str(error)
    else:
        assert isinstance(error, tuple)
        assert error[0] == "lockout_risk"
        assert risk.format(file=file) in error[1]
    passwords_stay = replace(target, ssh_policy=SshPolicy(disable_password_auth=False))
    assert "lockout_risk" not in str(_guard(run, program, layout, passwords_stay, POLICY))


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
