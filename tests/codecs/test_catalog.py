"""The generated catalogue, as far as it can be seen without a server."""

from pathlib import Path

import pytest

from pgsansio.codecs import catalog
from pgsansio.codecs.catalog import BY_NAME, BY_OID, ELEMENTS, TypeEntry
from tests.support.generate_catalog import render


def rows_of_the_file() -> list[tuple[object, ...]]:
    return [(*row, True) for row in catalog._ROWS]


def test_the_file_is_what_the_generator_writes() -> None:
    assert Path(catalog.__file__).read_text(encoding="utf-8") == render(rows_of_the_file())


def test_an_irregular_array_type_is_refused() -> None:
    with pytest.raises(ValueError, match="the array type does not follow from its element"):
        render([(*rows_of_the_file()[0][:-1], False)])


def test_names_and_oids_are_unique() -> None:
    assert len(BY_OID) == len(BY_NAME) == len(catalog._ROWS) + len(ELEMENTS)
    assert all(oid == entry.oid and oid < 10_000 for oid, entry in BY_OID.items())


def test_arrays_follow_from_their_elements() -> None:
    assert BY_OID[1007] == TypeEntry(1007, "_int4", "integer[]", 0, 23, "A", "b", ",", 0, True)
    assert BY_NAME["_box"].delimiter == ";"
    assert BY_NAME["_char"].sql_name == '"char"[]'
    assert (BY_NAME["_record"].category, BY_NAME["_record"].typtype) == ("P", "p")
    assert ELEMENTS[1007] is not None
    assert ELEMENTS[1007].name == "int4"
    assert BY_NAME["int2vector"].oid not in ELEMENTS
    assert not BY_NAME["aclitem"].has_binary
    assert not BY_NAME["_aclitem"].has_binary


def test_ranges_and_multiranges_name_what_they_are_made_of() -> None:
    assert BY_NAME["int4range"].subtype_oid == BY_NAME["int4"].oid
    assert BY_NAME["tstzmultirange"].subtype_oid == BY_NAME["tstzrange"].oid
    assert {entry.typtype for entry in BY_OID.values() if entry.subtype_oid} == {"r", "m"}
    assert all(entry.subtype_oid in BY_OID for entry in BY_OID.values() if entry.typtype in ("r", "m"))
