"""The queries' texts, and the reading of rows. What a real server makes of them is in tests/server."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.catalog import BY_OID
from pgsansio.codecs.introspection import (
    FIELDS,
    NAME_PARAMETER_OIDS,
    PARAMETER_OIDS,
    asked_oids,
    name_arguments,
    read_types,
    types_by_name,
    types_by_oid,
)
from pgsansio.codecs.type_catalog import MAX_ATTRIBUTES, MAX_DEPTH, TypeCatalog
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import ProtocolError

TEXTS = {
    f"by {what} before {major}": text(major - 1)
    for major in (14, 19)
    for what, text in (("oid", types_by_oid), ("name", types_by_name))
}


def row(oid: int, kind: str = "e", inner: int = 0, **changed: Any) -> tuple[Any, ...]:
    """A row as the server sends it."""
    values = {
        "oid": oid,
        "name": f"t{oid}",
        "schema": "s",
        "sql_name": f"s.t{oid}",
        "kind": kind,
        "delimiter": ",",
        "inner_oid": inner,
        "attribute_names": None,
        "attribute_oids": None,
        "extension": "",
        "has_binary": True,
        "asked": False,
    }
    assert values.keys() == {field.name for field in FIELDS}
    assert changed.keys() <= values.keys()
    return tuple((values | changed).values())


def composite(oid: int, *parts: int, **changed: Any) -> tuple[Any, ...]:
    names = [f"a{number}" for number in range(len(parts))]
    return row(oid, "c", attribute_names=names or None, attribute_oids=list(parts) or None, **changed)


def test_parameters_and_columns_are_builtin_types() -> None:
    assert [BY_OID[oid].name for oid in PARAMETER_OIDS] == ["_oid"]
    assert [BY_OID[oid].name for oid in NAME_PARAMETER_OIDS] == ["text", "text", "bool"]
    assert {BY_OID[field.type_oid].name for field in FIELDS} == {"oid", "text", "bool", "_oid", "_text"}
    assert {(field.format, field.table_oid, field.column_number, field.type_modifier) for field in FIELDS} == {
        (Format.BINARY, 0, 0, -1)
    }


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_in_the_texts_is_looked_up_by_the_search_path(name: str) -> None:
    text = re.sub(r"'[^']*'", "''", TEXTS[name])
    words = r"(?i:SELECT|FROM|WHERE|AND|NOT|CASE|WHEN|THEN|ELSE|AS|LATERAL|UNION ALL|ANY|ARRAY|COALESCE|BY|END)"
    # Operators only as OPERATOR(pg_catalog.x), types and tables only as pg_catalog.x.
    rest = re.sub(r"OPERATOR\(pg_catalog\.(=|<>|>|\|\|)\)", "", text)
    assert not re.search(r"(?<!:):(?!:)|[=<>+\-*/|~!@#%^&]", rest)
    assert not re.search(r"::(?!pg_catalog\.)", rest)
    assert set(re.findall(r"(?:FROM|JOIN) (?!LATERAL)([\w.]+)", rest)) <= {
        *("levels", "asked"),
        *(f"pg_catalog.pg_{table}" for table in ("type", "attribute", "range", "namespace", "depend", "extension")),
    }
    called = {word for word in re.findall(r"([\w.]+) ?\(", rest) if not re.fullmatch(words, word)}
    assert {word for word in called if "." not in word} == {"asked", "levels", "part", "next", "attributes"}
    assert not re.search(r"\b(?:IN|BETWEEN|DISTINCT FROM|NULLIF|USING|LIKE|SIMILAR)\b", rest)
    assert not re.search(r"CASE(?!\s+WHEN)", rest)


def test_multiranges_are_asked_of_servers_that_have_them() -> None:
    for text in (types_by_oid, types_by_name):
        assert text(13) == text(10)
        assert text(14) == text(18)
        assert "rngmultitypid" in text(14)
        assert "rngmultitypid" not in text(13)


@pytest.mark.parametrize(
    ("schema", "typename", "arguments"),
    [
        ("public", "mood", ("mood", "public", False)),
        (None, "mood[]", ("mood", None, True)),
        ("s", "_mood", ("_mood", "s", False)),
    ],
)
def test_the_arguments_for_a_name(schema: str | None, typename: str, arguments: tuple[object, ...]) -> None:
    assert name_arguments(schema, typename) == arguments


def test_rows_become_types_with_parts_first() -> None:
    rows = [
        row(100_007, "d", 100_006),
        composite(100_006, 23, 100_002),
        row(100_002, "a", 100_001, delimiter=";", name="_mood"),
        row(100_005, "m", 100_004),
        row(100_004, "r", 100_003),
        row(100_003, "b", extension="ext"),
        row(100_001, "e", delimiter=";", name="mood", schema="public", sql_name="mood", asked=True),
        row(23, "b", name="int4", schema="pg_catalog", sql_name="integer"),
        row(100_008, "p", has_binary=False),
        composite(100_009),
    ]
    types = read_types(rows)
    assert set(types) == {
        TypeInfo(100_001, "mood", "public", "mood", TypeKind.ENUM, ";"),
        TypeInfo(100_002, "_mood", "s", "s.t100002", TypeKind.ARRAY, ";", 100_001),
        TypeInfo(100_003, "t100003", "s", "s.t100003", TypeKind.BASE, extension="ext"),
        TypeInfo(100_004, "t100004", "s", "s.t100004", TypeKind.RANGE, ",", 100_003),
        TypeInfo(100_005, "t100005", "s", "s.t100005", TypeKind.MULTIRANGE, ",", 100_004),
        TypeInfo(100_006, "t100006", "s", "s.t100006", TypeKind.COMPOSITE, attributes=(("a0", 23), ("a1", 100_002))),
        TypeInfo(100_007, "t100007", "s", "s.t100007", TypeKind.DOMAIN, ",", 100_006),
        TypeInfo(100_008, "t100008", "s", "s.t100008", TypeKind.PSEUDO, has_binary=False),
        TypeInfo(100_009, "t100009", "s", "s.t100009", TypeKind.COMPOSITE),
    }
    order = [info.oid for info in types]
    assert sorted(order) == list(range(100_001, 100_010))
    for whole, part in ((7, 6), (6, 2), (2, 1), (5, 4), (4, 3)):
        assert order.index(100_000 + whole) > order.index(100_000 + part)
    assert asked_oids(rows) == {100_001}


def test_no_rows_are_no_types() -> None:
    assert read_types([]) == []
    assert asked_oids([]) == frozenset()


def test_arrays_and_multiranges_belong_to_the_extension_of_their_elements() -> None:
    rows = [
        row(100_005, "a", 100_004),
        row(100_004, "m", 100_003),
        row(100_003, "r", 100_001, extension="ranges"),
        row(100_002, "a", 100_001),
        row(100_001, "b", extension="base"),
        row(100_006, "d", 100_001),
        row(100_007, "m", 100_003, extension="own"),
    ]
    extensions = {info.oid - 100_000: info.extension for info in read_types(rows)}
    # A domain over an extension's type is the user's own.
    assert extensions == {1: "base", 2: "base", 3: "ranges", 4: "ranges", 5: "ranges", 6: "", 7: "own"}


def test_what_has_a_part_without_binary_has_none_itself() -> None:
    rows = [
        row(100_001, "a", 100_002),
        row(100_002, "d", 100_003),
        composite(100_003, 23, 100_004),
        row(100_004, "b", has_binary=False),
        composite(100_005, 23, 1034),  # aclitem[], built-in
        composite(100_006, 23, 1007),
    ]
    assert {info.oid - 100_000: info.has_binary for info in read_types(rows)} == {
        1: False, 2: False, 3: False, 4: False, 5: False, 6: True,
    }  # fmt: skip


HOSTILE: dict[str, list[Any]] = {
    "cycle of one": [row(100_001, "d", 100_001)],
    "cycle": [row(100_001, "d", 100_002), row(100_002, "a", 100_003), composite(100_003, 23, 100_001)],
    "missing part": [row(100_001, "a", 100_002)],
    "missing attribute": [composite(100_001, 23, 100_002)],
    "builtin types' rows are no substitute": [composite(100_001, 83)],
    "row type of a table without its columns' types": [row(83, "c", attribute_names=["a"], attribute_oids=[424_242])],
    "one type twice": [row(100_001), row(100_001)],
    "unknown kind": [row(100_001, "x")],
    "no kind": [row(100_001, "")],
    "kind of another type": [row(100_001, kind=["e"])],  # type: ignore[arg-type]
    "an oid that is a bool": [row(True)],
    "an array of nothing": [row(100_001, "a")],
    "an enum of something": [row(100_001, "e", 23)],
    "an array of arrays": [row(100_001, "a", 1007)],
    "a multirange of integers": [row(100_001, "m", 23)],
    "attributes of an enum": [row(100_001, attribute_names=["a"], attribute_oids=[23])],
    "more names than types": [row(100_001, "c", attribute_names=["a", "b"], attribute_oids=[23])],
    "names without types": [row(100_001, "c", attribute_names=["a"])],
    "a type without a name": [row(100_001, "c", attribute_names=[None], attribute_oids=[23])],
    "an attribute without a type": [row(100_001, "c", attribute_names=["a"], attribute_oids=[None])],
    "an attribute of type 0": [composite(100_001, 0)],
    "attributes in two dimensions": [row(100_001, "c", attribute_names=[["a"]], attribute_oids=[[23]])],
    "too many attributes": [composite(100_001, *[23] * (MAX_ATTRIBUTES + 1))],
    "too deep": [row(100_001 + n, "d", 100_002 + n) for n in range(100_000)] + [row(200_001)],
    "oid 0": [row(0)],
    "oid too large": [row(2**32)],
    "delimiter": [row(100_001, delimiter="")],
    "two delimiters": [row(100_001, delimiter=",,")],
    "empty name": [row(100_001, name="")],
    "no oid": [row(None)],  # type: ignore[arg-type]
    "a column too few": [row(100_001)[:-1]],
    "a column too many": [(*row(100_001), None)],
    "one name twice": [row(100_001, name="a"), row(100_002, name="a")],
    **{
        f"no {column}": [row(100_001, **dict[str, Any]({column: None}))]
        for column in ("name", "schema", "sql_name", "delimiter", "inner_oid", "extension", "has_binary", "asked")
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_rows_end_in_a_protocol_error(name: str) -> None:
    with pytest.raises(ProtocolError, match="the server's description of types is wrong: "):
        read_types(HOSTILE[name])


def test_hostile_rows_do_not_tell_what_was_asked_either() -> None:
    with pytest.raises(ProtocolError, match="the server's description of types is wrong: "):
        asked_oids([row(100_001, asked=None)])


def test_the_ends_of_what_is_possible() -> None:
    deep = [row(100_001 + n, "d", 100_002 + n) for n in range(MAX_DEPTH - 1)] + [row(100_000 + MAX_DEPTH)]
    wide = composite(200_001, *[23] * MAX_ATTRIBUTES)
    assert len(read_types([wide, *deep])) == MAX_DEPTH + 1


OIDS = st.sampled_from(range(100_001, 100_005))
PARTS = st.sampled_from([0, 23, 1007, 3904, *range(100_001, 100_005)])
CELLS = st.one_of(
    *(st.none(), st.booleans(), st.integers(0, 2**32), st.sampled_from("abcdemprx,"), st.text()),
    st.lists(st.integers(0, 9)),
)
ROWS = st.one_of(
    st.builds(row, OIDS, st.sampled_from("abcdempr"), PARTS),
    st.builds(lambda oid, parts: composite(oid, *parts), OIDS, st.lists(PARTS)),
    st.tuples(*[CELLS] * len(FIELDS)),
)


@given(st.lists(ROWS, max_size=5))
def test_any_rows_are_types_that_can_be_learned_or_a_protocol_error(rows: list[tuple[Any, ...]]) -> None:
    try:
        types = read_types(rows)
    except ProtocolError:
        return
    catalog = TypeCatalog()
    catalog.learn(types)
    assert catalog.missing([info.oid for info in types]) == frozenset()
