"""The command line's flags: global ones before the subcommand, each subcommand's own after it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from busnode.console import PROGRAM
from busnode.contract import Operation
from busnode.fleet import PARALLEL

if TYPE_CHECKING:
    from collections.abc import Iterable

_OPERATIONS = tuple(operation.value for operation in Operation)

_KEEP_SECONDS = 60

_EPILOG = """\
subcommands:
  bootstrap   packages, accounts, directories, credentials, services; only what is missing
  status      what the node is and runs
  harden      sshd and firewall policy; taken back by the node itself unless a fresh log-in confirms it
  verify      every listener and every service
  rollback    sshd and firewall as they were before the last harden
  list        the targets of the inventory
  plan        what the operations would do, without a connection
  history     what was done to the nodes from this account
  serve       the services of a deployment, all in this process

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


def global_parser(subcommands: Iterable[str]) -> argparse.ArgumentParser:
    """The flags that stand before one of the subcommands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [global flags] {{{','.join(subcommands)}}} --id ID [options]",
        description="Prepare Debian nodes over SSH.",
        epilog=_EPILOG,
        formatter_class=_Help,
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


class _Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal; argparse asks shutil for that, which brings four modules of compression."""

    def __init__(self, prog: str) -> None:
        try:
            width = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 80
        except (OSError, ValueError):
            width = 80
        super().__init__(prog, width=max(width, 40) - 2)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - half of a start's time

        try:
            print(f"{PROGRAM} {version('bee-busnode')}")
        except PackageNotFoundError:
            print(f"{PROGRAM} (not installed)")
        parser.exit()


def command_parser(name: str) -> argparse.ArgumentParser:
    """The flags of one subcommand."""
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", formatter_class=_Help, allow_abbrev=False)
    if name == "list":
        return parser
    if name == "serve":
        from busnode.services import programs  # noqa: PLC0415 - no other command needs a bus

        programs.add_api_flags(parser)
        programs.add_folder_flag(parser)
        programs.add_stop_flag(parser)
        return parser
    if name == "plan":
        parser.add_argument("--id", required=True, metavar="ID", help="the node's id in the targets file")
        parser.add_argument("operation", nargs="?", choices=_OPERATIONS, help="this one only")
        _add_steps(parser)
        return parser
    _add_nodes(parser, required=name != "history")
    if name == "history":
        parser.add_argument("--last", type=_count, default=20, metavar="N", help="the last N entries (20)")
        return parser
    parser.add_argument(
        "--parallel", type=_count, default=PARALLEL, metavar="N", help=f"so many nodes at once ({PARALLEL})"
    )
    parser.add_argument("--fail-fast", action="store_true", help="begin no other node after the first that failed")
    parser.add_argument(
        "--serial", metavar="N|N%", help="so many nodes, or such a share of them, must end well before the next begin"
    )
    parser.add_argument(
        "--progress", choices=("auto", "json", "none"), default="auto", help="how several nodes are followed on stderr"
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="how long the node lets the operation's script run"
    )
    parser.add_argument("--trust-on-first-use", action="store_true", help="take an unknown host key, and keep it")
    if name == "bootstrap":
        _add_steps(parser)
        parser.add_argument(
            "--keep-connection",
            type=_keeping,
            default=_KEEP_SECONDS,
            metavar="SECONDS",
            help=f"keep the connection so long for the next bootstrap ({_KEEP_SECONDS}); 0: log in every time",
        )
    if name in {"bootstrap", "harden", "rollback"}:
        parser.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    if name == "status":
        parser.add_argument(
            "--updates", action="store_true", help="also what apt could upgrade; fetches no package lists"
        )
    if name == "harden":
        parser.add_argument("--confirm", action="store_true", help="also where listening ports would be dropped")
    if name in {"harden", "rollback"}:
        parser.add_argument(
            "--rollback-after", type=_seconds, metavar="SECONDS", help="the node takes an unconfirmed change back then"
        )
    return parser


def _add_nodes(parser: argparse.ArgumentParser, *, required: bool) -> None:
    nodes = parser.add_mutually_exclusive_group(required=required)
    nodes.add_argument("--id", action="append", metavar="ID", help="a node's id in the targets file; may be repeated")
    nodes.add_argument("--tag", action="append", metavar="TAG", help="every node with this tag; may be repeated")
    nodes.add_argument("--all", action="store_true", help="every node of the targets file")


def _add_steps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps", type=Path, metavar="FILE", help="classes of the inventory's own steps (Python that you alone write)"
    )


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError("give a number, 1 to 1000")
    return value


def _keeping(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError("give whole seconds, 0 to 3600")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError("give seconds, 1 to 86400")
    return value
