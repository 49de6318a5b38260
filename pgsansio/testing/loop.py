"""A loop whose every step a test decides, and its port: no sockets, no threads, no clock but a number.

    loop = VirtualLoop(ScriptedServer())
    connection = loop.finish(loop.connect())
    task = loop.start(connection.fetch("SELECT 1"))
    loop.run()              # until nothing can go on
    task.result()

How this works. Everything a port awaits is a `Stop`: its task goes on when its condition holds. `VirtualLoop.step`
does one thing: it resumes a task that can go on; else it carries bytes one way between a port and its server; else the
clock jumps to the next deadline. When none of these can be done and the main task still waits, it would wait for ever:
`Stuck`. Before any step a test can `cancel` a task at its present await or `close` it there, or cut a connection.
Which of several things is done is the first one's turn, or what `choose` says.
"""

import math
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from pgsansio.client import Connection, Pool, connecting
from pgsansio.client.port import Address, BinaryFile, ConcurrentPort, FilePath, GssContext, Port, PortEvent, TaskHandle
from pgsansio.codecs.codec_set import CodecSet, codec_set
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.engine.driven import Engine
from pgsansio.engine.operations import Operation
from pgsansio.errors import InterfaceError
from pgsansio.kernel import Record
from pgsansio.policy.conninfo import TcpAddress, resolve_settings
from pgsansio.policy.gss import GssTarget
from pgsansio.policy.tcp_options import TcpOptions
from pgsansio.policy.tls_settings import TlsSettings
from pgsansio.testing.peer import Peer
from pgsansio.types.tls import TlsInfo

__all__ = ["DSN", "Cancelled", "FakeTls", "Stuck", "Task", "VirtualLoop", "VirtualPool", "VirtualPort"]

#: Where connections go that are not told where.
DSN: Final = "postgresql://postgres@server/postgres?sslmode=disable"

T = TypeVar("T")


class Cancelled(BaseException):
    """A loop's cancellation; neutral code has never heard of it."""


class Stuck(AssertionError):
    """A task waits for something that can never come."""


class Stop:
    """One await of a task."""

    def __init__(self, name: str, ready: Callable[[], bool]) -> None:
        self.name = name
        self.ready = ready

    def __await__(self) -> Generator["Stop", None, None]:
        yield self


class Task:
    """A coroutine that is stepped by hand."""

    def __init__(self, loop: "VirtualLoop", coroutine: Coroutine[Any, Any, Any]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._outcome: Any = None
        self._error: BaseException | None = None
        self.done = False
        self.stop: Stop | None = None
        self.deadlines: list[_Deadline] = []
        #: Nothing can be thrown into it from outside while this is not 0.
        self.shields = 0
        #: As trio and anyio cancel: each later await outside of shields is cancelled, too.
        self.cancelled_for_good = False
        self._pending: BaseException | None = None

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        assert self.done, "the task goes on"
        if self._error is not None:
            raise self._error
        return self._outcome

    @property
    def error(self) -> BaseException | None:
        return self._error

    @property
    def can_go_on(self) -> bool:
        return not self.done and (self.stop is None or self._pending is not None or self.stop.ready())

    def resume(self) -> None:
        pending, self._pending = self._pending, None
        self._step(self._coroutine.send if pending is None else self._coroutine.throw, pending)

    def close(self) -> None:
        """It is thrown away where it is: GeneratorExit; if it awaits anything after that, RuntimeError."""
        self._loop.current = self
        try:
            self._coroutine.close()
        finally:
            self._loop.current = None
            self.done = True

    def cancel(self, *, for_good: bool = False) -> None:
        """At its present await, or the next one that is not shielded; `for_good`: at all that follow, too."""
        self.cancelled_for_good = for_good
        if not self.shields:
            self._pending = Cancelled()

    def time_out(self) -> None:
        """The soonest of its time limits passes now, if there is one that counts here."""
        soonest = min(self.due(), key=lambda deadline: deadline.at, default=None)
        if soonest is not None:
            self._loop.now = max(self._loop.now, soonest.at)
            soonest.expire()

    def due(self) -> "list[_Deadline]":
        """Its time limits that may still pass, outside of shields that came later."""
        return [
            deadline
            for deadline in self.deadlines
            if not deadline.expired and deadline.shields == self.shields and deadline.at < math.inf
        ]

    def expire(self, deadline: "_Deadline") -> None:
        self._pending = _Expired(deadline)

    def _step(self, how: Callable[[Any], Any], value: Any) -> None:
        outer, self._loop.current = self._loop.current, self
        try:
            self.stop = how(value)
            if self.cancelled_for_good and not self.shields:
                self._pending = Cancelled()
        except StopIteration as finished:
            self.done, self._outcome = True, finished.value
        except BaseException as error:
            self.done, self._error = True, error
        finally:
            self._loop.current = outer


class VirtualLoop:
    """Tasks, connections and a clock.

    Args:
        make_peer: called with the address for each connection that is opened; its OSError is opening's.
        has_checkpoints: its ports have checkpoints (as trio's); else not (as asyncio's).
        inline: `owe` carries out what is owed in the task itself, shielded (as trio); else in another one (as asyncio).
        choose: told of how many things one may be done now, it says which (from 0). Default: always the first, so that
            tasks go before bytes, and older ones before younger.

    Attributes:
        now: what its ports' clock shows, in seconds.
        steps: how many were made; after `max_steps` `run` gives up.
        tasks: those that are not done.
        ports: of all connections that were opened, in order.
        current: the task that runs.
        failures: what tasks of the loop's own (owed, started, called back) raised.
    """

    #: More than any test needs.
    max_steps = 100_000

    def __init__(
        self,
        make_peer: Callable[[Address], Peer],
        *,
        inline: bool = False,
        has_checkpoints: bool = True,
        choose: Callable[[int], int] | None = None,
    ) -> None:
        self.make_peer = make_peer
        self.choose = choose
        self.has_checkpoints = has_checkpoints
        self.inline = inline
        self.now = 1000.0
        self.tasks: list[Task] = []
        self.ports: list[VirtualPort] = []
        self.current: Task | None = None
        #: Opens the files that a path is given for; there are none until a test has some.
        self.open_file: Callable[[FilePath, bool], BinaryFile] = _no_such_file
        #: Makes security contexts; there is no library for them until a test has one.
        self.gss_context: Callable[[GssTarget], GssContext] = _no_such_library
        #: Whether its ports have TLS. It changes nothing of the bytes: what is tested is who may say what, and when.
        self.tls: FakeTls | None = None
        #: Whose process is at the other end of its ports' Unix sockets.
        self.peer_user: str | None = None
        self.failures: list[BaseException] = []
        self.steps = 0

    def port(self) -> "VirtualPort":
        """A new one, without a connection."""
        return VirtualPort(self)

    async def connect(
        self,
        dsn: str | None = None,
        *,
        connection_class: type[Connection] = Connection,
        record_class: type[Any] = Record,
        codecs: CodecSet | Iterable[CodecDeclaration] = (),
        json: object = None,
        **settings: Any,
    ) -> Connection:
        """A connection; see `pgsansio_asyncio.connect` for the arguments. Nothing comes from the environment."""
        found = resolve_settings(
            dsn or DSN, environment={}, os_user="postgres", home=None, platform="linux", **settings
        )
        return await connecting.connect(
            self.port, found, connection_class, record_class=record_class, codecs=codec_set(codecs, json)
        )

    def create_pool(self, dsn: str | None = None, **arguments: Any) -> "VirtualPool":
        """A pool; see `pgsansio_asyncio.create_pool`."""
        return VirtualPool(self, dsn, **arguments)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Task:
        task = Task(self, coroutine)
        self.tasks.append(task)
        return task

    def background(self, work: Callable[[], Awaitable[None]]) -> Task:
        """A task that nobody waits for."""

        async def run() -> None:
            try:
                await work()
            except (Cancelled, _Expired):
                pass
            except BaseException as error:
                self.failures.append(error)

        return self.start(run())

    def step(self, *, time_passes: bool = True) -> bool:
        """Do one thing; False: there is nothing to do (but to wait for a deadline, if no time passes)."""
        self.steps += 1
        return self._do_one() or (time_passes and self.pass_time())

    def pass_time(self) -> bool:
        """The next deadline passes, whatever else could be done; False: there is none."""
        deadlines = [deadline for task in self.tasks for deadline in task.due()]
        soonest = min(deadlines, key=lambda deadline: deadline.at, default=None)
        if soonest is None:
            return False
        self.now = max(self.now, soonest.at)
        soonest.expire()
        return True

    def _do_one(self) -> bool:
        if self.choose is None:
            for task in self.tasks:
                if task.can_go_on:
                    self._resume(task)
                    return True
            return any(port.carry() for port in list(self.ports))
        # A port may turn out to have nothing to carry, which only asking tells.
        things: list[Task | VirtualPort] = [
            *(task for task in self.tasks if task.can_go_on),
            *(port for port in self.ports if port.peer is not None),
        ]
        while things:
            thing = things.pop(self.choose(len(things)))
            if isinstance(thing, Task):
                self._resume(thing)
                return True
            if thing.carry():
                return True
        return False

    def _resume(self, task: Task) -> None:
        task.resume()
        if task.done:
            self.tasks.remove(task)

    def run(self, task: Task | None = None) -> None:
        """Until nothing can go on, or this task is done.

        Raises:
            Stuck: `task` is not done, and nothing will ever happen.
        """
        while task is None or not task.done:
            if self.steps > self.max_steps:
                raise Stuck("this goes round and round")
            if not self.step():
                if task is not None:
                    raise Stuck(f"waits for ever at {task.stop.name if task.stop else 'nothing'}")
                return

    def finish(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run this to its end; its result."""
        task = self.start(coroutine)
        self.run(task)
        result: T = task.result()
        return result

    def call(self, function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Call this in a task; its result."""

        async def run() -> T:
            return function(*arguments, **keywords)

        return self.finish(run())


@dataclass
class FakeTls:
    """What a handshake comes to."""

    info: TlsInfo = field(default_factory=lambda: TlsInfo("TLSv1.3", "none", b"certificate", "postgresql"))
    error: BaseException | None = None
    # The context and the server's name of each handshake.
    started: list[tuple[object, str | None]] = field(default_factory=list, init=False)


class VirtualPort:
    """A connection's port on a `VirtualLoop`. Contracts: `pgsansio.client.port`."""

    reads_when_idle = True
    has_tasks = True
    origin = "made by hand"

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.engine: Engine | None = None
        self.peer: Peer | None = None
        #: On the way to the server; what was read but not fed is with the peer.
        self.unsent = b""
        self.connected = False
        self.tcp_options: TcpOptions | None = None
        self.has_checkpoints = loop.has_checkpoints
        self.has_tls = loop.tls is not None
        self.on_news: Callable[[], None] | None = None
        self.on_cancel_due: Callable[[], Awaitable[None]] | None = None
        #: Operations that were seen settled, in order.
        self.settled: list[Operation] = []

    # the wire

    def carry(self) -> bool:
        """Take bytes one way, once; False: there are none."""
        engine, peer = self.engine, self.peer
        if engine is None or peer is None:
            return False
        self.flush()
        if self.unsent:
            data, self.unsent = self.unsent, b""
            peer.receive_data(data)
            return True
        if not self.connected:
            self.peer = None
            peer.receive_eof()
            return True
        data = peer.data_to_send()
        if data:
            self.feed(data)
        elif peer.hung_up:
            self.connected = False
            engine.receive_eof()
            self.fed()
        else:
            return False
        return True

    def feed(self, data: bytes) -> None:
        engine = self.engine
        assert engine is not None
        while data and self.connected:
            room = engine.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            data = data[size:]
            engine.bytes_received(size)
            self.fed()

    def lose(self, cause: BaseException | None = None) -> None:
        """The connection is cut: what is under way does not arrive."""
        if self.connected:
            self.connected = False
            self.unsent = b""
            assert self.engine is not None
            self.engine.connection_lost(cause)
            self.fed()

    def fed(self) -> None:
        engine = self.engine
        assert engine is not None
        if engine.news:
            if self.on_news is not None:
                self.on_news()
            if engine.ended:
                self.flush()
                self.connected = False
            elif engine.cancel_due and self.on_cancel_due is not None:
                self.loop.background(_quietly(self.on_cancel_due))
        for operation in {id(one): one for one in engine.completed()}.values():
            if operation.settled:
                assert all(operation is not one for one in self.settled), "settled twice"
                self.settled.append(operation)

    # waiting

    async def wait(self, operation: Operation) -> None:
        self.flush()
        await Stop("wait", lambda: operation.settled)

    async def progress(self, operation: Operation) -> None:
        self.flush()
        await Stop("progress", lambda: operation.settled or operation.attention)

    async def outbox_low(self) -> None:
        self.flush()
        await Stop("outbox_low", lambda: not self.unsent)

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        if self.engine is not None:
            data = self.engine.data_to_send()
            if self.connected:
                self.unsent += data

    async def checkpoint(self) -> None:
        if self.has_checkpoints:
            await Stop("checkpoint", _at_once)

    def deadline(self, at: float | None) -> "_Deadline":
        return _Deadline(self.loop, math.inf if at is None else at)

    async def owe(self, work: Callable[[], Awaitable[None]], seconds: float, *, lingers: bool = False) -> None:
        del lingers

        async def bounded() -> None:
            async with self.deadline(self.loop.now + seconds):
                await work()

        if not self.loop.inline:
            self.loop.background(_quietly(bounded))
            return
        task = self.loop.current
        assert task is not None
        task.shields += 1
        try:
            await _quietly(bounded)()
        finally:
            task.shields -= 1

    # the transport

    async def resolve(self, host: str, port: int) -> list[TcpAddress]:
        await Stop("resolve", _at_once)
        return [TcpAddress(host, port)]

    async def open_stream(self, address: Address, engine: Engine) -> None:
        assert self.engine is None, "once per port"
        await Stop("open_stream", _at_once)
        self.peer = self.loop.make_peer(address)
        self.engine = engine
        self.connected = True
        self.loop.ports.append(self)
        self.flush()

    def set_tcp_options(self, options: TcpOptions) -> None:
        self.tcp_options = options

    def peer_user(self) -> str | None:
        return self.loop.peer_user

    def drive(self, engine: Engine) -> None:
        assert self.engine is not None
        self.flush()
        self.engine = engine
        if not self.connected:
            engine.connection_lost(None)

    async def tls_context(self, settings: TlsSettings) -> object:
        await Stop("tls_context", _at_once)
        return settings

    async def start_tls(self, context: object, server_hostname: str | None) -> TlsInfo:
        tls = self.loop.tls
        assert tls is not None
        tls.started.append((context, server_hostname))
        self.flush()
        await Stop("start_tls", _at_once)
        if tls.error is not None:
            raise tls.error
        return tls.info

    async def close(self) -> None:
        self.flush()
        try:
            await Stop("close", lambda: not self.unsent)
        finally:
            self.abort()

    def abort(self) -> None:
        self.lose()

    def sibling(self) -> Self:
        return type(self)(self.loop)

    # the world

    def guard(self) -> None:
        if self.loop.current is None:
            raise InterfaceError("not in a task of this loop")

    def guard_thread(self) -> None:
        """There is one."""

    def task(self) -> object:
        return self.loop.current

    def clock(self) -> float:
        return self.loop.now

    def stopwatch(self) -> float:
        return self.loop.now

    def nonce(self) -> str:
        return "nonce" * 5

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        await Stop("read_file", _at_once)
        return None

    async def open_file(self, path: FilePath, *, writing: bool) -> BinaryFile:
        await Stop("open_file", _at_once)
        return self.loop.open_file(path, writing)

    async def run_elsewhere(self, function: Callable[[], T], *, may_abandon: bool = False) -> T:
        await Stop("run_elsewhere", _at_once)
        return function()

    def gss_context(self, target: GssTarget) -> GssContext:
        return self.loop.gss_context(target)

    async def call_user(self, function: Callable[..., Any], *arguments: object) -> Any:
        result: object = function(*arguments)
        if isinstance(result, Awaitable):
            return cast(object, await result)
        await Stop("call_user", _at_once)
        return result

    def deliver(self, callback: Callable[..., Any], *arguments: object) -> None:
        async def call() -> None:
            result = callback(*arguments)
            if isinstance(result, Awaitable):
                await result

        self.loop.background(call)

    # ConcurrentPort

    def tasks(self) -> "_Tasks":
        return _Tasks(self.loop)

    def start_task(self, work: Callable[[], Awaitable[None]]) -> TaskHandle:
        return self.loop.background(work)

    def event(self) -> PortEvent:
        return _Event()

    def keep_reading(self, other: Port) -> None:
        pass

    def expect(self, operation: Operation) -> None:
        pass


class VirtualPool(Pool):
    """A pool on a `VirtualLoop`; it has an adapter's methods, without their thin wrapping."""

    _connection_class_here = Connection

    def __init__(self, loop: VirtualLoop, dsn: str | None = None, **arguments: Any) -> None:
        arguments.setdefault("connect", loop.connect)
        super().__init__(dsn, **arguments)
        self.loop = loop

    def _make_home(self) -> ConcurrentPort:
        return VirtualPort(self.loop)


class _Tasks:
    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._tasks: list[Task] = []

    async def __aenter__(self) -> Callable[[Callable[[], Awaitable[None]]], None]:
        return lambda work: self._tasks.append(self._loop.background(work))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel(for_good=True)
        if exc_type is GeneratorExit:
            return
        try:
            await self._over()
        except (Cancelled, _Expired):
            owner = self._loop.current
            assert owner is not None
            owner.shields += 1
            await self._over()
            owner.shields -= 1
            raise

    async def _over(self) -> None:
        await Stop("tasks", lambda: all(task.done for task in self._tasks))


class _Event:
    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    async def wait(self) -> None:
        await Stop("event", self.is_set)


class _Expired(BaseException):
    def __init__(self, deadline: "_Deadline") -> None:
        self.deadline = deadline


class _Deadline:
    def __init__(self, loop: VirtualLoop, at: float) -> None:
        self.at = at
        self.expired = False
        #: Of the task when it was entered: inside of a shield that came later it does not expire.
        self.shields = 0
        self._loop = loop
        self._task: Task | None = None

    def expire(self) -> None:
        self.expired = True
        assert self._task is not None
        self._task.expire(self)

    async def __aenter__(self) -> None:
        self._task = self._loop.current
        assert self._task is not None
        self.shields = self._task.shields
        self._task.deadlines.append(self)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.deadlines.remove(self)
        if isinstance(exc, _Expired) and exc.deadline is self:
            raise TimeoutError from exc


def _no_such_library(target: GssTarget) -> GssContext:
    raise InterfaceError(f"{target.library} module not found")


def _no_such_file(path: FilePath, writing: bool) -> BinaryFile:
    raise FileNotFoundError(2, "No such file or directory", path)


def _at_once() -> bool:
    return True


def _quietly(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """As a port carries out what is owed: its failures were answered by closing the connection."""

    async def run() -> None:
        try:
            await work()
        except OSError:
            pass

    return run
