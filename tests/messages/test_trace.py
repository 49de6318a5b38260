"""Messages as text: one line each, nothing secret, whatever comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.enums import Format, TransactionStatus
from pgsansio.messages.authentication import (
    AuthenticationGSSContinue,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    GSSResponse,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)
from pgsansio.messages.backend import (
    DataRow,
    ErrorResponse,
    FieldDescription,
    FunctionCallResponse,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.frontend import Bind, Describe, Query, Sync, Target
from pgsansio.messages.startup import BackendKeyData, CancelRequest, StartupMessage
from pgsansio.messages.tags import BackendMessage, Direction, FrontendMessage
from pgsansio.messages.trace import describe, describe_frame
from tests.messages.table import BACKEND, FRONTEND, STARTUP, Row
from tests.support.strategies import (
    authentication_responses,
    backend_messages,
    frontend_messages,
    startup_requests,
)

SECRET = "hunter2!"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Sync(), "Sync"),
        (AuthenticationOk(), "AuthenticationOk"),
        (Query("select 1\n, 2"), r"Query query='select 1\n, 2'"),
        (Query("x" * 61), f"Query query='{'x' * 60}'... (61)"),
        (Describe(Target.STATEMENT, "s1"), "Describe target=STATEMENT name='s1'"),
        (
            Bind("", "s", (Format.BINARY,), (b"\0\x07", None), ()),
            r"Bind portal='' statement='s' parameter_formats=(BINARY) parameters=(b'\x00\x07', NULL) result_formats=()",
        ),
        (DataRow((b"a",) * 9), f"DataRow values=({', '.join([repr(b'a')] * 8)}, ... (9))"),
        (
            RowDescription((FieldDescription("id", 0, 0, 23, 4, -1, Format.TEXT),)),
            "RowDescription fields=('id':23)",
        ),
        (ReadyForQuery(TransactionStatus.IDLE), "ReadyForQuery status=IDLE"),
        (FunctionCallResponse(None), "FunctionCallResponse value=NULL"),
        (ErrorResponse({"C": "42601", "M": "no"}), "ErrorResponse fields={'C': '42601', 'M': 'no'}"),
        (
            StartupMessage((("user", "joe"), ("database", "db"))),
            "StartupMessage parameters=(('user', 'joe'), ('database', 'db')) protocol_version=196608",
        ),
        (AuthenticationSASL(("SCRAM-SHA-256",)), "AuthenticationSASL mechanisms=('SCRAM-SHA-256')"),
        (BackendKeyData(7, b"\1\2\3\4"), "BackendKeyData process_id=7 secret_key=<hidden>"),
        (
            SASLInitialResponse("SCRAM-SHA-256", b"n,,"),
            "SASLInitialResponse mechanism='SCRAM-SHA-256' data=<hidden>",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_a_message_is_a_line(message: BackendMessage | FrontendMessage, line: str) -> None:
    assert describe(message) == line


def test_a_frame_is_a_line_with_its_sender() -> None:
    assert describe_frame(Direction.FRONTEND, ord("S"), b"") == "F Sync"
    assert describe_frame(Direction.BACKEND, ord("Z"), b"T") == "B ReadyForQuery status=IN_TRANSACTION"
    assert describe_frame(Direction.FRONTEND, 0, b"\x04\xd2\x16\x2f") == "F SSLRequest"


def test_a_malformed_frame_is_a_line_without_its_bytes() -> None:
    line = describe_frame(Direction.BACKEND, ord("K"), SECRET.encode() * 40)
    assert line == ("B malformed message of 320 bytes (BackendKeyData: secret key of 316 bytes, 4 to 256 are possible)")
    line = describe_frame(Direction.FRONTEND, 0xFF, SECRET.encode())
    assert line == "F malformed message of 8 bytes (unknown message type 0xff from the frontend)"


SECRETIVE = [
    PasswordMessage(SECRET),
    SASLInitialResponse("SCRAM-SHA-256", SECRET.encode()),
    SASLResponse(SECRET.encode()),
    GSSResponse(SECRET.encode()),
    AuthenticationMD5Password(SECRET.encode()[:4]),
    AuthenticationGSSContinue(SECRET.encode()),
    AuthenticationSASLContinue(SECRET.encode()),
    AuthenticationSASLFinal(SECRET.encode()),
    BackendKeyData(1, SECRET.encode()),
    CancelRequest(1, SECRET.encode()),
]


@pytest.mark.parametrize("message", SECRETIVE, ids=lambda message: type(message).__name__)
def test_no_secret_is_shown(message: BackendMessage | FrontendMessage) -> None:
    frame = message.encode()
    direction = Direction.FRONTEND if message.TAG in (b"p", b"") else Direction.BACKEND
    tag, body = (frame[0], frame[5:]) if message.TAG else (0, frame[4:])
    for text in (
        repr(message),
        describe(message),
        describe_frame(direction, tag, body),
        describe_frame(direction, tag, body[:-1]),
        describe_frame(direction, tag, body * 40),
    ):
        assert SECRET[:4] not in text
        assert SECRET.encode().hex()[:8] not in text


@given(st.one_of(startup_requests(), authentication_responses(), frontend_messages(), backend_messages()))
def test_any_message_is_one_printable_line(message: BackendMessage | FrontendMessage) -> None:
    line = describe(message)
    assert line.isprintable()
    assert line.startswith(type(message).__name__)


@given(st.sampled_from(Direction), st.integers(0, 255), st.binary(max_size=100))
def test_any_frame_is_one_printable_line(direction: Direction, tag: int, body: bytes) -> None:
    line = describe_frame(direction, tag, body)
    assert line.isprintable()
    assert line.startswith(direction.value)


@pytest.mark.parametrize("row", STARTUP + FRONTEND + BACKEND, ids=str)
def test_a_known_frame_is_shown_under_its_name(row: Row) -> None:
    direction = Direction.BACKEND if row in BACKEND else Direction.FRONTEND
    name = "AuthenticationResponse" if row.frame.startswith(b"p") else type(row.message).__name__
    assert describe_frame(direction, row.tag, row.body).split()[1] == name
