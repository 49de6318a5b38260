"""json and jsonb, as text: parsing is the user's choice.

json is its text (the server's json_send and json_recv); jsonb is a version byte, 1, and then its text (jsonb_send and
jsonb_recv).
"""

from typing import Any, Final

from pgsansio.codecs.codec import CodecPair, codec_pair
from pgsansio.codecs.text import decode_text, encode_text
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "decode_jsonb", "encode_jsonb"]


def decode_jsonb(data: bytes) -> str:
    if data[:1] != b"\x01":
        raise ValueError(f"invalid jsonb value: version {data[:1]!r} instead of 1")
    return data[1:].decode()


def encode_jsonb(value: Any) -> bytes:
    """Raises as `encode_text`."""
    return b"\x01" + encode_text(value)


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair("json", Opcode.TEXT, decode_text, encode_text, decode_text, encode_text, Opcode.TEXT),
    codec_pair("jsonb", Opcode.JSONB, decode_jsonb, encode_jsonb, decode_text, encode_text, Opcode.TEXT),
)
