"""However a block is left: no task and no socket outlives it, and errors come as they are, in no group of ours."""

import asyncio
import contextlib
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import pytest
import trio

from tests.support.clients import PATIENCE_SECONDS, Client, until
from tests.support.pools import make_pool

pytestmark = [pytest.mark.anyio, pytest.mark.server]

NAME = "tasks"
BACKENDS = f"FROM pg_stat_activity WHERE application_name = '{NAME}'"


def running(backend: str) -> list[str]:
    """Names of the tasks below this one, and of those of the system that are ours; on asyncio, of all others."""
    if backend != "trio":
        return sorted(task.get_name() for task in asyncio.all_tasks())
    root = trio.lowlevel.current_root_task()
    assert root is not None
    waiting, found = [root], []
    while waiting:
        task = waiting.pop()
        found.append(task.name)
        for nursery in task.child_nurseries:
            waiting += nursery.child_tasks
    return sorted(found)


class Boom(Exception):
    """The block's own."""


@pytest.fixture(params=["connect", "pool", "lazy_pool", "listen"])
def block(request: pytest.FixtureRequest, client: Client) -> Callable[[], Any]:
    """Makes a block, whose value has something under way."""

    @contextlib.asynccontextmanager
    async def used() -> Any:
        settings = {"server_settings": {"application_name": NAME}}
        if request.param == "connect":
            async with client.connect(**settings) as connection:
                await connection.fetchval("SELECT 1")
                yield connection
        elif request.param == "listen":
            async with client.listen("jobs", **client.settings(**settings)) as items:
                yield items
        else:
            async with make_pool(client, 1, 3, lazy=request.param == "lazy_pool", **settings) as pool:
                await pool.fetchval("SELECT 1")
                async with pool.acquire() as first, pool.acquire() as second:
                    await first.fetchval("SELECT 1")
                    await second.fetchval("SELECT 2")
                yield pool

    return used


async def work(value: Any) -> None:
    """Until it is cancelled."""
    if hasattr(value, "fetchval"):
        await value.fetchval("SELECT pg_sleep(60)")
    else:
        await anext(value)


async def normally(use: Callable[[], Any], observer: Any) -> None:
    del observer
    async with use():
        pass


async def by_an_error(use: Callable[[], Any], observer: Any) -> None:
    del observer
    with pytest.raises(Boom) as caught:
        async with use():
            raise Boom
    assert caught.value.__context__ is None


async def by_a_group(use: Callable[[], Any], observer: Any) -> None:
    """A group of the user's own is not touched."""
    del observer
    group = ExceptionGroup("mine", [Boom()])
    with pytest.raises(ExceptionGroup) as caught:
        async with use():
            raise group
    assert caught.value is group


async def by_a_cancellation(use: Callable[[], Any], observer: Any) -> None:
    del observer
    with anyio.CancelScope() as scope:
        async with use() as value:
            scope.cancel()
            await work(value)
    assert scope.cancelled_caught


async def by_a_cancellation_inside(use: Callable[[], Any], observer: Any) -> None:
    del observer
    async with use() as value:
        with anyio.move_on_after(0.01):
            await work(value)


async def by_a_nursery_inside(use: Callable[[], Any], observer: Any) -> None:
    del observer

    async def fail() -> None:
        raise Boom

    async def leave() -> None:
        async with use() as value, anyio.create_task_group() as tasks:
            tasks.start_soon(work, value)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(fail)

    with pytest.raises(ExceptionGroup) as caught:
        await leave()
    assert [type(error) for error in caught.value.exceptions] == [Boom]


async def by_a_nursery_outside(use: Callable[[], Any], observer: Any) -> None:
    del observer

    async def fail() -> None:
        raise Boom

    async def leave() -> None:
        async with anyio.create_task_group() as tasks, use() as value:
            tasks.start_soon(fail)
            await work(value)

    with pytest.raises(ExceptionGroup) as caught:
        await leave()
    assert [type(error) for error in caught.value.exceptions] == [Boom]


async def with_the_server_gone(use: Callable[[], Any], observer: Any) -> None:
    async with use():
        # By their numbers: a pool replaces what it has lost.
        pids = await observer.fetchval(f"SELECT array_agg(pid) {BACKENDS}")
        await observer.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids)
        await until(observer, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = ANY($1)", pids)


async def by_an_error_with_the_server_gone(use: Callable[[], Any], observer: Any) -> None:
    async def leave() -> None:
        async with use():
            await observer.execute(f"SELECT pg_terminate_backend(pid) {BACKENDS}")
            raise Boom

    with pytest.raises(Boom):
        await leave()


WAYS: list[Callable[[Callable[[], Any], Any], Awaitable[None]]] = [
    normally, by_an_error, by_a_group, by_a_cancellation, by_a_cancellation_inside, by_a_nursery_inside,
    by_a_nursery_outside, with_the_server_gone, by_an_error_with_the_server_gone,
]  # fmt: skip


@pytest.mark.usefixtures("nothing_unraisable")
@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
async def test_no_task_outlives_a_block(
    block: Callable[[], Any],
    leave: Callable[[Callable[[], Any], Any], Awaitable[None]],
    observer: Any,
    anyio_backend_name: str,
) -> None:
    with anyio.fail_after(PATIENCE_SECONDS):
        before = running(anyio_backend_name)
        await leave(block, observer)
        if anyio_backend_name != "trio":
            # What is owed after a cancellation is a task that nobody waits for, bounded in time.
            while running(anyio_backend_name) != before:  # noqa: ASYNC110
                await anyio.sleep(0.005)
        assert running(anyio_backend_name) == before
        await until(observer, f"SELECT count(*) = 0 {BACKENDS}")


@pytest.mark.parametrize("pooled", [False, True], ids=["connect", "pool"])
async def test_an_error_in_a_callback(client: Client, observer: Any, anyio_backend_name: str, pooled: bool) -> None:
    """On trio it leaves the block, as it is; on asyncio the loop is told."""
    before = running(anyio_backend_name)

    def fail(*args: object) -> None:
        del args
        raise Boom

    async def listen(connection: Any) -> None:
        await connection.add_listener("jobs", fail)
        await observer.execute("NOTIFY jobs")
        await connection.fetchval("SELECT pg_sleep(60)" if anyio_backend_name == "trio" else "SELECT 1")

    async def run() -> None:
        if pooled:
            async with make_pool(client) as pool, pool.acquire() as connection:
                await listen(connection)
                await connection.remove_listener("jobs", fail)
        else:
            async with client.connect() as connection:
                await listen(connection)

    with anyio.fail_after(PATIENCE_SECONDS):
        if anyio_backend_name == "trio":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", client.InterfaceWarning)  # released with a listener
                with pytest.raises(Boom) as caught:
                    await run()
            assert caught.value.__cause__ is None
        else:
            told: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
            await run()
            assert [type(context["exception"]) for context in told] == [Boom]
    assert running(anyio_backend_name) == before
