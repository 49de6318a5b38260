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
from trio.lowlevel import checkpoint, current_task, current_trio_token, wait_readable, wait_task_rescheduled

from pgsansio.engine.operations import Operation
from pgsansio.enums import CANCEL_GRACE, Outcome
from pgsansio_trio import place
from pgsansio_trio.delivery import Delivery
from pgsansio_trio.transport import Transport

__all__ = ["Baton"]

#: Below this much unwritten, `outbox_low` returns.
_LOW_WATER_BYTES: Final = 65536
_PENDING: Final[Outcome] = Outcome.PENDING
#: A connection that nobody has used for so long is read by its nursery's task.
_IDLE_SECONDS: Final = 0.005
#: How seldom that task looks whether the connection is still in use. (To be woken takes as long as half a query does.)
_BUSY_SECONDS: Final = 0.04
#: Without a nursery the socket is looked at before it is used, if nobody has looked at it for so long.
_POLL_SECONDS: Final = 0.001


class Baton(Transport):
    """A transport that tasks wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._nursery: trio.Nursery | None = None
        self._delivery = Delivery()
        #: A task reads.
        self._reading = False
        #: The task that was woken to read next, and has not run yet.
        self._heir: trio.lowlevel.Task | None = None
        #: Those that wait until another one has read, in order.
        self._parked: dict[trio.lowlevel.Task, Operation | None] = {}
        #: The holder of the baton waits for the socket to be writable, too.
        self._writing = False
        #: The engine asked not to be fed.
        self._paused = False
        #: `on_cancel_due` runs.
        self._cancelling = False
        #: Parked tasks that wait for the outbox to get low.
        self._low_waiters: set[trio.lowlevel.Task] = set()
        #: The nursery's task, while it does nothing, and what it is to wait for.
        self._resting: trio.lowlevel.Task | None = None
        self._expected: Operation | None = None
        self.on_news: Callable[[], None] | None = None
        self.on_cancel_due: Callable[[], Awaitable[None]] | None = None

    def guard(self) -> None:
        try:
            if current_trio_token() is not self._token or self._forks != place.forks:
                raise self._misplaced()
        except RuntimeError:
            raise self._misplaced() from None
        if self._nursery is None and self.clock() - self._last_received > _POLL_SECONDS:
            self._look()

    async def wait(self, operation: Operation, *, settled: bool = True) -> None:
        """Read, or let another task read, until the operation is settled or (not `settled`) has news.

        In the steady state this is the one frame between the query and trio, and it waits for the socket once.
        """
        if operation.outcome is not _PENDING or (operation.attention and not settled):
            await checkpoint()
            return
        engine = self._engine
        if self._paused:
            self._paused = engine.reading_paused
        data = engine.data_to_send()
        if data or self._outbox:
            self._write(data)
        holds_baton = False
        try:
            while operation.outcome is _PENDING and (settled or not operation.attention):
                # (Nothing can be in the way of what was written.)
                if (operation.abandoned or not operation.written) and self._cancel_is_due():
                    if holds_baton:
                        holds_baton = self._reading = False
                    await self._cancel()
                elif self._paused or (self._reading and not holds_baton):
                    if holds_baton:
                        holds_baton = self._reading = False
                    await self._park(operation)
                else:
                    holds_baton = self._reading = True
                    raw = self._raw
                    if raw is None:
                        await checkpoint()
                        self._lost(None)
                        continue
                    if self._outbox:
                        await self._ready(raw)
                    else:
                        try:
                            await wait_readable(raw)
                        except trio.ClosedResourceError:
                            pass
                    if self._raw is raw:
                        self._receive(raw)
        finally:
            if holds_baton:
                self._reading = False
            if self._parked:
                self._pass_baton()

    async def progress(self, operation: Operation) -> None:
        await self.wait(operation, settled=False)

    async def _ready(self, raw: socket.socket) -> None:
        """Until the socket can be read, or something that waited for it was written; or until it was closed."""
        if not self._outbox:
            with contextlib.suppress(trio.ClosedResourceError):
                await wait_readable(raw)
            return
        self._writing = True
        try:
            async with trio.open_nursery() as nursery:

                async def until(ready: Callable[[socket.socket], Awaitable[None]]) -> None:
                    if self._raw is raw:  # not closed before this task ran
                        with contextlib.suppress(trio.ClosedResourceError):
                            await ready(raw)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, wait_readable)
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
            await checkpoint()
        else:
            await self._carry_out_cancel()

    async def _carry_out_cancel(self) -> None:
        assert self.on_cancel_due is not None
        try:
            if self._engine.cancel_due:  # not, if the connection has ended before this task began
                await self.owe(self.on_cancel_due, CANCEL_GRACE)
        finally:
            self._cancelling = False

    async def owe(self, work: Callable[[], Awaitable[None]], seconds: float, *, lingers: bool = False) -> None:
        del lingers  # all of it is done here
        scope = trio.CancelScope(shield=True, deadline=self.clock() + min(seconds, CANCEL_GRACE))
        with scope, contextlib.suppress(OSError):
            await work()

    async def _park(self, operation: Operation | None) -> None:
        """Wait until this operation has news or the baton is free."""
        task = current_task()
        self._parked[task] = operation
        if operation is not None:
            waiter = operation.waiter
            if waiter is None:
                operation.waiter = task
            elif isinstance(waiter, list):
                operation.waiter = [*cast("list[object]", waiter), task]
            else:
                operation.waiter = [waiter, task]

        def abort(_: object) -> trio.lowlevel.Abort:
            self._unpark(task)
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            await wait_task_rescheduled(abort)
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
        if self._parked and not self._reading and self._heir is None and not self._paused:
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
        data = engine.data_to_send()
        if data or self._outbox:
            self._write(data)

    def _written(self) -> None:
        if self._outbox:
            raw = self._raw
            if raw is not None and self._reading and not self._writing:
                # Whoever reads has to wait for the socket to be writable, too, or the server may wait for us, and we
                # for it. This wakes it up, as it would if the socket were about to be closed.
                trio.lowlevel.notify_closing(raw)
        if self._outbox_bytes <= _LOW_WATER_BYTES:
            self._resume_low_waiters()

    def _closed(self) -> None:
        self._paused = False
        self._resume_low_waiters()
        self._pass_baton()

    def _resume_low_waiters(self) -> None:
        for task in list(self._low_waiters):
            self._resume(task)

    async def outbox_low(self) -> None:
        await checkpoint()
        await self._drain(_LOW_WATER_BYTES)

    async def _drain(self, size_bytes: int) -> None:
        """Until no more than this is unwritten."""
        self._send()
        task = current_task()
        try:
            while self._outbox_bytes > size_bytes and (raw := self._raw) is not None:
                if self._cancel_is_due():
                    await self._cancel()
                    continue
                if self._reading:
                    self._low_waiters.add(task)
                    try:
                        await self._park(None)
                    finally:
                        self._low_waiters.discard(task)
                    continue
                self._reading = True
                try:
                    await self._ready(raw)
                    if self._raw is raw:
                        self._receive(raw)
                finally:
                    self._reading = False
        finally:
            self._pass_baton()

    async def read_when_idle(self) -> None:
        """Read while no other task does, until the connection ends. For the connection's nursery.

        It steps in some milliseconds after the last task that waited has gone, and steps back when another one has
        come: to be woken, or to read for it, would cost every query a change of tasks.
        """
        pause = _IDLE_SECONDS
        while (raw := self._raw) is not None:
            last_received = self._last_received
            is_wanted = not (self._reading or self._parked or self._paused)
            if not is_wanted or self.clock() - last_received < _IDLE_SECONDS:
                with trio.CancelScope(deadline=self.clock() + pause):
                    await self._rest()
                if self._last_received != last_received:
                    pause = min(2 * pause, _BUSY_SECONDS)
                elif self._reading or self._paused:
                    # Somebody waits for long: there is no need to look again and again until the baton is free.
                    await self._park(None)
                    self._pass_baton()
                continue
            pause = _IDLE_SECONDS
            if self._cancel_is_due():
                await self._cancel()
                continue
            self._reading = True
            try:
                while self._raw is raw and not self._parked and not self._cancel_is_due() and not self._paused:
                    await self._ready(raw)
                    is_used = bool(self._parked)
                    if self._raw is raw:
                        self._receive_and_call(raw)
                    if is_used:
                        break  # whoever comes next reads for himself
            finally:
                self._reading = False
                self._pass_baton()

    def _receive_and_call(self, raw: socket.socket) -> None:
        """In the nursery, where callbacks are called anyway: at once, and not by a task of their own."""
        delivery = self._delivery
        held = delivery.hold()
        try:
            self._receive(raw)
        finally:
            if held:
                delivery.call()

    async def _rest(self) -> None:
        """Do nothing, for ever, but wait for what is expected."""

        def abort(_: object) -> trio.lowlevel.Abort:
            self._resting = None
            return trio.lowlevel.Abort.SUCCEEDED

        while True:
            while (expected := self._expected) is not None:
                await self.wait(expected)
                if self._expected is expected:
                    self._expected = None
            self._resting = current_task()
            await wait_task_rescheduled(abort)

    def expect(self, operation: Operation) -> None:
        self._expected = operation  # what was expected before is answered before
        task = self._resting
        if task is not None:
            self._resting = None
            trio.lowlevel.reschedule(task)

    def poll(self) -> None:
        if self._is_here() and self.clock() - self._last_received > _POLL_SECONDS:
            self._look()

    def _look(self) -> None:
        """Look for what has arrived, the end of the connection above all, where nobody reads while it is idle."""
        raw = self._raw
        if raw is not None and not self._reading and not self._paused:
            self._receive(raw)
