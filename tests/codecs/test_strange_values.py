"""What no codec was made for, as an argument of every type: refused before anything is sent, with an error that names
the argument and the reason, or encoded as bytes that the type's own decoder reads.

An exception that the argument's own methods raise counts as a refusal, of which it is the cause; only a MemoryError,
and an AssertionError or InternalClientError (defects of a codec), stay what they are.
"""

import collections
import datetime
import enum
import math
import struct
import sys
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pytest

from pgsansio.errors import DataError, InterfaceError
from pgsansio.kernel import encode_bind, encode_many, parameter_plan
from pgsansio.kernel.contract import ParameterPlan, ValueCodec
from pgsansio.types import Range
from tests.support.every_codec import Case, different_cases, every_case

CASES: Final = every_case()
DIFFERENT: Final = different_cases()


class _OwnError(Exception):
    """What a user's object raises."""


class Raises:
    """Every method that a codec may call raises."""

    def _raise(self, *args: object) -> Any:
        raise _OwnError("own")

    __len__ = __iter__ = __index__ = __int__ = __float__ = __getitem__ = __eq__ = __lt__ = __bool__ = __str__ = _raise
    __hash__ = __repr__ = __contains__ = __buffer__ = __reversed__ = _raise
    toordinal = utcoffset = tolist = items = keys = _raise


class RaisesByAttribute:
    def __getattr__(self, name: str) -> Any:
        raise _OwnError(name)


class Lies:
    """A length that is not that of its iteration, and numbers of other types."""

    def __init__(self, length: int, items: list[Any]) -> None:
        self.length = length
        self.elements = items

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.elements)

    def __getitem__(self, index: int) -> Any:
        return self.elements[index]


class Endless:
    """Indexed without end, as careless classes of two numbers are."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> float:
        return 1.0 if index == 0 else 2.0


class EndlessIteration(Endless):
    def __iter__(self) -> Iterator[float]:
        while True:
            yield 1.0


class WrongTypes:
    def __index__(self) -> Any:
        return "1"  # noqa: PLE0305

    def __int__(self) -> Any:
        return 1.5

    def __float__(self) -> Any:
        return "1"

    def __len__(self) -> Any:
        return -1  # noqa: PLE0303

    def __iter__(self) -> Any:
        return 7

    def toordinal(self) -> Any:
        return "1"

    def tolist(self) -> Any:
        return "1"

    def items(self) -> Any:
        return 7

    hour = minute = second = microsecond = seconds = microseconds = days = "1"


class Scalar:
    """Like a number of numpy's."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __int__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def tolist(self) -> float:
        return self.value


class Matrix:
    """Like an array of numpy's."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def tolist(self) -> list[Any]:
        return self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)


class OwnStr(str):
    __slots__ = ()

    def encode(self, *args: object) -> Any:
        return "no bytes"

    def __contains__(self, item: object) -> bool:
        return False

    def replace(self, *args: object) -> Any:
        return 7

    def __len__(self) -> int:
        return 32

    def strip(self, *args: object) -> Any:
        return 7


class OwnInt(int):
    def __index__(self) -> int:
        return 2**70

    def __int__(self) -> int:
        return 2**70

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class OwnFloat(float):
    def __float__(self) -> float:
        return math.nan

    def __int__(self) -> int:
        return 7


class OwnDecimal(Decimal):
    def adjusted(self) -> Any:
        return "7"

    def is_finite(self) -> Any:
        return False

    def as_tuple(self) -> Any:
        return ()


class OwnDatetime(datetime.datetime):
    def toordinal(self) -> Any:
        return 10**30

    def utcoffset(self) -> Any:
        return 7

    def __sub__(self, other: Any) -> Any:
        return 7

    def astimezone(self, *args: Any) -> Any:
        return self


class OwnTimedelta(datetime.timedelta):
    days = 10**30
    seconds = -1
    microseconds = 0.5  # type: ignore[assignment]


class OwnUUID(uuid.UUID):
    @property
    def bytes(self) -> Any:
        return b"short"


class OwnBytes(bytes):
    def __len__(self) -> int:
        return 1


class OwnList(list[Any]):
    def __len__(self) -> int:
        return 10**6

    def __iter__(self) -> Iterator[Any]:
        return iter([1])


class OwnTuple(tuple[Any, ...]):
    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        raise KeyError(index)


class OwnRange(Range[int]):
    @property
    def lower(self) -> Any:
        return self

    @property
    def isempty(self) -> Any:
        raise _OwnError("own")


class _Zone(datetime.tzinfo):
    def dst(self, moment: object) -> None:
        return None

    def tzname(self, moment: object) -> str:
        return "own"


class NoOffset(_Zone):
    def utcoffset(self, moment: object) -> Any:
        return None


class OddOffset(_Zone):
    def utcoffset(self, moment: object) -> Any:
        return datetime.timedelta(seconds=0.5)


class RaisingOffset(_Zone):
    def utcoffset(self, moment: object) -> Any:
        raise _OwnError("own")


class Color(enum.IntEnum):
    RED = 1


def _own_list(depth: int, width: int) -> list[Any]:
    """Well-formed at its start, and holding itself elsewhere."""
    first: Any = 1
    for _ in range(depth):
        first = [first] * width
    own: list[Any] = [first]
    own += [own] * (width - 1)
    return own


def _own_tuple() -> tuple[Any, ...]:
    inner: list[Any] = []
    own = (inner, inner)
    inner.append(own)
    return own


def _own_dict() -> dict[str, Any]:
    own: dict[str, Any] = {}
    own["a"] = own
    return own


def _deep(kind: Callable[[list[Any]], Any], depth: int) -> Any:
    value: Any = kind([])
    for _ in range(depth):
        value = kind([value])
    return value


def _released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


_DEEP_LIST: Final = _deep(list, 20_000)
_DEEP_TUPLE: Final = _deep(tuple, 20_000)

_SELF: Final[list[Any]] = []
_SELF.append(_SELF)

_HUGE: Final = 10**200_000
_HUGE_FRACTION: Final = Fraction(10**5000, 3)

STRANGE: Final[dict[str, Callable[[], object]]] = {
    "object": object,
    "type": lambda: int,
    "module": lambda: sys,
    "function": lambda: len,
    "ellipsis": lambda: ...,
    "not implemented": lambda: NotImplemented,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "2**31": lambda: 2**31,
    "2**64": lambda: 2**64,
    "-2**63 - 1": lambda: -(2**63) - 1,
    "10**4000": lambda: 10**4000,
    "-10**5000": lambda: -(10**5000),
    "10**200000": lambda: _HUGE,
    "NaN": lambda: math.nan,
    "-inf": lambda: -math.inf,
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "complex": lambda: 1j,
    "fraction": lambda: Fraction(1, 3),
    "fraction of huge": lambda: _HUGE_FRACTION,
    "sNaN": lambda: Decimal("sNaN"),
    "NaN7": lambda: Decimal("-NaN7"),
    "Infinity": lambda: Decimal("-Infinity"),
    "1E+999999999": lambda: Decimal("1E+999999999"),
    "1E-999999999": lambda: Decimal("1E-999999999"),
    "0E+999999999": lambda: Decimal("0E+999999999"),
    "0E-999999999": lambda: Decimal("0E-999999999"),
    "empty str": lambda: "",
    "word": lambda: "word",
    "1e999999999999": lambda: "1e999999999999",
    "huge digits": lambda: "9" * 100_000,
    "1_0": lambda: "1_0",
    "other digits": lambda: "\u0661\u0662",
    "surrogate": lambda: "a\ud800",
    "U+0000": lambda: "a\0b",
    "long str": lambda: "(" * 100_000,
    "address": lambda: "1.2.3.4/33",
    "scope": lambda: "fe80::1%eth0",
    "bytes": lambda: b"\xff\x00",
    "empty bytes": lambda: b"",
    "bytearray": lambda: bytearray(b"x"),
    "memoryview of int": lambda: memoryview(b"abcdefgh").cast("i"),
    "strided": lambda: memoryview(b"abcdefgh")[::2],
    "released": _released,
    "date.max": lambda: datetime.date.max,
    "date.min": lambda: datetime.date.min,
    "datetime.max": lambda: datetime.datetime.max,
    "datetime.min": lambda: datetime.datetime.min,
    "max with offset": lambda: datetime.datetime.max.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-14))),
    "min with offset": lambda: datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=14))),
    "no offset": lambda: datetime.datetime(2024, 1, 1, tzinfo=NoOffset()),
    "odd offset": lambda: datetime.datetime(2024, 1, 1, tzinfo=OddOffset()),
    "raising offset": lambda: datetime.datetime(2024, 1, 1, tzinfo=RaisingOffset()),
    "time of raising offset": lambda: datetime.time(1, tzinfo=RaisingOffset()),
    "time of odd offset": lambda: datetime.time(1, tzinfo=OddOffset()),
    "timedelta.max": lambda: datetime.timedelta.max,
    "timedelta.min": lambda: datetime.timedelta.min,
    "uuid of no use": lambda: OwnUUID(int=1),
    "empty list": list,
    "list of None": lambda: [None],
    "list of mixed": lambda: [1, "a", None, b"x"],
    "ragged": lambda: [[1], [1, 2]],
    "mixed depth": lambda: [[1], 2],
    "empty lists": lambda: [[], []],
    "seven deep": lambda: [[[[[[[1]]]]]]],
    "itself": lambda: _SELF,
    "itself elsewhere": lambda: _own_list(5, 3),
    "itself in the last dimension": lambda: _own_list(1, 3),
    "itself in a tuple": _own_tuple,
    "itself in a dict": _own_dict,
    "deep list": lambda: _DEEP_LIST,
    "deep tuple": lambda: _DEEP_TUPLE,
    "range": lambda: range(3),
    "long range": lambda: range(2**62),
    "longest range": lambda: range(2**80),
    "tuple": lambda: (1, 2),
    "empty tuple": lambda: (),
    "tuple of None": lambda: (None, None, None),
    "tuple of self": lambda: (_SELF, _SELF, _SELF),
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset("ab"),
    "dict": lambda: {"a": 1, 2: None},
    "empty dict": dict,
    "dict of other keys": lambda: {"\ud800": "\0"},
    "keys": {"a": 1}.keys,
    "items": {"a": "1"}.items,
    "deque": lambda: collections.deque([1, 2]),
    "user list": lambda: collections.UserList([1, [2]]),
    "user dict": lambda: collections.UserDict({"a": "b"}),
    "generator": lambda: (number for number in (1, 2)),
    "iterator": lambda: iter([1]),
    "map": lambda: map(int, "12"),
    "enum": lambda: Color.RED,
    "Range": lambda: Range(1, 2),
    "Range of others": lambda: Range("a", "b"),
    "Range of self": lambda: OwnRange(1, 2),
    "list of Range": lambda: [Range(1, None), Range(empty=True)],
    "raises": Raises,
    "raises by attribute": RaisesByAttribute,
    "list of raising": lambda: [Raises()],
    "tuple of raising": lambda: (Raises(), Raises(), Raises()),
    "too long": lambda: Lies(10**9, [1]),
    "too short": lambda: Lies(1, [1, 2, 3]),
    "longest": lambda: Lies(sys.maxsize, [1]),
    "longer than any": lambda: Lies(2**70, [1]),
    "negative": lambda: Lies(-1, [1]),
    "endless": Endless,
    "endless iteration": EndlessIteration,
    "tuple of endless": lambda: (Endless(), EndlessIteration(), Endless()),
    "list of endless": lambda: [Endless()],
    "wrong types": WrongTypes,
    "list of wrong types": lambda: [WrongTypes()],
    "scalar": lambda: Scalar(7),
    "scalar of a fraction": lambda: Scalar(7.5),
    "scalar of NaN": lambda: Scalar(math.nan),
    "scalar of infinity": lambda: Scalar(math.inf),
    "matrix": lambda: Matrix([[1, 2], [3, 4]]),
    "vector": lambda: Matrix([1.0, math.inf]),
    "own str": lambda: OwnStr("a\0"),
    "own int": lambda: OwnInt(7),
    "own float": lambda: OwnFloat(7.0),
    "own decimal": lambda: OwnDecimal("1.5"),
    "own datetime": lambda: OwnDatetime(2024, 1, 1, tzinfo=datetime.UTC),
    "own naive datetime": lambda: OwnDatetime(2024, 1, 1),
    "own timedelta": lambda: OwnTimedelta(1),
    "own bytes": lambda: OwnBytes(b"abc"),
    "own list": lambda: OwnList([1, 2]),
    "own tuple": lambda: OwnTuple((1, 2)),
}


_NAMES: Final = b"\0\0"
_TAIL: Final = b"\0\0"


def _bound(message: bytes) -> bytes:
    """The one value of a Bind; None: NULL."""
    at = 5 + len(_NAMES)
    (codes,) = struct.unpack_from(">H", message, at)
    at += 2 + 2 * codes
    count, length = struct.unpack_from(">Hi", message, at)
    assert count == 1
    assert len(message) == at + 6 + length + len(_TAIL)
    return message[at + 6 : at + 6 + length]


def _plans(codec: ValueCodec) -> tuple[ParameterPlan, ParameterPlan]:
    """One that encodes by the definition, and one with a generated encoder."""
    warm = parameter_plan((codec,))
    for _ in range(60):
        encode_bind(warm, _NAMES, (None,), _TAIL, b"")
    return parameter_plan((codec,)), warm


def _outcome(plan: ParameterPlan, value: object) -> bytes | Exception:
    try:
        return _bound(encode_bind(plan, _NAMES, (value,), _TAIL, b""))
    except (DataError, InterfaceError) as error:
        return error


def _check(case: Case, make: Callable[[], object]) -> None:
    codec = case.codec
    outcomes = [_outcome(plan, make()) for plan in _plans_for(codec)]
    assert len({type(outcome) for outcome in outcomes}) == 1, outcomes
    for outcome in outcomes:
        if isinstance(outcome, bytes):
            assert outcome == outcomes[0]
            _check_readable(case, outcome)
        elif isinstance(outcome, DataError):
            text = str(outcome)
            assert text.startswith("invalid input for query argument $1: "), text
            assert text.endswith(")")
            assert not text.endswith(" ()"), text
            assert outcome.__cause__ is not None
        else:
            # Anonymous records, and custom codecs that go one way only.
            assert str(outcome).startswith("query argument $1: ")


def _check_readable(case: Case, data: bytes) -> None:
    try:
        case.codec.decode(data)
    except ValueError as error:
        # PostgreSQL has values that Python does not, which may be sent all the same.
        if not _is_out_of_range(error) and not _is_raw(case.codec):
            raise


def _is_out_of_range(error: ValueError) -> bool:
    return "out of range for datetime" in str(error)


def _is_raw(codec: ValueCodec) -> bool:
    """Is the value, or a part of it, bytes or text that are sent as they were given? Only the server can look at it."""
    parts = (*codec.members, *([] if codec.element is None else [codec.element]))
    return codec.user or codec.name in _RAW or "u_color" in codec.name or any(map(_is_raw, parts))


_RAW: Final = ("tsvector", "tsquery")

_plans_of: Final[dict[int, tuple[ParameterPlan, ParameterPlan]]] = {}


def _plans_for(codec: ValueCodec) -> tuple[ParameterPlan, ParameterPlan]:
    return _plans_of.setdefault(id(codec), _plans(codec))


@pytest.mark.parametrize("name", STRANGE)
def test_strange_values(name: str) -> None:
    failed = []
    for case in DIFFERENT:
        try:
            _check(case, STRANGE[name])
        except Exception as error:
            failed.append((case.label, repr(error)[:200]))
    assert not failed, f"{len(failed)}: {failed[:12]}"


@pytest.mark.parametrize("name", ["integer[]", "inet[]", "inet"])
def test_a_list_that_would_be_multiplied_by_itself(name: str) -> None:
    # 30 ** 6 elements, if they were all looked at.
    for case in DIFFERENT:
        if case.codec.name == name:
            _check(case, lambda: _own_list(4, 30))


def test_arguments_without_end() -> None:
    plan = parameter_plan((CASES[0].codec,))
    with pytest.raises(InterfaceError, match="expects 1 argument"):
        encode_many(plan, _NAMES, iter([Endless()]), _TAIL, b"", 1000, 0)
