"""Connections through PgBouncer, from each of its versions."""

import pytest

from tests.support.clients import ours
from tests.support.pgbouncer import Pooler

pytestmark = [pytest.mark.anyio, pytest.mark.server]


async def test_queries_go_through(anyio_backend_name: str, pgbouncer: Pooler) -> None:
    async with ours(anyio_backend_name, pgbouncer.server).module.connect(pgbouncer.dsn) as connection:
        assert await connection.fetchval("SELECT 1") == 1
