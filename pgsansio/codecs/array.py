r"""Arrays of every type: nested lists, None for NULL, lower bounds dropped.

Binary (the server's array_send and array_recv; the element's own binary form inside):

    int32  number of dimensions, 0 (an empty array) to 6
    int32  1 if there are NULLs, else 0
    int32  the element type's oid
    for each dimension:  int32 size, int32 lower bound
    for each element, the last dimension running fastest:  int32 length, or -1 for NULL; its bytes

Text (manual, "Arrays", Array Input and Output Syntax): `{1,NULL,"a \"b\""}`, in front of which `[0:2]=` gives the lower
bounds that are not 1. Read as array_out prints it, without the blanks that array_in would skip.
"""

import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from math import prod
from typing import Any, Final, TypeVar, cast

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import MAX_ITEMS, OutdatedTypeError, items_of, type_name
from pgsansio.enums import Format
from pgsansio.kernel import Record
from pgsansio.kernel.contract import NULL_LENGTH, Opcode, ValueCodec
from pgsansio.types.bit_string import BitString
from pgsansio.types.geometry import Path
from pgsansio.types.range import Range

__all__ = ["MAX_DIMENSIONS", "SOURCE", "array_codec", "nest", "read_elements", "read_header"]

AnyBytes = TypeVar("AnyBytes", bytes, memoryview)

SOURCE: Final = "Arrays"

#: Their values are lists of numbers.
_VECTORS: Final = frozenset({BY_NAME["int2vector"].oid, BY_NAME["oidvector"].oid})

#: The server's MAXDIM.
MAX_DIMENSIONS: Final = 6

_unpack_header = struct.Struct(">iiI").unpack_from
_pack_header = struct.Struct(">iiI").pack
_unpack_length = struct.Struct(">i").unpack_from
_pack_length = struct.Struct(">i").pack
_NULL: Final = _pack_length(NULL_LENGTH)

#: An element of fixed size and its length as one record: (opcode: record, length that must be in it).
_FIXED: Final[Mapping[Opcode, tuple[struct.Struct, int]]] = {
    Opcode.BOOL: (struct.Struct(">i?"), 1),
    Opcode.INT2: (struct.Struct(">ih"), 2),
    Opcode.INT4: (struct.Struct(">ii"), 4),
    Opcode.INT8: (struct.Struct(">iq"), 8),
    Opcode.UINT4: (struct.Struct(">iI"), 4),
    Opcode.FLOAT4: (struct.Struct(">if"), 4),
    Opcode.FLOAT8: (struct.Struct(">id"), 8),
}


def array_codec(oid: int, name: str, element: ValueCodec, delimiter: str = ",") -> ValueCodec:
    """A codec for arrays of what `element` is for, in the format of `element`.

    Args:
        oid, name: of the array type.
        delimiter: the element type's typdelim, one ASCII character; of importance for the text format only.
    """
    if element.format is Format.BINARY:
        decode, encode = _binary_decoder(oid, element), _binary_encoder(element)
        return ValueCodec(oid, name, Opcode.ARRAY, Format.BINARY, decode, encode, element, atomic=False)
    decode, encode = _text_decoder(element, delimiter), _text_encoder(element, delimiter)
    return ValueCodec(oid, name, Opcode.CALL, Format.TEXT, decode, encode, element, atomic=False)


# Binary


def _binary_decoder(oid: int, element: ValueCodec) -> Callable[[bytes], list[Any]]:
    decode_element = element.decode
    record, size = _FIXED.get(element.opcode, (None, 0))

    def decode_array(data: bytes) -> list[Any]:
        """Nested for dimensions, whose lower bounds are lost; an empty array has no dimensions.

        Raises:
            OutdatedTypeError: elements of another type. ValueError: for contradictions. And what the element's decoder
                raises.
        """
        sizes, count, offset = read_header(data, oid, element.oid)
        if record is not None and count and len(data) - offset == count * record.size:
            lengths, values = zip(*record.iter_unpack(data[offset:]), strict=True)
            if lengths.count(size) == count:
                return nest(list(values), sizes)
            # NULLs and wrong lengths that happen to add up.
        return nest(read_elements(data, offset, count, decode_element), sizes)

    return decode_array


def read_header(data: bytes | memoryview, array_oid: int, element_oid: int) -> tuple[list[int], int, int]:
    """The sizes of the dimensions, the number of elements (no more than there is room for), where they begin.

    Raises:
        OutdatedTypeError: they are of another type. ValueError: for contradictions.
    """
    try:
        dimensions, flags, oid = _unpack_header(data)
    except struct.error:
        raise ValueError(f"invalid array value: {len(data)} bytes are less than its header") from None
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"invalid number of array dimensions: {dimensions}")
    if flags not in (0, 1):
        raise ValueError(f"invalid array flags: {flags}")
    if oid != element_oid:
        raise OutdatedTypeError(f"array of type {oid} instead of {element_oid}", oid=array_oid)
    offset = 12 + 8 * dimensions
    if len(data) < offset:
        raise ValueError(f"invalid array value: {len(data)} bytes with {dimensions} dimensions")
    sizes = list(struct.unpack_from(f">{2 * dimensions}i", data, 12)[::2])
    if dimensions and min(sizes) < 0:
        raise ValueError(f"invalid array size: {min(sizes)}")
    count = prod(sizes) if dimensions else 0
    if count > (len(data) - offset) // 4:
        raise ValueError(f"array of {count} elements in {len(data)} bytes")
    return sizes, count, offset


def read_elements(data: AnyBytes, offset: int, count: int, decode: Callable[[AnyBytes], Any]) -> list[Any]:
    """The elements from `offset` to the end; `decode` is given parts of `data`, of its type."""
    end = len(data)
    values: list[Any] = []
    append = values.append
    for _ in range(count):
        try:
            (length,) = _unpack_length(data, offset)
        except struct.error:
            raise ValueError("array value ends before its last element") from None
        start = offset + 4
        if length >= 0:
            offset = start + length
            if offset > end:
                raise ValueError("an array element is longer than its array")
            append(decode(data[start:offset]))
        elif length == NULL_LENGTH:
            offset = start
            append(None)
        else:
            raise ValueError(f"invalid length {length} of an array element")
    if offset != end:
        raise ValueError(f"{end - offset} bytes after the last array element")
    return values


def nest(values: list[Any], sizes: Sequence[int]) -> list[Any]:
    """The flat values as nested lists; an array with a size of 0 is empty in every dimension."""
    if values:
        for size in reversed(sizes[1:]):
            values = [values[start : start + size] for start in range(0, len(values), size)]
    return values


def _binary_encoder(element: ValueCodec) -> Callable[[Any], bytes]:
    encode_element = element.encode
    flatten = _flattener(element)
    record, size = _FIXED.get(element.opcode, (None, 0)) if element.opcode is not Opcode.BOOL else (None, 0)

    def encode_array(value: Any) -> bytes:
        """Raises as `_flattener` says, and as `_encode_elements`."""
        values, sizes = flatten(value)
        if not values:
            return _pack_header(0, 0, element.oid)
        body: bytes | None = None
        if record is not None:
            pack = record.pack
            try:
                body = b"".join([pack(size, item) for item in values])
            except (struct.error, OverflowError):
                # NULL, a type that struct does not know, or out of range: the element's encoder knows better.
                pass
        has_null = 0
        if body is None:
            pieces: list[bytes] = []
            for item in _encode_elements(values, sizes, encode_element):
                if item is None:
                    has_null = 1
                    pieces.append(_NULL)
                else:
                    pieces.append(_pack_length(len(item)))
                    pieces.append(item)
            body = b"".join(pieces)
        bounds = [number for length in sizes for number in (length, 1)]
        return _pack_header(len(sizes), has_null, element.oid) + struct.pack(f">{len(bounds)}i", *bounds) + body

    return encode_array


# From Python to a flat list, for both formats


def _is_dimension(kind: type) -> bool:
    """Whether elements of this type are a dimension of their own; a tuple is not, it is a composite's value."""
    return kind is list or (_is_container(kind) and not issubclass(kind, tuple | Path | BitString))


def _is_dimension_of_composites(kind: type) -> bool:
    """A Record is a dimension of numbers, say, but an element among composites."""
    return _is_dimension(kind) and not issubclass(kind, Record)


def _is_container(kind: type) -> bool:
    return (
        issubclass(kind, Sized)
        and issubclass(kind, Iterable)
        and not issubclass(kind, str | bytes | bytearray | memoryview | Mapping)
    )


def _flattener(element: ValueCodec) -> Callable[[object], tuple[list[Any], list[int]]]:
    """What makes an array's value all elements, the last dimension running fastest, and the sizes of the dimensions.

    It raises:
        TypeError: not a sized iterable, or str, bytes or a mapping.
        ValueError: more than 6 dimensions, or not a rectangle.
    """
    is_dimension = _is_dimension_of_composites if _is_composite(element) else _is_dimension
    is_element = _element_test(element)

    def flatten(value: object) -> tuple[list[Any], list[int]]:
        if not _is_container(type(value)):
            raise TypeError(f"a sized iterable container expected (got type {type_name(value)!r})")
        container = cast("Collection[Any]", value)
        depth = _depth(container, is_dimension) if is_element is None else _depth_above(container, is_element)
        # What contains itself is on two levels. All levels are kept, lest an identity is given twice.
        levels: list[list[Any]] = [[container]]
        known: set[int] = {id(container)}
        values = items_of(container)
        sizes = [len(values)]
        while True:
            # By type, since there are few types even among many values.
            dimensions = {is_dimension(kind) for kind in set(map(type, values))}
            if len(sizes) == depth:
                if True in dimensions and is_element is None:
                    raise ValueError("non-homogeneous array")
                return values, sizes
            if dimensions != {True}:
                raise ValueError("non-homogeneous array")
            identities = set(map(id, values))
            if not identities.isdisjoint(known):
                raise ValueError("non-homogeneous array")
            known |= identities
            levels.append(values)
            parts: list[list[Any]] = list(map(items_of, values))
            size = len(parts[0])
            if any(len(part) != size for part in parts):
                raise ValueError("non-homogeneous array")
            if len(values) * size > MAX_ITEMS:
                raise ValueError(f"an array of more than {MAX_ITEMS} elements")
            sizes.append(size)
            values = [item for part in parts for item in part]

    return flatten


def _is_composite(element: ValueCodec) -> bool:
    return element.opcode is Opcode.COMPOSITE or bool(element.names)


def _element_test(element: ValueCodec) -> Callable[[object], bool] | None:
    """For elements that are lists themselves: is this tuple, the first in the lists, one of them? None for others."""
    if element.oid in _VECTORS:
        return _is_tuple
    if element.format is Format.BINARY:
        is_multirange = element.opcode is Opcode.MULTIRANGE
    else:
        # No opcode says so, but it is made of what is made of parts.
        is_multirange = element.element is not None and element.element.element is not None
    return _is_tuple_of_ranges if is_multirange else None


def _is_tuple(value: object) -> bool:
    return isinstance(value, tuple)


def _is_tuple_of_ranges(value: object) -> bool:
    return isinstance(value, tuple) and (not value or isinstance(value[0], Range | tuple | list))


def _depth(value: Iterable[object], is_dimension: Callable[[type], bool]) -> int:
    """The number of dimensions by the first elements alone: a list may contain itself, and must not be multiplied."""
    depth = 1
    first: object = next(iter(value), None)
    while is_dimension(type(first)):
        depth += 1
        if depth > MAX_DIMENSIONS:
            raise _too_deep(depth)
        first = next(iter(cast("Iterable[object]", first)), None)
    return depth


def _depth_above(value: Iterable[object], is_element: Callable[[object], bool]) -> int:
    """The same where the innermost list is an element, as it was decoded; unless the elements are tuples."""
    depth = 1
    inner = value
    first = _first_not_none(inner)
    while _is_dimension(type(first)) and depth <= MAX_DIMENSIONS + 1:
        depth += 1
        inner = cast("Iterable[object]", first)
        first = _first_not_none(inner)
    # A list of nothing but NULL is none, either: no element has NULL in it.
    only_null = first is None and any(item is None for item in inner)
    if depth > 1 and not is_element(first) and not only_null:
        depth -= 1
    if depth > MAX_DIMENSIONS:
        raise _too_deep(depth)
    return depth


def _first_not_none(value: Iterable[object]) -> object:
    return next((item for item in value if item is not None), None)


def _too_deep(depth: int) -> ValueError:
    return ValueError(f"number of array dimensions ({depth}) exceed the maximum expected ({MAX_DIMENSIONS})")


def _encode_elements(values: list[Any], sizes: Sequence[int], encode: Callable[[Any], bytes]) -> Iterable[bytes | None]:
    """Each element's bytes, None for NULL.

    Raises:
        ValueError: an element of the wrong type: its TypeError, with its place. Others as they are, as in asyncpg.
    """
    for index, item in enumerate(values):
        try:
            encoded = None if item is None else encode(item)
        except TypeError as error:
            place = f" at index {index}" if len(sizes) == 1 else ""
            raise ValueError(f"invalid array element{place}: {error}") from error
        yield encoded


# Text

_BOUNDS: Final = re.compile(rb"(?:\[-?[0-9]{1,10}:-?[0-9]{1,10}\]){1,6}=")
_BOUND: Final = re.compile(rb"(-?[0-9]+):(-?[0-9]+)")
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
#: What must be quoted, whatever the delimiter is: array_in would read it otherwise.
_SPECIAL: Final = re.compile(rb'[{}"\\\s]|\A\Z|\A(?i:null)\Z')


def _text_decoder(element: ValueCodec, delimiter: str) -> Callable[[bytes], list[Any]]:
    decode_element = element.decode
    mark = delimiter.encode("ascii")
    # A brace or the delimiter, a quoted element, a bare one. The quantifiers are possessive, so that a quote that is
    # never closed is noticed in one go.
    tokens = re.compile(
        rb'([{}]|%b)|"((?:[^"\\]++|\\.)*+)"|([^{}"\\\s%b]++)' % (re.escape(mark), re.escape(mark)), re.DOTALL
    )

    def decode_array(data: bytes) -> list[Any]:
        """Raises ValueError for what array_out does not print, and what the element's decoder raises."""
        bounds = _BOUNDS.match(data)
        position = bounds.end() if bounds else 0
        if data == b"{}":
            return []
        values: list[Any] = []
        sizes: list[int | None] = []  # of each dimension, once one list of it was closed
        counts: list[int] = []  # how many items the open list of each dimension has so far
        deepest = 0  # how many lists are open where the values are
        expect_item = True
        while position < len(data):
            match = tokens.match(data, position)
            if match is None:
                raise _malformed(data, position)
            structure, quoted, bare = match.groups()
            if structure is None:
                if not expect_item or not counts or len(counts) < deepest:
                    raise _malformed(data, position)
                deepest = len(counts)
                counts[-1] += 1
                expect_item = False
                if quoted is not None:
                    values.append(decode_element(_ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted))
                else:
                    values.append(None if bare == b"NULL" else decode_element(bare))
            elif structure == b"{":
                if not expect_item or (deepest and len(counts) >= deepest):
                    raise _malformed(data, position)
                if counts:
                    counts[-1] += 1
                counts.append(0)
                if len(counts) > len(sizes):
                    sizes.append(None)
                if len(counts) > MAX_DIMENSIONS:
                    raise ValueError(f"array text has more than {MAX_DIMENSIONS} dimensions")
            elif structure == b"}":
                if expect_item or not counts:
                    raise _malformed(data, position)
                count = counts.pop()
                size = sizes[len(counts)]
                if size is None:
                    sizes[len(counts)] = count
                elif size != count:
                    raise ValueError(f"array text has lists of {size} and of {count} items in one dimension")
            else:
                if expect_item or not counts:
                    raise _malformed(data, position)
                expect_item = True
            position = match.end()
        if counts or not sizes:
            raise _malformed(data, position)
        if bounds and [int(upper) - int(lower) + 1 for lower, upper in _BOUND.findall(data, 0, bounds.end())] != sizes:
            raise ValueError(f"array text has other bounds than {bounds[0]!r}")
        return nest(values, cast("list[int]", sizes))

    return decode_array


def _malformed(data: bytes, position: int) -> ValueError:
    return ValueError(f"malformed array text at byte {position}: {data[position : position + 20]!r}")


def _text_encoder(element: ValueCodec, delimiter: str) -> Callable[[Any], bytes]:
    encode_element = element.encode
    flatten = _flattener(element)
    mark = delimiter.encode("ascii")

    def encode_array(value: Any) -> bytes:
        """Raises as the binary encoder."""
        values, sizes = flatten(value)
        if not values:
            return b"{}"
        level = [
            b"NULL" if item is None else _quoted(item, mark) for item in _encode_elements(values, sizes, encode_element)
        ]
        for size in reversed(sizes):
            level = [b"{%b}" % mark.join(level[start : start + size]) for start in range(0, len(level), size)]
        return level[0]

    return encode_array


def _quoted(item: bytes, mark: bytes) -> bytes:
    if mark not in item and not _SPECIAL.search(item):
        return item
    return b'"%b"' % item.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
