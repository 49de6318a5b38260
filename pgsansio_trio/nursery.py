"""A nursery that is a detail of ours."""

from contextlib import AbstractAsyncContextManager

import trio

__all__ = ["OwnNursery"]


class OwnNursery:
    """A nursery that one of our objects has while it is open: its group never shows."""

    def __init__(self) -> None:
        self._manager: AbstractAsyncContextManager[trio.Nursery, bool | None] = trio.open_nursery()
        self._nursery: trio.Nursery | None = None

    async def open(self) -> trio.Nursery:
        self._nursery = await self._manager.__aenter__()
        return self._nursery

    async def close(self, exc: BaseException | None) -> bool | None:
        """End its tasks. `exc` is what leaves the block; returns whether that ends here.

        Raises:
            What a task of it raised: the one error, or the group if there are several.
        """
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
        try:
            if exc is None or isinstance(exc, Exception):
                # None of the nursery's business, which would make another group of one.
                await self._manager.__aexit__(None, None, None)
                return None
            return await self._manager.__aexit__(type(exc), exc, exc.__traceback__)
        except BaseExceptionGroup as group:
            if group is exc or (isinstance(exc, trio.Cancelled) and group.split(trio.Cancelled)[1] is None):
                return False  # one of several cancellations will do
            inner, *others = group.exceptions
            if others:
                raise
            if inner is exc:
                return False
            raise inner from inner.__cause__
