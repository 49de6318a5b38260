"""trio's port: whoever waits, reads.

How this works. No task belongs to a connection. The first task that waits for something holds the *baton*: it reads the
socket and feeds the engine for all, until what it waits for has happened; then, or when it leaves for any other reason,
the baton passes synchronously to another waiting task, its heir. An heir that finds nothing to wait for any more passes
it on, and so does a task that is called away to cancel something. What has to be written is written at once as far as
the socket takes it; the rest is written by the holder of the baton while it reads, since a server that cannot write
stops reading. A cancelled task loses nothing: bytes that were not written keep their place in the outbox.

`async with connect()` and the pool have a nursery, in which a reader of the lowest priority waits when nobody else
does. While the engine asks not to be fed (`reading_paused`) nobody reads; the next task that waits looks again.
"""

import base64
import contextlib
import inspect
import logging
import math
import os
import secrets
import socket
import stat
import sys
import time
import warnings
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from threading import get_ident
from types import TracebackType
from typing import Any, Final, TypeVar, cast

import trio

from pgsansio.client.port import Address, BinaryFile, FilePath, GssContext, Port, PortEvent, TaskHandle
from pgsansio.engine.driven import Engine
from pgsansio.engine.operations import Operation
from pgsansio.enums import CANCEL_GRACE, Outcome
from pgsansio.errors import InterfaceError
from pgsansio.policy.conninfo import TcpAddress, UnixAddress
from pgsansio.policy.gss import GssTarget
from pgsansio.policy.tcp_options import TcpOptions
from pgsansio.policy.tls_settings import TlsSettings
from pgsansio.tls import TlsEngine
from pgsansio.types.tls import TlsInfo
from pgsansio_trio.gss import gss_context
from pgsansio_trio.nursery import OwnNursery
from pgsansio_trio.origin import called_from
from pgsansio_trio.tcp import numeric_host, tcp_socket, tcp_target
from pgsansio_trio.tls import tls_context, tls_engine
from pgsansio_trio.unix import peer_user

__all__ = ["TrioPort"]

T = TypeVar("T")

#: Below this much unwritten, `outbox_low` returns.
_LOW_WATER_BYTES: Final = 65536
_PENDING: Final = Outcome.PENDING
_ORIGIN_HINT: Final = "run Python with -X dev to show the traceback of connection origin"
#: A connection that nobody has used for so long is read by its nursery's task.
_IDLE_SECONDS: Final = 0.005
#: Without a nursery the socket is looked at before it is used, if nobody has looked at it for so long.
_POLL_SECONDS: Final = 0.001
_MAX_FILE_BYTES: Final = 1 << 20
_WOULD_BLOCK: Final = (BlockingIOError, InterruptedError)

_logger: Final = logging.getLogger(__name__)

_forks = 0


def _forked() -> None:
    global _forks  # noqa: PLW0603 - one process, one number
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class TrioPort:
    """A connection's port on the running trio loop. Contracts: `pgsansio.client.port`."""

    has_tls = True
    has_tasks = True
    has_checkpoints = True

    def __init__(self, nursery: trio.Nursery | None = None) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread = get_ident()
        self._forks = _forks
        self.origin = f"created at:\n{called_from()}" if sys.flags.dev_mode else _ORIGIN_HINT
        self._engine: Engine = cast(Engine, None)
        self._tls: TlsEngine | None = None
        self._tcp_options = TcpOptions()
        self._raw: socket.socket | None = None
        self._outbox: deque[memoryview] = deque()
        self._outbox_bytes = 0
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
        #: When somebody last looked for bytes.
        self._last_received = -math.inf
        #: Parked tasks that wait for the outbox to get low.
        self._low_waiters: set[trio.lowlevel.Task] = set()
        self._nursery: trio.Nursery | None = None
        #: Callbacks that are due, and whether a task calls them.
        self._calls: deque[tuple[Callable[..., Any], tuple[object, ...]]] = deque()
        self._calling = False
        self.on_news: Callable[[], None] | None = None
        self.on_cancel_due: Callable[[], Awaitable[None]] | None = None
        if nursery is not None:
            self.use_nursery(nursery)

    def use_nursery(self, nursery: trio.Nursery) -> None:
        """Read in this nursery while no task waits, and run there what is due then."""
        self._nursery = nursery

    @property
    def reads_when_idle(self) -> bool:
        return self._nursery is not None

    # waiting

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

    def _receive(self, raw: socket.socket) -> None:
        """One non-blocking read into the engine, and everything that follows from it."""
        engine = self._engine
        self._last_received = trio.current_time()
        try:
            size = raw.recv_into(engine.get_buffer(-1))
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self._lost(error)
            return
        if size:
            engine.bytes_received(size)
        else:
            engine.receive_eof()
            self._close_socket()
        self._fed()

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

    def _lost(self, cause: BaseException | None) -> None:
        self._close_socket()
        self._engine.connection_lost(cause)
        self._fed()

    def _send(self) -> None:
        """Write what the socket takes at once."""
        self._send_some()
        if self._outbox:
            raw = self._raw
            if raw is not None and self._reader is not None and not self._writing:
                # Whoever reads has to wait for the socket to be writable, too, or the server may wait for us, and we
                # for it. This wakes it up, as it would if the socket were about to be closed.
                trio.lowlevel.notify_closing(raw)
        if self._low_waiters and self._outbox_bytes <= _LOW_WATER_BYTES:
            for task in list(self._low_waiters):
                self._resume(task)

    def _send_some(self) -> None:
        data = self._engine.data_to_send()
        raw = self._raw
        if not data and not self._outbox:
            return
        if raw is None:
            self._outbox.clear()
            self._outbox_bytes = 0
            return
        if data:
            if not self._outbox:
                try:
                    sent = raw.send(data)
                except _WOULD_BLOCK:
                    sent = 0
                except OSError as error:
                    self._write_failed(raw, error)
                    return
                if sent == len(data):
                    return
                self._outbox.append(memoryview(data)[sent:])
                self._outbox_bytes += len(data) - sent
                return
            self._outbox.append(memoryview(data))
            self._outbox_bytes += len(data)
        try:
            while self._outbox:
                sent = raw.send(self._outbox[0])
                self._outbox_bytes -= sent
                if sent < len(self._outbox[0]):
                    self._outbox[0] = self._outbox[0][sent:]
                    return
                self._outbox.popleft()
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self._write_failed(raw, error)

    def _write_failed(self, raw: socket.socket, error: OSError) -> None:
        """The server has gone; what it said before that is still to be read (57P01, usually)."""
        error.__traceback__ = None  # its frames have what was to be sent: a password, perhaps
        self._outbox.clear()
        self._outbox_bytes = 0
        engine = self._engine
        while self._raw is raw and not engine.ended:
            try:
                size = raw.recv_into(engine.get_buffer(-1))
            except OSError:
                break
            if not size:
                break
            engine.bytes_received(size)
        self._lost(error)

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

    def flush(self) -> None:
        if self._forks == _forks:
            self._send()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    def deadline(self, at: float | None) -> AbstractAsyncContextManager[Any]:
        return _Deadline(at)

    async def owe(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        scope = trio.CancelScope(shield=True, deadline=trio.current_time() + min(seconds, CANCEL_GRACE))
        with scope, contextlib.suppress(OSError):
            await work()

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
            and self._forks == _forks
            and trio.lowlevel.in_trio_run()
            and trio.lowlevel.current_trio_token() is self._token
            and trio.current_time() - self._last_received > _POLL_SECONDS
        ):
            self._receive(raw)

    # the transport

    async def resolve(self, host: str, port: int) -> list[TcpAddress]:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(TcpAddress(numeric_host(entry[4]), port) for entry in found))

    def set_tcp_options(self, options: TcpOptions) -> None:
        self._tcp_options = options

    async def open_stream(self, address: Address, engine: Engine) -> None:
        target: Any
        if isinstance(address, UnixAddress):
            target, raw = address.path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            target, raw = tcp_target(address.host, address.port), tcp_socket(address.host, self._tcp_options)
        try:
            await trio.socket.from_stdlib_socket(raw).connect(target)
        except BaseException:
            raw.close()
            raise
        self.drive(engine)
        self._raw = raw
        self._send()

    def peer_user(self) -> str | None:
        return None if self._raw is None else peer_user(self._raw)

    def drive(self, engine: Engine) -> None:
        # If the connection has ended meanwhile, whoever waits finds no socket.
        if self._tls is not None:
            self._tls.inner = engine
        else:
            self._engine = engine

    async def tls_context(self, settings: TlsSettings) -> object:
        # Files may be far away, and connecting has a time limit.
        return await trio.to_thread.run_sync(tls_context, settings, abandon_on_cancel=True)

    async def start_tls(self, context: object, server_hostname: str | None) -> TlsInfo:
        self._engine = self._tls = tls = tls_engine(self._engine, context, server_hostname)
        await self.wait(tls.handshake)
        if tls.info is None:
            assert tls.handshake.error is not None
            raise tls.handshake.error
        return tls.info

    async def close(self) -> None:
        if self._raw is not None:
            try:
                await self._drain(0)
            finally:
                self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        raw = self._raw
        if raw is None:
            return
        if self._forks != _forks:
            # Here in the child the connection is the parent's: only the descriptor is ours.
            self._raw = None
            raw.close()
        else:
            self._lost(None)

    def _close_socket(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            if trio.lowlevel.in_trio_run():  # after its end nobody is left to be told
                trio.lowlevel.notify_closing(raw)
            raw.close()
        self._paused = False
        self._pass_baton()

    def sibling(self) -> "TrioPort":
        return type(self)()

    # the world

    def guard(self) -> None:
        if self._forks != _forks:
            raise InterfaceError(
                f"cannot use a connection of process {os.getppid()} in its forked child {os.getpid()}",
                hint="Connect after the fork.",
            )
        try:
            running = trio.lowlevel.current_trio_token()
        except RuntimeError:
            running = None
        if running is not self._token:
            raise InterfaceError(
                f"cannot use a connection of the trio run {id(self._token):#x} "
                + (f"in the run {id(running):#x}" if running is not None else "outside of it, or in another thread"),
                hint="A connection belongs to the run and the thread that it was made in.",
            )
        if self._nursery is None:
            self.poll()

    def guard_thread(self) -> None:
        if self._thread != get_ident() and self._forks == _forks:
            raise InterfaceError(
                "cannot close a connection of another thread",
                hint="A connection belongs to the loop and the thread that it was made in.",
            )

    def task(self) -> object:
        return trio.lowlevel.current_task()

    def clock(self) -> float:
        return trio.current_time()

    def stopwatch(self) -> float:
        return time.perf_counter()

    def nonce(self) -> str:
        return base64.b64encode(secrets.token_bytes(18)).decode()

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        # Most machines have no such file, and a thread takes much longer than this question.
        if not os.path.exists(path):  # noqa: ASYNC240
            return None
        # It may be far away, and connecting has a time limit.
        return await trio.to_thread.run_sync(_read_small, path, private, abandon_on_cancel=True)

    async def open_file(self, path: FilePath, *, writing: bool) -> BinaryFile:
        # A thread that has begun is waited for, whatever is cancelled.
        return cast(BinaryFile, await trio.to_thread.run_sync(open, path, "wb" if writing else "rb"))

    async def run_elsewhere(self, function: Callable[[], T], *, may_abandon: bool = False) -> T:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=may_abandon)

    def gss_context(self, target: GssTarget) -> GssContext:
        return gss_context(target)

    async def call_user(self, function: Callable[..., Any], *arguments: object) -> Any:
        result = function(*arguments)
        if inspect.isawaitable(result):
            return await result
        await trio.lowlevel.checkpoint()
        return result

    def deliver(self, callback: Callable[..., Any], *arguments: object) -> None:
        self._calls.append((callback, arguments))
        if not self._calling:
            self._begin_calling()

    def _begin_calling(self) -> None:
        if trio.lowlevel.in_trio_run():  # after its end nobody is left to call anybody
            self._calling = True
            self._start_soon(self._call_due)

    async def _call_due(self) -> None:
        """One after the other, since trio begins tasks in any order; those that wait go on beside each other."""
        try:
            while self._calls:
                callback, arguments = self._calls.popleft()
                result = callback(*arguments)
                if inspect.isawaitable(result):
                    self._start_soon(_await, result)
        finally:
            self._calling = False
            if self._calls:
                self._begin_calling()

    def _start_soon(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """A task in the nursery; without one, what it raises has nowhere to go but the log."""
        if self._nursery is not None:
            self._nursery.start_soon(function, *arguments)
            return

        async def alone() -> None:
            try:
                await function(*arguments)
            except Exception:
                _logger.exception("Exception in a callback of a connection without a nursery")

        trio.lowlevel.spawn_system_task(alone)

    # ConcurrentPort

    def tasks(self) -> "_Tasks":
        return _Tasks()

    def start_task(self, work: Callable[[], Awaitable[None]]) -> TaskHandle:
        assert self._nursery is not None
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await work()

        self._nursery.start_soon(run)
        return scope

    def event(self) -> PortEvent:
        return trio.Event()

    def keep_reading(self, other: Port) -> None:
        assert self._nursery is not None and isinstance(other, TrioPort)  # noqa: PT018
        other.use_nursery(self._nursery)
        self._nursery.start_soon(other.read_when_idle)


class _Tasks:
    """A block with tasks of its own."""

    def __init__(self) -> None:
        self._nursery = OwnNursery()

    async def __aenter__(self) -> Callable[[Callable[[], Awaitable[None]]], object]:
        return (await self._nursery.open()).start_soon

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._nursery.close(exc)


class _Deadline:
    """A cancel scope whose expiry is a TimeoutError."""

    def __init__(self, at: float | None) -> None:
        self._scope = trio.CancelScope(deadline=math.inf if at is None else at)

    async def __aenter__(self) -> None:
        self._scope.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        swallowed = self._scope.__exit__(exc_type, exc, traceback)
        if self._scope.cancelled_caught:
            raise TimeoutError
        return swallowed


async def _await(awaitable: Awaitable[object]) -> None:
    await awaitable


def _read_small(path: str, private: bool) -> str | None:
    try:
        # First of all: to open a named pipe would wait for whoever writes into it.
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) or (private and os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO)):
            warnings.warn(
                f"{path} is ignored: it is expected to be a plain file that nobody else can access", stacklevel=2
            )
            return None
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError:
        return None
