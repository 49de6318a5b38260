"""pgvector's vector and halfvec, as list of float or as numpy arrays, and sparsevec, as `SparseVector`.

Binary of vector and halfvec (pgvector's vector_send, halfvec_send, and the same with recv):

    int16  number of dimensions, at least 1
    int16  unused, 0
    for each dimension:  float4, or in a halfvec the IEEE 754 number of 16 bits

Binary of sparsevec (sparsevec_send, sparsevec_recv):

    int32  number of dimensions, at least 1
    int32  number of elements that are not zero
    int32  unused, 0
    for each of these elements:  int32 position, from 0 on and ascending
    for each of these elements:  float4

Text: `[1,2.5,-3]`, and of sparsevec `{1:1.5,3:-2}/5`, with positions from 1 on and the number of dimensions at the end.

How many dimensions are possible is the extension's to say: 16,000, and in a sparsevec 1,000,000,000, of which 16,000
may be other than zero.
"""

import re
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Set, Sized
from math import isfinite, isnan
from types import ModuleType
from typing import Any, Final, cast

from pgsansio.codecs.codec import items_of, text_encoder, type_name
from pgsansio.codecs.contrib.extension_type import ExtensionType
from pgsansio.codecs.floating import decode_float4_text
from pgsansio.types.sparse_vector import SparseVector

__all__ = [
    "HALFVEC",
    "SOURCE",
    "SPARSEVEC",
    "VECTOR",
    "decode_halfvec",
    "decode_halfvec_text",
    "decode_sparsevec",
    "decode_sparsevec_text",
    "decode_vector",
    "decode_vector_text",
    "encode_halfvec",
    "encode_sparsevec",
    "encode_vector",
    "vector_codecs",
]

SOURCE: Final = "pgvector's README, Reference"

#: The most that the int16 of the binary form can say.
_MAX_DIMENSIONS: Final = 2**15 - 1

_unpack_header = struct.Struct(">hh").unpack_from
_unpack_sparse_header = struct.Struct(">iii").unpack_from

_VECTOR_TEXT: Final = re.compile(rb"\[([^\[\]\s_]+)\]")
_SPARSE_TEXT: Final = re.compile(rb"\{([^{}\s_]*)\}/([0-9]{1,10})")


# From Python to numbers, for all types


def _numbers(value: object) -> list[Any]:
    """The elements of what is taken for a vector: whatever has `tolist` (arrays of numpy, array.array) or is iterable.

    Raises:
        TypeError: it is a single number or several dimensions, text, bytes, or something without an order.
    """
    to_list: Any = getattr(value, "tolist", None)
    if to_list is not None:
        numbers: object = to_list()
        if type(numbers) is list:
            return list(cast("Iterable[Any]", numbers))
    elif _is_sequence(type(value)):
        return items_of(cast("Collection[Any]", value))
    raise TypeError(f"a sequence of numbers is expected (got type {type_name(value)})")


def _is_sequence(kind: type) -> bool:
    # Sized, since an iterator can be read once only, and an argument may have to be encoded again.
    return (
        issubclass(kind, Sized)
        and issubclass(kind, Iterable)
        and not issubclass(kind, str | bytes | bytearray | Mapping | Set)
    )


def _pack(numbers: list[Any], code: str, name: str) -> bytes:
    """The numbers one behind the other: float4 with the code f, 16 bits with e.

    Raises:
        TypeError: one of them is no number. ValueError: it is too great, infinite or NaN.
    """
    try:
        data = struct.pack(f">{len(numbers)}{code}", *numbers)
        if all(map(isfinite, numbers)):
            return data
    except (struct.error, OverflowError):
        pass
    # Slowly, to say which it was.
    return b"".join([_pack_one(number, code, name, position) for position, number in enumerate(numbers)])


def _pack_one(number: Any, code: str, name: str, position: int) -> bytes:
    if not hasattr(number, "__float__") and not hasattr(number, "__index__"):
        raise TypeError(f"must be real number, not {type_name(number)} (at index {position})")
    try:
        real = float(number)
        data = struct.pack(">" + code, real)
    except OverflowError:
        raise ValueError(f"value out of {_RANGES[code]} range (at index {position})") from None
    if not isfinite(real):
        what = "NaN" if isnan(real) else "infinite value"
        raise ValueError(f"{what} not allowed in {name} (at index {position})")
    return data


_RANGES: Final[Mapping[str, str]] = {"f": "float32", "e": "float16"}


# vector and halfvec


def _dimensions(data: bytes, size: int, name: str) -> int:
    """The number of dimensions, if as many numbers of `size` bytes are there."""
    if len(data) < 4:
        raise ValueError(f"invalid {name} value: {len(data)} bytes are less than its header")
    dimensions, unused = _unpack_header(data)
    if unused:
        raise ValueError(f"expected unused to be 0, not {unused}")
    if dimensions < 1 or len(data) != 4 + dimensions * size:
        raise ValueError(f"{name} of {dimensions} dimensions in {len(data)} bytes")
    return cast(int, dimensions)


def decode_vector(data: bytes) -> list[float]:
    """Raises ValueError: the number of dimensions is less than 1 or contradicts the size."""
    return list(struct.unpack_from(f">{_dimensions(data, 4, 'vector')}f", data, 4))


def encode_vector(value: Any) -> bytes:
    """A sized iterable of numbers, or what has `tolist`: arrays of numpy, array.array. A float is rounded to a float4.

    Raises:
        TypeError: none of these, several dimensions, or an item is no number.
        ValueError: no dimension or more than 32767; an item is infinite, NaN, or too great for a float4.
    """
    return _encode(value, "f", "vector")


def decode_halfvec(data: bytes) -> list[float]:
    """Raises as `decode_vector`."""
    return list(struct.unpack_from(f">{_dimensions(data, 2, 'halfvec')}e", data, 4))


def encode_halfvec(value: Any) -> bytes:
    """Accepts and raises as `encode_vector`; numbers are rounded to 16 bits, 65504 is the greatest."""
    return _encode(value, "e", "halfvec")


def _encode(value: Any, code: str, name: str) -> bytes:
    numbers = _numbers(value)
    return _header(len(numbers), name) + _pack(numbers, code, name)


def _header(dimensions: int, name: str) -> bytes:
    if not dimensions:
        raise ValueError(f"{name} must have at least 1 dimension")
    if dimensions > _MAX_DIMENSIONS:
        raise ValueError(f"{name} cannot have more than {_MAX_DIMENSIONS} dimensions")
    return struct.pack(">hh", dimensions, 0)


def decode_vector_text(data: bytes) -> list[float]:
    """Raises ValueError: not as vector_out prints it."""
    match = _VECTOR_TEXT.fullmatch(data)
    if match is None:
        raise ValueError(f"malformed vector text {data[:40]!r}")
    return list(map(decode_float4_text, match[1].split(b",")))


def decode_halfvec_text(data: bytes) -> list[float]:
    """Raises ValueError: not as halfvec_out prints it."""
    # The text has as many digits as a float4 needs; the nearest number of 16 bits is the one that was printed.
    numbers = decode_vector_text(data)
    try:
        return list(struct.unpack(f">{len(numbers)}e", struct.pack(f">{len(numbers)}e", *numbers)))
    except OverflowError:
        raise ValueError(f"halfvec text {data[:40]!r} is out of range") from None


def _spell(numbers: list[float]) -> str:
    return f"[{','.join(map(repr, numbers))}]"


# sparsevec


def decode_sparsevec(data: bytes) -> SparseVector:
    """Raises ValueError: the counts contradict the size, positions do not ascend or are outside, an element is zero."""
    if len(data) < 12:
        raise ValueError(f"invalid sparsevec value: {len(data)} bytes are less than its header")
    dimensions, count, unused = _unpack_sparse_header(data)
    if unused:
        raise ValueError(f"expected unused to be 0, not {unused}")
    if count < 0 or len(data) != 12 + 8 * count:
        raise ValueError(f"sparsevec with {count} elements in {len(data)} bytes")
    positions = struct.unpack_from(f">{count}i", data, 12)
    numbers = struct.unpack_from(f">{count}f", data, 12 + 4 * count)
    return _sparse_vector(positions, numbers, dimensions)


def _sparse_vector(positions: Iterable[int], numbers: Iterable[float], dimensions: int) -> SparseVector:
    """From what a server sent, which holds to an order and leaves zeros out."""
    positions = tuple(positions)
    vector = SparseVector(dict(zip(positions, numbers, strict=True)), dimensions)
    if vector.indices != positions:
        raise ValueError("the elements of a sparsevec do not ascend, or are zero")
    return vector


def encode_sparsevec(value: Any) -> bytes:
    """A `SparseVector`, or all elements in order, as for `encode_vector`. What is zero as a float4 is left out.

    Raises:
        TypeError: none of these, or an item is no number.
        ValueError: no dimension, or an item is infinite, NaN, or too great for a float4.
        OverflowError: more than 2147483647 dimensions.
    """
    vector = value if isinstance(value, SparseVector) else SparseVector.from_list(_checked(_numbers(value)))
    if vector.dimensions > 2**31 - 1:
        raise OverflowError("value out of int32 range")
    packed = _pack(list(vector.values), "f", "sparsevec")
    positions, count = vector.indices, len(vector.indices)
    numbers = struct.unpack(f">{count}f", packed)
    if 0.0 in numbers:
        positions = tuple([position for position, number in zip(positions, numbers, strict=True) if number])
        packed = b"".join([packed[4 * at : 4 * at + 4] for at, number in enumerate(numbers) if number])
        count = len(positions)
    return struct.pack(f">iii{count}i", vector.dimensions, count, 0, *positions) + packed


def _checked(numbers: list[Any]) -> list[Any]:
    """The same, if they are numbers: their place among all elements is lost once the zeros are left out."""
    if not numbers:
        raise ValueError("sparsevec must have at least 1 dimension")
    _pack(numbers, "f", "sparsevec")
    return numbers


def decode_sparsevec_text(data: bytes) -> SparseVector:
    """Raises ValueError: not as sparsevec_out prints it."""
    match = _SPARSE_TEXT.fullmatch(data)
    if match is None:
        raise ValueError(f"malformed sparsevec text {data[:40]!r}")
    items = [item.partition(b":") for item in match[1].split(b",")] if match[1] else []
    positions = [int(position) - 1 for position, _, _ in items]
    return _sparse_vector(positions, [decode_float4_text(number) for _, _, number in items], int(match[2]))


def _spell_sparse(vector: SparseVector) -> str:
    items = zip(vector.indices, vector.values, strict=True)
    return f"{{{','.join([f'{position + 1}:{number!r}' for position, number in items])}}}/{vector.dimensions}"


# The declarations


def _type(
    name: str,
    decode: Callable[[bytes], Any],
    encode: Callable[[Any], bytes],
    decode_text: Callable[[bytes], Any],
    encode_text: Callable[[Any], bytes],
) -> ExtensionType:
    return ExtensionType(name, "vector", decode, encode, decode_text, encode_text, atomic=False)


VECTOR: Final = _type(
    "vector", decode_vector, encode_vector, decode_vector_text, text_encoder(encode_vector, decode_vector, _spell)
)
HALFVEC: Final = _type(
    "halfvec", decode_halfvec, encode_halfvec, decode_halfvec_text, text_encoder(encode_halfvec, decode_halfvec, _spell)
)
SPARSEVEC: Final = _type(
    "sparsevec",
    decode_sparsevec,
    encode_sparsevec,
    decode_sparsevec_text,
    text_encoder(encode_sparsevec, decode_sparsevec, _spell_sparse),
)


def vector_codecs(*, numpy: ModuleType | None = None) -> tuple[ExtensionType, ...]:
    """Declarations of vector, halfvec and sparsevec.

    Args:
        numpy: the module, for which pgsansio does not look itself: with it a vector becomes an array of float32, a
            halfvec one of float16, in the machine's byte order and writable. Arrays are accepted with it and without.
    """
    if numpy is None:
        return (VECTOR, HALFVEC, SPARSEVEC)
    return (_array_type(VECTOR, "f", 4, numpy), _array_type(HALFVEC, "e", 2, numpy), SPARSEVEC)


def _array_type(declaration: ExtensionType, code: str, size: int, numpy: ModuleType) -> ExtensionType:
    """The declaration with arrays instead of lists."""
    name, encode = declaration.typename, declaration.encode
    wire_type, own_type = numpy.dtype(f">f{size}"), numpy.dtype(f"=f{size}")

    def decode_array(data: bytes) -> Any:
        dimensions = _dimensions(data, size, name)
        return numpy.frombuffer(data, wire_type, dimensions, 4).astype(own_type)

    def encode_array(value: Any) -> bytes:
        # Not of subclasses: a masked array says by `tolist` what is masked.
        if type(value) is numpy.ndarray and value.ndim == 1 and value.dtype.kind in "fiub":
            # What is too great becomes infinite.
            with numpy.errstate(over="ignore"):
                numbers = value.astype(wire_type)
            if numpy.isfinite(numbers).all():
                return _header(len(numbers), name) + cast(bytes, numbers.tobytes())
        return encode(value)

    def decode_array_text(data: bytes) -> Any:
        return numpy.array(declaration.decode_text(data), own_type)

    return _type(name, decode_array, encode_array, decode_array_text, declaration.encode_text)
