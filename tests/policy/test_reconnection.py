"""When to connect again, and when not to."""

import ssl

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pgsansio import errors
from pgsansio.enums import Outcome
from pgsansio.policy.reconnection import FIRST_DELAY, STABLE_SECONDS, Reconnection, is_passing, jitter

REFUSED = ConnectionRefusedError("nobody is there")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (REFUSED, True),
        (TimeoutError(), True),
        (errors.OperationTimeoutError("too late", outcome=Outcome.CANCELLED), True),
        (errors.ConnectionDoesNotExistError("lost"), True),
        (errors.CannotConnectNowError("starting"), True),
        (errors.AdminShutdownError("stopping"), True),
        (errors.TooManyConnectionsError("full"), True),
        (errors.ReadOnlySQLTransactionError("a standby"), True),
        (errors.TargetServerAttributeNotMatched("a standby"), True),
        (errors.InvalidPasswordError("wrong"), False),
        (errors.InvalidAuthorizationSpecificationError("nobody"), False),
        (errors.InvalidCatalogNameError("no such database"), False),
        (errors.ClientConfigurationError("wrong"), False),
        (errors.InterfaceError("wrong"), False),
        (errors.ProtocolError("nonsense"), False),
        (ssl.SSLCertVerificationError("wrong"), False),
        (ssl.SSLEOFError("lost"), True),
        (LookupError("the password function's"), False),
    ],
)
def test_what_passes(error: BaseException, passes: bool) -> None:
    assert is_passing(error) is passes
    assert (Reconnection().failed(error, 0.0, 0.0) is not None) is passes


@given(st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=30))
def test_jitter(nonce: str) -> None:
    assert 0 <= jitter(nonce) < 1
    assert jitter(nonce) == jitter(nonce)


def delays(reconnection: Reconnection, count: int, random: float = 0.0) -> list[float]:
    """From a loss at the time 0 on."""
    now = reconnection.lost(0.0, random)
    found = [now]
    for _ in range(count - 1):
        reconnection.attempts += 1
        at = reconnection.failed(REFUSED, now, random)
        assert at is not None
        found.append(at - now)
        now = at
    return found


def test_delays_double_up_to_the_highest() -> None:
    assert delays(Reconnection(max_delay=1.0), 7) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0])
    assert delays(Reconnection(max_delay=0.05), 2) == pytest.approx([0.05, 0.05])


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_takes_up_to_a_half(random: float) -> None:
    whole = [0.1, 0.2, 0.4, 0.8]
    for delay, most in zip(delays(Reconnection(), 4, random), whole, strict=True):
        assert most / 2 - 1e-9 <= delay <= most + 1e-9


def test_a_stable_connection_makes_delays_short_again() -> None:
    reconnection = Reconnection()
    assert delays(reconnection, 4)[-1] == pytest.approx(0.8)
    assert reconnection.connected(100.0) == 100.0
    # It was lost at once: that goes on as if it had not been there.
    assert reconnection.lost(100.5, 0.0) == pytest.approx(102.1)
    assert reconnection.attempts == 0
    assert reconnection.connected(103.0) == pytest.approx(2.5)
    lost_at = 103.0 + STABLE_SECONDS
    assert reconnection.lost(lost_at, 0.0) == pytest.approx(lost_at + FIRST_DELAY)


def test_so_many_attempts() -> None:
    reconnection = Reconnection(max_attempts=2)
    for lost_at in (0.0, 50.0):
        reconnection.lost(lost_at, 0.0)
        reconnection.attempts += 1
        assert reconnection.failed(REFUSED, lost_at, 0.0) is not None
        reconnection.attempts += 1
        assert reconnection.failed(REFUSED, lost_at, 0.0) is None


def test_so_many_seconds() -> None:
    reconnection = Reconnection(give_up_after=10.0)
    reconnection.lost(100.0, 0.0)
    assert reconnection.failed(REFUSED, 101.0, 0.0) == pytest.approx(101.2)
    # No attempt is begun too late.
    assert reconnection.failed(REFUSED, 109.7, 0.0) is None


def test_an_attempt_that_was_interrupted_counts_for_nothing() -> None:
    reconnection = Reconnection(max_attempts=1)
    assert reconnection.lost(0.0, 0.0) == pytest.approx(0.1)
    reconnection.attempts += 1
    assert reconnection.interrupted(1.0, 0.0) == pytest.approx(1.2)
    assert reconnection.attempts == 0


@pytest.mark.parametrize("name", ["max_delay", "max_attempts", "give_up_after"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_numbers_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is expected to be greater than zero"):
        Reconnection(**{name: value})
