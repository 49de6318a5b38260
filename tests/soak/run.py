"""One soak: the server, the proxy in front of it, the pool, the tasks, and who watches them."""

import contextlib
import gc
import importlib
import os
import random
import signal
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel

from tests.soak.ledger import DONE, NOT_DONE, UNKNOWN, Ledger
from tests.soak.work import Worker, WrongResult
from tests.support.servers import Server

__all__ = ["Plan", "Report", "Sample", "soak"]

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_OWN_NAME: Final = "soak"
_SAMPLE_SECONDS: Final = 5.0
#: Memory may grow by so much, and so much of itself, between the second fifth of the time and the last one.
_GROWTH_BYTES: Final = 20 << 20
_GROWTH_SHARE: Final = 0.1
#: The pool and the server may have so many more than the pool's size, while some are being closed.
_SPARE_SESSIONS: Final = 40


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        loop: asyncio, uvloop or trio.
        library: pgsansio or asyncpg.
        crash_seconds: a backend is killed by signal 9 so often, which ends all of the server's sessions; 0: never.
        hang_seconds: an operation may take so long, waiting for a connection included.
    """

    loop: str
    seconds: float = 600.0
    tasks: int = 10_000
    connections: int = 20
    library: str = "pgsansio"
    seed: int = 0
    terminate_seconds: float = 1.0
    crash_seconds: float = 60.0
    hang_seconds: float = 120.0


@dataclass(slots=True)
class Sample:
    """What the process and the server have at one moment."""

    seconds: float
    memory_bytes: int
    descriptors: int
    tasks: int
    sessions: int


@dataclass(slots=True)
class Report:
    """What came out.

    Attributes:
        complaints: what is wrong; nothing should be.
        left: at the end, with the pool closed: descriptors and tasks that were not there at the beginning.
    """

    plan: Plan
    operations: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    verdict: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)


def soak(plan: Plan, server: Server) -> Report:
    """Run one, in this process."""
    loop = "trio" if plan.loop == "trio" else "asyncio"
    options = {} if loop == "trio" else {"use_uvloop": plan.loop == "uvloop"}
    # (Not fixed in an `anyio` test, since the loop's own end is watched, too.)
    return anyio.run(_Soak(plan, server, f"pgsansio_{loop}").run, backend=loop, backend_options=options)


@contextlib.contextmanager
def _proxy(server: Server, seed: int) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.soak.proxy", server.host, str(server.port), str(seed)]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


class Hanging(Exception):
    """What should end does not."""


class _Soak:
    def __init__(self, plan: Plan, server: Server, package: str) -> None:
        self._plan = plan
        self._server = server
        self._ours = importlib.import_module(package)
        self._library = self._ours if plan.library == "pgsansio" else importlib.import_module(plan.library)
        self._ledger = Ledger()
        self._counts: Counter[str] = Counter()
        self._report = Report(plan)
        #: When each task has begun what it does; 0: it is done.
        self._began = array("d", bytes(8 * plan.tasks))
        self._hanging: set[int] = set()
        self._chance = random.Random(plan.seed)
        self._start = time.monotonic()
        self._next_crash = self._start + plan.crash_seconds
        #: When the tasks were told to end; 0: they go on.
        self._over_since = 0.0

    async def run(self) -> Report:
        plan, server, report = self._plan, self._server, self._report
        # Around the proxy, and by ours in any case: what is watched must not depend on what it is watched with.
        async with self._ours.connect(server.dsn, server_settings={"application_name": "watch"}) as watch:
            await watch.execute("DROP TABLE IF EXISTS ledger; " + Ledger.CREATE)
        descriptors, tasks = _descriptors(), _tasks()
        with _proxy(server, plan.seed) as port:
            try:
                await self._run_behind(port)
            except* Hanging as group:
                report.complaints += [str(error) for error in group.exceptions]
        gc.collect()
        for _ in range(100):  # what has been cancelled ends in a few turns of the loop
            await anyio.lowlevel.checkpoint()
        left = report.left = {"descriptors": _descriptors() - descriptors, "tasks": _tasks() - tasks}
        if left["descriptors"] > 0 or left["tasks"] > 0:
            report.complaints.append(f"left behind: {left}")
        async with self._ours.connect(server.dsn) as watch:
            await self._wait_until_alone(watch)
            verdict = await self._ledger.compare(watch)
        report.verdict = asdict(verdict)
        if not verdict.is_good:
            report.complaints += [f"the ledger: {report.verdict}", *self._ledger.surprises]
        report.counts = dict(self._counts)
        report.operations = self._counts.pop("operations", 0)
        report.written = {
            name: self._ledger.count(state)
            for name, state in (("acknowledged", DONE), ("refused", NOT_DONE), ("unknown", UNKNOWN))
        }
        report.complaints += _growth(report.samples, plan)
        return report

    async def _run_behind(self, port: int) -> None:
        plan, server = self._plan, self._server
        # Not encrypted, so that what is cut and split is what we understand; no connection at first, since those that
        # are cut while the pool is opened are an error of that, as they should be.
        pool = self._library.create_pool(
            host="127.0.0.1", port=port, user=server.user, password=server.password, database=server.database,
            ssl=False, min_size=0, max_size=plan.connections, server_settings={"application_name": _OWN_NAME},
        )  # fmt: skip
        async with anyio.create_task_group() as watchers:
            watchers.start_soon(self._keep_connected, self._watch)
            watchers.start_soon(self._keep_connected, self._disturb)
            async with pool, anyio.create_task_group() as workers:
                for number in range(plan.tasks):
                    workers.start_soon(self._work, pool, number)
                await anyio.sleep(plan.seconds)
                self._over_since = time.monotonic()
            watchers.cancel_scope.cancel()

    async def _work(self, pool: Any, number: int) -> None:
        plan, began = self._plan, self._began
        chance = random.Random(plan.seed * 1_000_003 + number)
        # About what a task waits for its turn, at some thousand operations a second.
        worker = Worker(pool, self._ledger, chance, self._counts, max(0.1, plan.tasks / 1000))
        while not self._over_since:
            began[number] = time.monotonic()
            try:
                await worker.do_something()
            except WrongResult as error:
                self._report.complaints.append(str(error))
            began[number] = 0.0

    async def _keep_connected(self, work: Callable[[Any], Awaitable[None]]) -> None:
        """Do it on a connection around the proxy, and go on on another one when the server has ended that."""
        while True:
            with contextlib.suppress(self._ours.PostgresError, self._ours.InterfaceError, OSError):
                async with self._ours.connect(
                    self._server.dsn, server_settings={"application_name": "watch"}
                ) as connection:
                    await work(connection)
            await anyio.sleep(0.05)

    async def _watch(self, watch: Any) -> None:
        plan, report = self._plan, self._report
        while True:
            await anyio.sleep(min(_SAMPLE_SECONDS, plan.seconds / 20))
            sessions = await watch.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", _OWN_NAME
            )
            now = time.monotonic()
            report.samples.append(Sample(now - self._start, _memory_bytes(), _descriptors(), _tasks(), sessions))
            hanging = [number for number, began in enumerate(self._began) if began and now - began > plan.hang_seconds]
            new = set(hanging) - self._hanging
            self._hanging |= new
            report.complaints += [
                f"task {number} hangs, {now - self._began[number]:.0f} s" for number in sorted(new)[:3]
            ]
            if len(hanging) == plan.tasks or (self._over_since and now - self._over_since > plan.hang_seconds):
                # It will not end by itself.
                raise Hanging(f"{len(hanging)} tasks hang" if hanging else "the pool hangs in close()")

    async def _disturb(self, watch: Any) -> None:
        """End sessions on the server: one by one, and all at once."""
        plan = self._plan
        while True:
            await anyio.sleep(plan.terminate_seconds)
            rows = await watch.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = $1", _OWN_NAME)
            if not rows:
                continue
            pid = self._chance.choice(rows)[0]
            if plan.crash_seconds and time.monotonic() > self._next_crash:
                self._next_crash = time.monotonic() + plan.crash_seconds
                self._counts["backends killed"] += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            else:
                self._counts["backends terminated"] += 1
                await watch.fetchval("SELECT pg_terminate_backend($1)", pid)

    async def _wait_until_alone(self, watch: Any) -> None:
        """Until no session of the pool is left, and nothing is written any more."""
        with anyio.move_on_after(30.0) as scope:
            while await watch.fetchval(
                "SELECT count(*) FROM pg_stat_activity, pg_sleep(0.05) WHERE application_name = $1", _OWN_NAME
            ):
                pass
        if scope.cancelled_caught:
            self._report.complaints.append("sessions are left on the server")


def _growth(samples: list[Sample], plan: Plan) -> list[str]:
    """What grows, as complaints."""
    complaints = []
    fifth = len(samples) // 5
    if fifth >= 2:
        early = max(sample.memory_bytes for sample in samples[fifth : 2 * fifth])
        late = max(sample.memory_bytes for sample in samples[-fifth:])
        if late > early * (1 + _GROWTH_SHARE) + _GROWTH_BYTES:
            complaints.append(f"memory grew from {early >> 20} to {late >> 20} MiB")
    most = max((sample.sessions for sample in samples), default=0)
    if most > plan.connections + _SPARE_SESSIONS:
        complaints.append(f"{most} sessions of {plan.connections} connections")
    return complaints


def _memory_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def _tasks() -> int:
    return len(anyio.get_running_tasks())
