"""The loop that a test steps: in any order, with time that passes when it is told to."""

import random

import pytest

from pgsansio import InterfaceError, OperationTimeoutError
from pgsansio.testing import Cancelled, Cut, Faulty, ScriptedServer, Stall, Stuck, VirtualLoop


def server() -> ScriptedServer:
    made = ScriptedServer()
    made.answer("SELECT $1", parameters=["int4"], columns={"n": "int4"}, rows=lambda call: [call.arguments])
    made.answer("SELECT forever", waits=True)
    return made


async def ask(loop: VirtualLoop, number: int, order: list[int]) -> None:
    connection = await loop.connect()
    assert await connection.fetchval("SELECT $1", number) == number
    order.append(number)
    await connection.close()


def order_of(choose: random.Random | None) -> list[int]:
    loop, order = VirtualLoop(server(), choose=choose and choose.randrange), []
    for number in range(6):
        loop.start(ask(loop, number, order))
    loop.run()
    assert sorted(order) == list(range(6))
    return order


def test_the_order_is_what_is_chosen() -> None:
    assert order_of(None) == list(range(6))
    orders = {tuple(order_of(random.Random(seed))) for seed in range(8)}
    assert len(orders) > 4
    assert order_of(random.Random(3)) == order_of(random.Random(3))


def test_time_passes_when_nothing_else_can_be_done() -> None:
    loop = VirtualLoop(server())
    connection, began = loop.finish(loop.connect()), loop.now
    with pytest.raises(OperationTimeoutError):
        loop.finish(connection.execute("SELECT forever", timeout=3600))
    assert loop.now - began == 3600
    connection.terminate()
    loop.run()


def test_time_passes_when_it_is_told_to() -> None:
    loop = VirtualLoop(server())
    connection, began = loop.finish(loop.connect()), loop.now
    assert not loop.pass_time()
    task = loop.start(connection.fetchval("SELECT $1", 1, timeout=5))
    loop.step()
    assert loop.pass_time()
    loop.run()
    assert isinstance(task.error, OperationTimeoutError)
    assert loop.now - began >= 5
    connection.terminate()
    loop.run()


def test_what_can_never_go_on() -> None:
    loop = VirtualLoop(server())
    connection = loop.finish(loop.connect())
    with pytest.raises(Stuck, match="waits for ever at wait"):
        loop.finish(connection.execute("SELECT forever"))
    connection.terminate()
    loop.run()


def test_a_cancellation() -> None:
    loop = VirtualLoop(server())
    connection = loop.finish(loop.connect())
    task = loop.start(connection.execute("SELECT forever"))
    while loop.step():
        pass
    task.cancel()
    loop.run()
    assert isinstance(task.error, Cancelled)
    assert loop.finish(connection.fetchval("SELECT $1", 1)) == 1
    connection.terminate()
    loop.run()


def test_a_cancellation_that_cannot_be_carried_out_is_no_failure() -> None:
    """The server's machine is gone: the request for cancelling gets nowhere, and the connection is given up."""
    peers: list[Faulty] = []

    def make(address: object) -> Faulty:
        peers.append(Faulty(made(address), received=[Stall(0)] if peers else []))
        return peers[-1]

    made = server()
    loop = VirtualLoop(make)
    connection = loop.finish(loop.connect())
    task = loop.start(connection.execute("SELECT forever", timeout=1))
    loop.run()
    assert isinstance(task.error, OperationTimeoutError)
    assert connection.is_closed()
    assert peers[1].is_stalled
    assert not loop.failures
    assert not loop.tasks


def test_a_pool_of_connections_that_are_lost() -> None:
    made = server()
    loop = VirtualLoop(lambda address: Faulty(made(address), sent=[Cut(10)]))

    async def work() -> None:
        async with loop.create_pool(min_size=1, max_size=1):
            raise AssertionError("it has started")

    with pytest.raises((ConnectionError, InterfaceError, Exception), match="connection was closed"):
        loop.finish(work())
    loop.run()
    assert not loop.tasks
