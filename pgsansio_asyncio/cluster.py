"""Throw-away servers for tests and first steps: `async with TempCluster() as cluster: ...`.

What is decided is in `pgsansio.policy.cluster`, files and processes in `launcher`; here is what asyncio adds. Launching
writes files and starts a process in place: some milliseconds, and a cancellation then finds all of it or nothing. Only
the search for programs, which as root may copy them, runs in a thread. A process and its files are looked at again and
again, since no event tells that a server is ready.
"""

import asyncio
import time
from types import TracebackType
from typing import Self

from pgsansio.policy.cluster import Cluster, ClusterError
from pgsansio_asyncio.launcher import LaunchedServer, find_programs

__all__ = ["ClusterError", "TempCluster", "find_programs"]

#: Seconds between two looks at a server that starts or ends.
_TICK = 0.01
#: Seconds a server may take to end; it has been told, and its guard sees to it in any case.
_STOP_TIMEOUT = 30.0


class TempCluster(Cluster):
    """A server of one's own, with an empty database 'postgres' and a superuser with a random password.

    As root it runs as the account `postgres` or `nobody`. It is gone when the block is left in any way, and also when
    this process ends in any way, be it by SIGKILL (unless a process forked from this one without exec outlives it).
    Arguments: see `pgsansio.policy.cluster.Cluster`. Not for Windows.
    """

    _server: LaunchedServer | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Make and start the server; it takes connections when this returns.

        Raises:
            ClusterError: it is running already, there are no programs, it failed, or was not ready in time. Nothing is
                left behind, nor if this is cancelled.
            OSError: a file could not be written, or the process not be started.
        """
        bin_dir = await asyncio.to_thread(find_programs, self._bin_dir)
        if self._server is not None:
            raise ClusterError("the cluster is running already")
        server = LaunchedServer(bin_dir, self._options)
        self._server = server
        try:
            async with asyncio.timeout(self._start_timeout):
                while not server.is_ready():  # noqa: ASYNC110
                    await asyncio.sleep(_TICK)
        except TimeoutError:
            await self.stop()
            raise ClusterError(f"the server was not ready within {self._start_timeout:g} s") from None
        except BaseException:
            await self.stop()
            raise
        self._major_version = server.major_version()
        self._plan = server.plan

    async def stop(self) -> None:
        """Stop the server and delete all it wrote; nothing happens if it is not running.

        A cancellation is raised only when the server is gone, some 50 ms later.
        """
        server, self._server, self._plan = self._server, None, None
        if server is None:
            return
        server.tell()
        cancelled: asyncio.CancelledError | None = None
        deadline = time.monotonic() + _STOP_TIMEOUT
        while not server.has_ended() and time.monotonic() < deadline:
            try:
                await asyncio.sleep(_TICK)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster; None if it ended."""
        self._running()
        return self._server.pid if self._server is not None else None

    def read_log(self) -> str:
        """What initdb and the server have printed so far."""
        self._running()
        return self._server.read_log() if self._server is not None else ""
