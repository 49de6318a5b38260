"""What to connect to: connection strings, keyword arguments, services, variables, files."""

import asyncio
import contextlib
import getpass
import itertools
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pgsansio.testing.peer import Deaf
from pgsansio.testing.script import ScriptedBackend, error, expect, hang_up, send
from tests.support.clients import PATIENCE_SECONDS, Client
from tests.support.servers import Server
from tests.support.wire import full, serving

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: Where nobody listens: a port below those that systems give away, for root's services only.
DEAD = ("127.0.0.1", 1)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("PG"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@contextlib.asynccontextmanager
async def session(client: Client, dsn: str | None = None, **arguments: Any) -> AsyncIterator[Any]:
    """A connection with these arguments and no others."""
    connection = await client.module.connect(dsn, **arguments)
    try:
        yield connection
    finally:
        await connection.close()


async def whereabouts(client: Client, dsn: str | None = None, **arguments: Any) -> tuple[str, str, int | None]:
    """User, database and port of a connection with these arguments and no others."""
    async with session(client, dsn, **arguments) as connection:
        row = await connection.fetchrow("SELECT current_user, current_database(), inet_server_port()")
        return tuple(row)  # type: ignore[return-value]


def credentials(client: Client) -> str:
    return f"{quote(client.server.user, safe='')}:{quote(client.server.password, safe='')}"


def uri(client: Client, hosts: str | None = None, query: str = "", scheme: str = "postgresql") -> str:
    server = client.server
    hosts = f"{server.host}:{server.port}" if hosts is None else hosts
    return f"{scheme}://{credentials(client)}@{hosts}/{quote(server.database, safe='')}{query and '?'}{query}"


def login_of(client: Client) -> dict[str, Any]:
    """User, password and database."""
    server = client.server
    return {"user": server.user, "password": server.password, "database": server.database}


_numbers = itertools.count()


@contextlib.asynccontextmanager
async def role(client: Client, name: str, password: str) -> AsyncIterator[None]:
    quoted = name.replace('"', '""')
    async with client.connect() as connection:
        await connection.execute(f"CREATE ROLE \"{quoted}\" LOGIN PASSWORD '{password}'")
    try:
        yield
    finally:
        async with client.connect() as connection:
            await connection.execute(f'DROP ROLE "{quoted}"')


# Connection strings


@pytest.mark.checklist("DSN-1")
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_schemes(client: Client, scheme: str) -> None:
    server = client.server
    assert await whereabouts(client, uri(client, scheme=scheme)) == (server.user, server.database, server.port)


@pytest.mark.checklist("DSN-1")
@pytest.mark.parametrize("dsn", ["http://localhost/x", "localhost", "mysql://"])
async def test_other_schemes(client: Client, dsn: str) -> None:
    with pytest.raises(client.exceptions.ClientConfigurationError, match="invalid DSN: scheme is expected to be"):
        await client.module.connect(dsn)


@pytest.mark.checklist("DSN-1")
@pytest.mark.differs(
    asyncpg="understands URIs only.",
    ours="`connect('host=localhost port=5432 user=me')`: libpq's connection strings, with its quotes and escapes.",
)
async def test_key_value_strings(client: Client) -> None:
    server = client.server
    dsn = f"host = {server.host} port={server.port} user='{server.user}' password={server.password}"
    assert await whereabouts(client, f"{dsn} dbname={server.database}") == (server.user, server.database, server.port)


@pytest.mark.checklist("DSN-2")
async def test_credentials_are_percent_decoded(client: Client) -> None:
    name, password = f"a@b:c/d %?é {next(_numbers)}", "p@:/?#[]%20 é"
    async with role(client, name, password):
        server = client.server
        dsn = f"postgresql://{quote(name, safe='')}:{quote(password, safe='')}@{server.host}:{server.port}/postgres"
        assert (await whereabouts(client, dsn))[0] == name


@pytest.mark.checklist("DSN-3", "HOST-4")
async def test_hosts_of_a_uri(client: Client) -> None:
    server = client.server
    expected = (server.user, server.database, server.port)
    assert await whereabouts(client, uri(client, f"127.0.0.1:1,{server.host}:{server.port}")) == expected
    assert await whereabouts(client, uri(client, server.host), port=server.port) == expected
    folder = quote(server.socket_dir, safe="")
    assert await whereabouts(client, uri(client, f"{folder}:{server.port}")) == (*expected[:2], None)


@pytest.mark.checklist("DSN-3")
async def test_addresses_in_brackets(client: Client) -> None:
    # The server does not listen there, but who asks is told where he asked.
    with pytest.raises(OSError):
        await client.module.connect(uri(client, "[::1]:1"), timeout=20)
    with pytest.raises(ValueError, match=r"(?i)invalid IPv6"):
        await client.module.connect(uri(client, "[::1"))


@pytest.mark.checklist("DSN-4", "CON-2")
async def test_the_path_is_the_database(client: Client) -> None:
    server = client.server
    for path, name in (("a%20b%2Fc", "a b/c"), ("a/b", "a/b")):
        dsn = f"postgresql://{credentials(client)}@{server.host}:{server.port}/{path}"
        with pytest.raises(client.InvalidCatalogNameError, match=f'database "{name}" does not exist'):
            await client.module.connect(dsn)


@pytest.mark.checklist("DSN-5")
async def test_words_of_a_uri(client: Client) -> None:
    server = client.server
    words = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "sslmode": "disable",
        "target_session_attrs": "any",
        "krbsrvname": "k",
        "gsslib": "gssapi",
    }
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in words.items())
    expected = (server.user, server.database, server.port)
    for database in ("dbname", "database"):
        dsn = f"postgresql://?{query}&{database}=wrong&{database}={server.database}"
        assert await whereabouts(client, dsn) == expected
    # What stands in front of the question mark wins.
    assert await whereabouts(client, uri(client, query="host=wrong&port=1&user=wrong&password=wrong&dbname=wrong")) == (
        expected
    )
    two = f"postgresql://?{query}&host=127.0.0.1,{server.host}&port=1,{server.port}&dbname={server.database}"
    assert await whereabouts(client, two) == expected


@pytest.mark.checklist("DSN-5")
async def test_a_malformed_query(client: Client) -> None:
    with pytest.raises(ValueError):
        await client.module.connect(uri(client, query="application_name"))


@pytest.mark.checklist("DSN-6", "CON-9")
async def test_other_words_are_settings_of_the_server(client: Client) -> None:
    dsn = uri(client, query="application_name=a+b&search_path=x,y&options=-c%20geqo%3Doff%20-c%20jit%3Doff")
    settings = {"search_path": "z", "TimeZone": "Asia/Tokyo"}
    async with session(client, dsn, server_settings=settings) as connection:
        names = ("application_name", "search_path", "geqo", "jit", "TimeZone")
        shown = [await connection.fetchval(f"SHOW {name}") for name in names]
        assert shown == ["a b", "z", "off", "off", "Asia/Tokyo"]


@pytest.mark.checklist("DSN-6")
@pytest.mark.differs(
    asyncpg="sends libpq's words that it does not know to the server, which refuses them.",
    ours="libpq's words mean what they mean to libpq, in URIs, in `key=value` strings and as keyword arguments: "
    "`connect_timeout`, `hostaddr`, `keepalives` and so on.",
)
async def test_words_of_libpq(client: Client) -> None:
    server = client.server
    words = f"connect_timeout=20&hostaddr={server.host}&keepalives_idle=60&fallback_application_name=f"
    async with session(client, uri(client, f"nowhere.invalid:{server.port}", words)) as connection:
        assert await connection.fetchval("SHOW application_name") == "f"


@pytest.mark.checklist("DSN-7")
async def test_a_uri_without_a_host(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client.server
    monkeypatch.setenv("PGHOST", server.host)
    expected = (server.user, server.database, server.port)
    assert await whereabouts(client, uri(client, ""), port=server.port) == expected
    monkeypatch.setenv("PGPORT", str(server.port))
    assert await whereabouts(client, uri(client, "")) == expected


@pytest.mark.checklist("DSN-7")
@pytest.mark.differs(
    asyncpg="forgets the port of a connection string whose host is replaced by a keyword argument.",
    ours="Each parameter is looked for by itself, as by libpq: the port stays.",
)
async def test_a_host_of_ones_own_for_the_port_of_a_uri(client: Client) -> None:
    server = client.server
    found = await whereabouts(client, uri(client, f"wrong:{server.port}"), host=server.host)
    assert found == (server.user, server.database, server.port)


# Hosts and ports


@pytest.mark.checklist("HOST-1", "HOST-3")
async def test_hosts_and_ports(client: Client) -> None:
    server = client.server
    over_tcp = (server.user, server.database, server.port)
    arguments = login_of(client)
    for host, port in (
        (server.host, server.port),
        (server.host, str(server.port)),
        ([server.host], [server.port]),
        (("127.0.0.1", server.host), [1, server.port]),
        (["/nowhere", server.host], server.port),
    ):
        assert await whereabouts(client, host=host, port=port, **arguments) == over_tcp
    over_socket = (server.user, server.database, None)
    assert await whereabouts(client, host=server.socket_dir, port=server.port, **arguments) == over_socket
    path = f"{server.socket_dir}/.s.PGSQL.{server.port}"
    assert await whereabouts(client, host=path, port=1, **arguments) == over_socket


@contextlib.contextmanager
def linked_in_tmp(server: Server) -> Iterator[int]:
    """A port for which the server's socket is found in /tmp, and in no other of the usual folders."""
    for port in range(40000, 50000):
        path = f"/tmp/.s.PGSQL.{port}"
        if os.path.lexists(f"/run/postgresql/.s.PGSQL.{port}"):
            continue
        try:
            os.symlink(f"{server.socket_dir}/.s.PGSQL.{server.port}", path)
        except FileExistsError:
            continue
        try:
            yield port
        finally:
            os.unlink(path)
        return


@pytest.mark.checklist("HOST-1", "HOST-3")
@pytest.mark.differs(
    asyncpg="takes a text with commas for one host, and for no port.",
    ours="`host='a,b'` and `port='5432,5433'` are lists, as in connection strings.",
)
async def test_lists_in_a_text(client: Client) -> None:
    server = client.server
    found = await whereabouts(client, host=f"127.0.0.1,{server.host}", port=f"1,{server.port}", **login_of(client))
    assert found == (server.user, server.database, server.port)


@pytest.mark.checklist("HOST-2")
async def test_where_it_looks_without_a_host(client: Client) -> None:
    server = client.server
    with linked_in_tmp(server) as port:
        assert await whereabouts(client, port=port, **login_of(client)) == (server.user, server.database, None)
    # At last over TCP.
    assert (await whereabouts(client, port=server.port, **login_of(client)))[2] == server.port


@pytest.mark.checklist("HOST-3")
async def test_ports_that_do_not_match_the_hosts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client.server
    with pytest.raises(client.exceptions.ClientConfigurationError, match="could not match 2 port numbers to 3 hosts"):
        await client.module.connect(host=["a", "b", "c"], port=[1, 2], **login_of(client))
    monkeypatch.setenv("PGPORT", f"1,{server.port}")
    found = await whereabouts(client, host=["127.0.0.1", server.host], **login_of(client))
    assert found == (server.user, server.database, server.port)


@pytest.mark.checklist("HOST-4")
async def test_a_host_that_is_not_ready_yet(client: Client) -> None:
    starting = lambda: ScriptedBackend([expect(lambda message: True), send(error("57P03", "starting up"))])  # noqa: E731
    server = client.server
    async with serving(client, starting) as first:
        hosts, ports = [first.server.socket_dir, server.host], [first.server.port, server.port]
        found = await whereabouts(client, host=hosts, port=ports, **login_of(client))
        assert found == (server.user, server.database, server.port)
        with pytest.raises(client.CannotConnectNowError, match="starting up"):
            await client.module.connect(host=hosts[0], port=ports[0], **login_of(client))


@pytest.mark.checklist("HOST-4")
@pytest.mark.differs(
    asyncpg="gives up at a host that hangs up, or shuts down.",
    ours="The next host is tried then, too.",
)
@pytest.mark.parametrize("last_words", [[], [error("57P01", "terminating connection", "FATAL")]], ids=["none", "57P01"])
async def test_a_host_that_leaves(client: Client, last_words: list[Any]) -> None:
    leaving = lambda: ScriptedBackend([expect(lambda message: True), send(*last_words), hang_up()])  # noqa: E731
    server = client.server
    async with serving(client, leaving) as first:
        hosts, ports = [first.server.socket_dir, server.host], [first.server.port, server.port]
        found = await whereabouts(client, host=hosts, port=ports, **login_of(client))
    assert found == (server.user, server.database, server.port)


@pytest.mark.checklist("HOST-4")
async def test_what_is_said_of_us_and_not_of_the_host_is_the_end(client: Client) -> None:
    server = client.server
    wrong = login_of(client) | {"password": "wrong"}
    with pytest.raises(client.InvalidPasswordError):
        await client.module.connect(host=[server.host, *DEAD[:1]], port=[server.port, DEAD[1]], **wrong)


@pytest.mark.checklist("HOST-4")
async def test_the_last_error_is_raised(client: Client) -> None:
    with pytest.raises(FileNotFoundError):
        await client.module.connect(host=[DEAD[0], "/nowhere"], port=[1, 2], **login_of(client))
    with pytest.raises(ConnectionRefusedError):
        await client.module.connect(host=["/nowhere", DEAD[0]], port=[1, 1], **login_of(client))


@pytest.mark.checklist("HOST-4")
@pytest.mark.differs(
    asyncpg="forgets all errors but the last host's.",
    ours="`error.attempts` has every attempt's error, and a group of them is the cause.",
)
async def test_every_error_is_kept(client: Client) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        await client.module.connect(host=[DEAD[0], "/nowhere"], port=[1, 2], **login_of(client))
    attempts = getattr(caught.value, "attempts", ())
    assert [type(error) for error in attempts] == [ConnectionRefusedError, FileNotFoundError]


@pytest.mark.checklist("HOST-5")
async def test_a_name_with_several_addresses(
    client: Client, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = client.server
    _name(monkeypatch, anyio_backend_name, "127.0.0.9", server.host)
    expected = (server.user, server.database, server.port)
    assert await whereabouts(client, host="several.invalid", port=server.port, **login_of(client)) == expected


@pytest.mark.checklist("HOST-5")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux listens at 127.0.0.9, and drops what waits")
@pytest.mark.differs(
    asyncpg="waits for an address that does not answer before it tries the next one of the same name.",
    ours="A name's addresses are tried beside each other, a quarter of a second apart (RFC 8305).",
)
async def test_an_address_that_does_not_answer(
    client: Client, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = client.server
    _name(monkeypatch, anyio_backend_name, "127.0.0.9", server.host)
    timeout = PATIENCE_SECONDS if client.is_ours else 1
    with full("127.0.0.9", server.port):
        found = await whereabouts(client, host="several.invalid", port=server.port, timeout=timeout, **login_of(client))
    assert found == (server.user, server.database, server.port)


def _name(monkeypatch: pytest.MonkeyPatch, loop: str, *addresses: str) -> None:
    """Let several.invalid stand for these."""
    original = socket.getaddrinfo

    def found(host: Any, *arguments: Any, **keywords: Any) -> list[Any]:
        if host not in ("several.invalid", b"several.invalid"):
            return original(host, *arguments, **keywords)
        port = keywords.get("port", arguments[0] if arguments else None)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    if loop == "asyncio" and type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        pytest.skip("uvloop looks names up by itself")


@pytest.mark.checklist("HOST-6")
@pytest.mark.parametrize(
    ("attribute", "settings", "matches"),
    [
        ("any", {}, True),
        ("primary", {}, True),
        ("standby", {}, False),
        ("prefer-standby", {}, True),
        ("read-write", {}, True),
        ("read-only", {}, False),
        ("read-write", {"default_transaction_read_only": "on"}, False),
        ("read-only", {"default_transaction_read_only": "on"}, True),
        ("primary", {"default_transaction_read_only": "on"}, True),
    ],
)
async def test_target_session_attrs(client: Client, attribute: str, settings: dict[str, str], matches: bool) -> None:
    arguments = client.settings(target_session_attrs=attribute, server_settings=settings)
    if matches:
        assert (await whereabouts(client, **arguments))[0] == client.server.user
        return
    with pytest.raises(client.TargetServerAttributeNotMatched) as caught:
        await client.module.connect(**arguments)
    assert str(caught.value).startswith(
        f"None of the hosts match the target attribute requirement <SessionAttribute.{attribute.replace('-', '_')}: "
    )


@pytest.mark.checklist("HOST-6")
async def test_where_target_session_attrs_come_from(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    with pytest.raises(client.TargetServerAttributeNotMatched):
        await client.module.connect(uri(client))
    assert await whereabouts(client, uri(client, query="target_session_attrs=primary"))
    with pytest.raises(client.TargetServerAttributeNotMatched):
        await client.module.connect(uri(client, query="target_session_attrs=any"), target_session_attrs="standby")
    with pytest.raises(client.exceptions.ClientConfigurationError, match="target_session_attrs"):
        await client.module.connect(uri(client), target_session_attrs="x")


@pytest.mark.checklist("HOST-6")
@pytest.mark.differs(
    asyncpg="prints a method in the place of what `target_session_attrs` can be.",
    ours="The error of a wrong parameter names it, where it came from, and what is possible.",
)
async def test_errors_say_what_is_possible(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "x")
    with pytest.raises(client.exceptions.ClientConfigurationError) as caught:
        await client.module.connect(uri(client))
    text = str(caught.value)
    assert "'prefer-standby', 'read-write'" in text
    assert "'x' from the environment variable PGTARGETSESSIONATTRS" in text


# Who


@pytest.mark.checklist("CON-1", "CON-2", "CON-14")
async def test_variables(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client.server
    variables = {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": server.database,
        "PGSSLMODE": "disable",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert await whereabouts(client) == (server.user, server.database, server.port)
    monkeypatch.setenv("PGDATABASE", "wrong")
    monkeypatch.setenv("PGPASSWORD", "wrong")
    assert await whereabouts(client, database=server.database, password=server.password)
    assert await whereabouts(client, uri(client))


@pytest.mark.checklist("CON-1", "CON-2")
async def test_defaults_of_user_and_database(client: Client) -> None:
    # The server tells whom it was asked for before it asks for a password.
    arguments = {"host": client.server.socket_dir, "port": client.server.port, "password": "wrong"}
    with pytest.raises(client.InvalidPasswordError, match=f'"{getpass.getuser()}"'):
        await client.module.connect(**arguments, passfile="/nowhere")
    name = f"lonely {next(_numbers)}"
    async with role(client, name, "secret"):
        with pytest.raises(client.InvalidCatalogNameError, match=f'database "{name}" does not exist'):
            await client.module.connect(**arguments | {"user": name, "password": "secret"})


@pytest.mark.checklist("CON-3")
async def test_passwords_from_functions(client: Client) -> None:
    asked: list[str] = []

    def plainly() -> str:
        asked.append("plainly")
        return client.server.password

    async def awaited() -> str:
        asked.append("awaited")
        return client.server.password

    for function in (plainly, awaited):
        assert await whereabouts(client, **client.settings(password=function))
    assert asked == ["plainly", "awaited"]
    pool = client.module.create_pool(**client.settings(password=awaited), min_size=2, max_size=2)
    async with pool:
        assert asked == ["plainly", "awaited", "awaited", "awaited"]


@pytest.mark.checklist("CON-3")
@pytest.mark.differs(
    asyncpg="takes a function for the password alone.",
    ours="`connect(connect_parameters=function)`: a plain or an async function returns any of the arguments that say "
    "how to connect, for credentials that change.",
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_all_parameters_from_a_function(client: Client, is_async: bool) -> None:
    def plainly() -> dict[str, Any]:
        return {**client.settings(), "application_name": "given"}

    async def awaited() -> dict[str, Any]:
        return plainly()

    function = awaited if is_async else plainly
    async with session(client, host="nowhere.invalid", user="nobody", connect_parameters=function) as connection:
        assert await connection.fetchval("SHOW application_name") == "given"


def passfile(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "passwords"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.checklist("CON-4")
async def test_password_files(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client.server
    arguments = {"user": server.user, "database": server.database, "port": server.port}
    line = f"{server.port}:{server.database}:{server.user}:{server.password}\n"
    path = passfile(tmp_path, f"# mine\n\n127.0.0.9:{line}localhost:{line}{server.host}:*:*:*:wrong\n")
    assert await whereabouts(client, host=server.socket_dir, passfile=path, **arguments)
    with pytest.raises(client.InvalidPasswordError):
        await client.module.connect(host=server.host, passfile=path, **arguments)
    path = passfile(tmp_path, f"*:*:*:{server.user}:{server.password}")
    assert await whereabouts(client, host=server.host, passfile=Path(path), **arguments)
    assert await whereabouts(client, f"postgresql://{server.host}?passfile={path}", **arguments)
    monkeypatch.setenv("PGPASSFILE", path)
    assert await whereabouts(client, host=server.host, **arguments)
    with pytest.raises(client.InvalidPasswordError):
        await client.module.connect(host=server.host, password="wrong", **arguments)
    monkeypatch.delenv("PGPASSFILE")
    os.rename(path, tmp_path / ".pgpass")
    assert await whereabouts(client, host=server.host, **arguments)


@pytest.mark.checklist("CON-4")
async def test_a_password_file_that_others_may_read(client: Client, tmp_path: Path) -> None:
    server = client.server
    path = passfile(tmp_path, f"*:*:*:*:{server.password}", mode=0o644)
    with pytest.warns(UserWarning, match=path), pytest.raises(client.InvalidPasswordError):
        await client.module.connect(host=server.host, port=server.port, user=server.user, passfile=path)


@pytest.mark.checklist("CON-4")
@pytest.mark.differs(
    asyncpg="leaves backslashes in a password that a file has with escapes, and fails to log in with it.",
    ours="Escapes in password files are removed, as by libpq.",
)
async def test_escapes_in_password_files(client: Client, tmp_path: Path) -> None:
    name, password = f"escaped {next(_numbers)}", "a:b\\c"
    async with role(client, name, password):
        path = passfile(tmp_path, f"*:*:*:{name}:a\\:b\\\\c")
        server = client.server
        found = await whereabouts(
            client, host=server.host, port=server.port, user=name, database=server.database, passfile=path
        )
        assert found[0] == name


# Services


@pytest.fixture
def services(client: Client, tmp_path: Path) -> str:
    """The path of a service file with one service, `mine`."""
    server = client.server
    path = tmp_path / "services"
    path.write_text(
        f"[other]\nport=1\n\n# mine\n[mine]\nhost={server.host}\nport={server.port}\nuser={server.user}\n"
        f"password={server.password}\ndbname={server.database}\n"
    )
    return str(path)


@pytest.mark.checklist("CON-5")
async def test_services(client: Client, services: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client.server
    expected = (server.user, server.database, server.port)
    assert await whereabouts(client, "postgresql://?service=mine", servicefile=services) == expected
    assert await whereabouts(client, "postgresql://", service="mine", servicefile=services) == expected
    monkeypatch.setenv("PGSERVICEFILE", services)
    monkeypatch.setenv("PGPORT", "1")
    assert await whereabouts(client, "postgresql://?service=mine") == expected
    dsn = f"postgresql://?service=other&port={server.port}"
    assert await whereabouts(client, dsn, host=server.host, **login_of(client)) == expected
    dsn = f"postgresql://{server.host}?service=other"
    assert await whereabouts(client, dsn, port=server.port, **login_of(client)) == expected
    monkeypatch.delenv("PGSERVICEFILE")
    os.rename(services, tmp_path / ".pg_service.conf")
    assert await whereabouts(client, "postgresql://?service=mine") == expected


@pytest.mark.checklist("CON-5")
@pytest.mark.differs(
    asyncpg="ignores `service` if there is no connection string.",
    ours="The keyword arguments `service` and `servicefile` are enough.",
)
async def test_a_service_without_a_connection_string(client: Client, services: str) -> None:
    server = client.server
    found = await whereabouts(client, service="mine", servicefile=services)
    assert found == (server.user, server.database, server.port)


@pytest.mark.checklist("CON-5", "CON-14")
@pytest.mark.differs(
    asyncpg="reads `PGSERVICE` and does nothing with it.", ours="`PGSERVICE` names the service, as for libpq."
)
async def test_the_service_of_a_variable(client: Client, services: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client.server
    monkeypatch.setenv("PGSERVICE", "mine")
    monkeypatch.setenv("PGSERVICEFILE", services)
    assert await whereabouts(client) == (server.user, server.database, server.port)


@pytest.mark.checklist("CON-5")
@pytest.mark.differs(
    asyncpg="does not know the system's service file.",
    ours="A service that the user's file has not is looked for in `pg_service.conf` of the folder `PGSYSCONFDIR`.",
)
async def test_the_systems_service_file(
    client: Client, services: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = client.server
    os.rename(services, tmp_path / "pg_service.conf")
    monkeypatch.setenv("PGSYSCONFDIR", str(tmp_path))
    found = await whereabouts(client, "postgresql://?service=mine")
    assert found == (server.user, server.database, server.port)


@pytest.mark.checklist("CON-5")
@pytest.mark.differs(
    asyncpg="connects without the service if it, or the file that was named, does not exist.",
    ours="That is a `ClientConfigurationError`, as it is an error of libpq.",
)
@pytest.mark.parametrize(
    ("service", "file", "message"),
    [
        ("mine", "/nowhere", "servicefile '/nowhere' from the keyword argument servicefile does not exist"),
        ("none", None, "definition of service 'none' from the DSN not found"),
    ],
)
async def test_a_service_that_does_not_exist(
    client: Client, services: str, service: str, file: str | None, message: str
) -> None:
    dsn = uri(client, query=f"service={service}")
    with pytest.raises(client.exceptions.ClientConfigurationError, match=message):
        async with session(client, dsn, servicefile=file or services):
            pass


# The rest


@pytest.mark.checklist("CON-6")
async def test_the_time_limit(client: Client) -> None:
    async with serving(client, Deaf) as client:
        with pytest.raises(TimeoutError):
            await client.module.connect(**client.settings(timeout=0.2))
        # All hosts together.
        hosts, ports = [client.server.socket_dir] * 3, [client.server.port] * 3
        with pytest.raises(TimeoutError):
            await client.module.connect(**client.settings(timeout=0.3, host=hosts, port=ports))


@pytest.mark.checklist("CON-6")
@pytest.mark.differs(
    asyncpg="has one time limit for all hosts together, so that the first one can take all of it.",
    ours="`connect_timeout` limits each address.",
)
async def test_the_time_limit_of_each_address(client: Client) -> None:
    server = client.server
    async with serving(client, Deaf) as deaf:
        arguments = client.settings(
            host=[deaf.server.socket_dir, server.host], port=[deaf.server.port, server.port], connect_timeout=0.3
        )
        assert (await whereabouts(client, **arguments))[2] == server.port
        with pytest.raises(TimeoutError, match=r"the time limit for connecting to .* has passed"):
            await client.module.connect(**deaf.settings(connect_timeout=0.2))


@pytest.mark.checklist("CON-9")
@pytest.mark.parametrize("wrong", [{"jit": 1}, "jit=off", {1: "x"}])
async def test_server_settings_are_texts(client: Client, wrong: Any) -> None:
    with pytest.raises(client.exceptions.ClientConfigurationError, match="server_settings is expected to be"):
        await client.module.connect(**client.settings(server_settings=wrong))


@pytest.mark.checklist("CON-12")
async def test_the_loop_as_an_argument(client: Client, anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        with pytest.raises(TypeError, match="loop"):
            client.module.connect(**client.settings(loop=None))
        return
    assert await whereabouts(client, **client.settings(loop=asyncio.get_running_loop()))


@pytest.mark.checklist("CON-13")
async def test_the_encoding(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    async with client.connect() as connection:
        assert await connection.fetchval("SHOW client_encoding") == "UTF8"
        assert await connection.fetchval("SELECT $1::text", "żółć") == "żółć"


@pytest.mark.checklist("CON-14")
@pytest.mark.differs(
    asyncpg="ignores `PGAPPNAME`, `PGOPTIONS`, `PGTZ`, `PGDATESTYLE`, `PGGEQO`, `PGCONNECT_TIMEOUT`, `PGHOSTADDR`, "
    "`PGLOADBALANCEHOSTS`, `PGREQUIREAUTH`, `PGCHANNELBINDING` and others of libpq's variables.",
    ours="They mean what they mean to libpq.",
)
async def test_more_variables(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"PGAPPNAME": "a", "PGOPTIONS": "-c jit=off", "PGTZ": "Asia/Tokyo", "PGDATESTYLE": "ISO, YMD"}
    for name, value in (variables | {"PGGEQO": "off"}).items():
        monkeypatch.setenv(name, value)
    async with client.connect() as connection:
        names = ("application_name", "jit", "TimeZone", "DateStyle", "geqo")
        shown = [await connection.fetchval(f"SHOW {name}") for name in names]
        assert shown == ["a", "off", "Asia/Tokyo", "ISO, YMD", "off"]


@contextlib.contextmanager
def socket_of(connection: Any) -> Iterator[Any]:
    """The socket of a connection."""
    transport = getattr(connection, "_transport", None)
    if transport is None:
        port = connection._port
        transport = getattr(port, "_transport", None)
        if transport is None:
            yield port._raw
            return
    yield transport.get_extra_info("socket")


@pytest.mark.checklist("CON-15")
async def test_small_packets_go_at_once(client: Client) -> None:
    async with session(client, uri(client)) as connection:
        with socket_of(connection) as raw:
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.checklist("CON-15")
@pytest.mark.differs(
    asyncpg="never notices that an idle connection's other end is gone.",
    ours="`keepalives` is on, and `keepalives_idle`, `keepalives_interval`, `keepalives_count` and "
    "`tcp_user_timeout` are taken, as by libpq.",
)
async def test_keepalives(client: Client) -> None:
    words = {"keepalives_idle": 61, "keepalives_interval": "7", "keepalives_count": 5, "tcp_user_timeout": 9000}
    async with session(client, uri(client)) as plain:
        with socket_of(plain) as raw:
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    async with session(client, uri(client), **words) as connection:
        with socket_of(connection) as raw:
            for name, value in (("KEEPIDLE", 61), ("KEEPINTVL", 7), ("KEEPCNT", 5), ("USER_TIMEOUT", 9000)):
                assert raw.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}")) == value
    async with session(client, uri(client), keepalives=False) as connection:
        with socket_of(connection) as raw:
            assert not raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    with pytest.raises(client.exceptions.ClientConfigurationError, match="keepalives_idle 100000 is not possible on"):
        await client.module.connect(uri(client), keepalives_idle=100000)


@pytest.mark.checklist("CON-14")
@pytest.mark.differs(
    asyncpg="tries hosts in the order they are written.", ours="`load_balance_hosts=random` chooses among them."
)
async def test_hosts_in_random_order(client: Client) -> None:
    server = client.server
    arguments = login_of(client) | {"host": [server.host, server.socket_dir], "port": server.port}
    found = {(await whereabouts(client, **arguments, load_balance_hosts="disable"))[2] for _ in range(5)}
    assert found == {server.port}
    # Each time one of two: that it is always the same one has a chance of 1 to 2 ** 59.
    for _ in range(60):
        found.add((await whereabouts(client, **arguments, load_balance_hosts="random"))[2])
        if len(found) == 2:
            break
    assert found == {server.port, None}


@pytest.mark.checklist("CON-14")
@pytest.mark.differs(
    asyncpg="speaks version 3.0 of the protocol.",
    ours="`max_protocol_version` asks for 3.2, and `min_protocol_version` refuses a server that speaks less.",
)
async def test_versions_of_the_protocol(client: Client) -> None:
    newer = client.server.version >= 18
    async with client.connect(max_protocol_version="latest") as connection:
        assert connection._frontend.protocol_version == (3 << 16 | 2 if newer else 3 << 16)
    if newer:
        assert await whereabouts(client, **client.settings(min_protocol_version="3.2"))
    else:
        with pytest.raises((client.InterfaceError, client.InternalClientError), match=r"3\.2"):
            await client.module.connect(**client.settings(min_protocol_version="3.2"))


async def test_an_unknown_argument(client: Client) -> None:
    with pytest.raises(TypeError, match=r"connect\(\) got an unexpected keyword argument 'hots'"):
        await client.module.connect(hots="x")
