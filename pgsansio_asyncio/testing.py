"""Servers of `pgsansio.testing` behind a socket, for programs that connect as they always do.

async with serve(ScriptedServer()) as dsn, connect(dsn) as connection: ...
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast
from urllib.parse import quote

from pgsansio.client.port import Address
from pgsansio.policy.conninfo import Settings, TcpAddress, UnixAddress, resolve_settings
from pgsansio.testing.peer import Peer, Unasked
from pgsansio.testing.recording import Recorder, Relay

__all__ = ["record", "serve"]

_HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 16


class _Connection(asyncio.Protocol):
    """A client's connection, and the peer it talks to."""

    def __init__(self, place: "_Place") -> None:
        self._place = place
        self._peer: Peer | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._place.connections.add(self)
        with self._place.noting_failures():
            self._peer = self._place.make(TcpAddress(_HOST, self._place.port))
            if isinstance(self._peer, Unasked):
                self._peer.on_news = self._flush
        self._flush()

    def data_received(self, data: bytes) -> None:
        with self._place.noting_failures():
            if self._peer is not None:
                self._peer.receive_data(data)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.connections.discard(self)
        with self._place.noting_failures():
            if self._peer is not None:
                self._peer.receive_eof()

    def _flush(self) -> None:
        transport, peer = self.transport, self._peer
        assert transport is not None
        if peer is None:
            transport.abort()
            return
        with self._place.noting_failures():
            while not transport.is_closing() and (data := peer.data_to_send()):
                transport.write(data)
        if peer.hung_up:
            transport.close()


class _Place:
    """What all connections of a block share."""

    def __init__(self, make: Callable[[Address], Peer]) -> None:
        self.make = make
        self.port = 0
        self.connections: set[_Connection] = set()
        self.failure: BaseException | None = None

    def noting_failures(self) -> "_Noting":
        return _Noting(self)


class _Noting:
    """What a peer raises ends the block, and not the loop's transport."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, Exception):
            self._place.failure = self._place.failure or error
            for connection in list(self._place.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            return True
        return False


@asynccontextmanager
async def serve(make: Callable[[Address], Peer]) -> AsyncGenerator[str]:
    """Take connections for a block; it gets the DSN to connect to. Any client will do.

    When the block is left, those that are still open are thrown away.

    Args:
        make: called for each connection: a `ScriptedServer`, a `Replayer`, or a function that makes a `Peer`.
    Raises:
        Whatever a peer has raised (such as the AssertionError of a script), if the block raises nothing.
    """
    place = _Place(make)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(place), _HOST, 0)
    try:
        place.port = server.sockets[0].getsockname()[1]
        yield f"postgresql://postgres@{_HOST}:{place.port}/postgres?sslmode=disable"
        # What clients have said to the end, and closed, is heard; else no script would come to its end.
        await asyncio.sleep(0)
    finally:
        server.close()
        for connection in list(place.connections):
            assert connection.transport is not None
            connection.transport.abort()
        await server.wait_closed()
    if place.failure is not None:
        raise place.failure


@asynccontextmanager
async def record(dsn: str) -> AsyncGenerator[tuple[str, Recorder]]:
    """Stand between clients and a server for a block, and write down what they say.

    The block gets the DSN that clients connect to, with the user, the password and the database of the server's, and
    the recorder. Nothing is encrypted on either side.

    Args:
        dsn: of the server. Only its first host is looked at.
    Raises:
        OSError: as the error of a connection, if the server cannot be reached.
    """
    settings = resolve_settings(dsn, environment={}, os_user=None, home=None, platform="linux")
    address = settings.addresses[0]
    tasks: set[asyncio.Task[None]] = set()

    def relay(_: Address) -> Relay:
        made = Relay()
        task = asyncio.get_running_loop().create_task(_carry(made, address))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return made

    recorder = Recorder(relay)
    async with serve(recorder) as here:
        try:
            yield _with_names(here, settings), recorder
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _with_names(dsn: str, settings: Settings) -> str:
    words = {"user": settings.user, "dbname": settings.database}
    password = None if settings.password is None else settings.password.reveal()
    if isinstance(password, str):
        words["password"] = password
    return dsn + "".join(f"&{name}={quote(value, safe='')}" for name, value in words.items())


async def _carry(relay: Relay, address: Address) -> None:
    """What a relay hears goes to the server, and back."""
    heard = asyncio.Event()
    relay.on_heard = heard.set
    try:
        if isinstance(address, UnixAddress):
            reader, writer = await asyncio.open_unix_connection(address.path)
        else:
            reader, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:
        relay.answered(b"")
        return

    async def forward() -> None:
        while not relay.is_over:
            heard.clear()
            writer.write(relay.take())
            await writer.drain()
            if not relay.unsent:
                await heard.wait()
        writer.write(relay.take())
        writer.write_eof()

    forwarding = asyncio.get_running_loop().create_task(forward())
    try:
        while data := await reader.read(_CHUNK_BYTES):
            relay.answered(data)
    except OSError:
        pass
    finally:
        relay.answered(b"")
        forwarding.cancel()
        writer.close()
        await asyncio.gather(forwarding, return_exceptions=True)
        with suppress(OSError):
            await writer.wait_closed()
