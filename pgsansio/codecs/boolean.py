"""boolean: one byte, 0 or 1 (the server's boolsend and boolrecv; any other byte is true for boolrecv)."""

from typing import Final

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name, wrong_length
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE", "decode_bool", "encode_bool"]

#: Section of the manual.
SOURCE: Final = "Boolean Type"


def decode_bool(data: bytes) -> bool:
    if len(data) != 1:
        raise wrong_length("bool", data, 1)
    return data != b"\x00"


def encode_bool(value: object) -> bytes:
    """Only `True` and `False`: 1 and 0 are refused, as by asyncpg."""
    if value is True:
        return b"\x01"
    if value is False:
        return b"\x00"
    raise TypeError(f"a boolean is required (got type {type_name(value)})")


def decode_bool_text(data: bytes) -> bool:
    if data == b"t":
        return True
    if data == b"f":
        return False
    raise ValueError(f"invalid bool text {data[:40]!r}")


def _spell(value: bool) -> str:
    return "t" if value else "f"


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair(
        "bool",
        Opcode.BOOL,
        decode_bool,
        encode_bool,
        decode_bool_text,
        text_encoder(encode_bool, decode_bool, _spell),
    ),
)
