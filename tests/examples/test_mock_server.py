"""The example of a mock server, as our own client sees it."""

import asyncio
import contextlib
import runpy
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import pgsansio_asyncio

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "mock_server.py"))
GREETING = EXAMPLE["GREETING"].decode()


@pytest.fixture
def anyio_backend() -> str:
    """The example is one for asyncio."""
    return "asyncio"


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[pgsansio_asyncio.Connection]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(EXAMPLE["run"]("127.0.0.1", 0, port.set_result))
    try:
        connection = await pgsansio_asyncio.connect(
            host="127.0.0.1", port=await port, user="me", database="any", password=None, ssl=False
        )
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server


@pytest.mark.anyio
async def test_every_select_gets_one_row() -> None:
    async with connected() as connection:
        assert connection.get_server_version()[:2] == (16, 0)
        rows = await connection.fetch("SELECT anything")
        assert [dict(row) for row in rows] == [{"greeting": GREETING}]
        assert await connection.fetchval("SELECT anything") == GREETING
        assert await connection.execute("SELECT 1") == "SELECT 1"
        assert await asyncio.gather(*(connection.fetchval(f"SELECT {number}") for number in range(5))) == [GREETING] * 5


@pytest.mark.anyio
async def test_other_statements_are_refused_and_the_session_goes_on() -> None:
    async with connected() as connection:
        for _ in range(2):
            with pytest.raises(pgsansio_asyncio.FeatureNotSupportedError):
                await connection.fetch("DELETE FROM t")
            with pytest.raises(pgsansio_asyncio.FeatureNotSupportedError):
                await connection.execute("DELETE FROM t")
        assert await connection.execute("") == ""
        assert await connection.fetchval("SELECT 1") == GREETING
