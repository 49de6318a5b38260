"""One attempt to connect to a host: a stream to one of its addresses, encryption, start-up, authentication."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pgsansio.authentication.salted_passwords import SaltedPasswords
from pgsansio.authentication.scram import PasswordWork
from pgsansio.client.connection import Connection
from pgsansio.client.credentials import find_password, find_token
from pgsansio.client.encrypting import Channel, Progress, channel, encrypt, first_engine
from pgsansio.client.gss import GssExchange
from pgsansio.client.opening import open_first
from pgsansio.client.port import Address, Port
from pgsansio.client.time_limit import limited, time_limit
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.codecs.descriptions import Descriptions
from pgsansio.codecs.registry import Registry
from pgsansio.engine.driven import Engine
from pgsansio.engine.startup import StartupMachine
from pgsansio.frontend import Frontend
from pgsansio.policy import encryption_mode
from pgsansio.policy.conninfo import Settings, TcpAddress, UnixAddress, start_up_parameters
from pgsansio.policy.encryption_mode import Stage
from pgsansio.policy.happy_eyeballs import HappyEyeballs
from pgsansio.policy.protocol_version import version_to_try_next
from pgsansio.types.secret import Secret

__all__ = ["Attempt", "ConnectionT", "MakeConnection", "Recipe"]

ConnectionT = TypeVar("ConnectionT", bound=Connection)
MakeConnection = Callable[[Port, Frontend, Address, Settings], ConnectionT]

_CONNECTING: Final = "connecting to {}"

#: Of all connections of this process.
_ACCEPTED: Final = SaltedPasswords()


class Recipe(NamedTuple, Generic[ConnectionT]):
    """How a connection is made, wherever it leads to."""

    make_port: Callable[[], Port]
    settings: Settings
    make_connection: MakeConnection[ConnectionT]
    record_class: type[Any]
    #: None: each connection has what it learns for itself.
    codecs: CodecSet | None

    def frontend(self, address: Address) -> Frontend:
        """The client's end of a new connection to this address."""
        settings, codecs = self.settings, self.codecs
        registry: Registry | None = None
        descriptions: Descriptions | None = None
        if codecs is not None:
            registry = Registry(codecs.registry((address, settings.database)))
            # What another role or search path makes of a text is no hint worth having.
            descriptions = codecs.descriptions(
                (address, settings.database, settings.user, tuple(sorted(settings.server_settings.items())))
            )
        return Frontend(
            registry=registry,
            descriptions=descriptions,
            statement_mode=settings.statement_mode,
            statement_cache_size=settings.statement_cache_size,
            max_cached_statement_lifetime=settings.max_cached_statement_lifetime,
            max_cacheable_statement_size=settings.max_cacheable_statement_size,
            record_class=self.record_class,
        )


class _Stream(NamedTuple):
    """An open stream to a server, in which nobody has said anything."""

    port: Port
    address: Address
    frontend: Frontend
    #: What is driven, until the stream is encrypted.
    first: Engine
    #: When the time for this address is over.
    deadline: float | None


class Attempt(Generic[ConnectionT]):
    """An attempt to connect to one host, at whichever of its addresses opens first.

    Attributes:
        address: the one that opened; None: none has.
        deadline: when the time for this address is over, by the port's clock; None: never.
    """

    def __init__(
        self,
        home: Port,
        recipe: Recipe[ConnectionT],
        asked: Address,
        addresses: HappyEyeballs | Address,
        failures: list[BaseException],
        unused: Port | None = None,
    ) -> None:
        """
        Args:
            home: a port for everything but streams.
            asked: as the user gave it.
            addresses: what it stands for: those of several of which one or more remain, or the only one.
            failures: whatever has failed on the way is added, with the last error or without it.
            unused: a port for the first stream, if there is just one address; None: a new one is made.
        """
        self.address: Address | None = None
        self.deadline: float | None = None
        self._home = home
        self._recipe = recipe
        self._asked = asked
        self._addresses = addresses
        self._failures = failures
        self._unused = unused

    async def connect(self) -> ConnectionT:
        """A connection, encrypted or not: `allow` and `prefer` try both at the address that has opened.

        A server that refuses a newer version of the protocol is asked once more, in the same way.
        """
        home, recipe, asked = self._home, self._recipe, self._asked
        tls, seconds = recipe.settings.tls, recipe.settings.attempt_timeout
        over_tcp = isinstance(asked, TcpAddress)
        ways = encryption_mode.attempts(tls.mode, direct=tls.direct, over_tcp=over_tcp, has_tls=home.has_tls)
        at = None if seconds is None else home.clock() + seconds
        password, way = await limited(home, at, "finding what connecting to {} needs", asked, self._find(ways[0]))
        addresses = self._addresses
        if isinstance(addresses, HappyEyeballs):

            async def open_at(port: Port, address: Address) -> _Stream:
                return await self._open(port, address, way)

            stream = await open_first(home, recipe.make_port, addresses, open_at, self._failures)
        else:
            stream = await self._open(self._unused or recipe.make_port(), addresses, way)
        self.address, self.deadline = stream.address, stream.deadline
        conversation = self._converse(stream, way, ways[1:], password)
        return await limited(home, self.deadline, _CONNECTING, stream.address, conversation)

    async def _find(self, attempt: encryption_mode.Attempt) -> tuple[Secret[str] | None, Channel]:
        home, asked, settings = self._home, self._asked, self._recipe.settings
        return await find_password(home, asked, settings), await channel(home, attempt, asked, settings)

    def time_limit(self) -> AbstractAsyncContextManager[None]:
        """A block that ends when the time for the address that has opened is over."""
        return time_limit(self._home, self.deadline, _CONNECTING, self.address or self._asked)

    async def _open(self, port: Port, address: Address, way: Channel) -> _Stream:
        frontend, seconds = self._recipe.frontend(address), self._recipe.settings.attempt_timeout
        deadline = None if seconds is None else port.clock() + seconds
        first = first_engine(frontend, way)
        port.set_tcp_options(way.tcp)
        try:
            await limited(port, deadline, _CONNECTING, address, port.open_stream(address, first))
        except OSError as error:
            if isinstance(address, UnixAddress) and error.errno is not None and error.filename is None:
                error.filename = address.path  # which the system does not tell
            raise
        return _Stream(port, address, frontend, first, deadline)

    async def _converse(
        self,
        stream: _Stream,
        way: Channel,
        other_ways: tuple[encryption_mode.Attempt, ...],
        password: Secret[str] | None,
    ) -> ConnectionT:
        settings = self._recipe.settings
        version = settings.max_protocol_version
        remaining = list(other_ways)
        earlier: BaseException | None = None
        while True:
            progress = Progress()
            try:
                return await self._start_session(stream, way, version, password, progress)
            except BaseException as error:
                older = version_to_try_next(
                    version, settings.min_protocol_version, progress.stage, heard=progress.heard, error=error
                )
                if older is not None:
                    self._failures.append(error)
                    version = older
                elif remaining and encryption_mode.may_try_the_next(
                    way.attempt, progress.stage, encrypted=progress.encrypted, error=error
                ):
                    self._failures.append(error)
                    earlier = error
                    way = await channel(self._home, remaining.pop(0), self._asked, settings)
                elif earlier is not None and encryption_mode.error_to_raise(earlier, error) is earlier:
                    self._failures.append(error)
                    raise earlier from None
                else:
                    raise
            stream = await self._open(self._recipe.make_port(), stream.address, way)

    async def _start_session(
        self, stream: _Stream, way: Channel, version: int, password: Secret[str] | None, progress: Progress
    ) -> ConnectionT:
        port, address, frontend, settings = stream.port, stream.address, stream.frontend, self._recipe.settings
        try:
            if stream.first is not frontend:
                frontend.tls = await encrypt(port, address, stream.first, frontend, way, progress)
            startup = frontend.start_up(
                start_up_parameters(settings),
                user=settings.user,
                password=password,
                nonce=port.nonce,
                rules=settings.authentication,
                protocol_version=version,
                min_protocol_version=settings.min_protocol_version,
                has_token=settings.oauth_token is not None,
                is_private=isinstance(address, UnixAddress),
            )
            progress.stage = Stage.AUTHENTICATION
            operation = startup.operation
            try:
                await port.progress(operation)
                if operation.attention:
                    await self._authenticate(port, frontend, startup)
            finally:
                progress.heard = startup.heard
                if startup.authenticated:
                    progress.stage = Stage.SESSION
            if operation.error is not None:
                raise operation.error
            connection = self._recipe.make_connection(port, frontend, address, settings)
            connection._asked = self._asked
            connection._channel = way.again(frontend.tls)
            return connection
        except BaseException:
            port.abort()
            raise

    async def _authenticate(self, port: Port, frontend: Frontend, startup: StartupMachine) -> None:
        """Do what the server's questions take besides an answer, until there is no other one."""
        operation, settings = startup.operation, self._recipe.settings
        gss: GssExchange | None = None
        done: tuple[PasswordWork, Secret[bytes]] | None = None
        while not operation.settled:
            operation.attention = False
            if startup.work is not None:
                # Thousands of hashes: some milliseconds with the usual count, and seconds with the highest one allowed.
                work = startup.work
                result = _ACCEPTED.find(work)
                if result is None:
                    result = await port.run_elsewhere(work, may_abandon=True)
                frontend.start_up_work_done(result)
                done = work, result
            if startup.token_due:
                assert settings.oauth_token is not None
                frontend.start_up_token(await find_token(port, settings.oauth_token))
            if startup.gss_due is not None:
                gss = gss or GssExchange(port, self._asked, settings)
                answer, is_established = await gss.step(startup.gss_due)
                frontend.start_up_gss_stepped(answer, is_established=is_established)
                del answer  # a ticket is no business of this frame's
            await port.progress(operation)
        if done is not None and operation.error is None:
            _ACCEPTED.keep(*done)
