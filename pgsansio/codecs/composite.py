"""Composite types: a Record; dropped attributes do not travel.

Binary (the server's record_send and record_recv; each attribute's own binary form inside):

    int32  number of attributes
    for each:  int32 its type's oid; int32 length, or -1 for NULL; its bytes

Text (manual, "Composite Types", Composite Type Input and Output Syntax): `(1,,"a b")`, the second of which is NULL.
"""

import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from pgsansio.codecs.codec import OutdatedTypeError, items_of, type_name
from pgsansio.codecs.literal import malformed, quoted, read_item
from pgsansio.enums import Format
from pgsansio.kernel import Record, row_plan
from pgsansio.kernel.contract import NULL_LENGTH, Opcode, ValueCodec

__all__ = [
    "SOURCE",
    "composite_codec",
    "cut_short",
    "invalid_length",
    "is_sequence",
    "read_count",
    "read_items",
    "surplus",
    "unpack_field",
    "write_items",
]

SOURCE: Final = "Composite Types"


def composite_codec(
    oid: int,
    name: str,
    names: tuple[str, ...],
    members: tuple[ValueCodec, ...],
    wire_format: Format = Format.BINARY,
) -> ValueCodec:
    """A codec for a composite type, in the format of its members.

    Args:
        names, members: of the attributes that are not dropped, in order.
        wire_format: of a type without attributes; of others the members say it.
    Raises:
        ValueError: there are not as many names as members, or the members are of both formats.
    """
    if len({member.format for member in members}) > 1:
        raise ValueError(f"the members of composite type {name} are of both formats")
    make: Callable[[list[Any]], Record] = row_plan(names, members, Record).record
    if members:
        wire_format = members[0].format
    if wire_format is Format.BINARY:
        decode, encode = _binary_decoder(oid, name, names, members, make), _binary_encoder(oid, name, names, members)
        opcode = Opcode.COMPOSITE
    else:
        decode, encode = _text_decoder(oid, name, names, members, make), _text_encoder(oid, name, names, members)
        opcode = Opcode.CALL
    return ValueCodec(oid, name, opcode, wire_format, decode, encode, atomic=False, members=members, names=names)


# Binary


def _binary_decoder(
    oid: int, name: str, names: tuple[str, ...], members: tuple[ValueCodec, ...], make: Callable[[list[Any]], Record]
) -> Callable[[bytes], Record]:
    attributes = [(member.oid, member.decode) for member in members]
    header = _pack_count(len(members))

    def decode_composite(data: bytes) -> Record:
        """Attributes in order, and by name.

        Raises:
            OutdatedTypeError: other attributes than those that are known. ValueError: for contradictions. And what the
                attributes' decoders raise.
        """
        if data[:4] != header:
            raise _outdated(oid, name, f"{read_count(data)} attributes instead of {len(attributes)}")
        end = len(data)
        at = 4
        values: list[Any] = []
        for member_oid, decode in attributes:
            try:
                found, length = unpack_field(data, at)
            except struct.error:
                raise cut_short() from None
            if found != member_oid:
                expected = f"{member_oid} for attribute {names[len(values)]!r}"
                raise _outdated(oid, name, f"type {found} instead of {expected}")
            start = at + 8
            if length < 0:
                if length != NULL_LENGTH:
                    raise invalid_length(length)
                at = start
                values.append(None)
                continue
            at = start + length
            if at > end:
                raise cut_short()
            try:
                values.append(decode(data[start:at]))
            except Exception as error:
                _note(error, name, names[len(values)])
                raise
        if at != end:
            raise surplus(end - at)
        return make(values)

    return decode_composite


# The binary form of anonymous records is the same; `data` may be a view of one.

unpack_field: Final = struct.Struct(">Ii").unpack_from
_pack_field = struct.Struct(">Ii").pack
_unpack_count = struct.Struct(">i").unpack_from
_pack_count = struct.Struct(">i").pack


def read_count(data: bytes | memoryview) -> int:
    """How many members are said to follow; no more than there is room for."""
    if len(data) < 4:
        raise ValueError(f"invalid composite value: {len(data)} bytes are less than its header")
    (count,) = _unpack_count(data)
    if not 0 <= count <= (len(data) - 4) // 8:
        raise ValueError(f"composite value of {count} members in {len(data)} bytes")
    return int(count)


def cut_short() -> ValueError:
    return ValueError("composite value ends before its last member")


def invalid_length(length: int) -> ValueError:
    return ValueError(f"invalid length {length} of a member of a composite value")


def surplus(size: int) -> ValueError:
    return ValueError(f"{size} bytes after the last member of a composite value")


def _outdated(oid: int, name: str, found: str) -> OutdatedTypeError:
    return OutdatedTypeError(f"value of composite type {name} has {found}", oid=oid)


def _note(error: Exception, name: str, attribute: str) -> None:
    """Say in which attribute its codec raised `error`."""
    error.add_note(f"in attribute {attribute!r} of composite type {name}")


def _binary_encoder(
    oid: int, name: str, names: tuple[str, ...], members: tuple[ValueCodec, ...]
) -> Callable[[Any], bytes]:
    count = _pack_count(len(members))
    nulls = [_pack_field(member.oid, NULL_LENGTH) for member in members]

    def encode_composite(value: Any) -> bytes:
        """Raises as `_attributes` and the attributes' encoders; OverflowError: an attribute is too long."""
        pieces = [count]
        for index, item in enumerate(_attributes(value, oid, name, names)):
            if item is None:
                pieces.append(nulls[index])
                continue
            member = members[index]
            try:
                encoded = member.encode(item)
            except Exception as error:
                _note(error, name, names[index])
                raise
            try:
                pieces.append(_pack_field(member.oid, len(encoded)))
            except struct.error:
                raise OverflowError(f"{len(encoded)} bytes for attribute {names[index]!r} are too many") from None
            pieces.append(encoded)
        return b"".join(pieces)

    return encode_composite


def _attributes(value: object, oid: int, name: str, names: tuple[str, ...]) -> Sequence[Any]:
    """The attributes' values, in order; the names in a Record do not count, as in asyncpg.

    Args:
        value: a tuple, a list, a Record, another sequence, or a mapping in which what is missing is NULL.
    Raises:
        TypeError: something else; str and bytes, too. OutdatedTypeError: more or fewer values than attributes, or a key
            that is no attribute: the type may have others by now.
    """
    if type(value) is tuple or type(value) is list:
        # What is usual: the checks below take longer than the rest.
        values = cast("Sequence[object]", value)
    elif isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        for key in mapping:
            if key not in names:
                raise OutdatedTypeError(f"{key!r} is not a valid element of composite type {name}", oid=oid)
        return [mapping.get(attribute) for attribute in names]
    elif is_sequence(value):
        values = items_of(cast("Sequence[object]", value))
    else:
        raise TypeError(f"a list, tuple, Record or mapping expected (got type {type_name(value)!r})")
    if len(values) != len(names):
        raise OutdatedTypeError(f"wrong number of columns: {len(values)}, expected {len(names)}", oid=oid)
    return values


def is_sequence(value: object) -> bool:
    """Has it an order, as far as one can see? str and bytes count as scalars; a mapping passes."""
    kind = type(value)
    return (
        hasattr(kind, "__getitem__")
        and hasattr(kind, "__len__")
        and not issubclass(kind, str | bytes | bytearray | memoryview)
    )


# Text

#: What ends an item, and what record_out quotes.
_STOP: Final = re.compile(rb'["\\,()]')
_SPECIAL: Final = re.compile(rb'["\\,()\s]')


def read_items(data: bytes) -> list[bytes | None]:
    """The texts of the members, None for NULL; of `()`, which has none or one that is NULL, the latter.

    Raises:
        ValueError: record_out does not print that.
    """
    items: list[bytes | None] = []
    mark = data[:1]
    if mark != b"(":
        raise malformed(data, 0, "composite")
    at = 0
    while mark != b")":
        item, at = read_item(data, at + 1, _STOP, "composite")
        items.append(item)
        mark = data[at : at + 1]
        if mark not in (b",", b")"):
            raise malformed(data, at, "composite")
    if at + 1 != len(data):
        raise malformed(data, at + 1, "composite")
    return items


def write_items(items: Iterable[bytes | None]) -> bytes:
    """The literal whose members have these texts, None for NULL."""
    return b"(%b)" % b",".join([b"" if item is None else quoted(item, _SPECIAL) for item in items])


def _text_decoder(
    oid: int, name: str, names: tuple[str, ...], members: tuple[ValueCodec, ...], make: Callable[[list[Any]], Record]
) -> Callable[[bytes], Record]:
    def decode_composite(data: bytes) -> Record:
        """Raises as the binary decoder."""
        items = read_items(data)
        if not members and items == [None]:
            return make([])
        if len(items) != len(members):
            raise _outdated(oid, name, f"{len(items)} attributes instead of {len(members)}")
        values: list[Any] = []
        for member, item in zip(members, items, strict=True):
            try:
                values.append(None if item is None else member.decode(item))
            except Exception as error:
                _note(error, name, names[len(values)])
                raise
        return make(values)

    return decode_composite


def _text_encoder(
    oid: int, name: str, names: tuple[str, ...], members: tuple[ValueCodec, ...]
) -> Callable[[Any], bytes]:
    def encode_composite(value: Any) -> bytes:
        """Raises as the binary encoder."""
        items: list[bytes | None] = []
        for index, item in enumerate(_attributes(value, oid, name, names)):
            try:
                items.append(None if item is None else members[index].encode(item))
            except Exception as error:
                _note(error, name, names[index])
                raise
        return write_items(items)

    return encode_composite
