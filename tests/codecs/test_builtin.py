"""Every type of the catalogue has a codec or a reason why not."""

from pgsansio.codecs import text_only
from pgsansio.codecs.builtin import AS_TEXT, BUILTIN, PREFERRED, WITHOUT
from pgsansio.codecs.catalog import BY_NAME, BY_OID
from pgsansio.enums import Format


def test_every_type_has_a_codec_or_a_reason() -> None:
    having = {BY_OID[oid].name for oid, _ in BUILTIN}
    assert having | set(WITHOUT) == set(BY_NAME)
    assert not having & set(WITHOUT)
    assert all(WITHOUT.values())


def test_codecs_are_where_they_belong() -> None:
    for (oid, wire_format), codec in BUILTIN.items():
        assert (codec.oid, codec.format, codec.name) == (oid, wire_format, BY_OID[oid].sql_name)
        # What text comes as must be known of every type, since a simple query gives nothing else.
        assert (oid, Format.TEXT) in BUILTIN


def test_a_type_prefers_a_format_that_it_has() -> None:
    assert set(PREFERRED) == {oid for oid, _ in BUILTIN}
    for oid, wire_format in PREFERRED.items():
        assert (oid, wire_format) in BUILTIN


def test_text_is_preferred_for_a_reason() -> None:
    assert {BY_OID[oid].name for oid, wire_format in PREFERRED.items() if wire_format is Format.TEXT} == set(AS_TEXT)
    assert all(AS_TEXT.values())
    assert set(AS_TEXT) - set(text_only.REASONS) == {"int2vector", "oidvector", "tsquery", "tsvector"}


def test_no_module_has_a_type_of_another() -> None:
    from pgsansio.codecs import builtin

    assert len(BUILTIN) == sum(map(len, builtin._PAIRS))
