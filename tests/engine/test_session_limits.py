"""A server that never stops talking must not fill the memory of a client that does not listen."""

import pytest

from pgsansio.engine import session as session_module
from pgsansio.engine.events import NoticeReceived, NotificationReceived, StatementsDiscarded
from pgsansio.engine.session import Condition
from pgsansio.enums import Format, Outcome, TransactionStatus
from pgsansio.errors import ProtocolError
from pgsansio.messages.backend import CommandComplete, NoticeResponse, NotificationResponse, ReadyForQuery
from pgsansio.messages.copy import CopyInResponse
from tests.support.sessions import copy, feed, new_session, simple_query

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
    assert list(session.events) == [NotificationReceived(1, "c", "p")]
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
