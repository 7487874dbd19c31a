"""The services as they are installed: one program, hardened units, and that it can be done again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from busnode import shipped
from busnode.contract import BadRequestError
from busnode.inventory import Inventory, profile
from busnode.services import archive
from tests.house.tree import ROOT

MAX_EXPOSURE = 3.0


def _install(destdir: Path) -> str:
    command = [sys.executable, "-m", "busnode.services.installation", "--destdir", str(destdir)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _files(top: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(top)): (path.stat().st_mode & 0o7777, path.read_bytes())
        for path in top.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a system that they were installed into."""
    made = tmp_path_factory.mktemp("root")
    said = _install(made)
    assert "systemctl enable --now bus-events.service" in said
    return made


def test_it_can_be_done_again(root: Path) -> None:
    before = _files(root)
    (root / "usr/local/lib/bus-node/busnode.pyz").write_text("an older one")
    (root / "etc/bus/services/read.token").write_text("the site's own")
    _install(root)
    after = _files(root)
    assert after.pop("etc/bus/services/read.token")[1] == b"the site's own"
    assert after == before
    assert (root / "etc/bus/services").stat().st_mode & 0o777 == 0o700
    accounts = (root / "usr/lib/sysusers.d/bus-services.conf").read_text()
    assert "u bus-integration-ssh-runner - - /nonexistent\n" in accounts


def test_the_program_runs_from_anywhere_with_the_standard_library(root: Path) -> None:
    program = root / "usr/local/lib/bus-node/busnode.pyz"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["/usr/bin/python3", "-I", "-S", str(program), *words]
        return subprocess.run(command, cwd="/", env={}, capture_output=True, text=True, check=False)

    assert run("bus-integration-node", "--self-test").stdout == "OK bus-integration-node self-test\n"
    wrong = run("bus-integration-nod")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "give one of bus-api-provider-node, " in wrong.stderr


def test_what_runs_outlives_that_it_is_replaced(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "busnode.pyz"
    program.write_bytes((root / "usr/local/lib/bus-node/busnode.pyz").read_bytes())
    words = """
import contextlib, os, runpy, sys
program, newer = sys.argv[1:]
sys.argv[1:] = ["none"]
with contextlib.suppress(SystemExit):
    runpy.run_path(program, run_name="__main__")
os.replace(newer, program)
from busnode import commit_confirm, shipped
assert shipped.text("loader.sh").startswith("#")
"""
    (tmp_path / "newer").write_text("of another length")
    command = [sys.executable, "-I", "-c", words, str(program), str(tmp_path / "newer")]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert program.read_text() == "of another length"


def test_a_program_makes_itself_again(root: Path, tmp_path: Path) -> None:
    program = root / "usr/local/lib/bus-node/busnode.pyz"
    assert program.read_bytes() == archive.programs()
    words = "import sys; sys.path.insert(0, sys.argv[1]); from busnode.services.archive import programs as p; "
    words += "sys.stdout.buffer.write(p())"
    again = subprocess.run([sys.executable, "-I", "-c", words, str(program)], capture_output=True, check=True)
    assert again.stdout == program.read_bytes()


def test_every_unit_is_hardened(root: Path) -> None:
    units = sorted((root / "etc/systemd/system").glob("*.service"))
    assert len(units) == 4
    for unit in units:
        command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        exposure = float(re.findall(r"exposure level for .*: ([0-9.]+)", said)[0])
        assert exposure <= MAX_EXPOSURE, said


def test_the_profile_is_a_bus_host_and_the_services() -> None:
    host, services = profile("bus-host"), profile("bus-services")
    for key in ("packages", "service_accounts", "directories", "credentials", "services"):
        assert [one for one in host[key] if one not in services[key]] == [], key
    assert services["time_synchronised"] == host["time_synchronised"]
    (target,) = Inventory.from_document({"b": {"host": "h", "user": "u", "profile": "bus-services"}})
    own = [file.source for file in target.credential_files if file.source.startswith(shipped.SCHEME)]
    assert len(own) == 5
    assert all(shipped.referred(source) for source in own)


@pytest.mark.parametrize("name", ["", "passwd", "../secrets.py", "units/bus-events.service", "x.service", "/x.service"])
def test_what_is_no_file_of_its_own(name: str) -> None:
    with pytest.raises(BadRequestError, match="no such file of its own"):
        shipped.referred(f"{shipped.SCHEME}{name}")
