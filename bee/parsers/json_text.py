"""JSON out of a tool's output, which may be cut, garbled, or follow a line of warning."""

from __future__ import annotations

import json
import re

# Where an object begins: a message such as `[warning] {0}` before it is none.
_OBJECT = re.compile(r"\{\s*[\"}]")


def load(data: bytes) -> tuple[object, tuple[str, ...]]:
    """The first JSON object in `data`, and notes on what could not be read (None, when there is none)."""
    text = data.decode("utf-8", "replace")
    begin = _OBJECT.search(text)
    if begin is None:
        return None, ("there is no JSON in the output",) if text.strip() else ()
    try:
        value, _ = json.JSONDecoder().raw_decode(text, begin.start())
    except json.JSONDecodeError as error:
        return None, (f"the JSON is broken at line {error.lineno}: {error.msg}",)
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets nested deeper than Python reads.
        return None, (f"the JSON cannot be read: {error}",)
    return value, ()


def mapping(value: object) -> dict[str, object]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def array(value: object) -> list[object]:
    """`value` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: object) -> str | None:
    """`value` if it is a string, else None."""
    return value if isinstance(value, str) else None


def boolean(value: object) -> bool | None:
    """A JSON boolean, or one of the older forms `"0"`, `"1"`, 0, 1; else None."""
    if isinstance(value, bool):
        return value
    return {"0": False, "1": True, 0: False, 1: True}.get(value) if isinstance(value, str | int) else None
