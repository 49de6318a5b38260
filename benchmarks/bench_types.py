"""Nanoseconds for one value of each type, decoded and encoded: this project's kernel beside asyncpg's codecs.

    PGSANSIO_KERNEL=pure python -m benchmarks.bench_types [--rows N] [--rounds N] [--seconds S] [--slow] [TYPE ...]

How this works. A run decodes `--rows` rows of four values of one type, or encodes as many lists of four arguments:

    ours      `decode_rows` over the DataRow messages, `encode_many` into Bind messages, as `fetch` and `executemany`
              do it
    asyncpg   `fetch` and `executemany` of its protocol object, without a server and a socket (`asyncpg_alone.py`)

What rows of no columns and lists of no arguments take is subtracted: the cost of a row and of an operation is not a
type's (`bench_rows.py`, `bench_bind.py`, and `python -m benchmarks` measure that). Times are of the processor, with the
collector off. Ours and asyncpg's runs alternate, each for `--seconds`, in `--rounds` rounds; times are medians over the
rounds, a ratio (ours / asyncpg's: 2 is twice the time) is the median of the ratios within a round, with the lowest and
the highest. Behind the table stand the reasons for what takes more than four times as long; the exit status is 1 if one
has none.

Before it is measured, each type is checked: both have to read the same values from the same bytes, and to write the
same bytes for these values. Where asyncpg has no figure, it does not know the type.
"""

import argparse
import asyncio
import gc
import importlib.metadata
import os
import platform
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import asyncpg

from benchmarks.asyncpg_alone import AsyncpgAlone, AsyncpgStatement
from benchmarks.type_cases import CASES, CATALOG, TypeCase, registry
from pgsansio import kernel
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types import Path, Polygon

__all__ = ["LIMIT", "Ours", "main"]

COLUMNS: Final = 4

#: An Execute of the unnamed portal without a limit.
_EXECUTE: Final = b"E\0\0\0\x09\0\0\0\0\0"

#: A row of no columns.
_EMPTY_ROW: Final = b"D\0\0\0\6\0\0"

#: Ours over asyncpg's: what is above needs a reason.
LIMIT: Final = 4.0

#: By opcode, or else by the name of the type: why the pure kernel may be slower.
_REASONS: Final[Mapping[Opcode | str, str]] = {
    Opcode.TEXT: "nothing is done but what has to be, and each is a step of the interpreter: length, slice, decode; or "
    "class, zero characters, encode, length",
    Opcode.JSONB: "as text, and the version byte",
    Opcode.BYTEA: "as text; asyncpg copies a few bytes",
    "macaddr": "asyncpg passes the server's text through, and ours is binary: one call of Python for each value",
    "macaddr8": "as macaddr",
    "pg_snapshot": "one call of Python for each value, which is of no fixed size",
    "txid_snapshot": "as pg_snapshot",
    "void": "one call of Python for each value; a result hardly ever has more than one",
    "hstore": "a loop in Python over the pairs, with two texts in each",
}
UNEXPLAINED: Final = "nobody has said why"

Run = Callable[[], object]


def data_rows(values: Sequence[bytes], columns: int = COLUMNS) -> bytes:
    """DataRow messages of these values."""
    messages: list[bytes] = []
    for start in range(0, len(values), columns):
        row = values[start : start + columns]
        body = struct.pack(">H", columns) + b"".join([struct.pack(">i", len(value)) + value for value in row])
        messages.append(b"D" + struct.pack(">i", 4 + len(body)) + body)
    return b"".join(messages)


def in_rows(values: Sequence[object]) -> list[tuple[object, ...]]:
    return [tuple(values[start : start + COLUMNS]) for start in range(0, len(values), COLUMNS)]


class Ours:
    """A type's values, and what the kernel does with them.

    Attributes:
        values: as a user gives them; None if they are no arguments.
        wire: their bytes, in the format of `codec`.
    """

    def __init__(self, case: TypeCase, rows: int) -> None:
        codec = registry(case).codec(case.oid)
        assert codec is not None
        self.codec: ValueCodec = codec
        source = Random(7)
        self.values: list[object] | None = None
        if case.value is not None:
            make = case.value
            self.values = [make(source) for _ in range(rows * COLUMNS)]
            self.wire = [codec.encode(value) for value in self.values]
        else:
            assert case.wire is not None
            self.wire = [case.wire(source) for _ in range(rows * COLUMNS)]

    def decoding(self) -> Run:
        return decoding((self.codec,) * COLUMNS, data_rows(self.wire))

    def encoding(self) -> Run | None:
        return None if self.values is None else encoding((self.codec,) * COLUMNS, in_rows(self.values))

    def decoded(self) -> list[object]:
        """Every value as the kernel reads it."""
        rows = decoding((self.codec,) * COLUMNS, data_rows(self.wire))()
        assert isinstance(rows, list)
        return [value for row in rows for value in row]


def decoding(codecs: tuple[ValueCodec, ...], data: bytes) -> Run:
    plan = kernel.row_plan(tuple([f"c{number}" for number in range(len(codecs))]), codecs, kernel.Record)
    buffer = bytearray(data)

    def run() -> list[Any]:
        rows: list[Any] = []
        position, error = kernel.decode_rows(plan, buffer, 0, len(buffer), rows, 2**31)
        if error is not None:
            raise error
        assert position == len(buffer)
        return rows

    return run


def encoding(codecs: tuple[ValueCodec, ...], lists: Sequence[tuple[object, ...]]) -> Run:
    plan = kernel.parameter_plan(codecs)

    def run() -> bytes:
        elements: Iterator[object] = iter(lists)
        written = b""
        index = 0
        exhausted = False
        while not exhausted:
            written, count, exhausted = kernel.encode_many(plan, b"\0s\0", elements, b"\0\0", _EXECUTE, 65536, index)
            index += count
        assert index == len(lists)
        return written

    return run


class Theirs:
    """asyncpg's session for one type.

    Attributes:
        decodes, encodes: whether it can; False if it has no codec.
    """

    def __init__(self, case: TypeCase) -> None:
        self._case = case
        self._alone = AsyncpgAlone(CATALOG)
        self._empty: AsyncpgStatement | None = None
        self._reads: AsyncpgStatement | None = None
        self._writes: AsyncpgStatement | None = None
        self._rows = b""
        self._lists: list[tuple[object, ...]] = []
        self._empty_rows = b""
        self._empty_lists: list[tuple[object, ...]] = []

    async def start(self, ours: Ours) -> None:
        """Prepare the statements, and compare what they do with ours.

        Raises:
            AssertionError: the two differ.
        """
        case = self._case
        self._empty_rows = _EMPTY_ROW * (len(ours.wire) // COLUMNS)
        self._empty_lists = [()] * (len(ours.wire) // COLUMNS)
        await self._alone.start()
        if isinstance(case.functions, str):
            self._alone.declare_alias(case.oid, case.functions)
        elif case.functions is not None:
            self._alone.declare(case.oid, *case.functions)
        self._empty = await self._alone.prepare((), ())
        oids = (case.oid,) * COLUMNS
        self._reads = await self._prepared((), oids)
        if self._reads is None:
            return
        wire_format = await self._reads.column_format()
        wire = ours.wire
        if wire_format is not ours.codec.format:
            assert ours.values is not None
            wire = [registry(case).codec_in(case.oid, wire_format).encode(value) for value in ours.values]
        self._rows = data_rows(wire)
        read = [value for row in await self._reads.fetch(self._rows) for value in row]
        for own, other in zip(ours.decoded(), read, strict=True):
            assert _equal(own, other), f"{case.name}: ours {own!r}, asyncpg's {other!r}"
        if ours.values is None:
            return
        self._writes = await self._prepared(oids, ())
        if self._writes is None:
            return
        # asyncpg is given values of its own classes; for a composite it wants a tuple.
        self._lists = in_rows([_argument(value) for value in read])
        written = await self._writes.encoded(self._lists)
        position = 0
        for value in wire:
            position = written.find(value, position)
            assert position >= 0, f"{case.name}: asyncpg did not write {value!r}"

    async def _prepared(self, parameters: Sequence[int], columns: Sequence[int]) -> AsyncpgStatement | None:
        """None: asyncpg has no codec for a type, or one for the other direction alone."""
        try:
            return await self._alone.prepare(parameters, columns)
        except (asyncpg.UnsupportedClientFeatureError, asyncpg.InternalClientError):
            return None

    @property
    def decodes(self) -> bool:
        return self._reads is not None

    @property
    def encodes(self) -> bool:
        return self._writes is not None

    async def decode(self) -> None:
        assert self._reads is not None
        await self._reads.fetch(self._rows)

    async def encode(self) -> None:
        assert self._writes is not None
        await self._writes.executemany(self._lists)

    async def decode_nothing(self) -> None:
        assert self._empty is not None
        await self._empty.fetch(self._empty_rows)

    async def encode_nothing(self) -> None:
        assert self._empty is not None
        await self._empty.executemany(self._empty_lists)


def _equal(ours: object, theirs: object) -> bool:
    """The two have classes of their own for ranges and the like, which print alike or can be walked through alike."""
    if isinstance(ours, Path | Polygon) and isinstance(theirs, asyncpg.Path):
        return tuple(ours) == tuple(theirs) and ours.is_closed == theirs.is_closed
    return ours == theirs or repr(ours) == repr(theirs)


def _argument(value: object) -> object:
    if isinstance(value, asyncpg.Record):
        return tuple(value)
    if isinstance(value, list):
        return [_argument(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Times:
    """Nanoseconds per value, one of each round; empty if there is nothing to measure."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def columns(self) -> tuple[str, str, str]:
        """Median of ours, of asyncpg's, and the ratio, for the table."""
        if not self.ours:
            return "-", "-", "-"
        ours = f"{statistics.median(self.ours):.0f}"
        if not self.theirs:
            return ours, "-", "-"
        ratios = [own / other for own, other in zip(self.ours, self.theirs, strict=True)]
        mark = " !" if self.ratio > LIMIT else ""
        return (
            ours,
            f"{statistics.median(self.theirs):.0f}",
            f"{self.ratio:.1f} ({min(ratios):.1f}-{max(ratios):.1f}){mark}",
        )

    @property
    def ratio(self) -> float:
        """0 if there is nothing to compare."""
        if not self.ours or not self.theirs:
            return 0.0
        return statistics.median([own / other for own, other in zip(self.ours, self.theirs, strict=True)])


class Watch:
    """Nanoseconds of CPU time of a run, over as many as take a while."""

    def __init__(self, seconds: float) -> None:
        self._goal = seconds * 1e9
        self._counts: dict[tuple[int, int], int] = {}

    async def time(self, key: tuple[int, int], run: Callable[[], Any]) -> float:
        """Args: key: of runs that take equally long."""
        count = self._counts.get(key, 1)
        while True:
            start = time.process_time_ns()
            for _ in range(count):
                waiting = run()
                if isinstance(waiting, Awaitable):
                    await waiting
            taken = time.process_time_ns() - start
            if key in self._counts:
                return taken / count
            if taken >= self._goal / 4:
                count = self._counts[key] = max(1, round(count * self._goal / taken))
            else:
                count *= 2


async def measure(case: TypeCase, rows: int, rounds: int, seconds: float) -> tuple[Times, Times]:
    """Of decoding and of encoding."""
    ours = Ours(case, rows)
    theirs = Theirs(case)
    await theirs.start(ours)
    # A run, what is subtracted from it; then the same of asyncpg.
    runs: tuple[list[Run | None], list[Run | None]] = (
        [
            ours.decoding(),
            decoding((), _EMPTY_ROW * rows),
            theirs.decode if theirs.decodes else None,
            theirs.decode_nothing,
        ],
        [
            ours.encoding(),
            encoding((), [()] * rows),
            theirs.encode if theirs.encodes else None,
            theirs.encode_nothing,
        ],
    )
    taken: list[list[list[float]]] = [[[] for _ in of_direction] for of_direction in runs]
    watch = Watch(seconds)
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for direction, of_direction in enumerate(runs):
                for number, run in enumerate(of_direction):
                    if run is not None:
                        taken[direction][number].append(await watch.time((direction, number), run))
    finally:
        gc.enable()
    decoded, encoded = (
        Times(_net(own, nothing, rows), _net(other, other_nothing, rows))
        for own, nothing, other, other_nothing in taken
    )
    return decoded, encoded


def _net(taken: list[float], nothing: list[float], rows: int) -> list[float]:
    """Per value. What is subtracted is small and noisy: one number for all rounds."""
    return [(each - statistics.median(nothing)) / (rows * COLUMNS) for each in taken]


def why(case: TypeCase) -> str:
    """The reason for what a type costs."""
    codec = registry(case).codec(case.oid)
    assert codec is not None
    return _REASONS.get(case.name) or _REASONS.get(codec.opcode) or UNEXPLAINED


_TITLES: Final = ("type", "decode", "asyncpg", "ratio", "encode", "asyncpg", "ratio")


def line(columns: Sequence[str]) -> str:
    return "{:28} {:>8} {:>8} {:18} {:>8} {:>8} {}".format(*columns).rstrip()


def compare(names: Iterable[str], rows: int, rounds: int, seconds: float, *, slow: bool) -> bool:
    """Measure and print; if `slow`, only what is slower than the limit. False: a slow type has no reason."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"kernel {kernel.NAME}, {platform.python_implementation()} {platform.python_version()}, "
        f"asyncpg {importlib.metadata.version('asyncpg')}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} processors, load {load}; ns per value"
    )
    print(line(_TITLES), flush=True)
    reasons: dict[str, list[str]] = {}
    with asyncio.Runner() as runner:
        for name in names:
            decoded, encoded = runner.run(measure(CASES[name], rows, rounds, seconds))
            is_slow = max(decoded.ratio, encoded.ratio) > LIMIT
            if is_slow:
                reasons.setdefault(why(CASES[name]), []).append(name)
            if is_slow or not slow:
                print(line((name, *decoded.columns(), *encoded.columns())), flush=True)
    for reason, slow_names in reasons.items():
        print(f"\n! {reason}:\n  {', '.join(slow_names)}")
    return UNEXPLAINED not in reasons


def main(arguments: Sequence[str]) -> int:
    """Returns: the exit status, 1 if a type is slower than the limit and nothing here says why."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_types", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("types", nargs="*", metavar="TYPE", help="the names in the table; all if there is none")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.02, help="for each of up to eight runs in a round")
    parser.add_argument("--slow", action="store_true", help=f"print only what takes over {LIMIT:.0f} times as long")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.types if name not in CASES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(CASES)}")
    names = options.types or CASES
    return 0 if compare(names, options.rows, options.rounds, options.seconds, slow=options.slow) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
