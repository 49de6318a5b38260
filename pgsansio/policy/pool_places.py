"""Where each connection of a pool is: bookkeeping, without rules."""

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable
from enum import IntEnum
from typing import Final, Generic, TypeVar

from pgsansio.errors import InternalClientError
from pgsansio.policy.pool_limits import PoolLimits

__all__ = ["Entry", "Place", "Places", "load_of"]

W = TypeVar("W", bound=Hashable)
C = TypeVar("C", bound=Hashable)


class Place(IntEnum):
    """Where a connection is; each is in one place."""

    IDLE = 0
    IN_USE = 1
    RESETTING = 2
    #: Before somebody acquires it.
    CHECKING = 3
    #: Kept for queries that share it, however many use it now.
    SHARED = 4
    CHECKING_SHARED = 5
    CLOSING = 6
    #: Dead, but its users, its reset, check or close have not been reported yet. Counts for nothing.
    GONE = 7


# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_IDLE: Final = Place.IDLE
_RESETTING: Final = Place.RESETTING
_CHECKING: Final = Place.CHECKING
_CLOSING: Final = Place.CLOSING


class Entry(Generic[W]):
    """What is known of one connection; times in seconds, monotonic."""

    __slots__ = ("expires_at", "generation", "in_use", "is_shared", "load", "opened_at", "place", "since", "waiter")

    def __init__(self, place: Place, generation: int, now: float, lifetime: float, *, is_shared: bool) -> None:
        self.place = place
        self.generation = generation
        self.opened_at = now
        self.expires_at = now + lifetime
        self.is_shared = is_shared
        #: When it became idle.
        self.since = now
        #: Somebody has it; and who, if he has waited for it.
        self.in_use = False
        self.waiter: W | None = None
        #: How many queries share it.
        self.load = 0


class Places(Generic[W, C]):
    """The connections of a pool, and those on their way."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self._entries: dict[C, Entry[W]] = {}
        self._counts = [0] * len(Place)
        #: In places before CLOSING.
        self._size = 0
        #: Those in place IDLE, the last used last. They become idle in this order, so the first is idle for longest.
        self._idle: OrderedDict[C, Entry[W]] = OrderedDict()
        #: Those in place SHARED that take further queries.
        self._shared: dict[C, Entry[W]] = {}
        #: How many are kept for sharing, wherever they are; without those that are gone or being opened.
        self._kept_for_sharing = 0
        #: Slots of connections on their way: the generation they will have, and whether they are for sharing.
        self._opening: dict[int, tuple[int, bool]] = {}
        self._opening_shared = 0
        self._slots = 0
        #: Raised by `expire`; connections of an older one are closed instead of granted.
        self._generation: int = 0
        #: (when it is too old, serial number, connection), with some that are closed or too old already.
        self._ages: list[tuple[float, int, C]] = []
        #: Nothing is due by the clock before then; perhaps nothing then either.
        self.soonest = math.inf

    # How many

    @property
    def size(self) -> int:
        """Open connections, but for those that are being closed."""
        return self._size

    @property
    def idle_size(self) -> int:
        """Open connections that nobody has: idle, or on their way back through a reset."""
        return self._counts[_IDLE] + self._counts[_RESETTING]

    def _kept(self) -> int:
        """What counts for the floor: open ones and those on their way."""
        return self._size + len(self._opening)

    def _total(self) -> int:
        """What counts for `max_size`."""
        return self._size + len(self._opening) + self._counts[_CLOSING]

    def _room(self) -> int:
        """How many more may be opened to be acquired."""
        limits = self.limits
        if not limits.multiplex:
            return limits.max_size - self._total()
        used = self._total() - self._kept_for_sharing - self._opening_shared
        return limits.max_size - limits.multiplex - used

    def _shared_room(self) -> int:
        """How many more may be opened for sharing."""
        return self.limits.multiplex - self._kept_for_sharing - self._opening_shared

    def _coming(self) -> int:
        """Connections that are on their way to whoever waits to acquire one."""
        counts = self._counts
        return counts[_RESETTING] + counts[_CHECKING] + len(self._opening) - self._opening_shared

    def _coming_shared(self) -> int:
        return self._counts[Place.CHECKING_SHARED] + self._opening_shared

    def _least_loaded(self) -> tuple[C, Entry[W]] | None:
        """Of those that take further queries."""
        return min(self._shared.items(), key=load_of, default=None)

    def _next_age(self) -> float | None:
        """When a connection is too old next."""
        ages = self._ages
        while ages:
            entry = self._entries.get(ages[0][2])
            if entry is not None and entry.place < _CLOSING:
                return ages[0][0]
            heapq.heappop(ages)
        return None

    def _next_idled_out(self) -> float | None:
        """When one that nobody needs has been idle for too long next."""
        patience = self.limits.max_inactive_connection_lifetime
        if not patience:
            return None
        since = [entry.since for entry in self._shared.values() if not entry.load]
        if self._idle:
            since.append(next(iter(self._idle.values())).since)
        return min(since) + patience if since else None

    def _due(self, at: float) -> None:
        """Something is, at this time."""
        if at < self.soonest:
            self.soonest = at

    def _may_idle_out(self) -> None:
        """One of those that nobody needs is above the floor."""
        if self._kept() > self.limits.min_size and (at := self._next_idled_out()) is not None:
            self._due(at)

    # Moves

    def _enter(self, connection: C, place: Place, slot: int, now: float, share: float) -> Entry[W]:
        """A connection that was being opened is there."""
        generation, is_shared = self._leave_slot(slot)
        lifetime = self.limits.lifetime(share)
        entry: Entry[W] = Entry(place, generation, now, lifetime, is_shared=is_shared)
        self._entries[connection] = entry
        self._counts[place] += 1
        self._size += 1
        self._kept_for_sharing += is_shared
        if self.limits.max_lifetime:
            heapq.heappush(self._ages, (entry.expires_at, slot, connection))
            self._due(entry.expires_at)
        return entry

    def _enter_slot(self, *, is_shared: bool) -> int:
        """A connection will be opened."""
        self._slots += 1
        self._opening[self._slots] = (self._generation, is_shared)
        self._opening_shared += is_shared
        self._may_idle_out()
        return self._slots

    def _leave_slot(self, slot: int) -> tuple[int, bool]:
        """It has been, or not."""
        found = self._opening.pop(slot, None)
        if found is None:
            raise InternalClientError(f"slot {slot} is not being opened")
        self._opening_shared -= found[1]
        return found

    def _move(self, entry: Entry[W], place: Place) -> None:
        counts = self._counts
        counts[entry.place] -= 1
        counts[place] += 1
        if place >= _CLOSING:
            # Never back.
            self._size -= entry.place < _CLOSING
            if place is Place.GONE and entry.is_shared:
                self._kept_for_sharing -= 1
        entry.place = place

    def _remove(self, connection: C, entry: Entry[W]) -> None:
        self._counts[entry.place] -= 1
        self._size -= entry.place < _CLOSING
        if entry.place is not Place.GONE and entry.is_shared:
            self._kept_for_sharing -= 1
        del self._entries[connection]


def load_of(item: tuple[C, Entry[W]]) -> int:
    """How many queries share a connection; `item` is one of a dict of entries."""
    return item[1].load
