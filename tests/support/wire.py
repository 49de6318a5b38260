"""What goes over the wire between a client under test and a server: seen by a proxy, or said by a server of ours.

async with tapped(client) as (client, wire), client.connect() as connection:
    with wire.said() as said:
        await connection.fetch("SELECT 1")
    assert said == ["> PDH", "< 1tT", "> BES", "< 2DCZ"]

async with serving(client, lambda: ScriptedBackend(...)) as client, client.connect() as connection:
    ...
"""

import contextlib
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.abc

from pgsansio.messages.tags import FrontendMessage, decode_frontend
from pgsansio.testing.peer import Peer
from tests.support.clients import Client, eventually

__all__ = ["Said", "Wire", "full", "serving", "tapped"]

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """A message as it was seen.

    Attributes:
        connection: which connection's: 0 for the first one of the proxy.
        sender: ">" of the client, "<" of the server.
        tag: its letter; "" for those without one.
        body: without tag and length.
    """

    connection: int
    sender: str
    tag: str
    body: bytes

    @property
    def message(self) -> FrontendMessage:
        """One of the client's, decoded."""
        return decode_frontend(ord(self.tag), self.body)


class Said(list[str]):
    """Who said what, in turns: `"> BES"`, the letters of a run of messages of one side.

    Attributes:
        frames: each message.
    """

    frames: list[Frame]

    def __init__(self) -> None:
        super().__init__()
        self.frames = []

    def sent(self, tag: str) -> list[Any]:
        """The client's messages with this letter, decoded."""
        return [frame.message for frame in self.frames if (frame.sender, frame.tag) == (">", tag)]

    @property
    def round_trips(self) -> int:
        """How often the client had to wait for the server."""
        return sum(turn.startswith("<") for turn in self)


class Wire:
    """Every message of all connections through a proxy, in the order of their coming."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    @contextlib.contextmanager
    def said(self) -> Iterator[Said]:
        """What is said in the block; there when it has ended."""
        start, said = len(self.frames), Said()
        yield said
        said.frames = self.frames[start:]
        for frame in said.frames:
            if said and said[-1][0] == frame.sender:
                said[-1] += frame.tag
            else:
                said.append(f"{frame.sender} {frame.tag}")


class _Proxy:
    def __init__(self, path: str, wire: Wire) -> None:
        self._path = path
        self._wire = wire
        self._connections = 0

    async def serve(self, client: anyio.abc.ByteStream) -> None:
        number, self._connections = self._connections, self._connections + 1
        async with client, await anyio.connect_unix(self._path) as server, anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_on, number, client, server, ">")
            tasks.start_soon(self._pass_on, number, server, client, "<")

    async def _pass_on(
        self, number: int, source: anyio.abc.ByteStream, sink: anyio.abc.ByteStream, sender: str
    ) -> None:
        rest = b""
        has_tag = sender == "<"
        with contextlib.suppress(anyio.BrokenResourceError, OSError):
            async for data in _received(source):
                rest += data
                while len(rest) >= 5:
                    (size,) = struct.unpack_from("!i", rest, has_tag)
                    end = size + has_tag
                    if len(rest) < end:
                        break
                    tag = chr(rest[0]) if has_tag else ""
                    self._wire.frames.append(Frame(number, sender, tag, rest[4 + has_tag : end]))
                    rest, has_tag = rest[end:], True
                await sink.send(data)
            await sink.send_eof()


async def _received(stream: anyio.abc.ByteStream) -> AsyncIterator[bytes]:
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            yield await stream.receive(_CHUNK_BYTES)


@contextlib.contextmanager
def full(host: str, port: int) -> Iterator[None]:
    """Nobody who connects there gets an answer, since the queue of the listener is full (on Linux)."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield


@contextlib.asynccontextmanager
async def _listening(client: Client, serve: Callable[[anyio.abc.ByteStream], Awaitable[None]]) -> AsyncIterator[Client]:
    """The client, whose server is this function."""
    failure: Exception | None = None
    connections = 0

    async def count(stream: anyio.abc.ByteStream) -> None:
        nonlocal connections
        connections += 1
        try:
            await serve(stream)
        finally:
            connections -= 1

    with tempfile.TemporaryDirectory() as folder:
        server = replace(client.server, socket_dir=folder, port=5432)
        listener: Any = await anyio.create_unix_listener(f"{folder}/.s.PGSQL.5432")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, count)
            try:
                yield replace(client, server=server)
            except Exception as error:  # as it is, and not in a group
                failure = error
            # By themselves, since the client has closed: anyio sets the future of a cancelled receive when data comes.
            await eventually(lambda: connections == 0)
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


@contextlib.asynccontextmanager
async def tapped(client: Client) -> AsyncIterator[tuple[Client, Wire]]:
    """The client with a proxy before its server, and what goes through that."""
    wire = Wire()
    server = client.server
    proxy = _Proxy(f"{server.socket_dir}/.s.PGSQL.{server.port}", wire)
    async with _listening(client, proxy.serve) as through_proxy:
        yield through_proxy, wire


@contextlib.asynccontextmanager
async def serving(client: Client, make: Callable[[], Peer]) -> AsyncIterator[Client]:
    """The client with a server of ours, made for each connection."""

    async def serve(stream: anyio.abc.ByteStream) -> None:
        speaker = make()
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while not speaker.hung_up:
                    speaker.receive_data(await stream.receive(_CHUNK_BYTES))
                    while data := speaker.data_to_send():
                        await stream.send(data)

    async with _listening(client, serve) as served:
        yield served
