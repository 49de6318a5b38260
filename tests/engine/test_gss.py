"""GSSAPI and SSPI in the start-up: whose turn it is, and what a server may not do before it has proved itself."""

import pytest

from pgsansio.engine.startup import MAX_GSS_STEPS, GssStep, StartupMachine
from pgsansio.engine.states import Startup
from pgsansio.enums import Outcome
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    InterfaceError,
    InternalClientError,
    InvalidCatalogNameError,
    PostgresError,
    ProtocolError,
)
from pgsansio.frontend import Frontend
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSSPI,
    GSSResponse,
)
from pgsansio.messages.backend import ParameterStatus
from pgsansio.messages.message import Message
from pgsansio.messages.startup import BackendKeyData
from pgsansio.policy.authentication_rules import (
    ALL_METHODS,
    AuthenticationMethod,
    AuthenticationRules,
    ChannelBinding,
)
from pgsansio.testing.script import error, notice, ready

GSS, SSPI, OK = AuthenticationGSS(), AuthenticationSSPI(), AuthenticationOk()
MORE = AuthenticationGSSContinue(b"server's")
SESSION = (ParameterStatus("server_version", "16.1"), BackendKeyData(7, b"key!"), ready())
NO_DATABASE = error("3D000", "database does not exist", "FATAL")


def begun(rules: AuthenticationRules | None = None) -> tuple[Frontend, StartupMachine]:
    frontend = Frontend()
    startup = frontend.start_up(
        [("user", "u")], user="u", password="secret", nonce="n", rules=rules or AuthenticationRules()
    )
    frontend.data_to_send()
    return frontend, startup


def say(frontend: Frontend, *messages: Message) -> None:
    frontend.receive_data(b"".join(message.encode() for message in messages))


def due(frontend: Frontend, startup: StartupMachine) -> GssStep:
    """The step that is due; nothing is sent before it is done, and somebody is told."""
    assert frontend.data_to_send() == b""
    assert startup.operation.attention
    assert startup.gss_due is not None
    return startup.gss_due


def refused(startup: StartupMachine, text: str) -> None:
    assert startup.gss_due is None
    assert startup.operation.outcome is Outcome.FAILED
    assert isinstance(startup.operation.error, ProtocolError)
    assert text in str(startup.operation.error)


def let_in(frontend: Frontend, startup: StartupMachine) -> None:
    assert startup.operation.outcome is Outcome.COMPLETED
    assert startup.operation.error is None
    assert startup.authenticated
    assert (frontend.parameters["server_version"], frontend.process_id) == ("16.1", 7)


def tokens_sent(*, is_established: bool) -> tuple[Frontend, StartupMachine]:
    """One step is done."""
    frontend, startup = begun()
    say(frontend, GSS)
    frontend.start_up_gss_stepped(b"ours", is_established=is_established)
    assert frontend.data_to_send() == b"p\0\0\0\x08ours"
    return frontend, startup


@pytest.mark.parametrize(("request_", "negotiate"), [(GSS, False), (SSPI, True)], ids=["GSS", "SSPI"])
def test_one_step(request_: Message, negotiate: bool) -> None:
    frontend, startup = begun()
    say(frontend, request_)
    assert due(frontend, startup) == GssStep(negotiate, None)
    assert frontend.completed() == [startup.operation]
    frontend.start_up_gss_stepped(b"ours", is_established=True)
    assert startup.gss_due is None
    assert frontend.data_to_send() == b"p\0\0\0\x08ours"
    say(frontend, OK, *SESSION)
    let_in(frontend, startup)


def test_several_steps() -> None:
    frontend, startup = tokens_sent(is_established=False)
    for number in range(3):
        say(frontend, AuthenticationGSSContinue(b"%d" % number))
        assert due(frontend, startup) == GssStep(False, b"%d" % number)
        frontend.start_up_gss_stepped(b"answer", is_established=number == 2)
        assert frontend.data_to_send() == GSSResponse(b"answer").encode()
    say(frontend, notice(), OK, *SESSION)
    let_in(frontend, startup)


@pytest.mark.parametrize("nothing", [None, b""])
def test_a_step_without_a_token(nothing: bytes | None) -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, MORE)
    frontend.start_up_gss_stepped(nothing, is_established=False)
    assert frontend.data_to_send() == b""
    say(frontend, MORE)
    frontend.start_up_gss_stepped(nothing, is_established=True)
    assert frontend.data_to_send() == b""
    say(frontend, OK, *SESSION)
    let_in(frontend, startup)


@pytest.mark.parametrize("before", range(len(SESSION) + 2))
def test_the_last_step_is_done_whenever_it_is(before: int) -> None:
    """As Kerberos does it: the server's last token needs no answer, so it goes on at once."""
    frontend, startup = tokens_sent(is_established=False)
    messages: list[Message] = [OK, *SESSION]
    say(frontend, MORE, notice(), *messages[:before])
    assert due(frontend, startup) == GssStep(False, b"server's")
    assert not startup.operation.settled
    frontend.start_up_gss_stepped(None, is_established=True)
    assert startup.operation.settled == (before > len(SESSION))
    say(frontend, *messages[before:])
    let_in(frontend, startup)
    assert frontend.data_to_send() == b""
    # The session is one.
    operation = frontend.simple_query("x")
    say(frontend, error("42601", "no"), ready())
    assert isinstance(operation.error, PostgresError)


@pytest.mark.parametrize("messages", [[], [OK], [OK, *SESSION]], ids=["token", "ok", "ready"])
def test_a_server_that_gives_up_before_the_last_step(messages: list[Message]) -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, MORE, *messages, notice(), NO_DATABASE)
    frontend.receive_eof()
    assert isinstance(startup.operation.error, InvalidCatalogNameError)
    assert startup.gss_due is None
    frontend.start_up_gss_stepped(None, is_established=True)  # too late
    assert isinstance(startup.operation.error, InvalidCatalogNameError)
    assert frontend.data_to_send() == b""


@pytest.mark.parametrize("messages", [[GSS], [GSS, notice()]], ids=["at once", "later"])
def test_a_server_that_goes_during_a_step(messages: list[Message]) -> None:
    for last in (error("08P01", "time is up", "FATAL"), None):
        frontend, startup = begun()
        say(frontend, *messages, *([] if last is None else [last]))
        frontend.receive_eof()
        expected = PostgresError if last is not None else ConnectionDoesNotExistError
        assert isinstance(startup.operation.error, expected)
        frontend.start_up_gss_stepped(b"late", is_established=True)
        assert b"late" not in frontend.data_to_send()


def test_an_error_after_a_step() -> None:
    for is_established in (False, True):
        frontend, startup = tokens_sent(is_established=is_established)
        say(frontend, error("28000", "GSSAPI authentication failed", "FATAL"))
        assert isinstance(startup.operation.error, PostgresError)
        assert not startup.authenticated


# A server that has proved nothing


def test_let_in_before_the_first_step() -> None:
    frontend, startup = begun()
    say(frontend, GSS, OK)
    refused(startup, "unexpected AuthenticationOk in the state: GSS step due")


def test_let_in_while_our_context_waits() -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, OK, *SESSION)
    refused(startup, "unexpected AuthenticationOk in the state: GSS token sent")


@pytest.mark.parametrize(("token", "is_established"), [(None, False), (b"x", False), (b"x", True)])
@pytest.mark.parametrize("messages", [[OK], [OK, *SESSION]], ids=["ok", "ready"])
def test_let_in_too_early(messages: list[Message], token: bytes | None, is_established: bool) -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, MORE, *messages)
    frontend.start_up_gss_stepped(token, is_established=is_established)
    refused(startup, "before the security context was established")
    assert frontend.data_to_send() == b""


# A server that goes on, or never ends


@pytest.mark.parametrize("message", [MORE, GSS, SSPI, AuthenticationCleartextPassword(), AuthenticationSASL(("X",))])
def test_what_comes_after_the_context_is_established(message: Message) -> None:
    frontend, startup = tokens_sent(is_established=True)
    say(frontend, message)
    refused(startup, "in the state: GSS context established")


@pytest.mark.parametrize("message", [MORE, GSS, SSPI, AuthenticationCleartextPassword(), ready()])
def test_what_comes_while_a_step_is_due(message: Message) -> None:
    frontend, startup = begun()
    say(frontend, GSS, message)
    refused(startup, "in the state: GSS step due")
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, MORE, message)
    refused(startup, "in the state: next GSS step due")


@pytest.mark.parametrize("message", [MORE, OK, ready("I"), BackendKeyData(7, b"key!")])
def test_what_comes_after_ready(message: Message) -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, MORE, OK, *SESSION, message)
    refused(startup, "in the state: ready, last GSS step due")


def test_ready_in_a_transaction() -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, MORE, OK, ready("T"))
    refused(startup, "transaction status")


def test_a_token_that_nobody_asked_for() -> None:
    frontend, startup = begun()
    say(frontend, MORE)
    refused(startup, "AuthenticationGSSContinue")


def test_an_empty_token() -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, AuthenticationGSSContinue(b""))
    refused(startup, "empty token")


def test_an_exchange_without_end() -> None:
    frontend, startup = tokens_sent(is_established=False)
    for _ in range(MAX_GSS_STEPS - 1):
        say(frontend, MORE)
        assert startup.gss_due is not None
        frontend.start_up_gss_stepped(b"x", is_established=False)
    say(frontend, MORE)
    refused(startup, f"not ended after {MAX_GSS_STEPS}")


def test_a_huge_token_of_the_server() -> None:
    """libpq's limit: 2000 bytes for a message."""
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, AuthenticationGSSContinue(b"x" * 1992))
    assert startup.gss_due == GssStep(False, b"x" * 1992)
    frontend, startup = tokens_sent(is_established=False)
    frontend.receive_data(AuthenticationGSSContinue(b"x" * 1993).encode()[:5])
    refused(startup, "a length of 2001 bytes")


def test_a_huge_token_of_ours() -> None:
    """The limit of PostgreSQL: 65535 bytes for a message without its type."""
    frontend, startup = begun()
    say(frontend, GSS)
    frontend.start_up_gss_stepped(b"x" * 65531, is_established=True)
    assert len(frontend.data_to_send()) == 65536
    frontend, startup = begun()
    say(frontend, GSS)
    frontend.start_up_gss_stepped(b"x" * 65532, is_established=True)
    assert type(startup.operation.error) is InternalClientError
    assert str(startup.operation.error) == (
        "unexpected error while performing authentication: "
        "the token for the server has 65532 bytes, and it takes at most 65531"
    )
    assert b"xxxx" not in frontend.data_to_send()


# What may be asked for


@pytest.mark.parametrize(
    ("message", "method", "asked"),
    [(GSS, AuthenticationMethod.GSS, "GSSAPI"), (SSPI, AuthenticationMethod.SSPI, "SSPI")],
)
def test_rules(message: Message, method: AuthenticationMethod, asked: str) -> None:
    for methods in (frozenset({method}), ALL_METHODS - {AuthenticationMethod.NONE}):
        frontend, startup = begun(AuthenticationRules(methods))
        say(frontend, message)
        frontend.start_up_gss_stepped(b"x", is_established=True)
        say(frontend, OK, *SESSION)
        let_in(frontend, startup)
    for rules, text in (
        (
            AuthenticationRules(ALL_METHODS - {method}, require_auth="x"),
            f"require_auth=x is not met: the server asked for {asked}",
        ),
        (
            AuthenticationRules(channel_binding=ChannelBinding.REQUIRE),
            f"channel binding is required, but the server asked for {asked}",
        ),
    ):
        frontend, startup = begun(rules)
        say(frontend, message)
        assert startup.gss_due is None
        assert isinstance(startup.operation.error, InterfaceError)
        assert str(startup.operation.error) == text


def test_tokens_are_not_shown() -> None:
    frontend, startup = tokens_sent(is_established=False)
    say(frontend, AuthenticationGSSContinue(b"hidden"))
    assert startup.state is Startup.GSS_NEXT_STEP_DUE
    assert "hidden" not in f"{startup.gss_due!r} {startup!r} {startup.operation!r} {frontend!r}"
