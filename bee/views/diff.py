"""The differences between two audits: a line each for people, or JSON (schemas/diff.schema.json)."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from bee.model import printable
from bee.views.document import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee.comparison.differences import Difference
    from bee.model import Audit

DIFF_VERSION = 1
_WORDS = {"unseen": "not comparable"}
_WIDTH = max(map(len, ("not comparable", "firmware")))


def lines(found: Sequence[Difference]) -> str:
    """One line a change; the versions that one update of a firmware has changed share theirs."""
    said = []
    for (change, part, _), group in groupby(found, key=lambda d: (d.change, d.part, _firmware(d))):
        whole = list(group)
        if change == "firmware":
            said.append(_line(change, part, ", ".join(_change(d) for d in whole)))
        else:
            said += [_line(change, part, _change(d)) for d in whole]
    return "\n".join(said)


def _firmware(difference: Difference) -> str | None:
    """The record of firmware versions that a difference is in."""
    return (difference.field or "").rpartition(".")[0] if difference.change == "firmware" else None


def _line(change: str, part: str, text: str) -> str:
    return printable(f"{_WORDS.get(change, change):{_WIDTH}}  {part}{': ' if text else ''}{text}")


def _change(difference: Difference) -> str:
    field = difference.field
    if difference.detail is not None:
        return f"{field}: {difference.detail}" if field else difference.detail
    if difference.old is None and difference.new is None:
        return ""
    old, new = _value(difference, difference.old), _value(difference, difference.new)
    if old == new:
        # Two sizes that read alike: the bytes do not.
        old, new = str(difference.old), str(difference.new)
    return f"{field} {old} -> {new}" if field else f"{old} -> {new}"


def _value(difference: Difference, value: object) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (difference.field or "").endswith("_bytes"):
        return size(value, decimal=not difference.part.startswith(("memory", "host", "GPU")))
    return str(value)


def as_json(old: Audit, new: Audit, found: Sequence[Difference]) -> str:
    """The document of schemas/diff.schema.json."""
    document = {
        "diff_version": DIFF_VERSION,
        "old": {"started_at": old.started_at, "bee_version": old.bee_version},
        "new": {"started_at": new.started_at, "bee_version": new.bee_version},
        "differences": [asdict(difference) for difference in found],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
