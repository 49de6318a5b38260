"""A server that breaks the protocol and has stopped reading: its connection goes all the same."""

import asyncio
import contextlib
import socket

import pytest

import pgsansio_asyncio
from pgsansio.enums import TransactionStatus
from pgsansio.errors import ProtocolError
from pgsansio.messages.authentication import AuthenticationOk
from pgsansio.messages.backend import ReadyForQuery
from pgsansio_asyncio import port

WELCOME = AuthenticationOk().encode() + ReadyForQuery(TransactionStatus.IDLE).encode()
NONSENSE = b"X\0\0\0\4"


def test_what_was_to_be_written_does_not_keep_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    # On trio the socket is closed at once. asyncio's transports write all they have first.
    monkeypatch.setattr(port, "_LINGER_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
        listening.setblocking(False)

        async def run() -> None:
            loop = asyncio.get_running_loop()
            connecting = asyncio.ensure_future(
                pgsansio_asyncio.connect(
                    host="127.0.0.1", port=listening.getsockname()[1], user="u", database="d", ssl=False
                )
            )
            peer = stack.enter_context((await loop.sock_accept(listening))[0])
            await loop.sock_sendall(peer, WELCOME)
            connection = await connecting
            # More than any socket's buffers take.
            query = asyncio.create_task(connection.execute(f"SELECT '{'x' * 30_000_000}'"))
            await loop.sock_recv(peer, 1)
            await loop.sock_sendall(peer, NONSENSE)
            with pytest.raises(ProtocolError):
                await query
            assert connection.is_closed()
            async with asyncio.timeout(10):
                await connection._port.close()

        asyncio.run(run())
