"""The loops: how the process of a client begins, how it runs many tasks, and how a callback wakes a task."""

import asyncio
import importlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

__all__ = ["Asyncio", "Loop", "Signal", "Trio", "lending", "loop_named"]

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]


def lending(free: list[T], use: Callable[[T], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """An operation of asyncio that takes one of these, in turn if there is none, uses it, and hands it on."""
    waiting: deque[asyncio.Future[T]] = deque()
    create_future = asyncio.get_running_loop().create_future

    async def operation() -> Any:
        if free:
            lent = free.pop()
        else:
            turn = create_future()
            waiting.append(turn)
            lent = await turn
        result = await use(lent)
        if waiting:
            waiting.popleft().set_result(lent)
        else:
            free.append(lent)
        return result

    return operation


class Signal(Protocol):
    """Is set once; one task waits for it."""

    def set(self) -> None: ...
    async def wait(self) -> object: ...


class Loop(Protocol):
    """What a client's operations need of a loop."""

    def run(self, work: Work) -> None: ...
    def signal(self) -> Signal: ...
    async def fan_out(self, worker: Callable[[], Awaitable[None]], tasks: int) -> None:
        """Run so many tasks of this until all have ended."""
        ...


class Asyncio:
    """asyncio, with its own loop or uvloop's."""

    def __init__(self, *, is_uvloop: bool) -> None:
        self._is_uvloop = is_uvloop

    def run(self, work: Work) -> None:
        factory = importlib.import_module("uvloop").new_event_loop if self._is_uvloop else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work())

    def signal(self) -> Signal:
        return asyncio.Event()

    async def fan_out(self, worker: Callable[[], Awaitable[None]], tasks: int) -> None:
        await asyncio.gather(*(worker() for _ in range(tasks)))


class Trio:
    def run(self, work: Work) -> None:
        import trio

        trio.run(work)

    def signal(self) -> Signal:
        import trio

        return trio.Event()

    async def fan_out(self, worker: Callable[[], Awaitable[None]], tasks: int) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(worker)


def loop_named(name: str) -> Loop:
    """The loop that a runner names: asyncio, uvloop or trio. What blocks is run on asyncio, where it never waits."""
    return Trio() if name == "trio" else Asyncio(is_uvloop=name == "uvloop")
