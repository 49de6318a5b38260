"""What is around the values of COPY data: header, trailer, and lines of text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.copy_format import HEADER, TRAILER, end_of_header, is_trailer, text_lines
from pgsansio.errors import ProtocolError


def tuples(rows: list[list[bytes | None]]) -> bytes:
    """As the kernel makes them."""
    data = b""
    for row in rows:
        data += len(row).to_bytes(2, "big")
        for value in row:
            data += (b"\xff" * 4) if value is None else len(value).to_bytes(4, "big") + value
    return data


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ([b"a", b"b"], b"a\tb"),
        ([None, b"", b"\\N"], b"\\N\t\t\\\\N"),
        ([b"\t\n\r\\"], b"\\t\\n\\r\\\\"),
        ([b"\\."], b"\\\\."),
        ([b"\b\f\v\x01", "\u00e4".encode()], b"\b\f\v\x01\t\xc3\xa4"),
        ([], b""),
    ],
)
def test_lines(row: list[bytes | None], line: bytes) -> None:
    assert text_lines(tuples([row])) == line + b"\n"
    assert text_lines(tuples([row, row])) == (line + b"\n") * 2


def test_no_lines() -> None:
    assert text_lines(b"") == b""


#: As the manual describes the text format, to read it: "COPY", Text Format.
UNESCAPED = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


def read(line: bytes) -> list[bytes | None]:
    values: list[bytes | None] = []
    for field in line.split(b"\t"):
        if field == b"\\N":
            values.append(None)
            continue
        value, position = b"", 0
        while position < len(field):
            if field[position : position + 1] == b"\\":
                position += 1
                value += UNESCAPED[field[position : position + 1]]
            else:
                value += field[position : position + 1]
            position += 1
        values.append(value)
    return values


values = st.one_of(st.none(), st.text("\\\n\r\tNx.'", max_size=6).map(str.encode))


@given(st.lists(st.lists(values, min_size=2, max_size=2), max_size=4))
def test_lines_can_be_read_again(rows: list[list[bytes | None]]) -> None:
    data = text_lines(tuples(rows))
    assert [read(line) for line in data.split(b"\n")[:-1]] == rows


def test_the_header() -> None:
    assert HEADER == b"PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    for size in range(len(HEADER)):
        assert end_of_header(HEADER[:size]) is None
    assert end_of_header(HEADER) == end_of_header(HEADER + b"more") == len(HEADER)
    extended = HEADER[:11] + b"\0\0\xff\xff" + b"\0\0\0\2ab"
    assert end_of_header(extended[:-1]) is None
    assert end_of_header(extended) == len(extended)


@pytest.mark.parametrize(
    "data", [b"x", b"PGCOPY\r", HEADER[:11] + b"\0\1\0\0\0\0\0\0", HEADER[:11] + b"\x80\0\0\0\0\0\0\0"]
)
def test_headers_that_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        end_of_header(data)


def test_the_trailer() -> None:
    assert is_trailer(b"x" + TRAILER, 1)
    assert not is_trailer(b"x\xff", 1)
    assert not is_trailer(b"x", 1)
    with pytest.raises(ProtocolError, match="2 bytes behind"):
        is_trailer(TRAILER + b"xy", 0)
