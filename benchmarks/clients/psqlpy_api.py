"""psqlpy: tokio-postgres, in threads of its own. Rows are dicts; making them belongs to an operation."""

import asyncio
import importlib
from typing import Any

from benchmarks.cases import PREFETCH, Case
from benchmarks.clients.client import Client, Operation
from benchmarks.tables import BATCH, RECORD

__all__ = ["Psqlpy"]


class Psqlpy(Client):
    connection: Any

    async def open(self) -> None:
        self.library: Any = importlib.import_module("psqlpy")
        self.connection = await self.library.connect(dsn=self.dsn)

    async def execute(self, sql: str) -> None:
        await self.connection.execute(sql)

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.plain((await self.connection.fetch(sql)).result())

    def plain(self, rows: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in rows]

    async def value(self, case: Case) -> Operation:
        fetch_val, sql = self.connection.fetch_val, case.sql
        return lambda: fetch_val(sql)

    async def row(self, case: Case) -> Operation:
        fetch_row, sql, keys = self.connection.fetch_row, case.sql, self.keys()

        async def operation() -> Any:
            return (await fetch_row(sql, [next(keys)])).result()

        return operation

    #: It pipelines what several tasks ask of one connection.
    tasks = row

    async def rows(self, case: Case) -> Operation:
        fetch, sql = self.connection.fetch, case.sql

        async def operation() -> Any:
            # Without a list of arguments it prepares the statement anew, every time.
            return (await fetch(sql, [])).result()

        return operation

    memory = rows

    async def cursor(self, case: Case) -> Operation:
        connection, sql = self.connection, case.sql

        async def operation() -> tuple[int, Any]:
            count, last = 0, None
            async with connection.transaction() as transaction, transaction.cursor(sql, array_size=PREFETCH) as cursor:
                while rows := (await cursor.fetchmany()).result():
                    count += len(rows)
                    last = rows[-1]
            return count, last

        return operation

    async def many(self, case: Case) -> Operation:
        connection, sql, records = self.connection, case.sql, [list(RECORD)] * BATCH

        async def operation() -> None:
            async with connection.transaction() as transaction:
                await transaction.execute_many(sql, records)

        return operation

    async def transaction(self, case: Case) -> Operation:
        connection, sql, keys = self.connection, case.sql, self.keys()

        async def operation() -> Any:
            async with connection.transaction() as transaction:
                return (await transaction.fetch_row(sql, [next(keys)])).result()

        return operation

    async def pool(self, case: Case) -> Operation:
        pool = self.library.ConnectionPool(dsn=self.dsn, max_db_pool_size=case.connections)
        self.of_case.callback(pool.close)
        acquire, sql, keys = pool.acquire, case.sql, self.keys()

        async def operation() -> Any:
            async with acquire() as connection:
                return (await connection.fetch_row(sql, [next(keys)])).result()

        return operation

    async def connect(self, case: Case) -> Operation:
        connect, dsn = self.library.connect, self.places[case.name]
        # A connection string alone gives it no TLS.
        mode = self.library.SslMode.Require if "sslmode=require" in dsn else self.library.SslMode.Disable

        async def operation() -> None:
            connection = await connect(dsn=dsn, ssl_mode=mode)
            connection.close()

        return operation

    async def notify(self, case: Case) -> Operation:
        pool = self.library.ConnectionPool(dsn=self.dsn, max_db_pool_size=2)  # the least it takes
        self.of_case.callback(pool.close)
        listener, execute, sql = pool.listener(), self.connection.execute, f"NOTIFY {case.sql}, 'news'"
        received: asyncio.Queue[str] = asyncio.Queue()

        async def callback(connection: object, payload: str, channel: str, process_id: int) -> None:
            received.put_nowait(payload)

        await listener.add_callback(channel=case.sql, callback=callback)
        await listener.startup()
        self.of_case.push_async_callback(listener.shutdown)
        listener.listen()
        # LISTEN is sent by and by: what is told before is lost, and what is told again may come late.
        while received.empty():
            await execute(f"NOTIFY {case.sql}")
            await asyncio.sleep(0.01)

        async def operation() -> str:
            await execute(sql)
            while not (payload := await received.get()):
                pass
            return payload

        return operation
