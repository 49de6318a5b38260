"""SequentialPort: the client on a port that never suspends, against a server in the same process."""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgsansio.client import Connection, connecting
from pgsansio.client.port import Address
from pgsansio.client.sequential import SequentialPort, run
from pgsansio.engine.driven import Engine
from pgsansio.engine.operations import Operation
from pgsansio.enums import Outcome
from pgsansio.errors import ConnectionDoesNotExistError, InterfaceError, OperationTimeoutError
from pgsansio.policy.conninfo import Settings, TcpAddress, resolve_settings
from pgsansio.policy.encryption_mode import SSLMode
from pgsansio.policy.gss import GssTarget
from pgsansio.policy.tcp_options import TcpOptions
from pgsansio.policy.tls_settings import TlsSettings
from tests.support.toy_server import ToyCluster, ToyServer


class MemoryPort(SequentialPort):
    """The other end is a server that answers when it is asked; when it has nothing to say the clock goes on."""

    cluster = ToyCluster()
    ports: list["MemoryPort"] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.now = 0.0
        self.server: ToyServer | None = None
        self.is_shut = False
        self.delivered: list[object] = []
        self.ports.append(self)

    async def open_stream(self, address: Address, engine: Engine) -> None:
        self.engine = engine
        self.server = self.cluster(address)
        self.flush()

    def exchange(self, seconds: float | None) -> bool:
        assert self.server is not None
        assert not self.is_shut
        self.server.receive_data(self.unsent)
        self.unsent = b""
        if data := self.server.data_to_send():
            room = self.engine.get_buffer(-1)
            assert len(data) <= len(room)
            room[: len(data)] = data
            self.engine.bytes_received(len(data))
            self.fed()
            return True
        if self.server.hung_up:
            self.lost(None)
            return True
        assert seconds is not None, "this would wait for ever"
        self.now += seconds
        return False

    def flush(self) -> None:
        self.unsent += self.engine.data_to_send()

    def shut(self) -> None:
        if not self.is_shut and self.server is not None:
            self.is_shut = True
            self.server.receive_data(self.unsent)
            self.server.data_to_send()
            self.server.receive_eof()

    async def resolve(self, host: str, port: int) -> list[TcpAddress]:
        return [TcpAddress(host, port)]

    def clock(self) -> float:
        return self.now

    def nonce(self) -> str:
        return "nonce" * 5


class Plain(MemoryPort):
    """One that is used without a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[bool] = []

    def exchange(self, seconds: float | None) -> bool:
        self.outcomes.append(seconds == 0.0)
        return True


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryPort, "cluster", ToyCluster())
    monkeypatch.setattr(MemoryPort, "ports", [])


def settings(**keywords: Any) -> Settings:
    return resolve_settings(
        "postgresql://u@h/d", environment={}, os_user="u", home=None, platform="linux", **{"timeout": None, **keywords}
    )


def connect(**keywords: Any) -> Connection:
    return run(connecting.connect(MemoryPort, settings(**keywords), Connection))


def there(connection: Connection) -> MemoryPort:
    port = connection._port
    assert isinstance(port, MemoryPort)
    return port


def test_a_conversation_without_a_loop() -> None:
    connection = connect()
    assert run(connection.fetchval("SELECT $1", 7)) == 7
    assert run(connection.execute("INSERT 1; INSERT 2")) == "INSERT 0 1"

    async def rolled_back() -> None:
        async with connection.transaction():
            await connection.execute("INSERT 3")
            raise KeyError

    with pytest.raises(KeyError):
        run(rolled_back())
    port = there(connection)
    assert port.server is not None
    assert port.server.state.rows == [1, 2]
    run(connection.close())
    assert port.is_shut
    assert port.server.hung_up
    with pytest.raises(InterfaceError, match="connection is closed"):
        run(connection.fetch("SELECT 1"))


def test_a_batch_is_written_piece_by_piece() -> None:
    connection = connect()
    numbers = list(range(10_000))
    run(connection.executemany("INSERT $1", [(number,) for number in numbers]))
    server = there(connection).server
    assert server is not None
    assert server.state.rows == numbers


def test_rows_that_are_asked_for_as_they_come() -> None:
    connection = connect()

    async def body() -> list[int]:
        async with connection.stream("SERIES 5", prefetch=2) as rows:
            return [row[0] async for row in rows]

    assert run(body()) == [1, 2, 3, 4, 5]


def test_the_statement_that_outlasts_its_time_limit_is_cancelled() -> None:
    connection = connect()
    with pytest.raises(OperationTimeoutError) as caught:
        run(connection.fetch("SLEEP", timeout=5))
    assert caught.value.outcome is Outcome.UNKNOWN
    assert caught.value.connection_usable
    assert MemoryPort.cluster.cancel_requests == 1
    assert there(connection).now == 5.0
    assert run(connection.fetchval("SELECT 1")) == 1


def test_the_innermost_deadline_counts() -> None:
    port = Plain()
    assert port.seconds_left() is None

    async def body() -> list[float | None]:
        found = []
        async with port.deadline(10.0):
            found.append(port.seconds_left())
            async with port.deadline(4.0):
                found.append(port.seconds_left())
                async with port.deadline(7.0):
                    found.append(port.seconds_left())
                port.now = 5.0
                found.append(port.seconds_left())
            async with port.deadline(None):
                found.append(port.seconds_left())
        found.append(port.seconds_left())
        return found

    assert run(body()) == [10.0, 4.0, 4.0, 0.0, 5.0, None]


def test_whose_limit_has_passed_and_what_is_none() -> None:
    port = Plain()
    found: list[object] = []

    async def body(outer: float, inner: float, error: BaseException) -> None:
        try:
            async with port.deadline(outer):
                try:
                    async with port.deadline(inner):
                        raise error
                except TimeoutError as raised:
                    found.append(raised)
                    raise
        except TimeoutError as raised:
            found.append(raised)

    limit = TimeoutError()
    run(body(10.0, 4.0, limit))  # the inner one, whose error is another's by then
    assert [error is limit for error in found] == [False, False]
    found.clear()
    run(body(4.0, 10.0, limit))
    assert [error is limit for error in found] == [True, False]
    found.clear()
    unreachable = TimeoutError(110, "Connection timed out")
    run(body(4.0, 10.0, unreachable))
    run(body(10.0, 4.0, unreachable))
    assert found == [unreachable] * 4


def test_a_lost_connection() -> None:
    connection = connect()
    port = there(connection)
    ended: list[object] = []
    connection.add_termination_listener(ended.append)
    cause = ConnectionResetError(104, "reset by peer")

    def lose(seconds: float | None) -> bool:
        port.lost(cause)
        return True

    port.exchange = lose  # type: ignore[method-assign]
    with pytest.raises(ConnectionDoesNotExistError) as caught:
        run(connection.fetch("SELECT 1"))
    assert caught.value.__cause__ is cause
    assert ended == [connection]
    assert connection.is_closed()
    assert port.is_shut
    assert port.unsent == b""


def test_a_connection_that_has_ended_meanwhile_is_noticed_when_it_is_looked_at() -> None:
    connection = connect()
    port = there(connection)
    assert port.server is not None
    port.poll()
    assert not port.engine.ended
    port.server.hung_up = True
    port.poll()
    assert connection.is_closed()
    port.poll()  # nothing is read any more: `exchange` would complain


def test_what_is_owed_is_bounded_and_its_failure_is_answered_for() -> None:
    port = Plain()
    seen: list[float | None] = []

    async def work() -> None:
        seen.append(port.seconds_left())
        raise ConnectionResetError

    async def body(work: Callable[[], Awaitable[None]]) -> None:
        async with port.deadline(1.0):
            await port.owe(work, 10.0)  # beyond the caller's own limit
            seen.append(port.seconds_left())

    run(body(work))
    assert seen == [10.0, 1.0]

    async def wrong() -> None:
        raise KeyError("a mistake")

    with pytest.raises(KeyError, match="a mistake"):
        run(body(wrong))
    assert port.seconds_left() is None


def test_waiting_is_over_when_it_is_true_or_too_late() -> None:
    port = Plain()
    port.engine = ToyCluster()  # type: ignore[assignment]
    port.flush = lambda: None  # type: ignore[method-assign]
    operation = Operation(b"", (), 0)
    looks: list[int] = []

    def exchange(seconds: float | None) -> bool:
        looks.append(len(looks))
        operation.attention = len(looks) == 3
        return seconds is None

    port.exchange = exchange  # type: ignore[method-assign]
    run(port.progress(operation))
    assert looks == [0, 1, 2]
    run(port.outbox_low())  # nothing waits to be written
    assert len(looks) == 3

    async def late() -> None:
        async with port.deadline(0.0):
            await port.wait(operation)

    with pytest.raises(TimeoutError):
        run(late())


def test_what_it_leaves_to_subclasses() -> None:
    port = Plain()
    assert run(port.read_file("/home/u/.pgpass", private=True)) is None
    with pytest.raises(InterfaceError, match="this client opens no files"):
        run(port.open_file("x.csv", writing=True))
    for coroutine in (port.tls_context(TlsSettings(SSLMode.require)), port.start_tls(None, "h")):
        with pytest.raises(InterfaceError, match="this client has no TLS"):
            run(coroutine)
    with pytest.raises(InterfaceError, match="neither GSSAPI nor SSPI"):
        port.gss_context(GssTarget("gssapi", "postgres", "h"))
    port.set_tcp_options(TcpOptions())
    assert port.peer_user() is None
    assert port.task() is None
    assert port.stopwatch() == port.clock() == 0.0
    port.guard()
    port.guard_thread()
    run(port.checkpoint())
    sibling = port.sibling()
    assert type(sibling) is Plain
    assert sibling is not port


def test_functions_of_the_user_are_called_at_once() -> None:
    port = Plain()

    async def double(number: int) -> int:
        return 2 * number

    assert run(port.call_user(double, 4)) == 8
    assert run(port.call_user(len, "four")) == 4
    assert run(port.run_elsewhere(lambda: 3)) == 3
    port.deliver(port.delivered.append, 5)
    assert port.delivered == [5]


def test_what_suspends_cannot_be_run() -> None:
    closed: list[bool] = []

    class Suspends:
        def __await__(self) -> Any:
            yield

    async def body() -> None:
        try:
            await Suspends()
        finally:
            closed.append(True)

    with pytest.raises(InterfaceError, match="has awaited something that suspends"):
        run(body())
    assert closed == [True]
    assert math.isinf(MemoryPort().seconds_left() or math.inf)
