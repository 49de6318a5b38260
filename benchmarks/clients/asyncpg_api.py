"""asyncpg, this project's two adapters, and triopg: one API."""

import importlib
import warnings
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from benchmarks.cases import PREFETCH, Case, Shape
from benchmarks.clients.client import Client, Operation
from benchmarks.loops import Signal, lending
from benchmarks.tables import BATCH, COPIED, RECORD, SCHEMA

__all__ = [
    "Asyncpg",
    "Bare",
    "Dedicated",
    "Grouped",
    "Multiplexed",
    "PgsansioAsyncio",
    "PgsansioTrio",
    "Pure",
    "Triopg",
]


class _Queries(Client):
    """What even triopg can do."""

    connection: Any

    async def execute(self, sql: str) -> None:
        await self.connection.execute(sql)

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.plain(await self.connection.fetch(sql))

    async def value(self, case: Case) -> Operation:
        return partial(self.connection.fetchval, case.sql)

    async def row(self, case: Case) -> Operation:
        fetchrow, sql, keys = self.connection.fetchrow, case.sql, self.keys()
        return lambda: fetchrow(sql, next(keys))

    async def rows(self, case: Case) -> Operation:
        return partial(self.connection.fetch, case.sql)


class Asyncpg(_Queries):
    library: Any

    async def open(self) -> None:
        self.library = importlib.import_module("asyncpg")
        self.connection = await self._another(self.stack)

    memory = _Queries.rows

    async def cursor(self, case: Case) -> Operation:
        connection, sql = self.connection, case.sql

        async def operation() -> tuple[int, Any]:
            count, row = 0, None
            async with connection.transaction():
                async for row in connection.cursor(sql, prefetch=PREFETCH):  # noqa: B007
                    count += 1
            return count, row

        return operation

    #: What comes nearest to it.
    stream = cursor

    async def many(self, case: Case) -> Operation:
        return partial(self.connection.executemany, case.sql, [RECORD] * BATCH)

    async def copy_in(self, case: Case) -> Operation:
        records = [RECORD] * COPIED
        return partial(self.connection.copy_records_to_table, case.sql, schema_name=SCHEMA, records=records)

    async def copy_raw(self, case: Case) -> Operation:
        connection, sql = self.connection, case.sql

        async def operation() -> int:
            size = 0

            async def sink(data: bytes) -> None:
                nonlocal size
                size += len(data)

            await connection.copy_from_query(sql, output=sink)
            return size

        return operation

    async def copy_typed(self, case: Case) -> Operation:
        fetch, sql = self.connection.fetch, case.sql

        async def operation() -> tuple[int, Any]:
            rows = await fetch(sql)
            return len(rows), rows[-1]

        return operation

    async def transaction(self, case: Case) -> Operation:
        connection, sql, keys = self.connection, case.sql, self.keys()

        async def operation() -> Any:
            async with connection.transaction():
                return await connection.fetchrow(sql, next(keys))

        return operation

    async def _open_pool(self, connections: int, **options: object) -> Any:
        pool = self.library.create_pool(self.dsn, min_size=connections, max_size=connections, **options)
        return await self.of_case.enter_async_context(pool)

    async def pool(self, case: Case) -> Operation:
        fetchrow, sql, keys = (await self._open_pool(case.connections)).fetchrow, case.sql, self.keys()
        return lambda: fetchrow(sql, next(keys))

    #: Its connections do one thing at a time.
    tasks = pool

    async def connect(self, case: Case) -> Operation:
        connect, dsn = self.library.connect, self.places[case.name]

        async def operation() -> None:
            connection = await connect(dsn)
            await connection.close()

        return operation

    async def notify(self, case: Case) -> Operation:
        sender = self.connection
        signals: list[Signal] = []
        payloads: list[str] = []
        listener = await self._another(self.of_case)

        def received(connection: object, pid: int, channel: str, payload: str) -> None:
            payloads.append(payload)
            signals.pop().set()

        await listener.add_listener(case.sql, received)
        make_signal, sql = self.loop.signal, f"NOTIFY {case.sql}, 'news'"

        async def operation() -> str:
            signal = make_signal()
            signals.append(signal)
            await sender.execute(sql)
            await signal.wait()
            return payloads.pop()

        return operation

    async def _another(self, stack: AsyncExitStack) -> Any:
        connection = await self.library.connect(self.dsn)
        stack.push_async_callback(connection.close)
        return connection


class Dedicated(Asyncpg):
    """Tasks that take a connection from a list and put it back: no pool, and so no reset."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return frozenset({Shape.TASKS})

    async def tasks(self, case: Case) -> Operation:
        connections = [await self._another(self.of_case) for _ in range(case.connections)]
        sql, keys = case.sql, self.keys()
        return lending([each.fetchrow for each in connections], lambda fetchrow: fetchrow(sql, next(keys)))


class PgsansioAsyncio(Asyncpg):
    module = "pgsansio_asyncio"

    async def open(self) -> None:
        self.library = importlib.import_module(self.module)
        self.connection = await self._another(self.stack)

    async def _another(self, stack: AsyncExitStack) -> Any:
        return await stack.enter_async_context(self.library.connect(self.dsn))

    async def stream(self, case: Case) -> Operation:
        connection, sql = self.connection, case.sql

        async def operation() -> tuple[int, Any]:
            count, row = 0, None
            async for row in connection.stream(sql):  # noqa: B007
                count += 1
            return count, row

        return operation

    async def copy_typed(self, case: Case) -> Operation:
        connection, sql = self.connection, case.sql

        async def operation() -> tuple[int, Any]:
            count, last = 0, None
            async with connection.copy_records_from_query(sql) as records:
                while batch := await records.batch():
                    count += len(batch)
                    last = batch[-1]
            return count, last

        return operation

    tasks = Asyncpg.row


class Multiplexed(PgsansioAsyncio):
    """A pool that gives two of its connections to its own queries."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return frozenset({Shape.POOL})

    async def _open_pool(self, connections: int, **options: object) -> Any:
        return await super()._open_pool(connections, multiplex=2)


class Pure(PgsansioAsyncio):
    """With the kernel in Python, which its process chooses by a variable."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return frozenset({Shape.VALUE, Shape.ROW, Shape.ROWS})


class Grouped(PgsansioAsyncio):
    """Lookups in a group with a Sync of its own, which the server carries out as a transaction."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return frozenset({Shape.TRANSACTION})

    async def transaction(self, case: Case) -> Operation:
        connection, sql, keys = self.connection, case.sql, self.keys()

        async def operation() -> Any:
            async with connection.pipeline() as pipeline:
                row = pipeline.fetchrow(sql, next(keys))
            return await row

        return operation


class Terminating(PgsansioAsyncio):
    """Does not wait until the server has ended the session, as psycopg does not."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return frozenset({Shape.CONNECT})

    async def connect(self, case: Case) -> Operation:
        connect, dsn = self.library.connect, self.places[case.name]

        async def operation() -> None:
            connection = await connect(dsn)
            connection.terminate()

        return operation


class PgsansioTrio(PgsansioAsyncio):
    module = "pgsansio_trio"

    async def connect(self, case: Case) -> Operation:
        connect, dsn = self.library.connect, self.places[case.name]

        async def operation() -> None:
            async with connect(dsn):
                pass

        return operation


class Bare(PgsansioTrio):
    """A connection that was awaited: without a nursery, and so without a task that reads."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return super().shapes() - {Shape.POOL, Shape.NOTIFY}

    async def _another(self, stack: AsyncExitStack) -> Any:
        connection = await self.library.connect(self.dsn)
        stack.push_async_callback(connection.close)
        return connection

    connect = Asyncpg.connect


class Triopg(_Queries):
    """asyncpg in trio, by way of trio-asyncio."""

    async def open(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.library: Any = importlib.import_module("triopg")
            trio_asyncio: Any = importlib.import_module("trio_asyncio")
        await self.stack.enter_async_context(trio_asyncio.open_loop())
        self.connection = await self.stack.enter_async_context(self.library.connect(self.dsn))

    connect = PgsansioTrio.connect
