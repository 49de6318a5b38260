"""The floor: the same bytes on the same loop and nothing else, which no client can beat.

How this works. A connection is opened, and the bytes of each operation and the length of its answer are recorded
without a loop; then the socket is handed to the loop, which writes these bytes and counts what comes back. Nothing is
encoded, decoded or looked at.
"""

import asyncio
import itertools
import os
import select
import socket
import sys
from collections.abc import Iterator
from typing import Final

import trio

from benchmarks.cases import TASKS, Case, Shape, elements
from pgsansio.engine.operations import Operation
from pgsansio.frontend import Frontend
from pgsansio.policy.conninfo import TcpAddress, resolve_settings, start_up_parameters
from pgsansio.statement import Statement
from pgsansio.types.secret import SecretFunction

__all__ = ["AsyncioFloor", "TrioFloor"]

#: Lookups that are recorded, to be used in turn.
_RECORDED: Final = 100

#: Bytes of a request, and the length of its answer.
Exchange = tuple[bytes, int]


class Recorder:
    """A connection without a loop."""

    def __init__(self, dsn: str) -> None:
        settings = resolve_settings(dsn, environment=os.environ, os_user=None, home=None, platform=sys.platform)
        address = settings.addresses[0]
        if isinstance(address, TcpAddress):
            self.socket = socket.create_connection((address.host, address.port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address.path)
        self.socket.setblocking(False)
        self._frontend = Frontend()
        assert not isinstance(settings.password, SecretFunction)  # a DSN has no functions
        startup = self._frontend.start_up(
            start_up_parameters(settings), user=settings.user, password=settings.password, nonce="recorder"
        )
        while not startup.operation.settled:
            if startup.work is not None:
                self._frontend.start_up_work_done(startup.work())
            self._exchange(startup.operation, stop_at_work=True)
        if startup.operation.error is not None:
            raise startup.operation.error

    def _exchange(self, operation: Operation, *, stop_at_work: bool = False) -> Exchange:
        """Write what is due and read until the operation is settled."""
        frontend = self._frontend
        request = frontend.data_to_send()
        unsent, received = memoryview(request), 0
        while not operation.settled and not (stop_at_work and operation.attention):
            select.select([self.socket], [self.socket] if unsent else [], [])
            try:
                unsent = unsent[self.socket.send(unsent) :] if unsent else unsent
            except BlockingIOError:
                pass
            try:
                size = self.socket.recv_into(frontend.get_buffer())
            except BlockingIOError:
                continue
            if not size:
                frontend.receive_eof()
                break
            received += size
            frontend.bytes_received(size)
            # Start-up is a conversation; to an operation of a session there is nothing to add.
            unsent = memoryview(bytes(unsent) + frontend.data_to_send())
        operation.attention = False
        if operation.error is not None and not stop_at_work:
            raise operation.error
        return request, received

    def execute(self, sql: str) -> None:
        """Run a script."""
        self._exchange(self._frontend.simple_query(sql))

    def _statement(self, sql: str) -> Statement:
        preparation = self._frontend.prepare(sql, named=True)
        self._exchange(preparation)
        return self._frontend.prepared(sql, preparation, 0.0)

    def record(self, case: Case) -> list[Exchange]:
        """Exchanges to be used in turn; in the case with many tasks each is a lookup of every task."""
        frontend, statement = self._frontend, self._statement(case.sql)
        match case.shape:
            case Shape.VALUE:
                return [self._exchange(frontend.execute(statement, (), 1))]
            case Shape.ROWS | Shape.MEMORY:
                return [self._exchange(frontend.execute(statement, ()))]
            case Shape.ROW | Shape.TASKS:
                single = [self._exchange(frontend.execute(statement, (key + 1,), 1)) for key in range(_RECORDED)]
                if case.shape is Shape.ROW:
                    return single
                requests = [request for request, _ in single[:TASKS]]
                return [(b"".join(requests), sum(length for _, length in single[:TASKS]))]
            case Shape.MANY:
                source = iter(elements())
                parts: list[bytes] = []
                total, exhausted = 0, False
                while not exhausted:
                    data, count, exhausted = statement.many(source, total, first=not parts)
                    parts.append(data)
                    total += count
                operation = frontend.batch(statement, b"".join(parts), total, complete=True, owner=None)
                return [self._exchange(operation)]


def _turns(case: Case, count: int) -> int:
    """How many exchanges make so many operations."""
    return count // TASKS if case.shape is Shape.TASKS else count


class _Floor:
    """What both floors share: a control connection, and a fresh one for each case."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._control = Recorder(dsn)
        self._exchanges: Iterator[Exchange] = iter(())

    def _record(self, case: Case) -> socket.socket:
        self.before(case)
        recorder = Recorder(self._dsn)
        self._exchanges = itertools.cycle(recorder.record(case))
        return recorder.socket

    def before(self, case: Case) -> None:
        if case.before:
            self._control.execute(case.before)


class AsyncioFloor(_Floor, asyncio.BufferedProtocol):
    """The floor on asyncio or uvloop."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._buffer = memoryview(bytearray(65536))
        self._missing = 0
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._missing -= nbytes
        if self._missing <= 0:
            self._answered.set_result(None)

    async def prepare(self, case: Case) -> None:
        if self._transport is not None:
            self._transport.close()
        recorded = self._record(case)
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=recorded)

    async def run(self, case: Case, count: int) -> None:
        assert self._transport is not None
        exchanges, write = self._exchanges, self._transport.write
        create_future = asyncio.get_running_loop().create_future
        for _ in range(_turns(case, count)):
            request, self._missing = next(exchanges)
            self._answered = create_future()
            write(request)
            await self._answered


class TrioFloor(_Floor):
    """The floor on trio. Its requests have to fit into the socket's buffer: not for executemany()."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(65536))

    async def prepare(self, case: Case) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = self._record(case)

    async def run(self, case: Case, count: int) -> None:
        sock = self._socket
        assert sock is not None
        exchanges, send, receive, buffer = self._exchanges, sock.send, sock.recv_into, self._buffer
        for _ in range(_turns(case, count)):
            request, missing = next(exchanges)
            if send(request) < len(request):
                raise RuntimeError("the request does not fit into the socket's buffer")
            while missing > 0:
                await trio.lowlevel.wait_readable(sock.fileno())
                missing -= receive(buffer)
