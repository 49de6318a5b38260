"""Received bytes and bytes to send, between a transport and an engine.

How this works: a transport asks for room (`ReceiveBuffer.writable`), writes into it and says how much it wrote. The
engine reads complete messages from `data[start:end]` and moves `start`. The block of memory is fixed, so a transport
may hold a view of it; only a message that is larger than the block gets a block of its own, which grows as its bytes
arrive, so that a length that is only claimed costs nothing. The first block is small: it does for all of start-up, and
for what many connections ever receive. Once it was full the block is a large one.
"""

import sys
from typing import Final

from pgsansio.kernel import BufferState
from pgsansio.kernel.contract import ROOM_BYTES, SHORT_REST_BYTES

__all__ = ["BLOCK_BYTES", "HEADER_BYTES", "ReceiveBuffer", "frame", "last_frame"]

#: Reads of this size stay below the threshold at which glibc's malloc maps and unmaps memory for every read.
BLOCK_BYTES: Final = 65536
_FIRST_BLOCK_BYTES: Final = 8192
#: Type byte and length ("Message Formats").
HEADER_BYTES: Final = 5


def frame(tag: bytes, body: bytes) -> bytes:
    """A message: type byte, length (which counts itself), body."""
    return tag + (len(body) + 4).to_bytes(4, "big") + body


def last_frame(data: bytes | bytearray, start: int, after: int) -> int:
    """Where the message begins that ends at `after`, in a run of complete messages from `start`."""
    while True:
        following = start + 1 + int.from_bytes(data[start + 1 : start + HEADER_BYTES], "big")
        if following >= after:
            return start
        start = following


class ReceiveBuffer(BufferState):
    """Bytes that were received and not yet consumed: `data[start:end]`.

    Whoever consumes moves `start`; whoever writes calls `writable`, then `written`. `data` may be replaced by
    `writable`.
    """

    __slots__ = ("_block_bytes",)

    def __init__(self, block_bytes: int = BLOCK_BYTES) -> None:
        #: What the block is to become, and where it is full until then.
        self._block_bytes = block_bytes
        self.full = _FIRST_BLOCK_BYTES if block_bytes > _FIRST_BLOCK_BYTES else sys.maxsize
        self.block = bytearray(min(_FIRST_BLOCK_BYTES, block_bytes))
        self.data = self.block
        self.view = memoryview(self.block)
        self.start = 0
        self.end = 0
        #: Size in bytes of the incomplete message at `start`, checked against its limit; 0 where it is not known.
        self.expected = 0

    def make_room(self) -> memoryview:
        start, end = self.start, self.end
        if end >= self.full:
            self._enlarge()
            return self.writable()
        if start == end:
            self._use(self.block)
            self.start = self.end = 0
            return self.view
        capacity = len(self.data)
        rest = end - start
        if self.expected > len(self.block) and self.expected > capacity - start:
            # A message that will not fit. What room is left is used first; then it gets memory of its own, at most
            # doubled each time, so that a claimed length costs nothing.
            if end == capacity:
                self._replace(min(self.expected, max(2 * capacity, len(self.block))))
        elif self.data is not self.block and rest < len(self.block) // 2 and self.expected <= len(self.block):
            self._return_to_block()
        elif rest < SHORT_REST_BYTES or capacity - end < ROOM_BYTES or self.expected > capacity - start:
            if start:
                self.data[:rest] = self.data[start:end]
                self.start, self.end = 0, rest
            if self.end == capacity:  # whole messages that nobody has consumed: a paused reader was fed all the same
                self._replace(2 * capacity)
        return self.view[self.end :]

    def written(self, size_bytes: int) -> None:
        """`size_bytes` were written to what `writable` gave."""
        self.end += size_bytes

    def feed(self, data: bytes | bytearray | memoryview) -> int:
        """Copy as much of `data` as there is room for; returns how much that was."""
        room = self.writable()
        size = min(len(room), len(data))
        room[:size] = data[:size]
        self.end += size
        return size

    def clear(self) -> None:
        """Nothing of what was received is wanted any more."""
        self.start = self.end
        self.expected = 0

    def _enlarge(self) -> None:
        """The first block was full: a large one in its place."""
        self.full = sys.maxsize
        first, self.block = self.block, bytearray(self._block_bytes)
        if self.data is first:
            self._return_to_block()

    def _use(self, block: bytearray) -> None:
        self.data = block
        self.view = memoryview(block)

    def _replace(self, capacity: int) -> None:
        """Go on in a new block with the unread rest at its front."""
        rest = self.end - self.start
        block = bytearray(max(capacity, rest + 1))
        block[:rest] = self.data[self.start : self.end]
        self._use(block)
        self.start, self.end = 0, rest

    def _return_to_block(self) -> None:
        rest = self.end - self.start
        self.block[:rest] = self.data[self.start : self.end]
        self._use(self.block)
        self.start, self.end = 0, rest
