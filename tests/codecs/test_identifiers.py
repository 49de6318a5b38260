"""tid, pg_lsn, pg_snapshot, int2vector, oidvector: what users may give, what is refused, round trips."""

import struct
from collections import deque
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_NAME
from pgsansio.enums import Format
from pgsansio.kernel.contract import ValueCodec


def both(name: str) -> tuple[ValueCodec, ValueCodec]:
    oid = BY_NAME[name].oid
    return BUILTIN[oid, Format.BINARY], BUILTIN[oid, Format.TEXT]


def check(name: str, value: Any) -> None:
    for codec in both(name):
        back = codec.decode(codec.encode(value))
        assert (back, type(back)) == (value, type(value))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_tid(block: int, offset: int) -> None:
    check("tid", (block, offset))


@given(st.integers(0, 2**64 - 1))
def test_lsn(value: int) -> None:
    check("pg_lsn", value)


transactions = st.integers(0, 2**63 - 1)


@given(transactions, transactions, st.lists(transactions).map(tuple))
def test_snapshot(xmin: int, xmax: int, xip: tuple[int, ...]) -> None:
    check("pg_snapshot", (xmin, xmax, xip))
    check("txid_snapshot", (xmin, xmax, xip))


@given(st.lists(st.integers(-(2**15), 2**15 - 1)), st.lists(st.integers(0, 2**32 - 1)))
def test_vectors(numbers: list[int], oids: list[int]) -> None:
    check("int2vector", numbers)
    check("oidvector", oids)


def test_numbers_of_other_classes_do_in_a_snapshot() -> None:
    for codec in both("pg_snapshot"):
        assert codec.encode((Decimal(10), 20, (14, Decimal(15)))) == codec.encode((10, 20, (14, 15)))


@pytest.mark.parametrize("count", [0, 63, 64, 65, 1000])
def test_snapshots_of_many_transactions(count: int) -> None:
    value = (1, 2, tuple(range(count)))
    data = struct.pack(f">iqq{count}q", count, 1, 2, *range(count))
    binary = both("pg_snapshot")[0]
    assert binary.encode(value) == data
    assert binary.decode(data) == value


def test_lists_do_for_tuples_and_the_other_way_round() -> None:
    for name, one, other in (
        ("tid", [1, 2], (1, 2)),
        ("pg_snapshot", [1, 2, [1]], (1, 2, (1,))),
        ("int2vector", (1, 2), [1, 2]),
        ("oidvector", deque([1, 2]), [1, 2]),
    ):
        for codec in both(name):
            assert codec.encode(one) == codec.encode(other)


REFUSED: tuple[tuple[str, object, type[Exception], str], ...] = (
    ("tid", "(1,2)", TypeError, "list or tuple expected (got type <class 'str'>)"),
    ("tid", 5, TypeError, "list or tuple expected (got type <class 'int'>)"),
    ("tid", (1,), ValueError, "invalid number of elements in tid tuple, expecting 2"),
    ("tid", (1, 2, 3), ValueError, "invalid number of elements in tid tuple, expecting 2"),
    ("tid", (-1, 2), OverflowError, "tuple id block value out of uint32 range"),
    ("tid", (2**32, 2), OverflowError, "tuple id block value out of uint32 range"),
    ("tid", (1, -1), OverflowError, "tuple id offset value out of uint16 range"),
    ("tid", (1, 2**16), OverflowError, "tuple id offset value out of uint16 range"),
    ("tid", ("1", 2), TypeError, "'str' object cannot be interpreted as an integer"),
    ("pg_lsn", "0/0", TypeError, "'str' object cannot be interpreted as an integer"),
    ("pg_lsn", -1, OverflowError, "value out of uint64 range"),
    ("pg_lsn", 2**64, OverflowError, "value out of uint64 range"),
    ("pg_lsn", 1.5, ValueError, "an integer is required, and this float has a fractional part"),
    ("pg_snapshot", "1:2:", TypeError, "list or tuple expected (got type <class 'str'>)"),
    ("pg_snapshot", (1, 2), ValueError, "invalid number of elements in txid_snapshot tuple, expecting 3"),
    ("pg_snapshot", (1, 2, 5), TypeError, "list or tuple of transactions expected (got type 'int')"),
    ("pg_snapshot", (1, 2**63, ()), OverflowError, "value out of int64 range"),
    ("pg_snapshot", (1, 2, (None,)), TypeError, "'NoneType' object cannot be interpreted as an integer"),
    ("int2vector", "1 2", TypeError, "a sized iterable container expected (got type 'str')"),
    ("int2vector", 5, TypeError, "a sized iterable container expected (got type 'int')"),
    ("int2vector", {1: 2}, TypeError, "a sized iterable container expected (got type 'dict')"),
    ("int2vector", [1, None], TypeError, "'NoneType' object cannot be interpreted as an integer"),
    ("int2vector", [2**15], OverflowError, "value out of int16 range"),
    ("oidvector", [-1], OverflowError, "value out of uint32 range"),
)


@pytest.mark.parametrize(("name", "value", "error", "reason"), REFUSED)
def test_refused_with_its_reason(name: str, value: object, error: type[Exception], reason: str) -> None:
    for codec in both(name):
        with pytest.raises(error) as caught:
            codec.encode(value)
        assert (type(caught.value), str(caught.value)) == (error, reason)


MALFORMED: tuple[tuple[str, str, str], ...] = (
    ("tid", "00000001 00", "invalid tid value: 5 bytes instead of 6"),
    ("pg_lsn", "00000001", "invalid uint8 value: 4 bytes instead of 8"),
    ("pg_snapshot", "00000000" + "00" * 15, "invalid snapshot value: 19 bytes are less than its header"),
    ("pg_snapshot", "00000001" + "00" * 16, "invalid snapshot value: 20 bytes with 1 transactions"),
    ("pg_snapshot", "ffffffff" + "00" * 16, "invalid snapshot value: 20 bytes with -1 transactions"),
    ("pg_snapshot", "7fffffff" + "00" * 24, "invalid snapshot value: 28 bytes with 2147483647 transactions"),
    ("int2vector", "00000001 00000000 00000015", "invalid int2vector value: 12 bytes are less than its header"),
    (
        "int2vector",
        "00000001 00000000 00000015 00000000 00000001",
        "invalid int2vector value: no array of type 21 with one dimension from 0",
    ),
    (
        "oidvector",
        "00000001 00000000 00000015 00000000 00000000",
        "invalid oidvector value: no array of type 26 with one dimension from 0",
    ),
    (
        "int2vector",
        "00000001 00000000 00000015 7fffffff 00000000",
        "invalid int2vector value: 20 bytes with 2147483647 elements",
    ),
    (
        "int2vector",
        "00000001 00000000 00000015 ffffffff 00000000 00000002 0000",
        "invalid int2vector value: 26 bytes with -1 elements",
    ),
    (
        "int2vector",
        "00000001 00000000 00000015 00000001 00000000 ffffffff 0000",
        "invalid int2vector value: -1 bytes of an element instead of 2",
    ),
)


@pytest.mark.parametrize(("name", "data", "reason"), MALFORMED)
def test_malformed(name: str, data: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        both(name)[0].decode(bytes.fromhex(data))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("tid", b"1,2"),
        ("tid", b"(4294967296,0)"),
        ("tid", b"(0,65536)"),
        ("tid", b"(99999999999,0)"),
        ("pg_lsn", b"0"),
        ("pg_lsn", b"123456789/0"),
        ("pg_lsn", b"0/0 "),
        ("pg_snapshot", b"1:2"),
        ("pg_snapshot", b"1:2:3,"),
        ("pg_snapshot", b"1:2:,3"),
        ("pg_snapshot", b"1:2:" + b"9" * 5000),
        ("int2vector", b"1,2"),
        ("oidvector", b"x"),
    ],
)
def test_malformed_text(name: str, data: bytes) -> None:
    with pytest.raises(ValueError):
        both(name)[1].decode(data)
