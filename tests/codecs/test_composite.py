"""Composite types in both formats: the server's bytes and text, values taken and refused, malformed input."""

import struct
from collections import OrderedDict, UserDict, UserList, namedtuple
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsansio.codecs.codec import OutdatedTypeError
from pgsansio.codecs.composite import composite_codec
from pgsansio.enums import Format
from pgsansio.kernel import Record, row_plan
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types.range import Range
from tests.codecs.containers import FORMATS, NEST, PAIR, codec, pair

#: Type, record_send of a value in hexadecimal digits, the same value as text, and the attributes' values.
VECTORS: list[tuple[str, str, str, tuple[object, ...]]] = [
    ("pair", "00000002000000170000000400000001000000190000000161", "(1,a)", (1, "a")),
    ("pair", "0000000200000017ffffffff00000019ffffffff", "(,)", (None, None)),
    ("pair", "0000000200000017ffffffff0000001900000000", '(,"")', (None, "")),
    ("pair", "000000020000001700000004ffffffff00000019000000044e554c4c", "(-1,NULL)", (-1, "NULL")),
    (
        "pair",
        "00000002000000170000000400000000000000190000000d612022625c632c28642920090a",
        '(0,"a ""b\\\\c,(d) \t\n")',
        (0, 'a "b\\c,(d) \t\n'),
    ),
    ("pair", "0000000200000017000000040000000100000019000000065b7b7d5dc3a9", "(1,[{}]é)", (1, "[{}]é")),
    ("nil", "00000000", "()", ()),
    ("one", "0000000100000019ffffffff", "()", (None,)),
    ("one", "000000010000001900000000", '("")', ("",)),
    ("one", "00000001000000190000000178", "(x)", ("x",)),
    ("dropped", "00000002000000170000000400000007000000190000000176", "(7,v)", (7, "v")),
    (
        "nest",
        "00000006000046ee0000001b000000020000001700000004000000010000001900000003612c62000046ed00000051000000010000"
        "0001000046ee00000003000000010000001900000002000000170000000400000002000000190000000163ffffffff000000180000"
        "000200000017000000040000000300000019ffffffff00000f40000000110200000004000000010000000400000004000011630000"
        "00260000000200000011020000000400000001000000040000000300000009120000000400000007000046ea000000040000000500"
        "000b860000001011111111222233334444555555555555",
        '("(1,""a,b"")","{""(2,c)"",NULL,""(3,)""}","[1,4)","{[1,3),[7,)}",5,11111111-2222-3333-4444-555555555555)',
        (
            pair(1, "a,b"),
            [pair(2, "c"), None, pair(3, None)],
            Range(1, 4),
            [Range(1, 3), Range(7)],
            5,
            UUID("11111111-2222-3333-4444-555555555555"),
        ),
    ),
    (
        "nest",
        "00000006000046eeffffffff000046ed0000000c0000000000000000000046ee00000f400000000101000011630000000400000000"
        "000046eaffffffff00000b86ffffffff",
        "(,{},empty,{},,)",
        (None, [], Range(empty=True), [], None, None),
    ),
]


@pytest.mark.parametrize(("name", "data", "text", "values"), VECTORS)
def test_the_servers_bytes_and_text(name: str, data: str, text: str, values: tuple[object, ...]) -> None:
    for wire_format, wire in zip(FORMATS, (bytes.fromhex(data), text.encode()), strict=True):
        each = codec(name, wire_format)
        assert each.format is wire_format
        value = each.decode(wire)
        assert type(value) is Record
        assert tuple(value) == values
        assert tuple(value.keys()) == each.names
        assert each.encode(value) == each.encode(values) == wire


def test_what_a_codec_says_of_itself() -> None:
    for wire_format, opcode in zip(FORMATS, (Opcode.COMPOSITE, Opcode.CALL), strict=True):
        each = codec("pair", wire_format)
        assert (each.oid, each.name, each.opcode, each.names) == (PAIR, "pair", opcode, ("a", "b"))
        assert [member.name for member in each.members] == ["integer", "text"]
        assert not each.atomic
    assert codec("nil", Format.TEXT).format is Format.TEXT


def test_members_of_both_formats_are_refused() -> None:
    members = (codec("int4", Format.BINARY), codec("text", Format.TEXT))
    with pytest.raises(ValueError, match="the members of composite type x are of both formats"):
        composite_codec(1, "x", ("a", "b"), members)
    with pytest.raises(ValueError, match="1 column names for 2 codecs"):
        composite_codec(1, "x", ("a",), members[:1] * 2)


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize("wire_format", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        (1, "x"),
        [1, "x"],
        Point(1, "x"),
        UserList([1, "x"]),
        pair(1, "x"),
        row_plan(("other", "names"), (codec("int4", Format.TEXT),) * 2, Record).record([1, "x"]),
        {"a": 1, "b": "x"},
        OrderedDict(b="x", a=1),
        UserDict(a=1, b="x"),
        MappingProxyType({"a": 1, "b": "x"}),
    ],
)
def test_values_that_are_taken(wire_format: Format, value: Any) -> None:
    each = codec("pair", wire_format)
    assert each.encode(value) == each.encode((1, "x"))


@pytest.mark.parametrize("wire_format", FORMATS)
def test_what_a_mapping_lacks_is_null(wire_format: Format) -> None:
    each = codec("pair", wire_format)
    assert tuple(each.decode(each.encode({}))) == (None, None)
    assert tuple(each.decode(each.encode({"b": "x"}))) == (None, "x")
    assert codec("nil", wire_format).encode({}) == codec("nil", wire_format).encode(())


EXPECTED_CONTAINER = "a list, tuple, Record or mapping expected (got type {!r})".format


@pytest.mark.parametrize("wire_format", FORMATS)
@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        ({"bad": 1}, ValueError, "'bad' is not a valid element of composite type pair"),
        ({"a": 1, 1: 2}, ValueError, "1 is not a valid element of composite type pair"),
        ((1,), ValueError, "wrong number of columns: 1, expected 2"),
        ((1, "x", 3), ValueError, "wrong number of columns: 3, expected 2"),
        (5, TypeError, EXPECTED_CONTAINER("int")),
        ("ab", TypeError, EXPECTED_CONTAINER("str")),
        (b"ab", TypeError, EXPECTED_CONTAINER("bytes")),
        (memoryview(b"ab"), TypeError, EXPECTED_CONTAINER("memoryview")),
        ({1, 2}, TypeError, EXPECTED_CONTAINER("set")),
        (iter([1, "x"]), TypeError, EXPECTED_CONTAINER("list_iterator")),
        ((1, 2), TypeError, "expected str, got int"),
        (("1", "x"), TypeError, "'str' object cannot be interpreted as an integer"),
        ((2**40, "x"), OverflowError, "value out of int32 range"),
    ],
)
def test_values_that_are_refused(wire_format: Format, value: Any, error: type[Exception], reason: str) -> None:
    with pytest.raises(error) as caught:
        codec("pair", wire_format).encode(value)
    assert str(caught.value) == reason


@pytest.mark.parametrize("wire_format", FORMATS)
def test_an_error_of_an_attribute_says_which(wire_format: Format) -> None:
    with pytest.raises(TypeError) as caught:
        codec("nest", wire_format).encode({"p": (1, 2)})
    assert caught.value.__notes__ == [
        "in attribute 'b' of composite type pair",
        "in attribute 'p' of composite type nest",
    ]
    broken = (
        codec("pair", wire_format).encode((1, "x"))[:-2]
        + {Format.BINARY: b"\x01\xff", Format.TEXT: b"\xff)"}[wire_format]
    )
    with pytest.raises(UnicodeDecodeError) as refused:
        codec("pair", wire_format).decode(broken)
    assert refused.value.__notes__ == ["in attribute 'b' of composite type pair"]


def test_an_attribute_that_is_too_long() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 2**31

    member = ValueCodec(25, "text", Opcode.CALL, Format.BINARY, bytes, lambda value: Long())
    with pytest.raises(OverflowError, match="2147483648 bytes for attribute 'x' are too many"):
        composite_codec(1, "one", ("x",), (member,)).encode(["a"])


def test_a_users_struct_error_keeps_its_type() -> None:
    def refuse(value: object) -> Any:
        raise struct.error("mine")

    member = ValueCodec(25, "text", Opcode.CALL, Format.BINARY, refuse, refuse, user=True)
    each = composite_codec(1, "one", ("x",), (member,))
    with pytest.raises(struct.error, match="mine"):
        each.decode(bytes.fromhex("00000001000000190000000178"))
    with pytest.raises(struct.error, match="mine"):
        each.encode(["x"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "invalid composite value: 0 bytes are less than its header"),
        ("000000", "invalid composite value: 3 bytes are less than its header"),
        ("ffffffff", "composite value of -1 members in 4 bytes"),
        ("7fffffff 00000017 00000000", "composite value of 2147483647 members in 12 bytes"),
        ("00000002 00000017 00000004 00000001", "composite value ends before its last member"),
        ("00000003 00000017 00000004 00000001 0000", "composite value of 3 members in 18 bytes"),
        ("00000002 00000017 00000004 00000001 00000019", "composite value ends before its last member"),
        ("00000002 00000017 00000009 00000001 00000019", "composite value ends before its last member"),
        ("00000002 00000017 00000004 00000001 00000019 00000002 61", "composite value ends before its last member"),
        ("00000002 00000017 7fffffff 00000001 00000019 00000001 61", "composite value ends before its last member"),
        ("00000002 00000017 fffffffe 00000019 ffffffff", "invalid length -2 of a member of a composite value"),
        ("00000002 00000017 80000000 00000019 ffffffff", "invalid length -2147483648 of a member of a composite value"),
        ("00000002 00000017 ffffffff 00000019 ffffffff 00", "1 bytes after the last member of a composite value"),
        ("00000002 00000017 00000003 000001 00000019 00000001 61", "invalid int4 value: 3 bytes instead of 4"),
    ],
)
def test_malformed_binary(data: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        codec("pair", Format.BINARY).decode(bytes.fromhex(data))
    assert str(caught.value) == reason
    assert not isinstance(caught.value, OutdatedTypeError)


@pytest.mark.parametrize(
    ("name", "data", "oid", "reason"),
    [
        ("pair", "00000000", PAIR, "value of composite type pair has 0 attributes instead of 2"),
        ("pair", "00000001 00000017 ffffffff", PAIR, "value of composite type pair has 1 attributes instead of 2"),
        (
            "pair",
            "00000002 00000017 ffffffff 00000014 ffffffff",
            PAIR,
            "value of composite type pair has type 20 instead of 25 for attribute 'b'",
        ),
        ("nil", "00000001 00000017 ffffffff", 18161, "value of composite type nil has 1 attributes instead of 0"),
        # The inner one is what has to be asked about again.
        (
            "nest",
            "00000006 000046ee 0000000c 00000001 00000017 ffffffff" + "00000000 ffffffff" * 5,
            PAIR,
            "value of composite type pair has 1 attributes instead of 2",
        ),
        (
            "nest",
            "00000006 000046ee ffffffff 000046ed 0000000c 00000000 00000000 00000017" + "00000000 ffffffff" * 4,
            18157,
            f"array of type 23 instead of {PAIR}",
        ),
        ("nest", "00000006 000046ef ffffffff" + "00000000 ffffffff" * 5, NEST, None),
    ],
)
def test_other_attributes_than_those_known(name: str, data: str, oid: int, reason: str | None) -> None:
    with pytest.raises(OutdatedTypeError) as caught:
        codec(name, Format.BINARY).decode(bytes.fromhex(data))
    assert caught.value.oid == oid
    assert reason is None or str(caught.value) == reason


@pytest.mark.parametrize(
    ("name", "text"), [("pair", b"()"), ("pair", b"(1)"), ("pair", b"(1,a,)"), ("nil", b"(,)"), ("nil", b"(1)")]
)
def test_other_attributes_in_text(name: str, text: bytes) -> None:
    with pytest.raises(OutdatedTypeError, match=f"value of composite type {name} has") as caught:
        codec(name, Format.TEXT).decode(text)
    assert caught.value.oid == codec(name, Format.TEXT).oid


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "malformed composite text at byte 0: b''"),
        (b"1,a", "malformed composite text at byte 0: b'1,a'"),
        (b" (1,a)", "malformed composite text at byte 0: b' (1,a)'"),
        (b"(", "malformed composite text at byte 1: b''"),
        (b"(1,a", "malformed composite text at byte 4: b''"),
        (b"(1,a) ", "malformed composite text at byte 5: b' '"),
        (b"(1,a))", "malformed composite text at byte 5: b')'"),
        (b"(1,(a)", "malformed composite text at byte 3: b'(a)'"),
        (b'(1,"a)', "malformed composite text at byte 6: b''"),
        (b'(1,"a', "malformed composite text at byte 5: b''"),
        (b'(1,"', "malformed composite text at byte 4: b''"),
        (b'(1,"a""', "malformed composite text at byte 7: b''"),
        (b'(1,"a\\', "malformed composite text at byte 6: b''"),
        (b'(1,"a\\"', "malformed composite text at byte 7: b''"),
        (b'(1,"a"', "malformed composite text at byte 6: b''"),
        (b'(1,"a"b)', "malformed composite text at byte 6: b'b)'"),
        (b'(1,a"b")', "malformed composite text at byte 4: b'\"b\")'"),
        (b"(1,a\\b)", "malformed composite text at byte 4: b'\\\\b)'"),
        (b"(1,\\a)", "malformed composite text at byte 3: b'\\\\a)'"),
        (b"(x,a)", "invalid literal for int() with base 10: b'x'"),
    ],
)
def test_malformed_text(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        codec("pair", Format.TEXT).decode(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # As the manual says a quote and a backslash may be written, too
        (b'(1,"\\"\\a\\\\")', '"a\\'),
        (b'(1,"""""")', '""'),
        (b'(1," ")', " "),
        (b"(1, a )", " a "),
    ],
)
def test_texts_that_record_out_does_not_print(text: bytes, value: str) -> None:
    assert codec("pair", Format.TEXT).decode(text)[1] == value


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.text(
    'a",\\(){}[] \tNUL;', max_size=6
)
INT4 = st.integers(-(2**31), 2**31 - 1)
PAIRS = st.tuples(st.none() | INT4, st.none() | TEXTS)


def ranges_of(bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Range[Any]]:
    return st.just(Range(empty=True)) | st.builds(
        Range, st.none() | bounds, st.none() | bounds, lower_inc=st.booleans(), upper_inc=st.booleans()
    )


NESTS = st.tuples(
    st.none() | PAIRS,
    st.lists(st.none() | PAIRS, max_size=3),
    st.none() | ranges_of(INT4),
    st.none() | st.lists(ranges_of(INT4), max_size=3),
    st.none() | INT4,
    st.none() | st.uuids(),
)
NESTED_NESTS = st.tuples(
    st.none() | NESTS,
    st.lists(NESTS, max_size=2),
    st.lists(st.none() | ranges_of(TEXTS), max_size=3),
    st.lists(st.none() | st.lists(ranges_of(INT4), max_size=2), max_size=3),
)


@given(st.sampled_from(FORMATS), NESTED_NESTS)
@example(Format.TEXT, (((1, '"\\'), [(None, "")], None, [], None, None), [], [Range('"', "\\")], [[], None]))
def test_round_trip_of_containers_in_containers(wire_format: Format, value: tuple[Any, ...]) -> None:
    each = codec("nests", wire_format)
    data = each.encode(value)
    back = each.decode(data)
    assert back == value
    # What was decoded can be sent again as it is.
    assert each.encode(back) == data


@given(NESTED_NESTS)
def test_both_formats_hold_the_same(value: tuple[Any, ...]) -> None:
    binary, text = (codec("nests", wire_format) for wire_format in FORMATS)
    assert binary.decode(binary.encode(value)) == text.decode(text.encode(value))


SEEDS = [data for _, hexadecimal, text, _ in VECTORS for data in (bytes.fromhex(hexadecimal), text.encode())]
NAMES = ("nil", "one", "pair", "nest", "pair[]", "textrange", "int4multirange", "pairrange", "nest[]")


@given(
    st.sampled_from(NAMES),
    st.sampled_from(FORMATS),
    st.binary(max_size=60) | st.sampled_from(SEEDS) | st.text('(){}[]",\\1a ', max_size=30).map(str.encode),
)
def test_any_bytes_decode_or_raise_value_error(name: str, wire_format: Format, data: bytes) -> None:
    try:
        codec(name, wire_format).decode(data)
    except ValueError:
        pass


@given(st.sampled_from(NAMES), st.sampled_from(FORMATS), st.sampled_from(SEEDS), st.data())
def test_damaged_values_decode_or_raise_value_error(
    name: str, wire_format: Format, seed: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for damage in (bytes(damaged), bytes(damaged[:cut]), bytes(damaged) + b"\x00"):
        try:
            codec(name, wire_format).decode(damage)
        except ValueError:
            pass


def test_every_cut_of_a_value_is_refused() -> None:
    for name, data, text, _ in VECTORS:
        for wire_format, wire in zip(FORMATS, (bytes.fromhex(data), text.encode()), strict=True):
            for cut in range(len(wire)):
                with pytest.raises(ValueError):
                    codec(name, wire_format).decode(wire[:cut])


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=5))
def test_a_literal_is_read_as_record_in_reads_it(values: list[str | None]) -> None:
    each = codec("text", Format.TEXT)
    names = tuple([f"a{index}" for index in range(len(values))])
    text = composite_codec(1, "c", names, (each,) * len(values)).encode(values).decode()
    assert record_in(text) == values


def record_in(text: str) -> list[str | None]:
    """The server's record_in, one character at a time (manual, "Composite Type Input and Output Syntax")."""
    items: list[str | None] = []
    position = 1
    assert text[0] == "("
    while True:
        if text[position] in ",)":
            items.append(None)
        else:
            item = ""
            in_quotes = False
            while in_quotes or text[position] not in ",)":
                char = text[position]
                position += 1
                if char == "\\":
                    item += text[position]
                    position += 1
                elif char != '"':
                    item += char
                elif not in_quotes:
                    in_quotes = True
                elif text[position] == '"':
                    item += '"'
                    position += 1
                else:
                    in_quotes = False
            items.append(item)
        position += 1
        if text[position - 1] == ")":
            assert position == len(text)
            return items


def test_long_literals_cost_no_more_than_their_length() -> None:
    each = codec("one", Format.TEXT)
    for item in ('"' * 200_000, "\\" * 200_000, "(" * 200_000, " " * 200_000):
        assert each.decode(each.encode([item]))[0] == item
        with pytest.raises(ValueError, match="malformed composite text"):
            each.decode(each.encode([item])[:-2])
    with pytest.raises(ValueError, match="malformed composite text"):
        each.decode(b"(" * 1_000_000)
    with pytest.raises(OutdatedTypeError, match="1000001 attributes"):
        each.decode(b"(" + b"," * 1_000_000 + b")")
