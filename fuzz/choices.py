"""The first bytes of an input decide what a target does; the rest is what it does it to."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["cut", "pick"]

T = TypeVar("T")


def pick(options: Sequence[T], byte: int) -> T:
    return options[byte % len(options)]


def cut(data: bytes, byte: int) -> Iterator[bytes]:
    """`data` in pieces, as a network may deliver it: at once, or so many bytes at a time."""
    size = len(data) if byte % 8 == 0 else byte
    for start in range(0, len(data), size or 1):
        yield data[start : start + size]
