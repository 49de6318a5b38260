"""`Connection.retrying()`: which attempts are made, when, and what becomes of the last one's error."""

import itertools
from typing import Any

import pytest

from pgsansio.client.retrying import RetriedTransaction
from pgsansio.errors import (
    ConnectionDoesNotExistError,
    DeadlockDetectedError,
    DivisionByZeroError,
    InterfaceError,
    SerializationError,
)
from tests.client.test_cancel_everywhere import World, world

FOR_OTHERS = [("40001", SerializationError), ("40P01", DeadlockDetectedError)]


async def insert(there: World, failures: list[str], **options: Any) -> list[int]:
    """A row with the attempt's number in each; the first attempts run these statements, too. Returns the attempts."""
    attempts: list[int] = []
    left = list(failures)
    async for transaction in there.connection.retrying(**options):
        async with transaction:
            attempts.append(len(attempts) + 1)
            await there.connection.execute(f"INSERT {attempts[-1]}")
            if left:
                await there.connection.execute(left.pop(0))
    return attempts


def test_a_transaction_that_nobody_is_in_the_way_of_runs_once() -> None:
    there = world()
    began = there.loop.now
    assert there.loop.finish(insert(there, [])) == [1]
    assert there.server.state.rows == [1]
    assert there.loop.now == began
    assert not there.connection.is_in_transaction()


@pytest.mark.parametrize("sqlstate", [sqlstate for sqlstate, _ in FOR_OTHERS])
@pytest.mark.parametrize("statement", ["FAIL", "DEFER"])
def test_it_runs_again_after_an_error_of_the_block_and_of_commit(statement: str, sqlstate: str) -> None:
    there = world()
    failing = f"{statement} {sqlstate}"
    assert there.loop.finish(insert(there, [failing, failing], isolation="serializable")) == [1, 2, 3]
    assert there.server.state.rows == [3]
    assert [sql for sql in there.server.log if sql.startswith("BEGIN")] == ["BEGIN ISOLATION LEVEL SERIALIZABLE"] * 3


@pytest.mark.parametrize(("sqlstate", "error"), FOR_OTHERS)
@pytest.mark.parametrize("statement", ["FAIL", "DEFER"])
def test_the_error_of_the_last_attempt_is_raised(statement: str, sqlstate: str, error: type[Exception]) -> None:
    there = world()
    with pytest.raises(error):
        there.loop.finish(insert(there, [f"{statement} {sqlstate}"] * 9, attempts=3))
    assert there.server.log.count(f"{statement} {sqlstate}") == 3
    assert there.server.state.rows == []
    assert not there.connection.is_in_transaction()
    assert there.loop.finish(there.connection.fetchval("SELECT 1")) == 1


@pytest.mark.parametrize("statement", ["FAIL 22012", "DEFER 22012"])
def test_other_errors_leave_the_loop(statement: str) -> None:
    there = world()
    with pytest.raises(DivisionByZeroError):
        there.loop.finish(insert(there, [statement]))
    assert there.server.log.count(statement) == 1
    there = world()
    assert there.loop.finish(insert(there, [statement], retry_on=[DivisionByZeroError])) == [1, 2]
    with pytest.raises(SerializationError):
        there.loop.finish(insert(there, ["FAIL 40001"], retry_on=[DivisionByZeroError]))


def test_an_error_of_the_program_leaves_the_loop() -> None:
    there = world()

    async def body() -> None:
        async for transaction in there.connection.retrying():
            async with transaction:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        there.loop.finish(body())
    assert not there.connection.is_in_transaction()


def test_a_connection_that_is_gone_is_not_tried_again() -> None:
    there = world()

    async def body() -> None:
        async for transaction in there.connection.retrying():
            async with transaction:
                try:
                    await there.connection.execute("FAIL 40001")
                finally:
                    there.loop.ports[0].lose()

    with pytest.raises(SerializationError):
        there.loop.finish(body())
    assert there.connection.is_closed()
    there = world()

    async def lost() -> None:
        async for transaction in there.connection.retrying():
            async with transaction:
                there.loop.ports[0].lose()

    with pytest.raises((ConnectionDoesNotExistError, InterfaceError)):
        there.loop.finish(lost())


def test_pauses_grow_up_to_a_second_and_vary_by_a_half() -> None:
    there = world()
    moments: list[float] = []

    async def body() -> None:
        async for transaction in there.connection.retrying(attempts=6, delay=0.25):
            async with transaction:
                moments.append(there.loop.now)
                if len(moments) < 6:
                    await there.connection.execute("FAIL 40001")

    there.loop.finish(body())
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    for pause, middle in zip(pauses, [0.25, 0.5, 1, 1, 1], strict=True):
        assert middle / 2 <= pause < middle * 1.5
        assert pause / middle == pytest.approx(pauses[0] / 0.25)


def test_what_it_is_not_for() -> None:
    there = world()
    with pytest.raises(ValueError, match="attempts is expected to be at least 1, got 0"):
        there.loop.call(there.connection.retrying, attempts=0)
    for delay in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="delay is expected to be greater or equal to 0, got"):
            there.loop.call(there.connection.retrying, delay=delay)
    with pytest.raises(ValueError, match="isolation"):
        there.loop.call(there.connection.retrying, isolation="none")

    async def inside() -> None:
        async with there.connection.transaction():
            async for _ in there.connection.retrying():
                raise AssertionError

    with pytest.raises(InterfaceError, match="cannot repeat a transaction inside of another one"):
        there.loop.finish(inside())

    async def unused() -> None:
        async for transaction in there.connection.retrying():
            assert isinstance(transaction, RetriedTransaction)

    with pytest.raises(InterfaceError, match="the transaction was not used"):
        there.loop.finish(unused())
    there.loop.call(there.connection.terminate)
    with pytest.raises(InterfaceError, match="connection is closed"):
        there.loop.call(there.connection.retrying)
