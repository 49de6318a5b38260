"""Servers that lie, repeat themselves or never come to an end, up to the first ReadyForQuery, in bytes."""

import base64
import hashlib
import struct
from collections.abc import Callable

import pytest

from pgsansio.authentication.scram import ScramSecret, ScramServer
from pgsansio.engine.encryption import EncryptionExchange
from pgsansio.engine.startup import MAX_START_UP_BYTES, StartupMachine
from pgsansio.engine.states import Startup
from pgsansio.enums import Outcome
from pgsansio.errors import (
    InterfaceError,
    InternalClientError,
    PostgresError,
    ProtocolError,
    UnknownPostgresError,
)
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    SASLInitialResponse,
)
from pgsansio.messages.backend import NoticeResponse, ParameterStatus
from pgsansio.messages.message import Message
from pgsansio.messages.startup import PROTOCOL_3_0, PROTOCOL_3_2, BackendKeyData, NegotiateProtocolVersion
from pgsansio.messages.tags import BACKEND_STARTUP_LIMITS
from pgsansio.testing.script import error, notice, ready
from pgsansio.types import TlsInfo
from pgsansio.wire.framing import ReceiveBuffer

OK = AuthenticationOk()
SCRAM = AuthenticationSASL(("SCRAM-SHA-256",))
SECRET = ScramSecret.from_password("secret", b"0123456789abcdef", 2)
KEY = BackendKeyData(1, b"key!")
CLEAR = AuthenticationCleartextPassword()
DOCUMENTED = (ProtocolError, InterfaceError, InternalClientError, PostgresError)


def machine(*, version: int = PROTOCOL_3_0, has_token: bool = False) -> StartupMachine:
    tls = TlsInfo("TLSv1.3", "cipher", None, None)
    return StartupMachine(
        ReceiveBuffer(),
        [("user", "u")],
        user="u",
        password="secret",
        nonce="clientnonce",
        protocol_version=version,
        tls=tls,
        has_token=has_token,
    )


def say(startup: StartupMachine, *messages: Message | bytes) -> None:
    for message in messages:
        data = message if isinstance(message, bytes) else message.encode()
        view = memoryview(data)
        while view and not startup.operation.settled:
            view = view[startup.buffer.feed(view) :]
            startup.process()


def broken(startup: StartupMachine, match: str) -> None:
    """It ended by the server's fault, and the error says so; nothing more is sent or computed."""
    failure = startup.operation.error
    assert isinstance(failure, ProtocolError)
    assert match in str(failure)
    assert startup.state is Startup.FAILED
    assert startup.operation.outcome is Outcome.FAILED
    assert startup.work is None
    assert not startup.token_due


def at_start() -> StartupMachine:
    return machine()


def password_sent() -> StartupMachine:
    startup = machine()
    say(startup, CLEAR)
    return startup


def sasl_begun() -> StartupMachine:
    startup = machine()
    say(startup, SCRAM)
    return startup


def challenged() -> tuple[StartupMachine, ScramServer]:
    startup = machine()
    startup.outbox.clear()
    server = ScramServer(SECRET, "servernonce")
    say(startup, SCRAM)
    first = SASLInitialResponse.decode(startup.outbox[0][5:])
    say(startup, AuthenticationSASLContinue(server.client_first(first.data or b"")))
    return startup, server


def work_due() -> StartupMachine:
    return challenged()[0]


def proof_sent() -> StartupMachine:
    startup, _ = challenged()
    assert startup.work is not None
    startup.work_done(startup.work())
    return startup


def verified() -> StartupMachine:
    startup, server = challenged()
    assert startup.work is not None
    startup.work_done(startup.work())
    say(startup, AuthenticationSASLFinal(server.client_final(startup.outbox[-1][5:])))
    return startup


def token_due() -> StartupMachine:
    startup = machine(has_token=True)
    say(startup, AuthenticationSASL(("OAUTHBEARER",)))
    return startup


def token_sent() -> StartupMachine:
    startup = token_due()
    startup.token_given("abc")
    return startup


def token_refused() -> StartupMachine:
    startup = token_sent()
    say(startup, AuthenticationSASLContinue(b'{"status": "x"}'))
    return startup


def let_in() -> StartupMachine:
    startup = machine()
    say(startup, OK)
    return startup


STATES = [
    at_start, password_sent, sasl_begun, work_due, proof_sent, verified, token_due, token_sent, token_refused, let_in,
]  # fmt: skip
every_state = pytest.mark.parametrize("begin", STATES, ids=lambda begin: begin.__name__)


@every_state
def test_no_body_is_waited_for_that_would_be_too_long(begin: Callable[[], StartupMachine]) -> None:
    """Five bytes are enough to be refused by: libpq's bounds, 2000 bytes for R and v, and 30000 for all else."""
    for tag in range(256):
        limit = BACKEND_STARTUP_LIMITS.get(tag)
        assert limit is None or limit <= (1996 if tag in b"Rv" else 29996)
        for length in (0, 3, 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF, 4 if limit is None else limit + 5):
            startup = begin()
            say(startup, bytes([tag]) + struct.pack("!I", length))
            broken(startup, "no answer to a start-up message")


@every_state
def test_what_is_not_the_start_ups_is_refused(begin: Callable[[], StartupMachine]) -> None:
    for tag in b"123ACDGHITVWcdnst":
        startup = begin()
        say(startup, bytes([tag]) + b"\0\0\0\4")
        broken(startup, "no answer to a start-up message")


@every_state
def test_notices_come_to_an_end(begin: Callable[[], StartupMachine]) -> None:
    startup = begin()
    say(startup, *[notice()] * 1000)
    broken(startup, "too many notices")
    startup = begin()
    say(startup, *[NoticeResponse({"M": "x" * 29_000})] * 40)
    broken(startup, "and the session is not ready")
    assert sum(len(str(event)) for event in startup.events) <= 2 * MAX_START_UP_BYTES


@pytest.mark.parametrize(
    "message",
    [ParameterStatus("a", "b"), ParameterStatus("a", "b" * 29_000), KEY],
    ids=["small", "large", "keys"],
)
def test_what_may_be_repeated_comes_to_an_end(message: Message) -> None:
    startup = let_in()
    data = message.encode()
    say(startup, data * (MAX_START_UP_BYTES // len(data) + 1))
    broken(startup, "and the session is not ready")
    assert len(startup.parameters) <= 1


@every_state
@pytest.mark.parametrize(
    "message",
    [OK, CLEAR, AuthenticationMD5Password(b"salt"), SCRAM, AuthenticationSASLContinue(b"x"),
     AuthenticationSASLFinal(b"v=AAAA"), NegotiateProtocolVersion(PROTOCOL_3_0), KEY, ParameterStatus("a", "b"),
     ready()],
    ids=lambda message: type(message).__name__,
)  # fmt: skip
def test_nothing_can_be_repeated_for_ever(begin: Callable[[], StartupMachine], message: Message) -> None:
    startup = begin()
    data = message.encode()
    say(startup, data * (MAX_START_UP_BYTES // len(data) + 2))
    assert startup.operation.settled
    if startup.operation.error is None:
        assert isinstance(message, type(ready()))  # let in, and ready
    else:
        assert isinstance(startup.operation.error, DOCUMENTED)
        assert not isinstance(startup.operation.error, PostgresError)


def test_let_in_twice() -> None:
    startup = machine()
    say(startup, OK, OK)
    broken(startup, "unexpected AuthenticationOk")


@pytest.mark.parametrize("begin", [sasl_begun, work_due, proof_sent, token_due], ids=lambda begin: begin.__name__)
def test_let_in_in_the_middle_of_an_exchange(begin: Callable[[], StartupMachine]) -> None:
    startup = begin()
    say(startup, OK, ready())
    broken(startup, "unexpected AuthenticationOk")
    assert not startup.authenticated


# Keys and versions


@pytest.mark.parametrize("size", [0, 1, 3, 5, 32, 256, 257, 20_000])
@pytest.mark.parametrize("version", [PROTOCOL_3_0, PROTOCOL_3_2])
def test_keys(size: int, version: int) -> None:
    """4 bytes in 3.0, 4 to 256 since 3.2, as libpq has it; and what was negotiated counts, not what was asked for."""
    for negotiated in (False, True):
        startup = machine(version=version)
        say(startup, *([NegotiateProtocolVersion(PROTOCOL_3_0)] if negotiated else []), OK)
        say(startup, b"K" + struct.pack("!Ii", 8 + size, 1) + bytes(size))
        if startup.operation.settled:
            broken(startup, "secret key")
        assert startup.operation.settled == (negotiated or version == PROTOCOL_3_0 or not 4 <= size <= 256)


def test_a_key_that_comes_twice() -> None:
    """The last one counts, as in libpq: who sends none that is right, loses the cancelling only."""
    startup = let_in()
    say(startup, KEY, BackendKeyData(2, b"2222"), ready())
    assert startup.operation.outcome is Outcome.COMPLETED
    assert (startup.process_id, startup.secret_key) == (2, b"2222")


def test_a_key_before_anybody_is_let_in() -> None:
    startup = machine()
    say(startup, KEY)
    broken(startup, "unexpected BackendKeyData")


@pytest.mark.parametrize("begin", [at_start, let_in], ids=lambda begin: begin.__name__)
@pytest.mark.parametrize(
    ("data", "match"),
    [
        (NegotiateProtocolVersion(3 << 16 | 1).encode(), "3.1, which was not asked for"),
        (NegotiateProtocolVersion(PROTOCOL_3_2).encode(), "3.2, which was not asked for"),
        (NegotiateProtocolVersion(3 << 16 | 9999).encode(), "3.9999, which was not asked for"),
        (NegotiateProtocolVersion(2).encode(), "0.2, which was not asked for"),
        (NegotiateProtocolVersion(PROTOCOL_3_0).encode() * 2, "duplicate"),
        (b"v\0\0\0\x0c\0\3\0\0\0\0\0\1", "option"),
        (b"v\0\0\0\x0c\0\3\0\0\xff\xff\xff\xff", "count of options is -1"),
        (b"v\0\0\0\x0c\0\3\0\0\x7f\xff\xff\xff", "option"),
        (b"v\0\0\0\x0e\0\3\0\0\0\0\0\0a\0", "surplus"),
        (b"v\0\0\0\x08\0\3\0\0", "count of options"),
    ],
)  # fmt: skip
def test_negotiations_that_are_none(begin: Callable[[], StartupMachine], data: bytes, match: str) -> None:
    startup = begin()
    say(startup, data)
    broken(startup, match)


# The last message, and errors


@pytest.mark.parametrize("status", [b"T", b"E", b"X", b"\0", b"", b"II"])
def test_ready_for_what(status: bytes) -> None:
    startup = let_in()
    say(startup, b"Z" + struct.pack("!I", 4 + len(status)) + status)
    broken(startup, "")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\0", UnknownPostgresError),
        (b"Mno code\0\0", UnknownPostgresError),
        (b"C\0M\0\0", UnknownPostgresError),
        (b"CZZZZZ\0Mx\0\0", UnknownPostgresError),
        (b"C28000\0M\xff\xfe\0\0", PostgresError),
        (b"C28P01\0?\x01\x02\0\0", PostgresError),
        (b"C28000\0", ProtocolError),
        (b"C28000", ProtocolError),
        (b"", ProtocolError),
        (b"\0\0", ProtocolError),
    ],
)
@pytest.mark.parametrize("begin", [at_start, proof_sent, let_in], ids=lambda begin: begin.__name__)
def test_errors_with_too_little_in_them(
    begin: Callable[[], StartupMachine], body: bytes, expected: type[Exception]
) -> None:
    startup = begin()
    say(startup, b"E" + struct.pack("!I", 4 + len(body)) + body)
    failure = startup.operation.error
    assert isinstance(failure, expected)
    assert isinstance(failure, PostgresError | InternalClientError)
    assert failure.connection_usable is False
    str(failure)


def test_an_error_is_the_end_at_once() -> None:
    """Be it no FATAL, and be nothing behind it: nobody waits for the end of the connection."""
    for severity in ("ERROR", "FATAL", "PANIC", "NOTICE", "?"):
        for begin in STATES:
            startup = begin()
            say(startup, error("57P03", "starting up", severity))
            assert isinstance(startup.operation.error, PostgresError)


# SCRAM


def challenge(text: bytes) -> StartupMachine:
    startup = machine()
    say(startup, SCRAM, AuthenticationSASLContinue(text))
    return startup


SALT = b"s=MDEyMzQ1Njc4OWFiY2RlZg=="


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xff", b",,,", b"r=clientnonce", b"r=clientnonce,s=,i=2", b"r=clientnonce," + SALT + b",i=2",
        b"r=clientnonceX," + SALT, b"r=clientnonceX," + SALT + b",i=", b"r=clientnonceX," + SALT + b",i=0",
        b"r=clientnonceX," + SALT + b",i=-1", b"r=clientnonceX," + SALT + b",i=1e3",
        b"r=clientnonceX," + SALT + b",i=\xd9\xa1", b"r=clientnonceX,s=?,i=2", b"r=clientnonceX,s=A,i=2",
        b"r=servernonce," + SALT + b",i=2", b"r=Clientnoncex," + SALT + b",i=2", b"r=xclientnonce," + SALT + b",i=2",
        b"m=x,r=clientnonceX," + SALT + b",i=2", SALT + b",r=clientnonceX,i=2", b"r=clientnonceX\0," + SALT + b",i=2",
        b"e=other-error", b"v=AAAA", b"r=clientnonce\xc3\xa9," + SALT + b",i=2",
    ],
)  # fmt: skip
def test_challenges_that_are_none(text: bytes) -> None:
    startup = challenge(text)
    broken(startup, "SCRAM server-first-message")
    assert not any(b"p=" in data for data in startup.outbox)


@pytest.mark.parametrize("count", [b"1000001", b"2147483647", b"2147483648", b"4294967296", b"9" * 1500])
def test_nobody_computes_for_hours(count: bytes) -> None:
    startup = challenge(b"r=clientnonceX," + SALT + b",i=" + count)
    assert isinstance(startup.operation.error, InterfaceError)
    assert "more than 1000000 iterations" in str(startup.operation.error)
    assert startup.work is None


@pytest.mark.parametrize(
    "text", [b"", b"v=", b"v=?", b"v=AAAA", b"x=1", b"e=", b"e=invalid-proof", b"e=pay here: example.org", b"\xff"]
)
def test_proofs_that_are_none(text: bytes) -> None:
    startup = proof_sent()
    say(startup, AuthenticationSASLFinal(text), OK, ready())
    failure = startup.operation.error
    assert isinstance(failure, DOCUMENTED)
    assert not startup.authenticated
    assert "example.org" not in str(failure)


def test_the_proof_of_another_exchange() -> None:
    other = hashlib.sha256(b"other").digest()
    startup = proof_sent()
    say(startup, AuthenticationSASLFinal(b"v=" + base64.b64encode(other)), OK)
    assert isinstance(startup.operation.error, InterfaceError)
    assert not startup.authenticated


# Before it


@pytest.mark.parametrize(
    "greeting",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example ESMTP\r\n", b"-ERR\r\n",
        b"J\0\0\0\x0a8.0.36\0", b"\x15\x03\x01\0\2\2\x28", b"\x16\x03\x01\0\5hello", b"R\0\0\0\x08\0\0\0\0",
        b"N\0\0\0\5\0", b"SS", b"NN", b"S\0", b"\0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("piecewise", [False, True])
def test_other_servers_that_are_asked_for_tls(greeting: bytes, piecewise: bool) -> None:
    """Each byte after the answer is one too many, be it in the same piece or in the next one."""
    exchange = EncryptionExchange()
    for piece in [greeting[at : at + 1] for at in range(len(greeting))] if piecewise else [greeting]:
        room = exchange.get_buffer()
        room[: len(piece)] = piece
        exchange.bytes_received(len(piece))
    with pytest.raises(ProtocolError) as caught:
        exchange.check()
    assert caught.value.connection_usable is False


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example ESMTP\r\n"]
)
def test_other_servers_that_are_asked_for_nothing(greeting: bytes) -> None:
    startup = machine()
    say(startup, greeting)
    broken(startup, "no answer to a start-up message")
