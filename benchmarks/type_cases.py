"""What the benchmark of types measures: for each type, how to make values of it.

Values are random with a fixed seed, so that no two of a run need be alike, and of sizes that are usual.
"""

import enum
import json
import string
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from random import Random
from typing import Any, Final

from pgsansio.codecs import Registry
from pgsansio.codecs.builtin import PREFERRED
from pgsansio.codecs.catalog import BY_NAME, BY_OID
from pgsansio.codecs.contrib import HSTORE
from pgsansio.codecs.custom import EnumCodec, json_codecs
from pgsansio.codecs.declaration import CodecDeclaration
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.types import BitString, Box, Circle, Line, LineSegment, Path, Point, Polygon, Range

__all__ = ["CASES", "CATALOG", "TypeCase", "registry"]

Value = Callable[[Random], Any]


@dataclass(frozen=True, slots=True)
class TypeCase:
    """A type, and what is declared for it.

    Attributes:
        value: makes a value.
        wire: makes the bytes of one in binary, of a type whose values are not arguments; `value` is not used.
        declarations: of ours.
        functions: (encode, decode) that asyncpg's `set_type_codec` is given, or the name for `set_builtin_type_codec`.
    """

    name: str
    oid: int
    value: Value | None
    wire: Callable[[Random], bytes] | None = None
    declarations: tuple[CodecDeclaration, ...] = ()
    functions: tuple[Callable[[Any], str], Callable[[str], Any]] | str | None = None


# values


def integer(bits: int, *, signed: bool = True) -> Value:
    low = -(1 << (bits - 1)) if signed else 0
    return lambda source: source.randrange(low, low + (1 << bits))


def text(source: Random) -> str:
    return "".join(source.choices(string.ascii_letters + "   ", k=source.randint(5, 40)))


def word(source: Random) -> str:
    return "".join(source.choices(string.ascii_lowercase, k=source.randint(4, 12)))


def real(source: Random) -> float:
    return source.uniform(-1e6, 1e6)


def single(source: Random) -> float:
    return source.randrange(-(2**20), 2**20) / 8


def numeric(source: Random) -> Decimal:
    # Odd, since asyncpg writes a group of zeros where there are no cents.
    return Decimal(source.randrange(1 - 10**8, 10**8, 2)).scaleb(-2)


def instant(source: Random) -> datetime:
    return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=source.randrange(10**15))


def clock(source: Random) -> time:
    return (datetime.min + timedelta(microseconds=source.randrange(86_400_000_000))).time()


def day(source: Random) -> date:
    return date.fromordinal(730_120 + source.randrange(15_000))


def bits(source: Random) -> BitString:
    return BitString("".join(source.choices("01", k=source.randint(8, 64))))


def point(source: Random) -> Point:
    return Point(real(source), real(source))


def points(source: Random) -> list[Point]:
    return [point(source) for _ in range(6)]


def box(source: Random) -> Box:
    x, y = real(source), real(source)
    return Box((x + 10, y + 10), (x, y))


def address(source: Random) -> IPv4Address | IPv6Address:
    return IPv4Address(source.getrandbits(32)) if source.random() < 0.8 else IPv6Address(source.getrandbits(128))


def network(source: Random) -> IPv4Network:
    return IPv4Network((source.getrandbits(24) << 8, 24))


def hexadecimal(count: int) -> Value:
    return lambda source: ":".join(f"{byte:02x}" for byte in source.randbytes(count))


def document(source: Random) -> dict[str, object]:
    return {"id": source.randrange(10**6), "name": word(source), "tags": [word(source), word(source)], "on": True}


def json_text(source: Random) -> str:
    return json.dumps(document(source))


def snapshot(source: Random) -> tuple[int, int, tuple[int, ...]]:
    low = source.randrange(10**6)
    return low, low + 20, (low + 3, low + 7)


def numbers(source: Random) -> tuple[int, ...]:
    return tuple([source.randrange(2**15) for _ in range(6)])


def lexemes(source: Random) -> str:
    return " ".join(f"'{each}':{at}" for at, each in enumerate(sorted({word(source) for _ in range(5)}), 1))


def query(source: Random) -> str:
    return f"'{word(source)}' & '{word(source)}'"


def span(value: Value) -> Value:
    def make(source: Random) -> Range[Any]:
        lower, upper = sorted((value(source), value(source)))
        return Range(lower, upper)

    return make


def many(value: Value, count: int) -> Value:
    return lambda source: [value(source) for _ in range(count)]


def void(source: Random) -> bytes:
    return b""


def anonymous(source: Random) -> bytes:
    """record_send's form of (int4, text, timestamptz)."""
    data = text(source).encode()
    return (
        struct.pack(">i", 3)
        + struct.pack(">Iii", BY_NAME["int4"].oid, 4, source.randrange(2**31))
        + struct.pack(">Ii", BY_NAME["text"].oid, len(data))
        + data
        + struct.pack(">Iiq", BY_NAME["timestamptz"].oid, 8, source.randrange(10**15))
    )


_BUILTIN: Final[dict[str, Value]] = {
    "aclitem": lambda source: f"{word(source)}=r/postgres",
    "bit": bits,
    "bool": lambda source: source.random() < 0.5,
    "box": box,
    "bytea": lambda source: source.randbytes(source.randint(0, 40)),
    "char": lambda source: bytes([source.randrange(65, 91)]),
    "cid": integer(32, signed=False),
    "cidr": network,
    "circle": lambda source: Circle(point(source), source.random() * 100),
    "date": day,
    "float4": single,
    "float8": real,
    "inet": address,
    "int2": integer(16),
    "int2vector": numbers,
    "int4": integer(32),
    "int8": integer(64),
    "interval": lambda source: timedelta(source.randrange(1000), source.randrange(86_400), source.randrange(10**6)),
    "json": json_text,
    "jsonb": json_text,
    "line": lambda source: Line(real(source), real(source), real(source)),
    "lseg": lambda source: LineSegment(point(source), point(source)),
    "macaddr": hexadecimal(6),
    "macaddr8": hexadecimal(8),
    "numeric": numeric,
    "oid": integer(32, signed=False),
    "oidvector": numbers,
    "path": lambda source: Path(*points(source), is_closed=True),
    "pg_brin_bloom_summary": lambda source: source.randbytes(40),
    "pg_brin_minmax_multi_summary": lambda source: source.randbytes(40),
    "pg_lsn": integer(63, signed=False),
    "pg_mcv_list": lambda source: source.randbytes(40),
    "pg_snapshot": snapshot,
    "point": point,
    "polygon": lambda source: Polygon(*points(source)),
    "tid": lambda source: (source.getrandbits(32), source.getrandbits(16)),
    "time": clock,
    "timestamp": lambda source: instant(source).replace(tzinfo=None),
    "timestamptz": instant,
    "timetz": lambda source: clock(source).replace(tzinfo=timezone(timedelta(hours=source.randint(-12, 12)))),
    "tsquery": query,
    "tsvector": lexemes,
    "txid_snapshot": snapshot,
    "uuid": lambda source: uuid.UUID(bytes=source.randbytes(16)),
    "varbit": bits,
    "xid": integer(32, signed=False),
    "xid8": integer(64, signed=False),
}


# types of a database's own


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


def _composite(source: Random) -> tuple[object, ...]:
    return integer(32)(source), text(source), instant(source)


def _hstore(source: Random) -> dict[str, str]:
    return {word(source): word(source) for _ in range(4)}


_INT4, _TEXT = BY_NAME["int4"].oid, BY_NAME["text"].oid
_DOMAIN, _ENUM, _ENUM_CLASS, _PAIR, _PAIRS, _HSTORE = range(100_000, 100_006)

_INFOS: Final = (
    TypeInfo(_DOMAIN, "positive", "public", "positive", TypeKind.DOMAIN, inner_oid=_INT4),
    TypeInfo(_ENUM, "shade", "public", "shade", TypeKind.ENUM),
    TypeInfo(_ENUM_CLASS, "color", "public", "color", TypeKind.ENUM),
    TypeInfo(
        _PAIR,
        "pair",
        "public",
        "pair",
        TypeKind.COMPOSITE,
        attributes=(("a", _INT4), ("b", _TEXT), ("c", BY_NAME["timestamptz"].oid)),
    ),
    TypeInfo(_PAIRS, "_pair", "public", "pair[]", TypeKind.ARRAY, inner_oid=_PAIR),
    TypeInfo(_HSTORE, "hstore", "public", "hstore", TypeKind.BASE, extension="hstore"),
)

#: What is known of the types of all cases.
CATALOG: Final = TypeCatalog()
CATALOG.learn(_INFOS)


def _builtin_cases() -> list[TypeCase]:
    cases: list[TypeCase] = []
    for oid in PREFERRED:
        name = BY_OID[oid].name
        if name == "void":
            cases.append(TypeCase(name, oid, None, wire=void))
        else:
            # What is not in the table is a text of one sort or another.
            cases.append(TypeCase(name, oid, _BUILTIN.get(name, text)))
    return cases


def _array(name: str, count: int) -> TypeCase:
    entry = BY_NAME[name]
    return TypeCase(f"{name}[{count}]", entry.array_oid, many(_BUILTIN.get(name, text), count))


def _json_case(name: str) -> TypeCase:
    declarations = tuple(json_codecs("json"))
    return TypeCase(f"{name}, json='json'", BY_NAME[name].oid, document, None, declarations, (json.dumps, json.loads))


#: By name. An array's name says how many elements a value has; it is one value all the same.
CASES: Final[dict[str, TypeCase]] = {
    case.name: case
    for case in (
        *_builtin_cases(),
        _array("int4", 20),
        _array("text", 20),
        _array("numeric", 20),
        _array("float8", 20),
        _array("timestamptz", 20),
        _array("uuid", 20),
        TypeCase("int4range", BY_NAME["int4range"].oid, span(integer(32))),
        TypeCase("tstzrange", BY_NAME["tstzrange"].oid, span(instant)),
        TypeCase("int4multirange", BY_NAME["int4multirange"].oid, many(span(integer(32)), 3)),
        TypeCase("composite", _PAIR, _composite),
        TypeCase("composite[5]", _PAIRS, many(_composite, 5)),
        TypeCase("record", BY_NAME["record"].oid, None, wire=anonymous),
        TypeCase("domain", _DOMAIN, integer(32)),
        TypeCase("enum", _ENUM, lambda source: source.choice(("red", "green", "blue"))),
        TypeCase(
            "enum, EnumCodec",
            _ENUM_CLASS,
            lambda source: source.choice(tuple(Color)),
            None,
            (EnumCodec("color", Color),),
            (lambda color: color.value, Color),
        ),
        TypeCase("hstore", _HSTORE, _hstore, None, (HSTORE,), "pg_contrib.hstore"),
        _json_case("json"),
        _json_case("jsonb"),
    )
}


def registry(case: TypeCase) -> Registry:
    """In which the case's declarations are in force."""
    found = Registry(catalog=CATALOG)
    found.declare(case.declarations)
    return found
