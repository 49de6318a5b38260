"""What the dialect makes of a URL: arguments of connect()."""

from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine

from pgsansio_asyncio.sqlalchemy import PGDialect_pgsansio


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ("host=a:1&host=b:2", {"host": ["a", "b"], "port": [1, 2]}),
        ("host=/run/postgresql", {"host": "/run/postgresql"}),
        ("ssl=require&timeout=3", {"ssl": "require", "timeout": 3.0}),
        (
            "statement_cache_size=0&pipelining=false&direct_tls=1",
            {"statement_cache_size": 0, "pipelining": False, "direct_tls": True},
        ),
        ("prepared_statement_cache_size=7&json=orjson", {"prepared_statement_cache_size": 7, "json": "orjson"}),
        ("host=a&hostaddr=127.0.0.1&port=1", {"host": "a", "hostaddr": "127.0.0.1", "port": 1}),
        (
            "sslmode=verify-full&options=-c%20a%3Db%2Bc",
            {"dsn": "postgresql:///?sslmode=verify-full&options=-c%20a%3Db%2Bc"},
        ),
    ],
)
def test_arguments_of_connect(options: str, arguments: dict[str, Any]) -> None:
    found = PGDialect_pgsansio().create_connect_args(make_url(f"postgresql+pgsansio://user:word@/db?{options}"))
    assert found == ([], {"user": "user", "password": "word", "database": "db", **arguments})


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_mode_in_which_nothing_can_be_prepared() -> None:
    """Said before there is a connection: nobody listens there."""
    url = "postgresql+pgsansio://user:word@127.0.0.1:1/db"
    for engine in (
        create_async_engine(f"{url}?statement_mode=simple"),
        create_async_engine(url, connect_args={"statement_mode": "simple"}),
    ):
        with pytest.raises(ArgumentError, match="statement_mode='simple' cannot be used with SQLAlchemy"):
            await engine.connect()
