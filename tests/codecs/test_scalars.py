"""Network, text search and system types: bytes from real servers both ways, and what neither they nor users may do."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsansio.codecs import identifiers, network, summaries, text_only, text_search, vector
from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from tests.codecs.scalar_vectors import SCALARS
from tests.codecs.test_refused import ANYTHING

#: Only the server parses what a user writes.
READ_ONLY = ("tsvector", "tsquery")

CODECS: list[ValueCodec] = [
    codec
    for module in (identifiers, network, summaries, text_only, text_search, vector)
    for codecs in module.CODECS
    for codec in codecs
]


def binary(name: str) -> ValueCodec:
    return BUILTIN[BY_NAME[name].oid, Format.BINARY]


def text(name: str) -> ValueCodec:
    return BUILTIN[BY_NAME[name].oid, Format.TEXT]


def same(left: object, right: object) -> bool:
    return type(left) is type(right) and repr(left) == repr(right)


def test_every_type_has_a_vector() -> None:
    names = {pair[0].name for module in (identifiers, network, text_search, vector) for pair in module.CODECS}
    assert names == {name for name, _, _, _ in SCALARS}


@pytest.mark.parametrize(("name", "shown", "data", "value"), SCALARS)
def test_both_formats_decode(name: str, shown: bytes, data: str, value: object) -> None:
    assert same(binary(name).decode(bytes.fromhex(data)), value)
    assert same(text(name).decode(shown), value)


@pytest.mark.parametrize(("name", "shown", "data", "value"), SCALARS)
def test_both_formats_encode(name: str, shown: bytes, data: str, value: object) -> None:
    if name not in READ_ONLY:
        assert binary(name).encode(value).hex() == data
    assert same(text(name).decode(text(name).encode(value)), value)


@pytest.mark.parametrize("name", ["tid", "pg_lsn", "pg_snapshot", "cidr", "macaddr", "macaddr8", *READ_ONLY])
def test_text_is_the_servers(name: str) -> None:
    for row_name, shown, _, value in SCALARS:
        if row_name == name and b"ffff:1" not in shown:
            assert text(name).encode(value) == shown


def test_opcodes() -> None:
    assert {codec.name: codec.opcode for codec in CODECS if codec.opcode not in (Opcode.CALL, Opcode.TEXT)} == {
        "tid": Opcode.TID,
        "pg_lsn": Opcode.UINT8,
        "pg_mcv_list": Opcode.BYTEA,
        "pg_brin_bloom_summary": Opcode.BYTEA,
        "pg_brin_minmax_multi_summary": Opcode.BYTEA,
    }


def test_only_values_that_can_refer_to_others_are_not_atomic() -> None:
    # An interface and a network have a __dict__, and a list is a list.
    names = {codec.name for codec in CODECS if not codec.atomic}
    assert names == {"inet", "cidr", "int2vector", "oidvector"}
    for name in names:
        assert not binary(name).atomic
        assert not text(name).atomic


@pytest.mark.parametrize("name", text_only.REASONS)
def test_text_only_types_are_text(name: str) -> None:
    oid = BY_NAME[name].oid
    assert (oid, Format.BINARY) not in BUILTIN
    codec = text(name)
    assert (codec.oid, codec.decode("é".encode()), codec.encode("é")) == (oid, "é", "é".encode())
    with pytest.raises(TypeError, match="expected str, got int"):
        codec.encode(1259)


def test_summaries_are_bytes() -> None:
    for name in ("pg_mcv_list", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"):
        assert binary(name).decode(b"\xc2Q\xa6\xe1") == b"\xc2Q\xa6\xe1"
        assert binary(name).encode(b"\x00") == b"\x00"
    assert text("pg_mcv_list").decode(b"\\xc251a6e1") == b"\xc2Q\xa6\xe1"
    assert text("pg_mcv_list").encode(b"\xc2Q") == b"\\xc251"
    assert text("pg_brin_bloom_summary").decode(b"{mode: hashed}") == "{mode: hashed}"


# Arbitrary bytes and values

SEEDS = [bytes.fromhex(data) for _, _, data, _ in SCALARS] + [shown for _, shown, _, _ in SCALARS]


@given(st.sampled_from(CODECS), st.binary(max_size=60) | st.sampled_from(SEEDS))
@example(binary("tsquery"), b"\x7f\xff\xff\xff" + b"\x02\x01" * 20)
@example(binary("tsvector"), b"\x7f\xff\xff\xff" + b"\x00" * 20)
@example(binary("int2vector"), bytes.fromhex("00000001 00000000 00000015 ffffffff 00000000"))
@example(binary("pg_snapshot"), b"\xff\xff\xff\xff" + b"\x00" * 16)
def test_any_bytes_decode_or_raise_value_error(codec: ValueCodec, data: bytes) -> None:
    try:
        codec.decode(data)
    except ValueError:
        pass


@given(st.sampled_from(SCALARS), st.data())
def test_damaged_values_decode_or_raise_value_error(row: tuple[str, bytes, str, object], data: st.DataObject) -> None:
    name, shown, sent, _ = row
    for codec, seed in ((text(name), shown), (binary(name), bytes.fromhex(sent))):
        damaged = bytearray(seed)
        for _ in range(data.draw(st.integers(1, 3))):
            if damaged:
                damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(damaged)))
        for damage in (bytes(damaged), bytes(damaged[:cut]), bytes(damaged) + b"\x00"):
            try:
                codec.decode(damage)
            except ValueError:
                pass


@pytest.mark.parametrize(("name", "data"), [(row[0], row[2]) for row in SCALARS])
def test_no_binary_value_can_be_cut_or_lengthened(name: str, data: str) -> None:
    whole = bytes.fromhex(data)
    for cut in range(len(whole)):
        with pytest.raises(ValueError):
            binary(name).decode(whole[:cut])
    with pytest.raises(ValueError):
        binary(name).decode(whole + b"\x00")


@given(st.sampled_from(CODECS), ANYTHING | st.lists(st.integers(), max_size=4) | st.tuples(st.text(), st.integers()))
@example(binary("inet"), ())
@example(binary("cidr"), ())
@example(binary("inet"), ("1.2.3.4", 10**5000))
@example(binary("inet"), (False,))
@example(binary("cidr"), True)
@example(binary("tid"), (None, None))
@example(binary("pg_snapshot"), (1, 2, None))
def test_any_value_encodes_or_is_refused(codec: ValueCodec, value: object) -> None:
    if value is None:
        return
    try:
        data = codec.encode(value)
    except (TypeError, ValueError, OverflowError):
        return
    assert type(data) is bytes
