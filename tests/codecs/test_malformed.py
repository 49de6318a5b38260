"""Bytes that no server sends, to every codec that there is, in rows and in COPY: an error that says where, in bounded
time and memory, and the rows behind are decoded.

What is "every codec" is in `tests.support.every_codec`.
"""

import struct
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.codecs import contrib, custom
from pgsansio.codecs.builtin import BUILTIN
from pgsansio.codecs.catalog import BY_OID, ELEMENTS
from pgsansio.codecs.contrib import ExtensionType
from pgsansio.enums import Format
from pgsansio.errors import InvalidValueError
from pgsansio.kernel import Record, decode_copy, decode_rows, row_plan
from pgsansio.kernel.contract import Opcode, OutdatedTypeError, RowPlan, UnknownTypeError, ValueCodec
from tests.support.every_codec import DECLARED, VALUES, Case, builtin_cases, different_cases, every_case

CASES: Final = every_case()
#: Those of one type each, without what is made of others.
SCALARS: Final = (*builtin_cases(), *(case for case in CASES if case.codec.name in VALUES and not case.codec.members))
DIFFERENT: Final = different_cases()

#: Numbers where sizes, counts and flags go wrong.
NUMBERS: Final = (-1, -2, 0, 1, 0x7FFFFFFF, -0x80000000, 0x01000000)

#: What decoding a short value may take: less than a page for each of its bytes.
MAX_BYTES: Final = 1 << 19

#: Rows of NULL, after which the kernel makes a decoder for the plan.
_WARM_UP: Final = 60


def _frame(value: bytes | None) -> bytes:
    data = struct.pack(">Hi", 1, -1 if value is None else len(value)) + (value or b"")
    return b"D" + struct.pack(">i", len(data) + 4) + data


def _tuple(value: bytes | None) -> bytes:
    return struct.pack(">Hi", 1, -1 if value is None else len(value)) + (value or b"")


Decode = Callable[[RowPlan, bytes, int, int, list[Any], int], tuple[int, Exception | None]]
_WAYS: Final[tuple[tuple[Decode, Callable[[bytes | None], bytes]], ...]] = (
    (decode_rows, _frame),
    (decode_copy, _tuple),
)


def _warm(plan: RowPlan) -> None:
    for decode, frame in _WAYS:
        data = frame(None) * _WARM_UP
        for _ in range(2):
            assert decode(plan, data, 0, len(data), [], sys.maxsize) == (len(data), None)


def check(codec: ValueCodec, values: Iterable[bytes], *, warm: bool = True) -> int:
    """Decode these values, each behind and before a NULL; how many were refused."""
    plan = row_plan(("spalte",), (codec,), Record)
    if warm:
        _warm(plan)
    chunk = list(values)
    refused = 0
    # COPY is binary.
    for decode, frame in _WAYS if codec.format is Format.BINARY else _WAYS[:1]:
        data = b"".join([frame(value) + frame(None) for value in chunk])
        rows: list[Any] = []
        position = errors = 0
        while position < len(data):
            position, error = decode(plan, data, position, len(data), rows, sys.maxsize)
            if error is not None:
                errors += 1
                _check_error(error, codec)
        # What was refused costs no other row.
        assert len(rows) + errors == 2 * len(chunk)
        assert [row for row in rows if row[0] is None] or not chunk
        refused += errors
    return refused


def _check_error(error: Exception, codec: ValueCodec) -> None:
    if isinstance(error, UnknownTypeError | OutdatedTypeError):
        # Not for the user: the client asks the database about the types, and decodes again.
        assert error.__notes__[-1] == f"in column 1, 'spalte', of type {codec.name}"
    elif type(error) is InvalidValueError:
        text = str(error) + "".join(getattr(error, "__notes__", ()))
        assert f"column 1, 'spalte', of type {codec.name}" in text or (
            str(error).startswith(f"cannot decode column 1 ('spalte') of type {codec.name}: ")
        )
        assert isinstance(error.__cause__, ValueError) or error.__notes__
    else:
        # JSON's functions are the user's, or json's: what they say of a text that is none stays as it is.
        assert isinstance(error, ValueError | RecursionError), repr(error)
        assert codec.user or "custom" in codec.name or _has_user(codec), repr(error)


def _has_user(codec: ValueCodec) -> bool:
    return codec.user or any(_has_user(part) for part in (codec.element, *codec.members) if part is not None)


def damaged(case: Case) -> Iterator[bytes]:
    """Cuts, surplus bytes, other numbers and bytes at every place, flipped bits."""
    valid = b"\x00\x00\x00\x01x" if case.valid is None else case.valid
    binary = case.codec.format is Format.BINARY
    yield b""
    for end in range(min(len(valid), 100)):
        yield valid[:end]
    yield valid[:-1]
    for surplus in (b"\x00", b"\xff", b" ", b"}", b",", valid):
        yield valid + surplus
        yield surplus + valid
    for at in range(min(len(valid), 40)):
        if binary:
            for number in NUMBERS:
                yield valid[:at] + struct.pack(">i", number) + valid[at + 4 :]
        for byte in b"\x00\xff" if binary else b'\x00\xff"\\{}(,: N9':
            yield valid[:at] + bytes([byte]) + valid[at + 1 :]
        yield valid[:at] + bytes([valid[at] ^ 1 << at % 8]) + valid[at + 1 :]
        yield valid[:at] + valid[at : at + 4] * 3 + valid[at + 4 :]


def _label(case: Case) -> str:
    return case.label


# That the table is complete


def test_every_codec_is_in_the_table() -> None:
    found = {id(case.codec) for case in CASES}
    assert all(id(codec) in found for codec in BUILTIN.values())
    assert {BY_OID[oid].name for oid, _ in BUILTIN} - VALUES.keys() <= {
        entry.name for entry in BY_OID.values() if len([1 for oid, _ in BUILTIN if oid == entry.oid]) == 1
    }, "a type with both formats needs a value in VALUES"
    oids = {(case.codec.oid, case.codec.format) for case in CASES}
    assert {(oid, wire_format) for oid, element in ELEMENTS.items() for wire_format in (0, 1)
            if (element.oid, wire_format) in BUILTIN} <= oids  # fmt: skip
    assert {
        (entry.oid, wire_format) for entry in BY_OID.values() if entry.typtype in "rm" for wire_format in (0, 1)
    } <= oids
    names = {case.codec.name for case in CASES}
    assert {item.typename for item in vars(contrib).values() if isinstance(item, ExtensionType)} <= names
    assert {item.typename for item in (*contrib.DEFAULTS, *contrib.PGVECTOR)} <= names
    kinds = {getattr(custom, name) for name in custom.__all__}
    assert {type(item) for item in DECLARED} == {kind for kind in kinds if isinstance(kind, type)}


def test_the_valid_values_are_valid() -> None:
    for case in CASES:
        if case.valid is not None:
            assert check(case.codec, [case.valid]) == 0, case.label


# Malformed bytes


@pytest.mark.parametrize("start", range(0, len(DIFFERENT), 50))
def test_damaged_values(start: int) -> None:
    for case in DIFFERENT[start : start + 50]:
        try:
            refused = check(case.codec, damaged(case))
            assert refused or case.codec.opcode is Opcode.BYTEA or case.codec.user
        except BaseException as error:
            error.add_note(f"of {case.label}")
            raise


@pytest.mark.parametrize("case", SCALARS, ids=_label)
def test_without_a_generated_decoder(case: Case) -> None:
    check(case.codec, list(damaged(case))[:60], warm=False)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CASES), st.binary(max_size=100))
def test_random_bytes(case: Case, data: bytes) -> None:
    check(case.codec, [data, (case.valid or b"") + data, data + (case.valid or b"")])


# Memory and time


#: One of each kind, for what takes long; around types whose values are long.
REPRESENTATIVE: Final = tuple(
    {
        case.label: case
        for case in CASES
        if case.codec.name in ("record", "record[]", "color", "nested_11") or case in builtin_cases()
        or case.codec.name.removesuffix("[]") in (item.typename for item in contrib.PGVECTOR)
        or case.codec.name in ("hstore", "cube", "text[]", "integer[]", "numeric[]", "bytea[]")
        or case.codec.name in ("int4range", "nummultirange")
        or case.codec.name.startswith(("text_", "bytea_", "float4_", "hstore_", "custom u_", "point_", "int2vector_"))
    }.values()
)  # fmt: skip


@pytest.mark.parametrize("start", range(0, len(DIFFERENT), 100))
def test_short_values_take_little_memory(start: int) -> None:
    tracemalloc.start()
    try:
        for case in DIFFERENT[start : start + 100]:
            valid, decode = case.valid or bytes(12), case.codec.decode
            hostile = [
                valid[:at] + struct.pack(">i", number) + valid[at + 4 :]
                for at in range(0, min(len(valid), 40), 2)
                for number in (0x7FFFFFFF, 0x00FFFFFF, -2, 0x7FFF3FFF)
            ]
            for value in hostile:
                before = tracemalloc.get_traced_memory()[0]
                tracemalloc.reset_peak()
                try:
                    decode(value)
                except Exception:
                    pass
                growth = tracemalloc.get_traced_memory()[1] - before
                assert growth < MAX_BYTES, f"{case.label}: {growth} bytes for {value!r}"
    finally:
        tracemalloc.stop()


_ONES: Final = (
    *(bytes([byte]) for byte in b'{(["\\,091-:. aN}\x00\x01\xff\xc3'),
    b"1,",
    b"{1},",
    b'"",',
    b'"\\\\",',
    b'"a\\"',
    b'""',
    b"(,",
    b'(")',
    b'"a"=>"b", ',
    b'"a"=>',
    b"1 ",
    b"\\000",
    b"\\x",
    b"(1,1),",
    b"[1,2),",
    b"empty,",
    b"9.",
    b"1e",
    b"NULL,",
    b"1:1,",
    b"'a' ",
    b"P1Y",
    b"1 day ",
    b"f:",
    b"1/",
    b"{(",
    b"\x02\x01",
    b"\x00\x00\x00\x01",
    b"\x01a\x00",
)
_AROUND: Final = ((b"", b""), (b"{", b"}"), (b"(", b")"), (b"[", b"]"), (b'{"', b'"}'), (b'("', b'")'), (b'["', b'",)'))


def long_values(size: int, case: Case) -> Iterator[bytes]:
    """About so many bytes each."""
    for one in _ONES:
        many = one * (size // len(one))
        if case.codec.format is Format.BINARY:
            yield many
            # Behind a header that says how many, or of how much.
            yield struct.pack(">i", size // max(4, len(one))) + many
            yield (case.valid or b"")[:20] + many
        else:
            for before, after in _AROUND:
                yield before + many + after
    if case.valid:
        valid = case.valid
        yield valid * (size // len(valid))
        yield valid[:1] + valid[1:-1] * (size // len(valid)) + valid[-1:]


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=_label)
def test_long_values_take_little_time(case: Case) -> None:
    decode = case.codec.decode
    for value in long_values(64 << 10, case):
        start = time.process_time()
        try:
            decode(value)
        except Exception:
            pass
        seconds = time.process_time() - start
        assert seconds < 1, f"{seconds:.1f} s for {len(value)} bytes: {value[:40]!r}"


def _calls(decode: Callable[[bytes], object], value: bytes) -> int:
    """How many functions are called, those in C included."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        decode(value)
    except Exception:
        pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=_label)
def test_work_grows_with_the_value(case: Case) -> None:
    short, long = long_values(200, case), long_values(800, case)
    for one, four in zip(short, long, strict=True):
        few, many = _calls(case.codec.decode, one), _calls(case.codec.decode, four)
        assert many <= 5 * few + 50, f"{few} calls for {one!r}, {many} for four times as much"
