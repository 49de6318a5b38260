"""Authentication: what a server asks for, what it gets, and what it must not do."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationKerberosV5,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)
from pgsansio.messages.backend import ParameterStatus
from pgsansio.messages.frontend import Terminate
from pgsansio.messages.startup import StartupMessage
from pgsansio.testing.script import ScriptedBackend, Step, expect, hang_up, ready, send
from tests.support.certificates import HOST
from tests.support.clients import Client
from tests.support.servers import Server
from tests.support.wire import serving

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.fixture(autouse=True)
def _no_files(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def lax(client: Client, lax_postgres: Server) -> Client:
    """Of the server that asks for something else of each user."""
    return replace(client, server=lax_postgres)


async def whoami(client: Client, **settings: Any) -> Any:
    async with client.connect(**settings) as connection:
        return await connection.fetchval("SELECT current_user")


@pytest.mark.checklist("AUTH-1")
@pytest.mark.parametrize("user", ["open", "clear", "hashed", "postgres"])
async def test_methods(lax: Client, user: str) -> None:
    assert await whoami(lax, user=user) == user
    if user == "open":
        assert await whoami(lax, user=user, password="wrong") == user
        return
    with pytest.raises(lax.InvalidPasswordError):
        await whoami(lax, user=user, password="wrong")


@pytest.mark.checklist("AUTH-1")
@pytest.mark.parametrize(
    "password", ["p\u00e4ss w\u00f6rd", "I\u00adX", "\u2168", "a\u00a0b", "\u0627\u0031", "\u0378"]
)
async def test_any_password_is_prepared_as_the_server_does(client: Client, password: str) -> None:
    async with client.connect() as connection:
        await connection.execute(f"CREATE ROLE prepared LOGIN PASSWORD '{password}'")
        try:
            assert await whoami(client, user="prepared", password=password) == "prepared"
        finally:
            await connection.execute("DROP ROLE prepared")


@pytest.mark.checklist("AUTH-3")
@pytest.mark.parametrize("user", ["clear", "hashed", "postgres"])
async def test_no_password_is_an_empty_one(lax: Client, user: str) -> None:
    with pytest.raises(lax.InvalidPasswordError):
        await whoami(lax, user=user, password=None)


def scripted(*steps: Step) -> Any:
    """Makes servers that do this after the StartupMessage."""
    return lambda: ScriptedBackend([expect(StartupMessage), *steps], strict=False)


@pytest.mark.checklist("AUTH-1")
async def test_a_method_that_nobody_has(client: Client) -> None:
    async with serving(client, scripted(send(AuthenticationKerberosV5()))) as client:
        with pytest.raises(client.InterfaceError, match="unsupported authentication method requested by the server"):
            await whoami(client)


@pytest.mark.checklist("AUTH-1")
async def test_mechanisms_that_nobody_has(client: Client) -> None:
    async with serving(client, scripted(send(AuthenticationSASL(("SCRAM-SHA-1", "PLAIN"))))) as client:
        with pytest.raises(client.InterfaceError, match="unsupported SASL Authentication methods requested by the"):
            await whoami(client)


def challenge(nonce: str) -> Step:
    """Takes the first message of SCRAM, and answers; {nonce} is the client's."""

    def step(server: ScriptedBackend) -> bool:
        first = server.take()
        if first is None:
            return False
        assert isinstance(first, SASLInitialResponse)
        own = (first.data or b"").rpartition(b"r=")[2].decode()
        text = f"r={nonce.format(nonce=own)},s=MDEyMzQ1Njc4OWFiY2RlZg==,i=2"
        server.backend.send(AuthenticationSASLContinue(text.encode()))
        return True

    return step


SCRAM = send(AuthenticationSASL(("SCRAM-SHA-256",)))


@pytest.mark.checklist("AUTH-2")
async def test_an_exchange_that_goes_wrong(client: Client) -> None:
    async with serving(client, scripted(SCRAM, challenge("another"))) as client:
        with pytest.raises(client.InternalClientError, match=r"^unexpected error while performing authentication: "):
            await whoami(client)


@pytest.mark.checklist("AUTH-1")
@pytest.mark.differs(
    asyncpg="lets a server in that has not shown that it knows the password.",
    ours="A server that ends SCRAM without its signature is refused, and nothing more is said to it.",
)
async def test_a_server_that_leaves_its_proof_out(client: Client) -> None:
    parameters = (ParameterStatus("server_version", "16.4"), ParameterStatus("client_encoding", "UTF8"))
    before = (SCRAM, challenge("{nonce}x"), expect(SASLResponse))
    script = scripted(*before, send(AuthenticationOk(), *parameters, ready()), expect(Terminate), hang_up())
    async with serving(client, script) as client:
        with pytest.raises(client.InternalClientError, match="unexpected AuthenticationOk"):
            async with client.connect():
                pass


@pytest.mark.differs(
    asyncpg="answers a server as often as it asks, in clear text after SCRAM, too.",
    ours="A server asks once.",
)
async def test_a_server_that_asks_twice(client: Client) -> None:
    asked = AuthenticationCleartextPassword()
    script = scripted(SCRAM, challenge("{nonce}x"), expect(SASLResponse), send(asked))
    heard: list[ScriptedBackend] = []

    def make() -> ScriptedBackend:
        heard.append(script())
        return heard[-1]

    async with serving(client, make) as client:
        with pytest.raises(client.InternalClientError, match="unexpected AuthenticationCleartextPassword"):
            await client.module.connect(**client.settings(timeout=1))
    assert not any(isinstance(message, PasswordMessage) for message in heard[0].messages)


@pytest.mark.differs(
    asyncpg="does not know require_auth, and sends it to the server as a setting.",
    ours="`require_auth` says what a server may ask for; nothing is said to one that asks for something else.",
)
async def test_required_methods(lax: Client) -> None:
    assert await whoami(lax, dsn="postgresql://?require_auth=scram-sha-256") == "postgres"
    for user in ("open", "clear", "hashed"):
        with pytest.raises(lax.InterfaceError, match="require_auth=scram-sha-256 is not met"):
            await whoami(lax, user=user, dsn="postgresql://?require_auth=scram-sha-256")


def owner_of(server: Server) -> str:
    import pwd

    return pwd.getpwuid(Path(server.socket_dir, f".s.PGSQL.{server.port}").stat().st_uid).pw_name


@pytest.mark.skipif(sys.platform != "linux", reason="others do not tell")
@pytest.mark.differs(
    asyncpg="does not know requirepeer, and sends it to the server as a setting.",
    ours="`requirepeer` names the system's user who has to be at the other end of a Unix socket.",
)
async def test_a_required_peer(client: Client) -> None:
    owner = owner_of(client.server)
    assert await whoami(client, dsn=f"postgresql://?requirepeer={owner}") == "postgres"
    with pytest.raises(client.InterfaceError, match=f"^requirepeer=somebody is not met: the server is {owner}$"):
        await whoami(client, dsn="postgresql://?requirepeer=somebody")
    # It is for Unix sockets.
    assert await whoami(client, host=client.server.host, dsn="postgresql://?requirepeer=somebody") == "postgres"
    async with client.connect(dsn=f"postgresql://?requirepeer={owner}") as connection:
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.1)
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="knows no channel binding.",
    ours="SCRAM is bound to the certificate of a TLS connection, and `channel_binding=require` refuses anything less.",
)
async def test_required_channel_binding(client: Client, tls_postgres: Server) -> None:
    client = replace(client, server=tls_postgres)
    words = "postgresql://?channel_binding=require&sslmode"
    assert await whoami(client, host=HOST, dsn=f"{words}=require") == "postgres"
    with pytest.raises(client.InterfaceError, match="channel binding is required"):
        await whoami(client, host=HOST, dsn=f"{words}=disable")


@pytest.mark.differs(
    asyncpg="speaks version 3.0 of the protocol only.",
    ours="`max_protocol_version=3.2` asks for 3.2, and takes 3.0 from a server that knows no more.",
)
async def test_a_newer_protocol(client: Client) -> None:
    assert await whoami(client, dsn="postgresql://?max_protocol_version=3.2") == "postgres"
