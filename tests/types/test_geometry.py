"""Geometric values: asyncpg's behaviour on both, and what is ours alone."""

import math
from typing import Any

import asyncpg.types
import pytest

import pgsansio
import pgsansio.types
from pgsansio.types import Circle, Line, Path, Point, Polygon


@pytest.mark.checklist("TY-3")
def test_figures_of_fixed_size_are_tuples(types: Any) -> None:
    for value, same, parts in [
        (types.Point(1, "2.5"), (1.0, 2.5), ("x", "y")),
        (types.Line(1, 2, 3), (1, 2, 3), ("A", "B", "C")),
        (types.LineSegment((1, 2), [3, 4]), ((1, 2), (3, 4)), ("p1", "p2")),
        (types.Box((3, 4), (1, 2)), ((3, 4), (1, 2)), ("high", "low")),
        (types.Box(types.Point(1, 2), (3, 4)), ((1, 2), (3, 4)), ("high", "low")),
        (types.Circle(types.Point(1, 2), 3.0), ((1, 2), 3), ("center", "radius")),
    ]:
        assert isinstance(value, tuple)
        assert value == same
        assert hash(value) == hash(same)
        assert tuple(getattr(value, part) for part in parts) == same
        for name in (*parts, "other"):
            with pytest.raises(AttributeError):
                setattr(value, name, 1)
        first, *_ = value
        assert first == value[0]
    assert [type(part) for part in types.Point(1, "2.5")] == [float, float]
    assert type(types.Box((1, 2), (3, 4)).low) is type(types.LineSegment((1, 2), (3, 4)).p1) is types.Point
    for make in (
        lambda: types.Point(1),
        lambda: types.Point("x", 1),
        lambda: types.Point(None, 1),
        lambda: types.Box((1, 2, 3), (1, 2)),
        lambda: types.Line(1, 2),
    ):
        with pytest.raises((TypeError, ValueError)):
            make()


@pytest.mark.checklist("TY-3")
def test_paths_and_polygons_are_like_sequences(types: Any) -> None:
    for value, is_closed in [
        (types.Path((1, 2), [3, 4]), False),
        (types.Path((1, 2), (3, 4), is_closed=True), True),
        (types.Polygon((1, 2), types.Point(3, 4)), True),
    ]:
        assert not isinstance(value, tuple)
        assert value.is_closed is is_closed
        assert value.points == tuple(value) == ((1, 2), (3, 4))
        assert [type(point) for point in value] == [types.Point, types.Point]
        assert (len(value), value[0], value[-1], value[1:]) == (2, (1, 2), (3, 4), ((3, 4),))
        assert (3, 4) in value
        assert (3, 5) not in value
        with pytest.raises(IndexError):
            value[2]
        with pytest.raises(AttributeError):
            value.is_closed = True
        assert value != ((1, 2), (3, 4))
    closed = types.Path((1, 2), (3, 4), is_closed=True)
    assert closed == types.Path((1.0, 2.0), (3, 4), is_closed=True)
    assert hash(closed) == hash(types.Path((1.0, 2.0), (3, 4), is_closed=True))
    assert closed != types.Path((1, 2), (3, 4))
    assert closed != types.Path((1, 2), is_closed=True)
    polygon = types.Polygon((1, 2), (3, 4))
    assert polygon == closed
    assert hash(polygon) == hash(closed)
    assert isinstance(polygon, types.Path)
    assert not types.Path()
    with pytest.raises(TypeError):
        types.Polygon((1, 2), is_closed=False)


def test_every_number_is_a_float_and_every_point_a_point() -> None:
    """asyncpg leaves a line's and a circle's as they are, so that what it decodes has a tuple for a center."""
    assert [type(part) for part in Line(1, 2, 3)] == [float, float, float]
    circle = Circle((1, 2), 3)
    assert (type(circle.center), type(circle.radius)) == (Point, float)


def test_points_cannot_be_replaced() -> None:
    """In asyncpg they can, which changes the hash."""
    value = Path((1, 2))
    with pytest.raises(AttributeError):
        value.points = ()  # type: ignore[misc]


def test_figures_show_their_type() -> None:
    here = "pgsansio.types.geometry."
    assert repr(Point(1, 2)) == f"{here}Point((1.0, 2.0))"
    for module in (asyncpg.types, pgsansio.types):
        where = module.Point.__module__ + "."
        assert repr(module.Point(1, math.nan)) == f"{where}Point((1.0, nan))"
        points = f"(({where}Point((1.0, 2.0)), {where}Point((3.0, 4.0))))"
        assert repr(module.Box((1, 2), (3, 4))) == f"{where}Box{points}"
        assert repr(module.LineSegment((1, 2), (3, 4))) == f"{where}LineSegment{points}"
    # Bare tuples and addresses in asyncpg.
    assert repr(Line(1, 2, 3)) == f"{here}Line((1.0, 2.0, 3.0))"
    assert repr(Circle((1, 2), 3)) == f"{here}Circle(({here}Point((1.0, 2.0)), 3.0))"
    assert repr(Path((1, 2))) == f"{here}Path(({here}Point((1.0, 2.0)),), is_closed=False)"
    assert repr(Polygon((1, 2))) == f"{here}Polygon(({here}Point((1.0, 2.0)),))"
