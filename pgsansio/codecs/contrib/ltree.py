"""ltree and its queries, lquery and ltxtquery, as str.

Binary, since ltree 1.2 of PostgreSQL 13 (the server's ltree_send, lquery_send, ltxtq_send, and the same with recv):

    byte  version, 1
    the text
"""

from typing import Any, Final

from pgsansio.codecs.contrib.extension_type import ExtensionType
from pgsansio.codecs.text import decode_text, encode_text
from pgsansio.kernel.contract import Opcode

__all__ = ["LQUERY", "LTREE", "LTXTQUERY", "SOURCE", "TYPES", "decode_ltree", "encode_ltree"]

SOURCE: Final = "ltree — hierarchical tree-like data type"


def decode_ltree(data: bytes) -> str:
    """Raises ValueError: another version, or (UnicodeDecodeError) no text."""
    if data[:1] != b"\x01":
        raise ValueError(f"invalid version {data[:1]!r} instead of 1")
    return data[1:].decode()


def encode_ltree(value: Any) -> bytes:
    """Raises as `encode_text`; what the labels may be made of is the server's to say, since it differs by version."""
    return b"\x01" + encode_text(value)


def _type(name: str) -> ExtensionType:
    return ExtensionType(name, "ltree", decode_ltree, encode_ltree, decode_text, encode_text, Opcode.JSONB, Opcode.TEXT)


LTREE: Final = _type("ltree")
LQUERY: Final = _type("lquery")
LTXTQUERY: Final = _type("ltxtquery")
TYPES: Final[tuple[ExtensionType, ...]] = (LTREE, LQUERY, LTXTQUERY)
