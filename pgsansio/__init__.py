"""A PostgreSQL client without I/O: the protocol's engine, its codecs, and a client for any event loop.

`pgsansio_asyncio` and `pgsansio_trio` connect it to the world; `pgsansio.client.port` says how to connect it to another
loop.
"""

import pgsansio.errors as _errors
from pgsansio.backend import Backend
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.codecs.custom import AliasCodec, CompositeCodec, EnumCodec, JsonCodec, TypeCodec, json_codecs
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.engine.driven import Engine
from pgsansio.enums import Format, Outcome, TransactionStatus
from pgsansio.errors import *  # noqa: F403
from pgsansio.frontend import Frontend
from pgsansio.kernel import UUID, Record
from pgsansio.policy.conninfo import parse_dsn, redact_dsn
from pgsansio.policy.subscriptions import Overflow
from pgsansio.sqlstates import *  # noqa: F403 - in `errors`, too, but type checkers do not follow its __all__
from pgsansio.types import (
    Attribute,
    BitString,
    Box,
    Circle,
    Column,
    ConnectionParameters,
    Cube,
    Gap,
    Line,
    LineSegment,
    LoggedQuery,
    Notification,
    Path,
    Point,
    Polygon,
    PoolStatistics,
    PreparedTransaction,
    Range,
    Result,
    ServerVersion,
    SparseVector,
    TlsInfo,
    Type,
    affected_rows,
)

__version__ = "0.1.0"

__all__: list[str] = [
    "UUID",
    "AliasCodec",
    "Attribute",
    "Backend",
    "BitString",
    "Box",
    "Circle",
    "CodecSet",
    "Column",
    "CompositeCodec",
    "ConnectionParameters",
    "Cube",
    "Engine",
    "EnumCodec",
    "Format",
    "Frontend",
    "Gap",
    "JsonCodec",
    "Line",
    "LineSegment",
    "LoggedQuery",
    "Notification",
    "Outcome",
    "Overflow",
    "Path",
    "Point",
    "Polygon",
    "PoolStatistics",
    "PreparedTransaction",
    "Range",
    "Record",
    "Result",
    "ServerVersion",
    "SparseVector",
    "TlsInfo",
    "TransactionStatus",
    "Type",
    "TypeCatalog",
    "TypeCodec",
    "__version__",
    "affected_rows",
    "json_codecs",
    "parse_dsn",
    "redact_dsn",
]
__all__ += _errors.__all__
