"""tsvector and tsquery in binary: spelled as the server does, and nothing that it would not send."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.text_search import decode_tsquery, decode_tsvector, encode_parsed

NOT, AND, OR, PHRASE = 1, 2, 3, 4
PRIORITY = {NOT: 4, PHRASE: 3, AND: 2, OR: 1}

#: A query: a lexeme, (NOT, query), (AND or OR, left, right), (PHRASE, left, right, distance).
queries = st.recursive(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=3),
    lambda inner: (
        st.tuples(st.just(NOT), inner)
        | st.tuples(st.sampled_from([AND, OR]), inner, inner)
        | st.tuples(st.just(PHRASE), inner, inner, st.integers(0, 16384))
    ),
    max_leaves=12,
)


def send(query: object) -> list[bytes]:
    """As tsquerysend: in prefix order, the right side first."""
    if isinstance(query, str):
        return [b"\x01\x00\x00" + query.encode() + b"\x00"]
    assert isinstance(query, tuple)
    operator, *sides = query
    if operator == PHRASE:
        return [struct.pack(">BBh", 2, PHRASE, sides[2]), *send(sides[1]), *send(sides[0])]
    head = bytes([2, operator])
    return [head, *send(sides[0])] if operator == NOT else [head, *send(sides[1]), *send(sides[0])]


def show(query: object, around: int = 0, in_phrase: bool = False) -> str:
    """As tsqueryout, in its own recursive manner."""
    if isinstance(query, str):
        return "'" + query.replace("'", "''").replace("\\", "\\\\") + "'"
    assert isinstance(query, tuple)
    operator, *sides = query
    priority = PRIORITY[operator]
    if operator == NOT:
        spelled = "!" + show(sides[0], priority)
    else:
        symbol = {AND: "&", OR: "|"}.get(operator) or ("<->" if sides[2] == 1 else f"<{sides[2]}>")
        spelled = f"{show(sides[0], priority)} {symbol} {show(sides[1], priority, operator == PHRASE)}"
    return f"( {spelled} )" if priority < around or (operator == PHRASE and in_phrase) else spelled


@given(queries)
def test_tsquery(query: object) -> None:
    items = send(query)
    assert decode_tsquery(struct.pack(">i", len(items)) + b"".join(items)) == show(query)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"\x02\x01" * 100_000 + b"\x01\x00\x00a\x00", 100_001),
        (b"\x02\x02\x01\x00\x00a\x00" * 100_000 + b"\x01\x00\x00b\x00", 200_001),
        (b"\x02\x02" * 100_000 + b"\x01\x00\x00a\x00" * 100_001, 200_001),
    ],
)
def test_a_deep_tsquery_is_no_recursion(data: bytes, count: int) -> None:
    spelled = decode_tsquery(struct.pack(">i", count) + data)
    assert spelled.count("!") + spelled.count("&") == 100_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("000000", "invalid tsquery value: 3 bytes are less than its header"),
        ("ffffffff", "tsquery of -1 items in 4 bytes"),
        ("7fffffff 0201", "tsquery of 2147483647 items in 6 bytes"),
        ("00000001 0201", "an operator of a tsquery lacks an operand"),
        ("00000002 0202 0100006100", "an operator of a tsquery lacks an operand"),
        ("00000002 0100006100 0100006100", "tsquery of 2 queries"),
        ("00000001 0300006100", "invalid item of kind 3 in a tsquery"),
        ("00000001 0205", "invalid operator 5 in a tsquery"),
        ("00000001 0204", "tsquery value ends before its last item"),
        ("00000001 01000061", "tsquery value ends before its last item"),
        ("00000002 0100006100", "tsquery value ends before its last item"),
        ("00000001 0110006100", "invalid weights 16 or prefix 0 of an operand of a tsquery"),
        ("00000001 0100026100", "invalid weights 0 or prefix 2 of an operand of a tsquery"),
        ("00000001 0100006100 00", "1 bytes after the last item of a tsquery"),
        ("00000001 010000ff00", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_malformed_tsquery(data: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode_tsquery(bytes.fromhex(data))
    assert str(caught.value) == reason


lexemes = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
positions = st.lists(st.tuples(st.integers(0, 16383), st.sampled_from("DCBA")), max_size=5)


@given(st.lists(st.tuples(lexemes, positions), max_size=5))
def test_tsvector(entries: list[tuple[str, list[tuple[int, str]]]]) -> None:
    data = struct.pack(">i", len(entries))
    shown: list[str] = []
    for lexeme, places in entries:
        data += lexeme.encode() + b"\x00" + struct.pack(">H", len(places))
        data += b"".join(struct.pack(">H", place | "DCBA".index(weight) << 14) for place, weight in places)
        where = ",".join(f"{place}{'' if weight == 'D' else weight}" for place, weight in places)
        quoted = lexeme.replace("'", "''").replace("\\", "\\\\")
        shown.append(f"'{quoted}'" + (f":{where}" if where else ""))
    assert decode_tsvector(data) == " ".join(shown)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("0000", "invalid tsvector value: 2 bytes are less than its header"),
        ("ffffffff", "tsvector of -1 lexemes in 4 bytes"),
        ("7fffffff 610000", "tsvector of 2147483647 lexemes in 7 bytes"),
        ("00000001 616161", "tsvector value ends before its last lexeme"),
        ("00000001 616100 00", "tsvector value ends before its last lexeme"),
        ("00000001 6100 0002 0001", "tsvector value ends before its last position"),
        ("00000001 6100 0000 00", "1 bytes after the last lexeme of a tsvector"),
        ("00000001 ff00 0000", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_malformed_tsvector(data: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode_tsvector(bytes.fromhex(data))
    assert str(caught.value) == reason


def test_only_parsed_values_can_be_sent_in_binary() -> None:
    assert encode_parsed(b"\x00\x00\x00\x00") == b"\x00\x00\x00\x00"
    with pytest.raises(TypeError, match="text of this type is parsed by the server"):
        encode_parsed("'a'")
    with pytest.raises(TypeError, match="a bytes-like object is required, not 'int'"):
        encode_parsed(1)
