"""Tools are logged, failures say their last lines, and nothing outlives a build, however it is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from iso import shell
from iso.errors import BuildError
from iso.isolation import isolated
from iso.mounts import mounted_below

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode != 0,
    reason="namespaces need root or sudo",
)


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def processes(mark: str) -> list[str]:
    """Command lines with a mark in them, of this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in line and str(os.getpid()) != path.parent.name:
            found.append(line)
    return found


def test_output_and_errors_go_to_the_log_with_the_command(tmp_path: Path) -> None:
    log = tmp_path / "logs/tool.log"
    shell.run(["/bin/sh", "-c", "echo out; echo err >&2"], log)
    assert log.read_text() == "+ /bin/sh -c 'echo out; echo err >&2'\nout\nerr\n"


def test_a_failure_shows_the_last_lines_of_this_tool_and_where_the_rest_is(tmp_path: Path) -> None:
    log = tmp_path / "tool.log"
    shell.run(["echo", "earlier tool"], log)
    with pytest.raises(BuildError) as caught:
        shell.run(["/bin/sh", "-c", "seq 100; exit 7"], log)
    said = str(caught.value)
    assert said.startswith("sh: exit 7; its last lines:")
    assert "    100\n" in said
    assert "    88\n" not in said
    assert "earlier tool" not in said
    assert said.endswith(str(log))


def test_a_tool_ended_by_a_signal_says_which(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="signal SIGKILL"):
        shell.run(["/bin/sh", "-c", "kill -9 $$"], tmp_path / "log")


def test_a_tool_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no-such-tool"):
        shell.run(["no-such-tool"], tmp_path / "log")


def test_the_environment_is_not_the_caller_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    seen = shell.capture(["env"], {"EXTRA": "1"})
    assert "hunter2" not in seen
    assert "LC_ALL=C.UTF-8\n" in seen
    assert "EXTRA=1\n" in seen
    assert "hunter2" not in shell.capture(["sh", "-c", "cat /proc/self/environ"])


def test_capture_gives_standard_output_alone_and_its_error_in_the_failure() -> None:
    assert shell.capture(["sh", "-c", "echo out; echo err >&2"]) == "out\n"
    with pytest.raises(BuildError, match=r"sh: exit 3: err"):
        shell.capture(["sh", "-c", "echo err >&2; exit 3"])


@needs_root
def test_isolated_work_is_root_s_and_mounts_only_for_itself(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    log = tmp_path / "log"
    shell.run_isolated(
        ["sh", "-c", f"id -u; mount -t tmpfs test {place}; touch {place}/inside; ls {place}; echo $$"], log
    )
    lines = log.read_text().splitlines()
    assert lines[1:3] == ["0", "inside"]
    assert int(lines[3]) < 10  # a process namespace of its own
    assert not mounted_below(place)
    assert not (place / "inside").exists()


@needs_root
def test_isolated_work_leaves_nothing_in_the_background(tmp_path: Path) -> None:
    shell.run_isolated(["sh", "-c", f"setsid sleep 1000.{os.getpid()} & true"], tmp_path / "log")
    assert until(lambda: not processes(f"sleep 1000.{os.getpid()}"))


@needs_root
def test_an_isolated_failure_is_said_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="exit 5"):
        shell.run_isolated(["sh", "-c", "exit 5"], tmp_path / "log")


BUILDER = """
import sys
from pathlib import Path
from iso import shell
shell.terminate_as_interrupt()
kind, place, mark = sys.argv[1:]
script = f"mount -t tmpfs test {place} 2>/dev/null; sleep {mark} & setsid sleep {mark} & echo started; wait"
run = shell.run_isolated if kind == "isolated" else shell.run
try:
    run(["sh", "-c", script], Path(place).parent / "log")
except KeyboardInterrupt:
    sys.exit(130)
"""


@needs_root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_no_mount_and_no_process_outlives_a_killed_build(tmp_path: Path, number: signal.Signals) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mark = f"1001.{os.getpid()}{number.value}"
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, "isolated", place, mark], cwd=ROOT)
    assert until(lambda: len(processes(f"sleep {mark}")) >= 2)
    builder.send_signal(number)
    # Well before the time that a command is given to end by itself.
    assert builder.wait(timeout=10) == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    assert until(lambda: not processes(mark)), processes(mark)
    assert not mounted_below(place)
    shutil.rmtree(place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_an_interrupted_tool_ends_with_all_its_children(tmp_path: Path, number: signal.Signals) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mark = f"1002.{os.getpid()}{number.value}"
    script = BUILDER.replace("mount -t tmpfs test {place} 2>/dev/null;", "").replace("setsid sleep", "sleep")
    builder = subprocess.Popen([sys.executable, "-c", script, "plain", place, mark], cwd=ROOT)
    assert until(lambda: len(processes(f"sleep {mark}")) >= 2)
    builder.send_signal(number)
    assert builder.wait(timeout=10) == 130
    assert until(lambda: not processes(mark)), processes(mark)


def test_a_user_s_privileged_work_goes_through_sudo_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    command = isolated(["lb", "build"])
    assert command[:3] == ["sudo", "-n", "--"]
    assert command[-2:] == ["lb", "build"]


@needs_root
def test_no_command_line_shows_a_variable_of_isolated_work(tmp_path: Path) -> None:
    """Everybody may read /proc/*/cmdline, and the address of a proxy may have a password in it."""
    secret = f"hunter2-{os.getpid()}"
    place = tmp_path / "started"
    seen: list[str] = []

    def look() -> None:
        until(place.exists)
        seen.extend(processes(""))

    watcher = threading.Thread(target=look)
    watcher.start()
    proxy = {"http_proxy": f"http://user:{secret}@proxy.invalid:3128"}
    script = f"touch {place}; sleep 1; [ $http_proxy = http://user:$(cat {tmp_path}/secret)@proxy.invalid:3128 ]"
    (tmp_path / "secret").write_text(secret)
    shell.run_isolated(["sh", "-c", script], tmp_path / "log", proxy)
    watcher.join()
    assert [line for line in seen if "sleep 1" in line]
    assert not [line for line in seen if secret in line]
    assert secret not in (tmp_path / "log").read_text()


@needs_root
def test_variables_arrive_as_they_are(tmp_path: Path) -> None:
    odd = "a  b'\"$(id)`;\\ ä="
    shell.run_isolated(["printenv", "ODD"], tmp_path / "log", {"ODD": odd})
    assert (tmp_path / "log").read_text().splitlines()[1] == odd
    with pytest.raises(BuildError, match="ODD: a line break"):
        shell.run_isolated(["true"], tmp_path / "log", {"ODD": "one\ntwo"})


def test_a_log_is_for_its_owner_alone_also_one_of_an_earlier_build(tmp_path: Path) -> None:
    """live-build prints the proxy that it uses, with its password."""
    for name in ("new", "earlier"):
        log = tmp_path / name
        if name == "earlier":
            log.touch(mode=0o644)
        shell.run(["echo", "http://user:password@proxy.invalid"], log)
        assert log.stat().st_mode & 0o777 == 0o600
