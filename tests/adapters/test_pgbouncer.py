"""Connecting through PgBouncer, from each of its versions: who may come, and what is told when something is in the way.

How statements are sent through it is the matter of `test_poolers.py`; none is prepared here.
"""

import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest

from pgsansio.messages.startup import PROTOCOL_3_0
from tests.support.certificates import HOST, Certificates
from tests.support.clients import PATIENCE_SECONDS, RUNS_PG_SLEEP, Client, until
from tests.support.pgbouncer import Pooler, running_pgbouncer
from tests.support.servers import Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.server,
    # What uvloop adds to asyncio is not of interest here, and there are many poolers.
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]

#: With these a statement is whole in one transaction, which any pooler takes.
UNNAMED = {"statement_cache_size": 0}

# PgBouncer gives all errors of its own the SQLSTATE of a protocol violation.


@contextlib.asynccontextmanager
async def session(client: Client, pooler: Pooler, **arguments: Any) -> AsyncIterator[Any]:
    async with client.module.connect(pooler.dsn, **{**UNNAMED, **arguments}) as connection:
        yield connection


async def answer(client: Client, pooler: Pooler, **arguments: Any) -> int:
    async with session(client, pooler, **arguments) as connection:
        found: int = await connection.fetchval("SELECT 1")
        return found


@pytest.fixture(scope="module", params=["session", "transaction"])
def pooler(pgbouncer_version: str, postgres: Server, request: pytest.FixtureRequest) -> Iterator[Pooler]:
    with running_pgbouncer(pgbouncer_version, postgres, pool_mode=request.param) as pooler:
        yield pooler


# Start-up


@dataclass(frozen=True)
class Expected:
    """What is said of this by each version."""

    old: str
    new: str

    def of(self, pooler: Pooler) -> str:
        return self.old if pooler.version < (1, 24) else self.new


async def test_what_is_sent_by_default(client: Client, pooler: Pooler) -> None:
    async with session(client, pooler) as connection:
        assert not connection.tls
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        # With sessions the key that it has given is its own all the same.
        assert connection.get_server_pid() != pid
        async with connection.transaction():
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            assert await connection.fetchval("SELECT pg_backend_pid()") == pid
    assert connection.is_closed()


async def test_settings_that_it_knows(client: Client, pooler: Pooler) -> None:
    words = {"application_name": "me", "server_settings": {"timezone": "Asia/Tokyo"}}
    async with session(client, pooler, **words) as connection:
        assert await connection.fetchval("SHOW application_name") == "me"
        assert await connection.fetchval("SHOW timezone") == "Asia/Tokyo"
        assert connection.get_settings().TimeZone == "Asia/Tokyo"


async def test_options_and_other_settings(client: Client, pooler: Pooler) -> None:
    for words, expected in (
        ({"options": "-c geqo=off"}, Expected(": options", " in options: geqo")),
        ({"server_settings": {"geqo": "off"}}, Expected(": geqo", ": geqo")),
    ):
        with pytest.raises(client.ProtocolViolationError) as caught:
            await answer(client, pooler, **words)
        assert str(caught.value) == f"unsupported startup parameter{expected.of(pooler)}"


async def test_a_newer_protocol(client: Client, pooler: Pooler) -> None:
    """1.18 refuses it, and is asked again; later versions say what they know instead."""
    async with session(client, pooler, max_protocol_version="latest") as connection:
        assert connection._frontend.protocol_version == PROTOCOL_3_0
        assert await connection.fetchval("SELECT 1") == 1
        # Its key is a short one.
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT pg_sleep(60)", timeout=0.05)
        assert await connection.fetchval("SELECT 2") == 2
    refusals = (client.ProtocolViolationError, client.InterfaceError)
    with pytest.raises(refusals, match=r"bad packet header|the server knows protocol 3\.0 at most"):
        await answer(client, pooler, min_protocol_version="3.2", max_protocol_version="3.2")


async def test_the_role_of_the_server_behind_it(client: Client, pooler: Pooler, closed_port: int) -> None:
    places = {"host": [pooler.host] * 2, "port": [closed_port, pooler.port]}
    login = {"user": pooler.server.user, "password": pooler.server.password, "database": pooler.server.database}
    for attribute in ("any", "primary", "read-write", "prefer-standby"):
        async with client.module.connect(target_session_attrs=attribute, **places, **login, **UNNAMED) as connection:
            assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(client.TargetServerAttributeNotMatched):
        await answer(client, pooler, target_session_attrs="standby")


# Authentication. The users of `lax_postgres` have one password; how they come to the pooler, a file of its own says.

METHODS = {"clear": "password", "hashed": "md5", "open": "trust", "postgres": "scram-sha-256"}
REQUIRED = {"clear": "password", "hashed": "md5", "open": "none", "postgres": "scram-sha-256"}


@pytest.fixture(scope="module")
def lax_pooler(pgbouncer_version: str, lax_postgres: Server) -> Iterator[Pooler]:
    rules = "".join(f"host all {user} 127.0.0.1/32 {method}\n" for user, method in METHODS.items())
    with running_pgbouncer(
        pgbouncer_version,
        lax_postgres,
        settings={"auth_type": "hba", "auth_hba_file": "hba"},
        users=dict.fromkeys(METHODS, lax_postgres.password),
        files={"hba": rules.encode()},
    ) as pooler:
        yield pooler


@pytest.mark.parametrize("user", METHODS)
async def test_how_to_come_in(client: Client, lax_pooler: Pooler, user: str) -> None:
    assert await answer(client, lax_pooler, user=user, require_auth=REQUIRED[user]) == 1
    with pytest.raises(client.InterfaceError, match="require_auth"):
        await answer(client, lax_pooler, user=user, require_auth="!" + REQUIRED[user])
    with pytest.raises(client.InterfaceError, match="channel binding is required"):
        await answer(client, lax_pooler, user=user, channel_binding="require")
    if user != "open":
        with pytest.raises(client.PostgresError, match="authentication failed"):
            await answer(client, lax_pooler, user=user, password="wrong")


# TLS


@pytest.fixture(scope="module")
def tls_pooler(pgbouncer_version: str, postgres: Server, certificates: Certificates) -> Iterator[Pooler]:
    """One that takes encrypted connections only."""
    certificate, key = certificates.server
    with running_pgbouncer(
        pgbouncer_version,
        postgres,
        settings={
            "client_tls_sslmode": "require",
            "client_tls_cert_file": "server.crt",
            "client_tls_key_file": "server.key",
        },
        files={"server.crt": certificate, "server.key": key},
    ) as pooler:
        yield pooler


async def test_tls(client: Client, tls_pooler: Pooler, certificates: Certificates) -> None:
    checked = {"host": HOST, "ssl": "verify-full", "sslrootcert": certificates["ca.crt"]}
    async with session(client, tls_pooler, **checked) as connection:
        assert connection.tls.version == "TLSv1.3"
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT pg_sleep(60)", timeout=0.05)
        assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(client.InterfaceError, match="channel binding is required"):
        await answer(client, tls_pooler, channel_binding="require", **checked)
    with pytest.raises(ssl.SSLCertVerificationError):
        await answer(client, tls_pooler, **{**checked, "sslrootcert": certificates["other-ca.crt"]})
    with pytest.raises(client.ProtocolViolationError, match="SSL required"):
        await answer(client, tls_pooler, ssl="disable")


async def test_direct_tls(client: Client, tls_pooler: Pooler, certificates: Certificates) -> None:
    """Only the newest knows it; the oldest answers in plain text, and the one between waits for more."""
    checked = {"host": HOST, "ssl": "verify-full", "sslrootcert": certificates["ca.crt"], "direct_tls": True}
    if tls_pooler.version >= (1, 26):
        async with session(client, tls_pooler, **checked) as connection:
            assert connection.tls.alpn == "postgresql"
            assert await connection.fetchval("SELECT 1") == 1
        return
    if tls_pooler.version < (1, 24):
        with pytest.raises(ConnectionError, match=r"answered in plain text .* PgBouncer 1\.25 do not know"):
            await answer(client, tls_pooler, **checked)
        return
    with pytest.raises(client.OperationTimeoutError):
        await answer(client, tls_pooler, timeout=0.2, **checked)


# Running sessions


async def test_cancelling(client: Client, pooler: Pooler, observer: Any) -> None:
    async with session(client, pooler) as connection:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks, connection.transaction():
                pid = await connection.fetchval("SELECT pg_backend_pid()")

                async def cancel() -> None:
                    await until(observer, RUNS_PG_SLEEP, pid)
                    scope.cancel()

                tasks.start_soon(cancel)
                await connection.fetchval("SELECT pg_sleep(60)")
        assert scope.cancelled_caught
        assert await connection.fetchval("SELECT 1") == 1
        assert not await observer.fetchval(RUNS_PG_SLEEP, pid)


@pytest.fixture
def own_pooler(pgbouncer_version: str, postgres: Server) -> Iterator[Pooler]:
    """With one connection to the server, and little patience with clients that wait for it."""
    settings = {"default_pool_size": "1", "query_wait_timeout": "0.1"}
    with running_pgbouncer(pgbouncer_version, postgres, settings=settings) as pooler:
        yield pooler


async def test_no_connection_to_the_server_is_free(client: Client, own_pooler: Pooler) -> None:
    async with session(client, own_pooler) as first, session(client, own_pooler) as second, first.transaction():
        await first.execute("SELECT 1")
        with pytest.raises(client.PostgresConnectionError, match="query_wait_timeout") as caught:
            await second.fetchval("SELECT 1")
        assert not caught.value.connection_usable
        assert second.is_closed()
        assert await first.fetchval("SELECT 1") == 1


async def test_the_pooler_dies(client: Client, own_pooler: Pooler, observer: Any) -> None:
    async with session(client, own_pooler) as busy, session(client, own_pooler) as idle:
        pid = await busy.fetchval("SELECT pg_backend_pid()")
        async with anyio.create_task_group() as tasks:

            async def die() -> None:
                await until(observer, RUNS_PG_SLEEP, pid)
                own_pooler.tell(signal.SIGKILL)
                # The server would see only at the end of the query that nobody waits for it.
                await observer.execute("SELECT pg_terminate_backend($1)", pid)

            tasks.start_soon(die)
            with pytest.raises(client.PostgresConnectionError, match="closed in the middle of operation") as caught:
                await busy.fetchval("SELECT pg_sleep(60)")
        assert not caught.value.connection_usable
        assert not caught.value.safe_to_retry
        with pytest.raises((client.InterfaceError, client.PostgresConnectionError)):
            await idle.fetchval("SELECT 1")
        with anyio.fail_after(PATIENCE_SECONDS):
            await busy.close()
            await idle.close()
    with pytest.raises(ConnectionError):
        await answer(client, own_pooler)


async def test_the_pooler_hangs(client: Client, pgbouncer_1_26: Pooler) -> None:
    """Nothing waits for it much longer than it was told to."""
    pooler = pgbouncer_1_26
    async with session(client, pooler) as connection, session(client, pooler) as closing:
        pooler.tell(signal.SIGSTOP)
        try:
            with anyio.fail_after(PATIENCE_SECONDS):
                # On trio this takes a second longer, in which it should be cancelled, and the connection is given up.
                with pytest.raises(client.OperationTimeoutError):
                    await connection.fetchval("SELECT 1", timeout=0.05)
                with pytest.raises(TimeoutError):
                    await closing.close(timeout=0.05)
                with pytest.raises(client.OperationTimeoutError):
                    await answer(client, pooler, timeout=0.05)
        finally:
            pooler.tell(signal.SIGCONT)
        assert connection.is_closed() or await connection.fetchval("SELECT 2") == 2
        assert closing.is_closed()
    assert await answer(client, pooler) == 1


async def test_the_servers_session_is_ended(client: Client, own_pooler: Pooler, observer: Any) -> None:
    async with session(client, own_pooler) as connection:
        await connection.transaction().start()
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        async with anyio.create_task_group() as tasks:

            async def end() -> None:
                await until(observer, RUNS_PG_SLEEP, pid)
                await observer.execute("SELECT pg_terminate_backend($1)", pid)

            tasks.start_soon(end)
            with pytest.raises(client.PostgresConnectionError, match="terminating connection due to administrator"):
                await connection.fetchval("SELECT pg_sleep(60)")
    assert await answer(client, own_pooler) == 1


async def test_the_next_pooler(client: Client, own_pooler: Pooler, pgbouncer_version: str) -> None:
    """One that has no room is none that refuses us."""
    with running_pgbouncer(pgbouncer_version, own_pooler.server, settings={"max_client_conn": "1"}) as full:
        async with session(client, full):
            with pytest.raises(client.ProtocolViolationError, match="no more connections allowed") as caught:
                await answer(client, full)
            assert len(caught.value.attempts) == 1
            places = {"host": [full.host, own_pooler.host], "port": [full.port, own_pooler.port]}
            assert await answer(client, own_pooler, **places) == 1


@pytest.fixture
def closed_port() -> int:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_no_server_behind_it(client: Client, pgbouncer_version: str, postgres: Server, closed_port: int) -> None:
    settings = {"query_wait_timeout": "0.1"}
    refusal = pytest.raises(client.ProtocolViolationError, match=r"query_wait_timeout|server login has been failing")
    with (
        running_pgbouncer(pgbouncer_version, replace(postgres, port=closed_port), settings=settings) as pooler,
        refusal,
    ):
        await answer(client, pooler)
