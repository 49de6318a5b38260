"""Anonymous records in both formats, in each other and in arrays, with known and unknown members."""

import struct
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.array import array_codec
from pgsansio.codecs.codec import UnknownTypeError
from pgsansio.codecs.record import MAX_DEPTH, record_codecs
from pgsansio.enums import Format
from pgsansio.errors import UnsupportedClientFeatureError
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.types.range import Range
from tests.codecs.containers import PAIR, codec, pair

RECORD = 2249
RECORD_ARRAY = 2287
KNOWN = {
    each.oid: each
    for each in [
        codec(name, Format.BINARY)
        for name in ("int4", "int8", "text", "unknown", "numeric", "bytea", "int4[]", "int4range", "pair")
    ]
}


def lookup(oid: int) -> ValueCodec | None:
    assert oid not in (RECORD, RECORD_ARRAY)
    return KNOWN.get(oid)


BINARY, TEXT = record_codecs(lookup)
ARRAY = array_codec(RECORD_ARRAY, "record[]", BINARY)

#: record_send of a value in hexadecimal digits, the same value as text, and as Python's by both.
VECTORS: list[tuple[str, str, tuple[object, ...], tuple[str | None, ...]]] = [
    ("00000002000000170000000400000001000000190000000161", "(1,a)", (1, "a"), ("1", "a")),
    ("00000001000002c1ffffffff", "()", (None,), (None,)),
    ("00000002000002c1ffffffff000002c1ffffffff", "(,)", (None, None), (None, None)),
    (
        "00000003000000170000000400000001000008c90000002500000002000000170000000400000002000008c90000000d0000000100000019"
        "0000000178000002c1ffffffff",
        '(1,"(2,""(x)"")",)',
        (1, (2, ("x",)), None),
        ("1", '(2,"(x)")', None),
    ),
    (
        "00000001000008ef000000440000000100000000000008c90000000200000001000000100000000100000017000000040000000100000018"
        "00000001000006a40000000c000200000000000100021388",
        '("{(1),(2.5)}")',
        ([(1,), (Decimal("2.5"),)],),
        ("{(1),(2.5)}",),
    ),
    (
        "00000003000008ef000000580000000200000000000008c90000000200000001000000010000000100"
        "00001c000000020000001700000004000000010000001700000004000000020000001800000002000000170000000400000003000002c1ff"
        "ffffff000003ef00000024000000010000000000000017000000020000000100000004000000010000000400000002"
        "00000f40000000110200000004000000010000000400000002",
        '("{{""(1,2)""},{""(3,)""}}","{1,2}","[1,2)")',
        ([[(1, 2)], [(3, None)]], [1, 2], Range(1, 2)),
        ('{{"(1,2)"},{"(3,)"}}', "{1,2}", "[1,2)"),
    ),
]


@pytest.mark.parametrize(("data", "text", "values", "texts"), VECTORS)
def test_the_servers_bytes_and_text(
    data: str, text: str, values: tuple[object, ...], texts: tuple[str | None, ...]
) -> None:
    assert BINARY.decode(bytes.fromhex(data)) == values
    assert type(BINARY.decode(bytes.fromhex(data))) is tuple
    assert TEXT.decode(text.encode()) == texts


def test_a_record_of_nothing() -> None:
    assert BINARY.decode(bytes(4)) == ()
    # In text it looks like a record of one NULL.
    assert TEXT.decode(b"()") == (None,)


def test_what_the_codecs_say_of_themselves() -> None:
    for each, wire_format in ((BINARY, Format.BINARY), (TEXT, Format.TEXT)):
        assert (each.oid, each.name, each.opcode, each.format) == (RECORD, "record", Opcode.CALL, wire_format)
    assert not BINARY.atomic
    assert TEXT.atomic


@pytest.mark.parametrize("each", [BINARY, TEXT, ARRAY])
def test_input_is_refused(each: ValueCodec) -> None:
    with pytest.raises(UnsupportedClientFeatureError) as caught:
        each.encode([(1, 2)])
    assert str(caught.value) == (
        "input of anonymous composite types is not supported\n"
        "DETAIL:  PostgreSQL does not implement anonymous composite type input.\n"
        "HINT:  Consider declaring an explicit composite type and using it to cast the argument."
    )


def send(*members: tuple[int, bytes | None]) -> bytes:
    """record_send of these members."""
    data = struct.pack(">i", len(members))
    for oid, value in members:
        data += struct.pack(">Ii", oid, -1 if value is None else len(value)) + (value or b"")
    return data


def send_array(*items: bytes) -> bytes:
    """array_send of these records."""
    header = struct.pack(">iiIii", 1, 0, RECORD, len(items), 1)
    return header + b"".join([struct.pack(">i", len(item)) + item for item in items])


def test_composites_in_records() -> None:
    data = send((PAIR, codec("pair", Format.BINARY).encode((1, "a"))), (RECORD_ARRAY, send_array()))
    value = BINARY.decode(data)
    assert value == (pair(1, "a"), [])
    assert value[0]["b"] == "a"


def test_all_unknown_types_are_named() -> None:
    inner = send((700001, b"x"), (23, b"\0\0\0\7"), (700002, None))
    data = send((700003, b"y"), (RECORD, inner), (RECORD_ARRAY, send_array(send((700004, b"")), inner)), (25, b"t"))
    with pytest.raises(UnknownTypeError) as caught:
        BINARY.decode(data)
    # A NULL needs no codec.
    assert caught.value.oids == frozenset({700001, 700003, 700004})
    assert str(caught.value) == "record with members of unknown types: [700001, 700003, 700004]"
    with pytest.raises(UnknownTypeError) as caught:
        ARRAY.decode(send_array(data))
    assert caught.value.oids == frozenset({700001, 700003, 700004})


def test_unknown_types_as_text() -> None:
    binary, _ = record_codecs(lookup, fallback=True)
    inner = send((700001, "é".encode()), (23, b"\0\0\0\7"), (700002, None))
    data = send((700003, b"\xff\0"), (RECORD, inner), (RECORD_ARRAY, send_array(inner)), (700003, b""))
    assert binary.decode(data) == (b"\xff\0", ("é", 7, None), [("é", 7, None)], "")


def test_depth_has_a_limit() -> None:
    data = send((23, b"\0\0\0\7"))
    expected: Any = (7,)
    for _ in range(MAX_DEPTH - 1):
        data, expected = send((RECORD, data)), (expected,)
    assert BINARY.decode(data) == expected
    with pytest.raises(ValueError, match="records are nested more than 100 levels deep"):
        BINARY.decode(send((RECORD, data)))
    # Arrays count, too.
    data, expected = send((23, b"\0\0\0\7")), (7,)
    for _ in range((MAX_DEPTH - 1) // 2):
        data, expected = send((RECORD_ARRAY, send_array(data))), ([expected],)
    assert BINARY.decode(data) == expected
    with pytest.raises(ValueError, match="records are nested more than 100 levels deep"):
        BINARY.decode(send((RECORD_ARRAY, send_array(data))))
    assert BINARY.decode(send((RECORD, data))) == (expected,)
    with pytest.raises(ValueError, match="records are nested more than 100 levels deep"):
        BINARY.decode(bottom(MAX_DEPTH))
    # Not even a thousand levels are looked at.
    data = b""
    for _ in range(5000):
        data = send((RECORD, data))
    with pytest.raises(ValueError, match="records are nested more than 100 levels deep"):
        BINARY.decode(data)


def bottom(depth: int) -> bytes:
    """An empty array of records in so many records."""
    data = send((RECORD_ARRAY, send_array()))
    for _ in range(depth - 1):
        data = send((RECORD, data))
    return data


def test_depth_does_not_multiply_memory() -> None:
    data = send((17, bytes(1_000_000)))
    for _ in range((MAX_DEPTH - 1) // 2):
        data = send((RECORD_ARRAY, send_array(data)))
    tracemalloc.start()
    try:
        BINARY.decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "invalid composite value: 0 bytes are less than its header"),
        ("ffffffff", "composite value of -1 members in 4 bytes"),
        ("7fffffff 00000017 ffffffff", "composite value of 2147483647 members in 12 bytes"),
        ("00000001 00000017 00000004 000000", "composite value ends before its last member"),
        ("00000002 00000017 00000004 00000001 00000000", "composite value ends before its last member"),
        ("00000001 00000017 7fffffff 000000", "composite value ends before its last member"),
        ("00000001 00000017 fffffffe", "invalid length -2 of a member of a composite value"),
        ("00000000 00", "1 bytes after the last member of a composite value"),
        ("00000001 000008c9 00000000", "invalid composite value: 0 bytes are less than its header"),
        ("00000001 000008ef 00000000", "invalid array value: 0 bytes are less than its header"),
        ("00000001 000008ef 0000000c 00000000 00000000 00000017", "array of type 23 instead of 2249"),
        ("00000001 00000017 00000003 000001", "invalid int4 value: 3 bytes instead of 4"),
    ],
)
def test_malformed_binary(data: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        BINARY.decode(bytes.fromhex(data))
    assert str(caught.value) == reason


def test_malformed_text() -> None:
    with pytest.raises(ValueError, match="malformed composite text at byte 0: b'1,2'"):
        TEXT.decode(b"1,2")
    with pytest.raises(UnicodeDecodeError):
        TEXT.decode(b"(\xff)")


@given(st.binary(max_size=60) | st.sampled_from([bytes.fromhex(data) for data, *_ in VECTORS]), st.data())
def test_any_bytes_decode_or_raise_value_error(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for fallback in (False, True):
        binary, text = record_codecs(lookup, fallback)
        for each in (binary, text, array_codec(RECORD_ARRAY, "record[]", binary)):
            try:
                each.decode(bytes(damaged))
            except ValueError:
                pass


def test_every_cut_of_a_value_is_refused() -> None:
    for hexadecimal, text, _, _ in VECTORS:
        for each, wire in ((BINARY, bytes.fromhex(hexadecimal)), (TEXT, text.encode())):
            for cut in range(len(wire)):
                with pytest.raises(ValueError):
                    each.decode(wire[:cut])


MEMBERS = st.recursive(
    st.none() | st.integers(-(2**31), 2**31 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)


@given(st.lists(MEMBERS, max_size=4).map(tuple))
def test_nested_records(value: tuple[Any, ...]) -> None:
    def encode(item: Any) -> tuple[int, bytes | None]:
        if item is None:
            return 25, None
        if isinstance(item, tuple):
            return RECORD, send(*map(encode, item))
        return (23, item.to_bytes(4, "big", signed=True)) if isinstance(item, int) else (25, item.encode())

    assert BINARY.decode(send(*map(encode, value))) == value
