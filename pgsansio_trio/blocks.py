"""Blocks of a port: one with tasks of its own, and one that ends in time."""

import math
from collections.abc import Awaitable, Callable
from types import TracebackType

import trio

from pgsansio_trio.nursery import OwnNursery

__all__ = ["Deadline", "Tasks"]


class Tasks:
    """A block with tasks of its own."""

    def __init__(self) -> None:
        self._nursery = OwnNursery()

    async def __aenter__(self) -> Callable[[Callable[[], Awaitable[None]]], object]:
        return (await self._nursery.open()).start_soon

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._nursery.close(exc)


class Deadline:
    """A cancel scope whose expiry is a TimeoutError."""

    def __init__(self, at: float | None) -> None:
        self._scope = trio.CancelScope(deadline=math.inf if at is None else at)

    async def __aenter__(self) -> None:
        self._scope.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        swallowed = self._scope.__exit__(exc_type, exc, traceback)
        if self._scope.cancelled_caught:
            raise TimeoutError
        return swallowed
