"""The clients that are compared, and the process in which each of them runs.

How this works. `python -m benchmarks.runners` is such a process. It reads commands from its standard input, one JSON
object a line, and answers each with one: first {"runner", "dsn", "places"}, then any number of {"case", "count"}.
Between two commands it does nothing, not even in its loop, so that one process can be measured while the others are
silent.
"""

import asyncio
import gc
import importlib
import importlib.metadata
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO

from benchmarks.cases import CASES, Case, Shape, check, run

__all__ = ["BASELINE", "RUNNERS", "Runner", "serve"]

#: What the others are compared with, unless a runner names another one.
BASELINE: Final = "asyncpg"
#: Connections of asyncpg's pool.
POOL: Final = 10

_ALL: Final = frozenset(Shape)
_SINGLE: Final = frozenset({Shape.VALUE, Shape.ROW, Shape.CONNECT})
_CONNECT: Final = frozenset({Shape.CONNECT})


@dataclass(frozen=True, slots=True)
class Runner:
    """One client on one loop.

    Attributes:
        loop: "asyncio", "uvloop" or "trio".
        baseline: name of the runner it is compared with.
        shapes: what it can do.
        packages: distributions whose versions say what was measured.
    """

    name: str
    loop: str
    main: "Main"
    baseline: str = BASELINE
    shapes: frozenset[Shape] = _ALL
    packages: tuple[str, ...] = ()


class Subject(Protocol):
    """What is measured, in the process that measures it."""

    async def prepare(self, case: Case) -> int:
        """Check the case's answer and make it ready; returns the rows of one operation."""
        ...

    async def before(self, case: Case) -> None:
        """Undo what former operations have left."""
        ...

    async def run(self, case: Case, count: int) -> None:
        """Carry out so many operations."""
        ...


Worker = Callable[[], Awaitable[None]]
FanOut = Callable[[Worker, int], Awaitable[None]]
#: The connection strings of the server, and of the cases of connecting.
Places = Mapping[str, str]
ConnectAndClose = Callable[[str], Awaitable[None]]
Open = Callable[[str, AsyncExitStack], Awaitable["Library | Floor"]]
Main = Callable[[str, str, Places, "Commands"], None]


class Library:
    """A client library: a connection, and what many tasks share."""

    places: Places

    def __init__(self, connection: Any, shared: Any, fan_out: FanOut, connect_and_close: ConnectAndClose) -> None:
        self.connection = connection
        self.shared = shared
        self._fan_out = fan_out
        self._connect_and_close = connect_and_close

    async def fan_out(self, worker: Worker, tasks: int) -> None:
        await self._fan_out(worker, tasks)

    async def connect_and_close(self, dsn: str) -> None:
        await self._connect_and_close(dsn)

    async def prepare(self, case: Case) -> int:
        # 200,000 rows would already have been in memory once.
        return case.rows if case.shape is Shape.MEMORY else await check(self, case)

    async def before(self, case: Case) -> None:
        if case.before:
            await self.connection.execute(case.before)

    async def run(self, case: Case, count: int) -> None:
        await run(self, case, count)


class Floor:
    """A floor, as a subject."""

    places: Places

    def __init__(self, floor: Any) -> None:
        self._floor = floor

    async def prepare(self, case: Case) -> int:
        await self._floor.prepare(case)
        return case.rows

    async def before(self, case: Case) -> None:
        self._floor.before(case)

    async def run(self, case: Case, count: int) -> None:
        await self._floor.run(case, count)


# the loops


async def _asyncio_tasks(worker: Worker, tasks: int) -> None:
    await asyncio.gather(*(worker() for _ in range(tasks)))


async def _trio_tasks(worker: Worker, tasks: int) -> None:
    import trio

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(worker)


def _on_asyncio(opens: Open) -> Main:
    def main(loop: str, dsn: str, places: Places, commands: "Commands") -> None:
        factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None

        async def work() -> None:
            async with AsyncExitStack() as stack:
                subject = await opens(dsn, stack)
                subject.places = places
                await commands.obey(subject)

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work())

    return main


def _on_trio(opens: Open) -> Main:
    def main(loop: str, dsn: str, places: Places, commands: "Commands") -> None:
        import trio

        async def work() -> None:
            async with AsyncExitStack() as stack:
                subject = await opens(dsn, stack)
                subject.places = places
                await commands.obey(subject)

        trio.run(work)

    return main


# the clients


async def _asyncpg(dsn: str, stack: AsyncExitStack) -> Library:
    asyncpg: Any = importlib.import_module("asyncpg")
    connection = await asyncpg.connect(dsn)
    stack.push_async_callback(connection.close)
    return Library(connection, _LazyPool(asyncpg, dsn, stack), _asyncio_tasks, _awaiting(asyncpg.connect))


def _awaiting(connect: Callable[[str], Awaitable[Any]]) -> ConnectAndClose:
    async def connect_and_close(dsn: str) -> None:
        connection = await connect(dsn)
        await connection.close()

    return connect_and_close


def _entering(connect: Callable[[str], AbstractAsyncContextManager[Any]]) -> ConnectAndClose:
    async def connect_and_close(dsn: str) -> None:
        async with connect(dsn):
            pass

    return connect_and_close


async def _psycopg(dsn: str, stack: AsyncExitStack) -> Library:
    """Its methods are others than asyncpg's: it only connects."""
    psycopg: Any = importlib.import_module("psycopg")
    return Library(None, None, _asyncio_tasks, _awaiting(psycopg.AsyncConnection.connect))


class _LazyPool:
    """asyncpg's pool, made when it is first used: its connections would count as the memory of other cases."""

    def __init__(self, asyncpg: Any, dsn: str, stack: AsyncExitStack) -> None:
        self._asyncpg = asyncpg
        self._dsn = dsn
        self._stack = stack
        self.fetchrow: Callable[..., Awaitable[Any]] = self._first

    async def _first(self, sql: str, *args: object) -> Any:
        pool = self._asyncpg.create_pool(self._dsn, min_size=POOL, max_size=POOL)
        await self._stack.enter_async_context(pool)
        self.fetchrow = pool.fetchrow
        return await pool.fetchrow(sql, *args)


async def _pgsansio_asyncio(dsn: str, stack: AsyncExitStack) -> Library:
    import pgsansio_asyncio

    connection: Any = await stack.enter_async_context(pgsansio_asyncio.connect(dsn))
    return Library(connection, connection, _asyncio_tasks, _awaiting(pgsansio_asyncio.connect))


async def _pgsansio_trio(dsn: str, stack: AsyncExitStack) -> Library:
    import pgsansio_trio

    connection: Any = await stack.enter_async_context(pgsansio_trio.connect(dsn))
    return Library(connection, connection, _trio_tasks, _entering(pgsansio_trio.connect))


async def _pgsansio_trio_bare(dsn: str, stack: AsyncExitStack) -> Library:
    import pgsansio_trio

    connection: Any = await pgsansio_trio.connect(dsn)
    stack.push_async_callback(connection.close)
    return Library(connection, connection, _trio_tasks, _awaiting(pgsansio_trio.connect))


async def _triopg(dsn: str, stack: AsyncExitStack) -> Library:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        triopg: Any = importlib.import_module("triopg")
        trio_asyncio: Any = importlib.import_module("trio_asyncio")
    loop: AbstractAsyncContextManager[Any] = trio_asyncio.open_loop()
    await stack.enter_async_context(loop)
    connection = await stack.enter_async_context(triopg.connect(dsn))
    return Library(connection, connection, _trio_tasks, _entering(triopg.connect))


async def _asyncio_floor(dsn: str, stack: AsyncExitStack) -> Floor:
    from benchmarks.floor import AsyncioFloor

    return Floor(AsyncioFloor(dsn))


async def _trio_floor(dsn: str, stack: AsyncExitStack) -> Floor:
    from benchmarks.floor import TrioFloor

    return Floor(TrioFloor(dsn))


_OF_FLOORS: Final = _ALL - {Shape.MEMORY, Shape.CONNECT}
_UVLOOP: Final = "asyncpg-uvloop"

RUNNERS: Final = {
    runner.name: runner
    for runner in [
        Runner(BASELINE, "asyncio", _on_asyncio(_asyncpg), packages=("asyncpg",)),
        Runner("pgsansio", "asyncio", _on_asyncio(_pgsansio_asyncio)),
        Runner("floor", "asyncio", _on_asyncio(_asyncio_floor), shapes=_OF_FLOORS),
        Runner(_UVLOOP, "uvloop", _on_asyncio(_asyncpg), _UVLOOP, packages=("uvloop",)),
        Runner("pgsansio-uvloop", "uvloop", _on_asyncio(_pgsansio_asyncio), _UVLOOP),
        Runner("floor-uvloop", "uvloop", _on_asyncio(_asyncio_floor), _UVLOOP, _OF_FLOORS),
        Runner("psycopg", "asyncio", _on_asyncio(_psycopg), shapes=_CONNECT, packages=("psycopg", "psycopg-binary")),
        Runner("triopg", "trio", _on_trio(_triopg), shapes=_SINGLE, packages=("triopg",)),
        Runner("pgsansio-trio", "trio", _on_trio(_pgsansio_trio), packages=("trio",)),
        Runner("pgsansio-trio-bare", "trio", _on_trio(_pgsansio_trio_bare)),
        Runner("floor-trio", "trio", _on_trio(_trio_floor), shapes=_OF_FLOORS - {Shape.MANY}),
    ]
}


# the process


class Commands:
    """Commands from the parent, obeyed one after the other."""

    def __init__(self, source: TextIO, target: TextIO) -> None:
        self._source = source
        self._target = target

    def take(self) -> dict[str, Any] | None:
        line = self._source.readline()
        return json.loads(line) if line.strip() else None

    def answer(self, **values: object) -> None:
        print(json.dumps(values), file=self._target, flush=True)

    async def obey(self, subject: Subject) -> None:
        """Measure what is asked for, until the parent hangs up. Reading blocks the loop, on purpose."""
        self.answer(ready=True)
        ready: str | None = None
        rows = 1
        while (command := self.take()) is not None:
            case = CASES[command["case"]]
            if case.name != ready:
                rows = await subject.prepare(case)
                ready = case.name
            await subject.before(case)
            measured = await (_memory if case.shape is Shape.MEMORY else _times)(subject, case, command["count"])
            self.answer(rows=rows, **measured)


async def _times(subject: Subject, case: Case, count: int) -> dict[str, float]:
    """Seconds of so many operations: wall, and processor time of this process, user and system together."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    await subject.run(case, count)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


async def _memory(subject: Subject, case: Case, count: int) -> dict[str, float]:
    """As `_times`, and MiB: by how much one result has raised this process's peak, and what it occupies afterwards."""
    assert isinstance(subject, Library)
    await subject.connection.fetch("SELECT 1")
    gc.collect()
    before = _resident_mib()
    cpu, wall = time.process_time(), time.perf_counter()
    result = await subject.connection.fetch(case.sql)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(result) == case.rows
    gc.collect()
    return {
        "wall": wall * count,
        "cpu": cpu * count,
        "peak_mib": _peak_mib() - before,
        "kept_mib": _resident_mib() - before,
    }


def _status_mib(name: str) -> float | None:
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))
    except (OSError, StopIteration):
        return None


def _peak_mib() -> float:
    # Not ru_maxrss where there is a choice: it begins with the peak of the process that has started this one.
    peak = _status_mib("VmHWM")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit if peak is None else peak


def _resident_mib() -> float:
    resident = _status_mib("VmRSS")
    return _peak_mib() if resident is None else resident


def _versions(runner: Runner) -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in runner.packages}
    if runner.name.startswith("pgsansio"):
        from pgsansio import __version__, kernel

        versions["pgsansio"] = f"{__version__}, kernel {kernel.NAME}"
    return versions


def serve() -> None:
    """Be the process of one runner."""
    # What a library prints is not an answer.
    commands = Commands(sys.stdin, os.fdopen(os.dup(1), "w"))
    sys.stdout = sys.stderr
    first = commands.take()
    if first is None:
        return
    runner = RUNNERS[first["runner"]]
    try:
        commands.answer(versions=_versions(runner))
        runner.main(runner.loop, first["dsn"], first["places"], commands)
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        commands.answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    serve()
