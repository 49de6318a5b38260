"""The PostgreSQL client for trio, with asyncpg's API in trio's manner."""

from pgsansio import *  # noqa: F403
from pgsansio import __all__ as _pure
from pgsansio import __version__
from pgsansio_trio.connection import Connection, connect

__all__ = ["Connection", "__version__", "connect"]
__all__ += _pure
