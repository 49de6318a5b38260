"""A server that never stops talking must not fill the memory of a client that does not listen."""

import time

import pytest

from pgsansio.engine import session as session_module
from pgsansio.engine.events import NoticeReceived, StatementsDiscarded
from pgsansio.engine.queue import Condition
from pgsansio.enums import Format, Outcome, TransactionStatus
from pgsansio.errors import ProtocolError
from pgsansio.messages.backend import CommandComplete, NoticeResponse, NotificationResponse, ReadyForQuery
from pgsansio.messages.copy import CopyInResponse
from pgsansio.policy.cancellation import Owed
from pgsansio.types import Notification
from tests.support.sessions import copy, execution, feed, new_session, script, simple_query

NOTICE = NoticeResponse({"S": "NOTICE", "C": "00000", "M": "x" * 700})


def test_events_that_nobody_takes_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_EVENTS_BYTES", 10_000)
    session = new_session()
    feed(session, *[NOTICE] * 100)
    assert session.events_dropped == 90
    assert len(session.events) == 10
    assert all(isinstance(event, NoticeReceived) for event in session.events)
    session.events.clear()
    feed(session, NotificationResponse(1, "c", "p"))
    assert list(session.events) == [Notification(1, "c", "p")]
    assert session.events_dropped == 90


def test_what_the_statement_cache_has_to_know_is_never_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_EVENTS_BYTES", 1000)
    session = new_session()
    session.submit(simple_query())
    feed(session, NOTICE, NOTICE, (CommandComplete("DISCARD ALL").encode() + NOTICE.encode()) * 1000)
    assert [type(event) for event in session.events] == [NoticeReceived, StatementsDiscarded]


@pytest.mark.parametrize("operation", [simple_query(), copy()])
def test_a_copy_that_was_refused_cannot_complete(operation: object) -> None:
    session = new_session()
    session.submit(operation)  # type: ignore[arg-type]
    begin = CopyInResponse(Format.TEXT, ())
    if session.exclusive is not None:
        feed(session, begin)
        session.copy_done(session.exclusive)  # type: ignore[arg-type]
        feed(session, CommandComplete("COPY 0"))
    session.data_to_send()
    feed(session, (begin.encode() + CommandComplete("COPY 0").encode()) * 1000, ReadyForQuery(TransactionStatus.IDLE))
    assert session.condition is Condition.BROKEN
    assert len(session.data_to_send()) < 100
    assert operation.outcome is Outcome.UNKNOWN  # type: ignore[attr-defined]
    assert isinstance(operation.error, ProtocolError)  # type: ignore[attr-defined]


def test_giving_up_takes_no_longer_the_more_operations_wait() -> None:
    """Looking for each of them among the others took a quarter of a minute."""
    session = new_session()
    head = script()
    session.submit(head)
    first, *waiting, last = [execution(b"%d;" % number) for number in range(40_000)]
    for operation in (first, *waiting, last):
        session.submit(operation)
    began = time.process_time()
    for operation in reversed(waiting):
        assert session.abandon(operation) is Owed.DROP
        assert operation.outcome is Outcome.CANCELLED
    assert time.process_time() - began < 5
    assert session.data_to_send() == b"Q"
    feed(session, CommandComplete("SELECT 1"), ReadyForQuery(TransactionStatus.IDLE))
    assert session.data_to_send() == b"0;39999;"


def test_what_was_given_up_first_is_forgotten_when_the_connection_ends() -> None:
    session = new_session()
    session.submit(script())
    waiting = [execution() for _ in range(3)]
    for operation in waiting:
        session.submit(operation)
    session.abandon(waiting[1])
    list(session.completed())
    session.connection_lost(None)
    assert [operation.outcome for operation in waiting] == [Outcome.CANCELLED] * 3
    assert waiting[1].error is None
    assert waiting[1] not in list(session.completed())
