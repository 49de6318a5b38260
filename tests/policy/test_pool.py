"""Who gets which connection, and what happens to the others."""

from dataclasses import replace
from typing import TypeAlias

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgsansio.errors import InterfaceError, InternalClientError
from pgsansio.policy import pool as actions_
from pgsansio.policy.pool import (
    Close,
    Fail,
    Finished,
    FloorFailed,
    Grant,
    Open,
    PoolPolicy,
    PoolState,
    PoolStatistics,
    Ready,
    Reset,
    StartFailed,
    Terminate,
)

Pool: TypeAlias = PoolPolicy[str, str]
Actions: TypeAlias = list[actions_.Action[str, str]]


def running(*, min_size: int = 0, max_size: int = 2, lifetime: float = 0, max_queries: int = 1000) -> Pool:
    """A pool that has started at 0, with its connections "c1", "c2", ... opened."""
    pool: Pool = PoolPolicy(
        min_size=min_size, max_size=max_size, max_inactive_connection_lifetime=lifetime, max_queries=max_queries
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
def test_contradictions(options: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PoolPolicy(**options)


@pytest.mark.checklist("P-1", "P-3")
def test_the_first_connection_is_opened_alone() -> None:
    pool: Pool = PoolPolicy(min_size=1, init_size=3, max_size=5)
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
    pool: Pool = PoolPolicy(min_size=0)
    assert pool.start(0) == [Ready()]
    assert pool.next_deadline() is None


@pytest.mark.checklist("P-1")
def test_a_failed_start_terminates_what_was_opened() -> None:
    pool: Pool = PoolPolicy(min_size=3, max_size=3)
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
    pool: Pool = PoolPolicy(min_size=1)
    with pytest.raises(InterfaceError, match="pool is not initialized"):
        pool.terminate(0)
    pool.start(0)
    (action,) = pool.terminate(0)
    assert isinstance(action, StartFailed)
    assert str(action.error) == "pool is closed"
    assert pool.open_failed(1, OSError(), 0) == []


def test_a_first_connection_that_is_lost_before_the_pool_is_ready() -> None:
    pool: Pool = PoolPolicy(min_size=2, max_size=2)
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


def test_deadlines_of_those_who_were_served_do_not_pile_up() -> None:
    pool = running(min_size=1, max_size=1)
    pool.acquire("first", 0)
    for number in range(1000):
        pool.acquire(f"w{number}", 0, 1e9 + number)
        pool.cancel_wait(f"w{number}", 0)
    assert len(pool._deadlines) < 100
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
    pool = running(min_size=1, max_size=3, lifetime=10)
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
    pool = running(max_size=1, lifetime=0)
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
        PoolPolicy[str, str]().close(0)


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


# The rest


@pytest.mark.checklist("P-12")
def test_statistics() -> None:
    pool = running(min_size=2, max_size=4)
    pool.acquire("a", 0)
    pool.released("c2", 0, True, 1)
    pool.acquire("b", 0)
    pool.acquire("c", 0)
    pool.acquire("d", 0)
    expected = PoolStatistics(2, 0, 1, 1, 1, 0, 2, granted=2, timed_out=0, opened=2, open_failures=0, lost=0)
    assert pool.statistics() == expected
    pool.connection_lost("c1", 0)
    pool.open_failed(3, OSError(), 0)
    assert pool.statistics() == replace(expected, size=1, in_use=0, opening=0, waiting=1, lost=1, open_failures=1)


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
    with pytest.raises(InternalClientError, match="slot 2 is not being opened, or its connection is known already"):
        pool.opened(2, "c1", 0)


MAX_SIZE = 3


class PoolBesideAModel(RuleBasedStateMachine):
    """The model sees actions and reports only: where each connection is, who waits in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.serial = 0
        self.slots: set[int] = set()
        self.idle: list[str] = []
        self.used: dict[str, str] = {}  # connection -> waiter
        self.resetting: set[str] = set()
        self.closing: set[str] = set()
        self.gone: dict[str, str] = {}  # connection -> the report that is missing
        self.expired: set[str] = set()
        self.expired_slots: set[int] = set()
        self.waiting: dict[str, float] = {}
        self.ready = self.finished = self.start_failed = False

    @initialize(min_size=st.integers(0, 2), lifetime=st.sampled_from([0, 10]))
    def start(self, min_size: int, lifetime: float) -> None:
        self.min_size = min_size
        self.pool: Pool = PoolPolicy(
            min_size=min_size, max_size=MAX_SIZE, max_inactive_connection_lifetime=lifetime, max_queries=100
        )
        self.apply(self.pool.start(self.now))

    def apply(self, actions: Actions) -> None:
        for action in actions:
            match action:
                case Open(slot):
                    assert slot not in self.slots
                    self.slots.add(slot)
                case Grant(waiter, connection):
                    assert not self.pool.is_closing
                    assert waiter == next(iter(self.waiting)), "first come, first served"
                    assert self.waiting.pop(waiter) > self.now
                    assert connection not in self.expired
                    self.take(connection)
                    self.used[connection] = waiter
                case Reset(connection):
                    self.take(connection)
                    self.resetting.add(connection)
                case Close(connection):
                    self.take(connection)
                    self.closing.add(connection)
                case Terminate(connection):
                    self.take(connection, gone=True)
                case Fail(waiter, error):
                    deadline = self.waiting.pop(waiter)
                    assert deadline <= self.now or not isinstance(error, TimeoutError)
                case Ready():
                    self.ready = True
                case StartFailed():
                    self.start_failed = True
                case FloorFailed():
                    assert len(self.waiting) <= len(self.resetting) + len(self.slots)
                case Finished():
                    assert not self.finished
                    assert not (self.slots or self.idle or self.used or self.resetting or self.closing) or self.ended
                    self.finished = True

    ended = False

    def take(self, connection: str, gone: bool = False) -> None:
        """Take the connection out of the one place it is in."""
        if connection == self.arriving:
            self.arriving = ""
        elif connection in self.idle:
            self.idle.remove(connection)
        elif connection in self.used:
            del self.used[connection]
            if gone:
                self.gone[connection] = "released"
        elif connection in self.resetting:
            self.resetting.remove(connection)
            if gone:
                self.gone[connection] = "reset_done"
        else:
            self.closing.remove(connection)
            if gone:
                self.gone[connection] = "closed"

    #: Opened, released or reset just now; becomes idle unless the pool says otherwise.
    arriving = ""

    def arrive(self, connection: str, actions: Actions) -> None:
        self.arriving = connection
        self.apply(actions)
        if self.arriving:
            assert not self.waiting
            assert connection not in self.expired
            self.idle.append(connection)
        self.arriving = ""

    @rule(seconds=st.sampled_from([0.1, 1, 5, 12]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.apply(self.pool.tick(self.now))

    @precondition(lambda self: self.ready and not self.pool.is_closing)
    @rule(patience=st.sampled_from([0, 3, 8, 1e9]))
    def acquire(self, patience: float) -> None:
        self.serial += 1
        waiter = f"w{self.serial}"
        had_idle = list(self.idle)
        self.waiting[waiter] = self.now + patience
        self.apply(self.pool.acquire(waiter, self.now, self.now + patience))
        if had_idle and patience:
            assert self.used[had_idle[-1]] == waiter, "the one used last"

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel_waiting(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[waiter]
        assert self.pool.cancel_wait(waiter, self.now) == []

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def cancel_granted(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.used)))
        self.arrive(connection, self.pool.cancel_wait(self.used.pop(connection), self.now))

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def opened(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        self.slots.remove(slot)
        connection = f"c{slot}"
        if slot in self.expired_slots:
            self.expired.add(connection)
        self.arrive(connection, self.pool.opened(slot, connection, self.now))

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def open_failed(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        self.slots.remove(slot)
        self.apply(self.pool.open_failed(slot, OSError(), self.now))

    @precondition(lambda self: self.used)
    @rule(data=st.data(), usable=st.booleans(), queries=st.sampled_from([1, 100]))
    def release(self, data: st.DataObject, usable: bool, queries: int) -> None:
        connection = data.draw(st.sampled_from(sorted(self.used)))
        del self.used[connection]
        self.arriving = connection
        self.apply(self.pool.released(connection, self.now, usable, queries))
        assert not self.arriving
        if usable:
            assert connection in self.resetting | self.closing
            assert self.pool.released(connection, self.now, usable, queries) == []  # a second time

    @precondition(lambda self: self.resetting)
    @rule(data=st.data(), ok=st.booleans())
    def reset_done(self, data: st.DataObject, ok: bool) -> None:
        connection = data.draw(st.sampled_from(sorted(self.resetting)))
        self.resetting.remove(connection)
        if ok:
            self.arrive(connection, self.pool.reset_done(connection, self.now, ok=True))
        else:
            self.arriving = connection
            self.apply(self.pool.reset_done(connection, self.now, ok=False))
            assert not self.arriving

    @precondition(lambda self: self.closing)
    @rule(data=st.data())
    def closed(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.closing)))
        self.closing.remove(connection)
        self.apply(self.pool.closed(connection, self.now))

    @precondition(lambda self: self.idle or self.used or self.resetting or self.closing)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        everywhere = sorted([*self.idle, *self.used, *self.resetting, *self.closing])
        connection = data.draw(st.sampled_from(everywhere))
        self.take(connection, gone=True)
        self.apply(self.pool.connection_lost(connection, self.now))
        assert self.pool.connection_lost(connection, self.now) == []

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def report_of_a_dead_one(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.gone)))
        match self.gone.pop(connection):
            case "released":
                assert self.pool.released(connection, self.now, True, 1) == []
            case "reset_done":
                assert self.pool.reset_done(connection, self.now, True) == []
            case _:
                assert self.pool.closed(connection, self.now) == []

    @precondition(lambda self: self.ready and not self.pool.is_closing)
    @rule()
    def expire(self) -> None:
        self.expired.update([*self.idle, *self.used, *self.resetting])
        self.expired_slots.update(self.slots)
        self.apply(self.pool.expire(self.now))
        assert not self.idle

    @precondition(lambda self: self.ready and self.serial > 4)
    @rule()
    def close(self) -> None:
        self.apply(self.pool.close(self.now))
        assert not self.waiting
        assert not self.idle

    @precondition(lambda self: self.serial > 8)
    @rule()
    def terminate(self) -> None:
        was_closing = self.pool.state is PoolState.CLOSING
        self.ended = True
        self.apply(self.pool.terminate(self.now))
        assert [*self.waiting, *self.idle, *self.used, *self.resetting, *self.closing] == []
        assert self.pool.state is PoolState.CLOSED
        assert self.finished or not was_closing

    @invariant()
    def counts_agree(self) -> None:
        seen = self.pool.statistics()
        assert (seen.idle, seen.in_use, seen.resetting, seen.closing, seen.opening, seen.waiting) == (
            len(self.idle),
            len(self.used),
            len(self.resetting),
            len(self.closing),
            len(self.slots),
            len(self.waiting),
        )
        assert self.pool.size == seen.size == seen.idle + seen.in_use + seen.resetting
        assert len(self.pool._entries) == seen.size + seen.closing + len(self.gone)
        assert len(self.pool._held) == len(self.used) + list(self.gone.values()).count("released")
        assert list(self.pool._idle) == self.idle

    @invariant()
    def never_above_the_limit(self) -> None:
        if not self.ended and not self.start_failed:
            total = len(self.idle) + len(self.used) + len(self.resetting) + len(self.closing) + len(self.slots)
            assert total <= MAX_SIZE

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        if not self.waiting:
            return
        assert not self.idle
        coming = len(self.resetting) + len(self.slots)
        total = len(self.used) + len(self.closing) + coming
        assert coming >= len(self.waiting) or total == MAX_SIZE

    @invariant()
    def the_floor_is_kept_or_will_be(self) -> None:
        if self.pool.state is not PoolState.RUNNING:
            return
        kept = len(self.idle) + len(self.used) + len(self.resetting) + len(self.slots)
        if kept < self.min_size and kept + len(self.closing) < MAX_SIZE:
            deadline = self.pool.next_deadline()
            assert deadline is not None
            assert deadline <= self.now + 60

    @invariant()
    def what_is_due_has_a_deadline(self) -> None:
        deadline = self.pool.next_deadline()
        if deadline is not None and deadline <= self.now:
            before = self.pool.statistics()
            self.apply(self.pool.tick(self.now))
            assert self.pool.statistics() != before or self.pool.next_deadline() != deadline
        for patience in self.waiting.values():
            assert (self.pool.next_deadline() or 0) <= patience

    @invariant()
    def a_closing_pool_ends(self) -> None:
        if self.pool.is_closing and not (self.slots or self.used or self.resetting or self.closing):
            assert self.pool.state is PoolState.CLOSED


PoolBesideAModel.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestPoolBesideAModel = PoolBesideAModel.TestCase
