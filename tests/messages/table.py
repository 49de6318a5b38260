"""Messages and their bytes, put together by hand from the manual's "Message Formats", not by `encode`."""

from dataclasses import dataclass

from pgsansio.enums import Format, TransactionStatus
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationKerberosV5,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    AuthenticationSSPI,
    GSSResponse,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    DataRow,
    EmptyQueryResponse,
    ErrorResponse,
    FieldDescription,
    FunctionCallResponse,
    NoData,
    NoticeResponse,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.copy import CopyBothResponse, CopyData, CopyDone, CopyFail, CopyInResponse, CopyOutResponse
from pgsansio.messages.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
    Terminate,
)
from pgsansio.messages.message import Message
from pgsansio.messages.startup import (
    BackendKeyData,
    CancelRequest,
    GSSENCRequest,
    NegotiateProtocolVersion,
    SSLRequest,
    StartupMessage,
)

__all__ = ["BACKEND", "FRONTEND", "STARTUP", "Row"]

TEXT, BINARY = Format.TEXT, Format.BINARY


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    #: Type byte (or none), length, body.
    frame: bytes
    message: Message
    #: Where a field runs to the message's end: the shortest body that is legal. None: the body has one legal length.
    shortest_body: int | None = None

    @property
    def tag(self) -> int:
        return self.frame[0] if self.message.TAG else 0

    @property
    def body(self) -> bytes:
        return self.frame[len(self.message.TAG) + 4 :]

    def __str__(self) -> str:
        return type(self.message).__name__


STARTUP = [
    Row(b"\0\0\0\x09" b"\0\x03\0\0" b"\0", StartupMessage(())),
    Row(
        b"\0\0\0\x30" b"\0\x03\0\x02" b"user\0joe\0" b"database\0\0" b"application_name\0\xc3\xa9\0" b"\0",
        StartupMessage((("user", "joe"), ("database", ""), ("application_name", "é")), 3 << 16 | 2),
    ),
    Row(b"\0\0\0\x08" b"\x04\xd2\x16\x2f", SSLRequest()),
    Row(b"\0\0\0\x08" b"\x04\xd2\x16\x30", GSSENCRequest()),
    Row(b"\0\0\0\x10" b"\x04\xd2\x16\x2e" b"\0\0\x04\xd2" b"\x01\0\x02\0", CancelRequest(1234, b"\x01\0\x02\0"), 12),
    Row(
        b"\0\0\0\x2c" b"\x04\xd2\x16\x2e" b"\xff\xff\xff\xff" + bytes(range(32)),
        CancelRequest(-1, bytes(range(32))),
        12,
    ),
]  # fmt: skip

FRONTEND = [
    Row(b"p\0\0\0\x0b" b"secret\0", PasswordMessage("secret")),
    Row(
        b"p\0\0\0\x1d" b"SCRAM-SHA-256\0" b"\0\0\0\x07" b"n,,n=,r",
        SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r"),
    ),
    Row(b"p\0\0\0\x0e" b"OAUTH\0" b"\xff\xff\xff\xff", SASLInitialResponse("OAUTH", None)),
    Row(b"p\0\0\0\x09" b"c=biw", SASLResponse(b"c=biw"), 0),
    Row(b"p\0\0\0\x08" b"\0\xff\0\xff", GSSResponse(b"\0\xff\0\xff"), 0),
    Row(b"Q\0\0\0\x0d" b"select 1\0", Query("select 1")),
    Row(b"P\0\0\0\x08" b"\0" b"\0" b"\0\0", Parse("", "")),
    Row(
        b"P\0\0\0\x1f" b"s1\0" b"select $1\0" b"\0\x03" b"\0\0\0\x17" b"\0\0\0\0" b"\xff\xff\xff\xff",
        Parse("s1", "select $1", (23, 0, 2**32 - 1)),
    ),
    Row(b"B\0\0\0\x0c" b"\0" b"\0" b"\0\0" b"\0\0" b"\0\0", Bind("", "")),
    Row(
        b"B\0\0\0\x29" b"p\0" b"s1\0" b"\0\x03\0\x01\0\0\0\x01"
        b"\0\x03" b"\0\0\0\x04\0\0\0\x07" b"\xff\xff\xff\xff" b"\0\0\0\0" b"\0\x02\0\x01\0\0",
        Bind("p", "s1", (BINARY, TEXT, BINARY), (b"\0\0\0\x07", None, b""), (BINARY, TEXT)),
    ),
    Row(
        b"B\0\0\0\x16" b"\0" b"\0" b"\0\x01\0\x01" b"\0\x02" b"\xff\xff\xff\xff" b"\0\0\0\0" b"\0\0",
        Bind("", "", (BINARY,), (None, b"")),
    ),
    Row(b"D\0\0\0\x08" b"S" b"s1\0", Describe(Target.STATEMENT, "s1")),
    Row(b"D\0\0\0\x06" b"P" b"\0", Describe(Target.PORTAL, "")),
    Row(b"C\0\0\0\x08" b"S" b"s1\0", Close(Target.STATEMENT, "s1")),
    Row(b"C\0\0\0\x07" b"P" b"p\0", Close(Target.PORTAL, "p")),
    Row(b"E\0\0\0\x09" b"\0" b"\0\0\0\0", Execute("")),
    Row(b"E\0\0\0\x0a" b"p\0" b"\xff\xff\xff\xff", Execute("p", -1)),
    Row(b"H\0\0\0\x04", Flush()),
    Row(b"S\0\0\0\x04", Sync()),
    Row(b"X\0\0\0\x04", Terminate()),
    Row(
        b"F\0\0\0\x19" b"\0\0\x03\xb9" b"\0\x01\0\x01" b"\0\x02" b"\0\0\0\x01\x05" b"\xff\xff\xff\xff" b"\0\x01",
        FunctionCall(953, (BINARY,), (b"\x05", None), BINARY),
    ),
    Row(b"F\0\0\0\x0e" b"\xff\xff\xff\xff" b"\0\0" b"\0\0" b"\0\0", FunctionCall(2**32 - 1)),
    Row(b"d\0\0\0\x08" b"1\t2\n", CopyData(b"1\t2\n"), 0),
    Row(b"c\0\0\0\x04", CopyDone()),
    Row(b"f\0\0\0\x0a" b"stop!\0", CopyFail("stop!")),
]  # fmt: skip

BACKEND = [
    Row(b"v\0\0\0\x0c" b"\0\x03\0\0" b"\0\0\0\0", NegotiateProtocolVersion(3 << 16)),
    Row(
        b"v\0\0\0\x1b" b"\0\x03\0\x02" b"\0\0\0\x02" b"_pq_.a\0" b"_pq_.bc\0",
        NegotiateProtocolVersion(3 << 16 | 2, ("_pq_.a", "_pq_.bc")),
    ),
    Row(b"K\0\0\0\x0c" b"\0\0\x04\xd2" b"\xde\xad\xbe\xef", BackendKeyData(1234, b"\xde\xad\xbe\xef"), 8),
    Row(b"K\0\0\0\x28" b"\xff\xff\xff\xfe" + bytes(range(32)), BackendKeyData(-2, bytes(range(32))), 8),
    Row(b"R\0\0\0\x08" b"\0\0\0\0", AuthenticationOk()),
    Row(b"R\0\0\0\x08" b"\0\0\0\x02", AuthenticationKerberosV5()),
    Row(b"R\0\0\0\x08" b"\0\0\0\x03", AuthenticationCleartextPassword()),
    Row(b"R\0\0\0\x0c" b"\0\0\0\x05" b"\x01\0\xff\x7f", AuthenticationMD5Password(b"\x01\0\xff\x7f")),
    Row(b"R\0\0\0\x08" b"\0\0\0\x07", AuthenticationGSS()),
    Row(b"R\0\0\0\x0a" b"\0\0\0\x08" b"\x60\0", AuthenticationGSSContinue(b"\x60\0"), 4),
    Row(b"R\0\0\0\x08" b"\0\0\0\x09", AuthenticationSSPI()),
    Row(
        b"R\0\0\0\x2a" b"\0\0\0\x0a" b"SCRAM-SHA-256-PLUS\0" b"SCRAM-SHA-256\0" b"\0",
        AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")),
    ),
    Row(b"R\0\0\0\x09" b"\0\0\0\x0a" b"\0", AuthenticationSASL(())),
    Row(b"R\0\0\0\x0b" b"\0\0\0\x0b" b"r=x", AuthenticationSASLContinue(b"r=x"), 4),
    Row(b"R\0\0\0\x0b" b"\0\0\0\x0c" b"v=x", AuthenticationSASLFinal(b"v=x"), 4),
    Row(b"1\0\0\0\x04", ParseComplete()),
    Row(b"2\0\0\0\x04", BindComplete()),
    Row(b"3\0\0\0\x04", CloseComplete()),
    Row(b"I\0\0\0\x04", EmptyQueryResponse()),
    Row(b"n\0\0\0\x04", NoData()),
    Row(b"s\0\0\0\x04", PortalSuspended()),
    Row(b"C\0\0\0\x0f" b"INSERT 0 1\0", CommandComplete("INSERT 0 1")),
    Row(b"D\0\0\0\x06" b"\0\0", DataRow(())),
    Row(
        b"D\0\0\0\x17" b"\0\x03" b"\0\0\0\x05a\0b\xffc" b"\xff\xff\xff\xff" b"\0\0\0\0",
        DataRow((b"a\0b\xffc", None, b"")),
    ),
    Row(b"T\0\0\0\x06" b"\0\0", RowDescription(())),
    Row(
        b"T\0\0\0\x31" b"\0\x02"
        b"id\0" b"\0\0\x40\0" b"\0\x01" b"\0\0\0\x17" b"\0\x04" b"\xff\xff\xff\xff" b"\0\x01"
        b"n\xc3\xa9\0" b"\xff\xff\xff\xff" b"\xff\xff" b"\0\0\x04\x13" b"\xff\xff" b"\0\0\0\x0e" b"\0\0",
        RowDescription(
            (
                FieldDescription("id", 16384, 1, 23, 4, -1, BINARY),
                FieldDescription("né", 2**32 - 1, -1, 1043, -1, 14, TEXT),
            )
        ),
    ),
    Row(b"t\0\0\0\x06" b"\0\0", ParameterDescription(())),
    Row(b"t\0\0\0\x0e" b"\0\x02" b"\0\0\0\x17" b"\xff\xff\xff\xff", ParameterDescription((23, 2**32 - 1))),
    Row(b"Z\0\0\0\x05" b"I", ReadyForQuery(TransactionStatus.IDLE)),
    Row(b"Z\0\0\0\x05" b"T", ReadyForQuery(TransactionStatus.IN_TRANSACTION)),
    Row(b"Z\0\0\0\x05" b"E", ReadyForQuery(TransactionStatus.FAILED)),
    Row(b"V\0\0\0\x0a" b"\0\0\0\x02" b"\0\x05", FunctionCallResponse(b"\0\x05")),
    Row(b"V\0\0\0\x08" b"\xff\xff\xff\xff", FunctionCallResponse(None)),
    Row(b"E\0\0\0\x05" b"\0", ErrorResponse({})),
    Row(
        b"E\0\0\0\x20" b"SERROR\0" b"C42601\0" b"Msyntax \xc3\xa9\0" b"?\0" b"\0",
        ErrorResponse({"S": "ERROR", "C": "42601", "M": "syntax é", "?": ""}),
    ),
    Row(b"N\0\0\0\x14" b"SWARNING\0" b"Mtest\0" b"\0", NoticeResponse({"S": "WARNING", "M": "test"})),
    Row(b"A\0\0\0\x0d" b"\0\0\x04\xd2" b"ch\0" b"x\0", NotificationResponse(1234, "ch", "x")),
    Row(b"S\0\0\0\x13" b"TimeZone\0" b"Etc/U\0", ParameterStatus("TimeZone", "Etc/U")),
    Row(b"d\0\0\0\x06" b"1\n", CopyData(b"1\n"), 0),
    Row(b"c\0\0\0\x04", CopyDone()),
    Row(b"G\0\0\0\x0b" b"\0" b"\0\x02\0\0\0\0", CopyInResponse(TEXT, (TEXT, TEXT))),
    Row(b"H\0\0\0\x09" b"\x01" b"\0\x01\0\x01", CopyOutResponse(BINARY, (BINARY,))),
    Row(b"W\0\0\0\x07" b"\0" b"\0\0", CopyBothResponse(TEXT)),
]  # fmt: skip
