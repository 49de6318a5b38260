"""text, varchar, char(n), name, "char", cstring, unknown, xml, refcursor, pg_node_tree, void.

Text travels in client_encoding, which is always UTF8 here, and looks the same in both formats (the server's textsend,
bpcharsend, namesend, cstring_send, unknownsend, xml_send, and the same with recv; a pg_node_tree is only sent, never
received). "char" is one byte of no encoding (charsend), void is empty (void_send).
"""

import re
from typing import Any, Final

from pgsansio.codecs.bytea import encode_bytea
from pgsansio.codecs.codec import CodecPair, codec_pair, type_name
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec

__all__ = ["CODECS", "SOURCE", "decode_char", "decode_text", "encode_char", "encode_text", "text_codec"]

#: Section of the manual.
SOURCE: Final = "Character Types"


_OCTAL: Final = re.compile(rb"\\[0-3][0-7]{2}")


def decode_text(data: bytes) -> str:
    """Raises UnicodeDecodeError, which is a ValueError."""
    return data.decode()


def encode_text(value: Any) -> bytes:
    """A str.

    Nothing else, lest 1 becomes '1' unseen.

    Raises:
        TypeError: no str. ValueError: it holds U+0000, which PostgreSQL's text cannot, or (UnicodeEncodeError) a
            surrogate. The server would refuse the former, too, but then the transaction is aborted.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected str, got {type_name(value)}")
    if "\0" in value:
        raise ValueError(f"text cannot hold the character U+0000, which is at index {value.index(chr(0))}")
    return value.encode()


def decode_char(data: bytes) -> bytes:
    if len(data) != 1:
        raise ValueError(f'invalid "char" value: {len(data)} bytes instead of 1')
    return data


def encode_char(value: Any) -> bytes:
    """Any buffer of one byte. Raises as `encode_bytea`; ValueError: another size."""
    data = encode_bytea(value)
    if len(data) != 1:
        raise ValueError(f"a single byte is required (got {len(data)} bytes)")
    return data


def decode_char_text(data: bytes) -> bytes:
    """As charout prints it: a zero byte as nothing, bytes from 0x80 on as backslash and octal digits (since 15)."""
    if _OCTAL.fullmatch(data):
        return int(data[1:], 8).to_bytes(1, "big")
    return data if len(data) == 1 else decode_char(data or b"\x00")


def encode_char_text(value: Any) -> bytes:
    data = encode_char(value)
    if data == b"\x00":
        return b""
    return b"\\%03o" % data[0] if data[0] & 0x80 else data


def decode_void(data: bytes) -> None:
    if data:
        raise ValueError(f"invalid void value: {len(data)} bytes instead of none")


def encode_void(value: object) -> bytes:
    """Anything at all, as asyncpg: void has no value to be wrong."""
    return b""


def text_codec(oid: int, name: str, wire_format: Format = Format.TEXT) -> ValueCodec:
    """A codec for a type of which nothing is known but that every type has a text form: str both ways.

    Args:
        wire_format: binary for a type whose binary form is its text.
    """
    return ValueCodec(oid, name, Opcode.TEXT, wire_format, decode_text, encode_text)


def _text_pair(name: str) -> CodecPair:
    return codec_pair(name, Opcode.TEXT, decode_text, encode_text, decode_text, encode_text, Opcode.TEXT)


CODECS: Final[tuple[CodecPair, ...]] = (
    *map(_text_pair, ("text", "varchar", "bpchar", "name", "cstring", "unknown", "xml", "refcursor", "pg_node_tree")),
    codec_pair("char", Opcode.CHAR, decode_char, encode_char, decode_char_text, encode_char_text),
    codec_pair("void", Opcode.CALL, decode_void, encode_void, decode_void, encode_void),
)
