"""What a session may tell outside of operations: the rare things, each true when it is told.

A NotificationResponse ("Message Flow", Asynchronous Operations) is told of by what the user gets, a `Notification`.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pgsansio.errors import PostgresError, PostgresMessage
from pgsansio.types import Notification

__all__ = [
    "BackendErrorReceived",
    "Event",
    "NoticeReceived",
    "ParameterChanged",
    "StatementsDiscarded",
]


@dataclass(frozen=True, slots=True)
class NoticeReceived:
    """A NoticeResponse: NOTICE, WARNING, INFO, LOG or DEBUG."""

    notice: PostgresMessage


@dataclass(frozen=True, slots=True)
class ParameterChanged:
    """A ParameterStatus after start-up."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class BackendErrorReceived:
    """An ErrorResponse while no operation was in flight; a FATAL one is followed by the end of the connection."""

    error: PostgresError


@dataclass(frozen=True, slots=True)
class StatementsDiscarded:
    """DISCARD ALL or DEALLOCATE was carried out: prepared statements of this connection are gone, some or all."""


Event: TypeAlias = NoticeReceived | Notification | ParameterChanged | BackendErrorReceived | StatementsDiscarded
