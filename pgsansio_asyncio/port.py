"""asyncio's port: one connection's transport, and what its tasks wait for.

How this works. The transport pushes received bytes into the engine's buffer (`BufferedProtocol`, so that nothing is
copied or allocated for a read) and `buffer_updated` resolves the future of each operation that this settled. One future
per operation, and a timer only where there is a time limit. Writing goes to the transport at once; only when other
operations are in flight already does it wait for the end of this turn of the loop, so that what many tasks submit
together goes out in one write.
"""

import asyncio
import base64
import contextlib
import errno
import inspect
import os
import secrets
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from threading import get_ident
from types import FunctionType, MethodType
from typing import Any, Final, TypeVar, cast

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
from pgsansio_asyncio.blocks import Deadline, Tasks
from pgsansio_asyncio.files import read_small
from pgsansio_asyncio.gss import gss_context
from pgsansio_asyncio.origin import called_from
from pgsansio_asyncio.tcp import numeric_host, tcp_socket, tcp_target
from pgsansio_asyncio.tls import tls_context, tls_engine
from pgsansio_asyncio.unix import peer_user

__all__ = ["AsyncioPort"]

T = TypeVar("T")

#: Below this much unwritten, `outbox_low` returns.
_LOW_WATER_BYTES: Final = 65536
#: How long what is left may take to be written after the connection has ended.
_LINGER_SECONDS: Final = 10.0
#: How long cancelling what is in the way may take before the connection is given up.
_CANCEL_SECONDS: Final = 10.0
_PENDING: Final = Outcome.PENDING
#: What a socket that does not block says while it connects.
_CONNECTING: Final = (errno.EINPROGRESS, errno.EINTR)
_ORIGIN_HINT: Final = "run in asyncio debug mode to show the traceback of connection origin"

_forks = 0


def _forked() -> None:
    global _forks  # noqa: PLW0603 - one process, one number
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class AsyncioPort(asyncio.BufferedProtocol):
    """A connection's port on the running asyncio loop (uvloop's, too). Contracts: `pgsansio.client.port`."""

    reads_when_idle = True
    has_tls = True
    has_tasks = True
    has_checkpoints = False

    # What most connections never change, or not until they are open.
    on_news: Callable[[], None] | None = None
    on_cancel_due: Callable[[], Awaitable[None]] | None = None
    _engine: Engine = cast(Engine, None)
    _tls: TlsEngine | None = None
    _tcp_options = TcpOptions()
    _transport: asyncio.Transport | None = None
    _connected = False
    _flush_scheduled = False
    _reading_paused = False
    _told_of_end = False
    #: Functions that are to be called when what was read is dealt with; None: nothing is.
    _calls: list[tuple[Callable[..., Any], tuple[object, ...]]] | None = None
    origin = _ORIGIN_HINT

    def __init__(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._create_future = loop.create_future
        self._is_running = loop.is_running
        #: A call less than a method of ours.
        self.clock = loop.time
        self._thread = get_ident()
        self._forks = _forks
        if loop.get_debug():
            self.origin = f"created at:\n{called_from()}"
        self._low_waiters: list[asyncio.Future[None]] = []
        #: Of who waits for the end of the connection.
        self._close_waiters: list[asyncio.Future[None]] = []
        #: Those of the operations' waiters that wait for progress.
        self._watching: set[Awaitable[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connected = True
        self._use(self._engine)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._engine.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        engine = self._engine
        engine.bytes_received(nbytes)
        calls = None
        if engine.news:
            calls = self._calls = []
            self._tell()
            self._calls = None
        woken = engine.completed()
        is_scheduled = self._flush_scheduled
        if woken:
            # What the tasks submit now goes out in one write, below.
            self._flush_scheduled = True
            self._resume(woken)
            self._flush_scheduled = is_scheduled
        if not is_scheduled:
            data = self._engine.data_to_send()  # a task may have started TLS
            if data and self._connected:
                self._transport.write(data)  # type: ignore[union-attr]
        if calls:
            self._call(calls)

    def _call(self, calls: list[tuple[Callable[..., Any], tuple[object, ...]]]) -> None:
        """Call back at once what has come up in a callback of the loop, and not in the next turn of the loop."""
        for callback, arguments in calls:
            try:
                copy_context().run(callback, *arguments)
            except Exception as error:
                # As the loop does with what it calls.
                context = {"message": f"Exception in callback {callback!r}", "exception": error}
                self._loop.call_exception_handler(context)
            except BaseException as error:
                self._loop.call_soon(_raise, error)

    def _resume(self, woken: list[Operation]) -> None:
        """Let each task whose operation is settled, or has news for it, go on at once, and not in the next turn of the
        loop.

        That turn would be most of what the loop costs for a query. A task cannot tell: it goes on inside of a callback
        of the loop, as always, in its own context, and until it waits again.
        """
        for operation in woken:
            waiter = operation.waiter
            if waiter is None:
                continue
            if operation.outcome is _PENDING and (type(waiter) is list or waiter not in self._watching):
                self._news_of(operation)  # somebody waits for its end, too
                continue
            operation.waiter = None
            if type(waiter) is list:
                _wake(waiter)
            elif not waiter.done():  # a cancelled task has cancelled the future it awaits
                callbacks = waiter._callbacks
                if not callbacks:
                    waiter.set_result(None)
                    continue
                wakeup, context = callbacks[0]
                waiter.remove_done_callback(wakeup)
                waiter.set_result(None)
                try:
                    context.run(wakeup, waiter)
                except RuntimeError:
                    # A task has called us, by running the loop or feeding us itself, and only one can run.
                    self._loop.call_soon(wakeup, waiter, context=context)
                except BaseException as error:
                    # The task's SystemExit or KeyboardInterrupt, for whoever runs the loop. A transport would not let
                    # it through.
                    self._loop.call_soon(_raise, error)

    def eof_received(self) -> bool:
        self._engine.receive_eof()
        self._fed()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected = False
        if exc is not None:
            exc.__traceback__ = None  # its frames have what was to be sent: a password, perhaps
        if exc is not None:
            self._read_the_rest()
        self._engine.connection_lost(exc)
        self._fed()
        self._resume_writing()
        _wake(self._close_waiters)

    def _read_the_rest(self) -> None:
        """Writing failed, since the server has gone; why it has is still to be read (57P01 or an alert of TLS).

        The transport has stopped reading, but closes its socket only after this.
        """
        engine = self._engine
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is None or self._forks != _forks:
            return
        with contextlib.suppress(OSError), sock.dup() as raw:
            raw.setblocking(False)
            while not engine.ended and (size := raw.recv_into(engine.get_buffer(-1))):
                engine.bytes_received(size)

    def pause_writing(self) -> None:
        """`outbox_low` asks the transport; nothing to remember."""

    def resume_writing(self) -> None:
        self._resume_writing()

    def _resume_writing(self) -> None:
        waiters, self._low_waiters = self._low_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _fed(self) -> None:
        """What `buffer_updated` does, when there were no bytes."""
        if self._engine.news:
            self._tell()
        for operation in self._engine.completed():
            waiter = operation.waiter
            if waiter is not None:
                if operation.outcome is _PENDING:
                    self._news_of(operation)
                    continue
                operation.waiter = None
                _wake(waiter)

    def _news_of(self, operation: Operation) -> None:
        """It goes on: wake who asked for its progress, but not who waits for its end."""
        waiter = operation.waiter
        waiting = cast("list[asyncio.Future[None]]", waiter if isinstance(waiter, list) else [waiter])
        operation.waiter = [future for future in waiting if future not in self._watching] or None
        for future in waiting:
            if future in self._watching:
                _wake(future)

    def _tell(self) -> None:
        if self._told_of_end:
            return
        if self.on_news is not None:
            self.on_news()
        engine = self._engine
        if engine.ended:
            self._told_of_end = True
            transport = self._transport
            if transport is not None and not transport.is_closing():
                data = engine.data_to_send()
                if data:
                    transport.write(data)
                transport.close()
                if transport.get_write_buffer_size():
                    # A server that has stopped reading would keep the socket, and what was to be written, for ever.
                    self._loop.call_later(_LINGER_SECONDS, self._stop_lingering)
        elif engine.cancel_due:
            if self.on_cancel_due is not None:
                self._start(self.on_cancel_due, _CANCEL_SECONDS)
        elif engine.reading_paused and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _stop_lingering(self) -> None:
        if self._connected and self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and self._connected:
            transport.write(data)

    def _flush(self) -> None:
        self._flush_scheduled = False
        data = self._engine.data_to_send()
        if data:
            self._write(data)

    # waiting

    def wait(self, operation: Operation) -> Awaitable[None]:
        future = self._create_future()
        if operation.outcome is not _PENDING:
            future.set_result(None)
            return future
        waiter = operation.waiter
        if waiter is None:
            operation.waiter = future
        elif isinstance(waiter, list):
            cast("list[asyncio.Future[None]]", waiter).append(future)
        else:
            operation.waiter = [waiter, future]
        if self._reading_paused and not self._engine.reading_paused:
            self._reading_paused = False
            if self._transport is not None and self._connected:
                self._transport.resume_reading()
        if not self._flush_scheduled:
            engine = self._engine
            if engine.busy:
                self._flush_scheduled = True
                self._loop.call_soon(self._flush)
            else:
                data = engine.data_to_send()
                if data:
                    self._transport.write(data)  # type: ignore[union-attr]
        return future

    async def progress(self, operation: Operation) -> None:
        while not operation.attention and operation.outcome is _PENDING:
            future = self.wait(operation)
            self._watching.add(future)
            try:
                await future
            finally:
                self._watching.discard(future)

    async def outbox_low(self) -> None:
        self._flush()
        transport = self._transport
        if transport is None or not self._connected or transport.get_write_buffer_size() <= _LOW_WATER_BYTES:
            await asyncio.sleep(0)
            return
        waiter = self._create_future()
        self._low_waiters.append(waiter)
        await waiter

    def poll(self) -> None:
        """The transport reads all the time."""

    def flush(self) -> None:
        if self._forks == _forks:
            self._flush()

    async def checkpoint(self) -> None:
        """asyncio has no such thing: a task that need not wait goes on."""

    def deadline(self, at: float | None) -> AbstractAsyncContextManager[Any]:
        return Deadline(self._loop, at)

    async def owe(self, work: Callable[[], Awaitable[None]], seconds: float, *, lingers: bool = False) -> None:
        task = self._start(work, seconds)
        if not lingers:
            return
        # The end of the loop, by Ctrl-C for example, cancels all tasks, and waits for those that there are then.
        # A cancellation is on its way up already, and anyio repeats it at each await.
        at = self._loop.time() + CANCEL_GRACE
        while not task.done() and (seconds := at - self._loop.time()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=seconds)

    def _start(self, work: Callable[[], Awaitable[None]], seconds: float) -> "asyncio.Task[None]":
        async def supervised() -> None:
            # What `work` could not do it has answered by closing the connection: there is nobody to tell more.
            with contextlib.suppress(OSError):  # TimeoutError is one
                async with asyncio.timeout(seconds):
                    await work()

        task = self._loop.create_task(supervised())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # the transport

    async def resolve(self, host: str, port: int) -> list[TcpAddress]:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(TcpAddress(numeric_host(entry[4]), port) for entry in found))

    def set_tcp_options(self, options: TcpOptions) -> None:
        self._tcp_options = options

    async def open_stream(self, address: Address, engine: Engine) -> None:
        self.drive(engine)
        if isinstance(address, UnixAddress):
            await self._loop.create_unix_connection(lambda: self, address.path)
        else:
            raw = tcp_socket(address.host, self._tcp_options)
            try:
                await self._connect(raw, tcp_target(address.host, address.port))
                await self._loop.create_connection(lambda: self, sock=raw)
            except BaseException:
                raw.close()
                raise
        self._flush()

    async def _connect(self, raw: socket.socket, target: tuple[Any, ...]) -> None:
        if sys.platform == "win32":  # where the loop has no writers
            await self._loop.sock_connect(raw, target)
            return
        # What sock_connect does, which first looks for the address's address: a tenth of a millisecond with uvloop.
        error = raw.connect_ex(target)
        if error in _CONNECTING:
            connected = self._create_future()
            self._loop.add_writer(raw, _wake, connected)
            try:
                await connected
            finally:
                self._loop.remove_writer(raw)
            error = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"Connect call failed {target}")

    def peer_user(self) -> str | None:
        raw = None if self._transport is None else self._transport.get_extra_info("socket")
        return peer_user(raw) if self._connected and raw is not None else None

    def drive(self, engine: Engine) -> None:
        if self._tls is not None:
            self._tls.inner = engine
        else:
            self._use(engine)
        if self._transport is not None and not self._connected:
            engine.connection_lost(None)

    def _use(self, engine: Engine) -> None:
        self._engine = engine
        self._told_of_end = False
        if self._transport is not None:
            # A call less for asyncio, which asks the protocol each time. uvloop has kept the method of before
            # `connection_made`, which must therefore be the class's.
            self.get_buffer = engine.get_buffer  # type: ignore[method-assign, assignment]

    async def tls_context(self, settings: TlsSettings) -> object:
        return await asyncio.to_thread(tls_context, settings)

    async def start_tls(self, context: object, server_hostname: str | None) -> TlsInfo:
        self._tls = tls = tls_engine(self._engine, context, server_hostname)
        self._use(tls)
        if not self._connected:
            tls.connection_lost(None)
        await self.wait(tls.handshake)
        if tls.info is None:
            assert tls.handshake.error is not None
            raise tls.handshake.error
        return tls.info

    async def close(self) -> None:
        transport = self._transport
        if transport is None or not self._connected:
            return
        self._flush()
        transport.close()
        waiter = self._create_future()
        self._close_waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            transport.abort()
            raise

    def abort(self) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._forks != _forks:
            # Here in the child the connection is the parent's: not a byte may be sent on it. The transport keeps its
            # descriptor's number, which therefore must not become another file's.
            with contextlib.suppress(OSError):
                sock = transport.get_extra_info("socket")
                if sock is not None and sock.fileno() >= 0:
                    nothing = os.open(os.devnull, os.O_RDWR)
                    os.dup2(nothing, sock.fileno(), inheritable=False)
                    os.close(nothing)
            return
        if not self._loop.is_closed():
            transport.abort()

    def sibling(self) -> "AsyncioPort":
        return type(self)()

    # the world

    def guard(self) -> None:
        if self._forks != _forks:
            raise InterfaceError(
                f"cannot use a connection of process {os.getppid()} in its forked child {os.getpid()}",
                hint="Connect after the fork.",
            )
        # Not asyncio.get_running_loop(), which asks the system for the process every time.
        if self._thread != get_ident() or not self._is_running():
            running = asyncio._get_running_loop()
            raise InterfaceError(
                f"cannot use a connection of the event loop {self._loop!r} "
                + (f"in {running!r}" if running is not None else "outside of it, or in another thread"),
                hint="A connection belongs to the loop and the thread that it was made in.",
            )

    def guard_thread(self) -> None:
        if self._thread != get_ident() and self._forks == _forks:
            raise InterfaceError(
                "cannot close a connection of another thread",
                hint="A connection belongs to the loop and the thread that it was made in.",
            )

    def task(self) -> object:
        return asyncio.current_task()

    def stopwatch(self) -> float:
        return time.perf_counter()  # uvloop's time goes on by milliseconds

    def nonce(self) -> str:
        return base64.b64encode(secrets.token_bytes(18)).decode()

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        # Most machines have no such file, and a thread takes much longer than this question.
        if not os.path.exists(path):  # noqa: ASYNC240
            return None
        return await asyncio.to_thread(read_small, path, private)

    async def open_file(self, path: FilePath, *, writing: bool) -> BinaryFile:
        opening = self._loop.run_in_executor(None, open, path, "wb" if writing else "rb")
        try:
            return cast(BinaryFile, await asyncio.shield(opening))
        except asyncio.CancelledError:
            # The thread goes on.
            opening.add_done_callback(_close_opened)
            raise

    async def run_elsewhere(self, function: Callable[[], T], *, may_abandon: bool = False) -> T:
        return await asyncio.to_thread(function)

    def gss_context(self, target: GssTarget) -> GssContext:
        return gss_context(target)

    async def call_user(self, function: Callable[..., Any], *arguments: object) -> Any:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    def deliver(self, callback: Callable[..., Any], *arguments: object) -> None:
        if _is_coroutine_function(callback):
            task = self._loop.create_task(callback(*arguments))
            self._tasks.add(task)
            task.add_done_callback(self._delivered)
        elif self._calls is not None:
            self._calls.append((callback, arguments))
        else:
            self._loop.call_soon(callback, *arguments)

    def _delivered(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # At once, and not when the task is forgotten.
            context = {"message": "Exception in a callback of a connection", "exception": error, "task": task}
            self._loop.call_exception_handler(context)

    # ConcurrentPort

    def tasks(self) -> Tasks:
        return Tasks(self._loop)

    def start_task(self, work: Callable[[], Awaitable[None]]) -> TaskHandle:
        async def run() -> None:
            await work()

        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return cast(TaskHandle, task)

    def event(self) -> PortEvent:
        return _Event(self._create_future)

    def keep_reading(self, other: Port) -> None:
        """The transport reads all the time."""

    def expect(self, operation: Operation) -> None:
        """The transport reads all the time."""


class _Event:
    """What asyncio.Event is, with a future in the place of a coroutine, for it is mostly waited for once."""

    __slots__ = ("_create_future", "_is_set", "_waiter")

    def __init__(self, create_future: "Callable[[], asyncio.Future[None]]") -> None:
        self._create_future = create_future
        self._is_set = False
        #: As of an operation.
        self._waiter: Any = None

    def set(self) -> None:
        self._is_set = True
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if type(waiter) is list:
                _wake(waiter)
            elif not waiter.done():
                waiter.set_result(None)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self) -> "asyncio.Future[None]":
        future = self._create_future()
        if self._is_set:
            future.set_result(None)
        elif self._waiter is None:
            self._waiter = future
        elif isinstance(self._waiter, list):
            cast("list[asyncio.Future[None]]", self._waiter).append(future)
        else:
            self._waiter = [self._waiter, future]
        return future


def _wake(waiter: Any) -> None:
    """Resolve one future, or each of a list; a cancelled task has cancelled the one it awaited."""
    if isinstance(waiter, list):
        for future in cast("list[asyncio.Future[None]]", waiter):
            _wake(future)
    elif not waiter.done():
        waiter.set_result(None)


def _is_coroutine_function(callback: Callable[..., Any]) -> bool:
    function = callback.__func__ if isinstance(callback, MethodType) else callback
    if type(function) is FunctionType and not function.__dict__:  # nor is it marked as one
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    # (inspect looks at all that it can be, which takes longer than what is left of a notification.)
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004


def _raise(error: BaseException) -> None:
    raise error


def _close_opened(opening: "asyncio.Future[Any]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
