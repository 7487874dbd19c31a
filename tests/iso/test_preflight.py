"""What a machine lacks is said all at once, each with what mends it; a fit machine hears nothing."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from iso import preflight
from iso.preflight import Machine, lacks
from tests.iso.checkout import make_checkout

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
TARGETS = """\
trixie|main|http://mirror.invalid/debian|Debian|Debian
trixie-security|main|http://mirror.invalid/debian-security|Debian|Debian-Security
"""
POLICY = (
    "live-build:\n  Installed: (none)\n  Candidate: 1:2\n  Version table:\npython3:\n  Installed: 3\n  Candidate: 3\n"
)


def answers(**by_program: tuple[int, str]) -> object:
    """A machine's commands, by the name of their program; what is not named succeeds and says nothing."""
    known = {"apt-get": (0, TARGETS), "apt-cache": (0, POLICY), **by_program}
    return lambda command: known.get(command[0], (0, ""))


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    paths = make_checkout(tmp_path)
    lists = paths.builder / "host-packages"
    lists.mkdir()
    (lists / "iso").write_text("# comment\nlive-build # reason\n")
    (lists / "python").write_text("python3\n")
    monkeypatch.setattr(preflight, "DIST_BYTES", 1)
    monkeypatch.setattr(preflight, "CACHE_BYTES", 1)
    return Machine(
        paths=paths,
        os_release='ID=debian\nVERSION_ID="13"\n',
        architecture="x86_64",
        memory=64 << 30,
        mountinfo="1 0 0:1 / / rw,relatime - ext4 /dev/root rw\n",
        run=answers(),  # type: ignore[arg-type]  # narrower than the field
        is_root=True,
    )


def said(machine: Machine, **changes: object) -> list[str]:
    return [f"{lack.what} -> {lack.remedy}" for lack in lacks(dataclasses.replace(machine, **changes), ["iso"])]  # type: ignore[arg-type]


def test_a_fit_machine_lacks_nothing(fit: Machine) -> None:
    assert said(fit) == []


def test_an_apt_that_has_fetched_nothing_yet_lacks_nothing(fit: Machine) -> None:
    installed = "python3:\n  Installed: 3\n  Candidate: 3\n"
    assert said(fit, run=answers(**{"apt-get": (0, ""), "apt-cache": (0, installed)})) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"os_release": 'ID=ubuntu\nVERSION_ID="24.04"\n'}, "this is ubuntu 24.04, the build needs Debian 12 or 13"),
        ({"os_release": ""}, "this is an unknown system"),
        ({"architecture": "aarch64"}, "this is a aarch64 machine"),
        ({"memory": 1 << 30}, "GB of memory are available"),
        ({"mountinfo": "1 0 0:1 / / rw,noexec - ext4 /dev/root rw\n"}, "is mounted noexec"),
        ({"run": answers(**{"apt-get": (127, "")})}, "apt-get is not here"),
        ({"run": answers(**{"apt-get": (0, TARGETS.splitlines()[0])})}, "no Debian security archive"),
        ({"run": answers(**{"apt-cache": (0, POLICY.replace("1:2", "(none)"))})}, "package live-build is not in"),
        ({"run": answers(unshare=(1, "unshare failed: Operation not permitted\n"))}, "Operation not permitted"),
        ({"is_root": False, "run": answers(sudo=(1, "a password is required"))}, "no root rights"),
    ],
)
def test_each_lack_is_named_with_its_remedy(fit: Machine, changes: dict[str, object], what: str) -> None:
    (line,) = said(fit, **changes)
    assert what in line.partition(" -> ")[0]
    assert line.partition(" -> ")[2]


def test_a_path_that_live_build_cannot_bear_is_named(fit: Machine) -> None:
    (line,) = said(fit, paths=dataclasses.replace(fit.paths, root=Path("/srv/my clone")))
    assert "' '" in line


def test_all_lacks_come_in_one_list(fit: Machine) -> None:
    found = said(
        fit, os_release="ID=fedora\n", architecture="arm64", is_root=False, run=answers(sudo=(127, "")), memory=0
    )
    assert len(found) >= 4


def test_before_the_first_update_apt_s_ignorance_says_nothing(fit: Machine) -> None:
    assert said(fit, run=answers(**{"apt-cache": (0, "")})) == []


def test_full_disks_and_folders_of_others_are_named(fit: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "CACHE_BYTES", 1 << 60)
    (line,) = said(fit)
    assert str(fit.paths.cache) in line
    assert "XDG_CACHE_HOME" in line


def test_devices_are_asked_for_only_where_the_build_is_on_disk(fit: Machine) -> None:
    nodev = "1 0 0:1 / / rw,nodev - ext4 /dev/root rw\n"
    assert said(fit, mountinfo=nodev) == []
    assert any("nodev" in line for line in said(fit, mountinfo=nodev, memory=4 << 30))


# Isolated from everything that is installed: this runs first on a machine that has nothing.
PREFLIGHT = ("/usr/bin/python3", "-S", "-m", "iso.preflight")


def _preflight(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PREFLIGHT, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_runs_on_the_bare_interpreter() -> None:
    done = _preflight("iso")
    assert done.returncode in {0, 2}
    assert "Traceback" not in done.stderr
    assert all(line.startswith(("missing: ", "    mend: ")) for line in done.stderr.splitlines())


@pytest.mark.parametrize("arguments", [[], ["cake"], ["iso", "cake"]])
def test_unknown_tasks_are_refused(arguments: Sequence[str]) -> None:
    done = _preflight(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


# Command lines that run another with one facility of the kernel gone, and how the line about it begins. What a
# container that is not privileged lacks, a machine of ours can take away piece by piece.
NO_PROC = "mount -t tmpfs masked /proc/sys; exec unshare --user --map-root-user --mount --pid --fork"
NO_LOOP = "mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; exec"
NO_ROOM = "mount -t tmpfs -o size=1m none /srv; export XDG_CACHE_HOME=/srv; exec"
NO_EXEC = """
mount -t tmpfs none /srv
printf '#!/bin/sh\\nexec /bin/mount -o noexec "$@"\\n' >/srv/mount
chmod +x /srv/mount
PATH=/srv:$PATH exec"""
REFUSED = "the kernel refuses"
BREAKAGES = {
    "namespaces": (["setpriv", "--bounding-set=-sys_admin"], f"{REFUSED} namespaces or mounts"),
    "mknod": (["setpriv", "--bounding-set=-mknod"], f"{REFUSED} device nodes (mknod)"),
    "chroot": (["setpriv", "--bounding-set=-sys_chroot"], f"{REFUSED} chroot"),
    "proc": (["unshare", "--mount", "sh", "-ec", f'{NO_PROC} "$@"', "-"], f"{REFUSED} /proc"),
    "loop": (["unshare", "--mount", "sh", "-ec", f'{NO_LOOP} "$@"', "-"], f"{REFUSED} loop devices"),
    "exec": (["unshare", "--mount", "sh", "-ec", f'{NO_EXEC} "$@"', "-"], f"{REFUSED} programs in a file system"),
    "space": (
        ["unshare", "--mount", "sh", "-ec", f'{NO_ROOM} "$@"', "-"],
        "/srv/bee-busnode/iso has 0.0 GB free",
    ),
}


# The part of it that asks the kernel: asking apt takes much longer.
KERNEL = """
from pathlib import Path
from iso import preflight
machine = preflight.Machine.here(Path.cwd())
preflight.DIST_BYTES = 0
print(*preflight._facilities(machine, acceptance=False), *preflight._space(machine, 0), sep="\\n")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="what is taken away belongs to root")
@pytest.mark.parametrize("broken", BREAKAGES)
def test_each_facility_that_is_really_gone_is_one_line_with_its_remedy(broken: str) -> None:
    command, what = BREAKAGES[broken]
    asking = ["/usr/bin/python3", "-S", "-c", KERNEL]
    done = subprocess.run([*command, *asking], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lacks = done.stdout.split("\n")
    (named,) = (lack for lack in lacks if what in lack)
    assert named.endswith(f"needed={broken != 'loop'})")
    assert "remedy=''" not in named
    if broken != "proc":
        # Nothing else is held against the machine; a user namespace lacks more than its /proc.
        assert [lack for lack in lacks if lack] == [named]


def test_what_only_slows_a_build_does_not_stop_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [preflight.Lack("no loop devices", "modprobe loop", needed=False)]
    monkeypatch.setattr(preflight, "lacks", lambda *_: found)
    assert preflight.main(["iso"]) == 0
    assert capsys.readouterr().err == "slower: no loop devices\n    mend: modprobe loop\n"
    found.append(preflight.Lack("no chroot", "--privileged"))
    assert preflight.main(["iso"]) == 2


MOUNTED = """
mount -t tmpfs -o {options} none /srv
cp -r iso /srv/iso
cd /srv
python3 -S -c 'import dataclasses
from pathlib import Path
from iso import preflight
machine = dataclasses.replace(preflight.Machine.here(Path.cwd()), memory=1 << 30)
print(*preflight._mount_options(machine), sep="\\n")'
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("option", ["noexec", "nodev"])
def test_a_file_system_really_mounted_so_is_one_line(option: str) -> None:
    script = ["unshare", "--mount", "sh", "-ec", MOUNTED.format(options=option)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    assert f"/srv is on /srv, which is mounted {option}: the build runs programs there" in line


def test_answers_are_asked_for_in_english_whatever_the_user_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8", "LANGUAGE": "de"}.items():
        monkeypatch.setenv(name, value)
    assert preflight._run(["sh", "-c", "echo $LC_ALL"]) == (0, "C\n")
    # What a message catalogue would be looked for by: none of the language that LANGUAGE names (gettext(3)).
    assert "Candidate:" in preflight._run(["apt-cache", "policy", "dpkg"])[1]


def test_what_earlier_builds_left_counts_as_space(fit: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=1 << 20)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _path: free)
    monkeypatch.setattr(preflight, "DIST_BYTES", 5 << 20)
    (line,) = said(fit)
    assert line.startswith(f"{fit.paths.dist} has 0.0 GB free, 0.0 GB are needed")
    (fit.paths.dist / "live-build").mkdir()
    (fit.paths.dist / "live-build/packages").write_bytes(bytes(5 << 20))
    assert said(fit) == []
