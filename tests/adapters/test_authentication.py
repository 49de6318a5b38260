"""Start-up on a real server: channel binding, what a server may ask for, and versions of the protocol."""

import importlib
from types import ModuleType
from typing import Any

import pytest

from pgsansio.engine.startup import StartupMachine
from pgsansio.errors import InterfaceError
from pgsansio.frontend import Frontend
from pgsansio.messages.startup import PROTOCOL_3_0, PROTOCOL_3_2
from tests.support.certificates import HOST
from tests.support.faces import SIGNATURES, Faces
from tests.support.servers import Server

pytestmark = [pytest.mark.anyio, pytest.mark.server]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[StartupMachine]:
    """The start-up of each connection that is made."""
    machines: list[StartupMachine] = []
    start_up = Frontend.start_up

    def noted(frontend: Frontend, *args: Any, **keywords: Any) -> StartupMachine:
        machines.append(start_up(frontend, *args, **keywords))
        return machines[-1]

    monkeypatch.setattr(Frontend, "start_up", noted)
    return machines


@pytest.fixture(autouse=True)
def home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def module(anyio_backend_name: str) -> ModuleType:
    return importlib.import_module(f"pgsansio_{anyio_backend_name}")


async def connect(module: ModuleType, server: Server, words: str, **settings: Any) -> None:
    """
    Raises:
        OSError, PostgresError, InterfaceError: as `connect`.
    """
    parameters = {
        "host": HOST,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "database": server.database,
        **settings,
    }
    async with module.connect(f"postgresql://?{words}", **parameters) as connection:
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    ("words", "mechanism"),
    [
        ("sslmode=require", "SCRAM-SHA-256-PLUS"),
        ("sslmode=require&channel_binding=prefer", "SCRAM-SHA-256-PLUS"),
        ("sslmode=require&channel_binding=require", "SCRAM-SHA-256-PLUS"),
        ("sslmode=prefer&channel_binding=require&require_auth=scram-sha-256", "SCRAM-SHA-256-PLUS"),
        ("sslmode=require&channel_binding=disable", "SCRAM-SHA-256"),
        ("sslmode=disable", "SCRAM-SHA-256"),
    ],
)
async def test_channel_binding(
    module: ModuleType, tls_postgres: Server, started: list[StartupMachine], words: str, mechanism: str
) -> None:
    await connect(module, tls_postgres, words)
    assert [startup.mechanism for startup in started] == [mechanism]


async def test_channel_binding_in_plain_text(
    module: ModuleType, tls_postgres: Server, started: list[StartupMachine]
) -> None:
    with pytest.raises(InterfaceError, match="channel binding is required, but"):
        await connect(module, tls_postgres, "sslmode=disable&channel_binding=require")
    assert len(started) == 1
    assert started[0].work is None


@pytest.mark.parametrize("user", ["open", "clear", "hashed"])
async def test_servers_that_ask_for_less(
    module: ModuleType, lax_postgres: Server, started: list[StartupMachine], user: str
) -> None:
    """Refused before anything is said that they could use, and not tried again in another way."""
    for words, match in (
        ("channel_binding=require", "channel binding is required, but the server"),
        ("require_auth=scram-sha-256", "require_auth=scram-sha-256 is not met: the server"),
    ):
        with pytest.raises(InterfaceError, match=match):
            await connect(module, lax_postgres, words, user=user)
    assert len(started) == 2
    assert not any(startup.authenticated for startup in started)
    await connect(module, lax_postgres, "require_auth=none,password,md5", user=user)


async def test_a_server_that_asks_for_more(module: ModuleType, lax_postgres: Server) -> None:
    await connect(module, lax_postgres, "require_auth=scram-sha-256,gss")
    for required in ("none,md5", "!scram-sha-256"):
        with pytest.raises(InterfaceError, match="is not met: the server asked for SCRAM-SHA-256"):
            await connect(module, lax_postgres, f"require_auth={required}")


@pytest.mark.parametrize("asked", ["3.0", "3.2", "latest"])
@pytest.mark.parametrize("encryption", ["none", "TLS", "direct TLS"])
async def test_versions_of_the_protocol(module: ModuleType, tls_postgres: Server, asked: str, encryption: str) -> None:
    """Servers before 18 answer with 3.0; and the longer key of 3.2 cancels as the short one does."""
    if encryption == "direct TLS" and tls_postgres.version < 17:
        pytest.skip("direct TLS is new in PostgreSQL 17")
    newer = asked != "3.0" and tls_postgres.version >= 18
    async with module.connect(
        host=HOST,
        port=tls_postgres.port,
        user=tls_postgres.user,
        password=tls_postgres.password,
        database=tls_postgres.database,
        ssl="disable" if encryption == "none" else "require",
        direct_tls=encryption == "direct TLS",
        max_protocol_version=asked,
    ) as connection:
        assert connection._frontend.protocol_version == (PROTOCOL_3_2 if newer else PROTOCOL_3_0)
        assert len(connection._frontend.secret_key) == (32 if newer else 4)
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.1)
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_version_that_is_not_enough(module: ModuleType, tls_postgres: Server) -> None:
    words = "sslmode=disable&max_protocol_version=3.2&min_protocol_version=3.2"
    if tls_postgres.version >= 18:
        await connect(module, tls_postgres, words)
        return
    with pytest.raises(InterfaceError, match=r"the server knows protocol 3\.0 at most"):
        await connect(module, tls_postgres, words)


@pytest.mark.parametrize(("face", "has_hash"), SIGNATURES.items(), indirect=["face"])
async def test_channel_binding_to_any_certificate(
    module: ModuleType, face: Faces, has_hash: bool, started: list[StartupMachine]
) -> None:
    await connect(module, face.server, "sslmode=require")
    assert [startup.mechanism for startup in started] == ["SCRAM-SHA-256-PLUS" if has_hash else "SCRAM-SHA-256"]
    required = "sslmode=require&channel_binding=require"
    if has_hash:
        await connect(module, face.server, required)
        return
    with pytest.raises(InterfaceError, match="channel binding is required, but the server's certificate cannot be"):
        await connect(module, face.server, required)
