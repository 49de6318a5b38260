"""The process in which one client is measured.

How this works. `python -m benchmarks.process` reads commands from its standard input, one JSON object a line, and
answers each with one: first {"runner", "dsn", "places"}, which is answered with what the client is and can do, and
again when it is connected; then any number of {"case", "count", "latencies"}. Between two commands it does nothing, not
even in its loop, so that one process can be measured while the others are silent.
"""

import gc
import json
import os
import resource
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, TextIO

from benchmarks.cases import CASES, Case, Shape
from benchmarks.clients.client import Client, Operation
from benchmarks.loops import loop_named
from benchmarks.runners import RUNNERS

__all__ = ["measure_times", "serve"]


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

    async def obey(self, client: Client) -> None:
        """Measure what is asked for, until the parent hangs up. Reading blocks the loop, on purpose."""
        self.answer(ready=True)
        prepared: Case | None = None
        operation: Operation | None = None
        rows = 1
        while (command := self.take()) is not None:
            case = CASES[command["case"]]
            if operation is None or case is not prepared:
                operation, rows = await client.prepare(case)
                prepared = case
            await client.before(case)
            if case.shape is Shape.MEMORY:
                measured = await _memory(client, operation, case)
            else:
                measured = await measure_times(
                    client, operation, case, command["count"], with_latencies=command["latencies"]
                )
            self.answer(rows=rows, **measured)


async def measure_times(
    client: Client, operation: Operation, case: Case, count: int, *, with_latencies: bool
) -> dict[str, float]:
    """Of so many operations: seconds, wall and processor's (of this process, user and system together); peak MiB."""
    gc.collect()
    _reset_peak()
    latencies: list[float] | None = [] if with_latencies else None
    cpu, wall = time.process_time(), time.perf_counter()
    if case.tasks == 1:
        await _repeat(operation, count, latencies)
    else:
        await _waves(client, operation, case, count // case.unit, latencies)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    measured: dict[str, float] = {"wall": wall, "cpu": cpu, "peak_mib": _peak_mib()}
    if latencies is not None:
        latencies.sort()
        measured |= {"p50": latencies[len(latencies) // 2], "p99": latencies[len(latencies) * 99 // 100]}
    return measured


async def _repeat(operation: Operation, count: int, latencies: list[float] | None) -> None:
    if latencies is None:
        for _ in range(count):
            await operation()
        return
    clock, note = time.perf_counter, latencies.append
    for _ in range(count):
        begun = clock()
        await operation()
        note(clock() - begun)


async def _waves(client: Client, operation: Operation, case: Case, waves: int, latencies: list[float] | None) -> None:
    async def worker() -> None:
        await _repeat(operation, case.each, latencies)

    for _ in range(waves):
        await client.loop.fan_out(worker, case.tasks)


async def _memory(client: Client, operation: Operation, case: Case) -> dict[str, float]:
    """Seconds of the first result, and MiB: by how much it has raised this process's peak, and what it occupies."""
    await client.query("SELECT 1")
    gc.collect()
    before = _resident_mib()
    _reset_peak()
    cpu, wall = time.process_time(), time.perf_counter()
    result = await operation()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(result) == case.rows
    gc.collect()
    return {"wall": wall, "cpu": cpu, "peak_mib": _peak_mib() - before, "kept_mib": _resident_mib() - before}


def _reset_peak() -> None:
    """Begin anew to look for the peak, where the system can ("man 5 proc", clear_refs); elsewhere it only grows."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


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


def serve() -> None:
    """Be the process of one runner."""
    # What a library prints is not an answer.
    commands = Commands(sys.stdin, os.fdopen(os.dup(1), "w"))
    sys.stdout = sys.stderr
    first = commands.take()
    if first is None:
        return
    runner = RUNNERS[first["runner"]]
    loop = loop_named(runner.loop)

    async def work() -> None:
        async with AsyncExitStack() as stack:
            client = client_class(first["dsn"], first["places"], stack, loop)
            await client.start()
            await commands.obey(client)

    try:
        versions = runner.versions()  # a package that is not there is an ImportError, too
        client_class = runner.load()
        commands.answer(versions=versions, shapes=[shape.value for shape in client_class.shapes()])
        loop.run(work)
    except ImportError as error:
        commands.answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    serve()
