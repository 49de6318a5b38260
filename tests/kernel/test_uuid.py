import copy
import pickle
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.kernel import UUID

VALUES = st.uuids() | st.sampled_from([uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=2**61 - 1)])


def ours(value: uuid.UUID) -> uuid.UUID:
    made: uuid.UUID = UUID(bytes=value.bytes)
    return made


@given(VALUES)
def test_every_attribute_is_that_of_a_uuid(value: uuid.UUID) -> None:
    mine = ours(value)
    assert isinstance(mine, uuid.UUID)
    assert type(mine) is UUID
    for name in (
        "bytes", "bytes_le", "clock_seq", "clock_seq_hi_variant", "clock_seq_low", "fields", "hex", "int", "is_safe",
        "node", "time", "time_hi_version", "time_low", "time_mid", "urn", "variant", "version",
    ):  # fmt: skip
        assert getattr(mine, name) == getattr(value, name)
    assert (str(mine), repr(mine), int(mine), hash(mine)) == (str(value), repr(value), int(value), hash(value))


@given(VALUES, VALUES)
def test_compares_as_a_uuid(one: uuid.UUID, other: uuid.UUID) -> None:
    for left, right in ((ours(one), ours(other)), (one, ours(other)), (ours(one), other)):
        assert (left == right, left != right, left < right) == (one == other, one != other, one < other)
        assert (left <= right, left > right, left >= right) == (one <= other, one > other, one >= other)
    assert ours(one) == one
    assert one == ours(one)
    assert {one: 1}[ours(one)] == 1
    assert ours(one) != str(one)
    assert ours(one) != one.int


@given(VALUES)
def test_copies_are_equal(value: uuid.UUID) -> None:
    mine = ours(value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(mine, protocol)) == value
    assert copy.copy(mine) == copy.deepcopy(mine) == value


def test_is_immutable() -> None:
    mine = UUID(int=5)
    for name in ("int", "bytes", "is_safe", "anything", "_bytes"):
        with pytest.raises(TypeError, match="UUID objects are immutable"):
            setattr(mine, name, 1)


def test_is_made_like_a_uuid() -> None:
    text = "12345678-1234-5678-1234-567812345678"
    assert UUID(text) == UUID(hex=text) == UUID(fields=uuid.UUID(text).fields) == uuid.UUID(text)
    assert UUID(int=7, version=4).version == 4
    with pytest.raises(ValueError, match="badly formed"):
        UUID("x")
    with pytest.raises(ValueError, match="not a 16-char string"):
        UUID(bytes=b"x")
