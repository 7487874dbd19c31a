"""What is no audit: every command that reads one says so in one line, prints nothing else, and ends with 2."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bee import reading
from bee.audit import serialise
from bee.cli import main
from tests.bee.recorded import audit, server
from tests.bee.test_cli import run

AUDIT = serialise(audit(server()))
# What no machine deviates from.
GOLDEN = Path(__file__).parent / "expectations" / "anything.json"
# Commands that read an audit; {bad} is the file that is none, {good} one that is.
COMMANDS = {
    "report": ("report", "{bad}"),
    "report --redact": ("report", "--redact", "{bad}"),
    "qr": ("qr", "{bad}"),
    "validate": ("validate", "{bad}"),
    "diff BAD": ("diff", "{bad}", "{good}"),
    "diff GOOD BAD": ("diff", "--json", "{good}", "{bad}"),
    "expect": ("expect", "{bad}"),
    "check": ("check", "--against", "{golden}", "{bad}"),
}
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not JSON"),
    "garbage": (b"\x00\x01\x02", "is not JSON"),
    "truncated": (AUDIT[: len(AUDIT) // 2], "is not JSON"),
    "broken UTF-8": (AUDIT.replace(b"SYS-4711", b"SYS\xff4711"), "is not JSON"),
    "json": (b"[1, 2]", "has no schema_version and collectors"),
    "other": (b'{"schema_version": true, "collectors": []}', "has no schema_version and collectors"),
    "deep": (b"[" * 100_000, "is nested too deep"),
    "NaN": (AUDIT.replace(b'"seconds": 0.', b'"seconds": NaN, "x": 0.', 1), "NaN is no number of JSON"),
    "newer": (
        AUDIT.replace(b'"schema_version": 1', b'"schema_version": 7', 1),
        "schema version 7, written by a newer bee; this bee reads version 1: update it",
    ),
    "older": (
        AUDIT.replace(b'"schema_version": 1', b'"schema_version": 0', 1),
        "schema version 0, this bee reads version 1",
    ),
    "long number": (AUDIT.replace(b'"total_bytes": ', b'"total_bytes": ' + b"9" * 5000, 1), "is not JSON"),
}


def called(arguments: tuple[str, ...]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, without a process of its own."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    out.flush()
    out.seek(0)
    return code, out.read(), err.getvalue()


def refused(command: str, path: Path, good: Path) -> str:
    """The one line that a command says of a file."""
    code, out, err = called(tuple(word.format(bad=path, good=good, golden=GOLDEN) for word in COMMANDS[command]))
    assert (code, out) == (2, ""), err
    assert err.count("\n") == 1, err
    assert err.startswith("bee: ")
    assert str(path) in err
    assert len(err) < 500 + len(str(path))
    return err


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.json"
    path.write_bytes(AUDIT)
    return path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_audit(tmp_path: Path, good: Path, command: str, kind: str) -> None:
    content, said = FILES[kind]
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    assert said in refused(command, path, good)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_is_no_file(tmp_path: Path, good: Path, command: str) -> None:
    assert "cannot read" in refused(command, tmp_path, good)
    assert "No such file or directory" in refused(command, tmp_path / "absent", good)
    assert "cannot read" in refused(command, tmp_path / ("x" * 300), good)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_too_large(tmp_path: Path, good: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_AUDIT_BYTES", len(AUDIT) + 1)
    path = tmp_path / "bad.json"
    path.write_bytes(AUDIT + b"  ")
    assert "it is larger than" in refused(command, path, good)


@pytest.mark.parametrize("arguments", [words for name, words in COMMANDS.items() if "GOOD" not in name])
def test_a_file_that_one_may_not_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(AUDIT)
    path.chmod(0)
    program = (
        f"import os, sys; sys.path[:] = {sys.path!r}; from bee import cli, arguments; import bee.comparison.differences"
    )
    if os.geteuid() == 0:
        program += "; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    words = tuple(word.format(bad=path, good=path, golden=GOLDEN) for word in arguments)
    # Anyone may reach the file, no one may read it.
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    done = _python(f"{program}; sys.exit(cli.main({words!r}))")
    assert done[:2] == (2, "")
    assert done[2] == f"bee: cannot read {path}: Permission denied\n"


def _python(program: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("kind", ["empty", "garbage", "truncated", "json", "deep"])
def test_what_is_no_recording(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(FILES[kind][0])
    for arguments in (("audit", "--from", str(path)), ("audit", "--from", str(tmp_path))):
        done = run(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
        assert arguments[-1].encode() in done.stderr


@pytest.mark.parametrize("command", ["report", "report --html", "qr", "validate"])
def test_what_only_shows_an_audit_leaves_out_a_number_that_nothing_can_have(tmp_path: Path, command: str) -> None:
    path = tmp_path / "audit.json"
    path.write_bytes(re.sub(rb'(?<!schema_version)": -?[0-9][0-9.]*', b'": 1' + HUGE, AUDIT))
    page = ("--html", str(tmp_path / "page.html")) if command.endswith("--html") else ()
    code, _, err = called((*command.split()[:1], *page, str(path)))
    assert (code, err) == (0, "")


# Zeros: more than any floating-point number has.
HUGE = b"0" * 400
MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "size_bytes is no whole number": lambda text: text.replace(
        b'"size_bytes": 34359738368', b'"size_bytes": "32 GB"', 1
    ),
    "disks is no list": lambda text: text.replace(b'"disks": [', b'"disks": 7, "other": [', 1),
    "host is no object": lambda text: text.replace(b'"host": {', b'"host": "rack7", "other": {', 1),
    "seconds is no number": lambda text: text.replace(b'"seconds": ', b'"seconds": 1' + HUGE + b', "x": ', 1),
    "host.memory_bytes is no whole number": lambda text: re.sub(
        rb'"memory_bytes": \d+', rb'"memory_bytes": 1' + HUGE, text, count=1
    ),
    "evidence is missing; audit the machine again, or make an audit of its recording with this bee": lambda text: (
        text.replace(b'"evidence": ', b'"evidenze": ', 1)
    ),
}


@pytest.mark.parametrize("said", MALFORMED)
@pytest.mark.parametrize("command", ["diff BAD", "diff GOOD BAD", "expect", "check"])
def test_what_compares_audits_names_the_field_that_is_wrong(
    tmp_path: Path, good: Path, command: str, said: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(MALFORMED[said](AUDIT))
    assert path.read_bytes() != AUDIT
    assert said in refused(command, path, good)


@pytest.mark.parametrize("command", ["diff GOOD BAD", "expect", "check"])
def test_lists_that_an_older_bee_did_not_write_are_said_to_be_read_as_empty(
    tmp_path: Path, good: Path, command: str
) -> None:
    document = json.loads(AUDIT)
    del document["storage"]["raid_members"]
    for disk in document["storage"]["disks"]:
        del disk["notes"]
    path = tmp_path / "older.json"
    path.write_text(json.dumps(document))
    _, _, err = called(tuple(word.format(bad=path, good=good, golden=GOLDEN) for word in COMMANDS[command]))
    assert err.splitlines()[0] == (
        f"bee: {path} was written by an older bee, or edited: "
        "it lacks storage.disks.notes, storage.raid_members, read as empty"
    )
