"""`decode_rows` and `decode_copy`: against values written down, and against the naive kernel.

A plan may decode its first rows in another way than those after them, so everything is shown for a new plan and for one
that has decoded some hundred rows.
"""

import math
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio import kernel
from pgsansio.codecs.registry import Registry
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError, InvalidValueError, ProtocolError
from pgsansio.kernel.contract import Buffer, OutdatedTypeError, RowPlan, UnknownTypeError, ValueCodec
from pgsansio.kernel.contract import Opcode as O
from tests.support.naive_kernel import (
    CODECS,
    VALID,
    Field,
    array_bytes,
    array_of,
    copy_tuple,
    data_row,
    int_bytes,
    naive_copy,
    naive_rows,
    numeric_bytes,
    text_codec,
)

READY = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"
TRAILER = b"\xff\xff"
MANY = 2**31

Decode = Callable[[RowPlan, Buffer, int, int, list[Any], int], tuple[int, Exception | None]]


class Framing:
    """DataRow messages, or the tuples of binary COPY."""

    def __init__(self, name: str, frame: Callable[..., bytes], decode: Decode, naive: Any, end: bytes) -> None:
        self.name = name
        self.frame = frame
        self.decode = decode
        self.naive = naive
        #: What stands behind the last row.
        self.end = end

    def plan(self, codecs: Sequence[ValueCodec], warm: bool) -> RowPlan:
        names = tuple(f"c{number}" for number in range(len(codecs)))
        plan = kernel.row_plan(names, tuple(codecs), kernel.Record)
        if warm:
            nulls = self.frame(*[None] * len(codecs)) * 200
            assert self.decode(plan, nulls, 0, len(nulls), [], MANY) == (len(nulls), None)
        return plan

    def run(
        self, plan: RowPlan, data: bytes, max_rows: int = MANY
    ) -> tuple[list[tuple[Any, ...]], int, Exception | None]:
        rows: list[Any] = []
        position, error = self.decode(plan, data, 0, len(data), rows, max_rows)
        return list(map(tuple, rows)), position, error


FRAMINGS = [
    Framing("rows", data_row, kernel.decode_rows, naive_rows, READY),
    Framing("copy", copy_tuple, kernel.decode_copy, naive_copy, TRAILER),
]


@pytest.fixture(params=FRAMINGS, ids=lambda framing: framing.name)
def framing(request: pytest.FixtureRequest) -> Framing:
    chosen: Framing = request.param
    return chosen


@pytest.fixture(params=[False, True], ids=["new", "warm"])
def warm(request: pytest.FixtureRequest) -> bool:
    chosen: bool = request.param
    return chosen


def codec(opcode: O) -> ValueCodec:
    return CODECS[opcode]


TEXT, INT4 = codec(O.TEXT), codec(O.INT4)


# Values


VALUES: list[tuple[O, bytes, Any]] = [
    (O.BOOL, b"\0", False),
    (O.BOOL, b"\1", True),
    (O.BOOL, b"\2", True),
    (O.CHAR, b"r", b"r"),
    (O.CHAR, b"\0", b"\0"),
    (O.INT2, b"\x80\0", -32768),
    (O.INT2, b"\x7f\xff", 32767),
    (O.INT4, b"\x80\0\0\0", -(2**31)),
    (O.INT4, b"\xff\xff\xff\xff", -1),
    (O.INT8, b"\x7f" + b"\xff" * 7, 2**63 - 1),
    (O.INT8, b"\x80" + b"\0" * 7, -(2**63)),
    (O.UINT4, b"\xff\xff\xff\xff", 2**32 - 1),
    (O.FLOAT4, struct.pack(">f", 0.1), 0.10000000149011612),
    (O.FLOAT4, b"\x7f\x80\0\0", math.inf),
    (O.FLOAT4, b"\0\0\0\1", 2.0**-149),
    (O.FLOAT8, struct.pack(">d", 0.1), 0.1),
    (O.FLOAT8, b"\x80" + b"\0" * 7, -0.0),
    (O.FLOAT8, b"\x7f\xf8" + b"\0" * 6, math.nan),
    (O.NUMERIC, numeric_bytes([], 0, 0, 0), Decimal("0")),
    (O.NUMERIC, numeric_bytes([], 0, 0, 2), Decimal("0.00")),
    (O.NUMERIC, numeric_bytes([1], 0, 0, 0), Decimal("1")),
    (O.NUMERIC, numeric_bytes([1, 1000], 0, 0, 2), Decimal("1.10")),
    (O.NUMERIC, numeric_bytes([1234, 5678], 0, 0x4000, 4), Decimal("-1234.5678")),
    (O.NUMERIC, numeric_bytes([1], 1, 0, 0), Decimal("10000")),
    (O.NUMERIC, numeric_bytes([1], -1, 0, 4), Decimal("0.0001")),
    (O.NUMERIC, numeric_bytes([5], -25, 0, 100), Decimal("5E-100")),
    (O.NUMERIC, numeric_bytes([1], 100, 0, 0), Decimal(10**400)),
    (O.NUMERIC, numeric_bytes([9999] * 12, 5, 0, 24), Decimal("9" * 24 + "." + "9" * 24)),
    (O.NUMERIC, numeric_bytes([], 0, 0xC000, 0), Decimal("NaN")),
    (O.NUMERIC, numeric_bytes([], 0, 0xD000, 0), Decimal("Infinity")),
    (O.NUMERIC, numeric_bytes([], 0, 0xF000, 0), Decimal("-Infinity")),
    (O.TEXT, b"", ""),
    (O.TEXT, "h\u00e9 \U0001f600".encode(), "h\u00e9 \U0001f600"),
    (O.BYTEA, b"", b""),
    (O.BYTEA, b"\xff\0", b"\xff\0"),
    (O.UUID, bytes(range(16)), UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")),
    (O.DATE, int_bytes(0, 4), date(2000, 1, 1)),
    (O.DATE, int_bytes(-1, 4), date(1999, 12, 31)),
    (O.DATE, int_bytes(2**31 - 1, 4), date.max),
    (O.DATE, int_bytes(-(2**31), 4), date.min),
    (O.DATE, int_bytes(-730_119, 4), date(1, 1, 1)),
    (O.TIME, int_bytes(0, 8), time()),
    (O.TIME, int_bytes(86_399_999_999, 8), time(23, 59, 59, 999_999)),
    (O.TIMESTAMP, int_bytes(-1, 8), datetime(1999, 12, 31, 23, 59, 59, 999_999)),
    (O.TIMESTAMP, int_bytes(2**63 - 1, 8), datetime.max),
    (O.TIMESTAMP, int_bytes(-(2**63), 8), datetime.min),
    (O.TIMESTAMPTZ, int_bytes(86_400_000_001, 8), datetime(2000, 1, 2, 0, 0, 0, 1, tzinfo=UTC)),
    (O.TIMESTAMPTZ, int_bytes(2**63 - 1, 8), datetime.max.replace(tzinfo=UTC)),
    (O.TIMESTAMPTZ, int_bytes(-(2**63), 8), datetime.min.replace(tzinfo=UTC)),
    (O.INTERVAL, int_bytes(-1, 8) + int_bytes(2, 4) + int_bytes(0, 4), timedelta(2, 0, -1)),
    (O.INTERVAL, int_bytes(0, 8) + int_bytes(1, 4) + int_bytes(-13, 4), timedelta(1 - 365 - 30)),
    (O.JSONB, b'\1{"a": 1}', '{"a": 1}'),
    (O.CALL, b"xy", ("called", b"xy")),
]


def same(one: object, other: object) -> bool:
    """Equal to the last digit and zero, type by type; NaN is equal to NaN."""
    return repr(one) == repr(other)


@pytest.mark.parametrize(("opcode", "data", "expected"), VALUES)
def test_value(framing: Framing, warm: bool, opcode: O, data: bytes, expected: Any) -> None:
    one = codec(opcode)
    assert same(one.decode(data), expected)
    for codecs, fields, values in (
        ([one], [data], (expected,)),
        ([INT4, one, TEXT], [int_bytes(7, 4), data, b"t"], (7, expected, "t")),
        ([TEXT, one, one], [b"t", None, data], ("t", None, expected)),
    ):
        plan = framing.plan(codecs, warm)
        message = framing.frame(*fields)
        for rows in (1, 10):
            whole = message * rows + framing.end
            got, position, error = framing.run(plan, whole)
            assert error is None
            assert position == len(message) * rows
            assert len(got) == rows
            assert all(same(row, values) for row in got)


ELEMENTS = [O.BOOL, O.INT2, O.INT4, O.INT8, O.UINT4, O.FLOAT4, O.FLOAT8, O.TEXT, O.DATE, O.CHAR]


@pytest.mark.parametrize("opcode", ELEMENTS)
@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 600])
def test_array(framing: Framing, warm: bool, opcode: O, count: int) -> None:
    element = codec(opcode)
    width = {O.BOOL: 1, O.INT2: 2, O.INT8: 8, O.FLOAT8: 8, O.CHAR: 1}.get(opcode, 4)
    fields: list[Field] = [(number % 97).to_bytes(width, "big") for number in range(count)]
    expected = [None if field is None else element.decode(field) for field in fields]
    plan = framing.plan([array_of(element), INT4], warm)
    message = framing.frame(array_bytes(element.oid, fields), b"\0\0\0\1")
    rows, _, error = framing.run(plan, message * 3)
    assert (error, rows) == (None, [(expected, 1)] * 3)
    # A NULL, and another lower bound.
    fields.append(None)
    message = framing.frame(array_bytes(element.oid, fields, lower=-3), b"\0\0\0\1")
    rows, _, error = framing.run(plan, message * 3)
    assert (error, rows) == (None, [([*expected, None], 1)] * 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:8] + b"\0\0\0\x09" + data[12:],
        lambda data: data[:12] + b"\0\0\0\3" + data[16:],
        lambda data: data[:12] + b"\xff\xff\xff\xff" + data[16:],
        lambda data: data[:20] + b"\0\0\0\3" + data[24:],
        lambda data: data[:20] + b"\xff\xff\xff\xfe" + data[24:],
        lambda data: b"\0\0\0\7" + data[4:],
        lambda data: data[:3],
        lambda data: b"",
    ],
)
def test_array_that_contradicts_itself_is_refused(
    framing: Framing, warm: bool, damage: Callable[[bytes], bytes]
) -> None:
    plan = framing.plan([array_of(INT4)], warm)
    good = array_bytes(INT4.oid, [b"\0\0\0\1", b"\0\0\0\2"])
    first = framing.frame(good)
    bad = framing.frame(damage(good))
    rows, position, error = framing.run(plan, first + bad + first)
    assert rows == [([1, 2],)]
    assert position == len(first + bad)
    assert isinstance(error, InvalidValueError)


# Refused values

REFUSED: list[tuple[O, bytes]] = [
    *((opcode, wrong) for opcode in (O.BOOL, O.CHAR) for wrong in (b"", b"\1\1")),
    *(
        (opcode, wrong)
        for opcode in (O.INT2, O.INT4, O.UINT4, O.FLOAT4, O.DATE)
        for wrong in (b"", b"\0" * 3, b"\0" * 8)
    ),
    *(
        (opcode, wrong)
        for opcode in (O.INT8, O.FLOAT8, O.TIME, O.TIMESTAMP, O.TIMESTAMPTZ, O.UUID, O.INTERVAL)
        for wrong in (b"", b"\0" * 4, b"\0" * 15)
    ),
    (O.TEXT, b"\xff"),
    (O.TEXT, b"ok\xc3"),
    (O.JSONB, b""),
    (O.JSONB, b"\2{}"),
    (O.JSONB, b"\1\xff"),
    (O.DATE, int_bytes(2**31 - 2, 4)),
    (O.DATE, int_bytes(-730_120, 4)),
    (O.TIME, int_bytes(86_400_000_000, 8)),
    (O.TIME, int_bytes(-1, 8)),
    (O.TIMESTAMP, int_bytes(2**63 - 2, 8)),
    (O.TIMESTAMPTZ, int_bytes(-(2**63) + 1, 8)),
    (O.INTERVAL, int_bytes(0, 8) + int_bytes(2**31 - 1, 4) + int_bytes(0, 4)),
    (O.NUMERIC, b""),
    (O.NUMERIC, b"\0" * 7),
    (O.NUMERIC, b"\0" * 9),
    (O.NUMERIC, numeric_bytes([1], 0, 0, 0)[:-1]),
    (O.NUMERIC, numeric_bytes([1, 2], 0, 0, 8)[:-2]),
    (O.NUMERIC, b"\0\1" + numeric_bytes([1, 2], 0, 0, 8)[2:]),
    (O.NUMERIC, b"\0\2" + numeric_bytes([1], 0, 0, 8)[2:]),
    (O.NUMERIC, b"\0\7" + numeric_bytes([1, 2, 3, 4], 0, 0, 20)[2:]),
    (O.NUMERIC, b"\0\3" + numeric_bytes([1, 2, 3, 4], 0, 0, 8)[2:]),
    (O.NUMERIC, numeric_bytes([10_000], 0, 0, 0)),
    (O.NUMERIC, numeric_bytes([1, 10_000], 0, 0, 8)),
    (O.NUMERIC, numeric_bytes([1, 2, 10_000], 0, 0, 8)),
    (O.NUMERIC, numeric_bytes([1], 0, 0x8000, 0)),
    (O.NUMERIC, numeric_bytes([1], 0, 0, 16_384)),
    (O.NUMERIC, numeric_bytes([1, 1234], 0, 0, 2)),
]


@pytest.mark.parametrize(("opcode", "wrong"), REFUSED)
def test_refused_value(framing: Framing, warm: bool, opcode: O, wrong: bytes) -> None:
    codecs = [INT4, codec(opcode), TEXT]
    plan = framing.plan(codecs, warm)
    good, bad = framing.frame(b"\0\0\0\1", None, b"x"), framing.frame(b"\0\0\0\2", wrong, b"y")
    data = good + bad + good
    rows, position, error = framing.run(plan, data)
    assert rows == [(1, None, "x")]
    assert position == len(good + bad)
    assert isinstance(error, InvalidValueError)
    assert str(error) == f"cannot decode column 2 ('c1') of type {codecs[1].name}: {error.__cause__}"
    assert isinstance(error.__cause__, ValueError)
    assert not hasattr(error, "__notes__")
    assert (error.sqlstate, error.connection_usable, error.safe_to_retry) == ("22000", True, False)
    # The caller can go on behind it.
    assert framing.run(plan, data[position:]) == ([(1, None, "x")], len(good), None)


def test_refused_value_among_many_rows_of_one_frame(framing: Framing, warm: bool) -> None:
    plan = framing.plan([codec(O.DATE)], warm)
    good, bad = framing.frame(b"\0\0\0\0"), framing.frame(b"\x7f\xff\xff\xfe")
    rows, position, error = framing.run(plan, good * 300 + bad + good * 5)
    assert rows == [(date(2000, 1, 1),)] * 300
    assert position == len(good) * 300 + len(bad)
    assert isinstance(error, InvalidValueError)


class Oops(Exception):
    pass


RAISED = [Oops("x"), ValueError("v"), KeyError("k"), ProtocolError("p"), InterfaceError("i"), StopIteration()]


@pytest.mark.parametrize("raised", RAISED)
def test_exception_of_a_users_codec_keeps_its_type(framing: Framing, warm: bool, raised: Exception) -> None:
    seen: list[bytes] = []
    raised.__notes__ = []

    def decode(data: bytes) -> bytes:
        seen.append(data)
        if data == b"bad":
            raise raised
        return data

    user = ValueCodec(1, "geometry", O.CALL, Format.BINARY, decode, bytes, user=True)
    plan = framing.plan([user, INT4, user], warm)
    rows = [(b"1", b"2"), (b"3", b"bad"), (b"5", b"6")]
    data = b"".join(framing.frame(one, b"\0\0\0\0", two) for one, two in rows)
    got, position, error = framing.run(plan, data)
    assert got == [(b"1", 0, b"2")]
    assert position == sum(len(framing.frame(one, b"\0\0\0\0", two)) for one, two in rows[:2])
    assert error is raised
    assert error.__notes__ == ["in column 3, 'c2', of type geometry"]
    # Each value was shown to its codec once.
    assert seen == [b"1", b"2", b"3", b"bad"]


class Json:
    """A decoder that is no function of Python's."""

    def __call__(self, data: bytes) -> Any:
        raise ValueError("no JSON")


def decode_by_the_user(data: bytes) -> Any:
    raise ValueError("not mine")


@pytest.mark.parametrize(
    ("element", "nested"), [(decode_by_the_user, False), (decode_by_the_user, True), (Json(), False)]
)
def test_exception_of_a_users_codec_in_a_container_keeps_its_type(
    framing: Framing, warm: bool, element: Callable[[bytes], Any], nested: bool
) -> None:
    user = ValueCodec(77, "mine", O.CALL, Format.BINARY, element, bytes, user=True)
    array = array_of(user)
    value = array_bytes(77, [b"x"])
    if nested:
        array = replace(CODECS[O.CALL], decode=array.decode, members=(INT4, array))
    plan = framing.plan([TEXT, array], warm)
    message = framing.frame(b"", value)
    rows, position, error = framing.run(plan, message)
    assert (rows, position, type(error)) == ([], len(message), ValueError)
    assert error is not None
    assert error.__notes__ == [f"in column 2, 'c1', of type {array.name}"]
    if element is decode_by_the_user:
        # Of an array that never gets to its elements, the library speaks.
        assert type(framing.run(plan, framing.frame(b"", b"\7"))[2]) is InvalidValueError


@pytest.mark.parametrize("raised", [UnknownTypeError("u", oids=frozenset({5})), OutdatedTypeError("o", oid=5)])
def test_what_the_client_can_cure_goes_through(framing: Framing, warm: bool, raised: Exception) -> None:
    def decode(data: bytes) -> bytes:
        raise raised

    raised.__notes__ = []
    plan = framing.plan([replace(CODECS[O.CALL], decode=decode)], warm)
    assert framing.run(plan, framing.frame(b"x"))[2] is raised
    assert raised.__notes__ == ["in column 1, 'c0', of type call"]
    assert vars(raised) == vars(pickle.loads(pickle.dumps(raised)))


def test_the_first_refused_column_is_named(framing: Framing, warm: bool) -> None:
    calls: list[bytes] = []

    def decode(data: bytes) -> bytes:
        calls.append(data)
        raise Oops

    user = ValueCodec(1, "geometry", O.CALL, Format.BINARY, decode, bytes)
    plan = framing.plan([TEXT, user], warm)
    _, _, error = framing.run(plan, framing.frame(b"\xff", b"x"))
    assert error is not None
    assert isinstance(error.__cause__, UnicodeDecodeError)
    assert calls == []
    plan = framing.plan([user, TEXT], warm)
    _, _, error = framing.run(plan, framing.frame(b"x", b"\xff"))
    assert isinstance(error, Oops)
    assert calls == [b"x"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(), GeneratorExit(), MemoryError()])
def test_what_is_no_error_of_a_value_goes_through(framing: Framing, warm: bool, raised: BaseException) -> None:
    def decode(data: bytes) -> bytes:
        raise raised

    plan = framing.plan([INT4, ValueCodec(1, "x", O.CALL, Format.BINARY, decode, bytes)], warm)
    good = framing.frame(b"\0\0\0\0", None)
    rows: list[Any] = []
    with pytest.raises(type(raised)):
        framing.decode(plan, good + framing.frame(b"\0\0\0\0", b""), 0, 100, rows, MANY)
    assert list(map(tuple, rows)) == [(0, None)]


@pytest.mark.parametrize("opcode", [O.DATE, O.NUMERIC, O.TIMESTAMPTZ, O.TEXT])
def test_memory_error_of_an_inlined_type_goes_through(framing: Framing, warm: bool, opcode: O) -> None:
    """What a codec cannot be spared, it may fail at."""

    def decode(data: bytes) -> Any:
        raise MemoryError

    one = ValueCodec(1, "x", opcode, Format.BINARY, decode, bytes)
    plan = framing.plan([one], warm)
    data = framing.frame({O.DATE: b"\x7f\xff\xff\xff", O.TIMESTAMPTZ: b"\x7f" + b"\xff" * 7}.get(opcode, b"\xff"))
    with pytest.raises(MemoryError):
        framing.decode(plan, data * 10, 0, len(data) * 10, [], MANY)


def test_text_format_of_a_type_is_its_codecs_business(framing: Framing, warm: bool) -> None:
    """An opcode speaks of the binary form."""
    as_text = ValueCodec(23, "integer", O.INT4, Format.TEXT, int, lambda value: str(value).encode())
    plan = framing.plan([as_text, text_codec()], warm)
    assert framing.run(plan, framing.frame(b"1234", b"x")) == ([(1234, "x")], len(framing.frame(b"1234", b"x")), None)


# Frames

MIXED = [codec(opcode) for opcode in (O.INT4, O.BOOL, O.TEXT, O.INT8, O.CALL, O.UUID)]
MIXED_FIELDS = [b"\0\0\0\1", b"\1", b"text", b"\0" * 7 + b"\2", b"call", bytes(16)]
MIXED_VALUES = (1, True, "text", 2, ("called", b"call"), UUID(int=0))


def test_null_in_each_combination_of_columns(framing: Framing, warm: bool) -> None:
    plan = framing.plan(MIXED, warm)
    fields: list[list[Field]] = []
    expected: list[tuple[Any, ...]] = []
    for mask in range(2 ** len(MIXED)):
        null = [mask >> column & 1 for column in range(len(MIXED))]
        fields.append([None if one else field for one, field in zip(null, MIXED_FIELDS, strict=True)])
        expected.append(tuple(None if one else value for one, value in zip(null, MIXED_VALUES, strict=True)))
    data = b"".join(framing.frame(*row) for row in fields)
    assert framing.run(plan, data + framing.end) == (expected, len(data), None)
    for row, values in zip(fields, expected, strict=True):
        message = framing.frame(*row)
        assert framing.run(plan, message) == ([values], len(message), None)


@pytest.mark.parametrize("codecs", [MIXED, MIXED[:2], MIXED[2:3], []], ids=["mixed", "fixed", "text", "none"])
def test_every_cut(framing: Framing, warm: bool, codecs: list[ValueCodec]) -> None:
    plan = framing.plan(codecs, warm)
    start = MIXED.index(codecs[0]) if codecs else 0
    fields = MIXED_FIELDS[start : start + len(codecs)]
    values = MIXED_VALUES[start : start + len(codecs)]
    rows = [framing.frame(*fields), framing.frame(*[None] * len(codecs))] * 2 + [framing.frame(*fields)] * 5
    expected = [values, (None,) * len(codecs)] * 2 + [values] * 5
    data = b"".join(rows)
    for cut in range(len(data) + 1):
        whole = 0
        while whole < len(rows) and len(b"".join(rows[: whole + 1])) <= cut:
            whole += 1
        got, position, error = framing.run(plan, data[:cut])
        assert (got, position, error) == (expected[:whole], len(b"".join(rows[:whole])), None)
        assert framing.run(plan, data[position:]) == (expected[whole:], len(data) - position, None)


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: memoryview(bytearray(data))])
def test_part_of_a_buffer(framing: Framing, warm: bool, kind: Callable[[bytes], Any]) -> None:
    plan = framing.plan([TEXT, codec(O.BYTEA), codec(O.UUID)], warm)
    row = framing.frame(b"abc", b"def", bytes(range(16)))
    buffer = kind(b"D" + row * 5 + row[:-1] + b"\0")
    rows: list[Any] = ["kept"]
    position, error = framing.decode(plan, buffer, 1 + len(row), len(buffer) - 1, rows, MANY)
    assert (position, error, len(rows)) == (1 + 5 * len(row), None, 5)
    if not isinstance(buffer, bytes):
        # Results are their own: nothing refers to the buffer, or is changed with it.
        buffer[:] = b"\xee" * len(buffer)
        if isinstance(buffer, bytearray):
            buffer.clear()
    assert rows[0] == "kept"
    assert all(record == ("abc", b"def", UUID(bytes=bytes(range(16)))) for record in rows[1:])
    assert all(type(record[1]) is bytes for record in rows[1:])


@pytest.mark.parametrize(
    "cast",
    [
        lambda data: memoryview(data).cast("B", (2, len(data) // 2)),
        lambda data: memoryview(data).cast("h"),
        lambda data: memoryview(data).cast("b"),
    ],
    ids=["two dimensions", "pairs", "signed"],
)
def test_a_view_is_its_bytes(framing: Framing, warm: bool, cast: Callable[[bytes], memoryview]) -> None:
    plan = framing.plan([TEXT], warm)
    data = framing.frame(b"abcd") + framing.end + b"\0"
    data += b"\0" * (len(data) % 2)
    rows: list[Any] = []
    assert framing.decode(plan, cast(data), 0, len(data), rows, MANY) == (len(framing.frame(b"abcd")), None)
    assert [tuple(row) for row in rows] == [("abcd",)]
    assert framing.decode(plan, memoryview(b"").cast("h"), 0, 0, rows, MANY) == (0, None)


def test_a_view_that_is_no_run_of_bytes(framing: Framing, warm: bool) -> None:
    plan = framing.plan([TEXT], warm)
    row = framing.frame(b"abc")
    spread = bytearray(2 * len(row))
    spread[::2] = row
    with pytest.raises(BufferError, match=r"^memoryview: underlying buffer is not C-contiguous$"):
        framing.decode(plan, memoryview(spread)[::2], 0, len(row), [], MANY)


@pytest.mark.parametrize("codecs", [MIXED, MIXED[:2]], ids=["mixed", "fixed"])
def test_max_rows(framing: Framing, warm: bool, codecs: list[ValueCodec]) -> None:
    plan = framing.plan(codecs, warm)
    fields, values = MIXED_FIELDS[: len(codecs)], MIXED_VALUES[: len(codecs)]
    row = framing.frame(*fields)
    data = row * 10 + framing.end
    for max_rows in range(1, 12):
        count = min(max_rows, 10)
        assert framing.run(plan, data, max_rows) == ([values] * count, count * len(row), None)
    assert framing.run(plan, data, 2**63 - 1)[1] == 10 * len(row)


def test_stops_at_another_message(warm: bool) -> None:
    plan = FRAMINGS[0].plan([INT4], warm)
    row = data_row(b"\0\0\0\1")
    for other in (READY, b"N\0\0\0\x05\0", b"Z", b"\0", b"\xff" * 30, b"d" + row[1:]):
        assert FRAMINGS[0].run(plan, row * 6 + other + row) == ([(1,)] * 6, 6 * len(row), None)


def test_stops_at_the_trailer(warm: bool) -> None:
    plan = FRAMINGS[1].plan([INT4], warm)
    row = copy_tuple(b"\0\0\0\1")
    for rows in (0, 1, 6):
        for behind in (b"", b"\0", row):
            assert FRAMINGS[1].run(plan, row * rows + TRAILER + behind) == ([(1,)] * rows, rows * len(row), None)


def _lengthened(row: bytes, by: int) -> bytes:
    return row[:1] + int_bytes(int.from_bytes(row[1:5], "big") + by, 4) + row[5:]


ROW = data_row(b"\0\0\0\1", b"abc")

BROKEN_ROWS: list[tuple[bytes, str]] = [
    (b"D" + int_bytes(5, 4) + ROW[5:], "DataRow has a length of 5 bytes"),
    (b"D" + int_bytes(0, 4) + ROW[5:], "DataRow has a length of 0 bytes"),
    (b"D" + int_bytes(-1, 4) + ROW[5:], "DataRow has a length of -1 bytes"),
    (b"D" + int_bytes(-(2**31), 4), "DataRow has a length of -2147483648 bytes"),
    (b"D" + int_bytes(6, 4) + b"\0\2", "DataRow of 6 bytes ends 4 bytes before its columns do"),
    (data_row(), "DataRow has 0 columns, its result has 2"),
    (data_row(b"\0\0\0\1"), "DataRow has 1 columns, its result has 2"),
    (data_row(b"\0\0\0\1", b"", b""), "DataRow has 3 columns, its result has 2"),
    (ROW[:5] + b"\xff\xff" + ROW[7:], "DataRow has 65535 columns, its result has 2"),
    (_lengthened(ROW, 1) + b"\0", "DataRow has 1 bytes behind its last column"),
    (_lengthened(ROW, -1), "DataRow of 20 bytes ends 1 bytes before its columns do"),
    (_lengthened(ROW, -5), "DataRow of 16 bytes ends 2 bytes before its columns do"),
    (ROW[:7] + int_bytes(-2, 4) + ROW[11:], "column 1 of a row has a length of -2 bytes"),
    (ROW[:15] + int_bytes(-(2**31), 4) + ROW[19:], "column 2 of a row has a length of -2147483648 bytes"),
    (ROW[:7] + int_bytes(2**31 - 1, 4) + ROW[11:], "DataRow of 21 bytes ends 2147483636 bytes before its columns do"),
    (ROW[:15] + int_bytes(2**31 - 1, 4) + ROW[19:], "DataRow of 21 bytes ends 2147483644 bytes before its columns do"),
    (ROW[:7] + int_bytes(-1, 4) + ROW[11:], "DataRow has 6 bytes behind its last column"),
]


@pytest.mark.parametrize(("broken", "text"), BROKEN_ROWS)
def test_broken_row(warm: bool, broken: bytes, text: str) -> None:
    plan = FRAMINGS[0].plan([INT4, TEXT], warm)
    for behind in (b"", READY, ROW * 20):
        rows: list[Any] = []
        data = ROW * 2 + broken + behind
        with pytest.raises(ProtocolError, match=text):
            kernel.decode_rows(plan, data, 0, len(data), rows, MANY)
        assert rows == [(1, "abc")] * 2


TUPLE = copy_tuple(b"\0\0\0\1", b"abc")

BROKEN_TUPLES: list[tuple[bytes, str]] = [
    (copy_tuple(), "tuple of COPY data has 0 columns, its table has 2"),
    (copy_tuple(b"", b"", b""), "tuple of COPY data has 3 columns, its table has 2"),
    (b"\xff\xfe" + TUPLE[2:], "tuple of COPY data has 65534 columns, its table has 2"),
    (TUPLE[:2] + int_bytes(-2, 4) + TUPLE[6:], "column 1 of a row has a length of -2 bytes"),
    (TUPLE[:10] + int_bytes(-3, 4), "column 2 of a row has a length of -3 bytes"),
]


@pytest.mark.parametrize(("broken", "text"), BROKEN_TUPLES)
def test_broken_tuple(warm: bool, broken: bytes, text: str) -> None:
    plan = FRAMINGS[1].plan([INT4, TEXT], warm)
    for behind in (b"", TUPLE * 20):
        rows: list[Any] = []
        data = TUPLE * 2 + broken + behind
        with pytest.raises(ProtocolError, match=text):
            kernel.decode_copy(plan, data, 0, len(data), rows, MANY)
        assert rows == [(1, "abc")] * 2


def test_no_columns(framing: Framing, warm: bool) -> None:
    plan = framing.plan([], warm)
    for count in (0, 1, 3, 1000):
        data = framing.frame() * count
        assert framing.run(plan, data + framing.end) == ([()] * count, len(data), None)


# Sizes


def test_long_runs_of_one_frame_with_rare_nulls(framing: Framing, warm: bool) -> None:
    codecs = [INT4, codec(O.TIMESTAMPTZ)]
    plan = framing.plan(codecs, warm)
    fields: list[list[Field]] = [[int_bytes(number, 4), int_bytes(number, 8)] for number in range(3000)]
    for number in (0, 1, 5, 255, 256, 257, 1000, 1001, 2999):
        fields[number][number % 2] = None
    data = b"".join(framing.frame(*row) for row in fields) + framing.end
    expected: list[tuple[Any, ...]] = []
    framing.naive(codecs, ["c0", "c1"], data, expected, MANY)
    assert framing.run(plan, data) == (expected, len(data) - len(framing.end), None)
    for max_rows in (255, 256, 258, 2999, 3000):
        assert framing.run(plan, data, max_rows)[0] == expected[:max_rows]


def test_more_than_fits_a_cache(framing: Framing, warm: bool) -> None:
    """Hundreds of KiB of rows of all lengths, among them some that are longer than what a kernel may take at a time."""
    plan = framing.plan([INT4, TEXT, codec(O.BYTEA)], warm)
    lengths = [0, 1, 1000, 70_000, 5, 200_000, 65_536, 65_530, 3, *range(2000)]
    rows = [(number, "x" * length, b"y" * (length // 3)) for number, length in enumerate(lengths)]
    data = b"".join(framing.frame(int_bytes(number, 4), text.encode(), raw) for number, text, raw in rows)
    for behind in (b"", framing.end):
        got, position, error = framing.run(plan, data + behind)
        assert (got == rows, position, error) == (True, len(data), None)
    got, position, error = framing.run(plan, data[:-1])
    assert (got == rows[:-1], error) == (True, None)


@pytest.mark.parametrize("columns", [300, 401, 1600])
def test_wide_rows(framing: Framing, columns: int) -> None:
    plan = framing.plan([INT4, TEXT] * (columns // 2), True)
    row = framing.frame(*[b"\0\0\0\1", b"x"] * (columns // 2))
    assert framing.run(plan, row * 3) == ([(1, "x") * (columns // 2)] * 3, 3 * len(row), None)


def test_any_number_of_shapes() -> None:
    """No cache of what was made for a shape is wrong once it is full."""
    for number in range(1100):
        codecs = [(INT4, codec(O.BOOL))[number >> bit & 1] for bit in range(11)]
        plan = FRAMINGS[0].plan(codecs, number % 2 == 0)
        row = data_row(*[b"\0\0\0\1" if one is INT4 else b"\1" for one in codecs])
        assert FRAMINGS[0].run(plan, row)[0] == [tuple(1 if one is INT4 else True for one in codecs)]


# Against the naive kernel

SCALARS = st.sampled_from(sorted(VALID))
FIELDS = {opcode: st.one_of(st.none(), valid, valid, valid) for opcode, valid in VALID.items()}


@st.composite
def results(draw: st.DrawFn) -> tuple[list[ValueCodec], list[list[Field]]]:
    """Columns, and rows of values that are mostly valid."""
    opcodes = draw(st.lists(SCALARS, max_size=7))
    wrong = draw(st.booleans())
    fields = [FIELDS[opcode] | st.binary(max_size=20) if wrong else FIELDS[opcode] for opcode in opcodes]
    rows = draw(st.lists(st.tuples(*fields).map(list), max_size=8))
    return [CODECS[opcode] for opcode in opcodes], rows


def outcome(call: Callable[[], tuple[list[Any], int, Exception | None]]) -> object:
    try:
        rows, position, error = call()
    except ProtocolError:
        return "ProtocolError"
    if error is None:
        return repr(rows), position
    return repr(rows), position, type(error), str(error), type(error.__cause__)


def naive_outcome(framing: Framing, plan: RowPlan, data: bytes, max_rows: int) -> object:
    def call() -> tuple[list[Any], int, Exception | None]:
        rows: list[Any] = []
        position, error = framing.naive(plan.codecs, plan.names, data, rows, max_rows)
        return rows, position, error

    return outcome(call)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
@pytest.mark.parametrize("warm", [False, True], ids=["new", "warm"])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_rows(framing: Framing, warm: bool, data: st.DataObject) -> None:
    codecs, rows = data.draw(results())
    plan = framing.plan(codecs, warm)
    buffer = b"".join(framing.frame(*row) for row in rows) + framing.end
    max_rows = data.draw(st.integers(1, 9))
    assert outcome(lambda: framing.run(plan, buffer, max_rows)) == naive_outcome(framing, plan, buffer, max_rows)
    # In pieces, cut anywhere, as they may arrive.
    if naive_outcome(framing, plan, buffer, MANY)[2:] == ():  # type: ignore[index]
        cuts = sorted(data.draw(st.lists(st.integers(0, len(buffer)), max_size=4)))
        got: list[Any] = []
        position = 0
        for cut in (*cuts, len(buffer)):
            position, error = (
                framing.decode(plan, buffer, position, cut, got, MANY) if cut > position else (position, None)
            )
            assert error is None
        assert (repr(list(map(tuple, got))), position) == naive_outcome(framing, plan, buffer, MANY)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
@pytest.mark.parametrize("warm", [False, True], ids=["new", "warm"])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_rows(framing: Framing, warm: bool, data: st.DataObject) -> None:
    codecs, rows = data.draw(results())
    plan = framing.plan(codecs, warm)
    buffer = bytearray(b"".join(framing.frame(*row) for row in rows) + framing.end)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(buffer)))
        buffer[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"\xff", b"\0", b"\1", b"", b"\xfe"])
        )
    found = bytes(buffer)
    assert outcome(lambda: framing.run(plan, found)) == naive_outcome(framing, plan, found, MANY)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
@pytest.mark.parametrize("warm", [False, True], ids=["new", "warm"])
@settings(max_examples=200, deadline=None)
@given(
    opcodes=st.lists(SCALARS, max_size=5), buffer=st.binary(max_size=80), tag=st.sampled_from([b"", b"D", b"D\0\0\0"])
)
def test_any_bytes(framing: Framing, warm: bool, opcodes: list[O], buffer: bytes, tag: bytes) -> None:
    plan = framing.plan([CODECS[opcode] for opcode in opcodes], warm)
    found = tag + buffer
    assert outcome(lambda: framing.run(plan, found)) == naive_outcome(framing, plan, found, MANY)


# Inlined or not, a type is what its codec says

_REGISTRY = Registry()
BUILT_IN = sorted(
    {
        builtin
        for oid in range(6000)
        if (builtin := _REGISTRY.codec(oid)) is not None and builtin.opcode in VALID and builtin.opcode is not O.CALL
    },
    key=lambda builtin: builtin.oid,
)


@pytest.mark.parametrize("builtin", BUILT_IN, ids=lambda builtin: builtin.name)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_agrees_with_the_codec(builtin: ValueCodec, data: st.DataObject) -> None:
    value = data.draw(VALID[builtin.opcode] | st.binary(max_size=20))
    plan = FRAMINGS[0].plan([builtin, TEXT, builtin], True)
    rows, _, error = FRAMINGS[0].run(plan, data_row(value, b"", value))
    refused = None
    expected = None
    try:
        expected = builtin.decode(value)
    except Exception as raised:
        refused = raised
    cause = None if error is None else error.__cause__
    assert (type(cause), str(cause)) == (type(refused), str(refused))
    if refused is None:
        assert same(rows, [(expected, "", expected)])
        assert type(rows[0][0]) is type(expected)


@pytest.mark.parametrize("oid", [1000, 1005, 1007, 1016, 1021, 1022, 1028])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_array_agrees_with_the_codec(oid: int, data: st.DataObject) -> None:
    """Also where header and elements contradict each other."""
    builtin = _REGISTRY.codec(oid)
    assert builtin is not None
    assert builtin.element is not None
    width = len(builtin.element.encode(1 if oid != 1000 else True))
    # What an element says its length is, and how long it is.
    pair = st.sampled_from(
        [(width, width)] * 9 + [(-1, 0), (0, 0), (width + 1, width + 1), (-2, 0), (2**31 - 1, width)]
    )
    damaged = st.sampled_from([8, 16, 24]).map(lambda bit: (width + 2**bit, width))
    fields = data.draw(st.lists(pair | damaged, max_size=4))
    header = (
        data.draw(st.sampled_from([1, 1, 1, 0, 2, -1])),
        data.draw(st.sampled_from([0, 1, 2])),
        data.draw(st.sampled_from([builtin.element.oid] * 3 + [25])),
        data.draw(st.sampled_from([len(fields)] * 3 + [0, 5, -1])),
        data.draw(st.sampled_from([1, 1, 0, -5, 2**31 - 1, -(2**31)])),
    )
    value = b"".join(int_bytes(number, 4) for number in header)
    value += b"".join(int_bytes(length, 4) + b"\1" * size for length, size in fields)
    plan = FRAMINGS[0].plan([builtin], True)
    rows, _, error = FRAMINGS[0].run(plan, data_row(value))
    try:
        expected = [(builtin.decode(value),)]
    except Exception as raised:
        assert error is not None
        told = error if type(error) is OutdatedTypeError else error.__cause__
        rows.append((type(raised), str(raised)))
        expected = [(type(told), str(told))]
    assert same(rows, expected)
