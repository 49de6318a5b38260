"""Pool: connections that tasks take, use and give back. What it does behind the scenes is in `client.pool_work`."""

import logging
import math
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, cast

from pgsansio.client.connection import Connection
from pgsansio.client.pool_proxy import PoolAcquireContext, PoolConnectionProxy
from pgsansio.client.pool_queries import PoolQueries
from pgsansio.client.pool_work import NOT_READY, Start, Waiter, as_ours
from pgsansio.client.port import ConcurrentPort, PortEvent
from pgsansio.codecs.codec_set import CodecSet, codec_set
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.enums import CANCEL_GRACE
from pgsansio.errors import ClientConfigurationError, InterfaceError, OperationTimeoutError
from pgsansio.kernel import Record
from pgsansio.policy.pool_actions import PoolState
from pgsansio.policy.pool_limits import PoolLimits
from pgsansio.types.pool import PoolStatistics
from pgsansio.types.secret import hide_arguments, hide_source

__all__ = ["Pool", "PoolAcquireContext", "PoolConnectionProxy"]

#: After so long `close()` says in the log that it still waits for somebody.
CLOSE_WARNING_SECONDS: Final = 60.0

_logger: Final = logging.getLogger(__name__)


class Pool(PoolQueries):
    """A pool of connections. Use `create_pool()` to make one; `async with`, or `await` on a loop with tasks of its own.

    Waiters are served first come first served, and get the connection that was used last.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        init_size: int | None = None,
        min_size: int = 10,
        max_size: int = 10,
        max_queries: int = 50000,
        max_inactive_connection_lifetime: float = 300.0,
        max_lifetime: float | None = None,
        max_lifetime_jitter: float | None = None,
        max_waiting: int | None = None,
        acquire_timeout: float | None = None,
        check: float | Callable[[Any], Any] | None = None,
        multiplex: int = 0,
        lazy: bool = False,
        connect: Callable[..., Any] | None = None,
        connect_parameters: Callable[[], Any] | None = None,
        setup: Callable[[Any], Any] | None = None,
        init: Callable[[Any], Any] | None = None,
        reset: Callable[[Any], Any] | None = None,
        connection_class: type[Connection] | None = None,
        record_class: type[Any] = Record,
        codecs: CodecSet | Iterable[CodecDeclaration] = (),
        json: object = None,
        **connect_kwargs: Any,
    ) -> None:
        if not (check is None or callable(check) or type(check) in (int, float)):
            raise TypeError(f"check is expected to be a number of seconds, a function or None, got {check!r}")
        if type(lazy) is not bool:
            raise TypeError(f"lazy is expected to be a bool, got {lazy!r}")
        if connect_parameters is not None and not callable(connect_parameters):
            raise TypeError(f"connect_parameters is expected to be a function or None, got {connect_parameters!r}")
        limits = PoolLimits(
            min_size=min_size,
            max_size=max_size,
            init_size=init_size,
            max_queries=max_queries,
            max_inactive_connection_lifetime=max_inactive_connection_lifetime,
            max_lifetime=max_lifetime,
            max_lifetime_jitter=max_lifetime_jitter,
            max_waiting=max_waiting,
            acquire_timeout=acquire_timeout,
            check_after=0.0 if callable(check) else check,
            multiplex=multiplex,
        )
        for name, hook in (("connect", connect), ("setup", setup), ("init", init), ("reset", reset)):
            if hook is not None and not callable(hook):
                raise TypeError(f"{name} is expected to be a function or None, got {hook!r}")
        for name, hook in (("setup", setup), ("reset", reset)):
            if multiplex and hook is not None:
                raise ClientConfigurationError(
                    f"multiplex cannot be combined with {name}: nobody acquires and releases the connections that "
                    "queries share",
                    hint="Use init, which is called once for each new connection.",
                )
        if multiplex and not connect_kwargs.get("pipelining", True):
            raise ClientConfigurationError("multiplex cannot be combined with pipelining=False")
        if connection_class is None:
            connection_class = self._connection_class_here
        if not _is_subclass(connection_class, Connection):
            raise TypeError(
                f"connection_class is expected to be a subclass of asyncpg.Connection, got {connection_class!r}"
            )
        if not _is_subclass(record_class, Record):
            raise TypeError(f"record_class is expected to be a subclass of asyncpg.Record, got {record_class!r}")
        super().__init__(limits, is_lazy=lazy)
        self._dsn = hide_source(dsn)
        self._connect_kwargs = hide_arguments(connect_kwargs)
        self._connect_parameters = connect_parameters
        self._connect = connect
        self._setup = setup
        self._init = init
        self._reset = reset
        cls = type(self)
        is_ours = cls.acquire is Pool.acquire and cls.release is Pool.release
        self._is_plain = is_ours and setup is None and reset is None and not self._release_waits
        self._is_direct = self._is_plain and not multiplex
        self._check = check if callable(check) else None
        self._connection_class = connection_class
        self._record_class = record_class
        #: Codecs by name, and what the connections have learned of types; what is declared here is at once in force on
        #: all of them.
        self.codecs = codec_set(codecs, json)

    def _connect_arguments(self) -> dict[str, Any]:
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
        return self if self._is_lazy else await self._start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._policy.state is PoolState.CLOSED:
            return None
        if exc is None or isinstance(exc, Exception):
            await self.close()
        elif isinstance(exc, GeneratorExit) or self._policy.state in (PoolState.NEW, PoolState.STARTING):
            self.terminate()
        else:
            # A cancellation; whatever is awaited here may be cancelled again. What it has stopped is still to be
            # cancelled on the server, and who holds a connection may be about to release it.
            home = self._running_home()
            self._carry_out(self._policy.close(home.clock()))
            await home.owe(self.close, CANCEL_GRACE, lingers=True)
        return None

    async def _start(self) -> Self:
        if self._is_lazy or self._policy.state is PoolState.RUNNING:
            home, _ = await self._ready(math.inf)
            await home.checkpoint()
        else:
            start = self._begin_start()
            try:
                await start.done.wait()
            except BaseException:
                self.terminate()
                raise
            if start.error is not None:
                raise start.error
        return self

    async def _ready(self, timeout: float | None) -> tuple[ConcurrentPort, float | None]:
        starting = self._is_lazy and self._policy.state in (PoolState.NEW, PoolState.STARTING)
        if starting and self._policy.state is PoolState.NEW:
            self._begin_start()
        home = self._running_home()
        home.guard()
        seconds = self._limits.acquire_timeout if timeout is None else timeout
        deadline = None if seconds is None or seconds == math.inf else home.clock() + seconds
        if starting:
            # Whoever comes first begins it; all of them wait for it, and a cancellation stops but the waiting.
            start = cast(Start, self._start_under_way)
            try:
                async with home.deadline(deadline):
                    await start.done.wait()
            except TimeoutError as error:
                raise as_ours(error, NOT_READY) from None
            if start.error is not None:
                raise start.error
        return home, deadline

    async def close(self) -> None:
        """Close the pool: no new acquires; wait until every connection was released, and close it.

        A cancellation, or an error, terminates the pool. Idempotent.

        Raises:
            InterfaceError: the pool has not started, and is not a lazy one.
        """
        if self._is_lazy and (self._home is None or self._policy.state is PoolState.STARTING):
            self.terminate()
            if self._home is None:
                await self._checkpoint()
                return
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

    async def expire_connections(self) -> None:
        """Replace every connection that is open now: idle ones at once, others when they are released.

        Raises:
            InterfaceError: the pool has not started, or is closed.
        """
        if self._is_lazy and self._policy.state is PoolState.NEW:
            await self._checkpoint()
            return
        home = self._running_home()
        home.guard()
        self._carry_out(self._policy.expire(home.clock()))
        await home.checkpoint()

    async def drain(self, *, timeout: float | None = None) -> None:
        """As `expire_connections`, and wait until those that were open are closed: with `set_connect_args()` before
        it, nothing uses the former arguments when this returns.

        The pool goes on, unlike with `close()`: who acquires gets a new connection.

        Args:
            timeout: seconds for the waiting.
        Raises:
            InterfaceError: the pool has not started, or is closed.
            OperationTimeoutError: somebody has not released a connection in time. It is closed when he does.
        """
        if self._is_lazy and self._policy.state is PoolState.NEW:
            await self._checkpoint()
            return
        home = self._running_home()
        home.guard()
        deadline = None if timeout is None else home.clock() + timeout
        waiter = Waiter()
        waiter.event = home.event()
        self._carry_out(self._policy.drain(waiter, home.clock()))
        try:
            async with home.deadline(deadline):
                await waiter.event.wait()
        except TimeoutError:
            raise OperationTimeoutError(
                "the time limit has passed before all connections were released", safe_to_retry=True
            ) from None
        finally:
            self._policy.cancel_drain(waiter)

    def set_connect_args(self, dsn: str | None = None, **connect_kwargs: Any) -> None:
        """What connections opened from now on are connected with, in place of the arguments of `create_pool()`.

        `expire_connections()` and `drain()` replace those that are open.
        """
        self._dsn = hide_source(dsn)
        self._connect_kwargs = hide_arguments(connect_kwargs)

    # what is

    def stats(self) -> PoolStatistics:
        """The pool at this moment, and what it has done so far."""
        return self._policy.statistics()

    def get_size(self) -> int:
        """How many connections are open."""
        return self._policy.size

    def get_init_size(self) -> int:
        """How many are opened at the start."""
        return self._limits.initial

    def get_min_size(self) -> int:
        """How many are kept when they are idle."""
        return self._limits.min_size

    def get_max_size(self) -> int:
        """How many may be open at once."""
        return self._limits.max_size

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
                Default: the pool's `acquire_timeout`, which limits no resets; math.inf: no limit.
        Raises:
            InterfaceError: the pool is not started, closing or closed.
            PoolExhaustedError: `max_waiting` tasks wait already.
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
            await self._checkpoint()
            return
        home = self._running_home()
        home.guard()
        connection._con = None
        raw._proxy = None
        request = self._bring_back(raw, connection._timeout if timeout is None else timeout)
        if request is None or request.done is None:
            if home.has_checkpoints:
                await home.checkpoint()
            return
        await request.done.wait()
        if request.error is not None:
            raise request.error

    async def _checkpoint(self) -> None:
        """There is nothing to do, perhaps because nothing has begun."""
        with suppress(InterfaceError):  # outside of the block that it would begin in
            await (self._home or self._make_home()).checkpoint()

    def _acquired(self) -> PoolAcquireContext:
        return self.acquire()

    async def _acquire(self, timeout: float | None) -> PoolConnectionProxy:
        deadline = None
        connection = None
        if timeout is None and self._setup is None and self._home is not None and not self._home.has_checkpoints:
            connection = self._at_once()
        if connection is None:
            connection, deadline = await self._waited(timeout)
        proxy = PoolConnectionProxy(self, connection, timeout)
        connection._proxy = proxy
        if self._setup is not None:
            home = self._running_home()
            try:
                async with home.deadline(deadline):
                    await home.call_user(self._setup, proxy)
            except BaseException as error:
                # Nobody knows what it has done so far.
                proxy._con = None
                connection._proxy = None
                self._carry_out(self._policy.released(connection, home.clock(), False, 0))
                ours = as_ours(error, NOT_READY)
                if ours is error:
                    raise
                raise ours from error
        return proxy


def _is_subclass(value: object, parent: type[Any]) -> bool:
    return isinstance(value, type) and issubclass(value, parent)
