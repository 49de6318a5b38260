"""What a network may do to the bytes of a connection, at places that a test chooses.

    peer = Faulty(server(), sent=[Split((1,)), Cut(120)])

Each way has a script of its own: faults at offsets in the stream of bytes, counted before any fault. A fault happens
when the stream gets there, so the same conversation always meets it at the same byte.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from pgsansio.testing.peer import Peer, Unasked

__all__ = ["Cut", "Duplicate", "Fault", "Faulty", "Flip", "Split", "Stall", "cut"]


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is lost, both ways, when so many bytes have gone through."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class Stall:
    """When so many bytes have gone through, what follows waits for `Faulty.resume`."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class Split:
    """Bytes come in pieces of at most these sizes, which are used in turn, again and again."""

    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit comes wrong: bit `number % 8` (0: the lowest) of the byte at `number // 8`."""

    number: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The bytes from `start` up to `end` come twice."""

    start: int
    end: int


Fault: TypeAlias = Cut | Stall | Split | Flip | Duplicate

_LOST: Final = "lost"
_WAITS: Final = "waits"


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """`data` in pieces of these sizes, which are used in turn, again and again."""
    pieces: list[bytes] = []
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[position : position + size])
        position += size
        turn += 1
    return pieces


class _Way:
    """The bytes of one direction."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        faults = list(faults)
        self.passed_bytes = 0
        #: Bytes, and what happens between them.
        self._queue: deque[bytes | str] = deque()
        self._position = 0
        self._flips = [fault.number for fault in faults if isinstance(fault, Flip)]
        self._sizes = next((fault.sizes for fault in faults if isinstance(fault, Split)), ())
        self._turn = 0
        self._duplicates = sorted(
            (fault for fault in faults if isinstance(fault, Duplicate)), key=lambda fault: fault.end
        )
        #: What may have to come twice.
        self._kept = b""
        self._kept_from = 0
        self._marks = sorted(
            (fault.after_bytes, _LOST if isinstance(fault, Cut) else _WAITS)
            for fault in faults
            if isinstance(fault, Cut | Stall)
        )
        self._mark()

    @property
    def is_lost(self) -> bool:
        return bool(self._queue) and self._queue[0] == _LOST

    @property
    def is_stalled(self) -> bool:
        return bool(self._queue) and self._queue[0] == _WAITS

    @property
    def is_empty(self) -> bool:
        return not self._queue

    def put(self, data: bytes) -> None:
        changed = bytearray(data)
        for number in self._flips:
            if 0 <= number // 8 - self._position < len(changed):
                changed[number // 8 - self._position] ^= 1 << number % 8
        data = bytes(changed)
        while data:
            ends = [self._position + len(data)]
            ends += [at for at, _ in self._marks[:1]] + [duplicate.end for duplicate in self._duplicates[:1]]
            size = min(ends) - self._position
            piece, data = data[:size], data[size:]
            self._position += size
            if piece:
                self._queue.append(piece)
            self._repeat(piece)
            self._mark()

    def _repeat(self, piece: bytes) -> None:
        self._kept += piece
        while self._duplicates and self._duplicates[0].end <= self._position:
            duplicate = self._duplicates.pop(0)
            again = self._kept[duplicate.start - self._kept_from : duplicate.end - self._kept_from]
            if again:
                self._queue.append(again)
        needed = min((duplicate.start for duplicate in self._duplicates), default=self._position)
        dropped = min(max(needed - self._kept_from, 0), len(self._kept))
        self._kept, self._kept_from = self._kept[dropped:], self._kept_from + dropped

    def _mark(self) -> None:
        while self._marks and self._marks[0][0] <= self._position:
            self._queue.append(self._marks.pop(0)[1])

    def take(self) -> bytes:
        """The next piece; b"": there is none now."""
        if not self._queue or isinstance(self._queue[0], str):
            return b""
        first = self._queue.popleft()
        assert isinstance(first, bytes)
        size = len(first)
        if self._sizes:
            size = self._sizes[self._turn % len(self._sizes)]
            self._turn += 1
            if size < len(first):
                self._queue.appendleft(first[size:])
        piece = first[:size]
        self.passed_bytes += len(piece)
        return piece

    def resume(self) -> None:
        self._queue = deque(item for item in self._queue if item != _WAITS)


class Faulty:
    """A peer behind a network with faults: a `Peer` itself.

    Args:
        inner: who would be there without them.
        received: what happens to the bytes on the way to it.
        sent: what happens to those that it says.
    """

    def __init__(self, inner: Peer, *, received: Iterable[Fault] = (), sent: Iterable[Fault] = ()) -> None:
        self.inner = inner
        self._received = _Way(received)
        self._sent = _Way(sent)

    @property
    def received_bytes(self) -> int:
        """How many have reached it."""
        return self._received.passed_bytes

    @property
    def sent_bytes(self) -> int:
        """How many of its bytes have reached the client."""
        return self._sent.passed_bytes

    @property
    def is_lost(self) -> bool:
        """The connection was cut."""
        return self._received.is_lost or self._sent.is_lost

    @property
    def is_stalled(self) -> bool:
        """Something waits for `resume`."""
        return self._received.is_stalled or self._sent.is_stalled

    @property
    def hung_up(self) -> bool:
        return self.is_lost or (self.inner.hung_up and self._sent.is_empty)

    @property
    def on_news(self) -> Callable[[], None] | None:
        """As of `Unasked`."""
        return self.inner.on_news if isinstance(self.inner, Unasked) else None

    @on_news.setter
    def on_news(self, call: Callable[[], None] | None) -> None:
        if isinstance(self.inner, Unasked):
            self.inner.on_news = call

    def receive_data(self, data: bytes) -> None:
        self._received.put(data)
        self._carry()

    def receive_eof(self) -> None:
        self.inner.receive_eof()

    def data_to_send(self) -> bytes:
        self._carry()
        while not self.is_lost:
            if piece := self._sent.take():
                return piece
            if not self._sent.is_empty:
                break
            said = self.inner.data_to_send()
            if not said:
                break
            self._sent.put(said)
        self._end()
        return b""

    def resume(self) -> None:
        """Nothing waits any longer for a `Stall` that was reached."""
        self._received.resume()
        self._sent.resume()
        if isinstance(self.inner, Unasked) and self.inner.on_news is not None:
            self.inner.on_news()

    def _carry(self) -> None:
        while not self.is_lost and (piece := self._received.take()):
            self.inner.receive_data(piece)
        self._end()

    def _end(self) -> None:
        if self.is_lost:
            self.inner.receive_eof()
