"""The pool's decisions: who gets which connection, when to open, reset and close one, who fails.

How this works. `PoolPolicy` is told what happened and answers with actions for the caller to carry out in order; it
never waits, so nothing in it can be half done. A connection is in exactly one place:

    Open -> opened -> idle -> Grant -> in use -> released -> Reset -> reset_done -> idle or Grant
                                                          \\-> Close -> closed

Opening, idle, used, resetting and closing connections together are never more than `max_size`; a terminated one is
gone at once. Waiters are served in the order they came, and get the connection that was used last, so that those that
are not needed grow old and can go. One that is being reset or opened counts as on its way to the first waiter, so a
task that acquires and releases in a loop stays on one connection.

Whatever was asked for is reported exactly once: Open by `opened` or `open_failed`, Grant by `released` (or, before the
connection was used, `cancel_wait`), Reset by `reset_done`, Close by `closed`. `connection_lost` may come at any time
and replaces none of them. A check before Grant or an age limit would be one more place and one more deadline.
"""

import heapq
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final, Generic, TypeAlias, TypeVar

from pgsansio.errors import InterfaceError, InternalClientError

__all__ = [
    "Action",
    "Close",
    "Fail",
    "Finished",
    "FloorFailed",
    "Grant",
    "Open",
    "PoolPolicy",
    "PoolState",
    "PoolStatistics",
    "Ready",
    "Reset",
    "StartFailed",
    "Terminate",
]

W = TypeVar("W", bound=Hashable)
C = TypeVar("C", bound=Hashable)

#: Seconds until the floor is tried again after a failure: 1, 2, 4, ... 60, as asyncpg.
_FIRST_RETRY: Final = 1.0
_LAST_RETRY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Open:
    """Open and initialize a connection, then tell `opened` or `open_failed`."""

    slot: int


@dataclass(frozen=True, slots=True)
class Grant(Generic[W, C]):
    """The waiter gets the connection, which is his until `released`."""

    waiter: W
    connection: C


@dataclass(frozen=True, slots=True)
class Reset(Generic[C]):
    """Bring the session back to its first state, then tell `reset_done`."""

    connection: C


@dataclass(frozen=True, slots=True)
class Close(Generic[C]):
    """Close it gracefully, within a time limit, then tell `closed`."""

    connection: C


@dataclass(frozen=True, slots=True)
class Terminate(Generic[C]):
    """Give it up at once. The pool has forgotten it."""

    connection: C


@dataclass(frozen=True, slots=True)
class Fail(Generic[W]):
    """The waiter gets the error in place of a connection."""

    waiter: W
    error: BaseException


@dataclass(frozen=True, slots=True)
class Ready:
    """The pool has started."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The pool could not start; it is closed."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class FloorFailed:
    """A connection that should be there could not be opened, and no waiter was told; worth a warning."""

    error: BaseException
    #: Seconds until the next attempt.
    retry_in: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The pool is closed, and all of its connections are."""


Action: TypeAlias = (
    Open | Grant[W, C] | Reset[C] | Close[C] | Terminate[C] | Fail[W] | Ready | StartFailed | FloorFailed | Finished
)


class PoolState(Enum):
    """A pool's life, in order."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment, and what it has done so far."""

    #: Open connections, whoever has them: idle, in use, resetting.
    size: int
    idle: int
    in_use: int
    resetting: int
    #: Neither counted in `size`, but both in `max_size`.
    opening: int
    closing: int
    #: Who wait for a connection.
    waiting: int
    #: Since the pool was made:
    granted: int
    timed_out: int
    opened: int
    open_failures: int
    lost: int


class _Place(Enum):
    IDLE = 0
    IN_USE = 1
    RESETTING = 2
    CLOSING = 3
    #: Dead, but its user, its reset or its close has not been reported yet. Counts for nothing.
    GONE = 4


class _Entry(Generic[W]):
    __slots__ = ("generation", "opened_at", "place", "since", "waiter")

    def __init__(self, generation: int, now: float) -> None:
        self.generation = generation
        self.opened_at = now
        self.place = _Place.IDLE
        #: When it became idle.
        self.since = now
        self.waiter: W | None = None


class PoolPolicy(Generic[W, C]):
    """All decisions of one pool, for any loop.

    Waiters and connections are tokens of the caller's: hashable, each unique while it is known here. `now` is in
    seconds, monotonic.

    Args:
        min_size: connections kept when idle; lost ones are replaced in the background.
        max_size: never more than these.
        init_size: opened at the start, the first one alone; None: `min_size`.
        max_queries: a connection that ran so many is replaced at its release.
        max_inactive_connection_lifetime: seconds after which an idle connection above `min_size` is closed; 0: never.
    Raises:
        ValueError: these numbers contradict each other.
    """

    def __init__(
        self,
        *,
        min_size: int = 10,
        max_size: int = 10,
        init_size: int | None = None,
        max_queries: int = 50000,
        max_inactive_connection_lifetime: float = 300.0,
    ) -> None:
        if max_size <= 0:
            raise ValueError("max_size is expected to be greater than zero")
        if min_size < 0:
            raise ValueError("min_size is expected to be greater or equal to zero")
        if min_size > max_size:
            raise ValueError("min_size is greater than max_size")
        if init_size is None:
            init_size = min_size
        if init_size < 0:
            raise ValueError("init_size is expected to be greater or equal to zero")
        if init_size > max_size:
            raise ValueError("init_size is greater than max_size")
        if init_size < min_size:
            raise ValueError("init_size is smaller than min_size")
        if max_queries <= 0:
            raise ValueError("max_queries is expected to be greater than zero")
        if max_inactive_connection_lifetime < 0:
            raise ValueError("max_inactive_connection_lifetime is expected to be greater or equal to zero")
        self.min_size: Final = min_size
        self.max_size: Final = max_size
        self.init_size: Final = init_size
        self._max_queries = max_queries
        self._idle_lifetime = max_inactive_connection_lifetime

        self.state = PoolState.NEW
        self._entries: dict[C, _Entry[W]] = {}
        self._counts = dict.fromkeys(_Place, 0)
        #: Those in place IDLE, the last used last. They become idle in this order, so the first is idle for longest.
        self._idle: OrderedDict[C, _Entry[W]] = OrderedDict()
        #: Slots of connections on their way, with the generation they will have.
        self._opening: dict[int, int] = {}
        self._slots = 0
        #: Raised by `expire`; connections of an older one are closed instead of granted.
        self._generation = 0
        #: In order of arrival, with a serial number.
        self._waiting: OrderedDict[W, tuple[int, float | None]] = OrderedDict()
        self._arrivals = 0
        #: (deadline, serial number, waiter), with some that do not wait any more.
        self._deadlines: list[tuple[float, int, W]] = []
        #: Who has which connection.
        self._held: dict[W, C] = {}
        self._floor_failures = 0
        self._floor_retry_at = float("-inf")

        self._granted = 0
        self._timed_out = 0
        self._opened = 0
        self._open_failures = 0
        self._lost = 0

    # What is

    @property
    def size(self) -> int:
        """Open connections: idle, in use, resetting."""
        counts = self._counts
        return counts[_Place.IDLE] + counts[_Place.IN_USE] + counts[_Place.RESETTING]

    @property
    def idle_size(self) -> int:
        """Open connections that nobody has: idle, or on their way back through a reset."""
        return self._counts[_Place.IDLE] + self._counts[_Place.RESETTING]

    @property
    def is_closing(self) -> bool:
        """`close` or `terminate` was called, or the start failed."""
        return self.state in (PoolState.CLOSING, PoolState.CLOSED)

    def statistics(self) -> PoolStatistics:
        counts = self._counts
        return PoolStatistics(
            size=self.size,
            idle=counts[_Place.IDLE],
            in_use=counts[_Place.IN_USE],
            resetting=counts[_Place.RESETTING],
            opening=len(self._opening),
            closing=counts[_Place.CLOSING],
            waiting=len(self._waiting),
            granted=self._granted,
            timed_out=self._timed_out,
            opened=self._opened,
            open_failures=self._open_failures,
            lost=self._lost,
        )

    def next_deadline(self) -> float | None:
        """When `tick` is due; None: not until something else happens."""
        deadlines: list[float] = []
        self._forget_stale_deadlines()
        if self._deadlines:
            deadlines.append(self._deadlines[0][0])
        if self.state is PoolState.RUNNING:
            if self._idle and self._idle_lifetime and self._kept() > self.min_size:
                deadlines.append(next(iter(self._idle.values())).since + self._idle_lifetime)
            if self._kept() < self.min_size and self._room() > 0:
                deadlines.append(self._floor_retry_at)
        return min(deadlines, default=None)

    # What happens

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
            if self.init_size:
                self._open(actions)  # alone, so that an error shows before there are many of it
            else:
                self._started(now, actions)
        return actions

    def acquire(self, waiter: W, now: float, deadline: float | None = None) -> list[Action[W, C]]:
        """`waiter` wants a connection: comes to one Grant or Fail for him, unless he cancels.

        Args:
            deadline: when he gives up, with TimeoutError.
        Raises:
            InterfaceError: the pool is not running, or he has a connection or waits for one.
        """
        if self.state is PoolState.CLOSING:
            raise InterfaceError("pool is closing")
        self._check_running()
        if waiter in self._held or waiter in self._waiting:
            raise InterfaceError("a connection is already acquired")
        actions: list[Action[W, C]] = []
        if deadline is not None and deadline <= now:
            self._time_out(waiter, actions)
        elif self._idle:
            connection, entry = self._idle.popitem()
            self._grant(waiter, connection, entry, actions)
        else:
            self._arrivals += 1
            self._waiting[waiter] = (self._arrivals, deadline)
            if deadline is not None:
                if len(self._deadlines) > 2 * len(self._waiting) + 64:
                    self._rebuild_deadlines()
                else:
                    heapq.heappush(self._deadlines, (deadline, self._arrivals, waiter))
            self._fill(now, actions)
        return actions

    def cancel_wait(self, waiter: W, now: float) -> list[Action[W, C]]:
        """`waiter` does not want one any more. If it was granted, he has not used it, and the next one gets it."""
        actions: list[Action[W, C]] = []
        self._waiting.pop(waiter, None)
        if waiter in self._held:
            connection = self._held[waiter]
            entry = self._take_back(connection)
            if entry is not None:
                self._make_available(connection, entry, now, actions)
        return actions

    def opened(self, slot: int, connection: C, now: float) -> list[Action[W, C]]:
        """The connection that `Open` asked for is there."""
        generation = self._opening.pop(slot, None)
        if generation is None or connection in self._entries:
            raise InternalClientError(f"slot {slot} is not being opened, or its connection is known already")
        if self.state is PoolState.CLOSED:
            return [Terminate(connection)]
        actions: list[Action[W, C]] = []
        self._opened += 1
        self._floor_failures = 0
        self._floor_retry_at = float("-inf")
        entry: _Entry[W] = _Entry(generation, now)
        entry.place = _Place.RESETTING  # as good as: new, and not available yet
        self._entries[connection] = entry
        self._counts[_Place.RESETTING] += 1
        self._make_available(connection, entry, now, actions)
        if self.state is PoolState.STARTING:
            if slot == 1:
                for _ in range(self.init_size - 1):
                    self._open(actions)
            if not self._opening:
                self._started(now, actions)
        return actions

    def open_failed(self, slot: int, error: BaseException, now: float) -> list[Action[W, C]]:
        """It could not be opened. The error goes to the first waiter that no other connection is on its way to."""
        if self._opening.pop(slot, None) is None:
            raise InternalClientError(f"slot {slot} is not being opened")
        actions: list[Action[W, C]] = []
        self._open_failures += 1
        if self.state is PoolState.STARTING:
            self._terminate_all(actions)
            actions.append(StartFailed(error))
        elif self.state is PoolState.RUNNING:
            waiter = next(islice(self._waiting, self._coming(), None), None)
            if waiter is not None:
                del self._waiting[waiter]
                actions.append(Fail(waiter, error))
            if self._kept() < self.min_size:
                delay = self._back_off(now)
                if delay is not None and waiter is None:
                    actions.append(FloorFailed(error, delay))
            self._fill(now, actions)
        else:
            self._finish(actions)
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
            self._remove(connection, entry)
            actions.append(Terminate(connection))
            self._fill(now, actions)
        elif self._outdated(entry) or queries >= self._max_queries:
            self._close(connection, entry, actions)
            self._fill(now, actions)
        else:
            self._move(entry, _Place.RESETTING)
            actions.append(Reset(connection))
        self._finish(actions)
        return actions

    def reset_done(self, connection: C, now: float, ok: bool) -> list[Action[W, C]]:
        """The reset was answered (ReadyForQuery I); not `ok`: it failed, or took too long."""
        actions: list[Action[W, C]] = []
        entry = self._reported(connection, _Place.RESETTING)
        if entry is None:
            return actions
        if ok:
            self._make_available(connection, entry, now, actions)
        else:
            self._remove(connection, entry)
            actions.append(Terminate(connection))
            self._fill(now, actions)
            self._finish(actions)
        return actions

    def closed(self, connection: C, now: float) -> list[Action[W, C]]:
        """It is closed, gracefully or not."""
        actions: list[Action[W, C]] = []
        entry = self._reported(connection, _Place.CLOSING)
        if entry is not None:
            self._remove(connection, entry)
            self._fill(now, actions)
            self._finish(actions)
        return actions

    def connection_lost(self, connection: C, now: float) -> list[Action[W, C]]:
        """It is dead, wherever it is; what was asked for it is still to be reported. May be told more than once."""
        actions: list[Action[W, C]] = []
        entry = self._entries.get(connection)
        if entry is None or entry.place is _Place.GONE:
            return actions
        self._lost += 1
        if entry.place is _Place.IDLE:
            del self._idle[connection]
            self._remove(connection, entry)
            if now - entry.opened_at < _FIRST_RETRY:
                # A server that accepts and hangs up: without a pause this would go round and round.
                self._back_off(now)
        else:
            self._move(entry, _Place.GONE)
        self._fill(now, actions)
        self._finish(actions)
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
        self._close_idle(actions)
        self._fill(now, actions)
        return actions

    def close(self, now: float) -> list[Action[W, C]]:
        """Grant nothing more; connections are closed as they come back. Leads to `Finished`; may be told again.

        Raises:
            InterfaceError: the pool has not started.
        """
        actions: list[Action[W, C]] = []
        if self.is_closing:
            return actions
        self._check_running()
        self.state = PoolState.CLOSING
        self._fail_waiters("pool is closing", actions)
        self._close_idle(actions)
        self._finish(actions)
        return actions

    def terminate(self, now: float) -> list[Action[W, C]]:
        """Give everything up at once, also in the middle of starting or closing.

        Raises:
            InterfaceError: the pool has not been started.
        """
        if self.state is PoolState.NEW:
            raise InterfaceError("pool is not initialized")
        actions: list[Action[W, C]] = []
        if self.state is PoolState.CLOSED:
            return actions
        before = self.state
        self._terminate_all(actions)
        if before is PoolState.STARTING:
            actions.append(StartFailed(InterfaceError("pool is closed")))
        elif before is PoolState.CLOSING:
            actions.append(Finished())
        return actions

    def tick(self, now: float) -> list[Action[W, C]]:
        """Do what is due by the clock."""
        actions: list[Action[W, C]] = []
        while True:
            self._forget_stale_deadlines()
            if not self._deadlines or self._deadlines[0][0] > now:
                break
            _, _, waiter = heapq.heappop(self._deadlines)
            del self._waiting[waiter]
            self._time_out(waiter, actions)
        if self.state is PoolState.RUNNING and self._idle_lifetime:
            while self._idle and self._kept() > self.min_size:
                connection, entry = next(iter(self._idle.items()))
                if entry.since + self._idle_lifetime > now:
                    break
                del self._idle[connection]
                self._close(connection, entry, actions)
        self._fill(now, actions)
        return actions

    # Rules

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

    def _outdated(self, entry: _Entry[W]) -> bool:
        return self.state is PoolState.CLOSING or entry.generation != self._generation

    def _room(self) -> int:
        """How many more may be opened."""
        return self.max_size - self.size - self._counts[_Place.CLOSING] - len(self._opening)

    def _kept(self) -> int:
        """What counts for the floor: open ones and those on their way."""
        return self.size + len(self._opening)

    def _coming(self) -> int:
        """Connections that are on their way to whoever waits."""
        return self._counts[_Place.RESETTING] + len(self._opening)

    def _fill(self, now: float, actions: list[Action[W, C]]) -> None:
        """Open what waiters or the floor need and have not been promised."""
        if self.state is not PoolState.RUNNING:
            return
        missing = len(self._waiting) - self._coming()
        if now >= self._floor_retry_at:
            missing = max(missing, self.min_size - self._kept())
        for _ in range(min(missing, self._room())):
            self._open(actions)

    def _back_off(self, now: float) -> float | None:
        """Let the floor wait longer than the last time; None if it waits already."""
        if now < self._floor_retry_at:
            return None
        delay = min(_FIRST_RETRY * (1 << min(self._floor_failures, 10)), _LAST_RETRY)
        self._floor_failures += 1
        self._floor_retry_at = now + delay
        return delay

    def _started(self, now: float, actions: list[Action[W, C]]) -> None:
        self.state = PoolState.RUNNING
        actions.append(Ready())
        self._fill(now, actions)  # one may be lost by now

    def _finish(self, actions: list[Action[W, C]]) -> None:
        if self.state is PoolState.CLOSING and self._room() == self.max_size:
            self.state = PoolState.CLOSED
            actions.append(Finished())

    def _make_available(self, connection: C, entry: _Entry[W], now: float, actions: list[Action[W, C]]) -> None:
        """A connection in its first state: to the next waiter, to the idle ones, or away."""
        if self._outdated(entry):
            self._close(connection, entry, actions)
            self._fill(now, actions)
            return
        waiter = self._next_waiter(now, actions)
        if waiter is not None:
            self._grant(waiter, connection, entry, actions)
        else:
            entry.since = now
            self._move(entry, _Place.IDLE)
            self._idle[connection] = entry

    def _next_waiter(self, now: float, actions: list[Action[W, C]]) -> W | None:
        while self._waiting:
            waiter, (_, deadline) = self._waiting.popitem(last=False)
            if deadline is None or deadline > now:
                return waiter
            self._time_out(waiter, actions)
        return None

    # Steps

    def _open(self, actions: list[Action[W, C]]) -> None:
        self._slots += 1
        self._opening[self._slots] = self._generation
        actions.append(Open(self._slots))

    def _grant(self, waiter: W, connection: C, entry: _Entry[W], actions: list[Action[W, C]]) -> None:
        self._move(entry, _Place.IN_USE)
        entry.waiter = waiter
        self._held[waiter] = connection
        self._granted += 1
        actions.append(Grant(waiter, connection))

    def _time_out(self, waiter: W, actions: list[Action[W, C]]) -> None:
        self._timed_out += 1
        actions.append(Fail(waiter, TimeoutError()))

    def _close(self, connection: C, entry: _Entry[W], actions: list[Action[W, C]]) -> None:
        self._move(entry, _Place.CLOSING)
        actions.append(Close(connection))

    def _close_idle(self, actions: list[Action[W, C]]) -> None:
        while self._idle:
            connection, entry = self._idle.popitem(last=False)
            self._close(connection, entry, actions)

    def _fail_waiters(self, text: str, actions: list[Action[W, C]]) -> None:
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            actions.append(Fail(waiter, InterfaceError(text)))
        self._deadlines.clear()

    def _terminate_all(self, actions: list[Action[W, C]]) -> None:
        self.state = PoolState.CLOSED
        self._fail_waiters("pool is closed", actions)
        self._idle.clear()
        for connection, entry in list(self._entries.items()):
            if entry.place is _Place.GONE:
                continue
            if entry.place is _Place.IDLE:
                self._remove(connection, entry)
            else:
                self._move(entry, _Place.GONE)
            actions.append(Terminate(connection))

    def _take_back(self, connection: C) -> _Entry[W] | None:
        """End its use. None if there is nothing to do with it: it is gone, or was not in use."""
        entry = self._entries[connection]
        if entry.waiter is None:
            return None
        del self._held[entry.waiter]
        entry.waiter = None
        if entry.place is _Place.GONE:
            self._remove(connection, entry)
            return None
        return entry

    def _reported(self, connection: C, place: _Place) -> _Entry[W] | None:
        """What was asked for in `place` is reported. None if the connection is gone meanwhile."""
        entry = self._entries.get(connection)
        if entry is None or entry.place not in (place, _Place.GONE):
            raise InternalClientError(f"{connection!r} is not in place {place.name}")
        if entry.place is _Place.GONE:
            self._remove(connection, entry)
            return None
        return entry

    def _move(self, entry: _Entry[W], place: _Place) -> None:
        self._counts[entry.place] -= 1
        self._counts[place] += 1
        entry.place = place

    def _remove(self, connection: C, entry: _Entry[W]) -> None:
        self._counts[entry.place] -= 1
        del self._entries[connection]

    def _forget_stale_deadlines(self) -> None:
        while self._deadlines and self._waiting.get(self._deadlines[0][2], (0, None))[0] != self._deadlines[0][1]:
            heapq.heappop(self._deadlines)

    def _rebuild_deadlines(self) -> None:
        # Waiters that were served long before their deadline leave entries behind; this keeps their number down.
        self._deadlines = [
            (deadline, number, waiter) for waiter, (number, deadline) in self._waiting.items() if deadline is not None
        ]
        heapq.heapify(self._deadlines)
