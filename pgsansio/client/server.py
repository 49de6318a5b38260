"""The server at the other end: where it is, whether it answers, and stopping what it does."""

import posixpath

from pgsansio.client import cancelling
from pgsansio.client.core import CANCEL_SECONDS, ConnectionCore, TimeLimit
from pgsansio.engine.operations import EXCLUSIVE, SYNC
from pgsansio.errors import InterfaceError, OperationTimeoutError, PostgresError, UnsupportedServerFeatureError
from pgsansio.policy.conninfo import TcpAddress

__all__ = ["ServerMethods"]


class ServerMethods(ConnectionCore):
    """host, port, user, database, ping, cancel."""

    __slots__ = ()

    @property
    def host(self) -> str:
        """The host that was connected to, of those that were asked for; the folder, for a Unix socket."""
        address = self._asked
        return address.host if isinstance(address, TcpAddress) else posixpath.dirname(address.path)

    @property
    def port(self) -> int:
        """The server's port; a Unix socket has the number in its name."""
        return self._address.port

    @property
    def user(self) -> str:
        """The user that the session has begun as."""
        return self._settings.user

    @property
    def database(self) -> str:
        """The database of the session."""
        return self._settings.database

    async def ping(self, *, timeout: float | None = None) -> None:
        """Ask the server for a sign of life: one round trip, which does nothing, also in a failed transaction.

        Args:
            timeout: seconds; default: the connection's `command_timeout`.
        Raises:
            ConnectionDoesNotExistError: the connection has turned out to be lost.
            InterfaceError: it is closed.
            OperationTimeoutError: no answer came in time; then `terminate()` it.
        """
        async with TimeLimit(self, self._deadline(timeout)):
            self._check_open()
            self._check_alone()
            operation = self._frontend.sign_of_life()
            await self._finish(operation)
            # In the simple protocol an empty text is no command everywhere; to be told so is a sign of life, too.
            is_answered = self._frontend.is_simple and isinstance(operation.error, PostgresError)
            if operation.error is not None and not (is_answered and self._frontend.is_open):
                raise self._failure(operation, "")

    async def cancel(self) -> None:
        """Ask the server to cancel the operation that runs, whichever task's it is; that one gets QueryCanceledError.

        It may come too late, or before the server has begun, and then does nothing; and so it is if nothing runs.
        Nothing new is written until the server has seen it.

        Raises:
            InterfaceError: several operations are in flight, or an abandoned one: it would hit any of them. Or the
                server gave no key for such requests.
            OSError, ProtocolError: no connection could be made for the request, and nothing was cancelled.
            OperationTimeoutError: the server did not take it in time; the connection is closed.
        """
        self._check_open()
        frontend = self._frontend
        if not frontend.in_flight:
            await self._port.checkpoint()
            return
        if frontend.draining or sum(1 for one in frontend.in_flight if one.traits & (SYNC | EXCLUSIVE)) != 1:
            raise InterfaceError(
                "cannot cancel: more than one operation is in progress on this connection",
                hint="A request to cancel hits whatever runs when it arrives. Cancel the task that waits for an "
                "operation; then no other one is hit.",
            )
        frontend.cancel_began()
        try:
            async with TimeLimit(self, self._port.clock() + CANCEL_SECONDS):
                is_sent = await cancelling.send_cancel_request(self._port, frontend, self._address, self._channel)
        except OperationTimeoutError:
            self.terminate()
            raise
        except Exception:
            await self._cancelled()
            raise
        except BaseException:
            # Nobody knows whether the request will arrive, and what it hits then.
            self.terminate()
            raise
        await self._cancelled()
        if not is_sent:
            raise UnsupportedServerFeatureError("cannot cancel: the server gave no key for requests to do so")

    async def _cancelled(self) -> None:
        """The request has been seen, or will never be: go on."""
        self._frontend.cancel_ended()
        self._port.flush()
        if self._frontend.cancel_due:  # somebody has given up meanwhile
            await self._port.owe(self._carry_out_cancel, CANCEL_SECONDS)
