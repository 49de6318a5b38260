"""The pool's decisions: who gets which connection, when to open, check, reset and close one, who fails.

How this works. `PoolPolicy` is told what happened and answers with actions for the caller to carry out in order; it
never waits, so nothing in it can be half done. A connection is in exactly one place:

    Open -> opened -> idle -> Grant -> in use -> released -> Reset -> reset_done -> idle or Grant
                       |  \\-> Check -> checked -> Grant       \\-> Close -> closed
                       \\-> too old, or not needed -> Close -> closed

All of them together are never more than `max_size`; a terminated one is gone at once. Waiters are served in the order
they came, and get the connection that was used last, so that those that are not needed grow old and can go. One that is
being opened, checked or reset counts as on its way to the first waiter, so a task that acquires and releases in a loop
stays on one connection. Where a check fails, a new connection is opened for who waits: other idle ones may be as
dead.

With `multiplex` so many of `max_size` are never acquired. They are shared by queries that need nothing but themselves:
each goes to the connection with the fewest, and a further connection is opened if none of them is free.

Whatever was asked for is reported exactly once: Open by `opened` or `open_failed`, Grant by `released` (or, before the
connection was used, `cancel_wait`), Reset by `reset_done`, Check by `checked`, Close by `closed`; what `share` gave, or
Grant after `join`, by `shared_done`. `connection_lost` may come at any time and replaces none of them.
"""

import math
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from pgsansio.errors import InterfaceError, InternalClientError
from pgsansio.policy.pool_actions import (
    Action,
    Check,
    Fail,
    Finished,
    FloorFailed,
    PoolState,
    Reset,
    StartFailed,
    Terminate,
)
from pgsansio.policy.pool_places import Place
from pgsansio.policy.pool_rules import PoolRules
from pgsansio.types.pool import PoolStatistics

__all__ = ["PoolPolicy"]

# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_RUNNING: Final = PoolState.RUNNING
_IN_USE: Final = Place.IN_USE
_RESETTING: Final = Place.RESETTING

W = TypeVar("W", bound=Hashable)
C = TypeVar("C", bound=Hashable)


class PoolPolicy(PoolRules[W, C], Generic[W, C]):
    """All decisions of one pool, for any loop.

    Waiters and connections are tokens of the caller's: hashable, each unique while it is known here. `now` is in
    seconds, monotonic.

    Args:
        is_lazy: it may be closed before it was started.
    """

    # What is

    @property
    def is_closing(self) -> bool:
        """`close` or `terminate` was called, or the start failed."""
        return self.state in (PoolState.CLOSING, PoolState.CLOSED)

    def statistics(self) -> PoolStatistics:
        counts = self._counts
        return PoolStatistics(
            size=self.size,
            idle=counts[Place.IDLE],
            in_use=counts[Place.IN_USE],
            resetting=counts[Place.RESETTING],
            checking=counts[Place.CHECKING] + counts[Place.CHECKING_SHARED],
            multiplexed=counts[Place.SHARED],
            opening=len(self._opening),
            closing=counts[Place.CLOSING],
            waiting=len(self._line) + len(self._shared_line),
            most_waiting=self._most_waiting,
            waited_seconds=self._line.seconds + self._shared_line.seconds,
            granted=self._granted,
            shared=self._shares,
            timed_out=self._timed_out,
            refused=self._refused,
            opened=self._opened,
            open_failures=self._open_failures,
            lost=self._lost,
            reset_failures=self._reset_failures,
            check_failures=self._check_failures,
            expired=self._expired,
            idled_out=self._idled_out,
        )

    def next_deadline(self) -> float | None:
        """When `tick` is due; None: not until something else happens. `soonest` is never later, and costs nothing."""
        soonest = self._line.next_deadline() if self._line.waiting else None
        if self._shared_line.waiting:
            soonest = _sooner(soonest, self._shared_line.next_deadline())
        if self.state is PoolState.RUNNING:
            if self._ages:
                soonest = _sooner(soonest, self._next_age())
            kept, floor = self._kept(), self.limits.min_size
            if kept > floor:
                soonest = _sooner(soonest, self._next_idled_out())
            elif kept < floor and self._room() + self._shared_room() > 0:
                soonest = _sooner(soonest, self._floor_retry_at)
        return soonest

    # Starting and ending

    def start(self, now: float) -> list[Action[W, C]]:
        """Begin to open the first connections; leads to `Ready` or `StartFailed`. Nothing happens in a running pool.

        Raises:
            InterfaceError: it is starting already, or closed.
        """
        if self.state is PoolState.STARTING:
            raise InterfaceError("pool is being initialized in another task")
        if self.state is PoolState.CLOSED:
            raise InterfaceError("pool is closed")
        actions: list[Action[W, C]] = []
        if self.state is PoolState.NEW:
            self.state = PoolState.STARTING
            if self.limits.initial:
                self._open(actions)  # alone, so that an error shows before there are many of it
            else:
                self._started(now, actions)
        return actions

    def expire(self, now: float) -> list[Action[W, C]]:
        """Replace every connection there is: idle ones at once, others when they come back.

        Raises:
            InterfaceError: the pool has not started, or is closed.
        """
        if self.state is not PoolState.CLOSING:
            self._check_running()
        actions: list[Action[W, C]] = []
        self._generation += 1
        self._close_unused(actions)
        self._fill(now, actions)
        return actions

    def drain(self, waiter: W, now: float) -> list[Action[W, C]]:
        """As `expire`, and `Drained` when all of them are gone, unless he cancels (`cancel_drain`).

        Raises: as `expire`.
        """
        actions = self.expire(now)
        self._drains[waiter] = self._generation
        self._settle(actions)
        return actions

    def cancel_drain(self, waiter: W) -> None:
        """He does not want to know any more."""
        self._drains.pop(waiter, None)

    def close(self, now: float) -> list[Action[W, C]]:
        """Grant nothing more; connections are closed as they come back. Leads to `Finished`; may be told again.

        Raises:
            InterfaceError: the pool has not started, and is not a lazy one.
        """
        actions: list[Action[W, C]] = []
        if self.is_closing:
            return actions
        if not (self._is_lazy and self.state is PoolState.NEW):
            self._check_running()
        self.state = PoolState.CLOSING
        self._fail_waiters("pool is closing", now, actions)
        self._close_unused(actions)
        self._settle(actions)
        return actions

    def terminate(self, now: float) -> list[Action[W, C]]:
        """Give everything up at once, also in the middle of starting or closing.

        Raises:
            InterfaceError: the pool has not been started, and is not a lazy one.
        """
        if self.state is PoolState.NEW and not self._is_lazy:
            raise InterfaceError("pool is not initialized")
        actions: list[Action[W, C]] = []
        if self.state is PoolState.CLOSED:
            return actions
        before = self.state
        self._terminate_all(now, actions)
        if before is PoolState.STARTING:
            actions.append(StartFailed(InterfaceError("pool is closed")))
        elif before is PoolState.CLOSING:
            actions.append(Finished())
        return actions

    # Acquiring and releasing

    def take(self, now: float) -> C | None:
        """An idle connection for whoever asks, until `released`; None: `acquire` has something to do first."""
        if not self._idle or self._line.waiting or self.state is not _RUNNING:
            return None
        connection, entry = self._idle.popitem()
        if self._is_check_due(entry, now):
            self._idle[connection] = entry
            return None
        self._move(entry, _IN_USE)
        entry.in_use = True
        self._granted += 1
        return connection

    def acquire(self, waiter: W, now: float, deadline: float | None = None) -> list[Action[W, C]]:
        """`waiter` wants a connection: comes to one Grant or Fail for him, unless he cancels.

        Args:
            deadline: when he gives up, with TimeoutError.
        Raises:
            InterfaceError: the pool is not running, or he has a connection or waits for one.
            PoolExhaustedError: too many wait already.
        """
        if self.state is not _RUNNING:
            self._check_open()
        line = self._line
        if waiter in self._held or waiter in line.waiting:
            raise InterfaceError("a connection is already acquired")
        actions: list[Action[W, C]] = []
        if deadline is not None and deadline <= now:
            self._time_out(waiter, actions)
        elif self._idle:
            connection, entry = self._idle.popitem()
            # If others wait, a check is under way for each of them, and due for this one as well.
            if line.waiting or self._is_check_due(entry, now):
                self._wait(line, waiter, now, deadline)
                self._move(entry, Place.CHECKING)
                actions.append(Check(connection))
            else:
                self._grant(waiter, connection, entry, actions)
        else:
            limits = self.limits
            if limits.max_waiting is not None:
                self._check_waiting(limits.max_waiting)
            self._wait(line, waiter, now, deadline)
            if self._size < limits.max_size and self._room() > 0:
                self._fill(now, actions)
        return actions

    def cancel_wait(self, waiter: W, now: float) -> list[Action[W, C]]:
        """`waiter` does not want one any more. If it was granted, he has not used it, and the next one gets it."""
        actions: list[Action[W, C]] = []
        self._line.discard(waiter, now)
        if waiter in self._held:
            connection = self._held[waiter]
            entry = self._take_back(connection)
            if entry is not None:
                self._make_available(connection, entry, now, actions)
        return actions

    def released(self, connection: C, now: float, usable: bool, queries: int) -> list[Action[W, C]]:
        """Its user is done with it. A second release does nothing.

        Args:
            usable: it is worth a reset; False: broken, or in a state nobody knows.
            queries: commands it ran since it was opened.
        Raises:
            InterfaceError: it is not a connection of this pool.
        """
        if connection not in self._entries:
            raise InterfaceError(
                f"Pool.release() received invalid connection: {connection!r} is not a member of this pool"
            )
        actions: list[Action[W, C]] = []
        entry = self._take_back(connection)
        if entry is None:
            return actions
        if not usable:
            self._give_up(connection, entry, now, actions)
        elif self._outdated(entry, now) or queries >= self.limits.max_queries:
            self._expire(connection, entry, actions)
            self._fill(now, actions)
        else:
            self._move(entry, _RESETTING)
            actions.append(Reset(connection))
        return actions

    def hand_on(self, connection: C, now: float, queries: int) -> tuple[bool, W | None]:
        """`released` and `reset_done` in one, of a connection that is in its first state again.

        Args:
            queries: as of `released`.
        Returns:
            Whether that was all, and the waiter to whom it is granted, if one waits. If not, nothing has happened, and
            there is more to be done: both are to be told.
        """
        entry = self._entries.get(connection)
        if (
            entry is None
            or entry.place is not _IN_USE
            or queries >= self.limits.max_queries
            or self.state is not _RUNNING
            or entry.generation != self._generation
            or entry.expires_at <= now
        ):
            return False, None
        line, held = self._line, self._held
        if not line.waiting:
            self._take_back(connection)
            self._make_available(connection, entry, now, [])
            return True, None
        if line.has_deadlines and line.has_late(now):
            return False, None
        waiter = line.take_first(now)
        if entry.waiter is not None:
            del held[entry.waiter]
        entry.since = now
        entry.waiter = waiter
        held[waiter] = connection
        self._granted += 1
        return True, waiter

    # Sharing

    def share(self, now: float) -> C | None:
        """A connection for one query, to be reported by `shared_done`; None: `join` has something to do first."""
        found = self._least_loaded()
        if found is None or self.state is not PoolState.RUNNING:
            return None
        connection, entry = found
        if self._wants_another() if entry.load else self._is_check_due(entry, now):
            return None
        entry.load += 1
        self._shares += 1
        return connection

    def join(self, waiter: W, now: float, deadline: float | None = None) -> list[Action[W, C]]:
        """`waiter` wants to share a connection: comes to one Grant or Fail for him, unless he cancels by `leave`.

        Args:
            deadline: when he gives up, with TimeoutError.
        Raises:
            InterfaceError: the pool is not running.
        """
        self._check_open()
        actions: list[Action[W, C]] = []
        found = self._least_loaded()
        if deadline is not None and deadline <= now:
            self._time_out(waiter, actions)
        elif found is None:
            self._wait(self._shared_line, waiter, now, deadline)
            self._fill(now, actions)
        elif found[1].load or not self._is_check_due(found[1], now):
            if found[1].load and self._wants_another():
                self._open(actions, is_shared=True)
            self._grant_shared(waiter, *found, actions)
        else:
            connection, entry = found
            del self._shared[connection]
            self._move(entry, Place.CHECKING_SHARED)
            actions.append(Check(connection))
            # Nobody waits for the check of one, which may be dead, while another one is in use, or was just now.
            alive = self._least_loaded_alive(now)
            if alive is None:
                self._wait(self._shared_line, waiter, now, deadline)
            else:
                self._grant_shared(waiter, *alive, actions)
        return actions

    def leave(self, waiter: W, now: float) -> None:
        """He does not wait to share one any more. What he was granted he reports by `shared_done`."""
        self._shared_line.discard(waiter, now)

    def shared_done(self, connection: C, now: float, queries: int) -> list[Action[W, C]]:
        """A query that shared this connection is over.

        Args:
            queries: commands the connection ran since it was opened.
        """
        actions: list[Action[W, C]] = []
        entry = self._entries[connection]
        entry.load -= 1
        if entry.place is Place.GONE:
            if not entry.load:
                self._remove(connection, entry)
            return actions
        if connection in self._shared and queries >= self.limits.max_queries:
            del self._shared[connection]
        if not entry.load:
            entry.since = now
            if connection not in self._shared:
                self._expire(connection, entry, actions)
            else:
                self._may_idle_out()
        return actions

    # What happened to a connection

    def opened(self, slot: int, connection: C, now: float, share: float = 0.0) -> list[Action[W, C]]:
        """The connection that `Open` asked for is there.

        Args:
            share: 0 to 1, at random: how much of `max_lifetime_jitter` is taken from its lifetime.
        """
        if connection in self._entries:
            raise InternalClientError(f"the connection of slot {slot} is known already")
        if self.state is PoolState.CLOSED:
            self._leave_slot(slot)
            return [Terminate(connection)]
        actions: list[Action[W, C]] = []
        self._opened += 1
        self._floor_failures = 0
        self._floor_retry_at = float("-inf")
        entry = self._enter(connection, Place.RESETTING, slot, now, share)  # as good as: new, and not available yet
        if entry.is_shared:
            self._move(entry, Place.CHECKING_SHARED)
        self._make_available(connection, entry, now, actions)
        if self._kept() < self.limits.min_size:
            self._due(self._floor_retry_at)
        if self.state is PoolState.STARTING:
            if slot == 1:
                self._open_several(self.limits.initial - 1, actions)
            if not self._opening:
                self._started(now, actions)
        return actions

    def open_failed(self, slot: int, error: BaseException, now: float) -> list[Action[W, C]]:
        """It could not be opened. The error goes to the first waiter that no other connection is on its way to; if it
        was to be shared and there is none, to all who wait for that."""
        _, is_shared = self._leave_slot(slot)
        actions: list[Action[W, C]] = []
        self._open_failures += 1
        if self.state is PoolState.STARTING:
            self._terminate_all(now, actions)
            actions.append(StartFailed(error))
        elif self.state is PoolState.RUNNING:
            if not is_shared:
                waiter = self._line.after(self._coming())
                if waiter is not None:
                    self._line.discard(waiter, now)
                    actions.append(Fail(waiter, error))
            elif not self._shared and not self._coming_shared():
                actions += [Fail(waiter, error) for waiter in self._shared_line.take_all(now)]
            if self._kept() < self.limits.min_size:
                was_told = bool(actions)
                delay = self._back_off(now)
                if delay is not None and not was_told:
                    actions.append(FloorFailed(error, delay))
            self._fill(now, actions)
        self._settle(actions)
        return actions

    def reset_done(self, connection: C, now: float, ok: bool) -> list[Action[W, C]]:
        """The reset was answered (ReadyForQuery I); not `ok`: it failed, or took too long."""
        actions: list[Action[W, C]] = []
        entry = self._reported(connection, _RESETTING)
        if entry is not None and ok:
            self._make_available(connection, entry, now, actions)
        elif entry is not None:
            self._reset_failures += 1
            self._give_up(connection, entry, now, actions)
        return actions

    def checked(self, connection: C, now: float, ok: bool) -> list[Action[W, C]]:
        """The check has found it alive; not `ok`: dead, or the check took too long."""
        actions: list[Action[W, C]] = []
        entry = self._reported(connection, Place.CHECKING, Place.CHECKING_SHARED)
        if entry is not None and ok:
            self._make_available(connection, entry, now, actions)
        elif entry is not None:
            self._check_failures += 1
            self._give_up(connection, entry, now, actions)
        return actions

    def closed(self, connection: C, now: float) -> list[Action[W, C]]:
        """It is closed, gracefully or not."""
        actions: list[Action[W, C]] = []
        entry = self._reported(connection, Place.CLOSING)
        if entry is not None:
            self._remove(connection, entry)
            self._fill(now, actions)
            self._settle(actions)
        return actions

    def connection_lost(self, connection: C, now: float) -> list[Action[W, C]]:
        """It is dead, wherever it is; what was asked for it is still to be reported. May be told more than once."""
        actions: list[Action[W, C]] = []
        entry = self._entries.get(connection)
        if entry is None or entry.place is Place.GONE:
            return actions
        self._lost += 1
        if entry.place is Place.IDLE or (entry.place is Place.SHARED and not entry.load):
            self._idle.pop(connection, None)
            self._remove(connection, entry)
            self._died_idle(entry, now)
        else:
            self._move(entry, Place.GONE)
        self._shared.pop(connection, None)
        self._fill(now, actions)
        self._settle(actions)
        return actions

    def tick(self, now: float) -> list[Action[W, C]]:
        """Do what is due by the clock."""
        actions: list[Action[W, C]] = []
        for waiter in (*self._line.take_late(now), *self._shared_line.take_late(now)):
            self._time_out(waiter, actions)
        if self.state is PoolState.RUNNING:
            self._close_old(now, actions)
            self._close_idle(now, actions)
        self._fill(now, actions)
        deadline = self.next_deadline()
        self.soonest = math.inf if deadline is None else deadline
        return actions


def _sooner(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
