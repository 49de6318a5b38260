"""`encode_bind`, `encode_many` and `encode_copy`.

A plan may encode its first lists of arguments in another way than those after them, so everything is shown for a new
plan and for one that has encoded some hundred lists.
"""

import itertools
import uuid
from collections import OrderedDict, UserList, UserString, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio import kernel
from pgsansio.codecs.registry import Registry
from pgsansio.enums import Format
from pgsansio.errors import DataError, InterfaceError, InternalClientError
from pgsansio.kernel.contract import Opcode as O
from pgsansio.kernel.contract import ParameterPlan, ValueCodec
from tests.support.naive_kernel import CODECS, Field, bind_of, copy_tuple, text_codec

NAMES = b"p\0s\0"
RESULTS = b"\0\1\0\1"
TRAILER = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\4"

INT4, TEXT = CODECS[O.INT4], CODECS[O.TEXT]

BuiltIn = Registry()


def built_in(oid: int) -> ValueCodec:
    codec = BuiltIn.codec(oid)
    assert codec is not None
    return codec


class Encoder:
    """Encodes one list of arguments by one of the three functions."""

    def __init__(self, name: str) -> None:
        self.name = name

    def plan(self, codecs: Sequence[ValueCodec], warm: bool) -> ParameterPlan:
        plan = kernel.parameter_plan(tuple(codecs))
        assert plan.codecs == tuple(codecs)
        if warm:
            for _ in range(200):
                self.encode(plan, [None] * len(codecs))
        return plan

    def encode(self, plan: ParameterPlan, arguments: Sequence[object], number: int = 0) -> bytes:
        if self.name == "bind":
            return kernel.encode_bind(plan, NAMES, arguments, RESULTS, TRAILER)
        elements: Iterator[object] = iter([arguments])
        if self.name == "many":
            data, count, exhausted = kernel.encode_many(plan, NAMES, elements, RESULTS, TRAILER, 2**31, number)
        else:
            data, count, exhausted = kernel.encode_copy(plan, elements, 2**31, number)
        assert (count, exhausted) == (1, True)
        return data

    def expected(self, codecs: Sequence[ValueCodec], fields: Sequence[Field]) -> bytes:
        if self.name == "copy":
            return copy_tuple(*fields)
        return bind_of(NAMES, [codec.format for codec in codecs], fields, RESULTS) + TRAILER

    def where(self, column: int, number: int = 0) -> str:
        """How an error names an argument."""
        return {
            "bind": f"query argument ${column}",
            "many": f"query argument ${column} in element #{number} of executemany() sequence",
            "copy": f"column {column} in record #{number} of copy_records_to_table()",
        }[self.name]


@pytest.fixture(params=["bind", "many", "copy"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return Encoder(request.param)


@pytest.fixture(params=[False, True], ids=["new", "warm"])
def warm(request: pytest.FixtureRequest) -> bool:
    chosen: bool = request.param
    return chosen


def test_bytes_of_a_bind(warm: bool) -> None:
    """Manual, "Message Formats", Bind."""
    plan = Encoder("bind").plan([INT4, TEXT, text_codec()], warm)
    assert kernel.encode_bind(plan, b"\0s1\0", (258, None, "h\u00e9"), b"\0\0", b"S\0\0\0\4") == (
        b"B\0\0\0\x27\0s1\0\0\3\0\1\0\1\0\0\0\3\0\0\0\4\0\0\1\2\xff\xff\xff\xff\0\0\0\3h\xc3\xa9\0\0S\0\0\0\4"
    )


def test_bytes_of_a_tuple(warm: bool) -> None:
    """Manual, "COPY", Binary Format."""
    plan = Encoder("copy").plan([INT4, TEXT], warm)
    elements: Iterator[object] = iter([(1, "x"), [None, None]])
    assert kernel.encode_copy(plan, elements, 1000, 0) == (
        b"\0\2\0\0\0\4\0\0\0\1\0\0\0\1x\0\2\xff\xff\xff\xff\xff\xff\xff\xff",
        2,
        True,
    )


@pytest.mark.parametrize("codecs", [[], [INT4], [TEXT], [text_codec()], [text_codec()] * 2, [INT4, text_codec()]])
def test_format_codes(encoder: Encoder, warm: bool, codecs: list[ValueCodec]) -> None:
    plan = encoder.plan(codecs, warm)
    nulls = [None] * len(codecs)
    assert encoder.encode(plan, nulls) == encoder.expected(codecs, nulls)


# Built-in types: whatever a codec makes of a value is what is sent


class Whole:
    def __index__(self) -> int:
        return 7


class Name(str):
    pass


THIS = uuid.UUID("12345678-1234-5678-1234-567812345678")
INTEGERS: list[object] = [
    0,
    1,
    -1,
    2**15 - 1,
    -(2**15),
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**63 - 1,
    -(2**63),
    Whole(),
    True,
]
ACCEPTED: list[tuple[int, object]] = [
    *((oid, value) for oid in (16,) for value in (True, False)),
    *((21, value) for value in [*INTEGERS[:5], Whole(), True]),
    *((23, value) for value in [*INTEGERS[:7], Whole(), True]),
    *((20, value) for value in INTEGERS),
    *((26, value) for value in [0, 1, 2**32 - 1, Whole(), True]),
    *((oid, value) for oid in (700, 701) for value in (0.0, -0.0, 1.5, 0.1, 7, True, float("inf"), float("nan"))),
    *((oid, value) for oid in (25, 1043, 114, 3802) for value in ("", "x", "h\u00e9 \U0001f600", Name("n"))),
    *((17, value) for value in (b"", b"\0\xff", bytearray(b"ab"), memoryview(b"abc")[::2])),
    *((2950, value) for value in (THIS, kernel.UUID(int=5), str(THIS))),
    (1700, 12),
    (1007, [1, None, 3]),
    (1009, ["x", None]),
]


@pytest.mark.parametrize(("oid", "value"), ACCEPTED)
def test_accepted(encoder: Encoder, warm: bool, oid: int, value: object) -> None:
    codec = built_in(oid)
    field = codec.encode(value)
    for codecs, arguments, fields in (
        ([codec], [value], [field]),
        ([codec, TEXT, codec, codec], [value, "t", None, value], [field, b"t", None, field]),
        ([TEXT, codec, INT4], ["t", value, 1], [b"t", field, b"\0\0\0\1"]),
    ):
        plan = encoder.plan(codecs, warm)
        for _ in range(3):
            assert encoder.encode(plan, arguments) == encoder.expected(codecs, fields)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


REFUSED: list[tuple[int, object, str, type[Exception]]] = [
    (23, "1", "'1' ('str' object cannot be interpreted as an integer)", TypeError),
    (23, 2**31, "2147483648 (value out of int32 range)", OverflowError),
    (23, -(2**31) - 1, "-2147483649 (value out of int32 range)", OverflowError),
    (23, 10**60, f"1{'0' * 39}... (value out of int32 range)", OverflowError),
    (23, 1.5, "1.5 (", ValueError),
    (21, 2**15, "32768 (value out of int16 range)", OverflowError),
    (20, 2**63, "9223372036854775808 (value out of int64 range)", OverflowError),
    (26, -1, "-1 (value out of uint32 range)", OverflowError),
    (26, 2**32, "4294967296 (value out of uint32 range)", OverflowError),
    (16, 1, "1 (a boolean is required (got type int))", TypeError),
    (16, 0, "0 (a boolean is required (got type int))", TypeError),
    (701, "1", "'1' (must be real number, not str)", TypeError),
    (701, 10**400, f"1{'0' * 39}... (int too large to convert to float)", OverflowError),
    (700, 1e39, "1e+39 (value out of float32 range)", ValueError),
    (25, 1, "1 (expected str, got int)", TypeError),
    (25, b"x", "b'x' (expected str, got bytes)", TypeError),
    (25, "a\0", "'a\\x00' (text cannot hold the character U+0000, which is at index 1)", ValueError),
    (114, "\0", "'\\x00' (text cannot hold the character U+0000, which is at index 0)", ValueError),
    (3802, "\0", "'\\x00' (text cannot hold the character U+0000, which is at index 0)", ValueError),
    (25, "\ud800", "'\\ud800' ('utf-8' codec can't encode character '\\ud800' in position 0", UnicodeEncodeError),
    (3802, "\ud800", "'\\ud800' ('utf-8' codec can't encode character '\\ud800' in position 0", UnicodeEncodeError),
    (17, "x", "'x' (a bytes-like object is required, not 'str')", TypeError),
    (2950, 5, "5 (", TypeError),
    (2950, "x", "'x' (invalid UUID 'x': length must be between 32..36 characters, got 1)", ValueError),
    (1007, 5, "5 (a sized iterable container expected (got type 'int'))", TypeError),
    (23, "x" * 60, "'" + "x" * 39 + "... (", TypeError),
    (23, Unprintable(), "<tests.kernel.test_parameters.Unprintabl... (", TypeError),
]


@pytest.mark.checklist("Q-11")
@pytest.mark.parametrize(("oid", "value", "text", "cause"), REFUSED)
def test_refused(encoder: Encoder, warm: bool, oid: int, value: object, text: str, cause: type[Exception]) -> None:
    codec = built_in(oid)
    for codecs, arguments, column in (
        ([codec], [value], 1),
        ([INT4, codec, TEXT, codec], [1, value, "t", value], 2),
        ([TEXT, INT4, codec], ["t", None, value], 3),
        ([CODECS[O.BYTEA], codec, CODECS[O.CALL]], [b"", value, b"x"], 2),
    ):
        plan = encoder.plan(codecs, warm)
        with pytest.raises(DataError) as caught:
            encoder.encode(plan, arguments, 12)
        assert str(caught.value).startswith(f"invalid input for {encoder.where(column, 12)}: {text}")
        assert type(caught.value) is DataError
        assert type(caught.value.__cause__) is cause
        assert caught.value.sqlstate == "22000"


def test_the_first_refused_argument_is_named(encoder: Encoder, warm: bool) -> None:
    bad: dict[O, object] = {O.INT4: 2**31, O.TEXT: 5, O.CALL: "x", O.BOOL: 1, O.BYTEA: 1}
    good: dict[O, object] = {O.INT4: 1, O.TEXT: "t", O.CALL: b"x", O.BOOL: True, O.BYTEA: b""}
    for opcodes in itertools.permutations(bad, 4):
        plan = encoder.plan([CODECS[opcode] for opcode in opcodes], warm)
        for first in range(4):
            arguments = [(bad if column >= first else good)[opcode] for column, opcode in enumerate(opcodes)]
            with pytest.raises(DataError) as caught:
                encoder.encode(plan, arguments)
            assert f"for {encoder.where(first + 1)}: " in str(caught.value)


# Codecs of the user


def user_codec(encode: Callable[[Any], Any]) -> ValueCodec:
    return ValueCodec(1, "geometry", O.CALL, Format.BINARY, bytes, encode)


def test_each_value_is_shown_to_its_codec_once(encoder: Encoder, warm: bool) -> None:
    seen: list[object] = []

    def encode(value: Any) -> bytes:
        seen.append(value)
        if value == "bad":
            raise ValueError("no good")
        return value.encode()

    user = user_codec(encode)
    plan = encoder.plan([user, INT4, user, TEXT, user], warm)
    with pytest.raises(DataError):
        encoder.encode(plan, ["a", 1, "bad", "t", "b"])
    with pytest.raises(DataError):
        encoder.encode(plan, ["c", 1, "d", 5, "e"])
    with pytest.raises(DataError):
        encoder.encode(plan, ["f", "x", "g", "t", "h"])
    # What comes behind the first refused value may be looked at or not.
    assert [value for value in seen if value in ("a", "bad", "c", "d", "f")] == ["a", "bad", "c", "d", "f"]
    assert len(seen) == len(set(cast("list[str]", seen)))


@pytest.mark.checklist("Q-11")
@pytest.mark.parametrize("raised", [KeyError("k"), RuntimeError(), DataError("d"), UnicodeError("u")])
def test_any_exception_of_a_codec_is_a_refusal(encoder: Encoder, warm: bool, raised: Exception) -> None:
    def encode(value: Any) -> bytes:
        raise raised

    plan = encoder.plan([INT4, user_codec(encode)], warm)
    with pytest.raises(DataError) as caught:
        encoder.encode(plan, [1, "v"], 3)
    assert str(caught.value) == f"invalid input for {encoder.where(2, 3)}: 'v' ({raised})"
    assert caught.value.__cause__ is raised


@pytest.mark.checklist("Q-11")
def test_interface_error_of_a_codec_is_told_the_argument(encoder: Encoder, warm: bool) -> None:
    def encode(value: Any) -> bytes:
        raise InterfaceError("oops", detail="d", hint="h")

    plan = encoder.plan([INT4, user_codec(encode)], warm)
    with pytest.raises(InterfaceError) as caught:
        encoder.encode(plan, [1, "v"], 3)
    assert caught.value.args == (f"{encoder.where(2, 3)}: oops",)
    assert (caught.value.detail, caught.value.hint) == ("d", "h")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "raised", [AssertionError("a"), InternalClientError("i"), MemoryError(), KeyboardInterrupt(), SystemExit()]
)
def test_what_is_no_refusal_goes_through(encoder: Encoder, warm: bool, raised: BaseException) -> None:
    def encode(value: Any) -> bytes:
        raise raised

    plan = encoder.plan([INT4, user_codec(encode)], warm)
    with pytest.raises(type(raised)) as caught:
        encoder.encode(plan, [1, "v"])
    assert caught.value is raised


@pytest.mark.parametrize("opcode", [O.INT4, O.TEXT, O.UUID])
def test_memory_error_of_an_inlined_type_goes_through(encoder: Encoder, warm: bool, opcode: O) -> None:
    def encode(value: Any) -> bytes:
        raise MemoryError

    one = ValueCodec(1, "x", opcode, Format.BINARY, bytes, encode)
    plan = encoder.plan([one, CODECS[O.CALL]], warm)
    with pytest.raises(MemoryError):
        encoder.encode(plan, [object(), b""])


def test_any_buffer_is_bytes(encoder: Encoder, warm: bool) -> None:
    """As in asyncpg."""
    codecs = [user_codec(bytearray), INT4, user_codec(lambda value: memoryview(value)[::2])]
    plan = encoder.plan(codecs, warm)
    assert encoder.encode(plan, [b"xy", 1, b"abc"]) == encoder.expected(codecs, [b"xy", b"\0\0\0\1", b"ac"])


@pytest.mark.parametrize(("made", "text"), [("str", "'str'"), (None, "'NoneType'"), (5, "'int'")])
def test_what_is_no_buffer_is_refused(encoder: Encoder, warm: bool, made: object, text: str) -> None:
    plan = encoder.plan([INT4, user_codec(lambda value: made)], warm)
    with pytest.raises(DataError, match="a bytes-like object is required, not " + text):
        encoder.encode(plan, [1, 2])


def test_value_longer_than_its_length_can_say(encoder: Encoder, warm: bool) -> None:
    # Zeros that nobody looks at take no memory.
    plan = encoder.plan([INT4, user_codec(lambda value: bytes(2**31)), INT4], warm)
    with pytest.raises(DataError, match=r"\(value of 2147483648 bytes is too long\)") as caught:
        encoder.encode(plan, [1, "v", 2])
    assert f"for {encoder.where(2)}: 'v'" in str(caught.value)


class Endless(bytes):
    """Bytes that say they are more than they are."""

    def __len__(self) -> int:
        return 2**31 - 9


def test_message_longer_than_its_length_can_say(warm: bool) -> None:
    plan = Encoder("bind").plan([INT4, TEXT], warm)
    text = "the arguments are too long: a message can have 2147483647 bytes"
    with pytest.raises(InterfaceError, match=text):
        kernel.encode_bind(plan, Endless(), [1, "x"], RESULTS, TRAILER)
    plan = Encoder("many").plan([INT4, TEXT], warm)
    with pytest.raises(InterfaceError, match=text):
        kernel.encode_many(plan, NAMES, iter([(1, "x")]), Endless(), TRAILER, 1, 0)


# The iterable


def many(plan: ParameterPlan, elements: list[Any], max_bytes: int = 2**31, index: int = 0) -> tuple[bytes, int, bool]:
    return kernel.encode_many(plan, NAMES, iter(elements), RESULTS, TRAILER, max_bytes, index)


def copy(plan: ParameterPlan, elements: list[Any], max_bytes: int = 2**31, index: int = 0) -> tuple[bytes, int, bool]:
    return kernel.encode_copy(plan, iter(elements), max_bytes, index)


LISTS = pytest.mark.parametrize("function", [many, copy])


class Pair:
    """A sequence by `__getitem__` alone."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> object:
        return [1, "x"][index]


RECORD = kernel.row_plan(("a", "b"), (INT4, TEXT), kernel.Record).record([1, "x"])


@pytest.mark.checklist("Q-8")
@LISTS
@pytest.mark.parametrize("element", [(1, "x"), [1, "x"], deque([1, "x"]), UserList([1, "x"]), Pair(), RECORD])
def test_sequences(function: Callable[..., Any], warm: bool, element: object) -> None:
    plan = Encoder(function.__name__).plan([INT4, TEXT], warm)
    assert function(plan, [element] * 3) == function(plan, [(1, "x")] * 3)


class Sized:
    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[object]:
        return iter((1, "x"))


@pytest.mark.checklist("Q-8")
@LISTS
@pytest.mark.parametrize(
    "element",
    [
        "ab",
        b"ab",
        bytearray(b"ab"),
        {1: 2, 2: 3},
        OrderedDict(a=1, b=2),
        {1, "x"},
        {}.keys(),
        5,
        None,
        Sized(),
        iter((1, "x")),
    ],
)
def test_no_sequence(function: Callable[..., Any], warm: bool, element: object) -> None:
    plan = Encoder(function.__name__).plan([INT4, TEXT], warm)
    where = {
        "many": "executemany() argument sequence element #8",
        "copy": "copy_records_to_table() record #8",
    }[function.__name__]
    with pytest.raises(DataError) as caught:
        function(plan, [(1, "x"), element], index=7)
    assert str(caught.value) == f"invalid input in {where}: expected a sequence, got {type(element).__name__}"


@pytest.mark.checklist("Q-10")
@pytest.mark.parametrize("element", [(), (1,), (1, "x", 3), [1], deque([1, "x", 3]), UserString("a")])
def test_wrong_number_of_arguments(warm: bool, element: Any) -> None:
    plan = Encoder("many").plan([INT4, TEXT], warm)
    was = "1 was" if len(element) == 1 else f"{len(element)} were"
    with pytest.raises(InterfaceError) as caught:
        many(plan, [(1, "x"), element])
    assert caught.value.args == (f"the server expects 2 arguments for this query, {was} passed",)
    assert caught.value.hint == "Check the query against the passed list of arguments."
    plan = Encoder("copy").plan([INT4, TEXT], warm)
    with pytest.raises(DataError) as refused:
        copy(plan, [(1, "x"), element])
    assert str(refused.value) == (
        f"invalid input in copy_records_to_table() record #1: expected 2 values, got {len(element)}"
    )


@pytest.mark.checklist("Q-10")
def test_arguments_for_a_statement_without_parameters(warm: bool) -> None:
    plan = Encoder("many").plan([], warm)
    with pytest.raises(InterfaceError, match="expects 0 arguments for this query, 1 was passed") as caught:
        many(plan, [(1,)])
    assert "parameters are supported only in SELECT" in str(caught.value.hint)


@LISTS
def test_batches(function: Callable[..., Any], warm: bool) -> None:
    plan = Encoder(function.__name__).plan([INT4, TEXT], warm)
    values = [(number, "x" * (number % 40)) for number in range(100)]
    single = [function(plan, [value])[0] for value in values]
    for max_bytes in (1, 50, 51, 400, 1000, 10**6):
        batches: list[bytes] = []
        elements: Iterator[object] = iter(values)
        index = 0
        exhausted = False
        while not exhausted:
            if function is many:
                data, count, exhausted = kernel.encode_many(plan, NAMES, elements, RESULTS, TRAILER, max_bytes, index)
            else:
                data, count, exhausted = kernel.encode_copy(plan, elements, max_bytes, index)
            assert data == b"".join(single[index : index + count])
            # As many as fill it, and not one more.
            if not exhausted:
                assert len(data) >= max_bytes
                assert len(data) - len(single[index + count - 1]) < max_bytes
            else:
                assert len(data) < max_bytes
            index += count
            batches.append(data)
        assert index == 100
        assert b"".join(batches) == b"".join(single)


@LISTS
def test_nothing_to_encode(function: Callable[..., Any], warm: bool) -> None:
    plan = Encoder(function.__name__).plan([INT4], warm)
    assert function(plan, []) == (b"", 0, True)


@LISTS
def test_elements_are_taken_one_by_one(function: Callable[..., Any], warm: bool) -> None:
    """The iterable may be endless, or raise: as it is, and not before its turn."""
    plan = Encoder(function.__name__).plan([INT4], warm)
    taken: list[int] = []

    def elements() -> Iterator[object]:
        for number in itertools.count():
            if number == 5:
                raise LookupError("mine")
            taken.append(number)
            yield (number,)

    source = elements()
    call: Callable[[int], Any]
    if function is many:
        call = lambda max_bytes: kernel.encode_many(plan, NAMES, source, RESULTS, TRAILER, max_bytes, 0)  # noqa: E731
    else:
        call = lambda max_bytes: kernel.encode_copy(plan, source, max_bytes, 0)  # noqa: E731
    for number in range(3):
        assert call(1)[1:] == (1, False)
        assert taken == list(range(number + 1))
    with pytest.raises(LookupError, match="mine"):
        call(10**6)


@LISTS
def test_number_of_the_refused_element(function: Callable[..., Any], warm: bool) -> None:
    encoder = Encoder(function.__name__)
    plan = encoder.plan([INT4], warm)
    for good in (0, 1, 47, 48, 49, 100):
        with pytest.raises(DataError) as caught:
            function(plan, [(1,)] * good + [("x",)], index=10)
        assert f"for {encoder.where(1, 10 + good)}: 'x'" in str(caught.value)


@pytest.mark.parametrize("count", [300, 401, 3000])
def test_many_parameters(encoder: Encoder, count: int) -> None:
    codecs = [INT4, TEXT] * (count // 2)
    plan = encoder.plan(codecs, True)
    arguments: list[object] = [1, "x"] * (count // 2)
    assert encoder.encode(plan, arguments) == encoder.expected(codecs, [b"\0\0\0\1", b"x"] * (count // 2))


def test_any_number_of_shapes() -> None:
    """No cache of what was made for a shape is wrong once it is full."""
    encoder = Encoder("bind")
    for number in range(600):
        codecs = [(INT4, CODECS[O.BOOL])[number >> bit & 1] for bit in range(10)]
        plan = kernel.parameter_plan(tuple(codecs))
        arguments = [1 if one is INT4 else True for one in codecs]
        fields = [one.encode(argument) for one, argument in zip(codecs, arguments, strict=True)]
        for _ in range(50):
            data = encoder.encode(plan, arguments)
        assert data == encoder.expected(codecs, fields)


# Against the naive codecs

ARGUMENTS: dict[O, st.SearchStrategy[object]] = {
    O.CALL: st.binary(max_size=9),
    O.BOOL: st.booleans(),
    O.INT2: st.integers(-(2**15), 2**15 - 1),
    O.INT4: st.integers(-(2**31), 2**31 - 1),
    O.INT8: st.integers(-(2**63), 2**63 - 1),
    O.UINT4: st.integers(0, 2**32 - 1),
    O.TEXT: st.text(st.characters(codec="utf-8"), max_size=9),
    O.BYTEA: st.binary(max_size=9),
    O.UUID: st.uuids(),
    O.JSONB: st.text(st.characters(codec="utf-8"), max_size=9),
    O.CHAR: st.binary(min_size=1, max_size=1),
}
WRONG: st.SearchStrategy[object] = st.sampled_from(["x", 1, 2**70, -1, 1.5, b"abc", True, object(), "\ud800"])


@pytest.mark.parametrize("name", ["bind", "many", "copy"])
@pytest.mark.parametrize("warm", [False, True], ids=["new", "warm"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_arguments(name: str, warm: bool, data: st.DataObject) -> None:
    encoder = Encoder(name)
    opcodes = data.draw(st.lists(st.sampled_from(sorted(ARGUMENTS)), max_size=7))
    codecs = [text_codec() if opcode is O.TEXT and data.draw(st.booleans()) else CODECS[opcode] for opcode in opcodes]
    plan = encoder.plan(codecs, warm)
    wrong = data.draw(st.booleans())
    for _ in range(2):
        arguments = [
            data.draw(st.none() | ARGUMENTS[opcode] | ARGUMENTS[opcode] | (WRONG if wrong else ARGUMENTS[opcode]))
            for opcode in opcodes
        ]
        fields: list[Field] = []
        reason: Exception | None = None
        try:
            for codec, argument in zip(codecs, arguments, strict=True):
                fields.append(None if argument is None else codec.encode(argument))
        except (TypeError, ValueError, OverflowError) as raised:
            reason = raised
        if reason is None:
            assert encoder.encode(plan, arguments) == encoder.expected(codecs, fields)
        else:
            with pytest.raises(DataError) as caught:
                encoder.encode(plan, arguments)
            assert f" for {encoder.where(len(fields) + 1)}: " in str(caught.value)
            assert str(caught.value).endswith(f" ({reason})")
