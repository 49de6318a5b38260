"""Arrays, ranges, multiranges and composites are what their codecs say, inlined or not, and whatever the bytes are."""

import functools
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio import kernel
from pgsansio.codecs import (
    boolean,
    bytea,
    date_time,
    floating,
    geometric,
    identifiers,
    integer,
    json,
    numeric,
    text,
    uuid,
)
from pgsansio.codecs.array import array_codec
from pgsansio.codecs.composite import composite_codec
from pgsansio.codecs.range import multirange_codec, range_codec
from pgsansio.errors import DataError, InvalidValueError
from pgsansio.kernel.contract import Opcode, OutdatedTypeError, ValueCodec
from pgsansio.types import Box, Circle, Line, LineSegment, Point
from tests.support.naive_kernel import CODECS, VALID, copy_tuple, data_row, fields_bytes, int_bytes

#: One codec of each opcode that is the library's, and one of a type that no kernel knows.
SCALARS: dict[Opcode, ValueCodec] = {
    pair[0].opcode: pair[0]
    for module in (boolean, bytea, date_time, floating, geometric, identifiers, integer, json, numeric, text, uuid)
    for pair in module.CODECS
}
SCALARS[Opcode.CALL] = CODECS[Opcode.CALL]

MANY = 2**31


def numbered(oid: int, values: bytes) -> bytes:
    """A member of a composite: the oid before its length."""
    return int_bytes(oid, 4) + values


# Value bytes that are mostly right. What is built of them is right, too, until it is damaged.

Built = tuple[ValueCodec, st.SearchStrategy[bytes]]


def scalar(opcode: Opcode) -> Built:
    return SCALARS[opcode], VALID[opcode]


@st.composite
def array_values(draw: st.DrawFn, oid: int, values: st.SearchStrategy[bytes]) -> bytes:
    fields = draw(st.lists(values | st.none(), max_size=4)) if draw(st.booleans()) else draw(st.lists(values))
    if not fields and draw(st.booleans()):
        return int_bytes(0, 4) * 2 + int_bytes(oid, 4)
    header = (draw(st.sampled_from([1, 1, 1, 2])), int(None in fields), oid)
    sizes = [len(fields), draw(st.sampled_from([1, 1, 1, 0, -7]))]
    if header[0] == 2:
        sizes += [1, 1]
    return b"".join(int_bytes(number, 4) for number in (*header, *sizes)) + fields_bytes(fields)


@st.composite
def range_values(draw: st.DrawFn, values: st.SearchStrategy[bytes]) -> bytes:
    flags = draw(st.sampled_from([0, 2, 2, 4, 6, 8, 12, 16, 18, 24, 1, 10, 20, 32]))
    bounds = [draw(values) for missing in (8, 16) if not flags & (missing | 1)]
    return bytes([flags]) + fields_bytes(bounds)


@st.composite
def composite_values(draw: st.DrawFn, members: list[Built]) -> bytes:
    parts = [numbered(codec.oid, fields_bytes([draw(values | st.none())])) for codec, values in members]
    return int_bytes(len(members), 4) + b"".join(parts)


def array(element: Built) -> Built:
    return array_codec(9001, "an array", element[0]), array_values(element[0].oid, element[1])


def range_(subtype: Built) -> Built:
    return range_codec(9002, "a range", subtype[0]), range_values(subtype[1])


def multirange(subtype: Built) -> Built:
    ranges, values = range_(subtype)
    several = st.lists(values, max_size=3).map(lambda parts: int_bytes(len(parts), 4) + fields_bytes(parts))
    return multirange_codec(9003, "a multirange", ranges), several


def composite(members: list[Built]) -> Built:
    names = tuple(f"m{number}" for number in range(len(members)))
    codec = composite_codec(9004, "a composite", names, tuple(member[0] for member in members))
    return codec, composite_values(members)


@st.composite
def containers(draw: st.DrawFn) -> Built:
    """A container of anything that the kernel inlines, up to three levels deep."""
    built = scalar(draw(st.sampled_from(sorted(SCALARS))))
    for _ in range(draw(st.integers(1, 3))):
        make = draw(st.sampled_from([array, range_, multirange, composite]))
        if make is composite:
            others = draw(st.lists(st.sampled_from(sorted(SCALARS)).map(scalar), max_size=4))
            place = draw(st.integers(0, len(others)))
            built = composite([*others[:place], built, *others[place:]])
        else:
            built = make(built)  # type: ignore[operator]
    return built


def warm_rows(codecs: list[ValueCodec]) -> kernel.contract.RowPlan:
    plan = kernel.row_plan(tuple("abc"[: len(codecs)]), tuple(codecs), kernel.Record)
    nulls = data_row(*[None] * len(codecs)) * 200
    kernel.decode_rows(plan, nulls, 0, len(nulls), [], MANY)
    return plan


def same_types(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple | kernel.Record):
        return len(one) == len(other) and all(map(same_types, one, other))
    return repr(one) == repr(other)


def check(codec: ValueCodec, value: bytes) -> None:
    other = SCALARS[Opcode.TEXT]
    plan = warm_rows([codec, other, codec])
    data = data_row(value, b"x", value) + b"Z\0\0\0\5I"
    rows: list[Any] = []
    _, error = kernel.decode_rows(plan, data, 0, len(data), rows, MANY)
    refused: Exception | None = None
    expected = None
    try:
        expected = codec.decode(value)
    except ValueError as raised:
        refused = raised
    if refused is None:
        assert error is None
        assert same_types(tuple(rows[0]), (expected, "x", expected))
        assert repr(rows[0][0]) == repr(expected)
    elif type(refused) is OutdatedTypeError:
        assert (type(error), str(error)) == (OutdatedTypeError, str(refused))
    else:
        assert type(error) is InvalidValueError
        assert str(error) == f"cannot decode column 1 ('a') of type {codec.name}: {refused}"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_decoded_as_by_the_codec(data: st.DataObject) -> None:
    codec, values = data.draw(containers())
    check(codec, data.draw(values))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_values_are_what_the_codec_says(data: st.DataObject) -> None:
    codec, values = data.draw(containers())
    value = bytearray(data.draw(values))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(value)))
        value[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"\xff", b"\0", b"\1", b"", b"\xfe", b"\7"])
        )
    check(codec, bytes(value))


@pytest.mark.parametrize("opcode", sorted(SCALARS))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_each_type_in_an_array(opcode: Opcode, data: st.DataObject) -> None:
    codec, values = array(scalar(opcode))
    check(codec, data.draw(values | values.map(lambda value: value[:-1]) | values.map(lambda value: value + b"\0")))


@pytest.mark.parametrize("opcode", sorted(SCALARS))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_each_type_in_a_composite_and_a_range(opcode: Opcode, data: st.DataObject) -> None:
    for codec, values in (composite([scalar(Opcode.INT4), scalar(opcode)] * 2), range_(scalar(opcode))):
        check(codec, data.draw(values | values.map(lambda value: value[:-1]) | values.map(lambda value: value + b"\0")))


@pytest.mark.parametrize("opcode", sorted(SCALARS))
def test_of_another_type_than_was_described(opcode: Opcode) -> None:
    codec = SCALARS[opcode]
    names, other = ("a", "b"), int_bytes(codec.oid + 1, 4)
    one, two = int_bytes(codec.oid, 4), fields_bytes([None])
    array_header = int_bytes(1, 4) + int_bytes(1, 4)
    for found in (one, other):
        check(array_codec(1, "a", codec), bytes(8) + found)
        check(array_codec(1, "a", codec), array_header + found + int_bytes(1, 4) * 2 + two)
        check(composite_codec(2, "c", names, (codec, codec)), int_bytes(2, 4) + one + two + found + two)
    check(composite_codec(2, "c", names, (codec, codec)), int_bytes(1, 4) + one + two)


@pytest.mark.parametrize("opcode", sorted(SCALARS))
@pytest.mark.parametrize("width", [1, 2, 4, 6, 8, 12, 16, 24, 32])
def test_wrong_lengths_that_add_up(opcode: Opcode, width: int) -> None:
    codec = SCALARS[opcode]
    header = b"".join(int_bytes(number, 4) for number in (1, 0, codec.oid, 2, 1))
    check(array_codec(1, "a", codec), header + fields_bytes([b"\1" * (width + 1), b"\1" * (width - 1)]))


def test_more_elements_than_there_are_bytes() -> None:
    """Neither time nor memory follows from a number that the server names."""
    int4 = SCALARS[Opcode.INT4]
    codecs = [array_codec(1, "a", int4), multirange_codec(3, "m", range_codec(2, "r", int4))]
    for codec, head in zip(codecs, (int_bytes(1, 4) + int_bytes(0, 4) + int_bytes(23, 4), b""), strict=True):
        for count in (2**31 - 1, -1, -(2**31), 3):
            check(codec, head + int_bytes(count, 4) + int_bytes(1, 4) + bytes(4))


# Encoding: of arrays, and of the types in them

THIS = UUID("12345678-1234-5678-1234-567812345678")
_zones = st.none() | st.sampled_from(
    [UTC, timezone(timedelta(hours=-5)), timezone(timedelta(seconds=1)), timezone(timedelta(microseconds=1))]
)
_edges = [datetime.min, datetime.max, datetime(1, 12, 31), datetime(9999, 1, 1), datetime(2000, 1, 1)]
_floats = st.floats(allow_nan=True) | st.sampled_from([0.0, -0.0])
_text = st.text(max_size=9) | st.sampled_from(["", "\0", "\ud800"])


def whole(low: int, high: int) -> st.SearchStrategy[object]:
    return st.integers(low, high) | st.sampled_from([low, high, low - 1, high + 1, True])


def numbers(make: Callable[..., object], count: int) -> st.SearchStrategy[object]:
    return st.tuples(*[_floats] * count).map(lambda parts: make(*parts))


PYTHON: dict[Opcode, st.SearchStrategy[object]] = {
    Opcode.CALL: st.binary(max_size=3),
    Opcode.BOOL: st.booleans(),
    Opcode.CHAR: st.binary(max_size=2),
    Opcode.INT2: whole(-(2**15), 2**15 - 1),
    Opcode.INT4: whole(-(2**31), 2**31 - 1),
    Opcode.INT8: whole(-(2**63), 2**63 - 1),
    Opcode.UINT4: whole(0, 2**32 - 1),
    Opcode.UINT8: whole(0, 2**64 - 1),
    Opcode.FLOAT4: _floats | st.integers(),
    Opcode.FLOAT8: _floats | st.integers(),
    Opcode.NUMERIC: st.decimals()
    | st.decimals(-(10**14), 10**14, places=2)
    | st.integers()
    | st.sampled_from(
        [
            Decimal(literal)
            for literal in ("0", "-0.00", "1E+9", "1E-9", "99999999999999", "1.00000000", "10000", "-1e8")
        ]
    ),
    Opcode.TEXT: _text,
    Opcode.JSONB: _text,
    Opcode.BYTEA: st.binary(max_size=9) | st.just(bytearray(b"x")),
    Opcode.UUID: st.uuids() | st.builds(kernel.UUID, bytes=st.binary(min_size=16, max_size=16)) | st.just(str(THIS)),
    Opcode.TID: st.tuples(whole(0, 2**32 - 1), whole(0, 2**16 - 1)) | st.just([1, 2]) | st.just((1, 2, 3)),
    Opcode.DATE: st.dates() | st.sampled_from([date.min, date.max, *_edges]),
    Opcode.TIME: st.times(timezones=_zones) | st.sampled_from(_edges),
    Opcode.TIMETZ: st.times(timezones=_zones) | st.sampled_from(_edges),
    Opcode.TIMESTAMP: st.datetimes(timezones=_zones) | st.sampled_from(_edges) | st.dates(),
    Opcode.TIMESTAMPTZ: st.builds(
        lambda moment, zone: moment.replace(tzinfo=zone), st.datetimes() | st.sampled_from(_edges), _zones
    ),
    Opcode.INTERVAL: st.timedeltas() | st.sampled_from([timedelta.min, timedelta.max]),
    Opcode.POINT: numbers(Point, 2) | st.tuples(_floats, _floats),
    Opcode.LINE: numbers(Line, 3) | st.tuples(_floats, _floats),
    Opcode.LSEG: numbers(lambda *four: LineSegment(four[:2], four[2:]), 4),
    Opcode.BOX: numbers(lambda *four: Box(four[:2], four[2:]), 4) | st.just(((1, 2), (3, 4))),
    Opcode.CIRCLE: numbers(lambda *three: Circle(three[:2], three[2]), 3),
}
_WRONG: st.SearchStrategy[object] = st.sampled_from(["x", 1, b"x", 1.5, None, object(), [1], [], date.max, time.min])


@functools.lru_cache(maxsize=64)
def warm_parameters(codecs: tuple[ValueCodec, ...]) -> kernel.contract.ParameterPlan:
    plan = kernel.parameter_plan(codecs)
    for _ in range(60):
        kernel.encode_copy(plan, iter([[None] * len(codecs)]), MANY, 0)
    return plan


def check_encoding(codec: ValueCodec, value: object) -> None:
    plan = warm_parameters((codec, SCALARS[Opcode.INT4], codec))
    refused: Exception | None = None
    field = None
    try:
        field = None if value is None else codec.encode(value)
    except Exception as raised:
        refused = raised
    if refused is not None:
        with pytest.raises(DataError, match=r"column 1 in record #0") as caught:
            kernel.encode_copy(plan, iter([[value, 1, value]]), MANY, 0)
        assert type(caught.value.__cause__) is type(refused)
        return
    # Also with another in the run that is not ordinary.
    for number in (1, True):
        for other, other_field in ((value, field), (None, None)):
            data = kernel.encode_copy(plan, iter([[value, number, other]]), MANY, 0)[0]
            assert data == copy_tuple(field, b"\0\0\0\1", other_field)


@pytest.mark.parametrize("opcode", sorted(SCALARS))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_encoded_as_by_the_codec(opcode: Opcode, data: st.DataObject) -> None:
    check_encoding(SCALARS[opcode], data.draw(PYTHON[opcode] | PYTHON[opcode] | _WRONG))


@pytest.mark.parametrize("opcode", sorted(SCALARS))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_array_encoded_as_by_the_codec(opcode: Opcode, data: st.DataObject) -> None:
    codec = array_codec(9001, "an array", SCALARS[opcode])
    item = PYTHON[opcode]
    values = st.lists(item, max_size=5) | st.lists(item | _WRONG, max_size=3) | st.lists(st.lists(item, max_size=2))
    value = data.draw(values)
    check_encoding(codec, value)
    check_encoding(codec, tuple(value))
