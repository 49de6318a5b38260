"""Running statements, and what is printed for them."""

from collections.abc import Callable, Iterable
from typing import Final

from pgsansio.cli.text import Table, result_table, row_count
from pgsansio.client import Connection

__all__ = ["INTERRUPTED_STATUS", "SERVER_HINT", "greeting", "run_statements"]

#: Exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it.
INTERRUPTED_STATUS: Final = 130

#: What else can be done when no server can be started.
SERVER_HINT: Final = "Or name a server that runs already, by a DSN: postgresql://user:password@host:port/database"


async def run_statements(
    connection: Connection, statements: Iterable[str], show_table: Callable[[Table], None], show: Callable[[str], None]
) -> None:
    """Run each statement; show its rows and their number, or its status.

    Raises:
        As `Connection.fetch`; what comes behind the statement that failed is not run.
    """
    for statement in statements:
        operation = await connection._query(statement, (), 0, None, None, ())
        table = result_table(operation)
        if table is None:
            show(operation.status or "")
        else:
            show_table(table)
            show(row_count(len(table.rows)))


async def greeting(connection: Connection) -> str:
    """Two lines about what the connection leads to."""
    user, database = await connection.fetchrow("SELECT current_user, current_database()")
    version = connection.get_settings().server_version
    return (
        f"Connected to PostgreSQL {version}, database {database!r}, as {user!r}.\n"
        'Run statements with -c "SELECT ...", or give them on standard input.'
    )
