"""Values of the range types."""

from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Range"]


class _Ordered(Protocol):
    """What bounds can do."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __gt__(self, other: Any, /) -> bool: ...


T = TypeVar("T", bound=_Ordered)


class Range(Generic[T]):
    """A range of values; immutable, and hashable if its bounds are. An empty one is false.

    Nothing is normalised: the server sends `int4range` as [1, 6), which is not equal to the [1, 5] it was made from.

    Args:
        lower, upper: the bounds; None where there is none.
        lower_inc, upper_inc: whether a bound is part of the range; never true where there is none.
        empty: the empty range, whatever the others say.
    Source: manual, "Range Types", Inclusive and Exclusive Bounds; Infinite (Unbounded) Ranges.
    """

    __slots__ = ("_empty", "_lower", "_lower_inc", "_upper", "_upper_inc")

    def __init__(
        self,
        lower: T | None = None,
        upper: T | None = None,
        *,
        lower_inc: bool = True,
        upper_inc: bool = False,
        empty: bool = False,
    ) -> None:
        self._empty = bool(empty)
        self._lower = None if empty else lower
        self._upper = None if empty else upper
        self._lower_inc = bool(lower_inc) and self._lower is not None
        self._upper_inc = bool(upper_inc) and self._upper is not None

    @property
    def lower(self) -> T | None:
        """None if the range has no lower bound, or is empty."""
        return self._lower

    @property
    def upper(self) -> T | None:
        """None if the range has no upper bound, or is empty."""
        return self._upper

    @property
    def lower_inc(self) -> bool:
        return self._lower_inc

    @property
    def upper_inc(self) -> bool:
        return self._upper_inc

    @property
    def lower_inf(self) -> bool:
        """Without a lower bound; the empty range is not."""
        return self._lower is None and not self._empty

    @property
    def upper_inf(self) -> bool:
        """Without an upper bound; the empty range is not."""
        return self._upper is None and not self._empty

    @property
    def isempty(self) -> bool:
        """Whether it was made or sent as empty; [5, 5), which the server would make so, is not."""
        return self._empty

    def issubset(self, other: "Range[T]") -> bool:
        """Whether `other` contains all of this range, by the bounds as they are: [1, 5] is not in [1, 6)."""
        if self._empty or other._empty:
            return self._empty
        return other._reaches_down_to(self) and other._reaches_up_to(self)

    def issuperset(self, other: "Range[T]") -> bool:
        """Whether this range contains all of `other`."""
        return other.issubset(self)

    def _reaches_down_to(self, other: "Range[T]") -> bool:
        """Whether it begins no later than `other`."""
        if self._lower is None or other._lower is None:
            return self._lower is None
        if self._lower == other._lower:
            return self._lower_inc or not other._lower_inc
        return self._lower < other._lower

    def _reaches_up_to(self, other: "Range[T]") -> bool:
        """Whether it ends no earlier than `other`."""
        if self._upper is None or other._upper is None:
            return self._upper is None
        if self._upper == other._upper:
            return self._upper_inc or not other._upper_inc
        return self._upper > other._upper

    def _key(self) -> tuple[T | None, T | None, bool, bool, bool]:
        return self._lower, self._upper, self._lower_inc, self._upper_inc, self._empty

    def __bool__(self) -> bool:
        return not self._empty

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Range) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        if self._empty:
            return "<Range empty>"
        lower = "" if self._lower is None else repr(self._lower)
        upper = "" if self._upper is None else repr(self._upper)
        return f"<Range {'[' if self._lower_inc else '('}{lower}, {upper}{']' if self._upper_inc else ')'}>"
