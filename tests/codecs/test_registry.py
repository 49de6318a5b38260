"""Layers: what is set where, what arrays make of it, and when plans made before are out of date."""

import gc
import struct
import weakref

import pytest

from pgsansio.codecs import Registry
from pgsansio.codecs.catalog import BY_NAME, BY_OID, ELEMENTS
from pgsansio.codecs.custom import TypeCodec
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.kernel import Record, decode_rows, row_plan
from pgsansio.kernel.contract import Opcode, ValueCodec

INT4 = BY_NAME["int4"].oid
INT4_ARRAY = BY_NAME["_int4"].oid
TEXT_ARRAY = BY_NAME["_text"].oid
JSON = BY_NAME["json"].oid
JSON_ARRAY = BY_NAME["_json"].oid
MONEY = BY_NAME["money"].oid
MONEY_ARRAY = BY_NAME["_money"].oid
UNKNOWN_OID = 16999


def custom(oid: int, wire_format: Format = Format.BINARY) -> ValueCodec:
    """A codec of the user's: bytes both ways, marked."""

    def decode(data: bytes) -> object:
        return ["mine", data]

    def encode(value: object) -> bytes:
        return bytes(value)  # type: ignore[call-overload,no-any-return]

    return ValueCodec(oid, "mine", Opcode.CALL, wire_format, decode, encode, atomic=False)


def test_built_in_types_are_binary() -> None:
    registry = Registry()
    codec = registry.codec(INT4)
    assert codec is not None
    assert (codec.oid, codec.name, codec.opcode, codec.format) == (23, "integer", Opcode.INT4, Format.BINARY)
    assert codec.atomic
    assert registry.codec(INT4) is codec
    # Registries share what none of them has changed.
    assert Registry().codec(INT4) is codec


def test_arrays_are_made_of_their_element() -> None:
    registry = Registry()
    array = registry.codec(INT4_ARRAY)
    assert array is not None
    assert (array.oid, array.name, array.opcode, array.format) == (1007, "integer[]", Opcode.ARRAY, Format.BINARY)
    assert array.element is registry.codec(INT4)
    assert not array.atomic
    assert registry.codec(INT4_ARRAY) is array
    assert Registry(registry).codec(INT4_ARRAY) is array


def test_every_array_type_has_a_codec() -> None:
    registry = Registry()
    for oid, element in ELEMENTS.items():
        codec = registry.codec(oid)
        if element.typtype == "c":
            # The row types of catalogue tables differ between versions, so they are asked for.
            assert codec is None
            continue
        assert codec is not None
        assert codec.name == BY_OID[oid].sql_name
        known = registry.codec(element.oid)
        assert codec.format is (Format.TEXT if known is None else known.format)
        for wire_format in Format:
            in_format = registry.codec_in(oid, wire_format)
            assert in_format.format is wire_format
            assert registry.codec_in(oid, wire_format) is in_format
            assert in_format.decode(in_format.encode([])) == []


def test_an_unknown_type_is_text() -> None:
    registry = Registry()
    assert registry.codec(UNKNOWN_OID) is None
    codec = registry.text_codec(UNKNOWN_OID, "citext")
    assert (codec.oid, codec.name, codec.opcode, codec.format) == (UNKNOWN_OID, "citext", Opcode.TEXT, Format.TEXT)
    assert codec.decode("é".encode()) == "é"
    assert codec.encode("é") == "é".encode()
    with pytest.raises(TypeError, match="expected str, got int"):
        codec.encode(1)
    assert registry.text_codec(UNKNOWN_OID).name == "type 16999"
    assert registry.text_codec(MONEY).name == "money"


def test_an_unknown_type_in_binary_is_bytes() -> None:
    # A binary cursor's rows come so, whatever was asked for.
    registry = Registry()
    assert registry.codec_in(UNKNOWN_OID, Format.BINARY).decode(b"\xff\x00") == b"\xff\x00"
    money_array = registry.codec_in(MONEY_ARRAY, Format.BINARY)
    data = bytes.fromhex("00000001 00000000 00000316 00000001 00000001 00000008 0000000000000064")
    assert money_array.decode(data) == [b"\x00\x00\x00\x00\x00\x00\x00\x64"]
    assert money_array.encode([b"\x00" * 7 + b"\x64"]) == data


def test_a_known_type_in_the_other_format() -> None:
    registry = Registry()
    codec = registry.text_codec(INT4)
    assert codec.format is Format.TEXT
    assert codec.decode(b"-5") == -5
    assert registry.codec_in(INT4, Format.TEXT) is codec
    assert registry.codec_in(INT4, Format.BINARY) is registry.codec(INT4)
    array = registry.text_codec(TEXT_ARRAY)
    assert array.decode(b'{a,"b c",NULL}') == ["a", "b c", None]
    assert registry.text_codec(TEXT_ARRAY) is array


def test_set_and_remove() -> None:
    registry = Registry()
    built_in, built_in_array = registry.codec(INT4), registry.codec(INT4_ARRAY)
    mine = custom(INT4)
    registry.set_codec(INT4, mine)
    assert registry.codec(INT4) is mine
    array = registry.codec(INT4_ARRAY)
    assert array is not None
    assert array.element is mine
    data = bytes.fromhex("00000001 00000000 00000017 00000001 00000001 00000004 00000005")
    assert array.decode(data) == [["mine", b"\x00\x00\x00\x05"]]
    assert array.encode([b"\x00\x00\x00\x05"]) == data
    # Other types and other registries are as they were.
    array = registry.codec(TEXT_ARRAY)
    assert array is not None
    assert array.decode(array.encode(["a"])) == ["a"]
    assert Registry().codec(INT4) is built_in
    registry.remove(INT4)
    assert registry.codec(INT4) is built_in
    array = registry.codec(INT4_ARRAY)
    assert array is not None
    assert array.element is built_in
    assert built_in_array is not None


def test_a_text_codec_makes_text_arrays() -> None:
    registry = Registry()
    assert registry.text_codec(JSON_ARRAY).decode(b"{1}") == ["1"]
    registry.set_codec(JSON, custom(JSON, Format.TEXT))
    codec = registry.codec(JSON)
    array = registry.codec(JSON_ARRAY)
    assert codec is not None
    assert array is not None
    assert codec.format is array.format is Format.TEXT
    assert array.opcode is Opcode.CALL
    assert array.decode(b'{"{\\"a\\": 1}",NULL}') == [["mine", b'{"a": 1}'], None]
    assert array.encode([b'{"a": 1}', None]) == b'{"{\\"a\\": 1}",NULL}'
    # Binary is read by way of the built-in codecs.
    assert registry.codec_in(JSON, Format.BINARY).decode(b"{}") == ["mine", b"{}"]
    assert registry.codec_in(JSON_ARRAY, Format.BINARY).format is Format.BINARY


def test_a_codec_of_a_type_that_was_unknown() -> None:
    registry = Registry()
    assert registry.codec(UNKNOWN_OID) is None
    mine = custom(UNKNOWN_OID)
    registry.set_codec(UNKNOWN_OID, mine)
    assert registry.codec(UNKNOWN_OID) is mine
    assert registry.text_codec(UNKNOWN_OID).decode(b"a") == "a"
    registry.remove(UNKNOWN_OID)
    assert registry.codec(UNKNOWN_OID) is None


def test_a_codec_for_an_array_type_itself() -> None:
    registry = Registry()
    mine = custom(INT4_ARRAY)
    registry.set_codec(INT4_ARRAY, mine)
    assert Registry(registry).codec(INT4_ARRAY) is mine


def test_layers() -> None:
    shared = Registry()
    one, other = Registry(shared), Registry(shared)
    built_in = shared.codec(INT4)
    mine, of_the_pool = custom(INT4), custom(INT4)
    one.set_codec(INT4, mine)
    assert one.codec(INT4) is mine
    assert other.codec(INT4) is shared.codec(INT4) is built_in
    assert other.codec(INT4_ARRAY) is shared.codec(INT4_ARRAY)
    # What is set below is seen above, at once, but not where there is something else.
    shared.set_codec(INT4, of_the_pool)
    assert other.codec(INT4) is of_the_pool
    assert other.codec(INT4_ARRAY) is shared.codec(INT4_ARRAY)
    assert one.codec(INT4) is mine
    array = one.codec(INT4_ARRAY)
    assert array is not None
    assert array.element is mine
    one.remove(INT4)
    assert one.codec(INT4) is of_the_pool
    shared.remove(INT4)
    assert one.codec(INT4) is other.codec(INT4) is built_in


def test_generation_changes_with_the_codecs() -> None:
    shared = Registry()
    one, other = Registry(shared), Registry(shared)
    assert shared.generation == one.generation == other.generation == Registry().generation
    seen = {shared.generation}

    def fresh(registry: Registry) -> None:
        assert registry.generation not in seen
        seen.add(registry.generation)

    one.set_codec(INT4, custom(INT4))
    fresh(one)
    assert other.generation == shared.generation
    shared.set_codec(JSON, custom(JSON))
    fresh(shared)
    fresh(one)
    assert other.generation == shared.generation
    one.set_codec(INT4, custom(INT4))
    fresh(one)
    before = one.generation
    one.remove(JSON)  # never set there
    assert one.generation == before
    one.remove(INT4)
    assert one.generation == shared.generation == other.generation
    assert Registry(other).generation == shared.generation
    shared.remove(JSON)
    assert shared.generation == one.generation == Registry().generation


def test_a_codec_of_another_type_is_refused() -> None:
    registry = Registry()
    generation = registry.generation
    with pytest.raises(ValueError, match="a codec of type 23 cannot be set for type 114"):
        registry.set_codec(JSON, custom(INT4))
    assert registry.generation == generation


def test_a_layer_is_not_kept_alive_by_the_one_below() -> None:
    shared = Registry()
    layer = weakref.ref(Registry(shared))
    gc.collect()
    assert layer() is None
    shared.set_codec(INT4, custom(INT4))


def test_unknown_oids_are_not_collected() -> None:
    registry = Registry()
    for oid in range(100_000, 100_100):
        assert registry.codec(oid) is None
        registry.text_codec(oid)
    assert not registry._found
    assert not registry._in_format
    assert not registry._natives
    assert not registry._touched


def test_types_that_share_parts_do_not_multiply() -> None:
    # Each is twice in the next: counted one by one, the leaf would be in the last 2 ** 60 times.
    registry = Registry()
    first = 20_000
    infos = [TypeInfo(first, "t0", "s", "s.t0", TypeKind.COMPOSITE, attributes=(("a", INT4),))]
    for number in range(1, 61):
        attributes = (("a", first + number - 1), ("b", first + number - 1))
        name = f"t{number}"
        infos.append(TypeInfo(first + number, name, "s", f"s.{name}", TypeKind.COMPOSITE, attributes=attributes))
    registry.catalog.learn(infos)
    codec = registry.codec(infos[-1].oid)
    assert codec is not None
    record_plan = row_plan(("value",), (codec,), Record)
    value = codec.encode((None, None))
    data = b"D" + struct.pack(">IHI", 10 + len(value), 1, len(value)) + value
    rows: list[Record] = []
    assert decode_rows(record_plan, data, 0, len(data), rows, 1) == (len(data), None)
    assert rows == [((None, None),)]
    # One that is text only makes all of them that: there are no formats in which it could not be honoured.
    registry.set_codec(INT4, custom(INT4, Format.TEXT))
    text_codec = registry.codec(infos[-1].oid)
    assert text_codec is not None
    assert text_codec.format is Format.TEXT


@pytest.mark.parametrize("schema", ["pg_catalog", "public"])
def test_types_of_two_databases_do_not_mix(schema: str) -> None:
    # Also where somebody has made types in pg_catalog, or a server of another version has its own there.
    element, array = 20_000, 20_001
    one, other = Registry(), Registry()
    for registry, kind, attributes in (
        (one, TypeKind.ENUM, ()),
        (other, TypeKind.COMPOSITE, (("a", INT4),)),
    ):
        registry.catalog.learn(
            [
                TypeInfo(element, "t", schema, "t", kind, attributes=attributes),
                TypeInfo(array, "_t", schema, "t[]", TypeKind.ARRAY, inner_oid=element),
            ]
        )
    for oid in (element, array):
        for wire_format in Format:
            assert one.codec_in(oid, wire_format) is not other.codec_in(oid, wire_format)
    composite, array_of_composites = other.codec(element), other.codec(array)
    assert composite is not None
    assert array_of_composites is not None
    assert composite.opcode is Opcode.COMPOSITE
    assert array_of_composites.element is composite
    # And what was described anew is built anew.
    other.catalog.learn([TypeInfo(element, "t", schema, "t", TypeKind.COMPOSITE, attributes=(("b", INT4),))])
    array_of_composites = other.codec(array)
    assert array_of_composites is not None
    assert array_of_composites.element is not None
    assert array_of_composites.element.names == ("b",)


def test_declaring_again_and_again_does_not_pile_up() -> None:
    registry = Registry()
    for number in range(100):
        declaration = TypeCodec("t", encoder=str, decoder=lambda data, number=number: number)  # type: ignore[misc]
        registry.declare([TypeCodec("t", schema=None, encoder=str, decoder=str), declaration])
    assert len(registry._declared) == 2
    registry.catalog.learn([TypeInfo(20_000, "t", "public", "t", TypeKind.ENUM)])
    assert registry.text_codec(20_000).decode(b"x") == 99


def test_one_format_for_several_types() -> None:
    """What COPY sends: binary if all of them prefer it, else text, else bridged, else nothing."""
    registry = Registry()
    tsvector, xml = BY_NAME["tsvector"].oid, BY_NAME["xml"].oid
    assert registry.codecs_in_common([]) == (Format.BINARY, ())
    assert registry.codecs_in_common([INT4, JSON]) == (Format.BINARY, (registry.codec(INT4), registry.codec(JSON)))
    wire_format, codecs = registry.codecs_in_common([INT4, INT4_ARRAY, tsvector, xml])
    assert wire_format is Format.TEXT
    assert [codec.format for codec in codecs] == [Format.TEXT] * 4
    assert [codec.encode(value) for codec, value in zip(codecs[:2], (5, [5, None]), strict=True)] == [b"5", b"{5,NULL}"]
    wire_format, codecs = registry.codecs_in_common([INT4, UNKNOWN_OID])
    assert wire_format is Format.TEXT
    assert codecs[1].encode("x") == b"x"


def test_one_format_with_codecs_of_the_users() -> None:
    shared = Registry()
    registry = Registry(shared)
    as_text = TypeCodec("int4", schema="pg_catalog", encoder=lambda value: str(-value), decoder=int)
    registry.declare([as_text])
    wire_format, codecs = registry.codecs_in_common([INT4, INT4_ARRAY, JSON])
    assert wire_format is Format.TEXT
    assert [codecs[0].encode(5), codecs[1].encode([5])] == [b"-5", b"{-5}"]
    assert shared.codecs_in_common([INT4])[0] is Format.BINARY

    # One that has only binary beside it: the text goes into binary by way of the built-in codecs.
    registry.set_codec(JSON, custom(JSON))
    wire_format, codecs = registry.codecs_in_common([INT4, INT4_ARRAY, JSON])
    assert wire_format is Format.BINARY
    assert codecs[0].encode(5) == b"\xff\xff\xff\xfb"
    assert codecs[2].encode(b"x") == b"x"


def test_no_format_for_several_types() -> None:
    registry = Registry()
    json, aclitem, array = JSON, BY_NAME["aclitem"].oid, BY_NAME["_aclitem"].oid
    registry.set_codec(json, custom(json))
    for oid in (aclitem, array):
        # The server has no binary form of it, and the other one no text.
        with pytest.raises(UnsupportedClientFeatureError, match="no format suits all"):
            registry.codecs_in_common([json, oid])
    assert registry.codecs_in_common([json, INT4])[0] is Format.BINARY


def test_a_codec_by_oid_below_says_nothing_where_one_may_be_declared_for_the_name() -> None:
    below = Registry()
    above = Registry(below)
    mine = ValueCodec(20003, "mine", Opcode.CALL, Format.TEXT, bytes, bytes, user=True)
    below.set_codec(20003, mine)
    assert above.codec(20003) is mine
    above.declare([TypeCodec("b", schema="public", encoder=str, decoder=str, format="text")])
    assert above.codec(20003) is None, "its name is not known yet"
    below.catalog.learn([TypeInfo(20003, "b", "public", "public.b", TypeKind.BASE, has_binary=False)])
    found = above.codec(20003)
    assert found is not None
    assert found.name == "public.b"
    assert below.codec(20003) is not None
