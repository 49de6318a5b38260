"""What stands for a pool's connection while somebody has it."""

import inspect
from typing import Any

import pytest

from pgsansio.client import Connection
from pgsansio.client.pool_proxy import PoolConnectionProxy
from pgsansio.errors import InterfaceError
from tests.support.manual_pool import World


def test_it_passes_for_the_connection_until_it_is_released() -> None:
    there = World()
    proxies: list[Any] = []

    async def body(pool: Any) -> None:
        async with pool.acquire() as proxy:
            proxies.append(proxy)
            assert isinstance(proxy, Connection)
            assert type(proxy) is PoolConnectionProxy
            assert repr(proxy).startswith("<PoolConnectionProxy <pgsansio.client.connection.Connection 0x")
            assert await proxy.fetchval("SELECT 7") == 7
            assert proxy.host == "server"
            with pytest.raises(TypeError, match="the class of a PoolConnectionProxy cannot be changed"):
                proxy.__class__ = Connection

    there.loop.finish(body(there.pool))
    (proxy,) = proxies
    assert repr(proxy).startswith("<PoolConnectionProxy [released] 0x")
    for name in ("fetchval", "is_closed"):
        with pytest.raises(InterfaceError, match=rf"cannot call Connection\.{name}\(\): connection has been released"):
            getattr(proxy, name)("SELECT 7") if name == "fetchval" else proxy.is_closed()
    with pytest.raises(InterfaceError, match=r"cannot call Connection\.host\(\): connection has been released"):
        proxy.host  # noqa: B018
    with pytest.raises(AttributeError):
        proxy._no_such_name  # noqa: B018
    there.check_close()


def test_its_methods_look_like_those_of_the_connection() -> None:
    for name in ("fetch", "execute", "is_closed", "transaction"):
        assert inspect.signature(getattr(PoolConnectionProxy, name)) == inspect.signature(getattr(Connection, name))
        assert getattr(PoolConnectionProxy, name).__doc__ == getattr(Connection, name).__doc__


def test_a_context_is_of_use_once() -> None:
    there = World()

    async def body(pool: Any) -> None:
        context = pool.acquire()
        async with context:
            with pytest.raises(InterfaceError, match="a connection is already acquired"):
                await context.__aenter__()
        with pytest.raises(InterfaceError, match="a connection is already acquired"):
            await context.__aenter__()
        awaited = pool.acquire()
        proxy = await awaited
        assert await proxy.fetchval("SELECT 7") == 7
        with pytest.raises(InterfaceError, match="a connection is already acquired"):
            await awaited.__aenter__()
        await awaited.__aexit__(None, None, None)  # it is not this block's
        assert not proxy.is_closed()
        await pool.release(proxy)

    there.loop.finish(body(there.pool))
    there.check_close()
