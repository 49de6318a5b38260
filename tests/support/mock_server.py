"""Servers of ours behind a real socket, for those that no PostgreSQL would play: no server is needed.

async with speaking(lambda: Faulty(ScriptedBackend(login()), sent=[Cut(17)])) as arguments:
    await connect(**arguments)
"""

import contextlib
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.abc

from pgsansio.messages.startup import SSLRequest
from pgsansio.testing.peer import Peer
from tests.support.clients import eventually

__all__ = ["OverTls", "speaking"]

_CHUNK_BYTES = 1 << 20
_SSL_REQUEST = SSLRequest().encode()


class OverTls:
    """A server that takes TLS, asked for or at once."""

    def __init__(self, inner: Peer, context: ssl.SSLContext) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._outbox = b""
        self._asked = b""
        self._begun = False
        self._shaken = False

    @property
    def hung_up(self) -> bool:
        return self._inner.hung_up

    def receive_data(self, data: bytes) -> None:
        if not self._begun:
            self._asked += data
            if self._asked[:1] == b"\x16":
                data = self._asked
            elif len(self._asked) >= len(_SSL_REQUEST):
                self._outbox, data = b"S", self._asked[len(_SSL_REQUEST) :]
            else:
                return
            self._begun = True
        self._incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self._shaken:
                self._session.do_handshake()
                self._shaken = True
            while received := self._session.read(_CHUNK_BYTES):
                self._inner.receive_data(received)

    def receive_eof(self) -> None:
        self._inner.receive_eof()

    def data_to_send(self) -> bytes:
        if self._shaken and (said := self._inner.data_to_send()):
            self._session.write(said)
        data, self._outbox = self._outbox + self._outgoing.read(), b""
        return data


@contextlib.asynccontextmanager
async def speaking(
    make: Callable[[], Peer], *, over_tcp: bool = False, greets: bool = False, resets: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """Arguments for `connect()` to a server of ours, made for each connection.

    Args:
        greets: it speaks before it is spoken to.
        resets: it does not close its connections, but throws them away.
    Raises:
        AssertionError: a connection was left open.
    """
    connections = 0

    async def serve(stream: anyio.abc.SocketStream) -> None:
        nonlocal connections
        connections += 1
        speaker = make()
        try:
            async with stream:
                with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                    first = greets
                    while not speaker.hung_up:
                        if not first:
                            speaker.receive_data(await stream.receive(_CHUNK_BYTES))
                        first = False
                        while data := speaker.data_to_send():
                            await stream.send(data)
                    if resets:
                        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            connections -= 1

    with tempfile.TemporaryDirectory() as folder:
        listener: Any
        if over_tcp:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            arguments: dict[str, Any] = {
                "host": "127.0.0.1",
                "port": listener.extra(anyio.abc.SocketAttribute.local_port),
            }
        else:
            listener = await anyio.create_unix_listener(f"{folder}/.s.PGSQL.5432", backlog=1024)
            arguments = {"host": folder, "port": 5432}
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            yield {**arguments, "user": "u", "database": "d"}
            # By themselves: what is still open was left open by the client.
            await eventually(lambda: connections == 0)
            tasks.cancel_scope.cancel()
