"""Arguments of connect() and create_pool() that are none: an error that names them, before anything is connected to."""

import importlib
from types import ModuleType
from typing import Any

import pytest

from pgsansio.errors import ClientConfigurationError, InterfaceError
from tests.support.leaks import SECRET, shown_by

pytestmark = pytest.mark.anyio

#: What is wrong with these is said at once, or where the connection is made.
WRONG: dict[str, list[Any]] = {
    "loop": ["x"],
    "record_class": [5, dict],
    "connection_class": [5, dict],
    "codecs": [5, [5], "int4"],
    "json": ["x", 5],
    "connect_parameters": [5, "x"],
    "oauth_token": [5, b"x", "a\0"],
    "statement_mode": [5, "x"],
    "password": [5, b"x", "a\0"],
    "dsn": [5, b"x", "x", "\ud800"],
    "host": [5, b"x", "a\0", [5]],
    "port": ["x", -1, 65536, 1.5, [None]],
    "ssl": [5, "x", object],
    "direct_tls": ["x", 1.5],
    "timeout": ["x", float("nan"), True, 10**400],
    "command_timeout": ["x", -1, 0, float("nan"), True, 10**400],
    "statement_cache_size": ["x", -1, None, True],
    "server_settings": [5, {"a": 5}, {5: "a"}, {"": "a"}, {"a": "\0"}, {"\0": "a"}],
    "target_session_attrs": ["x", 5],
    "sslpassword": [b"x"],
    "connect_timeout": ["x", b"x"],
}
OF_POOLS: dict[str, list[Any]] = {
    **{name: ["x", None, -1] for name in ("min_size", "max_size", "max_queries")},
    **{name: [5, "x"] for name in ("setup", "init", "reset", "connect")},
    **{name: ["x", -1] for name in ("init_size", "max_lifetime", "acquire_timeout", "max_waiting")},
    "lazy": [5],
    "check": ["x"],
}
#: asyncpg's classes for what is no parameter of a connection.
DOCUMENTED = (ClientConfigurationError, InterfaceError, TypeError, ValueError)


@pytest.fixture
def module(anyio_backend_name: str) -> ModuleType:
    return importlib.import_module(f"pgsansio_{anyio_backend_name}")


async def refusal(entered: Any) -> BaseException:
    with pytest.raises(Exception) as caught:
        async with entered():
            raise AssertionError
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@pytest.mark.parametrize("name", [*WRONG, *OF_POOLS])
async def test_each_is_named(module: ModuleType, name: str) -> None:
    for value in (WRONG | OF_POOLS)[name]:
        for function in (module.connect, module.create_pool):
            if name in OF_POOLS and function is module.connect:
                continue
            if name == "loop" and module.__name__ == "pgsansio_trio":
                continue
            arguments = {"dsn": "postgresql://u@127.0.0.1:1/d", "password": SECRET, name: value}
            error = await refusal(lambda: function(**arguments))  # noqa: B023 - called at once
            assert isinstance(error, DOCUMENTED), error
            assert name in str(error) or name in ("dsn", "host", "ssl"), error
            assert SECRET not in shown_by(error, "connect", "create_pool", "__init__")


async def test_there_is_no_such_argument(module: ModuleType) -> None:
    for function in (module.connect, module.create_pool):
        error = await refusal(lambda: function(unknown=1, password=SECRET))  # noqa: B023
        assert isinstance(error, TypeError)
        assert "unknown" in str(error)
        assert SECRET not in shown_by(error, "connect")


async def test_a_pool_keeps_no_plain_secret(module: ModuleType) -> None:
    pool = module.create_pool(f"postgresql://u:{SECRET}@h/d", password=SECRET, min_size=0)
    assert SECRET not in f"{pool!r} {pool.stats()!r} {vars(pool)!r}"
    pool.set_connect_args(f"postgresql://u:{SECRET}@h/d", password=SECRET)
    assert SECRET not in f"{pool!r} {pool.stats()!r} {vars(pool)!r}"
    listener = module.listen("jobs", dsn=f"postgresql://u:{SECRET}@h/d", password=SECRET)
    assert SECRET not in f"{listener!r} {vars(listener)!r}"
