"""Connecting: hosts in turn, start-up, authentication."""

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from pgsansio.client.connection import Connection
from pgsansio.client.credentials import find_password, find_token
from pgsansio.client.encrypting import Progress, channel, open_channel
from pgsansio.client.gss import GssExchange
from pgsansio.client.port import Address, Port
from pgsansio.codecs.codec_set import CodecSet
from pgsansio.codecs.registry import Registry
from pgsansio.engine.startup import StartupMachine
from pgsansio.enums import Outcome, StatementMode
from pgsansio.errors import (
    OperationTimeoutError,
    PostgresError,
    ProtocolError,
    TargetServerAttributeNotMatched,
    with_attempts,
)
from pgsansio.frontend import Frontend
from pgsansio.kernel import Record
from pgsansio.policy import encryption_mode, hosts
from pgsansio.policy.conninfo import (
    SessionAttribute,
    Settings,
    TcpAddress,
    UnixAddress,
    start_up_parameters,
)
from pgsansio.policy.encryption_mode import Stage
from pgsansio.policy.protocol_version import version_to_try_next
from pgsansio.types.secret import Secret, SecretFunction

__all__ = ["connect"]

ConnectionT = TypeVar("ConnectionT", bound=Connection)
MakeConnection = Callable[[Port, Frontend, Address, Settings], ConnectionT]
#: Makes one attempt to connect; see `Connection._around_attempt`.
AroundAttempt = Callable[[Address, Settings, Callable[[], Awaitable[ConnectionT]]], Awaitable[ConnectionT]]

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
) -> ConnectionT:
    """A connection to the first host that answers and is what `target_session_attrs` asks for.

    Raises:
        OperationTimeoutError: `connect_timeout` has passed.
        OSError, PostgresError, InterfaceError, InternalClientError: the last attempt's error; every attempt is in its
            `attempts`, and a group of them is its cause.
        TargetServerAttributeNotMatched: hosts answered, but none of them is what was asked for.
    """
    attempts: list[BaseException] = []
    codecs = CodecSet() if codecs is None else codecs
    port = make_port()
    at = None if settings.connect_timeout is None else port.clock() + settings.connect_timeout
    if at is not None and settings.connect_timeout is not None and settings.connect_timeout <= 0:
        raise OperationTimeoutError("the time limit for connecting has passed", outcome=Outcome.CANCELLED)
    try:
        async with port.deadline(at):
            return await _try_hosts(make_port, settings, make_connection, record_class, codecs, attempts, around)
    except TimeoutError as error:
        if error.errno is not None or isinstance(error, OperationTimeoutError):
            raise  # the last attempt's: the network's, or `attempt_timeout`
        timeout = OperationTimeoutError("the time limit for connecting has passed", outcome=Outcome.CANCELLED)
        raise with_attempts(timeout, attempts) from (timeout.__cause__ or error)


async def _try_hosts(
    make_port: Callable[[], Port],
    settings: Settings,
    make_connection: MakeConnection[ConnectionT],
    record_class: type[Any],
    codecs: CodecSet,
    attempts: list[BaseException],
    around: AroundAttempt[ConnectionT] | None,
) -> ConnectionT:
    attribute = settings.target_session_attrs
    unwanted = False
    #: What is raised if all fail: the last host's error.
    failure: BaseException | None = None
    wishes = [attribute, SessionAttribute.any] if attribute is SessionAttribute.prefer_standby else [attribute]
    asked_for = settings.addresses
    port = make_port()
    if settings.random_order:
        asked_for = hosts.in_random_order(asked_for, port.nonce())
    for wish in wishes:
        for asked in asked_for:
            reached = False
            addresses = await _resolved(port, asked, settings, attempts)
            if not addresses and attempts:
                failure = attempts[-1]
            for address in addresses:
                progress = Progress()
                try:
                    attempt = functools.partial(
                        _connect_to,
                        make_port,
                        address,
                        asked,
                        settings,
                        make_connection,
                        record_class,
                        codecs,
                        attempts,
                        progress,
                    )
                    async with _time_limit(port, settings.attempt_timeout, f"connecting to {_shown(address)}"):
                        connection = await (attempt() if around is None else around(asked, settings, attempt))
                        try:
                            wanted = await _is_wanted(connection, wish)
                        except BaseException:
                            connection.terminate()
                            raise
                except BaseException as error:
                    if all(error is not earlier for earlier in attempts):
                        attempts.append(error)
                    if not hosts.another_host_may_do(error):
                        raise with_attempts(error, attempts) from error.__cause__
                    # Of the addresses of one name, one that a server has answered at tells more: a certificate that is
                    # not to be trusted at 127.0.0.1, and not that nobody listens at ::1.
                    if progress.reached or not reached:
                        failure, reached = error, progress.reached
                    continue
                if wanted:
                    return connection
                unwanted = True
                connection.terminate()
                attempts.append(
                    TargetServerAttributeNotMatched(
                        f"the server at {_shown(address)} is not what target_session_attrs={wish.value!r} asks for"
                    )
                )
    if unwanted:
        raise with_attempts(
            TargetServerAttributeNotMatched(f"None of the hosts match the target attribute requirement {attribute!r}"),
            attempts,
        )
    assert failure is not None
    raise with_attempts(failure, attempts)


async def _resolved(port: Port, asked: Address, settings: Settings, attempts: list[BaseException]) -> Sequence[Address]:
    if not isinstance(asked, TcpAddress):
        return [asked]
    if asked.hostaddr is not None:
        return [TcpAddress(asked.hostaddr, asked.port)]
    try:
        async with _time_limit(port, settings.attempt_timeout, f"looking up {asked.host!r}"):
            found = await port.resolve(asked.host, asked.port)
    except OSError as error:
        attempts.append(error)
        return []
    return hosts.in_random_order(found, port.nonce()) if settings.random_order else found


@asynccontextmanager
async def _time_limit(port: Port, seconds: float | None, what: str) -> AsyncGenerator[None]:
    """A block that takes no longer than this; None: as long as it likes."""
    if seconds is None:
        yield
        return
    try:
        async with port.deadline(port.clock() + seconds):
            yield
    except TimeoutError as error:
        if error.errno is not None or isinstance(error, OperationTimeoutError):
            raise
        raise OperationTimeoutError(f"the time limit for {what} has passed", outcome=Outcome.CANCELLED) from error


def _shown(address: Address) -> str:
    return f"{address.host!r}, port {address.port}" if isinstance(address, TcpAddress) else repr(address.path)


async def _connect_to(
    make_port: Callable[[], Port],
    address: Address,
    asked: Address,
    settings: Settings,
    make_connection: MakeConnection[ConnectionT],
    record_class: type[Any],
    codecs: CodecSet,
    attempts: list[BaseException],
    progress: Progress,
) -> ConnectionT:
    """A connection to this address, encrypted or not: `allow` and `prefer` try both.

    A server that refuses a newer version of the protocol is asked once more, in the same way.
    """
    port = make_port()
    tls = settings.tls
    ways = encryption_mode.attempts(
        tls.mode, direct=tls.direct, over_tcp=isinstance(address, TcpAddress), has_tls=port.has_tls
    )
    password = await find_password(port, asked, settings)
    earlier: BaseException | None = None
    version = settings.max_protocol_version
    remaining = list(ways)
    while True:
        attempt = remaining.pop(0)
        progress.stage, progress.encrypted, progress.heard = Stage.OPENING, False, False
        try:
            return await _attempt(
                port,
                address,
                asked,
                settings,
                make_connection,
                record_class,
                codecs,
                attempt,
                version,
                password,
                progress,
            )
        except BaseException as error:
            older = version_to_try_next(
                version, settings.min_protocol_version, progress.stage, heard=progress.heard, error=error
            )
            if older is not None:
                attempts.append(error)
                version, port = older, make_port()
                remaining.insert(0, attempt)
                continue
            if remaining and encryption_mode.may_try_the_next(
                attempt, progress.stage, encrypted=progress.encrypted, error=error
            ):
                attempts.append(error)
                earlier, port = error, make_port()
                continue
            if earlier is not None and encryption_mode.error_to_raise(earlier, error) is earlier:
                attempts.append(error)
                raise earlier from None
            raise


async def _attempt(
    port: Port,
    address: Address,
    asked: Address,
    settings: Settings,
    make_connection: MakeConnection[ConnectionT],
    record_class: type[Any],
    codecs: CodecSet,
    attempt: encryption_mode.Attempt,
    version: int,
    password: Secret[str] | None,
    progress: Progress,
) -> ConnectionT:
    frontend = Frontend(
        registry=Registry(codecs.registry((address, settings.database))),
        # What another role or search path makes of a text is no hint worth having.
        descriptions=codecs.descriptions(
            (address, settings.database, settings.user, tuple(sorted(settings.server_settings.items())))
        ),
        statement_mode=settings.statement_mode or StatementMode.CACHED,
        statement_cache_size=settings.statement_cache_size,
        max_cached_statement_lifetime=settings.max_cached_statement_lifetime,
        max_cacheable_statement_size=settings.max_cacheable_statement_size,
        record_class=record_class,
    )
    way = await channel(port, attempt, asked, settings.tls)
    try:
        frontend.tls = await open_channel(port, address, frontend, way, progress)
        if isinstance(address, TcpAddress):
            port.set_tcp_options(settings.tcp)
        startup = frontend.start_up(
            start_up_parameters(settings),
            user=settings.user,
            password=password,
            nonce=port.nonce(),
            rules=settings.authentication,
            protocol_version=version,
            min_protocol_version=settings.min_protocol_version,
            has_token=settings.oauth_token is not None,
            is_private=isinstance(address, UnixAddress),
        )
        progress.stage = Stage.AUTHENTICATION
        try:
            await _start_up(port, frontend, startup, settings.oauth_token, GssExchange(port, asked, settings))
        finally:
            progress.heard = startup.heard
            if startup.authenticated:
                progress.stage = Stage.SESSION
        connection = make_connection(port, frontend, address, settings)
        connection._asked = asked
        connection._channel = way.again(frontend.tls)
        return connection
    except BaseException:
        port.abort()
        raise


async def _start_up(
    port: Port,
    frontend: Frontend,
    startup: StartupMachine,
    oauth_token: Secret[str] | SecretFunction | None,
    gss: GssExchange,
) -> None:
    operation = startup.operation
    while True:
        await port.progress(operation)
        if operation.settled:
            break
        operation.attention = False
        if startup.work is not None:
            # Thousands of hashes: some milliseconds with the usual count, and seconds with the highest one allowed.
            frontend.start_up_work_done(await port.run_elsewhere(startup.work))
        if startup.token_due:
            assert oauth_token is not None
            frontend.start_up_token(await find_token(port, oauth_token))
        if startup.gss_due is not None:
            answer, is_established = await gss.step(startup.gss_due)
            frontend.start_up_gss_stepped(answer, is_established=is_established)
    if operation.error is not None:
        raise operation.error


async def _is_wanted(connection: Connection, attribute: SessionAttribute) -> bool:
    parameters = dict(connection._frontend.parameters)
    if hosts.needs_query(attribute, parameters):
        try:
            row = await connection.fetchrow(_ROLE_QUERY)
        except PostgresError:
            return False
        if row is None or len(row) != 2:
            raise ProtocolError("the answer to the query for the server's role is not a row of two columns")
        standby, read_only = row
        parameters["in_hot_standby"] = "on" if standby else "off"
        parameters["default_transaction_read_only"] = "on" if read_only else "off"
    return hosts.accepts(attribute, parameters)
