"""One program, fed and read with a deadline and bounds, killed as a group."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from busnode.contract import BadRequestError
from busnode.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_OUTPUT = 4_000_000
_CHUNK = 65536
_REAP_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended; `exit_code` is None when its deadline passed and its group was killed.

    Not `answered` is a greeting that did not come back: nothing else was given to the program.
    """

    stdout: bytes
    stderr: bytes
    exit_code: int | None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Greeting:
    """What is sent first, the answer that must come before anything else is, and for how many seconds it is awaited."""

    sent: bytes
    answer: bytes
    seconds: float


def exchange(
    argv: Sequence[str],
    stdin: bytes = b"",
    *,
    time_limit: float,
    hear: Callable[[bytes], None] | None = None,
    max_output: int = MAX_OUTPUT,
    greeting: Greeting | None = None,
) -> Completed:
    """Run `argv` in a process group of its own, write `stdin` to it and read what it prints, for `time_limit` seconds.

    With a `greeting` nothing of `stdin` is written before the program has answered it.
    `hear` is told each piece of its standard output as it comes; what it raises ends the program.
    Of more than `max_output` bytes a stream the middle is left out, which is said there. Nothing of `stdin` is kept or
    logged.
    Raises FileNotFoundError where there is no such program, BadRequestError where it cannot be started.
    """
    deadline = time.monotonic() + time_limit
    pipe = subprocess.PIPE
    try:
        # The environment goes as it is: ssh needs HOME and the agent's socket.
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadRequestError(f"{argv[0]}: cannot be started here: {error.strerror}; nothing was sent") from error
    exchanged = _Exchange(process, stdin, hear, max_output, greeting)
    try:
        if greeting is not None:
            exchanged.pump(min(deadline, time.monotonic() + greeting.seconds))
        if exchanged.answered:
            exchanged.pump(deadline)
        exit_code = process.wait(max(0.0, deadline - time.monotonic())) if exchanged.ended else None
    except subprocess.TimeoutExpired:
        exit_code = None
    finally:
        exchanged.close()
        _kill_group(process)
    return Completed(exchanged.stdout.kept(), exchanged.stderr.kept(), exit_code, exchanged.answered)


class Bounded:
    """The beginning and the end of a stream, of `limit` bytes together; it never holds more than that and one chunk."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head, self._tail = bytearray(), bytearray()
        self._left_out = 0

    def add(self, chunk: bytes) -> None:
        """The next bytes of the stream."""
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        beyond = max(0, len(self._tail) - self._half)
        self._left_out += beyond
        del self._tail[:beyond]

    def kept(self) -> bytes:
        """What is kept, with a line in the place of what is not."""
        mark = f"\n[{self._left_out} bytes are left out here]\n".encode() if self._left_out else b""
        return bytes(self._head) + mark + bytes(self._tail)


class _Exchange:
    """The three pipes of a process, moved without ever blocking on one of them."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        stdin: bytes,
        hear: Callable[[bytes], None] | None,
        max_output: int,
        greeting: Greeting | None,
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdin, self._left = process.stdin, memoryview(stdin if greeting is None else greeting.sent)
        self._greeting, self._held = greeting, memoryview(stdin)
        self.stdout, self.stderr = Bounded(max_output), Bounded(max_output)
        self._hear = hear
        self._outputs = {process.stdout.fileno(): self.stdout, process.stderr.fileno(): self.stderr}
        self._pipes = (process.stdin, process.stdout, process.stderr)
        self._selector = selectors.DefaultSelector()
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        self._selector.register(self._stdin.fileno(), selectors.EVENT_WRITE)
        for descriptor in self._outputs:
            self._selector.register(descriptor, selectors.EVENT_READ)

    @property
    def answered(self) -> bool:
        """Whether no greeting waits for its answer."""
        return self._greeting is None

    @property
    def ended(self) -> bool:
        """Whether both outputs are at their end."""
        return not self._outputs

    def pump(self, deadline: float) -> None:
        """Move bytes until both outputs are at their end, a greeting is answered, or the deadline comes."""
        was_answered = self.answered
        while self._outputs and self.answered is was_answered:
            wait = deadline - time.monotonic()
            if wait <= 0:
                return
            for key, _ in self._selector.select(wait):
                if key.fd in self._outputs:
                    self._read(key.fd)
                else:
                    self._write(key.fd)

    def _read(self, descriptor: int) -> None:
        chunk = os.read(descriptor, _CHUNK)
        output = self._outputs[descriptor]
        output.add(chunk)
        if output is self.stdout and chunk:
            self._answer()
            if self._hear is not None:
                self._hear(chunk)
        if not chunk:
            self._selector.unregister(descriptor)
            del self._outputs[descriptor]

    def _answer(self) -> None:
        if self._greeting is None or self._greeting.answer not in self.stdout.kept():
            return
        # An answer may come while the greeting is still on its way.
        self._greeting, self._left = None, memoryview(b"".join((self._left, self._held)))
        if self._stdin.fileno() not in self._selector.get_map():
            self._selector.register(self._stdin.fileno(), selectors.EVENT_WRITE)

    def _write(self, descriptor: int) -> None:
        try:
            self._left = self._left[os.write(descriptor, self._left[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # Whoever reads has ended; its exit code and its last words say why.
            self._left = self._left[:0]
        if not self._left:
            self._selector.unregister(descriptor)
            if self.answered:
                self._stdin.close()

    def close(self) -> None:
        self._selector.close()
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what still runs, a jump host's ssh too; the wait is bounded: in D state every signal is ignored."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_REAP_SECONDS)
