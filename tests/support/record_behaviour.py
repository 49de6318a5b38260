"""How a Record behaves, as checks for any kind of Record: ours, or asyncpg's made of a server's answer."""

# ruff: noqa: SIM300, SIM202 # which operand is on the left, and which operator, is what is tested

import collections
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

__all__ = ["CHECKS", "Check", "Maker"]


@dataclass(frozen=True)
class Maker:
    """Makes records of one implementation."""

    record_class: type[Any]
    #: (pairs of name and value (None, int, str or list of int), record_class or a subclass) -> a record
    of: Callable[[list[tuple[str, Any]], type[Any]], Any]

    def __call__(self, *columns: tuple[str, Any], record_class: type[Any] | None = None) -> Any:
        return self.of(list(columns), record_class or self.record_class)


@dataclass(frozen=True)
class Check:
    #: The point of the checklist.
    point: str
    run: Callable[[Maker], None]


CHECKS: list[Check] = []


def check(point: str) -> Callable[[Callable[[Maker], None]], Callable[[Maker], None]]:
    def register(run: Callable[[Maker], None]) -> Callable[[Maker], None]:
        CHECKS.append(Check(point, run))
        return run

    return register


class Index:
    """An object that is an index only by `__index__`."""

    def __index__(self) -> int:
        return 1


def three(make: Maker) -> Any:
    return make(("a", 1), ("b", "x"), ("c", None))


@check("R-1")
def positions(make: Maker) -> None:
    record = three(make)
    assert [record[0], record[1], record[2], record[-1], record[-3]] == [1, "x", None, None, 1]
    assert record[Index()] == "x"
    assert record[True] == "x"
    for position in (3, -4, 10**9):
        with pytest.raises(IndexError, match="record index out of range"):
            record[position]
    with pytest.raises(IndexError):
        record[10**30]


@check("R-1")
def slices(make: Maker) -> None:
    record = three(make)
    for part in (slice(0, 2), slice(None), slice(None, None, -1), slice(5, 9), slice(-2, None)):
        assert type(record[part]) is tuple
        assert record[part] == (1, "x", None)[part]
    with pytest.raises(TypeError, match="slice indices must be integers"):
        record["a":"b"]


@check("R-1")
def names(make: Maker) -> None:
    record = three(make)
    assert (record["a"], record["b"], record["c"]) == (1, "x", None)
    assert operator.itemgetter("b")(record) == "x"

    class Name(str):
        pass

    assert record[Name("b")] == "x"
    unhashable: list[int] = []
    for key in ("z", "", None, 1.0, (1,), unhashable):
        with pytest.raises(KeyError) as caught:
            record[key]
        if isinstance(key, str):
            assert caught.value.args == (key,)


@check("R-2")
def iteration(make: Maker) -> None:
    record = three(make)
    assert len(record) == 3
    assert list(record) == [1, "x", None]
    assert [*record] == list(record.values()) == [1, "x", None]
    assert list(reversed(record)) == [None, "x", 1]
    assert isinstance(record, Iterable)
    first, *rest = record
    assert (first, rest) == (1, ["x", None])


@check("R-2")
def keys_and_items_are_iterators(make: Maker) -> None:
    record = three(make)
    for iterator, expected in (
        (record.keys(), ["a", "b", "c"]),
        (record.values(), [1, "x", None]),
        (record.items(), [("a", 1), ("b", "x"), ("c", None)]),
    ):
        assert iter(iterator) is iterator
        assert operator.length_hint(iterator) == 3
        assert list(iterator) == expected
        assert list(iterator) == []


@check("R-2")
def becomes_a_dict(make: Maker) -> None:
    record = three(make)
    assert dict(record) == {**record} == {"a": 1, "b": "x", "c": None}


@check("R-3")
def contains_names(make: Maker) -> None:
    record = three(make)
    unhashable: list[int] = []
    assert "a" in record
    assert all(key not in record for key in ("z", 1, "x", None, unhashable))


@check("R-4")
def get(make: Maker) -> None:
    record = three(make)
    unhashable: list[int] = []
    assert record.get("a") == 1
    assert record.get("c", 5) is None
    assert record.get("z") is None
    assert record.get("z", 5) == 5
    assert record.get(0) is None
    assert record.get(unhashable) is None
    with pytest.raises(TypeError):
        record.get()
    with pytest.raises(TypeError):
        record.get(key="a")
    with pytest.raises(TypeError):
        record.get("a", 1, 2)


@check("R-5")
def equality(make: Maker) -> None:
    record = make(("a", 1), ("b", "x"))
    pair = collections.namedtuple("pair", "p q")(1, "x")
    other_names = make(("c", 1), ("d", "x"))
    assert record == (1, "x")
    assert (1, "x") == record
    assert record == pair
    assert pair == record
    assert record == other_names
    assert not record != other_names
    assert record != (1, "y")
    assert (1, "x", 2) != record
    assert record != [1, "x"]
    assert record != {"a": 1, "b": "x"}
    assert record.__eq__([1, "x"]) is NotImplemented
    assert record != make(("a", 2), ("b", "x"))


@check("R-5")
def order(make: Maker) -> None:
    record = make(("a", 1), ("b", "x"))
    greater = make(("a", 2), ("b", "a"))
    assert record < greater
    assert greater > record
    assert record <= record
    assert record >= (1, "x")
    assert record < (1, "y")
    assert (0,) < record
    assert not record > (1, "x")
    assert sorted([greater, record]) == [record, greater]
    for other in ([1, "x"], 5, None):
        with pytest.raises(TypeError, match="not supported between instances"):
            record < other  # noqa: B015


@check("R-5")
def hashing(make: Maker) -> None:
    record = make(("a", 1), ("b", "x"))
    assert hash(record) == hash((1, "x"))
    assert {record: 1}[1, "x"] == 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(make(("a", [1])))


@check("R-6")
def equal_names(make: Maker) -> None:
    record = make(("a", 1), ("b", 2), ("a", 3))
    assert record["a"] == record.get("a") == 3
    assert list(record.keys()) == ["a", "b", "a"]
    assert list(record.items()) == [("a", 1), ("b", 2), ("a", 3)]
    assert dict(record) == {"a": 3, "b": 2}
    assert repr(record) == "<Record a=1 b=2 a=3>"


@check("R-7")
def representation(make: Maker) -> None:
    record = three(make)
    assert repr(record) == str(record) == f"{record}" == "<Record a=1 b='x' c=None>"
    assert repr(make()) == "<Record>"


@check("R-7")
def representation_of_a_subclass(make: Maker) -> None:
    class Row(make.record_class):  # type: ignore[misc,name-defined]
        pass

    row = make(("a", [1]), record_class=Row)
    assert repr(row) == "<Row a=[1]>"
    row["a"].append(row)
    assert repr(row) == "<Row a=[1, <Row ...>]>"


@check("R-8")
def is_immutable(make: Maker) -> None:
    record = three(make)
    with pytest.raises(AttributeError):
        record.x = 1
    with pytest.raises(TypeError, match="does not support item assignment"):
        record[0] = 1
    with pytest.raises(TypeError, match="support item deletion"):
        del record["a"]
    with pytest.raises(AttributeError):
        record.a  # noqa: B018


@check("R-8")
def is_made_by_the_library_only(make: Maker) -> None:
    class Row(make.record_class):  # type: ignore[misc,name-defined]
        pass

    for arguments in ((), (1,), ({"a": 1},)):
        with pytest.raises(TypeError, match=r"cannot create '.*\.Record' instances"):
            make.record_class(*arguments)
    with pytest.raises((TypeError, SystemError)):
        Row()


@check("R-8")
def is_no_tuple(make: Maker) -> None:
    record = three(make)
    assert type(record) is make.record_class
    assert not isinstance(record, (tuple, Mapping, Sequence))
    with pytest.raises(TypeError):
        record + (1,)  # noqa: RUF005
    with pytest.raises(TypeError):
        record * 2
    assert not hasattr(record, "index")


@check("R-9")
def subclasses_add_methods(make: Maker) -> None:
    class Row(make.record_class):  # type: ignore[misc,name-defined]
        def __getattr__(self, name: str) -> Any:
            try:
                return self[name]
            except KeyError:
                raise AttributeError(name) from None

        def total(self) -> int:
            return sum(self)

    row = make(("a", 1), ("b", 2), record_class=Row)
    assert type(row) is Row
    assert (row.a, row.b, row.total()) == (1, 2, 3)
    assert row == (1, 2)
    assert row == make(("a", 1), ("b", 2))
    with pytest.raises(AttributeError):
        row.c  # noqa: B018
    row.note = "its own dictionary"
    assert row.note == "its own dictionary"


@check("R-11")
def truth(make: Maker) -> None:
    assert make(("a", None))
    assert not make()
    assert len(make()) == 0
    assert list(make().items()) == []
