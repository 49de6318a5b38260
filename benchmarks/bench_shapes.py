"""CPU time per row of results and of executemany() of many shapes: this project's kernel beside asyncpg's protocol.

    PGSANSIO_KERNEL=compiled python -m benchmarks.bench_shapes [SHAPE ...]

Without a server: asyncpg's protocol object reads from memory (`asyncpg_alone.py`). What a result without rows takes is
subtracted from its times, so both are of rows alone. Giving back the rows is the interpreter's work and the same for
both: only the second ratio has it. Ours and asyncpg's runs alternate; times are medians of the rounds, a ratio is the
median of the ratios within a round, with the lowest and the highest. The shapes of results are
those of `bench_rows.py` without figures, ranges and the composite, and

    series      1000 rows of an int4 from 1 to 1000
    small       100 rows of an int4[] of the numbers from 1 to 100
    thousands   10 rows of an int4[] of the numbers from 1 to 1000
    blobs       100 rows of a bytea of 1000 bytes
    large       10 rows of a bytea of 100 KiB
    wide_keys   400 rows of uuid, numeric, timestamptz

those of executemany() are those of `bench_bind.py`.
"""

import asyncio
import gc
import itertools
import platform
import random
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import bench_bind, bench_rows
from benchmarks.asyncpg_alone import AsyncpgAlone
from benchmarks.bench_rows import TIMESTAMPTZ, Value, array, numeric
from benchmarks.results import Ratio
from benchmarks.type_cases import CATALOG
from pgsansio import kernel
from pgsansio.codecs.catalog import BY_NAME

_ROUNDS: Final = 9
_EXECUTE: Final = b"E\0\0\0\x09\0\0\0\0\0"


def numbers(first: int, last: int) -> Value:
    source = itertools.cycle(range(first, last + 1))
    return lambda _: struct.pack(">i", next(source))


ROWS: Final[dict[str, tuple[dict[str, Value], int, float]]] = {
    "series": ({"int4": numbers(1, 1000)}, 1000, 0),
    **{
        name: shape
        for name, shape in bench_rows.SHAPES.items()
        if name not in ("figures", "ranges", "composite", "copy", "one", "count")
    },
    "small": ({"int4[]": array("int4", numbers(1, 100), 100)}, 100, 0),
    "thousands": ({"int4[]": array("int4", numbers(1, 1000), 1000)}, 10, 0),
    "blobs": ({"bytea": lambda source: source.randbytes(1000)}, 100, 0),
    "large": ({"bytea": lambda source: source.randbytes(102_400)}, 10, 0),
    "wide_keys": (
        {"uuid": lambda source: source.randbytes(16), "numeric": numeric, "timestamptz": TIMESTAMPTZ},
        400,
        0,
    ),
}
LISTS: Final = {name: shape for name, shape in bench_bind.SHAPES.items() if shape[2] > 1 and "copy" not in name}


def oid_of(name: str) -> int:
    entry = BY_NAME[name.strip().removesuffix("[]")]
    return entry.array_oid if name.strip().endswith("[]") else entry.oid


async def measured(call: Callable[[], Awaitable[object]], *, freeing: bool) -> float:
    """Nanoseconds of a call, and of giving back its result if `freeing`; the best of some."""
    best = float("inf")
    for _ in range(12):
        start = time.process_time_ns()
        result = await call()
        if freeing:
            del result
        best = min(best, time.process_time_ns() - start)
        result = None
    return best


@dataclass(frozen=True, slots=True)
class Pair:
    """The same work twice: of ours, and of asyncpg's with all of it (True) or nothing (False)."""

    name: str
    rows: int
    ours: Callable[[], object]
    theirs: Callable[[bool], Awaitable[object]]


async def compare(pair: Pair, *, freeing: bool = False) -> tuple[float, float, Ratio]:
    """Nanoseconds per row of ours and of asyncpg's, and asyncpg's by ours.

    Args:
        freeing: with giving back the rows.
    """

    async def run_ours() -> object:
        return pair.ours()

    await run_ours()
    gc.disable()
    found: list[tuple[float, float]] = []
    for _ in range(_ROUNDS):
        our_time = await measured(run_ours, freeing=freeing)
        empty = await measured(lambda: pair.theirs(False), freeing=freeing)
        their_time = await measured(lambda: pair.theirs(True), freeing=freeing) - empty
        found.append((our_time / pair.rows, their_time / pair.rows))
    gc.enable()
    our_time, their_time = (statistics.median(column) for column in zip(*found, strict=True))
    return our_time, their_time, Ratio.of([theirs / ours for ours, theirs in found])


async def pair_of(name: str) -> Pair:
    """The pair of this shape, which has been seen to give the same."""
    return await (_pair_of_rows(name) if name in ROWS else _pair_of_lists(name))


async def _pair_of_rows(name: str) -> Pair:
    columns, rows, null_share = ROWS[name]
    source = random.Random(7)
    plan = kernel.row_plan(tuple(columns), tuple(map(bench_rows.codec_of, columns)), kernel.Record)
    tuples = [bench_rows.tuple_of(columns, null_share, source) for _ in range(rows)]
    data = b"".join(struct.pack(">Bi", 68, 4 + len(part)) + part for part in tuples)
    buffer = bytearray(data)

    def ours() -> list[Any]:
        found: list[Any] = []
        kernel.decode_rows(plan, buffer, 0, len(buffer), found, 2**31)
        assert len(found) == rows
        return found

    alone = AsyncpgAlone(CATALOG)
    await alone.start()
    statement = await alone.prepare((), [oid_of(column) for column in columns])
    assert list(map(tuple, await statement.fetch(data))) == list(map(tuple, ours()))
    return Pair(name, rows, ours, lambda full: statement.fetch(data if full else b""))


async def _pair_of_lists(name: str) -> Pair:
    types, null_share, count = LISTS[name]
    source = random.Random(7)
    lists = [
        tuple(None if source.random() < null_share else bench_bind.VALUES[type_name](source) for type_name in types)
        for _ in range(count)
    ]
    ours = bench_bind.calls(name)
    alone = AsyncpgAlone(CATALOG)
    await alone.start()
    statement = await alone.prepare([oid_of(type_name) for type_name in types], ())
    return Pair(name, count, ours, lambda full: statement.executemany(lists if full else lists[:1]))


async def main() -> None:
    print(f"kernel {kernel.NAME}, Python {platform.python_version()}, {platform.platform()}; ns per row")
    print(f"{'':10} {'ours':>9} {'asyncpg':>9} {'times as fast':>18}   and with giving back")
    for name in sys.argv[1:] or [*ROWS, *LISTS]:
        pair = await pair_of(name)
        ours, theirs, ratio = await compare(pair)
        _, _, with_freeing = await compare(pair, freeing=True)
        print(f"{name:10} {ours:9.0f} {theirs:9.0f}  {ratio}   {with_freeing}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
