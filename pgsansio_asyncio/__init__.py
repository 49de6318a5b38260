"""The PostgreSQL client for asyncio, with asyncpg's API."""

from pgsansio import *  # noqa: F403
from pgsansio import __all__ as _pure
from pgsansio import __version__
from pgsansio_asyncio.connection import Connection, connect

__all__ = ["Connection", "__version__", "connect"]
__all__ += _pure
