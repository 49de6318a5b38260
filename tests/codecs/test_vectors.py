"""Bytes from a real server: both formats decode to the same value, and the value encodes to those bytes."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest

from pgsansio.codecs import Registry
from pgsansio.codecs.builtin import PREFERRED
from pgsansio.codecs.catalog import BY_NAME, BY_OID
from pgsansio.codecs.summaries import CODECS as SUMMARIES
from pgsansio.enums import Format
from pgsansio.types import Box
from tests.codecs import test_bit_string, test_geometric
from tests.codecs.container_vectors import CONTAINERS
from tests.codecs.scalar_vectors import SCALARS
from tests.codecs.vectors import DECODE_ONLY, VECTORS

REGISTRY = Registry()
ROWS = VECTORS + CONTAINERS


def same(left: object, right: object) -> bool:
    """Equal, in class, too, and in what equality overlooks: the sign of zero, NaN, a Decimal's exponent, offsets."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, type(right)) and repr(left) == repr(right)


def test_every_type_has_a_vector() -> None:
    # Values of those that prefer text are that text, or in SCALARS.
    names = {BY_OID[oid].name for oid, wire_format in PREFERRED.items() if wire_format is Format.BINARY}
    names |= {entry.name for entry in BY_OID.values() if entry.typtype in ("r", "m")}
    # Tests of their own say that a summary is bytes, and that void has no value.
    names -= {"void", *(binary.name for binary, _ in SUMMARIES)}
    having = {row[0] for row in ROWS + SCALARS} | {row[0] for row in test_geometric.VECTORS}
    having |= {BY_OID[codec.oid].name for codec in test_bit_string.BINARY}
    assert names <= having
    assert {f"_{name}" for name in names if BY_NAME[name].array_oid} <= having


@pytest.mark.parametrize(("name", "text", "data", "value"), ROWS)
def test_binary_decodes(name: str, text: bytes, data: str, value: object) -> None:
    codec = REGISTRY.codec_in(BY_NAME[name].oid, Format.BINARY)
    assert same(codec.decode(bytes.fromhex(data)), value)


@pytest.mark.parametrize(
    ("name", "data", "value"), [(row[0], row[2], row[3]) for row in ROWS if row[:2] not in DECODE_ONLY]
)
def test_value_encodes_to_the_servers_bytes(name: str, data: str, value: object) -> None:
    codec = REGISTRY.codec(BY_NAME[name].oid)
    assert codec is not None
    assert codec.format is Format.BINARY
    assert codec.encode(value).hex() == data


@pytest.mark.parametrize(("name", "text", "data", "value"), ROWS)
def test_text_agrees_with_binary(name: str, text: bytes, data: str, value: object) -> None:
    codec = REGISTRY.text_codec(BY_NAME[name].oid)
    assert codec.format is Format.TEXT
    assert same(codec.decode(text), value)
    assert same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        # bytea_output = 'escape'
        ("bytea", rb"a\\b\000\377", b"a\\b\x00\xff"),
        ("bytea", b"", b""),
        # TimeZone other than UTC, with minutes and seconds of offset
        ("timestamptz", b"2024-02-29 12:34:56.7+05:30", datetime(2024, 2, 29, 7, 4, 56, 700000, tzinfo=UTC)),
        ("timestamptz", b"1880-01-01 00:00:00-00:25:21", datetime(1880, 1, 1, 0, 25, 21, tzinfo=UTC)),
        # Local times in years that Python does not have
        ("timestamptz", b"10000-01-01 05:44:59.5+05:45", datetime(9999, 12, 31, 23, 59, 59, 500000, tzinfo=UTC)),
        ("timestamptz", b"0001-12-31 23:00:00-01 BC", datetime(1, 1, 1, tzinfo=UTC)),
        ("timetz", b"10:00:00-02:03:04", time(10, tzinfo=timezone(-timedelta(hours=2, minutes=3, seconds=4)))),
        # DateStyle other than ISO: not guessed
        ("date", b"02/29/2024", "02/29/2024"),
        ("date", b"29.02.2024", "29.02.2024"),
        ("timestamp", b"Thu Feb 29 12:34:56 2024", "Thu Feb 29 12:34:56 2024"),
        ("timestamptz", b"29.02.2024 12:34:56 CET", "29.02.2024 12:34:56 CET"),
        # A server before 15 prints the byte itself
        ("char", b"\xff", b"\xff"),
        # Midway between two float4 once it is a double, to both sides
        ("float4", b"7.038531e-26", 7.038530691851209e-26),
        ("float4", b"1.00000005960464477", 1.0),
        ("float4", b"1.00000005960464478", 1.0000001192092896),
        ("float4", b"1.000000059604644775390625", 1.0),
        ("float4", b"-1.00000005960464478", -1.0000001192092896),
        ("float4", b"1.000000178813934326171875", 1.0000002384185791),
        ("numeric", b"1" + b"0" * 50, Decimal("1" + "0" * 50)),
        # money, a type without a binary codec
        ("_money", b'{$1.00,"$1,000.00",NULL}', ["$1.00", "$1,000.00", None]),
        # box, the only type whose delimiter is not a comma
        ("_box", b"{(1,1),(0,0);(3,3),(2,2)}", [Box((1, 1), (0, 0)), Box((3, 3), (2, 2))]),
    ],
)
def test_other_texts(name: str, text: bytes, value: object) -> None:
    assert same(REGISTRY.text_codec(BY_NAME[name].oid).decode(text), value)


def test_char_text_is_ascii() -> None:
    codec = REGISTRY.text_codec(BY_NAME["char"].oid)
    assert [codec.encode(byte) for byte in (b"\xff", b"\x80", b"a", b"\x00")] == [b"\\377", b"\\200", b"a", b""]


@pytest.mark.checklist("TY-5")
@pytest.mark.parametrize("text", ["10000", "1.10", "0.00", "100.0", "1234500000000", "0.000000000000000010"])
def test_numeric_has_the_servers_digits(text: str) -> None:
    codec = REGISTRY.codec(BY_NAME["numeric"].oid)
    assert codec is not None
    decoded = codec.decode(codec.encode(text))
    assert format(decoded, "f") == text
    assert decoded.as_tuple().exponent == -len(text.partition(".")[2])


def test_infinite_timestamptz_is_aware() -> None:
    codec = REGISTRY.codec(BY_NAME["timestamptz"].oid)
    assert codec is not None
    for data in (b"\x7f" + b"\xff" * 7, b"\x80" + b"\x00" * 7):
        value = codec.decode(data)
        assert value.tzinfo is UTC
        assert codec.encode(value) == data
        # As asyncpg's users write it, too.
        assert codec.encode(value.replace(tzinfo=None)) == data


def test_void() -> None:
    for codec in (REGISTRY.codec(BY_NAME["void"].oid), REGISTRY.text_codec(BY_NAME["void"].oid)):
        assert codec is not None
        assert codec.decode(b"") is None
        assert codec.encode("") == b""
        with pytest.raises(ValueError, match="invalid void value: 1 bytes instead of none"):
            codec.decode(b"x")


def test_date_of_a_datetime() -> None:
    codec = REGISTRY.codec(BY_NAME["date"].oid)
    assert codec is not None
    assert codec.encode(datetime(2024, 2, 29, 12)) == codec.encode(date(2024, 2, 29))
