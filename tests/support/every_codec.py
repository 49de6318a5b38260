"""Every codec that there is, with valid values: what tests and fuzz targets of hostile input run over.

The built-in ones come from their table, those of extensions from their package; a type of either that is new needs a
value in `VALUES`. Around each of them stand made-up types: a domain, a composite, a range, a multirange, arrays of all
these. Then there are enums, anonymous records, deep nests, and one type for each kind of declaration.
"""

import enum
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any, Final, NamedTuple
from uuid import UUID

from pgsansio.codecs import Registry, contrib
from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME, BY_OID, ELEMENTS
from pgsansio.codecs.contrib import ExtensionType
from pgsansio.codecs.custom import AliasCodec, CompositeCodec, EnumCodec, TypeCodec, json_codecs
from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.kernel.contract import ValueCodec
from pgsansio.types import BitString, Box, Circle, Line, LineSegment, Path, Point, Polygon
from pgsansio.types.cube import Cube
from pgsansio.types.sparse_vector import SparseVector

__all__ = [
    "DECLARED",
    "EXTENSION_TYPES",
    "VALUES",
    "Case",
    "builtin_cases",
    "custom_cases",
    "different_cases",
    "every_case",
    "registry",
]

_TSVECTOR: Final = bytes.fromhex("00000001 666174 00 0002 0002 c003")
#: The right side of & before the left: 'rat':*A, then !'fat'.
_TSQUERY: Final = bytes.fromhex("00000004 0202 010801 726174 00 0201 010000 666174 00")

#: typname -> a value; where the formats do not take the same one, (binary, text).
VALUES: Final[dict[str, object]] = {
    "bit": BitString("101"),
    "bool": True,
    "box": Box((1, 2), (0, -1.5)),
    "bpchar": "ab ",
    "bytea": b"a\x00\\'\xff",
    "char": b"x",
    "cid": 7,
    "cidr": ip_network("10.0.0.0/8"),
    "circle": Circle((1, 2), 3),
    "cstring": "c",
    "date": date(2024, 2, 29),
    "float4": 1.5,
    "float8": -0.1,
    "inet": ip_address("fe80::1"),
    "int2": -7,
    "int2vector": (1, -2),
    "int4": 1_000_000,
    "int8": -(2**40),
    "interval": timedelta(1, 2, 3),
    "json": '{"a": [1, "\\u0041"]}',
    "jsonb": '{"a": 1}',
    "jsonpath": '$."a"',
    "line": Line(1, 2, 3),
    "lseg": LineSegment((1, 2), (3, 4)),
    "macaddr": "08:00:2b:01:02:03",
    "macaddr8": "08:00:2b:ff:fe:01:02:03",
    "name": "näme",
    "numeric": Decimal("-12345.6789"),
    "oid": 2**32 - 1,
    "oidvector": (1, 2**32 - 1),
    "path": Path((1, 2), (3, 4), is_closed=True),
    "pg_brin_bloom_summary": (b"abc", "abc"),
    "pg_brin_minmax_multi_summary": (b"abc", "abc"),
    "pg_lsn": 2**63,
    "pg_mcv_list": b"abc",
    "pg_node_tree": "{CONST}",
    "pg_snapshot": (10, 20, (10, 14)),
    "point": Point(1, -2.5),
    "polygon": Polygon((1, 2), (3, 4)),
    "refcursor": "cursor",
    "text": 'a "b", \\{NULL}()[] é',
    "tid": (7, 8),
    "time": time(1, 2, 3, 4),
    "timestamp": datetime(2024, 2, 29, 1, 2, 3, 4),
    "timestamptz": datetime(2024, 2, 29, 1, 2, 3, 4, UTC),
    "timetz": time(1, 2, 3, 4, timezone(timedelta(hours=-2))),
    "tsquery": (_TSQUERY, "!'fat' & 'rat':*A"),
    "tsvector": (_TSVECTOR, "'fat':2,3A"),
    "txid_snapshot": (10, 20, ()),
    "unknown": "x",
    "uuid": UUID(int=2**127 + 1),
    "varbit": BitString("1" * 13),
    "varchar": "v",
    "void": None,
    "xid": 7,
    "xid8": 2**63,
    "xml": "<a/>",
    # Extensions.
    "citext": "Ab",
    "cube": Cube((1, 2), (3, 4)),
    "halfvec": (1.0, -0.5),
    "hstore": {"a": "1", 'b"\\': None},
    "lquery": "a.*",
    "ltree": "a.b",
    "ltxtquery": "a & b",
    "sparsevec": SparseVector({1: 1.5, 3: -2.0}, 5),
    "vector": (1.0, -2.5),
}

EXTENSION_TYPES: Final[tuple[ExtensionType, ...]] = tuple(
    {
        item.typename: item
        for value in (*vars(contrib).values(), *contrib.DEFAULTS, *contrib.PGVECTOR)
        if isinstance(item := value, ExtensionType)
    }.values()
)


class Case(NamedTuple):
    """A codec and a valid value in its format; None if it can only be refused."""

    label: str
    codec: ValueCodec
    valid: bytes | None


@dataclass
class _Pair:
    a: int | None
    b: str | None


class _Color(enum.Enum):
    RED = "red"
    GREEN = "green"


def _same(value: Any) -> Any:
    return value


#: One of each kind, for types of `_custom_infos`; JSON's are for built-in types.
DECLARED: Final = (
    TypeCodec("u_text", encoder=_same, decoder=_same),
    TypeCodec("u_binary", encoder=_same, decoder=_same, format="binary"),
    TypeCodec("u_pair", encoder=_same, decoder=_same, format="tuple"),
    TypeCodec("interval", schema="pg_catalog", encoder=_same, decoder=_same, format="tuple"),
    EnumCodec("u_color", _Color),
    CompositeCodec("u_class", _Pair),
    AliasCodec("u_alias", codec_name="int4"),
    AliasCodec("u_hstore", codec_name="pg_contrib.hstore"),
    *json_codecs((json.dumps, json.loads)),
)

_CUSTOM_VALUES: Final[dict[str, object]] = {
    "u_text": "a,b",
    "u_binary": b"\x00\x01",
    "u_pair": (1, "b"),
    "interval": (1, 2, 3),
    "u_color": _Color.RED,
    "u_class": _Pair(1, "b"),
    "u_alias": 7,
    "u_hstore": {"a": None},
    "json": {"a": [1]},
    "jsonb": {"a": [1]},
}


class _World:
    """Made-up types, under oids of their own."""

    def __init__(self) -> None:
        self.infos: list[TypeInfo] = []
        self.values: dict[int, Any] = {}

    def add(self, name: str, kind: TypeKind, value: object, **more: Any) -> int:
        """The oid of a new type; `value` is one, or (binary, text)."""
        oid = 200_000 + len(self.infos)
        self.infos.append(TypeInfo(oid, name, "public", name, kind, **more))
        self.values[oid] = value
        return oid

    def around(self, name: str, oid: int, value: object) -> None:
        """What can be made of a type: `value` is one of it."""
        domain = self.add(f"{name}_domain", TypeKind.DOMAIN, value, inner_oid=oid)
        composite = self.add(
            f"{name}_row", TypeKind.COMPOSITE, (value, None, value), attributes=(("a", oid), ("ü", oid), ("c", domain))
        )
        self.add(f"{name}_domains", TypeKind.ARRAY, [value, None], inner_oid=domain)
        self.add(f"{name}_rows", TypeKind.ARRAY, [(value, value, None), None], inner_oid=composite)
        span = self.add(f"{name}_range", TypeKind.RANGE, (value, value), inner_oid=oid)
        spans = self.add(f"{name}_multirange", TypeKind.MULTIRANGE, [(value, None), (None, value)], inner_oid=span)
        self.add(f"{name}_multiranges", TypeKind.ARRAY, [((value, value),), None], inner_oid=spans)


def _value(name: str, wire_format: Format) -> object:
    # Of the types that are text only, the binary form is bytes to us.
    value = VALUES.get(name, "x" if wire_format is Format.TEXT else b"x")
    if isinstance(value, tuple) and name.startswith(("ts", "pg_brin")):
        return value[wire_format is Format.TEXT]
    return value


def _worlds() -> Iterator[tuple[Format, _World]]:
    for wire_format in (Format.BINARY, Format.TEXT):
        yield wire_format, _world(wire_format)


@cache
def _world(wire_format: Format) -> _World:
    """The same types for both formats; the values may differ."""
    world = _World()
    for oid in sorted({oid for oid, _ in BUILTIN}):
        entry = BY_OID[oid]
        value = _value(entry.name, wire_format)
        if value is not None:
            world.around(entry.name, oid, value)
            if not entry.array_oid:
                world.add(f"_{entry.name}", TypeKind.ARRAY, [value], inner_oid=oid)
    for item in EXTENSION_TYPES:
        value = _value(item.typename, wire_format)
        oid = world.add(item.typename, TypeKind.BASE, value, extension=item.extension)
        world.add(f"_{item.typename}", TypeKind.ARRAY, [value, None], inner_oid=oid)
        world.around(item.typename, oid, value)
    enum_oid = world.add("color", TypeKind.ENUM, "red")
    world.around("color", enum_oid, "red")
    world.add("unsendable", TypeKind.BASE, "x" if wire_format is Format.TEXT else b"x", has_binary=False)
    world.add("nothing", TypeKind.COMPOSITE, ())
    nested, value = BY_NAME["int4"].oid, 7
    for depth in range(12):
        nested = world.add(f"nested_{depth}", TypeKind.COMPOSITE, (value := (value,)), attributes=(("n", nested),))
    return world


@cache
def registry() -> Registry:
    """Knows all made-up types, and the extensions' declarations."""
    catalog = TypeCatalog()
    catalog.learn(_world(Format.BINARY).infos)
    found = Registry(catalog=catalog)
    found.declare(EXTENSION_TYPES)
    return found


def _case(label: str, codec: ValueCodec, value: object) -> Case:
    try:
        valid = b"" if value is None else codec.encode(value)
    except Exception as error:
        error.add_note(f"{label}: {value!r}")
        raise
    return Case(f"{label}-{codec.format.name.lower()}", codec, valid)


@cache
def builtin_cases() -> tuple[Case, ...]:
    """Every codec in the table of built-in types."""
    return tuple(
        [_case(BY_OID[oid].name, codec, _value(BY_OID[oid].name, codec.format)) for (oid, _), codec in BUILTIN.items()]
    )


def _record(*members: tuple[int, bytes | None]) -> bytes:
    fields = [struct.pack(">Ii", oid, -1 if data is None else len(data)) + (data or b"") for oid, data in members]
    return struct.pack(">i", len(members)) + b"".join(fields)


def _records() -> Iterator[Case]:
    inner = _record((23, b"\0\0\0\7"), (25, None), (BY_NAME["tsvector"].oid, _TSVECTOR))
    record, records = BY_NAME["record"].oid, BY_NAME["record"].array_oid
    array = struct.pack(">iiIii", 1, 0, record, 1, 1) + struct.pack(">i", len(inner)) + inner
    outer = _record((record, inner), (1009, None), (records, array), (25, b"text"))
    for wire_format, valid, many in (
        (Format.BINARY, outer, array),
        (Format.TEXT, b'(1,,"a b")', b'{"(1,,\\"a b\\")"}'),
    ):
        label = wire_format.name.lower()
        yield Case(f"record-{label}", registry().codec_in(record, wire_format), valid)
        yield Case(f"record[]-{label}", registry().codec_in(records, wire_format), many)


def _composed() -> Iterator[Case]:
    for wire_format, world in _worlds():
        for info in world.infos:
            yield _case(info.name, registry().codec_in(info.oid, wire_format), world.values[info.oid])
        for oid, element in ELEMENTS.items():
            if (element.oid, wire_format) in BUILTIN and element.oid != BY_NAME["record"].oid:
                value = _value(element.name, wire_format)
                yield _case(f"{element.name}[]", registry().codec_in(oid, wire_format), [value, None, value])
        for entry in BY_OID.values():
            if entry.typtype in "rm":
                bound = entry.subtype_oid if entry.typtype == "r" else BY_OID[entry.subtype_oid].subtype_oid
                value = _value(BY_OID[bound].name, wire_format)
                span: tuple[object, ...] = (value, value)
                # In an array, a list would be a dimension.
                item = span if entry.typtype == "r" else (span,)
                yield _case(entry.name, registry().codec_in(entry.oid, wire_format), item)
                yield _case(f"{entry.name}[]", registry().codec_in(entry.array_oid, wire_format), [item, None])
    for wire_format in Format:
        yield Case(f"unknown oid-{wire_format.name.lower()}", registry().codec_in(999_999, wire_format), b"x")


@cache
def custom_cases() -> tuple[Case, ...]:
    """A codec for each of `DECLARED`, and what is made of them, in the formats that they have."""
    world = _World()
    world.infos += _world(Format.BINARY).infos
    attributes = (("a", BY_NAME["int4"].oid), ("b", BY_NAME["text"].oid))
    start = len(world.infos)
    for declaration in DECLARED:
        name = declaration.typename
        if declaration.schema == "pg_catalog":
            oid = BY_NAME[name].oid
        elif name in ("u_pair", "u_class"):
            oid = world.add(name, TypeKind.COMPOSITE, _CUSTOM_VALUES[name], attributes=attributes)
        elif name == "u_color":
            oid = world.add(name, TypeKind.ENUM, _CUSTOM_VALUES[name])
        else:
            oid = world.add(name, TypeKind.BASE, _CUSTOM_VALUES[name])
        world.values[oid] = _CUSTOM_VALUES[name]
        world.around(f"of_{name}", oid, _CUSTOM_VALUES[name])
    catalog = TypeCatalog()
    catalog.learn(world.infos)
    layer = Registry(catalog=catalog)
    layer.declare(EXTENSION_TYPES)
    layer = Registry(layer)
    layer.declare(DECLARED)
    cases: list[Case] = []
    oids = [oid for oid in world.values if oid >= 200_000 + start or oid < 200_000]
    for oid in oids:
        info = catalog.info(oid)
        assert info is not None
        for wire_format in Format:
            found = layer.codec_in(oid, wire_format)
            try:
                cases.append(_case(f"custom {info.name}", found, world.values[oid]))
            except UnsupportedClientFeatureError:
                continue  # the declaration is for binary only, and so is what holds such values
            except (TypeError, ValueError):
                # In binary it is bytes, since the declaration is for text.
                cases.append(Case(f"custom {info.name}-{wire_format.name.lower()}", found, None))
    return tuple(cases)


#: Types around which made-up ones are looked at closely; around the others they differ in nothing but their parts.
_WELL_SURROUNDED: Final = ("bytea", "color", "hstore", "int2vector", "int4", "numeric", "point", "text", "timestamptz")


@cache
def different_cases() -> tuple[Case, ...]:
    """Of `every_case`, those that have functions of their own, and made-up types around a few only."""
    found: dict[tuple[int, Format], Case] = {}
    for case in every_case():
        base, _, around = case.label.rpartition("-")[0].rpartition("_")
        made_up = around in ("domain", "row", "domains", "rows", "range", "multirange", "multiranges")
        if not made_up or base in _WELL_SURROUNDED or base.startswith("custom"):
            found.setdefault((id(case.codec.decode), case.codec.format), case)
    return tuple(found.values())


@cache
def every_case() -> tuple[Case, ...]:
    return (*builtin_cases(), *_composed(), *_records(), *custom_cases())
