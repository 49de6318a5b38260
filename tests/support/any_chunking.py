"""Bytes cut arbitrarily, as a network may."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

__all__ = ["cut", "cuts"]


def cuts(max_cuts: int = 12) -> SearchStrategy[list[int]]:
    """Sizes for `cut`: few large pieces, or many small ones."""
    return st.lists(st.integers(1, 9) | st.integers(1, 70_000), min_size=1, max_size=max_cuts)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in pieces of these sizes, which are used in turn, again and again."""
    pieces: list[bytes] = []
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[position : position + size])
        position += size
        turn += 1
    return pieces
