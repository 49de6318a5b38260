"""Servers of the test kit behind a socket."""

from types import ModuleType
from typing import Any

import anyio
import pytest

import pgsansio_asyncio.testing
import pgsansio_trio.testing
from pgsansio import ConnectionDoesNotExistError
from pgsansio.messages.frontend import Query
from pgsansio.messages.startup import StartupMessage
from pgsansio.testing import Recording, Replayer, ScriptedBackend, ScriptedServer, expect, hang_up, login
from tests.support.clients import PATIENCE_SECONDS, Client, eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
def kit(anyio_backend_name: str) -> ModuleType:
    return pgsansio_trio.testing if anyio_backend_name == "trio" else pgsansio_asyncio.testing


@pytest.fixture
def module(anyio_backend_name: str) -> ModuleType:
    return pgsansio_trio if anyio_backend_name == "trio" else pgsansio_asyncio


def scripted() -> ScriptedServer:
    server = ScriptedServer()
    server.answer("SELECT $1", parameters=["int4"], columns={"n": "int4"}, rows=lambda call: [call.arguments])
    server.answer("SELECT forever", waits=True)
    server.answer("SELECT large", columns={"t": "text"}, rows=[("x" * 1000,)] * 5000)
    return server


async def test_many_connections(kit: ModuleType, module: ModuleType) -> None:
    server, found = scripted(), []
    async with kit.serve(server) as dsn, module.create_pool(dsn, min_size=3, max_size=3) as pool:

        async def ask(number: int) -> None:
            found.append(await pool.fetchval("SELECT $1", number))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(ask, number)
        assert len(await pool.fetch("SELECT large")) == 5000
    assert sorted(found) == list(range(20))
    assert len(server.sessions) == 3
    await eventually(lambda: all(session.hung_up for session in server.sessions))


async def test_what_is_said_unasked(kit: ModuleType, module: ModuleType) -> None:
    server = scripted()
    with anyio.fail_after(PATIENCE_SECONDS):
        async with kit.serve(server) as dsn, module.connect(dsn) as connection:
            async with connection.notifications("jobs") as notifications:
                server.notify("jobs", "now")
                assert (await anext(notifications)).payload == "now"
            # Its CancelRequest comes by another connection.
            with pytest.raises(TimeoutError):
                await connection.execute("SELECT forever", timeout=0.05)
            assert await connection.fetchval("SELECT $1", 1) == 1
            assert server.cancel_requests == 1
            server.terminate()
            with pytest.raises(ConnectionDoesNotExistError, match="administrator command"):
                await connection.fetchval("SELECT $1", 1)


async def test_a_server_that_hangs_up(kit: ModuleType, module: ModuleType) -> None:
    script = [expect(StartupMessage), hang_up()]
    async with kit.serve(lambda address: ScriptedBackend(script)) as dsn:
        with pytest.raises((ConnectionDoesNotExistError, ConnectionError)):
            await module.connect(dsn)


async def test_what_a_peer_raises_ends_the_block(kit: ModuleType, module: ModuleType) -> None:
    async def talk() -> None:
        script = [*login(), expect(Query("SELECT 1"))]
        async with kit.serve(lambda address: ScriptedBackend(script)) as dsn, module.connect(dsn) as connection:
            with pytest.raises((ConnectionDoesNotExistError, ConnectionError)):
                await connection.execute("SELECT 2")

    with pytest.raises(AssertionError, match=r"expected Query.*SELECT 1.*, received Query.*SELECT 2"):
        await talk()


async def test_a_peer_that_cannot_be_made(kit: ModuleType, module: ModuleType) -> None:
    def make(address: object) -> ScriptedBackend:
        raise LookupError("there is none")

    async def talk() -> None:
        async with kit.serve(make) as dsn:
            with pytest.raises((ConnectionDoesNotExistError, ConnectionError)):
                await module.connect(dsn)

    with pytest.raises(LookupError, match="there is none"):
        await talk()


async def test_connections_that_are_left_open_end_with_the_block(kit: ModuleType, module: ModuleType) -> None:
    async with kit.serve(scripted()) as dsn:
        connection = await module.connect(dsn)
    with pytest.raises((ConnectionDoesNotExistError, ConnectionError)):
        await connection.fetchval("SELECT $1", 1)
    connection.terminate()


async def test_a_recording_of_a_scripted_server(kit: ModuleType, module: ModuleType) -> None:
    server = scripted()
    async with kit.serve(server) as there, kit.record(there) as (here, recorder):
        assert f"dbname={'postgres'}" in here
        async with module.connect(here) as connection:
            assert await connection.fetchval("SELECT $1", 1) == 1
            assert len(await connection.fetch("SELECT large")) == 5000
            with pytest.raises(TimeoutError):
                await connection.execute("SELECT forever", timeout=0.05)
            assert await connection.fetchval("SELECT $1", 2) == 2
    text = recorder.recording.to_text()
    assert len(recorder.recording.sessions) == 1
    replayer = Replayer(Recording.from_text(text))
    async with kit.serve(replayer) as dsn, module.connect(dsn) as connection:
        assert await connection.fetchval("SELECT $1", 1) == 1
        assert len(await connection.fetch("SELECT large")) == 5000
        with pytest.raises(module.QueryCanceledError):
            await connection.execute("SELECT forever")
        assert await connection.fetchval("SELECT $1", 2) == 2
    replayer.check()


async def test_a_server_that_cannot_be_reached(kit: ModuleType, module: ModuleType) -> None:
    async with kit.serve(scripted()) as gone:
        pass
    async with kit.record(gone) as (here, _):
        with pytest.raises((ConnectionDoesNotExistError, ConnectionError)):
            await module.connect(here)


@pytest.mark.server
async def test_a_recording_of_postgres(kit: ModuleType, module: ModuleType, client: Client) -> None:
    async def talk(connection: Any) -> list[Any]:
        async with connection.transaction():
            rows = await connection.fetch("SELECT n, n::text FROM generate_series(1, $1) AS n", 5)
            return [*map(tuple, rows), await connection.fetchval("SELECT sum(n) FROM generate_series(1, 3) AS n")]

    server = client.server
    dsn = f"postgresql://{server.user}@/{server.database}?host={server.socket_dir}&port={server.port}"
    async with kit.record(dsn) as (here, recorder), module.connect(here, password=server.password) as connection:
        found = await talk(connection)
    replayer = Replayer(recorder.recording)
    async with kit.serve(replayer) as here, module.connect(here, database=server.database) as connection:
        assert await talk(connection) == found
    replayer.check()
