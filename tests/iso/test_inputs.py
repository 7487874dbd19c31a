"""What a stage depends on has names: a difference is said part by part, and nothing that differs is missed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.graph.inputs import Inputs

parts = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4)
inputs = st.builds(Inputs, parts, parts, parts)

CHANGES = {
    "iso/overlay/etc/motd changed": (Inputs({"iso/overlay/etc/motd": "a"}), Inputs({"iso/overlay/etc/motd": "b"})),
    "bee/new.py is new": (Inputs(), Inputs({"bee/new.py": "a"})),
    "bee/old.py is gone": (Inputs({"bee/old.py": "a"}), Inputs()),
    "suite: trixie → bookworm": (Inputs(settings={"suite": "trixie"}), Inputs(settings={"suite": "bookworm"})),
    "mirror: none → http://a.invalid": (
        Inputs(settings={"mirror": ""}),
        Inputs(settings={"mirror": "http://a.invalid"}),
    ),
    "live-build 1 → 2": (Inputs(tools={"live-build": "1"}), Inputs(tools={"live-build": "2"})),
}


@pytest.mark.parametrize("said", CHANGES)
def test_a_change_is_said_by_name(said: str) -> None:
    before, after = CHANGES[said]
    assert after.changes_since(before) == [said]


@given(inputs, inputs)
def test_there_are_changes_exactly_where_the_parts_differ(before: Inputs, after: Inputs) -> None:
    assert bool(after.changes_since(before)) == (before != after) == (before.key != after.key)


@given(inputs)
def test_they_come_back_from_json_as_they_were(value: Inputs) -> None:
    assert Inputs.of_dict(json.loads(json.dumps(value.as_dict()))) == value


@given(inputs, inputs)
def test_the_union_has_all_parts_and_the_later_value(one: Inputs, other: Inputs) -> None:
    both = one | other
    assert set(both.files) == {*one.files, *other.files}
    assert both == one | other | other
    assert all(both.settings[name] == value for name, value in other.settings.items())
