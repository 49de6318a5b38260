"""The SQL that asks a server about types, and the reading of its rows.

One query asks for types, by their oids or by a name, and for everything that they are made of. Its parameters and
columns are of built-in types only and known here (`PARAMETER_OIDS`, `FIELDS`), so Parse, Bind, Execute and Sync can go
out together: one round trip, with the unnamed statement, which needs no pooler to remember anything.

How this works: the recursive part goes from level to level, each an array of oids in one row: those asked for, what
they are made of, and so on until nothing new is found. One row per level instead of one row per type, LIMIT 1 and
arrays of unknown size keep the planner's estimate low, however many types a database has: it multiplies the rows of a
recursion by ten, and above 100000 (jit_above_cost) the server would compile for longer than the query runs.

Nothing here depends on the caller's search_path: every function, operator, type and table is named with its schema.
What compares without an operator (UNION, DISTINCT, ORDER BY) goes by the type's default operator class; IN, BETWEEN,
CASE x WHEN, IS DISTINCT FROM and JOIN USING look for an operator by name and are not used.

Source: manual, "System Catalogs", pg_type, pg_attribute, pg_range, pg_depend.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeVar, cast

from pgsansio.codecs.catalog import BY_NAME
from pgsansio.codecs.codec import type_name
from pgsansio.codecs.type_catalog import builtin_info, check_type, parts_first, parts_of
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import ProtocolError
from pgsansio.messages.backend import FieldDescription

__all__ = [
    "FIELDS",
    "NAME_PARAMETER_OIDS",
    "PARAMETER_OIDS",
    "asked_oids",
    "name_arguments",
    "read_types",
    "types_by_name",
    "types_by_oid",
]

T = TypeVar("T")

#: Array types are told by their input function: all that the server makes have array_in, and nothing else can have it.
#: (typsubscript says the same of int2vector, whose values are no arrays' values.) Before 18, the row type of an
#: extension's table or view belongs to the extension only by way of that, so pg_depend is asked for both.
_SELECT: Final = """\
WITH RECURSIVE asked(oids) AS (
    {asked}
),
levels(known, fresh) AS (
    SELECT asked.oids, asked.oids
    FROM asked
  UNION ALL
    SELECT level.known OPERATOR(pg_catalog.||) next.oids, next.oids
    FROM (SELECT levels.known, levels.fresh FROM levels LIMIT 1) AS level
    CROSS JOIN LATERAL (
        SELECT pg_catalog.array_agg(DISTINCT part.oid)
        FROM pg_catalog.pg_type AS t
        CROSS JOIN LATERAL (
            SELECT t.typelem
            WHERE t.typinput OPERATOR(pg_catalog.=) 'pg_catalog.array_in'::pg_catalog.regproc
          UNION ALL
            SELECT t.typbasetype
            WHERE t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char"
          UNION ALL
            SELECT a.atttypid
            FROM pg_catalog.pg_attribute AS a
            WHERE t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char"
              AND a.attrelid OPERATOR(pg_catalog.=) t.typrelid
              AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
              AND NOT a.attisdropped
          UNION ALL
            SELECT r.rngsubtype
            FROM pg_catalog.pg_range AS r
            WHERE r.rngtypid OPERATOR(pg_catalog.=) t.oid{multirange_part}
        ) AS part(oid)
        WHERE t.oid OPERATOR(pg_catalog.=) ANY (level.fresh)
          AND NOT part.oid OPERATOR(pg_catalog.=) ANY (level.known)
    ) AS next(oids)
    WHERE next.oids IS NOT NULL
)
SELECT
    t.oid,
    t.typname::pg_catalog.text AS name,
    n.nspname::pg_catalog.text AS schema,
    pg_catalog.format_type(t.oid, NULL) AS sql_name,
    CASE
        WHEN t.typinput OPERATOR(pg_catalog.=) 'pg_catalog.array_in'::pg_catalog.regproc THEN 'a'::pg_catalog.text
        ELSE t.typtype::pg_catalog.text
    END AS kind,
    t.typdelim::pg_catalog.text AS delimiter,
    CASE
        WHEN t.typinput OPERATOR(pg_catalog.=) 'pg_catalog.array_in'::pg_catalog.regproc THEN t.typelem
        WHEN t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog."char" THEN t.typbasetype
        ELSE COALESCE(
            (
                SELECT r.rngsubtype
                FROM pg_catalog.pg_range AS r
                WHERE r.rngtypid OPERATOR(pg_catalog.=) t.oid
            ),{multirange}
            0::pg_catalog.oid
        )
    END AS inner_oid,
    attributes.names AS attribute_names,
    attributes.oids AS attribute_oids,
    COALESCE(
        (
            SELECT x.extname::pg_catalog.text
            FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_extension AS x ON x.oid OPERATOR(pg_catalog.=) d.refobjid
            WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
              AND d.objid OPERATOR(pg_catalog.=) t.oid
              AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
              AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
            LIMIT 1
        ),
        (
            SELECT x.extname::pg_catalog.text
            FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_extension AS x ON x.oid OPERATOR(pg_catalog.=) d.refobjid
            WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.objid OPERATOR(pg_catalog.=) t.typrelid
              AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
              AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char"
            LIMIT 1
        ),
        ''::pg_catalog.text
    ) AS extension,
    t.typsend OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
        AND t.typreceive OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AS has_binary,
    t.oid OPERATOR(pg_catalog.=) ANY (asked.oids) AS asked
FROM asked
CROSS JOIN pg_catalog.pg_type AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum),
           pg_catalog.array_agg(a.atttypid ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute AS a
    WHERE t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char"
      AND a.attrelid OPERATOR(pg_catalog.=) t.typrelid
      AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
      AND NOT a.attisdropped
) AS attributes(names, oids)
WHERE t.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT pg_catalog.unnest(levels.fresh) FROM levels))"""

_BY_OID: Final = "SELECT $1::pg_catalog.oid[]"

#: $1: typname; $2: the schema, or NULL; $3: whether its array type is asked for, whose own name may be anything.
_BY_NAME: Final = """\
SELECT pg_catalog.array_agg(CASE WHEN $3::pg_catalog.bool THEN t.typarray ELSE t.oid END)
    FROM pg_catalog.pg_type AS t
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
    WHERE t.typname OPERATOR(pg_catalog.=) $1::pg_catalog.text
      AND CASE
          WHEN $2::pg_catalog.text IS NULL THEN pg_catalog.pg_type_is_visible(t.oid)
          ELSE n.nspname OPERATOR(pg_catalog.=) $2::pg_catalog.text
      END"""

_MULTIRANGE_PART: Final = """
          UNION ALL
            SELECT r.rngtypid
            FROM pg_catalog.pg_range AS r
            WHERE r.rngmultitypid OPERATOR(pg_catalog.=) t.oid"""

_MULTIRANGE: Final = """
            (
                SELECT r.rngtypid
                FROM pg_catalog.pg_range AS r
                WHERE r.rngmultitypid OPERATOR(pg_catalog.=) t.oid
            ),"""


def _texts(asked: str) -> tuple[str, str]:
    """The query for servers before 14, which have no multiranges, and for the others."""
    return (
        _SELECT.format(asked=asked, multirange_part="", multirange=""),
        _SELECT.format(asked=asked, multirange_part=_MULTIRANGE_PART, multirange=_MULTIRANGE),
    )


_TYPES_BY_OID: Final = _texts(_BY_OID)
_TYPES_BY_NAME: Final = _texts(_BY_NAME)


def types_by_oid(server_major: int) -> str:
    """The query for types and all that they are made of, by their oids.

    Its parameter is a list of oids (`PARAMETER_OIDS`); those that no type has give no row. Rows are as in `FIELDS`, in
    no order.
    """
    return _TYPES_BY_OID[server_major >= 14]


def types_by_name(server_major: int) -> str:
    """The query for a type and all that it is made of, by its name; no rows if there is none.

    Its parameters are `name_arguments` (`NAME_PARAMETER_OIDS`), its rows are as those of `types_by_oid`.
    """
    return _TYPES_BY_NAME[server_major >= 14]


def name_arguments(schema: str | None, typename: str) -> tuple[str, str | None, bool]:
    """The arguments of `types_by_name`.

    Args:
        schema: None: the type that this name means in the session that asks, by its search_path.
        typename: typname, exactly; or, for an array type, its element's with [] behind it.
    """
    element = typename.removesuffix("[]")
    return element, schema, element != typename


_TEXT, _OID, _BOOL = BY_NAME["text"], BY_NAME["oid"], BY_NAME["bool"]

#: The types of the parameters, for Parse.
PARAMETER_OIDS: Final = (_OID.array_oid,)
NAME_PARAMETER_OIDS: Final = (_TEXT.oid, _TEXT.oid, _BOOL.oid)

#: The columns of both queries, all in binary: what Describe would say, if it was asked.
FIELDS: Final = tuple(
    FieldDescription(name, 0, 0, type_oid, type_size, -1, Format.BINARY)
    for name, type_oid, type_size in (
        ("oid", _OID.oid, 4),
        ("name", _TEXT.oid, -1),
        ("schema", _TEXT.oid, -1),
        ("sql_name", _TEXT.oid, -1),
        ("kind", _TEXT.oid, -1),
        ("delimiter", _TEXT.oid, -1),
        ("inner_oid", _OID.oid, 4),
        ("attribute_names", _TEXT.array_oid, -1),
        ("attribute_oids", _OID.array_oid, -1),
        ("extension", _TEXT.oid, -1),
        ("has_binary", _BOOL.oid, 1),
        ("asked", _BOOL.oid, 1),
    )
)

_KINDS: Final[Mapping[str, TypeKind]] = {
    "a": TypeKind.ARRAY,
    "b": TypeKind.BASE,
    "c": TypeKind.COMPOSITE,
    "d": TypeKind.DOMAIN,
    "e": TypeKind.ENUM,
    "m": TypeKind.MULTIRANGE,
    "p": TypeKind.PSEUDO,
    "r": TypeKind.RANGE,
}


def read_types(rows: Iterable[Iterable[object]]) -> list[TypeInfo]:
    """The types that these rows describe, without the built-in ones, each behind what it is made of.

    What a type inherits is filled in: the extension of an array or a multirange is that of what it is made of, and a
    type has a binary form only if all of its parts have one.

    Args:
        rows: of one of the two queries, all of them.
    Raises:
        ProtocolError: they contradict each other or what a catalogue may say.
    """
    infos: dict[int, TypeInfo] = {}
    names: set[tuple[str, str]] = set()
    try:
        for row in rows:
            info, _ = _read_row(row)
            check_type(info)
            if info.oid in infos or (info.schema, info.name) in names:
                raise ValueError(f"there are two rows for type {info.oid}, or for one of its name")
            infos[info.oid] = info
            names.add((info.schema, info.name))
        types: list[TypeInfo] = []
        for oid in parts_first(infos, infos):
            if builtin_info(oid) is None:
                infos[oid] = _with_inherited(infos[oid], infos)
                types.append(infos[oid])
    except ValueError as error:
        raise ProtocolError(f"the server's description of types is wrong: {error}") from None
    return types


def asked_oids(rows: Iterable[Iterable[object]]) -> frozenset[int]:
    """Which of the types in these rows were asked for: the others are what those are made of.

    Raises:
        ProtocolError: as `read_types`.
    """
    try:
        return frozenset([info.oid for info, asked in map(_read_row, rows) if asked])
    except ValueError as error:
        raise ProtocolError(f"the server's description of types is wrong: {error}") from None


def _with_inherited(info: TypeInfo, infos: Mapping[int, TypeInfo]) -> TypeInfo:
    extension, has_binary = info.extension, info.has_binary
    for oid in parts_of(info):
        part = builtin_info(oid) or infos.get(oid)
        if part is None:
            raise ValueError(f"type {info.oid} is made of type {oid}, of which there is no row")
        has_binary = has_binary and part.has_binary
        if info.kind in (TypeKind.ARRAY, TypeKind.MULTIRANGE):
            # Servers before 18 note of them only that they depend on what they are made of.
            extension = extension or part.extension
    return replace(info, extension=extension, has_binary=has_binary)


def _read_row(row: Iterable[object]) -> tuple[TypeInfo, bool]:
    """A row by itself; raises ValueError."""
    values = tuple(row)
    if len(values) != len(FIELDS):
        raise ValueError(f"a row has {len(values)} columns instead of {len(FIELDS)}")
    oid, name, schema, sql_name, letter, delimiter, inner_oid, names, oids, extension, has_binary, asked = values
    kind = _KINDS.get(_one(str, letter))
    if kind is None:
        raise ValueError("there is a type of an unknown kind")
    attribute_names, attribute_oids = _list_of(str, names), _list_of(int, oids)
    if len(attribute_names) != len(attribute_oids):
        raise ValueError(f"a type has {len(attribute_names)} names of attributes, but {len(attribute_oids)} types")
    info = TypeInfo(
        oid=_one(int, oid),
        name=_one(str, name),
        schema=_one(str, schema),
        sql_name=_one(str, sql_name),
        kind=kind,
        delimiter=_one(str, delimiter),
        inner_oid=_one(int, inner_oid),
        attributes=tuple(zip(attribute_names, attribute_oids, strict=True)),
        extension=_one(str, extension),
        has_binary=_one(bool, has_binary),
    )
    return info, _one(bool, asked)


def _one(kind: type[T], value: object) -> T:
    # Exactly: True is no oid.
    if type(value) is not kind:
        raise ValueError(f"there is a value of type {type_name(value)} instead of {kind.__name__}")
    return value


def _list_of(kind: type[T], value: object) -> list[T]:
    # NULL: a type without attributes.
    return [] if value is None else [_one(kind, item) for item in cast("list[object]", _one(list, value))]
