"""psycopg 3 with its C part: binary, prepared, and with PostgreSQL's own placeholders."""

import importlib
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.cases import PREFETCH, Case, Shape
from benchmarks.clients.client import Client, Operation
from benchmarks.tables import BATCH, COPIED, RECORD, SCHEMA

__all__ = ["Pipelined", "Psycopg"]

_TYPES = ("int4", "int4", "int4", "text", "float8", "int4", "text")


class Psycopg(Client):
    connection: Any

    async def open(self) -> None:
        self.library: Any = importlib.import_module("psycopg")
        self.connection = await self._another(self.stack)

    async def _another(self, stack: AsyncExitStack) -> Any:
        connection = await self.library.AsyncConnection.connect(self.dsn, **self._options())
        stack.push_async_callback(connection.close)
        return connection

    def _options(self) -> dict[str, object]:
        # The first execution prepares, as asyncpg's does.
        return {"autocommit": True, "prepare_threshold": 0, "cursor_factory": self.library.AsyncRawCursor}

    async def execute(self, sql: str) -> None:
        await self.connection.execute(sql)

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.plain(await (await self.connection.execute(sql)).fetchall())

    async def value(self, case: Case) -> Operation:
        execute, sql = self.connection.execute, case.sql

        async def operation() -> Any:
            (value,) = await (await execute(sql, binary=True)).fetchone()
            return value

        return operation

    def _lookup(self, connection: Any, case: Case) -> Operation:
        execute, sql, keys = connection.execute, case.sql, self.keys()

        async def operation() -> Any:
            return await (await execute(sql, (next(keys),), binary=True)).fetchone()

        return operation

    async def row(self, case: Case) -> Operation:
        return self._lookup(self.connection, case)

    async def rows(self, case: Case) -> Operation:
        execute, sql = self.connection.execute, case.sql

        async def operation() -> Any:
            return await (await execute(sql, binary=True)).fetchall()

        return operation

    memory = rows

    async def cursor(self, case: Case) -> Operation:
        connection, server_cursor, sql = self.connection, self.library.AsyncRawServerCursor, case.sql

        async def operation() -> tuple[int, Any]:
            count, row = 0, None
            async with connection.transaction(), server_cursor(connection, "benchmark") as cursor:
                cursor.itersize = PREFETCH
                await cursor.execute(sql, binary=True)
                async for row in cursor:  # noqa: B007
                    count += 1
            return count, row

        return operation

    async def stream(self, case: Case) -> Operation:
        connection, sql = self.connection, case.sql
        # libpq gives rows in chunks since version 17.
        size = PREFETCH if self.library.pq.version() >= 170000 else 1

        async def operation() -> tuple[int, Any]:
            count, row = 0, None
            async with connection.cursor() as cursor:
                async for row in cursor.stream(sql, binary=True, size=size):  # noqa: B007
                    count += 1
            return count, row

        return operation

    async def many(self, case: Case) -> Operation:
        connection, sql, records = self.connection, case.sql, [RECORD] * BATCH

        async def operation() -> None:
            async with connection.cursor() as cursor:
                await cursor.executemany(sql, records)  # in one pipeline, and so in one transaction

        return operation

    async def copy_in(self, case: Case) -> Operation:
        connection, sql = self.connection, f"COPY {SCHEMA}.{case.sql} FROM STDIN (FORMAT binary)"
        records = [RECORD] * COPIED

        async def operation() -> None:
            async with connection.cursor() as cursor, cursor.copy(sql) as copy:
                copy.set_types(_TYPES)
                for record in records:
                    await copy.write_row(record)

        return operation

    async def copy_raw(self, case: Case) -> Operation:
        connection, sql = self.connection, f"COPY ({case.sql}) TO STDOUT"

        async def operation() -> int:
            size = 0
            async with connection.cursor() as cursor, cursor.copy(sql) as copy:
                async for data in copy:
                    size += len(data)
            return size

        return operation

    async def copy_typed(self, case: Case) -> Operation:
        connection, sql = self.connection, f"COPY ({case.sql}) TO STDOUT (FORMAT binary)"

        async def operation() -> tuple[int, Any]:
            count, row = 0, None
            async with connection.cursor() as cursor, cursor.copy(sql) as copy:
                copy.set_types(_TYPES)
                async for row in copy.rows():  # noqa: B007
                    count += 1
            return count, row

        return operation

    async def transaction(self, case: Case) -> Operation:
        connection, lookup = self.connection, self._lookup(self.connection, case)

        async def operation() -> Any:
            async with connection.transaction():
                return await lookup()

        return operation

    async def pool(self, case: Case) -> Operation:
        pools: Any = importlib.import_module("psycopg_pool")
        sizes = {"min_size": case.connections, "max_size": case.connections, "timeout": 600.0}
        pool = pools.AsyncConnectionPool(self.dsn, kwargs=self._options(), open=False, **sizes)
        await self.of_case.enter_async_context(pool)
        await pool.wait()
        connection, sql, keys = pool.connection, case.sql, self.keys()

        async def operation() -> Any:
            async with connection() as lent:
                return await (await lent.execute(sql, (next(keys),), binary=True)).fetchone()

        return operation

    async def connect(self, case: Case) -> Operation:
        connect, dsn = self.library.AsyncConnection.connect, self.places[case.name]

        async def operation() -> None:
            connection = await connect(dsn)
            await connection.close()

        return operation

    async def notify(self, case: Case) -> Operation:
        listener, execute = await self._another(self.of_case), self.connection.execute
        await listener.execute(f"LISTEN {case.sql}")
        sql = f"NOTIFY {case.sql}, 'news'"

        async def operation() -> str:
            await execute(sql)
            # Its generator of notifications holds the connection; one for each is how to get a single one.
            (notification,) = [each async for each in listener.notifies(stop_after=1)]
            return str(notification.payload)

        return operation


class Pipelined(Psycopg):
    """The same in pipeline mode, in which tasks can share a connection."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return frozenset({Shape.TASKS, Shape.TRANSACTION})

    async def tasks(self, case: Case) -> Operation:
        connection = await self._another(self.of_case)
        await self.of_case.enter_async_context(connection.pipeline())
        return self._lookup(connection, case)

    async def transaction(self, case: Case) -> Operation:
        connection, execute, sql, keys = self.connection, self.connection.execute, case.sql, self.keys()

        async def operation() -> Any:
            async with connection.pipeline():
                await execute("BEGIN")
                cursor = await execute(sql, (next(keys),), binary=True)
                await execute("COMMIT")
            # To ask for it within the pipeline would be another round trip.
            return await cursor.fetchone()

        return operation
