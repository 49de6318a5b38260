"""What the user holds in the end and what is not a row: values that Python has no type for, and descriptions."""

from pgsansio.types.bit_string import BitString
from pgsansio.types.cube import Cube
from pgsansio.types.description import Attribute, Column, Type
from pgsansio.types.geometry import Box, Circle, Line, LineSegment, Path, Point, Polygon
from pgsansio.types.pool import PoolStatistics
from pgsansio.types.range import Range
from pgsansio.types.result import Result, affected_rows
from pgsansio.types.secret import Secret, SecretFunction
from pgsansio.types.server import (
    ConnectionParameters,
    Gap,
    LoggedQuery,
    Notification,
    PreparedTransaction,
    ServerVersion,
    parse_server_version,
)
from pgsansio.types.sparse_vector import SparseVector
from pgsansio.types.tls import TlsInfo

__all__ = [
    "Attribute",
    "BitString",
    "Box",
    "Circle",
    "Column",
    "ConnectionParameters",
    "Cube",
    "Gap",
    "Line",
    "LineSegment",
    "LoggedQuery",
    "Notification",
    "PreparedTransaction",
    "Path",
    "Point",
    "Polygon",
    "PoolStatistics",
    "Range",
    "Result",
    "Secret",
    "SecretFunction",
    "ServerVersion",
    "SparseVector",
    "TlsInfo",
    "Type",
    "affected_rows",
    "parse_server_version",
]
