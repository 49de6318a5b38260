"""What operations, sessions and buffers keep that a kernel has to know, and what is done with it for every query; and
what gives rows one by one."""

from collections.abc import Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from pgsansio.enums import Outcome
from pgsansio.kernel import contract
from pgsansio.kernel.contract import INTERNAL, ROOM_BYTES, SHORT_REST_BYTES, SYNC, WINDOW_BYTES, Condition, Row, RowPlan
from pgsansio.kernel.pure.messages import first_row, is_ordinary, take_messages

__all__ = ["BufferState", "OperationState", "ResourceState", "RowsState", "SessionState"]

_PENDING: Final = Outcome.PENDING
_OPEN: Final = Condition.OPEN


class OperationState:
    """What `engine.operations.Operation` keeps, which says what it means; and `completed` for its `Batch`."""

    __slots__ = (
        "abandoned", "attention", "completed", "data", "error", "outcome", "row_plan", "rows", "size_bytes", "step",
        "steps", "suspended", "tag", "traits", "waiter", "written",
    )  # fmt: skip

    completed: int

    def __init__(self, data: bytes, steps: Sequence[Row], traits: int, row_plan: RowPlan | None = None) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.steps = steps
        self.step = 0
        self.traits = traits
        self.row_plan = row_plan
        self.rows: list[Any] = []
        self.tag: bytes | bytearray | None = None
        self.error: BaseException | None = None
        self.outcome = _PENDING
        self.suspended = False
        self.abandoned = False
        self.written = False
        self.attention = False
        self.waiter: Any = None


class BufferState:
    """What `wire.framing.ReceiveBuffer` keeps, which says what it means."""

    __slots__ = ("block", "data", "end", "expected", "full", "start", "view")

    block: bytearray
    data: bytearray
    end: int
    expected: int
    full: int
    start: int
    view: memoryview

    def make_room(self) -> memoryview:
        """As `writable`, where the block is full or not in use, or too small."""
        raise NotImplementedError

    def writable(self) -> memoryview:
        """Room for at least one byte, to be filled from its beginning; valid until the next call."""
        start, end, data = self.start, self.end, self.data
        if end < self.full and data is self.block:
            if start == end:
                self.start = self.end = 0
                return self.view
            capacity, rest = len(data), end - start
            if rest < capacity >= self.expected:
                if start and (
                    rest < SHORT_REST_BYTES or capacity - end < ROOM_BYTES or self.expected > capacity - start
                ):
                    data[:rest] = data[start:end]
                    self.start, self.end = 0, rest
                return self.view[self.end :]
        return self.make_room()


if TYPE_CHECKING:
    _Session = contract.Session
else:
    _Session = object


class SessionState(_Session):
    """A session as `contract.Session` says; `engine.queue` and `engine.session` have the rest of it."""

    __slots__ = (
        "abandoned", "active", "begin_row", "beginning", "buffer", "cancel_under_way", "condition", "deferred",
        "idle_row", "outbox", "processing", "row", "sent", "sent_bytes", "transaction_status", "unsent", "woken",
    )  # fmt: skip

    # (Again, since they are assigned to before a type checker has seen the others.)
    active: int
    outbox: bytes
    row: Row
    woken: list[Any]

    def submit(self, operation: Any) -> None:
        """Queue an operation and write it if the rules allow.

        Raises:
            InterfaceError: the session is closed; or in a transaction (or without pipelining) another operation is in
                progress; or a codec that decodes a result tries to use its connection.
        """
        if (
            not is_ordinary(operation.traits)
            or self.condition is not _OPEN
            or self.processing
            or self.sent
            or self.unsent
            or self.active
            or self.cancel_under_way
        ):
            self.submit_by_rules(operation)
            return
        # What that does with an ordinary operation on an idle connection.
        if self.deferred is not None:
            self.bring_along(operation)
        self.row = first_row(self, operation)
        self.sent.append(operation)
        self.sent_bytes = operation.size_bytes
        self.active = 0 if operation.traits & INTERNAL else 1
        operation.written = True
        self.outbox += operation.data
        operation.data = b""

    def submit_behind(self, operation: Any, first: Any) -> bool:
        """As `submit` of an internal operation right behind `first`, which was just submitted; False: not now.

        `first` has to be an ordinary operation, alone on its way, and not one that brings a BEGIN along.
        """
        sent = self.sent
        size = self.sent_bytes + operation.size_bytes
        is_alone = len(sent) == 1 and sent[0] is first and first.traits == SYNC and self.beginning is None
        if not is_alone or size > WINDOW_BYTES:
            return False
        sent.append(operation)
        self.sent_bytes = size
        operation.written = True
        self.outbox += operation.data
        operation.data = b""
        return True

    def get_buffer(self, size_hint: int = -1) -> memoryview:
        """Room for received bytes, to be filled from its beginning."""
        room: memoryview = self.buffer.writable()
        return room

    def bytes_received(self, size_bytes: int) -> None:
        """So many bytes were written to what `get_buffer` gave: take all complete messages out of the buffer."""
        buffer = self.buffer
        end = buffer.end = buffer.end + size_bytes
        if self.condition is not _OPEN:
            buffer.start = end
            return
        self.processing = True
        try:
            buffer.start, buffer.expected = take_messages(self, buffer.data, buffer.start, end)
        except BaseException as error:
            self.reading_failed(error)
        finally:
            self.processing = False
        if self.unsent:
            self.write_waiting()

    def data_to_send(self) -> bytes:
        """What has to be written now; it belongs to the caller."""
        data = self.outbox
        if data:
            self.outbox = b""
        return data

    def completed(self) -> list[Any]:
        """Operations that were settled, or have news for their owner, since the last call."""
        woken = self.woken
        if woken:
            self.woken = []
        return woken


class ResourceState:
    """What `client.resource.Resource` keeps, which says what it means; and of what gives rows one by one `_turn`."""

    __slots__ = ("_connection", "_releases", "_turn")

    _connection: Any
    _releases: int
    _turn: Iterator[Any]


class RowsState(ResourceState):
    """Gives rows one by one, to `async for`.

    Those of `_turn` are there already. Behind them, and where the connection was given back since, `_further` gives the
    next one or raises StopAsyncIteration. A kernel may make another awaitable than a coroutine for it, which is for
    one `await` as well.
    """

    __slots__ = ()

    def _further(self) -> Coroutine[Any, Any, Any]:
        raise NotImplementedError

    async def __anext__(self) -> Any:
        if self._connection._releases == self._releases:
            for row in self._turn:
                return row
        return await self._further()
