"""Arrays in text form, arrays of containers, and what an array says of itself that does not fit."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs import vector
from pgsansio.codecs.array import array_codec
from pgsansio.codecs.codec import OutdatedTypeError
from pgsansio.codecs.text import text_codec
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types.range import Range
from tests.codecs.containers import FORMATS, codec, pair

BOX = array_codec(1020, "box[]", text_codec(603, "box"), ";")

#: A type, a value's text as the server prints it, and the value.
TEXTS: list[tuple[ValueCodec, str, list[Any]]] = [
    (
        codec("text[]", Format.TEXT),
        '{"","NULL","null","nUlL","a b","{","}","\\"","\\\\",",",;,é,"\t"}',
        ["", "NULL", "null", "nUlL", "a b", "{", "}", '"', "\\", ",", ";", "é", "\t"],
    ),
    (codec("text[]", Format.TEXT), "{{a,b},{c,d}}", [["a", "b"], ["c", "d"]]),
    (codec("text[]", Format.TEXT), "{}", []),
    (codec("text[]", Format.TEXT), "{NULL,NULL}", [None, None]),
    (BOX, "{(1,1),(0,0);(3,3),(2,2);NULL}", ["(1,1),(0,0)", "(3,3),(2,2)", None]),
    (codec("pair[]", Format.TEXT), '{"(1,a)",NULL}', [pair(1, "a"), None]),
    (codec("int4multirange[]", Format.TEXT), '{"{[1,2)}","{}",NULL}', [[Range(1, 2)], [], None]),
    (codec("int4multirange[]", Format.TEXT), '{{"{[1,2)}"},{"{}"}}', [[[Range(1, 2)]], [[]]]),
]


@pytest.mark.parametrize(("each", "text", "value"), TEXTS)
def test_the_servers_text(each: ValueCodec, text: str, value: list[Any]) -> None:
    assert each.format is Format.TEXT
    assert each.element is not None
    assert each.decode(text.encode()) == value
    assert each.encode(value) == text.encode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[0:1]={1,2}", [1, 2]),
        (b"[-1:0][2:2]={{1},{NULL}}", [[1], [None]]),
        (b"[-2147483648:-2147483647]={1,2}", [1, 2]),
    ],
)
def test_lower_bounds(text: bytes, value: list[Any]) -> None:
    assert codec("int4[]", Format.TEXT).decode(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[0:2]={1,2}", "array text has other bounds than b'[0:2]='"),
        (b"[0:1][1:1]={1,2}", "array text has other bounds than b'[0:1][1:1]='"),
        (b"[0:1]={{1},{2}}", "array text has other bounds than b'[0:1]='"),
        (b"[1:0]={1}", "array text has other bounds than b'[1:0]='"),
        (b"[1:0]={}", "malformed array text at byte 7: b'}'"),
        (b"[00000000001:1]={1}", "malformed array text at byte 0: b'[00000000001:1]={1}'"),
        (b"[1:1][1:1][1:1][1:1][1:1][1:1][1:1]={1}", "malformed array text at byte 0: b'[1:1][1:1][1:1][1:1]'"),
        (b"[0:1]", "malformed array text at byte 0: b'[0:1]'"),
        (b"[]={1}", "malformed array text at byte 0: b'[]={1}'"),
    ],
)
def test_bounds_that_do_not_fit(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        codec("int4[]", Format.TEXT).decode(text)
    assert str(caught.value) == reason


ELEMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | st.text(
    'a"\\{}[],;=NULnul \t^-x', max_size=5
)


@given(st.lists(st.none() | ELEMENTS), st.sampled_from(",;:|^-]\\x "))
def test_any_delimiter(value: list[str | None], delimiter: str) -> None:
    each = array_codec(1, "a", text_codec(25, "text"), delimiter)
    assert each.decode(each.encode(value)) == value
    assert array_in(each.encode(value).decode(), delimiter) == value


def array_in(text: str, delimiter: str) -> list[str | None]:
    """What the server's array_in makes of an array of one dimension, one character at a time."""
    items: list[str | None] = []
    assert text[0] == "{"
    assert text[-1] == "}"
    position, end = 1, len(text) - 1
    while position < end:
        item, is_quoted = "", text[position] == '"'
        if is_quoted:
            position += 1
            while text[position] != '"':
                if text[position] == "\\":
                    position += 1
                item += text[position]
                position += 1
            position += 1
        else:
            while position < end and text[position] != delimiter:
                assert text[position] not in '{}"\\ \t'
                item += text[position]
                position += 1
            assert item
        items.append(item if is_quoted or item.upper() != "NULL" else None)
        assert position == end or text[position] == delimiter
        position += 1
    return items


@given(st.text('{}[]",\\1a:= NUL', max_size=24).map(str.encode) | st.binary(max_size=24))
def test_what_is_read_is_a_rectangle(data: bytes) -> None:
    each = codec("text[]", Format.TEXT)
    try:
        value = each.decode(data)
    except ValueError:
        return
    # Only lower bounds are lost.
    assert each.decode(each.encode(value)) == value


def test_long_literals_cost_no_more_than_their_length() -> None:
    each = codec("text[]", Format.TEXT)
    for item in ('"' * 300_000, "\\" * 300_000, "{" * 300_000, " " * 300_000):
        assert each.decode(each.encode([item])) == [item]
        with pytest.raises(ValueError, match="malformed array text"):
            each.decode(each.encode([item])[:-2])
    for data in (
        b"{" * 1_000_000,
        b"[" * 1_000_000,
        b"[1:" * 300_000,
        b"[" + b"1" * 1_000_000,
        b'{"' + b"\\" * 999_999,
    ):
        with pytest.raises(ValueError, match="array text"):
            each.decode(data)


def test_another_element_type_is_an_outdated_one() -> None:
    with pytest.raises(OutdatedTypeError, match="array of type 20 instead of 23") as caught:
        codec("int4[]", Format.BINARY).decode(bytes.fromhex("00000000 00000000 00000014"))
    assert caught.value.oid == 1007


def test_a_users_struct_error_keeps_its_type() -> None:
    def refuse(value: object) -> Any:
        raise struct.error("mine")

    each = array_codec(1, "a", ValueCodec(25, "text", Opcode.CALL, Format.BINARY, refuse, refuse, user=True))
    with pytest.raises(struct.error, match="mine"):
        each.decode(bytes.fromhex("00000001 00000000 00000019 00000001 00000001 00000001 61"))
    with pytest.raises(struct.error, match="mine"):
        each.encode(["a"])


@pytest.mark.parametrize("wire_format", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        [pair(1, "a"), pair(None, None)],
        [pair(1, "a"), None, (2, "b"), {"a": 3}],
        [None, pair(1, "a")],
        [[pair(1, "a")], [(2, "b")]],
    ],
)
def test_records_are_elements_among_composites(wire_format: Format, value: list[Any]) -> None:
    each = codec("pair[]", wire_format)
    back = each.decode(each.encode(value))
    assert each.encode(back) == each.encode(value)
    assert str(back).count("Record") == str(value).count("(") + str(value).count("{") + str(value).count("Record")


@pytest.mark.parametrize("wire_format", FORMATS)
def test_records_are_dimensions_among_scalars(wire_format: Format) -> None:
    rows = [codec("pair", Format.TEXT).decode(b"(1,)"), codec("pair", Format.TEXT).decode(b"(2,)")]
    each = codec("int4[]", wire_format)
    assert each.decode(each.encode(rows)) == [[1, None], [2, None]]


ONE, TWO = [Range(1, 2)], [Range(1, 2), Range(5, 6)]
#: What (1, 1) and (5, 5) stand for.
FIRST, FIFTH = Range(1, 1, upper_inc=True), Range(5, 5, upper_inc=True)


@pytest.mark.parametrize("wire_format", FORMATS)
@pytest.mark.parametrize(
    ("value", "back"),
    [
        ([], []),
        ([[]], [[]]),
        ([[], ONE, None, TWO], [[], ONE, None, TWO]),
        ([None, ONE], [None, ONE]),
        ([None], [None]),
        ([[None]], [[None]]),
        ([[None], [ONE]], [[None], [ONE]]),
        ([[ONE], [TWO]], [[ONE], [TWO]]),
        ([[None, ONE], [TWO, []]], [[None, ONE], [TWO, []]]),
        ([[[[[[ONE]]]]]], [[[[[[ONE]]]]]]),
        ([[(1, 1)], [(1, 1), [5, 5]]], [[FIRST], [FIRST, FIFTH]]),
        # Tuples as asyncpg wants them
        ([(Range(1, 2),), ()], [ONE, []]),
        ([((1, 1), (5, 5))], [[FIRST, FIFTH]]),
        ([[((1, 1),)], [()]], [[[FIRST]], [[]]]),
        ([[()]], [[[]]]),
    ],
)
def test_arrays_of_multiranges(wire_format: Format, value: list[Any], back: list[Any]) -> None:
    each = codec("int4multirange[]", wire_format)
    assert each.decode(each.encode(value)) == back


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ([[1, 2], [], None, [3]], [[1, 2], [], None, [3]]),
        ([[[1, 2]], [[3]]], [[[1, 2]], [[3]]]),
        ([(1, 2), (3,)], [[1, 2], [3]]),
        ([[None]], [[None]]),
        ([[(1, 2)], [(3,)]], [[[1, 2]], [[3]]]),
    ],
)
def test_arrays_of_vectors(value: list[Any], back: list[Any]) -> None:
    for each in vector.CODECS[0]:
        vectors = array_codec(1006, "int2vector[]", each)
        assert vectors.decode(vectors.encode(value)) == back


@pytest.mark.parametrize("wire_format", FORMATS)
def test_arrays_of_multiranges_that_are_refused(wire_format: Format) -> None:
    each = codec("int4multirange[]", wire_format)
    endless: list[Any] = []
    endless.append(endless)
    for value in (endless, [[[[[[[ONE]]]]]]], [[[[[[[()]]]]]]]):
        with pytest.raises(ValueError, match=r"number of array dimensions \(7\) exceed the maximum expected \(6\)"):
            each.encode(value)
    for value in ([[ONE], [TWO, ONE]], [[ONE], None], [[ONE], 5]):
        with pytest.raises(ValueError, match="non-homogeneous array"):
            each.encode(value)
    with pytest.raises(ValueError, match=r"invalid array element at index 0: expected a sequence \(got type 'Range'\)"):
        each.encode([Range(1, 2)])
    with pytest.raises(ValueError, match="invalid array element at index 1: 'Range' object cannot be"):
        each.encode([ONE, [TWO]])
