"""OAUTHBEARER: a bearer token in the place of a password (PostgreSQL 18), the client's side and the server's.

    client_first(token)   -->
                          <--   AuthenticationOk
                          or    refusal: JSON that says why, and where tokens are to be had
    ANSWER_TO_REFUSAL     -->
                          <--   ErrorResponse

The server proves nothing by it: only its certificate tells who gets the token.

Source: RFC 7628; RFC 6750, section 2.1; manual, "SASL Authentication", SASL OAUTHBEARER.
"""

import json
import re
from dataclasses import dataclass
from typing import Final, cast

from pgsansio.errors import ClientConfigurationError, ProtocolError

__all__ = ["ANSWER_TO_REFUSAL", "OAUTHBEARER", "Refusal", "client_first", "read_refusal", "read_token"]

OAUTHBEARER: Final = "OAUTHBEARER"

#: "A single %x01": the client has understood, and the error may come.
ANSWER_TO_REFUSAL: Final = b"\x01"

_SEPARATOR: Final = b"\x01"
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server says of a token that it does not take."""

    #: "invalid_token".
    status: str
    #: What the token has to be for.
    scope: str | None = None
    #: Address of a document about who issues tokens.
    openid_configuration: str | None = None

    def __str__(self) -> str:
        parts = {"status": self.status, "scope": self.scope, "openid-configuration": self.openid_configuration}
        return ", ".join(f"{name} {value!r}" for name, value in parts.items() if value is not None)


def client_first(token: str) -> bytes:
    """The data of SASLInitialResponse.

    Raises:
        ClientConfigurationError: it is no bearer token; the text does not show it.
    """
    if not _TOKEN.fullmatch(token):
        raise ClientConfigurationError(
            "the OAuth token is expected to be of letters, digits and -._~+/, with = at its end only, and not empty"
        )
    return f"n,,\x01auth=Bearer {token}\x01\x01".encode()


def read_refusal(data: bytes) -> Refusal:
    """What AuthenticationSASLContinue has in it.

    Raises:
        ProtocolError: it is not JSON, or not what RFC 7628 wants in it.
    """
    try:
        document = cast("object", json.loads(data.decode()))
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise _broken("it is not JSON") from None
    if not isinstance(document, dict):
        raise _broken("it is not a JSON object")
    fields = cast("dict[str, object]", document)
    status, scope, configuration = (fields.get(name) for name in ("status", "scope", "openid-configuration"))
    if not isinstance(status, str):
        raise _broken("it has no status")
    if not isinstance(scope, str | None) or not isinstance(configuration, str | None):
        raise _broken("it has a field that is not a text")
    return Refusal(status, scope, configuration)


def read_token(data: bytes) -> str:
    """The server's side: the token in the data of SASLInitialResponse; "": the client asks where tokens are to be had.

    Raises:
        ProtocolError: it contradicts RFC 7628.
    """
    header, separator, rest = data.partition(_SEPARATOR)
    end = 2 * _SEPARATOR
    # No channel binding and no other user; then name=value, each ended by a separator, and one more behind the last.
    if header not in (b"n,,", b"y,,") or not separator or not rest.endswith(end):
        raise _broken("it is no client's first message")
    pairs: dict[bytes, bytes] = {}
    for pair in rest.removesuffix(end).split(_SEPARATOR):
        name, _, value = pair.partition(b"=")
        pairs[name] = value
    if b"auth" not in pairs:
        raise _broken("it is no client's first message")
    if not pairs[b"auth"]:
        return ""
    scheme, _, token = pairs[b"auth"].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token.strip(" ")):
        raise _broken("it has no bearer token")
    return token.strip(" ")


def _broken(reason: str) -> ProtocolError:
    return ProtocolError(f"unexpected error while performing authentication: OAUTHBEARER: {reason}")
