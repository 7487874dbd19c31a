"""An audit against its schema. The one place that needs jsonschema, so nothing else may import this."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

import jsonschema

from bee.model import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


def errors(document: object) -> list[str]:
    """Every place where `document` breaks the audit's schema, as `path: what is wrong`, sorted by path."""
    schema = json.loads((files("bee") / "schemas" / "audit.schema.json").read_text("utf-8"))
    found = jsonschema.Draft202012Validator(schema).iter_errors(document)
    leaves = [leaf for error in found for leaf in _leaves(error)]
    return sorted(f"{_path(leaf)}: {printable(leaf.message)}" for leaf in leaves)


def _leaves(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """A part that may be null is an anyOf: what is wrong inside the part is of interest, not that it is not null."""
    causes = [cause for cause in error.context or () if cause.validator_value != "null"]
    if not causes:
        yield error
    for cause in causes:
        yield from _leaves(cause)


def _path(error: jsonschema.ValidationError) -> str:
    """`$.memory.slots[0].size_bytes`; jsonschema's own json_path is relative in a cause."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.absolute_path)
