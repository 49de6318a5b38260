"""Which prepared statements a connection keeps: the most recently used ones, for a limited time."""

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["StatementCache"]

T = TypeVar("T")


class StatementCache(Generic[T]):
    """The statements of one connection by key, the most recently used kept.

    It decides and counts only. What a method returns as evicted is the caller's to close on the server; it does that
    with the next statement it prepares, so that it costs no round trip. (After DISCARD ALL or DEALLOCATE ALL the server
    has forgotten them already.)

    Args:
        size: entries kept; 0: none.
        max_statement_size: characters of a statement worth keeping; 0: no limit.
        lifetime: seconds an entry is kept, counted from `put`, however often it is used: a plan made from old
            statistics does not live for ever. 0: no limit.
    """

    __slots__ = ("_ages", "_entries", "hits", "lifetime", "max_statement_size", "misses", "size")

    def __init__(self, *, size: int = 100, max_statement_size: int = 15360, lifetime: float = 300.0) -> None:
        self.size = size
        self.max_statement_size = max_statement_size
        self.lifetime = lifetime
        self.hits = 0
        self.misses = 0
        #: Entry and when it is too old, least recently used first.
        self._entries: OrderedDict[Hashable, tuple[T, float]] = OrderedDict()
        #: The same keys with the same times, oldest first. Entries have one lifetime, so they expire in this order.
        self._ages: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def cacheable(self, sql: str) -> bool:
        """Is a statement with this text to be kept?"""
        return self.size > 0 and self.is_short(sql)

    def is_short(self, sql: str) -> bool:
        """Is its text short enough to be kept?"""
        return self.max_statement_size == 0 or len(sql) <= self.max_statement_size

    def get(self, key: Hashable, now: float) -> T | None:
        """The entry, now the most recently used; None if there is none or it is too old.

        An entry that is too old stays until the next `put` returns it: only then is there a request to close it with.
        """
        entries = self._entries
        slot = entries.get(key)
        if slot is None or now >= slot[1]:
            self.misses += 1
            return None
        entries.move_to_end(key)
        self.hits += 1
        return slot[0]

    def put(self, key: Hashable, entry: T, now: float) -> list[T]:
        """Keep `entry`.

        Returns:
            What is evicted: the former entry of this key, those that are too old, the least recently used one; with
            size 0, `entry` itself.
        """
        evicted: list[T] = []
        if (former := self.discard(key)) is not None:
            evicted.append(former)
        while self._ages and now >= next(iter(self._ages.values())):
            expired, _ = self._ages.popitem(last=False)
            evicted.append(self._entries.pop(expired)[0])
        end = now + self.lifetime if self.lifetime else math.inf
        self._entries[key] = (entry, end)
        self._ages[key] = end
        if len(self._entries) > self.size:
            least_recent, (victim, _) = self._entries.popitem(last=False)
            del self._ages[least_recent]
            evicted.append(victim)
        return evicted

    def values(self) -> list[T]:
        """All entries, least recently used first."""
        return [entry for entry, _ in self._entries.values()]

    def peek(self, key: Hashable) -> T | None:
        """The entry, if it is there, however old; that it was looked at changes nothing."""
        slot = self._entries.get(key)
        return None if slot is None else slot[0]

    def discard(self, key: Hashable) -> T | None:
        """Forget one entry, if it is there, and return it."""
        slot = self._entries.pop(key, None)
        if slot is None:
            return None
        del self._ages[key]
        return slot[0]

    def clear(self) -> list[T]:
        """Forget all of them, least recently used first. The counters go on."""
        entries = self.values()
        self._entries.clear()
        self._ages.clear()
        return entries
