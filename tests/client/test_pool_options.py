"""A pool's ages, checks, limits, lazy start, draining and multiplexing, on a loop that the test steps."""

import functools
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgsansio.client import Connection, Pool, connecting
from pgsansio.client.pool_work import CHECK_SECONDS
from pgsansio.errors import (
    ALL_ERRORS,
    ClientConfigurationError,
    InterfaceError,
    OperationTimeoutError,
    PoolExhaustedError,
)
from pgsansio.policy.pool_one_shots import OneShots
from pgsansio.testing.loop import Cancelled, Stuck
from tests.support.manual_pool import SETTINGS, World, check_goes_on, moments, use


async def query(pool: Pool) -> None:
    assert await pool.fetchval("SELECT $1", 7) == 7


async def query_with_limit(pool: Pool) -> None:
    async with pool.acquire(timeout=20) as connection:
        assert await connection.fetchval("SELECT 3") == 3


async def check_by_query(connection: Any) -> None:
    await connection.fetchval("SELECT 1")


# Ages


def test_old_connections_are_replaced() -> None:
    world = World(2, 2, max_lifetime=100, max_inactive_connection_lifetime=0)
    held = world.loop.finish(world.pool._acquire(None))
    began = world.loop.now
    while len(world.cluster.sessions) == 2:
        assert world.loop.step()
    assert 90 <= world.loop.now - began <= 100
    world.settle()
    assert [session.hung_up for session in world.cluster.sessions].count(True) == 1
    assert world.pool.get_size() == 2
    assert not held.is_closed()
    world.loop.finish(world.pool.release(held))
    world.settle()
    assert held._con is None
    assert [session.hung_up for session in world.cluster.sessions] == [True, True, False, False]
    assert world.pool.stats().expired == 2
    world.check_close()


def test_each_connection_has_a_share_of_its_own() -> None:
    ages: set[float] = set()
    nonces = iter(f"nonce {number}" for number in range(1000))
    world = World(3, 3, start=False, max_lifetime=100)
    home = world.pool._make_home()
    home.nonce = lambda: next(nonces)  # type: ignore[method-assign]
    world.pool._make_home = lambda: home  # type: ignore[method-assign]
    world.loop.finish(world.pool._start())
    ages = {entry.expires_at - entry.opened_at for entry in world.pool._policy._entries.values()}
    assert len(ages) == 3
    assert all(90 <= age <= 100 for age in ages)
    world.check_close()


# Checks


CHECKS: dict[str, Any] = {"seconds": 0, "function": check_by_query, "plain function": lambda connection: None}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
@pytest.mark.parametrize("work", [use, query, query_with_limit])
def test_cancelled_with_checks(work: Callable[[Pool], Awaitable[Any]], check: Any) -> None:
    make_world = functools.partial(World, 1, 1, check=check)
    for world, task, bystanders in moments(make_world, work, others=2):
        task.cancel()
        world.loop.run(task)
        assert task.error is None or isinstance(task.error, Cancelled)
        check_goes_on(world, bystanders)
        assert len(world.cluster.sessions) == 1


@pytest.mark.parametrize("work", [use, query])
def test_lost_with_checks(work: Callable[[Pool], Awaitable[Any]]) -> None:
    for world, task, bystanders in moments(functools.partial(World, check=0), work, others=2):
        for port in world.loop.ports:
            port.lose(ConnectionResetError(104, "reset by peer"))
        for one in (task, *bystanders):
            world.loop.run(one)
            assert one.error is None or isinstance(one.error, ALL_ERRORS)
        check_goes_on(world, [])


def test_only_what_was_idle_for_long_is_checked() -> None:
    world = World(check=30)
    server = world.cluster.sessions[0]
    world.loop.now += 29
    world.loop.finish(query(world.pool))
    world.settle()
    before = len(server.log)
    world.loop.now += 31
    server.sleeping = True  # the first thing that it is asked is not answered
    began = world.loop.now
    world.loop.finish(query(world.pool))
    assert world.loop.now - began == pytest.approx(CHECK_SECONDS, abs=11)
    assert len(server.log) == before
    assert [session.hung_up for session in world.cluster.sessions] == [True, False]
    assert world.pool.stats().check_failures == 1
    world.check_close()


def test_who_waits_for_a_check_may_have_a_time_limit() -> None:
    world = World(check=0)
    world.cluster.sessions[0].sleeping = True
    began = world.loop.now
    with pytest.raises(OperationTimeoutError):
        world.loop.finish(world.pool._acquire(2))
    assert world.loop.now - began == 2
    world.loop.finish(query(world.pool))
    world.check_close()


@pytest.mark.parametrize("how", ["error", "false", "transaction", "closed"])
def test_a_rejected_connection_reaches_nobody(how: str) -> None:
    rejected = []

    async def check(connection: Any) -> bool:
        if connection.get_server_pid() != 1000:
            return True
        rejected.append(connection)
        if how == "error":
            raise LookupError
        if how == "transaction":
            await connection.execute("BEGIN")
        if how == "closed":
            await connection.close()
        return how != "false"

    world = World(2, 2, check=check)
    held = [world.loop.finish(world.pool._acquire(None)) for _ in range(2)]
    assert sorted(proxy.get_server_pid() for proxy in held) == [1001, 1002]
    assert len(rejected) == 1
    assert rejected[0].is_closed()
    for proxy in held:
        world.loop.finish(world.pool.release(proxy))
    world.check_close()


@pytest.mark.parametrize("check", ["1", True, [1]])
def test_what_is_no_check(check: Any) -> None:
    with pytest.raises(TypeError, match="check is expected to be"):
        World(start=False, check=check)


# Limits


def test_too_many_wait() -> None:
    world = World(max_waiting=1)
    held = world.loop.finish(world.pool._acquire(None))
    first = world.start(query)
    world.settle()
    with pytest.raises(PoolExhaustedError, match="all connections of the pool are in use, and 1 tasks wait"):
        world.loop.finish(query(world.pool))
    world.loop.finish(world.pool.release(held))
    world.loop.run(first)
    first.result()
    statistics = world.pool.stats()
    assert (statistics.refused, statistics.most_waiting, statistics.granted) == (1, 1, 2)
    world.check_close()


def test_the_pools_own_time_limit() -> None:
    world = World(acquire_timeout=3)
    held = world.loop.finish(world.pool._acquire(None))
    for limit, seconds in ((None, 3), (1, 1)):
        began = world.loop.now
        with pytest.raises(OperationTimeoutError):
            world.loop.finish(world.pool._acquire(limit))
        assert world.loop.now - began == seconds
    began = world.loop.now
    with pytest.raises(OperationTimeoutError):
        world.loop.finish(query(world.pool))
    assert world.loop.now - began == 3
    with pytest.raises(Stuck):
        world.loop.finish(world.pool._acquire(math.inf))
    assert world.pool.stats().timed_out == 3
    assert world.pool.stats().waited_seconds == 7
    world.loop.finish(world.pool.release(held))
    world.pool.terminate()
    world.check_nothing_remains()


# Connecting


@pytest.mark.parametrize("is_async", [False, True])
def test_parameters_from_a_function(is_async: bool) -> None:
    seen: list[tuple[str | None, dict[str, Any]]] = []
    calls = 0

    async def connect(dsn: str | None, **arguments: Any) -> Connection:
        seen.append((dsn, arguments))
        return await connecting.connect(world.loop.port, SETTINGS, Connection)

    def parameters() -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"password": f"secret {calls}", **({"dsn": "postgresql://other"} if calls == 2 else {})}

    async def later() -> dict[str, Any]:
        return parameters()

    world = World(
        2, 2, start=False, connect=connect, connect_parameters=later if is_async else parameters, user="u", password="p"
    )
    world.loop.finish(world.pool._start())
    assert [dsn for dsn, _ in seen] == [None, "postgresql://other"]
    assert [(arguments["user"], arguments["password"]) for _, arguments in seen] == [
        ("u", "secret 1"),
        ("u", "secret 2"),
    ]
    world.check_close()


def test_parameters_that_are_none() -> None:
    world = World(start=False, connect_parameters=lambda: 7)
    with pytest.raises(InterfaceError, match=r"connect_parameters to return a dict of connect.*, got 'int'"):
        world.loop.finish(world.pool._start())
    world.check_nothing_remains()
    with pytest.raises(TypeError, match="connect_parameters is expected to be a function or None"):
        World(start=False, connect_parameters={})


# Draining


def test_drain_waits_until_all_that_were_there_are_gone() -> None:
    world = World(2, 2)
    held = world.loop.finish(world.pool._acquire(None))
    task = world.start(lambda pool: pool.drain())
    world.settle()
    assert not task.done
    assert [session.hung_up for session in world.cluster.sessions] == [True, False, False]
    assert world.loop.finish(held.fetchval("SELECT 5")) == 5
    world.loop.finish(query(world.pool))
    world.loop.finish(world.pool.release(held))
    world.loop.run(task)
    task.result()
    world.settle()
    assert [session.hung_up for session in world.cluster.sessions][:2] == [True, True]
    began = world.loop.now
    world.loop.finish(world.pool.drain())
    assert world.loop.now == began
    world.check_close()


def test_drain_has_a_time_limit_and_can_be_cancelled() -> None:
    world = World()
    held = world.loop.finish(world.pool._acquire(None))
    began = world.loop.now
    with pytest.raises(OperationTimeoutError, match="before all connections were released"):
        world.loop.finish(world.pool.drain(timeout=4))
    assert world.loop.now - began == 4
    task = world.start(lambda pool: pool.drain())
    world.settle()
    task.cancel()
    world.loop.run(task)
    assert isinstance(task.error, Cancelled)
    assert not world.pool._policy._drains
    assert world.loop.finish(held.fetchval("SELECT 5")) == 5
    world.loop.finish(world.pool.release(held))
    world.settle()
    assert world.cluster.sessions[0].hung_up
    world.check_close()


# Lazy pools


def test_the_first_use_starts_it() -> None:
    world = World(2, 2, start=False, lazy=True)
    assert world.pool.get_size() == 0
    tasks = [world.start(query) for _ in range(5)]
    for task in tasks:
        world.loop.run(task)
        task.result()
    assert len(world.cluster.sessions) == 2
    world.check_close()


def test_a_failed_start_is_told_to_all_and_tried_again() -> None:
    world = World(2, 2, start=False, lazy=True)
    make_peer = world.loop.make_peer

    def refuse(address: Any) -> Any:
        raise ConnectionRefusedError(111, "refused")

    world.loop.make_peer = refuse
    tasks = [world.start(query) for _ in range(3)]
    for task in tasks:
        world.loop.run(task)
        assert isinstance(task.error, ConnectionRefusedError)
    world.loop.make_peer = make_peer
    world.loop.finish(query(world.pool))
    world.check_close()


def test_what_a_failed_start_leaves_behind_does_not_end_the_next_one() -> None:
    calls = 0

    async def connect(dsn: str | None, **arguments: Any) -> Connection:
        nonlocal calls
        calls += 1
        if calls == 2:
            await third_begun.wait()
            raise ConnectionRefusedError(111, "refused")
        if calls == 3:
            third_begun.set()
            await world.loop.port().event().wait()
        return await connecting.connect(world.loop.port, SETTINGS, Connection)

    world = World(3, 3, start=False, lazy=True, connect=connect)
    third_begun = world.loop.port().event()
    with pytest.raises(ConnectionRefusedError):
        world.loop.finish(query(world.pool))
    world.loop.finish(query(world.pool))
    assert world.pool.get_size() == 3
    assert [session.hung_up for session in world.cluster.sessions] == [True, False, False, False]
    world.check_close()


def test_a_lazy_pool_that_was_never_used() -> None:
    world = World(start=False, lazy=True)
    world.loop.finish(world.pool.drain())
    world.loop.finish(world.pool.expire_connections())
    world.check_close()
    with pytest.raises(InterfaceError, match="pool is closed"):
        world.loop.finish(query(world.pool))
    world = World(start=False, lazy=True)
    world.pool.terminate()
    world.check_nothing_remains()

    async def enter(pool: Pool) -> None:
        async with pool:
            assert pool.get_size() == 0

    world = World(start=False, lazy=True)
    world.loop.finish(enter(world.pool))
    world.check_nothing_remains()


@pytest.mark.parametrize("what", ["cancel", "close", "terminate", "await"])
def test_while_a_lazy_pool_starts(what: str) -> None:
    async def start(pool: Pool) -> None:
        await query(pool)

    make_world = functools.partial(World, 2, 2, start=False, lazy=True)
    for world, task, bystanders in moments(make_world, start, others=1):
        if what == "cancel":
            task.cancel()
            world.loop.run(task)
            assert task.error is None or isinstance(task.error, Cancelled)
            check_goes_on(world, bystanders)
            continue
        if what == "await":
            assert world.loop.finish(world.pool._start()) is world.pool
            world.loop.run(task)
            task.result()
            check_goes_on(world, bystanders)
            continue
        if what == "close":
            world.loop.finish(world.pool.close())
        else:
            world.pool.terminate()
        for one in (task, *bystanders):
            world.loop.run(one)
            assert one.error is None or isinstance(one.error, ALL_ERRORS)
        world.check_nothing_remains()


def test_starting_a_lazy_pool_has_a_time_limit() -> None:
    world = World(start=False, lazy=True, acquire_timeout=2)

    async def hang(*arguments: Any, **kwargs: Any) -> Any:
        await world.loop.port().event().wait()

    world.pool._connect = hang
    with pytest.raises(OperationTimeoutError):
        world.loop.finish(query(world.pool))
    world.loop.finish(world.pool.close())
    world.check_nothing_remains()


def test_lazy_is_a_bool() -> None:
    with pytest.raises(TypeError, match="lazy is expected to be a bool"):
        World(start=False, lazy=1)


# Multiplexing


def test_which_queries_share_a_connection() -> None:
    one_shots = OneShots()
    for text in (
        "SELECT 1",
        " /* x */ insert into t values (1)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "(VALUES (1))",
    ):
        assert one_shots.fits(text)
        assert one_shots.fits(text)
    for text in ("SET x = 1", "BEGIN", "COPY t TO STDOUT", "SELECT 1; SELECT 2", "", "LISTEN x", "CALL p()"):
        assert not one_shots.fits(text)
    assert not one_shots.fits(7)
    for number in range(2000):
        assert one_shots.fits(f"SELECT {number}")
    assert len(one_shots._known) <= 1000
    assert one_shots.fits("SELECT '" + "x" * 20000 + "'")


def test_they_are_pipelined_on_one_connection() -> None:
    world = World(0, 2, multiplex=1)
    tasks = [world.start(query) for _ in range(50)]
    for task in tasks:
        world.loop.run(task)
        task.result()
    assert len(world.cluster.sessions) == 1
    assert world.pool.stats().shared == 50
    held = world.loop.finish(world.pool._acquire(None))
    assert held.get_server_pid() != 1000
    waits = world.start(lambda pool: pool.execute("SELECT 1"))  # without arguments: it needs a connection for itself
    world.loop.finish(query(world.pool))
    assert not waits.done
    world.loop.finish(world.pool.release(held))
    world.loop.run(waits)
    world.check_close()


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("check", [None, 0])
def test_cancelled_while_they_share(check: float | None, for_good: bool) -> None:
    for size in (0, 2):
        make_world = functools.partial(World, size, 2, multiplex=1, check=check)
        for world, task, _ in moments(make_world, query, others=0):
            bystanders = [world.start(query) for _ in range(2)]
            task.cancel(for_good=for_good)
            world.loop.run(task)
            assert task.error is None or isinstance(task.error, Cancelled)
            check_goes_on(world, bystanders)


def test_lost_while_they_share() -> None:
    for world, task, _ in moments(functools.partial(World, 0, 2, multiplex=1), query, others=0):
        bystanders = [world.start(query) for _ in range(2)]
        for port in world.loop.ports:
            port.lose(ConnectionResetError(104, "reset by peer"))
        for one in (task, *bystanders):
            world.loop.run(one)
            assert one.error is None or isinstance(one.error, ALL_ERRORS)
        check_goes_on(world, [])


def test_a_connection_that_cannot_be_opened_fails_all_who_wait_for_it() -> None:
    world = World(0, 2, multiplex=1)
    make_peer = world.loop.make_peer

    def refuse(address: Any) -> Any:
        raise ConnectionRefusedError(111, "refused")

    world.loop.make_peer = refuse
    tasks = [world.start(query) for _ in range(3)]
    for task in tasks:
        world.loop.run(task)
        assert isinstance(task.error, ConnectionRefusedError)
    world.loop.make_peer = make_peer
    world.loop.finish(query(world.pool))
    world.check_close()


@pytest.mark.parametrize("hook", ["setup", "reset"])
def test_hooks_that_cannot_be_combined(hook: str) -> None:
    with pytest.raises(ClientConfigurationError, match=f"multiplex cannot be combined with {hook}"):
        World(0, 2, start=False, multiplex=1, **{hook: check_by_query})


def test_connections_that_are_not_pipelined() -> None:
    with pytest.raises(ClientConfigurationError, match="multiplex cannot be combined with pipelining=False"):
        World(0, 2, start=False, multiplex=1, pipelining=False)

    def connection(*arguments: Any, **options: Any) -> Connection:
        made = Connection(*arguments, **options)
        made._frontend.pipelining = False
        return made

    async def connect(dsn: str | None, **arguments: Any) -> Connection:
        return await connecting.connect(world.loop.port, SETTINGS, connection)

    world = World(0, 2, start=False, multiplex=1, connect=connect)
    world.loop.finish(world.pool._start())
    with pytest.raises(InterfaceError, match="cannot use connections with `pipelining=False`"):
        world.loop.finish(query(world.pool))
    world.check_close()
