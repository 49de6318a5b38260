"""The PostgreSQL client for trio, with asyncpg's API in trio's manner."""

from pgsansio import *  # noqa: F403
from pgsansio import __all__ as _pure
from pgsansio import __version__
from pgsansio_trio.connection import Connection, connect
from pgsansio_trio.pool import Pool, create_pool

__all__ = ["Connection", "Pool", "__version__", "connect", "create_pool"]
__all__ += _pure
