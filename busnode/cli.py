"""The command line: `bus operator node …`, and the same as `bus-operator node …` and `bus-operator-node …`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from busnode import view
from busnode.arguments import command_parser, global_parser
from busnode.commands import COMMANDS
from busnode.console import PROGRAM, console_of
from busnode.contract import BadRequestError, BusnodeError
from busnode.settings import Settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from busnode.console import Console

MISSING_SUBCOMMAND = 127
USAGE = 2

# Global flags that take a value, so that the first word that is none can be found.
_VALUED = ("-C", "--chdir", "-o", "--output", "-f", "--format", "--color")


def bus() -> NoReturn:
    """The console script `bus`: a dispatcher with this one family."""
    sys.exit(dispatch(sys.argv[1:], ("operator", "node")))


def bus_operator() -> NoReturn:
    """The console script `bus-operator`, which the public dispatcher runs with `node …`."""
    sys.exit(dispatch(sys.argv[1:], ("node",)))


def bus_operator_node() -> NoReturn:
    """The console script `bus-operator-node`."""
    sys.exit(dispatch(sys.argv[1:], ()))


def dispatch(argv: Sequence[str], family: Sequence[str]) -> int:
    """Take the words of `family` off `argv`, wherever global flags stand between them; then main()."""
    flags, rest = split_flags(argv)
    if not family or {"-h", "--help", "-V", "--version"} & set(flags):
        return main([*flags, "--", *rest])
    if not rest or rest[0] != family[0]:
        known = " ".join(["bus", "operator", "node"][: 3 - len(family)])
        word = f"no subcommand {rest[0]!r}" if rest else "a subcommand is missing"
        print(f"{known}: {word}; try: {PROGRAM} --help", file=sys.stderr)
        return MISSING_SUBCOMMAND
    return dispatch([*flags, *rest[1:]], family[1:])


def split_flags(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The global flags at the beginning, and the rest; `--` ends them.

    >>> split_flags(["-f", "json", "status", "--id", "x"])
    (['-f', 'json'], ['status', '--id', 'x'])
    """
    at = 0
    while at < len(argv) and argv[at].startswith("-") and argv[at] != "--":
        at += 2 if argv[at] in _VALUED else 1
    rest = at + 1 if at < len(argv) and argv[at] == "--" else at
    return list(argv[:at]), list(argv[rest:])


def main(argv: Sequence[str]) -> int:
    """One command, and its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if sys.stderr is None:
        # It was closed: print() would take standard output in its place.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open as long as the process
    flags, rest = split_flags(argv)
    try:
        options = global_parser(COMMANDS).parse_args(flags)
        if not rest or rest[0] not in COMMANDS:
            word = f"no subcommand {rest[0]!r}" if rest else "a subcommand is missing"
            print(f"{PROGRAM}: {word}; one of: {', '.join(COMMANDS)}", file=sys.stderr)
            return MISSING_SUBCOMMAND
        command = command_parser(rest[0]).parse_args(rest[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    console = console_of(options)
    try:
        if options.chdir is not None:
            _chdir(options.chdir)
        console.prepare()
        return _command(rest[0], command, console)
    except BusnodeError as error:
        console.complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.complain("interrupted; an unconfirmed change is taken back by the node itself")
        return 130
    finally:
        console.discard()


def _command(name: str, command: argparse.Namespace, console: Console) -> int:
    try:
        return COMMANDS[name](command, Settings.read(os.environ, console.say), console)
    except BusnodeError as error:
        if error.response is None:
            raise
        console.complain(str(error))
        console.show(error.response.to_document(), view.response(error.response, console.color))
        return error.exit_code


def _chdir(folder: Path) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise BadRequestError(f"{folder}: {error.strerror}; give another --chdir") from error
