"""Every exception class, and how the server's error fields become one::

    PostgresMessage -> PostgresError      the server's word: one class per SQLSTATE, under the class of its group
                    -> PostgresLogMessage its notices and warnings
    InterfaceError                        you asked for what is not possible here; nothing was sent, nothing changed
    InternalClientError -> ProtocolError  the server broke the protocol, or we did
    OperationTimeoutError                 a TimeoutError; it says what is known about the operation

They have no common base, since asyncpg's names have asyncpg's bases; `ALL_ERRORS` is a tuple for `except`. Each of them
answers::

    connection_usable   True, False, or None: this error does not say, ask the connection
    safe_to_retry       the server kept nothing of what failed: doing it again unchanged (the whole transaction, if it
                        was in one) cannot do it twice, and may succeed
    attempts            when every host was tried in vain, the error of each attempt

Classes hold the defaults, an instance may know better. `DataError` is the server's (22000), and is also raised for an
argument that cannot be sent; `InvalidValueError` is one, for a value that cannot be received.
"""

import copy
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, TypeVar

import pgsansio.sqlstates as _sqlstates
from pgsansio._error_base import (
    FIELD_NAMES,
    FatalPostgresError,
    PostgresError,
    PostgresLogMessage,
    PostgresMessage,
    UnknownPostgresError,
    with_detail_and_hint,
)
from pgsansio.enums import Outcome
from pgsansio.sqlstates import *  # noqa: F403
from pgsansio.sqlstates import DataError, FeatureNotSupportedError, PostgresWarning

__all__: list[str] = [
    "ALL_ERRORS",
    "ClientConfigurationError",
    "FatalPostgresError",
    "InterfaceError",
    "InterfaceMessage",
    "InterfaceWarning",
    "InternalClientError",
    "InvalidCachedStatementError",
    "InvalidValueError",
    "OperationTimeoutError",
    "OutdatedSchemaCacheError",
    "PipelineAbortedError",
    "PoolExhaustedError",
    "PostgresError",
    "PostgresLogMessage",
    "PostgresMessage",
    "ProtocolError",
    "TargetServerAttributeNotMatched",
    "UnknownPostgresError",
    "UnsupportedClientFeatureError",
    "UnsupportedServerFeatureError",
    "caret",
    "error_from_fields",
    "notice_from_fields",
    "with_attempts",
]
__all__ += _sqlstates.__all__


class InvalidCachedStatementError(FeatureNotSupportedError):
    """A prepared statement no longer gives the result it was described with: a schema or a setting has changed."""


class InvalidValueError(DataError, ValueError):
    """A value of a result cannot be decoded: Python's type does not have it, or its bytes are malformed.

    The statement was carried out, and the connection goes on; the rows are lost. The server never sends it. The codec's
    own ValueError is its cause.
    """

    connection_usable = True


class InterfaceMessage:
    """A message of this library with an optional detail and hint, printed as PostgreSQL's are."""

    args: tuple[Any, ...]

    def __init__(self, *, detail: str | None = None, hint: str | None = None) -> None:
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return with_detail_and_hint(self.args, self.detail, self.hint)


class InterfaceError(InterfaceMessage, Exception):
    """The caller asked for what is not possible here. Nothing was sent and nothing changed."""

    connection_usable: bool | None = None
    safe_to_retry: bool = False
    attempts: tuple[BaseException, ...] = ()

    def __init__(self, msg: str, *, detail: str | None = None, hint: str | None = None) -> None:
        InterfaceMessage.__init__(self, detail=detail, hint=hint)
        Exception.__init__(self, msg)

    def with_msg(self, msg: str) -> Self:
        """The same error, with all it has and its traceback, and another message."""
        error = copy.copy(self)
        error.args = (msg,)
        return error.with_traceback(self.__traceback__)


class ClientConfigurationError(InterfaceError, ValueError):
    """A connection string, a parameter or an environment variable cannot be used."""


class UnsupportedClientFeatureError(InterfaceError):
    """This library does not know how to do that."""


class UnsupportedServerFeatureError(InterfaceError):
    """This server does not know how to do that."""


class PipelineAbortedError(InterfaceError):
    """An operation of a pipeline has no result, because of another one's failure, which is the cause.

    Args:
        outcome: `SKIPPED`: nothing of it was kept; `CANCELLED`: it was not sent; `UNKNOWN`: nobody has waited for it.
    """

    connection_usable = True

    def __init__(self, msg: str, *, outcome: Outcome = Outcome.SKIPPED) -> None:
        super().__init__(msg)
        self.outcome = outcome
        self.safe_to_retry = outcome is not Outcome.UNKNOWN


class PoolExhaustedError(InterfaceError):
    """All connections of a pool are in use, and too many tasks wait for one already (`max_waiting`)."""

    safe_to_retry = True


class InterfaceWarning(InterfaceMessage, UserWarning):
    """Something was asked for that is most likely a mistake."""

    def __init__(self, msg: str, *, detail: str | None = None, hint: str | None = None) -> None:
        InterfaceMessage.__init__(self, detail=detail, hint=hint)
        UserWarning.__init__(self, msg)


class InternalClientError(Exception):
    """Something happened that should not: a defect here, or a server that is not like PostgreSQL."""

    connection_usable: bool | None = None
    safe_to_retry: bool = False
    attempts: tuple[BaseException, ...] = ()


class ProtocolError(InternalClientError):
    """The server's bytes contradict the protocol; where they end can no longer be told."""

    connection_usable = False


class TargetServerAttributeNotMatched(InternalClientError):
    """Hosts answered, but none of them is what target_session_attrs asks for."""

    connection_usable = False


class OutdatedSchemaCacheError(InternalClientError):
    """A value was not of the type that was expected: the schema changed after its statement was prepared.

    Args:
        schema, data_type: the type as it was known.
        position: the column of it that differs, from 0.
    """

    connection_usable = True

    def __init__(
        self, msg: str, *, schema: str | None = None, data_type: str | None = None, position: int | None = None
    ) -> None:
        super().__init__(msg)
        self.schema_name = schema
        self.data_type_name = data_type
        self.position = position


class OperationTimeoutError(TimeoutError):
    """A time limit passed before the operation was settled.

    Args:
        outcome: what is known about the operation: `CANCELLED` if it was never written, `UNKNOWN` if it was.
        safe_to_retry: the server kept nothing of it; None: exactly when it was cancelled.
        connection_usable: can the connection go on?
    """

    attempts: tuple[BaseException, ...] = ()

    def __init__(
        self,
        msg: str = "",
        *,
        outcome: Outcome = Outcome.UNKNOWN,
        safe_to_retry: bool | None = None,
        connection_usable: bool | None = None,
    ) -> None:
        super().__init__(msg)
        self.outcome = outcome
        self.safe_to_retry: bool = outcome is Outcome.CANCELLED if safe_to_retry is None else safe_to_retry
        self.connection_usable: bool | None = connection_usable


#: Everything this library raises on purpose, for `except`. (While connecting, plain OSErrors come through from below.)
ALL_ERRORS: Final = (PostgresError, InterfaceError, InternalClientError, OperationTimeoutError)

_REVALIDATION_TEXT: Final = "cached statement plan is invalid due to a database schema or configuration change"

#: SQLSTATEs that a pooler causes by giving one session's statements to another: duplicate and unknown statement name.
_STATEMENT_NAME_CODES: Final = ("42P05", "26000")

_POOLER_HINT: Final = """\
NOTE: prepared statements get lost or mixed up when a pooler gives each transaction or statement a server
connection of its own (pgbouncer with pool_mode "transaction" or "statement" and without max_prepared_statements).
Let pgbouncer track them (version 1.21 or newer, max_prepared_statements above 0), use the pool of this library
instead of pgbouncer, or connect with statement_mode="unnamed" or statement_cache_size=0."""


def _attributes(fields: Mapping[str, str], query: str | None) -> dict[str, str | None]:
    attributes: dict[str, str | None] = {
        FIELD_NAMES[code]: text for code, text in fields.items() if code in FIELD_NAMES
    }
    attributes["query"] = query
    return attributes


def _class_of(sqlstate: str | None) -> type[PostgresMessage] | None:
    """The class of this code, else of its group (code class), else None."""
    if sqlstate is None:
        return None
    return PostgresMessage.by_sqlstate.get(sqlstate) or PostgresMessage.by_sqlstate.get(f"{sqlstate[:2]}000")


def error_from_fields(fields: Mapping[str, str], query: str | None = None) -> PostgresError:
    """The exception for an ErrorResponse.

    Args:
        fields: text by one-letter code; unknown codes are ignored, any may be missing.
        query: the statement it is about, kept as `query`.
    Returns:
        An instance of the SQLSTATE's class; of its group's class if the code is unknown; `UnknownPostgresError` if the
        group is unknown, too; `PostgresError` if the code is one of a warning. `connection_usable` follows from the
        severity.
    Source: manual, "Error and Notice Message Fields".
    """
    attributes = _attributes(fields, query)
    message = fields.get("M", "")
    sqlstate = fields.get("C")
    error_class = _class_of(sqlstate)
    if error_class is None:
        error_class = UnknownPostgresError
    elif not issubclass(error_class, PostgresError):
        error_class = PostgresError
    elif sqlstate == "0A000" and fields.get("R") == "RevalidateCachedQuery":
        # Told by the server's function, since its text is translated.
        error_class = InvalidCachedStatementError
        message = _REVALIDATION_TEXT
    elif sqlstate in _STATEMENT_NAME_CODES:
        attributes["hint"] = f"{fields.get('H', '')}\n{_POOLER_HINT}".lstrip("\n")
    error = error_class(message)
    error.__dict__.update(attributes)
    severity = fields.get("V") or fields.get("S")
    if severity in ("FATAL", "PANIC"):
        error.connection_usable = False
    elif severity == "ERROR":
        error.connection_usable = True
    return error


def notice_from_fields(fields: Mapping[str, str]) -> PostgresMessage:
    """The object for a NoticeResponse.

    Args:
        fields: as in `error_from_fields`.
    Returns:
        An instance of the SQLSTATE's class: a `PostgresLogMessage`, or, because notices may carry the code of an error
        ("relation already exists, skipping"), a `PostgresError` that nobody raises. If the code is unknown,
        `PostgresWarning` or `PostgresLogMessage`, by the severity.
    """
    sqlstate = fields.get("C")
    notice_class = PostgresMessage.by_sqlstate.get(sqlstate) if sqlstate is not None else None
    if notice_class is None:
        severity = fields.get("V") or fields.get("S") or ""
        notice_class = PostgresWarning if severity.upper() == "WARNING" else PostgresLogMessage
    # PostgresLogMessage itself is no exception and takes no arguments.
    notice = notice_class(fields.get("M", "")) if issubclass(notice_class, BaseException) else notice_class()
    notice.__dict__.update(_attributes(fields, None))
    return notice


ErrorT = TypeVar("ErrorT", bound=BaseException)


def with_attempts(error: ErrorT, attempts: Sequence[BaseException]) -> ErrorT:
    """`error` as the outcome of attempts to connect: they become its `attempts`, and a group of them its `__cause__`.

    Args:
        error: the one to raise; usually the last of them. It may be an OSError, too.
        attempts: every attempt's error, in order. A single one that is `error` itself is no cause.
    """
    error.attempts = tuple(attempts)  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    if any(attempt is not error for attempt in attempts):
        error.__cause__ = BaseExceptionGroup("every attempt to connect failed", list(attempts))
    return error


#: Columns of a terminal that a line of `caret` may take.
_CARET_WIDTH: Final = 78


def caret(query: str | None, position: str | int | None) -> str:
    """The line of `query` that an error is about, with a caret under the place, as psql prints it.

    Args:
        query: the statement, or None.
        position: of a character in it, from 1, as `PostgresError.position` has it; just behind the last is its end.
    Returns:
        Two lines without a newline at the end; "" if there is no query or no such position. A long line is cut on both
        sides; tabs and whatever else is not printable become spaces.
    """
    # The position comes from the server: int() refuses thousands of digits.
    if query is None or position is None or not str(position).isdecimal() or len(str(position)) > 10:
        return ""
    offset = int(position) - 1
    if not 0 <= offset <= len(query):
        return ""
    # The server counts "\r\n" as two characters, so lines are cut after each "\n" and a "\r" before it is just blank.
    number = query.count("\n", 0, offset) + 1
    start = query.rfind("\n", 0, offset) + 1
    end = query.find("\n", offset)
    line = query[start : len(query) if end < 0 else end].rstrip("\r")
    offset -= start
    prefix = f"LINE {number}: "
    shown = [(char, _columns(char)) if char.isprintable() else (" ", 1) for char in line]
    before, after = shown[:offset], shown[offset:]
    room = _CARET_WIDTH - len(prefix)
    if sum(columns for _, columns in shown) > room:
        before = [("...", 3), *_last(before, room // 2)] if _width(before) > room // 2 + 3 else before
        room -= _width(before)
        after = [*reversed(_last(after[::-1], room - 3)), ("...", 3)] if _width(after) > room else after
    text = "".join(char for char, _ in before + after)
    return f"{prefix}{text}\n{' ' * (len(prefix) + _width(before))}^"


def _columns(char: str) -> int:
    """Columns of a terminal that a printable character takes."""
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _width(characters: list[tuple[str, int]]) -> int:
    return sum(columns for _, columns in characters)


def _last(characters: list[tuple[str, int]], room: int) -> list[tuple[str, int]]:
    """As many of the last characters as fit into `room` columns, which is not all of them."""
    begin = len(characters)
    while (room := room - characters[begin - 1][1]) >= 0:
        begin -= 1
    return characters[begin:]
