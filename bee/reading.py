"""An audit read back from the file that it was written to."""

# ruff: noqa: PLC0415, PTH123 - redaction is imported where it is asked for, and no pathlib: start-up counts

from __future__ import annotations

import json
import sys
from typing import cast

from bee.errors import BadInputError
from bee.model import SCHEMA_VERSION, printable

MAX_AUDIT_BYTES = 256 * 2**20


def audit(path: str, *, redact: bool = False) -> tuple[dict[str, object], bytes]:
    """The audit in a file and the bytes it stands in.

    Args:
        path: the file, `-` for stdin.
        redact: put pseudonyms in the place of what tells this machine from others (`bee.redaction`).

    Raises:
        BadInputError: it cannot be read, is no JSON, no audit, or of a version that this bee does not know.
    """
    document, content = _parsed(path, _content(path))
    if redact:
        from bee import redaction

        try:
            content = redaction.audit(content, redaction.Redactor())
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"{name(path)} is no audit that bee wrote: {printable(str(error))}") from None
        document = json.loads(content)
    return document, content


def name(path: str) -> str:
    """What messages call the file."""
    return "stdin" if path == "-" else path


def _content(path: str) -> bytes:
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_AUDIT_BYTES + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_AUDIT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read {name(path)}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_AUDIT_BYTES:
        raise BadInputError(f"{name(path)} is no audit: it is larger than {MAX_AUDIT_BYTES // 2**20} MiB")
    return content


def _parsed(path: str, content: bytes) -> tuple[dict[str, object], bytes]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{name(path)} is no audit: it is not JSON ({error})") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or "collectors" not in document:
        raise BadInputError(f"{name(path)} is no audit: it has no schema_version and collectors; bee audit writes one")
    if version != SCHEMA_VERSION:
        raise BadInputError(
            f"{name(path)} is an audit of schema version {version}, this bee reads version {SCHEMA_VERSION}"
        )
    return cast("dict[str, object]", document), content
