"""What a program tells of its connections has no password in it: representations, logs, warnings, statistics."""

import asyncio
import gc
import importlib
import logging
import pickle
import warnings
from types import ModuleType
from typing import Any

import pytest

from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import CleartextPassword, ScramPassword
from pgsansio.client import Connection
from pgsansio.messages.tags import Direction
from pgsansio.messages.trace import describe_frame
from pgsansio.tap import Tap
from tests.support.leaks import SECRET
from tests.support.mock_server import speaking
from tests.support.scripted_backend import ScriptedBackend, login

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
