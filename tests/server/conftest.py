"""One body, run on asyncpg and on ours: `client` and `connection` come as each of them.

A test marked `differs` shows what ours does; on asyncpg it has to fail.
"""

import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from tests.support.clients import Client, ours
from tests.support.servers import Server

ASYNCIO = ("asyncio", {"use_uvloop": False})
OURS = {
    "asyncio": ASYNCIO,
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "client" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("differs")
    marks = [] if marker is None else [pytest.mark.xfail(reason=f"asyncpg {marker.kwargs['asyncpg']}", strict=True)]
    metafunc.parametrize(
        ("client", "anyio_backend"),
        [
            pytest.param("asyncpg", ASYNCIO, id="asyncpg", marks=marks),
            *(pytest.param("ours", backend, id=name) for name, backend in OURS.items()),
        ],
        indirect=True,
    )


@pytest.fixture(scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The loop; `pytest_generate_tests` chooses it together with the client."""
    return request.param


@pytest.fixture
def client(request: pytest.FixtureRequest, anyio_backend_name: str, postgres: Server) -> Iterator[Client]:
    if request.param != "asyncpg":
        yield ours(anyio_backend_name, postgres)
        return
    yield Client(asyncpg, postgres)
    # Cut off at a bad moment it leaves a transport open. The warning of that is its own, and no later test's.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect(1)


@pytest.fixture
async def connection(client: Client) -> AsyncIterator[Any]:
    """The connection under test."""
    async with client.connect() as connection:
        yield connection


@pytest.fixture
async def observer(client: Client) -> AsyncIterator[Any]:
    """Another connection, to look at the server with."""
    async with client.connect() as connection:
        yield connection
