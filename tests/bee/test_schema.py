"""The schema describes the records field for field, and says of every field what it is and in which unit."""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from bee import model

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: dict[str, Any] = json.loads((files("bee") / "schemas" / "audit.schema.json").read_text("utf-8"))


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def records() -> Iterator[tuple[type, dict[str, Any]]]:
    for cls in vars(model).values():
        if isinstance(cls, type) and dataclasses.is_dataclass(cls):
            yield cls, SCHEMA if cls is model.Audit else SCHEMA["$defs"][snake(cls.__name__)]


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in {"audit": SCHEMA, **SCHEMA["$defs"]}.items():
        for field, schema in definition["properties"].items():
            yield f"{name}.{field}", schema


def test_it_is_a_schema_of_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_definition_is_described_closed_and_used() -> None:
    assert len(list(records())) == len(SCHEMA["$defs"]) + 1
    text = json.dumps(SCHEMA)
    for name, definition in {"audit": SCHEMA, **SCHEMA["$defs"]}.items():
        assert definition["additionalProperties"] is False, name
        assert definition["description"], name
        assert definition["required"] == list(definition["properties"]), name
        assert name == "audit" or f'"#/$defs/{name}"' in text, name


def test_every_field_has_a_description() -> None:
    assert [name for name, schema in fields() if len(schema.get("description", "")) < 5] == []


def test_every_number_has_its_unit() -> None:
    without = [n for n, s in fields() if {"integer", "number"} & set(_types(s)) and not s.get("x-unit")]
    assert without == []
    named = {
        "bytes": "byte",
        "percent": "%",
        "watts": "W",
        "celsius": "°C",
        "hours": "h",
        "mhz": "MHz",
        "mts": "MT/s",
        "gts": "GT/s",
    }
    for name, schema in fields():
        suffix = name.rsplit("_", 1)[-1]
        if suffix in named:
            assert schema["x-unit"] == named[suffix], name


def _types(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


@pytest.mark.parametrize(("cls", "schema"), [pytest.param(c, s, id=c.__name__) for c, s in records()])
def test_records_and_schema_have_the_same_fields_and_types(cls: type, schema: dict[str, Any]) -> None:
    hints = typing.get_type_hints(cls, vars(model))
    assert list(hints) == list(schema["properties"])
    for name, hint in hints.items():
        assert _shape(hint) == _schema_shape(schema["properties"][name]), f"{cls.__name__}.{name}"


def _shape(hint: Any) -> set[str]:
    if isinstance(hint, types.UnionType):
        return set().union(*(_shape(arm) for arm in typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return {"array"}
    simple = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    return {simple.get(hint, "object")}


def _schema_shape(schema: dict[str, Any]) -> set[str]:
    if "$ref" in schema:
        return {"object"}
    if "anyOf" in schema:
        return set().union(*(_schema_shape(arm) for arm in schema["anyOf"]))
    return set(_types(schema))
