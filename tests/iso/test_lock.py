"""Locks: one holder, who is named; whoever waits comes after; nothing stays of a killed process."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
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


def test_a_holder_in_a_container_is_no_process_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(lock, "_numbering", lambda: "pid:[1]")
        lock.hold(tmp_path / ".lock")
    with pytest.raises(BuildError, match=f"running, process {os.getpid()}, as its own container numbers them$"):
        lock.hold(tmp_path / ".lock")


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


def held_by_us(path: Path) -> list[int]:
    """The descriptors of this process that are open on a file or folder."""
    return [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and link.readlink() == path]


def test_a_use_is_never_lost_to_a_question_of_the_same_moment(tmp_path: Path) -> None:
    asking = "from itertools import count\nprint('held', flush=True)\nfor _ in count(): lock.is_held(Path(sys.argv[1]))"
    end, uses = time.monotonic() + 2, 0
    with other(asking, tmp_path) as first, other(asking, tmp_path) as second:
        try:
            while time.monotonic() < end and uses < 50_000:
                lock.use(tmp_path)
                (descriptor,) = held_by_us(tmp_path)
                os.close(descriptor)
                uses += 1
        finally:
            first.kill()
            second.kill()
    assert uses > 10


@pytest.mark.parametrize("replaced", [True, False])
def test_who_uses_what_is_being_removed_has_what_is_there_then(tmp_path: Path, replaced: bool) -> None:
    entry = tmp_path / "entry"
    entry.mkdir()
    with lock.alone(entry) as mine:
        assert mine
        user = threading.Thread(target=lock.use, args=(entry,), daemon=True)
        user.start()
        user.join(timeout=0.2)
        assert user.is_alive()
        entry.rename(tmp_path / "gone")
        if replaced:
            entry.mkdir()
    user.join(timeout=30)
    assert not user.is_alive()
    assert lock.is_held(entry) == replaced
    for descriptor in held_by_us(entry):
        os.close(descriptor)
    assert held_by_us(tmp_path / "gone") == []


def test_nobody_has_alone_what_was_removed_since_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = tmp_path / "entry"
    entry.mkdir()
    flock = fcntl.flock

    def removed_meanwhile(descriptor: int, kind: int) -> None:
        entry.rmdir()
        flock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with lock.alone(entry) as mine:
        assert not mine
