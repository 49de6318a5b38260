"""SequentialPort: all of a port but its I/O, for one task at a time.

With a subclass whose methods never suspend, a coroutine of the client runs to its end in a single `send(None)`: that is
a synchronous client (see `run`). A loop with several tasks can start from here, too: it overrides `until`, `deadline`
and `owe`. `examples/blocking_client.py` and `examples/selectors_loop.py` do the one and the other.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, Self, TypeVar

from pgsansio.client.port import Address, BinaryFile, FilePath, GssContext
from pgsansio.engine.driven import Engine
from pgsansio.engine.operations import Operation
from pgsansio.errors import InterfaceError
from pgsansio.policy.conninfo import TcpAddress
from pgsansio.policy.gss import GssTarget
from pgsansio.policy.tcp_options import TcpOptions
from pgsansio.policy.tls_settings import TlsSettings
from pgsansio.types.tls import TlsInfo

__all__ = ["SequentialPort", "run"]

T = TypeVar("T")

#: When the innermost deadline is, by `clock`. It holds for every port that is used in its block, as while connecting.
_deadline: Final[ContextVar[float]] = ContextVar("deadline", default=math.inf)


class SequentialPort(ABC):
    """A `Port`; what its methods promise is said there. A subclass is made without arguments, or overrides `sibling`.

    Attributes:
        engine: set by `open_stream`.
        unsent: taken from the engine and not written yet; `flush` takes more.
    """

    reads_when_idle = False
    has_tls = False
    has_tasks = False
    has_checkpoints = False
    origin = "run Python with -X tracemalloc to show the traceback of connection origin"
    on_news: Callable[[], None] | None = None
    on_cancel_due: Callable[[], Awaitable[None]] | None = None
    engine: Engine
    unsent: bytes = b""

    # what a subclass brings

    @abstractmethod
    async def open_stream(self, address: Address, engine: Engine) -> None: ...

    @abstractmethod
    def exchange(self, seconds: float | None) -> bool:
        """Wait until something can be read, or written if there is anything `unsent`, and read it.

        Both, since a server that cannot write does not read. What was read goes to the engine, then `fed` is called;
        at the end of the stream, or after an error, `lost`.

        Args:
            seconds: to wait at most; 0: only look; None: no limit.
        Returns:
            Whether anything can be read or written.
        """
        ...

    @abstractmethod
    def flush(self) -> None: ...

    @abstractmethod
    def shut(self) -> None:
        """Close the transport; never fails, does nothing a second time."""
        ...

    @abstractmethod
    async def resolve(self, host: str, port: int) -> list[TcpAddress]: ...

    @abstractmethod
    def clock(self) -> float: ...

    @abstractmethod
    def nonce(self) -> str: ...

    async def read_file(self, path: str, *, private: bool = False) -> str | None:
        """None, unless a subclass can read files (password files are all that is ever asked for)."""
        return None

    async def open_file(self, path: FilePath, *, writing: bool) -> BinaryFile:
        """An InterfaceError, unless a subclass can open files (COPY asks for those that its caller names by a path)."""
        raise InterfaceError("this client opens no files", hint="Open it, and pass the file object.")

    async def tls_context(self, settings: TlsSettings) -> object:
        """An InterfaceError, as `start_tls`, unless a subclass has TLS and says so (`has_tls`)."""
        raise InterfaceError("this client has no TLS")

    async def start_tls(self, context: object, server_hostname: str | None) -> TlsInfo:
        """See `tls_context`. `pgsansio.tls.TlsEngine` is what there is to build on."""
        raise InterfaceError("this client has no TLS")

    def gss_context(self, target: GssTarget) -> GssContext:
        """An InterfaceError, unless a subclass knows GSSAPI or SSPI."""
        raise InterfaceError("this client knows neither GSSAPI nor SSPI")

    def set_tcp_options(self, options: TcpOptions) -> None:  # noqa: B027
        """Nothing, unless a subclass's `open_stream` looks after its socket."""

    def peer_user(self) -> str | None:
        """None: not known, unless a subclass can tell (see `Port.peer_user`)."""
        return None

    # what follows from it

    def stopwatch(self) -> float:
        return self.clock()

    def drive(self, engine: Engine) -> None:
        self.engine = engine

    def fed(self) -> None:
        """The engine was given something."""
        if self.engine.news and self.on_news is not None:
            self.on_news()
        self.engine.completed()
        if self.engine.ended:
            self.flush()
            self.shut()
            self.unsent = b""

    def lost(self, cause: BaseException | None) -> None:
        """The transport has ended."""
        self.shut()
        self.engine.connection_lost(cause)
        self.fed()

    def seconds_left(self) -> float | None:
        """Until the innermost deadline."""
        at = _deadline.get()
        return None if at == math.inf else max(at - self.clock(), 0.0)

    async def until(self, done: Callable[[], bool]) -> None:
        """Write and read until this is true.

        Raises:
            TimeoutError: the innermost deadline has passed.
        """
        self.flush()
        while not done():
            if not self.exchange(self.seconds_left()):
                raise TimeoutError
            self.flush()

    async def wait(self, operation: Operation) -> None:
        await self.until(lambda: operation.settled)

    async def progress(self, operation: Operation) -> None:
        await self.until(lambda: operation.settled or operation.attention)

    async def outbox_low(self) -> None:
        await self.until(lambda: not self.unsent)

    async def checkpoint(self) -> None:  # noqa: B027
        """There is nobody else to run."""

    @asynccontextmanager
    async def deadline(self, at: float | None) -> AsyncGenerator[None]:
        outer = _deadline.get()
        own = math.inf if at is None else at
        _deadline.set(min(own, outer))
        try:
            yield
        except TimeoutError as error:
            # Not the one of `until`: by that who is around this block knows that it was this limit. The system's has a
            # number, and says that an address cannot be reached.
            if type(error) is TimeoutError and error.errno is None and own <= outer:
                raise TimeoutError from error
            raise
        finally:
            _deadline.set(outer)

    async def owe(self, work: Callable[[], Awaitable[None]], seconds: float, *, lingers: bool = False) -> None:
        del lingers
        outer = _deadline.get()
        _deadline.set(self.clock() + seconds)
        try:
            # What `work` could not do it has answered by closing the connection.
            with suppress(OSError):
                await work()
        finally:
            _deadline.set(outer)

    def poll(self) -> None:
        if not self.engine.ended:
            self.exchange(0.0)

    async def close(self) -> None:
        await self.outbox_low()
        self.abort()

    def abort(self) -> None:
        self.lost(None)

    def sibling(self) -> Self:
        return type(self)()

    def guard(self) -> None:  # noqa: B027
        """The subclass's users see to it."""

    def guard_thread(self) -> None:  # noqa: B027
        """Likewise."""

    def task(self) -> object:
        return None

    async def run_elsewhere(self, function: Callable[[], T], *, may_abandon: bool = False) -> T:
        return function()

    async def call_user(self, function: Callable[..., Any], *arguments: object) -> Any:
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    def deliver(self, callback: Callable[..., Any], *arguments: object) -> None:
        callback(*arguments)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that awaits only what never suspends.

    Raises:
        InterfaceError: it awaited something else.
        Else whatever it raises.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise InterfaceError("a coroutine that was to run synchronously has awaited something that suspends")
