"""The pool on a loop that the test steps: whatever is cancelled or lost, nothing leaks, and nobody is forgotten."""

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgsansio.client import Pool
from pgsansio.client.pool_work import RESET_SECONDS
from pgsansio.enums import TransactionStatus
from pgsansio.errors import ALL_ERRORS, InterfaceError, OperationTimeoutError, PostgresError
from pgsansio.testing.loop import Cancelled
from tests.support.manual_pool import World, check_goes_on, moments, use


async def use_a_transaction(pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("INSERT 1")


async def use_badly(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("BEGIN; INSERT 1")
        await connection.fetchval("SELECT 1")


async def use_a_shortcut(pool: Pool) -> None:
    assert await pool.fetchval("SELECT 3") == 3


async def use_with_limits(pool: Pool) -> None:
    async with pool.acquire(timeout=5) as connection:
        await connection.execute("SELECT 1", timeout=5)


async def no_setup(connection: Any) -> None:
    await connection.fetch("SELECT 8")


async def no_reset(connection: Any) -> None:
    await connection.execute("SELECT 9")


USES = [use, use_a_transaction, use_badly, use_a_shortcut, use_with_limits]
HOOKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "checkpoints": {"has_checkpoints": True},
    "hooks": {"setup": no_setup, "init": no_setup, "reset": no_reset},
}


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("hooks", HOOKS.values(), ids=HOOKS.keys())
@pytest.mark.parametrize("work", USES)
def test_cancelled(work: Callable[[Pool], Awaitable[Any]], hooks: dict[str, Any], for_good: bool) -> None:
    for size in (0, 1):
        make_world = functools.partial(World, size, 1, **hooks)
        for world, task, bystanders in moments(make_world, work, others=2):
            task.cancel(for_good=for_good)
            world.loop.run(task)
            assert task.error is None or isinstance(task.error, Cancelled)
            check_goes_on(world, bystanders)
            if "reset" not in hooks:  # no cancellation has to cost the connection
                assert len(world.cluster.sessions) == 1


@pytest.mark.parametrize("work", USES)
def test_cancelled_while_it_waits(work: Callable[[Pool], Awaitable[Any]]) -> None:
    """The one that is cancelled is the last in the line."""
    moment = 0
    while True:
        world = World()
        bystanders = [world.start(use) for _ in range(2)]
        task = world.start(work)
        for _ in range(moment):
            if not task.done:
                world.loop.step()
        if task.done:
            world.check_close()
            return
        task.cancel()
        world.loop.run(task)
        check_goes_on(world, bystanders)
        moment += 1


@pytest.mark.parametrize("work", [use, use_a_transaction, use_with_limits])
def test_connections_lost(work: Callable[[Pool], Awaitable[Any]]) -> None:
    for world, task, bystanders in moments(World, work, others=2):
        for port in world.loop.ports:
            port.lose(ConnectionResetError(104, "reset by peer"))
        for one in (task, *bystanders):
            world.loop.run(one)
            assert one.error is None or isinstance(one.error, ALL_ERRORS)
        # The floor may have to wait for its next attempt.
        check_goes_on(world, [])


def test_starting_cancelled() -> None:
    async def start(pool: Pool) -> None:
        await pool._start()

    make_world = functools.partial(World, 2, 2, start=False)
    for world, task, _ in moments(make_world, start, others=0):
        task.cancel()
        world.loop.run(task)
        if not task.error:
            world.loop.finish(world.pool.close())
        elif world.pool._home is not None:
            with pytest.raises(InterfaceError, match="pool is closed"):
                world.loop.finish(use(world.pool))
        world.check_nothing_remains()


@pytest.mark.parametrize("held", [False, True])
def test_closing_cancelled(held: bool) -> None:
    def make_world() -> World:
        world = World(2, 2)
        if held:
            world.loop.finish(world.pool._acquire(None))
        return world

    async def close(pool: Pool) -> None:
        await pool.close()

    if held:
        world = make_world()
        task = world.start(close)
        world.settle()
        assert not task.done
        task.cancel()
        world.loop.run(task)
        assert isinstance(task.error, Cancelled)
        world.check_nothing_remains()
        return
    for world, task, _ in moments(make_world, close, others=0):
        task.cancel()
        world.loop.run(task)
        if not world.pool.is_closing():  # it had not begun
            world.check_close()
        world.check_nothing_remains()


def test_terminated_at_any_moment() -> None:
    for world, task, bystanders in moments(World, use_a_transaction, others=2):
        world.pool.terminate()
        for one in (task, *bystanders):
            world.loop.run(one)
            assert one.error is None or isinstance(one.error, ALL_ERRORS)
        world.check_nothing_remains()


def test_release_does_not_wait_for_the_reset() -> None:
    world = World()
    proxy = world.loop.finish(world.pool._acquire(None))
    server = world.cluster.sessions[0]
    world.loop.finish(proxy.execute("BEGIN; INSERT 1"))
    world.loop.finish(world.pool.release(proxy))
    assert server.status is TransactionStatus.IN_TRANSACTION
    next_one = world.start(lambda pool: pool._acquire(None))
    world.loop.run(next_one)
    assert server.status is TransactionStatus.IDLE
    assert server.log[-5:] == ["ROLLBACK", "SELECT pg_advisory_unlock_all()", "CLOSE ALL", "UNLISTEN *", "RESET ALL"]
    assert server.state.rows == []


def test_a_reset_that_is_not_answered() -> None:
    world = World()
    proxy = world.loop.finish(world.pool._acquire(None))
    server = world.cluster.sessions[0]
    server.sleeping = True  # whatever comes, it says nothing
    began = world.loop.now
    world.loop.finish(world.pool.release(proxy))
    assert world.loop.now == began
    world.loop.finish(use(world.pool))
    assert RESET_SECONDS <= world.loop.now - began <= RESET_SECONDS + 11
    assert [one.hung_up for one in world.cluster.sessions] == [True, False]
    world.check_close()


RESET = ["SELECT pg_advisory_unlock_all()", "CLOSE ALL", "UNLISTEN *", "RESET ALL"]


def test_the_reset_goes_with_the_query() -> None:
    world = World()
    world.loop.finish(use_a_shortcut(world.pool))  # prepares it
    world.settle()
    port, server = world.loop.ports[0], world.cluster.sessions[0]
    logged = len(server.log)
    task = world.start(use_a_shortcut)
    while not port.unsent:
        world.loop.step()
    assert b"RESET ALL" in port.unsent, "in one write"
    world.loop.run(task)
    world.settle()
    assert server.log[logged + 1 :] == RESET, "once"
    assert world.pool._policy.statistics().idle == 1
    world.check_close()


def test_a_query_of_the_pool_that_fails() -> None:
    world = World()

    async def fail(pool: Pool) -> None:
        await pool.fetchval("FAIL")

    for _ in range(3):
        task = world.start(fail)
        world.loop.run(task)
        assert isinstance(task.error, PostgresError)
        world.settle()
        assert world.pool._policy.statistics().idle == 1
    assert len(world.cluster.sessions) == 1
    assert world.cluster.sessions[0].log[-4:] == RESET
    world.check_close()


def test_a_cancelled_query_is_cancelled_on_the_server_though_its_reset_is_on_its_way() -> None:
    world = World()
    (connection,) = world.pool._policy._entries
    world.loop.finish(connection._prepare("SLEEP"))
    server = world.cluster.sessions[0]

    async def sleep(pool: Pool) -> None:
        await pool.fetchval("SLEEP")

    task = world.start(sleep)
    world.settle()
    assert server.sleeping
    task.cancel()
    began = world.loop.now
    world.loop.finish(use(world.pool))
    assert world.loop.now == began
    assert world.cluster.cancel_requests == 1
    world.check_close()


@pytest.mark.parametrize("has_checkpoints", [True, False])
def test_a_reset_behind_a_query_that_is_not_answered(has_checkpoints: bool) -> None:
    world = World(has_checkpoints=has_checkpoints)
    world.loop.finish(use_a_shortcut(world.pool))
    world.settle()
    (connection,) = world.pool._policy._entries
    connection._reset_query = "SLEEP"
    began = world.loop.now
    world.loop.finish(use_a_shortcut(world.pool))
    assert world.loop.now == began, "nobody waits for it"
    world.loop.finish(use_a_shortcut(world.pool))
    assert RESET_SECONDS <= world.loop.now - began <= RESET_SECONDS + 11
    assert world.pool._policy.statistics().reset_failures == 1
    assert [one.hung_up for one in world.cluster.sessions] == [True, False]
    world.check_close()


def test_a_reset_function_that_takes_too_long() -> None:
    async def reset(connection: Any) -> None:
        await connection.fetch("SLEEP")

    world = World(reset=reset)
    proxy = world.loop.finish(world.pool._acquire(3.0))
    began = world.loop.now
    with pytest.raises(OperationTimeoutError):
        world.loop.finish(world.pool.release(proxy))
    assert world.loop.now - began == 3.0
    proxy = world.loop.finish(world.pool._acquire(None))
    assert proxy.get_server_pid() != world.cluster.sessions[0].process_id
    with pytest.raises(OperationTimeoutError):
        world.loop.finish(world.pool.release(proxy, timeout=1.0))
    world.check_close()


def test_waiting_has_a_time_limit() -> None:
    world = World()
    proxy = world.loop.finish(world.pool._acquire(None))
    began = world.loop.now
    with pytest.raises(OperationTimeoutError) as caught:
        world.loop.finish(world.pool._acquire(2.5))
    assert world.loop.now - began == 2.5
    assert caught.value.safe_to_retry
    assert world.pool._policy.statistics().timed_out == 1
    world.loop.finish(world.pool.release(proxy))
    world.check_close()


def test_idle_connections_grow_old() -> None:
    world = World(1, 3, max_inactive_connection_lifetime=10.0)
    proxies = [world.loop.finish(world.pool._acquire(None)) for _ in range(3)]
    for proxy in proxies:
        world.loop.finish(world.pool.release(proxy))
    world.settle()
    began = world.loop.now
    assert world.pool.get_size() == 3
    world.loop.run()
    assert world.pool.get_size() == 1
    assert world.loop.now - began == pytest.approx(10.0)
    world.check_close()


def test_the_floor_is_restored(caplog: pytest.LogCaptureFixture) -> None:
    world = World(2, 2)
    cluster, make_peer, failures = world.cluster, world.loop.make_peer, 3

    def refuse(address: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionRefusedError(111, "refused")
        return make_peer(address)

    world.loop.now += 100
    world.loop.make_peer = refuse
    with caplog.at_level(logging.WARNING):
        world.loop.ports[0].lose(None)
        world.loop.run()
    assert world.pool.get_size() == 2
    assert [record.message for record in caplog.records] == [
        f"Failed to restore the pool connection floor; retrying in {seconds} s" for seconds in (1, 2, 4)
    ]
    assert len(cluster.sessions) == 3
    world.check_close()


def test_a_close_that_takes_long_says_so(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    proxy = world.loop.finish(world.pool._acquire(None))
    task = world.start(lambda pool: pool.close())
    with caplog.at_level(logging.WARNING):
        world.loop.run()
    assert not task.done
    assert [record.message for record in caplog.records] == [
        "Pool.close() is taking over 60 seconds to complete. Check if you have any unreleased connections left."
    ]
    world.loop.finish(world.pool.release(proxy))
    world.loop.run(task)
    world.check_nothing_remains()
