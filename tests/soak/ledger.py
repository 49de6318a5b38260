"""What was written, as the client knows it and as the server does."""

import traceback
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["DONE", "NOT_DONE", "UNKNOWN", "Ledger", "Verdict"]

#: What the client knows of an entry.
UNKNOWN: Final = 1
DONE: Final = 2
NOT_DONE: Final = 3
_SLICE: Final = 100_000


@dataclass(slots=True)
class Verdict:
    """What is wrong with the server's table, by number of entries: all should be 0."""

    #: Acknowledged, and not there.
    lost: int = 0
    #: There more than once.
    doubled: int = 0
    #: There, though the client was told that nothing was kept.
    resurrected: int = 0
    #: Entries written together of which only some are there.
    torn: int = 0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.resurrected or self.torn)


class Ledger:
    """Each entry has a number; entries that are written together have numbers one after the other, and the first one's
    number and their count in each row."""

    CREATE = "CREATE TABLE ledger (id int8 NOT NULL, first int8 NOT NULL, count int4 NOT NULL)"
    COLUMNS = ("id", "first", "count")

    def __init__(self) -> None:
        #: Why those are not done that are there.
        self.surprises: list[str] = []
        self._known = array("b")
        #: Why the last ones are not done.
        self._reasons: deque[tuple[int, str]] = deque(maxlen=1000)

    def __len__(self) -> int:
        return len(self._known)

    def open(self, count: int = 1) -> list[tuple[int, int, int]]:
        """The rows of so many new entries, written together."""
        first = len(self._known)
        self._known.extend([UNKNOWN] * count)
        return [(number, first, count) for number in range(first, first + count)]

    def close(self, rows: Sequence[tuple[int, int, int]], state: int, reason: BaseException | None = None) -> None:
        for number, _, _ in rows:
            self._known[number] = state
        if reason is not None:
            told = "".join(traceback.format_exception(reason))
            self._reasons.append((rows[0][0], f"{len(rows)} entries are there, in spite of: {told}"))

    def count(self, state: int) -> int:
        return self._known.count(state)

    async def compare(self, connection: Any) -> Verdict:
        """What the table has and the client knows, side by side; `connection` is asyncpg's or ours."""
        verdict = Verdict()
        verdict.doubled = await connection.fetchval(
            "SELECT count(*) FROM (SELECT FROM ledger GROUP BY id HAVING count(*) > 1) AS doubled"
        )
        verdict.torn = await connection.fetchval(
            "SELECT count(*) FROM (SELECT FROM ledger GROUP BY first, count HAVING count(DISTINCT id) <> count) AS torn"
        )
        for start in range(0, len(self._known), _SLICE):
            end = min(start + _SLICE, len(self._known))
            found = await connection.fetch("SELECT DISTINCT id FROM ledger WHERE id >= $1 AND id < $2", start, end)
            there = {row[0] for row in found}
            for number in range(start, end):
                if self._known[number] == DONE:
                    verdict.lost += number not in there
                elif self._known[number] == NOT_DONE:
                    verdict.resurrected += number in there
            self.surprises += [reason for first, reason in self._reasons if first in there]
        return verdict
