"""Several addresses of one name, over real sockets: one that does not answer, one where nobody listens."""

import asyncio
import contextlib
import gc
import ipaddress
import socket
import sys
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import pgsansio_asyncio.port
import pgsansio_asyncio.tcp
import pgsansio_trio.port
import pgsansio_trio.tcp
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy import happy_eyeballs
from pgsansio.policy.conninfo import TcpAddress
from pgsansio.policy.tcp_options import TcpOptions
from tests.support.clients import PATIENCE_SECONDS, Client
from tests.support.wire import full

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: All of 127.0.0.0/8 is this machine's.
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux listens at 127.0.0.9, and drops what is too much"
)
FULL = ("127.0.0.9", "127.0.0.10")
NOBODY = "127.0.0.11"


@pytest.fixture
def port_class(anyio_backend_name: str) -> Any:
    return pgsansio_trio.port.TrioPort if anyio_backend_name == "trio" else pgsansio_asyncio.port.AsyncioPort


@pytest.fixture
def names(port_class: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what a name stands for."""

    def set_names(**names: list[str]) -> None:
        async def resolve(self: Any, host: str, port: int) -> list[TcpAddress]:
            await anyio.lowlevel.checkpoint()
            return [TcpAddress(address, port) for address in names[host]]

        monkeypatch.setattr(port_class, "resolve", resolve)

    return set_names


async def address_of(client: Client, host: str, **settings: Any) -> tuple[str, str]:
    """Where the server is, for itself and for the client."""
    async with client.module.connect(**client.settings(host=host, **settings)) as connection:
        return await connection.fetchval("SELECT host(inet_server_addr())"), connection._address.host


@on_linux
async def test_an_address_that_does_not_answer_holds_nobody_up(client: Client, names: Callable[..., None]) -> None:
    server = client.server
    names(several=[*FULL, server.host])
    with full(FULL[0], server.port), full(FULL[1], server.port), anyio.fail_after(PATIENCE_SECONDS):
        assert await address_of(client, "several", timeout=None) == (server.host, server.host)
    gc.collect()  # a socket that was left open would be a ResourceWarning


@on_linux
async def test_where_nobody_listens(client: Client, names: Callable[..., None]) -> None:
    server = client.server
    names(several=["::1", NOBODY, server.host], dead=["::1", NOBODY])
    assert await address_of(client, "several") == (server.host, server.host)
    with pytest.raises(OSError) as caught:
        await address_of(client, "dead")
    assert len(caught.value.attempts) == 2  # type: ignore[attr-defined]


async def test_a_name_of_the_systems(client: Client) -> None:
    assert (await address_of(client, "localhost"))[0] in ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "\u2028"])
async def test_what_is_no_name(client: Client, host: str) -> None:
    with pytest.raises(ClientConfigurationError, match="is no name that can be looked up"):
        await address_of(client, host)


@on_linux
@pytest.mark.parametrize("how", ["cancelled", "too late", "wrong"])
async def test_nothing_is_left_of_a_race_that_has_no_winner(
    how: str,
    client: Client,
    names: Callable[..., None],
    port_class: Any,
    monkeypatch: pytest.MonkeyPatch,
    anyio_backend_name: str,
) -> None:
    server = client.server
    monkeypatch.setattr(happy_eyeballs, "DELAY", 0.0)
    original, opening = port_class.open_stream, anyio.Event()

    async def open_stream(self: Any, address: TcpAddress, engine: Any) -> None:
        if address.host == FULL[1]:
            opening.set()
        if address.host == NOBODY:
            raise ClientConfigurationError("no")
        await original(self, address, engine)

    monkeypatch.setattr(port_class, "open_stream", open_stream)
    names(several=[*FULL, NOBODY] if how == "wrong" else [*FULL])
    with full(FULL[0], server.port), full(FULL[1], server.port), anyio.fail_after(PATIENCE_SECONDS):
        if how == "cancelled":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(address_of, client, "several")
                await opening.wait()
                tasks.cancel_scope.cancel()
        elif how == "too late":
            with pytest.raises(client.OperationTimeoutError):
                await address_of(client, "several", timeout=0.01)
        else:
            with pytest.raises(ClientConfigurationError, match=r"^no$"):
                await address_of(client, "several")
    if anyio_backend_name == "asyncio":
        assert not [task for task in asyncio.all_tasks() if "_race" in repr(task)]
    gc.collect()


# Tasks


async def test_tasks_end_with_their_block(port_class: Any) -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(name)

    async def nothing() -> None:
        ended.append("nothing")

    port = port_class()
    async with port.tasks() as start:
        start(lambda: work("a"))
        start(lambda: work("b"))
        start(nothing)
        while "nothing" not in ended:
            await anyio.lowlevel.checkpoint()
    assert sorted(ended) == ["a", "b", "nothing"]
    with contextlib.suppress(ZeroDivisionError):
        async with port.tasks() as start:
            start(lambda: work("c"))
            await anyio.lowlevel.checkpoint()
            raise ZeroDivisionError

    async def block() -> None:
        async with port.tasks() as start:
            start(lambda: work("d"))
            await anyio.lowlevel.checkpoint()
            scope.cancel()
            await anyio.sleep_forever()

    with anyio.move_on_after(PATIENCE_SECONDS) as scope:
        with pytest.raises(anyio.get_cancelled_exc_class()):  # itself, and in no group
            await block()
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert ended[3:] == ["c", "d"]


async def test_a_block_of_tasks_is_thrown_away(port_class: Any) -> None:
    """As the collector does with a coroutine that nobody awaits any more: nothing can be waited for."""
    if port_class is pgsansio_trio.port.TrioPort:
        pytest.skip("a nursery cannot be thrown away")
    ended = anyio.Event()

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async def block() -> None:
        async with port_class().tasks() as start:
            start(work)
            await anyio.sleep_forever()

    thrown_away = block()
    thrown_away.send(None)
    await anyio.lowlevel.checkpoint()
    thrown_away.close()
    with anyio.fail_after(PATIENCE_SECONDS):
        await ended.wait()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_second_cancellation_waits_for_tasks_too() -> None:
    ended: list[int] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            ended.append(1)

    async def block() -> None:
        async with pgsansio_asyncio.port.AsyncioPort().tasks() as start:
            start(work)
            await asyncio.sleep(60)

    task = asyncio.ensure_future(block())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [1]


# Sockets


@pytest.fixture
def tcp(anyio_backend_name: str) -> Any:
    return pgsansio_trio.tcp if anyio_backend_name == "trio" else pgsansio_asyncio.tcp


async def test_a_socket_has_its_options_before_it_connects(tcp: Any) -> None:
    with tcp.tcp_socket("127.0.0.1", TcpOptions(keepalives_idle=61, tcp_user_timeout=9000)) as raw:
        assert raw.family is socket.AF_INET
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 61
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 9000
    with tcp.tcp_socket("127.0.0.1", TcpOptions(keepalives=False)) as raw:
        assert not raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    with pytest.raises(ClientConfigurationError, match="keepalives_count 1000000 is not possible on this system"):
        tcp.tcp_socket("127.0.0.1", TcpOptions(keepalives_count=1_000_000))
    with tcp.tcp_socket("::1", TcpOptions()) as raw:
        assert raw.family is socket.AF_INET6


def link_local() -> str | None:
    """An address of this machine's with a zone, if it has one."""
    with contextlib.suppress(FileNotFoundError), open("/proc/net/if_inet6", encoding="ascii") as file:
        for digits, *_, interface in map(str.split, file):
            if digits.startswith("fe80"):
                return f"{ipaddress.IPv6Address(bytes.fromhex(digits))}%{interface}"
    return None


async def test_an_address_with_a_zone(client: Client) -> None:
    address = link_local()
    if address is None:
        pytest.skip("this machine has no link-local address")
    # The server does not listen there; without its zone there would be no such address.
    with pytest.raises(ConnectionRefusedError):
        await address_of(client, address, port=1)
    with pytest.raises(OSError):
        await address_of(client, f"{address}x", port=1)
    gc.collect()


async def test_zones(tcp: Any) -> None:
    assert tcp.tcp_target("fe80::1%1", 7) == ("fe80::1", 7, 0, 1)
    assert tcp.tcp_target("fd00::1", 7) == ("fd00::1", 7)
    assert tcp.tcp_target("10.0.0.1", 7) == ("10.0.0.1", 7)
    assert tcp.numeric_host(("10.0.0.1", 5432)) == "10.0.0.1"
    assert tcp.numeric_host(("fd00::1", 5432, 0, 0)) == "fd00::1"
    assert tcp.numeric_host(("fe80::1", 5432, 0, 2)) == "fe80::1%2"
    assert tcp.numeric_host(("fe80::1%eth0", 5432, 0, 2)) == "fe80::1%eth0"
