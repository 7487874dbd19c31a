"""bee's records beside the standard library's dataclasses: whoever knows these finds nothing new."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError
from typing import get_type_hints

import pytest

from bee.records import dataclass, field, fields, is_dataclass, replace


@dataclass(frozen=True, slots=True)
class Point:
    """A place."""

    x: int
    y: int = 2
    notes: tuple[str, ...] = ()

    def sum(self) -> int:
        return self.x + self.y


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    name: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Open:
    values: list[int] = field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Further(Point):
    """A class of the standard library's on top of a record."""

    z: int = 3


def test_values_come_by_place_by_name_and_by_default() -> None:
    assert (Point(1).x, Point(1).y, Point(1, y=3).y, Point(1).sum()) == (1, 2, 3, 3)
    assert Named(name="a").tags == {}
    first, second = Open(), Open()
    first.values.append(1)
    assert second.values == []


@pytest.mark.parametrize(
    "make",
    [
        Point,
        lambda: Point(1, 2, (), 4),
        lambda: Point(1, x=2),
        lambda: Point(1, w=2),
        lambda: Named("a"),
        Named,
    ],
)
def test_a_value_too_many_too_few_or_twice_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(TypeError):
        make()


def test_a_frozen_record_stays_as_it_is_and_none_has_room_for_more() -> None:
    for change in (lambda: setattr(Point(1), "x", 2), lambda: delattr(Point(1), "x")):
        with pytest.raises(FrozenInstanceError):
            change()
    with pytest.raises(AttributeError):
        Open().more = 1  # type: ignore[attr-defined]


def test_equal_records_are_equal_and_hash_alike() -> None:
    assert Point(1) == Point(1)
    assert Point(1) != Point(2)
    assert Point(1) != (1, 2, ())
    assert len({Point(1), Point(1), Point(2)}) == 2
    with pytest.raises(TypeError):
        hash(Open())


def test_it_says_what_it_is_and_travels() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2, notes=())"
    assert Point.__doc__ == "A place."
    assert copy.deepcopy(Point(1)) == pickle.loads(pickle.dumps(Point(1))) == Point(1)
    match Point(1, 5):
        case Point(x, y):
            assert (x, y) == (1, 5)


def test_the_standard_library_takes_it_for_one_of_its_own() -> None:
    assert replace(Point(1), y=5) == dataclasses.replace(Point(1), y=5) == Point(1, 5)
    assert dataclasses.asdict(Named(name="a", tags={"b": "c"})) == {"name": "a", "tags": {"b": "c"}}
    assert [f.name for f in fields(Point)] == [f.name for f in dataclasses.fields(Point)] == ["x", "y", "notes"]
    assert dataclasses.is_dataclass(Point)
    assert get_type_hints(Named)["name"] is str
    assert dataclasses.astuple(Further(1)) == (1, 2, (), 3)


def test_it_takes_the_standard_librarys_for_its_own() -> None:
    assert [f.name for f in fields(Further(1))] == ["x", "y", "notes", "z"]
    assert is_dataclass(Further)
    assert is_dataclass(Point(1))
    assert not is_dataclass("text")
