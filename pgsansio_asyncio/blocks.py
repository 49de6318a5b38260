"""Blocks of a port: one with tasks of its own, and one that ends in time."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

__all__ = ["Deadline", "Tasks"]


class Tasks:
    """A block with tasks of its own. Not a TaskGroup, which waits for tasks to end by themselves."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Callable[[Callable[[], Awaitable[None]]], object]:
        return self._start

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        self._tasks.append(self._loop.create_task(run()))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        if exc_type is GeneratorExit:
            return  # nothing can be waited for any more
        cancelled: asyncio.CancelledError | None = None
        while waiting := [task for task in self._tasks if not task.done()]:
            try:
                await asyncio.wait(waiting)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


class Deadline:
    """A block whose task is cancelled at a time of the loop's; that is a TimeoutError then.

    As asyncio.timeout_at, in half as many steps, since most connections begin and end in one.
    """

    __slots__ = ("_at", "_cancellations", "_has_expired", "_loop", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float | None) -> None:
        self._loop = loop
        self._at = at
        self._timer: asyncio.Handle | None = None
        self._has_expired = False

    async def __aenter__(self) -> None:
        at, loop = self._at, self._loop
        if at is not None:
            self._task = task = asyncio.current_task(loop)
            assert task is not None
            #: Of who else wants the task to end.
            self._cancellations = task.cancelling()
            self._timer = loop.call_at(at, self._expire) if at > loop.time() else loop.call_soon(self._expire)

    def _expire(self) -> None:
        assert self._task is not None
        self._has_expired = True
        self._task.cancel()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._has_expired:
            assert self._task is not None
            if self._task.uncancel() <= self._cancellations and exc_type is asyncio.CancelledError:
                raise TimeoutError from exc
