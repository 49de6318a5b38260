"""Real faults: the wire cut after each byte and stalled at each message, backends and servers that are killed, stopped
and restarted, limits of the server's.

Whatever happens: what is raised is documented and says what is known, nothing hangs, what was acknowledged is there
once, the pool goes on by itself, and no task and no socket is left.

Environment:
    PGSANSIO_TEST_FAULT_POINTS: how many places of a session are tried, per kind of fault and loop; 0: each.
"""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import pytest

from tests.adapters.test_tasks import running
from tests.support.clients import PATIENCE_SECONDS, RUNS_PG_SLEEP, Client, eventually, until
from tests.support.fault_proxy import Door, Fault, FaultProxy, running_proxy
from tests.support.pools import make_pool
from tests.support.replicas import crash
from tests.support.servers import Server, restartable, running_server

pytestmark = [pytest.mark.anyio, pytest.mark.server]

POINTS: Final = int(os.environ.get("PGSANSIO_TEST_FAULT_POINTS", "40"))

#: Sessions with a fault at once.
ABREAST: Final = 16


def thinned(points: Sequence[int]) -> Sequence[int]:
    """As many of them as wanted, evenly."""
    if not POINTS or len(points) <= POINTS:
        return points
    return [points[number * len(points) // POINTS] for number in range(POINTS)]


@dataclass
class Session:
    """A session through the proxy, and what became of it.

    Attributes:
        number: what its transaction writes to the ledger.
        stage: what is being done.
    """

    client: Client
    number: int
    stage: str = "connecting"
    acknowledged: bool = False
    error: BaseException | None = None
    connection: Any = None
    settings: dict[str, Any] = field(default_factory=dict)

    async def run(self, port: int) -> None:
        """Something of everything."""
        server = self.client.server
        connecting = self.client.module.connect(
            host="127.0.0.1", port=port, user="open", database=server.database, ssl="disable", **self.settings
        )
        async with connecting as self.connection:
            connection = self.connection
            self.stage = "queries"
            assert await connection.fetchval("SELECT 1") == 1
            for number in range(2):
                assert await connection.fetch("SELECT $1::int AS a, 'b'::text AS b", number) == [(number, "b")]
            with contextlib.suppress(self.client.DivisionByZeroError):
                await connection.fetch("SELECT 1 / 0")
            self.stage = "transaction"
            async with connection.transaction():
                await connection.execute("INSERT INTO faults.ledger VALUES ($1)", self.number)
                assert [row[0] async for row in connection.cursor("SELECT generate_series(1, 5)", prefetch=2)] == [
                    1, 2, 3, 4, 5,
                ]  # fmt: skip
            self.acknowledged = True
            self.stage = "copy"
            chunks: list[bytes] = []

            async def sink(data: bytes) -> None:
                chunks.append(data)

            await connection.copy_from_query("SELECT generate_series(1, 3)", output=sink)
            assert b"".join(chunks) == b"1\n2\n3\n"
            await connection.execute("CREATE TEMP TABLE t (a int)")
            assert await connection.copy_records_to_table("t", records=[(1,), (2,)]) == "COPY 2"
            self.stage = "notifications"
            async with connection.notifications("faults") as notifications:
                await connection.execute("SELECT pg_notify('faults', 'x')")
                assert (await anext(notifications)).payload == "x"
            self.stage = "closing"

    async def suffer(self, port: int) -> None:
        try:
            await self.run(port)
        except Exception as error:
            self.error = error
        finally:
            if self.connection is not None and not self.connection.is_closed():
                self.connection.terminate()

    def check(self) -> None:
        """What it has raised is what the documents say."""
        error, client = self.error, self.client
        if error is None:
            return
        assert isinstance(error, (*client.module.ALL_ERRORS, OSError)), (self.stage, error)
        assert not isinstance(error, client.InternalClientError), (self.stage, error)
        if isinstance(error, client.module.ALL_ERRORS):
            assert error.connection_usable is not True or isinstance(error, client.OperationTimeoutError)
        else:
            assert self.stage == "connecting", (self.stage, error)
        if not isinstance(error, client.OperationTimeoutError) and self.stage != "connecting":
            assert self.connection.is_closed(), (self.stage, error)


@pytest.fixture(scope="module")
def proxy(lax_postgres: Server) -> Iterator[FaultProxy]:
    with running_proxy(lax_postgres.host, lax_postgres.port) as proxy:
        yield proxy


@pytest.fixture
async def lax(client: Client, lax_postgres: Server) -> AsyncIterator[Client]:
    """The client, with a server that lets the user `open` in, and an empty ledger."""
    lax = Client(client.module, lax_postgres)
    async with lax.connect() as observer:
        await observer.execute("""
            CREATE SCHEMA faults; CREATE TABLE faults.ledger (a int);
            GRANT ALL ON SCHEMA faults TO open; GRANT ALL ON faults.ledger TO open
        """)
        yield lax
        await observer.execute("DROP SCHEMA faults CASCADE")


async def suffer_all(
    lax: Client, proxy: FaultProxy, faults: Sequence[Fault], settings: dict[str, Any], backend: str
) -> list[Session]:
    """A session with each of these faults; and what has to be true of all of them together."""
    before = running(backend)
    limiter = anyio.CapacityLimiter(ABREAST)
    sessions = [Session(lax, number, settings=settings) for number in range(len(faults))]

    async def one(session: Session, fault: Fault) -> None:
        async with limiter:
            with proxy.port(fault) as door:
                await session.suffer(door.port)
                # The client has let all of its sockets go.
                await eventually(lambda: door.open_connections == 0)

    with anyio.fail_after(PATIENCE_SECONDS + len(faults)):
        async with anyio.create_task_group() as tasks:
            for session, fault in zip(sessions, faults, strict=True):
                tasks.start_soon(one, session, fault)
        await eventually(lambda: running(backend) == before)
    for session in sessions:
        session.check()
    async with lax.connect() as observer:
        # A session that has lost its client goes on until it notices.
        await until(observer, "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'open'")
        rows = [row[0] for row in await observer.fetch("SELECT a FROM faults.ledger")]
    assert len(rows) == len(set(rows))
    assert {session.number for session in sessions if session.acknowledged} <= set(rows)
    refused = {
        session.number
        for session in sessions
        if not session.acknowledged and getattr(session.error, "safe_to_retry", False)
    }
    assert not refused & set(rows)
    return sessions


async def recorded(lax: Client, proxy: FaultProxy) -> Door:
    """A session without a fault."""
    with proxy.port() as door:
        await Session(lax, -1).run(door.port)
    async with lax.connect() as observer:
        await observer.execute("TRUNCATE faults.ledger")
    return door


@pytest.mark.parametrize("kind", ["rst", "fin"])
async def test_cut_after_each_byte(
    lax: Client, proxy: FaultProxy, kind: Any, anyio_backend_name: str, request: pytest.FixtureRequest
) -> None:
    door = await recorded(lax, proxy)
    # Behind the last one the client has said goodbye.
    faults = [Fault(kind, after_bytes=point) for point in thinned(range(1, len(door.said)))]
    sessions = await suffer_all(lax, proxy, faults, {}, anyio_backend_name)
    assert {session.stage for session in sessions if session.error is not None} >= {"connecting", "queries", "copy"}
    request.node.user_properties.append((f"faults: {kind}", len(faults)))


async def test_stall_at_each_message(
    lax: Client, proxy: FaultProxy, anyio_backend_name: str, request: pytest.FixtureRequest
) -> None:
    door = await recorded(lax, proxy)
    points = thinned(range(len(door.messages)))
    settings = {"command_timeout": 0.5, "timeout": 1.0}
    faults = [Fault("stall", after_messages=point) for point in points]
    sessions = await suffer_all(lax, proxy, faults, settings, anyio_backend_name)
    for session in sessions:
        if session.stage != "closing" and session.stage != "notifications":
            assert isinstance(session.error, session.client.OperationTimeoutError), (session.stage, session.error)
    request.node.user_properties.append(("faults: stall", len(faults)))


# What the server does by itself, or an administrator does to it


NAME: Final = "faults"
THERE: Final = f"FROM pg_stat_activity WHERE application_name = '{NAME}'"


@contextlib.asynccontextmanager
async def pool_of(client: Client, min_size: int = 2, max_size: int = 4, **settings: Any) -> AsyncIterator[Any]:
    """A pool whose sessions can be told by their name."""
    named = {"application_name": NAME, **settings.pop("server_settings", {})}
    async with make_pool(client, min_size, max_size, server_settings=named, **settings) as pool:
        yield pool


async def recovers(client: Client, pool: Any) -> None:
    """The pool works again, by itself: whoever asks need only ask again."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            try:
                assert await pool.fetchval("SELECT 1") == 1
            except (OSError, *client.module.ALL_ERRORS) as error:
                assert_documented(client, error)
                await anyio.sleep(0.02)
            else:
                return


def assert_documented(client: Client, error: BaseException) -> None:
    """Of a loss: it says so, and that the connection is of no use."""
    lost = (client.ConnectionDoesNotExistError, client.CannotConnectNowError, client.InterfaceError, OSError)
    assert isinstance(error, lost), repr(error)
    if isinstance(error, client.module.ALL_ERRORS):
        assert error.connection_usable is not True


def causes(error: BaseException) -> list[str]:
    """SQLSTATEs of an error, and of what has led to it."""
    found: list[str] = []
    one: BaseException | None = error
    while one is not None:
        found += [one.sqlstate] if getattr(one, "sqlstate", None) else []
        one = one.__cause__
    return found


async def sleeps(observer: Any) -> int:
    """The pid of the one session of the pool that sleeps."""
    condition = RUNS_PG_SLEEP.replace("pid = $1", f"application_name = '{NAME}'")
    await until(observer, condition)
    pid: int = await observer.fetchval(f"SELECT pid {THERE} AND wait_event = 'PgSleep'")
    return pid


async def interrupted(pool: Any, fault: Callable[[], Awaitable[None]]) -> BaseException:
    """What a statement of the pool raises that runs when this happens."""
    errors: list[BaseException] = []

    async def sleep() -> None:
        try:
            await pool.fetchval("SELECT pg_sleep(60)")
        except Exception as error:
            errors.append(error)

    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep)
            await fault()
    return errors[0]


async def test_terminated(client: Client, observer: Any) -> None:
    async with pool_of(client) as pool:

        async def terminate() -> None:
            await observer.execute(f"SELECT pg_terminate_backend({await sleeps(observer)})")

        error = await interrupted(pool, terminate)
        assert isinstance(error, client.ConnectionDoesNotExistError)
        assert causes(error) == ["08003", "57P01"]
        assert not error.safe_to_retry
        await recovers(client, pool)


async def test_terminated_while_idle(client: Client, observer: Any) -> None:
    async with client.connect() as connection:
        pid = connection.get_server_pid()
        await observer.execute(f"SELECT pg_terminate_backend({pid})")
        await until(observer, f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}")
        await eventually(connection.is_closed)
        with pytest.raises(client.InterfaceError, match="connection is closed") as caught:
            await connection.fetchval("SELECT 1")
        assert causes(caught.value)[-1] == "57P01"


@pytest.fixture
def own_server(server_programs: str) -> Iterator[Server]:
    with running_server(server_programs) as server:
        yield server


@pytest.fixture
def own(client: Client, own_server: Server) -> Client:
    return Client(client.module, own_server)


@pytest.fixture(scope="module")
def crashing_server(server_programs: str) -> Iterator[Server]:
    """One that recovers by itself."""
    with running_server(server_programs, server_settings={"restart_after_crash": "on"}) as server:
        yield server


@pytest.fixture
def crashing(client: Client, crashing_server: Server) -> Client:
    return Client(client.module, crashing_server)


async def test_a_backend_is_killed(crashing: Client, anyio_backend_name: str) -> None:
    """The server ends all sessions, and recovers."""
    before = running(anyio_backend_name)
    async with pool_of(crashing) as pool:

        async def kill() -> None:
            async with crashing.connect() as observer:
                os.kill(await sleeps(observer), signal.SIGKILL)
                # Without being asked: it is told 57P02, or nothing at all.
                await eventually(observer.is_closed)

        error = await interrupted(pool, kill)
        assert_documented(crashing, error)
        assert not error.safe_to_retry  # type: ignore[attr-defined]
        await recovers(crashing, pool)
    assert running(anyio_backend_name) == before


async def test_the_server_is_killed_and_started_again(own: Client, anyio_backend_name: str) -> None:
    before = running(anyio_backend_name)
    with restartable(own.server) as start_again:
        async with pool_of(own) as pool:

            async def kill() -> None:
                async with own.connect() as observer:
                    await sleeps(observer)
                    crash(own.server)
                    await eventually(observer.is_closed)

            error = await interrupted(pool, kill)
            assert_documented(own, error)
            assert not error.safe_to_retry  # type: ignore[attr-defined]
            with pytest.raises((OSError, own.ConnectionDoesNotExistError)):
                await pool.fetchval("SELECT 1")
            await anyio.to_thread.run_sync(start_again)
            await recovers(own, pool)
        await eventually(lambda: running(anyio_backend_name) == before)


async def test_the_server_is_restarted_in_peace(own: Client) -> None:
    """As by `pg_ctl restart`: whoever is connected is told 57P01."""
    with restartable(own.server) as start_again:
        async with pool_of(own) as pool:

            async def shut_down() -> None:
                async with own.connect() as observer:
                    await sleeps(observer)
                    pid = own.server.cluster.pid
                    assert pid is not None
                    os.kill(pid, signal.SIGINT)
                    await eventually(observer.is_closed)

            error = await interrupted(pool, shut_down)
            assert causes(error) == ["08003", "57P01"]
            await anyio.to_thread.run_sync(start_again)
            await recovers(own, pool)


async def test_a_backend_is_stopped(crashing: Client, anyio_backend_name: str) -> None:
    """It neither answers nor hears of a CancelRequest: the time limit ends it, and the pool goes on without it."""
    before = running(anyio_backend_name)
    async with crashing.connect() as observer:
        async with pool_of(crashing, 1, 2) as pool:
            async with pool.acquire() as connection:
                pid = connection.get_server_pid()
                os.kill(pid, signal.SIGSTOP)
                try:
                    with anyio.fail_after(PATIENCE_SECONDS):
                        with pytest.raises(crashing.OperationTimeoutError) as caught:
                            await connection.fetchval("SELECT 1", timeout=0.2)
                        assert caught.value.outcome is crashing.Outcome.UNKNOWN
                        assert await pool.fetchval("SELECT 2") == 2
                        connection.terminate()
                finally:
                    os.kill(pid, signal.SIGCONT)
            await recovers(crashing, pool)
        await until(observer, f"SELECT count(*) = 0 {THERE}")
    await eventually(lambda: running(anyio_backend_name) == before)


async def test_the_disk_is_full(client: Client, observer: Any) -> None:
    """An error of a statement: the connection goes on."""
    async with pool_of(client, 1, 1) as pool, pool.acquire() as connection:
        with pytest.raises(client.DiskFullError) as caught:
            await connection.execute("COPY (SELECT generate_series(1, 100000)) TO '/dev/full'")
        assert caught.value.connection_usable
        await connection.execute("SET temp_file_limit = '64kB'; SET work_mem = '64kB'")
        with pytest.raises(client.ConfigurationLimitExceededError) as other:
            await connection.fetch("SELECT i FROM generate_series(1, 100000) i ORDER BY -i")
        assert other.value.connection_usable
        assert await connection.fetchval("SELECT 1") == 1


async def test_too_many_connections(client: Client, observer: Any) -> None:
    """Who finds no room is told so, and can come again; what the pool has goes on."""
    await observer.execute(f"CREATE ROLE narrow LOGIN PASSWORD '{client.server.password}' CONNECTION LIMIT 1")
    try:
        async with pool_of(client, 1, 2, user="narrow") as pool:
            async with pool.acquire() as first:
                with pytest.raises(client.TooManyConnectionsError) as caught:
                    await pool.fetchval("SELECT 1")
                assert caught.value.safe_to_retry
                assert await first.fetchval("SELECT 1") == 1
            assert await pool.fetchval("SELECT 1") == 1
        await until(observer, f"SELECT count(*) = 0 {THERE}")
    finally:
        await observer.execute("DROP ROLE narrow")


async def test_statement_timeout(client: Client) -> None:
    async with pool_of(client, 1, 1, server_settings={"statement_timeout": "50"}) as pool, pool.acquire() as connection:
        with pytest.raises(client.QueryCanceledError) as caught:
            await connection.fetchval("SELECT pg_sleep(60)")
        assert caught.value.connection_usable
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    ("setting", "sqlstate"), [("idle_in_transaction_session_timeout", "25P03"), ("idle_session_timeout", "57P05")]
)
async def test_idle_timeouts(client: Client, observer: Any, setting: str, sqlstate: str) -> None:
    async with pool_of(client, 1, 1) as pool:
        async with pool.acquire() as connection:
            await connection.execute(
                f"SET {setting} = '50ms'; BEGIN" if "transaction" in setting else f"SET {setting} = '50ms'"
            )
            await until(
                observer, f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {connection.get_server_pid()}"
            )
            with pytest.raises((client.InterfaceError, client.ConnectionDoesNotExistError)) as caught:
                await connection.fetchval("SELECT 1")
            assert causes(caught.value)[-1] == sqlstate
        await recovers(client, pool)
