"""Values of every type on a real server: both ways, judged by what it prints of them, and beside asyncpg's.

`PGSANSIO_TEST_EXAMPLES` says how many values of each type are sent (see `tests.support.type_values`).
"""

import asyncio
import math
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from pgsansio.codecs import Registry
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.types import BitString, Box, Circle, Line, LineSegment, Path, Point, Polygon, Range
from tests.support.clients import Client, ours
from tests.support.servers import Server
from tests.support.type_values import DDL, INFOS, SCHEMA, TYPES, adapted, examples, plain

pytestmark = [pytest.mark.anyio, pytest.mark.server]

#: What texts are written for.
SETTINGS = {"TimeZone": "UTC", "lc_monetary": "C"}

CATALOG = TypeCatalog()
CATALOG.learn(INFOS)
REGISTRY = Registry(catalog=CATALOG)

NAMES = [name for name, entry in TYPES.items() if entry.is_input and not name.startswith("_")]

#: Types that asyncpg has other values of, or none -> why.
ASYNCPG_DIFFERS: Final[Mapping[str, str]] = {
    "timetz": "asyncpg loses the seconds of an offset",
    **dict.fromkeys(
        ("timestamptz", "tstzrange", "tstzmultirange", "nested"),
        "asyncpg makes a naive datetime of an infinite timestamptz",
    ),
    "circle": "asyncpg makes a tuple of it",
    "path": "asyncpg takes a path within an array for another dimension",
    "polygon": "asyncpg takes a polygon within an array for another dimension",
    "pg_lsn": "for asyncpg a pg_lsn is signed",
    "int2vector": "asyncpg sends what the server does not take",
    "oidvector": "asyncpg sends what the server does not take",
    "words": "asyncpg has no composites of which a part is text",
}

#: Arrays of these asyncpg reads as text, in which it writes over memory that is not its own: with enough of them the
#: process dies.
ASYNCPG_CRASHES: Final = frozenset(
    name
    for name in TYPES
    if name.startswith("reg") or name in ("money", "refcursor", "macaddr", "macaddr8", "tsvector", "tsquery", "aclitem")
)


@pytest.fixture(scope="module", autouse=True)
def user_types(postgres: Server) -> Iterator[None]:
    async def execute(sql: str) -> None:
        async with ours("asyncio", postgres).connect() as connection:
            await connection.execute(sql)

    asyncio.run(execute(DDL))
    yield
    asyncio.run(execute(f"DROP SCHEMA {SCHEMA} CASCADE"))


def known_to(server: Server, name: str) -> list[Any]:
    """Examples of a type's values."""
    if server.version < 15 and name == "_char":
        return [[], [None], [[b"a", b"\0"]]]
    values = list(examples(name))
    if server.version < 15 and name == "char":
        # A server before 15 prints a byte as it is, so that its text is none.
        values = [value for value in values if value <= b"\x7f"]
    return values


# What Python sends


async def check_sent(client: Client, connection: Any, name: str) -> None:
    entry = TYPES[name]
    sql = f"SELECT $1::{entry.sql} AS value, $1::{entry.sql}::text AS sent, $2::text::{entry.sql}::text AS meant"
    for value in known_to(client.server, name):
        given = value if client.is_ours else adapted(value, asyncpg.types)
        came, sent, meant = await connection.fetchrow(sql, given, entry.spell(value))
        assert sent == meant, f"{value!r} arrived as {sent}"
        assert plain(entry.key(came)) == plain(entry.key(entry.comes_back(value))), f"{value!r} came back as {came!r}"


@pytest.mark.parametrize("name", NAMES)
async def test_values_arrive_and_come_back(client: Client, name: str, request: pytest.FixtureRequest) -> None:
    if not client.is_ours and name in ASYNCPG_DIFFERS:
        request.applymarker(pytest.mark.xfail(reason=ASYNCPG_DIFFERS[name], strict=True))
    async with client.connect(server_settings=SETTINGS) as connection:
        await check_sent(client, connection, name)
        if client.is_ours or name not in ASYNCPG_CRASHES:
            await check_sent(client, connection, f"_{name}")


# Texts: what the codecs make of the server's, and the server of theirs


async def check_texts(server: Server, connection: Any, name: str) -> None:
    entry = TYPES[name]
    codec = REGISTRY.text_codec(entry.oid)
    sql = f"SELECT format('%s', $1::{entry.sql}), format('%s', $2::text::{entry.sql})"
    for value in known_to(server, name):
        theirs, back = await connection.fetchrow(sql, value, codec.encode(value).decode())
        assert back == theirs, f"{value!r} as text became {back}"
        came = codec.decode(theirs.encode())
        assert plain(entry.key(came)) == plain(entry.key(entry.comes_back(value))), f"{theirs} was read as {came!r}"


@pytest.mark.parametrize("name", NAMES)
def test_texts(postgres: Server, name: str) -> None:
    styles: list[dict[str, str]] = [{}]
    if name in ("bytea", "timestamptz", "tstzrange", "interval", "nested"):
        styles = [
            {"IntervalStyle": style, "bytea_output": "escape", "TimeZone": "<+0545>-05:45"}
            for style in ("postgres", "postgres_verbose", "sql_standard", "iso_8601")
        ]

    async def check() -> None:
        for style in styles:
            async with ours("asyncio", postgres).connect(server_settings=SETTINGS | style) as connection:
                await check_texts(postgres, connection, name)
                await check_texts(postgres, connection, f"_{name}")

    asyncio.run(check())


# What the server sends


def _truth(text: str) -> bool:
    return {"t": True, "f": False}[text]


def _float4(text: str) -> float:
    """The float4 nearest to the text, which the float8 nearest to it may be rounded away from."""
    number = float(text)
    if not math.isfinite(number) or not number:
        return number
    bits = int.from_bytes(struct.pack(">f", number), "big")
    neighbours = [struct.unpack(">f", (bits + step).to_bytes(4, "big"))[0] for step in (-1, 0, 1)]
    finite = [float(neighbour) for neighbour in neighbours if math.isfinite(neighbour)]
    return min(finite, key=lambda neighbour: abs(Decimal(neighbour) - Decimal(text)))


def _date(text: str) -> date:
    return {"infinity": date.max, "-infinity": date.min}.get(text) or date.fromisoformat(text)


def _timestamp(text: str) -> datetime:
    return {"infinity": datetime.max, "-infinity": datetime.min}.get(text) or datetime.fromisoformat(text)


def _timestamptz(text: str) -> datetime:
    return _timestamp(text).replace(tzinfo=UTC)


def _inet(text: str) -> object:
    return ip_interface(text) if "/" in text else ip_address(text)


def _lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return int(high, 16) * 2**32 + int(low, 16)


def _snapshot(text: str) -> tuple[int, int, tuple[int, ...]]:
    xmin, xmax, transactions = text.split(":")
    return int(xmin), int(xmax), tuple(map(int, filter(None, transactions.split(","))))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?[0-9][0-9.e+-]*|-?Infinity|NaN", text)]


def _points(text: str) -> list[Point]:
    numbers = _numbers(text)
    return [Point(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def _path(text: str) -> Path:
    return Path(*_points(text), is_closed=text.startswith("("))


def _circle(text: str) -> Circle:
    x, y, radius = _numbers(text)
    return Circle((x, y), radius)


def _integers(text: str) -> list[int]:
    return [int(number) for number in re.findall("-?[0-9]+", text)]


#: Type in SQL -> what makes a value of the server's text, literals.
SCALARS: Final[Mapping[str, tuple[Callable[[str], object], tuple[str, ...]]]] = {
    "bool": (_truth, ("yes", "off", "t")),
    "int2": (int, ("-32768", "32767", "0")),
    "int4": (int, ("-2147483648", "2147483647", " 7 ")),
    "int8": (int, ("-9223372036854775808", "9223372036854775807")),
    "oid": (int, ("0", "4294967295")),
    "xid": (int, ("0", "4294967295")),
    "cid": (int, ("0", "4294967295")),
    "xid8": (int, ("0", "18446744073709551615")),
    "float4": (_float4, ("0.1", "-0", "1e-45", "3.4028235e38", "NaN", "-Infinity", "7.038531e-26", "16777217")),
    "float8": (
        float,
        ("0.1", "-0", "5e-324", "1.7976931348623157e308", "NaN", "Infinity", "1e23", "123456789012345678"),
    ),
    "numeric": (
        Decimal,
        (
            *(
                "0",
                "0.000",
                "-0.0",
                "1.10",
                "10000",
                "-12345.6789",
                "1e-16383",
                "1e131071",
                "NaN",
                "-Infinity",
                "Infinity",
            ),
            *("1" + "0" * 131071 + "." + "0" * 16382 + "1", "0." + "0" * 16383, "9" * 1000, "1e4", "12e-5"),
        ),
    ),
    "numeric(10,3)": (Decimal, ("1.1", "9999999.9994", "-0.0004", "NaN")),
    "money": (str, ("0", "-1", "92233720368547758.07", "-92233720368547758.08", "1234.5")),
    "text": (str, ("", " a ", "déjà 漢 𝄞", "{}")),
    "varchar(5)": (str, ("abc  ", "")),
    "char(5)": (str, ("ab", "")),
    "name": (str, ("n" * 63, "")),
    '"char"': (lambda text: text.encode() or b"\0", ("a", "", "\\")),
    "bytea": (lambda text: bytes.fromhex(text[2:]), ("", r"\x00ff", r"a\000\\")),
    "uuid": (UUID, ("{a0eebc999c0b4ef8-bb6d6bb9bd380a11}", "00000000-0000-0000-0000-000000000000")),
    "date": (
        _date,
        ("0001-01-01", "0001-01-02", "9999-12-31", "9999-12-30", "1999-12-31", "2000-02-29", "infinity", "-infinity"),
    ),
    "time": (time.fromisoformat, ("00:00", "23:59:59.999999", "12:00:00.1")),
    "timetz": (time.fromisoformat, ("00:00+00", "23:59:59.999999-15:59:59", "12:00+05:30", "12:00:00.1-00:00:01")),
    "timestamp": (
        _timestamp,
        (
            "0001-01-01",
            "0001-01-01 00:00:00.000001",
            "9999-12-31 23:59:59.999998",
            "1999-12-31 23:59:59.999999",
            "infinity",
        ),
    ),
    "timestamp(0)": (_timestamp, ("2024-02-29 23:59:59.5", "-infinity")),
    "timestamptz": (
        _timestamptz,
        (
            *("0001-01-01 00:00+00", "0001-01-01 12:00+12", "9999-12-31 23:59:59.999998+00", "9999-12-31 12:00-11:59"),
            *("2024-02-29 12:00+05:30:15", "infinity", "-infinity"),
        ),
    ),
    "json": (str, (' {"a" : [1, null]} ', '"\\u0000"', "1e400")),
    "jsonb": (str, (' {"b" : [1, null], "a": 1.10} ', "[]", '"é\\u00e9"', "1e400", "-0.00")),
    "jsonpath": (str, ("$", "strict $.a[1 to last] ? (@.b > 1.50 && exists(@.c)).type()", 'lax $."é"')),
    "xml": (str, ("<a>é</a>", "", "text", "<!-- c --><a b='1'/>")),
    "inet": (
        _inet,
        (
            "1.2.3.4",
            "1.2.3.4/32",
            "1.2.3.4/24",
            "0.0.0.0/0",
            "::1",
            "::ffff:1.2.3.4/96",
            "fe80::1/64",
            "::/0",
            "ff::/128",
        ),
    ),
    "cidr": (ip_network, ("10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1", "192.168")),
    "macaddr": (str, ("08-00-2B-01-02-03", "0800.2b01.0203")),
    "macaddr8": (str, ("08:00:2b:01:02:03", "0102030405060708")),
    "point": (lambda text: Point(*_numbers(text)), ("1,2", "(-0,1e-300)", "(Infinity,NaN)")),
    "line": (lambda text: Line(*_numbers(text)), ("{1,-2.5,3}", "[(0,0),(1,1)]", "[(1,0),(1,5)]")),
    "lseg": (lambda text: LineSegment(*_points(text)), ("(0,0),(1,1)", "[(1e300,-1),(NaN,0)]")),
    "box": (lambda text: Box(*_points(text)), ("(0,0),(1,1)", "(0,1),(1,0)", "(-Infinity,NaN),(0,0)")),
    "path": (_path, ("((1,2),(3,4))", "[(1,2)]", "1,2")),
    "polygon": (lambda text: Polygon(*_points(text)), ("(1,2)", "((0,0),(1,1),(1,1))")),
    "circle": (_circle, ("<(1,2),3>", "<(-0,0),0>", "<(0,0),Infinity>")),
    "bit(9)": (BitString, ("000011110", "111111111")),
    "bit varying": (BitString, ("", "0", "1" * 17, "10000000")),
    "tid": (lambda text: tuple(_integers(text)), ("(0,0)", "(4294967295,65535)")),
    "pg_lsn": (_lsn, ("0/0", "7FFFFFFF/FFFFFFFF", "80000000/0", "FFFFFFFF/FFFFFFFF")),
    "pg_snapshot": (_snapshot, ("1:1:", "10:20:10,14,15", "1:9223372036854775807:9223372036854775806")),
    "txid_snapshot": (_snapshot, ("1:1:", "10:20:10,14,15")),
    "int2vector": (_integers, ("", "0", "1 -2 32767 -32768")),
    "oidvector": (_integers, ("", "1 23 4294967295")),
    "tsvector": (str, ("", "fat:2,4 cat:3A rat:5C", r"'a''b':16383 'c\\d'", "é:1B")),
    "tsquery": (str, ("", "fat & (rat | !cat:*AB)", "a <-> (b <2> c)", "'it''s' <0> x", r"'\\'")),
    "regtype": (str, ("int", "text[]", "timestamptz", '"char"', "0")),
    "regclass": (str, ("pg_class", "4294967295")),
    "regproc": (str, ("now", "0")),
    "regprocedure": (str, ("abs(int4)", "0")),
    "regoper": (str, ("||/", "0")),
    "regoperator": (str, ("+(int4,int4)", "!!(NONE,tsquery)")),
    "regconfig": (str, ("english",)),
    "regdictionary": (str, ("simple",)),
    "regnamespace": (str, ("pg_catalog",)),
    "regrole": (str, ("pg_monitor",)),
    "regcollation": (str, ('"C"',)),
    "aclitem": (str, ("pg_monitor=arwdDxt/pg_monitor", "=r*/pg_monitor")),
    "refcursor": (str, ("", "my cursor")),
    f"{SCHEMA}.mood": (str, ("NULL", 'in "quotes", \\ and, commas')),
    f"{SCHEMA}.positive": (int, ("2147483647",)),
}

_DAY: Final = timedelta(days=1)
_AWARE: Final = datetime(2024, 2, 29, 12, tzinfo=UTC)

#: Type in SQL -> literal -> value, for what no library reads.
COMPOSED: Final[Mapping[str, Mapping[str, object]]] = {
    "interval": {
        "1 year 2 mons 3 days 04:05:06.789": timedelta(428, 4 * 3600 + 5 * 60 + 6, 789000),
        "-1 years -1 mons +5 days": timedelta(-390),
        "1 mon": timedelta(30),
        "1 day -00:00:01": timedelta(0, 86399),
        "999999999 days 23:59:59.999999": timedelta.max,
        "-999999999 days": timedelta.min,
    },
    "int4[]": {
        "{}": [],
        "{NULL}": [None],
        "[0:1]={7,8}": [7, 8],
        "[-2147483648:-2147483647][5:5]={{7},{8}}": [[7], [8]],
        "[2147483646:2147483646]={1}": [1],
        "{{{{{{9}}}}}}": [[[[[[9]]]]]],
        "{{1,NULL},{NULL,4}}": [[1, None], [None, 4]],
    },
    "text[]": {
        r'{a,"",NULL,"NULL","a,b","{}","\"q\"","back\\slash",é}': [
            *("a", "", None, "NULL", "a,b", "{}", '"q"', "back\\slash", "é")
        ],
        "[3:3][-1:0]={{a,NULL}}": [["a", None]],
    },
    "box[]": {"{(1,1),(0,0);NULL;(3,3),(2,2)}": [Box((1, 1), (0, 0)), None, Box((3, 3), (2, 2))]},
    "numeric[]": {"{1.10,NaN,1e4,NULL}": [Decimal("1.10"), Decimal("NaN"), Decimal(10000), None]},
    "timestamptz[]": {'{"2024-02-29 13:00+01",NULL}': [_AWARE.replace(hour=12), None]},
    "bit varying[]": {'{101,"",NULL}': [BitString("101"), BitString(), None]},
    "path[]": {'{"((1,2),(3,4))","[(1,2)]"}': [Path((1, 2), (3, 4), is_closed=True), Path((1, 2))]},
    "int2vector[]": {'{"1 2",NULL,""}': [[1, 2], None, []]},
    "int4range": {
        "empty": Range(empty=True),
        "[3,3)": Range(empty=True),
        "[1,5]": Range(1, 6),
        "(1,5)": Range(2, 5),
        "(,)": Range(),
        "(,5]": Range(None, 6),
        "[2147483647,)": Range(2**31 - 1),
    },
    "int8range": {"[-9223372036854775808,9223372036854775806]": Range(-(2**63), 2**63 - 1)},
    "numrange": {
        "[1.10,2.50]": Range(Decimal("1.10"), Decimal("2.50"), upper_inc=True),
        "(-Infinity,NaN]": Range(Decimal("-Infinity"), Decimal("NaN"), lower_inc=False, upper_inc=True),
        "(1,1)": Range(empty=True),
    },
    "daterange": {
        "[2024-02-28,2024-02-29]": Range(date(2024, 2, 28), date(2024, 3, 1)),
        "[-infinity,infinity]": Range(date.min, date.max, upper_inc=True),
        "[0001-01-02,)": Range(date(1, 1, 2)),
    },
    "tsrange": {
        "[2024-02-29 12:00,infinity)": Range(datetime(2024, 2, 29, 12), datetime.max),
        "(,2024-02-29 12:00]": Range(None, datetime(2024, 2, 29, 12), upper_inc=True),
    },
    "tstzrange": {"[2024-02-29 13:00+01,2024-03-01 12:00+00)": Range(_AWARE, _AWARE + _DAY)},
    "int4multirange": {
        "{}": [],
        "{empty}": [],
        "{[1,3),[2,4],(10,)}": [Range(1, 5), Range(11)],
        "{(,)}": [Range()],
    },
    "nummultirange": {
        "{(1.0,2.0),[3,3]}": [
            Range(Decimal("1.0"), Decimal("2.0"), lower_inc=False),
            Range(Decimal(3), Decimal(3), upper_inc=True),
        ]
    },
    "datemultirange": {"{[2024-02-29,2024-02-29]}": [Range(date(2024, 2, 29), date(2024, 3, 1))]},
    "int4multirange[]": {'{"{[1,3),[5,)}","{}",NULL}': [[Range(1, 3), Range(5)], [], None]},
    f"{SCHEMA}.pair": {
        "(,)": {"a": None, "b c": None},
        r'(1,"a ""b"", (c), \\ d")': {"a": 1, "b c": 'a "b", (c), \\ d'},
        '(2,"")': {"a": 2, "b c": ""},
    },
    f"{SCHEMA}.pair[]": {r'{"(1,\"a,b\")",NULL,"(,)"}': [{"a": 1, "b c": "a,b"}, None, {"a": None, "b c": None}]},
    f"{SCHEMA}.pair_domain": {"(1,x)": {"a": 1, "b c": "x"}},
    f"{SCHEMA}.nested": {
        r'("(1,""a,b"")","{""(2,)"",NULL}",ok,7,"[1,3)","{[1.5,2)}","2024-02-29 12:00+00","{1.10,NULL}","{{a},{b}}")': {
            "p": {"a": 1, "b c": "a,b"},
            "ps": [{"a": 2, "b c": None}, None],
            "m": "ok",
            "d": 7,
            "r": Range(1, 3),
            "ms": [Range(Decimal("1.5"), Decimal(2))],
            "t": _AWARE,
            "n": [Decimal("1.10"), None],
            "x": [["a"], ["b"]],
        },
    },
    f"{SCHEMA}.words": {
        r'("$1,234.50","' "b" ":2 " "a" '",int4,5,"1 2")': {
            "m": "$1,234.50",
            "v": "'a' 'b':2",
            "r": "integer",
            "i": 5,
            "o": [1, 2],
        },
    },
    f"{SCHEMA}.tags": {"{a,NULL}": ["a", None]},
    f"{SCHEMA}.tags[]": {'{"{a,b}","{}",NULL}': [["a", "b"], [], None]},
    f"{SCHEMA}.span": {"[1,5]": Range(1, 6)},
    f"{SCHEMA}.textrange": {
        '["",)': Range(""),
        r'("a,""b""",c\)]': Range('a,"b"', "c)", lower_inc=False, upper_inc=True),
    },
    f"{SCHEMA}.textmultirange": {r'{["c d","d"" "),[a,b)}': [Range("a", "b"), Range("c d", 'd" ')]},
    f"{SCHEMA}.moodrange": {"[sad,NULL]": Range("sad", "NULL", upper_inc=True)},
}

#: The same for asyncpg.
ASYNCPG_READS_OTHERWISE: Final[Mapping[str, str]] = {
    "timetz": ASYNCPG_DIFFERS["timetz"],
    "timestamptz": ASYNCPG_DIFFERS["timestamptz"],
    "circle": ASYNCPG_DIFFERS["circle"],
    "pg_lsn": ASYNCPG_DIFFERS["pg_lsn"],
    f"{SCHEMA}.words": ASYNCPG_DIFFERS["words"],
}


def _quoted(literal: str) -> str:
    return "'" + literal.replace("'", "''") + "'"


async def fetch_made(connection: Any, sql_type: str, literals: Any) -> Any:
    """Each literal's value, and the text that the type's output function makes of it."""
    rows = ", ".join(f"({_quoted(literal)}::{sql_type})" for literal in literals)
    return await connection.fetch(f"SELECT v, format('%s', v) FROM (VALUES {rows}) AS t (v)")


@pytest.mark.parametrize("sql_type", [*SCALARS, *COMPOSED])
async def test_what_servers_make(client: Client, sql_type: str, request: pytest.FixtureRequest) -> None:
    if not client.is_ours and sql_type in ASYNCPG_READS_OTHERWISE:
        request.applymarker(pytest.mark.xfail(reason=ASYNCPG_READS_OTHERWISE[sql_type], strict=True))
    async with client.connect(server_settings=SETTINGS) as connection:
        if sql_type in SCALARS:
            read, literals = SCALARS[sql_type]
            for value, text in await fetch_made(connection, sql_type, literals):
                assert plain(value) == plain(read(text)), f"{text[:200]} came as {value!r}"
        else:
            expected = COMPOSED[sql_type]
            rows = await fetch_made(connection, sql_type, expected)
            for (value, text), meant in zip(rows, expected.values(), strict=True):
                assert plain(value) == plain(meant), f"{text[:200]} came as {value!r}"


#: Type in SQL -> literals of values that Python has not.
BEYOND_PYTHON: Final[Mapping[str, tuple[str, ...]]] = {
    "date": ("0001-12-31 BC", "4713-01-01 BC", "10000-01-01", "5874897-12-31"),
    "time": ("24:00",),
    "timetz": ("24:00+00",),
    "timestamp": ("0044-03-15 BC", "10000-01-01", "294276-12-31 23:59:59.999999", "4713-01-01 BC"),
    "timestamptz": ("0001-12-31 23:59:59+00 BC", "9999-12-31 23:59:59-01"),
    "interval": ("1000000000 days", "-1000000000 days", "3000000 years"),
    "daterange": ("[2024-01-01,10000-01-01)",),
    "date[]": ("{2024-01-01,10000-01-01}",),
}


@pytest.mark.parametrize("sql_type", BEYOND_PYTHON)
async def test_what_python_has_not(connection: Any, sql_type: str) -> None:
    for literal in BEYOND_PYTHON[sql_type]:
        with pytest.raises((ValueError, OverflowError)):
            await connection.fetchval(f"SELECT {_quoted(literal)}::{sql_type}")
        assert await connection.fetchval("SELECT 1") == 1


async def test_infinite_intervals(client: Client, connection: Any) -> None:
    if client.server.version < 17:
        pytest.skip("intervals are infinite since PostgreSQL 17")
    for literal in ("infinity", "-infinity"):
        with pytest.raises((ValueError, OverflowError)):
            await connection.fetchval(f"SELECT '{literal}'::interval")


async def test_anonymous_records(connection: Any) -> None:
    value = await connection.fetchval(
        """SELECT ROW(1, NULL::text, 'x'::text, ROW(1.10, 'a'::name), ROW(), '2024-02-29'::date,
        '\\x00ff'::bytea)"""
    )
    expected = (1, None, "x", (Decimal("1.10"), "a"), (), date(2024, 2, 29), b"\x00\xff")
    assert plain(value) == plain(expected)


@pytest.fixture
async def analyzed(connection: Any) -> AsyncIterator[None]:
    """A table with statistics of all kinds, and one with a default."""
    await connection.execute(
        """CREATE TEMP TABLE correlated AS SELECT i / 100 AS a, i / 100 AS b, i % 3 AS c
            FROM generate_series(1, 1000) AS i;
        CREATE STATISTICS pg_temp.summary (ndistinct, dependencies, mcv) ON a, b FROM correlated;
        CREATE TEMP TABLE defaults (x int4 DEFAULT 1 + 1);
        ANALYZE correlated"""
    )
    yield
    await connection.execute("DROP TABLE correlated, defaults")


@pytest.mark.usefixtures("analyzed")
async def test_what_only_servers_make(connection: Any) -> None:
    distinct, distinct_text, dependencies, dependencies_text, common, common_text = await connection.fetchrow(
        """SELECT stxdndistinct, stxdndistinct::text, stxddependencies, stxddependencies::text, stxdmcv, stxdmcv::text
        FROM pg_statistic_ext_data"""
    )
    assert distinct == distinct_text
    assert dependencies == dependencies_text
    assert common == bytes.fromhex(common_text[2:])
    tree, text = await connection.fetchrow(
        "SELECT adbin, adbin::text FROM pg_attrdef WHERE adrelid = 'defaults'::regclass"
    )
    assert tree == text


@pytest.mark.differs(
    asyncpg="cannot read columns of type `anyarray`, which are in `pg_stats`.",
    ours="Their values are text, as servers print them.",
)
@pytest.mark.usefixtures("analyzed")
async def test_arrays_of_any_type(connection: Any) -> None:
    common, text = await connection.fetchrow(
        "SELECT most_common_vals, most_common_vals::text FROM pg_stats WHERE tablename = 'correlated' AND attname = 'c'"
    )
    assert common == text
    assert sorted(_integers(common)) == [0, 1, 2]


async def test_pseudo_types(connection: Any) -> None:
    assert await connection.fetchval("SELECT pg_sleep(0)") is None
    assert await connection.fetchval("SELECT int4out(5)") == "5"
    assert await connection.fetchval("SELECT textin($1)", "é") == "é"


# asyncpg and ours on one server


def test_as_asyncpg(postgres: Server) -> None:
    """Values that the server makes of texts, read by both drivers: of the same class, and equal."""

    async def differing() -> set[str]:
        found: set[str] = set()
        theirs = await asyncpg.connect(postgres.dsn, server_settings=SETTINGS)
        try:
            async with ours("asyncio", postgres).connect(server_settings=SETTINGS) as connection:
                for name in NAMES:
                    for each in (name,) if name in ASYNCPG_CRASHES else (name, f"_{name}"):
                        if not await alike(connection, theirs, each):
                            found.add(each)
        finally:
            await theirs.close()
        return found

    async def alike(connection: Any, theirs: Any, name: str) -> bool:
        entry = TYPES[name]
        sql = f"SELECT $1::text::{entry.sql}"
        for value in known_to(postgres, name):
            text = entry.spell(value)
            try:
                other = await theirs.fetchval(sql, text)
            except asyncpg.UnsupportedClientFeatureError:
                return False
            if plain(await connection.fetchval(sql, text)) != plain(other):
                return False
        return True

    different = {"timetz", "timestamptz", "tstzrange", "tstzmultirange", "nested", "circle", "pg_lsn", "words"}
    assert asyncio.run(differing()) == different | {f"_{name}" for name in different}
