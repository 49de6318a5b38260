"""Readers and writers of single fields: their bounds, and what their errors name."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.enums import Format
from pgsansio.errors import InterfaceError, ProtocolError
from pgsansio.wire.fields import MAX_BODY_BYTES, Reader, Writer
from tests.support.strategies import strings

READS: dict[str, tuple[Callable[[Reader], object], bytes, object]] = {
    "int8": (lambda reader: reader.int8("x"), b"\xff", 255),
    "int16": (lambda reader: reader.int16("x"), b"\xff\xfe", -2),
    "uint16": (lambda reader: reader.uint16("x"), b"\xff\xfe", 65534),
    "int32": (lambda reader: reader.int32("x"), b"\x80\x00\x00\x01", -(2**31) + 1),
    "uint32": (lambda reader: reader.uint32("x"), b"\x80\x00\x00\x01", 2**31 + 1),
    "int64": (lambda reader: reader.int64("x"), b"\x80\x00\x00\x00\x00\x00\x00\x01", -(2**63) + 1),
    "raw": (lambda reader: reader.raw(3, "x"), b"a\x00b", b"a\x00b"),
    "string": (lambda reader: reader.string("x"), b"h\xc3\xa9\x00", "hé"),
    "value": (lambda reader: reader.value("x"), b"\x00\x00\x00\x02\x00\xff", b"\x00\xff"),
    "empty value": (lambda reader: reader.value("x"), b"\x00\x00\x00\x00", b""),
    "NULL": (lambda reader: reader.value("x"), b"\xff\xff\xff\xff", None),
    "uint32s": (lambda reader: reader.uint32s(2, "x"), b"\x00\x00\x00\x17\xff\xff\xff\xff", (23, 2**32 - 1)),
    "format": (lambda reader: reader.format("x"), b"\x00\x01", Format.BINARY),
    "formats": (lambda reader: reader.formats("x"), b"\x00\x02\x00\x01\x00\x00", (Format.BINARY, Format.TEXT)),
}


@pytest.mark.parametrize(("read", "body", "expected"), READS.values(), ids=READS.keys())
def test_a_field_is_read_whole_or_not_at_all(read: Callable[[Reader], object], body: bytes, expected: object) -> None:
    reader = Reader("Message", body)
    assert read(reader) == expected
    assert reader.at_end()
    reader.end()

    followed = Reader("Message", body + b"!")
    assert read(followed) == expected
    assert not followed.at_end()
    with pytest.raises(ProtocolError, match=r"^Message: 1 surplus bytes"):
        followed.end()
    assert followed.rest() == b"!"
    followed.end()

    for cut in range(len(body)):
        with pytest.raises(ProtocolError, match=r"^Message: (count of )?xs? "):
            read(Reader("Message", body[:cut]))


def test_errors_say_what_is_missing() -> None:
    reader = Reader("DataRow", b"\x00\x00\x00\x09abc")
    with pytest.raises(ProtocolError, match=r"^DataRow: column needs 9 bytes, 3 are left$"):
        reader.value("column")
    with pytest.raises(ProtocolError, match=r"^Query: query has no terminating zero byte$"):
        Reader("Query", b"select").string("query")


@pytest.mark.parametrize("length", [-2, -(2**31)])
def test_a_negative_length_other_than_null_is_refused(length: int) -> None:
    body = length.to_bytes(4, "big", signed=True) + b"abc"
    with pytest.raises(ProtocolError, match=rf"column has the length {length}$"):
        Reader("DataRow", body).value("column")


@pytest.mark.parametrize("code", [-1, 2, 255, 256])
def test_format_codes_are_0_or_1(code: int) -> None:
    encoded = code.to_bytes(2, "big", signed=True)
    with pytest.raises(ProtocolError, match=rf"^Bind: x is {code}, neither 0 \(text\) nor 1 \(binary\)$"):
        Reader("Bind", encoded).format("x")
    with pytest.raises(ProtocolError, match=rf"^Bind: x is {code},"):
        Reader("Bind", b"\x00\x01" + encoded).formats("x")


def body_of(write: Callable[[Writer], None]) -> bytes:
    writer = Writer("Message", b"M")
    write(writer)
    frame = writer.frame()
    assert frame[:1] == b"M"
    assert int.from_bytes(frame[1:5], "big") == len(frame) - 1
    return frame[5:]


def test_fields_are_written_in_network_byte_order() -> None:
    def write(writer: Writer) -> None:
        writer.int8(255, "a")
        writer.int16(-2, "b")
        writer.uint16(65534, "c")
        writer.int32(-2, "d")
        writer.uint32(2**32 - 2, "e")
        writer.int64(-2, "f")
        writer.raw(b"\x00\x01")
        writer.string("hé", "g")
        writer.value(None)
        writer.value(b"")
        writer.value(b"v")
        writer.count([1, 2], "h")
        writer.uint32s([23, 25], "i")
        writer.formats([Format.BINARY, Format.TEXT], "j")

    assert body_of(write) == (
        b"\xff" b"\xff\xfe" b"\xff\xfe" b"\xff\xff\xff\xfe" b"\xff\xff\xff\xfe" b"\xff\xff\xff\xff\xff\xff\xff\xfe"
        b"\x00\x01" b"h\xc3\xa9\x00" b"\xff\xff\xff\xff" b"\x00\x00\x00\x00" b"\x00\x00\x00\x01v"
        b"\x00\x02" b"\x00\x00\x00\x17\x00\x00\x00\x19" b"\x00\x02\x00\x01\x00\x00"
    )  # fmt: skip


def test_a_message_without_a_type_byte_begins_with_its_length() -> None:
    writer = Writer("SSLRequest", b"")
    writer.uint32(80877103, "request code")
    assert writer.frame() == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


REFUSED: list[tuple[Callable[[Writer], None], str]] = [
    (lambda writer: writer.int8(256, "x"), "x 256 does not fit into 1 bytes"),
    (lambda writer: writer.int8(-1, "x"), "x -1 does not fit into 1 bytes"),
    (lambda writer: writer.int16(2**15, "x"), "x 32768 does not fit into 2 bytes"),
    (lambda writer: writer.uint16(2**16, "x"), "x 65536 does not fit into 2 bytes"),
    (lambda writer: writer.int32(2**31, "x"), "x 2147483648 does not fit into 4 bytes"),
    (lambda writer: writer.uint32(-1, "x"), "x -1 does not fit into 4 bytes"),
    (lambda writer: writer.int64(2**63, "x"), "x 9223372036854775808 does not fit into 8 bytes"),
    (lambda writer: writer.uint32s([1, 2**32], "oid"), "oid 4294967296 does not fit into 4 bytes"),
    (lambda writer: writer.count(range(65536), "parameter"), "65536 parameters, at most 65535 are possible"),
    (lambda writer: writer.formats([Format.TEXT] * 65536, "format"), "65536 formats, at most 65535 are possible"),
    (lambda writer: writer.string("a\0b", "user"), "user contains a zero byte"),
    (lambda writer: writer.string("\ud800", "user"), "user cannot be encoded as UTF-8 (surrogates not allowed)"),
]


@pytest.mark.parametrize(("write", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_a_field_cannot_hold_is_refused(write: Callable[[Writer], None], text: str) -> None:
    with pytest.raises(InterfaceError) as caught:
        write(Writer("Message", b"M"))
    assert str(caught.value) == f"Message: {text}"


def test_the_largest_count_is_written() -> None:
    assert body_of(lambda writer: writer.count(range(65535), "parameter")) == b"\xff\xff"


def test_a_frame_is_no_longer_than_its_limit() -> None:
    writer = Writer("CopyFail", b"f")
    writer.raw(bytes(100))
    assert len(writer.frame(100)) == 105
    with pytest.raises(InterfaceError, match=r"^CopyFail: 100 bytes, at most 99 are possible$"):
        writer.frame(99)


@given(strings())
def test_any_text_without_a_zero_byte_survives(text: str) -> None:
    body = body_of(lambda writer: writer.string(text, "text"))
    assert Reader("Message", body).string("text") == text


@given(st.lists(st.integers(1, 255)).map(bytes))
def test_any_bytes_without_a_zero_byte_survive(stored: bytes) -> None:
    text = Reader("Message", stored + b"\x00").string("text")
    assert body_of(lambda writer: writer.string(text, "text")) == stored + b"\x00"


@given(st.lists(st.integers(1, 255)).map(bytes))
def test_replaced_text_is_printable(stored: bytes) -> None:
    Reader("Message", stored + b"\x00").string("text", "replace").encode()


def test_a_value_longer_than_any_message_is_refused() -> None:
    with pytest.raises(
        InterfaceError, match=r"^Message: a value of 1073741819 bytes, at most 1073741818 are possible$"
    ):
        Writer("Message", b"M").value(bytes(MAX_BODY_BYTES + 1))  # never touched, so the system gives no memory for it
