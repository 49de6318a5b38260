"""What all values have in common."""

import copy
import operator
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import asyncpg.types
import pytest

import pgsansio
import pgsansio.types
import pgsansio_asyncio
import pgsansio_trio
from pgsansio.types import BitString, Box, Circle, Line, LineSegment, Path, Point, Polygon, Range


@pytest.mark.checklist("PKG-1")
@pytest.mark.parametrize(
    "package", [asyncpg, pgsansio, pgsansio_asyncio, pgsansio_trio], ids=lambda item: item.__name__
)
def test_the_package_has_what_the_module_has(package: Any) -> None:
    types = asyncpg.types if package is asyncpg else pgsansio.types
    for name in asyncpg.types.__all__:
        assert getattr(package, name) is getattr(types, name)


class OwnRange(Range[int]):
    pass


class OwnPoint(Point):
    pass


VALUES = (
    Range(1, 5, lower_inc=False, upper_inc=True),
    Range(Decimal(1)),
    Range[int](empty=True),
    OwnRange(1, 2),
    BitString(),
    BitString("0101 1"),
    Point(1, -0.0),
    OwnPoint(1, 2),
    Line(1, 2, 3),
    LineSegment((1, 2), (3, 4)),
    Box((3, 4), (1, 2)),
    Path((1, 2), (3, 4)),
    Path((1, 2), is_closed=True),
    Polygon((1, 2), (3, 4)),
    Circle((1, 2), 3),
)
COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle-{protocol}": lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("value", VALUES, ids=str)
def test_copies_are_equal(value: Any, how: str) -> None:
    """asyncpg's tuples can be neither copied nor pickled, nor what holds them pickled."""
    found = COPIES[how](value)
    assert type(found) is type(value)
    assert (found, repr(found), hash(found)) == (value, repr(value), hash(value))


@pytest.mark.parametrize("value", VALUES[:3] + VALUES[4:7], ids=str)
def test_nothing_can_be_added(value: Any) -> None:
    assert not hasattr(value, "__dict__")
    with pytest.raises(TypeError):
        operator.delitem(value, 0)
