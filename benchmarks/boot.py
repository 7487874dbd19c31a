"""How soon the live CD is there beside plain live-build's: in the same guest, first the one, then the other.

Who sits before the machine presses Enter as soon as the boot loader takes it: plain live-build's menu never starts
anything by itself.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.timing import Row, ratios, spread
from tests.boot.hardware import SERVER
from tests.boot.qemu import BOOT_LIMIT, Guest, boot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LIMIT = 0.5
_AUDIT = "/var/log/bee-audit.json"
# Waits for the audit; when it was written, and the guest's clock then, in seconds: that clock need not be ours.
_WRITTEN = f"until test -s {_AUDIT}; do sleep 1; done; stat -c %.Y {_AUDIT}; date +%s.%N"


def rows(ours: Path, plain: Path, key: Path, runs: int) -> Iterator[Row]:
    """From power-on to a command over ssh, and to the written audit.

    Args:
        ours: an image.
        plain: another.
        key: that logs in to both.
        runs: of each.
    """
    seen: dict[Path, list[tuple[float, float]]] = {plain: [], ours: []}
    for _ in range(runs):
        for iso, times in seen.items():
            times.append(_started(iso, key))
    yield from _compared({"a command over ssh": 0, "the written audit": 1}, seen[ours], seen[plain])


def _compared(
    what: Mapping[str, int], ours: list[tuple[float, float]], plain: list[tuple[float, float]]
) -> Iterator[Row]:
    for name, place in what.items():
        one, other = ([times[place] for times in found] for found in (ours, plain))
        yield Row(f"power-on to {name}", spread(one), "s", None)
        yield Row("  the same, plain live-build's", spread(other), "s", None)
        yield Row("  ratio", ratios(one, other), "of its time", LIMIT)


def _started(iso: Path, key: Path) -> tuple[float, float]:
    with boot(iso, SERVER, key) as guest:
        begin = time.monotonic()
        with _pressing_enter(guest):
            _await_banner(guest.port, begin + BOOT_LIMIT)
            guest.wait_for_login()
        answered = time.monotonic() - begin
        written, now = map(float, guest.run(_WRITTEN, limit=BOOT_LIMIT).stdout.split())
        return answered, time.monotonic() - begin - (now - written)


@contextmanager
def _pressing_enter(guest: Guest) -> Iterator[None]:
    """Press Enter every second."""
    done = threading.Event()

    def press() -> None:
        while not done.wait(1):
            guest.type_on_keyboard(["ret"])

    hand = threading.Thread(target=press)
    hand.start()
    try:
        yield
    finally:
        done.set()
        hand.join()


def _await_banner(port: int, end: float) -> None:
    """Wait for sshd's first words: the forwarded port accepts long before, and ssh would wait for them much longer.

    Raises:
        TimeoutError: nothing was said until `end`, of the monotonic clock.
    """
    while time.monotonic() < end:
        with socket.socket() as connection:
            connection.settimeout(1)
            try:
                connection.connect(("127.0.0.1", port))
                if connection.recv(4) == b"SSH-":
                    return
            except OSError:
                time.sleep(0.2)
    raise TimeoutError(f"nothing said anything on port {port}")
