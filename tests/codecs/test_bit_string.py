"""bit and bit varying: values, the server's bytes, what is refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsansio.codecs.bit_string import CODECS
from pgsansio.enums import Format
from pgsansio.types import BitString

(BIT, BIT_TEXT), (VARBIT, VARBIT_TEXT) = CODECS
BINARY = (BIT, VARBIT)
TEXT = (BIT_TEXT, VARBIT_TEXT)

#: Got once from PostgreSQL 16: output, send, value.
VECTORS = (
    (b"", "00000000", BitString()),
    (b"0", "0000000100", BitString("0")),
    (b"0101", "0000000450", BitString("0101")),
    (b"11110000", "00000008f0", BitString("1111 0000")),
    (b"000011110", "000000090f00", BitString("0000 1111 0")),
    (b"1" * 17, "00000011ffff80", BitString("1" * 17)),
)


def test_codecs_are_of_their_types() -> None:
    assert [(codec.oid, codec.name, codec.format) for pair in CODECS for codec in pair] == [
        (1560, "bit", Format.BINARY),
        (1560, "bit", Format.TEXT),
        (1562, "bit varying", Format.BINARY),
        (1562, "bit varying", Format.TEXT),
    ]


@pytest.mark.parametrize(("text", "binary", "value"), VECTORS)
def test_vectors(text: bytes, binary: str, value: BitString) -> None:
    for codec, data in [*((codec, bytes.fromhex(binary)) for codec in BINARY), *((codec, text) for codec in TEXT)]:
        assert codec.decode(data) == value
        assert codec.encode(value) == data


@pytest.mark.parametrize("value", [b"\x0f\xa0", bytearray(b"\x0f\xa0"), memoryview(b"\x0f.\xa0.")[::2]])
def test_buffers_are_all_their_bits(value: object) -> None:
    assert BIT.encode(value) == bytes.fromhex("000000100fa0")
    assert VARBIT_TEXT.encode(value) == b"0000111110100000"


@pytest.mark.parametrize("value", ["0101", 5, [0, 1], None])
def test_other_values_are_refused(value: object) -> None:
    for codec in (*BINARY, *TEXT):
        with pytest.raises(TypeError, match=f"^a bytes-like object is required, not '{type(value).__name__}'$"):
            codec.encode(value)


class Long(BitString):
    """Says that it is longer than an int32 can tell."""

    def __len__(self) -> int:
        return 2**31


def test_a_length_beyond_int32_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^bit string too long$"):
        VARBIT.encode(Long())


@pytest.mark.parametrize(
    "data", ["", "000000", "00000001", "000000080000", "00000000ff", "fffffffe", "ffffffff00", "80000000", "7fffffff00"]
)
def test_malformed_bytes(data: str) -> None:
    for codec in BINARY:
        with pytest.raises(ValueError):
            codec.decode(bytes.fromhex(data))


@pytest.mark.parametrize("data", [b"2", b"01 01", b"0_1", b"0b1", b"-1", b"+1", b"01\n", b"\xd9\xa1"])
def test_malformed_text(data: bytes) -> None:
    for codec in TEXT:
        with pytest.raises(ValueError, match=r"^invalid bit string text b"):
            codec.decode(data)


def test_spare_bits_play_no_part() -> None:
    assert BIT.decode(bytes.fromhex("00000004af")) == BitString("1010")


@given(st.text("01"))
@example("1" * 5000)
def test_round_trip(text: str) -> None:
    value = BitString(text)
    for codec in (*BINARY, *TEXT):
        found = codec.decode(codec.encode(value))
        assert (found, found.bytes, len(found)) == (value, value.bytes, len(text))


@given(st.binary(max_size=12))
def test_any_bytes(data: bytes) -> None:
    """A value, or ValueError."""
    for codec in (*BINARY, *TEXT):
        try:
            value = codec.decode(data)
        except ValueError:
            continue
        assert codec.decode(codec.encode(value)) == value
