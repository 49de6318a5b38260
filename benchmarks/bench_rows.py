"""CPU time per row of `decode_rows`, for results made by hand.

    PGSANSIO_KERNEL=pure python benchmarks/bench_rows.py [SHAPE ...]

    int4        1000 rows of an int4
    nullable    1000 rows of an int4, 10% NULL
    catalog     400 rows like those of pg_type: name, oid, oid, int2, bool, "char", bool, bool, "char", oid, oid, oid
    mixed       400 rows of int4, float8, bool, text, uuid, timestamptz, date, numeric, bytea; 10% NULL
    not_null    the same without NULL
    array       100 rows of an int4[] of 100 elements
    holes       the same with 10% NULL among the elements
    words       100 rows of a text[] of 20 elements of 5 to 40 ASCII characters
    amounts     100 rows of a numeric[] of 20 elements
    moments     100 rows of a timestamptz[] of 20 elements
    keys        100 rows of a uuid[] of 20 elements
    figures     400 rows of point, box, timetz
    ranges      400 rows of int4range, tstzrange
    composite   400 rows of a composite of int4, text, timestamptz
    texts       400 rows of three texts of 5 to 40 ASCII characters
    copy        400 tuples of binary COPY of int4, int8, text
    one         a result of one row of int4, text, timestamptz: the cost of a call
    count       a result of one row of an int8

Each line is the best of several runs, with the collector off.
"""

import gc
import platform
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pgsansio import kernel
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.composite import composite_codec
from pgsansio.codecs.registry import Registry
from pgsansio.kernel.contract import Buffer, ValueCodec

Random = random.Random
Value = Callable[[Random], bytes]


def packed(format: str, low: int, high: int) -> Value:
    return lambda source: struct.pack(">" + format, source.randint(low, high))


def numeric(source: Random) -> bytes:
    return struct.pack(
        ">HhHHHH", 2, 0, source.choice([0, 0x4000]), 2, source.randrange(1, 10_000), source.randrange(1, 100) * 100
    )


def text(source: Random) -> bytes:
    return bytes(source.choices(b"abcdefghijklmnopqrstuvwxyz ", k=source.randint(5, 40)))


def sized(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def array(element: str, value: Value, count: int, null_share: float = 0) -> Value:
    def make(source: Random) -> bytes:
        fields = [None if source.random() < null_share else value(source) for _ in range(count)]
        header = struct.pack(">iiIii", 1, None in fields, BY_NAME[element].oid, count, 1)
        return header + b"".join(map(sized, fields))

    return make


def range_(value: Value) -> Value:
    return lambda source: b"\2" + sized(value(source)) + sized(value(source))


def composite(source: Random) -> bytes:
    fields = [(name, sized(value(source))) for name, value in MEMBERS.items()]
    return struct.pack(">i", len(fields)) + b"".join(
        struct.pack(">I", BY_NAME[name].oid) + field for name, field in fields
    )


INT4 = packed("i", -(2**31), 2**31 - 1)
OID = packed("I", 0, 20_000)
BOOL = packed("B", 0, 1)
CHAR = packed("B", 65, 90)
TIMESTAMPTZ = packed("q", 0, 10**15)
FLOAT8 = packed("d", -(10**6), 10**6)
MEMBERS: dict[str, Value] = {"int4": INT4, "text": text, "timestamptz": TIMESTAMPTZ}

CATALOG = {
    "name": text, "oid": OID, "oid ": OID, "int2": packed("h", -1, 100), "bool": BOOL, "char": CHAR, "bool ": BOOL,
    "bool  ": BOOL, "char ": CHAR, "oid  ": OID, "oid   ": OID, "oid    ": OID,
}  # fmt: skip
MIXED = {
    "int4": INT4, "float8": packed("d", -(10**6), 10**6), "bool": BOOL, "text": text,
    "uuid": lambda source: source.randbytes(16), "timestamptz": TIMESTAMPTZ, "date": packed("i", 0, 15_000),
    "numeric": numeric, "bytea": lambda source: source.randbytes(source.randint(0, 40)),
}  # fmt: skip

#: Name -> columns (type, with blanks to make keys different; how to make a value), rows, share of NULL.
SHAPES: dict[str, tuple[dict[str, Value], int, float]] = {
    "int4": ({"int4": INT4}, 1000, 0),
    "nullable": ({"int4": INT4}, 1000, 0.1),
    "catalog": (CATALOG, 400, 0),
    "mixed": (MIXED, 400, 0.1),
    "not_null": (MIXED, 400, 0),
    "array": ({"int4[]": array("int4", INT4, 100)}, 100, 0),
    "holes": ({"int4[]": array("int4", INT4, 100, 0.1)}, 100, 0),
    "words": ({"text[]": array("text", text, 20)}, 100, 0),
    "amounts": ({"numeric[]": array("numeric", numeric, 20)}, 100, 0),
    "moments": ({"timestamptz[]": array("timestamptz", TIMESTAMPTZ, 20)}, 100, 0),
    "keys": ({"uuid[]": array("uuid", lambda source: source.randbytes(16), 20)}, 100, 0),
    "figures": (
        {
            "point": lambda source: FLOAT8(source) * 2,
            "box": lambda source: FLOAT8(source) * 4,
            "timetz": lambda source: struct.pack(">qi", source.randrange(86_400_000_000), -3600),
        },
        400,
        0,
    ),
    "ranges": ({"int4range": range_(INT4), "tstzrange": range_(TIMESTAMPTZ)}, 400, 0),
    "composite": ({"composite": composite}, 400, 0),
    "texts": ({"text": text, "text ": text, "text  ": text}, 400, 0),
    "copy": ({"int4": INT4, "int8": packed("q", 0, 2**60), "text": text}, 400, 0),
    "one": ({"int4": INT4, "text": text, "timestamptz": TIMESTAMPTZ}, 1, 0),
    "count": ({"int8": packed("q", 0, 2**60)}, 1, 0),
}


def codec_of(name: str) -> ValueCodec:
    registry = Registry()
    name = name.strip()
    if name == "composite":
        return composite_codec(100_000, name, tuple(MEMBERS), tuple(map(codec_of, MEMBERS)))
    entry = BY_NAME[name.removesuffix("[]")]
    codec = registry.codec(entry.array_oid if name.endswith("[]") else entry.oid)
    assert codec is not None
    return codec


def tuple_of(columns: dict[str, Value], null_share: float, source: Random) -> bytes:
    fields = [struct.pack(">H", len(columns))]
    for value in columns.values():
        if source.random() < null_share:
            fields.append(struct.pack(">i", -1))
        else:
            data = value(source)
            fields += [struct.pack(">i", len(data)), data]
    return b"".join(fields)


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


def measure(shape: str) -> float:
    columns, rows, null_share = SHAPES[shape]
    source = Random(7)
    plan = kernel.row_plan(tuple(columns), tuple(map(codec_of, columns)), kernel.Record)
    tuples = [tuple_of(columns, null_share, source) for _ in range(rows)]
    decode: Callable[[Any, Buffer, int, int, list[Any], int], tuple[int, Exception | None]]
    if shape == "copy":
        decode = kernel.decode_copy
        data = b"".join(tuples)
    else:
        decode = kernel.decode_rows
        data = b"".join(struct.pack(">Bi", 68, 4 + len(part)) + part for part in tuples)
        data += b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"
    buffer = bytearray(data)

    def call() -> None:
        found: list[Any] = []
        decode(plan, buffer, 0, len(buffer), found, 2**31)
        assert len(found) == rows

    for _ in range(100):
        call()
    return best_time(call, rows)


def main() -> None:
    print(f"kernel {kernel.NAME}, Python {platform.python_version()}, {platform.platform()}: ns per row")
    gc.disable()
    for shape in sys.argv[1:] or SHAPES:
        print(f"{shape:10} {measure(shape):8.0f}")


if __name__ == "__main__":
    main()
