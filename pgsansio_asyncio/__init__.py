"""The PostgreSQL client for asyncio, with asyncpg's API."""

from pgsansio import *  # noqa: F403
from pgsansio import __all__ as _pure
from pgsansio import __version__
from pgsansio_asyncio.connection import Connection, connect
from pgsansio_asyncio.pool import Pool, create_pool

__all__ = ["Connection", "Pool", "__version__", "connect", "create_pool"]
__all__ += _pure
