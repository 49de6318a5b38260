"""The pool's policy beside a small model, whatever happens in whatever order."""

import math
from typing import TypeAlias

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgsansio.errors import PoolExhaustedError
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

Actions: TypeAlias = list[pool_actions.Action[str, str]]

MAX_SIZE = 3
MAX_QUERIES = 100


class PoolBesideAModel(RuleBasedStateMachine):
    """The model sees actions and reports only: where each connection is, who waits in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.serial = 0
        self.slots: dict[int, bool] = {}  # whether it is to be shared
        self.idle: dict[str, float] = {}  # since when
        self.used: dict[str, str] = {}  # connection -> waiter
        self.resetting: set[str] = set()
        self.checking: set[str] = set()
        self.closing: set[str] = set()
        self.gone: dict[str, str] = {}  # connection -> the report that is missing
        self.shared: dict[str, int] = {}  # how many queries share it
        self.free_since: dict[str, float] = {}  # of those that are shared by none
        self.is_for_sharing: set[str] = set()
        self.worn_out: set[str] = set()  # has run so many queries
        self.dies_at: dict[str, float] = {}
        self.expired: set[str] = set()
        self.expired_slots: set[int] = set()
        self.waiting: dict[str, float] = {}
        self.waiting_to_share: dict[str, float] = {}
        self.drains: dict[str, set[str | int]] = {}  # what was there then
        self.ready = self.finished = self.start_failed = False

    @initialize(
        min_size=st.integers(0, 2),
        lifetime=st.sampled_from([0, 10]),
        max_lifetime=st.sampled_from([None, 20]),
        check_after=st.sampled_from([None, 0, 4]),
        max_waiting=st.sampled_from([None, 0, 2]),
        multiplex=st.integers(0, 2),
    )
    def start(
        self,
        min_size: int,
        lifetime: float,
        max_lifetime: float | None,
        check_after: float | None,
        max_waiting: int | None,
        multiplex: int,
    ) -> None:
        self.limits = PoolLimits(
            min_size=min_size,
            max_size=MAX_SIZE,
            max_inactive_connection_lifetime=lifetime,
            max_queries=MAX_QUERIES,
            max_lifetime=max_lifetime,
            max_lifetime_jitter=10 if max_lifetime else None,
            check_after=check_after,
            max_waiting=max_waiting,
            multiplex=multiplex,
        )
        self.pool: PoolPolicy[str, str] = PoolPolicy(self.limits)
        self.apply(self.pool.start(self.now))

    # What the pool says

    def apply(self, actions: Actions) -> None:
        for action in actions:
            match action:
                case Open(slot):
                    assert slot not in self.slots
                    # As far as can be seen from here: acquired ones come first.
                    self.slots[slot] = self.pool._opening[slot][1]
                case Grant(waiter, connection):
                    assert not self.pool.is_closing
                    assert not self.is_too_old(connection)
                    if connection in self.is_for_sharing:
                        self.share(waiter, connection)
                        continue
                    assert waiter == next(iter(self.waiting)), "first come, first served"
                    assert self.waiting.pop(waiter) > self.now
                    if connection in self.idle:
                        assert not self.is_check_due(self.idle[connection])
                    self.take(connection)
                    self.used[connection] = waiter
                case Reset(connection):
                    self.take(connection)
                    self.resetting.add(connection)
                case Check(connection):
                    since = self.idle.get(connection, self.free_since.get(connection))
                    assert since is not None
                    assert self.is_check_due(since)
                    self.take(connection)
                    self.checking.add(connection)
                case Close(connection):
                    self.take(connection)
                    self.closing.add(connection)
                case Terminate(connection):
                    self.take(connection, gone=True)
                case Fail(waiter, error):
                    line = self.waiting if waiter in self.waiting else self.waiting_to_share
                    deadline = line.pop(waiter)
                    assert deadline <= self.now or not isinstance(error, TimeoutError)
                case Ready():
                    self.ready = True
                case StartFailed():
                    self.start_failed = True
                case FloorFailed():
                    assert len(self.waiting) <= self.coming or self.failed_to_share, "somebody could be told"
                case Drained(waiter):
                    assert not self.drains.pop(waiter) & self.present or self.ended
                case Finished():
                    assert not self.finished
                    assert not self.present or self.ended
                    self.finished = True

    ended = False
    failed_to_share = False

    @property
    def present(self) -> set[str | int]:
        """All that count for `max_size`, by name, and slots."""
        return {*self.slots, *self.idle, *self.used, *self.resetting, *self.checking, *self.closing, *self.shared}

    @property
    def coming(self) -> int:
        """On their way to whoever acquires."""
        return (
            len(self.resetting)
            + len(self.checking - self.is_for_sharing)
            + sum(not shared for shared in self.slots.values())
        )

    def is_too_old(self, connection: str) -> bool:
        return connection in self.expired or self.dies_at[connection] <= self.now

    def is_check_due(self, since: float) -> bool:
        return self.limits.check_after is not None and self.now - since >= self.limits.check_after

    def share(self, waiter: str, connection: str) -> None:
        if waiter in self.waiting_to_share:
            assert self.waiting_to_share.pop(waiter) > self.now
        if self.arriving == connection:
            self.arriving = ""
            self.shared[connection] = 0
        assert connection not in self.worn_out
        takers = [load for name, load in self.shared.items() if not self.takes_no_more(name)]
        assert self.shared[connection] == min(takers), "the one with the fewest"
        self.shared[connection] += 1
        self.free_since.pop(connection, None)

    def takes_no_more(self, connection: str) -> bool:
        return connection in self.worn_out or connection not in self.pool._shared

    def take(self, connection: str, gone: bool = False) -> None:
        """Take the connection out of the one place it is in."""
        if connection == self.arriving:
            self.arriving = ""
        elif connection in self.idle:
            del self.idle[connection]
        elif connection in self.used:
            del self.used[connection]
            if gone:
                self.gone[connection] = "released"
        elif connection in self.resetting:
            self.resetting.remove(connection)
            if gone:
                self.gone[connection] = "reset_done"
        elif connection in self.checking:
            self.checking.remove(connection)
            if gone:
                self.gone[connection] = "checked"
        elif connection in self.shared:
            load = self.shared.pop(connection)
            self.free_since.pop(connection, None)
            assert gone or not load, "somebody uses it"
            if load:
                self.gone[connection] = f"shared {load}"
        else:
            self.closing.remove(connection)
            if gone:
                self.gone[connection] = "closed"

    #: Opened, released, checked or reset just now; becomes idle or free unless the pool says otherwise.
    arriving = ""

    def arrive(self, connection: str, actions: Actions) -> None:
        self.arriving = connection
        self.apply(actions)
        if self.arriving:
            assert not self.is_too_old(connection)
            if connection in self.is_for_sharing:
                assert not self.waiting_to_share
                self.shared[connection] = 0
                self.free_since[connection] = self.now
            else:
                assert not self.waiting
                self.idle[connection] = self.now
        self.arriving = ""

    def arrive_in_vain(self, connection: str, actions: Actions) -> None:
        self.arriving = connection
        self.apply(actions)
        assert not self.arriving

    # What happens

    @rule(seconds=st.sampled_from([0.1, 1, 5, 12]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.apply(self.pool.tick(self.now))

    @precondition(lambda self: self.ready and not self.pool.is_closing)
    @rule(patience=st.sampled_from([0, 3, 8, 1e9]))
    def acquire(self, patience: float) -> None:
        self.serial += 1
        waiter = f"w{self.serial}"
        idle = list(self.idle.items())
        backlog = len(self.waiting) - self.coming
        self.waiting[waiter] = self.now + patience
        try:
            actions = self.pool.acquire(waiter, self.now, self.now + patience)
        except PoolExhaustedError:
            del self.waiting[waiter]
            assert not idle
            assert self.limits.max_waiting is not None
            assert backlog >= self.limits.max_waiting
            return
        self.apply(actions)
        if idle and patience:
            connection, since = idle[-1]
            if self.is_check_due(since):
                assert connection in self.checking
            else:
                assert self.used[connection] == waiter, "the one used last"

    @precondition(lambda self: self.ready and not self.pool.is_closing)
    @rule()
    def take_one(self) -> None:
        connection = self.pool.take(self.now)
        if connection is None:
            assert not self.idle or self.waiting or self.is_check_due(list(self.idle.values())[-1])
            return
        assert connection == list(self.idle)[-1], "the one used last"
        assert not self.waiting, "first come, first served"
        assert not self.is_check_due(self.idle[connection])
        assert not self.is_too_old(connection)
        self.take(connection)
        self.used[connection] = ""

    @precondition(lambda self: self.ready and not self.pool.is_closing)
    @rule(patience=st.sampled_from([0, 3, 1e9]))
    def share_one(self, patience: float) -> None:
        if not self.limits.multiplex:
            return
        self.serial += 1
        waiter = f"s{self.serial}"
        connection = self.pool.share(self.now)
        if connection is not None:
            self.share(waiter, connection)
            return
        self.waiting_to_share[waiter] = self.now + patience
        self.apply(self.pool.join(waiter, self.now, self.now + patience))

    @precondition(lambda self: any(self.shared.values()))
    @rule(data=st.data(), queries=st.sampled_from([1, MAX_QUERIES]))
    def shared_done(self, data: st.DataObject, queries: int) -> None:
        connection = data.draw(st.sampled_from(sorted(name for name, load in self.shared.items() if load)))
        self.shared[connection] -= 1
        if not self.shared[connection]:
            self.free_since[connection] = self.now
        if queries == MAX_QUERIES:
            self.worn_out.add(connection)
        self.apply(self.pool.shared_done(connection, self.now, queries))
        if self.takes_no_more(connection):
            assert self.shared.get(connection, 1), "closed when the last query is over"

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel_waiting(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[waiter]
        assert self.pool.cancel_wait(waiter, self.now) == []

    @precondition(lambda self: self.waiting_to_share)
    @rule(data=st.data())
    def cancel_waiting_to_share(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(sorted(self.waiting_to_share)))
        del self.waiting_to_share[waiter]
        self.pool.leave(waiter, self.now)

    @precondition(lambda self: any(self.used.values()))
    @rule(data=st.data())
    def cancel_granted(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(name for name, waiter in self.used.items() if waiter)))
        self.arrive(connection, self.pool.cancel_wait(self.used.pop(connection), self.now))

    @precondition(lambda self: self.slots)
    @rule(data=st.data(), share=st.sampled_from([0.0, 0.5, 1.0]))
    def opened(self, data: st.DataObject, share: float) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        connection = f"c{slot}"
        if self.slots.pop(slot):
            self.is_for_sharing.add(connection)
        if slot in self.expired_slots:
            self.expired.add(connection)
        for there in self.drains.values():
            if slot in there:
                there.add(connection)
        lifetime = self.limits.max_lifetime
        self.dies_at[connection] = self.now + lifetime - share * 10 if lifetime else math.inf
        self.arrive(connection, self.pool.opened(slot, connection, self.now, share))

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def open_failed(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        self.failed_to_share = self.slots.pop(slot)
        self.apply(self.pool.open_failed(slot, OSError(), self.now))

    @precondition(lambda self: self.used)
    @rule(data=st.data(), usable=st.booleans(), queries=st.sampled_from([1, MAX_QUERIES]))
    def release(self, data: st.DataObject, usable: bool, queries: int) -> None:
        connection = data.draw(st.sampled_from(sorted(self.used)))
        del self.used[connection]
        self.arrive_in_vain(connection, self.pool.released(connection, self.now, usable, queries))
        if usable:
            replaced = queries == MAX_QUERIES or self.is_too_old(connection) or self.pool.is_closing
            assert connection in (self.closing if replaced else self.resetting)
            assert self.pool.released(connection, self.now, usable, queries) == []  # a second time

    @precondition(lambda self: self.used)
    @rule(data=st.data(), queries=st.sampled_from([1, MAX_QUERIES]))
    def hand_on(self, data: st.DataObject, queries: int) -> None:
        connection = data.draw(st.sampled_from(sorted(self.used)))
        is_done, waiter = self.pool.hand_on(connection, self.now, queries)
        may = not self.is_too_old(connection) and queries < MAX_QUERIES and not self.pool.is_closing
        if not is_done:
            assert waiter is None
            assert not may or any(deadline <= self.now for deadline in self.waiting.values())
            return
        assert may
        if waiter is None:
            del self.used[connection]
            self.arrive(connection, [])
            return
        assert waiter == next(iter(self.waiting)), "first come, first served"
        assert self.waiting.pop(waiter) > self.now
        self.used[connection] = waiter

    @precondition(lambda self: self.resetting)
    @rule(data=st.data(), ok=st.booleans())
    def reset_done(self, data: st.DataObject, ok: bool) -> None:
        connection = data.draw(st.sampled_from(sorted(self.resetting)))
        self.resetting.remove(connection)
        arrive = self.arrive if ok else self.arrive_in_vain
        arrive(connection, self.pool.reset_done(connection, self.now, ok))

    @precondition(lambda self: self.checking)
    @rule(data=st.data(), ok=st.booleans())
    def checked(self, data: st.DataObject, ok: bool) -> None:
        connection = data.draw(st.sampled_from(sorted(self.checking)))
        self.checking.remove(connection)
        arrive = self.arrive if ok else self.arrive_in_vain
        arrive(connection, self.pool.checked(connection, self.now, ok))

    @precondition(lambda self: self.closing)
    @rule(data=st.data())
    def closed(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(self.closing)))
        self.closing.remove(connection)
        self.apply(self.pool.closed(connection, self.now))

    @precondition(lambda self: self.present - set(self.slots))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(sorted(name for name in self.present if isinstance(name, str))))
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
            case "checked":
                assert self.pool.checked(connection, self.now, True) == []
            case "closed":
                assert self.pool.closed(connection, self.now) == []
            case shared:
                for _ in range(int(shared.split()[1])):
                    assert self.pool.shared_done(connection, self.now, 1) == []

    def all_expire(self) -> None:
        self.expired.update([*self.idle, *self.used, *self.resetting, *self.checking, *self.shared])
        self.expired_slots.update(self.slots)

    @precondition(lambda self: self.ready and not self.pool.is_closing)
    @rule()
    def expire(self) -> None:
        self.all_expire()
        self.apply(self.pool.expire(self.now))
        assert not self.idle
        assert all(self.shared.values())

    @precondition(lambda self: self.ready and not self.pool.is_closing)
    @rule()
    def drain(self) -> None:
        self.serial += 1
        self.all_expire()
        self.drains[f"d{self.serial}"] = self.present
        self.apply(self.pool.drain(f"d{self.serial}", self.now))

    @precondition(lambda self: self.ready and self.serial > 4)
    @rule()
    def close(self) -> None:
        self.apply(self.pool.close(self.now))
        assert not self.waiting
        assert not self.waiting_to_share
        assert not self.idle

    @precondition(lambda self: self.serial > 8)
    @rule()
    def terminate(self) -> None:
        was_closing = self.pool.state is PoolState.CLOSING
        self.ended = True
        self.apply(self.pool.terminate(self.now))
        assert not self.present - set(self.slots)
        assert not self.waiting
        assert not self.waiting_to_share
        assert not self.drains
        assert self.pool.state is PoolState.CLOSED
        assert self.finished or not was_closing

    # What always holds

    @invariant()
    def counts_agree(self) -> None:
        seen = self.pool.statistics()
        assert (seen.idle, seen.in_use, seen.resetting, seen.checking, seen.multiplexed, seen.closing) == (
            len(self.idle),
            len(self.used),
            len(self.resetting),
            len(self.checking),
            len(self.shared),
            len(self.closing),
        )
        assert seen.opening == len(self.slots)
        assert seen.waiting == len(self.waiting) + len(self.waiting_to_share) <= seen.most_waiting
        assert self.pool.size == seen.size
        assert seen.size == seen.idle + seen.in_use + seen.resetting + seen.checking + seen.multiplexed
        assert len(self.pool._entries) == seen.size + seen.closing + len(self.gone)
        assert sum(entry.in_use for entry in self.pool._entries.values()) == (
            len(self.used) + list(self.gone.values()).count("released")
        )
        assert list(self.pool._idle) == list(self.idle)
        assert {name: entry.load for name, entry in self.pool._entries.items() if name in self.shared} == self.shared

    @invariant()
    def never_above_the_limit(self) -> None:
        if not self.ended and not self.start_failed:
            assert len(self.present) <= MAX_SIZE
            shared = len(self.present & self.is_for_sharing) + sum(self.slots.values())
            assert shared <= self.limits.multiplex
            assert len(self.present) - shared <= MAX_SIZE - self.limits.multiplex

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        if self.waiting:
            acquired = self.present - self.is_for_sharing - {slot for slot, shared in self.slots.items() if shared}
            assert self.coming >= len(self.waiting) or (
                len(acquired) == MAX_SIZE - self.limits.multiplex and not self.idle
            )
        if self.waiting_to_share:
            on_their_way = self.is_for_sharing & (self.checking | self.closing | set(self.shared))
            assert on_their_way or any(self.slots.values())
            # Nobody has to wait for the check of one while another one is known to be alive.
            for connection, load in self.shared.items():
                is_to_be_checked = not load and self.is_check_due(self.free_since[connection])
                assert is_to_be_checked or self.takes_no_more(connection)

    @invariant()
    def the_floor_is_kept_or_will_be(self) -> None:
        if self.pool.state is not PoolState.RUNNING:
            return
        if len(self.present - self.closing) < self.limits.min_size and len(self.present) < MAX_SIZE:
            acquired = self.present - self.is_for_sharing - {slot for slot, shared in self.slots.items() if shared}
            shared = len(self.present) - len(acquired)
            if len(acquired) == MAX_SIZE - self.limits.multiplex and shared == self.limits.multiplex:
                return
            deadline = self.pool.next_deadline()
            assert deadline is not None
            assert deadline <= self.now + 60

    @invariant()
    def what_is_due_has_a_deadline(self) -> None:
        deadline = self.pool.next_deadline()
        assert deadline is None or self.pool.soonest <= deadline
        if deadline is not None and deadline <= self.now:
            before = self.pool.statistics()
            self.apply(self.pool.tick(self.now))
            assert self.pool.statistics() != before or self.pool.next_deadline() != deadline
        for patience in (*self.waiting.values(), *self.waiting_to_share.values()):
            assert (self.pool.next_deadline() or 0) <= patience
        if self.pool.state is PoolState.RUNNING:
            for connection in (*self.idle, *self.free_since):
                assert not self.is_too_old(connection) or connection in self.used

    @invariant()
    def a_closing_pool_ends(self) -> None:
        if self.pool.is_closing and not self.present:
            assert self.pool.state is PoolState.CLOSED

    @invariant()
    def who_drains_is_told(self) -> None:
        for there in self.drains.values():
            assert there & self.present


PoolBesideAModel.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestPoolBesideAModel = pytest.mark.checklist("P-3", "P-4", "P-5")(PoolBesideAModel.TestCase)
