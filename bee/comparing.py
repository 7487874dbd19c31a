"""The commands that hold one audit against another: each takes the parsed arguments and returns an exit code."""

# ruff: noqa: PLC0415 - each command imports what it alone needs: start-up counts

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from bee import reading
from bee.errors import BadInputError
from bee.model import printable
from bee.streams import show

if TYPE_CHECKING:
    import argparse

    from bee.comparison.expectation import Expectation

SAME, DIFFERENT = 0, 1
AS_EXPECTED, DEVIATES = 0, 1


def diff(arguments: argparse.Namespace) -> int:
    """`bee diff`: what has changed between two audits, a line each; 1 when there is anything to say, as diff(1)."""
    from bee.comparison.differences import differences
    from bee.views import diff as view

    if arguments.old == arguments.new == "-":
        raise BadInputError("diff: stdin can be one of both audits only; give the other one's file")
    redactor = None
    if arguments.redact:
        from bee.redaction import Redactor

        redactor = Redactor()
    documents = [
        reading.audit(path, redact=arguments.redact, redactor=redactor)[0] for path in (arguments.old, arguments.new)
    ]
    paths = (arguments.old, arguments.new)
    old, new = (reading.records(document, path) for document, path in zip(documents, paths, strict=True))
    found = differences(old, new)
    if arguments.json:
        show(view.as_json(old, new, found), sys.stdout)
    elif found:
        show(view.lines(found), sys.stdout)
    return DIFFERENT if found else SAME


def expect(arguments: argparse.Namespace) -> int:
    """`bee expect`: what every machine of a rack must be, made from the audit of one; what to look at, on stderr."""
    from bee.comparison import expectation

    found = reading.records(reading.audit(arguments.file)[0], arguments.file)
    document = expectation.made_from(found)
    show(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2), sys.stdout)
    rules = sorted({finding.rule for finding in found.findings})
    if rules:
        said = f"this machine has findings: {', '.join(rules)}; take out of allowed_findings what no machine may have"
        print(f"bee: {printable(said)}", file=sys.stderr)
    unseen = [printable(collector.name) for collector in found.collectors if collector.status != "ok"]
    if unseen:
        print(f"bee: not seen whole, so other machines need not be either: {', '.join(unseen)}", file=sys.stderr)
    return 0


def check(arguments: argparse.Namespace) -> int:
    """`bee check`: every deviation of an audit from an expectation, a line each."""
    from bee.comparison.deviations import deviations

    if arguments.against == arguments.file == "-":
        raise BadInputError("check: stdin can be the audit or the expectation; give the other one's file")
    expected = _expectation(arguments.against)
    document, _ = reading.audit(arguments.file, redact=arguments.redact)
    found = deviations(expected, reading.records(document, arguments.file))
    if found:
        show("\n".join(printable(str(deviation)) for deviation in found), sys.stdout)
    return DEVIATES if found else AS_EXPECTED


def _expectation(path: str) -> Expectation:
    """The expectation in a file.

    Raises:
        BadInputError: it cannot be read, is no expectation, or of a version that this bee does not know.
    """
    from bee.comparison import expectation
    from bee.typed_json import MalformedError

    document = reading.json_of(reading.content_of(path, "expectation"), path, "expectation", by_hand=True)
    version = document.get("expectation_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or not isinstance(document, dict):
        raise BadInputError(
            f"{reading.name(path)} is no expectation: it has no expectation_version; bee expect writes one"
        )
    said = f"{reading.name(path)} is an expectation of version"
    reading.check_version(version, expectation.VERSION, said)
    try:
        return expectation.read(document)
    except (MalformedError, RecursionError) as error:
        raise BadInputError(f"{reading.name(path)} is no expectation: {printable(str(error))}") from None
