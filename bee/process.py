"""One tool under way: its output read side by side and bounded, its whole group killed at the end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_OUTPUT_BYTES = 16 * 2**20
# After the kill: a tool in uninterruptible sleep ignores even SIGKILL; it is left behind, and said.
REAP_SECONDS = 2.0
# After the tool ended: how long a grandchild that still holds its output may go on.
DRAIN_SECONDS = 0.5


class Process:
    """A program with no input, in a session of its own, whose two streams are read so that neither pipe fills up.

    Raises:
        OSError: the kernel refuses to start it.
    """

    def __init__(self, args: tuple[str, ...], program: str, folder: str, environment: Mapping[str, str]) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._process = subprocess.Popen(
            args,
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        self._pipes = (cast("IO[bytes]", self._process.stdout), cast("IO[bytes]", self._process.stderr))
        # Readable when the process has ended; unlike wait() it does not reap, so the group's number stays ours.
        self._ended = os.pidfd_open(self._process.pid)

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal; None until `end` has reaped the process."""
        return self._process.returncode

    def read_until_end(self, deadline: float, stop: int) -> str:
        """Read until the process and both streams end; say how that came: exited, timeout, flooded or stopped.

        Args:
            deadline: time.monotonic() of its limit.
            stop: a descriptor that becomes readable when all tools are to be stopped.
        """
        with selectors.DefaultSelector() as selector:
            buffers = {self._pipes[0].fileno(): self.stdout, self._pipes[1].fileno(): self.stderr}
            waiting = {*buffers, self._ended}
            for descriptor in (*waiting, stop):
                selector.register(descriptor, selectors.EVENT_READ)
            while waiting:
                left = deadline - time.monotonic()
                if left <= 0:
                    # A grandchild that still holds the output is no reason to call its parent late.
                    return "timeout" if self._ended in waiting else "exited"
                for descriptor in [key.fd for key, _ in selector.select(left)]:
                    if descriptor == stop:
                        return "stopped"
                    if descriptor == self._ended:
                        deadline = min(deadline, time.monotonic() + DRAIN_SECONDS)
                    elif _read(descriptor, buffers[descriptor]):
                        if len(buffers[descriptor]) > MAX_OUTPUT_BYTES:
                            del buffers[descriptor][MAX_OUTPUT_BYTES:]
                            return "flooded"
                        continue
                    selector.unregister(descriptor)
                    waiting.remove(descriptor)
        return "exited"

    def end(self) -> bool:
        """Kill whatever is left of the group and reap the process; False when it does not die in time."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        os.close(self._ended)
        for pipe in self._pipes:
            pipe.close()
        try:
            self._process.wait(REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True


def _read(descriptor: int, buffer: bytearray) -> bool:
    chunk = os.read(descriptor, 65536)
    buffer += chunk
    return bool(chunk)
