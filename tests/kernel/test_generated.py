"""The pure kernel's generated functions are used: what they do is shown elsewhere, and is right without them, too."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from pgsansio.enums import Format
from pgsansio.kernel import pure
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types import Box, Circle, Line, LineSegment, Point, Range
from tests.support.naive_kernel import CODECS, VALID, array_bytes, copy_tuple, data_row, int_bytes, numeric_bytes


def asked(value: Any) -> Any:
    raise AssertionError(f"a codec was asked about {value!r}")


def silent(codec: ValueCodec) -> ValueCodec:
    """The codec of an opcode, to be done without."""
    return ValueCodec(codec.oid, codec.name, codec.opcode, Format.BINARY, asked, asked, codec.element)


ORDINARY: dict[Opcode, bytes] = {
    Opcode.BOOL: b"\1",
    Opcode.CHAR: b"c",
    Opcode.INT2: int_bytes(-5, 2),
    Opcode.INT4: int_bytes(5, 4),
    Opcode.INT8: int_bytes(2**40, 8),
    Opcode.UINT4: int_bytes(5, 4),
    Opcode.FLOAT4: bytes(4),
    Opcode.FLOAT8: bytes(8),
    Opcode.NUMERIC: numeric_bytes([12, 3400], 0, 0x4000, 2),
    Opcode.TEXT: "h\u00e9".encode(),
    Opcode.BYTEA: b"\xff",
    Opcode.UUID: bytes(16),
    Opcode.DATE: int_bytes(9000, 4),
    Opcode.TIME: int_bytes(1, 8),
    Opcode.TIMETZ: int_bytes(1, 8) + int_bytes(-3600, 4),
    Opcode.TIMESTAMP: int_bytes(10**15, 8),
    Opcode.TIMESTAMPTZ: int_bytes(-1, 8),
    Opcode.INTERVAL: int_bytes(1, 8) + int_bytes(1, 4) + int_bytes(0, 4),
    Opcode.JSONB: b"\1{}",
    Opcode.UINT8: int_bytes(-1, 8),
    Opcode.TID: bytes(6),
    Opcode.POINT: bytes(16),
    Opcode.LINE: bytes(24),
    Opcode.LSEG: bytes(32),
    Opcode.BOX: bytes(32),
    Opcode.CIRCLE: bytes(24),
}
#: What is handed to the codec as it is.
assert ORDINARY.keys() == VALID.keys() - {Opcode.CALL}

DECODERS = pytest.mark.parametrize(
    ("frame", "decode"), [(data_row, pure.decode_rows), (copy_tuple, pure.decode_copy)], ids=["rows", "copy"]
)


def warm_row_plan(codecs: list[ValueCodec], frame: Callable[..., bytes], decode: Callable[..., Any]) -> pure.RowPlan:
    plan = pure.row_plan(tuple("c" for _ in codecs), tuple(codecs), pure.Record)
    nulls = frame(*[None] * len(codecs)) * 100
    decode(plan, nulls, 0, len(nulls), [], 1000)
    return plan


@DECODERS
@pytest.mark.parametrize("opcode", ORDINARY)
def test_ordinary_values_need_no_codec(frame: Callable[..., bytes], decode: Callable[..., Any], opcode: Opcode) -> None:
    value = ORDINARY[opcode]
    one, other = silent(CODECS[opcode]), silent(CODECS[Opcode.TEXT])
    for codecs, fields in (([one], [value]), ([one, other, one], [value, b"text", value])):
        plan = warm_row_plan(codecs, frame, decode)
        data = (frame(*fields) + frame(*[None] * len(codecs))) * 9 + frame(*fields) * 300
        rows: list[Any] = []
        assert decode(plan, data, 0, len(data), rows, 1000) == (len(data), None)
        assert len(rows) == 318


def container(opcode: Opcode, **parts: Any) -> ValueCodec:
    """A container of what is done without a codec, to be done without one itself."""
    return ValueCodec(1, opcode.name.lower(), opcode, Format.BINARY, asked, asked, atomic=False, **parts)


def sized(*fields: bytes) -> bytes:
    return b"".join(int_bytes(len(field), 4) + field for field in fields)


@DECODERS
@pytest.mark.parametrize("opcode", ORDINARY)
@pytest.mark.parametrize("count", [0, 1, 256, 600])
def test_vectors_need_no_codec(
    frame: Callable[..., bytes], decode: Callable[..., Any], opcode: Opcode, count: int
) -> None:
    element = silent(CODECS[opcode])
    plan = warm_row_plan([container(Opcode.ARRAY, element=element)], frame, decode)
    for fields in ([ORDINARY[opcode]] * count, [ORDINARY[opcode], None] * (count // 2)):
        data = frame(array_bytes(element.oid, fields))
        rows: list[Any] = []
        assert decode(plan, data, 0, len(data), rows, 1) == (len(data), None)
        value = CODECS[opcode].decode(ORDINARY[opcode])
        assert repr(rows[0][0]) == repr([None if field is None else value for field in fields])


@DECODERS
@pytest.mark.parametrize("opcode", ORDINARY)
def test_other_containers_need_no_codec(
    frame: Callable[..., bytes], decode: Callable[..., Any], opcode: Opcode
) -> None:
    part, value = silent(CODECS[opcode]), CODECS[opcode].decode(ORDINARY[opcode])
    whole, record = silent(CODECS[Opcode.INT4]), (2, value, None, 2, [(3, value)])
    range_codec = container(Opcode.RANGE, element=part)
    inner = container(Opcode.COMPOSITE, members=(whole, part), names=("a", "b"))
    composite = container(
        Opcode.COMPOSITE,
        members=(whole, part, part, whole, container(Opcode.ARRAY, element=inner)),
        names=("a", "b", "c", "d", "e"),
    )
    codecs = [range_codec, container(Opcode.MULTIRANGE, element=range_codec), composite]
    bounds = b"\2" + sized(ORDINARY[opcode]) * 2
    two, three = int_bytes(2, 4), int_bytes(3, 4)

    def attribute(codec: ValueCodec, data: bytes) -> bytes:
        return int_bytes(codec.oid, 4) + sized(data)

    nested = array_bytes(1, [two + attribute(whole, three) + attribute(part, ORDINARY[opcode])])
    null = int_bytes(part.oid, 4) + b"\xff\xff\xff\xff"
    composite_bytes = b"\0\0\0\5" + attribute(whole, two) + attribute(part, ORDINARY[opcode]) + null
    composite_bytes += attribute(whole, two) + int_bytes(1, 4) + sized(nested)
    plan = warm_row_plan(codecs, frame, decode)
    data = frame(bounds, two + sized(bounds, b"\x18"), composite_bytes)
    rows: list[Any] = []
    assert decode(plan, data * 3, 0, len(data) * 3, rows, 3) == (len(data) * 3, None)
    ordinary = Range(value, value)
    assert repr([tuple(row[:2]) for row in rows]) == repr([(ordinary, [ordinary, Range()])] * 3)
    for row in rows:
        assert repr(tuple(row[2])) == repr((*record[:4], row[2]["e"]))
        assert type(row[2]) is type(row[2]["e"][0]) is pure.Record
        assert repr(dict(row[2]["e"][0])) == repr({"a": 3, "b": value})


ARGUMENTS: dict[Opcode, object] = {
    Opcode.BOOL: True,
    Opcode.CHAR: b"x",
    Opcode.INT2: 1,
    Opcode.INT4: 1,
    Opcode.INT8: 1,
    Opcode.UINT4: 1,
    Opcode.UINT8: 2**64 - 1,
    Opcode.FLOAT4: 1.0,
    Opcode.FLOAT8: 1.0,
    Opcode.NUMERIC: Decimal("-12.34"),
    Opcode.TEXT: "x",
    Opcode.JSONB: "x",
    Opcode.BYTEA: b"x",
    Opcode.UUID: pure.UUID(int=1),
    Opcode.TID: (1, 2),
    Opcode.DATE: date(2024, 2, 29),
    Opcode.TIME: time(1, 2, 3),
    Opcode.TIMETZ: time(1, 2, 3, tzinfo=UTC),
    Opcode.TIMESTAMP: datetime(2000, 1, 1),
    Opcode.TIMESTAMPTZ: datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=5))),
    Opcode.INTERVAL: timedelta(1, 2, 3),
    Opcode.POINT: Point(1, 2),
    Opcode.LINE: Line(1, 2, 3),
    Opcode.LSEG: LineSegment((1, 2), (3, 4)),
    Opcode.BOX: Box((1, 2), (3, 4)),
    Opcode.CIRCLE: Circle((1, 2), 3),
}
assert ARGUMENTS.keys() == ORDINARY.keys()


@pytest.mark.parametrize("opcode", ARGUMENTS)
def test_ordinary_arguments_need_no_codec(opcode: Opcode) -> None:
    plan = pure.parameter_plan((silent(CODECS[opcode]), silent(CODECS[Opcode.TEXT])))
    for _ in range(100):
        pure.encode_bind(plan, b"\0\0", (None, None), b"", b"")
        for function in (encode_many, encode_copy):
            function(plan, [(None, None)])
    arguments = (ARGUMENTS[opcode], "y")
    pure.encode_bind(plan, b"\0\0", arguments, b"", b"")
    assert encode_many(plan, [arguments])[1:] == encode_copy(plan, [arguments])[1:] == (1, True)


@pytest.mark.parametrize("opcode", ARGUMENTS)
def test_nulls_and_others_beside_an_ordinary_argument_need_no_codec_for_it(opcode: Opcode) -> None:
    plan = pure.parameter_plan((silent(CODECS[opcode]), CODECS[Opcode.INT4], silent(CODECS[opcode])))
    for _ in range(100):
        encode_copy(plan, [(None, None, None)])
    value = ARGUMENTS[opcode]
    elements: list[object] = [(value, True, value), (value, 5, None), (None, True, value)]
    assert encode_copy(plan, elements)[1:] == (3, True)


@pytest.mark.parametrize("opcode", ARGUMENTS)
@pytest.mark.parametrize("count", [1, 256, 600])
def test_vectors_of_ordinary_arguments_need_no_codec(opcode: Opcode, count: int) -> None:
    plan = pure.parameter_plan((container(Opcode.ARRAY, element=silent(CODECS[opcode])), CODECS[Opcode.INT4]))
    for _ in range(100):
        encode_copy(plan, [(None, None)])
    values = [ARGUMENTS[opcode]] * count
    # The bytes of the first are what a scalar of the type has.
    alone = pure.parameter_plan((silent(CODECS[opcode]),))
    for _ in range(100):
        encode_copy(alone, [(None,)])
    one = encode_copy(alone, [(ARGUMENTS[opcode],)])[0][6:]
    expected = copy_tuple(array_bytes(CODECS[opcode].oid, [one] * count), int_bytes(7, 4))
    for sequence in (values, tuple(values)):
        assert encode_copy(plan, [(sequence, 7)])[0] == expected


def encode_many(plan: pure.ParameterPlan, elements: list[object]) -> tuple[bytes, int, bool]:
    source: Iterator[object] = iter(elements)
    return pure.encode_many(plan, b"\0\0", source, b"", b"", 1000, 0)


def encode_copy(plan: pure.ParameterPlan, elements: list[object]) -> tuple[bytes, int, bool]:
    source: Iterator[object] = iter(elements)
    return pure.encode_copy(plan, source, 10**6, 0)
