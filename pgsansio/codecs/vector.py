"""int2vector and oidvector, of which the system catalogues have columns: lists of numbers.

In binary they are one-dimensional arrays that count from 0 (int2vectorsend, oidvectorsend, and the same with recv):

    int32 1 (dimensions), int32 0 (no NULLs), uint32 oid of the element type, int32 size, int32 0 (lower bound)
    for each element:  int32 length, int16 or uint32

Their text is the numbers with blanks between them. Text is preferred, since the server does not take an empty one in
binary, not even its own.
"""

import struct
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import CodecPair, codec_pair, items_of, text_encoder, type_name
from pgsansio.codecs.integer import encode_int2, encode_uint4
from pgsansio.kernel.contract import Opcode

__all__ = ["CODECS", "SOURCE"]

SOURCE: Final = "Object Identifier Types"

_unpack_header = struct.Struct(">iiIii").unpack_from
_pack_header = struct.Struct(">iiIii").pack
_pack_length = struct.Struct(">i").pack


def _vector_pair(
    name: str, element_name: str, element_format: str, encode_element: Callable[[Any], bytes]
) -> CodecPair:
    element_oid = BY_NAME[element_name].oid
    # An element and its length as one record.
    record = struct.Struct(">i" + element_format)
    size = record.size - 4
    length = _pack_length(size)

    def decode_vector(data: bytes) -> list[int]:
        """A list of numbers."""
        try:
            dimensions, flags, oid, count, lower_bound = _unpack_header(data)
        except struct.error:
            raise ValueError(f"invalid {name} value: {len(data)} bytes are less than its header") from None
        if (dimensions, flags, oid, lower_bound) != (1, 0, element_oid, 0):
            raise ValueError(f"invalid {name} value: no array of type {element_oid} with one dimension from 0")
        if len(data) != 20 + count * record.size:
            raise ValueError(f"invalid {name} value: {len(data)} bytes with {count} elements")
        values: list[int] = []
        for element_size, value in record.iter_unpack(data[20:]):
            if element_size != size:
                raise ValueError(f"invalid {name} value: {element_size} bytes of an element instead of {size}")
            values.append(value)
        return values

    def encode_vector(value: Any) -> bytes:
        """A list or another sized iterable of integers, none of them None.

        Raises:
            TypeError: no container, or an element that is no integer.
            ValueError: a fraction. OverflowError: out of range.
        """
        container: object = value
        if not _is_container(type(container)):
            raise TypeError(f"a sized iterable container expected (got type {type_name(value)!r})")
        elements = [encode_element(item) for item in items_of(value)]
        return _pack_header(1, 0, element_oid, len(elements), 0) + b"".join([length + item for item in elements])

    def decode_vector_text(data: bytes) -> list[int]:
        return list(map(int, data.split()))

    return codec_pair(
        name,
        Opcode.CALL,
        decode_vector,
        encode_vector,
        decode_vector_text,
        text_encoder(encode_vector, decode_vector, _spell),
        atomic=False,
    )


def _is_container(kind: type) -> bool:
    return issubclass(kind, Collection) and not issubclass(kind, str | bytes | bytearray | memoryview | Mapping)


def _spell(values: list[int]) -> str:
    return " ".join(map(str, values))


CODECS: Final[tuple[CodecPair, ...]] = (
    _vector_pair("int2vector", "int2", "h", encode_int2),
    _vector_pair("oidvector", "oid", "I", encode_uint4),
)
