"""The one edge to build tools: run one, log it, and on failure say what it said last."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from iso import faults
from iso.errors import BuildError, MissingProgramError
from iso.isolation import handed_over, isolated
from iso.urls import without_userinfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

_KEPT = ("HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAIL_LINES = 12
# Seconds for a command to end after its pipe was closed.
_GRACE = 20


@functools.cache
def _sh() -> Any:  # sh is typed nowhere
    """The library, when the first tool is run: a build with nothing to do takes half the time without its import."""
    import sh  # noqa: PLC0415  # said above

    return sh


@functools.cache
def _tool() -> Any:
    """What starts a tool: without a terminal, in a process group ended as a whole, dying even with a killed build."""
    command = _sh().Command("setpriv")
    return command.bake("--pdeathsig", "KILL", "--", _tty_out=False, _tty_in=False, _new_group=True)


_recorded: list[list[str]] = []


@contextlib.contextmanager
def recording() -> Iterator[list[list[str]]]:
    """The command lines of all tools that are run meanwhile, as they were asked for."""
    _recorded.clear()
    yield _recorded


def terminate_as_interrupt() -> None:
    """Make SIGTERM end the build the way Ctrl-C does: children stopped, finished stages remembered."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a tool sees of the environment: little, and always the same, so that results do not depend on the rest.

    Args:
        extra: variables to add.
    """
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    return {"PATH": _SYSTEM_PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC"} | kept | dict(extra or {})


def capture(command: Sequence[str], extra: Mapping[str, str] | None = None) -> str:
    """The standard output of a short command.

    Args:
        command: program and arguments.
        extra: variables to add to its environment.

    Raises:
        BuildError: it is missing (MissingProgramError) or failed; with what it said.
    """
    try:
        done = subprocess.run(
            command, env=environment(extra), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise MissingProgramError(command[0]) from None
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        said = without_userinfo(done.stderr.decode(errors="replace").strip())
        raise BuildError(f"{command[0]}: exit {done.returncode}: {said or 'it said nothing'}")
    return done.stdout.decode(errors="replace")


def run(command: Sequence[str], log: Path, extra: Mapping[str, str] | None = None) -> None:
    """Run a tool to its end, with all that it prints appended to a log file.

    Args:
        command: program and arguments.
        log: where its output goes.
        extra: variables to add to its environment.

    Raises:
        BuildError: it failed: the last lines of the log and where the rest is.
    """
    with Path(os.devnull).open("rb") as nothing:
        _logged(command, list(command), log, environment(extra), nothing)


def run_isolated(command: Sequence[str], log: Path, extra: Mapping[str, str] | None = None) -> None:
    """Run a tool as root in namespaces of its own (`iso.isolation`): nothing of it survives this call, however it ends.

    Args:
        command: program and arguments.
        log: where its output goes.
        extra: variables to add to its environment.

    Raises:
        BuildError: it failed: the last lines of the log and where the rest is.
    """
    variables = handed_over(environment(extra))
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as lifeline:
        try:
            # Far less than a pipe holds (pipe(7)): nobody need read it yet.
            os.write(write_end, variables)
            _logged(command, isolated(command), log, {"PATH": _SYSTEM_PATH}, lifeline, write_end)
        finally:
            with contextlib.suppress(OSError):
                os.close(write_end)


def _logged(
    command: Sequence[str],
    wrapped: list[str],
    log: Path,
    variables: dict[str, str],
    stdin: IO[bytes],
    lifeline: int | None = None,
) -> None:
    _recorded.append(list(command))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        # Tools repeat what they are given: the address of a proxy, with its password.
        os.fchmod(stream.fileno(), 0o600)
        stream.write(f"+ {without_userinfo(shlex.join(command))}\n".encode())
        stream.flush()
        begin = stream.tell()
        running = _tool()(*wrapped, _env=variables, _in=stdin, _out=stream, _err_to_out=True, _bg=True, _bg_exc=False)
        try:
            running.wait()
        except _sh().ErrorReturnCode as error:
            raise BuildError(_failure(command, error.exit_code, log, begin)) from None
        except BaseException:
            _end(running, lifeline)
            raise


def _end(running: Any, lifeline: int | None) -> None:
    """Stop a command and all it started; what runs as another user ends by its closed pipe."""
    if lifeline is None:
        with contextlib.suppress(OSError):
            running.kill_group()
    else:
        os.close(lifeline)
    with contextlib.suppress(_sh().ErrorReturnCode, _sh().TimeoutException):
        running.wait(timeout=_GRACE)


def _failure(command: Sequence[str], code: int, log: Path, begin: int) -> str:
    with log.open("rb") as stream:
        stream.seek(begin)
        said = without_userinfo(stream.read().decode(errors="replace")).rstrip()
    if reason := faults.fault(said):
        return f"{reason}\n  all of it: {log}"
    outcome = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    tail = "".join(f"\n    {line}" for line in said.splitlines()[-_TAIL_LINES:])
    return f"{Path(command[0]).name}: {outcome}; its last lines:{tail}\n  all of it: {log}"
