"""listen(): real losses, on both loops."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.support.clients import PATIENCE_SECONDS, Client, until
from tests.support.toy_server import ToyCluster, ToyServer
from tests.support.wire import serving

pytestmark = [pytest.mark.anyio, pytest.mark.server]

NAME = "reconnecting"
BACKENDS = f"FROM pg_stat_activity WHERE application_name = '{NAME}'"


@contextlib.asynccontextmanager
async def listen(client: Client, *channels: str, **options: Any) -> AsyncIterator[Any]:
    """It takes no longer than a test may."""
    settings = client.settings(server_settings={"application_name": NAME}, **options)
    with anyio.fail_after(PATIENCE_SECONDS):
        async with client.listen(*channels, **settings) as items:
            yield items


async def test_it_goes_on_after_a_loss(client: Client, observer: Any) -> None:
    async with listen(client, "jobs", "news") as items:
        await observer.execute("NOTIFY jobs, 'a'")
        assert (await anext(items)).payload == "a"
        for number in range(3):
            await observer.execute(f"SELECT pg_terminate_backend(pid) {BACKENDS}")
            gap = await anext(items)
            assert isinstance(gap, client.Gap)
            assert isinstance(gap.error, client.AdminShutdownError)
            assert (gap.attempts, items.connected) == (1, True)
            await observer.execute(f"NOTIFY news, '{number}'")
            assert (await anext(items)).payload == str(number)
    await until(observer, f"SELECT count(*) = 0 {BACKENDS}")


async def test_channels_come_and_go(client: Client, observer: Any) -> None:
    """Beside the iteration, in another task."""
    got: list[str] = []

    async def read() -> None:
        async for item in items:
            got.append(item.payload)
            if item.payload == "last":
                return

    async with listen(client, "a") as items, anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await items.add("b")
        await items.remove("a")
        assert items.channels == ("b",)
        await observer.execute("NOTIFY a, 'lost'; NOTIFY b, 'last'")
    assert got == ["last"]


async def test_what_entering_raises(client: Client) -> None:
    with pytest.raises(client.InvalidPasswordError):
        async with listen(client, "a", password="not this one"):
            raise AssertionError
    with pytest.raises(client.InterfaceError, match="channel name"):
        client.listen("")
    with pytest.raises(TypeError):
        async with listen(client, "a", no_such_argument=1):
            raise AssertionError


async def test_an_error_that_will_not_pass(client: Client, observer: Any) -> None:
    passwords = [client.server.password, "not this one"]
    async with listen(client, "a", password=lambda: passwords.pop(0)) as items:
        await observer.execute(f"SELECT pg_terminate_backend(pid) {BACKENDS}")
        with pytest.raises(client.InvalidPasswordError):
            await anext(items)
        assert not items.connected


async def test_leaving_by_an_error_and_by_a_cancellation(client: Client, observer: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with listen(client, "a"):
            raise ZeroDivisionError
    with anyio.move_on_after(0.05):
        async with listen(client, "a") as items:
            await anext(items)
    await until(observer, f"SELECT count(*) = 0 {BACKENDS}")


async def test_an_iteration_that_is_interrupted(client: Client, observer: Any) -> None:
    """As by asyncio.wait_for(anext(...), seconds)."""
    async with listen(client, "a") as items:
        for number in range(5):
            with anyio.move_on_after(0.001):
                await anext(items)
                raise AssertionError
            if number == 2:
                await observer.execute(f"SELECT pg_terminate_backend(pid) {BACKENDS}")
                while not isinstance(await anext(items), client.Gap):
                    pass
        await observer.execute("NOTIFY a, 'x'")
        assert (await anext(items)).payload == "x"


class Mute(ToyServer):
    """A server that says nothing any more once it was seen to listen."""

    def data_to_send(self) -> bytes:
        if self.listens:
            return b""
        self.listens = bool(self.state.channels)
        return super().data_to_send()

    listens = False


async def test_a_server_that_does_not_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgsansio.client.reconnecting.ANSWER_SECONDS", 0.05)
    cluster = ToyCluster()
    made: list[ToyServer] = []

    def make() -> ToyServer:
        # The first one is mute once it listens, and what comes to cancel its operation does not help.
        made.append(Mute(cluster, 1) if not made else ToyServer(cluster, 2))
        return made[-1]

    async with serving(client, make) as served, listen(served, "a", ssl="disable", heartbeat=0.05) as items:
        gap = await anext(items)
        assert isinstance(gap, client.Gap)
        assert isinstance(gap.error, client.OperationTimeoutError)
        assert made[-1].state.channels == {"a"}
