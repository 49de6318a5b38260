"""trio's port: the parts put together, with what is left: TLS, closing, blocks and tasks."""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import trio

from pgsansio.client.port import Port, PortEvent, TaskHandle
from pgsansio.types.tls import TlsInfo
from pgsansio_trio.baton import Baton
from pgsansio_trio.blocks import Deadline, Tasks
from pgsansio_trio.origin import called_from
from pgsansio_trio.tls import tls_engine
from pgsansio_trio.world import World

__all__ = ["TrioPort"]

_ORIGIN_HINT: Final = "run Python with -X dev to show the traceback of connection origin"


class TrioPort(Baton, World):
    """A connection's port on the running trio loop. Contracts: `pgsansio.client.port`."""

    has_tls = True
    has_tasks = True
    has_checkpoints = True

    def __init__(self, nursery: trio.Nursery | None = None) -> None:
        super().__init__()
        self.origin = f"created at:\n{called_from()}" if sys.flags.dev_mode else _ORIGIN_HINT
        if nursery is not None:
            self.use_nursery(nursery)

    def use_nursery(self, nursery: trio.Nursery) -> None:
        """Read in this nursery while no task waits, and run there what is due then."""
        self._nursery = self._delivery.nursery = nursery

    @property
    def reads_when_idle(self) -> bool:
        return self._nursery is not None

    async def start_tls(self, context: object, server_hostname: str | None) -> TlsInfo:
        self._engine = self._tls = tls = tls_engine(self._engine, context, server_hostname)
        await self.wait(tls.handshake)
        if tls.info is None:
            assert tls.handshake.error is not None
            raise tls.handshake.error
        return tls.info

    async def close(self) -> None:
        if self._raw is None:
            return
        try:
            await self._drain(0)
        finally:
            self.abort()
        await trio.lowlevel.checkpoint()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    def deadline(self, at: float | None) -> AbstractAsyncContextManager[Any]:
        return Deadline(at)

    def sibling(self) -> "TrioPort":
        return type(self)()

    def deliver(self, callback: Callable[..., Any], *arguments: object) -> None:
        self._delivery.deliver(callback, arguments)

    def tasks(self) -> Tasks:
        return Tasks()

    def start_task(self, work: Callable[[], Awaitable[None]]) -> TaskHandle:
        assert self._nursery is not None
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await work()

        self._nursery.start_soon(run)
        return scope

    def event(self) -> PortEvent:
        return trio.Event()

    def keep_reading(self, other: Port) -> None:
        assert self._nursery is not None and isinstance(other, TrioPort)  # noqa: PT018
        other.use_nursery(self._nursery)
        self._nursery.start_soon(other.read_when_idle)
