"""asyncio's tasks go on inside of the callback that has read their answer: what they must not notice of that."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

import pgsansio_asyncio
from pgsansio_asyncio.port import AsyncioPort
from tests.adapters.test_port import connected, wait
from tests.support.clients import PATIENCE_SECONDS
from tests.support.servers import Server
from tests.support.toy_engine import SETTLED, TOKEN, ToyEngine

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def run(loop: Callable[[], asyncio.AbstractEventLoop], main: Callable[[], Any]) -> Any:
    async def in_time() -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await main()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(in_time())


def feed(port: AsyncioPort, data: bytes) -> None:
    port.get_buffer(-1)[: len(data)] = data
    port.buffer_updated(len(data))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_loop(loop: Callable[[], asyncio.AbstractEventLoop], error: type[BaseException]) -> None:
    """As from any task; who reads the socket would keep it. Another task whose answer came at once has it."""
    answers: list[str] = []

    async def main() -> None:
        engine, port = ToyEngine(), AsyncioPort()
        engine.room = bytearray(2 * TOKEN.size)

        async def leave() -> None:
            await port.wait(engine.submit(1))
            raise error

        async def stay() -> None:
            await port.wait(engine.submit(1))
            answers.append("stay")

        async with connected(port, engine):
            tasks = [asyncio.create_task(leave()), asyncio.create_task(stay())]
            asyncio.get_running_loop().call_soon(feed, port, TOKEN.pack(SETTLED, 0) + TOKEN.pack(SETTLED, 1))
            await asyncio.wait(tasks)
            await asyncio.Event().wait()

    with pytest.raises(error):
        run(loop, main)
    assert answers == ["stay"]


@pytest.mark.parametrize("loop", LOOPS)
def test_it_goes_on_in_its_own_context(loop: Callable[[], asyncio.AbstractEventLoop], postgres: Server) -> None:
    name = contextvars.ContextVar("name", default="none")

    async def main() -> None:
        async with pgsansio_asyncio.connect(postgres.dsn) as connection:

            async def ask(number: int) -> tuple[str, object]:
                name.set(f"task {number}")
                assert await connection.fetchval("SELECT $1::int", number) == number
                return name.get(), asyncio.current_task()

            tasks = [asyncio.create_task(ask(number)) for number in range(3)]
            assert await asyncio.gather(*tasks) == [(f"task {number}", task) for number, task in enumerate(tasks)]
            assert name.get() == "none"

    run(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_fed_by_a_task(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Only one task can run, so the one that waits goes on later."""

    async def main() -> None:
        engine, port = ToyEngine(), AsyncioPort()
        async with connected(port, engine):
            operation = engine.submit(1)
            waiting = asyncio.create_task(wait(port, operation))
            await asyncio.sleep(0)
            feed(port, TOKEN.pack(SETTLED, 0))
            assert operation.settled
            assert not waiting.done()
            await waiting

    run(loop, main)
