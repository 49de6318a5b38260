"""Who reads, and who waits until somebody else has read: the *baton*.

How this works. No task belongs to a connection. The first task that waits for something holds the *baton*: it reads the
socket and feeds the engine for all, until what it waits for has happened; then, or when it leaves for any other reason,
the baton passes synchronously to another waiting task, its heir. An heir that finds nothing to wait for any more passes
it on, and so does a task that is called away to cancel something. What has to be written is written at once as far as
the socket takes it; the rest is written by the holder of the baton while it reads, since a server that cannot write
stops reading. A cancelled task loses nothing: bytes that were not written keep their place in the outbox.

`async with connect()` and the pool have a nursery, in which a reader of the lowest priority waits when nobody else
does. While the engine asks not to be fed (`reading_paused`) nobody reads; the next task that waits looks again.
"""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Final, cast

import trio

from pgsansio.engine.operations import Operation
from pgsansio.enums import CANCEL_GRACE, Outcome
from pgsansio_trio.transport import Transport

__all__ = ["Baton"]

#: Below this much unwritten, `outbox_low` returns.
_LOW_WATER_BYTES: Final = 65536
_PENDING: Final = Outcome.PENDING
#: A connection that nobody has used for so long is read by its nursery's task.
_IDLE_SECONDS: Final = 0.005
#: Without a nursery the socket is looked at before it is used, if nobody has looked at it for so long.
_POLL_SECONDS: Final = 0.001


class Baton(Transport):
    """A transport that tasks wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._nursery: trio.Nursery | None = None
        #: The task that reads, if any does; and those that wait for it to, in order.
        self._reader: trio.lowlevel.Task | None = None
        #: The task that was woken to read next, and has not run yet.
        self._heir: trio.lowlevel.Task | None = None
        self._parked: dict[trio.lowlevel.Task, Operation | None] = {}
        #: The holder of the baton waits for the socket to be writable, too.
        self._writing = False
        #: The engine asked not to be fed.
        self._paused = False
        #: `on_cancel_due` runs.
        self._cancelling = False
        #: Parked tasks that wait for the outbox to get low.
        self._low_waiters: set[trio.lowlevel.Task] = set()
        self.on_news: Callable[[], None] | None = None
        self.on_cancel_due: Callable[[], Awaitable[None]] | None = None

    async def wait(self, operation: Operation) -> None:
        if operation.outcome is not _PENDING:
            await trio.lowlevel.checkpoint()
            return
        await self._until(operation, settled=True)

    async def progress(self, operation: Operation) -> None:
        if operation.attention or operation.outcome is not _PENDING:
            await trio.lowlevel.checkpoint()
            return
        await self._until(operation, settled=False)

    async def _until(self, operation: Operation, *, settled: bool) -> None:
        """Read, or let another task read, until the operation is settled or (not `settled`) has news."""
        task = trio.lowlevel.current_task()
        engine = self._engine
        if self._paused:
            self._paused = engine.reading_paused
        if self._reader is not None or self._paused:
            self._send()
        try:
            while not operation.settled and (settled or not operation.attention):
                if engine.cancel_due and self._cancel_is_due():
                    await self._cancel()
                    continue
                if self._reader is not None or self._paused:
                    await self._park(task, operation)
                    continue
                # This is written out, since a frame more between trio and here costs at every query.
                self._reader = task
                try:
                    while operation.outcome is _PENDING and (settled or not operation.attention):
                        self._send()
                        raw = self._raw
                        if raw is None:
                            await trio.lowlevel.checkpoint()
                            self._lost(None)
                            break
                        if self._outbox:
                            await self._ready(raw)
                        else:
                            try:
                                await trio.lowlevel.wait_readable(raw)
                            except trio.ClosedResourceError:
                                pass
                        if self._raw is raw:
                            self._receive(raw)
                        if (engine.cancel_due and self._cancel_is_due()) or self._paused:
                            break
                finally:
                    self._reader = None
        finally:
            if self._parked:
                self._pass_baton()

    async def _ready(self, raw: socket.socket) -> None:
        """Until the socket can be read, or something that waited for it was written; or until it was closed."""
        if not self._outbox:
            with contextlib.suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(raw)
            return
        self._writing = True
        try:
            async with trio.open_nursery() as nursery:

                async def until(ready: Callable[[socket.socket], Awaitable[None]]) -> None:
                    if self._raw is raw:  # not closed before this task ran
                        with contextlib.suppress(trio.ClosedResourceError):
                            await ready(raw)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, trio.lowlevel.wait_readable)
                nursery.start_soon(until, trio.lowlevel.wait_writable)
        except BaseExceptionGroup as group:
            # The nursery is our detail: whoever is cancelled sees one Cancelled.
            others = [error for error in group.exceptions if not isinstance(error, trio.Cancelled)]
            raise (others or group.exceptions)[0] from None
        finally:
            self._writing = False
        # Whoever waits here writes: otherwise a socket that is writable would be waited for again and again.
        self._send()

    def _cancel_is_due(self) -> bool:
        return not self._cancelling and self.on_cancel_due is not None and self._engine.cancel_due

    async def _cancel(self) -> None:
        """What somebody has abandoned is in the way of this task's operation: cancel it, while another task reads."""
        self._cancelling = True
        self._pass_baton()
        if self._nursery is not None:
            self._nursery.start_soon(self._carry_out_cancel)
            await trio.lowlevel.checkpoint()
        else:
            await self._carry_out_cancel()

    async def _carry_out_cancel(self) -> None:
        assert self.on_cancel_due is not None
        try:
            await self.owe(self.on_cancel_due, CANCEL_GRACE)
        finally:
            self._cancelling = False

    async def owe(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        scope = trio.CancelScope(shield=True, deadline=trio.current_time() + min(seconds, CANCEL_GRACE))
        with scope, contextlib.suppress(OSError):
            await work()

    async def _park(self, task: trio.lowlevel.Task, operation: Operation | None) -> None:
        """Wait until this operation has news or the baton is free."""
        self._parked[task] = operation
        operation_waiter = operation.waiter if operation is not None else None
        if operation is not None:
            if operation_waiter is None:
                operation.waiter = task
            else:
                operation.waiter = [
                    *(operation_waiter if isinstance(operation_waiter, list) else [operation_waiter]),
                    task,
                ]

        def abort(_: object) -> trio.lowlevel.Abort:
            self._unpark(task)
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            if self._heir is task:
                self._heir = None

    def _unpark(self, task: trio.lowlevel.Task) -> None:
        operation = self._parked.pop(task)
        if operation is not None:
            waiter = operation.waiter
            if waiter is task:
                operation.waiter = None
            elif isinstance(waiter, list):
                cast("list[object]", waiter).remove(task)

    def _resume(self, task: trio.lowlevel.Task) -> None:
        if task in self._parked:
            self._unpark(task)
            trio.lowlevel.reschedule(task)

    def _pass_baton(self) -> None:
        """Wake one parked task, which will find that nobody reads."""
        if self._parked and self._reader is None and self._heir is None and not self._paused:
            self._heir = next(iter(self._parked))
            self._resume(self._heir)

    def _fed(self) -> None:
        engine = self._engine
        if engine.news:
            if self.on_news is not None:
                self.on_news()
            self._paused = engine.reading_paused
            if engine.ended:
                self._send()
                self._close_socket()
        for operation in engine.completed():
            waiter = operation.waiter
            if waiter is not None:
                if isinstance(waiter, list):
                    for task in cast("list[trio.lowlevel.Task]", waiter)[:]:
                        self._resume(task)
                else:
                    self._resume(waiter)
        self._send()

    def _written(self) -> None:
        if self._outbox:
            raw = self._raw
            if raw is not None and self._reader is not None and not self._writing:
                # Whoever reads has to wait for the socket to be writable, too, or the server may wait for us, and we
                # for it. This wakes it up, as it would if the socket were about to be closed.
                trio.lowlevel.notify_closing(raw)
        if self._low_waiters and self._outbox_bytes <= _LOW_WATER_BYTES:
            for task in list(self._low_waiters):
                self._resume(task)

    def _closed(self) -> None:
        self._paused = False
        self._pass_baton()

    async def outbox_low(self) -> None:
        await trio.lowlevel.checkpoint()
        await self._drain(_LOW_WATER_BYTES)

    async def _drain(self, size_bytes: int) -> None:
        """Until no more than this is unwritten."""
        self._send()
        task = trio.lowlevel.current_task()
        try:
            while self._outbox_bytes > size_bytes and (raw := self._raw) is not None:
                if self._cancel_is_due():
                    await self._cancel()
                    continue
                if self._reader is not None:
                    self._low_waiters.add(task)
                    try:
                        await self._park(task, None)
                    finally:
                        self._low_waiters.discard(task)
                    continue
                self._reader = task
                try:
                    await self._ready(raw)
                    if self._raw is raw:
                        self._receive(raw)
                finally:
                    self._reader = None
        finally:
            self._pass_baton()

    async def read_when_idle(self) -> None:
        """Read while no other task does, until the connection ends. For the connection's nursery.

        It steps in some milliseconds after the last task that waited has gone, and steps back when another one has
        come: to be woken, or to read for it, would cost every query a change of tasks.
        """
        task = trio.lowlevel.current_task()
        while (raw := self._raw) is not None:
            last_received = self._last_received
            is_wanted = self._reader is None and not self._parked and not self._paused
            if not is_wanted or trio.current_time() - last_received < _IDLE_SECONDS:
                await trio.sleep(_IDLE_SECONDS)
                if (self._reader is not None or self._paused) and self._last_received == last_received:
                    # Somebody waits for long: there is no need to look again and again until the baton is free.
                    await self._park(task, None)
                    self._pass_baton()
                continue
            if self._cancel_is_due():
                await self._cancel()
                continue
            self._reader = task
            try:
                while self._raw is raw and not self._parked and not self._cancel_is_due() and not self._paused:
                    await self._ready(raw)
                    if self._raw is raw:
                        self._receive(raw)
            finally:
                self._reader = None
                self._pass_baton()

    def poll(self) -> None:
        """Look for what has arrived, the end of the connection above all, where nobody reads while it is idle."""
        raw = self._raw
        if (
            raw is not None
            and self._reader is None
            and not self._paused
            and self._is_here
            and trio.current_time() - self._last_received > _POLL_SECONDS
        ):
            self._receive(raw)
