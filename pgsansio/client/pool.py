"""Pool: connections that tasks take, use and give back.

How this works. `policy.pool.PoolPolicy` decides; it is told what happened and answers with actions, which `_carry_out`
does at once: a waiter is woken, a connection given up, or a task begun that opens, resets or closes one and tells the
policy what came of it. So every change of state is synchronous, and a cancellation at any await finds the pool whole:
whoever stops waiting tells the policy, which gives what he was granted to the next.

The tasks belong to the pool's *home*, a port that is never opened. They handle their own failures, and none is left
when `close()` returns.
"""

import functools
import inspect
import logging
import sys
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Self, cast

from pgsansio.client.connection import Connection
from pgsansio.client.copy import CopyMethods
from pgsansio.client.port import ConcurrentPort, PortEvent, TaskHandle
from pgsansio.client.type_methods import Codecs
from pgsansio.codecs.codec_set import CodecSet, codec_set
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.enums import CANCEL_GRACE, Outcome, TransactionStatus
from pgsansio.errors import InterfaceError, InterfaceWarning, OperationTimeoutError
from pgsansio.kernel import Record
from pgsansio.policy.pool import PoolPolicy
from pgsansio.policy.pool_actions import (
    Action,
    Check,
    Close,
    Drained,
    Fail,
    Finished,
    FloorFailed,
    Grant,
    Open,
    PoolState,
    Ready,
    Reset,
    StartFailed,
    Terminate,
)
from pgsansio.policy.pool_limits import PoolLimits

__all__ = ["Pool", "PoolAcquireContext", "PoolConnectionProxy"]

#: How long a reset may take unless release() or acquire() said so; nobody waits for it, but its place is taken.
RESET_SECONDS: Final = 30.0
#: After so long `close()` says in the log that it still waits for somebody.
CLOSE_WARNING_SECONDS: Final = 60.0

_NOT_READY: Final = "the time limit has passed before the pool had a connection ready"

_logger: Final = logging.getLogger(__name__)


if TYPE_CHECKING:
    _ConnectionFace = Connection
    _CopyFace = CopyMethods
else:
    _ConnectionFace = _CopyFace = object


class PoolConnectionProxy(_ConnectionFace):
    """A pooled connection while one task has it: every public method of Connection, until it is released.

    `isinstance` takes it for an instance of the connection's class. After the release its methods raise InterfaceError.
    """

    __slots__ = ("_con", "_con_class", "_pool", "_timeout")

    def __init__(self, pool: "Pool", connection: Connection, timeout: float | None) -> None:
        self._con: Connection | None = connection
        self._con_class = type(connection)
        self._pool = pool
        self._timeout = timeout

    @property
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._con_class

    @__class__.setter
    def __class__(self, value: type[Any]) -> NoReturn:
        raise TypeError("the class of a PoolConnectionProxy cannot be changed")

    def __getattr__(self, name: str) -> Any:
        if self._con is None and not name.startswith("_"):
            raise _released(name)
        return getattr(self._con, name)

    def __repr__(self) -> str:
        return f"<PoolConnectionProxy {'[released]' if self._con is None else repr(self._con)} {id(self):#x}>"


def _released(name: str) -> InterfaceError:
    return InterfaceError(f"cannot call Connection.{name}(): connection has been released back to the pool")


def _forwarding(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: PoolConnectionProxy, *args: Any, **kwargs: Any) -> Any:
        connection = self._con
        if connection is None:
            raise _released(name)
        return getattr(connection, name)(*args, **kwargs)

    if sys.version_info >= (3, 12) and inspect.iscoroutinefunction(method):
        return inspect.markcoroutinefunction(call)
    return call


for _name in dir(Connection):
    if not _name.startswith("_") and inspect.isfunction(_method := getattr(Connection, _name)):
        setattr(PoolConnectionProxy, _name, _forwarding(_name, _method))


def _on_a_connection(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(self: "Pool", *args: Any, **kwargs: Any) -> Any:
        async with self.acquire() as connection:
            return await getattr(connection, name)(*args, **kwargs)

    return call


def _if_any(codecs: Codecs) -> dict[str, Any]:
    """An argument of which a user's class of connections, written for asyncpg, may know nothing."""
    return {"codecs": codecs} if codecs else {}


class _Waiter:
    """A task that wants a connection: gets one, or an error. `event` is there if it has to wait."""

    __slots__ = ("connection", "error", "event")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.error: BaseException | None = None
        self.event: PortEvent | None = None

    def settled(self) -> None:
        if self.event is not None:
            self.event.set()


class _ResetRequest:
    """How long a reset may take, and who is told its end."""

    __slots__ = ("done", "error", "seconds")

    def __init__(self, seconds: float, done: PortEvent | None) -> None:
        self.seconds = seconds
        self.done = done
        self.error: BaseException | None = None


class PoolAcquireContext:
    """What `acquire()` returns: to be awaited, or an `async with` block that releases the connection again."""

    __slots__ = ("_done", "_pool", "_proxy", "_timeout")

    def __init__(self, pool: "Pool", timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._proxy: PoolConnectionProxy | None = None
        self._done = False

    def __await__(self) -> Generator[Any, Any, PoolConnectionProxy]:
        self._done = True
        return self._pool._acquire(self._timeout).__await__()

    async def __aenter__(self) -> PoolConnectionProxy:
        if self._proxy is not None or self._done:
            raise InterfaceError("a connection is already acquired")
        self._proxy = await self._pool._acquire(self._timeout)
        return self._proxy

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done = True
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            await self._pool.release(proxy)


class Pool(_CopyFace):
    """A pool of connections. Use `create_pool()` to make one; `async with`, or `await` on a loop with tasks of its own.

    Waiters are served first come first served, and get the connection that was used last.
    """

    #: This loop's `connect` and `Connection`.
    _connect_here: ClassVar[Callable[..., Awaitable[Any]]]
    _connection_class_here: ClassVar[type[Connection]]

    def __init__(
        self,
        dsn: str | None = None,
        *,
        init_size: int | None = None,
        min_size: int = 10,
        max_size: int = 10,
        max_queries: int = 50000,
        max_inactive_connection_lifetime: float = 300.0,
        connect: Callable[..., Any] | None = None,
        setup: Callable[[Any], Any] | None = None,
        init: Callable[[Any], Any] | None = None,
        reset: Callable[[Any], Any] | None = None,
        connection_class: type[Connection] | None = None,
        record_class: type[Any] = Record,
        codecs: CodecSet | Iterable[CodecDeclaration] = (),
        json: object = None,
        **connect_kwargs: Any,
    ) -> None:
        if connection_class is None:
            connection_class = self._connection_class_here
        self._policy: PoolPolicy[_Waiter, Connection] = PoolPolicy(
            PoolLimits(
                min_size=min_size,
                max_size=max_size,
                init_size=init_size,
                max_queries=max_queries,
                max_inactive_connection_lifetime=max_inactive_connection_lifetime,
            )
        )
        if not _is_subclass(connection_class, Connection):
            raise TypeError(
                f"connection_class is expected to be a subclass of asyncpg.Connection, got {connection_class!r}"
            )
        if not _is_subclass(record_class, Record):
            raise TypeError(f"record_class is expected to be a subclass of asyncpg.Record, got {record_class!r}")
        self._dsn = dsn
        self._connect_kwargs: dict[str, Any] = connect_kwargs
        self._connect = connect
        self._setup = setup
        self._init = init
        self._reset = reset
        self._connection_class: type[Connection] = connection_class
        self._record_class = record_class
        #: Codecs by name, and what the connections have learned of types; what is declared here is at once in force on
        #: all of them.
        self.codecs = codec_set(codecs, json)
        self._home: ConcurrentPort | None = None
        self._due: deque[Action[_Waiter, Connection]] = deque()
        self._carrying_out = False
        self._started: PortEvent | None = None
        self._start_error: BaseException | None = None
        self._finished: PortEvent | None = None
        self._tasks: dict[object, TaskHandle] = {}
        #: Set when the last task has ended, if somebody waits for that.
        self._alone: PortEvent | None = None
        #: When the task that keeps the time looks next, and what makes it look at once. None: there is no such task.
        self._wake_at: float | None = None
        self._wake: PortEvent | None = None
        #: Resets under way.
        self._resets: dict[Connection, _ResetRequest] = {}

    def _make_home(self) -> ConcurrentPort:
        """A port of the running loop, never to be opened."""
        raise NotImplementedError

    def _connect_arguments(self) -> dict[str, Any]:
        """Keyword arguments for connect()."""
        return {
            "connection_class": self._connection_class,
            "record_class": self._record_class,
            "codecs": self.codecs,
            **self._connect_kwargs,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self._policy.state.value} {id(self):#x}>"

    # starting and ending

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        return await self._start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._policy.state is PoolState.CLOSED:
            return None
        if exc is None or isinstance(exc, Exception):
            await self.close()
        elif isinstance(exc, GeneratorExit):
            self.terminate()
        else:
            # A cancellation; whatever is awaited here may be cancelled again. What it has stopped is still to be
            # cancelled on the server, and who holds a connection may be about to release it.
            home = self._running_home()
            self._carry_out(self._policy.close(home.clock()))
            await home.owe(self.close, CANCEL_GRACE)
        return None

    async def _start(self) -> Self:
        policy = self._policy
        if policy.state is PoolState.RUNNING:
            return self
        home = self._home
        if home is None:
            home = self._make_home()
            self._started, self._finished = home.event(), home.event()
            self._home = home
        self._carry_out(policy.start(home.clock()))
        try:
            await cast(PortEvent, self._started).wait()
        except BaseException:
            self.terminate()
            raise
        if self._start_error is not None:
            raise self._start_error
        return self

    async def close(self) -> None:
        """Close the pool: no new acquires; wait until every connection was released, and close it.

        A cancellation, or an error, terminates the pool. Idempotent.

        Raises:
            InterfaceError: the pool has not started.
        """
        home = self._running_home()
        home.guard()
        self._carry_out(self._policy.close(home.clock()))
        try:
            finished = cast(PortEvent, self._finished)
            if self._policy.state is not PoolState.CLOSED:
                try:
                    async with home.deadline(home.clock() + CLOSE_WARNING_SECONDS):
                        await finished.wait()
                except TimeoutError:
                    _logger.warning(
                        "Pool.close() is taking over %d seconds to complete. "
                        "Check if you have any unreleased connections left.",
                        CLOSE_WARNING_SECONDS,
                    )
                    await finished.wait()
            if self._tasks:
                if self._alone is None:
                    self._alone = home.event()
                await self._alone.wait()
            else:
                await home.checkpoint()
        except BaseException:
            self.terminate()
            raise

    def terminate(self) -> None:
        """Close the pool and all of its connections now, without waiting.

        Raises:
            InterfaceError: the pool has not started.
        """
        home = self._running_home()
        self._carry_out(self._policy.terminate(home.clock()))
        self._cancel_tasks()

    async def expire_connections(self) -> None:
        """Replace every connection that is open now: idle ones at once, others when they are released.

        Raises:
            InterfaceError: the pool has not started, or is closed.
        """
        home = self._running_home()
        home.guard()
        self._carry_out(self._policy.expire(home.clock()))
        await home.checkpoint()

    def set_connect_args(self, dsn: str | None = None, **connect_kwargs: Any) -> None:
        """What connections opened from now on are connected with, in place of the arguments of `create_pool()`.

        `expire_connections()` replaces those that are open.
        """
        self._dsn = dsn
        self._connect_kwargs = connect_kwargs

    # what is

    def get_size(self) -> int:
        """How many connections are open."""
        return self._policy.size

    def get_init_size(self) -> int:
        """How many are opened at the start."""
        return self._policy.limits.initial

    def get_min_size(self) -> int:
        """How many are kept when they are idle."""
        return self._policy.limits.min_size

    def get_max_size(self) -> int:
        """How many may be open at once."""
        return self._policy.limits.max_size

    def get_idle_size(self) -> int:
        """How many of the open ones nobody has."""
        return self._policy.idle_size

    def is_closing(self) -> bool:
        """Whether the pool is closed, or being closed."""
        return self._policy.is_closing

    # taking and giving back

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext:
        """A connection: `await pool.acquire()`, or `async with pool.acquire() as connection:`.

        Args:
            timeout: seconds for waiting, connecting and `setup` together; also the limit of the reset at its release.
        Raises:
            InterfaceError: the pool is not started, closing or closed.
            OperationTimeoutError: none became free in time.
            Whatever connecting, `init` or `setup` raises.
        """
        return PoolAcquireContext(self, timeout)

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:
        """Give a connection back (a second time: nothing). It is reset behind the scenes, and closed if that fails.

        With a `reset` function this waits for it; a cancellation does not stop it.

        Args:
            timeout: seconds for the reset; default: the `timeout` of the acquire, or 30.
        Raises:
            InterfaceError: it is no connection of this pool.
            Whatever the `reset` function raises.
        """
        if type(connection) is not PoolConnectionProxy or connection._pool is not self:
            raise InterfaceError(
                f"Pool.release() received invalid connection: {connection!r} is not a member of this pool"
            )
        raw = connection._con
        if raw is None:
            return
        home = self._running_home()
        home.guard()
        seconds = connection._timeout if timeout is None else timeout
        connection._con = None
        raw._proxy = None
        raw._releases += 1
        raw._forget_stream()
        listeners = raw._end_subscriptions()
        actions = self._policy.released(raw, home.clock(), not raw.is_closed(), raw._queries)
        request = None
        if Reset(raw) in actions:
            request = self._resets[raw] = _ResetRequest(
                RESET_SECONDS if seconds is None else seconds, None if self._reset is None else home.event()
            )
        self._carry_out(actions)
        if listeners:
            warnings.warn(
                InterfaceWarning(
                    f"{raw!r} is being released to the pool but has {listeners} "
                    f"active notification listener{'' if listeners == 1 else 's'}"
                ),
                stacklevel=2,
            )
        if request is None or request.done is None:
            await home.checkpoint()
            return
        await request.done.wait()
        if request.error is not None:
            raise request.error

    async def _acquire(self, timeout: float | None) -> PoolConnectionProxy:
        home = self._running_home()
        home.guard()
        policy = self._policy
        deadline = None if timeout is None else home.clock() + timeout
        while True:
            waiter = _Waiter()
            self._carry_out(policy.acquire(waiter, home.clock(), deadline))
            try:
                if waiter.connection is None and waiter.error is None:
                    waiter.event = home.event()
                    await waiter.event.wait()
                else:
                    await home.checkpoint()
            except BaseException:
                self._carry_out(policy.cancel_wait(waiter, home.clock()))
                raise
            connection = waiter.connection
            if connection is None:
                raise _as_ours(cast(BaseException, waiter.error), _NOT_READY)
            if not connection.is_closed():
                break
            # It was lost before this task could run: that is nobody's error yet.
            self._carry_out(policy.released(connection, home.clock(), False, 0))
        proxy = PoolConnectionProxy(self, connection, timeout)
        connection._proxy = proxy
        if self._setup is not None:
            try:
                async with home.deadline(deadline):
                    await home.call_user(self._setup, proxy)
            except BaseException as error:
                # Nobody knows what it has done so far.
                proxy._con = None
                connection._proxy = None
                self._carry_out(policy.released(connection, home.clock(), False, 0))
                ours = _as_ours(error, _NOT_READY)
                if ours is error:
                    raise
                raise ours from error
        return proxy

    # queries, each on a connection of its own

    async def execute(self, query: str, *args: object, timeout: float | None = None, codecs: Codecs = ()) -> str:
        """As `Connection.execute`, on a connection of the pool."""
        async with self.acquire() as connection:
            return await connection.execute(query, *args, timeout=timeout, **_if_any(codecs))

    async def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, timeout: float | None = None, codecs: Codecs = ()
    ) -> None:
        """As `Connection.executemany`, on a connection of the pool."""
        async with self.acquire() as connection:
            await connection.executemany(command, args, timeout=timeout, **_if_any(codecs))

    async def fetchmany(
        self,
        query: str,
        args: Iterable[Sequence[object]],
        *,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """As `Connection.fetchmany`, on a connection of the pool."""
        async with self.acquire() as connection:
            return await connection.fetchmany(
                query, args, timeout=timeout, record_class=record_class, **_if_any(codecs)
            )

    async def fetch(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> list[Any]:
        """As `Connection.fetch`, on a connection of the pool."""
        async with self.acquire() as connection:
            return await connection.fetch(query, *args, timeout=timeout, record_class=record_class, **_if_any(codecs))

    async def fetchrow(
        self,
        query: str,
        *args: object,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """As `Connection.fetchrow`, on a connection of the pool."""
        async with self.acquire() as connection:
            return await connection.fetchrow(
                query, *args, timeout=timeout, record_class=record_class, **_if_any(codecs)
            )

    async def fetchval(
        self,
        query: str,
        *args: object,
        column: int | str = 0,
        timeout: float | None = None,
        codecs: Codecs = (),
    ) -> Any:
        """As `Connection.fetchval`, on a connection of the pool."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args, column=column, timeout=timeout, **_if_any(codecs))

    # carrying out

    def _running_home(self) -> ConcurrentPort:
        if self._home is None:
            raise InterfaceError("pool is not initialized")
        return self._home

    def _carry_out(self, actions: list[Action[_Waiter, Connection]]) -> None:
        """Do what the policy has decided; what follows from that comes after it."""
        due = self._due
        due.extend(actions)
        if self._carrying_out:
            return
        self._carrying_out = True
        try:
            while due:
                self._do(due.popleft())
        finally:
            self._carrying_out = False
        self._keep_time()

    def _do(self, action: Action[_Waiter, Connection]) -> None:
        match action:
            case Grant(waiter, connection):
                waiter.connection = connection
                waiter.settled()
            case Reset(connection):
                self._begin(functools.partial(self._reset_connection, connection))
            case Open(slot):
                self._begin(functools.partial(self._open, slot))
            case Close(connection):
                self._begin(functools.partial(self._close, connection))
            case Terminate(connection):
                connection.terminate()
            case Fail(waiter, error):
                waiter.error = error
                waiter.settled()
            case Ready():
                cast(PortEvent, self._started).set()
            case StartFailed(error):
                self._start_error = error
                cast(PortEvent, self._started).set()
                cast(PortEvent, self._finished).set()
                self._cancel_tasks()
            case FloorFailed(error, retry_in):
                _logger.warning(
                    "Failed to restore the pool connection floor; retrying in %g s", retry_in, exc_info=error
                )
            case Finished():
                cast(PortEvent, self._finished).set()

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """A task of the pool's."""
        key = object()
        ended = False

        async def run() -> None:
            nonlocal ended
            try:
                await work()
            finally:
                ended = True
                self._tasks.pop(key, None)
                if not self._tasks and self._alone is not None:
                    self._alone.set()

        task = cast(ConcurrentPort, self._home).start_task(run)
        if not ended:  # some loops begin tasks at once
            self._tasks[key] = task

    async def _open(self, slot: int) -> None:
        policy, home = self._policy, cast(ConcurrentPort, self._home)
        try:
            connection = await self._connected(home)
        except Exception as error:
            self._carry_out(policy.open_failed(slot, error, home.clock()))
        except BaseException:
            # The pool was terminated, or the loop ends: then there is nobody to open another one for.
            self.terminate()
            raise
        else:
            self._carry_out(policy.opened(slot, connection, home.clock()))

    async def _connected(self, home: ConcurrentPort) -> Connection:
        """A new connection, ready for its first user."""
        connect = self._connect if self._connect is not None else type(self)._connect_here
        connection = await home.call_user(functools.partial(connect, self._dsn, **self._connect_arguments()))
        if not isinstance(connection, self._connection_class):
            wanted = self._connection_class
            raise InterfaceError(
                f"expected pool connect callback to return an instance of "
                f"'{wanted.__module__}.{wanted.__name__}', got '{_full_name(connection)}'"
            )
        try:
            home.keep_reading(connection._port)
            if self._init is not None:
                await home.call_user(self._init, connection)
            connection._check_open()
        except BaseException:
            connection.terminate()
            raise
        connection._on_end = self._connection_ended
        return connection

    def _connection_ended(self, connection: Connection) -> None:
        self._carry_out(self._policy.connection_lost(connection, cast(ConcurrentPort, self._home).clock()))

    async def _reset_connection(self, connection: Connection) -> None:
        policy, home = self._policy, cast(ConcurrentPort, self._home)
        request = self._resets[connection]
        ok = False
        try:
            async with home.deadline(home.clock() + request.seconds):
                if self._reset is None:
                    await connection.reset()
                else:
                    await connection._reset("")
                    await home.call_user(self._reset, connection)
            ok = connection._frontend.transaction_status is TransactionStatus.IDLE and not connection.is_closed()
        except Exception as error:
            # Without a function of the user's that is nobody's error: the connection is closed, and another opened.
            request.error = _as_ours(error, "the time limit has passed before the connection was reset")
        except BaseException:
            self.terminate()
            raise
        finally:
            del self._resets[connection]
            self._carry_out(policy.reset_done(connection, home.clock(), ok))
            if request.done is not None:
                request.done.set()

    async def _close(self, connection: Connection) -> None:
        try:
            await connection.close()
        except Exception:
            connection.terminate()
        except BaseException:
            self.terminate()
            raise
        finally:
            self._carry_out(self._policy.closed(connection, cast(ConcurrentPort, self._home).clock()))

    def _cancel_tasks(self) -> None:
        tasks = list(self._tasks.values())
        # One that has not begun is gone without a trace.
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        for request in self._resets.values():
            if request.done is not None:
                request.done.set()
        if self._alone is not None:
            self._alone.set()

    def _keep_time(self) -> None:
        """See that somebody tells the policy when its next deadline has come."""
        at = None if self._policy.state is PoolState.CLOSED else self._policy.next_deadline()
        if self._wake_at is None:
            if at is not None:
                self._wake_at = at
                self._begin(self._tick)
        elif self._wake is not None and (self._policy.is_closing if at is None else at < self._wake_at):
            self._wake.set()

    async def _tick(self) -> None:
        policy, home = self._policy, cast(ConcurrentPort, self._home)
        while not policy.is_closing and (at := policy.next_deadline()) is not None:
            self._wake_at = at
            self._wake = home.event()
            try:
                async with home.deadline(at):
                    await self._wake.wait()
            except TimeoutError:
                self._carry_out(policy.tick(home.clock()))
        self._wake_at = None


for _name, _method in inspect.getmembers(CopyMethods, inspect.isfunction):
    setattr(Pool, _name, _on_a_connection(_name, _method))


def _as_ours(error: BaseException, text: str) -> BaseException:
    """A time limit's error as this library raises it; others as they are."""
    if type(error) is TimeoutError and not error.args:
        ours = OperationTimeoutError(text, outcome=Outcome.CANCELLED)
        ours.__cause__ = error.__cause__
        return ours
    return error


def _is_subclass(value: object, parent: type[Any]) -> bool:
    return isinstance(value, type) and issubclass(value, parent)


def _full_name(instance: object) -> str:
    value = type(instance)
    return value.__name__ if value.__module__ == "builtins" else f"{value.__module__}.{value.__name__}"
