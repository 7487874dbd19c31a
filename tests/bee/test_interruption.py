"""A signal ends bee in order, also where Python itself loses the exception that it raises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bee.test_audit import errors
from tests.bee.test_cli import ROOT

IN_A_FINALISER = """
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
Dying()
"""
IN_PLACE = "os.kill(os.getpid(), signal.SIGTERM)"


@pytest.mark.parametrize("signalled", [IN_A_FINALISER, IN_PLACE])
def test_an_interruption_that_is_lost_is_raised_again_and_never_in_the_clean_up(signalled: str) -> None:
    code = f"""
import os, signal, time
from bee import interruption
interruption.end_in_order()
try:
    try:
{"".join(f"        {line}" + chr(10) for line in signalled.splitlines())}
        time.sleep(20)
    finally:
        time.sleep(2.5)
        print("cleaned up")
except KeyboardInterrupt:
    interruption.over()
    time.sleep(1.5)
    print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "cleaned up\nended\n"), done.stderr


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
def test_a_signal_that_whoever_started_it_has_ignored_stays_ignored_and_the_others_do_not(name: str) -> None:
    """As nohup(1) does with SIGHUP, and a shell with SIGINT of what it runs in the background."""
    other = "TERM" if name != "TERM" else "HUP"
    code = f"""
import os, signal, time
from bee import interruption
# The tests themselves may run under nohup(1).
signal.signal(signal.SIG{other}, signal.SIG_DFL)
interruption.end_in_order()
os.kill(os.getpid(), signal.SIG{name})
time.sleep(0.1)
print("went on", flush=True)
try:
    os.kill(os.getpid(), signal.SIG{other})
    time.sleep(20)
except KeyboardInterrupt:
    interruption.over()
    print("ended")
"""
    command = ["sh", "-c", f'trap \'\' {name}; exec "$0" -c "$1"', sys.executable, code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "went on\nended\n"), done.stderr


def test_an_audit_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    tool = tmp_path / "lspci"
    # The shell that the tool's parent was started from has gone, and its terminal.
    tool.write_text("#!/bin/sh\nkill -HUP $PPID; sleep 0.5\n")
    tool.chmod(0o755)
    command = [sys.executable, "-m", "bee", "audit", "--output", f"{tmp_path}/audit.json", "--tool", f"lspci={tool}"]
    done = subprocess.run(["nohup", *command], cwd=ROOT, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert errors((tmp_path / "audit.json").read_bytes()) == []


EVERY_STEP = ("--skip", "board,cpu,memory,storage,pcie,psu,nvidia")


@pytest.mark.parametrize(
    ("during", "flags", "code", "said"),
    [
        ("show_summary", (), 0, "bee: interrupted; the audit is written to {}, its summary was not shown\n"),
        (
            "_save_to_usb",
            ("--save-to-usb",),
            3,
            "bee: interrupted; the audit is written to {}, no stick is known to have it\n",
        ),
        ("written", (), 130, "bee: interrupted\n"),
    ],
)
def test_an_interruption_says_whether_the_audit_was_written(
    tmp_path: Path, during: str, flags: tuple[str, ...], code: int, said: str
) -> None:
    path = tmp_path / "audit.json"
    program = f"""
import os, signal, sys, time
from bee import cli, collecting
def interrupted(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
collecting.{during} = interrupted
sys.exit(cli.main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", program, "audit", "--output", str(path), *EVERY_STEP, *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, said.format(path))
    assert path.exists() == (code != 130)
