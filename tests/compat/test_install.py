"""install_as_asyncpg(): what an `import asyncpg` gives after it, and when it refuses."""

import subprocess
import sys

import pytest

from tests.compat.programs import run
from tests.support.names_of_asyncpg import modules_of_asyncpg
from tests.support.servers import Server

INSTALL = "import pgsansio_asyncio; pgsansio_asyncio.install_as_asyncpg()\n"


@pytest.mark.checklist("PKG-4")
def test_the_modules_can_be_imported() -> None:
    modules = sorted(f"asyncpg.{name}".rstrip(".") for name in modules_of_asyncpg())
    lines = [
        f"import {module}; print({module}.__name__, {module}.__spec__.name)"
        for module in modules
        if module != "asyncpg.protocol.codecs"
    ]
    printed = run("-c", INSTALL + "\n".join(lines)).split()
    assert set(printed) == set(modules) - {"asyncpg.protocol.codecs"}
    assert len(printed) == 2 * (len(modules) - 1)


@pytest.mark.checklist("PKG-4", "PKG-5")
def test_as_other_packages_import_it() -> None:
    run(
        "-c",
        INSTALL
        + """
from importlib.util import find_spec
import asyncpg
# Reached after nothing but that.
asyncpg.pool.PoolConnectionProxy, asyncpg.exceptions.DataError, asyncpg.connect_utils._connect_addr
asyncpg.compat.wait_for = asyncpg.compat.wait_for
from asyncpg import *
connect, create_pool, Connection, Pool, Record, UniqueViolationError
assert "Range" not in globals()
from asyncpg import BitString, Range
from asyncpg.connection import Connection, LoggedQuery, connect
from asyncpg.connect_utils import SessionAttribute, SSLMode, SSLNegotiation
from asyncpg.cursor import BaseCursor, Cursor, CursorFactory, CursorIterator
from asyncpg.exceptions import PostgresError, UniqueViolationError
from asyncpg.exceptions._base import InterfaceError, PostgresMessage
from asyncpg.pgproto.pgproto import UUID
from asyncpg.pool import Pool, PoolAcquireContext, PoolConnectionProxy, create_pool
from asyncpg.prepared_stmt import PreparedStatement
from asyncpg.protocol import Record
from asyncpg.transaction import ISOLATION_LEVELS, Transaction, TransactionState
assert Connection is asyncpg.Connection and create_pool is asyncpg.create_pool
assert issubclass(Cursor, BaseCursor) and issubclass(CursorIterator, BaseCursor)
assert find_spec("asyncpg") is not None and find_spec("asyncpg.pool") is not None
assert asyncpg.serverversion.split_server_version_string(version_string="16.4 (Debian)").major == 16
assert asyncpg.utils._quote_ident('a"b') == '"a""b"' and asyncpg.utils._quote_literal("it's") == "'it''s'"
""",
    )


def test_nothing_shows_until_it_is_installed() -> None:
    run(
        "-c",
        """
import sys
import pgsansio_asyncio
assert not [name for name in sys.modules if "asyncpg" in name], sys.modules
pgsansio_asyncio.install_as_asyncpg()
import asyncpg
# Whoever replaces something in there does not touch the rest.
for ours, theirs in [
    (pgsansio_asyncio.Connection, asyncpg.Connection),
    (pgsansio_asyncio.Pool, asyncpg.Pool),
    (pgsansio_asyncio.cursor.BaseCursor, asyncpg.cursor.BaseCursor),
    (pgsansio_asyncio.cursor.Cursor, asyncpg.cursor.Cursor),
    (pgsansio_asyncio.cursor.CursorIterator, asyncpg.cursor.CursorIterator),
    (pgsansio_asyncio.prepared_stmt.PreparedStatement, asyncpg.prepared_stmt.PreparedStatement),
    (pgsansio_asyncio.transaction.Transaction, asyncpg.transaction.Transaction),
]:
    assert ours is not theirs and issubclass(theirs, ours)
assert asyncpg.DataError is pgsansio_asyncio.DataError and asyncpg.Record is pgsansio_asyncio.Record
""",
    )


def test_a_second_call_does_nothing() -> None:
    run("-c", f"{INSTALL}import asyncpg, sys\n{INSTALL}assert sys.modules['asyncpg'] is asyncpg")


@pytest.mark.parametrize("module", ["asyncpg", "asyncpg.exceptions"])
def test_too_late(module: str) -> None:
    code = f"import {module}\n{INSTALL}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 1
    assert "InterfaceError: cannot install as asyncpg: asyncpg itself was imported before\nHINT:  Call" in done.stderr


def test_what_is_not_there_says_so() -> None:
    printed = run(
        "-c",
        INSTALL
        + """
import asyncpg
from asyncpg.cluster import Cluster, ClusterError, HotStandbyCluster, RunningCluster, TempCluster
for cluster in (Cluster, HotStandbyCluster, RunningCluster, TempCluster):
    try:
        cluster("/data")
    except asyncpg.UnsupportedClientFeatureError as error:
        print(error)
try:
    import asyncpg._testbase
except ModuleNotFoundError as error:
    print(error)
""",
    ).splitlines()
    assert printed[:2] == [
        "asyncpg.cluster.Cluster is not in pgsansio",
        "HINT:  Use `async with pgsansio_asyncio.cluster.TempCluster() as cluster`.",
    ]
    assert len(printed) == 9
    assert printed[-1] == "No module named 'asyncpg._testbase'"


@pytest.mark.checklist("PKG-1")
@pytest.mark.parametrize(
    "imported", [f"{INSTALL}import asyncpg", "import pgsansio_asyncio as asyncpg"], ids=["installed", "imported"]
)
def test_a_program_for_asyncpg(imported: str, postgres: Server) -> None:
    """One that uses the top level of the package only."""
    printed = run(
        "-c",
        imported
        + """
import asyncio, sys

class Row(asyncpg.Record):
    def __getattr__(self, name):
        return self[name]

async def main():
    connection = await asyncpg.connect(sys.argv[1], record_class=Row, loop=None)
    try:
        query = "SELECT $1::int4range AS range, $2::point AS point"
        row = await connection.fetchrow(query, asyncpg.Range(1, 3), (1, 2))
        print(row.range == asyncpg.Range(1, 3), isinstance(row.point, asyncpg.Point), isinstance(row, asyncpg.Record))
        await connection.execute("SELECT 1 / $1::int", 0)
    except asyncpg.exceptions.DivisionByZeroError as error:
        print(isinstance(error, asyncpg.DataError), error.sqlstate)
    finally:
        await connection.close()
    async with asyncpg.create_pool(sys.argv[1], min_size=1, max_size=2) as pool, pool.acquire() as connection:
        print(isinstance(connection, asyncpg.Connection), isinstance(connection, asyncpg.pool.PoolConnectionProxy))
        async with connection.transaction() as transaction:
            print(transaction, await connection.fetchval("SELECT 1"))

asyncio.run(main())
""",
        postgres.dsn,
    )
    assert printed.split() == ["True", "True", "True", "True", "22012", "True", "True", "None", "1"]
