"""What every parser must do with any bytes at all, and with real output that is cut, shuffled or buried in noise.

Plain hypothesis tests: the profile in force (tests/conftest.py, `--hypothesis-profile`) says how many examples.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee.parsers import nvidia_smi
from tests.bee.parser_cases import CASES
from tests.bee.planting import json_values, noise

every_parser = pytest.mark.parametrize("name", CASES)
parsers_of_json = pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.json])
parsers_of_records = pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.records])

any_text = st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))


def records(name: str, data: bytes) -> list[object]:
    listing = CASES[name].records
    assert listing is not None
    return list(listing(CASES[name].parse(data)))


@every_parser
@given(data=st.binary(max_size=400) | any_text)
def test_any_bytes_are_read_without_an_exception(name: str, data: bytes) -> None:
    CASES[name].parse(data)


@every_parser
@given(data=st.data())
def test_words_of_the_format_in_any_order_are_read_without_an_exception(name: str, data: st.DataObject) -> None:
    """Random bytes rarely get past a format's first line; its own words, shuffled, reach the rest."""
    lines = CASES[name].sample().split(b"\n")
    pieces = sorted({*lines, *(piece for line in lines for piece in line.split(b" ")), b"\n", b" ", b":", b"\t"})
    drawn = data.draw(st.lists(st.sampled_from(pieces) | st.binary(max_size=4), max_size=30))
    CASES[name].parse(data.draw(st.sampled_from([b"", b" ", b"\n"])).join(drawn))


@every_parser
def test_nothing_gives_an_empty_record(name: str) -> None:
    parse = CASES[name].parse
    assert parse(b"") == parse(b"\n")


@every_parser
def test_output_cut_at_any_point_is_read(name: str) -> None:
    data = CASES[name].sample()
    for end in range(len(data)):
        CASES[name].parse(data[:end])


@every_parser
@given(data=st.data())
def test_planted_output_cut_at_any_point_is_read(name: str, data: st.DataObject) -> None:
    text = data.draw(CASES[name].planted).text.encode()
    CASES[name].parse(text[: data.draw(st.integers(0, len(text)))])


@parsers_of_records
@given(data=st.data())
def test_output_that_is_cut_keeps_every_record_before_the_cut(name: str, data: st.DataObject) -> None:
    text = data.draw(CASES[name].planted).text.encode() if data.draw(st.booleans()) else CASES[name].sample()
    whole, cut = records(name, text), records(name, text[: data.draw(st.integers(0, len(text)))])
    # The last one may lack what came after the cut.
    assert cut[:-1] == whole[: len(cut[:-1])]
    assert len(cut) <= len(whole)


@parsers_of_json
def test_json_that_is_cut_is_noted(name: str) -> None:
    data = CASES[name].sample().rstrip()
    for end in range(1, len(data)):
        assert CASES[name].parse(data[:end]).notes, end


@every_parser
@given(data=st.data())
def test_lines_dropped_doubled_or_swapped_are_read(name: str, data: st.DataObject) -> None:
    lines = CASES[name].sample().split(b"\n")
    for _ in range(data.draw(st.integers(1, 6))):
        _change_a_line(lines, data)
    CASES[name].parse(b"\n".join(lines))


@parsers_of_records
@given(data=st.data())
def test_one_line_dropped_doubled_or_swapped_costs_no_more_than_the_records_it_touches(
    name: str, data: st.DataObject
) -> None:
    lines = CASES[name].sample().split(b"\n")
    whole = records(name, b"\n".join(lines))
    swapped = _change_a_line(lines, data)
    found = records(name, b"\n".join(lines))
    # A record's own line, or its heading: then what it held falls to the record before it.
    assert sum(1 for record in whole if record not in found) <= (4 if swapped else 2)


def _change_a_line(lines: list[bytes], data: st.DataObject) -> bool:
    """Change `lines`; True when two have changed places."""
    at = data.draw(st.integers(0, len(lines) - 1))
    change = data.draw(st.sampled_from(["drop", "double", "swap"]))
    if change == "swap":
        other = data.draw(st.integers(0, len(lines) - 1))
        lines[at], lines[other] = lines[other], lines[at]
    elif change == "double":
        lines.insert(at, lines[at])
    elif len(lines) > 1:
        del lines[at]
    return change == "swap"


@every_parser
@given(data=st.data())
def test_bytes_overwritten_at_random_are_read(name: str, data: st.DataObject) -> None:
    changed = bytearray(CASES[name].sample())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    CASES[name].parse(bytes(changed))


@every_parser
@given(data=st.data())
def test_known_records_planted_in_noise_come_back(name: str, data: st.DataObject) -> None:
    planted = data.draw(CASES[name].planted)
    assert CASES[name].seen(CASES[name].parse(planted.text.encode())) == planted.expected


@parsers_of_json
@given(data=st.data())
def test_known_keys_with_values_of_any_kind_are_read(name: str, data: st.DataObject) -> None:
    def scramble(value: object) -> object:
        if data.draw(st.integers(0, 9)) == 0:
            return data.draw(json_values)
        if isinstance(value, dict):
            return {key: scramble(item) for key, item in value.items()}
        if isinstance(value, list):
            return [scramble(item) for item in value]
        return value

    CASES[name].parse(json.dumps(scramble(json.loads(CASES[name].sample()))).encode())


@parsers_of_json
@given(before=noise, after=noise)
def test_json_is_found_between_lines_of_warnings(name: str, before: list[str], after: list[str]) -> None:
    data = CASES[name].sample()
    # Brackets are what programs begin their messages with.
    lines = ["[warning] {x}", *before, data.decode(), *after, "{"]
    assert CASES[name].parse("\n".join(lines).encode()) == CASES[name].parse(data)


@given(text=st.data())
def test_nvidia_smi_keeps_every_gpu_before_a_cut(text: st.DataObject) -> None:
    document = text.draw(CASES["nvidia-smi"].planted).text
    whole, cut = (_gpus(document[:end]) for end in (None, text.draw(st.integers(0, len(document)))))
    assert cut[:-1] == whole[: len(cut[:-1])]
    assert len(cut) <= len(whole)


def _gpus(text: str) -> list[Any]:
    return list(nvidia_smi.parse(text.encode()).gpus)
