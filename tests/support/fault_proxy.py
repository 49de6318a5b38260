"""A proxy in a thread of its own that lets the first connection of each of its ports down, where it is told to.

with running_proxy("127.0.0.1", 5432) as proxy, proxy.port(Fault("rst", after_bytes=100)) as door:
    await connect(host="127.0.0.1", port=door.port)
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

__all__ = ["Door", "Fault", "FaultProxy", "running_proxy"]

T = TypeVar("T")

_READ_BYTES: Final = 65536
#: Closing with this sends RST.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What happens to what the server says: the connection is cut, or nothing comes any more.

    Attributes:
        after_bytes: of the server's, which still arrive (unless RST overtakes them).
        after_messages: or so many of its messages.
    """

    kind: Literal["rst", "fin", "stall"]
    after_bytes: int | None = None
    after_messages: int | None = None


@dataclass
class Door:
    """A port of the proxy.

    Attributes:
        said: what the server has said on the first connection.
        open_connections: how many there are now.
    """

    port: int
    said: bytearray = field(default_factory=bytearray)
    connections: int = 0
    open_connections: int = 0

    @property
    def messages(self) -> list[int]:
        """Where each of its messages ends."""
        ends, position = [], 0
        while position + 5 <= len(self.said):
            (size,) = struct.unpack_from("!i", self.said, position + 1)
            position += 1 + size
            if position <= len(self.said):
                ends.append(position)
        return ends


class _Cut(Exception):
    """The connection's end has come."""


class FaultProxy:
    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @contextlib.contextmanager
    def port(self, fault: Fault | None = None) -> Iterator[Door]:
        """A new port, until the block ends; what is still open is cut then."""
        door = Door(0)
        tasks: set[asyncio.Task[None]] = set()

        async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            first = not door.connections
            door.connections += 1
            door.open_connections += 1
            try:
                await self._serve(client, to_client, door if first else None, fault if first else None)
            finally:
                door.open_connections -= 1
                tasks.discard(task)

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(serve, "127.0.0.1", 0)

        async def end() -> None:
            listener.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        listener = self._call(begin())
        door.port = listener.sockets[0].getsockname()[1]
        try:
            yield door
        finally:
            self._call(end())

    async def _serve(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, door: Door | None, fault: Fault | None
    ) -> None:
        writers = [to_client]
        try:
            server, to_server = await asyncio.open_connection(*self._target)
            writers.append(to_server)
            async with asyncio.TaskGroup() as both:
                up = both.create_task(_forward(client, to_server))
                down = both.create_task(_say(server, to_client, door, fault))
                # Whoever hangs up does so for both.
                await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
                raise _Cut
        except* (OSError, _Cut):
            pass
        finally:
            for writer in writers:
                if fault is not None and fault.kind == "rst":
                    sock = writer.get_extra_info("socket")
                    if sock.fileno() >= 0:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                    writer.transport.abort()
                else:
                    writer.close()


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_READ_BYTES):
        target.write(data)
        await target.drain()


async def _say(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, door: Door | None, fault: Fault | None
) -> None:
    said = 0
    while data := await source.read(_READ_BYTES):
        if door is not None:
            door.said += data
            end = _end(door, fault)
            if end is not None:
                target.write(bytes(door.said[said:end]))
                await target.drain()
                assert fault is not None
                if fault.kind == "stall":
                    await asyncio.Event().wait()
                raise _Cut
            said = len(door.said)
        target.write(data)
        await target.drain()


def _end(door: Door, fault: Fault | None) -> int | None:
    """Where the server's words end, if they have come so far."""
    if fault is None:
        return None
    if fault.after_messages is not None:
        ends = [0, *door.messages]
        return ends[fault.after_messages] if len(ends) > fault.after_messages else None
    assert fault.after_bytes is not None
    return fault.after_bytes if len(door.said) >= fault.after_bytes else None


@contextlib.contextmanager
def running_proxy(host: str, port: int) -> Iterator[FaultProxy]:
    """In front of this server, until the block ends."""
    proxy = FaultProxy(host, port)
    try:
        yield proxy
    finally:
        proxy.stop()
