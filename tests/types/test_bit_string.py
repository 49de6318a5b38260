"""Bit strings: asyncpg's behaviour on both, and what is ours alone."""

from typing import Any

import asyncpg.types
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pgsansio
import pgsansio.types
from pgsansio.types import BitString


@pytest.mark.checklist("TY-2")
def test_what_a_bit_string_says(types: Any) -> None:
    for text, length, data, shown in [
        ("", 0, b"", ""),
        ("1", 1, b"\x80", "1"),
        ("0000 0001", 8, b"\x01", "0000 0001"),
        ("  11110000 1", 9, b"\xf0\x80", "1111 0000 1"),
        ("0001", 4, b"\x10", "0001"),
    ]:
        value = types.BitString(text)
        assert (len(value), value.bytes, value.as_string()) == (length, data, shown)
        assert repr(value) == str(value) == f"<BitString {shown}>"
        assert list(value) == [int(bit) for bit in text if bit != " "]
        assert bool(value) is bool(length)
    assert types.BitString() == types.BitString(None) == types.BitString("")
    assert types.BitString([1, 0, True]) == types.BitString("101")
    for wrong in ("2", "012", "a", "1_0", [1, 2]):
        with pytest.raises(ValueError):
            types.BitString(wrong)
    with pytest.raises(ValueError, match=r"^invalid bit value at position 3$"):
        types.BitString("01 2")


@pytest.mark.checklist("TY-2")
def test_bit_strings_from_bytes(types: Any) -> None:
    make = types.BitString.frombytes
    assert make() == make(None) == make(b"") == make(b"", 0) == types.BitString()
    assert make(b"\x0f\x80") == types.BitString("0000 1111 1000 0000")
    assert make(b"\x0f\x80", 9) == types.BitString("0000 1111 1")
    assert make(None, 3).as_string() == "000"
    for data, length in [(b"", 1), (b"\0", 0), (b"\0", 9), (b"\0\0", 7), (b"\0\0\0", 8), (b"\0", -1)]:
        with pytest.raises(ValueError, match=r"^invalid bit length specified$"):
            make(data, length)


@pytest.mark.checklist("TY-2")
def test_bit_strings_and_integers(types: Any) -> None:
    make = types.BitString.from_int
    for x, length, bitorder, signed, text in [
        (5, 4, "big", False, "0101"),
        (5, 4, "little", False, "1010"),
        (-3, 4, "big", True, "1101"),
        (-3, 4, "little", True, "1011"),
        (7, 4, "big", True, "0111"),
        (-8, 4, "big", True, "1000"),
        (0, 0, "big", False, ""),
        (0, 0, "little", True, ""),
        (1, 20, "big", False, "0000 0000 0000 0000 0001"),
        (2**64, 65, "big", False, "1" + "0" * 64),
    ]:
        value = make(x, length, bitorder, signed=signed)
        assert value == types.BitString(text)
        assert value.to_int(bitorder, signed=signed) == x
    assert make(6, 3).to_int() == 6
    assert make(6, 3).to_int(signed=True) == -2
    for x, length, error, reason in [
        (1, -1, ValueError, "length argument must be non-negative"),
        (16, 4, OverflowError, "int too big to convert"),
        (1, 0, OverflowError, "int too big to convert"),
        (-1, 4, OverflowError, "can't convert negative int to unsigned"),
    ]:
        with pytest.raises(error, match=f"^{reason}$"):
            make(x, length)
    for use in (lambda: make(1, 1, "middle"), lambda: types.BitString("1").to_int("middle")):
        with pytest.raises(ValueError, match=r"^bitorder must be either 'big' or 'little'$"):
            use()


@pytest.mark.checklist("TY-2")
def test_bit_strings_are_values(types: Any) -> None:
    value = types.BitString("0101")
    assert value == types.BitString("01 01")
    assert hash(value) == hash(types.BitString.from_int(5, 4))
    for other in (types.BitString("0101 0"), types.BitString("0100"), "0101", [0, 1, 0, 1]):
        assert value != other
    for name in ("bytes", "other"):
        with pytest.raises(AttributeError):
            setattr(value, name, b"")
    with pytest.raises(TypeError):
        value[0] = 1
    assert [value[position] for position in range(4)] == [0, 1, 0, 1]
    with pytest.raises(IndexError, match=r"^index out of range$"):
        value[4]
    assert 1 in value
    assert 2 not in value


def test_bits_from_the_end_and_slices() -> None:
    """asyncpg counts from the end of the last byte, and knows no slices."""
    value = BitString("0110 1")
    assert [value[position] for position in range(-5, 0)] == [0, 1, 1, 0, 1]
    for position in (5, -6):
        with pytest.raises(IndexError, match=r"^index out of range$"):
            value[position]
    assert value[1:4] == BitString("110")
    assert value[::-1] == BitString("10110")
    assert value[5:] == BitString()
    with pytest.raises(TypeError):
        value["1"]  # type: ignore[call-overload]


def test_spare_bits_play_no_part() -> None:
    """In asyncpg these are not equal, and the last has a byte too many."""
    value = BitString.frombytes(b"\xff", 4)
    assert value == BitString("1111")
    assert hash(value) == hash(BitString("1111"))
    assert value.bytes == b"\xf0"
    assert BitString.frombytes(b"\xab\xcd", 8) == BitString.frombytes(b"\xab")
    assert BitString.frombytes(None, 8).bytes == b"\0"
    with pytest.raises(ValueError, match=r"^invalid bit length specified$"):
        BitString.frombytes(None, -1)


def test_a_bit_string_keeps_no_buffer() -> None:
    data = bytearray(b"\x0f")
    value = BitString.frombytes(data)  # type: ignore[arg-type]
    data[0] = 0
    assert (value, type(value.bytes)) == (BitString("0000 1111"), bytes)
    with pytest.raises(TypeError):
        BitString.frombytes(5)  # type: ignore[arg-type]


def test_a_signed_integer_needs_a_bit_for_its_sign() -> None:
    """asyncpg makes 7 of -9."""
    for x in (-9, 8):
        with pytest.raises(OverflowError, match=r"^int too big to convert$"):
            BitString.from_int(x, 4, signed=True)
    with pytest.raises(OverflowError):
        BitString.from_int(-1, 0, signed=True)
    with pytest.raises(TypeError):
        BitString.from_int(1.0, 4)  # type: ignore[arg-type]


@given(st.text("01", max_size=40), st.sampled_from(["big", "little"]), st.booleans())
@example("", "little", True)
def test_bit_strings_are_asyncpgs(text: str, bitorder: Any, signed: bool) -> None:
    found = []
    for module in (asyncpg.types, pgsansio.types):
        value: Any = module.BitString(text)
        x = value.to_int(bitorder, signed=signed)
        assert module.BitString.from_int(x, len(text), bitorder, signed=signed) == value
        assert module.BitString.frombytes(value.bytes, len(text)) == value
        found.append((value.bytes, len(value), list(value), repr(value), x, hash(value)))
    assert found[0] == found[1]


@given(st.text("01", max_size=40), st.slices(40))
def test_a_slice_is_the_slice_of_the_text(text: str, part: slice) -> None:
    assert BitString(text)[part] == BitString(text[part])
