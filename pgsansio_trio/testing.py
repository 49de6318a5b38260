"""Servers of `pgsansio.testing` behind a socket, for programs that connect as they always do.

async with serve(ScriptedServer()) as dsn, connect(dsn) as connection: ...
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote

import trio
import trio.testing

from pgsansio.client.port import Address
from pgsansio.policy.conninfo import Settings, TcpAddress, UnixAddress, resolve_settings
from pgsansio.testing.peer import Peer, Unasked
from pgsansio.testing.recording import Recorder, Relay

__all__ = ["record", "serve"]

_HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 16


class _Place:
    """What all connections of a block share."""

    def __init__(self, make: Callable[[Address], Peer]) -> None:
        self.make = make
        self.port = 0
        self.failure: Exception | None = None

    async def take(self, stream: trio.SocketStream) -> None:
        """One client's connection, until one side ends it."""
        async with stream:
            try:
                peer = self.make(TcpAddress(_HOST, self.port))
                news = _News()
                if isinstance(peer, Unasked):
                    peer.on_news = news.set
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen, stream, peer, news)
                    while not peer.hung_up:
                        news.clear()
                        while data := peer.data_to_send():
                            await stream.send_all(data)
                        if not peer.hung_up:
                            await news.wait()
                    while data := peer.data_to_send():
                        await stream.send_all(data)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client has gone
            except* Exception as errors:
                # What a peer raises ends the block, and not the task that takes connections.
                self.failure = self.failure or errors.exceptions[0]

    @staticmethod
    async def _listen(stream: trio.SocketStream, peer: Peer, news: "_News") -> None:
        try:
            while data := await stream.receive_some(_CHUNK_BYTES):
                peer.receive_data(data)
                news.set()
        except trio.BrokenResourceError:
            pass
        peer.receive_eof()
        news.set()


class _News:
    """An event that can be used again."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()


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
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, place.take, 0, host=_HOST))
        place.port = listeners[0].socket.getsockname()[1]
        yield f"postgresql://postgres@{_HOST}:{place.port}/postgres?sslmode=disable"
        # What clients have said to the end, and closed, is heard; else no script would come to its end.
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
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
    async with trio.open_nursery() as nursery:

        def relay(_: Address) -> Relay:
            made = Relay()
            nursery.start_soon(_carry, made, address)
            return made

        recorder = Recorder(relay)
        async with serve(recorder) as here:
            yield _with_names(here, settings), recorder
        nursery.cancel_scope.cancel()


def _with_names(dsn: str, settings: Settings) -> str:
    words = {"user": settings.user, "dbname": settings.database}
    password = None if settings.password is None else settings.password.reveal()
    if isinstance(password, str):
        words["password"] = password
    return dsn + "".join(f"&{name}={quote(value, safe='')}" for name, value in words.items())


async def _carry(relay: Relay, address: Address) -> None:
    """What a relay hears goes to the server, and back."""
    heard = _News()
    relay.on_heard = heard.set
    try:
        if isinstance(address, UnixAddress):
            stream = await trio.open_unix_socket(address.path)
        else:
            stream = await trio.open_tcp_stream(address.host, address.port)
    except OSError:
        relay.answered(b"")
        return

    async def forward() -> None:
        while not relay.is_over:
            heard.clear()
            await stream.send_all(relay.take())
            if not relay.unsent:
                await heard.wait()
        await stream.send_all(relay.take())
        await stream.send_eof()

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(forward)
        try:
            while data := await stream.receive_some(_CHUNK_BYTES):
                relay.answered(data)
        except trio.BrokenResourceError:
            pass
        relay.answered(b"")
        nursery.cancel_scope.cancel()
