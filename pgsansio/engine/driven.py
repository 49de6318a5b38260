"""What a transport drives, whatever is behind it; and the smallest thing that can be: a CancelRequest."""

from typing import Protocol

from pgsansio.engine.operations import SYNC, Operation
from pgsansio.enums import Outcome

__all__ = ["CancelExchange", "Engine"]


class Engine(Protocol):
    """What a transport drives: a `Frontend`, or a `CancelExchange`. Feeding never raises for what the server sent."""

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        """Room for received bytes, to be filled from its beginning."""
        ...

    def bytes_received(self, size_bytes: int) -> None:
        """So many bytes were written to what `get_buffer` gave: parse them and settle what they answer."""
        ...

    def receive_eof(self) -> None:
        """The server closed its side."""
        ...

    def connection_lost(self, cause: BaseException | None) -> None:
        """The transport failed with this error (None: it was closed)."""
        ...

    def data_to_send(self) -> bytes:
        """What has to be written now; it belongs to the caller, and is b"" if there is nothing."""
        ...

    def completed(self) -> list[Operation]:
        """Operations that were settled, or have news for their owner, since the last call; one may be there twice."""
        ...

    @property
    def news(self) -> bool:
        """Events wait, the connection has ended, or a cancellation is due: tell whoever owns the connection."""
        ...

    @property
    def ended(self) -> bool:
        """Nothing more will be read or understood: write what is left, then close the transport."""
        ...

    @property
    def cancel_due(self) -> bool:
        """Only abandoned operations are in flight: call `on_cancel_due`."""
        ...

    @property
    def busy(self) -> bool:
        """Several operations are in flight, so that writing may wait for more without delaying anybody."""
        ...

    @property
    def reading_paused(self) -> bool:
        """Nothing should be read until somebody has taken what is there."""
        ...


class CancelExchange:
    """The whole of a cancel connection: CancelRequest goes out, and the server closes. An `Engine`.

    `operation` is settled when the end was seen: from then on no later statement can be hit.
    """

    news = False
    cancel_due = False
    busy = False
    reading_paused = False

    def __init__(self, request: bytes) -> None:
        self.operation = Operation(b"", (), SYNC)
        self.operation.written = True
        self._outbox = request
        self._room = memoryview(bytearray(64))
        self._woken: list[Operation] = []

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        return self._room

    def bytes_received(self, size_bytes: int) -> None:
        """Nothing is ever sent; what comes all the same says nothing."""

    def receive_eof(self) -> None:
        self._end()

    def connection_lost(self, cause: BaseException | None) -> None:
        self._end()  # some servers reset instead of closing

    def data_to_send(self) -> bytes:
        data, self._outbox = self._outbox, b""
        return data

    def completed(self) -> list[Operation]:
        woken, self._woken = self._woken, []
        return woken

    @property
    def ended(self) -> bool:
        return self.operation.settled

    def _end(self) -> None:
        if not self.operation.settled:
            self.operation.outcome = Outcome.COMPLETED
            self._woken.append(self.operation)
