"""Every value of each type's domain comes back from its own bytes, in both formats."""

import math
import struct
import time as clock
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsansio.codecs import Registry, array_codec
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.enums import Format
from pgsansio.kernel.contract import ValueCodec

REGISTRY = Registry()


def binary(name: str) -> ValueCodec:
    codec = REGISTRY.codec(BY_NAME[name].oid)
    assert codec is not None
    return codec


def text(name: str) -> ValueCodec:
    return REGISTRY.text_codec(BY_NAME[name].oid)


def check(name: str, value: object) -> None:
    for codec in (binary(name), text(name)):
        back = codec.decode(codec.encode(value))
        assert (back, repr(back)) == (value, repr(value))


@given(st.booleans())
def test_bool(value: bool) -> None:
    check("bool", value)


@given(st.integers(-(2**15), 2**15 - 1))
def test_int2(value: int) -> None:
    check("int2", value)


@given(st.integers(-(2**31), 2**31 - 1))
def test_int4(value: int) -> None:
    check("int4", value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_int8(value: int) -> None:
    check("int8", value)


@given(st.integers(0, 2**32 - 1))
def test_unsigned(value: int) -> None:
    for name in ("oid", "xid", "cid"):
        check(name, value)


@given(st.integers(0, 2**64 - 1))
def test_uint8(value: int) -> None:
    check("xid8", value)


@given(st.floats(width=32, allow_nan=False))
@example(-0.0)
def test_float4(value: float) -> None:
    check("float4", value)


@given(st.floats(allow_nan=False))
@example(-0.0)
def test_float8(value: float) -> None:
    check("float8", value)


def test_nan() -> None:
    for name in ("float4", "float8"):
        for codec in (binary(name), text(name)):
            assert math.isnan(codec.decode(codec.encode(math.nan)))
    for codec in (binary("numeric"), text("numeric")):
        for value in (Decimal("NaN"), Decimal("sNaN"), Decimal("-NaN"), math.nan):
            assert codec.decode(codec.encode(value)).is_qnan()


@given(st.integers(0, 2**32 - 1))
def test_float4_text_rounds_as_the_server_does(bits: int) -> None:
    # Of a float4 its shortest text, which is what the server prints, has at most 9 digits.
    (value,) = struct.unpack(">f", bits.to_bytes(4, "big"))
    if not math.isfinite(value):
        return
    for digits in range(6, 10):
        shortest = f"{value:.{digits}g}"
        if struct.pack(">f", float(shortest)) == struct.pack(">f", value):
            break
    assert text("float4").decode(shortest.encode()) == value


def plain(value: Decimal) -> Decimal:
    """What PostgreSQL makes of a Decimal: no positive exponent, no negative zero."""
    value = Decimal(format(value, "f")) if value.is_finite() else value
    return value if value else value.copy_abs()


@given(st.decimals(allow_nan=False))
@example(Decimal("1E+131071"))
@example(Decimal("1E-16383"))
@example(Decimal("9" * 131072 + "." + "9" * 16383))
@example(Decimal("0E-16383"))
@example(Decimal("0E+999999"))
@example(Decimal("1000000000000.0000000010000"))
def test_numeric(value: Decimal) -> None:
    if value and value.is_finite() and not -16383 <= value.adjusted() < 131072:
        return
    expected = Decimal(0) if value.is_zero() and value.adjusted() > 0 else plain(value)
    for codec in (binary("numeric"), text("numeric")):
        back = codec.decode(codec.encode(value))
        assert back == expected or not value.is_finite()
        if not value.is_finite() or value.adjusted() < 1000:
            assert back.as_tuple() == expected.as_tuple()


def test_a_numeric_takes_no_more_memory_than_its_bytes_justify() -> None:
    for bytes_, expected in (
        (struct.pack(">HhHHH", 1, 32767, 0, 0, 1), Decimal("1E+131068")),
        (struct.pack(">HhHHH", 1, 32767, 0x4000, 9, 1200), Decimal("-1.2E+131071")),
        (struct.pack(">HhHH", 0, 32767, 0, 0), Decimal(0)),
        (struct.pack(">HhHHH", 1, 600, 0x4000, 2, 0), Decimal("0.00")),
    ):
        back = binary("numeric").decode(bytes_)
        assert back == expected
        assert len(back.as_tuple().digits) <= 4
        if not expected:
            assert back.as_tuple().exponent == expected.as_tuple().exponent


@given(st.integers(), st.integers(0, 40))
def test_numeric_of_any_size(digits: int, scale: int) -> None:
    value = Decimal((int(digits < 0), tuple(map(int, str(abs(digits)))), -scale))
    check("numeric", value if value else value.copy_abs())


@given(st.one_of(st.integers(-(10**40), 10**40), st.floats(allow_nan=False, allow_infinity=False)))
def test_numeric_of_other_numbers(value: float) -> None:
    assert binary("numeric").decode(binary("numeric").encode(value)) == Decimal(value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_texts(value: str) -> None:
    for name in ("text", "varchar", "bpchar", "name", "cstring", "unknown", "xml", "refcursor", "pg_node_tree"):
        check(name, value)
    for name in ("json", "jsonb", "jsonpath"):
        check(name, value)


@given(st.binary())
def test_bytea(value: bytes) -> None:
    check("bytea", value)
    assert binary("bytea").encode(bytearray(value)) == value
    assert binary("bytea").encode(memoryview(value)[::-1]) == value[::-1]


@given(st.integers(0, 255))
def test_char(value: int) -> None:
    check("char", bytes([value]))


@given(st.uuids())
def test_uuid(value: UUID) -> None:
    check("uuid", value)
    codec = binary("uuid")
    assert codec.encode(str(value)) == codec.encode(value.hex) == codec.encode(value) == value.bytes


# fold says which of two equal local times is meant; neither time nor timestamp can.
times = st.times().map(lambda value: value.replace(fold=0))
datetimes = st.datetimes().map(lambda value: value.replace(fold=0))


@given(st.dates())
def test_date(value: date) -> None:
    check("date", value)


@given(times)
def test_time(value: time) -> None:
    check("time", value)
    # The zone plays no part.
    assert binary("time").encode(value.replace(tzinfo=UTC)) == binary("time").encode(value)


offsets = st.integers(-(16 * 3600 - 1), 16 * 3600 - 1).map(lambda seconds: timezone(timedelta(seconds=seconds)))


@given(times, offsets)
def test_timetz(value: time, zone: timezone) -> None:
    value = value.replace(tzinfo=zone)
    for codec in (binary("timetz"), text("timetz")):
        back = codec.decode(codec.encode(value))
        assert (back.replace(tzinfo=None), back.utcoffset()) == (value.replace(tzinfo=None), value.utcoffset())


@given(datetimes)
@example(datetime.max - timedelta(microseconds=1))
@example(datetime.min + timedelta(microseconds=1))
def test_timestamp(value: datetime) -> None:
    check("timestamp", value)


@given(datetimes)
def test_timestamptz(value: datetime) -> None:
    check("timestamptz", value.replace(tzinfo=UTC))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), offsets)
def test_timestamptz_of_any_zone(value: datetime, zone: timezone) -> None:
    aware = value.replace(tzinfo=zone)
    codec = binary("timestamptz")
    back = codec.decode(codec.encode(aware))
    assert back == aware
    assert back.tzinfo is UTC


@given(st.datetimes(datetime(1970, 1, 2), datetime(2037, 1, 1)))
def test_naive_timestamptz_is_local_time(value: datetime) -> None:
    codec = binary("timestamptz")
    assert codec.decode(codec.encode(value)) == value.astimezone()
    midnight = datetime(value.year, value.month, value.day)
    assert codec.encode(value.date()) == codec.encode(midnight)


@pytest.mark.skipif(not hasattr(clock, "tzset"), reason="the local time zone cannot be set here")
@pytest.mark.parametrize("zone", ["XYZ8", "XYZ-8"])
def test_local_time_zones(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    codec = binary("timestamptz")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        clock.tzset()
        try:
            # Infinity is infinity wherever one is.
            assert codec.encode(datetime.max).hex() == "7fffffffffffffff"
            assert codec.encode(datetime.min).hex() == "8000000000000000"
            assert codec.encode(date.min).hex() == "8000000000000000"
            hours = int(zone[3:])
            expected = datetime(2024, 2, 29, 12, tzinfo=UTC) + timedelta(hours=hours)
            assert codec.decode(codec.encode(datetime(2024, 2, 29, 12))) == expected
            late = datetime.max - timedelta(hours=1) if hours > 0 else datetime.min + timedelta(hours=1)
            with pytest.raises((OverflowError, ValueError), match="out of range"):
                codec.encode(late)
        finally:
            patch.undo()
            clock.tzset()


@given(st.dates())
def test_date_as_timestamp(value: date) -> None:
    codec = binary("timestamp")
    assert codec.decode(codec.encode(value)) == datetime(value.year, value.month, value.day)


@given(st.timedeltas())
@example(timedelta.max)
@example(timedelta.min)
def test_interval(value: timedelta) -> None:
    check("interval", value)


def nested(element: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    """Rectangles of one to three dimensions."""

    def of_sizes(sizes: list[int]) -> st.SearchStrategy[list[object]]:
        strategy: st.SearchStrategy[object] = st.none() | element
        for size in reversed(sizes):
            strategy = st.lists(strategy, min_size=size, max_size=size)
        return strategy  # type: ignore[return-value]

    return st.just([]) | st.lists(st.integers(1, 4), min_size=1, max_size=3).flatmap(of_sizes)


@given(nested(st.integers(-(2**31), 2**31 - 1)))
def test_int4_array(value: list[object]) -> None:
    check("_int4", value)


@given(nested(st.integers(-(2**63), 2**63 - 1)))
def test_int8_array(value: list[object]) -> None:
    check("_int8", value)


@given(nested(st.booleans()))
def test_bool_array(value: list[object]) -> None:
    check("_bool", value)


@given(nested(st.floats(allow_nan=False)))
def test_float8_array(value: list[object]) -> None:
    check("_float8", value)


@given(
    nested(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
        | st.sampled_from(["NULL", "null", "", '"', "\\", "{}"])
    )
)
def test_text_array(value: list[object]) -> None:
    check("_text", value)


@given(nested(st.binary()))
def test_bytea_array(value: list[object]) -> None:
    check("_bytea", value)


@given(nested(st.text('ab;,{}"\\ NULnul\t')))
def test_array_with_another_delimiter(value: list[object]) -> None:
    codec = array_codec(1020, "box[]", REGISTRY.text_codec(BY_NAME["text"].oid), ";")
    assert codec.format is Format.TEXT
    assert codec.decode(codec.encode(value)) == value
