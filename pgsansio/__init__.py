"""A PostgreSQL client without I/O: the protocol's engine, its codecs, and a client for any event loop.

`pgsansio_asyncio` and `pgsansio_trio` connect it to the world; `pgsansio.client.port` says how to connect it to another
loop.
"""

import pgsansio.errors as _errors
from pgsansio.backend import Backend
from pgsansio.enums import Format, Outcome, TransactionStatus
from pgsansio.errors import *  # noqa: F403
from pgsansio.frontend import Engine, Frontend
from pgsansio.kernel import UUID, Record
from pgsansio.policy.conninfo import parse_dsn, redact_dsn
from pgsansio.policy.subscriptions import Overflow
from pgsansio.sqlstates import *  # noqa: F403 - in `errors`, too, but type checkers do not follow its __all__
from pgsansio.types import (
    Attribute,
    BitString,
    Box,
    Circle,
    Line,
    LineSegment,
    Notification,
    Path,
    Point,
    Polygon,
    Range,
    ServerVersion,
    Type,
)

__version__ = "0.1.0"

__all__: list[str] = [
    "UUID",
    "Attribute",
    "Backend",
    "BitString",
    "Box",
    "Circle",
    "Engine",
    "Format",
    "Frontend",
    "Line",
    "LineSegment",
    "Notification",
    "Outcome",
    "Overflow",
    "Path",
    "Point",
    "Polygon",
    "Range",
    "Record",
    "ServerVersion",
    "TransactionStatus",
    "Type",
    "__version__",
    "parse_dsn",
    "redact_dsn",
]
__all__ += _errors.__all__
