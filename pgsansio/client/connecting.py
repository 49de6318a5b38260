"""Connecting: hosts in turn, until one of them is what is asked for."""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final, Generic, TypeAlias

from pgsansio.client.attempting import Attempt, ConnectionT, MakeConnection, Recipe
from pgsansio.client.connection import Connection
from pgsansio.client.port import Address, Port
from pgsansio.client.time_limit import is_late, shown, time_limit
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.enums import Outcome
from pgsansio.errors import (
    ClientConfigurationError,
    OperationTimeoutError,
    PostgresError,
    ProtocolError,
    TargetServerAttributeNotMatched,
    with_attempts,
)
from pgsansio.kernel import Record
from pgsansio.policy import hosts
from pgsansio.policy.conninfo import SessionAttribute, Settings, TcpAddress
from pgsansio.policy.happy_eyeballs import HappyEyeballs

__all__ = ["connect"]

#: Makes one attempt to connect; see `Connection._around_attempt`.
AroundAttempt: TypeAlias = Callable[[Address, Settings, Callable[[], Awaitable[ConnectionT]]], Awaitable[ConnectionT]]

_ANY: Final = SessionAttribute.any
_ROLE_QUERY: Final = (
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('default_transaction_read_only') = 'on'"
)


async def connect(
    make_port: Callable[[], Port],
    settings: Settings,
    make_connection: MakeConnection[ConnectionT],
    *,
    record_class: type[Any] = Record,
    codecs: CodecSet | None = None,
    around: AroundAttempt[ConnectionT] | None = None,
    home: Port | None = None,
    began: float | None = None,
) -> ConnectionT:
    """A connection to the first host that answers and is what `target_session_attrs` asks for.

    Args:
        home: a new port, for everything but streams, and then for the first of them; None: one is made.
        began: since when `connect_timeout` counts, by the port's clock: finding the settings may have taken its time.
            None: since now.
    Raises:
        OperationTimeoutError: `connect_timeout` has passed.
        OSError, PostgresError, InterfaceError, InternalClientError: the last attempt's error; every attempt is in its
            `attempts`, and a group of them is its cause.
        TargetServerAttributeNotMatched: hosts answered, but none of them is what was asked for.
    """
    recipe = Recipe(make_port, settings, make_connection, record_class, codecs)
    port, seconds = make_port() if home is None else home, settings.connect_timeout
    if seconds is not None and seconds <= 0:
        raise _too_late()
    at = None if seconds is None else (port.clock() if began is None else began) + seconds
    search = _Search(port, recipe, around, at)
    try:
        async with port.deadline(at):
            return await search.run()
    except TimeoutError as error:
        if hasattr(error, "attempts"):
            raise  # the last attempt's: the network's, `attempt_timeout`, or one of the user's functions
        usable = search.take_usable()
        if usable is not None:
            return usable
        timeout = _too_late()
        raise with_attempts(timeout, [*search.attempts, timeout]) from (timeout.__cause__ or error)
    finally:
        search.drop_usable()


class _Search(Generic[ConnectionT]):
    """The hosts in turn.

    Attributes:
        attempts: why each attempt failed so far.
    """

    def __init__(
        self, port: Port, recipe: Recipe[ConnectionT], around: AroundAttempt[ConnectionT] | None, deadline: float | None
    ) -> None:
        """
        Args:
            port: for everything but streams.
            deadline: of all of it.
        """
        self.port = port
        self.attempts: list[BaseException] = []
        self._recipe = recipe
        self._around = around
        #: It has no stream yet.
        self._unused: Port | None = port
        self._deadline = deadline
        #: What is raised if all fail: the last host's error.
        self._failure: BaseException | None = None
        #: `prefer-standby`: what will do if there is no standby, chosen among so many.
        self._usable: ConnectionT | None = None
        self._usable_count = 0

    async def run(self) -> ConnectionT:
        """The connection. Raises what `connect` does."""
        settings = self._recipe.settings
        for asked in self._in_order(settings.addresses):
            connection = await self._try_host(asked)
            if connection is not None:
                return connection
        usable = self.take_usable()
        if usable is not None:
            return usable
        failure = self._failure or TargetServerAttributeNotMatched(
            f"None of the hosts match the target attribute requirement {settings.target_session_attrs!r}"
        )
        raise with_attempts(failure, self.attempts)

    def take_usable(self) -> ConnectionT | None:
        """What will do although it is not what is preferred."""
        usable, self._usable = self._usable, None
        return usable

    def drop_usable(self) -> None:
        """It will not be taken."""
        usable = self.take_usable()
        if usable is not None:
            usable.terminate()

    async def _try_host(self, asked: Address) -> ConnectionT | None:
        settings, around = self._recipe.settings, self._around
        found = await self._resolve(asked) if isinstance(asked, TcpAddress) else [asked]
        addresses = HappyEyeballs(found) if len(found) != 1 else None
        was_reached = False
        while addresses is None or addresses.remaining:
            unused, self._unused = self._unused, None
            which = found[0] if addresses is None else addresses
            attempt = Attempt(self.port, self._recipe, asked, which, self.attempts, unused)
            try:
                connection = await (attempt.connect() if around is None else around(asked, settings, attempt.connect))
                if settings.target_session_attrs is _ANY or await self._is_right(connection, attempt):
                    return connection
            except Exception as error:
                if is_late(self.port, self._deadline, error):
                    raise
                self._note(error)
                if not hosts.another_host_may_do(error):
                    raise with_attempts(error, self.attempts) from error.__cause__
                # Of the addresses of one name, one that a server has answered at tells more: a certificate that is
                # not to be trusted at 127.0.0.1, and not that nobody listens at ::1.
                is_reached = attempt.address is not None
                if is_reached or not was_reached:
                    self._failure, was_reached = error, is_reached
                if not is_reached:
                    break
            if addresses is None:
                break
        return None

    async def _is_right(self, connection: ConnectionT, attempt: Attempt[ConnectionT]) -> bool:
        """Whether it is what is asked for; if not, it is kept or closed."""
        attribute = self._recipe.settings.target_session_attrs
        try:
            async with attempt.time_limit():
                rejection = await _rejection(connection, attribute)
        except BaseException:
            connection.terminate()
            raise
        if rejection is None:
            return True
        self._note(rejection)
        if attribute is SessionAttribute.prefer_standby:
            self._keep(connection)
        else:
            connection.terminate()
        return False

    async def _resolve(self, asked: TcpAddress) -> Sequence[Address]:
        if asked.hostaddr is not None:
            return [TcpAddress(asked.hostaddr, asked.port)]
        if _is_address(asked.host):
            return [asked]
        seconds, port = self._recipe.settings.attempt_timeout, self.port
        try:
            at = None if seconds is None else port.clock() + seconds
            async with time_limit(port, at, f"looking up {asked.host!r}"):
                found = await port.resolve(asked.host, asked.port)
        except OSError as error:
            if not isinstance(error, OperationTimeoutError):
                error.add_note(f"The name that was looked up is {asked.host!r}.")
            self._note(error)
            self._failure = error
            return []
        except UnicodeError as error:
            raise ClientConfigurationError(f"host {asked.host!r} is no name that can be looked up: {error}") from error
        return self._in_order(found)

    def _in_order(self, addresses: Sequence[Address]) -> Sequence[Address]:
        if len(addresses) > 1 and self._recipe.settings.random_order:
            return hosts.in_random_order(addresses, self.port.nonce())
        return addresses

    def _note(self, error: BaseException) -> None:
        if all(error is not earlier for earlier in self.attempts):
            self.attempts.append(error)

    def _keep(self, connection: ConnectionT) -> None:
        """Each of those that will do is kept to the end with the same chance, and only one is open at a time."""
        self._usable_count += 1
        if hosts.in_random_order(range(self._usable_count), self.port.nonce())[0] == 0:
            self.drop_usable()
            self._usable = connection
        else:
            connection.terminate()


async def _rejection(connection: Connection, attribute: SessionAttribute) -> BaseException | None:
    """Why this server will not do; None: it will."""
    parameters = dict(connection._frontend.parameters)
    if hosts.needs_query(attribute, parameters):
        try:
            row = await connection.fetchrow(_ROLE_QUERY)
        except PostgresError as error:
            return error
        if row is None or len(row) != 2:
            raise ProtocolError("the answer to the query for the server's role is not a row of two columns")
        standby, read_only = row
        parameters["in_hot_standby"] = "on" if standby else "off"
        parameters["default_transaction_read_only"] = "on" if read_only else "off"
    if hosts.accepts(attribute, parameters):
        return None
    return TargetServerAttributeNotMatched(
        f"the server at {shown(connection._address)} is not what target_session_attrs={attribute.value!r} asks for"
    )


def _is_address(host: str) -> bool:
    """Whether there is nothing to look up."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _too_late() -> OperationTimeoutError:
    return OperationTimeoutError("the time limit for connecting has passed", outcome=Outcome.CANCELLED)
