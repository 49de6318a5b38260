"""smallint, integer, bigint, and the unsigned oid, xid, cid (32 bits) and xid8 (64): big-endian integers of their size.

The server's functions: int2send, int4send, int8send, oidsend, xidsend, cidsend, xid8send, and the same with recv.
"""

import operator
import struct
from collections.abc import Callable
from decimal import Decimal
from numbers import Number
from typing import Any, Final, SupportsIndex, SupportsInt, cast

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name, wrong_length
from pgsansio.kernel.contract import Opcode

__all__ = [
    "CODECS",
    "SOURCE",
    "decode_int2",
    "decode_int4",
    "decode_int8",
    "decode_uint4",
    "decode_uint8",
    "encode_int2",
    "encode_int4",
    "encode_int8",
    "encode_uint4",
    "encode_uint8",
    "whole_number",
]

#: Section of the manual.
SOURCE: Final = "Integer Types"

_unpack_int2 = struct.Struct(">h").unpack
_unpack_int4 = struct.Struct(">i").unpack
_unpack_int8 = struct.Struct(">q").unpack
_unpack_uint4 = struct.Struct(">I").unpack
_unpack_uint8 = struct.Struct(">Q").unpack
_pack_int2 = struct.Struct(">h").pack
_pack_int4 = struct.Struct(">i").pack
_pack_int8 = struct.Struct(">q").pack
_pack_uint4 = struct.Struct(">I").pack
_pack_uint8 = struct.Struct(">Q").pack

#: More than any of these types has.
_MAX_DIGITS: Final = 20


def decode_int2(data: bytes) -> int:
    try:
        value: int = _unpack_int2(data)[0]
    except struct.error:
        raise wrong_length("int2", data, 2) from None
    return value


def encode_int2(value: Any) -> bytes:
    """An integer, -32768 to 32767; fractions are refused. Raises as `whole_number`; OverflowError."""
    try:
        return _pack_int2(value)
    except struct.error:
        return _pack_other(value, _pack_int2, "int16")


def decode_int4(data: bytes) -> int:
    try:
        value: int = _unpack_int4(data)[0]
    except struct.error:
        raise wrong_length("int4", data, 4) from None
    return value


def encode_int4(value: Any) -> bytes:
    """An integer, -2**31 to 2**31 - 1; fractions are refused. Raises as `whole_number`; OverflowError."""
    try:
        return _pack_int4(value)
    except struct.error:
        return _pack_other(value, _pack_int4, "int32")


def decode_int8(data: bytes) -> int:
    try:
        value: int = _unpack_int8(data)[0]
    except struct.error:
        raise wrong_length("int8", data, 8) from None
    return value


def encode_int8(value: Any) -> bytes:
    """An integer, -2**63 to 2**63 - 1; fractions are refused. Raises as `whole_number`; OverflowError."""
    try:
        return _pack_int8(value)
    except struct.error:
        return _pack_other(value, _pack_int8, "int64")


def decode_uint4(data: bytes) -> int:
    try:
        value: int = _unpack_uint4(data)[0]
    except struct.error:
        raise wrong_length("uint4", data, 4) from None
    return value


def encode_uint4(value: Any) -> bytes:
    """An integer, 0 to 2**32 - 1; fractions are refused. Raises as `whole_number`; OverflowError."""
    try:
        return _pack_uint4(value)
    except struct.error:
        return _pack_other(value, _pack_uint4, "uint32")


def decode_uint8(data: bytes) -> int:
    try:
        value: int = _unpack_uint8(data)[0]
    except struct.error:
        raise wrong_length("uint8", data, 8) from None
    return value


def encode_uint8(value: Any) -> bytes:
    """An integer, 0 to 2**64 - 1; fractions are refused. Raises as `whole_number`; OverflowError."""
    try:
        return _pack_uint8(value)
    except struct.error:
        return _pack_other(value, _pack_uint8, "uint64")


def _pack_other(value: object, pack: Callable[[int], bytes], name: str) -> bytes:
    """Pack what struct refused: either no `__index__`, or out of range."""
    number = whole_number(value)
    try:
        return pack(number)
    except struct.error:
        raise OverflowError(f"value out of {name} range") from None


def whole_number(value: object) -> int:
    """The integer a value stands for, by `__index__` or else by `__int__`.

    asyncpg takes everything with `__int__` and so makes 1 of 1.7; here a number that would lose something is refused.

    Raises:
        TypeError: neither method. ValueError: a fraction, or NaN. OverflowError: an infinity.
    """
    if hasattr(value, "__index__"):
        return operator.index(cast(SupportsIndex, value))
    if not hasattr(value, "__int__"):
        raise TypeError(f"'{type_name(value)}' object cannot be interpreted as an integer")
    if isinstance(value, Decimal) and Decimal.is_finite(value) and Decimal.adjusted(value) > _MAX_DIGITS:
        # Ten characters may say 1E+999999999, and the integer would take minutes and 400 MB.
        raise OverflowError(f"value of {Decimal.adjusted(value) + 1} digits is out of range")
    number = int(cast(SupportsInt, value))
    # Only of numbers: what compares by identity would never be equal to its integer.
    if isinstance(value, Number) and cast(object, value) != number:
        raise ValueError(f"an integer is required, and this {type_name(value)} has a fractional part")
    return number


def _pair(name: str, opcode: Opcode, decode: Callable[[bytes], int], encode: Callable[[Any], bytes]) -> CodecPair:
    # All of these types print as plain decimal digits; int() refuses absurd lengths itself.
    return codec_pair(name, opcode, decode, encode, int, text_encoder(encode, decode, str))


CODECS: Final[tuple[CodecPair, ...]] = (
    _pair("int2", Opcode.INT2, decode_int2, encode_int2),
    _pair("int4", Opcode.INT4, decode_int4, encode_int4),
    _pair("int8", Opcode.INT8, decode_int8, encode_int8),
    _pair("oid", Opcode.UINT4, decode_uint4, encode_uint4),
    _pair("xid", Opcode.UINT4, decode_uint4, encode_uint4),
    _pair("cid", Opcode.UINT4, decode_uint4, encode_uint4),
    _pair("xid8", Opcode.UINT8, decode_uint8, encode_uint8),
)
