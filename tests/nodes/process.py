"""Programs of the harness: none outlives the process that started it, none asks on a terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

_T = TypeVar("_T")

# setpriv(1): the kernel sends SIGKILL when the thread that started the program ends, however it ends.
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


def start(
    command: Sequence[str],
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own (a Ctrl-C reaches the tests alone), killed when this process dies."""
    return subprocess.Popen(
        [*_DIES_WITH_US, *command],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=env,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program with everything in its session, and wait for it (10 seconds)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def run(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60,
    check: bool = True,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; after `timeout` seconds it is killed with all its children.

    Raises `AssertionError` with its output when it fails and `check` is true, or when its time is over.
    """
    process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env)
    try:
        out, err = process.communicate((stdin or "").encode(), timeout)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{' '.join(command)}: not done after {timeout} s") from None
    finally:
        kill(process)
    done = subprocess.CompletedProcess(list(command), process.returncode, out.decode(), err.decode())
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_until(what: str, probe: Callable[[], _T | None], timeout: float, pause: float = 0.1) -> _T:
    """The probe's first answer that is true; `AssertionError` naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not so after {timeout} s")
        time.sleep(pause)
