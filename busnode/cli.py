"""The command line: `bus operator node …`, and the same as `bus-operator node …` and `bus-operator-node …`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from busnode import hardening, operations, view
from busnode.contract import BadRequestError, BusnodeError, ConfirmationRequiredError, Response
from busnode.inventory import Inventory
from busnode.node import Node
from busnode.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from busnode.script import Plan

PROGRAM = "bus operator node"
MISSING_SUBCOMMAND = 127
USAGE = 2

_EPILOG = """\
subcommands:
  bootstrap   packages, accounts, directories, credentials, services; only what is missing
  status      what the node is and runs
  harden      sshd and firewall policy; taken back by the node itself unless a fresh log-in confirms it
  verify      every listener and every service
  rollback    sshd and firewall as they were before the last harden
  list        the targets of the inventory
  plan        what the operations would do, without a connection

environment, also from ./.env where only you can write it:
  BUS_NODE_TARGETS_FILE      the targets file (JSON)
  BUS_SSH_PRIVATE_KEY_FILE   the private key of the target account, mode 0600
  BUS_NODE_KNOWN_HOSTS_FILE  known host keys, in place of your own known_hosts
  BUS_NODE_SECRETS_DIR       where secret://deployment/<name> leads: a folder of files of mode 0600

exit codes:
  0  done            1  the operation ran and failed, or was refused by the node
  2  bad input, and nothing was sent to any node; or harden wants --confirm, and nothing was changed
  3  no session: unreachable, host key, log-in
  4  the change was rolled back
  127  a subcommand is missing"""

# Global flags that take a value, so that the first word that is none can be found.
_VALUED = ("-C", "--chdir", "-o", "--output", "-f", "--format", "--color")


@dataclass(frozen=True, slots=True)
class Console:
    """What is said where: results to `results` or `output`, all else to standard error.

    `beside` is where a result grows before it takes the place of the file `output`.
    """

    results: TextIO | None
    output: Path | None
    beside: Path | None
    json: bool
    quiet: bool
    verbose: bool
    color: bool

    def say(self, text: str) -> None:
        """A diagnostic, unless quiet."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """An error, also when quiet: one line each."""
        for line in text.splitlines():
            print(f"{PROGRAM}: {view.printable(line)}", file=sys.stderr)

    def show(self, document: object, text: str) -> None:
        """The result, once, as the format wants it. Raises ResultLostError where it cannot be written."""
        out = json.dumps(document, indent=2) if self.json else text
        if self.output is None:
            _print(out, self.results)
            return
        try:
            (self.beside or self.output).write_text(out + "\n", encoding="utf-8")
            if self.beside is not None:
                self.beside.replace(self.output)
        except OSError as error:
            _print(out, self.results)
            raise ResultLostError(f"{self.output}: {error.strerror}; the result is on standard output") from error

    def prepare(self) -> None:
        """See that there is a place for the result while nothing has been sent yet.

        Raises BadRequestError where there is none.
        """
        if self.output is None:
            if self.results is None:
                raise BadRequestError("standard output is closed; give --output FILE")
            return
        try:
            if self.output.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if self.beside is not None:
                self.beside.touch(exist_ok=False)
        except OSError as error:
            raise BadRequestError(f"{self.output}: {error.strerror}; give another --output") from error

    def discard(self) -> None:
        """Leave nothing half-written."""
        if self.beside is not None:
            with contextlib.suppress(OSError):
                self.beside.unlink(missing_ok=True)


class ResultLostError(BusnodeError):
    """The operation ended, and what it says could not be written where it should be."""


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:
        return
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        # Whoever read has had enough; the exit code still says how it went.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:
        # What could not be written would be tried, and complained of, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise ResultLostError(f"the result cannot be written: {error.strerror}") from error


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
    flags, rest = split_flags(argv)
    try:
        options = _global_parser().parse_args(flags)
        if not rest or rest[0] not in _COMMANDS:
            word = f"no subcommand {rest[0]!r}" if rest else "a subcommand is missing"
            print(f"{PROGRAM}: {word}; one of: {', '.join(_COMMANDS)}", file=sys.stderr)
            return MISSING_SUBCOMMAND
        command = _command_parser(rest[0]).parse_args(rest[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    console = _console(options)
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
        return _COMMANDS[name](command, Settings.read(os.environ, console.say), console)
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


def _console(options: argparse.Namespace) -> Console:
    # Without standard output there is None.
    terminal = options.output is None and sys.stdout is not None and sys.stdout.isatty()
    color = options.color == "always" or (options.color == "auto" and terminal and "NO_COLOR" not in os.environ)
    output = None if options.output is None else options.output.absolute()
    return Console(
        results=sys.stdout,
        output=output,
        beside=None if output is None else _beside(output),
        json=options.format == "json" or (options.format is None and not terminal),
        quiet=options.quiet,
        verbose=options.verbose,
        # Never a code on what is no terminal, whatever was asked for.
        color=color and terminal,
    )


def _beside(output: Path) -> Path | None:
    """None for a folder, and for a device or a FIFO, which is written to itself."""
    with contextlib.suppress(OSError):
        if output.exists() and not output.is_file():
            return None
    return output.with_name(f".{output.name}.{os.getpid()}")


def _global_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [global flags] {{{','.join(_COMMANDS)}}} --id ID [options]",
        description="Prepare Debian nodes over SSH.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help="show the version and exit")
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")
    loud.add_argument("-q", "--quiet", action="store_true", help="say errors only")
    parser.add_argument("-C", "--chdir", type=Path, metavar="DIR", help="go there first")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("-f", "--format", choices=("text", "json"), help="json where stdout is no terminal")
    color = parser.add_mutually_exclusive_group()
    color.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    color.add_argument("--no-color", action="store_const", const="never", dest="color")
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - half of a start's time

        try:
            print(f"{PROGRAM} {version('bee-busnode')}")
        except PackageNotFoundError:
            print(f"{PROGRAM} (not installed)")
        parser.exit()


def _command_parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", allow_abbrev=False)
    if name == "list":
        return parser
    parser.add_argument("--id", required=True, metavar="ID", help="the node's id in the targets file")
    if name == "plan":
        parser.add_argument("operation", nargs="?", choices=tuple(_PLANS), help="this one only")
        return parser
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="how long the node lets the operation's script run"
    )
    parser.add_argument("--trust-on-first-use", action="store_true", help="take an unknown host key, and keep it")
    if name in {"bootstrap", "harden", "rollback"}:
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    if name == "harden":
        parser.add_argument("--confirm", action="store_true", help="also where listening ports would be dropped")
    if name in {"harden", "rollback"}:
        parser.add_argument(
            "--rollback-after", type=_seconds, metavar="SECONDS", help="the node takes an unconfirmed change back then"
        )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError("give seconds, 1 to 86400")
    return value


def _node(command: argparse.Namespace, settings: Settings) -> Node:
    target = Inventory.load(settings.require_targets_file())[command.id]
    return Node.over_ssh(
        target,
        settings.require_private_key(),
        known_hosts=settings.known_hosts,
        trust_on_first_use=getattr(command, "trust_on_first_use", False),
        secrets_dir=settings.secrets_dir,
    )


def _show(response: Response, console: Console) -> int:
    for line in response.diagnostics:
        console.say(line)
    if console.verbose and console.json:
        console.say(view.response(response, color=False))
    console.show(response.to_document(), view.response(response, console.color))
    return 0


def _limits(command: argparse.Namespace) -> dict[str, Any]:
    return {} if command.timeout is None else {"time_limit": command.timeout}


def _bootstrap(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    node = _node(command, settings)
    return _show(operations.bootstrap(node, dry_run=command.dry_run, **_limits(command)), console)


def _status(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    return _show(operations.status(_node(command, settings), **_limits(command)), console)


def _verify(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    return _show(operations.verify(_node(command, settings), **_limits(command)), console)


def _change_limits(command: argparse.Namespace) -> dict[str, Any]:
    more = {} if command.rollback_after is None else {"rollback_after": command.rollback_after}
    return _limits(command) | more


def _rollback(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    node = _node(command, settings)
    return _show(hardening.rollback(node, dry_run=command.dry_run, **_change_limits(command)), console)


def _harden(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    node = _node(command, settings)
    options = _change_limits(command)
    try:
        response = hardening.harden(node, dry_run=command.dry_run, confirm=command.confirm, **options)
    except ConfirmationRequiredError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        console.complain(str(error))
        print("Drop them? [yes/no] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() != "yes":
            raise
        response = hardening.harden(node, confirm=True, **options)
    return _show(response, console)


def _list(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    inventory = Inventory.load(settings.require_targets_file())
    rows = [
        {"node_id": target.id, "host": target.host, "port": target.port, "user": target.user} for target in inventory
    ]
    console.show({"targets": rows}, view.targets(rows))
    return 0


def _plan(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    node = _node(command, settings)
    wanted = [command.operation] if command.operation else list(_PLANS)
    plans = {name: [(step.action, step.name) for step in _PLANS[name](node).steps] for name in wanted}
    document = {
        "node_id": node.target.id,
        "plan": {name: [{"action": action, "name": step} for action, step in found] for name, found in plans.items()},
    }
    console.show(document, view.plans(plans))
    return 0


_PLANS: dict[str, Callable[[Node], Plan]] = {
    "bootstrap": operations.bootstrap_plan,
    "status": lambda node: operations.status_plan(node.target),
    "harden": hardening.harden_plan,
    "verify": lambda node: operations.verify_plan(node.target),
    "rollback": hardening.rollback_plan,
}

_COMMANDS: dict[str, Callable[[argparse.Namespace, Settings, Console], int]] = {
    "bootstrap": _bootstrap,
    "status": _status,
    "harden": _harden,
    "verify": _verify,
    "rollback": _rollback,
    "list": _list,
    "plan": _plan,
}
