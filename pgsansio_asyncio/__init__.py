"""The PostgreSQL client for asyncio, with asyncpg's API."""

import pgsansio
from pgsansio import *  # noqa: F403
from pgsansio import __version__ as __version__

# For type checkers that do not follow the __all__ of `pgsansio`.
from pgsansio.errors import *  # noqa: F403 # pyright: ignore[reportGeneralTypeIssues]
from pgsansio.sqlstates import *  # noqa: F403
from pgsansio_asyncio.connection import Connection, connect
from pgsansio_asyncio.listener import Listener, listen
from pgsansio_asyncio.pool import Pool, create_pool

__all__: list[str] = ["Connection", "Listener", "Pool", "connect", "create_pool", "listen"]
__all__ += pgsansio.__all__
