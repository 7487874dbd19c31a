"""The constant remote command: what it is fed arrives whole or not at all, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busnode.script import loader, pack
from busnode.secrets import Secret

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="root's way through the loader needs root")

# Prints where the bundle lies, and every part of it in hex, as the node got it.
SHOW = """\
: >"$1/begun"
echo "$1"
for part in "$1"/blob.*; do [ ! -e "$part" ] || { od -An -v -tx1 "$part" | tr -d ' \\n'; echo; }; done
"""


def _load(shell: tuple[str, ...], bundle: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*shell, "-c", loader()], input=bundle, capture_output=True, timeout=60, check=False)


def _begun(named: Path) -> str:
    """A script's beginning: it tells where its bundle lies."""
    return f': >"$1/begun"; echo "$1" >{named}; '


def _is_gone(box: str) -> bool:
    assert "/busnode." in box
    return not Path(box).exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(blobs=st.lists(st.binary(max_size=3000), max_size=4), password=st.binary(max_size=20))
def test_blobs_of_any_bytes_arrive_as_they_were(shell: tuple[str, ...], blobs: list[bytes], password: bytes) -> None:
    bundle = pack(SHOW, time_limit=20, password=Secret(password), blobs=map(Secret, blobs))
    done = _load(shell, bundle)
    assert (done.returncode, done.stderr) == (0, b"")
    box, *parts = done.stdout.decode().splitlines()
    assert parts == [blob.hex() for blob in blobs]
    assert _is_gone(box)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(cut=st.integers(min_value=0, max_value=10_000))
def test_a_bundle_that_is_cut_anywhere_runs_nothing(shell: tuple[str, ...], cut: int, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    bundle = pack(f"touch {ran}; : >$1/begun\n", time_limit=20, blobs=[Secret(b"x" * 500)])
    done = _load(shell, bundle[: cut % len(bundle)])
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "apply_failed"
    assert not ran.exists()


def test_the_script_cannot_read_what_follows_it(shell: tuple[str, ...]) -> None:
    done = _load(shell, pack(': >"$1/begun"; cat\n', time_limit=20, blobs=[Secret(b"secret")]))
    assert done.stdout == b""


def test_the_node_stops_a_script_that_hangs(shell: tuple[str, ...], tmp_path: Path) -> None:
    done = _load(shell, pack(f"{_begun(tmp_path / 'box')} exec sleep 60\n", time_limit=1))
    assert json.loads(done.stdout) == {"error": "timeout", "detail": "the node stopped the operation after 1 s"}
    assert _is_gone((tmp_path / "box").read_text().strip())


def test_a_secret_shows_in_no_argument_and_no_environment(shell: tuple[str, ...], tmp_path: Path) -> None:
    word = "correct-horse-battery"
    go = tmp_path / "go"
    os.mkfifo(go)
    script = f': >"$1/begun"; cat "$1/blob.0" | {{ cat >/dev/null; cat {go}; }}\n'
    bundle = pack(script, time_limit=20, password=Secret(word.encode()), blobs=[Secret(word.encode())])
    thread = threading.Thread(target=_load, args=(shell, bundle))
    thread.start()
    # Opens as soon as the script reads on the other side.
    with go.open("w"):
        seen = [_shown(path) for path in Path("/proc").glob("[0-9]*") if path.name != str(os.getpid())]
        assert any(b"busnode." in text for text in seen), "the script runs now"
        assert not any(word.encode() in text for text in seen)
    thread.join()


def _shown(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return b""


def test_a_terminated_loader_leaves_nothing(shell: tuple[str, ...], tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    with subprocess.Popen([*shell, "-c", loader()], stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        process.stdin.write(pack(f"{_begun(tmp_path / 'box')} cat {go}\n", time_limit=20))
        process.stdin.close()
        with go.open("w"):
            process.terminate()
        process.wait(20)
    assert _is_gone((tmp_path / "box").read_text().strip())
