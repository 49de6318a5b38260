"""The kernel's decoders of rows and of COPY data, beside a naive reader of the same frames.

Input: how many columns and of which types (a result seen often enough gets a generated decoder), the room for
rows; then the bytes. Held to: the same rows, the same position, the same error.
"""

import random
import struct
from functools import lru_cache
from typing import Any, Final

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.codecs import plan_rows
from pgsansio.enums import Format
from pgsansio.errors import InvalidValueError, ProtocolError
from pgsansio.kernel import Record, decode_copy, decode_rows
from pgsansio.kernel.contract import OutdatedTypeError, RowPlan, UnknownTypeError
from pgsansio.messages.backend import FieldDescription
from tests.support.every_codec import registry

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 6
_OIDS: Final = (
    16, 17, 18, 19, 20, 21, 23, 25, 26, 700, 701, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 114, 3802,
    1000, 1005, 1007, 1009, 1016, 1021, 1115, 1231, 2951, 3807, 999_999,
    # Ranges, multiranges, anonymous records, and made-up types around some of the above.
    3904, 3906, 3910, 4451, 4532, 2249, 2287, 600, 718, 3614, 869, 22, 1560,
    *(
        info.oid
        for name in ("int4", "text", "numeric", "timestamptz", "hstore", "color")
        for kind in ("row", "rows", "range", "multirange", "domains")
        if (info := registry().catalog.find("public", f"{name}_{kind}")) is not None
    ),
)  # fmt: skip
_COLUMNS: Final = 4
#: Rows, of one column of four bytes, that make the kernel generate a decoder.
_WARM_UP: Final = 60

Decoded = tuple[int, Exception | None]


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES, b"DDDDDC")


def target(data: bytes) -> None:
    choices, body = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    how, room = choices[4], (1, 2, 7, 1 << 62)[choices[5] % 4]
    oids = tuple(pick(_OIDS, choice) for choice in choices[: how % (_COLUMNS + 1)])
    wire_format = Format.TEXT if how & 64 else Format.BINARY
    copy = how >= 128
    plan = _plan(oids, wire_format, copy, warm=bool(how & 32))
    decode = decode_copy if copy else decode_rows
    rows: list[Any] = []
    naive: list[Any] = []
    ours = _outcome(lambda: decode(plan, body, 0, len(body), rows, room))
    theirs = _outcome(lambda: (_tuples if copy else _messages)(plan, body, naive, room))
    assert ours == theirs, f"{ours} instead of {theirs}"
    assert repr([tuple(row) for row in rows]) == repr(naive)
    buffer = bytearray(b"x" + body + b"y")
    again: list[Any] = []
    moved = _outcome(lambda: _back(decode(plan, buffer, 1, len(buffer) - 1, again, room)))
    assert moved == ours, f"{moved} in a bytearray, {ours} in bytes"
    assert repr(again) == repr(rows)


@lru_cache(64)
def _plan(oids: tuple[int, ...], wire_format: Format, copy: bool, *, warm: bool) -> RowPlan:
    fields = [FieldDescription(f"c{oid}", 0, 0, oid, -1, -1, wire_format) for oid in oids]
    plan = plan_rows(registry(), fields, Record)
    if warm:
        row = struct.pack(">H", len(oids)) + b"\xff\xff\xff\xff" * len(oids)
        if not copy:
            row = b"D" + struct.pack(">I", len(row) + 4) + row
        many = row * _WARM_UP
        for _ in range(3):
            (decode_copy if copy else decode_rows)(plan, many, 0, len(many), [], 1 << 62)
    return plan


def _outcome(decode: Any) -> tuple[object, ...]:
    try:
        position, error = decode()
    except ProtocolError:
        return ("ProtocolError",)
    if error is None:
        return (position,)
    assert isinstance(error, InvalidValueError | OutdatedTypeError | UnknownTypeError), repr(error)
    return (position, str(error), type(error.__cause__))


def _back(decoded: Decoded) -> Decoded:
    return decoded[0] - 1, decoded[1]


def _messages(plan: RowPlan, data: bytes, rows: list[Any], room: int) -> Decoded:
    """`decode_rows`, one byte after the other."""
    at = 0
    while len(rows) < room and len(data) - at >= 5 and data[at] == ord("D"):
        size = int.from_bytes(data[at + 1 : at + 5], "big", signed=True)
        end = at + 1 + size
        if size < 6:
            raise ProtocolError("no room for a count")
        if end > len(data):
            break
        if int.from_bytes(data[at + 5 : at + 7], "big") != len(plan.codecs):
            raise ProtocolError("another number of columns")
        values, behind = _fields(plan, data[:end], at + 7)
        if values is None or behind != end:
            raise ProtocolError("columns and message do not end together")
        at = end
        error = _row(plan, values, rows)
        if error is not None:
            return at, error
    return at, None


def _tuples(plan: RowPlan, data: bytes, rows: list[Any], room: int) -> Decoded:
    """`decode_copy`, one byte after the other."""
    at = 0
    while len(rows) < room and len(data) - at >= 2 and data[at : at + 2] != b"\xff\xff":
        if int.from_bytes(data[at : at + 2], "big") != len(plan.codecs):
            raise ProtocolError("another number of columns")
        values, behind = _fields(plan, data, at + 2)
        if values is None:
            break
        at = behind
        error = _row(plan, values, rows)
        if error is not None:
            return at, error
    return at, None


def _fields(plan: RowPlan, data: bytes, at: int) -> tuple[list[bytes | None] | None, int]:
    values: list[bytes | None] = []
    for _ in plan.codecs:
        if len(data) - at < 4:
            return None, at
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        at += 4
        if size == -1:
            values.append(None)
            continue
        if size < 0:
            raise ProtocolError("a length below -1")
        if size > len(data) - at:
            return None, at
        values.append(data[at : at + size])
        at += size
    return values, at


def _row(plan: RowPlan, values: list[bytes | None], rows: list[Any]) -> Exception | None:
    decoded: list[object] = []
    for number, (codec, name, value) in enumerate(zip(plan.codecs, plan.names, values, strict=True), 1):
        try:
            decoded.append(None if value is None else codec.decode(value))
        except (OutdatedTypeError, UnknownTypeError) as error:
            return error
        except ValueError as error:
            refusal = InvalidValueError(f"cannot decode column {number} ({name!r}) of type {codec.name}: {error}")
            refusal.__cause__ = error
            return refusal
    rows.append(tuple(decoded))
    return None
