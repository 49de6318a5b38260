"""What is known of a connection's encryption."""

from dataclasses import dataclass, field

__all__ = ["TlsInfo"]


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What the two ends of a TLS connection have agreed on."""

    #: "TLSv1.3".
    version: str
    #: "TLS_AES_256_GCM_SHA384".
    cipher: str
    #: The server's certificate, DER; None if it has shown none.
    peer_certificate: bytes | None = field(repr=False)
    #: "postgresql", or None: servers before 17 do not choose.
    alpn: str | None
