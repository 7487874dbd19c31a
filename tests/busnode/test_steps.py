"""The shell functions of bootstrap, verify and status, in throw-away roots, in each shell that may be a node's sh."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode.contract import StepStatus
from busnode.inventory import Listener, Target
from busnode.script import Step
from busnode.steps import credentials, facts, listeners

if TYPE_CHECKING:
    from busnode.report import Report
    from tests.busnode.conftest import Run

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")

Program = Callable[[str, str], Path]


def _only(report: Report) -> tuple[str, str]:
    assert len(report.steps) == 1
    return report.steps[0].status.value, report.steps[0].detail


# Directories


def _directory(path: Path, owner: str = "root", mode: str = "750") -> Step:
    return Step(
        "create-directories", f"directory {path}", "directories", ("directory_present", str(path), owner, "root", mode)
    )


def test_a_directory_is_made_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a b/it's $(x)"
    assert _only(run(_directory(path))) == ("changed", "absent -> root:root 750")
    assert path.stat().st_mode & 0o7777 == 0o750
    assert _only(run(_directory(path))) == ("ok", "")


def test_the_node_looks_at_all_paths_at_once(run: Run, tmp_path: Path, program: Program) -> None:
    asked = program("stat", 'exec /usr/bin/stat "$@"')
    summed = program("sha256sum", 'exec /usr/bin/sha256sum "$@"')
    found = [tmp_path / name for name in ("a b", "it's $(x)", "*", "a")]
    for path in found:
        path.mkdir(mode=0o750)
    file = tmp_path / "a b/secret"
    file.write_bytes(b"content")
    file.chmod(0o600)
    steps = (*map(_directory, found), _credential(file, b"content"))
    before = (("look_at", *map(str, found), str(file), str(tmp_path / "absent")),)
    report = run(*steps, before=before)
    assert [step.status.value for step in report.steps] == ["ok"] * 5
    assert len(asked.read_text().splitlines()) == len(summed.read_text().splitlines()) == 1


def test_five_hundred_paths_take_no_more_than_their_number(run: Run, tmp_path: Path) -> None:
    """As many as an inventory may have. A search in the text of all paths takes minutes, this half a second."""
    found = [tmp_path / f"a directory with a name of some length {number}" for number in range(500)]
    for path in found:
        path.mkdir(mode=0o750)
    begin = time.monotonic()
    report = run(*map(_directory, found), before=(("look_at", *map(str, found)),))
    assert {step.status.value for step in report.steps} == {"ok"}
    assert time.monotonic() - begin < 20


def test_paths_that_are_asked_for_in_another_order_are_found(run: Run, tmp_path: Path) -> None:
    found = [tmp_path / name for name in ("a", "b", "c")]
    for path in found:
        path.mkdir(mode=0o750)
    before = (("look_at", *map(str, found)),)
    report = run(*map(_directory, (found[1], found[0], found[2], found[1])), before=before)
    assert [step.status.value for step in report.steps] == ["ok"] * 4


def test_what_was_looked_at_is_forgotten_after_a_change(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(mode=0o750)
    second.mkdir(mode=0o750)
    before = (("look_at", str(first), str(second)),)

    def opens(path: Path) -> Step:
        # Any step of the built-in ones that says `changed` will do.
        return Step("x", "opens", "directories", ("directory_present", str(path), "root", "root", "755"))

    report = run(_directory(first), opens(second), _directory(second), _directory(first), before=before)
    assert [step.status.value for step in report.steps] == ["ok", "changed", "changed", "ok"]


def test_a_directory_that_drifted_is_put_right(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "drifted"
    path.mkdir(mode=0o755)
    assert _only(run(_directory(path, owner="daemon", mode="2770"))) == ("changed", "root:root 755 -> daemon:root 2770")
    assert _only(run(_directory(path, owner="daemon", mode="2770")))[0] == "ok"


def test_a_dry_run_says_what_it_would_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "dry"
    assert _only(run(_directory(path), dry_run=True)) == ("would-change", "absent -> root:root 750")
    assert not path.exists()


def test_a_dry_run_names_the_folders_above_that_would_be_made_too(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a/b/c"
    detail = _only(run(_directory(path), dry_run=True))[1]
    above = f"{tmp_path}/a/b: absent -> root:root 755\n{tmp_path}/a: absent -> root:root 755"
    assert detail == f"absent -> root:root 750\n{above}"
    assert not (tmp_path / "a").exists()
    run(_directory(path))
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in ("a", "a/b", "a/b/c")] == [0o755, 0o755, 0o750]


def test_a_setgid_bit_that_was_inherited_is_taken_away(run: Run, tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o2755)
    assert _only(run(_directory(above / "below"))) == ("changed", "absent -> root:root 750")
    assert (above / "below").stat().st_mode & 0o7777 == 0o750
    assert _only(run(_directory(above / "below")))[0] == "ok"


def test_a_mode_that_does_not_stay_is_a_failure(run: Run, program: Program, tmp_path: Path) -> None:
    program("chmod", "")
    assert _only(run(_directory(tmp_path / "folder"))) == ("failed", "root:root 700 stays, not root:root 750")


@pytest.fixture
def accounts_folder(tmp_path: Path) -> Path:
    """A folder that belongs to another account than root, as a service's own does."""
    folder = tmp_path / "service"
    folder.mkdir(mode=0o755)
    os.chown(folder, 2, 2)
    return folder


def test_a_link_in_an_accounts_own_folder_leads_root_nowhere(run: Run, accounts_folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "inner").mkdir(parents=True, mode=0o700)
    (accounts_folder / "data").symlink_to(victim)
    status, detail = _only(run(_directory(accounts_folder / "data/inner", owner="daemon")))
    assert status == "failed"
    assert f"a symbolic link leads to {victim}" in detail
    assert (victim / "inner").stat().st_uid == 0
    status, detail = _only(run(_credential(accounts_folder / "data/token", b"x"), blobs=(b"x",)))
    assert status == "failed"
    assert f"a symbolic link leads to {victim}" in detail
    assert [file.name for file in victim.iterdir()] == ["inner"]


def test_a_folder_in_an_accounts_own_is_made_and_kept(run: Run, accounts_folder: Path) -> None:
    assert _only(run(_directory(accounts_folder / "a/b", owner="daemon")))[0] == "changed"
    assert _only(run(_directory(accounts_folder / "a/b", owner="daemon")))[0] == "ok"


@pytest.mark.parametrize("race", ["mktemp", "cat", "chown", "chmod"])
def test_an_account_that_exchanges_names_meanwhile_gains_nothing(
    run: Run, program: Program, accounts_folder: Path, tmp_path: Path, race: str
) -> None:
    """Before each tool, the account puts symbolic links to a victim in place of every name in its folder."""
    victim = tmp_path / "victim"
    victim.write_text("root's")
    victim.chmod(0o600)
    swap = f"""for name in {accounts_folder}/* {accounts_folder}/.b*; do
    [ -e "$name" ] || continue
    mv -T "$name" {accounts_folder}/gone.$$ && ln -s {victim} "$name"
done"""
    tool = "/usr/bin/" + race if Path("/usr/bin", race).exists() else "/bin/" + race
    program(race, f'{swap}\nexec {tool} "$@"')
    step = Step(
        "place-credentials",
        "credential",
        "credentials",
        (
            "credential_placed",
            "0",
            hashlib.sha256(b"new").hexdigest(),
            str(accounts_folder / "token"),
            "daemon",
            "daemon",
            "644",
        ),
    )
    (accounts_folder / "token").write_text("old")
    run(step, blobs=(b"new",))
    assert (victim.read_text(), victim.stat().st_uid, victim.stat().st_mode & 0o777) == ("root's", 0, 0o600)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_stays_as_it_is(run: Run, tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "taken", tmp_path / "other"
    other.mkdir(mode=0o711)
    path.symlink_to(other) if kind == "link" else path.write_text("mine")
    assert _only(run(_directory(path)))[0] == "failed"
    assert other.stat().st_mode & 0o777 == 0o711
    assert path.is_symlink() or path.read_text() == "mine"


# Credentials


def _credential(path: Path, content: bytes, mode: str = "600") -> Step:
    call = ("credential_placed", "0", hashlib.sha256(content).hexdigest(), str(path), "root", "root", mode)
    return Step("place-credentials", f"credential {path}", "credentials", call)


def test_a_credential_is_written_whole_and_then_left_alone(run: Run, tmp_path: Path) -> None:
    path, content = tmp_path / "a b", bytes(range(256))
    assert _only(run(_credential(path, content), blobs=(content,))) == ("changed", "absent -> root:root 600")
    assert path.read_bytes() == content
    inode = path.stat().st_ino
    assert _only(run(_credential(path, content), blobs=(content,))) == ("ok", "")
    assert path.stat().st_ino == inode
    path.chmod(0o644)
    assert _only(run(_credential(path, content), blobs=(content,))) == ("changed", "root:root 644 -> root:root 600")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (content, 0o600)
    assert _only(run(_credential(path, b"new", "400"), blobs=(b"new",)))[0] == "changed"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o400)
    assert not list(tmp_path.glob(".busnode*"))


def test_systemd_reads_a_unit_that_was_placed(run: Run, tmp_path: Path, program: Program) -> None:
    calls = program("systemctl", "exit 0")
    unit, other = (_credential(path, b"x") for path in (tmp_path / "units/a.service", tmp_path / "a.service"))
    for step in (unit, other):
        assert _only(run(step, dry_run=True))[0] == "would-change"
    assert not calls.exists()
    assert _only(run(unit, blobs=(b"x",)))[0] == "changed"
    assert _only(run(other, blobs=(b"x",)))[0] == "changed"
    assert _only(run(unit, blobs=(b"x",)))[0] == "ok"
    assert calls.read_text() == "daemon-reload\n"


def test_a_credential_without_its_folder_names_it(run: Run, tmp_path: Path) -> None:
    status, detail = _only(run(_credential(tmp_path / "none/token", b"x"), blobs=(b"x",)))
    assert (status, detail) == ("failed", f"the folder {tmp_path}/none does not exist; list it in directories")


def test_a_dry_run_of_a_credential_needs_no_content(run: Run, tmp_path: Path) -> None:
    path, new = tmp_path / "token", hashlib.sha256(b"x").hexdigest()[:8]
    shown = _only(run(_credential(path, b"x"), dry_run=True))
    assert shown == ("would-change", f"absent -> root:root 600; content sha256 {new}")
    assert not path.exists()
    path.write_bytes(b"old")
    old = hashlib.sha256(b"old").hexdigest()[:8]
    assert _only(run(_credential(path, b"x"), dry_run=True))[1].endswith(f"content sha256 {old} -> {new}")
    path.write_bytes(b"x")
    path.chmod(0o640)
    assert _only(run(_credential(path, b"x"), dry_run=True))[1] == "root:root 640 -> root:root 600"


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOk operator"


def _authorize(run: Run, program: Program, file: Path) -> Report:
    program("sshd", f'echo "authorizedkeysfile {file}"')
    return run(credentials.authorized_key("root"), parts=("sshd",), operator_key=KEY)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (None, f"{KEY}\n"),
        ("ssh-rsa BBBB other\n", f"ssh-rsa BBBB other\n{KEY}\n"),
        ("ssh-rsa BBBB no newline", f"ssh-rsa BBBB no newline\n{KEY}\n"),
        (f"# {KEY}\n", f"# {KEY}\n{KEY}\n"),
    ],
)
def test_a_key_is_added_and_none_is_lost(
    run: Run, program: Program, tmp_path: Path, there: str | None, expected: str
) -> None:
    file = tmp_path / "keys/authorized_keys"
    if there is not None:
        file.parent.mkdir()
        file.write_text(there)
    assert _only(_authorize(run, program, file)) == ("changed", f"added to {file}")
    assert file.read_text() == expected
    assert _only(_authorize(run, program, file)) == ("ok", "known to sshd for root")


@pytest.mark.parametrize(("there", "line"), [(None, 0), ("ssh-rsa BBBB other\n", 1), ("a\nno newline", 2)])
def test_a_dry_run_shows_the_key_and_no_other_line(
    run: Run, program: Program, tmp_path: Path, there: str | None, line: int
) -> None:
    file = tmp_path / "authorized_keys"
    if there is not None:
        file.write_text(there)
    program("sshd", f'echo "authorizedkeysfile {file}"')
    shown = _only(run(credentials.authorized_key("root"), parts=("sshd",), operator_key=KEY, dry_run=True))
    assert shown == (
        "would-change",
        f"--- {file} (now)\n+++ {file} (wanted)\n@@ -{line},0 +{line + 1} @@\n+{KEY}",
    )
    assert (file.read_text() if file.exists() else None) == there


def test_a_key_behind_options_is_known(run: Run, program: Program, tmp_path: Path) -> None:
    file = tmp_path / "authorized_keys"
    file.write_text(f'from="10.0.0.0/8",no-pty {KEY}\n')
    assert _only(_authorize(run, program, file))[0] == "ok"


def test_no_key_is_placed_where_sshd_does_not_say_where_it_looks(run: Run, program: Program, tmp_path: Path) -> None:
    program("sshd", "echo 'sshd_config line 9: bad' >&2; exit 255")
    program("getent", f"echo root:x:0:0::{tmp_path}:/bin/sh")
    said = _only(run(credentials.authorized_key("root"), parts=("sshd",), operator_key=KEY))
    assert said == ("failed", "sshd does not say where it looks for keys: sshd_config line 9: bad")
    assert not (tmp_path / ".ssh").exists()


# Packages

PACKAGES = Step("install-packages", "packages", "packages", ("packages_installed", "nftables", "g++"))
# dpkg of the test's own: what is installed is a line a package in a file; some it only once knew.
DPKG = r"""
say() {{ printf '%s' "$1" | sed "s/[$]{{db:Status-Status}}/$2/; s/[$]{{Package}}/$3/"; }}
while read -r name; do say "${{2#-f=}}" installed "$name"; done <{0}
say "${{2#-f=}}" not-installed g++
exit 1"""


def test_nothing_is_run_where_nothing_is_missing(run: Run, program: Program, tmp_path: Path) -> None:
    (tmp_path / "installed").write_text("g++\nnftables\n")
    program("dpkg-query", DPKG.format(tmp_path / "installed"))
    calls = program("apt-get", "")
    assert _only(run(PACKAGES)) == ("ok", "all of 2 there")
    assert not calls.exists()


def test_only_what_is_missing_is_installed(run: Run, program: Program, tmp_path: Path) -> None:
    (tmp_path / "installed").write_text("nftables\n")
    program("dpkg-query", DPKG.format(tmp_path / "installed"))
    quiet = '[ "$DEBIAN_FRONTEND:$NEEDRESTART_MODE" = noninteractive:l ] && ! read -r line'
    body = f"{quiet} && echo g++ >>{tmp_path}/installed"
    calls = program("apt-get", body)
    assert _only(run(PACKAGES)) == ("changed", "installed g++")
    update, install = calls.read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(" install --no-install-recommends -- g++")
    assert "-o DPkg::Lock::Timeout=600" in install


SIMULATED = """\
NOTE: This is only a simulation!
Inst libc6 [2.36-9] (2.36-10 Debian:12/stable [amd64]) []
Inst g++ (4:12.2.0-3 Debian:12/stable [amd64])
Remv clang [1:14.0-55]
Conf g++ (4:12.2.0-3 Debian:12/stable [amd64])
"""


def test_a_dry_run_asks_apt_what_it_would_do(run: Run, program: Program, tmp_path: Path) -> None:
    (tmp_path / "installed").write_text("nftables\n")
    program("dpkg-query", DPKG.format(tmp_path / "installed"))
    calls = program("apt-get", f"cat <<'END'\n{SIMULATED}END")
    assert _only(run(PACKAGES, dry_run=True)) == (
        "would-change",
        "install g++\nlibc6: 2.36-9 -> 2.36-10\ng++: absent -> 4:12.2.0-3\nclang: 1:14.0-55 -> absent",
    )
    assert calls.read_text().startswith("-s ")
    program("apt-get", 'echo "E: Unable to locate package g++" >&2; exit 100')
    said = "install g++; by the package lists that are there now: E: Unable to locate package g++"
    assert _only(run(PACKAGES, dry_run=True)) == ("would-change", said)


def test_a_unit_may_come_with_a_package_that_a_dry_run_does_not_install(
    run: Run, program: Program, tmp_path: Path
) -> None:
    program("dpkg-query", "exit 1")
    program("apt-get", "")
    program("systemctl", "echo not-found; exit 1")
    unit = Step("enable-services", "service", "services", ("unit_state", "x.service", "true", "true"))
    assert run(PACKAGES, unit, dry_run=True).steps[1].detail == (
        "no unit x.service yet, before the installation of nftables g++"
    )
    assert _only(run(unit, dry_run=True))[0] == "failed"


def test_apts_last_words_are_the_failure(run: Run, program: Program, tmp_path: Path) -> None:
    (tmp_path / "installed").write_text("")
    program("dpkg-query", DPKG.format(tmp_path / "installed"))
    program("apt-get", 'echo "E: Unable to locate package g++" >&2; exit 100')
    status, detail = _only(run(PACKAGES))
    assert status == "failed"
    assert detail.startswith("apt-get ended with 100: E: Unable to locate package g++")


def test_a_package_that_apt_did_not_install_is_named(run: Run, program: Program, tmp_path: Path) -> None:
    (tmp_path / "installed").write_text("nftables\n")
    program("dpkg-query", DPKG.format(tmp_path / "installed"))
    program("apt-get", "")
    assert _only(run(PACKAGES)) == (
        "failed",
        "apt ended well, and g++ is still not installed: is it a virtual package? Name the real one",
    )


@pytest.mark.parametrize(("code", "status"), [(0, "ok"), (2, "ok"), (1, "ok"), (124, "failed")])
def test_cloud_init_is_waited_for(run: Run, program: Program, code: int, status: str) -> None:
    calls = program("cloud-init", f"echo status: done; exit {code}")
    assert _only(run(Step("wait-cloud-init", "wait", "packages", ("cloud_init_done", "5"))))[0] == status
    assert calls.read_text() == "status --wait\n"


# Accounts

NOLOGIN = "/srv/gateway --shell /usr/sbin/nologin -- gateway"
ACCOUNT = Step("create-accounts", "account", "accounts", ("service_account", "gateway", "/srv/gateway"))


@pytest.mark.parametrize(
    ("entry", "status", "call"),
    [
        ("", "changed", f"--system --user-group --no-create-home --home-dir {NOLOGIN}"),
        ("gateway:x:990:990::/srv/gateway:/usr/sbin/nologin", "ok", None),
        ("gateway:x:990:990::/home/g:/bin/bash", "changed", f"--home {NOLOGIN}"),
    ],
)  # fmt: skip
def test_an_account_is_made_or_put_right(run: Run, program: Program, entry: str, status: str, call: str | None) -> None:
    program("getent", f'[ -n "{entry}" ] && echo "{entry}"')
    calls = [program(name, "") for name in ("useradd", "usermod")]
    assert _only(run(ACCOUNT))[0] == status
    said = [line for file in calls if file.exists() for line in file.read_text().splitlines()]
    assert said == ([call] if call else [])


def test_the_account_that_logs_in_is_never_made_a_service(run: Run, program: Program) -> None:
    program("getent", "echo gateway:x:1000:1000::/home/gateway:/bin/bash")
    calls = program("usermod", "")
    assert _only(run(ACCOUNT, user="gateway"))[0] == "failed"
    assert not calls.exists()


# Services

SYSTEMCTL = """case $1 in
is-enabled) cat {0}/enabled ;;
is-active) case $* in *ssh.socket*) exit 3 ;; *) cat {0}/active ;; esac ;;
enable) echo enabled >{0}/enabled ;;
disable) echo disabled >{0}/enabled ;;
start) echo active >{0}/active ;;
stop) echo inactive >{0}/active ;;
esac"""


@pytest.mark.parametrize(
    ("enabled", "active", "wanted", "status", "detail"),
    [
        ("enabled", "active", ("true", "true"), "ok", "enabled, active"),
        ("static", "active", ("true", "true"), "ok", "static, active"),
        ("disabled", "inactive", ("true", "true"), "changed", "enable start"),
        ("enabled", "active", ("false", "false"), "changed", "disable stop"),
        ("enabled", "failed", ("true", "true"), "changed", "start"),
        ("masked", "inactive", ("true", "true"), "failed", "masked; run: systemctl unmask x.service"),
        ("not-found", "inactive", ("true", "true"), "failed", "there is no unit x.service; install its package first"),
    ],
)
def test_a_unit_is_brought_into_its_state_once(
    run: Run,
    program: Program,
    tmp_path: Path,
    enabled: str,
    active: str,
    wanted: tuple[str, str],
    status: str,
    detail: str,
) -> None:
    (tmp_path / "enabled").write_text(f"{enabled}\n")
    (tmp_path / "active").write_text(f"{active}\n")
    program("systemctl", SYSTEMCTL.format(tmp_path))
    step = Step("enable-services", "service", "services", ("unit_state", "x.service", *wanted))
    assert _only(run(step)) == (status, detail)
    if status != "failed":
        assert _only(run(step))[0] == "ok"


# Listeners

SOCKETS = """\
LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))
LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=1,fd=4))
LISTEN 0 511 *:80 *:* users:(("nginx",pid=7,fd=6),("nginx",pid=8,fd=6))
LISTEN 0 5 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=9,fd=4))
LISTEN 0 5 [::1]:631 [::]:*
"""


@pytest.mark.parametrize(
    ("listener", "diagnostic"),
    [
        (Listener(22), ""),
        (Listener(22, "0.0.0.0"), ""),
        (Listener(22, "127.0.0.1"), ""),
        (Listener(22, "::1"), ""),
        (Listener(80, "10.0.0.10", "nginx"), ""),
        (Listener(53, "127.0.0.53"), ""),
        (Listener(631, "::1"), ""),
        (Listener(8080, "127.0.0.1"), "listener 127.0.0.1:8080 is not reachable"),
        (Listener(53, "127.0.0.1"), "listener 127.0.0.1:53 is not reachable"),
        (Listener(631, "127.0.0.1"), "listener 127.0.0.1:631 is not reachable"),
        (Listener(22, None, "dropbear"), 'listener port 22 is not reachable as dropbear: it belongs to users:(("sshd"'),
        (Listener(2), "listener port 2 is not reachable"),
    ],
)
def test_a_listener_is_found_or_named(run: Run, program: Program, listener: Listener, diagnostic: str) -> None:
    program("ss", f"cat <<'END'\n{SOCKETS}END")
    step = listeners.checks(Target("a", "h", "bus", listeners=(listener,)))[1]
    report = run(step)
    assert report.steps[0].status is (StepStatus.FAILED if diagnostic else StepStatus.OK)
    if diagnostic:
        assert report.steps[0].detail.startswith(diagnostic)


def test_a_listener_of_this_very_machine_is_seen(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        step = listeners.checks(Target("a", "h", "bus", listeners=(Listener(port, "127.0.0.1"),)))[1]
        assert run(step).ended == "ok"
    assert run(step).ended == "failed"


def test_what_would_be_dropped_is_not_guessed_where_ss_is_mute(run: Run, program: Program) -> None:
    program("ss", "echo no netlink >&2; exit 1")
    step = Step("check-firewall", "listening ports", "firewall", ("listening_kept", "0", "22"))
    status, detail = _only(run(step))
    assert (status, detail) == (
        "failed",
        "ss does not answer, so what the policy would drop is not known: no netlink",
    )


# Status


@dataclass(frozen=True)
class Shown:
    """A step that would write a text to a file."""

    call: tuple[str, ...]
    action: str = "show"
    name: str = "shown"
    shell: str = 'shown() { would "$(difference "$1" "$2")"; }'


def test_a_difference_shows_nothing_of_what_a_link_leads_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "file").write_text("old\n")
    shown = {
        name: run(Shown(("shown", str(tmp_path / name), "new\n")), dry_run=True).steps[0].detail
        for name in ("link", "file")
    }
    assert shown["link"].splitlines()[2:] == ["@@ -0,0 +1 @@", "+new"]
    assert shown["file"].splitlines()[2:] == ["@@ -1 +1 @@", "-old", "+new"]


COUNTED = """\
{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "busnode"}},
{"set": {"name": "allowed_tcp", "elem": [{"elem": {"val": 22, "counter": {"packets": 3, "bytes": 180}}}, {"elem": 7}]}},
{"rule": {"comment": "denied", "expr": [{"counter": {"packets": 2, "bytes": 80}}, {"drop": null}]}},
{"rule": {"comment": "allowed", "expr": [{"accept": null}]}}, 5]}
"""


def test_the_firewalls_counters_are_read_by_port_and_by_rule(run: Run, program: Program) -> None:
    program("nft", f"cat <<'END'\n{COUNTED}END")
    report = run(Step("read-firewall", "firewall counters", "facts", ("read_firewall",)))
    assert facts.digest(report.facts)["firewall"] == {
        "ports": [{"port": 22, "packets": 3, "bytes": 180}],
        "rules": [{"rule": "denied", "packets": 2, "bytes": 80}],
    }
    program("nft", f"cat <<'END'\n{COUNTED}END\nhead -c 49152 /dev/zero | tr '\\0' ' '")
    report = run(Step("read-firewall", "firewall counters", "facts", ("read_firewall",)))
    assert report.steps[0].detail == "the counters are larger than 48 KiB"
    assert report.steps[0].status.value == "skipped"
    program("nft", "exit 1")
    assert "firewall" not in facts.digest(run(Step("x", "x", "facts", ("read_firewall",))).facts)


@pytest.mark.parametrize(
    ("kernels", "marks", "reasons"),
    [
        ((), {}, []),
        (
            ("5.10.0-9-amd64", "6.1.0-9-amd64", "6.1.0-10-amd64"),
            {},
            ["kernel 6.1.0-10-amd64 is installed, 6.1.0-9-amd64 runs"],
        ),
        (("6.1.0-10-amd64",), {}, []),
        (("6.1.0-9-amd64",), {}, ["kernel 6.1.0-9-amd64 was replaced since the node started"]),
        ((), {"reboot-required": "", "reboot-required.pkgs": "libc6\ndbus\nlibc6\n"}, ["asked for by dbus libc6 "]),
    ],
)
def test_a_pending_reboot_has_its_reasons(
    run: Run, program: Program, tmp_path: Path, kernels: tuple[str, ...], marks: dict[str, str], reasons: list[str]
) -> None:
    program("uname", "echo 6.1.0-9-amd64")
    for kernel in kernels:
        (tmp_path / f"vmlinuz-{kernel}").touch()
    for name, text in marks.items():
        (tmp_path / name).write_text(text)
    report = run(Step("x", "pending reboot", "upkeep", ("read_reboot", str(tmp_path), str(tmp_path))))
    assert facts.digest(report.facts)["reboot"] == {"pending": bool(reasons), "reasons": reasons}


@pytest.mark.parametrize("other", ["5.10.0-9-amd64", "6.1.0-10-cloud-amd64", "6.1.0-10-rt-amd64"])
@pytest.mark.parametrize("ending", ["", ".old", ".bak", ".dpkg-new", ".dpkg-tmp"])
def test_only_a_newer_kernel_of_the_same_flavour_is_waited_for(
    run: Run, program: Program, tmp_path: Path, other: str, ending: str
) -> None:
    program("uname", "echo 6.1.0-9-amd64")
    running = tmp_path / "vmlinuz-6.1.0-9-amd64"
    running.touch()
    (tmp_path / f"vmlinuz-{other}{ending}").touch()
    (tmp_path / f"vmlinuz-6.1.0-10-amd64{ending or '.old'}").touch()
    # Of before the start, which a file of now is not.
    program("stat", "echo 1")
    report = run(Step("x", "pending reboot", "upkeep", ("read_reboot", str(tmp_path), str(tmp_path))))
    assert facts.digest(report.facts)["reboot"] == {"pending": False, "reasons": []}


APT_SAYS = """\
Inst less [590-2] (590-2+deb12u1 Debian:12.5/stable, Debian-Security:12/stable-security [amd64])
Inst libnew (1.0 Debian:12.5/stable [all])
Conf less (590-2+deb12u1 Debian:12.5/stable [amd64])
"""


def test_pending_updates_are_told_apart_and_no_list_is_fetched(run: Run, program: Program, tmp_path: Path) -> None:
    calls = program("apt-get", f"cat <<'END'\n{APT_SAYS}END")
    (tmp_path / "partial").mkdir()
    os.utime(tmp_path / "partial", (1000, 1000))
    found = facts.digest(run(Step("x", "updates", "upkeep", ("read_updates", str(tmp_path)))).facts)["updates"]
    assert [(item["name"], item["installed"], item["security"]) for item in found["packages"]] == [
        ("less", "590-2", True),
        ("libnew", None, False),
    ]
    assert found["lists_age_seconds"] > 1_000_000_000
    assert "dist-upgrade" in calls.read_text()
    assert not calls.read_text().startswith("update")


def test_status_reads_this_machine(run: Run, program: Program) -> None:
    datagrams = 'UNCONN 0 0 0.0.0.0:161 0.0.0.0:* users:(("snmpd",pid=7,fd=3))'
    program("ss", f"[ $2 = -tlnp ] || {{ echo '{datagrams}'; exit; }}\ncat <<'END'\n{SOCKETS}END")
    program("systemctl", SYSTEMCTL.format("/nonexistent"))
    steps = facts.steps(Target("a", "h", "bus"))
    report = run(*steps, parts=("services", "listeners"))
    found = facts.digest(report.facts)
    assert found["ssh_port"] == 22
    assert found["kernel"] == os.uname().release
    assert found["uptime_seconds"] > 0
    assert {"protocol": "tcp", "address": "*", "port": 80, "process": "nginx"} in found["listeners"]
    assert {"protocol": "tcp", "address": "::1", "port": 631, "process": None} in found["listeners"]
    assert found["listeners"][-1] == {"protocol": "udp", "address": "0.0.0.0", "port": 161, "process": "snmpd"}
