"""Types of extensions: bytes and texts from real servers (PostgreSQL 16, pgvector 0.8.5), and what is refused."""

import copy
import dataclasses
import math
import pickle
import struct
from array import array
from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType, ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsansio.codecs.contrib import (
    BY_CODEC_NAME,
    CUBE,
    DEFAULTS,
    HALFVEC,
    HSTORE,
    PGVECTOR,
    SPARSEVEC,
    VECTOR,
    ExtensionType,
    vector_codecs,
)
from pgsansio.codecs.declaration import CodecDeclaration, applies
from pgsansio.codecs.text import text_codec
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import InterfaceError
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types.cube import Cube
from pgsansio.types.sparse_vector import SparseVector

ALL = {declaration.typename: declaration for declaration in (HSTORE, CUBE, *PGVECTOR, *DEFAULTS)}

TEXT_DEFAULT = text_codec(70001, "anything")
BINARY_DEFAULT = dataclasses.replace(TEXT_DEFAULT, format=Format.BINARY)


def info_of(declaration: ExtensionType, kind: TypeKind = TypeKind.BASE) -> TypeInfo:
    name = declaration.typename
    return TypeInfo(70001, name, "somewhere", f"somewhere.{name}", kind, extension=declaration.extension)


def binary(name: str) -> ValueCodec:
    return ALL[name].build(info_of(ALL[name]), BINARY_DEFAULT)


def text(name: str) -> ValueCodec:
    return ALL[name].build(info_of(ALL[name]), TEXT_DEFAULT)


#: Type, what the server prints, what it sends, the value.
VECTORS: tuple[tuple[str, str, str, object], ...] = (
    ("hstore", "", "00000000", {}),
    (
        "hstore",
        '""=>"x", "a"=>"1", "b"=>NULL',
        "000000030000000000000001780000000161000000013100000001 62ffffffff",
        {"": "x", "a": "1", "b": None},
    ),
    ("hstore", r'"a"=>"q\"\\ "', "0000000100000001610000000471225c20", {"a": 'q"\\ '}),
    (
        "hstore",
        '"a"=>"NULL", "b"=>NULL',
        "000000020000000161000000044e554c4c0000000162ffffffff",
        {"a": "NULL", "b": None},
    ),
    ("hstore", '"é"=>"ü\n"', "0000000100000002c3a900000003c3bc0a", {"é": "ü\n"}),
    ("citext", "Äb", "c38462", "Äb"),
    ("citext", "", "", ""),
    ("ltree", "a.b.c", "01612e622e63", "a.b.c"),
    ("ltree", "", "01", ""),
    ("lquery", "a.*{1,2}.b|c", "01612e2a7b312c327d2e627c63", "a.*{1,2}.b|c"),
    ("ltxtquery", "a & b", "0161202620 62", "a & b"),
    (
        "cube",
        "(1, 2),(3, 4)",
        "00000002 3ff00000000000004000000000000000 40080000000000004010000000000000",
        Cube((1.0, 2.0), (3.0, 4.0)),
    ),
    ("cube", "(0.1, 1e+300)", "80000002 3fb999999999999a7e37e43c8800759c", Cube((0.1, 1e300))),
    (
        "cube",
        "(-Infinity, 0),(Infinity, -0)",
        "00000002 fff00000000000000000000000000000 7ff00000000000008000000000000000",
        Cube((-math.inf, 0.0), (math.inf, -0.0)),
    ),
    # The corners are as they were given.
    (
        "cube",
        "(2, 1),(1, 3)",
        "00000002 40000000000000003ff0000000000000 3ff00000000000004008000000000000",
        Cube((2.0, 1.0), (1.0, 3.0)),
    ),
    ("cube", "(1)", "80000001 3ff0000000000000", Cube((1.0,))),
    ("cube", "(-0)", "80000001 8000000000000000", Cube((-0.0,))),
    ("cube", "()", "80000000", Cube(())),
    ("vector", "[1,2,3]", "000300003f8000004000000040400000", [1.0, 2.0, 3.0]),
    # The text of a float4 is rounded once: read as a double, 7.038531e-26 would become its neighbour.
    (
        "vector",
        "[3e+38,1.17e-38,7.038531e-26]",
        "000300007f61b1e6007f66d715ae43fd",
        [float.fromhex("0x1.c363ccp+127"), float.fromhex("0x0.fecdaep-126"), float.fromhex("0x1.5c87fap-84")],
    ),
    ("vector", "[-0]", "0001000080000000", [-0.0]),
    ("halfvec", "[1,2,3]", "000300003c0040004200", [1.0, 2.0, 3.0]),
    ("halfvec", "[0.099975586,-0,0]", "000300002e6680000000", [0.0999755859375, -0.0, 0.0]),
    ("halfvec", "[65504,1.1920929e-07,0.5]", "000300007bff00023800", [65504.0, 2.0**-23, 0.5]),
    (
        "sparsevec",
        "{1:1,3:2.5}/5",
        "00000005000000020000000000000000000000023f80000040200000",
        SparseVector({0: 1.0, 2: 2.5}, 5),
    ),
    ("sparsevec", "{}/1", "000000010000000000000000", SparseVector({}, 1)),
    (
        "sparsevec",
        "{1000000000:-0.1}/1000000000",
        "3b9aca0000000001000000003b9ac9ffbdcccccd",
        SparseVector({999_999_999: -struct.unpack(">f", bytes.fromhex("3dcccccd"))[0]}, 1_000_000_000),
    ),
    (
        "sparsevec",
        "{2:1e-40}/3",
        "00000003000000010000000000000001000116c2",
        SparseVector({1: struct.unpack(">f", bytes.fromhex("000116c2"))[0]}, 3),
    ),
)


def test_every_type_has_a_vector() -> None:
    assert {row[0] for row in VECTORS} == set(ALL)


@pytest.mark.parametrize(("name", "printed", "data", "value"), VECTORS)
def test_from_a_server(name: str, printed: str, data: str, value: object) -> None:
    decoded = binary(name).decode(bytes.fromhex(data))
    assert (decoded, repr(decoded)) == (value, repr(value))
    assert binary(name).encode(value) == bytes.fromhex(data)
    from_text = text(name).decode(printed.encode())
    assert (from_text, repr(from_text)) == (value, repr(value))
    assert repr(text(name).decode(text(name).encode(value))) == repr(value)


# Round trips

words = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=5)
float4s = st.floats(width=32, allow_nan=False, allow_infinity=False)
float2s = st.floats(width=16, allow_nan=False, allow_infinity=False)


def check(name: str, value: object) -> None:
    for codec in (binary(name), text(name)):
        back = codec.decode(codec.encode(value))
        assert (back, repr(back)) == (value, repr(value))


@given(st.dictionaries(words, st.none() | words))
@example({'"\\,=> ': '"\\,=> ', "NULL": "NULL", "null": None})
def test_hstore(value: dict[str, str | None]) -> None:
    check("hstore", value)


@given(st.sampled_from(["citext", "ltree", "lquery", "ltxtquery"]), words)
def test_texts(name: str, value: str) -> None:
    check(name, value)


@given(
    st.integers(0, 3).flatmap(lambda size: st.lists(st.lists(st.floats(), min_size=size, max_size=size), min_size=2))
)
@example([[0.0], [-0.0]])
@example([[math.nan], [math.nan]])
def test_cube(corners: list[list[float]]) -> None:
    for cube in (Cube(corners[0]), Cube(corners[0], corners[1])):
        back = binary("cube").decode(binary("cube").encode(cube))
        assert list(map(repr, (*back.lower, *back.upper))) == list(map(repr, (*cube.lower, *cube.upper)))
        again = text("cube").decode(text("cube").encode(cube))
        assert repr(again) == repr(back)


@given(st.lists(float4s, min_size=1))
def test_vector(value: list[float]) -> None:
    check("vector", value)


@given(st.lists(float2s, min_size=1))
def test_halfvec(value: list[float]) -> None:
    check("halfvec", value)


@given(st.lists(float4s, min_size=1), st.integers(0, 2**31 - 101))
def test_sparsevec(numbers: list[float], more: int) -> None:
    elements = dict(enumerate(numbers))
    check("sparsevec", SparseVector(elements, len(numbers) + more))
    check("sparsevec", SparseVector({position + more: number for position, number in elements.items()}, 2**31 - 1))


# Malformed

#: What is only text can be cut.
TEXTS = ("citext", "ltree", "lquery", "ltxtquery")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("hstore", "", "ends before"),
        ("hstore", "ffffffff", "hstore of -1 pairs in 4 bytes"),
        ("hstore", "7fffffff", "hstore of 2147483647 pairs in 4 bytes"),
        ("hstore", "00000001", "hstore of 1 pairs in 4 bytes"),
        ("hstore", "00000000 00", "ends at byte 4 of 5"),
        ("hstore", "00000002 00000000 ffffffff", "hstore of 2 pairs in 12 bytes"),
        ("hstore", "00000001 ffffffff 00000000", "null value not allowed in hstore key"),
        ("hstore", "00000001 00000000 fffffffe", "invalid length -2 of a value"),
        ("hstore", "00000001 fffffffe 00000000", "invalid length -2 of a key"),
        ("hstore", "00000001 00000005 00000000", "ends before its last pair"),
        ("hstore", "00000001 00000004 61616161", "ends before its last pair"),
        ("hstore", "00000001 00000001 61 7fffffff", "ends at byte 2147483660 of 13"),
        ("hstore", "00000001 00000001 ff ffffffff", "invalid start byte"),
        ("hstore", "00000002 00000001 61 ffffffff 00000001 61 ffffffff", "a key twice"),
        ("ltree", "", "invalid version b''"),
        ("ltree", "0261", "invalid version b'\\\\x02' instead of 1"),
        ("lquery", "01ff", "invalid start byte"),
        ("citext", "ff", "invalid start byte"),
        ("cube", "", "cube of 0 coordinates in 0 bytes"),
        ("cube", "000000", "cube of 0 coordinates in 3 bytes"),
        ("cube", "ffffffff", "cube of 2147483647 coordinates in 4 bytes"),
        ("cube", "7fffffff", "cube of 4294967294 coordinates in 4 bytes"),
        ("cube", "00000001 3ff0000000000000", "cube of 2 coordinates in 12 bytes"),
        ("cube", "80000001 3ff0000000000000 00", "cube of 1 coordinates in 13 bytes"),
        ("vector", "000300", "3 bytes are less than its header"),
        ("vector", "00000000", "vector of 0 dimensions"),
        ("vector", "ffff0000 3f800000", "vector of -1 dimensions"),
        ("vector", "7fff0000 3f800000", "vector of 32767 dimensions in 8 bytes"),
        ("vector", "00010001 3f800000", "expected unused to be 0, not 1"),
        ("vector", "00010000 3f8000", "vector of 1 dimensions in 7 bytes"),
        ("halfvec", "00010000 3f800000", "halfvec of 1 dimensions in 8 bytes"),
        ("halfvec", "0001", "halfvec value: 2 bytes"),
        ("sparsevec", "00000001 00000000", "8 bytes are less than its header"),
        ("sparsevec", "00000001 00000000 00000001", "expected unused to be 0, not 1"),
        ("sparsevec", "00000001 ffffffff 00000000", "sparsevec with -1 elements in 12 bytes"),
        ("sparsevec", "00000001 7fffffff 00000000", "sparsevec with 2147483647 elements in 12 bytes"),
        ("sparsevec", "00000000 00000000 00000000", "at least 1 dimension, not 0"),
        ("sparsevec", "ffffffff 00000000 00000000", "at least 1 dimension, not -1"),
        ("sparsevec", "00000003 00000001 00000000 00000003 3f800000", "position 3 is outside"),
        ("sparsevec", "00000003 00000001 00000000 ffffffff 3f800000", "position -1 is outside"),
        ("sparsevec", "00000003 00000001 00000000 00000000 80000000", "do not ascend, or are zero"),
        ("sparsevec", "00000003 00000002 00000000 00000001 00000000 3f800000 3f800000", "do not ascend"),
        ("sparsevec", "00000003 00000002 00000000 00000001 00000001 3f800000 3f800000", "do not ascend"),
    ],
)
def test_malformed_bytes(name: str, data: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        binary(name).decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(("hstore", data) for data in ("x", '"a"', '"a"=>', '"a"=>"', '"a"=>"1", ', '"a"=>"1","b"=>"2"', '"a"=>null')),
        *(("hstore", data) for data in ('"a"=>"1" ', '"a"=>"\\"', '"a"=>"1", "a"=>"2"', '"' * 100_001, "\\" * 9)),
        *(
            ("cube", data)
            for data in ("", "1", "(1", "(1),", "(1),(1),(1)", "(1),(1,2)", "(,)", "(a)", "((1))", "(1)x")
        ),
        *(
            ("vector", data)
            for data in ("", "[]", "[1", "1]", "[1,]", "[a]", "[[1]]", "[1_0]", "[ 1]", "[1e99]", "[\xa0]")
        ),
        *(("halfvec", data) for data in ("[]", "[65520]", "[1,,2]")),
        *(
            ("sparsevec", data)
            for data in ("", "{}", "{}/", "{}/0", "{1}/1", "{1:}/1", "{:1}/1", "{1:1,}/1", "{0:1}/1")
        ),
        *(("sparsevec", data) for data in ("{2:1}/1", "{1:1,1:1}/2", "{2:1,1:1}/2", "{1:0}/1", "{1:1}/99999999999")),
        ("sparsevec", "{" + "1" * 5000 + ":1}/1"),
        ("citext", b"\xff"),
        ("ltree", b"\xff"),
    ],
)
def test_malformed_text(name: str, data: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        text(name).decode(data.encode() if isinstance(data, str) else data)


@pytest.mark.parametrize(("name", "data"), [row[::2] for row in VECTORS if row[0] not in TEXTS])
def test_cut_or_too_long(name: str, data: str) -> None:
    whole = bytes.fromhex(data)
    for piece in (*(whole[:end] for end in range(len(whole))), whole + b"\0"):
        with pytest.raises(ValueError, match=r"."):
            binary(name).decode(piece)


@given(st.sampled_from(sorted(ALL)), st.binary())
def test_any_bytes(name: str, data: bytes) -> None:
    for codec in (binary(name), text(name)):
        try:
            codec.decode(data)
        except ValueError:
            pass


@given(st.sampled_from(sorted(ALL)), st.text('(){}[],:/-.e123"\\=>NUL '))
def test_any_text(name: str, data: str) -> None:
    try:
        text(name).decode(data.encode())
    except ValueError:
        pass


# What is accepted and refused as an argument


@pytest.mark.checklist("K-6")
@pytest.mark.parametrize(
    "value",
    [
        {"a": "1", "b": None},
        OrderedDict(a="1", b=None),
        MappingProxyType({"a": "1", "b": None}),
        {"a": "1", "b": None}.items(),
        [("a", "1"), ("b", None)],
        (["a", "1"], ["b", None]),
    ],
)
def test_hstore_accepts(value: object) -> None:
    for codec in (binary("hstore"), text("hstore")):
        assert codec.decode(codec.encode(value)) == {"a": "1", "b": None}


def test_a_key_given_twice_is_for_the_server_to_judge() -> None:
    pairs = [("a", "1"), ("a", "2")]
    assert binary("hstore").encode(pairs).hex() == "000000020000000161000000013100000001610000000132"
    assert text("hstore").encode(pairs) == b'"a"=>"1", "a"=>"2"'


REFUSED: tuple[tuple[str, object, type[Exception], str], ...] = (
    ("hstore", {None: "x"}, ValueError, "null value not allowed in hstore key"),
    ("hstore", [(None, None)], ValueError, "null value not allowed in hstore key"),
    ("hstore", {"a": 1}, TypeError, "expected str, got int"),
    ("hstore", {1: "a"}, TypeError, "expected str, got int"),
    ("hstore", {"a": b"x"}, TypeError, "expected str, got bytes"),
    ("hstore", 5, TypeError, "object of type 'int' has no len()"),
    ("hstore", iter([("a", "b")]), TypeError, "object of type 'list_iterator' has no len()"),
    ("hstore", [1], TypeError, "'int' object is not iterable"),
    ("hstore", [None], TypeError, "'NoneType' object is not iterable"),
    ("hstore", [("a",)], ValueError, "need more than 1 value to unpack"),
    ("hstore", [()], ValueError, "need more than 0 values to unpack"),
    ("hstore", [("a", "b", "c")], ValueError, "too many values to unpack (expected 2)"),
    ("hstore", "a=>1", TypeError, "a mapping or a container of pairs is expected (got type str)"),
    ("hstore", "", TypeError, "a mapping or a container of pairs is expected (got type str)"),
    ("hstore", b"", TypeError, "a mapping or a container of pairs is expected (got type bytes)"),
    ("hstore", {"a": "x\0"}, ValueError, "text cannot hold the character U+0000, which is at index 1"),
    ("citext", 1, TypeError, "expected str, got int"),
    ("ltree", ["a"], TypeError, "expected str, got list"),
    ("lquery", "a\0", ValueError, "text cannot hold the character U+0000, which is at index 1"),
    ("cube", (1, 2), TypeError, "a Cube is expected (got type tuple)"),
    ("cube", "(1,2)", TypeError, "a Cube is expected (got type str)"),
    ("vector", [], ValueError, "vector must have at least 1 dimension"),
    ("vector", [1] * 32768, ValueError, "vector cannot have more than 32767 dimensions"),
    ("vector", "[1,2]", TypeError, "a sequence of numbers is expected (got type str)"),
    ("vector", b"12", TypeError, "a sequence of numbers is expected (got type bytes)"),
    ("vector", {1: 2}, TypeError, "a sequence of numbers is expected (got type dict)"),
    ("vector", {1, 2}, TypeError, "a sequence of numbers is expected (got type set)"),
    ("vector", 1.5, TypeError, "a sequence of numbers is expected (got type float)"),
    ("vector", iter([1]), TypeError, "a sequence of numbers is expected (got type list_iterator)"),
    ("vector", SparseVector({}, 3), TypeError, "a sequence of numbers is expected (got type SparseVector)"),
    ("vector", ["1"], TypeError, "must be real number, not str (at index 0)"),
    ("vector", [1.0, None], TypeError, "must be real number, not NoneType (at index 1)"),
    ("vector", [[1.0]], TypeError, "must be real number, not list (at index 0)"),
    ("vector", [1, 1e39], ValueError, "value out of float32 range (at index 1)"),
    ("vector", [10**400], ValueError, "value out of float32 range (at index 0)"),
    ("vector", [1, math.nan], ValueError, "NaN not allowed in vector (at index 1)"),
    ("vector", [-math.inf], ValueError, "infinite value not allowed in vector (at index 0)"),
    ("halfvec", [65520], ValueError, "value out of float16 range (at index 0)"),
    ("halfvec", [math.nan], ValueError, "NaN not allowed in halfvec (at index 0)"),
    ("halfvec", [], ValueError, "halfvec must have at least 1 dimension"),
    ("sparsevec", [], ValueError, "sparsevec must have at least 1 dimension"),
    ("sparsevec", {0: 1}, TypeError, "a sequence of numbers is expected (got type dict)"),
    ("sparsevec", [0, "1"], TypeError, "must be real number, not str (at index 1)"),
    ("sparsevec", [0, 0, math.inf], ValueError, "infinite value not allowed in sparsevec (at index 2)"),
    ("sparsevec", SparseVector({1: 1e39}, 2), ValueError, "value out of float32 range (at index 0)"),
    ("sparsevec", SparseVector({}, 2**31), OverflowError, "value out of int32 range"),
)


@pytest.mark.checklist("K-6")
@pytest.mark.parametrize(("name", "value", "kind", "reason"), REFUSED)
def test_refused(name: str, value: object, kind: type[Exception], reason: str) -> None:
    for codec in (binary(name), text(name)):
        with pytest.raises(kind) as info:
            codec.encode(value)
        assert str(info.value) == reason


class Half:
    def __float__(self) -> float:
        return 0.5


class Broken:
    def __float__(self) -> float:
        raise TypeError("no")


@pytest.mark.parametrize("name", ["vector", "halfvec"])
@pytest.mark.parametrize(
    "value",
    [
        (0.5, 2),
        [Decimal("0.5"), Fraction(2)],
        [Half(), True + 1],
        array("f", [0.5, 2]),
        array("d", [0.5, 2]),
        memoryview(array("d", [0.5, 2])),
    ],
)
def test_vectors_accept(name: str, value: object) -> None:
    for codec in (binary(name), text(name)):
        assert codec.decode(codec.encode(value)) == [0.5, 2.0]


def test_a_numbers_own_error() -> None:
    with pytest.raises(TypeError, match=r"^no$"):
        binary("vector").encode([1, Broken()])


def test_sparsevec_accepts_all_elements() -> None:
    for value in ([0, 0.5, 0, -2], array("d", [0, 0.5, -0.0, -2])):
        for codec in (binary("sparsevec"), text("sparsevec")):
            assert codec.decode(codec.encode(value)) == SparseVector({1: 0.5, 3: -2}, 4)


def test_sparsevec_leaves_out_what_a_float4_cannot_tell_from_zero() -> None:
    tiny = SparseVector({0: 1, 1: 1e-50, 4: 2}, 5)
    assert tiny.indices == (0, 1, 4)
    for codec in (binary("sparsevec"), text("sparsevec")):
        assert codec.decode(codec.encode(tiny)) == SparseVector({0: 1, 4: 2}, 5)


# The values


def test_cube_is_a_value() -> None:
    cube = Cube([1, 2], (3, Decimal(4)))  # pyright: ignore[reportArgumentType]
    assert (cube.lower, cube.upper) == ((1.0, 2.0), (3.0, 4.0))
    assert not cube.is_point
    assert cube == Cube((1, 2), (3, 4)) != Cube((1, 2))
    assert len({cube, Cube((1, 2), (3, 4))}) == 1
    assert repr(cube) == "Cube((1.0, 2.0), (3.0, 4.0))"
    assert repr(Cube((1, 2), (1, 2))) == "Cube((1.0, 2.0))"
    assert Cube((1, 2)).is_point
    for same in (copy.deepcopy(cube), pickle.loads(pickle.dumps(cube))):
        assert same == cube
    with pytest.raises(dataclasses.FrozenInstanceError):
        cube.lower = ()  # type: ignore[misc]
    with pytest.raises(ValueError, match="the corners of a cube have 1 and 2 dimensions"):
        Cube((1,), (1, 2))
    with pytest.raises(TypeError, match="must be real number, not str"):
        Cube("12")  # type: ignore[arg-type]


def test_sparse_vector_is_a_value() -> None:
    vector = SparseVector({3: 1, 1: 2.5, 0: 0}, 5)
    assert (vector.dimensions, vector.indices, vector.values) == (5, (1, 3), (2.5, 1.0))
    assert vector.to_list() == [0.0, 2.5, 0.0, 1.0, 0.0]
    assert SparseVector.from_list(vector.to_list()) == vector
    assert hash(vector) == hash(SparseVector({1: 2.5, 3: 1}, 5))
    assert vector != SparseVector({1: 2.5, 3: 1}, 6)
    assert repr(vector) == "SparseVector({1: 2.5, 3: 1.0}, 5)"
    for same in (copy.deepcopy(vector), pickle.loads(pickle.dumps(vector))):
        assert same == vector
    with pytest.raises(dataclasses.FrozenInstanceError):
        vector.dimensions = 6  # type: ignore[misc]
    with pytest.raises(ValueError, match="at least 1 dimension, not 0"):
        SparseVector({}, 0)
    with pytest.raises(ValueError, match="position 5 is outside of a vector of 5 dimensions"):
        SparseVector({0: 1, 5: 1}, 5)
    with pytest.raises(ValueError, match="position -1 is outside of a vector of 5 dimensions"):
        SparseVector({-1: 1}, 5)
    with pytest.raises(TypeError, match="must be real number, not str"):
        SparseVector({0: "1"}, 5)  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        SparseVector({0.5: 1}, 5)  # type: ignore[dict-item]


# The declarations


def test_they_are_declarations() -> None:
    for declaration in ALL.values():
        as_declared: CodecDeclaration = declaration
        info = info_of(declaration)
        assert applies(as_declared, info, info.name)
        assert not applies(as_declared, dataclasses.replace(info, extension=""), info.name), "a user's own type"
        assert not applies(as_declared, dataclasses.replace(info, name="_" + info.name), info.name + "[]")
        for default in (TEXT_DEFAULT, BINARY_DEFAULT):
            codec = declaration.build(info, default)
            assert (codec.oid, codec.name, codec.format) == (info.oid, info.sql_name, default.format)
            assert not codec.user
    assert {name for name, declaration in ALL.items() if not declaration.atomic} == {
        *("hstore", "vector", "halfvec", "sparsevec")
    }


def test_defaults_are_str() -> None:
    assert [(one.typename, one.extension) for one in DEFAULTS] == [
        ("citext", "citext"),
        ("ltree", "ltree"),
        ("lquery", "ltree"),
        ("ltxtquery", "ltree"),
    ]
    # The kernel needs no call for them.
    assert [binary(one.typename).opcode for one in DEFAULTS] == [Opcode.TEXT, *[Opcode.JSONB] * 3]
    assert {text(one.typename).opcode for one in DEFAULTS} == {Opcode.TEXT}


def test_by_codec_name_and_for_another_type() -> None:
    assert dict(BY_CODEC_NAME) == {"pg_contrib.hstore": HSTORE}
    mine = dataclasses.replace(HSTORE, typename="mine", schema="public", extension="")
    info = TypeInfo(70002, "mine", "public", "mine", TypeKind.DOMAIN, inner_oid=70001)
    assert applies(mine, info, "mine")
    assert not applies(mine, dataclasses.replace(info, schema="other"), "mine")
    codec = mine.build(info, BINARY_DEFAULT)
    assert (codec.oid, codec.name, codec.decode(b"\0\0\0\0")) == (70002, "mine", {})


@pytest.mark.parametrize("kind", [TypeKind.ARRAY, TypeKind.COMPOSITE, TypeKind.RANGE, TypeKind.MULTIRANGE])
def test_a_type_made_of_others(kind: TypeKind) -> None:
    with pytest.raises(InterfaceError, match=r"cannot alias non-scalar type somewhere\.hstore"):
        HSTORE.build(info_of(HSTORE, kind), BINARY_DEFAULT)


def test_vector_codecs_without_numpy() -> None:
    assert vector_codecs() == PGVECTOR == (VECTOR, HALFVEC, SPARSEVEC)


# With numpy


@pytest.fixture(scope="module")
def numpy() -> ModuleType:
    module: ModuleType = pytest.importorskip("numpy")
    return module


@pytest.fixture
def arrays(numpy: ModuleType) -> Callable[[str, Format], ValueCodec]:
    declarations = {declaration.typename: declaration for declaration in vector_codecs(numpy=numpy)}
    assert list(declarations) == ["vector", "halfvec", "sparsevec"]

    def codec(name: str, wire_format: Format) -> ValueCodec:
        default = BINARY_DEFAULT if wire_format is Format.BINARY else TEXT_DEFAULT
        return declarations[name].build(info_of(declarations[name]), default)

    return codec


@pytest.mark.parametrize(("name", "printed", "data", "value"), [row for row in VECTORS if row[0].endswith("vec")])
def test_arrays_from_a_server(
    numpy: ModuleType,
    arrays: Callable[[str, Format], ValueCodec],
    name: str,
    printed: str,
    data: str,
    value: object,
) -> None:
    for codec, raw in (
        (arrays(name, Format.BINARY), bytes.fromhex(data)),
        (arrays(name, Format.TEXT), printed.encode()),
    ):
        decoded = codec.decode(raw)
        if name == "sparsevec":
            assert decoded == value
            continue
        assert type(decoded) is numpy.ndarray
        assert decoded.dtype == (numpy.float32 if name == "vector" else numpy.float16)
        assert decoded.dtype.isnative
        assert decoded.flags.writeable
        assert repr(decoded.tolist()) == repr(value)
        assert repr(codec.decode(codec.encode(decoded)).tolist()) == repr(value)
    assert arrays(name, Format.BINARY).encode(arrays(name, Format.BINARY).decode(bytes.fromhex(data))).hex() == data


ARRAYS: tuple[Callable[[Any], Any], ...] = (
    lambda np: np.array([0.5, 2], np.float64),
    lambda np: np.array([0.5, 2], np.float32),
    lambda np: np.array([0.5, 2], np.float16),
    lambda np: np.array([0.5, 2], ">f8"),
    lambda np: np.array([0.5, 9, 2], np.longdouble)[::2],
    lambda np: np.array([0.5, 2], object),
    lambda np: np.ma.masked_array([0.5, 2], mask=[False, False]),
    lambda np: [np.float32(0.5), np.int8(2)],
    lambda np: (0.5, 2),
)


@pytest.mark.parametrize("make", ARRAYS)
def test_arrays_are_accepted_with_numpy_and_without(
    numpy: ModuleType, arrays: Callable[[str, Format], ValueCodec], make: Callable[[Any], Any]
) -> None:
    value = make(numpy)
    for name in ("vector", "halfvec"):
        plain = binary(name).encode([0.5, 2])
        assert binary(name).encode(value) == plain
        assert arrays(name, Format.BINARY).encode(value) == plain
        assert text(name).encode(value) == arrays(name, Format.TEXT).encode(value) == b"[0.5,2.0]"
    assert binary("sparsevec").decode(binary("sparsevec").encode(value)) == SparseVector({0: 0.5, 1: 2}, 2)


@pytest.mark.parametrize("dtype", ["?", "u1", "i8"])
def test_arrays_of_whole_numbers(numpy: ModuleType, arrays: Callable[[str, Format], ValueCodec], dtype: str) -> None:
    value = numpy.array([0, 1], dtype)
    assert binary("vector").encode(value) == arrays("vector", Format.BINARY).encode(value)


REFUSED_ARRAYS: tuple[tuple[Callable[[Any], Any], type[Exception], str], ...] = (
    (lambda np: np.array([[1.0]]), TypeError, "must be real number, not list (at index 0)"),
    (lambda np: np.array(1.0), TypeError, "a sequence of numbers is expected (got type ndarray)"),
    (lambda np: np.float32(1), TypeError, "a sequence of numbers is expected (got type float32)"),
    (lambda np: np.array([]), ValueError, "vector must have at least 1 dimension"),
    (lambda np: np.zeros(32768), ValueError, "vector cannot have more than 32767 dimensions"),
    (lambda np: np.array([1, 1e39]), ValueError, "value out of float32 range (at index 1)"),
    (lambda np: np.array([1, np.nan]), ValueError, "NaN not allowed in vector (at index 1)"),
    (lambda np: np.array([-np.inf, 1]), ValueError, "infinite value not allowed in vector (at index 0)"),
    (lambda np: np.array(["1", "2"]), TypeError, "must be real number, not str (at index 0)"),
    (lambda np: np.array([1j]), TypeError, "must be real number, not complex (at index 0)"),
    (
        lambda np: np.ma.masked_array([1.0, 2.0], mask=[False, True]),
        TypeError,
        "must be real number, not NoneType (at index 1)",
    ),
)


@pytest.mark.parametrize(("make", "kind", "reason"), REFUSED_ARRAYS)
def test_refused_arrays(
    numpy: ModuleType,
    arrays: Callable[[str, Format], ValueCodec],
    make: Callable[[Any], Any],
    kind: type[Exception],
    reason: str,
) -> None:
    for codec in (binary("vector"), arrays("vector", Format.BINARY)):
        with pytest.raises(kind) as info:
            codec.encode(make(numpy))
        assert str(info.value) == reason


@given(st.binary())
def test_any_bytes_as_arrays(numpy: ModuleType, data: bytes) -> None:
    for declaration in vector_codecs(numpy=numpy):
        for default in (BINARY_DEFAULT, TEXT_DEFAULT):
            try:
                declaration.build(info_of(declaration), default).decode(data)
            except ValueError:
                pass
