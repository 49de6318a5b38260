"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side and the server's, as two small state objects.

    client                                      server
    client_first()            -->
                              <--               client_first(data) -> its answer
    server_first(data)
    work()() -> salted password                 (slow on purpose: may run elsewhere)
    client_final(salted)      -->
                              <--               client_final(data) -> its answer
    server_final(data); verified

Nonces are given, nothing here is random. Source: RFC 5802, RFC 7677; manual, "SASL Authentication".
"""

import binascii
import enum
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from pgsansio.authentication.saslprep import prepare_password
from pgsansio.errors import (
    InterfaceError,
    InvalidAuthorizationSpecificationError,
    InvalidPasswordError,
    ProtocolError,
)
from pgsansio.types.secret import Secret, hide

__all__ = [
    "MAX_ITERATIONS",
    "SCRAM_SHA_256",
    "SCRAM_SHA_256_PLUS",
    "Choice",
    "Gs2Flag",
    "PasswordWork",
    "ScramClient",
    "ScramSecret",
    "ScramServer",
    "choose_mechanism",
]

SCRAM_SHA_256: Final = "SCRAM-SHA-256"
SCRAM_SHA_256_PLUS: Final = "SCRAM-SHA-256-PLUS"

#: The only channel binding that PostgreSQL knows.
BINDING_TYPE: Final = "tls-server-end-point"

#: A quarter to half a second of one core. Servers use 4096 unless told otherwise (scram_iterations), and guidelines for
#: passwords ask for some 600,000; whoever asks for more wants to keep the client busy.
MAX_ITERATIONS: Final = 1_000_000

#: "n": the client does not bind the channel; "y": it could, but the server did not offer it; "p": it does.
Gs2Flag: TypeAlias = Literal["n", "y", "p"]

# RFC 5802, section 7: printable is %x21-2B / %x2D-7E; posit-number has no leading zero.
_NONCE: Final = re.compile(r"[!-+\--~]+")
_NUMBER: Final = re.compile(r"[1-9][0-9]*")

#: Values of e= that RFC 5802 names; any other is not repeated to the user, since nothing vouches for it.
_SERVER_ERRORS: Final = frozenset(
    {
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
        "other-error",
    }
)


class Choice(NamedTuple):
    """What to authenticate with: the mechanism's name, and what the client says about channel binding."""

    mechanism: str
    gs2_flag: Gs2Flag


def choose_mechanism(
    offered: Sequence[str],
    *,
    can_bind: bool,
    channel_binding: Literal["disable", "prefer", "require"] = "prefer",
) -> Choice:
    """The best of the offered mechanisms by our own preference; the order of the list does not count.

    Args:
        offered: the names in AuthenticationSASL.
        can_bind: the channel is TLS, and the hash of the server's certificate is known.
    Raises:
        InterfaceError: none of them can be used, or channel binding is required and impossible.
    """
    binds = can_bind and channel_binding != "disable"
    if binds and SCRAM_SHA_256_PLUS in offered:
        return Choice(SCRAM_SHA_256_PLUS, "p")
    if channel_binding == "require":
        reason = (
            "the server's certificate cannot be used for it, or the connection is not encrypted"
            if SCRAM_SHA_256_PLUS in offered
            else "the server did not offer an authentication method that supports it"
        )
        raise InterfaceError(f"channel binding is required, but {reason}")
    if SCRAM_SHA_256 in offered:
        # "y" makes a server that did offer PLUS refuse, since somebody must have removed it from the list. So it is
        # wrong when PLUS was seen and cannot be used.
        return Choice(SCRAM_SHA_256, "y" if binds else "n")
    names = ", ".join(offered)
    raise InterfaceError(f"unsupported SASL Authentication methods requested by the server: {names!r}")


@dataclass(frozen=True, slots=True)
class PasswordWork:
    """The slow step: PBKDF2 over a password. Call it, in another thread if you like; it holds no lock while it runs."""

    password: Secret[bytes] = field(repr=False)
    salt: bytes = field(repr=False)
    iterations: int

    def __call__(self) -> Secret[bytes]:
        """The salted password, 32 bytes; who has it needs no password."""
        return Secret(hashlib.pbkdf2_hmac("sha256", self.password.reveal(), self.salt, self.iterations))


class _Stage(enum.Enum):
    START = "client-first-message"
    WAIT_FIRST = "server-first-message"
    WORK = "client-final-message"
    WAIT_FINAL = "server-final-message"
    OVER = "nothing"


class ScramClient:
    """The client's side of one exchange.

    Args:
        password: None of it appears in any message, repr or traceback; forgotten after `client_final`.
        nonce: fresh for each exchange: printable ASCII without comma, for example 18 random bytes in base64.
        user: PostgreSQL ignores it and takes the one of the start-up message, so it is empty by default.
        gs2_flag: from `choose_mechanism`.
        binding_data: the hash of the server's certificate, with "p" only.
    Raises:
        ValueError: the nonce, the user, the flag or the data cannot be used.
        ClientConfigurationError: the password cannot be encoded.

    Methods raise ProtocolError if they are called out of order, since the server's messages decide the order.
    """

    __slots__ = (
        "_auth_message",
        "_binding_data",
        "_first_bare",
        "_gs2_header",
        "_iterations",
        "_nonce",
        "_password",
        "_salt",
        "_server_signature",
        "_stage",
        "_verified",
        "mechanism",
    )

    def __init__(
        self,
        password: str | Secret[str],
        nonce: str,
        *,
        user: str = "",
        gs2_flag: Gs2Flag = "n",
        binding_data: bytes = b"",
    ) -> None:
        password = hide(password)
        if not _NONCE.fullmatch(nonce):
            raise ValueError("a nonce is printable ASCII without comma, and not empty")
        if (gs2_flag == "p") != bool(binding_data):
            raise ValueError("binding data goes with the flag 'p', and only with it")
        self.mechanism = SCRAM_SHA_256_PLUS if gs2_flag == "p" else SCRAM_SHA_256
        self._stage = _Stage.START
        self._password = Secret(password.use(prepare_password))
        self._nonce = nonce
        self._gs2_header = (f"p={BINDING_TYPE},," if gs2_flag == "p" else f"{gs2_flag},,").encode()
        self._binding_data = binding_data
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={name},r={nonce}".encode()
        self._salt = b""
        self._iterations = 0
        self._auth_message = b""
        self._server_signature = b""
        self._verified = False

    def __repr__(self) -> str:
        return f"<ScramClient {self.mechanism}, next {self._stage.value}>"

    @property
    def verified(self) -> bool:
        """The server has proved that it knows the password; before that, AuthenticationOk means nothing."""
        return self._verified

    def client_first(self) -> bytes:
        """The data of SASLInitialResponse."""
        self._enter(_Stage.START)
        self._stage = _Stage.WAIT_FIRST
        return self._gs2_header + self._first_bare

    def server_first(self, data: bytes) -> None:
        """Take the data of AuthenticationSASLContinue.

        Raises:
            ProtocolError: it contradicts RFC 5802, or its nonce is not ours with something behind it.
            InterfaceError: it asks for more than `MAX_ITERATIONS`.
        """
        self._enter(_Stage.WAIT_FIRST)
        nonce, salt, iterations = _attributes(_text(data, _Stage.WAIT_FIRST), "rsi", _Stage.WAIT_FIRST)
        if not _NONCE.fullmatch(nonce):
            raise _broken(_Stage.WAIT_FIRST, "its nonce is not printable")
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise _broken(_Stage.WAIT_FIRST, "its nonce does not extend the client's")
        self._salt = _base64(salt, _Stage.WAIT_FIRST)
        if not self._salt:
            raise _broken(_Stage.WAIT_FIRST, "its salt is empty")
        if not _NUMBER.fullmatch(iterations):
            raise _broken(_Stage.WAIT_FIRST, "its iteration count is not a positive number")
        # The length first: int() refuses thousands of digits, and is slow before that.
        if len(iterations) > len(str(MAX_ITERATIONS)) or int(iterations) > MAX_ITERATIONS:
            raise InterfaceError(
                f"the server asks for more than {MAX_ITERATIONS} iterations of SCRAM",
                hint="Lower scram_iterations on the server and set the password again.",
            )
        self._iterations = int(iterations)
        self._nonce = nonce
        self._auth_message = b"%b,%b,%b" % (self._first_bare, data, self._final_without_proof())
        self._stage = _Stage.WORK

    def work(self) -> PasswordWork:
        """The slow step; what it returns goes to `client_final`."""
        _check(self._stage, _Stage.WORK)
        return PasswordWork(self._password, self._salt, self._iterations)

    def client_final(self, salted: Secret[bytes]) -> bytes:
        """The data of SASLResponse."""
        self._enter(_Stage.WORK)
        self._password = Secret(b"")
        salted_password = salted.reveal()  # nothing below can fail
        client_key = _hmac(salted_password, b"Client Key")
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), self._auth_message))
        self._server_signature = _hmac(_hmac(salted_password, b"Server Key"), self._auth_message)
        self._stage = _Stage.WAIT_FINAL
        return b"%b,p=%b" % (self._final_without_proof(), _to_base64(proof))

    def server_final(self, data: bytes) -> None:
        """Take the data of AuthenticationSASLFinal; `verified` is true from then on.

        Raises:
            ProtocolError: it contradicts RFC 5802.
            InterfaceError: its signature is not that of a server which knows the password.
            InvalidPasswordError: it says that the proof is wrong.
            InvalidAuthorizationSpecificationError: it reports another error.
        """
        self._enter(_Stage.WAIT_FINAL)
        text = _text(data, _Stage.WAIT_FINAL)
        if text.startswith("e="):
            error = text[2:].partition(",")[0]
            error_class = InvalidPasswordError if error == "invalid-proof" else InvalidAuthorizationSpecificationError
            raise error_class(f"SCRAM authentication failed: {error if error in _SERVER_ERRORS else 'unknown error'}")
        (signature,) = _attributes(text, "v", _Stage.WAIT_FINAL)
        if not hmac.compare_digest(_base64(signature, _Stage.WAIT_FINAL), self._server_signature):
            raise InterfaceError("could not verify server signature for SCRAM authentication: scram-sha-256")
        self._verified = True

    def _enter(self, expected: _Stage) -> None:
        # The next stage is set at the end, so an exchange that failed cannot go on.
        _check(self._stage, expected)
        self._stage = _Stage.OVER

    def _final_without_proof(self) -> bytes:
        return b"c=%b,r=%b" % (_to_base64(self._gs2_header + self._binding_data), self._nonce.encode())


@dataclass(frozen=True, slots=True)
class ScramSecret:
    """What a server stores of a password."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @classmethod
    def from_password(cls, password: str | Secret[str], salt: bytes, iterations: int = 4096) -> "ScramSecret":
        """As the server does it for CREATE ROLE ... PASSWORD."""
        password = hide(password)
        salted = PasswordWork(Secret(password.use(prepare_password)), salt, iterations)().reveal()
        stored_key = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
        return cls(salt, iterations, stored_key, _hmac(salted, b"Server Key"))


class ScramServer:
    """The server's side of one exchange, for mock servers and proxies.

    Args:
        secret: of the user in the start-up message; the name inside SCRAM is ignored.
        nonce: what it adds to the client's nonce: printable ASCII without comma.
        mechanism: the one that the client chose.
        binding_data: the hash of the own certificate if PLUS was offered, else None.

    Methods raise ProtocolError for what contradicts RFC 5802 or is out of order.
    """

    __slots__ = ("_auth_message", "_binding_data", "_gs2_header", "_mechanism", "_nonce", "_secret", "_stage")

    def __init__(
        self,
        secret: ScramSecret,
        nonce: str,
        *,
        mechanism: str = SCRAM_SHA_256,
        binding_data: bytes | None = None,
    ) -> None:
        if not _NONCE.fullmatch(nonce):
            raise ValueError("a nonce is printable ASCII without comma, and not empty")
        self._secret = secret
        self._nonce = nonce
        self._mechanism = mechanism
        self._binding_data = binding_data
        self._gs2_header = b""
        self._auth_message = b""
        self._stage = _Stage.START

    def __repr__(self) -> str:
        return f"<ScramServer {self._mechanism}, next {self._stage.value}>"

    def client_first(self, data: bytes) -> bytes:
        """Take the data of SASLInitialResponse; return that of AuthenticationSASLContinue.

        Raises:
            ProtocolError: among others when the client says "y", although binding was offered: somebody hid the offer.
        """
        self._enter(_Stage.START)
        text = _text(data, _Stage.START)
        flag, _, rest = text.partition(",")
        authzid, _, bare = rest.partition(",")
        if authzid:
            raise _broken(_Stage.START, "it asks for another user")
        if flag == "y" and self._binding_data is not None:
            raise _broken(_Stage.START, "the client did not see that channel binding was offered")
        if flag not in ("n", "y", f"p={BINDING_TYPE}"):
            raise _broken(_Stage.START, "its channel binding is not known")
        if (flag[0] == "p") != (self._mechanism == SCRAM_SHA_256_PLUS and self._binding_data is not None):
            raise _broken(_Stage.START, "its channel binding does not fit the mechanism")
        _, nonce = _attributes(bare, "nr", _Stage.START)
        if not _NONCE.fullmatch(nonce):
            raise _broken(_Stage.START, "its nonce is not printable")
        self._gs2_header = f"{flag},,".encode()
        self._nonce = nonce + self._nonce
        salt = _to_base64(self._secret.salt)
        answer = b"r=%b,s=%b,i=%d" % (self._nonce.encode(), salt, self._secret.iterations)
        self._auth_message = b"%b,%b" % (bare.encode(), answer)
        self._stage = _Stage.WORK
        return answer

    def client_final(self, data: bytes) -> bytes:
        """Take the data of SASLResponse; return that of AuthenticationSASLFinal.

        Raises:
            ProtocolError: among others when the client is bound to another channel.
            InvalidPasswordError: the proof is wrong.
        """
        self._enter(_Stage.WORK)
        text = _text(data, _Stage.WORK)
        without_proof, separator, proof_text = text.rpartition(",p=")
        if not separator:
            raise _broken(_Stage.WORK, "it has no proof")
        binding, nonce = _attributes(without_proof, "cr", _Stage.WORK)
        bound = self._binding_data if self._gs2_header.startswith(b"p") else None
        if _base64(binding, _Stage.WORK) != self._gs2_header + (bound or b""):
            raise _broken(_Stage.WORK, "its channel binding is that of another channel")
        if nonce != self._nonce:
            raise _broken(_Stage.WORK, "its nonce is another")
        message = b"%b,%b" % (self._auth_message, without_proof.encode())
        signature = _hmac(self._secret.stored_key, message)
        proof = _base64(proof_text, _Stage.WORK)
        if len(proof) != len(signature):
            raise _broken(_Stage.WORK, "its proof has a wrong length")
        if not hmac.compare_digest(hashlib.sha256(_xor(proof, signature)).digest(), self._secret.stored_key):
            raise InvalidPasswordError("password authentication failed")
        return b"v=" + _to_base64(_hmac(self._secret.server_key, message))

    def _enter(self, expected: _Stage) -> None:
        _check(self._stage, expected)
        self._stage = _Stage.OVER


def _broken(stage: _Stage, reason: str) -> ProtocolError:
    return ProtocolError(f"unexpected error while performing authentication: SCRAM {stage.value}: {reason}")


def _check(stage: _Stage, expected: _Stage) -> None:
    if stage is not expected:
        raise _broken(expected, f"not expected, but {stage.value}")


def _text(data: bytes, stage: _Stage) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _broken(stage, "it is not UTF-8") from None


def _attributes(text: str, names: str, stage: _Stage) -> list[str]:
    """The values of the attributes of `text`, which must begin with these, one letter each; what follows is ignored."""
    parts = text.split(",")
    if parts[0].startswith("m="):
        raise _broken(stage, "it has an extension that must be understood, and is not")
    if len(parts) < len(names) or any(
        not part.startswith(f"{name}=") for name, part in zip(names, parts, strict=False)
    ):
        raise _broken(stage, f"it does not begin with {', '.join(f'{name}=' for name in names)}")
    return [part[2:] for part in parts[: len(names)]]


def _base64(text: str, stage: _Stage) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise _broken(stage, "it has a value that is not base64") from None


def _to_base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
