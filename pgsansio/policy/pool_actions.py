"""What a pool's policy asks for, and the states of its life."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeAlias, TypeVar

__all__ = [
    "Action",
    "Check",
    "Close",
    "Drained",
    "Fail",
    "Finished",
    "FloorFailed",
    "Grant",
    "Open",
    "PoolState",
    "Ready",
    "Reset",
    "StartFailed",
    "Terminate",
]

W = TypeVar("W", bound=Hashable)
C = TypeVar("C", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Open:
    """Open and initialize a connection, then tell `opened` or `open_failed`."""

    slot: int


@dataclass(frozen=True, slots=True)
class Grant(Generic[W, C]):
    """The waiter gets the connection, which is his until `released`, or which he shares until `shared_done`."""

    waiter: W
    connection: C


@dataclass(frozen=True, slots=True)
class Reset(Generic[C]):
    """Bring the session back to its first state, then tell `reset_done`."""

    connection: C


@dataclass(frozen=True, slots=True)
class Check(Generic[C]):
    """See, within a time limit, whether it is alive, then tell `checked`."""

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
class Drained(Generic[W]):
    """All connections that were there when this waiter called `drain` are gone."""

    waiter: W


@dataclass(frozen=True, slots=True)
class Finished:
    """The pool is closed, and all of its connections are."""


Action: TypeAlias = (
    Open
    | Grant[W, C]
    | Reset[C]
    | Check[C]
    | Close[C]
    | Terminate[C]
    | Fail[W]
    | Ready
    | StartFailed
    | FloorFailed
    | Drained[W]
    | Finished
)


class PoolState(Enum):
    """A pool's life, in order."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    CLOSING = "closing"
    CLOSED = "closed"
