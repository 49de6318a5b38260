"""COPY: data both ways, its ends, and the answers that begin it (manual, "COPY Operations")."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from pgsansio.enums import Format
from pgsansio.messages.message import EmptyMessage
from pgsansio.wire.fields import Reader, Writer

__all__ = [
    "MAX_COPY_FAIL_BODY_BYTES",
    "CopyBothResponse",
    "CopyData",
    "CopyDone",
    "CopyFail",
    "CopyInResponse",
    "CopyOutResponse",
]

#: PostgreSQL's PQ_SMALL_MESSAGE_LIMIT less the length word: above it a server drops the connection.
MAX_COPY_FAIL_BODY_BYTES: Final = 10000 - 4


@dataclass(frozen=True, slots=True)
class CopyData:
    """A piece of a COPY's data, both ways. Pieces from a frontend need not match rows."""

    TAG: ClassVar[bytes] = b"d"
    data: bytes

    def encode(self) -> bytes:
        writer = Writer("CopyData", self.TAG)
        writer.raw(self.data)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(body)


@dataclass(frozen=True, slots=True)
class CopyDone(EmptyMessage):
    """The data is complete; both ways."""

    TAG: ClassVar[bytes] = b"c"


@dataclass(frozen=True, slots=True)
class CopyFail:
    """The frontend gives up a COPY FROM STDIN."""

    TAG: ClassVar[bytes] = b"f"
    #: The cause, which the server repeats in its error. `encode` raises InterfaceError above 9995 bytes.
    message: str

    def encode(self) -> bytes:
        writer = Writer("CopyFail", self.TAG)
        writer.string(self.message, "message")
        return writer.frame(MAX_COPY_FAIL_BODY_BYTES)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("CopyFail", body)
        message = reader.string("message")
        reader.end()
        return cls(message)


@dataclass(frozen=True, slots=True)
class _CopyResponse:
    """The common shape of the three answers to COPY."""

    TAG: ClassVar[bytes]
    #: Of the whole COPY: TEXT is rows separated by newlines.
    format: Format
    #: Of each column; all TEXT if `format` is. For replication there are none.
    column_formats: tuple[Format, ...] = ()

    def encode(self) -> bytes:
        writer = Writer(type(self).__name__, self.TAG)
        if self.format is Format.TEXT and Format.BINARY in self.column_formats:
            raise writer.error("a binary column in a textual COPY")
        writer.int8(self.format, "format")
        writer.formats(self.column_formats, "column format")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader(cls.__name__, body)
        code = reader.int8("format")
        if code > 1:
            raise reader.error(f"format is {code}, neither 0 (text) nor 1 (binary)")
        column_formats = reader.formats("column format")
        reader.end()
        if code == 0 and Format.BINARY in column_formats:
            raise reader.error("a binary column in a textual COPY")
        return cls(Format(code), column_formats)


@dataclass(frozen=True, slots=True)
class CopyInResponse(_CopyResponse):
    """The server is ready for data (COPY FROM STDIN)."""

    TAG: ClassVar[bytes] = b"G"


@dataclass(frozen=True, slots=True)
class CopyOutResponse(_CopyResponse):
    """The server will send data (COPY TO STDOUT)."""

    TAG: ClassVar[bytes] = b"H"


@dataclass(frozen=True, slots=True)
class CopyBothResponse(_CopyResponse):
    """Data both ways at once (streaming replication)."""

    TAG: ClassVar[bytes] = b"W"
