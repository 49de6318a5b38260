"""An event loop made by hand with `selectors`, and several coroutines at once on one connection of it.

    python examples/selectors_loop.py postgresql://user:password@host:port/database

How this works. A coroutine that has to wait yields a condition. The loop goes on with every task whose condition has
become true; when there is none it writes what is pending, and waits for the sockets or the next deadline. The sockets
are those of `blocking_client.py`; only waiting is different.
"""

import getpass
import math
import os
import selectors
import sys
import time
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, cast

from blocking_client import BlockingPort

from pgsansio.client import Connection, connecting
from pgsansio.client.port import Address
from pgsansio.engine.driven import Engine
from pgsansio.policy.conninfo import resolve_settings

T = TypeVar("T")


@types.coroutine
def _until(condition: Callable[[], bool]) -> Generator[Callable[[], bool], None, None]:
    yield condition


class Task(Generic[T]):
    """A coroutine that runs beside others."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.coroutine = coroutine
        self.condition: Callable[[], bool] = lambda: True
        #: When its innermost deadline is.
        self.at = math.inf
        self.done = False
        self._result: T | None = None
        self._error: BaseException | None = None

    def step(self, *, expired: bool) -> None:
        """Go on until the next wait, or to the end."""
        try:
            self.condition = self.coroutine.throw(TimeoutError()) if expired else self.coroutine.send(None)
        except StopIteration as end:
            self.done, self._result = True, end.value
        except BaseException as error:
            self.done, self._error = True, error

    async def join(self) -> T:
        """Wait for its end; as `result`."""
        await _until(lambda: self.done)
        return self.result()

    def result(self) -> T:
        """What it has returned, or raises what it has raised."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


class Loop:
    """Tasks, and the sockets that they wait for."""

    def __init__(self) -> None:
        self.current: Task[Any]
        self._tasks: list[Task[Any]] = []
        self.ports: set[LoopPort] = set()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        task = Task(coroutine)
        self._tasks.append(task)
        return task

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it, and all that it starts, to its end."""
        main = self.start(coroutine)
        while not main.done:
            if not self._run_tasks():
                self._wait_for_sockets()
        return main.result()

    def _run_tasks(self) -> bool:
        """Go on with each task that can; whether there was one."""
        now, ran = time.monotonic(), False
        for task in list(self._tasks):
            expired = task.at <= now
            if task.condition() or expired:
                self.current, ran = task, True
                task.step(expired=expired and not task.condition())
        self._tasks = [task for task in self._tasks if not task.done]
        return ran

    def _wait_for_sockets(self) -> None:
        with selectors.DefaultSelector() as selector:
            for port in self.ports:
                port.flush()
                selector.register(
                    port.socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if port.unsent else 0), port
                )
            at = min((task.at for task in self._tasks), default=math.inf)
            for key, events in selector.select(None if at == math.inf else max(at - time.monotonic(), 0)):
                if events & selectors.EVENT_READ:
                    cast("LoopPort", key.data).receive()


class LoopPort(BlockingPort):
    """A connection's socket in a `Loop`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def sibling(self) -> "LoopPort":
        return LoopPort(self._loop)

    def task(self) -> object:
        return self._loop.current

    async def open_stream(self, address: Address, engine: Engine) -> None:
        await super().open_stream(address, engine)  # connecting blocks the loop here, for brevity
        self._loop.ports.add(self)

    def shut(self) -> None:
        self._loop.ports.discard(self)
        super().shut()

    def fed(self) -> None:
        super().fed()
        if self.engine.cancel_due and self.on_cancel_due is not None:
            self._start(self.on_cancel_due)

    async def until(self, done: Callable[[], bool]) -> None:
        await _until(done)

    @asynccontextmanager
    async def deadline(self, at: float | None) -> AsyncGenerator[None]:
        task = self._loop.current
        outer = task.at
        own = math.inf if at is None else at
        task.at = min(own, outer)
        try:
            yield
        except TimeoutError as error:
            # Another error than the one that went through the block says whose limit it was.
            if type(error) is TimeoutError and error.errno is None and own <= outer:
                raise TimeoutError from error
            raise
        finally:
            task.at = outer

    async def owe(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._start(work).at = self.clock() + seconds

    def _start(self, work: Callable[[], Awaitable[None]]) -> Task[None]:
        async def run() -> None:
            await work()

        return self._loop.start(run())


async def main(loop: Loop, dsn: str) -> None:
    settings = resolve_settings(
        dsn, environment=os.environ, os_user=getpass.getuser(), home=None, platform=sys.platform
    )
    connection = await connecting.connect(lambda: LoopPort(loop), settings, Connection)

    # Three tasks on one connection: their queries go out together, and are answered in order.
    tasks = [loop.start(connection.fetchval("SELECT $1::int * 2", number)) for number in (1, 2, 3)]
    print(*[await task.join() for task in tasks])

    # A task beside that listens.
    async def listen() -> str:
        async with connection.notifications("ripe") as notifications:
            async for notification in notifications:
                return str(notification)
        raise AssertionError("notifications end only with their connection")

    listener = loop.start(listen())
    await connection.fetchval("SELECT 1")
    await connection.execute("NOTIFY ripe, 'pear'")
    print(await listener.join())

    try:
        await connection.execute("SELECT pg_sleep(60)", timeout=0.1)
    except TimeoutError:
        print("cancelled", await connection.fetchval("SELECT 'and still usable'"))
    await connection.close()


if __name__ == "__main__":
    own_loop = Loop()
    own_loop.run(main(own_loop, sys.argv[1]))
