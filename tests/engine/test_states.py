"""Every state times every message: the pair is in the table, or it is a ProtocolError that settles everything."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsansio.engine.encryption import EncryptionRequest
from pgsansio.engine.operations import Copy, Operation, RowStream
from pgsansio.engine.queue import Condition
from pgsansio.engine.session import Session
from pgsansio.engine.startup import StartupMachine
from pgsansio.engine.states import ANY_TIME, ENCRYPTION, SESSION, STARTUP, Awaiting, Encryption, Startup
from pgsansio.enums import Format, Outcome
from pgsansio.errors import InterfaceError, ProtocolError
from pgsansio.messages.authentication import (
    AUTHENTICATION_REQUESTS,
    AuthenticationCleartextPassword,
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
)
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    EmptyQueryResponse,
    FunctionCallResponse,
    NoData,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    RowDescription,
)
from pgsansio.messages.copy import CopyBothResponse, CopyData, CopyDone, CopyInResponse, CopyOutResponse
from pgsansio.messages.message import Message
from pgsansio.messages.startup import PROTOCOL_3_0, BackendKeyData, NegotiateProtocolVersion
from pgsansio.messages.tags import BACKEND_TAGS
from pgsansio.testing.faults import cut
from pgsansio.testing.script import error, notice, ready, row, selected
from pgsansio.wire.framing import ReceiveBuffer, frame
from tests.authentication.test_scram import CLIENT_NONCE, SERVER_FINAL, SERVER_FIRST
from tests.support.any_chunking import cuts
from tests.support.sessions import (
    FIELDS,
    batch,
    copy,
    execution,
    feed,
    function_call,
    new_session,
    preparation,
    reset,
    simple_query,
    stream,
)

#: One of each type that a backend can send, besides authentication.
SAMPLES: Sequence[Message] = (
    BackendKeyData(1, b"1234"),
    BindComplete(),
    CloseComplete(),
    selected(),
    CopyBothResponse(Format.TEXT),
    CopyData(b"x"),
    CopyDone(),
    CopyInResponse(Format.TEXT),
    CopyOutResponse(Format.TEXT),
    row(b"x"),
    EmptyQueryResponse(),
    error(),
    FunctionCallResponse(b"x"),
    NegotiateProtocolVersion(PROTOCOL_3_0),
    NoData(),
    notice(),
    NotificationResponse(1, "c", "p"),
    ParameterDescription(()),
    ParameterStatus("TimeZone", "UTC"),
    ParseComplete(),
    PortalSuspended(),
    ready(),
    RowDescription(FIELDS),
)
AUTHENTICATION: Sequence[Message] = (
    AuthenticationCleartextPassword(),
    AuthenticationGSSContinue(b"token"),
    AuthenticationMD5Password(b"salt"),
    AuthenticationOk(),
    AuthenticationSASL(("SCRAM-SHA-256",)),
    AuthenticationSASLContinue(SERVER_FIRST),
    AuthenticationSASLFinal(SERVER_FINAL),
    *(AUTHENTICATION_REQUESTS[number].decode(number.to_bytes(4, "big")) for number in (2, 7, 9)),
)

#: How a session gets into each state: the operation at its head, and what the server has said.
ROADS: dict[Awaiting, tuple[Callable[[], Operation] | None, tuple[Message, ...]]] = {
    Awaiting.NOTHING: (None, ()),
    Awaiting.BEGIN: (execution, ()),
    Awaiting.BEGIN_BIND: (execution, (ParseComplete(),)),
    Awaiting.BEGIN_EXECUTION: (execution, (ParseComplete(), BindComplete())),
    Awaiting.PARSE_COMPLETE: (preparation, ()),
    Awaiting.PARAMETER_DESCRIPTION: (preparation, (ParseComplete(),)),
    Awaiting.ROW_DESCRIPTION: (preparation, (ParseComplete(), ParameterDescription(()))),
    Awaiting.BIND_COMPLETE: (execution, ()),
    Awaiting.EXECUTION: (execution, (BindComplete(),)),
    Awaiting.CLOSE_COMPLETE: (lambda: preparation(closing=("old",)), ()),
    Awaiting.BATCH_BIND: (lambda: batch(count=0), ()),
    Awaiting.BATCH_EXECUTION: (lambda: batch(count=1), (BindComplete(),)),
    Awaiting.STREAM_ROWS: (stream, (BindComplete(),)),
    Awaiting.STREAM_PAUSED: (stream, (BindComplete(), PortalSuspended())),
    Awaiting.SIMPLE_QUERY: (simple_query, (RowDescription(FIELDS),)),
    Awaiting.SIMPLE_ERROR: (simple_query, (error(),)),
    Awaiting.RESET: (reset, (RowDescription(FIELDS),)),
    Awaiting.FUNCTION_RESULT: (function_call, ()),
    Awaiting.COPY_IN: (copy, (CopyInResponse(Format.TEXT),)),
    Awaiting.COPY_OUT: (copy, (CopyOutResponse(Format.TEXT),)),
    Awaiting.COPY_OUT_DONE: (copy, (CopyOutResponse(Format.TEXT), CopyDone())),
    Awaiting.COPY_BOTH: (copy, (CopyBothResponse(Format.TEXT),)),
    Awaiting.COPY_BOTH_DONE: (copy, (CopyBothResponse(Format.TEXT), CopyDone())),
    Awaiting.READY: (execution, (BindComplete(), selected())),
    Awaiting.SKIPPING: (execution, (error(),)),
}


def session_in(state: Awaiting) -> tuple[Session, list[Operation]]:
    """A session in this state, with an operation behind the one that answers are due for."""
    make, said = ROADS[state]
    session = new_session()
    operations: list[Operation] = []
    if state.name.startswith("BEGIN"):
        session.defer_begin(b"<begin>")
        session.shared_transaction = True
    if make is not None:
        operations = [make(), execution()]
        for operation in operations:
            session.submit(operation)
        feed(session, *said)
        if isinstance(operations[0], Copy) and state is Awaiting.COPY_IN:
            session.copy_done(operations[0])
        if isinstance(operations[0], RowStream):
            session.finish(operations[0])
    assert session.condition is Condition.OPEN
    return session, operations


def names(values: object) -> str:
    return getattr(values, "name", type(values).__name__)


def test_the_samples_are_complete() -> None:
    assert {type(sample) for sample in SAMPLES} == set(BACKEND_TAGS.values())
    assert {type(sample) for sample in AUTHENTICATION} == set(AUTHENTICATION_REQUESTS.values())
    assert set(ROADS) == set(SESSION) == set(Awaiting)


@pytest.mark.parametrize("state", Awaiting, ids=names)
@pytest.mark.parametrize("message", [*SAMPLES, AuthenticationOk(), None], ids=names)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "header only"])
def test_a_session(state: Awaiting, message: Message | None, whole: bool) -> None:
    session, operations = session_in(state)
    data = b"?\0\0\0\x04" if message is None else message.encode()
    feed(session, data if whole else data[:5])
    if type(message) in {**SESSION[state], **ANY_TIME}:
        assert session.condition is Condition.OPEN, session.failure
        assert [operation for operation in operations if operation.outcome is Outcome.UNKNOWN] == []
        return
    assert session.condition is Condition.BROKEN
    assert isinstance(session.failure, ProtocolError)
    assert session.failure.__cause__ is None, "an exception that is not ours"
    assert state.value in str(session.failure)
    for operation in operations:
        assert operation.settled
        answered = operation is operations[0] and state in (Awaiting.SKIPPING, Awaiting.SIMPLE_ERROR)
        if not answered:
            assert isinstance(operation.error, ProtocolError)
            assert operation.error.safe_to_retry is not operation.written
            assert operation.outcome is (Outcome.UNKNOWN if operation.written else Outcome.CANCELLED)
        assert session.completed().count(operation) == 1 if operation is operations[-1] else True
    with pytest.raises(InterfaceError, match="connection is closed"):
        session.submit(execution())


@pytest.mark.parametrize("state", Awaiting, ids=names)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_any_body_of_any_message(state: Awaiting, data: st.DataObject) -> None:
    tag = data.draw(st.sampled_from([*BACKEND_TAGS, ord("R"), 0, 255]))
    body = data.draw(st.binary(max_size=30) | st.sampled_from(SAMPLES).map(lambda sample: sample.encode()[5:]))
    length = data.draw(st.just(len(body) + 4) | st.integers(0, 2**32 - 1))
    session, operations = session_in(state)
    stream = bytes([tag]) + length.to_bytes(4, "big") + body
    for piece in cut(stream, data.draw(cuts())):
        session.receive_data(piece)
    if session.condition is not Condition.OPEN:
        assert all(operation.settled for operation in operations)
        assert session.failure is not None
        assert "internal error" not in str(session.failure)


# start-up


def startup_in(state: Startup) -> StartupMachine:
    machine = StartupMachine(
        ReceiveBuffer(),
        [("user", "user")],
        user="user",
        password="pencil",
        nonce=CLIENT_NONCE,
        has_token=True,
        is_private=True,
    )

    def say(*messages: Message) -> None:
        machine.buffer.feed(b"".join(message.encode() for message in messages))
        machine.process()

    if state is Startup.PASSWORD_SENT:
        say(AuthenticationCleartextPassword())
    elif state in (Startup.AUTHENTICATED, Startup.READY):
        say(AuthenticationOk())
        if state is Startup.READY:
            say(ready())
    elif state is Startup.FAILED:
        say(error())
    elif state.name.startswith("OAUTH"):
        say(AuthenticationSASL(("OAUTHBEARER",)))
        if state is not Startup.OAUTH_TOKEN_DUE:
            machine.token_given("token")
            if state is Startup.OAUTH_REFUSED:
                say(AuthenticationSASLContinue(b'{"status": "invalid_token"}'))
    elif state.name.startswith("GSS"):
        say(AuthenticationGSS())
        if state is Startup.GSS_ESTABLISHED:
            machine.gss_stepped(b"token", is_established=True)
        elif state is not Startup.GSS_STEP_DUE:
            machine.gss_stepped(b"token", is_established=False)
            answers: list[Message] = [AuthenticationGSSContinue(b"token"), AuthenticationOk(), ready()]
            while machine.state is not state:
                say(answers.pop(0))
        machine.woken.clear()  # told of each step
    elif state is not Startup.AUTHENTICATION:
        say(AuthenticationSASL(("SCRAM-SHA-256",)))
        if state is not Startup.SASL_FIRST_SENT:
            # The exchange of RFC 7677 says n=user, ours n=: so the signature is made for ours.
            say(AuthenticationSASLContinue(SERVER_FIRST))
            assert machine.work is not None
            machine.work_done(machine.work())
            if state is Startup.SASL_VERIFIED:
                machine.state = state
    assert machine.state is state
    return machine


@pytest.mark.parametrize("state", Startup, ids=names)
@pytest.mark.parametrize("message", [*SAMPLES, *AUTHENTICATION, None], ids=names)
def test_start_up(state: Startup, message: Message | None) -> None:
    machine = startup_in(state)
    settled = machine.operation.settled
    assert settled == (state in (Startup.READY, Startup.FAILED))
    outcome = machine.operation.outcome
    machine.buffer.feed(b"?\0\0\0\x04" if message is None else message.encode())
    machine.process()
    if settled:
        assert (machine.operation.outcome, machine.state) == (outcome, state)
        return
    transition = STARTUP[state].get(type(message)) if message is not None else None
    failure = machine.operation.error
    if transition is None or (state is Startup.OAUTH_TOKEN_SENT and isinstance(message, AuthenticationSASLContinue)):
        # (The example's challenge is SCRAM's, and no refusal of a token.)
        assert isinstance(failure, ProtocolError)
        assert machine.state is Startup.FAILED
    elif transition[0] is Startup.FAILED or isinstance(message, AuthenticationSASLFinal):
        # An error; a method that we do not know; the example's signature, which is not for our name.
        assert failure is not None
        assert not isinstance(failure, ProtocolError)
    else:
        assert failure is None
        assert machine.state is transition[0]
    assert machine.operation.settled == (machine.state in (Startup.READY, Startup.FAILED))
    assert machine.woken.count(machine.operation) <= 2


@pytest.mark.parametrize("state", [one for one in Startup if STARTUP[one]], ids=names)
@settings(deadline=None, max_examples=50)
@given(tag=st.sampled_from([*BACKEND_TAGS, ord("R"), 0]), body=st.binary(max_size=40), sizes=cuts())
def test_any_bytes_during_start_up(state: Startup, tag: int, body: bytes, sizes: list[int]) -> None:
    machine = startup_in(state)
    for piece in cut(frame(bytes([tag]), body), sizes):
        machine.buffer.feed(piece)
        machine.process()
    assert machine.operation.settled == (machine.state in (Startup.READY, Startup.FAILED))


# encryption


@pytest.mark.parametrize("state", Encryption, ids=names)
@pytest.mark.parametrize("surplus", [b"", b"\x16", b"S"])
def test_encryption(state: Encryption, surplus: bytes) -> None:
    for value in range(256):
        request = EncryptionRequest(gss=state is Encryption.ASKING_GSS)
        request.state = state
        following = ENCRYPTION[state].get(bytes([value]))
        if following is None or (surplus and following is not Encryption.ERROR):
            with pytest.raises(ProtocolError):
                request.receive(bytes([value]) + surplus)
        else:
            assert request.receive(bytes([value]) + surplus) is following
            assert request.state is following


def test_nothing_arrived_yet() -> None:
    request = EncryptionRequest()
    assert request.receive(b"") is Encryption.ASKING_TLS


def test_what_is_asked() -> None:
    assert EncryptionRequest().data_to_send() == b"\0\0\0\x08\x04\xd2\x16\x2f"
    assert EncryptionRequest(gss=True).data_to_send() == b"\0\0\0\x08\x04\xd2\x16\x30"


def test_the_text_of_an_unencrypted_error_is_not_even_read() -> None:
    request = EncryptionRequest()
    assert request.receive(error(message="call 555-1234").encode()) is Encryption.ERROR
    assert "555" not in repr(vars(request))
