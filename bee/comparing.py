"""The commands that hold one audit against another: each takes the parsed arguments and returns an exit code."""

# ruff: noqa: PLC0415 - each command imports what it alone needs: start-up counts

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bee import reading
from bee.errors import BadInputError
from bee.streams import show

if TYPE_CHECKING:
    import argparse

SAME, DIFFERENT = 0, 1


def diff(arguments: argparse.Namespace) -> int:
    """`bee diff`: what has changed between two audits, a line each; 1 when there is anything to say, as diff(1)."""
    from bee.differences import differences
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
