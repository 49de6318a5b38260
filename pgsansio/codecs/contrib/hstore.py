r"""hstore: dict of str to str, or to None for NULL.

Binary (the server's hstore_send and hstore_recv):

    int32  number of pairs
    for each pair:  int32 length of the key, the key;  int32 length of the value, or -1 for NULL, the value

Text (hstore_out): `"a"=>"1", "b\""=>NULL`; everything but NULL is quoted, with a backslash before `"` and `\`.
"""

import re
import struct
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Final

from pgsansio.codecs.codec import items_of, type_name
from pgsansio.codecs.contrib.extension_type import ExtensionType
from pgsansio.codecs.text import encode_text
from pgsansio.kernel.contract import NULL_LENGTH

__all__ = ["HSTORE", "SOURCE", "decode_hstore", "decode_hstore_text", "encode_hstore", "encode_hstore_text"]

SOURCE: Final = "hstore — hstore key/value datatype"

_unpack_length = struct.Struct(">i").unpack_from
_pack_length = struct.Struct(">i").pack
_NULL: Final = _pack_length(NULL_LENGTH)

# The quantifiers are possessive, so that a quote that is never closed is noticed in one go.
_QUOTED: Final = rb'"((?:[^"\\]++|\\.)*+)"'
_PAIR: Final = re.compile(_QUOTED + rb"=>(?:NULL|" + _QUOTED + rb")(?:, (?=.)|\Z)", re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)


def decode_hstore(data: bytes) -> dict[str, str | None]:
    """In the server's order of keys: by length, then by bytes. NULL is None.

    Raises:
        ValueError: the counts and lengths contradict the size, a key is NULL or comes twice, or what should be text
            is none (UnicodeDecodeError).
    """
    size = len(data)
    pairs: dict[str, str | None] = {}
    try:
        (count,) = _unpack_length(data)
        # Every pair takes two lengths: what more pairs would need is not even tried.
        if not 0 <= count <= (size - 4) // 8:
            raise ValueError(f"hstore of {count} pairs in {size} bytes")
        position = 4
        # A text that runs beyond the end is noticed by the next length, or behind the loop.
        for _ in range(count):
            (length,) = _unpack_length(data, position)
            if length < 0:
                null = length == NULL_LENGTH
                raise ValueError(
                    "null value not allowed in hstore key" if null else f"invalid length {length} of a key"
                )
            start = position + 4
            position = start + length
            key = data[start:position].decode()
            (length,) = _unpack_length(data, position)
            start = position + 4
            if length >= 0:
                position = start + length
                pairs[key] = data[start:position].decode()
            elif length == NULL_LENGTH:
                position = start
                pairs[key] = None
            else:
                raise ValueError(f"invalid length {length} of a value")
    except struct.error:
        raise ValueError("hstore value ends before its last pair") from None
    if position != size:
        raise ValueError(f"the last pair of an hstore ends at byte {position} of {size}")
    if len(pairs) != count:
        raise ValueError("hstore has a key twice")
    return pairs


def encode_hstore(value: Any) -> bytes:
    """Whatever has `items`, or a sized iterable of pairs. Which of equal keys the server keeps is its own choice.

    Raises:
        TypeError: neither of the two, or str or bytes; or a key is not str, a value neither str nor None.
        ValueError: a key is None, a text has U+0000 or a surrogate in it, or an item is not two things.
    """
    pairs = _pairs(value)
    pieces = [_pack_length(len(pairs))]
    for key, text in pairs:
        # `encode_text`, without the call, for ordinary ones: there are many in a value.
        name = key.encode() if type(key) is str and "\0" not in key else _encode_key(key)
        if text is None:
            pieces += (_pack_length(len(name)), name, _NULL)
        else:
            data = text.encode() if type(text) is str and "\0" not in text else encode_text(text)
            pieces += (_pack_length(len(name)), name, _pack_length(len(data)), data)
    return b"".join(pieces)


def _pairs(value: Any) -> Collection[tuple[Any, Any]]:
    """Keys and values, whatever they are."""
    if value.__class__ is dict:
        items: Collection[tuple[Any, Any]] = value.items()
        return items
    if issubclass(type(value), str | bytes | bytearray | memoryview):
        raise TypeError(f"a mapping or a container of pairs is expected (got type {type_name(value)})")
    if hasattr(value, "items"):
        return [_two(item) for item in value.items()]
    # An iterator can be read once only, and an argument may have to be encoded again.
    return [_two(item) for item in items_of(value)]


def _two(item: Iterable[Any]) -> tuple[Any, Any]:
    pair = tuple(islice(item, 3))
    if len(pair) < 2:
        raise ValueError(f"need more than {len(pair)} value{'' if len(pair) == 1 else 's'} to unpack")
    if len(pair) > 2:
        raise ValueError("too many values to unpack (expected 2)")
    return pair[0], pair[1]


def _encode_key(key: Any) -> bytes:
    if key is None:
        raise ValueError("null value not allowed in hstore key")
    return encode_text(key)


def decode_hstore_text(data: bytes) -> dict[str, str | None]:
    """As `decode_hstore`.

    Raises:
        ValueError: not as hstore_out prints it, a key comes twice, or (UnicodeDecodeError) no text.
    """
    pairs: dict[str, str | None] = {}
    position = count = 0
    while position < len(data):
        match = _PAIR.match(data, position)
        if match is None:
            raise ValueError(f"malformed hstore text at byte {position}: {data[position : position + 20]!r}")
        key, text = match.groups()
        pairs[_unescape(key)] = None if text is None else _unescape(text)
        count += 1
        position = match.end()
    if len(pairs) != count:
        raise ValueError("hstore has a key twice")
    return pairs


def _unescape(text: bytes) -> str:
    return (_ESCAPED.sub(rb"\1", text) if b"\\" in text else text).decode()


def encode_hstore_text(value: Any) -> bytes:
    """Accepts and raises as `encode_hstore`."""
    return b", ".join(
        [
            _quoted(_encode_key(key)) + b"=>" + (b"NULL" if text is None else _quoted(encode_text(text)))
            for key, text in _pairs(value)
        ]
    )


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


HSTORE: Final = ExtensionType(
    "hstore", "hstore", decode_hstore, encode_hstore, decode_hstore_text, encode_hstore_text, atomic=False
)
