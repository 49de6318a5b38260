"""Plans follow the formats of the RowDescription, result formats follow the codecs."""

import pytest

from pgsansio.codecs import Registry, plan_parameters, plan_rows, result_formats, with_formats
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.enums import Format
from pgsansio.kernel import Record
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.messages.backend import FieldDescription

INT4 = BY_NAME["int4"].oid
INT4_ARRAY = BY_NAME["_int4"].oid
JSON = BY_NAME["json"].oid
UNKNOWN_OID = 16999


def field(name: str, oid: int, wire_format: Format = Format.TEXT) -> FieldDescription:
    return FieldDescription(name, 0, 0, oid, -1, -1, wire_format)


class MyRecord(Record):
    pass


def test_rows_are_decoded_as_they_are_sent() -> None:
    registry = Registry()
    fields = (
        field("a", INT4, Format.BINARY),
        field("a", INT4, Format.TEXT),
        field("b", INT4_ARRAY, Format.TEXT),
        field("c", UNKNOWN_OID, Format.TEXT),
        field("d", UNKNOWN_OID, Format.BINARY),
    )
    plan = plan_rows(registry, fields, MyRecord)
    assert plan.names == ("a", "a", "b", "c", "d")
    assert plan.record_class is MyRecord
    columns = (b"\x00\x00\x00\x05", b"5", b"{5,NULL}", b"five", b"\x05")
    values = [codec.decode(data) for codec, data in zip(plan.codecs, columns, strict=True)]
    assert values == [5, 5, [5, None], "five", b"\x05"]
    assert tuple(plan.record(values)) == (5, 5, [5, None], "five", b"\x05")


def test_no_columns() -> None:
    plan = plan_rows(Registry(), (), Record)
    assert plan.names == plan.codecs == ()
    assert result_formats(()) == b"\x00\x00"


@pytest.mark.parametrize(
    ("oids", "formats"),
    [
        ((INT4,), b"\x00\x01\x00\x01"),
        ((INT4, INT4_ARRAY, JSON), b"\x00\x01\x00\x01"),
        ((UNKNOWN_OID,), b"\x00\x01\x00\x00"),
        ((INT4, UNKNOWN_OID, JSON), b"\x00\x03\x00\x01\x00\x00\x00\x01"),
        ((INT4, BY_NAME["_money"].oid), b"\x00\x02\x00\x01\x00\x00"),
        ((UNKNOWN_OID,) * 1664, b"\x06\x80" + b"\x00\x00" * 1664),
    ],
)
def test_result_formats(oids: tuple[int, ...], formats: bytes) -> None:
    # The formats of a described statement are always text, and mean nothing.
    assert result_formats(with_formats(Registry(), [field("a", oid) for oid in oids])) == formats


def test_a_users_codec_decides_about_the_format() -> None:
    registry = Registry()
    mine = ValueCodec(JSON, "json", Opcode.CALL, Format.TEXT, bytes.decode, str.encode)
    registry.set_codec(JSON, mine)
    assert result_formats(with_formats(registry, [field("a", INT4), field("b", JSON)])) == b"\x00\x02\x00\x01\x00\x00"
    plan = plan_rows(registry, [field("a", INT4, Format.BINARY), field("b", JSON, Format.TEXT)], Record)
    assert plan.codecs[1] is mine
    assert plan_parameters(registry, [JSON]).codecs == (mine,)


def test_parameters() -> None:
    registry = Registry()
    plan = plan_parameters(registry, (INT4, UNKNOWN_OID, INT4_ARRAY))
    first, second, third = plan.codecs
    assert first is registry.codec(INT4)
    assert (second.oid, second.format) == (UNKNOWN_OID, Format.TEXT)
    assert third is registry.codec(INT4_ARRAY)
    assert plan_parameters(registry, ()).codecs == ()
