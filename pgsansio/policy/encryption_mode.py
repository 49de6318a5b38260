"""Whether a connection is encrypted: what to try, what an answer leads to, and what to try after a failure.

`attempts` says in which ways one address is tried, `after_answer` what the server's byte means for an attempt, and
`may_try_the_next` whether a failure says anything about the other way. The rules are asyncpg's, which are libpq's with
one difference: an error instead of an answer ends it, since nobody knows who said it (CVE-2024-10977).

GSS encryption is not built: gssencmode=prefer acts as disable.

Source: manual, "SSL Support", "SSL Mode Descriptions"; "Message Flow", SSL Session Encryption.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from pgsansio.errors import (
    AdminShutdownError,
    CannotConnectNowError,
    ClientConfigurationError,
    ConnectionDoesNotExistError,
    CrashShutdownError,
    InsufficientResourcesError,
    InvalidAuthorizationSpecificationError,
    InvalidPasswordError,
    PostgresError,
    ProtocolViolationError,
)

__all__ = [
    "ALPN_PROTOCOL",
    "Answer",
    "Attempt",
    "Decision",
    "SSLMode",
    "Stage",
    "Way",
    "after_answer",
    "attempts",
    "error_to_raise",
    "is_of_the_server",
    "may_try_the_next",
    "protocol_is_chosen",
]

#: What client and server call what they speak inside of TLS (since PostgreSQL 17).
ALPN_PROTOCOL: Final = "postgresql"

_OF_THE_SERVER: Final = (
    CannotConnectNowError,
    AdminShutdownError,
    CrashShutdownError,
    InsufficientResourcesError,
)
#: PgBouncer gives all its errors the SQLSTATE of a protocol violation, and never translates them. It has no room, or
#: the server behind it has none or is not there.
_OF_THE_POOLER: Final = (
    "no more connections allowed",
    "client connections exceeded",
    "query_wait_timeout",
    "server login has been failing",
    "pooler is shutting down",
)


class SSLMode(IntEnum):
    """sslmode, from the weakest to the strongest (manual, "SSL Mode Descriptions")."""

    disable = 0
    allow = 1
    prefer = 2
    require = 3
    verify_ca = 4
    verify_full = 5

    @property
    def word(self) -> str:
        """As it is written in a connection string."""
        return self.name.replace("_", "-")


class Way(Enum):
    """How the conversation with an address begins."""

    PLAIN = "plain"
    #: SSLRequest, then a handshake.
    TLS = "TLS"
    #: A handshake at once; PostgreSQL 17 and newer.
    DIRECT_TLS = "direct TLS"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to connect to an address."""

    way: Way
    #: A server that refuses TLS is spoken to in plain text, on the same connection.
    plain_if_refused: bool = False


class Answer(Enum):
    """What came back for SSLRequest."""

    ACCEPTED = "S"
    REFUSED = "N"
    ERROR = "E"


class Decision(Enum):
    """What an answer leads to."""

    HANDSHAKE = "handshake"
    GO_ON_PLAIN = "go on in plain text"
    #: TLS is demanded, and there is none.
    REFUSED = "refused"
    #: Somebody sent an error before the connection was encrypted: its text is nobody's word.
    UNTRUSTED_ERROR = "untrusted error"


class Stage(Enum):
    """How far an attempt came before it failed."""

    #: The network connection, and the answer to SSLRequest.
    OPENING = "opening"
    HANDSHAKE = "handshake"
    #: From StartupMessage to AuthenticationOk.
    AUTHENTICATION = "authentication"
    #: After AuthenticationOk.
    SESSION = "session"


_PLAIN: Final = (Attempt(Way.PLAIN),)
_TLS: Final = (Attempt(Way.TLS),)
_DIRECT: Final = (Attempt(Way.DIRECT_TLS),)
_ATTEMPTS: Final = {
    SSLMode.disable: _PLAIN,
    SSLMode.allow: (*_PLAIN, *_TLS),
    SSLMode.prefer: (Attempt(Way.TLS, plain_if_refused=True), *_PLAIN),
}


def attempts(mode: SSLMode, *, direct: bool, over_tcp: bool, has_tls: bool = True) -> tuple[Attempt, ...]:
    """The ways to try, in order; at least one. A Unix socket never has TLS.

    Args:
        direct: no SSLRequest (sslnegotiation=direct).
        has_tls: whether this client can do TLS at all.
    Raises:
        ClientConfigurationError: TLS is demanded of a client that has none.
    """
    if not over_tcp:
        return _PLAIN
    if not has_tls:
        if mode >= SSLMode.require:
            raise ClientConfigurationError(f"this client's port has no TLS, and sslmode {mode.word} demands it")
        return _PLAIN
    return _ATTEMPTS.get(mode) or (_DIRECT if direct else _TLS)


def after_answer(attempt: Attempt, answer: Answer) -> Decision:
    """What the answer to SSLRequest leads to."""
    if answer is Answer.ACCEPTED:
        return Decision.HANDSHAKE
    if answer is Answer.ERROR:
        return Decision.UNTRUSTED_ERROR
    return Decision.GO_ON_PLAIN if attempt.plain_if_refused else Decision.REFUSED


def protocol_is_chosen(attempt: Attempt, chosen: str | None) -> bool:
    """Whether the other end agreed to speak PostgreSQL's protocol (ALPN).

    Servers before 17 do not know ALPN and choose nothing, but they do not know direct TLS either; one that takes a
    direct handshake without choosing may be another protocol's.
    """
    return chosen == ALPN_PROTOCOL or (chosen is None and attempt.way is not Way.DIRECT_TLS)


def is_of_the_server(error: BaseException) -> bool:
    """Whether a server says this of itself, and not of who asks: that it starts up, shuts down or recovers, or that it
    has no room ("too many connections"). It is the same in both ways, and another server may do.
    """
    if isinstance(error, ProtocolViolationError):
        return str(error).startswith(_OF_THE_POOLER)
    return isinstance(error, _OF_THE_SERVER)


def may_try_the_next(attempt: Attempt, stage: Stage, *, encrypted: bool, error: BaseException) -> bool:
    """Whether the other way may work where this attempt failed: pg_hba.conf tells them apart, and TLS may be broken.

    Args:
        encrypted: whether the attempt had come to an encrypted connection.
        error: never worth another attempt are time-outs, cancellations and what this end has found wrong.
    """
    if stage is Stage.HANDSHAKE:
        return isinstance(error, OSError) and not isinstance(error, TimeoutError)
    if stage is not Stage.AUTHENTICATION or encrypted is (attempt.way is Way.PLAIN):
        return False
    return isinstance(error, PostgresError) and not is_of_the_server(error)


def error_to_raise(first: BaseException, second: BaseException) -> BaseException:
    """The one of two attempts' errors that tells more: the second, unless it hides that a password was wrong."""
    generic = (InvalidAuthorizationSpecificationError, ConnectionDoesNotExistError)
    if (
        isinstance(first, InvalidPasswordError)
        and isinstance(second, generic)
        and not isinstance(second, InvalidPasswordError)
    ):
        return first
    return second
