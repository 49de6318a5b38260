"""What a pool does behind the scenes: it carries out what its policy decides.

How this works. `policy.pool.PoolPolicy` decides; it is told what happened and answers with actions, which `_carry_out`
does at once: a waiter is woken, a connection given up, or a task begun that opens, checks, resets or closes one and
tells the policy what came of it. So every change of state is synchronous, and a cancellation at any await finds the
pool whole: whoever stops waiting tells the policy, which gives what he was granted to the next.

The tasks belong to the pool's *home*, a port that is never opened. They handle their own failures, and none is left
when `close()` returns. The one that keeps the time does not keep the pool: one that its user has forgotten can go.
"""

import functools
import logging
import math
import warnings
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final, cast
from weakref import ref

from pgsansio.client.connection import Connection
from pgsansio.client.port import ConcurrentPort, PortEvent, TaskHandle
from pgsansio.client.time_limit import time_limit
from pgsansio.engine.operations import TELLS, Operation
from pgsansio.enums import Outcome, TransactionStatus
from pgsansio.errors import InterfaceError, InterfaceWarning, OperationTimeoutError
from pgsansio.policy.conninfo import UNSET, resolve_timeout
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
from pgsansio.types.secret import Secret, SecretFunction, hide_arguments

__all__ = ["NOT_READY", "RESET_SECONDS", "PoolWork", "ResetRequest", "Start", "Waiter", "as_ours"]

#: How long a check may take; who waits gets a new connection then.
CHECK_SECONDS: Final = 5.0

#: How long a reset may take unless release() or acquire() said so; nobody waits for it, but its place is taken.
RESET_SECONDS: Final = 30.0

NOT_READY: Final = "the time limit has passed before the pool had a connection ready"

_NOT_RESET: Final = "the time limit has passed before the connection was reset"

# Looking up a member of an Enum costs a tenth of a microsecond in Python 3.11.
_COMPLETED: Final = Outcome.COMPLETED
_NO_TRANSACTION: Final = TransactionStatus.IDLE
_RUNNING: Final = PoolState.RUNNING

_logger: Final = logging.getLogger("pgsansio.client.pool")


class Waiter:
    """A task that wants a connection: gets one, or an error. `event` is there if it has to wait."""

    __slots__ = ("connection", "error", "event")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.error: BaseException | None = None
        self.event: PortEvent | None = None

    def settled(self) -> None:
        if self.event is not None:
            self.event.set()


class ResetRequest:
    """How long a reset may take, and who is told its end."""

    __slots__ = ("done", "error", "seconds")

    def __init__(self, seconds: float, done: PortEvent | None) -> None:
        self.seconds = seconds
        self.done = done
        self.error: BaseException | None = None


class Start:
    """A start that is under way or over; several tasks may wait for it."""

    __slots__ = ("done", "error")

    def __init__(self, done: PortEvent) -> None:
        self.done = done
        self.error: BaseException | None = None


class _Alarm:
    """What makes the task that keeps the time look at once."""

    __slots__ = ("wake",)

    def __init__(self, wake: PortEvent) -> None:
        self.wake = wake


class PoolWork:
    """A pool as its policy's hands and eyes."""

    #: This loop's `connect` and `Connection`.
    _connect_here: ClassVar[Callable[..., Awaitable[Any]]]
    _connection_class_here: ClassVar[type[Connection]]
    #: Whether release() waits for the reset also without a `reset` function, and raises what it fails with.
    _release_waits: ClassVar[bool] = False

    _alarm: _Alarm | None = None
    #: When it rings; math.inf: there is none.
    _alarm_at = math.inf

    def __init__(self, limits: PoolLimits, *, is_lazy: bool) -> None:
        self._limits = limits
        self._is_lazy = is_lazy
        self._policy: PoolPolicy[Waiter, Connection] = PoolPolicy(limits, is_lazy=is_lazy)
        self._dsn: Secret[str] | None = None
        self._connect_kwargs: dict[str, Any] = {}
        self._connect_parameters: Callable[[], Any] | None = None
        self._connect: Callable[..., Any] | None = None
        self._setup: Callable[[Any], Any] | None = None
        self._init: Callable[[Any], Any] | None = None
        self._reset: Callable[[Any], Any] | None = None
        self._check: Callable[[Any], Any] | None = None
        #: Nobody is called, or waited for, where a connection is acquired and released.
        self._is_plain = False
        self._connection_class = Connection
        self._home: ConcurrentPort | None = None
        self._due: deque[Action[Waiter, Connection]] = deque()
        self._carrying_out = False
        self._start_under_way: Start | None = None
        #: Whether a start that fails may be tried again.
        self._may_restart = is_lazy
        self._finished: PortEvent | None = None
        self._tasks: dict[object, TaskHandle] = {}
        #: Set when the last task has ended, if somebody waits for that.
        self._alone: PortEvent | None = None
        #: Resets under way: by tasks, and those that need none, with the time when they are late.
        self._resets: dict[Connection, ResetRequest] = {}
        self._resets_alone: dict[Connection, float] = {}

    def __del__(self) -> None:
        if self._alarm is not None:
            # The collector may run in any thread, and when the loop is gone; then there is no such task either.
            with suppress(InterfaceError):
                cast(ConcurrentPort, self._home).guard()
                self._alarm.wake.set()

    def _make_home(self) -> ConcurrentPort:
        """A port of the running loop, never to be opened."""
        raise NotImplementedError

    def _connect_arguments(self) -> dict[str, Any]:
        """Keyword arguments for connect()."""
        raise NotImplementedError

    async def _ready(self, timeout: float | None) -> tuple[ConcurrentPort, float | None]:
        """The home of the pool, which has started (a lazy one is started), and when a task gives up that waits for a
        connection.

        Args:
            timeout: for how long it waits; None: as long as the pool says.
        """
        raise NotImplementedError

    def _running_home(self) -> ConcurrentPort:
        if self._home is None:
            raise InterfaceError("pool is closed" if self._policy.is_closing else "pool is not initialized")
        return self._home

    def _begin_start(self) -> Start:
        """Raises InterfaceError: it has begun already, or the pool is closed."""
        home = self._home
        if home is None:
            home = self._make_home()
            self._finished = home.event()
            self._home = home
        actions = self._policy.start(home.clock())
        start = self._start_under_way = Start(home.event())
        self._carry_out(actions)
        return start

    def terminate(self) -> None:
        """Close the pool and all of its connections now, without waiting.

        Raises:
            InterfaceError: the pool has not started, and is not a lazy one; or it is called from another thread, and
                nothing has happened.
        """
        if self._home is not None:
            self._home.guard_thread()
        self._may_restart = False
        if self._home is None and self._is_lazy:
            self._policy.terminate(0.0)
            return
        home = self._running_home()
        self._carry_out(self._policy.terminate(home.clock()))
        self._cancel_tasks()

    # carrying out

    def _carry_out(self, actions: list[Action[Waiter, Connection]]) -> None:
        """Do what the policy has decided; what follows from that comes after it."""
        if actions:
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
        if self._policy.soonest < self._alarm_at:
            self._keep_time()

    def _do(self, action: Action[Waiter, Connection]) -> None:
        match action:
            case Grant(waiter, connection):
                waiter.connection = connection
                waiter.settled()
            case Reset(connection):
                self._begin_reset(connection, None, is_waited_for=False)
            case Check(connection):
                self._begin(functools.partial(self._check_connection, connection))
            case Open(slot):
                self._begin(functools.partial(self._open, slot))
            case Close(connection):
                self._begin(functools.partial(self._close, connection))
            case Terminate(connection):
                connection.terminate()
            case Fail(waiter, error):
                waiter.error = error
                waiter.settled()
            case Drained(waiter):
                waiter.settled()
            case Ready():
                cast(Start, self._start_under_way).done.set()
            case StartFailed(error):
                self._start_failed(error)
            case FloorFailed(error, retry_in):
                _logger.warning(
                    "Failed to restore the pool connection floor; retrying in %g s", retry_in, exc_info=error
                )
            case Finished():
                if self._finished is not None:
                    self._finished.set()
                if self._alarm is not None:
                    self._alarm.wake.set()  # it has nothing to wait for any more

    def _start_failed(self, error: BaseException) -> None:
        start = cast(Start, self._start_under_way)
        start.error = error
        start.done.set()
        if self._may_restart:
            # What is still under way tells the former policy.
            self._policy = PoolPolicy(self._limits, is_lazy=True)
        else:
            cast(PortEvent, self._finished).set()
        self._cancel_tasks()

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """A task of the pool's."""
        key = object()
        self._tasks[key] = _NO_TASK
        task = cast(ConcurrentPort, self._home).start_task(functools.partial(_run, ref(self), key, work))
        if key in self._tasks:  # some loops begin tasks at once
            self._tasks[key] = task

    def _task_ended(self, key: object) -> None:
        self._tasks.pop(key, None)
        if not self._tasks and self._alone is not None:
            self._alone.set()

    def _cancel_tasks(self) -> None:
        tasks = list(self._tasks.values())
        # One that has not begun is gone without a trace.
        self._tasks.clear()
        self._alarm, self._alarm_at = None, math.inf
        for task in tasks:
            task.cancel()
        for request in self._resets.values():
            if request.done is not None:
                request.done.set()
        if self._alone is not None:
            self._alone.set()

    # tasks

    async def _open(self, slot: int) -> None:
        policy, home = self._policy, cast(ConcurrentPort, self._home)
        try:
            connection = await self._connected(home)
        except Exception as error:
            self._carry_out(policy.open_failed(slot, error, home.clock()))
        except BaseException:
            # The pool was terminated, or the loop ends: then there is nobody to open another one for.
            if policy is self._policy:
                self.terminate()
            raise
        else:
            share = zlib.crc32(home.nonce().encode()) / 0xFFFFFFFF if self._limits.max_lifetime else 0.0
            self._carry_out(policy.opened(slot, connection, home.clock(), share))

    async def _connected(self, home: ConcurrentPort) -> Connection:
        """A new connection, ready for its first user."""
        arguments = {"dsn": self._dsn, **self._connect_arguments()}
        if self._connect_parameters is not None:
            seconds = resolve_timeout(arguments.get("timeout", UNSET))
            at = None if seconds is None else home.clock() + seconds
            async with time_limit(home, at, "finding the parameters of a connection"):
                found = Secret(await home.call_user(SecretFunction(self._connect_parameters)))
            if not isinstance(found.reveal(), Mapping):
                raise InterfaceError(
                    "expected the pool's connect_parameters to return a dict of connect()'s arguments, "
                    f"got {_full_name(found.reveal())!r}"
                )
            arguments |= hide_arguments(found.reveal())
        if self._connect is None:
            connect: Callable[[], Any] = functools.partial(type(self)._connect_here, **arguments)
        else:
            connect = _with_plain(self._connect, **arguments)
        connection = await home.call_user(connect)
        if not isinstance(connection, self._connection_class):
            wanted = self._connection_class
            raise InterfaceError(
                f"expected pool connect callback to return an instance of "
                f"'{wanted.__module__}.{wanted.__name__}', got '{_full_name(connection)}'"
            )
        try:
            if self._limits.multiplex and not connection._frontend.pipelining:
                raise InterfaceError("a pool with `multiplex` cannot use connections with `pipelining=False`")
            home.keep_reading(connection._port)
            if self._init is not None:
                await home.call_user(self._init, connection)
            connection._check_open()
        except BaseException:
            connection.terminate()
            raise
        connection._on_end = self._connection_ended
        connection._on_reset = self._reset_ended
        return connection

    def _connection_ended(self, connection: Connection) -> None:
        self._carry_out(self._policy.connection_lost(connection, cast(ConcurrentPort, self._home).clock()))

    # lending

    def _at_once(self) -> Connection | None:
        """A connection that is idle; None: `_waited` has one, and is to be asked at once.

        Not for who has to pass a checkpoint, and does not with what he does next.
        """
        home = self._home
        if home is None:
            return None
        home.guard()
        connection = self._policy.take(home.clock())
        if connection is None or not connection.is_closed():
            return connection
        self._carry_out(self._policy.released(connection, home.clock(), False, 0))
        return None

    async def _waited(self, timeout: float | None) -> tuple[Connection, float | None]:
        """A connection, and when the time ends in which this task wanted to have one."""
        policy = self._policy
        if timeout is None and self._limits.acquire_timeout is None and policy.state is _RUNNING:
            home, deadline = self._running_home(), None
        else:
            home, deadline = await self._ready(timeout)
            policy = self._policy
        while True:
            waiter = Waiter()
            actions = policy.acquire(waiter, home.clock(), deadline)
            if actions or policy.soonest < self._alarm_at:
                self._carry_out(actions)
            try:
                if waiter.connection is None and waiter.error is None:
                    waiter.event = home.event()
                    await waiter.event.wait()
                elif home.has_checkpoints:
                    await home.checkpoint()
            except BaseException:
                self._carry_out(policy.cancel_wait(waiter, home.clock()))
                raise
            connection = waiter.connection
            if connection is None:
                raise as_ours(cast(BaseException, waiter.error), NOT_READY)
            # (One that was waited for somebody has read just now.)
            if connection._frontend.is_open if waiter.event is not None else not connection.is_closed():
                return connection, deadline
            # It was lost before this task could run: that is nobody's error yet.
            self._carry_out(policy.released(connection, home.clock(), False, 0))

    def _hand_on(self, connection: Connection, reset: Operation) -> None:
        """Nobody uses it any more, and it has been reset by this, or is being reset: mostly it goes to who waits."""
        if (
            reset.outcome is _COMPLETED
            and connection._frontend.transaction_status is _NO_TRANSACTION
            and not (connection._subscriptions.has_channels or connection._log_listeners)
            and not connection._parameter_listeners
            and connection._frontend.is_open
        ):
            now = cast(ConcurrentPort, self._home).clock()
            is_done, waiter = self._policy.hand_on(connection, now, connection._queries)
            if is_done:
                connection._releases += 1
                if waiter is not None:
                    waiter.connection = connection
                    waiter.settled()
                elif self._policy.soonest < self._alarm_at:
                    self._keep_time()
                return
        self._bring_back(connection, None, reset)

    def _bring_back(
        self, connection: Connection, seconds: float | None, reset: Operation | None = None
    ) -> ResetRequest | None:
        """Nobody uses it any more.

        Args:
            seconds: as of `_begin_reset`.
            reset: it is being reset by this already, or has been.
        Returns: as `_begin_reset`.
        """
        connection._releases += 1
        if reset is None:
            connection._forget_stream()
        left_behind = connection._end_listening()
        now = self._running_home().clock()
        actions = self._policy.released(connection, now, not connection.is_closed(), connection._queries)
        request = None
        if len(actions) != 1 or type(actions[0]) is not Reset:
            self._carry_out(actions)
        elif reset is not None and reset.settled:
            self._carry_out(self._policy.reset_done(connection, now, reset.error is None and _is_as_new(connection)))
        elif reset is not None:
            self._watch_reset(connection, reset, now + RESET_SECONDS)
        else:
            waits = self._reset is not None or self._release_waits
            request = self._begin_reset(connection, seconds, is_waited_for=waits)
        for kind, count in left_behind:
            warnings.warn(
                InterfaceWarning(
                    f"{connection!r} is being released to the pool but has {count} "
                    f"active {kind} listener{'' if count == 1 else 's'}"
                ),
                stacklevel=3,
            )
        return request

    def _begin_reset(
        self, connection: Connection, seconds: float | None, *, is_waited_for: bool
    ) -> ResetRequest | None:
        """The policy wants it reset.

        Args:
            seconds: how long that may take; None: as long as usual.
        Returns:
            What tells its end, if somebody waits for that.
        """
        home = cast(ConcurrentPort, self._home)
        if seconds is None:
            seconds = RESET_SECONDS
        if is_waited_for or self._reset is not None or not connection._may_reset_alone():
            request = self._resets[connection] = ResetRequest(seconds, home.event() if is_waited_for else None)
            self._begin(functools.partial(self._reset_connection, connection))
            return request
        if connection._command_timeout is not None:
            seconds = min(seconds, connection._command_timeout)
        now = home.clock()
        reset = connection._reset_alone()
        if reset is None:
            self._carry_out(self._policy.reset_done(connection, now, _is_as_new(connection)))
        else:
            self._watch_reset(connection, reset, now + seconds)
        return None

    def _watch_reset(self, connection: Connection, reset: Operation, at: float) -> None:
        """It is to end by this time, and `_reset_ended` is told."""
        connection._resetting = reset
        reset.traits |= TELLS
        cast(ConcurrentPort, connection._port).expect(reset)
        self._resets_alone[connection] = at
        if at < self._alarm_at:
            self._keep_time()

    def _reset_ended(self, connection: Connection, reset: Operation) -> None:
        if self._resets_alone.pop(connection, None) is not None:
            now = self._running_home().clock()
            self._carry_out(self._policy.reset_done(connection, now, reset.error is None and _is_as_new(connection)))

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
            ok = _is_as_new(connection)
        except Exception as error:
            # Without a function of the user's that is nobody's error: the connection is closed, and another opened.
            request.error = as_ours(error, _NOT_RESET, Outcome.UNKNOWN)
        except BaseException:
            self.terminate()
            raise
        finally:
            del self._resets[connection]
            self._carry_out(policy.reset_done(connection, home.clock(), ok))
            if request.done is not None:
                request.done.set()

    async def _check_connection(self, connection: Connection) -> None:
        policy, home = self._policy, cast(ConcurrentPort, self._home)
        ok = False
        try:
            async with home.deadline(home.clock() + CHECK_SECONDS):
                if self._check is None:
                    await connection._script("", internal=True)
                    ok = True
                else:
                    ok = await home.call_user(self._check, connection) is not False
            ok = ok and _is_as_new(connection)
        except Exception:
            # Nobody's error: who waits gets another one.
            ok = False
        except BaseException:
            self.terminate()
            raise
        finally:
            self._carry_out(policy.checked(connection, home.clock(), ok))

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

    # time

    def _next_time(self) -> float:
        """When something may be due by the clock; math.inf: nothing is."""
        if self._policy.state is PoolState.CLOSED:
            return math.inf
        at = math.inf if self._policy.is_closing else self._policy.soonest
        return min(at, *self._resets_alone.values()) if self._resets_alone else at

    def _keep_time(self) -> None:
        """See that somebody looks at the clock in time."""
        at = self._next_time()
        if at >= self._alarm_at:
            return
        self._alarm_at = at
        if self._alarm is None:
            home = cast(ConcurrentPort, self._home)
            alarm = self._alarm = _Alarm(home.event())
            self._begin(functools.partial(_ring, ref(self), home, alarm))
        else:
            self._alarm.wake.set()

    def _look_at_clock(self) -> None:
        now = cast(ConcurrentPort, self._home).clock()
        late = [connection for connection, at in self._resets_alone.items() if at <= now]
        for connection in late:
            del self._resets_alone[connection]
            self._carry_out(self._policy.reset_done(connection, now, ok=False))
        self._carry_out(self._policy.tick(now))


async def _run(weak_pool: "ref[PoolWork]", key: object, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    finally:
        pool = weak_pool()
        if pool is not None:
            pool._task_ended(key)


async def _ring(weak_pool: "ref[PoolWork]", home: ConcurrentPort, alarm: _Alarm) -> None:
    """Tell the policy when its deadlines come. Nothing here keeps the pool while this waits."""
    while (pool := weak_pool()) is not None and pool._alarm is alarm:
        at = pool._alarm_at = pool._next_time()
        if at == math.inf:
            pool._alarm = None
            return
        if alarm.wake.is_set():
            alarm.wake = home.event()
        del pool
        try:
            async with home.deadline(at):
                await alarm.wake.wait()
        except TimeoutError:
            pool = weak_pool()
            if pool is not None:
                pool._look_at_clock()


class _NoTask:
    def cancel(self) -> None:
        """It has not begun."""


_NO_TASK: Final = _NoTask()


def as_ours(error: BaseException, text: str, outcome: Outcome = Outcome.CANCELLED) -> BaseException:
    """A time limit's error as this library raises it; others as they are."""
    if type(error) is TimeoutError and not error.args:
        ours = OperationTimeoutError(text, outcome=outcome)
        ours.__cause__ = error.__cause__
        return ours
    return error


def _is_as_new(connection: Connection) -> bool:
    return connection._frontend.transaction_status is TransactionStatus.IDLE and not connection.is_closed()


def _with_plain(connect: Callable[..., Any], dsn: object, **arguments: Any) -> SecretFunction:
    """The user's function with what we have hidden from everybody else."""
    plain = {
        name: cast(object, value.reveal()) if isinstance(value, Secret) else value
        for name, value in {"dsn": dsn, **arguments}.items()
    }
    return SecretFunction(functools.partial(connect, plain.pop("dsn"), **plain))


def _full_name(instance: object) -> str:
    value = type(instance)
    return value.__name__ if value.__module__ == "builtins" else f"{value.__module__}.{value.__name__}"
