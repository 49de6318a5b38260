"""Decoding rows: the plan, the definition of what a row is, and the generated decoders that are a short cut for it."""

import struct
from collections.abc import Callable, Sequence
from traceback import walk_tb
from typing import Any, Final, TypeAlias, cast

from pgsansio.errors import InvalidValueError, ProtocolError
from pgsansio.kernel import contract
from pgsansio.kernel.contract import NULL_LENGTH, Buffer, Opcode, OutdatedTypeError, UnknownTypeError, ValueCodec
from pgsansio.kernel.pure.containers import part_decoder, special_decoder
from pgsansio.kernel.pure.inline import FIXED, Shape, parts_of, shape_of
from pgsansio.kernel.pure.record import Columns, Record, make_record
from pgsansio.kernel.pure.row_source import row_source

__all__ = ["RowPlan", "broken_row", "broken_tuple", "decode_copy", "decode_rows", "refused_value", "row_plan"]

#: Bytes that are copied out of the caller's buffer at a time, so that the work of a call does not depend on what lies
#: behind the rows it is asked for, and the copy stays in the cache.
_WINDOW: Final = 65536

#: Rows that a plan decodes by the definition before a decoder is generated for it: that costs as much as a few hundred
#: rows.
_WARM_UP: Final = 48

#: Wider results are decoded by the definition only: the source would grow to thousands of lines.
_MAX_GENERATED: Final = 400

#: Shapes whose compiled code is kept.
_MAX_SHAPES: Final = 512

#: run(data, pos, limit, rows, room) -> (pos, error), and bulk(data, pos, limit, rows, room) -> pos: see `row_source`.
_Run: TypeAlias = Callable[[bytes | bytearray, int, int, list[Any], int], tuple[int, Exception | None]]
_Bulk: TypeAlias = Callable[[bytes, int, int, list[Any], int], int]
_Make: TypeAlias = Callable[..., tuple[_Run, _Bulk | None]]

#: fields(data, pos, limit, count) -> the column values at `pos` (None is NULL) and the offset after them; or None, and
#: how many bytes from `pos` are needed at least to say more, 0 if no row begins there.
_Fields: TypeAlias = Callable[[bytes, int, int, int], tuple[list[bytes | None] | None, int]]

_unpack_length = struct.Struct(">i").unpack_from
_unpack_count = struct.Struct(">H").unpack_from

#: (shape, copy?) -> the compiled `make` of `row_source`; the oldest goes first.
_makes: dict[tuple[Shape, bool], _Make] = {}


def _make_of(shape: Shape, copy: bool) -> _Make:
    make = _makes.get((shape, copy))
    if make is None:
        text, names = row_source(shape, copy)
        exec(compile(text, "<pgsansio row decoder>", "exec"), names)
        while len(_makes) >= _MAX_SHAPES:
            _makes.pop(next(iter(_makes)), None)
        make = _makes[shape, copy] = cast("_Make", names["make"])
    return make


class RowPlan:
    """How the rows of one result are decoded; see `pgsansio.kernel.contract`."""

    __slots__ = ("_columns", "_copy_decoder", "_row_decoder", "_shape", "codecs", "names", "record_class")

    names: tuple[str, ...]
    codecs: tuple[ValueCodec, ...]
    record_class: type[Record]

    def __init__(self, names: tuple[str, ...], codecs: tuple[ValueCodec, ...], record_class: type[Record]) -> None:
        if len(names) != len(codecs):
            raise ValueError(f"{len(names)} column names for {len(codecs)} codecs")
        self.names = names
        self.codecs = codecs
        self.record_class = record_class
        self._columns = Columns(names)
        self._shape = shape_of(codecs)
        self._row_decoder = _Decoder(self, _data_row_fields, copy=False)
        self._copy_decoder = _Decoder(self, _copy_tuple_fields, copy=True)

    def record(self, values: Sequence[object]) -> Record:
        """A record of these values, one per column, already decoded."""
        if len(values) != len(self.names):
            raise ValueError(f"{len(values)} values for {len(self.names)} columns")
        return make_record(self.record_class, self._columns, tuple(values))

    def generate(self, copy: bool) -> tuple[_Run, _Bulk | None]:
        """The generated decoder of this plan."""
        make = _make_of(self._shape, copy)
        return make(
            self.record_class,
            self._columns,
            self.refused,
            [codec.decode for codec in self.codecs],
            [special_decoder(codec) for codec in self.codecs],
            [part_decoder(codec) for codec in self.codecs],
        )

    def refused(self, error: Exception, column: int) -> Exception:
        """See `refused_value`."""
        return refused_value(self, error, column)

    def decode_fields(self, fields: list[bytes | None]) -> tuple[Record | None, Exception | None]:
        """A record of the columns' bytes, or the first error of their codecs. The definition of a row's value."""
        values: list[object] = []
        for column, (codec, value) in enumerate(zip(self.codecs, fields, strict=True)):
            try:
                values.append(None if value is None else codec.decode(value))
            except MemoryError:
                raise
            except Exception as error:
                return None, self.refused(error, column)
        return make_record(self.record_class, self._columns, tuple(values)), None


def refused_value(plan: contract.RowPlan, error: Exception, column: int) -> Exception:
    """What to return for an exception of the codec of that column."""
    codec = plan.codecs[column]
    if not isinstance(error, ValueError) or isinstance(error, _CURABLE) or _is_users(error, codec):
        error.add_note(f"in column {column + 1}, {plan.names[column]!r}, of type {codec.name}")
        return error
    place = f"column {column + 1} ({plan.names[column]!r}) of type {codec.name}"
    refusal = InvalidValueError(f"cannot decode {place}: {error}")
    refusal.__cause__ = error
    return refusal


#: They say what the caller can do so that the value is decoded after all.
_CURABLE: Final = (OutdatedTypeError, UnknownTypeError)


def _is_users(error: Exception, codec: ValueCodec) -> bool:
    """Was `error` raised by a user's codec: this one, or one of those it is made of?"""
    if codec.user:
        return True
    codes = [getattr(part.decode, "__code__", None) for part in parts_of(codec) if part.user]
    # Of a function that is not Python's own there is no trace.
    return None in codes or any(frame.f_code in codes for frame, _ in walk_tb(error.__traceback__))


class _Decoder:
    """Decodes the rows of a plan from one kind of frame: DataRow messages, or the tuples of COPY."""

    __slots__ = ("_bulk", "_copy", "_fields", "_plan", "_run", "_slow_rows", "in_place")

    def __init__(self, plan: RowPlan, fields: _Fields, copy: bool) -> None:
        self._plan = plan
        self._fields = fields
        self._copy = copy
        #: `_run` may read a bytearray where it is: no value is a slice of it.
        self.in_place = all(opcode in FIXED or opcode in (Opcode.TEXT, Opcode.JSONB) for opcode in plan._shape)
        self._run: _Run | None = None
        self._bulk: _Bulk | None = None
        self._slow_rows = 0

    def decode(
        self, buffer: Buffer, start: int, end: int, rows: list[Any], max_rows: int
    ) -> tuple[int, Exception | None]:
        """See `decode_rows` in `pgsansio.kernel.contract`."""
        target = len(rows) + max_rows
        window = _WINDOW
        while True:
            stop = start + window
            if stop > end:
                stop = end
            pos, needed, error = self._decode_window(bytes(buffer[start:stop]), rows, target)
            start += pos
            if needed == 0 or needed > end - start:
                return start, error
            # Doubled, since of a tuple of COPY it is not known how long it is before its last column.
            window = _WINDOW if pos else max(2 * window, needed)

    def _decode_window(self, data: bytes, rows: list[Any], target: int) -> tuple[int, int, Exception | None]:
        """Decode rows until there are `target`.

        Returns:
            The offset after the last row, how many bytes from there are needed to go on (0 if there is nothing to go on
            with), and the error of that last row.
        """
        count = len(self._plan.codecs)
        limit = len(data)
        pos = 0
        while True:
            run, bulk = self._run, self._bulk
            if bulk is not None:
                pos = bulk(data, pos, limit, rows, target - len(rows))
            if run is not None:
                room = target - len(rows)
                if bulk is not None and room > _BULK_PAUSE:
                    room = _BULK_PAUSE
                full = len(rows) + room
                pos, error = run(data, pos, limit, rows, room)
                if error is not None:
                    return pos, 0, error
                if len(rows) == full < target:
                    # It did not stop at anything.
                    continue
            elif self._slow_rows < _WARM_UP or count > _MAX_GENERATED:
                self._slow_rows += 1
            else:
                self._run, self._bulk = self._plan.generate(self._copy)
                continue
            if len(rows) == target:
                return pos, 0, None
            fields, after = self._fields(data, pos, limit, count)
            if fields is None:
                return pos, after, None
            record, error = self._plan.decode_fields(fields)
            if error is not None:
                return after, 0, error
            rows.append(record)
            pos = after


#: So little is decoded at once.
_FEW_BYTES: Final = 512

#: Rows that `run` decodes before `bulk` is tried again.
_BULK_PAUSE: Final = 32


def _columns(data: bytes, at: int, limit: int, count: int) -> tuple[list[bytes | None] | None, int]:
    """The values of `count` columns, each behind its length; None if they do not end at `limit` or before."""
    fields: list[bytes | None] = []
    for column in range(count):
        if at + 4 > limit:
            return None, at + 4
        (length,) = _unpack_length(data, at)
        at += 4
        if length == NULL_LENGTH:
            fields.append(None)
        elif length < 0:
            raise ProtocolError(f"column {column + 1} of a row has a length of {length} bytes")
        elif at + length > limit:
            return None, at + length
        else:
            fields.append(data[at : at + length])
            at += length
    return fields, at


def _data_row_fields(data: bytes, pos: int, limit: int, count: int) -> tuple[list[bytes | None] | None, int]:
    if pos < limit and data[pos] != 0x44:
        return None, 0
    if pos + 5 > limit:
        return None, 5
    (size,) = _unpack_length(data, pos + 1)
    if size < 6:
        raise ProtocolError(f"DataRow has a length of {size} bytes")
    end = pos + 1 + size
    if end > limit:
        return None, 1 + size
    (columns,) = _unpack_count(data, pos + 5)
    if columns != count:
        raise ProtocolError(f"DataRow has {columns} columns, its result has {count}")
    fields, at = _columns(data, pos + 7, end, count)
    if fields is None:
        raise ProtocolError(f"DataRow of {size} bytes ends {at - end} bytes before its columns do")
    if at != end:
        raise ProtocolError(f"DataRow has {end - at} bytes behind its last column")
    return fields, end


def _copy_tuple_fields(data: bytes, pos: int, limit: int, count: int) -> tuple[list[bytes | None] | None, int]:
    if pos + 2 > limit:
        return None, 2
    (columns,) = _unpack_count(data, pos)
    if columns == 0xFFFF:
        return None, 0
    if columns != count:
        raise ProtocolError(f"tuple of COPY data has {columns} columns, its table has {count}")
    fields, at = _columns(data, pos + 2, limit, count)
    return fields, at if fields is not None else at - pos


def broken_row(data: bytes, count: int) -> None:
    """Raise ProtocolError: `data`, a DataRow message, contradicts itself or that number of columns."""
    _data_row_fields(data, 0, len(data), count)


def broken_tuple(data: bytes, count: int) -> None:
    """Raise ProtocolError: the tuple of COPY at the beginning of `data` does."""
    _copy_tuple_fields(data, 0, len(data), count)


def row_plan(names: tuple[str, ...], codecs: tuple[ValueCodec, ...], record_class: type[Any]) -> RowPlan:
    """See `pgsansio.kernel.contract`."""
    return RowPlan(names, codecs, record_class)


def _run_of_bytes(view: memoryview) -> memoryview:
    """What a view shows, as bytes, whatever it takes them for.

    Raises:
        BufferError: they do not lie one after the other.
    """
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    if view.ndim == 1 and view.format == "B":
        return view
    # A view of nothing cannot be cast.
    return view.cast("B") if view.nbytes else memoryview(b"")


def decode_rows(
    plan: RowPlan, buffer: Buffer, start: int, end: int, rows: list[Any], max_rows: int
) -> tuple[int, Exception | None]:
    """See `pgsansio.kernel.contract`."""
    if type(buffer) is memoryview:
        buffer = _run_of_bytes(buffer)
    decoder = plan._row_decoder
    run = decoder._run
    if run is not None and end - start <= _FEW_BYTES:
        # The usual answer, a row or some: without the window and the block that pay for many.
        before = len(rows)
        if decoder.in_place and type(buffer) is bytearray:
            start, error = run(buffer, start, end, rows, max_rows)
        else:
            pos, error = run(bytes(buffer[start:end]), 0, end - start, rows, max_rows)
            start += pos
        if error is not None or start == end or buffer[start] != 0x44:
            return start, error
        max_rows -= len(rows) - before
        if not max_rows:
            return start, None
    return decoder.decode(buffer, start, end, rows, max_rows)


def decode_copy(
    plan: RowPlan, buffer: Buffer, start: int, end: int, rows: list[Any], max_rows: int
) -> tuple[int, Exception | None]:
    """See `pgsansio.kernel.contract`."""
    if type(buffer) is memoryview:
        buffer = _run_of_bytes(buffer)
    return plan._copy_decoder.decode(buffer, start, end, rows, max_rows)
