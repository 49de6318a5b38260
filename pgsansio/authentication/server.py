"""Authentication from the server's side: what each method asks, and what it makes of the answers.

For mock servers and proxies. A method is given everything it needs and sends nothing itself: `Backend.authenticate`
does.
"""

import hmac
import json
from collections.abc import Callable
from typing import Protocol

from pgsansio.authentication import oauth
from pgsansio.authentication.md5 import md5_response
from pgsansio.authentication.password import encode_password
from pgsansio.authentication.scram import SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSecret, ScramServer
from pgsansio.errors import InvalidAuthorizationSpecificationError, InvalidPasswordError, ProtocolError
from pgsansio.messages.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationGSS,
    AuthenticationGSSContinue,
    AuthenticationMD5Password,
    AuthenticationOk,
    AuthenticationRequest,
    AuthenticationResponse,
    AuthenticationSASL,
    AuthenticationSASLContinue,
    AuthenticationSASLFinal,
    AuthenticationSSPI,
    GSSResponse,
    PasswordMessage,
    SASLInitialResponse,
    SASLResponse,
)

__all__ = [
    "AuthenticationMethod",
    "CleartextPassword",
    "GssTokens",
    "MD5Password",
    "OAuthToken",
    "ScramPassword",
    "Trust",
]


class AuthenticationMethod(Protocol):
    """One exchange; an object serves one connection."""

    @property
    def request(self) -> AuthenticationRequest:
        """What is sent first."""
        ...

    def answered(self, answer: AuthenticationResponse) -> tuple[AuthenticationRequest, ...]:
        """What is sent next; AuthenticationOk is the last.

        Raises:
            InvalidAuthorizationSpecificationError: the client does not know the password (InvalidPasswordError), or its
                token is not accepted.
            ProtocolError: the answer contradicts the method.
        """
        ...


class Trust:
    """Everybody is let in."""

    request = AuthenticationOk()

    def answered(self, answer: AuthenticationResponse) -> tuple[AuthenticationRequest, ...]:
        raise ProtocolError("an answer that was not asked for")


class _Password:
    """A password asked for once."""

    def __init__(self, request: AuthenticationRequest, expected: bytes) -> None:
        self.request = request
        self._expected = expected

    def answered(self, answer: AuthenticationResponse) -> tuple[AuthenticationRequest, ...]:
        given = answer.password if isinstance(answer, PasswordMessage) else ""
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._expected):
            raise InvalidPasswordError("password authentication failed")
        return (AuthenticationOk(),)


class CleartextPassword(_Password):
    """The password itself."""

    def __init__(self, password: str) -> None:
        super().__init__(AuthenticationCleartextPassword(), encode_password(password))


class MD5Password(_Password):
    """Two rounds of MD5 over password, user and salt.

    Args:
        salt: four bytes.
    """

    def __init__(self, user: str, password: str, salt: bytes) -> None:
        super().__init__(AuthenticationMD5Password(salt), md5_response(user, password, salt))


class ScramPassword:
    """SCRAM-SHA-256, and with `binding_data` also SCRAM-SHA-256-PLUS.

    Args:
        secret: what is stored of the password.
        nonce: the server's part: printable ASCII without comma.
        binding_data: the hash of the own certificate.
    """

    def __init__(self, secret: ScramSecret, nonce: str, *, binding_data: bytes | None = None) -> None:
        self._secret = secret
        self._nonce = nonce
        self._binding_data = binding_data
        self._scram: ScramServer | None = None
        plus = () if binding_data is None else (SCRAM_SHA_256_PLUS,)
        self.request = AuthenticationSASL((*plus, SCRAM_SHA_256))

    def answered(self, answer: AuthenticationResponse) -> tuple[AuthenticationRequest, ...]:
        if self._scram is None:
            if not isinstance(answer, SASLInitialResponse) or answer.mechanism not in self.request.mechanisms:
                raise ProtocolError("the client chose a mechanism that was not offered")
            self._scram = ScramServer(
                self._secret, self._nonce, mechanism=answer.mechanism, binding_data=self._binding_data
            )
            return (AuthenticationSASLContinue(self._scram.client_first(answer.data or b"")),)
        data = answer.data if isinstance(answer, SASLResponse) else b""
        return AuthenticationSASLFinal(self._scram.client_final(data)), AuthenticationOk()


class GssTokens:
    """GSSAPI or SSPI, whose tokens somebody else understands.

    Args:
        step: given a token of the client's, returns the one to be sent, if there is one, and whether the client is let
            in; it may raise InvalidAuthorizationSpecificationError.
        negotiate: ask for SSPI.
    """

    def __init__(self, step: Callable[[bytes], tuple[bytes | None, bool]], *, negotiate: bool = False) -> None:
        self._step = step
        self.request = AuthenticationSSPI() if negotiate else AuthenticationGSS()

    def answered(self, answer: AuthenticationResponse) -> tuple[AuthenticationRequest, ...]:
        token, is_accepted = self._step(answer.data if isinstance(answer, GSSResponse) else b"")
        said = () if token is None else (AuthenticationGSSContinue(token),)
        return (*said, AuthenticationOk()) if is_accepted else said


class OAuthToken:
    """OAUTHBEARER.

    Args:
        accepts: whether a token is good; it may be "", which a client sends to be told where to get one.
        refusal: what the client is told of one that is not.
    """

    request = AuthenticationSASL((oauth.OAUTHBEARER,))

    def __init__(self, accepts: Callable[[str], bool], refusal: oauth.Refusal) -> None:
        self._accepts = accepts
        self._refusal = refusal
        self._refused = False

    def answered(self, answer: AuthenticationResponse) -> tuple[AuthenticationRequest, ...]:
        if self._refused:
            if not isinstance(answer, SASLResponse) or answer.data != oauth.ANSWER_TO_REFUSAL:
                raise ProtocolError("the client has not understood that its token was refused")
            raise InvalidAuthorizationSpecificationError("OAuth bearer authentication failed")
        if not isinstance(answer, SASLInitialResponse) or answer.mechanism not in self.request.mechanisms:
            raise ProtocolError("the client chose a mechanism that was not offered")
        if self._accepts(oauth.read_token(answer.data or b"")):
            return (AuthenticationOk(),)
        self._refused = True
        return (AuthenticationSASLContinue(_refusal_document(self._refusal)),)


def _refusal_document(refusal: oauth.Refusal) -> bytes:
    fields = {
        "status": refusal.status,
        "openid-configuration": refusal.openid_configuration,
        "scope": refusal.scope,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
