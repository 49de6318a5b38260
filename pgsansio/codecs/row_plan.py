"""From a RowDescription to the kernel's RowPlan, and to the result formats of a Bind."""

import struct
from collections.abc import Sequence
from typing import Any, Final

from pgsansio.codecs.registry import Registry
from pgsansio.enums import Format
from pgsansio.kernel import row_plan
from pgsansio.kernel.contract import RowPlan
from pgsansio.messages.backend import FieldDescription

__all__ = ["ALL_BINARY", "as_asked", "plan_rows", "result_formats", "with_formats"]

_NO_COLUMNS: Final = b"\x00\x00"
#: One code stands for all columns.
ALL_BINARY: Final = b"\x00\x01\x00\x01"


def plan_rows(registry: Registry, fields: Sequence[FieldDescription], record_class: type[Any]) -> RowPlan:
    """How rows of this description are decoded.

    Args:
        fields: as they are in force: each has the format in which its column is sent.
        record_class: the kernel's `Record` or a subclass of it.
    """
    codec_in = registry.codec_in
    return row_plan(
        tuple([field.name for field in fields]),
        tuple([codec_in(field.type_oid, field.format) for field in fields]),
        record_class,
    )


def with_formats(registry: Registry, fields: Sequence[FieldDescription]) -> tuple[FieldDescription, ...]:
    """The fields with the formats that their types' codecs have: Describe of a statement reports each as text."""
    formatted: list[FieldDescription] = []
    for field in fields:
        codec = registry.codec(field.type_oid)
        wire_format = Format.TEXT if codec is None else codec.format
        formatted.append(_in_format(field, wire_format))
    return tuple(formatted)


def _in_format(field: FieldDescription, wire_format: Format) -> FieldDescription:
    if field.format is wire_format:
        return field
    # By hand, since dataclasses.replace takes half as long as all the rest of a statement.
    return FieldDescription(
        field.name,
        field.table_oid,
        field.column_number,
        field.type_oid,
        field.type_size,
        field.type_modifier,
        wire_format,
    )


def as_asked(fields: Sequence[FieldDescription], formats: bytes) -> tuple[FieldDescription, ...] | None:
    """The fields with the formats in which `formats`, as of `result_formats`, has asked for them.

    Returns:
        None: it has asked for another number of columns, which the server will refuse.
    """
    count, *codes = struct.unpack(f">{len(formats) // 2}H", formats)
    if count < 2:
        codes = (codes or [Format.TEXT]) * len(fields)
    if not fields:
        return ()  # the server does not look at the formats of a statement without a result
    if len(codes) != len(fields):
        return None
    return tuple([_in_format(field, Format(code)) for field, code in zip(fields, codes, strict=True)])


def result_formats(fields: Sequence[FieldDescription]) -> bytes:
    """The end of a Bind message that asks for each column in the format that its field has.

    Returns:
        Int16 count, then that many Int16 format codes.
    Source: manual, "Message Formats", Bind.
    """
    if not fields:
        return _NO_COLUMNS
    formats = [field.format for field in fields]
    if Format.TEXT not in formats:
        return ALL_BINARY
    return struct.pack(f">{1 + len(formats)}H", len(formats), *formats)
