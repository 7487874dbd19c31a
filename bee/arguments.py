"""What may stand on bee's command line: every command with its flags."""

from __future__ import annotations

import argparse

from bee import __version__, collecting, commands, comparing
from bee.audit import DEFAULT_PATH

_EXIT_CODES = """\
exit codes:
  0    audit, record: it was written, whatever could not be seen; validate: the audit is valid;
       diff: no difference; expect: it was written; check: the machine is as expected
  1    validate: the audit breaks the schema, each error on its own line;
       diff: there are differences, or what one of both audits could not see;
       check: the machine deviates, each deviation on its own line
  2    wrong usage, a file that is no audit, recording or expectation, a place that cannot be written,
       a missing jsonschema
  3    audit --save-to-usb: the audit was written, but some stick labelled BEE does not have it, or there is none
  130  interrupted or terminated before the result was safely in its place; an audit interrupted later ends
       with 0 or 3, as above, and a line on stderr says what was not done
  141  whoever read the output went away
"""


def parser() -> argparse.ArgumentParser:
    """The parser; a command's function is in its result's `command`."""
    bee = argparse.ArgumentParser(
        prog="bee",
        description="Audit the hardware of the machine this runs on.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    bee.add_argument("-V", "--version", action="version", version=f"bee {__version__}")
    commands_of = bee.add_subparsers(title="commands", metavar="COMMAND", required=True)

    audit = commands_of.add_parser(
        "audit", help="see what hardware is in this machine and write it as JSON", allow_abbrev=False
    )
    audit.add_argument(
        "--output",
        metavar="PATH",
        help=f"where to write it, - for stdout (default: {DEFAULT_PATH}; with --from, stdout)",
    )
    audit.add_argument(
        "--from", dest="source", metavar="RECORDING", help="audit the machine of a recording, not this one; - for stdin"
    )
    audit.add_argument(
        "--save-to-usb",
        action="store_true",
        help="put audit, report and recording onto every USB stick labelled BEE, too",
    )
    _add_collecting(audit)
    audit.set_defaults(command=collecting.audit)

    record = commands_of.add_parser(
        "record", help="save all that an audit looks at, to be audited anywhere", allow_abbrev=False
    )
    record.add_argument("output", metavar="OUT.tar.gz", help="where to write it, - for stdout")
    _add_collecting(record)
    record.set_defaults(command=collecting.record)

    report = commands_of.add_parser(
        "report", help="show an audit as a table, or as a page for a browser", allow_abbrev=False
    )
    report.add_argument("file", metavar="FILE", help="an audit, - for stdin")
    report.add_argument(
        "--html",
        metavar="OUT",
        help="write one page that needs nothing else to this file, - for stdout, instead of the table",
    )
    _add_redact(report)
    report.set_defaults(command=commands.report)

    validate = commands_of.add_parser("validate", help="check an audit against its schema", allow_abbrev=False)
    validate.add_argument("file", metavar="FILE", help="an audit, - for stdin")
    validate.set_defaults(command=commands.validate)

    _add_comparing(commands_of)

    qr = commands_of.add_parser("qr", help="show an audit's summary as a QR code", allow_abbrev=False)
    qr.add_argument("file", metavar="FILE", help="an audit, - for stdin")
    _add_redact(qr)
    qr.set_defaults(command=commands.qr)
    return bee


def _add_comparing(commands_of: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands that hold one audit against another."""
    diff = commands_of.add_parser("diff", help="show what has changed between two audits", allow_abbrev=False)
    diff.add_argument("old", metavar="OLD", help="an audit, - for stdin")
    diff.add_argument("new", metavar="NEW", help="a later audit of the same machine, or another machine's; - for stdin")
    diff.add_argument("--json", action="store_true", help="as JSON, see schemas/diff.schema.json")
    _add_redact(diff)
    diff.set_defaults(command=comparing.diff)

    expect = commands_of.add_parser(
        "expect", help="make of one machine's audit what a rack of equal machines must be", allow_abbrev=False
    )
    expect.add_argument("file", metavar="FILE", help="an audit, - for stdin; the expectation goes to stdout")
    expect.set_defaults(command=comparing.expect)

    check = commands_of.add_parser("check", help="hold an audit against an expectation", allow_abbrev=False)
    check.add_argument("--against", metavar="EXPECTATION", required=True, help="what bee expect wrote, - for stdin")
    check.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default=DEFAULT_PATH,
        help=f"an audit, - for stdin (default: {DEFAULT_PATH})",
    )
    _add_redact(check)
    check.set_defaults(command=comparing.check)


def _add_collecting(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that looks at this machine."""
    _add_redact(parser)
    parser.add_argument("--verbose", action="store_true", help="say on stderr which tool ran and how long it took")
    parser.add_argument(
        "--deadline", metavar="SECONDS", help="stop what is not done by then, and write what there is (bee.deadline=)"
    )
    parser.add_argument(
        "--skip", metavar="STEP", action="append", default=[], help="leave out a step, such as psu (bee.skip=psu)"
    )
    parser.add_argument(
        "--tool",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="run PATH where a step runs the tool NAME (bee.tool=NAME=PATH); names in brackets: the same on the "
        "kernel's command line",
    )


def _add_redact(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--redact",
        action="store_true",
        help="put pseudonyms in the place of serials, MACs, UUIDs, WWNs, asset tags and host names",
    )
