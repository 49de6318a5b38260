"""The pool's rules: what follows from what happened, as far as several events share it."""

import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from pgsansio.errors import InterfaceError, InternalClientError, PoolExhaustedError
from pgsansio.policy.pool_actions import (
    Action,
    Close,
    Drained,
    Fail,
    Finished,
    Grant,
    Open,
    PoolState,
    Ready,
    Terminate,
)
from pgsansio.policy.pool_limits import PoolLimits
from pgsansio.policy.pool_places import Entry, Place, Places, load_of
from pgsansio.policy.pool_waiting import WaitingLine

__all__ = ["PoolRules"]

W = TypeVar("W", bound=Hashable)
C = TypeVar("C", bound=Hashable)

#: Seconds until the floor is tried again after a failure: 1, 2, 4, ... 60, as asyncpg.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0

# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_RUNNING: Final = PoolState.RUNNING
_CLOSING: Final = PoolState.CLOSING
_IDLE: Final = Place.IDLE
_IN_USE: Final = Place.IN_USE


class PoolRules(Places[W, C], Generic[W, C]):
    """The state of one pool, and the steps that `PoolPolicy` is made of. See there."""

    def __init__(self, limits: PoolLimits, *, is_lazy: bool = False) -> None:
        super().__init__(limits)
        self.state = PoolState.NEW
        self._is_lazy = is_lazy
        #: Those who want to acquire a connection, and those who want to share one.
        self._line: WaitingLine[W] = WaitingLine()
        self._shared_line: WaitingLine[W] = WaitingLine()
        #: Who has which connection.
        self._held: dict[W, C] = {}
        #: Who waits for all connections of an older generation to be gone.
        self._drains: dict[W, int] = {}
        self._floor_failures = 0
        self._floor_retry_at = float("-inf")

        self._most_waiting: int = 0
        self._granted: int = 0
        self._shares: int = 0
        self._timed_out: int = 0
        self._refused: int = 0
        self._opened: int = 0
        self._open_failures: int = 0
        self._lost: int = 0
        self._reset_failures: int = 0
        self._check_failures: int = 0
        self._expired: int = 0
        self._idled_out: int = 0

    # Rules

    def _check_open(self) -> None:
        if self.state is PoolState.CLOSING:
            raise InterfaceError("pool is closing")
        self._check_running()

    def _check_running(self) -> None:
        if self.state is PoolState.STARTING:
            raise InterfaceError(
                "pool is being initialized, but not yet ready: "
                "likely there is a race between creating a pool and using it"
            )
        if self.state is PoolState.NEW:
            raise InterfaceError("pool is not initialized")
        if self.state is PoolState.CLOSED:
            raise InterfaceError("pool is closed")

    def _check_waiting(self, limit: int) -> None:
        """Raises PoolExhaustedError: somebody would have to wait for a release, and so many do so already."""
        in_vain = len(self._line) - self._coming() - self._room()
        if in_vain >= limit:
            self._refused += 1
            raise PoolExhaustedError(
                f"all connections of the pool are in use, and {max(in_vain, 0)} tasks wait for one already",
                hint="Try again later. `max_waiting` says how many may wait, `max_size` how many connections there "
                "may be.",
            )

    def _outdated(self, entry: Entry[W], now: float) -> bool:
        return self.state is _CLOSING or entry.generation != self._generation or entry.expires_at <= now

    def _is_check_due(self, entry: Entry[W], now: float) -> bool:
        after = self.limits.check_after
        return after is not None and now - entry.since >= after

    def _least_loaded_alive(self, now: float) -> tuple[C, Entry[W]] | None:
        """Of those that take further queries, and need no check."""
        alive = [item for item in self._shared.items() if item[1].load or not self._is_check_due(item[1], now)]
        return min(alive, key=load_of, default=None)

    def _wants_another(self) -> bool:
        """Whether a further connection for sharing should be opened, since none is free."""
        return self._shared_room() > 0 and not self._opening_shared

    def _fill(self, now: float, actions: list[Action[W, C]]) -> None:
        """Open what waiters or the floor need and have not been promised."""
        if self.state is not _RUNNING:
            return
        for _ in range(min(len(self._line) - self._coming(), self._room())):
            self._open(actions)
        if self._shared_line.waiting and not self._coming_shared() and self._shared_room() > 0:
            self._open(actions, is_shared=True)
        if now >= self._floor_retry_at:
            self._open_several(self.limits.min_size - self._kept(), actions)
        else:
            self._due(self._floor_retry_at)

    def _back_off(self, now: float) -> float | None:
        """Let the floor wait longer than the last time; None if it waits already."""
        if now < self._floor_retry_at:
            return None
        delay = min(_FIRST_RETRY * (1 << min(self._floor_failures, 10)), _LAST_RETRY)
        self._floor_failures += 1
        self._floor_retry_at = now + delay
        return delay

    def _died_idle(self, entry: Entry[W], now: float) -> None:
        if now - entry.opened_at < _FIRST_RETRY:
            # A server that accepts and hangs up: without a pause this would go round and round.
            self._back_off(now)

    def _started(self, now: float, actions: list[Action[W, C]]) -> None:
        self.state = PoolState.RUNNING
        actions.append(Ready())
        self._fill(now, actions)  # one may be lost by now
        self._may_idle_out()
        age = self._next_age()  # the clock did not matter so far
        if age is not None:
            self._due(age)

    def _settle(self, actions: list[Action[W, C]]) -> None:
        """Tell who waits for connections to be gone."""
        if self._drains:
            oldest = self._generation
            for generation, _ in self._opening.values():
                oldest = min(oldest, generation)
            for entry in self._entries.values():
                if entry.place is not Place.GONE:
                    oldest = min(oldest, entry.generation)
            for waiter in [waiter for waiter, generation in self._drains.items() if generation <= oldest]:
                del self._drains[waiter]
                actions.append(Drained(waiter))
        if self.state is PoolState.CLOSING and not self._total():
            self.state = PoolState.CLOSED
            actions.append(Finished())

    def _make_available(self, connection: C, entry: Entry[W], now: float, actions: list[Action[W, C]]) -> None:
        """A connection in its first state: to the next waiter, to the idle ones, or away."""
        if self._outdated(entry, now):
            self._expire(connection, entry, actions)
            self._fill(now, actions)
            return
        entry.since = now
        if entry.is_shared:
            self._move(entry, Place.SHARED)
            self._shared[connection] = entry
            for waiter in self._shared_line.take_late(now):
                self._time_out(waiter, actions)
            for waiter in self._shared_line.take_all(now):
                self._grant_shared(waiter, connection, entry, actions)
            self._may_idle_out()
            return
        line = self._line
        if line.waiting:
            for waiter in line.take_late(now):
                self._time_out(waiter, actions)
            if line.waiting:
                self._grant(line.take_first(now), connection, entry, actions)
                return
        self._move(entry, _IDLE)
        self._idle[connection] = entry
        self._may_idle_out()

    def _close_old(self, now: float, actions: list[Action[W, C]]) -> None:
        """Close those that are too old, unless they are in use: they are when they come back."""
        while (age := self._next_age()) is not None and age <= now:
            connection = heapq.heappop(self._ages)[2]
            entry = self._entries[connection]
            if entry.place is Place.IDLE:
                del self._idle[connection]
                self._expire(connection, entry, actions)
            elif self._shared.pop(connection, None) is not None and not entry.load:
                self._expire(connection, entry, actions)

    def _close_idle(self, now: float, actions: list[Action[W, C]]) -> None:
        """Close those above the floor that nobody has needed for long."""
        patience = self.limits.max_inactive_connection_lifetime
        if not patience:
            return
        unused = {**self._idle, **{connection: entry for connection, entry in self._shared.items() if not entry.load}}
        for connection, entry in sorted(unused.items(), key=_idle_since):
            if entry.since + patience > now or self._kept() <= self.limits.min_size:
                break
            self._idle.pop(connection, None)
            self._shared.pop(connection, None)
            self._idled_out += 1
            self._close(connection, entry, actions)

    # Steps

    def _wait(self, line: WaitingLine[W], waiter: W, now: float, deadline: float | None) -> None:
        line.add(waiter, now, deadline)
        if deadline is not None:
            self._due(deadline)
        waiting = len(self._line.waiting) + len(self._shared_line.waiting)
        if waiting > self._most_waiting:
            self._most_waiting = waiting

    def _open(self, actions: list[Action[W, C]], *, is_shared: bool = False) -> None:
        actions.append(Open(self._enter_slot(is_shared=is_shared)))

    def _open_several(self, number: int, actions: list[Action[W, C]]) -> None:
        """Connections to be acquired, and then those for sharing, as far as there is room."""
        room, shared_room = self._room(), self._shared_room()
        for _ in range(min(number, room)):
            self._open(actions)
        for _ in range(min(number - room, shared_room)):
            self._open(actions, is_shared=True)

    def _grant(self, waiter: W, connection: C, entry: Entry[W], actions: list[Action[W, C]]) -> None:
        self._move(entry, _IN_USE)
        entry.in_use = True
        entry.waiter = waiter
        self._held[waiter] = connection
        self._granted += 1
        actions.append(Grant(waiter, connection))

    def _grant_shared(self, waiter: W, connection: C, entry: Entry[W], actions: list[Action[W, C]]) -> None:
        entry.load += 1
        self._shares += 1
        actions.append(Grant(waiter, connection))

    def _time_out(self, waiter: W, actions: list[Action[W, C]]) -> None:
        self._timed_out += 1
        actions.append(Fail(waiter, TimeoutError()))

    def _close(self, connection: C, entry: Entry[W], actions: list[Action[W, C]]) -> None:
        self._move(entry, Place.CLOSING)
        if self._kept() < self.limits.min_size:
            self._due(self._floor_retry_at)
        actions.append(Close(connection))

    def _expire(self, connection: C, entry: Entry[W], actions: list[Action[W, C]]) -> None:
        """Close one that is not to be used again."""
        if self.state is PoolState.RUNNING:
            self._expired += 1
        self._close(connection, entry, actions)

    def _give_up(self, connection: C, entry: Entry[W], now: float, actions: list[Action[W, C]]) -> None:
        self._remove(connection, entry)
        actions.append(Terminate(connection))
        self._fill(now, actions)
        self._settle(actions)

    def _close_unused(self, actions: list[Action[W, C]]) -> None:
        """Close those that are idle, and let those that are shared take no further queries."""
        while self._idle:
            connection, entry = self._idle.popitem(last=False)
            self._expire(connection, entry, actions)
        shared, self._shared = self._shared, {}
        for connection, entry in shared.items():
            if not entry.load:
                self._expire(connection, entry, actions)

    def _fail_waiters(self, text: str, now: float, actions: list[Action[W, C]]) -> None:
        waiters = (*self._line.take_all(now), *self._shared_line.take_all(now))
        actions += [Fail(waiter, InterfaceError(text)) for waiter in waiters]

    def _terminate_all(self, now: float, actions: list[Action[W, C]]) -> None:
        self.state = PoolState.CLOSED
        self._fail_waiters("pool is closed", now, actions)
        self._idle.clear()
        self._shared.clear()
        for connection, entry in list(self._entries.items()):
            if entry.place is Place.GONE:
                continue
            if entry.place is Place.IDLE or (entry.place is Place.SHARED and not entry.load):
                self._remove(connection, entry)
            else:
                self._move(entry, Place.GONE)
            actions.append(Terminate(connection))
        drains, self._drains = self._drains, {}
        actions += [Drained(waiter) for waiter in drains]

    def _take_back(self, connection: C) -> Entry[W] | None:
        """End its use. None if there is nothing to do with it: it is gone, or was not in use."""
        entry = self._entries[connection]
        if not entry.in_use:
            return None
        entry.in_use = False
        if entry.waiter is not None:
            del self._held[entry.waiter]
            entry.waiter = None
        if entry.place is Place.GONE:
            self._remove(connection, entry)
            return None
        return entry

    def _reported(self, connection: C, *places: Place) -> Entry[W] | None:
        """What was asked for in one of these places is reported. None if the connection is gone meanwhile."""
        entry = self._entries.get(connection)
        if entry is not None and entry.place in places:
            return entry
        if entry is None or entry.place is not Place.GONE:
            raise InternalClientError(f"{connection!r} is not in place {places[0].name}")
        self._remove(connection, entry)
        return None


def _idle_since(item: tuple[C, Entry[W]]) -> float:
    return item[1].since
