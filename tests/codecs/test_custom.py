"""Declarations of a user's: what they make of bytes and values, and what they refuse and when."""

import dataclasses
import enum
import json
import sys
import types
from collections import namedtuple
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.array import array_codec
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import OutdatedTypeError
from pgsansio.codecs.composite import composite_codec
from pgsansio.codecs.custom import AliasCodec, CompositeCodec, EnumCodec, JsonCodec, TypeCodec, json_codecs
from pgsansio.codecs.declaration import CodecDeclaration, applies
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.text import text_codec
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import DataError, InterfaceError, InvalidValueError, UnsupportedClientFeatureError
from pgsansio.kernel import Record, decode_rows, encode_bind, parameter_plan, row_plan
from pgsansio.kernel.contract import Opcode, ValueCodec

REGISTRY = Registry()
OID = 16999


def builtin(name: str, wire_format: Format = Format.BINARY) -> ValueCodec:
    return REGISTRY.codec_in(BY_NAME[name].oid, wire_format)


def builtin_info(name: str) -> TypeInfo:
    entry = BY_NAME[name]
    return TypeInfo(entry.oid, entry.name, "pg_catalog", entry.sql_name, TypeKind.BASE)


def info(name: str, kind: TypeKind, **more: Any) -> TypeInfo:
    return TypeInfo(OID, name, "public", name, kind, **more)


TEXT_DEFAULT = text_codec(OID, "mine")
ENUM_INFO = info("mood", TypeKind.ENUM)
BINARY_ENUM = dataclasses.replace(TEXT_DEFAULT, format=Format.BINARY)
CONTAINERS = (TypeKind.ARRAY, TypeKind.RANGE, TypeKind.MULTIRANGE)


def identity(value: Any) -> Any:
    return value


def type_codec(name: str, format: Any = "text", encoder: Any = identity, decoder: Any = identity) -> TypeCodec:
    return TypeCodec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format=format)


def built(declaration: CodecDeclaration, name: str, wire_format: Format = Format.BINARY) -> ValueCodec:
    codec = declaration.build(builtin_info(name), builtin(name, wire_format))
    assert (codec.oid, codec.name) == (BY_NAME[name].oid, BY_NAME[name].sql_name)
    return codec


# Names


@pytest.mark.parametrize(
    ("typename", "schema", "expected"),
    [
        ("int", "pg_catalog", "int4"),
        ("INTEGER", "pg_catalog", "int4"),
        ("double precision", "pg_catalog", "float8"),
        ("timestamp with timezone", "pg_catalog", "timestamptz"),
        ("int[]", "pg_catalog", "_int4"),
        ("no_such_type", "pg_catalog", "no_such_type"),
        ("int", "public", "int"),
        ("int", None, "int"),
    ],
)
def test_names_are_the_catalogues(typename: str, schema: str | None, expected: str) -> None:
    declarations: list[CodecDeclaration] = [
        TypeCodec(typename, schema=schema, encoder=str, decoder=int),
        AliasCodec(typename, schema=schema, codec_name="text"),
        EnumCodec(typename, Colour, schema=schema),
        CompositeCodec(typename, Point, schema=schema),
    ]
    for declaration in declarations:
        assert (declaration.typename, declaration.schema, declaration.extension) == (expected, schema, "")


def test_the_default_schema_is_public() -> None:
    declaration: CodecDeclaration = TypeCodec("mood", encoder=str, decoder=str)
    assert applies(declaration, ENUM_INFO, "mood")
    assert not applies(declaration, dataclasses.replace(ENUM_INFO, schema="other"), "mood")
    assert applies(TypeCodec("mood", schema=None, encoder=str, decoder=str), ENUM_INFO, "mood")


@pytest.mark.parametrize(
    ("typename", "schema", "error"),
    [
        (1, "public", TypeError("typename must be a str, got int")),
        ("a", 1, TypeError("schema must be a str or None, got int")),
        ("", "public", ValueError("typename and schema must not be empty")),
        ("a", "", ValueError("typename and schema must not be empty")),
    ],
)
def test_names_that_are_none(typename: Any, schema: Any, error: Exception) -> None:
    for declare in (
        lambda: TypeCodec(typename, schema=schema, encoder=str, decoder=str),
        lambda: AliasCodec(typename, schema=schema, codec_name="text"),
        lambda: EnumCodec(typename, Colour, schema=schema),
        lambda: CompositeCodec(typename, Point, schema=schema),
    ):
        with pytest.raises(type(error)) as raised:
            declare()
        assert str(raised.value) == str(error)


def test_declarations_are_immutable_and_compared_by_identity() -> None:
    one, other = type_codec("json"), type_codec("json")
    assert one != other
    assert len({one, other, one}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.typename = "jsonb"  # type: ignore[misc]


# TypeCodec: text and binary


@pytest.mark.checklist("K-1")
def test_text() -> None:
    codec = built(type_codec("int4", "text", lambda value: f"{value:x}", lambda text: int(text, 16)), "int4")
    assert (codec.format, codec.opcode, codec.user, codec.atomic) == (Format.TEXT, Opcode.CALL, True, False)
    assert codec.decode(b"ff") == 255
    assert codec.encode(255) == b"ff"
    # It stands by itself.
    assert built(type_codec("int4"), "int4", Format.TEXT).format is Format.TEXT


def test_text_is_utf_8() -> None:
    codec = built(type_codec("text"), "text")
    assert codec.decode("é€".encode()) == "é€"
    assert codec.encode("é€") == "é€".encode()
    with pytest.raises(InvalidValueError, match="cannot decode a value: 'utf-8' codec can't decode byte 0xff"):
        codec.decode(b"\xff")


@pytest.mark.checklist("K-1")
def test_binary_is_what_the_wire_has() -> None:
    codec = built(type_codec("jsonb", "binary"), "jsonb", Format.TEXT)
    assert codec.format is Format.BINARY
    # The version byte is part of the wire's form.
    assert codec.decode(b"\x01{}") == b"\x01{}"
    for value in (b"\x01{}", bytearray(b"\x01{}"), memoryview(b"\x01{}")):
        encoded = codec.encode(value)
        assert (type(encoded), encoded) == (bytes, b"\x01{}")


@pytest.mark.parametrize(
    ("format", "result", "error"),
    [
        ("text", 5, TypeError("expected str, got int (returned by the encoder)")),
        ("text", b"5", TypeError("expected str, got bytes (returned by the encoder)")),
        ("text", None, TypeError("expected str, got NoneType (returned by the encoder)")),
        ("text", "5\0", ValueError("text cannot hold the character U+0000, which is at index 1")),
        ("binary", "5", TypeError("a bytes-like object is required, not 'str' (returned by the encoder)")),
        ("binary", 5, TypeError("a bytes-like object is required, not 'int' (returned by the encoder)")),
        ("binary", None, TypeError("a bytes-like object is required, not 'NoneType' (returned by the encoder)")),
    ],
)
def test_an_encoder_that_returns_something_else(format: str, result: object, error: Exception) -> None:
    codec = built(type_codec("int4", format, encoder=lambda value: result), "int4")
    with pytest.raises(type(error)) as raised:
        codec.encode(1)
    assert str(raised.value) == str(error)


def test_an_encoder_may_return_a_str_of_its_own_class() -> None:
    class Text(str):
        __slots__ = ()

    assert built(type_codec("text", "text", Text), "text").encode("a") == b"a"


@pytest.mark.checklist("K-3")
@pytest.mark.parametrize("format", ["x", None, 1, Format.TEXT, "TEXT"])
def test_no_such_format(format: Any) -> None:
    with pytest.raises(InterfaceError) as raised:
        type_codec("int4", format)
    assert str(raised.value) == (f"invalid `format` argument, expected 'text', 'binary' or 'tuple', got {format!r}")


def test_functions_are_looked_at_when_they_are_declared() -> None:
    with pytest.raises(TypeError, match="encoder must be callable, got int"):
        type_codec("int4", "text", 1)
    with pytest.raises(TypeError, match="decoder must be callable, got str"):
        type_codec("int4", "text", str, "int")
    with pytest.raises(TypeError, match="an encoder or a decoder is required"):
        type_codec("int4", "text", None, None)


@pytest.mark.parametrize("format", ["text", "binary", "tuple"])
def test_one_function_is_enough_for_one_direction(format: str) -> None:
    data = b"\x00\x00\x00\x05"
    reader = built(type_codec("date", format, None), "date")
    assert reader.decode(data) == {"text": "\0\0\0\5", "binary": data, "tuple": (5,)}[format]
    with pytest.raises(UnsupportedClientFeatureError, match="the custom codec of type date has no encoder"):
        reader.encode(1)
    writer = built(
        type_codec("date", format, lambda value: {"text": "5", "binary": b"5", "tuple": (5,)}[format], None), "date"
    )
    assert writer.encode(1) == {"text": b"5", "binary": b"5", "tuple": data}[format]
    with pytest.raises(UnsupportedClientFeatureError, match="the custom codec of type date has no decoder"):
        writer.decode(data)


@pytest.mark.checklist("K-4")
def test_arrays_of_the_type_follow() -> None:
    codec = built(type_codec("int4", "text", lambda value: f"{value:x}", lambda text: int(text, 16)), "int4")
    array = array_codec(1007, "integer[]", codec)
    assert array.decode(b"{ff,NULL}") == [255, None]
    assert array.encode([255, None]) == b"{ff,NULL}"


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize(
    ("format", "wire_format", "value"), [("text", Format.TEXT, "{1}"), ("binary", Format.BINARY, b"{1}")]
)
def test_containers_as_a_whole(kind: TypeKind, format: Any, wire_format: Format, value: object) -> None:
    declaration = TypeCodec("mine", encoder=identity, decoder=identity, format=format)
    codec = declaration.build(info("mine", kind, inner_oid=23), TEXT_DEFAULT)
    assert (codec.oid, codec.name, codec.format) == (OID, "mine", wire_format)
    assert codec.decode(b"{1}") == value
    assert codec.encode(value) == b"{1}"


@pytest.mark.checklist("K-3")
@pytest.mark.parametrize("kind", CONTAINERS)
def test_no_tuples_for_containers(kind: TypeKind) -> None:
    for schema in ("public", None):
        declaration = TypeCodec("mine", schema=schema, encoder=identity, decoder=identity, format="tuple")
        with pytest.raises(InterfaceError) as raised:
            declaration.build(info("mine", kind, inner_oid=23), TEXT_DEFAULT)
        assert str(raised.value) == (
            "cannot use custom codec on type public.mine: it is neither a scalar type nor a composite type"
        )


@pytest.mark.parametrize("format", ["text", "binary"])
@pytest.mark.checklist("K-3")
def test_composite_types_take_only_tuples(format: Any) -> None:
    declaration = TypeCodec("pair", encoder=identity, decoder=identity, format=format)
    with pytest.raises(UnsupportedClientFeatureError) as raised:
        declaration.build(PAIR, PAIR_BINARY)
    assert raised.value.args == ("only tuple-format codecs can be used on composite types",)
    assert raised.value.hint is not None
    assert raised.value.hint.startswith("Use `set_type_codec(..., format='tuple')` and pass/interpret data as")


def test_domains() -> None:
    domain = info("positive", TypeKind.DOMAIN, inner_oid=23)
    codec = TypeCodec("positive", encoder=str, decoder=int).build(domain, builtin("int4"))
    assert (codec.oid, codec.name, codec.decode(b"5"), codec.encode(5)) == (OID, "positive", 5, b"5")


# What the kernel makes of their errors


def row(data: bytes) -> bytes:
    body = b"\x00\x01" + len(data).to_bytes(4, "big") + data
    return b"D" + (len(body) + 4).to_bytes(4, "big") + body


def decoding_error(codec: ValueCodec, data: bytes) -> Exception:
    message = row(data)
    _, error = decode_rows(row_plan(("a",), (codec,), Record), message, 0, len(message), [], 1)
    assert error is not None
    return error


def encoding_error(codec: ValueCodec, value: object) -> Exception:
    with pytest.raises((DataError, InterfaceError)) as raised:
        encode_bind(parameter_plan((codec,)), b"\0\0", (value,), b"\0\0", b"")
    return raised.value


def test_null_never_reaches_a_function() -> None:
    def fail(value: object) -> Any:
        raise AssertionError("called")

    codec = built(type_codec("int4", "text", fail, fail), "int4")
    message = b"D\x00\x00\x00\x0a\x00\x01\xff\xff\xff\xff"
    rows: list[Record] = []
    assert decode_rows(row_plan(("a",), (codec,), Record), message, 0, len(message), rows, 1) == (11, None)
    assert tuple(rows[0]) == (None,)
    assert b"\xff\xff\xff\xff" in encode_bind(parameter_plan((codec,)), b"\0\0", (None,), b"\0\0", b"")


@pytest.mark.parametrize("format", ["text", "binary", "tuple"])
def test_a_users_error_keeps_its_type(format: str) -> None:
    def fail(value: object) -> Any:
        raise ValueError("no")

    codec = built(type_codec("date", format, fail, fail), "date")
    error = decoding_error(codec, b"\x00\x00\x00\x05")
    assert (type(error), error.args) == (ValueError, ("no",))
    assert error.__notes__ == ["in column 1, 'a', of type date"]
    assert encoding_error(codec, 5).args == ("invalid input for query argument $1: 5 (no)",)


@pytest.mark.parametrize(
    ("declaration", "name", "data", "reason"),
    [
        (type_codec("text"), "text", b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (type_codec("date", "tuple"), "date", b"\x00", "invalid date value: 1 bytes instead of 4"),
        (json_codecs("json")[1], "jsonb", b"\x02{}", "invalid jsonb value: version b'\\x02' instead of 1"),
        (
            json_codecs("json")[0],
            "json",
            b'"\xff"',
            "'utf-8' codec can't decode byte 0xff in position 1: invalid start byte",
        ),
    ],
)
def test_malformed_bytes_are_not_the_users_fault(
    declaration: CodecDeclaration, name: str, data: bytes, reason: str
) -> None:
    error = decoding_error(built(declaration, name), data)
    assert type(error) is InvalidValueError
    assert str(error) == f"cannot decode a value: {reason}"
    assert error.__notes__ == [f"in column 1, 'a', of type {name}"]


def test_a_missing_function_is_named() -> None:
    error = encoding_error(built(type_codec("date", "text", None), "date"), 5)
    assert type(error) is UnsupportedClientFeatureError
    assert str(error) == "query argument $1: the custom codec of type date has no encoder"


# TypeCodec: tuples

INT8 = st.integers(-(2**63), 2**63 - 1)
INT4 = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.checklist("K-2")
@pytest.mark.parametrize(
    ("name", "data", "values"),
    [
        ("interval", "0000000000000003 fffffffe 00000001", (1, -2, 3)),
        ("date", "7fffffff", (2**31 - 1,)),
        ("date", "80000000", (-(2**31),)),
        ("date", "ffde9111", (-2191087,)),
        ("timestamp", "7fffffffffffffff", (2**63 - 1,)),
        ("timestamptz", "8000000000000000", (-(2**63),)),
        ("time", "000000141dd76000", (86_400_000_000,)),
        ("timetz", "0000000861c46800 ffffdcd8", (36_000_000_000, -9000)),
    ],
)
def test_tuple_layouts(name: str, data: str, values: tuple[int, ...]) -> None:
    codec = built(type_codec(name, "tuple"), name)
    assert (codec.format, codec.user) == (Format.BINARY, True)
    # In binary whatever the format of the default is.
    assert built(type_codec(name, "tuple"), name, Format.TEXT).format is Format.BINARY
    assert codec.decode(bytes.fromhex(data)) == values
    assert type(codec.decode(bytes.fromhex(data))) is tuple
    assert codec.encode(values) == bytes.fromhex(data)
    assert codec.encode(list(values)) == bytes.fromhex(data)


@given(INT4, INT4, INT8)
def test_intervals_round_trip(months: int, days: int, microseconds: int) -> None:
    codec = built(type_codec("interval", "tuple"), "interval")
    assert codec.decode(codec.encode((months, days, microseconds))) == (months, days, microseconds)


@pytest.mark.parametrize(
    ("name", "result", "error"),
    [
        ("interval", (1, 2), ValueError("interval tuple encoder: expecting 3 elements in tuple, got 2")),
        ("date", (), ValueError("date tuple encoder: expecting 1 element in tuple, got 0")),
        ("timetz", (1, 2, 3), ValueError("timetz tuple encoder: expecting 2 elements in tuple, got 3")),
        ("date", (2**31,), OverflowError("value out of int32 range")),
        ("time", (2**63,), OverflowError("value out of int64 range")),
        ("date", 5, TypeError("expected tuple, got int (returned by the encoder)")),
        ("date", "5", TypeError("expected tuple, got str (returned by the encoder)")),
        ("date", None, TypeError("expected tuple, got NoneType (returned by the encoder)")),
    ],
)
def test_wrong_tuples(name: str, result: object, error: Exception) -> None:
    codec = built(type_codec(name, "tuple", lambda value: result), name)
    with pytest.raises(type(error)) as raised:
        codec.encode(1)
    assert str(raised.value) == str(error)


@pytest.mark.parametrize("item", ["a", None, 1.5])
def test_a_tuple_of_something_else_than_integers(item: object) -> None:
    codec = built(type_codec("interval", "tuple", lambda value: (item, 2, 3)), "interval")
    with pytest.raises((TypeError, ValueError)):
        codec.encode(1)


@pytest.mark.checklist("K-2")
@pytest.mark.parametrize("name", ["int4", "point", "jsonb", "text"])
def test_types_without_a_tuple_layout(name: str) -> None:
    with pytest.raises(InterfaceError) as raised:
        type_codec(name, "tuple").build(builtin_info(name), builtin(name, Format.TEXT))
    assert str(raised.value) == f"{name} type does not support the 'tuple' exchange format"


def test_tuples_of_a_domain_over_a_date() -> None:
    domain = info("day", TypeKind.DOMAIN, inner_oid=BY_NAME["date"].oid)
    declaration = TypeCodec("day", encoder=identity, decoder=identity, format="tuple")
    codec = declaration.build(domain, builtin("date"))
    assert (codec.oid, codec.decode(b"\x00\x00\x00\x05")) == (OID, (5,))
    with pytest.raises(InterfaceError, match="day type does not support the 'tuple' exchange format"):
        declaration.build(info("day", TypeKind.DOMAIN, inner_oid=25), builtin("text"))


# Composite types

PAIR = info("pair", TypeKind.COMPOSITE, attributes=(("x", 23), ("label", 25)))


def composite(wire_format: Format, *names: str) -> ValueCodec:
    """Of an integer and texts."""
    members = (builtin("int4", wire_format), *[builtin("text", wire_format)] * (len(names) - 1))
    return composite_codec(OID, "pair", names, members)


PAIR_BINARY = composite(Format.BINARY, "x", "label")
PAIR_TEXT = composite(Format.TEXT, "x", "label")
BINARY_PAIR = bytes.fromhex("00000002 00000017 00000004 00000005 00000019 00000001 61")
PAIRS = pytest.mark.parametrize(("default", "data"), [(PAIR_BINARY, BINARY_PAIR), (PAIR_TEXT, b"(5,a)")])


@pytest.mark.checklist("K-2")
@PAIRS
def test_tuples_of_composite_types(default: ValueCodec, data: bytes) -> None:
    decoded: list[Record] = []

    def decoder(record: Record) -> tuple[object, ...]:
        decoded.append(record)
        return tuple(record)

    codec = TypeCodec("pair", encoder=identity, decoder=decoder, format="tuple").build(PAIR, default)
    assert (codec.oid, codec.format, codec.user) == (OID, default.format, True)
    assert codec.decode(data) == (5, "a")
    assert decoded[0]["label"] == "a"
    for value in ((5, "a"), [5, "a"], {"x": 5, "label": "a"}, decoded[0]):
        assert codec.encode(value) == data
    with pytest.raises(TypeError, match=r"expected tuple, got NoneType \(returned by the encoder\)"):
        codec.encode(None)
    with pytest.raises(ValueError, match="wrong number of columns: 1, expected 2"):
        codec.encode((5,))
    domain = info("pair_domain", TypeKind.DOMAIN, inner_oid=OID)
    declaration = TypeCodec("pair_domain", encoder=identity, decoder=tuple, format="tuple")
    assert declaration.build(domain, default).decode(data) == (5, "a")


@dataclasses.dataclass
class Pair:
    x: int | None
    label: str | None


class NamedPair(NamedTuple):
    # Not in the order of the type.
    label: str | None
    x: int | None


class SlowPair:
    def __init__(self, *, x: int | None, label: str | None) -> None:
        self.x, self.label = x, label

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


@PAIRS
@pytest.mark.parametrize(("cls", "fields"), [(Pair, None), (NamedPair, None), (SlowPair, {"x": "x", "label": "label"})])
def test_composites_as_instances(cls: Any, fields: Any, default: ValueCodec, data: bytes) -> None:
    codec = CompositeCodec("pair", cls, fields=fields).build(PAIR, default)
    assert (codec.oid, codec.name, codec.format) == (OID, "pair", default.format)
    assert (codec.user, codec.atomic, codec.opcode) == (True, False, Opcode.CALL)
    instance = cls(x=5, label="a")
    decoded = codec.decode(data)
    assert type(decoded) is cls
    assert decoded == instance
    for value in (instance, (5, "a"), [5, "a"], {"label": "a", "x": 5}, default.decode(data)):
        assert codec.encode(value) == data
    assert codec.decode(codec.encode(cls(x=None, label=None))) == cls(x=None, label=None)
    with pytest.raises(TypeError):
        codec.encode(5)


def test_a_class_of_attrs() -> None:
    attrs = pytest.importorskip("attrs")
    cls: Any = attrs.make_class("AttrsPair", {"x": attrs.field(), "_label": attrs.field(default="b")})
    codec = CompositeCodec("pair", cls).build(PAIR, PAIR_BINARY)
    assert codec.decode(BINARY_PAIR) == cls(x=5, label="a")
    assert codec.encode(cls(x=5, label="a")) == BINARY_PAIR
    # What a class computes by itself is no field.
    cls = attrs.make_class("Computed", {"x": attrs.field(), "label": attrs.field(init=False, default="a")})
    with pytest.raises(InterfaceError, match="there is no field for the attribute 'label'"):
        CompositeCodec("pair", cls).build(PAIR, PAIR_BINARY)


def test_a_namedtuple_made_by_a_function() -> None:
    cls = namedtuple("cls", ["x", "label"])
    codec = CompositeCodec("pair", cls).build(PAIR, PAIR_BINARY)
    assert codec.decode(BINARY_PAIR) == cls(5, "a")


def test_fields_that_are_called_otherwise() -> None:
    @dataclasses.dataclass
    class Renamed:
        number: int
        label: str

    codec = CompositeCodec("pair", Renamed, fields={"x": "number"}).build(PAIR, PAIR_BINARY)
    assert codec.decode(BINARY_PAIR) == Renamed(5, "a")
    assert codec.encode(Renamed(5, "a")) == BINARY_PAIR
    # A mapping has the type's names.
    assert codec.encode({"x": 5, "label": "a"}) == BINARY_PAIR


def test_later_changes_of_the_mapping_have_no_effect() -> None:
    fields = {"x": "x", "label": "label"}
    declaration = CompositeCodec("pair", SlowPair, fields=fields)
    fields.clear()
    assert declaration.fields == {"x": "x", "label": "label"}
    assert declaration.build(PAIR, PAIR_BINARY).decode(BINARY_PAIR) == SlowPair(x=5, label="a")


def test_fields_with_a_default_value_need_not_be_attributes() -> None:
    single = info("single", TypeKind.COMPOSITE, attributes=(("x", 23),))
    default = composite(Format.BINARY, "x")
    codec = CompositeCodec("single", Point).build(single, default)
    assert codec.decode(default.encode((5,))) == Point(5, 0)
    assert codec.encode(Point(5, 6)) == default.encode((5,))


def test_composites_in_composites_and_arrays() -> None:
    inner = CompositeCodec("pair", Pair).build(PAIR, PAIR_BINARY)
    array = array_codec(OID + 1, "pair[]", inner)
    assert array.decode(array.encode([Pair(1, "a"), None])) == [Pair(1, "a"), None]

    @dataclasses.dataclass
    class Outer:
        pair: Pair | None
        pairs: list[Pair]

    default = composite_codec(OID + 2, "outer", ("pair", "pairs"), (inner, array))
    outer_info = info("outer", TypeKind.COMPOSITE, attributes=(("pair", OID), ("pairs", OID + 1)))
    codec = CompositeCodec("outer", Outer).build(outer_info, default)
    value = Outer(Pair(1, "a"), [Pair(2, None)])
    assert codec.decode(codec.encode(value)) == value


def test_a_domain_over_a_composite_type() -> None:
    domain = info("pair_domain", TypeKind.DOMAIN, inner_oid=OID)
    assert CompositeCodec("pair_domain", Pair).build(domain, PAIR_TEXT).decode(b"(5,a)") == Pair(5, "a")
    with pytest.raises(InterfaceError, match=r"cannot use Pair for type public.positive: it is not a composite type"):
        CompositeCodec("positive", Pair).build(info("positive", TypeKind.DOMAIN, inner_oid=23), builtin("int4"))


def test_a_class_that_does_not_fit_the_type() -> None:
    with pytest.raises(InterfaceError) as raised:
        CompositeCodec("pair", Point).build(PAIR, PAIR_BINARY)
    assert str(raised.value) == "cannot use Point for type public.pair: there is no field for the attribute 'label'"
    with pytest.raises(InterfaceError) as raised:
        CompositeCodec("pair", Pair).build(PAIR, composite(Format.BINARY, "x"))
    assert str(raised.value) == "cannot use Pair for type public.pair: the type has no attribute for the field 'label'"
    for kind in set(TypeKind) - {TypeKind.COMPOSITE}:
        with pytest.raises(InterfaceError, match=r"cannot use Pair for type public\.mine: it is not a composite type"):
            CompositeCodec("mine", Pair, schema=None).build(info("mine", kind), TEXT_DEFAULT)


@dataclasses.dataclass
class Initialised:
    x: int
    label: dataclasses.InitVar[str]


class Positional:
    def __init__(self, x: int, /, label: str) -> None: ...


class Anything:
    def __init__(self, **values: object) -> None:
        self.values = values


@pytest.mark.parametrize(
    ("cls", "fields", "error"),
    [
        (5, None, TypeError("cls must be a class, got int")),
        (Pair(1, "a"), None, TypeError("cls must be a class, got Pair")),
        (Pair, ["x"], TypeError("fields must be a mapping, got list")),
        (Pair, {"x": "z"}, ValueError("Pair has no field 'z'")),
        (Pair, {"a": "x", "b": "x"}, ValueError("fields names a field twice")),
        (Pair, {"x": "label"}, ValueError("fields names an attribute that another field is called")),
        (SlowPair, None, TypeError("fields is required, since SlowPair is no dataclass, attrs class or NamedTuple")),
        (SlowPair, {"x": "x"}, ValueError("SlowPair requires 'label', which is not one of the fields")),
        (SlowPair, {"x": "x", "y": "y"}, ValueError("SlowPair does not take 'y' by keyword")),
        (Initialised, None, ValueError("Initialised requires 'label', which is not one of the fields")),
        (Positional, {"x": "x", "label": "label"}, ValueError("Positional does not take 'x' by keyword")),
        (Positional, {"label": "label"}, ValueError("Positional requires 'x', which is not one of the fields")),
    ],
)
def test_classes_that_can_never_work(cls: Any, fields: Any, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        CompositeCodec("pair", cls, fields=fields)
    assert str(raised.value) == str(error)


def test_classes_that_do_not_tell_what_they_take() -> None:
    codec = CompositeCodec("pair", Anything, fields={"x": "a", "label": "b"}).build(PAIR, PAIR_BINARY)
    assert codec.decode(BINARY_PAIR).values == {"a": 5, "b": "a"}
    # Without a signature.
    assert CompositeCodec("pair", dict, fields={"x": "a", "label": "b"}).build(PAIR, PAIR_BINARY).decode(
        BINARY_PAIR
    ) == {"a": 5, "b": "a"}


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated when the class is made")
def test_an_annotation_that_does_not_exist_at_run_time() -> None:
    names: dict[str, Any] = {}
    exec("class Guarded:\n    def __init__(self, x: Missing, label: Missing) -> None: ...", names)
    fields = {"x": "x", "label": "label"}
    assert type(CompositeCodec("pair", names["Guarded"], fields=fields)) is CompositeCodec
    with pytest.raises(ValueError, match="Guarded does not take 'y' by keyword"):
        CompositeCodec("pair", names["Guarded"], fields={**fields, "y": "y"})


def test_whose_error_it_is_in_a_composite() -> None:
    codec = CompositeCodec("pair", Pair).build(PAIR, PAIR_BINARY)
    error = decoding_error(codec, BINARY_PAIR[:-1] + b"\xff")
    assert type(error) is InvalidValueError
    assert error.__notes__ == ["in attribute 'label' of composite type pair", "in column 1, 'a', of type pair"]
    assert type(error.__cause__) is UnicodeDecodeError

    # What can be cured by asking the catalogue stays what it is.
    error = decoding_error(codec, b"\x00\x00\x00\x00")
    assert type(error) is OutdatedTypeError

    @dataclasses.dataclass
    class Checked(Pair):
        def __post_init__(self) -> None:
            raise ValueError("no")

    error = decoding_error(CompositeCodec("pair", Checked).build(PAIR, PAIR_BINARY), BINARY_PAIR)
    assert (type(error), error.args) == (ValueError, ("no",))

    def fail(value: object) -> Any:
        raise ValueError("mine")

    mine = built(type_codec("text", "binary", fail, fail), "text")
    default = composite_codec(OID, "pair", ("x", "label"), (builtin("int4"), mine))
    error = decoding_error(CompositeCodec("pair", Pair).build(PAIR, default), BINARY_PAIR)
    assert (type(error), error.args) == (ValueError, ("mine",))


# Enums


class Colour(enum.Enum):
    RED = "red"
    GREEN = "light green"
    VERT = "light green"  # noqa: PIE796


class Number(enum.Enum):
    ONE = 1
    TWO = 2
    ZWEI = 2  # noqa: PIE796


class Word(enum.StrEnum):
    YES = enum.auto()


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@pytest.mark.parametrize("default", [TEXT_DEFAULT, BINARY_ENUM])
@pytest.mark.parametrize(
    ("cls", "by", "labels"),
    [
        (Colour, None, {"red": Colour.RED, "light green": Colour.GREEN}),
        (Colour, "value", {"red": Colour.RED, "light green": Colour.GREEN}),
        (Colour, "name", {"RED": Colour.RED, "GREEN": Colour.GREEN}),
        (Number, None, {"ONE": Number.ONE, "TWO": Number.TWO}),
        (Number, "name", {"ONE": Number.ONE, "TWO": Number.TWO}),
        (Word, None, {"yes": Word.YES}),
        (Word, "name", {"YES": Word.YES}),
        (Access, None, {"READ": Access.READ, "WRITE": Access.WRITE}),
    ],
)
def test_enums(default: ValueCodec, cls: Any, by: Any, labels: dict[str, enum.Enum]) -> None:
    codec = EnumCodec("mood", cls, by=by).build(ENUM_INFO, default)
    assert (codec.oid, codec.name, codec.format) == (OID, "mood", default.format)
    assert (codec.user, codec.atomic) == (False, False)
    for label, member in labels.items():
        assert codec.decode(label.encode()) is member
        assert codec.encode(member) == label.encode()
        assert codec.encode(label) == label.encode()
    # The server knows better which labels there are.
    assert codec.encode("new") == b"new"


def test_the_name_of_an_alias_is_a_label_too() -> None:
    codec = EnumCodec("mood", Number).build(ENUM_INFO, TEXT_DEFAULT)
    assert codec.decode(b"ZWEI") is Number.TWO
    assert codec.encode(Number.ZWEI) == b"TWO"


def test_a_label_that_the_class_does_not_have() -> None:
    codec = EnumCodec("mood", Colour).build(ENUM_INFO, TEXT_DEFAULT)
    with pytest.raises(ValueError, match="'blüe' is not a label of Colour"):
        codec.decode("blüe".encode())
    with pytest.raises(UnicodeDecodeError):
        codec.decode(b"\xff")
    error = decoding_error(codec, b"blue")
    assert isinstance(error, ValueError)
    assert str(error) == "cannot decode column 1 ('a') of type mood: 'blue' is not a label of Colour"


def test_arguments_that_are_no_members() -> None:
    codec = EnumCodec("mood", Colour).build(ENUM_INFO, TEXT_DEFAULT)
    for value, name in ((Number.ONE, "Number"), (5, "int"), (b"red", "bytes")):
        with pytest.raises(TypeError, match=f"expected Colour or str, got {name}"):
            codec.encode(value)
    with pytest.raises(ValueError, match=r"READ\|WRITE.* has no label"):
        EnumCodec("mood", Access).build(ENUM_INFO, TEXT_DEFAULT).encode(Access.READ | Access.WRITE)


def test_members_that_cannot_be_hashed() -> None:
    class Strange(enum.Enum):
        A = "a"

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = None  # type: ignore[assignment]

    codec = EnumCodec("mood", Strange).build(ENUM_INFO, TEXT_DEFAULT)
    assert codec.decode(codec.encode(Strange.A)) is Strange.A


@pytest.mark.parametrize(
    ("cls", "by", "error"),
    [
        (5, None, TypeError("enum_class must be a class derived from enum.Enum, got 5")),
        (str, None, TypeError("enum_class must be a class derived from enum.Enum, got <class 'str'>")),
        (enum.Enum, None, ValueError("Enum has no members")),
        (Number, "value", TypeError("not every value of Number is a str")),
        (Colour, "label", ValueError("by must be 'value', 'name' or None, got 'label'")),
    ],
)
def test_enums_that_can_never_work(cls: Any, by: Any, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        EnumCodec("mood", cls, by=by)
    assert str(raised.value) == str(error)


def test_which_types_take_an_enum() -> None:
    for inner in (BY_NAME["text"].oid, OID + 1):
        domain = info("mood", TypeKind.DOMAIN, inner_oid=inner)
        assert EnumCodec("mood", Colour).build(domain, TEXT_DEFAULT).decode(b"red") is Colour.RED
    varchar = EnumCodec("varchar", Colour, schema="pg_catalog")
    assert varchar.build(builtin_info("varchar"), builtin("varchar")).decode(b"red") is Colour.RED
    for refused, name in (
        (info("mood", TypeKind.DOMAIN, inner_oid=23), "public.mood"),
        (info("mood", TypeKind.COMPOSITE), "public.mood"),
        (info("mood", TypeKind.ARRAY, inner_oid=25), "public.mood"),
    ):
        with pytest.raises(InterfaceError, match=f"cannot use Colour for type {name}: it is not an enum type"):
            EnumCodec("mood", Colour).build(refused, TEXT_DEFAULT)


# JSON


def both(codecs: tuple[JsonCodec, JsonCodec], wire_format: Format = Format.BINARY) -> list[ValueCodec]:
    return [built(codecs[0], "json", wire_format), built(codecs[1], "jsonb", wire_format)]


class Functions:
    """An object with dumps and loads, as modules have them; it keeps what it was given."""

    def __init__(self, dumps: Callable[[Any], Any] = json.dumps) -> None:
        self.dumps = dumps
        self.seen: list[object] = []

    def loads(self, text: Any) -> Any:
        self.seen.append(text)
        return json.loads(text)


def test_json_and_jsonb() -> None:
    value = {"a": [1, None, "é"]}
    text = json.dumps(value).encode()
    declarations = json_codecs("json")
    assert [(each.typename, each.schema) for each in declarations] == [("json", "pg_catalog"), ("jsonb", "pg_catalog")]
    for codec, encoded in zip(both(declarations), (text, b"\x01" + text), strict=True):
        assert (codec.format, codec.user, codec.atomic) == (Format.BINARY, True, False)
        assert codec.encode(value) == encoded
        assert codec.decode(encoded) == value
        # A str is a value like any other.
        assert codec.decode(codec.encode("a")) == "a"
    for codec in both(declarations, Format.TEXT):
        assert codec.format is Format.TEXT
        assert codec.encode(value) == text
        assert codec.decode(text) == value


@pytest.mark.parametrize("convert", [str, str.encode, lambda text: bytearray(text, "utf-8")])
def test_dumps_may_return_str_or_bytes(convert: Callable[[str], Any]) -> None:
    codec, binary = both(json_codecs((lambda value: convert(json.dumps(value, ensure_ascii=False)), json.loads)))
    assert (type(codec.encode("é")), codec.encode("é")) == (bytes, '"é"'.encode())
    assert (type(binary.encode("é")), binary.encode("é")) == (bytes, '\x01"é"'.encode())


def test_dumps_must_return_str_or_bytes() -> None:
    for codec in both(json_codecs((lambda value: value, json.loads))):
        with pytest.raises(TypeError, match=r"expected str or bytes, got NoneType \(returned by dumps\)"):
            codec.encode(None)


def test_the_forms_of_the_argument() -> None:
    functions = Functions()
    other = types.SimpleNamespace(encode=functions.dumps, decode=functions.loads)
    for argument in (functions, (functions.dumps, functions.loads), [functions.dumps, functions.loads], other, json):
        for codec in both(json_codecs(argument)):
            assert codec.decode(codec.encode({"a": 1})) == {"a": 1}
    # Everybody's functions are given a str ...
    assert functions.seen == ['{"a": 1}'] * 8


@pytest.mark.parametrize(("word", "names"), [("orjson", ("dumps", "loads")), ("msgspec", ("encode", "decode"))])
def test_functions_that_are_faster_with_bytes(
    word: str, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # ... except those of two packages, which need not be installed for this test.
    functions = Functions()

    def loads(text: object) -> Any:
        return functions.loads(text)

    name = "msgspec.json" if word == "msgspec" else word
    loads.__module__ = name
    module = types.ModuleType(name)
    setattr(module, names[0], functions.dumps)
    setattr(module, names[1], loads)
    monkeypatch.setitem(sys.modules, word, types.ModuleType(word))
    monkeypatch.setitem(sys.modules, name, module)
    for argument in (word, module, (json.dumps, loads)):
        functions.seen.clear()
        for codec in both(json_codecs(argument)):
            assert codec.decode(codec.encode({"a": 1})) == {"a": 1}
        assert functions.seen == [b'{"a": 1}'] * 2


def test_a_missing_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orjson", None)
    with pytest.raises(ImportError, match="orjson"):
        json_codecs("orjson")


@pytest.mark.parametrize(
    "argument", [None, 5, json.dumps, (json.dumps,), (json.dumps, json.loads, 1), object(), str, {}]
)
def test_what_is_no_json_library(argument: object) -> None:
    with pytest.raises(TypeError, match=r"invalid json argument, expected 'json', 'orjson', 'msgspec', a module"):
        json_codecs(argument)


def test_words_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"invalid json argument, expected 'json', .* got 'yaml'"):
        json_codecs("yaml")
    with pytest.raises(TypeError, match="loads must be callable, got str"):
        json_codecs((json.dumps, "loads"))
    with pytest.raises(TypeError, match="dumps must be callable, got NoneType"):
        json_codecs((None, json.loads))
    with pytest.raises(ValueError, match="typename must be 'json' or 'jsonb', got 'text'"):
        JsonCodec("text", dumps=json.dumps, loads=json.loads)  # type: ignore[arg-type]
    with pytest.raises(InterfaceError, match=r"cannot use a codec of json for type pg_catalog\.text"):
        json_codecs(json)[0].build(builtin_info("text"), builtin("text"))


def test_what_the_functions_raise() -> None:
    codec = both(json_codecs("json"))[0]
    error = decoding_error(codec, b"{")
    assert type(error) is json.JSONDecodeError
    assert error.__notes__ == ["in column 1, 'a', of type json"]
    error = encoding_error(codec, {1, 2})
    assert str(error) == "invalid input for query argument $1: {1, 2} (Object of type set is not JSON serializable)"


# Aliases


@pytest.mark.checklist("K-6")
@pytest.mark.parametrize(
    ("codec_name", "data", "value"),
    [
        ("int", b"\x00\x00\x00\x05", 5),
        ("text", b"a", "a"),
        ("timestamp with time zone", b"\0" * 8, datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_aliases(codec_name: str, data: bytes, value: object) -> None:
    declaration = AliasCodec("mine", codec_name=codec_name)
    for wire_format in Format:
        default = dataclasses.replace(TEXT_DEFAULT, format=wire_format)
        codec = declaration.build(info("mine", TypeKind.BASE), default)
        assert (codec.oid, codec.name, codec.format, codec.user) == (OID, "mine", wire_format, False)
        if wire_format is Format.BINARY:
            assert codec.decode(data) == value
            assert codec.encode(value) == data


def test_an_alias_in_one_format() -> None:
    for name in ("text", "binary"):
        declaration = AliasCodec("mine", codec_name="int", format=name)
        for wire_format in Format:
            default = dataclasses.replace(TEXT_DEFAULT, format=wire_format)
            codec = declaration.build(info("mine", TypeKind.BASE), default)
            assert codec.format is Format[name.upper()]


def test_an_alias_of_a_type_that_is_text() -> None:
    for codec_name in ("money", "tsvector"):
        codec = AliasCodec("mine", codec_name=codec_name).build(info("mine", TypeKind.BASE), BINARY_ENUM)
        assert codec.format is Format.TEXT
    with pytest.raises(InterfaceError, match="cannot alias mine to money: there is no binary codec for money"):
        AliasCodec("mine", codec_name="money", format="binary")


@pytest.mark.checklist("K-6")
def test_an_alias_of_hstore() -> None:
    declaration = AliasCodec("mine", codec_name="pg_contrib.hstore")
    codec = declaration.build(info("mine", TypeKind.BASE), BINARY_ENUM)
    assert codec.decode(codec.encode({"a": None})) == {"a": None}
    assert (codec.oid, codec.format) == (OID, Format.BINARY)
    codec = AliasCodec("mine", codec_name="pg_contrib.hstore", format="text").build(
        info("mine", TypeKind.BASE), BINARY_ENUM
    )
    assert codec.encode({"a": "b"}) == b'"a"=>"b"'


@pytest.mark.checklist("K-6")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"codec_name": "nope"}, "cannot alias mine to nope: there is no text codec for nope"),
        ({"codec_name": "_int4"}, "cannot alias mine to _int4: there is no text codec for _int4"),
        ({"codec_name": "int[]"}, "cannot alias mine to int[]: there is no text codec for int[]"),
        (
            {"codec_name": "pg_contrib.nope", "format": "binary"},
            "cannot alias mine to pg_contrib.nope: there is no binary codec for pg_contrib.nope",
        ),
        (
            {"codec_name": "int", "format": "tuple"},
            "invalid `format` argument, expected 'text' or 'binary', got 'tuple'",
        ),
        ({"codec_name": "int", "format": 1}, "invalid `format` argument, expected 'text' or 'binary', got 1"),
    ],
)
def test_aliases_that_can_never_work(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InterfaceError) as raised:
        AliasCodec("mine", **arguments)
    assert str(raised.value) == text


def test_the_name_of_a_codec_is_a_str() -> None:
    with pytest.raises(TypeError, match="codec_name must be a str, got int"):
        AliasCodec("mine", codec_name=23)  # type: ignore[arg-type]


@pytest.mark.checklist("K-6")
def test_only_scalar_types_are_aliased() -> None:
    for kind in (*CONTAINERS, TypeKind.COMPOSITE):
        with pytest.raises(InterfaceError) as raised:
            AliasCodec("mine", codec_name="int").build(info("mine", kind), TEXT_DEFAULT)
        assert str(raised.value) == "cannot alias non-scalar type public.mine"
    for kind in (TypeKind.ENUM, TypeKind.DOMAIN):
        AliasCodec("mine", codec_name="int").build(info("mine", kind), TEXT_DEFAULT)
