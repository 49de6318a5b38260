"""Descriptions of statements: how many are kept, how long, and what is asked for by them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs import Registry
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.codecs.custom import TypeCodec
from pgsansio.codecs.descriptions import Description, Descriptions
from pgsansio.codecs.row_plan import ALL_BINARY, as_asked, result_formats
from pgsansio.codecs.type_info import TypeInfo, TypeKind
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.messages.backend import DataRow, FieldDescription
from pgsansio.messages.data_row import column_values, with_column

INT4, NUMERIC, INT4_ARRAY, RECORD, ACLITEM = 23, 1700, 1007, 2249, 1033


def field(format_: Format = Format.TEXT, oid: int = INT4) -> FieldDescription:
    return FieldDescription("a", 1, 2, oid, 4, -1, format_)


NOTHING = Description((), ())


# What is kept


def test_the_least_recently_used_go_first() -> None:
    known = Descriptions()
    for number in range(1000):
        known.put(str(number), Description((number,), ()))
    assert known.get("0") == Description((0,), ())
    known.put("new", NOTHING)
    assert len(known) == 1000
    assert known.get("1") is None
    assert known.get("0") is not None


def test_long_texts_do_not_pile_up() -> None:
    known = Descriptions()
    for number in range(100):
        known.put(f"{number:03}" + "x" * (1 << 16), NOTHING)
    assert len(known) == 63
    for number in range(1000):
        known.put(str(number), NOTHING)  # all of one character count is given back
    assert len(known) == 1000
    known.put("x" * ((1 << 22) + 1), NOTHING)
    assert len(known) == 0
    known.put("x", NOTHING)
    assert len(known) == 1


def test_what_is_put_again_counts_once() -> None:
    known = Descriptions()
    for number in range(200):
        known.put("x" * (1 << 21), Description((number,), ()))
    assert len(known) == 1
    known.forget("y")
    known.forget("x" * (1 << 21))
    known.put("x" * (1 << 22), NOTHING)
    assert len(known) == 1
    known.clear()
    known.put("y" * (1 << 22), NOTHING)
    assert len(known) == 1


def test_a_hint_has_a_lifetime() -> None:
    known = Descriptions()
    known.put("a", Description((), (), since=100.0))
    assert known.get("a", 109.9, 10.0) is not None
    assert known.get("a", 1e9) is not None
    assert known.get("a", 110.0, 10.0) is None
    assert len(known) == 0


def test_sessions_of_another_kind_have_their_own() -> None:
    codecs = CodecSet()
    assert codecs.descriptions("a") is codecs.descriptions("a")
    assert codecs.descriptions("a") is not codecs.descriptions("b")


# Formats


@given(st.lists(st.sampled_from(Format), max_size=8))
def test_columns_come_as_they_were_asked_for(formats: list[Format]) -> None:
    wanted = tuple([field(one) for one in formats])
    described = [field() for _ in formats]
    assert as_asked(described, result_formats(wanted)) == wanted
    assert as_asked(described, ALL_BINARY) == tuple([field(Format.BINARY) for _ in formats])


def test_as_many_as_were_asked_for() -> None:
    formats = result_formats([field(Format.TEXT), field(Format.BINARY)])
    assert as_asked([field()], formats) is None
    assert as_asked([field()] * 3, formats) is None
    # The server does not look at the formats where there is no result.
    assert as_asked([], formats) == ()
    # One format is for all of them, none is text.
    assert as_asked([field()] * 2, b"\0\0") == (field(), field())


# What a codec is given


def test_what_reads_alike_in_another_format() -> None:
    registry = Registry()
    assert registry.reads_alike(INT4, Format.BINARY)
    assert registry.reads_alike(INT4, Format.TEXT)
    assert registry.reads_alike(INT4_ARRAY, Format.TEXT)
    assert registry.reads_alike(ACLITEM, Format.TEXT)
    assert not registry.reads_alike(ACLITEM, Format.BINARY)
    assert not registry.reads_alike(16400, Format.TEXT)
    assert not registry.reads_alike(16400, Format.BINARY)


def test_a_bridge_does_not() -> None:
    registry = Registry()
    registry.declare([TypeCodec("int4", schema="pg_catalog", encoder=str, decoder=str, format="text")])
    assert registry.reads_alike(INT4, Format.TEXT)
    assert not registry.reads_alike(INT4, Format.BINARY)
    assert not registry.reads_alike(INT4_ARRAY, Format.BINARY)
    assert registry.reads_alike(INT4_ARRAY, Format.TEXT)
    assert registry.reads_alike(NUMERIC, Format.BINARY)
    # Its members tell of themselves, in either case.
    assert registry.reads_alike(RECORD, Format.BINARY)
    registry.declare([TypeCodec("int4", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")])
    assert not registry.reads_alike(INT4, Format.TEXT)
    assert registry.reads_alike(INT4, Format.BINARY)


def test_parts_that_no_format_suits() -> None:
    registry = Registry()
    registry.catalog.learn(
        [
            TypeInfo(16500, "one", "public", "one", TypeKind.BASE),
            TypeInfo(16501, "two", "public", "two", TypeKind.BASE),
            TypeInfo(17001, "both", "public", "both", TypeKind.COMPOSITE, attributes=(("a", 16500), ("b", 16501))),
        ]
    )
    registry.declare(
        [
            TypeCodec("one", encoder=str, decoder=str, format="text"),
            TypeCodec("two", encoder=bytes, decoder=bytes, format="binary"),
        ]
    )
    with pytest.raises(UnsupportedClientFeatureError):
        registry.reads_alike(17001, Format.BINARY)


# Columns that are still bytes

VALUES = st.one_of(st.none(), st.binary(max_size=5))


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[VALUES] * width), max_size=5)), st.data())
def test_a_column_of_rows(rows: list[tuple[bytes | None, ...]], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows[0]) - 1 if rows else 0))
    encoded = b"".join(DataRow(row).encode() for row in rows)
    values = column_values(encoded, index)
    assert values == [row[index] for row in rows if row[index] is not None]
    changed = with_column(encoded, index, [b"<" + value + b">" for value in values])
    expected = [
        DataRow(
            tuple(
                b"<" + value + b">" if number == index and value is not None else value
                for number, value in enumerate(row)
            )
        ).encode()
        for row in rows
    ]
    assert changed == b"".join(expected)


def test_rows_that_are_too_short_for_the_column() -> None:
    encoded = DataRow((b"a",)).encode() + DataRow((b"b", b"c")).encode()
    assert column_values(encoded, 1) == [b"c"]
    assert with_column(encoded, 1, [b"d"]) == DataRow((b"a",)).encode() + DataRow((b"b", b"d")).encode()


def test_texts_whose_names_are_of_no_use_do_not_pile_up() -> None:
    known = Descriptions()
    for number in range(1000):
        known.do_without_name(str(number))
    assert len(known.nameless) == 1000
    known.do_without_name("new")
    assert known.nameless == {"new"}
