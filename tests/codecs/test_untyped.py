"""Arguments as SQL: what stands in the place of a parameter, and what is refused since it could be misunderstood."""

import collections
import enum
import ipaddress
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import pytest

from pgsansio import AliasCodec, CompositeCodec, EnumCodec, TypeCodec, json_codecs
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.codecs.untyped import UntypedArguments
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.kernel import UUID as OurUUID
from pgsansio.kernel import Record, row_plan
from pgsansio.policy.quoting import quote_literal
from pgsansio.types import BitString, Box, Circle, Cube, Line, LineSegment, Path, Point, Polygon, Range, SparseVector

ZONE = timezone(timedelta(hours=-3))
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=ZONE)


def sql(value: object, *declared: CodecDeclaration) -> str:
    registry = Registry()
    registry.declare(declared)
    return UntypedArguments(registry, quote_literal).codec.encode(value).decode()


class Text(str):
    pass


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    ONE = "one"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    b: int
    a: str


class Index:
    def __index__(self) -> int:
        return 7


class Bag:
    """Has a size and items, as what numpy makes has."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[int]:
        return iter((1, 2))


RECORD = row_plan(("x", "y"), (Registry().text_codec(25),) * 2, Record).record([1, "a b"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "('')"),
        ("it's", "('it''s')"),
        ("\\'; DROP TABLE t; --", "( E'\\\\''; DROP TABLE t; --')"),
        ("$1 $$ \n ü 😀", "('$1 $$ \n ü 😀')"),
        (Text("x"), "('x')"),
        (True, "('true')"),
        (False, "('false')"),
        (0, "('0')"),
        (-5, "('-5')"),
        (10**40, f"('{10**40}')"),
        (Number.ONE, "('1')"),
        (Word.ONE, "('one')"),
        (Index(), "('7')"),
        (1.5, "('1.5')"),
        (-0.0, "('-0.0')"),
        (1e300, "('1e+300')"),
        (float("nan"), "('nan')"),
        (float("-inf"), "('-inf')"),
        (Decimal("1.50"), "('1.50')"),
        (Decimal("-Infinity"), "('-Infinity')"),
        (date(2026, 1, 2), "('2026-01-02')"),
        (date.max, "('infinity')"),
        (datetime(2026, 1, 2, 3, 4, 5), "('2026-01-02 03:04:05')"),
        (MOMENT, "('2026-01-02 06:04:05.000006+00:00'::pg_catalog.timestamptz)"),
        (time(1, 2, 3), "('01:02:03')"),
        (time(1, 2, tzinfo=ZONE), "('01:02:00-03:00'::pg_catalog.timetz)"),
        (timedelta(days=-1, seconds=2), "('P-1DT2.000000S')"),
        (UUID(int=1), "('00000000-0000-0000-0000-000000000001')"),
        (OurUUID(int=1), "('00000000-0000-0000-0000-000000000001')"),
        (b"\x00'\\", "( E'\\\\x00275c'::pg_catalog.bytea)"),
        (bytearray(b""), "( E'\\\\x'::pg_catalog.bytea)"),
        (memoryview(b"a"), "( E'\\\\x61'::pg_catalog.bytea)"),
        (ipaddress.ip_address("::1"), "('::1')"),
        (ipaddress.ip_interface("10.0.0.1/8"), "('10.0.0.1/8')"),
        (ipaddress.ip_network("10.0.0.0/8"), "('10.0.0.0/8')"),
        (BitString("0101"), "('0101')"),
        (Point(1, 2), "('(1.0,2.0)')"),
        (Line(1, 2, 3), "('{1.0,2.0,3.0}')"),
        (LineSegment((1, 2), (3, 4)), "('[(1.0,2.0),(3.0,4.0)]')"),
        (Box((3, 4), (1, 2)), "('(3.0,4.0),(1.0,2.0)')"),
        (Path((1, 2), (3, 4)), "('[(1.0,2.0),(3.0,4.0)]')"),
        (Polygon((1, 2), (3, 4)), "('((1.0,2.0),(3.0,4.0))')"),
        (Circle((1, 2), 3), "('<(1.0,2.0),3.0>')"),
        (Cube([1, 2]), "('(1.0, 2.0)')"),
        (SparseVector({1: 2.0}, 3), "('{2:2.0}/3')"),
        (Range(1, 5), "('[1,5)')"),
        (Range(empty=True), "('empty')"),
        (Range(None, MOMENT), "('(,\"2026-01-02 06:04:05.000006+00:00\")'::pg_catalog.tstzrange)"),
        ([], "('{}')"),
        ([1, None, 3], "('{1,NULL,3}')"),
        ([[1, 2], [3, 4]], "('{{1,2},{3,4}}')"),
        (["a b", "", "null", 'c"d', "e\\f", "{", ","], '( E\'{"a b","","null","c\\\\"d","e\\\\\\\\f","{",","}\')'),
        ({5}, "('{5}')"),
        (range(3), "('{0,1,2}')"),
        (Bag(), "('{1,2}')"),
        (collections.deque([1]), "('{1}')"),
        ([b"a", None], "( E'{\"\\\\\\\\x61\",NULL}'::pg_catalog.bytea[])"),
        ([MOMENT], "('{\"2026-01-02 06:04:05.000006+00:00\"}'::pg_catalog.timestamptz[])"),
        ([Range(MOMENT, None)], '( E\'{"[\\\\"2026-01-02 06:04:05.000006+00:00\\\\",)"}\'::pg_catalog.tstzrange[])'),
        ([Box((3, 4), (1, 2))] * 2, "('{(3.0,4.0),(1.0,2.0);(3.0,4.0),(1.0,2.0)}')"),
        ([Point(1, 2)], "('{\"(1.0,2.0)\"}')"),
        ((1, None, "a b", ""), '(\'(1,,"a b","")\')'),
        ((), "('()')"),
        (Pair(1, "a"), "('(1,a)')"),
        (RECORD, "('(1,\"a b\")')"),
        ([RECORD, RECORD], '( E\'{"(1,\\\\"a b\\\\")","(1,\\\\"a b\\\\")"}\')'),
        ([(1, "x"), None], "('{\"(1,x)\",NULL}')"),
        ((1, [2, 3]), "('(1,\"{2,3}\")')"),
    ],
)
def test_what_values_become(value: object, expected: str) -> None:
    assert sql(value) == expected


@pytest.mark.parametrize(
    ("value", "kind", "reason"),
    [
        ("a\0b", ValueError, r"U\+0000"),
        ("\ud800", ValueError, "surrogates"),
        (Decimal("1e200000"), ValueError, "exponent"),
        pytest.param(10**5000, ValueError, "4300 digits", id="many digits"),
        (object(), TypeError, "type object cannot be written as SQL: pass its text as a str"),
        (int, TypeError, "type type cannot be written"),
        (Colour.RED, TypeError, "no EnumCodec is declared for Colour"),
        ({"a": 1}, TypeError, "type dict cannot be written as SQL without a codec for json"),
        ([1, [2]], ValueError, "non-homogeneous"),
        ([object()], ValueError, "invalid array element at index 0: a value of type object"),
        ([b"a", "a"], ValueError, "an array of both bytea and other types"),
        ([MOMENT, MOMENT.replace(tzinfo=None)], ValueError, "an array of both other types and timestamptz"),
        (Range(MOMENT.replace(tzinfo=None), MOMENT), ValueError, "a range of both"),
        (Range(b"a", b"b"), ValueError, "no ranges of bytea"),
        ((1, b"a"), ValueError, "bytea inside of a composite cannot be told from other types"),
        ((1, [MOMENT]), ValueError, r"timestamptz\[\] inside of a composite"),
        ((1, "a\0"), ValueError, r"U\+0000"),
    ],
)
def test_what_is_refused(value: object, kind: type[Exception], reason: str) -> None:
    with pytest.raises(kind, match=reason):
        sql(value)


def test_json_needs_a_codec_and_then_an_empty_list_could_be_either() -> None:
    declared = json_codecs("json")
    assert sql({"a": ["it's"]}, *declared) == "('{\"a\": [\"it''s\"]}')"
    assert sql([1], *declared) == "('{1}')"
    empties: list[list[object]] = [[], [[]]]
    for empty in empties:
        with pytest.raises(ValueError, match="could be taken for JSON's object"):
            sql(empty, *declared)
    only_json = TypeCodec("json", schema="pg_catalog", encoder=lambda value: f"<{value['a']}>", decoder=str)
    assert sql({"a": 1}, only_json) == "('<1>')"
    in_binary = TypeCodec(
        "jsonb", schema="pg_catalog", encoder=lambda value: b"\x01[%d]" % value["a"], decoder=str, format="binary"
    )
    assert sql({"a": 1}, in_binary) == "('[1]')"
    with pytest.raises(ValueError, match=r"U\+0000"):
        sql({}, TypeCodec("jsonb", schema="pg_catalog", encoder=lambda value: "\0", decoder=str))
    with pytest.raises(UnicodeDecodeError):
        sql({}, *json_codecs((lambda value: b"\xff", str)))


def test_members_of_an_enum_have_the_labels_that_were_declared() -> None:
    by_name = EnumCodec("colour", Colour, by="name")
    assert sql(Colour.RED, by_name) == "('RED')"
    assert sql([Colour.RED, None], by_name) == "('{RED,NULL}')"
    assert sql(Word.ONE, EnumCodec("word", Word, by="name")) == "('ONE')"
    assert sql("RED", by_name) == "('RED')"
    with pytest.raises(ValueError, match="more than one label"):
        sql(Colour.RED, by_name, EnumCodec("other", Colour, by="value"))
    assert sql(Colour.RED, EnumCodec("one", Colour), EnumCodec("other", Colour)) == "('red')"


def test_the_order_of_attributes_is_not_known_for_a_class() -> None:
    with pytest.raises(TypeError, match="the attributes of pair are not known here: a tuple"):
        sql(Pair(1, "a"), CompositeCodec("pair", Pair))


def test_declarations_of_lower_layers_count() -> None:
    below = Registry()
    below.declare([EnumCodec("colour", Colour), AliasCodec("x", codec_name="int")])
    layer = Registry(below)
    layer.declare(json_codecs("json"))
    codec = UntypedArguments(layer, quote_literal).codec
    assert codec.encode(Colour.BLUE) == b"('blue')"
    assert codec.encode({}) == b"('{}')"
    assert [type(found).__name__ for found in layer.declarations()] == [
        "JsonCodec", "JsonCodec", "AliasCodec", "EnumCodec"
    ]  # fmt: skip


def test_a_declared_codec_without_text_refuses_text() -> None:
    registry = Registry()
    registry.catalog.learn([TypeInfo(70000, "mine", "public", "mine", TypeKind.BASE)])
    assert registry.codec_in(70000, Format.TEXT).decode(b"x") == "x"
    registry.declare([TypeCodec("mine", encoder=bytes, decoder=bytes, format="binary")])
    assert registry.declares(70000)
    assert not registry.declares(25)
    for call in (registry.codec_in(70000, Format.TEXT).decode, registry.codec_in(70000, Format.TEXT).encode):
        with pytest.raises(UnsupportedClientFeatureError, match="declared for type mine has no form for text"):
            call(b"x")
    assert registry.codec_in(70000, Format.BINARY).decode(b"x") == b"x"
