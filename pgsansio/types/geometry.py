"""Values of the geometric types.

All of them are immutable and hashable; those of fixed size are tuples and equal to plain ones. Nothing is checked or
put in order here: that A and B of a line are not both 0, and which corner of a box is the upper right one, is the
server's.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Self, SupportsFloat, SupportsIndex, cast, overload

__all__ = ["Box", "Circle", "Line", "LineSegment", "Path", "Point", "Polygon"]


class _Figure:
    """What the tuples among them share."""

    __slots__ = ()

    def __getnewargs__(self) -> tuple[Any, ...]:
        # `tuple` would have pickle and copy give all items as one argument.
        return tuple(cast("tuple[Any, ...]", self))

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__name__}({self.__getnewargs__()!r})"


class Point(_Figure, tuple[float, float]):
    """A value of type point: two floats, made from whatever `float` takes."""

    __slots__ = ()

    def __new__(cls, x: SupportsFloat | SupportsIndex | str, y: SupportsFloat | SupportsIndex | str) -> Self:
        return super().__new__(cls, (float(x), float(y)))

    @property
    def x(self) -> float:
        return self[0]

    @property
    def y(self) -> float:
        return self[1]


class Line(_Figure, tuple[float, float, float]):
    """A value of type line: all points for which A*x + B*y + C = 0."""

    __slots__ = ()

    def __new__(cls, A: float, B: float, C: float) -> Self:
        return super().__new__(cls, (float(A), float(B), float(C)))

    @property
    def A(self) -> float:
        return self[0]

    @property
    def B(self) -> float:
        return self[1]

    @property
    def C(self) -> float:
        return self[2]


class LineSegment(_Figure, tuple[Point, Point]):
    """A value of type lseg: what lies between two points, each a `Point` or a pair of numbers."""

    __slots__ = ()

    def __new__(cls, p1: Sequence[float], p2: Sequence[float]) -> Self:
        return super().__new__(cls, (Point(*p1), Point(*p2)))

    @property
    def p1(self) -> Point:
        return self[0]

    @property
    def p2(self) -> Point:
        return self[1]


class Box(_Figure, tuple[Point, Point]):
    """A value of type box: two opposite corners, each a `Point` or a pair of numbers.

    The server sends the upper right one first, whichever was given.
    """

    __slots__ = ()

    def __new__(cls, high: Sequence[float], low: Sequence[float]) -> Self:
        return super().__new__(cls, (Point(*high), Point(*low)))

    @property
    def high(self) -> Point:
        return self[0]

    @property
    def low(self) -> Point:
        return self[1]


class Circle(_Figure, tuple[Point, float]):
    """A value of type circle; its center a `Point` or a pair of numbers."""

    __slots__ = ()

    def __new__(cls, center: Sequence[float], radius: float) -> Self:
        return super().__new__(cls, (Point(*center), float(radius)))

    @property
    def center(self) -> Point:
        return self[0]

    @property
    def radius(self) -> float:
        return self[1]


class Path:
    """A value of type path: connected points, each a `Point` or a pair of numbers; a sequence, but no tuple.

    Args:
        is_closed: whether the last point is connected to the first.
    """

    __slots__ = ("_is_closed", "_points")

    def __init__(self, *points: Sequence[float], is_closed: bool = False) -> None:
        self._points = tuple([point if type(point) is Point else Point(*point) for point in points])
        self._is_closed = bool(is_closed)

    @property
    def points(self) -> tuple[Point, ...]:
        return self._points

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def __eq__(self, other: object) -> bool:
        """A polygon and a closed path of the same points are equal."""
        if not isinstance(other, Path):
            return NotImplemented
        return self._is_closed == other._is_closed and self._points == other._points

    def __hash__(self) -> int:
        return hash((self._points, self._is_closed))

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)

    @overload
    def __getitem__(self, i: int) -> Point: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Point, ...]: ...
    def __getitem__(self, i: int | slice) -> Point | tuple[Point, ...]:
        return self._points[i]

    def __contains__(self, point: object) -> bool:
        """Whether it is one of the points, not whether it lies on the path."""
        return point in self._points

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__name__}({self._points!r}, is_closed={self._is_closed})"


class Polygon(Path):
    """A value of type polygon: points, each a `Point` or a pair of numbers; always closed."""

    __slots__ = ()

    def __init__(self, *points: Sequence[float]) -> None:
        super().__init__(*points, is_closed=True)

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__name__}({self._points!r})"
