"""What is not a value: wrong Python values with their reasons, and bytes that no server sends."""

import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, FloatOperation, InvalidOperation, localcontext
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsansio.codecs import Registry
from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.enums import Format
from pgsansio.kernel.contract import ValueCodec
from tests.codecs.vectors import VECTORS

REGISTRY = Registry()


def python_says(make: Callable[..., object], *arguments: object) -> str:
    """Python's words for these arguments, which are not the same in each version."""
    with pytest.raises(ValueError) as caught:
        make(*arguments)
    return str(caught.value)


def binary(name: str) -> ValueCodec:
    return REGISTRY.codec_in(BY_NAME[name].oid, Format.BINARY)


def text(name: str) -> ValueCodec:
    return REGISTRY.text_codec(BY_NAME[name].oid)


class WithInt:
    """Known to asyncpg as an integer, by `__int__` alone."""

    def __int__(self) -> int:
        return 7


class WithIndex:
    def __index__(self) -> int:
        return 7


class LikeTimedelta:
    """A length of time of another package's, that has no whole days."""

    days = 0.5
    seconds = 0
    microseconds = 0


class OwnDatetime(datetime):
    pass


class WithFloat:
    def __float__(self) -> float:
        return 7.5


HALF_HOUR_AND_A_BIT = timezone(timedelta(seconds=1800, microseconds=5))

NOT_AN_INTEGER = "'{}' object cannot be interpreted as an integer".format
FRACTION = "an integer is required, and this {} has a fractional part".format

REFUSED: tuple[tuple[str, object, type[Exception], str], ...] = (
    ("bool", 1, TypeError, "a boolean is required (got type int)"),
    ("bool", "t", TypeError, "a boolean is required (got type str)"),
    ("int2", 32768, OverflowError, "value out of int16 range"),
    ("int2", -32769, OverflowError, "value out of int16 range"),
    ("int4", 2**31, OverflowError, "value out of int32 range"),
    ("int4", -(2**31) - 1, OverflowError, "value out of int32 range"),
    ("int4", 2**70, OverflowError, "value out of int32 range"),
    ("int8", 2**63, OverflowError, "value out of int64 range"),
    ("int8", -(2**63) - 1, OverflowError, "value out of int64 range"),
    ("oid", -1, OverflowError, "value out of uint32 range"),
    ("oid", 2**32, OverflowError, "value out of uint32 range"),
    ("xid", -1, OverflowError, "value out of uint32 range"),
    ("xid8", -1, OverflowError, "value out of uint64 range"),
    ("xid8", 2**64, OverflowError, "value out of uint64 range"),
    ("xid8", "1", TypeError, "'str' object cannot be interpreted as an integer"),
    ("cid", 2**32, OverflowError, "value out of uint32 range"),
    ("int4", "1", TypeError, NOT_AN_INTEGER("str")),
    ("int4", b"1", TypeError, NOT_AN_INTEGER("bytes")),
    ("int4", [1], TypeError, NOT_AN_INTEGER("list")),
    ("int4", 1j, TypeError, NOT_AN_INTEGER("complex")),
    ("int4", 1.7, ValueError, FRACTION("float")),
    ("int4", Decimal("1.5"), ValueError, FRACTION("Decimal")),
    ("int4", Fraction(3, 2), ValueError, FRACTION("Fraction")),
    ("int4", float("nan"), ValueError, "cannot convert float NaN to integer"),
    ("int4", float("inf"), OverflowError, "cannot convert float infinity to integer"),
    ("int4", 1e300, OverflowError, "value out of int32 range"),
    ("float4", "1.0", TypeError, "must be real number, not str"),
    ("float4", 1e39, ValueError, "value out of float32 range"),
    ("float4", Decimal("1e39"), ValueError, "value out of float32 range"),
    ("float4", 10**400, OverflowError, "int too large to convert to float"),
    ("float8", "1.0", TypeError, "must be real number, not str"),
    ("float8", b"1", TypeError, "must be real number, not bytes"),
    ("float8", [], TypeError, "must be real number, not list"),
    ("float8", WithInt(), TypeError, "must be real number, not WithInt"),
    ("float8", 10**400, OverflowError, "int too large to convert to float"),
    ("text", "ab\0", ValueError, "text cannot hold the character U+0000, which is at index 2"),
    ("jsonb", "\0", ValueError, "text cannot hold the character U+0000, which is at index 0"),
    ("_text", ["a", "\0"], ValueError, "text cannot hold the character U+0000, which is at index 0"),
    ("numeric", "abc", ValueError, "this str is not a decimal number"),
    ("numeric", [], ValueError, "argument must be a sequence of length 3"),
    ("numeric", b"1", TypeError, "conversion from bytes to Decimal is not supported"),
    ("numeric", WithFloat(), TypeError, "conversion from WithFloat to Decimal is not supported"),
    ("numeric", Decimal("1E-16384"), ValueError, "cannot encode Decimal value into numeric: exponent is too small"),
    ("numeric", Decimal("1E-999999999"), ValueError, "cannot encode Decimal value into numeric: exponent is too small"),
    (
        "numeric",
        Decimal("1." + "1" * 16384),
        ValueError,
        "cannot encode Decimal value into numeric: exponent is too small",
    ),
    ("numeric", Decimal("1E+131072"), ValueError, "cannot encode Decimal value into numeric: exponent is too large"),
    ("numeric", Decimal("1E+999999999"), ValueError, "cannot encode Decimal value into numeric: exponent is too large"),
    ("text", 1, TypeError, "expected str, got int"),
    ("varchar", b"a", TypeError, "expected str, got bytes"),
    ("bpchar", None, TypeError, "expected str, got NoneType"),
    ("name", [], TypeError, "expected str, got list"),
    ("xml", 1, TypeError, "expected str, got int"),
    ("json", {}, TypeError, "expected str, got dict"),
    ("jsonb", b"{}", TypeError, "expected str, got bytes"),
    (
        "text",
        "\ud800",
        ValueError,
        "'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed",
    ),
    ("char", "a", TypeError, "a bytes-like object is required, not 'str'"),
    ("char", b"ab", ValueError, "a single byte is required (got 2 bytes)"),
    ("char", b"", ValueError, "a single byte is required (got 0 bytes)"),
    ("bytea", "abc", TypeError, "a bytes-like object is required, not 'str'"),
    ("bytea", 1, TypeError, "a bytes-like object is required, not 'int'"),
    ("bytea", [1], TypeError, "a bytes-like object is required, not 'list'"),
    ("uuid", 1, TypeError, "expected a uuid.UUID or str, got int"),
    ("uuid", b"1" * 16, TypeError, "expected a uuid.UUID or str, got bytes"),
    ("uuid", "x", ValueError, "invalid UUID 'x': length must be between 32..36 characters, got 1"),
    ("uuid", "1" * 37, ValueError, f"invalid UUID '{'1' * 37}': length must be between 32..36 characters, got 37"),
    ("uuid", "1" * 31 + "g", ValueError, f"invalid UUID '{'1' * 31}g': unexpected character 'g'"),
    ("uuid", "1" * 31 + " ", ValueError, f"invalid UUID '{'1' * 31} ': unexpected character ' '"),
    ("uuid", "1" * 31 + "-", ValueError, f"invalid UUID '{'1' * 31}-': decodes to less than 16 bytes"),
    ("uuid", "1" * 33, ValueError, f"invalid UUID '{'1' * 33}': decodes to more than 16 bytes"),
    ("date", "2020-01-01", TypeError, "expected a datetime.date or datetime.datetime instance, got 'str'"),
    ("date", time(1), TypeError, "expected a datetime.date or datetime.datetime instance, got 'time'"),
    ("time", "01:00", TypeError, "expected a datetime.time instance, got 'str'"),
    ("time", timedelta(1), TypeError, "expected a datetime.time instance, got 'timedelta'"),
    ("timetz", "01:00", TypeError, "expected a datetime.time instance, got 'str'"),
    ("timetz", time(1), ValueError, "a time with a fixed offset from UTC is required"),
    (
        "timetz",
        time(1, tzinfo=HALF_HOUR_AND_A_BIT),
        ValueError,
        "offset 0:30:00.000005 from UTC is not in whole seconds",
    ),
    ("timestamp", "x", TypeError, "expected a datetime.date or datetime.datetime instance, got 'str'"),
    (
        "timestamp",
        datetime(2020, 1, 1, tzinfo=UTC),
        TypeError,
        "can't subtract offset-naive and offset-aware datetimes",
    ),
    ("timestamptz", 1, TypeError, "expected a datetime.date or datetime.datetime instance, got 'int'"),
    ("interval", "1 day", TypeError, "expected a datetime.timedelta instance, got 'str'"),
    ("interval", LikeTimedelta(), ValueError, "value out of range for an interval (got type LikeTimedelta)"),
    ("interval", (1, 2, 3), TypeError, "expected a datetime.timedelta instance, got 'tuple'"),
    ("_int4", 1, TypeError, "a sized iterable container expected (got type 'int')"),
    ("_int4", "ab", TypeError, "a sized iterable container expected (got type 'str')"),
    ("_int4", b"ab", TypeError, "a sized iterable container expected (got type 'bytes')"),
    ("_int4", bytearray(b"ab"), TypeError, "a sized iterable container expected (got type 'bytearray')"),
    ("_int4", memoryview(b"ab"), TypeError, "a sized iterable container expected (got type 'memoryview')"),
    ("_int4", {1: 2}, TypeError, "a sized iterable container expected (got type 'dict')"),
    ("_int4", OrderedDict(), TypeError, "a sized iterable container expected (got type 'OrderedDict')"),
    ("_int4", iter([1]), TypeError, "a sized iterable container expected (got type 'list_iterator')"),
    ("_int4", [1, "x"], ValueError, f"invalid array element at index 1: {NOT_AN_INTEGER('str')}"),
    ("_int4", [["a"], ["b"]], ValueError, f"invalid array element: {NOT_AN_INTEGER('str')}"),
    ("_int4", [(1, 2), (3, 4)], ValueError, f"invalid array element at index 0: {NOT_AN_INTEGER('tuple')}"),
    ("_text", ["a", b"b"], ValueError, "invalid array element at index 1: expected str, got bytes"),
    ("_json", [{}], ValueError, "invalid array element at index 0: expected str, got dict"),
    ("_int4", [2**40], OverflowError, "value out of int32 range"),
    ("_int4", [[2**40]], OverflowError, "value out of int32 range"),
    ("_float4", [1e39], ValueError, "value out of float32 range"),
    ("_bool", [1], ValueError, "invalid array element at index 0: a boolean is required (got type int)"),
    ("_int4", [1, 2.5], ValueError, FRACTION("float")),
    ("_int4", [[1], [2, 3]], ValueError, "non-homogeneous array"),
    ("_int4", [[1], [[2]]], ValueError, "non-homogeneous array"),
    ("_int4", [[[1]], [2]], ValueError, "non-homogeneous array"),
    ("_int4", [1, [2]], ValueError, "non-homogeneous array"),
    ("_int4", [[1], 2], ValueError, "non-homogeneous array"),
    ("_int4", [None, [1]], ValueError, "non-homogeneous array"),
    ("_int4", [[1], None], ValueError, "non-homogeneous array"),
    ("_int4", [[1, 2], (3, 4)], ValueError, "non-homogeneous array"),
    ("_int4", [[1, 2], {3: 1}], ValueError, "non-homogeneous array"),
    ("_text", ["a", ["b"]], ValueError, "non-homogeneous array"),
    ("_int4", [[], [1]], ValueError, "non-homogeneous array"),
    ("_int4", [[[[[[[1]]]]]]], ValueError, "number of array dimensions (7) exceed the maximum expected (6)"),
)


@pytest.mark.parametrize(("name", "value", "error", "reason"), REFUSED)
def test_refused_with_its_reason(name: str, value: object, error: type[Exception], reason: str) -> None:
    for codec in (binary(name), text(name)):
        with pytest.raises(error) as caught:
            codec.encode(value)
        assert type(caught.value) in (error, UnicodeEncodeError)
        assert str(caught.value) == reason


def test_a_list_in_itself_is_refused() -> None:
    endless: list[object] = []
    endless.extend([endless] * 1000)
    with pytest.raises(ValueError, match="number of array dimensions"):
        binary("_int4").encode(endless)
    hidden: list[object] = [[1], endless]
    with pytest.raises(ValueError, match="non-homogeneous array"):
        binary("_int4").encode(hidden)


@pytest.mark.parametrize(
    ("name", "value", "same_as"),
    [
        ("int4", True, 1),
        ("int4", 1.0, 1),
        ("int4", Decimal(3), 3),
        ("int4", Fraction(4, 2), 2),
        ("int4", WithInt(), 7),
        ("int4", WithIndex(), 7),
        ("float4", 1, 1.0),
        ("float4", WithFloat(), 7.5),
        ("float8", True, 1.0),
        ("float8", WithFloat(), 7.5),
        ("float8", WithIndex(), 7.0),
        ("float8", Decimal("1.5"), 1.5),
        ("numeric", True, Decimal(1)),
        ("numeric", "1.50", Decimal("1.50")),
        ("numeric", (0, (1, 2), -1), Decimal("1.2")),
        ("numeric", Decimal("-0.00"), Decimal("0.00")),
        ("char", bytearray(b"x"), b"x"),
        ("time", datetime(2020, 1, 1, 5), time(5)),
        ("timetz", datetime(2020, 1, 1, 5, tzinfo=UTC), time(5, tzinfo=UTC)),
        ("timestamp", date(2020, 1, 1), datetime(2020, 1, 1)),
        ("timestamp", date.min, datetime.min),
        ("timestamp", OwnDatetime(2020, 1, 1, 5), datetime(2020, 1, 1, 5)),
        ("timestamptz", OwnDatetime(2020, 1, 1, 5, tzinfo=UTC), datetime(2020, 1, 1, 5, tzinfo=UTC)),
        ("_int4", (1, 2), [1, 2]),
        ("_int4", range(2), [0, 1]),
        ("_int4", {5}, [5]),
        ("_int4", {5: 6}.keys(), [5]),
        ("_int4", [{1}, {2}], [[1], [2]]),
        ("_int4", [True, WithIndex(), 3.0], [1, 7, 3]),
        ("_int4", [[], []], []),
        ("_json", [[]], []),
    ],
)
def test_accepted_as_asyncpg_does(name: str, value: object, same_as: object) -> None:
    codec = binary(name)
    assert codec.encode(value) == codec.encode(same_as)


def test_encoding_does_not_depend_on_the_decimal_context() -> None:
    with localcontext() as context:
        context.prec = 1
        context.traps[FloatOperation] = True
        context.traps[InvalidOperation] = False
        codec = binary("numeric")
        assert codec.decode(codec.encode(Decimal("123456789.123456789"))) == Decimal("123456789.123456789")
        assert codec.encode(0.5) == codec.encode("0.5")
        with pytest.raises(ValueError, match="not a decimal number"):
            codec.encode("abc")
        with pytest.raises(ValueError, match="not a decimal number"):
            text("numeric").decode(b"abc")


def hexadecimal(spaced: str) -> bytes:
    return bytes.fromhex(spaced)


MALFORMED: tuple[tuple[str, bytes, str], ...] = (
    ("bool", b"", "invalid bool value: 0 bytes instead of 1"),
    ("bool", b"\x01\x00", "invalid bool value: 2 bytes instead of 1"),
    ("int2", b"\x00", "invalid int2 value: 1 bytes instead of 2"),
    ("int4", b"\x00" * 5, "invalid int4 value: 5 bytes instead of 4"),
    ("int8", b"\x00" * 4, "invalid int8 value: 4 bytes instead of 8"),
    ("oid", b"", "invalid uint4 value: 0 bytes instead of 4"),
    ("float4", b"\x00" * 8, "invalid float4 value: 8 bytes instead of 4"),
    ("float8", b"\x00" * 4, "invalid float8 value: 4 bytes instead of 8"),
    ("numeric", b"\x00" * 7, "invalid numeric value: 7 bytes are less than its header"),
    ("numeric", hexadecimal("0001 0000 0000 0000"), "invalid numeric value: 8 bytes with 1 groups of digits"),
    ("numeric", hexadecimal("0000 0000 0000 0000 0001"), "invalid numeric value: 10 bytes with 0 groups of digits"),
    ("numeric", hexadecimal("ffff 0000 0000 0000 0001"), "invalid numeric value: 10 bytes with 65535 groups of digits"),
    ("numeric", hexadecimal("0000 0000 1234 0000"), "invalid sign 0x1234 in a numeric value"),
    ("numeric", hexadecimal("0000 0000 0000 4000"), "invalid scale 16384 in a numeric value"),
    ("numeric", hexadecimal("0001 0000 0000 0000 2710"), "invalid digit in a numeric value"),
    ("numeric", hexadecimal("0010 0000 0000 0000" + "270f" * 15 + "ffff"), "invalid digit in a numeric value"),
    ("numeric", hexadecimal("0001 ffff 0000 0003 0001"), "a numeric value has digits beyond its scale 3"),
    ("numeric", hexadecimal("0001 8000 0000 0000 0001"), "a numeric value has digits beyond its scale 0"),
    ("text", b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ("char", b"", 'invalid "char" value: 0 bytes instead of 1'),
    ("char", b"ab", 'invalid "char" value: 2 bytes instead of 1'),
    ("jsonb", b"", "invalid jsonb value: version b'' instead of 1"),
    ("jsonb", b"\x02{}", "invalid jsonb value: version b'\\x02' instead of 1"),
    ("jsonpath", b"\x02$", "invalid jsonpath value: version b'\\x02' instead of 1"),
    ("xid8", b"\x00" * 4, "invalid uint8 value: 4 bytes instead of 8"),
    ("uuid", b"\x00" * 15, "invalid uuid value: 15 bytes instead of 16"),
    ("uuid", b"\x00" * 17, "invalid uuid value: 17 bytes instead of 16"),
    ("date", b"\x00" * 8, "invalid date value: 8 bytes instead of 4"),
    ("time", b"\x00" * 4, "invalid time value: 4 bytes instead of 8"),
    ("timetz", b"\x00" * 8, "invalid timetz value: 8 bytes instead of 12"),
    ("timestamp", b"\x00" * 9, "invalid timestamp value: 9 bytes instead of 8"),
    ("timestamptz", b"", "invalid timestamptz value: 0 bytes instead of 8"),
    ("interval", b"\x00" * 15, "invalid interval value: 15 bytes instead of 16"),
    ("_int4", b"\x00" * 11, "invalid array value: 11 bytes are less than its header"),
    ("_int4", hexadecimal("ffffffff 00000000 00000017"), "invalid number of array dimensions: -1"),
    ("_int4", hexadecimal("00000007 00000000 00000017"), "invalid number of array dimensions: 7"),
    ("_int4", hexadecimal("00000000 00000002 00000017"), "invalid array flags: 2"),
    ("_int4", hexadecimal("00000000 00000000 00000019"), "array of type 25 instead of 23"),
    ("_int4", hexadecimal("00000001 00000000 00000017 00000001"), "invalid array value: 16 bytes with 1 dimensions"),
    ("_int4", hexadecimal("00000001 00000000 00000017 ffffffff 00000001"), "invalid array size: -1"),
    (
        "_int4",
        hexadecimal("00000001 00000000 00000017 7fffffff 00000001"),
        "array of 2147483647 elements in 20 bytes",
    ),
    (
        "_int4",
        hexadecimal("00000006 00000000 00000017" + "7fffffff 00000001" * 6),
        f"array of {(2**31 - 1) ** 6} elements in 60 bytes",
    ),
    (
        "_int4",
        hexadecimal("00000001 00000000 00000017 00000001 00000001 00000004 0000"),
        "an array element is longer than its array",
    ),
    (
        "_int4",
        hexadecimal("00000001 00000000 00000017 00000001 00000001 fffffffe 00000000"),
        "invalid length -2 of an array element",
    ),
    (
        "_int4",
        hexadecimal("00000001 00000000 00000017 00000001 00000001 00000004 00000001 00"),
        "1 bytes after the last array element",
    ),
    (
        "_int4",
        hexadecimal("00000000 00000000 00000017 00"),
        "1 bytes after the last array element",
    ),
    (
        "_text",
        hexadecimal("00000001 00000000 00000019 00000002 00000001 00000004 61626364"),
        "array value ends before its last element",
    ),
    # Lengths 3 and 5 add up to two int4.
    (
        "_int4",
        hexadecimal("00000001 00000000 00000017 00000002 00000001 00000003 000001 00000005 0000000002"),
        "invalid int4 value: 3 bytes instead of 4",
    ),
)


@pytest.mark.parametrize(("name", "data", "reason"), MALFORMED)
def test_malformed_binary(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        binary(name).decode(data)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("name", "text_value", "reason"),
    [
        ("bool", b"true", "invalid bool text b'true'"),
        ("int4", b"1.5", "invalid literal for int() with base 10: b'1.5'"),
        ("float4", b"1e39", "float4 text b'1e39' is out of range"),
        ("numeric", b"1,5", "this str is not a decimal number"),
        ("char", b"abcd", 'invalid "char" value: 4 bytes instead of 1'),
        ("char", b"\\-07", 'invalid "char" value: 4 bytes instead of 1'),
        ("bytea", rb"a\b", "invalid escape in a bytea text"),
        ("time", b"25:00:00", "time of 90000000000 microseconds is out of range for datetime.time"),
        ("time", b"noon", "invalid time text b'noon'"),
        ("timetz", b"10:00:00", "invalid timetz text b'10:00:00'"),
        ("date", b"2023-02-29", python_says(date, 2023, 2, 29)),
        ("_int4", b"", "malformed array text at byte 0: b''"),
        ("_int4", b"1", "malformed array text at byte 0: b'1'"),
        ("_int4", b"{1", "malformed array text at byte 2: b''"),
        ("_int4", b"{1}}", "malformed array text at byte 3: b'}'"),
        ("_int4", b"{1},", "malformed array text at byte 3: b','"),
        ("_int4", b"{1}{2}", "malformed array text at byte 3: b'{2}'"),
        ("_int4", b"{1,}", "malformed array text at byte 3: b'}'"),
        ("_int4", b"{,1}", "malformed array text at byte 1: b',1}'"),
        ("_int4", b"{1 2}", "malformed array text at byte 2: b' 2}'"),
        ("_int4", b'{1"2"}', "malformed array text at byte 2: b'\"2\"}'"),
        ("_text", b'{"abc}', "malformed array text at byte 1: b'\"abc}'"),
        ("_text", b'{"abc\\"}', "malformed array text at byte 1: b'\"abc\\\\\"}'"),
        ("_int4", b"{{}}", "malformed array text at byte 2: b'}}'"),
        ("_int4", b"{1,{2}}", "malformed array text at byte 3: b'{2}}'"),
        ("_int4", b"{{1},2}", "malformed array text at byte 5: b'2}'"),
        ("_int4", b"{{1},{2,3}}", "array text has lists of 1 and of 2 items in one dimension"),
        ("_int4", b"{{{{{{{1}}}}}}}", "array text has more than 6 dimensions"),
        ("_int4", b"[0:1]{1}", "malformed array text at byte 0: b'[0:1]{1}'"),
        ("_int4", b"[0:1]=", "malformed array text at byte 6: b''"),
    ],
)
def test_malformed_text(name: str, text_value: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        text(name).decode(text_value)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("name", "data", "text_value", "reason"),
    [
        ("date", "fff49d7b", b"0044-03-15 BC", "date 0044-03-15 BC is out of range for datetime.date"),
        ("date", "002c95d4", b"10000-01-01", "date 10000-01-01 is out of range for datetime.date"),
        ("date", "7fda970c", b"5874897-12-31", "date 5874897-12-31 is out of range for datetime.date"),
        ("date", "ffda97a7", b"4714-11-24 BC", "date 4714-11-24 BC is out of range for datetime.date"),
        ("time", "000000141dd76000", b"24:00:00", "time 24:00:00 is out of range for datetime.time"),
        ("time", "ffffffffffffffff", None, "time of -1 microseconds is out of range for datetime.time"),
        ("timetz", "000000141dd7600000000000", b"24:00:00+00", "time 24:00:00 is out of range for datetime.time"),
        (
            "timetz",
            "0000000000000000 00015180",
            None,
            python_says(timezone, timedelta(days=-1)),
        ),
        (
            "timestamp",
            "ff1af9e8fb46d000",
            b"0044-03-15 12:00:00 BC",
            "timestamp 0044-03-15 12:00:00 BC is out of range for datetime.datetime",
        ),
        (
            "timestamp",
            "0380e70b913b8000",
            b"10000-01-01 00:00:00",
            "timestamp 10000-01-01 00:00:00 is out of range for datetime.datetime",
        ),
        (
            "timestamptz",
            "ff1fe2ffc59c5fff",
            b"0001-12-31 23:59:59.999999+00 BC",
            "timestamptz 0001-12-31 23:59:59.999999+00 BC is out of range for datetime.datetime",
        ),
        (
            "timestamptz",
            "7fffff5bb3b29fff",
            b"294276-12-31 23:59:59.999999+00",
            "timestamptz 294276-12-31 23:59:59.999999+00 is out of range for datetime.datetime",
        ),
        (
            "interval",
            "7fffffffffffffff 7fffffff 7fffffff",
            b"infinity",
            "interval infinity is out of range for datetime.timedelta",
        ),
        (
            "interval",
            "8000000000000000 80000000 80000000",
            b"-infinity",
            "interval -infinity is out of range for datetime.timedelta",
        ),
        (
            "interval",
            "0000000000000005 7fffffff 00000001",
            b"1 mon 2147483647 days 00:00:00.000005",
            "interval of 1 months, 2147483647 days and 5 microseconds is out of range for datetime.timedelta",
        ),
    ],
)
def test_values_python_does_not_have(name: str, data: str, text_value: bytes | None, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        binary(name).decode(bytes.fromhex(data))
    assert str(caught.value) == reason
    if text_value is not None:
        with pytest.raises(ValueError) as caught:
            text(name).decode(text_value)
        assert str(caught.value) == reason


def test_local_time_beyond_the_calendar() -> None:
    # A moment before the year 1 in UTC is PostgreSQL's to keep; only reading it is impossible.
    early = datetime.min.replace(tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(ValueError, match=r"timestamptz 0001-12-31 22:00:00\+00 BC is out of range"):
        binary("timestamptz").decode(binary("timestamptz").encode(early))
    with pytest.raises(ValueError, match="timestamptz 9999-12-31 23:00:00-02 is out of range"):
        text("timestamptz").decode(b"9999-12-31 23:00:00-02")
    for beyond in ("10000-01-01 01:00:00+01", "10000-01-02 00:00:00+15", "0001-12-31 22:59:59-01 BC"):
        with pytest.raises(
            ValueError, match=f"^timestamptz {re.escape(beyond)} is out of range for datetime.datetime$"
        ):
            text("timestamptz").decode(beyond.encode())


ALL_CODECS = [
    REGISTRY.codec_in(oid, wire_format)
    for entry in BY_NAME.values()
    if (entry.oid, Format.BINARY) in BUILTIN
    for oid in (entry.oid, entry.array_oid)
    for wire_format in Format
    if oid
]

SEEDS = [bytes.fromhex(data) for _, _, data, _ in VECTORS] + [seen for _, seen, _, _ in VECTORS]


@given(st.sampled_from(ALL_CODECS), st.binary(max_size=80) | st.sampled_from(SEEDS))
@example(binary("timetz"), b"\x00" * 8 + b"\x80\x00\x00\x00")
def test_any_bytes_decode_or_raise_value_error(codec: ValueCodec, data: bytes) -> None:
    try:
        codec.decode(data)
    except ValueError:
        pass


@given(st.sampled_from(ALL_CODECS), st.sampled_from(SEEDS), st.data())
def test_damaged_values_decode_or_raise_value_error(codec: ValueCodec, seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for damage in (bytes(damaged), bytes(damaged[:cut]), bytes(damaged) + b"\x00"):
        try:
            codec.decode(damage)
        except ValueError:
            pass


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(st.sampled_from(ALL_CODECS), ANYTHING)
def test_any_value_encodes_or_is_refused(codec: ValueCodec, value: object) -> None:
    if value is None:
        return
    try:
        data = codec.encode(value)
    except (TypeError, ValueError, OverflowError):
        return
    assert type(data) is bytes
