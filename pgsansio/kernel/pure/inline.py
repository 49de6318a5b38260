"""What a generated decoder or encoder does with the opcodes that are worth inlining.

Only for the values that one sees every day: whatever else an expression here meets (infinity, a wrong length, an odd
    header) it leaves to the codec, whose functions are the definition. So inlining is never more than a short cut.
"""

import functools
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, repeat
from typing import Any, Final

from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.kernel.pure.uuid import UUID, set_uuid_bytes

__all__ = ["FIXED", "NAMES", "VARIABLE", "Fixed", "Shape", "fixed_array_decoder", "shape_of"]

#: Per column or parameter its opcode and its element's; `CALL` for what is not inlined. Equal shapes have equal source
#: text.
Shape = tuple[tuple[Opcode, Opcode | None], ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A type whose values all have one size."""

    #: Bytes of a value.
    width: int
    #: Its fields as a struct format, and how many they are.
    format: str
    fields: int = 1
    #: Statements that turn the fields (`{v}`, `{v}_1`, ...) into the value (`{v}`); `{special}` decodes the fields by
    #: the codec.
    convert: tuple[str, ...] = ()
    #: Is `{a}` of an exact class that `format` packs as the codec does, as the expression `packed`? "" for none.
    test: str = ""
    packed: str = "{a}"


FIXED: Final[dict[Opcode, Fixed]] = {
    Opcode.BOOL: Fixed(1, "?", test="type({a}) is bool"),
    Opcode.CHAR: Fixed(1, "c"),
    Opcode.INT2: Fixed(2, "h", test="type({a}) is int"),
    Opcode.INT4: Fixed(4, "i", test="type({a}) is int"),
    Opcode.INT8: Fixed(8, "q", test="type({a}) is int"),
    Opcode.UINT4: Fixed(4, "I", test="type({a}) is int"),
    Opcode.FLOAT4: Fixed(4, "f", test="type({a}) is float"),
    Opcode.FLOAT8: Fixed(8, "d", test="type({a}) is float"),
    Opcode.UUID: Fixed(
        16,
        "16s",
        convert=("uuid = new(UUID)", "set_uuid_bytes(uuid, {v})", "{v} = uuid"),
        test="(type({a}) is UUID or type({a}) is uuid_UUID)",
        packed="{a}.bytes",
    ),
    # Out of Python's range are infinity and the years before 1 and after 9999.
    Opcode.DATE: Fixed(
        4,
        "i",
        convert=("try: {v} = date_from_ordinal({v} + 730120)", "except (ValueError, OverflowError): {v} = {special}"),
    ),
    Opcode.TIME: Fixed(
        8,
        "q",
        convert=(
            "second = {v} // 1_000_000",
            "{v} = time(second // 3600, second // 60 % 60, second % 60, {v} % 1_000_000)",
        ),
    ),
    # One timedelta times an integer is twice as fast as timedelta(0, 0, microseconds).
    Opcode.TIMESTAMP: Fixed(
        8, "q", convert=("try: {v} = EPOCH + {v} * MICROSECOND", "except OverflowError: {v} = {special}")
    ),
    Opcode.TIMESTAMPTZ: Fixed(
        8, "q", convert=("try: {v} = EPOCH_UTC + {v} * MICROSECOND", "except OverflowError: {v} = {special}")
    ),
    # Microseconds, days, months; months have no length of their own, and those of infinity are not 0.
    Opcode.INTERVAL: Fixed(16, "qii", 3, convert=("{v} = {special} if {v}_2 else timedelta({v}_1, 0, {v})",)),
}

#: Statements that make the value `{v}` of the bytes data[at:end]; "break" leaves the row to the codecs.
VARIABLE: Final[dict[Opcode, tuple[str, ...]]] = {
    Opcode.TEXT: ("{v} = data[at:end].decode()",),
    Opcode.BYTEA: ("{v} = data[at:end]",),
    Opcode.JSONB: ("if {n} == 0 or data[at] != 1: break", "{v} = data[at + 1 : end].decode()"),
    Opcode.NUMERIC: ("{v} = numeric(data, at, {n})", "if {v} is None: {v} = {decode}(data[at:end])"),
    Opcode.ARRAY: (
        "{v} = {array}(data, at, end)",
        "if {v} is None: {v} = {decode}(data[at:end])",
    ),
    Opcode.CALL: ("{v} = data[at:end]",),
}

#: Opcodes that are the whole value of an array's element when they are unpacked.
_ARRAY_ELEMENTS: Final = frozenset(
    opcode for opcode, fixed in FIXED.items() if not fixed.convert and opcode is not Opcode.CHAR
)


def shape_of(codecs: tuple[ValueCodec, ...]) -> Shape:
    return tuple([_column_shape(codec) for codec in codecs])


def _column_shape(codec: ValueCodec) -> tuple[Opcode, Opcode | None]:
    opcode = codec.opcode
    if codec.format is not Format.BINARY and opcode is not Opcode.TEXT:
        return Opcode.CALL, None
    if opcode is Opcode.ARRAY:
        element = codec.element
        if element is None or element.opcode not in _ARRAY_ELEMENTS:
            return Opcode.CALL, None
        return opcode, element.opcode
    return (opcode if opcode in FIXED or opcode in VARIABLE else Opcode.CALL), None


#: Size of a numeric -> its header and digits, for up to 8 groups of digits.
_UNPACK_NUMERIC: Final = {8 + 2 * groups: struct.Struct(f">HhHH{groups}H").unpack_from for groups in range(9)}
_POWERS: Final = tuple(10**power for power in range(128))
_EXPONENTS: Final = tuple(f"E-{scale}" for scale in range(41))


def numeric(data: bytes, at: int, size: int) -> Decimal | None:
    """The numeric in data[at:at + size], or None if it is long, or rare (NaN, infinity, an error).

    Its groups of four digits become one integer, since text is what Decimal reads fastest: "12345600" and "E-4".
    """
    unpack = _UNPACK_NUMERIC.get(size)
    if unpack is None:
        return None
    fields: tuple[int, ...] = unpack(data, at)
    # Two groups or one are what most numerics have.
    if size == 12:
        count, weight, sign, scale, first, second = fields
        if count != 2 or first > 9999 or second > 9999:
            return None
        number = first * 10_000 + second
    elif size == 10:
        count, weight, sign, scale, number = fields
        if count != 1 or number > 9999:
            return None
    else:
        count, weight, sign, scale, *groups = fields
        if count != len(groups):
            return None
        number = 0
        for group in groups:
            if group > 9999:
                return None
            number = number * 10_000 + group
    if sign & 0xBFFF or scale > 40 or not -16 <= weight <= 16:
        return None
    surplus = 4 * (count - 1 - weight) - scale
    if surplus > 0:
        number, lost = divmod(number, _POWERS[surplus])
        if lost:
            return None
    elif surplus:
        number *= _POWERS[-surplus]
    return Decimal(f"-{number}{_EXPONENTS[scale]}" if sign else str(number) + _EXPONENTS[scale])


#: Elements that are unpacked at once, and the most that get a Struct for their number.
_ARRAY_BLOCK: Final = 256

_unpack_array_header = struct.Struct(">iiIii").unpack_from


@functools.lru_cache(maxsize=1024)
def _array_struct(opcode: Opcode, count: int) -> struct.Struct:
    return struct.Struct(">" + ("4x" + FIXED[opcode].format) * count)


def fixed_array_decoder(codec: ValueCodec) -> Callable[[bytes, int, int], list[Any] | None]:
    """A decoder of data[at:end] for arrays of a fixed-width type; None for all but vectors without NULLs."""
    element = codec.element
    assert element is not None
    oid, opcode = element.oid, element.opcode
    step = 4 + FIXED[opcode].width
    length_byte = bytes([FIXED[opcode].width])

    def decode_fixed_array(data: bytes, at: int, end: int) -> list[Any] | None:
        size = end - at - 20
        if size <= 0:
            return None
        dimensions, has_null, element_oid, count, lower = _unpack_array_header(data, at)
        if dimensions != 1 or has_null != 0 or element_oid != oid or lower != 1 or size != count * step:
            return None
        at += 20
        # The lengths of all elements, one byte of each at a time.
        zeros = bytes(count)
        if (
            data[at + 3 : end : step] != length_byte * count
            or data[at:end:step] != zeros
            or data[at + 1 : end : step] != zeros
            or data[at + 2 : end : step] != zeros
        ):
            return None
        if count <= _ARRAY_BLOCK:
            return list(_array_struct(opcode, count).unpack_from(data, at))
        rest = at + count // _ARRAY_BLOCK * _ARRAY_BLOCK * step
        blocks = _array_struct(opcode, _ARRAY_BLOCK).iter_unpack(data[at:rest])
        return [*chain.from_iterable(blocks), *_array_struct(opcode, count % _ARRAY_BLOCK).unpack_from(data, rest)]

    return decode_fixed_array


#: What the statements above and the generated functions around them refer to.
NAMES: Final[dict[str, object]] = {
    "EPOCH": datetime(2000, 1, 1),
    "EPOCH_UTC": datetime(2000, 1, 1, tzinfo=UTC),
    "MICROSECOND": timedelta(0, 0, 1),
    "UUID": UUID,
    "date_from_ordinal": date.fromordinal,
    "new": object.__new__,
    "numeric": numeric,
    "repeat": repeat,
    "set_uuid_bytes": set_uuid_bytes,
    "time": time,
    "timedelta": timedelta,
    "uuid_UUID": uuid.UUID,
}
