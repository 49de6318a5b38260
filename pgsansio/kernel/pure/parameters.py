"""Encoding arguments: the plan, the definition of what they become, and the generated encoders, a short cut for it."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, cast

from pgsansio.enums import Format
from pgsansio.errors import DataError, InterfaceError, InternalClientError
from pgsansio.kernel.contract import Arguments, ValueCodec, argument_count_error
from pgsansio.kernel.pure.containers import part_encoder
from pgsansio.kernel.pure.inline import FIXED, Shape, parameter_shape_of
from pgsansio.kernel.pure.parameter_source import BIND, COPY, MANY, field, parameter_source

__all__ = [
    "ParameterPlan",
    "arguments_of",
    "encode_bind",
    "encode_copy",
    "encode_many",
    "parameter_head",
    "parameter_plan",
    "refused_argument",
    "too_long",
]

#: Lists of arguments that a plan encodes by the definition before an encoder is generated for it: that costs as much as
#: a few hundred lists.
_WARM_UP: Final = 48

#: Longer lists are encoded by the definition only: the source would grow to thousands of lines.
_MAX_GENERATED: Final = 400

#: Shapes, with a kind of encoder, whose compiled code is kept.
_MAX_SHAPES: Final = 512

#: Characters of a refused argument in an error's text.
_MAX_REPR: Final = 40

#: Characters of a text that decide on its quotes.
_MAX_QUOTED: Final = 4096

#: Of a list of arguments that is too long so many more are counted, for its error.
_MAX_SURPLUS: Final = 65536

_EXHAUSTED: Final = object()

_Make: TypeAlias = Callable[..., Callable[..., Any]]

_pack_head = struct.Struct(">Bi").pack


class _Texts(NamedTuple):
    """How errors of one kind of encoder name what they are about; {k} is a column, {n} an element."""

    argument: str
    element: str


_TEXTS: Final[Mapping[str, _Texts]] = {
    BIND: _Texts("query argument ${k}", ""),
    MANY: _Texts(
        "query argument ${k} in element #{n} of executemany() sequence", "executemany() argument sequence element #{n}"
    ),
    COPY: _Texts("column {k} in record #{n} of copy_records_to_table()", "copy_records_to_table() record #{n}"),
}

#: (shape, kind) -> the compiled `make` of `parameter_source`; the oldest goes first.
_makes: dict[tuple[Shape, str], _Make] = {}


def _make_of(shape: Shape, kind: str) -> _Make:
    make = _makes.get((shape, kind))
    if make is None:
        text, names = parameter_source(shape, kind)
        exec(compile(text, f"<pgsansio {kind} encoder>", "exec"), names)
        while len(_makes) >= _MAX_SHAPES:
            _makes.pop(next(iter(_makes)), None)
        make = _makes[shape, kind] = cast("_Make", names["make"])
    return make


class ParameterPlan:
    """How the arguments of one statement are encoded; see `pgsansio.kernel.contract`."""

    __slots__ = ("_encoders", "_shape", "_slow", "codecs", "head")

    codecs: tuple[ValueCodec, ...]
    #: See `parameter_head`.
    head: bytes

    def __init__(self, codecs: tuple[ValueCodec, ...]) -> None:
        self.codecs = codecs
        self.head = parameter_head(codecs)
        self._shape = parameter_shape_of(codecs)
        self._encoders: dict[str, Callable[..., Any]] = {}
        self._slow = dict.fromkeys(_TEXTS, 0)

    def encoder(self, kind: str) -> Callable[..., Any] | None:
        """The generated encoder of a kind (see `parameter_source`), once it is worth its making."""
        encoder = self._encoders.get(kind)
        if encoder is None and self._slow[kind] >= _WARM_UP and len(self.codecs) <= _MAX_GENERATED:
            encoder = self._encoders[kind] = self.generate(kind)
        return encoder

    def generate(self, kind: str) -> Callable[..., Any]:
        def refused(error: Exception, column: int, values: Arguments, number: int) -> NoReturn:
            raise refused_argument(*self._first_refused(error, column, values), values, kind, number)

        def sequence(element: object, number: int) -> Arguments:
            return arguments_of(element, len(self.codecs), kind, number)

        make = _make_of(self._shape, kind)
        encoders = [codec.encode for codec in self.codecs]
        return make(encoders, [part_encoder(codec) for codec in self.codecs], refused, sequence, self.head)

    def fields(self, values: Arguments, kind: str, number: int = 0) -> bytes:
        """The values as they stand in a message. The definition of what arguments become."""
        self._slow[kind] += 1
        fields: list[bytes] = []
        try:
            for codec, value in zip(self.codecs, values, strict=True):
                fields.append(field(codec.encode, value))
        except MemoryError:
            raise
        except Exception as error:
            refusal = refused_argument(error, len(fields), values, kind, number)
            raise refusal from refusal.__cause__
        return b"".join(fields)

    def _first_refused(self, error: Exception, column: int, values: Arguments) -> tuple[Exception, int]:
        """The error of the first refused value, and its column; the generated code looks at packed values late."""
        for earlier in range(column):
            fixed = FIXED.get(self._shape[earlier])
            if fixed is not None and values[earlier] is not None:
                try:
                    self.codecs[earlier].encode(values[earlier])
                except Exception as first:
                    return first, earlier
        return error, column


def parameter_head(codecs: tuple[ValueCodec, ...]) -> bytes:
    """What stands in a Bind between its names and its values: format codes and number of parameters."""
    return _format_codes(codecs) + struct.pack(">H", len(codecs))


def _format_codes(codecs: tuple[ValueCodec, ...]) -> bytes:
    """The number of format codes and the codes: none stands for all text, one for all parameters."""
    formats = [codec.format for codec in codecs]
    if Format.BINARY not in formats:
        return b"\x00\x00"
    if Format.TEXT not in formats:
        return b"\x00\x01\x00\x01"
    return struct.pack(f">{1 + len(formats)}H", len(formats), *formats)


def arguments_of(element: object, count: int, kind: str, number: int) -> Arguments:
    """The arguments that an element of an iterable stands for.

    Raises:
        DataError: it is no sequence, or for COPY one of another size than the plan.
        InterfaceError: for executemany() one of another size.
    """
    where = _TEXTS[kind].element.format(n=number)
    if not _is_sequence(element):
        raise DataError(f"invalid input in {where}: expected a sequence, got {type(element).__name__}")
    # Not far beyond the parameters: by index there may be no end.
    values = tuple(islice(cast("Sequence[object]", element), _MAX_SURPLUS + count))
    if len(values) != count:
        if kind == MANY:
            raise argument_count_error(count, len(values))
        raise DataError(f"invalid input in {where}: expected {count} values, got {len(values)}")
    return values


def refused_argument(error: Exception, column: int, values: Arguments, kind: str, number: int) -> Exception:
    """What to raise for an exception: of the codec of values[column], or of the message's length if that is -1."""
    if column < 0:
        refusal: Exception = too_long()
    elif isinstance(error, (AssertionError, InternalClientError)):
        # A defect of the codec, and not of the value.
        return error
    elif isinstance(error, InterfaceError):
        refusal = error.with_msg(f"{_TEXTS[kind].argument.format(k=column + 1, n=number)}: {error.args[0]}")
    else:
        where = _TEXTS[kind].argument.format(k=column + 1, n=number)
        refusal = DataError(f"invalid input for {where}: {_cut_repr(values[column])} ({error})")
        refusal.__cause__ = error
    refusal.__suppress_context__ = True
    return refusal


def _is_sequence(element: object) -> bool:
    """As asyncpg decides it, by __getitem__; but a str or bytes for a list of arguments is a mistake."""
    if isinstance(element, (str, bytes, bytearray, Mapping)):
        return False
    kind = type(element)
    return hasattr(kind, "__getitem__") and hasattr(kind, "__len__")


def _cut_repr(value: object) -> str:
    try:
        text = _repr_start(value, _MAX_REPR + 1)
    except Exception:
        text = object.__repr__(value)
    return f"{text[:_MAX_REPR]}..." if len(text) > _MAX_REPR else text


def _repr_start(value: object, size: int) -> str:
    """repr(value), or at least `size` characters of its beginning: all of a refused list of millions would take longer
    than encoding it."""
    if type(value) is str or type(value) is bytes:
        return repr(value[:_MAX_QUOTED])
    if type(value) in (list, tuple):
        items = cast("Sequence[object]", value)
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ",)" if len(items) == 1 else ")")
        text = opening
        for item in items:
            text += ("" if text == opening else ", ") + _repr_start(item, size - len(text))
            if len(text) >= size:
                return text
        return text + closing
    return repr(value)


def too_long() -> InterfaceError:
    """The error for a message that is longer than an Int32 can say."""
    return InterfaceError("the arguments are too long: a message can have 2147483647 bytes")


def _bind_head(size: int) -> bytes:
    try:
        return _pack_head(0x42, size)
    except struct.error:
        raise too_long() from None


def parameter_plan(codecs: tuple[ValueCodec, ...]) -> ParameterPlan:
    """See `pgsansio.kernel.contract`."""
    return ParameterPlan(codecs)


def encode_bind(
    plan: ParameterPlan, names: bytes, arguments: Arguments, result_formats: bytes, trailer: bytes
) -> bytes:
    """See `pgsansio.kernel.contract`."""
    bind = plan.encoder(BIND)
    if bind is not None:
        message: bytes = bind(names, arguments, result_formats, trailer)
        return message
    fields = plan.fields(arguments, BIND)
    size = 4 + len(names) + len(plan.head) + len(fields) + len(result_formats)
    return b"".join((_bind_head(size), names, plan.head, fields, result_formats, trailer))


def encode_many(
    plan: ParameterPlan,
    names: bytes,
    elements: Iterator[object],
    result_formats: bytes,
    trailer: bytes,
    max_bytes: int,
    index: int,
) -> tuple[bytes, int, bool]:
    """See `pgsansio.kernel.contract`."""
    head = names + plan.head
    tail = result_formats + trailer
    base = 4 + len(head) + len(result_formats)

    def message(fields: bytes) -> bytes:
        return b"".join((_bind_head(base + len(fields)), head, fields, tail))

    return _encode_elements(
        plan, MANY, elements, max_bytes, index, message, (head, tail, base, 1 + base + len(trailer))
    )


def encode_copy(plan: ParameterPlan, elements: Iterator[object], max_bytes: int, index: int) -> tuple[bytes, int, bool]:
    """See `pgsansio.kernel.contract`."""
    count = struct.pack(">H", len(plan.codecs))
    return _encode_elements(plan, COPY, elements, max_bytes, index, count.__add__, (len(count),))


def _encode_elements(
    plan: ParameterPlan,
    kind: str,
    elements: Iterator[object],
    max_bytes: int,
    index: int,
    message: Callable[[bytes], bytes],
    constants: tuple[bytes | int, ...],
) -> tuple[bytes, int, bool]:
    """Encode elements until they fill `max_bytes`: by the definition, until there is a generated encoder.

    Args:
        message: the bytes around an element's fields.
        constants: the last arguments of the generated encoder.
    """
    chunk: list[bytes] = []
    produced = 0
    number = index
    while True:
        encoder = plan.encoder(kind)
        if encoder is not None:
            data: bytes
            data, count, exhausted = encoder(elements, max_bytes - produced, number, *constants)
            return b"".join((*chunk, data)), number - index + count, exhausted
        element = next(elements, _EXHAUSTED)
        if element is _EXHAUSTED:
            return b"".join(chunk), number - index, True
        part = message(plan.fields(arguments_of(element, len(plan.codecs), kind, number), kind, number))
        chunk.append(part)
        number += 1
        produced += len(part)
        if produced >= max_bytes:
            return b"".join(chunk), number - index, False
