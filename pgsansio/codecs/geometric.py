"""point, line, lseg, box, path, polygon, circle. All numbers are float8.

    point    x, y                                          (x,y)              point_send, point_recv
    line     A, B, C                                       {A,B,C}            line_send, line_recv
    lseg     two points                                    [(x,y),(x,y)]      lseg_send, lseg_recv
    box      two points, upper right, lower left           (x,y),(x,y)        box_send, box_recv
    path     byte 1 if closed, else 0; as a polygon        ((x,y),...)        path_send, path_recv
                                             if open       [(x,y),...]
    polygon  int32 number of points, at least 1; points    ((x,y),...)        poly_send, poly_recv
    circle   the center, a point; radius                   <(x,y),r>          circle_send, circle_recv

Text is read as the types' output functions print it, without blanks and in their one form of the many that the input
functions take.
"""

import re
import struct
from collections.abc import Sequence
from typing import Any, Final

from pgsansio.codecs.codec import MAX_ITEMS, CodecPair, codec_pair, text_encoder, type_name, wrong_length
from pgsansio.codecs.floating import encode_float8
from pgsansio.kernel.contract import Opcode
from pgsansio.types import Box, Circle, Line, LineSegment, Path, Point, Polygon

__all__ = [
    "CODECS",
    "SOURCE",
    "decode_box",
    "decode_circle",
    "decode_line",
    "decode_lseg",
    "decode_path",
    "decode_point",
    "decode_polygon",
    "encode_box",
    "encode_circle",
    "encode_line",
    "encode_lseg",
    "encode_path",
    "encode_point",
    "encode_polygon",
]

SOURCE: Final = "Geometric Types"

_unpack_point = struct.Struct(">dd").unpack
_unpack_three = struct.Struct(">ddd").unpack
_unpack_four = struct.Struct(">dddd").unpack
_unpack_count = struct.Struct(">i").unpack_from
_iterate_points = struct.Struct(">dd").iter_unpack
_pack_point = struct.Struct(">dd").pack
_pack_count = struct.Struct(">i").pack

_POINT_BYTES: Final = 16


# Binary


def decode_point(data: bytes) -> Point:
    try:
        x, y = _unpack_point(data)
    except struct.error:
        raise wrong_length("point", data, _POINT_BYTES) from None
    return Point(x, y)


def encode_point(value: Any) -> bytes:
    """A Point, or two numbers by index, each whatever `encode_float8` takes.

    Raises:
        TypeError: neither. OverflowError: an int beyond any float.
    """
    if type(value) is Point:
        return _pack_point(*value)
    x, y = _parts(value, 2, "a point is (x, y)")
    return encode_float8(x) + encode_float8(y)


def decode_line(data: bytes) -> Line:
    try:
        a, b, c = _unpack_three(data)
    except struct.error:
        raise wrong_length("line", data, 24) from None
    return Line(a, b, c)


def encode_line(value: Any) -> bytes:
    """A Line, or A, B and C by index. Raises as `encode_point`."""
    a, b, c = _parts(value, 3, "a line is (A, B, C)")
    return encode_float8(a) + encode_float8(b) + encode_float8(c)


def decode_lseg(data: bytes) -> LineSegment:
    try:
        x1, y1, x2, y2 = _unpack_four(data)
    except struct.error:
        raise wrong_length("lseg", data, 32) from None
    return LineSegment((x1, y1), (x2, y2))


def encode_lseg(value: Any) -> bytes:
    """A LineSegment, or two points by index. Raises as `encode_point`."""
    p1, p2 = _parts(value, 2, "a line segment is (p1, p2)")
    return encode_point(p1) + encode_point(p2)


def decode_box(data: bytes) -> Box:
    try:
        x1, y1, x2, y2 = _unpack_four(data)
    except struct.error:
        raise wrong_length("box", data, 32) from None
    return Box((x1, y1), (x2, y2))


def encode_box(value: Any) -> bytes:
    """A Box, or two opposite corners by index. Raises as `encode_point`."""
    high, low = _parts(value, 2, "a box is (high, low)")
    return encode_point(high) + encode_point(low)


def decode_path(data: bytes) -> Path:
    if data[:1] not in (b"\x00", b"\x01"):
        raise ValueError(f"invalid path value: begins with {data[:1]!r}")
    return Path(*_decode_points("path", data, 1), is_closed=data[0] == 1)


def encode_path(value: Any) -> bytes:
    """A Path; a tuple of points for a closed one; any other sequence, such as a list, for an open one.

    Raises:
        TypeError: none of them, or as `encode_point`. ValueError: no points.
    """
    is_closed = getattr(value, "is_closed", isinstance(value, tuple))
    return (b"\x01" if is_closed else b"\x00") + _encode_points(value, "path")


def decode_polygon(data: bytes) -> Polygon:
    return Polygon(*_decode_points("polygon", data, 0))


def encode_polygon(value: Any) -> bytes:
    """A Polygon, a Path, or a sequence of points. Raises as `encode_path`."""
    return _encode_points(value, "polygon")


def decode_circle(data: bytes) -> Circle:
    try:
        x, y, radius = _unpack_three(data)
    except struct.error:
        raise wrong_length("circle", data, 24) from None
    return Circle((x, y), radius)


def encode_circle(value: Any) -> bytes:
    """A Circle, or the center and the radius by index. Raises as `encode_point`."""
    center, radius = _parts(value, 2, "a circle is (center, radius)")
    return encode_point(center) + encode_float8(radius)


def _parts(value: Any, count: int, shape: str) -> list[Any]:
    """The items of whatever has just so many."""
    try:
        size = len(value)
        parts = [value[position] for position in range(count)] if size == count else []
    except (TypeError, LookupError):
        raise TypeError(f"{shape}, not '{type_name(value)}'") from None
    if not parts:
        raise TypeError(f"{shape}, not '{type_name(value)}' of length {size}")
    return parts


def _decode_points(name: str, data: bytes, start: int) -> Sequence[Point]:
    """The points behind their number, which is at `start`."""
    points = data[start + 4 :]
    try:
        count: int = _unpack_count(data, start)[0]
    except struct.error:
        raise ValueError(f"invalid {name} value: {len(data)} bytes") from None
    if count < 1 or len(points) != count * _POINT_BYTES:
        raise ValueError(f"invalid {name} value: {count} points in {len(points)} bytes")
    return [Point(x, y) for x, y in _iterate_points(points)]


def _encode_points(value: Any, name: str) -> bytes:
    try:
        count = len(value)
        if count > MAX_ITEMS:
            raise ValueError(f"a {name} of {count} points")
        points = [value[position] for position in range(count)]
    except (TypeError, LookupError):
        raise TypeError(f"a {name} is a sequence of points, not '{type_name(value)}'") from None
    if not points:
        raise ValueError(f"a {name} has at least one point")
    return _pack_count(count) + b"".join([encode_point(point) for point in points])


# Text

_is_number = re.compile(rb"-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|Infinity)|NaN").fullmatch


def decode_point_text(data: bytes) -> Point:
    (point,) = _read_points("point", data, data, 1)
    return point


def decode_line_text(data: bytes) -> Line:
    if data[:1] != b"{" or data[-1:] != b"}":
        raise _malformed("line", data)
    a, b, c = _read_numbers("line", data, data[1:-1], 3)
    return Line(a, b, c)


def decode_lseg_text(data: bytes) -> LineSegment:
    if data[:1] != b"[" or data[-1:] != b"]":
        raise _malformed("lseg", data)
    p1, p2 = _read_points("lseg", data, data[1:-1], 2)
    return LineSegment(p1, p2)


def decode_box_text(data: bytes) -> Box:
    high, low = _read_points("box", data, data, 2)
    return Box(high, low)


def decode_path_text(data: bytes) -> Path:
    if data[:1] + data[-1:] not in (b"()", b"[]"):
        raise _malformed("path", data)
    return Path(*_read_points("path", data, data[1:-1]), is_closed=data[:1] == b"(")


def decode_polygon_text(data: bytes) -> Polygon:
    if data[:1] != b"(" or data[-1:] != b")":
        raise _malformed("polygon", data)
    return Polygon(*_read_points("polygon", data, data[1:-1]))


def decode_circle_text(data: bytes) -> Circle:
    center, _, radius = data[1:-1].rpartition(b",")
    if data[:1] != b"<" or data[-1:] != b">":
        raise _malformed("circle", data)
    (point,) = _read_points("circle", data, center, 1)
    (number,) = _read_numbers("circle", data, radius, 1)
    return Circle(point, number)


def _read_points(name: str, data: bytes, text: bytes, count: int | None = None) -> list[Point]:
    """The points in `text`, at least one, or just `count`; `data` is what it is a part of, for the error."""
    pairs = text[1:-1].split(b"),(")
    if text[:1] != b"(" or text[-1:] != b")" or count not in (None, len(pairs)):
        raise _malformed(name, data)
    return [Point(*_read_numbers(name, data, pair, 2)) for pair in pairs]


def _read_numbers(name: str, data: bytes, text: bytes, count: int) -> list[float]:
    numbers = text.split(b",")
    if len(numbers) != count or not all(map(_is_number, numbers)):
        raise _malformed(name, data)
    return [float(number) for number in numbers]


def _malformed(name: str, data: bytes) -> ValueError:
    return ValueError(f"invalid {name} text {data[:40]!r}")


def _spell_number(value: float) -> str:
    text = repr(value)
    return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(text, text)


def _spell_point(value: Sequence[float]) -> str:
    return f"({_spell_number(value[0])},{_spell_number(value[1])})"


def _spell_line(value: Line) -> str:
    return f"{{{','.join(map(_spell_number, value))}}}"


def _spell_lseg(value: LineSegment) -> str:
    return f"[{_spell_points(value)}]"


def _spell_path(value: Path) -> str:
    return f"({_spell_points(value)})" if value.is_closed else f"[{_spell_points(value)}]"


def _spell_circle(value: Circle) -> str:
    return f"<{_spell_point(value.center)},{_spell_number(value.radius)}>"


def _spell_points(value: Box | LineSegment | Path) -> str:
    return ",".join(map(_spell_point, value))


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair(
        "point",
        Opcode.POINT,
        decode_point,
        encode_point,
        decode_point_text,
        text_encoder(encode_point, decode_point, _spell_point),
    ),
    codec_pair(
        "line",
        Opcode.LINE,
        decode_line,
        encode_line,
        decode_line_text,
        text_encoder(encode_line, decode_line, _spell_line),
    ),
    codec_pair(
        "lseg",
        Opcode.LSEG,
        decode_lseg,
        encode_lseg,
        decode_lseg_text,
        text_encoder(encode_lseg, decode_lseg, _spell_lseg),
    ),
    codec_pair(
        "box",
        Opcode.BOX,
        decode_box,
        encode_box,
        decode_box_text,
        text_encoder(encode_box, decode_box, _spell_points),
    ),
    codec_pair(
        "path",
        Opcode.CALL,
        decode_path,
        encode_path,
        decode_path_text,
        text_encoder(encode_path, decode_path, _spell_path),
    ),
    codec_pair(
        "polygon",
        Opcode.CALL,
        decode_polygon,
        encode_polygon,
        decode_polygon_text,
        text_encoder(encode_polygon, decode_polygon, _spell_path),
    ),
    codec_pair(
        "circle",
        Opcode.CIRCLE,
        decode_circle,
        encode_circle,
        decode_circle_text,
        text_encoder(encode_circle, decode_circle, _spell_circle),
    ),
)
