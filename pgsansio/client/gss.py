"""Authentication by GSSAPI or SSPI: the steps of one security context, done elsewhere, since they may ask a network."""

from functools import partial
from typing import Final

from pgsansio.client.port import Address, GssContext, Port
from pgsansio.engine.startup import GssStep
from pgsansio.errors import InterfaceError, InternalClientError
from pgsansio.policy.conninfo import Settings, TcpAddress
from pgsansio.policy.gss import GssTarget

__all__ = ["GssExchange"]

_FAILED: Final = "unexpected error while performing authentication"


class GssExchange:
    """One connection's context, which is made when the server asks for it.

    Args:
        asked: as the user gave it; its name is the service's host.
    """

    def __init__(self, port: Port, asked: Address, settings: Settings) -> None:
        self._port = port
        self._asked = asked
        self._settings = settings
        self._context: GssContext | None = None

    async def step(self, due: GssStep) -> tuple[bytes | None, bool]:
        """Do this step.

        Returns:
            A token for the server, if there is one, and whether the context is established.
        Raises:
            InterfaceError: what it takes is not installed.
            InternalClientError: no ticket, no such service, or the server is not what it says.
        """
        return await self._port.run_elsewhere(partial(self._step, due), may_abandon=True)

    def _step(self, due: GssStep) -> tuple[bytes | None, bool]:
        try:
            if self._context is None:
                self._context = self._port.gss_context(self._target(due))
            return self._context.step(due.token)
        except InterfaceError:
            raise
        except Exception as error:
            # The classes are those of a package that nobody need have.
            raise InternalClientError(f"{_FAILED}: {error}") from error

    def _target(self, due: GssStep) -> GssTarget:
        if not isinstance(self._asked, TcpAddress):
            raise ValueError("GSSAPI/SSPI authentication is only supported for TCP/IP connections")
        return GssTarget(
            self._settings.gsslib,
            self._settings.krbsrvname,
            # A zone, as in fe80::1%eth0, is this machine's alone.
            self._asked.host.partition("%")[0],
            negotiate=due.negotiate,
            delegate=self._settings.gssdelegation,
        )
