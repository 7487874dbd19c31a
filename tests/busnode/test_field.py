"""What goes wrong in the field, and needs no node to be shown; docs/field.md names the test of each."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode.script import Step, loader, pack
from busnode.secrets import Secret
from busnode.steps import firewall, sshd

if TYPE_CHECKING:
    from busnode.inventory import FirewallPolicy, Target
    from busnode.report import Report
    from tests.busnode.conftest import Run

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")

Program = Callable[[str, str], Path]


def _only(report: Report) -> tuple[str, str]:
    assert len(report.steps) == 1
    return report.steps[0].status.value, report.steps[0].detail


# 3


def _harden_sshd(run: Run, target: Target, **options: object) -> Report:
    text = shlex.quote(sshd.dropin(target))
    needed = Step("x", "needed", "sshd", ("eval", f'dropin_text={text} accounts= ssh_needed=1; : >"$box/settings"; ok'))
    return run(needed, *sshd.steps(), **options)


def test_a_configuration_that_sshd_does_not_take_is_never_reloaded(run: Run, program: Program, target: Target) -> None:
    program("sshd", 'if [ "$1" = -t ]; then echo "bad line 1" >&2; exit 255; fi')
    calls = program("systemctl", "")
    report = _harden_sshd(run, target)
    written, reload = report.steps[1], report.steps[2]
    assert written.status.value == "failed"
    assert "bad line 1" in written.detail
    assert reload.status.value == "skipped"
    assert not calls.exists(), "sshd would end at the reload"


# 12


@pytest.mark.parametrize(("runs", "status", "said"), [(0, "changed", "restarted"), (3, "ok", "ssh.socket starts sshd")])
def test_an_sshd_that_its_socket_has_started_is_restarted(
    run: Run, program: Program, target: Target, runs: int, status: str, said: str
) -> None:
    """The socket starts one sshd, which runs on and would end at a reload; before the first log-in there is none."""
    program("sshd", "")
    calls = program("systemctl", f'case "$*" in *is-active*ssh.socket) ;; *is-active*ssh.service) exit {runs} ;; esac')
    reload = _harden_sshd(run, target).steps[2]
    assert (reload.status.value, reload.detail[: len(said)]) == (status, said)
    assert ("restart ssh.service" in calls.read_text()) is (runs == 0)
    assert "reload" not in calls.read_text()
    unit = Step("enable-services", "service ssh.service", "services", ("unit_state", "ssh.service", "true", "true"))
    assert _only(run(unit)) == ("ok", "ssh.socket serves it")


# 11, 16

BOTH = "is active: a packet must pass its rules and ours"
BYPASS = "docker filters here too: published container ports bypass the input chain, and so allowed_ports"
BANS = "fail2ban is active: whom it bans stays out, also of allowed ports"
KEPT = "tables of others are left as they are: "


@pytest.mark.parametrize(
    ("active", "tables", "said", "notice"),
    [
        ((), (), "none", {}),
        (("fail2ban",), (), "fail2ban", {"fail2ban": BANS}),
        (
            ("firewalld",),
            ("inet firewalld",),
            "firewalld; tables: inet firewalld",
            {"firewalld": f"firewalld {BOTH}", "tables": f"{KEPT}inet firewalld"},
        ),
        (("docker",), (), "docker", {"docker": BYPASS}),
        (
            (),
            ("ip nat", "ip docker-bridges"),
            "docker; tables: ip nat, ip docker-bridges",
            {"docker": BYPASS, "tables": f"{KEPT}ip nat, ip docker-bridges"},
        ),
        (("ufw", "fail2ban"), (), "ufw fail2ban", {"ufw": f"ufw {BOTH}", "fail2ban": BANS}),
    ],
)
def test_who_else_filters_is_named_before_anything_is_touched(
    run: Run,
    program: Program,
    policy: FirewallPolicy,
    active: tuple[str, ...],
    tables: tuple[str, ...],
    said: str,
    notice: dict[str, str],
) -> None:
    units = " | ".join(f"{name}.service" for name in active) or "none"
    program(
        "systemctl", f'[ "$1" = is-active ] || exit 1; for unit do :; done; case $unit in {units}) ;; *) exit 3 ;; esac'
    )
    listed = "".join(f"echo 'table {table}'\n" for table in ("inet busnode", *tables))
    program("nft", listed)
    report = run(firewall.guards(policy, confirm=False)[0])
    assert _only(report) == ("ok", said)
    assert report.facts == {f"notice.{name}": text for name, text in notice.items()}


@pytest.fixture
def policy(target: Target) -> FirewallPolicy:
    """The document's own."""
    assert target.firewall_policy is not None
    return target.firewall_policy


# 7, 15


# A sudo that asks nobody for a password, and one that wants the right one on its standard input.
_SUDO = """
case $1 in
-n) [ -e {0}/free ] || exit 1; shift; [ "$1" != -- ] || shift; exec "$@" ;;
-k) IFS= read -r word; [ "$word" = right ] || exit 1; cat >{0}/rest; shift 5; exec "$@" ;;
esac
exit 1"""


@pytest.mark.parametrize(
    ("free", "word", "runs"), [(True, "wrong", True), (False, "right", True), (False, "wrong", False)]
)
def test_a_password_reaches_sudo_alone_and_a_wrong_one_eats_nothing(
    tmp_path: Path, shell: tuple[str, ...], free: bool, word: str, runs: bool
) -> None:
    """On one stream a password that sudo does not want is a line of the script, and a wrong one eats lines."""
    (tmp_path / "sudo").write_text("#!/bin/sh" + _SUDO.format(tmp_path))
    # Not root: the loader asks for root only where it is not.
    (tmp_path / "id").write_text('#!/bin/sh\necho "uid=1000(bus) gid=1000(bus) groups=1000(bus)"\n')
    for name in ("sudo", "id"):
        (tmp_path / name).chmod(0o755)
    if free:
        (tmp_path / "free").touch()
    script = ': >"$1/begun"; ls "$1"; cat; echo done\n'
    text = loader().replace("PATH=/usr/local/sbin", f"PATH={tmp_path}:/usr/local/sbin")
    done = subprocess.run(
        [*shell, "-c", text],
        input=pack(script, time_limit=20, password=Secret(word.encode())),
        capture_output=True,
        check=False,
    )
    if runs:
        assert done.stdout.splitlines()[-1] == b"done"
        assert word.encode() not in done.stdout
    else:
        assert json.loads(done.stdout)["error"] == "sudo_required"
    if not free and runs:
        assert (tmp_path / "rest").read_bytes() == b"", "the password and nothing after it"
