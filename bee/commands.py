"""The commands behind the command line: each takes the parsed arguments and returns an exit code."""

# ruff: noqa: PLC0415 - each command imports what it alone needs: start-up counts

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from bee import reading
from bee.errors import BadInputError
from bee.model import SCHEMA_VERSION
from bee.streams import can_show, show

if TYPE_CHECKING:
    import argparse


def report(arguments: argparse.Namespace) -> int:
    """`bee report`: the audit as a table, or as a page for a browser."""
    document, content = reading.audit(arguments.file, redact=arguments.redact)
    if arguments.html is not None:
        from bee.output import written
        from bee.views import html

        written(arguments.html, lambda: html.page(document, content).encode())
        return 0
    from bee.views import text

    show(text.table(document), sys.stdout)
    return 0


def qr(arguments: argparse.Namespace) -> int:
    """`bee qr`: the summary as a QR code, as text where there is no qrencode."""
    document, content = reading.audit(arguments.file, redact=arguments.redact)
    show_summary(document, content, sys.stdout)
    return 0


def validate(arguments: argparse.Namespace) -> int:
    """`bee validate`: every place where the audit breaks its schema."""
    try:
        from bee import validation
    except ImportError:
        raise BadInputError(
            "validate needs the Python package jsonschema (Debian: apt-get install python3-jsonschema)"
        ) from None

    document, _ = reading.audit(arguments.file)
    errors = validation.errors(document)
    verdict = f"{len(errors)} errors" if errors else f"valid, schema version {SCHEMA_VERSION}"
    show("\n".join([*errors, f"{reading.name(arguments.file)}: {verdict}"]), sys.stdout)
    return 1 if errors else 0


def show_summary(document: dict[str, object], content: bytes, stream: TextIO) -> None:
    """The QR code of an audit, as text where it cannot be drawn, with the few lines of the summary.

    Args:
        document: the audit.
        content: the bytes of its file, which the code names by their digest.
        stream: where it is shown.
    """
    from bee.machine import Live
    from bee.views import qr as qr_view
    from bee.views import text

    with Live() as machine:
        colour = stream.isatty() and os.environ.get("TERM") != "dumb"
        screen = qr_view.screen(document, content, machine, colour=colour)
    if screen is not None and can_show(screen, stream):
        show(screen, stream)
    else:
        show(f"{qr_view.payload(document, content)}\n", stream)
        show(text.summary(document), stream)
