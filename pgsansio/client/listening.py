"""LISTEN, and who hears what NOTIFY sends."""

from collections.abc import Callable, Hashable
from typing import Any, TypeAlias, cast

from pgsansio.client.callbacks import CallbackMethods, QueryTimer, check_callback
from pgsansio.client.listener import Notifications, ReaderQueue
from pgsansio.engine.events import Event
from pgsansio.errors import InterfaceError
from pgsansio.policy.pooling import lends_sessions
from pgsansio.policy.subscriptions import Listen, Unlisten
from pgsansio.types import Notification

__all__ = ["ListenMethods"]

Callback: TypeAlias = Callable[[Any, int, str, str], Any]


class ListenMethods(CallbackMethods):
    """Notifications."""

    __slots__ = ()

    async def add_listener(self, channel: str, callback: Callback) -> None:
        """Call `callback(connection, pid, channel, payload)` for each notification on this channel.

        Callbacks are kept by equality: the same one counts once.

        Raises:
            InterfaceError: `callback` is not callable, nothing reads this connection while it is idle, or a pooler is
                known to give each transaction another session of the server.
        """
        self._check_open()
        check_callback(callback)
        if not self._port.reads_when_idle:
            raise InterfaceError(
                "cannot call back: nobody reads this connection while it is idle",
                hint="Use `async with connect(...)` or a pool, or iterate over notifications().",
            )
        await self._listen(channel, callback)

    async def remove_listener(self, channel: str, callback: Callback) -> None:
        """Undo `add_listener`; does nothing for an unknown callback or on a closed connection."""
        if self.is_closed():
            await self._port.checkpoint()
        else:
            self._port.guard()
            await self._unlisten(channel, callback)

    def notifications(self, *channels: str, max_queued: int = 1000) -> Notifications:
        """Notifications on these channels, for `async for`.

        LISTEN goes out with `async with` or the first iteration, UNLISTEN when the block ends. A reader that does not
        keep up loses the oldest ones, and finds an `Overflow` in their place.

        Args:
            max_queued: how many are kept for this reader.
        Raises:
            InterfaceError: there are no channels, or the connection is closed.
        """
        self._check_open()
        return Notifications(self, channels, max_queued)

    async def _listen(self, channel: str, subscriber: Hashable) -> None:
        if lends_sessions(self._frontend.parameters):
            raise InterfaceError(
                "cannot listen through a pooler that gives each transaction another session of the server: "
                "notifications would come to nobody, or to others",
                hint="Listen on a connection to the server itself, or through a pool with pool_mode=session.",
            )
        await self._port.checkpoint()  # before anything is done: undoing it is not for who was subscribed before
        action = self._subscriptions.listen(channel, subscriber)
        if action is not None:
            try:
                await self._carry_out(action)
            except BaseException as error:
                self._drop(channel, subscriber, error)
                raise

    async def _unlisten(self, channel: str, subscriber: Hashable) -> None:
        action = self._subscriptions.unlisten(channel, subscriber)
        if action is None:
            await self._port.checkpoint()
        else:
            await self._carry_out(action)

    def _drop(self, channel: str, subscriber: Hashable, error: BaseException | None) -> None:
        """As `_unlisten`, because of this error, which may be a cancellation: without waiting for the server."""
        action = self._subscriptions.unlisten(channel, subscriber)
        if action is None:
            return
        if isinstance(error, GeneratorExit) or not self._frontend.is_open:
            # What the server still sends goes to nobody.
            self._subscriptions.failed(action)
        else:
            # It goes before any LISTEN of later. Only in a failed transaction does it fail, and another one is due when
            # that is rolled back.
            self._frontend.simple_query(action.sql, internal=True)
            self._port.flush()
            self._subscriptions.confirmed(action, in_transaction=self._frontend.in_transaction)

    async def _carry_out(self, action: Listen | Unlisten) -> None:
        try:
            async with QueryTimer(self, action.sql, (), None), self._limit(self._deadline(None)):
                await self._script(action.sql)
        except BaseException as error:
            # A cancelled one may have been carried out all the same.
            self._subscriptions.failed(action, unknown=not isinstance(error, Exception))
            raise
        self._subscriptions.confirmed(action, in_transaction=self._frontend.in_transaction)

    async def _restore_subscriptions(self, mark: int, *, ended: bool, committed: bool) -> None:
        """A transaction or savepoint is over: LISTEN again for what a rollback has undone."""
        if ended:
            due = self._subscriptions.transaction_ended(committed)
        else:
            due = [] if committed else self._subscriptions.rolled_back_to(mark)
        # Nobody asked for these: they may be beside another task's operations, in a transaction, too. Nor is one given
        # up where this is cancelled: nobody else would ever send it.
        sent = [(action, self._frontend.simple_query(action.sql, internal=True)) for action in due]
        self._port.flush()
        try:
            for _, operation in sent:
                await self._port.wait(operation)
        finally:
            for action, operation in sent:
                if operation.error is None:
                    self._subscriptions.confirmed(action, in_transaction=self._frontend.in_transaction)
                else:
                    self._subscriptions.failed(action)
        for action, operation in sent:
            if operation.error is not None:
                raise self._failure(operation, action.sql)

    def _heard(self, event: Event) -> None:
        if type(event) is Notification:
            self._notify(event)
        else:
            super()._heard(event)

    def _has_ended(self) -> None:
        self._end_subscriptions()
        super()._has_ended()

    def _end_listening(self) -> list[tuple[str, int]]:
        ended = self._end_subscriptions()
        found = super()._end_listening()
        return [("notification", ended), *found] if ended else found

    def _end_subscriptions(self) -> int:
        """Nobody listens any more; readers are told. Returns how many subscriptions there were."""
        ended = self._subscriptions.clear()
        for _, subscriber in ended:
            if isinstance(subscriber, ReaderQueue):
                subscriber.end(self._frontend)
        return len(ended)

    def _notify(self, notification: Notification) -> None:
        delivery = self._subscriptions.dispatch(notification.channel, notification)
        if delivery is None:
            return
        for queue in delivery.queues:
            cast(ReaderQueue, queue).wake(self._frontend)
        for callback in delivery.callbacks:
            self._port.deliver(cast(Callback, callback), self if self._proxy is None else self._proxy, *notification)
