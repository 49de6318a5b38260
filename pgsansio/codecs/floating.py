"""real and double precision: IEEE 754, big-endian (the server's float4send, float8send and the same with recv)."""

import struct
from decimal import Decimal
from typing import Any, Final, SupportsFloat, cast

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name, wrong_length
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE", "decode_float4", "decode_float8", "encode_float4", "encode_float8"]

#: Section of the manual.
SOURCE: Final = "Floating-Point Types"

_unpack_float4 = struct.Struct(">f").unpack
_unpack_float8 = struct.Struct(">d").unpack
_pack_float4 = struct.Struct(">f").pack
_pack_float8 = struct.Struct(">d").pack


def decode_float4(data: bytes) -> float:
    try:
        value: float = _unpack_float4(data)[0]
    except struct.error:
        raise wrong_length("float4", data, 4) from None
    return value


def encode_float4(value: Any) -> bytes:
    """As `encode_float8`; ValueError: finite, but not as a float4."""
    try:
        return _pack_float4(value)
    except struct.error:
        return _pack_float4(_real_number(value))
    except OverflowError:
        raise ValueError("value out of float32 range") from None


def decode_float8(data: bytes) -> float:
    try:
        value: float = _unpack_float8(data)[0]
    except struct.error:
        raise wrong_length("float8", data, 8) from None
    return value


def encode_float8(value: Any) -> bytes:
    """Whatever has `__float__` or `__index__`, which str has not.

    Raises:
        TypeError: neither method. OverflowError: an int beyond any float.
    """
    try:
        return _pack_float8(value)
    except struct.error:
        return _pack_float8(_real_number(value))


def _real_number(value: object) -> float:
    """The reason why struct made no float of it, which struct does not tell."""
    if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        raise TypeError(f"must be real number, not {type_name(value)}")
    return float(cast(SupportsFloat, value))


def decode_float4_text(data: bytes) -> float:
    """The float4 nearest to the text, as the server reads it.

    Rounding to a double first is right unless that double lies in the middle between two float4: then the text itself
    decides (7.038531e-26 is such a value).
    """
    value = float(data)
    try:
        nearest = decode_float4(_pack_float4(value))
        other = 2 * value - nearest
        if nearest == value or decode_float4(_pack_float4(other)) != other:
            return nearest
    except OverflowError:
        raise ValueError(f"float4 text {data[:40]!r} is out of range") from None
    exact, middle = Decimal(data.decode()), Decimal(value)
    if exact == middle:
        return nearest
    return max(nearest, other) if exact > middle else min(nearest, other)


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair(
        "float4",
        Opcode.FLOAT4,
        decode_float4,
        encode_float4,
        decode_float4_text,
        text_encoder(encode_float4, decode_float4, repr),
    ),
    codec_pair(
        "float8",
        Opcode.FLOAT8,
        decode_float8,
        encode_float8,
        float,
        text_encoder(encode_float8, decode_float8, repr),
    ),
)
