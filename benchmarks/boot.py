"""How soon the live CD is there beside plain live-build's: in the same guest, first the one, then the other.

Who sits before the machine presses Enter as soon as the boot loader takes it: plain live-build's menu never starts
anything by itself.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.timing import Row, ratios, spread
from tests.boot.hardware import SERVER
from tests.boot.qemu import BOOT_LIMIT, Guest, boot
from tests.boot.traffic import frames

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    seen: dict[Path, list[Started]] = {plain: [], ours: []}
    for _ in range(runs):
        for iso, found in seen.items():
            found.append(_started(iso, key))
    for what, name in (("a command over ssh", "answered"), ("the written audit", "audited")):
        for unit, kind, limit in (("s", "", LIMIT), ("s of processor", "_processor", None)):
            one, other = ([getattr(each, name + kind) for each in seen[iso]] for iso in (ours, plain))
            yield Row(f"power-on to {what}", spread(one), unit, None)
            yield Row("  the same, plain live-build's", spread(other), unit, None)
            yield Row("  ratio", ratios(one, other), "", limit)


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds since power-on of one start.

    Attributes:
        answered: to the first command over ssh, by the clock.
        answered_processor: the same, of QEMU's processor time.
        audited: to the written audit, by the clock.
        audited_processor: to when that was seen, of QEMU's processor time.
    """

    answered: float
    answered_processor: float
    audited: float
    audited_processor: float


def _started(iso: Path, key: Path) -> Started:
    with boot(iso, SERVER, key) as guest:
        begin = time.monotonic()
        with _pressing_enter(guest):
            # What is sent to a guest without an address is kept and then given to it all at once, at sshd's cost.
            guest.wait_for(lambda: _has_lease(guest.wire), "an address by DHCP", BOOT_LIMIT)
            guest.wait_for(lambda: _greets(guest.port), "sshd's greeting", BOOT_LIMIT)
            guest.wait_for(guest.answers, "a log-in over SSH", BOOT_LIMIT)
        answered, used = time.monotonic() - begin, guest.processor_seconds
        written, now = map(float, guest.run(_WRITTEN, limit=BOOT_LIMIT).stdout.split())
        return Started(answered, used, time.monotonic() - begin - (now - written), guest.processor_seconds)


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


def _greets(port: int) -> bool:
    """Whether sshd answers at once: what a guest misses whose address is given and not yet set, QEMU's network repeats
    only after 6 s, in one guest and not in another."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        return connection.recv(4) == b"SSH-"
    return False


def _has_lease(wire: Path) -> bool:
    """Whether a DHCP server's acknowledgement has been seen on the wire: option 53 with the value 5 (RFC 2132, 9.6)."""
    recording = wire.read_bytes()
    return bool(recording) and any(b"\x63\x82\x53\x63\x35\x01\x05" in frame for frame in frames(recording))
