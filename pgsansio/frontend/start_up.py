"""How a session begins and ends."""

from collections.abc import Callable, Sequence
from typing import Final

from pgsansio.engine.driven import CancelExchange
from pgsansio.engine.operations import (
    Operation,
)
from pgsansio.engine.session import Session
from pgsansio.engine.startup import StartupMachine
from pgsansio.enums import Outcome
from pgsansio.messages.frontend import (
    Terminate,
)
from pgsansio.messages.startup import PROTOCOL_3_0, CancelRequest
from pgsansio.policy.authentication_rules import ANY_AUTHENTICATION, AuthenticationRules
from pgsansio.types import TlsInfo
from pgsansio.types.secret import Secret, hide

__all__ = ["StartUp"]

_PENDING: Final = Outcome.PENDING
_TERMINATE: Final = Terminate().encode()


class StartUp(Session):
    """A session and what is before it.

    Attributes:
        process_id, secret_key: of the backend; None before start-up, or if the server gave none.
        protocol_version: that is spoken.
        tls: what the transport has agreed on with the server, as far as it has said so; None: nothing is encrypted.
    """

    process_id: int | None = None
    secret_key: bytes | None = None
    protocol_version = PROTOCOL_3_0
    tls: TlsInfo | None = None
    _startup: StartupMachine | None = None

    def connection_lost(self, cause: BaseException | None) -> None:
        if self._startup is not None:
            self._startup.lost(cause)
            self.woken += self._startup.woken
            self._startup.woken = []
        self.lost(cause)

    def start_up(
        self,
        parameters: Sequence[tuple[str, str]],
        *,
        user: str,
        password: str | Secret[str] | None,
        nonce: str | Callable[[], str],
        rules: AuthenticationRules = ANY_AUTHENTICATION,
        protocol_version: int = PROTOCOL_3_0,
        min_protocol_version: int = PROTOCOL_3_0,
        has_token: bool = False,
        is_private: bool = False,
    ) -> StartupMachine:
        """Begin: StartupMessage goes out. `operation` of what is returned settles when the session is ready.

        Args: as of `StartupMachine`; `tls` is known by then, if the connection is encrypted.
        """
        if password is not None:
            password = hide(password)
        startup = StartupMachine(
            self.buffer,
            parameters,
            user=user,
            password=password,
            nonce=nonce,
            rules=rules,
            tls=self.tls,
            protocol_version=protocol_version,
            min_protocol_version=min_protocol_version,
            has_token=has_token,
            is_private=is_private,
        )
        self._startup = startup
        # Until the session is ready, bytes are the start-up's; afterwards the detour is gone.
        self.bytes_received = self._start_up_received  # type: ignore[method-assign]
        if self.is_open:
            self.outbox += startup.outbox.pop()
        else:
            startup.lost(self.failure)  # before it had begun
            self._start_up_proceeds()
        return startup

    def _start_up_received(self, size_bytes: int) -> None:
        self.buffer.end += size_bytes
        self._start_up_proceeds()

    def start_up_work_done(self, result: Secret[bytes]) -> None:
        """The result of the start-up machine's `work`."""
        startup = self._startup
        if startup is not None and startup.work is not None:
            startup.work_done(result)
            self._start_up_proceeds()

    def start_up_token(self, token: str | Secret[str]) -> None:
        """The OAuth token that the start-up machine wants (`token_due`).

        Raises:
            ClientConfigurationError: it is none.
        """
        token = hide(token)
        startup = self._startup
        if startup is not None and startup.token_due:
            startup.token_given(token)
            self._start_up_proceeds()

    def start_up_gss_stepped(self, token: bytes | None, *, is_established: bool) -> None:
        """What the GSSAPI or SSPI step that the start-up machine wants (`gss_due`) has come to.

        Args: as of `StartupMachine.gss_stepped`.
        """
        startup = self._startup
        if startup is not None and startup.gss_due is not None:
            startup.gss_stepped(token, is_established=is_established)
            self._start_up_proceeds()

    def _session_begins(self) -> None:
        """Start-up is over, and all is known that the server has said."""

    def _start_up_proceeds(self) -> None:
        startup = self._startup
        assert startup is not None
        startup.process()
        if startup.outbox:
            self.outbox += b"".join(startup.outbox)
            startup.outbox.clear()
        if startup.woken:
            self.woken += startup.woken
            startup.woken.clear()
        operation = startup.operation
        if operation.outcome is _PENDING:
            return
        self._startup = None
        del self.bytes_received
        if operation.error is not None:
            self.lost(operation.error)
            return
        self.process_id, self.secret_key = startup.process_id, startup.secret_key
        self.protocol_version = startup.protocol_version
        self.parameters.update(startup.parameters)
        self._session_begins()
        if startup.events:
            self.events.extend(startup.events)
            self.news = True
        if self.buffer.start != self.buffer.end:
            self.bytes_received(0)

    def cancel_exchange(self) -> CancelExchange | None:
        """The exchange that cancels what runs, to be driven over a connection of its own; None: the server gave no
        key."""
        if self.process_id is None or self.secret_key is None:
            return None
        return CancelExchange(CancelRequest(self.process_id, self.secret_key).encode())

    def part(self) -> Operation:
        """Terminate goes out, as by `terminate`; what is returned is settled when the server has hung up."""
        return self.say_goodbye(_TERMINATE)

    def terminate(self) -> None:
        """Terminate goes out; everything that is not settled ends as lost."""
        self.close(_TERMINATE)
