"""What every parser must do with any bytes at all, and with real output that is cut, shuffled or buried in noise.

Plain hypothesis tests: the profile in force (tests/conftest.py, `--hypothesis-profile`) says how many examples. Most of
their time is hypothesis' own, a draw at a time: what does not depend on a format is drawn once for all parsers, so that
100,000 examples reach each of them in the time that one would need.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.bee.parser_cases import CASES
from tests.bee.planting import Planted, json_values, noise

every_parser = pytest.mark.parametrize("name", CASES)
OF_JSON = [name for name, case in CASES.items() if case.json]
RESUMING = [name for name, case in CASES.items() if case.records and case.resumes]

any_text = st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
# A place in something whose length only the test knows: it is taken modulo that length.
place = st.integers(0, 2**16)
change_of_a_line = st.tuples(st.sampled_from(["drop", "double", "swap"]), place, place)


def records(name: str, data: bytes) -> list[object]:
    listing = CASES[name].records
    assert listing is not None
    return list(listing(CASES[name].parse(data)))


@given(data=st.binary(max_size=400) | any_text)
def test_any_bytes_are_read_without_an_exception(data: bytes) -> None:
    for name, case in CASES.items():
        note(name)
        case.parse(data)


@given(words=st.lists(place | st.binary(max_size=4), max_size=30), between=st.sampled_from([b"", b" ", b"\n"]))
def test_words_of_the_format_in_any_order_are_read_without_an_exception(
    words: list[int | bytes], between: bytes
) -> None:
    """Random bytes rarely get past a format's first line; its own words, shuffled, reach the rest."""
    for name, case in CASES.items():
        note(name)
        known = _words(name)
        case.parse(between.join(known[word % len(known)] if isinstance(word, int) else word for word in words))


@cache
def _words(name: str) -> list[bytes]:
    lines = CASES[name].sample().split(b"\n")
    return sorted({*lines, *(piece for line in lines for piece in line.split(b" ")), b"\n", b" ", b":", b"\t"})


@every_parser
def test_nothing_gives_an_empty_record(name: str) -> None:
    parse = CASES[name].parse
    assert parse(b"") == parse(b"\n")


@every_parser
def test_output_cut_at_any_point_is_read(name: str) -> None:
    data = CASES[name].sample()
    for end in range(len(data)):
        _keeps_what_is_before_the_cut(name, data, end)


@pytest.mark.parametrize("name", OF_JSON)
def test_json_that_is_cut_is_noted(name: str) -> None:
    data = CASES[name].sample().rstrip()
    for end in range(1, len(data)):
        assert CASES[name].parse(data[:end]).notes, end


@every_parser
@given(data=st.data())
def test_records_planted_in_noise_come_back_and_those_before_any_cut_are_kept(name: str, data: st.DataObject) -> None:
    planted, end = data.draw(_planted_and_cut(name))
    text = planted.text.encode()
    assert CASES[name].seen(CASES[name].parse(text)) == planted.expected
    _keeps_what_is_before_the_cut(name, text, end % (len(text) + 1))


@cache
def _planted_and_cut(name: str) -> st.SearchStrategy[tuple[Planted, int]]:
    return st.tuples(CASES[name].planted, place)


def _keeps_what_is_before_the_cut(name: str, data: bytes, end: int) -> None:
    if CASES[name].records is None:
        CASES[name].parse(data[:end])
        return
    whole, cut = _records_of(name, data), records(name, data[:end])
    # The last one may lack what came after the cut.
    assert cut[:-1] == whole[: len(cut[:-1])]
    assert len(cut) <= len(whole)


@cache
def _records_of_sample(name: str) -> list[object]:
    return records(name, CASES[name].sample())


def _records_of(name: str, data: bytes) -> list[object]:
    return _records_of_sample(name) if data is CASES[name].sample() else records(name, data)


@given(changes=st.lists(change_of_a_line, min_size=1, max_size=6))
def test_lines_dropped_doubled_or_swapped_are_read(changes: list[tuple[str, int, int]]) -> None:
    for name, case in CASES.items():
        note(name)
        lines = case.sample().split(b"\n")
        for change in changes:
            _change_a_line(lines, *change)
        case.parse(b"\n".join(lines))


@given(change=change_of_a_line)
def test_one_line_dropped_doubled_or_swapped_costs_no_more_than_the_records_it_touches(
    change: tuple[str, int, int],
) -> None:
    for name in RESUMING:
        note(name)
        lines = CASES[name].sample().split(b"\n")
        _change_a_line(lines, *change)
        found = records(name, b"\n".join(lines))
        # A record's own line, or its heading: then what it held falls to the record before it.
        lost = [record for record in _records_of_sample(name) if record not in found]
        assert len(lost) <= (4 if change[0] == "swap" else 2)


def _change_a_line(lines: list[bytes], change: str, first: int, second: int) -> None:
    at, other = first % len(lines), second % len(lines)
    if change == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif change == "double":
        lines.insert(at, lines[at])
    elif len(lines) > 1:
        del lines[at]


@given(changes=st.lists(st.tuples(place, st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=8))
def test_bytes_overwritten_at_random_are_read(changes: list[tuple[int, int, bytes]]) -> None:
    for name, case in CASES.items():
        note(name)
        data = bytearray(case.sample())
        for where, count, new in changes:
            at = where % len(data)
            data[at : at + count] = new
        case.parse(bytes(data))


@given(changes=st.lists(st.tuples(place, json_values), min_size=1, max_size=3))
def test_known_keys_with_values_of_any_kind_are_read(changes: list[tuple[int, object]]) -> None:
    for name in OF_JSON:
        note(name)
        document = [json.loads(CASES[name].sample())]
        for where, value in changes:
            holders = list(_holders(document))
            holder, key = holders[where % len(holders)]
            # A copy: one that is put below itself would be no document.
            holder[key] = deepcopy(value)
        CASES[name].parse(json.dumps(document[0]).encode())


def _holders(value: object) -> Iterator[tuple[Any, Any]]:
    """Each value below `value`, as what holds it and its key or index there."""
    if isinstance(value, dict | list):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _holders(item)


@given(before=noise, after=noise)
def test_json_is_found_between_lines_of_warnings(before: list[str], after: list[str]) -> None:
    for name in OF_JSON:
        note(name)
        data = CASES[name].sample()
        # Brackets are what programs begin their messages with.
        lines = ["[warning] {x}", *before, data.decode(), *after, "{"]
        assert CASES[name].parse("\n".join(lines).encode()) == CASES[name].parse(data)
