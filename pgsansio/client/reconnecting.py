"""The listener that connects again: notifications for as long as somebody wants them.

How this works. There is no task: whoever iterates connects, waits, notices a loss and connects again, so nothing goes
on that nobody waits for. What is known of a loss is kept here and not in the coroutine, so a cancelled iteration can be
taken up where it was left. Each connection has a queue of its own; what the old one holds is given away before the gap
is told.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from pgsansio.client.connection import Connection
from pgsansio.client.listener import ReaderQueue
from pgsansio.client.port import ConcurrentPort, PortEvent
from pgsansio.errors import ALL_ERRORS, ConnectionDoesNotExistError, InterfaceError, OperationTimeoutError
from pgsansio.policy.reconnection import Reconnection, jitter
from pgsansio.policy.subscriptions import Overflow, check_channel
from pgsansio.types.server import Gap, Notification

__all__ = ["ReconnectingListener"]

#: How long the answer to a heartbeat may take.
ANSWER_SECONDS: Final = 10.0


class ReconnectingListener:
    """Made by `listen()`: `async with listen("jobs", dsn=...) as notifications: async for item in notifications: ...`.

    Iteration yields Notification, Overflow in the place of those that the reader was too slow for, and `Gap` when the
    connection was lost and all channels are listened to again: look at everything then, as at the start. One task
    iterates; others may `add` and `remove` channels. An iteration that was cancelled can be taken up again.
    """

    #: This loop's `connect`.
    _connect_here: ClassVar[Callable[..., Awaitable[Any]]]

    def __init__(
        self,
        channels: tuple[str, ...],
        connect_arguments: dict[str, Any],
        *,
        max_queued: int,
        heartbeat: float | None,
        max_delay: float,
        max_attempts: int | None,
        give_up_after: float | None,
    ) -> None:
        self._reconnection = Reconnection(max_delay=max_delay, max_attempts=max_attempts, give_up_after=give_up_after)
        if heartbeat is not None and not heartbeat > 0:
            raise ValueError(f"heartbeat is expected to be greater than zero, got {heartbeat!r}")
        self._connect_arguments = connect_arguments
        for channel in channels:
            check_channel(channel)
        #: A dict for its order.
        self._channels = dict.fromkeys(channels)
        self._max_queued = max_queued
        self._heartbeat = heartbeat
        self._queue = ReaderQueue(max_queued)
        self._connection: Connection | None = None
        self._home: ConcurrentPort | None = None
        #: What has ended the connection, until the gap was told; and when to connect again.
        self._lost: BaseException | None = None
        self._next_attempt_at = 0.0
        #: Set to end the wait for that time.
        self._sleep: PortEvent | None = None
        #: There is no connection any more, and will not be: why.
        self._failure: BaseException | None = None
        self._closed = False
        self._iterating = False

    def _make_home(self) -> ConcurrentPort:
        """A port of the running loop, never to be opened."""
        raise NotImplementedError

    @property
    def channels(self) -> tuple[str, ...]:
        """Those that it listens to, or will as soon as it is connected again."""
        return tuple(self._channels)

    @property
    def connected(self) -> bool:
        """Whether it has a connection, as far as it is known."""
        return self._connection is not None and not self._connection.is_closed()

    async def __aenter__(self) -> Self:
        """Connect and listen, without a second attempt.

        Raises:
            InterfaceError: it was entered before.
            Else as `connect()`.
        """
        if self._home is not None:
            raise InterfaceError("a listener can be entered only once")
        self._home = self._make_home()
        await self._connect()
        self._reconnection.connected(self._home.clock())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None and self._home is not None:
            self._home.guard()
        self._closed = True
        connection, self._connection = self._connection, None
        if self._sleep is not None:
            self._sleep.set()
        if connection is not None:
            if exc is None or isinstance(exc, Exception):
                await connection.close()
            else:
                connection.terminate()
        elif exc is None and self._home is not None:
            await self._home.checkpoint()

    async def add(self, channel: str) -> None:
        """Listen to another channel. While there is no connection, that begins with the next one.

        Raises:
            InterfaceError: there can be no channel of that name, or the listener is closed.
            PostgresError: the server's word; then it is not listened to.
        """
        home = self._check_open()
        check_channel(channel)
        if channel in self._channels:
            await home.checkpoint()
            return
        connection, queue = self._connection, self._queue
        self._channels[channel] = None
        if connection is None:
            await home.checkpoint()
        else:
            try:
                await connection._listen(channel, queue)
            except BaseException as error:
                # The connection may be lost: then the next one listens to this channel, too.
                if connection.is_closed() and isinstance(error, ALL_ERRORS):
                    return
                self._channels.pop(channel, None)
                raise

    async def remove(self, channel: str) -> None:
        """Listen to a channel no more; what it has brought so far is still given away. Unknown ones are ignored.

        Raises:
            InterfaceError: the listener is closed.
        """
        home = self._check_open()
        known = channel in self._channels
        self._channels.pop(channel, None)
        connection = self._connection
        if not known or connection is None:
            await home.checkpoint()
            return
        try:
            await connection._unlisten(channel, self._queue)
        except ALL_ERRORS:
            if not connection.is_closed():
                raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification | Overflow | Gap:
        if self._closed:
            if self._home is not None:
                await self._home.checkpoint()
            raise StopAsyncIteration
        home = self._check_open()
        if self._iterating:
            raise InterfaceError("cannot iterate over a listener: another task does")
        self._iterating = True
        try:
            await home.checkpoint()
            return await self._next(home)
        finally:
            self._iterating = False

    async def _next(self, home: ConcurrentPort) -> Notification | Overflow | Gap:
        while True:
            item = self._queue.take()
            if item is not None:
                return item
            if self._closed:
                raise StopAsyncIteration
            if self._failure is not None:
                raise self._failure
            connection = self._connection
            if connection is None:
                if await self._connect_again(home):
                    return self._gap(home)
            elif self._queue.ended or not connection._frontend.is_open:
                self._has_lost(connection, connection._frontend.failure)
            else:
                await self._wait(connection)

    def _check_open(self) -> ConcurrentPort:
        if self._home is None or self._closed:
            raise InterfaceError(
                "the listener is closed" if self._closed else "the listener has not begun",
                hint=None if self._closed else "Use `async with listen(...) as notifications:`.",
            )
        self._home.guard()
        return self._home

    # one connection

    async def _connect(self) -> None:
        """Connect, and listen to all channels.

        Raises: as `connect()`, or PostgresError of LISTEN.
        """
        connection: Connection = await type(self)._connect_here(**self._connect_arguments)
        queue = ReaderQueue(self._max_queued)
        try:
            await self._listen_to_all(connection, queue)
        except InterfaceError as error:
            if connection._frontend.is_open:
                connection.terminate()
                raise
            raise ConnectionDoesNotExistError("connection was closed before LISTEN was sent") from error
        except BaseException:
            connection.terminate()
            raise
        if self._closed:
            connection.terminate()
            return
        self._queue = queue
        self._connection = connection

    async def _listen_to_all(self, connection: Connection, queue: ReaderQueue) -> None:
        listening: set[str] = set()
        while not self._closed:
            # Some may be added meanwhile, and some removed.
            missing = [channel for channel in self._channels if channel not in listening]
            surplus = listening - self._channels.keys()
            if not missing and not surplus:
                return
            for channel in missing:
                await connection._listen(channel, queue)
                listening.add(channel)
            for channel in surplus:
                await connection._unlisten(channel, queue)
                listening.remove(channel)

    async def _wait(self, connection: Connection) -> None:
        """Until there is something in the queue, or the connection has ended; see now and then that it has not."""
        port, signal = connection._port, self._queue.signal
        if self._heartbeat is None:
            signal.attention = False
            await port.progress(signal)
            return
        try:
            async with port.deadline(port.clock() + self._heartbeat):
                signal.attention = False
                await port.progress(signal)
        except TimeoutError:
            await self._beat(connection)

    async def _beat(self, connection: Connection) -> None:
        """Ask the server whether it is there; a connection that does not answer is given up."""
        try:
            await connection.ping(timeout=ANSWER_SECONDS)
        except OperationTimeoutError as error:
            connection.terminate()
            self._has_lost(connection, error)
        except ALL_ERRORS:
            pass  # whatever it says, it is there; or it is known not to be

    def _has_lost(self, connection: Connection, error: BaseException | None) -> None:
        """The connection is gone; what it brought before that is in the queue."""
        if self._connection is connection:
            home = self._check_open()
            self._connection = None
            self._lost = error or ConnectionDoesNotExistError("connection was closed in the middle of operation")
            self._next_attempt_at = self._reconnection.lost(home.clock(), jitter(home.nonce()))

    async def _connect_again(self, home: ConcurrentPort) -> bool:
        """Wait until it is time for the next attempt, and make it; whether there is a connection now.

        Raises: as `_connect`, if there is to be no other attempt.
        """
        reconnection = self._reconnection
        self._sleep = home.event()
        with suppress(TimeoutError):
            async with home.deadline(self._next_attempt_at):
                await self._sleep.wait()
        if self._closed:
            return False
        reconnection.attempts += 1
        try:
            await self._connect()
        except Exception as error:
            at = reconnection.failed(error, home.clock(), jitter(home.nonce()))
            if at is None:
                error.add_note(f"The connection was lost; it was tried {reconnection.attempts} times to connect again.")
                self._failure = error
                raise
            self._next_attempt_at = at
        except BaseException:
            # Whoever waits for a moment only, again and again, is not to ask the server as often.
            self._next_attempt_at = reconnection.interrupted(home.clock(), jitter(home.nonce()))
            raise
        return self._connection is not None

    def _gap(self, home: ConcurrentPort) -> Gap:
        error, self._lost = self._lost, None
        assert error is not None
        return Gap(self._reconnection.connected(home.clock()), error, self._reconnection.attempts)
