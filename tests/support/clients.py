"""The client under test: ours on the running loop, or asyncpg, behind one face."""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import anyio
import asyncpg

from tests.support.servers import Server

__all__ = [
    "PATIENCE_SECONDS",
    "RUNS_PG_SLEEP",
    "Client",
    "at_once",
    "encrypted_client",
    "eventually",
    "ours",
    "until",
]

T = TypeVar("T")

#: What has to happen soon has happened by then, also on a loaded machine.
PATIENCE_SECONDS = 30.0

#: A condition for `until`: the backend with this pid runs the query that tests interrupt. It is already shown as active
#: while it is parsed, and a CancelRequest that comes between parsing and running does nothing.
RUNS_PG_SLEEP = (
    "SELECT count(*) = 1 FROM pg_stat_activity "
    "WHERE pid = $1 AND state = 'active' AND wait_event = 'PgSleep' AND query LIKE '%pg_sleep(60)%'"
)


@dataclass(frozen=True)
class Client:
    """A driver with asyncpg's interface, and the server it connects to."""

    module: ModuleType
    server: Server
    #: Over TCP, and encrypted.
    encrypted: bool = False

    def __getattr__(self, name: str) -> Any:
        """Exceptions and the like, by the names that both modules have: `client.InterfaceError`."""
        return getattr(self.module, name)

    @property
    def is_ours(self) -> bool:
        return self.module.__name__ != "asyncpg"

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Arguments of connect(): the server's Unix socket (or, encrypted, its address), and these."""
        server = self.server
        return {
            "host": server.host if self.encrypted else server.socket_dir,
            "port": server.port,
            "user": server.user,
            "password": server.password,
            "database": server.database,
            **({"ssl": "require"} if self.encrypted else {}),
            **settings,
        }

    @contextlib.asynccontextmanager
    async def connect(self, **settings: Any) -> AsyncIterator[Any]:
        """A connection, closed when the block ends (asyncpg has no such thing of its own)."""
        connecting = self.module.connect(**self.settings(**settings))
        if self.is_ours:
            async with connecting as connection:
                yield connection
            return
        connection = await connecting
        try:
            yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await connection.close()


def ours(loop: str, server: Server, *, encrypted: bool = False) -> Client:
    """Our client for the running loop: `loop` as anyio names it."""
    return Client(importlib.import_module(f"pgsansio_{loop}"), server, encrypted)


@contextlib.asynccontextmanager
async def encrypted_client(which: str, loop: str, server: Server) -> AsyncIterator[Client]:
    """`which` is "asyncpg" or "ours". asyncpg leaves connections over TLS that have failed to end by themselves; they
    are waited for when the block ends."""
    if which != "asyncpg":
        yield ours(loop, server)
        return
    sockets = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
    before = len(sockets)
    yield Client(asyncpg, server)
    await eventually(lambda: len(sockets) <= before)


async def until(connection: Any, condition: str, *args: object) -> None:
    """Wait until this SQL condition holds, as seen over `connection` (not the one under test).

    Raises:
        TimeoutError: it never did.
    """
    with anyio.fail_after(PATIENCE_SECONDS):
        # The server does the waiting between two looks.
        while not await connection.fetchval(f"SELECT ({condition}) FROM pg_sleep(0.005)", *args):
            pass


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until this holds: for what happens on the client by itself, and is told to nobody.

    The only place where a test sleeps. How long never matters, except to who waits.

    Raises:
        TimeoutError: it never did.
    """
    with anyio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)


async def at_once(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
    """Run these in tasks of their own, started in this order; their results or errors, in the same order."""
    outcomes: dict[int, T | Exception] = {}

    async def run(index: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            outcomes[index] = await call()
        except Exception as error:
            outcomes[index] = error

    async with anyio.create_task_group() as tasks:
        for index, call in enumerate(calls):
            tasks.start_soon(run, index, call)
    return [outcomes[index] for index in sorted(outcomes)]
