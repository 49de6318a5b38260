"""What a pool says of itself."""

from dataclasses import dataclass

__all__ = ["PoolStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """A pool at one moment, and what it has done since it was made."""

    #: Open connections, whoever has them: the sum of the five below.
    size: int
    idle: int
    in_use: int
    resetting: int
    #: Being checked before somebody gets them.
    checking: int
    #: Kept for multiplexed queries.
    multiplexed: int
    #: Neither counted in `size`, but both in `max_size`.
    opening: int
    closing: int

    #: Tasks that wait for a connection, and the most that ever did at the same time.
    waiting: int
    most_waiting: int
    #: Seconds that tasks have waited, all of them together, whatever became of it.
    waited_seconds: float

    #: Connections given to tasks, and queries that shared one.
    granted: int
    shared: int
    #: Tasks that got none in time, and those that `max_waiting` has turned away.
    timed_out: int
    refused: int

    opened: int
    open_failures: int
    #: Connections that ended without being asked to, that could not be reset, and that failed the check.
    lost: int
    reset_failures: int
    check_failures: int
    #: Replaced on purpose: `max_lifetime`, `max_queries`, `expire_connections()` and `drain()`.
    expired: int
    #: Closed because nobody needed them: `max_inactive_connection_lifetime`.
    idled_out: int
