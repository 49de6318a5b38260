"""One schedule: what a seed decides, and what has to hold whatever it decides.

How this works. Clients are tasks on a `VirtualLoop` that share a pool, or one connection, to a `ScriptedServer`; the
loop takes tasks, bytes and time in any order, and between two of its steps a client may be cancelled, a session
terminated, a connection lost. Every statement has a token of its own, that its answer, or its error, has to bring back.
What is written goes to a ledger when its transaction commits. All chance comes from one generator, so a seed is a
schedule; `script` says what was done.

What has to hold:
- each operation ends once, with its own rows, or an error that somebody is to blame for: nobody who was not cancelled
  has a query cancelled (57014), and without faults nobody loses a connection;
- what was said to be written is in the ledger, once; what was said not to be is not; a transaction is there as a whole
  or not at all;
- whoever acquires a connection finds it outside of transactions, and listening to nothing;
- the pool is never above its size, and nobody waits for ever;
- in the end there are no tasks, connections or sessions.
"""

import io
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pgsansio.client import Connection
from pgsansio.enums import TransactionStatus
from pgsansio.errors import DivisionByZeroError, InterfaceError, InternalClientError, PostgresError
from pgsansio.testing import (
    Call,
    Cancelled,
    Cut,
    Fault,
    Faulty,
    ScriptedServer,
    Session,
    Split,
    Stall,
    Task,
    VirtualLoop,
)
from pgsansio.testing.peer import Peer

__all__ = ["Simulation", "Violation"]

_MAX_STEPS: Final = 50_000


class Violation(AssertionError):
    """Something that has to hold does not."""


class _Undo(Exception):
    """A client takes its transaction back."""


class _Session(Session):
    def _committed(self) -> None:
        rows, self.values = self.values.get("rows", ()), {}
        assert isinstance(self._server, _Server)
        assert isinstance(rows, tuple)
        self._server.ledger += rows


class _Server(ScriptedServer):
    """It knows one table, which it writes down when transactions commit."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: list[int] = []
        token = {"token": "int4"}
        self.answer("SELECT $1", parameters=["int4"], columns=token, rows=lambda call: [call.arguments])
        self.answer(re.compile(r"^SELECT (\d+)$"), columns=token, rows=lambda call: [(int(_matched(call)),)])
        series = {"token": "int4", "n": "int4"}
        self.answer("SERIES $1, $2", parameters=["int4", "int4"], columns=series, rows=_series)
        self.answer("INSERT $1", parameters=["int4"], rows=lambda call: _insert(call, *call.arguments))
        self.answer("FAIL $1", parameters=["int4"], rows=_fail)
        self.answer(re.compile(r"^FAIL (\d+)$"), rows=_fail)
        self.answer("SLEEP $1", parameters=["int4"], waits=True)
        self.answer(re.compile(r"^SLEEP \d+$"), waits=True)
        self.answer(
            re.compile("^COPY .* FROM STDIN"), copy_in=lambda call: _insert(call, *map(int, call.copied.split()))
        )
        self.answer(
            re.compile(r"^COPY \(\s*SERIES (\d+), (\d+)\s*\) TO STDOUT"),
            copy_out=lambda call: [b"%d\t%d\n" % row for row in _numbers(*_matches(call))],
        )

    def _make_session(self, process_id: int) -> _Session:
        return _Session(self, process_id)


def _matches(call: Call) -> tuple[int, ...]:
    assert call.match is not None
    return tuple(map(int, call.match.groups()))


def _matched(call: Call) -> int:
    return _matches(call)[0]


def _numbers(token: int, count: int) -> list[tuple[int, int]]:
    return [(token, number) for number in range(count)]


def _series(call: Call) -> list[tuple[int, int]]:
    token, count = call.arguments
    assert isinstance(token, int)
    assert isinstance(count, int)
    return _numbers(token, count)


def _insert(call: Call, *tokens: object) -> tuple[()]:
    call.session.values["rows"] = (*call.session.values.get("rows", ()), *tokens)  # type: ignore[misc]
    return ()


def _copy(call: Call) -> None:
    _insert(call, *map(int, call.copied.split()))


def _fail(call: Call) -> tuple[()]:
    raise DivisionByZeroError(f"failed {call.arguments[0] if call.arguments else _matched(call)}")


@dataclass
class _Client:
    """A task, and what it does now."""

    number: int
    task: Task | None = None
    doing: str = ""
    #: Since its last operation began.
    cancelled: bool = False


class Simulation:
    """What a seed comes to.

    Args:
        seed: decides everything.

    Attributes:
        script: what was done, a line for each thing.
        operations: how many ended.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.script: list[str] = []
        self.operations = 0
        self.outcomes: dict[str, int] = {}
        chance = self.chance = random.Random(seed)
        self.server = _Server()
        self.faults = chance.random() < 0.5
        self.breaks = 0.002 if self.faults else 0.0
        self.shared = chance.random() < 0.2
        self.cancels = chance.choice([0.0, 0.005, 0.02, 0.05])
        self.lateness = chance.choice([0.0, 0.002, 0.02])
        self.size = chance.randint(1, 3)
        orders = chance.random() < 0.8
        self.loop = VirtualLoop(
            self._peer,
            inline=chance.random() < 0.5,
            has_checkpoints=chance.random() < 0.5,
            choose=chance.randrange if orders else None,
        )
        self.loop.max_steps = _MAX_STEPS
        self.faulty: list[Faulty] = []
        self.clients: list[_Client] = []
        self.pool: Any = None
        #: Tokens that must be in the ledger, must not be, and groups of which all are there or none.
        self.written: list[int] = []
        self.unwritten: list[int] = []
        self.groups: list[list[int]] = []
        self._tokens = 0

    def __str__(self) -> str:
        return f"seed {self.seed}"

    # the world

    def note(self, text: str) -> None:
        self.script.append(f"{self.loop.steps:6} {self.loop.now - 1000:8.2f}  {text}")

    def _peer(self, address: object) -> Peer:
        session: Peer = self.server(address)
        chance = self.chance
        received: list[Fault] = []
        sent: list[Fault] = []
        if chance.random() < 0.5:
            received.append(Split((chance.randint(1, 40),)))
            sent.append(Split((chance.randint(1, 40), chance.randint(1, 400))))
        if self.faults and chance.random() < 0.4:
            kind = chance.choice([Cut, Cut, Stall])
            way = chance.choice([received, sent])
            way.append(kind(int(chance.expovariate(1 / 600))))
        faulty = Faulty(session, received=received, sent=sent)
        self.faulty.append(faulty)
        self.note(f"connection {len(self.faulty) - 1}: received {received}, sent {sent}")
        return faulty

    def token(self) -> int:
        self._tokens += 1
        return self._tokens

    # one schedule

    def run(self) -> None:
        """Do it.

        Raises:
            Violation: with the seed, and the script of what was done.
        """
        try:
            self._run()
        except Exception as error:
            lines = "\n".join(self.script[-60:])
            raise Violation(
                f"seed {self.seed}: {type(error).__name__}: {error}\n"
                f"(python -m tests.simulation {self.seed} does it again; its last steps:)\n{lines}"
            ) from error

    def _run(self) -> None:
        loop, chance = self.loop, self.chance
        shared: Connection | None = None
        try:
            if self.shared:
                shared = loop.finish(loop.connect(timeout=60))
            else:
                self.pool = loop.create_pool(min_size=chance.randint(0, self.size), max_size=self.size, timeout=60)
                loop.finish(self.pool._start())
        except BaseException as error:
            self._check_blame("start", error)
            loop.run()
            self._check_rest()
            return
        for number in range(chance.randint(1, 4)):
            client = _Client(number)
            client.task = loop.start(self._live(client, shared))
            self.clients.append(client)
        while any(client.task is not None and not client.task.done for client in self.clients):
            self._go_on()
            if self.pool is not None and self.pool.get_size() > self.size:
                raise Violation(f"the pool has {self.pool.get_size()} connections of at most {self.size}")
        for client in self.clients:
            assert client.task is not None
            client.task.result()
        self.note("the end")
        if shared is not None:
            shared.terminate()
        else:
            self._finish(self.pool.close())
        loop.run()
        self._check_rest()

    def _finish(self, coroutine: Any) -> None:
        task = self.loop.start(coroutine)
        while not task.done:
            self._step()
        task.result()

    def _go_on(self) -> None:
        chance, loop = self.chance, self.loop
        luck = chance.random()
        if luck < self.cancels:
            running = [client for client in self.clients if client.task is not None and not client.task.done]
            client = chance.choice(running)
            assert client.task is not None
            if not client.task.shields and client.task.stop is not None:
                self.note(f"client {client.number} is cancelled in: {client.doing}, at {client.task.stop.name}")
                client.cancelled = True
                client.task.cancel()
                return
        elif luck < self.cancels + self.breaks:
            self._break()
            return
        elif luck < self.cancels + self.breaks + self.lateness and loop.pass_time():
            self.note("time passes")
            return
        self._step()

    def _break(self) -> None:
        chance = self.chance
        what = chance.choice(["terminate", "lose", "resume"])
        open_ports = [port for port in self.loop.ports if port.connected]
        if what == "terminate":
            sessions = [session for session in self.server.sessions if not session.hung_up]
            if sessions:
                session = chance.choice(sessions)
                self.note(f"session {session.process_id} is terminated")
                session.terminate()
        elif what == "lose" and open_ports:
            self.note("a connection is lost")
            chance.choice(open_ports).lose(ConnectionResetError(104, "Connection reset by peer"))
        else:
            self._resume()

    def _resume(self) -> bool:
        stalled = [faulty for faulty in self.faulty if faulty.is_stalled]
        for faulty in stalled:
            self.note("what has stalled goes on")
            faulty.resume()
        return bool(stalled)

    def _end_sleeps(self) -> bool:
        # What others wait behind on one connection is not cancelled, so a statement has to end some time.
        asleep = [session for session in self.server.sessions if session.waits]
        for session in asleep:
            self.note(f"the statement of session {session.process_id} runs out of time")
            session.interrupt()
        return bool(asleep)

    def _step(self) -> None:
        if self.loop.steps > _MAX_STEPS:
            raise Violation("this goes round and round")
        if not (self.loop.step() or self._resume() or self._end_sleeps()):
            waiting = [f"client {one.number} in {one.doing}" for one in self.clients if one.task and not one.task.done]
            stops = [task.stop.name for task in self.loop.tasks if task.stop is not None]
            raise Violation(f"{waiting or 'the end'} for ever, at {stops}")

    def _check_rest(self) -> None:
        loop, server = self.loop, self.server
        if loop.failures:
            raise Violation(f"failures of the background: {loop.failures}") from loop.failures[0]
        if loop.tasks:
            raise Violation(f"tasks remain at {[task.stop and task.stop.name for task in loop.tasks]}")
        if any(port.connected for port in loop.ports):
            raise Violation("a connection remains")
        # What stalls does not hear of the end, as a server behind a dead network.
        for faulty in self.faulty:
            faulty.resume()
        loop.run()
        if not all(session.hung_up for session in server.sessions):
            raise Violation("a session remains")
        if server.unexpected:
            raise Violation(f"unexpected statements: {server.unexpected}")
        ledger = server.ledger
        counts = {token: ledger.count(token) for token in {*ledger, *self.written}}
        for token, count in counts.items():
            if count > 1:
                raise Violation(f"{token} was written {count} times")
        for token in self.written:
            if not counts[token]:
                raise Violation(f"{token} was acknowledged, and is lost")
        for token in self.unwritten:
            if token in counts:
                raise Violation(f"{token} was said not to be written, and is")
        for group in self.groups:
            there = [token for token in group if token in counts]
            if there and there != group:
                raise Violation(f"of {group} only {there} were written")

    # clients

    async def _live(self, client: _Client, shared: Connection | None) -> None:
        for _ in range(self.chance.randint(1, 3)):
            client.cancelled = False
            try:
                await self._visit(client, shared)
                outcome = "completed"
            except Violation:
                raise
            except BaseException as error:
                outcome = type(error).__name__
                self._check_blame(client.doing, error, client)
            self.note(f"client {client.number}: {client.doing}: {outcome}")
            self.operations += 1
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            if shared is not None and shared.is_closed():
                return

    def _check_blame(self, doing: str, error: BaseException, client: _Client | None = None) -> None:
        """An error is somebody's: it was asked for, or there was a fault."""
        if isinstance(error, Cancelled):
            if client is None or not client.cancelled:
                raise Violation(f"{doing} was cancelled by nobody") from error
        elif isinstance(error, GeneratorExit) or not isinstance(error, Exception):
            raise error
        elif isinstance(error, TimeoutError | _Undo):
            pass
        elif isinstance(error, InternalClientError):
            raise Violation(f"{doing} has met a defect: {error!r}") from error
        elif isinstance(error, PostgresError | InterfaceError | OSError):
            if isinstance(error, PostgresError) and error.sqlstate == "57014":
                raise Violation(f"{doing} pays for another one's cancellation: {error!r}") from error
            if not self.faults and not self.lateness:
                raise Violation(f"{doing} has failed without a fault: {error!r}") from error
        else:
            raise Violation(f"{doing} has ended with {error!r}") from error

    async def _visit(self, client: _Client, shared: Connection | None) -> None:
        chance = self.chance
        if shared is not None:
            await self._use(client, shared, _TOGETHER)
        elif chance.random() < 0.3:
            client.doing = "pool.fetchval"
            token = self.token()
            check_equal(await self.pool.fetchval("SELECT $1", token, timeout=self._limit()), token)
        else:
            client.doing = "acquire"
            async with self.pool.acquire(timeout=self._limit()) as connection:
                if connection.is_in_transaction():
                    raise Violation("a connection in a transaction was handed out")
                session = self._session_of(connection)
                if session is not None and (session.channels or session.status is not TransactionStatus.IDLE):
                    raise Violation("a connection that was not reset was handed out")
                for _ in range(chance.randint(1, 3)):
                    await self._use(client, connection, _ALONE)

    def _session_of(self, connection: Any) -> _Session | None:
        pid = connection.get_server_pid()
        found = [session for session in self.server.sessions if session.process_id == pid and not session.hung_up]
        return found[0] if found else None  # type: ignore[return-value]

    def _limit(self) -> float | None:
        return self.chance.choice([None, None, 1.0, 5.0, 30.0])

    async def _use(self, client: _Client, connection: Any, kinds: "list[Kind]") -> None:
        kind = self.chance.choice(kinds)
        client.doing = kind.__name__.strip("_")
        try:
            await kind(self, connection)
        except (DivisionByZeroError, _Undo) as error:
            raise Violation(f"{client.doing} has met what is not its own: {error!r}") from error


def check_equal(found: object, expected: object) -> None:
    if found != expected:
        raise Violation(f"expected {expected}, got {found}")


# what clients do


async def _value(world: Simulation, connection: Any) -> None:
    token = world.token()
    check_equal(await connection.fetchval("SELECT $1", token, timeout=world._limit()), token)


async def _text(world: Simulation, connection: Any) -> None:
    token = world.token()
    check_equal(await connection.fetchval(f"SELECT {token}", timeout=world._limit()), token)


async def _rows(world: Simulation, connection: Any) -> None:
    token, count = world.token(), world.chance.choice([0, 1, 5, 60])
    rows = await connection.fetch("SERIES $1, $2", token, count, timeout=world._limit())
    check_equal([tuple(row) for row in rows], _numbers(token, count))


async def _failing(world: Simulation, connection: Any) -> None:
    token = world.token()
    try:
        if world.chance.random() < 0.5:
            await connection.execute("FAIL $1", token, timeout=world._limit())
        else:
            await connection.execute(f"FAIL {token}", timeout=world._limit())
    except DivisionByZeroError as error:
        check_equal(str(error), f"failed {token}")
    else:
        raise Violation("what fails has not failed")


async def _sleeping(world: Simulation, connection: Any) -> None:
    sql = "SLEEP $1" if world.chance.random() < 0.5 else "SLEEP 1"
    try:
        await connection.execute(sql, *([1] if "$" in sql else []), timeout=world.chance.choice([0.5, 3.0]))
    except TimeoutError:
        return
    raise Violation("a sleep has ended")


async def _writing(world: Simulation, connection: Any) -> None:
    token = world.token()
    try:
        await connection.execute("INSERT $1", token, timeout=world._limit())
    except Exception as error:
        if getattr(error, "safe_to_retry", False):
            world.unwritten.append(token)
        raise
    world.written.append(token)


async def _all_or_none(world: Simulation, tokens: list[int], work: Callable[[], Awaitable[object]]) -> None:
    world.groups.append(tokens)
    await work()
    world.written += tokens


async def _many(world: Simulation, connection: Any) -> None:
    tokens = [world.token() for _ in range(world.chance.randint(1, 5))]
    limit = world._limit()
    await _all_or_none(
        world, tokens, lambda: connection.executemany("INSERT $1", [(token,) for token in tokens], timeout=limit)
    )


async def _prepared(world: Simulation, connection: Any) -> None:
    statement = await connection.prepare("SELECT $1", timeout=world._limit())
    for _ in range(2):
        token = world.token()
        check_equal(await statement.fetchval(token, timeout=world._limit()), token)


async def _copying_in(world: Simulation, connection: Any) -> None:
    tokens = [world.token() for _ in range(world.chance.randint(1, 5))]
    lines = [b"%d\n" % token for token in tokens]

    async def source() -> AsyncIterator[bytes]:
        for line in lines:
            yield line

    limit = world._limit()
    data: Any = source() if world.chance.random() < 0.5 else io.BytesIO(b"".join(lines))
    await _all_or_none(world, tokens, lambda: connection.copy_to_table("t", source=data, timeout=limit))


async def _copying_out(world: Simulation, connection: Any) -> None:
    token, count, output = world.token(), world.chance.choice([0, 3, 50]), io.BytesIO()
    sql = f"SERIES {token}, {count}"
    await connection.copy_from_query(sql, output=output, timeout=world._limit())
    check_equal(output.getvalue(), b"".join(b"%d\t%d\n" % row for row in _numbers(token, count)))


async def _group(world: Simulation, connection: Any) -> None:
    tokens = [world.token() for _ in range(3)]

    async def run() -> None:
        async with connection.pipeline() as pipeline:
            handles = [pipeline.execute("INSERT $1", token) for token in tokens]
            value = pipeline.fetchval("SELECT $1", tokens[0])
        for handle in handles:
            await handle
        check_equal(await value, tokens[0])

    await _all_or_none(world, tokens, run)


async def _transaction(world: Simulation, connection: Any) -> None:
    chance = world.chance
    kept, undone, all_undone = [], [], chance.random() < 0.3
    group: list[int] = []
    world.groups.append(group)
    try:
        async with connection.transaction():
            for _ in range(chance.randint(1, 3)):
                token = world.token()
                group.append(token)
                await connection.execute("INSERT $1", token, timeout=world._limit())
                kept.append(token)
            if chance.random() < 0.4:
                token = world.token()
                undone.append(token)
                world.unwritten.append(token)
                try:
                    async with connection.transaction():
                        await connection.execute("INSERT $1", token)
                        await connection.execute("FAIL $1", token)
                except DivisionByZeroError as error:
                    check_equal(str(error), f"failed {token}")
                else:
                    raise Violation("what fails has not failed")
            if chance.random() < 0.4:
                count, token = chance.choice([0, 2, 7]), world.token()
                found = [tuple(row) async for row in connection.cursor("SERIES $1, $2", token, count, prefetch=2)]
                check_equal(found, _numbers(token, count))
            if all_undone:
                world.unwritten += group
                raise _Undo
    except _Undo:
        pass
    else:
        world.written += kept
    if connection.is_in_transaction() and not connection.is_closed():
        raise Violation("a transaction was left, and is there")


async def _listening(world: Simulation, connection: Any) -> None:
    token = str(world.token())
    async with connection.notifications(f"channel{token}") as notifications:
        await connection.execute(f"NOTIFY channel{token}, '{token}'")
        check_equal((await anext(aiter(notifications))).payload, token)


Kind = Callable[[Simulation, Any], Awaitable[None]]

#: What several may do at once on one connection.
_TOGETHER: Final[list[Kind]] = [
    *(_value, _value, _text, _rows, _failing, _sleeping, _writing, _many, _prepared, _copying_in, _copying_out),
]
_ALONE: Final[list[Kind]] = [*_TOGETHER, _group, _transaction, _transaction, _transaction, _listening]
