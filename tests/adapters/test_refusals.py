"""Wrong use is told at once, by an error that says what is wrong, and the connection goes on."""

import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.mark.parametrize("method", ["fetch", "execute", "executemany"])
async def test_a_null_character_in_the_query(connection: Any, client: Client, method: str) -> None:
    args = ([(1,)],) if method == "executemany" else ()
    with pytest.raises(client.InterfaceError):
        await getattr(connection, method)("SELECT 1 \0", *args)
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("query", [5, b"SELECT 1", None], ids=repr)
@pytest.mark.parametrize("method", ["fetch", "execute", "executemany"])
async def test_a_query_that_is_no_text(connection: Any, method: str, query: Any) -> None:
    args = ([(1,)],) if method == "executemany" else ()
    with pytest.raises(TypeError, match=f"query is expected to be a str, got {type(query).__name__}"):
        await getattr(connection, method)(query, *args)
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("value", ["a\0b", ["a\0b"]], ids=repr)
async def test_a_null_character_in_an_argument(connection: Any, client: Client, value: Any) -> None:
    async with connection.transaction():
        with pytest.raises(client.DataError, match=r"query argument \$1: .*U\+0000"):
            await connection.fetchval(f"SELECT $1::text{'[]' if isinstance(value, list) else ''}", value)
        assert await connection.fetchval("SELECT 1") == 1


async def test_the_wrong_number_of_arguments_leaves_the_transaction(connection: Any, client: Client) -> None:
    async with connection.transaction():
        with pytest.raises(client.InterfaceError, match="the server expects 1 argument for this query, 2 were passed"):
            await connection.fetchval("SELECT $1::int", 1, 2)
        assert await connection.fetchval("SELECT 1") == 1


async def test_several_statements_hint(connection: Any, client: Client) -> None:
    with pytest.raises(client.PostgresSyntaxError) as caught:
        await connection.fetch("SELECT 1; SELECT 2")
    assert caught.value.hint is not None
    assert "execute()" in caught.value.hint


@pytest.mark.parametrize(
    "query", ["SELECT %s", "SELECT %(name)s", "INSERT INTO t VALUES (%s, %s)", "SELECT * FROM t WHERE a = %s"]
)
@pytest.mark.parametrize("args", [(), (1,)])
async def test_foreign_placeholders(connection: Any, client: Client, query: str, args: tuple[int, ...]) -> None:
    with pytest.raises((client.PostgresSyntaxError, client.InterfaceError)) as caught:
        await connection.fetch(query, *args)
    assert caught.value.hint is not None
    assert "$1" in caught.value.hint


async def test_foreign_placeholders_that_parse(connection: Any, client: Client) -> None:
    with pytest.raises(
        client.InterfaceError, match="the server expects 0 arguments for this query, 1 was passed"
    ) as caught:
        await connection.fetch("SELECT 7 %s FROM (SELECT 4 AS s) AS x", 1)
    assert "$1" in caught.value.hint


async def test_a_legal_percent_passes(connection: Any) -> None:
    assert await connection.fetchval("SELECT format('%s-%s', 1, $1::int)", 2) == "1-2"
    assert await connection.fetchval("SELECT 7 %s FROM (SELECT 4 AS s) AS x") == 3
    assert await connection.fetchval("SELECT 'x' LIKE '%s'") is False


async def test_another_thread(connection: Any, client: Client) -> None:
    errors: list[BaseException] = []

    def use() -> None:
        coroutine = connection.fetchval("SELECT 1")
        try:
            coroutine.send(None)
        except BaseException as error:
            errors.append(error)
        finally:
            coroutine.close()

    thread = threading.Thread(target=use)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    assert isinstance(errors[0], client.InterfaceError)
    assert "another thread" in str(errors[0])
    assert await connection.fetchval("SELECT 1") == 1


async def test_it_cannot_be_terminated_in_another_thread(connection: Any, client: Client) -> None:
    def use() -> None:
        with pytest.raises(client.InterfaceError, match="another thread"):
            connection.terminate()

    await anyio.to_thread.run_sync(use)
    assert await connection.fetchval("SELECT 1") == 1


async def test_another_loop(connection: Any, client: Client, anyio_backend_name: str) -> None:
    async def use() -> str:
        with pytest.raises(client.InterfaceError) as caught:
            await connection.fetchval("SELECT 1")
        return str(caught.value)

    text = await anyio.to_thread.run_sync(lambda: anyio.run(use, backend=anyio_backend_name))
    assert "cannot use a connection of the " in text
    assert " in <" in text or " in the run 0x" in text
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_child(connection: Any) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            coroutine = connection.fetchval("SELECT 1")
            try:
                coroutine.send(None)
            except BaseException as error:
                os.write(writing, f"{type(error).__name__}: {error}".encode())
            connection.terminate()
        finally:
            os._exit(0)
    os.close(writing)
    await anyio.to_thread.run_sync(os.waitpid, child, 0)
    text = os.read(reading, 10_000).decode()
    os.close(reading)
    assert text.startswith("InterfaceError: cannot use a connection of process ")
    assert f"{os.getpid()} in its forked child {child}" in text
    # What the child did has not touched the connection.
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_child_takes_nothing(client: Client, connection: Any) -> None:
    """Bytes that wait for the parent, and file descriptors that the child opens afterwards."""
    listening = await client.module.connect(**client.settings())
    reading, writing = os.pipe()
    try:
        notifications = listening.notifications("c")
        await notifications.__aenter__()
        await connection.execute("NOTIFY c, 'x'")
        child = os.fork()
        if child == 0:
            try:
                looked = [listening.is_closed()]
                listening.terminate()
                files = [os.dup(writing) for _ in range(5)]
                listening._port.abort()
                for file in files:
                    os.fstat(file)
                os.write(writing, repr([*looked, listening.is_closed()]).encode())
            finally:
                os._exit(0)
        os.close(writing)
        await anyio.to_thread.run_sync(os.waitpid, child, 0)
        assert os.read(reading, 100) == b"[False, True]"
        with anyio.fail_after(PATIENCE_SECONDS):
            assert (await anext(notifications)).payload == "x"
    finally:
        os.close(reading)
        await listening.close()


async def test_client_encoding_may_not_change(client: Client) -> None:
    async with client.connect() as connection:
        with pytest.raises(client.ProtocolError, match=r"client_encoding .*'LATIN1'"):
            await connection.execute("SET client_encoding TO latin1")
        assert connection.is_closed()


async def in_another_loop(call: Callable[[], Awaitable[Any]], anyio_backend_name: str) -> None:
    await anyio.to_thread.run_sync(lambda: anyio.run(call, backend=anyio_backend_name))


async def test_a_pool_of_another_thread_is_left_as_it_is(client: Client, anyio_backend_name: str) -> None:
    async with make_pool(client) as pool:
        with pytest.raises(client.InterfaceError, match="another thread"):
            await anyio.to_thread.run_sync(pool.terminate)
        for method in (pool.close, pool.drain, pool.expire_connections, lambda: pool.fetchval("SELECT 1")):
            with pytest.raises(client.InterfaceError, match=r"another thread|in the run|in <"):
                await in_another_loop(method, anyio_backend_name)
        assert not pool.is_closing()
        assert await pool.fetchval("SELECT 1") == 1


async def test_a_listener_of_another_loop_is_left_as_it_is(client: Client, anyio_backend_name: str) -> None:
    async with client.listen("a", **client.settings()) as items:
        for method in (lambda: items.add("b"), lambda: items.remove("a"), lambda: items.__aexit__(None, None, None)):
            with pytest.raises(client.InterfaceError, match=r"in the run|in <"):
                await in_another_loop(method, anyio_backend_name)
        assert items.connected
        await items.add("c")


async def test_callbacks_are_not_removed_in_another_loop(
    connection: Any, client: Client, anyio_backend_name: str
) -> None:
    await connection.add_listener("a", print)
    with pytest.raises(client.InterfaceError, match=r"in the run|in <"):
        await in_another_loop(lambda: connection.remove_listener("a", print), anyio_backend_name)
    await connection.remove_listener("a", print)
