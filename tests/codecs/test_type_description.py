"""Types as they are described to users."""

import pytest

from pgsansio.codecs.type_catalog import TypeCatalog
from pgsansio.codecs.type_description import describe_type
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.types.description import Type

INT4, INT4_ARRAY, INT4RANGE, INT4MULTIRANGE = 23, 1007, 3904, 4451

KNOWN = [
    TypeInfo(16400, "pair", "public", "pair", TypeKind.COMPOSITE, attributes=(("a", INT4),)),
    TypeInfo(16401, "_pair", "public", "pair[]", TypeKind.ARRAY, inner_oid=16400),
    TypeInfo(16402, "small", "app", "app.small", TypeKind.DOMAIN, inner_oid=INT4),
    TypeInfo(16403, "smaller", "app", "app.smaller", TypeKind.DOMAIN, inner_oid=16402),
    TypeInfo(16404, "pairs", "public", "pairs", TypeKind.DOMAIN, inner_oid=16401),
    TypeInfo(16405, "mood", "public", "mood", TypeKind.ENUM),
]


@pytest.mark.parametrize(
    ("oid", "description"),
    [
        (INT4, Type(INT4, "int4", "scalar", "pg_catalog")),
        (INT4_ARRAY, Type(INT4_ARRAY, "int4[]", "array", "pg_catalog")),
        (INT4RANGE, Type(INT4RANGE, "int4range", "range", "pg_catalog")),
        (INT4MULTIRANGE, Type(INT4MULTIRANGE, "int4multirange", "multirange", "pg_catalog")),
        (16400, Type(16400, "pair", "composite", "public")),
        (16401, Type(16401, "pair[]", "array", "public")),
        (16402, Type(16402, "int4", "scalar", "pg_catalog")),
        (16403, Type(16403, "int4", "scalar", "pg_catalog")),
        (16404, Type(16404, "pair[]", "array", "public")),
        (16405, Type(16405, "mood", "scalar", "public")),
        (16406, Type(16406, "type 16406", "scalar", "unknown")),
    ],
)
def test_a_type(oid: int, description: Type) -> None:
    catalog = TypeCatalog()
    catalog.learn(KNOWN)
    assert describe_type(catalog, oid) == description


def test_what_was_forgotten_is_unknown() -> None:
    catalog = TypeCatalog()
    catalog.learn(KNOWN)
    assert describe_type(catalog, 16400).kind == "composite"
    catalog.clear()
    assert describe_type(catalog, 16400) == Type(16400, "type 16400", "scalar", "unknown")
    assert describe_type(catalog, INT4) == Type(INT4, "int4", "scalar", "pg_catalog")
