"""What a server has said when it ended TLS: an alert, which ssl.SSLError has in its `reason`.

With TLS 1.3 the client's handshake is over before the server has looked at the client's certificate. A refusal is then
the first that is read afterwards, where the first message of the start-up is expected.

Source: RFC 8446, section 6.2.
"""

from typing import Final

__all__ = ["alert_text"]

#: OpenSSL names an alert by the version that it is known since.
_PREFIXES: Final = ("SSLV3_ALERT_", "TLSV1_ALERT_", "TLSV13_ALERT_")
#: Only the client's own certificate can be meant: these come from the server.
_OF_THE_CERTIFICATE: Final = frozenset(
    {
        *("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED"),
        *("CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED"),
    }
)


def alert_text(error: BaseException | None) -> str | None:
    """What the server has said, for an error's message; None: this is no alert."""
    reason = getattr(error, "reason", None)
    if not isinstance(reason, str) or not reason.startswith(_PREFIXES):
        return None
    alert = reason.partition("_ALERT_")[2]
    words = alert.replace("_", " ").lower()
    if alert in _OF_THE_CERTIFICATE:
        return f"the server has refused the client's certificate (TLS alert: {words})"
    if alert == "CERTIFICATE_REQUIRED":
        return f"the server demands a client's certificate (TLS alert: {words})"
    return f"the server has ended TLS (alert: {words})"
