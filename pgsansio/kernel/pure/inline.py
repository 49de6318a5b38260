"""What a generated decoder or encoder does with the opcodes that are worth inlining.

Only for the values that one sees every day: whatever else an expression here meets (infinity, a wrong length, an odd
header) it leaves to the codec, whose functions are the definition. So inlining is never more than a short cut.
"""

import functools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import repeat
from typing import Final, TypeAlias

from pgsansio.enums import Format
from pgsansio.kernel.contract import Opcode, ValueCodec
from pgsansio.kernel.pure.numeric import numeric_bytes, numeric_value
from pgsansio.kernel.pure.uuid import UUID, set_uuid_bytes
from pgsansio.types.geometry import Box, Circle, Line, LineSegment, Point

__all__ = [
    "CONTAINERS",
    "ENCODINGS",
    "FIXED",
    "NAMES",
    "VARIABLE",
    "Encoding",
    "Fixed",
    "Shape",
    "inlined",
    "parameter_shape_of",
    "parts_of",
    "shape_of",
    "zone_west",
]

#: Per column or parameter what is inlined of it; `CALL` for nothing. Equal shapes have equal source text.
Shape: TypeAlias = tuple[Opcode, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A type whose values all have one size."""

    #: Bytes of a value.
    width: int
    #: Its fields as a struct format, and how many they are.
    format: str
    #: Is `{a}` of an exact class, and such a value, that `format` packs as the codec does, as the expressions `packed`?
    test: str
    packed: str = "{a}"
    fields: int = 1
    #: Statements that turn the fields (`{v}`, `{v}_1`, ...) into the value (`{v}`); `{special}` decodes the fields by
    #: the codec.
    convert: tuple[str, ...] = ()

    def names(self, v: str) -> list[str]:
        """The names of the fields."""
        return [v, *(f"{v}_{field}" for field in range(1, self.fields))]

    def conversion(self, v: str, special: str) -> list[str]:
        """The statements of `convert`; `special` is the name of a function of the fields."""
        call = f"{special}({', '.join(self.names(v))})"
        return [line.format(v=v, special=call) for line in self.convert]


_INTEGER: Final = "type({a}) is int"
_FLOAT: Final = "type({a}) is float"
_SINCE_MIDNIGHT: Final = "(({a}.hour * 60 + {a}.minute) * 60 + {a}.second) * 1_000_000 + {a}.microsecond"
_DELTA: Final = "{a}_delta.days * 86_400_000_000 + {a}_delta.seconds * 1_000_000 + {a}_delta.microseconds"
#: The first and the last year hold what stands for infinity, and what is out of range in another time zone.
_ORDINARY_YEAR: Final = "1 < {a}.year < 9999"

FIXED: Final[dict[Opcode, Fixed]] = {
    Opcode.BOOL: Fixed(1, "?", test="type({a}) is bool"),
    Opcode.CHAR: Fixed(1, "c", test="type({a}) is bytes"),
    Opcode.INT2: Fixed(2, "h", test=_INTEGER),
    Opcode.INT4: Fixed(4, "i", test=_INTEGER),
    Opcode.INT8: Fixed(8, "q", test=_INTEGER),
    Opcode.UINT4: Fixed(4, "I", test=_INTEGER),
    Opcode.UINT8: Fixed(8, "Q", test=_INTEGER),
    Opcode.FLOAT4: Fixed(4, "f", test=_FLOAT),
    Opcode.FLOAT8: Fixed(8, "d", test=_FLOAT),
    Opcode.UUID: Fixed(
        16,
        "16s",
        convert=("uuid = new(UUID)", "set_uuid_bytes(uuid, {v})", "{v} = uuid"),
        test="(type({a}) is UUID or type({a}) is uuid_UUID)",
        packed="{a}.bytes",
    ),
    Opcode.TID: Fixed(
        6,
        "IH",
        fields=2,
        convert=("{v} = {v}, {v}_1",),
        test="type({a}) is tuple and len({a}) == 2",
        packed="{a}[0], {a}[1]",
    ),
    # Out of Python's range are infinity and the years before 1 and after 9999.
    Opcode.DATE: Fixed(
        4,
        "i",
        convert=("try: {v} = date_from_ordinal({v} + 730120)", "except (ValueError, OverflowError): {v} = {special}"),
        test=f"type({{a}}) is date and {_ORDINARY_YEAR}",
        packed="{a}.toordinal() - 730120",
    ),
    Opcode.TIME: Fixed(
        8,
        "q",
        convert=(
            "second = {v} // 1_000_000",
            "{v} = time(second // 3600, second // 60 % 60, second % 60, {v} % 1_000_000)",
        ),
        test="type({a}) is time",
        packed=_SINCE_MIDNIGHT,
    ),
    # Microseconds, and seconds west of UTC.
    Opcode.TIMETZ: Fixed(
        12,
        "qi",
        fields=2,
        convert=(
            "second = {v} // 1_000_000",
            "{v} = time(second // 3600, second // 60 % 60, second % 60, {v} % 1_000_000, zone_west({v}_1))",
        ),
        test="type({a}) is time and type({a}.tzinfo) is timezone and not ({a}_east := {a}.utcoffset()).microseconds",
        packed=f"{_SINCE_MIDNIGHT}, -({{a}}_east.days * 86_400 + {{a}}_east.seconds)",
    ),
    # One timedelta times an integer is twice as fast as timedelta(0, 0, microseconds).
    Opcode.TIMESTAMP: Fixed(
        8,
        "q",
        convert=("try: {v} = EPOCH + {v} * MICROSECOND", "except OverflowError: {v} = {special}"),
        test=f"type({{a}}) is datetime and {{a}}.tzinfo is None and {_ORDINARY_YEAR}"
        " and ({a}_delta := {a} - EPOCH) is not None",
        packed=_DELTA,
    ),
    Opcode.TIMESTAMPTZ: Fixed(
        8,
        "q",
        convert=("try: {v} = EPOCH_UTC + {v} * MICROSECOND", "except OverflowError: {v} = {special}"),
        test=f"type({{a}}) is datetime and type({{a}}.tzinfo) is timezone and {_ORDINARY_YEAR}"
        " and ({a}_delta := {a} - EPOCH_UTC) is not None",
        packed=_DELTA,
    ),
    # Microseconds, days, months; months have no length of their own, and those of infinity are not 0.
    Opcode.INTERVAL: Fixed(
        16,
        "qii",
        fields=3,
        convert=("{v} = {special} if {v}_2 else timedelta({v}_1, 0, {v})",),
        test="type({a}) is timedelta",
        packed="{a}.seconds * 1_000_000 + {a}.microseconds, {a}.days, 0",
    ),
    # Past the constructors, which look what they were given.
    Opcode.POINT: Fixed(
        16,
        "dd",
        test="type({a}) is Point",
        packed="{a}[0], {a}[1]",
        fields=2,
        convert=("{v} = new_tuple(Point, ({v}, {v}_1))",),
    ),
    Opcode.LINE: Fixed(
        24,
        "ddd",
        test="type({a}) is Line",
        packed="{a}[0], {a}[1], {a}[2]",
        fields=3,
        convert=("{v} = new_tuple(Line, ({v}, {v}_1, {v}_2))",),
    ),
    Opcode.LSEG: Fixed(
        32,
        "dddd",
        test="type({a}) is LineSegment",
        packed="*{a}[0], *{a}[1]",
        fields=4,
        convert=("{v} = new_tuple(LineSegment, (new_tuple(Point, ({v}, {v}_1)), new_tuple(Point, ({v}_2, {v}_3))))",),
    ),
    Opcode.BOX: Fixed(
        32,
        "dddd",
        test="type({a}) is Box",
        packed="*{a}[0], *{a}[1]",
        fields=4,
        convert=("{v} = new_tuple(Box, (new_tuple(Point, ({v}, {v}_1)), new_tuple(Point, ({v}_2, {v}_3))))",),
    ),
    Opcode.CIRCLE: Fixed(
        24,
        "ddd",
        test="type({a}) is Circle",
        packed="*{a}[0], {a}[1]",
        fields=3,
        convert=("{v} = new_tuple(Circle, (new_tuple(Point, ({v}, {v}_1)), {v}_2))",),
    ),
}

#: Statements that make the value `{v}` of the bytes data[at:end], `{n}` of them; "break" leaves the row to the codecs.
#: `{decode}` is the codec's function, `{part}` that of `pgsansio.kernel.pure.containers`.
_BY_PART: Final = ("{v} = {part}(data, at, end)", "if {v} is None: {v} = {decode}(data[at:end])")
VARIABLE: Final[dict[Opcode, tuple[str, ...]]] = {
    Opcode.TEXT: ("{v} = data[at:end].decode()",),
    Opcode.BYTEA: ("{v} = data[at:end]",),
    Opcode.JSONB: ("if {n} == 0 or data[at] != 1: break", "{v} = data[at + 1 : end].decode()"),
    Opcode.NUMERIC: ("{v} = numeric(data, at, {n})", "if {v} is None: {v} = {decode}(data[at:end])"),
    Opcode.ARRAY: _BY_PART,
    Opcode.RANGE: _BY_PART,
    Opcode.MULTIRANGE: _BY_PART,
    Opcode.COMPOSITE: _BY_PART,
    Opcode.CALL: ("{v} = data[at:end]",),
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How values of different sizes are encoded."""

    #: Is `{a}` an ordinary value?
    test: str
    #: The expression of its bytes; `{part}` is a function of `pgsansio.kernel.pure.containers`.
    encoded: str
    #: It may be None: the codec has to be asked.
    doubtful: bool = False


_TEXT_TEST: Final = 'type({a}) is str and "\\0" not in {a}'
ENCODINGS: Final[dict[Opcode, Encoding]] = {
    Opcode.TEXT: Encoding(_TEXT_TEST, "{a}.encode()"),
    Opcode.BYTEA: Encoding("type({a}) is bytes", "{a}"),
    Opcode.JSONB: Encoding(_TEXT_TEST, 'b"\\x01" + {a}.encode()'),
    Opcode.NUMERIC: Encoding("type({a}) is Decimal", "numeric_bytes({a})", doubtful=True),
    Opcode.ARRAY: Encoding("(type({a}) is list or type({a}) is tuple)", "{part}({a})", doubtful=True),
}

#: Opcodes whose values are made of others.
CONTAINERS: Final = frozenset({Opcode.ARRAY, Opcode.RANGE, Opcode.MULTIRANGE, Opcode.COMPOSITE})


def shape_of(codecs: tuple[ValueCodec, ...]) -> Shape:
    """The shape of columns."""
    return tuple([inlined(codec) for codec in codecs])


def parameter_shape_of(codecs: tuple[ValueCodec, ...]) -> Shape:
    """The shape of parameters."""
    return tuple([_inlined_parameter(codec) for codec in codecs])


def _inlined_parameter(codec: ValueCodec) -> Opcode:
    """The codec's opcode if values can be encoded without it."""
    opcode = inlined(codec)
    if opcode is Opcode.ARRAY:
        assert codec.element is not None
        element = codec.element.opcode
        return opcode if element in FIXED or (element in ENCODINGS and element is not opcode) else Opcode.CALL
    return opcode if opcode in ENCODINGS or opcode in FIXED else Opcode.CALL


def inlined(codec: ValueCodec) -> Opcode:
    """The codec's opcode if its values can be decoded without it."""
    opcode = codec.opcode
    if codec.format is not Format.BINARY and opcode is not Opcode.TEXT:
        return Opcode.CALL
    if opcode is Opcode.COMPOSITE:
        # Some of its members may be called. But no user's codec, which is called last in a row, and once.
        return Opcode.CALL if any(part.user for part in parts_of(codec)) else opcode
    if opcode in CONTAINERS and (codec.element is None or inlined(codec.element) is Opcode.CALL):
        return Opcode.CALL
    return opcode if opcode in FIXED or opcode in VARIABLE else Opcode.CALL


def parts_of(codec: ValueCodec) -> Iterator[ValueCodec]:
    """The codecs that this one is made of, and those that they are made of, each once: they may share parts."""
    seen = {codec}
    waiting = [codec]
    while waiting:
        whole = waiting.pop()
        for part in (whole.element, *whole.members):
            if part is not None and part not in seen:
                seen.add(part)
                waiting.append(part)
                yield part


@functools.lru_cache(maxsize=256)
def zone_west(seconds: int) -> timezone:
    """Of so many seconds west of UTC. Raises ValueError: a day or more."""
    return timezone(timedelta(seconds=-seconds))


#: What the statements above and the generated functions around them refer to.
NAMES: Final[dict[str, object]] = {
    "Box": Box,
    "Circle": Circle,
    "Decimal": Decimal,
    "EPOCH": datetime(2000, 1, 1),
    "EPOCH_UTC": datetime(2000, 1, 1, tzinfo=UTC),
    "Line": Line,
    "LineSegment": LineSegment,
    "MICROSECOND": timedelta(0, 0, 1),
    "Point": Point,
    "UUID": UUID,
    "date": date,
    "date_from_ordinal": date.fromordinal,
    "datetime": datetime,
    "new": object.__new__,
    "new_tuple": tuple.__new__,  # pyright: ignore[reportUnknownMemberType]
    "numeric": numeric_value,
    "numeric_bytes": numeric_bytes,
    "repeat": repeat,
    "set_uuid_bytes": set_uuid_bytes,
    "time": time,
    "timedelta": timedelta,
    "timezone": timezone,
    "uuid_UUID": uuid.UUID,
    "zone_west": zone_west,
}
