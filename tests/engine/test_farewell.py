"""Saying goodbye: the transport stays until the server has hung up."""

import pytest

from pgsansio.enums import Outcome
from pgsansio.errors import ConnectionDoesNotExistError, InterfaceError
from pgsansio.testing.script import ready, selected
from tests.support.sessions import execution, feed, new_session


def test_the_transport_stays_until_the_server_has_hung_up() -> None:
    session, running = new_session(), execution()
    session.submit(running)
    session.data_to_send()
    farewell = session.say_goodbye(b"goodbye")
    assert session.data_to_send() == b"goodbye"
    assert not session.is_open
    assert not session.ended
    assert isinstance(running.error, ConnectionDoesNotExistError)
    with pytest.raises(InterfaceError, match="connection is closed"):
        session.submit(execution())
    feed(session, selected("SELECT 1"), ready())
    assert not farewell.settled, "what it had to say says nothing any more"
    session.completed()
    session.receive_eof()
    assert session.ended
    assert session.completed() == [farewell]
    assert farewell.outcome is Outcome.COMPLETED
    session.receive_eof()
    assert session.completed() == []


def test_without_goodbye_it_ends_at_once() -> None:
    session = new_session()
    session.close(b"goodbye")
    assert session.ended


def test_who_says_goodbye_too_late() -> None:
    session = new_session()
    session.receive_eof()
    assert session.say_goodbye(b"goodbye").settled
    assert session.data_to_send() == b""
    assert session.ended
