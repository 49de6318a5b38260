"""An engine that understands tokens instead of PostgreSQL's messages: for what a port does by itself."""

import struct

from pgsansio.engine.operations import SYNC, Operation
from pgsansio.enums import Outcome

__all__ = ["CANCEL", "NEWS", "PAUSE", "SETTLED", "TOKEN", "ToyEngine"]

#: What the server says: a letter and the number of an operation.
TOKEN = struct.Struct(">cH")
SETTLED, NEWS, PAUSE, CANCEL = b"s", b"n", b"p", b"c"


class ToyEngine:
    """An `Engine` that settles operations when tokens with their numbers arrive, in any order."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.handed_over = bytearray()
        self.outbox = b""
        #: Tokens get cut, since they do not fit.
        self.room = bytearray(5)
        self.received = b""
        self.woken: list[Operation] = []
        self.news = False
        self.ended = False
        self.cancel_due = False
        #: How many cancellations are under way.
        self.cancels = 0
        self.busy = False
        self.reading_paused = False

    def submit(self, size_bytes: int) -> Operation:
        operation = Operation(b"", (), SYNC)
        self.operations.append(operation)
        data = bytes([len(self.operations) % 256]) * size_bytes
        self.outbox += data
        self.handed_over += data
        return operation

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        return memoryview(self.room)

    def bytes_received(self, size_bytes: int) -> None:
        self.received += self.room[:size_bytes]
        while len(self.received) >= TOKEN.size and not self.ended:
            kind, number = TOKEN.unpack_from(self.received)
            self.received = self.received[TOKEN.size :]
            if kind == PAUSE:
                self.reading_paused = self.news = True
            elif kind == CANCEL:
                if not self.cancels:  # as in a session: while one is under way none is due
                    self.cancel_due = self.news = True
            elif kind == NEWS:
                self.operations[number].attention = True
                self.woken.append(self.operations[number])
            elif self.operations[number].outcome is Outcome.PENDING:
                self.operations[number].outcome = Outcome.COMPLETED
                self.woken.append(self.operations[number])

    def receive_eof(self) -> None:
        self.end()

    def connection_lost(self, cause: BaseException | None) -> None:
        self.end()

    def end(self) -> None:
        self.ended = self.news = True
        self.cancel_due = self.reading_paused = False
        for operation in self.operations:
            if operation.outcome is Outcome.PENDING:
                operation.outcome = Outcome.UNKNOWN
                self.woken.append(operation)

    def data_to_send(self) -> bytes:
        data, self.outbox = self.outbox, b""
        return data

    def completed(self) -> list[Operation]:
        woken, self.woken = self.woken, []
        return woken
