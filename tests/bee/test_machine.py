"""The edge, with real programs that misbehave in every way a tool has been seen to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bee import machine
from bee.audit import collect, serialise
from bee.machine import Live, Recorded, Run
from tests.bee.test_audit import errors


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    return tmp_path


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def live(folder: Path) -> Live:
    return Live(path=(str(folder), "/usr/bin", "/bin"))


def outlives(pid: int, seconds: float = 5.0) -> bool:
    """Whether the process is still there after some time: a kill takes effect a moment after it was sent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.01)
    return True


def test_output_exit_code_and_time_are_kept(tools: Path) -> None:
    program(tools, "tool", "echo out; echo err >&2; exit 7")
    run = live(tools).run("tool", limit=10)
    assert (run.outcome, run.exit_code, run.signal, run.stdout, run.stderr) == ("exited", 7, None, b"out\n", b"err\n")
    assert 0 < run.seconds < 10


def test_a_missing_tool_is_missing(tools: Path) -> None:
    (tools / "folder").mkdir()
    (tools / "plain").write_text("not executable")
    for name in ("absent", "folder", "plain"):
        assert live(tools).run(name, limit=1) == Run(args=(name,), outcome="missing")
        assert not live(tools).has_tool(name)


def test_a_tool_that_the_kernel_refuses_is_said(tools: Path) -> None:
    (tools / "tool").write_bytes(b"\x7fELF garbage")
    (tools / "tool").chmod(0o755)
    run = live(tools).run("tool", limit=1)
    assert (run.outcome, run.stderr) == ("unstartable", b"Exec format error")


def test_a_hanging_tool_is_killed_with_its_children_and_what_it_printed_is_kept(tools: Path) -> None:
    program(tools, "tool", f"sleep 1000 & echo $! > {tools}/child; echo before; wait")
    begin = time.monotonic()
    run = live(tools).run("tool", limit=0.5)
    assert (run.outcome, run.exit_code, run.stdout, run.left_behind) == ("timeout", None, b"before\n", False)
    assert time.monotonic() - begin < 5
    assert not outlives(int((tools / "child").read_text()))


def test_a_tool_that_ignores_every_gentler_signal_is_killed(tools: Path) -> None:
    program(tools, "tool", "trap '' TERM INT HUP; while :; do sleep 0.05; done")
    assert live(tools).run("tool", limit=0.3).outcome == "timeout"


def test_a_tool_that_closes_its_output_and_goes_on_is_killed(tools: Path) -> None:
    program(tools, "tool", "exec >&- 2>&-; sleep 1000")
    assert live(tools).run("tool", limit=0.3).outcome == "timeout"


def test_a_child_that_holds_the_output_open_does_not_hold_up_the_audit(tools: Path) -> None:
    program(tools, "tool", f"sleep 1000 & echo $! > {tools}/child; echo done")
    begin = time.monotonic()
    run = live(tools).run("tool", limit=60)
    assert (run.outcome, run.exit_code, run.stdout) == ("exited", 0, b"done\n")
    assert time.monotonic() - begin < 5
    assert not outlives(int((tools / "child").read_text()))


def test_a_tool_that_prints_without_end_is_stopped(tools: Path) -> None:
    program(tools, "tool", "exec cat /dev/zero")
    run = live(tools).run("tool", limit=60)
    assert run.outcome == "flooded"
    assert len(run.stdout) == machine.MAX_OUTPUT_BYTES


def test_a_tool_that_floods_stderr_is_stopped_too(tools: Path) -> None:
    program(tools, "tool", "exec cat /dev/zero >&2")
    assert live(tools).run("tool", limit=60).outcome == "flooded"


def test_a_tool_killed_by_someone_else_says_by_which_signal(tools: Path) -> None:
    program(tools, "tool", "echo half; kill -SEGV $$")
    run = live(tools).run("tool", limit=10)
    assert (run.outcome, run.exit_code, run.signal, run.stdout) == ("killed", None, 11, b"half\n")


def test_tools_get_a_clean_environment_no_input_and_a_session_of_their_own(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("SECRET", "x")
    program(tools, "tool", "cat; pwd; env; cut -d' ' -f6 /proc/$$/stat; echo $$")
    *printed, session, own = live(tools).run("tool", limit=10).stdout.decode().split()
    assert printed[0] == "/"
    assert "LC_ALL=C" in printed
    assert f"PATH={tools}:/usr/bin:/bin" in printed
    assert not [word for word in printed if word.startswith(("SECRET", "LANG"))]
    assert session == own != str(os.getsid(0))


def test_reading_never_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xffok\n")
    seen = Live()
    assert seen.read(str(tmp_path / "file")) == "\N{REPLACEMENT CHARACTER}ok\n"
    for path in (str(tmp_path), str(tmp_path / "absent"), "a\0b", "/proc/self/mem"):
        assert seen.read(path) is None
    assert seen.names(str(tmp_path)) == ("file",)
    assert seen.names(str(tmp_path / "file")) == ()
    assert seen.resolve(str(tmp_path / "absent")) is None
    assert seen.resolve("/proc/self/exe") == str(Path("/proc/self/exe").resolve())


def test_files_of_proc_sys_and_long_ones_of_proc_are_read_whole() -> None:
    assert Live().read("/proc/sys/kernel/osrelease") == f"{os.uname().release}\n"
    assert Live().read("/proc/cpuinfo") == Path("/proc/cpuinfo").read_text() or os.cpu_count() is None


def test_a_recorded_machine_answers_as_it_was_recorded() -> None:
    run = Run(args=("tool", "-x"), outcome="exited", exit_code=0, stdout=b"out", seconds=3)
    seen = Recorded({run.args: run}, {"/sys/a/b": "text"}, {"/sys/a/link": "/sys/c"})
    assert seen.run("tool", "-x", limit=5) is run
    assert seen.run("tool", "-x", limit=2).outcome == "timeout"
    assert seen.run("tool", "-y", limit=5).outcome == "missing"
    assert (seen.has_tool("tool"), seen.has_tool("other")) == (True, False)
    assert (seen.read("/sys/a/b"), seen.read("/sys/a/c")) == ("text", None)
    assert (seen.names("/sys/a"), seen.names("/sys/a/")) == (("b", "link"), ("b", "link"))
    assert (seen.resolve("/sys/a/link"), seen.resolve("/sys/a"), seen.resolve("/sys/x")) == ("/sys/c", "/sys/a", None)


def test_a_terminated_audit_takes_its_tool_down_and_writes_nothing(tools: Path) -> None:
    program(tools, "dmidecode", f"echo $$ > {tools}/running; exec sleep 1000")
    code = (
        "import functools, sys, bee.cli, bee.machine;"
        f"bee.machine.Live = functools.partial(bee.machine.Live, path=({str(tools)!r}, '/usr/bin', '/bin'));"
        f"sys.exit(bee.cli.main(['audit', '--output', {str(tools / 'audit.json')!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 20
        while not (tools / "running").exists() or not (tools / "running").read_text():
            assert time.monotonic() < end
            time.sleep(0.01)
        process.terminate()
        said = process.communicate(timeout=20)[1]
    finally:
        process.kill()
    assert (process.returncode, said) == (130, b"bee: interrupted\n")
    assert not outlives(int((tools / "running").read_text()))
    assert not (tools / "audit.json").exists()


class Hasty(Live):
    """The live machine, with time limits short enough for a test."""

    def run(self, *args: str, limit: float) -> Run:
        return Live.run(self, *args, limit=min(limit, 0.3))


FAULTS = {
    "hangs": "exec sleep 1000",
    "prints garbage": "head -c 5000 /dev/urandom",
    "prints without end": "exec cat /dev/zero",
    "prints nothing": ":",
    "fails": "echo reason >&2; exit 3",
    "fails with each bit set": "exit 255",
    "is killed": "kill -KILL $$",
    "leaves a child": "sleep 1000 & exit 0",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_tools_that_misbehave_all_at_once_still_give_a_valid_audit(tools: Path, fault: str) -> None:
    names = ("dmidecode", "lsblk", "smartctl", "nvme", "lspci", "ipmitool", "nvidia-smi")
    for name in names:
        program(tools, name, FAULTS[fault])
    begin = time.monotonic()
    found = collect(Hasty(path=(str(tools), "/usr/bin", "/bin")), lambda level, text: None)
    assert time.monotonic() - begin < 30
    assert errors(serialise(found)) == []
    by_name = {collector.name: collector for collector in found.collectors}
    for name in ("board", "cpu", "memory"):
        assert getattr(found, name) is None
        assert by_name[name].status == "failed"
        assert by_name[name].reasons
        assert not [reason for reason in by_name[name].reasons if "bee itself failed" in reason]
