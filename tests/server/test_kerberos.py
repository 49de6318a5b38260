"""GSSAPI, with a real Kerberos realm: see `tests.support.kerberos`."""

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import pgsansio_asyncio
from pgsansio.policy.cluster import ClusterError
from tests.support.clients import Client, until
from tests.support.kerberos import HOST, REALM, Kerberos, make_importable, running_kerberos
from tests.support.servers import Server, ServerError, running_server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

USER = "alice"
#: Has no ticket.
OTHER = "bob"


class Without:
    """A finder of modules that does not find this one."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, *arguments: object) -> None:
        if name == self._module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def missing(text: str, *, is_wanted: bool = True) -> None:
    """Skip, or fail where everything has to be there."""
    if is_wanted and os.environ.get("PGSANSIO_TEST_REQUIRE_SERVER") == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


@pytest.fixture(scope="module")
def kerberos() -> Iterator[Kerberos]:
    try:
        make_importable()
        with running_kerberos(USER) as kerberos:
            yield kerberos
    except ServerError as error:
        missing(str(error))


@pytest.fixture(scope="module")
def gss_postgres(server_programs: str, kerberos: Kerberos) -> Iterator[Server]:
    """A server that lets `alice` in and `bob` in by their tickets, over TCP."""
    try:
        with running_server(
            server_programs,
            server_settings={"krb_server_keyfile": "../keytab"},
            hba=(f"host all {USER},{OTHER} all gss include_realm=0 krb_realm={REALM}",),
            files={"keytab": kerberos.keytab},
        ) as server:
            asyncio.run(_create_users(server))
            yield server
    except ClusterError as error:
        if "not supported by this build" not in str(error):
            raise
        # Nobody has a PostgreSQL 14 with GSSAPI to be fetched.
        wanted = os.environ.get("PGSANSIO_TEST_POSTGRES")
        missing("this PostgreSQL has no GSSAPI", is_wanted=wanted in ("16", "18"))


async def _create_users(server: Server) -> None:
    async with pgsansio_asyncio.connect(server.dsn) as connection:
        await connection.execute(f"CREATE ROLE {USER} LOGIN; CREATE ROLE {OTHER} LOGIN")
        if server.version >= 16:
            await connection.execute("ALTER SYSTEM SET gss_accept_delegation = on")
            await connection.execute("SELECT pg_reload_conf()")
            await until(connection, "current_setting('gss_accept_delegation')::bool")


@pytest.fixture
def arguments(gss_postgres: Server, kerberos: Kerberos, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of connect(), where `alice` has a ticket."""
    for name, value in kerberos.tickets[USER].items():
        monkeypatch.setenv(name, value)
    return {
        "host": HOST,
        "port": gss_postgres.port,
        "user": USER,
        "password": None,
        "database": gss_postgres.database,
        "ssl": False,
    }


@pytest.mark.checklist("AUTH-1", "AUTH-4")
@pytest.mark.parametrize("settings", [{}, {"krbsrvname": "postgres", "gsslib": "gssapi"}])
async def test_a_ticket(client: Client, arguments: dict[str, Any], settings: dict[str, str]) -> None:
    async with client.connect(**arguments, **settings) as connection:
        assert await connection.fetchval("SELECT current_user::text") == USER
        row = await connection.fetchrow("SELECT * FROM pg_stat_gssapi WHERE pid = pg_backend_pid()")
        assert (row["gss_authenticated"], row["principal"], row["encrypted"]) == (True, f"{USER}@{REALM}", False)


@pytest.mark.differs(
    asyncpg="has no `gssdelegation`.",
    ours="`gssdelegation=1` lets the server act in one's name, by Kerberos.",
)
async def test_a_ticket_for_the_server(client: Client, gss_postgres: Server, arguments: dict[str, Any]) -> None:
    for word, delegated in (("0", False), ("1", True)):
        async with client.connect(**arguments, gssdelegation=word) as connection:
            if gss_postgres.version >= 16:
                query = "SELECT credentials_delegated FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"
                assert await connection.fetchval(query) is delegated


@pytest.mark.checklist("AUTH-2", "AUTH-4")
async def test_no_ticket(
    client: Client, arguments: dict[str, Any], kerberos: Kerberos, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in kerberos.environment.items():
        monkeypatch.setenv(name, value)
    text = "unexpected error while performing authentication: .*(No credentials|No Kerberos credentials)"
    with pytest.raises(client.InternalClientError, match=text) as caught:
        async with client.connect(**arguments):
            pass
    assert type(caught.value.__cause__).__module__.startswith("gssapi.")


@pytest.mark.checklist("AUTH-4")
@pytest.mark.parametrize(("settings", "environment"), [({"krbsrvname": "mysql"}, {}), ({}, {"PGKRBSRVNAME": "mysql"})])
async def test_a_service_that_kerberos_does_not_know(
    client: Client,
    arguments: dict[str, Any],
    settings: dict[str, str],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(client.InternalClientError, match=f"mysql/{HOST}@{REALM} not found in Kerberos database"):
        async with client.connect(**arguments, **settings):
            pass


@pytest.mark.checklist("AUTH-4")
async def test_the_host_is_the_one_that_was_asked_for(client: Client, arguments: dict[str, Any]) -> None:
    """An address has no principal, and its name is not looked up."""
    with pytest.raises(client.InternalClientError, match=r"postgres/127\.0\.0\.1@"):
        async with client.connect(**arguments | {"host": "127.0.0.1"}):
            pass


@pytest.mark.checklist("AUTH-4")
@pytest.mark.parametrize(("library", "module"), [("gssapi", "gssapi"), ("sspi", "sspilib")])
async def test_a_package_that_is_missing(
    client: Client, arguments: dict[str, Any], library: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without(module), *sys.meta_path])
    name = "pgsansio" if client.is_ours else "asyncpg"
    text = rf"{module} module not found; please install {name}\[gssauth\] to use {name} with Kerberos/GSSAPI/SSPI"
    with pytest.raises((client.InterfaceError, client.InternalClientError), match=text):
        async with client.connect(**arguments, gsslib=library):
            pass


async def test_a_ticket_for_somebody_else(client: Client, arguments: dict[str, Any]) -> None:
    with pytest.raises(client.PostgresError, match=f'GSSAPI authentication failed for user "{OTHER}"'):
        async with client.connect(**arguments | {"user": OTHER}):
            pass
