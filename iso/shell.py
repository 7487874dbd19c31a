"""The one edge to build tools: run one, log it, and on failure say what it said last."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import sh

from iso.errors import BuildError
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

# Every tool has no terminal, a process group of its own that is ended as a whole, and dies even with a killed build.
_tool = sh.Command("setpriv").bake("--pdeathsig", "KILL", "--", _tty_out=False, _tty_in=False, _new_group=True)


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
        BuildError: it is missing or failed; with what it said.
    """
    try:
        return str(_tool(*command, _env=environment(extra), _encoding="utf-8", _decode_errors="replace"))
    except sh.ErrorReturnCode as error:
        said = without_userinfo(error.stderr.decode(errors="replace").strip())
        raise BuildError(f"{command[0]}: exit {error.exit_code}: {said or 'it said nothing'}") from None


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
        stream.write(f"+ {without_userinfo(shlex.join(command))}\n".encode())
        stream.flush()
        begin = stream.tell()
        running = _tool(*wrapped, _env=variables, _in=stdin, _out=stream, _err_to_out=True, _bg=True, _bg_exc=False)
        try:
            running.wait()
        except sh.ErrorReturnCode as error:
            raise BuildError(_failure(command, error.exit_code, log, begin)) from None
        except BaseException:
            _end(running, lifeline)
            raise


def _end(running: Any, lifeline: int | None) -> None:  # sh has no name for this type
    """Stop a command and all it started; what runs as another user ends by its closed pipe."""
    if lifeline is None:
        with contextlib.suppress(OSError):
            running.kill_group()
    else:
        os.close(lifeline)
    with contextlib.suppress(sh.ErrorReturnCode, sh.TimeoutException):
        running.wait(timeout=_GRACE)


def _failure(command: Sequence[str], code: int, log: Path, begin: int) -> str:
    with log.open("rb") as stream:
        stream.seek(begin)
        lines = without_userinfo(stream.read().decode(errors="replace")).rstrip().splitlines()
    outcome = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    tail = "".join(f"\n    {line}" for line in lines[-_TAIL_LINES:])
    return f"{Path(command[0]).name}: {outcome}; its last lines:{tail}\n  all of it: {log}"
