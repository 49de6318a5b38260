"""Who calls the user's callbacks: tasks of the connection's nursery, one function after the other."""

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Final

import trio

__all__ = ["Delivery"]

_logger: Final = logging.getLogger(__name__)


class Delivery:
    """Calls callbacks outside of what happens now.

    Attributes:
        nursery: whose tasks they are; None: there is none.
    """

    def __init__(self) -> None:
        self.nursery: trio.Nursery | None = None
        #: Callbacks that are due, and whether a task calls them.
        self._calls: deque[tuple[Callable[..., Any], tuple[object, ...]]] = deque()
        self._calling = False

    def deliver(self, callback: Callable[..., Any], arguments: tuple[object, ...]) -> None:
        """Call it soon. Contract: `Port.deliver`."""
        self._calls.append((callback, arguments))
        if not self._calling:
            self._begin_calling()

    def _begin_calling(self) -> None:
        if trio.lowlevel.in_trio_run():  # after its end nobody is left to call anybody
            self._calling = True
            self._start_soon(self._call_due)

    async def _call_due(self) -> None:
        self.call()

    def hold(self) -> bool:
        """Begin no task for what comes up now, but wait for `call`. Returns False if a task has begun already, which
        will call that as well."""
        held = not self._calling
        self._calling = True
        return held

    def call(self) -> None:
        """One after the other, since trio begins tasks in any order; those that wait go on beside each other."""
        try:
            while self._calls:
                callback, arguments = self._calls.popleft()
                result = copy_context().run(callback, *arguments)
                if inspect.isawaitable(result):
                    self._start_soon(_await, result)
        finally:
            self._calling = False
            if self._calls:
                self._begin_calling()

    def _start_soon(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """A task in the nursery; without one, what it raises has nowhere to go but the log."""
        if self.nursery is not None:
            self.nursery.start_soon(function, *arguments)
            return

        async def alone() -> None:
            try:
                await function(*arguments)
            except Exception:
                _logger.exception("Exception in a callback of a connection without a nursery")

        trio.lowlevel.spawn_system_task(alone)


async def _await(awaitable: Awaitable[object]) -> None:
    await awaitable
