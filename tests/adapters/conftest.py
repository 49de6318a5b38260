"""Our client on the running loop, on a real server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.clients import Client, ours
from tests.support.servers import Server


@pytest.fixture
def client(anyio_backend_name: str, postgres: Server) -> Client:
    return ours(anyio_backend_name, postgres)


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
