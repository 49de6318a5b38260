"""Values of bit and bit varying."""

import builtins
from collections.abc import Iterable, Iterator, Mapping
from operator import index
from typing import Final, Literal, Self, overload

__all__ = ["BitString"]

#: What a bit may be given as; True is 1, too.
_DIGITS: Final[Mapping[object, str]] = {"0": "0", "1": "1", " ": "", 0: "0", 1: "1"}


class BitString:
    """A string of bits; immutable, hashable, a sequence of the integers 0 and 1.

    Args:
        bitstring: text of 0, 1 and blanks, which are skipped; or an iterable of the integers.
    Raises:
        ValueError: there is something else in it.
    """

    #: The first bit is the highest of the first byte; those that the last byte has to spare are 0.
    __slots__ = ("_bytes", "_length")

    def __init__(self, bitstring: str | Iterable[int] | None = None) -> None:
        text = "" if bitstring is None else _digits(bitstring)
        self._length = len(text)
        self._bytes = _pack(int(text or "0", 2), self._length)

    @classmethod
    def frombytes(cls, bytes_: builtins.bytes | None = None, bitlength: int | None = None) -> Self:
        """The first `bitlength` bits of these bytes.

        Args:
            bytes_: a buffer; without it all bits are 0.
            bitlength: without it all bits of the bytes are taken, else at most eight less.
        Raises:
            ValueError: there are not so many bits, or too many.
            TypeError: no buffer.
        """
        data = None if bytes_ is None else memoryview(bytes_).tobytes()
        if bitlength is None:
            bitlength = 0 if data is None else 8 * len(data)
        if bitlength < 0 or (data is not None and not _fits(8 * len(data), bitlength)):
            raise ValueError("invalid bit length specified")
        if data is None:
            return cls._of(bytes(_size(bitlength)), bitlength)
        if bitlength != 8 * len(data):
            data = _pack(int.from_bytes(data, "big") >> (8 * len(data) - bitlength), bitlength)
        return cls._of(data, bitlength)

    @classmethod
    def from_int(cls, x: int, length: int, bitorder: Literal["big", "little"] = "big", *, signed: bool = False) -> Self:
        """The integer in so many bits, as PostgreSQL casts it.

        Args:
            bitorder: 'big' puts the bit of the highest value first, 'little' the lowest.
            signed: in two's complement.
        Raises:
            OverflowError: it does not fit, or is negative and `signed` is false.
            ValueError: a negative length, or another bit order.
        """
        x, length = index(x), index(length)
        _check_order(bitorder)
        if length < 0:
            raise ValueError("length argument must be non-negative")
        if x < 0 and not signed:
            raise OverflowError("can't convert negative int to unsigned")
        # In two's complement a bit is for the sign: -8 needs four bits as 7 does. No bits are 0 either way.
        needed = (x if x >= 0 else ~x).bit_length() + bool(signed and x)
        if needed > length:
            raise OverflowError("int too big to convert")
        x &= (1 << length) - 1
        return cls._of(_pack(x if bitorder == "big" else _reversed(x, length), length), length)

    @classmethod
    def _of(cls, data: builtins.bytes, length: int) -> Self:
        """Of bytes that are just as many as needed, with zeros at their end."""
        result = cls.__new__(cls)
        result._bytes = data
        result._length = length
        return result

    @property
    def bytes(self) -> builtins.bytes:
        """The bits from the highest of the first byte on; the last byte ends with zeros."""
        return self._bytes

    def as_string(self) -> str:
        """The bits with a blank after each four: '0000 0001'."""
        text = self._text()
        return " ".join(text[start : start + 4] for start in range(0, len(text), 4))

    def to_int(self, bitorder: Literal["big", "little"] = "big", *, signed: bool = False) -> int:
        """The integer that these bits are, as PostgreSQL casts them; 0 if there are none.

        Args:
            bitorder: 'big' if the first bit has the highest value, 'little' if it has the lowest.
            signed: in two's complement.
        Raises:
            ValueError: another bit order.
        """
        _check_order(bitorder)
        x = self._unpack()
        if bitorder == "little":
            x = _reversed(x, self._length)
        return x - (1 << self._length) if signed and self._length and x >> (self._length - 1) else x

    def _unpack(self) -> int:
        return int.from_bytes(self._bytes, "big") >> (8 * len(self._bytes) - self._length)

    def _text(self) -> str:
        return format(self._unpack(), f"0{self._length}b") if self._length else ""

    @overload
    def __getitem__(self, i: int) -> int: ...
    @overload
    def __getitem__(self, i: slice) -> Self: ...
    def __getitem__(self, i: int | slice) -> int | Self:
        if isinstance(i, slice):
            text = self._text()[i]
            return self._of(_pack(int(text or "0", 2), len(text)), len(text))
        position = index(i)
        if position < 0:
            position += self._length
        if not 0 <= position < self._length:
            raise IndexError("index out of range")
        return self._bytes[position // 8] >> (7 - position % 8) & 1

    def __iter__(self) -> Iterator[int]:
        return map(int, self._text())

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BitString):
            return NotImplemented
        return self._length == other._length and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash((self._bytes, self._length))

    def __repr__(self) -> str:
        return f"<BitString {self.as_string()}>"


def _digits(bits: Iterable[object]) -> str:
    """As '0' and '1' alone."""
    digits: list[str] = []
    for position, bit in enumerate(bits):
        digit = _DIGITS.get(bit)
        if digit is None:
            raise ValueError(f"invalid bit value at position {position}")
        digits.append(digit)
    return "".join(digits)


def _size(length: int) -> int:
    """How many bytes so many bits take."""
    return (length + 7) // 8


def _fits(available: int, length: int) -> bool:
    return available - 8 <= length <= available and (length > 0 or available == 0)


def _pack(x: int, length: int) -> bytes:
    size = _size(length)
    return (x << (8 * size - length)).to_bytes(size, "big")


def _reversed(x: int, length: int) -> int:
    return int(format(x, f"0{length}b")[::-1], 2) if length else x


def _check_order(bitorder: str) -> None:
    if bitorder not in ("big", "little"):
        raise ValueError("bitorder must be either 'big' or 'little'")
