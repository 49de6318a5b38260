"""What a server says when it ends TLS, in an error's message."""

import ssl

import pytest

from pgsansio.engine.encryption import EncryptionExchange
from pgsansio.engine.startup import StartupMachine
from pgsansio.engine.tls_alerts import alert_text
from pgsansio.errors import ConnectionDoesNotExistError
from pgsansio.wire.framing import ReceiveBuffer

REFUSED = "the server has refused the client's certificate (TLS alert: {})"


def alert(reason: object) -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL] whatever")
    error.reason = reason  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", REFUSED.format("unknown ca")),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", REFUSED.format("certificate revoked")),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", REFUSED.format("certificate expired")),
        (
            "TLSV13_ALERT_CERTIFICATE_REQUIRED",
            "the server demands a client's certificate (TLS alert: certificate required)",
        ),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "the server has ended TLS (alert: protocol version)"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "the server has ended TLS (alert: handshake failure)"),
        ("WRONG_VERSION_NUMBER", None),
        ("UNKNOWN_ALERT_TYPE", None),
        ("TOO_MANY_WARN_ALERTS", None),
        (None, None),
    ],
)
def test_alerts(reason: object, text: str | None) -> None:
    assert alert_text(alert(reason)) == text


@pytest.mark.parametrize("error", [None, OSError(104, "reset"), UnicodeDecodeError("ascii", b"x", 0, 1, "ordinal")])
def test_no_alerts(error: BaseException | None) -> None:
    assert alert_text(error) is None


def test_the_start_up_tells_of_it() -> None:
    startup = StartupMachine(ReceiveBuffer(), [("user", "u")], user="u", password=None, nonce="x" * 24)
    cause = alert("TLSV1_ALERT_UNKNOWN_CA")
    startup.lost(cause)
    error = startup.operation.error
    assert isinstance(error, ConnectionDoesNotExistError)
    assert str(error) == f"connection was closed before the session was ready: {REFUSED.format('unknown ca')}"
    assert error.__cause__ is cause


def test_so_does_the_exchange_before_it() -> None:
    exchange = EncryptionExchange(direct=True)
    exchange.connection_lost(alert("TLSV1_ALERT_UNKNOWN_CA"))
    with pytest.raises(ConnectionResetError, match=r"agreed on: the server has refused the client's certificate"):
        exchange.check()
