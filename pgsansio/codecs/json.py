"""json, jsonb and jsonpath, as text: parsing is the user's choice.

json is its text (the server's json_send and json_recv); jsonb and jsonpath are a version byte, 1, and then their text
(jsonb_send, jsonpath_send, and the same with recv).
"""

from typing import Any, Final

from pgsansio.codecs.codec import CodecPair, codec_pair
from pgsansio.codecs.text import decode_text, encode_text
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE", "decode_jsonb", "decode_jsonpath", "encode_jsonb"]

#: Section of the manual.
SOURCE: Final = "JSON Types"


def decode_jsonb(data: bytes) -> str:
    return _decode_versioned("jsonb", data)


def decode_jsonpath(data: bytes) -> str:
    """As the server prints it: every key in double quotes."""
    return _decode_versioned("jsonpath", data)


def _decode_versioned(name: str, data: bytes) -> str:
    if data[:1] != b"\x01":
        raise ValueError(f"invalid {name} value: version {data[:1]!r} instead of 1")
    return data[1:].decode()


def encode_jsonb(value: Any) -> bytes:
    """Text, not parsed; of jsonpath, too. Raises as `encode_text`."""
    return b"\x01" + encode_text(value)


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair("json", Opcode.TEXT, decode_text, encode_text, decode_text, encode_text, Opcode.TEXT),
    codec_pair("jsonb", Opcode.JSONB, decode_jsonb, encode_jsonb, decode_text, encode_text, Opcode.TEXT),
    codec_pair("jsonpath", Opcode.JSONB, decode_jsonpath, encode_jsonb, decode_text, encode_text, Opcode.TEXT),
)
