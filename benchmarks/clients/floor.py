"""The floor: the same bytes on the same loop and nothing else, which no client can beat.

How this works. `recording.py` has recorded the bytes of each operation and the length of its answer; then the socket is
handed to the loop, which writes these bytes and counts what comes back. Nothing is encoded, decoded or looked at. What
the user of a client does, his tasks above all, is done here as well.
"""

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks.cases import Case, Shape
from benchmarks.clients.client import Client, Operation
from benchmarks.loops import lending
from benchmarks.recording import Exchange, Recorder, record

__all__ = ["AsyncioFloor", "TrioFloor"]


class _Floor(Client):
    """What both floors share.

    A server's errors were seen while recording; what is checked of an answer is that it is as long as it was then.
    """

    async def open(self) -> None:
        self._control = Recorder(self.dsn)
        self.stack.callback(self._control.socket.close)

    async def execute(self, sql: str) -> None:
        self._control.execute(sql)

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        return frozenset(Shape) - {Shape.MEMORY, Shape.CONNECT}

    async def prepare(self, case: Case) -> tuple[Operation, int]:
        await self.of_case.aclose()
        operation, rows = await self._prepare(case)
        await self.before(case)
        await operation()
        self._check(case)
        return operation, rows

    def _check(self, case: Case) -> None:
        """See that nothing is missing of the first operation's answers, and nothing was left.

        Raises:
            AssertionError: they were of another length.
        """

    async def _prepare(self, case: Case) -> tuple[Operation, int]:
        await self.before(case)
        recorder = Recorder(self.dsn)
        operations = itertools.cycle(record(recorder, case))
        match case.shape:
            case Shape.POOL:
                # The statement is known to each of the connections.
                others = [Recorder(self.dsn) for _ in range(case.connections - 1)]
                for other in others:
                    other.prepare(case.sql)
                wires = [await self._wire(each.socket) for each in (recorder, *others)]
                return self._pooled(wires, (exchange for (exchange,) in operations)), case.rows
            case Shape.TASKS:
                return await self._shared(recorder.socket, (exchange for (exchange,) in operations)), case.rows
            case Shape.NOTIFY:
                listener = Recorder(self.dsn)
                listener.execute(f"LISTEN {case.sql}")
                # Tag, length, process id, and two strings with a zero each.
                message = Exchange(b"", 1 + 4 + 4 + len(case.sql) + 1 + len("news") + 1)
                sending, listening = await self._wire(recorder.socket), await self._wire(listener.socket)
                ((notify,),) = itertools.islice(operations, 1)

                async def operation() -> None:
                    await sending(notify)
                    await listening(message)

                return operation, case.rows
            case _:
                exchange = await self._wire(recorder.socket)
                if case.shape in (Shape.TRANSACTION, Shape.CURSOR, Shape.COPY_IN):
                    return _conversation(exchange, operations), case.rows
                singles = (exchange for (exchange,) in operations)
                return lambda: exchange(next(singles)), case.rows

    async def _wire(self, sock: socket.socket) -> Callable[[Exchange], Awaitable[Any]]:
        """A way to make one exchange at a time on this connection, until the end of the process."""
        raise NotImplementedError

    async def _shared(self, sock: socket.socket, exchanges: Iterator[Exchange]) -> Operation:
        """An exchange that many tasks make at once."""
        raise NotImplementedError

    def _pooled(self, wires: list[Callable[[Exchange], Awaitable[Any]]], exchanges: Iterator[Exchange]) -> Operation:
        """An exchange on one of these that is free."""
        raise NotImplementedError


def _conversation(exchange: Callable[[Exchange], Awaitable[Any]], operations: Iterator[list[Exchange]]) -> Operation:
    async def operation() -> None:
        for each in next(operations):
            await exchange(each)

    return operation


class _Wire(asyncio.BufferedProtocol):
    """One exchange at a time."""

    _write: Callable[[bytes], None]

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(65536))
        self._missing = 0
        self._create_future = asyncio.get_running_loop().create_future
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        self._write = transport.write

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._missing -= nbytes
        if self._missing <= 0 and self._answered is not None:
            self._answered.set_result(None)
            self._answered = None

    @property
    def is_balanced(self) -> bool:
        """Whether what has come is what was asked for."""
        return self._missing == 0

    def exchange(self, exchange: Exchange) -> "asyncio.Future[None]":
        answered = self._create_future()
        self._missing += exchange.length
        if self._missing > 0:
            self._answered = answered
        else:
            answered.set_result(None)  # a notification was here before it was asked for
        if exchange.request:
            self._write(exchange.request)
        return answered


class _SharedWire(_Wire):
    """Many exchanges at once; what is written in one turn of the loop goes out together."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._unsent: list[bytes] = []
        self._received = 0
        self._call_soon = asyncio.get_running_loop().call_soon

    def buffer_updated(self, nbytes: int) -> None:
        received, waiting = self._received + nbytes, self._waiting
        while waiting and waiting[0][0] <= received:
            length, answered = waiting.popleft()
            received -= length
            answered.set_result(None)
        self._received = received

    @property
    def is_balanced(self) -> bool:
        return self._received == 0 and not self._waiting

    def exchange(self, exchange: Exchange) -> "asyncio.Future[None]":
        answered = self._create_future()
        self._waiting.append((exchange.length, answered))
        if not self._unsent:
            self._call_soon(self._flush)
        self._unsent.append(exchange.request)
        return answered

    def _flush(self) -> None:
        self._write(b"".join(self._unsent))
        self._unsent.clear()


class AsyncioFloor(_Floor):
    """The floor on asyncio or uvloop."""

    async def open(self) -> None:
        await super().open()
        self._wires: list[_Wire] = []

    def _check(self, case: Case) -> None:
        if not all(wire.is_balanced for wire in self._wires):
            raise AssertionError(f"answers of another length than recorded in the case {case.name!r}")

    async def _on(self, sock: socket.socket, wire: _Wire) -> Callable[[Exchange], Awaitable[Any]]:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: wire, sock=sock)
        self.of_case.callback(transport.close)
        self.of_case.callback(self._wires.clear)
        self._wires.append(wire)
        return wire.exchange

    async def _wire(self, sock: socket.socket) -> Callable[[Exchange], Awaitable[Any]]:
        return await self._on(sock, _Wire())

    async def _shared(self, sock: socket.socket, exchanges: Iterator[Exchange]) -> Operation:
        exchange = await self._on(sock, _SharedWire())
        return lambda: exchange(next(exchanges))

    def _pooled(self, wires: list[Callable[[Exchange], Awaitable[Any]]], exchanges: Iterator[Exchange]) -> Operation:
        return lending(wires, lambda wire: wire(next(exchanges)))


class TrioFloor(_Floor):
    """The floor on trio."""

    @classmethod
    def shapes(cls) -> frozenset[Shape]:
        # Tasks on one connection would have to hand on who reads, which is what the library is for.
        return super().shapes() - {Shape.TASKS}

    async def _wire(self, sock: socket.socket) -> Callable[[Exchange], Awaitable[Any]]:
        import trio

        self.of_case.callback(sock.close)
        send, receive, buffer, number = sock.send, sock.recv_into, memoryview(bytearray(65536)), sock.fileno()
        size = len(buffer)
        wait_readable, wait_writable = trio.lowlevel.wait_readable, trio.lowlevel.wait_writable

        async def exchange(exchange: Exchange) -> None:
            request = exchange.request
            # Its answers fit into the socket's buffer: the server never waits for us to read.
            while request:
                try:
                    sent = send(request)
                except BlockingIOError:
                    await wait_writable(number)
                else:
                    request = request[sent:]
            missing = exchange.length
            while missing > 0:
                await wait_readable(number)
                received = size
                while received == size and missing > 0:  # there may be more at once
                    try:
                        received = receive(buffer)
                    except BlockingIOError:
                        break
                    missing -= received
            if missing < 0:
                raise AssertionError("there is more than was recorded")

        return exchange

    def _pooled(self, wires: list[Callable[[Exchange], Awaitable[Any]]], exchanges: Iterator[Exchange]) -> Operation:
        import trio

        free = wires
        turn = trio.Semaphore(len(wires))

        async def operation() -> None:
            async with turn:
                wire = free.pop()
                await wire(next(exchanges))
                free.append(wire)

        return operation
