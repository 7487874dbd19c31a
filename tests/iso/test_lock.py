"""Locks: one holder, who is named; whoever waits comes after; nothing stays of a killed process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from iso import lock
from iso.errors import BuildError

ROOT = Path(__file__).parents[2]
HOLD = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from iso import lock\n"


def other(script: str, file: Path) -> subprocess.Popen[str]:
    """Another process that holds a lock until it is killed, or its stdin is closed."""
    command = [sys.executable, "-c", f"{HOLD}{script}", str(file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "folder/.lock"
    with other("lock.hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()", file) as holder:
        with pytest.raises(BuildError, match=f"running, process {holder.pid}$"):
            lock.hold(file)
        holder.kill()
    lock.hold(file)


def test_who_waits_says_so_and_comes_after(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "shared.lock"
    order = []

    def wait() -> None:
        with lock.waiting(file):
            order.append("waited")

    script = "with lock.waiting(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with other(script, file) as holder:
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiter.join(timeout=0.3)
        assert order == []
        order.append("released")
        assert holder.stdin
        holder.stdin.close()
        waiter.join(timeout=30)
    assert order == ["released", "waited"]
    assert capfd.readouterr().out == f"waiting for another build, which has {file}\n"
