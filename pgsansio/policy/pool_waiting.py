"""Who waits for a connection of a pool: in the order they came, each until his deadline."""

import heapq
from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["WaitingLine"]

W = TypeVar("W", bound=Hashable)


class WaitingLine(Generic[W]):
    """A line of waiters. `now` and deadlines in seconds, monotonic.

    Attributes:
        waiting: those who do, in order of arrival; to be looked at only.
        seconds: waited by those who do not wait any more, together.
    """

    __slots__ = ("_arrivals", "_deadlines", "seconds", "waiting")

    def __init__(self) -> None:
        #: A serial number, the deadline, and when he came.
        self.waiting: OrderedDict[W, tuple[int, float | None, float]] = OrderedDict()
        self._arrivals = 0
        #: (deadline, serial number, waiter), with some that do not wait any more.
        self._deadlines: list[tuple[float, int, W]] = []
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.waiting)

    def __contains__(self, waiter: object) -> bool:
        return waiter in self.waiting

    def add(self, waiter: W, now: float, deadline: float | None) -> None:
        """He is the last in the line."""
        self._arrivals += 1
        self.waiting[waiter] = (self._arrivals, deadline, now)
        if deadline is not None:
            if len(self._deadlines) > 2 * len(self.waiting) + 64:
                self._rebuild_deadlines()
            else:
                heapq.heappush(self._deadlines, (deadline, self._arrivals, waiter))

    def discard(self, waiter: W, now: float) -> None:
        """He does not wait any more, if he did."""
        found = self.waiting.pop(waiter, None)
        if found is not None:
            self.seconds += now - found[2]

    def after(self, number: int) -> W | None:
        """The one that so many are in front of."""
        return next(islice(self.waiting, number, None), None)

    def take_first(self, now: float) -> W:
        """Who came first, and does not wait any more."""
        waiter, (_, _, since) = self.waiting.popitem(last=False)
        self.seconds += now - since
        return waiter

    def take_all(self, now: float) -> list[W]:
        """Nobody waits any more; who did, in order."""
        waiters = list(self.waiting)
        for waiter in waiters:
            self.discard(waiter, now)
        self._deadlines.clear()
        return waiters

    def take_late(self, now: float) -> list[W]:
        """Those whose deadline has come, who do not wait any more."""
        late: list[W] = []
        if not self._deadlines:
            return late
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, _, waiter = heapq.heappop(self._deadlines)
            self.discard(waiter, now)
            late.append(waiter)
        return late

    @property
    def has_deadlines(self) -> bool:
        """Whether anybody who waits may have a deadline."""
        return bool(self._deadlines)

    def has_late(self, now: float) -> bool:
        """Whether `take_late` would take somebody."""
        deadline = self.next_deadline()
        return deadline is not None and deadline <= now

    def next_deadline(self) -> float | None:
        """When somebody's deadline comes next."""
        deadlines = self._deadlines
        while deadlines and self.waiting.get(deadlines[0][2], (0, None, 0))[0] != deadlines[0][1]:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def _rebuild_deadlines(self) -> None:
        # Waiters that were served long before their deadline leave entries behind; this keeps their number down.
        self._deadlines = [
            (deadline, number, waiter) for waiter, (number, deadline, _) in self.waiting.items() if deadline is not None
        ]
        heapq.heapify(self._deadlines)
