"""Cube: what the extension cube stores."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ldexp

__all__ = ["Cube"]


@dataclass(frozen=True, slots=True, init=False)
class Cube:
    """A box in any number of dimensions, by two opposite corners, or a point.

    The server stores the corners as they are given, `lower` first, and puts their coordinates in order only where it
    compares cubes; so does this class leave them.

    Args:
        lower, upper: as many numbers each; without `upper` it is a point.
    Raises:
        ValueError: corners of different numbers of dimensions.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __init__(self, lower: Iterable[float], upper: Iterable[float] | None = None) -> None:
        # ldexp is float() for numbers alone: it takes no text.
        first = tuple([ldexp(number, 0) for number in lower])
        second = first if upper is None else tuple([ldexp(number, 0) for number in upper])
        if len(first) != len(second):
            raise ValueError(f"the corners of a cube have {len(first)} and {len(second)} dimensions")
        object.__setattr__(self, "lower", first)
        object.__setattr__(self, "upper", second)

    @property
    def is_point(self) -> bool:
        """Both corners are the same."""
        return self.lower == self.upper

    def __repr__(self) -> str:
        return f"Cube({self.lower!r})" if self.is_point else f"Cube({self.lower!r}, {self.upper!r})"
