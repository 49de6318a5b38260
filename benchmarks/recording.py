"""What a client has to write in each case, and how many bytes answer it: recorded on a connection without a loop.

The bytes are made of messages alone, so that they hold what the protocol asks for and no client's habits.
"""

import os
import select
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks.cases import PREFETCH, Case, Shape
from benchmarks.tables import BATCH, COPIED, RECORD, SCHEMA
from pgsansio.enums import Format
from pgsansio.frontend import Frontend
from pgsansio.messages.copy import CopyData, CopyDone
from pgsansio.messages.frontend import Bind, Execute, Parse, Query, Sync
from pgsansio.policy.conninfo import TcpAddress, resolve_settings, start_up_parameters
from pgsansio.types.secret import SecretFunction

__all__ = ["Exchange", "Recorder", "record"]

#: Lookups that are recorded, to be used in turn.
_RECORDED: Final = 100
_STATEMENT: Final = "benchmark"
_SYNC: Final = Sync().encode()
#: What asyncpg's pool asks for when it gets a connection back; without it, one user would see what another has set.
_RESET: Final = "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;"


@dataclass(frozen=True, slots=True)
class Exchange:
    """Bytes of a request, and the length of their answer."""

    request: bytes
    length: int


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
        frontend = Frontend()
        assert not isinstance(settings.password, SecretFunction)  # a DSN has no functions
        startup = frontend.start_up(
            start_up_parameters(settings), user=settings.user, password=settings.password, nonce="recorder"
        )
        while not startup.operation.settled:
            if startup.work is not None:
                frontend.start_up_work_done(startup.work())
            self.socket.sendall(frontend.data_to_send())
            if not startup.operation.settled:
                frontend.receive_data(self.socket.recv(65536))
            startup.operation.attention = False
        if startup.operation.error is not None:
            raise startup.operation.error
        self.socket.setblocking(False)
        #: Tags of the last answer's messages.
        self.tags: set[int] = set()

    def exchange(self, *requests: bytes, until: bytes = b"Z") -> Exchange:
        """Write this and read until a message of this tag is complete and nothing follows it.

        Raises:
            RuntimeError: the server answers with an error, or hangs up.
        """
        request = b"".join(requests)
        unsent, received, position = memoryview(request), bytearray(), 0
        self.tags.clear()
        tag = -1
        while unsent or tag != until[0] or position != len(received):
            select.select([self.socket], [self.socket] if unsent else [], [])
            try:
                unsent = unsent[self.socket.send(unsent) :] if unsent else unsent
            except BlockingIOError:
                pass
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                continue
            if not data:
                raise RuntimeError("the server has hung up")
            received += data
            while position + 5 <= len(received):
                end = position + 1 + int.from_bytes(received[position + 1 : position + 5])
                if end > len(received):
                    break
                tag, position = received[position], end
                self.tags.add(tag)
        if ord("E") in self.tags:
            raise RuntimeError(f"the server answers with an error: {bytes(received[:500])!r}")
        return Exchange(request, len(received))

    def execute(self, sql: str) -> Exchange:
        return self.exchange(Query(sql).encode())

    def prepare(self, sql: str, name: str = _STATEMENT) -> None:
        self.exchange(Parse(name, sql).encode(), _SYNC)


def _bind(values: tuple[bytes, ...] = (), portal: str = "") -> bytes:
    return Bind(portal, _STATEMENT, (Format.BINARY,), values, (Format.BINARY,)).encode()


def _execution(values: tuple[bytes, ...] = ()) -> bytes:
    return _bind(values) + Execute("").encode()


def _begin() -> bytes:
    return Bind("", "begin").encode() + Execute("").encode()


def _lookups() -> Iterable[bytes]:
    return (_execution((key.to_bytes(4),)) + _SYNC for key in range(1, _RECORDED + 1))


def _record_values() -> tuple[bytes, ...]:
    formats: dict[type, str] = {int: ">i", float: ">d"}
    return tuple(
        value.encode() if isinstance(value, str) else struct.pack(formats[type(value)], value) for value in RECORD
    )


def _copy_data() -> bytes:
    """As the manual's section about COPY, "Binary Format", says."""
    values = _record_values()
    row = len(values).to_bytes(2) + b"".join(len(value).to_bytes(4) + value for value in values)
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + row * COPIED + b"\xff\xff"


def _cursor(recorder: Recorder) -> list[Exchange]:
    # In the group of the first statement, without a ReadyForQuery of its own.
    recorder.prepare("BEGIN", "begin")
    execute = Execute("portal", PREFETCH).encode()
    exchanges = [recorder.exchange(_begin(), _bind(portal="portal"), execute, _SYNC)]
    exchanges.append(recorder.exchange(execute, _SYNC))
    while ord("C") not in recorder.tags:  # CommandComplete instead of PortalSuspended
        exchanges.append(recorder.exchange(execute, _SYNC))
    exchanges.append(recorder.execute("COMMIT"))
    return exchanges


def record(recorder: Recorder, case: Case) -> list[list[Exchange]]:
    """Operations to be used in turn, each of them exchanges one after the other."""
    exchange = recorder.exchange
    match case.shape:
        case Shape.COPY_IN:
            begin = f"COPY {SCHEMA}.{case.sql} FROM STDIN (FORMAT binary)"
            data = CopyData(_copy_data()).encode() + CopyDone().encode()
            return [[exchange(Query(begin).encode(), until=b"G"), exchange(data)]]
        case Shape.COPY_RAW:
            return [[recorder.execute(f"COPY ({case.sql}) TO STDOUT")]]
        case Shape.COPY_TYPED:
            return [[recorder.execute(f"COPY ({case.sql}) TO STDOUT (FORMAT binary)")]]
        case Shape.NOTIFY:
            return [[recorder.execute(f"NOTIFY {case.sql}, 'news'")]]
        case _:
            recorder.prepare(case.sql)
    match case.shape:
        case Shape.ROW | Shape.TASKS:
            return [[exchange(lookup)] for lookup in _lookups()]
        case Shape.POOL:
            reset = Query(_RESET).encode()
            # One after the other: both end with the same message.
            pairs = [(exchange(lookup), exchange(reset)) for lookup in _lookups()]
            return [[Exchange(a.request + b.request, a.length + b.length)] for a, b in pairs]
        case Shape.TRANSACTION:
            recorder.prepare("BEGIN", "begin")
            return [[exchange(_begin(), lookup), recorder.execute("COMMIT")] for lookup in _lookups()]
        case Shape.CURSOR:
            return [_cursor(recorder)]
        case Shape.MANY:
            return [[exchange(_execution(_record_values()) * BATCH, _SYNC)]]
        case _:
            return [[exchange(_execution(), _SYNC)]]
