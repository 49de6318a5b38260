"""When to connect again after a loss, and when to give that up.

How this works. Attempts are made after 0.1 s, then after twice as long each time, up to `max_delay`, each delay
shortened at random by up to a half so that the clients of a server that has restarted do not come all at once. Only a
connection that has lived for a while makes the delays short again: a server that accepts and drops connections in turn
is asked ever less often, too. Neither a clock nor chance is asked for here: times are passed in, and so is the jitter.
"""

import zlib
from typing import Final

from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InsufficientResourcesError,
    InterfaceError,
    OperatorInterventionError,
    PostgresConnectionError,
    ReadOnlySQLTransactionError,
    TargetServerAttributeNotMatched,
)

__all__ = ["Reconnection", "is_passing", "jitter"]

FIRST_DELAY: Final = 0.1
#: A connection that has lived for so many seconds was no accident.
STABLE_SECONDS: Final = 10.0

#: A server that starts, stops, fails over (LISTEN on a standby is a ReadOnlySQLTransactionError) or is full.
_PASSING: Final = (
    OSError,
    ConnectionDoesNotExistError,
    PostgresConnectionError,
    InsufficientResourcesError,
    OperatorInterventionError,
    ReadOnlySQLTransactionError,
    TargetServerAttributeNotMatched,
)


def is_passing(error: BaseException) -> bool:
    """Whether it may be another time what has failed now; a password or a certificate is wrong the next time, too."""
    # An error about certificates is an OSError and a ValueError.
    return isinstance(error, _PASSING) and not isinstance(error, ValueError | InterfaceError)


def jitter(nonce: str) -> float:
    """A number from 0 up to 1 made of a random text."""
    return zlib.crc32(nonce.encode()) / 0x1_0000_0000


class Reconnection:
    """One connection that is to be there again and again.

    Args:
        max_delay: seconds between two attempts, at most.
        max_attempts: to be made after a loss; None: any number.
        give_up_after: seconds after a loss at which no attempt is made any more; None: never.
    Raises:
        ValueError: a number is not greater than zero.
    """

    __slots__ = ("_connected_at", "_delay", "_lost_at", "attempts", "give_up_after", "max_attempts", "max_delay")

    def __init__(
        self, *, max_delay: float = 30.0, max_attempts: int | None = None, give_up_after: float | None = None
    ) -> None:
        for name, value in (
            ("max_delay", max_delay),
            ("max_attempts", max_attempts),
            ("give_up_after", give_up_after),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is expected to be greater than zero, got {value!r}")
        self.max_delay = max_delay
        self.max_attempts = max_attempts
        self.give_up_after = give_up_after
        #: Begun since the loss.
        self.attempts = 0
        self._delay = FIRST_DELAY
        self._connected_at = 0.0
        self._lost_at = 0.0

    def connected(self, now: float) -> float:
        """The connection is there, and usable. Returns the seconds since it was lost."""
        self._connected_at = now
        return now - self._lost_at

    def lost(self, now: float, jitter: float) -> float:
        """The connection has ended. Returns when to make the first attempt."""
        if now - self._connected_at >= STABLE_SECONDS:
            self._delay = FIRST_DELAY
        self._lost_at = now
        self.attempts = 0
        return self._next(now, jitter)

    def failed(self, error: BaseException, now: float, jitter: float) -> float | None:
        """An attempt has failed. Returns when to make the next one; None: give up."""
        if not is_passing(error):
            return None
        if self.max_attempts is not None and self.attempts >= self.max_attempts:
            return None
        at = self._next(now, jitter)
        if self.give_up_after is not None and at - self._lost_at > self.give_up_after:
            return None
        return at

    def interrupted(self, now: float, jitter: float) -> float:
        """Nobody waits any more for the attempt under way, which says nothing. Returns when to make the next one."""
        self.attempts -= 1
        return now + self._delay * (1 - jitter / 2)

    def _next(self, now: float, jitter: float) -> float:
        delay = min(self._delay, self.max_delay)
        self._delay = min(delay * 2, self.max_delay)
        return now + delay * (1 - jitter / 2)
