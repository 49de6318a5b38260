"""Ranges and multiranges in both formats: the server's bytes and text, values taken and refused, malformed input."""

from collections import UserList
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.range import multirange_codec, range_codec
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types.range import Range
from tests.codecs.containers import FORMATS, codec, pair

#: Type, range_send or multirange_send of a value in hexadecimal digits, the same value as text, and as Python's.
VECTORS: list[tuple[str, str, str, object]] = [
    ("int4range", "0200000004000000010000000400000006", "[1,6)", Range(1, 6)),
    ("int4range", "01", "empty", Range(empty=True)),
    ("int4range", "18", "(,)", Range()),
    ("int4range", "120000000400000001", "[1,)", Range(1)),
    ("int4range", "080000000400000002", "(,2)", Range(None, 2)),
    ("int8range", "0200000008fffffffffffffffb000000080000000000000007", "[-5,7)", Range(-5, 7)),
    (
        "numrange",
        "040000000c0002000000000002000113880000000c000200000000000100021388",
        "(1.50,2.5]",
        Range(Decimal("1.50"), Decimal("2.5"), lower_inc=False, upper_inc=True),
    ),
    (
        "numrange",
        "060000000c0002000000000001000113880000000c000200000000000100011388",
        "[1.5,1.5]",
        Range(Decimal("1.5"), Decimal("1.5"), upper_inc=True),
    ),
    (
        "daterange",
        "020000000400002279000000040000227b",
        "[2024-02-29,2024-03-02)",
        Range(date(2024, 2, 29), date(2024, 3, 2)),
    ),
    ("tsrange", "12000000080002b582c4781000", '["2024-02-29 12:00:00",)', Range(datetime(2024, 2, 29, 12))),
    (
        "tstzrange",
        "0c000000080002b582c4781000",
        '(,"2024-02-29 12:00:00+00"]',
        Range(None, datetime(2024, 2, 29, 12, tzinfo=UTC), upper_inc=True),
    ),
    ("textrange", "0200000000000000017a", '["",z)', Range("", "z")),
    (
        "textrange",
        "060000000361206200000006632c64225c28",
        '["a b","c,d""\\\\("]',
        Range("a b", 'c,d"\\(', upper_inc=True),
    ),
    ("textrange", "08000000044e554c4c", "(,NULL)", Range(None, "NULL")),
    ("textrange", "02000000027b7d00000002c3a9", "[{},é)", Range("{}", "é")),
    (
        "pairrange",
        "020000001900000002000000170000000400000001000000190000000161000000180000000200000017000000040000000200000019"
        "ffffffff",
        '["(1,a)","(2,)")',
        Range[Any](pair(1, "a"), pair(2, None)),
    ),
    ("int4multirange", "00000000", "{}", []),
    (
        "int4multirange",
        "0000000200000011020000000400000001000000040000000300000009120000000400000007",
        "{[1,3),[7,)}",
        [Range(1, 3), Range(7)],
    ),
    ("int8multirange", "000000010000000118", "{(,)}", [Range()]),
    (
        "nummultirange",
        "0000000100000021000000000c0002000000000001000113880000000c000200000000000100021388",
        "{(1.5,2.5)}",
        [Range(Decimal("1.5"), Decimal("2.5"), lower_inc=False)],
    ),
    (
        "textmultirange",
        "000000020000000d0200000001610000000362225d0000000c06000000016400000002652c",
        '{[a,"b""]"),[d,"e,"]}',
        [Range("a", 'b"]'), Range("d", "e,", upper_inc=True)],
    ),
]


@pytest.mark.parametrize(("name", "data", "text", "value"), VECTORS)
def test_the_servers_bytes_and_text(name: str, data: str, text: str, value: object) -> None:
    for wire_format, wire in zip(FORMATS, (bytes.fromhex(data), text.encode()), strict=True):
        each = codec(name, wire_format)
        assert each.format is wire_format
        assert each.decode(wire) == value
        assert repr(each.decode(wire)) == repr(value)
        # timestamptz writes +00:00 where the server has +00.
        assert each.encode(value) == wire.replace(b"+00", b"+00:00")


def test_what_the_codecs_say_of_themselves() -> None:
    for wire_format in FORMATS:
        is_binary = wire_format is Format.BINARY
        each = codec("int4range", wire_format)
        assert (each.oid, each.name, each.element) == (3904, "int4range", codec("int4", wire_format))
        assert each.opcode is (Opcode.RANGE if is_binary else Opcode.CALL)
        assert each.atomic
        assert not codec("pairrange", wire_format).atomic
        each = codec("int4multirange", wire_format)
        assert (each.oid, each.name, each.element) == (4451, "int4multirange", codec("int4range", wire_format))
        assert each.opcode is (Opcode.MULTIRANGE if is_binary else Opcode.CALL)
        assert not each.atomic


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ((), Range(empty=True)),
        ([], Range(empty=True)),
        ((1,), Range(1)),
        ([1], Range(1)),
        ((1, 4), Range(1, 4, upper_inc=True)),
        ([1, 4], Range(1, 4, upper_inc=True)),
        ((None, 4), Range(None, 4, upper_inc=True)),
        ((1, None), Range(1)),
        ((None, None), Range()),
        ((None,), Range()),
        (Range(5, 1), Range(5, 1)),
    ],
)
def test_values_that_are_taken(value: object, same: object) -> None:
    for wire_format in FORMATS:
        each = codec("int4range", wire_format)
        assert each.encode(value) == each.encode(same)
        assert each.decode(each.encode(value)) == same
        each = codec("int4multirange", wire_format)
        assert each.decode(each.encode([value, Range()])) == [same, Range()]
        assert each.encode((value,)) == each.encode(UserList([value])) == each.encode([value])


@pytest.mark.parametrize(
    ("name", "value", "error", "reason"),
    [
        ("int4range", (1, 2, 3), ValueError, "expected 0, 1 or 2 elements in range (got 3)"),
        ("int4range", 5, TypeError, "list, tuple or Range object expected (got type <class 'int'>)"),
        ("int4range", "[1,2)", TypeError, "list, tuple or Range object expected (got type <class 'str'>)"),
        ("int4range", b"ab", TypeError, "list, tuple or Range object expected (got type <class 'bytes'>)"),
        ("int4range", {1, 2}, TypeError, "list, tuple or Range object expected (got type <class 'set'>)"),
        ("int4range", {"a": 1}, TypeError, "list, tuple or Range object expected (got type <class 'dict'>)"),
        ("int4range", range(2), TypeError, "list, tuple or Range object expected (got type <class 'range'>)"),
        ("int4range", ("a", 1), TypeError, "'str' object cannot be interpreted as an integer"),
        ("int4range", Range(1, "a"), TypeError, "'str' object cannot be interpreted as an integer"),
        ("int4range", (2**40,), OverflowError, "value out of int32 range"),
        ("textrange", ("a", 1), TypeError, "expected str, got int"),
        ("int4multirange", 5, TypeError, "expected a sequence (got type 'int')"),
        ("int4multirange", {}, TypeError, "expected a sequence (got type 'dict')"),
        ("int4multirange", {(1, 4)}, TypeError, "expected a sequence (got type 'set')"),
        ("int4multirange", "x", TypeError, "expected a sequence (got type 'str')"),
        ("int4multirange", b"", TypeError, "expected a sequence (got type 'bytes')"),
        ("int4multirange", Range(1, 4), TypeError, "expected a sequence (got type 'Range')"),
        ("int4multirange", iter([Range(1)]), TypeError, "expected a sequence (got type 'list_iterator')"),
        ("int4multirange", [None], TypeError, "list, tuple or Range object expected (got type <class 'NoneType'>)"),
        ("int4multirange", (1, 2), TypeError, "list, tuple or Range object expected (got type <class 'int'>)"),
        ("int4multirange", [(1, 2, 3)], ValueError, "expected 0, 1 or 2 elements in range (got 3)"),
        ("int4multirange", [("a",)], TypeError, "'str' object cannot be interpreted as an integer"),
    ],
)
def test_values_that_are_refused(name: str, value: Any, error: type[Exception], reason: str) -> None:
    for wire_format in FORMATS:
        with pytest.raises(error) as caught:
            codec(name, wire_format).encode(value)
        assert str(caught.value) == reason


def test_a_bound_that_is_too_long() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 2**31

    subtype = ValueCodec(25, "text", Opcode.CALL, Format.BINARY, bytes, lambda value: Long())
    for each, value in (
        (range_codec(1, "r", subtype), (1,)),
        (multirange_codec(2, "m", range_codec(1, "r", subtype)), [(1,)]),
    ):
        with pytest.raises(OverflowError, match="2147483648 bytes are too many for a part of a range"):
            each.encode(value)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("int4range", "", "invalid range value: 0 bytes"),
        ("int4range", "20", "invalid range flags: 0x20"),
        ("int4range", "80", "invalid range flags: 0x80"),
        ("int4range", "0100", "1 bytes after the last bound of a range"),
        ("int4range", "1800", "1 bytes after the last bound of a range"),
        ("int4range", "02", "range value ends before its last part"),
        ("int4range", "02000000", "range value ends before its last part"),
        ("int4range", "02 00000004 00000001", "range value ends before its last part"),
        ("int4range", "12 00000005 00000001", "invalid length 5 in a range value of 9 bytes"),
        ("int4range", "12 ffffffff", "invalid length -1 in a range value of 5 bytes"),
        ("int4range", "12 80000000", "invalid length -2147483648 in a range value of 5 bytes"),
        ("int4range", "12 7fffffff 00000001", "invalid length 2147483647 in a range value of 9 bytes"),
        ("int4range", "12 00000003 000001", "invalid int4 value: 3 bytes instead of 4"),
        ("int4range", "12 00000004 00000001 00", "1 bytes after the last bound of a range"),
        ("int4multirange", "000000", "invalid multirange value: 3 bytes are less than its header"),
        ("int4multirange", "ffffffff", "multirange of -1 ranges in 4 bytes"),
        ("int4multirange", "00000001", "multirange of 1 ranges in 4 bytes"),
        ("int4multirange", "7fffffff 0000000118", "multirange of 2147483647 ranges in 9 bytes"),
        ("int4multirange", "00000000 00", "1 bytes after the last range of a multirange"),
        ("int4multirange", "00000001 00000001 18 00", "1 bytes after the last range of a multirange"),
        ("int4multirange", "00000001 00000002 18", "invalid length 2 in a range value of 9 bytes"),
        ("int4multirange", "00000001 ffffffff 18", "invalid length -1 in a range value of 9 bytes"),
        ("int4multirange", "00000001 00000000 18", "invalid range value: 0 bytes"),
        ("int4multirange", "00000002 00000009 120000000400000001 000000", "range value ends before its last part"),
    ],
)
def test_malformed_binary(name: str, data: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        codec(name, Format.BINARY).decode(bytes.fromhex(data))
    assert str(caught.value) == reason


def test_flags_that_the_server_reads_too() -> None:
    each = codec("int4range", Format.BINARY)
    assert each.decode(b"\x1f") == each.decode(b"\x07") == Range(empty=True)
    assert each.decode(b"\x1e") == Range()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("int4range", "", "malformed range text at byte 0: b''"),
        ("int4range", "EMPTY", "malformed range text at byte 0: b'EMPTY'"),
        ("int4range", "1,2", "malformed range text at byte 0: b'1,2'"),
        ("int4range", "[", "malformed range text at byte 1: b''"),
        ("int4range", "[1", "malformed range text at byte 2: b''"),
        ("int4range", "[1)", "malformed range text at byte 2: b')'"),
        ("int4range", "[1,", "malformed range text at byte 3: b''"),
        ("int4range", "[1,2", "malformed range text at byte 4: b''"),
        ("int4range", "[1,2,3)", "malformed range text at byte 4: b',3)'"),
        ("int4range", "[1,2))", "malformed range text at byte 5: b')'"),
        ("int4range", "[1,2) ", "malformed range text at byte 5: b' '"),
        ("int4range", "[1,[2)", "malformed range text at byte 3: b'[2)'"),
        ("int4range", '[1,"2)', "malformed range text at byte 6: b''"),
        ("int4range", '["1"2,)', "malformed range text at byte 4: b'2,)'"),
        ("int4range", "[1\\,2)", "malformed range text at byte 2: b'\\\\,2)'"),
        ("int4range", "[x,2)", "invalid literal for int() with base 10: b'x'"),
        ("int4multirange", "", "malformed multirange text at byte 0: b''"),
        ("int4multirange", "{", "malformed range text at byte 1: b''"),
        ("int4multirange", "[1,2)", "malformed multirange text at byte 0: b'[1,2)'"),
        ("int4multirange", "{[1,2)", "malformed multirange text at byte 6: b''"),
        ("int4multirange", "{[1,2),}", "malformed range text at byte 7: b'}'"),
        ("int4multirange", "{,[1,2)}", "malformed range text at byte 1: b',[1,2)}'"),
        ("int4multirange", "{[1,2)[3,4)}", "malformed multirange text at byte 6: b'[3,4)}'"),
        ("int4multirange", "{[1,2)}}", "malformed multirange text at byte 7: b'}'"),
        ("int4multirange", "{emptyempty}", "malformed multirange text at byte 6: b'empty}'"),
        ("int4multirange", "{}{}", "malformed range text at byte 1: b'}{}'"),
    ],
)
def test_malformed_text(name: str, text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        codec(name, Format.TEXT).decode(text.encode())
    assert str(caught.value) == reason


def test_every_cut_of_a_value_is_refused() -> None:
    for name, data, text, _ in VECTORS:
        for wire_format, wire in zip(FORMATS, (bytes.fromhex(data), text.encode()), strict=True):
            for cut in range(len(wire)):
                with pytest.raises(ValueError):
                    codec(name, wire_format).decode(wire[:cut])


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.text(
    'a",\\(){}[] \tempty', max_size=6
)


@given(
    st.sampled_from(FORMATS),
    st.lists(
        st.builds(
            Range,
            st.none() | TEXTS,
            st.none() | TEXTS,
            lower_inc=st.booleans(),
            upper_inc=st.booleans(),
            empty=st.booleans(),
        ),
        max_size=4,
    ),
)
def test_round_trip(wire_format: Format, ranges: list[Range[str]]) -> None:
    each = codec("textmultirange", wire_format)
    assert each.decode(each.encode(ranges)) == ranges
    for one in ranges:
        single = codec("textrange", wire_format)
        assert single.decode(single.encode(one)) == one


def test_long_literals_cost_no_more_than_their_length() -> None:
    each, many = codec("textrange", Format.TEXT), codec("textmultirange", Format.TEXT)
    for bound in ('"' * 200_000, "\\" * 200_000, "[" * 200_000):
        value = Range(bound, bound)
        assert each.decode(each.encode(value)) == value
        with pytest.raises(ValueError, match="malformed range text"):
            each.decode(each.encode(value)[:-2])
    assert len(many.decode(b"{" + b"(,)," * 50_000 + b"(,)}")) == 50_001
    with pytest.raises(ValueError, match="malformed range text"):
        many.decode(b"{" * 1_000_000)
