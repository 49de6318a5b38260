"""connect(): ways to a server, and what is in the way."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from tests.support.clients import Client
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

ROOT = Path(__file__).parents[2]


async def answer(client: Client, *args: Any, **settings: Any) -> Any:
    async with client.module.connect(*args, **settings) as connection:
        assert not connection.is_closed()
        return await connection.fetchval(
            "SELECT current_database()::text || ' ' || coalesce(host(inet_client_addr()), 'local')"
        )


async def test_over_tcp_with_a_password(client: Client) -> None:
    server = client.server
    assert await answer(client, **client.settings(host=server.host)) == f"{server.database} 127.0.0.1"


async def test_over_a_unix_socket(client: Client) -> None:
    assert await answer(client, **client.settings()) == f"{client.server.database} local"


async def test_by_uri(client: Client) -> None:
    server = client.server
    assert await answer(client, server.dsn) == f"{server.database} 127.0.0.1"
    credentials = f"{server.user}:{quote(server.password, safe='')}"
    folder = quote(server.socket_dir, safe="")
    uri = f"postgresql://{credentials}@{folder}:{server.port}/{server.database}?application_name=me"
    assert await answer(client, uri) == f"{server.database} local"
    async with client.module.connect(uri) as connection:
        assert connection.get_settings().application_name == "me"


async def test_a_keyword_wins_over_the_uri(client: Client) -> None:
    assert await answer(client, client.server.dsn, database="template1") == "template1 127.0.0.1"


async def test_server_settings(client: Client) -> None:
    async with client.connect(server_settings={"search_path": "pg_catalog", "application_name": "x"}) as connection:
        assert await connection.fetchval("SHOW search_path") == "pg_catalog"
        assert connection.get_settings().application_name == "x"


async def test_it_can_be_awaited(client: Client) -> None:
    connection = await client.module.connect(**client.settings())
    try:
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()
    assert connection.is_closed()


async def test_the_block_closes(client: Client) -> None:
    async with client.module.connect(**client.settings()) as connection:
        pass
    assert connection.is_closed()

    class Mine(Exception):
        pass

    with pytest.raises(Mine):
        async with client.module.connect(**client.settings()) as connection:
            raise Mine
    assert connection.is_closed()
    with anyio.move_on_after(30) as scope:
        async with client.module.connect(**client.settings()) as connection:
            scope.cancel()
            await connection.fetch("SELECT pg_sleep(60)")
    assert scope.cancelled_caught
    assert connection.is_closed()


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_a_password_may_be_asked_for(client: Client, kind: str) -> None:
    async def later() -> str:
        return client.server.password

    password = later if kind == "coroutine function" else lambda: client.server.password
    assert await answer(client, **client.settings(password=password)) == f"{client.server.database} local"


async def test_a_wrong_password(client: Client) -> None:
    with pytest.raises(client.InvalidPasswordError, match="password authentication failed") as caught:
        await answer(client, **client.settings(password="wrong"))
    assert caught.value.attempts == (caught.value,)


async def test_no_password(client: Client) -> None:
    with pytest.raises((client.InvalidPasswordError, client.InterfaceError)):
        await answer(client, **client.settings(password=None))


async def test_a_database_that_is_not_there(client: Client) -> None:
    with pytest.raises(client.InvalidCatalogNameError, match='database "nowhere" does not exist'):
        await answer(client, **client.settings(database="nowhere"))


async def test_an_unknown_setting(client: Client) -> None:
    with pytest.raises(client.UndefinedObjectError):
        await answer(client, **client.settings(server_settings={"no_such_setting": "1"}))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_a_refused_port(client: Client, silent_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    with pytest.raises(OSError) as caught:
        await answer(client, **client.settings(host="127.0.0.1", port=free))
    assert caught.value.attempts  # type: ignore[attr-defined]


async def test_errors_of_the_system_say_what_they_are_about(client: Client, tmp_path: Path) -> None:
    arguments = {"user": "u", "database": "d", "password": "p", "port": 1}
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/.s.PGSQL.1"):
        await client.module.connect(host=str(tmp_path), **arguments)
    with pytest.raises(OSError) as caught:
        await client.module.connect(host="nobody.invalid", **arguments)
    assert "nobody.invalid" in "".join(caught.value.__notes__)


async def test_the_next_host_is_tried(client: Client) -> None:
    server = client.server
    hosts = ["/nowhere", server.socket_dir]
    assert await answer(client, **client.settings(host=hosts, port=server.port)) == f"{server.database} local"
    with pytest.raises(OSError) as caught:
        await answer(client, **client.settings(host=["/nowhere", "/neither"], port=server.port))
    assert len(caught.value.attempts) == 2  # type: ignore[attr-defined]


async def test_a_server_that_says_nothing(client: Client, silent_port: int) -> None:
    with anyio.fail_after(20), pytest.raises(TimeoutError) as caught:
        await answer(client, **client.settings(host="127.0.0.1", port=silent_port, timeout=0.1))
    assert isinstance(caught.value, client.OperationTimeoutError)


async def test_connecting_can_be_cancelled(client: Client, silent_port: int) -> None:
    with anyio.move_on_after(0.1) as scope:
        await answer(client, **client.settings(host="127.0.0.1", port=silent_port))
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": "a\0b"},
        {"database": "a\0b"},
        {"server_settings": {"application_name": "a\0b"}},
        {"server_settings": {"a\0b": "x"}},
    ],
    ids=str,
)
async def test_a_null_character_in_a_start_up_value(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(client.InterfaceError):
        await answer(client, **client.settings(**wrong))


async def test_unknown_keywords(client: Client) -> None:
    with pytest.raises(TypeError):
        client.module.connect(no_such_keyword=1)


@pytest.mark.parametrize("attribute", ["any", "primary", "read-write", "prefer-standby"])
async def test_target_session_attrs(client: Client, attribute: str) -> None:
    await answer(client, **client.settings(target_session_attrs=attribute))


@pytest.mark.parametrize("attribute", ["standby", "read-only"])
async def test_no_such_host(client: Client, attribute: str) -> None:
    with pytest.raises(client.TargetServerAttributeNotMatched, match="None of the hosts match the target attribute"):
        await answer(client, **client.settings(target_session_attrs=attribute))


FORGETFUL = """
import sys, trio, pgsansio_trio

async def main():
    connection = await pgsansio_trio.connect(sys.argv[1])
    await connection.fetchval("SELECT 1")
    del connection

trio.run(main)
"""


@pytest.mark.checklist("CN-13")
def test_where_a_forgotten_connection_comes_from_on_trio(postgres: Server) -> None:
    command = [sys.executable, "-X", "dev", "-c", FORGETFUL, postgres.dsn]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "ResourceWarning: unclosed connection" in done.stderr
    assert "; created at:\n" in done.stderr
    assert 'File "<string>", line 5, in main' in done.stderr
