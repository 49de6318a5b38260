"""The server's end: what it reads, what it lets its user send, and how it lets a client in."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.authentication.channel_binding import certificate_hash
from pgsansio.authentication.oauth import Refusal
from pgsansio.authentication.scram import ScramSecret
from pgsansio.authentication.server import (
    AuthenticationMethod,
    CleartextPassword,
    GssTokens,
    MD5Password,
    OAuthToken,
    ScramPassword,
    Trust,
)
from pgsansio.backend import Backend, Phase
from pgsansio.engine.states import SESSION, Awaiting, Startup
from pgsansio.enums import Format, Outcome
from pgsansio.errors import InterfaceError, InvalidAuthorizationSpecificationError, InvalidPasswordError, ProtocolError
from pgsansio.frontend import Frontend
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationOk,
    AuthenticationSASL,
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
    FunctionCallResponse,
    NoData,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
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
from pgsansio.messages.startup import (
    CancelRequest,
    GSSENCRequest,
    NegotiateProtocolVersion,
    SSLRequest,
    StartupMessage,
)
from pgsansio.messages.tags import BackendMessage, FrontendMessage
from pgsansio.testing.faults import cut
from pgsansio.testing.script import ScriptedBackend, converse, error, login, notice, ready, row, row_description
from pgsansio.types import TlsInfo
from pgsansio.wire.framing import frame
from tests.support.any_chunking import cuts
from tests.support.strategies import backend_messages, frontend_messages

STARTUP = StartupMessage((("user", "u"),))
#: As much of one as is looked at: signed with RSA and SHA-256.
CERTIFICATE = b"\x30\x10\x30\x01a\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
EXTENDED = (Parse("s", "q"), Bind("", "s"), Execute(""), Sync())
SECRET = ScramSecret.from_password("secret", b"0123456789abcdef", 2)


def feed(backend: Backend, *messages: FrontendMessage) -> list[FrontendMessage]:
    backend.receive_data(b"".join(message.encode() for message in messages))
    return taken(backend)


def taken(backend: Backend) -> list[FrontendMessage]:
    messages: list[FrontendMessage] = []
    while (message := backend.next_message()) is not None:
        messages.append(message)
    return messages


def in_session(*, strict: bool = True) -> Backend:
    backend = Backend(strict=strict)
    feed(backend, STARTUP)
    backend.authenticate(Trust())
    backend.welcome({})
    backend.data_to_send()
    return backend


def sent(*messages: BackendMessage) -> bytes:
    return b"".join(message.encode() for message in messages)


def refuses(backend: Backend, message: BackendMessage) -> bool:
    before = (repr(backend), backend.data_to_send())
    try:
        backend.send(message)
    except InterfaceError:
        assert (repr(backend), backend.data_to_send()) == (before[0], b"")
        return True
    return False


# start-up


@pytest.mark.parametrize(
    "make",
    [
        Trust,
        lambda: CleartextPassword("secret"),
        lambda: MD5Password("u", "secret", b"salt"),
        lambda: ScramPassword(SECRET, "servernonce"),
        lambda: ScramPassword(SECRET, "servernonce", binding_data=certificate_hash(CERTIFICATE)),
    ],
    ids=["trust", "cleartext", "md5", "scram", "scram, bound"],
)
@pytest.mark.parametrize("password", ["secret", "wrong"])
@settings(deadline=None)
@given(sizes=cuts())
def test_each_method_lets_the_right_client_in(
    make: Callable[[], AuthenticationMethod], password: str, sizes: list[int]
) -> None:
    method = make()
    frontend = Frontend()
    frontend.tls = TlsInfo("TLSv1.3", "cipher", CERTIFICATE, None)
    server = ScriptedBackend(login(method, {"TimeZone": "UTC"}))
    startup = frontend.start_up([("user", "u")], user="u", password=password, nonce="clientnonce")
    converse(frontend, server, sizes)
    if startup.work is not None:
        frontend.start_up_work_done(startup.work())
        converse(frontend, server, sizes)
    if password == "secret" or isinstance(method, Trust):
        assert startup.operation.outcome is Outcome.COMPLETED
        assert server.backend.phase is Phase.SESSION
        assert frontend.parameters == {"TimeZone": "UTC"}
        assert (frontend.process_id, frontend.secret_key) == (4711, b"key!")
    else:
        assert isinstance(startup.operation.error, InvalidPasswordError)
        assert isinstance(server.backend.failure, InvalidPasswordError)
        assert server.backend.ended


@pytest.mark.parametrize("token", ["right", "wrong"])
@settings(deadline=None)
@given(sizes=cuts())
def test_a_token_lets_the_right_client_in(token: str, sizes: list[int]) -> None:
    method = OAuthToken(lambda given: given == "right", Refusal("invalid_token", "db", "https://issuer.example"))
    frontend = Frontend()
    server = ScriptedBackend(login(method))
    startup = frontend.start_up([("user", "u")], user="u", password=None, nonce="n", has_token=True, is_private=True)
    converse(frontend, server, sizes)
    assert startup.token_due
    frontend.start_up_token(token)
    converse(frontend, server, sizes)
    if token == "right":
        assert startup.operation.outcome is Outcome.COMPLETED
        assert server.backend.phase is Phase.SESSION
        return
    error = startup.operation.error
    assert type(error) is type(server.backend.failure) is InvalidAuthorizationSpecificationError
    assert error.__notes__ == [
        "the server says of the OAuth token: status 'invalid_token', scope 'db', "
        "openid-configuration 'https://issuer.example'"
    ]


@pytest.mark.parametrize(
    "answers",
    [
        [SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abc")],
        [SASLInitialResponse("OAUTHBEARER", b"n,,\x01auth=Basic x\x01\x01")],
        [SASLInitialResponse("OAUTHBEARER", None)],
        [SASLInitialResponse("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01\x01"), SASLResponse(b"?")],
    ],
)
def test_a_client_that_does_not_keep_to_oauth(answers: list[FrontendMessage]) -> None:
    backend = Backend()
    feed(backend, STARTUP)
    backend.authenticate(OAuthToken(lambda given: False, Refusal("invalid_token")))
    feed(backend, *answers)
    assert isinstance(backend.failure, ProtocolError)
    assert backend.ended


def test_a_client_without_key_cannot_cancel() -> None:
    frontend = Frontend()
    server = ScriptedBackend(login(process_id=None))
    frontend.start_up([("user", "u")], user="u", password=None, nonce="n")
    converse(frontend, server)
    assert frontend.cancel_exchange() is None


def test_trust_asks_nothing() -> None:
    with pytest.raises(ProtocolError, match="not asked for"):
        Trust().answered(PasswordMessage("x"))


@pytest.mark.parametrize("answer", [SASLInitialResponse("SCRAM-SHA-1", b"n,,n=,r=x"), PasswordMessage("x")], ids=repr)
def test_scram_takes_only_what_was_offered(answer: Any) -> None:
    with pytest.raises(ProtocolError, match="mechanism that was not offered"):
        ScramPassword(SECRET, "nonce").answered(answer)


def test_scram_takes_only_its_second_answer_second() -> None:
    method = ScramPassword(SECRET, "nonce")
    method.answered(SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=x"))
    with pytest.raises(ProtocolError):
        method.answered(PasswordMessage("x"))


def test_a_password_is_no_other_message() -> None:
    with pytest.raises(InvalidPasswordError):
        CleartextPassword("secret").answered(SASLResponse(b"secret"))


def test_a_sasl_message_without_data_is_refused() -> None:
    backend = Backend()
    feed(backend, STARTUP)
    backend.authenticate(ScramPassword(SECRET, "nonce"))
    feed(backend, SASLInitialResponse("SCRAM-SHA-256", None))
    assert isinstance(backend.failure, ProtocolError)


def test_without_a_method_the_caller_answers() -> None:
    backend = Backend()
    assert feed(backend, STARTUP) == [STARTUP]
    assert backend.startup_message == STARTUP
    backend.send(NegotiateProtocolVersion(3 << 16), AuthenticationCleartextPassword())
    assert feed(backend, PasswordMessage("x")) == [PasswordMessage("x")]
    backend.send(AuthenticationOk(), ParameterStatus("a", "b"), ready())
    assert backend.phase is Phase.SESSION


def test_nothing_but_a_notice_while_an_answer_is_due() -> None:
    backend = Backend()
    feed(backend, STARTUP)
    backend.send(AuthenticationCleartextPassword())
    assert refuses(backend, AuthenticationOk())
    backend.send(notice())
    feed(backend, PasswordMessage("x"))
    backend.send(AuthenticationOk())


@pytest.mark.parametrize("negotiate", [False, True])
@pytest.mark.parametrize(
    ("answers", "ours"),
    [
        ([(None, True)], [(b"1", True)]),
        ([(b"a", True)], [(b"1", False), (None, True)]),
        ([(b"a", False), (None, True)], [(b"1", False), (b"2", True)]),
        ([(b"a", False), (b"b", True)], [(b"1", False), (b"2", False), (b"", True)]),
    ],
    ids=["one message", "mutual", "challenge", "challenge, mutual"],
)
def test_tokens(
    negotiate: bool, answers: list[tuple[bytes | None, bool]], ours: list[tuple[bytes | None, bool]]
) -> None:
    """Both ends, in as many messages as it takes."""
    given: list[bytes] = []

    def step(token: bytes) -> tuple[bytes | None, bool]:
        given.append(token)
        return answers[len(given) - 1]

    backend, frontend = Backend(), Frontend()
    startup = frontend.start_up([("user", "u")], user="u", password=None, nonce="n")
    backend.receive_data(frontend.data_to_send())
    assert isinstance(backend.next_message(), StartupMessage)
    backend.authenticate(GssTokens(step, negotiate=negotiate))
    said: list[bytes | None] = []
    for token, is_established in ours:
        frontend.receive_data(backend.data_to_send())
        assert startup.gss_due is not None
        assert startup.gss_due.negotiate is negotiate
        said.append(startup.gss_due.token)
        frontend.start_up_gss_stepped(token, is_established=is_established)
        backend.receive_data(frontend.data_to_send())
        backend.next_message()
    assert backend.startup is Startup.AUTHENTICATED
    backend.welcome({})
    frontend.receive_data(backend.data_to_send())
    assert startup.operation.outcome is Outcome.COMPLETED
    assert said == [None, *(token for token, _ in answers if token is not None)]
    assert given == [token for token, _ in ours if token]


def test_tokens_that_are_refused() -> None:
    def step(token: bytes) -> tuple[bytes | None, bool]:
        raise InvalidAuthorizationSpecificationError("GSSAPI authentication failed")

    backend = Backend()
    feed(backend, STARTUP)
    backend.authenticate(GssTokens(step))
    assert refuses(backend, AuthenticationOk())
    feed(backend, GSSResponse(b"token"))
    assert backend.phase is Phase.ENDED
    assert isinstance(backend.failure, InvalidAuthorizationSpecificationError)


@pytest.mark.parametrize("message", [Query("x"), PasswordMessage("x"), Sync()], ids=repr)
def test_nothing_unasked_before_the_session(message: FrontendMessage) -> None:
    backend = Backend()
    assert feed(backend, STARTUP, message) == [STARTUP]
    assert isinstance(backend.failure, ProtocolError)
    assert backend.data_to_send().startswith(b"E")
    assert feed(backend, Query("y")) == []


def test_no_query_instead_of_a_password() -> None:
    backend = Backend()
    feed(backend, STARTUP)
    backend.send(AuthenticationSASL(("SCRAM-SHA-256",)))
    assert feed(backend, Query("x")) == []
    assert isinstance(backend.failure, ProtocolError)


def test_a_client_may_leave_during_start_up() -> None:
    backend = Backend()
    feed(backend, STARTUP)
    assert feed(backend, Terminate()) == [Terminate()]
    assert backend.ended


def test_an_error_ends_the_start_up() -> None:
    backend = Backend()
    feed(backend, STARTUP)
    backend.send(error("3D000", "database missing", "FATAL"))
    assert backend.ended
    assert backend.startup is Startup.FAILED
    assert refuses(backend, AuthenticationOk())


def test_a_cancel_request_is_the_whole_conversation() -> None:
    backend = Backend()
    request = CancelRequest(1, b"1234")
    assert feed(backend, request) == [request]
    assert backend.ended
    assert backend.failure is None


# encryption


@pytest.mark.parametrize(("request_", "yes", "no"), [(SSLRequest(), b"S", b"G"), (GSSENCRequest(), b"G", b"S")])
def test_encryption_is_answered_by_a_byte(request_: FrontendMessage, yes: bytes, no: bytes) -> None:
    for answer in (yes, b"N"):
        backend = Backend()
        assert feed(backend, request_) == [request_]
        with pytest.raises(InterfaceError):
            backend.answer_encryption(no)
        assert refuses(backend, ready())
        backend.answer_encryption(answer)
        assert backend.data_to_send() == answer
        assert feed(backend, STARTUP) == [STARTUP]
        with pytest.raises(InterfaceError):
            backend.answer_encryption(answer)


@pytest.mark.parametrize("together", [True, False])
def test_bytes_before_the_answer_are_an_attack(together: bool) -> None:
    backend = Backend()
    if together:
        feed(backend, SSLRequest(), STARTUP)
    else:
        feed(backend, SSLRequest())
        feed(backend, STARTUP)
    assert backend.phase is Phase.ENCRYPTION
    backend.answer_encryption(b"S")
    assert isinstance(backend.failure, ProtocolError)
    assert backend.data_to_send() == b""
    assert backend.ended


def test_an_error_may_answer_a_request_for_encryption() -> None:
    backend = Backend()
    feed(backend, SSLRequest())
    backend.send(error())
    assert backend.ended


# what may be sent


@pytest.mark.parametrize(
    ("messages", "answers"),
    [
        ([*EXTENDED], [ParseComplete(), BindComplete(), row(), CommandComplete("SELECT 1"), ready()]),
        ([Bind("", ""), Execute("", 1), Sync()], [BindComplete(), row(), PortalSuspended(), ready()]),
        (
            [Describe(Target.STATEMENT, "s"), Describe(Target.PORTAL, ""), Close(Target.PORTAL, ""), Flush(), Sync()],
            [ParameterDescription(()), NoData(), row_description(), CloseComplete(), ready()],
        ),
        ([Query("")], [EmptyQueryResponse(), ready()]),
        (
            [Query("a; b"), Query("c")],
            [
                row_description(),
                row(),
                CommandComplete("A"),
                NotificationResponse(1, "c", "p"),
                CommandComplete("B"),
                ready(),
                error(),
                ready("E"),
            ],
        ),
        ([FunctionCall(1)], [FunctionCallResponse(None), ready()]),
        ([FunctionCall(1)], [error(), ready()]),
        ([*EXTENDED], [ParseComplete(), error(), ready()]),
        ([*EXTENDED], [ParseComplete(), BindComplete(), CommandComplete("COMMIT"), error("23505"), ready()]),
        ([*EXTENDED, *EXTENDED], [error(), ready(), ParseComplete(), error(), ready()]),
        (
            [Query("copy")],
            [CopyOutResponse(Format.TEXT), CopyData(b"1"), CopyDone(), CommandComplete("COPY 1"), ready()],
        ),
        (
            [*EXTENDED],
            [
                ParseComplete(),
                BindComplete(),
                CopyOutResponse(Format.TEXT),
                CopyDone(),
                CommandComplete("COPY 0"),
                ready(),
            ],
        ),
    ],
)
def test_answers_in_their_order_and_no_others(messages: list[FrontendMessage], answers: list[BackendMessage]) -> None:
    others: list[BackendMessage] = [
        ParseComplete(),
        BindComplete(),
        CloseComplete(),
        NoData(),
        PortalSuspended(),
        FunctionCallResponse(None),
        CopyData(b""),
        CopyDone(),
        ParameterDescription(()),
        ready(),
    ]
    backend = in_session()
    assert refuses(backend, ready())
    assert feed(backend, *messages) == messages
    for answer in answers:
        for other in others:
            if type(other) not in SESSION[backend.awaiting]:
                assert refuses(backend, other), (backend, other)
        backend.send(answer)
    assert backend.awaiting is Awaiting.NOTHING
    assert refuses(backend, CommandComplete("SELECT 1"))


def test_what_follows_an_error_is_not_handed_over() -> None:
    backend = in_session()
    assert feed(backend, Parse("", "q")) == [Parse("", "q")]
    backend.send(error())
    assert feed(backend, Bind("", ""), Query("ignored"), FunctionCall(1)) == []
    assert refuses(backend, ready())
    assert feed(backend, Sync(), Query("next")) == [Sync(), Query("next")]
    backend.send(ready())
    assert backend.awaiting is Awaiting.SIMPLE_QUERY


def test_sync_during_copy_in_is_swallowed() -> None:
    backend = in_session()
    assert feed(backend, Bind("", ""), Execute(""), Sync()) == [Bind("", ""), Execute(""), Sync()]
    backend.send(BindComplete(), CopyInResponse(Format.TEXT))
    assert feed(backend, CopyData(b"1"), Sync(), Flush()) == [CopyData(b"1")]
    assert refuses(backend, CommandComplete("COPY 1"))
    assert feed(backend, CopyDone(), CopyData(b"late"), Sync()) == [CopyDone()]
    backend.send(CommandComplete("COPY 1"))
    assert refuses(backend, ready())
    assert feed(backend, Sync()) == [Sync()]
    backend.send(ready())


def test_copy_that_fails_before_it_began_is_answered_twice() -> None:
    """Both Syncs count then: the number of ReadyForQuery depends on whether CopyInResponse came."""
    backend = in_session()
    feed(backend, Execute(""), Sync())
    backend.send(error("42P01"), ready())
    assert feed(backend, CopyData(b"1"), CopyDone(), Sync()) == [Sync()]
    backend.send(ready())


def test_copy_fail_is_answered_by_an_error() -> None:
    backend = in_session()
    feed(backend, Query("copy"))
    backend.send(CopyInResponse(Format.TEXT))
    assert feed(backend, CopyFail("no")) == [CopyFail("no")]
    assert refuses(backend, CommandComplete("COPY 0"))
    backend.send(error("57014"), ready())


def test_a_script_goes_on_after_a_copy() -> None:
    backend = in_session()
    feed(backend, Query("copy t from stdin; select 1"))
    backend.send(CopyInResponse(Format.TEXT))
    feed(backend, CopyDone())
    backend.send(CommandComplete("COPY 0"), row_description(), row(), CommandComplete("SELECT 1"), ready())


def test_a_request_in_the_middle_of_a_copy_is_handed_over() -> None:
    backend = in_session()
    feed(backend, Query("copy"))
    backend.send(CopyInResponse(Format.TEXT))
    assert feed(backend, Parse("", "q")) == [Parse("", "q")]
    backend.send(error("08P01", "unexpected message type", "FATAL"))
    assert backend.ended


def test_both_directions() -> None:
    backend = in_session()
    feed(backend, Query("START_REPLICATION"))
    backend.send(CopyBothResponse(Format.TEXT), CopyData(b"x"))
    assert feed(backend, CopyData(b"y"), CopyDone()) == [CopyData(b"y"), CopyDone()]
    backend.send(CopyDone(), CommandComplete("COPY 0"), CommandComplete("START_STREAMING"), ready())


def test_fatal_ends_the_session_in_every_state() -> None:
    for messages in ([], [Query("x")], [Parse("", "")], [FunctionCall(1)]):
        backend = in_session()
        feed(backend, *messages)
        backend.send(error("57P01", "shutdown", "FATAL"))
        assert backend.ended
        assert feed(backend, Query("y")) == []


def test_nonsense_on_purpose() -> None:
    backend = in_session(strict=False)
    backend.send(ready("T"), DataRow((b"x",)), BindComplete())
    backend.send_bytes(b"?")
    assert backend.data_to_send() == sent(ready("T"), DataRow((b"x",)), BindComplete()) + b"?"
    assert backend.awaiting is Awaiting.NOTHING
    feed(backend, Query("x"))
    backend.send(ready())
    assert backend.awaiting is Awaiting.NOTHING


def test_what_cannot_be_encoded_is_refused_even_so() -> None:
    backend = in_session(strict=False)
    with pytest.raises(InterfaceError):
        backend.send(CommandComplete("\0"))
    assert backend.data_to_send() == b""


# what may be read


@settings(deadline=None)
@given(messages=st.lists(frontend_messages(), max_size=8), sizes=cuts())
def test_messages_do_not_depend_on_how_they_arrive(messages: list[FrontendMessage], sizes: list[int]) -> None:
    def handed_over(pieces: list[bytes]) -> tuple[list[FrontendMessage], str]:
        backend = in_session()
        result: list[FrontendMessage] = []
        for piece in pieces:
            backend.receive_data(piece)
            result += taken(backend)
        return result, repr(backend)

    data = b"".join(message.encode() for message in messages)
    assert handed_over(cut(data, sizes)) == handed_over([data])


@settings(deadline=None)
@given(data=st.binary(max_size=200), session=st.booleans(), sizes=cuts())
def test_any_bytes_are_messages_or_end_in_a_protocol_error(data: bytes, session: bool, sizes: list[int]) -> None:
    backend = in_session() if session else Backend()
    for piece in cut(data, sizes):
        room = backend.get_buffer()
        room[: len(piece)] = piece
        backend.bytes_received(len(piece))
        taken(backend)
    assert backend.failure is None or backend.ended


@settings(deadline=None)
@given(requests=st.lists(frontend_messages(), max_size=6), answers=st.lists(backend_messages(), max_size=12))
def test_any_answer_is_sent_or_refused(requests: list[FrontendMessage], answers: list[BackendMessage]) -> None:
    backend = in_session()
    feed(backend, *requests)
    for answer in answers:
        refuses(backend, answer)


@pytest.mark.parametrize(
    ("first", "data"),
    [
        (True, (10005).to_bytes(4, "big")),
        (True, (3).to_bytes(4, "big")),
        (True, b"\xff\xff\xff\xff"),
        (False, b"S" + (10001).to_bytes(4, "big")),
        (False, b"Q" + (0x40000000).to_bytes(4, "big")),
        (False, b"Q\x00\x00\x00\x03"),
        (False, b"?\x00\x00\x00\x04"),
        (False, frame(b"p", b"x\0")),
        (False, frame(b"Q", b"x")),
    ],
)
def test_lengths_and_types_that_no_message_has(first: bool, data: bytes) -> None:
    backend = Backend() if first else in_session()
    backend.receive_data(data)
    assert backend.next_message() is None
    assert isinstance(backend.failure, ProtocolError)
    assert bool(backend.data_to_send()) is not first
    assert backend.ended


def test_a_large_message_costs_what_has_arrived() -> None:
    backend = in_session()
    backend.receive_data(b"Q" + (1 << 29).to_bytes(4, "big"))
    assert backend.next_message() is None
    backend.get_buffer()
    assert len(backend.buffer.data) <= 65536
    query = "x" * 300_000
    backend = in_session()
    assert feed(backend, Query(query)) == [Query(query)]


def test_eof() -> None:
    backend = in_session()
    backend.receive_data(b"Q")
    backend.receive_eof()
    assert backend.ended
    assert backend.next_message() is None


def test_repr_says_where_it_is() -> None:
    backend = Backend()
    assert repr(backend) == "<Backend first message: first message>"
    feed(backend, STARTUP)
    assert repr(backend) == "<Backend start-up: authentication>"
    assert repr(in_session()) == "<Backend session: no operation in flight>"
