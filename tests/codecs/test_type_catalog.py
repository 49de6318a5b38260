"""What is known of a database's types: built-in ones, learned ones, exports."""

import gc
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.catalog import BY_NAME, BY_OID
from pgsansio.codecs.type_catalog import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    TypeCatalog,
    builtin_info,
    builtin_oid,
    parts_first,
    parts_of,
)
from pgsansio.codecs.type_info import TypeInfo, TypeKind

INT4 = 23


def base(oid: int, name: str = "", schema: str = "public") -> TypeInfo:
    name = name or f"t{oid}"
    return TypeInfo(oid, name, schema, name, TypeKind.BASE)


def enum(oid: int, name: str = "", schema: str = "public") -> TypeInfo:
    return replace(base(oid, name, schema), kind=TypeKind.ENUM)


def array(oid: int, element: int, name: str = "") -> TypeInfo:
    return replace(base(oid, name), kind=TypeKind.ARRAY, inner_oid=element)


def domain(oid: int, inner: int) -> TypeInfo:
    return replace(base(oid), kind=TypeKind.DOMAIN, inner_oid=inner)


def composite(oid: int, *parts: int) -> TypeInfo:
    attributes = tuple((f"a{number}", part) for number, part in enumerate(parts))
    return replace(base(oid), kind=TypeKind.COMPOSITE, attributes=attributes)


def multirange(oid: int, inner: int) -> TypeInfo:
    return replace(base(oid), kind=TypeKind.MULTIRANGE, inner_oid=inner)


def range_(oid: int, inner: int) -> TypeInfo:
    return replace(base(oid), kind=TypeKind.RANGE, inner_oid=inner)


class Observer:
    def __init__(self) -> None:
        self.told = 0

    def types_changed(self) -> None:
        self.told += 1


# Built-in types


def test_builtin_types_are_described_without_asking() -> None:
    assert builtin_info(INT4) == TypeInfo(23, "int4", "pg_catalog", "integer", TypeKind.BASE)
    assert builtin_info(1007) == TypeInfo(1007, "_int4", "pg_catalog", "integer[]", TypeKind.ARRAY, ",", 23)
    assert builtin_info(3904) == TypeInfo(3904, "int4range", "pg_catalog", "int4range", TypeKind.RANGE, ",", 23)
    assert builtin_info(4451) == TypeInfo(
        4451, "int4multirange", "pg_catalog", "int4multirange", TypeKind.MULTIRANGE, ",", 3904
    )
    assert builtin_info(6150) == TypeInfo(
        6150, "_int4multirange", "pg_catalog", "int4multirange[]", TypeKind.ARRAY, ",", 4451
    )
    assert builtin_info(2287) == TypeInfo(2287, "_record", "pg_catalog", "record[]", TypeKind.ARRAY, ",", 2249)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("int2vector", TypeKind.BASE),
        ("oidvector", TypeKind.BASE),
        ("point", TypeKind.BASE),
        ("name", TypeKind.BASE),
        ("record", TypeKind.PSEUDO),
        ("anyarray", TypeKind.PSEUDO),
        ("_int2vector", TypeKind.ARRAY),
    ],
)
def test_what_can_be_subscripted_is_not_always_an_array(name: str, kind: TypeKind) -> None:
    info = builtin_info(BY_NAME[name].oid)
    assert info is not None
    assert info.kind is kind
    assert bool(info.inner_oid) is (kind is TypeKind.ARRAY)


def test_what_has_no_binary_form() -> None:
    lacking = {info.name for oid in BY_OID if (info := builtin_info(oid)) is not None and not info.has_binary}
    assert {"aclitem", "_aclitem", "gtsvector", "_gtsvector", "any", "internal"} <= lacking
    assert not {"int4", "_int4", "money", "record", "void", "regclass"} & lacking


def test_the_row_types_of_catalogue_tables_are_asked_for() -> None:
    for name in ("pg_class", "_pg_class", "pg_type", "pg_database"):
        assert builtin_info(BY_NAME[name].oid) is None
        assert builtin_oid(name) is None
    assert builtin_info(16384) is None


def test_all_builtin_types_but_row_types_are_known_with_their_parts() -> None:
    catalog = TypeCatalog()
    rows = {
        oid for oid, entry in BY_OID.items() if entry.typtype == "c" or BY_OID.get(entry.element_oid, entry)[6] == "c"
    }
    assert catalog.missing(BY_OID) == rows
    assert len(rows) == 13


@pytest.mark.checklist("K-7")
@pytest.mark.parametrize(
    ("name", "typname"),
    [
        ("int4", "int4"),
        ("int", "int4"),
        ("INTEGER", "int4"),
        ("smallint", "int2"),
        ("bigint", "int8"),
        ("real", "float4"),
        ("float", "float8"),
        ("double  precision", "float8"),
        ("decimal", "numeric"),
        ("dec", "numeric"),
        ("boolean", "bool"),
        ("timestamp", "timestamp"),
        ("timestamp with time zone", "timestamptz"),
        ("Timestamp Without Time Zone", "timestamp"),
        ("timestamp with timezone", "timestamptz"),
        ("time with time zone", "timetz"),
        ("time without timezone", "time"),
        ("varchar", "varchar"),
        ("character varying", "varchar"),
        ("char varying", "varchar"),
        ("bit varying", "varbit"),
        ("char", "bpchar"),
        ("character", "bpchar"),
        ('"char"', "char"),
        ("int[]", "_int4"),
        ("integer[]", "_int4"),
        ("int4[]", "_int4"),
        ("_int4", "_int4"),
        ("double precision[]", "_float8"),
        ("timestamp with time zone[]", "_timestamptz"),
        ("decimal[]", "_numeric"),
        ("char[]", "_bpchar"),
        ('"char"[]', "_char"),
        ("_char", "_char"),
        ("box[]", "_box"),
        ("int4range[]", "_int4range"),
        ("record", "record"),
        ("void", "void"),
    ],
)
def test_builtin_types_are_found_by_the_names_of_sql(name: str, typname: str) -> None:
    assert builtin_oid(name) == BY_NAME[typname].oid
    found = TypeCatalog().find("pg_catalog", name)
    assert found is not None
    assert found.name == typname


@pytest.mark.parametrize("name", ["", "[]", "int[][]", "_int", "void[]", "serial", "numeric(10,2)", '"int4"', "hstore"])
def test_other_names_mean_no_builtin_type(name: str) -> None:
    assert builtin_oid(name) is None
    assert TypeCatalog().find("pg_catalog", name) is None


def test_every_builtin_type_is_found_by_typname_and_by_sql_name() -> None:
    for oid in BY_OID:
        info = builtin_info(oid)
        if info is not None:
            assert builtin_oid(info.sql_name) == oid
            assert builtin_oid(info.name) == oid or info.name == "char"


def test_builtin_types_are_found_in_their_schema_only() -> None:
    assert TypeCatalog().find("public", "int4") is None


def test_builtin_types_cannot_be_learned_or_forgotten() -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(INT4, "int4", "pg_catalog")])
    catalog.forget([INT4])
    assert catalog.info(INT4) == builtin_info(INT4)
    assert (catalog.generation, catalog.export()) == (0, [])


# Learning and finding


def test_what_was_learned_is_known() -> None:
    catalog = TypeCatalog()
    infos = [enum(100_001, "mood"), array(100_002, 100_001, "_mood"), composite(100_003, INT4, 100_002)]
    catalog.learn(infos)
    assert [catalog.info(info.oid) for info in infos] == infos
    assert catalog.info(100_004) is None
    assert catalog.find("public", "mood") == infos[0]
    assert catalog.find("other", "mood") is None


def test_an_array_is_found_by_its_elements_name() -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(100_001, "mood"), array(100_002, 100_001, "__mood"), domain(100_003, 100_001)])
    assert catalog.find("public", "mood[]") == catalog.info(100_002)
    assert catalog.find("public", "__mood") == catalog.info(100_002)
    assert catalog.find("public", "mood[][]") is None
    assert catalog.find("public", "t100003[]") is None
    catalog.learn([base(100_009, "mood[]")])
    assert catalog.find("public", "mood[]") == catalog.info(100_009)


def test_equal_names_in_two_schemas_are_two_types() -> None:
    catalog = TypeCatalog()
    one, two = enum(100_001, "mood", "one"), composite(100_002)
    two = replace(two, name="mood", schema="two")
    catalog.learn([one, two])
    assert catalog.find("one", "mood") == one
    assert catalog.find("two", "mood") == two
    catalog.forget([100_001])
    assert catalog.find("one", "mood") is None
    assert catalog.find("two", "mood") == two


def test_what_is_missing_is_told_with_the_parts() -> None:
    catalog = TypeCatalog()
    catalog.learn([composite(100_001, INT4, 100_002, 100_003), array(100_003, 100_004), enum(100_005)])
    assert catalog.missing([]) == frozenset()
    assert catalog.missing([INT4, 1007, 100_005]) == frozenset()
    assert catalog.missing([100_001, 100_006, INT4]) == {100_002, 100_004, 100_006}


def test_forgetting_takes_along_what_is_made_of_it() -> None:
    catalog = TypeCatalog()
    catalog.learn(
        [
            enum(100_001),
            array(100_002, 100_001),
            composite(100_003, 100_002, 100_001),
            domain(100_004, 100_003),
            enum(100_005),
        ]
    )
    catalog.forget([100_002, 424_242])
    assert [catalog.info(100_000 + n) is not None for n in range(1, 6)] == [True, False, False, False, True]
    catalog.forget([100_001])
    assert catalog.missing(range(100_001, 100_006)) == {100_001, 100_002, 100_003, 100_004}
    # Nothing of the old ones is left behind: they are learned as if for the first time.
    generation = catalog.generation
    catalog.learn([enum(100_001), array(100_002, 100_001)])
    assert catalog.generation == generation
    catalog.clear()
    assert catalog.export() == []


def test_what_uses_an_unknown_type_is_forgotten_with_it() -> None:
    catalog = TypeCatalog()
    catalog.learn([array(100_002, 100_001)])
    catalog.forget([100_001])
    assert catalog.info(100_002) is None


# Change


def test_only_what_alters_an_answer_is_a_change() -> None:
    catalog, observer = TypeCatalog(), Observer()
    catalog.observe(observer)

    def changes() -> int:
        assert observer.told == catalog.generation
        return observer.told

    catalog.learn([enum(100_001), array(100_002, 100_001)])
    catalog.learn([composite(100_003, 100_002)])
    catalog.learn([])
    catalog.learn([enum(100_001)])
    catalog.forget([100_009])
    assert changes() == 0
    catalog.learn([domain(100_001, INT4)])
    assert changes() == 1
    catalog.learn([array(100_005, 100_004)])
    assert changes() == 1
    catalog.learn([enum(100_004)])  # a part of what was known without it
    assert changes() == 2
    catalog.forget([100_001])
    assert changes() == 3
    catalog.clear()
    assert changes() == 4
    catalog.clear()
    assert changes() == 4


def test_observers_are_told_after_the_change_and_held_weakly() -> None:
    catalog = TypeCatalog()
    seen: list[TypeInfo | None] = []

    class Looks:
        def types_changed(self) -> None:
            seen.append(catalog.info(100_001))

    observer = Looks()
    catalog.observe(observer)
    catalog.learn([enum(100_001)])
    catalog.learn([base(100_001)])
    assert seen == [base(100_001)]
    del observer
    gc.collect()
    catalog.clear()
    assert seen == [base(100_001)]


def test_a_search_path_of_another_session_is_no_change() -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(100_001, "mood")])
    catalog.learn([replace(enum(100_001, "mood"), sql_name="public.mood")])
    assert catalog.generation == 0
    assert catalog.find("public", "mood") == enum(100_001, "mood")


def test_a_name_that_has_passed_to_another_type() -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(100_001, "mood"), array(100_002, 100_001), composite(100_003, 100_002), enum(100_004)])
    catalog.learn([enum(100_005, "mood")])
    assert catalog.find("public", "mood") == enum(100_005, "mood")
    assert catalog.missing(range(100_001, 100_006)) == {100_001, 100_002, 100_003}
    assert catalog.generation == 1


def test_what_is_told_anew_is_not_forgotten_with_its_old_parts() -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(100_001, "mood"), composite(100_002, 100_001), domain(100_003, 100_002)])
    catalog.learn([enum(100_005, "mood"), composite(100_002, 100_005)])
    assert catalog.missing([100_003]) == frozenset()
    assert catalog.info(100_001) is None
    assert catalog.generation == 1


def test_what_is_forgotten_contradicts_nothing() -> None:
    catalog = TypeCatalog()
    catalog.learn([domain(100_001, 100_002), enum(100_002)])
    # As if 100001 still was what it was: then 100002 would be made of itself.
    catalog.learn([enum(100_003, "t100001"), array(100_002, 100_001)])
    assert catalog.missing([100_002, 100_003]) == {100_001}


def test_two_types_may_exchange_their_names() -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(100_001, "a"), enum(100_002, "b")])
    catalog.learn([enum(100_001, "b"), enum(100_002, "a")])
    assert catalog.find("public", "a") == enum(100_002, "a")
    assert catalog.find("public", "b") == enum(100_001, "b")


# Nonsense

NONSENSE: dict[str, list[TypeInfo]] = {
    "oid 0": [enum(0)],
    "oid too large": [enum(2**32)],
    "no name": [replace(enum(100_001), name="")],
    "no schema": [replace(enum(100_001), schema="")],
    "an array of nothing": [array(100_001, 0)],
    "an array of an impossible oid": [array(100_001, -1)],
    "an enum of something": [replace(enum(100_001), inner_oid=23)],
    "attributes of an enum": [replace(enum(100_001), attributes=(("a", 23),))],
    "an attribute of no type": [composite(100_001, 0)],
    "too many attributes": [composite(100_001, *[23] * (MAX_ATTRIBUTES + 1))],
    "no delimiter": [replace(enum(100_001), delimiter="")],
    "a delimiter of two": [replace(enum(100_001), delimiter=",,")],
    "a delimiter beyond ASCII": [replace(enum(100_001), delimiter="é")],
    "made of itself": [domain(100_001, 100_001)],
    "a cycle": [domain(100_001, 100_002), array(100_002, 100_003), composite(100_003, 23, 100_001)],
    "an array of arrays": [array(100_001, 1007)],
    "a multirange of an enum": [enum(100_001), multirange(100_002, 100_001)],
    "too deep": [domain(100_001 + n, 100_002 + n) for n in range(MAX_DEPTH)] + [domain(100_001 + MAX_DEPTH, 23)],
    "one oid twice": [enum(100_001), base(100_001)],
    "one name twice": [enum(100_001, "a"), enum(100_002, "a")],
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_and_nothing_learned(name: str) -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(200_001)])
    with pytest.raises(ValueError):
        catalog.learn([enum(200_002), *NONSENSE[name]])
    assert catalog.missing([200_001, 200_002]) == {200_002}
    assert catalog.generation == 0
    assert len(catalog.export()) == 1


def test_nonsense_together_with_what_is_known_is_refused() -> None:
    catalog = TypeCatalog()
    catalog.learn([domain(100_001, 100_002), composite(100_002, 100_003), enum(100_004)])
    with pytest.raises(ValueError, match="is made of itself"):
        catalog.learn([array(100_003, 100_001)])
    with pytest.raises(ValueError, match="is made of itself"):
        catalog.learn([domain(100_004, 100_005), domain(100_005, 100_004)])
    assert catalog.missing([100_001]) == {100_003}
    deep = TypeCatalog()
    deep.learn([domain(100_001 + n, 100_002 + n) for n in range(MAX_DEPTH - 1)])
    with pytest.raises(ValueError, match="deep"):
        deep.learn([domain(100_000 + MAX_DEPTH, 100_500), domain(100_500, 23)])
    deep.learn([domain(100_000 + MAX_DEPTH, 23)])
    assert deep.missing([100_001]) == frozenset()


def test_saying_the_same_twice_is_no_contradiction() -> None:
    catalog = TypeCatalog()
    catalog.learn([enum(100_001), enum(100_001)])
    assert catalog.info(100_001) == enum(100_001)


def test_a_cycle_that_is_dissolved_is_none() -> None:
    catalog = TypeCatalog()
    catalog.learn([domain(100_001, 100_002), domain(100_002, 23)])
    catalog.learn([domain(100_001, 23), domain(100_002, 100_001)])
    assert catalog.missing([100_002]) == frozenset()


def test_the_ends_of_what_is_possible() -> None:
    catalog = TypeCatalog()
    deep = [domain(100_001 + n, 100_002 + n) for n in range(MAX_DEPTH - 1)] + [domain(100_000 + MAX_DEPTH, 23)]
    catalog.learn([*deep, composite(200_001, *[23] * MAX_ATTRIBUTES), enum(2**32 - 1), composite(200_002)])
    assert catalog.missing([100_001, 200_001, 200_002, 2**32 - 1]) == frozenset()


def test_a_type_used_in_many_ways_is_looked_at_once() -> None:
    # 2**60 ways lead from the last one to the first.
    infos = [composite(100_001 + n, 100_000 + n, 100_000 + n) for n in range(60)]
    infos[0] = composite(100_001, 23, 23)
    catalog = TypeCatalog()
    catalog.learn(reversed(infos))
    assert catalog.missing([100_060]) == frozenset()
    assert [entry["oid"] for entry in catalog.export()] == [info.oid for info in infos]


# Export

ANYTHING = [
    replace(enum(100_001, "müd", "sch 1"), sql_name='"sch 1"."müd"', extension="ext", delimiter=";"),
    replace(array(100_002, 100_001), delimiter=";", extension="ext"),
    range_(100_003, 100_001),
    multirange(100_004, 100_003),
    composite(100_005, INT4, 100_002, 100_004, 100_777),
    domain(100_006, 100_005),
    replace(base(100_007), has_binary=False),
    replace(base(100_008), kind=TypeKind.PSEUDO),
]


def test_an_export_makes_the_same_catalogue() -> None:
    catalog = TypeCatalog()
    catalog.learn(reversed(ANYTHING))
    exported = json.loads(json.dumps(catalog.export()))
    copy = TypeCatalog.from_export(exported)
    assert [copy.info(info.oid) for info in ANYTHING] == ANYTHING
    assert copy.generation == 0
    assert copy.export() == catalog.export() == exported
    oids = [entry["oid"] for entry in exported]
    assert all(oids.index(part) < oids.index(i.oid) for i in ANYTHING for part in parts_of(i) if part in oids)


def test_what_is_usual_may_be_left_out_of_an_entry() -> None:
    catalog = TypeCatalog.from_export([{"oid": 100_001, "schema": "s", "name": "mood", "kind": "enum"}])
    assert catalog.info(100_001) == TypeInfo(100_001, "mood", "s", "s.mood", TypeKind.ENUM)


ENTRY: dict[str, Any] = {"oid": 100_001, "schema": "s", "name": "n", "kind": "composite", "attributes": [["a", 23]]}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"oid": "100001"}, "entry 1 of the exported types has a wrong oid: '100001'"),
        ({"oid": True}, "wrong oid"),
        ({"oid": 1.0}, "wrong oid"),
        ({"oid": None}, "has no oid"),
        ({"oid": 0}, "impossible oid"),
        ({"schema": 1}, "wrong schema"),
        ({"name": None}, "has no name"),
        ({"name": ""}, "has no name"),
        ({"kind": "table"}, "unknown kind: 'table'"),
        ({"kind": 1}, "wrong kind"),
        ({"kind": "enum"}, "of kind enum, has attributes"),
        ({"sql_name": 1}, "wrong sql_name"),
        ({"delimiter": "::"}, "delimiter"),
        ({"inner_oid": "23"}, "wrong inner_oid"),
        ({"attributes": {"a": 23}}, "wrong attributes"),
        ({"attributes": [["a"]]}, "attribute that is not a name and an oid"),
        ({"attributes": [["a", "23"]]}, "attribute that is not a name and an oid"),
        ({"attributes": ["a2"]}, "attribute that is not a name and an oid"),
        ({"attributes": [["a", 100_001]]}, "made of itself"),
        ({"has_binary": 1}, "wrong has_binary"),
        ({"extension": 1}, "wrong extension"),
        ({"owner": "me"}, "unknown key: 'owner'"),
    ],
)
def test_nonsense_in_an_export_is_refused(changed: dict[str, Any], text: str) -> None:
    good = {"oid": 100_002, "schema": "s", "name": "m", "kind": "enum"}
    catalog = TypeCatalog()
    with pytest.raises(ValueError, match=text):
        catalog.learn_export([good, ENTRY | changed])
    assert catalog.export() == []
    catalog.learn_export([good, ENTRY])


@pytest.mark.parametrize("entry", [None, 1, "x", [], ["oid"]])
def test_an_entry_that_is_no_mapping_is_refused(entry: Any) -> None:
    with pytest.raises(ValueError, match="entry 0 of the exported types is not a mapping"):
        TypeCatalog.from_export([entry])


# All of it against a model: a graph of types that changes


OIDS = range(100_001, 100_009)


@st.composite
def graphs(draw: st.DrawFn) -> list[TypeInfo]:
    chosen = draw(st.lists(st.sampled_from(OIDS), unique=True, max_size=5))
    parts = st.lists(st.sampled_from([INT4, *OIDS]), max_size=3)
    return [composite(oid, *draw(parts)) for oid in chosen]


@given(st.lists(st.one_of(graphs(), st.sets(st.sampled_from(OIDS), max_size=2)), max_size=12))
def test_a_catalogue_keeps_its_promises(steps: list[list[TypeInfo] | set[int]]) -> None:
    catalog, model = TypeCatalog(), dict[int, TypeInfo]()
    for step in steps:
        before = dict(model)
        generation = catalog.generation
        if isinstance(step, set):
            gone = set(step)
            while more := {oid for oid, info in model.items() if oid not in gone and gone & set(parts_of(info))}:
                gone |= more
            model = {oid: info for oid, info in model.items() if oid not in gone}
            catalog.forget(step)
        else:
            future = model | {info.oid: info for info in step}
            try:
                parts_first(future, future)
            except ValueError:
                with pytest.raises(ValueError):
                    catalog.learn(step)
            else:
                catalog.learn(step)
                model = future
        assert {oid: catalog.info(oid) for oid in OIDS} == {oid: model.get(oid) for oid in OIDS}
        assert {catalog.find("public", f"t{oid}") for oid in OIDS} - {None} == set(model.values())
        known_changed = any(model.get(oid) != info for oid, info in before.items())
        new_parts = (model.keys() - before.keys()) & {part for info in before.values() for part in parts_of(info)}
        assert (catalog.generation > generation) is bool(known_changed or new_parts)
        assert catalog.missing(OIDS) == {oid for oid in OIDS if oid not in model}
