"""The compiled kernel does what the pure one does: with the same bytes, right, damaged or cut anywhere, and with the
same arguments, ordinary or strange. Whichever of the two runs, the other one is beside it here."""

import itertools
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.codecs.array import array_codec
from pgsansio.codecs.composite import composite_codec
from pgsansio.codecs.range import multirange_codec, range_codec
from pgsansio.enums import Format
from pgsansio.errors import ProtocolError
from pgsansio.kernel import pure
from pgsansio.kernel.contract import Opcode, UnknownTypeError, ValueCodec
from pgsansio.types import Range
from tests.kernel.test_containers import PYTHON, SCALARS, Built, containers, scalar
from tests.support.naive_kernel import copy_tuple, data_row, int_bytes, text_codec

compiled: Any = pytest.importorskip("pgsansio.kernel._compiled", reason="the compiled kernel is not built")

KERNELS: tuple[Any, Any] = (pure, compiled)
MANY = 2**31
READY = b"Z\0\0\0\5I"
TRAILER = b"\xff\xff"
NAMES = b"p\0s\0"
RESULTS = b"\0\1\0\1"
SYNC = b"S\0\0\0\4"


def told(value: object) -> object:
    """What is to be compared of a value: without the names of either kernel's classes."""
    if isinstance(value, pure.Record | compiled.Record):
        return "Record", tuple(value.keys()), tuple(map(told, value.values()))
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(told, value))
    if isinstance(value, Range):
        return "Range", told(value.lower), told(value.upper), repr(value)
    if isinstance(value, uuid.UUID):
        return "UUID", value.int
    return type(value).__name__, repr(value)


def told_error(error: BaseException | None) -> object:
    if error is None:
        return None
    cause = error.__cause__
    return type(error), str(error), getattr(error, "__notes__", None), type(cause), str(cause)


class OfTheUsers(Exception):
    """What a user's codec raises."""


def decode_for_the_user(data: bytes) -> str:
    if data[:1] in (b"\0", b"x"):
        raise OfTheUsers(data)
    if data[:1] == b"\1":
        raise UnknownTypeError("not known", oids=frozenset({7}))
    return data.decode()


def encode_for_the_user(value: Any) -> Any:
    if value == "as another buffer":
        return bytearray(b"yes")
    if value == "not at all":
        return None
    return value.encode()


USERS: Built = (
    ValueCodec(70_000, "mine", Opcode.CALL, Format.BINARY, decode_for_the_user, encode_for_the_user, user=True),
    st.binary(max_size=5),
)
TEXTS: Built = (text_codec(), st.text(max_size=5).map(str.encode))


def warmed(codecs: Sequence[ValueCodec], kernel: Any, warm: bool) -> tuple[Any, Any]:
    """The plans for rows and for arguments; the pure kernel has other functions for those that are used often."""
    names = tuple(f"c{number % 3}" for number in range(len(codecs)))
    rows = kernel.row_plan(names, tuple(codecs), kernel.Record)
    parameters = kernel.parameter_plan(tuple(codecs))
    if warm:
        nulls = [None] * len(codecs)
        for frame, decode in ((data_row, kernel.decode_rows), (copy_tuple, kernel.decode_copy)):
            data = frame(*nulls) * 100
            decode(rows, data, 0, len(data), [], MANY)
        for _ in range(50):
            kernel.encode_bind(parameters, NAMES, nulls, RESULTS, SYNC)
        kernel.encode_many(parameters, NAMES, iter([nulls] * 50), RESULTS, SYNC, MANY, 0)
        kernel.encode_copy(parameters, iter([nulls] * 50), MANY, 0)
    return rows, parameters


def decoded(kernel: Any, plan: Any, copy: bool, data: bytes, start: int, end: int, max_rows: int) -> object:
    rows: list[Any] = []
    decode = kernel.decode_copy if copy else kernel.decode_rows
    try:
        position, error = decode(plan, bytearray(data), start, end, rows, max_rows)
    except ProtocolError as raised:
        return [told(row) for row in rows], told_error(raised)
    return [told(row) for row in rows], position, told_error(error)


columns = st.lists(
    st.sampled_from(sorted(SCALARS)).map(scalar) | containers() | st.just(TEXTS) | st.just(USERS), max_size=5
)


@st.composite
def results(draw: st.DrawFn) -> tuple[list[ValueCodec], list[list[bytes | None]]]:
    built = draw(columns)
    rows = draw(st.lists(st.tuples(*[st.none() | values for _, values in built]).map(list), max_size=3))
    return [codec for codec, _ in built], rows


def damage(draw: Callable[[st.SearchStrategy[Any]], Any], data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(changed)))
        bytes_ = draw(st.sampled_from([b"\xff", b"\0", b"\1", b"", b"\xfe", b"\7", b"\x80", b"x"]))
        changed[at : at + draw(st.integers(0, 2))] = bytes_
    return bytes(changed)


@pytest.mark.parametrize("copy", [False, True], ids=["rows", "copy"])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_rows(copy: bool, data: st.DataObject) -> None:
    codecs, rows = data.draw(results())
    frame, end = (copy_tuple, TRAILER) if copy else (data_row, READY)
    found = damage(data.draw, b"".join(frame(*row) for row in rows) + end)
    max_rows = data.draw(st.integers(1, 4) | st.just(MANY))
    start = data.draw(st.sampled_from([0, 0, 0, len(found) // 2]))
    warm = data.draw(st.booleans())
    plans = [warmed(codecs, kernel, warm)[0] for kernel in KERNELS]
    one, other = (
        decoded(kernel, plan, copy, found, start, len(found), max_rows)
        for kernel, plan in zip(KERNELS, plans, strict=True)
    )
    assert one == other


@pytest.mark.parametrize("copy", [False, True], ids=["rows", "copy"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_rows_cut_anywhere(copy: bool, data: st.DataObject) -> None:
    codecs, rows = data.draw(results())
    frame, end = (copy_tuple, TRAILER) if copy else (data_row, READY)
    found = damage(data.draw, b"".join(frame(*row) for row in rows) + end)
    plans = [warmed(codecs, kernel, True)[0] for kernel in KERNELS]
    for cut in range(len(found) + 1):
        one, other = (
            decoded(kernel, plan, copy, found, 0, cut, MANY) for kernel, plan in zip(KERNELS, plans, strict=True)
        )
        assert one == other


@pytest.mark.parametrize("copy", [False, True], ids=["rows", "copy"])
@settings(max_examples=200, deadline=None)
@given(
    built=columns,
    data=st.binary(max_size=60),
    head=st.sampled_from([b"", b"D", b"D\0\0\0", b"D\0\0\0\x10\0\1", b"\0\1"]),
)
def test_any_bytes(copy: bool, built: list[Built], data: bytes, head: bytes) -> None:
    codecs = [codec for codec, _ in built]
    plans = [warmed(codecs, kernel, True)[0] for kernel in KERNELS]
    found = head + data
    one, other = (
        decoded(kernel, plan, copy, found, 0, len(found), MANY) for kernel, plan in zip(KERNELS, plans, strict=True)
    )
    assert one == other


# Arguments


class Whole:
    def __index__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "Whole()"


class Text(str):
    pass


class Refusing:
    """It has every method, and each of them raises."""

    def __index__(self) -> int:
        raise OfTheUsers("index")

    def __float__(self) -> float:
        raise OfTheUsers("float")

    def __len__(self) -> int:
        raise OfTheUsers("len")

    def __iter__(self) -> Iterator[object]:
        raise OfTheUsers("iter")

    def __repr__(self) -> str:
        raise OfTheUsers("repr")


_cyclic: list[Any] = [1]
_cyclic.append(_cyclic)
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [
        Whole(), Text("t"), "as another buffer", "not at all", bytearray(b"b"), memoryview(b"abc")[::2], 2**200, -1,
        1.5, Decimal("NaN"), Decimal("-Infinity"), Decimal("1E+20"), Fraction(1, 2), True, (), [], [None], [[]],
        [[1], [2]], [(1,)], ((1, 2), (3, 4)), {}, {"m0": 1}, {1, 2}, Range(1, 2), Range(empty=True), Range(None, None),
        [Range(1, 5), (2, 3)], _cyclic, "\ud800", "\0", "x" * 300, object, uuid.UUID(int=3), pure.UUID(int=4),
        compiled.UUID(int=5), "12345678-1234-5678-1234-567812345678",
    ]
)  # fmt: skip


def arguments_of(codec: ValueCodec, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that the codec mostly takes."""
    if codec.element is not None and codec.opcode is Opcode.RANGE:
        bound = st.none() | arguments_of(codec.element, depth + 1)
        return st.builds(Range, bound, bound, lower_inc=st.booleans(), upper_inc=st.booleans(), empty=st.booleans())
    if codec.element is not None:
        parts = st.lists(st.none() | arguments_of(codec.element, depth + 1), max_size=3)
        return parts | parts.map(tuple)
    if codec.members:
        members = st.tuples(*[st.none() | arguments_of(member, depth + 1) for member in codec.members])
        return members | members.map(list)
    if codec.user:
        return st.text(st.characters(codec="utf-8"), max_size=3)
    return PYTHON[codec.opcode] if codec.opcode in PYTHON else st.binary(max_size=3)


def encoded(kernel: Any, plan: Any, kind: str, lists: list[Any], max_bytes: int) -> object:
    try:
        if kind == "bind":
            return kernel.encode_bind(plan, NAMES, lists[0], RESULTS, SYNC)
        elements: Iterator[object] = iter(lists)
        if kind == "many":
            found = kernel.encode_many(plan, NAMES, elements, RESULTS, SYNC, max_bytes, 5)
        else:
            found = kernel.encode_copy(plan, elements, max_bytes, 5)
    except Exception as raised:
        return told_error(raised)
    # Nothing was taken that was not encoded.
    return found, len(list(elements))


def nested_lists(codec: ValueCodec) -> st.SearchStrategy[Any]:
    """Lists in lists: rectangles, and what is none."""
    items = st.none() | arguments_of(codec)
    sizes = st.lists(st.integers(1, 3), min_size=1, max_size=4)

    def rectangle(sizes: list[int]) -> st.SearchStrategy[Any]:
        values = items
        for size in sizes:
            values = st.lists(values, min_size=size, max_size=size)
        return values

    return (
        sizes.flatmap(rectangle)
        | st.recursive(
            items | STRANGE, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner), max_leaves=8
        )
        | st.integers(5, 8).flatmap(lambda depth: rectangle([1] * depth))
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_nested_lists(data: st.DataObject) -> None:
    element = data.draw(
        st.sampled_from([Opcode.INT4, Opcode.TEXT, Opcode.NUMERIC, Opcode.POINT, Opcode.TID]).map(SCALARS.__getitem__)
        | st.just(range_codec(9002, "range", SCALARS[Opcode.INT4]))
    )
    lists = [(data.draw(nested_lists(element)),)]
    plans = [warmed([array_codec(9001, "array", element)], kernel, True)[1] for kernel in KERNELS]
    one, other = (encoded(kernel, plan, "many", lists, MANY) for kernel, plan in zip(KERNELS, plans, strict=True))
    assert one == other


def test_nested_lists_are_encoded_without_the_codec() -> None:
    def never(value: object) -> bytes:
        raise AssertionError(value)

    for element, value in ((SCALARS[Opcode.INT4], 1), (range_codec(9002, "range", SCALARS[Opcode.INT4]), Range(1, 2))):
        known = array_codec(9001, "array", element)
        codec = replace(known, encode=never)
        plan = compiled.parameter_plan((codec,))
        for lists in ([[value, None], [value, value]], [[[value]]], (value, None)):
            message = compiled.encode_bind(plan, NAMES, (lists,), RESULTS, SYNC)
            assert known.encode(lists) in message


@pytest.mark.parametrize("kind", ["bind", "many", "copy"])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_arguments(kind: str, data: st.DataObject) -> None:
    codecs = [codec for codec, _ in data.draw(columns)]
    strange = data.draw(st.booleans())
    value = [arguments_of(codec) | (STRANGE if strange else st.none()) for codec in codecs]
    lists: list[Any] = data.draw(st.lists(st.tuples(*value), min_size=1, max_size=3))
    if strange and kind != "bind":
        lists += data.draw(st.lists(STRANGE, max_size=1))
    max_bytes = data.draw(st.sampled_from([1, 50, MANY]))
    warm = data.draw(st.booleans())
    plans = [warmed(codecs, kernel, warm)[1] for kernel in KERNELS]
    one, other = (encoded(kernel, plan, kind, lists, max_bytes) for kernel, plan in zip(KERNELS, plans, strict=True))
    assert one == other


INT4 = SCALARS[Opcode.INT4]
TEXT = SCALARS[Opcode.TEXT]


def nested(depth: int) -> ValueCodec:
    """A composite of a composite of a composite; one of them is twice in the next."""
    codec = INT4
    for level in range(depth):
        codec = composite_codec(80_000 + level, "deep", ("one", "two"), (codec, codec))
    return codec


NUMBERS = [
    sign * (1 << bits) + near for bits in (0, 7, 15, 29, 30, 31, 32, 60, 63) for sign in (1, -1) for near in (-1, 0, 1)
]
SHORT = ["x" * size for size in (*range(26), 254, 255, 256, 257)]
ODD = [
    text[:at] + odd + text[at:]
    for text in SHORT
    for at in sorted({0, len(text) // 2, max(len(text) - 1, 0), len(text)})
    for odd in ("", "\0", "\x01\0", "\x7f", "\x80", "\ud800")
]
WRITTEN_AT_ONCE: list[tuple[Opcode, list[Any]]] = [
    (Opcode.INT4, [*NUMBERS, True, 1.0, "1"]),
    (Opcode.INT8, [*NUMBERS, True, 1.0, "1"]),
    (Opcode.FLOAT8, [0.0, -1.5, float("inf"), 1, True, "1"]),
    (Opcode.TEXT, ODD),
]


@pytest.mark.parametrize(("opcode", "values"), WRITTEN_AT_ONCE, ids=lambda value: getattr(value, "name", ""))
def test_values_that_are_written_at_once_and_those_beside_them(opcode: Opcode, values: list[Any]) -> None:
    """Small numbers and short texts have a way of their own."""
    codecs = (SCALARS[opcode],)
    plans = [kernel.parameter_plan(codecs) for kernel in KERNELS]
    for value in values:
        for kind, lists in (("bind", [(value,)]), ("copy", [(value,)] * 3), ("many", [(None,), (value,)])):
            one, other = (encoded(kernel, plan, kind, lists, MANY) for kernel, plan in zip(KERNELS, plans, strict=True))
            assert one == other


@pytest.mark.parametrize("max_bytes", [1, 600, 5000, 1 << 19])
def test_many_elements(max_bytes: int) -> None:
    """More than is got room for at first, and than at once."""
    lists = [(number, "x" * (number % 300)) for number in range(5000)]
    found = [encoded(kernel, kernel.parameter_plan((INT4, TEXT)), "copy", lists, max_bytes) for kernel in KERNELS]
    assert found[0] == found[1]


@pytest.mark.parametrize("depth", [1, 5, 31, 32, 33, 60])
def test_composites_that_share_their_parts(depth: int) -> None:
    """Neither the time for a plan nor the stack grows with what could be in a value."""
    codec = nested(depth)
    null = int_bytes(-1, 4)
    value, argument = int_bytes(7, 4), 7
    found: Any = argument
    oid = INT4.oid
    for level in range(depth):
        value = int_bytes(2, 4) + int_bytes(oid, 4) + int_bytes(len(value), 4) + value + int_bytes(oid, 4) + null
        found = (found, None)
        oid = 80_000 + level
    for kernel in KERNELS:
        rows_plan, parameters = warmed([codec], kernel, False)
        data = data_row(value)
        rows: list[Any] = []
        assert kernel.decode_rows(rows_plan, data, 0, len(data), rows, MANY) == (len(data), None)
        inner = rows[0]
        for _ in range(depth):
            inner = inner[0]
            assert inner["two"] is None
        assert inner[0] == 7
        assert kernel.encode_copy(parameters, iter([(found,)]), MANY, 0)[0] == copy_tuple(value)


def test_a_codec_that_uses_what_is_being_read() -> None:
    """The caller's buffer cannot be resized while it is read, and the list of rows may change."""
    buffer = bytearray(data_row(b"\0\0\0\1", b"x") * 3)
    rows: list[Any] = []
    seen: list[object] = []

    def decode(data: bytes) -> bytes:
        try:
            buffer.clear()
        except BufferError as error:
            seen.append(type(error))
        rows.append("mine")
        return data

    plan = compiled.row_plan(
        ("a", "b"), (INT4, ValueCodec(1, "x", Opcode.CALL, Format.BINARY, decode, bytes)), compiled.Record
    )
    size = len(buffer)
    assert compiled.decode_rows(plan, buffer, 0, size, rows, MANY) == (size, None)
    assert [row if row == "mine" else tuple(row) for row in rows] == ["mine", (1, b"x")] * 3
    assert seen == [BufferError] * 3
    buffer.clear()


def test_values_that_change_while_they_are_encoded() -> None:
    values: list[Any] = [1, "a", 2, "b"]

    def encode(value: Any) -> bytes:
        values.clear()
        return b"!"

    inner = composite_codec(5, "c", ("a", "b"), (ValueCodec(1, "x", Opcode.CALL, Format.BINARY, bytes, encode), INT4))
    plan = compiled.parameter_plan((inner, array_codec(6, "a", INT4)))
    for arguments in ([values, [1]], [values, (1,)]):
        values[:] = ["x", 1]
        with pytest.raises(Exception, match="invalid input for query argument"):
            compiled.encode_bind(plan, NAMES, arguments, RESULTS, SYNC)
    values[:] = [1, "a"]
    plan = compiled.parameter_plan((ValueCodec(1, "x", Opcode.CALL, Format.BINARY, bytes, encode), TEXT))
    assert compiled.encode_copy(plan, iter([values]), MANY, 0)[0] == copy_tuple(b"!", b"a")


@pytest.mark.parametrize("start", [-5, 0, 3, 10**6, -(2**63)])
@pytest.mark.parametrize("end", [-5, 0, 3, 10**6, 2**63 - 1])
def test_offsets_are_cut_to_the_buffer(start: int, end: int) -> None:
    plan = compiled.row_plan(("a",), (INT4,), compiled.Record)
    position, error = compiled.decode_rows(plan, b"Zabc", start, end, [], MANY)
    assert error is None
    assert 0 <= position <= 4


def test_refuses_what_is_no_plan() -> None:
    rows = pure.row_plan(("a",), (INT4,), pure.Record)
    parameters = pure.parameter_plan((INT4,))
    for call in (
        lambda: compiled.decode_rows(rows, b"", 0, 0, [], 1),
        lambda: compiled.decode_copy(rows, b"", 0, 0, [], 1),
        lambda: compiled.decode_rows(compiled.row_plan(("a",), (INT4,), compiled.Record), b"", 0, 0, (), 1),
        lambda: compiled.encode_bind(parameters, b"", (1,), b"", b""),
        lambda: compiled.encode_many(parameters, b"", iter([]), b"", b"", 1, 0),
        lambda: compiled.encode_copy(parameters, iter([]), 1, 0),
        lambda: compiled.encode_copy(compiled.parameter_plan((INT4,)), [(1,)], 1, 0),
        lambda: compiled.encode_bind(compiled.parameter_plan((INT4,)), "", (1,), b"", b""),
        lambda: compiled.row_plan(("a",), (INT4,), pure.Record),
        lambda: compiled.row_plan(["a"], (INT4,), compiled.Record),
        lambda: compiled.parameter_plan([INT4]),
        compiled.decode_rows,
        type(compiled.parameter_plan(())),
        lambda: compiled.Record._restore(("a",), [1]),
    ):
        with pytest.raises(TypeError):
            call()


def test_ranges_of_ranges_and_other_shapes() -> None:
    """Types that no server has, but a catalogue may say so."""
    ranges = range_codec(1, "r", range_codec(2, "s", INT4))
    for codec in (ranges, multirange_codec(3, "m", ranges), array_codec(4, "a", array_codec(5, "b", INT4))):
        for value in ([], [[1]], [[]], Range(Range(1, 2), None), [Range(None, Range(1, 2))]):
            plans = [warmed([codec], kernel, True)[1] for kernel in KERNELS]
            one, other = (
                encoded(kernel, plan, "copy", [(value,)], MANY) for kernel, plan in zip(KERNELS, plans, strict=True)
            )
            assert one == other


#: One and two bytes for a character, as they may be and as they may not, and more.
TEXT_PARTS = [
    b"a", b"\x7f", b"\0", b"12345678", b"\xc2\x80", b"\xc3\xbc", b"\xc3\xbf", b"\xc4\x80", b"\xe2\x82\xac",
    b"\xc1\xbf", b"\xc0\x80", b"\xc2", b"\xc3", b"\x80", b"\xc3(", b"\xff",
]  # fmt: skip


def test_texts_that_are_not_ascii() -> None:
    plans = [warmed([SCALARS[Opcode.TEXT]], kernel, True)[0] for kernel in KERNELS]
    for count in (1, 2, 3):
        for parts in itertools.product(TEXT_PARTS, repeat=count):
            row = data_row(b"".join(parts))
            one, other = (
                decoded(kernel, plan, False, row, 0, len(row), MANY)
                for kernel, plan in zip(KERNELS, plans, strict=True)
            )
            assert one == other
            rows: list[Any] = []
            compiled.decode_rows(plans[1], row, 0, len(row), rows, MANY)
            for (text,) in rows:  # in the form that Python gives such a text
                assert sys.getsizeof(text) == sys.getsizeof(str(b"".join(parts), "utf-8"))
                assert hash(text) == hash(str(b"".join(parts), "utf-8"))
