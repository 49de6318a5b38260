"""Tap: sees every message of a connection, both ways, and changes nothing.

It stands between a transport and an `Engine`, and is an `Engine` itself, so it fits wherever a port is given one:

    class TracedPort(AsyncioPort):
        def drive(self, engine: Engine) -> None:
            super().drive(Tap(engine, report))

TLS is a matter of the transport: what the tap sees is plain text, and the request for encryption in front of it.
"""

from collections.abc import Callable
from typing import TypeAlias

from pgsansio.engine.driven import Engine
from pgsansio.engine.operations import Operation
from pgsansio.messages.tags import Direction

__all__ = ["Report", "Tap"]

#: Who sent it, its type byte (0: it has none) and its body, without type byte and length. It may hold secrets;
#: `pgsansio.messages.trace.describe_frame` takes just these arguments and shows none.
Report: TypeAlias = Callable[[Direction, int, bytes], None]

_LENGTH_BYTES = 4


class Tap:
    """An `Engine` that reports the messages of another one.

    Args:
        engine: what the transport would drive without it; new, since the first message of a frontend has no type byte.
        report: called once for each message, before the engine sees it (or the transport). What it raises goes through.
    """

    def __init__(self, engine: Engine, report: Report) -> None:
        self._engine = engine
        self._room = memoryview(b"")
        self._received = _Cutter(Direction.BACKEND, report, untagged=False)
        self._sent = _Cutter(Direction.FRONTEND, report, untagged=True)

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        self._room = self._engine.get_buffer(size_hint)
        return self._room

    def bytes_received(self, size_bytes: int) -> None:
        received, self._room = bytes(self._room[:size_bytes]), memoryview(b"")
        self._received.cut(received)
        self._engine.bytes_received(size_bytes)

    def receive_eof(self) -> None:
        self._engine.receive_eof()

    def connection_lost(self, cause: BaseException | None) -> None:
        self._engine.connection_lost(cause)

    def data_to_send(self) -> bytes:
        data = self._engine.data_to_send()
        self._sent.cut(data)
        return data

    def completed(self) -> list[Operation]:
        return self._engine.completed()

    @property
    def news(self) -> bool:
        return self._engine.news

    @property
    def ended(self) -> bool:
        return self._engine.ended

    @property
    def cancel_due(self) -> bool:
        return self._engine.cancel_due

    @property
    def busy(self) -> bool:
        return self._engine.busy

    @property
    def reading_paused(self) -> bool:
        return self._engine.reading_paused


class _Cutter:
    """Cuts the bytes of one direction into messages."""

    def __init__(self, direction: Direction, report: Report, *, untagged: bool) -> None:
        self._direction = direction
        self._report = report
        #: Bytes of the type in front of the next message's length.
        self._tag_bytes = 0 if untagged else 1
        self._rest = bytearray()

    def cut(self, data: bytes) -> None:
        rest = self._rest
        rest += data
        while len(rest) >= (header := self._tag_bytes + _LENGTH_BYTES):
            length = int.from_bytes(rest[self._tag_bytes : header], "big")
            end = self._tag_bytes + length
            if length < _LENGTH_BYTES:
                # No message: there is no way to tell where the next one begins, and the engine gives up, too.
                end = len(rest)
            elif end > len(rest):
                return
            tag = rest[0] if self._tag_bytes else 0
            body = bytes(rest[header:end])
            del rest[:end]
            self._tag_bytes = 1
            self._report(self._direction, tag, body)
