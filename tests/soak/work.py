"""What the tasks do, and how they are disturbed."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import anyio
import sniffio

from tests.soak.ledger import DONE, NOT_DONE, Ledger

__all__ = ["Worker", "WrongResult"]

_LONG_RESULT_ROWS: Final = 300
#: Cancellations come within so many seconds of work; waiting for a connection takes longer.
_SHORT_SECONDS: Final = 0.02


class WrongResult(Exception):
    """What came was not what was asked for."""


class _OnPurpose(Exception):
    """A transaction that is to be rolled back."""


class Worker:
    """One task's doings.

    Args:
        clock: seconds.
    """

    def __init__(
        self, pool: Any, ledger: Ledger, chance: random.Random, counts: Counter[str], wait_seconds: float
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._chance = chance
        self._counts = counts
        self._wait_seconds = wait_seconds
        self._doings: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (30, self._read), (20, self._write), (10, self._write_in_a_transaction), (5, self._write_many),
            (5, self._copy), (10, self._long_result), (5, self._cursor), (5, self._sleep), (5, self._mistake),
            (5, self._idle),
        ]  # fmt: skip
        self._weights = [weight for weight, _ in self._doings]

    async def do_something(self) -> None:
        """One operation, perhaps disturbed.

        Raises:
            WrongResult: and nothing else.
        """
        ((_, doing),) = self._chance.choices(self._doings, self._weights)
        disturbance = self._chance.choices([self._in_peace, self._in_a_scope, self._natively_cancelled], [70, 20, 10])[
            0
        ]
        try:
            await disturbance(doing)
        except WrongResult:
            raise
        except Exception as error:
            name = type(error).__name__
            # Of wrong use there should be none: which one it is.
            self._counts[f"{name}: {error}" if "Interface" in name or "Internal" in name else name] += 1
        self._counts["operations"] += 1

    # how it is disturbed

    async def _in_peace(self, doing: Callable[[], Awaitable[None]]) -> None:
        await doing()

    async def _in_a_scope(self, doing: Callable[[], Awaitable[None]]) -> None:
        with anyio.move_on_after(self._chance.random() * self._patience()) as scope:
            await doing()
        self._counts["cancelled by a scope"] += scope.cancelled_caught

    async def _natively_cancelled(self, doing: Callable[[], Awaitable[None]]) -> None:
        """By what asyncio has of its own: time limits, and cancel(), perhaps again while the first one is obeyed."""
        if sniffio.current_async_library() != "asyncio":
            await self._in_a_scope(doing)
            return
        seconds = self._chance.random() * self._patience()
        if self._chance.random() < 0.5:
            async with asyncio.timeout(seconds):
                await doing()
            return
        task = asyncio.ensure_future(doing())
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(seconds, task.cancel), loop.call_later(seconds * 1.1, task.cancel)]
        try:
            await task
        except asyncio.CancelledError:
            self._counts["cancelled as a task"] += 1
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
        finally:
            for timer in timers:
                timer.cancel()

    def _patience(self) -> float:
        return _SHORT_SECONDS if self._chance.random() < 0.5 else self._wait_seconds

    def _timeout(self) -> dict[str, float]:
        """Arguments of a call: a time limit now and then."""
        if self._chance.random() < 0.9:
            return {}
        return {"timeout": 0.001 + self._chance.random() * self._patience()}

    @contextlib.asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Any]:
        async with self._pool.acquire(**self._timeout()) as connection:
            if self._chance.random() < 0.1:
                with anyio.move_on_after(self._chance.random() * _SHORT_SECONDS) as scope:
                    yield connection
                self._counts["cancelled by a scope"] += scope.cancelled_caught
            else:
                yield connection

    # what is done

    async def _read(self) -> None:
        token = self._chance.getrandbits(60)
        self._check(token, await self._pool.fetchval("SELECT $1::int8", token, **self._timeout()))

    async def _long_result(self) -> None:
        token = self._chance.getrandbits(60)
        rows = await self._pool.fetch(
            "SELECT i FROM generate_series($1::int8, $1 + $2 - 1) AS i", token, _LONG_RESULT_ROWS, **self._timeout()
        )
        self._check(list(range(token, token + _LONG_RESULT_ROWS)), [row[0] for row in rows])

    async def _cursor(self) -> None:
        token = self._chance.getrandbits(60)
        async with self._acquired() as connection, connection.transaction(readonly=True):
            expected = token
            query = "SELECT i FROM generate_series($1::int8, $1 + 99) AS i"
            async for row in connection.cursor(query, token, prefetch=20):
                self._check(expected, row[0])
                expected += 1
                if self._chance.random() < 0.02:
                    break

    async def _sleep(self) -> None:
        async with self._acquired() as connection:
            await connection.execute("SELECT pg_sleep($1)", self._chance.random() * _SHORT_SECONDS, **self._timeout())

    async def _mistake(self) -> None:
        async with self._acquired() as connection:
            await connection.fetchval("SELECT 1 / $1::int", 0, **self._timeout())

    async def _idle(self) -> None:
        async with self._acquired():
            await anyio.sleep(self._chance.random() * _SHORT_SECONDS)

    async def _write(self) -> None:
        async with self._entries() as rows:
            await self._pool.execute("INSERT INTO ledger VALUES ($1, $2, $3)", *rows[0], **self._timeout())

    async def _write_in_a_transaction(self) -> None:
        refused = self._chance.random() < 0.2
        async with self._acquired() as connection, self._entries(3, refused=refused) as rows, connection.transaction():
            for row in rows:
                await connection.execute("INSERT INTO ledger VALUES ($1, $2, $3)", *row, **self._timeout())
            if refused:
                raise _OnPurpose

    async def _write_many(self) -> None:
        async with self._acquired() as connection, self._entries(20) as rows:
            await connection.executemany("INSERT INTO ledger VALUES ($1, $2, $3)", rows, **self._timeout())

    async def _copy(self) -> None:
        async with self._acquired() as connection, self._entries(20) as rows:
            await connection.copy_records_to_table("ledger", records=rows, columns=Ledger.COLUMNS, **self._timeout())

    @contextlib.asynccontextmanager
    async def _entries(self, count: int = 1, *, refused: bool = False) -> AsyncIterator[list[tuple[int, int, int]]]:
        """New entries; what becomes of them is known when the block ends.

        Args:
            refused: the block will end by an error that rolls them back.
        """
        rows = self._ledger.open(count)
        try:
            yield rows
        except Exception as error:
            if getattr(error, "safe_to_retry", False) or (refused and isinstance(error, _OnPurpose)):
                self._ledger.close(rows, NOT_DONE, error)
            raise
        else:
            self._ledger.close(rows, DONE)

    def _check(self, expected: object, found: object) -> None:
        if expected != found:
            raise WrongResult(f"{found!r} in the place of {expected!r}")
