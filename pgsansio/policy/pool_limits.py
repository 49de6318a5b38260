"""The numbers that a pool keeps to."""

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["PoolLimits"]

#: Of `max_lifetime`, unless `max_lifetime_jitter` says otherwise: connections that were opened together are not
#: replaced together.
_JITTER: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """The numbers that a pool keeps to; durations in seconds.

    Attributes:
        min_size: connections kept when idle; lost ones are replaced in the background.
        max_size: never more than these.
        init_size: opened at the start, the first one alone; None: `min_size`.
        max_queries: a connection that ran so many is replaced at its release.
        max_inactive_connection_lifetime: idle connections above `min_size` are closed after so long; 0: never.
        max_lifetime: connections are replaced when they are so old, as soon as they are idle; None or 0: never.
        max_lifetime_jitter: each connection's own limit is up to so much lower; None: a tenth of `max_lifetime`.
        max_waiting: tasks that may wait until others release theirs; None: any number.
        acquire_timeout: how long a task waits that does not say; None: until it has a connection.
        check_after: a connection that was idle for longer is checked before it is granted; None: none is.
        multiplex: of `max_size`, kept for queries that share a connection.
    Raises:
        ValueError: these numbers contradict each other.
        TypeError: one of them is no number.
    """

    min_size: int = 10
    max_size: int = 10
    init_size: int | None = None
    max_queries: int = 50000
    max_inactive_connection_lifetime: float = 300.0
    max_lifetime: float | None = None
    max_lifetime_jitter: float | None = None
    max_waiting: int | None = None
    acquire_timeout: float | None = None
    check_after: float | None = None
    multiplex: int = 0

    def __post_init__(self) -> None:
        for name in ("max_size", "min_size", "init_size", "max_queries", "max_inactive_connection_lifetime"):
            value: object = getattr(self, name)
            if not isinstance(value, int | float) and not (name == "init_size" and value is None):
                raise TypeError(f"{name} is expected to be a number, got {value!r}")
        if self.max_size <= 0:
            raise ValueError("max_size is expected to be greater than zero")
        if self.min_size < 0:
            raise ValueError("min_size is expected to be greater or equal to zero")
        if self.min_size > self.max_size:
            raise ValueError("min_size is greater than max_size")
        if self.initial < 0:
            raise ValueError("init_size is expected to be greater or equal to zero")
        if self.initial > self.max_size:
            raise ValueError("init_size is greater than max_size")
        if self.initial < self.min_size:
            raise ValueError("init_size is smaller than min_size")
        if self.max_queries <= 0:
            raise ValueError("max_queries is expected to be greater than zero")
        if self.max_inactive_connection_lifetime < 0:
            raise ValueError("max_inactive_connection_lifetime is expected to be greater or equal to zero")
        _check_seconds("max_lifetime", self.max_lifetime)
        _check_seconds("max_lifetime_jitter", self.max_lifetime_jitter)
        if self.max_lifetime_jitter and self.max_lifetime_jitter >= (self.max_lifetime or 0):
            raise ValueError("max_lifetime_jitter is expected to be smaller than max_lifetime")
        _check_seconds("acquire_timeout", self.acquire_timeout)
        if self.acquire_timeout == 0:
            raise ValueError("acquire_timeout is expected to be greater than zero")
        _check_seconds("check", self.check_after)
        if self.max_waiting is not None:
            _check_count("max_waiting", self.max_waiting)
        _check_count("multiplex", self.multiplex)
        if self.multiplex >= self.max_size:
            raise ValueError("multiplex is expected to be smaller than max_size, or no connection could be acquired")

    @property
    def initial(self) -> int:
        """How many are opened at the start."""
        return self.min_size if self.init_size is None else self.init_size

    def lifetime(self, share: float) -> float:
        """How old a connection gets.

        Args:
            share: 0 to 1, of the jitter.
        """
        if not self.max_lifetime:
            return math.inf
        jitter = self.max_lifetime * _JITTER if self.max_lifetime_jitter is None else self.max_lifetime_jitter
        return self.max_lifetime - share * jitter


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is expected to be a number of seconds or None, got {value!r}")
    if not value >= 0:  # NaN is neither
        raise ValueError(f"{name} is expected to be greater or equal to zero")


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is expected to be an integer, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} is expected to be greater or equal to zero")
