"""What a server executes for a connection."""

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

from tests.support.clients import Client

__all__ = ["statements"]


@contextlib.asynccontextmanager
async def statements(client: Client, connection: Any) -> AsyncIterator[list[str]]:
    """The statements that are executed on this connection in the block, from the server's log; there when it has ended.

    An extended query is one statement, however many messages it takes.
    """
    log = client.server.cluster.read_log
    await connection.execute("SET log_statement = 'all'; SET log_min_duration_statement = -1")
    start = len(log())
    found: list[str] = []
    yield found
    line = rf"^.*\[{connection.get_server_pid()}\].*? LOG:  (?:statement|execute [^:]*): (.*(?:\n\t.*)*)"
    found += re.findall(line, log()[start:], re.MULTILINE)
