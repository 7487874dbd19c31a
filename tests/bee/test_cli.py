"""The command itself, as it is run: on this machine, as root and not, from the checkout and from one file."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import zipapp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bee
from tests.bee.recorded import audit, server
from tests.bee.test_audit import errors, serialise

ROOT = Path(bee.__file__).parents[1]
# Debian's own interpreter, the one that the live CD has, where this is a Debian.
DEBIAN_PYTHON = "/usr/bin/python3"


def run(*arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "bee", *arguments],
        input=stdin,
        capture_output=True,
        timeout=100,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        check=False,
    )


@pytest.fixture(scope="module")
def one_file() -> Iterator[Path]:
    """bee as one file, where any user can read it: the package, its schema a real file, and an entry point."""
    with tempfile.TemporaryDirectory(prefix="bee-one-file-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(ROOT / "bee", folder / "tree" / "bee", ignore=shutil.ignore_patterns("__pycache__"))
        # The package's own entry, for zipapp's `main=` drops the exit code.
        shutil.copy(ROOT / "bee" / "__main__.py", folder / "tree")
        zipapp.create_archive(folder / "tree", folder / "bee.pyz")
        yield folder / "bee.pyz"


def audit_file(tmp_path: Path) -> Path:
    path = tmp_path / "audit.json"
    path.write_bytes(serialise(audit(server())))
    return path


def test_audit_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    done = run("audit", "--output", str(path))
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(path.read_bytes())
    assert errors(path.read_bytes()) == []
    assert document["host"]["kernel"] == os.uname().release
    assert document["host"]["root"] is (os.geteuid() == 0)
    if document["pcie"] is not None:
        on_bus = sorted(path.name for path in Path("/sys/bus/pci/devices").glob("*"))
        assert [device["address"] for device in document["pcie"]["devices"]] == on_bus
    for collector in document["collectors"]:
        assert collector["status"] in {"ok", "partial"} or document[collector["name"]] is None
        assert collector["status"] == "ok" or collector["reasons"]
        assert not [reason for reason in collector["reasons"] if "bee itself failed" in reason]
    assert b"\x1b" not in done.stdout + done.stderr


def test_verbose_says_which_tool_ran(tmp_path: Path) -> None:
    quiet = run("audit", "--output", str(tmp_path / "a.json"))
    loud = run("audit", "--verbose", "--output", str(tmp_path / "b.json"))
    assert b"bee: storage: lsblk -J -b -O: " in loud.stderr
    assert b"lsblk" not in quiet.stderr


def test_the_json_alone_goes_to_stdout_and_into_report() -> None:
    done = run("audit", "--output", "-")
    assert done.returncode == 0
    assert errors(done.stdout) == []
    assert b"Disks" in done.stderr or b"Gaps" in done.stderr
    shown = run("report", "-", stdin=done.stdout)
    assert shown.returncode == 0
    assert shown.stdout.decode().count("\nCOLLECTORS\n") == 1


def as_nobody(one_file: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """bee as a user who may do nothing, run by the interpreter that the live CD has."""
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    command = [*become, DEBIAN_PYTHON, "-I", str(one_file), *arguments]
    return subprocess.run(command, capture_output=True, timeout=100, cwd="/", check=False)


def test_audit_without_root_says_what_it_cannot_see(one_file: Path) -> None:
    done = as_nobody(one_file, "audit", "--output", "-")
    assert done.returncode == 0, done.stderr
    assert errors(done.stdout) == []
    document = json.loads(done.stdout)
    assert document["host"]["root"] is False
    said = [reason for collector in document["collectors"] for reason in collector["reasons"]]
    assert [reason for reason in said if "needs root" in reason or "not installed" in reason]


def test_an_unwritable_place_is_one_line_and_exit_2(one_file: Path) -> None:
    done = as_nobody(one_file, "audit")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == (
        b"bee: cannot write /var/log/bee-audit.json: /var/log: you may not write there; "
        b"give another path, or - for stdout\n"
    )


def test_an_output_that_is_named_by_nothing_is_refused_and_written_nowhere_else() -> None:
    for command in (("audit", "--output"), ("record",), ("report", "-", "--html")):
        done = run(*command, "", stdin=serialise(audit(server())))
        assert (done.returncode, done.stdout) == (2, b""), command
        assert done.stderr == b"bee: cannot write to '': give a file's path, or - for stdout\n"


def test_one_file_runs_isolated_from_anywhere_and_finds_its_schema(one_file: Path, tmp_path: Path) -> None:
    def isolated(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-I", str(one_file), *arguments]
        return subprocess.run(command, capture_output=True, timeout=100, cwd="/", check=False)

    assert isolated("--version").stdout == f"bee {bee.__version__}\n".encode()
    path = str(tmp_path / "audit.json")
    assert isolated("audit", "--output", path).returncode == 0
    valid = isolated("validate", path)
    assert (valid.returncode, valid.stdout) == (0, f"{path}: valid, schema version 1\n".encode())
    # The page has a file of its own beside its code: the style sheet.
    assert b"prefers-color-scheme: dark" in isolated("report", path, "--html", "-").stdout


def test_validate_names_each_error_with_its_path(tmp_path: Path) -> None:
    path = audit_file(tmp_path)
    document = json.loads(path.read_text())
    document["memory"]["slots"][0]["size_bytes"] = "32 GB"
    document["board"]["colour"] = "red"
    path.write_text(json.dumps(document))
    done = run("validate", str(path))
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 3
    assert lines[0] == "$.board: Additional properties are not allowed ('colour' was unexpected)"
    assert lines[1] == "$.memory.slots[0].size_bytes: '32 GB' is not of type 'integer', 'null'"
    assert lines[2] == f"{path}: 2 errors"


def test_validate_without_jsonschema_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "jsonschema.py").write_text("raise ImportError('hidden')\n")
    done = run("validate", str(audit_file(tmp_path)), env={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, b"")
    assert (
        done.stderr
        == b"bee: validate needs the Python package jsonschema (Debian: apt-get install python3-jsonschema)\n"
    )


@pytest.mark.parametrize("arguments", [(), ("audits",), ("audit", "--out", "x"), ("report",)])
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert b"usage: bee" in done.stderr


def test_help_documents_the_exit_codes() -> None:
    assert "exit codes:" in run("--help").stdout.decode()


def test_qr_shows_code_or_text(tmp_path: Path) -> None:
    done = run("qr", str(audit_file(tmp_path)))
    assert done.returncode == 0
    shown = done.stdout.decode()
    assert "█" in shown or "S SYS-4711" in shown
    assert "48 GiB in 2 of 4 slots" in shown


def test_a_console_that_knows_ascii_alone_gets_text(tmp_path: Path) -> None:
    done = run("qr", str(audit_file(tmp_path)), env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout.decode("ascii").startswith("BEE1\nS SYS-4711\n")


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    path = audit_file(tmp_path)
    for words in (f"report {path}", "--version", "--help"):
        # Two lines to it: it has gone before bee, started after the first, writes.
        command = f"{{ echo; sleep 0.2; {sys.executable} -m bee {words}; echo $? >&2; }} | head -c 1 >/dev/null"
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=60, cwd=ROOT, check=False)
        assert done.stderr == b"141\n", words


def test_a_recordings_name_need_not_be_text(tmp_path: Path) -> None:
    archive = os.fsencode(tmp_path) + b"/\xff.tgz"
    skip = ("--skip", "board,cpu,memory,storage,pcie,psu,nvidia")
    command = [sys.executable, "-m", "bee", "record", archive, *skip]
    # As in the locale en_US.UTF-8, which is not installed everywhere.
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=ROOT, env=env, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?.tgz: " in done.stdout
    assert os.path.getsize(archive) > 0  # noqa: PTH202 - its name is no text


@pytest.mark.parametrize(
    ("redirect", "arguments", "code"),
    [
        (">/dev/full", "audit --output {0}/new.json", 0),
        (">&-", "audit --output {0}/new.json", 0),
        (">/dev/full", "audit --output -", 2),
        (">/dev/full", "report {0}/audit.json", 2),
        (">/dev/full", "--version", 2),
        (">/dev/full", "--help", 2),
    ],
)
def test_a_stdout_that_takes_nothing_costs_no_audit_and_no_traceback(
    tmp_path: Path, redirect: str, arguments: str, code: int
) -> None:
    audit_file(tmp_path)
    command = f"exec {sys.executable} -m bee {arguments.format(tmp_path)} {redirect}"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if code == 0:
        assert errors((tmp_path / "new.json").read_bytes()) == []
    else:
        assert b"bee: cannot write to stdout: No space left on device\n" in done.stderr


def test_on_a_terminal_the_code_sets_its_own_colours(tmp_path: Path) -> None:
    if shutil.which("qrencode") is None:
        pytest.skip("qrencode is not installed")
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-m", "bee", "qr", str(audit_file(tmp_path))],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            timeout=60,
            cwd=ROOT,
            env={**os.environ, "TERM": "linux"},
            check=True,
        )
        assert b"\x1b[" in os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)


def test_version_imports_nothing_that_it_does_not_need() -> None:
    code = "import sys; sys.path.insert(0, '.'); import bee.cli; bee.cli.main(['--version']); print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
    version, imported = done.stdout.decode().splitlines()
    assert version == f"bee {bee.__version__}"
    dear = {"argparse", "dataclasses", "json", "pathlib", "re", "selectors", "subprocess", "bee.audit", "bee.machine"}
    assert not dear & set(imported.split())
