"""The pure kernel's generated functions are used: what they do is shown elsewhere, and is right without them, too."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pgsansio.enums import Format
from pgsansio.kernel import pure
from pgsansio.kernel.contract import Opcode, ValueCodec
from tests.support.naive_kernel import CODECS, array_bytes, array_of, copy_tuple, data_row, int_bytes, numeric_bytes


def asked(value: Any) -> Any:
    raise AssertionError(f"a codec was asked about {value!r}")


def silent(codec: ValueCodec) -> ValueCodec:
    """The codec of an opcode, to be done without."""
    return ValueCodec(codec.oid, codec.name, codec.opcode, Format.BINARY, asked, asked, codec.element)


ORDINARY: dict[Opcode, bytes] = {
    Opcode.BOOL: b"\1",
    Opcode.CHAR: b"c",
    Opcode.INT2: int_bytes(-5, 2),
    Opcode.INT4: int_bytes(5, 4),
    Opcode.INT8: int_bytes(2**40, 8),
    Opcode.UINT4: int_bytes(5, 4),
    Opcode.FLOAT4: bytes(4),
    Opcode.FLOAT8: bytes(8),
    Opcode.NUMERIC: numeric_bytes([12, 3400], 0, 0x4000, 2),
    Opcode.TEXT: "h\u00e9".encode(),
    Opcode.BYTEA: b"\xff",
    Opcode.UUID: bytes(16),
    Opcode.DATE: int_bytes(9000, 4),
    Opcode.TIME: int_bytes(1, 8),
    Opcode.TIMESTAMP: int_bytes(10**15, 8),
    Opcode.TIMESTAMPTZ: int_bytes(-1, 8),
    Opcode.INTERVAL: int_bytes(1, 8) + int_bytes(1, 4) + int_bytes(0, 4),
    Opcode.JSONB: b"\1{}",
}

DECODERS = pytest.mark.parametrize(
    ("frame", "decode"), [(data_row, pure.decode_rows), (copy_tuple, pure.decode_copy)], ids=["rows", "copy"]
)


def warm_row_plan(codecs: list[ValueCodec], frame: Callable[..., bytes], decode: Callable[..., Any]) -> pure.RowPlan:
    plan = pure.row_plan(tuple("c" for _ in codecs), tuple(codecs), pure.Record)
    nulls = frame(*[None] * len(codecs)) * 100
    decode(plan, nulls, 0, len(nulls), [], 1000)
    return plan


@DECODERS
@pytest.mark.parametrize("opcode", ORDINARY)
def test_ordinary_values_need_no_codec(frame: Callable[..., bytes], decode: Callable[..., Any], opcode: Opcode) -> None:
    value = ORDINARY[opcode]
    one, other = silent(CODECS[opcode]), silent(CODECS[Opcode.TEXT])
    for codecs, fields in (([one], [value]), ([one, other, one], [value, b"text", value])):
        plan = warm_row_plan(codecs, frame, decode)
        data = (frame(*fields) + frame(*[None] * len(codecs))) * 9 + frame(*fields) * 300
        rows: list[Any] = []
        assert decode(plan, data, 0, len(data), rows, 1000) == (len(data), None)
        assert len(rows) == 318


@DECODERS
@pytest.mark.parametrize("count", [1, 256, 600])
def test_vectors_need_no_codec(frame: Callable[..., bytes], decode: Callable[..., Any], count: int) -> None:
    array = silent(array_of(CODECS[Opcode.INT4]))
    plan = warm_row_plan([array], frame, decode)
    data = frame(array_bytes(CODECS[Opcode.INT4].oid, [bytes(4)] * count))
    rows: list[Any] = []
    assert decode(plan, data, 0, len(data), rows, 1) == (len(data), None)
    assert rows == [([0] * count,)]


ARGUMENTS: dict[Opcode, object] = {
    Opcode.BOOL: True,
    Opcode.INT2: 1,
    Opcode.INT4: 1,
    Opcode.INT8: 1,
    Opcode.UINT4: 1,
    Opcode.FLOAT4: 1.0,
    Opcode.FLOAT8: 1.0,
    Opcode.TEXT: "x",
    Opcode.JSONB: "x",
    Opcode.BYTEA: b"x",
    Opcode.UUID: pure.UUID(int=1),
}


@pytest.mark.parametrize("opcode", ARGUMENTS)
def test_ordinary_arguments_need_no_codec(opcode: Opcode) -> None:
    plan = pure.parameter_plan((silent(CODECS[opcode]), silent(CODECS[Opcode.TEXT])))
    for _ in range(100):
        pure.encode_bind(plan, b"\0\0", (None, None), b"", b"")
        for function in (encode_many, encode_copy):
            function(plan, [(None, None)])
    arguments = (ARGUMENTS[opcode], "y")
    pure.encode_bind(plan, b"\0\0", arguments, b"", b"")
    assert encode_many(plan, [arguments])[1:] == encode_copy(plan, [arguments])[1:] == (1, True)


def encode_many(plan: pure.ParameterPlan, elements: list[object]) -> tuple[bytes, int, bool]:
    source: Iterator[object] = iter(elements)
    return pure.encode_many(plan, b"\0\0", source, b"", b"", 1000, 0)


def encode_copy(plan: pure.ParameterPlan, elements: list[object]) -> tuple[bytes, int, bool]:
    source: Iterator[object] = iter(elements)
    return pure.encode_copy(plan, source, 1000, 0)
