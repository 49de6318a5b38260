"""Our client on the running loop, on a real server."""

import gc
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
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


@pytest.fixture
def nothing_unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the collector finds afterwards: sockets that were not closed, tasks that were destroyed."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert not found
    assert not [one for one in warned if issubclass(one.category, ResourceWarning)]
