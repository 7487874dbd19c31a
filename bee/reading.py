"""An audit read back from the file that it was written to."""

# ruff: noqa: PLC0415, PTH123 - redaction is imported where it is asked for, and no pathlib: start-up counts

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, cast

from bee.errors import BadInputError
from bee.model import SCHEMA_VERSION, printable

if TYPE_CHECKING:
    from bee.model import Audit
    from bee.redaction import Redactor

MAX_AUDIT_BYTES = 256 * 2**20


def records(document: dict[str, object], path: str) -> Audit:
    """The records that a document read by `audit` is; what an older bee did not list is said on stderr.

    Raises:
        BadInputError: something in it is missing, or not what the schema says; the line names the place.
    """
    from bee import restoring
    from bee.typed_json import MalformedError

    try:
        found, unwritten = restoring.audit(document)
    except restoring.MissingError as error:
        raise BadInputError(
            f"{name(path)} was written by an older bee, or edited: {printable(str(error))}; "
            "audit the machine again, or make an audit of its recording with this bee"
        ) from None
    except (MalformedError, RecursionError) as error:
        raise BadInputError(f"{name(path)} is no audit that bee wrote: {printable(str(error))}") from None
    if unwritten:
        lists = ", ".join(unwritten)
        print(
            f"bee: {name(path)} was written by an older bee, or edited: it lacks {lists}, read as empty",
            file=sys.stderr,
        )
    return found


def audit(path: str, *, redact: bool = False, redactor: Redactor | None = None) -> tuple[dict[str, object], bytes]:
    """The audit in a file and the bytes it stands in.

    Args:
        path: the file, `-` for stdin.
        redact: put pseudonyms in the place of what tells this machine from others (`bee.redaction`).
        redactor: with which; one for several audits gives one value one pseudonym in all of them.

    Raises:
        BadInputError: it cannot be read, is no JSON, no audit, or of a version that this bee does not know.
    """
    document, content = _parsed(path, content_of(path))
    if redact:
        from bee import redaction

        try:
            content = redaction.audit(content, redactor or redaction.Redactor())
        except (ValueError, RecursionError) as error:
            raise BadInputError(f"{name(path)} is no audit that bee wrote: {printable(str(error))}") from None
        document = json.loads(content)
    return document, content


def name(path: str) -> str:
    """What messages call the file."""
    return "stdin" if path == "-" else path


def content_of(path: str, wanted: str = "audit") -> bytes:
    """The bytes of a file that should be a `wanted`, `-` for stdin.

    Raises:
        BadInputError: it cannot be read, or has more than MAX_AUDIT_BYTES.
    """
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_AUDIT_BYTES + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MAX_AUDIT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read {name(path)}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_AUDIT_BYTES:
        raise BadInputError(f"{name(path)} is no {wanted}: it is larger than {MAX_AUDIT_BYTES // 2**20} MiB")
    return content


def _parsed(path: str, content: bytes) -> tuple[dict[str, object], bytes]:
    document = json_of(content, path, "audit")
    version = document.get("schema_version") if isinstance(document, dict) and "collectors" in document else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadInputError(f"{name(path)} is no audit: it has no schema_version and collectors; bee audit writes one")
    check_version(version, SCHEMA_VERSION, f"{name(path)} is an audit of schema version")
    return cast("dict[str, object]", document), content


def json_of(content: bytes, path: str, wanted: str, *, by_hand: bool = False) -> object:
    """The JSON in `content`, which came from `path` and should be a `wanted`.

    Args:
        by_hand: people write it, so that a key that stands twice in one object, of which only the last would count,
            is a slip of the pen.

    Raises:
        BadInputError: it is no JSON; NaN and Infinity are none (RFC 8259, section 6).
    """

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                said = f"{printable(key)} stands twice in one of its objects; take one of both out"
                raise BadInputError(f"{name(path)} is no {wanted}: {said}")
            found[key] = value
        return found

    try:
        return json.loads(content, parse_constant=_no_number, object_pairs_hook=once if by_hand else None)
    except RecursionError:
        raise BadInputError(f"{name(path)} is no {wanted}: its JSON is nested too deep") from None
    except ValueError as error:
        raise BadInputError(f"{name(path)} is no {wanted}: it is not JSON ({printable(str(error))})") from None


def _no_number(word: str) -> object:
    raise ValueError(f"{word} is no number of JSON")


def check_version(version: int, known: int, said: str) -> None:
    """Refuse what was written in another version than the `known` one; `said` begins the line.

    Raises:
        BadInputError: it was.
    """
    if version > known:
        raise BadInputError(f"{said} {version}, written by a newer bee; this bee reads version {known}: update it")
    if version < known:
        raise BadInputError(f"{said} {version}, this bee reads version {known}")
