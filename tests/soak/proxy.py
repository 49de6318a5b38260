"""A TCP proxy that lets connections down: `python -m tests.soak.proxy HOST PORT SEED` prints its port and runs until
its input ends.

The fate of each connection is drawn when it is opened: many are only forwarded, the others are cut after so many bytes
of one direction (by RST or FIN), cut into small pieces, or held for a while, in both directions, before they go on.
"""

import asyncio
import contextlib
import os
import random
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final

__all__ = ["Fate", "draw"]

#: Of a hundred connections.
_CUT, _SPLIT, _HELD = 40, 10, 10
_READ_BYTES: Final = 65536
#: How far the cut is away: some are cut while they are opened, the others while they work.
_NEAR_BYTES, _FAR_BYTES = 400, 400_000
_HOLD_SECONDS: Final = 3.0
#: Closing with this sends RST.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Fate:
    """What becomes of one connection.

    Attributes:
        cut_after: bytes of this direction until the connection is cut, or held; None: never.
        upwards: whether the client's bytes are counted, and not the server's.
        by_reset: it is cut by RST.
        hold_seconds: it is held for so long, and not cut.
        piece_bytes: what is forwarded at once.
    """

    cut_after: int | None = None
    upwards: bool = False
    by_reset: bool = False
    hold_seconds: float = 0.0
    piece_bytes: int = _READ_BYTES


def draw(chance: random.Random) -> Fate:
    kind = chance.randrange(100)
    if kind < _CUT:
        far = _NEAR_BYTES if chance.random() < 0.1 else _FAR_BYTES
        return Fate(chance.randrange(far), chance.random() < 0.5, chance.random() < 0.5)
    if kind < _CUT + _SPLIT:
        return Fate(piece_bytes=chance.choice([1, 7, 100]))
    if kind < _CUT + _SPLIT + _HELD:
        return Fate(chance.randrange(_FAR_BYTES), chance.random() < 0.5, hold_seconds=chance.random() * _HOLD_SECONDS)
    return Fate()


class _Cut(Exception):
    """The connection's end has come."""


class _Link:
    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.passed = 0

    async def forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, upwards: bool) -> None:
        fate = self.fate
        while data := await source.read(fate.piece_bytes):
            await self.may_go_on.wait()
            if fate.cut_after is not None and upwards == fate.upwards:
                left = fate.cut_after - self.passed
                self.passed += len(data)
                if left < len(data):
                    target.write(data[: max(left, 0)])
                    fate.cut_after = None
                    if not fate.hold_seconds:
                        raise _Cut
                    self.may_go_on.clear()
                    await asyncio.sleep(fate.hold_seconds)
                    self.may_go_on.set()
                    data = data[max(left, 0) :]
            target.write(data)
            await target.drain()
        with contextlib.suppress(OSError):
            target.write_eof()


def _end(writer: asyncio.StreamWriter, *, by_reset: bool) -> None:
    sock = writer.get_extra_info("socket")
    if by_reset and sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        writer.transport.abort()
    else:
        writer.close()


async def _serve(host: str, port: int, seed: int) -> None:
    chance = random.Random(seed)

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        fate = draw(chance)
        writers = [to_client]
        try:
            server, to_server = await asyncio.open_connection(host, port)
            writers.append(to_server)
            link = _Link(fate)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(link.forward(client, to_server, upwards=True))
                tasks.create_task(link.forward(server, to_client, upwards=False))
        except* (OSError, _Cut):
            pass
        finally:
            for writer in writers:
                _end(writer, by_reset=fate.by_reset)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # the connections that are left are nobody's


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
