"""A BEGIN that goes out with the first operation of its transaction: who carries it, and what its refusal means."""

import pytest

from pgsansio.engine.operations import EXCLUSIVE, FOLLOWS, INTERNAL, SYNC, Operation
from pgsansio.engine.session import Session
from pgsansio.enums import Outcome
from pgsansio.errors import FeatureNotSupportedError, InterfaceError, QueryCanceledError
from pgsansio.messages.backend import BindComplete, CloseComplete, ParseComplete
from pgsansio.policy.cancellation import Owed
from pgsansio.testing.script import error, ready, row, selected
from tests.support.sessions import execution, feed, new_session, preparation, simple_query

BEGUN = (ParseComplete(), BindComplete(), selected("BEGIN"))
ONE_ROW = (BindComplete(), row(b"x"), selected("SELECT 1"))
REFUSED = error("0A000")


def deferred(session: Session | None = None) -> Session:
    session = new_session() if session is None else session
    session.defer_begin(b"<begin>")
    return session


def test_it_goes_out_in_the_group_of_the_first_operation() -> None:
    session, operation = deferred(), execution(b"<one>")
    assert session.data_to_send() == b""
    assert session.in_transaction
    assert session.begin_is_due
    assert session.idle
    session.submit(operation)
    assert session.data_to_send() == b"<begin><one>"
    assert session.in_transaction
    assert not session.begin_is_due
    feed(session, *BEGUN)
    assert session.in_transaction, "it is before ReadyForQuery says so"
    assert not session.may_join
    feed(session, *ONE_ROW, ready("T"))
    assert operation.outcome is Outcome.COMPLETED
    assert [tuple(one) for one in operation.rows] == [("x",)]
    assert session.in_transaction
    second = execution(b"<two>")
    session.submit(second)
    assert session.data_to_send() == b"<two>", "only the first one carries it"
    session.drop_begin()
    assert session.in_transaction, "it is no prediction any more"


def test_what_answers_it_is_not_the_operations() -> None:
    session, operation = deferred(), preparation(closing=("old",))
    session.submit(operation)
    feed(session, *BEGUN)
    assert operation.tag is None
    assert not operation.is_parsed
    assert operation.step == 0, "none of its steps was answered"
    feed(session, CloseComplete(), error(), ready("E"))
    assert operation.outcome is Outcome.FAILED
    assert not operation.is_parsed


def test_it_is_held_to_what_a_begin_answers() -> None:
    session = deferred()
    session.submit(execution(b"<one>"))
    feed(session, ParseComplete(), BindComplete(), row(b"x"))
    assert "end of such a BEGIN" in str(session.failure)


def test_its_rows_are_nobodys_when_it_is_over() -> None:
    session, operation = deferred(), execution(b"<one>")
    session.submit(operation)
    feed(session, *BEGUN, *ONE_ROW, ready("T"))
    assert session.beginning is None, "or its result would be kept until the transaction ends"


def test_one_of_before_that_was_left_is_refused_and_the_next_one_waits() -> None:
    session, first, second = deferred(), execution(b"<one>"), execution(b"<two>")
    session.submit(first)
    session.abandon(first)
    session.drop_begin()
    deferred(session)
    feed(session, REFUSED, ready("I"))
    assert session.begin_is_due
    session.submit(second)
    feed(session, *BEGUN, *ONE_ROW, ready("T"))
    assert second.outcome is Outcome.COMPLETED


def test_a_block_without_an_operation_sends_nothing() -> None:
    session = deferred()
    session.drop_begin()
    assert not session.in_transaction
    session.submit(execution(b"<one>"))
    assert session.data_to_send() == b"<one>"


def test_a_refused_begin_is_the_error_of_its_operation_and_lets_nothing_in() -> None:
    session, operation = deferred(), execution(b"<one>")
    session.submit(operation)
    feed(session, ParseComplete(), BindComplete(), REFUSED, ready("I"))
    assert operation.outcome is Outcome.SKIPPED
    assert isinstance(operation.error, FeatureNotSupportedError)
    assert session.begin_error is operation.error
    assert not session.in_transaction
    for outside in (
        execution(),
        simple_query(b"x"),
        execution(traits=SYNC | INTERNAL),
        execution(traits=SYNC | FOLLOWS),
    ):
        with pytest.raises(InterfaceError, match="the transaction could not begin") as caught:
            session.submit(outside)
        assert caught.value.__cause__ is operation.error
    assert session.idle
    session.drop_begin()
    assert session.begin_error is None
    session.submit(execution())


def test_nobody_minds_the_refusal_when_the_block_was_left() -> None:
    session, operation = deferred(), execution(b"<one>")
    session.submit(operation)
    session.drop_begin()
    feed(session, ParseComplete(), BindComplete(), REFUSED, ready("I"))
    assert session.begin_error is None
    session.submit(execution())


def test_an_operation_from_before_is_in_nobodys_way() -> None:
    session, before, operation = new_session(), execution(b"<before>"), execution(b"<one>")
    session.submit(before)
    deferred(session)
    session.submit(operation)
    assert session.data_to_send() == b"<before><begin><one>"
    with pytest.raises(InterfaceError, match="another operation is in progress"):
        session.submit(execution())
    feed(session, *ONE_ROW, ready("I"), *BEGUN, *ONE_ROW, ready("T"))
    assert operation.outcome is Outcome.COMPLETED
    assert session.in_transaction


def test_without_pipelining_it_is() -> None:
    session = new_session()
    session.pipelining = False
    session.submit(execution())
    with pytest.raises(InterfaceError, match="another operation is in progress"):
        session.defer_begin(b"<begin>")


def test_in_a_transaction_no_second_one_is_deferred_beside_an_operation() -> None:
    session = deferred()
    session.submit(execution())
    with pytest.raises(InterfaceError, match="another operation is in progress"):
        session.defer_begin(b"<begin>")


def test_one_that_is_dropped_unsent_leaves_it_for_the_next() -> None:
    session, sleeper, operation, another = new_session(), execution(b"<s>"), execution(b"<one>"), execution(b"<two>")
    session.submit(sleeper)
    session.abandon(sleeper)  # nothing is written until it has ended
    deferred(session)
    session.submit(operation)
    assert session.data_to_send() == b"<s>"
    assert session.abandon(operation) is Owed.DROP
    assert operation.outcome is Outcome.CANCELLED
    assert session.in_transaction
    assert session.begin_is_due
    session.submit(another)
    feed(session, *ONE_ROW, ready("I"))
    assert session.data_to_send() == b"<begin><two>"
    feed(session, *BEGUN, *ONE_ROW, ready("T"))
    assert another.outcome is Outcome.COMPLETED


def test_alone_it_is_left_as_well() -> None:
    session, sleeper = new_session(), execution(b"<s>")
    session.submit(sleeper)
    session.abandon(sleeper)
    deferred(session)
    assert session.abandon(session.begin_now()) is Owed.DROP
    assert session.begin_is_due
    session.submit(execution(b"<one>"))
    feed(session, *ONE_ROW, ready("I"))
    assert session.data_to_send().endswith(b"<begin><one>")


def test_an_abandoned_operation_takes_it_along() -> None:
    session, operation = deferred(), execution(b"<one>")
    session.submit(operation)
    assert session.abandon(operation) is Owed.CANCEL, "nobody waits for BEGIN"
    assert session.cancel_due
    feed(session, *BEGUN, BindComplete(), error("57014"), ready("E"))
    assert session.in_transaction
    assert session.begin_error is None
    assert not session.draining


def test_a_cancelled_begin_lets_nothing_in() -> None:
    session, operation = deferred(), execution(b"<one>")
    session.submit(operation)
    session.abandon(operation)
    feed(session, error("57014"), ready("I"))
    assert isinstance(session.begin_error, QueryCanceledError)
    with pytest.raises(InterfaceError, match="the transaction could not begin"):
        session.submit(execution())
    assert not session.draining


def test_alone() -> None:
    session = deferred()
    operation = session.begin_now()
    assert session.data_to_send().startswith(b"<begin>S")
    assert session.in_transaction
    assert not session.begin_is_due
    feed(session, *BEGUN, ready("T"))
    assert operation.outcome is Outcome.COMPLETED
    assert session.in_transaction


def test_alone_and_refused() -> None:
    session = deferred()
    operation = session.begin_now()
    feed(session, REFUSED, ready("I"))
    assert operation.outcome is Outcome.SKIPPED
    assert session.begin_error is operation.error
    with pytest.raises(InterfaceError, match="the transaction could not begin"):
        session.begin_now()


def test_what_cannot_share_its_group() -> None:
    session = deferred()
    with pytest.raises(InterfaceError, match="cannot share a group"):
        session.submit(simple_query(b"x"))
    assert session.begin_is_due


def test_a_group_carries_it_too() -> None:
    before, first, last = execution(b"<b>"), execution(b"<one>", 0), execution(b"<two>")
    session = new_session()
    session.submit(before)
    deferred(session)
    session.submit_group([first, last])
    assert session.data_to_send() == b"<b><begin><one><two>"
    feed(session, *ONE_ROW, ready("I"), *BEGUN, *ONE_ROW)
    assert first.outcome is Outcome.COMPLETED
    assert not session.may_join
    feed(session, *ONE_ROW, ready("T"))
    assert last.outcome is Outcome.COMPLETED
    assert session.in_transaction


def test_a_group_that_is_dropped_leaves_it() -> None:
    session, sleeper, first, last = new_session(), execution(b"<s>"), execution(b"<1>", 0), execution(b"<2>")
    session.submit(sleeper)
    session.abandon(sleeper)
    deferred(session)
    session.submit_group([first, last])
    session.abandon(last)
    assert not session.begin_is_due, "the first one still goes out"
    session.abandon(first)
    assert first.outcome is last.outcome is Outcome.CANCELLED
    assert session.begin_is_due
    assert session.in_transaction


@pytest.mark.parametrize("waits", [True, False])
def test_the_end_of_the_connection(waits: bool) -> None:
    session, operation = deferred(), execution(b"<one>")
    if not waits:
        session.submit(operation)
    session.receive_eof()
    assert operation.settled is not waits
    assert not session.in_transaction
    with pytest.raises(InterfaceError, match="connection is closed"):
        session.submit(execution())
    with pytest.raises(InterfaceError, match="connection is closed"):
        session.defer_begin(b"<begin>")


def test_it_waits_behind_an_exclusive_operation() -> None:
    session = new_session()
    exclusive = Operation(b"<x>", execution().steps, EXCLUSIVE)
    session.submit(exclusive)
    deferred(session)
    session.submit(execution(b"<one>"))
    assert session.data_to_send() == b"<x>"
