"""Connections that a pool keeps for queries which share them."""

from typing import Any, TypeAlias

import pytest

from pgsansio.errors import InterfaceError
from pgsansio.policy.pool import PoolPolicy
from pgsansio.policy.pool_actions import Check, Close, Drained, Fail, Finished, Grant, Open, Terminate
from pgsansio.policy.pool_limits import PoolLimits

Pool: TypeAlias = PoolPolicy[str, str]


def running(**limits: Any) -> Pool:
    """A pool that has started at 0 without any connection."""
    defaults = {"min_size": 0, "max_size": 3, "multiplex": 1, "max_inactive_connection_lifetime": 0}
    pool: Pool = PoolPolicy(PoolLimits(**{**defaults, **limits}))
    pool.start(0)
    return pool


def sharing(**limits: Any) -> Pool:
    """The same, with a connection "s1" that was shared once."""
    pool = running(**limits)
    assert pool.share(0) is None
    assert pool.join("first", 0) == [Open(1)]
    assert pool.opened(1, "s1", 0) == [Grant("first", "s1")]
    assert pool.shared_done("s1", 0, 1) == []
    return pool


def test_all_who_wait_share_the_one_that_was_opened() -> None:
    pool = running()
    assert pool.join("a", 0) == [Open(1)]
    assert pool.join("b", 0) == []
    assert pool.join("c", 0) == []
    pool.leave("b", 0)
    assert pool.opened(1, "s", 0) == [Grant("a", "s"), Grant("c", "s")]
    assert pool.share(0) == "s"
    statistics = pool.statistics()
    assert (statistics.multiplexed, statistics.size, statistics.shared, statistics.granted) == (1, 1, 3, 0)


def test_the_one_with_the_fewest_queries_is_next() -> None:
    pool = sharing(multiplex=2)
    assert pool.share(0) == "s1"
    assert pool.share(0) is None  # it is busy, and another one may be opened
    assert pool.join("a", 0) == [Open(2), Grant("a", "s1")]
    assert pool.share(0) == "s1"
    assert pool.opened(2, "s2", 0) == []
    assert [pool.share(0) for _ in range(4)] == ["s2", "s2", "s2", "s1"]


def test_who_joins_where_nothing_has_to_be_done() -> None:
    pool = sharing()
    assert pool.join("a", 0) == [Grant("a", "s1")]
    assert pool.join("b", 0) == [Grant("b", "s1")]


def test_they_are_never_acquired_and_acquired_ones_never_shared() -> None:
    pool = sharing(max_size=2)
    assert pool.acquire("a", 0) == [Open(2)]
    assert pool.opened(2, "c", 0) == [Grant("a", "c")]
    assert pool.acquire("b", 0) == []
    pool.released("c", 0, True, 1)
    assert pool.reset_done("c", 0, True) == [Grant("b", "c")]
    pool.released("c", 0, True, 2)
    pool.reset_done("c", 0, True)
    assert pool.connection_lost("s1", 0) == []
    assert pool.share(0) is None
    assert pool.join("x", 0) == [Open(3)]


def test_the_floor_is_made_of_both() -> None:
    pool = running(min_size=3)
    assert pool.opened(1, "a", 0) == [Open(2), Open(3)]
    pool.opened(2, "b", 0)
    pool.opened(3, "s", 0)
    assert pool.share(0) == "s"
    assert pool.acquire("x", 0) == [Grant("x", "b")]


def test_a_lost_one_is_forgotten_when_its_last_query_has_said_so() -> None:
    pool = sharing()
    pool.share(0)
    pool.share(0)
    assert pool.connection_lost("s1", 5) == []
    assert pool.size == 0
    assert pool.share(5) is None
    assert pool.shared_done("s1", 5, 1) == []
    assert pool.shared_done("s1", 5, 1) == []
    with pytest.raises(KeyError):
        pool.shared_done("s1", 5, 1)


def test_a_failed_open_is_told_to_all_who_wait_for_it() -> None:
    pool = running()
    pool.join("a", 0)
    pool.join("b", 0)
    error = OSError()
    assert pool.open_failed(1, error, 0) == [Fail("a", error), Fail("b", error)]
    pool = sharing(multiplex=2)
    pool.share(0)
    pool.join("a", 0)
    assert pool.open_failed(2, error, 0) == []


def test_waiting_to_share_has_a_deadline() -> None:
    pool = running()
    (late,) = pool.join("late", 5, 5)
    assert isinstance(late, Fail)
    pool.join("a", 5, 10)
    pool.join("b", 5)
    assert pool.next_deadline() == 10
    (failed,) = pool.tick(10)
    assert isinstance(failed, Fail)
    assert isinstance(failed.error, TimeoutError)
    assert failed.waiter == "a"
    pool.join("c", 10, 12)
    failed, granted = pool.opened(1, "s", 13)  # the tick comes late
    assert isinstance(failed, Fail)
    assert granted == Grant("b", "s")


def test_a_free_one_that_was_idle_for_long_is_checked() -> None:
    pool = sharing(check_after=30)
    assert pool.share(29) == "s1"
    assert pool.share(100) == "s1"  # in use all the time
    pool.shared_done("s1", 100, 2)
    pool.shared_done("s1", 100, 3)
    assert pool.share(130) is None
    assert pool.join("a", 130) == [Check("s1")]
    assert pool.join("b", 130) == []
    assert pool.checked("s1", 131, True) == [Grant("a", "s1"), Grant("b", "s1")]
    pool.shared_done("s1", 131, 4)
    pool.shared_done("s1", 131, 5)
    pool.join("c", 200)
    assert pool.checked("s1", 201, False) == [Terminate("s1"), Open(2)]


def test_nobody_waits_for_a_check_while_another_one_is_in_use() -> None:
    pool = sharing(multiplex=2, check_after=10)
    assert pool.share(1) == "s1"
    assert pool.join("a", 1) == [Open(2), Grant("a", "s1")]
    assert pool.opened(2, "s2", 1) == []
    assert pool.share(1) == "s2"
    assert pool.shared_done("s2", 1, 1) == []
    assert pool.share(20) is None
    assert pool.join("b", 20) == [Check("s2"), Grant("b", "s1")]


def test_after_max_queries_it_takes_no_more() -> None:
    pool = sharing(max_queries=10)
    pool.share(0)
    pool.share(0)
    assert pool.shared_done("s1", 0, 10) == []
    assert pool.share(0) is None
    assert pool.join("a", 0) == []
    assert pool.shared_done("s1", 0, 11) == [Close("s1")]
    assert pool.closed("s1", 0) == [Open(2)]


def test_too_old_ones_are_replaced_when_they_are_free() -> None:
    pool = sharing(max_lifetime=100, multiplex=2)
    pool.share(0)
    pool.join("a", 0)
    pool.opened(2, "s2", 0)
    assert pool.share(0) == "s2"
    pool.shared_done("s2", 0, 1)
    assert pool.tick(100) == [Close("s2")]
    pool.shared_done("s1", 100, 2)
    assert pool.shared_done("s1", 100, 3) == [Close("s1")]
    assert pool.statistics().expired == 2


def test_idle_ones_above_the_floor_are_closed() -> None:
    pool = sharing(min_size=0, max_inactive_connection_lifetime=10)
    assert pool.next_deadline() == 10
    pool.share(5)
    assert pool.next_deadline() is None
    assert pool.tick(50) == []
    pool.shared_done("s1", 50, 2)
    pool.acquire("a", 51)
    pool.opened(2, "c", 51)
    pool.cancel_wait("a", 51)
    assert pool.next_deadline() == 60
    assert pool.tick(61) == [Close("s1"), Close("c")]
    assert pool.statistics().idled_out == 2


def test_expire_and_drain() -> None:
    pool = sharing(multiplex=2)
    pool.share(0)
    pool.join("a", 0)
    pool.opened(2, "s2", 0)
    assert pool.drain("me", 0) == [Close("s2")]
    assert pool.closed("s2", 0) == []
    assert pool.shared_done("s1", 0, 1) == []
    assert pool.shared_done("s1", 0, 1) == [Close("s1")]
    assert pool.closed("s1", 0) == [Drained("me")]


def test_closing_and_terminating() -> None:
    pool = sharing()
    pool.share(0)
    assert pool.close(0) == []
    assert pool.share(0) is None
    with pytest.raises(InterfaceError, match="pool is closing"):
        pool.join("a", 0)
    assert pool.shared_done("s1", 0, 1) == [Close("s1")]
    assert pool.closed("s1", 0) == [Finished()]
    pool = sharing(multiplex=2)
    pool.share(0)
    assert pool.join("a", 0) == [Open(2), Grant("a", "s1")]
    assert pool.terminate(0) == [Terminate("s1")]
    assert pool.opened(2, "s2", 0) == [Terminate("s2")]
    assert pool.shared_done("s1", 0, 1) == []
    assert pool.shared_done("s1", 0, 1) == []
    with pytest.raises(InterfaceError, match="pool is closed"):
        pool.join("a", 0)
    pool = running()
    pool.join("a", 0)
    (failed,) = pool.close(0)
    assert isinstance(failed, Fail)
