"""Port: the closed set of things a loop is asked to do for one connection.

The client's coroutines await only these methods, so they do no I/O and know no loop. A blocking port whose methods
never suspend runs them with a single `send(None)`; a test's port stops them at any await. Each contract says what a
cancellation at that method (any BaseException raised out of the await) leaves behind.

What an adapter does besides, without being asked, after each feed: calls `on_news` if `engine.news`; takes
`engine.completed()` and wakes whoever waits for one of these; writes `engine.data_to_send()`; closes the transport when
`engine.ended`.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from pgsansio.engine.driven import Engine
from pgsansio.engine.operations import Operation
from pgsansio.policy.conninfo import PathLike, TcpAddress, UnixAddress
from pgsansio.policy.gss import GssTarget
from pgsansio.policy.tcp_options import TcpOptions
from pgsansio.policy.tls_settings import TlsSettings
from pgsansio.types.tls import TlsInfo

__all__ = ["Address", "BinaryFile", "ConcurrentPort", "FilePath", "GssContext", "Port", "TaskHandle"]

T = TypeVar("T")
Address = TcpAddress | UnixAddress
FilePath: TypeAlias = str | bytes | PathLike


class BinaryFile(Protocol):
    """A file that was opened in binary mode."""

    def read(self, size: int, /) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...

    def close(self) -> None: ...


class GssContext(Protocol):
    """A security context of GSSAPI or SSPI, from the client's side."""

    def step(self, token: bytes | None) -> tuple[bytes | None, bool]:
        """Do the next step; may wait for the network.

        Args:
            token: what the server has said; None: nothing, at first.
        Returns:
            A token for the server, if there is one, and whether the context is established: whatever was asked of the
            server, such as to authenticate itself, it has done.
        Raises exceptions of the library.
        """
        ...


class Port(Protocol):
    """One connection's way to the outside. Needs no concurrency."""

    #: Called, without arguments and never inside of a feed, when the engine has news; must not wait. None: nobody asks.
    on_news: Callable[[], None] | None
    #: Called by whoever can wait, when `engine.cancel_due`: carries the cancellation out. None: nobody does. A
    #: TimeoutError of it says that it took too long; the connection has been closed for that.
    on_cancel_due: Callable[[], Awaitable[None]] | None

    #: Whether `start_tls` can do anything. Without it nothing is encrypted, and who demands that gets an error.
    has_tls: bool

    #: Whether this is a `ConcurrentPort`. Without tasks a host's addresses are tried one after the other.
    has_tasks: bool

    #: Whether `checkpoint` does anything. Where it does not, who gives away row after row need not stop for it.
    has_checkpoints: bool

    #: What a warning says of where a connection that was never closed comes from, or how to be told that.
    origin: str

    @property
    def reads_when_idle(self) -> bool:
        """Whether somebody reads this connection while no task waits for anything."""
        ...

    # waiting

    def wait(self, operation: Operation) -> Awaitable[None]:
        """Until `operation` is settled; what is pending goes out *while* bytes are read.

        Several tasks may wait for one operation. Cancelled: the operation goes on, the caller decides what is owed.
        """
        ...

    def progress(self, operation: Operation) -> Awaitable[None]:
        """Until `operation.attention` is set or it is settled. Cancelled: as `wait`."""
        ...

    def outbox_low(self) -> Awaitable[None]:
        """Until little of what was handed over waits to be written (so that a long batch or COPY does not pile up).

        Reads all the while. Cancelled: nothing is lost, and every byte keeps its place.
        """
        ...

    def poll(self) -> None:
        """Look, without waiting, whether the connection has ended, where nobody reads it while it is idle."""
        ...

    def flush(self) -> None:
        """Try to write what is pending, without waiting."""
        ...

    def checkpoint(self) -> Awaitable[None]:
        """Let others run, and a cancellation come through, where the loop has such a thing. Cancelled: nothing
        happened."""
        ...

    def deadline(self, at: float | None) -> AbstractAsyncContextManager[Any]:
        """A block that is cancelled at this time of `clock` and then raises TimeoutError; None: never."""
        ...

    def owe(self, work: Callable[[], Awaitable[None]], seconds: float, *, lingers: bool = False) -> Awaitable[None]:
        """Carry out what a cancelled or failed call still owes the server, protected from cancellation, bounded in
        time.

        Either in the background, returning at once, or here, before returning. `work` handles its own failures, a
        cancellation at the bound among them; a port may bound it earlier than `seconds`. Cannot be cancelled.

        Args:
            lingers: a block is left, and perhaps the loop ends behind it: in the background as well it is waited for,
                for up to `CANCEL_GRACE`.
        """
        ...

    # the transport

    def resolve(self, host: str, port: int) -> Awaitable[list[TcpAddress]]:
        """Addresses of a host name, in the order to try. Raises OSError. Cancelled: nothing remains."""
        ...

    def set_tcp_options(self, options: TcpOptions) -> None:
        """What `open_stream` is to set on its socket before that connects, if it is one of TCP and the system has
        these options."""
        ...

    def open_stream(self, address: Address, engine: Engine) -> Awaitable[None]:
        """Connect, and drive `engine` from now on. Once per port.

        Raises OSError; ClientConfigurationError: the system refuses one of the options. Cancelled or failed: nothing
        remains open.
        """
        ...

    def peer_user(self) -> str | None:
        """Whom the system calls the owner of the process at the other end of the open stream, which is a Unix socket;
        None: it does not tell."""
        ...

    def drive(self, engine: Engine) -> None:
        """Drive another engine over the open stream from now on, in the place of the one before, which has nothing to
        say any more. It is told at once if the connection has ended meanwhile."""
        ...

    def tls_context(self, settings: TlsSettings) -> Awaitable[object]:
        """What `start_tls` needs for these settings; reads files, and keeps what it has made of them.

        Raises ClientConfigurationError. Cancelled: nothing remains.
        """
        ...

    def start_tls(self, context: object, server_hostname: str | None) -> Awaitable[TlsInfo]:
        """Put TLS between the open stream and the engine; it stays there when another engine is driven.

        Nothing of the engine's is written before the handshake is over, nor is anything read for it. Once per port.

        Args:
            context: of `tls_context`, or the user's own.
            server_hostname: to be sent (SNI) and, where the context says so, to be checked; None: neither.

        Raises OSError (of the handshake; a certificate's too), ClientConfigurationError. Cancelled or failed: the
        stream is of no use for anything any more: abort it.
        """
        ...

    def close(self) -> Awaitable[None]:
        """Write what is pending, close the transport and wait until it is closed. Does nothing a second time.

        Cancelled: the transport is aborted.
        """
        ...

    def abort(self) -> None:
        """Close the transport now; what was not written is lost. Never fails, does nothing a second time."""
        ...

    def sibling(self) -> Self:
        """A port of the same kind for another connection."""
        ...

    # the world

    def guard(self) -> None:
        """Raises InterfaceError if called from another loop, thread or process than the connection belongs to."""
        ...

    def guard_thread(self) -> None:
        """The same for `abort`, which is also right when the loop has ended and in a forked child: only the thread."""
        ...

    def task(self) -> object:
        """Something that stands for the running task, to compare with `==`; None where there is only one."""
        ...

    def clock(self) -> float:
        """Monotonic seconds."""
        ...

    def stopwatch(self) -> float:
        """Seconds since some moment, for the time between two calls; `clock` may stand still meanwhile."""
        ...

    def nonce(self) -> str:
        """18 random bytes or more, as printable ASCII without a comma."""
        ...

    def read_file(self, path: str, *, private: bool = False) -> Awaitable[str | None]:
        """A small text file; None if it cannot be read, or (`private`, with a warning) if others may read it.

        Cancelled: nothing remains.
        """
        ...

    def open_file(self, path: FilePath, *, writing: bool) -> Awaitable[BinaryFile]:
        """Open a file of the user's in binary mode: to read it, or to write it anew.

        Its methods wait for the file system: call them by `run_elsewhere`.

        Raises OSError. Cancelled: it is closed again, if it is opened at all.
        """
        ...

    def run_elsewhere(self, function: Callable[[], T], *, may_abandon: bool = False) -> Awaitable[T]:
        """Run what is slow or waits for the system where it does not hold up the loop. Cancelled: its result is
        dropped, at once (always, if `may_abandon`) or when it is there; it may go on for a while."""
        ...

    def gss_context(self, target: GssTarget) -> GssContext:
        """A new security context. Waits for files, and perhaps for the network: call it by `run_elsewhere`.

        Raises InterfaceError: the library is not there; exceptions of the library.
        """
        ...

    def call_user(self, function: Callable[..., Any], *arguments: object) -> Awaitable[Any]:
        """Call the user's function, awaiting its result if that is awaitable. Cancelled: as the function decides."""
        ...

    def deliver(self, callback: Callable[..., Any], *arguments: object) -> None:
        """Call the user's callback soon, outside of what happens now; if it is a coroutine function, as a task.

        Functions are called in the order of `deliver`; coroutine functions run beside each other, in no certain order.

        What it raises goes where the loop sends what nobody awaits, and not into the conversation that goes on: to
        asyncio's exception handler; on trio up the stack, which cancels the block that the connection, or its pool,
        lives in, and is raised by that. A connection without such a block has nothing but the log.
        """
        ...


class TaskHandle(Protocol):
    """A task started by `ConcurrentPort.start_task`."""

    def cancel(self) -> None:
        """Ask it to end; does not wait."""
        ...


class ConcurrentPort(Port, Protocol):
    """A port of a loop with tasks. Without one, addresses are tried in order and a pool opens connections inline."""

    def tasks(self) -> AbstractAsyncContextManager[Callable[[Callable[[], Awaitable[None]]], object]]:
        """A block with tasks of its own: what it gives is called with the work of each.

        When the block is left, in whatever way, they are cancelled, and waited for. What one of them raises is a defect
        of it.
        """
        ...

    def start_task(self, work: Callable[[], Awaitable[None]]) -> TaskHandle:
        """Run `work` beside the caller; what it raises is a defect of it, and reported as the loop reports those."""
        ...

    def event(self) -> "PortEvent":
        """A new event, not set."""
        ...

    def keep_reading(self, other: Port) -> None:
        """Read the open connection of `other`, a port of this kind, while no task waits for it: as a task of this
        one."""
        ...

    def expect(self, operation: Operation) -> None:
        """See that what settles this operation is read when it comes, though no task waits for it. Somebody keeps
        reading this connection."""
        ...


class PortEvent(Protocol):
    """Set once, waited for by any number of tasks."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    def wait(self) -> Awaitable[None]:
        """Until it is set; a checkpoint. Cancelled: nothing happened."""
        ...
