"""What a kernel does, written a second time: slowly, without struct, and straight from the message formats.

The codecs are as naive; they hold for every value that a codec has to accept, and refuse the rest with ValueError or
TypeError.
"""

import math
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pgsansio.enums import Format
from pgsansio.errors import InvalidValueError, ProtocolError
from pgsansio.kernel import UUID
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types import Box, Circle, Line, LineSegment, Point

__all__ = [
    "CODECS",
    "VALID",
    "array_of",
    "bind_of",
    "copy_tuple",
    "data_row",
    "naive_copy",
    "naive_rows",
    "text_codec",
]

Field = bytes | None


# Bytes by hand


def int_bytes(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=True)


def fields_bytes(fields: Sequence[Field]) -> bytes:
    return b"".join(b"\xff\xff\xff\xff" if field is None else int_bytes(len(field), 4) + field for field in fields)


def copy_tuple(*fields: Field) -> bytes:
    """A tuple of binary COPY (manual, "COPY", Binary Format, Tuples)."""
    return len(fields).to_bytes(2, "big") + fields_bytes(fields)


def data_row(*fields: Field) -> bytes:
    """A DataRow (manual, "Message Formats")."""
    body = copy_tuple(*fields)
    return b"D" + int_bytes(4 + len(body), 4) + body


def bind_of(names: bytes, formats: Sequence[int], fields: Sequence[Field], result_formats: bytes) -> bytes:
    """A Bind (manual, "Message Formats") with the shortest list of format codes that says the same."""
    if len(set(formats)) == 1:
        formats = [] if formats[0] == 0 else [1]
    codes = b"".join(code.to_bytes(2, "big") for code in (len(formats), *formats))
    body = names + codes + copy_tuple(*fields) + result_formats
    return b"B" + int_bytes(4 + len(body), 4) + body


# Values


def sized(size: int, data: bytes) -> bytes:
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes, not {size}")
    return data


def to_int(size: int, signed: bool = True) -> Callable[[bytes], int]:
    return lambda data: int.from_bytes(sized(size, data), "big", signed=signed)


def from_int(size: int, signed: bool = True) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        if not isinstance(value, int):
            raise TypeError("an integer is required")
        return value.to_bytes(size, "big", signed=signed)

    return encode


def to_float(size: int, exponent_bits: int) -> Callable[[bytes], float]:
    fraction_bits = 8 * size - 1 - exponent_bits
    bias = 2 ** (exponent_bits - 1) - 1

    def decode(data: bytes) -> float:
        bits = int.from_bytes(sized(size, data), "big")
        sign = -1.0 if bits >> (8 * size - 1) else 1.0
        exponent = bits >> fraction_bits & (2**exponent_bits - 1)
        fraction = bits & (2**fraction_bits - 1)
        if exponent == 2**exponent_bits - 1:
            return math.nan if fraction else sign * math.inf
        if exponent == 0:
            return sign * math.ldexp(float(fraction), 1 - bias - fraction_bits)
        return sign * math.ldexp(float(fraction + 2**fraction_bits), exponent - bias - fraction_bits)

    return decode


def to_text(data: bytes) -> str:
    return str(data, "utf-8")


def from_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("a str is required")
    return bytes(value, "utf-8")


def to_bool(data: bytes) -> bool:
    return sized(1, data)[0] != 0


def from_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError("a bool is required")
    return b"\1" if value else b"\0"


def from_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("bytes are required")
    return value


def to_uuid(data: bytes) -> uuid.UUID:
    made: uuid.UUID = UUID(bytes=sized(16, data))
    return made


def from_uuid(value: Any) -> bytes:
    if not isinstance(value, uuid.UUID):
        raise TypeError("a UUID is required")
    return value.bytes


def to_date(data: bytes) -> date:
    days = to_int(4)(data)
    if days in (2**31 - 1, -(2**31)):
        return date.max if days > 0 else date.min
    try:
        return date(2000, 1, 1) + timedelta(days)
    except OverflowError:
        raise ValueError("no date of Python") from None


def to_timestamp(zone: Any) -> Callable[[bytes], datetime]:
    def decode(data: bytes) -> datetime:
        microseconds = to_int(8)(data)
        if microseconds in (2**63 - 1, -(2**63)):
            return (datetime.max if microseconds > 0 else datetime.min).replace(tzinfo=zone)
        try:
            return datetime(2000, 1, 1, tzinfo=zone) + timedelta(microseconds=microseconds)
        except OverflowError:
            raise ValueError("no datetime of Python") from None

    return decode


def to_time(data: bytes) -> time:
    microseconds = to_int(8)(data)
    if not 0 <= microseconds < 86_400_000_000:
        raise ValueError("no time of Python")
    return (datetime(2000, 1, 1) + timedelta(microseconds=microseconds)).time()


def to_timetz(data: bytes) -> time:
    sized(12, data)
    return to_time(data[:8]).replace(tzinfo=timezone(timedelta(seconds=-to_int(4)(data[8:]))))


def to_tid(data: bytes) -> tuple[int, int]:
    sized(6, data)
    return to_int(4, False)(data[:4]), to_int(2, False)(data[4:])


def to_floats(count: int, make: Callable[..., object]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> object:
        sized(8 * count, data)
        return make(*[to_float(8, 11)(data[at : at + 8]) for at in range(0, 8 * count, 8)])

    return decode


def to_interval(data: bytes) -> timedelta:
    sized(16, data)
    microseconds, days, months = to_int(8)(data[:8]), to_int(4)(data[8:12]), to_int(4)(data[12:])
    years = int(Fraction(months, 12))
    try:
        return timedelta(microseconds=microseconds) + timedelta(days + 365 * years + 30 * (months - 12 * years))
    except OverflowError:
        raise ValueError("no timedelta of Python") from None


def to_numeric(data: bytes) -> Decimal:
    if len(data) < 8 or len(data) != 8 + 2 * int.from_bytes(data[:2], "big"):
        raise ValueError("wrong length of a numeric")
    weight, sign, scale = to_int(2)(data[2:4]), data[4:6].hex(), int.from_bytes(data[6:8], "big")
    if sign in ("c000", "d000", "f000"):
        return Decimal({"c000": "NaN", "d000": "Infinity", "f000": "-Infinity"}[sign])
    groups = [int.from_bytes(data[at : at + 2], "big") for at in range(8, len(data), 2)]
    if sign not in ("0000", "4000") or scale > 16383 or any(group > 9999 for group in groups):
        raise ValueError("wrong sign, scale or digit of a numeric")
    digits = Fraction(sum(group * Fraction(10000) ** (weight - index) for index, group in enumerate(groups)))
    shifted = digits * 10**scale
    if shifted.denominator != 1:
        raise ValueError("digits beyond the scale of a numeric")
    return Decimal((1 if sign == "4000" else 0, tuple(map(int, str(shifted.numerator))), -scale))


def to_jsonb(data: bytes) -> str:
    if data[:1] != b"\1":
        raise ValueError("wrong version of a jsonb")
    return str(data[1:], "utf-8")


def naive_array(element: ValueCodec) -> Callable[[bytes], list[Any]]:
    """Vectors only."""

    def decode(data: bytes) -> list[Any]:
        header = [int.from_bytes(data[at : at + 4], "big", signed=True) for at in range(0, 20, 4)]
        if header[0] == 0 and len(data) == 12:
            return []
        if len(data) < 20 or header[0] != 1 or header[1] not in (0, 1) or header[2] != element.oid or header[3] < 0:
            raise ValueError("no vector")
        at = 20
        values: list[Any] = []
        for _ in range(header[3]):
            length = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            if length < -1 or at + max(length, 0) > len(data):
                raise ValueError("wrong length of an element")
            values.append(None if length == -1 else element.decode(data[at : at + length]))
            at += max(length, 0)
        if at != len(data):
            raise ValueError("wrong length of an array")
        return values

    return decode


def refuse(value: object) -> bytes:
    raise TypeError(f"no encoder for {type(value).__name__}")


def _codec(
    opcode: Opcode, decode: Callable[[bytes], Any], encode: Callable[[Any], bytes] = refuse, **others: Any
) -> ValueCodec:
    return ValueCodec(100 + opcode, opcode.name.lower(), opcode, Format.BINARY, decode, encode, **others)


CODECS: dict[Opcode, ValueCodec] = {
    codec.opcode: codec
    for codec in (
        # Whatever comes, spelled out, so that a call that is left out would be seen.
        _codec(Opcode.CALL, lambda data: ("called", data), lambda value: b"<" + from_bytes(value) + b">"),
        _codec(Opcode.BOOL, to_bool, from_bool),
        _codec(Opcode.INT2, to_int(2), from_int(2)),
        _codec(Opcode.INT4, to_int(4), from_int(4)),
        _codec(Opcode.INT8, to_int(8), from_int(8)),
        _codec(Opcode.UINT4, to_int(4, False), from_int(4, False)),
        _codec(Opcode.FLOAT4, to_float(4, 8)),
        _codec(Opcode.FLOAT8, to_float(8, 11)),
        _codec(Opcode.NUMERIC, to_numeric),
        _codec(Opcode.TEXT, to_text, from_text),
        _codec(Opcode.BYTEA, bytes, from_bytes),
        _codec(Opcode.UUID, to_uuid, from_uuid),
        _codec(Opcode.DATE, to_date),
        _codec(Opcode.TIME, to_time),
        _codec(Opcode.TIMETZ, to_timetz),
        _codec(Opcode.TIMESTAMP, to_timestamp(None)),
        _codec(Opcode.TIMESTAMPTZ, to_timestamp(UTC)),
        _codec(Opcode.INTERVAL, to_interval),
        _codec(Opcode.JSONB, to_jsonb, lambda value: b"\1" + from_text(value)),
        _codec(Opcode.CHAR, lambda data: sized(1, data), lambda value: sized(1, from_bytes(value))),
        _codec(Opcode.UINT8, to_int(8, False), from_int(8, False)),
        _codec(Opcode.TID, to_tid),
        _codec(Opcode.POINT, to_floats(2, Point)),
        _codec(Opcode.LINE, to_floats(3, Line)),
        _codec(Opcode.LSEG, to_floats(4, lambda *four: LineSegment(four[:2], four[2:]))),
        _codec(Opcode.BOX, to_floats(4, lambda *four: Box(four[:2], four[2:]))),
        _codec(Opcode.CIRCLE, to_floats(3, lambda *three: Circle(three[:2], three[2]))),
    )
}


def text_codec() -> ValueCodec:
    """A type that travels as text."""
    return ValueCodec(1, "money", Opcode.TEXT, Format.TEXT, to_text, from_text)


def array_of(element: ValueCodec) -> ValueCodec:
    return _codec(Opcode.ARRAY, naive_array(element), element=element, atomic=False)


def array_bytes(oid: int, fields: Sequence[Field], lower: int = 1) -> bytes:
    if not fields:
        return int_bytes(0, 4) * 2 + int_bytes(oid, 4)
    header = (1, int(None in fields), oid, len(fields), lower)
    return b"".join(int_bytes(number, 4) for number in header) + fields_bytes(fields)


def numeric_bytes(groups: Sequence[int], weight: int, sign: int, scale: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in (len(groups), weight & 0xFFFF, sign, scale, *groups))


def _integers(size: int, *edges: int) -> SearchStrategy[bytes]:
    bits = 8 * size - 1
    numbers = st.integers(-(2**bits), 2**bits - 1) | st.sampled_from([0, -1, 2**bits - 1, -(2**bits), *edges])
    return numbers.map(lambda number: int_bytes(number, size))


_text = st.text(max_size=30).map(lambda text: text.encode("utf-8"))
_moments = st.integers(-(63 * 10**15), 252 * 10**15).map(lambda number: int_bytes(number, 8))

#: Bytes that a codec accepts; with a few that are no value of Python's type.
VALID: dict[Opcode, SearchStrategy[bytes]] = {
    Opcode.CALL: st.binary(max_size=20),
    Opcode.BOOL: st.sampled_from([b"\0", b"\1"]),
    Opcode.INT2: _integers(2),
    Opcode.INT4: _integers(4),
    Opcode.INT8: _integers(8),
    Opcode.UINT4: _integers(4),
    Opcode.FLOAT4: st.binary(min_size=4, max_size=4),
    Opcode.FLOAT8: st.binary(min_size=8, max_size=8),
    Opcode.NUMERIC: st.builds(
        numeric_bytes,
        st.lists(st.integers(0, 9999), max_size=12),
        st.integers(-20, 20),
        st.sampled_from([0, 0, 0x4000, 0x4000, 0xC000, 0xD000, 0xF000]),
        st.integers(0, 60),
    ),
    Opcode.TEXT: _text,
    Opcode.BYTEA: st.binary(max_size=30),
    Opcode.UUID: st.binary(min_size=16, max_size=16),
    Opcode.DATE: _integers(4) | st.integers(-730_119, 2_921_939).map(lambda number: int_bytes(number, 4)),
    Opcode.TIME: st.integers(0, 86_400_000_000).map(lambda number: int_bytes(number, 8)),
    Opcode.TIMESTAMP: _integers(8) | _moments,
    Opcode.TIMESTAMPTZ: _integers(8) | _moments,
    Opcode.INTERVAL: st.builds(
        lambda microseconds, days, months: int_bytes(microseconds, 8) + int_bytes(days, 4) + int_bytes(months, 4),
        st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**12), 10**12),
        st.integers(-(2**31), 2**31 - 1) | st.integers(-1000, 1000),
        st.just(0) | st.integers(-(2**31), 2**31 - 1) | st.integers(-30, 30),
    ),
    Opcode.JSONB: _text.map(lambda data: b"\1" + data),
    Opcode.CHAR: st.binary(min_size=1, max_size=1),
    Opcode.UINT8: _integers(8),
    Opcode.TID: st.binary(min_size=6, max_size=6),
    Opcode.TIMETZ: st.builds(
        lambda microseconds, west: int_bytes(microseconds, 8) + int_bytes(west, 4),
        st.integers(0, 86_400_000_000),
        st.integers(-86_401, 86_401) | st.integers(-14, 14).map(lambda hours: 3600 * hours),
    ),
    Opcode.POINT: st.binary(min_size=16, max_size=16),
    Opcode.LINE: st.binary(min_size=24, max_size=24),
    Opcode.LSEG: st.binary(min_size=32, max_size=32),
    Opcode.BOX: st.binary(min_size=32, max_size=32),
    Opcode.CIRCLE: st.binary(min_size=24, max_size=24),
}


# Rows

Decoded = tuple[int, Exception | None]


def naive_rows(
    codecs: Sequence[ValueCodec], names: Sequence[str], data: bytes, rows: list[tuple[Any, ...]], max_rows: int
) -> Decoded:
    """`decode_rows` of all of `data`; rows are tuples of values."""
    at = 0
    while len(rows) < max_rows and data[at : at + 1] == b"D" and len(data) - at >= 5:
        length = int.from_bytes(data[at + 1 : at + 5], "big", signed=True)
        if length < 6:
            raise ProtocolError
        if at + 1 + length > len(data):
            break
        body = data[at + 5 : at + 1 + length]
        at += 1 + length
        if int.from_bytes(body[:2], "big") != len(codecs):
            raise ProtocolError
        fields, rest = naive_fields(body[2:], len(codecs))
        if fields is None or rest:
            raise ProtocolError
        error = naive_values(codecs, names, fields, rows)
        if error is not None:
            return at, error
    return at, None


def naive_copy(
    codecs: Sequence[ValueCodec], names: Sequence[str], data: bytes, rows: list[tuple[Any, ...]], max_rows: int
) -> Decoded:
    """`decode_copy` of all of `data`; rows are tuples of values."""
    at = 0
    while len(rows) < max_rows and len(data) - at >= 2 and data[at : at + 2] != b"\xff\xff":
        if int.from_bytes(data[at : at + 2], "big") != len(codecs):
            raise ProtocolError
        fields, rest = naive_fields(data[at + 2 :], len(codecs))
        if fields is None:
            break
        at = len(data) - len(rest)
        error = naive_values(codecs, names, fields, rows)
        if error is not None:
            return at, error
    return at, None


def naive_fields(data: bytes, count: int) -> tuple[list[Field] | None, bytes]:
    """That many fields, and what is behind them; None if there are less."""
    fields: list[Field] = []
    for _ in range(count):
        if len(data) < 4:
            return None, data
        length = int.from_bytes(data[:4], "big", signed=True)
        data = data[4:]
        if length == -1:
            fields.append(None)
            continue
        if length < 0:
            raise ProtocolError
        if length > len(data):
            return None, data
        fields.append(data[:length])
        data = data[length:]
    return fields, data


def naive_values(
    codecs: Sequence[ValueCodec], names: Sequence[str], fields: Sequence[Field], rows: list[tuple[Any, ...]]
) -> Exception | None:
    values: list[Any] = []
    for number, (codec, name, field) in enumerate(zip(codecs, names, fields, strict=True), 1):
        try:
            values.append(None if field is None else codec.decode(field))
        except ValueError as error:
            refusal = InvalidValueError(f"cannot decode column {number} ({name!r}) of type {codec.name}: {error}")
            refusal.__cause__ = error
            return refusal
    rows.append(tuple(values))
    return None
