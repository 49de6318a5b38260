"""What a program tells of its connections has no password in it: representations, logs, warnings, statistics."""

import asyncio
import gc
import importlib
import logging
import pickle
import ssl
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import CleartextPassword, ScramPassword
from pgsansio.client import Connection
from pgsansio.errors import ClientConfigurationError
from pgsansio.messages.authentication import AuthenticationCleartextPassword, PasswordMessage
from pgsansio.messages.startup import StartupMessage
from pgsansio.messages.tags import Direction
from pgsansio.messages.trace import describe_frame
from pgsansio.tap import Tap
from pgsansio.testing.script import ScriptedBackend, expect, hang_up, login, send, send_bytes
from tests.support.leaks import SECRET, shown_by
from tests.support.mock_server import OverTls, speaking

pytestmark = pytest.mark.anyio

STORED = ScramSecret.from_password(SECRET, b"0123456789abcdef", 2)


@pytest.fixture
def module(anyio_backend_name: str) -> ModuleType:
    return importlib.import_module(f"pgsansio_{anyio_backend_name}")


@pytest.mark.parametrize("method", [lambda: CleartextPassword(SECRET), lambda: ScramPassword(STORED, "n")])
async def test_nothing_tells(module: ModuleType, caplog: pytest.LogCaptureFixture, method: Any) -> None:
    caplog.set_level(logging.DEBUG)
    if module.__name__ == "pgsansio_asyncio":
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0  # each callback is logged, with the reprs of tasks and futures
    async with speaking(lambda: ScriptedBackend(login(method()))) as arguments:
        dsn = f"postgresql://u:{SECRET}@/d"
        connection: Connection = await module.connect(dsn, **arguments | {"user": None, "database": None})
        shown = [repr(connection), repr(connection._settings), repr(connection._frontend), repr(connection._port)]
        shown += [repr(getattr(connection, name, None)) for name in dir(connection) if name not in ("_connection",)]
        with pytest.raises(Exception) as caught:
            pickle.dumps(connection)
        shown.append(str(caught.value))
        connection.terminate()
        pool = module.create_pool(dsn, password=SECRET, **arguments, min_size=1, max_size=1)
        async with pool:
            shown += [repr(pool), repr(pool.stats()), repr(vars(pool)), repr(pool.get_size())]
            pool.terminate()
    assert SECRET not in "\n".join(shown)
    assert SECRET not in caplog.text
    if module.__name__ == "pgsansio_asyncio":
        assert "Executing" in caplog.text or "uvloop" in type(loop).__module__


async def test_what_was_never_closed(module: ModuleType) -> None:
    async with speaking(lambda: ScriptedBackend(login(CleartextPassword(SECRET)))) as arguments:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            connection = await module.connect(password=SECRET, **arguments)
            del connection
            gc.collect()
    told = "\n".join(str(one.message) for one in caught if issubclass(one.category, ResourceWarning))
    assert "never closed" in told or "unclosed" in told
    assert SECRET not in told


async def test_a_trace(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []

    def note(direction: Direction, tag: int, body: bytes) -> None:
        lines.append(describe_frame(direction, tag, body))

    port: Any = getattr(module.port, {"pgsansio_asyncio": "AsyncioPort", "pgsansio_trio": "TrioPort"}[module.__name__])
    drive = port.drive
    taps: list[Tap] = []

    def tapped(self: Any, engine: Any) -> None:
        taps.append(Tap(engine, note))
        drive(self, taps[-1])

    monkeypatch.setattr(port, "drive", tapped)
    async with speaking(lambda: ScriptedBackend(login(CleartextPassword(SECRET)))) as arguments:
        connection = await module.connect(password=SECRET, **arguments)
        connection.terminate()
    assert any("AuthenticationResponse" in line for line in lines)
    assert SECRET not in "\n".join(lines)
    assert SECRET not in repr([vars(tap) for tap in taps])


@pytest.mark.parametrize("which", ["nothing in it", "another password", "no password"])
async def test_the_password_of_a_clients_key(module: ModuleType, tmp_path: Path, which: str) -> None:
    issued = trustme.CA().issue_cert("client")
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    encrypted = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"right")
    )
    key.write_bytes(b"" if which == "nothing in it" else encrypted)
    password = "" if which == "no password" else SECRET
    dsn = f"postgresql://u@127.0.0.1:1/d?sslmode=require&sslcert={certificate}&sslkey={key}&sslpassword={password}"
    with pytest.raises(ClientConfigurationError, match="sslkey") as caught:
        await module.connect(dsn, password=SECRET)
    assert SECRET not in shown_by(caught.value)


async def test_a_server_that_leaves_when_the_password_comes_over_tls(module: ModuleType) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    for after in ([hang_up()], [expect(PasswordMessage), hang_up()], [send_bytes(b"X\0\0\0\4")]):
        script = [expect(StartupMessage), send(AuthenticationCleartextPassword()), *after]
        async with speaking(lambda: OverTls(ScriptedBackend(script), context), over_tcp=True) as arguments:  # noqa: B023
            with pytest.raises(Exception) as caught:
                await module.connect(password=SECRET, ssl="require", **arguments)
        assert SECRET not in shown_by(caught.value)
