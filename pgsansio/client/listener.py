"""Notifications: iterating over what NOTIFY sends on a channel."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from pgsansio.engine.operations import Operation
from pgsansio.engine.session import Session
from pgsansio.enums import TransactionStatus
from pgsansio.errors import InterfaceError
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
    """Notifications on some channels: `async for notification in connection.notifications("jobs"): ...`.

    As `async with` it also ends: UNLISTEN goes out if nobody else listens. Iteration yields Notification (pid, channel,
    payload), or an `Overflow` in the place of those that the reader was too slow for; of several tasks that iterate,
    each notification goes to one. It ends when the connection is reset, or given back to its pool; when it is closed or
    lost, with an InterfaceError whose cause says why.
    """

    __slots__ = ("_channels", "_connection", "_listening", "_queue", "_releases")

    def __init__(self, connection: "ListenMethods", channels: tuple[str, ...], max_queued: int) -> None:
        if not channels:
            raise InterfaceError("notifications() is expected to be given a channel")
        self._connection = connection
        self._channels = channels
        self._queue = ReaderQueue(max_queued)
        self._listening = False
        self._releases = connection._releases

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection = self._connection
        if self._listening and not connection.is_closed():
            self._listening = False
            left = iter(self._channels)
            try:
                # Not when the block is left by an error, of which another one would make a secret: that the transaction
                # has failed, and takes no UNLISTEN.
                if exc is None and connection._frontend.transaction_status is not TransactionStatus.FAILED:
                    for channel in left:
                        await connection._unlisten(channel, self._queue)
            except BaseException as error:
                exc = error
                raise
            finally:
                for channel in left:
                    connection._drop(channel, self._queue, exc)
        elif exc is None:
            await connection._port.checkpoint()

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
        connection = self._connection
        if connection._releases != self._releases:
            raise InterfaceError(
                "cannot iterate over notifications(): the connection has been released back to the pool"
            )
        connection._check_open()
        if self._listening:
            await connection._port.checkpoint()
        else:
            begun: list[str] = []
            try:
                for channel in self._channels:
                    await connection._listen(channel, self._queue)
                    begun.append(channel)
            except BaseException as error:
                for channel in begun:
                    connection._drop(channel, self._queue, error)
                raise
            self._listening = True
