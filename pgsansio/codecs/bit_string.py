"""bit and bit varying (the server's bit_send, varbit_send and the same with recv).

    int32  number of bits
    bytes  as many as they need, the first bit the highest of the first byte; what the last byte has to spare is 0

As text, zeros and ones.
"""

import struct
from typing import Any, Final

from pgsansio.codecs.bytea import encode_bytea
from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder
from pgsansio.kernel.contract import Opcode
from pgsansio.types import BitString

__all__ = ["CODECS", "SOURCE", "decode_bit_string", "encode_bit_string"]

SOURCE: Final = "Bit String Types"

_unpack_count = struct.Struct(">i").unpack_from
_pack_count = struct.Struct(">i").pack


def decode_bit_string(data: bytes) -> BitString:
    """Bits that the last byte has to spare play no part."""
    try:
        count: int = _unpack_count(data)[0]
    except struct.error:
        raise ValueError(f"invalid bit string: {len(data)} bytes are less than its length") from None
    if len(data) != 4 + (count + 7) // 8:
        raise ValueError(f"invalid bit string: {count} bits in {len(data) - 4} bytes")
    return BitString.frombytes(data[4:], count)


def encode_bit_string(value: Any) -> bytes:
    """A BitString, or any buffer: all bits of its bytes.

    Raises:
        TypeError: neither. ValueError: too many bits for an int32.
    """
    if isinstance(value, BitString):
        data, count = value.bytes, len(value)
    else:
        data = encode_bytea(value)
        count = 8 * len(data)
    try:
        return _pack_count(count) + data
    except struct.error:
        raise ValueError("bit string too long") from None


def decode_bit_string_text(data: bytes) -> BitString:
    if data.strip(b"01"):
        raise ValueError(f"invalid bit string text {data[:40]!r}")
    return BitString.from_int(int(data or b"0", 2), len(data))


def _spell(value: BitString) -> str:
    return value.as_string().replace(" ", "")


_encode_text: Final = text_encoder(encode_bit_string, decode_bit_string, _spell)

CODECS: Final[tuple[CodecPair, ...]] = tuple(
    codec_pair(name, Opcode.CALL, decode_bit_string, encode_bit_string, decode_bit_string_text, _encode_text)
    for name in ("bit", "varbit")
)
