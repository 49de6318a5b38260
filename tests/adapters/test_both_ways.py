"""Much data both ways at once: nobody waits for ever for the other side to read, and nothing loses its order."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import anyio.abc
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client, at_once, ours

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def client(request: pytest.FixtureRequest, anyio_backend_name: str) -> Client:
    """In plain text over a Unix socket, and encrypted over TCP."""
    server = request.getfixturevalue("tls_postgres" if request.param else "postgres")
    return ours(anyio_backend_name, server, encrypted=request.param)


MEGABYTE = 1 << 20


def text(number: int) -> str:
    """A megabyte that tells which one it is, and where a part of it comes from."""
    return "".join(f"{number:02}:{position:05} " for position in range(MEGABYTE // 9))


async def test_large_arguments_and_results_at_once(connection: Any) -> None:
    texts = [text(number) for number in range(16)]
    await connection.fetchval("SELECT $1::text", "prepared")
    with anyio.fail_after(PATIENCE_SECONDS):
        assert await at_once(partial(connection.fetchval, "SELECT $1::text", t) for t in texts) == texts


async def test_large_results_before_large_arguments(connection: Any) -> None:
    """What is sent next is long, while a long result comes."""

    async def call(number: int) -> Any:
        if number % 2:
            return await connection.fetchval("SELECT length($1::text)", text(number))
        return await connection.fetchval("SELECT repeat('x', $1)", MEGABYTE)

    with anyio.fail_after(PATIENCE_SECONDS):
        results = await at_once(partial(call, number) for number in range(16))
    assert results == [len(text(number)) if number % 2 else "x" * MEGABYTE for number in range(16)]


async def test_a_script_both_ways(connection: Any) -> None:
    """4 MB out, 8 MB back."""
    script = "; ".join(f"SELECT '{text(number)}', repeat('y', {MEGABYTE})" for number in range(4))
    with anyio.fail_after(PATIENCE_SECONDS):
        assert await connection.execute(script) == "SELECT 1"
        assert await connection.fetchval("SELECT 5") == 5


async def test_many_executions_with_results(connection: Any) -> None:
    """Their rows are not wanted, but come: 16 MB each way under one Sync, and the server reads no more than it can
    answer."""
    line = "z" * 16384
    with anyio.fail_after(PATIENCE_SECONDS):
        await connection.executemany("SELECT $1::text", ((line,) for _ in range(1024)))
        assert await connection.fetchval("SELECT 6") == 6


class SlowProxy:
    """Between a client and the server: passes on little at a time, and stops once until it is told to go on."""

    def __init__(
        self, target: Callable[[], Awaitable[anyio.abc.ByteStream]], chunk_bytes: int, stops_after_bytes: int
    ) -> None:
        self._target = target
        self._chunk_bytes = chunk_bytes
        self._until_stop = stops_after_bytes
        self.stopped = anyio.Event()
        self.may_go_on = anyio.Event()

    async def serve(self, client: anyio.abc.ByteStream) -> None:
        async with client, await self._target() as server, anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_on, client, server, tasks.cancel_scope)
            tasks.start_soon(self._pass_on, server, client, tasks.cancel_scope)

    async def _pass_on(
        self, source: anyio.abc.ByteStream, sink: anyio.abc.ByteStream, scope: anyio.CancelScope
    ) -> None:
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                data = await source.receive(self._chunk_bytes)
                self._until_stop -= len(data)
                if self._until_stop < 0:
                    self.stopped.set()
                    await self.may_go_on.wait()
                await sink.send(data)
        scope.cancel()


@pytest.fixture
async def slow(client: Client) -> AsyncIterator[tuple[SlowProxy, Any]]:
    """A proxy, and a connection through it."""
    server = client.server
    connect = (
        partial(anyio.connect_tcp, server.host, server.port)
        if client.encrypted
        else partial(anyio.connect_unix, f"{server.socket_dir}/.s.PGSQL.{server.port}")
    )
    proxy = SlowProxy(connect, 3000, stops_after_bytes=200_000)
    with tempfile.TemporaryDirectory() as folder:
        listener: Any
        if client.encrypted:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            settings = {"port": listener.extra(anyio.abc.SocketAttribute.local_port)}
        else:
            listener = await anyio.create_unix_listener(f"{folder}/.s.PGSQL.5432")
            settings = {"host": folder, "port": 5432}
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, proxy.serve)
            async with client.connect(**settings) as connection:
                yield proxy, connection
            tasks.cancel_scope.cancel()


async def test_a_slow_peer(slow: tuple[SlowProxy, Any], observer: Any) -> None:
    proxy, connection = slow
    texts = [text(number)[:100_000] for number in range(16)]
    got: dict[int, str] = {}
    asked: list[int] = []
    served: dict[int, int] = {}
    await connection.execute("CREATE TEMP SEQUENCE s")
    query = "SELECT $1::text, nextval('s')"
    await connection.fetchrow(query, "prepared")

    async def ask(number: int) -> None:
        asked.append(number)
        got[number], served[number] = await connection.fetchrow(query, texts[number])

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(ask, number)
            await proxy.stopped.wait()
            # Now nothing moves, until all buffers are full: the server does the waiting.
            await observer.fetchval("SELECT true FROM pg_sleep(0.05)")
            assert len(got) < 16
            proxy.may_go_on.set()
    assert got == dict(enumerate(texts))
    assert [served[number] for number in asked] == list(range(2, 18))


async def test_cancelled_while_a_slow_peer_has_stopped(slow: tuple[SlowProxy, Any], observer: Any) -> None:
    """Half of an argument is written: the rest keeps its place, or the connection is given up."""
    proxy, connection = slow
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connection.fetchval, "SELECT length($1::text)", text(1) * 4)
            await proxy.stopped.wait()
            await observer.fetchval("SELECT true FROM pg_sleep(0.05)")
            proxy.may_go_on.set()
            tasks.cancel_scope.cancel()
        if not connection.is_closed():
            assert await connection.fetchval("SELECT $1::int", 1) == 1
