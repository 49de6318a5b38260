"""Every value of each type's domain comes back from its own bytes, in both formats."""

import math
import struct
import time as clock
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgsansio.codecs import Registry, array_codec
from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME, BY_OID
from pgsansio.codecs.summaries import CODECS as SUMMARIES
from pgsansio.codecs.text_only import REASONS
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.enums import Format
from pgsansio.kernel.contract import ValueCodec
from tests.support.type_values import EXAMPLES, INFOS, TYPES, TypeValues, plain

CATALOG = TypeCatalog()
CATALOG.learn(INFOS)
REGISTRY = Registry(catalog=CATALOG)

#: Types, and parts of types, whose values cannot be sent in binary.
ONLY_TEXT = {*REASONS, "tsvector", "tsquery", "words"}

#: Elements that are arrays have to be given as tuples, but come as lists.
NOT_SENT_BACK = {"_tags"}


def formats(name: str) -> tuple[Format, ...]:
    return (Format.TEXT,) if name.removeprefix("_") in ONLY_TEXT else (Format.BINARY, Format.TEXT)


def check(entry: TypeValues, value: object) -> None:
    expected = plain(entry.kept(value))
    for wire_format in formats(entry.name):
        codec = REGISTRY.codec_in(entry.oid, wire_format)
        back = codec.decode(codec.encode(value))
        assert plain(back) == expected
        if entry.name not in NOT_SENT_BACK:
            assert plain(codec.decode(codec.encode(back))) == expected


def test_every_codec_has_values() -> None:
    names = {BY_OID[oid].name for oid, _ in BUILTIN}
    names |= {entry.name for entry in BY_OID.values() if entry.typtype in ("r", "m")}
    # They are bytes, but their texts are others.
    names -= {binary.name for binary, _ in SUMMARIES[1:]}
    arrays = {f"_{name}" for name in names if BY_NAME[name].array_oid}
    user_types = {info.name for info in INFOS}
    assert set(TYPES) == names | arrays | user_types
    assert all(entry.name == name for name, entry in TYPES.items())


@pytest.mark.parametrize("name", TYPES)
def test_edges(name: str) -> None:
    for value in TYPES[name].edges:
        check(TYPES[name], value)


@pytest.mark.parametrize("name", TYPES)
@settings(
    max_examples=2 * EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None
)
@given(data=st.data())
def test_values(name: str, data: st.DataObject) -> None:
    check(TYPES[name], data.draw(TYPES[name].values))


def binary(name: str) -> ValueCodec:
    codec = REGISTRY.codec(BY_NAME[name].oid)
    assert codec is not None
    return codec


def text(name: str) -> ValueCodec:
    return REGISTRY.text_codec(BY_NAME[name].oid)


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


@given(st.one_of(st.integers(-(10**40), 10**40), st.floats(allow_nan=False, allow_infinity=False)))
def test_numeric_of_other_numbers(value: float) -> None:
    assert binary("numeric").decode(binary("numeric").encode(value)) == Decimal(value)


@given(st.binary())
def test_bytea_of_any_buffer(value: bytes) -> None:
    assert binary("bytea").encode(bytearray(value)) == value
    assert binary("bytea").encode(memoryview(value)[::-1]) == value[::-1]


@given(st.uuids())
def test_uuid_of_text(value: UUID) -> None:
    codec = binary("uuid")
    assert codec.encode(str(value)) == codec.encode(value.hex) == codec.encode(value) == value.bytes


@given(st.times())
def test_the_zone_of_a_time_plays_no_part(value: time) -> None:
    assert binary("time").encode(value.replace(tzinfo=UTC)) == binary("time").encode(value)


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
            with pytest.raises((OverflowError, ValueError), match=r"out of range|must be in 1\.\.9999"):
                codec.encode(late)
        finally:
            patch.undo()
            clock.tzset()


@given(st.dates())
def test_date_as_timestamp(value: date) -> None:
    codec = binary("timestamp")
    assert codec.decode(codec.encode(value)) == datetime(value.year, value.month, value.day)


def nested(element: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    """Rectangles of one to three dimensions."""

    def of_sizes(sizes: list[int]) -> st.SearchStrategy[list[object]]:
        strategy: st.SearchStrategy[object] = st.none() | element
        for size in reversed(sizes):
            strategy = st.lists(strategy, min_size=size, max_size=size)
        return strategy  # type: ignore[return-value]

    return st.just([]) | st.lists(st.integers(1, 4), min_size=1, max_size=3).flatmap(of_sizes)


@given(nested(st.text('ab;,{}"\\ NULnul\t')))
def test_array_with_another_delimiter(value: list[object]) -> None:
    codec = array_codec(1020, "box[]", REGISTRY.text_codec(BY_NAME["text"].oid), ";")
    assert codec.format is Format.TEXT
    assert codec.decode(codec.encode(value)) == value
