"""Values of every type that has a codec: strategies over whole domains with their edges, and how to compare what comes.

`TYPES` has an entry for each built-in type, each range and multirange, for types of users' (`DDL` makes them, `INFOS`
says the same to a `TypeCatalog`), and for the arrays of all these.

Environment:
    PGSANSIO_TEST_EXAMPLES: how many values of each type, beside its edges, tests take; default 8. More for a long run.
"""

import json
import math
import os
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from ipaddress import IPv4Interface, IPv6Interface
from types import ModuleType
from typing import Any, Final
from xml.sax.saxutils import escape

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.types import BitString, Box, Circle, Line, LineSegment, Path, Point, Polygon, Range

__all__ = ["DDL", "EXAMPLES", "INFOS", "SCHEMA", "TYPES", "TypeValues", "adapted", "examples", "plain"]

EXAMPLES: Final = int(os.environ.get("PGSANSIO_TEST_EXAMPLES") or 8)


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class TypeValues:
    """The values of a type.

    Attributes:
        oid: of the type in `TypeCatalog`; a server's may be another for a user's type.
        sql: how SQL names it.
        values, edges: what Python may send.
        spell: the text that the type's input function makes the same value of; made without the codec.
        kept: what the codec itself gives back.
        returned: what a server gives back.
        key: what to compare of values, where equal ones have many forms.
        is_input: a server takes values of it.
    """

    name: str
    oid: int
    sql: str
    values: st.SearchStrategy[Any]
    edges: tuple[Any, ...]
    spell: Callable[[Any], str] = str
    kept: Callable[[Any], Any] = _same
    returned: Callable[[Any], Any] | None = None
    key: Callable[[Any], Any] = _same
    is_input: bool = True

    def comes_back(self, value: Any) -> Any:
        return (self.returned or self.kept)(value)


# Comparing


def plain(value: object) -> object:
    """What two drivers' values have in common, so that they can be compared: classes by name, and everything in them.

    Equal are only the same numbers with the same sign and scale (1E+4 and 10000 have the same: none), NaN and NaN.
    """
    name = type(value).__name__
    match value:
        case float():
            return name, repr(value)
        case Decimal() if value.is_finite():
            sign, digits, exponent = value.as_tuple()
            text = "".join(map(str, digits)).lstrip("0")
            assert isinstance(exponent, int)
            if exponent >= 0:
                exponent += len(text) - len(text.rstrip("0"))
                text = text.rstrip("0")
            return name, sign, text, exponent if text or exponent < 0 else 0
        case uuid.UUID() | Decimal():
            return name, str(value)
        case datetime() | time() | date():
            return name, value.isoformat()
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
    if name == "Record":
        return {key: plain(item) for key, item in value.items()}  # type: ignore[attr-defined]
    if name in ("Path", "Polygon"):
        return name, value.is_closed, [plain(point) for point in value]  # type: ignore[attr-defined]
    if isinstance(value, tuple):
        return name, [plain(item) for item in value]
    if name == "Range":
        bounds = [plain(getattr(value, bound)) for bound in ("lower", "upper")]
        return name, bounds, [getattr(value, flag) for flag in ("lower_inc", "upper_inc", "isempty")]
    return name, str(value) if name.startswith("IPv") else repr(value)


def adapted(value: Any, types: ModuleType) -> Any:
    """The value with the classes of another driver, from its module of types, in the place of ours."""
    name = type(value).__name__
    match value:
        case Range():
            bounds = [adapted(bound, types) for bound in (value.lower, value.upper)]
            return types.Range(*bounds, lower_inc=value.lower_inc, upper_inc=value.upper_inc, empty=value.isempty)
        case BitString():
            return types.BitString(value.as_string())
        case Polygon():
            return types.Polygon(*map(tuple, value))
        case Path():
            return types.Path(*map(tuple, value), is_closed=value.is_closed)
        case Point() | Line() | LineSegment() | Box() | Circle():
            return getattr(types, name)(*[adapted(item, types) for item in value])
        case list():
            return [adapted(item, types) for item in value]
        case tuple():
            return tuple([adapted(item, types) for item in value])
    return value


@cache
def examples(name: str) -> tuple[Any, ...]:
    """The edges of a type, and `EXAMPLES` other values, the same in every run."""
    entry = TYPES[name]
    found: list[Any] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(entry.values)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return *entry.edges, *found


# Scalars

_TEXT: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_TEXT_EDGES: Final = (
    "",
    "NULL",
    "null",
    " ",
    '"',
    "\\",
    "a,b;c",
    "{}",
    "()",
    "[x,",
    "'",
    "ä漢𝄞\u200b",
    "a\nb\tc ",
    "\x7f\x01",
)
_NAMES: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=15)
#: What XML 1.0 allows, without the carriage return that a parser drops.
_XML_TEXT: Final = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"], include_characters="\t\n"), max_size=20
)


def _float4(value: Any) -> float:
    result: float = struct.unpack(">f", struct.pack(">f", value))[0]
    return result


def _numeric(value: Decimal) -> Decimal:
    """What PostgreSQL makes of a number: no positive exponent, no negative zero."""
    if not value.is_finite():
        return value
    if not value:
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        return Decimal((0, (0,), min(exponent, 0)))
    return value


def _is_numeric(value: Decimal) -> bool:
    if not value.is_finite():
        return str(value) in ("NaN", "Infinity", "-Infinity")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent >= -16383 and (not value or value.adjusted() < 131072)


def _money(cents: int) -> str:
    """As lc_monetary C prints it."""
    whole, part = divmod(abs(cents), 100)
    return f"{'-' * (cents < 0)}${whole:,}.{part:02}"


def _spell_date(value: date) -> str:
    return {date.max: "infinity", date.min: "-infinity"}.get(value, value.isoformat())


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _spell_datetime(value: datetime) -> str:
    return {datetime.max: "infinity", datetime.min: "-infinity"}.get(value.replace(tzinfo=None), value.isoformat(" "))


def _spell_interval(value: timedelta) -> str:
    return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"


_ZONES: Final = st.integers(-(16 * 3600 - 1), 16 * 3600 - 1).map(lambda seconds: timezone(timedelta(seconds=seconds)))
#: fold says which of two equal local times is meant; neither time nor timestamp can.
_TIMES: Final = st.times().map(lambda value: value.replace(fold=0))
_DATETIMES: Final = st.datetimes().map(lambda value: value.replace(fold=0))
_MICROSECOND: Final = timedelta(microseconds=1)


def _json_values(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    scalars = st.none() | st.booleans() | st.integers() | text
    values = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=8
    )
    return st.builds(json.dumps, values, ensure_ascii=st.booleans(), indent=st.none() | st.just(1))


def _parsed_json(text: str) -> object:
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def _canonical_address(value: Any) -> Any:
    if isinstance(value, IPv4Interface | IPv6Interface) and value.network.prefixlen == value.max_prefixlen:
        return value.ip
    return value


def _mac(size: int) -> st.SearchStrategy[str]:
    return st.binary(min_size=size, max_size=size).map(lambda data: data.hex(":"))


_FLOATS: Final = st.floats()
_FLOAT_EDGES: Final = (0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -1.7976931348623157e308, 0.1, 1e15, 1e16, 1e22)
_POINTS: Final = st.builds(Point, _FLOATS, _FLOATS)


def _number(value: float) -> str:
    return repr(value)


def _figure(value: Any) -> str:
    """Points in parentheses, and what is made of points."""
    if isinstance(value, float):
        return repr(value)
    return f"({','.join(map(_figure, value))})"


def _spell_path(value: Path) -> str:
    points = ",".join(map(_figure, value))
    return f"({points})" if value.is_closed else f"[{points}]"


def _order(value: float) -> tuple[bool, float]:
    """For PostgreSQL NaN is greater than all other numbers."""
    return math.isnan(value), 0 if math.isnan(value) else value


def _ordered_box(value: Box) -> Box:
    """Corners as box_recv puts them in order: the greater coordinates first, of equal ones the first first."""
    (x1, y1), (x2, y2) = value
    if _order(x1) < _order(x2):
        x1, x2 = x2, x1
    if _order(y1) < _order(y2):
        y1, y2 = y2, y1
    return Box((x1, y1), (x2, y2))


def _is_line(value: Line) -> bool:
    """line_recv refuses two zeros, by a comparison with a margin."""
    return not (abs(value.A) <= 1e-6 and abs(value.B) <= 1e-6)


#: Those whose lower half is 0 are none.
_TRANSACTIONS: Final = st.integers(1, 2**63 - 1).filter(lambda value: value % 2**32 != 0)


def _snapshot(items: list[int]) -> tuple[int, int, tuple[int, ...]]:
    first, *others = sorted(items)
    return (first, others[-1], tuple(others[:-1])) if others else (first, first, ())


def _spell_snapshot(value: tuple[int, int, tuple[int, ...]]) -> str:
    return f"{value[0]}:{value[1]}:{','.join(map(str, value[2]))}"


def _lexeme(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _tsvector(entries: Mapping[str, Mapping[int, str]]) -> str:
    """As the server prints it: by the bytes of the lexemes, positions in order."""
    pieces: list[str] = []
    for lexeme in sorted(entries, key=str.encode):
        positions = ",".join(f"{position}{weight}" for position, weight in sorted(entries[lexeme].items()))
        pieces.append(_lexeme(lexeme) + (f":{positions}" if positions else ""))
    return " ".join(pieces)


_LEXEMES: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
_TSVECTORS: Final = st.dictionaries(
    _LEXEMES, st.dictionaries(st.integers(1, 16383), st.sampled_from(["", "A", "B", "C"]), max_size=4), max_size=4
).map(_tsvector)
_TSQUERIES: Final = st.recursive(
    st.builds(
        lambda lexeme, flags: _lexeme(lexeme) + (f":{flags}" if flags else ""),
        _LEXEMES,
        st.sampled_from(["", "*", "A", "AB", "*CD", "ABCD"]),
    ),
    lambda inner: st.one_of(
        inner.map(lambda query: f"!( {query} )"),
        st.builds(
            lambda left, operator, right: f"( {left} ) {operator} ( {right} )",
            inner,
            st.sampled_from(["&", "|", "<->", "<2>", "<0>", "<16384>"]),
            inner,
        ),
    ),
    max_leaves=6,
)


def _hexadecimal(value: bytes) -> str:
    return "\\x" + value.hex()


def _spell_char(value: bytes) -> str:
    return "" if value == b"\0" else f"\\{value[0]:03o}" if value[0] > 0x7F else value.decode()


def _integers(bits: int, signed: bool = True) -> tuple[st.SearchStrategy[int], tuple[int, ...]]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high), (0, 1, low, high, high - 1, low + 1, high // 2 + 1)


def _scalar(name: str, values: st.SearchStrategy[Any], edges: Iterable[Any] = (), **how: Any) -> TypeValues:
    # Quoted, since bit and "char" without quotes are other types.
    return TypeValues(name, BY_NAME[name].oid, f'pg_catalog."{name}"', values, tuple(edges), **how)


def _named(name: str, *names: str) -> TypeValues:
    return _scalar(name, st.sampled_from(names), names)


_SCALARS: Final[tuple[TypeValues, ...]] = (
    _scalar("bool", st.booleans(), (True, False)),
    *[_scalar(f"int{size}", *_integers(8 * size)) for size in (2, 4, 8)],
    *[_scalar(name, *_integers(32, signed=False)) for name in ("oid", "xid", "cid")],
    _scalar("xid8", *_integers(64, signed=False)),
    _scalar(
        "float4",
        st.floats(width=32),
        (0.0, -0.0, math.nan, math.inf, -math.inf, 0.1, 1e-45, 3.4028234663852886e38, 7.038530691851209e-26),
        spell=_number,
        kept=_float4,
    ),
    _scalar("float8", _FLOATS, _FLOAT_EDGES, spell=_number),
    _scalar(
        "numeric",
        st.decimals().filter(_is_numeric)
        | st.builds(lambda digits, scale: Decimal(digits).scaleb(-scale), st.integers(), st.integers(0, 40)),
        [
            *map(Decimal, ("0", "-0", "0.00", "1.10", "-12345.6789", "10000", "1E+4", "NaN", "Infinity", "-Infinity")),
            *map(Decimal, ("1E+131071", "1E-16383", "0E-16383", "0E+50", "9999", "0.0001", "100000000.00000001")),
            Decimal("9" * 131072 + "." + "9" * 16383),
        ],
        kept=_numeric,
    ),
    _scalar("money", st.integers(-(2**63), 2**63 - 1).map(_money), map(_money, (0, 1, -1, 123456789, 2**63 - 1))),
    *[_scalar(name, _TEXT, _TEXT_EDGES) for name in ("text", "varchar", "bpchar", "refcursor")],
    _scalar("name", _NAMES, [*_TEXT_EDGES, "n" * 63]),
    _scalar("xml", _XML_TEXT.map(lambda text: f"<a>{escape(text)}</a>"), ("", "<a/>", "a<b>é</b><!-- c -->", "&amp;")),
    _scalar("char", st.binary(min_size=1, max_size=1), (b"\0", b"a", b"\x7f", b"\x80", b"\xff"), spell=_spell_char),
    _scalar("bytea", st.binary(), (b"", b"\0", b"\\x", bytes(range(256))), spell=_hexadecimal),
    _scalar("uuid", st.uuids(), (uuid.UUID(int=0), uuid.UUID(int=2**128 - 1))),
    _scalar(
        "date",
        st.dates(),
        (
            date.max,
            date.min,
            date(1, 1, 2),
            date(9999, 12, 30),
            date(2000, 1, 1),
            date(1999, 12, 31),
            date(2024, 2, 29),
        ),
        spell=_spell_date,
    ),
    _scalar("time", _TIMES, (time.min, time.max, time(1, 2, 3, 400000)), spell=time.isoformat),
    _scalar(
        "timetz",
        st.builds(lambda value, zone: value.replace(tzinfo=zone), _TIMES, _ZONES),
        [time.max.replace(tzinfo=timezone(sign * timedelta(hours=15, minutes=59, seconds=59))) for sign in (1, -1)],
        spell=time.isoformat,
    ),
    _scalar(
        "timestamp",
        _DATETIMES,
        (datetime.max, datetime.min, datetime.min + _MICROSECOND, datetime.max - _MICROSECOND, datetime(2000, 1, 1)),
        spell=_spell_datetime,
    ),
    _scalar(
        "timestamptz",
        _DATETIMES.map(lambda value: value.replace(tzinfo=UTC))
        | st.builds(
            lambda value, zone: value.replace(tzinfo=zone, fold=0),
            st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
            _ZONES,
        ),
        [
            edge.replace(tzinfo=UTC)
            for edge in (datetime.max, datetime.min, datetime.min + _MICROSECOND, datetime.max - _MICROSECOND)
        ],
        spell=_spell_datetime,
        kept=_utc,
    ),
    _scalar(
        "interval",
        st.timedeltas(),
        (timedelta(), timedelta.max, timedelta.min, -_MICROSECOND, timedelta(days=-1), timedelta(days=400)),
        spell=_spell_interval,
    ),
    _scalar("json", _json_values(_TEXT), ("null", '""', " {} ", '{"a":1, "a":2}', '"\\u0000"', "1e400")),
    _scalar("jsonb", _json_values(_TEXT), ("null", '""', " [ ] ", '"\\""', "1.10", "-1e20"), key=_parsed_json),
    _scalar(
        "jsonpath",
        _TEXT.map(lambda key: "$." + json.dumps(key, ensure_ascii=False)),
        ("$", "strict $[*]?(@ > 1.5)", '$."a"[0 to last].type()', '$?(@ like_regex "^a" flag "i")'),
    ),
    _scalar(
        "inet",
        st.ip_addresses()
        | st.builds(IPv4Interface, st.tuples(st.ip_addresses(v=4), st.integers(0, 32)))
        | st.builds(IPv6Interface, st.tuples(st.ip_addresses(v=6), st.integers(0, 128))),
        [
            *map(IPv4Interface, ("0.0.0.0/0", "255.255.255.255/32", "1.2.3.4/31")),
            *map(IPv6Interface, ("::/0", "::1/128", "::ffff:1.2.3.4/96", "fe80::1/64")),
        ],
        kept=_canonical_address,
    ),
    _scalar(
        "cidr",
        st.builds(
            lambda address, bits: IPv4Interface((address, bits)).network, st.ip_addresses(v=4), st.integers(0, 32)
        )
        | st.builds(
            lambda address, bits: IPv6Interface((address, bits)).network, st.ip_addresses(v=6), st.integers(0, 128)
        ),
        [IPv4Interface("0.0.0.0/0").network, IPv6Interface("::/0").network, IPv6Interface("::1/128").network],
    ),
    _scalar("macaddr", _mac(6), ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")),
    _scalar("macaddr8", _mac(8), ("00:00:00:00:00:00:00:00", "08:00:2b:ff:fe:01:02:03")),
    _scalar("point", _POINTS, (Point(0, -0.0), Point(math.inf, math.nan)), spell=_figure),
    _scalar(
        "line",
        st.builds(Line, _FLOATS, _FLOATS, _FLOATS).filter(_is_line),
        (Line(1, -2.5, 3), Line(math.inf, math.nan, -0.0)),
        spell=lambda value: f"{{{','.join(map(repr, value))}}}",
    ),
    _scalar("lseg", st.builds(LineSegment, _POINTS, _POINTS), (LineSegment((0, 0), (0, 0)),), spell=_figure),
    _scalar(
        "box",
        st.builds(Box, _POINTS, _POINTS),
        (Box((1, 2), (3, 4)), Box((3, 2), (1, 4)), Box((0, -0.0), (-0.0, 0)), Box((math.nan, 1), (math.inf, math.nan))),
        spell=_figure,
        returned=_ordered_box,
    ),
    _scalar(
        "path",
        st.builds(
            lambda points, is_closed: Path(*points, is_closed=is_closed),
            st.lists(_POINTS, min_size=1, max_size=4),
            st.booleans(),
        ),
        (Path((1, 2)), Path((1, 2), is_closed=True)),
        spell=_spell_path,
    ),
    _scalar(
        "polygon",
        st.lists(_POINTS, min_size=1, max_size=4).map(lambda points: Polygon(*points)),
        (Polygon((1, 2)), Polygon((1, 2), (1, 2))),
        spell=_spell_path,
    ),
    _scalar(
        "circle",
        st.builds(Circle, _POINTS, st.floats(min_value=0) | st.just(math.nan)),
        (Circle((1, -0.0), 0), Circle((0, 0), math.inf)),
        spell=lambda value: f"<{_figure(value.center)},{value.radius!r}>",
    ),
    *[
        _scalar(
            name,
            st.text("01", max_size=40).map(BitString),
            (BitString(), BitString("0"), BitString("1" * 7), BitString("10000000"), BitString("000000001")),
            spell=lambda value: value.as_string().replace(" ", ""),
        )
        for name in ("bit", "varbit")
    ],
    _scalar(
        "tid",
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)),
        ((0, 0), (2**32 - 1, 2**16 - 1)),
        spell=lambda value: f"({value[0]},{value[1]})",
    ),
    _scalar(
        "pg_lsn",
        *_integers(64, signed=False),
        spell=lambda value: f"{value // 2**32:x}/{value % 2**32:x}",
    ),
    *[
        _scalar(
            name,
            st.lists(_TRANSACTIONS, min_size=1, max_size=6, unique=True).map(_snapshot),
            ((1, 1, ()), (10, 20, (10, 14, 15))),
            spell=_spell_snapshot,
        )
        for name in ("pg_snapshot", "txid_snapshot")
    ],
    _scalar(
        "int2vector",
        st.lists(_integers(16)[0], max_size=8),
        ([], [0], [-(2**15), 2**15 - 1]),
        spell=lambda value: " ".join(map(str, value)),
    ),
    _scalar(
        "oidvector",
        st.lists(_integers(32, signed=False)[0], max_size=8),
        ([], [0], [2**32 - 1]),
        spell=lambda value: " ".join(map(str, value)),
    ),
    _scalar("tsvector", _TSVECTORS, ("", "'a'", r"'\\' 'a''b':1A,16383", "'a':1A 'a b':2,3B 'é'")),
    # Parentheses and blanks are printed as the server likes.
    _scalar(
        "tsquery",
        _TSQUERIES,
        ("", "'a'", r"'\\':*A & 'a''b'", "!!'a' <-> ( 'b' | !'c' )"),
        key=lambda text: text.replace("( ", "").replace(" )", ""),
    ),
    _named("regclass", "pg_class", "pg_type", "information_schema.tables"),
    _named("regcollation", '"C"', '"default"', "-"),
    _named("regconfig", "english", "simple"),
    _named("regdictionary", "simple", "english_stem"),
    _named("regnamespace", "pg_catalog", "information_schema", "-"),
    _named("regoper", "||/", "|/", "0"),
    _named("regoperator", "+(integer,integer)", "-(NONE,integer)", "0"),
    _named("regproc", "boolin", "array_in", "-"),
    _named("regprocedure", "now()", "int4pl(integer,integer)", "-"),
    _named("regrole", "pg_monitor", "-"),
    _named("regtype", "integer", "text[]", "double precision", '"char"', "timestamp with time zone", "-"),
    _named("aclitem", "=r/pg_monitor", "pg_monitor=r*w/pg_signal_backend"),
    # What only servers make.
    *[_scalar(name, _TEXT, _TEXT_EDGES, is_input=False) for name in ("cstring", "unknown", "pg_node_tree")],
    *[
        _scalar(name, _TEXT, _TEXT_EDGES, is_input=False)
        for name in ("gtsvector", "pg_dependencies", "pg_ndistinct", "anyarray")
    ],
    _scalar("pg_mcv_list", st.binary(), (b"",), is_input=False),
    _scalar("void", st.none(), (None,), is_input=False),
)

# Types that are made of others

_LENGTH_OF_ARRAYS: Final = 3


def _quoted(text: str) -> str:
    """As a part of the literal of an array, a composite or a range."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _each(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For every element of nested lists; elements are not lists themselves, unless they are given as tuples."""

    def apply(value: Any) -> Any:
        if value is None:
            return None
        return [apply(item) for item in value] if type(value) is list else function(value)

    return apply


def _rectangles(element: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists of one to three dimensions."""

    def of_sizes(sizes: list[int]) -> st.SearchStrategy[Any]:
        strategy: st.SearchStrategy[Any] = st.none() | element
        for size in reversed(sizes):
            strategy = st.lists(strategy, min_size=size, max_size=size)
        return strategy

    return st.lists(st.integers(1, _LENGTH_OF_ARRAYS), min_size=1, max_size=3).flatmap(of_sizes)


def _array_of(element: TypeValues, name: str, oid: int) -> TypeValues:
    """Lists of the element's values; where those are lists, they are given as tuples, lest they are dimensions."""
    is_list = isinstance(element.edges[0], list)
    delimiter = ";" if element.name == "box" else ","

    def given_as(value: Any) -> Any:
        return tuple(value) if is_list else value

    def meant(value: Any) -> Any:
        return list(value) if is_list else value

    def spell(value: Any) -> str:
        if value is None:
            return "NULL"
        if type(value) is list:
            return "{" + delimiter.join(map(spell, value)) + "}"
        return _quoted(element.spell(meant(value)))

    edges = tuple([given_as(edge) for edge in element.edges])
    return TypeValues(
        name,
        oid,
        f"{element.sql}[]",
        _rectangles(element.values.map(given_as)),
        ([], [None], list(edges), [[edges[-1]], [None]], [[[[[[edges[0]]]]]]]),
        spell,
        kept=_each(lambda value: element.kept(meant(value))),
        returned=_each(lambda value: element.comes_back(meant(value))),
        key=_same if element.key is _same else _each(element.key),
        is_input=element.is_input,
    )


def _spell_range(spell: Callable[[Any], str]) -> Callable[[Range[Any]], str]:
    def spell_range(value: Range[Any]) -> str:
        if value.isempty:
            return "empty"
        lower, upper = ("" if bound is None else _quoted(spell(bound)) for bound in (value.lower, value.upper))
        return f"{'[' if value.lower_inc else '('}{lower},{upper}{']' if value.upper_inc else ')'}"

    return spell_range


def _range_of(
    subtype: TypeValues,
    name: str,
    oid: int,
    sql: str,
    bounds: st.SearchStrategy[Any],
    edges: Sequence[Range[Any]] = (),
    *,
    order: Callable[[Any], Any] = _same,
    after: Callable[[Any], Any] | None = None,
) -> TypeValues:
    """Ranges as users make them, which the server normalises.

    Args:
        bounds: values of the subtype.
        order: the key by which the server puts them in order.
        after: of a discrete type: the next value.
    """

    def make(bound: list[Any], flags: tuple[bool, bool]) -> Range[Any]:
        lower, upper = sorted(bound, key=order)
        return Range(lower, upper, lower_inc=flags[0], upper_inc=flags[1])

    def half(bound: Any, is_lower: bool, inclusive: bool) -> Range[Any]:
        return Range(bound, lower_inc=inclusive) if is_lower else Range(None, bound, upper_inc=inclusive)

    def kept(value: Range[Any]) -> Range[Any]:
        lower, upper = (None if bound is None else subtype.kept(bound) for bound in (value.lower, value.upper))
        return Range(lower, upper, lower_inc=value.lower_inc, upper_inc=value.upper_inc, empty=value.isempty)

    def returned(value: Range[Any]) -> Range[Any]:
        value = kept(value)
        lower, upper, lower_inc, upper_inc = value.lower, value.upper, value.lower_inc, value.upper_inc
        if after is not None:
            if lower is not None and not lower_inc:
                lower, lower_inc = after(lower), True
            if upper is not None and upper_inc:
                upper, upper_inc = after(upper), False
        if value.isempty or (
            lower is not None
            and upper is not None
            and (order(lower) > order(upper) or (order(lower) == order(upper) and not (lower_inc and upper_inc)))
        ):
            return Range(empty=True)
        return Range(lower, upper, lower_inc=lower_inc, upper_inc=upper_inc)

    flags = st.tuples(st.booleans(), st.booleans())
    values = st.builds(make, st.lists(bounds, min_size=2, max_size=2), flags) | st.builds(
        half, bounds, st.booleans(), st.booleans()
    )
    return TypeValues(
        name,
        oid,
        sql,
        values,
        (Range(empty=True), Range(), *edges),
        _spell_range(subtype.spell),
        kept=kept,
        returned=returned,
    )


def _multirange_of(
    span: TypeValues, name: str, oid: int, sql: str, bounds: st.SearchStrategy[Any], order: Callable[[Any], Any] = _same
) -> TypeValues:
    """Lists of ranges that are already in order, with gaps between them."""

    def make(items: list[Any], first: bool, last: bool) -> list[Range[Any]]:
        points = sorted(items, key=order)
        ranges = [Range(lower, upper) for lower, upper in zip(points[::2], points[1::2], strict=False)]
        if ranges and first:
            ranges[0] = Range(None, ranges[0].upper)
        if ranges and last:
            ranges[-1] = Range(ranges[-1].lower, None)
        return ranges

    def each(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: [function(item) for item in value]

    values = st.builds(make, st.lists(bounds, max_size=6, unique_by=order), st.booleans(), st.booleans())
    return TypeValues(
        name,
        oid,
        sql,
        values,
        ([], [Range()], *[[edge] for edge in span.edges[2:]]),
        lambda value: "{" + ",".join(map(span.spell, value)) + "}",
        kept=each(span.kept),
        returned=lambda value: [item for item in map(span.comes_back, value) if not item.isempty],
    )


def _composite_of(name: str, oid: int, sql: str, members: Mapping[str, TypeValues]) -> TypeValues:
    """Tuples, which come back as Records; dicts stand for these."""

    def spell(value: tuple[Any, ...]) -> str:
        items = zip(members.values(), value, strict=True)
        return "(" + ",".join("" if item is None else _quoted(member.spell(item)) for member, item in items) + ")"

    def each(choose: Callable[[TypeValues], Callable[[Any], Any]]) -> Callable[[Any], dict[str, Any]]:
        def apply(value: tuple[Any, ...]) -> dict[str, Any]:
            items = zip(members.items(), value, strict=True)
            return {key: None if item is None else choose(member)(item) for (key, member), item in items}

        return apply

    return TypeValues(
        name,
        oid,
        sql,
        st.tuples(*[st.none() | member.values for member in members.values()]),
        (
            (None,) * len(members),
            *[tuple([m.edges[edge % len(m.edges)] for m in members.values()]) for edge in range(6)],
        ),
        spell,
        kept=each(lambda member: member.kept),
        returned=each(lambda member: member.comes_back),
    )


def _built_in_ranges(types: Mapping[str, TypeValues]) -> list[TypeValues]:
    day = timedelta(days=1)
    days = st.dates(date(1, 1, 2), date(9999, 12, 29))
    moments = st.datetimes(datetime(1, 1, 1, 0, 0, 1), datetime(9999, 12, 31)).map(lambda value: value.replace(fold=0))
    aware = moments.map(lambda value: value.replace(tzinfo=UTC))

    def next_day(value: date) -> date:
        return value if value == date.max else value + day

    def next_number(value: int) -> int:
        return value + 1

    # name, subtype, bounds, edges, order, next value
    rows: tuple[tuple[str, str, st.SearchStrategy[Any], list[Any], Any, Any], ...] = (
        (
            "int4",
            "int4",
            st.integers(-(2**31), 2**31 - 2),
            [Range(1, 1, upper_inc=True)],
            _same,
            lambda value: value + 1,
        ),
        (
            "int8",
            "int8",
            st.integers(-(2**63), 2**63 - 2),
            [Range(-(2**63), 2**63 - 1)],
            _same,
            lambda value: value + 1,
        ),
        (
            "num",
            "numeric",
            st.decimals(allow_nan=False, allow_infinity=False, places=3),
            [Range(Decimal("-Infinity"), Decimal("NaN")), Range(Decimal("1.10"), Decimal("1.100"), upper_inc=True)],
            lambda value: (value.is_nan(), Decimal(0) if value.is_nan() else value),
            None,
        ),
        ("date", "date", days, [Range(date.min, date.max), Range(date(1, 1, 2), date.max)], _same, next_day),
        ("ts", "timestamp", moments, [Range(datetime.min, datetime.max, upper_inc=True)], _same, None),
        ("tstz", "timestamptz", aware, [Range(_utc_min(), _utc_max())], _same, None),
    )
    found: list[TypeValues] = []
    for name, subtype, bounds, edges, order, after in rows:
        for kind in ("range", "multirange"):
            entry = BY_NAME[name + kind]
            sql = f"pg_catalog.{entry.name}"
            if kind == "range":
                found.append(
                    _range_of(types[subtype], entry.name, entry.oid, sql, bounds, edges, order=order, after=after)
                )
            else:
                found.append(_multirange_of(found[-1], entry.name, entry.oid, sql, bounds, order))
    return found


def _utc_min() -> datetime:
    return datetime.min.replace(tzinfo=UTC)


def _utc_max() -> datetime:
    return datetime.max.replace(tzinfo=UTC)


# A user's types

SCHEMA: Final = "type_values"

_LABELS: Final = ("sad", "ok", 'in "quotes", \\ and, commas', "ünï", "NULL", "{}()[]")


def _user(name: str) -> str:
    return f"{SCHEMA}.{name}"


#: Makes the types below.
DDL: Final = f"""
    CREATE SCHEMA {SCHEMA};
    CREATE TYPE {SCHEMA}.mood AS ENUM ({", ".join(f"'{label}'" for label in _LABELS)});
    CREATE DOMAIN {SCHEMA}.positive AS int4 CHECK (VALUE > 0);
    CREATE DOMAIN {SCHEMA}.span AS int4range;
    CREATE DOMAIN {SCHEMA}.tags AS text[];
    CREATE TYPE {SCHEMA}.pair AS (a int4, "b c" text);
    CREATE DOMAIN {SCHEMA}.pair_domain AS {SCHEMA}.pair;
    CREATE TYPE {SCHEMA}.nested AS (
        p {SCHEMA}.pair, ps {SCHEMA}.pair[], m {SCHEMA}.mood, d {SCHEMA}.positive, r int4range, ms nummultirange,
        t timestamptz, n numeric[], x {SCHEMA}.tags
    );
    CREATE TYPE {SCHEMA}.words AS (m money, v tsvector, r regtype, i int4, o oidvector);
    CREATE TYPE {SCHEMA}.textrange AS RANGE (
        subtype = text, collation = "C", multirange_type_name = {SCHEMA}.textmultirange
    );
    CREATE TYPE {SCHEMA}.floatrange AS RANGE (
        subtype = float8, multirange_type_name = {SCHEMA}.floatmultirange
    );
    CREATE TYPE {SCHEMA}.moodrange AS RANGE (
        subtype = {SCHEMA}.mood, multirange_type_name = {SCHEMA}.moodmultirange
    );
"""

_USER_TYPES: Final = (
    *("mood", "positive", "span", "tags", "pair", "pair_domain", "nested", "words"),
    *("textrange", "textmultirange", "floatrange", "floatmultirange", "moodrange", "moodmultirange"),
)
#: The oids of their arrays are one higher.
_USER_OIDS: Final = {name: 90_000 + 2 * index for index, name in enumerate(_USER_TYPES)}


def _users(types: Mapping[str, TypeValues]) -> list[TypeValues]:
    oids = _USER_OIDS
    labels = st.sampled_from(_LABELS)
    floats = st.floats(allow_nan=False).map(lambda value: value + 0.0)

    def alias(name: str, base: TypeValues, values: st.SearchStrategy[Any], edges: tuple[Any, ...]) -> TypeValues:
        return replace(base, name=name, oid=oids[name], sql=_user(name), values=values, edges=edges)

    def made_of(name: str, **members: TypeValues) -> TypeValues:
        return _composite_of(name, oids[name], _user(name), members)

    def spans(
        name: str, subtype: TypeValues, bounds: st.SearchStrategy[Any], order: Any, *edges: Any
    ) -> list[TypeValues]:
        other = name.replace("range", "multirange")
        span = _range_of(subtype, name, oids[name], _user(name), bounds, edges, order=order)
        return [span, _multirange_of(span, other, oids[other], _user(other), bounds, order)]

    mood = TypeValues("mood", oids["mood"], _user("mood"), labels, _LABELS)
    positive = alias("positive", types["int4"], st.integers(1, 2**31 - 1), (1, 2**31 - 1))
    texts = types["_text"]
    tags = alias("tags", texts, texts.values, texts.edges)
    pair = made_of("pair", **{"a": types["int4"], "b c": types["text"]})
    nested = made_of(
        "nested",
        p=pair,
        ps=_array_of(pair, "", 0),
        m=mood,
        d=positive,
        r=types["int4range"],
        ms=types["nummultirange"],
        t=types["timestamptz"],
        n=types["_numeric"],
        x=tags,
    )
    words = {"m": "money", "v": "tsvector", "r": "regtype", "i": "int4", "o": "oidvector"}
    return [
        mood,
        positive,
        alias("span", types["int4range"], types["int4range"].values, types["int4range"].edges),
        tags,
        pair,
        alias("pair_domain", pair, pair.values, pair.edges),
        nested,
        made_of("words", **{key: types[name] for key, name in words.items()}),
        *spans("textrange", types["text"], _TEXT, _same, Range("", "NULL"), Range('"', "a,b]\\", upper_inc=True)),
        *spans("floatrange", types["float8"], floats, _order, Range(-math.inf, math.nan)),
        *spans("moodrange", mood, labels, _LABELS.index, Range(_LABELS[0], _LABELS[2])),
    ]


def _types() -> dict[str, TypeValues]:
    found = {entry.name: entry for entry in _SCALARS}

    def add(entries: Sequence[TypeValues]) -> None:
        for entry in entries:
            found[entry.name] = entry
            oid = entry.oid + 1 if entry.name in _USER_OIDS else BY_NAME[entry.name].array_oid
            if oid:
                found[f"_{entry.name}"] = _array_of(entry, f"_{entry.name}", oid)

    add(_SCALARS)
    add(_built_in_ranges(found))
    add(_users(found))
    return found


TYPES: Final[Mapping[str, TypeValues]] = _types()


def _infos() -> tuple[TypeInfo, ...]:
    oids = _USER_OIDS

    def info(name: str, kind: TypeKind, inner_oid: int = 0, attributes: Mapping[str, int] | None = None) -> TypeInfo:
        members = tuple((attributes or {}).items())
        return TypeInfo(oids[name], name, SCHEMA, name, kind, inner_oid=inner_oid, attributes=members)

    def builtin(name: str) -> int:
        return BY_NAME[name].oid

    attributes = {
        "pair": {"a": builtin("int4"), "b c": builtin("text")},
        "nested": {
            "p": oids["pair"],
            "ps": oids["pair"] + 1,
            "m": oids["mood"],
            "d": oids["positive"],
            "r": builtin("int4range"),
            "ms": builtin("nummultirange"),
            "t": builtin("timestamptz"),
            "n": builtin("_numeric"),
            "x": oids["tags"],
        },
        "words": {
            "m": builtin("money"),
            "v": builtin("tsvector"),
            "r": builtin("regtype"),
            "i": builtin("int4"),
            "o": builtin("oidvector"),
        },
    }
    found = [
        info("mood", TypeKind.ENUM),
        info("positive", TypeKind.DOMAIN, builtin("int4")),
        info("span", TypeKind.DOMAIN, builtin("int4range")),
        info("tags", TypeKind.DOMAIN, builtin("_text")),
        info("pair", TypeKind.COMPOSITE, attributes=attributes["pair"]),
        info("pair_domain", TypeKind.DOMAIN, oids["pair"]),
        info("nested", TypeKind.COMPOSITE, attributes=attributes["nested"]),
        info("words", TypeKind.COMPOSITE, attributes=attributes["words"]),
    ]
    for name, subtype in (("text", builtin("text")), ("float", builtin("float8")), ("mood", oids["mood"])):
        found.append(info(f"{name}range", TypeKind.RANGE, subtype))
        found.append(info(f"{name}multirange", TypeKind.MULTIRANGE, oids[f"{name}range"]))
    arrays = [
        TypeInfo(oid + 1, f"_{name}", SCHEMA, f"{name}[]", TypeKind.ARRAY, inner_oid=oid) for name, oid in oids.items()
    ]
    return *found, *arrays


#: What a database says of the types of `DDL`, with oids that no server gives.
INFOS: Final = _infos()
