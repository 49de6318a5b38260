"""Which ways are tried, what an answer leads to, and when a failure in one way says nothing about the other."""

import pytest

from pgsansio.errors import (
    AdminShutdownError,
    CannotConnectNowError,
    ClientConfigurationError,
    ConnectionDoesNotExistError,
    CrashShutdownError,
    InterfaceError,
    InvalidAuthorizationSpecificationError,
    InvalidPasswordError,
    OperationTimeoutError,
    ProtocolError,
    TooManyConnectionsError,
)
from pgsansio.policy.encryption_mode import (
    Answer,
    Attempt,
    Decision,
    SSLMode,
    Stage,
    Way,
    after_answer,
    attempts,
    error_to_raise,
    may_try_the_next,
    protocol_is_chosen,
)

PLAIN = Attempt(Way.PLAIN)
TLS = Attempt(Way.TLS)
PREFERRED = Attempt(Way.TLS, plain_if_refused=True)
DIRECT = Attempt(Way.DIRECT_TLS)


@pytest.mark.parametrize(
    ("mode", "direct", "over_tcp", "has_tls", "expected"),
    [
        (SSLMode.disable, False, True, True, (PLAIN,)),
        (SSLMode.allow, False, True, True, (PLAIN, TLS)),
        (SSLMode.prefer, False, True, True, (PREFERRED, PLAIN)),
        (SSLMode.require, False, True, True, (TLS,)),
        (SSLMode.verify_ca, False, True, True, (TLS,)),
        (SSLMode.verify_full, False, True, True, (TLS,)),
        (SSLMode.require, True, True, True, (DIRECT,)),
        (SSLMode.verify_full, True, True, True, (DIRECT,)),
        # A Unix socket never has TLS, whatever is demanded.
        (SSLMode.prefer, False, False, True, (PLAIN,)),
        (SSLMode.verify_full, True, False, True, (PLAIN,)),
        (SSLMode.verify_full, False, False, False, (PLAIN,)),
        # A client that has none does without, where that is allowed.
        (SSLMode.allow, False, True, False, (PLAIN,)),
        (SSLMode.prefer, False, True, False, (PLAIN,)),
    ],
)
def test_attempts(mode: SSLMode, direct: bool, over_tcp: bool, has_tls: bool, expected: tuple[Attempt, ...]) -> None:
    assert attempts(mode, direct=direct, over_tcp=over_tcp, has_tls=has_tls) == expected


@pytest.mark.parametrize("mode", [SSLMode.require, SSLMode.verify_ca, SSLMode.verify_full])
def test_tls_is_demanded_of_a_client_without(mode: SSLMode) -> None:
    with pytest.raises(ClientConfigurationError, match=f"has no TLS, and sslmode {mode.word} demands it"):
        attempts(mode, direct=False, over_tcp=True, has_tls=False)


@pytest.mark.parametrize(
    ("attempt", "answer", "decision"),
    [
        (TLS, Answer.ACCEPTED, Decision.HANDSHAKE),
        (PREFERRED, Answer.ACCEPTED, Decision.HANDSHAKE),
        (DIRECT, Answer.ACCEPTED, Decision.HANDSHAKE),
        (TLS, Answer.REFUSED, Decision.REFUSED),
        (PREFERRED, Answer.REFUSED, Decision.GO_ON_PLAIN),
        (TLS, Answer.ERROR, Decision.UNTRUSTED_ERROR),
        (PREFERRED, Answer.ERROR, Decision.UNTRUSTED_ERROR),
    ],
)
def test_answers(attempt: Attempt, answer: Answer, decision: Decision) -> None:
    assert after_answer(attempt, answer) is decision


@pytest.mark.parametrize(
    ("attempt", "chosen", "good"),
    [
        (TLS, "postgresql", True),
        (TLS, None, True),
        (TLS, "http/1.1", False),
        (PREFERRED, "h2", False),
        (DIRECT, "postgresql", True),
        (DIRECT, None, False),
        (DIRECT, "h2", False),
    ],
)
def test_the_protocol_inside(attempt: Attempt, chosen: str | None, good: bool) -> None:
    assert protocol_is_chosen(attempt, chosen) is good


HANDSHAKE_FAILED = ConnectionResetError("x")


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(
    ("attempt", "stage", "encrypted", "error", "worth_it"),
    [
        # One more attempt in the other way after a server's error before AuthenticationOk ...
        (PLAIN, Stage.AUTHENTICATION, False, InvalidAuthorizationSpecificationError("x"), True),
        (PLAIN, Stage.AUTHENTICATION, False, InvalidPasswordError("x"), True),
        (PREFERRED, Stage.AUTHENTICATION, True, InvalidAuthorizationSpecificationError("x"), True),
        (PREFERRED, Stage.AUTHENTICATION, True, ConnectionDoesNotExistError("x"), True),
        # ... and after a failed handshake.
        (PREFERRED, Stage.HANDSHAKE, False, HANDSHAKE_FAILED, True),
        # It was plain already, since the server has no TLS.
        (PREFERRED, Stage.AUTHENTICATION, False, InvalidAuthorizationSpecificationError("x"), False),
        # The same in both ways.
        (PREFERRED, Stage.AUTHENTICATION, True, CannotConnectNowError("x"), False),
        (PREFERRED, Stage.AUTHENTICATION, True, TooManyConnectionsError("x"), False),
        (PREFERRED, Stage.AUTHENTICATION, True, AdminShutdownError("x"), False),
        (PLAIN, Stage.AUTHENTICATION, False, CrashShutdownError("x"), False),
        (PLAIN, Stage.AUTHENTICATION, False, CannotConnectNowError("x"), False),
        # Not for a time-out, a cancellation, what this end has found, and an answer that is none.
        (PREFERRED, Stage.HANDSHAKE, False, TimeoutError(), False),
        (PREFERRED, Stage.HANDSHAKE, False, OperationTimeoutError("x"), False),
        (PREFERRED, Stage.HANDSHAKE, False, KeyboardInterrupt(), False),
        (PREFERRED, Stage.AUTHENTICATION, True, InterfaceError("x"), False),
        (PREFERRED, Stage.AUTHENTICATION, True, ProtocolError("x"), False),
        (PLAIN, Stage.AUTHENTICATION, False, TimeoutError(), False),
        (PREFERRED, Stage.OPENING, False, ConnectionError("error response during SSL exchange"), False),
        (PLAIN, Stage.OPENING, False, ConnectionRefusedError(), False),
        # Nor once authenticated.
        (PREFERRED, Stage.SESSION, True, InvalidAuthorizationSpecificationError("x"), False),
        (PLAIN, Stage.SESSION, False, ConnectionDoesNotExistError("x"), False),
    ],
)
def test_another_attempt(attempt: Attempt, stage: Stage, encrypted: bool, error: BaseException, worth_it: bool) -> None:
    assert may_try_the_next(attempt, stage, encrypted=encrypted, error=error) is worth_it


@pytest.mark.checklist("TLS-3")
@pytest.mark.parametrize(
    ("first", "second", "the_first"),
    [
        (InvalidPasswordError, InvalidAuthorizationSpecificationError, True),
        (InvalidPasswordError, ConnectionDoesNotExistError, True),
        (InvalidPasswordError, InvalidPasswordError, False),
        (InvalidPasswordError, ConnectionRefusedError, False),
        (InvalidAuthorizationSpecificationError, InvalidAuthorizationSpecificationError, False),
        (ConnectionDoesNotExistError, InvalidPasswordError, False),
    ],
)
def test_which_error_is_raised(first: type[Exception], second: type[Exception], the_first: bool) -> None:
    earlier, later = first("first"), second("second")
    assert error_to_raise(earlier, later) is (earlier if the_first else later)
