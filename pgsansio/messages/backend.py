"""What a backend sends in a session: answers, rows, errors, and what it says unasked."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from pgsansio.enums import Format, TransactionStatus
from pgsansio.messages.message import EmptyMessage
from pgsansio.wire.fields import Reader, Writer

__all__ = [
    "BindComplete",
    "CloseComplete",
    "CommandComplete",
    "DataRow",
    "EmptyQueryResponse",
    "ErrorResponse",
    "FieldDescription",
    "FunctionCallResponse",
    "NoData",
    "NoticeResponse",
    "NotificationResponse",
    "ParameterDescription",
    "ParameterStatus",
    "ParseComplete",
    "PortalSuspended",
    "ReadyForQuery",
    "RowDescription",
    "notification",
]

_STATUSES: Final = {ord(status.value): status for status in TransactionStatus}


@dataclass(frozen=True, slots=True)
class ParseComplete(EmptyMessage):
    """Answers Parse."""

    TAG: ClassVar[bytes] = b"1"


@dataclass(frozen=True, slots=True)
class BindComplete(EmptyMessage):
    """Answers Bind."""

    TAG: ClassVar[bytes] = b"2"


@dataclass(frozen=True, slots=True)
class CloseComplete(EmptyMessage):
    """Answers Close."""

    TAG: ClassVar[bytes] = b"3"


@dataclass(frozen=True, slots=True)
class EmptyQueryResponse(EmptyMessage):
    """Instead of CommandComplete for an empty query."""

    TAG: ClassVar[bytes] = b"I"


@dataclass(frozen=True, slots=True)
class NoData(EmptyMessage):
    """Instead of RowDescription for what returns no rows."""

    TAG: ClassVar[bytes] = b"n"


@dataclass(frozen=True, slots=True)
class PortalSuspended(EmptyMessage):
    """Instead of CommandComplete when Execute's row limit was reached."""

    TAG: ClassVar[bytes] = b"s"


@dataclass(frozen=True, slots=True)
class CommandComplete:
    """A statement is done."""

    TAG: ClassVar[bytes] = b"C"
    #: 'INSERT 0 1', 'SELECT 5': words, then numbers for some commands. The count is of the last Execute only.
    command_tag: str

    def encode(self) -> bytes:
        writer = Writer("CommandComplete", self.TAG)
        writer.string(self.command_tag, "command tag")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("CommandComplete", body)
        command_tag = reader.string("command tag")
        reader.end()
        return cls(command_tag)


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row. A client's rows do not come this way: the kernel decodes them."""

    TAG: ClassVar[bytes] = b"D"
    #: One per column; None is NULL. There are rows without columns.
    values: tuple[bytes | None, ...]

    def encode(self) -> bytes:
        writer = Writer("DataRow", self.TAG)
        writer.count(self.values, "column")
        for value in self.values:
            writer.value(value)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("DataRow", body)
        values = tuple([reader.value("column") for _ in range(reader.uint16("count of columns"))])
        reader.end()
        return cls(values)


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One column of a RowDescription."""

    name: str
    #: 0 if the column is not one of a table's.
    table_oid: int
    #: pg_attribute.attnum, negative for system columns; 0 if the column is not one of a table's.
    column_number: int
    type_oid: int
    #: pg_type.typlen, negative for types of variable size.
    type_size: int
    #: pg_attribute.atttypmod; its meaning depends on the type.
    type_modifier: int
    #: Not yet known, and so TEXT, when a statement is described.
    format: Format


@dataclass(frozen=True, slots=True)
class RowDescription:
    """The columns of the rows that follow, or would follow."""

    TAG: ClassVar[bytes] = b"T"
    fields: tuple[FieldDescription, ...]

    def encode(self) -> bytes:
        writer = Writer("RowDescription", self.TAG)
        writer.count(self.fields, "field")
        for field in self.fields:
            writer.string(field.name, "field name")
            writer.uint32(field.table_oid, "table oid")
            writer.int16(field.column_number, "column number")
            writer.uint32(field.type_oid, "type oid")
            writer.int16(field.type_size, "type size")
            writer.int32(field.type_modifier, "type modifier")
            writer.int16(field.format, "format")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("RowDescription", body)
        fields = [
            FieldDescription(
                reader.string("field name"),
                reader.uint32("table oid"),
                reader.int16("column number"),
                reader.uint32("type oid"),
                reader.int16("type size"),
                reader.int32("type modifier"),
                reader.format("format"),
            )
            for _ in range(reader.uint16("count of fields"))
        ]
        reader.end()
        return cls(tuple(fields))


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """The parameters of a statement, an answer to Describe."""

    TAG: ClassVar[bytes] = b"t"
    type_oids: tuple[int, ...]

    def encode(self) -> bytes:
        writer = Writer("ParameterDescription", self.TAG)
        writer.count(self.type_oids, "parameter")
        writer.uint32s(self.type_oids, "type oid")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("ParameterDescription", body)
        type_oids = reader.uint32s(reader.uint16("count of parameters"), "type oids")
        reader.end()
        return cls(type_oids)


@dataclass(frozen=True, slots=True)
class ReadyForQuery:
    """The answer to Sync, and the end of the start-up, of a Query and of a FunctionCall."""

    TAG: ClassVar[bytes] = b"Z"
    status: TransactionStatus

    def encode(self) -> bytes:
        return b"Z\x00\x00\x00\x05" + self.status.value.encode()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("ReadyForQuery", body)
        code = reader.int8("status")
        status = _STATUSES.get(code)
        if status is None:
            raise reader.error(f"status is {code}, not one of 73 (I), 84 (T) and 69 (E)")
        reader.end()
        return cls(status)


@dataclass(frozen=True, slots=True)
class FunctionCallResponse:
    """The result of a FunctionCall."""

    TAG: ClassVar[bytes] = b"V"
    #: None is NULL.
    value: bytes | None

    def encode(self) -> bytes:
        writer = Writer("FunctionCallResponse", self.TAG)
        writer.value(self.value)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("FunctionCallResponse", body)
        value = reader.value("value")
        reader.end()
        return cls(value)


@dataclass(frozen=True, slots=True)
class _Report:
    """The common shape of ErrorResponse and NoticeResponse.

    Bytes that are not UTF-8 become U+FFFD: before the session's encoding is settled the text may be in any, and an
    error must not be lost because it cannot be read.
    """

    TAG: ClassVar[bytes]
    #: One-letter code -> text ("Error and Notice Message Fields"). Codes nobody knows are kept; none is sure to be
    #: there, not even C: poolers and other servers leave it out. Of a code that is sent twice the last counts.
    fields: dict[str, str]

    def encode(self) -> bytes:
        writer = Writer(type(self).__name__, self.TAG)
        for code, text in self.fields.items():
            if len(code) != 1 or not 0 < ord(code) < 256:
                raise writer.error(f"field code {code!r} is not one byte")
            writer.int8(ord(code), "field code")
            writer.string(text, f"field {code}")
        writer.raw(b"\x00")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader(cls.__name__, body)
        fields: dict[str, str] = {}
        while code := reader.int8("field code or terminator"):
            fields[chr(code)] = reader.string(f"field {chr(code)!r}", "replace")
        reader.end()
        return cls(fields)


@dataclass(frozen=True, slots=True)
class ErrorResponse(_Report):
    """Something failed; of a group everything up to its Sync is skipped."""

    TAG: ClassVar[bytes] = b"E"


@dataclass(frozen=True, slots=True)
class NoticeResponse(_Report):
    """A warning, at any time."""

    TAG: ClassVar[bytes] = b"N"


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    """A NOTIFY of a channel this session listens to, at any time."""

    TAG: ClassVar[bytes] = b"A"
    #: Of the backend that notified.
    process_id: int
    channel: str
    payload: str

    def encode(self) -> bytes:
        writer = Writer("NotificationResponse", self.TAG)
        writer.int32(self.process_id, "process id")
        writer.string(self.channel, "channel")
        writer.string(self.payload, "payload")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(*notification(body))


def notification(body: bytes) -> tuple[int, str, str]:
    """The fields of a NotificationResponse. Raises ProtocolError as its `decode`."""
    strings = body[4:].split(b"\x00")
    if len(strings) == 3 and not strings[2]:  # as it should be: a call for each field would take longer
        channel, payload, _ = strings
        process_id = int.from_bytes(body[:4], "big", signed=True)
        return process_id, channel.decode("utf-8", "surrogateescape"), payload.decode("utf-8", "surrogateescape")
    reader = Reader("NotificationResponse", body)
    fields = reader.int32("process id"), reader.string("channel"), reader.string("payload")
    reader.end()
    return fields


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """The value of a run-time parameter that is reported, at start-up and, late, after each change."""

    TAG: ClassVar[bytes] = b"S"
    name: str
    value: str

    def encode(self) -> bytes:
        writer = Writer("ParameterStatus", self.TAG)
        writer.string(self.name, "name")
        writer.string(self.value, "value")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        # Most of what a server says at start-up: in one step, and by the reader only if there is something to refuse.
        parts = body.split(b"\0")
        if len(parts) == 3 and not parts[2]:
            return cls(parts[0].decode("utf-8", "surrogateescape"), parts[1].decode("utf-8", "surrogateescape"))
        reader = Reader("ParameterStatus", body)
        name = reader.string("name")
        value = reader.string("value")
        reader.end()
        return cls(name, value)
