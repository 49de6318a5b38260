"""Bytes between the socket and the engine: what is written at once and what waits, one read, and the end.

Nothing here waits for the socket: that is the baton's.
"""

import math
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final, cast

import trio

from pgsansio.client.port import Address
from pgsansio.engine.driven import Engine
from pgsansio.policy.conninfo import UnixAddress
from pgsansio.policy.tcp_options import TcpOptions
from pgsansio.tls import TlsEngine
from pgsansio_trio.place import Place
from pgsansio_trio.tcp import tcp_socket, tcp_target
from pgsansio_trio.unix import peer_user

__all__ = ["Transport"]

_WOULD_BLOCK: Final = (BlockingIOError, InterruptedError)


class Transport(Place, ABC):
    """A socket that is read and written without waiting, for one engine."""

    def __init__(self) -> None:
        super().__init__()
        #: `trio.current_time` would ask for the run's clock each time.
        self.clock: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self._engine: Engine = cast(Engine, None)
        self._tls: TlsEngine | None = None
        self._tcp_options = TcpOptions()
        self._raw: socket.socket | None = None
        self._outbox: deque[memoryview] = deque()
        self._outbox_bytes = 0
        #: When somebody last looked for bytes.
        self._last_received = -math.inf

    @abstractmethod
    def _fed(self) -> None:
        """The engine was fed, or told of an end: do what follows from that."""

    @abstractmethod
    def _written(self) -> None:
        """As much of the outbox was written as the socket takes, and perhaps all."""

    @abstractmethod
    def _closed(self) -> None:
        """There is no socket any more, and nothing that waits to be written."""

    def set_tcp_options(self, options: TcpOptions) -> None:
        self._tcp_options = options

    async def open_stream(self, address: Address, engine: Engine) -> None:
        if isinstance(address, UnixAddress):
            raw = await _connected(address.path)
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

    def _receive(self, raw: socket.socket) -> None:
        """One non-blocking read into the engine, and everything that follows from it."""
        engine = self._engine
        self._last_received = self.clock()
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

    def _lost(self, cause: BaseException | None) -> None:
        self._close_socket()
        self._engine.connection_lost(cause)
        self._fed()

    def _send(self) -> None:
        """Write what is due, as far as the socket takes it at once."""
        data = self._engine.data_to_send()
        if data or self._outbox:
            self._write(data)

    def _write(self, data: bytes) -> None:
        """Write this, behind what waits, as far as the socket takes it at once."""
        raw = self._raw
        if raw is None:
            return
        try:
            if not self._outbox:
                try:
                    sent = raw.send(data)
                except _WOULD_BLOCK:
                    sent = 0
                if sent == len(data):
                    return
                self._outbox.append(memoryview(data)[sent:])
                self._outbox_bytes += len(data) - sent
            else:
                if data:
                    self._outbox.append(memoryview(data))
                    self._outbox_bytes += len(data)
                self._write_waiting(raw)
        except OSError as error:
            self._write_failed(raw, error)
        else:
            self._written()

    def _write_waiting(self, raw: socket.socket) -> None:
        try:
            while self._outbox:
                sent = raw.send(self._outbox[0])
                self._outbox_bytes -= sent
                if sent < len(self._outbox[0]):
                    self._outbox[0] = self._outbox[0][sent:]
                    return
                self._outbox.popleft()
        except _WOULD_BLOCK:
            pass

    def _write_failed(self, raw: socket.socket, error: OSError) -> None:
        """The server has gone; what it said before that is still to be read (57P01, usually)."""
        error.__traceback__ = None  # its frames have what was to be sent: a password, perhaps
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

    def flush(self) -> None:
        if not self._is_parents:
            self._send()

    def abort(self) -> None:
        raw = self._raw
        if raw is None:
            return
        if self._is_parents:
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
        self._outbox.clear()
        self._outbox_bytes = 0
        self._closed()


async def _connected(path: str) -> socket.socket:
    """A socket that is connected to this one: at once, or not at all. Waits only if that has failed.

    Raises:
        OSError: nobody listens, or too many wait for that already.
    """
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.connect(path)
    except OSError:
        raw.close()
        await trio.lowlevel.checkpoint()  # or whoever tries again and again would keep all others from running
        raise
    return raw
