"""Columns of DataRow messages that are still bytes."""

from collections.abc import Iterable, Iterator

from pgsansio.messages.backend import DataRow
from pgsansio.wire.framing import HEADER_BYTES

__all__ = ["column_values", "with_column"]


def _rows(data: bytes | bytearray) -> Iterator[tuple[bytes | None, ...]]:
    position = 0
    while position < len(data):
        after = position + 1 + int.from_bytes(data[position + 1 : position + HEADER_BYTES], "big")
        yield DataRow.decode(bytes(data[position + HEADER_BYTES : after])).values
        position = after


def column_values(data: bytes | bytearray, index: int) -> list[bytes]:
    """The values of one column that are not NULL.

    Args:
        data: complete DataRow messages.
    Raises:
        ProtocolError: one of them is malformed.
    """
    return [value for row in _rows(data) if index < len(row) and (value := row[index]) is not None]


def with_column(data: bytes | bytearray, index: int, values: Iterable[bytes]) -> bytearray:
    """The same messages with other values in the place of those of `column_values`."""
    rest = iter(values)
    return bytearray().join(
        DataRow(
            tuple([next(rest) if number == index and value is not None else value for number, value in enumerate(row)])
        ).encode()
        for row in _rows(data)
    )
