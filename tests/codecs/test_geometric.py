"""point, line, lseg, box, path, polygon, circle: values, the server's bytes, what is refused."""

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import asyncpg.types
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsansio.codecs.geometric import CODECS
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types import Box, Circle, Line, LineSegment, Path, Point, Polygon

BINARY = {codec.name: codec for codec, _ in CODECS}
TEXT = {codec.name: codec for _, codec in CODECS}

#: Got once from PostgreSQL 16: type, output, send, value.
VECTORS: tuple[tuple[str, bytes, str, Any], ...] = (
    ("point", b"(1,2)", "3ff0000000000000 4000000000000000", Point(1, 2)),
    ("point", b"(-0,1e-300)", "8000000000000000 01a56e1fc2f8f359", Point(-0.0, 1e-300)),
    ("point", b"(NaN,-Infinity)", "7ff8000000000000 fff0000000000000", Point(math.nan, -math.inf)),
    ("line", b"{1,-2.5,3}", "3ff0000000000000 c004000000000000 4008000000000000", Line(1, -2.5, 3)),
    (
        "lseg",
        b"[(1,2),(3,4)]",
        "3ff0000000000000 4000000000000000 4008000000000000 4010000000000000",
        LineSegment((1, 2), (3, 4)),
    ),
    (
        "box",
        b"(3,4),(1,2)",
        "4008000000000000 4010000000000000 3ff0000000000000 4000000000000000",
        Box((3, 4), (1, 2)),
    ),
    (
        "path",
        b"((1,2),(3,4e-300))",
        "01 00000002 3ff0000000000000 4000000000000000 4008000000000000 01c56e1fc2f8f359",
        Path((1, 2), (3, 4e-300), is_closed=True),
    ),
    (
        "path",
        b"[(1,2),(3,Infinity)]",
        "00 00000002 3ff0000000000000 4000000000000000 4008000000000000 7ff0000000000000",
        Path((1, 2), (3, math.inf)),
    ),
    ("polygon", b"((1,2))", "00000001 3ff0000000000000 4000000000000000", Polygon((1, 2))),
    (
        "polygon",
        b"((1,2),(3,4))",
        "00000002 3ff0000000000000 4000000000000000 4008000000000000 4010000000000000",
        Polygon((1, 2), (3, 4)),
    ),
    (
        "circle",
        b"<(1,-0),5e+300>",
        "3ff0000000000000 8000000000000000 7e5ddd4baa009303",
        Circle((1, -0.0), 5e300),
    ),
)


def test_codecs_are_of_their_types() -> None:
    assert [(codec.oid, codec.name, codec.opcode) for codec in BINARY.values()] == [
        (600, "point", Opcode.POINT),
        (628, "line", Opcode.LINE),
        (601, "lseg", Opcode.LSEG),
        (603, "box", Opcode.BOX),
        (602, "path", Opcode.CALL),
        (604, "polygon", Opcode.CALL),
        (718, "circle", Opcode.CIRCLE),
    ]
    assert {codec.format for codec in BINARY.values()} == {Format.BINARY}
    assert {(codec.opcode, codec.format) for codec in TEXT.values()} == {(Opcode.CALL, Format.TEXT)}


@pytest.mark.parametrize(("name", "text", "binary", "value"), VECTORS)
def test_vectors(name: str, text: bytes, binary: str, value: Any) -> None:
    data = bytes.fromhex(binary)
    for found in (BINARY[name].decode(data), TEXT[name].decode(text)):
        assert type(found) is type(value)
        assert repr(found) == repr(value)
    assert BINARY[name].encode(value) == data
    # The server prints 1 where Python prints 1.0; it reads both.
    assert repr(TEXT[name].decode(TEXT[name].encode(value))) == repr(value)


def test_text() -> None:
    for name, value, text in [
        ("point", Point(1, 1e16), b"(1.0,1e+16)"),
        ("point", Point(math.inf, math.nan), b"(Infinity,NaN)"),
        ("line", Line(1, 2, -math.inf), b"{1.0,2.0,-Infinity}"),
        ("lseg", LineSegment((1, 2), (3, 4)), b"[(1.0,2.0),(3.0,4.0)]"),
        ("box", Box((1, 2), (3, 4)), b"(1.0,2.0),(3.0,4.0)"),
        ("path", Path((1, 2)), b"[(1.0,2.0)]"),
        ("path", Path((1, 2), (3, 4), is_closed=True), b"((1.0,2.0),(3.0,4.0))"),
        ("polygon", Polygon((1, 2)), b"((1.0,2.0))"),
        ("circle", Circle((1, 2), 5e-324), b"<(1.0,2.0),5e-324>"),
    ]:
        assert TEXT[name].encode(value) == text


class WithItems(Sequence[Any]):
    """A sequence that is neither tuple nor list."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __getitem__(self, position: Any) -> Any:
        return self.items[position]

    def __len__(self) -> int:
        return len(self.items)


class OwnTuple(tuple[Any, ...]):
    pass


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("point", (1, 2), Point(1, 2)),
        ("point", [Decimal("0.5"), Fraction(1, 4)], Point(0.5, 0.25)),
        ("point", WithItems(True, 2.0), Point(1, 2)),
        ("point", asyncpg.types.Point(1, 2), Point(1, 2)),
        ("line", [1, 2, 3], Line(1, 2, 3)),
        ("lseg", ((1, 2), [3, 4]), LineSegment((1, 2), (3, 4))),
        ("lseg", Box((3, 4), (1, 2)), LineSegment((3, 4), (1, 2))),
        ("box", [(3, 4), Point(1, 2)], Box((3, 4), (1, 2))),
        ("path", ((1, 2), (3, 4)), Path((1, 2), (3, 4), is_closed=True)),
        ("path", OwnTuple([(1, 2)]), Path((1, 2), is_closed=True)),
        ("path", [(1, 2), [3, 4]], Path((1, 2), (3, 4))),
        ("path", WithItems((1, 2)), Path((1, 2))),
        ("path", Polygon((1, 2)), Path((1, 2), is_closed=True)),
        ("path", asyncpg.types.Path((1, 2), is_closed=True), Path((1, 2), is_closed=True)),
        ("polygon", ((1, 2), (3, 4)), Polygon((1, 2), (3, 4))),
        ("polygon", [[1, 2]], Polygon((1, 2))),
        ("polygon", Path((1, 2)), Polygon((1, 2))),
        ("circle", ((1, 2), 3), Circle((1, 2), 3)),
        ("circle", [Point(1, 2), Decimal(3)], Circle((1, 2), 3)),
    ],
)
def test_accepted_values(name: str, given: object, value: object) -> None:
    for codec in (BINARY[name], TEXT[name]):
        assert codec.encode(given) == codec.encode(value)
        assert codec.decode(codec.encode(given)) == value


@pytest.mark.parametrize(
    ("name", "value", "error", "reason"),
    [
        ("point", 1, TypeError, r"a point is \(x, y\), not 'int'"),
        ("point", {1.0, 2.0}, TypeError, r"a point is \(x, y\), not 'set'"),
        ("point", {"x": 1, "y": 2}, TypeError, r"a point is \(x, y\), not 'dict'"),
        ("point", (1,), TypeError, r"a point is \(x, y\), not 'tuple' of length 1"),
        ("point", (1, 2, 3), TypeError, r"a point is \(x, y\), not 'tuple' of length 3"),
        ("point", "12", TypeError, "must be real number, not str"),
        ("point", (1, None), TypeError, "must be real number, not NoneType"),
        ("point", (10**400, 1), OverflowError, "int too large to convert to float"),
        ("line", (1, 2), TypeError, r"a line is \(A, B, C\), not 'tuple' of length 2"),
        ("line", (1, 2, "3"), TypeError, "must be real number, not str"),
        ("lseg", (1, 2, 3, 4), TypeError, r"a line segment is \(p1, p2\), not 'tuple' of length 4"),
        ("lseg", (1, 2), TypeError, r"a point is \(x, y\), not 'int'"),
        ("box", Point(1, 2), TypeError, r"a point is \(x, y\), not 'float'"),
        ("box", None, TypeError, r"a box is \(high, low\), not 'NoneType'"),
        ("path", 5, TypeError, "a path is a sequence of points, not 'int'"),
        ("path", {(1, 2)}, TypeError, "a path is a sequence of points, not 'set'"),
        ("path", iter([(1, 2)]), TypeError, "a path is a sequence of points, not 'list_iterator'"),
        ("path", "ab", TypeError, r"a point is \(x, y\), not 'str' of length 1"),
        ("path", (), ValueError, "a path has at least one point"),
        ("path", Path(), ValueError, "a path has at least one point"),
        ("path", (1, 2), TypeError, r"a point is \(x, y\), not 'int'"),
        ("polygon", [], ValueError, "a polygon has at least one point"),
        ("polygon", {1: 2}, TypeError, "a polygon is a sequence of points, not 'dict'"),
        ("circle", (1, 2, 3), TypeError, r"a circle is \(center, radius\), not 'tuple' of length 3"),
        ("circle", ((1, 2), "3"), TypeError, "must be real number, not str"),
    ],
)
def test_refused_values(name: str, value: object, error: type[Exception], reason: str) -> None:
    for codec in (BINARY[name], TEXT[name]):
        with pytest.raises(error, match=f"^{reason}$"):
            codec.encode(value)


@pytest.mark.parametrize(("name", "text", "binary", "value"), VECTORS)
def test_cut_and_prolonged(name: str, text: bytes, binary: str, value: object) -> None:
    data = bytes.fromhex(binary)
    for wrong in [*(data[:end] for end in range(len(data))), data + b"\0", data + bytes(16)]:
        with pytest.raises(ValueError):
            BINARY[name].decode(wrong)
    for wrong in [*(text[:end] for end in range(len(text))), text + b")", b"(" + text, text + b" ", b" " + text]:
        with pytest.raises(ValueError, match=rf"^invalid {name} text b"):
            TEXT[name].decode(wrong)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("path", "02 00000001" + "00" * 16),
        ("path", "00 00000000"),
        ("path", "00 ffffffff"),
        ("path", "00 7fffffff" + "00" * 16),
        ("polygon", "00000000"),
        ("polygon", "ffffffff"),
        ("polygon", "80000000" + "00" * 16),
        ("polygon", "00000002" + "00" * 16),
    ],
)
def test_malformed_bytes(name: str, data: str) -> None:
    with pytest.raises(ValueError, match=f"^invalid {name} value: "):
        BINARY[name].decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("point", b"1,2"),
        ("point", b"(1,2,3)"),
        ("point", b"(1;2)"),
        ("point", b"(1,)"),
        ("point", b"(1_0,2)"),
        ("point", b"(inf,nan)"),
        ("point", b"(1,-NaN)"),
        ("point", b"(0x1,2)"),
        ("point", b"(.5,2)"),
        ("point", b"(1,2),(3,4)"),
        ("point", "(1,\u0662)".encode()),
        ("point", b"(1,\xff)"),
        ("line", b"{1,2}"),
        ("line", b"{1,2,3,4}"),
        ("line", b"(1,2,3)"),
        ("lseg", b"((1,2),(3,4))"),
        ("lseg", b"[(1,2)]"),
        ("box", b"(1,2);(3,4)"),
        ("box", b"(1,2),(3,4),(5,6)"),
        ("path", b"()"),
        ("path", b"[]"),
        ("path", b"((1,2)]"),
        ("path", b"[(1,2))"),
        ("path", b"((1,2),)"),
        ("path", b"((1,2),,(3,4))"),
        ("path", b"((1,2)(3,4))"),
        ("polygon", b"()"),
        ("polygon", b"[(1,2)]"),
        ("circle", b"<1,2,3>"),
        ("circle", b"<(1,2)>"),
        ("circle", b"<(1,2),>"),
        ("circle", b"<,>"),
        ("circle", b"((1,2),3)"),
    ],
)
def test_malformed_text(name: str, text: bytes) -> None:
    with pytest.raises(ValueError, match=rf"^invalid {name} text b"):
        TEXT[name].decode(text)


FLOATS = st.floats() | st.integers(-5, 5)
POINTS = st.tuples(FLOATS, FLOATS)
MANY = st.lists(POINTS, min_size=1, max_size=5)
FIGURES: dict[str, st.SearchStrategy[Any]] = {
    "point": st.builds(Point, FLOATS, FLOATS),
    "line": st.builds(Line, FLOATS, FLOATS, FLOATS),
    "lseg": st.builds(LineSegment, POINTS, POINTS),
    "box": st.builds(Box, POINTS, POINTS),
    "path": st.builds(lambda points, is_closed: Path(*points, is_closed=is_closed), MANY, st.booleans()),
    "polygon": MANY.map(lambda points: Polygon(*points)),
    "circle": st.builds(Circle, POINTS, FLOATS),
}


@given(st.sampled_from(sorted(FIGURES)).flatmap(lambda name: st.tuples(st.just(name), FIGURES[name])))
@example(("point", Point(-0.0, 5e-324)))
def test_round_trip(case: tuple[str, Any]) -> None:
    name, value = case
    for codec in (BINARY[name], TEXT[name]):
        found = codec.decode(codec.encode(value))
        # By repr, since NaN is not equal to itself and -0.0 is to 0.0.
        assert (type(found), repr(found)) == (type(value), repr(value))


def check_any(codec: ValueCodec, data: bytes) -> None:
    try:
        value = codec.decode(data)
    except ValueError:
        return
    assert repr(codec.decode(codec.encode(value))) == repr(value)


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    """A value, or ValueError."""
    for codec in BINARY.values():
        check_any(codec, data)


@given(st.text("(),<>[]{}1e+-.0", max_size=20))
def test_any_text(text: str) -> None:
    for codec in TEXT.values():
        check_any(codec, text.encode())
