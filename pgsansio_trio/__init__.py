"""The PostgreSQL client for trio, with asyncpg's API in trio's manner."""

import pgsansio
import pgsansio.client.cursor
import pgsansio.client.statement
import pgsansio.client.transaction
import pgsansio.errors
import pgsansio.types
from pgsansio import *  # noqa: F403
from pgsansio import __version__ as __version__

# For type checkers that do not follow the __all__ of `pgsansio`.
from pgsansio.errors import *  # noqa: F403 # pyright: ignore[reportGeneralTypeIssues]
from pgsansio.sqlstates import *  # noqa: F403
from pgsansio_trio.connection import Connection, connect
from pgsansio_trio.listener import Listener, listen
from pgsansio_trio.pool import Pool, create_pool

__all__: list[str] = ["Connection", "Listener", "Pool", "connect", "create_pool", "listen"]
__all__ += pgsansio.__all__

# Modules by the names that asyncpg's documentation gives them: `pgsansio_trio.exceptions.DataError` and so on.
exceptions = pgsansio.errors
types = pgsansio.types
cursor = pgsansio.client.cursor
prepared_stmt = pgsansio.client.statement
transaction = pgsansio.client.transaction
