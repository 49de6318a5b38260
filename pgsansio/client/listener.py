"""Notifications: iterating over what NOTIFY sends on a channel."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from pgsansio.engine.operations import Operation
from pgsansio.engine.session import Session
from pgsansio.policy.subscriptions import NotificationQueue, Overflow
from pgsansio.types import Notification

if TYPE_CHECKING:
    from pgsansio.client.listening import ListenMethods

__all__ = ["Notifications", "ReaderQueue"]


class ReaderQueue(NotificationQueue[Notification]):
    """The queue of one reader, with something that its task can wait for like for an operation."""

    __slots__ = ("ended", "signal")

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.signal = Operation(b"", (), 0)
        self.ended = False

    def wake(self, session: Session) -> None:
        self.signal.attention = True
        session.woken.append(self.signal)

    def end(self, session: Session) -> None:
        """Nothing will come any more."""
        self.ended = True
        self.wake(session)


class Notifications:
    """Notifications on one channel: `async for notification in connection.notifications("jobs"): ...`.

    One task iterates. As `async with` it also ends: UNLISTEN goes out if nobody else listens. Iteration yields
    Notification (pid, channel, payload), or an `Overflow` in the place of those that the reader was too slow for. It
    ends when the connection is reset; when it is closed or lost, with InterfaceError or ConnectionDoesNotExistError.
    """

    __slots__ = ("_channel", "_connection", "_listening", "_queue")

    def __init__(self, connection: "ListenMethods", channel: str, max_queued: int) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = ReaderQueue(max_queued)
        self._listening = False

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._listening and not self._connection.is_closed():
            self._listening = False
            if isinstance(exc, GeneratorExit):
                self._connection._forget_listener(self._channel, self._queue)
            else:
                await self._connection._unlisten(self._channel, self._queue)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification | Overflow:
        connection, queue = self._connection, self._queue
        if not self._listening:
            await self._listen()
        else:
            await connection._port.checkpoint()
        while (notification := queue.take()) is None:
            if queue.ended:
                connection._check_open()
                raise StopAsyncIteration
            queue.signal.attention = False
            await connection._port.progress(queue.signal)
        return notification

    async def _listen(self) -> None:
        self._connection._check_open()
        if not self._listening:
            await self._connection._listen(self._channel, self._queue)
            self._listening = True
