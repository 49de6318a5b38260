"""Type byte -> message class, one table per direction, and how long a message of each type may be.

D, S, E, C and H mean one thing from a frontend and another from a backend; p means four, and only the one who asked
knows which ("Message Formats").
"""

import enum
from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

from pgsansio.errors import ProtocolError
from pgsansio.messages.authentication import (
    AuthenticationRequest,
    AuthenticationResponse,
    PasswordMessage,
    decode_authentication,
)
from pgsansio.messages.backend import (
    BindComplete,
    CloseComplete,
    CommandComplete,
    DataRow,
    EmptyQueryResponse,
    ErrorResponse,
    FunctionCallResponse,
    NoData,
    NoticeResponse,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    ReadyForQuery,
    RowDescription,
)
from pgsansio.messages.copy import (
    MAX_COPY_FAIL_BODY_BYTES,
    CopyBothResponse,
    CopyData,
    CopyDone,
    CopyFail,
    CopyInResponse,
    CopyOutResponse,
)
from pgsansio.messages.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Terminate,
)
from pgsansio.messages.startup import BackendKeyData, NegotiateProtocolVersion, StartupRequest
from pgsansio.wire.fields import MAX_BODY_BYTES

__all__ = [
    "BACKEND_LIMITS",
    "BACKEND_STARTUP_LIMITS",
    "BACKEND_TAGS",
    "FRONTEND_LIMITS",
    "FRONTEND_TAGS",
    "BackendMessage",
    "Direction",
    "FrontendMessage",
    "SessionAnswer",
    "SessionRequest",
    "decode_backend",
    "decode_frontend",
]


class Direction(enum.Enum):
    """Who sends, by the letter of the manual's "Message Formats"."""

    FRONTEND = "F"
    BACKEND = "B"


#: What a backend sends, except for the authentication requests.
SessionAnswer: TypeAlias = (
    BackendKeyData
    | BindComplete
    | CloseComplete
    | CommandComplete
    | CopyBothResponse
    | CopyData
    | CopyDone
    | CopyInResponse
    | CopyOutResponse
    | DataRow
    | EmptyQueryResponse
    | ErrorResponse
    | FunctionCallResponse
    | NegotiateProtocolVersion
    | NoData
    | NoticeResponse
    | NotificationResponse
    | ParameterDescription
    | ParameterStatus
    | ParseComplete
    | PortalSuspended
    | ReadyForQuery
    | RowDescription
)
BackendMessage: TypeAlias = AuthenticationRequest | SessionAnswer

#: What a frontend sends in a session.
SessionRequest: TypeAlias = (
    Bind
    | Close
    | CopyData
    | CopyDone
    | CopyFail
    | Describe
    | Execute
    | Flush
    | FunctionCall
    | Parse
    | Query
    | Sync
    | Terminate
)
FrontendMessage: TypeAlias = StartupRequest | AuthenticationResponse | SessionRequest

_Class = TypeVar("_Class", bound=type[SessionAnswer] | type[SessionRequest])


def _by_tag(*messages: _Class) -> dict[int, _Class]:
    return {message.TAG[0]: message for message in messages}


#: R is not here: `decode_authentication` tells its classes apart.
BACKEND_TAGS: Final[Mapping[int, type[SessionAnswer]]] = _by_tag(
    BackendKeyData,
    BindComplete,
    CloseComplete,
    CommandComplete,
    CopyBothResponse,
    CopyData,
    CopyDone,
    CopyInResponse,
    CopyOutResponse,
    DataRow,
    EmptyQueryResponse,
    ErrorResponse,
    FunctionCallResponse,
    NegotiateProtocolVersion,
    NoData,
    NoticeResponse,
    NotificationResponse,
    ParameterDescription,
    ParameterStatus,
    ParseComplete,
    PortalSuspended,
    ReadyForQuery,
    RowDescription,
)

#: p is not here: its meaning depends on what was asked.
FRONTEND_TAGS: Final[Mapping[int, type[SessionRequest]]] = _by_tag(
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Terminate,
)

_AUTHENTICATION: Final = ord("R")
_RESPONSE: Final = PasswordMessage.TAG[0]

# libpq takes a length word above 30000 for lost synchronisation, unless the type may be long ("pqParseInput3").
_SHORT: Final = 30000 - 4
# libpq's bound for both while a connection is made; it has no other use for them ("PQconnectPoll").
_NEGOTIATION: Final = 2000 - 4
# An error repeats what it is about: a cast of a text to integer the whole text. libpq has no bound. This one is far
# above what a person reads, and keeps a broken or hostile server from filling the memory.
_REPORT: Final = 64 << 20
# 65535 columns, whose names are at most 63 bytes in PostgreSQL (and longer elsewhere).
_ROW_DESCRIPTION: Final = 16 << 20
# A count and 65535 oids.
_PARAMETER_DESCRIPTION: Final = 2 + 4 * 65535
# A payload is below 8000 bytes, or below the block size, which is at most 32 KiB. libpq has no bound.
_NOTIFICATION: Final = 1 << 20

#: Type byte -> the longest body (without type byte and length) a frontend accepts. A type that is not here does not
#: exist.
BACKEND_LIMITS: Final[dict[int, int]] = {
    **dict.fromkeys(BACKEND_TAGS, _SHORT),
    _AUTHENTICATION: _NEGOTIATION,
    ord("v"): _NEGOTIATION,
    ord("E"): _REPORT,
    ord("N"): _REPORT,
    ord("A"): _NOTIFICATION,
    ord("T"): _ROW_DESCRIPTION,
    ord("t"): _PARAMETER_DESCRIPTION,
    ord("D"): MAX_BODY_BYTES,
    ord("d"): MAX_BODY_BYTES,
    ord("V"): MAX_BODY_BYTES,
}

#: The same until the first ReadyForQuery: only what may come there, and little of it, since nobody has proved anything
#: yet. libpq bounds an error there by 30000 (MAX_ERRLEN).
BACKEND_STARTUP_LIMITS: Final[dict[int, int]] = {
    _AUTHENTICATION: _NEGOTIATION,
    ord("v"): _NEGOTIATION,
    ord("E"): _SHORT,
    ord("N"): _SHORT,
    ord("K"): _SHORT,
    ord("S"): _SHORT,
    ord("Z"): _SHORT,
}

#: Type byte -> the longest body a PostgreSQL backend accepts ("SocketBackend": PQ_SMALL_MESSAGE_LIMIT,
#: PQ_LARGE_MESSAGE_LIMIT; for p PG_MAX_AUTH_TOKEN_LENGTH). It drops the connection above them.
FRONTEND_LIMITS: Final[dict[int, int]] = {
    **dict.fromkeys(FRONTEND_TAGS, MAX_COPY_FAIL_BODY_BYTES),
    **dict.fromkeys(b"QFBPd", MAX_BODY_BYTES),
    _RESPONSE: 65535 - 4,
}


def decode_backend(tag: int, body: bytes) -> BackendMessage:
    """The message of a backend with this type byte and body (without its length).

    Raises:
        ProtocolError: an unknown type, or a malformed body.
    """
    if tag == _AUTHENTICATION:
        return decode_authentication(body)
    message = BACKEND_TAGS.get(tag)
    if message is None:
        raise ProtocolError(f"unknown message type {_shown(tag)} from the backend")
    return message.decode(body)


def decode_frontend(
    tag: int, body: bytes, context: type[AuthenticationResponse] | None = None
) -> AuthenticationResponse | SessionRequest:
    """The message of a frontend with this type byte and body (without its length).

    Messages without a type byte are read by `pgsansio.messages.startup.decode_startup`.

    Args:
        context: what the type byte p means now: the class of the answer that was asked for, None outside of
        authentication.
    Raises:
        ProtocolError: an unknown type, p without a context, or a malformed body.
    """
    if tag == _RESPONSE:
        if context is None:
            raise ProtocolError("an authentication response (message type 'p') that was not asked for")
        return context.decode(body)
    message = FRONTEND_TAGS.get(tag)
    if message is None:
        raise ProtocolError(f"unknown message type {_shown(tag)} from the frontend")
    return message.decode(body)


def _shown(tag: int) -> str:
    """'X' for ASCII, else 0xff."""
    return repr(chr(tag)) if 0x20 < tag < 0x7F else f"{tag:#04x}"
