"""The messages around authentication: encryption, start-up, cancellation, negotiated version and cancel key."""

from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, TypeAlias

from pgsansio.wire.fields import Reader, Writer

__all__ = [
    "MAX_STARTUP_BODY_BYTES",
    "PROTOCOL_3_0",
    "PROTOCOL_3_2",
    "BackendKeyData",
    "CancelRequest",
    "GSSENCRequest",
    "NegotiateProtocolVersion",
    "SSLRequest",
    "StartupMessage",
    "StartupRequest",
    "decode_startup",
]

#: Protocol versions: major << 16 | minor. There is no 3.1.
PROTOCOL_3_0: Final = 3 << 16
PROTOCOL_3_2: Final = 3 << 16 | 2

#: PostgreSQL's MAX_STARTUP_PACKET_LENGTH, without the length word: a server drops the connection above it, without an
#: error.
MAX_STARTUP_BODY_BYTES: Final = 10000

# These codes stand where a StartupMessage has its version; as versions they would be 1234.5678 and so on.
_CANCEL_REQUEST: Final = 1234 << 16 | 5678
_SSL_REQUEST: Final = 1234 << 16 | 5679
_GSSENC_REQUEST: Final = 1234 << 16 | 5680

# 4 bytes up to protocol 3.0, 4 to 256 since 3.2.
_MIN_KEY_BYTES: Final = 4
_MAX_KEY_BYTES: Final = 256


def _expect_code(reader: Reader, code: int) -> None:
    found = reader.uint32("request code")
    if found != code:
        raise reader.error(f"request code is {found}, not {code}")


def _read_key(reader: Reader) -> bytes:
    """The cancel key, which runs to the end of the message."""
    key = reader.rest()
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise reader.error(f"secret key of {len(key)} bytes, {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} are possible")
    return key


def _write_key(writer: Writer, key: bytes) -> None:
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise writer.error(f"secret key of {len(key)} bytes, {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} are possible")
    writer.raw(key)


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """The first message of a session; it has no type byte.

    Raises InterfaceError from `encode` if a name is empty (that would end the list), a name or value contains a zero
    byte (that would add parameters), or the message is longer than a server accepts.
    """

    TAG: ClassVar[bytes] = b""
    #: Name and value, in order: user, database, options, replication, run-time parameters, `_pq_.` protocol options.
    parameters: tuple[tuple[str, str], ...]
    #: major << 16 | minor; the major version is 3.
    protocol_version: int = PROTOCOL_3_0

    def encode(self) -> bytes:
        writer = Writer("StartupMessage", self.TAG)
        if self.protocol_version >> 16 != 3:
            raise writer.error(f"protocol version {_version_text(self.protocol_version)}, only 3 is known")
        writer.uint32(self.protocol_version, "protocol version")
        for name, value in self.parameters:
            if not name:
                raise writer.error("a parameter has no name")
            writer.string(name, "parameter name")
            writer.string(value, f"parameter {name!r}")
        writer.raw(b"\x00")
        return writer.frame(MAX_STARTUP_BODY_BYTES)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("StartupMessage", body)
        if len(body) > MAX_STARTUP_BODY_BYTES:
            raise reader.error(f"{len(body)} bytes, at most {MAX_STARTUP_BODY_BYTES} are possible")
        version = reader.uint32("protocol version")
        if version >> 16 != 3:
            raise reader.error(f"protocol version {_version_text(version)}, only 3 is known")
        parameters: list[tuple[str, str]] = []
        while name := reader.string("parameter name"):
            parameters.append((name, reader.string("parameter value")))
        reader.end()
        return cls(tuple(parameters), version)


def _version_text(version: int) -> str:
    return f"{version >> 16}.{version & 0xFFFF}"


@dataclass(frozen=True, slots=True)
class SSLRequest:
    """Asks for TLS; answered by a single byte, S or N, or by an ErrorResponse."""

    TAG: ClassVar[bytes] = b""

    def encode(self) -> bytes:
        writer = Writer("SSLRequest", self.TAG)
        writer.uint32(_SSL_REQUEST, "request code")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("SSLRequest", body)
        _expect_code(reader, _SSL_REQUEST)
        reader.end()
        return cls()


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    """Asks for GSSAPI encryption; answered by a single byte, G or N, or by an ErrorResponse."""

    TAG: ClassVar[bytes] = b""

    def encode(self) -> bytes:
        writer = Writer("GSSENCRequest", self.TAG)
        writer.uint32(_GSSENC_REQUEST, "request code")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("GSSENCRequest", body)
        _expect_code(reader, _GSSENC_REQUEST)
        reader.end()
        return cls()


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """The only message of a cancel connection; never answered, the server closes the connection when it is done."""

    TAG: ClassVar[bytes] = b""
    #: As in BackendKeyData.
    process_id: int
    secret_key: bytes = field(repr=False)

    def encode(self) -> bytes:
        writer = Writer("CancelRequest", self.TAG)
        writer.uint32(_CANCEL_REQUEST, "request code")
        writer.int32(self.process_id, "process id")
        _write_key(writer, self.secret_key)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("CancelRequest", body)
        _expect_code(reader, _CANCEL_REQUEST)
        return cls(reader.int32("process id"), _read_key(reader))


#: What a server may find at the beginning of a connection.
StartupRequest: TypeAlias = StartupMessage | SSLRequest | GSSENCRequest | CancelRequest


def decode_startup(body: bytes) -> StartupRequest:
    """The message without a type byte that has this body (without its length).

    Raises:
        ProtocolError: it is none of the four, or malformed.
    """
    code = Reader("StartupMessage", body).uint32("protocol version")
    if code == _SSL_REQUEST:
        return SSLRequest.decode(body)
    if code == _GSSENC_REQUEST:
        return GSSENCRequest.decode(body)
    if code == _CANCEL_REQUEST:
        return CancelRequest.decode(body)
    return StartupMessage.decode(body)


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion:
    """The server knows only an older minor version, or not all `_pq_.` options. Before or after AuthenticationOk."""

    TAG: ClassVar[bytes] = b"v"
    #: major << 16 | minor, the newest the server can do. The manual calls it the minor version, servers send the whole.
    protocol_version: int
    #: Names of the options that the server does not know.
    unrecognized_options: tuple[str, ...] = ()

    def encode(self) -> bytes:
        writer = Writer("NegotiateProtocolVersion", self.TAG)
        writer.uint32(self.protocol_version, "protocol version")
        writer.int32(len(self.unrecognized_options), "count of options")
        for option in self.unrecognized_options:
            writer.string(option, "option")
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        reader = Reader("NegotiateProtocolVersion", body)
        version = reader.uint32("protocol version")
        count = reader.int32("count of options")
        if count < 0:
            raise reader.error(f"count of options is {count}")
        # every option takes a byte at least, so a count that is only claimed ends at the first missing one
        options = tuple([reader.string("option") for _ in range(count)])
        reader.end()
        return cls(version, options)


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    """What a CancelRequest for this session must contain. Some poolers do not send it."""

    TAG: ClassVar[bytes] = b"K"
    #: Signed: poolers send random numbers here.
    process_id: int
    #: 4 bytes up to protocol 3.0, 4 to 256 since 3.2.
    secret_key: bytes = field(repr=False)

    def encode(self) -> bytes:
        writer = Writer("BackendKeyData", self.TAG)
        writer.int32(self.process_id, "process id")
        _write_key(writer, self.secret_key)
        return writer.frame()

    @classmethod
    def decode(cls, body: bytes) -> Self:
        if _MIN_KEY_BYTES <= len(body) - 4 <= _MAX_KEY_BYTES:
            return cls(int.from_bytes(body[:4], "big", signed=True), body[4:])
        reader = Reader("BackendKeyData", body)
        return cls(reader.int32("process id"), _read_key(reader))
