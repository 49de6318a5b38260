"""The server's authentication requests, all with the type byte R, and the frontend's answers, all with p.

A request tells by its Int32 what it is: `decode_authentication`. An answer does not: only who asked knows which of the
four classes a p is ("Message Formats", PasswordMessage and its relatives). What they carry appears in no repr.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, TypeAlias

from pgsansio.wire.fields import Reader, Writer

__all__ = [
    "AUTHENTICATION_REQUESTS",
    "AuthenticationCleartextPassword",
    "AuthenticationGSS",
    "AuthenticationGSSContinue",
    "AuthenticationKerberosV5",
    "AuthenticationMD5Password",
    "AuthenticationOk",
    "AuthenticationRequest",
    "AuthenticationResponse",
    "AuthenticationSASL",
    "AuthenticationSASLContinue",
    "AuthenticationSASLFinal",
    "AuthenticationSSPI",
    "GSSResponse",
    "PasswordMessage",
    "SASLInitialResponse",
    "SASLResponse",
    "decode_authentication",
]

_SALT_BYTES: Final = 4


def _read_method(reader: Reader, method: int) -> None:
    found = reader.int32("method")
    if found != method:
        raise reader.error(f"method is {found}, not {method}")


class _BareRequest:
    """An authentication request that is nothing but its number."""

    __slots__ = ()

    TAG: ClassVar[bytes] = b"R"
    METHOD: ClassVar[int]

    def encode(self) -> bytes:
        return b"R\x00\x00\x00\x08" + self.METHOD.to_bytes(4, "big")

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader(cls.__name__, body)
        _read_method(reader, cls.METHOD)
        reader.end()
        return cls()


@dataclass(frozen=True, slots=True)
class AuthenticationOk(_BareRequest):
    """Authentication is done."""

    METHOD: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class AuthenticationKerberosV5(_BareRequest):
    """No server since 9.3 asks for it."""

    METHOD: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class AuthenticationCleartextPassword(_BareRequest):
    """Answered by a PasswordMessage with the password itself."""

    METHOD: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class AuthenticationMD5Password:
    """Answered by a PasswordMessage with a digest of password, user and salt."""

    TAG: ClassVar[bytes] = b"R"
    METHOD: ClassVar[int] = 5
    #: 4 bytes.
    salt: bytes = field(repr=False)

    def encode(self) -> bytes:
        writer = Writer("AuthenticationMD5Password", self.TAG)
        if len(self.salt) != _SALT_BYTES:
            raise writer.error(f"salt of {len(self.salt)} bytes, not {_SALT_BYTES}")
        writer.int32(self.METHOD, "method")
        writer.raw(self.salt)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("AuthenticationMD5Password", body)
        _read_method(reader, cls.METHOD)
        salt = reader.raw(_SALT_BYTES, "salt")
        reader.end()
        return cls(salt)


@dataclass(frozen=True, slots=True)
class AuthenticationGSS(_BareRequest):
    """Answered by a GSSResponse."""

    METHOD: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class AuthenticationSSPI(_BareRequest):
    """Answered by a GSSResponse."""

    METHOD: ClassVar[int] = 9


@dataclass(frozen=True, slots=True)
class _DataRequest:
    """An authentication request whose data runs to its end."""

    TAG: ClassVar[bytes] = b"R"
    METHOD: ClassVar[int]
    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        writer = Writer(type(self).__name__, self.TAG)
        writer.int32(self.METHOD, "method")
        writer.raw(self.data)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader(cls.__name__, body)
        _read_method(reader, cls.METHOD)
        return cls(reader.rest())


@dataclass(frozen=True, slots=True)
class AuthenticationGSSContinue(_DataRequest):
    """The next token of GSSAPI or SSPI."""

    METHOD: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class AuthenticationSASL:
    """Asks for one of these mechanisms; answered by a SASLInitialResponse."""

    TAG: ClassVar[bytes] = b"R"
    METHOD: ClassVar[int] = 10
    #: Names, in the server's order of preference.
    mechanisms: tuple[str, ...]

    def encode(self) -> bytes:
        writer = Writer("AuthenticationSASL", self.TAG)
        writer.int32(self.METHOD, "method")
        for mechanism in self.mechanisms:
            if not mechanism:
                raise writer.error("a mechanism has no name")
            writer.string(mechanism, "mechanism")
        writer.raw(b"\x00")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("AuthenticationSASL", body)
        _read_method(reader, cls.METHOD)
        mechanisms: list[str] = []
        while mechanism := reader.string("mechanism"):
            mechanisms.append(mechanism)
        reader.end()
        return cls(tuple(mechanisms))


@dataclass(frozen=True, slots=True)
class AuthenticationSASLContinue(_DataRequest):
    """The mechanism's challenge; answered by a SASLResponse."""

    METHOD: ClassVar[int] = 11


@dataclass(frozen=True, slots=True)
class AuthenticationSASLFinal(_DataRequest):
    """The mechanism's last word, with which the server proves itself; AuthenticationOk follows."""

    METHOD: ClassVar[int] = 12


AuthenticationRequest: TypeAlias = (
    AuthenticationOk
    | AuthenticationKerberosV5
    | AuthenticationCleartextPassword
    | AuthenticationMD5Password
    | AuthenticationGSS
    | AuthenticationGSSContinue
    | AuthenticationSSPI
    | AuthenticationSASL
    | AuthenticationSASLContinue
    | AuthenticationSASLFinal
)

#: The Int32 after R -> the message. 1, 4 and 6 are of the past (Kerberos 4, crypt, SCM credentials).
AUTHENTICATION_REQUESTS: Final[Mapping[int, type[AuthenticationRequest]]] = {
    message.METHOD: message
    for message in (
        AuthenticationOk,
        AuthenticationKerberosV5,
        AuthenticationCleartextPassword,
        AuthenticationMD5Password,
        AuthenticationGSS,
        AuthenticationGSSContinue,
        AuthenticationSSPI,
        AuthenticationSASL,
        AuthenticationSASLContinue,
        AuthenticationSASLFinal,
    )
}


def decode_authentication(body: bytes) -> AuthenticationRequest:
    """The authentication request with this body.

    Raises:
        ProtocolError: malformed, or a method that is not in AUTHENTICATION_REQUESTS.
    """
    reader = Reader("Authentication", body)
    method = reader.int32("method")
    message = AUTHENTICATION_REQUESTS.get(method)
    if message is None:
        raise reader.error(f"method {method} is unknown")
    return message.decode(body)


@dataclass(frozen=True, slots=True)
class PasswordMessage:
    """The password, or its MD5 digest."""

    TAG: ClassVar[bytes] = b"p"
    password: str = field(repr=False)

    def encode(self) -> bytes:
        writer = Writer("PasswordMessage", self.TAG)
        writer.string(self.password, "password")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("PasswordMessage", body)
        password = reader.string("password")
        reader.end()
        return cls(password)


@dataclass(frozen=True, slots=True)
class SASLInitialResponse:
    """The chosen mechanism and its first data."""

    TAG: ClassVar[bytes] = b"p"
    mechanism: str
    #: None if the mechanism begins with the server.
    data: bytes | None = field(repr=False)

    def encode(self) -> bytes:
        writer = Writer("SASLInitialResponse", self.TAG)
        writer.string(self.mechanism, "mechanism")
        writer.value(self.data)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("SASLInitialResponse", body)
        mechanism = reader.string("mechanism")
        data = reader.value("data")
        reader.end()
        return cls(mechanism, data)


@dataclass(frozen=True, slots=True)
class _DataResponse:
    """An answer whose data is the whole body."""

    TAG: ClassVar[bytes] = b"p"
    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        writer = Writer(type(self).__name__, self.TAG)
        writer.raw(self.data)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return cls(body)


@dataclass(frozen=True, slots=True)
class SASLResponse(_DataResponse):
    """The mechanism's next data."""


@dataclass(frozen=True, slots=True)
class GSSResponse(_DataResponse):
    """The next token of GSSAPI or SSPI."""


AuthenticationResponse: TypeAlias = PasswordMessage | SASLInitialResponse | SASLResponse | GSSResponse
