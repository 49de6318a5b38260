"""The 'tuple' exchange format of date and time types: the integers of the wire, which have room for every value."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import wrong_length
from pgsansio.codecs.integer import encode_int4, encode_int8

__all__ = ["LAYOUTS", "TupleLayout"]


class TupleLayout:
    """Of which integers the tuple and the wire bytes of one type are made."""

    __slots__ = ("_encoders", "_name", "_reversed", "_struct")

    def __init__(self, name: str, sizes: str, *, reverse: bool = False) -> None:
        """
        Args:
            sizes: of the integers on the wire, as the struct module has them: i and q for 32 and 64 bits.
            reverse: they stand in the tuple the other way round.
        """
        self._name = name
        self._struct = struct.Struct(f">{sizes}")
        encoders: list[Callable[[Any], bytes]] = [encode_int4 if size == "i" else encode_int8 for size in sizes]
        self._encoders = encoders
        self._reversed = reverse

    def unpack(self, data: bytes) -> tuple[int, ...]:
        """Raises ValueError: another number of bytes."""
        try:
            values = self._struct.unpack(data)
        except struct.error:
            raise wrong_length(self._name, data, self._struct.size) from None
        return values[::-1] if self._reversed else values

    def pack(self, values: Sequence[Any]) -> bytes:
        """Raises TypeError: an item is no integer. ValueError: another number of them. OverflowError: out of range."""
        count = len(self._encoders)
        if len(values) != count:
            raise ValueError(
                f"{self._name} tuple encoder: expecting {count} element{'' if count == 1 else 's'} in tuple, "
                f"got {len(values)}"
            )
        ordered = values[::-1] if self._reversed else values
        return b"".join([encode(value) for encode, value in zip(self._encoders, ordered, strict=True)])


#: By oid.
LAYOUTS: Final[Mapping[int, TupleLayout]] = {
    BY_NAME[name].oid: TupleLayout(name, sizes, reverse=name == "interval")
    for name, sizes in (
        ("date", "i"),
        ("time", "q"),
        ("timetz", "qi"),
        ("timestamp", "q"),
        ("timestamptz", "q"),
        ("interval", "qii"),
    )
}
