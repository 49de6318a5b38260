"""The compiled kernel beside the pure one: rows, COPY data and its messages, arguments; of scalars and of containers.

Input: what to do, room for rows or for bytes, the types of up to four columns; then the bytes, which are decoded as
they are and cut at every byte, or what arguments are made of. Held to: the same rows and messages, the same position,
the same error in the same words. Without the compiled kernel there is nothing to compare, and nothing is done.
"""

import importlib
import random
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.errors import ProtocolError
from pgsansio.kernel import pure
from pgsansio.kernel.contract import ValueCodec
from pgsansio.types import Range
from tests.support.every_codec import every_case

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 12
#: Of both formats, by label, so that an input means the same as long as no codec is added before its own.
CASES: Final = tuple(sorted(every_case(), key=lambda case: case.label))
_COLUMNS: Final = 4
_ROOM: Final = (1, 2, 7, 1 << 31)
#: What makes the pure kernel generate its functions.
_WARM_UP: Final = 60
#: Longer ones are cut in some places only.
_EVERY_CUT: Final = 120
_KINDS: Final = ("bind", "many", "copy")


def _compiled() -> Any:
    try:
        return importlib.import_module("pgsansio.kernel._compiled")
    except ImportError:
        return None


COMPILED: Final = _compiled()


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return _made(chance)
    return mutated(data, corpus, chance, PREFIX_BYTES, b"DDDDDC")


def _made(chance: random.Random) -> bytes:
    """Rows of valid values and NULLs: what mutations lead away from."""
    numbers = [chance.randrange(len(CASES)) for _ in range(_COLUMNS)]
    how = chance.randrange(256)
    head = bytes([how, chance.randrange(256), chance.randrange(256), 0])
    prefix = head + b"".join(number.to_bytes(2, "big") for number in numbers)
    fields = [CASES[number].valid for number in numbers[: _count(how)]]
    rows: list[bytes] = []
    for _ in range(chance.randrange(1, 4)):
        sized = [b"\xff\xff\xff\xff" if value is None or chance.random() < 0.1 else _sized(value) for value in fields]
        body = struct.pack(">H", len(fields)) + b"".join(sized)
        rows.append(body if how & 64 else b"D" + struct.pack(">I", len(body) + 4) + body)
    return prefix + b"".join(rows)


def target(data: bytes) -> None:
    if COMPILED is None:
        return
    choices, body = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    how = choices[0]
    codecs = tuple(
        pick(CASES, int.from_bytes(choices[4 + 2 * column : 6 + 2 * column], "big")).codec
        for column in range(_count(how))
    )
    _compare_joined(body.replace(b"D", b"d"))  # rows are framed alike
    if how & 128:
        _compare_arguments(codecs, pick(_KINDS, choices[1]), 1 << choices[2] % 20, bool(how & 32), body)
    else:
        _compare_rows(codecs, bool(how & 64), pick(_ROOM, choices[1]), bool(how & 32), body)


def _count(how: int) -> int:
    return how % (_COLUMNS + 1)


def _sized(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


@lru_cache(64)
def _plans(codecs: tuple[ValueCodec, ...], warm: bool) -> list[tuple[Any, Any, Any]]:
    """Each kernel with its plans."""
    names = tuple(f"c{number % 3}" for number in range(len(codecs)))
    made: list[tuple[Any, Any, Any]] = []
    for kernel in (pure, COMPILED):
        rows = kernel.row_plan(names, codecs, kernel.Record)
        parameters = kernel.parameter_plan(codecs)
        if warm:
            row = struct.pack(">H", len(codecs)) + b"\xff\xff\xff\xff" * len(codecs)
            message = b"D" + struct.pack(">I", len(row) + 4) + row
            nulls = [None] * len(codecs)
            for decode, frame in ((kernel.decode_rows, message), (kernel.decode_copy, row)):
                decode(rows, frame * _WARM_UP, 0, len(frame) * _WARM_UP, [], _WARM_UP)
            for _ in range(_WARM_UP):
                kernel.encode_bind(parameters, b"\0\0", nulls, b"\0\0", b"")
            kernel.encode_many(parameters, b"\0\0", iter([nulls] * _WARM_UP), b"\0\0", b"", 1 << 30, 0)
            kernel.encode_copy(parameters, iter([nulls] * _WARM_UP), 1 << 30, 0)
        made.append((kernel, rows, parameters))
    return made


def _compare_rows(codecs: tuple[ValueCodec, ...], copy: bool, room: int, warm: bool, body: bytes) -> None:
    every = range(len(body) + 1) if len(body) <= _EVERY_CUT else range(len(body), 0, -(len(body) // 16 + 1))
    for cut in every:
        ours, theirs = (_decoded(kernel, plan, copy, room, body, cut) for kernel, plan, _ in _plans(codecs, warm))
        assert ours == theirs, f"pure {ours}, compiled {theirs}, at {cut}"


def _compare_joined(body: bytes) -> None:
    for start, end in ((0, len(body)), (len(body) // 7, len(body) - len(body) // 5)):
        ours, theirs = (kernel.join_copy_data(body, start, end) for kernel in (pure, COMPILED))
        assert ours == theirs, f"pure {ours}, compiled {theirs}, from {start} to {end}"


def _decoded(kernel: Any, plan: Any, copy: bool, room: int, body: bytes, cut: int) -> object:
    rows: list[Any] = []
    buffer = bytearray(body)
    try:
        position, error = (kernel.decode_copy if copy else kernel.decode_rows)(plan, buffer, 0, cut, rows, room)
    except ProtocolError as raised:
        return [_told(row) for row in rows], _told_error(raised)
    # Results are their own.
    buffer[:] = b"\xee" * len(buffer)
    return [_told(row) for row in rows], position, _told_error(error)


def _compare_arguments(codecs: tuple[ValueCodec, ...], kind: str, max_bytes: int, warm: bool, body: bytes) -> None:
    lists = list(_lists(codecs, body))
    ours, theirs = (_encoded(kernel, plan, kind, lists, max_bytes) for kernel, _, plan in _plans(codecs, warm))
    assert ours == theirs, f"pure {ours}, compiled {theirs}, of {lists}"


def _encoded(kernel: Any, plan: Any, kind: str, lists: list[list[Any]], max_bytes: int) -> object:
    elements: Iterator[Any] = iter(lists)
    try:
        if kind == "bind":
            return kernel.encode_bind(plan, b"p\0s\0", lists[0], b"\0\1\0\1", b"S\0\0\0\4")
        if kind == "many":
            found = kernel.encode_many(plan, b"p\0s\0", elements, b"\0\1\0\1", b"S\0\0\0\4", max_bytes, 5)
        else:
            found = kernel.encode_copy(plan, elements, max_bytes, 5)
    except Exception as raised:
        return _told_error(raised)
    # Nothing was taken that was not encoded.
    return found, len(list(elements))


def _lists(codecs: tuple[ValueCodec, ...], body: bytes) -> Iterator[list[Any]]:
    """Arguments: for each of them a byte that says of which kind, a length, and so many bytes."""
    at = 0
    for _ in range(3):
        arguments: list[Any] = []
        for codec in codecs:
            kind, size = (*body[at : at + 2], 0, 0)[:2]
            arguments.append(_argument(codec, kind, body[at + 2 : at + 2 + size]))
            at += 2 + size
        yield arguments
        if at >= len(body):
            return


def _argument(codec: ValueCodec, kind: int, data: bytes) -> Any:
    if kind < 128:
        # What the codec takes, if these bytes are of one.
        try:
            return codec.decode(data)
        except Exception:
            return None
    number = int.from_bytes(data[:20], "big", signed=True)
    text = data.decode("utf-8", "surrogateescape")
    options = (
        None, number, -number, number / 7 if abs(number) < 1 << 900 else 0.5, data, text, [number], [text, None],
        [[number, 1], [2, None]], (number, text), [], (), {"a": number}, bytearray(data), memoryview(data)[::2],
        Range(number, None), Range(empty=True), [Range(None, number)], bool(number % 2), object,
    )  # fmt: skip
    return pick(options, kind)


def _told(value: object) -> object:
    """A value without the names of either kernel's classes."""
    if isinstance(value, pure.Record | COMPILED.Record):
        return "Record", tuple(value.keys()), tuple(map(_told, value.values()))
    if isinstance(value, pure.UUID | COMPILED.UUID):
        return "UUID", value.int
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(_told, value))
    if isinstance(value, Range):
        return "Range", _told(value.lower), _told(value.upper), value.lower_inc, value.upper_inc, value.isempty
    return type(value).__name__, repr(value)


def _told_error(error: BaseException | None) -> object:
    if error is None:
        return None
    return type(error), str(error), getattr(error, "__notes__", None), type(error.__cause__), str(error.__cause__)
