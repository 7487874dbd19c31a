"""A sample of the long proofs, the same in every run: each parser, and parsers that must not get through."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from dataclasses import dataclass
from importlib import import_module
from itertools import islice, repeat
from pkgutil import iter_modules

import pytest

from bee import parsers
from bee.parsers.lspci import Functions
from tests.bee.parser_cases import CASES
from tests.torture.exploring import explore
from tests.torture.growth import search
from tests.torture.oracle import misfit

SEED = 4711


def test_every_parser_is_a_target() -> None:
    modules = [import_module(f"bee.parsers.{module.name}") for module in iter_modules(parsers.__path__)]
    there = {
        f"{module.__name__}.{name}"
        for module in modules
        for name, member in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("parse") and member.__module__ == module.__name__
    }
    assert {f"{t.module}.{t.parse.__name__}" for t in CASES.values()} - {"bee.parsers.storcli._storcli_drives"} == there


@pytest.mark.parametrize("name", CASES)
def test_a_parser_takes_what_the_fuzzer_makes(name: str) -> None:
    assert list(explore(CASES[name], SEED, rounds=300)) == []


@pytest.mark.parametrize("name", CASES)
def test_a_parsers_time_grows_with_its_input(name: str) -> None:
    assert [wrong for _, wrong in search(CASES[name], SEED, repeat(None, 25)) if wrong] == []


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    numbers: tuple[int, ...] = ()
    share: float | None = None


def fragile(data: bytes) -> Record:
    """Raises where a line has no colon."""
    return Record(b" ".join(line.split(b":")[1] for line in data.splitlines()).decode("utf-8", "replace"))


def careless(data: bytes) -> Record:
    """Hands on whatever type JSON gave it."""
    try:
        return Record("", tuple(device["size"] for device in json.loads(data)["blockdevices"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return Record("")


def slow(data: bytes) -> Record:
    """What `ipmitool fru` once was read with: its time grows with the cube of the spaces in a line."""
    heading = re.compile(r"\s*FRU Device Description\s*:\s*(.*?)\s*(?:\(ID ([0-9]{1,5})\))?\s*", re.ASCII)
    return Record(str([heading.fullmatch(line) for line in data.decode("utf-8", "replace").split("\n")]))


@pytest.mark.parametrize(
    ("name", "parse", "said"),
    [
        ("ipmitool fru", fragile, "IndexError in "),
        ("lsblk", careless, "the result.numbers["),
    ],
)
def test_a_parser_that_is_wrong_is_found(name: str, parse: object, said: str) -> None:
    target = dataclasses.replace(CASES[name], parse=parse)
    assert said in next(explore(target, SEED, rounds=3000), "")


def test_a_parser_whose_time_explodes_is_found() -> None:
    target = dataclasses.replace(CASES["ipmitool fru"], parse=slow)
    found = (wrong for _, wrong in search(target, SEED, repeat(None, 3000)) if wrong)
    assert "slower than" in next(islice(found, 1), "")


@pytest.mark.parametrize(
    ("value", "annotation", "where"),
    [
        (Record("a", (1, 2), 0.5), Record, None),
        (Record("a", (1, True)), Record, "the result.numbers[1] is bool, not <class 'int'>"),
        (Record("a", (), float("nan")), Record, "the result.share is float, not float | None"),
        (Functions(notes=(None,)), Functions, "the result.notes[0] is NoneType, not <class 'str'>"),  # type: ignore[arg-type]
        (("a", 1), tuple[str, int], None),
        (("a",), tuple[str, int], "the result is tuple, not None"),
        ({"a": [1]}, dict[str, list[int]], None),
        ({"a": [None]}, dict[str, list[int]], "the result['a'][0] is NoneType, not <class 'int'>"),
    ],
)
def test_a_result_is_held_against_its_type_to_the_last_leaf(
    value: object, annotation: object, where: str | None
) -> None:
    assert misfit(value, annotation) == where
