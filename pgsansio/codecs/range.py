"""Ranges of every subtype, and multiranges: Range, and a list of them.

Binary (the server's range_send and range_recv; the subtype's own binary form inside):

    int8   flags: 1 empty, 2 lower bound inclusive, 4 upper bound inclusive, 8 no lower bound, 16 no upper bound
    for each bound that there is:  int32 length, its bytes

of a multirange (multirange_send, multirange_recv) an int32 number of ranges, and for each int32 length and its bytes.

Text (manual, "Range Types", Range Input/Output): `empty`, `[1,5)`, `["a,b",)`; of a multirange `{[1,5),[7,)}`.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeGuard, cast

from pgsansio.codecs.codec import items_of, type_name
from pgsansio.codecs.composite import is_sequence
from pgsansio.codecs.literal import malformed, quoted, read_item
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types.range import Range

__all__ = ["SOURCE", "is_range", "multirange_codec", "range_codec"]

SOURCE: Final = "Range Types"

# The flags that travel (the server's utils/rangetypes.h).
_EMPTY: Final = 0x01
_LOWER_INCLUSIVE: Final = 0x02
_UPPER_INCLUSIVE: Final = 0x04
_LOWER_INFINITE: Final = 0x08
_UPPER_INFINITE: Final = 0x10

_unpack_int = struct.Struct(">i").unpack_from
_pack_int = struct.Struct(">i").pack

#: What ends a bound, and what range_out quotes.
_STOP: Final = re.compile(rb'["\\,()\[\]]')
_SPECIAL: Final = re.compile(rb'["\\,()\[\]\s]')


def range_codec(oid: int, name: str, subtype: ValueCodec) -> ValueCodec:
    """A codec for ranges of what `subtype` is for, in the format of `subtype`."""
    if subtype.format is Format.BINARY:
        opcode, decode, encode = Opcode.RANGE, _binary_decoder(subtype), _binary_encoder(subtype)
    else:
        opcode, decode, encode = Opcode.CALL, _text_decoder(subtype), _text_encoder(subtype)
    return ValueCodec(oid, name, opcode, subtype.format, decode, encode, subtype, atomic=subtype.atomic)


def multirange_codec(oid: int, name: str, range: ValueCodec) -> ValueCodec:
    """A codec for multiranges.

    Args:
        range: what `range_codec` made of the range type; the multirange is in its format.
    """
    if range.format is Format.BINARY:
        opcode, decode, encode = Opcode.MULTIRANGE, _binary_multirange_decoder(range), _binary_multirange_encoder(range)
    else:
        opcode, decode, encode = Opcode.CALL, _text_multirange_decoder(range), _text_multirange_encoder(range)
    return ValueCodec(oid, name, opcode, range.format, decode, encode, range, atomic=False)


# Binary


def _read_sized(data: bytes, at: int) -> tuple[int, int]:
    """Where the value begins and ends whose length is at `at`."""
    try:
        (length,) = _unpack_int(data, at)
    except struct.error:
        raise ValueError("range value ends before its last part") from None
    if not 0 <= length <= len(data) - at - 4:
        raise ValueError(f"invalid length {length} in a range value of {len(data)} bytes")
    return at + 4, at + 4 + length


def _sized(data: bytes) -> bytes:
    """Raises OverflowError: it is longer than an int32 can say."""
    try:
        return _pack_int(len(data)) + data
    except struct.error:
        raise OverflowError(f"{len(data)} bytes are too many for a part of a range") from None


def _binary_decoder(subtype: ValueCodec) -> Callable[[bytes], Range[Any]]:
    decode_bound = subtype.decode

    def decode_range(data: bytes) -> Range[Any]:
        """Of discrete types as the server normalises them: [1,5] is [1,6).

        Raises ValueError for contradictions, and what the subtype's decoder raises.
        """
        if not data:
            raise ValueError("invalid range value: 0 bytes")
        flags = data[0]
        if flags > 0x1F:
            raise ValueError(f"invalid range flags: {flags:#x}")
        lower = upper = None
        end = 1
        if not flags & (_EMPTY | _LOWER_INFINITE):
            start, end = _read_sized(data, end)
            lower = decode_bound(data[start:end])
        if not flags & (_EMPTY | _UPPER_INFINITE):
            start, end = _read_sized(data, end)
            upper = decode_bound(data[start:end])
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes after the last bound of a range")
        return Range(
            lower,
            upper,
            lower_inc=flags & _LOWER_INCLUSIVE != 0,
            upper_inc=flags & _UPPER_INCLUSIVE != 0,
            empty=flags & _EMPTY != 0,
        )

    return decode_range


def _as_range(value: object) -> Range[Any]:
    """What a range is made of.

    Args:
        value: a Range; or a list or tuple of nothing (empty), a lower bound, or both bounds, which are inclusive; None
            is no bound.
    Raises:
        TypeError: something else. ValueError: more than two bounds.
    """
    if is_range(value):
        return value
    if not isinstance(value, list | tuple):
        raise TypeError(f"list, tuple or Range object expected (got type {type(value)})")
    bounds = cast("Sequence[Any]", value)
    if len(bounds) > 2:
        raise ValueError(f"expected 0, 1 or 2 elements in range (got {len(bounds)})")
    return Range(*bounds, upper_inc=True, empty=not bounds)


def is_range(value: object) -> TypeGuard[Range[Any]]:
    """For type checkers, to whom `isinstance` leaves the type of the bounds unknown."""
    return isinstance(value, Range)


def _binary_encoder(subtype: ValueCodec) -> Callable[[Any], bytes]:
    encode_bound = subtype.encode

    def encode_range(value: Any) -> bytes:
        """Raises as `_as_range`, and what the subtype's encoder raises."""
        given = _as_range(value)
        if given.isempty:
            return b"\x01"
        flags = 0
        pieces: list[bytes] = []
        if given.lower is None:
            flags |= _LOWER_INFINITE
        else:
            flags |= _LOWER_INCLUSIVE * given.lower_inc
            pieces.append(_sized(encode_bound(given.lower)))
        if given.upper is None:
            flags |= _UPPER_INFINITE
        else:
            flags |= _UPPER_INCLUSIVE * given.upper_inc
            pieces.append(_sized(encode_bound(given.upper)))
        return bytes([flags]) + b"".join(pieces)

    return encode_range


def _binary_multirange_decoder(range: ValueCodec) -> Callable[[bytes], list[Range[Any]]]:
    decode_range = range.decode

    def decode_multirange(data: bytes) -> list[Range[Any]]:
        """In order and without overlaps, as the server normalises it. Raises as the range's decoder."""
        if len(data) < 4:
            raise ValueError(f"invalid multirange value: {len(data)} bytes are less than its header")
        (count,) = _unpack_int(data)
        # A range has one byte at least, and its length four.
        if not 0 <= count <= (len(data) - 4) // 5:
            raise ValueError(f"multirange of {count} ranges in {len(data)} bytes")
        ranges: list[Range[Any]] = []
        end = 4
        while len(ranges) < count:
            start, end = _read_sized(data, end)
            ranges.append(decode_range(data[start:end]))
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes after the last range of a multirange")
        return ranges

    return decode_multirange


def _as_ranges(value: object) -> Sequence[Any]:
    """Raises TypeError: no sequence; str and bytes are none, either."""
    if type(value) is not list and (not is_sequence(value) or issubclass(type(value), Mapping)):
        raise TypeError(f"expected a sequence (got type {type_name(value)!r})")
    return items_of(cast("Sequence[Any]", value))


def _binary_multirange_encoder(range: ValueCodec) -> Callable[[Any], bytes]:
    encode_range = range.encode

    def encode_multirange(value: Any) -> bytes:
        """Of a sequence of what the range's encoder takes, in any order. Raises as that; TypeError: no sequence."""
        pieces = [_sized(encode_range(item)) for item in _as_ranges(value)]
        return _pack_int(len(pieces)) + b"".join(pieces)

    return encode_multirange


# Text


def _read_range(data: bytes, at: int) -> tuple[bytes | None, bytes | None, int]:
    """The texts of the bounds, None where there is none, of the range that begins at `at`, and where it ends."""
    if data[at : at + 1] not in (b"[", b"("):
        raise malformed(data, at, "range")
    lower, comma = read_item(data, at + 1, _STOP, "range")
    if data[comma : comma + 1] != b",":
        raise malformed(data, comma, "range")
    upper, end = read_item(data, comma + 1, _STOP, "range")
    if data[end : end + 1] not in (b"]", b")"):
        raise malformed(data, end, "range")
    return lower, upper, end + 1


def _text_decoder(subtype: ValueCodec) -> Callable[[bytes], Range[Any]]:
    decode_bound = subtype.decode

    def decode_range(data: bytes) -> Range[Any]:
        """Raises ValueError for what range_out does not print, and what the subtype's decoder raises."""
        if data == b"empty":
            return Range(empty=True)
        lower, upper, end = _read_range(data, 0)
        if end != len(data):
            raise malformed(data, end, "range")
        return Range(
            None if lower is None else decode_bound(lower),
            None if upper is None else decode_bound(upper),
            lower_inc=data[0] == 0x5B,
            upper_inc=data[-1] == 0x5D,
        )

    return decode_range


def _text_encoder(subtype: ValueCodec) -> Callable[[Any], bytes]:
    encode_bound = subtype.encode

    def encode_range(value: Any) -> bytes:
        """Raises as the binary encoder."""
        given = _as_range(value)
        if given.isempty:
            return b"empty"
        lower = b"" if given.lower is None else quoted(encode_bound(given.lower), _SPECIAL)
        upper = b"" if given.upper is None else quoted(encode_bound(given.upper), _SPECIAL)
        return b"%b%b,%b%b" % (b"[" if given.lower_inc else b"(", lower, upper, b"]" if given.upper_inc else b")")

    return encode_range


def _text_multirange_decoder(range: ValueCodec) -> Callable[[bytes], list[Range[Any]]]:
    decode_range = range.decode

    def decode_multirange(data: bytes) -> list[Range[Any]]:
        """Raises as the range's decoder, and ValueError for what multirange_in does not read."""
        if data == b"{}":
            return []
        ranges: list[Range[Any]] = []
        mark, at = data[:1], 0
        if mark != b"{":
            raise malformed(data, 0, "multirange")
        while mark != b"}":
            start = at + 1
            if data.startswith(b"empty", start):
                at = start + 5
            else:
                _, _, at = _read_range(data, start)
            ranges.append(decode_range(data[start:at]))
            mark = data[at : at + 1]
            if mark not in (b",", b"}"):
                raise malformed(data, at, "multirange")
        if at + 1 != len(data):
            raise malformed(data, at + 1, "multirange")
        return ranges

    return decode_multirange


def _text_multirange_encoder(range: ValueCodec) -> Callable[[Any], bytes]:
    encode_range = range.encode

    def encode_multirange(value: Any) -> bytes:
        """Raises as the binary encoder."""
        return b"{%b}" % b",".join([encode_range(item) for item in _as_ranges(value)])

    return encode_multirange
