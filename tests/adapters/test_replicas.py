"""A primary and its standby: what is told when no host will do, load balancing, and a failover."""

import socket
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.support.clients import Client, eventually
from tests.support.replicas import Pair, at, crash, running_pair
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]


async def port_of(client: Client, **arguments: Any) -> int:
    """The port of the server that a connection with these arguments comes to."""
    async with client.module.connect(**arguments) as connection:
        port: int = await connection.fetchval("SELECT inet_server_port()")
        return port


@pytest.fixture
def closed() -> tuple[str, int]:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "127.0.0.1", listener.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """Where connections are taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield "127.0.0.1", listener.getsockname()[1]


async def test_every_host_has_its_say(
    client: Client, pair: Pair, cold_standby: Server, closed: tuple[str, int], silent: tuple[str, int]
) -> None:
    hosts = (closed, silent, cold_standby, pair.standby)
    arguments = at(*hosts, target_session_attrs="primary", connect_timeout=0.2)
    with pytest.raises(client.CannotConnectNowError) as caught:
        await port_of(client, **arguments)
    # The last one that could not be reached.
    assert caught.value is caught.value.attempts[2]
    assert [type(error) for error in caught.value.attempts] == [
        ConnectionRefusedError,
        client.OperationTimeoutError,
        client.CannotConnectNowError,
        client.TargetServerAttributeNotMatched,
    ]
    assert isinstance(caught.value.__cause__, BaseExceptionGroup)
    assert caught.value.__cause__.exceptions == caught.value.attempts
    # The same hosts and one that will do.
    assert await port_of(client, **{**arguments, **at(*hosts, pair.primary)}) == pair.primary.port


async def test_a_host_that_never_answers_takes_the_time_of_one(
    client: Client, pair: Pair, silent: tuple[str, int]
) -> None:
    assert await port_of(client, **at(silent, pair.primary, connect_timeout=0.2)) == pair.primary.port
    # Without a time limit for each host, all wait for the first.
    with pytest.raises(client.OperationTimeoutError):
        await port_of(client, **at(silent, pair.primary, timeout=0.2))


async def test_load_is_balanced_between_hosts(client: Client, pair: Pair) -> None:
    arguments = at(pair.primary, pair.standby, load_balance_hosts="random")
    seen: set[int] = set()
    with anyio.fail_after(30):
        while len(seen) < 2:
            seen.add(await port_of(client, **arguments))
    assert seen == {pair.primary.port, pair.standby.port}
    # What is asked for comes first.
    found = {await port_of(client, **arguments, target_session_attrs="standby") for _ in range(5)}
    assert found == {pair.standby.port}


@pytest.fixture
def own_pair(server_programs: str) -> Iterator[Pair]:
    with running_pair(server_programs) as pair:
        yield pair


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_failover(client: Client, own_pair: Pair) -> None:
    pair = own_pair
    arguments = at(pair.primary, pair.standby, target_session_attrs="primary")
    async with (
        client.module.create_pool(**arguments, min_size=1, max_size=1) as pool,
        client.module.connect(**at(pair.standby)) as on_standby,
    ):
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT inet_server_port()") == pair.primary.port
            crash(pair.primary)
            # Either it was still told of it, or the connection just ended.
            with pytest.raises((client.AdminShutdownError, client.PostgresConnectionError)):
                await connection.fetchval("SELECT pg_sleep(60)")
        assert on_standby.get_settings().in_hot_standby == "on"
        with pytest.raises(ConnectionError) as caught:
            await pool.fetchval("SELECT 1")
        assert isinstance(caught.value.attempts[1], client.TargetServerAttributeNotMatched)  # type: ignore[attr-defined]
        assert await on_standby.fetchval("SELECT pg_promote(true, 30)")
        # It says so by itself, to every session.
        await eventually(lambda: on_standby.get_settings().in_hot_standby == "off")
        assert await pool.fetchval("SELECT inet_server_port()") == pair.standby.port
        await pool.execute("CREATE TABLE now_it_takes_writes ()")
