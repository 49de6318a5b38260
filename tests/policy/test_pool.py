"""Who gets which connection, and what happens to the others."""

from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from pgsansio.errors import InterfaceError, InternalClientError, PoolExhaustedError
from pgsansio.policy import pool_actions
from pgsansio.policy.pool import PoolPolicy
from pgsansio.policy.pool_actions import (
    Check,
    Close,
    Drained,
    Fail,
    Finished,
    FloorFailed,
    Grant,
    Open,
    PoolState,
    Ready,
    Reset,
    StartFailed,
    Terminate,
)
from pgsansio.policy.pool_limits import PoolLimits
from pgsansio.types.pool import PoolStatistics

Pool: TypeAlias = PoolPolicy[str, str]
Actions: TypeAlias = list[pool_actions.Action[str, str]]


def running(**limits: Any) -> Pool:
    """A pool that has started at 0, with its connections "c1", "c2", ... opened."""
    pool: Pool = PoolPolicy(
        PoolLimits(
            **{"min_size": 0, "max_size": 2, "max_inactive_connection_lifetime": 0, "max_queries": 1000, **limits}
        )
    )
    todo = pool.start(0)
    while todo and isinstance(action := todo.pop(0), Open):
        todo += pool.opened(action.slot, f"c{action.slot}", 0)
    assert pool.state is PoolState.RUNNING
    return pool


def failure(actions: Actions) -> Fail[str]:
    (action,) = actions
    assert isinstance(action, Fail)
    return action


# Starting


@pytest.mark.checklist("P-2")
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_size": 0}, "max_size is expected to be greater than zero"),
        ({"min_size": -1}, "min_size is expected to be greater or equal to zero"),
        ({"min_size": 3, "max_size": 2}, "min_size is greater than max_size"),
        ({"min_size": 0, "init_size": -1}, "init_size is expected to be greater or equal to zero"),
        ({"init_size": 11}, "init_size is greater than max_size"),
        ({"init_size": 9}, "init_size is smaller than min_size"),
        ({"max_queries": 0}, "max_queries is expected to be greater than zero"),
        (
            {"max_inactive_connection_lifetime": -1},
            "max_inactive_connection_lifetime is expected to be greater or equal to zero",
        ),
    ],
)
def test_contradictions(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PoolLimits(**options)


@pytest.mark.checklist("P-1", "P-3")
def test_the_first_connection_is_opened_alone() -> None:
    pool: Pool = PoolPolicy(PoolLimits(min_size=1, init_size=3, max_size=5))
    with pytest.raises(InterfaceError, match="pool is not initialized"):
        pool.acquire("w", 0)
    assert pool.start(0) == [Open(1)]
    with pytest.raises(InterfaceError, match="pool is being initialized in another task"):
        pool.start(0)
    with pytest.raises(InterfaceError, match="pool is being initialized, but not yet ready: likely there is a race"):
        pool.acquire("w", 0)
    assert pool.opened(1, "a", 0) == [Open(2), Open(3)]
    assert pool.opened(3, "c", 0) == []
    assert pool.opened(2, "b", 0) == [Ready()]
    assert (pool.size, pool.idle_size) == (3, 3)
    assert pool.start(0) == []


@pytest.mark.checklist("P-3")
def test_a_pool_without_first_connections_is_ready_at_once() -> None:
    pool: Pool = PoolPolicy(PoolLimits(min_size=0))
    assert pool.start(0) == [Ready()]
    assert pool.next_deadline() is None


@pytest.mark.checklist("P-1")
def test_a_failed_start_terminates_what_was_opened() -> None:
    pool: Pool = PoolPolicy(PoolLimits(min_size=3, max_size=3))
    pool.start(0)
    pool.opened(1, "a", 0)
    error = OSError("refused")
    assert pool.open_failed(2, error, 0) == [Terminate("a"), StartFailed(error)]
    assert pool.is_closing
    assert pool.opened(3, "c", 0) == [Terminate("c")]
    with pytest.raises(InterfaceError, match="pool is closed"):
        pool.acquire("w", 0)
    with pytest.raises(InterfaceError, match="pool is closed"):
        pool.start(0)


def test_terminate_while_starting() -> None:
    pool: Pool = PoolPolicy(PoolLimits(min_size=1))
    with pytest.raises(InterfaceError, match="pool is not initialized"):
        pool.terminate(0)
    pool.start(0)
    (action,) = pool.terminate(0)
    assert isinstance(action, StartFailed)
    assert str(action.error) == "pool is closed"
    assert pool.open_failed(1, OSError(), 0) == []


def test_a_first_connection_that_is_lost_before_the_pool_is_ready() -> None:
    pool: Pool = PoolPolicy(PoolLimits(min_size=2, max_size=2))
    pool.start(0)
    pool.opened(1, "a", 0)
    assert pool.connection_lost("a", 5) == []
    assert pool.opened(2, "b", 5) == [Ready(), Open(3)]


# Granting


@pytest.mark.checklist("P-4")
def test_the_connection_used_last_is_granted_first() -> None:
    pool = running(min_size=2)
    assert pool.acquire("v", 0) == [Grant("v", "c2")]
    assert pool.acquire("w", 0) == [Grant("w", "c1")]
    pool.released("c1", 1, True, 1)
    pool.reset_done("c1", 1, True)
    pool.released("c2", 2, True, 1)
    pool.reset_done("c2", 2, True)
    assert pool.acquire("x", 3) == [Grant("x", "c2")]


@pytest.mark.checklist("P-4")
def test_waiters_are_served_in_the_order_they_came() -> None:
    pool = running(min_size=1, max_size=1)
    assert pool.acquire("a", 0) == [Grant("a", "c1")]
    assert [pool.acquire(waiter, 0) for waiter in "bcd"] == [[], [], []]
    assert pool.released("c1", 0, True, 1) == [Reset("c1")]
    assert pool.reset_done("c1", 0, True) == [Grant("b", "c1")]
    assert pool.cancel_wait("c", 0) == []
    pool.released("c1", 0, True, 2)
    assert pool.reset_done("c1", 0, True) == [Grant("d", "c1")]


def test_open_on_demand_up_to_the_limit() -> None:
    pool = running(max_size=2)
    assert pool.acquire("a", 0) == [Open(1)]
    assert pool.acquire("b", 0) == [Open(2)]
    assert pool.acquire("c", 0) == []
    assert pool.opened(2, "second", 0) == [Grant("a", "second")]
    assert pool.opened(1, "first", 0) == [Grant("b", "first")]


def test_a_connection_being_reset_is_waited_for() -> None:
    pool = running(max_size=2)
    pool.acquire("a", 0)
    pool.opened(1, "c", 0)
    pool.released("c", 0, True, 1)
    assert (pool.size, pool.idle_size) == (1, 1)
    assert pool.acquire("b", 0) == []
    assert pool.acquire("d", 0) == [Open(2)]
    assert pool.reset_done("c", 0, True) == [Grant("b", "c")]


def test_a_failed_reset_gives_the_connection_up() -> None:
    pool = running(max_size=1)
    pool.acquire("a", 0)
    pool.opened(1, "c", 0)
    pool.released("c", 0, True, 1)
    pool.acquire("b", 0)
    assert pool.reset_done("c", 0, False) == [Terminate("c"), Open(2)]
    assert pool.size == 0


def test_a_granted_but_cancelled_connection_goes_to_the_next() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    assert pool.cancel_wait("a", 0) == [Grant("b", "c1")]
    assert pool.cancel_wait("b", 0) == []
    assert pool.cancel_wait("b", 0) == []
    assert pool.acquire("a", 0) == [Grant("a", "c1")]
    pool.connection_lost("c1", 5)
    assert pool.cancel_wait("a", 5) == []


def test_one_connection_for_a_waiter() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    for waiter in "ab":
        with pytest.raises(InterfaceError, match="a connection is already acquired"):
            pool.acquire(waiter, 0)


@pytest.mark.checklist("P-5")
def test_waiters_time_out() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("a", 0)
    assert pool.next_deadline() is None
    assert isinstance(failure(pool.acquire("now", 5, 5)).error, TimeoutError)
    pool.acquire("late", 0, 20)
    pool.acquire("early", 0, 10)
    pool.acquire("never", 0)
    assert pool.next_deadline() == 10
    assert pool.tick(9.9) == []
    timed_out = failure(pool.tick(10))
    assert timed_out.waiter == "early"
    assert isinstance(timed_out.error, TimeoutError)
    assert pool.next_deadline() == 20
    pool.cancel_wait("late", 11)
    assert pool.next_deadline() is None
    assert pool.statistics().timed_out == 2


@pytest.mark.checklist("P-5")
def test_nobody_is_granted_a_connection_after_his_deadline() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("a", 0)
    pool.acquire("b", 0, 10)
    pool.acquire("c", 0, 30)
    pool.released("c1", 20, True, 1)
    failed, granted = pool.reset_done("c1", 20, True)  # tick comes late
    assert isinstance(failed, Fail)
    assert failed.waiter == "b"
    assert granted == Grant("c", "c1")


@pytest.mark.checklist("P-5")
def test_a_connection_that_only_late_ones_wait_for_is_idle() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("a", 0)
    pool.acquire("b", 0, 10)
    pool.released("c1", 20, True, 1)
    assert failure(pool.reset_done("c1", 20, True)).waiter == "b"
    assert pool.idle_size == 1


def test_deadlines_of_those_who_were_served_do_not_pile_up() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("first", 0)
    for number in range(1000):
        pool.acquire(f"w{number}", 0, 1e9 + number)
        pool.cancel_wait(f"w{number}", 0)
    assert len(pool._line._deadlines) < 100
    pool.acquire("last", 0, 5)
    assert pool.next_deadline() == 5


@pytest.mark.checklist("P-9")
def test_a_failed_open_fails_the_first_waiter_that_nothing_is_on_its_way_to() -> None:
    pool = running(max_size=2)
    for waiter in "abcd":
        pool.acquire(waiter, 0)
    error = OSError("refused")
    assert pool.open_failed(1, error, 0) == [Fail("b", error), Open(3)]
    assert pool.opened(2, "x", 0) == [Grant("a", "x")]
    assert pool.open_failed(3, error, 0) == [Fail("c", error), Open(4)]
    assert pool.opened(4, "y", 0) == [Grant("d", "y")]
    assert pool.next_deadline() is None


def test_a_failed_open_that_was_covered_by_another_fails_nobody() -> None:
    pool = running(max_size=2)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    pool.cancel_wait("a", 0)
    assert pool.open_failed(1, OSError(), 0) == []
    assert pool.opened(2, "c", 0) == [Grant("b", "c")]


# Releasing


@pytest.mark.checklist("P-7")
def test_release_of_a_foreign_connection_and_a_second_release() -> None:
    pool = running(min_size=1)
    with pytest.raises(
        InterfaceError, match=r"Pool.release\(\) received invalid connection: 'x' is not a member of this pool"
    ):
        pool.released("x", 0, True, 0)
    pool.acquire("a", 0)
    pool.released("c1", 0, True, 1)
    assert pool.released("c1", 0, True, 1) == []
    pool.reset_done("c1", 0, True)
    assert pool.released("c1", 0, True, 1) == []


@pytest.mark.checklist("P-8")
def test_a_connection_that_worked_enough_is_replaced() -> None:
    pool = running(max_size=1, max_queries=10)
    pool.acquire("a", 0)
    pool.opened(1, "c", 0)
    assert pool.released("c", 0, True, 9) == [Reset("c")]
    pool.reset_done("c", 0, True)
    pool.acquire("b", 0)
    pool.acquire("d", 0)
    assert pool.released("c", 0, True, 10) == [Close("c")]
    assert pool.statistics().closing == 1  # it still takes one of max_size
    assert pool.closed("c", 0) == [Open(2)]


@pytest.mark.checklist("P-8")
def test_an_unusable_connection_is_replaced() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("a", 0)
    assert pool.released("c1", 0, False, 1) == [Terminate("c1"), Open(2)]


@pytest.mark.checklist("P-11")
def test_expire() -> None:
    pool = running(min_size=2, max_size=4)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    pool.released("c1", 0, True, 1)
    pool.acquire("c", 0)
    pool.acquire("d", 0)  # opens c3
    pool.acquire("e", 0)  # opens c4
    pool.reset_done("c1", 0, True)
    assert pool.opened(3, "c3", 0) == [Grant("d", "c3")]
    assert pool.released("c3", 0, True, 1) == [Reset("c3")]
    pool.cancel_wait("e", 0)
    assert pool.expire(0) == []  # in use: c1, c2; resetting: c3; opening: c4
    assert pool.reset_done("c3", 0, True) == [Close("c3")]
    assert pool.opened(4, "c4", 0) == [Close("c4")]
    assert pool.released("c2", 0, True, 1) == [Close("c2")]
    assert pool.closed("c4", 0) == [Open(5)]
    assert pool.opened(5, "c5", 0) == []
    assert pool.expire(0) == [Close("c5")]


# Idle connections and the floor


@pytest.mark.checklist("P-10")
def test_idle_connections_above_the_floor_are_closed_longest_idle_first() -> None:
    pool = running(min_size=1, max_size=3, max_inactive_connection_lifetime=10)
    for waiter in "abc":
        pool.acquire(waiter, 0)
    pool.opened(2, "c2", 0)
    pool.opened(3, "c3", 0)
    for now, connection in ((1, "c2"), (2, "c1"), (3, "c3")):
        pool.released(connection, now, True, 1)
        pool.reset_done(connection, now, True)
    assert pool.next_deadline() == 11
    assert pool.tick(10.9) == []
    assert pool.tick(11) == [Close("c2")]
    pool.closed("c2", 11)
    assert pool.tick(1000) == [Close("c1")]
    assert pool.next_deadline() is None
    assert pool.size == 1


@pytest.mark.checklist("P-10")
def test_lifetime_zero_closes_nothing() -> None:
    pool = running(max_size=1, max_inactive_connection_lifetime=0)
    pool.acquire("a", 0)
    pool.opened(1, "c", 0)
    pool.cancel_wait("a", 0)
    assert pool.next_deadline() is None
    assert pool.tick(1e9) == []


@pytest.mark.checklist("P-3", "T-5")
def test_the_floor_is_restored_with_back_off() -> None:
    pool = running(min_size=1)
    assert pool.connection_lost("c1", 100) == [Open(2)]
    now, slot, delays = 100.0, 2, []
    for _ in range(9):
        error = OSError("refused")
        (action,) = pool.open_failed(slot, error, now)
        assert isinstance(action, FloorFailed)
        assert action.error is error
        delays.append(action.retry_in)
        deadline = pool.next_deadline()
        assert deadline == now + action.retry_in
        assert pool.tick(deadline - 0.1) == []
        now, slot = deadline, slot + 1
        assert pool.tick(now) == [Open(slot)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pool.opened(slot, "new", now) == []
    assert pool.next_deadline() is None
    pool.connection_lost("new", now + 100)
    (action,) = pool.open_failed(slot + 1, OSError(), now)
    assert action == FloorFailed(action.error, 1.0)  # type: ignore[union-attr]


@pytest.mark.checklist("P-3")
def test_several_failures_at_once_are_one_failure_of_the_floor() -> None:
    pool = running(min_size=3, max_size=3)
    for number in (1, 2, 3):
        pool.connection_lost(f"c{number}", 100)
    (first,) = pool.open_failed(4, OSError(), 101)
    assert isinstance(first, FloorFailed)
    assert pool.open_failed(5, OSError(), 101) == []
    assert pool.open_failed(6, OSError(), 101) == []
    assert pool.tick(102) == [Open(7), Open(8), Open(9)]


@pytest.mark.checklist("P-3")
def test_who_waits_gets_the_floors_error_and_the_floor_still_pauses() -> None:
    pool = running(min_size=1, max_size=1)
    pool.connection_lost("c1", 100)
    pool.acquire("a", 100)
    error = OSError()
    assert pool.open_failed(2, error, 100) == [Fail("a", error)]
    assert pool.next_deadline() == 101
    assert pool.acquire("b", 100.5) == [Open(3)]  # on demand there is no pause


def test_a_server_that_hangs_up_at_once_is_not_asked_again_at_once() -> None:
    pool = running(min_size=1)
    assert pool.connection_lost("c1", 0.5) == []
    assert pool.next_deadline() == 1.5
    assert pool.tick(1.5) == [Open(2)]


# Loss


def test_a_connection_lost_in_use_is_replaced_before_it_is_released() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    assert pool.connection_lost("c1", 0) == [Open(2)]
    assert pool.connection_lost("c1", 0) == []
    assert pool.opened(2, "c2", 0) == [Grant("b", "c2")]
    assert pool.released("c1", 0, True, 1) == []
    with pytest.raises(InterfaceError):
        pool.released("c1", 0, True, 1)


def test_loss_while_resetting_and_while_closing() -> None:
    pool = running(max_size=1, max_queries=2)
    pool.acquire("a", 0)
    pool.opened(1, "c", 0)
    pool.released("c", 0, True, 1)
    pool.acquire("b", 0)
    assert pool.connection_lost("c", 0) == [Open(2)]
    assert pool.reset_done("c", 0, False) == []
    pool.opened(2, "d", 0)
    pool.acquire("e", 0)
    assert pool.released("d", 0, True, 2) == [Close("d")]
    assert pool.connection_lost("d", 0) == [Open(3)]
    assert pool.closed("d", 0) == []
    assert pool.connection_lost("unknown", 0) == []


# Closing


@pytest.mark.checklist("P-13")
def test_close_waits_for_everyone() -> None:
    pool = running(min_size=2, max_size=4)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    pool.released("c1", 0, True, 1)
    pool.acquire("x", 0)
    pool.acquire("y", 0)
    pool.opened(3, "c3", 0)  # x has it, y waits for c1
    pool.acquire("z", 0)
    failed = pool.close(0)
    assert [(action.waiter, str(action.error)) for action in failed if isinstance(action, Fail)] == [
        ("y", "pool is closing"),
        ("z", "pool is closing"),
    ]
    assert pool.close(0) == []
    with pytest.raises(InterfaceError, match="pool is closing"):
        pool.acquire("late", 0)
    assert pool.expire(0) == []
    assert pool.reset_done("c1", 0, True) == [Close("c1")]
    assert pool.closed("c1", 0) == []
    assert pool.opened(4, "c4", 0) == [Close("c4")]
    assert pool.closed("c4", 0) == []
    assert pool.released("c3", 0, True, 1) == [Close("c3")]
    assert pool.connection_lost("c2", 0) == []
    assert pool.closed("c3", 0) == [Finished()]
    assert pool.released("c2", 0, True, 1) == []
    assert pool.close(0) == []
    for call in (pool.expire, pool.start):
        with pytest.raises(InterfaceError, match="pool is closed"):
            call(0)


@pytest.mark.checklist("P-13")
def test_close_of_an_idle_pool() -> None:
    pool = running(min_size=1)
    assert pool.close(0) == [Close("c1")]
    assert pool.next_deadline() is None
    assert pool.tick(1e9) == []
    assert pool.closed("c1", 0) == [Finished()]
    assert running().close(0) == [Finished()]
    with pytest.raises(InterfaceError, match="pool is not initialized"):
        PoolPolicy[str, str](PoolLimits()).close(0)


def test_close_ends_with_a_failed_open_a_failed_reset_or_an_unusable_connection() -> None:
    pool = running(max_size=3)
    for waiter in "abc":
        pool.acquire(waiter, 0)
    pool.opened(1, "c1", 0)
    pool.opened(2, "c2", 0)
    pool.released("c1", 0, True, 1)
    pool.close(0)
    assert pool.open_failed(3, OSError(), 0) == []
    assert pool.reset_done("c1", 0, False) == [Terminate("c1")]
    assert pool.released("c2", 0, False, 1) == [Terminate("c2"), Finished()]


@pytest.mark.checklist("P-13")
def test_terminate() -> None:
    pool = running(min_size=3, max_size=4)
    pool.acquire("a", 0)  # c3
    pool.acquire("b", 0)  # c2
    pool.released("c2", 0, True, 1)
    pool.acquire("c", 0)  # c1
    pool.cancel_wait("c", 0)
    pool.acquire("d", 0)
    pool.acquire("e", 0)
    pool.acquire("f", 0)
    terminated = pool.terminate(0)
    assert [action for action in terminated if isinstance(action, Terminate)] == [Terminate(f"c{n}") for n in (1, 2, 3)]
    assert [str(action.error) for action in terminated if isinstance(action, Fail)] == ["pool is closed"] * 2
    assert pool.size == 0
    assert pool.terminate(0) == []
    assert pool.opened(4, "c4", 0) == [Terminate("c4")]
    assert pool.reset_done("c2", 0, True) == []
    assert pool.released("c3", 0, True, 1) == []
    assert pool.connection_lost("c1", 0) == []


def test_terminate_leaves_the_dead_alone() -> None:
    pool = running(min_size=1)
    pool.acquire("a", 0)
    pool.connection_lost("c1", 5)
    assert pool.terminate(5) == []
    assert pool.released("c1", 5, True, 1) == []


def test_terminate_while_closing_finishes() -> None:
    pool = running(min_size=2)
    pool.acquire("a", 0)
    pool.close(0)
    assert pool.terminate(0) == [Terminate("c1"), Terminate("c2"), Finished()]
    assert pool.closed("c1", 0) == []


# Age


def test_an_old_idle_connection_is_replaced() -> None:
    pool = running(min_size=1, max_size=3, max_lifetime=100, max_lifetime_jitter=20)
    assert pool.next_deadline() == 100
    assert pool.tick(99.9) == []
    assert pool.tick(100) == [Close("c1"), Open(2)]
    assert pool.closed("c1", 100) == []
    assert pool.opened(2, "c2", 100, 0.5) == []
    assert pool.next_deadline() == 190
    assert pool.statistics().expired == 1


def test_where_there_is_no_room_an_old_one_is_closed_first() -> None:
    pool = running(min_size=1, max_size=1, max_lifetime=100)
    assert pool.tick(100) == [Close("c1")]
    assert pool.closed("c1", 100) == [Open(2)]


def test_an_old_connection_in_use_is_replaced_at_its_release() -> None:
    pool = running(min_size=2, max_size=2, max_lifetime=100)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    pool.released("c1", 99, True, 1)
    assert pool.tick(100) == []
    assert pool.next_deadline() is None
    assert pool.released("c2", 101, True, 1) == [Close("c2")]
    assert pool.reset_done("c1", 101, True) == [Close("c1")]
    assert pool.statistics().expired == 2


@pytest.mark.parametrize("lifetime", [None, 0])
def test_no_age_is_too_old(lifetime: int | None) -> None:
    pool = running(min_size=1, max_lifetime=lifetime)
    assert pool.next_deadline() is None
    assert pool.tick(1e9) == []


def test_each_connection_has_a_share_of_the_jitter() -> None:
    limits = PoolLimits(max_lifetime=100)
    assert [limits.lifetime(share) for share in (0, 0.5, 1)] == [100, 95, 90]
    limits = PoolLimits(max_lifetime=100, max_lifetime_jitter=0)
    assert limits.lifetime(1) == 100


# Checks


def test_one_that_was_idle_for_long_is_checked() -> None:
    pool = running(min_size=1, check_after=30)
    assert pool.acquire("a", 29) == [Grant("a", "c1")]
    pool.released("c1", 40, True, 1)
    pool.reset_done("c1", 40, True)
    assert pool.acquire("a", 70) == [Check("c1")]
    statistics = pool.statistics()
    assert (statistics.checking, statistics.size, statistics.waiting) == (1, 1, 1)
    assert pool.checked("c1", 71, True) == [Grant("a", "c1")]
    pool.released("c1", 72, True, 1)
    pool.acquire("b", 72)
    assert pool.reset_done("c1", 72, True) == [Grant("b", "c1")]  # it has answered just now


def test_who_waits_for_a_check_that_fails_gets_a_new_connection() -> None:
    pool = running(min_size=2, max_size=2, check_after=0)
    assert pool.acquire("a", 5) == [Check("c2")]
    assert pool.checked("c2", 5, False) == [Terminate("c2"), Open(3)]
    assert pool.acquire("b", 5) == [Check("c1")]  # the other one may be alive, and the first in the line gets it
    assert pool.checked("c1", 5, True) == [Grant("a", "c1")]
    assert pool.opened(3, "c3", 5) == [Grant("b", "c3")]
    assert pool.statistics().check_failures == 1


def test_a_check_that_nobody_waits_for_any_more() -> None:
    pool = running(min_size=1, check_after=0)
    pool.acquire("a", 5, 7)
    assert isinstance(failure(pool.tick(7)).error, TimeoutError)
    assert pool.checked("c1", 8, True) == []
    assert pool.idle_size == 1
    pool.acquire("b", 9)
    pool.cancel_wait("b", 9)
    assert pool.checked("c1", 9, False) == [Terminate("c1"), Open(2)]


def test_expired_lost_and_closed_while_it_is_checked() -> None:
    pool = running(max_size=3, min_size=3, check_after=0)
    for waiter in "abc":
        pool.acquire(waiter, 5)
    pool.expire(5)
    assert pool.checked("c3", 5, True) == [Close("c3")]
    assert pool.connection_lost("c2", 5) == [Open(4)]
    assert pool.checked("c2", 5, True) == []
    pool.close(5)
    assert pool.checked("c1", 5, False) == [Terminate("c1")]
    with pytest.raises(InternalClientError):
        pool.checked("c3", 5, True)


# Too many


def test_more_than_may_wait_are_refused() -> None:
    pool = running(max_size=2, max_waiting=1)
    for waiter in "abc":  # two are being opened
        pool.acquire(waiter, 0)
    with pytest.raises(PoolExhaustedError, match="all connections of the pool are in use, and 1 tasks wait") as caught:
        pool.acquire("d", 0)
    assert isinstance(caught.value, InterfaceError)
    assert caught.value.safe_to_retry
    assert "max_waiting" in str(caught.value.hint)
    pool.cancel_wait("c", 0)
    assert pool.acquire("d", 0) == []
    statistics = pool.statistics()
    assert (statistics.refused, statistics.waiting, statistics.most_waiting) == (1, 3, 3)


def test_nobody_may_wait_for_a_release() -> None:
    pool = running(min_size=1, max_size=1, max_waiting=0)
    pool.acquire("a", 0)
    with pytest.raises(PoolExhaustedError):
        pool.acquire("b", 0)
    pool.released("c1", 0, True, 1)
    assert pool.acquire("b", 0) == []  # it is on its way
    with pytest.raises(PoolExhaustedError):
        pool.acquire("c", 0)
    assert pool.reset_done("c1", 0, True) == [Grant("b", "c1")]


# Draining


def test_drain_ends_when_all_that_were_there_are_gone() -> None:
    pool = running(min_size=2, max_size=4)
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    pool.acquire("c", 0)  # opens 3
    assert pool.drain("me", 0) == []
    assert pool.released("c1", 0, True, 1) == [Close("c1")]
    assert pool.closed("c1", 0) == []
    assert pool.opened(3, "c3", 0) == [Close("c3"), Open(4)]
    assert pool.opened(4, "c4", 0) == [Grant("c", "c4")]
    assert pool.drain("another", 0) == []
    assert pool.closed("c3", 0) == []
    assert pool.connection_lost("c2", 0) == [Open(5), Drained("me")]  # its user still has it, but it is dead
    assert pool.opened(5, "c5", 0) == []
    assert pool.released("c4", 0, False, 1) == [Terminate("c4"), Open(6), Drained("another")]


def test_drain_of_nothing_and_one_that_is_cancelled() -> None:
    pool = running(max_size=1)
    assert pool.drain("a", 0) == [Drained("a")]
    pool.acquire("x", 0)
    pool.opened(1, "c1", 0)
    assert pool.drain("b", 0) == []
    pool.cancel_drain("b")
    pool.cancel_drain("b")
    assert pool.released("c1", 0, False, 1) == [Terminate("c1")]


def test_who_drains_is_told_of_the_end() -> None:
    pool = running(min_size=1)
    pool.acquire("a", 0)
    pool.drain("me", 0)
    assert pool.terminate(0) == [Terminate("c1"), Drained("me")]
    pool = running(min_size=1)
    pool.acquire("a", 0)
    pool.drain("me", 0)
    pool.close(0)
    pool.released("c1", 0, True, 1)
    assert pool.closed("c1", 0) == [Drained("me"), Finished()]


# Lazy pools


def test_a_lazy_pool_may_be_closed_before_it_has_started() -> None:
    assert PoolPolicy[str, str](PoolLimits(), is_lazy=True).close(0) == [Finished()]
    pool: Pool = PoolPolicy(PoolLimits(), is_lazy=True)
    assert pool.terminate(0) == []
    with pytest.raises(InterfaceError, match="pool is closed"):
        pool.acquire("a", 0)


# The rest


@pytest.mark.checklist("P-12")
def test_statistics() -> None:
    pool = running(min_size=2, max_size=4)
    pool.acquire("a", 0)
    pool.released("c2", 0, True, 1)
    pool.acquire("b", 0)
    pool.acquire("c", 0)
    pool.acquire("d", 0)
    expected = PoolStatistics(
        size=2,
        idle=0,
        in_use=1,
        resetting=1,
        checking=0,
        multiplexed=0,
        opening=1,
        closing=0,
        waiting=2,
        most_waiting=2,
        waited_seconds=0,
        granted=2,
        shared=0,
        timed_out=0,
        refused=0,
        opened=2,
        open_failures=0,
        lost=0,
        reset_failures=0,
        check_failures=0,
        expired=0,
        idled_out=0,
    )
    assert pool.statistics() == expected
    pool.connection_lost("c1", 0)
    pool.open_failed(3, OSError(), 5)
    expected = replace(expected, size=1, in_use=0, opening=0, waiting=1, lost=1, open_failures=1, waited_seconds=5)
    assert pool.statistics() == expected
    pool.reset_done("c2", 7, False)
    pool.cancel_wait("c", 9)
    expected = replace(expected, size=0, resetting=0, opening=2, waiting=0, waited_seconds=14, reset_failures=1)
    assert pool.statistics() == expected


def test_reports_of_what_was_not_asked_for_are_defects() -> None:
    pool = running(min_size=1)
    for report in (
        lambda: pool.opened(9, "x", 0),
        lambda: pool.open_failed(9, OSError(), 0),
        lambda: pool.reset_done("c1", 0, True),
        lambda: pool.closed("c1", 0),
        lambda: pool.closed("x", 0),
    ):
        with pytest.raises(InternalClientError):
            report()
    pool.acquire("a", 0)
    pool.acquire("b", 0)
    with pytest.raises(InternalClientError, match="the connection of slot 2 is known already"):
        pool.opened(2, "c1", 0)


# Handing on


def test_what_is_handed_on_goes_to_who_waits_first() -> None:
    pool = running(max_size=1)
    pool.acquire("a", 0)
    (opened,) = pool._opening
    assert pool.opened(opened, "c", 0) == [Grant("a", "c")]
    assert pool.acquire("b", 1, 5) == pool.acquire("d", 2) == []
    assert pool.hand_on("c", 3, 1) == (True, "b")
    assert pool.statistics().granted == 2
    assert pool.cancel_wait("b", 4) == [Grant("d", "c")]
    assert pool.hand_on("c", 5, 2) == (True, None)
    assert (pool.statistics().idle, pool.statistics().in_use) == (1, 0)
    assert pool.acquire("b", 6) == [Grant("b", "c")]


@pytest.mark.parametrize("case", ["worn out", "expired", "too old", "lost", "closing", "late", "unknown", "released"])
@pytest.mark.parametrize("waits", [False, True])
def test_what_is_not_handed_on(case: str, waits: bool) -> None:
    pool = running(min_size=1, max_size=1, max_lifetime=100)
    assert pool.acquire("a", 0) == [Grant("a", "c1")]
    if waits:
        pool.acquire("b", 0, 50 if case == "late" else None)
    queries, now = 1, 1.0
    match case:
        case "worn out":
            queries = 1000
        case "expired":
            pool.expire(1)
        case "too old":
            now = 100
        case "lost":
            pool.connection_lost("c1", 1)
        case "closing":
            pool.close(1)
        case "late":
            now = 50
        case "unknown":
            assert pool.hand_on("c2", now, queries) == (False, None)
            return
        case _:
            pool.released("c1", 1, True, 1)
    before = pool.statistics()
    handed_on = case == "late" and not waits
    assert pool.hand_on("c1", now, queries) == (handed_on, None)
    assert (pool.statistics() == before) is not handed_on
