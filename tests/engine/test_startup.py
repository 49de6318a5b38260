"""From StartupMessage to the first ReadyForQuery, in bytes, and what a server may not do there."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.authentication import md5
from pgsansio.authentication.scram import SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSecret, ScramServer
from pgsansio.engine import startup as startup_module
from pgsansio.engine.events import NoticeReceived, ParameterChanged
from pgsansio.engine.queue import Condition
from pgsansio.engine.reports import MAX_PARAMETERS
from pgsansio.engine.startup import MAX_NOTICES, StartupMachine
from pgsansio.engine.states import Startup
from pgsansio.enums import Outcome
from pgsansio.errors import (
    ClientConfigurationError,
    ConnectionDoesNotExistError,
    InterfaceError,
    InternalClientError,
    InvalidAuthorizationSpecificationError,
    InvalidPasswordError,
    PostgresError,
    ProtocolError,
    TooManyConnectionsError,
)
from pgsansio.frontend import Frontend
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationKerberosV5,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    PasswordMessage,
    SASLInitialResponse,
)
from pgsansio.messages.backend import ParameterStatus
from pgsansio.messages.message import Message
from pgsansio.messages.startup import (
    PROTOCOL_3_0,
    PROTOCOL_3_2,
    BackendKeyData,
    NegotiateProtocolVersion,
    StartupMessage,
)
from pgsansio.policy.authentication_rules import (
    ALL_METHODS,
    ANY_AUTHENTICATION,
    AuthenticationMethod,
    AuthenticationRules,
    ChannelBinding,
)
from pgsansio.testing.faults import cut
from pgsansio.testing.script import error, notice, ready
from pgsansio.types import Secret, TlsInfo
from pgsansio.wire.framing import ReceiveBuffer
from tests.support.any_chunking import cuts

OK = AuthenticationOk()
SECRET = ScramSecret.from_password("secret", b"0123456789abcdef", 2)
#: As much of two certificates as is looked at: signed with RSA and SHA-256.
_ALGORITHM = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
CERTIFICATE = b"\x30\x10\x30\x01a" + _ALGORITHM
SAME_HASH = b"\x30\x10\x30\x01b" + _ALGORITHM


def machine(
    *,
    protocol_version: int = PROTOCOL_3_0,
    password: str | None = "secret",
    rules: AuthenticationRules = ANY_AUTHENTICATION,
    tls: TlsInfo | None = None,
    has_token: bool = False,
    is_private: bool = False,
) -> StartupMachine:
    return StartupMachine(
        ReceiveBuffer(),
        [("user", "u")],
        user="u",
        password=password,
        nonce="clientnonce",
        protocol_version=protocol_version,
        rules=rules,
        tls=tls,
        has_token=has_token,
        is_private=is_private,
    )


def say(startup: StartupMachine, *messages: Message | bytes) -> None:
    for message in messages:
        data = message if isinstance(message, bytes) else message.encode()
        view = memoryview(data)
        while view:
            view = view[startup.buffer.feed(view) :]
            startup.process()


def heard(startup: StartupMachine) -> bytes:
    data = b"".join(startup.outbox)
    startup.outbox.clear()
    return data


def refused(startup: StartupMachine, match: str) -> None:
    assert startup.operation.outcome is Outcome.FAILED
    assert isinstance(startup.operation.error, ProtocolError)
    assert match in str(startup.operation.error)


def test_trust_in_bytes() -> None:
    startup = machine()
    assert heard(startup) == b"\0\0\0\x10\0\x03\0\0user\0u\0\0"
    say(startup, b"R\0\0\0\x08\0\0\0\0", b"S\0\0\0\x08a\0b\0", b"K\0\0\0\x0c\0\0\0\x01\1\2\3\4", b"Z\0\0\0\x05I")
    assert startup.operation.outcome is Outcome.COMPLETED
    assert startup.parameters == {"a": "b"}
    assert (startup.process_id, startup.secret_key) == (1, b"\1\2\3\4")
    assert heard(startup) == b""
    assert repr(startup) == "<StartupMachine ready>"


def test_cleartext_and_md5() -> None:
    startup = machine()
    heard(startup)
    say(startup, AuthenticationCleartextPassword())
    assert heard(startup) == PasswordMessage("secret").encode()
    startup = machine()
    heard(startup)
    say(startup, AuthenticationMD5Password(b"salt"))
    assert heard(startup) == PasswordMessage(md5.md5_response("u", "secret", b"salt").decode()).encode()


def test_no_password_is_sent_as_an_empty_one() -> None:
    startup = machine(password=None)
    heard(startup)
    say(startup, AuthenticationCleartextPassword())
    assert heard(startup) == b"p\0\0\0\x05\0"


def test_a_python_without_md5(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*args: object) -> bytes:
        raise ValueError("disabled for FIPS")

    monkeypatch.setattr(startup_module, "md5_response", unavailable)
    startup = machine()
    say(startup, AuthenticationMD5Password(b"salt"))
    assert isinstance(startup.operation.error, InternalClientError)


def begun_scram(startup: StartupMachine | None = None) -> tuple[StartupMachine, ScramServer]:
    startup = machine() if startup is None else startup
    heard(startup)
    server = ScramServer(SECRET, "servernonce")
    say(startup, AuthenticationSASL(("UNKNOWN", "SCRAM-SHA-256")))
    first = SASLInitialResponse.decode(heard(startup)[5:])
    assert first.mechanism == "SCRAM-SHA-256"
    say(startup, AuthenticationSASLContinue(server.client_first(first.data or b"")))
    return startup, server


def test_scram() -> None:
    startup, server = begun_scram()
    assert startup.operation.attention
    assert startup.work is not None
    startup.work_done(startup.work())
    assert startup.work is None
    say(startup, AuthenticationSASLFinal(server.client_final(heard(startup)[5:])), OK, ready())
    assert startup.operation.outcome is Outcome.COMPLETED


def test_ok_without_the_servers_signature_is_refused() -> None:
    for messages in ([AuthenticationSASL(("SCRAM-SHA-256",)), OK],):
        startup = machine()
        say(startup, *messages)
        refused(startup, "AuthenticationOk")
    startup, _ = begun_scram()
    assert startup.work is not None
    startup.work_done(startup.work())
    say(startup, OK)
    refused(startup, "AuthenticationOk")


def test_a_wrong_signature() -> None:
    startup, _ = begun_scram()
    assert startup.work is not None
    startup.work_done(startup.work())
    say(startup, AuthenticationSASLFinal(b"v=" + b"A" * 43 + b"="))
    assert isinstance(startup.operation.error, InterfaceError)


def test_the_server_is_read_while_the_key_is_derived() -> None:
    """It may give up then; and what it sends unasked does not pile up."""
    startup, _ = begun_scram()
    say(startup, error("28P01", "time is up", "FATAL"))
    assert isinstance(startup.operation.error, InvalidPasswordError)
    assert startup.work is None
    startup, _ = begun_scram()
    say(startup, AuthenticationSASLFinal(b"v=AA=="))
    refused(startup, "SCRAM")


def test_no_mechanism_that_is_known() -> None:
    startup = machine()
    say(startup, AuthenticationSASL(("OAUTHBEARER",)))
    assert isinstance(startup.operation.error, InterfaceError)


def test_a_method_that_is_not_known() -> None:
    startup = machine()
    say(startup, AuthenticationKerberosV5())
    assert isinstance(startup.operation.error, InterfaceError)
    assert "KerberosV5" in str(startup.operation.error)


# Channel binding


def tls(certificate: bytes | None = CERTIFICATE) -> TlsInfo:
    return TlsInfo("TLSv1.3", "cipher", certificate, "postgresql")


REQUIRED = AuthenticationRules(channel_binding=ChannelBinding.REQUIRE)
DISABLED = AuthenticationRules(channel_binding=ChannelBinding.DISABLE)
BOTH = AuthenticationSASL((SCRAM_SHA_256, SCRAM_SHA_256_PLUS))
PLAIN = AuthenticationSASL((SCRAM_SHA_256,))


def answered(startup: StartupMachine, offer: AuthenticationSASL) -> SASLInitialResponse:
    heard(startup)
    say(startup, offer)
    return SASLInitialResponse.decode(heard(startup)[5:])


@pytest.mark.parametrize(
    ("startup", "offer", "mechanism", "header"),
    [
        (machine(tls=tls()), BOTH, SCRAM_SHA_256_PLUS, b"p=tls-server-end-point,,"),
        (machine(tls=tls(), rules=REQUIRED), BOTH, SCRAM_SHA_256_PLUS, b"p=tls-server-end-point,,"),
        (machine(tls=tls()), PLAIN, SCRAM_SHA_256, b"y,,"),
        (machine(tls=tls(), rules=DISABLED), BOTH, SCRAM_SHA_256, b"n,,"),
        (machine(tls=tls(), rules=DISABLED), PLAIN, SCRAM_SHA_256, b"n,,"),
        # a certificate without a hash, or none: it is not that the server did not offer it
        (machine(tls=tls(b"?")), BOTH, SCRAM_SHA_256, b"n,,"),
        (machine(tls=tls(None)), PLAIN, SCRAM_SHA_256, b"n,,"),
        (machine(), PLAIN, SCRAM_SHA_256, b"n,,"),
        (machine(rules=DISABLED), BOTH, SCRAM_SHA_256, b"n,,"),
    ],
)
def test_what_is_said_of_channel_binding(
    startup: StartupMachine, offer: AuthenticationSASL, mechanism: str, header: bytes
) -> None:
    first = answered(startup, offer)
    assert first.mechanism == startup.mechanism == mechanism
    assert first.data == header + b"n=,r=clientnonce"


@pytest.mark.parametrize("bound_to", [CERTIFICATE, SAME_HASH])
def test_scram_bound_to_the_certificate(bound_to: bytes) -> None:
    startup = machine(tls=tls(), rules=REQUIRED)
    heard(startup)
    server = ScramServer(
        SECRET, "servernonce", mechanism=SCRAM_SHA_256_PLUS, binding_data=hashlib.sha256(bound_to).digest()
    )
    first = answered(startup, BOTH)
    say(startup, AuthenticationSASLContinue(server.client_first(first.data or b"")))
    assert startup.work is not None
    startup.work_done(startup.work())
    if bound_to is not CERTIFICATE:  # somebody in between has shown a certificate of his own
        with pytest.raises(ProtocolError, match="another channel"):
            server.client_final(heard(startup)[5:])
        return
    say(startup, AuthenticationSASLFinal(server.client_final(heard(startup)[5:])), OK, ready())
    assert startup.operation.outcome is Outcome.COMPLETED


def test_an_offer_that_somebody_has_shortened() -> None:
    """The client says that it could, and a server that did offer it knows what that means."""
    server = ScramServer(SECRET, "servernonce", binding_data=hashlib.sha256(CERTIFICATE).digest())
    first = answered(machine(tls=tls()), PLAIN)
    with pytest.raises(ProtocolError, match="did not see that channel binding was offered"):
        server.client_first(first.data or b"")


def nothing_is_said(startup: StartupMachine, match: str, *messages: Message) -> None:
    """It ends with an InterfaceError, and nothing that it has sent is of any use to the server."""
    heard(startup)
    say(startup, *messages)
    assert isinstance(startup.operation.error, InterfaceError)
    assert match in str(startup.operation.error)
    assert heard(startup) == b""
    assert startup.state is Startup.FAILED
    assert not startup.authenticated


def test_plus_over_a_plain_connection() -> None:
    nothing_is_said(machine(), "taken the encryption away", BOTH)


@pytest.mark.parametrize(
    ("messages", "encrypted", "match"),
    [
        ([OK], True, "the server let us in without it"),
        ([AuthenticationCleartextPassword()], True, "a password in clear text"),
        ([AuthenticationMD5Password(b"salt")], True, "a password hashed with MD5"),
        ([PLAIN], True, "did not offer"),
        ([PLAIN], False, "did not offer"),
        ([BOTH], False, "taken the encryption away"),
        ([AuthenticationSASL(())], True, "did not offer"),
    ],
)
def test_required_channel_binding(messages: list[Message], encrypted: bool, match: str) -> None:
    nothing_is_said(machine(tls=tls() if encrypted else None, rules=REQUIRED), match, *messages)


def test_required_channel_binding_to_a_certificate_without_a_hash() -> None:
    nothing_is_said(machine(tls=tls(b"?"), rules=REQUIRED), "certificate cannot be used", BOTH)


# What a server may ask for


def rules(required: str) -> AuthenticationRules:
    named = frozenset(AuthenticationMethod(word.removeprefix("!")) for word in required.split(","))
    return AuthenticationRules(ALL_METHODS - named if "!" in required else named, require_auth=required)


ASKED: dict[str, Message] = {
    "none": OK,
    "password": AuthenticationCleartextPassword(),
    "md5": AuthenticationMD5Password(b"salt"),
    "scram-sha-256": PLAIN,
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    "required",
    ["none", "password", "md5", "scram-sha-256", "password,md5", "gss,sspi,oauth", "!none", "!password,!md5", "!gss"],
)
def test_required_methods(required: str, asked: str) -> None:
    allowed = (asked not in required) if "!" in required else asked in required.split(",")
    startup = machine(rules=rules(required))
    if not allowed:
        nothing_is_said(startup, f"require_auth={required} is not met: the server", ASKED[asked])
        return
    heard(startup)
    say(startup, ASKED[asked])
    assert startup.operation.error is None
    assert startup.authenticated == (asked == "none")
    assert bool(heard(startup)) == (asked != "none")


def test_an_answered_password_is_authentication() -> None:
    startup = machine(rules=rules("!none"))
    say(startup, AuthenticationCleartextPassword(), OK, ready())
    assert startup.operation.outcome is Outcome.COMPLETED
    startup, server = begun_scram(machine(rules=rules("scram-sha-256")))
    assert startup.work is not None
    startup.work_done(startup.work())
    say(startup, AuthenticationSASLFinal(server.client_final(heard(startup)[5:])), OK, ready())
    assert startup.operation.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("first", ASKED)
@pytest.mark.parametrize("second", ASKED)
def test_two_requests(first: str, second: str) -> None:
    """A server asks once: else it could have the password in clear text after it has been refused the same."""
    if (first, second) in (("password", "none"), ("md5", "none")):
        return  # that is how it ends well
    startup = machine()
    heard(startup)
    say(startup, ASKED[first])
    said = heard(startup)
    say(startup, ASKED[second])
    refused(startup, "unexpected Authentication")
    assert heard(startup) == b""
    assert b"secret" not in said or first == "password"


# Tokens

OAUTH = AuthenticationSASL(("OAUTHBEARER",))


def waiting_for_token(startup: StartupMachine | None = None) -> StartupMachine:
    startup = machine(has_token=True, tls=tls()) if startup is None else startup
    heard(startup)
    say(startup, OAUTH)
    assert startup.token_due
    assert startup.operation.attention
    assert heard(startup) == b""
    return startup


@pytest.mark.parametrize("startup", [machine(has_token=True, tls=tls(None)), machine(has_token=True, is_private=True)])
def test_a_token_in_bytes(startup: StartupMachine) -> None:
    waiting_for_token(startup)
    startup.token_given("abc.def")
    assert not startup.token_due
    assert heard(startup) == b"p\0\0\0\x2dOAUTHBEARER\0\0\0\0\x19n,,\x01auth=Bearer abc.def\x01\x01"
    say(startup, OK, ready())
    assert startup.operation.outcome is Outcome.COMPLETED
    assert startup.mechanism == "OAUTHBEARER"


def test_a_token_that_is_refused() -> None:
    startup = waiting_for_token()
    startup.token_given("abc.def")
    heard(startup)
    say(startup, AuthenticationSASLContinue(b'{"status": "invalid_token", "scope": "db"}'))
    assert not startup.operation.settled
    assert heard(startup) == b"p\0\0\0\x05\x01"
    say(startup, error("28000", "no", "FATAL"))
    assert isinstance(startup.operation.error, InvalidAuthorizationSpecificationError)
    assert startup.operation.error.__notes__ == [
        "the server says of the OAuth token: status 'invalid_token', scope 'db'"
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [AuthenticationSASLContinue(b"?")],
        [AuthenticationSASLContinue(b"{}")],
        [AuthenticationSASLContinue(b'{"status": "x"}'), AuthenticationSASLContinue(b'{"status": "x"}')],
        [AuthenticationSASLContinue(b'{"status": "x"}'), OK],
        [AuthenticationSASLFinal(b"")],
        [AuthenticationCleartextPassword()],
        [OAUTH],
        [OK, OK],
    ],
)
def test_a_server_that_does_not_keep_to_oauth(messages: list[Message]) -> None:
    startup = waiting_for_token()
    startup.token_given("abc.def")
    say(startup, *messages)
    assert isinstance(startup.operation.error, ProtocolError)
    assert b"secret" not in heard(startup)


@pytest.mark.parametrize("messages", [[OK], [OAUTH], [AuthenticationSASLContinue(b"{}")], [ready()]])
def test_a_server_that_does_not_wait_for_the_token(messages: list[Message]) -> None:
    startup = waiting_for_token()
    say(startup, *messages)
    refused(startup, "OAuth token due")
    assert not startup.token_due


def test_a_server_that_gives_up_while_the_token_is_fetched() -> None:
    startup = waiting_for_token()
    say(startup, error("08P01", "time is up", "FATAL"))
    assert startup.operation.outcome is Outcome.FAILED
    assert not startup.token_due


def test_a_token_that_is_none() -> None:
    startup = waiting_for_token()
    with pytest.raises(ClientConfigurationError, match="OAuth token"):
        startup.token_given("a b")
    assert startup.token_due
    assert heard(startup) == b""


@pytest.mark.parametrize(
    ("startup", "match"),
    [
        (machine(tls=tls()), "there is no oauth_token"),
        (machine(has_token=True), "not encrypted"),
        (machine(has_token=True, tls=tls(), rules=REQUIRED), "channel binding is required"),
        (machine(has_token=True, tls=tls(), rules=rules("!oauth")), "require_auth=!oauth is not met"),
        (machine(has_token=True, tls=tls(), rules=rules("scram-sha-256")), "is not met: the server asked for an OAuth"),
    ],
)
def test_tokens_that_are_kept_back(startup: StartupMachine, match: str) -> None:
    nothing_is_said(startup, match, OAUTH)
    assert not startup.token_due


def test_passwords_come_before_tokens() -> None:
    offer = AuthenticationSASL(("OAUTHBEARER", "SCRAM-SHA-256"))
    assert answered(machine(has_token=True, is_private=True), offer).mechanism == SCRAM_SHA_256
    startup = machine(has_token=True, is_private=True, rules=rules("oauth"))
    say(startup, offer)
    assert startup.token_due


# Versions and cancel keys


def test_a_version_that_is_not_enough() -> None:
    startup = StartupMachine(
        ReceiveBuffer(),
        [("user", "u")],
        user="u",
        password=None,
        nonce="n",
        protocol_version=PROTOCOL_3_2,
        min_protocol_version=PROTOCOL_3_2,
    )
    nothing_is_said(
        startup,
        "the server knows protocol 3.0 at most, and min_protocol_version is 3.2",
        NegotiateProtocolVersion(PROTOCOL_3_0),
    )


def test_whether_the_server_has_understood() -> None:
    for messages, understood in (
        ([error("08P01", "bad packet header", "FATAL")], False),
        ([notice(), error()], True),
        ([NegotiateProtocolVersion(PROTOCOL_3_0)], True),
        ([OK], True),
    ):
        startup = machine(protocol_version=PROTOCOL_3_2)
        say(startup, *messages)
        assert startup.heard is understood


@pytest.mark.parametrize("key", [None, b"1234", b"x" * 32, b"x" * 256])
def test_the_cancel_key(key: bytes | None) -> None:
    startup = machine(protocol_version=PROTOCOL_3_2)
    say(startup, OK, *([] if key is None else [BackendKeyData(-5, key)]), ready())
    assert startup.operation.outcome is Outcome.COMPLETED
    assert startup.secret_key == key
    assert startup.process_id == (None if key is None else -5)


@pytest.mark.parametrize("size", [0, 3, 257])
def test_a_cancel_key_of_an_impossible_size(size: int) -> None:
    startup = machine()
    say(startup, OK, b"K" + (8 + size).to_bytes(4, "big") + b"\0\0\0\1" + bytes(size))
    refused(startup, "key")


@pytest.mark.parametrize("after", [False, True])
def test_an_older_version_is_negotiated_before_or_after_authentication(after: bool) -> None:
    startup = machine(protocol_version=PROTOCOL_3_2)
    offer = NegotiateProtocolVersion(PROTOCOL_3_0, ("_pq_.foo",))
    say(startup, *([OK, offer] if after else [offer, OK]), ready())
    assert startup.operation.outcome is Outcome.COMPLETED
    assert startup.protocol_version == PROTOCOL_3_0


def test_an_offer_without_another_version() -> None:
    startup = machine()
    say(startup, NegotiateProtocolVersion(PROTOCOL_3_0, ("_pq_.foo",)), OK, ready())
    assert startup.operation.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("offered", [3 << 16 | 1, 3 << 16 | 3, 4 << 16, 2 << 16, 0, 0xFFFFFFFF])
def test_a_version_that_does_not_exist_or_was_not_asked_for(offered: int) -> None:
    startup = machine(protocol_version=PROTOCOL_3_2)
    say(startup, NegotiateProtocolVersion(offered))
    refused(startup, "which was not asked for")


@pytest.mark.parametrize("ok_between", [False, True])
def test_a_second_offer(ok_between: bool) -> None:
    startup = machine()
    offer = NegotiateProtocolVersion(PROTOCOL_3_0)
    say(startup, offer, *([OK] if ok_between else []), offer)
    refused(startup, "duplicate")


def test_a_flood_of_notices() -> None:
    startup = machine()
    say(startup, *[notice()] * MAX_NOTICES)
    assert not startup.operation.settled
    assert len(startup.events) == MAX_NOTICES
    say(startup, notice())
    refused(startup, "too many notices")


def test_a_flood_of_parameters() -> None:
    startup = machine()
    say(startup, OK, *(ParameterStatus(str(number), "") for number in range(MAX_PARAMETERS)))
    assert not startup.operation.settled
    say(startup, ParameterStatus("one more", ""))
    refused(startup, "parameters")


def test_a_session_in_another_encoding() -> None:
    startup = machine()
    say(startup, OK, ParameterStatus("client_encoding", "LATIN1"))
    refused(startup, "LATIN1")


@pytest.mark.parametrize("messages", [[], [OK]], ids=["before", "after"])
def test_authenticated_is_not_connected(messages: list[Message]) -> None:
    startup = machine()
    say(startup, *messages, error("53300", "too many connections", "FATAL"))
    assert isinstance(startup.operation.error, TooManyConnectionsError)
    assert startup.operation.error.connection_usable is False
    say(startup, ready())
    assert startup.operation.outcome is Outcome.FAILED


def test_a_session_does_not_begin_in_a_transaction() -> None:
    startup = machine()
    say(startup, OK, ready("T"))
    refused(startup, "transaction status")


@pytest.mark.parametrize(
    "data", [b"R\0\0\x08\0", b"E\0\0\x75\x31", b"R\0\0\0\3", b"T\0\0\0\6", b"H\0\0\0\0", b"\x15\3\1\0\2"]
)
def test_an_answer_that_is_none(data: bytes) -> None:
    """A length is looked at before the body is waited for; a web server or a TLS alert is no PostgreSQL."""
    startup = machine()
    say(startup, data)
    refused(startup, "no answer to a start-up message")


def test_work_that_nobody_asked_for() -> None:
    frontend = Frontend()
    frontend.start_up_work_done(Secret(b"x"))
    frontend.start_up_token("x")
    frontend.start_up_gss_stepped(b"x", is_established=True)
    frontend.start_up([("user", "u")], user="u", password=None, nonce="n")
    frontend.start_up_work_done(Secret(b"x"))
    frontend.start_up_token("x")
    frontend.start_up_gss_stepped(b"x", is_established=True)
    assert frontend.data_to_send() == StartupMessage((("user", "u"),)).encode()


@pytest.mark.parametrize("cause", [None, OSError("reset")])
def test_the_end_of_the_connection(cause: OSError | None) -> None:
    startup = machine()
    startup.lost(cause)
    failure = startup.operation.error
    assert isinstance(failure, ConnectionDoesNotExistError)
    assert failure.__cause__ is cause
    assert failure.connection_usable is False
    startup.lost(None)
    assert startup.operation.error is failure
    assert startup.woken == [startup.operation]


# through the Frontend


def started() -> Frontend:
    frontend = Frontend()
    frontend.start_up([("user", "u")], user="u", password="secret", nonce="clientnonce")
    frontend.data_to_send()
    return frontend


def test_what_follows_ready_for_query_belongs_to_the_session() -> None:
    frontend = started()
    messages = [OK, notice("hello"), ParameterStatus("a", "b"), ready(), ParameterStatus("a", "c")]
    frontend.receive_data(b"".join(message.encode() for message in messages))
    assert frontend.news
    first = frontend.next_event()
    assert isinstance(first, NoticeReceived)
    assert first.notice.message == "hello"
    assert frontend.next_event() == ParameterChanged("a", "c")
    assert frontend.next_event() is None
    assert frontend.parameters == {"a": "c"}
    assert not frontend.news


def test_a_failed_start_up_ends_the_session() -> None:
    frontend = started()
    frontend.receive_data(error("28P01", "no", "FATAL").encode() + b"surplus")
    assert frontend.ended
    assert frontend.condition is Condition.LOST
    assert isinstance(frontend.failure, PostgresError)
    with pytest.raises(InterfaceError, match="connection is closed"):
        frontend.simple_query("select 1")


def test_eof_during_start_up() -> None:
    frontend = started()
    frontend.receive_eof()
    (operation,) = frontend.completed()
    assert isinstance(operation.error, ConnectionDoesNotExistError)
    assert frontend.ended
    frontend.receive_data(b"surplus")


@settings(deadline=None)
@given(
    data=st.lists(
        st.sampled_from([OK, notice(), ParameterStatus("a", "b"), BackendKeyData(1, b"1234"), ready(), error()]),
        max_size=8,
    ).map(lambda messages: b"".join(message.encode() for message in messages)),
    tail=st.binary(max_size=8),
    sizes=cuts(),
)
def test_start_up_does_not_depend_on_how_the_bytes_arrive(data: bytes, tail: bytes, sizes: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> tuple[object, ...]:
        frontend = started()
        for piece in pieces:
            frontend.receive_data(piece)
        return (
            [repr(operation.error) for operation in frontend.completed()],
            [repr(event.notice.message) for event in frontend.events if isinstance(event, NoticeReceived)],
            dict(frontend.parameters),
            frontend.condition,
            repr(frontend.failure),
        )

    assert outcome(cut(data + tail, sizes)) == outcome([data + tail])
