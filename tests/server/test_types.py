"""Values of every type, as they are read and as they are accepted."""

# ruff: noqa: E501 - a table

import array
import collections
import datetime as dt
import ipaddress
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from tests.support.clients import Client
from tests.support.statements import statements

pytestmark = [pytest.mark.anyio, pytest.mark.server]

UTC = dt.UTC


@dataclass(frozen=True)
class Row:
    """A row of the checklist's table: `types` are all that it names.

    What has to be made by the client's own module (`Range`, `Point`) is a function of the client.
    """

    types: str
    #: Expression in SQL -> value.
    reads: dict[str, Any] = field(default_factory=dict)
    #: (name of the type, value, the server's text of it)
    accepts: list[tuple[str, Any, str | None]] = field(default_factory=list)
    #: (name of the type, value, reason in the error's text)
    refuses: list[tuple[str, Any, str]] = field(default_factory=list)
    setup: str = "SELECT"


def own(name: str, *arguments: Any, **keywords: Any) -> Callable[[Client], Any]:
    """An instance of a class of the client's."""

    def make(client: Client) -> Any:
        return getattr(client, name)(*(a(client) if callable(a) else a for a in arguments), **keywords)

    return make


def made(client: Client, value: Any) -> Any:
    """The value itself, with the client's own instances in it."""
    if isinstance(value, list | tuple):
        return type(value)(made(client, item) for item in value)
    return value(client) if callable(value) else value


def no_str(value: object) -> str:
    return f"expected str, got {type(value).__name__}"


NO_INTEGER = "'str' object cannot be interpreted as an integer"
NO_BYTES = "a bytes-like object is required, not '{}'"
NO_RANGE = "list, tuple or Range object expected (got type <class '{}'>)"
NO_ARRAY = "a sized iterable container expected (got type '{}')"

LOCAL = dt.datetime(2020, 7, 2, 3, 4)

TABLE = [
    Row("bool", {"true": True}, [("bool", False, "false"), ("bool", None, None)], [
        ("bool", 1, "a boolean is required (got type int)"),
    ]),
    Row("int2 int4 int8", {"1::int2": 1, "(-2)::int4": -2, "-9223372036854775808": -(2**63), "3::int8": 3}, [
        ("int2", -32768, "-32768"), ("int4", True, "1"), ("int8", 2**63 - 1, "9223372036854775807"),
        ("int4", Decimal(7), "7"), ("int4", 7.0, "7"),
    ], [
        ("int2", 32768, "value out of int16 range"), ("int4", -(2**31) - 1, "value out of int32 range"),
        ("int8", 2**63, "value out of int64 range"), ("int4", "1", NO_INTEGER),
    ]),
    Row("oid xid cid", {"4294967295::oid": 2**32 - 1, "'7'::xid": 7, "'8'::cid": 8}, [
        ("oid", 5, "5"), ("xid", 2**32 - 1, "4294967295"), ("cid", 0, "0"),
    ], [("oid", 2**32, "value out of uint32 range"), ("xid", -1, "value out of uint32 range")]),
    Row("xid8 oid8", {"'18446744073709551615'::xid8": 2**64 - 1}, [("xid8", 2**64 - 1, "18446744073709551615")], [
        ("xid8", -1, "value out of uint64 range"), ("xid8", 2**64, "value out of uint64 range"),
    ]),
    Row("float4 float8", {
        "0.1::float4": 0.10000000149011612, "'nan'::float8": float("nan"), "'-inf'::float4": float("-inf"),
        "'-0'::float8": -0.0,
    }, [
        ("float8", 1, "1"), ("float8", Decimal("1.5"), "1.5"), ("float4", float("inf"), "Infinity"),
    ], [("float8", "1", "must be real number, not str"), ("float4", 1e300, "value out of float32 range")]),
    Row("numeric", {
        "1.10::numeric": Decimal("1.10"), "'NaN'::numeric": Decimal("NaN"), "'-inf'::numeric": Decimal("-Infinity"),
        "0.000::numeric": Decimal("0.000"),
    }, [
        ("numeric", Decimal("1.10"), "1.10"), ("numeric", 7, "7"), ("numeric", "1.50", "1.50"),
        ("numeric", 1.1, "1.100000000000000088817841970012523233890533447265625"), ("numeric", float("nan"), "NaN"),
        ("numeric", Decimal("Infinity"), "Infinity"), ("numeric", Decimal("1E-16383"), "0." + "0" * 16382 + "1"),
    ], [
        ("numeric", Decimal("1E-16384"), "cannot encode Decimal value into numeric: exponent is too small"),
        ("numeric", [], "argument must be a sequence of length 3"),
    ]),
    Row("text varchar bpchar name xml cstring", {
        "'x'": "x", "'€'::varchar": "€", "'x'::char(3)": "x  ", "'x'::name": "x", "'<a/>'::xml": "<a/>",
        "'x'::cstring": "x",
    }, [
        ("text", "", ""), ("varchar", "€", "€"), ("bpchar", "x ", "x"), ("name", "x", "x"), ("xml", "<a/>", "<a/>"),
        ("cstring", "x", "x"),
    ], [
        ("text", 1, no_str(1)), ("varchar", b"x", no_str(b"")), ("xml", 1, no_str(1)),
        ("text", "\ud800", "'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed"),
    ]),
    Row('"char"', {"'x'::\"char\"": b"x", "''::\"char\"": b"\0"}, [('"char"', bytearray(b"x"), "x")], [
        ('"char"', "x", NO_BYTES.format("str")),
    ]),
    Row("bytea", {r"'\xff00'::bytea": b"\xff\0"}, [
        ("bytea", b"", "\\x"), ("bytea", bytearray(b"x"), "\\x78"), ("bytea", memoryview(b"xyz")[1:], "\\x797a"),
        ("bytea", array.array("B", [1]), "\\x01"),
    ], [("bytea", "x", NO_BYTES.format("str")), ("bytea", [1], NO_BYTES.format("list"))]),
    Row("json", {"""'{"a":1}'::json""": '{"a":1}'}, [("json", "[1]", "[1]")], [("json", {}, no_str({}))]),
    Row("jsonb", {"""'{"a":1}'::jsonb""": '{"a": 1}'}, [("jsonb", "[1,2]", "[1, 2]")], [("jsonb", 1, no_str(1))]),
    Row("jsonpath", {"'$.a'::jsonpath": '$."a"'}, [("jsonpath", "$", "$")], [("jsonpath", 1, no_str(1))]),
    Row("uuid", {}, [
        ("uuid", uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("uuid", "00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000a"),
        ("uuid", "1" * 32, "11111111-1111-1111-1111-111111111111"),
    ], [
        ("uuid", "x", "invalid UUID 'x': length must be between 32..36 characters, got 1"),
        ("uuid", "g" * 32, f"invalid UUID '{'g' * 32}': unexpected character 'g'"),
    ]),
    Row("date", {
        "'2020-01-02'::date": dt.date(2020, 1, 2), "'infinity'::date": dt.date.max, "'-infinity'::date": dt.date.min,
    }, [
        ("date", dt.date(1, 1, 2), "0001-01-02"), ("date", dt.date.max, "infinity"), ("date", dt.date.min, "-infinity"),
        ("date", dt.datetime(2020, 1, 2, 3), "2020-01-02"),
    ]),
    Row("timestamp", {
        "'2020-01-02 03:04:05.678901'::timestamp": dt.datetime(2020, 1, 2, 3, 4, 5, 678901),
        "'infinity'::timestamp": dt.datetime.max, "'-infinity'::timestamp": dt.datetime.min,
    }, [
        ("timestamp", dt.datetime(1900, 1, 2, 3, 4, 5, 6), "1900-01-02 03:04:05.000006"),
        ("timestamp", dt.date(2020, 1, 2), "2020-01-02 00:00:00"), ("timestamp", dt.datetime.max, "infinity"),
        ("timestamp", dt.datetime.min, "-infinity"),
    ], [
        ("timestamp", dt.datetime(2020, 1, 2, tzinfo=UTC), "can't subtract offset-naive and offset-aware datetimes"),
        ("timestamp", "x", "expected a datetime.date or datetime.datetime instance, got 'str'"),
    ]),
    Row("timestamptz", {
        "'2020-01-02 03:04:05+02'::timestamptz": dt.datetime(2020, 1, 2, 1, 4, 5, tzinfo=UTC),
    }, [
        ("timestamptz", dt.datetime(2020, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2))),
         "2020-01-02 01:00:00+00"),
        # The client's local time.
        ("timestamptz", LOCAL, f"{LOCAL.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00"),
        ("timestamptz", LOCAL.date(), f"{dt.datetime(2020, 7, 2).astimezone(UTC):%Y-%m-%d %H:%M:%S}+00"),
        ("timestamptz", dt.datetime.max, "infinity"), ("timestamptz", dt.datetime.min, "-infinity"),
    ], [("timestamptz", 5, "expected a datetime.date or datetime.datetime instance, got 'int'")],
    setup="SET timezone = 'UTC'"),
    Row("time", {"'03:04:05.5'::time": dt.time(3, 4, 5, 500_000)}, [
        ("time", dt.time(1, 2, 3, 4), "01:02:03.000004"), ("time", dt.time(1, 2, tzinfo=UTC), "01:02:00"),
    ]),
    Row("timetz", {
        "'03:04:05+02:30'::timetz": dt.time(3, 4, 5, tzinfo=dt.timezone(dt.timedelta(hours=2, minutes=30))),
    }, [("timetz", dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-2))), "01:02:00-02")]),
    Row("interval", {
        "'1 year 2 months 3 days 04:05:06.7'::interval": dt.timedelta(428, 4 * 3600 + 5 * 60 + 6.7),
        "'-1 day 00:00:01'::interval": dt.timedelta(-1, 1),
    }, [
        ("interval", dt.timedelta(40, 5, 6), "40 days 00:00:05.000006"),
        ("interval", dt.timedelta.max, "999999999 days 23:59:59.999999"),
    ]),
    Row("bit varbit", {"B'101'": own("BitString", "101"), "B'100000001'::varbit": own("BitString", "1000 0000 1")}, [
        ("bit(3)", own("BitString", "101"), "101"), ("varbit", own("BitString", ""), ""), ("varbit", b"\xf0", "11110000"),
    ], [("varbit", "101", NO_BYTES.format("str")), ("varbit", 5, NO_BYTES.format("int"))]),
    Row("money", {"12.5::money": "$12.50"}, [("money", "1.5", "$1.50")], [("money", 5, no_str(5))],
        setup="SET lc_monetary = 'C'"),
    Row("inet", {
        "'10.0.0.1'::inet": ipaddress.ip_address("10.0.0.1"), "'10.0.0.1/8'::inet": ipaddress.ip_interface("10.0.0.1/8"),
        "'::1'::inet": ipaddress.ip_address("::1"), "'::1/8'::inet": ipaddress.ip_interface("::1/8"),
    }, [
        ("inet", ipaddress.ip_address("::1"), "::1/128"), ("inet", ipaddress.ip_interface("10.0.0.1/8"), "10.0.0.1/8"),
        ("inet", "10.0.0.1", "10.0.0.1/32"), ("inet", 5, "0.0.0.5/32"), ("inet", b"\n\0\0\1", "10.0.0.1/32"),
    ], [("inet", "x", "'x' does not appear to be an IPv4 or IPv6 interface")]),
    Row("cidr", {
        "'10.0.0.0/8'::cidr": ipaddress.ip_network("10.0.0.0/8"), "'::/8'::cidr": ipaddress.ip_network("::/8"),
    }, [
        ("cidr", ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"), ("cidr", "::/8", "::/8"), ("cidr", 5, "0.0.0.5/32"),
    ], [
        ("cidr", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("cidr", ipaddress.ip_interface("10.0.0.1/8"), "10.0.0.1/8 has host bits set"),
    ]),
    Row("macaddr macaddr8", {
        "'08002b010203'::macaddr": "08:00:2b:01:02:03", "'08002b0102030405'::macaddr8": "08:00:2b:01:02:03:04:05",
    }, [
        ("macaddr", "08-00-2b-01-02-03", "08:00:2b:01:02:03"), ("macaddr8", "08002b0102030405", "08:00:2b:01:02:03:04:05"),
    ], [("macaddr", 5, no_str(5))]),
    Row("point line lseg box path polygon circle", {
        "'(1,2)'::point": own("Point", 1, 2), "'{1,2,3}'::line": own("Line", 1, 2, 3),
        "'((1,2),(3,4))'::lseg": own("LineSegment", (1, 2), (3, 4)),
        "'((1,2),(3,4))'::box": own("Box", (3, 4), (1, 2)),
        "'((1,2),(3,4))'::path": own("Path", (1, 2), (3, 4), is_closed=True),
        "'[(1,2),(3,4)]'::path": own("Path", (1, 2), (3, 4), is_closed=False),
        "'((1,2),(3,4))'::polygon": own("Polygon", (1, 2), (3, 4)), "'<(1,2),3>'::circle": own("Circle", (1, 2), 3),
    }, [
        ("point", own("Point", 1, 2), "(1,2)"), ("point", (1, 2), "(1,2)"), ("line", (1, 2, 3), "{1,2,3}"),
        ("lseg", ((1, 2), (3, 4)), "[(1,2),(3,4)]"), ("box", ((3, 4), (1, 2)), "(3,4),(1,2)"),
        ("path", ((1, 2), (3, 4)), "((1,2),(3,4))"), ("path", [(1, 2), (3, 4)], "[(1,2),(3,4)]"),
        ("path", own("Path", (1, 2), is_closed=False), "[(1,2)]"), ("polygon", [(1, 2)], "((1,2))"),
        ("circle", ((1, 2), 3), "<(1,2),3>"),
    ], [("point", "ab", "must be real number, not str")]),
    Row("ranges", {
        "'[1,5)'::int4range": own("Range", 1, 5), "'(,5)'::int8range": own("Range", None, 5, lower_inc=False),
        "'empty'::int4range": own("Range", empty=True),
        "'[1.5,2]'::numrange": own("Range", Decimal("1.5"), Decimal(2), upper_inc=True),
        "'[2020-01-01,)'::daterange": own("Range", dt.date(2020, 1, 1)),
        "'(2020-01-01,)'::tsrange": own("Range", dt.datetime(2020, 1, 1), lower_inc=False),
    }, [
        ("int4range", own("Range", 1, 5), "[1,5)"), ("int4range", (1, 5), "[1,6)"), ("int4range", [1], "[1,)"),
        ("int4range", (), "empty"), ("int4range", (None, 5), "(,6)"), ("int4range", own("Range", empty=True), "empty"),
    ], [
        ("int4range", (1, 2, 3), "expected 0, 1 or 2 elements in range (got 3)"), ("int4range", 5, NO_RANGE.format("int")),
        ("int4range", "ab", NO_RANGE.format("str")), ("int4range", ("x", 1), NO_INTEGER),
    ]),
    Row("multiranges", {
        "'{[1,2),[5,6)}'::int4multirange": [own("Range", 1, 2), own("Range", 5, 6)], "'{}'::int4multirange": [],
    }, [
        ("int4multirange", [(1, 2), own("Range", 5, 7)], "{[1,3),[5,7)}"), ("int4multirange", (), "{}"),
    ], [
        ("int4multirange", 5, "expected a sequence (got type 'int')"), ("int4multirange", ["x"], NO_RANGE.format("str")),
    ]),
    Row("arrays", {
        "ARRAY[1,NULL,3]": [1, None, 3], "ARRAY[[1,2],[3,4]]": [[1, 2], [3, 4]], "'[3:4]={1,2}'::int4[]": [1, 2],
        "'{}'::int4[]": [], "ARRAY['a','','NULL']": ["a", "", "NULL"], "ARRAY['a b','\"']::name[]": ["a b", '"'],
        "ARRAY['(1,2),(0,0)','(3,4),(0,0)']::box[]": [own("Box", (1, 2), (0, 0)), own("Box", (3, 4), (0, 0))],
        "ARRAY['1:2','NULL',NULL]::tsvector[]": ["'1':2", "'NULL'", None],
    }, [
        ("int4[]", [1, None], "{1,NULL}"), ("int4[]", [[1], [2]], "{{1},{2}}"), ("int4[]", (1, 2), "{1,2}"),
        ("int4[]", {1}, "{1}"), ("int4[]", range(3), "{0,1,2}"), ("int4[]", collections.deque([1]), "{1}"),
        ("int4[]", [], "{}"), ("int4[]", [[], []], "{}"), ("int4[]", [[[[[[1]]]]]], "{{{{{{1}}}}}}"),
        ("text[]", ["a", "", "NULL"], '{a,"","NULL"}'), ("point[]", [(1, 2), (3, 4)], '{"(1,2)","(3,4)"}'),
        ("tsvector[]", ["a b", None, "{"], "{\"'a' 'b'\",NULL,\"'{'\"}"),
    ], [
        ("int4[]", "12", NO_ARRAY.format("str")), ("int4[]", b"12", NO_ARRAY.format("bytes")),
        ("int4[]", {1: 2}, NO_ARRAY.format("dict")), ("int4[]", 5, NO_ARRAY.format("int")),
        ("int4[]", [[1], [2, 3]], "non-homogeneous array"), ("int4[]", [1, [2]], "non-homogeneous array"),
        ("int4[]", [[[[[[[1]]]]]]], "number of array dimensions (7) exceed the maximum expected (6)"),
        ("int4[]", ["x"], f"invalid array element at index 0: {NO_INTEGER}"),
        ("int4[]", [(1, 2)], "invalid array element at index 0: 'tuple' object cannot be interpreted as an integer"),
    ]),
    Row("composite", {}, [
        ("pg_temp.pair", (1, "x"), "(1,x)"), ("pg_temp.pair", [1, None], "(1,)"), ("pg_temp.pair", {"b": "x"}, "(,x)"),
        ("pg_temp.pair", {}, "(,)"), ("pg_temp.pair[]", [(1, "x"), {"a": 2}], '{"(1,x)","(2,)"}'),
    ], [
        ("pg_temp.pair", {"bad": 1}, "'bad' is not a valid element of composite type "), ("pg_temp.pair", ("x", "y"), NO_INTEGER),
    ], setup="CREATE TYPE pg_temp.pair AS (a int, b text)"),
    Row("anonymous record", {"ROW(1,'x')": (1, "x"), "ROW(1,ROW(2,NULL::int))": (1, (2, None)), "ROW()": ()}),
    Row("enum", {"'a'::pg_temp.mood": "a"}, [("pg_temp.mood", "b", "b")], [("pg_temp.mood", 5, no_str(5))],
        setup="CREATE TYPE pg_temp.mood AS ENUM ('a', 'b')"),
    Row("domain", {"5::pg_temp.d": 5, "'{1}'::pg_temp.e": [1]}, [("pg_temp.d", 5, "5"), ("pg_temp.e", [1, 2], "{1,2}")], [
        ("pg_temp.d", "x", NO_INTEGER),
    ], setup="CREATE DOMAIN pg_temp.d AS int CHECK (value > 0); CREATE DOMAIN pg_temp.e AS pg_temp.d[]"),
    Row("tid", {"'(1,2)'::tid": (1, 2)}, [("tid", (1, 2), "(1,2)"), ("tid", [3, 4], "(3,4)")], [
        ("tid", 5, "list or tuple expected (got type <class 'int'>)"),
        ("tid", (1,), "invalid number of elements in tid tuple, expecting 2"),
        ("tid", (2**32, 1), "tuple id block value out of uint32 range"),
    ]),
    Row("txid_snapshot pg_snapshot", {
        "'10:20:10,14'::txid_snapshot": (10, 20, (10, 14)), "'10:20:'::pg_snapshot": (10, 20, ()),
    }, [
        ("txid_snapshot", (10, 20, (10, 14)), "10:20:10,14"), ("pg_snapshot", [10, 20, [14]], "10:20:14"),
    ], [("pg_snapshot", 5, "list or tuple expected (got type <class 'int'>)")]),
    Row("pg_lsn", {"'1/10'::pg_lsn": 2**32 + 16}, [("pg_lsn", 16, "0/10")], [("pg_lsn", "0/10", NO_INTEGER)]),
    Row("tsvector tsquery gtsvector", {"'b a'::tsvector": "'a' 'b'", "'a & b'::tsquery": "'a' & 'b'"}, [
        ("tsvector", "b a", "'a' 'b'"), ("tsquery", "a&b", "'a' & 'b'"),
    ], [("tsvector", 5, no_str(5))]),
    Row("int2vector oidvector", {"'1 2'::int2vector": [1, 2], "'1 2'::oidvector": [1, 2]}),
    Row("reg* refcursor aclitem pg_node_tree unknown", {
        "'int4in'::regproc": "int4in", "'abs(int4)'::regprocedure": "abs(integer)", "'pg_class'::regclass": "pg_class",
        "'||/'::regoper": "||/", "'+(int4,int4)'::regoperator": "+(integer,integer)", "'int4'::regtype": "integer",
        "'simple'::regconfig": "simple", "'simple'::regdictionary": "simple", "'pg_catalog'::regnamespace": "pg_catalog",
        "'pg_monitor'::regrole": "pg_monitor", "'\"C\"'::regcollation": '"C"', "'x'::refcursor": "x", "'x'::unknown": "x",
        "'=r/pg_monitor'::aclitem": "=r/pg_monitor", "NULL::pg_node_tree": None, "NULL::pg_ndistinct": None,
        "NULL::pg_dependencies": None,
    }, [
        ("regclass", "pg_class", "pg_class"), ("regtype", "int4", "integer"), ("refcursor", "x", "x"),
        ("aclitem", "=r/pg_monitor", "=r/pg_monitor"), ("unknown", "x", "x"),
    ], [("regclass", 1259, no_str(5)), ("regproc", 5, no_str(5)), ("aclitem", 5, no_str(5))]),
    Row("pg_mcv_list", {"NULL::pg_mcv_list": None}),
    Row("void", {"pg_notify('a', 'b')": None}, [("void", "", "")]),
]  # fmt: skip


def rows(chosen: Callable[[Row], Any]) -> list[Any]:
    """The rows of which this is not empty, as parameters."""
    return [
        pytest.param(row, id=row.types, marks=pytest.mark.checklist(f"15 {row.types}")) for row in TABLE if chosen(row)
    ]


def same(value: Any, expected: Any) -> bool:
    """Equal, of the same type, and of the same appearance where that is not the same: 1.1 and 1.10, 0.0 and -0.0."""
    if type(value) is not type(expected):
        return False
    if isinstance(value, list | tuple) and len(value) == len(expected) and type(value) in (list, tuple):
        return all(map(same, value, expected))
    return repr(value) == repr(expected) if isinstance(value, float | Decimal) else bool(value == expected)


@pytest.mark.parametrize("row", rows(lambda row: row.reads))
async def test_what_is_read(client: Client, connection: Any, row: Row) -> None:
    await connection.execute(row.setup)
    for expression, expected in row.reads.items():
        value = await connection.fetchval(f"SELECT {expression}")
        assert same(value, made(client, expected)), (expression, value)
        # There are no arrays of arrays, nor of some types of which the table reads NULL alone, nor of cstring here.
        if value is not None and not isinstance(value, list) and "cstring" not in expression:
            values = await connection.fetchval(f"SELECT ARRAY[{expression}, NULL]")
            assert same(values, [value, None]), (expression, values)


@pytest.mark.parametrize("row", rows(lambda row: row.accepts))
async def test_what_is_accepted(client: Client, connection: Any, row: Row) -> None:
    await connection.execute(row.setup)
    for type_name, value, text in row.accepts:
        own_value = made(client, value)
        assert await connection.fetchval(f"SELECT ($1::{type_name})::text", own_value) == text, value
        assert await connection.fetchval(f"SELECT ($1::{type_name})::text", None) is None


@pytest.mark.parametrize("row", rows(lambda row: row.refuses))
async def test_what_is_refused(client: Client, connection: Any, row: Row) -> None:
    await connection.execute(row.setup)
    for type_name, value, reason in row.refuses:
        with pytest.raises(client.DataError) as caught:
            await connection.fetchval(f"SELECT $1::{type_name}", value)
        told = str(caught.value)
        assert told.startswith("invalid input for query argument $1: "), told
        assert reason in told, told


@pytest.mark.checklist("15 uuid")
async def test_a_uuid_is_one_of_the_standard_library_too(connection: Any) -> None:
    value = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    read = await connection.fetchval(f"SELECT '{value}'::uuid")
    assert isinstance(read, uuid.UUID)
    assert type(read) is not uuid.UUID
    assert (read, hash(read), str(read), read.bytes) == (value, hash(value), str(value), value.bytes)
    assert await connection.fetchval("SELECT $1::uuid", read) == value


@pytest.mark.checklist("15 anonymous record")
async def test_anonymous_records_are_no_arguments(client: Client, connection: Any) -> None:
    with pytest.raises(client.UnsupportedClientFeatureError) as caught:
        await connection.fetchval("SELECT $1::record", (1, 2))
    assert "input of anonymous composite types is not supported" in str(caught.value)
    assert "PostgreSQL does not implement anonymous composite type input" in caught.value.detail
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.checklist("15 composite", "R-10")
async def test_composite_values_are_records_of_the_base_class(client: Client, connection: Any) -> None:
    class Mine(client.Record):  # type: ignore[misc,name-defined]
        pass

    await connection.execute("CREATE TYPE pg_temp.inner_pair AS (x int, y text[])")
    await connection.execute("CREATE TYPE pg_temp.pair AS (a pg_temp.inner_pair, b int)")
    query = "SELECT ROW(ROW(1, '{p}'), 2)::pg_temp.pair AS pair, ROW(3, ROW(4, '{}')::pg_temp.inner_pair) AS other"
    row = await connection.fetchrow(query, record_class=Mine)
    assert type(row) is Mine
    pair, other = row
    assert type(pair) is type(pair["a"]) is client.Record
    assert repr(pair) == "<Record a=<Record x=1 y=['p']> b=2>"
    assert (type(other), type(other[1]), other) == (tuple, client.Record, (3, (4, [])))
    # What was read is accepted, in parts as well.
    for value in (pair, ((1, ["p"]), 2), {"a": {"x": 1, "y": ["p"]}, "b": 2}, (pair["a"], 2)):
        assert await connection.fetchval("SELECT $1::pg_temp.pair", value) == pair


@pytest.mark.checklist("TY-4")
@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP", "WIN1251"])
async def test_a_database_of_another_encoding(client: Client, connection: Any, encoding: str) -> None:
    text = {"LATIN1": "é", "EUC_JP": "日", "WIN1251": "ж"}[encoding]
    name = f"types_{encoding.lower()}"
    await connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        async with client.connect(database=name) as other:
            assert await other.fetchval("SHOW server_encoding") == encoding
            assert await other.fetchval("SELECT $1::text", text) == text
            assert await other.fetchval(f"SELECT '{text}'") == text
            assert await other.fetchrow(f'SELECT $1::text[] AS "{text}"', [text]) == ([text],)
            with pytest.raises(client.PostgresError, match=text):
                await other.execute(f"DO $$BEGIN RAISE '{text}'; END$$")
            with pytest.raises(client.UntranslatableCharacterError):
                await other.fetchval("SELECT $1::text", "\N{SNOWMAN}")
    finally:
        await connection.execute(f"DROP DATABASE {name}")


@pytest.mark.checklist("TY-4")
@pytest.mark.differs(
    asyncpg="takes another `client_encoding`, and sends the text of queries in UTF-8 all the same.",
    ours="speaks UTF-8, which the server converts to whatever the database has; `connect(client_encoding=...)` and its "
    "kin are refused.",
)
@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JIS_2004", "SQL_ASCII"])
async def test_another_client_encoding_is_refused(client: Client, encoding: str) -> None:
    with pytest.raises(client.ClientConfigurationError, match="client_encoding is expected to be 'UTF8'"):
        async with client.connect(server_settings={"client_encoding": encoding}):
            pass


@pytest.mark.checklist("TY-4")
@pytest.mark.differs(
    asyncpg="turns letters of queries into others after `SET client_encoding`.",
    ours="`SET client_encoding` to anything but UTF8 is a `ProtocolError`, and ends the connection.",
)
async def test_another_client_encoding_later_on(client: Client) -> None:
    async with client.connect() as connection:
        await connection.execute("SET client_encoding = 'utf-8'")
        assert await connection.fetchval("SELECT 'é'") == "é"
        with pytest.raises(client.ProtocolError, match="client_encoding is 'LATIN1'"):
            await connection.execute("SET client_encoding = 'LATIN1'")
        assert connection.is_closed()


NUMBERS = [
    *("0", "1", "-1", "0.0", "1.10", "100.00", "0.00000001", "123456789012345678901234567890.0123456789", "-0.000100"),
    *(
        "9999",
        "9999.9999",
        "1.0000",
        "10000.5",
        "99999999999999999999",
        "0." + "0" * 16382 + "1",
        "1" + "0" * 200 + "1",
    ),
]


@pytest.mark.checklist("TY-5")
async def test_numbers_keep_their_digits(connection: Any) -> None:
    for text in NUMBERS:
        read = await connection.fetchval("SELECT $1::text::numeric", text)
        assert read.as_tuple() == Decimal(text).as_tuple(), text
        for value in (Decimal(text), text):
            assert await connection.fetchval("SELECT $1::numeric::text", value) == text


@pytest.mark.checklist("TY-5")
@pytest.mark.differs(
    asyncpg="reads integers that end in zeros with an exponent: 10000 is `Decimal('1E+4')`.",
    ours="A `numeric` is the `Decimal` of the server's own text.",
)
@pytest.mark.parametrize("text", ["10000", "-120000000000", "1" + "0" * 1000])
async def test_round_numbers_have_no_exponent(connection: Any, text: str) -> None:
    read = await connection.fetchval("SELECT $1::text::numeric", text)
    assert str(read) == text


@pytest.mark.checklist("15 int2 int4 int8", "15 text varchar bpchar name xml cstring", "E-3")
async def test_refused_arguments_are_not_sent(client: Client, connection: Any) -> None:
    async with connection.transaction():
        assert await connection.fetchrow("SELECT $1::int4, $2::text", 1, "x") == (1, "x")
        async with statements(client, connection) as executed:
            for arguments in (("1", "x"), (1, 2), ([1], "x"), (object(), "x")):
                with pytest.raises(client.DataError) as caught:
                    await connection.fetchrow("SELECT $1::int4, $2::text", *arguments)
                assert (caught.value.sqlstate, isinstance(caught.value, client.PostgresError)) == ("22000", True)
        assert executed == []
        assert await connection.fetchval("SELECT 1") == 1


class Whole:
    def __int__(self) -> int:
        return 7


class Index:
    def __index__(self) -> int:
        return 7


class Real:
    def __float__(self) -> float:
        return 1.5


@pytest.mark.checklist("15 int2 int4 int8", "15 float4 float8")
async def test_what_can_become_a_number(connection: Any) -> None:
    for type_name in ("int2", "int4", "int8", "oid", "xid8"):
        assert await connection.fetchval(f"SELECT $1::{type_name}", Whole()) == 7
    for type_name in ("int2", "int4", "int8"):
        assert await connection.fetchval(f"SELECT $1::{type_name}", Index()) == 7
    for type_name in ("float4", "float8"):
        assert await connection.fetchval(f"SELECT $1::{type_name}", Real()) == 1.5


@pytest.mark.checklist("15 int2 int4 int8", "15 float4 float8", "15 arrays")
async def test_numbers_of_numpy(client: Client, connection: Any) -> None:
    numpy = pytest.importorskip("numpy")
    for type_name, value in (
        ("int2", numpy.uint8(7)),
        ("int8", numpy.int64(7)),
        ("oid", numpy.int32(7)),
        ("float8", numpy.float32(7)),
        ("float4", numpy.float64(7)),
    ):
        assert await connection.fetchval(f"SELECT $1::{type_name}", value) == 7
    assert await connection.fetchval("SELECT $1::float8[]", numpy.array([1.5, 2])) == [1.5, 2]
    assert await connection.fetchval("SELECT $1::int4[]", numpy.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    with pytest.raises(client.DataError, match="a boolean is required"):
        await connection.fetchval("SELECT $1::bool", numpy.bool_(True))


@pytest.mark.checklist("15 pg_mcv_list", "15 reg* refcursor aclitem pg_node_tree unknown")
async def test_statistics_and_trees(connection: Any) -> None:
    await connection.execute("""
        CREATE TEMP TABLE t AS SELECT g / 10 AS a, g / 10 AS b FROM generate_series(1, 100) AS g;
        CREATE STATISTICS pg_temp.s ON a, b FROM t;
        ANALYZE t;
    """)
    numbers, dependencies, most_common = await connection.fetchrow(
        "SELECT stxdndistinct, stxddependencies, stxdmcv FROM pg_statistic_ext_data"
    )
    assert [type(value) for value in (numbers, dependencies, most_common)] == [str, str, bytes]
    assert "1 => 2" in dependencies
    tree = await connection.fetchval("SELECT proargdefaults FROM pg_proc WHERE proargdefaults IS NOT NULL LIMIT 1")
    assert tree.startswith("({CONST")


@pytest.mark.checklist("15 pseudo-types")
async def test_pseudo_types(client: Client, connection: Any) -> None:
    assert await connection.fetchval("SELECT NULL::anyelement") is None
    assert await connection.fetchval("SELECT $1::anyelement", None) is None
    for type_name in ("trigger", "language_handler", "event_trigger"):
        with pytest.raises(client.FeatureNotSupportedError, match=f"cannot accept a value of type {type_name}"):
            await connection.fetchval(f"SELECT NULL::{type_name}")


@pytest.mark.checklist("15 pseudo-types")
@pytest.mark.differs(
    asyncpg="cannot read columns of type `anyarray`: `InternalClientError`.", ours="reads them, as text."
)
async def test_columns_of_any_array(connection: Any) -> None:
    await connection.execute("CREATE TEMP TABLE t AS SELECT g / 50 AS a FROM generate_series(1, 99) AS g; ANALYZE t")
    query = "SELECT most_common_vals FROM pg_stats WHERE tablename = 't' AND attname = 'a'"
    assert await connection.fetchval(query) == "{1,0}"


# What asyncpg loses or makes up


@pytest.mark.differs(
    asyncpg="cuts the fraction off for an integer: `1.7` becomes 1.",
    ours="A number with a fraction is no integer: `DataError`.",
)
@pytest.mark.parametrize("type_name", ["int2", "int4", "int8", "oid"])
async def test_fractions_are_no_integers(client: Client, connection: Any, type_name: str) -> None:
    for value in (1.7, Decimal("-1.7"), float("inf")):
        with pytest.raises(client.DataError, match=r"query argument \$1"):
            await connection.fetchval(f"SELECT $1::{type_name}", value)
        with pytest.raises(client.DataError):
            await connection.fetchval(f"SELECT $1::{type_name}[]", [value])


@pytest.mark.differs(
    asyncpg="reads an infinite `timestamptz` as a naive `datetime`, which cannot be compared with any other.",
    ours="Infinite ones are aware, too.",
)
@pytest.mark.parametrize(("text", "year"), [("infinity", 9999), ("-infinity", 1)])
async def test_infinite_instants_are_aware(connection: Any, text: str, year: int) -> None:
    value = await connection.fetchval(f"SELECT '{text}'::timestamptz")
    assert (value.year, value.tzinfo) == (year, UTC)
    assert (value > dt.datetime(2020, 1, 1, tzinfo=UTC)) is (year == 9999)
    assert await connection.fetchval("SELECT $1::timestamptz::text", value) == text


@pytest.mark.differs(
    asyncpg="loses the seconds of a `timetz`'s offset.", ours="The offset of a `timetz` keeps its seconds."
)
async def test_offsets_keep_their_seconds(connection: Any) -> None:
    value = await connection.fetchval("SELECT '03:04:05-02:30:15'::timetz")
    assert value.utcoffset() == -dt.timedelta(hours=2, minutes=30, seconds=15)
    assert await connection.fetchval("SELECT $1::timetz::text", value) == "03:04:05-02:30:15"


@pytest.mark.differs(
    asyncpg="raises a bare `ValueError` or `OverflowError` for dates and times that Python does not have, and computes "
    "wrong values for intervals beyond 5.8 million years.",
    ours="They are an `InvalidValueError` (a `DataError` and a `ValueError`) that says which column and what value it "
    "was. A codec of format 'tuple' reads them.",
)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("'0044-03-15 BC'::date", "date 0044-03-15 BC"),
        ("'10000-01-01'::date", "date 10000-01-01"),
        ("'20000-01-01'::timestamp", "timestamp 20000-01-01 00:00:00"),
        ("'0001-12-31 BC'::timestamp", "timestamp 0001-12-31 00:00:00 BC"),
        ("'20000-01-01+00'::timestamptz", "timestamptz 20000-01-01 00:00:00+00"),
        ("'24:00:00'::time", "time 24:00:00"),
        ("'24:00:00+00'::timetz", "time 24:00:00"),
        ("'178000000 years'::interval", "interval of 2136000000 months"),
    ],
)
async def test_values_that_python_has_not(client: Client, connection: Any, value: str, told: str) -> None:
    with pytest.raises(client.DataError) as caught:
        await connection.fetch(f"SELECT 1, {value} AS far")
    assert isinstance(caught.value, ValueError)
    assert "column 2 ('far')" in str(caught.value)
    assert told in str(caught.value)
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="reads a `pg_lsn` from 80000000/0 on as a negative number, and does not accept it.",
    ours="A `pg_lsn` is a number of 64 bits without sign, both ways.",
)
async def test_high_positions_in_the_log(client: Client, connection: Any) -> None:
    assert await connection.fetchval("SELECT 'FFFFFFFF/FFFFFFFF'::pg_lsn") == 2**64 - 1
    assert await connection.fetchval("SELECT $1::pg_lsn::text", 2**63) == "80000000/0"
    with pytest.raises(client.DataError, match="value out of uint64 range"):
        await connection.fetchval("SELECT $1::pg_lsn", -1)


@pytest.mark.differs(
    asyncpg="reads `int2vector` and `oidvector`, but the server does not understand what it sends.",
    ours="Both go both ways, in arrays as well.",
)
@pytest.mark.parametrize("type_name", ["int2vector", "oidvector"])
async def test_vectors_of_the_catalogue(connection: Any, type_name: str) -> None:
    for value in ([], [1, 2]):
        assert await connection.fetchval(f"SELECT $1::{type_name}", value) == value
    assert await connection.fetchval(f"SELECT $1::{type_name}[]", [[1, 2], None, [3]]) == [[1, 2], None, [3]]


@pytest.mark.differs(
    asyncpg="makes a plain tuple of a circle's center.", ours="The center of a circle is a `Point`, whoever made it."
)
async def test_the_center_of_a_circle_is_a_point(client: Client, connection: Any) -> None:
    read = await connection.fetchval("SELECT '<(1,2),3>'::circle")
    assert [type(circle.center) for circle in (read, client.Circle((1, 2), 3))] == [client.Point, client.Point]
    assert read.center.x == 1


@pytest.mark.differs(
    asyncpg="gives up after six attempts on an argument whose type has no input: `InternalClientError`.",
    ours="The server's own refusal arrives.",
)
@pytest.mark.parametrize("type_name", ["gtsvector", "pg_node_tree"])
async def test_types_without_input(client: Client, connection: Any, type_name: str) -> None:
    with pytest.raises(client.FeatureNotSupportedError, match=type_name):
        await connection.fetchval(f"SELECT $1::{type_name}", "x")
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="lets the server find values that cannot be, which aborts the transaction.",
    ours="What can be seen to be wrong is a `DataError` before anything is sent; the transaction goes on.",
)
@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("text", "a\0b"),
        ("text[]", ["\0"]),
        ('"char"', b"xy"),
        ('"char"', b""),
        ("path", ()),
        ("pg_temp.pair", (1,)),
        ("numeric", Decimal("1E+131072")),
    ],
)
async def test_impossible_values_are_not_sent(client: Client, connection: Any, type_name: str, value: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int, b text)")
    query = f"SELECT $1::{type_name}"
    async with connection.transaction():
        await connection.fetchval(query, None)
        with pytest.raises(client.DataError, match=r"invalid input for query argument \$1: "):
            await connection.fetchval(query, value)
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.differs(
    asyncpg="refuses arguments with what Python said last: `'int' object has no attribute 'toordinal'`.",
    ours="The error says what was expected.",
)
@pytest.mark.parametrize(
    ("type_name", "value", "told"),
    [
        ("date", "2020-01-01", "expected a datetime.date or datetime.datetime instance, got 'str'"),
        ("time", 5, "expected a datetime.time instance, got 'int'"),
        ("timetz", dt.time(1, 2), "a time with a fixed offset from UTC is required"),
        ("interval", "1 day", "expected a datetime.timedelta instance, got 'str'"),
        ("uuid", 5, "expected a uuid.UUID or str, got int"),
        ("numeric", "x", "this str is not a decimal number"),
        ("point", 5, "a point is (x, y), not 'int'"),
        ("point", (1,), "a point is (x, y), not 'tuple' of length 1"),
        ("path", 5, "a path is a sequence of points, not 'int'"),
        ("circle", (1, 2, 3), "a circle is (center, radius), not 'tuple' of length 3"),
        ("pg_temp.pair", 5, "a list, tuple, Record or mapping expected (got type 'int')"),
        ("pg_temp.pair", "ab", "a list, tuple, Record or mapping expected (got type 'str')"),
    ],
)
async def test_refusals_say_what_was_expected(
    client: Client, connection: Any, type_name: str, value: Any, told: str
) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int, b text)")
    with pytest.raises(client.DataError) as caught:
        await connection.fetchval(f"SELECT $1::{type_name}", value)
    assert told in str(caught.value)


@pytest.mark.differs(
    asyncpg="refuses a `memoryview` with gaps for `bytea`.", ours="Any buffer of bytes is accepted for `bytea`."
)
async def test_bytes_with_gaps(connection: Any) -> None:
    assert await connection.fetchval("SELECT $1::bytea", memoryview(b"x_y_z")[::2]) == b"xyz"


# What is made of types that have no binary form, or none that is known here


@pytest.mark.differs(
    asyncpg="can neither read nor write a composite type that has a member in text: `macaddr`, `money`, `tsvector`.",
    ours="Composite types, ranges and multiranges may be made of any types, in whichever format they travel.",
)
@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("macaddr", "08:00:2b:01:02:03"),
        ("tsvector", "'a' 'b'"),
        ("regclass", "pg_class"),
        ("aclitem", "=r/pg_monitor"),
        ("money", "$1.50"),
    ],
)
async def test_composites_with_members_in_text(connection: Any, type_name: str, text: str) -> None:
    await connection.execute(f"""
        SET lc_monetary = 'C';
        CREATE TYPE pg_temp.inner_pair AS (x {type_name}, y int);
        CREATE TYPE pg_temp.outer_pair AS (a {type_name}[], b pg_temp.inner_pair, c date);
    """)
    value = ([text, None], (text, 1), dt.date(2020, 1, 2))
    read = await connection.fetchval("SELECT $1::pg_temp.outer_pair", value)
    assert (tuple(read), type(read)) == (value, type(read["b"]))
    assert await connection.fetchval("SELECT $1::pg_temp.outer_pair[]", [read, None]) == [value, None]


@pytest.mark.differs(
    asyncpg="can neither read nor write ranges of types that travel as text.",
    ours="reads and writes ranges of any type.",
)
async def test_ranges_of_types_in_text(client: Client, connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.hardware AS RANGE (subtype = macaddr)")
    value = client.Range("08:00:2b:01:02:03", "08:00:2b:01:02:04", upper_inc=True)
    assert await connection.fetchval("SELECT $1::pg_temp.hardware", value) == value
    assert await connection.fetchval("SELECT $1::pg_temp.hardware[]", [value, None]) == [value, None]
    assert await connection.fetchval("SELECT range_merge($1::pg_temp.hardware, $1)", value) == value


@pytest.mark.differs(
    asyncpg="has 'no decoder' for a type in an anonymous record that this connection has not met before, and makes "
    "garbage, or a `UnicodeDecodeError`, of members that travel as text.",
    ours="Anonymous records may hold values of any type.",
)
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("'a'::pg_temp.mood", "a"),
        ("'{a,b}'::pg_temp.mood[]", ["a", "b"]),
        ("ROW('b', 1)::pg_temp.pair", ("b", 1)),
        ("5::pg_temp.positive", 5),
        ("'08:00:2b:01:02:03'::macaddr", "08:00:2b:01:02:03"),
        # No more than the oid is sent.
        ("'pg_class'::regclass", b"\x00\x00\x04\xeb"),
        ("'int4'::regtype", b"\x00\x00\x00\x17"),
        ("'a b'::tsvector", "'a' 'b'"),
    ],
)
async def test_members_of_anonymous_records(connection: Any, member: str, value: Any) -> None:
    await connection.execute("""
        CREATE TYPE pg_temp.mood AS ENUM ('a', 'b');
        CREATE TYPE pg_temp.pair AS (m pg_temp.mood, n int);
        CREATE DOMAIN pg_temp.positive AS int;
    """)
    for _ in range(2):
        assert await connection.fetchval(f"SELECT ROW(1, {member})") == (1, value)
    assert await connection.fetchval(f"SELECT ARRAY[ROW({member}, NULL::int)]") == [(value, None)]


@pytest.mark.differs(
    asyncpg="raises the server's error for an anonymous record with a member that has no binary form, an `aclitem`.",
    ours="Such a record is read as text: every member is a `str`.",
)
async def test_anonymous_records_that_have_no_binary_form(connection: Any) -> None:
    for _ in range(2):
        assert await connection.fetchval("SELECT ROW(1, '=r/pg_monitor'::aclitem, NULL::int)") == (
            "1",
            "=r/pg_monitor",
            None,
        )


@pytest.mark.differs(
    asyncpg="cannot read a composite type without attributes.", ours="It is a `Record` without values."
)
async def test_composites_without_attributes(client: Client, connection: Any) -> None:
    await connection.execute("CREATE TYPE pg_temp.nothing AS ()")
    read = await connection.fetchval("SELECT ROW()::pg_temp.nothing")
    assert (type(read), len(read)) == (client.Record, 0)
    assert await connection.fetchval("SELECT $1::pg_temp.nothing", ()) == ()


async def test_empty_texts_in_arrays_of_text_types(client: Client, connection: Any) -> None:
    if not client.is_ours:
        pytest.skip("asyncpg puts a NULL pointer into the list, and touching it ends the process")
    assert await connection.fetchval("SELECT ARRAY['', 'a', NULL]::tsvector[]") == ["", "'a'", None]
    assert await connection.fetchval("SELECT ARRAY[['', 'a']]::tsvector[]") == [["", "'a'"]]
    assert await connection.fetchval("SELECT $1::tsvector[]", ["", "a"]) == ["", "'a'"]
