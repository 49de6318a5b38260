"""SparseVector: pgvector's sparsevec."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ldexp
from operator import index

__all__ = ["SparseVector"]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SparseVector:
    """A vector of which most elements are zero.

    Args:
        elements: position, from 0 on, -> number. (In SQL's text form positions begin at 1.) Zeros may be among them.
        dimensions: of the whole vector.
    Raises:
        ValueError: no dimension, or a position outside of them.
    """

    dimensions: int
    #: The positions of the elements that are not zero, ascending.
    indices: tuple[int, ...]
    #: Those elements; the server keeps them as float4.
    values: tuple[float, ...]

    def __init__(self, elements: Mapping[int, float], dimensions: int) -> None:
        size = index(dimensions)
        if size < 1:
            raise ValueError(f"a sparse vector has at least 1 dimension, not {size}")
        # ldexp is float() for numbers alone: it takes no text.
        numbers = {index(position): ldexp(number, 0) for position, number in elements.items()}
        indices = tuple(sorted([position for position, number in numbers.items() if number]))
        if indices and not 0 <= indices[0] <= indices[-1] < size:
            outside = indices[0] if indices[0] < 0 else indices[-1]
            raise ValueError(f"position {outside} is outside of a vector of {size} dimensions")
        object.__setattr__(self, "dimensions", size)
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "values", tuple([numbers[position] for position in indices]))

    @classmethod
    def from_list(cls, numbers: Iterable[float]) -> "SparseVector":
        """Of all elements in order, zeros too."""
        elements = dict(enumerate(numbers))
        return cls(elements, len(elements))

    def to_list(self) -> list[float]:
        """All elements in order; mind that there may be as many as 1,000,000,000."""
        numbers = [0.0] * self.dimensions
        for position, number in zip(self.indices, self.values, strict=True):
            numbers[position] = number
        return numbers

    def __repr__(self) -> str:
        return f"SparseVector({dict(zip(self.indices, self.values, strict=True))!r}, {self.dimensions})"
