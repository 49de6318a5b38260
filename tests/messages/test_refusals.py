"""Shapes that servers, poolers and attackers send, and what may not be sent: each a row of its own."""

import pytest

from pgsansio.enums import Format, TransactionStatus
from pgsansio.errors import InterfaceError, ProtocolError
from pgsansio.messages.authentication import (
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    PasswordMessage,
    SASLInitialResponse,
    decode_authentication,
)
from pgsansio.messages.backend import (
    DataRow,
    ErrorResponse,
    FunctionCallResponse,
    NoticeResponse,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.copy import CopyBothResponse, CopyFail, CopyInResponse, CopyOutResponse
from pgsansio.messages.frontend import Bind, Close, Describe, Execute, FunctionCall, Parse, Query, Target
from pgsansio.messages.message import Message
from pgsansio.messages.startup import (
    MAX_STARTUP_BODY_BYTES,
    BackendKeyData,
    CancelRequest,
    GSSENCRequest,
    NegotiateProtocolVersion,
    SSLRequest,
    StartupMessage,
    decode_startup,
)

TEXT, BINARY = Format.TEXT, Format.BINARY
CANCEL_CODE = b"\x04\xd2\x16\x2e"


# cancel keys


@pytest.mark.parametrize("size", [4, 5, 32, 256])
def test_a_cancel_key_has_4_to_256_bytes(size: int) -> None:
    key = bytes(range(256))[:size]
    assert BackendKeyData.decode(b"\0\0\0\x07" + key) == BackendKeyData(7, key)
    assert CancelRequest.decode(CANCEL_CODE + b"\0\0\0\x07" + key) == CancelRequest(7, key)
    assert BackendKeyData(7, key).encode()[5:] == b"\0\0\0\x07" + key
    assert CancelRequest(7, key).encode()[4:] == CANCEL_CODE + b"\0\0\0\x07" + key


@pytest.mark.parametrize("size", [0, 3, 257])
def test_a_cancel_key_of_another_length_is_refused(size: int) -> None:
    text = f"secret key of {size} bytes, 4 to 256 are possible"
    with pytest.raises(ProtocolError, match=text):
        BackendKeyData.decode(b"\0\0\0\x07" + bytes(size))
    with pytest.raises(ProtocolError, match=text):
        CancelRequest.decode(CANCEL_CODE + b"\0\0\0\x07" + bytes(size))
    with pytest.raises(InterfaceError, match=text):
        BackendKeyData(7, bytes(size)).encode()
    with pytest.raises(InterfaceError, match=text):
        CancelRequest(7, bytes(size)).encode()


# start-up


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ((("application_name", "x\0user\0admin"),), "parameter 'application_name'"),
        ((("user\0", "x"),), "parameter name"),
        ((("options", "\0"),), "parameter 'options'"),
    ],
)
def test_no_value_can_add_a_startup_parameter(parameters: tuple[tuple[str, str], ...], field: str) -> None:
    with pytest.raises(InterfaceError) as caught:
        StartupMessage(parameters).encode()
    assert str(caught.value) == f"StartupMessage: {field} contains a zero byte"


def test_an_empty_parameter_name_would_end_the_startup_message() -> None:
    with pytest.raises(InterfaceError, match="a parameter has no name"):
        StartupMessage((("", "x"),)).encode()


def test_a_startup_message_is_no_longer_than_servers_accept() -> None:
    overhead = 4 + len(b"user\0\0\0")
    longest = StartupMessage((("user", "x" * (MAX_STARTUP_BODY_BYTES - overhead)),))
    assert StartupMessage.decode(longest.encode()[4:]) == longest
    with pytest.raises(InterfaceError, match="10001 bytes, at most 10000"):
        StartupMessage((("user", "x" * (MAX_STARTUP_BODY_BYTES - overhead + 1)),)).encode()
    with pytest.raises(ProtocolError, match="10001 bytes, at most 10000"):
        StartupMessage.decode(b"\0\x03\0\0" + bytes(9997))


@pytest.mark.parametrize("version", [0, 2 << 16, 4 << 16, 1234 << 16 | 5677])
def test_only_major_version_3_is_known(version: int) -> None:
    text = f"protocol version {version >> 16}.{version & 0xFFFF}, only 3 is known"
    with pytest.raises(ProtocolError, match=text):
        decode_startup(version.to_bytes(4, "big") + b"\0")
    with pytest.raises(InterfaceError, match=text):
        StartupMessage((), version).encode()


def test_grease_of_newer_clients_is_understood() -> None:
    """libpq 19 asks for 3.9999 and an option that does not exist."""
    body = b"\0\x03\x27\x0fuser\0joe\0_pq_.test_protocol_negotiation\0\0\0"
    assert decode_startup(body) == StartupMessage(
        (("user", "joe"), ("_pq_.test_protocol_negotiation", "")), 3 << 16 | 9999
    )


@pytest.mark.parametrize("message", [SSLRequest, GSSENCRequest, CancelRequest])
def test_a_request_code_is_exact(message: type[Message]) -> None:
    with pytest.raises(ProtocolError, match="request code is 196608, not 808771"):
        message.decode(b"\0\x03\0\0" + bytes(8))


# NegotiateProtocolVersion


@pytest.mark.parametrize(
    "rest",
    [
        b"\xff\xff\xff\xff",
        b"\x80\0\0\0",
        b"\0\0\0\x01",
        b"\0\0\0\x02_pq_.a\0",
        b"\x7f\xff\xff\xff_pq_.a\0",
        b"\0\0\0\0_pq_.a\0",
        b"\0\0\0\x01_pq_.a\0_pq_.b\0",
        b"\0\0\0\x01_pq_.a",
    ],
)
def test_negotiated_options_are_as_many_as_announced(rest: bytes) -> None:
    with pytest.raises(ProtocolError, match="NegotiateProtocolVersion"):
        NegotiateProtocolVersion.decode(b"\0\x03\0\0" + rest)


# errors and notices


@pytest.mark.parametrize("message", [ErrorResponse, NoticeResponse])
def test_an_error_needs_no_particular_field(message: type[ErrorResponse] | type[NoticeResponse]) -> None:
    assert message.decode(b"Mno code\0\0").fields == {"M": "no code"}
    assert message.decode(b"\0").fields == {}


@pytest.mark.parametrize("message", [ErrorResponse, NoticeResponse])
def test_unknown_error_fields_are_kept(message: type[ErrorResponse] | type[NoticeResponse]) -> None:
    assert message.decode(b"C42601\0!x\0\xffy\0\0").fields == {"C": "42601", "!": "x", "\xff": "y"}
    assert message({"!": "x", "\xff": "y"}).encode()[5:] == b"!x\0\xffy\0\0"


@pytest.mark.parametrize("message", [ErrorResponse, NoticeResponse])
@pytest.mark.parametrize("body", [b"", b"SERROR", b"SERROR\0", b"SERROR\0C", b"SERROR\0\0x"])
def test_an_error_ends_with_its_terminator(message: type[Message], body: bytes) -> None:
    with pytest.raises(ProtocolError, match=message.__name__):
        message.decode(body)


def test_an_error_that_is_not_utf8_is_still_an_error() -> None:
    assert ErrorResponse.decode(b"SFATAL\0M\xe9t\xe9\0\0").fields == {"S": "FATAL", "M": "\ufffdt\ufffd"}


def test_of_a_repeated_error_field_the_last_counts() -> None:
    assert ErrorResponse.decode(b"Ma\0Mb\0\0").fields == {"M": "b"}


@pytest.mark.parametrize("code", ["", "\0", "MM", "€"])
def test_an_error_field_code_is_one_byte(code: str) -> None:
    with pytest.raises(InterfaceError, match="is not one byte"):
        ErrorResponse({code: "x"}).encode()


def test_an_error_field_holds_no_zero_byte() -> None:
    with pytest.raises(InterfaceError, match=r"^ErrorResponse: field M contains a zero byte$"):
        ErrorResponse({"M": "a\0b"}).encode()


# text that is not UTF-8


def test_stored_bytes_that_are_not_utf8_come_back_as_they_were() -> None:
    """A database with the encoding SQL_ASCII sends what it has."""
    body = b"\0\0\0\x01caf\xe9\0\xff\0"
    message = NotificationResponse.decode(body)
    assert message == NotificationResponse(1, "caf\udce9", "\udcff")
    assert message.encode()[5:] == body


# counts


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (Parse("", "", (23,) * 65535), b"\0\0\xff\xff"),
        (Bind("", "", (BINARY,), (b"",) * 65535), b"\0\0\0\x01\0\x01\xff\xff"),
        (Bind("", "", (), (), (BINARY,) * 65535), b"\0\0\0\0\0\0\xff\xff"),
        (Bind("", "", (BINARY,) * 65535, (None,) * 65535), b"\0\0\xff\xff"),
        (FunctionCall(1, (), (b"",) * 65535), b"\0\0\0\x01\0\0\xff\xff"),
        (DataRow((None,) * 65535), b"\xff\xff"),
        (ParameterDescription((23,) * 65535), b"\xff\xff"),
        (CopyInResponse(BINARY, (BINARY,) * 65535), b"\x01\xff\xff"),
    ],
)
def test_counts_are_unsigned(message: Message, count: bytes) -> None:
    body = message.encode()[5:]
    assert body.startswith(count)
    assert type(message).decode(body) == message


@pytest.mark.parametrize(
    "message",
    [
        Parse("", "", (23,) * 65536),
        Bind("", "", (BINARY,), (b"",) * 65536),
        Bind("", "", (), (), (BINARY,) * 65536),
        FunctionCall(1, (), (b"",) * 65536),
        DataRow((None,) * 65536),
        ParameterDescription((23,) * 65536),
        CopyOutResponse(BINARY, (BINARY,) * 65536),
    ],
)
def test_a_count_that_would_wrap_is_refused(message: Message) -> None:
    with pytest.raises(InterfaceError, match=r"65536 \w+( \w+)?s, at most 65535 are possible$"):
        message.encode()


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (DataRow, b"\0\x02\xff\xff\xff\xff"),
        (DataRow, b"\0\0\xff\xff\xff\xff"),
        (DataRow, b"\xff\xff"),
        (DataRow, b"\0\x01\xff\xff\xff\xfe"),
        (DataRow, b"\0\x01\x7f\xff\xff\xffabc"),
        (RowDescription, b"\0\x02" + b"a\0" + bytes(18)),
        (RowDescription, b"\0\0" + b"a\0" + bytes(18)),
        (RowDescription, b"\0\x01" + b"a\0" + bytes(17) + b"\x02"),
        (ParameterDescription, b"\0\x02\0\0\0\x17"),
        (ParameterDescription, b"\0\0\0\0\0\x17"),
        (ParameterDescription, b"\xff\xff\0\0\0\x17"),
        (Parse, b"\0\0\0\x02\0\0\0\x17"),
        (Parse, b"\0\0\0\0\0\0\0\x17"),
        (Bind, b"\0\0" + b"\0\x02\0\x01" + b"\0\0" + b"\0\0"),
        (Bind, b"\0\0" + b"\0\0" + b"\0\x02\xff\xff\xff\xff" + b"\0\0"),
        (FunctionCallResponse, b"\xff\xff\xff\xfe"),
        (CopyInResponse, b"\x01\0\x02\0\x01"),
        (CopyBothResponse, b"\x01\0\0\0\x01"),
        (SASLInitialResponse, b"SCRAM-SHA-256\0\0\0\0\x05abc"),
        (SASLInitialResponse, b"SCRAM-SHA-256\0\xff\xff\xff\xfe"),
    ],
)
def test_a_count_or_length_that_is_wrong_is_refused(message: type[Message], body: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"^{message.__name__}: "):
        message.decode(body)


@pytest.mark.parametrize("formats", [(BINARY,) * 2, (BINARY,) * 4])
def test_format_codes_are_none_one_or_one_for_each(formats: tuple[Format, ...]) -> None:
    codes = len(formats).to_bytes(2, "big") + b"\0\x01" * len(formats)
    values = b"\0\x03" + b"\xff\xff\xff\xff" * 3
    text = f"{len(formats)} formats for 3 values"
    with pytest.raises(ProtocolError, match=f"^Bind: {text}$"):
        Bind.decode(b"\0\0" + codes + values + b"\0\0")
    with pytest.raises(ProtocolError, match=f"^FunctionCall: {text}$"):
        FunctionCall.decode(b"\0\0\0\x01" + codes + values + b"\0\0")
    with pytest.raises(InterfaceError, match=f"^Bind: {text}$"):
        Bind("", "", formats, (None,) * 3).encode()
    with pytest.raises(InterfaceError, match=f"^FunctionCall: {text}$"):
        FunctionCall(1, formats, (None,) * 3).encode()


# codes


@pytest.mark.parametrize("code", set(range(256)) - set(b"ITE"))
def test_a_transaction_status_is_one_of_three(code: int) -> None:
    with pytest.raises(ProtocolError, match=rf"^ReadyForQuery: status is {code},"):
        ReadyForQuery.decode(bytes([code]))


@pytest.mark.parametrize("message", [Describe, Close])
def test_a_target_is_a_statement_or_a_portal(message: type[Message]) -> None:
    for code in set(range(256)) - set(b"SP"):
        with pytest.raises(ProtocolError, match=rf"^{message.__name__}: target is {code},"):
            message.decode(bytes([code]) + b"x\0")


@pytest.mark.parametrize("message", [CopyInResponse, CopyOutResponse, CopyBothResponse])
def test_a_copy_has_a_format(message: type[CopyInResponse] | type[CopyOutResponse] | type[CopyBothResponse]) -> None:
    with pytest.raises(ProtocolError, match="format is 2, neither"):
        message.decode(b"\x02\0\0")
    with pytest.raises(ProtocolError, match="column format is 2, neither"):
        message.decode(b"\x01\0\x01\0\x02")
    with pytest.raises(ProtocolError, match="a binary column in a textual COPY"):
        message.decode(b"\0\0\x02\0\0\0\x01")
    with pytest.raises(InterfaceError, match="a binary column in a textual COPY"):
        message(TEXT, (TEXT, BINARY)).encode()


@pytest.mark.parametrize("method", [1, 4, 6, 13, -1, 2**31 - 1])
def test_unknown_authentication_methods_are_refused(method: int) -> None:
    with pytest.raises(ProtocolError, match=f"^Authentication: method {method} is unknown$"):
        decode_authentication(method.to_bytes(4, "big", signed=True))


def test_an_authentication_class_takes_only_its_own_method() -> None:
    with pytest.raises(ProtocolError, match=r"^AuthenticationOk: method is 3, not 0$"):
        AuthenticationOk.decode(b"\0\0\0\x03")


# what cannot be sent


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Query("a\0b"), "Query: query contains a zero byte"),
        (Parse("a\0b", ""), "Parse: statement contains a zero byte"),
        (Parse("", "a\0b"), "Parse: query contains a zero byte"),
        (Bind("a\0b", ""), "Bind: portal contains a zero byte"),
        (Bind("", "a\0b"), "Bind: statement contains a zero byte"),
        (Describe(Target.PORTAL, "a\0b"), "Describe: name contains a zero byte"),
        (Execute("a\0b"), "Execute: portal contains a zero byte"),
        (CopyFail("a\0b"), "CopyFail: message contains a zero byte"),
        (PasswordMessage("hush\0"), "PasswordMessage: password contains a zero byte"),
        (SASLInitialResponse("a\0b", None), "SASLInitialResponse: mechanism contains a zero byte"),
        (AuthenticationSASL(("a", "b\0")), "AuthenticationSASL: mechanism contains a zero byte"),
        (AuthenticationSASL(("a", "")), "AuthenticationSASL: a mechanism has no name"),
        (AuthenticationMD5Password(b"abcde"), "AuthenticationMD5Password: salt of 5 bytes, not 4"),
        (ParameterStatus("a", "b\0"), "ParameterStatus: value contains a zero byte"),
        (Execute("", 2**31), "Execute: max_rows 2147483648 does not fit into 4 bytes"),
        (Parse("", "", (-1,)), "Parse: parameter oid -1 does not fit into 4 bytes"),
        (CopyFail("x" * 9996), "CopyFail: 9997 bytes, at most 9996 are possible"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_sent_is_refused(message: Message, text: str) -> None:
    with pytest.raises(InterfaceError) as caught:
        message.encode()
    assert str(caught.value) == text


def test_the_longest_copy_failure_is_sent() -> None:
    assert len(CopyFail("x" * 9995).encode()) == 5 + 9996


def test_every_transaction_status_has_its_byte() -> None:
    assert {status: ReadyForQuery(status).encode()[5:] for status in TransactionStatus} == {
        TransactionStatus.IDLE: b"I",
        TransactionStatus.IN_TRANSACTION: b"T",
        TransactionStatus.FAILED: b"E",
    }
