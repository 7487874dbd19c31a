"""The edge, with real programs that misbehave in every way a tool has been seen to."""

from __future__ import annotations

import errno
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import pytest

from bee import audit as flow
from bee import process, working_folder
from bee.audit import collect, serialise
from bee.background import Task
from bee.machine import MAX_OUTPUT_BYTES, Live, Recorded, Run
from tests.bee.recorded import LINKS, SYS_FILES, runs
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
    assert len(run.stdout) == MAX_OUTPUT_BYTES


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
    assert re.fullmatch(r"/tmp/bee-[0-9a-f]{16}", printed[0])
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
    assert seen.run("tool", "-y", limit=5).outcome == "missing"
    assert (seen.has_tool("tool"), seen.has_tool("other")) == (True, False)
    assert (seen.read("/sys/a/b"), seen.read("/sys/a/c")) == ("text", None)
    assert (seen.names("/sys/a"), seen.names("/sys/a/")) == (("b", "link"), ("b", "link"))
    assert (seen.resolve("/sys/a/link"), seen.resolve("/sys/a"), seen.resolve("/sys/x")) == ("/sys/c", "/sys/a", None)


def test_a_terminated_audit_takes_its_tool_down_and_writes_nothing(tools: Path) -> None:
    # Steps run dmidecode side by side: each says its own process id in a file of its own, there at once and whole.
    program(tools, "dmidecode", f"echo $$ > {tools}/$$.new; mv {tools}/$$.new {tools}/$$.running; exec sleep 1000")
    code = (
        "import functools, sys, bee.cli, bee.machine;"
        f"bee.machine.Live = functools.partial(bee.machine.Live, path=({str(tools)!r}, '/usr/bin', '/bin'));"
        f"sys.exit(bee.cli.main(['audit', '--output', {str(tools / 'audit.json')!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 20
        while not list(tools.glob("*.running")):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.terminate()
        said = process.communicate(timeout=20)[1]
    finally:
        process.kill()
    assert (process.returncode, said) == (130, b"bee: interrupted\n")
    assert not any(outlives(int(running.stem)) for running in tools.glob("*.running"))
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


def test_an_overridden_tool_is_the_one_that_runs_and_no_other(tools: Path) -> None:
    (tools / "elsewhere").mkdir()
    program(tools, "tool", "echo found")
    program(tools / "elsewhere", "mine", 'echo "$0"')
    overridden = Live(path=(str(tools),), tools={"tool": str(tools / "elsewhere" / "mine")})
    assert overridden.run("tool", limit=10).stdout == f"{tools}/elsewhere/mine\n".encode()
    gone = Live(path=(str(tools),), tools={"tool": str(tools / "absent")})
    assert (gone.run("tool", limit=10).outcome, gone.has_tool("tool")) == ("missing", False)


def test_the_working_folder_is_private_and_is_gone_with_what_the_tool_left_in_it(tools: Path) -> None:
    program(tools, "tool", "pwd; stat -c %a .; mkdir logs; echo x > logs/storcli.log")
    folder, mode = live(tools).run("tool", limit=10).stdout.decode().split()
    assert mode == "700"
    assert not Path(folder).exists()


def test_an_ipmitool_that_shows_no_name_reads_a_register_of_one_entry(tools: Path) -> None:
    program(tools, "ipmitool", 'echo "$HOME"; pwd; cat "$HOME/.local/usr/share/misc/enterprise-numbers.txt"')
    for words in (("fru",), ("sdr", "elist"), ("lan", "print"), ("mc", "guid")):
        home, folder, *register = live(tools).run("ipmitool", *words, limit=10).stdout.decode().splitlines()
        assert home == folder
        assert not Path(folder).exists()
        assert register == ["0", "  Reserved", "    Internet Assigned Numbers Authority", "      iana&iana.org"]


def test_half_a_register_is_none(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(working_folder, "open", full, raising=False)
    program(tools, "ipmitool", 'echo "$HOME"')
    assert live(tools).run("ipmitool", "fru", limit=10).stdout == b"/nonexistent\n"


@pytest.mark.parametrize("args", [("ipmitool", "mc", "info"), ("smartctl", "mc", "fru")])
def test_who_shows_a_manufacturers_name_has_the_whole_register_and_no_tool_another_home(
    tools: Path, args: tuple[str, ...]
) -> None:
    program(tools, args[0], 'echo "$HOME"; ls -A')
    assert live(tools).run(*args, limit=10).stdout == b"/nonexistent\n"


def test_only_one_ipmitool_runs_at_a_time_and_other_tools_run_beside_each_other(tools: Path) -> None:
    body = f"mkdir {tools}/busy.$1 || echo two at once; sleep 0.2; rmdir {tools}/busy.$1"
    for name in ("ipmitool", "smartctl"):
        program(tools, name, body)
    with live(tools) as machine:
        for name, seen in (("ipmitool", {b""}), ("smartctl", {b"", b"two at once\n"})):
            tasks = [Task(lambda name=name: machine.run(name, name, limit=10)) for _ in range(3)]
            assert {task.result().stdout for task in tasks} == seen


def test_a_bmc_that_hangs_is_asked_once(tools: Path) -> None:
    program(tools, "ipmitool", f"echo $1 >> {tools}/asked; exec sleep 1000")
    program(tools, "smartctl", "exec sleep 1000")
    with live(tools) as machine:
        runs = [machine.run(name, word, limit=0.3) for name in ("ipmitool", "smartctl") for word in ("fru", "sdr")]
    assert [run.outcome for run in runs] == ["timeout", "unasked", "timeout", "timeout"]
    assert (tools / "asked").read_text() == "fru\n"


def test_a_bmc_that_is_slow_but_answers_is_asked_again(tools: Path) -> None:
    program(tools, "ipmitool", "echo half a list; exec sleep 1000")
    with live(tools) as machine:
        assert [machine.run("ipmitool", word, limit=0.3).outcome for word in ("fru", "sdr")] == ["timeout"] * 2


def test_the_deadline_stops_what_runs_and_starts_nothing_more(tools: Path) -> None:
    program(tools, "tool", "echo before; exec sleep 1000")
    program(tools, "ipmitool", "exec sleep 1000")
    begin = time.monotonic()
    with Live(path=(str(tools), "/usr/bin", "/bin"), deadline=begin + 0.4) as machine:
        # The second ipmitool waits for its turn, which never comes.
        tasks = [Task(lambda name=name: machine.run(name, limit=60)) for name in ("tool", "ipmitool", "ipmitool")]
        runs = [task.result() for task in tasks]
        late = machine.run("tool", limit=60)
    assert time.monotonic() - begin < 2
    assert [run.outcome for run in runs] == ["stopped"] * 3
    assert (runs[0].stdout, late) == (b"before\n", Run(args=("tool",), outcome="stopped"))


def test_a_tool_that_is_late_by_its_own_limit_is_not_blamed_on_the_deadline(tools: Path) -> None:
    program(tools, "tool", "exec sleep 1000")
    assert Live(path=(str(tools), "/bin"), deadline=time.monotonic() + 60).run("tool", limit=0.2).outcome == "timeout"


def test_closing_stops_every_tool(tools: Path) -> None:
    program(tools, "tool", f"echo $$ > {tools}/pid.$1; exec sleep 1000")
    machine = live(tools)
    tasks = [Task(lambda number=number: machine.run("tool", str(number), limit=60)) for number in range(3)]
    end = time.monotonic() + 20
    while len([path for path in tools.glob("pid.*") if path.read_text()]) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    machine.close()
    assert [task.result().outcome for task in tasks] == ["stopped"] * 3
    assert not [path for path in tools.glob("pid.*") if outlives(int(path.read_text()))]
    assert machine.run("tool", "3", limit=1).outcome == "stopped"


class Unkillable(subprocess.Popen[bytes]):
    """A process in uninterruptible sleep, which no test can have: its end is not seen in time."""

    def wait(self, timeout: float | None = None) -> int:
        if timeout == process.REAP_SECONDS:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return super().wait(timeout)


def test_a_tool_that_survives_the_kill_is_left_behind_and_that_is_said(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.subprocess, "Popen", Unkillable)
    program(tools, "tool", "exec sleep 1000")
    run = live(tools).run("tool", limit=0.2)
    assert (run.outcome, run.left_behind) == ("timeout", True)


@dataclass(frozen=True, slots=True)
class Stuck(Recorded):
    """A machine whose kernel does not come back from reading a link's width."""

    def read(self, path: str) -> str | None:
        if path.endswith("current_link_width"):
            time.sleep(1000)
        return Recorded.read(self, path)


def test_a_read_that_never_returns_costs_its_step_alone_once_there_is_a_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow, "_GRACE_SECONDS", 0.1)
    machine = Stuck(runs(), SYS_FILES, LINKS)
    found = collect(machine, lambda level, text: None, deadline=time.monotonic() + 0.3)
    assert errors(serialise(found)) == []
    by_name = {collector.name: collector for collector in found.collectors}
    assert found.pcie is None
    assert by_name["pcie"].status == "failed"
    assert by_name["pcie"].reasons == ("it was still waiting for the kernel when the audit's deadline had come",)
    assert {by_name[name].status for name in ("board", "cpu", "memory", "storage")} == {"ok"}


@dataclass(frozen=True, slots=True)
class Unsteady(Recorded):
    """A machine whose tools take another time each time."""

    def run(self, *args: str, limit: float) -> Run:
        time.sleep(random.random() / 50)
        return Recorded.run(self, *args, limit=limit)


def test_no_order_depends_on_which_tool_is_faster() -> None:
    def seen() -> tuple[list[tuple[str, str]], bytes]:
        said: list[tuple[str, str]] = []
        disks = {f"/sys/block/{name}/size": "1" for name in ("sda", "nvme0n1", "nvme0n2")}
        without_ipmitool = {args: run for args, run in runs().items() if args[0] != "ipmitool"}
        machine = Unsteady(without_ipmitool, {**SYS_FILES, **disks}, LINKS)
        found = collect(machine, lambda level, text: said.append((level, re.sub(r"[0-9.]+ s$", "", text))))
        timeless = [replace(collector, seconds=0.0) for collector in found.collectors]
        return said, serialise(replace(found, seconds=0.0, collectors=tuple(timeless)))

    assert len({repr(seen()) for _ in range(5)}) == 1
