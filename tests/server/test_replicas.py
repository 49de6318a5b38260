"""Several hosts, of which some are standbys, or refuse, or are full."""

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import Client
from tests.support.replicas import Pair, at
from tests.support.servers import Server, running_server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

ATTRIBUTES = {
    "any": ("primary", "standby"),
    "primary": ("primary",),
    "standby": ("standby",),
    "read-write": ("primary",),
    "read-only": ("standby",),
    "prefer-standby": ("standby",),
}


@contextlib.asynccontextmanager
async def session(client: Client, **arguments: Any) -> AsyncIterator[Any]:
    connection = await client.module.connect(**arguments)
    try:
        yield connection
    finally:
        await connection.close()


async def port_of(client: Client, **arguments: Any) -> int:
    """The port of the server that a connection with these arguments comes to."""
    async with session(client, **arguments) as connection:
        port: int = await connection.fetchval("SELECT inet_server_port()")
        return port


@pytest.fixture
def closed() -> tuple[str, int]:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "127.0.0.1", listener.getsockname()[1]


@pytest.mark.checklist("HOST-6")
@pytest.mark.parametrize("attribute", ATTRIBUTES)
async def test_target_session_attrs(client: Client, pair: Pair, attribute: str) -> None:
    names = {pair.primary.port: "primary", pair.standby.port: "standby"}
    for servers in ((pair.primary, pair.standby), (pair.standby, pair.primary)):
        found = names[await port_of(client, **at(*servers, target_session_attrs=attribute))]
        expected = ATTRIBUTES[attribute]
        # With two that will do, it is the first of them.
        assert found == (expected[0] if len(expected) == 1 else names[servers[0].port])


@pytest.mark.checklist("HOST-6")
@pytest.mark.parametrize(("attribute", "which"), [("standby", "primary"), ("read-write", "standby")])
async def test_none_of_the_hosts_will_do(
    client: Client, pair: Pair, closed: tuple[str, int], attribute: str, which: str
) -> None:
    server: Server = getattr(pair, which)
    for servers in ((server,), (server, server)):
        with pytest.raises(client.TargetServerAttributeNotMatched, match="None of the hosts match"):
            await client.module.connect(**at(*servers, target_session_attrs=attribute))
    # Only a preference.
    assert await port_of(client, **at(closed, server, target_session_attrs="prefer-standby")) == server.port


@pytest.mark.checklist("HOST-4", "HOST-6")
@pytest.mark.parametrize("order", [1, -1])
async def test_a_host_that_is_not_wanted_and_one_that_is_not_there(
    client: Client, pair: Pair, closed: tuple[str, int], order: int
) -> None:
    servers = (closed, pair.standby)[::order]
    with pytest.raises(ConnectionRefusedError) as caught:
        await client.module.connect(**at(*servers, target_session_attrs="primary"))
    if client.is_ours:
        attempts: tuple[BaseException, ...] = caught.value.attempts  # type: ignore[attr-defined]
        refused, unwanted = attempts[::order]
        assert refused is caught.value
        assert str(unwanted) == (
            f"the server at '127.0.0.1', port {pair.standby.port} is not what target_session_attrs='primary' asks for"
        )


@pytest.mark.checklist("HOST-6")
async def test_servers_say_what_they_are(client: Client, pair: Pair) -> None:
    for server, standby in ((pair.primary, "off"), (pair.standby, "on")):
        async with session(client, **at(server)) as connection:
            settings = connection.get_settings()
            # Both came with PostgreSQL 14, and with asyncpg nothing else can be known of a server that does not say so.
            assert settings.in_hot_standby == standby
            assert settings.default_transaction_read_only == "off"
            with contextlib.nullcontext() if standby == "off" else pytest.raises(client.ReadOnlySQLTransactionError):
                await connection.execute("CREATE TEMP TABLE t (i int)")


@pytest.mark.checklist("HOST-4")
async def test_a_standby_that_takes_no_connections(
    client: Client, pair: Pair, cold_standby: Server, closed: tuple[str, int]
) -> None:
    for attribute in ("any", "standby"):
        arguments = at(cold_standby, closed, pair.standby, target_session_attrs=attribute)
        assert await port_of(client, **arguments) == pair.standby.port
    with pytest.raises(client.CannotConnectNowError, match=r"not accepting connections|starting up"):
        await client.module.connect(**at(closed, cold_standby))
    with pytest.raises(ConnectionRefusedError):
        await client.module.connect(**at(cold_standby, closed))


@pytest.fixture(scope="module")
def full(server_programs: str) -> Iterator[Server]:
    """A server with room for one connection."""
    settings = {"max_connections": "1", "superuser_reserved_connections": "0", "max_wal_senders": "0"}
    with running_server(server_programs, server_settings=settings) as server:
        yield server


@pytest.mark.checklist("HOST-4")
@pytest.mark.differs(
    asyncpg="gives up at a host that has no room.",
    ours="The next host is tried when one has too many connections, as by libpq.",
)
async def test_a_host_that_is_full(client: Client, full: Server, pair: Pair, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("".join(f"{s.host}:{s.port}:*:*:{s.password}\n" for s in (full, pair.primary)))
    passwords.chmod(0o600)
    arguments = {"password": None, "passfile": str(passwords)}
    async with session(client, **at(full)):
        assert await port_of(client, **at(full, pair.primary, **arguments)) == pair.primary.port
        with pytest.raises(client.TooManyConnectionsError):
            await client.module.connect(**at(full))


@pytest.mark.checklist("HOST-4", "HOST-6")
async def test_a_pool_of_several_hosts(client: Client, pair: Pair, closed: tuple[str, int]) -> None:
    host, user, password = pair.primary.host, pair.primary.user, pair.primary.password
    hosts = ",".join(f"{host}:{port}" for port in (closed[1], pair.standby.port, pair.primary.port))
    dsn = f"postgresql://{user}:{password}@{hosts}/{pair.primary.database}?target_session_attrs=primary"
    async with (
        client.module.create_pool(dsn, min_size=2, max_size=2) as pool,
        pool.acquire() as one,
        pool.acquire() as other,
    ):
        for connection in (one, other):
            assert await connection.fetchval("SELECT inet_server_port()") == pair.primary.port
