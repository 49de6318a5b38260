"""Nanoseconds per value for each type's own functions: decode and encode, binary and text.

    python benchmarks/bench_codecs.py [TYPNAME ...]

A kernel does without these calls for most types. The arrays have 100 elements, and their lines say ns per array. Each
number is the best of several runs, with the collector off.
"""

import platform
import sys
import timeit
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.registry import Registry
from pgsansio.enums import Format

VALUES: Final[dict[str, object]] = {
    "bool": True,
    "int2": 12345,
    "int4": 1234567890,
    "int8": 1234567890123456789,
    "oid": 16384,
    "float4": 1.5,
    "float8": 0.1,
    "numeric": Decimal("12345.67"),
    "text": "twenty ASCII letters",
    "char": b"a",
    "bytea": b"\x00\xff" * 20,
    "uuid": UUID("12345678-9abc-def0-1234-56789abcdef0"),
    "date": date(2024, 2, 29),
    "time": time(12, 34, 56, 789000),
    "timetz": time(12, 34, 56, 789000, timezone(timedelta(hours=2))),
    "timestamp": datetime(2024, 2, 29, 12, 34, 56, 789000),
    "timestamptz": datetime(2024, 2, 29, 12, 34, 56, 789000, UTC),
    "interval": timedelta(days=3, seconds=4, microseconds=5),
    "json": '{"a": [1, null]}',
    "jsonb": '{"a": [1, null]}',
    "_int4": list(range(100)),
    "_int8": [None, *range(99)],
    "_float8": [number / 7 for number in range(100)],
    "_text": ["twenty ASCII letters"] * 100,
    "_numeric": [Decimal("12345.67")] * 100,
}


def nanoseconds(function: object, argument: object) -> float:
    timer = timeit.Timer("function(argument)", globals={"function": function, "argument": argument})
    number, _ = timer.autorange()
    number = max(1, number // 10)
    return min(timer.repeat(repeat=7, number=number)) / number * 1e9


def main(names: list[str]) -> None:
    print(f"CPython {platform.python_version()}, {platform.machine()}; ns per value")
    print(f"{'':12} {'decode':>9} {'encode':>9} {'from text':>10} {'to text':>9}")
    registry = Registry()
    for name in names or VALUES:
        entry, value = BY_NAME[name], VALUES[name]
        figures: list[float] = []
        for wire_format in (Format.BINARY, Format.TEXT):
            codec = registry.codec_in(entry.oid, wire_format)
            argument = str(value) if name == "interval" and wire_format is Format.TEXT else value
            data = codec.encode(argument)
            figures += [nanoseconds(codec.decode, data), nanoseconds(codec.encode, argument)]
        print("{:12} {:9.0f} {:9.0f} {:10.0f} {:9.0f}".format(name, *figures))


if __name__ == "__main__":
    main(sys.argv[1:])
