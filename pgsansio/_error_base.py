"""The classes that `sqlstates` derives from; import them from `pgsansio.errors`.

They are a module of their own only because the generated tree stands between them and the rest of `errors`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, NoReturn

__all__ = [
    "FIELD_NAMES",
    "FatalPostgresError",
    "PostgresError",
    "PostgresLogMessage",
    "PostgresMessage",
    "UnknownPostgresError",
    "with_detail_and_hint",
]

#: One-letter field codes and the attributes that hold them (manual, "Error and Notice Message Fields").
FIELD_NAMES: Final[Mapping[str, str]] = {
    "S": "severity",
    "V": "severity_en",
    "C": "sqlstate",
    "M": "message",
    "D": "detail",
    "H": "hint",
    "P": "position",
    "p": "internal_position",
    "q": "internal_query",
    "W": "context",
    "s": "schema_name",
    "t": "table_name",
    "c": "column_name",
    "d": "data_type_name",
    "n": "constraint_name",
    "F": "server_source_filename",
    "L": "server_source_line",
    "R": "server_source_function",
}


def with_detail_and_hint(args: tuple[Any, ...], detail: str | None, hint: str | None) -> str:
    """The text of an error: its message, then DETAIL and HINT lines as psql prints them."""
    text = str(args[0]) if args else ""
    if detail:
        text += f"\nDETAIL:  {detail}"
    if hint:
        text += f"\nHINT:  {hint}"
    return text


class PostgresMessage:
    """What the server says, as an error or as a notice: the fields it sent, None for those it did not send.

    A subclass that sets `sqlstate` is from then on the class of messages with that code, so a program can give its own
    `RAISE ... USING ERRCODE` an exception class.

    Raises:
        TypeError: from the class statement, if a class has that code already.
    """

    #: The class of each SQLSTATE that has one.
    by_sqlstate: ClassVar[dict[str, type["PostgresMessage"]]] = {}

    #: Localized, while `severity_en` never is: ERROR, FATAL, PANIC; WARNING, NOTICE, DEBUG, INFO, LOG.
    severity: str | None = None
    severity_en: str | None = None
    sqlstate: str | None = None
    message: str | None = None
    detail: str | None = None
    hint: str | None = None
    #: Decimal digits; the first character of `query` is 1. See `pgsansio.errors.caret`.
    position: str | None = None
    #: The same, in `internal_query`.
    internal_position: str | None = None
    internal_query: str | None = None
    context: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    column_name: str | None = None
    data_type_name: str | None = None
    constraint_name: str | None = None
    server_source_filename: str | None = None
    server_source_line: str | None = None
    server_source_function: str | None = None
    #: The statement that was being carried out, if it is known. Not a field of the protocol.
    query: str | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        code: str | None = cls.__dict__.get("sqlstate")
        if code is None:
            return
        existing = PostgresMessage.by_sqlstate.get(code)
        if existing is not None:
            raise TypeError(
                f"{cls.__name__} has duplicate SQLSTATE code, which is already defined by {existing.__name__}"
            )
        PostgresMessage.by_sqlstate[code] = cls

    def as_dict(self) -> dict[str, str]:
        """The fields that are set, by attribute name; without `query`."""
        values = ((name, getattr(self, name)) for name in FIELD_NAMES.values())
        return {name: value for name, value in values if value is not None}


class PostgresError(PostgresMessage, Exception):
    """Base class for all errors the server reports; one subclass per SQLSTATE."""

    #: Can the connection go on? None: this error does not say, ask the connection.
    connection_usable: bool | None = None
    #: The server kept nothing of what failed: doing it again unchanged (the whole transaction, if it was in one) cannot
    #: do it twice, and may succeed.
    safe_to_retry: bool = False
    #: When every host was tried in vain: the error of each attempt, in order, this one among them.
    attempts: tuple[BaseException, ...] = ()

    def __str__(self) -> str:
        return with_detail_and_hint(self.args, self.detail, self.hint)


class FatalPostgresError(PostgresError):
    """An error after which the server ends the session."""


class UnknownPostgresError(FatalPostgresError):
    """An error whose SQLSTATE is missing, or in no class that is known."""


class PostgresLogMessage(PostgresMessage):
    """A notice of the server: anything it says that is not an error. Immutable."""

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.message}"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError(f"instances of {type(self).__name__} are immutable")

    def __setstate__(self, state: dict[str, Any] | None, /) -> None:
        # What copying and unpickling call; the one of Warning would go through __setattr__.
        self.__dict__.update(state or {})
