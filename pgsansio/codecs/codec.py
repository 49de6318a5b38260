"""What the modules of this package build their ValueCodecs with."""

from collections.abc import Callable, Collection
from itertools import islice
from typing import Any, Final, TypeVar

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, OutdatedTypeError, UnknownTypeError, ValueCodec

__all__ = [
    "CodecPair",
    "MAX_ITEMS",
    "OutdatedTypeError",
    "UnknownTypeError",
    "codec_pair",
    "items_of",
    "text_encoder",
    "type_name",
    "wrong_length",
]

T = TypeVar("T")

#: The server's arrays have at most as many elements (MaxArraySize); a message has no room for many more of anything.
MAX_ITEMS: Final = 2**27 - 1

#: The codecs of one type: for the binary format, for the text format.
CodecPair = tuple[ValueCodec, ValueCodec]


def codec_pair(
    name: str,
    opcode: Opcode,
    decode: Callable[[bytes], Any],
    encode: Callable[[Any], bytes],
    decode_text: Callable[[bytes], Any],
    encode_text: Callable[[Any], bytes],
    text_opcode: Opcode = Opcode.CALL,
    *,
    atomic: bool = True,
) -> CodecPair:
    """The codecs of a built-in type.

    Args:
        name: its typname in the catalogue.
        opcode, decode, encode: for its binary format.
        decode_text, encode_text, text_opcode: for its text format; an opcode here says that the bytes are the same.
        atomic: as in `ValueCodec`.
    """
    entry = BY_NAME[name]
    return (
        ValueCodec(entry.oid, entry.sql_name, opcode, Format.BINARY, decode, encode, atomic=atomic),
        ValueCodec(entry.oid, entry.sql_name, text_opcode, Format.TEXT, decode_text, encode_text, atomic=atomic),
    )


def text_encoder(
    encode: Callable[[Any], bytes], decode: Callable[[bytes], T], spell: Callable[[T], str]
) -> Callable[[Any], bytes]:
    """The encoder of a type's text format.

    The value goes through the binary form first: so both formats accept the same values and refuse the others with the
    same reasons, and `spell` sees only what `decode` returns.
    """

    def encode_as_text(value: Any) -> bytes:
        return spell(decode(encode(value))).encode()

    return encode_as_text


def items_of(value: Collection[T]) -> list[T]:
    """The items of a container of anybody's making.

    An iteration is followed only as far as the length says: one by index may have no end, where `__getitem__` was made
    for fewer.

    Raises:
        ValueError: there are more, or more than MAX_ITEMS.
    """
    if type(value) in (list, tuple):
        return list(value)
    size = len(value)
    if size > MAX_ITEMS:
        raise ValueError(f"{size} items are more than the maximum of {MAX_ITEMS}")
    items = list(islice(value, size + 1))
    if len(items) > size:
        raise ValueError(f"this {type_name(value)} has more items than its length says, which is {size}")
    return items


def type_name(value: object) -> str:
    """The name of a refused value's type, for the reason."""
    return type(value).__name__


def wrong_length(name: str, data: bytes, expected: int) -> ValueError:
    """The error for a value of a fixed-size type that has another size."""
    return ValueError(f"invalid {name} value: {len(data)} bytes instead of {expected}")
