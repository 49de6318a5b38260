"""CPU time per list of arguments of `encode_bind`, `encode_many` and `encode_copy`.

    PGSANSIO_KERNEL=pure python benchmarks/bench_bind.py [SHAPE ...]

    lookup      one Bind of an int4
    bind        one Bind of int4, text, timestamptz
    many        executemany of 1000 elements of int4, text, float8
    many_null   the same, 10% None
    many_mixed  executemany of 1000 elements of int4, float8, bool, text, uuid, timestamptz, date, numeric, bytea
    mixed_null  the same, 10% None
    arrays      executemany of 100 elements of int4[], text[], timestamptz[], each of 20 elements
    copy        binary COPY of 1000 tuples of int4, int8, text
    copy_fixed  binary COPY of 1000 tuples of int4, int8, float8

Each line is the best of several runs, with the collector off.
"""

import gc
import platform
import random
import string
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pgsansio import kernel
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.registry import Registry
from pgsansio.kernel.contract import ParameterPlan

Random = random.Random

#: What an Execute of the unnamed portal without a limit takes; and of it and Sync.
EXECUTE = b"E\0\0\0\x09\0\0\0\0\0"
SYNC = b"S\0\0\0\x04"

VALUES: dict[str, Callable[[Random], object]] = {
    "int4": lambda source: source.randrange(-(2**31), 2**31),
    "int8": lambda source: source.randrange(2**60),
    "float8": lambda source: source.uniform(-1e6, 1e6),
    "bool": lambda source: source.random() < 0.5,
    "text": lambda source: "".join(source.choices(string.ascii_letters, k=source.randint(5, 40))),
    "uuid": lambda source: uuid.UUID(bytes=source.randbytes(16)),
    "timestamptz": lambda source: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=source.randrange(10**15)),
    "date": lambda source: date.fromordinal(730_120 + source.randrange(15_000)),
    "numeric": lambda source: Decimal(source.randrange(-(10**8), 10**8)).scaleb(-2),
    "bytea": lambda source: source.randbytes(source.randint(0, 40)),
}

for _name in ("int4", "text", "timestamptz"):
    VALUES[f"{_name}[]"] = lambda source, value=VALUES[_name]: [value(source) for _ in range(20)]  # type: ignore[misc]

_MIXED = ["int4", "float8", "bool", "text", "uuid", "timestamptz", "date", "numeric", "bytea"]

#: Name -> types, share of None, lists in a call.
SHAPES: dict[str, tuple[list[str], float, int]] = {
    "lookup": (["int4"], 0, 1),
    "bind": (["int4", "text", "timestamptz"], 0, 1),
    "many": (["int4", "text", "float8"], 0, 1000),
    "many_null": (["int4", "text", "float8"], 0.1, 1000),
    "many_mixed": (_MIXED, 0, 1000),
    "mixed_null": (_MIXED, 0.1, 1000),
    "arrays": (["int4[]", "text[]", "timestamptz[]"], 0, 100),
    "copy": (["int4", "int8", "text"], 0, 1000),
    "copy_fixed": (["int4", "int8", "float8"], 0, 1000),
}


def plan_of(types: list[str]) -> ParameterPlan:
    registry = Registry()
    entries = [(BY_NAME[name.removesuffix("[]")], name.endswith("[]")) for name in types]
    codecs = [registry.codec(entry.array_oid if is_array else entry.oid) for entry, is_array in entries]
    return kernel.parameter_plan(tuple(codec for codec in codecs if codec is not None))


def calls(shape: str) -> Callable[[], object]:
    """A call that encodes all lists of a shape."""
    types, null_share, rows = SHAPES[shape]
    source = Random(7)
    plan = plan_of(types)
    lists = [
        tuple(None if source.random() < null_share else VALUES[name](source) for name in types) for _ in range(rows)
    ]
    if rows == 1:
        return lambda: kernel.encode_bind(plan, b"\0s1\0", lists[0], b"\0\x01\0\x01", EXECUTE + SYNC)

    def all_batches() -> None:
        elements: Iterator[object] = iter(lists)
        index = 0
        exhausted = False
        while not exhausted:
            if shape.startswith("copy"):
                _, count, exhausted = kernel.encode_copy(plan, elements, 65536, index)
            else:
                _, count, exhausted = kernel.encode_many(plan, b"\0s1\0", elements, b"\0\0", EXECUTE, 65536, index)
            index += count
        assert index == rows

    return all_batches


def best_time(call: Callable[[], object], rows: int) -> float:
    """Nanoseconds of CPU time per row."""
    repetitions = max(1, 20_000 // rows)
    best = float("inf")
    for _ in range(9):
        start = time.process_time_ns()
        for _ in range(repetitions):
            call()
        best = min(best, (time.process_time_ns() - start) / (repetitions * rows))
    return best


def main() -> None:
    print(f"kernel {kernel.NAME}, Python {platform.python_version()}, {platform.platform()}: ns per list of arguments")
    gc.disable()
    for shape in sys.argv[1:] or SHAPES:
        call = calls(shape)
        for _ in range(100):
            call()
        print(f"{shape:10} {best_time(call, SHAPES[shape][2]):8.0f}")


if __name__ == "__main__":
    main()
