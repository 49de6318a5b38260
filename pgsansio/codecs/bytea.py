"""bytea: the bytes themselves (the server's byteasend and bytearecv).

As text in either of two formats, hex and escape (manual, "Binary Data Types").
"""

import re
from typing import Any, Final

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE", "decode_bytea", "decode_bytea_text", "encode_bytea", "encode_bytea_text"]

#: Section of the manual.
SOURCE: Final = "Binary Data Types"

#: What follows a backslash in the escape format; anything else is not its output.
_ESCAPE: Final = re.compile(rb"\\(\\|[0-3][0-7]{2}|)")


def decode_bytea(data: bytes) -> bytes:
    return data


def encode_bytea(value: Any) -> bytes:
    """Any buffer; its bytes in C order if it is not contiguous.

    Raises:
        TypeError: no buffer.
    """
    if type(value) is bytes:
        return value
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type_name(value)}'") from None
    return view.tobytes()


def decode_bytea_text(data: bytes) -> bytes:
    """Either of the two formats of bytea_output; escape never begins with backslash and x."""
    if data[:2] == b"\\x":
        return bytes.fromhex(data[2:].decode("ascii"))
    return _ESCAPE.sub(_unescape, data)


def _unescape(match: re.Match[bytes]) -> bytes:
    what = match[1]
    if not what:
        raise ValueError("invalid escape in a bytea text")
    return what if what == b"\\" else int(what, 8).to_bytes(1, "big")


def _spell(value: bytes) -> str:
    return "\\x" + value.hex()


encode_bytea_text = text_encoder(encode_bytea, decode_bytea, _spell)

CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair("bytea", Opcode.BYTEA, decode_bytea, encode_bytea, decode_bytea_text, encode_bytea_text),
)
