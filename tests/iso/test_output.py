"""What a command prints meets unusual places: a full disk, a closed descriptor, another encoding, a dumb terminal."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.graph.printable import printable
from tests.iso.test_commands import asked
from tests.iso.test_graph import DOIT, doit, project, runs
from tests.iso.test_progress import rest

__all__ = ["asked", "project"]
FULL = "standard output: No space left on device\n"
QUESTIONS = ["list", "help", "help task", "help plan", "explain iso", "plan iso", "--version", "--help"]


def redirected(folder: Path, words: str, redirection: str) -> subprocess.CompletedProcess[str]:
    """A command whose streams a shell sets up."""
    command = f"{shlex.join(DOIT)} {words} {redirection}"
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", QUESTIONS)
def test_a_question_on_a_full_disk_is_one_line(asked: Path, words: str) -> None:
    done = redirected(asked, words, ">/dev/full")
    assert (done.returncode, done.stderr) == (1, FULL)


@pytest.mark.parametrize("words", ["iso", "--log-json iso"])
def test_a_build_on_a_full_disk_is_one_line_and_no_stage_is_begun(asked: Path, words: str) -> None:
    done = redirected(asked, words, ">/dev/full")
    assert (done.returncode, done.stderr, runs(asked)) == (1, FULL, [])
    assert doit(asked).returncode == 0
    runs(asked)
    # Where every stage is done, and where nothing was touched since, it says so as well.
    for _ in range(3):
        done = redirected(asked, words, ">/dev/full")
        assert (done.returncode, done.stderr, runs(asked)) == (1, FULL, [])
        doit(asked)


def test_where_nothing_at_all_can_be_said_nothing_is(asked: Path) -> None:
    assert redirected(asked, "iso", ">/dev/full 2>&1").returncode == 1
    assert redirected(asked, "list", ">/dev/full 2>&1").returncode == 1


def test_what_cannot_be_complained_of_keeps_its_exit_status(asked: Path) -> None:
    assert redirected(asked, "iso nvidia=maybe", "2>/dev/full").returncode == 2
    assert redirected(asked, "explain nvidia=maybe", "2>/dev/full").returncode == 2
    (asked / "input").write_text("bad")
    failed = redirected(asked, "--log-json iso", "2>/dev/full")
    assert failed.returncode == 1
    assert json.loads(failed.stdout.splitlines()[-1])["outcome"] == "failed"


@pytest.mark.parametrize("options", ["-o", "--log-json -o"])
def test_a_file_for_the_output_is_like_standard_output(asked: Path, options: str) -> None:
    full = redirected(asked, f"run {options} /dev/full iso", "")
    assert (full.returncode, full.stdout, full.stderr) == (1, "", "/dev/full: No space left on device\n")
    absent = redirected(asked, f"run {options} nowhere/file iso", "")
    assert (absent.returncode, absent.stdout, absent.stderr) == (2, "", "nowhere/file: No such file or directory\n")
    assert runs(asked) == []
    done = redirected(asked, f"run {options} file iso", "")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "copy" in (asked / "file").read_text()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["list", "help", "explain", "iso", "--log-json iso"])
def test_a_closed_descriptor_is_as_good_as_dev_null(asked: Path, words: str, closed: str) -> None:
    done = redirected(asked, words, closed)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (">&-" not in closed.split())
    if "iso" in words:
        assert runs(asked) == ["copy", "check"]


def test_no_file_of_a_build_takes_the_place_of_a_closed_descriptor(asked: Path) -> None:
    """Else what is printed would go into the file of the lock."""
    dodo = (asked / "dodo.py").read_text()
    (asked / "dodo.py").write_text(
        dodo.replace('ran("copy")\n', 'ran("copy")\n    __import__("os").write(1, b"raw")\n')
    )
    assert redirected(asked, "iso", ">&-").returncode == 0
    assert not any(b"raw" in file.read_bytes() for file in (asked / "dist").rglob("*") if file.is_file())


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8", "utf-8:strict", "cp1252"])
def test_any_encoding_will_do(asked: Path, encoding: str) -> None:
    arrow = "->" if encoding != "utf-8" and ":" not in encoding else "→"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONDONTWRITEBYTECODE": "1"}

    def said(*words: str) -> str:
        done = subprocess.run([*DOIT, *words], cwd=asked, capture_output=True, env=environment, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode(encoding.partition(":")[0])

    dots = "…" if encoding in {"utf-8", "utf-8:strict", "cp1252"} else "..."
    assert said("iso").splitlines()[:2] == [f"[1/2] copy {dots}", f"[2/2] check {dots}"]
    assert said("explain", "suite=bookworm").splitlines()[0].endswith(f"suite: trixie {arrow} bookworm")
    (asked / "input").write_text("other")
    events = [json.loads(line) for line in said("--log-json", "iso").splitlines()]
    assert events[-1]["outcome"] == "succeeded"


@pytest.mark.parametrize(("terminal", "moves"), [("dumb", False), ("xterm", True)])
def test_a_dumb_terminal_gets_plain_lines(asked: Path, terminal: str, moves: bool) -> None:
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": terminal}
    with subprocess.Popen(DOIT, cwd=asked, stdin=slave, stdout=slave, stderr=slave, env=environment):
        os.close(slave)
        shown = rest(master)
    os.close(master)
    assert (b"\x1b" in shown) == moves
    assert "[2/2] check" in shown.decode()


@pytest.mark.parametrize("words", [["iso", ""], [""], ["explain", ""], ["", "iso"], ["--log-json", "iso", ""]])
def test_an_empty_word_is_refused_in_one_line(asked: Path, words: list[str]) -> None:
    done = doit(asked, *words)
    assert (done.returncode, done.stderr) == (2, "an empty word on the command line: leave it out\n")
    assert runs(asked) == []


@given(st.text(st.characters()))
def test_what_is_printed_of_any_text_is_one_line_without_controls(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    shown.encode()


@given(st.text(st.characters()))
def test_what_is_to_be_kept_is_kept(text: str) -> None:
    assert printable(text, kept="\n\t").replace("\n", "").replace("\t", "").isprintable()
    assert printable(text, kept="\n\t").count("\n") == text.count("\n")


@given(st.binary(min_size=1).filter(lambda name: not name.isascii()))
def test_bytes_of_a_name_that_are_no_text_are_shown_as_bytes(name: bytes) -> None:
    # Every byte beyond ASCII is then no text.
    text = name.decode("ascii", "surrogateescape")
    assert printable(text).encode("ascii").count(b"\\x") >= sum(byte >= 0x80 for byte in name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\udce9", r"caf\xe9"),
        ("café → …", "café → …"),
        ("a\nb\x1b[31m\x9b", r"a\nb\x1b[31m\x9b"),
        ("right\u202eleft\ud800", r"right\u202eleft\ud800"),
    ],
)
def test_what_is_no_text_is_shown_as_python_would_write_it(text: str, shown: str) -> None:
    assert printable(text) == shown


def oddly_named(project: Path) -> str:
    """A setting, of a file whose name is Latin-1; all in the folder `tree` is an input."""
    key = os.fsdecode(bytes(project / "k") + b"\xe9\x1b[31m.pub")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", project / "key"], check=True)
    (project / "key.pub").rename(key)
    dodo = (project / "dodo.py").read_text()
    dodo = dodo.replace(
        'return Inputs(listing(here / "input", "input")',
        'return Inputs(listing(here / "input", "input") | listing(here / "tree", "tree")',
    )
    (project / "dodo.py").write_text(dodo)
    (project / "tree").mkdir()
    return f"authorized_keys={key}"


def test_a_name_that_is_no_text_is_built_with_reported_and_explained(asked: Path) -> None:
    setting = oddly_named(asked)
    assert doit(asked).returncode == 0
    (asked / os.fsdecode(b"tree/caf\xe9\n\x1b[31m")).touch()
    explained = doit(asked, "explain", setting)
    assert (explained.returncode, explained.stderr) == (0, "")
    lines = explained.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["copy", "check", "iso"]
    assert r"tree/caf\xe9\n\x1b[31m is new" in lines[0]
    assert rf"authorized_keys: none → {asked}/k\xe9\x1b[31m.pub" in lines[2]
    for words in ([setting], ["--log-json", "iso", setting], ["plan", setting]):
        done = doit(asked, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
    report = json.loads((asked / "dist/build.json").read_bytes().decode())
    assert f"authorized_keys={report['settings']['authorized_keys']}" == setting
    assert os.fsdecode(b"tree/caf\xe9\n\x1b[31m") in report["stages"][0]["inputs"]["files"]


@pytest.mark.parametrize(
    "words", [["explain", "fo\x1b[31mo=bar"], ["iso", "fo\no=bar"], ["list", "fo\x1bo"], ["fo\x1bo"], ["cache", "f\no"]]
)
def test_what_is_said_of_a_strange_word_is_shown_and_obeyed_by_no_terminal(asked: Path, words: list[str]) -> None:
    done = doit(asked, *words)
    assert done.returncode in {2, 3}
    assert done.stdout == ""
    assert all(line.isprintable() for line in done.stderr.splitlines())
    assert printable(words[-1].partition("=")[0]) in done.stderr


def test_what_a_failed_tool_said_is_obeyed_by_no_terminal(asked: Path) -> None:
    dodo = (asked / "dodo.py").read_text()
    (asked / "dodo.py").write_text(dodo.replace("the input is bad:", "the\\x1b[31m input\\tis\\nbad:"))
    (asked / "input").write_text("bad")
    assert doit(asked).stderr.startswith("check: the\\x1b[31m input\tis\nbad: write another\n")
