"""cube, as `pgsansio.types.cube.Cube`.

Binary, since cube 1.5 of PostgreSQL 14 (the server's cube_send and cube_recv):

    uint32  number of dimensions; with the highest bit set if the cube is a point
    float8 for each dimension: one corner
    unless it is a point, float8 for each dimension: the opposite corner

Text (cube_out): `(1, 2),(3, 4)`, or for a point `(1, 2)`.
"""

import re
import struct
from typing import Any, Final

from pgsansio.codecs.codec import type_name
from pgsansio.codecs.contrib.extension_type import ExtensionType
from pgsansio.types.cube import Cube

__all__ = ["CUBE", "SOURCE", "decode_cube", "decode_cube_text", "encode_cube", "encode_cube_text"]

SOURCE: Final = "cube — a multi-dimensional cube data type"

_POINT: Final = 0x80000000

_TEXT: Final = re.compile(rb"\(([^()]*)\)(?:,\(([^()]*)\))?")


def decode_cube(data: bytes) -> Cube:
    """Any number of dimensions, 0 too, and any float8, infinite and NaN too. Corners are as they are stored.

    Raises:
        ValueError: the number of dimensions contradicts the size.
    """
    header = int.from_bytes(data[:4], "big")
    dimensions = header & ~_POINT
    count = dimensions if header & _POINT else 2 * dimensions
    if len(data) != 4 + 8 * count:
        raise ValueError(f"cube of {count} coordinates in {len(data)} bytes")
    coordinates: tuple[float, ...] = struct.unpack_from(f">{count}d", data, 4)
    return Cube(coordinates[:dimensions], coordinates[dimensions:] if count > dimensions else None)


def encode_cube(value: Any) -> bytes:
    """Raises TypeError: no `Cube`. How many dimensions are possible is the server's to say (100, as it is built)."""
    if not isinstance(value, Cube):
        raise TypeError(f"a Cube is expected (got type {type_name(value)})")
    dimensions = len(value.lower)
    lower = struct.pack(f">{dimensions}d", *value.lower)
    upper = struct.pack(f">{dimensions}d", *value.upper)
    # By their bytes: two zeros may differ in their sign, and a NaN should equal itself.
    if lower == upper:
        return struct.pack(">I", dimensions | _POINT) + lower
    return struct.pack(">I", dimensions) + lower + upper


def decode_cube_text(data: bytes) -> Cube:
    """As `decode_cube`. Raises ValueError: not as cube_out prints it."""
    match = _TEXT.fullmatch(data)
    if match is None:
        raise ValueError(f"malformed cube text {data[:40]!r}")
    lower, upper = (None if corner is None else _corner(corner) for corner in match.groups())
    return Cube(lower or (), upper)


def _corner(text: bytes) -> tuple[float, ...]:
    return tuple(map(float, text.split(b","))) if text else ()


def encode_cube_text(value: Any) -> bytes:
    """Raises as `encode_cube`. The server takes zeros that differ in sign only for equal, and makes a point of them."""
    cube = decode_cube(encode_cube(value))
    corners = (cube.lower,) if cube.is_point else (cube.lower, cube.upper)
    return ",".join(f"({', '.join(map(repr, corner))})" for corner in corners).encode()


CUBE: Final = ExtensionType("cube", "cube", decode_cube, encode_cube, decode_cube_text, encode_cube_text)
