"""Servers over TCP in a thread, that do as they are told with the bare socket: for what no server does."""

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable

import anyio.to_thread

from pgsansio.messages.startup import SSLRequest
from tests.support.clients import PATIENCE_SECONDS

__all__ = ["answer", "hear", "peer", "then", "until_closed"]


@contextlib.asynccontextmanager
async def peer(behave: Callable[[socket.socket], None]) -> AsyncIterator[int]:
    """The port of a server in a thread, that does this with each connection, and closes it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                client.settimeout(PATIENCE_SECONDS)
                with client, contextlib.suppress(OSError):
                    behave(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        await anyio.to_thread.run_sync(thread.join)  # asyncio closes sockets a turn of the loop later


def until_closed(client: socket.socket) -> None:
    while client.recv(4096):
        pass


def hear(client: socket.socket) -> None:
    client.recv(1)


def answer(data: bytes) -> Callable[[socket.socket], None]:
    """Takes SSLRequest, and says this."""

    def behave(client: socket.socket) -> None:
        assert client.recv(8, socket.MSG_WAITALL) == SSLRequest().encode()
        client.sendall(data)

    return behave


def then(*steps: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def behave(client: socket.socket) -> None:
        for step in steps:
            step(client)

    return behave
