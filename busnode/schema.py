"""A validator for the part of JSON Schema 2020-12 that this project's own schemas use.

jsonschema takes longer to import than a whole `status` may take beside bare ssh, so the hot path reads the same schema
files with this; the tests hold both to the same verdict on the same documents.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from busnode import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": (int, float),
    "boolean": bool,
    "null": type(None),
}
_NAMED = {"object": "an object", "array": "a list", "string": "a string", "integer": "a whole number"}


@cache
def load(name: str) -> dict[str, Any]:
    """The schema `name` (for instance `targets`) that travels inside the package."""
    schema: dict[str, Any] = json.loads(shipped.data(f"schemas/{name}.schema.json"))
    return schema


def violations(document: object, schema: dict[str, Any]) -> Iterator[str]:
    """Each way in which `document` breaks `schema`, as `path: what; what is wanted`, in the document's order."""
    yield from _check(document, schema, "", schema)


def _check(value: object, schema: dict[str, Any] | bool, path: str, root: dict[str, Any]) -> Iterator[str]:
    if isinstance(schema, bool):
        if not schema:
            yield _said(path, f"{_shown(value)} has no place here", {})
        return
    schema = _resolved(schema, root)
    wanted = schema.get("type")
    if wanted is not None and not _is_type(value, wanted):
        yield _said(path, f"{_shown(value, schema)} is not {_named(wanted)}", schema)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield _said(path, f"{_shown(value)} is none of {', '.join(map(_shown, schema['enum']))}", schema)
    if isinstance(value, str):
        yield from _check_string(value, schema, path)
    elif isinstance(value, dict):
        yield from _check_object(value, schema, path, root)
    elif isinstance(value, list):
        yield from _check_array(value, schema, path, root)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _check_number(value, schema, path)
    if "oneOf" in schema:
        yield from _check_one_of(value, schema, path, root)


def _check_one_of(value: object, schema: dict[str, Any], path: str, root: dict[str, Any]) -> Iterator[str]:
    fitting = sum(not list(_check(value, choice, path, root)) for choice in schema["oneOf"])
    if fitting != 1:
        yield _said(path, f"{_shown(value)} fits {fitting} of the {len(schema['oneOf'])} allowed forms", schema)


def _check_string(value: str, schema: dict[str, Any], path: str) -> Iterator[str]:
    if len(value) > schema.get("maxLength", len(value)) or len(value) < schema.get("minLength", 0):
        yield _said(path, f"{_shown(value, schema)} has {len(value)} characters", schema)
    elif "pattern" in schema and not _matches(schema["pattern"], value):
        yield _said(path, f"{_shown(value, schema)} is not allowed", schema)


def _check_number(value: float, schema: dict[str, Any], path: str) -> Iterator[str]:
    if value < schema.get("minimum", value) or value > schema.get("maximum", value):
        yield _said(path, f"{value} is out of range", schema)


def _check_array(value: list[Any], schema: dict[str, Any], path: str, root: dict[str, Any]) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield _said(path, f"{len(value)} entries", schema)
    if schema.get("uniqueItems"):
        seen: list[str] = []
        for index, item in enumerate(value):
            # 22 and 22.0 are one number in JSON.
            text = json.dumps(int(item) if isinstance(item, float) and item.is_integer() else item, sort_keys=True)
            if text in seen:
                yield _said(f"{path}[{index}]", f"{_shown(item)} is there twice", {})
            seen.append(text)
    if "items" in schema:
        for index, item in enumerate(value):
            yield from _check(item, schema["items"], f"{path}[{index}]", root)


def _check_object(value: dict[str, Any], schema: dict[str, Any], path: str, root: dict[str, Any]) -> Iterator[str]:
    for key in schema.get("required", ()):
        if key not in value:
            yield _said(path, f"{key} is missing", _resolved(schema.get("properties", {}).get(key, {}), root))
    for key, item in value.items():
        inner = f"{path}.{key}" if path else key
        names = schema.get("propertyNames")
        if names is not None and not _matches(names["pattern"], key):
            yield _said("", f"{_shown(key)} is not allowed", names)
        elif key in schema.get("properties", {}):
            yield from _check(item, schema["properties"][key], inner, root)
        else:
            yield from _check_additional(item, schema, inner, root)


def _check_additional(item: object, schema: dict[str, Any], inner: str, root: dict[str, Any]) -> Iterator[str]:
    additional = schema.get("additionalProperties", True)
    if additional is False:
        known = ", ".join(sorted(schema.get("properties", {})))
        yield f"{_printable(inner)}: unknown key; remove it, or use one of {known}"
    elif isinstance(additional, dict):
        yield from _check(item, additional, inner, root)


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **{key: item for key, item in schema.items() if key != "$ref"}}


def _is_type(value: object, wanted: str | list[str]) -> bool:
    if isinstance(wanted, list):
        return any(_is_type(value, one) for one in wanted)
    if isinstance(value, bool) and wanted != "boolean":
        return False
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    if wanted == "number":
        return isinstance(value, (int, float))
    return isinstance(value, _TYPES[wanted])


def _named(wanted: str | list[str]) -> str:
    if isinstance(wanted, list):
        return " or ".join(map(_named, wanted))
    return _NAMED.get(wanted, f"a {wanted}")


def _matches(pattern: str, value: str) -> bool:
    # In JSON Schema (ECMA-262) `$` is the very end; Python's would let a newline follow.
    return re.search(pattern.replace("$", r"\Z"), value) is not None


def _shown(value: object, schema: dict[str, Any] | None = None) -> str:
    if schema is not None and schema.get("writeOnly"):
        # Somebody may have put the secret itself where a reference belongs.
        return "the value"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _printable(path: str) -> str:
    return path if path.isprintable() else json.dumps(path)


def _said(path: str, what: str, schema: dict[str, Any]) -> str:
    where = f"{_printable(path)}: " if path else ""
    remedy = schema.get("description")
    return f"{where}{what}; give {remedy[0].lower()}{remedy[1:].rstrip('.')}" if remedy else f"{where}{what}"
