"""The anonymous record, as ROW(...) makes it: a tuple, since its members have no names.

Binary as a composite type's (see `composite`), so every value says of what types its members are. The text form does
not: there each member is text. The server reads neither.
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn

from pgsansio.codecs.array import nest, read_elements, read_header
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import CodecPair, UnknownTypeError
from pgsansio.codecs.composite import cut_short, invalid_length, read_count, read_items, surplus, unpack_field
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.kernel.contract import NULL_LENGTH, Opcode, ValueCodec

__all__ = ["MAX_DEPTH", "SOURCE", "record_codecs"]

SOURCE: Final = "Composite Types"

#: How deep records, and arrays of them, may be within each other: far more than queries say, and far less than Python's
#: stack holds.
MAX_DEPTH: Final = 100

_RECORD: Final = BY_NAME["record"].oid
_RECORD_ARRAY: Final = BY_NAME["record"].array_oid


def record_codecs(lookup: Callable[[int], ValueCodec | None], fallback: bool = False) -> CodecPair:
    """The codecs of anonymous records.

    Args:
        lookup: the binary codec of a type by its oid; None: the type is unknown. Not asked for records and arrays of
            them.
        fallback: decode members of unknown types as text, or as bytes if they are none.
    """

    def decode_record(data: bytes) -> tuple[Any, ...]:
        """Members in order; records and arrays of records within it to a depth of 100.

        Raises:
            UnknownTypeError: members are of unknown types, of which it names all; unless they become text. ValueError:
                for contradictions. And what the members' decoders raise.
        """
        unknown: set[int] = set()
        value = read_record(memoryview(data), 1, unknown)
        if unknown:
            raise UnknownTypeError(f"record with members of unknown types: {sorted(unknown)}", oids=frozenset(unknown))
        return value

    # Views instead of copies, lest every level has its own copy of all that is in it.

    def read_record(data: memoryview, depth: int, unknown: set[int]) -> tuple[Any, ...]:
        if depth > MAX_DEPTH:
            raise ValueError(f"records are nested more than {MAX_DEPTH} levels deep")
        values: list[Any] = []
        at = 4
        for _ in range(read_count(data)):
            if at + 8 > len(data):
                raise cut_short()
            oid, length = unpack_field(data, at)
            at += 8
            if length < 0:
                if length != NULL_LENGTH:
                    raise invalid_length(length)
                values.append(None)
                continue
            start = at
            at += length
            if at > len(data):
                raise cut_short()
            values.append(read_member(oid, data[start:at], depth, unknown))
        if at != len(data):
            raise surplus(len(data) - at)
        return tuple(values)

    def read_member(oid: int, data: memoryview, depth: int, unknown: set[int]) -> Any:
        if oid == _RECORD:
            return read_record(data, depth + 1, unknown)
        if oid == _RECORD_ARRAY:
            if depth >= MAX_DEPTH:
                raise ValueError(f"records are nested more than {MAX_DEPTH} levels deep")
            sizes, count, at = read_header(data, _RECORD_ARRAY, _RECORD)
            return nest(read_elements(data, at, count, lambda item: read_record(item, depth + 2, unknown)), sizes)
        codec = lookup(oid)
        if codec is not None:
            return codec.decode(bytes(data))
        if fallback:
            return _text_or_bytes(bytes(data))
        unknown.add(oid)
        return None

    return (
        ValueCodec(_RECORD, "record", Opcode.CALL, Format.BINARY, decode_record, encode_record, atomic=False),
        ValueCodec(_RECORD, "record", Opcode.CALL, Format.TEXT, decode_record_text, encode_record),
    )


def decode_record_text(data: bytes) -> tuple[str | None, ...]:
    """Each member as text, whatever its type is; `()` is taken for a record of one NULL."""
    return tuple([None if item is None else item.decode() for item in read_items(data)])


def encode_record(value: object) -> NoReturn:
    """Raises UnsupportedClientFeatureError: the server does not read anonymous records."""
    raise UnsupportedClientFeatureError(
        "input of anonymous composite types is not supported",
        detail="PostgreSQL does not implement anonymous composite type input.",
        hint="Consider declaring an explicit composite type and using it to cast the argument.",
    )


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
