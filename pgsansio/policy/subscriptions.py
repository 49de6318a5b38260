"""Who listens to which channel on one connection, and when LISTEN or UNLISTEN is due.

How this works. A subscriber is anything hashable: a callback, or a `NotificationQueue` that somebody iterates. What is
*wanted* follows from the subscribers; what the *server* does follows from the statements it has carried out. A
statement is due whenever the two differ or whenever one that could make them differ is still in flight; LISTEN and
UNLISTEN can be repeated without harm. Both are transactional in the server, so what was carried out inside a
transaction block is also noted in an undo log: a rollback undoes it, and the statements that are then missing are
handed out. So a subscriber that was told it listens does listen, whatever became of the transaction it asked in (only
what was notified between the rollback and the new LISTEN is lost to it).

Source: manual, commands LISTEN, UNLISTEN and NOTIFY.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar, cast

from pgsansio.errors import InterfaceError

__all__ = ["Delivery", "Listen", "NotificationQueue", "Overflow", "Subscriptions", "Unlisten", "check_channel"]

N = TypeVar("N")

#: NAMEDATALEN - 1: the server cuts longer names, so that their notifications would come under another name.
CHANNEL_BYTES_MAX: Final = 63

#: Notifications a queue holds unless told otherwise: enough for a reader that is busy for a while.
QUEUE_SIZE: Final = 1024


def _quoted(channel: str) -> str:
    doubled = channel.replace('"', '""')
    return f'"{doubled}"'


@dataclass(frozen=True, slots=True)
class Listen:
    """Send `sql`, then tell `confirmed` or `failed`."""

    channel: str
    #: Which `clear` it came after; what was asked for before the last one is of no interest.
    generation: int = field(default=0, compare=False, repr=False)

    @property
    def sql(self) -> str:
        return f"LISTEN {_quoted(self.channel)};"


@dataclass(frozen=True, slots=True)
class Unlisten:
    """Send `sql`, then tell `confirmed` or `failed`."""

    channel: str
    #: Which `clear` it came after; what was asked for before the last one is of no interest.
    generation: int = field(default=0, compare=False, repr=False)

    @property
    def sql(self) -> str:
        return f"UNLISTEN {_quoted(self.channel)};"


@dataclass(frozen=True, slots=True)
class Overflow:
    """What a reader gets in the place of notifications that it was too slow for."""

    #: How many were dropped here, at least 1.
    lost: int


class NotificationQueue(Generic[N]):
    """Notifications for one reader that iterates; holds `size` at most.

    When it is full, the oldest notification makes room: the reader gets an `Overflow` at its very next step, then the
    newest ones without gaps. Most notifications say "look again", so the newest are those that matter.

    Args:
        size: at least 1.
    """

    __slots__ = ("_lost", "_pending", "size")

    def __init__(self, size: int = QUEUE_SIZE) -> None:
        if size < 1:
            raise ValueError(f"size is expected to be greater than zero, got {size!r}")
        self.size = size
        self._pending: deque[N] = deque()
        self._lost = 0

    def __len__(self) -> int:
        """Steps that `take` can make at once."""
        return len(self._pending) + (1 if self._lost else 0)

    def put(self, notification: N) -> None:
        if len(self._pending) == self.size:
            self._pending.popleft()
            self._lost += 1
        self._pending.append(notification)

    def take(self) -> N | Overflow | None:
        """The next notification, or the mark for those lost before it; None if there is none yet."""
        if self._lost:
            lost, self._lost = self._lost, 0
            return Overflow(lost)
        return self._pending.popleft() if self._pending else None


@dataclass(frozen=True, slots=True)
class Delivery(Generic[N]):
    """Who gets a notification, each in the order of subscribing."""

    #: To be called.
    callbacks: tuple[Hashable, ...]
    #: They hold it already; their readers are to be woken.
    queues: tuple[NotificationQueue[N], ...]


class _Channel(Generic[N]):
    __slots__ = ("delivery", "in_flight", "on_server", "subscribers")

    def __init__(self) -> None:
        #: A dict for its order; kept by equality.
        self.subscribers: dict[Hashable, None] = {}
        #: By the statements the server has carried out so far; None: by one of which nobody knows.
        self.on_server: bool | None = False
        #: Statements for this channel that are not answered.
        self.in_flight = 0
        self.delivery: Delivery[N] | None = None


class Subscriptions(Generic[N]):
    """The channels of one connection and their subscribers."""

    __slots__ = ("_channels", "_generation", "_undo")

    def __init__(self) -> None:
        self._channels: dict[str, _Channel[N]] = {}
        #: Of the open transaction: channel, and what `on_server` was before.
        self._undo: list[tuple[str, bool | None]] = []
        self._generation = 0

    def __len__(self) -> int:
        """Subscriptions: pairs of channel and subscriber."""
        return sum(len(channel.subscribers) for channel in self._channels.values())

    @property
    def has_channels(self) -> bool:
        """Whether anything was ever said of a channel, since `clear`, that is still to be remembered."""
        return bool(self._channels)

    def listen(self, channel: str, subscriber: Hashable) -> Listen | None:
        """Add `subscriber`; one that is there already, by equality, counts once.

        Args:
            channel: the name as it is, without quotes; up to 63 bytes.
        Returns:
            The LISTEN that is due; None if the server listens already.
        Raises:
            InterfaceError: there can be no channel of that name. Nothing has changed then.
        """
        check_channel(channel)
        known = self._channels.get(channel)
        if known is None:
            known = self._channels[channel] = _Channel()
        known.subscribers.setdefault(subscriber)
        known.delivery = None
        if known.on_server and not known.in_flight:
            return None
        known.in_flight += 1
        return Listen(channel, self._generation)

    def unlisten(self, channel: str, subscriber: Hashable) -> Listen | Unlisten | None:
        """Remove `subscriber`; one that is not there is ignored.

        Returns:
            The UNLISTEN that is due behind the last subscriber of a channel; or the LISTEN that is due for those who
            stay, if the one that got lost, and for which this subscriber is removed, was for all of them.
        """
        known = self._channels.get(channel)
        if known is None or subscriber not in known.subscribers:
            return None
        del known.subscribers[subscriber]
        known.delivery = None
        if known.subscribers:
            if known.on_server or known.in_flight:
                return None
            known.in_flight += 1
            return Listen(channel, self._generation)
        if known.on_server is not False or known.in_flight:
            known.in_flight += 1
            return Unlisten(channel, self._generation)
        self._forget_unused(channel, known)
        return None

    def dispatch(self, channel: str, notification: N) -> Delivery[N] | None:
        """Put `notification` into the queues of the channel, and say who else gets it; None: nobody listens."""
        known = self._channels.get(channel)
        if known is None or not known.subscribers:
            return None
        delivery = known.delivery
        if delivery is None:
            queues: list[NotificationQueue[N]] = []
            callbacks: list[Hashable] = []
            for subscriber in known.subscribers:
                if isinstance(subscriber, NotificationQueue):
                    queues.append(cast("NotificationQueue[N]", subscriber))
                else:
                    callbacks.append(subscriber)
            delivery = known.delivery = Delivery(tuple(callbacks), tuple(queues))
        for queue in delivery.queues:
            queue.put(notification)
        return delivery

    def confirmed(self, action: Listen | Unlisten, *, in_transaction: bool) -> None:
        """The server has carried out `action`.

        Args:
            in_transaction: it did so inside a transaction block (ReadyForQuery said T), whose end will decide.
        """
        if action.generation != self._generation:
            return
        known = self._channels[action.channel]
        known.in_flight -= 1
        listens = isinstance(action, Listen)
        if in_transaction and known.on_server is not listens:
            self._undo.append((action.channel, known.on_server))
        known.on_server = listens
        self._forget_unused(action.channel, known)

    def failed(self, action: Listen | Unlisten, *, unknown: bool = False) -> None:
        """It has not: it was refused, skipped, or dropped unsent.

        A subscriber whose LISTEN was refused is still there; whoever tells it so takes it out with `unlisten`.

        Args:
            unknown: perhaps it has; nobody waits for the answer any more.
        """
        if action.generation != self._generation:
            return
        known = self._channels[action.channel]
        known.in_flight -= 1
        if unknown and known.on_server is not isinstance(action, Listen):
            known.on_server = None
        self._forget_unused(action.channel, known)

    def mark(self) -> int:
        """Where a savepoint stands; for `rolled_back_to`."""
        return len(self._undo)

    def rolled_back_to(self, mark: int) -> list[Listen | Unlisten]:
        """A savepoint was rolled back: undo what came behind its mark.

        Returns:
            What is due so that those who listen go on listening, as for `transaction_ended`.
        """
        touched: dict[str, None] = {}
        while len(self._undo) > mark:
            channel, before = self._undo.pop()
            self._channels[channel].on_server = before
            touched[channel] = None
        actions: list[Listen | Unlisten] = []
        for channel in reversed(touched):
            known = self._channels[channel]
            wanted = bool(known.subscribers)
            if wanted is not known.on_server:
                known.in_flight += 1
                actions.append((Listen if wanted else Unlisten)(channel, self._generation))
            else:
                self._forget_unused(channel, known)
        return actions

    def transaction_ended(self, committed: bool) -> list[Listen | Unlisten]:
        """The transaction block is over (ReadyForQuery said I again).

        Args:
            committed: the server said COMMIT, not ROLLBACK.
        Returns:
            What is due, in the order it was first asked for; nothing after a commit.
        """
        if not committed:
            return self.rolled_back_to(0)
        channels = dict.fromkeys(channel for channel, _ in self._undo)
        self._undo.clear()
        for channel in channels:
            self._forget_unused(channel, self._channels[channel])
        return []

    def clear(self) -> list[tuple[str, Hashable]]:
        """The connection was reset (UNLISTEN *) or is gone: forget everything.

        Returns:
            Channel and subscriber of what ends here. Readers of queues among them are to be woken.
        """
        if not self._channels and not self._undo:
            return []
        ended = [(name, subscriber) for name, known in self._channels.items() for subscriber in known.subscribers]
        self._channels.clear()
        self._undo.clear()
        self._generation += 1
        return ended

    def _forget_unused(self, channel: str, known: _Channel[N]) -> None:
        if known.subscribers or known.on_server or known.in_flight:
            return
        if any(noted == channel for noted, _ in self._undo):
            return  # a rollback would make the server listen again
        del self._channels[channel]


def check_channel(channel: object) -> None:
    """Raises InterfaceError: there can be no channel of that name."""
    if not isinstance(channel, str):
        raise InterfaceError(f"channel name is expected to be a str, got {type(channel).__name__}")
    if not channel or "\0" in channel:
        raise InterfaceError(f"channel name is expected to have a character, and none of them NUL, got {channel!r}")
    try:
        size = len(channel.encode())
    except UnicodeEncodeError:
        raise InterfaceError(f"channel name cannot be encoded as UTF-8: {channel!r}") from None
    if size > CHANNEL_BYTES_MAX:
        raise InterfaceError(f"channel name is expected to have at most {CHANNEL_BYTES_MAX} bytes, got {size}")
