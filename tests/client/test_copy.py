"""COPY, stopped at each of its awaits in turn, and on servers that do strange things: whole or closed, never hung."""

# ruff: noqa: PT012 - a block that is left by an error is what is tested

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from pgsansio.client import Connection, connecting, copy_stream
from pgsansio.client.port import Address
from pgsansio.codecs.copy_format import HEADER, TRAILER
from pgsansio.enums import Format, Outcome
from pgsansio.errors import (
    ALL_ERRORS,
    ConnectionDoesNotExistError,
    InterfaceError,
    InvalidTextRepresentationError,
    OperationTimeoutError,
    PostgresError,
    ProtocolError,
    UnsupportedServerFeatureError,
)
from pgsansio.messages.backend import CommandComplete, ParameterDescription, ParseComplete
from pgsansio.messages.copy import CopyData, CopyDone, CopyFail, CopyInResponse, CopyOutResponse
from pgsansio.messages.frontend import Describe, Parse, Query, Sync
from pgsansio.testing.loop import Cancelled, Task, VirtualLoop
from pgsansio.testing.script import (
    ScriptedBackend,
    Step,
    error,
    expect,
    hang_up,
    login,
    notice,
    ready,
    row_description,
    selected,
    send,
    send_bytes,
)
from tests.client.test_cancel_everywhere import SETTINGS
from tests.support.toy_server import ToyCluster, ToyServer

INT4 = 23
CHUNK = b"1234567890\n"


class CopyServer(ToyServer):
    """A toy that has COPY: what it is given it keeps, and what it gives are ten chunks; SLEEP in the text: and waits.

    A chunk that begins with an x is refused.
    """

    def __init__(self, cluster: ToyCluster, process_id: int) -> None:
        super().__init__(cluster, process_id)
        self.given: list[bytes] = []
        self.copied: list[bytes] = []
        self._taking = False
        #: What is left to say of a COPY TO.
        self._saying: list[Any] = []

    def data_to_send(self) -> bytes:
        if self._saying and not self.sleeping:
            message = self._saying.pop(0)
            if message is None:
                self.sleeping = True
                self._script = []
            else:
                self.backend.send(message)
                if not self._saying:
                    self._ready()
            return self.backend.data_to_send()
        data = super().data_to_send()
        return data or (self.data_to_send() if self._saying and not self.sleeping else b"")

    def interrupt(self) -> None:
        if self._taking or (self._saying and not self.sleeping):
            self._taking = False
            self._saying.clear()
            self.backend.send(error("57014", "canceling statement due to user request"))
            self._ready()
            return
        if self.sleeping:
            self._saying.clear()
        super().interrupt()

    def _answer(self, message: Any) -> None:
        match message:
            case Query() if message.query.startswith("COPY") and self.interrupted:
                self.backend.send(error("57014", "canceling statement due to user request"))
                self._ready()
            case Query() if message.query.startswith("COPY") and "FROM STDIN" in message.query:
                self.log.append(message.query)
                binary = "binary" in message.query
                format_ = Format.BINARY if binary else Format.TEXT
                self.backend.send(CopyInResponse(format_, (format_,)))
                self.given = []
                self._taking = True
            case Query() if message.query.startswith("COPY"):
                self.log.append(message.query)
                if "'binary'" in message.query:
                    self._saying = [CopyOutResponse(Format.BINARY, (Format.BINARY,)), CopyData(HEADER)]
                    self._saying += [CopyData(b"\0\1\0\0\0\4" + bytes([0, 0, 0, n])) for n in range(10)]
                    self._saying += [CopyData(TRAILER)]
                else:
                    self._saying = [CopyOutResponse(Format.TEXT, (Format.TEXT,)), *[CopyData(CHUNK)] * 10]
                if "SLEEP" in message.query:
                    self._saying.insert(5, None)
                self._saying += [CopyDone(), CommandComplete("COPY 10")]
            case CopyData() | CopyDone() | CopyFail() if not self._taking:
                pass  # as the server does after an error
            case CopyData():
                self.given.append(message.data)
                if message.data.startswith(b"x"):
                    self._taking = False
                    self.backend.send(error("22P02", "invalid input syntax"))
                    self._ready()
            case CopyDone():
                self._taking = False
                self.copied += self.given
                self.backend.send(CommandComplete(f"COPY {len(self.given)}"))
                self._ready()
            case CopyFail():
                self._taking = False
                self.backend.send(error("57014", f"COPY from stdin failed: {message.message}"))
                self._ready()
            case _:
                super()._answer(message)


class Cluster(ToyCluster):
    def __call__(self, address: Address) -> ToyServer:
        server = CopyServer(self, 1000 + len(self.servers))
        self.servers.append(server)
        return server


class File:
    """As a file; knows whether it was closed."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.closed = False

    def read(self, size: int) -> bytes:
        assert not self.closed
        data, self.data = self.data[:22], self.data[22:]
        return data

    def write(self, data: bytes) -> int:
        assert not self.closed
        self.data += data
        return len(data)

    def close(self) -> None:
        self.closed = True


class World:
    def __init__(self, *, inline: bool = False) -> None:
        self.cluster = Cluster()
        self.loop = VirtualLoop(self.cluster, inline=inline)
        self.files: list[File] = []
        self.loop.open_file = self.open_file
        self.connection: Connection = self.loop.finish(connecting.connect(self.loop.port, SETTINGS, Connection))

    def open_file(self, path: Any, writing: bool) -> File:
        self.files.append(File(b"" if writing else CHUNK * 5))
        return self.files[-1]

    @property
    def server(self) -> CopyServer:
        server = self.cluster.sessions[0]
        assert isinstance(server, CopyServer)
        return server


async def drop(data: bytes) -> None:
    pass


async def chunks(*items: bytes) -> AsyncIterator[bytes]:
    for item in items:
        yield item


async def to_function(connection: Connection) -> None:
    received: list[bytes] = []

    async def sink(data: bytes) -> None:
        received.append(data)

    assert await connection.copy_from_table("t", output=sink) == "COPY 10"
    assert b"".join(received) == CHUNK * 10


async def to_path(connection: Connection) -> None:
    assert await connection.copy_from_query("SELECT 1", output="path") == "COPY 10"


async def to_file_with_progress(connection: Connection) -> None:
    file = File()
    sizes = []
    await connection.copy_from_query("SELECT 1", output=file, progress=lambda rows, size: sizes.append(size))
    assert file.data == CHUNK * 10
    assert sizes[-1] == 110
    assert not file.closed


async def to_function_that_fails(connection: Connection) -> None:
    async def sink(data: bytes) -> None:
        raise LookupError

    with contextlib.suppress(LookupError):
        await connection.copy_from_query("SELECT 1", output=sink)


async def from_bytes(connection: Connection) -> None:
    assert await connection.copy_to_table("t", source=CHUNK * 4) == "COPY 4"


async def from_path(connection: Connection) -> None:
    assert await connection.copy_to_table("t", source="path") == "COPY 5"


async def from_chunks(connection: Connection) -> None:
    assert await connection.copy_to_table("t", source=chunks(CHUNK, b"", CHUNK)) == "COPY 2"


async def from_chunks_that_fail(connection: Connection) -> None:
    async def fail() -> AsyncIterator[bytes]:
        yield CHUNK
        raise LookupError

    with contextlib.suppress(LookupError):
        await connection.copy_to_table("t", source=fail())


async def from_chunks_that_are_refused(connection: Connection) -> None:
    with contextlib.suppress(InvalidTextRepresentationError):
        await connection.copy_to_table("t", source=chunks(CHUNK, b"x", CHUNK, CHUNK, CHUNK))


async def records_in(connection: Connection) -> None:
    await connection.copy_records_to_table("SELECT 1", records=[(n,) for n in range(5)])


async def records_in_from_an_asynchronous_iterable(connection: Connection) -> None:
    async def records() -> AsyncIterator[tuple[int]]:
        for number in range(5):
            yield (number,)

    await connection.copy_records_to_table("SELECT 1", records=records())


async def records_in_that_are_refused(connection: Connection) -> None:
    with contextlib.suppress(ValueError, TypeError, *ALL_ERRORS):
        await connection.copy_records_to_table("t", records=[(1,), ("x",)])


async def records_out(connection: Connection) -> None:
    records = connection.copy_records_from_query("SELECT 7", batch_size=3)
    assert [value async for (value,) in records] == list(range(10))
    assert records.status == "COPY 10"


async def chunks_out_left_early(connection: Connection) -> None:
    async with connection.copy_chunks_from_query("SELECT 7") as stream:
        await anext(stream)


async def sleeping(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):
        await connection.copy_from_query("SLEEP", output=drop, timeout=5)


async def sleeping_source(connection: Connection) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield CHUNK
        await connection._port.progress(Forever())  # type: ignore[arg-type]

    with contextlib.suppress(TimeoutError):
        await connection.copy_to_table("t", source=chunks(), timeout=5)


class Forever:
    settled = attention = False


CONVERSATIONS = [
    to_function,
    to_path,
    to_file_with_progress,
    to_function_that_fails,
    from_bytes,
    from_path,
    from_chunks,
    from_chunks_that_fail,
    from_chunks_that_are_refused,
    records_in,
    records_in_from_an_asynchronous_iterable,
    records_in_that_are_refused,
    records_out,
    chunks_out_left_early,
    sleeping,
    sleeping_source,
]
#: How many chunks they copy, all or nothing.
COPIED = {from_bytes: 4, from_path: 5, from_chunks: 2}
Conversation = Callable[[Connection], Awaitable[None]]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_stream, "PIECE_BYTES", len(CHUNK))


def moments(conversation: Conversation, *, inline: bool = False) -> Iterator[tuple[World, Task]]:
    """The conversation in a new world each time, stopped at its first moment, its second, and so on to its end."""
    moment = 0
    while True:
        there = World(inline=inline)
        task = there.loop.start(conversation(there.connection))  # type: ignore[arg-type]
        for _ in range(moment):
            if not task.done:
                there.loop.step()
        if task.done:
            task.result()
            check_whole_or_closed(there, conversation)
            assert moment > 2
            return
        yield there, task
        moment += 1


def check_whole_or_closed(there: World, conversation: Conversation) -> None:
    """After everything has come to rest."""
    loop, connection, server = there.loop, there.connection, there.server
    loop.run()
    assert not loop.tasks, [task.stop and task.stop.name for task in loop.tasks]
    assert not loop.failures
    assert all(file.closed for file in there.files)
    if connection.is_closed():
        assert not any(port.connected for port in loop.ports)
        loop.run()
        assert server.hung_up
        with pytest.raises(InterfaceError, match="connection is closed"):
            loop.finish(connection.copy_to_table("t", source=CHUNK))
    else:
        assert loop.finish(connection.fetchval("SELECT $1", 42)) == 42
        copied = len(server.copied)
        loop.finish(from_bytes(connection))
        loop.finish(to_function(connection))
        assert server.copied[copied:] == [CHUNK] * 4
        assert loop.finish(connection.fetchval("SELECT 1")) == 1
        del server.copied[copied:]
    if conversation in COPIED:
        assert len(server.copied) in (0, COPIED[conversation])


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for_good"])
@pytest.mark.parametrize("inline", [False, True], ids=["background", "inline"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_cancelled(conversation: Conversation, inline: bool, for_good: bool) -> None:
    for there, task in moments(conversation, inline=inline):
        task.cancel(for_good=for_good)
        there.loop.run(task)
        assert task.error is None or isinstance(task.error, Cancelled)
        check_whole_or_closed(there, conversation)
        # No cancellation has to cost the connection.
        assert not there.connection.is_closed()


class Closing:
    """A source that has something to wait for at its end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunks = chunks(CHUNK)

    def __aiter__(self) -> "Closing":
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        await self._connection._port.checkpoint()


@pytest.mark.parametrize(
    "make_source", [lambda _: CHUNK * 4, lambda _: "path", lambda _: chunks(CHUNK, CHUNK), Closing]
)
def test_a_time_limit_tells_whether_anything_may_have_been_copied(make_source: Callable[[Connection], Any]) -> None:
    outcomes = set()

    async def conversation(connection: Connection) -> None:
        await connection.copy_to_table("t", source=make_source(connection), timeout=60)

    for there, task in moments(conversation):
        task.time_out()
        there.loop.run(task)
        check_whole_or_closed(there, conversation)
        if isinstance(task.error, OperationTimeoutError):
            outcomes.add(task.error.outcome)
            assert task.error.safe_to_retry == (task.error.outcome is Outcome.CANCELLED)
            assert not (task.error.safe_to_retry and there.server.copied)
    assert Outcome.UNKNOWN in outcomes


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_thrown_away(conversation: Conversation) -> None:
    for there, task in moments(conversation):
        there.loop.tasks.remove(task)
        task.close()
        check_whole_or_closed(there, conversation)


@pytest.mark.parametrize("cause", [ConnectionResetError(104, "reset by peer"), None], ids=["reset", "end"])
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_connection_lost(conversation: Conversation, cause: OSError | None) -> None:
    for there, task in moments(conversation):
        there.loop.ports[0].lose(cause)
        there.loop.run(task)
        assert task.error is None or isinstance(task.error, ALL_ERRORS)
        if isinstance(task.error, ConnectionDoesNotExistError):
            assert task.error.__cause__ is cause
        assert there.connection.is_closed()
        check_whole_or_closed(there, conversation)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_nobody_else_pays(conversation: Conversation) -> None:
    for there, task in moments(conversation):
        bystanders = [there.loop.start(there.connection.fetchval("SELECT $1", 70 + n)) for n in range(2)]
        for _ in range(3):
            there.loop.step()
        task.cancel()
        for number, bystander in enumerate(bystanders):
            there.loop.run(bystander)
            assert bystander.result() == 70 + number
        check_whole_or_closed(there, conversation)


# Step by step


def conversation_with(*script: Step) -> tuple[VirtualLoop, Connection, ScriptedBackend]:
    server = ScriptedBackend([*login(), *script])
    server.receive_eof = lambda: None  # type: ignore[attr-defined]
    loop = VirtualLoop(lambda _: server)  # type: ignore[arg-type, return-value]
    return loop, loop.finish(connecting.connect(loop.port, SETTINGS, Connection)), server


COPY_T_IN = Query('COPY "t" FROM STDIN')
COPY_T_OUT = Query('COPY "t" TO STDOUT')
BEGIN_IN = CopyInResponse(Format.TEXT, (Format.TEXT,))
BEGIN_OUT = CopyOutResponse(Format.TEXT, (Format.TEXT,))


def test_what_is_sent() -> None:
    loop, connection, server = conversation_with(
        expect(COPY_T_IN),
        send(notice(), BEGIN_IN),
        expect(CopyData(CHUNK)),
        expect(CopyData(b"rest")),
        expect(CopyDone()),
        send(selected("COPY 2"), ready()),
    )
    assert loop.finish(connection.copy_to_table("t", source=CHUNK + b"rest")) == "COPY 2"
    assert server.done


def test_notices_between_data() -> None:
    loop, connection, _ = conversation_with(
        expect(COPY_T_OUT),
        send(BEGIN_OUT, CopyData(b"a"), notice(), CopyData(b"b"), CopyDone(), notice(), selected("COPY 2"), ready()),
    )
    file = File()
    assert loop.finish(connection.copy_from_table("t", output=file)) == "COPY 2"
    assert file.data == b"ab"


def test_an_error_after_the_data_has_gone() -> None:
    """As of a deferred constraint; what the sink has taken is his."""
    loop, connection, server = conversation_with(
        expect(COPY_T_IN),
        send(BEGIN_IN),
        expect(CopyData(b"a")),
        expect(CopyDone()),
        send(error("23505", "duplicate"), ready()),
    )
    with pytest.raises(PostgresError, match="duplicate"):
        loop.finish(connection.copy_to_table("t", source=b"a"))
    assert server.done


def test_nothing_is_written_behind_an_error() -> None:
    loop, connection, server = conversation_with(
        expect(COPY_T_IN),
        send(BEGIN_IN),
        expect(CopyData(b"a")),
        send(error("22P04", "bad"), ready()),
    )

    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        await connection._port.progress(connection._frontend.in_flight[0])
        yield b"b"

    with pytest.raises(PostgresError, match="bad") as caught:
        loop.finish(connection.copy_to_table("t", source=source()))
    assert caught.value.query == 'COPY "t" FROM STDIN'
    assert server.done


def test_the_reason_is_told_to_the_server_and_the_error_to_the_user() -> None:
    loop, connection, server = conversation_with(
        expect(COPY_T_IN),
        send(BEGIN_IN),
        expect(CopyFail("COPY aborted due to an error on the client's side")),
        send(error("57014", "COPY from stdin failed"), ready()),
    )

    async def source() -> AsyncIterator[bytes]:
        for _ in range(1):
            raise LookupError("x" * 20_000)
        yield b""

    with pytest.raises(LookupError):
        loop.finish(connection.copy_to_table("t", source=source()))
    assert server.done


@pytest.mark.parametrize(
    "said",
    [
        [send(BEGIN_OUT, CopyData(b"a"), CopyDone(), selected("COPY 1"), ready())],
        [send(row_description(("a", INT4)), selected(), ready())],
        [send(CommandComplete("COPY 5"), ready())],
    ],
    ids=["other direction", "rows", "a file of the server's"],
)
def test_what_begins_no_copy_from_stdin(said: list[Step]) -> None:
    loop, connection, _ = conversation_with(expect(COPY_T_IN), *said)
    with pytest.raises(InterfaceError, match="no COPY that has data to take"):
        task = loop.start(connection.copy_to_table("t", source=b"a"))
        loop.run(task)
        task.result()
    connection.terminate()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([b"nonsense"], "signature"),
        ([HEADER[:11] + b"\0\1\0\0" + bytes(4)], "critical flags: 0x00010000"),
        ([HEADER[:5]], "ends before its trailer"),
        ([HEADER], "ends before its trailer"),
        ([HEADER, b"\0\1\0\0"], "ends before its trailer"),
        ([], "ends before its trailer"),
        ([HEADER + TRAILER + b"x"], "1 bytes behind the trailer"),
        ([HEADER, b"\0\2\0\0\0\0\0\0\0\0", TRAILER], "2 columns"),
        ([HEADER, b"\0\1\xff\xff\xff\xf0", TRAILER], "length of -16"),
    ],
)
def test_binary_data_that_is_none(data: list[bytes], text: str) -> None:
    loop, connection, _ = conversation_with(
        expect(Parse),
        expect(Describe),
        expect(Sync),
        send(ParseComplete(), ParameterDescription(()), row_description(("a", INT4)), ready()),
        expect(Query),
        send(BEGIN_OUT, *map(CopyData, data), CopyDone(), selected("COPY 1"), ready()),
    )
    with pytest.raises(ProtocolError, match=text):
        loop.finish(anext(connection.copy_records_from_query("SELECT 1")))
    assert not connection.is_closed()


def test_a_header_with_an_extension() -> None:
    header = HEADER[:11] + bytes(4) + b"\0\0\0\3abc"
    pieces = [bytes([byte]) for byte in header + b"\0\1\0\0\0\4\0\0\0\7" + b"\0\1\xff\xff\xff\xff" + TRAILER]
    loop, connection, _ = conversation_with(
        expect(Parse),
        expect(Describe),
        expect(Sync),
        send(ParseComplete(), ParameterDescription(()), row_description(("a", INT4)), ready()),
        expect(Query),
        send(BEGIN_OUT, *map(CopyData, pieces), CopyDone(), selected("COPY 2"), ready()),
    )

    async def values() -> list[Any]:
        return [record["a"] async for record in connection.copy_records_from_query("SELECT 1")]

    assert loop.finish(values()) == [7, None]


def test_an_end_of_stream_in_the_middle() -> None:
    loop, connection, _ = conversation_with(
        expect(COPY_T_OUT), send(BEGIN_OUT, CopyData(b"a")), send_bytes(b"d\0\0\0\x09x"), hang_up()
    )
    with pytest.raises(ConnectionDoesNotExistError):
        loop.finish(connection.copy_from_table("t", output=drop))
    assert connection.is_closed()


def test_paths_without_files() -> None:
    loop, connection, server = conversation_with()
    with pytest.raises(FileNotFoundError):
        loop.finish(connection.copy_from_table("t", output="path"))
    with pytest.raises(FileNotFoundError):
        loop.finish(connection.copy_to_table("t", source="path"))
    assert server.done


@pytest.mark.parametrize(("version", "works"), [("11.9", False), ("12.0", True), (None, True)])
def test_where_needs_a_server_that_has_it(version: str | None, works: bool) -> None:
    parameters = {"client_encoding": "UTF8"} | ({} if version is None else {"server_version": version})
    script = [expect(Query('COPY "t" FROM STDIN WHERE a > 1')), send(BEGIN_IN), expect(CopyDone())]
    server = ScriptedBackend([*login(parameters=parameters), *script, send(selected("COPY 0"), ready())])
    loop = VirtualLoop(lambda _: server)  # type: ignore[arg-type, return-value]
    connection: Connection = loop.finish(connecting.connect(loop.port, SETTINGS, Connection))
    call = connection.copy_to_table("t", source=b"", where="a > 1")
    if works:
        assert loop.finish(call) == "COPY 0"
        return
    with pytest.raises(UnsupportedServerFeatureError, match="the `where` parameter requires PostgreSQL 12 or later"):
        loop.finish(call)
    with pytest.raises(UnsupportedServerFeatureError):
        loop.finish(connection.copy_records_to_table("t", records=[], where="a > 1"))
