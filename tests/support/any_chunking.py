"""Bytes cut arbitrarily, as a network may."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

__all__ = ["cuts"]


def cuts(max_cuts: int = 12) -> SearchStrategy[list[int]]:
    """Sizes for `pgsansio.testing.faults.cut`: few large pieces, or many small ones."""
    return st.lists(st.integers(1, 9) | st.integers(1, 70_000), min_size=1, max_size=max_cuts)
