"""The commands behind the command line: each takes the parsed arguments and returns an exit code."""

# ruff: noqa: PLC0415, PTH123 - each command imports what it alone needs, and no pathlib: start-up counts

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, TextIO, cast

from bee.model import SCHEMA_VERSION, printable

if TYPE_CHECKING:
    import argparse

MAX_AUDIT_BYTES = 256 * 2**20


class BadInput(Exception):  # noqa: N818 - it is what it says, and ends as one line, not as a traceback
    """What was asked for cannot be done; the text is one line: what, where, what to do."""


def report(arguments: argparse.Namespace) -> int:
    """`bee report`: the audit as a table."""
    from bee.views import text

    document, _ = _load_for_people(arguments)
    _print(text.table(document), sys.stdout)
    return 0


def qr(arguments: argparse.Namespace) -> int:
    """`bee qr`: the summary as a QR code, as text where there is no qrencode."""
    _, content = _load_for_people(arguments)
    show_summary(content, sys.stdout)
    return 0


def validate(arguments: argparse.Namespace) -> int:
    """`bee validate`: every place where the audit breaks its schema."""
    try:
        from bee import validation
    except ImportError:
        raise BadInput(
            "validate needs the Python package jsonschema (Debian: apt-get install python3-jsonschema)"
        ) from None

    document, _ = _load(arguments.file)
    errors = validation.errors(document)
    name = "stdin" if arguments.file == "-" else arguments.file
    verdict = f"{len(errors)} errors" if errors else f"valid, schema version {SCHEMA_VERSION}"
    _print("\n".join([*errors, f"{name}: {verdict}"]), sys.stdout)
    return 1 if errors else 0


def _load_for_people(arguments: argparse.Namespace) -> tuple[dict[str, object], bytes]:
    """As `_load`, redacted where that was asked for."""
    document, content = _load(arguments.file)
    if arguments.redact:
        from bee import redaction

        try:
            content = redaction.audit(content, redaction.Redactor())
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{arguments.file} is no audit that bee wrote: {printable(str(error))}") from None
        document = json.loads(content)
    return document, content


def _load(path: str) -> tuple[dict[str, object], bytes]:
    """The audit in `path` (`-`: stdin) and the bytes it stands in.

    Raises:
        BadInput: it cannot be read, is no JSON, no audit, or of a version that this bee does not know.
    """
    name = "stdin" if path == "-" else path
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_AUDIT_BYTES + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_AUDIT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_AUDIT_BYTES:
        raise BadInput(f"{name} is no audit: it is larger than {MAX_AUDIT_BYTES // 2**20} MiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is no audit: it is not JSON ({error})") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or "collectors" not in document:
        raise BadInput(f"{name} is no audit: it has no schema_version and collectors; bee audit writes one")
    if version != SCHEMA_VERSION:
        raise BadInput(f"{name} is an audit of schema version {version}, this bee reads version {SCHEMA_VERSION}")
    return cast("dict[str, object]", document), content


def show_summary(content: bytes, stream: TextIO) -> None:
    """The audit's QR code, where it can be drawn, and the few lines of its summary."""
    from bee.machine import Live
    from bee.views import qr as qr_view
    from bee.views import text

    document = cast("dict[str, object]", json.loads(content))
    with Live() as machine:
        colour = stream.isatty() and os.environ.get("TERM") != "dumb"
        drawn = qr_view.draw(document, content, machine, colour=colour)
    if drawn is not None and _can_show(drawn, stream):
        _print(drawn, stream)
    else:
        _print(qr_view.payload(document, content), stream)
        _print("", stream)
    _print(text.summary(document), stream)


def _can_show(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _print(text: str, stream: TextIO) -> None:
    """Print whatever the stream's encoding is: a serial console may know ASCII alone."""
    encoding = stream.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding), file=stream)
